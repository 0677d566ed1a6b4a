package signal

import "math"

// BoxMean returns, for each sample of p, the mean over the (2 radius + 1)-square around it, cut off at the
// borders.
func BoxMean(p *Plane, radius int) *Plane {
	out := NewPlane(p.W, p.H)
	box := newBox(p.W, radius)
	for y := 0; y < p.H; y++ {
		box.advance(p, y)
		box.means(out.Row(y))
	}
	return out
}

// Residual replaces p by what is left of it once its content is taken out: each sample less its local
// mean, over its local deviation plus floor, clipped to +-limit. It depends on the picture only, never
// on a key. meanRadius and devRadius are those of the two boxes, in samples; floor is in 8-bit levels.
// It returns the harmonic mean of deviation + floor: what one unit of residual is worth, in levels.
//
// Samples are rounded to 1/256 level: sums of integers neither drift nor depend on their order.
func Residual(p *Plane, meanRadius, devRadius int, floor, limit float32) float64 {
	mean, dev := newRunning(p.W, p.H, meanRadius), newRunning(p.W, p.H, devRadius)
	samples, highs := newRing(p.W, 2*meanRadius+2), newRing(p.W, 2*devRadius+2)
	inverse := 0.0
	for y := 0; y < p.H+meanRadius+devRadius; y++ {
		if y < p.H {
			fixed(samples.row(y), p.Row(y))
			mean.add(samples.row(y))
		}
		at := y - meanRadius // the row whose mean is known now
		if at >= 0 && at < p.H {
			if out := at - meanRadius - 1; out >= 0 {
				mean.subtract(samples.row(out))
			}
			mean.lessMean(highs.row(at), samples.row(at), at)
			dev.addSquares(highs.row(at))
		}
		if at -= devRadius; at >= 0 && at < p.H {
			if out := at - devRadius - 1; out >= 0 {
				dev.subtractSquares(highs.row(out))
			}
			inverse += dev.overDeviation(p.Row(at), highs.row(at), at, floor, limit)
		}
	}
	return float64(len(p.Pix)) / inverse
}

// fixedOne is a level in fixed point.
const fixedOne = 256

func fixed(dst []int32, src []float32) {
	dst = dst[:len(src)]
	for x, v := range src {
		dst[x] = int32(v * fixedOne)
	}
}

// ring keeps the last rows that were asked for.
type ring struct {
	width, rows int
	pix         []int32
}

func newRing(width, rows int) *ring { return &ring{width, rows, make([]int32, width*rows)} }

func (r *ring) row(y int) []int32 {
	k := y % r.rows * r.width
	return r.pix[k : k+r.width : k+r.width]
}

// running holds the sums of columns inside a window of 2 radius + 1 rows, with radius + 1 zeros before them and radius
// behind, so that a window may reach beyond the borders.
type running struct {
	width, height, radius int
	padded, column        []int64
	across                []float64 // 1 / columns in the window around each sample
}

func newRunning(width, height, radius int) *running {
	r := &running{width: width, height: height, radius: radius, padded: make([]int64, width+2*radius+1), across: make([]float64, width)}
	r.column = r.padded[radius+1 : radius+1+width]
	for x := range r.across {
		r.across[x] = 1 / float64(min(x+radius, width-1)-max(x-radius, 0)+1)
	}
	return r
}

// down returns 1 / rows in the window around row y.
func (r *running) down(y int) float64 {
	return 1 / float64(min(y+r.radius, r.height-1)-max(y-r.radius, 0)+1)
}

func (r *running) add(row []int32) {
	c := r.column[:len(row)]
	for x, v := range row {
		c[x] += int64(v)
	}
}

func (r *running) subtract(row []int32) {
	c := r.column[:len(row)]
	for x, v := range row {
		c[x] -= int64(v)
	}
}

func (r *running) addSquares(row []int32) {
	c := r.column[:len(row)]
	for x, v := range row {
		c[x] += int64(v) * int64(v)
	}
}

func (r *running) subtractSquares(row []int32) {
	c := r.column[:len(row)]
	for x, v := range row {
		c[x] -= int64(v) * int64(v)
	}
}

// first returns the sum of the window before that around sample 0, without what leaves next, which is 0.
func (r *running) first() int64 {
	sum := int64(0)
	for _, v := range r.padded[:2*r.radius+1] {
		sum += v
	}
	return sum
}

// lessMean writes row y's samples less the means of their windows.
func (r *running) lessMean(dst, src []int32, y int) {
	sum, down := r.first(), r.down(y)
	out, in, across := r.padded[:len(src)], r.padded[2*r.radius+1:], r.across[:len(src)]
	in, dst = in[:len(src)], dst[:len(src)]
	for x, v := range src {
		sum += in[x] - out[x]
		mean := float64(float64(sum)*(across[x]*down)) + (far + 0.5) // rounded to nearest below
		dst[x] = v - (int32(mean) - far)
	}
}

// overDeviation writes row y's samples over their windows' deviation plus floor, clipped, in levels, and returns the sum of
// 1 / (deviation + floor).
func (r *running) overDeviation(dst []float32, src []int32, y int, floor, limit float32) float64 {
	sum, down := r.first(), float32(r.down(y))
	out, in, across := r.padded[:len(src)], r.padded[2*r.radius+1:], r.across[:len(src)]
	in, dst = in[:len(src)], dst[:len(src)]
	inverse := float32(0)
	floor *= fixedOne
	for x, v := range src {
		sum += in[x] - out[x]
		variance := float32(sum) * (float32(across[x]) * down)
		scale := 1 / (float32(math.Sqrt(float64(variance))) + floor)
		inverse += scale
		dst[x] = max(-limit, min(limit, float32(v)*scale))
	}
	return float64(inverse) * fixedOne
}

// box holds, while a window of 2 radius + 1 rows moves down a plane, the sum of each column inside it.
type box struct {
	radius, rows int
	column       []float64
}

func newBox(width, radius int) *box { return &box{radius: radius, column: make([]float64, width)} }

// advance moves the window of p to row y. Rows must be visited in order from 0.
func (b *box) advance(p *Plane, y int) {
	first := y + b.radius
	if y == 0 {
		first = 0
	}
	for in := first; in <= y+b.radius && in < p.H; in++ {
		b.rows++
		add(b.column, p.Row(in))
	}
	if out := y - b.radius - 1; out >= 0 {
		b.rows--
		subtract(b.column, p.Row(out))
	}
}

func add(column []float64, row []float32) {
	column = column[:len(row)]
	for x, v := range row {
		column[x] += float64(v)
	}
}

func subtract(column []float64, row []float32) {
	column = column[:len(row)]
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
