package concepts

import (
	"encoding/hex"
	"fmt"
	"sort"
	"unicode/utf8"
)

// WorkID identifies a work for good: 1 to 128 bytes of printable ASCII without space. By default
// [NewWorkID]; a bank may give its own.
type WorkID string

// NewWorkID returns the first 16 hex digits of the SHA-256 of a master's bytes. Among 10^6 works two
// different masters share an ID with probability 3e-8, among 10^8 with 3e-4; [Catalogue.Freeze] refuses
// a catalogue in which that happened.
func NewWorkID(sha256 [32]byte) WorkID { return WorkID(hex.EncodeToString(sha256[:8])) }

// Check returns an error if the ID does not have the documented form.
func (id WorkID) Check() error { return checkID("work", string(id)) }

// maxIDBytes bounds identifiers; a kind and a slug with its hash need at most 9 + 64 + 9.
const maxIDBytes = 128

func checkID(what, id string) error {
	if id == "" || len(id) > maxIDBytes {
		return fmt.Errorf("concepts: %s ID %.40q has %d bytes: give 1 to %d", what, id, len(id), maxIDBytes)
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return fmt.Errorf("concepts: %s ID %q: byte %d is not printable ASCII", what, id, i+1)
		}
	}
	return nil
}

// Column is a value of a bank's own table that this package has no field for.
type Column struct{ Name, Value string }

// Work is one image of a catalogue (the master), as the bank describes it. All text is UTF-8; empty
// means not known.
type Work struct {
	ID WorkID
	// Path is where the master lies under the catalogue's root: relative, "/" between parts, no "..".
	Path string
	// SHA256 is the hash of the master's bytes in 64 lower-case hex digits.
	SHA256 string
	// Width and Height are in pixels, as displayed.
	Width, Height int
	// Format is a short lower-case name: "jpeg", "png".
	Format         string
	Title, Creator string
	Keywords       []string
	// RightsHolder is who is paid, if it is not the creator.
	RightsHolder string
	// Columns are sorted by name, each name once.
	Columns []Column
	// Visual is the descriptor that "visual:K" groups by; any length, the same for all works. Nil if
	// not measured. See [Descriptor].
	Visual []float64
}

// Column returns the value of a column by name, "" if the work has none. Besides the bank's own columns,
// title, creator and rights_holder name the fields. Names are compared by identity (see the package).
func (w Work) Column(name string) string {
	key := identity(name)
	switch key {
	case "title":
		return w.Title
	case "creator":
		return w.Creator
	case "rights_holder":
		return w.RightsHolder
	}
	for _, c := range w.Columns {
		if identity(c.Name) == key {
			return c.Value
		}
	}
	return ""
}

// checkText returns an error if a text of the work is not UTF-8.
func (w Work) checkText() error {
	check := func(field, s string) error {
		if !utf8.ValidString(s) {
			return fmt.Errorf("concepts: work %s: %s %q is not UTF-8: convert it on import", w.ID, field, s)
		}
		return nil
	}
	fields := []Column{{"path", w.Path}, {"format", w.Format}, {"title", w.Title}, {"creator", w.Creator}, {"rights holder", w.RightsHolder}}
	for _, k := range w.Keywords {
		fields = append(fields, Column{"keyword", k})
	}
	for _, c := range w.Columns {
		fields = append(fields, Column{"column name", c.Name}, Column{"column " + c.Name, c.Value})
	}
	for _, f := range fields {
		if err := check(f.Name, f.Value); err != nil {
			return err
		}
	}
	return nil
}

// sortedWorks returns the works by ID, after checking IDs and text.
func sortedWorks(works []Work) ([]Work, error) {
	sorted := append([]Work(nil), works...)
	sort.SliceStable(sorted, func(i, j int) bool { return sorted[i].ID < sorted[j].ID })
	for i, w := range sorted {
		if err := w.ID.Check(); err != nil {
			return nil, fmt.Errorf("%w (file %q)", err, w.Path)
		}
		if i > 0 && sorted[i-1].ID == w.ID {
			return nil, fmt.Errorf("concepts: files %q and %q have the same work ID %s: list identical files once, or give them IDs",
				sorted[i-1].Path, w.Path, w.ID)
		}
		if err := w.checkText(); err != nil {
			return nil, err
		}
	}
	return sorted, nil
}
