package signal

import (
	"fmt"
	"image"
	"math"
)

// Parameters of Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality
// assessment", Asilomar Conference on Signals, Systems and Computers, 2003: an 11-tap Gaussian window of
// deviation 1.5 samples and the exponents of five scales, finest first, found by their observers.
const (
	msTaps   = 11
	msSigma  = 1.5
	msScales = 5
)

var msWeights = [msScales]float64{0.0448, 0.2856, 0.3001, 0.2363, 0.1333}

// MSSSIMMinSide is the smallest side, in pixels, of which the coarsest scale still holds one window.
const MSSSIMMinSide = (msTaps-1)<<(msScales-1) + 1

// MSSSIM returns the multi-scale structural similarity of two pictures, 1 for identical ones.
//
// It is the product over five scales of the mean of contrast x structure to the power of the scale's
// weight, with luminance in it at the coarsest scale only, on the luma of [SSIM], K1 = 0.01, K2 = 0.03.
// Between scales luma is averaged over 2 x 2 samples and every second one kept; the last row and column of
// an odd side are averaged with themselves. A scale whose mean is negative counts as 0, where the authors'
// program would answer with a complex number.
//
// Types and bounds are as for [PSNR]; a side below [MSSSIMMinSide] panics. Allocates about twelve float64
// planes: it is for studies, not for the loop of a delivery.
func MSSSIM(a, b image.Image) float64 {
	w, h := mustMatch(a, b)
	if min(w, h) < MSSSIMMinSide {
		panic(fmt.Sprintf("signal: MS-SSIM of a picture of %d x %d: needs at least %d x %d", w, h, MSSSIMMinSide, MSSSIMMinSide))
	}
	x, y := lumaField(a, w, h), lumaField(b, w, h)
	taps := gaussian(msTaps, msSigma)
	out := 1.0
	for scale, weight := range msWeights {
		full, structure := gaussianSSIM(x, y, w, h, taps)
		value := structure
		if scale == msScales-1 {
			value = full
		}
		out *= math.Pow(max(value, 0), weight)
		if scale < msScales-1 {
			x, y = averageTwos(x, w, h), averageTwos(y, w, h)
			w, h = (w+1)/2, (h+1)/2
		}
	}
	return out
}

// lumaField returns the integer luma of a picture in 8-bit units, row by row.
func lumaField(img image.Image, w, h int) []float64 {
	scale := 1.0
	switch img.(type) {
	case *image.NRGBA64, *image.Gray16:
		scale = 1.0 / 257
	}
	out, row := make([]float64, w*h), make([]uint16, w)
	for y := range h {
		lumaRow(row, img, y)
		for x, v := range row {
			out[y*w+x] = float64(v) * scale
		}
	}
	return out
}

// gaussian returns n taps of a Gaussian of the given deviation, centred, of sum 1.
func gaussian(n int, sigma float64) []float64 {
	taps, sum := make([]float64, n), 0.0
	for i := range taps {
		d := float64(i) - float64(n-1)/2
		taps[i] = math.Exp(-d * d / (2 * sigma * sigma))
		sum += taps[i]
	}
	for i := range taps {
		taps[i] /= sum
	}
	return taps
}

// gaussianSSIM returns the means of SSIM and of its contrast x structure part over all windows that lie
// wholly inside two fields of w x h with peak 255.
func gaussianSSIM(x, y []float64, w, h int, taps []float64) (full, structure float64) {
	const c1, c2 = (ssimK1 * 255) * (ssimK1 * 255), (ssimK2 * 255) * (ssimK2 * 255)
	squares, product := make([]float64, w*h), make([]float64, w*h)
	for i, u := range x {
		v := y[i]
		squares[i] = float64(u*u) + float64(v*v)
		product[i] = u * v
	}
	mx, my := windowMeans(x, w, h, taps), windowMeans(y, w, h, taps)
	s, p := windowMeans(squares, w, h, taps), windowMeans(product, w, h, taps)
	for i, u := range mx {
		v := my[i]
		cross, power := float64(u*v), float64(u*u)+float64(v*v)
		c := (2*(p[i]-cross) + c2) / (s[i] - power + c2)
		structure += c
		full += float64(c * (2*cross + c1) / (power + c1))
	}
	n := float64(len(mx))
	return full / n, structure / n
}

// windowMeans returns the weighted mean of every window of len(taps)² samples that lies inside the field.
func windowMeans(f []float64, w, h int, taps []float64) []float64 {
	n := len(taps)
	across := make([]float64, w*(h-n+1))
	for y := 0; y+n <= h; y++ {
		dst := across[y*w:][:w]
		for k, t := range taps {
			for x, v := range f[(y+k)*w:][:w] {
				dst[x] += float64(t * v)
			}
		}
	}
	out := make([]float64, (w-n+1)*(h-n+1))
	for y := 0; y+n <= h; y++ {
		dst := out[y*(w-n+1):][:w-n+1]
		for k, t := range taps {
			for x, v := range across[y*w+k:][:w-n+1] {
				dst[x] += float64(t * v)
			}
		}
	}
	return out
}

// averageTwos halves a field: the mean of 2 x 2 samples, the last row or column of an odd side twice.
func averageTwos(f []float64, w, h int) []float64 {
	hw, hh := (w+1)/2, (h+1)/2
	out := make([]float64, hw*hh)
	for y := range hh {
		a, b := f[2*y*w:][:w], f[min(2*y+1, h-1)*w:][:w]
		for x := range hw {
			l, r := 2*x, min(2*x+1, w-1)
			out[y*hw+x] = (a[l] + a[r] + b[l] + b[r]) / 4
		}
	}
	return out
}
