package iscc

import (
	"image"
	"math"
)

// Pictures are reduced as Pillow does it, to the bit: a cubic of parameter -1/2, widened by the factor of
// reduction, with weights in fixed point, along the rows first, and rounded to 8 bits between and after.

const (
	cubicReach   = 2  // of the filter to either side, in pixels of the smaller picture
	weightBits   = 22 // of the fixed point
	roundWeights = 1 << (weightBits - 1)
)

// cubic is the interpolating cubic of Keys (IEEE Trans. ASSP 29, 1981) with a = -1/2.
func cubic(x float64) float64 {
	const a = -0.5
	x = math.Abs(x)
	switch {
	case x < 1:
		inner := float64((a+2)*x) - (a + 3)
		return float64(float64(inner*x)*x) + 1
	case x < 2:
		inner := float64((x-5)*x) + 8
		return (float64(inner*x) - 4) * a
	}
	return 0
}

// window says which samples make up one, and with what weights, in units of 2^-weightBits.
type window struct {
	first   int
	weights []int32
}

// windows returns the windows that bring n samples to Side.
func windows(n int) [Side]window {
	scale := float64(n) / Side
	width := max(scale, 1)
	reach := cubicReach * width
	narrowing := 1 / width
	var all [Side]window
	for i := range all {
		centre := float64((float64(i) + 0.5) * scale)
		first := max(int(centre-reach+0.5), 0)
		last := min(int(centre+reach+0.5), n)
		exact := make([]float64, last-first)
		sum := 0.0
		for k := range exact {
			exact[k] = cubic((float64(k+first) - centre + 0.5) * narrowing)
			sum += exact[k]
		}
		weights := make([]int32, len(exact))
		for k, w := range exact {
			w = float64(w / sum * (1 << weightBits))
			weights[k] = int32(w + math.Copysign(0.5, w)) // halves away from 0
		}
		all[i] = window{first, weights}
	}
	return all
}

// clip rounds a weighted sum to 8 bits.
func clip(sum int64) uint8 { return uint8(min(max(sum>>weightBits, 0), 255)) }

// reduce brings a part of a picture to Side x Side grey pixels.
func reduce(s source, part image.Rectangle) Pixels {
	across, down := windows(part.Dx()), windows(part.Dy())
	row := make([]uint8, part.Dx())
	narrow := make([][Side]uint8, part.Dy())
	for y := range narrow {
		for x := range row {
			row[x] = s.at(part.Min.X+x, part.Min.Y+y).grey()
		}
		for i, w := range across {
			sum := int64(roundWeights)
			for k, v := range row[w.first : w.first+len(w.weights)] {
				sum += int64(v) * int64(w.weights[k])
			}
			narrow[y][i] = clip(sum)
		}
	}
	var out Pixels
	for i, w := range down {
		for x := range Side {
			sum := int64(roundWeights)
			for k, weight := range w.weights {
				sum += int64(narrow[w.first+k][x]) * int64(weight)
			}
			out[i*Side+x] = clip(sum)
		}
	}
	return out
}
