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
	"slices"

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
	// Level is how far the search for the geometry goes. Default Standard.
	Level Level
	// Keys is how many delivery keys the material is tested against in all; it multiplies M. Default 1.
	Keys int
	// MaxConcepts is how many concepts are sought in one picture. Default and most mark.MaxSuperposed.
	MaxConcepts int
	// Catalogue are the numbers of the concepts that could be named, where a codebook that was committed before the
	// material was seen says so: fewer hypotheses, lower thresholds. Default all mark.MaxConcepts.
	Catalogue []int
	// Watch are numbers of concepts whose T is wanted whatever its rank: Reading.Watched.
	Watch []int
	// WithoutWorks leaves the work lattice unread, which takes most of the time where no work is there. M is that of a
	// reading that looks for works too.
	WithoutWorks bool
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
	if opt.Keys == 0 {
		opt.Keys = 1
	}
	if opt.Level == "" {
		opt.Level = Standard
	}
	if opt.Scales == nil {
		opt.Scales = UsualScales()
	}
	opt.Catalogue, opt.Watch = slices.Clone(opt.Catalogue), slices.Clone(opt.Watch)
	for _, n := range append(slices.Clone(opt.Catalogue), opt.Watch...) {
		p.ConceptCodeword(n) // panics where it is out of range
	}
	if opt.FWER <= 0 || opt.FWER >= 1 || opt.Resolution < mark.CellSize || opt.Keys < 1 || opt.MaxConcepts < 1 || opt.MaxConcepts > mark.MaxSuperposed {
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
	ms, err := materials(imgs)
	if err != nil {
		return Reading{}, err
	}
	return r.read(ms, nil), nil
}

// materials reduces pictures to residuals, or names the one that is too small.
func materials(imgs []image.Image) ([]*material, error) {
	ms := make([]*material, len(imgs))
	for i, img := range imgs {
		b := img.Bounds()
		if min(b.Dx(), b.Dy()) < MinSide {
			return nil, fmt.Errorf("%w: %d x %d pixels; the short side must be at least %d", ErrTooSmall, b.Dx(), b.Dy(), MinSide)
		}
		ms[i] = newMaterial(img)
	}
	return ms, nil
}

// trials itemises M, but for the search of the delivery's codeword.
func (r *Reader) trials() Trials {
	concepts := mark.MaxConcepts
	if len(r.opt.Catalogue) > 0 {
		concepts = len(r.opt.Catalogue)
	}
	return Trials{Keys: r.opt.Keys, Lattices: int(mark.Lattices), Choosers: len(choosers), Concepts: concepts, Works: mark.MaxWorks, WorkPlaces: workPlaces, Frames: r.sizes(), Combed: r.combed()}
}

// Thresholds returns the T at which this reader names a codeword of each kind.
func (r *Reader) Thresholds() Thresholds { return r.trials().Thresholds(r.opt.FWER) }

// read measures and decides. others may be nil.
func (r *Reader) read(ms []*material, others *Others) Reading {
	f := newFolder()
	a := r.align(ms, f)
	out := Reading{Images: len(ms), FWER: r.opt.FWER, Pilot: a.byPilot.t}
	out.Trials = r.trials()
	out.Trials.Alignments = a.byDelivery.class.trials(a.sizes)
	nothing := finding(0, 0, 1) // what a uniform picture, in which nothing repeats, is left with
	out.Delivery, out.Best, out.Work = nothing, nothing, nothing
	var seen []Alignment
	for i, c := range a.chosen() {
		if c.hypothesis.frames == nil {
			continue // nothing repeats at all: a uniform picture
		}
		if slices.ContainsFunc(seen, func(b Alignment) bool { return sameForConcepts(b, c.alignment) }) {
			continue
		}
		seen = append(seen, c.alignment)
		if c.spectrum == nil {
			c.spectrum = f.fold(c.ms, c.hypothesis.frames, false)
		}
		var contrast *spectrum
		if others != nil {
			contrast = c.spectrum.contrast(others.fold(r, c.hypothesis, f))
			out.Against = len(others.ms)
		}
		read := r.readAt(c.spectrum, contrast, c.alignment, choosers[i], out.Trials)
		read.place(c)
		out.merge(read)
	}
	out.decide()
	out.Detectable = r.detectable(out.spectrum, out.contrast, out.Trials)
	return out
}

// place says where in the picture a reading was made.
func (r *Reading) place(c *chosen) {
	r.frame = c.hypothesis.frames[0]
	if piece := c.ms[0]; piece.at != (image.Rectangle{}) {
		r.Piece = &Piece{piece.at.Min.X, piece.at.Min.Y, piece.w, piece.h}
		x, y := piece.shifted(r.frame, r.Alignment.ShiftX, r.Alignment.ShiftY, 1)
		r.Alignment.ShiftX, r.Alignment.ShiftY = wrap(x), wrap(y)
	}
}

// sameForConcepts says whether two alignments differ by less than a pilot's error for lattice C, which
// repeats every quarter of a cell.
func sameForConcepts(a, b Alignment) bool {
	near := func(x, y float64) bool {
		d := math.Mod(math.Abs(x-y), 1.0/conceptStep)
		return math.Min(d, 1.0/conceptStep-d) < 1.5/128
	}
	return a.Orientation == b.Orientation && a.CellPx == b.CellPx && a.Rotation == b.Rotation && a.Aspect == b.Aspect && near(a.ShiftX, b.ShiftX) && near(a.ShiftY, b.ShiftY)
}

// workPlaces is how many places of the work lattice one place of the pilot's leaves open: the pilot
// repeats every half cell along each axis.
const workPlaces = pilotStep * pilotStep
