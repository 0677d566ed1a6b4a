package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
)

// held is a part that this worker works on.
type held struct {
	s     *session
	t     ticket
	scope registry.Scope
	job   registry.Job
	part  registry.JobPart

	mu            sync.Mutex
	done, refused int64
	hand          string
	fresh         bool // not noted yet
}

// note gives how far the part is, and whether that is new since the last call.
func (h *held) note() (n registry.PartNote, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fresh, h.fresh = h.fresh, false
	return registry.PartNote{Ticket: h.t.of(), Done: h.done, Refused: h.refused, Hand: h.hand}, fresh
}

// set says how far the part is.
func (h *held) set(done, refused int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fresh = h.fresh || done != h.done || refused != h.refused
	h.done, h.refused = done, refused
}

// take works on what a ticket names. What it returns is for River: nil where the ticket is used up.
func (s *session) take(_ context.Context, t ticket) (err error) {
	s.mu.Lock()
	s.taken[t.number] = 0
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.taken[t.number] = steady()
		s.mu.Unlock()
	}()
	defer func() {
		if p := recover(); p != nil {
			s.q.config.Log.Error("internal error, please report it", "job", t.Job, "stage", t.Stage, "part", t.Part, "error", fmt.Sprint(p))
			err = fmt.Errorf("jobs: internal error: %v", p)
		}
	}()
	scope, ok := s.scopeOf(t)
	if !ok {
		return river.JobSnooze(time.Minute) // not ours: queues are named by a hash, and two banks may share one
	}
	if t.Stage == stageSweep || t.Stage == stageAbandon {
		return s.clearUp(scope, t)
	}
	begun, err := s.begin(scope, t)
	switch {
	case errors.Is(err, registry.ErrState): // this worker was declared dead
		return river.JobSnooze(time.Second)
	case errors.Is(err, errCancelled):
		_, err = s.q.Cancel(s.ctx, scope, t.Job, short(err.Error()))
		return err
	case errors.Is(err, registry.ErrNotFound): // a database that was restored
		return nil
	case err != nil:
		return err
	case begun == nil:
		return nil
	}
	h := &held{s: s, t: t, scope: scope, job: begun.Job, part: begun.Part}
	s.mu.Lock()
	s.held[h] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.held, h)
	}()
	if err := h.work(); err != nil {
		return h.failed(err)
	}
	return nil
}

func (s *session) scopeOf(t ticket) (registry.Scope, bool) {
	i := slices.IndexFunc(s.q.config.Scopes, func(scope registry.Scope) bool { return scope.Tenant == t.Tenant })
	if i < 0 {
		return registry.Scope{}, false
	}
	return s.q.config.Scopes[i], true
}

// begin asks the registry whether there is something to do, and puts the job's next ticket in line: in one transaction.
func (s *session) begin(scope registry.Scope, t ticket) (b *registry.Begun, err error) {
	q := s.q
	err = q.reg.InTx(s.ctx, func(reg *registry.Registry) error {
		if b, err = reg.BeginPart(s.ctx, scope, t.of(), s.id, q.now()); err != nil || b == nil {
			return err
		}
		if b.First && b.Job.Kind == registry.DeliveryJob {
			if err := q.moveDelivery(s.ctx, reg, scope, b.Job.Subject, registry.Running, "", nil); err != nil {
				return err
			}
		}
		if q.foreign(b.Job) != nil {
			return nil // it would take up one ticket after the other, and leave them all
		}
		return q.issueSome(s.ctx, reg, scope, t.Job, priorityOf(b.Job), 1)
	})
	return b, err
}

// foreign returns errVersion for a delivery that another version of the program has to make.
func (q *Queue) foreign(j registry.Job) error {
	var spec struct {
		CodeVersion string `json:"code_version"`
	}
	own := q.config.CodeVersion
	if own == "" || j.Kind != registry.DeliveryJob || json.Unmarshal(j.Spec, &spec) != nil || spec.CodeVersion == own {
		return nil
	}
	return fmt.Errorf("%w: %s, not %s; run that one, or ask for the delivery again with this one and --force", errVersion, spec.CodeVersion, own)
}

// outcome is what a part's work gives to its end.
type outcome struct {
	registry.PartEnd
	job json.RawMessage // kept as the job's result if not nil
	// also is done in the transaction in which the part ends, where that brings the job on.
	also func(reg *registry.Registry, j registry.Job) error
}

// work does the part and tells the registry.
func (h *held) work() error {
	var e *outcome
	var err error
	began := time.Now()
	if h.t.Stage == stageImport {
		e, err = h.intake()
	} else {
		e, err = h.deliver()
	}
	if err != nil {
		return err
	}
	if err := h.end(e); err != nil {
		return err
	}
	h.s.q.config.Log.Info("part done", "job", h.t.Job, "stage", h.t.Stage, "part", h.t.Part, "works", e.Done, "refused", e.Refused, "seconds", time.Since(began).Seconds())
	return nil
}

// end notes that the part is done, and if it was the last of its stage makes the tickets of the next: in one transaction.
func (h *held) end(e *outcome) error {
	q, s := h.s.q, h.s
	var finished bool
	err := q.reg.InTx(s.ctx, func(reg *registry.Registry) error {
		j, moved, err := reg.EndPart(s.ctx, h.scope, h.t.of(), e.PartEnd, q.now())
		if err != nil || !moved {
			return err
		}
		finished = j.State == registry.JobFinished
		if e.job != nil {
			// What was found out in an earlier run may be of a place that was emptied since: this run finds it out itself.
			if j.Run != h.t.Run {
				return errStopped
			}
			if err := reg.SetJobResult(s.ctx, h.scope, h.t.Job, e.job, q.now()); err != nil {
				return err
			}
		}
		if e.also != nil {
			if err := e.also(reg, j); err != nil {
				return err
			}
		}
		if j.State != registry.JobRunning {
			return nil
		}
		return q.issue(s.ctx, reg, h.scope, j.ID, priorityOf(j))
	})
	if err == nil && finished {
		q.config.Log.Info("job finished", "job", h.t.Job)
		q.drop(h.scope, h.t.Job)
	}
	return err
}

// priorityOf is the priority of a job's tickets: what is nearly done comes first.
func priorityOf(j registry.Job) int {
	if j.Stage == stagePart || j.Stage == stagePlan || j.Stage == stageImport {
		return j.Priority
	}
	return firstPriority
}

// failed decides what becomes of a part that was not done, and of its ticket.
func (h *held) failed(err error) error {
	q, s := h.s.q, h.s
	log := q.config.Log.With("job", h.t.Job, "stage", h.t.Stage, "part", h.t.Part)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), stopWithin)
	defer cancel()
	var lacksPart *delivery.PartError
	var lacksShard *delivery.ShardError
	switch {
	case errors.Is(err, errBuried), errors.Is(err, errFence), errors.Is(context.Cause(s.ctx), errBuried):
		log.Warn("part left: this process may have been declared dead")
		q.reg.LeavePart(ctx, h.scope, h.t.of(), s.id, false, "", q.now()) // if it was, the part is not ours any more
		return river.JobSnooze(time.Second)
	case s.ctx.Err() != nil:
		log.Info("part handed back")
		if _, err := q.reg.LeavePart(ctx, h.scope, h.t.of(), s.id, false, "", q.now()); err != nil {
			log.Warn("the registry was not told", "error", err.Error())
		}
		return river.JobSnooze(0)
	case errors.Is(err, errVersion), errors.Is(err, ErrBusy):
		log.Warn("part left for a while", "error", err.Error())
		q.reg.LeavePart(ctx, h.scope, h.t.of(), s.id, false, err.Error(), q.now())
		if errors.Is(err, ErrBusy) {
			return river.JobSnooze(q.config.busyPause())
		}
		return river.JobSnooze(versionPause)
	case errors.Is(err, errStopped):
		log.Info("part left: the job is paused, cancelled or set going anew")
		_, err := q.reg.LeavePart(ctx, h.scope, h.t.of(), s.id, false, "", q.now())
		return err
	case errors.As(err, &lacksPart):
		return h.reopen(ctx, err, stagePart, lacksPart.Parts, stageSeal, stageShard, stageFinish)
	case errors.As(err, &lacksShard):
		return h.reopen(ctx, err, stageShard, lacksShard.Shards, stageFinish)
	case errors.Is(err, delivery.ErrNotSealed):
		return h.reopen(ctx, err, stageSeal, []int{0}, stageShard, stageFinish)
	}
	if !errors.Is(err, errPassing) {
		q.drop(h.scope, h.t.Job) // what is open may be what is wrong
	}
	tries, lerr := q.reg.LeavePart(ctx, h.scope, h.t.of(), s.id, true, err.Error(), q.now())
	if lerr != nil {
		return errors.Join(err, lerr)
	}
	if errors.Is(err, delivery.ErrGone) {
		return h.gone(ctx, err)
	}
	most, pause := q.patience(h.t.Job, err, tries)
	if errors.Is(err, store.ErrLocked) {
		most, pause = max(most, lockTries), lockPause/2+rand.N(lockPause)
	}
	if passes(err) && tries < most {
		log.Warn("part failed, to be tried again", "error", err.Error(), "failures", tries, "seconds", pause.Seconds())
		return river.JobSnooze(pause)
	}
	return h.fail(ctx, err)
}

// The lock of a place is held for moments, or by somebody who was killed: in a bucket for half a minute more.
const (
	lockTries = 40
	lockPause = 2 * time.Second
)

// backoff is the pause after so many failures: doubling up to a minute, and up to half of it more or less, so that parts
// that failed together do not come back together.
func backoff(first time.Duration, failures int) time.Duration {
	pause := min(first<<min(failures-1, 20), time.Minute)
	return pause/2 + time.Duration(rand.Int64N(int64(pause)+1))
}

// fail makes the job failed, if the ticket is still good.
func (h *held) fail(ctx context.Context, cause error) error {
	q := h.s.q
	q.mu.Lock()
	if len(q.failures) > mostTimed {
		clear(q.failures)
	}
	q.failures[h.t.Job] = cause
	q.mu.Unlock()
	if errors.Is(cause, errCancelled) {
		_, err := q.Cancel(ctx, h.scope, h.t.Job, short(cause.Error()))
		return err
	}
	err := q.reg.InTx(ctx, func(reg *registry.Registry) error {
		if j, err := reg.Job(ctx, h.scope, h.t.Job); err != nil || j.State != registry.JobRunning || j.Run != h.t.Run {
			return err
		}
		why := short(cause.Error())
		j, c, err := reg.MoveJob(ctx, h.scope, h.t.Job, registry.JobFailed, why, q.now())
		if err != nil || c.Changed == 0 || j.Kind != registry.DeliveryJob {
			return err
		}
		return q.moveDelivery(ctx, reg, h.scope, j.Subject, registry.Failed, why, nil)
	})
	if errors.Is(err, registry.ErrState) {
		err = nil // somebody was faster
	}
	if err == nil {
		q.config.Log.Error("job failed", "job", h.t.Job, "error", cause.Error())
	}
	return err
}

// short bounds the text of an error, which may quote anything, so that the registry can keep it.
func short(s string) string {
	const most = 4000
	if len(s) > most {
		s = s[:most]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// reopen takes the job back to a stage some of whose parts are not done after all.
func (h *held) reopen(ctx context.Context, cause error, stage string, again []int, undo ...string) error {
	q := h.s.q
	made := madeBy(h.job)
	parts := map[string]int{stagePart: made.Parts, stageShard: made.Shards, stageSeal: 1, stagePlan: 1}[stage]
	q.config.Log.Warn("parts are to be done again", "job", h.t.Job, "stage", stage, "parts", len(again), "error", cause.Error())
	tries, err := q.reg.LeavePart(ctx, h.scope, h.t.of(), h.s.id, true, cause.Error(), q.now())
	if err != nil {
		return err
	}
	if tries >= q.config.Tries { // a place that loses what it was given
		return h.fail(ctx, cause)
	}
	return q.reg.InTx(ctx, func(reg *registry.Registry) error {
		j, ok, err := reg.ReopenParts(ctx, h.scope, h.t.of(), registry.Stage{Name: stage, Parts: parts}, again, undo, q.now())
		if err != nil || !ok {
			return err
		}
		return q.issue(ctx, reg, h.scope, j.ID, priorityOf(j))
	})
}

// gone fails a job whose place no longer knows it. Retried, it begins from the start, with what is staged if anything is.
func (h *held) gone(ctx context.Context, cause error) error {
	q := h.s.q
	ok := false
	var j registry.Job
	err := q.reg.InTx(ctx, func(reg *registry.Registry) (err error) {
		j, ok, err = reg.ReopenParts(ctx, h.scope, h.t.of(), registry.Stage{Name: stagePlan, Parts: 1}, []int{0}, []string{stagePart, stageSeal, stageShard, stageFinish}, q.now())
		return err
	})
	if err != nil || !ok {
		return err
	}
	h.t.Run = j.Run
	return h.fail(ctx, fmt.Errorf("%w; 'jobs retry' begins it anew", cause))
}

// clearUp removes what a delivery left in its place: what came after it was finished, or what a cancelled one staged.
func (s *session) clearUp(scope registry.Scope, t ticket) error {
	const mostTries = 20
	j, err := s.q.reg.Job(s.ctx, scope, t.Job)
	if errors.Is(err, registry.ErrNotFound) || err == nil && !j.State.Over() {
		return nil
	}
	if err == nil {
		err = s.clear(scope, j, t.Stage)
	}
	switch {
	case s.ctx.Err() != nil:
		return river.JobSnooze(0)
	case err == nil:
		s.q.config.Log.Info("cleared up", "job", t.Job, "stage", t.Stage)
		return nil
	case t.tries >= mostTries || !passes(err):
		s.q.config.Log.Error("a place could not be cleared up", "job", t.Job, "stage", t.Stage, "error", err.Error())
		return nil
	}
	s.q.config.Log.Warn("clearing up failed, to be tried again", "job", t.Job, "stage", t.Stage, "error", err.Error())
	return err // River tries again, and counts
}

func (s *session) clear(scope registry.Scope, j registry.Job, stage string) error {
	var spec DeliverySpec
	if err := json.Unmarshal(j.Spec, &spec); err != nil {
		return fmt.Errorf("%w: its spec: %w", errSpec, err)
	}
	made := madeBy(j)
	if made.Making == "" && stage == stageSweep {
		return nil
	}
	if stage == stageAbandon {
		if taken, err := s.takenOver(scope, j.ID, spec.Place); err != nil || taken {
			return err
		}
	}
	// Without a name it was cancelled while it was being planned: what that began is begun again, to be abandoned.
	m, err := s.q.open(s.ctx, scope, spec, made.Making, s.may)
	if errors.Is(err, fs.ErrNotExist) {
		s.q.config.Log.Warn("the place to be cleared up is not there", "job", j.ID, "error", err.Error())
		return nil
	}
	if made.Making == "" && err != nil && !passes(err) {
		return nil // the place is another's
	}
	if err != nil {
		return err
	}
	defer m.shut()
	if stage == stageSweep {
		return m.m.Sweep(s.ctx)
	}
	if err := m.m.Abandon(s.ctx); !errors.Is(err, delivery.ErrFinished) {
		return err
	}
	return nil
}

// takenOver tells whether a job that is not over makes a delivery in the place of one that is: what lies there, also what it
// has found there and goes on with, is that job's.
func (s *session) takenOver(scope registry.Scope, id, place string) (bool, error) {
	list, err := s.q.jobsIn(s.ctx, scope, registry.JobPlanned, registry.JobRunning, registry.JobPaused, registry.JobFailed)
	return slices.ContainsFunc(list, func(j registry.Job) bool {
		var spec DeliverySpec
		return j.ID != id && j.Kind == registry.DeliveryJob && json.Unmarshal(j.Spec, &spec) == nil && spec.Place == place
	}), err
}

// intake runs an import.
func (h *held) intake() (*outcome, error) {
	q, ctx := h.s.q, h.s.ctx
	result, err := q.config.Import(ctx, h.scope, h.job.Spec, func(done, refused int64) error {
		h.set(done, refused)
		if err := h.s.may(); err != nil {
			return err
		}
		return h.s.running(ctx, h.scope, h.t.Job, h.t.Run)
	})
	if err != nil {
		return nil, err
	}
	return &outcome{PartEnd: registry.PartEnd{Done: result.Done, Refused: result.Refused, Total: result.Done}, job: result.Result}, nil
}

// errVersion says that a delivery was begun by another program, whose bytes may be others.
var errVersion = errors.New("jobs: the delivery was begun by another version of the program")

// versionPause is how long a part waits for a process of the right version, and busyPauses how many pauses after a first
// failure it waits for whoever keeps it busy.
const (
	versionPause = 30 * time.Second
	busyPauses   = 10
)

func (c Config) busyPause() time.Duration { return busyPauses * c.Backoff }

// before is asked before each work, and with "" before each change of the place.
func (h *held) before(ctx context.Context, _ concepts.WorkID) error {
	if err := h.s.may(); err != nil {
		return err
	}
	if err := h.s.ctx.Err(); err != nil {
		return context.Cause(h.s.ctx)
	}
	return h.s.running(ctx, h.scope, h.t.Job, h.t.Run)
}

// fence is asked by the store before each change of the place. All parts of the job in this process share it, whatever
// run they are of.
func (h *held) fence() error {
	if err := h.s.may(); err != nil {
		return err
	}
	return h.s.goes(h.s.ctx, h.scope, h.t.Job)
}
