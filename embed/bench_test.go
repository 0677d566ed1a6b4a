package embed_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// BenchmarkMark marks pictures as deliveries have them (square, at the trainer's resolution), a small one and one
// of 13.4 megapixels as a camera gives it, whose cells are no whole number of pixels long.
func BenchmarkMark(b *testing.B) {
	p := mark.Profile1()
	k, _ := mark.NewKey(bytes.Repeat([]byte{1}, mark.KeySize))
	books := mark.NewBooks(p, k.Delivery(mark.Path{Bank: "bench"}).Keys())
	photo := testphotos.Picture(b, "flowers/marigold.jpg").Image
	for _, c := range []struct{ w, h, resolution int }{{512, 512, 512}, {1024, 1024, 1024}, {1024, 682, 1024}, {4480, 2990, 1024}} {
		host := imaging.Fill(photo, c.w, c.h, imaging.Center, imaging.Linear)
		b.Run(fmt.Sprintf("%dx%d", c.w, c.h), func(b *testing.B) {
			b.SetBytes(int64(c.w * c.h))
			b.ReportAllocs()
			for b.Loop() {
				cell := mark.NewCell(p, books, mark.Names{Concepts: []int{17}, Work: 9311})
				if _, _, err := embed.Mark(host, cell, embed.Options{PSNRDB: 42, Resolution: c.resolution}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
