package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/workspace"
)

// deliveriesAdoptCmd is "filigrane deliveries adopt".
type deliveriesAdoptCmd struct {
	Place []string `arg:"" optional:"" help:"Places of finished deliveries, older ones first. Default: all that the workspace knows of and the registry does not."`
}

// Help explains what it is for.
func (deliveriesAdoptCmd) Help() string {
	return `Reads the manifests of deliveries that were made before there was a registry, and keeps what they say: every file with its SHA-256, every refusal. Afterwards recalls find them, and --increment goes on from them. Their licences are made for the purpose they name, from today on, unless they are there: record those with terms of their own first, with 'filigrane licence add --from'. A licence that has ended since, or was revoked, is no obstacle: what was delivered stays on record.

Example: filigrane deliveries adopt /deliveries/acme-2026`
}

// Run adopts.
func (c *deliveriesAdoptCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	places := c.Place
	if len(places) == 0 {
		if places, err = r.unbooked(s); err != nil {
			return err
		}
	}
	failed := false
	for _, place := range places {
		line, err := r.adopt(s, place)
		if err != nil && s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		if err != nil {
			failed = true
			s.note("%s: %s", place, oneLine(err))
			continue
		}
		if err := s.emit(line); err != nil {
			return err
		}
	}
	if failed {
		return errTold
	}
	return nil
}

// unbooked lists the places where marks were made under a delivery that the registry has no row of.
func (r *records) unbooked(s *session) (places []string, err error) {
	booked := map[string]bool{"": true} // single pictures have no place
	err = each(func(p registry.Page) (registry.List[registry.Delivery], error) {
		return r.reg.Deliveries(s.ctx, r.scope, "", p)
	}, func(d registry.Delivery) error {
		spec, err := specOf(d)
		booked[spec.Place] = true
		return err
	})
	if err != nil {
		return nil, err
	}
	all, err := r.markings(s)
	for _, m := range all {
		if !booked[m.Place] {
			places = append(places, m.Place)
		}
		booked[m.Place] = true
	}
	return places, err
}

// adopt keeps a finished delivery of the bank's.
func (r *records) adopt(s *session, place string) (line deliveryLine, err error) {
	abs, err := s.absolute(place)
	if err != nil {
		return line, err
	}
	st, err := s.existing(s.ctx, abs)
	if err != nil {
		return line, err
	}
	defer st.Close()
	d, err := delivery.Open(s.ctx, st)
	if errors.Is(err, store.ErrNotFound) {
		return line, badInput("no finished delivery here: manifest.json or codebook.json is missing")
	}
	if err != nil {
		return line, err
	}
	ref, err := r.ours(s, d)
	if err != nil {
		return line, err
	}
	p := d.Parameters
	spec := deliverySpec{Place: abs, Path: p.Path, KeyFingerprint: p.KeyFingerprint, Profile: p.Profile, Geometry: p.Geometry, Format: p.Format, Preset: p.Preset, PresetDB: p.PresetDB,
		Readable: p.Readable, ImagesPerShard: p.ImagesPerShard, Shards: p.Shards, Captions: p.Captions, Rights: p.Rights}
	if spec.Readable == "" {
		spec.Readable = delivery.ReadableEach
	}
	if spec.Previous, err = r.before(s, p.PreviousSHA256); err != nil {
		return line, err
	}
	b := &booking{records: r, place: abs, why: "adopted: it was made before the registry knew of it",
		marking: registry.Marking{Path: p.Path, Profile: p.Profile, Resolution: p.Geometry.Resolution, Place: abs}}
	if b.delivery, err = rowOf(ref, spec); err != nil {
		return line, err
	}
	c := deliverRunCmd{keyPath: keyPath{Licence: p.Path.Licence, Purpose: p.Path.Purpose}}
	if b.licence, err = c.licence(s, r, ref, time.Now()); err != nil {
		return line, err
	}
	b.delivery.Licence, b.delivery.Adopted = b.licence.ID, true
	if err := b.begin(s); err != nil {
		return line, err
	}
	if err := b.delivered(s, d, ""); err != nil {
		return line, err
	}
	row, err := r.reg.Delivery(s.ctx, r.scope, b.delivery.ID)
	if err != nil {
		return line, err
	}
	return lineOf(row)
}

// ours returns an error unless a delivery is the bank's, made with its key of a catalogue that the registry has.
func (r *records) ours(s *session, d *delivery.Delivery) (ref registry.Ref, err error) {
	p := d.Parameters
	key, err := s.embeddingKey(r.ws)
	if err != nil {
		return ref, err
	}
	if p.Path.Bank != r.ws.Bank() || key.Delivery(p.Path).Fingerprint() != p.KeyFingerprint {
		return ref, badInput("it was made by %q with another key than this workspace's", p.Path.Bank)
	}
	name, err := workspace.ParseRef(p.Catalogue)
	if err != nil {
		return ref, inputError{err}
	}
	ref = registry.Ref{Name: name.Name, Version: name.Version}
	v, err := r.reg.CatalogueVersion(s.ctx, r.scope, ref)
	if err == nil && !strings.EqualFold(hex.EncodeToString(v.Hash[:]), p.CatalogueSHA256) {
		err = badInput("it is of another catalogue %v than the registry's", ref)
	}
	return ref, err
}

// before gives the places of the deliveries that one goes on from, the last of which has a manifest of that hash.
func (r *records) before(s *session, manifest string) (chain []string, err error) {
	if manifest == "" {
		return nil, nil
	}
	err = each(func(p registry.Page) (registry.List[registry.Delivery], error) {
		return r.reg.Deliveries(s.ctx, r.scope, registry.Delivered, p)
	}, func(d registry.Delivery) error {
		var result deliveryResult
		spec, err := specOf(d)
		if err == nil {
			err = json.Unmarshal(d.Result, &result)
		}
		if result.ManifestSHA256 == manifest {
			chain = append(append([]string{}, spec.Previous...), spec.Place)
		}
		return err
	})
	if err == nil && chain == nil {
		err = badInput("it goes on from a delivery that the registry does not know, with manifest %s: adopt that first", manifest)
	}
	return chain, err
}
