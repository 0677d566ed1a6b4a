package concepts

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Row is one line of a bank's table.
type Row struct {
	// Line is where the row begins in the file, counted from 1.
	Line int
	// File is a path as [CheckPath] wants it, in Unicode NFC.
	File                         string
	Title, Creator, RightsHolder string
	Keywords                     []string
	// Columns are all other columns with a value, sorted by name.
	Columns []Column
}

// Metadata is a bank's table.
type Metadata struct {
	// Columns are the names in the header, tidied, in the file's order.
	Columns []string
	// Rows are in the file's order, one per file.
	Rows []Row
}

var (
	// ErrTwoOwners is wrapped by the error for two rows that give one file to different owners.
	ErrTwoOwners = errors.New("two owners")
	// ErrFileTwice is wrapped by the error for two rows about one file that agree on the owner.
	ErrFileTwice = errors.New("file listed twice")
)

// Limits of a metadata table.
const (
	maxColumns    = 256
	maxFieldBytes = 64 << 10
	maxProblems   = 20 // reported at once
)

// ReadMetadataCSV reads a comma-separated table in UTF-8, with or without byte order mark, with LF or
// CRLF, quoted as in RFC 4180. The first line names the columns: file is needed; title, creator,
// keywords (separated by ";") and rights_holder are known; others are kept. Case and outer space of
// names do not matter. Values are trimmed and inner space is collapsed, also in quoted values, except
// in file, where every space counts; empty lines are skipped.
//
// It reads on after a bad row and returns an error that joins up to 20 problems, each with its line: a
// row of another length than the header, text that is not UTF-8 or holds control characters, a path
// that [CheckPath] refuses, a field above 64 KiB, a file on two lines ([ErrTwoOwners] where rights
// holders, or creators where no rights holder is given, differ, else [ErrFileTwice]). A broken quote, a missing
// or repeated column and an empty file end the reading at once.
func ReadMetadataCSV(r io.Reader) (Metadata, error) {
	in := bufio.NewReader(r)
	if mark, _ := in.Peek(3); string(mark) == "\xef\xbb\xbf" {
		in.Discard(3)
	}
	reader := csv.NewReader(in)
	reader.FieldsPerRecord = -1
	header, err := reader.Read()
	if err == io.EOF {
		return Metadata{}, fmt.Errorf("concepts: metadata: the file is empty: its first line must name the columns, one of them file")
	}
	if err != nil {
		return Metadata{}, fmt.Errorf("concepts: metadata: %w", err)
	}
	t := table{seen: map[string]Row{}}
	if err := t.readHeader(header); err != nil {
		return Metadata{}, err
	}
	for {
		record, err := reader.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Metadata{}, fmt.Errorf("concepts: metadata: %w", err)
		}
		line, _ := reader.FieldPos(0)
		if err := t.readRow(line, record); err != nil {
			t.problem(err)
		}
	}
	if t.problems > 0 {
		if more := t.problems - len(t.errs); more > 0 {
			t.errs = append(t.errs, fmt.Errorf("concepts: metadata: and %d more", more))
		}
		return Metadata{}, errors.Join(t.errs...)
	}
	return t.Metadata, nil
}

// table is a Metadata being read.
type table struct {
	Metadata
	keys     []string // identities of the columns
	seen     map[string]Row
	errs     []error
	problems int
}

func (t *table) problem(err error) {
	t.problems++
	if len(t.errs) < maxProblems {
		t.errs = append(t.errs, fmt.Errorf("concepts: metadata: %w", err))
	}
}

func (t *table) readHeader(header []string) error {
	if len(header) > maxColumns {
		return fmt.Errorf("concepts: metadata: %d columns: at most %d", len(header), maxColumns)
	}
	seen := map[string]bool{}
	for i, name := range header {
		if err := checkField(name); err != nil {
			return fmt.Errorf("concepts: metadata: line 1: name of column %d: %w", i+1, err)
		}
		name = tidy(name)
		key := identity(name)
		if key == "" || seen[key] {
			return fmt.Errorf("concepts: metadata: line 1: column %d is called %q: names must not be empty or repeated", i+1, name)
		}
		seen[key] = true
		t.Columns, t.keys = append(t.Columns, name), append(t.keys, key)
	}
	if seen["file"] {
		return nil
	}
	hint := ""
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t") {
		hint = ": save the table with commas between the fields"
	}
	return fmt.Errorf("concepts: metadata: line 1: no column is called file; columns are %s%s", strings.Join(t.Columns, ", "), hint)
}

func (t *table) readRow(line int, record []string) error {
	if len(record) != len(t.Columns) {
		return fmt.Errorf("line %d: %s, the header has %d", line, count(len(record), "field"), len(t.Columns))
	}
	row := Row{Line: line}
	for i, text := range record {
		if err := checkField(text); err != nil {
			return fmt.Errorf("line %d, column %s: %w", line, t.Columns[i], err)
		}
		value := tidy(text)
		switch t.keys[i] {
		case "file":
			row.File = norm.NFC.String(text)
			if err := CheckPath(row.File); err != nil {
				return fmt.Errorf("line %d: %w", line, err)
			}
		case "title":
			row.Title = value
		case "creator":
			row.Creator = value
		case "rights_holder":
			row.RightsHolder = value
		case "keywords":
			row.Keywords = splitKeywords(text)
		default:
			if value != "" {
				row.Columns = append(row.Columns, Column{t.Columns[i], value})
			}
		}
	}
	sort.Slice(row.Columns, func(i, j int) bool { return row.Columns[i].Name < row.Columns[j].Name })
	if first, twice := t.seen[row.File]; twice {
		return twiceError(first, row)
	}
	t.seen[row.File] = row
	t.Rows = append(t.Rows, row)
	return nil
}

func twiceError(first, second Row) error {
	a, b := first.owner(), second.owner()
	if identity(a) != identity(b) {
		return fmt.Errorf("%w: file %q is of %q on line %d and of %q on line %d: settle who is paid and keep one line",
			ErrTwoOwners, first.File, a, first.Line, b, second.Line)
	}
	return fmt.Errorf("%w: file %q is on line %d and on line %d: keep one line", ErrFileTwice, first.File, first.Line, second.Line)
}

// owner returns the rights holder or, failing that, the creator.
func (r Row) owner() string {
	if r.RightsHolder != "" {
		return r.RightsHolder
	}
	return r.Creator
}

func splitKeywords(text string) []string {
	var words []string
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, ";") {
		word := tidy(part)
		if key := identity(word); key != "" && !seen[key] {
			seen[key] = true
			words = append(words, word)
		}
	}
	return words
}

func checkField(s string) error {
	if len(s) > maxFieldBytes {
		return fmt.Errorf("%d bytes: at most %d", len(s), maxFieldBytes)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%.40q is not UTF-8: save the table as CSV UTF-8", s)
	}
	for _, r := range s {
		if unicode.IsControl(r) && !unicode.IsSpace(r) || r == '\ufeff' {
			return fmt.Errorf("%.40q holds the control character %U: remove it", s, r)
		}
	}
	return nil
}

// CheckPath returns an error unless p is a path below a catalogue's root: relative, parts separated by
// "/", no empty part, no "." or "..", no backslash, no control character, no drive letter, UTF-8, at
// most 1024 bytes.
func CheckPath(p string) error {
	const maxPathBytes = 1024
	switch {
	case p == "":
		return fmt.Errorf("the file's path is empty")
	case len(p) > maxPathBytes:
		return fmt.Errorf("file path %.40q... has %d bytes: at most %d", p, len(p), maxPathBytes)
	case !utf8.ValidString(p):
		return fmt.Errorf("file path %q is not UTF-8", p)
	case strings.ContainsRune(p, '\\'):
		return fmt.Errorf("file path %q holds a backslash: separate folders by /", p)
	case p[0] == '/' || len(p) > 1 && p[1] == ':':
		return fmt.Errorf("file path %q is absolute: give it relative to the catalogue's root", p)
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("file path %q holds an empty, . or .. part: write it plainly, below the catalogue's root", p)
		}
	}
	for _, r := range p {
		if unicode.IsControl(r) {
			return fmt.Errorf("file path %q holds the control character %U", p, r)
		}
	}
	return nil
}
