package jobs

import (
	"context"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/registry"
)

// Record tells the registry what became of every work of a finished delivery, in batches, and of those that were recalled
// meanwhile that they are to be removed: it returns how many. before is asked before each batch. It may run twice.
func Record(ctx context.Context, reg *registry.Registry, scope registry.Scope, id string, d *delivery.Delivery, now func() time.Time, before func() error) (recalled int, err error) {
	list := make([]registry.Item, 0, registry.MostPerPage)
	flush := func() error {
		if len(list) == 0 {
			return nil
		}
		if err := before(); err != nil {
			return err
		}
		n, err := recordBatch(ctx, reg, scope, id, list, now())
		recalled, list = recalled+n, list[:0]
		return err
	}
	add := func(i registry.Item) error {
		if list = append(list, i); len(list) < registry.MostPerPage {
			return nil
		}
		return flush()
	}
	for i := range d.Images {
		img := &d.Images[i]
		item := registry.Item{Work: img.Work, Shard: img.Shard, SHA256: img.SHA256, Bytes: img.Bytes, PSNRDB: img.PSNRDB, SSIM: img.SSIM}
		if !img.ISCCImage.IsZero() {
			item.ISCC = img.ISCCImage.String()
		}
		if err := add(item); err != nil {
			return recalled, err
		}
	}
	for _, r := range d.Refusals {
		detail := r.Detail
		if detail == "" {
			detail = string(r.Kind)
		}
		if err := add(registry.Item{Work: r.Work, Refusal: string(r.Kind), Detail: detail}); err != nil {
			return recalled, err
		}
	}
	return recalled, flush()
}

// recordBatch keeps items first and looks for recalls then: a recall in between finds the items itself.
func recordBatch(ctx context.Context, reg *registry.Registry, scope registry.Scope, id string, list []registry.Item, now time.Time) (recalled int, err error) {
	if _, err := reg.PutItems(ctx, scope, id, list); err != nil {
		return 0, err
	}
	ids := make([]concepts.WorkID, len(list))
	for i := range list {
		ids[i] = list[i].Work
	}
	works, err := reg.WorksByID(ctx, scope, ids)
	if err != nil {
		return 0, err
	}
	var late []concepts.WorkID
	for _, w := range works {
		if w.State == registry.Recalled {
			late = append(late, w.ID)
		}
	}
	if len(late) == 0 {
		return 0, nil
	}
	c, err := reg.Recall(ctx, scope, late, "recalled while it was being delivered", now)
	return c.Added, err
}
