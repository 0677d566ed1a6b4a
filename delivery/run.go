package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/store"
)

// Delivery is a finished delivery.
type Delivery struct {
	*Manifest
	Codebook *Codebook
	// AlreadyFinished: it was there, with the same parameters; nothing was done.
	AlreadyFinished bool
	// Resumed is how many works earlier runs had finished.
	Resumed int
	// Times is what this process took for it.
	Times Times
}

// Open reads the manifest and codebook of a finished delivery. Without one the error is store.ErrNotFound.
func Open(ctx context.Context, st store.Store) (*Delivery, error) {
	m, _, err := readManifest(ctx, st)
	if err != nil {
		return nil, err
	}
	text, err := store.ReadAll(ctx, st, CodebookKey, maxDocument)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	b, err := ParseCodebook(text)
	if err != nil {
		return nil, err
	}
	if hashOf(text) != m.Parameters.CodebookSHA256 {
		return nil, errors.New("delivery: codebook.json is not the one the manifest names")
	}
	return &Delivery{Manifest: m, Codebook: b}, nil
}

// OpenManifest reads the manifest alone of a finished delivery. Without one the error is store.ErrNotFound.
func OpenManifest(ctx context.Context, st store.Store) (*Manifest, error) {
	m, _, err := readManifest(ctx, st)
	return m, err
}

// readManifest reads the manifest of a finished delivery, and the SHA-256 of its text. Without one the error is
// store.ErrNotFound.
func readManifest(ctx context.Context, st store.Store) (*Manifest, string, error) {
	r, err := st.Open(ctx, ManifestKey)
	if err != nil {
		return nil, "", fmt.Errorf("delivery: no finished delivery here: %w", err)
	}
	defer r.Close()
	return ReadManifest(r)
}

// ErrNothingDelivered says that every work was refused. No delivery is made of nothing.
var ErrNothingDelivered = errors.New("delivery: every work was refused")

// Run makes a delivery, or continues one that was interrupted, or returns the one that is there. It takes the steps of a
// Making, one after the other, and holds the lock of the place all the time.
//
// One bad master never stops it: it becomes a Refusal. Errors are those of the whole: an incomplete spec; a store
// that another run holds (store.ErrLocked), that is full (store.ErrFull), that holds something else
// (ErrOtherParameters, ErrForeign); ctx. After any of them the same call goes on where it stopped, and ends with
// the bytes an undisturbed run would have written. progress may be nil.
func Run(ctx context.Context, spec Spec, source Source, st store.Store, progress Progress) (d *Delivery, err error) {
	m, err := prepare(spec, st)
	if err != nil {
		return nil, err
	}
	r := &run{Making: m, source: source, progress: progress}
	if lerr := m.locked(ctx, func() error {
		d, err = r.steps(ctx)
		return r.explain(err)
	}); lerr != nil {
		return nil, lerr
	}
	return d, nil
}

// run is a delivery being made in one process. One goroutine tells at a time, under mu.
type run struct {
	*Making
	source   Source
	progress Progress

	telling sync.Mutex
	count   int // works that are finished
	refused int
	resumed int
	passing []passingPart
}

// passingPart are the refusals of a part that are not staged.
type passingPart struct {
	n        int
	refusals []Refusal
}

// steps takes the steps, under the lock. Their order makes every interruption harmless: what is deleted is held by
// something written and flushed before, and the manifest, last, makes it a delivery.
func (r *run) steps(ctx context.Context) (*Delivery, error) {
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	if r.done != nil { // a run may have been killed between the manifest and the clearing up
		return r.done, r.sweep(ctx)
	}
	fixed, err := r.sealed(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.parts(ctx, fixed != nil); err != nil {
		return nil, err
	}
	if fixed == nil {
		if err := r.refuse(ctx); err != nil {
			return nil, err
		}
		if fixed, err = r.seal(ctx); err != nil {
			return nil, err
		}
	} else if r.passing != nil {
		first := r.passing[0].refusals[0]
		return nil, fmt.Errorf("delivery: work %s is in a shard and its staged image is gone or damaged; it cannot be made anew: %s; run again, or force to begin anew", first.Work, first.Detail)
	}
	if err := r.shards(ctx, fixed.Shards); err != nil {
		return nil, err
	}
	d, err := r.finish(ctx)
	if err != nil {
		return nil, err
	}
	d.Resumed = r.resumed
	return d, nil
}

// shardsAtOnce is how many shards Run writes at once: so many more than its images a delivery needs room for.
const shardsAtOnce = 2

func (r *run) shards(ctx context.Context, count int) error {
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(min(shardsAtOnce, r.spec.Workers))
	for n := range count {
		if each.Err() != nil {
			break
		}
		g.Go(func() error {
			_, err := r.Shard(each, n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// explain says what to do about errors an operator will meet.
func (r *run) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrFull):
		return fmt.Errorf("delivery: the disk is full after %d of %d works; free space and run the same command again, what is finished is kept: %w", r.count, len(r.works), err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("delivery: stopped after %d of %d works; run the same command again to go on: %w", r.count, len(r.works), err)
	}
	return err
}

// parts makes what no earlier run has made of all parts, in order, and stages it.
func (r *run) parts(ctx context.Context, sealed bool) error {
	staged, err := r.listStaged(ctx, partPrefix)
	if err != nil {
		return err
	}
	lacking := make([]bool, r.Parts())
	if err := inOrder(ctx, r.Parts(), requests, func(ctx context.Context, n int) ([]*stagedWork, error) {
		return r.readPart(ctx, n, staged[n], sealed)
	}, func(n int, found []*stagedWork) error {
		for _, f := range found {
			switch {
			case f == nil:
				lacking[n] = true
				continue
			case f.Refusal != nil:
				r.refused++
			}
			r.resumed++
		}
		return nil
	}); err != nil {
		return err
	}
	r.count = r.resumed
	r.tell("", false)
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(r.spec.Workers)
	open := make(map[*openedPart]bool)
	for n := range lacking {
		if !lacking[n] || each.Err() != nil {
			continue
		}
		p, err := r.openPart(each, n, staged[n], sealed, r.source, PartOptions{})
		if err != nil {
			g.Go(func() error { return err })
			break
		}
		r.mark(each, g, p, open)
	}
	err = g.Wait()
	for p := range open { // what a run that failed did not get to
		if cerr := r.close(ctx, p); err == nil {
			err = cerr
		}
	}
	if err != nil {
		return err
	}
	return ctx.Err()
}

// mark gives the works of a part to the goroutines of g; the one that does the last of them stages what is left.
func (r *run) mark(ctx context.Context, g *errgroup.Group, p *openedPart, open map[*openedPart]bool) {
	r.telling.Lock()
	open[p] = true
	r.telling.Unlock()
	for _, w := range p.missing {
		if ctx.Err() != nil {
			return
		}
		g.Go(func() error {
			last, refused, err := p.work(ctx, w)
			if err != nil {
				return err
			}
			r.tell(w.ID, refused)
			if !last {
				return nil
			}
			r.telling.Lock()
			delete(open, p)
			r.telling.Unlock()
			return r.close(ctx, p)
		})
	}
}

// close ends a part.
func (r *run) close(ctx context.Context, p *openedPart) error {
	err := p.close(ctx)
	r.telling.Lock()
	defer r.telling.Unlock()
	if len(p.result.Passing) > 0 {
		r.passing = append(r.passing, passingPart{p.n, p.result.Passing})
	}
	return err
}

// tell reports that a work is finished; none at the beginning.
func (r *run) tell(id concepts.WorkID, refused bool) {
	r.telling.Lock()
	defer r.telling.Unlock()
	if id != "" {
		r.count++
	}
	if refused {
		r.refused++
	}
	if r.progress != nil {
		r.progress(r.count, len(r.works), r.refused, id)
	}
}

// refuse stages the refusals that were due to circumstances: from the first shard on the set of images is fixed. Where they
// leave nothing to deliver they are not staged, so that the next run tries again.
func (r *run) refuse(ctx context.Context) error {
	if r.passing == nil {
		return nil
	}
	slices.SortFunc(r.passing, func(a, b passingPart) int { return a.n - b.n })
	if r.count == r.refused && len(r.removals) == 0 {
		return nothingDelivered(r.refused, &r.passing[0].refusals[0])
	}
	var took Times
	for _, p := range r.passing {
		var made []gathered
		for _, ref := range p.refusals {
			made = append(made, gathered{outcome: outcome{Work: ref.Work, Refusal: &ref}})
		}
		if err := r.stageBatch(ctx, p.n, made, nil, &took); err != nil {
			return err
		}
	}
	r.times.add(took)
	return nil
}

// ConceptsOf gives the concepts of a work with their names, by ID.
func ConceptsOf(f *concepts.Frozen, id concepts.WorkID) []concepts.Concept {
	var cs []concepts.Concept
	all := f.Catalogue().Concepts
	for _, id := range f.ConceptsOf(id) {
		i, ok := slices.BinarySearchFunc(all, id, func(c concepts.Concept, id concepts.ConceptID) int {
			return compareIDs(c.ID, id)
		})
		if ok {
			cs = append(cs, all[i])
		}
	}
	return cs
}

func compareIDs(a, b concepts.ConceptID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
