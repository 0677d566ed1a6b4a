package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// PartState is where a part of a job stands.
type PartState string

// The states of a part.
const (
	PartWaiting PartState = "waiting" // it was begun and not finished; somebody will begin it again
	PartRunning PartState = "running" // a worker works on it
	PartDone    PartState = "done"
)

// JobPart is a part of a stage of a job that somebody has begun.
type JobPart struct {
	Stage string
	Part  int
	State PartState
	// Worker is who works on it, or did last.
	Worker string
	// Tries is how often it failed in this run of the job, Deaths how often a worker died over it; Why is what it last failed of.
	Tries, Deaths int
	Why           string
	// Done and Refused count works; Done includes the refused.
	Done, Refused int64
	// Hand is the work in hand, where works are noted one by one, and Falls how often a worker died with a work in hand.
	Hand    string
	Falls   map[string]int
	Changed time.Time
}

var jobPartsTable = &table{name: "job_parts", cols: columns("job i, part i, tries i, deaths i, done i, refused i, changed i, stage t, state t, worker t, hand t, falls t, why t"),
	order: []string{"job", "stage", "part"}}

const partColumns = "part, tries, deaths, done, refused, changed, stage, state, worker, hand, falls, why"

var (
	jobPart      = lookup("part of a job", "SELECT "+partColumns+" FROM job_parts WHERE job = $1 AND stage = $2 AND part = $3", int64(10), "mark", int64(7))
	jobParts     = paged("parts of a job", "si", "SELECT "+partColumns+" FROM job_parts WHERE job = $1 AND (stage, part) > ($2, $3) ORDER BY stage, part", int64(10))
	partsInState = paged("parts of a job in a state", "si", "SELECT "+partColumns+" FROM job_parts WHERE job = $1 AND state = $2 AND (stage, part) > ($3, $4) ORDER BY stage, part", int64(10), string(PartRunning))
	partsDone    = lookup("parts of a stage that are done", "SELECT part FROM job_parts WHERE job = $1 AND stage = $2 AND part >= $3 AND part < $4 AND state = 'done' ORDER BY part", int64(10), "mark", int64(0), int64(1000))
	undone       = lookup("what the done parts of a stage have done", "SELECT CAST(coalesce(sum(done), 0) AS BIGINT), CAST(coalesce(sum(refused), 0) AS BIGINT) FROM job_parts WHERE job = $1 AND stage = $2 AND state = 'done'", int64(10), "mark")
	partsOf      = lookup("parts of a worker", "SELECT job, stage, part, hand, falls FROM job_parts WHERE worker = $1 AND state = 'running'", "worker-1")
)

func scanPart(r rows) (p JobPart, err error) {
	var part, tries, deaths, changed int64
	var falls string
	if err := r.Scan(&part, &tries, &deaths, &p.Done, &p.Refused, &changed, &p.Stage, &p.State, &p.Worker, &p.Hand, &falls, &p.Why); err != nil {
		return p, err
	}
	p.Part, p.Tries, p.Deaths, p.Changed = int(part), int(tries), int(deaths), at(changed)
	if err := json.Unmarshal([]byte(falls), &p.Falls); err != nil {
		return p, fmt.Errorf("registry: part %d of stage %s: falls: %w", p.Part, p.Stage, err)
	}
	return p, nil
}

func partOf(ctx context.Context, q querier, job int64, stage string, part int) (p JobPart, found bool, err error) {
	err = each(ctx, q, jobPart.text, []any{job, stage, int64(part)}, func(r rows) error {
		found = true
		p, err = scanPart(r)
		return err
	})
	return p, found, err
}

// Ticket names a part to be worked on in a run of a job.
type Ticket struct {
	Job   string
	Run   int
	Stage string
	Part  int
}

// live tells whether the part of a ticket is to be worked on, the part aside.
func (t Ticket) live(j *numberedJob) bool {
	return t.Run == j.Run && t.Stage == j.Stage && t.Part >= 0 && t.Part < j.Parts && (j.State == JobRunning || j.State == JobPlanned)
}

// JobParts lists the parts of a job that were begun, those in a state if one is given, by the names of stages.
func (r *Registry) JobParts(ctx context.Context, s Scope, id string, state PartState, p Page) (l List[JobPart], err error) {
	err = r.read(ctx, s, "JobParts", func(q querier, tenant int64) error {
		j, err := oneJob(ctx, q, tenant, id)
		if err != nil {
			return err
		}
		st, args := jobParts, []any{j.n}
		if state != "" {
			st, args = partsInState, append(args, string(state))
		}
		l, err = list(ctx, q, st, args, p, func(r rows) (JobPart, []any, error) {
			p, err := scanPart(r)
			return p, []any{p.Stage, int64(p.Part)}, err
		})
		return err
	})
	return l, err
}

// IssueParts gives the next tickets of a job's stage, at most so many: each part that is not done gets one in a run.
func (r *Registry) IssueParts(ctx context.Context, s Scope, id string, most int, now time.Time) (tickets []Ticket, err error) {
	err = r.changeJob(ctx, s, "IssueParts", id, now, func(t *tx, j *numberedJob) error {
		tickets = nil
		for j.next < j.Parts && len(tickets) < most {
			const window = 1000
			until := min(j.next+window, j.Parts)
			done := map[int]bool{}
			err := each(ctx, t, partsDone.text, []any{j.n, j.Stage, int64(j.next), int64(until)}, func(r rows) error {
				var part int64
				err := r.Scan(&part)
				done[int(part)] = true
				return err
			})
			if err != nil {
				return err
			}
			for ; j.next < until && len(tickets) < most; j.next++ {
				if !done[j.next] {
					tickets = append(tickets, Ticket{j.ID, j.Run, j.Stage, j.next})
				}
			}
		}
		return nil
	})
	return tickets, err
}

// Begun is what BeginPart says.
type Begun struct {
	Job  Job
	Part JobPart
	// First: this began the job.
	First bool
}

// BeginPart notes that a worker begins to work on a part; of a job that is planned, it begins the job. Nil means that
// there is nothing to do: the job is not running, or in another run or stage, or the part is done. ErrState if the
// worker is not alive by the registry: it has to register anew.
func (r *Registry) BeginPart(ctx context.Context, s Scope, ticket Ticket, worker string, now time.Time) (b *Begun, err error) {
	err = r.changeJob(ctx, s, "BeginPart", ticket.Job, now, func(t *tx, j *numberedJob) error {
		b = nil
		if err := t.alive(ctx, worker); err != nil {
			return err
		}
		if !ticket.live(j) {
			return nil
		}
		p, found, err := partOf(ctx, t, j.n, ticket.Stage, ticket.Part)
		if err != nil || found && p.State == PartDone {
			return err
		}
		first := j.State == JobPlanned
		if first {
			j.move(JobRunning, "", now)
		}
		if found {
			_, err = t.exec(ctx, "UPDATE job_parts SET state = 'running', worker = $1, done = 0, refused = 0, hand = '', changed = $2 WHERE job = $3 AND stage = $4 AND part = $5",
				worker, micros(now), j.n, ticket.Stage, int64(ticket.Part))
		} else {
			p.Falls = map[string]int{}
			err = t.insert(ctx, jobPartsTable, [][]any{{j.n, int64(ticket.Part), int64(0), int64(0), int64(0), int64(0), micros(now), ticket.Stage, string(PartRunning), worker, "", "{}", ""}})
		}
		p.Stage, p.Part, p.State, p.Worker, p.Done, p.Refused, p.Hand, p.Changed = ticket.Stage, ticket.Part, PartRunning, worker, 0, 0, "", now
		b = &Begun{j.Job, p, first}
		return err
	})
	if err != nil {
		b = nil
	}
	return b, err
}

// Stage is a stage of a job: its name, and how many parts it has, at least 1.
type Stage struct {
	Name  string
	Parts int
}

// PartEnd says what came of a part.
type PartEnd struct {
	Done, Refused int64 // works; Done includes the refused
	// Total is how many works the job has, where this part found it out; 0 otherwise.
	Total int64
	// Then follows when this was the last part of its stage; none if the job is then finished.
	Then Stage
}

// EndPart notes that a part is done, which nothing undoes. If it was the last of its stage the job comes into the next, or
// is finished, and moved is true: of several workers who end the last parts at once one is told so. Also a part that was
// begun in an earlier run counts, as long as the job is in its stage; one that is done already changes nothing, and one
// of a job that is cancelled does not count.
func (r *Registry) EndPart(ctx context.Context, s Scope, ticket Ticket, e PartEnd, now time.Time) (job Job, moved bool, err error) {
	if e.Then.Name != "" && e.Then.Parts < 1 {
		panic("registry: a stage without parts")
	}
	err = r.changeJob(ctx, s, "EndPart", ticket.Job, now, func(t *tx, j *numberedJob) error {
		moved = false
		job = j.Job
		if j.State.Over() { // it does not count, but nobody works on it any more
			_, err := t.exec(ctx, "UPDATE job_parts SET state = 'waiting', done = 0, refused = 0, hand = '', changed = $1 WHERE job = $2 AND stage = $3 AND part = $4 AND state = 'running'",
				micros(now), j.n, ticket.Stage, int64(ticket.Part))
			return err
		}
		if j.Stage != ticket.Stage {
			return nil
		}
		changed, err := t.exec(ctx, "UPDATE job_parts SET state = 'done', done = $1, refused = $2, hand = '', why = '', changed = $3 WHERE job = $4 AND stage = $5 AND part = $6 AND state <> 'done'",
			e.Done, e.Refused, micros(now), j.n, ticket.Stage, int64(ticket.Part))
		if err != nil || changed == 0 {
			return err
		}
		j.Left--
		j.done += e.Done
		j.refused += e.Refused
		if e.Total > 0 {
			j.Total = e.Total
		}
		if moved = j.Left == 0; moved {
			if e.Then.Name == "" {
				j.move(JobFinished, "", now)
			} else {
				j.Stage, j.Parts, j.Left, j.next = e.Then.Name, e.Then.Parts, e.Then.Parts, 0
			}
		}
		j.Done, j.Refused = j.done, j.refused
		job = j.Job
		return nil
	})
	return job, moved, err
}

// LeavePart notes that a worker no longer works on a part that is not done. failed counts it among the tries, for a
// reason; otherwise it was handed back. It gives how often the part has failed in this run.
func (r *Registry) LeavePart(ctx context.Context, s Scope, ticket Ticket, worker string, failed bool, why string, now time.Time) (tries int, err error) {
	if len(why) > mostName { // an error may quote anything
		why = why[:mostName]
	}
	why = printable(why)
	err = r.changeJob(ctx, s, "LeavePart", ticket.Job, now, func(t *tx, j *numberedJob) error {
		p, found, err := partOf(ctx, t, j.n, ticket.Stage, ticket.Part)
		tries = p.Tries
		if err != nil || !found || p.State != PartRunning || p.Worker != worker || ticket.Run != j.Run {
			return err
		}
		if failed {
			tries++
		}
		_, err = t.exec(ctx, "UPDATE job_parts SET state = 'waiting', tries = $1, why = $2, hand = '', changed = $3 WHERE job = $4 AND stage = $5 AND part = $6",
			int64(tries), why, micros(now), j.n, ticket.Stage, int64(ticket.Part))
		return err
	})
	return tries, err
}

// PartNote says how far a part is: how many works, and which one is in hand where that is to be known should the worker
// die ("" otherwise).
type PartNote struct {
	Ticket
	Done, Refused int64
	Hand          string
}

// NoteParts keeps how far the parts are that a worker works on. Those that are no longer his are left alone.
func (r *Registry) NoteParts(ctx context.Context, s Scope, worker string, notes []PartNote, now time.Time) error {
	for _, n := range notes {
		if err := checkText("work in hand", n.Hand, mostID); err != nil {
			return err
		}
	}
	return r.write(ctx, s, "NoteParts", func(t *tx, tenant int64) error {
		lists := make([][]any, len(notes))
		for i, n := range notes {
			lists[i] = []any{n.Done, n.Refused, n.Hand, micros(now), tenant, n.Job, n.Stage, int64(n.Part), worker}
		}
		return t.execMany(ctx, "UPDATE job_parts SET done = $1, refused = $2, hand = $3, changed = $4 WHERE job = (SELECT n FROM jobs WHERE tenant = $5 AND id = $6)"+
			" AND stage = $7 AND part = $8 AND worker = $9 AND state = 'running'", lists)
	})
}

// ReopenParts takes a job back to an earlier stage, some of whose parts turned out to be not done after all, and begins a
// new run; all parts of the stages undo count as not done either. ErrState if the job is not running. Of a ticket of an
// earlier run nothing changes, and ok is false.
func (r *Registry) ReopenParts(ctx context.Context, s Scope, ticket Ticket, back Stage, again []int, undo []string, now time.Time) (job Job, ok bool, err error) {
	err = r.changeJob(ctx, s, "ReopenParts", ticket.Job, now, func(t *tx, j *numberedJob) error {
		job, ok = j.Job, false
		if !ticket.live(j) {
			return nil
		}
		left := 0
		for _, part := range again {
			p, found, err := partOf(ctx, t, j.n, back.Name, part)
			if err != nil {
				return err
			}
			if !found || p.State != PartDone {
				return fmt.Errorf("%w: part %d of stage %s of job %s was not done", ErrState, part, back.Name, j.ID)
			}
			left++
			j.done -= p.Done
			j.refused -= p.Refused
			if _, err := t.exec(ctx, "UPDATE job_parts SET state = 'waiting', done = 0, refused = 0 WHERE job = $1 AND stage = $2 AND part = $3", j.n, back.Name, int64(part)); err != nil {
				return err
			}
		}
		for _, stage := range undo {
			var done, refused int64
			if _, err := one(ctx, t, undone.text, []any{j.n, stage}, &done, &refused); err != nil {
				return err
			}
			j.done -= done
			j.refused -= refused
			if _, err := t.exec(ctx, "UPDATE job_parts SET state = 'waiting', done = 0, refused = 0 WHERE job = $1 AND stage = $2", j.n, stage); err != nil {
				return err
			}
		}
		j.Stage, j.Parts, j.Left, j.next, ok = back.Name, back.Parts, left, 0, true
		j.Run++
		j.Done, j.Refused = j.done, j.refused
		job = j.Job
		return nil
	})
	return job, ok, err
}
