package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/filigrane/filigrane/internal/store"
)

// Finish makes the delivery of the written shards: under the lock of the place it reads the pools, writes codebook and, last,
// the manifest, and then removes the staging. If it was finished already, by whomever, it gives what there is. It
// holds a record of every image.
//
// Errors: ErrNotSealed; ShardError names shards that are not written, or gone; ErrGone; store.ErrLocked; the store's.
func (m *Making) Finish(ctx context.Context) (d *Delivery, err error) {
	err = m.locked(ctx, func() (err error) {
		if d, err = m.finished(ctx); err != nil {
			return err
		}
		if d != nil {
			return m.sweep(ctx)
		}
		if err := m.here(ctx); err != nil {
			return err
		}
		d, err = m.finish(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

// finish does it under the lock.
func (m *Making) finish(ctx context.Context) (*Delivery, error) {
	s, err := m.sealed(ctx)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, ErrNotSealed
	}
	var took Times
	ended := since(&took.Finish)
	man, err := m.assemble(ctx, s)
	if err != nil {
		return nil, err
	}
	if m.spec.Readable == ReadablePool {
		if err := m.pools(ctx, man); err != nil {
			return nil, err
		}
	}
	man.Buckets = countBuckets(man.Parameters.Geometry, man.Images)
	man.Summary = man.summarise()
	if err := man.check(); err != nil {
		return nil, fmt.Errorf("delivery: the manifest made is wrong, report it: %w", err)
	}
	book, text, err := m.spec.codebook()
	if err != nil {
		return nil, err
	}
	if err := store.PutBytes(ctx, m.store, CodebookKey, text); err != nil {
		return nil, err
	}
	if _, err := putManifest(ctx, m.store, man); err != nil {
		return nil, err
	}
	if err := m.unstage(ctx); err != nil {
		return nil, err
	}
	ended()
	m.times.add(took)
	return &Delivery{Manifest: man, Codebook: book, Times: m.Times()}, nil
}

// assemble makes the manifest, but for its figures, of the plans and the records of shards.
func (m *Making) assemble(ctx context.Context, s *sealed) (*Manifest, error) {
	man := &Manifest{Format: ManifestFormat, Parameters: m.parameters, Shards: []Shard{}, Images: make([]Image, 0, s.Images), Refusals: make([]Refusal, 0, s.Refused), Removals: m.removals}
	there := make(map[string]int64)
	if err := m.store.Each(ctx, shardPrefix, "", func(o store.Object) error {
		there[o.Key] = o.Size
		return nil
	}); err != nil {
		return nil, err
	}
	var lacking []int
	known := make(interned)
	type both struct {
		plan   *plan
		record *shardRecord
	}
	err := inOrder(ctx, len(s.Plans), 4, func(ctx context.Context, n int) (b both, err error) {
		if b.plan, err = m.readPlan(ctx, s, n); err != nil || n >= s.Shards {
			return b, err
		}
		b.record, err = m.written(ctx, s, n)
		if b.record != nil && there[b.record.Shard.Name] != b.record.Shard.Bytes {
			err = errors.Join(err, m.store.Delete(ctx, shardRecordKey(n))) // so that it is written again
			b.record = nil
		}
		return b, err
	}, func(n int, b both) error {
		man.Refusals = append(man.Refusals, b.plan.Refusals...)
		if n >= s.Shards {
			return nil
		}
		if b.record == nil {
			lacking = append(lacking, n)
			return nil
		}
		man.Shards = append(man.Shards, b.record.Shard)
		for i := range b.plan.Images {
			img := b.plan.Images[i].Image
			img.Shard = b.record.Shard.Name
			if w, ok := m.spec.Catalogue.Work(img.Work); ok { // its texts are in memory already
				img.Work, img.SourcePath, img.SourceSHA256 = w.ID, w.Path, w.SHA256
			}
			known.image(&img)
			img.Concepts = slices.Clone(img.Concepts) // as long as it is, which decoding does not leave it
			man.Images = append(man.Images, img)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if lacking != nil {
		return nil, &ShardError{Shards: lacking[:min(len(lacking), mostNamed)], Err: errors.New("shards are not written yet, or gone")}
	}
	return man, nil
}
