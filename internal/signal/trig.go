package signal

import "math"

// CosSinTurns returns cos(2*pi*t) and sin(2*pi*t) for t in turns.
//
// Unlike math.Cos the result is the same on every platform: each product is rounded before it is added,
// so no compiler may fuse the two. The pattern of the mark is made of these numbers, hence pixels are.
// Error: below 2e-15 for |t| < 2^20. Source: Taylor series on an eighth of a turn.
func CosSinTurns(t float64) (cos, sin float64) {
	t -= math.Floor(t)
	quarter := math.Floor(float64(t*4) + 0.5) // 0..4
	x := float64((t - float64(quarter*0.25)) * (2 * math.Pi))
	x2 := float64(x * x)
	c := horner(x2, 1, -1.0/2, 1.0/24, -1.0/720, 1.0/40320, -1.0/3628800, 1.0/479001600, -1.0/87178291200)
	s := float64(x * horner(x2, 1, -1.0/6, 1.0/120, -1.0/5040, 1.0/362880, -1.0/39916800, 1.0/6227020800, -1.0/1307674368000))
	switch int(quarter) & 3 {
	case 1:
		return -s, c
	case 2:
		return -c, -s
	case 3:
		return s, -c
	}
	return c, s
}

// horner evaluates a[0] + a[1] x + a[2] x^2 + ... with every product rounded.
func horner(x float64, a ...float64) float64 {
	v := a[len(a)-1]
	for i := len(a) - 2; i >= 0; i-- {
		v = float64(v*x) + a[i]
	}
	return v
}
