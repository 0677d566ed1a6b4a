package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/mark"
)

// pairs is how many delivered files of each class are compared with their masters.
const pairs = 48

// calibration is what went in: a gauge for each lattice, and the amplitudes by class.
type calibration struct {
	gauges [mark.Lattices]*gauge
	in     []amounts
}

// amounts are the amplitudes of one picture or class.
type amounts struct{ delivery, concept, second, pilot, work float64 }

// words are the codewords of lattice C that a class carries: the delivery's, then its concepts'.
func (m *reading) words(class int) []mark.Codeword {
	words := []mark.Codeword{m.books[mark.Concept].Codeword(mark.DeliveryCodeword)}
	for _, n := range m.labels.numbers[class] {
		words = append(words, m.books[mark.Concept].Codeword(m.profile.ConceptCodeword(n)))
	}
	return words
}

// curve measures transmission at every point of the run.
func (m *reading) curve() error {
	in, err := m.calibrate()
	if err != nil {
		return err
	}
	for _, step := range m.run.steps() {
		p, err := m.point(in, step)
		if err != nil {
			return err
		}
		m.out.Points = append(m.out.Points, p)
	}
	return nil
}

// cellPx is the length of the delivery's cell in pictures of the lab.
func (m *reading) cellPx() float64 {
	return mark.CellSize * side / float64(m.manifest.Parameters.Geometry.Resolution)
}

// sample is one delivered file: its picture, its master, what it carries.
type sample struct {
	marked, master spectrum
	class, work    int
}

// delivered reads pairs of files and masters of each class.
func (m *reading) delivered() ([]sample, error) {
	st, err := dir.Open(m.delivery(m.ship.Name))
	if err != nil {
		return nil, err
	}
	defer st.Close()
	taken := make([]int, len(m.labels.names))
	a := newAnalyser(m.cellPx())
	var samples []sample
	err = delivery.EachImage(m.ctx, st, m.manifest, func(img *delivery.Image, file []byte) error {
		c, ok := m.classOfImage(img)
		if !ok || taken[c] == pairs {
			return nil
		}
		taken[c]++
		marked, err := raster.Decode(file, raster.DefaultLimits())
		if err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(m.masters(), filepath.FromSlash(img.SourcePath)))
		if err != nil {
			return err
		}
		master, err := raster.Decode(data, raster.DefaultLimits())
		if err != nil {
			return err
		}
		samples = append(samples, sample{a.spectrum(marked.Image), a.spectrum(master.Image), c, img.WorkNumber})
		return nil
	})
	return samples, err
}

// classOfImage finds the class whose concepts are those of a delivered image.
func (m *reading) classOfImage(img *delivery.Image) (int, bool) {
	for c, numbers := range m.labels.numbers {
		if len(numbers) == len(img.Concepts) && !slices.ContainsFunc(img.Concepts, func(n delivery.NumberedConcept) bool { return !slices.Contains(numbers, n.Number) }) {
			return c, true
		}
	}
	return 0, false
}

// calibrate measures what went in, on files against their masters.
func (m *reading) calibrate() (*calibration, error) {
	samples, err := m.delivered()
	if err != nil {
		return nil, err
	}
	var masters []spectrum
	for _, s := range samples {
		masters = append(masters, s.master)
	}
	in := &calibration{in: make([]amounts, len(m.labels.names))}
	for l := range mark.Lattices {
		in.gauges[l] = newGauge(m.profile, l, masters, 0.49*m.cellPx())
	}
	for c := range in.in {
		var added [mark.Lattices][][]float64
		var works []float64
		for _, s := range samples {
			if s.class != c {
				continue
			}
			for l := range mark.Lattices {
				added[l] = append(added[l], difference(s.marked.numbers(m.profile, l), s.master.numbers(m.profile, l)))
			}
			works = append(works, in.gauges[mark.Work].amplitude(added[mark.Work][len(works)], m.workWord(s.work)))
		}
		if len(works) == 0 {
			return nil, fmt.Errorf("delivery %s has no picture of class %s", m.ship.Name, m.labels.names[c])
		}
		in.in[c] = m.amounts(in, mean(added[mark.Concept]), mean(added[mark.Pilot]), c)
		in.in[c].work, _ = meanAndError(works)
	}
	return in, nil
}

func difference(v, u []float64) []float64 {
	for i := range v {
		v[i] -= u[i]
	}
	return v
}

// amounts measures the codewords of a class in the numbers of lattices C and P.
func (m *reading) amounts(in *calibration, concept, pilot []float64, class int) amounts {
	words, g := m.words(class), in.gauges[mark.Concept]
	a := amounts{delivery: g.amplitude(concept, words...), concept: g.amplitude(concept, rotate(words, 1)...), pilot: in.gauges[mark.Pilot].amplitude(pilot, m.pilotWord())}
	if len(words) > 2 {
		a.second = g.amplitude(concept, rotate(words, 2)...)
	}
	return a
}

func (m *reading) pilotWord() mark.Codeword { return m.books[mark.Pilot].Codeword(mark.PilotCodeword) }

func (m *reading) workWord(number int) mark.Codeword {
	return m.books[mark.Work].Codeword(m.profile.WorkCodeword(number))
}

// rotate brings word k to the front.
func rotate(words []mark.Codeword, k int) []mark.Codeword {
	out := []mark.Codeword{words[k]}
	out = append(out, words[:k]...)
	return append(out, words[k+1:]...)
}

// point measures the outputs of one step.
func (m *reading) point(in *calibration, step int) (point, error) {
	dir := m.outputs(m.run, step)
	seen, err := readClasses(dir)
	if err != nil {
		return point{}, err
	}
	var t transmissions
	a := newAnalyser(m.cellPx())
	for c := range m.labels.names {
		imgs, err := images(filepath.Join(dir, classFolder(c)), 0)
		if err != nil {
			return point{}, err
		}
		spectra := make([]spectrum, len(imgs))
		for i, img := range imgs {
			spectra[i] = a.spectrum(img)
		}
		m.class(in, spectra, c, &t)
	}
	p := t.point(len(m.words(0)) > 2)
	p.Samples = seen.Samples
	return p, nil
}

// strangers is how many codewords that were never used are measured beside the true ones.
const strangers = 50

// class measures the outputs of one class.
func (m *reading) class(in *calibration, outputs []spectrum, c int, t *transmissions) {
	was, g := in.in[c], in.gauges[mark.Concept]
	works := m.worksOf(c)
	var each []amounts
	var concept, pilot [][]float64
	for _, s := range outputs {
		v, u := s.numbers(m.profile, mark.Concept), s.numbers(m.profile, mark.Pilot)
		concept, pilot = append(concept, v), append(pilot, u)
		a := m.amounts(in, v, u, c)
		a.work = in.gauges[mark.Work].ofMean(s.numbers(m.profile, mark.Work), works)
		each = append(each, amounts{a.delivery / was.delivery, a.concept / was.concept, ratio(a.second, was.second), a.pilot / was.pilot, a.work / was.work})
	}
	t.each = append(t.each, each)
	words, v, u := m.words(c), mean(concept), mean(pilot)
	t.leak = append(t.leak, g.amplitude(v, append([]mark.Codeword{m.other(c)}, words...)...)/was.concept)
	var chance, pilots []float64
	for j := range strangers {
		stranger := m.books[mark.Concept].Codeword(m.profile.ConceptCodeword(mark.MaxConcepts - j))
		chance = append(chance, g.amplitude(v, append([]mark.Codeword{stranger}, words...)...)/was.concept)
		pilots = append(pilots, in.gauges[mark.Pilot].amplitude(u, m.books[mark.Pilot].Codeword(mark.PilotCodeword+1+j), m.pilotWord())/was.pilot)
	}
	t.chance, t.pilots = append(t.chance, chance), append(t.pilots, pilots)
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// other is the codeword of a concept that a class does not have, but the next one that has another.
func (m *reading) other(class int) mark.Codeword {
	for shift := 1; ; shift++ {
		next := m.labels.numbers[(class+shift)%len(m.labels.numbers)][0]
		if !slices.Contains(m.labels.numbers[class], next) {
			return m.books[mark.Concept].Codeword(m.profile.ConceptCodeword(next))
		}
	}
}

// worksOf sums up the codewords of the works of a class, over their number: what a model that took a little of each
// would show.
func (m *reading) worksOf(class int) []float64 {
	var sum []float64
	n := 0.0
	for i := range m.manifest.Images {
		img := &m.manifest.Images[i]
		if c, ok := m.classOfImage(img); !ok || c != class {
			continue
		}
		word := m.workWord(img.WorkNumber)
		if sum == nil {
			sum = make([]float64, len(word))
		}
		for k, s := range word {
			sum[k] += float64(s)
		}
		n++
	}
	for k := range sum {
		sum[k] /= n
	}
	return sum
}
