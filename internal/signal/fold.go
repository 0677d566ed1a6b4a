package signal

import "math"

// FoldSize is the side of a folded cell: bins per cell along each axis.
const FoldSize = 64

// Geometry places the cells of a periodic pattern on a plane: the sample x to the right of the plane's centre
// and y below it, both moved by the offset, lies XX x + XY y cells to the right of a corner of cells and
// YX x + YY y below it. Off the diagonal both are 0 unless the pattern was turned or sheared.
type Geometry struct {
	XX, XY, YX, YY float64 // cells a sample
	OffX, OffY     float64 // samples
}

// Square returns the geometry of upright square cells of the given length in samples.
func Square(cell float64) Geometry { return Geometry{XX: 1 / cell, YY: 1 / cell} }

// Fold adds up all cells of p, separately for groups x groups blocks of the plane, into FoldSize x FoldSize
// bins each; a sample between bins is shared by them in proportion. dst holds groups*groups planes of
// FoldSize*FoldSize numbers and is overwritten. Counting cells rather than bins keeps the transform of the
// sum equal to the Fourier sum of the samples, whatever the cell's length.
func Fold(dst []float32, p *Plane, g Geometry, groups int) {
	const n = FoldSize
	if len(dst) != groups*groups*n*n {
		panic("signal: fold into a buffer of the wrong size")
	}
	clear(dst)
	if g.XY != 0 || g.YX != 0 {
		foldTurned(dst, p, g, groups)
		return
	}
	cols, rows := places(p.W, g.XX, g.OffX), places(p.H, g.YY, g.OffY)
	line := make([]float32, groups*(n+1))
	fold := foldLine
	if whole(cols) {
		fold = foldWhole
	}
	for y := 0; y < p.H; y++ {
		clear(line)
		src := p.Row(y)
		for k := 0; k < groups; k++ {
			fold(line[k*(n+1):(k+1)*(n+1)], src, cols, k*p.W/groups, (k+1)*p.W/groups)
		}
		gy := min(y*groups/p.H, groups-1)
		at := rows[y]
		for k := 0; k < groups; k++ {
			acc := dst[(gy*groups+k)*n*n:]
			one := line[k*(n+1) : (k+1)*(n+1)]
			one[0] += one[n]
			addScaled(acc[int(at.bin)*n:int(at.bin)*n+n], one[:n], 1-at.frac)
			if at.frac > 0 {
				next := (int(at.bin) + 1) % n
				addScaled(acc[next*n:next*n+n], one[:n], at.frac)
			}
		}
	}
}

// foldTurned is Fold for cells that are not upright: each sample is shared by the four bins around it.
func foldTurned(dst []float32, p *Plane, g Geometry, groups int) {
	const n = FoldSize
	dx, dy := float64(g.XX*n), float64(g.YX*n) // bins a step to the right
	for y := 0; y < p.H; y++ {
		src, down := p.Row(y), float64(y)+0.5-float64(p.H)/2+g.OffY
		gy := min(y*groups/p.H, groups-1)
		for k := 0; k < groups; k++ {
			acc := dst[(gy*groups+k)*n*n : (gy*groups+k+1)*n*n : (gy*groups+k+1)*n*n]
			from, to := k*p.W/groups, (k+1)*p.W/groups
			right := float64(from) + 0.5 - float64(p.W)/2 + g.OffX
			// Bin b is centred at b + 1/2. Large, so that truncation is rounding down.
			u := (float64(g.XX*right)+float64(g.XY*down))*n - 0.5 + far
			v := (float64(g.YX*right)+float64(g.YY*down))*n - 0.5 + far
			for _, s := range src[from:to] {
				iu, iv := int(u), int(v)
				fu, fv := float32(u-float64(iu)), float32(v-float64(iv))
				row, next := (iv&(n-1))*n, ((iv+1)&(n-1))*n
				col, beside := iu&(n-1), (iu+1)&(n-1)
				low := float32(s * fv)
				up := s - low
				acc[row+col] += up - float32(up*fu)
				acc[row+beside] += float32(up * fu)
				acc[next+col] += low - float32(low*fu)
				acc[next+beside] += float32(low * fu)
				u += dx
				v += dy
			}
		}
	}
}

// far is a whole number of cells, in bins, beyond any picture's.
const far = 1 << 24

// place says between which bins a sample falls: share 1-frac to bin, frac to the next.
type place struct {
	bin  int32
	frac float32
}

func places(size int, cells, off float64) []place {
	ps := make([]place, size)
	for i := range ps {
		u := (float64(i) + 0.5 - float64(size)/2 + off) * cells
		u = float64((u - math.Floor(u)) * FoldSize)
		// Bin b is centred at b + 1/2, so that a cell of 64 samples on a picture of even size falls
		// exactly on the bins.
		u -= 0.5
		if u < 0 {
			u += FoldSize
		}
		b := math.Floor(u)
		frac := u - b
		if frac < 1e-6 {
			frac = 0
		} else if frac > 1-1e-6 {
			b, frac = b+1, 0
		}
		ps[i] = place{int32(b) % FoldSize, float32(frac)}
	}
	return ps
}

// whole says whether every sample falls on one bin: then consecutive samples fall on consecutive bins.
func whole(ps []place) bool {
	for _, p := range ps {
		if p.frac != 0 {
			return false
		}
	}
	return len(ps) < 2 || ps[1].bin == (ps[0].bin+1)%FoldSize
}

// foldWhole adds samples from..to, which fall on consecutive bins.
func foldWhole(acc, src []float32, at []place, from, to int) {
	for x := from; x < to; {
		bin := int(at[x].bin)
		run := min(FoldSize-bin, to-x)
		dst, add := acc[bin:bin+run], src[x:x+run]
		for i, v := range add {
			dst[i] += v
		}
		x += run
	}
}

// foldLine adds samples from..to to n+1 bins, the last being the first again.
func foldLine(acc, src []float32, at []place, from, to int) {
	for x := from; x < to; x++ {
		p, v := at[x], src[x]
		if p.frac == 0 {
			acc[p.bin] += v
			continue
		}
		second := float32(v * p.frac)
		acc[p.bin] += v - second
		acc[p.bin+1] += second
	}
}

func addScaled(dst, src []float32, k float32) {
	dst = dst[:len(src)]
	if k == 1 {
		for i, v := range src {
			dst[i] += v
		}
		return
	}
	for i, v := range src {
		dst[i] += float32(v * k)
	}
}

// Halve returns the plane of means of 2 x 2 samples. An odd last row or column is left out: the centre of
// the picture then lies a quarter of a new sample further, which is the geometry's offset of -1/4.
// It panics on a plane less than 2 samples wide or high.
func Halve(p *Plane) *Plane {
	h := NewPlane(p.W/2, p.H/2)
	for y := 0; y < h.H; y++ {
		halveRow(h.Row(y), p.Row(2*y), p.Row(2*y+1))
	}
	return h
}

// halveRow writes the means of pairs of samples in two rows.
func halveRow(dst, a, b []float32) {
	a, b = a[:2*len(dst)], b[:2*len(dst)]
	for x := range dst {
		dst[x] = (a[2*x] + a[2*x+1] + b[2*x] + b[2*x+1]) * 0.25
	}
}
