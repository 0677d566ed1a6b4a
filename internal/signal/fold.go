package signal

import "math"

// FoldSize is the side of a folded cell: bins per cell along each axis.
const FoldSize = 64

// Geometry places the cells of a periodic pattern on a plane: sample i of an axis of size n lies
// (i + 1/2 - n/2 + Off) / Cell cells from the centre of the pattern.
type Geometry struct {
	Cell       float64 // length of a cell in samples
	OffX, OffY float64 // samples
}

// Fold adds up all cells of p, separately for groups x groups blocks of the plane, into FoldSize x FoldSize
// bins each; a sample between two bins is shared by them in proportion. dst holds groups*groups planes of
// FoldSize*FoldSize numbers and is overwritten. Counting cells rather than bins keeps the transform of the
// sum equal to the Fourier sum of the samples, whatever the cell's length.
func Fold(dst []float32, p *Plane, g Geometry, groups int) {
	const n = FoldSize
	if len(dst) != groups*groups*n*n {
		panic("signal: fold into a buffer of the wrong size")
	}
	clear(dst)
	cols, rows := places(p.W, g.Cell, g.OffX), places(p.H, g.Cell, g.OffY)
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

// place says between which bins a sample falls: share 1-frac to bin, frac to the next.
type place struct {
	bin  int32
	frac float32
}

func places(size int, cell, off float64) []place {
	ps := make([]place, size)
	for i := range ps {
		u := (float64(i) + 0.5 - float64(size)/2 + off) / cell
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
		a, b, d := p.Row(2*y), p.Row(2*y+1), h.Row(y)
		for x := range d {
			d[x] = (a[2*x] + a[2*x+1] + b[2*x] + b[2*x+1]) * 0.25
		}
	}
	return h
}
