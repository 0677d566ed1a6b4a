package registry

import (
	"context"
	"testing"
	"time"
)

// TestRecallIsFinal: no state set later undoes a recall, not even one that came after the states were looked at.
func TestRecallIsFinal(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		put(t, r, ours, "w1", "w2")
		must(t, errOf(r.Recall(ctx, ours, workIDs("w1"), "consent withdrawn", noon)))
		for _, state := range []WorkState{Active, Missing, Reserved} {
			got := get[Changes](t)(r.SetWorkState(ctx, ours, workIDs("w1", "w2"), state, noon))
			if want := map[WorkState]Changes{Active: {Unchanged: 2}, Missing: {Changed: 1, Unchanged: 1}, Reserved: {Changed: 1, Unchanged: 1}}[state]; got != want {
				t.Errorf("%v: %+v, want %+v", state, got, want)
			}
			if w := get[Work](t)(r.Work(ctx, ours, "w1")); w.State != Recalled {
				t.Errorf("a recalled work was made %v", w.State)
			}
		}
		if r.Pool() == nil {
			return // SQLite has one writer: nobody comes between a look and what is written after it
		}
		// One transaction recalls w2 and waits; another finds it reserved still, and then waits for the first to write.
		recalled, tried := make(chan struct{}), make(chan error, 1)
		go func() {
			<-recalled
			tried <- errOf(r.SetWorkState(ctx, ours, workIDs("w2"), Active, noon))
		}()
		must(t, r.InTx(ctx, func(in *Registry) error {
			if err := errOf(in.Recall(ctx, ours, workIDs("w2"), "consent withdrawn", noon)); err != nil {
				return err
			}
			close(recalled)
			waiting(t, r)
			return nil
		}))
		must(t, <-tried)
		if w := get[Work](t)(r.Work(ctx, ours, "w2")); w.State != Recalled {
			t.Errorf("a work that was recalled meanwhile was made %v", w.State)
		}
	})
}

// waiting returns when a statement on this database waits for a lock.
func waiting(t *testing.T, r *Registry) {
	t.Helper()
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	for n := 0; n == 0; time.Sleep(5 * time.Millisecond) {
		must(t, r.Pool().QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n))
	}
}
