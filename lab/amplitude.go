package main

import (
	"image"
	"math"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// spectrum is a picture's Fourier sums over whole cells, in 8-bit levels: [channel][ky mod 64 * 64 + kx mod 64]. A wave
// a cos(x) + b sin(x) of the mark about the picture's centre appears as a - i b.
type spectrum [signal.Channels][]complex128

// analyser folds pictures that are whole cells wide. It holds scratch space for one goroutine.
type analyser struct {
	cell float64 // pixels
	fft  *signal.FFT2
	bins []float32
}

func newAnalyser(cell float64) *analyser {
	return &analyser{cell: cell, fft: signal.NewFFT2(signal.FoldSize), bins: make([]float32, signal.FoldSize*signal.FoldSize)}
}

// spectrum reads raw pixels: no residual, no normalisation, so that amplitudes are those that were added.
func (a *analyser) spectrum(img image.Image) spectrum {
	const n = signal.FoldSize
	y, cb, cr := signal.LumaChroma(img)
	var s spectrum
	for ch, p := range [signal.Channels]*signal.Plane{y, cb, cr} {
		signal.Fold(a.bins, p, signal.Square(a.cell), 1)
		f := make([]complex128, n*n)
		for i, v := range a.bins {
			f[i] = complex(float64(v), 0)
		}
		a.fft.Forward(f)
		scale := 2 / float64(p.W*p.H)
		for ky := range n {
			for kx := range n {
				// bin b is centred at (b + 1/2)/64 of a cell from the centre
				turn := -0.5 * float64(signed(kx)+signed(ky)) / n
				c, s := signal.CosSinTurns(turn)
				f[ky*n+kx] *= complex(c*scale, s*scale)
			}
		}
		s[ch] = f
	}
	return s
}

func signed(k int) int {
	if k >= signal.FoldSize/2 {
		return k - signal.FoldSize
	}
	return k
}

// numbers takes a lattice's coefficients out of a spectrum, two for each harmonic, in codeword order.
func (s spectrum) numbers(p *mark.Profile, l mark.Lattice) []float64 {
	const n = signal.FoldSize
	hs := p.Harmonics(l)
	v := make([]float64, 2*len(hs))
	for i, h := range hs {
		z := s[h.Channel][(h.KY+n)%n*n+(h.KX+n)%n]
		v[2*i], v[2*i+1] = real(z), -imag(z)
	}
	return v
}

// gauge measures the amplitude of codewords of one lattice by weighted least squares: what each wave of unit shape
// has, in 8-bit levels. The weights are those of the training pictures and the same for everything that is compared.
type gauge struct {
	weight []float64 // 1 / variance of a number between unmarked pictures
	shape  []float64
}

// newGauge weighs a lattice's numbers. Waves of more than finest cycles a cell are not in the pictures: their weight is 0.
func newGauge(p *mark.Profile, l mark.Lattice, unmarked []spectrum, finest float64) *gauge {
	shape := p.Shape(l)
	g := &gauge{weight: make([]float64, 2*len(shape)), shape: make([]float64, 2*len(shape))}
	sum, squares := make([]float64, len(g.weight)), make([]float64, len(g.weight))
	for _, s := range unmarked {
		for i, v := range s.numbers(p, l) {
			sum[i] += v
			squares[i] += v * v
		}
	}
	count := float64(len(unmarked))
	for i := range g.weight {
		g.shape[i] = shape[i/2]
		h := p.Harmonics(l)[i/2]
		if variance := squares[i]/count - sum[i]*sum[i]/count/count; variance > 0 && max(math.Abs(float64(h.KX)), math.Abs(float64(h.KY))) <= finest {
			g.weight[i] = 1 / variance
		}
	}
	return g
}

// amplitude returns how much of the first codeword is in v, the others fitted beside it: codewords are orthogonal only
// on average.
func (g *gauge) amplitude(v []float64, words ...mark.Codeword) float64 {
	k := len(words)
	a := make([]float64, k)
	power := 0.0
	for i, w := range g.weight {
		power += w * g.shape[i] * g.shape[i]
	}
	if power == 0 {
		return math.NaN()
	}
	for range 20 { // Gauss-Seidel on nearly orthogonal columns
		for j, word := range words {
			num := 0.0
			for i, w := range g.weight {
				rest := v[i]
				for m, other := range words {
					if m != j {
						rest -= a[m] * g.shape[i] * float64(other[i])
					}
				}
				num += w * g.shape[i] * float64(word[i]) * rest
			}
			a[j] = num / power
		}
	}
	return a[0]
}

// ofMean returns the amplitude that codewords whose mean is given have on average: of as many codewords, each in its
// share of the pictures.
func (g *gauge) ofMean(v, words []float64) float64 {
	num, power := 0.0, 0.0
	for i, w := range g.weight {
		num += w * g.shape[i] * words[i] * v[i]
		power += w * g.shape[i] * g.shape[i] * words[i] * words[i]
	}
	return num / power
}

// mean adds vectors up.
func mean(vs [][]float64) []float64 {
	m := make([]float64, len(vs[0]))
	for _, v := range vs {
		for i, x := range v {
			m[i] += x / float64(len(vs))
		}
	}
	return m
}

// meanAndError gives the mean of some numbers and its standard error.
func meanAndError(xs []float64) (mean, standardError float64) {
	n := float64(len(xs))
	for _, x := range xs {
		mean += x / n
	}
	for _, x := range xs {
		standardError += (x - mean) * (x - mean)
	}
	if len(xs) < 2 {
		return mean, 0
	}
	return mean, math.Sqrt(standardError / (n - 1) / n)
}
