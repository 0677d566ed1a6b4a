package detect

import (
	"math"
	"sort"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// peak is one codeword and its correlation.
type peak struct {
	codeword int
	t        float64
}

// Four books are correlated at once: a word of 64 bits holds four sums of 16 bits, one a book, as the integer
// a + 2^16 b + 2^32 c + 2^48 d. Sums and differences of such words are those of their parts, signs included, as long
// as no part leaves its 16 bits, so the Walsh-Hadamard transform needs nothing else.
const (
	lanes    = 4
	laneBits = 16
	laneMost = 1<<(laneBits-1) - 1
)

// shortlist is how many codewords are measured in double precision: the transform picks to 1 in 30,000, it does not
// measure.
const shortlist = 4

// family correlates a vector with every codeword of a book from number first on, one Walsh-Hadamard
// transform for every four books, and returns the two best, T in double precision.
func family(v *vector, b *mark.Book, first int) (top, second peak) {
	norm := v.norm()
	if norm == 0 {
		return peak{first, 0}, peak{first, 0}
	}
	slots := b.Slots()
	spread := quantise(v, b)
	field := make([]int64, slots)
	var list [shortlist]candidateWord
	for i := range list {
		list[i] = candidateWord{first, math.MinInt32}
	}
	for book := first / slots; book < b.Books(); book += lanes {
		signed(field, spread, b, book)
		signal.FWHT(field)
		scan(&list, field, book*slots, slots, first, b.Books()*slots)
	}
	peaks := make([]peak, 0, shortlist)
	for _, c := range list {
		if c.sum > math.MinInt32 {
			peaks = append(peaks, peak{c.codeword, v.t(b.Codeword(c.codeword))})
		}
	}
	sort.SliceStable(peaks, func(i, j int) bool { return peaks[i].t > peaks[j].t })
	return peaks[0], peaks[1]
}

// candidateWord is a codeword and its quantised correlation.
type candidateWord struct {
	codeword int
	sum      int32
}

// quantise spreads a vector over a book's slots, scaled so that no sum of its parts leaves 16 bits.
func quantise(v *vector, b *mark.Book) []int64 {
	total := 0.0
	for _, u := range v.u {
		total += math.Abs(u)
	}
	scale := (laneMost - float64(len(v.u))/2 - 1) / total
	spread := make([]int64, b.Slots())
	for i, u := range v.u {
		spread[b.SlotOf(i)] = int64(math.Round(float64(u * scale)))
	}
	return spread
}

// laneSigns holds, for each choice of signs of the four parts (bit i set: minus), the word that multiplies a number by it.
var laneSigns = func() (table [1 << lanes]int64) {
	for bits := range table {
		for lane := range lanes {
			one := int64(1) << (laneBits * lane)
			if bits>>lane&1 == 1 {
				one = -one
			}
			table[bits] += one
		}
	}
	return table
}()

// signed writes to dst, for each slot, the number of src with the signs of four books from one on. Books beyond the last
// repeat it.
func signed(dst, src []int64, b *mark.Book, book int) {
	last := b.Books() - 1
	m0, m1 := b.Mask(book), b.Mask(min(book+1, last))
	m2, m3 := b.Mask(min(book+2, last)), b.Mask(min(book+3, last))
	for w := range m0 {
		a, c, e, g := m0[w], m1[w], m2[w], m3[w]
		d, s := dst[64*w:64*w+64:64*w+64], src[64*w:64*w+64:64*w+64]
		for i, v := range s {
			d[i] = v * laneSigns[a&1|c&1<<1|e&1<<2|g&1<<3]
			a, c, e, g = a>>1, c>>1, e>>1, g>>1
		}
	}
}

// scan enters the sums of four books, the first of which begins at codeword number base, into the list.
func scan(list *[shortlist]candidateWord, field []int64, base, slots, first, end int) {
	least := list[shortlist-1].sum
	above := reaching(least)
	for row, word := range field {
		if least >= 0 && (uint64(word)+above)&laneTops == 0 {
			continue // none of the four, as nearly always
		}
		for lane := 0; lane < lanes; lane++ {
			part := int64(int16(word))
			word = (word - part) >> laneBits
			if int32(part) <= least {
				continue
			}
			codeword := base + lane*slots + row
			if codeword < first || codeword >= end {
				continue
			}
			k := shortlist - 1
			for ; k > 0 && list[k-1].sum < int32(part); k-- {
				list[k] = list[k-1]
			}
			list[k] = candidateWord{codeword, int32(part)}
			least = list[shortlist-1].sum
			above = reaching(least)
		}
	}
}

const (
	laneOnes = 1 | 1<<laneBits | 1<<(2*laneBits) | 1<<(3*laneBits)
	laneTops = laneOnes << (laneBits - 1)
)

// reaching returns what to add to four sums so that the top bit of each that is at least as large, and that not negative, is set. A sum far below
// sets it too, and takes one from the next: hence at least as large, where scan asks for larger.
func reaching(sum int32) uint64 {
	return uint64(1<<(laneBits-1)-int64(sum)) * laneOnes
}
