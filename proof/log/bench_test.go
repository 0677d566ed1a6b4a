package log

import (
	"fmt"
	"runtime"
	"testing"
)

// BenchmarkAppend adds batches to a log in a folder; a batch is durable and published when Append returns.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 16, 256, 4096, MaxBatch} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			s, vkey := newKey(b, origin, 1)
			w := newWriter(b, folderStore(b), s, newPolicy(b, vkey))
			round := 0
			for b.Loop() {
				round++
				b.StopTimer()
				list := entries(fmt.Sprintf("some 100 bytes, as a commitment has them: %050d", round), batch)
				b.StartTimer()
				add(b, w, list...)
			}
			b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// BenchmarkMillion is what readers and a starting writer do with a log of 1,000,000 entries in a folder.
func BenchmarkMillion(b *testing.B) {
	const size = 1_000_000
	s, vkey := newKey(b, origin, 1)
	st, p := folderStore(b), newPolicy(b, vkey)
	w := newWriter(b, st, s, p)
	for at := 0; at < size; at += MaxBatch {
		add(b, w, entries(fmt.Sprintf("some 100 bytes, as a commitment has them: %050d", at), min(MaxBatch, size-at))...)
	}
	c := w.Checkpoint()
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	name := func(what string) string { return fmt.Sprintf("%s/%d", what, size) }
	b.Run(name("inclusion-cold"), func(b *testing.B) {
		for i := int64(0); b.Loop(); i++ {
			if _, err := NewReader(FromBucket(st), p).Inclusion(ctx, c, i*7919%size); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(name("inclusion-warm"), func(b *testing.B) {
		r := NewReader(FromBucket(st), p)
		for i := int64(0); b.Loop(); i++ {
			if _, err := r.Inclusion(ctx, c, i*7919%size); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(name("entry"), func(b *testing.B) {
		r := NewReader(FromBucket(st), p)
		for i := int64(0); b.Loop(); i++ {
			if _, _, err := r.Entry(ctx, c, i*7919%size); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(name("verify-proof"), func(b *testing.B) {
		e, i, err := NewReader(FromBucket(st), p).Entry(ctx, c, 654_321)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := i.Verify(p, e); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(name("consistency"), func(b *testing.B) {
		r := NewReader(FromBucket(st), p)
		for i := int64(0); b.Loop(); i++ {
			if _, _, err := r.TreeProof(ctx, c, 1+i*7919%(size-1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(name("open"), func(b *testing.B) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for b.Loop() {
			w, err := Open(ctx, st, s, p)
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			runtime.GC()
			runtime.ReadMemStats(&after)
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			runtime.KeepAlive(w)
			b.StartTimer()
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/size, "heap-bytes/entry")
	})
	b.Run(name("verify-all"), func(b *testing.B) {
		for b.Loop() {
			if _, err := NewReader(FromBucket(st), p).Verify(ctx, c); err != nil {
				b.Fatal(err)
			}
		}
	})
}
