package detect

import (
	"math"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// block is a part of a picture folded by itself: where its centre lies, in pixels from the picture's, and the
// transform of its cells.
type block struct {
	x, y float64
	z    []complex128
}

// When the frame is worth refining: below weakPilot the alignment is noise, above a share of the ceiling there
// is little to gain, least where the frame was known and not found by the comb.
const (
	weakPilot   = 4.0
	strongKnown = 0.85
	strongFound = 0.97
	refinements = 4    // at most: blocks blur when a frame is far off, and can be folded anew in a better one
	enough      = 0.05 // of T: a gain below it ends the climb
)

// refineFrame climbs from a frame and a shift to those near them that the pilot likes best, by turning the phases of blocks: a
// frame that is off by little moves each block, and blurs none. Only for alignments chosen with a key that is not
// the one tested. It returns the change of the frame, and the alignment's shift and T.
func (r *Reader) refineFrame(s *spectrum, b best, turned bool) (frame, best) {
	c := newClimber(r, s, b)
	reach := 0.0
	for _, k := range s.blocks {
		reach = math.Max(reach, math.Max(math.Abs(k.x), math.Abs(k.y)))
	}
	var d frame
	top := c.t(d, b.alignment)
	for cycles := 1.0; cycles > 0.01; cycles /= 2 { // cycles of the shortest wave, at the outermost block
		step := cycles / (reach * pilotReach)
		for moved, rounds := true, 0; moved && rounds < 6; rounds++ {
			moved = false
			for _, e := range steps(step, turned) {
				if t := c.t(d.plus(e), b.alignment); t > top {
					d, top, moved = d.plus(e), t, true
				}
			}
			for _, e := range [][2]float64{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
				a := b.alignment
				a.ShiftX += e[0] * cycles / 2 / pilotReach
				a.ShiftY += e[1] * cycles / 2 / pilotReach
				if t := c.t(d, a); t > top {
					b.alignment, top, moved = a, t, true
				}
			}
		}
	}
	b.t = top
	return d, b
}

// pilotReach is the largest harmonic number of the pilot along an axis.
const pilotReach = 16

// steps lists the changes of a frame by a step: both axes together and apart, and where it may be turned, turns and
// shears.
func steps(step float64, turned bool) []frame {
	var fs []frame
	for _, d := range []float64{step, -step} {
		fs = append(fs, frame{xx: d, yy: d}, frame{xx: d}, frame{yy: d})
		if turned {
			fs = append(fs, frame{xy: -d, yx: d}, frame{xy: d}, frame{yx: d})
		}
	}
	return fs
}

// climber evaluates the pilot's T from the blocks of one spectrum under one orientation.
type climber struct {
	blocks []block
	waves  []pilotWave
	cos    [][2*pilotReach + 1]complex128 // scratch: phases of a block across
	sin    [][2*pilotReach + 1]complex128 // and down
}

// pilotWave is a harmonic of the pilot where the picture has it: its bin, its weight times its expected phase.
type pilotWave struct {
	kx, ky, bin int
	expected    complex128
	weight      float64
}

func newClimber(r *Reader, s *spectrum, b best) *climber {
	c := &climber{blocks: s.blocks}
	f := newTwist()
	for i, h := range r.profile.Harmonics(mark.Pilot) {
		kx, ky := b.alignment.apply(h.KX, h.KY)
		bin := index(kx, ky)
		w := s.weight[signal.Y][bin]
		if w == 0 {
			continue
		}
		word := complex(float64(r.pilot[2*i]), float64(r.pilot[2*i+1])) // conjugate of cosine - i sine
		c.waves = append(c.waves, pilotWave{kx, ky, bin, word * f[bin] * complex(w, 0), w})
	}
	c.cos = make([][2*pilotReach + 1]complex128, len(c.blocks))
	c.sin = make([][2*pilotReach + 1]complex128, len(c.blocks))
	return c
}

// t returns the pilot's T when the frame is changed by d and the pattern lies at the alignment's shift.
func (c *climber) t(d frame, a Alignment) float64 {
	for i, b := range c.blocks {
		u, v := d.xx*b.x+d.xy*b.y-a.ShiftX, d.yx*b.x+d.yy*b.y-a.ShiftY
		powers(&c.cos[i], turn(-u))
		powers(&c.sin[i], turn(-v))
	}
	dot, norm := 0.0, 0.0
	for _, w := range c.waves {
		var sum complex128
		for i := range c.blocks {
			sum += c.blocks[i].z[w.bin] * (c.cos[i][w.kx+pilotReach] * c.sin[i][w.ky+pilotReach])
		}
		z := sum * w.expected
		dot += real(z)
		norm += power(sum) * w.weight * w.weight
	}
	if norm == 0 {
		return 0
	}
	return dot / math.Sqrt(norm)
}

// powers fills in z^k for k in -pilotReach..pilotReach, z of modulus 1.
func powers(p *[2*pilotReach + 1]complex128, z complex128) {
	p[pilotReach] = 1
	for k := 1; k <= pilotReach; k++ {
		p[pilotReach+k] = p[pilotReach+k-1] * z
		p[pilotReach-k] = conj(p[pilotReach+k])
	}
}
