package main

import (
	"context"
	"errors"
	"image"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/workspace"
	"github.com/filigrane/filigrane/iscc"
	"github.com/filigrane/filigrane/mark"
)

// marking is one path of the key hierarchy under which marks were made, and what is needed to read them.
type marking struct {
	Path       mark.Path
	Profile    int
	Resolution int
	Dir        string // the delivery's folder or address; "" for single pictures marked without one
}

// markings lists where marks were made, in the order it was first done.
func (r *records) markings(s *session) ([]registry.Marking, error) {
	return collect(func(p registry.Page) (registry.List[registry.Marking], error) {
		return r.reg.Markings(s.ctx, r.scope, p)
	})
}

// scope is one delivery that detection looks for.
type scope struct {
	marking
	geometry delivery.Geometry // of a delivery whose manifest was read
	names    names
	readers  *detect.Readers // a delivery in buckets has several
}

// resolution is R for a picture: of a delivery in buckets that of the bucket it would be in.
func (sc *scope) resolution(b image.Rectangle) int {
	if sc.geometry.Buckets {
		return sc.geometry.ResolutionOf(b.Dx(), b.Dy())
	}
	return sc.Resolution
}

// reader gives the reader for a picture. Goroutines may share the scope.
func (sc *scope) reader(b image.Rectangle) *detect.Reader { return sc.readers.At(sc.resolution(b)) }

// names turns the numbers of one delivery into names. Maps without an entry give empty names: a number is
// reported all the same.
type names struct {
	concepts map[int]named
	works    map[int]workName
	codes    *iscc.Index // Image-Codes of the works as they were delivered, by number; nil without a manifest
}

type workName struct {
	id, path        string
	concepts        []int
	image, instance iscc.Code // of the file delivered; none in older manifests
	width, height   int       // of the file delivered
}

func (n names) concept(number int) (id, name string) {
	c := n.concepts[number]
	return c.ID, c.Name
}

func (n names) work(number int) workName { return n.works[number] }

// open finds the deliveries in scope and makes their readers.
func (d *detector) open() error {
	ws, err := d.workspace()
	if err != nil && (workspace.KindOf(err) != workspace.KindNoWorkspace || len(d.cmd.Delivery) == 0) {
		return err
	}
	key, err := d.detectingKey(ws)
	if err != nil {
		return err
	}
	if len(d.cmd.Delivery) > 0 {
		err = d.named()
	} else {
		err = d.known()
	}
	if err != nil {
		return err
	}
	for _, sc := range d.scopes {
		p, err := mark.ProfileByID(sc.Profile)
		if err != nil {
			return inputError{err}
		}
		sc.readers = detect.NewReaders(p, key.Delivery(sc.Path).Keys(), d.options(sc.Resolution))
	}
	return nil
}

// named takes the deliveries of --delivery.
func (d *detector) named() error {
	seen := map[marking]bool{}
	for _, folder := range d.cmd.Delivery {
		sc, err := d.fromPlace(folder, d.existing)
		if err != nil {
			return badInput("--delivery %s: %w", folder, err)
		}
		key := sc.marking
		key.Dir = ""
		if !seen[key] {
			d.scopes = append(d.scopes, sc)
		}
		seen[key] = true
	}
	return nil
}

// known takes every delivery of the workspace. Those under one path, read by one reader, are one.
func (d *detector) known() error {
	r, err := d.records()
	if err != nil {
		return err
	}
	defer r.Close()
	all, err := r.markings(d.session)
	if err != nil {
		return err
	}
	seen := map[marking]*scope{}
	for _, m := range all {
		known := marking{m.Path, m.Profile, m.Resolution, m.Place}
		key := known
		key.Dir = ""
		sc := seen[key]
		if sc == nil {
			sc = &scope{marking: known}
			d.scopes, seen[key] = append(d.scopes, sc), sc
		}
		if sc.Dir == "" {
			sc.Dir = known.Dir
		}
	}
	if len(d.scopes) == 0 {
		return badInput("the workspace knows no delivery; make one with 'filigrane deliver' or 'filigrane embed', or name one with --delivery")
	}
	for _, sc := range d.scopes {
		if sc.Dir != "" {
			if f, err := d.fromPlace(sc.Dir, d.glance); err == nil && f.Path == sc.Path {
				sc.names, sc.geometry = f.names, f.geometry
				continue
			} else if err != nil {
				d.note("%s: %s; names come from the workspace", sc.Dir, oneLine(err))
			}
		}
		if err := sc.fromCatalogue(d.session, r); err != nil {
			return err
		}
	}
	return nil
}

// fromPlace reads a finished delivery from a place that open opens.
func (d *detector) fromPlace(where string, open func(context.Context, string) (place, error)) (*scope, error) {
	abs, err := d.absolute(where)
	if err != nil {
		return nil, err
	}
	st, err := open(d.ctx, abs)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	del, err := delivery.Open(d.ctx, st)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errors.New("no finished delivery here: manifest.json or codebook.json is missing")
	}
	if err != nil {
		return nil, err
	}
	p := del.Parameters
	sc := &scope{marking: marking{Path: p.Path, Profile: p.Profile, Resolution: p.Geometry.Resolution, Dir: abs}, geometry: p.Geometry}
	sc.names = names{concepts: map[int]named{}, works: map[int]workName{}, codes: new(iscc.Index)}
	for _, c := range del.Codebook.Concepts {
		sc.names.concepts[c.Number] = named{c.Number, string(c.ID), c.Name}
	}
	for _, img := range del.Images {
		w := workName{id: string(img.Work), path: img.SourcePath, image: img.ISCCImage, instance: img.ISCCInstance, width: img.Width, height: img.Height}
		for _, c := range img.Concepts {
			w.concepts = append(w.concepts, c.Number)
		}
		sc.names.works[img.WorkNumber] = w
		if !w.image.IsZero() {
			sc.names.codes.Add(img.WorkNumber, w.image)
		}
	}
	return sc, nil
}

// fromCatalogue takes names from the workspace, for pictures that were marked without a delivery.
func (sc *scope) fromCatalogue(s *session, r *records) error {
	book, err := r.book(s)
	if err != nil {
		return err
	}
	sc.names = names{concepts: map[int]named{}, works: map[int]workName{}}
	for n := 1; n <= book.Concepts(); n++ {
		id, _ := book.ConceptName(n)
		sc.names.concepts[n] = named{Number: n, ID: string(id)}
	}
	for n := 1; n <= book.Works(); n++ {
		id, _ := book.WorkName(n)
		sc.names.works[n] = workName{id: string(id)}
	}
	ref, err := workspace.ParseRef(sc.Path.Catalogue)
	if err != nil || sc.Path.Catalogue == noCatalogue {
		return nil
	}
	cat, err := r.reg.LoadCatalogue(s.ctx, r.scope, registry.Ref{Name: ref.Name, Version: ref.Version})
	if errors.Is(err, registry.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	sc.fill(cat, book)
	return nil
}

func (sc *scope) fill(f *concepts.Frozen, book *concepts.Codebook) {
	cat := f.Catalogue()
	for _, c := range cat.Concepts {
		if n, ok := book.ConceptNumber(c.ID); ok {
			sc.names.concepts[n] = named{n, string(c.ID), c.Name}
		}
	}
	for _, w := range cat.Works {
		n, ok := book.WorkNumber(w.ID)
		if !ok {
			continue
		}
		name := workName{id: string(w.ID), path: w.Path}
		for _, id := range f.ConceptsOf(w.ID) {
			if c, ok := book.ConceptNumber(id); ok {
				name.concepts = append(name.concepts, c)
			}
		}
		sc.names.works[n] = name
	}
}
