package main

import (
	"encoding/json"
	"errors"
	"math"
	"time"

	"github.com/filigrane/filigrane/internal/jobs"
	"github.com/filigrane/filigrane/internal/registry"
)

// jobsCmd is "filigrane jobs".
type jobsCmd struct {
	List   jobsListCmd   `cmd:"" default:"withargs" help:"List the jobs, a line of JSON each (the default)."`
	Show   jobsShowCmd   `cmd:"" help:"One job, how fast it goes, and what is worked on."`
	Watch  jobsWatchCmd  `cmd:"" help:"Follow a job until it is over, failed or paused."`
	Pause  jobsPauseCmd  `cmd:"" help:"Let a job rest. What is done is kept."`
	Resume jobsResumeCmd `cmd:"" help:"Let a paused job go on."`
	Retry  jobsRetryCmd  `cmd:"" help:"Let a failed job go on where it failed."`
	Cancel jobsCancelCmd `cmd:"" help:"End a job for good; what a delivery has staged is removed."`
}

// Help explains jobs.
func (jobsCmd) Help() string {
	return `A delivery is a job: works are marked part by part, by this machine or by as many workers as there are ('filigrane worker'). These verbs look after jobs from anywhere that reaches the registry; none of them needs a key.

A job is planned, running, paused, failed, finished or cancelled. A running job on which nobody works waits for a worker, or for the command that asked for it to be run again.

Example: filigrane jobs list --state running
Example: filigrane jobs watch spring@1-1f2e3d4c5b6a`
}

// jobJSON is how a job is reported.
type jobJSON struct {
	ID       string           `json:"id"`
	Kind     registry.JobKind `json:"kind"`
	Delivery string           `json:"delivery,omitempty"`
	Place    string           `json:"place,omitempty"`
	State    string           `json:"state"`
	Why      string           `json:"why,omitempty"`
	Stage    string           `json:"stage"`
	Parts    int              `json:"parts"` // of the stage
	Left     int              `json:"parts_left"`
	Total    int64            `json:"works"`
	Done     int64            `json:"done"` // refused ones among them
	Refused  int64            `json:"refused"`
	Deaths   int              `json:"deaths"` // of workers over it
	// Rate is works a second since it was begun, pauses included; ETA what is left at that rate, in seconds. 0 if nothing is known.
	Rate    float64         `json:"works_per_second,omitempty"`
	ETA     float64         `json:"eta_seconds,omitempty"`
	Added   time.Time       `json:"added"`
	Started time.Time       `json:"started,omitzero"`
	Ended   time.Time       `json:"ended,omitzero"`
	Result  json.RawMessage `json:"result,omitempty"`
	Running []partJSON      `json:"running,omitempty"`
}

// partJSON is a part of a job that is worked on.
type partJSON struct {
	Stage  string `json:"stage"`
	Part   int    `json:"part"`
	Worker string `json:"worker"`
	Done   int64  `json:"done"`
	Tries  int    `json:"failures,omitempty"`
	Deaths int    `json:"deaths,omitempty"`
	Why    string `json:"why,omitempty"`
}

func jobOf(j registry.Job, now time.Time) jobJSON {
	out := jobJSON{ID: j.ID, Kind: j.Kind, Delivery: j.Subject, State: string(j.State), Why: j.Why, Stage: j.Stage, Parts: j.Parts, Left: j.Left, Total: j.Total, Done: j.Done,
		Refused: j.Refused, Deaths: j.Deaths, Added: j.Added, Started: j.Started, Ended: j.Ended, Result: j.Result}
	var spec struct {
		Place string `json:"place"`
	}
	if json.Unmarshal(j.Spec, &spec) == nil {
		out.Place = spec.Place
	}
	if !j.Ended.IsZero() {
		now = j.Ended
	}
	if took := now.Sub(j.Started).Seconds(); !j.Started.IsZero() && took > 0 && j.Done > 0 {
		out.Rate = math.Round(float64(j.Done)/took*1000) / 1000
		if j.State == registry.JobRunning && out.Rate > 0 {
			out.ETA = math.Round(float64(j.Total-j.Done) / out.Rate)
		}
	}
	return out
}

// jobsListCmd is "filigrane jobs list".
type jobsListCmd struct {
	State string `placeholder:"STATE" help:"Only those that are planned, running, paused, failed, finished or cancelled."`
}

// Run lists.
func (c *jobsListCmd) Run(s *session) error {
	if c.State != "" {
		known := false
		for _, state := range registry.JobStates() {
			known = known || string(state) == c.State
		}
		if !known {
			return badInput("--state %q: choose one of %v", c.State, registry.JobStates())
		}
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	return each(func(p registry.Page) (registry.List[registry.Job], error) {
		return r.reg.Jobs(s.ctx, r.scope, registry.JobState(c.State), p)
	}, func(j registry.Job) error { return s.emit(jobOf(j, time.Now())) })
}

// jobArgument names a job.
type jobArgument struct {
	ID string `arg:"" name:"job" help:"The job, as 'filigrane jobs list' names it."`
}

// jobsShowCmd is "filigrane jobs show".
type jobsShowCmd struct{ jobArgument }

// Run shows.
func (c *jobsShowCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	return r.showJob(s, c.ID)
}

func (r *records) showJob(s *session, id string) error {
	j, err := r.reg.Job(s.ctx, r.scope, id)
	if err != nil {
		return jobError(err)
	}
	out := jobOf(j, time.Now())
	for _, state := range []registry.PartState{registry.PartRunning, registry.PartWaiting} {
		l, err := r.reg.JobParts(s.ctx, r.scope, id, state, registry.Page{Limit: registry.MostPerPage})
		if err != nil {
			return err
		}
		for _, p := range l.Items {
			if p.Stage == j.Stage && !j.State.Over() {
				out.Running = append(out.Running, partJSON{p.Stage, p.Part, p.Worker, p.Done, p.Tries, p.Deaths, p.Why})
			}
		}
	}
	return s.emit(out)
}

// jobError is the caller's to mend if the registry names it.
func jobError(err error) error {
	if err != nil && registryError(err) {
		return inputError{err}
	}
	return err
}

// jobsWatchCmd is "filigrane jobs watch".
type jobsWatchCmd struct{ jobArgument }

// Run watches.
func (c *jobsWatchCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	j, err := r.reg.Job(s.ctx, r.scope, c.ID)
	for err == nil && j.Total == 0 && (j.State == registry.JobPlanned || j.State == registry.JobRunning) { // a bar needs an end
		if j, err = r.later(s, c.ID); err != nil {
			break
		}
	}
	if err != nil {
		return jobError(err)
	}
	bar := s.progress(string(j.Kind), int(j.Total))
	for err == nil && (j.State == registry.JobPlanned || j.State == registry.JobRunning) {
		bar.set(int(j.Done))
		j, err = r.later(s, c.ID)
	}
	bar.set(int(j.Done))
	bar.done()
	if err != nil {
		return jobError(err)
	}
	if err := r.showJob(s, c.ID); err != nil {
		return err
	}
	if j.State != registry.JobFinished {
		return badInput("job %s is %s: %s", j.ID, j.State, j.Why)
	}
	return nil
}

// later looks at a job again in a while.
func (r *records) later(s *session, id string) (registry.Job, error) {
	select {
	case <-s.ctx.Done():
		return registry.Job{}, s.ctx.Err()
	case <-time.After(500 * time.Millisecond):
	}
	return r.reg.Job(s.ctx, r.scope, id)
}

// jobsPauseCmd is "filigrane jobs pause".
type jobsPauseCmd struct {
	jobArgument
	Why string `placeholder:"TEXT" default:"paused by hand" help:"The reason, for whoever looks at it."`
}

// Run pauses.
func (c *jobsPauseCmd) Run(s *session) error {
	return s.changeJob(c.ID, func(q *jobs.Queue, r *records) error {
		_, err := q.Pause(s.ctx, r.scope, c.ID, c.Why)
		return err
	})
}

// jobsResumeCmd is "filigrane jobs resume".
type jobsResumeCmd struct{ jobArgument }

// Run resumes.
func (c *jobsResumeCmd) Run(s *session) error {
	return s.changeJob(c.ID, func(q *jobs.Queue, r *records) error {
		_, err := q.Resume(s.ctx, r.scope, c.ID)
		return err
	})
}

// jobsRetryCmd is "filigrane jobs retry".
type jobsRetryCmd struct{ jobArgument }

// Run retries.
func (c *jobsRetryCmd) Run(s *session) error {
	return s.changeJob(c.ID, func(q *jobs.Queue, r *records) error {
		_, err := q.Retry(s.ctx, r.scope, c.ID)
		return err
	})
}

// jobsCancelCmd is "filigrane jobs cancel".
type jobsCancelCmd struct {
	jobArgument
	Why string `placeholder:"TEXT" default:"cancelled by hand" help:"The reason, for whoever looks at it."`
}

// Help says what becomes of what is staged.
func (jobsCancelCmd) Help() string {
	return `What the delivery has staged in its place is removed by the next worker, or by the next 'filigrane deliver' of the bank. A finished delivery cannot be cancelled: see 'filigrane recall'.`
}

// Run cancels.
func (c *jobsCancelCmd) Run(s *session) error {
	return s.changeJob(c.ID, func(q *jobs.Queue, r *records) error {
		_, err := q.Cancel(s.ctx, r.scope, c.ID, c.Why)
		return err
	})
}

// changeJob changes a job and shows what it is then.
func (s *session) changeJob(id string, change func(*jobs.Queue, *records) error) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	q, err := r.waitingQueue(s)
	if err != nil {
		return err
	}
	if err := change(q, r); err != nil {
		return jobError(err)
	}
	if err := r.showJob(s, id); err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	return nil
}
