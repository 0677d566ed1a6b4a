package mark

import (
	"fmt"
	"math"
	"slices"

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
	once, width, height := c.RenderOnce(channel, n, offX, offY, maxCycles)
	if width == n && height == n {
		return once
	}
	out := make([]float64, n*n)
	for y := range height {
		copy(out[y*n:], once[y*width:(y+1)*width])
		repeat(out[y*n:(y+1)*n], width)
	}
	repeat(out, height*n)
	return out
}

// RenderOnce gives the first width x height of the n x n samples of Render, which repeat them along both axes:
// n x n, or fewer where all waves of the channel are harmonics of a shorter one and n is a power of two.
func (c *Cell) RenderOnce(channel, n int, offX, offY, maxCycles float64) (samples []float64, width, height int) {
	rows := c.rows(channel, maxCycles)
	var kxs, kys []int
	for _, r := range rows {
		kys = append(kys, r.ky)
		for _, w := range r.waves {
			kxs = append(kxs, abs(w.kx))
		}
	}
	across, down := newAxis(n, offX, kxs), newAxis(n, offY, kys)
	lines := make([]line, len(rows))
	for i, r := range rows {
		lines[i] = r.line(across)
	}
	width, height = across.period, down.period
	samples = make([]float64, width*height)
	for y := range down.points {
		low := samples[y*width : (y+1)*width]
		if down.halved() {
			at := (y + down.points) * width
			down.sumTwice(low, samples[at:at+width], rows, lines, y)
		} else {
			down.sum(low, rows, lines, y)
		}
	}
	return samples, width, height
}

// waveRow holds the waves of a channel with the same number of cycles downwards, cycles across ascending.
type waveRow struct {
	ky    int
	waves []term
}

// term is a wave as a factor of e^{it}: cos t cos + sin t sin = Re (cos - i sin) e^{it}.
type term struct {
	kx     int
	re, im float64
}

// rows sorts the waves of a channel with at most maxCycles cycles along an axis.
func (c *Cell) rows(channel int, maxCycles float64) []waveRow {
	var rows []waveRow
	for _, w := range c.waves {
		if w.Channel != channel || float64(w.KY) > maxCycles || math.Abs(float64(w.KX)) > maxCycles {
			continue
		}
		i, found := slices.BinarySearchFunc(rows, w.KY, func(r waveRow, ky int) int { return r.ky - ky })
		if !found {
			rows = slices.Insert(rows, i, waveRow{ky: w.KY})
		}
		r := &rows[i]
		k, _ := slices.BinarySearchFunc(r.waves, w.KX, func(t term, kx int) int { return t.kx - kx })
		r.waves = slices.Insert(r.waves, k, term{w.KX, w.cos, -w.sin})
	}
	return rows
}

// axis tells how waves of k cycles run along one axis of n points: cos and sin of k (i+off)/n turns at point i.
//
// Where n is a power of two and off a whole number of quarters, k (i+off)/n is not rounded, so that
// CosSinTurns repeats itself to the last bit: all waves after n points over the largest power of two that
// divides every k, and half of that later each wave is the same or, where what is left of k is odd, the same
// with its sign changed. Only points up to there are computed then; the rest follows without an error.
type axis struct {
	common   int                        // that power of two; 1 elsewhere
	period   int                        // points after which all waves repeat
	points   int                        // points that are computed: half the period, or all
	cos, sin [maxHarmonic + 1][]float64 // by k, for the points computed; nil where k is not used
}

// maxHarmonic is more cycles than any profile has.
const maxHarmonic = 64

func newAxis(n int, off float64, ks []int) *axis {
	a := &axis{common: 1, period: n, points: n}
	if n >= 2 && n&(n-1) == 0 && off*4 == math.Trunc(off*4) {
		every := n / 2
		for _, k := range ks {
			every |= k
		}
		a.common = every & -every
		a.period = n / a.common
		a.points = a.period / 2
	}
	for _, k := range ks {
		if a.cos[k] != nil {
			continue
		}
		a.cos[k], a.sin[k] = make([]float64, a.points), make([]float64, a.points)
		for i := range a.points {
			a.cos[k][i], a.sin[k][i] = signal.CosSinTurns(float64(k) * (float64(i) + off) / float64(n))
		}
	}
	return a
}

// halved says whether only half a period is computed.
func (a *axis) halved() bool { return a.points < a.period }

// turns says whether a wave of k cycles changes its sign after half a period.
func (a *axis) turns(k int) bool { return k/a.common%2 != 0 }

// line is the complex amplitude, at the points of a row, of the wave that a waveRow makes downwards.
type line struct{ re, im []float64 }

// line adds up the waves of a row along one period.
func (r waveRow) line(a *axis) line {
	l := line{make([]float64, a.period), make([]float64, a.period)}
	re, im := l.re[:a.points], l.im[:a.points]
	for _, w := range r.waves {
		cos, sin := a.cos[abs(w.kx)][:a.points], a.sin[abs(w.kx)][:a.points]
		mirror := 1.0
		if w.kx < 0 {
			mirror = -1
		}
		if !a.halved() {
			for x, t := range cos {
				s := mirror * sin[x]
				re[x] += float64(w.re*t) - float64(w.im*s)
				im[x] += float64(w.re*s) + float64(w.im*t)
			}
			continue
		}
		turn := 1.0
		if a.turns(w.kx) {
			turn = -1
		}
		re2, im2 := l.re[a.points:][:a.points], l.im[a.points:][:a.points]
		for x, t := range cos {
			s := mirror * sin[x]
			p, q := float64(w.re*t)-float64(w.im*s), float64(w.re*s)+float64(w.im*t)
			re[x] += p
			im[x] += q
			re2[x] += float64(turn * p)
			im2[x] += float64(turn * q)
		}
	}
	return l
}

// sum adds the waves of all rows at point y of the axis downwards to dst.
func (a *axis) sum(dst []float64, rows []waveRow, lines []line, y int) {
	for i, r := range rows {
		addWave(dst, lines[i], a.cos[r.ky][y], a.sin[r.ky][y])
	}
}

// sumTwice adds the waves at point y to low, and those half a period later to high, in the order of sum: low and
// high take from each wave the same number but for its sign.
func (a *axis) sumTwice(low, high []float64, rows []waveRow, lines []line, y int) {
	for i := 0; i < len(rows); i++ {
		k := rows[i].ky
		t, s := a.cos[k][y], a.sin[k][y]
		if i+1 < len(rows) && !a.turns(k) && a.turns(rows[i+1].ky) {
			next := rows[i+1].ky
			addWaves(low, high, lines[i], lines[i+1], t, s, a.cos[next][y], a.sin[next][y])
			i++
			continue
		}
		addWave(low, lines[i], t, s)
		if a.turns(k) {
			t, s = -t, -s
		}
		addWave(high, lines[i], t, s)
	}
}

// addWave adds Re (re + i im)(t + i s).
func addWave(dst []float64, l line, t, s float64) {
	re, im := l.re[:len(dst)], l.im[:len(dst)]
	for x, v := range dst {
		dst[x] = v + (float64(re[x]*t) - float64(im[x]*s))
	}
}

// addWaves adds two waves to low, and to high the first less the second.
func addWaves(low, high []float64, l, m line, t, s, t2, s2 float64) {
	n := len(low)
	high = high[:n]
	re, im, re2, im2 := l.re[:n], l.im[:n], m.re[:n], m.im[:n]
	for x, v := range low {
		p := float64(re[x]*t) - float64(im[x]*s)
		q := float64(re2[x]*t2) - float64(im2[x]*s2)
		low[x] = v + p + q
		high[x] = high[x] + p - q
	}
}

// repeat fills a slice with copies of its first period numbers.
func repeat(a []float64, period int) {
	for at := period; at < len(a); at += period {
		copy(a[at:], a[:period])
	}
}

func abs(k int) int {
	if k < 0 {
		return -k
	}
	return k
}
