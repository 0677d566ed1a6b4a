package embed

import (
	"math"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// tile is one period of the mark in R, G and B (or grey), with the index of its column and row for every
// column and row of the picture.
type tile struct {
	n          int
	rgb        [3][]float32 // n x n; only the first for grey
	cols, rows []int32
}

// Cells of a whole number of pixels up to wholeCell are sampled at the pixels themselves; others on a grid
// of fineCell points a side, of which each pixel takes the nearest: at the highest harmonic (24) its
// place is off by at most 0.15 rad.
const (
	wholeCell = 256
	fineCell  = 512
)

func newTile(c *mark.Cell, length float64, w, h, channels int) *tile {
	t := &tile{}
	offX, offY := 0.0, 0.0
	if length == math.Trunc(length) && length <= wholeCell {
		t.n = int(length)
		offX, offY = float64((w+1)%2)/2, float64((h+1)%2)/2
	} else {
		t.n = fineCell
	}
	t.cols, t.rows = places(w, t.n, length), places(h, t.n, length)
	// Waves of a period below 2.2 pixels would alias.
	maxCycles := length / 2.2
	y := c.Render(signal.Y, t.n, offX, offY, maxCycles)
	if channels == 1 {
		t.rgb[0] = single(y)
		return t
	}
	cb := c.Render(signal.Cb, t.n, offX, offY, maxCycles)
	cr := c.Render(signal.Cr, t.n, offX, offY, maxCycles)
	r, g, b := make([]float32, len(y)), make([]float32, len(y)), make([]float32, len(y))
	for i, l := range y {
		r[i] = float32(l + float64(1.402*cr[i]))
		g[i] = float32(l - float64(0.344136*cb[i]) - float64(0.714136*cr[i]))
		b[i] = float32(l + float64(1.772*cb[i]))
	}
	t.rgb = [3][]float32{r, g, b}
	return t
}

// places maps each of size pixels to its sample of the cell: pixel i lies (i + 1/2 - size/2) / length
// cells from the centre, where the phase is 0.
func places(size, n int, length float64) []int32 {
	p := make([]int32, size)
	for i := range p {
		u := (float64(i) + 0.5 - float64(size)/2) / length
		u -= math.Floor(u)
		k := int(math.Floor(float64(u*float64(n)) + 1e-6))
		if n == fineCell {
			k = int(math.Floor(float64(u*float64(n)) + 0.5))
		}
		p[i] = int32(k % n)
	}
	return p
}

func single(a []float64) []float32 {
	out := make([]float32, len(a))
	for i, v := range a {
		out[i] = float32(v)
	}
	return out
}
