package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/testphotos"
)

// benchPicture is a JPEG of 40 KB with the metadata an agency writes: XMP with title, creator, owner, keywords.
func benchPicture(filler []byte) []byte {
	p := picture(1, xmpSegment(`<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Harbour at dawn</rdf:li></rdf:Alt></dc:title><dc:creator><rdf:Seq><rdf:li>Anna Berg</rdf:li></rdf:Seq></dc:creator>`+
		`<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">(c) Anna Berg</rdf:li></rdf:Alt></dc:rights><dc:subject><rdf:Bag><rdf:li>sea</rdf:li><rdf:li>harbour</rdf:li><rdf:li>dawn</rdf:li></rdf:Bag></dc:subject>`+
		`<xmpRights:Owner><rdf:Bag><rdf:li>Anna Berg</rdf:li></rdf:Bag></xmpRights:Owner><plus:DataMining>http://ns.useplus.org/ldf/vocab/DMI-ALLOWED</plus:DataMining>`))
	return append(append(append([]byte{}, p[:len(p)-2]...), filler...), 0xff, 0xd9)
}

// manyObjects lists n objects of 40 KB that differ in eight bytes, without holding them: each is made when it is opened.
func manyObjects(n int, base []byte) Objects {
	return func(yield func(Object, error) bool) {
		for i := range n {
			open := func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(bytes.NewReader(base[:len(base)-10]), bytes.NewReader(fmt.Appendf(nil, "%08d", i)), bytes.NewReader(base[len(base)-2:]))), nil
			}
			if !yield(Object{Name: fmt.Sprintf("masters/%09d.jpg", i), Size: int64(len(base)), Modified: now, Open: open}, nil) {
				return
			}
		}
	}
}

func benchRun(b *testing.B, n int, opt Options) {
	base := benchPicture(bytes.Repeat([]byte{0x55}, 40_000))
	opt.Now = now
	for b.Loop() {
		var before, after, total runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		claims := NewClaims()
		opt.Claims = claims
		sum, err := Run(context.Background(), manyObjects(n, base), opt, func(r Result) error {
			if r.Record == nil {
				b.Fatalf("%+v", r.Refusal)
			}
			return nil
		})
		if err != nil || sum.Added != n {
			b.Fatal(err, sum)
		}
		runtime.ReadMemStats(&total)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/float64(n), "B-kept/object")
		b.ReportMetric(float64(total.TotalAlloc-before.TotalAlloc)/float64(n), "B-allocated/object")
		runtime.KeepAlive(claims)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

func BenchmarkRun(b *testing.B) {
	b.Run("header", func(b *testing.B) { benchRun(b, 20_000, Options{}) })
	b.Run("decode", func(b *testing.B) { benchRun(b, 20_000, Options{Decode: true}) })
	b.Run("table", func(b *testing.B) {
		const n = 20_000
		var text bytes.Buffer
		text.WriteString("file,description,season\n")
		for i := range n {
			fmt.Fprintf(&text, "masters/%09d.jpg,Boats leave the harbour at dawn,summer\n", i)
		}
		tab, err := table.Read(context.Background(), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text.Bytes())), nil }, table.Options{TempDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		defer tab.Close()
		if b.N > 1 {
			b.Skip("rows are taken once: run with -benchtime 1x")
		}
		benchRun(b, n, Options{Table: tab})
	})
}

// BenchmarkPhotos reads the real photographs, with and without decoding them.
func BenchmarkPhotos(b *testing.B) {
	var photos bucket
	for _, name := range testphotos.Names(b) {
		data, err := os.ReadFile(filepath.Join(testphotos.Dir(), name))
		if err != nil {
			b.Fatal(err)
		}
		photos.put(name, data)
	}
	for name, decode := range map[string]bool{"header": false, "decode": true} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				sum, err := Run(context.Background(), photos.list(), Options{Now: now, Decode: decode}, func(Result) error { return nil })
				if err != nil || sum.Added == 0 {
					b.Fatal(err, sum)
				}
				b.SetBytes(sum.BytesRead)
			}
			b.ReportMetric(float64(len(photos.files))*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
		})
	}
}

// BenchmarkUnchanged is the second run over a bucket of which nothing changed.
func BenchmarkUnchanged(b *testing.B) {
	const n = 100_000
	known := func(yield func(Seen, error) bool) {
		for i := range n {
			if !yield(Seen{Name: fmt.Sprintf("masters/%09d.jpg", i), Size: 1000, Modified: now, SHA256: "x"}, nil) {
				return
			}
		}
	}
	for b.Loop() {
		sum, err := Run(context.Background(), manyObjects(n, make([]byte, 1000)), Options{Now: now, Known: listed{known}, Stat: new(bucket).stat}, func(Result) error { return nil })
		if err != nil || sum.Unchanged != n {
			b.Fatal(err, sum)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

// listed is a Known of a list alone.
type listed struct {
	all func(func(Seen, error) bool)
}

func (l listed) Each(context.Context) iter.Seq2[Seen, error] { return l.all }

func (l listed) ByHash(context.Context, string) (Seen, bool, error) { return Seen{}, false, nil }
