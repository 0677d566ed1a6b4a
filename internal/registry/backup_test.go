package registry

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
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
		"a number": replace("items/", "42.25", "42.5"), "another format": replace("head.json", "v1", "v2"), "too old a schema": replace("head.json", fmt.Sprintf(`"schema":%d`, schemaVersion), `"schema":2`), "an older schema than it has": replace("head.json", fmt.Sprintf(`"schema":%d`, schemaVersion), `"schema":3`),
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

// oldDump is a dump as the first program wrote them, with schema 3: no column of later versions, no table of them.
func oldDump(t *testing.T) []byte {
	t.Helper()
	lines := map[string]string{
		"tenants":            `[7,1764000000000000,"bank-a","bank","Bank A"]` + "\n",
		"works":              `[9,7,1,2,300,40,30,0,"` + strings.Repeat("A", 43) + `=","AAAA","w1","p/w1.jpg","jpeg","","Lac","","[]","","[]","~7 lac"]` + "\n",
		"catalogues":         `[11,7,"spring"]` + "\n",
		"catalogue_versions": `[11,1,5,0,0,0,"AAAA"]` + "\n" + `[11,2,6,0,0,0,"AAAB"]` + "\n",
		"licences":           `[13,7,0,2,1,2000000000000000,0,3,"l1","Acme","training","[\"rag\"]","[\"world\"]","spring",""]` + "\n",
		"deliveries":         `[15,7,13,0,4,5,"d1","delivered","","{}",""]` + "\n",
		"delivery_steps":     `[15,1,4,"planned",""]` + "\n",
		"reservations":       `[17,7,6,"AAAA","AAAA","eA==","w1","p/w1.jpg","iptc-plus","http://x"]` + "\n",
	}
	tables := []string{"tenants", "works", "parties", "party_ids", "shares", "concepts", "memberships", "catalogues", "catalogue_versions", "catalogue_works",
		"catalogue_concepts", "catalogue_members", "codebook", "licences", "deliveries", "delivery_steps", "items", "refusals", "reservations", "todos", "removals"}
	var dump bytes.Buffer
	out := tar.NewWriter(&dump)
	entry := func(name, text string) {
		must(t, out.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text))}))
		get[int](t)(io.WriteString(out, text))
	}
	entry("head.json", `{"format":"filigrane registry dump v1","schema":3,"made":"2026-11-23T12:00:00Z"}`)
	sums := map[string]Sum{}
	for _, name := range tables {
		if lines[name] != "" {
			entry(name+"/000000.jsonl", lines[name])
		}
		sums[name] = Sum{int64(strings.Count(lines[name], "\n")), fmt.Sprintf("%x", sha256.Sum256([]byte(lines[name])))}
	}
	entry("sums.json", string(mustJSON(sums)))
	must(t, out.Close())
	return dump.Bytes()
}

// TestOldDumps: the dump of an older program goes into a new database of either kind and is brought up to date there, filled in
// as a database of then would have been; not into one that is up to date already.
func TestOldDumps(t *testing.T) {
	dump := oldDump(t)
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) {
			place := d.place(t)
			sums := get[map[string]Sum](t)(Restore(ctx, place, bytes.NewReader(dump)))
			r, err := Open(ctx, place)
			must(t, err)
			defer r.Close()
			if is := get[map[string]Sum](t)(r.Sums(ctx, ops)); !cmp.Equal(is, sums) || sums["deliveries"].Rows != 1 {
				t.Error(cmp.Diff(is, sums))
			}
			if d := get[Delivery](t)(r.Delivery(ctx, ours, "d1")); d.Catalogue != (Ref{"spring", 2}) || d.State != Delivered {
				t.Errorf("%+v", d)
			}
			if v := get[List[Reservation]](t)(r.Reservations(ctx, ours, Page{})).Items; len(v) != 1 || v[0].Effect != "" || string(v[0].Raw) != "x" {
				t.Errorf("%+v", v)
			}
			if got := ids(get[List[Work]](t)(r.SearchWorks(ctx, ours, "lac", Page{})).Items); !slices.Equal(got, []string{"w1"}) {
				t.Error(got)
			}
			put(t, r, ours, "later") // numbers go on after the old ones
			_, err = Restore(ctx, place, bytes.NewReader(dump))
			wants(t, err, ErrConflict)

			place = d.place(t)
			fresh, err := Open(ctx, place)
			must(t, err)
			must(t, fresh.Close())
			_, err = Restore(ctx, place, bytes.NewReader(dump))
			wants(t, err, ErrConflict)
			if !strings.Contains(err.Error(), "new database") {
				t.Error(err)
			}
			place = d.place(t)
			if _, err := Restore(ctx, place, bytes.NewReader(bytes.Replace(dump, []byte("Bank A"), []byte("Bank B"), 1))); err == nil {
				t.Error("a damaged dump was restored")
			}
			get[map[string]Sum](t)(Restore(ctx, place, bytes.NewReader(dump))) // and is not in the way of a good one
		})
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

// TestAddresses: what may be shown of an address has no password, and the error for one that cannot be read shows nothing of it.
func TestAddresses(t *testing.T) {
	for where, want := range map[string]string{
		"a/b.db": "a/b.db", "/data/host=x/b.db": "/data/host=x/b.db", "postgres://u@h/d": "postgres://u@h/d",
		"postgres://u:sEcReT@h/d?sslmode=require":                   "postgres://u@h/d?sslmode=require",
		"postgresql:///d?password=sEcReT&host=/run&user=u":          "postgresql:///d?host=%2Frun&user=u",
		"postgres://u@h/d?sslpassword=sEcReT&sslcert=a&sslkey=b":    "postgres://u@h/d?sslcert=a&sslkey=b",
		"postgres://u@h/d?pass%77ord=sEcReT&password=sEcReT&host=g": "postgres://u@h/d?host=g",
	} {
		if got, err := WithoutPassword(where); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", where, got, err, want)
		}
	}
	for _, where := range []string{"postgre://u:sEcReT@h/d", "mysql://u:sEcReT@h/d", "Postgres://u:sEcReT@h/d", "postgres:/u:sEcReT@h/d", "postgresql:u:sEcReT@h",
		"host=h user=u password=sEcReT dbname=d", "dbname=d password='sEcReT'", "password = sEcReT", "user=u  sslpassword=sEcReT",
		"postgres://u:sEc/ReT@h/d", "postgres://u:1#sEcReT@h/d", "postgres://u:1?sEcReT@h/d", "postgres://u:sEcReT%zz@h/d", "postgres://h/d?password=sEcReT%zz", "postgres://h/d?a=1;password=sEcReT"} {
		_, shown := WithoutPassword(where)
		r, err := Open(ctx, where)
		if err == nil {
			r.Close()
		}
		for _, err := range []error{shown, err} {
			if err == nil || strings.Contains(err.Error(), "sEc") || strings.Contains(err.Error(), "ReT") || !strings.Contains(err.Error(), "not shown") {
				t.Errorf("%s: %v", where, err)
			}
		}
	}
	for _, where := range []string{"postgres://u:sEcReT@h/d?sslmode=none", "postgres://h/d?password=sEcReT&pool_max_conns=x", "postgres://u:sEcReT@localhost:1/d?connect_timeout=1&sslpassword=sEcReT"} {
		if _, err := Open(ctx, where); err == nil || strings.Contains(err.Error(), "sEcReT") {
			t.Errorf("%s: %v", where, err)
		}
	}
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
