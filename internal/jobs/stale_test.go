package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
)

// TestStaleResult: who ends a part that others have done long ago changes nothing of what came out of the job.
func TestStaleResult(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	q := f.queue(t)
	f.deliver(t, q, "d1", filepath.Join(t.TempDir(), "place"))
	_, err := q.WorkUntil(ctx, bank, "d1", nil)
	must(t, err)
	before := f.job(t, "d1")
	late := func(stage string, run int) {
		t.Helper()
		h := &held{s: &session{q: q, ctx: ctx}, t: ticket{Tenant: bank.Tenant, Job: "d1", Run: run, Stage: stage}, scope: bank, job: before}
		must(t, h.end(&outcome{PartEnd: registry.PartEnd{Then: registry.Stage{Name: stagePart, Parts: 1}}, job: json.RawMessage(`{"making":"an old one"}`)}))
	}
	late(stagePlan, 1)
	late(stageFinish, 1)
	if j := f.job(t, "d1"); string(j.Result) != string(before.Result) || j.State != registry.JobFinished {
		t.Errorf("%s, then %s", before.Result, j.Result)
	}
}

// beginAt begins a delivery in its place, as whoever asks for it does, and gives its name there.
func (f *fixture) beginAt(t *testing.T, q *Queue, place string) string {
	t.Helper()
	m, err := q.open(ctx, bank, f.spec(place), "", func() error { return nil })
	must(t, err)
	defer m.shut()
	return m.m.Job()
}

// TestPlaceEmptied: a delivery whose place was emptied while it rested, and in which it was begun again, is made from the
// start also by a process that worked on it before.
func TestPlaceEmptied(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	f.Slow = 40 * time.Millisecond
	place := filepath.Join(t.TempDir(), "place")
	q := f.queue(t)
	f.deliver(t, q, "d1", place)
	inBackground(t, q)
	until(t, "begun", 10*time.Second, func() bool { j := f.job(t, "d1"); return j.Stage == stagePart && j.Left < j.Parts-1 })
	_, err := q.Pause(ctx, bank, "d1", "")
	must(t, err)
	until(t, "at rest", 5*time.Second, func() bool {
		l, err := f.reg.JobParts(ctx, bank, "d1", registry.PartRunning, registry.Page{})
		return err == nil && len(l.Items) == 0
	})
	must(t, os.RemoveAll(place))
	_, err = q.Begun(ctx, bank, "d1", f.beginAt(t, q, place))
	must(t, err)
	until(t, "over", 20*time.Second, func() bool { s := f.job(t, "d1").State; return s.Over() || s == registry.JobFailed })
	if j := f.job(t, "d1"); j.State != registry.JobFinished || j.Done != works || j.Total != works {
		t.Fatalf("%+v", j)
	}
	expectSame(t, contents(t, place), f.want(t))
}

// TestAskedAgainAtTheEnd: a delivery that is asked for again when all but its papers is in its place goes on from there.
func TestAskedAgainAtTheEnd(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	place := filepath.Join(t.TempDir(), "place")
	wrong := true
	q := f.queue(t, func(c *Config) {
		c.Papers = func(context.Context, registry.Scope, DeliverySpec, *concepts.Frozen, store.Store) (string, error) {
			if wrong {
				return "", fmt.Errorf("%w: no ink", ErrFinal)
			}
			return "key", nil
		}
	})
	f.deliver(t, q, "d1", place)
	_, err := q.WorkUntil(ctx, bank, "d1", nil)
	if j := f.job(t, "d1"); !errors.Is(err, ErrFinal) || j.State != registry.JobFailed || j.Stage != stageFinish {
		t.Fatalf("%v: %+v", err, j)
	}
	wrong = false
	j, err := q.Begun(ctx, bank, "d1", f.beginAt(t, q, place))
	must(t, err)
	if j.Stage != stageFinish || j.State != registry.JobRunning {
		t.Fatalf("it goes on with %+v", j)
	}
	j, err = q.WorkUntil(ctx, bank, "d1", nil)
	must(t, err)
	if j.Done != works || madeBy(j).Receipt != "key" {
		t.Errorf("%+v", j)
	}
}

// TestFinishOfAnother: a job at its end, in whose place another delivery was begun meanwhile, leaves that alone.
func TestFinishOfAnother(t *testing.T) {
	f := newFixture(t, drivers[0].place(t))
	place := filepath.Join(t.TempDir(), "place")
	q := f.queue(t, func(c *Config) {
		c.Papers = func(context.Context, registry.Scope, DeliverySpec, *concepts.Frozen, store.Store) (string, error) {
			return "", fmt.Errorf("%w: no ink", ErrFinal)
		}
	})
	f.deliver(t, q, "d1", place)
	_, err := q.WorkUntil(ctx, bank, "d1", nil)
	if !errors.Is(err, ErrFinal) {
		t.Fatal(err)
	}
	must(t, os.RemoveAll(place))
	f.beginAt(t, q, place)
	_, err = q.Retry(ctx, bank, "d1")
	must(t, err)
	if _, err = q.WorkUntil(ctx, bank, "d1", nil); !errors.Is(err, delivery.ErrGone) {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(place, "job.json")); err != nil {
		t.Error("the other one was abandoned:", err)
	}
}
