package mark

import (
	"fmt"
	"math"

	"github.com/filigrane/filigrane/internal/signal"
)

// Books are the codewords of one delivery: one Book per lattice.
type Books [Lattices]*Book

// NewBooks draws the books of a delivery from its three keys.
func NewBooks(p *Profile, ks Keys) *Books {
	var bs Books
	for l := range Lattices {
		bs[l] = NewBook(p, l, ks[l])
	}
	return &bs
}

// Names says what one image carries besides the delivery's codeword and its pilot.
type Names struct {
	Concepts []int // 0 to MaxSuperposed concept numbers, each in 1..MaxConcepts
	Work     int   // work number in 1..MaxWorks, or 0 for none
}

// Validate reports numbers out of range or given twice.
func (n Names) Validate() error {
	if len(n.Concepts) > MaxSuperposed {
		return fmt.Errorf("mark: %d concepts on one image; at most %d can be superposed", len(n.Concepts), MaxSuperposed)
	}
	for i, c := range n.Concepts {
		if c < 1 || c > MaxConcepts {
			return fmt.Errorf("mark: concept number %d is not in 1..%d", c, MaxConcepts)
		}
		for _, d := range n.Concepts[:i] {
			if c == d {
				return fmt.Errorf("mark: concept number %d is given twice", c)
			}
		}
	}
	if n.Work < 0 || n.Work > MaxWorks {
		return fmt.Errorf("mark: work number %d is not in 1..%d", n.Work, MaxWorks)
	}
	return nil
}

// deliveryEnergy is the delivery codeword's part of the energy of lattice C; the concepts share the rest
// equally.
const deliveryEnergy = 0.5

// Cell is one period of a mark as a spectrum: the amplitudes of its waves, in 8-bit units, at the
// profile's reference strength.
type Cell struct {
	waves []wave
}

type wave struct {
	Harmonic
	lattice  Lattice
	cos, sin float64
}

// NewCell superposes the delivery's codeword, the pilot, the named concepts (each at 1/sqrt(k)) and the
// named work. Without concepts the delivery's codeword takes all of lattice C. It panics on invalid names.
func NewCell(p *Profile, b *Books, n Names) *Cell {
	if err := n.Validate(); err != nil {
		panic(err.Error())
	}
	c := &Cell{}
	c.add(p, Pilot, []Codeword{b[Pilot].Codeword(PilotCodeword)}, []float64{1})
	concept := []Codeword{b[Concept].Codeword(DeliveryCodeword)}
	energy := []float64{1}
	for _, i := range n.Concepts {
		concept = append(concept, b[Concept].Codeword(p.ConceptCodeword(i)))
		energy = append(energy, (1-deliveryEnergy)/float64(len(n.Concepts)))
		energy[0] = deliveryEnergy
	}
	c.add(p, Concept, concept, energy)
	if n.Work > 0 {
		c.add(p, Work, []Codeword{b[Work].Codeword(p.WorkCodeword(n.Work))}, []float64{1})
	}
	return c
}

// Only returns the cell reduced to one lattice.
func (c *Cell) Only(l Lattice) *Cell {
	only := &Cell{}
	for _, w := range c.waves {
		if w.lattice == l {
			only.waves = append(only.waves, w)
		}
	}
	return only
}

// Scaled returns the cell with the waves of one lattice made gain times as strong. Signs do not change, so readers
// need not know: an embedder may weigh the lattices for each picture.
func (c *Cell) Scaled(l Lattice, gain float64) *Cell {
	scaled := &Cell{waves: append([]wave(nil), c.waves...)}
	for i := range scaled.waves {
		if w := &scaled.waves[i]; w.lattice == l {
			w.cos *= gain
			w.sin *= gain
		}
	}
	return scaled
}

func (c *Cell) add(p *Profile, l Lattice, words []Codeword, energy []float64) {
	lp := &p.lattices[l]
	unit := lp.unit(p.amplitude(l, Reference))
	for i, h := range lp.harmonics {
		w := wave{Harmonic: h, lattice: l}
		for j, word := range words {
			a := unit * lp.shape[i] * math.Sqrt(energy[j])
			w.cos += float64(a * float64(word[2*i]))
			w.sin += float64(a * float64(word[2*i+1]))
		}
		c.waves = append(c.waves, w)
	}
}

// rgbPower is the mean square over R, G and B of a unit change of a channel (BT.601).
var rgbPower = [signal.Channels]float64{signal.Y: 1, signal.Cb: (0.344136*0.344136 + 1.772*1.772) / 3, signal.Cr: (1.402*1.402 + 0.714136*0.714136) / 3}

// ChannelPower returns the mean square over R, G and B of a unit change of a channel.
func ChannelPower(channel int) float64 { return rgbPower[channel] }

// unit returns the amplitude of one coefficient of shape 1 when the lattice has the given RMS in RGB. It
// is rounded to 2^-20 so that the last bit of math.Pow, which platforms disagree on, decides no pixel.
func (l *latticeProfile) unit(rms float64) float64 {
	power := 0.0
	for i, h := range l.harmonics {
		power += float64(float64(l.shape[i]*l.shape[i]) * rgbPower[h.Channel])
	}
	return math.Round(rms/math.Sqrt(power)*(1<<20)) / (1 << 20)
}

// Render samples one period of a channel at n x n points: sample (x, y) lies at ((x+offX)/n, (y+offY)/n)
// cells from the image centre. Waves with more than maxCycles cycles per cell along an axis are left out
// (anti-aliasing). Unit: 8-bit levels. The result is the same on every platform.
func (c *Cell) Render(channel, n int, offX, offY, maxCycles float64) []float64 {
	const reach = 64 // |kx| <= reach
	type row struct {
		used     bool
		re, im   [2*reach + 1]float64
		min, max int
	}
	rows := make([]row, reach+1)
	for _, w := range c.waves {
		if w.Channel != channel || float64(w.KY) > maxCycles || math.Abs(float64(w.KX)) > maxCycles {
			continue
		}
		r := &rows[w.KY]
		if !r.used {
			r.used, r.min, r.max = true, w.KX, w.KX
		}
		r.min, r.max = min(r.min, w.KX), max(r.max, w.KX)
		r.re[w.KX+reach] += w.cos
		r.im[w.KX+reach] -= w.sin // cos t cos + sin t sin = Re (c - i s) e^{it}
	}
	out := make([]float64, n*n)
	cosX, sinX := waveTable(n, reach, offX)
	cosY, sinY := waveTable(n, reach, offY)
	re, im := make([]float64, n), make([]float64, n)
	for ky := range rows {
		r := &rows[ky]
		if !r.used {
			continue
		}
		for x := range re {
			a, b := 0.0, 0.0
			for kx := r.min; kx <= r.max; kx++ {
				cr, ci := r.re[kx+reach], r.im[kx+reach]
				t, s := cosX[abs(kx)*n+x], sinX[abs(kx)*n+x]
				if kx < 0 {
					s = -s
				}
				a += float64(cr*t) - float64(ci*s)
				b += float64(cr*s) + float64(ci*t)
			}
			re[x], im[x] = a, b
		}
		for y := 0; y < n; y++ {
			t, s := cosY[ky*n+y], sinY[ky*n+y]
			line := out[y*n : (y+1)*n]
			for x := range line {
				line[x] += float64(re[x]*t) - float64(im[x]*s)
			}
		}
	}
	return out
}

// waveTable returns cos and sin of k (i+off)/n turns at [k*n+i] for k in 0..reach.
func waveTable(n, reach int, off float64) (cos, sin []float64) {
	cos, sin = make([]float64, (reach+1)*n), make([]float64, (reach+1)*n)
	for k := 0; k <= reach; k++ {
		for i := 0; i < n; i++ {
			cos[k*n+i], sin[k*n+i] = signal.CosSinTurns(float64(k) * (float64(i) + off) / float64(n))
		}
	}
	return cos, sin
}

func abs(k int) int {
	if k < 0 {
		return -k
	}
	return k
}
