package embed

import (
	"math"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// tile is one period of the mark, with the index of its column and row for every column and row of the picture.
type tile struct {
	n          int
	at         []point // n x n
	cols, rows []int32
	power      []float64 // of each row of the tile: the sum of the squares of its points
}

// point is the mark at one place: what it adds to R, G and B at the profile's reference strength, in 8-bit levels
// times 2^tileBits. A grey mark is the same in all three.
type point struct{ r, g, b int16 }

// tileBits holds a change to 1/512 level. Beyond 64 levels, 31 times the mark's RMS, it is cut off.
const tileBits = 9

// Cells of a whole number of pixels up to wholeCell are sampled at the pixels themselves; others on a grid
// of fineCell points a side, of which each pixel takes the nearest: at the highest harmonic (24) its
// place is off by at most 0.15 rad. Where a cell is too small for harmonics of lowCycles and more, the highest is
// 16, and half as many points do: 0.2 rad.
const (
	wholeCell = 256
	fineCell  = 512
	lowCycles = 20
)

func newTile(c *mark.Cell, length float64, w, h, channels int) *tile {
	// Waves of a period below 2.2 pixels would alias.
	maxCycles := length / 2.2
	t := &tile{n: fineCell}
	offX, offY := 0.0, 0.0
	whole := length == math.Trunc(length) && length <= wholeCell
	switch {
	case whole:
		t.n = int(length)
		offX, offY = float64((w+1)%2)/2, float64((h+1)%2)/2
	case maxCycles < lowCycles:
		t.n = fineCell / 2
	}
	t.cols, t.rows = places(w, t.n, length, whole), places(h, t.n, length, whole)
	t.at = make([]point, t.n*t.n)
	t.power = make([]float64, t.n)
	y := c.Render(signal.Y, t.n, offX, offY, maxCycles)
	if channels == 1 {
		for i, l := range y {
			v := fixed(l)
			t.at[i] = point{v, v, v}
			t.power[i/t.n] += float64(int64(v) * int64(v))
		}
		return t
	}
	cb, cbW, cbH := c.RenderOnce(signal.Cb, t.n, offX, offY, maxCycles)
	cr, crW, crH := c.RenderOnce(signal.Cr, t.n, offX, offY, maxCycles)
	for v := range t.n {
		rowB, rowR := cb[v%cbH*cbW:][:cbW], cr[v%crH*crW:][:crW]
		points, j, k, power := t.at[v*t.n:(v+1)*t.n], 0, 0, int64(0)
		for u, l := range y[v*t.n : (v+1)*t.n] {
			b, r := rowB[j], rowR[k]
			p := point{fixed(l + float64(1.402*r)), fixed(l - float64(0.344136*b) - float64(0.714136*r)), fixed(l + float64(1.772*b))}
			points[u] = p
			power += int64(p.r)*int64(p.r) + int64(p.g)*int64(p.g) + int64(p.b)*int64(p.b)
			if j++; j == cbW {
				j = 0
			}
			if k++; k == crW {
				k = 0
			}
		}
		t.power[v] = float64(power)
	}
	return t
}

// row returns the points of the tile under row y of the picture.
func (t *tile) row(y int) []point {
	base := int(t.rows[y]) * t.n
	return t.at[base : base+t.n]
}

// meanPower returns the power of a row of the tile, averaged over the rows of the picture.
func (t *tile) meanPower() float64 {
	sum := 0.0
	for _, r := range t.rows {
		sum += t.power[r]
	}
	return sum / float64(len(t.rows))
}

// fixed rounds a change in levels to 2^-tileBits.
func fixed(v float64) int16 {
	const far = 1 << 20 // makes what is rounded down positive
	k := int32(v*(1<<tileBits)+(far+0.5)) - far
	return int16(min(max(k, -(1<<15-1)), 1<<15-1))
}

// places maps each of size pixels to its sample of the cell: pixel i lies (i + 1/2 - size/2) / length
// cells from the centre, where the phase is 0. Pixels lie on the samples of a whole cell, else the nearest is taken.
func places(size, n int, length float64, whole bool) []int32 {
	p := make([]int32, size)
	round := 0.5
	if whole {
		round = 1e-6
	}
	for i := range p {
		u := (float64(i) + 0.5 - float64(size)/2) / length
		u -= math.Floor(u)
		p[i] = int32(int(math.Floor(float64(u*float64(n))+round)) % n)
	}
	return p
}
