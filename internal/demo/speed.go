package demo

import (
	"context"
	"time"

	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/mark"
)

// timed is how many pictures are timed, one after another while nothing else runs.
const timed = 9

// speed takes the median time, on one core, of each step on a delivered picture.
func (m *measurement) speed(_ context.Context, r *report.Report) error {
	var decode, encode, embedding, reading []float64
	n := min(timed, len(m.Pictures))
	for i := range n {
		p := m.Pictures[i*len(m.Pictures)/n]
		host, marked, err := p.pair()
		if err != nil {
			return err
		}
		for _, step := range []struct {
			to *[]float64
			do func() error
		}{
			{&decode, func() error { _, err := p.Decode(p.File); return err }},
			{&encode, func() error { return p.Encode(marked) }},
			{&embedding, func() error {
				_, _, err := embed.Mark(host, mark.NewCell(m.Profile, m.books, mark.Names{Concepts: p.Concepts, Work: p.Work}), embed.Options{PSNRDB: m.PresetDB, Resolution: m.Resolution})
				return err
			}},
			{&reading, func() error { _, err := m.reader.Read(marked); return err }},
		} {
			start := time.Now()
			if err := step.do(); err != nil {
				return err
			}
			*step.to = append(*step.to, float64(time.Since(start).Microseconds())/1000)
		}
	}
	r.Speed = report.Speed{DecodeMS: spread(decode).Median, EncodeMS: spread(encode).Median, EmbedMS: spread(embedding).Median, DetectMS: spread(reading).Median}
	return nil
}
