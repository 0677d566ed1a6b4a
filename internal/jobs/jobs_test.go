package jobs

import (
	"path/filepath"
	"testing"

	"github.com/filigrane/filigrane/internal/registry"
)

// TestDeliver: a delivery by jobs is, byte for byte, that of delivery.Run; asked for again it is there.
func TestDeliver(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		want := f.want(t)
		place := filepath.Join(t.TempDir(), "place")
		q := f.queue(t)
		for again := range 2 {
			id, added, err := q.Deliver(ctx, bank, f.spec("d1", place))
			must(t, err)
			if added != (again == 0) {
				t.Error(added)
			}
			steps := 0
			j, err := q.WorkUntil(ctx, bank, id, func(registry.Job) { steps++ })
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
		_, _, err = q.Deliver(ctx, bank, f.spec("d2", place))
		must(t, err)
		_, err = q.WorkUntil(ctx, bank, "d2", nil)
		must(t, err)
		expectSame(t, contents(t, place), want)
		if l, err := f.reg.Workers(ctx, operator, registry.WorkerAlive, registry.Page{}); err != nil || len(l.Items) > 0 {
			t.Error(l, err)
		}
	})
}
