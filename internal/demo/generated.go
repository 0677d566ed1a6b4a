package demo

import (
	"context"
	"fmt"
	"image"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/generated"
	"github.com/filigrane/filigrane/internal/report"
)

const (
	stripLength = 7 // concepts of each set that are shown, one picture of each: a row of the page
	othersEach  = 6 // pictures of every other concept that one is read against: twice as many gain little
)

// drawing is one concept of one set.
type drawing struct{ set, concept int }

func drawings(sets []generated.Set) []drawing {
	var all []drawing
	for i, s := range sets {
		for k := range s.Concepts {
			all = append(all, drawing{i, k})
		}
	}
	return all
}

// generated reads what trained models drew: every picture alone, and those of a concept folded together.
func (m *measurement) generated(ctx context.Context, r *report.Report) error {
	r.Generated.Sets = make([]report.GeneratedSet, len(m.Generated))
	if len(m.Generated) == 0 {
		r.Generated.LeftOut = "no outputs of trained models were given"
		return nil
	}
	readers := make([]*detect.Reader, len(m.Generated))
	for i, s := range m.Generated {
		readers[i] = reader(s, FWER, false)
		r.Generated.Sets[i] = report.GeneratedSet{Name: s.Name, Model: s.Model, Marked: s.Marked, Samples: s.Samples, PSNRDB: s.PSNRDB, Concepts: make([]report.GeneratedConcept, len(s.Concepts)), LeastP: 1}
	}
	all := drawings(m.Generated)
	readings := make([][]detect.Reading, len(all))
	err := m.each(ctx, "outputs of trained models", len(all), func(i int) error {
		set, k := m.Generated[all[i].set], all[i].concept
		var err error
		if readings[i], err = readAgainst(readers[all[i].set], set, k, append(singles(set.Concepts[k]), set.Concepts[k].Pictures)); err != nil {
			return err
		}
		r.Generated.Sets[all[i].set].Concepts[k] = describe(set.Concepts[k], set.Marked, readings[i])
		return nil
	})
	if err != nil {
		return err
	}
	for i, d := range all {
		sum(&r.Generated.Sets[d.set], r.Generated.Sets[d.set].Concepts[d.concept], readings[i])
	}
	for i, s := range m.Generated {
		if r.Generated.Sets[i].Strip, err = strip(s); err != nil {
			return err
		}
	}
	return nil
}

// reader reads a set at the size in which it was drawn.
func reader(s generated.Set, fwer float64, withoutWorks bool) *detect.Reader {
	return detect.NewReader(s.Profile, s.Keys, detect.Options{Resolution: s.Resolution, FWER: fwer, Scales: []float64{}, WithoutWorks: withoutWorks})
}

// singles are the pictures of a concept one by one.
func singles(c generated.Concept) [][]image.Image {
	var groups [][]image.Image
	for _, img := range c.Pictures {
		groups = append(groups, []image.Image{img})
	}
	return groups
}

// readAgainst reads groups of pictures of one concept, each group as one, against what the same model drew for the other
// concepts: what they all share, the model's own grid above all, is taken out before concepts are named.
func readAgainst(reader *detect.Reader, s generated.Set, concept int, groups [][]image.Image) ([]detect.Reading, error) {
	var pictures []image.Image
	for i, c := range s.Concepts {
		if i != concept {
			pictures = append(pictures, c.Pictures[:min(othersEach, len(c.Pictures))]...)
		}
	}
	read := reader.Read
	if len(pictures) > 0 {
		others, err := detect.NewOthers(pictures...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		read = func(imgs ...image.Image) (detect.Reading, error) { return reader.ReadAgainst(others, imgs...) }
	}
	var readings []detect.Reading
	for _, imgs := range groups {
		got, err := read(imgs...)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", s.Name, s.Concepts[concept].Name, err)
		}
		readings = append(readings, got)
	}
	return readings, nil
}

// describe counts what the readings of one concept, the last one of all its pictures, got right and wrong.
func describe(c generated.Concept, marked bool, readings []detect.Reading) report.GeneratedConcept {
	row := report.GeneratedConcept{Concept: c.Name}
	last := len(readings) - 1
	for _, got := range readings[:last] {
		row.Alone.Add(recognise(got, c.Number, marked))
	}
	together := readings[last]
	row.Together = recognise(together, c.Number, marked)
	row.DeliveryT, row.DeliveryP = together.Delivery.T, together.Delivery.P
	row.ConceptT, row.ConceptP = strongest(together).T, strongest(together).P
	return row
}

// recognise counts what one reading names. Where the model saw no mark every name is a wrong one.
func recognise(got detect.Reading, number int, marked bool) report.Recognised {
	n := report.Recognised{Readings: 1}
	if got.DeliveryFound() {
		n.Delivery = 1
	}
	if strongest(got).Number == number {
		n.First = 1
	}
	for _, c := range got.Concepts {
		if marked && c.Number == number {
			n.Concept = 1
		} else {
			n.Wrong++
		}
	}
	if got.WorkFound() {
		n.Works = 1
	}
	return n
}

// strongest is the best concept of a reading, named or not.
func strongest(got detect.Reading) detect.Finding {
	if len(got.Concepts) > 0 {
		return got.Concepts[0]
	}
	return got.Best
}

// sum adds a concept to its set.
func sum(s *report.GeneratedSet, c report.GeneratedConcept, readings []detect.Reading) {
	s.Alone.Add(c.Alone)
	s.Together.Add(c.Together)
	for _, got := range readings {
		s.DeliveryMaxT, s.ConceptMaxT, s.WorkMaxT = max(s.DeliveryMaxT, got.Delivery.T), max(s.ConceptMaxT, strongest(got).T), max(s.WorkMaxT, got.Work.T)
		s.LeastP = min(s.LeastP, got.LeastP())
	}
}

// strip shows the first picture of the first concepts, as it was drawn.
func strip(s generated.Set) ([]report.Sample, error) {
	var shown []report.Sample
	for _, c := range s.Concepts[:min(stripLength, len(s.Concepts))] {
		uri, err := dataURI(c.Pictures[0], true)
		if err != nil {
			return nil, err
		}
		b := c.Pictures[0].Bounds()
		shown = append(shown, report.Sample{Concept: c.Name, Picture: uri, Width: b.Dx(), Height: b.Dy()})
	}
	return shown, nil
}
