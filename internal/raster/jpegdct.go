package raster

// fdctScale[k] is the factor by which fdct8 makes coefficient k of one direction too large: 1 for
// k = 0, else sqrt(2)*cos(k*pi/16). Written out so that every platform has the same bits.
var fdctScale = [8]float64{
	1,
	1.3870398453221474618,
	1.3065629648763765279,
	1.1758756024193587170,
	1,
	0.78569495838710218128,
	0.54119610014619698440,
	0.27589937928294301234,
}

// fdct8 transforms one 8x8 block in place, rows in order, by the two-dimensional DCT-II:
//
//	out[v*8+u] = 8 * fdctScale[u] * fdctScale[v] * F(u,v)
//
// where F is the orthonormal transform of ITU-T T.81, A.3.3. The missing factors are left to the
// quantiser. This is the factorisation of Arai, Agui and Nakajima (Trans. IEICE E-71, 1988): 5
// multiplications a line. Every product is rounded to float32 before it is added, so no compiler may
// fuse the two and every platform gives the same bits.
func fdct8(b *[64]float32) {
	for i := 0; i < 64; i += 8 {
		r := (*[8]float32)(b[i : i+8])
		r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7] =
			fdctLine(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
	}
	for i := range 8 {
		b[i], b[8+i], b[16+i], b[24+i], b[32+i], b[40+i], b[48+i], b[56+i] =
			fdctLine(b[i], b[8+i], b[16+i], b[24+i], b[32+i], b[40+i], b[48+i], b[56+i])
	}
}

// fdctLine is the one-dimensional transform, scaled by sqrt(8)*fdctScale.
func fdctLine(x0, x1, x2, x3, x4, x5, x6, x7 float32) (y0, y1, y2, y3, y4, y5, y6, y7 float32) {
	const (
		c4      = 0.70710678118654752440 // cos(4 pi/16)
		c6      = 0.38268343236508977173 // cos(6 pi/16)
		c2less6 = 0.54119610014619698440 // cos(2 pi/16) - cos(6 pi/16)
		c2plus6 = 1.3065629648763765279  // cos(2 pi/16) + cos(6 pi/16)
	)
	s0, d0 := x0+x7, x0-x7
	s1, d1 := x1+x6, x1-x6
	s2, d2 := x2+x5, x2-x5
	s3, d3 := x3+x4, x3-x4

	// Even coefficients: a 4-point transform of the sums.
	e0, e3 := s0+s3, s0-s3
	e1, e2 := s1+s2, s1-s2
	y0, y4 = e0+e1, e0-e1
	m := float32((e2 + e3) * c4)
	y2, y6 = e3+m, e3-m

	// Odd coefficients: rotations of the differences.
	o0, o1, o2 := d3+d2, d2+d1, d1+d0
	turn := float32((o0 - o2) * c6)
	p := float32(o0*c2less6) + turn
	q := float32(o2*c2plus6) + turn
	m = float32(o1 * c4)
	u, v := d0+m, d0-m
	y5, y3 = v+p, v-p
	y1, y7 = u+q, u-q
	return
}
