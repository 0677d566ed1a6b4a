package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/mark"
)

// Opener opens places by their names.
type Opener interface {
	// Store opens where a delivery goes. What it gives is closed after use if it is an io.Closer.
	Store(ctx context.Context, place string) (store.Store, error)
	// Masters opens where a bank's masters lie.
	Masters(ctx context.Context, place string) (delivery.Source, io.Closer, error)
}

// Config says for whom and how a process works. Scopes is needed to work, Opener and Keys to work on deliveries.
type Config struct {
	// Scopes are the banks whose jobs are worked on.
	Scopes []registry.Scope
	Opener Opener
	// Keys gives the keys of a delivery and their fingerprint.
	Keys func(ctx context.Context, scope registry.Scope, path mark.Path) (mark.Keys, string, error)
	// Papers, if it is given, writes what accompanies a delivery that was just finished, and gives the key that signed it. It
	// may run twice.
	Papers func(ctx context.Context, scope registry.Scope, spec DeliverySpec, catalogue *concepts.Frozen, st store.Store) (receipt string, err error)
	// CodeVersion is that of this program. Deliveries of another are left to other processes. "" takes all.
	CodeVersion string
	// Import, if it is given, runs an import to its end, or goes on with one that was interrupted. It calls progress now and
	// then; an error of progress ends it at once. Without it imports are left to other processes.
	Import func(ctx context.Context, scope registry.Scope, spec json.RawMessage, progress func(done, refused int64) error) (ImportResult, error)

	// Workers is how many pictures are worked on at once. Default GOMAXPROCS.
	Workers int
	// MaxMemory bounds what decoded masters take at once, in bytes. Default 4 GiB.
	MaxMemory int64
	// Tries is how often a part may fail. Default 8, some four minutes.
	Tries int
	// Poison is how often a worker may die over a work that is tried alone. Default 5.
	Poison int
	// Backoff is the pause after the first failure; it doubles up to a minute. Default 1 s.
	Backoff time.Duration
	// Awaited holds for the failures of the job that WorkUntil waits for, instead of Tries and Backoff where it is not 0: who
	// waits can mend what is wrong. That masters cannot be had is not decided any sooner for it.
	Awaited struct {
		Tries   int
		Backoff time.Duration
	}
	Timing Timing
	// Host names this machine, for people. Default its own name.
	Host string
	// Clock gives the time for the registry. Default time.Now.
	Clock func() time.Time
	// Log is told what happens. Default nobody.
	Log *slog.Logger
}

// ImportResult is what came of an import.
type ImportResult struct {
	Done, Refused int64
	Result        json.RawMessage // kept with the job
}

// Timing are the times of the fence, all of one installation the same.
type Timing struct {
	Beat  time.Duration // between signs of life. Default 5 s
	Fence time.Duration // how long after a sign of life a process may write. Default 15 s
	Dead  time.Duration // after what silence a process is buried. Default 20 s
}

func (t Timing) withDefaults() (Timing, error) {
	if t == (Timing{}) {
		t = Timing{Beat: 5 * time.Second, Fence: 15 * time.Second, Dead: 20 * time.Second}
	}
	if !(0 < t.Beat && t.Beat < t.Fence && t.Fence < t.Dead) {
		return t, fmt.Errorf("jobs: a beat every %v, a fence of %v and a death after %v: each has to be longer than the one before", t.Beat, t.Fence, t.Dead)
	}
	return t, nil
}

// Queue is an open queue. Goroutines may share it; at most one of Work, Drain and WorkUntil runs at a time.
type Queue struct {
	reg    *registry.Registry
	config Config
	river  engine
	room   *delivery.Room
	// alone is held for reading by parts, and for writing by one that is tried alone.
	alone sync.RWMutex

	mu       sync.Mutex
	makings  map[string]*making
	loads    map[string]*loading
	failures map[string]error // why this process failed a job
	times    map[string]delivery.Times
	timed    []string // the jobs of times, the newest last
	working  bool
	awaited  string // the job that WorkUntil waits for
}

// Open prepares the queue's tables in the registry's database, which the caller closes after the queue is done.
func Open(ctx context.Context, reg *registry.Registry, config Config) (*Queue, error) {
	var err error
	if config.Timing, err = config.Timing.withDefaults(); err != nil {
		return nil, err
	}
	if config.Workers == 0 {
		config.Workers = runtime.GOMAXPROCS(0)
	}
	if config.MaxMemory == 0 {
		config.MaxMemory = 4 << 30
	}
	if config.Tries == 0 {
		config.Tries = 8
	}
	if config.Poison == 0 {
		config.Poison = 5
	}
	if config.Backoff == 0 {
		config.Backoff = time.Second
	}
	if config.Workers < 1 || config.MaxMemory < 1 || config.Tries < 1 || config.Poison < 1 || config.Backoff < 0 {
		return nil, fmt.Errorf("jobs: %d workers, %d bytes, %d tries, poison after %d, a pause of %v: give at least 1 of each", config.Workers, config.MaxMemory, config.Tries, config.Poison, config.Backoff)
	}
	if config.Host == "" {
		if config.Host, err = os.Hostname(); err != nil || config.Host == "" {
			config.Host = "unknown"
		}
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	q := &Queue{reg: reg, config: config, room: delivery.NewRoom(config.Workers, config.MaxMemory), makings: map[string]*making{}, loads: map[string]*loading{},
		failures: map[string]error{}, times: map[string]delivery.Times{}}
	if q.river, err = newEngine(reg, config); err != nil {
		return nil, err
	}
	if err := q.river.migrate(ctx); err != nil {
		return nil, err
	}
	return q, nil
}

func (q *Queue) now() time.Time { return q.config.Clock() }

// The stages of a delivery, and those of its clearing up, of which the registry does not know. Each is a kind of River's.
const (
	stagePlan    = "delivery_plan"
	stagePart    = "delivery_part"
	stageSeal    = "delivery_seal"
	stageShard   = "delivery_shard"
	stageFinish  = "delivery_finish"
	stageSweep   = "delivery_sweep"
	stageAbandon = "delivery_abandon"
	stageImport  = "import"
)

// lookahead is how many tickets of a job wait at a time.
const lookahead = 8

// Priorities. Those who wait for the end of a job come first.
const (
	firstPriority = 1
	usualPriority = 2
)

// Deliver asks for a delivery: it plans d in the registry, and a job, by an id, that makes it as spec says. also, if it is
// not nil, is done in the same transaction, before. The same again, whatever has become of it, changes nothing; added
// tells. A licence that does not hold is refused here.
func (q *Queue) Deliver(ctx context.Context, scope registry.Scope, id string, d registry.Delivery, spec DeliverySpec, also func(*registry.Registry) error) (added bool, err error) {
	if err := spec.check(); err != nil {
		return false, err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return false, fmt.Errorf("jobs: %w", err)
	}
	j := registry.Job{ID: id, Kind: registry.DeliveryJob, Subject: d.ID, Spec: text, Priority: spec.priority(), First: stagePlan}
	return q.add(ctx, scope, j, func(reg *registry.Registry) error {
		if also != nil {
			if err := also(reg); err != nil {
				return err
			}
		}
		_, err := reg.AddDelivery(ctx, scope, d, q.now())
		return err
	})
}

// Same tells whether a job makes a delivery as a spec says, whoever waits for it.
func (s DeliverySpec) Same(j registry.Job) bool {
	var is DeliverySpec
	if json.Unmarshal(j.Spec, &is) != nil {
		return false
	}
	s.Priority, is.Priority = 0, 0
	a, err := json.Marshal(s)
	b, other := json.Marshal(is)
	return err == nil && other == nil && bytes.Equal(a, b)
}

// Import asks for an import under an id. The same again changes nothing.
func (q *Queue) Import(ctx context.Context, scope registry.Scope, id string, spec json.RawMessage) (added bool, err error) {
	return q.add(ctx, scope, registry.Job{ID: id, Kind: registry.ImportJob, Spec: spec, Priority: usualPriority, First: stageImport}, func(*registry.Registry) error { return nil })
}

// add keeps a job and the ticket for its first part, in one transaction.
func (q *Queue) add(ctx context.Context, scope registry.Scope, j registry.Job, also func(*registry.Registry) error) (added bool, err error) {
	err = q.reg.InTx(ctx, func(reg *registry.Registry) error {
		if err := also(reg); err != nil {
			return err
		}
		c, err := reg.AddJob(ctx, scope, j, q.now())
		if added = c.Added > 0; err != nil || !added {
			return err
		}
		return q.issue(ctx, reg, scope, j.ID, j.Priority)
	})
	return added, err
}

// issue makes the next tickets of a job.
func (q *Queue) issue(ctx context.Context, reg *registry.Registry, scope registry.Scope, id string, priority int) error {
	return q.issueSome(ctx, reg, scope, id, priority, lookahead)
}

func (q *Queue) issueSome(ctx context.Context, reg *registry.Registry, scope registry.Scope, id string, priority, most int) error {
	tickets, err := reg.IssueParts(ctx, scope, id, most, q.now())
	if err != nil {
		return err
	}
	return q.river.insert(ctx, reg, scope, tickets, priority, time.Time{})
}

// Show gives a job.
func (q *Queue) Show(ctx context.Context, scope registry.Scope, id string) (registry.Job, error) {
	return q.reg.Job(ctx, scope, id)
}

// Pause stops a job that runs until Resume. What was done is kept.
func (q *Queue) Pause(ctx context.Context, scope registry.Scope, id, why string) (registry.Job, error) {
	return q.move(ctx, scope, id, registry.JobPaused, registry.Paused, why)
}

// Resume lets a paused job go on.
func (q *Queue) Resume(ctx context.Context, scope registry.Scope, id string) (registry.Job, error) {
	return q.again(ctx, scope, id, registry.JobPaused, "resumed")
}

// Retry lets a failed job go on where it failed.
func (q *Queue) Retry(ctx context.Context, scope registry.Scope, id string) (registry.Job, error) {
	return q.again(ctx, scope, id, registry.JobFailed, "retried")
}

// again sets a job going that is in one state. The same again changes nothing.
func (q *Queue) again(ctx context.Context, scope registry.Scope, id string, from registry.JobState, why string) (registry.Job, error) {
	j, err := q.reg.Job(ctx, scope, id)
	if err == nil && j.State != from && j.State != registry.JobRunning {
		err = fmt.Errorf("%w: job %s is %s, not %s", registry.ErrState, id, j.State, from)
	}
	if err == nil && j.State == from {
		err = q.allowedAgain(ctx, scope, j)
	}
	if err != nil {
		return j, err
	}
	q.forget(id)
	return q.move(ctx, scope, id, registry.JobRunning, registry.Running, why)
}

// Begun tells of a job whose delivery was begun in its place by the caller (delivery.Begin) under a name, that of
// delivery.Making.Job: "" where the place holds it finished. Where the job knows it by another name the place was emptied
// meanwhile: the job begins anew, as it does after Resume and Retry if it rests. A job that is over is ErrState.
func (q *Queue) Begun(ctx context.Context, scope registry.Scope, id, name string) (j registry.Job, err error) {
	q.forget(id)
	err = q.reg.InTx(ctx, func(reg *registry.Registry) error {
		if j, err = reg.Job(ctx, scope, id); err != nil {
			return err
		}
		rests := j.State == registry.JobPaused || j.State == registry.JobFailed
		anew := j.Stage != stagePlan && madeBy(j).Making != name
		if name == "" && j.Stage == stageFinish {
			anew = false // somebody is just finishing it, or has and could not say so: what is left to do finds the manifest
		}
		if rests {
			if j, _, err = reg.MoveJob(ctx, scope, id, registry.JobRunning, "", q.now()); err != nil {
				return err
			}
			if err := q.moveDelivery(ctx, reg, scope, j.Subject, registry.Running, "", nil); err != nil {
				return err
			}
		}
		if anew {
			if j, err = q.fromStart(ctx, reg, scope, j); err != nil {
				return err
			}
		}
		if !rests && !anew {
			return nil
		}
		return q.issue(ctx, reg, scope, id, priorityOf(j))
	})
	return j, err
}

// fromStart takes a delivery's job that runs back to its first stage.
func (q *Queue) fromStart(ctx context.Context, reg *registry.Registry, scope registry.Scope, j registry.Job) (registry.Job, error) {
	ticket := registry.Ticket{Job: j.ID, Run: j.Run, Stage: j.Stage}
	again, ok, err := reg.ReopenParts(ctx, scope, ticket, registry.Stage{Name: stagePlan, Parts: 1}, []int{0}, []string{stagePart, stageSeal, stageShard, stageFinish}, q.now())
	if err == nil && !ok {
		err = fmt.Errorf("%w: job %s is %s", registry.ErrState, j.ID, j.State)
	}
	return again, err
}

// Cancel ends a job for good. One whose delivery is finished in its place, or just being finished, is ErrState. What a delivery has staged is removed by the next worker, and once more when none that was
// lost can be alive.
func (q *Queue) Cancel(ctx context.Context, scope registry.Scope, id, why string) (registry.Job, error) {
	seen, err := q.mayCancel(ctx, scope, id)
	if err != nil {
		return seen, err
	}
	return q.move(ctx, scope, id, registry.JobCancelled, registry.Cancelled, why, func(reg *registry.Registry, j registry.Job) error {
		return stillMay(ctx, reg, scope, seen, j)
	})
}

// move moves a job, its delivery with it, and makes the tickets of what there is to do then.
func (q *Queue) move(ctx context.Context, scope registry.Scope, id string, to registry.JobState, delivery registry.DeliveryState, why string, checks ...func(*registry.Registry, registry.Job) error) (j registry.Job, err error) {
	err = q.reg.InTx(ctx, func(reg *registry.Registry) error {
		var c registry.Changes
		if j, c, err = reg.MoveJob(ctx, scope, id, to, why, q.now()); err != nil || c.Changed == 0 {
			return err
		}
		for _, check := range checks {
			if err := check(reg, j); err != nil {
				return err
			}
		}
		if j.Kind == registry.DeliveryJob {
			if err := q.moveDelivery(ctx, reg, scope, j.Subject, delivery, why, nil); err != nil {
				return err
			}
		}
		switch {
		case to == registry.JobRunning:
			return q.issue(ctx, reg, scope, id, priorityOf(j))
		case to == registry.JobCancelled && j.Kind == registry.DeliveryJob:
			// Who asked for it has begun it in its place, whether a worker has taken it up or not. At once where nobody works on it;
			// then when who did has surely noticed; then when who was lost is surely gone; and when what was on its way has surely arrived.
			for _, after := range []time.Duration{0, 2 * stateKept, q.config.Timing.Dead + q.config.Timing.Beat, longestPut} {
				t := registry.Ticket{Job: id, Run: j.Run, Stage: stageAbandon}
				if after == longestPut {
					t.Part = latePart
				}
				if err := q.river.insert(ctx, reg, scope, []registry.Ticket{t}, firstPriority, time.Now().Add(after)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err == nil {
		q.config.Log.Info("job "+string(to), "job", id, "why", why)
	}
	return j, err
}

// moveDelivery moves the delivery of a job with it. One that was delivered before stays so: a job may make it again where
// its place lost it, and it must come out the same.
func (q *Queue) moveDelivery(ctx context.Context, reg *registry.Registry, scope registry.Scope, id string, to registry.DeliveryState, why string, result json.RawMessage) error {
	d, err := reg.Delivery(ctx, scope, id)
	switch {
	case err != nil, d.State == registry.Delivered:
		return err
	case d.State == registry.Cancelled && to != registry.Cancelled:
		return fmt.Errorf("%w: %s", errCancelled, d.Why)
	case d.State != registry.Running && to != registry.Running && to != registry.Cancelled: // moved by hand meanwhile
		if _, err := reg.MoveDelivery(ctx, scope, id, registry.Running, "", nil, q.now()); err != nil {
			return err
		}
	}
	_, err = reg.MoveDelivery(ctx, scope, id, to, why, result, q.now())
	return err
}

// errCancelled says that somebody cancelled the delivery and not its job.
var errCancelled = errors.New("jobs: the delivery was cancelled")

// forget drops what this process remembers of a job's failure.
func (q *Queue) forget(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.failures, id)
}

// Times is what the parts of a job took that this process worked on, of the last hundred jobs it took up.
func (q *Queue) Times(id string) delivery.Times {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.times[id]
}

// permanent are the errors that no pause mends.
var permanent = []error{delivery.ErrOtherParameters, delivery.ErrForeign, delivery.ErrNothingDelivered, registry.ErrNotFound, registry.ErrForbidden,
	registry.ErrConflict, registry.ErrState, store.ErrKey, errSpec, errCancelled, ErrFinal}

// errSpec says that a job cannot be worked on as it is.
var errSpec = errors.New("jobs: the job cannot be worked on here")

// ErrBusy is for what Config's functions return: somebody else has what is needed. It is waited for, for as long as that takes.
var ErrBusy = errors.New("jobs: somebody else has what is needed")

// ErrFinal is for what Config's functions return: trying again will not help.
var ErrFinal = errors.New("jobs: trying again will not help")

func passes(err error) bool {
	for _, kind := range permanent {
		if errors.Is(err, kind) {
			return false
		}
	}
	return true
}
