package raster

// DefaultQuality is the JPEG quality for pictures that did not come from a JPEG file.
const DefaultQuality = 95

// zigzag gives the place in the block (row*8+column) of the k-th coefficient of the zig-zag
// sequence, ITU-T T.81 figure A.6.
var zigzag = [64]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
}

// annexK holds the example quantisation tables of T.81, K.1 and K.2, in rows: luminance, then
// chrominance.
var annexK = [2][64]int{{
	16, 11, 10, 16, 24, 40, 51, 61,
	12, 12, 14, 19, 26, 58, 60, 55,
	14, 13, 16, 24, 40, 57, 69, 56,
	14, 17, 22, 29, 51, 87, 80, 62,
	18, 22, 37, 56, 68, 109, 103, 77,
	24, 35, 55, 64, 81, 104, 113, 92,
	49, 64, 78, 87, 103, 121, 120, 101,
	72, 92, 95, 98, 112, 100, 103, 99,
}, {
	17, 18, 24, 47, 99, 99, 99, 99,
	18, 21, 26, 66, 99, 99, 99, 99,
	24, 26, 56, 99, 99, 99, 99, 99,
	47, 66, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
	99, 99, 99, 99, 99, 99, 99, 99,
}}

// quantTable gives the table of Annex K (0 luminance, 1 chrominance) scaled to a quality of 1 to 100
// by the rule of the Independent JPEG Group, in zig-zag order; entries are 1 to 255.
func quantTable(which, quality int) (t [64]int) {
	scale := 200 - 2*quality
	if quality < 50 {
		scale = 5000 / quality
	}
	for k, at := range zigzag {
		t[k] = min(max((annexK[which][at]*scale+50)/100, 1), 255)
	}
	return t
}

// EstimateQuality gives the quality, 1 to 100 on the IJG scale, whose tables are nearest to the given
// ones (zig-zag order; chroma may be nil): least sum of absolute differences, the higher quality
// on a tie. For files written with Annex K tables, by most software and cameras, it is exact; for others,
// Adobe's among them, it is the nearest equivalent.
func EstimateQuality(luma, chroma *[64]int) int {
	best, bestSum := 0, -1
	for q := 100; q >= 1; q-- {
		sum := tableDistance(luma, quantTable(0, q))
		if chroma != nil && chroma != luma {
			sum += tableDistance(chroma, quantTable(1, q))
		}
		if bestSum < 0 || sum < bestSum {
			best, bestSum = q, sum
		}
	}
	return best
}

func tableDistance(a *[64]int, b [64]int) (sum int) {
	for k, v := range b {
		sum += max(a[k]-v, v-a[k])
	}
	return sum
}

// huffmanTable is a Huffman table as JPEG stores it: counts[n] codes of length n+1, then the symbols
// in order of code length.
type huffmanTable struct {
	counts  [16]uint8
	symbols []uint8
}

// optimalTable builds the table for given symbol frequencies by the procedure of T.81, K.2: merge the
// two rarest, then shorten codes of more than 16 bits. A pseudo-symbol takes the all-ones code, which
// JPEG keeps free. Ties go to the larger symbol, so the table depends on the frequencies only.
func optimalTable(freq *[256]int) huffmanTable {
	var weight [257]int
	copy(weight[:], freq[:])
	weight[256] = 1
	var length, next [257]int
	for i := range next {
		next[i] = -1
	}
	for {
		a, b := twoRarest(&weight)
		if b < 0 {
			break
		}
		weight[a] += weight[b]
		weight[b] = 0
		// Both chains grow by one bit; chain b is appended to chain a.
		for length[a]++; next[a] >= 0; length[a]++ {
			a = next[a]
		}
		next[a] = b
		for length[b]++; next[b] >= 0; length[b]++ {
			b = next[b]
		}
	}
	return tableOfLengths(&length)
}

// twoRarest gives the symbols of least and second least weight above zero, -1 where there is none.
func twoRarest(weight *[257]int) (a, b int) {
	a, b = -1, -1
	for i, w := range weight {
		switch {
		case w == 0:
		case a < 0 || w <= weight[a]:
			a, b = i, a
		case b < 0 || w <= weight[b]:
			b = i
		}
	}
	return a, b
}

// tableOfLengths limits code lengths to 16 (T.81, figure K.3), frees the all-ones code and orders the
// symbols by length, then value.
func tableOfLengths(length *[257]int) huffmanTable {
	var count [258]int
	for _, n := range length {
		count[n]++
	}
	for n := len(count) - 1; n > 16; n-- {
		for count[n] > 0 {
			j := n - 2
			for count[j] == 0 {
				j--
			}
			count[n] -= 2 // a pair of longest codes: one takes their prefix,
			count[n-1]++
			count[j+1] += 2 // the other shares the code of a shorter one
			count[j]--
		}
	}
	last := 16
	for count[last] == 0 {
		last--
	}
	count[last]--
	var t huffmanTable
	for n := range t.counts {
		t.counts[n] = uint8(count[n+1])
	}
	for n := 1; n < len(count); n++ {
		for s := range 256 {
			if length[s] == n {
				t.symbols = append(t.symbols, uint8(s))
			}
		}
	}
	return t
}

// codes gives for each symbol its code and, in the low 5 bits, its length (T.81, C.2).
func (t huffmanTable) codes() (out [256]uint32) {
	code, k := uint32(0), 0
	for n, count := range t.counts {
		for range count {
			out[t.symbols[k]] = code<<5 | uint32(n+1)
			code++
			k++
		}
		code <<= 1
	}
	return out
}
