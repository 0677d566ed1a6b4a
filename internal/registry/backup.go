package registry

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// allTables are the tables of the schema, those that others refer to first. What else is in the database (the queue's
// tables and the processes that work, the index of words, the schema's version) is not the registry's to back up or is made again.
var allTables = []*table{tenantsTable, worksTable, partiesTable, partyIDsTable, sharesTable, conceptsTable, membershipsTable, cataloguesTable,
	versionsTable, catalogueWorksTable, catalogueConceptsTable, catalogueMembersTable, codebookTable, licencesTable, deliveriesTable, stepsTable,
	itemsTable, refusalsTable, reservationsTable, todosTable, removalsTable,
	documentsTable, descriptorsTable, markingsTable,
	objectsTable, jobsTable, jobPartsTable}

// dumpFormat names the form of a dump.
const dumpFormat = "filigrane registry dump v1"

// A dump is a tar file: head.json, then for each table TABLE/000000.jsonl and so on, a row a line as a JSON array in the
// order of the table's key, and sums.json at the end. Bytes are in base64. Both databases write the same bytes for the
// same content, apart from the time in head.json.
const (
	headName = "head.json"
	sumsName = "sums.json"
	// chunkBytes is about how large a file in it is: it is held in memory.
	chunkBytes = 4 << 20
)

type dumpHead struct {
	Format string    `json:"format"`
	Schema int       `json:"schema"`
	Made   time.Time `json:"made"`
}

// Sum says what a table holds: how many rows, and the SHA-256 of their lines in a dump.
type Sum struct {
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

// Dump writes everything the registry holds, of all tenants, as it is at one moment, in a form that Restore reads into
// an empty database of either kind. Writers do not wait. Compress and encrypt it as you like: it holds no keys, but
// names and contracts.
func (r *Registry) Dump(ctx context.Context, s Scope, w io.Writer, now time.Time) (sums map[string]Sum, err error) {
	if _, err := r.enter(ctx, r.reading(), s, "Dump"); err != nil {
		return nil, err
	}
	err = r.snapshot(ctx, func(t *tx) error {
		out := tar.NewWriter(w)
		put := func(name string, data []byte) error {
			if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data)), ModTime: now.UTC().Truncate(time.Second), Format: tar.FormatPAX}); err != nil {
				return err
			}
			_, err := out.Write(data)
			return err
		}
		if err := put(headName, mustJSON(dumpHead{dumpFormat, schemaVersion, now.UTC()})); err != nil {
			return err
		}
		sums, err = t.sums(ctx, allTables, func(tab *table, chunk int, lines []byte) error {
			return put(fmt.Sprintf("%s/%06d.jsonl", tab.name, chunk), lines)
		})
		if err != nil {
			return err
		}
		return errors.Join(put(sumsName, mustJSON(sums)), out.Close())
	})
	if err != nil {
		return nil, fmt.Errorf("registry: dump: %w", err)
	}
	return sums, nil
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("registry: " + err.Error())
	}
	return append(data, '\n')
}

// Sums hashes what every table holds. Two registries with the same sums hold the same.
func (r *Registry) Sums(ctx context.Context, s Scope) (sums map[string]Sum, err error) {
	if _, err := r.enter(ctx, r.reading(), s, "Sums"); err != nil {
		return nil, err
	}
	err = r.snapshot(ctx, func(t *tx) error {
		sums, err = t.sums(ctx, allTables, func(*table, int, []byte) error { return nil })
		return err
	})
	return sums, err
}

// snapshot runs f in a transaction that only reads and sees one state.
func (r *Registry) snapshot(ctx context.Context, f func(t *tx) error) error {
	if r.pool != nil || r.bound != nil {
		return r.transact(ctx, true, f)
	}
	sq, err := r.reader.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	defer sq.Rollback()
	return f(&tx{r: r, sq: sq, prepared: map[string]*sql.Stmt{}})
}

// sums reads tables and passes their lines on in chunks.
func (t *tx) sums(ctx context.Context, tables []*table, write func(tab *table, chunk int, lines []byte) error) (map[string]Sum, error) {
	sums := map[string]Sum{}
	for _, tab := range tables {
		h, n, chunks := sha256.New(), int64(0), 0
		var lines bytes.Buffer
		flush := func() error {
			h.Write(lines.Bytes())
			err := write(tab, chunks, lines.Bytes())
			lines.Reset()
			chunks++
			return err
		}
		enc := json.NewEncoder(&lines)
		enc.SetEscapeHTML(false)
		names := tab.names()
		query := "SELECT " + strings.Join(names, ", ") + " FROM " + tab.name + " ORDER BY " + strings.Join(tab.order, ", ")
		into := tab.destinations(names)
		err := each(ctx, t, query, nil, func(r rows) error {
			if err := r.Scan(into...); err != nil {
				return err
			}
			n++
			if err := enc.Encode(values(into)); err != nil {
				return err
			}
			if lines.Len() >= chunkBytes {
				return flush()
			}
			return nil
		})
		if err == nil && lines.Len() > 0 {
			err = flush()
		}
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", tab.name, err)
		}
		sums[tab.name] = Sum{n, hex.EncodeToString(h.Sum(nil))}
	}
	return sums, nil
}

// oldestDump is the schema of the first program that wrote dumps.
const oldestDump = 3

// Restore reads a dump into a database, which it makes or which must be empty, and compares what is then in it with the
// dump's sums before it commits: it is there in full or not at all. The dump of an older program goes into the schema it was
// written with, which is brought up to date after; so the database must have no newer one yet, which a new one has not. The
// sums it gives are those of what is there at the end. Nothing is done to the database before the head of the dump is read.
func Restore(ctx context.Context, where string, dump io.Reader) (sums map[string]Sum, err error) {
	in := tar.NewReader(dump)
	head, err := readHead(in)
	if err != nil {
		return nil, fmt.Errorf("registry: restore: %w", err)
	}
	r, err := connect(ctx, where)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := r.migrate(ctx, head.Schema); err != nil {
		return nil, err
	}
	if sums, err = r.restore(ctx, head.Schema, in); err != nil {
		return nil, fmt.Errorf("registry: restore: %w", err)
	}
	if head.Schema == schemaVersion {
		return sums, nil
	}
	if err := r.migrate(ctx, schemaVersion); err != nil {
		return nil, fmt.Errorf("registry: restore: all rows are there, with schema %d: %w", head.Schema, err)
	}
	err = r.snapshot(ctx, func(t *tx) error {
		sums, err = t.sums(ctx, allTables, func(*table, int, []byte) error { return nil })
		return err
	})
	return sums, err
}

// restore loads what follows the head of a dump, in one transaction.
func (r *Registry) restore(ctx context.Context, schema int, in *tar.Reader) (map[string]Sum, error) {
	t, err := r.begin(ctx, true) // once: the dump cannot be read again
	if err != nil {
		return nil, err
	}
	defer t.rollback() // nothing, after commit
	tables, err := t.tablesOf(ctx, schema)
	if err != nil {
		return nil, err
	}
	for _, tab := range tables {
		full, err := one(ctx, t, "SELECT 1 FROM "+tab.name+" LIMIT 1", nil, new(int64))
		if err != nil {
			return nil, err
		}
		if full {
			return nil, fmt.Errorf("%w: table %s has rows; restore into an empty database", ErrConflict, tab.name)
		}
	}
	want, err := t.load(ctx, tables, in)
	if err != nil {
		return nil, err
	}
	got, err := t.sums(ctx, tables, func(*table, int, []byte) error { return nil })
	if err != nil {
		return nil, err
	}
	for _, tab := range tables {
		if got[tab.name] != want[tab.name] {
			return nil, fmt.Errorf("table %s: %d rows with hash %.16s... where the dump has %d with %.16s...; the dump is damaged, use another", tab.name,
				got[tab.name].Rows, got[tab.name].SHA256, want[tab.name].Rows, want[tab.name].SHA256)
		}
	}
	if err := t.advance(ctx, tables); err != nil {
		return nil, err
	}
	return got, t.commit(ctx)
}

// tablesOf describes the tables of a version of the schema, which the database must have: of those of today, in their order,
// what is there of it. Columns are only ever added.
func (t *tx) tablesOf(ctx context.Context, schema int) (tables []*table, err error) {
	var is int
	if _, err := one(ctx, t, "SELECT coalesce(max(version_id), 0) FROM "+versionTable, nil, &is); err != nil {
		return nil, err
	}
	if is != schema {
		return nil, fmt.Errorf("%w: the database has schema %d already, and the dump is of schema %d: restore it into a new database, or a file that is not there", ErrConflict, is, schema)
	}
	query := "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
	if t.pg != nil {
		query = "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = current_schema()"
	}
	there := map[[2]string]bool{}
	err = each(ctx, t, query, nil, func(r rows) error {
		var at [2]string
		err := r.Scan(&at[0], &at[1])
		there[at] = true
		return err
	})
	for _, tab := range allTables {
		old := *tab
		old.cols = slices.DeleteFunc(slices.Clone(tab.cols), func(c column) bool { return !there[[2]string{tab.name, c.name}] })
		if len(old.cols) > 0 {
			tables = append(tables, &old)
		}
	}
	return tables, err
}

// advance makes numbers go on after those that were restored.
func (t *tx) advance(ctx context.Context, tables []*table) error {
	if t.pg == nil {
		return nil
	}
	var parts []string
	for _, tab := range tables {
		if tab.cols[0].name == "n" {
			parts = append(parts, "SELECT max(n) AS n FROM "+tab.name)
		}
	}
	_, err := t.exec(ctx, "SELECT setval('numbers', (SELECT coalesce(max(n), 0) + 1 FROM ("+strings.Join(parts, " UNION ALL ")+") t)::bigint, false)")
	return err
}

// readHead reads the head of a dump.
func readHead(in *tar.Reader) (head dumpHead, err error) {
	file, err := in.Next()
	if err != nil {
		return head, fmt.Errorf("the dump is cut off or no tar file: %w", err)
	}
	if file.Name != headName {
		return head, fmt.Errorf("%q: not where it belongs in a dump", file.Name)
	}
	if err := json.NewDecoder(in).Decode(&head); err != nil {
		return head, fmt.Errorf("%s: %w", headName, err)
	}
	if head.Format != dumpFormat || head.Schema < oldestDump || head.Schema > schemaVersion {
		return head, fmt.Errorf("%s: format %q with schema %d, this program reads %q with %d to %d; restore it with the program that made it, or a newer one",
			headName, head.Format, head.Schema, dumpFormat, oldestDump, schemaVersion)
	}
	return head, nil
}

// load inserts the rows of a dump, after its head, and gives the sums it claims.
func (t *tx) load(ctx context.Context, tables []*table, in *tar.Reader) (sums map[string]Sum, err error) {
	for {
		file, err := in.Next()
		if errors.Is(err, io.EOF) && sums != nil {
			return sums, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the dump is cut off or no tar file: %w", err)
		}
		dir, base := path.Split(file.Name)
		switch {
		case file.Name == headName || sums != nil:
			return nil, fmt.Errorf("%q: not where it belongs in a dump", file.Name)
		case file.Name == sumsName:
			err = json.NewDecoder(in).Decode(&sums)
		default:
			err = t.loadLines(ctx, tables, strings.TrimSuffix(dir, "/"), in)
		}
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", dir, base, err)
		}
	}
}

// rowsPerLoad is how many rows are inserted at once.
const rowsPerLoad = 2048

func (t *tx) loadLines(ctx context.Context, tables []*table, name string, in io.Reader) error {
	var tab *table
	for _, known := range tables {
		if known.name == name {
			tab = known
		}
	}
	if tab == nil {
		return fmt.Errorf("%w: table %q", ErrNotFound, name)
	}
	var list [][]any
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16*mostJSON)
	for lines.Scan() {
		row, err := tab.parse(lines.Bytes())
		if err != nil {
			return err
		}
		if list = append(list, row); len(list) == rowsPerLoad {
			if err := t.insertNumbered(ctx, tab, list); err != nil {
				return err
			}
			list = list[:0]
		}
	}
	if err := lines.Err(); err != nil || len(list) == 0 {
		return err
	}
	return t.insertNumbered(ctx, tab, list)
}

// parse reads a line.
func (tab *table) parse(line []byte) ([]any, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal(line, &parts); err != nil || len(parts) != len(tab.cols) {
		return nil, fmt.Errorf("%.80q is no row of %d columns (%v)", line, len(tab.cols), err)
	}
	into := tab.destinations(tab.names())
	for i := range into {
		if err := json.Unmarshal(parts[i], into[i]); err != nil {
			return nil, fmt.Errorf("column %s: %w", tab.cols[i].name, err)
		}
	}
	return values(into), nil
}

// Snapshot copies SQLite's file while others read and write: a database of its own, that Open opens. The file must not
// be there. On PostgreSQL use Dump, or PostgreSQL's own tools.
func (r *Registry) Snapshot(ctx context.Context, s Scope, file string) (err error) {
	if _, err := r.enter(ctx, r.reading(), s, "Snapshot"); err != nil {
		return err
	}
	if r.pool != nil {
		return fmt.Errorf("registry: a snapshot of PostgreSQL is no file: use Dump, or pg_dump")
	}
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("%w: %s is there already; name a file that is not", ErrConflict, file)
	}
	dir, err := os.MkdirTemp(filepath.Dir(file), ".filigrane-snapshot-*")
	if err != nil {
		return fmt.Errorf("registry: snapshot: %w", err)
	}
	defer os.RemoveAll(dir)
	part := filepath.Join(dir, "part")
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(r.path))
	if err != nil {
		return fmt.Errorf("registry: snapshot: %w", err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", part); err != nil {
		return fmt.Errorf("registry: snapshot: %w", err)
	}
	return durableRename(part, file)
}

// durableRename syncs a file, gives it its name, and syncs the folder.
func durableRename(from, to string) error {
	f, err := os.OpenFile(from, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		err = os.Link(from, to) // unlike a rename it replaces nothing
	}
	if err != nil {
		return fmt.Errorf("registry: snapshot: %w", err)
	}
	if dir, err := os.Open(filepath.Dir(to)); err == nil {
		dir.Sync() // some file systems cannot
		dir.Close()
	}
	return nil
}
