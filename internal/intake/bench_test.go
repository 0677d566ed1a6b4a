//go:build unix

package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
)

// benchFiles is how many pictures the benchmark takes in: FILIGRANE_INTAKE_FILES, or 5,000.
func benchFiles(b *testing.B) int {
	text := os.Getenv("FILIGRANE_INTAKE_FILES")
	if text == "" {
		return 5000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100 {
		b.Fatal("FILIGRANE_INTAKE_FILES: give 100 or more")
	}
	return n
}

// benchFolder makes n JPEGs of 256 x 192 pixels, some 9 KB with the metadata an agency writes, 1,000 in a folder.
func benchFolder(b *testing.B, n int) string {
	img := image.NewYCbCr(image.Rect(0, 0, 256, 192), image.YCbCrSubsampleRatio420)
	for i := range img.Y {
		img.Y[i] = byte(i*i>>7 ^ i*7919>>4&31)
	}
	for i := range img.Cb {
		img.Cb[i], img.Cr[i] = byte(i>>6), byte(i*3)
	}
	var body bytes.Buffer
	must(b, jpeg.Encode(&body, img, &jpeg.Options{Quality: 80}))
	head := picture(0, title("Harbour at dawn"), owner("Anna Berg"), mining("DMI-ALLOWED"))
	head = head[:bytes.Index(head, []byte{0xff, 0xfe})] // up to the comment
	folder := b.TempDir()
	for i := range n {
		p := filepath.Join(folder, fmt.Sprintf("%04d", i/1000), fmt.Sprintf("%09d.jpg", i))
		if i%1000 == 0 {
			must(b, os.MkdirAll(filepath.Dir(p), 0o777))
		}
		comment := fmt.Appendf(nil, "picture %09d", i)
		data := bytes.Join([][]byte{head, {0xff, 0xfe, 0, byte(len(comment) + 2)}, comment, body.Bytes()[2:]}, nil)
		must(b, os.WriteFile(p, data, 0o666))
	}
	return folder
}

// processor gives the processor time this process has used: unlike the time by the clock it does not depend on what else
// the machine does. A PostgreSQL server's own is not in it.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIntake says how many files a second a folder of small pictures gives: listed only, read, decoded with the
// ISCC, and all that with a registry of either kind; and how many when nothing has changed. The differences are what each
// step costs. Run it with
//
//	FILIGRANE_INTAKE_FILES=20000 go test -tags nodynamic -run '^$' -bench Intake -benchtime 1x ./internal/intake
func BenchmarkIntake(b *testing.B) {
	n := benchFiles(b)
	folder := benchFolder(b, n)
	bucket := get[*dir.Bucket](b)(dir.OpenBucket(folder))
	defer bucket.Close()
	files := func(b *testing.B) { b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "files/s") }
	size := fmt.Sprintf("files=%d", n)
	b.Run(size+"/listed", func(b *testing.B) {
		for b.Loop() {
			must(b, bucket.Each(ctx, "", "", func(store.Object) error { return nil }))
		}
		files(b)
	})
	for _, step := range []struct {
		name string
		opt  ingest.Options
	}{{"read", ingest.Options{Now: noon}}, {"decoded", ingest.Options{Now: noon, Decode: true, Inspect: func(r *ingest.Record, p *raster.Picture) error { addISCC(r, p); return nil }}}} {
		b.Run(size+"/"+step.name, func(b *testing.B) {
			began := processor(b)
			for b.Loop() {
				sum, err := ingest.Run(ctx, (&source{bucket: bucket}).objects(ctx), step.opt, func(ingest.Result) error { return nil })
				if err != nil || sum.Added != n {
					b.Fatal(sum, err)
				}
				b.SetBytes(sum.BytesRead)
			}
			files(b)
			b.ReportMetric(float64((processor(b)-began).Microseconds())/float64(n*b.N), "cpu-us/file")
		})
	}
	for _, d := range places {
		benchRegistry(b, d.name, d.place, bucket, n)
	}
}

// benchRegistry takes the folder in, and then once more.
func benchRegistry(b *testing.B, name string, place func(testing.TB) string, bucket store.Bucket, n int) {
	b.Run(fmt.Sprintf("files=%d/%s", n, name), func(b *testing.B) {
		if b.N > 1 {
			b.Skip("works are new once: run with -benchtime 1x")
		}
		reg := open(b, place(b))
		opt := Options{Ingest: ingest.Options{Now: noon}}
		for _, again := range []bool{false, true} {
			var most uint64
			watched, stop := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() { // the heap, as often as it is likely to have grown
				defer close(done)
				for watched.Err() == nil {
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapInuse)
					time.Sleep(50 * time.Millisecond)
				}
			}()
			began, used := time.Now(), processor(b)
			rep, err := Run(ctx, bucket, reg, ours, opt)
			took := time.Since(began)
			stop()
			<-done
			if err != nil || again && (!rep.WroteNothing() || rep.Unchanged != n) || !again && rep.Added != n {
				b.Fatal(rep, errors.Join(err, errors.New("wrong")))
			}
			prefix := map[bool]string{true: "again-"}[again]
			b.ReportMetric(float64(n)/took.Seconds(), prefix+"files/s")
			b.ReportMetric(float64((processor(b)-used).Microseconds())/float64(n), prefix+"cpu-us/file")
			b.ReportMetric(100*rep.Registry.Seconds()/took.Seconds(), prefix+"%registry")
			b.ReportMetric(float64(most)/(1<<20), prefix+"MiB-heap")
		}
		b.ReportMetric(0, "ns/op")
	})
}
