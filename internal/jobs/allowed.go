package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
)

// Allowed returns an error, which wraps ErrFinal and says what to do, if a catalogue may not be delivered under a licence
// at a time: if the licence was revoked or has ended (one that has not begun is no obstacle: the delivery may be ready on
// its first day), or if works of the catalogue are recalled or reserved by now. A work that was frozen although its file
// or the site reserved it (TakenOf) is excused, unless the bank's own table reserves it. A missing work counts as reserved
// if it was when it was last seen. Memory: a page of works at a time.
func Allowed(ctx context.Context, reg *registry.Registry, scope registry.Scope, l registry.Licence, cat *concepts.Frozen, now time.Time) error {
	switch {
	case !l.Revoked.IsZero() && !now.Before(l.Revoked):
		return fmt.Errorf("%w: licence %s was revoked on %s: %s; nothing more is delivered under it", ErrFinal, l.ID, l.Revoked.Format(time.DateOnly), l.Why)
	case !now.Before(l.End):
		return fmt.Errorf("%w: licence %s ended on %s; nothing more is delivered under it", ErrFinal, l.ID, l.End.AddDate(0, 0, -1).Format(time.DateOnly))
	}
	content := cat.Catalogue()
	ref := registry.Ref{Name: content.Name, Version: content.Version}
	story, err := reg.Story(ctx, scope, ref)
	if err != nil {
		return err
	}
	taken, err := takenOf(story)
	if err != nil {
		return fmt.Errorf("jobs: the story of %v: %w", ref, err)
	}
	c := closing{reg: reg, scope: scope, taken: taken}
	for chunk := range slices.Chunk(content.Works, registry.MostPerPage) {
		if err := c.look(ctx, chunk); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		is    string
		works []string
		then  string
	}{
		{"recalled", c.recalled, ""},
		{"reserved", c.reserved, ", or record the consent with 'filigrane import --consent'"},
	} {
		if n := len(f.works); n > 0 {
			return fmt.Errorf("%w: %d works of %s@%d are %s by now, %s the first: freeze a new version with 'filigrane concepts'%s", ErrFinal, n, content.Name, content.Version, f.is, f.works[0], f.then)
		}
	}
	return nil
}

// takenOf reads from the story of a catalogue version which works were taken although they were reserved.
func takenOf(story json.RawMessage) (map[concepts.WorkID]bool, error) {
	var s struct {
		Taken []concepts.WorkID `json:"taken_although_reserved"` // of workspace.Story
	}
	if story != nil {
		if err := json.Unmarshal(story, &s); err != nil {
			return nil, err
		}
	}
	taken := make(map[concepts.WorkID]bool, len(s.Taken))
	for _, id := range s.Taken {
		taken[id] = true
	}
	return taken, nil
}

// closing gathers the works of a catalogue that may not be delivered, by their paths.
type closing struct {
	reg                *registry.Registry
	scope              registry.Scope
	taken              map[concepts.WorkID]bool
	recalled, reserved []string
}

// look looks at a page of works.
func (c *closing) look(ctx context.Context, works []concepts.Work) error {
	ids := make([]concepts.WorkID, len(works))
	for i, w := range works {
		ids[i] = w.ID
	}
	states, err := c.reg.WorkStates(ctx, c.scope, ids)
	if err != nil {
		return err
	}
	var doubtful []concepts.Work
	for _, w := range works {
		switch states[w.ID] {
		case registry.Recalled:
			c.recalled = append(c.recalled, w.Path)
		case registry.Reserved, registry.Missing:
			doubtful = append(doubtful, w)
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	by, err := ReservedBy(ctx, c.reg, c.scope, doubtful)
	if err != nil {
		return err
	}
	for _, w := range doubtful {
		switch is := by[w.ID]; {
		case is == registry.ByNobody && states[w.ID] == registry.Missing:
		case is != registry.ByTable && c.taken[w.ID]:
		default:
			c.reserved = append(c.reserved, w.Path)
		}
	}
	return nil
}

// ReservedBy says who reserves works, by what the last import read of the objects at their paths: those of the bank's
// files and site that a recorded consent lifts are reserved by nobody. Works of whose objects nothing is known are not
// among the results. At most registry.MostPerPage works.
func ReservedBy(ctx context.Context, reg *registry.Registry, scope registry.Scope, works []concepts.Work) (map[concepts.WorkID]registry.Reserver, error) {
	names := make([]string, len(works))
	at := make(map[string]concepts.WorkID, len(works))
	for i, w := range works {
		names[i] = w.Path
		at[w.Path] = w.ID
	}
	objects, err := reg.ObjectsAt(ctx, scope, names)
	if err != nil {
		return nil, err
	}
	consents, err := reg.ReservationsOf(ctx, scope, []concepts.WorkID{""}) // of no single work: few
	if err != nil {
		return nil, err
	}
	lifted := func(name string) bool {
		return slices.ContainsFunc(consents, func(v registry.Reservation) bool {
			folder, ok := strings.CutSuffix(v.Path, "*")
			return ok && v.Protocol == "consent" && strings.HasPrefix(name, folder) // intake.ProtocolConsent
		})
	}
	by := make(map[concepts.WorkID]registry.Reserver, len(objects))
	for _, o := range objects {
		switch {
		case at[o.Name] != o.Work: // another picture lies there now
		case o.Reserved == registry.ByFile && lifted(o.Name):
			by[o.Work] = registry.ByNobody
		default:
			by[o.Work] = o.Reserved
		}
	}
	return by, nil
}

// allowed asks Allowed about a job's delivery.
func (q *Queue) allowed(ctx context.Context, scope registry.Scope, spec DeliverySpec) error {
	l, err := q.reg.Licence(ctx, scope, spec.Licence)
	if err != nil {
		return err
	}
	loaded, release, err := q.load(ctx, scope, spec.Catalogue, spec.Book)
	if err != nil {
		return err
	}
	defer release()
	return Allowed(ctx, q.reg, scope, l, loaded.catalogue, q.now())
}

// allowedAgain asks it before a delivery's job is set going again; one that may be finished in its place already goes on
// to say so.
func (q *Queue) allowedAgain(ctx context.Context, scope registry.Scope, j registry.Job) error {
	if j.Kind != registry.DeliveryJob || madeBy(j).Finishing {
		return nil
	}
	if d, err := q.reg.Delivery(ctx, scope, j.Subject); err != nil || d.State == registry.Delivered {
		return err // made again where its place lost it
	}
	var spec DeliverySpec
	if err := json.Unmarshal(j.Spec, &spec); err != nil {
		return fmt.Errorf("%w: its spec: %w", errSpec, err)
	}
	return q.allowed(ctx, scope, spec)
}

// errFinishing says why a delivery cannot be cancelled.
var errFinishing = errors.New("the delivery is being finished in its place")

// mayCancel gives a job, and an error that wraps registry.ErrState if its delivery is finished in its place already, or
// may be in a moment: registry and place have to agree. Where a worker has begun to finish it and then left, the place is
// looked at. A job whose delivery is cancelled already may be cancelled in any case.
func (q *Queue) mayCancel(ctx context.Context, scope registry.Scope, id string) (registry.Job, error) {
	j, err := q.reg.Job(ctx, scope, id)
	if err != nil || !beingFinished(j) {
		return j, err
	}
	if d, err := q.reg.Delivery(ctx, scope, j.Subject); err != nil || d.State == registry.Cancelled {
		return j, err
	}
	running, err := q.reg.JobParts(ctx, scope, id, registry.PartRunning, registry.Page{Limit: 1})
	if err != nil {
		return j, err
	}
	if j.State == registry.JobRunning || len(running.Items) > 0 {
		return j, fmt.Errorf("%w: job %s: %w; it takes moments. If it does not, pause the job first", registry.ErrState, id, errFinishing)
	}
	if q.config.Opener == nil {
		return j, fmt.Errorf("%w: job %s: %w, and this process cannot look whether it is", registry.ErrState, id, errFinishing)
	}
	var spec DeliverySpec
	if err := json.Unmarshal(j.Spec, &spec); err != nil {
		return j, fmt.Errorf("%w: its spec: %w", errSpec, err)
	}
	there, err := q.finishedAt(ctx, spec)
	if err == nil && there {
		err = fmt.Errorf("%w: job %s: the delivery is finished in its place; resume or retry the job, so that the registry knows it", registry.ErrState, id)
	}
	return j, err
}

func beingFinished(j registry.Job) bool {
	return j.Kind == registry.DeliveryJob && j.Stage == stageFinish && madeBy(j).Finishing
}

// stillMay asks again in the transaction that cancels the job: whether somebody has begun to finish it since it was seen.
func stillMay(ctx context.Context, reg *registry.Registry, scope registry.Scope, seen, j registry.Job) error {
	if !beingFinished(j) || beingFinished(seen) && seen.Run == j.Run {
		return nil
	}
	if d, err := reg.Delivery(ctx, scope, j.Subject); err != nil || d.State == registry.Cancelled {
		return err
	}
	return fmt.Errorf("%w: job %s: %w", registry.ErrState, j.ID, errFinishing)
}

// finishedAt tells whether a job's place holds its finished delivery.
func (q *Queue) finishedAt(ctx context.Context, spec DeliverySpec) (bool, error) {
	there, err := q.manifest(ctx, spec.Place)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p := there.Parameters
	return p.Path == spec.Path && p.KeyFingerprint == spec.KeyFingerprint && p.Geometry.String() == spec.Geometry && p.Format == spec.Format &&
		p.PresetDB == spec.Preset.PSNRDB && p.CodeVersion == spec.CodeVersion, nil
}

// finishing says, before the first byte of it is written, that the delivery is being finished: it cannot be cancelled any
// more. errStopped if it was cancelled, or stopped, before.
func (h *held) finishing(made madeOf) error {
	q, ctx := h.s.q, h.s.ctx
	made.Finishing = true
	text, err := json.Marshal(made)
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	return q.reg.InTx(ctx, func(reg *registry.Registry) error {
		if err := reg.SetJobResult(ctx, h.scope, h.t.Job, text, q.now()); err != nil { // first, for its lock
			return err
		}
		if j, err := reg.Job(ctx, h.scope, h.t.Job); err != nil || j.State != registry.JobRunning || j.Stage != stageFinish || j.Run != h.t.Run {
			return errors.Join(err, errStopped)
		}
		return nil
	})
}

// ready asks everything that has to be true before a delivery is finished, unless it was finished already by a worker that
// could not say so: then what was sent is to be on record whatever has become of licence and works since.
func (h *held) ready(spec DeliverySpec, made madeOf) error {
	q, ctx := h.s.q, h.s.ctx
	there, err := q.finishedAt(ctx, spec)
	if err != nil {
		return err
	}
	if !there {
		if err := q.allowedAgain(ctx, h.scope, registry.Job{Kind: registry.DeliveryJob, Subject: h.job.Subject, Spec: h.job.Spec}); err != nil {
			return err
		}
	}
	return h.finishing(made)
}

// patience is how often a part may fail that fails of err, and how long it then waits. Who awaits a job is told soon
// what is wrong with it; but to refuse works whose masters cannot be had is not decided in a hurry, and neither is anything
// about the jobs of others.
func (q *Queue) patience(job string, err error, tries int) (most int, pause time.Duration) {
	q.mu.Lock()
	awaited := q.awaited == job
	q.mu.Unlock()
	most, first := q.config.Tries, q.config.Backoff
	if awaited && q.config.Awaited.Backoff > 0 {
		first = q.config.Awaited.Backoff
	}
	if awaited && q.config.Awaited.Tries > 0 && (!errors.Is(err, errPassing) || errors.Is(err, ErrAway)) {
		most = q.config.Awaited.Tries
	}
	return most, backoff(first, tries)
}

// longestPut is how long an object may take to arrive that was sent before its worker was stopped.
const longestPut = 10 * time.Minute

// latePart is the part of tickets for clearing up once more after longestPut. Nobody waits for them.
const latePart = 1

func (t ticket) late() bool {
	return (t.Stage == stageSweep || t.Stage == stageAbandon) && t.Part == latePart
}

// sweepsOf makes the tickets for sweeping the place of a finished job. Who was lost may come back to life until he notices
// that he was buried; and what another job was sending here when it was cancelled may yet arrive.
func (q *Queue) sweepsOf(ctx context.Context, reg *registry.Registry, scope registry.Scope, j registry.Job, place string) error {
	sweep := func(part int, at time.Time) error {
		return q.river.insert(ctx, reg, scope, []registry.Ticket{{Job: j.ID, Run: j.Run, Stage: stageSweep, Part: part}}, usualPriority, at)
	}
	if j.Lost > 0 {
		after := q.config.Timing.Dead + q.config.Timing.Beat
		if err := errors.Join(sweep(0, time.Now().Add(after)), sweep(latePart, time.Now().Add(longestPut))); err != nil {
			return err
		}
	}
	others, err := displaced(ctx, reg, scope, place, j.Added.Add(-longestPut))
	if err != nil || others.IsZero() {
		return err
	}
	if err := sweep(0, time.Now()); err != nil {
		return err
	}
	if left := others.Add(longestPut).Sub(q.now()); left > 0 {
		return sweep(latePart, time.Now().Add(left))
	}
	return nil
}

// displaced gives when the last job to a place was cancelled, if that was after a time.
func displaced(ctx context.Context, reg *registry.Registry, scope registry.Scope, place string, after time.Time) (last time.Time, err error) {
	for p := (registry.Page{Limit: registry.MostPerPage}); ; {
		l, err := reg.Jobs(ctx, scope, registry.JobCancelled, p)
		if err != nil {
			return last, err
		}
		for _, j := range l.Items {
			var spec DeliverySpec
			if j.Kind == registry.DeliveryJob && j.Ended.After(after) && j.Ended.After(last) && json.Unmarshal(j.Spec, &spec) == nil && spec.Place == place {
				last = j.Ended
			}
		}
		if p.After = l.Next; p.After == "" {
			return last, nil
		}
	}
}

// away tells, of a part of whose masters some could not be had, whether that is the masters' place and not the masters:
// the place is not there, or none of the part could be had. A single one that is not in a place that is there is gone.
func (h *held) away(spec DeliverySpec, r delivery.PartResult) bool {
	_, closer, err := h.s.q.config.Opener.Masters(h.s.ctx, spec.Masters)
	if err != nil {
		return true
	}
	closer.Close()
	return r.Done == 0 && (len(r.Passing) > 1 || r.Passing[0].Kind != delivery.Missing)
}
