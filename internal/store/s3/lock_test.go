package s3_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/s3"
)

// TestLockAfterAKill: the lock of a holder that is gone is taken when its lease and the margin are over, not before, and
// the number of takings grows.
func TestLockAfterAKill(t *testing.T) {
	t.Parallel()
	opt := options(t)
	opt.Lease = time.Second
	next := open(t, opt)
	// The holder is killed: it never renews.
	opt.Sleep = func(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return ctx.Err() }
	killed := open(t, opt)
	if _, err := killed.Lock(ctx, "a/job"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var release func() error
	for {
		r, err := next.Lock(ctx, "a/job")
		if err == nil {
			release = r
			break
		}
		if !errors.Is(err, store.ErrLocked) || time.Since(began) > 20*time.Second {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if waited := time.Since(began); waited < 2*time.Second {
		t.Errorf("taken after %s", waited)
	}
	// The old holder finds out, and may not write.
	if err := store.PutBytes(ctx, killed, "key", nil); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Put of one that lost its lock: %v", err)
	}
	if err := killed.Delete(ctx, "key"); !errors.Is(err, store.ErrLocked) {
		t.Errorf("Delete of one that lost its lock: %v", err)
	}
	if err := store.PutBytes(ctx, next, "key", nil); err != nil {
		t.Error(err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if fence := inside(t, opt, "a/job"); fence != 2 {
		t.Errorf("the lock was taken %d times", fence)
	}
}

// inside reads the number in a lock object.
func inside(t *testing.T, opt s3.Options, name string) int64 {
	t.Helper()
	r, err := server(t).Client(t).GetObject(ctx, opt.Bucket, ".filigrane/locks/"+name+".lock", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var lease struct{ Fence int64 }
	if err := json.NewDecoder(r).Decode(&lease); err != nil {
		t.Fatal(err)
	}
	return lease.Fence
}

// TestLockIsRenewed: a holder that lives keeps its lock far beyond the lease.
func TestLockIsRenewed(t *testing.T) {
	t.Parallel()
	opt := options(t)
	opt.Lease = time.Second
	holder, other := open(t, opt), open(t, opt)
	release, err := holder.Lock(ctx, "job")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		time.Sleep(500 * time.Millisecond)
		if _, err := other.Lock(ctx, "job"); !errors.Is(err, store.ErrLocked) {
			t.Fatal(err)
		}
		if err := store.PutBytes(ctx, holder, "key", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Errorf("a second release: %v", err)
	}
}

// TestLockIsLost: when the server cannot be reached for the lease, the holder stops writing, and release says so.
func TestLockIsLost(t *testing.T) {
	t.Parallel()
	opt := options(t)
	opt.Lease, opt.Sleep = time.Second, nil
	var down atomic.Bool
	handled(t, &opt, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		pass.ServeHTTP(w, r)
	})
	s := open(t, opt)
	release, err := s.Lock(ctx, "job")
	if err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	time.Sleep(1500 * time.Millisecond)
	down.Store(false)
	if err := store.PutBytes(ctx, s, "key", nil); !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), "lost") {
		t.Errorf("got %v", err)
	}
	if err := release(); !errors.Is(err, store.ErrLocked) {
		t.Errorf("release: %v", err)
	}
	if err := store.PutBytes(ctx, s, "key", nil); err != nil {
		t.Errorf("after release: %v", err)
	}
}

// TestOneHolder: of many that want a lock at once, again and again, one has it at a time.
func TestOneHolder(t *testing.T) {
	opt := options(t)
	var holders, taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		s := open(t, opt)
		wg.Go(func() {
			for range 20 {
				release, err := s.Lock(ctx, "job")
				if errors.Is(err, store.ErrLocked) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				time.Sleep(time.Millisecond)
				holders.Add(-1)
				taken.Add(1)
				if err := release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() == 0 {
		t.Error("nobody got it")
	}
	if n := inside(t, opt, "job"); n != taken.Load() {
		t.Errorf("taken %d times, the object says %d", taken.Load(), n)
	}
}

// TestServerWithoutConditions: a server that ignores If-None-Match gives no locks.
func TestServerWithoutConditions(t *testing.T) {
	opt := options(t)
	handled(t, &opt, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		answer := httptest.NewRecorder()
		pass.ServeHTTP(answer, r)
		if answer.Code == http.StatusPreconditionFailed {
			return // 200: as if it had been written
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
	if _, err := open(t, opt).Lock(ctx, "job"); err == nil || !strings.Contains(err.Error(), "ignores If-None-Match") {
		t.Errorf("got %v", err)
	}
}
