package demo

import (
	"cmp"
	"context"
	"fmt"
	"image"
	"slices"
	"sync"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/mark"
)

// The surrogate imitates what a model that trained on the delivery might give back: pictures of other
// content that carry the concept's lattice alone, at half its amplitude, the pilot and the works' marks
// gone. It is a channel made by hand; the lab replaces it by trained models.
const (
	surrogateAmplitude = 0.5
	surrogateOutputs   = 12
	surrogateSide      = 512
	surrogateNote      = "No model was trained for these rows. Other photographs, cut to 512 × 512, were given the concept's lattice alone at half its delivered amplitude, without pilot and without any work's mark: a stand-in for what a model that learned the concept might give back. It shows that the reader works under such a channel, not that a model is such a channel."
)

// output is one picture of the surrogate, with what was read from it at the level of payouts.
type output struct {
	name    string
	reading detect.Reading
}

// surrogate makes and reads the imitated outputs of every concept, each alone and all together.
func (m *measurement) surrogate(ctx context.Context, r *report.Report) error {
	r.Surrogate = report.Surrogate{Note: surrogateNote, Amplitude: surrogateAmplitude}
	numbers := m.conceptNumbers()
	r.Surrogate.Concepts = make([]report.SurrogateConcept, len(numbers))
	opt := detect.Options{Resolution: m.Resolution, FWER: FWER, Scales: []float64{}}
	evidence := detect.NewReader(m.Profile, m.Keys, opt)
	opt.FWER = payoutFWER
	payout := detect.NewReader(m.Profile, m.Keys, opt)
	var mu sync.Mutex
	err := m.each(ctx, "surrogate of a trained model", len(numbers), func(i int) error {
		row := report.SurrogateConcept{Concept: m.Names(numbers[i])}
		imgs, err := m.imitate(numbers[i])
		if err != nil {
			return err
		}
		row.Outputs = len(imgs)
		for k, img := range imgs {
			got, err := evidence.Read(img)
			if err != nil {
				return err
			}
			count(&row, got, numbers[i])
			if got, err = payout.Read(img); err != nil {
				return err
			}
			mu.Lock()
			m.outputs = append(m.outputs, output{fmt.Sprintf("%s-%02d", row.Concept, k), got})
			mu.Unlock()
		}
		if err := foldAll(evidence, imgs, m.Names, &row); err != nil {
			return err
		}
		r.Surrogate.Concepts[i] = row
		return nil
	})
	slices.SortFunc(m.outputs, func(a, b output) int { return cmp.Compare(a.name, b.name) })
	return err
}

func foldAll(reader *detect.Reader, imgs []image.Image, names func(int) string, row *report.SurrogateConcept) error {
	together, err := reader.Read(imgs...)
	if err != nil {
		return err
	}
	best := together.Best
	if len(together.Concepts) > 0 {
		best = together.Concepts[0]
		row.Folded = names(best.Number)
		if row.Folded == "" {
			row.Folded = fmt.Sprintf("number %d, not of this delivery", best.Number)
		}
	}
	row.FoldedT, row.FoldedP = best.T, best.P
	return nil
}

func count(row *report.SurrogateConcept, got detect.Reading, number int) {
	for _, c := range got.Concepts {
		if c.Number == number {
			row.NamedAlone++
		} else {
			row.WrongAlone++
		}
	}
	if got.WorkFound() {
		row.WorkAppeared++
	}
}

// conceptNumbers lists the concepts of the pictures, sorted.
func (m *measurement) conceptNumbers() []int {
	var ns []int
	for _, p := range m.Pictures {
		ns = append(ns, p.Concepts...)
	}
	slices.Sort(ns)
	return slices.Compact(ns)
}

// imitate makes the outputs of one concept from pictures of others.
func (m *measurement) imitate(number int) ([]image.Image, error) {
	cell := mark.NewCell(m.Profile, m.books, mark.Names{Concepts: []int{number}}).Only(mark.Concept)
	psnr := m.Profile.PSNR(mark.Concept, m.PresetDB) + halved
	var imgs []image.Image
	for i := number * 7; len(imgs) < surrogateOutputs; i++ {
		p := m.Pictures[i%len(m.Pictures)]
		if slices.Contains(p.Concepts, number) {
			continue
		}
		host, err := p.Host()
		if err != nil {
			return nil, err
		}
		cut := imaging.CropAnchor(host, surrogateSide, surrogateSide, anchors[i%len(anchors)])
		out, _, err := embed.Mark(cut, cell, embed.Options{PSNRDB: psnr})
		if err != nil {
			continue // a cut without room for a mark, black say; another picture serves
		}
		imgs = append(imgs, out)
	}
	return imgs, nil
}

// halved is the change in PSNR of half the amplitude.
const halved = 6.0206

var anchors = []imaging.Anchor{imaging.TopLeft, imaging.TopRight, imaging.BottomLeft, imaging.BottomRight, imaging.Center}

// conceptIDs maps numbers to identifiers.
func (m *measurement) conceptIDs() map[int]concepts.ConceptID {
	ids := map[int]concepts.ConceptID{}
	for _, p := range m.Pictures {
		for i, n := range p.Concepts {
			ids[n] = p.ConceptIDs[i]
		}
	}
	return ids
}
