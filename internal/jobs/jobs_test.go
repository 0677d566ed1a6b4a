package jobs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/registry"
)

// TestDeliver: a delivery by jobs is, byte for byte, that of delivery.Run; asked for again it is there.
func TestDeliver(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		want := f.want(t)
		place := filepath.Join(t.TempDir(), "place")
		q := f.queue(t)
		for again := range 2 {
			added := f.deliver(t, q, "d1", place)
			if added != (again == 0) {
				t.Error(added)
			}
			steps := 0
			j, err := q.WorkUntil(ctx, bank, "d1", func(registry.Job) { steps++ })
			must(t, err)
			if j.State != registry.JobFinished || j.Done != works || j.Total != works || j.Refused != 0 || steps == 0 {
				t.Fatalf("%+v", j)
			}
			expectSame(t, contents(t, place), want)
		}
		d, err := f.reg.Delivery(ctx, bank, "d1")
		must(t, err)
		counts, err := f.reg.CountItems(ctx, bank, "d1")
		must(t, err)
		if d.State != registry.Delivered || counts[""].Items != works {
			t.Fatalf("%+v %+v", d, counts)
		}
		// Another job to the same place finds the delivery there.
		f.deliver(t, q, "d2", place)
		_, err = q.WorkUntil(ctx, bank, "d2", nil)
		must(t, err)
		expectSame(t, contents(t, place), want)
		if l, err := f.reg.Workers(ctx, operator, registry.WorkerAlive, registry.Page{}); err != nil || len(l.Items) > 0 {
			t.Error(l, err)
		}
	})
}

// inBackground works on the queue until the test ends.
func inBackground(t *testing.T, q *Queue) {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- q.Work(ctx) }()
	t.Cleanup(func() {
		stop()
		must(t, <-ended)
	})
}

// TestPauseAndCancel: a paused job stands still and goes on where it was; a cancelled one leaves nothing.
func TestPauseAndCancel(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.Slow = 40 * time.Millisecond
		place, other := filepath.Join(t.TempDir(), "place"), filepath.Join(t.TempDir(), "other")
		q := f.queue(t)
		inBackground(t, q)
		f.deliver(t, q, "d1", place)
		until(t, "begun", 10*time.Second, func() bool { j := f.job(t, "d1"); return j.Stage == stagePart && j.Left < j.Parts-1 })
		_, err := q.Pause(ctx, bank, "d1", "too hot")
		must(t, err)
		until(t, "at rest", 5*time.Second, func() bool {
			l, err := f.reg.JobParts(ctx, bank, "d1", registry.PartRunning, registry.Page{})
			return err == nil && len(l.Items) == 0
		})
		before := f.job(t, "d1")
		if d, err := f.reg.Delivery(ctx, bank, "d1"); err != nil || d.State != registry.Paused || d.Why != "too hot" {
			t.Fatalf("%+v %v", d, err)
		}
		// Meanwhile another one is begun, and cancelled.
		f.deliver(t, q, "d2", other)
		until(t, "begun", 10*time.Second, func() bool { j := f.job(t, "d2"); return j.Stage == stagePart && j.Left < j.Parts-1 })
		_, err = q.Cancel(ctx, bank, "d2", "not wanted")
		must(t, err)
		if j := f.job(t, "d1"); j.Done != before.Done || j.State != registry.JobPaused {
			t.Errorf("a paused job went on: %+v, then %+v", before, j)
		}
		_, err = q.Resume(ctx, bank, "d1")
		must(t, err)
		until(t, "finished", 20*time.Second, func() bool { return f.job(t, "d1").State == registry.JobFinished })
		expectSame(t, contents(t, place), f.want(t))
		until(t, "the cancelled one is cleared up", 10*time.Second, func() bool { return len(contents(t, other)) == 0 })
		if d, err := f.reg.Delivery(ctx, bank, "d2"); err != nil || d.State != registry.Cancelled {
			t.Errorf("%+v %v", d, err)
		}
		if _, err := q.Resume(ctx, bank, "d2"); !errors.Is(err, registry.ErrState) {
			t.Error(err)
		}
	})
}

// TestFailedAndRetried: what will not pass by itself fails the job at once, and says why; retried it goes on.
func TestFailedAndRetried(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	place := filepath.Join(t.TempDir(), "place")
	must(t, os.MkdirAll(place, 0o777))
	foreign := filepath.Join(place, "letters.txt")
	must(t, os.WriteFile(foreign, []byte("dear"), 0o666))
	q := f.queue(t)
	f.deliver(t, q, "d1", place)
	_, err := q.WorkUntil(ctx, bank, "d1", nil)
	if j := f.job(t, "d1"); !errors.Is(err, delivery.ErrForeign) || j.State != registry.JobFailed || !strings.Contains(j.Why, "letters.txt") {
		t.Fatalf("%v, %+v", err, j)
	}
	must(t, os.Remove(foreign))
	_, err = q.Retry(ctx, bank, "d1")
	must(t, err)
	_, err = q.WorkUntil(ctx, bank, "d1", nil)
	must(t, err)
	expectSame(t, contents(t, place), f.want(t))
}

// TestMissingMaster: a master that is out of reach is asked for again, and refused in the end; one that comes back in time
// is delivered.
func TestMissingMaster(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	away := filepath.Join(t.TempDir(), "away")
	must(t, os.WriteFile(away, nil, 0o666))
	f.Missing = "dogs/003.png " + away
	place, other := filepath.Join(t.TempDir(), "place"), filepath.Join(t.TempDir(), "other")
	q := f.queue(t, func(c *Config) { c.Tries = 3 })
	f.deliver(t, q, "d1", place, inFours)
	j, err := q.WorkUntil(ctx, bank, "d1", nil)
	must(t, err)
	if j.Refused != 1 || j.Done != works {
		t.Fatalf("%+v", j)
	}
	q = f.queue(t, func(c *Config) { c.Tries = 1000 })
	f.deliver(t, q, "d2", other)
	go func() {
		time.Sleep(2 * time.Second)
		os.Remove(away)
	}()
	_, err = q.WorkUntil(ctx, bank, "d2", nil)
	must(t, err)
	expectSame(t, contents(t, other), f.want(t))
}

// TestPoison: a work whose master kills the process that opens it is found out and set aside; all others are delivered.
func TestPoison(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	f.Deadly = "woods/007.png"
	place := filepath.Join(t.TempDir(), "place")
	f.deliver(t, f.queue(t), "d1", place)
	deaths := 0
	for f.job(t, "d1").State != registry.JobFinished {
		if deaths++; deaths > 12 {
			t.Fatalf("after %d deaths: %+v", deaths, f.job(t, "d1"))
		}
		<-f.spawn(t, "d1", func(e *errand) { e.Poison, e.Workers = 2, 2 }).ended
	}
	l, err := f.reg.RefusedItems(ctx, bank, "d1", registry.Page{})
	must(t, err)
	counts, err := f.reg.CountItems(ctx, bank, "d1")
	must(t, err)
	if len(l.Items) != 1 || l.Items[0].Refusal != string(delivery.Poison) || counts[""].Items != works-1 {
		t.Fatalf("%+v %+v", l, counts)
	}
	t.Logf("%d processes; %s", deaths, l.Items[0].Detail)
}

// TestRestored: a job whose tickets were lost, as in a registry restored from a dump, gets new ones and goes on.
func TestRestored(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	place := filepath.Join(t.TempDir(), "place")
	f.deliver(t, f.queue(t), "d1", place)
	var dump bytes.Buffer
	_, err := f.reg.Dump(ctx, operator, &dump, time.Now())
	must(t, err)
	restored := *f
	restored.where = filepath.Join(t.TempDir(), "restored.db")
	_, err = registry.Restore(ctx, restored.where, &dump)
	must(t, err)
	restored.reg, err = registry.Open(ctx, restored.where)
	must(t, err)
	defer restored.reg.Close()
	_, err = restored.queue(t).WorkUntil(ctx, bank, "d1", nil)
	must(t, err)
	expectSame(t, contents(t, place), f.want(t))
}

// TestFairness: the parts of two jobs take turns, although one was asked for long before.
func TestFairness(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	f.Slow = 5 * time.Millisecond
	q := f.queue(t, func(c *Config) { c.Workers = 1 })
	for _, id := range []string{"d1", "d2"} {
		f.deliver(t, q, id, filepath.Join(t.TempDir(), id))
	}
	inBackground(t, q)
	until(t, "one of them is half way", 20*time.Second, func() bool { j := f.job(t, "d1"); return j.Stage == stagePart && j.Left <= j.Parts/2 })
	a, b := f.job(t, "d1"), f.job(t, "d2")
	if b.Stage != stagePart || b.Left-a.Left > lookahead {
		t.Errorf("the first is done but for %d parts, the second but for %d", a.Left, b.Left)
	}
}

// TestStagingLost: parts whose staging was lost after they were done are done again.
func TestStagingLost(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	f.Slow = 40 * time.Millisecond
	place := filepath.Join(t.TempDir(), "place")
	q := f.queue(t)
	f.deliver(t, q, "d1", place)
	inBackground(t, q)
	until(t, "some parts are done", 20*time.Second, func() bool { j := f.job(t, "d1"); return j.Stage == stagePart && j.Parts-j.Left > 4 })
	_, err := q.Pause(ctx, bank, "d1", "")
	must(t, err)
	until(t, "at rest", 5*time.Second, func() bool {
		l, err := f.reg.JobParts(ctx, bank, "d1", registry.PartRunning, registry.Page{})
		return err == nil && len(l.Items) == 0
	})
	if f.job(t, "d1").Stage != stagePart {
		t.Fatal("paused too late")
	}
	lost, err := filepath.Glob(filepath.Join(place, "staging", "part-*.json"))
	must(t, err)
	for _, file := range lost[:3] {
		must(t, os.Remove(file))
	}
	_, err = q.Resume(ctx, bank, "d1")
	must(t, err)
	until(t, "finished", 20*time.Second, func() bool { return f.job(t, "d1").State == registry.JobFinished })
	if j := f.job(t, "d1"); j.Run < 3 || j.Done != works {
		t.Errorf("run %d, %d works", j.Run, j.Done)
	}
	expectSame(t, contents(t, place), f.want(t))
}
