// Package detect reads marks: image(s) -> reading -> attribution.
//
// A picture is reduced to a residual, folded over the cell, and correlated with codewords. For any material
// and a codeword whose signs were drawn independently of it, P(T >= t) <= exp(-t^2/2) (Hoeffding): no
// noise model enters. A reading multiplies that by M, the number of hypotheses that could have been named.
//
// The package is pure. Readings on one platform are reproducible to the last bit; T agrees between
// platforms to about 1e-12, since the transform underneath may fuse products.
package detect

import (
	"errors"
	"fmt"
	"image"
	"math"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// Options of a Reader. The zero value of a field means its default.
type Options struct {
	// Resolution R is the short side at which the delivery's cell is 64 pixels. Default 1024.
	Resolution int
	// FWER is the accepted chance of any false attribution in one reading, over all codewords, alignments
	// and the three lattices. Default 1e-6, the level of evidence; payouts use 1e-3.
	FWER float64
	// Scales are the sizes tried, now / as the trainer sees it, besides "the whole picture, resized" and
	// 1. Default UsualScales. An empty, non-nil list tries none.
	Scales []float64
	// MaxConcepts is how many concepts are sought in one picture. Default and most mark.MaxSuperposed.
	MaxConcepts int
}

// UsualScales are the sizes pictures are usually given when they are passed on.
func UsualScales() []float64 {
	return []float64{1. / 4, 1. / 3, 3. / 8, 1. / 2, 5. / 8, 2. / 3, 3. / 4, 4. / 5, 5. / 4, 4. / 3, 3. / 2, 2}
}

// Reader reads the marks of one delivery. It is immutable: goroutines may share it.
type Reader struct {
	profile  *mark.Profile
	books    *mark.Books
	delivery mark.Codeword
	pilot    mark.Codeword
	opt      Options
}

// NewReader prepares the codewords of a delivery's keys. It panics on options out of range.
func NewReader(p *mark.Profile, ks mark.Keys, opt Options) *Reader {
	if opt.Resolution == 0 {
		opt.Resolution = 1024
	}
	if opt.FWER == 0 {
		opt.FWER = 1e-6
	}
	if opt.MaxConcepts == 0 {
		opt.MaxConcepts = mark.MaxSuperposed
	}
	if opt.Scales == nil {
		opt.Scales = UsualScales()
	}
	if opt.FWER <= 0 || opt.FWER >= 1 || opt.Resolution < mark.CellSize || opt.MaxConcepts < 1 || opt.MaxConcepts > mark.MaxSuperposed {
		panic(fmt.Sprintf("detect: options %+v", opt))
	}
	b := mark.NewBooks(p, ks)
	return &Reader{profile: p, books: b, opt: opt,
		delivery: b[mark.Concept].Codeword(mark.DeliveryCodeword),
		pilot:    b[mark.Pilot].Codeword(mark.PilotCodeword)}
}

// MinSide is the smallest short side, in pixels, that is read.
const MinSide = 64

// ErrTooSmall says that a picture has too few pixels to be read.
var ErrTooSmall = errors.New("detect: the picture is too small to be read")

// Read measures one picture, or several folded into one, and decides. Folding adds the pictures up before
// anything is tested, so dependence between them costs nothing; all must have gone the same way (same
// scale, orientation and place of the pattern, as the outputs of one model have). Pictures are not changed.
func (r *Reader) Read(imgs ...image.Image) (Reading, error) {
	if len(imgs) == 0 {
		panic("detect: no picture to read")
	}
	ms := make([]*material, len(imgs))
	for i, img := range imgs {
		b := img.Bounds()
		if min(b.Dx(), b.Dy()) < MinSide {
			return Reading{}, fmt.Errorf("%w: %d x %d pixels; the short side must be at least %d", ErrTooSmall, b.Dx(), b.Dy(), MinSide)
		}
		ms[i] = newMaterial(img)
	}
	return r.read(ms), nil
}

// hypothesis is one size tried: the length of a cell in each picture.
type hypothesis struct {
	scale float64
	cells []float64
}

// hypotheses lists the sizes tried, likeliest first: the whole picture resized (short side / R), as it is,
// then the usual scales. Equal ones are tried once.
func (r *Reader) hypotheses(ms []*material) []hypothesis {
	resized := hypothesis{cells: make([]float64, len(ms))}
	for i, m := range ms {
		s := float64(min(m.w, m.h)) / float64(r.opt.Resolution)
		resized.scale += s / float64(len(ms))
		resized.cells[i] = s * mark.CellSize
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
	spectrum   *spectrum // luma only, nil until folded in full
}

// align finds the alignment the pilot favours and the one the delivery's codeword favours. Once the pilot
// alone is significant the remaining scales are not tried; all of them are counted nevertheless.
func (r *Reader) align(ms []*material, f *folder) (byPilot, byDelivery chosen, sizes int) {
	hs := r.hypotheses(ms)
	sure := threshold(rescaled.trials(len(hs)), 1e-9)
	pilotScore, deliveryScore := math.Inf(-1), math.Inf(-1)
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
		if b := r.search(s, mark.Pilot, r.pilot, pilotStep, i, len(hs), f); b.t > 0 {
			keep(&byPilot, &pilotScore, r.refine(s, mark.Pilot, r.pilot, b))
		}
		if b := r.search(s, mark.Concept, r.delivery, conceptStep, i, len(hs), f); b.t > 0 {
			keep(&byDelivery, &deliveryScore, b)
		}
		if byPilot.t > sure {
			break
		}
	}
	return byPilot, byDelivery, len(hs)
}

// threshold returns the T needed for one of m hypotheses at level alpha: m exp(-t^2/2) = alpha.
func threshold(m, alpha float64) float64 { return math.Sqrt(2 * math.Log(m/alpha)) }

// read measures and decides.
func (r *Reader) read(ms []*material) Reading {
	f := newFolder()
	byPilot, byDelivery, sizes := r.align(ms, f)
	out := Reading{Images: len(ms), FWER: r.opt.FWER, Pilot: byPilot.t}
	out.Trials = Trials{Lattices: int(mark.Lattices), Choosers: 2, Alignments: byDelivery.class.trials(sizes), Concepts: mark.MaxConcepts, Works: mark.MaxWorks, WorkPlaces: workPlaces}
	var seen []Alignment
	for i, c := range []*chosen{&byPilot, &byDelivery} {
		if c.hypothesis.cells == nil {
			continue // nothing repeats at all: a uniform picture
		}
		if c.spectrum == nil {
			c.spectrum = f.fold(ms, c.hypothesis.cells, false)
		}
		chooser := []Chooser{ByPilot, ByDelivery}[i]
		if chooser == ByDelivery && len(seen) > 0 && sameForConcepts(seen[0], c.alignment) {
			continue
		}
		seen = append(seen, c.alignment)
		out.merge(r.readAt(c.spectrum, c.alignment, chooser, out.Trials))
	}
	out.decide(r)
	return out
}

// sameForConcepts says whether two alignments differ by less than a pilot's error for lattice C, which
// repeats every quarter of a cell.
func sameForConcepts(a, b Alignment) bool {
	near := func(x, y float64) bool {
		d := math.Mod(math.Abs(x-y), 1.0/conceptStep)
		return math.Min(d, 1.0/conceptStep-d) < 1.5/128
	}
	return a.Orientation == b.Orientation && a.CellPx == b.CellPx && near(a.ShiftX, b.ShiftX) && near(a.ShiftY, b.ShiftY)
}

// workPlaces is how many places of the work lattice one place of the pilot's leaves open: the pilot
// repeats every half cell along each axis.
const workPlaces = pilotStep * pilotStep

// readAt reads all three lattices at one alignment.
func (r *Reader) readAt(s *spectrum, at Alignment, by Chooser, tr Trials) Reading {
	out := Reading{Alignment: at, By: by}
	c := r.vector(s, mark.Concept, at)
	m := tr.delivery(by)
	out.Delivery = finding(0, c.t(r.delivery), m)
	r.readConcepts(&out, c, tr)
	r.readWork(&out, s, at, tr)
	out.material = measured{spectrum: s, concept: c}
	return out
}

// readConcepts names concepts by successive cancellation: the delivery's codeword, if found, is fitted and
// taken out, then the best concept, and so on. After k cancellations the vector depends on one of 2^k
// sets of truly embedded codewords, so M doubles each time.
func (r *Reader) readConcepts(out *Reading, c *vector, tr Trials) {
	b := r.books[mark.Concept]
	var known []mark.Codeword
	if out.Delivery.P <= r.opt.FWER {
		known = append(known, r.delivery)
	}
	for stage := 0; stage <= r.opt.MaxConcepts; stage++ {
		rest := c
		if len(known) > 0 {
			rest, _ = c.without(known)
		}
		top, second := family(rest, b, b.Slots())
		m := tr.concepts() * math.Pow(2, float64(len(known)))
		f := finding(r.conceptNumber(top.codeword), top.t, m)
		f.RunnerUp = &RunnerUp{Number: r.conceptNumber(second.codeword), T: second.t}
		if f.P > r.opt.FWER || stage == r.opt.MaxConcepts {
			out.Best = f
			break
		}
		out.Concepts = append(out.Concepts, f)
		known = append(known, b.Codeword(top.codeword))
	}
	if n := len(out.Concepts); n > 0 {
		_, amps := c.without(known)
		total := 0.0
		for i := range out.Concepts {
			a := math.Max(0, amps[len(known)-n+i])
			out.Concepts[i].Share = a * a
			total += a * a
		}
		for i := range out.Concepts {
			out.Concepts[i].Share /= math.Max(total, 1e-300)
		}
	}
}

func (r *Reader) conceptNumber(codeword int) int { return codeword - r.books[mark.Concept].Slots() + 1 }

// readWork names the work, trying the four places the pilot leaves open, the nearest to the picture's
// centre first, until one is significant; all four are counted.
func (r *Reader) readWork(out *Reading, s *spectrum, at Alignment, tr Trials) {
	for i, place := range places(at) {
		v := r.vector(s, mark.Work, place)
		top, second := family(v, r.books[mark.Work], 0)
		f := finding(top.codeword+1, top.t, tr.works())
		f.RunnerUp = &RunnerUp{Number: second.codeword + 1, T: second.t}
		if i == 0 || f.T > out.Work.T {
			out.Work = f
			out.Alignment = place
			out.Alignment.ShiftX, out.Alignment.ShiftY = wrap(place.ShiftX), wrap(place.ShiftY)
		}
		if out.Work.P <= r.opt.FWER {
			return
		}
	}
}

// places returns the alignments that differ from at by half cells, the one nearest the centre first.
func places(at Alignment) []Alignment {
	at.ShiftX, at.ShiftY = nearest(at.ShiftX), nearest(at.ShiftY)
	var ps []Alignment
	for _, d := range [workPlaces][2]float64{{0, 0}, {0.5, 0}, {0, 0.5}, {0.5, 0.5}} {
		p := at
		p.ShiftX += d[0]
		p.ShiftY += d[1]
		ps = append(ps, p)
	}
	return ps
}

// nearest brings a shift into -0.25 to 0.25 cells.
func nearest(x float64) float64 { return x - math.Floor(x*pilotStep+0.5)/pilotStep }

// wrap brings a shift into -0.5 to 0.5 cells.
func wrap(x float64) float64 { return x - math.Floor(x+0.5) }

var _ = signal.Y
