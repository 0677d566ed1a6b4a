package registry

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// kind is what a column holds; Go's types are int64, string, []byte and float64.
type kind byte

const (
	integer kind = 'i'
	text    kind = 't'
	raw     kind = 'b'
	float   kind = 'f'
)

type column struct {
	name string
	kind kind
}

// table describes one table of the schema to what writes and dumps rows in bulk. A test compares it with the database.
type table struct {
	name  string
	cols  []column
	order []string // a key: the order of dumps
	// What put needs. A row is found again by the fixed columns, which all rows of a call share, and key, of which
	// lookup is a part that few rows share; it has changed if a column of compare has; a change leaves those of keep.
	fixed, key, compare, keep []string
	lookup                    string
}

// columns reads "name kind, name kind, ...".
func columns(spec string) []column {
	var cols []column
	for c := range strings.SplitSeq(spec, ",") {
		name, k, _ := strings.Cut(strings.TrimSpace(c), " ")
		if len(k) != 1 {
			panic("registry: column " + c)
		}
		cols = append(cols, column{name, kind(k[0])})
	}
	return cols
}

func (t *table) index(name string) int {
	i := slices.IndexFunc(t.cols, func(c column) bool { return c.name == name })
	if i < 0 {
		panic("registry: table " + t.name + " has no column " + name)
	}
	return i
}

func (t *table) names() []string {
	names := make([]string, len(t.cols))
	for i, c := range t.cols {
		names[i] = c.name
	}
	return names
}

// pick gives the values of some columns of a row.
func (t *table) pick(row []any, names []string) []any {
	picked := make([]any, len(names))
	for i, name := range names {
		picked[i] = row[t.index(name)]
	}
	return picked
}

// destinations gives what to scan some columns into.
func (t *table) destinations(names []string) []any {
	into := make([]any, len(names))
	for i, name := range names {
		switch t.cols[t.index(name)].kind {
		case integer:
			into[i] = new(int64)
		case text:
			into[i] = new(string)
		case raw:
			into[i] = new([]byte)
		case float:
			into[i] = new(float64)
		}
	}
	return into
}

// values reads what was scanned.
func values(from []any) []any {
	out := make([]any, len(from))
	for i, p := range from {
		switch p := p.(type) {
		case *int64:
			out[i] = *p
		case *string:
			out[i] = *p
		case *[]byte:
			if out[i] = *p; *p == nil {
				out[i] = []byte{} // SQLite's driver gives nil for no bytes; there is no NULL in the schema
			}
		case *float64:
			out[i] = *p
		}
	}
	return out
}

func same(a, b []any) bool {
	return slices.EqualFunc(a, b, func(x, y any) bool {
		if bs, ok := x.([]byte); ok {
			return bytes.Equal(bs, y.([]byte))
		}
		return x == y
	})
}

// keyText makes a map's key of the values of a key.
func keyText(parts []any) string {
	if len(parts) == 1 {
		if s, ok := parts[0].(string); ok {
			return s
		}
	}
	return string(canonicalValues(parts))
}

// Changes counts what a write has changed.
type Changes struct {
	Added, Changed, Unchanged, Removed int
}

// Add adds up.
func (c *Changes) Add(o Changes) {
	c.Added += o.Added
	c.Changed += o.Changed
	c.Unchanged += o.Unchanged
	c.Removed += o.Removed
}

// lookups is how many keys one query looks up. Fewer are filled up by repeating the last, so that there is one statement.
const lookups = 250

// in gives "column IN ($from, ...)" for lookups keys.
func in(column string, from int) string {
	var b strings.Builder
	b.WriteString(column + " IN (")
	for i := range lookups {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("$" + strconv.Itoa(from+i))
	}
	b.WriteByte(')')
	return b.String()
}

// lookupEach runs a query that ends in in(...) for all keys.
func lookupEach(ctx context.Context, q querier, query string, fixed []any, keys []any, f func(rows) error) error {
	for chunk := range slices.Chunk(keys, lookups) {
		args := append(slices.Clone(fixed), chunk...)
		for len(args) < len(fixed)+lookups {
			args = append(args, chunk[len(chunk)-1])
		}
		if err := each(ctx, q, query, args, f); err != nil {
			return err
		}
	}
	return nil
}

// known is a row that is there already.
type known struct{ compare, keep []any }

// existing looks rows up. With the tables' keys in the index of the fixed columns and lookup, it is a search per key.
func (t *tx) existing(ctx context.Context, tab *table, fixed []any, keys []any) (map[string]known, error) {
	names := slices.Concat(tab.key, tab.compare, tab.keep)
	query := "SELECT " + strings.Join(names, ", ") + " FROM " + tab.name + " WHERE "
	for i, name := range tab.fixed {
		query += name + " = $" + strconv.Itoa(i+1) + " AND "
	}
	query += in(tab.lookup, len(tab.fixed)+1)
	found := make(map[string]known, len(keys))
	k, c := len(tab.key), len(tab.compare)
	err := lookupEach(ctx, t, query, fixed, keys, func(r rows) error {
		into := tab.destinations(names)
		if err := r.Scan(into...); err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		v := values(into)
		found[keyText(v[:k])] = known{v[k : k+c], v[k+c:]}
		return nil
	})
	return found, err
}

// distinct gives the values of the lookup column, each once.
func (tab *table) distinct(list [][]any) []any {
	at, seen := tab.index(tab.lookup), make(map[string]bool, len(list))
	var keys []any
	for _, row := range list {
		if k := keyText(row[at : at+1]); !seen[k] {
			seen[k] = true
			keys = append(keys, row[at])
		}
	}
	return keys
}

// put makes rows be there: it adds those that are not and changes those that differ. Rows have a value per column of
// the table; those of the fixed columns are the same in all. The same row twice is one; two that differ are an error.
func (t *tx) put(ctx context.Context, tab *table, list [][]any) (Changes, error) {
	if len(list) == 0 {
		return Changes{}, nil
	}
	found, err := t.existing(ctx, tab, tab.pick(list[0], tab.fixed), tab.distinct(list))
	if err != nil {
		return Changes{}, err
	}
	return t.putOver(ctx, tab, list, found)
}

// putOver is put where it is known already what is there.
func (t *tx) putOver(ctx context.Context, tab *table, list [][]any, found map[string]known) (c Changes, err error) {
	var added, changed [][]any
	seen := make(map[string][]any, len(list))
	for _, row := range list {
		key, content := keyText(tab.pick(row, tab.key)), tab.pick(row, tab.compare)
		if before, twice := seen[key]; twice {
			if !same(before, content) {
				return Changes{}, fmt.Errorf("registry: %s: %v is given twice with different content: give it once", tab.name, tab.pick(row, tab.key))
			}
			c.Unchanged++
			continue
		}
		seen[key] = content
		is, there := found[key]
		switch {
		case !there:
			added = append(added, row)
		case same(is.compare, content):
			c.Unchanged++
		default:
			changed = append(changed, row)
		}
	}
	if err := t.insert(ctx, tab, added); err != nil {
		return Changes{}, err
	}
	if err := t.update(ctx, tab, changed); err != nil {
		return Changes{}, err
	}
	c.Added, c.Changed = len(added), len(changed)
	return c, nil
}

// replace is put, and removes what is there under the given values of the lookup column and is not in the list.
func (t *tx) replace(ctx context.Context, tab *table, fixed, keys []any, list [][]any) (Changes, error) {
	if len(tab.keep) < len(tab.key) || !slices.Equal(tab.keep[:len(tab.key)], tab.key) {
		panic("registry: replace wants table " + tab.name + " to keep its key")
	}
	found, err := t.existing(ctx, tab, fixed, keys)
	if err != nil {
		return Changes{}, err
	}
	kept := make(map[string]bool, len(list))
	for _, row := range list {
		kept[keyText(tab.pick(row, tab.key))] = true
	}
	// What is removed is what was read, by its key; the rest of found is what put compares with.
	names := slices.Concat(tab.fixed, tab.key)
	var gone [][]any
	for key, is := range found {
		if !kept[key] {
			gone = append(gone, append(slices.Clone(fixed), is.keep[:len(tab.key)]...))
		}
	}
	slices.SortFunc(gone, func(a, b []any) int { return bytes.Compare(canonicalValues(a), canonicalValues(b)) })
	if err := t.execMany(ctx, "DELETE FROM "+tab.name+" WHERE "+conditions(names, 1), gone); err != nil {
		return Changes{}, err
	}
	c, err := t.putOver(ctx, tab, list, found)
	c.Removed = len(gone)
	return c, err
}

func conditions(names []string, from int) string {
	var parts []string
	for i, name := range names {
		parts = append(parts, name+" = $"+strconv.Itoa(from+i))
	}
	return strings.Join(parts, " AND ")
}

// assign gives rows of tables with a number of their own the next numbers. On PostgreSQL these come from a sequence,
// whose numbers are not given back, so there are gaps; on SQLite, with one writer, from the largest there is.
func (t *tx) assign(ctx context.Context, tab *table, list [][]any) error {
	if tab.cols[0].name != "n" {
		return nil
	}
	if t.pg == nil {
		var most int64
		if _, err := one(ctx, t, "SELECT coalesce(max(n), 0) FROM "+tab.name, nil, &most); err != nil {
			return err
		}
		for i, row := range list {
			row[0] = most + 1 + int64(i)
		}
		return nil
	}
	i := 0
	return each(ctx, t, "SELECT nextval('numbers') FROM generate_series(1, $1::integer)", []any{int64(len(list))}, func(r rows) error {
		var n int64
		err := r.Scan(&n)
		list[i][0] = n
		i++
		return err
	})
}

// rowsPerInsert is how many rows SQLite is given at once: beyond some dozens nothing is gained.
const rowsPerInsert = 64

// insert adds rows that are not there.
func (t *tx) insert(ctx context.Context, tab *table, list [][]any) error {
	if len(list) == 0 {
		return nil
	}
	if err := t.assign(ctx, tab, list); err != nil {
		return err
	}
	return t.insertNumbered(ctx, tab, list)
}

func (t *tx) insertNumbered(ctx context.Context, tab *table, list [][]any) error {
	if t.pg != nil {
		if _, err := t.pg.CopyFrom(ctx, pgx.Identifier{tab.name}, tab.names(), pgx.CopyFromRows(list)); err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		return nil
	}
	for chunk := range slices.Chunk(list, rowsPerInsert) {
		if len(chunk) == rowsPerInsert {
			if _, err := t.exec(ctx, insertText(tab, rowsPerInsert), slices.Concat(chunk...)...); err != nil {
				return err
			}
		} else if err := t.execMany(ctx, insertText(tab, 1), chunk); err != nil {
			return err
		}
	}
	return nil
}

func insertText(tab *table, rows int) string {
	var b strings.Builder
	b.WriteString("INSERT INTO " + tab.name + " (" + strings.Join(tab.names(), ", ") + ") VALUES ")
	for i := range rows * len(tab.cols) {
		switch {
		case i == 0:
			b.WriteString("(")
		case i%len(tab.cols) == 0:
			b.WriteString("), (")
		default:
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(i+1))
	}
	b.WriteString(")")
	return b.String()
}

// update changes rows that are there, all columns but those that find a row and those to keep.
func (t *tx) update(ctx context.Context, tab *table, list [][]any) error {
	where := slices.Concat(tab.fixed, tab.key)
	var set []string
	for _, c := range tab.cols {
		if !slices.Contains(where, c.name) && !slices.Contains(tab.keep, c.name) {
			set = append(set, c.name)
		}
	}
	if len(list) == 0 || len(set) == 0 {
		return nil
	}
	args := make([][]any, len(list))
	for i, row := range list {
		args[i] = append(tab.pick(row, set), tab.pick(row, where)...)
	}
	assignments := strings.ReplaceAll(conditions(set, 1), " AND ", ", ")
	return t.execMany(ctx, "UPDATE "+tab.name+" SET "+assignments+" WHERE "+conditions(where, len(set)+1), args)
}
