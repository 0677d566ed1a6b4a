package signal

import "math"

// BoxMean returns, for each sample of p, the mean over the (2 radius + 1)-square around it, cut off at the
// borders.
func BoxMean(p *Plane, radius int) *Plane {
	out := NewPlane(p.W, p.H)
	box := newBox(p.W, radius)
	for y := 0; y < p.H; y++ {
		box.advance(p, y, false)
		box.means(out.Row(y))
	}
	return out
}

// Residual replaces p by what is left of it once its content is taken out: each sample less its local
// mean, over its local deviation plus floor, clipped to +-limit. It depends on the picture only, never
// on a key. meanRadius and devRadius are those of the two boxes, in samples; floor is in 8-bit levels.
// It returns the harmonic mean of deviation + floor: what one unit of residual is worth, in levels.
func Residual(p *Plane, meanRadius, devRadius int, floor, limit float32) float64 {
	high := BoxMean(p, meanRadius)
	for i, m := range high.Pix {
		high.Pix[i] = p.Pix[i] - m
	}
	mean := make([]float32, p.W)
	box := newBox(p.W, devRadius)
	inverse := 0.0
	for y := 0; y < p.H; y++ {
		box.advance(high, y, true)
		box.means(mean)
		src, dst := high.Row(y), p.Row(y)
		rowInverse := float32(0)
		for x, v := range mean {
			scale := 1 / (float32(math.Sqrt(float64(max(v, 0)))) + floor)
			rowInverse += scale
			dst[x] = max(-limit, min(limit, src[x]*scale))
		}
		inverse += float64(rowInverse)
	}
	return float64(len(p.Pix)) / inverse
}

// box holds, while a window of 2 radius + 1 rows moves down a plane, the sum of each column inside it.
type box struct {
	radius, rows int
	column       []float64
}

func newBox(width, radius int) *box { return &box{radius: radius, column: make([]float64, width)} }

// advance moves the window of p, or of its squares, to row y. Rows must be visited in order from 0.
func (b *box) advance(p *Plane, y int, squares bool) {
	first := y + b.radius
	if y == 0 {
		first = 0
	}
	for in := first; in <= y+b.radius && in < p.H; in++ {
		b.rows++
		add(b.column, p.Row(in), squares)
	}
	if out := y - b.radius - 1; out >= 0 {
		b.rows--
		subtract(b.column, p.Row(out), squares)
	}
}

func add(column []float64, row []float32, squares bool) {
	column = column[:len(row)]
	if squares {
		for x, v := range row {
			column[x] += float64(v * v)
		}
		return
	}
	for x, v := range row {
		column[x] += float64(v)
	}
}

func subtract(column []float64, row []float32, squares bool) {
	column = column[:len(row)]
	if squares {
		for x, v := range row {
			column[x] -= float64(v * v)
		}
		return
	}
	for x, v := range row {
		column[x] -= float64(v)
	}
}

// means writes the mean of the window around each sample of the current row.
func (b *box) means(dst []float32) {
	w, r := len(b.column), b.radius
	sum := 0.0
	for x := 0; x < min(r, w); x++ {
		sum += b.column[x]
	}
	left, right := min(r+1, w), max(w-r, 0)
	for x := 0; x < w; x++ {
		if x == left && left < right { // whole windows: no border to look at
			scale := 1 / float64((2*r+1)*b.rows)
			in, out := b.column[left+r:right+r], b.column[:right-left]
			for i, o := range out {
				sum += in[i] - o
				dst[left+i] = float32(sum * scale)
			}
			x = right
			if x >= w {
				break
			}
		}
		if x+r < w {
			sum += b.column[x+r]
		}
		if x-r-1 >= 0 {
			sum -= b.column[x-r-1]
		}
		n := min(x+r, w-1) - max(x-r, 0) + 1
		dst[x] = float32(sum / float64(n*b.rows))
	}
}
