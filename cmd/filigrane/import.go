package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/workspace"
)

// importCmd is "filigrane import".
type importCmd struct {
	Dir       string `arg:"" help:"The folder of masters, or one below it."`
	CSV       string `name:"csv" placeholder:"FILE" help:"The bank's table: a column \"file\" with paths below the folder of masters; title, creator, keywords, rights_holder and columns of your own. Kept in the workspace until another is given."`
	Checksum  bool   `help:"Read every file again, not only those whose size or time changed."`
	MoveRoot  bool   `help:"The masters have moved: DIR is the new place of the whole folder."`
	refusals  []refusalJSON
	saveEvery time.Duration
}

// Help explains what is and is not taken.
func (importCmd) Help() string {
	return `Pictures are recognised by their content. Title, creator, keywords and rights come from XMP, IPTC and EXIF; the table has the last word. Files that cannot be used are listed with a reason: truncated, cmyk, animated, too_large, not_an_image, hidden, duplicate and so on. They do not change the exit code as long as one picture was taken.

Importing again only reads what changed and says what was added, changed, moved, and is missing.

Example: filigrane import /photos --csv /photos/metadata.csv`
}

// refusalJSON is a file that was not taken.
type refusalJSON struct {
	File   string `json:"file"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// importJSON is the report of an import.
type importJSON struct {
	Root      string        `json:"root"`
	Works     int           `json:"works"` // usable now
	Added     int           `json:"added"`
	Changed   int           `json:"changed"`
	Moved     int           `json:"moved"`
	Unchanged int           `json:"unchanged"`
	Missing   []string      `json:"missing"`
	Reserved  []string      `json:"reserved"` // works whose metadata forbids training
	Refusals  []refusalJSON `json:"refusals"`
	Table     *tableJSON    `json:"table,omitempty"`
}

// tableJSON says how the bank's table fits the files.
type tableJSON struct {
	Rows            int            `json:"rows"`
	RowsWithoutFile []string       `json:"rows_without_file"`
	FilesWithoutRow []string       `json:"files_without_row"`
	Conflicts       []conflictJSON `json:"conflicts"`
}

type conflictJSON struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Field   string `json:"field"`
	InFile  string `json:"in_file"`
	InTable string `json:"in_table"`
}

// Run imports.
func (c *importCmd) Run(s *session) error {
	if c.saveEvery == 0 {
		c.saveEvery = 30 * time.Second
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	release, err := r.ws.Lock("filigrane " + s.verb)
	if err != nil {
		return err
	}
	defer release()
	dir, root, err := c.place(s, r)
	if err != nil {
		return err
	}
	old, err := c.known(s, r)
	if err != nil {
		return err
	}
	w := &walker{root: root, own: ownPaths(s, r)}
	if c.CSV != "" {
		w.own[realPath(c.CSV)] = true // a table among the pictures is no refusal
	}
	if err := w.walk(dir); err != nil {
		return err
	}
	c.refusals = w.refusals
	if len(w.files) == 0 {
		return badInput("no file in %s can be a picture (%d refused); check the folder", dir, len(c.refusals))
	}
	if c.CSV != "" {
		text, err := os.ReadFile(c.CSV)
		if err != nil {
			return badInput("--csv: %w", err)
		}
		if _, err := concepts.ReadMetadataCSV(bytes.NewReader(text)); err != nil {
			return badInput("--csv %s: %w", c.CSV, err)
		}
		if _, err := r.reg.SetBankTable(s.ctx, r.scope, text, time.Now()); err != nil {
			return err
		}
	}
	m := newMerger(old, w.below(dir), c.Checksum)
	if err := c.readAll(s, r, root, w.files, m); err != nil {
		return err
	}
	return c.finish(s, r, root, m)
}

// known gives the works of the registry as records.
func (c *importCmd) known(s *session, r *records) (old []workspace.Record, err error) {
	err = each(func(p registry.Page) (registry.List[registry.Work], error) {
		return r.reg.Works(s.ctx, r.scope, registry.WorkQuery{}, p)
	}, func(w registry.Work) error {
		old = append(old, workspace.Record{ID: w.ID, Path: w.Path, SHA256: w.SHA256, Bytes: w.Bytes, Width: w.Width, Height: w.Height, Format: w.Format, Title: w.Title,
			Creator: w.Creator, Keywords: w.Keywords, RightsHolder: w.RightsHolder, Columns: w.Columns, Missing: w.State == registry.Missing})
		return nil
	})
	slices.SortStableFunc(old, func(a, b workspace.Record) int { // of several at one path the one that is there counts
		return cmp.Compare(btoi(b.Missing), btoi(a.Missing))
	})
	return old, err
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// save keeps records in the registry, joined with the table, and gives the joined works.
func (c *importCmd) save(s *session, r *records, root string, list []workspace.Record) (joined concepts.Joined, err error) {
	now := time.Now()
	if _, err := r.reg.SetMasters(s.ctx, r.scope, root, now); err != nil {
		return joined, err
	}
	bytesOf, missing := map[concepts.WorkID]int64{}, map[concepts.WorkID]bool{}
	for _, rec := range list {
		if rec.Missing {
			missing[rec.ID] = true
			continue
		}
		bytesOf[rec.ID] = rec.Bytes
		joined.Works = append(joined.Works, rec.Work())
	}
	if table, has, err := c.table(s, r); err != nil {
		return joined, err
	} else if has {
		if joined, err = concepts.Join(joined.Works, table); err != nil {
			return joined, inputError{err}
		}
	}
	for chunk := range slices.Chunk(joined.Works, registry.MostPerPage) {
		var works []registry.Work
		for _, w := range chunk {
			works = append(works, registry.Work{Work: w, Bytes: bytesOf[w.ID]})
		}
		if _, err := r.reg.PutWorks(s.ctx, r.scope, works, now); err != nil {
			return joined, err
		}
	}
	return joined, c.states(s, r, joined.Works, missing, now)
}

// states sets the states of works, but not of recalled ones.
func (c *importCmd) states(s *session, r *records, there []concepts.Work, missing map[concepts.WorkID]bool, now time.Time) error {
	want := map[concepts.WorkID]registry.WorkState{}
	for id := range missing {
		want[id] = registry.Missing
	}
	for _, w := range there {
		if want[w.ID] = registry.Active; reserved(w) {
			want[w.ID] = registry.Reserved
		}
	}
	ids := map[registry.WorkState][]concepts.WorkID{}
	err := each(func(p registry.Page) (registry.List[registry.Work], error) {
		return r.reg.Works(s.ctx, r.scope, registry.WorkQuery{}, p)
	}, func(w registry.Work) error {
		state, found := want[w.ID]
		if !found {
			state = registry.Missing
		}
		if w.State != registry.Recalled && w.State != state {
			ids[state] = append(ids[state], w.ID)
		}
		return nil
	})
	for state, list := range ids {
		for chunk := range slices.Chunk(list, registry.MostPerPage) {
			if err == nil {
				_, err = r.reg.SetWorkState(s.ctx, r.scope, chunk, state, now)
			}
		}
	}
	return err
}

// table gives the bank's table, and whether there is one.
func (c *importCmd) table(s *session, r *records) (m concepts.Metadata, has bool, err error) {
	text, has, err := r.reg.BankTable(s.ctx, r.scope)
	if err == nil && has {
		m, err = concepts.ReadMetadataCSV(bytes.NewReader(text))
	}
	return m, has, err
}

// place gives the folder to walk and the root it belongs to, both absolute and without links.
func (c *importCmd) place(s *session, r *records) (dir, root string, err error) {
	abs, err := filepath.Abs(c.Dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return "", "", badInput("folder %s: %w", c.Dir, err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", "", badInput("%s is not a folder; name the folder that holds the masters", c.Dir)
	}
	if root, err = r.reg.Masters(s.ctx, r.scope); err != nil {
		return "", "", err
	}
	if root == "" || c.MoveRoot {
		root = dir
	}
	if dir != root && !strings.HasPrefix(dir, strings.TrimSuffix(root, string(filepath.Separator))+string(filepath.Separator)) {
		return "", "", badInput("%s is not in %s, where this workspace's masters lie; import a folder below it, use another workspace, or --move-root if the masters have moved", dir, root)
	}
	return dir, root, nil
}

// ownPaths lists what below a folder of masters is not a master: the workspace's own files and deliveries.
func ownPaths(s *session, r *records) map[string]bool {
	own := map[string]bool{}
	for _, name := range workspace.OwnNames() {
		own[filepath.Join(realPath(r.ws.Dir()), name)] = true
	}
	if ms, err := r.markings(s); err == nil {
		for _, m := range ms {
			if m.Place != "" && !inBucket(m.Place) {
				own[realPath(m.Place)] = true
			}
		}
	}
	return own
}

// realPath makes a path absolute and follows its links, as far as it exists.
func realPath(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	if r, err := filepath.EvalSymlinks(p); err == nil {
		return r
	}
	return p
}

// readAll reads what is new or changed, several files at once, and saves what is known every now and then.
func (c *importCmd) readAll(s *session, r *records, root string, files []found, m *merger) error {
	todo := m.todo(files)
	bar := s.progress("reading pictures", len(todo))
	defer bar.done()
	saved := time.Now()
	err := inOrder(s.ctx, s.jobs(), len(todo), func(i int) result { return readWork(todo[i]) }, func(_ int, read result) error {
		bar.add(1)
		m.take(read)
		if time.Since(saved) < c.saveEvery {
			return nil
		}
		saved = time.Now()
		_, err := c.save(s, r, root, m.records(false))
		return err
	})
	if err == nil {
		err = s.ctx.Err()
	}
	return err
}

// finish saves, joins the table and prints the report.
func (c *importCmd) finish(s *session, reg *records, root string, m *merger) error {
	records := m.records(true)
	c.refusals = append(c.refusals, m.refusals...)
	sort.Slice(c.refusals, func(i, k int) bool { return c.refusals[i].File < c.refusals[k].File })
	rep := importJSON{Root: root, Added: m.added, Changed: m.changed, Moved: m.moved, Unchanged: m.unchanged,
		Missing: notNil(m.missing), Reserved: []string{}, Refusals: notNil(c.refusals)}
	for _, r := range records {
		if !r.Missing {
			rep.Works++
		}
	}
	if rep.Works == 0 {
		if err := s.emit(rep); err != nil {
			return err
		}
		return badInput("no usable picture in %s; nothing was changed; the refusals say why", c.Dir)
	}
	joined, err := c.save(s, reg, root, records)
	if err != nil {
		return err
	}
	table, has, err := c.table(s, reg)
	if err != nil {
		return err
	}
	if has {
		rep.Table = tableReport(table, joined)
	}
	for _, w := range joined.Works {
		if reserved(w) {
			rep.Reserved = append(rep.Reserved, w.Path)
		}
	}
	s.note("%d works; %d refused, %d missing, %d reserved from training", rep.Works, len(rep.Refusals), len(rep.Missing), len(rep.Reserved))
	return s.emit(rep)
}

func tableReport(table concepts.Metadata, j concepts.Joined) *tableJSON {
	t := &tableJSON{Rows: len(table.Rows), RowsWithoutFile: []string{}, FilesWithoutRow: notNil(j.FilesWithoutRow), Conflicts: []conflictJSON{}}
	for _, r := range j.RowsWithoutFile {
		t.RowsWithoutFile = append(t.RowsWithoutFile, r.File)
	}
	for _, c := range j.Conflicts {
		t.Conflicts = append(t.Conflicts, conflictJSON{c.Path, c.Line, c.Field, c.InFile, c.InTable})
	}
	return t
}

// notNil makes an empty list of none, so that JSON shows [] and not null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// dataMining is the column that holds plus:DataMining, a rights holder's word on machine learning.
const dataMining = "data_mining"

// reserved tells whether a work's metadata, or the table's column data_mining in its stead, forbids training:
// a value of the PLUS vocabulary that begins with DMI-PROHIBITED, by its name or URI.
func reserved(w concepts.Work) bool {
	return strings.Contains(strings.ToUpper(w.Column(dataMining)), "DMI-PROHIBITED")
}

// result is what reading one file gave: a record or an error.
type result struct {
	file   found
	record workspace.Record
	err    error
}

// readWork reads a file in full: only that shows whether it is whole.
func readWork(f found) result {
	data, err := readLimited(f.abs, raster.DefaultLimits().MaxBytes)
	if err != nil {
		return result{file: f, err: err}
	}
	p, err := raster.Decode(data, raster.DefaultLimits())
	if err != nil {
		return result{file: f, err: err}
	}
	sum := sha256.Sum256(data)
	tags, b := p.Tags(), p.Image.Bounds()
	rec := workspace.Record{ID: concepts.NewWorkID(sum), Path: f.rel, SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(data)), Modified: f.modified,
		Width: b.Dx(), Height: b.Dy(), Format: string(p.Format), Title: tags.Title, Creator: tags.Creator, Keywords: tags.Keywords, RightsHolder: tags.RightsHolder}
	for _, c := range []concepts.Column{{Name: "copyright", Value: tags.Copyright}, {Name: dataMining, Value: tags.DataMining}, {Name: "usage_terms", Value: tags.UsageTerms}} {
		if c.Value != "" {
			rec.Columns = append(rec.Columns, c)
		}
	}
	return result{file: f, record: rec}
}

// refuse turns an error about a file into a line of the report.
func refuse(f found, err error) refusalJSON {
	var e *raster.Error
	if errors.As(err, &e) {
		return refusalJSON{f.rel, string(e.Kind), e.Detail}
	}
	return refusalJSON{f.rel, "refused", fmt.Sprint(err)}
}
