package mark

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/filigrane/filigrane/internal/signal"
)

// Numbers of things one delivery key can name.
const (
	MaxConcepts = 65536   // concepts are numbered 1..MaxConcepts
	MaxWorks    = 1048576 // works are numbered 1..MaxWorks
	// MaxSuperposed is how many concepts one image may carry.
	MaxSuperposed = 4
)

// Profile is a frozen, numbered parameter set: the agreement between embedder and detector. A profile is
// never edited, only added; its number travels in every manifest.
type Profile struct {
	ID       int
	lattices [Lattices]latticeProfile
}

type latticeProfile struct {
	harmonics []Harmonic
	slots     int
	books     int
	psnrDB    float64   // of this lattice alone when the whole mark has Reference
	shape     []float64 // amplitude per harmonic, mean square 1
}

// Reference is the strength, in dB, at which the PSNR figures of a profile are given.
const Reference = 42.0

// Coefficients returns how many numbers the lattice carries: two per harmonic.
func (l *latticeProfile) Coefficients() int { return 2 * len(l.harmonics) }

// Profile1 is the first profile: a 64-sample cell, concept period 16.
//
// Concept: luma 4 <= r <= 24 and chroma 4 <= r <= 16, 208 numbers. Pilot: luma 3 <= r <= 16, 140 numbers.
// Work: luma 3 <= r <= 16, 584 numbers. The split of energy is measured in docs/measured.md.
func Profile1() *Profile { return profile1 }

var profile1 = &Profile{ID: 1, lattices: [Lattices]latticeProfile{
	Concept: lattice(Concept, 43.9, 256, 1+MaxConcepts/256,
		band{signal.Y, 4, 24}, band{signal.Cb, 4, 16}, band{signal.Cr, 4, 16}),
	Pilot: lattice(Pilot, 50.0, 256, 1, band{signal.Y, 3, 16}),
	Work:  lattice(Work, 49.3, 1024, MaxWorks/1024, band{signal.Y, 3, 16}),
}}

// ProfileByID returns the profile of that number, or an error that lists those there are.
func ProfileByID(id int) (*Profile, error) {
	if id == 1 {
		return profile1, nil
	}
	return nil, fmt.Errorf("mark: there is no profile %d; this version knows profile 1", id)
}

func lattice(l Lattice, psnrDB float64, slots, books int, bands ...band) latticeProfile {
	p := latticeProfile{harmonics: harmonics(l, bands), slots: slots, books: books, psnrDB: psnrDB}
	p.shape = make([]float64, len(p.harmonics))
	for i, h := range p.harmonics {
		p.shape[i] = shape(l, h)
	}
	return p
}

// shape returns the amplitude of a wave relative to others of its lattice. Pilot and work favour long waves,
// which survive reduction to a thumbnail. The short chroma waves of the concept lattice do not survive
// 4:2:0 JPEG at any strength and get less (docs/measured.md).
func shape(l Lattice, h Harmonic) float64 {
	r := math.Sqrt(float64(h.R2()))
	switch {
	case l != Concept:
		return math.Sqrt(8 / math.Max(r, 4))
	case h.Channel != signal.Y && r > 8:
		return 0.6
	}
	return 1
}

// Harmonics returns the harmonics of a lattice in codeword order. Not to be changed.
func (p *Profile) Harmonics(l Lattice) []Harmonic { return p.lattices[l].harmonics }

// Shape returns the amplitude of each harmonic of a lattice relative to the others. Not to be changed.
func (p *Profile) Shape(l Lattice) []float64 { return p.lattices[l].shape }

// PSNR returns the PSNR, in dB, of a lattice alone when the whole mark has psnrDB.
func (p *Profile) PSNR(l Lattice, psnrDB float64) float64 {
	return p.lattices[l].psnrDB + psnrDB - Reference
}

// Unit returns the amplitude of a coefficient of shape 1 when the lattice has the given RMS in RGB levels.
func (p *Profile) Unit(l Lattice, rms float64) float64 { return p.lattices[l].unit(rms) }

// Coefficients returns the length of a codeword of the lattice, its ceiling squared: T <= sqrt(n).
func (p *Profile) Coefficients(l Lattice) int { return p.lattices[l].Coefficients() }

// Codewords returns how many codewords the lattice has.
func (p *Profile) Codewords(l Lattice) int { return p.lattices[l].books * p.lattices[l].slots }

// Codeword numbers. In lattice C number 0 is the delivery's own, in a book that holds nothing else: given
// the delivery's codeword, those of the concepts are still uniformly random. Row 0 of book 0 of the
// pilot's lattice is the pilot.
const (
	DeliveryCodeword = 0
	PilotCodeword    = 0
)

// ConceptCodeword returns the codeword number, in lattice C, of concept number n in 1..MaxConcepts.
func (p *Profile) ConceptCodeword(n int) int {
	if n < 1 || n > MaxConcepts {
		panic(fmt.Sprintf("mark: concept number %d is not in 1..%d", n, MaxConcepts))
	}
	return p.lattices[Concept].slots + n - 1
}

// WorkCodeword returns the codeword number, in lattice W, of work number n in 1..MaxWorks.
func (p *Profile) WorkCodeword(n int) int {
	if n < 1 || n > MaxWorks {
		panic(fmt.Sprintf("mark: work number %d is not in 1..%d", n, MaxWorks))
	}
	return n - 1
}

// Preset is a named strength: the PSNR, in dB, that a marked image has against its host.
type Preset struct {
	Name   string
	PSNRDB float64
}

// FloorPSNR is the strongest mark, in dB, that the closed loop may reach before an image is refused.
const FloorPSNR = 38.0

var presets = []Preset{{"gentle", 45}, {"standard", 42}, {"strong", 38}}

// Presets lists the strengths by name, weakest first.
func Presets() []Preset { return append([]Preset(nil), presets...) }

// PresetByName returns a preset, or an error that lists the names.
func PresetByName(name string) (Preset, error) {
	var names []string
	for _, p := range presets {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	sort.Strings(names)
	return Preset{}, fmt.Errorf("mark: unknown preset %q; choose one of %s", name, strings.Join(names, ", "))
}

// amplitude returns the RMS, in 8-bit units of RGB, of a lattice at the given PSNR of the whole mark.
func (p *Profile) amplitude(l Lattice, psnrDB float64) float64 {
	return 255 * math.Pow(10, -(p.lattices[l].psnrDB+psnrDB-Reference)/20)
}
