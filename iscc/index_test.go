package iscc

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/filigrane/filigrane/internal/testphotos"
)

// codeOf makes a code of 64 bits.
func codeOf(w uint64) Code { return newCode(Image, binary.BigEndian.AppendUint64(nil, w), DefaultBits) }

func photoFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testphotos.Dir(), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestNear: all codes within the distance and no others, in order, by comparing bit by bit.
func TestNear(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x Index
		centre := rapid.Uint64().Draw(t, "centre")
		type entry struct {
			id int
			c  Code
		}
		var all []entry
		for range rapid.IntRange(0, 60).Draw(t, "codes") {
			w := centre
			for range rapid.IntRange(0, 12).Draw(t, "turned bits") {
				w ^= 1 << rapid.IntRange(0, 63).Draw(t, "bit")
			}
			e := entry{rapid.IntRange(0, 40).Draw(t, "id"), codeOf(w)}
			x.Add(e.id, e.c)
			all = append(all, e)
		}
		most := rapid.IntRange(-1, 64).Draw(t, "most")
		asked := codeOf(centre)
		got := x.Near(asked, most)
		var want []Match
		for d := 0; d <= most; d++ {
			var ring []Match
			for _, e := range all {
				n := 0
				for i, b := range e.c.Bits() {
					for bit := range 8 {
						if b>>bit&1 != asked.Bits()[i]>>bit&1 {
							n++
						}
					}
				}
				if n == d {
					ring = append(ring, Match{e.id, d})
				}
			}
			slices.SortFunc(ring, func(a, b Match) int { return a.ID - b.ID })
			want = append(want, ring...)
		}
		if !slices.Equal(got, want) || x.Len() != len(all) {
			t.Fatalf("found %v, want %v", got, want)
		}
	})
}

func BenchmarkNear(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			var x Index
			for i := range n {
				x.Add(i, codeOf(r.Uint64()))
			}
			asked := codeOf(r.Uint64())
			for b.Loop() {
				x.Near(asked, 8)
			}
		})
	}
}
