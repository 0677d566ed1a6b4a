package signal

import "math"

// BoxMean writes to dst, for each sample, the mean of src over the (2 radius + 1)-square around it, cut
// off at the borders. dst and src must not alias and must have the same size.
func BoxMean(dst, src *Plane, radius int) {
	if dst.W != src.W || dst.H != src.H {
		panic("signal: box mean between planes of different size")
	}
	boxRows(src, radius, func(y int, column []float64, rows int) {
		slide(column, dst.Row(y), radius, rows)
	})
}

// Residual replaces p by what is left of it once its content is taken out: each sample less its local
// mean, over its local deviation plus floor, clipped to +-limit. It depends on the picture only, never
// on a key. meanRadius and devRadius are those of the two boxes, in samples; floor is in 8-bit levels.
func Residual(p *Plane, meanRadius, devRadius int, floor, limit float32) float64 {
	local := NewPlane(p.W, p.H)
	BoxMean(local, p, meanRadius)
	for i, m := range local.Pix {
		p.Pix[i] -= m
	}
	boxRowsOf(p, devRadius, square, func(y int, column []float64, rows int) {
		slide(column, local.Row(y), devRadius, rows)
	})
	inverse := 0.0
	for i, v := range local.Pix {
		scale := 1 / (float32(math.Sqrt(math.Max(0, float64(v)))) + floor)
		inverse += float64(scale)
		p.Pix[i] = max(-limit, min(limit, p.Pix[i]*scale))
	}
	return float64(len(p.Pix)) / inverse
}

func square(v float32) float64 { return float64(v) * float64(v) }

// boxRows calls visit for each row y with the sums of every column over the rows y-radius to y+radius
// that exist, and their count.
func boxRows(p *Plane, radius int, visit func(y int, column []float64, rows int)) {
	boxRowsOf(p, radius, func(v float32) float64 { return float64(v) }, visit)
}

func boxRowsOf(p *Plane, radius int, of func(float32) float64, visit func(y int, column []float64, rows int)) {
	column := make([]float64, p.W)
	rows := 0
	for y := -radius; y < p.H; y++ {
		if in := y + radius; in < p.H {
			for x, v := range p.Row(in) {
				column[x] += of(v)
			}
			rows++
		}
		if out := y - radius - 1; out >= 0 {
			for x, v := range p.Row(out) {
				column[x] -= of(v)
			}
			rows--
		}
		if y >= 0 {
			visit(y, column, rows)
		}
	}
}

// slide writes to dst the mean over 2 radius + 1 columns around each, given column sums over rows rows.
func slide(column []float64, dst []float32, radius, rows int) {
	w := len(column)
	sum, n := 0.0, 0
	for x := 0; x < min(radius, w); x++ {
		sum += column[x]
		n++
	}
	for x := range dst {
		if in := x + radius; in < w {
			sum += column[in]
			n++
		}
		if out := x - radius - 1; out >= 0 {
			sum -= column[out]
			n--
		}
		dst[x] = float32(sum / float64(n*rows))
	}
}
