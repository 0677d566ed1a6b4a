package main

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// law is how transmission depends on what was trained on:
//
//	logit tau = b0 + b1 ln(samples / 10,000) + b2 ln(amplitude / that of 42 dB) + b3 ln(share marked)
//
// a logistic curve in the logarithms, fitted by least squares. It describes what was measured, no theory stands
// behind it.
type law struct {
	B        [4]float64
	Error    [4]float64 // standard errors
	Points   int
	Residual float64 // standard deviation of what is left, in logits
	// what it was fitted on, for saying where a prediction is an extrapolation
	LeastSamples, MostSamples int
}

// observation is one measured transmission.
type observation struct {
	samples int
	psnrDB  float64
	share   float64
	tau     float64
}

// within keeps logits finite.
const least, most = 0.02, 0.98

func (o observation) features() [4]float64 {
	return [4]float64{1, math.Log(float64(o.samples) / 1e4), (42 - o.psnrDB) / 20 * math.Ln10, math.Log(o.share)}
}

func logit(p float64) float64 { return math.Log(p / (1 - p)) }

// fit solves for the law. It needs more observations than unknowns; a column that never varies gets 0.
func fit(obs []observation) (law, error) {
	if len(obs) < 6 {
		return law{}, fmt.Errorf("a law needs at least 6 points, there are %d", len(obs))
	}
	used := []int{0}
	for j := 1; j < 4; j++ {
		for _, o := range obs {
			if math.Abs(o.features()[j]-obs[0].features()[j]) > 1e-9 {
				used = append(used, j)
				break
			}
		}
	}
	x, y := mat.NewDense(len(obs), len(used), nil), mat.NewVecDense(len(obs), nil)
	l := law{Points: len(obs), LeastSamples: obs[0].samples}
	for i, o := range obs {
		for k, j := range used {
			x.Set(i, k, o.features()[j])
		}
		y.SetVec(i, logit(min(most, max(least, o.tau))))
		l.LeastSamples, l.MostSamples = min(l.LeastSamples, o.samples), max(l.MostSamples, o.samples)
	}
	var b mat.VecDense
	if err := b.SolveVec(x, y); err != nil {
		return law{}, fmt.Errorf("fitting the law: %w", err)
	}
	var rest mat.VecDense
	rest.MulVec(x, &b)
	rest.SubVec(y, &rest)
	variance := mat.Dot(&rest, &rest) / float64(len(obs)-len(used))
	l.Residual = math.Sqrt(variance)
	var gram, inverse mat.Dense
	gram.Mul(x.T(), x)
	if err := inverse.Inverse(&gram); err != nil {
		return law{}, fmt.Errorf("fitting the law: %w", err)
	}
	for k, j := range used {
		l.B[j], l.Error[j] = b.AtVec(k), math.Sqrt(variance*inverse.At(k, k))
	}
	return l, nil
}

// transmission predicts.
func (l law) transmission(samples int, psnrDB, share float64) float64 {
	z := 0.0
	for j, f := range (observation{samples: samples, psnrDB: psnrDB, share: share}).features() {
		z += l.B[j] * f
	}
	return 1 / (1 + math.Exp(-z))
}

// observations collects the points of plain transformers: what the law is fitted on.
func observations(rs []result, of func(point) level) []observation {
	var obs []observation
	for _, r := range rs {
		if r.run.Model != "transformer" || !r.plain() {
			continue
		}
		for _, p := range r.m.Points {
			obs = append(obs, observation{p.Samples, r.ship.PSNRDB, r.run.share(), of(p).Transmission})
		}
	}
	return obs
}

// plain says that a run differs from the main ones by strength, share and length only.
func (r result) plain() bool {
	return r.run.share() > 0 && !r.run.Flip && r.run.Crop == 0 && r.run.Limit == 0 && r.run.Taught == "" && r.run.Start == "" && r.run.Guidance == 0 &&
		r.ship.Geometry == "square:128" && r.ship.Catalogue == "scenes"
}

// reach is how T grows when n images are folded: T = ceiling sqrt(x / (1 + x)), x = n k (tau a)^2, where tau a is the
// amplitude in the outputs relative to that of a 42 dB delivery, and k the same for all.
type reach struct {
	ceiling, k float64
}

// fitReach takes k as the median over the pools of all runs where T is neither noise nor near the ceiling.
func fitReach(rs []result, ceiling float64, of func(point) level, t func(folded) float64) reach {
	var ks []float64
	for _, r := range rs {
		if r.run.Model != "transformer" || !r.plain() {
			continue
		}
		amplitude := of(r.last()).Transmission * math.Pow(10, (42-r.ship.PSNRDB)/20)
		for _, pool := range r.m.Pools {
			for _, f := range pool.Readings {
				if t := t(f); t > 3 && t < 0.9*ceiling && amplitude > 0.05 {
					x := t * t / (ceiling*ceiling - t*t)
					ks = append(ks, x/float64(f.Images)/amplitude/amplitude)
				}
			}
		}
	}
	if len(ks) == 0 {
		return reach{ceiling, math.NaN()}
	}
	return reach{ceiling, median(ks)}
}

// images predicts how many reach T, +Inf where the ceiling does not.
func (r reach) images(t, tau, psnrDB float64) float64 {
	if t >= r.ceiling {
		return math.Inf(1)
	}
	amplitude := tau * math.Pow(10, (42-psnrDB)/20)
	return t * t / (r.ceiling*r.ceiling - t*t) / r.k / amplitude / amplitude
}
