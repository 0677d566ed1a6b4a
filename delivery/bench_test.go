package delivery

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// BenchmarkAllPhotos delivers every photograph at square:1024, standard, and logs what the loop did:
//
//	go test ./delivery -run - -bench AllPhotos -benchtime 1x -v
func BenchmarkAllPhotos(b *testing.B) {
	files := fstest.MapFS{}
	for _, name := range testphotos.Names(b) {
		files[name] = &fstest.MapFile{Data: photo(b, name)}
	}
	for range b.N {
		d := deliver(b, specOf(b, files, "square:1024", nil), files, openStore(b, b.TempDir()))
		b.Logf("%+v", d.Summary)
		upscaled := 0
		for i := range d.Images {
			img := &d.Images[i]
			if img.Upscaled {
				upscaled++
			}
			if img.StrengthSteps > 0 {
				b.Logf("strengthened by %d steps: %s, %.2f dB, T %v; thumbnail %v", img.StrengthSteps, img.SourcePath, img.PSNRDB, img.T, img.ThumbnailT)
			}
		}
		for _, r := range d.Refusals {
			b.Logf("refused: %s: %s: %s", r.Path, r.Kind, r.Detail)
		}
		b.Logf("%d upscaled", upscaled)
		b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N*len(files)), "ms/image")
		b.ReportMetric(d.Summary.PSNRMeanDB, "psnr-dB")
		b.ReportMetric(d.Summary.SSIMMean, "ssim")
	}
}

// BenchmarkSteps times the steps of one image at square:1024, over twelve photographs, on one core:
//
//	go test ./delivery -run - -bench Steps -benchtime 1x
func BenchmarkSteps(b *testing.B) {
	names := testphotos.Names(b)
	files := fstest.MapFS{}
	for i := 0; i < len(names); i += 5 {
		files[names[i]] = &fstest.MapFile{Data: photo(b, names[i])}
	}
	spec := specOf(b, files, "square:1024", nil)
	m, err := newMarker(spec)
	if err != nil {
		b.Fatal(err)
	}
	spent := map[string]time.Duration{}
	images := 0
	for range b.N {
		for name := range files {
			if steps(b, m, name, files[name].Data, spent) {
				images++
			}
		}
	}
	for step, d := range spent {
		b.ReportMetric(float64(d.Microseconds())/1000/float64(images), step+"-ms")
	}
	staged := Making{store: openStore(b, b.TempDir()), job: "bench"}
	began := time.Now()
	for i := range 20 {
		one := gathered{outcome{Work: concepts.WorkID(fmt.Sprint(i)), Image: &Image{}}, make([]byte, 1<<21)}
		if err := staged.stageBatch(context.Background(), 0, []gathered{one}, nil, new(Times)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Since(began).Microseconds())/20000, "stage-ms")
}

// steps does what marker.mark does, once, with a stop-watch; false if the photograph is too small.
func steps(b *testing.B, m *marker, name string, data []byte, spent map[string]time.Duration) bool {
	began := time.Now()
	lap := func(step string) {
		spent[step] += time.Since(began)
		began = time.Now()
	}
	p, err := raster.Decode(data, raster.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	decode := time.Since(began)
	host, _, ref := m.spec.Geometry.apply(p.Image, false)
	if ref != nil {
		return false
	}
	spent["decode"] += decode
	began = began.Add(decode)
	lap("geometry")
	cell := mark.NewCell(m.profile, m.books, mark.Names{Concepts: []int{1}, Work: 1})
	marked, _, err := embed.Mark(host, cell, embed.Options{PSNRDB: 42.25, Resolution: 1024})
	if err != nil {
		b.Fatal(name, err)
	}
	lap("embed")
	p.Image = marked
	var file bytes.Buffer
	if err := raster.Encode(&file, p, m.spec.Format.EncodeOptions(p.Format)); err != nil {
		b.Fatal(err)
	}
	lap("encode")
	again, err := raster.Decode(file.Bytes(), raster.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	lap("re-read")
	signal.PSNR(host, again.Image)
	signal.SSIM(host, again.Image)
	lap("psnr+ssim")
	if _, err := m.readers.of(1024, 1024).Read(again.Image); err != nil {
		b.Fatal(err)
	}
	lap("detect")
	small := thumbnail(again.Image, ThumbnailSide)
	lap("thumbnail")
	if _, err := m.readers.of(1024, 1024).Read(small); err != nil {
		b.Fatal(err)
	}
	lap("detect-thumbnail")
	hashOf(file.Bytes())
	lap("hash")
	return true
}
