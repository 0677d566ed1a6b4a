package calibration

import (
	"context"
	"errors"
	"image"
	"math"
	"sync"
	"sync/atomic"

	"github.com/disintegration/imaging"
	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// Decades are the claimed error rates of the tables: 1e-1 to 1e-6.
const Decades = 6

// perDecade is how finely claimed rates are counted for the plot.
const perDecade = 4

// Count is one kind of test on one material: at each claimed rate, in how many tests something would have been
// named.
type Count struct {
	Material string `json:"material"`
	Tests    int    `json:"tests"`
	// Over[k] counts tests at the claimed rate 10^-(k/4), k = 0 to 24.
	Over []int `json:"over"`
}

// claimed returns the rate of entry k of Over.
func claimed(k int) float64 { return math.Pow(10, -float64(k)/perDecade) }

func newCount(material string) Count {
	return Count{Material: material, Over: make([]int, Decades*perDecade+1)}
}

// add counts one test whose statistic, among m codewords, was t, by thresholds made with [thresholds] for m.
func (c *Count) add(t float64, thresholds []float64) {
	c.Tests++
	for k, at := range thresholds {
		if t < at {
			break
		}
		c.Over[k]++
	}
}

// merge adds up two counts.
func (c *Count) merge(o Count) {
	c.Tests += o.Tests
	for k := range c.Over {
		c.Over[k] += o.Over[k]
	}
}

// thresholds returns the t at which m exp(-t^2/2) falls to each claimed rate.
func thresholds(m float64) []float64 {
	ts := make([]float64, Decades*perDecade+1)
	for k := range ts {
		ts[k] = math.Sqrt(2 * math.Log(m/claimed(k)))
	}
	return ts
}

// Line is one entry of a table: observed against claimed.
type Line struct {
	Claimed  float64 `json:"claimed"`
	Hits     int     `json:"hits"`
	Observed float64 `json:"observed"`
	Low      float64 `json:"low"` // Clopper-Pearson, 95 %
	High     float64 `json:"high"`
}

// Lines returns the table of a count at whole decades, or at every claimed rate counted.
func (c *Count) Lines(everyRate bool) []Line {
	step := perDecade
	if everyRate {
		step = 1
	}
	var lines []Line
	for k := step; k < len(c.Over); k += step {
		l := Line{Claimed: claimed(k), Hits: c.Over[k], Observed: float64(c.Over[k]) / float64(c.Tests)}
		l.Low, l.High = ClopperPearson(l.Hits, c.Tests, 0.95)
		lines = append(lines, l)
	}
	return lines
}

// Refuted says whether a claim is refuted at some decade: even the lower limit lies above it. The limits are
// at 0.9999, since there are many decades and materials and one of them would pass 95 % by chance.
func (c *Count) Refuted() bool {
	for k := perDecade; k < len(c.Over); k += perDecade {
		if low, _ := ClopperPearson(c.Over[k], c.Tests, 0.9999); low > claimed(k) {
			return true
		}
	}
	return false
}

// Pooled adds up counts under one name.
func Pooled(name string, counts []Count) Count {
	all := newCount(name)
	for _, c := range counts {
		all.merge(c)
	}
	return all
}

// Nulls says how much is tested.
type Nulls struct {
	Materials []Material
	// Tests are (picture, fresh key) tests of one concept codeword; Families are fresh keys whose best of all
	// concepts is tested; Readings are whole blind readings with a fresh key. All materials share them evenly.
	Tests, Families, Readings int
	Seed                      uint64
	Workers                   int
	Progress                  func(stage string, done, total int)
}

// Result is what chance did, per material.
type Result struct {
	Single   []Count `json:"single_codeword"`
	Family   []Count `json:"all_concepts_of_a_key"`
	Readings []Count `json:"whole_readings"`
}

// Measure tests. Every test has a key of its own, so the tests on one picture are independent given that picture, and the
// bound holds for each. Errors are those of loading pictures and of ctx.
func Measure(ctx context.Context, n Nulls) (Result, error) {
	profile := mark.Profile1()
	single := func(h *host, c *Count, count int) error {
		ts, concept := thresholds(1), profile.ConceptCodeword(1)
		for k := range count {
			word := mark.OneCodeword(profile, mark.Concept, key(n.Seed, "single", h.number, k), concept)
			c.add(h.null.Of(word), ts)
			if k%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	}
	family := func(h *host, c *Count, count int) error {
		ts := thresholds(mark.MaxConcepts)
		f := newFamily(profile, h.null)
		for k := range count {
			book := mark.NewBook(profile, mark.Concept, key(n.Seed, "family", h.number, k))
			c.add(f.best(book), ts)
			if k%64 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	}
	reading := func(h *host, c *Count, count int) error {
		for k := range count {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r := detect.NewReader(profile, key(n.Seed, "reading", h.number, k).Keys(),
				detect.Options{Resolution: h.Resolution, Level: detect.Fast, FWER: 0.1})
			got, err := r.Read(h.small)
			if err != nil {
				return err
			}
			c.addP(got.LeastP())
		}
		return nil
	}
	var out Result
	var err error
	if out.Single, err = n.over(ctx, "unmarked pictures, one codeword of a fresh key", n.Tests, single); err != nil {
		return out, err
	}
	if out.Family, err = n.over(ctx, "unmarked pictures, all concepts of a fresh key", n.Families, family); err != nil {
		return out, err
	}
	out.Readings, err = n.over(ctx, "unmarked pictures, whole readings with a fresh key", n.Readings, reading)
	return out, err
}

// addP counts one reading by its least p.
func (c *Count) addP(p float64) {
	c.Tests++
	for k := range c.Over {
		if p <= claimed(k) {
			c.Over[k]++
		}
	}
}

// host is a picture ready for tests.
type host struct {
	Host
	number int // counts the pictures of all materials, so that none shares its keys with another
	null   *detect.Null
	small  image.Image // for whole readings: at most 512 px, with Resolution to match
}

// over spreads tests evenly over the materials and their pictures.
func (n *Nulls) over(ctx context.Context, stage string, tests int, do func(*host, *Count, int) error) ([]Count, error) {
	if tests == 0 {
		return nil, nil
	}
	counts := make([]Count, len(n.Materials))
	var mu sync.Mutex
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, n.Workers))
	number := 0
	for m, material := range n.Materials {
		if len(material.Hosts) == 0 {
			return nil, errors.New("calibration: no picture of the kind " + material.Name)
		}
		counts[m] = newCount(material.Name)
		mine := share(tests, len(n.Materials), m)
		for i := range material.Hosts {
			h, count := &host{Host: material.Hosts[i], number: number}, share(mine, len(material.Hosts), i)
			number++
			g.Go(func() error {
				if ctx.Err() != nil || count == 0 {
					return ctx.Err()
				}
				if err := h.load(); err != nil {
					return err
				}
				part := newCount("")
				err := do(h, &part, count)
				mu.Lock()
				counts[m].merge(part)
				mu.Unlock()
				if n.Progress != nil {
					n.Progress(stage, int(done.Add(int64(count))), tests)
				}
				return err
			})
		}
	}
	return counts, g.Wait()
}

// share is part i of n of a whole, the parts as equal as can be.
func share(whole, n, i int) int { return (whole + n - 1 - i) / n }

func (h *host) load() error {
	img, err := h.Load()
	if err != nil {
		return err
	}
	if h.null, err = detect.NewNull(mark.Profile1(), h.Resolution, img); err != nil {
		return err
	}
	h.small = img
	if b := img.Bounds(); min(b.Dx(), b.Dy()) > 512 { // the middle, at its own scale: the cell stays as long
		cut := min(b.Dx(), b.Dy()) / 2
		h.small = imaging.CropCenter(img, cut, cut)
		h.Resolution = h.Resolution * cut / min(b.Dx(), b.Dy())
	}
	return nil
}

// family finds the best of all concepts of a key by one Walsh-Hadamard transform per book.
type family struct {
	unit         []float64 // the material seen through the lattice, of norm 1
	spread, line []float32
}

func newFamily(p *mark.Profile, null *detect.Null) *family {
	f := &family{unit: make([]float64, p.Coefficients(mark.Concept))}
	for i := range f.unit { // T is linear: a word with one 1 gives that coefficient
		word := make(mark.Codeword, len(f.unit))
		word[i] = 1
		f.unit[i] = null.Of(word)
	}
	return f
}

// best returns the largest T of all concepts of a book, in single precision (about 1e-6 of itself).
func (f *family) best(b *mark.Book) float64 {
	slots := b.Slots()
	if len(f.spread) != slots {
		f.spread, f.line = make([]float32, slots), make([]float32, slots)
	}
	clear(f.spread)
	for i, u := range f.unit {
		f.spread[b.SlotOf(i)] = float32(u)
	}
	best := math.Inf(-1)
	for book := 1; book < b.Books(); book++ { // book 0 is the delivery's own
		for w, bits := range b.Mask(book) {
			for i := range 64 {
				f.line[64*w+i] = math.Float32frombits(math.Float32bits(f.spread[64*w+i]) ^ uint32(bits>>i)<<31)
			}
		}
		signal.FWHT(f.line)
		for _, t := range f.line {
			best = max(best, float64(t))
		}
	}
	return best
}
