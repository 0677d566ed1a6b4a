package calibration

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/disintegration/imaging"
	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/mark"
)

// powerSide is the side, in pixels, of the pictures of a power curve.
const powerSide = 512

// Power says what is measured: how often marks of which strength are found in how many pictures together.
type Power struct {
	Photos   []Loader
	PSNRDB   []float64 // strengths of the marks, in dB
	Images   []int     // numbers of pictures folded together
	Repeats  int       // of each, every one with a fresh key, other names and other pictures
	FWER     float64
	Seed     uint64
	Workers  int
	Progress func(stage string, done, total int)
}

// Point is one strength and one number of pictures.
type Point struct {
	PSNRDB float64 `json:"psnr_db"`
	// RMS is the strength in 8-bit levels, root mean square over all samples.
	RMS      float64 `json:"rms_levels"`
	Images   int     `json:"images"`
	Repeats  int     `json:"repeats"`
	Concept  Found   `json:"concept"`
	Delivery Found   `json:"delivery"`
	// Work is counted for single pictures only: pictures of one concept have works of their own.
	Work *Found `json:"work,omitempty"`
	// Wrong counts readings that named something else; it should be 0.
	Wrong int `json:"wrong"`
}

// Found is how often something was found, with the 95 % Wilson interval.
type Found struct {
	Hits int     `json:"hits"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

func (f *Found) count(yes bool) {
	if yes {
		f.Hits++
	}
}

// RMS returns the root mean square, in 8-bit levels, of a difference of the given PSNR.
func RMS(psnrDB float64) float64 { return 255 * math.Pow(10, -psnrDB/20) }

// Curve measures one point per strength and number of pictures, in that order. The pictures are squares of 512 x 512
// pixels cut from the photographs, with 16 bits a sample and the noise of 8: a mark weaker than half a level would be
// rounded away where the host has whole levels only, and a picture that a model draws has not. The pictures of one repeat all carry the same
// concept; the readings of 1, 4, 16 ... are of the first of the same series and depend on each other.
func Curve(ctx context.Context, c Power) ([]Point, error) {
	squares, err := cut(c.Photos, c.Seed)
	if err != nil {
		return nil, err
	}
	points := make([]Point, 0, len(c.PSNRDB)*len(c.Images))
	for _, db := range c.PSNRDB {
		for _, n := range c.Images {
			p := Point{PSNRDB: db, RMS: RMS(db), Images: n, Repeats: c.Repeats}
			if n == 1 {
				p.Work = &Found{}
			}
			points = append(points, p)
		}
	}
	var mu sync.Mutex
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.Workers))
	for i, db := range c.PSNRDB {
		for repeat := range c.Repeats {
			part := points[i*len(c.Images):][:len(c.Images)]
			g.Go(func() error {
				if err := c.repeat(ctx, squares, db, i*c.Repeats+repeat, part, &mu); err != nil {
					return err
				}
				if c.Progress != nil {
					c.Progress("marked pictures read together", int(done.Add(1)), len(c.PSNRDB)*c.Repeats)
				}
				return nil
			})
		}
	}
	err = g.Wait()
	for i := range points {
		p := &points[i]
		for _, f := range []*Found{&p.Concept, &p.Delivery, p.Work} {
			if f != nil {
				f.Low, f.High = Wilson(f.Hits, c.Repeats)
			}
		}
	}
	return points, err
}

// repeat marks as many squares as are needed, each with the same concept and its own work, and reads them.
func (c *Power) repeat(ctx context.Context, squares []*image.NRGBA64, db float64, number int, points []Point, mu *sync.Mutex) error {
	profile, ks := mark.Profile1(), key(c.Seed, "power", number, 0).Keys()
	books := mark.NewBooks(profile, ks)
	rng := rand.New(rand.NewPCG(c.Seed, uint64(number)))
	concept, firstWork := 1+rng.IntN(mark.MaxConcepts), 1+rng.IntN(mark.MaxWorks-len(squares))
	most := 0
	for _, n := range c.Images {
		most = max(most, n)
	}
	var marked []image.Image
	var works []int
	for _, k := range rng.Perm(len(squares)) {
		if len(marked) == most {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		work := firstWork + k
		out, _, err := embed.Mark(squares[k], mark.NewCell(profile, books, mark.Names{Concepts: []int{concept}, Work: work}), embed.Options{PSNRDB: db})
		if refused := new(embed.Error); errors.As(err, &refused) {
			continue // a flat piece of sky that is all white
		}
		if err != nil {
			return err
		}
		marked, works = append(marked, out), append(works, work)
	}
	if len(marked) < most {
		return fmt.Errorf("calibration: %d pieces that can be marked for %d pictures together; give more photographs", len(marked), most)
	}
	r := detect.NewReader(profile, ks, detect.Options{Resolution: powerSide, Level: detect.Fast, FWER: c.FWER})
	for i, n := range c.Images {
		got, err := r.Read(marked[:n]...)
		if err != nil {
			return err
		}
		mu.Lock()
		points[i].add(&got, concept, works[:n])
		mu.Unlock()
	}
	return nil
}

// add counts one reading.
func (p *Point) add(got *detect.Reading, concept int, works []int) {
	found, wrong := false, false
	for _, f := range got.Concepts {
		found = found || f.Number == concept
		wrong = wrong || f.Number != concept
	}
	p.Concept.count(found)
	p.Delivery.count(got.DeliveryFound())
	if got.WorkFound() {
		right := false
		for _, w := range works {
			right = right || w == got.Work.Number
		}
		wrong = wrong || !right
		if p.Work != nil {
			p.Work.count(right)
		}
	}
	if wrong {
		p.Wrong++
	}
}

// cut takes up to four squares out of every photograph and brings them to 16 bits.
func cut(photos []Loader, seed uint64) ([]*image.NRGBA64, error) {
	var squares []*image.NRGBA64
	rng := rand.New(rand.NewPCG(seed, 0x64656570))
	for _, load := range photos {
		img, err := load()
		if err != nil {
			return nil, err
		}
		p := imaging.Clone(img)
		for y := 0; y+powerSide <= p.Rect.Dy() && y < 2*powerSide; y += powerSide {
			for x := 0; x+powerSide <= p.Rect.Dx() && x < 2*powerSide; x += powerSide {
				squares = append(squares, deep(imaging.Crop(p, image.Rect(x, y, x+powerSide, y+powerSide)), rng))
			}
		}
	}
	return squares, nil
}

// deep brings an opaque copy of a picture to 16 bits a sample and adds what rounding to 8 bits had taken away: up to half a
// level either way, evenly spread. Without it flat parts would be free of any noise and show marks that no file of 8 bits
// could hold.
func deep(p *image.NRGBA, rng *rand.Rand) *image.NRGBA64 {
	const level = 257 // of 65535
	out := image.NewNRGBA64(p.Rect)
	for i, v := range p.Pix {
		s := 65535
		if i%4 != 3 {
			s = max(0, min(65535, int(v)*level+rng.IntN(level)-level/2))
		}
		out.Pix[2*i], out.Pix[2*i+1] = byte(s>>8), byte(s)
	}
	return out
}
