package detect

import (
	"math"

	"github.com/filigrane/filigrane/mark"
)

// detectable returns the weakest marks that the material would have shown with probability 0.9. contrast is what concepts
// were read from, nil for s.
func (r *Reader) detectable(s, contrast *spectrum, tr Trials) Detectable {
	if s == nil {
		return Detectable{}
	}
	if contrast == nil {
		contrast = s
	}
	weakest := func(s *spectrum, l mark.Lattice, m float64) float64 {
		return r.weakest(s, l, threshold(m, r.opt.FWER))
	}
	d := Detectable{Delivery: weakest(s, mark.Concept, tr.delivery(ByPilot)), Concept: weakest(contrast, mark.Concept, tr.concepts())}
	if !r.opt.WithoutWorks {
		d.Work = weakest(s, mark.Work, tr.works())
	}
	return d
}

// power90 is the normal quantile of 0.9: T scatters about its expectation with deviation at most 1.
const power90 = 1.2816

// weakest solves for the RMS at which a codeword that has all of a lattice would reach t with probability
// 0.9. A wave of signal-to-noise power q adds q/(1+q) to the square of the expected T, twice a harmonic.
func (r *Reader) weakest(s *spectrum, l mark.Lattice, t float64) float64 {
	target := (t + power90) * (t + power90)
	reached := func(rms float64) float64 {
		unit := r.profile.Unit(l, rms)
		sum := 0.0
		for i, h := range r.profile.Harmonics(l) {
			k := index(h.KX, h.KY)
			if !s.has[h.Channel] || s.weight[h.Channel][k] == 0 {
				continue
			}
			a := unit * r.profile.Shape(l)[i] / s.levels[h.Channel]
			q := a * a / (s.noise[h.Channel][k] / 2)
			sum += 2 * q / (1 + q)
		}
		return sum
	}
	lo, hi := 0.0, 64.0
	if reached(hi) < target {
		return 0
	}
	for range 40 {
		if mid := (lo + hi) / 2; reached(mid) < target {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}

// rms returns the strength of a codeword with the given amplitude relative to what was expected of each
// wave, in 8-bit levels.
func (r *Reader) rms(s *spectrum, l mark.Lattice, at Alignment, amplitude float64) float64 {
	power := 0.0
	for _, h := range r.profile.Harmonics(l) {
		if !s.has[h.Channel] {
			continue
		}
		k := index(at.apply(h.KX, h.KY))
		a := amplitude * math.Sqrt(s.snr[h.Channel][k]*s.noise[h.Channel][k]/2) * s.levels[h.Channel]
		power += a * a * mark.ChannelPower(h.Channel)
	}
	return math.Sqrt(power)
}
