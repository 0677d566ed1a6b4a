package s3

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/filigrane/filigrane/internal/store"
)

// lockFolder holds the lock objects. No key begins with a dot.
const lockFolder = ".filigrane/locks/"

// lockMargin is added to a lease before another may take it: the server tells both times in whole seconds.
const lockMargin = 2 * time.Second

// lease is what a lock object holds, as JSON.
type lease struct {
	Holder  string `json:"holder"`  // for people
	Token   string `json:"token"`   // of this taking of the lock
	Fence   int64  `json:"fence"`   // how often the lock was taken, this time included
	Renewal int64  `json:"renewal"` // makes every version of the object different, and with it the ETag
	Millis  int64  `json:"lease_ms"`
	Free    bool   `json:"free"` // released
}

// lock is one that this Store holds.
type lock struct {
	s     *Store
	name  string
	key   string
	lease lease // as last sent
	etag  string

	mu    sync.Mutex
	until time.Time // the lock is held until then, by Options.Now
	lost  bool
}

// Lock implements store.Store. The package comment says how. The lock outlives ctx: only release ends it. Taking a lock
// sweeps uploads that were abandoned.
func (s *Store) Lock(ctx context.Context, name string) (func() error, error) {
	if err := store.CheckKey(name); err != nil {
		return nil, err
	}
	l := &lock{s: s, name: name, key: lockFolder + name + ".lock"}
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.held[l] = struct{}{}
	s.mu.Unlock()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var renewing sync.WaitGroup
	renewing.Go(func() { l.keep(background) })
	release := sync.OnceValue(func() error {
		stop()
		renewing.Wait()
		err := l.release(context.WithoutCancel(ctx))
		s.mu.Lock()
		delete(s.held, l)
		s.mu.Unlock()
		return err
	})
	if err := s.probe(ctx, l); err != nil {
		return nil, errors.Join(err, release())
	}
	// What is left over harms nobody, so a server that cannot list uploads is none the worse.
	_, _ = s.Sweep(ctx, s.opt.Abandoned)
	return release, nil
}

// take writes the lock object, on the condition that nobody holds it.
func (l *lock) take(ctx context.Context) error {
	host, _ := os.Hostname()
	l.lease = lease{Holder: fmt.Sprintf("process %d on %s", os.Getpid(), host), Token: rand.Text(), Millis: l.s.opt.Lease.Milliseconds()}
	var before lease
	for range l.s.opt.Tries {
		there, etag, age, err := l.read(ctx)
		absent := errors.Is(err, store.ErrNotFound)
		switch left := time.Duration(there.Millis)*time.Millisecond + lockMargin - age; {
		case absent:
		case err != nil:
			return err
		case there.Token == l.lease.Token: // an earlier try was carried out, and its answer was lost
			l.etag = etag
			return nil
		case before.Token != "" && there != before:
			return fmt.Errorf("%w: %s, lock %s of %s", store.ErrLocked, there.Holder, l.name, l.s)
		case !there.Free && left > 0:
			return fmt.Errorf("%w: %s, lock %s of %s; unless it is renewed it ends in %s", store.ErrLocked, there.Holder, l.name, l.s, left.Round(time.Second))
		}
		before = there
		l.lease.Fence = there.Fence + 1
		l.until = l.s.opt.Now().Add(l.s.opt.Lease)
		l.etag, err = l.write(ctx, &condition{absent: absent, etag: etag})
		if err == nil {
			return nil
		}
		if !unmet(err) {
			return err
		}
		// Somebody was faster, or it was this process, or the ETag that was read was a wrong one: what is there tells.
	}
	return errors.New("store: the lock " + l.name + " could not be taken: its ETag is always another")
}

// unmet tells whether an error means that the condition of a PUT did not hold.
func unmet(err error) bool {
	return answered(err, http.StatusPreconditionFailed) || errors.Is(err, store.ErrNotFound)
}

// probe finds out whether the server honours If-None-Match, once for a Store: with one that does not there are no locks.
func (s *Store) probe(ctx context.Context, l *lock) error {
	s.mu.Lock()
	obeys := s.obeys
	s.mu.Unlock()
	if obeys {
		return nil
	}
	// No lock is called so: names of locks have no part that begins with a dot.
	probe := lock{s: s, name: "probe", key: lockFolder + ".probe", lease: lease{Free: true, Token: rand.Text()}}
	for range 2 {
		_, err := probe.write(ctx, &condition{absent: true})
		if answered(err, http.StatusPreconditionFailed) {
			s.mu.Lock()
			s.obeys = true
			s.mu.Unlock()
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("store: locking %s in %s: this server ignores If-None-Match, without which two processes could hold one lock; use one that knows conditional writes", l.name, s)
}

// read gives the lock object, its ETag and how long ago it was written, by the server's clock.
func (l *lock) read(ctx context.Context) (there lease, etag string, age time.Duration, err error) {
	err = l.s.try(ctx, "locking", l.name, func() error {
		there = lease{}
		body, info, header, err := l.s.core.GetObject(ctx, l.s.opt.Bucket, l.s.prefix+l.key, minio.GetObjectOptions{Checksum: true})
		if err != nil {
			return err
		}
		defer body.Close()
		text, err := io.ReadAll(io.LimitReader(body, 4096))
		if err != nil {
			return err
		}
		if err := newCheck(info).add(text).compare(); err != nil {
			return err
		}
		if err := json.Unmarshal(text, &there); err != nil {
			return final{fmt.Errorf("the object %s is no lock; if nobody holds it, delete it: %w", l.s.prefix+l.key, err)}
		}
		now, err := http.ParseTime(header.Get("Date"))
		if err != nil {
			return final{fmt.Errorf("the server does not tell the time, which locks need: %w", err)}
		}
		etag, age = info.ETag, now.Sub(info.LastModified)
		return nil
	})
	return there, etag, age, err
}

func (l *lock) write(ctx context.Context, when *condition) (etag string, err error) {
	text, err := json.Marshal(l.lease)
	if err != nil {
		panic("s3: a lease that cannot be marshalled: " + err.Error())
	}
	return l.s.putOnce(ctx, l.key, text, when)
}

// keep renews the lock until ctx ends or the lock is lost.
func (l *lock) keep(ctx context.Context) {
	for {
		if l.s.opt.Sleep(ctx, l.s.opt.Lease/3) != nil {
			return
		}
		began := l.s.opt.Now()
		limited, cancel := context.WithDeadline(ctx, time.Now().Add(l.valid().Sub(began)))
		l.lease.Renewal++
		err := l.replace(limited)
		cancel()
		switch {
		case err == nil:
			l.mu.Lock()
			l.until = began.Add(l.s.opt.Lease)
			l.mu.Unlock()
		case ctx.Err() != nil:
			return
		case errors.Is(err, store.ErrLocked) || !l.s.opt.Now().Before(l.valid()):
			l.mu.Lock()
			l.lost = true
			l.mu.Unlock()
			return
		}
	}
}

func (l *lock) valid() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// replace writes the lease over the one that is there, if that is of the same taking. ErrLocked: it is not.
func (l *lock) replace(ctx context.Context) error {
	for range l.s.opt.Tries {
		etag, err := l.write(ctx, &condition{etag: l.etag})
		if err == nil {
			l.etag = etag
			return nil
		}
		if !unmet(err) {
			return err
		}
		there, etag, _, rerr := l.read(ctx)
		switch {
		case errors.Is(rerr, store.ErrNotFound):
			return fmt.Errorf("%w: the lock %s of %s was deleted", store.ErrLocked, l.name, l.s)
		case rerr != nil:
			return rerr
		case there.Token != l.lease.Token:
			return fmt.Errorf("%w: %s took the lock %s of %s, which was not renewed in time", store.ErrLocked, there.Holder, l.name, l.s)
		}
		l.etag = etag
		if there == l.lease {
			return nil
		}
		// The ETag was a wrong one: now it is known.
	}
	return errors.New("store: the lock " + l.name + " could not be renewed: its ETag is always another")
}

// release frees the lock. The object stays: it counts how often the lock was taken.
func (l *lock) release(ctx context.Context) error {
	if err := l.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, max(tidyTime, l.s.opt.Lease))
	defer cancel()
	l.lease.Free = true
	l.lease.Renewal++
	err := l.replace(ctx)
	if errors.Is(err, store.ErrLocked) && l.check() == nil {
		return nil // only what this released could be taken before its time: the answer was lost
	}
	return err
}

// check says whether the lock is held still.
func (l *lock) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost || !l.s.opt.Now().Before(l.until) {
		l.lost = true
		return fmt.Errorf("%w: this process lost the lock %s of %s: it could not be renewed for %s", store.ErrLocked, l.name, l.s, l.s.opt.Lease)
	}
	return nil
}

// fenced returns an error if a lock of this Store was lost and not released since.
func (s *Store) fenced() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for l := range s.held {
		if err := l.check(); err != nil {
			return err
		}
	}
	return nil
}
