package workspace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"

	"github.com/filigrane/filigrane/concepts"
)

// Record is one work as its file says; the bank's table is joined on reading ([Workspace.Works]).
type Record struct {
	ID     concepts.WorkID `json:"id"`
	Path   string          `json:"path"` // under Root, "/" between parts
	SHA256 string          `json:"sha256"`
	Bytes  int64           `json:"bytes"`
	// Modified is the file's time stamp in nanoseconds since 1970. With Bytes it tells, cheaply, that a file
	// is probably what it was.
	Modified     int64             `json:"modified"`
	Width        int               `json:"width"`
	Height       int               `json:"height"`
	Format       string            `json:"format"`
	Title        string            `json:"title,omitempty"`
	Creator      string            `json:"creator,omitempty"`
	Keywords     []string          `json:"keywords,omitempty"`
	RightsHolder string            `json:"rights_holder,omitempty"`
	Columns      []concepts.Column `json:"columns,omitempty"`
	// Missing says that the last import did not find the file, or could not use it.
	Missing bool `json:"missing,omitempty"`
	// Visual is concepts.Descriptor, once something asked for it.
	Visual []float64 `json:"visual,omitempty"`
}

// Work gives the record as a work.
func (r Record) Work() concepts.Work {
	return concepts.Work{ID: r.ID, Path: r.Path, SHA256: r.SHA256, Width: r.Width, Height: r.Height, Format: r.Format,
		Title: r.Title, Creator: r.Creator, Keywords: r.Keywords, RightsHolder: r.RightsHolder, Columns: r.Columns, Visual: r.Visual}
}

func (r Record) check() error {
	if err := r.ID.Check(); err != nil {
		return err
	}
	if err := concepts.CheckPath(r.Path); err != nil {
		return err
	}
	if !isHex(r.SHA256, 64) || r.Width < 1 || r.Height < 1 || r.Bytes < 1 || r.Format == "" {
		return fmt.Errorf("work %s: a hash, size or format is missing", r.ID)
	}
	return nil
}

const worksFormat = "filigrane works v1"

type worksHeader struct {
	Format string `json:"format"`
	Works  int    `json:"works"`
}

// Records gives all records, by path.
func (r *Workspace) Records() ([]Record, error) {
	name := r.path(worksFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	records, err := parseWorks(text)
	if err != nil {
		return nil, corrupt(name, err)
	}
	return records, nil
}

// parseWorks reads the text of a works.jsonl.
func parseWorks(text []byte) ([]Record, error) {
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) < 2 || len(lines[len(lines)-1]) > 0 {
		return nil, errors.New("the last line has no end")
	}
	lines = lines[:len(lines)-1]
	var head worksHeader
	if err := strictJSON(lines[0], &head); err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	if head.Format != worksFormat || head.Works != len(lines)-1 {
		return nil, fmt.Errorf("line 1 announces %q with %d works; there are %d", head.Format, head.Works, len(lines)-1)
	}
	records := make([]Record, 0, head.Works)
	for i, line := range lines[1:] {
		var rec Record
		err := strictJSON(line, &rec)
		if err == nil {
			err = rec.check()
		}
		if err == nil && i > 0 && records[i-1].Path >= rec.Path {
			err = fmt.Errorf("path %q is out of order or listed twice", rec.Path)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		records = append(records, rec)
	}
	return records, nil
}

// SaveRecords replaces all records. It refuses malformed ones and paths listed twice. Needs the lock.
func (r *Workspace) SaveRecords(records []Record) error {
	sorted := append([]Record(nil), records...)
	sort.Slice(sorted, func(i, k int) bool { return sorted[i].Path < sorted[k].Path })
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(worksHeader{worksFormat, len(sorted)}); err != nil {
		return err
	}
	for i, rec := range sorted {
		if err := rec.check(); err != nil {
			return err
		}
		if i > 0 && sorted[i-1].Path == rec.Path {
			return fmt.Errorf("workspace: path %q is listed twice", rec.Path)
		}
		if err := enc.Encode(rec); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return r.write(worksFile, b.Bytes(), 0o644)
}

// SaveTable replaces the bank's table, after checking that it can be read. Needs the lock.
func (r *Workspace) SaveTable(text []byte) error {
	if _, err := concepts.ReadMetadataCSV(bytes.NewReader(text)); err != nil {
		return err
	}
	return r.write(tableFile, text, 0o644)
}

// Table gives the bank's table, and whether there is one.
func (r *Workspace) Table() (concepts.Metadata, bool, error) {
	name := r.path(tableFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return concepts.Metadata{}, false, nil
	}
	if err != nil {
		return concepts.Metadata{}, false, err
	}
	m, err := concepts.ReadMetadataCSV(bytes.NewReader(text))
	if err != nil {
		return concepts.Metadata{}, false, corrupt(name, err)
	}
	return m, true, nil
}

// Works gives the works whose files were there at the last import, joined with the bank's table where there
// is one.
func (r *Workspace) Works() (concepts.Joined, error) {
	records, err := r.Records()
	if err != nil {
		return concepts.Joined{}, err
	}
	var works []concepts.Work
	for _, rec := range records {
		if !rec.Missing {
			works = append(works, rec.Work())
		}
	}
	table, ok, err := r.Table()
	if err != nil || !ok {
		return concepts.Joined{Works: works}, err
	}
	return concepts.Join(works, table)
}
