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

// How the gain is settled: first on some rows, then on all, once or twice. Above 54 dB, where most samples round to
// no change at all, the correction is slow, and more are made before the host is refused.
const (
	closeDB     = 0.05 // so near to the strength asked for no gain is corrected
	nearDB      = 0.15 // so near to it one correction suffices
	usualPasses = 4
	mostPasses  = 12
	sampleRows  = 96 // so many rows are measured first, or one in sampleStep where that is more
	sampleStep  = 16
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
	h, err := NewHost(host, opt.Resolution)
	if err != nil {
		return nil, Report{}, err
	}
	return h.Mark(cell, opt.PSNRDB)
}

// Host is a picture that has been measured, to be marked any number of times, at several strengths or with
// several cells. Each mark is that of [Mark]. One goroutine may use it at a time; the picture must not change.
type Host struct {
	img    image.Image
	w, h   int
	length float64 // of the cell, pixels
	mask   *mask
	cell   *mark.Cell // the last one, and its tile
	tile   *tile
}

// NewHost measures where a picture can hide a mark. The resolution is that of Options. Types are those of
// signal.LumaChroma, others panic. The error is an *Error: the picture is too small.
func NewHost(img image.Image, resolution int) (*Host, error) {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if min(w, h) < MinSide {
		return nil, refuse(TooSmall, "%d x %d pixels is too small for a mark; the short side must be at least %d", w, h, MinSide)
	}
	length := float64(mark.CellSize)
	if resolution > 0 {
		length = mark.CellSize * float64(min(w, h)) / float64(resolution)
	}
	return &Host{img: img, w: w, h: h, length: length, mask: measure(img, w, h, length)}, nil
}

// GentlerDB says by how much more than the PSNR asked for, in dB, the mark must have to be seen no more easily than in a
// rough picture: 0 or more, from what the picture holds. Mark does not add it; its callers decide.
func (h *Host) GentlerDB() float64 { return h.mask.gentlerDB }

// FlatShare says how much of the picture has no texture at all, not even a camera's grain, 0 to 1: little of a photograph, most
// of a drawing, where any mark is seen sooner.
func (h *Host) FlatShare() float64 { return h.mask.flat }

// measure makes the mask of a picture row by row: no plane of luma is kept.
func measure(img image.Image, w, h int, length float64) *mask {
	b := newMaskBuilder(w, h, max(maskBlock, int(math.Round(maskBlock*length/mark.CellSize))))
	row := make([]float32, w)
	for y := range h {
		signal.LumaRow(row, img, y)
		b.add(row)
	}
	return b.mask()
}

// Mark returns the picture with a cell added at the PSNR given, in dB. See the function of that name.
func (h *Host) Mark(cell *mark.Cell, psnrDB float64) (image.Image, Report, error) {
	pic := newCanvas(h.img)
	if h.cell != cell {
		h.cell, h.tile = cell, newTile(cell, h.length, h.w, h.h, pic.channels)
	}
	j := &job{h, pic}
	gain, stats := j.settle(quantise(math.Pow(10, (mark.Reference-psnrDB)/20)), psnrDB)
	rep := Report{CellPx: h.length, Gain: float64(gain), PSNRDB: stats.psnr(), Clipped: stats.clippedShare()}
	if rep.Clipped > maxClipped {
		return nil, rep, refuse(Clips, "%.0f %% of the samples meet the end of the scale: a flat page, black or white, cannot carry a mark; leave it out of the delivery", 100*rep.Clipped)
	}
	if math.Abs(rep.PSNRDB-psnrDB) > maxOffDB {
		return nil, rep, refuse(Unreachable, "%.1f dB cannot be reached: the image stays at %.1f dB because its samples clip or round away", psnrDB, rep.PSNRDB)
	}
	return pic.out, rep, nil
}

// job is one host being marked once.
type job struct {
	*Host
	canvas *canvas
}

// settle finds the gain that gives the wanted PSNR after rounding and clipping, first on a sample of the rows, then
// on all, and leaves the marked image in the canvas. The figures it returns are those of all rows.
func (j *job) settle(gain float32, psnrDB float64) (float32, stats) {
	gain = j.estimate(gain, psnrDB)
	amp := make([]float32, j.w)
	for pass := 1; ; pass++ {
		s := stats{deep: j.canvas.deep}
		for y := range j.h {
			j.mask.row(y, amp)
			j.canvas.mark(y, gain, amp, j.tile, &s)
		}
		next, off := correct(gain, s, psnrDB), math.Abs(s.psnr()-psnrDB)
		if off < closeDB || next == gain || pass >= usualPasses && off <= maxOffDB || pass >= mostPasses {
			return gain, s
		}
		gain = next
	}
}

// estimate finds the gain that would do by a sample of the rows, and first by a quarter of that.
func (j *job) estimate(gain float32, psnrDB float64) float32 {
	rows := sample(j.h)
	amp := make([]float32, len(rows)*j.w)
	for i, y := range rows {
		j.mask.row(y, amp[i*j.w:(i+1)*j.w])
	}
	mean := j.tile.meanPower()
	for _, step := range []int{4, 1} {
		for range mostPasses {
			s := stats{deep: j.canvas.deep}
			power := 0.0
			for i := 0; i < len(rows); i += step {
				j.canvas.mark(rows[i], gain, amp[i*j.w:(i+1)*j.w], j.tile, &s)
				power += j.tile.power[j.tile.rows[rows[i]]]
			}
			if power > 0 {
				s.weigh(mean * float64((len(rows)+step-1)/step) / power)
			}
			was := gain
			gain = correct(gain, s, psnrDB)
			if math.Abs(s.psnr()-psnrDB) < nearDB || gain == was {
				break
			}
		}
	}
	return gain
}

// sample returns rows at equal distances out of h.
func sample(h int) []int {
	rows := make([]int, min(max(sampleRows, h/sampleStep), h))
	for k := range rows {
		rows[k] = (2*k + 1) * h / (2 * len(rows))
	}
	return rows
}

// rounding is what rounding to whole levels adds to the mean square, in levels^2, whatever the gain.
const rounding = 1.0 / 12

// correct returns the gain that would have met the target had the error, but for its rounding, been proportional to it.
func correct(gain float32, s stats, psnrDB float64) float32 {
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

// weigh makes the sums what they would be had the tile been as strong, factor times in power, as it is on the whole:
// few rows of the picture fall on strong and weak rows of the tile unevenly.
func (s *stats) weigh(factor float64) {
	still := rounding * float64(s.samples)
	if s.deep {
		still = 0
	}
	if s.squares > still {
		s.squares = still + float64((s.squares-still)*factor)
	}
}

func (s stats) psnr() float64 { return 10 * math.Log10(255*255/math.Max(s.meanSquare(), 1e-12)) }

func (s stats) clippedShare() float64 { return float64(s.clipped) / float64(max(1, s.samples)) }
