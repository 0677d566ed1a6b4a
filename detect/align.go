package detect

import (
	"math"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// Orientation is one of the eight ways a picture may lie: Turns quarter turns counter-clockwise of the
// marked picture after Flip mirrored it left to right.
type Orientation struct {
	Flip  bool `json:"flip"`
	Turns int  `json:"quarter_turns"` // 0 to 3
}

var orientations = func() []Orientation {
	var os []Orientation
	for _, flip := range []bool{false, true} {
		for turns := range 4 {
			os = append(os, Orientation{flip, turns})
		}
	}
	return os
}()

// apply carries a harmonic of the marked picture to where the suspect picture has it.
func (o Orientation) apply(kx, ky int) (int, int) {
	if o.Flip {
		kx = -kx
	}
	for range o.Turns {
		kx, ky = ky, -kx // y points down: counter-clockwise on the screen
	}
	return kx, ky
}

// Alignment is a hypothesis about what happened to a picture since it was marked.
type Alignment struct {
	Orientation
	Scale  float64 `json:"scale"`   // size now / size as the trainer sees it
	CellPx float64 `json:"cell_px"` // length of a cell in the suspect picture
	ShiftX float64 `json:"shift_x"` // of the pattern's centre, in cells, -0.5 to 0.5
	ShiftY float64 `json:"shift_y"`
}

// phases is how many shifts per axis one map holds.
const phases = n

// correlations returns, for every shift (m / (phases*step)) cells, the correlation of the spectrum with a
// codeword of a lattice whose harmonics are multiples of step, under an orientation, over the norm of the
// spectrum there: T for each shift.
func (r *Reader) correlations(s *spectrum, l mark.Lattice, word mark.Codeword, o Orientation, step int, field []complex128, fft *signal.FFT2) {
	clear(field)
	norm := 0.0
	for i, h := range r.profile.Harmonics(l) {
		if !s.has[h.Channel] {
			continue
		}
		kx, ky := o.apply(h.KX, h.KY)
		u := s.u[h.Channel][index(kx, ky)]
		norm += power(u)
		// a cosine of amplitude c and a sine of amplitude d have the Fourier coefficient c - i d
		expected := complex(float64(word[2*i]), -float64(word[2*i+1]))
		field[index(kx/step, ky/step)] += u * conj(expected)
	}
	if norm == 0 {
		return
	}
	fft.Inverse(field)
	scaleBy(field, 1/math.Sqrt(norm))
}

// best is the likeliest point of the maps searched.
type best struct {
	t         float64
	class     class
	alignment Alignment
}

// class ranks alignments by how likely they are before anything is measured. Each class has an equal part
// of the error rate, shared equally by its members (weighted Bonferroni): a picture that was only resized
// is not made to pay for every crop and turn that could have been.
type class int

const (
	upright  class = iota // the whole picture resized, the pattern at its centre
	turned                // the whole picture or a same-size one, any orientation, the pattern at its centre
	shifted               // the same sizes, cut anywhere
	rescaled              // any size tried, cut anywhere
	classes
)

const (
	nearCentre   = 2                                       // steps of the map: what rounding a size can do
	centrePoints = (2*nearCentre + 1) * (2*nearCentre + 1) // members near the centre
	likelySizes  = 2                                       // hypotheses that are not rescaled
)

// size returns how many alignments the class holds when sizes are tried.
func (c class) size(sizes int) float64 {
	switch c {
	case upright:
		return centrePoints
	case turned:
		return float64(likelySizes * len(orientations) * centrePoints)
	case shifted:
		return float64(likelySizes * len(orientations) * phases * phases)
	}
	return float64(max(1, sizes-likelySizes) * len(orientations) * phases * phases)
}

// trials returns what naming a member of the class costs.
func (c class) trials(sizes int) float64 { return float64(classes) * c.size(sizes) }

// score orders alignments of different classes: the logarithm of the bound, upside down.
func (b best) score(sizes int) float64 { return b.t*b.t/2 - math.Log(b.class.size(sizes)) }

// search looks for a codeword in the spectrum of size hypothesis i over all orientations and shifts.
// Scale and cell length of the result are left to the caller.
// Once stop says so of the best so far, the orientations left are not looked at.
func (r *Reader) search(s *spectrum, l mark.Lattice, word mark.Codeword, step, i, sizes int, stop func(best) bool, f *folder) best {
	top, topScore := best{}, math.Inf(-1)
	for k, o := range orientations {
		if stop(top) {
			break
		}
		r.correlations(s, l, word, o, step, f.pair, f.fft)
		var at [classes]int
		for c := range at {
			at[c] = -1
		}
		for m, z := range f.pair {
			c := rescaled
			if i < likelySizes {
				if c = shifted; central(m%n) && central(m/n) {
					if c = turned; i == 0 && k == 0 {
						c = upright
					}
				}
			}
			if real(z) > 0 && (at[c] < 0 || real(z) > real(f.pair[at[c]])) {
				at[c] = m
			}
		}
		for c, m := range at {
			if m < 0 {
				continue
			}
			b := best{real(f.pair[m]), class(c), Alignment{Orientation: o, ShiftX: shift(m%n, step), ShiftY: shift(m/n, step)}}
			if s := b.score(sizes); s > topScore {
				top, topScore = b, s
			}
		}
	}
	return top
}

// central says whether place m of a map's axis is near shift 0.
func central(m int) bool { return m <= nearCentre || m >= phases-nearCentre }

// shift turns place m of a map into cells, -0.5/step to 0.5/step.
func shift(m, step int) float64 {
	if m >= phases/2 {
		m -= phases
	}
	return float64(m) / float64(phases*step)
}

// refine climbs from a grid shift to the best nearby one, to 1/1024 of a cell. Only for alignments chosen
// with a key that is not the one tested.
func (r *Reader) refine(s *spectrum, l mark.Lattice, word mark.Codeword, b best) best {
	for _, d := range []float64{1.0 / 256, 1.0 / 512, 1.0 / 1024} {
		start := b.alignment
		for dy := -1; dy <= 1; dy++ {
			for dx := -1; dx <= 1; dx++ {
				a := start
				a.ShiftX += float64(dx) * d
				a.ShiftY += float64(dy) * d
				if t := r.vector(s, l, a).t(word); t > b.t {
					b = best{t, b.class, a}
				}
			}
		}
	}
	return b
}

// hypothesis is one size tried: the length of a cell in each picture.
type hypothesis struct {
	scale   float64
	cells   []float64
	resized bool // the whole picture: each at its own scale
}

// cells gives the lengths of the cell in other pictures under the hypothesis.
func (r *Reader) cells(h hypothesis, others []*material) []float64 {
	cells := make([]float64, len(others))
	for i, m := range others {
		if cells[i] = h.scale * mark.CellSize; h.resized {
			cells[i] = r.resizedScale(m) * mark.CellSize
		}
	}
	return cells
}

// resizedScale is size now / as the trainer sees it for a whole picture that was resized.
func (r *Reader) resizedScale(m *material) float64 {
	return float64(min(m.w, m.h)) / float64(r.opt.Resolution)
}

// hypotheses lists the sizes tried, likeliest first: the whole picture resized (short side / R), as it is,
// then the usual scales. Equal ones are tried once.
func (r *Reader) hypotheses(ms []*material) []hypothesis {
	resized := hypothesis{resized: true}
	resized.cells = r.cells(resized, ms)
	for _, m := range ms {
		resized.scale += r.resizedScale(m) / float64(len(ms))
	}
	hs := []hypothesis{resized}
	for _, s := range append([]float64{1}, r.opt.Scales...) {
		h := hypothesis{scale: s, cells: make([]float64, len(ms))}
		same := true
		for i := range ms {
			h.cells[i] = s * mark.CellSize
			same = same && math.Abs(h.cells[i]-resized.cells[i]) < 1e-9
		}
		if !same {
			hs = append(hs, h)
		}
	}
	return hs
}

// Steps of the lattices: their harmonics are multiples of these.
const (
	conceptStep = 4
	pilotStep   = 2
)

// chosen is an alignment with the hypothesis and score it came from.
type chosen struct {
	best
	hypothesis hypothesis
	spectrum   *spectrum // of all channels, nil while only luma has been folded
}

// surely is the chance, by the pilot's bound, of taking noise for an alignment at which the search stops. A wrong
// alignment can only miss names, not make them.
const surely = 1e-5

// align finds the alignment the pilot favours and the one the delivery's codeword favours. Once the pilot
// alone is significant the remaining scales are not tried; all of them are counted nevertheless.
func (r *Reader) align(ms []*material, f *folder) (byPilot, byDelivery chosen, sizes int) {
	hs := r.hypotheses(ms)
	pilotScore, deliveryScore := math.Inf(-1), math.Inf(-1)
	sure := func(b best) bool { return b.t > threshold(b.class.trials(len(hs)), surely) }
	never := func(best) bool { return false }
	for i, h := range hs {
		s := f.fold(ms, h.cells, i > 0)
		keep := func(c *chosen, score *float64, b best) {
			if v := b.score(len(hs)); v > *score {
				*score, *c = v, chosen{best: b, hypothesis: h}
				c.alignment.Scale, c.alignment.CellPx = h.scale, h.cells[0]
				if i == 0 {
					c.spectrum = s
				}
			}
		}
		if b := r.search(s, mark.Pilot, r.pilot, pilotStep, i, len(hs), sure, f); b.t > 0 {
			keep(&byPilot, &pilotScore, r.refine(s, mark.Pilot, r.pilot, b))
		}
		if sure(byPilot.best) {
			break
		}
		if b := r.search(s, mark.Concept, r.delivery, conceptStep, i, len(hs), never, f); b.t > 0 {
			keep(&byDelivery, &deliveryScore, b)
		}
	}
	return byPilot, byDelivery, len(hs)
}

// threshold returns the T needed for one of m hypotheses at level alpha: m exp(-t^2/2) = alpha.
func threshold(m, alpha float64) float64 { return math.Sqrt(2 * math.Log(m/alpha)) }
