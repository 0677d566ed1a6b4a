package jobs

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
)

// TestFence: who was not heard for too long, or is buried, changes nothing: not by what it begins, and not by what it was
// just writing.
func TestFence(t *testing.T) {
	for name, fall := range map[string]func(*session){
		"silent": func(s *session) { s.sent.Store(int64(steady() - quick.Fence)) },
		"buried": func(s *session) { s.cancel(errBuried) },
	} {
		s := &session{q: &Queue{config: Config{Timing: quick}}}
		s.ctx, s.cancel = context.WithCancelCause(ctx)
		s.sent.Store(int64(steady()))
		folder := filepath.Join(t.TempDir(), "place")
		st, err := dir.Open(folder)
		must(t, err)
		defer st.Close()
		f := fenced{st, s.may}
		must(t, store.PutBytes(ctx, f, "old", []byte("old")))
		err = f.Put(ctx, "half", func(w io.Writer) error {
			fall(s)
			_, err := w.Write([]byte("half"))
			return err
		})
		_, lerr := f.Lock(ctx, "lock")
		for _, err := range []error{err, store.PutBytes(ctx, f, "new", []byte("new")), f.Delete(ctx, "old"), lerr} {
			if !errors.Is(err, errFence) && !errors.Is(err, errBuried) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := contents(t, folder); !maps.Equal(got, map[string]string{"old": "old"}) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestMastersAway: while no master can be had no work is refused for it: the job fails, says why, and goes on when they are
// back. The job of somebody who waits fails soon; that of others goes on trying.
func TestMastersAway(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	place, other := filepath.Join(t.TempDir(), "place"), filepath.Join(t.TempDir(), "other")
	q := f.queue(t, func(c *Config) { c.Tries, c.Awaited.Tries = 1000, 2 })
	f.deliver(t, q, "d0", other)
	f.deliver(t, q, "d1", place)
	must(t, os.Rename(f.Originals, f.Originals+"-away"))
	_, err := q.WorkUntil(ctx, bank, "d1", nil)
	if j := f.job(t, "d1"); err == nil || j.State != registry.JobFailed || j.Refused != 0 {
		t.Fatalf("%v, %+v", err, j)
	}
	if j := f.job(t, "d0"); j.State == registry.JobFailed || j.Refused != 0 {
		t.Fatalf("a job that nobody waits for: %+v", j)
	}
	must(t, os.Rename(f.Originals+"-away", f.Originals))
	for _, id := range []string{"d1", "d0"} {
		if id == "d1" {
			_, err = q.Retry(ctx, bank, id)
			must(t, err)
		}
		_, err = q.WorkUntil(ctx, bank, id, nil)
		must(t, err)
	}
	expectSame(t, contents(t, place), f.want(t))
	expectSame(t, contents(t, other), f.want(t))
}

// TestMastersLost: masters that go away in the middle are not refused either, in parts of any size; one work of several is,
// but not before the patient number of tries although somebody waits.
func TestMastersLost(t *testing.T) {
	for name, size := range map[string]int{"one": 1, "four": 4} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, drivers[0].place(t))
			f.Slow = 20 * time.Millisecond
			place := filepath.Join(t.TempDir(), "place")
			q := f.queue(t, func(c *Config) { c.Tries, c.Awaited.Tries = 3, 1 })
			f.deliver(t, q, "d1", place, func(s *DeliverySpec) { s.PartWorks = size })
			_, err := q.WorkUntil(ctx, bank, "d1", func(j registry.Job) {
				if j.Stage == stagePart {
					os.Rename(f.Originals, f.Originals+"-away")
				}
			})
			j := f.job(t, "d1")
			if !errors.Is(err, errPassing) && !errors.Is(err, os.ErrNotExist) || j.State != registry.JobFailed || j.Refused != 0 {
				t.Fatalf("%v, %+v", err, j)
			}
			must(t, os.Rename(f.Originals+"-away", f.Originals))
			_, err = q.Retry(ctx, bank, "d1")
			must(t, err)
			_, err = q.WorkUntil(ctx, bank, "d1", nil)
			must(t, err)
			expectSame(t, contents(t, place), f.want(t))
		})
	}
	f := newFixture(t, drivers[0].place(t))
	must(t, os.Remove(filepath.Join(f.Originals, "dogs/003.png")))
	q := f.queue(t, func(c *Config) { c.Tries, c.Awaited.Tries = 4, 1 })
	for id, size := range map[string]int{"d1": 1, "d4": 4} {
		f.deliver(t, q, id, filepath.Join(t.TempDir(), id), func(s *DeliverySpec) { s.PartWorks = size })
		j, err := q.WorkUntil(ctx, bank, id, nil)
		must(t, err)
		tries := 0
		l, err := f.reg.JobParts(ctx, bank, id, registry.PartDone, registry.Page{})
		must(t, err)
		for _, p := range l.Items {
			tries = max(tries, p.Tries)
		}
		if j.Refused != 1 || tries != 3 {
			t.Errorf("parts of %d: refused after %d failures: %+v", size, tries, j)
		}
	}
}

// files counts those in a place in which somebody may be at work, but for locks.
func files(folder string) (n int) {
	filepath.WalkDir(folder, func(p string, d os.DirEntry, err error) error {
		switch {
		case err != nil: // it has just gone
		case d.IsDir() && d.Name() == ".filigrane":
			return filepath.SkipDir
		case !d.IsDir():
			n++
		}
		return nil
	})
	return n
}

// TestCancelledLate cancels while a shard is on its way: what arrives after everything was cleared up does not count.
// While the manifest is on its way nothing can be cancelled, unless who wrote it has stopped.
func TestCancelledLate(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	atRest := func(id string) func() bool {
		return func() bool {
			l, err := f.reg.JobParts(ctx, bank, id, registry.PartRunning, registry.Page{})
			return err == nil && len(l.Items) == 0
		}
	}
	begin := func(t *testing.T, id, key string) (q *Queue, place string, release chan struct{}) {
		put, reached, release := holding(key)
		q = f.queue(t, func(c *Config) { c.Opener, c.Workers = hooked{f.world, put}, 3 })
		inBackground(t, q)
		place = filepath.Join(t.TempDir(), id)
		f.deliver(t, q, id, place)
		select {
		case <-reached:
		case <-time.After(20 * time.Second):
			close(release)
			t.Fatalf("%s does not come so far: %+v", id, f.job(t, id))
		}
		return q, place, release
	}
	t.Run("shard", func(t *testing.T) {
		q, place, release := begin(t, "d1", "shard-000000")
		_, err := q.Cancel(ctx, bank, "d1", "not wanted")
		must(t, err)
		until(t, "cleared up", 20*time.Second, func() bool { return files(place) == 0 })
		time.Sleep(stateKept + 100*time.Millisecond)
		close(release)
		for range 50 { // it is cleared up once more later, which would hide what came
			if n := files(place); n > 0 {
				t.Fatalf("%d files came after it was cancelled", n)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	t.Run("finish", func(t *testing.T) {
		q, place, release := begin(t, "d2", "manifest.json")
		if _, err := q.Cancel(ctx, bank, "d2", "not wanted"); !errors.Is(err, registry.ErrState) {
			t.Error(err)
		}
		close(release)
		until(t, "finished", 10*time.Second, func() bool { return f.job(t, "d2").State == registry.JobFinished })
		if d, err := f.reg.Delivery(ctx, bank, "d2"); err != nil || d.State != registry.Delivered {
			t.Errorf("%+v %v", d, err)
		}
		expectSame(t, contents(t, place), f.want(t))
	})
	t.Run("paused", func(t *testing.T) {
		q, place, release := begin(t, "d3", "manifest.json")
		_, err := q.Pause(ctx, bank, "d3", "")
		must(t, err)
		if _, err := q.Cancel(ctx, bank, "d3", "not wanted"); !errors.Is(err, registry.ErrState) {
			t.Error("who writes the manifest has not stopped yet", err)
		}
		time.Sleep(stateKept + 100*time.Millisecond)
		close(release)
		until(t, "at rest", 10*time.Second, atRest("d3"))
		_, err = q.Cancel(ctx, bank, "d3", "not wanted")
		must(t, err)
		until(t, "cleared up", 20*time.Second, func() bool { return files(place) == 0 })
		if d, err := f.reg.Delivery(ctx, bank, "d3"); err != nil || d.State != registry.Cancelled {
			t.Errorf("%+v %v", d, err)
		}
	})
}

// TestNotAllowed: what was recalled, reserved or revoked after a delivery was asked for is not delivered: neither when it
// begins, nor when it goes on, nor at its end.
func TestNotAllowed(t *testing.T) {
	withWorks := func(t *testing.T) (*fixture, concepts.Work) {
		f := newFixture(t, drivers[0].place(t))
		var list []registry.Work
		for _, w := range f.frozen.Catalogue().Works {
			list = append(list, registry.Work{Work: w, Bytes: 1})
		}
		_, err := f.reg.PutWorks(ctx, bank, list, time.Now())
		must(t, err)
		return f, list[3].Work
	}
	for name, c := range map[string]struct {
		says string
		do   func(f *fixture, w concepts.Work) error
		undo func(f *fixture, w concepts.Work) error
	}{
		"recalled": {"are recalled by now", func(f *fixture, w concepts.Work) error {
			_, err := f.reg.Recall(ctx, bank, []concepts.WorkID{w.ID}, "withdrawn", time.Now())
			return err
		}, nil},
		"reserved": {"are reserved by now", func(f *fixture, w concepts.Work) error {
			_, err := f.reg.SetWorkState(ctx, bank, []concepts.WorkID{w.ID}, registry.Reserved, time.Now())
			return err
		}, func(f *fixture, w concepts.Work) error {
			_, err := f.reg.SetWorkState(ctx, bank, []concepts.WorkID{w.ID}, registry.Active, time.Now())
			return err
		}},
		"missing and reserved": {"are reserved by now", func(f *fixture, w concepts.Work) error {
			if _, err := f.reg.SetWorkState(ctx, bank, []concepts.WorkID{w.ID}, registry.Missing, time.Now()); err != nil {
				return err
			}
			_, err := f.reg.PutObjects(ctx, bank, []registry.Object{{Name: w.Path, Bytes: 1, Modified: time.Now(), SHA256: w.SHA256, Work: w.ID, Reserved: registry.ByFile, Missing: true}})
			return err
		}, func(f *fixture, w concepts.Work) error { // by a consent
			_, err := f.reg.PutReservations(ctx, bank, []registry.Reservation{{Path: "*", Protocol: "consent", Raw: []byte("by: A"), Found: time.Now(), Effect: "allows"}})
			return err
		}},
		"revoked": {"was revoked", func(f *fixture, _ concepts.Work) error {
			_, err := f.reg.RevokeLicence(ctx, bank, "l1", "not paid", time.Now())
			return err
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f, w := withWorks(t)
			place := filepath.Join(t.TempDir(), "place")
			q := f.queue(t)
			f.deliver(t, q, "d1", place)
			must(t, c.do(f, w))
			_, err := q.WorkUntil(ctx, bank, "d1", nil)
			if j := f.job(t, "d1"); !errors.Is(err, ErrFinal) || j.State != registry.JobFailed || !strings.Contains(j.Why, c.says) || j.Stage != stagePlan {
				t.Fatalf("%v, %+v", err, j)
			}
			if _, err := q.Retry(ctx, bank, "d1"); !errors.Is(err, ErrFinal) {
				t.Error(err)
			}
			if c.undo == nil {
				return
			}
			must(t, c.undo(f, w))
			_, err = q.Retry(ctx, bank, "d1")
			must(t, err)
			_, err = q.WorkUntil(ctx, bank, "d1", nil)
			must(t, err)
			expectSame(t, contents(t, place), f.want(t))
		})
	}
	t.Run("at the end", func(t *testing.T) {
		f, w := withWorks(t)
		put, reached, release := holding("shard-000000")
		q := f.queue(t, func(c *Config) { c.Opener = hooked{f.world, put} })
		place := filepath.Join(t.TempDir(), "place")
		f.deliver(t, q, "d1", place)
		inBackground(t, q)
		<-reached
		_, err := f.reg.Recall(ctx, bank, []concepts.WorkID{w.ID}, "withdrawn", time.Now())
		close(release)
		must(t, err)
		until(t, "failed", 10*time.Second, func() bool { return f.job(t, "d1").State == registry.JobFailed })
		if _, there := contents(t, place)["manifest.json"]; there || !strings.Contains(f.job(t, "d1").Why, "recalled") {
			t.Errorf("%v %+v", there, f.job(t, "d1"))
		}
	})
	t.Run("excused", func(t *testing.T) { // what was taken although it was reserved, and is told so with the catalogue
		f, w := withWorks(t)
		_, err := f.reg.SetWorkState(ctx, bank, []concepts.WorkID{w.ID}, registry.Reserved, time.Now())
		must(t, err)
		_, err = f.reg.PutStory(ctx, bank, registry.Ref{Name: "crops", Version: 1}, []byte(`{"taken_although_reserved":["`+string(w.ID)+`"]}`), time.Now())
		must(t, err)
		l, err := f.reg.Licence(ctx, bank, "l1")
		must(t, err)
		must(t, Allowed(ctx, f.reg, bank, l, f.frozen, time.Now()))
		_, err = f.reg.PutObjects(ctx, bank, []registry.Object{{Name: w.Path, Bytes: 1, Modified: time.Now(), SHA256: w.SHA256, Work: w.ID, Reserved: registry.ByTable}})
		must(t, err)
		if err := Allowed(ctx, f.reg, bank, l, f.frozen, time.Now()); !errors.Is(err, ErrFinal) {
			t.Error("the bank's own table is not overruled", err)
		}
		if err := Allowed(ctx, f.reg, bank, l, f.frozen, l.End); !errors.Is(err, ErrFinal) || !strings.Contains(err.Error(), "ended") {
			t.Error(err)
		}
	})
}
