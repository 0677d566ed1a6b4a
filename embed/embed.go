// Package embed writes marks: host image + cell -> marked image + report.
//
// It is pure and deterministic: the same host, cell and options give the same pixels on every platform.
package embed

import (
	"fmt"
	"image"
	"math"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// MinSide is the smallest side, in pixels, that can carry a mark: fewer than four cells of the concept
// lattice tell nothing.
const MinSide = 64

// Refusal is the reason why a host cannot carry a mark, in a stable machine-readable word.
type Refusal string

const (
	TooSmall    Refusal = "too_small"   // a side below MinSide
	Clips       Refusal = "clips"       // flat and at the end of the scale, as white pages are
	Unreachable Refusal = "unreachable" // the strength asked for cannot be reached
)

// Error refuses a host.
type Error struct {
	Refusal Refusal
	Detail  string
}

// Error says what is wrong and what to do.
func (e *Error) Error() string { return "embed: " + e.Detail }

func refuse(r Refusal, format string, args ...any) error {
	return &Error{r, fmt.Sprintf(format, args...)}
}

// maxClipped is the share of samples that may meet 0 or full scale: beyond it a page of one flat colour
// would show the mark and read it badly.
const maxClipped = 0.25

// maxOffDB is how far, in dB, a mark may be from the strength asked for.
const maxOffDB = 0.5

// How often the gain is corrected. Four times is enough for the marks in use; above 54 dB, where most samples round
// to no change at all, the correction is slow, and more are made before the host is refused.
const (
	usualPasses = 4
	mostPasses  = 12
)

// Options say how strong a mark is and how large its cell.
type Options struct {
	// PSNRDB is the quality aimed at, in dB over the colour samples, host against marked.
	PSNRDB float64
	// Resolution R is the short side, in pixels, at which the trainer will see the image: the cell is
	// mark.CellSize * short side / R pixels long. 0 means the image is already at that size.
	Resolution int
}

// Report says what embedding did.
type Report struct {
	PSNRDB  float64 `json:"psnr_db"` // measured on the rounded, clipped samples
	Gain    float64 `json:"gain"`    // factor on the profile's reference strength
	Clipped float64 `json:"clipped"` // share of samples that met 0 or full scale
	CellPx  float64 `json:"cell_px"` // length of the cell in pixels
}

// Mark adds a cell to a host and returns the marked image, of the host's type and size, and a report.
// The host is not changed. Alpha is kept; fully transparent pixels are left alone. Types are those of
// signal.LumaChroma, others panic. Errors are *Error.
func Mark(host image.Image, cell *mark.Cell, opt Options) (image.Image, Report, error) {
	b := host.Bounds()
	w, h := b.Dx(), b.Dy()
	if min(w, h) < MinSide {
		return nil, Report{}, refuse(TooSmall, "%d x %d pixels is too small for a mark; the short side must be at least %d", w, h, MinSide)
	}
	length := float64(mark.CellSize)
	if opt.Resolution > 0 {
		length = mark.CellSize * float64(min(w, h)) / float64(opt.Resolution)
	}
	luma, _, _ := signal.LumaChroma(host)
	pic := newCanvas(host)
	j := &job{mask: newMask(luma), tile: newTile(cell, length, w, h, pic.channels), canvas: pic, w: w, h: h}
	rep := Report{CellPx: length}
	gain := float32(math.Pow(10, (mark.Reference-opt.PSNRDB)/20))
	gain, stats := j.settle(gain, opt.PSNRDB)
	rep.Gain, rep.PSNRDB, rep.Clipped = float64(gain), stats.psnr(), stats.clippedShare()
	if rep.Clipped > maxClipped {
		return nil, rep, refuse(Clips, "%.0f %% of the samples meet the end of the scale: a flat page, black or white, cannot carry a mark; leave it out of the delivery", 100*rep.Clipped)
	}
	if math.Abs(rep.PSNRDB-opt.PSNRDB) > maxOffDB {
		return nil, rep, refuse(Unreachable, "%.1f dB cannot be reached: the image stays at %.1f dB because its samples clip or round away", opt.PSNRDB, rep.PSNRDB)
	}
	return pic.out, rep, nil
}

// job is one host being marked.
type job struct {
	mask   *mask
	tile   *tile
	canvas *canvas
	w, h   int
}

// settle finds the gain that gives the wanted PSNR after rounding and clipping, first on every eighth
// row, then on all, and leaves the marked image in the canvas.
func (j *job) settle(gain float32, psnrDB float64) (float32, stats) {
	gain = correct(gain, j.pass(gain, 8), psnrDB)
	var s stats
	for pass := 1; ; pass++ {
		s = j.pass(gain, 1)
		next, off := correct(gain, s, psnrDB), math.Abs(s.psnr()-psnrDB)
		if off < 0.01 || next == gain || pass >= usualPasses && off <= maxOffDB || pass >= mostPasses {
			break
		}
		gain = next
	}
	return gain, s
}

// correct returns the gain that would have met the target had the error been proportional to it. The
// rounding of samples to whole levels adds 1/12 level^2 whatever the gain.
func correct(gain float32, s stats, psnrDB float64) float32 {
	const rounding = 1.0 / 12
	want := float64(255 * 255 * math.Pow(10, -psnrDB/10))
	have := s.meanSquare()
	if s.deep {
		return quantise(float64(gain) * math.Sqrt(want/math.Max(have, 1e-9)))
	}
	return quantise(float64(gain) * math.Sqrt(math.Max(want-rounding, 1e-9)/math.Max(have-rounding, 1e-9)))
}

// quantise rounds a gain to 2^-16, coarser than what platforms disagree on in math.Pow, and keeps it
// below 64 so that an image which cannot take a mark ends in an error, not in noise.
func quantise(g float64) float32 {
	return float32(math.Round(math.Min(g, 64)*(1<<16)) / (1 << 16))
}

// stats sums the change made to samples, in 8-bit units.
type stats struct {
	squares float64
	samples int
	clipped int
	deep    bool // 16-bit samples
}

func (s stats) meanSquare() float64 { return s.squares / float64(max(1, s.samples)) }

func (s stats) psnr() float64 { return 10 * math.Log10(255*255/math.Max(s.meanSquare(), 1e-12)) }

func (s stats) clippedShare() float64 { return float64(s.clipped) / float64(max(1, s.samples)) }

// pass marks every step-th row with the given gain.
func (j *job) pass(gain float32, step int) stats {
	s := stats{deep: j.canvas.deep}
	amp := make([]float32, j.w)
	for y := 0; y < j.h; y += step {
		j.mask.row(y, amp)
		for x := range amp {
			amp[x] *= gain
		}
		j.canvas.mark(y, amp, j.tile, &s)
	}
	return s
}
