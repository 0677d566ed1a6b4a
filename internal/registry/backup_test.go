package registry

import (
	"archive/tar"
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// filled is a registry with two banks.
func filled(t *testing.T, place string) *Registry {
	r := fresh(t, place)
	stocked(t, r, ours)
	put(t, r, Scope{"bank-b", Bank}, "w1", "x")
	return r
}

// TestDumpAndRestore goes from either database to either: what arrives has the same sums, answers the same, and grows on.
func TestDumpAndRestore(t *testing.T) {
	for _, from := range drivers {
		for _, to := range drivers {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				a := filled(t, from.place(t))
				var dump bytes.Buffer
				want := get[map[string]Sum](t)(a.Dump(ctx, ops, &dump, noon))
				if !cmp.Equal(want, get[map[string]Sum](t)(a.Sums(ctx, ops))) {
					t.Error("a dump has other sums than the registry")
				}
				for name, sum := range want {
					if sum.Rows == 0 {
						t.Errorf("nothing in table %s: the test shows nothing for it", name)
					}
				}
				place := to.place(t)
				if got := get[map[string]Sum](t)(Restore(ctx, place, bytes.NewReader(dump.Bytes()))); !cmp.Equal(got, want) {
					t.Error(cmp.Diff(want, got))
				}
				b, err := Open(ctx, place)
				must(t, err)
				defer b.Close()
				if was, is := everything(a, ours), everything(b, ours); was != is {
					t.Error(cmp.Diff(was, is))
				}
				_, err = Restore(ctx, place, bytes.NewReader(dump.Bytes()))
				wants(t, err, ErrConflict)
				put(t, b, ours, "later")
				if got := ids(get[List[Work]](t)(b.SearchWorks(ctx, ours, "later", Page{})).Items); !slices.Equal(got, []string{"later"}) {
					t.Error(got)
				}
				again := get[map[string]Sum](t)(a.Dump(ctx, ops, io.Discard, noon))
				if !cmp.Equal(again, want) {
					t.Error("a dump changed the registry")
				}
			})
		}
	}
}

// TestDamagedDumps: a dump that was changed in any entry is refused, and leaves nothing.
func TestDamagedDumps(t *testing.T) {
	a := filled(t, filepath.Join(t.TempDir(), "a"))
	var dump bytes.Buffer
	get[map[string]Sum](t)(a.Dump(ctx, ops, &dump, noon))
	rewrite := func(change func(name string, data []byte) []byte) []byte {
		var out bytes.Buffer
		in, w := tar.NewReader(bytes.NewReader(dump.Bytes())), tar.NewWriter(&out)
		for {
			h, err := in.Next()
			if err == io.EOF {
				must(t, w.Close())
				return out.Bytes()
			}
			must(t, err)
			if data := change(h.Name, get[[]byte](t)(io.ReadAll(in))); data != nil {
				h.Size = int64(len(data))
				must(t, w.WriteHeader(h))
				_, err = w.Write(data)
				must(t, err)
			}
		}
	}
	replace := func(entry, old, new string) []byte {
		return rewrite(func(name string, data []byte) []byte {
			if strings.HasPrefix(name, entry) {
				if !bytes.Contains(data, []byte(old)) {
					t.Fatalf("%s has no %q", name, old)
				}
				return bytes.Replace(data, []byte(old), []byte(new), 1)
			}
			return data
		})
	}
	drop := func(entry string) []byte {
		return rewrite(func(name string, data []byte) []byte {
			if strings.HasPrefix(name, entry) {
				return nil
			}
			return data
		})
	}
	for what, damaged := range map[string][]byte{
		"nothing": nil, "half": dump.Bytes()[:dump.Len()/2], "no sums": drop("sums.json"), "no head": drop("head.json"), "a table is gone": drop("works/"),
		"a title":  replace("works/", "Lac de w2", "Lac de w3"),
		"a number": replace("items/", "42.25", "42.5"), "another format": replace("head.json", "v1", "v2"),
		"a newer schema": replace("head.json", fmt.Sprintf(`"schema":%d`, schemaVersion), fmt.Sprintf(`"schema":%d`, schemaVersion+1)),
		"a line":         replace("works/", "\n", "\n[1]\n"), "a table of its own": rewrite(func(name string, data []byte) []byte {
			if name == "sums.json" {
				return append(data, []byte("\n\n\n")...)[:len(data)/2]
			}
			return data
		}),
	} {
		place := filepath.Join(t.TempDir(), "b")
		if _, err := Restore(ctx, place, bytes.NewReader(damaged)); err == nil {
			t.Errorf("%s: restored", what)
		}
		b, err := Open(ctx, place)
		must(t, err)
		for name, sum := range get[map[string]Sum](t)(b.Sums(ctx, ops)) {
			if sum.Rows > 0 {
				t.Errorf("%s: %d rows of %s stayed", what, sum.Rows, name)
			}
		}
		b.Close()
	}
}

// TestSnapshotWhileWriting copies SQLite's file while works come in: the copy is a state that there was.
func TestSnapshotWhileWriting(t *testing.T) {
	r := filled(t, filepath.Join(t.TempDir(), "a b%.db"))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if _, err := r.PutWorks(ctx, ours, []Work{work(fmt.Sprint("a", i)), work(fmt.Sprint("b", i))}, noon); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for i := range 5 {
		file := filepath.Join(t.TempDir(), fmt.Sprint("copy", i))
		must(t, r.Snapshot(ctx, ops, file))
		wants(t, r.Snapshot(ctx, ops, file), ErrConflict)
		c, err := Open(ctx, file)
		must(t, err)
		l := all(t, 1000, func(p Page) (List[Work], error) { return c.Works(ctx, ours, WorkQuery{}, p) })
		if len(l)%2 != 1 { // three works and pairs
			t.Errorf("%d works: half of a transaction", len(l))
		}
		found := all(t, 1000, func(p Page) (List[Work], error) { return c.SearchWorks(ctx, ours, "lac", p) })
		if len(found) != len(l) {
			t.Errorf("%d of %d works are found", len(found), len(l))
		}
		var ok string
		must(t, c.writer.QueryRow("PRAGMA integrity_check").Scan(&ok))
		if ok != "ok" {
			t.Error(ok)
		}
		c.Close()
	}
	close(stop)
	wg.Wait()
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(r.path), ".filigrane*")); left != nil {
		t.Error(left)
	}
}

// TestTablesAreThoseOfTheSchema: what is dumped is all there is, column by column.
func TestTablesAreThoseOfTheSchema(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		query := "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'works_terms%'"
		if r.pool != nil {
			query = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
		}
		got, want := map[string][]string{}, map[string][]string{}
		must(t, each(ctx, r.reading(), query, nil, func(r rows) error {
			var tab, col string
			err := r.Scan(&tab, &col)
			got[tab] = append(got[tab], col)
			return err
		}))
		delete(got, versionTable)
		delete(got, "workers") // living processes: not the registry's to back up
		for _, tab := range allTables {
			want[tab.name] = slices.Sorted(slices.Values(tab.names()))
		}
		for name := range maps.Keys(got) {
			slices.Sort(got[name])
		}
		if !cmp.Equal(got, want) {
			t.Error(cmp.Diff(want, got))
		}
	})
}

func TestOpen(t *testing.T) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			place := d.place(t)
			var wg sync.WaitGroup
			errs := make([]error, 4)
			for i := range errs { // four processes are started at once
				wg.Go(func() {
					r, err := Open(ctx, place)
					if errs[i] = err; err == nil {
						r.Close()
					}
				})
			}
			wg.Wait()
			for _, err := range errs {
				must(t, err)
			}
			r := filled(t, place)
			must(t, r.InTx(ctx, func(r *Registry) error {
				_, err := r.bound.exec(ctx, "INSERT INTO "+versionTable+" (version_id, is_applied) VALUES (99, true)")
				return err
			}))
			_, err := Open(ctx, place)
			wants(t, err, ErrNewer)
			if !strings.Contains(err.Error(), fmt.Sprintf("version 99, this program knows %d", schemaVersion)) {
				t.Error(err)
			}
		})
	}
	if files, own := schema(false); len(own) != 2 || len(get[[]string](t)(files.(numbered).Glob("*.sql")))+len(own) != schemaVersion {
		t.Error("schemaVersion is not the number of migrations")
	}
	for _, bad := range []string{"", "a?b", "/nowhere/x.db", ":memory:", "postgres://localhost:1/x?connect_timeout=1", "postgres://%zz"} {
		if r, err := Open(ctx, bad); err == nil {
			r.Close()
			t.Errorf("%q was opened", bad)
		}
	}
	file := filepath.Join(t.TempDir(), "text")
	must(t, os.WriteFile(file, bytes.Repeat([]byte("no database\n"), 1000), 0o600))
	if _, err := Open(ctx, file); err == nil {
		t.Error("a text file was opened")
	}
}

// TestSettings: what the package comment promises of SQLite holds on every connection.
func TestSettings(t *testing.T) {
	r := fresh(t, filepath.Join(t.TempDir(), "a"))
	for _, db := range []*sql.DB{r.writer, r.reader} {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "30000"} {
			var got string
			must(t, db.QueryRow("PRAGMA "+pragma).Scan(&got))
			if got != want {
				t.Errorf("%s is %s, want %s", pragma, got, want)
			}
		}
	}
	if _, err := r.reader.Exec("DELETE FROM works"); err == nil {
		t.Error("a reader wrote")
	}
}
