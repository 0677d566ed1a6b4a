package concepts

import (
	"fmt"
	"sort"

	"golang.org/x/text/unicode/norm"
)

// OwnerConflict is a file whose table row names another rights holder or creator than the file itself.
type OwnerConflict struct {
	Work WorkID
	Path string
	Line int
	// Field is "creator" or "rights_holder".
	Field, InFile, InTable string
}

// Joined is the outcome of [Join].
type Joined struct {
	// Works are all works given, in the order given, with the table's values where it has any.
	Works []Work
	// RowsWithoutFile and FilesWithoutRow (paths, sorted) found no partner. Never silent: show them.
	RowsWithoutFile []Row
	FilesWithoutRow []string
	// Conflicts were decided for the table; show them too.
	Conflicts []OwnerConflict
}

// Join completes works by the rows of a table, matched by path in Unicode NFC (file systems disagree on
// composing accents), case-sensitively. A value of the table replaces the work's; an empty one does not.
// The inputs are not modified. It returns an error if two works have the same path.
func Join(works []Work, m Metadata) (Joined, error) {
	rows := make(map[string]Row, len(m.Rows))
	for _, r := range m.Rows {
		rows[norm.NFC.String(r.File)] = r
	}
	used := make(map[string]bool, len(works))
	var j Joined
	for _, w := range works {
		key := norm.NFC.String(w.Path)
		if used[key] {
			return Joined{}, fmt.Errorf("concepts: two works have the path %q (compared in Unicode NFC): rename one of the files", w.Path)
		}
		used[key] = true
		row, ok := rows[key]
		if !ok {
			j.FilesWithoutRow = append(j.FilesWithoutRow, w.Path)
		} else {
			w = j.complete(w, row)
		}
		j.Works = append(j.Works, w)
	}
	for _, r := range m.Rows {
		if !used[norm.NFC.String(r.File)] {
			j.RowsWithoutFile = append(j.RowsWithoutFile, r)
		}
	}
	sort.Strings(j.FilesWithoutRow)
	return j, nil
}

func (j *Joined) complete(w Work, r Row) Work {
	owner := func(field, inFile, inTable string) string {
		if inTable == "" {
			return inFile
		}
		if inFile != "" && identity(inFile) != identity(inTable) {
			j.Conflicts = append(j.Conflicts, OwnerConflict{w.ID, w.Path, r.Line, field, inFile, inTable})
		}
		return inTable
	}
	w.Creator = owner("creator", w.Creator, r.Creator)
	w.RightsHolder = owner("rights_holder", w.RightsHolder, r.RightsHolder)
	if r.Title != "" {
		w.Title = r.Title
	}
	if len(r.Keywords) > 0 {
		w.Keywords = append([]string(nil), r.Keywords...)
	}
	w.Columns = mergeColumns(w.Columns, r.Columns)
	return w
}

// mergeColumns lets b replace the columns of a that have the same identity; the result is sorted.
func mergeColumns(a, b []Column) []Column {
	var out []Column
	named := map[string]bool{}
	for _, c := range b {
		named[identity(c.Name)] = true
		out = append(out, c)
	}
	for _, c := range a {
		if !named[identity(c.Name)] {
			out = append(out, c)
		}
	}
	sort.Slice(out, func(i, k int) bool { return out[i].Name < out[k].Name })
	return out
}
