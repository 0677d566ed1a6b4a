package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
)

// madeOf is the result of a delivery's job: which job of its place it is, and, when it is finished, what came out.
type madeOf struct {
	Making string `json:"making,omitempty"` // delivery.Making.Job
	Parts  int    `json:"parts,omitempty"`
	Shards int    `json:"shards,omitempty"`
	// Finishing: a worker has begun to finish the delivery in its place, perhaps has finished it.
	Finishing      bool              `json:"finishing,omitempty"`
	ManifestSHA256 string            `json:"manifest_sha256,omitempty"`
	Receipt        string            `json:"receipt,omitempty"` // key that signed it
	Summary        *delivery.Summary `json:"summary,omitempty"`
}

// madeBy reads the result of a delivery's job; nothing of one that has none.
func madeBy(j registry.Job) (m madeOf) {
	if json.Unmarshal(j.Result, &m) != nil {
		return madeOf{}
	}
	return m
}

// deliver does a part of a delivery.
func (h *held) deliver() (*outcome, error) {
	var spec DeliverySpec
	if err := json.Unmarshal(h.job.Spec, &spec); err != nil {
		return nil, fmt.Errorf("%w: its spec: %w", errSpec, err)
	}
	made := madeBy(h.job)
	if err := h.s.q.foreign(h.job); err != nil {
		return nil, err
	}
	switch h.t.Stage {
	case stagePlan:
		return h.plan(spec)
	case stageFinish:
		return h.finish(spec, made)
	}
	m, release, err := h.making(spec, made.Making)
	if err != nil {
		return nil, err
	}
	defer release()
	switch h.t.Stage {
	case stagePart:
		return h.mark(m, spec)
	case stageSeal:
		if err := h.before(h.s.ctx, ""); err != nil {
			return nil, err
		}
		shards, err := m.m.Seal(h.s.ctx)
		if err != nil {
			return nil, err
		}
		made.Shards, made.Finishing = shards, false
		then := registry.Stage{Name: stageShard, Parts: shards}
		if shards == 0 {
			then = registry.Stage{Name: stageFinish, Parts: 1}
		}
		return made.outcome(registry.PartEnd{Then: then})
	case stageShard:
		if err := h.before(h.s.ctx, ""); err != nil {
			return nil, err
		}
		_, err := m.m.Shard(h.s.ctx, h.t.Part)
		return &outcome{PartEnd: registry.PartEnd{Then: registry.Stage{Name: stageFinish, Parts: 1}}}, err
	}
	return nil, fmt.Errorf("%w: no stage %q; the job is of a newer program", errSpec, h.t.Stage)
}

func (m madeOf) outcome(e registry.PartEnd) (*outcome, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return &outcome{PartEnd: e, job: text}, nil
}

// making gives the job's Making, which the parts in this process share; release it.
func (h *held) making(spec DeliverySpec, name string) (*making, func(), error) {
	q := h.s.q
	key := makingKey(h.scope, h.t.Job)
	q.dropOther(h.scope, h.t.Job, name)
	q.mu.Lock()
	m := q.makings[key]
	mine := m == nil
	if mine {
		m = &making{ready: make(chan struct{}), name: name}
		q.makings[key] = m
	}
	m.users++
	m.idle = false
	q.mu.Unlock()
	release := func() { q.release(m, false) }
	if mine {
		q.fill(m, func() (*making, error) { return q.open(h.s.ctx, h.scope, spec, name, h.fence) })
	}
	select {
	case <-m.ready:
	case <-h.s.ctx.Done():
		release()
		return nil, nil, context.Cause(h.s.ctx)
	}
	if m.err != nil {
		q.drop(h.scope, h.t.Job)
		release()
		return nil, nil, m.err
	}
	return m, release, nil
}

// fill opens what the parts share. Should that panic, nobody waits for it for ever.
func (q *Queue) fill(m *making, open func() (*making, error)) {
	defer close(m.ready)
	m.err = errors.New("jobs: internal error: the delivery was not opened")
	opened, err := open()
	if err == nil {
		m.m, m.source, m.spec, m.close = opened.m, opened.source, opened.spec, opened.close
		q.mu.Lock()
		m.name = opened.m.Job()
		q.mu.Unlock()
	}
	m.err = err
}

func makingKey(scope registry.Scope, job string) string { return scope.Tenant + "\x00" + job }

// drop forgets a job's Making: the next part opens it anew.
func (q *Queue) drop(scope registry.Scope, job string) {
	q.dropIf(scope, job, func(*making) bool { return true })
}

// dropOther forgets a job's Making unless it is of that name. What is to be begun ("") is begun anew: whatever is open, its
// place may have been emptied since.
func (q *Queue) dropOther(scope registry.Scope, job, name string) {
	q.dropIf(scope, job, func(m *making) bool { return name == "" || m.name != name })
}

// dropIf forgets a job's Making if is, under the queue's lock, says so.
func (q *Queue) dropIf(scope registry.Scope, job string, is func(*making) bool) {
	key := makingKey(scope, job)
	q.mu.Lock()
	m := q.makings[key]
	if m != nil && is(m) {
		delete(q.makings, key)
		m.users++
	} else {
		m = nil
	}
	q.mu.Unlock()
	if m != nil {
		q.release(m, true)
	}
}

// release takes a user from a Making. The last one closes it, if it was dropped.
func (q *Queue) release(m *making, drop bool) {
	q.mu.Lock()
	m.users--
	m.dropped = m.dropped || drop
	last := m.dropped && m.users == 0
	q.mu.Unlock()
	if last {
		<-m.ready
		m.shut()
	}
}

// plan begins the delivery in its place, under the lock of that.
func (h *held) plan(spec DeliverySpec) (*outcome, error) {
	if err := h.before(h.s.ctx, ""); err != nil {
		return nil, err
	}
	m, release, err := h.making(spec, "")
	if err != nil {
		return nil, err
	}
	defer release()
	made := madeOf{Making: m.m.Job(), Parts: m.m.Parts()}
	if m.m.Done() == nil {
		if err := h.s.q.allowed(h.s.ctx, h.scope, spec); err != nil {
			return nil, err
		}
	}
	e := registry.PartEnd{Total: int64(m.m.Works()), Then: registry.Stage{Name: stagePart, Parts: made.Parts}}
	switch {
	case m.m.Done() != nil:
		e.Then = registry.Stage{Name: stageFinish, Parts: 1}
	case made.Parts == 0: // an increment that only removes
		e.Then = registry.Stage{Name: stageSeal, Parts: 1}
	}
	return made.outcome(e)
}

// carefulAfter is after how many deaths of workers over a part its works are tried one by one, alone in the process.
const carefulAfter = 2

// mark does a part: the works are marked and staged. Those whose masters cannot be had are asked for again; after the last
// time they are refused, if others of the part could be had and the masters' place is there. Otherwise the job fails:
// what is wrong is the place, or the way to it, and not the works.
func (h *held) mark(m *making, spec DeliverySpec) (*outcome, error) {
	opt := delivery.PartOptions{Before: h.before, Crashed: func(w concepts.WorkID) bool { return h.part.Falls[string(w)] > h.s.q.config.Poison },
		Progress: func(done, _, refused int, _ concepts.WorkID) { h.set(int64(done), int64(refused)) }}
	r, err := h.pass(m, opt)
	if err != nil {
		return nil, err
	}
	if n := len(r.Passing); n > 0 {
		first := r.Passing[0]
		if h.away(spec, r) {
			return nil, fmt.Errorf("%w: %d of the %d of a part, %s the first (%s): %s. No work was refused for it: see that %s can be reached where the workers run, and let the job go on ('filigrane jobs retry', or the same 'filigrane deliver'); or freeze a new version without these works", ErrAway, n, r.Works, first.Path, first.Kind, first.Detail, spec.Masters)
		}
		if h.part.Tries < h.s.q.config.Tries-1 {
			return nil, fmt.Errorf("%w: %d of them; the first is %s (%s): %s", errPassing, n, first.Path, first.Kind, first.Detail)
		}
		opt.Final = true
		if r, err = h.pass(m, opt); err != nil {
			return nil, err
		}
	}
	return &outcome{PartEnd: registry.PartEnd{Done: int64(r.Works), Refused: int64(r.Refused), Then: registry.Stage{Name: stageSeal, Parts: 1}}}, nil
}

// pass goes over the works of a part once.
func (h *held) pass(m *making, opt delivery.PartOptions) (r delivery.PartResult, err error) {
	if h.part.Deaths < carefulAfter {
		h.s.q.alone.RLock()
		r, err = m.m.Part(h.s.ctx, h.t.Part, m.source, opt)
		h.s.q.alone.RUnlock()
	} else {
		r, err = h.careful(m, opt)
	}
	h.s.q.took(h.t.Job, r.Times)
	return r, err
}

// errPassing says that masters could not be had, which may pass.
var errPassing = errors.New("jobs: masters cannot be had at the moment")

// ErrAway says that a part of a delivery could not be made since the place of the masters is away, or as good as that.
var ErrAway = fmt.Errorf("%w, nor their place", errPassing)

// errOne stops a part after one work.
var errOne = errors.New("jobs: one work at a time")

// careful does a part over which workers have died: nothing else goes on in this process, and each work is noted before
// it is begun and staged before the next. So who dies next tells which work it was.
func (h *held) careful(m *making, opt delivery.PartOptions) (r delivery.PartResult, err error) {
	q, ctx := h.s.q, h.s.ctx
	q.alone.Lock()
	defer q.alone.Unlock()
	q.config.Log.Warn("workers died over a part: its works are tried one by one", "job", h.t.Job, "part", h.t.Part, "deaths", h.part.Deaths)
	opt.Workers = 1
	before := opt.Before
	var times delivery.Times
	for {
		begun := false
		opt.Before = func(ctx context.Context, w concepts.WorkID) error {
			if err := before(ctx, w); err != nil || w == "" {
				return err
			}
			if begun {
				return errOne
			}
			begun = true
			h.mu.Lock()
			h.hand = string(w)
			h.mu.Unlock()
			n, _ := h.note()
			return q.reg.NoteParts(ctx, h.scope, h.s.id, []registry.PartNote{n}, q.now())
		}
		r, err = m.m.Part(ctx, h.t.Part, m.source, opt)
		times.Add(r.Times)
		if !errors.Is(err, errOne) || len(r.Passing) > 0 { // else the same would come first again and again
			if errors.Is(err, errOne) {
				err = nil
			}
			r.Times = times
			return r, err
		}
	}
}

// mostTimed is of how many jobs a process remembers what they took.
const mostTimed = 100

// took adds to what a job's parts took in this process.
func (q *Queue) took(job string, t delivery.Times) {
	q.mu.Lock()
	defer q.mu.Unlock()
	sum, known := q.times[job]
	if !known {
		if q.timed = append(q.timed, job); len(q.timed) > mostTimed {
			delete(q.times, q.timed[0])
			q.timed = slices.Delete(q.timed, 0, 1)
		}
	}
	sum.Add(t)
	q.times[job] = sum
}

// finish completes the delivery: the manifest in its place, what was delivered in the registry, the papers, and then the
// job is finished.
func (h *held) finish(spec DeliverySpec, made madeOf) (*outcome, error) {
	q, ctx := h.s.q, h.s.ctx
	if err := h.before(ctx, ""); err != nil {
		return nil, err
	}
	if err := h.ready(spec, made); err != nil {
		return nil, err
	}
	m, d, err := h.finished(spec, made)
	if err != nil {
		return nil, err
	}
	defer m.shut()
	q.took(h.t.Job, m.m.Times())
	if _, err := Record(ctx, q.reg, h.scope, h.job.Subject, d, q.now, func() error { return h.before(ctx, "") }); err != nil {
		return nil, err
	}
	if q.config.Papers != nil {
		st, err := q.config.Opener.Store(ctx, spec.Place)
		if err != nil {
			return nil, err
		}
		paper := &making{}
		paper.closes(st)
		defer paper.shut()
		if made.Receipt, err = q.config.Papers(ctx, h.scope, spec, m.spec.Catalogue, fenced{st, h.fence}); err != nil {
			return nil, err
		}
	}
	made.ManifestSHA256, made.Summary, made.Finishing = d.SHA256(), &d.Summary, false
	made.Shards = len(d.Shards)
	out, err := made.outcome(registry.PartEnd{})
	if err != nil {
		return nil, err
	}
	out.also = func(reg *registry.Registry, j registry.Job) error {
		if err := q.moveDelivery(ctx, reg, h.scope, j.Subject, registry.Delivered, "", out.job); err != nil {
			return err
		}
		return q.sweepsOf(ctx, reg, h.scope, j, spec.Place)
	}
	return out, nil
}

// finished gives the finished delivery. One that was finished before, by a worker that died before it could say so, is
// found by beginning it again.
func (h *held) finished(spec DeliverySpec, made madeOf) (m *making, d *delivery.Delivery, err error) {
	q, ctx := h.s.q, h.s.ctx
	if made.Making != "" {
		if m, err = q.open(ctx, h.scope, spec, made.Making, h.fence); err != nil {
			return nil, nil, err
		}
		if d, err = m.m.Finish(ctx); err == nil {
			return m, d, nil
		}
		m.shut()
		if !errors.Is(err, delivery.ErrGone) {
			return nil, nil, err
		}
	}
	if _, err := q.manifest(ctx, spec.Place); errors.Is(err, store.ErrNotFound) {
		return nil, nil, delivery.ErrGone // whatever was begun there since is somebody else's
	}
	spec.Force = false
	if m, err = q.open(ctx, h.scope, spec, "", h.fence); err != nil {
		return nil, nil, err
	}
	if d = m.m.Done(); d == nil {
		m.shut()
		return nil, nil, delivery.ErrGone
	}
	return m, d, nil
}
