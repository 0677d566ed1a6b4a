package jobs

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/filigrane/filigrane/internal/registry"
)

// operator is who registers and buries workers.
var operator = registry.Scope{Role: registry.Operator}

// How often things are done besides the beat.
const (
	noteEvery   = time.Second      // how far parts are
	stateKept   = time.Second      // how long a job's state is believed
	ensureEvery = 30 * time.Second // whether running jobs have tickets
	lostAfter   = time.Minute      // a ticket that was given to this worker and never arrived
	stopWithin  = 30 * time.Second // for handing back what is under way
)

// session is the life of this process as one worker, until it stops or finds itself buried.
type session struct {
	q      *Queue
	id     string
	ctx    context.Context // of the works under way
	cancel context.CancelCauseFunc
	sent   atomic.Int64 // when the last beat was sent that was answered, by steady

	mu     sync.Mutex
	held   map[*held]bool
	states map[string]*state       // of jobs
	taken  map[int64]time.Duration // River's numbers of tickets in hand (0), and when those were given up that were lately
}

// state is what was last seen of a job.
type state struct {
	mu  sync.Mutex
	at  time.Duration // steady; 0 never
	job registry.Job
}

// Why works are stopped.
var (
	errBuried  = errors.New("jobs: this worker was declared dead: it did not give a sign of life for too long")
	errFence   = errors.New("jobs: this worker has not reached the registry for too long to go on writing")
	errStopped = errors.New("jobs: the job is paused, cancelled or set going anew")
	errEnding  = errors.New("jobs: this worker is ending")
)

// Work works on the jobs of the queue until ctx ends, and hands back what is under way. A process that was declared dead
// goes on under another name. kinds are those of jobs it works on; none are all it can.
func (q *Queue) Work(ctx context.Context, kinds ...registry.JobKind) error {
	return q.work(ctx, kinds, func(context.Context) (bool, error) { return false, nil })
}

// Drain works on the queue until there is nothing left in it of the kinds it works on, clearing up included, or ctx ends.
func (q *Queue) Drain(ctx context.Context, kinds ...registry.JobKind) error {
	mine := q.kinds(kinds)
	return q.work(ctx, kinds, func(ctx context.Context) (bool, error) {
		for _, s := range q.config.Scopes {
			counts, err := waiting(ctx, q.reg, queueOf(s), mine)
			if err != nil || len(counts) > 0 {
				return false, err
			}
		}
		return true, nil
	})
}

// WorkUntil works on the queue until a job is finished, and gives it. A job that failed, is paused or was cancelled ends it
// too: the error says which, and wraps what it failed of if it failed in this process. progress, if it is not nil, is
// told now and then how far the job is. A job that waits for somebody with a priority is asked for with priority 1, and
// then comes before all others here.
func (q *Queue) WorkUntil(ctx context.Context, scope registry.Scope, id string, progress func(registry.Job)) (j registry.Job, err error) {
	q.mu.Lock()
	q.awaited = id
	q.mu.Unlock()
	err = q.work(ctx, nil, func(ctx context.Context) (bool, error) {
		if j, err = q.reg.Job(ctx, scope, id); err != nil {
			return false, err
		}
		if progress != nil {
			progress(j)
		}
		return j.State != registry.JobPlanned && j.State != registry.JobRunning, nil
	})
	if err == nil && ctx.Err() != nil && !j.State.Over() {
		err = ctx.Err()
	}
	if err == nil && j.State != registry.JobFinished {
		q.mu.Lock()
		cause := q.failures[id]
		q.mu.Unlock()
		switch {
		case j.State == registry.JobFailed && cause != nil:
			err = cause
		case j.Why != "":
			err = fmt.Errorf("jobs: job %s is %s: %s", id, j.State, j.Why)
		default:
			err = fmt.Errorf("jobs: job %s is %s", id, j.State)
		}
	}
	return j, err
}

// work lives from session to session until ctx ends or done says so.
func (q *Queue) work(ctx context.Context, kinds []registry.JobKind, done func(context.Context) (bool, error)) error {
	if len(q.config.Scopes) == 0 {
		return fmt.Errorf("jobs: for which bank?")
	}
	q.mu.Lock()
	if q.working {
		q.mu.Unlock()
		panic("jobs: this queue is worked on already")
	}
	q.working = true
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		q.working = false
		q.mu.Unlock()
	}()
	for {
		err := q.session(ctx, q.kinds(kinds), done)
		if !errors.Is(err, errBuried) {
			return err
		}
		q.config.Log.Warn("declared dead, going on under another name")
	}
}

// kinds are those of jobs that this process can work on, as far as they are asked for.
func (q *Queue) kinds(asked []registry.JobKind) (kinds []string) {
	for _, k := range []registry.JobKind{registry.DeliveryJob, registry.ImportJob} {
		can := k == registry.DeliveryJob && q.config.Opener != nil && q.config.Keys != nil || k == registry.ImportJob && q.config.Import != nil
		wanted := len(asked) == 0
		for _, a := range asked {
			wanted = wanted || a == k
		}
		if can && wanted {
			kinds = append(kinds, string(k))
		}
	}
	return kinds
}

// session works as one worker until ctx ends, done says so, or the worker is buried (errBuried).
func (q *Queue) session(ctx context.Context, kinds []string, done func(context.Context) (bool, error)) (err error) {
	s := &session{q: q, id: newID(q.config.Host), held: map[*held]bool{}, states: map[string]*state{}, taken: map[int64]time.Duration{}}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	defer s.cancel(nil)
	sent := steady()
	err = q.reg.AddWorker(ctx, operator, registry.Worker{ID: s.id, Host: q.config.Host, Realm: realm(), Process: processOf(os.Getpid()), PID: os.Getpid()})
	if err != nil {
		return err
	}
	s.sent.Store(int64(sent))
	q.config.Log.Info("worker begins", "worker", s.id, "host", q.config.Host, "pid", os.Getpid(), "jobs", q.config.Workers)
	// Before the first ticket is taken: what a killed process held is free again, and running jobs have tickets.
	if err := errors.Join(s.bury(ctx), s.ensure(ctx)); err != nil {
		return errors.Join(err, s.leave())
	}
	stop, err := q.river.start(context.WithoutCancel(ctx), s.id, q.config.Scopes, q.config.Workers, kinds, s.take)
	if err != nil {
		return errors.Join(err, s.leave())
	}
	var loops sync.WaitGroup
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	loops.Go(func() { s.beats(living) })
	loops.Go(s.notes)
	err = s.wait(ctx, done)
	if cause := context.Cause(s.ctx); cause != nil {
		err = cause // buried
	}
	s.cancel(errEnding)
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	err = errors.Join(err, stop(within))
	end() // until now what is handed back was ours
	loops.Wait()
	q.shut()
	return errors.Join(err, s.leave())
}

// leave says goodbye. Should that not arrive, others notice. Whatever was not stopped in time may not write any more.
func (s *session) leave() error {
	s.sent.Store(int64(steady() - s.q.config.Timing.Fence))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.q.config.Timing.Beat)
	defer cancel()
	if err := s.q.reg.EndWorker(ctx, operator, s.id); err != nil {
		s.q.config.Log.Warn("the registry was not told that this worker ends", "worker", s.id, "error", err.Error())
		return nil
	}
	s.q.config.Log.Info("worker ends", "worker", s.id)
	return nil
}

// newID makes the name of a worker, which River keeps with each ticket: 100 bytes at most.
func newID(host string) string {
	var random [6]byte
	rand.Read(random[:]) // never fails
	var name []byte
	for i := 0; i < len(host) && i < 40; i++ {
		c := host[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' {
			name = append(name, c)
		}
	}
	return fmt.Sprintf("%s_%d_%s", name, os.Getpid(), hex.EncodeToString(random[:]))
}

// wait returns when ctx ends, the session is cancelled or done says so. An error of done is one of the registry's: a
// passing one is not the end.
func (s *session) wait(ctx context.Context, done func(context.Context) (bool, error)) error {
	const often = 200 * time.Millisecond
	tick := time.NewTicker(often)
	defer tick.Stop()
	for {
		over, err := done(s.ctx)
		switch {
		case errors.Is(err, registry.ErrNotFound), errors.Is(err, registry.ErrForbidden):
			return err
		case err != nil:
			s.q.config.Log.Warn("the registry does not answer", "error", err.Error())
		case over:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// beats gives signs of life until ctx ends, and buries others and looks after tickets until the session does.
func (s *session) beats(ctx context.Context) {
	tick := time.NewTicker(s.q.config.Timing.Beat)
	defer tick.Stop()
	ensured := steady()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.beat(ctx) {
			s.cancel(errBuried)
			return
		}
		if s.ctx.Err() != nil {
			continue // what is under way is being handed back
		}
		ctx, cancel := context.WithTimeout(s.ctx, 2*s.q.config.Timing.Beat)
		err := s.bury(ctx)
		if err == nil && steady()-ensured > ensureEvery {
			err = errors.Join(s.ensure(ctx), s.reclaim(ctx))
			s.tidy()
			ensured = steady()
		}
		cancel()
		if err != nil && s.ctx.Err() == nil {
			s.q.config.Log.Warn("looking after the queue failed", "error", err.Error())
		}
	}
}

// beat gives a sign of life. It is false if this worker was declared dead.
func (s *session) beat(living context.Context) bool {
	ctx, cancel := context.WithTimeout(living, s.q.config.Timing.Beat)
	defer cancel()
	sent := steady()
	alive, err := s.q.reg.BeatWorker(ctx, operator, s.id)
	if err != nil {
		if living.Err() == nil {
			s.q.config.Log.Warn("no sign of life could be given", "error", err.Error())
		}
		return true // as far as we know; the fence comes down by itself
	}
	if alive {
		s.sent.Store(int64(sent))
	}
	return alive
}

// may is the fence: whether this process may write now. It asks nobody.
func (s *session) may() error {
	if err := context.Cause(s.ctx); errors.Is(err, errBuried) {
		return err
	}
	if steady()-time.Duration(s.sent.Load()) >= s.q.config.Timing.Fence {
		return errFence
	}
	return nil
}

// bury declares dead who is, and gives their tickets to the living.
func (s *session) bury(ctx context.Context) error {
	var gone []string
	for p := (registry.Page{Limit: registry.MostPerPage}); ; {
		l, err := s.q.reg.Workers(ctx, operator, registry.WorkerAlive, p)
		if err != nil {
			return err
		}
		for _, w := range l.Items {
			if w.ID != s.id && ended(w) {
				gone = append(gone, w.ID)
			}
		}
		if p.After = l.Next; p.After == "" {
			break
		}
	}
	var buried []string
	var stolen int64
	err := s.q.reg.InTx(ctx, func(reg *registry.Registry) (err error) {
		if buried, err = reg.BuryWorkers(ctx, operator, s.q.config.Timing.Dead, gone, s.q.now()); err != nil {
			return err
		}
		stolen, err = steal(ctx, reg)
		return err
	})
	if err == nil && (len(buried) > 0 || stolen > 0) {
		s.q.config.Log.Warn("workers are dead, their parts are free", "dead", buried, "parts", stolen)
	}
	return err
}

// ensure gives tickets to running jobs that have none.
func (s *session) ensure(ctx context.Context) error {
	for _, scope := range s.q.config.Scopes {
		running, err := s.q.jobsIn(ctx, scope, registry.JobPlanned, registry.JobRunning)
		if err != nil {
			return err
		}
		if len(running) == 0 {
			continue
		}
		counts, err := waiting(ctx, s.q.reg, queueOf(scope), nil)
		if err != nil {
			return err
		}
		for _, j := range running {
			if counts[runOf(j.ID, j.Run)] > 0 {
				continue
			}
			err := s.q.reg.InTx(ctx, func(reg *registry.Registry) error {
				again, err := reg.RestartJob(ctx, scope, j.ID, j.Run, s.q.now())
				if err != nil {
					return err
				}
				return s.q.issue(ctx, reg, scope, j.ID, priorityOf(again))
			})
			switch {
			case errors.Is(err, registry.ErrState): // it went on meanwhile
			case err != nil:
				return err
			default:
				s.q.config.Log.Warn("a job had no tickets and got new ones", "job", j.ID)
			}
		}
	}
	return nil
}

// jobsIn gives a bank's jobs in some states.
func (q *Queue) jobsIn(ctx context.Context, scope registry.Scope, states ...registry.JobState) (list []registry.Job, err error) {
	for _, state := range states {
		for p := (registry.Page{Limit: registry.MostPerPage}); ; {
			l, err := q.reg.Jobs(ctx, scope, state, p)
			if err != nil {
				return nil, err
			}
			list = append(list, l.Items...)
			if p.After = l.Next; p.After == "" {
				break
			}
		}
	}
	return list, nil
}

// notes tells the registry how far the parts under way are, until the session ends.
func (s *session) notes() {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		byTenant := map[registry.Scope][]registry.PartNote{}
		s.mu.Lock()
		for h := range s.held {
			if n, fresh := h.note(); fresh {
				byTenant[h.scope] = append(byTenant[h.scope], n)
			}
		}
		s.mu.Unlock()
		for scope, notes := range byTenant {
			if err := s.q.reg.NoteParts(s.ctx, scope, s.id, notes, s.q.now()); err != nil && s.ctx.Err() == nil {
				s.q.config.Log.Warn("how far parts are could not be noted", "error", err.Error())
			}
		}
	}
}

// reclaim makes the tickets anew that the queue has given to this worker and that never arrived, as where the answer was
// lost.
func (s *session) reclaim(ctx context.Context) error {
	now := steady()
	mine := []int64{}
	s.mu.Lock()
	for number, ended := range s.taken {
		if ended != 0 && now-ended > lostAfter { // what became of it has long been written down
			delete(s.taken, number)
			continue
		}
		mine = append(mine, number)
	}
	s.mu.Unlock()
	var n int64
	err := s.q.reg.InTx(ctx, func(reg *registry.Registry) (err error) {
		n, err = reissue(ctx, reg, s.id, mine)
		return err
	})
	if err == nil && n > 0 {
		s.q.config.Log.Warn("tickets that never arrived were made anew", "parts", n)
	}
	return err
}

// tidy forgets what was not used since it was last called: deliveries that are open, and states of jobs.
func (s *session) tidy() {
	s.mu.Lock()
	for key, st := range s.states {
		if st.mu.TryLock() { // else somebody is just asking
			if st.at != 0 && steady()-st.at > ensureEvery {
				delete(s.states, key)
			}
			st.mu.Unlock()
		}
	}
	s.mu.Unlock()
	q := s.q
	var unused []*making
	q.mu.Lock()
	for key, m := range q.makings {
		if m.users == 0 && m.idle {
			delete(q.makings, key)
			m.users++
			unused = append(unused, m)
		}
		m.idle = true
	}
	q.mu.Unlock()
	for _, m := range unused {
		q.release(m, true)
	}
}

// running returns errStopped if a job is no longer in a run, as it was seen within the last second.
func (s *session) running(ctx context.Context, scope registry.Scope, id string, run int) error {
	if j := s.seen(ctx, scope, id, run); j.ID != "" && (j.State != registry.JobRunning || j.Run != run) {
		return errStopped
	}
	return nil
}

// goes returns errStopped if a job does not run, in whatever run, as it was seen within the last second.
func (s *session) goes(ctx context.Context, scope registry.Scope, id string) error {
	if j := s.seen(ctx, scope, id, 0); j.ID != "" && j.State != registry.JobRunning {
		return errStopped
	}
	return nil
}

// seen gives a job as it was within the last second, and not in a run before the one given; none if the registry does not
// answer.
func (s *session) seen(ctx context.Context, scope registry.Scope, id string, run int) registry.Job {
	s.mu.Lock()
	st := s.states[scope.Tenant+"\x00"+id]
	if st == nil {
		st = &state{}
		s.states[scope.Tenant+"\x00"+id] = st
	}
	s.mu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.at == 0 || steady()-st.at >= stateKept || st.job.Run < run {
		j, err := s.q.reg.Job(ctx, scope, id)
		if err != nil {
			return registry.Job{} // the fence comes down by itself if this goes on
		}
		st.job, st.at = j, steady()
	}
	return st.job
}

// shut closes everything that was opened for deliveries. Nobody uses it any more.
func (q *Queue) shut() {
	q.mu.Lock()
	open := q.makings
	q.makings = map[string]*making{}
	q.mu.Unlock()
	for _, m := range open {
		q.mu.Lock()
		m.users++
		q.mu.Unlock()
		q.release(m, true)
	}
}
