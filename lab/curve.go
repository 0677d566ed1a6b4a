package main

import (
	"image"
	"math"
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
	gauges               [mark.Lattices]*gauge
	in                   [][mark.Lattices]float64 // by class; lattice C: of the first concept
	inDelivery, inSecond []float64
	works                []mark.Codeword // sum of the codewords of the works of a class is taken from these, by class
}

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
	classes := len(m.labels.names)
	in := &calibration{in: make([][mark.Lattices]float64, classes), inDelivery: make([]float64, classes), inSecond: make([]float64, classes)}
	for l := range mark.Lattices {
		in.gauges[l] = newGauge(m.profile, l, masters)
	}
	for c := range classes {
		var added [mark.Lattices][][]float64
		var works []float64
		for _, s := range samples {
			if s.class != c {
				continue
			}
			for l := range mark.Lattices {
				v, u := s.marked.numbers(m.profile, l), s.master.numbers(m.profile, l)
				for i := range v {
					v[i] -= u[i]
				}
				added[l] = append(added[l], v)
			}
			works = append(works, in.gauges[mark.Work].amplitude(added[mark.Work][len(added[mark.Work])-1], m.workWord(s.work)))
		}
		words := m.words(c)
		concept := mean(added[mark.Concept])
		g := in.gauges[mark.Concept]
		in.inDelivery[c] = g.amplitude(concept, words...)
		in.in[c][mark.Concept] = g.amplitude(concept, rotate(words, 1)...)
		if len(words) > 2 {
			in.inSecond[c] = g.amplitude(concept, rotate(words, 2)...)
		}
		in.in[c][mark.Pilot] = in.gauges[mark.Pilot].amplitude(mean(added[mark.Pilot]), m.pilotWord())
		in.in[c][mark.Work], _ = meanAndError(works)
	}
	return in, nil
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
	p := point{Samples: seen.Samples}
	ls := map[string]*collected{"delivery": {}, "concept": {}, "second": {}, "pilot": {}, "work": {}, "other": {}}
	a := newAnalyser(m.cellPx())
	for c := range m.labels.names {
		imgs, err := images(filepath.Join(dir, classFolder(c)), 0)
		if err != nil {
			return point{}, err
		}
		m.class(in, a, imgs, c, ls)
	}
	p.Delivery, p.Concept, p.Pilot, p.Work, p.Other = ls["delivery"].level(), ls["concept"].level(), ls["pilot"].level(), ls["work"].level(), ls["other"].level()
	if s := ls["second"]; len(s.mean) > 0 {
		second := s.level()
		p.Second = &second
	}
	return p, nil
}

// class measures the outputs of one class.
func (m *reading) class(in *calibration, a *analyser, imgs []image.Image, c int, ls map[string]*collected) {
	words := m.words(c)
	other := m.other(c)
	works := m.worksOf(c)
	amounts := map[string][]float64{}
	for _, img := range imgs {
		s := a.spectrum(img)
		v := s.numbers(m.profile, mark.Concept)
		g := in.gauges[mark.Concept]
		amounts["delivery"] = append(amounts["delivery"], g.amplitude(v, words...)/in.inDelivery[c])
		amounts["concept"] = append(amounts["concept"], g.amplitude(v, rotate(words, 1)...)/in.in[c][mark.Concept])
		amounts["other"] = append(amounts["other"], g.amplitude(v, append([]mark.Codeword{other}, words...)...)/in.in[c][mark.Concept])
		if len(words) > 2 {
			amounts["second"] = append(amounts["second"], g.amplitude(v, rotate(words, 2)...)/in.inSecond[c])
		}
		amounts["pilot"] = append(amounts["pilot"], in.gauges[mark.Pilot].amplitude(s.numbers(m.profile, mark.Pilot), m.pilotWord())/in.in[c][mark.Pilot])
		amounts["work"] = append(amounts["work"], in.gauges[mark.Work].mean(s.numbers(m.profile, mark.Work), works)/in.in[c][mark.Work])
	}
	for name, xs := range amounts {
		ls[name].add(xs)
	}
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

// mean returns the mean amplitude of codewords whose mean is given.
func (g *gauge) mean(v, words []float64) float64 {
	num, power := 0.0, 0.0
	for i, w := range g.weight {
		num += w * g.shape[i] * words[i] * v[i]
		power += w * g.shape[i] * g.shape[i]
	}
	return num / power
}

// collected holds transmissions by class.
type collected struct{ mean, err []float64 }

func (c *collected) add(xs []float64) {
	m, e := meanAndError(xs)
	c.mean, c.err = append(c.mean, m), append(c.err, e)
}

func (c *collected) level() level {
	l := level{Least: math.Inf(1)}
	n := float64(len(c.mean))
	for i, m := range c.mean {
		l.Transmission += m / n
		l.Error += c.err[i] * c.err[i] / n / n
		l.Least = math.Min(l.Least, m)
	}
	l.Error = math.Sqrt(l.Error)
	return l
}
