package delivery

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/concepts"
)

// PartOptions say how a part is made. The zero value makes it with all of the room there is.
type PartOptions struct {
	// Workers is how many works of this part are worked on at once, within the Room. Default Spec.Workers.
	Workers int
	// Final stages refusals that are due to circumstances (there is no master today) as refusals. Without it they are
	// returned in PartResult.Passing and the part is to be run again.
	Final bool
	// Before, if it is given, is called before each work, with its ID, and before each change of the store, with "". An
	// error stops the part: works under way are finished, and staged if Before allows that. Several goroutines call it.
	Before func(context.Context, concepts.WorkID) error
	// Crashed, if it is given, says that a work has killed its process too often: it is refused as Poison, untried.
	Crashed func(concepts.WorkID) bool
	// Progress, if it is given, is told of the works of this part.
	Progress Progress
}

// PartResult is what became of a part.
type PartResult struct {
	Works   int       // of the part
	Done    int       // staged now, delivered or refused, by whatever process
	Refused int       // of Done
	Found   int       // of Done, those that had been staged before this call
	Passing []Refusal // by work: refused by circumstances and not staged
	Times   Times     // of this call
}

// Part marks and stages those works of part n (0 to Parts less 1) that are not staged, whoever staged the others. Any
// process, any order; twice is harmless, and so are two at once. One bad master never stops it: it becomes a Refusal.
//
// Errors are those of the whole: the store's (store.ErrFull), ErrGone, ctx's, what Before returned. What was done before
// the error is kept, but for at most one batch (64 works, or those that reach 32 MB) if the store failed or the process was killed.
// The result tells how far it came in that case too. It panics if there is no such part.
func (m *Making) Part(ctx context.Context, n int, source Source, opt PartOptions) (PartResult, error) {
	works := m.part(n)
	if m.done != nil {
		return PartResult{Works: len(works), Done: len(works), Found: len(works)}, nil
	}
	if err := m.here(ctx); err != nil {
		return PartResult{Works: len(works)}, err
	}
	fixed, err := m.sealed(ctx)
	if err != nil {
		return PartResult{Works: len(works)}, err
	}
	all, err := m.listStaged(ctx, prefixOfPart(n))
	if err != nil {
		return PartResult{Works: len(works)}, err
	}
	p, err := m.openPart(ctx, n, all[n], fixed != nil, source, opt)
	if err != nil {
		return PartResult{Works: len(works)}, err
	}
	if opt.Workers == 0 {
		opt.Workers = m.spec.Workers
	}
	p.tell("")
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(opt.Workers)
	for _, w := range p.missing {
		if each.Err() != nil {
			break
		}
		g.Go(func() error {
			_, _, err := p.work(each, w)
			return err
		})
	}
	err = g.Wait()
	if cerr := p.close(ctx); err == nil {
		err = cerr
	}
	if err == nil {
		err = ctx.Err()
	}
	return p.result, err
}

// openedPart is a part being made. Goroutines may share it.
type openedPart struct {
	m       *Making
	n       int
	source  Source
	opt     PartOptions
	marker  *marker
	missing []concepts.Work // that are not staged

	mu     sync.Mutex
	result PartResult
	batch  []gathered // not staged yet
	bytes  int        // of their files
	left   int        // of missing
}

// openPart finds out what is missing of a part.
func (m *Making) openPart(ctx context.Context, n int, l *listed, sealed bool, source Source, opt PartOptions) (*openedPart, error) {
	marker, err := m.marker()
	if err != nil {
		return nil, err
	}
	found, err := m.readPart(ctx, n, l, sealed)
	if err != nil {
		return nil, err
	}
	p := &openedPart{m: m, n: n, source: source, opt: opt, marker: marker, result: PartResult{Works: len(found)}}
	for i, w := range m.part(n) {
		switch {
		case found[i] == nil:
			p.missing = append(p.missing, w)
		case found[i].Refusal != nil:
			p.result.Refused++
		}
	}
	p.left = len(p.missing)
	p.result.Found = p.result.Works - p.left
	p.result.Done = p.result.Found
	return p, nil
}

// tell reports progress. The caller holds the lock, or is alone.
func (p *openedPart) tell(id concepts.WorkID) {
	if p.opt.Progress != nil {
		done, passing := p.result.Done+len(p.batch), len(p.result.Passing)
		refused := p.result.Refused
		for i := range p.batch {
			if p.batch[i].Refusal != nil {
				refused++
			}
		}
		p.opt.Progress(done+passing, p.result.Works, refused+passing, id)
	}
}

// work does one work, and stages the batch it fills. last: no other work of the part is left, nor under way but for staging.
func (p *openedPart) work(ctx context.Context, w concepts.Work) (last, refused bool, err error) {
	leave, err := p.m.spec.Room.enter(ctx)
	if err != nil {
		return false, false, err
	}
	made, passing, took, err := p.make(ctx, w)
	leave()
	if err != nil {
		return false, false, err
	}
	p.mu.Lock()
	p.took(took)
	p.left--
	last = p.left == 0
	if passing {
		p.result.Passing = append(p.result.Passing, *made.Refusal)
	} else {
		p.batch = append(p.batch, made)
		p.bytes += len(made.file)
	}
	p.tell(w.ID)
	var full []gathered
	if len(p.batch) >= mostBatchWorks || p.bytes >= mostBatchBytes {
		full = p.take()
	}
	p.mu.Unlock()
	return last, made.Refusal != nil, p.stage(ctx, full)
}

// make marks one work, or says why not.
func (p *openedPart) make(ctx context.Context, w concepts.Work) (made gathered, passing bool, t Times, err error) {
	made.Work = w.ID
	if err := p.before(ctx, w.ID); err != nil {
		return made, false, t, err
	}
	if err := ctx.Err(); err != nil {
		return made, false, t, err
	}
	var ref *refusal
	if p.opt.Crashed != nil && p.opt.Crashed(w.ID) {
		ref = refuse(Poison, "the process that worked on this file died, again and again; report it with the file, and take the work out or import it anew")
	} else if made.Image, made.file, ref, err = p.marker.image(ctx, w, p.source, &t); err != nil {
		return made, false, t, err
	}
	if ref != nil {
		made.Refusal = &Refusal{Work: w.ID, Path: w.Path, Kind: ref.kind, Detail: ref.detail}
		return made, ref.passing && !p.opt.Final, t, nil
	}
	return made, false, t, nil
}

// took adds what was spent on the part. The caller holds the lock.
func (p *openedPart) took(t Times) {
	p.result.Times.Add(t)
	p.m.times.add(t)
}

func (p *openedPart) before(ctx context.Context, id concepts.WorkID) error {
	if p.opt.Before == nil {
		return nil
	}
	return p.opt.Before(ctx, id)
}

// take empties the batch. The caller holds the lock, or is alone.
func (p *openedPart) take() []gathered {
	batch := p.batch
	p.batch, p.bytes = nil, 0
	return batch
}

// stage makes a batch durable. When ctx ends it is still finished, so that what was done is kept.
func (p *openedPart) stage(ctx context.Context, batch []gathered) error {
	if len(batch) == 0 {
		return nil
	}
	ctx, end := lingering(ctx, lingers)
	defer end()
	var took Times
	err := p.m.stageBatch(ctx, p.n, batch, func(ctx context.Context) error { return p.before(ctx, "") }, &took)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took(took)
	if err != nil {
		return err
	}
	p.result.Done += len(batch)
	for i := range batch {
		if batch[i].Refusal != nil {
			p.result.Refused++
		}
	}
	return nil
}

// close stages what is left when no work is under way.
func (p *openedPart) close(ctx context.Context) error {
	slices.SortFunc(p.result.Passing, func(a, b Refusal) int { return cmp.Compare(a.Work, b.Work) })
	if err := p.stage(ctx, p.take()); err != nil {
		return fmt.Errorf("delivery: staging part %d: %w", p.n, err)
	}
	return nil
}
