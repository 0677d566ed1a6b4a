package detect

import (
	"math"
	"sort"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// The comb finds the frame of a pattern without knowing its key: a pattern that repeats puts all of its power on a
// lattice of lines in the picture's spectrum, and the sum of the power on the lines of a frame stands out when the
// frame is right. It looks at the material only, so however many frames it goes through, it costs no trials; those
// it puts forward are then tested with the pilot and counted.
//
// This was measured against two other ways of finding a frame (docs/measured.md): correlating log-polar spectra, and
// folding a small window at every frame.
type comb struct {
	size  int
	power []float32 // of each frequency, relative to its surroundings, centred on 0
	teeth []tooth
}

// tooth is one line of the pattern: its harmonic and its expected share of the power.
type tooth struct{ kx, ky, weight float64 }

const (
	combSize    = 512 // samples a side of a window
	combWindows = 6   // at most, of all pictures together
	combTop     = 8   // power relative to the surroundings beyond which a line counts no more: stripes must not decide
)

// newTeeth lists the luma waves of all lattices up to a harmonic number, with the power the profile gives them.
func newTeeth(p *mark.Profile, most float64) []tooth {
	var ts []tooth
	for l := range mark.Lattices {
		unit := p.Unit(l, 255*math.Pow(10, -p.PSNR(l, mark.Reference)/20))
		for i, h := range p.Harmonics(l) {
			if a := unit * p.Shape(l)[i]; h.Channel == signal.Y && float64(h.R2()) <= most*most {
				ts = append(ts, tooth{float64(h.KX), float64(h.KY), a * a})
			}
		}
	}
	// strongest first, so that the few that decide can be looked at alone
	sort.SliceStable(ts, func(i, j int) bool { return ts[i].weight > ts[j].weight })
	return ts
}

// newComb takes the spectrum of windows spread over the pictures' luma, or over one part of it.
func newComb(p *mark.Profile, planes []*signal.Plane, fft *signal.FFT2) *comb {
	c := &comb{size: combSize, teeth: newTeeth(p, 24), power: make([]float32, combSize*combSize)}
	var windows []window
	for _, plane := range planes {
		windows = append(windows, windowsOf(plane)...)
		if len(windows) >= combWindows {
			windows = windows[:combWindows]
			break
		}
	}
	pair := make([]complex128, combSize*combSize)
	for i := 0; i < len(windows); i += 2 {
		clear(pair)
		windows[i].put(pair, 1)
		if i+1 < len(windows) {
			windows[i+1].put(pair, 1i)
		}
		fft.Forward(pair)
		c.add(pair)
	}
	c.whiten()
	return c
}

// window is a part of a plane.
type window struct {
	plane      *signal.Plane
	x, y, w, h int
}

// windowsOf spreads windows evenly over a plane, as many as fit side by side.
func windowsOf(p *signal.Plane) []window {
	cols, rows := places1(p.W), places1(p.H)
	w, h := min(p.W, combSize), min(p.H, combSize)
	var ws []window
	for _, y := range rows {
		for _, x := range cols {
			ws = append(ws, window{p, x, y, w, h})
		}
	}
	return ws
}

// places1 spreads as many windows over an axis as it has room for, rounded, at most three.
func places1(size int) []int {
	k := min(max(1, (size+combSize/2)/combSize), 3)
	at := make([]int, k)
	room := max(0, size-combSize)
	for i := range at {
		if at[i] = room / 2; k > 1 {
			at[i] = i * room / (k - 1)
		}
	}
	return at
}

// put adds the window's samples, times a factor, to a field.
func (w window) put(field []complex128, times complex128) {
	for y := 0; y < w.h; y++ {
		src := w.plane.Row(w.y + y)[w.x : w.x+w.w]
		dst := field[y*combSize : y*combSize+len(src)]
		for x, v := range src {
			dst[x] += complex(float64(v), 0) * times
		}
	}
}

// add adds the power of both windows of a pair: |Z(f)|^2 + |Z(-f)|^2 is twice the sum of theirs.
func (c *comb) add(pair []complex128) {
	const n = combSize
	for y := 0; y < n; y++ {
		for x := 0; x < n; x++ {
			z, w := pair[y*n+x], pair[(n-y)%n*n+(n-x)%n]
			c.power[(y+n/2)%n*n+(x+n/2)%n] += float32(power(z) + power(w))
		}
	}
}

// whiten divides the power of each frequency by that of its surroundings, lines left aside, and takes out what
// falls on the lines of a compressor's 8 x 8 blocks.
func (c *comb) whiten() {
	const n, radius = combSize, 8
	p := &signal.Plane{W: n, H: n, Pix: c.power}
	level := signal.BoxMean(p, radius)
	clipped := signal.NewPlane(n, n)
	for i, v := range p.Pix {
		clipped.Pix[i] = min(v, 3*level.Pix[i])
	}
	level = signal.BoxMean(clipped, radius)
	for i, v := range p.Pix {
		if l := level.Pix[i]; l > 0 {
			p.Pix[i] = min(v/l, combTop)
		} else {
			p.Pix[i] = 1
		}
	}
	for y := 0; y < n; y += n / 8 {
		for x := 0; x < n; x += n / 8 {
			for v := y - 1; v <= y+1; v++ {
				for u := x - 1; u <= x+1; u++ {
					p.Pix[(v+n)%n*n+(u+n)%n] = 1
				}
			}
		}
	}
}

// score returns how far the mean power of a frame's lines is above that of any, in standard deviations of white
// noise. limit is how many teeth are looked at.
func (c *comb) score(f frame, limit int) float64 {
	const n = combSize
	const reach = 0.45 * n
	var sum, squares float64
	for _, t := range c.teeth[:min(limit, len(c.teeth))] {
		x := (t.kx*f.xx + t.ky*f.yx) * n
		y := (t.kx*f.xy + t.ky*f.yy) * n
		if x > reach || x < -reach || y > reach || y < -reach {
			continue
		}
		v := c.power[int(y+n/2+0.5)*n+int(x+n/2+0.5)]
		sum += t.weight * float64(v-1)
		squares += t.weight * t.weight
	}
	if squares == 0 {
		return 0
	}
	return sum / math.Sqrt(squares)
}

// candidate is a frame and its score.
type candidate struct {
	frame
	score float64
	at    [3]int // place in the grid
}

// ranges is what a search goes through: its frames are shaped(scale, angle, aspect).
type ranges struct {
	angles, aspects int // steps either way
	keep            int // candidates
	teeth           int
}

// combStep is the relative step of the search: at the mean tooth, 80 bins out, half a bin.
const combStep = 1.0 / 160

// Scales searched, now / as the trainer sees it.
const (
	leastScale = 0.25
	mostScale  = 2.0
)

// scaleSteps is how many scales are searched.
var scaleSteps = int(math.Round(math.Log(mostScale/leastScale)/combStep)) + 1

// frames is how many frames the ranges hold.
func (r ranges) frames() int { return (2*r.angles + 1) * (2*r.aspects + 1) * scaleSteps }

// search returns the best frames of the ranges, no two of them neighbours, best first, each brought to the top of
// its hill.
func (c *comb) search(r ranges) []candidate {
	var top []candidate
	for b := -r.aspects; b <= r.aspects; b++ {
		for a := -r.angles; a <= r.angles; a++ {
			shape := shaped(1, float64(a)*combStep, math.Exp(2*float64(b)*combStep))
			for s := range scaleSteps {
				k := math.Exp(-float64(s)*combStep) / leastScale
				f := frame{shape.xx * k, shape.xy * k, shape.yx * k, shape.yy * k}
				top = keepBest(top, candidate{f, c.score(f, r.teeth), [3]int{s, a, b}}, r.keep)
			}
		}
	}
	for i := range top {
		top[i] = c.climb(top[i], r.angles > 0)
	}
	sort.SliceStable(top, func(i, j int) bool { return top[i].score > top[j].score })
	return top
}

// keepBest puts a candidate into a list of at most keep, best first, unless a neighbour in it is better; worse
// neighbours leave.
func keepBest(top []candidate, c candidate, keep int) []candidate {
	if len(top) == keep && c.score <= top[keep-1].score {
		return top
	}
	for _, t := range top {
		if t.near(c) && t.score >= c.score {
			return top
		}
	}
	kept := top[:0]
	for _, t := range top {
		if !t.near(c) {
			kept = append(kept, t)
		}
	}
	kept = append(kept, c)
	for i := len(kept) - 1; i > 0 && kept[i].score > kept[i-1].score; i-- {
		kept[i], kept[i-1] = kept[i-1], kept[i]
	}
	return kept[:min(len(kept), keep)]
}

func (c candidate) near(d candidate) bool {
	for i := range c.at {
		if c.at[i]-d.at[i] > 2 || d.at[i]-c.at[i] > 2 {
			return false
		}
	}
	return true
}

// climb moves the frame uphill with all teeth, in ever smaller steps, each axis by itself; a frame that may be turned,
// in all its four entries.
func (c *comb) climb(k candidate, turned bool) candidate {
	k.score = c.score(k.frame, len(c.teeth))
	for step := combStep / 2; step > combStep/20; step /= 2 {
		for moved, rounds := true, 0; moved && rounds < 8; rounds++ {
			moved = false
			for _, d := range moves(k.frame, step, turned) {
				if s := c.score(d, len(c.teeth)); s > k.score {
					k.frame, k.score, moved = d, s, true
				}
			}
		}
	}
	return k
}

// moves lists the frames a relative step away from f.
func moves(f frame, step float64, turned bool) []frame {
	unit := step / f.cell()
	var fs []frame
	for _, d := range []float64{unit, -unit} {
		fs = append(fs, f.plus(frame{xx: d}), f.plus(frame{yy: d}), f.plus(frame{xx: d, yy: d}))
		if turned {
			fs = append(fs, f.plus(frame{xy: d}), f.plus(frame{yx: d}), f.plus(frame{xy: d, yx: -d}))
		}
	}
	return fs
}
