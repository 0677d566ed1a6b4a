package signal

import (
	"fmt"
	"image"
	"math"
)

// jpegLuma is the luminance quantisation table of ITU-T T.81, annex K.1: the step at which a wave of an
// 8 x 8 block just begins to be seen at the viewing distance of that experiment. Both tables of PSNR-HVS-M
// are made of it.
var jpegLuma = [64]float64{
	16, 11, 10, 16, 24, 40, 51, 61,
	12, 12, 14, 19, 26, 58, 60, 55,
	14, 13, 16, 24, 40, 57, 69, 56,
	14, 17, 22, 29, 51, 87, 80, 62,
	18, 22, 37, 56, 68, 109, 103, 77,
	24, 35, 55, 64, 81, 104, 113, 92,
	49, 64, 78, 87, 103, 121, 120, 101,
	72, 92, 95, 98, 112, 100, 103, 99,
}

// The published tables are hvsSensitivity/Q and (hvsMasking/Q)², printed there to six decimals.
const (
	hvsSensitivity = 25.735088
	hvsMasking     = 10.0
)

// PSNRHVSM returns PSNR-HVS-M of two pictures, in dB: the PSNR of what is left of their difference once each
// wave of each 8 x 8 block is weighted by the eye's contrast sensitivity and lessened by what the
// content of the block masks. Identical pictures, and those whose difference is masked altogether, give
// +Inf.
//
// Source: Ponomarenko, Silvestri, Egiazarian, Carli, Astola, Lukin, "On between-coefficient contrast
// masking of DCT basis functions", VPQM 2007. Blocks do not overlap; rows and columns that fill no whole
// block are left out. It is computed on the luma of [SSIM] in 8-bit units. A block masks
// sqrt(E delta)/32, E the sum of (10 X/Q)² over its waves but the mean, delta the sum of the variances of its
// four quarters over its own: less where the energy is an edge between two even parts. The block of the
// two pictures that masks more counts.
//
// Types and bounds are as for [PSNR]; a side below 8 pixels panics.
func PSNRHVSM(a, b image.Image) float64 {
	const side = 8
	w, h := mustMatch(a, b)
	if min(w, h) < side {
		panic(fmt.Sprintf("signal: PSNR-HVS-M of a picture of %d x %d: needs at least %d x %d", w, h, side, side))
	}
	x, y := lumaField(a, w, h), lumaField(b, w, h)
	sum, n := 0.0, 0
	var p, q [64]float64
	for top := 0; top+side <= h; top += side {
		for left := 0; left+side <= w; left += side {
			for r := range side {
				copy(p[r*side:][:side], x[(top+r)*w+left:])
				copy(q[r*side:][:side], y[(top+r)*w+left:])
			}
			n += len(p)
			if p != q {
				sum += visibleError(&p, &q)
			}
		}
	}
	if sum == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(255*255*float64(n)/sum)
}

// visibleError returns the sum of squares of what is seen of the difference of two blocks.
func visibleError(p, q *[64]float64) float64 {
	spreadP, spreadQ := quarterSpread(p), quarterSpread(q)
	blockDCT(p)
	blockDCT(q)
	masked := max(maskingEffect(p, spreadP), maskingEffect(q, spreadQ))
	sum := 0.0
	for i, step := range jpegLuma {
		d := math.Abs(p[i] - q[i])
		if i != 0 {
			d = max(0, d-masked*(step*step)/(hvsMasking*hvsMasking))
		}
		d *= hvsSensitivity / step
		sum += float64(d * d)
	}
	return sum
}

// maskingEffect returns what a block of DCT coefficients masks, given how evenly its energy is spread.
func maskingEffect(f *[64]float64, spread float64) float64 {
	sum := 0.0
	for i, step := range jpegLuma[1:] {
		c := f[i+1] * hvsMasking / step
		sum += float64(c * c)
	}
	return math.Sqrt(sum*spread) / 32
}

// quarterSpread returns the sum of the variances of the four 4 x 4 quarters of a block over the variance of the block,
// each a sum of squares over N-1 times N, 0 for an even block.
func quarterSpread(p *[64]float64) float64 {
	var sums, squares [4]float64
	for i, v := range p {
		k := i/32*2 + i/4%2
		sums[k] += v
		squares[k] += float64(v * v)
	}
	scatter := func(sum, squares, n float64) float64 { return max(0, squares-float64(sum*sum)/n) * n / (n - 1) }
	whole := scatter(sums[0]+sums[1]+sums[2]+sums[3], squares[0]+squares[1]+squares[2]+squares[3], 64)
	if whole == 0 {
		return 0
	}
	quarters := 0.0
	for k := range sums {
		quarters += scatter(sums[k], squares[k], 16)
	}
	return quarters / whole
}

// dctBasis holds the orthonormal 8-point DCT-II: row k, sample i.
var dctBasis = func() (c [64]float64) {
	for k := range 8 {
		scale := 0.5
		if k == 0 {
			scale = math.Sqrt(0.125)
		}
		for i := range 8 {
			cos, _ := CosSinTurns(float64((2*i+1)*k) / 32)
			c[k*8+i] = scale * cos
		}
	}
	return c
}()

// blockDCT replaces a block by its orthonormal two-dimensional DCT-II.
func blockDCT(p *[64]float64) {
	var rows [64]float64
	for y := range 8 {
		for k := range 8 {
			s := 0.0
			for i := range 8 {
				s += float64(dctBasis[k*8+i] * p[y*8+i])
			}
			rows[y*8+k] = s
		}
	}
	for k := range 8 {
		for x := range 8 {
			s := 0.0
			for i := range 8 {
				s += float64(dctBasis[k*8+i] * rows[i*8+x])
			}
			p[k*8+x] = s
		}
	}
}
