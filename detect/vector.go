package detect

import (
	"math"

	"github.com/filigrane/filigrane/mark"
)

// vector is the material seen through one lattice at one alignment: per coefficient the weighted number u
// the statistic adds up, the same number in units of its noise, its expected amplitude in those units, and the weight
// between the first two: u = w z.
type vector struct {
	u, z, a, w []float64
}

// vector reads a lattice from a spectrum at an alignment. Coefficients the material does not have are 0.
func (r *Reader) vector(s *spectrum, l mark.Lattice, at Alignment) *vector {
	hs := r.profile.Harmonics(l)
	v := &vector{u: make([]float64, 2*len(hs)), z: make([]float64, 2*len(hs)), a: make([]float64, 2*len(hs)), w: make([]float64, 2*len(hs))}
	for i, h := range hs {
		if !s.has[h.Channel] {
			continue
		}
		kx, ky := at.apply(h.KX, h.KY)
		k := index(kx, ky)
		weight := s.weight[h.Channel][k]
		if weight == 0 {
			continue
		}
		u := s.u[h.Channel][k] * turn(float64(float64(kx)*at.ShiftX)+float64(float64(ky)*at.ShiftY))
		v.u[2*i], v.u[2*i+1] = real(u), -imag(u)
		q := s.snr[h.Channel][k]
		v.a[2*i], v.a[2*i+1] = math.Sqrt(q), math.Sqrt(q)
		w := weight * math.Sqrt(s.noise[h.Channel][k]/2)
		v.w[2*i], v.w[2*i+1] = w, w
		v.z[2*i], v.z[2*i+1] = v.u[2*i]/w, v.u[2*i+1]/w
	}
	return v
}

// norm returns |u|.
func (v *vector) norm() float64 {
	p := 0.0
	for _, u := range v.u {
		p += float64(u * u)
	}
	return math.Sqrt(p)
}

// t returns T = sum(s_i u_i) / |u|, 0 for an empty vector.
func (v *vector) t(word mark.Codeword) float64 {
	norm := v.norm()
	if norm == 0 {
		return 0
	}
	dot := 0.0
	for i, u := range v.u {
		dot += float64(float64(word[i]) * u)
	}
	return dot / norm
}

// without returns the vector with the given codewords fitted by least squares and taken out, and their
// fitted amplitudes.
func (v *vector) without(words []mark.Codeword) (*vector, []float64) {
	amps := v.fit(words)
	rest := &vector{u: make([]float64, len(v.u)), z: append([]float64(nil), v.z...), a: v.a, w: v.w}
	for j, w := range words {
		for i := range rest.z {
			rest.z[i] -= float64(float64(amps[j]*v.a[i]) * float64(w[i]))
		}
	}
	for i, w := range rest.w {
		rest.u[i] = rest.z[i] * w
	}
	return rest, amps
}

// fit returns the least-squares amplitudes of a few codewords relative to the expected amplitudes a. It solves the
// normal equations by Gauss-Seidel iteration; random
// codewords are nearly orthogonal, so it converges in a few rounds.
func (v *vector) fit(words []mark.Codeword) []float64 {
	amps := make([]float64, len(words))
	power := 0.0
	for _, a := range v.a {
		power += float64(a * a)
	}
	if power == 0 {
		return amps
	}
	for range 30 {
		for j, w := range words {
			num := 0.0
			for i, a := range v.a {
				rest := v.z[i]
				for k, other := range words {
					if k != j {
						rest -= float64(float64(amps[k]*a) * float64(other[i]))
					}
				}
				num += float64(float64(a*float64(w[i])) * rest)
			}
			amps[j] = num / power
		}
	}
	return amps
}

func scaleBy(z []complex128, k float64) {
	for i := range z {
		z[i] *= complex(k, 0)
	}
}
