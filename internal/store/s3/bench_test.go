package s3_test

import (
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/storetest"
)

var benchSizes = []struct {
	name string
	size int
}{{"64KiB", 64 << 10}, {"64MiB", 64 << 20}}

func benchStore(b *testing.B) *s3.Store {
	opt := options(b)
	opt.PartSize = 0 // the default
	return open(b, opt)
}

// BenchmarkPut puts one object after the other. Server and driver share the machine.
func BenchmarkPut(b *testing.B) {
	for _, c := range benchSizes {
		b.Run(c.name, func(b *testing.B) {
			s, data, i := benchStore(b), storetest.Bytes(1, c.size), 0
			b.SetBytes(int64(c.size))
			for b.Loop() {
				i++
				if err := store.PutBytes(ctx, s, fmt.Sprintf("k/%d", i%100), data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGet reads one object again and again, compared with its SHA-256.
func BenchmarkGet(b *testing.B) {
	for _, c := range benchSizes {
		b.Run(c.name, func(b *testing.B) {
			s := benchStore(b)
			if err := store.PutBytes(ctx, s, "key", storetest.Bytes(1, c.size)); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(c.size))
			for b.Loop() {
				read(b, s, int64(c.size))
			}
		})
	}
}

// BenchmarkEach lists 2,000 objects.
func BenchmarkEach(b *testing.B) {
	const n = 2000
	s := benchStore(b)
	for i := range n {
		if err := store.PutBytes(ctx, s, fmt.Sprintf("k/%04d", i), nil); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		seen := 0
		if err := s.Each(ctx, "", "", func(store.Object) error { seen++; return nil }); err != nil || seen != n {
			b.Fatal(seen, err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "objects/s")
}

func read(b *testing.B, s *s3.Store, size int64) {
	b.Helper()
	r, err := s.Open(ctx, "key")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n != size {
		b.Fatal(n, err)
	}
}

// BenchmarkStream1GiB writes and reads an object of 1 GiB whose size nobody knows before, and reports the most memory that
// Go's heap had.
func BenchmarkStream1GiB(b *testing.B) {
	const size, piece = 1 << 30, 1 << 20
	s, data := benchStore(b), storetest.Bytes(1, piece)
	runtime.GC()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-tick.C:
				metrics.Read(sample)
				most = max(most, sample[0].Value.Uint64())
			case <-stop:
				tick.Stop()
				peak <- most
				return
			}
		}
	}()
	b.SetBytes(2 * size)
	for b.Loop() {
		err := s.Put(ctx, "key", func(w io.Writer) error {
			for range size / piece {
				if _, err := w.Write(data); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		read(b, s, size)
	}
	close(stop)
	most := <-peak
	b.ReportMetric(float64(most)/(1<<20), "peak-heap-MiB")
	if limit := uint64(200 << 20); most > limit {
		b.Errorf("%d MiB of heap for a stream, over %d", most>>20, limit>>20)
	}
}
