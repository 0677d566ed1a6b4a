package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/workspace"
)

// mainBook is the codebook of a tenant: one, since a tenant has one key.
const mainBook = "main"

// takeOver moves a workspace of before the registry into the registry. Every step may run twice, so that it is begun again
// wherever it was cut off; the old files are put aside when everything is there.
func (s *session) takeOver(ws *workspace.Workspace) error {
	release, err := ws.Lock("filigrane " + s.verb)
	if err != nil {
		return err
	}
	defer release()
	if !ws.IsOld() {
		return nil // another process was faster
	}
	old, err := ws.Old()
	if err != nil {
		return err
	}
	reg, err := s.openRegistry(s.registryOf(ws))
	if err != nil {
		return err
	}
	defer reg.Close()
	r := &records{ws, reg, registry.Scope{Tenant: ws.Tenant(), Role: registry.Bank}}
	s.note("taking the workspace over into the registry: %d works, %d catalogues, %d deliveries; the old files go into the folder before-registry", len(old.Records), len(old.Catalogues), len(old.Deliveries))
	if err := enrol(s.ctx, reg, r.scope, ws.Bank(), ws.KeyFingerprint(), time.Now()); err != nil {
		return err
	}
	for _, step := range takeOverSteps(r) {
		if err := step(s, old); err != nil {
			return fmt.Errorf("taking the workspace over, which goes on when the command is run again: %w", err)
		}
	}
	if len(old.Deliveries) > 0 {
		s.note("'filigrane deliveries adopt' reads what the deliveries hold, so that recalls and increments know of it")
	}
	kept := ""
	if s.Registry != "" {
		if kept, err = s.keptAddress(s.Registry); err != nil {
			return err
		}
	}
	return ws.TakenOver(r.scope.Tenant, kept)
}

func takeOverSteps(r *records) []func(*session, *workspace.Old) error {
	return []func(*session, *workspace.Old) error{r.takeSettings, r.takeWorks, r.takeCodebook, r.takeCatalogues, r.takeDeliveries}
}

func (r *records) takeSettings(s *session, old *workspace.Old) error {
	if old.Root != "" {
		if _, err := r.reg.SetMasters(s.ctx, r.scope, old.Root, time.Now()); err != nil {
			return err
		}
	}
	if old.Table == nil {
		return nil
	}
	_, err := r.reg.SetBankTable(s.ctx, r.scope, old.Table, time.Now())
	return err
}

// takeWorks keeps the works as catalogues were made of them, joined with the bank's table.
func (r *records) takeWorks(s *session, old *workspace.Old) error {
	works, err := old.Works()
	if err != nil {
		return err
	}
	bytesOf, missing := map[concepts.WorkID]int64{}, []workspace.Record{}
	there := map[concepts.WorkID]bool{}
	for _, w := range works {
		there[w.ID] = true
	}
	visual := map[concepts.WorkID][]float64{}
	for _, rec := range old.Records {
		bytesOf[rec.ID] = rec.Bytes
		if len(rec.Visual) == concepts.DescriptorLen {
			visual[rec.ID] = rec.Visual
		}
		if rec.Missing && !there[rec.ID] {
			missing = append(missing, rec)
		}
	}
	list := make([]registry.Work, 0, len(works)+len(missing))
	for _, w := range works {
		list = append(list, registry.Work{Work: w, Bytes: bytesOf[w.ID]})
	}
	for _, rec := range missing {
		list = append(list, registry.Work{Work: rec.Work(), Bytes: rec.Bytes})
	}
	for i := range list {
		list[i].Visual = nil
	}
	for chunk := range slices.Chunk(list, registry.MostPerPage) {
		if err := r.takeBatch(s, chunk, there, visual); err != nil {
			return err
		}
	}
	return r.takeObjects(s, old)
}

// takeObjects keeps which files the works are. The first import reads each of them again: the old program did not look for
// rights holders and reservations as this one does.
func (r *records) takeObjects(s *session, old *workspace.Old) error {
	for chunk := range slices.Chunk(old.Records, registry.MostPerPage) {
		objects := make([]registry.Object, len(chunk))
		for i, rec := range chunk {
			objects[i] = registry.Object{Name: rec.Path, Bytes: rec.Bytes, Modified: time.Unix(0, rec.Modified), SHA256: rec.SHA256, Work: rec.ID,
				Outside: "taken over", Missing: rec.Missing}
		}
		if _, err := r.reg.PutObjects(s.ctx, r.scope, objects); err != nil {
			return err
		}
	}
	return nil
}

// takeBatch keeps some works with their states, reservations and descriptors.
func (r *records) takeBatch(s *session, works []registry.Work, there map[concepts.WorkID]bool, visual map[concepts.WorkID][]float64) error {
	now := time.Now()
	states := map[registry.WorkState][]concepts.WorkID{}
	var reservations []registry.Reservation
	descriptors := map[concepts.WorkID][]float64{}
	for _, w := range works {
		switch {
		case !there[w.ID]:
			states[registry.Missing] = append(states[registry.Missing], w.ID)
		case reserved(w.Work):
			states[registry.Reserved] = append(states[registry.Reserved], w.ID)
			reservations = append(reservations, registry.Reservation{Work: w.ID, Path: w.Path, Protocol: "iptc-plus", Raw: []byte(w.Column(dataMining)), URL: w.Path, Found: now})
		}
		if v := visual[w.ID]; v != nil {
			descriptors[w.ID] = v
		}
	}
	return r.reg.InTx(s.ctx, func(reg *registry.Registry) error {
		if _, err := reg.PutWorks(s.ctx, r.scope, works, now); err != nil {
			return err
		}
		for state, ids := range states {
			if _, err := reg.SetWorkState(s.ctx, r.scope, ids, state, now); err != nil {
				return err
			}
		}
		if _, err := reg.PutReservations(s.ctx, r.scope, reservations); err != nil {
			return err
		}
		_, err := reg.PutDescriptors(s.ctx, r.scope, descriptors)
		return err
	})
}

// takeCodebook assigns the same numbers in the same order.
func (r *records) takeCodebook(s *session, old *workspace.Old) error {
	text, err := old.Codebook.MarshalText()
	if err != nil {
		return err
	}
	err = r.reg.InTx(s.ctx, func(reg *registry.Registry) error {
		var ids []string
		var kind string
		flush := func() (err error) {
			switch kind {
			case "c":
				_, err = reg.AssignConcepts(s.ctx, r.scope, mainBook, namesOf[concepts.ConceptID](ids))
			case "w":
				_, err = reg.AssignWorks(s.ctx, r.scope, mainBook, namesOf[concepts.WorkID](ids))
			}
			ids = nil
			return err
		}
		for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
			if i == 0 {
				continue // the format
			}
			f := strings.Fields(line)
			if f[0] != kind {
				if err := flush(); err != nil {
					return err
				}
				kind = f[0]
			}
			ids = append(ids, f[2])
		}
		return flush()
	})
	if err != nil {
		return err
	}
	book, err := r.reg.Codebook(s.ctx, r.scope, mainBook)
	if err != nil {
		return err
	}
	again, err := book.MarshalText()
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(again, text) {
		return badInput("tenant %s of the registry has other numbers than this workspace: make another tenant, or use an empty registry", r.scope.Tenant)
	}
	return nil
}

func namesOf[ID ~string](texts []string) []ID {
	ids := make([]ID, len(texts))
	for i, t := range texts {
		ids[i] = ID(t)
	}
	return ids
}

// takeCatalogues keeps the catalogues under their hashes and versions, with the time their files were written.
func (r *records) takeCatalogues(s *session, old *workspace.Old) error {
	for _, c := range old.Catalogues {
		v, _, err := r.reg.AddCatalogue(s.ctx, r.scope, c.Frozen, c.Written)
		if err != nil {
			return err
		}
		if v.Hash != c.Hash() {
			return errors.New("catalogue " + v.Ref.String() + " has another hash in the registry")
		}
		story, err := json.Marshal(c.Grouping)
		if err != nil {
			return err
		}
		if _, err := r.reg.PutStory(s.ctx, r.scope, v.Ref, story, c.Written); err != nil {
			return err
		}
	}
	return nil
}

func (r *records) takeDeliveries(s *session, old *workspace.Old) error {
	for _, d := range old.Deliveries {
		m := registry.Marking{Path: d.Path, Profile: d.Profile, Resolution: d.Resolution, Place: d.Dir}
		if _, err := r.reg.AddMarking(s.ctx, r.scope, m, time.Now()); err != nil {
			return err
		}
	}
	return nil
}
