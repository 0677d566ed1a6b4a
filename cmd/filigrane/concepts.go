package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/jobs"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/workspace"
)

// conceptsCmd is "filigrane concepts".
type conceptsCmd struct {
	Freeze  freezeCmd  `cmd:"" default:"withargs" help:"Group the works and freeze a catalogue (the default)."`
	List    listCmd    `cmd:"" help:"List the concepts of a catalogue with their numbers, one a line."`
	Explain explainCmd `cmd:"" help:"Say why a work is in its concepts."`
}

// Help shows that of the default.
func (conceptsCmd) Help() string {
	return freezeCmd{}.Help() + "\n\nFlags: filigrane concepts freeze --help"
}

// freezeCmd is "filigrane concepts [freeze]".
type freezeCmd struct {
	By              []string `sep:"none" placeholder:"RULE" help:"A rule, repeatable; the first has precedence: folder, column:NAME, keyword, keyword:a,b,c, creator, visual:K; with semantic=, style= or owner= in front to say of what kind the concepts are."`
	Catalogue       string   `short:"c" default:"main" placeholder:"NAME" help:"The catalogue's name; its version counts by itself."`
	MinWorks        int      `default:"1" placeholder:"N" help:"The least number of works a concept may have."`
	MaxConcepts     int      `default:"4" placeholder:"N" help:"The most concepts a work may have, 1 to 4."`
	Seed            string   `help:"Start of the search of visual:K."`
	IncludeReserved bool     `help:"Take works too that are reserved now by their files or the site, for this version only; which is kept with it. Never those that the bank's own table reserves. Better, with who consented, when and by what contract: 'filigrane import --consent'."`
}

// Help explains freezing.
func (freezeCmd) Help() string {
	return `Freezes catalogue@version: a list of works and concepts that never changes again and is what a licence binds. Concepts and works get numbers in the codebook, for good. If nothing changed since the last version, there is no new one.

Works whose metadata forbids training are left out and listed as reserved. Where their holders consented, record that with 'filigrane import --consent', or in a column data_mining of the table.

Example: filigrane concepts --by folder --by creator --by visual:8 --min-works 20 --catalogue spring`
}

// freezeJSON is the report of freezing.
type freezeJSON struct {
	Catalogue  string          `json:"catalogue"`
	Hash       string          `json:"hash"`
	New        bool            `json:"new"` // false: the latest version was the same
	Works      int             `json:"works"`
	Concepts   []conceptLine   `json:"concepts"`
	Remainders []remainderLine `json:"remainders"`
	Dropped    []leftOut       `json:"dropped"`
	Ungrouped  []leftOut       `json:"ungrouped"`
	Reserved   []string        `json:"reserved"`
	Codebook   codebookLine    `json:"codebook"`
}

type conceptLine struct {
	Number int                `json:"number"`
	ID     concepts.ConceptID `json:"id"`
	Kind   concepts.Kind      `json:"kind"`
	Name   string             `json:"name"`
	Works  int                `json:"works"`
}

type remainderLine struct {
	ID     concepts.ConceptID `json:"id"`
	Name   string             `json:"name"`
	Works  int                `json:"works"`
	Reason string             `json:"reason"`
}

type leftOut struct {
	Work    concepts.WorkID    `json:"work"`
	Concept concepts.ConceptID `json:"concept,omitempty"`
	Reason  string             `json:"reason"`
}

type codebookLine struct {
	Concepts int `json:"concepts"`
	Works    int `json:"works"`
}

// Run groups and freezes.
func (c *freezeCmd) Run(s *session) error {
	if len(c.By) == 0 {
		return badInput("no rule: give --by folder, --by creator, --by keyword:a,b, --by column:NAME or --by visual:8")
	}
	rules, err := concepts.ParseRules(c.By)
	if err != nil {
		return inputError{err}
	}
	if ref, err := workspace.ParseRef(c.Catalogue); err != nil || ref.Version != 0 {
		return badInput("--catalogue %s: give a name of letters, digits, '.', '_' and '-' without a version; it counts by itself", c.Catalogue)
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	works, taken, left, err := c.works(s, r, rules)
	if err != nil {
		return err
	}
	g, err := concepts.Group(works, rules, concepts.Options{MinWorks: c.MinWorks, MaxConcepts: c.MaxConcepts, Seed: c.Seed})
	if err != nil {
		return inputError{err}
	}
	story := workspace.Story{MinWorks: c.MinWorks, MaxConcepts: c.MaxConcepts, Seed: c.Seed, Remainders: g.Remainders, Dropped: g.Dropped, Ungrouped: g.Ungrouped,
		Taken: taken}
	for _, r := range rules {
		story.Rules = append(story.Rules, r.String())
	}
	cat := concepts.Catalogue{Name: c.Catalogue, Works: works, Concepts: g.Concepts, Memberships: g.Memberships}
	frozen, isNew, err := r.freeze(s, cat, story)
	if err != nil {
		return err
	}
	book, err := r.book(s)
	if err != nil {
		return err
	}
	return c.report(s, frozen, book, isNew, left)
}

// works gives the works to group, with descriptors if a rule looks at them; which of them were taken although they are
// reserved, by ID; and the paths of those left out because they are. Missing and recalled ones are no works to group.
func (c *freezeCmd) works(s *session, r *records, rules []concepts.Rule) (works []concepts.Work, taken []concepts.WorkID, left []string, err error) {
	active, err := r.worksIn(s, registry.Active)
	if err != nil {
		return nil, nil, nil, err
	}
	held, err := r.worksIn(s, registry.Reserved)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, w := range active {
		works = append(works, w.Work)
	}
	left = []string{}
	for chunk := range slices.Chunk(held, registry.MostPerPage) {
		page := make([]concepts.Work, len(chunk))
		for i, w := range chunk {
			page[i] = w.Work
		}
		by, err := jobs.ReservedBy(s.ctx, r.reg, r.scope, page)
		if err != nil {
			return nil, nil, nil, err
		}
		for _, w := range page {
			if c.IncludeReserved && by[w.ID] != registry.ByTable {
				works, taken = append(works, w), append(taken, w.ID)
			} else {
				left = append(left, w.Path)
			}
		}
	}
	sort.Strings(left)
	slices.Sort(taken)
	if len(works) == 0 {
		return nil, nil, nil, badInput("no works to group (%d reserved from training): run 'filigrane import' first", len(left))
	}
	for _, rule := range rules {
		if rule.By == concepts.ByVisual {
			return works, taken, left, r.describe(s, works)
		}
	}
	return works, taken, left, nil
}

// describe adds descriptors to works, measuring and keeping those that are not known yet.
func (r *records) describe(s *session, works []concepts.Work) error {
	var todo []int
	at := map[concepts.WorkID]int{}
	for i, w := range works {
		at[w.ID] = i
	}
	for chunk := range slices.Chunk(works, registry.MostPerPage) {
		ids := make([]concepts.WorkID, len(chunk))
		for i, w := range chunk {
			ids[i] = w.ID
		}
		visual, err := r.reg.DescriptorsOf(s.ctx, r.scope, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if works[at[id]].Visual = visual[id]; visual[id] == nil {
				todo = append(todo, at[id])
			}
		}
	}
	if len(todo) == 0 {
		return nil
	}
	m, err := r.masters(s)
	if err != nil {
		return err
	}
	defer m.Close()
	bar := s.progress("looking at pictures", len(todo))
	defer bar.done()
	for chunk := range slices.Chunk(todo, 256) { // what is measured is kept, so that a run that was killed goes on
		if err := r.measure(s, m, works, chunk, bar); err != nil {
			return err
		}
	}
	return nil
}

// measure measures the descriptors of some works and keeps them.
func (r *records) measure(s *session, m *masters, works []concepts.Work, todo []int, bar *progress) error {
	errs := make([]error, len(todo))
	eachOf(s.ctx, s.jobs(), len(todo), func(k int) {
		w := &works[todo[k]]
		var p *raster.Picture
		if p, errs[k] = m.picture(s.ctx, *w); errs[k] == nil {
			w.Visual = concepts.Descriptor(p.Image)
		}
		bar.add(1)
	})
	if err := s.ctx.Err(); err != nil {
		return err
	}
	visual := map[concepts.WorkID][]float64{}
	for _, i := range todo {
		if works[i].Visual != nil {
			visual[works[i].ID] = works[i].Visual
		}
	}
	if _, err := r.reg.PutDescriptors(s.ctx, r.scope, visual); err != nil {
		return err
	}
	for k, err := range errs {
		if err != nil {
			return badInput("work %s cannot be read any more; run 'filigrane import' again: %w", works[todo[k]].Path, err)
		}
	}
	return nil
}

// freeze keeps a catalogue as the next version of its name, with its story and its numbers in the codebook, unless the
// latest version holds the same. One for which other works were taken although they are reserved is not the same: how a
// version came about is never told anew, and delivery excuses what it tells.
func (r *records) freeze(s *session, cat concepts.Catalogue, story workspace.Story) (*workspace.Catalogue, bool, error) {
	all, err := r.versions(s)
	if err != nil {
		return nil, false, err
	}
	var latest registry.CatalogueVersion
	for _, v := range all {
		if v.Name == cat.Name {
			latest = v // they come by version
		}
	}
	if latest.Version > 0 {
		cat.Version = latest.Version
		same, err := cat.Freeze()
		if err != nil {
			return nil, false, inputError{err}
		}
		if same.Hash() == latest.Hash {
			c, err := r.loadCatalogue(s, latest.Ref)
			if err != nil || subset(story.Taken, c.Grouping.Taken) {
				return c, false, err
			}
		}
	}
	cat.Version++
	f, err := cat.Freeze()
	if err != nil {
		return nil, false, inputError{err}
	}
	text, err := json.Marshal(story)
	if err != nil {
		return nil, false, err
	}
	now := time.Now()
	err = r.reg.InTx(s.ctx, func(reg *registry.Registry) error {
		v, _, err := reg.AddCatalogue(s.ctx, r.scope, f, now)
		if err != nil {
			return err
		}
		if _, err := reg.PutStory(s.ctx, r.scope, v.Ref, text, now); err != nil {
			return err
		}
		return r.number(s, reg, f.Catalogue())
	})
	return &workspace.Catalogue{Frozen: f, Grouping: story}, true, err
}

// subset tells whether all of some works are among others, both in order.
func subset(some, others []concepts.WorkID) bool {
	return !slices.ContainsFunc(some, func(id concepts.WorkID) bool {
		_, found := slices.BinarySearch(others, id)
		return !found
	})
}

// number gives every concept and work of a catalogue a number.
func (r *records) number(s *session, reg *registry.Registry, cat concepts.Catalogue) error {
	var ids []concepts.ConceptID
	for _, c := range cat.Concepts {
		ids = append(ids, c.ID)
	}
	if _, err := reg.AssignConcepts(s.ctx, r.scope, mainBook, ids); err != nil {
		return full(err)
	}
	var works []concepts.WorkID
	for _, w := range cat.Works {
		works = append(works, w.ID)
	}
	_, err := reg.AssignWorks(s.ctx, r.scope, mainBook, works)
	return full(err)
}

// full makes a full codebook the caller's to mend.
func full(err error) error {
	if errors.Is(err, concepts.ErrCodebookFull) {
		return inputError{err}
	}
	return err
}

func (c *freezeCmd) report(s *session, f *workspace.Catalogue, book *concepts.Codebook, isNew bool, left []string) error {
	h := f.Hash()
	cat := f.Catalogue()
	rep := freezeJSON{Catalogue: refOf(f).String(), Hash: hex.EncodeToString(h[:]), New: isNew, Works: len(cat.Works),
		Concepts: conceptLines(f, book), Remainders: []remainderLine{}, Dropped: []leftOut{}, Ungrouped: []leftOut{}, Reserved: left,
		Codebook: codebookLine{book.Concepts(), book.Works()}}
	for _, r := range f.Grouping.Remainders {
		rep.Remainders = append(rep.Remainders, remainderLine{r.Concept.ID, r.Concept.Name, len(r.Works), r.Reason})
	}
	for _, d := range f.Grouping.Dropped {
		rep.Dropped = append(rep.Dropped, leftOut{d.Work, d.Concept, d.Reason})
	}
	for _, u := range f.Grouping.Ungrouped {
		rep.Ungrouped = append(rep.Ungrouped, leftOut{Work: u.Work, Reason: u.Reason})
	}
	s.note("%s: %d works in %d concepts; %d works in none, %d groups too small, %d reserved", rep.Catalogue, rep.Works, len(rep.Concepts), len(rep.Ungrouped), len(rep.Remainders), len(left))
	return s.emit(rep)
}

func conceptLines(f *workspace.Catalogue, book *concepts.Codebook) []conceptLine {
	lines := []conceptLine{}
	for _, c := range f.Catalogue().Concepts {
		n, _ := book.ConceptNumber(c.ID)
		lines = append(lines, conceptLine{n, c.ID, c.Kind, c.Name, len(f.WorksOf(c.ID))})
	}
	return lines
}

// catalogueAndBook opens a catalogue of the workspace with the numbers of its names.
func (s *session) catalogueAndBook(name string) (*workspace.Catalogue, *concepts.Codebook, error) {
	r, err := s.records()
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	f, err := r.catalogue(s, name)
	if err != nil {
		return nil, nil, err
	}
	book, err := r.book(s)
	return f, book, err
}

// listCmd is "filigrane concepts list".
type listCmd struct {
	Catalogue string `short:"c" placeholder:"NAME[@V]" help:"The catalogue; default is the latest version of the only one."`
}

// Help gives an example.
func (listCmd) Help() string { return `Example: filigrane concepts list --catalogue spring@2` }

// Run prints one line per concept.
func (c *listCmd) Run(s *session) error {
	f, book, err := s.catalogueAndBook(c.Catalogue)
	if err != nil {
		return err
	}
	for _, line := range conceptLines(f, book) {
		if err := s.emit(line); err != nil {
			return err
		}
	}
	return nil
}

// explainCmd is "filigrane concepts explain".
type explainCmd struct {
	Work      string `arg:"" help:"A work: its ID, number, or path below the masters' folder."`
	Catalogue string `short:"c" placeholder:"NAME[@V]" help:"The catalogue; default is the latest version of the only one."`
}

// Help gives an example.
func (explainCmd) Help() string {
	return `Example: filigrane concepts explain mountains/picos-trail.jpg`
}

// Run prints the work's concepts, those given up, and why.
func (c *explainCmd) Run(s *session) error {
	f, book, err := s.catalogueAndBook(c.Catalogue)
	if err != nil {
		return err
	}
	w, err := findWork(f.Frozen, book, c.Work)
	if err != nil {
		return inputError{err}
	}
	type reason struct {
		Number  int                `json:"number,omitempty"`
		Concept concepts.ConceptID `json:"concept,omitempty"`
		Rule    string             `json:"rule,omitempty"`
		Why     string             `json:"why"`
	}
	n, _ := book.WorkNumber(w.ID)
	cat := f.Catalogue()
	out := struct {
		Work      concepts.WorkID `json:"work"`
		Number    int             `json:"number"`
		Path      string          `json:"path"`
		Catalogue string          `json:"catalogue"`
		Concepts  []reason        `json:"concepts"`
		LeftOut   []reason        `json:"left_out"`
	}{w.ID, n, w.Path, refOf(f).String(), []reason{}, []reason{}}
	for _, m := range cat.Memberships {
		if m.Work == w.ID {
			number, _ := book.ConceptNumber(m.Concept)
			out.Concepts = append(out.Concepts, reason{number, m.Concept, m.Rule, m.Why})
		}
	}
	for _, d := range f.Grouping.Dropped {
		if d.Work == w.ID {
			out.LeftOut = append(out.LeftOut, reason{0, d.Concept, d.Rule, d.Reason})
		}
	}
	for _, r := range f.Grouping.Remainders {
		for _, id := range r.Works {
			if id == w.ID {
				out.LeftOut = append(out.LeftOut, reason{0, r.Concept.ID, "", r.Reason})
			}
		}
	}
	for _, u := range f.Grouping.Ungrouped {
		if u.Work == w.ID {
			out.LeftOut = append(out.LeftOut, reason{Why: u.Reason})
		}
	}
	return s.emit(out)
}

var errNoWork = errors.New("no such work")

// findWork finds a work by ID, path or number.
func findWork(f *concepts.Frozen, book *concepts.Codebook, text string) (concepts.Work, error) {
	if w, ok := f.Work(concepts.WorkID(text)); ok {
		return w, nil
	}
	slash := strings.TrimPrefix(filepath.ToSlash(text), "./")
	for _, w := range f.Catalogue().Works {
		if w.Path == slash {
			return w, nil
		}
	}
	if n, err := strconv.Atoi(text); err == nil {
		if id, ok := book.WorkName(n); ok {
			if w, ok := f.Work(id); ok {
				return w, nil
			}
		}
	}
	cat := f.Catalogue()
	return concepts.Work{}, badInput("%w %q in %s@%d: give an ID, a path below the masters' folder, or a number", errNoWork, text, cat.Name, cat.Version)
}
