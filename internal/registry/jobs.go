package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// JobKind says what a job makes.
type JobKind string

// The kinds of jobs.
const (
	ImportJob   JobKind = "import"
	DeliveryJob JobKind = "delivery"
)

// JobState is where a job stands. The moves are those of a delivery.
type JobState string

// The states of a job.
const (
	JobPlanned   JobState = "planned"   // asked for
	JobRunning   JobState = "running"   // its parts are worked on, or wait for a worker
	JobPaused    JobState = "paused"    // by somebody; JobRunning goes on where it was
	JobFailed    JobState = "failed"    // of itself; JobRunning tries again
	JobFinished  JobState = "finished"  // complete: final
	JobCancelled JobState = "cancelled" // by somebody: final
)

// jobMoves are the states that may follow a state.
var jobMoves = map[JobState][]JobState{
	JobPlanned:   {JobRunning, JobCancelled},
	JobRunning:   {JobPaused, JobFailed, JobFinished, JobCancelled},
	JobPaused:    {JobRunning, JobCancelled},
	JobFailed:    {JobRunning, JobCancelled},
	JobFinished:  nil,
	JobCancelled: nil,
}

// JobStates lists the states.
func JobStates() []JobState {
	return []JobState{JobPlanned, JobRunning, JobPaused, JobFailed, JobFinished, JobCancelled}
}

// Over tells whether a state is final.
func (s JobState) Over() bool { return s == JobFinished || s == JobCancelled }

// Job is something that takes long, which somebody asked for. It is done in stages, one after the other, each of which
// has parts that any number of workers do at once.
type Job struct {
	ID   string
	Kind JobKind
	// Subject is what it makes: the id of the delivery; "" for an import.
	Subject string
	// Spec says how, a JSON document of package jobs; it never changes.
	Spec json.RawMessage
	// Priority is 1 (first) to 4.
	Priority int
	// First is the stage it begins with, of one part.
	First string

	// The rest is set by the calls below. Stage is where it is, with Parts of which Left are not done; Run counts how
	// often it was set going. Total, Done and Refused count works; Done includes the refused and what running parts
	// have done. Total is 0 until it is known.
	State                JobState
	Why                  string
	Stage                string
	Run, Parts, Left     int
	Total, Done, Refused int64
	// Deaths is how often a worker died over it; Lost counts those of them that may yet come back to life.
	Deaths, Lost int
	Result       json.RawMessage
	// Started is when it was first worked on, Ended when it came into a final state or failed; zero if not.
	Added, Changed, Started, Ended time.Time
}

var jobsTable = &table{name: "jobs", cols: columns("n i, tenant i, added i, changed i, started i, ended i, priority i, run i, parts i, next i, remain i, deaths i, lost i," +
	" total i, done i, refused i, id t, kind t, subject t, state t, stage t, why t, spec t, result t"),
	order: []string{"n"}, fixed: []string{"tenant"}, key: []string{"id"}, lookup: "id", compare: []string{"kind", "subject", "spec"},
	keep: []string{"n", "added", "changed", "started", "ended", "priority", "run", "parts", "next", "remain", "deaths", "lost", "total", "done", "refused", "state", "stage", "why", "result"}}

// What running parts have done is added up from their rows, of which there are as many as workers.
const jobQuery = "SELECT j.n, j.id, j.kind, j.subject, j.spec, j.priority, j.state, j.why, j.stage, j.run, j.parts, j.next, j.remain, j.total," +
	" j.done, (SELECT coalesce(sum(done), 0) FROM job_parts WHERE job = j.n AND state = 'running')," +
	" j.refused, (SELECT coalesce(sum(refused), 0) FROM job_parts WHERE job = j.n AND state = 'running')," +
	" j.deaths, j.lost, j.result, j.added, j.changed, j.started, j.ended FROM jobs j"

var (
	jobByID     = lookup("job by id", jobQuery+" WHERE j.tenant = $1 AND j.id = $2", int64(1), "j000100")
	jobNumber   = lookup("number of a job", "SELECT n FROM jobs WHERE tenant = $1 AND id = $2", int64(1), "j000100")
	jobsInOrder = paged("jobs", "i", jobQuery+" WHERE j.tenant = $1 AND j.n > $2 ORDER BY j.n", int64(1))
	jobsInState = paged("jobs in a state", "i", jobQuery+" WHERE j.tenant = $1 AND j.state = $2 AND j.n > $3 ORDER BY j.n", int64(1), string(JobRunning))
)

type numberedJob struct {
	Job
	n             int64
	next          int
	done, refused int64 // without those of running parts
}

func scanJob(r rows) (j numberedJob, err error) {
	var spec, result string
	var priority, run, parts, next, left, deaths, lost, added, changed, started, ended, running, runningRefused int64
	err = r.Scan(&j.n, &j.ID, &j.Kind, &j.Subject, &spec, &priority, &j.State, &j.Why, &j.Stage, &run, &parts, &next, &left, &j.Total, &j.done, &running,
		&j.refused, &runningRefused, &deaths, &lost, &result, &added, &changed, &started, &ended)
	j.Done, j.Refused = j.done+running, j.refused+runningRefused
	j.Priority, j.Run, j.Parts, j.next, j.Left, j.Deaths, j.Lost = int(priority), int(run), int(parts), int(next), int(left), int(deaths), int(lost)
	j.Spec, j.Added, j.Changed, j.Started, j.Ended = json.RawMessage(spec), at(added), at(changed), at(started), at(ended)
	if result != "" {
		j.Result = json.RawMessage(result)
	}
	return j, err
}

// mostJobSpec bounds the spec of a job: that of an increment gives the reason for every work that was recalled. A line of a
// dump holds it.
const mostJobSpec = 8 * mostJSON

// AddJob plans a job. The same again changes nothing, whatever has become of it meanwhile; another under the id of one is
// ErrConflict.
func (r *Registry) AddJob(ctx context.Context, s Scope, j Job, now time.Time) (c Changes, err error) {
	if err := checkID("job", j.ID); err != nil {
		return c, err
	}
	if j.Kind != ImportJob && j.Kind != DeliveryJob {
		return c, fmt.Errorf("registry: job %s: no kind %q; choose %s or %s", j.ID, j.Kind, ImportJob, DeliveryJob)
	}
	if j.Priority < 1 || j.Priority > 4 {
		return c, fmt.Errorf("registry: job %s: priority %d; choose 1 to 4", j.ID, j.Priority)
	}
	if err := checkID("stage", j.First); err != nil {
		return c, err
	}
	if err := checkText("subject", j.Subject, mostID); err != nil {
		return c, err
	}
	if !json.Valid(j.Spec) {
		return c, fmt.Errorf("registry: the spec of job %s is no JSON document", j.ID)
	}
	if err := checkText("spec of job "+j.ID, string(j.Spec), mostJobSpec); err != nil {
		return c, err
	}
	err = r.write(ctx, s, "AddJob", func(t *tx, tenant int64) error {
		at := micros(now)
		c, err = t.put(ctx, jobsTable, [][]any{{int64(0), tenant, at, at, int64(0), int64(0), int64(j.Priority), int64(1), int64(1), int64(0), int64(1), int64(0), int64(0),
			int64(0), int64(0), int64(0), j.ID, string(j.Kind), j.Subject, string(JobPlanned), j.First, "", string(j.Spec), ""}})
		if err == nil && c.Changed > 0 {
			err = fmt.Errorf("%w under the id of job %s: give the new one an id of its own", ErrConflict, j.ID)
		}
		return err
	})
	if err != nil {
		c = Changes{}
	}
	return c, err
}

// lockJobs makes those who change one job take turns. It is given the job's number in place of the tenant's.
const lockJobs lockable = 0x46494c10

// changeJob locks a job, reads it, and writes what f has made of it, its state and counters.
func (r *Registry) changeJob(ctx context.Context, s Scope, call, id string, now time.Time, f func(t *tx, j *numberedJob) error) error {
	return r.write(ctx, s, call, func(t *tx, tenant int64) error {
		var n int64
		found := false
		if checkID("job", id) == nil {
			var err error
			if found, err = one(ctx, t, jobNumber.text, []any{tenant, id}, &n); err != nil {
				return err
			}
		}
		if !found {
			return fmt.Errorf("%w: job %.130q", ErrNotFound, id)
		}
		if err := t.lock(ctx, lockJobs, n); err != nil {
			return err
		}
		j, err := oneJob(ctx, t, tenant, id)
		if err != nil {
			return err
		}
		before := j
		if err := f(t, &j); err != nil {
			return err
		}
		if j.same(before) {
			return nil
		}
		_, err = t.exec(ctx, "UPDATE jobs SET changed = $1, started = $2, ended = $3, run = $4, parts = $5, next = $6, remain = $7, total = $8, done = $9,"+
			" refused = $10, state = $11, stage = $12, why = $13, result = $14 WHERE n = $15",
			micros(now), micros(j.Started), micros(j.Ended), int64(j.Run), int64(j.Parts), int64(j.next), int64(j.Left), j.Total, j.done,
			j.refused, string(j.State), j.Stage, j.Why, string(j.Result), j.n)
		return err
	})
}

// same tells whether nothing of a job has changed that changeJob writes.
func (j numberedJob) same(o numberedJob) bool {
	return j.Started.Equal(o.Started) && j.Ended.Equal(o.Ended) && j.Run == o.Run && j.Parts == o.Parts && j.next == o.next && j.Left == o.Left && j.Total == o.Total &&
		j.done == o.done && j.refused == o.refused && j.State == o.State && j.Stage == o.Stage && j.Why == o.Why && string(j.Result) == string(o.Result)
}

func oneJob(ctx context.Context, q querier, tenant int64, id string) (j numberedJob, err error) {
	if err := checkID("job", id); err != nil {
		return j, err
	}
	found := false
	err = each(ctx, q, jobByID.text, []any{tenant, id}, func(r rows) error {
		found = true
		j, err = scanJob(r)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: job %s", ErrNotFound, id)
	}
	return j, err
}

// Job gives one job. ErrNotFound.
func (r *Registry) Job(ctx context.Context, s Scope, id string) (j Job, err error) {
	err = r.read(ctx, s, "Job", func(q querier, tenant int64) error {
		found, err := oneJob(ctx, q, tenant, id)
		j = found.Job
		return err
	})
	return j, err
}

// Jobs lists jobs in the order in which they came; those in a state, if one is given.
func (r *Registry) Jobs(ctx context.Context, s Scope, state JobState, p Page) (l List[Job], err error) {
	err = r.read(ctx, s, "Jobs", func(q querier, tenant int64) error {
		st, args := jobsInOrder, []any{tenant}
		if state != "" {
			st, args = jobsInState, append(args, string(state))
		}
		l, err = list(ctx, q, st, args, p, func(r rows) (Job, []any, error) {
			j, err := scanJob(r)
			return j.Job, []any{j.n}, err
		})
		return err
	})
	return l, err
}

// MoveJob brings a job into a state, for a reason. Into the one it is in already: nothing changes. ErrState if the state
// may not follow. A job that is set going again begins a new run: tickets of the earlier one are void, the parts of its
// stage that are not done are to be issued again (IssueParts), and may fail, and have workers die over them, as often as before.
func (r *Registry) MoveJob(ctx context.Context, s Scope, id string, to JobState, why string, now time.Time) (j Job, c Changes, err error) {
	if _, known := jobMoves[to]; !known {
		return j, c, fmt.Errorf("registry: no state %q of a job", to)
	}
	if err := checkText("reason", why, mostText); err != nil {
		return j, c, err
	}
	err = r.changeJob(ctx, s, "MoveJob", id, now, func(t *tx, nj *numberedJob) error {
		c = Changes{Unchanged: 1}
		if nj.State != to {
			if !slices.Contains(jobMoves[nj.State], to) {
				return fmt.Errorf("%w: job %s is %s and cannot become %s", ErrState, id, nj.State, to)
			}
			c = Changes{Changed: 1}
			if to == JobRunning {
				if err := t.restart(ctx, nj, now); err != nil {
					return err
				}
				// Whoever sets it going may have mended what workers died of.
				if _, err := t.exec(ctx, "UPDATE job_parts SET deaths = 0, falls = '{}' WHERE job = $1 AND state = 'waiting'", nj.n); err != nil {
					return err
				}
			}
			nj.move(to, why, now)
		}
		j = nj.Job
		return nil
	})
	return j, c, err
}

// RestartJob begins a new run of a job that is running, where its tickets were lost, as with a database restored from a
// dump, and gives the job. ErrState if it does not run, or is not in the run that was found without tickets.
func (r *Registry) RestartJob(ctx context.Context, s Scope, id string, run int, now time.Time) (j Job, err error) {
	err = r.changeJob(ctx, s, "RestartJob", id, now, func(t *tx, nj *numberedJob) error {
		if nj.State != JobRunning && nj.State != JobPlanned || nj.Run != run {
			return fmt.Errorf("%w: job %s is %s in run %d", ErrState, id, nj.State, nj.Run)
		}
		err := t.restart(ctx, nj, now)
		j = nj.Job
		return err
	})
	return j, err
}

func (t *tx) restart(ctx context.Context, j *numberedJob, now time.Time) error {
	j.Run++
	j.next = 0
	// What they have done and not told the job yet is done again.
	_, err := t.exec(ctx, "UPDATE job_parts SET state = 'waiting', tries = 0, done = 0, refused = 0, worker = '', changed = $1 WHERE job = $2 AND state = 'running'", micros(now), j.n)
	if err == nil {
		_, err = t.exec(ctx, "UPDATE job_parts SET tries = 0 WHERE job = $1 AND state = 'waiting'", j.n)
	}
	j.Done, j.Refused = j.done, j.refused
	return err
}

// move sets a state and what goes with it.
func (j *numberedJob) move(to JobState, why string, now time.Time) {
	j.State, j.Why, j.Ended = to, why, time.Time{}
	if to.Over() || to == JobFailed {
		j.Ended = now
	}
	if to == JobRunning && j.Started.IsZero() {
		j.Started = now
	}
}

// SetJobResult keeps what came out of a job, a JSON document.
func (r *Registry) SetJobResult(ctx context.Context, s Scope, id string, result json.RawMessage, now time.Time) error {
	if err := checkJSON("result of job "+id, result); err != nil {
		return err
	}
	return r.changeJob(ctx, s, "SetJobResult", id, now, func(_ *tx, j *numberedJob) error {
		j.Result = result
		return nil
	})
}
