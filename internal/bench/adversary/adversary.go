// Package adversary measures attacks on delivered files: what somebody can do who would rather not be
// found, or who would like somebody else to be. The figures of docs/threats.md are made with it.
//
// Every attacker knows the program, the profile, the strength and where the cell lies, and no key; what
// files he holds is said at each attack. Half of the photographs are his, the other half are the victims',
// so that nothing he learned from one picture is tried on the same one, unless a variant says so.
package adversary

import (
	"context"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/signal"
)

// Row is one line of the table: one attack on one set of pictures, read afterwards.
type Row struct {
	Attack  string `json:"attack"`
	Variant string `json:"variant"`
	N       int    `json:"n"`      // files, keys or deliveries the attacker used
	Images  int    `json:"images"` // pictures attacked
	// ToOriginalDB and ToMarkedDB are mean PSNRs, in dB, of the attacked picture; 0 where it cannot be
	// compared: its size changed, or there is no such picture.
	ToOriginalDB float64 `json:"psnr_original_db,omitempty"`
	ToMarkedDB   float64 `json:"psnr_marked_db,omitempty"`
	Delivery     Count   `json:"delivery"`
	Concept      Count   `json:"concept"` // read directly
	Work         Count   `json:"work"`
	// Traced counts pictures whose concept is known, directly or because their work is.
	Traced int `json:"traced"`
	// LooksLearned counts pictures with a concept and no work: what an output of a model that learned from
	// the delivery looks like.
	LooksLearned int `json:"looks_learned"`
	// Distance is, where it was measured, how many of the 64 bits of the ISCC Image-Code differ between the
	// attacked picture and the work that is named: near-duplicates differ in few.
	Distance *Range `json:"iscc_distance,omitempty"`
	// DeliveredDistance is that of the delivered file of the work, for comparison.
	DeliveredDistance *Range `json:"iscc_distance_delivered,omitempty"`
}

// Range is the least, the median and the most of some counts.
type Range struct {
	Least  int `json:"least"`
	Median int `json:"median"`
	Most   int `json:"most"`
}

// Count says how often a name was given at the reader's error rate.
type Count struct {
	Right int `json:"right"`
	Wrong int `json:"wrong"`
	// T is the median statistic: of the delivery and of the true concept, whether they were named or not;
	// of the strongest of all works.
	T float64 `json:"t_median"`
}

// Photo is an unmarked photograph. Image decodes it anew each time.
type Photo struct {
	Name  string
	Image func() (image.Image, error)
}

// Setup says what is measured.
type Setup struct {
	Photos  []Photo // in a fixed order: every second one is the attacker's
	Seed    uint64  // draws all keys and all chance
	Workers int     // pictures worked on at once
	// Side of the square pictures, in pixels, cut from the centre. Photographs with a shorter side are left out.
	Side int
	// FileSide is that of the attacker's and the victims' files of the averaging attack, which needs many.
	FileSide int
	// Files are the numbers of files averaged, ascending.
	Files []int
	// Removed is the folder, written by WritePairs, in which lab/remover.py has left cleaned pictures; "" for none.
	Removed string
	// Progress, if not nil, is told how far a stage is, from one goroutine at a time.
	Progress func(stage string, done, total int)
}

// Defaults of the published figures.
const (
	DefaultSide     = 1024
	DefaultFileSide = 512
)

// DefaultFiles returns the numbers of files averaged in the published figures.
func DefaultFiles() []int { return []int{1, 16, 256, 1024} }

// StrengthDB is what every file is marked at: the preset "standard".
const StrengthDB = 42.0

// attacks are the groups of rows, in the order of the table.
var attacks = []struct {
	name string
	run  func(*lab) ([]Row, error)
}{
	{"averaging", (*lab).averaging},
	{"overmark", (*lab).overmarking},
	{"collusion", (*lab).collusion},
	{"processing", (*lab).processing},
	{"copy", (*lab).copying},
	{"network", (*lab).network},
}

// Names lists the groups of attacks.
func Names() []string {
	var names []string
	for _, a := range attacks {
		names = append(names, a.name)
	}
	return names
}

// Check reports names of attacks that there are not, and numbers of files that cannot be.
func Check(only []string, files []int) error {
	for _, name := range only {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("adversary: no attack is called %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	for i, n := range files {
		if n < 1 || i > 0 && n <= files[i-1] {
			return fmt.Errorf("adversary: %v files: give numbers from 1 on, each larger than the one before", files)
		}
	}
	return nil
}

// Run measures the groups named, or all, in the order of Names. "network" gives no rows without
// Setup.Removed.
func Run(ctx context.Context, s Setup, only ...string) ([]Row, error) {
	if err := Check(only, s.Files); err != nil {
		return nil, err
	}
	l, err := newLab(ctx, s)
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, a := range attacks {
		if len(only) > 0 && !slices.Contains(only, a.name) {
			continue
		}
		l.stage = a.name
		more, err := a.run(l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// lab is one run: photographs dealt out, deliveries drawn.
type lab struct {
	Setup
	ctx     context.Context
	mine    []Photo // the attacker's
	victims []Photo
	ours    *delivery
	stage   string
}

func newLab(ctx context.Context, s Setup) (*lab, error) {
	l := &lab{Setup: s, ctx: ctx, ours: newDelivery(s.Seed, "ours")}
	if s.Side < 256 || s.FileSide < 256 || s.FileSide > s.Side || s.Side%2 != 0 || s.FileSide%2 != 0 {
		panic(fmt.Sprintf("adversary: squares of %d and %d pixels", s.Side, s.FileSide))
	}
	var large []Photo
	for _, p := range s.Photos {
		img, err := p.Image()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		if min(img.Bounds().Dx(), img.Bounds().Dy()) >= s.Side {
			large = append(large, p)
		}
	}
	for i, p := range large {
		if i%2 == 0 {
			l.mine = append(l.mine, p)
		} else {
			l.victims = append(l.victims, p)
		}
	}
	if len(l.victims) == 0 {
		return nil, fmt.Errorf("adversary: %d photographs of at least %d pixels; two are needed, one for the attacker and one for the victim", len(large), s.Side)
	}
	return l, nil
}

// square decodes a photograph and cuts the centre square.
func square(p Photo, side int) (*image.NRGBA, error) {
	img, err := p.Image()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return imaging.CropCenter(img, side, side), nil
}

// each calls f for 0..n-1, several at once, and returns the first error in that order.
func (l *lab) each(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wait sync.WaitGroup
	var mu sync.Mutex
	done, next := 0, make(chan int)
	for range max(1, l.Workers) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range next {
				if errs[i] = l.ctx.Err(); errs[i] == nil {
					errs[i] = f(i)
				}
				mu.Lock()
				done++
				if l.Progress != nil {
					l.Progress(l.stage, done, n)
				}
				mu.Unlock()
			}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// exhibit is one attacked picture. original and marked may be nil.
type exhibit struct {
	attacked, original, marked *image.NRGBA
	works                      []int // any of which is the right name
}

// outcome is one exhibit read.
type outcome struct {
	reading              detect.Reading
	toOriginal, toMarked float64
	works                []int
}

// read reads an exhibit with the keys of d.
func (d *delivery) read(side int, e exhibit) (outcome, error) {
	r, err := d.reader(side).Read(e.attacked)
	return outcome{r, psnr(e.attacked, e.original), psnr(e.attacked, e.marked), e.works}, err
}

// psnr is 0 where there is nothing to compare, and where nothing differs.
func psnr(a, b *image.NRGBA) float64 {
	if b == nil || a.Rect != b.Rect {
		return 0
	}
	if db := signal.PSNR(a, b); !math.IsInf(db, 1) {
		return db
	}
	return 0
}

// row sums up outcomes. An outcome without works was not made, and is left out.
func row(attack, variant string, n int, all []outcome) Row {
	r := Row{Attack: attack, Variant: variant, N: n}
	var deliveryT, conceptT, workT, original, marked []float64
	for _, o := range all {
		if o.works == nil {
			continue
		}
		r.Images++
		original, marked = append(original, o.toOriginal), append(marked, o.toMarked)
		deliveryT = append(deliveryT, o.reading.Delivery.T)
		conceptT = append(conceptT, o.reading.Watched[0].T)
		workT = append(workT, o.reading.Work.T)
		r.count(o)
	}
	r.Delivery.T, r.Concept.T, r.Work.T = median(deliveryT), median(conceptT), median(workT)
	r.ToOriginalDB, r.ToMarkedDB = mean(original), mean(marked)
	return r
}

func (r *Row) count(o outcome) {
	if o.reading.DeliveryFound() {
		r.Delivery.Right++
	}
	direct := false
	for _, c := range o.reading.Concepts {
		if c.Number == conceptNumber {
			direct = true
		} else {
			r.Concept.Wrong++
		}
	}
	if direct {
		r.Concept.Right++
	}
	work := o.reading.WorkFound()
	right := work && slices.Contains(o.works, o.reading.Work.Number)
	switch {
	case right:
		r.Work.Right++
	case work:
		r.Work.Wrong++
	case len(o.reading.Concepts) > 0:
		r.LooksLearned++
	}
	if direct || right {
		r.Traced++
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return round(0.5 * (s[(len(s)-1)/2] + s[len(s)/2]))
}

// mean is that of figures all of which could be taken, else 0.
func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		if x == 0 {
			return 0
		}
		sum += x
	}
	return round(sum / float64(max(1, len(v))))
}

// rangeOf returns nil where there is nothing.
func rangeOf(v []int) *Range {
	if len(v) == 0 {
		return nil
	}
	s := slices.Sorted(slices.Values(v))
	return &Range{s[0], s[len(s)/2], s[len(s)-1]}
}

// round keeps two decimals: more would pretend.
func round(x float64) float64 { return math.Round(x*100) / 100 }
