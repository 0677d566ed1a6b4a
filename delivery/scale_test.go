package delivery

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/fstest"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/iscc"
)

// BenchmarkManyTiny delivers thousands of pictures of 64 x 64 pixels and reports what a run holds in memory for each:
//
//	go test ./delivery -tags nodynamic -run - -bench ManyTiny -benchtime 1x
//
// live-B/picture is the heap in use after the run, the manifest included, less what was in use before it, over the number of
// pictures; peak-MB the same of the most that was in use at any tenth of a second, which the garbage collector lets
// grow to twice what is needed. Masters are made when they are asked for. The catalogue is not counted.
func BenchmarkManyTiny(b *testing.B) {
	for _, n := range []int{4000, 16000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			spec, source := tinyPictures(b, n)
			for range b.N {
				before := heap()
				stop := watchHeap()
				d, err := Run(context.Background(), spec, source, openStore(b, b.TempDir()), nil)
				if err != nil {
					b.Fatal(err)
				}
				peak := stop() - before
				b.ReportMetric(float64(peak)/1e6, "peak-MB")
				b.ReportMetric(float64(heap()-before)/float64(n), "live-B/picture")
				b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N*n), "ms/picture")
				runtime.KeepAlive(d)
			}
		})
	}
}

// BenchmarkManyRecords measures what the last steps of a run take for each of so many pictures, without the pictures: their
// records, the manifest, its text, and reading it again.
//
//	go test ./delivery -tags nodynamic -run - -bench ManyRecords -benchtime 1x
func BenchmarkManyRecords(b *testing.B) {
	const n = 200_000
	for range b.N {
		before := heap()
		m := manyRecords(n)
		b.ReportMetric(float64(heap()-before)/n, "manifest-B/picture")
		stop := watchHeap()
		st := openStore(b, b.TempDir())
		sum, err := putManifest(context.Background(), st, m)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(stop()-heap())/n, "writing-B/picture")
		stop = watchHeap()
		again, text, err := readManifest(context.Background(), st)
		if err != nil || text != sum || len(again.Images) != n {
			b.Fatal(err)
		}
		b.ReportMetric(float64(stop()-before)/n, "reading-B/picture")
		runtime.KeepAlive(m)
	}
}

// tinyPictures asks for n different crops of 64 x 64 pixels in twenty folders, and makes them.
func tinyPictures(t testing.TB, n int) (Spec, Source) {
	src := testphotos.Picture(t, "forest/woodland-cascade.jpg").Image.(*image.NRGBA)
	crop := func(i int) []byte {
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		at := image.Pt(rng.IntN(src.Rect.Dx()-64), rng.IntN(src.Rect.Dy()-64))
		return append(pngOf(t, src.SubImage(image.Rectangle{at, at.Add(image.Pt(64, 64))})), fmt.Sprint(i)...)
	}
	files := fstest.MapFS{}
	for i := range n {
		files[fmt.Sprintf("c%02d/%06d.png", i%20, i)] = &fstest.MapFile{Data: crop(i)}
	}
	spec := poolSpec(t, files, "square:64", 42)
	spec.ImagesPerShard, spec.Shards = 1000, ShardsTar
	return spec, func(_ context.Context, w concepts.Work) (io.ReadCloser, error) {
		var folder, i int
		if _, err := fmt.Sscanf(w.Path, "c%d/%d.png", &folder, &i); err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(crop(i))), nil
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// watchHeap looks at the heap ten times a second until stop, which gives the most seen.
func watchHeap() (stop func() int64) {
	ended, most := make(chan bool), make(chan int64)
	go func() {
		var peak int64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, int64(m.HeapAlloc))
			select {
			case <-ended:
				most <- peak
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		ended <- true
		return <-most
	}
}

// manyRecords is a manifest as of n pictures readable each, without shards of its own making.
func manyRecords(n int) *Manifest {
	m := exampleManifest()
	one := m.Images[0]
	m.Images, m.Shards, m.Refusals = make([]Image, 0, n), []Shard{}, []Refusal{}
	for i := range n {
		img := one
		id := fmt.Sprintf("%064x", i)
		img.Work, img.SourcePath = concepts.WorkID(id[48:]), "photographs/"+id[40:]+".jpg"
		img.Key, img.WorkNumber = string(img.Work), i+1
		img.SourceSHA256, img.SHA256, img.WordsSHA256 = id, "1"+id[1:], "2"+id[1:]
		img.ISCCImage, img.ISCCInstance = iscc.ImageCodeOf(iscc.Pixels{byte(i)}, iscc.DefaultBits), iscc.InstanceCodeOf([]byte(id))
		img.Concepts = []NumberedConcept{{3, one.Concepts[0].ID}}
		for _, s := range []*Statistics{&img.T, &img.CopyT, &img.ThumbnailT, &img.PieceT} {
			s.Concepts = []float64{float64(i)}
		}
		img.Shard = shardName(i / 1000)
		if i%1000 == 0 {
			m.Shards = append(m.Shards, Shard{img.Shard, id, 1 << 20, min(1000, n-i)})
		}
		m.Images = append(m.Images, img)
	}
	m.Summary = m.summarise()
	return m
}
