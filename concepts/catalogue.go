package concepts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sort"
	"strconv"
	"unicode/utf8"
)

// Catalogue is a list of works and their concepts at one version, before it is frozen. Lists may be in
// any order.
type Catalogue struct {
	// Name is the catalogue's, without version; not empty.
	Name string
	// Version counts from 1.
	Version     int
	Works       []Work
	Concepts    []Concept
	Memberships []Membership
}

// Frozen is a catalogue that was checked and will not change: what a licence binds. Do not modify what
// its methods return.
type Frozen struct {
	catalogue  Catalogue // sorted
	canonical  []byte
	hash       [32]byte
	conceptsOf map[WorkID][]ConceptID
	worksOf    map[ConceptID][]WorkID
}

// Freeze checks the catalogue, copies and sorts it, and computes its hash.
//
// It returns an error that names the offender if: the name is empty or the version below 1; there is no work;
// a work's or concept's ID is malformed or used twice; two works share a path or a SHA-256 (the same
// bytes listed twice would be paid twice); a path is not as [CheckPath] wants it or a SHA-256 not 64
// lower-case hex digits; a size is below 1; columns are not sorted or repeated; a concept's kind is not that of
// its ID or its name is empty; a membership is repeated, explains nothing, or names a work or concept
// that is not listed; a concept has no work; a work has more than [MaxConceptsPerWork] concepts; or any
// text is not UTF-8.
func (c Catalogue) Freeze() (*Frozen, error) {
	if c.Name == "" || !utf8.ValidString(c.Name) || c.Version < 1 {
		return nil, fmt.Errorf("concepts: catalogue %q version %d: give it a name in UTF-8 and a version of 1 or more", c.Name, c.Version)
	}
	if len(c.Works) == 0 {
		return nil, fmt.Errorf("concepts: catalogue %q has no works: import some first", c.Name)
	}
	works, err := sortedWorks(c.Works)
	if err != nil {
		return nil, err
	}
	if err := checkWorks(works); err != nil {
		return nil, err
	}
	c.Works = make([]Work, len(works))
	for i, w := range works {
		w.Keywords = append([]string(nil), w.Keywords...)
		w.Columns = append([]Column(nil), w.Columns...)
		w.Visual = append([]float64(nil), w.Visual...)
		c.Works[i] = w
	}
	c.Concepts = append([]Concept(nil), c.Concepts...)
	sort.Slice(c.Concepts, func(i, j int) bool { return c.Concepts[i].ID < c.Concepts[j].ID })
	c.Memberships = append([]Membership(nil), c.Memberships...)
	sortMemberships(c.Memberships)
	f := &Frozen{catalogue: c, conceptsOf: make(map[WorkID][]ConceptID, len(works)), worksOf: make(map[ConceptID][]WorkID, len(c.Concepts))}
	if err := f.index(); err != nil {
		return nil, err
	}
	f.canonical = c.canonical()
	f.hash = sha256.Sum256(f.canonical)
	return f, nil
}

// checkWorks checks what only a catalogue asks of works, which are sorted.
func checkWorks(works []Work) error {
	paths, hashes := map[string]WorkID{}, map[string]WorkID{}
	for _, w := range works {
		if err := CheckPath(w.Path); err != nil {
			return fmt.Errorf("concepts: work %s: %w", w.ID, err)
		}
		if b, err := hex.DecodeString(w.SHA256); err != nil || len(b) != 32 || hex.EncodeToString(b) != w.SHA256 {
			return fmt.Errorf("concepts: work %s (%s): SHA-256 %.80q is not 64 lower-case hex digits", w.ID, w.Path, w.SHA256)
		}
		if w.Width < 1 || w.Height < 1 {
			return fmt.Errorf("concepts: work %s (%s): size %d x %d: read it from the file's header", w.ID, w.Path, w.Width, w.Height)
		}
		for i, col := range w.Columns {
			if i > 0 && w.Columns[i-1].Name >= col.Name {
				return fmt.Errorf("concepts: work %s (%s): columns %q and %q are not sorted or the same", w.ID, w.Path, w.Columns[i-1].Name, col.Name)
			}
		}
		if other, ok := paths[w.Path]; ok {
			return fmt.Errorf("concepts: works %s and %s have the same path %q: list the file once", other, w.ID, w.Path)
		}
		if other, ok := hashes[w.SHA256]; ok {
			return fmt.Errorf("concepts: works %s and %s have the same SHA-256 %s: list identical files once", other, w.ID, w.SHA256)
		}
		paths[w.Path], hashes[w.SHA256] = w.ID, w.ID
	}
	return nil
}

// index checks concepts and memberships and fills the two maps, in sorted order.
func (f *Frozen) index() error {
	for _, w := range f.catalogue.Works {
		f.conceptsOf[w.ID] = nil
	}
	for _, c := range f.catalogue.Concepts {
		if err := c.ID.Check(); err != nil {
			return err
		}
		if _, twice := f.worksOf[c.ID]; twice || c.ID.Kind() != c.Kind || c.Name == "" || !utf8.ValidString(c.Name) {
			return fmt.Errorf("concepts: concept %s (kind %q, name %q) is listed twice, of another kind than its ID, or has no name in UTF-8", c.ID, c.Kind, c.Name)
		}
		f.worksOf[c.ID] = nil
	}
	for i, m := range f.catalogue.Memberships {
		concepts, work := f.conceptsOf[m.Work]
		works, concept := f.worksOf[m.Concept]
		switch {
		case !work || !concept:
			return fmt.Errorf("concepts: membership of work %q in concept %q: one of the two is not in the catalogue", m.Work, m.Concept)
		case i > 0 && !f.catalogue.Memberships[i-1].before(m):
			return fmt.Errorf("concepts: membership of work %s in concept %s is listed twice", m.Work, m.Concept)
		case m.Rule == "" || m.Why == "" || !utf8.ValidString(m.Rule+m.Why):
			return fmt.Errorf("concepts: membership of work %s in concept %s: give rule and reason in UTF-8", m.Work, m.Concept)
		case len(concepts) == MaxConceptsPerWork:
			return fmt.Errorf("concepts: work %s has more than %d concepts: their marks cannot be superposed", m.Work, MaxConceptsPerWork)
		}
		f.conceptsOf[m.Work] = append(concepts, m.Concept)
		f.worksOf[m.Concept] = append(works, m.Work)
	}
	for _, c := range f.catalogue.Concepts {
		if len(f.worksOf[c.ID]) == 0 {
			return fmt.Errorf("concepts: concept %s has no works: leave it out", c.ID)
		}
	}
	return nil
}

// Hash returns the SHA-256 of [Frozen.Canonical]. It does not depend on the order of the lists.
func (f *Frozen) Hash() [32]byte { return f.hash }

// Canonical returns the bytes that are hashed, in the form that the package comment describes.
func (f *Frozen) Canonical() []byte { return f.canonical }

// Catalogue returns the contents: works by ID, concepts by ID, memberships by work, then concept.
func (f *Frozen) Catalogue() Catalogue { return f.catalogue }

// Work returns a work, and whether there is one with this ID.
func (f *Frozen) Work(id WorkID) (Work, bool) {
	works := f.catalogue.Works
	i := sort.Search(len(works), func(i int) bool { return works[i].ID >= id })
	if i == len(works) || works[i].ID != id {
		return Work{}, false
	}
	return works[i], true
}

// ConceptsOf returns the concepts of a work, sorted; none if the work is unknown or in no concept.
func (f *Frozen) ConceptsOf(id WorkID) []ConceptID { return f.conceptsOf[id] }

// WorksOf returns the works of a concept, sorted; none if the concept is unknown.
func (f *Frozen) WorksOf(id ConceptID) []WorkID { return f.worksOf[id] }

// canonicalHeader begins the canonical form and names its version.
const canonicalHeader = "filigrane catalogue v1\n"

// netstrings appends the canonical form's parts.
type netstrings []byte

func (n *netstrings) text(s string) {
	*n = strconv.AppendInt(*n, int64(len(s)), 10)
	*n = append(*n, ':')
	*n = append(*n, s...)
	*n = append(*n, ',')
}

func (n *netstrings) texts(list ...string) {
	for _, s := range list {
		n.text(s)
	}
}

func (n *netstrings) number(i int) { n.text(strconv.Itoa(i)) }

// canonical encodes a catalogue whose lists are sorted.
func (c Catalogue) canonical() []byte {
	n := netstrings(canonicalHeader)
	n.text(c.Name)
	n.number(c.Version)
	n.number(len(c.Works))
	for _, w := range c.Works {
		n.texts(string(w.ID), w.Path, w.SHA256)
		n.number(w.Width)
		n.number(w.Height)
		n.texts(w.Format, w.Title, w.Creator)
		keywords := append([]string(nil), w.Keywords...)
		sort.Strings(keywords)
		n.number(len(keywords))
		n.texts(keywords...)
		n.text(w.RightsHolder)
		n.number(len(w.Columns))
		for _, col := range w.Columns {
			n.texts(col.Name, col.Value)
		}
	}
	n.number(len(c.Concepts))
	for _, concept := range c.Concepts {
		n.texts(string(concept.ID), string(concept.Kind), concept.Name)
	}
	n.number(len(c.Memberships))
	for _, m := range c.Memberships {
		n.texts(string(m.Work), string(m.Concept), m.Rule, m.Why)
	}
	return n
}
