package main

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// law is how transmission depends on what was trained on:
//
//	tau = share / (1 + exp(-(b0 + b1 ln(samples / 10,000) + b2 ln(amplitude / that of 42 dB) + b3 ln share)))
//
// A model that has learned everything gives back the mean of what it saw: tau = share. The curve describes what was
// measured; no theory stands behind it.
type law struct {
	B      [4]float64
	Error  [4]float64 // standard errors, as if the points were independent, which those of one run are not
	Varied [4]bool    // whether a coefficient could be fitted: its column varies
	Points int
	Rest   float64 // root mean square of what is left of tau / share
	seen   []observation
}

// observation is one measured transmission.
type observation struct {
	samples int
	psnrDB  float64
	share   float64
	tau     float64
	err     float64 // standard error of tau
}

func (o observation) features() [4]float64 {
	return [4]float64{1, math.Log(float64(o.samples) / 1e4), (42 - o.psnrDB) / 20 * math.Ln10, math.Log(o.share)}
}

// fitFloor is added to every point's error, in tau / share: a law that misses by less is good enough.
const fitFloor = 0.05

// prior keeps coefficients finite that the points hardly determine, as where a curve is a step: normal about 0 with
// deviation 10.
const prior = 1 / (10.0 * 10.0)

// fit finds the law by weighted least squares (Levenberg and Marquardt).
func fit(obs []observation) (law, error) {
	if len(obs) < 6 {
		return law{}, fmt.Errorf("a law needs at least 6 points, there are %d", len(obs))
	}
	l := law{Points: len(obs), seen: obs}
	var used []int
	for j := range l.B {
		l.Varied[j] = j == 0 || slices.ContainsFunc(obs, func(o observation) bool { return math.Abs(o.features()[j]-obs[0].features()[j]) > 1e-9 })
		if l.Varied[j] {
			used = append(used, j)
		}
	}
	l.B[1] = 0.5 // a start from which it converges
	damping, best := 1e-3, l.misfit()
	var inverse mat.Dense
	for range 200 {
		gram, gradient := l.normal(used)
		damped := mat.DenseCopyOf(gram)
		for k := range used {
			damped.Set(k, k, gram.At(k, k)*(1+damping))
		}
		if err := inverse.Inverse(damped); err != nil {
			return law{}, fmt.Errorf("fitting the law: %w", err)
		}
		var step mat.VecDense
		step.MulVec(&inverse, gradient)
		next := l
		for k, j := range used {
			next.B[j] += step.AtVec(k)
		}
		if m := next.misfit(); m < best {
			done := best-m < 1e-12*best
			l, best, damping = next, m, damping/3
			if done {
				break
			}
		} else if damping *= 4; damping > 1e12 {
			break
		}
	}
	gram, _ := l.normal(used)
	if err := inverse.Inverse(gram); err != nil {
		return law{}, fmt.Errorf("fitting the law: %w", err)
	}
	scale := best / float64(max(1, len(obs)-len(used)))
	for k, j := range used {
		l.Error[j] = math.Sqrt(scale * inverse.At(k, k))
	}
	for _, o := range obs {
		l.Rest += math.Pow((o.tau-l.of(o))/o.share, 2) / float64(len(obs))
	}
	l.Rest = math.Sqrt(l.Rest)
	return l, nil
}

// weight of a point is the inverse square of its error in tau / share.
func (o observation) weight() float64 {
	return 1 / (fitFloor*fitFloor + o.err*o.err/o.share/o.share)
}

func (l law) misfit() float64 {
	sum := 0.0
	for _, o := range l.seen {
		d := (o.tau - l.of(o)) / o.share
		sum += o.weight() * d * d
	}
	for _, b := range l.B {
		sum += prior * b * b
	}
	return sum
}

// normal gives the normal equations at the present coefficients.
func (l law) normal(used []int) (*mat.Dense, *mat.VecDense) {
	gram, gradient := mat.NewDense(len(used), len(used), nil), mat.NewVecDense(len(used), nil)
	for _, o := range l.seen {
		f, p := o.features(), l.of(o)/o.share
		slope, rest := p*(1-p), o.tau/o.share-p
		for a, i := range used {
			gradient.SetVec(a, gradient.AtVec(a)+o.weight()*slope*f[i]*rest)
			for b, j := range used {
				gram.Set(a, b, gram.At(a, b)+o.weight()*slope*slope*f[i]*f[j])
			}
		}
	}
	for a, i := range used {
		gradient.SetVec(a, gradient.AtVec(a)-prior*l.B[i])
		gram.Set(a, a, gram.At(a, a)+prior)
	}
	return gram, gradient
}

func (l law) of(o observation) float64 {
	z := 0.0
	for j, f := range o.features() {
		z += l.B[j] * f
	}
	return o.share / (1 + math.Exp(-z))
}

// transmission predicts.
func (l law) transmission(samples int, psnrDB, share float64) float64 {
	return l.of(observation{samples: samples, psnrDB: psnrDB, share: share})
}

// beyond says how a prediction goes beyond what was trained, "" if it does not.
func (l law) beyond(samples int, psnrDB, share float64) string {
	most, known := 0, false
	for _, o := range l.seen {
		if math.Abs(o.psnrDB-psnrDB) < 0.01 && math.Abs(o.share-share) < 1e-6 {
			known, most = true, max(most, o.samples)
		}
	}
	switch {
	case !known:
		return "strength and share not trained together"
	case samples > most:
		return fmt.Sprintf("%.0f times the samples trained", math.Ceil(float64(samples)/float64(most)))
	}
	return ""
}

// observations collects the points of plain transformers: what the law is fitted on.
func observations(rs []result, of func(point) level) []observation {
	var obs []observation
	for _, r := range rs {
		if r.run.Model != "transformer" || !r.plain() {
			continue
		}
		for _, p := range r.m.Points {
			obs = append(obs, observation{p.Samples, r.ship.PSNRDB, r.run.share(), of(p).Transmission, of(p).Error})
		}
	}
	return obs
}

// plain says that a run differs from the main ones by strength, share and length only (and by its learning rate's end,
// where it is long).
func (r result) plain() bool {
	return r.run.share() > 0 && !r.run.Flip && r.run.Crop == 0 && r.run.Limit == 0 && r.run.Taught == "" && r.run.Start == "" && r.run.Guidance == 0 &&
		r.ship.Geometry == "square:128" && r.ship.Catalogue == "scenes"
}
