package registry

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/filigrane/filigrane/concepts"
)

// benchWorks is how many works the benchmark imports: FILIGRANE_REGISTRY_WORKS, or 100,000.
func benchWorks(t testing.TB) int {
	n, err := strconv.Atoi(os.Getenv("FILIGRANE_REGISTRY_WORKS"))
	if os.Getenv("FILIGRANE_REGISTRY_WORKS") == "" {
		return 100_000
	}
	if err != nil || n < 1000 {
		t.Fatal("FILIGRANE_REGISTRY_WORKS: give 1000 or more")
	}
	return n
}

// generator draws works as a bank has them: titles of 3 to 7 words and 8 keywords of 20,000 words, few of them
// common (Zipf), 2,000 creators, two columns of the bank's own. The same seed gives the same works.
type generator struct {
	rng      *rand.Rand
	word     *rand.Zipf
	creators *rand.Zipf
}

func newGenerator(seed uint64) *generator {
	rng := rand.New(rand.NewPCG(seed, 5))
	return &generator{rng, rand.NewZipf(rng, 1.1, 8, 19_999), rand.NewZipf(rng, 1.2, 20, 1_999)}
}

// spell makes a word of a number, of two to four syllables.
func spell(n uint64) string {
	var b strings.Builder
	for n += 30; n > 0; n /= 60 {
		b.WriteByte("bcdfglmnprst"[n%12])
		b.WriteByte("aeiou"[n/12%5])
	}
	return b.String()
}

func (g *generator) words(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = spell(g.word.Uint64())
	}
	return list
}

func (g *generator) work(i int) Work {
	var seed [8]byte
	binary.BigEndian.PutUint64(seed[:], uint64(i))
	h := sha256.Sum256(seed[:])
	keywords := g.words(8)
	return Work{Work: concepts.Work{ID: concepts.NewWorkID(h), Path: fmt.Sprintf("masters/%03d/%09d.jpg", i%1000, i), SHA256: hex.EncodeToString(h[:]),
		Width: 4000 + g.rng.IntN(4000), Height: 3000 + g.rng.IntN(3000), Format: "jpeg", Title: strings.Join(g.words(3+g.rng.IntN(5)), " "),
		Creator: "Photographer " + spell(g.creators.Uint64()), Keywords: keywords, RightsHolder: "Agency " + strconv.Itoa(i%40),
		Columns: []concepts.Column{{Name: "collection", Value: "c" + strconv.Itoa(i%500)}, {Name: "price", Value: strconv.Itoa(g.rng.IntN(90))}}},
		Bytes: 2_000_000 + g.rng.Int64N(9_000_000), ISCC: "ISCC:EED" + strings.ToUpper(hex.EncodeToString(h[:16]))}
}

// load imports works from..to in batches of 5,000, and gives the time it took besides drawing them.
func load(t testing.TB, r *Registry, g *generator, from, to int) (took time.Duration, c Changes) {
	const batch = 5000
	for i := from; i < to; i += batch {
		list := make([]Work, min(batch, to-i))
		for k := range list {
			list[k] = g.work(i + k)
		}
		began := time.Now()
		more, err := r.PutWorks(ctx, ours, list, noon)
		must(t, err)
		took += time.Since(began)
		c.Add(more)
	}
	return took, c
}

// BenchmarkRegistry imports works, once, and then asks for pages of them. Run it with -benchtime 200x or so:
//
//	FILIGRANE_REGISTRY_WORKS=1000000 go test -tags nodynamic -run '^$' -bench Registry -benchtime 200x ./internal/registry
func BenchmarkRegistry(b *testing.B) {
	for _, d := range drivers {
		b.Run(d.name, func(b *testing.B) {
			place := d.place(b)
			r := fresh(b, place)
			n := benchWorks(b)
			took, _ := load(b, r, newGenerator(1), 0, n)
			analyse(b, r)
			b.Logf("%s: %d works imported in %.1f s: %.0f works/s; %.0f bytes a work", d.name, n, took.Seconds(), float64(n)/took.Seconds(), size(b, r)/float64(n))
			again := min(n, 100_000)
			took, c := load(b, r, newGenerator(1), 0, again)
			b.Logf("%s: %d works imported again in %.1f s: %.0f works/s: %+v", d.name, again, took.Seconds(), float64(again)/took.Seconds(), c)
			pages(b, r, n)
			versions(b, r, n)
		})
	}
}

func pages(b *testing.B, r *Registry, n int) {
	g := newGenerator(2)
	key := func() string { return string(g.work(g.rng.IntN(n)).ID) }
	for _, c := range []struct {
		name string
		page func() (List[Work], error)
	}{
		{"work by id", func() (List[Work], error) {
			w, err := r.Work(ctx, ours, concepts.WorkID(key()))
			return List[Work]{Items: []Work{w}}, err
		}},
		{"page by id", func() (List[Work], error) {
			return r.Works(ctx, ours, WorkQuery{}, Page{After: worksInOrder[ByID].cursor([]any{key()})})
		}},
		{"page by path", func() (List[Work], error) {
			return r.Works(ctx, ours, WorkQuery{Order: ByPath}, Page{After: worksInOrder[ByPath].cursor([]any{g.work(g.rng.IntN(n)).Path, int64(0)})})
		}},
		{"page by creator", func() (List[Work], error) {
			return r.Works(ctx, ours, WorkQuery{Order: ByCreator}, Page{After: worksInOrder[ByCreator].cursor([]any{g.work(0).Creator, key()})})
		}},
		{"page by change", func() (List[Work], error) {
			return r.Works(ctx, ours, WorkQuery{Order: ByChanged}, Page{After: worksInOrder[ByChanged].cursor([]any{micros(noon), key()})})
		}},
		{"search two drawn words", func() (List[Work], error) { return r.SearchWorks(ctx, ours, strings.Join(g.words(2), " "), Page{}) }},
		{"search rare word", func() (List[Work], error) {
			return r.SearchWorks(ctx, ours, spell(19_000+g.rng.Uint64N(900)), Page{})
		}},
		{"search commonest word", func() (List[Work], error) { return r.SearchWorks(ctx, ours, spell(0), Page{}) }},
		{"search beginning of two letters", func() (List[Work], error) { return r.SearchWorks(ctx, ours, "ba*", Page{}) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			rows := 0
			for b.Loop() {
				began := time.Now()
				l, err := c.page()
				must(b, err)
				took = append(took, time.Since(began))
				rows += len(l.Items)
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
			b.ReportMetric(float64(rows)/float64(len(took)), "rows/page")
		})
	}
}

// versions freezes all works, then again after one of a hundred has changed.
func versions(b *testing.B, r *Registry, n int) {
	began, before := time.Now(), size(b, r)
	_, _, err := r.FreezeCatalogue(ctx, ours, "all", noon)
	must(b, err)
	b.Logf("version 1 of %d works frozen in %.1f s, %.0f bytes a work", n, time.Since(began).Seconds(), (size(b, r)-before)/float64(n))
	g := newGenerator(3)
	for i := 0; i < n; i += 100 * 1000 {
		var list []Work
		for k := i; k < min(n, i+100*1000); k += 100 {
			list = append(list, g.work(k))
		}
		_, err := r.PutWorks(ctx, ours, list, noon)
		must(b, err)
	}
	began, before = time.Now(), size(b, r)
	v, c, err := r.FreezeCatalogue(ctx, ours, "all", noon)
	must(b, err)
	b.Logf("version 2 with %+v frozen in %.1f s, %.0f bytes a change", c, time.Since(began).Seconds(), (size(b, r)-before)/float64(c.Changed))
	began = time.Now()
	must(b, r.CheckCatalogue(ctx, ours, v.Ref))
	b.Logf("its hash checked in %.1f s", time.Since(began).Seconds())
	began = time.Now()
	changes := 0
	for after := ""; ; {
		l, err := r.CatalogueDiff(ctx, ours, "all", 1, 2, Page{after, MostPerPage})
		must(b, err)
		changes += len(l.Items)
		if after = l.Next; after == "" {
			break
		}
	}
	b.Logf("the %d changes listed in %.2f s", changes, time.Since(began).Seconds())
}

// analyse brings the planners' statistics up to date, as autovacuum and a maintenance job would.
func analyse(t testing.TB, r *Registry) {
	t.Helper()
	if r.pool != nil {
		_, err := r.pool.Exec(ctx, "ANALYZE")
		must(t, err)
		return
	}
	_, err := r.writer.Exec("PRAGMA analysis_limit=1000; ANALYZE")
	must(t, err)
}

// size gives the bytes of the database.
func size(t testing.TB, r *Registry) float64 {
	t.Helper()
	var n int64
	if r.pool != nil {
		must(t, r.pool.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&n))
		return float64(n)
	}
	_, err := r.writer.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	must(t, err)
	must(t, r.writer.QueryRow("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").Scan(&n))
	return float64(n)
}

// BenchmarkImport imports works into SQLite and PostgreSQL, and nothing else: for profiles.
func BenchmarkImport(b *testing.B) {
	for _, d := range drivers {
		b.Run(d.name, func(b *testing.B) {
			n := benchWorks(b)
			for b.Loop() {
				took, _ := load(b, fresh(b, d.place(b)), newGenerator(1), 0, n)
				b.ReportMetric(float64(n)/took.Seconds(), "works/s")
			}
		})
	}
}
