package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
	banktable "github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/intake"
	"github.com/filigrane/filigrane/internal/registry"
)

// mostShown bounds each list of a report. "cut" says which lists went on, and which verb has the rest.
const mostShown = 1000

// importJSON is the report of an import. Lists have at most mostShown lines; counts count all.
type importJSON struct {
	Root      string         `json:"root"`
	Works     int64          `json:"works"` // usable now
	Added     int            `json:"added"`
	Changed   int            `json:"changed"`
	Moved     int            `json:"moved"`
	Updated   int            `json:"updated"` // the same bytes, and the table or the site says something else
	Unchanged int            `json:"unchanged"`
	Missing   []string       `json:"missing"`  // all files that are missing now
	Reserved  []reservedJSON `json:"reserved"` // all works that are reserved now
	Lifted    int            `json:"lifted"`   // works a consent set free
	Unsure    int            `json:"unsure"`   // known files of which the place told nothing, among the refusals
	Refused   map[string]int `json:"refused"`  // by kind
	Refusals  []refusalJSON  `json:"refusals"`
	Todos     map[string]int `json:"todos"` // by field, of the works that were read
	Conflicts []conflictJSON `json:"conflicts"`
	Table     *tableJSON     `json:"table,omitempty"`
	Written   writtenJSON    `json:"written"`
	BytesRead int64          `json:"bytes_read"`
	Seconds   float64        `json:"seconds"`
	Cut       []cutJSON      `json:"cut,omitempty"`
}

// refusalJSON is a file that was not taken.
type refusalJSON struct {
	File   string `json:"file"`
	Exact  []byte `json:"exact,omitempty"` // the name in base64 where it is no UTF-8
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// reservedJSON is a work on which training is reserved, with the word that does so.
type reservedJSON struct {
	File     string `json:"file"`
	Work     string `json:"work"`
	Protocol string `json:"protocol"`
	Value    string `json:"value"`
	Detail   string `json:"detail"`
	SaidOf   string `json:"said_of,omitempty"` // another name of the same bytes, where the word is about that
}

// writtenJSON counts the rows of the registry that an import changed; all zero where it changed nothing.
type writtenJSON struct {
	Added   int `json:"added"`
	Changed int `json:"changed"`
	Removed int `json:"removed"`
}

// cutJSON is a list that was cut.
type cutJSON struct {
	List  string `json:"list"`
	Shown int    `json:"shown"`
	Rest  string `json:"rest"` // the verb that has all of it
}

// tableJSON says how the bank's table fits the files.
type tableJSON struct {
	Rows            int64         `json:"rows"`
	JoinedBy        string        `json:"joined_by"`
	Encoding        string        `json:"encoding"`
	Bad             int64         `json:"bad_rows"`
	Problems        []problemJSON `json:"problems"`
	NoFile          int64         `json:"rows_without_file_count"`
	RowsWithoutFile []string      `json:"rows_without_file"`
	NoRow           int           `json:"files_without_row_count"`
	FilesWithoutRow []string      `json:"files_without_row"`
}

type problemJSON struct {
	Line   int64  `json:"line"`
	Detail string `json:"detail"`
}

type conflictJSON struct {
	File    string `json:"file"`
	Line    int64  `json:"line"`
	Field   string `json:"field"`
	InFile  string `json:"in_file"`
	InTable string `json:"in_table"`
}

func refusalOf(name, kind, detail string) refusalJSON {
	f := refusalJSON{File: strings.ToValidUTF8(name, "\ufffd"), Kind: kind, Detail: detail}
	if f.File != name {
		f.Exact = []byte(name)
	}
	return f
}

// tell prints the report.
func (c *importCmd) tell(s *session, r *records, from *origin, opt intake.Options, rep intake.Report, began time.Time) error {
	j := importJSON{Root: from.root, Works: rep.States[registry.Active], Added: rep.Added, Changed: rep.Summary.Changed, Moved: rep.Moved, Updated: rep.Updated,
		Unchanged: rep.Unchanged, Lifted: rep.Lifted, Unsure: rep.Unsure, Missing: []string{}, Reserved: []reservedJSON{}, Refused: map[string]int{}, Refusals: []refusalJSON{}, Todos: rep.TodoFields, Conflicts: []conflictJSON{},
		Written: writtenJSON{rep.Written.Added, rep.Written.Changed, rep.Written.Removed}, BytesRead: rep.BytesRead}
	for kind, n := range rep.RefusedKinds {
		j.Refused[string(kind)] = n
	}
	for _, f := range rep.Refusals {
		j.Refusals = append(j.Refusals, refusalOf(f.Name, string(f.Kind), f.Detail))
	}
	for _, x := range rep.Conflicts {
		j.Conflicts = append(j.Conflicts, conflictJSON{x.Name, x.Line, x.Field, x.InFile, x.InTable})
	}
	j.cut("refusals", len(j.Refusals), rep.Refused > len(j.Refusals), "filigrane refusals")
	j.cut("conflicts", len(j.Conflicts), rep.Summary.Conflicts > len(j.Conflicts), "none: make file and table agree, and import again")
	if err := j.now(s, r); err != nil {
		return err
	}
	var err error
	if j.Table, err = tableReport(opt, rep); err != nil {
		return err
	}
	j.Seconds = float64(time.Since(began).Milliseconds()) / 1000
	if taken(rep) > 0 {
		if _, err := r.reg.SetMasters(s.ctx, r.scope, from.root, began); err != nil {
			return err
		}
	}
	if rep.WroteNothing() {
		s.note("nothing has changed")
	}
	s.note("%d works; %d refused, %d missing, %d reserved from training", j.Works, rep.Refused, rep.States[registry.Missing], rep.States[registry.Reserved])
	if rep.Unsure > 0 {
		s.note("%d known files could not be read, or were not listed though they are there: their works stay what they were; 'filigrane refusals' says why; import again", rep.Unsure)
	}
	if err := s.emit(j); err != nil {
		return err
	}
	if taken(rep) == 0 {
		return badInput("no usable picture in %s; the refusals say why", from.shown)
	}
	return nil
}

func (j *importJSON) cut(list string, shown int, more bool, rest string) {
	if more {
		j.Cut = append(j.Cut, cutJSON{list, shown, rest})
	}
}

// now lists what is missing and reserved, whenever that was found.
func (j *importJSON) now(s *session, r *records) error {
	gone, err := r.reg.MissingObjects(s.ctx, r.scope, registry.Page{Limit: mostShown})
	if err != nil {
		return err
	}
	for _, o := range gone.Items {
		j.Missing = append(j.Missing, o.Name)
	}
	j.cut("missing", len(j.Missing), gone.Next != "", "filigrane works list --state missing")
	state := registry.Reserved
	works, err := r.reg.Works(s.ctx, r.scope, registry.WorkQuery{State: &state}, registry.Page{Limit: mostShown})
	if err != nil {
		return err
	}
	var ids []concepts.WorkID
	for _, w := range works.Items {
		ids = append(ids, w.ID)
	}
	found, err := r.reg.ReservationsOf(s.ctx, r.scope, ids)
	if err != nil {
		return err
	}
	words := map[concepts.WorkID]registry.Reservation{}
	for _, v := range found {
		if was, told := words[v.Work]; v.Protocol != intake.ProtocolConsent && (!told || was.Effect != "refuses" && v.Effect == "refuses") {
			words[v.Work] = v
		}
	}
	for _, w := range works.Items {
		v := words[w.ID]
		j.Reserved = append(j.Reserved, reservedJSON{w.Path, string(w.ID), v.Protocol, v.Value, v.Detail, v.Path})
	}
	slices.SortFunc(j.Reserved, func(a, b reservedJSON) int { return strings.Compare(a.File, b.File) })
	j.cut("reserved", len(j.Reserved), works.Next != "", "filigrane works list --state reserved, filigrane reservations")
	return nil
}

// tableReport says how the table fits; nil if there is none. Of an import of a part, rows about other parts are not counted.
func tableReport(opt intake.Options, rep intake.Report) (*tableJSON, error) {
	tab := opt.Ingest.Table
	if tab == nil {
		return nil, nil
	}
	t := &tableJSON{Rows: tab.Rows, JoinedBy: tab.Key, Encoding: tab.Encoding, Bad: tab.Bad, Problems: []problemJSON{}, RowsWithoutFile: []string{},
		NoRow: rep.WithoutRow, FilesWithoutRow: notNil(rep.NamesWithoutRow)}
	for _, p := range tab.Problems {
		t.Problems = append(t.Problems, problemJSON{p.Line, p.Text})
	}
	if opt.Folder != "" && tab.Key != banktable.FieldPath {
		return t, nil
	}
	err := tab.Unused(func(row banktable.Row) error {
		if !strings.HasPrefix(row.Key, opt.Folder) {
			return nil
		}
		if t.NoFile++; len(t.RowsWithoutFile) < mostShown {
			t.RowsWithoutFile = append(t.RowsWithoutFile, row.Key)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the table again: %w", err)
	}
	return t, nil
}
