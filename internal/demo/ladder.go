package demo

import (
	"context"
	"errors"
	"image"
	"slices"
	"sync"
	"time"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/attack"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/mark"
)

// slow edits are made on every third picture only: encoding WebP takes a second.
var slow = map[string]bool{"webp75": true}

// unmarked is the last row: the hosts, which carry nothing.
const unmarked = "unmarked"

// rung collects one row.
type rung struct {
	report.Rung
	mu              sync.Mutex
	tConcept, tWork []float64
	millis          []float64
}

// ladder reads every delivered file after every edit, and the hosts.
func (m *measurement) ladder(ctx context.Context, r *report.Report) error {
	edits := attack.Ladder()
	rungs := make([]*rung, len(edits)+1)
	for i, e := range edits {
		rungs[i] = &rung{Rung: report.Rung{Edit: e.Name, About: e.About}}
	}
	rungs[len(edits)] = &rung{Rung: report.Rung{Edit: unmarked, About: "the hosts, before marking"}}
	m.untouched = make([]float64, len(m.Pictures))
	err := m.each(ctx, "reading edited files", len(m.Pictures), func(i int) error {
		p := m.Pictures[i]
		marked, err := p.Marked()
		if err != nil {
			return err
		}
		for k, e := range edits {
			if slow[e.Name] && i%3 != 0 {
				continue
			}
			t, err := m.climb(rungs[k], p, e.Apply(marked, m.Seed+uint64(i)))
			if err != nil {
				return err
			}
			if e.Name == "none" {
				m.untouched[i] = t
			}
		}
		host, err := p.Host()
		if err != nil {
			return err
		}
		_, err = m.climb(rungs[len(edits)], p, host)
		return err
	})
	if err != nil {
		return err
	}
	for _, row := range rungs {
		row.TConcept, row.TWork, row.MillisMedian = spread(row.tConcept), spread(row.tWork), spread(row.millis).Median
		r.Ladder = append(r.Ladder, row.Rung)
	}
	return nil
}

// climb reads one picture and adds it to a row; it returns T of its first concept.
func (m *measurement) climb(row *rung, p Picture, img image.Image) (float64, error) {
	start := time.Now()
	got, err := m.reader.Read(img)
	millis := float64(time.Since(start).Microseconds()) / 1000
	row.mu.Lock()
	defer row.mu.Unlock()
	row.N++
	if errors.Is(err, detect.ErrTooSmall) {
		row.Failures = append(row.Failures, report.Miss{File: p.Name, Reason: err.Error()})
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	truth := p.Concepts
	if row.Edit == unmarked { // whatever is named is wrong
		truth, p.Work = nil, -1
	}
	row.add(got, truth, p.Work)
	t := conceptT(got, p.Concepts)
	row.tConcept = append(row.tConcept, t)
	row.tWork = append(row.tWork, got.Work.T)
	row.millis = append(row.millis, millis)
	return t, nil
}

// add counts what one reading got right and wrong. The concept follows from the work, through the manifest,
// wherever the work is read.
func (row *rung) add(got detect.Reading, concepts []int, work int) {
	if got.DeliveryFound() {
		row.DeliveryRight++
	}
	wrong := false
	right := 0
	for _, c := range got.Concepts {
		if slices.Contains(concepts, c.Number) {
			right++
		} else {
			wrong = true
		}
	}
	direct := len(concepts) > 0 && right == len(concepts)
	if direct {
		row.ConceptDirect++
	}
	if wrong {
		row.ConceptWrong++
	}
	if got.WorkFound() {
		if got.Work.Number == work {
			row.WorkRight++
		} else {
			row.WorkWrong++
		}
	}
	if direct || got.WorkFound() && got.Work.Number == work {
		row.ConceptRight++
	}
}

// conceptT returns T of the first true concept where it was named, else of the best other.
func conceptT(got detect.Reading, concepts []int) float64 {
	for _, c := range got.Concepts {
		if slices.Contains(concepts, c.Number) {
			return c.T
		}
	}
	return got.Best.T
}

// twoConcepts marks every host anew with two concepts, its own and its neighbour's, and reads both.
func (m *measurement) twoConcepts(ctx context.Context, r *report.Report) error {
	var mu sync.Mutex
	return m.each(ctx, "two concepts at once", len(m.Pictures), func(i int) error {
		p := m.Pictures[i]
		if len(p.Concepts) == 0 {
			return nil
		}
		names := []int{p.Concepts[0], mark.MaxConcepts - i}
		host, err := p.Host()
		if err != nil {
			return err
		}
		cell := mark.NewCell(m.Profile, m.books, mark.Names{Concepts: names, Work: p.Work})
		marked, _, err := embed.Mark(host, cell, embed.Options{PSNRDB: m.PresetDB, Resolution: m.Resolution})
		if err != nil {
			return err
		}
		got, err := m.reader.Read(marked)
		if err != nil {
			return err
		}
		right := 0
		mu.Lock()
		defer mu.Unlock()
		for _, c := range got.Concepts {
			if slices.Contains(names, c.Number) {
				right++
			} else {
				r.Two.Wrong++
			}
		}
		r.Two.N++
		switch right {
		case 2:
			r.Two.BothRight++
		case 1:
			r.Two.OneRight++
		}
		return nil
	})
}

func spread(v []float64) report.Spread {
	if len(v) == 0 {
		return report.Spread{}
	}
	s := slices.Sorted(slices.Values(v))
	return report.Spread{Min: s[0], Median: s[len(s)/2], Max: s[len(s)-1]}
}
