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
	Scale    float64 `json:"scale"`    // size now / size as the trainer sees it
	CellPx   float64 `json:"cell_px"`  // length of a cell in the suspect picture
	Rotation float64 `json:"rotation"` // degrees counter-clockwise, within an eighth of a turn
	Aspect   float64 `json:"aspect"`   // width over height, now / as it was marked: 1 unless stretched
	ShiftX   float64 `json:"shift_x"`  // of the pattern's centre, in cells, -0.5 to 0.5
	ShiftY   float64 `json:"shift_y"`
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

// hypothesis is one frame tried, in each picture.
type hypothesis struct {
	scale   float64
	frames  []frame
	resized bool // the whole picture: each at its own scale
}

// frames gives the frames in other pictures under the hypothesis.
func (r *Reader) frames(h hypothesis, others []*material) []frame {
	fs := make([]frame, len(others))
	for i, m := range others {
		if fs[i] = h.frames[0]; h.resized {
			fs[i] = square(r.resizedScale(m) * mark.CellSize)
		}
	}
	return fs
}

// resizedScale is size now / as the trainer sees it for a whole picture that was resized.
func (r *Reader) resizedScale(m *material) float64 {
	return float64(min(m.w, m.h)) / float64(r.opt.Resolution)
}

// everywhere is the hypothesis that all pictures have one frame.
func everywhere(f frame, pictures int) hypothesis {
	h := hypothesis{scale: f.cell() / mark.CellSize, frames: make([]frame, pictures)}
	for i := range h.frames {
		h.frames[i] = f
	}
	return h
}

// likely lists the sizes tried first: the whole picture resized (short side / R), and as it is.
func (r *Reader) likely(ms []*material) []hypothesis {
	resized := hypothesis{resized: true, frames: make([]frame, len(ms))}
	same := true
	for i, m := range ms {
		s := r.resizedScale(m)
		resized.frames[i] = square(s * mark.CellSize)
		resized.scale += s / float64(len(ms))
		same = same && math.Abs(s-1)*mark.CellSize < 1e-9
	}
	if same {
		return []hypothesis{resized}
	}
	return []hypothesis{resized, everywhere(square(mark.CellSize), len(ms))}
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
	spectrum   *spectrum   // of all channels, nil while only luma has been folded
	ms         []*material // what was aligned
}

// surely is the chance, by the pilot's bound, of taking noise for an alignment at which the search stops. A wrong
// alignment can only miss names, not make them.
const surely = 1e-5

// alignments is a search for the alignment of pictures: the best so far by the pilot, and by the delivery's codeword.
type alignments struct {
	*Reader
	ms    []*material
	f     *folder
	sizes int // hypotheses that may be tried, all of which are counted
	tried int
	// pilotOnly leaves the delivery's codeword out.
	pilotOnly bool

	byPilot, byDelivery       chosen
	pilotScore, deliveryScore float64
}

// align finds the alignment the pilot favours and the one the delivery's codeword favours. Once the pilot
// alone is significant the remaining hypotheses are not tried; all of them are counted nevertheless.
func (r *Reader) align(ms []*material, f *folder) *alignments {
	a := &alignments{Reader: r, ms: ms, f: f, sizes: r.sizes(), pilotScore: math.Inf(-1), deliveryScore: math.Inf(-1)}
	for i, h := range r.likely(ms) {
		if a.try(h, i) {
			break
		}
	}
	found := a.sure()
	if !found && r.opt.Level != Fast {
		a.shapes()
	}
	if len(ms) > 1 {
		return a
	}
	switch {
	case a.sure() && (r.opt.Level == Deep || !found && r.opt.Level == Standard):
		a.extent(ms[0])
	case r.opt.Level == Deep && !a.sure():
		a.pieces()
	}
	return a
}

// chosen lists the alignments to be read, in the order of choosers; those that there are not have no frames.
func (a *alignments) chosen() []*chosen {
	delivered := &chosen{}
	if !a.sure() && a.byPilot.hypothesis.frames != nil {
		delivered.hypothesis, delivered.ms = a.likely(a.ms)[0], a.ms
		delivered.describe()
	}
	return []*chosen{&a.byPilot, &a.byDelivery, delivered}
}

// shapes tries the frames the comb puts forward and the usual scales, until the pilot is significant.
func (a *alignments) shapes() {
	r, ms, f := a.Reader, a.ms, a.f
	planes := make([]*signal.Plane, len(ms))
	for i, m := range ms {
		planes[i] = m.planes[signal.Y]
	}
	c := newComb(r.profile, planes, f.wide())
	for _, k := range c.search(scalesOnly) {
		if a.try(everywhere(k.frame, len(ms)), likelySizes) {
			return
		}
	}
	for _, s := range r.opt.Scales {
		if a.try(everywhere(square(s*mark.CellSize), len(ms)), likelySizes) {
			return
		}
	}
	if r.opt.Level == Deep {
		for _, k := range c.search(allShapes) {
			if a.try(everywhere(k.frame, len(ms)), likelySizes) {
				return
			}
		}
	}
}

// What the comb goes through at each level.
var (
	scalesOnly = ranges{keep: 8, teeth: math.MaxInt}
	allShapes  = ranges{angles: 42, aspects: 8, keep: 16, teeth: 126} // 15 degrees, 10 percent
)

// sizes is how many hypotheses the reader's level may try.
func (r *Reader) sizes() int {
	switch r.opt.Level {
	case Fast:
		return likelySizes
	case Standard:
		return likelySizes + len(r.opt.Scales) + scalesOnly.keep
	}
	return likelySizes + len(r.opt.Scales) + scalesOnly.keep + allShapes.keep + pieceTries
}

// combed is how many frames the comb goes through at the reader's level, in one picture.
func (r *Reader) combed() int {
	switch r.opt.Level {
	case Fast:
		return 0
	case Standard:
		return scalesOnly.frames()
	}
	return scalesOnly.frames() + allShapes.frames() + mostWindows*pieceShapes.frames()
}

func (a *alignments) sure() bool {
	return a.byPilot.t > threshold(a.byPilot.class.trials(a.sizes), surely)
}

// try looks for the pilot, and unless that is significant for the delivery's codeword, under hypothesis number i, and
// says whether to stop.
func (a *alignments) try(h hypothesis, i int) bool {
	s := a.f.fold(a.ms, h.frames, a.tried > 0)
	first := a.tried == 0
	a.tried++
	keep := func(c *chosen, score *float64, b best) {
		if v := b.score(a.sizes); v > *score {
			*score, *c = v, chosen{best: b, hypothesis: h, ms: a.ms}
			c.describe()
			if first {
				c.spectrum = s
			}
		}
	}
	sure := func(b best) bool { return b.t > threshold(b.class.trials(a.sizes), surely) }
	if b := a.search(s, mark.Pilot, a.pilot, pilotStep, i, a.sizes, sure, a.f); b.t > 0 {
		keep(&a.byPilot, &a.pilotScore, a.refine(s, mark.Pilot, a.pilot, b))
		a.refinePilot(s, h)
	}
	if a.sure() {
		return true
	}
	if a.pilotOnly {
		return false
	}
	never := func(best) bool { return false }
	if b := a.search(s, mark.Concept, a.delivery, conceptStep, i, a.sizes, never, a.f); b.t > 0 {
		keep(&a.byDelivery, &a.deliveryScore, b)
	}
	return false
}

// refinePilot refines the frame of a single picture where the pilot's best alignment came from hypothesis h and something
// may be gained.
func (a *alignments) refinePilot(s *spectrum, h hypothesis) {
	c := &a.byPilot
	strong := strongKnown * math.Sqrt(float64(a.profile.Coefficients(mark.Pilot)))
	if a.tried > likelySizes {
		strong *= strongFound / strongKnown
	}
	if len(a.ms) > 1 || c.hypothesis.frames[0] != h.frames[0] || c.t < weakPilot || c.t > strong {
		return
	}
	at, f := c.best, h.frames[0]
	for range refinements {
		d, b := a.refineFrame(s, at, a.opt.Level == Deep)
		if d == (frame{}) {
			break
		}
		f = f.plus(d)
		s = a.f.fold(a.ms, []frame{f}, true)
		b.t = a.vector(s, mark.Pilot, b.alignment).t(a.pilot)
		gain := b.t - at.t
		if at = b; at.t > c.t {
			c.best, c.hypothesis, c.spectrum = at, everywhere(f, 1), nil
			c.describe()
		}
		if gain < enough || at.t > strong {
			break
		}
	}
}

// describe writes what the frame means into the alignment.
func (c *chosen) describe() {
	f := c.hypothesis.frames[0]
	c.alignment.Scale, c.alignment.CellPx = c.hypothesis.scale, f.cell()
	angle, aspect := f.shape()
	c.alignment.Rotation, c.alignment.Aspect = angle*180/math.Pi, aspect
}

// threshold returns the T needed for one of m hypotheses at level alpha: m exp(-t^2/2) = alpha.
func threshold(m, alpha float64) float64 { return math.Sqrt(2 * math.Log(m/alpha)) }
