package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/jobs"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
)

// detachedJSON is the report of a delivery or an import that was left to workers.
type detachedJSON struct {
	Delivery string `json:"delivery,omitempty"` // its place
	ID       string `json:"id,omitempty"`       // in the registry
	Place    string `json:"place,omitempty"`    // of an import
	Job      string `json:"job"`
	State    string `json:"state"`
}

// make makes the delivery: it begins it in its place, which may be refused; makes it known to the registry, with a job; and
// works on that until it is finished, with whatever other workers there are. Nil if it was left to them.
func (c *deliverRunCmd) make(s *session, r *records, spec delivery.Spec, st store.Store, b *booking) (d *delivery.Delivery, err error) {
	masters, err := r.reg.Masters(s.ctx, r.scope)
	if err == nil && masters == "" {
		err = badInput("there are no masters yet: run 'filigrane import' first")
	}
	if err != nil {
		return nil, err
	}
	spec.PartWorks = jobs.PartWorks(len(spec.Catalogue.Catalogue().Works))
	var begun *delivery.Making
	err = s.untilUnlocked(s.ctx, c.Wait, b.place, func() (err error) {
		begun, err = delivery.Begin(s.ctx, spec, st)
		return err
	})
	if err != nil {
		return nil, err
	}
	q, err := r.queue(s, newRemarks(s), c.memoryFlag.impatient)
	if err != nil {
		return nil, err
	}
	before, err := b.ask(s, q, c.jobSpec(spec, b, masters), begun)
	if err != nil {
		return nil, err
	}
	if c.Detach {
		s.note("job %s waits for a worker; 'filigrane jobs watch %s' follows it", before.ID, before.ID)
		return nil, s.emit(detachedJSON{Delivery: b.place, ID: b.delivery.ID, Job: before.ID, State: string(before.State)})
	}
	if before.State != registry.JobFinished {
		bar := s.progress("delivering", len(spec.Catalogue.Catalogue().Works))
		_, err = q.WorkUntil(s.ctx, r.scope, before.ID, func(j registry.Job) { bar.set(int(j.Done)) })
		bar.done()
		if err != nil {
			b.interrupted(s, q, before.ID, err)
			return nil, err
		}
	}
	if d, err = delivery.Open(s.ctx, st); err != nil {
		return nil, err
	}
	d.AlreadyFinished, d.Resumed, d.Times = begun.Done() != nil, int(before.Done), q.Times(before.ID)
	if d.AlreadyFinished {
		d.Resumed = 0
	}
	return d, nil
}

// jobSpec turns a spec into the job's. What was in the place has been thrown away already, if it was to be.
func (c *deliverRunCmd) jobSpec(spec delivery.Spec, b *booking, masters string) jobs.DeliverySpec {
	js := jobs.DeliverySpec{Licence: b.licence.ID, Catalogue: b.delivery.Catalogue, Book: mainBook, Place: b.place, Masters: masters,
		Path: spec.Path, KeyFingerprint: spec.KeyFingerprint, Profile: spec.ProfileID, Geometry: spec.Geometry.String(), Format: spec.Format, Preset: spec.Preset,
		Readable: spec.Readable, FloorDB: spec.FloorDB, ImagesPerShard: spec.ImagesPerShard, Shards: spec.Shards, Captions: spec.Captions, Rights: spec.Rights,
		Previous: c.Previous, Recalls: spec.Recalls, PartWorks: spec.PartWorks, CodeVersion: spec.CodeVersion, Papers: c.termsFlags.toMap()}
	if !c.Detach {
		js.Priority = 1 // somebody waits
	}
	return js
}

// known gives the delivery as the registry knows it, ErrNotFound if it does not. What was cancelled stays so: the same
// command after that asks for another delivery to the place, which has a number at the end of its id.
func (b *booking) known(s *session) (d registry.Delivery, err error) {
	id := b.delivery.ID
	for n := 2; ; n++ {
		d, err = b.reg.Delivery(s.ctx, b.scope, b.delivery.ID)
		if err != nil || d.State != registry.Cancelled {
			return d, err
		}
		b.delivery.ID = fmt.Sprintf("%s-%d", id, n)
		s.note("delivery %s was cancelled: %s; going on as %s", d.ID, d.Why, b.delivery.ID)
	}
}

// ask asks for the delivery's job, or finds it, and sets it going. One that made the delivery before, at a place that has
// lost it, is followed by another; and so is one that is not over and says otherwise how to make it, such as with another
// version of the program or with other papers.
func (b *booking) ask(s *session, q *jobs.Queue, spec jobs.DeliverySpec, begun *delivery.Making) (j registry.Job, err error) {
	id, outdated := b.delivery.ID, ""
	for n := 2; ; n++ {
		j, err = b.reg.Job(s.ctx, b.scope, id)
		if errors.Is(err, registry.ErrNotFound) {
			break
		}
		if err != nil {
			return j, err
		}
		if j.State == registry.JobFinished && begun.Done() != nil {
			return j, nil
		}
		if !j.State.Over() {
			if spec.Same(j) {
				return q.Begun(s.ctx, b.scope, id, begun.Job())
			}
			outdated = id
		}
		id = fmt.Sprintf("%s~%d", b.delivery.ID, n)
	}
	now := time.Now()
	_, err = q.Deliver(s.ctx, b.scope, id, b.delivery, spec, func(reg *registry.Registry) error {
		if err := b.introduce(s, reg, now); err != nil || outdated == "" {
			return err
		}
		_, _, err := reg.MoveJob(s.ctx, b.scope, outdated, registry.JobCancelled, "asked for again, to be made otherwise: "+id, now)
		return err
	})
	if err != nil {
		return j, err
	}
	if outdated != "" {
		s.note("job %s was to make this delivery otherwise; job %s takes its place", outdated, id)
	}
	if err := b.displace(s, q, now); err != nil {
		return j, err
	}
	return b.reg.Job(s.ctx, b.scope, id)
}

// introduce makes licence and marking known, in the transaction in which the delivery is.
func (b *booking) introduce(s *session, reg *registry.Registry, now time.Time) error {
	if b.licence.Grantor == "" { // it was not there
		if _, err := reg.PutLicence(s.ctx, b.scope, b.licence, now); err != nil {
			return err
		}
	}
	_, err := reg.AddMarking(s.ctx, b.scope, b.marking, now)
	return err
}

// interrupted lets a job rest that nobody else works on, when whoever asked for it interrupts it: the same command lets it
// go on.
func (b *booking) interrupted(s *session, q *jobs.Queue, id string, why error) {
	if !errors.Is(why, context.Canceled) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 10*time.Second)
	defer cancel()
	others, err := b.goOn(ctx, id)
	switch {
	case err == nil && others:
		s.note("other workers go on with job %s; 'filigrane jobs pause %s' stops them", id, id)
		return
	case err == nil:
		_, err = q.Pause(ctx, b.scope, id, "interrupted")
	}
	if err != nil && !errors.Is(err, registry.ErrState) {
		s.note("the registry does not know that the delivery stopped: %s", oneLine(err))
	}
}

// goOn tells whether other workers work on a job. One that lives may have its hands free for the moment, or be another bank's:
// it is given a while to take up what was handed back.
func (b *booking) goOn(ctx context.Context, id string) (bool, error) {
	alive, err := b.reg.Workers(ctx, registry.Scope{Role: registry.Operator}, registry.WorkerAlive, registry.Page{Limit: 1})
	if err != nil || len(alive.Items) == 0 {
		return false, err
	}
	for tries := 0; ; tries++ {
		parts, err := b.reg.JobParts(ctx, b.scope, id, registry.PartRunning, registry.Page{Limit: 1})
		if err != nil || len(parts.Items) > 0 || tries == 10 {
			return len(parts.Items) > 0, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}
