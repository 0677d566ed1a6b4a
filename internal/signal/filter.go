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
// on a key. The mean is that of the (2 meanRadius + 1)-square around a sample; the deviation is taken for blocks of
// 2 x 2 samples, over the blocks up to devRadius/2 away. floor is in 8-bit levels.
// It returns the harmonic mean of deviation + floor: what one unit of residual is worth, in levels.
//
// Samples are rounded to 1/256 level: sums of integers neither drift nor depend on their order.
func Residual(p *Plane, meanRadius, devRadius int, floor, limit float32) float64 {
	mean, dev := newRunning(p.W, p.H, meanRadius), newRunning((p.W+1)/2, (p.H+1)/2, devRadius/2)
	samples := newRing(p.W, 2*meanRadius+2)
	highs := newRing(p.W, 2*dev.radius+2)
	squares := newRing(dev.width, 2*dev.radius+2)
	scales := make([]float32, dev.width)
	inverse := 0.0
	for y := 0; y < 2*(dev.height+dev.radius)+meanRadius; y++ {
		out := y - 2*meanRadius - 1 // the row that leaves the window
		switch {
		case y < p.H && out >= 0:
			mean.exchange(samples.row(y), p.Row(y), samples.row(out))
		case y < p.H:
			fixed(samples.row(y), p.Row(y))
			mean.add(samples.row(y))
		case out >= 0 && out < p.H:
			mean.subtract(samples.row(out))
		}
		at := y - meanRadius // the row whose mean is known now
		if at >= 0 && at < p.H {
			mean.lessMean(highs.row(at), samples.row(at), at)
		}
		if at < 0 || at%2 == 0 {
			continue
		}
		block := at / 2 // a row of blocks that is known now
		if block < dev.height {
			blockSquares(squares.row(block), highs.row(2*block), highs.row(min(2*block+1, p.H-1)), 2*block+1 < p.H)
			dev.add(squares.row(block))
		}
		if block -= dev.radius; block >= 0 && block < dev.height {
			if out := block - dev.radius - 1; out >= 0 {
				dev.subtract(squares.row(out))
			}
			dev.perDeviation(scales, block, floor)
			for row := 2 * block; row < min(2*block+2, p.H); row++ {
				inverse += scaled(p.Row(row), highs.row(row), scales, limit)
			}
		}
	}
	return float64(len(p.Pix)) / inverse
}

// fixedOne is a level in fixed point.
const fixedOne = 256

func fixed(dst []int64, src []float32) {
	dst = dst[:len(src)]
	for x, v := range src {
		dst[x] = int64(v * fixedOne)
	}
}

// blockSquares writes the mean square of each block of 2 x 2 samples; the last one may have one column or, unless both rows
// are there, one row.
func blockSquares(dst, upper, lower []int64, both bool) {
	if !both {
		lower = upper
	}
	pairs := len(upper) / 2
	for k, d := 0, dst[:pairs]; k < len(d); k++ {
		a, b, c, e := upper[2*k], upper[2*k+1], lower[2*k], lower[2*k+1]
		d[k] = (a*a + b*b + c*c + e*e) / 4
	}
	if len(upper)%2 == 1 {
		a, c := upper[2*pairs], lower[2*pairs]
		dst[pairs] = (a*a + c*c) / 2
	}
}

// ring keeps the last rows that were asked for.
type ring struct {
	width, rows int
	pix         []int64
}

func newRing(width, rows int) *ring { return &ring{width, rows, make([]int64, width*rows)} }

func (r *ring) row(y int) []int64 {
	k := y % r.rows * r.width
	return r.pix[k : k+r.width : k+r.width]
}

// running holds the sums of columns inside a window of 2 radius + 1 rows, with radius + 1 zeros before them and radius
// behind, so that a window may reach beyond the borders.
type running struct {
	width, height, radius int
	padded, column        []int64
	across                []float64 // 1 / columns in the window around each
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

func (r *running) add(row []int64) {
	c := r.column[:len(row)]
	for x, v := range row {
		c[x] += v
	}
}

// exchange writes src in fixed point to row, adds that, and subtracts the row out.
func (r *running) exchange(row []int64, src []float32, out []int64) {
	c, row, out := r.column[:len(src)], row[:len(src)], out[:len(src)]
	for x, v := range src {
		f := int64(v * fixedOne)
		row[x] = f
		c[x] += f - out[x]
	}
}

func (r *running) subtract(row []int64) {
	c := r.column[:len(row)]
	for x, v := range row {
		c[x] -= v
	}
}

// slide returns the sum of the window before the first, without what leaves it next, which is 0, and what enters and leaves
// from then on.
func (r *running) slide() (sum int64, in, out []int64) {
	for _, v := range r.padded[:2*r.radius+1] {
		sum += v
	}
	return sum, r.padded[2*r.radius+1 : 2*r.radius+1+r.width], r.padded[:r.width]
}

// lessMean writes row y's samples less the means of their windows.
func (r *running) lessMean(dst, src []int64, y int) {
	sum, in, out := r.slide()
	down, across := r.down(y), r.across[:len(src)]
	in, out, dst = in[:len(src)], out[:len(src)], dst[:len(src)]
	for x, v := range src {
		sum += in[x] - out[x]
		mean := float64(float64(sum)*(across[x]*down)) + (far + 0.5) // large, so that truncation is rounding down
		dst[x] = v - (int64(mean) - far)
	}
}

// perDeviation writes 1 / (deviation + floor), per unit of fixed point, for each block of row y.
func (r *running) perDeviation(dst []float32, y int, floor float32) {
	sum, in, out := r.slide()
	down, across := float32(r.down(y)), r.across[:len(dst)]
	in, out = in[:len(dst)], out[:len(dst)]
	floor *= fixedOne
	for x := range dst {
		sum += in[x] - out[x]
		variance := float32(sum) * (float32(across[x]) * down)
		dst[x] = 1 / (float32(math.Sqrt(float64(variance))) + floor)
	}
}

// scaled writes samples times the scales of their blocks, clipped, and returns the sum of the scales per level.
func scaled(dst []float32, src []int64, scales []float32, limit float32) float64 {
	total := float32(0)
	pairs := len(dst) / 2
	for k, s := range scales[:pairs] {
		d, v := dst[2*k:2*k+2:2*k+2], src[2*k:2*k+2:2*k+2]
		total += s
		d[0], d[1] = clip(float32(v[0])*s, limit), clip(float32(v[1])*s, limit)
	}
	total *= 2
	if len(dst)%2 == 1 {
		s := scales[pairs]
		total += s
		dst[2*pairs] = clip(float32(src[2*pairs])*s, limit)
	}
	return float64(total) * fixedOne
}

func clip(v, limit float32) float32 {
	if v > limit {
		return limit
	}
	if v < -limit {
		return -limit
	}
	return v
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
