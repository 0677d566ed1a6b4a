package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

func read(t testing.TB, text string, opt Options) (*Table, error) {
	t.Helper()
	opt.TempDir = t.TempDir()
	tab, err := Read(context.Background(), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }, opt)
	if err != nil {
		if left, _ := os.ReadDir(opt.TempDir); len(left) > 0 {
			t.Errorf("after an error %d files are left", len(left))
		}
		return nil, err
	}
	t.Cleanup(func() {
		if err := tab.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(opt.TempDir); len(left) > 0 {
			t.Errorf("%d files are left", len(left))
		}
	})
	return tab, nil
}

func TestFormsAndEncodings(t *testing.T) {
	const french = "Fichier;Titre;Ayant droit 1;Part 1;Créateur;Saison\nété/port.jpg;Le port à l’aube;Zoé;50 %;Anaïs;été\n\"a;b.jpg\";\"dit \"\"oui\"\"\";;;;\n"
	encode := func(e interface {
		String(string) (string, error)
	}) string {
		s, err := e.String(french)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for want, text := range map[string]string{
		UTF8:        french,
		UTF8Mark:    "\ufeff" + french,
		UTF16LE:     encode(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder()),
		UTF16BE:     encode(unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder()),
		Windows1252: encode(charmap.Windows1252.NewEncoder()),
	} {
		tab, err := read(t, text, Options{})
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if tab.Encoding != want || tab.Delimiter != ";" || tab.Format != "csv" || tab.Key != FieldPath || tab.Rows != 2 || tab.Bad != 0 {
			t.Errorf("%s: %+v", want, tab)
		}
		row, ok, err := tab.Lookup("e\u0301te\u0301/port.jpg", nil) // decomposed, as macOS writes it
		wanted := []Field{{FieldTitle, "Le port à l’aube"}, {"rights_holder.1", "Zoé"}, {"share.1", "50 %"}, {FieldCreator, "Anaïs"}, {"Saison", "été"}}
		if err != nil || !ok || row.Line != 2 || !cmp.Equal(row.Fields, wanted) {
			t.Errorf("%s: %v %v: %s", want, ok, err, cmp.Diff(wanted, row.Fields))
		}
		if row, ok, _ := tab.Lookup("a;b.jpg", nil); !ok || row.Get(FieldTitle) != `dit "oui"` {
			t.Errorf("%s: %+v", want, row)
		}
	}
}

func TestJSONLines(t *testing.T) {
	tab, err := read(t, `{"filename":"a.jpg","title":"A","keywords":["sea","harbour"],"year":1931,"sold":true,"note":null}

{"filename":"b.jpg"
{"filename":"x/c.jpg"}
{"title":"no file"}
{"filename":"d.jpg","extra":{"a":1}}
{"filename":"e.jpg","iscc":"ISCC:X"}
`, Options{})
	if err != nil {
		t.Fatal(err)
	}
	row, ok, err := tab.Lookup("some/where/a.jpg", nil)
	want := []Field{{FieldKeywords, "sea; harbour"}, {"sold", "true"}, {FieldTitle, "A"}, {"year", "1931"}}
	if err != nil || !ok || !cmp.Equal(row.Fields, want) {
		t.Errorf("%v %v %+v", ok, err, row)
	}
	if tab.Rows != 2 || tab.Bad != 4 || tab.Key != FieldName || len(tab.Problems) != 4 || tab.Problems[0].Line != 3 {
		t.Errorf("%+v", tab)
	}
}

func TestJoin(t *testing.T) {
	tab, err := read(t, "id,titre,Bild\nR1,One,x\nR2,Two,y\nR3,Three,\nR3,Three,\nR4,a,\nR4,b,\n", Options{Map: map[string]string{"Bild": "headline"}})
	if err != nil {
		t.Fatal(err)
	}
	row, ok, err := tab.Lookup("p/q.jpg", []string{"none", "R2"})
	if err != nil || !ok || row.Get(FieldTitle) != "Two" || row.Get(FieldHeadline) != "y" {
		t.Errorf("%v %v %+v", ok, err, row)
	}
	if tab.Use(row) {
		t.Error("used before")
	}
	if !tab.Use(row) {
		t.Error("the second use is not seen")
	}
	if row, ok, err := tab.Lookup("", []string{"R3"}); err != nil || !ok || tab.Use(row) {
		t.Errorf("two rows that agree: %v %v", ok, err)
	}
	spaces, err := read(t, "file,title\n a.jpg,space\n", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := spaces.Lookup("a.jpg", nil); ok {
		t.Error("a row is taken for another file, whose name has no space")
	}
	var amb *Ambiguous
	if _, _, err := tab.Lookup("", []string{"R4"}); !errors.As(err, &amb) || !cmp.Equal(amb.Lines, []int64{6, 7}) {
		t.Errorf("two rows that differ: %v", err)
	}
	var unused []int64
	if err := tab.Unused(func(r Row) error { unused = append(unused, r.Line); return nil }); err != nil || !cmp.Equal(unused, []int64{2}) {
		t.Errorf("unused %v, %v", unused, err)
	}
}

func TestBadTables(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "empty",
		" \n":                               "empty",
		"title,creator\na,b\n":              "which file",
		"file,title,Titre\n":                "both hold title",
		"file,,x\n":                         "no name",
		"[{\"file\":\"a\"}]":                "JSON array",
		"{\"title\":\"a\"}\n":               "which file",
		"file," + strings.Repeat("a,", 300): "column",
		"file,title\na.jpg,\"" + strings.Repeat("long\n", 400_000): "quote that is not closed",
	} {
		if _, err := read(t, text, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
	tab, err := read(t, "file,title\n../a.jpg,x\nb.jpg\nc.jpg,bell\x07\nd.jpg,\"x\" y\n,nobody\ne.jpg,fine\n", Options{})
	if err != nil || tab.Rows != 1 || tab.Bad != 5 {
		t.Fatalf("%v %+v", err, tab)
	}
	for i, want := range []string{"..", "1 fields", "U+0007", "quote", "about no file"} {
		if p := tab.Problems[i]; !strings.Contains(p.Text, want) || p.Line != int64(i+2) {
			t.Errorf("problem %d: %+v, want %q", i, p, want)
		}
	}
}

// A table longer than a row may be, and than a page of the index: every row is found, and none that is not there.
func TestManyRows(t *testing.T) {
	const n = 30_000
	tab, err := Read(context.Background(), func() (io.ReadCloser, error) { return rows(n), nil }, Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer tab.Close()
	if tab.Rows != n || tab.Bad != 0 || tab.Bytes < 2*maxRowBytes {
		t.Fatalf("%d rows, %d left out, %d bytes", tab.Rows, tab.Bad, tab.Bytes)
	}
	for i := range n {
		row, ok, err := tab.Lookup(fmt.Sprintf("masters/%03d/%09d.jpg", i%1000, i), nil)
		if err != nil || !ok || row.Line != int64(i)+2 || row.Get(FieldTitle) != fmt.Sprintf("Harbour at dawn %d", i) || tab.Use(row) {
			t.Fatalf("row %d: %v %v %+v", i, ok, err, row)
		}
		if i%100 == 0 {
			if _, ok, _ := tab.Lookup(fmt.Sprintf("masters/%09d.jpg", i), nil); ok {
				t.Fatal("found a row that is not there")
			}
		}
	}
	if err := tab.Unused(func(r Row) error { return fmt.Errorf("row %d is unused", r.Line) }); err != nil {
		t.Error(err)
	}
}

func TestFieldOf(t *testing.T) {
	for in, want := range map[string]string{
		"FILE": FieldPath, "Nom du fichier": FieldName, "Légende": FieldDescription, "Mots-clés": FieldKeywords, "Ayants droit": FieldRightsHolder,
		"rights_holder_2": "rights_holder.2", "Part 02": "share.2", "ISNI3": "isni.3", "Title 2": "", "Colour": "", "": "", "2": "",
	} {
		if got := FieldOf(in); got != want {
			t.Errorf("FieldOf(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Read(ctx, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("file\na\n")), nil }, Options{TempDir: t.TempDir()})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"file,title\na.jpg,b\n", "\ufefffichier;titre\na;b", "{\"file\":\"a\"}\n", "\xff\xfef\x00i\x00l\x00e\x00\n\x00a\x00", "file\n\"a", "file,id\n\x81,b"} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) {
		tab, err := Read(context.Background(), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(in)), nil }, Options{TempDir: dir})
		if err != nil {
			return
		}
		defer tab.Close()
		n := int64(0)
		if err := tab.Unused(func(r Row) error {
			n++
			if tab.Key == FieldPath {
				if _, ok, err := tab.Lookup(r.Key, nil); !ok && !errors.As(err, new(*Ambiguous)) {
					t.Fatalf("row %d is not found by its key %q: %v", r.Line, r.Key, err)
				}
			}
			return nil
		}); err != nil || n > tab.Rows {
			t.Fatal(n, tab.Rows, err)
		}
	})
}

// rows gives a table of n rows without holding it.
func rows(n int) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		var b bytes.Buffer
		b.WriteString("file,title,creator,rights_holder,keywords\n")
		for i := range n {
			fmt.Fprintf(&b, "masters/%03d/%09d.jpg,Harbour at dawn %d,Anna Berg,Anna Berg (50%%); Studio Lund (50%%),sea; harbour; dawn\n", i%1000, i, i)
			if b.Len() > 1<<16 {
				if _, err := w.Write(b.Bytes()); err != nil {
					return
				}
				b.Reset()
			}
		}
		w.Write(b.Bytes())
		w.Close()
	}()
	return r
}

// BenchmarkRead reads 1,000,000 rows and reports the rate and the memory that is left in use; BenchmarkLookup finds them.
func BenchmarkRead(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		tab, err := Read(context.Background(), func() (io.ReadCloser, error) { return rows(n), nil }, Options{TempDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/n, "B-memory/row")
		b.ReportMetric(float64(tab.Bytes+16*tab.Rows)/n, "B-disk/row")
		tab.Close()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkLookup(b *testing.B) {
	const n = 200_000
	tab, err := Read(context.Background(), func() (io.ReadCloser, error) { return rows(n), nil }, Options{TempDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer tab.Close()
	i := 0
	for b.Loop() {
		i = (i + 7919) % n
		if _, ok, err := tab.Lookup(fmt.Sprintf("masters/%03d/%09d.jpg", i%1000, i), nil); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
