package detect

import (
	"math"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// peak is one codeword and its correlation.
type peak struct {
	codeword int
	t        float64
}

// family correlates a vector with every codeword of a book from number first on, one Walsh-Hadamard
// transform per book, and returns the two best, T in double precision. The transform itself runs in
// single precision: it picks, it does not measure.
func family(v *vector, b *mark.Book, first int) (top, second peak) {
	slots := b.Slots()
	spread := make([]float32, slots)
	norm := v.norm()
	if norm == 0 {
		return peak{first, 0}, peak{first, 0}
	}
	for i, u := range v.u {
		spread[b.SlotOf(i)] = float32(u / norm)
	}
	line := make([]float32, slots)
	top, second = peak{first, math.Inf(-1)}, peak{first, math.Inf(-1)}
	for book := first / slots; book < b.Books(); book++ {
		flipSigns(line, spread, b.Mask(book))
		signal.FWHT(line)
		for row, t := range line {
			if t := float64(t); t > second.t && book*slots+row >= first {
				if t > top.t {
					top, second = peak{book*slots + row, t}, top
				} else {
					second = peak{book*slots + row, t}
				}
			}
		}
	}
	top.t, second.t = v.t(b.Codeword(top.codeword)), v.t(b.Codeword(second.codeword))
	return top, second
}

// flipSigns writes src to dst with the sign of entry s turned where bit s of the mask is set.
func flipSigns(dst, src []float32, mask []uint64) {
	for w, bits := range mask {
		d, s := dst[64*w:64*w+64:64*w+64], src[64*w:64*w+64:64*w+64]
		for i := range d {
			d[i] = math.Float32frombits(math.Float32bits(s[i]) ^ uint32(bits>>i)<<31)
		}
	}
}
