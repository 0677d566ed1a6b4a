package embed

import (
	"math"

	"github.com/filigrane/filigrane/internal/signal"
)

// Bounds of the mask: amplitude relative to an even mark. With a floor of 0.25 no grain shows in clear
// sky; 0.6 does show (design, section 4). The ceiling keeps a small textured patch of a smooth picture from
// taking all of the energy.
const (
	maskFloor   = 0.25
	maskCeiling = 4.0
	maskBlock   = 8   // samples a side: the grid on which texture is measured
	quietDev    = 1.0 // 8-bit levels: deviation below which a block counts as flat
)

// mask is a smooth field of amplitudes, mean square 1, on a grid of blocks.
type mask struct {
	cols, rows int
	at         []float32
}

// newMask measures texture: the deviation of luma in each block, the least of the block and its eight
// neighbours (so that the sky beside a crest stays quiet), and from it the amplitude, its square root
// scaled and clamped so that the mean square is 1.
func newMask(luma *signal.Plane) *mask {
	m := &mask{cols: (luma.W + maskBlock - 1) / maskBlock, rows: (luma.H + maskBlock - 1) / maskBlock}
	dev := make([]float64, m.cols*m.rows)
	for by := 0; by < m.rows; by++ {
		for bx := 0; bx < m.cols; bx++ {
			dev[by*m.cols+bx] = blockDeviation(luma, bx*maskBlock, by*maskBlock)
		}
	}
	quiet := m.least(dev)
	for i, d := range quiet {
		quiet[i] = d + quietDev
	}
	m.at = normalise(quiet)
	return m
}

// blockDeviation returns the standard deviation of the block with its upper left corner at (x0, y0).
func blockDeviation(p *signal.Plane, x0, y0 int) float64 {
	x1, y1 := min(x0+maskBlock, p.W), min(y0+maskBlock, p.H)
	var sum, squares float64
	for y := y0; y < y1; y++ {
		for _, v := range p.Pix[y*p.W+x0 : y*p.W+x1] {
			s := float64(v)
			sum += s
			squares += float64(s * s)
		}
	}
	n := float64((x1 - x0) * (y1 - y0))
	mean := sum / n
	return math.Sqrt(math.Max(0, squares/n-float64(mean*mean)))
}

// least returns the minimum over each block and its neighbours.
func (m *mask) least(dev []float64) []float64 {
	out := make([]float64, len(dev))
	for y := 0; y < m.rows; y++ {
		for x := 0; x < m.cols; x++ {
			d := dev[y*m.cols+x]
			for v := max(0, y-1); v <= min(m.rows-1, y+1); v++ {
				for u := max(0, x-1); u <= min(m.cols-1, x+1); u++ {
					d = math.Min(d, dev[v*m.cols+u])
				}
			}
			out[y*m.cols+x] = d
		}
	}
	return out
}

// normalise scales amplitudes, clamped to the bounds, to mean square 1 by bisection.
func normalise(a []float64) []float32 {
	lo, hi := 0.0, 64.0
	for range 48 {
		mid := (lo + hi) / 2
		power := 0.0
		for _, v := range a {
			c := clampMask(v * mid)
			power += float64(c * c)
		}
		if power > float64(len(a)) {
			hi = mid
		} else {
			lo = mid
		}
	}
	out := make([]float32, len(a))
	for i, v := range a {
		out[i] = float32(clampMask(v * lo))
	}
	return out
}

func clampMask(v float64) float64 { return math.Min(maskCeiling, math.Max(maskFloor, v)) }

// row writes the amplitudes of picture row y into dst, bilinear between block centres.
func (m *mask) row(y int, dst []float32) {
	v, fy := m.grid(y, m.rows)
	a, b := m.at[v*m.cols:(v+1)*m.cols], m.at[min(v+1, m.rows-1)*m.cols:]
	for x := range dst {
		u, fx := m.grid(x, m.cols)
		u1 := min(u+1, m.cols-1)
		top := a[u] + float32(fx*(a[u1]-a[u]))
		low := b[u] + float32(fx*(b[u1]-b[u]))
		dst[x] = top + float32(fy*(low-top))
	}
}

// grid returns the block before position i and how far i is towards the next one, 0 to 1.
func (m *mask) grid(i, n int) (int, float32) {
	p := float32(i)/maskBlock - (0.5 - 0.5/maskBlock)
	if p <= 0 {
		return 0, 0
	}
	k := int(p)
	if k >= n-1 {
		return n - 1, 0
	}
	return k, p - float32(k)
}
