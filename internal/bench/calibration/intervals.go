package calibration

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// ClopperPearson returns the exact two-sided interval of the given confidence, such as 0.95, for the chance
// behind k hits in n tries: never too narrow, whatever the chance. It panics unless 0 <= k <= n, n > 0.
func ClopperPearson(k, n int, confidence float64) (low, high float64) {
	if k < 0 || k > n || n == 0 {
		panic("calibration: k of n out of range")
	}
	tail := (1 - confidence) / 2
	low, high = 0, 1
	switch {
	case k == 0: // closed forms, where the quantile's search starts on the edge
		high = -math.Expm1(math.Log(tail) / float64(n))
	case k == n:
		low = math.Exp(math.Log(tail) / float64(n))
	}
	if k > 0 && k < n {
		high = distuv.Beta{Alpha: float64(k) + 1, Beta: float64(n - k)}.Quantile(1 - tail)
		low = distuv.Beta{Alpha: float64(k), Beta: float64(n-k) + 1}.Quantile(tail)
	}
	return low, high
}

// Wilson returns the 95 % score interval for the chance behind k hits in n tries: narrower than the exact one and,
// on average, as often right as it says. It panics where n is not positive.
func Wilson(k, n int) (low, high float64) {
	if n <= 0 {
		panic("calibration: no tries")
	}
	const z = 1.959963984540054
	p, m := float64(k)/float64(n), float64(n)
	centre := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return math.Max(0, centre-half), math.Min(1, centre+half)
}
