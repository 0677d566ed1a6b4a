package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/registry"
)

// halfway brings a delivery to where some of its parts are done, and lets it rest there.
func (f *fixture) halfway(t *testing.T, q *Queue, id, place string) {
	t.Helper()
	f.deliver(t, q, id, place)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- q.Work(ctx) }()
	until(t, "begun", 10*time.Second, func() bool { j := f.job(t, id); return j.Stage == stagePart && j.Left < j.Parts-1 })
	_, err := q.Pause(ctx, bank, id, "")
	must(t, err)
	stop()
	must(t, <-ended)
	if j := f.job(t, id); j.Stage != stagePart {
		t.Fatalf("too late: %+v", j)
	}
}

// TestCancelledAtOnce: of a delivery that was begun in its place and cancelled before a worker took it up nothing is left.
func TestCancelledAtOnce(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	place := filepath.Join(t.TempDir(), "place")
	q := f.queue(t)
	f.beginAt(t, q, place)
	f.deliver(t, q, "d1", place)
	_, err := q.Cancel(ctx, bank, "d1", "a mistake")
	must(t, err)
	must(t, q.Drain(ctx))
	if left := contents(t, place); len(left) > 0 {
		t.Errorf("left over: %d files", len(left))
	}
}

// TestTakenOver: what a cancelled delivery left is another's that goes on in its place, and is not cleared away under it.
func TestTakenOver(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	f.Slow = 40 * time.Millisecond
	place := filepath.Join(t.TempDir(), "place")
	q := f.queue(t)
	f.halfway(t, q, "d1", place)
	_, err := q.Cancel(ctx, bank, "d1", "")
	must(t, err)
	name := f.beginAt(t, q, place)
	f.deliver(t, q, "d2", place)
	j, err := q.WorkUntil(ctx, bank, "d2", nil)
	must(t, err)
	if madeBy(j).Making != name {
		t.Error("it was begun anew")
	}
	expectSame(t, contents(t, place), f.want(t))
}

// TestOtherVersion: a worker of another version leaves a delivery as it is, with as many tickets as it had.
func TestOtherVersion(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	f.Slow = 40 * time.Millisecond
	q := f.queue(t)
	f.halfway(t, q, "d1", filepath.Join(t.TempDir(), "place"))
	j, err := q.Resume(ctx, bank, "d1")
	must(t, err)
	other := f.queue(t, func(c *Config) { c.CodeVersion = "another" })
	within, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	must(t, other.Work(within))
	counts, err := waiting(ctx, f.reg, queueOf(bank), nil)
	must(t, err)
	if n := counts[runOf("d1", j.Run)]; n > lookahead {
		t.Errorf("%d tickets", n)
	}
	if now := f.job(t, "d1"); now.Left != j.Left || now.State != registry.JobRunning {
		t.Errorf("%+v, then %+v", j, now)
	}
}

// TestKinds: who works on imports alone is done when there are none, whatever else waits; and one that finds the bank's
// workspace in use waits for it, for as long as that takes.
func TestKinds(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		calls := 0
		q := f.queue(t, func(c *Config) {
			c.Tries, c.Backoff = 1, 5*time.Millisecond
			c.Import = func(context.Context, registry.Scope, json.RawMessage, func(done, refused int64) error) (ImportResult, error) {
				if calls++; calls < 4 {
					return ImportResult{}, fmt.Errorf("%w: another import", ErrBusy)
				}
				return ImportResult{Done: 3}, nil
			}
		})
		f.deliver(t, q, "d1", filepath.Join(t.TempDir(), "place"))
		_, err := q.Import(ctx, bank, "i1", json.RawMessage(`{}`))
		must(t, err)
		within, stop := context.WithTimeout(ctx, 20*time.Second)
		defer stop()
		must(t, q.Drain(within, registry.ImportJob))
		if within.Err() != nil {
			t.Error("it waits for the delivery")
		}
		if j := f.job(t, "i1"); j.State != registry.JobFinished || j.Done != 3 || calls != 4 {
			t.Errorf("%d calls: %+v", calls, j)
		}
		if j := f.job(t, "d1"); j.State != registry.JobPlanned {
			t.Errorf("%+v", j)
		}
	})
}

// TestHandingBack: a worker that takes long to hand back what it works on is not taken for dead meanwhile.
func TestHandingBack(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	begun, let := make(chan bool), make(chan bool)
	q := f.queue(t, func(c *Config) {
		c.Import = func(context.Context, registry.Scope, json.RawMessage, func(done, refused int64) error) (ImportResult, error) {
			close(begun)
			<-let
			return ImportResult{}, context.Canceled
		}
	})
	_, err := q.Import(ctx, bank, "i1", json.RawMessage(`{}`))
	must(t, err)
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- q.Work(working) }()
	<-begun
	stop()
	time.Sleep(2 * quick.Dead)
	must(t, (&session{q: f.queue(t), id: "an undertaker"}).bury(ctx))
	l, err := f.reg.Workers(ctx, operator, registry.WorkerAlive, registry.Page{})
	must(t, err)
	if len(l.Items) != 1 {
		t.Error("it was buried alive")
	}
	close(let)
	must(t, <-ended)
	if j := f.job(t, "i1"); j.Deaths != 0 || j.State != registry.JobRunning {
		t.Errorf("%+v", j)
	}
}

// TestNeverArrived: a ticket that the queue gave to a worker which never saw it is made anew; one that it has in hand is not.
func TestNeverArrived(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		q := f.queue(t)
		f.deliver(t, q, "d1", filepath.Join(t.TempDir(), "place"))
		s := &session{q: q, id: "w", taken: map[int64]time.Duration{}}
		var number int64
		if pool := f.reg.Pool(); pool != nil {
			must(t, pool.QueryRow(ctx, "UPDATE river_job SET state = 'running', attempt = 1, attempted_by = ARRAY['w'], attempted_at = now() - interval '2 minutes' RETURNING id").Scan(&number))
		} else {
			must(t, f.reg.SQL().QueryRowContext(ctx, "UPDATE river_job SET state = 'running', attempt = 1, attempted_by = jsonb('[\"w\"]'), attempted_at = datetime('now', 'subsec', '-2 minutes') RETURNING id").Scan(&number))
		}
		states := func() (n map[string]int) {
			n = map[string]int{}
			const text = "SELECT state FROM river_job"
			add := func(state string) { n[state]++ }
			if pool := f.reg.Pool(); pool != nil {
				rows, err := pool.Query(ctx, text)
				must(t, err)
				defer rows.Close()
				for state := ""; rows.Next(); add(state) {
					must(t, rows.Scan(&state))
				}
				return n
			}
			rows, err := f.reg.SQL().QueryContext(ctx, text)
			must(t, err)
			defer rows.Close()
			for state := ""; rows.Next(); add(state) {
				must(t, rows.Scan(&state))
			}
			return n
		}
		s.taken[number] = 0
		must(t, s.reclaim(ctx))
		if n := states(); n["running"] != 1 || len(n) != 1 {
			t.Fatal("in hand:", n)
		}
		delete(s.taken, number)
		must(t, s.reclaim(ctx))
		must(t, s.reclaim(ctx))
		if n := states(); n["cancelled"] != 1 || n["available"] != 1 || len(n) != 2 {
			t.Fatal("never arrived:", n)
		}
	})
}

// TestTidy: what was not used for a while is closed, and what is in use is not.
func TestTidy(t *testing.T) {
	q := &Queue{makings: map[string]*making{}}
	var closed atomic.Int64
	add := func(key string, users int) {
		m := &making{ready: make(chan struct{}), users: users, close: []func() error{func() error { closed.Add(1); return nil }}}
		close(m.ready)
		q.makings[key] = m
	}
	add("idle", 0)
	add("busy", 1)
	s := &session{q: q, states: map[string]*state{"old": {at: steady() - 2*ensureEvery}, "new": {at: steady()}}}
	s.tidy()
	if closed.Load() != 0 {
		t.Error("closed at once")
	}
	s.tidy()
	if closed.Load() != 1 || len(q.makings) != 1 || q.makings["busy"] == nil {
		t.Errorf("%d closed, %d left", closed.Load(), len(q.makings))
	}
	if len(s.states) != 1 || s.states["new"] == nil {
		t.Errorf("states: %v", len(s.states))
	}
}
