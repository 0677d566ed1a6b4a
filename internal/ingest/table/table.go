// Package table reads a bank's table of metadata, CSV or JSON lines, of any length, and answers what it says of a file.
//
// # Forms
//
// CSV: comma, semicolon or tab between the fields (the one the first line uses most), quotes as RFC 4180 has them, first line
// the names of the columns. JSON lines: one object a line; a value is a text, number, true, false or a list of
// texts; null is no value. The text is UTF-8 with or without mark, UTF-16 with or without mark, or Windows-1252: which is
// found by looking at all of it, and said ([Table.Encoding]).
//
// # Columns
//
// A column is known by its name in English or French, whatever its case, accents and punctuation ([FieldOf]); a caller's own
// mapping goes first. Columns nobody knows are kept under their own names. A row is joined to a file by one column: the first
// of path, name and id that there is, or the one the caller names. Path is the file's path below the root, name its last
// part, id one of the identifiers the file carries. They are compared in Unicode NFC, with regard to case; every space of a
// path or name counts, as it does in a file system.
//
// # Bounds
//
// Rows go to files in a temporary folder. Memory is 16 MiB of buffers while reading, then 8 bytes for 256 rows and 1 bit a
// row: 1.6 MB for 10^7 rows. On disk a row takes what its text takes and some 30 bytes. A look-up reads 4 KiB and the row.
// A row of more than 1 MiB ends the reading, as it means a broken quote; all other bad rows are left out and reported with
// their lines, the first [MaxProblems] of them in words.
//
// # Bad rows
//
// What a row says on training is not lost with the row. Of rows about one file that differ, and of bad ones that name a file,
// nothing is taken but the column data_mining, as far as it can be read ([Ambiguous]); a table without that column says
// nothing of the kind. Bad rows that may be about a file they do not name are counted ([Table.Unnamed]).
//
// Look-ups may be made by several goroutines at once. The folder holds no state worth keeping: after a crash it may be deleted.
package table

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/filigrane/filigrane/concepts"
)

// Limits of a table.
const (
	maxColumns    = 256
	maxFieldBytes = 64 << 10
	maxRowBytes   = 1 << 20
	MaxProblems   = 1000
)

// Options says how to read a table. The zero value finds everything out by itself.
type Options struct {
	// Map gives columns a field by their names as written in the table: {"Bildtitel": "title"}. It goes before what FieldOf
	// says. An empty field leaves the column out.
	Map map[string]string
	// Key is the field rows are joined by: FieldPath, FieldName or FieldID.
	Key string
	// Encoding is one of the names Table.Encoding gives.
	Encoding string
	// TempDir is where the folder for the rows is made; "" means the system's.
	TempDir string
}

// Problem is a row that was left out.
type Problem struct {
	Line int64  `json:"line"` // where the row begins, counted from 1
	Text string `json:"text"`
}

// Field is a value of a row that is not empty. Name is one of the Field constants, with a number where the table has
// several ("rights_holder.2"), or the column's own name.
type Field struct{ Name, Value string }

// Row is what the table says of one file.
type Row struct {
	Line   int64
	Key    string // as joined by: in Unicode NFC
	Fields []Field
	n      int64 // number of the row
	bad    bool  // left out: Fields are what it says on training
	unread bool  // and that could not be read
}

// Get gives the value of a field, "" if there is none.
func (r Row) Get(name string) string {
	for _, f := range r.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Column is how a column of the table was understood.
type Column struct {
	Header string `json:"header"`
	Field  string `json:"field"` // "" for a column left out
	Known  bool   `json:"known"` // false if Field is the column's own name
}

// Table is a table that has been read. Close deletes its files.
type Table struct {
	Format    string // "csv" or "jsonl"
	Encoding  string // "utf-8", "utf-8 with mark", "utf-16le", "utf-16be" or "windows-1252"
	Delimiter string // of CSV
	Key       string // FieldPath, FieldName or FieldID
	Columns   []Column
	Rows      int64 // taken
	Bad       int64 // left out
	Unnamed   int64 // bad ones that may be about a file they do not name, or have swallowed others
	Problems  []Problem
	Bytes     int64 // of the rows on disk

	columns map[string]int // by header
	*index
}

// Read reads a table. Open is called twice or three times and gives the same bytes each time. Errors say what to do; the
// context's end is one of them.
func Read(ctx context.Context, open func() (io.ReadCloser, error), opt Options) (t *Table, err error) {
	t = &Table{columns: map[string]int{}}
	if t.Encoding, err = encodingOf(ctx, open, opt.Encoding); err != nil {
		return nil, err
	}
	in, err := open()
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	defer in.Close()
	text := bufio.NewReaderSize(decode(in, t.Encoding), 64<<10)
	if t.index, err = newIndex(opt.TempDir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.Close()
			t = nil
		}
	}()
	switch first := firstByte(text); first {
	case 0:
		return t, errors.New("table: the file is empty; its first line names the columns")
	case '{':
		t.Format = "jsonl"
		err = t.readJSONL(ctx, text, opt)
	case '[':
		return t, errors.New("table: the file is one JSON array; write one object a line, without the brackets and commas around them")
	default:
		t.Format = "csv"
		err = t.readCSV(ctx, text, opt)
	}
	if err == nil {
		err = t.index.build(ctx)
	}
	t.Bytes = t.index.size
	return t, err
}

// firstByte looks past the white space a text begins with, of which it takes at most 4 KiB.
func firstByte(in *bufio.Reader) byte {
	head, _ := in.Peek(4096)
	for _, c := range head {
		if c > ' ' {
			return c
		}
	}
	return 0
}

// problem notes a row that is left out.
func (t *Table) problem(line int64, err error) {
	t.Bad++
	if len(t.Problems) < MaxProblems {
		t.Problems = append(t.Problems, Problem{line, err.Error()})
	}
}

// column gives the number of a column, and understands it when it is met first.
func (t *Table) column(header string, opt Options) (int, error) {
	if i, ok := t.columns[header]; ok {
		return i, nil
	}
	if len(t.Columns) >= maxColumns {
		return 0, fmt.Errorf("table: more than %d columns", maxColumns)
	}
	name := strings.Join(strings.Fields(header), " ")
	if err := checkField(name); err != nil {
		return 0, fmt.Errorf("table: name of a column: %w", err)
	}
	if name == "" {
		return 0, fmt.Errorf("table: column %d has no name; give it one", len(t.Columns)+1)
	}
	c := Column{Header: name}
	if field, ok := opt.Map[name]; ok {
		c.Field, c.Known = field, true
	} else if c.Field = FieldOf(name); c.Field != "" {
		c.Known = true
	} else {
		c.Field = name
	}
	for _, other := range t.Columns {
		if other.Field == c.Field && c.Field != "" {
			return 0, fmt.Errorf("table: columns %q and %q both hold %s; leave one out or map one to another field", other.Header, name, c.Field)
		}
	}
	t.columns[header] = len(t.Columns)
	t.Columns = append(t.Columns, c)
	return len(t.Columns) - 1, nil
}

// setKey settles by which field rows are joined.
func (t *Table) setKey(opt Options, fields []string) error {
	for _, key := range []string{FieldPath, FieldName, FieldID} {
		if (opt.Key == "" || opt.Key == key) && slices.Contains(fields, key) {
			t.Key = key
			return nil
		}
	}
	want := "file (a path), filename or id"
	if opt.Key != "" {
		want = opt.Key
	}
	return fmt.Errorf("table: no column says which file a row is about; there are %s; name one %s, or map it", strings.Join(fields, ", "), want)
}

// limited fails when one row needs more than maxRowBytes: an open quote would otherwise take the whole rest of the file.
type limited struct {
	in   io.Reader
	left int
}

var errLongRow = fmt.Errorf("a row of more than %d bytes: look for a quote that is not closed", maxRowBytes)

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errLongRow
	}
	n, err := l.in.Read(p[:min(len(p), 4096)])
	l.left -= n
	return n, err
}

func (t *Table) readCSV(ctx context.Context, text *bufio.Reader, opt Options) error {
	head, _ := text.Peek(16 << 10)
	comma := delimiter(head)
	t.Delimiter = string(comma)
	in := &limited{text, maxRowBytes}
	r := csv.NewReader(in)
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = comma, -1, true
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("table: line 1: %w", err)
	}
	var fields []string
	for _, name := range header {
		i, err := t.column(name, opt)
		if err != nil {
			return err
		}
		if i != len(fields) {
			return fmt.Errorf("table: two columns are called %q", name)
		}
		fields = append(fields, t.Columns[i].Field)
	}
	if err := t.setKey(opt, fields); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		in.left = maxRowBytes
		record, err := r.Read()
		var parse *csv.ParseError
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &parse) && !errors.Is(err, errLongRow):
			bad := badRow{line: int64(parse.StartLine), why: err, cells: cellsOf(record), cut: true, swallowed: parse.Line > parse.StartLine}
			if err := t.setAside(bad); err != nil {
				return err
			}
			continue
		case err != nil:
			return fmt.Errorf("table: after line %d: %w", int64(n)+1, err)
		}
		line, _ := r.FieldPos(0)
		if len(record) != len(fields) {
			why := fmt.Errorf("%d fields, and the first line has %d", len(record), len(fields))
			if err := t.setAside(badRow{line: int64(line), why: why, cells: cellsOf(record), shifted: true}); err != nil {
				return err
			}
			continue
		}
		if err := t.add(int64(line), cellsOf(record)); err != nil {
			return err
		}
	}
}

// delimiter finds the one a first line uses most, outside quotes.
func delimiter(head []byte) rune {
	counts := map[byte]int{}
	quoted := false
	for _, c := range head {
		if c == '"' {
			quoted = !quoted
		} else if c == '\n' && !quoted {
			break
		} else if !quoted {
			counts[c]++
		}
	}
	best := ','
	for _, c := range ";\t" {
		if counts[byte(c)] > counts[byte(best)] {
			best = c
		}
	}
	return best
}

func (t *Table) readJSONL(ctx context.Context, text *bufio.Reader, opt Options) error {
	lines := bufio.NewScanner(text)
	lines.Buffer(make([]byte, 64<<10), maxRowBytes)
	for line := int64(1); lines.Scan(); line++ {
		if line%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		raw := bytes.TrimSpace(lines.Bytes())
		if len(raw) == 0 {
			continue
		}
		var row map[string]json.RawMessage
		if err := json.Unmarshal(raw, &row); err != nil {
			t.Unnamed++
			t.problem(line, fmt.Errorf("not a JSON object: %w", err))
			continue
		}
		names := make([]string, 0, len(row))
		for name := range row {
			names = append(names, name)
		}
		slices.Sort(names)
		cells := make([]cell, 0, len(names))
		var bad error
		for _, name := range names {
			i, err := t.column(name, opt)
			if err != nil {
				return err
			}
			value, err := jsonText(row[name])
			if err != nil {
				bad, value = fmt.Errorf("%s: %w", name, err), unreadable
			}
			cells = append(cells, cell{i, value})
		}
		if t.Key == "" {
			var fields []string
			for _, c := range cells {
				fields = append(fields, t.Columns[c.column].Field)
			}
			if err := t.setKey(opt, fields); bad == nil {
				bad = err
			}
		}
		if bad != nil {
			if err := t.setAside(badRow{line: line, why: bad, cells: cells}); err != nil {
				return err
			}
			continue
		}
		if err := t.add(line, cells); err != nil {
			return err
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("table: %w", errLongRow)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if t.Key == "" && t.Rows == 0 {
		return fmt.Errorf("table: no row says which file it is about (%d left out); write one JSON object a line with a field file", t.Bad)
	}
	return nil
}

// jsonText writes a JSON value as a field of a CSV would hold it.
func jsonText(raw json.RawMessage) (string, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	case []any:
		var parts []string
		for _, item := range v {
			s, ok := item.(string)
			if !ok || strings.Contains(s, ";") {
				return "", errors.New("a list holds texts without semicolons here")
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, "; "), nil
	}
	return "", errors.New("an object within the object is not read; write its values as fields of their own")
}

// add checks a row and writes it to disk. A bad one is a problem, no error.
func (t *Table) add(line int64, cells []cell) error {
	row := Row{Line: line, n: t.index.rows}
	size := 0
	columns := make([]int, 0, len(cells))
	leave := func(why error) error { return t.setAside(badRow{line: line, why: why, cells: cells}) }
	for _, v := range cells {
		c, text := v.column, v.text
		if err := checkField(text); err != nil {
			return leave(fmt.Errorf("column %s: %w", t.Columns[c].Header, err))
		}
		field := t.Columns[c].Field
		if field == t.Key {
			key, err := keyOf(t.Key, text)
			if err != nil {
				return leave(err)
			}
			row.Key = key
			continue
		}
		if text = strings.Join(strings.Fields(text), " "); text == "" || field == "" {
			continue
		}
		row.Fields = append(row.Fields, Field{field, text})
		columns = append(columns, c)
		size += len(text)
	}
	if size > maxRowBytes {
		return leave(errLongRow)
	}
	if row.Key == "" {
		if len(cells) == 1 && len(row.Fields) == 0 {
			return nil // an empty line
		}
		return leave(fmt.Errorf("no %s: the row is about no file", t.Key))
	}
	t.Rows++
	return t.index.add(row, columns)
}

// keyOf puts what a row is joined by into its canonical form.
func keyOf(kind, text string) (string, error) {
	if kind == FieldID {
		return norm.NFC.String(strings.TrimSpace(text)), nil
	}
	key := norm.NFC.String(text)
	if strings.TrimSpace(key) == "" {
		return "", nil
	}
	if err := concepts.CheckPath(key); err != nil {
		return "", err
	}
	if kind == FieldName && strings.Contains(key, "/") {
		return "", fmt.Errorf("%q is a path, and rows are joined by file name; call the column path", key)
	}
	return key, nil
}

func checkField(s string) error {
	if len(s) > maxFieldBytes {
		return fmt.Errorf("%d bytes: at most %d", len(s), maxFieldBytes)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%.40q is not UTF-8, as most of the table is; write it again", s)
	}
	for _, r := range s {
		if unicode.IsControl(r) && !unicode.IsSpace(r) || r == '\ufeff' || r == utf8.RuneError {
			return fmt.Errorf("%.40q holds the character %U: remove it", s, r)
		}
	}
	return nil
}

// Lookup gives the row about a file: by its path below the root, or by the first of ids that has a row, as Key says. False
// means that there is none. Errors: *Ambiguous, and those of the disk.
func (t *Table) Lookup(path string, ids []string) (Row, bool, error) {
	keys := []string{path}
	switch t.Key {
	case FieldName:
		keys = []string{path[strings.LastIndexByte(path, '/')+1:]}
	case FieldID:
		keys = ids
	}
	for _, key := range keys {
		if t.Key == FieldID {
			key = strings.TrimSpace(key)
		}
		key = norm.NFC.String(key)
		rows, err := t.index.find(key, t.Columns)
		if err != nil {
			return Row{}, false, err
		}
		if len(rows) == 0 {
			continue
		}
		slices.SortFunc(rows, func(a, b Row) int { return int(a.Line - b.Line) })
		if slices.ContainsFunc(rows, func(r Row) bool { return r.bad || !slices.Equal(r.Fields, rows[0].Fields) }) {
			t.index.markAll(rows)
			return Row{}, false, ambiguous(key, rows)
		}
		t.index.markAll(rows[1:])
		return rows[0], true, nil
	}
	return Row{}, false, nil
}

// Use notes that a row has been joined and tells whether it had been before: two files of one name, or two that claim one id.
func (t *Table) Use(r Row) (again bool) { return t.index.mark(r.n) }

// Used tells whether a row has been joined already.
func (t *Table) Used(r Row) bool { return t.index.marked(r.n) }

// Unused calls fn with the rows that no file used, in the table's order, until fn returns an error.
func (t *Table) Unused(fn func(Row) error) error { return t.index.unused(t.Columns, fn) }
