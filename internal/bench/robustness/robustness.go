// Package robustness measures which marks are still read after which edits: photographs are marked at one
// strength, edited, and read blind by a reader that knows the delivery's key and declared resolution and
// nothing about the picture. The unmarked photographs, and copies marked with another key, go through the
// same edits: whatever is named there is a false attribution.
package robustness

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// Photo is one photograph, loaded when its turn comes.
type Photo struct {
	Name string
	Load func() (image.Image, error)
}

// Config says what is measured.
type Config struct {
	Photos []Photo // at least two: some edits need another picture
	Cases  []Case
	// Level overrides the level of every case, where it is not empty.
	Level      detect.Level
	PSNRDB     float64 // strength of every mark
	Resolution int     // declared short side, of the embedder and of every reader
	FWER       float64
	Seed       uint64 // draws keys, names and edits
	// MarkedOnly leaves out the copies that must not be attributed.
	MarkedOnly bool
	Workers    int
	Progress   func(done, total int)
}

// Copy says what was edited and read.
type Copy string

// The copies of every photograph.
const (
	Marked   Copy = "marked"
	Unmarked Copy = "unmarked"
	OtherKey Copy = "other_key"
)

// Row is one reading.
type Row struct {
	Photo string       `json:"photo"`
	Edit  string       `json:"edit"`
	Level detect.Level `json:"level"`
	// PSNRDB is measured between photograph and copy, before the edit; 0 for an unmarked copy, which is the
	// photograph.
	PSNRDB       float64 `json:"psnr_db"`
	ConceptRight bool    `json:"concept_right"` // the concept was named directly
	ConceptWrong bool    `json:"concept_wrong"` // another one was
	WorkRight    bool    `json:"work_right"`
	WorkWrong    bool    `json:"work_wrong"`
	// TConcept is T of the true concept, named or not, and the best of any where none is true; TWork that of the best work.
	TConcept float64 `json:"t_concept"`
	TWork    float64 `json:"t_work"`
	MS       float64 `json:"ms"` // wall time of the reading, beside the other workers
	SSIM     float64 `json:"ssim"`
	// ConceptViaWork says that the concept is known because the work is: the manifest says what it shows.
	ConceptViaWork bool           `json:"concept_via_work"`
	DeliveryRight  bool           `json:"delivery_right"`
	DeliveryWrong  bool           `json:"delivery_wrong"`
	Verdict        detect.Verdict `json:"verdict"` // or too_small
	Copy           Copy           `json:"copy"`
}

// tooSmall is the verdict on a picture that is refused.
const tooSmall detect.Verdict = "too_small"

// False says whether a reading named something that is not there.
func (r *Row) False() bool { return r.ConceptWrong || r.WorkWrong || r.DeliveryWrong }

// Measure returns one row per photograph, copy and case, in that order. The rows, times aside, depend on the
// configuration alone. Errors are those of loading, of marking and of ctx.
func Measure(ctx context.Context, c Config) ([]Row, error) {
	if len(c.Photos) < 2 {
		return nil, errors.New("robustness: at least two photographs are needed: blends and collages are made of two")
	}
	copies := []Copy{Marked, Unmarked, OtherKey}
	if c.MarkedOnly {
		copies = copies[:1]
	}
	b := newBench(c)
	rows := make([]Row, len(c.Photos)*len(copies)*len(c.Cases))
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.Workers))
	for i := range c.Photos {
		for k, copied := range copies {
			part := rows[(i*len(copies)+k)*len(c.Cases):][:len(c.Cases)]
			g.Go(func() error {
				return b.readAll(ctx, i, copied, part, func() {
					if c.Progress != nil {
						c.Progress(int(done.Add(1)), len(rows))
					}
				})
			})
		}
	}
	return rows, g.Wait()
}

// bench holds what all photographs share.
type bench struct {
	Config
	profile           *mark.Profile
	keys              mark.Keys // of the delivery that is read
	own, other, third *mark.Books
	names             []mark.Names
}

func newBench(c Config) *bench {
	p := mark.Profile1()
	b := &bench{Config: c, profile: p, keys: keys(c.Seed, "delivery")}
	b.own = mark.NewBooks(p, b.keys)
	b.other = mark.NewBooks(p, keys(c.Seed, "another key"))
	b.third = mark.NewBooks(p, keys(c.Seed, "marked again"))
	rng := rand.New(rand.NewPCG(c.Seed, 0x726f6275))
	for range c.Photos {
		b.names = append(b.names, mark.Names{Concepts: []int{1 + rng.IntN(mark.MaxConcepts)}, Work: 1 + rng.IntN(mark.MaxWorks)})
	}
	return b
}

// keys derives a delivery's keys from a master key that is public: SHA-256 of the seed.
func keys(seed uint64, licence string) mark.Keys {
	secret := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("filigrane bench robustness "), seed))
	master, err := mark.NewKey(secret[:])
	if err != nil {
		panic("robustness: " + err.Error())
	}
	return master.Delivery(mark.Path{Bank: "bench", Catalogue: "ladder@1", Licence: licence, Purpose: "training", Epoch: 1}).Keys()
}

// mark marks a picture with what photograph i carries.
func (b *bench) mark(img image.Image, books *mark.Books, i int) (image.Image, error) {
	out, _, err := embed.Mark(img, mark.NewCell(b.profile, books, b.names[i]), embed.Options{PSNRDB: b.PSNRDB, Resolution: b.Resolution})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Photos[i].Name, err)
	}
	return out, nil
}

// readAll edits and reads one copy of photograph i in every case.
func (b *bench) readAll(ctx context.Context, i int, copied Copy, rows []Row, told func()) error {
	host, err := b.Photos[i].Load()
	if err != nil {
		return err
	}
	next := (i + 1) % len(b.Photos)
	other, err := b.Photos[next].Load()
	if err != nil {
		return err
	}
	s := &subject{img: host, other: other, remark: func(img image.Image) (image.Image, error) { return b.mark(img, b.third, next) }}
	base := Row{Photo: b.Photos[i].Name, Copy: copied, SSIM: 1}
	if copied != Unmarked {
		books := b.own
		if copied == OtherKey {
			books = b.other
		}
		if s.img, err = b.mark(host, books, i); err != nil {
			return err
		}
		base.PSNRDB, base.SSIM = signal.PSNR(host, s.img), signal.SSIM(host, s.img)
	}
	readers := map[detect.Level]*detect.Reader{}
	for k, c := range b.Cases {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		level := c.Level
		if b.Level != "" {
			level = b.Level
		}
		if readers[level] == nil {
			readers[level] = detect.NewReader(b.profile, b.keys, detect.Options{Resolution: b.Resolution, FWER: b.FWER, Level: level, Watch: b.names[i].Concepts})
		}
		edited, err := c.apply(s, b.Seed+uint64(i))
		if err != nil {
			return err
		}
		rows[k] = base
		rows[k].Edit, rows[k].Level = c.Name, level
		if err := rows[k].read(readers[level], edited, b.names[i]); err != nil {
			return fmt.Errorf("%s, %s: %w", base.Photo, c.Name, err)
		}
		told()
	}
	return nil
}

// read reads the edited picture and holds the answer against what the picture carries.
func (r *Row) read(reader *detect.Reader, img image.Image, truth mark.Names) error {
	start := time.Now()
	got, err := reader.Read(img)
	r.MS = float64(time.Since(start).Microseconds()) / 1000
	if errors.Is(err, detect.ErrTooSmall) {
		r.Verdict = tooSmall
		return nil
	}
	if err != nil {
		return err
	}
	r.judge(&got, truth)
	return nil
}

// judge fills in what a reading named. On a copy that does not carry the delivery's mark every name is wrong.
func (r *Row) judge(got *detect.Reading, truth mark.Names) {
	carries := r.Copy == Marked
	concept := truth.Concepts[0]
	r.Verdict, r.TWork, r.TConcept = got.Verdict, got.Work.T, got.Best.T
	if carries {
		for _, w := range got.Watched {
			r.TConcept = w.T
		}
	}
	for _, c := range got.Concepts {
		right := carries && c.Number == concept
		r.ConceptRight = r.ConceptRight || right
		r.ConceptWrong = r.ConceptWrong || !right
		if right || !carries {
			r.TConcept = max(r.TConcept, c.T)
		}
	}
	if got.WorkFound() {
		r.WorkRight = carries && got.Work.Number == truth.Work
		r.WorkWrong = !r.WorkRight
	}
	r.ConceptViaWork = r.WorkRight
	if got.DeliveryFound() {
		r.DeliveryRight, r.DeliveryWrong = carries, !carries
	}
}
