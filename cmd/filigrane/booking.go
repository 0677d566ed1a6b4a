package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/jobs"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/mark"
)

// deliverySpec is what the registry keeps of how a delivery is made. Its hash is part of the delivery's id, so that the same
// command finds the same delivery.
type deliverySpec struct {
	Place          string             `json:"place"`
	Catalogue      string             `json:"catalogue"`
	Path           mark.Path          `json:"path"`
	KeyFingerprint string             `json:"key_fingerprint"`
	Profile        int                `json:"profile"`
	Geometry       delivery.Geometry  `json:"geometry"`
	Format         delivery.Format    `json:"format"`
	Preset         string             `json:"preset"`
	PresetDB       float64            `json:"preset_db"`
	Readable       delivery.Readable  `json:"readable,omitempty"`
	ImagesPerShard int                `json:"images_per_shard"`
	Shards         delivery.ShardForm `json:"shards,omitempty"`
	Captions       delivery.Captions  `json:"captions,omitempty"`
	Rights         delivery.Rights    `json:"rights,omitzero"`
	Previous       []string           `json:"previous,omitempty"` // places of the deliveries it goes on from, oldest first
}

// deliveryResult is what the registry keeps of a finished delivery.
type deliveryResult struct {
	ManifestSHA256 string           `json:"manifest_sha256"`
	Receipt        string           `json:"receipt"` // key that signed it
	Summary        delivery.Summary `json:"summary"`
}

// booking is a delivery on its way into the registry.
type booking struct {
	*records
	place    string
	licence  registry.Licence
	delivery registry.Delivery
	marking  registry.Marking
	why      string // for the record; "" for a delivery that was made just now
}

// book prepares the rows of a delivery, and refuses one that may not be made. Nothing is written yet.
func (c *deliverRunCmd) book(s *session, r *records, spec delivery.Spec, st store.Store, place string) (*booking, error) {
	content := spec.Catalogue.Catalogue()
	ref := registry.Ref{Name: content.Name, Version: content.Version}
	b := &booking{records: r, place: place, marking: registry.Marking{Path: spec.Path, Profile: spec.ProfileID, Resolution: spec.Geometry.Resolution, Place: place}}
	var err error
	if b.delivery, err = rowOf(ref, deliverySpec{Place: place, Path: spec.Path, KeyFingerprint: spec.KeyFingerprint, Profile: spec.ProfileID, Geometry: spec.Geometry,
		Format: spec.Format, Preset: spec.Preset.Name, PresetDB: spec.Preset.PSNRDB, Readable: spec.Readable, ImagesPerShard: spec.ImagesPerShard, Shards: spec.Shards,
		Captions: spec.Captions, Rights: spec.Rights, Previous: c.Previous}); err != nil {
		return nil, err
	}
	if b.licence, err = c.licence(s, r, ref, time.Now()); err != nil {
		return nil, err
	}
	b.delivery.Licence = b.licence.ID
	switch known, err := b.known(s); {
	case err == nil && known.State == registry.Delivered && finished(s.ctx, st):
		return b, nil // it may be looked at whatever has become of the licence since
	case err != nil && !errors.Is(err, registry.ErrNotFound):
		return nil, err
	}
	err = jobs.Allowed(s.ctx, r.reg, r.scope, b.licence, spec.Catalogue, time.Now())
	if errors.Is(err, jobs.ErrFinal) {
		err = inputError{err}
	}
	return b, err
}

// rowOf makes the row of a delivery. Its id holds the hash of what it is made of.
func rowOf(ref registry.Ref, spec deliverySpec) (registry.Delivery, error) {
	spec.Catalogue = ref.String()
	text, err := json.Marshal(spec)
	sum := sha256.Sum256(text)
	return registry.Delivery{ID: spec.Catalogue + "-" + hex.EncodeToString(sum[:6]), Catalogue: ref, Spec: text}, err
}

func finished(ctx context.Context, st store.Store) bool {
	r, err := st.Open(ctx, delivery.ManifestKey)
	if err != nil {
		return false
	}
	r.Close()
	return true
}

// begin makes licence, delivery and marking known, before the first marked byte. What lies unfinished at the same place,
// with other parameters, has just been thrown away.
func (b *booking) begin(s *session) error {
	now := time.Now()
	err := b.reg.InTx(s.ctx, func(reg *registry.Registry) error {
		if err := b.introduce(s, reg, now); err != nil {
			return err
		}
		if _, err := reg.AddDelivery(s.ctx, b.scope, b.delivery, now); err != nil {
			return err
		}
		is, err := reg.Delivery(s.ctx, b.scope, b.delivery.ID)
		if err != nil || is.State == registry.Delivered {
			return err // made again at a place that lost it: it must come out the same
		}
		_, err = reg.MoveDelivery(s.ctx, b.scope, b.delivery.ID, registry.Running, "", nil, now)
		return err
	})
	if err != nil {
		return err
	}
	q, err := b.waitingQueue(s)
	if err != nil {
		return err
	}
	return b.displace(s, q, now)
}

// displace cancels other deliveries to the same place that were never finished.
func (b *booking) displace(s *session, q *jobs.Queue, now time.Time) error {
	for _, state := range []registry.DeliveryState{registry.Planned, registry.Running, registry.Paused, registry.Failed} {
		others, err := collect(func(p registry.Page) (registry.List[registry.Delivery], error) {
			return b.reg.Deliveries(s.ctx, b.scope, state, p)
		})
		if err != nil {
			return err
		}
		for _, d := range others {
			if spec, err := specOf(d); d.ID == b.delivery.ID || err != nil || spec.Place != b.place {
				continue
			}
			why := "another delivery was made at its place: " + b.delivery.ID
			_, err := q.Cancel(s.ctx, b.scope, d.ID, why)
			if errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrState) { // it has no job, or another one, or is being finished
				if _, err = b.reg.MoveDelivery(s.ctx, b.scope, d.ID, registry.Cancelled, why, nil, now); err != nil {
					return err
				}
				if _, err = q.Cancel(s.ctx, b.scope, d.ID, why); errors.Is(err, registry.ErrNotFound) || errors.Is(err, registry.ErrState) {
					err = nil
				}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func specOf(d registry.Delivery) (spec deliverySpec, err error) {
	return spec, json.Unmarshal(d.Spec, &spec)
}

// delivered keeps what became of every work, and that the delivery is finished. It may run twice.
func (b *booking) delivered(s *session, d *delivery.Delivery, receipt string) error {
	result, err := json.Marshal(deliveryResult{d.SHA256(), receipt, d.Summary})
	if err != nil {
		return err
	}
	is, err := b.reg.Delivery(s.ctx, b.scope, b.delivery.ID)
	if err != nil || is.State == registry.Delivered && bytes.Equal(is.Result, result) {
		return err
	}
	recalled, err := jobs.Record(s.ctx, b.reg, b.scope, b.delivery.ID, d, time.Now, func() error { return nil })
	if err != nil {
		return err
	}
	if recalled > 0 {
		s.note("warning: %d works were recalled meanwhile; 'filigrane deliveries removals %s' lists them", recalled, b.delivery.ID)
	}
	_, err = b.reg.MoveDelivery(s.ctx, b.scope, b.delivery.ID, registry.Delivered, b.why, result, time.Now())
	return err
}

// history finds the deliveries that this one goes on from, and why works were recalled since. A delivery that was begun
// goes on from those it began with.
func (c *deliverRunCmd) history(s *session, r *records, spec *delivery.Spec, place string) (err error) {
	var under []registry.Delivery
	licence := c.licenceID(spec.Catalogue.Catalogue().Name)
	under, err = collect(func(p registry.Page) (registry.List[registry.Delivery], error) {
		return r.reg.DeliveriesUnder(s.ctx, r.scope, licence, p)
	})
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return err
	}
	if c.Increment && len(c.Previous) == 0 {
		if c.Previous = lastOf(under, place); c.Previous == nil {
			return badInput("--increment: there is no finished delivery under licence %s to go on from; leave it out, or name the places with --previous", licence)
		}
		s.note("going on from %s", strings.Join(c.Previous, ", "))
	}
	for i, where := range c.Previous { // names that stay the same wherever the command is run
		if c.Previous[i], err = s.absolute(where); err != nil {
			return err
		}
	}
	if spec.Previous, err = c.previous(s); err != nil || spec.Previous == nil {
		return err
	}
	spec.Recalls, err = c.recalls(s, r, under, place)
	for id := range spec.Recalls {
		if _, again := spec.Catalogue.Work(id); again {
			return badInput("work %s was recalled and is still in the catalogue; freeze a new version with 'filigrane concepts'", id)
		}
	}
	return err
}

// lastOf gives the places of the last finished delivery and of those before it, oldest first. Where a delivery to the same
// place was begun, they are those it goes on from.
func lastOf(under []registry.Delivery, place string) (chain []string) {
	for _, d := range under {
		spec, err := specOf(d)
		switch {
		case err != nil:
		case spec.Place == place && len(spec.Previous) > 0 && d.State != registry.Cancelled:
			return spec.Previous
		case d.State == registry.Delivered && spec.Place != place:
			chain = append(slices.Clone(spec.Previous), spec.Place)
		}
	}
	return chain
}

// recalls gives why works of the deliveries before were recalled: before this one was begun, so that the same command
// gives the same delivery later too.
func (c *deliverRunCmd) recalls(s *session, r *records, under []registry.Delivery, place string) (map[concepts.WorkID]string, error) {
	var until time.Time
	why := map[concepts.WorkID]string{}
	for _, d := range under {
		if spec, err := specOf(d); err == nil && spec.Place == place && slices.Equal(spec.Previous, c.Previous) && d.State != registry.Cancelled {
			until = d.Added
		}
	}
	for _, d := range under {
		spec, err := specOf(d)
		if err != nil || !slices.Contains(c.Previous, spec.Place) {
			continue
		}
		err = each(func(p registry.Page) (registry.List[registry.Removal], error) {
			return r.reg.RemovalsOf(s.ctx, r.scope, d.ID, p)
		}, func(m registry.Removal) error {
			if until.IsZero() || !m.At.After(until) {
				why[m.Work] = m.Why
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return why, nil
}
