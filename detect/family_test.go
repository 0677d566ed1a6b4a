package detect

import (
	"bytes"
	"math"
	"testing"

	"github.com/filigrane/filigrane/mark"
)

// TestFamilyIsTheExhaustiveSearch: the packed transform picks the codewords that trying each one by itself picks.
func TestFamilyIsTheExhaustiveSearch(t *testing.T) {
	p := mark.Profile1()
	for seed := range 4 {
		k, err := mark.NewKey(bytes.Repeat([]byte{byte(seed)}, mark.KeySize))
		if err != nil {
			t.Fatal(err)
		}
		books := mark.NewBooks(p, k.Delivery(mark.Path{Bank: "family"}).Keys())
		for _, l := range []mark.Lattice{mark.Concept, mark.Work} {
			if l == mark.Work && seed%2 == 1 {
				continue // trying a million takes seconds
			}
			b := books[l]
			first := 0
			if l == mark.Concept {
				first = b.Slots()
			}
			v := vectorOf(p.Coefficients(l), uint64(seed))
			hidden := first + 12345
			for i, s := range b.Codeword(hidden) {
				v.u[i] += 0.5 * float64(seed) * float64(s)
			}
			top, second := family(v, b, first)
			wantTop, wantSecond := exhaustive(v, b, first)
			if top != wantTop || second != wantSecond {
				t.Errorf("seed %d, %v: %v, %v; every codeword by itself gives %v, %v", seed, l, top, second, wantTop, wantSecond)
			}
			if seed > 1 && top.codeword != hidden {
				t.Errorf("%v: a strong codeword is not the best: %v", l, top)
			}
		}
	}
}

// vectorOf makes a vector of unevenly large numbers.
func vectorOf(n int, seed uint64) *vector {
	v := &vector{u: make([]float64, n)}
	x := seed*2654435761 + 12345
	for i := range v.u {
		x = x*6364136223846793005 + 1442695040888963407
		v.u[i] = float64(int64(x>>11)%2001-1000) / 1000 * (1 + float64(i%7))
	}
	return v
}

func exhaustive(v *vector, b *mark.Book, first int) (top, second peak) {
	top, second = peak{first, math.Inf(-1)}, peak{first, math.Inf(-1)}
	for i := first; i < b.Books()*b.Slots(); i++ {
		switch p := (peak{i, v.t(b.Codeword(i))}); {
		case p.t > top.t:
			top, second = p, top
		case p.t > second.t:
			second = p
		}
	}
	return top, second
}

// TestFamilyHoldsExtremes: a vector all of whose power is in one codeword reaches the largest sum there is.
func TestFamilyHoldsExtremes(t *testing.T) {
	p := mark.Profile1()
	k, _ := mark.NewKey(bytes.Repeat([]byte{9}, mark.KeySize))
	b := mark.NewBooks(p, k.Delivery(mark.Path{Bank: "family"}).Keys())[mark.Work]
	for _, n := range []int{0, 1023, 1024, 524288, mark.MaxWorks - 1} {
		v := &vector{u: make([]float64, p.Coefficients(mark.Work))}
		for i, s := range b.Codeword(n) {
			v.u[i] = float64(s)
		}
		top, _ := family(v, b, 0)
		if ceiling := math.Sqrt(float64(p.Coefficients(mark.Work))); top.codeword != n || math.Abs(top.t-ceiling) > 1e-9 {
			t.Errorf("codeword %d: %+v, want T = %v", n, top, ceiling)
		}
	}
}

func BenchmarkFamily(b *testing.B) {
	p := mark.Profile1()
	k, _ := mark.NewKey(bytes.Repeat([]byte{9}, mark.KeySize))
	books := mark.NewBooks(p, k.Delivery(mark.Path{Bank: "family"}).Keys())
	for _, c := range []struct {
		name  string
		l     mark.Lattice
		first int
	}{{"concepts=65536", mark.Concept, 256}, {"works=1048576", mark.Work, 0}} {
		v := vectorOf(p.Coefficients(c.l), 1)
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				family(v, books[c.l], c.first)
			}
		})
	}
}
