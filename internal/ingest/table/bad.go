package table

import (
	"fmt"
	"slices"
	"strings"
)

// cell is a value of a row that is being read; column is its number among Table.Columns, or past them.
type cell struct {
	column int
	text   string
}

// unreadable stands for a value that could not be read. No value that can be kept is it.
const unreadable = "\x00"

func cellsOf(record []string) []cell {
	cells := make([]cell, len(record))
	for i, text := range record {
		cells[i] = cell{i, text}
	}
	return cells
}

// badRow is a row that is left out.
type badRow struct {
	line      int64
	why       error
	cells     []cell
	cut       bool // only its first columns could be read
	shifted   bool // it has more or fewer fields than there are columns: which is which is not known, and the key is a guess
	swallowed bool // it runs over several lines, which may have been rows
}

// setAside reports a row that is left out, and keeps for the file it names what it says on training.
func (t *Table) setAside(bad badRow) error {
	t.problem(bad.line, bad.why)
	row := Row{Line: bad.line, n: t.index.rows, bad: true, unread: bad.cut || bad.shifted}
	var columns []int
	mining := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Field == FieldDataMining })
	for _, v := range bad.cells {
		field := ""
		if v.column < len(t.Columns) {
			field = t.Columns[v.column].Field
		}
		text := strings.Join(strings.Fields(v.text), " ")
		wrong := checkField(v.text) != nil
		switch {
		case t.Key != "" && field == t.Key:
			if key, err := keyOf(t.Key, v.text); err == nil && !wrong {
				row.Key = key
			}
		case bad.shifted && mining >= 0 && !wrong && strings.Contains(strings.ToUpper(text), "DMI-PROHIBITED"):
			row.Fields, columns, row.unread = append(row.Fields, Field{FieldDataMining, text}), append(columns, mining), false
		case bad.shifted:
		case field == FieldDataMining:
			row.unread = wrong
			fallthrough
		case field == FieldConstraints:
			if !wrong && text != "" {
				row.Fields, columns = append(row.Fields, Field{field, text}), append(columns, v.column)
			}
		}
	}
	if row.Key == "" || bad.shifted || bad.swallowed {
		t.Unnamed++
	}
	if row.Key == "" || mining < 0 {
		return nil
	}
	return t.index.add(row, columns)
}

// Word is what a row says on training.
type Word struct {
	Line        int64
	Value       string // of the column data_mining; "" for nothing
	Constraints string
	Unread      bool // whatever it says could not be read
}

// Ambiguous is the error for a key that several different rows have, or a bad one.
type Ambiguous struct {
	Key   string
	Lines []int64 // of the first ten
	Words []Word  // all that differ, each with the first line it stands in
	bad   bool    // one of the rows was left out
}

func (a *Ambiguous) Error() string {
	lines := strings.Trim(fmt.Sprint(a.Lines), "[]")
	switch {
	case a.bad && len(a.Lines) == 1:
		return fmt.Sprintf("the table's row for %q (line %s) could not be read and was left out; mend it", a.Key, lines)
	case a.bad:
		return fmt.Sprintf("the table has several rows for %q (lines %s), and not all of them could be read; keep one", a.Key, lines)
	}
	return fmt.Sprintf("the table has several rows for %q that differ (lines %s); keep one", a.Key, lines)
}

// ambiguous makes the error of all rows of a key, in the table's order. More than are looked at say something that was not read.
func ambiguous(key string, rows []Row) *Ambiguous {
	a := &Ambiguous{Key: key}
	met := map[Word]bool{}
	say := func(w Word) {
		line := w.Line
		if w.Line = 0; met[w] {
			return
		}
		met[w] = true
		w.Line = line
		a.Words = append(a.Words, w)
	}
	for i, r := range rows {
		a.bad = a.bad || r.bad
		if i < 10 {
			a.Lines = append(a.Lines, r.Line)
		}
		for _, f := range r.Fields {
			if f.Name == FieldDataMining {
				say(Word{Line: r.Line, Value: f.Value, Constraints: r.Get(FieldConstraints)})
			}
		}
		if r.unread || i == maxSame {
			say(Word{Line: r.Line, Unread: true})
		}
	}
	return a
}
