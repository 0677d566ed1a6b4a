package main

import (
	"math"
	"slices"

	"github.com/filigrane/filigrane/mark"
)

// reach is how T grows when n outputs are folded:
//
//	T^2 / (c^2 - T^2) = (tau a)^2 / (fresh / n + fixed)
//
// c^2 is the number of coefficients of lattice C, tau a the amplitude in the outputs relative to a 42 dB delivery's. What is
// fresh in every output averages out; what is fixed, the generator's own grid, does not, and sets a T that no number
// of outputs exceeds.
type reach struct{ fresh, fixed float64 }

// ceiling2 is c^2.
var ceiling2 = float64(mark.Profile1().Coefficients(mark.Concept))

// reaches measures fresh and fixed on every pool of the plain transformers: fixed where all outputs are folded, both where
// one is read.
func reaches(rs []result, of func(point) level, t func(folded) float64) []reach {
	var all []reach
	for _, r := range rs {
		if r.run.Model != "transformer" || !r.plain() {
			continue
		}
		amplitude := of(r.last()).Transmission * math.Pow(10, (42-r.ship.PSNRDB)/20)
		noise := func(f folded) float64 {
			t := math.Min(math.Max(t(f), 0.5), 0.99*math.Sqrt(ceiling2))
			return amplitude * amplitude * (ceiling2 - t*t) / (t * t)
		}
		for _, p := range r.m.Pools {
			one, whole := p.Readings[0], p.Readings[len(p.Readings)-1]
			fixed := noise(whole)
			all = append(all, reach{math.Max(0, noise(one)-fixed), fixed})
		}
	}
	return all
}

// outputsFor predicts how many outputs reach T for a part of all concepts, the easiest first; +Inf where none do.
func outputsFor(rs []reach, part, t, tau, psnrDB float64) float64 {
	amplitude := tau * math.Pow(10, (42-psnrDB)/20)
	needed := make([]float64, len(rs))
	for i, r := range rs {
		rest := amplitude*amplitude*(ceiling2-t*t)/(t*t) - r.fixed
		if needed[i] = math.Inf(1); rest > 0 {
			needed[i] = math.Max(1, r.fresh/rest)
		}
	}
	slices.Sort(needed)
	return needed[min(len(needed)-1, int(part*float64(len(needed))))]
}
