package signal

import (
	"fmt"
	"math/bits"

	"gonum.org/v1/gonum/dsp/fourier"
)

// FFT2 computes two-dimensional discrete Fourier transforms of n x n fields. It holds scratch space and
// must not be used by two goroutines at once.
type FFT2 struct {
	n      int
	plan   *fourier.CmplxFFT
	column []complex128
}

// NewFFT2 returns a plan for n x n fields; n must be positive.
func NewFFT2(n int) *FFT2 {
	if n <= 0 {
		panic(fmt.Sprintf("signal: transform of size %d", n))
	}
	return &FFT2{n: n, plan: fourier.NewCmplxFFT(n), column: make([]complex128, n)}
}

// Forward replaces a (row-major, n x n) by its transform
// A[v][u] = sum over y, x of a[y][x] exp(-2 pi i (u x + v y) / n), unscaled.
func (f *FFT2) Forward(a []complex128) { f.apply(a, f.plan.Coefficients) }

// Inverse replaces a by the unscaled inverse transform: Inverse after Forward multiplies by n*n.
func (f *FFT2) Inverse(a []complex128) { f.apply(a, f.plan.Sequence) }

func (f *FFT2) apply(a []complex128, line func(dst, src []complex128) []complex128) {
	n := f.n
	if len(a) != n*n {
		panic(fmt.Sprintf("signal: transform of %d numbers with a plan for %d x %d", len(a), n, n))
	}
	for y := 0; y < n; y++ {
		line(a[y*n:(y+1)*n], a[y*n:(y+1)*n])
	}
	for x := 0; x < n; x++ {
		for y := 0; y < n; y++ {
			f.column[y] = a[y*n+x]
		}
		line(f.column, f.column)
		for y := 0; y < n; y++ {
			a[y*n+x] = f.column[y]
		}
	}
}

// FWHT replaces a by its Walsh-Hadamard transform in natural (Sylvester) order, unscaled:
// A[r] = sum over s of (-1)^popcount(r AND s) a[s]. len(a) must be a power of two.
// It is its own inverse up to a factor len(a). Numbers must not grow beyond their type: a sum reaches len(a) times the
// largest.
func FWHT[N int64 | float32](a []N) {
	n := len(a)
	if n == 0 || n&(n-1) != 0 {
		panic(fmt.Sprintf("signal: Walsh-Hadamard transform of length %d, which is not a power of two", n))
	}
	h := 1
	if bits.TrailingZeros(uint(n))%2 == 1 { // an odd number of stages: do one alone, the rest in pairs
		for i := 0; i < n; i += 2 {
			a[i], a[i+1] = a[i]+a[i+1], a[i]-a[i+1]
		}
		h = 2
	}
	for ; h < n; h *= 4 {
		fwhtPair(a, h)
	}
}

// fwhtPair does the stages h and 2h in one pass over memory.
func fwhtPair[N int64 | float32](a []N, h int) {
	for i := 0; i < len(a); i += 4 * h {
		p, q, r, s := a[i:i+h:i+h], a[i+h:i+2*h:i+2*h], a[i+2*h:i+3*h:i+3*h], a[i+3*h:i+4*h:i+4*h]
		for j := range p {
			pq, rs := p[j]+q[j], r[j]+s[j]
			dp, dr := p[j]-q[j], r[j]-s[j]
			p[j], r[j] = pq+rs, pq-rs
			q[j], s[j] = dp+dr, dp-dr
		}
	}
}
