package main

import (
	"encoding/hex"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/raster"
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
	IncludeReserved bool     `help:"Take works too whose metadata forbids training (plus:DataMining). Better: give the consent in a column data_mining of the table."`
}

// Help explains freezing.
func (freezeCmd) Help() string {
	return `Freezes catalogue@version: a list of works and concepts that never changes again and is what a licence binds. Concepts and works get numbers in the codebook, for good. If nothing changed since the last version, there is no new one.

Works whose metadata forbids training are left out and listed as reserved.

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
	ws, release, err := s.locked()
	if err != nil {
		return err
	}
	defer release()
	works, left, err := c.works(s, ws, rules)
	if err != nil {
		return err
	}
	g, err := concepts.Group(works, rules, concepts.Options{MinWorks: c.MinWorks, MaxConcepts: c.MaxConcepts, Seed: c.Seed})
	if err != nil {
		return inputError{err}
	}
	story := workspace.Story{MinWorks: c.MinWorks, MaxConcepts: c.MaxConcepts, Seed: c.Seed, Remainders: g.Remainders, Dropped: g.Dropped, Ungrouped: g.Ungrouped}
	for _, r := range rules {
		story.Rules = append(story.Rules, r.String())
	}
	cat := concepts.Catalogue{Name: c.Catalogue, Works: works, Concepts: g.Concepts, Memberships: g.Memberships}
	frozen, isNew, err := freeze(ws, cat, story)
	if err != nil {
		return err
	}
	book, err := ws.Codebook()
	if err != nil {
		return err
	}
	return c.report(s, frozen, book, isNew, left)
}

// works gives the works to group, with descriptors if a rule looks at them, and the paths of those left out
// because training is forbidden.
func (c *freezeCmd) works(s *session, ws *workspace.Workspace, rules []concepts.Rule) (works []concepts.Work, left []string, err error) {
	for _, r := range rules {
		if r.By == concepts.ByVisual {
			if err := describe(s, ws); err != nil {
				return nil, nil, err
			}
			break
		}
	}
	joined, err := ws.Works()
	if err != nil {
		return nil, nil, inputError{err}
	}
	left = []string{}
	for _, w := range joined.Works {
		if reserved(w) && !c.IncludeReserved {
			left = append(left, w.Path)
			continue
		}
		works = append(works, w)
	}
	if len(works) == 0 {
		return nil, nil, badInput("no works to group (%d reserved from training): run 'filigrane import' first", len(left))
	}
	return works, left, nil
}

// describe measures the descriptors that are not known yet and keeps them.
func describe(s *session, ws *workspace.Workspace) error {
	records, err := ws.Records()
	if err != nil {
		return err
	}
	var todo []int
	for i, r := range records {
		if !r.Missing && r.Visual == nil {
			todo = append(todo, i)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	bar := s.progress("looking at pictures", len(todo))
	var mu sync.Mutex
	var failed []error
	eachOf(s.ctx, s.jobs(), len(todo), func(k int) {
		r := &records[todo[k]]
		p, err := raster.DecodeFile(filepath.Join(ws.Root(), filepath.FromSlash(r.Path)), raster.DefaultLimits())
		if err == nil {
			r.Visual = concepts.Descriptor(p.Image)
		} else {
			mu.Lock()
			failed = append(failed, err)
			mu.Unlock()
		}
		bar.add(1)
	})
	bar.done()
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if err := ws.SaveRecords(records); err != nil {
		return err
	}
	if len(failed) > 0 {
		return badInput("%d works cannot be read any more; run 'filigrane import' again: %w", len(failed), failed[0])
	}
	return nil
}

// freeze writes the catalogue as the next version of its name, unless the latest holds the same.
func freeze(ws *workspace.Workspace, cat concepts.Catalogue, story workspace.Story) (*workspace.Catalogue, bool, error) {
	cat.Version = 1
	latest, err := ws.Catalogue(workspace.Ref{Name: cat.Name})
	if err != nil && workspace.KindOf(err) != workspace.KindUnknown {
		return nil, false, err
	}
	if err == nil {
		cat.Version = latest.Catalogue().Version
		same, err := cat.Freeze()
		if err != nil {
			return nil, false, inputError{err}
		}
		if same.Hash() == latest.Hash() {
			return latest, false, nil
		}
		cat.Version++
	}
	f, err := cat.Freeze()
	if err != nil {
		return nil, false, inputError{err}
	}
	book, err := ws.Codebook()
	if err != nil {
		return nil, false, err
	}
	if err := number(book, f.Catalogue()); err != nil {
		return nil, false, inputError{err}
	}
	c := &workspace.Catalogue{Frozen: f, Grouping: story}
	return c, true, ws.AddCatalogue(c, book)
}

// number gives every concept and work of a catalogue a number.
func number(book *concepts.Codebook, cat concepts.Catalogue) error {
	var ids []concepts.ConceptID
	for _, c := range cat.Concepts {
		ids = append(ids, c.ID)
	}
	if _, err := book.AssignConcepts(ids...); err != nil {
		return err
	}
	var works []concepts.WorkID
	for _, w := range cat.Works {
		works = append(works, w.ID)
	}
	_, err := book.AssignWorks(works...)
	return err
}

func (c *freezeCmd) report(s *session, f *workspace.Catalogue, book *concepts.Codebook, isNew bool, left []string) error {
	h := f.Hash()
	cat := f.Catalogue()
	rep := freezeJSON{Catalogue: workspace.Ref{Name: cat.Name, Version: cat.Version}.String(), Hash: hex.EncodeToString(h[:]), New: isNew, Works: len(cat.Works),
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
	ws, err := s.workspace()
	if err != nil {
		return nil, nil, err
	}
	f, err := catalogue(ws, name)
	if err != nil {
		return nil, nil, err
	}
	book, err := ws.Codebook()
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

// catalogue reads the catalogue that a flag names; "" is the latest version of the only one.
func catalogue(ws *workspace.Workspace, text string) (*workspace.Catalogue, error) {
	var ref workspace.Ref
	if text != "" {
		var err error
		if ref, err = workspace.ParseRef(text); err != nil {
			return nil, inputError{err}
		}
	}
	return ws.Catalogue(ref)
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
	}{w.ID, n, w.Path, workspace.Ref{Name: cat.Name, Version: cat.Version}.String(), []reason{}, []reason{}}
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
