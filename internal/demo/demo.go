// Package demo measures a delivery from the outside: every delivered file through the ladder of edits, the
// unmarked hosts, two concepts at once, nulls, speed; reads what trained models drew, and says what that would
// pay. It is a measurement with a report at its end, not a part of the product's path.
package demo

import (
	"context"
	"image"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/generated"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/mark"
)

// Picture is one delivered image with the host it was made from.
type Picture struct {
	Name         string // path in the collection
	Concepts     []int  // numbers
	ConceptIDs   []concepts.ConceptID
	Work         int
	RightsHolder string
	PSNRDB, SSIM float64
	// Host and Marked give the picture before and after, decoded anew at each call.
	Host, Marked func() (image.Image, error)
	// File holds the delivered file, Decode reads it, Encode writes a picture as the delivery did: for timing.
	File   []byte
	Encode func(image.Image) error
	Decode func([]byte) (image.Image, error)
}

// pair gives the picture before and after.
func (p Picture) pair() (host, marked image.Image, err error) {
	if host, err = p.Host(); err != nil {
		return nil, nil, err
	}
	marked, err = p.Marked()
	return host, marked, err
}

// Input is a delivery and what is needed to read it.
type Input struct {
	Pictures   []Picture
	Keys       mark.Keys
	Profile    *mark.Profile
	Resolution int
	PresetDB   float64
	// Names gives the name of a concept number, "" for one that the delivery does not have.
	Names func(number int) string
	// Generated are outputs of trained models, with keys of their own; none leaves out what needs them.
	Generated []generated.Set
	// NullTests is how many (unmarked picture, fresh key) tests are made. Seed draws them, the edits and the decoys.
	NullTests int
	Seed      uint64
	Workers   int
	// Progress is told of each step, one call at a time; nil tells nobody.
	Progress func(stage string, done, total int)
}

// FWER is the error rate of the demonstration, that of evidence.
const FWER = 1e-6

// Measure runs all of it and fills a report, whose title, settings and delivered files are left to the caller. The
// second result holds T of the concept of every untouched file.
func Measure(ctx context.Context, in Input) (*report.Report, []float64, error) {
	if in.Workers == 0 {
		in.Workers = runtime.GOMAXPROCS(0)
	}
	m := &measurement{Input: in, reader: detect.NewReader(in.Profile, in.Keys, detect.Options{Resolution: in.Resolution, FWER: FWER}), books: mark.NewBooks(in.Profile, in.Keys)}
	r := &report.Report{}
	t := m.reader.Thresholds()
	r.Settings.FWER, r.Settings.ThresholdDelivery, r.Settings.ThresholdConcept, r.Settings.ThresholdWork = FWER, t.Delivery, t.Concept, t.Work
	for _, step := range []func(context.Context, *report.Report) error{m.speed, m.ladder, m.twoConcepts, m.generated, m.null, m.payout, m.pictures} {
		if err := step(ctx, r); err != nil {
			return nil, nil, err
		}
	}
	return r, m.untouched, nil
}

// measurement is a run in progress.
type measurement struct {
	Input
	reader    *detect.Reader
	books     *mark.Books
	untouched []float64 // T of the concept in each untouched file
}

func (m *measurement) each(ctx context.Context, stage string, n int, do func(i int) error) error {
	return each(ctx, m.Workers, n, m.Progress, stage, do)
}

// each calls do for 0..n-1 on so many workers and tells of the progress, one call at a time.
func each(ctx context.Context, workers, n int, progress func(stage string, done, total int), stage string, do func(i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, workers))
	var mu sync.Mutex
	done := 0
	for i := range n {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := do(i); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done++
			if progress != nil {
				progress(stage, done, n)
			}
			return nil
		})
	}
	return g.Wait()
}
