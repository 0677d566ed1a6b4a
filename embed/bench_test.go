package embed_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

func BenchmarkMark(b *testing.B) {
	p := mark.Profile1()
	k, _ := mark.NewKey(bytes.Repeat([]byte{1}, mark.KeySize))
	books := mark.NewBooks(p, k.Delivery(mark.Path{Bank: "bench"}).Keys())
	for _, side := range []int{512, 1024} {
		host := testphotos.Square(b, "flowers/marigold.jpg", side)
		b.Run(fmt.Sprintf("%dx%d", side, side), func(b *testing.B) {
			b.SetBytes(int64(side * side))
			for b.Loop() {
				cell := mark.NewCell(p, books, mark.Names{Concepts: []int{17}, Work: 9311})
				if _, _, err := embed.Mark(host, cell, embed.Options{PSNRDB: 42}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
