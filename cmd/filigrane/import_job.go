package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/filigrane/filigrane/internal/intake"
	"github.com/filigrane/filigrane/internal/jobs"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/limited"
	"github.com/filigrane/filigrane/internal/workspace"
)

// importSpec is what an import's job says. The bank's table and its site's rules are in the registry, kept when the import
// was asked for.
type importSpec struct {
	Place         string  `json:"place"`
	Checksum      bool    `json:"checksum,omitzero"`
	MoveRoot      bool    `json:"move_root,omitzero"`
	Consent       string  `json:"consent,omitzero"`
	ConsentFor    string  `json:"consent_for,omitzero"`
	Told          []byte  `json:"told,omitempty"`   // the consent, in its own bytes: a file may be on the asking machine only
	ToldBy        string  `json:"told_by,omitzero"` // where it was given
	AcceptMissing bool    `json:"accept_missing,omitzero"`
	Rate          float64 `json:"rate,omitzero"`
	RateBytes     int64   `json:"rate_bytes,omitzero"`
	Readers       int     `json:"readers,omitzero"`
	MaxMemory     int64   `json:"max_memory"`
}

// importResult is what is kept of an import that was a job.
type importResult struct {
	Added     int            `json:"added"`
	Changed   int            `json:"changed"`
	Moved     int            `json:"moved"`
	Updated   int            `json:"updated"`
	Unchanged int            `json:"unchanged"`
	Reserved  int            `json:"reserved"`
	Lifted    int            `json:"lifted,omitzero"`
	Refused   int            `json:"refused"`
	Unsure    int            `json:"unsure,omitzero"`
	Missing   int64          `json:"missing"`
	Conflicts int            `json:"conflicts"`
	Todos     map[string]int `json:"todos,omitempty"`
	Kinds     map[string]int `json:"refused_kinds,omitempty"`
	BytesRead int64          `json:"bytes_read"`
	Seconds   float64        `json:"seconds"`
}

// detach leaves the import to a worker, once its flags are known to be good and what they give is kept.
func (c *importCmd) detach(s *session, r *records) error {
	place, err := s.absolute(c.Place)
	if err != nil {
		return err
	}
	spec := importSpec{Place: place, Checksum: c.Checksum, MoveRoot: c.MoveRoot, Consent: c.Consent, ConsentFor: c.ConsentFor, AcceptMissing: c.AcceptMissing, Rate: c.Rate, RateBytes: int64(c.RateBytes),
		Readers: c.Readers, MaxMemory: int64(c.MaxMemory)}
	if c.Consent != "" {
		if spec.Told, spec.ToldBy, err = c.consentText(); err != nil {
			return err
		}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	q, err := r.waitingQueue(s)
	if err != nil {
		return err
	}
	id := "import-" + time.Now().UTC().Format("20060102T150405.000")
	if _, err := q.Import(s.ctx, r.scope, id, text); err != nil {
		return err
	}
	s.note("job %s waits for a worker; 'filigrane jobs watch %s' follows it", id, id)
	return s.emit(detachedJSON{Place: place, Job: id, State: string(registry.JobPlanned)})
}

// importing gives how workers import: as the verb does, but for its report.
func (r *records) importing(s *session) func(context.Context, registry.Scope, json.RawMessage, func(done, refused int64) error) (jobs.ImportResult, error) {
	return func(ctx context.Context, scope registry.Scope, text json.RawMessage, progress func(done, refused int64) error) (out jobs.ImportResult, err error) {
		began := time.Now()
		var spec importSpec
		if err := json.Unmarshal(text, &spec); err != nil {
			return out, badInput("the job cannot be read: %w", err)
		}
		c := importCmd{Place: spec.Place, Checksum: spec.Checksum, MoveRoot: spec.MoveRoot, Consent: spec.Consent, ConsentFor: spec.ConsentFor, Told: spec.Told, ToldBy: spec.ToldBy,
			AcceptMissing: spec.AcceptMissing, Rate: spec.Rate, RateBytes: sizeFlag(spec.RateBytes), Readers: spec.Readers, MaxMemory: sizeFlag(spec.MaxMemory)}
		release, err := r.ws.Lock("filigrane " + s.verb)
		if workspace.KindOf(err) == workspace.KindLocked { // by another import, say
			err = fmt.Errorf("%w: %w", jobs.ErrBusy, err)
		}
		if err != nil {
			return out, err
		}
		defer release()
		from, err := c.place(s, r)
		if err != nil {
			return out, hopeless(err)
		}
		defer from.Close()
		opt, err := c.options(s, r, from, began)
		if err != nil {
			return out, hopeless(err)
		}
		if t := opt.Ingest.Table; t != nil {
			defer t.Close()
		}
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		opt.Progress = func(rep intake.Report) {
			if err := progress(int64(handled(rep)), int64(rep.Refused)); err != nil {
				stop(err)
			}
		}
		limits := limited.Limits{RequestsPerSecond: spec.Rate, BytesPerSecond: spec.RateBytes}
		rep, err := intake.Run(ctx, limited.New(from.bucket, limits), r.reg, scope, opt)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
		if errors.Is(err, intake.ErrNothing) || errors.Is(err, intake.ErrManyMissing) || errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("%w: %w", jobs.ErrFinal, err)
		}
		if err != nil {
			return out, err
		}
		if taken(rep) > 0 { // First is called only where a work is written
			if _, err := r.reg.SetMasters(ctx, scope, from.root, began); err != nil {
				return out, err
			}
		}
		kinds := map[string]int{}
		for kind, n := range rep.RefusedKinds {
			kinds[string(kind)] = n
		}
		out = jobs.ImportResult{Done: int64(handled(rep)), Refused: int64(rep.Refused)}
		out.Result, err = json.Marshal(importResult{Added: rep.Added, Changed: rep.Summary.Changed, Moved: rep.Moved, Updated: rep.Updated, Unchanged: rep.Unchanged,
			Reserved: rep.Reserved, Lifted: rep.Lifted, Refused: rep.Refused, Unsure: rep.Unsure, Missing: rep.States[registry.Missing], Conflicts: rep.Summary.Conflicts, Todos: rep.TodoFields,
			Kinds: kinds, BytesRead: rep.BytesRead, Seconds: time.Since(began).Seconds()})
		return out, err
	}
}

// hopeless tells what whoever asked for a job has to mend from what may pass.
func hopeless(err error) error {
	var in inputError
	if errors.As(err, &in) {
		return fmt.Errorf("%w: %w", jobs.ErrFinal, err)
	}
	return err
}

// handled counts the files an import has dealt with.
func handled(r intake.Report) int {
	return taken(r) + r.Refused
}

// taken counts those of them that are works.
func taken(r intake.Report) int {
	return r.Added + r.Summary.Changed + r.Moved + r.Updated + r.Unchanged
}
