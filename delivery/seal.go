package delivery

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/internal/store"
)

// sealed is staging/sealed.json: the shards are fixed. What each holds says its plan,
//
//	staging/plan-NNNNNN-H.json
//
// where H is the first 32 hex digits of the plan's SHA-256. Sealed is written after all plans and never replaced, so that every
// process makes the same shards.
type sealed struct {
	Format  string   `json:"format"`
	Job     string   `json:"job"`
	Images  int      `json:"images"`
	Refused int      `json:"refused"`
	Shards  int      `json:"shards"`
	Plans   []string `json:"plans"` // the H of each: of every shard, or of one without images
}

// plan is what one shard holds, and the refusals of the works before, among and, for the last, after its images.
type plan struct {
	Format   string      `json:"format"`
	Job      string      `json:"job"`
	Shard    int         `json:"shard"`
	Batches  []planBatch `json:"batches"`
	Images   []planImage `json:"images"` // by work
	Refusals []Refusal   `json:"refusals"`
}

// planBatch is a batch that images of a shard lie in.
type planBatch struct {
	Name string `json:"name"`
	// First and Last are the first and the last shard whose images lie in it.
	First int `json:"first"`
	Last  int `json:"last"`
}

// planImage is one image of a shard and where it lies.
type planImage struct {
	Batch  int   `json:"batch"` // index of plan.Batches
	Offset int64 `json:"offset"`
	Image  Image `json:"image"` // without Shard
}

func planKey(n int, hash string) string {
	return fmt.Sprintf("%s%06d-%s%s", planPrefix, n, hash, jsonSuffix)
}

// sealed gives what fixes the shards, nil if nothing does yet.
func (m *Making) sealed(ctx context.Context) (*sealed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.plan != nil {
		return m.plan, nil
	}
	text, err := store.ReadAll(ctx, m.store, sealedKey, maxDocument)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s sealed
	if strict(text, &s) != nil || s.Format != jobFormat || s.Job != m.job || s.Shards > len(s.Plans) {
		return nil, nil // another job's: it will be replaced
	}
	m.plan = &s
	return m.plan, nil
}

// Seal fixes what each shard holds, once all parts are staged, and gives the number of shards: refused works leave no gap.
// It reads the records of all parts, several at once, and holds those of one shard at a time. If it was done before, by
// whomever, it gives what was fixed then.
//
// Errors: PartError names parts that are not staged in full; ErrNothingDelivered; store.ErrLocked; the store's.
func (m *Making) Seal(ctx context.Context) (int, error) {
	if m.done != nil {
		return len(m.done.Shards), nil
	}
	s, err := m.sealed(ctx)
	if err == nil && s == nil {
		err = m.locked(ctx, func() (err error) {
			s, err = m.seal(ctx)
			return err
		})
	}
	if err != nil {
		return 0, err
	}
	return s.Shards, nil
}

// seal does it under the lock.
func (m *Making) seal(ctx context.Context) (*sealed, error) {
	if err := m.here(ctx); err != nil {
		return nil, err
	}
	if s, err := m.sealed(ctx); s != nil || err != nil {
		return s, err
	}
	var took Times
	defer func() { m.times.add(took) }()
	defer since(&took.Finish)()
	p := &planner{m: m, size: m.spec.ImagesPerShard, fixed: sealed{Format: jobFormat, Job: m.job}}
	puts, each := errgroup.WithContext(ctx)
	puts.SetLimit(4)
	there := make(map[string]bool) // plans of a seal that was interrupted, named by what they hold
	if err := m.store.Each(ctx, planPrefix, "", func(o store.Object) error {
		there[o.Key] = true
		return nil
	}); err != nil {
		return nil, err
	}
	p.put = func(key string, text []byte) {
		if !there[key] {
			puts.Go(func() error { return store.PutBytes(each, m.store, key, text) })
		}
	}
	err := m.eachPart(each, false, p.add)
	if err == nil {
		err = p.end()
	}
	if perr := puts.Wait(); perr != nil {
		return nil, perr
	}
	if err != nil {
		return nil, err
	}
	if err := putJSON(ctx, m.store, sealedKey, p.fixed); err != nil {
		return nil, err
	}
	return m.sealed(ctx)
}

// planner cuts the images of the parts, which come in order, into shards.
type planner struct {
	m     *Making
	size  int // images in a shard
	fixed sealed
	put   func(key string, text []byte)

	plan    plan           // of the shard being filled
	at      map[string]int // index of plan.Batches
	lacking []int          // parts that are not staged in full
	first   *Refusal
}

// mostNamed bounds how many parts or shards an error names.
const mostNamed = 1000

// add takes what is staged of the next part.
func (p *planner) add(n int, found []*stagedWork) error {
	for _, f := range found {
		if f == nil {
			p.lacking = append(p.lacking, n)
			if len(p.lacking) == mostNamed {
				return p.lack()
			}
			break
		}
	}
	if p.lacking != nil {
		return nil // the rest is read to know what else is lacking
	}
	spans, next := make(map[string]*planBatch), p.fixed.Images
	for _, f := range found {
		if f.Image == nil {
			continue
		}
		shard := next / p.size
		if b := spans[f.batch]; b == nil {
			spans[f.batch] = &planBatch{f.batch, shard, shard}
		} else {
			b.Last = shard
		}
		next++
	}
	for _, f := range found {
		if f.Refusal != nil {
			p.plan.Refusals = append(p.plan.Refusals, *f.Refusal)
			p.fixed.Refused++
			if p.first == nil {
				p.first = f.Refusal
			}
			continue
		}
		if len(p.plan.Images) == p.size {
			if err := p.write(); err != nil {
				return err
			}
		}
		i, ok := p.at[f.batch]
		if !ok {
			if p.at == nil {
				p.at = make(map[string]int)
			}
			i = len(p.plan.Batches)
			p.at[f.batch] = i
			p.plan.Batches = append(p.plan.Batches, *spans[f.batch])
		}
		p.plan.Images = append(p.plan.Images, planImage{i, f.offset, *f.Image})
		p.fixed.Images++
	}
	return nil
}

func (p *planner) lack() error {
	return &PartError{Parts: p.lacking, Err: errors.New("works are not staged yet")}
}

// end writes the last plan.
func (p *planner) end() error {
	if p.lacking != nil {
		return p.lack()
	}
	if p.fixed.Images == 0 && len(p.m.removals) == 0 {
		return nothingDelivered(p.fixed.Refused, p.first)
	}
	if len(p.plan.Images)+len(p.plan.Refusals) == 0 {
		return nil
	}
	return p.write()
}

// write puts the plan of the shard that is full and begins the next.
func (p *planner) write() error {
	p.plan.Format, p.plan.Job, p.plan.Shard = jobFormat, p.m.job, len(p.fixed.Plans)
	text, err := marshal(p.plan, "")
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	hash := hashOf(text)[:32]
	if len(p.plan.Images) > 0 {
		p.fixed.Shards++
	}
	p.put(planKey(len(p.fixed.Plans), hash), text)
	p.fixed.Plans = append(p.fixed.Plans, hash)
	p.plan, p.at = plan{}, nil
	return nil
}

// nothingDelivered says that every work was refused, and why the first was.
func nothingDelivered(refused int, first *Refusal) error {
	if first == nil {
		return ErrNothingDelivered // of no work at all
	}
	return fmt.Errorf("%w, %d of them; the first is %s (%s): %s", ErrNothingDelivered, refused, first.Path, first.Kind, first.Detail)
}

// readPlan reads a plan.
func (m *Making) readPlan(ctx context.Context, s *sealed, n int) (*plan, error) {
	key := planKey(n, s.Plans[n])
	text, err := store.ReadAll(ctx, m.store, key, maxDocument)
	if errors.Is(err, store.ErrNotFound) {
		if gone := m.here(ctx); gone != nil {
			return nil, gone
		}
	}
	if err != nil {
		return nil, err
	}
	var p plan
	if err := strict(text, &p); err != nil || hashOf(text)[:32] != s.Plans[n] || p.Job != m.job || p.Shard != n {
		return nil, fmt.Errorf("delivery: %s is not as it was written; check the disk, then force to begin anew", key)
	}
	return &p, nil
}
