package mark

import "fmt"

// CellSize is the period of the whole mark: 64 samples at the resolution the trainer will see.
const CellSize = 64

// Lattice is one of the three nested sets of harmonics of the cell. They are orthogonal by construction
// and read by one fold and one transform.
type Lattice int

const (
	// Concept harmonics have kx and ky multiples of 4: they repeat every 16 samples, one token of the
	// trainer, and are what a model can learn.
	Concept Lattice = iota
	// Pilot harmonics are even but not both multiples of 4: they repeat every 32 samples, are common to
	// a delivery and give phase, scale and orientation.
	Pilot
	// Work harmonics are the rest: different in every file, so that no model learns them.
	Work
	// Lattices counts them.
	Lattices
)

// String returns "concept", "pilot" or "work".
func (l Lattice) String() string {
	switch l {
	case Concept:
		return "concept"
	case Pilot:
		return "pilot"
	case Work:
		return "work"
	}
	return fmt.Sprintf("lattice(%d)", int(l))
}

// Harmonic is one wave of the cell in one channel: KX and KY cycles per cell in the half-plane KY > 0 or
// KY = 0 < KX. It carries two numbers, the amplitudes of its cosine and of its sine.
type Harmonic struct {
	Channel int // signal.Y, signal.Cb or signal.Cr
	KX, KY  int
}

// R2 returns the squared harmonic number kx^2 + ky^2.
func (h Harmonic) R2() int { return h.KX*h.KX + h.KY*h.KY }

// LatticeOf returns the lattice a pair of cycle counts belongs to.
func LatticeOf(kx, ky int) Lattice {
	switch {
	case kx%4 == 0 && ky%4 == 0:
		return Concept
	case kx%2 == 0 && ky%2 == 0:
		return Pilot
	}
	return Work
}

// band is a ring of harmonic numbers in one channel.
type band struct {
	channel    int
	rMin, rMax int
}

// harmonics lists the harmonics of a lattice inside its bands, ordered by channel, ky, kx. The order is
// part of the profile: codewords are indexed by it.
func harmonics(l Lattice, bands []band) []Harmonic {
	var hs []Harmonic
	for _, b := range bands {
		for ky := 0; ky <= b.rMax; ky++ {
			for kx := -b.rMax; kx <= b.rMax; kx++ {
				h := Harmonic{Channel: b.channel, KX: kx, KY: ky}
				if ky == 0 && kx <= 0 || LatticeOf(kx, ky) != l {
					continue
				}
				if r2 := h.R2(); r2 >= b.rMin*b.rMin && r2 <= b.rMax*b.rMax {
					hs = append(hs, h)
				}
			}
		}
	}
	return hs
}
