package embed

import (
	"fmt"
	"math"

	"github.com/filigrane/filigrane/internal/signal"
)

// The perceptual model. The mask answers one question: how strong may the mark be here?
//
// Texture masking: what is just seen grows with the contrast of what it lies on (Legge and Foley, "Contrast masking in
// human vision", J. Opt. Soc. Am. 70, 1980; in pictures Watson, "DCT quantization matrices visually optimized for
// individual images", SPIE 1913, 1993). Contrast is the deviation d of luma in a block; the threshold is visible * (d +
// grain), and at least that of an even field. Watson's exponent of 0.7 for single waves was tried, as were others: for a
// mark as rich as texture itself, 1 costs little at equal readability. It suits the reader too, who divides by the
// local deviation.
//
// Edges: a block beside an even field counts nearly as even (the harmonic mean over neighbours), since what rings around an
// edge shows in the field beside it. Nor is a slope texture: what deviates because it is out of focus hides nothing.
//
// The amplitude is absolute: a smooth picture gets less of a mark than a rough one, and is read about as well, for
// what hides a mark from the eye hides it from the reader. Luminance adaptation (Chou and Li 1995) and structure at edges
// earned nothing. docs/gentle.md has the study, and the blind comparison that set visible and even.
const (
	grain = 1.0 // 8-bit levels: what a camera leaves in even fields
	// even, in 8-bit levels, is the contrast that an even field counts as: the eye's own threshold.
	even = 2.0
	// visible sets amplitudes relative to an even mark of the strength asked for: at 42 dB 0.4 levels in clear sky,
	// where rounding to whole levels leaves little else, 2.0 where the picture deviates by ten.
	visible     = 0.09
	maskCeiling = 3.0 // lest a small textured patch, or the crossing of two lines, take all of the energy
	// maskBlock is the usual side of the blocks on which texture is measured, in samples.
	maskBlock = 8
)

// mask is a smooth field of amplitudes, mean square 1, on a grid of blocks.
type mask struct {
	side       int // samples a side of a block
	cols, rows int
	at         []float32
	// gentlerDB is by how much the amplitudes that the model allows fall short of an even mark of the strength
	// asked for, in dB, 0 where they would exceed it: what to add to the PSNR.
	gentlerDB float64
	// flat is the share of blocks without any texture, not even a camera's grain: next to none of a photograph, most of a
	// drawing. Blocks of pure white or black do not count: they are a product's background as often as paper.
	flat float64
}

// noGrain is the deviation, in 8-bit levels, below which a block has no texture.
const noGrain = 0.05

// newMask measures a whole plane of luma on blocks of the usual size.
func newMask(luma *signal.Plane) *mask {
	b := newMaskBuilder(luma.W, luma.H, maskBlock)
	for y := range luma.H {
		b.add(luma.Row(y))
	}
	return b.mask()
}

// maskBuilder makes a mask from rows of luma, in order, of which it keeps nothing but figures per block: some 12
// bytes for each.
type maskBuilder struct {
	w, h, side, cols int
	y                int        // rows added
	dev              []float32  // deviation of each block done
	flat, ends       int        // blocks without texture, and those at an end of the scale
	open             []blockSum // the row of blocks being added to
}

// blockSum is what is kept of a block's samples, each less the first.
type blockSum struct{ first, sum, squares, across, down float32 }

// ends are the 8-bit levels beyond which an even block is paper or night, not a flat colour.
const darkEnd, lightEnd = 1, 254

// newMaskBuilder starts a mask for a picture of w x h. side is that of the blocks: 8 samples for a cell of 64,
// in proportion for a longer one, since a larger picture of the same scene is to be seen smaller.
func newMaskBuilder(w, h, side int) *maskBuilder {
	if w <= 0 || h <= 0 || side <= 0 {
		panic(fmt.Sprintf("embed: mask of %d x %d samples in blocks of %d", w, h, side))
	}
	cols := (w + side - 1) / side
	return &maskBuilder{w: w, h: h, side: side, cols: cols, open: make([]blockSum, cols), dev: make([]float32, 0, cols*((h+side-1)/side))}
}

// add takes the next row of luma, in 8-bit units. It is not kept.
func (b *maskBuilder) add(row []float32) {
	if len(row) != b.w || b.y == b.h {
		panic(fmt.Sprintf("embed: row %d of %d samples for a mask of %d x %d", b.y, len(row), b.w, b.h))
	}
	line := b.y % b.side
	if line == 0 {
		for i := range b.open {
			b.open[i] = blockSum{first: row[i*b.side]}
		}
	}
	for i := range b.open {
		o := &b.open[i]
		first, squares, across := o.first, o.squares, o.across
		sum, place := float32(0), float32(0)
		for _, v := range row[i*b.side : min((i+1)*b.side, b.w)] {
			d := v - first
			sum += d
			squares += float32(d * d)
			across += float32(d * place)
			place++
		}
		o.sum += sum
		o.squares, o.across = squares, across
		o.down += float32(sum * float32(line))
	}
	b.y++
	if b.y%b.side == 0 || b.y == b.h {
		for i, o := range b.open {
			w := min(b.side, b.w-i*b.side)
			d := o.deviation(w, line+1)
			b.dev = append(b.dev, d)
			switch mean := o.first + o.sum/float32(w*(line+1)); {
			case d >= noGrain:
			case mean < darkEnd || mean > lightEnd:
				b.ends++
			default:
				b.flat++
			}
		}
	}
}

// deviation returns the standard deviation of a block of w x h samples, or twice that from the plane that fits it best
// where this is less: a slope, as of what is out of focus, hides nothing.
func (o blockSum) deviation(w, h int) float32 {
	n := float64(w * h)
	mean := float64(o.sum) / n
	power := max(0, float64(o.squares)/n-float64(mean*mean))
	slopes := slopePower(float64(o.across), float64(o.sum), w, n) + slopePower(float64(o.down), float64(o.sum), h, n)
	return float32(math.Sqrt(min(power, 4*max(0, power-slopes))))
}

// slopePower returns the part of the variance of n samples that a slope along an axis of the given length explains, from
// the sum of place x value.
func slopePower(moment, sum float64, length int, n float64) float64 {
	if length < 2 {
		return 0
	}
	l := float64(length)
	m := moment - float64(sum*(l-1)/2)
	return float64(m*m) / (n * n * (l*l - 1) / 12)
}

// mask returns the finished mask. All rows must have been added.
func (b *maskBuilder) mask() *mask {
	if b.y != b.h {
		panic(fmt.Sprintf("embed: mask of %d rows after %d", b.h, b.y))
	}
	m := &mask{side: b.side, cols: b.cols, rows: len(b.dev) / b.cols}
	m.flat = float64(b.flat) / float64(max(1, len(b.dev)-b.ends))
	m.at = m.texture(b.dev)
	power := 0.0
	for i, d := range m.at {
		a := amplitude(float64(d))
		power += float64(a * a)
		m.at[i] = float32(a)
	}
	power /= float64(len(m.at))
	scale := float32(1 / math.Sqrt(power))
	for i := range m.at {
		m.at[i] *= scale
	}
	// Rounded to what platforms agree on in math.Log10.
	m.gentlerDB = max(0, math.Round(-1000*math.Log10(power))/100)
	return m
}

// amplitude returns how strong the mark may be where the picture deviates by d levels.
func amplitude(d float64) float64 { return min(maskCeiling, visible*max(d+grain, even)) }

// texture returns the harmonic mean of the deviation over each block and its neighbours: a block with an edge, or a
// crest, beside even sky counts nearly as sky.
func (m *mask) texture(dev []float32) []float32 {
	across := make([]float32, len(dev)) // sums of 1/deviation over up to three blocks side by side
	for y := range m.rows {
		row, out := dev[y*m.cols:][:m.cols], across[y*m.cols:][:m.cols]
		before, here := float32(0), 1/(row[0]+grain)
		for x := range row {
			after := float32(0)
			if x+1 < m.cols {
				after = 1 / (row[x+1] + grain)
			}
			out[x] = before + here + after
			before, here = here, after
		}
	}
	out := make([]float32, len(dev))
	for y := range m.rows {
		top, low := max(0, y-1), min(m.rows-1, y+1)
		for x := range m.cols {
			sum := float32(0)
			for v := top; v <= low; v++ {
				sum += across[v*m.cols+x]
			}
			n := (low - top + 1) * (min(m.cols-1, x+1) - max(0, x-1) + 1)
			out[y*m.cols+x] = max(0, float32(n)/sum-grain)
		}
	}
	return out
}

// row writes the amplitudes of picture row y into dst, bilinear between block centres.
func (m *mask) row(y int, dst []float32) {
	v, fy := m.between(y)
	if v < 0 || v+1 >= m.rows {
		v, fy = max(v, 0), 0
	}
	a, b := m.at[v*m.cols:(v+1)*m.cols], m.at[min(v+1, m.rows-1)*m.cols:][:m.cols]
	// From the centre of one block to that of the next, amplitude is a straight line.
	left := a[0] + float32(fy*(b[0]-a[0]))
	x := 0
	for u := range a {
		right := a[u] + float32(fy*(b[u]-a[u]))
		end := min(len(dst), u*m.side+(m.side+1)/2)
		_, fx := m.between(x)
		step, rise := 1/float32(m.side), right-left
		for ; x < end; x++ {
			dst[x] = left + float32(fx*rise)
			fx += step
		}
		left = right
	}
	for ; x < len(dst); x++ {
		dst[x] = left
	}
}

// between returns the block whose centre lies before sample i, -1 for none, and how far i is towards the next
// centre, 0 to 1.
func (m *mask) between(i int) (int, float32) {
	k := 2*i + 1 - m.side // twice the distance from the first centre
	u := k / (2 * m.side)
	if k < 0 {
		return -1, float32(k+2*m.side) / float32(2*m.side)
	}
	return u, float32(k-2*m.side*u) / float32(2*m.side)
}
