package detect

import (
	"image"
	"math"
	"sync"

	"github.com/filigrane/filigrane/mark"
)

// Others are pictures of the same source as those that are read: other outputs of one model, say. What both share, the
// generator's own grid, a compressor's, the delivery's codeword, hides the concept's codeword; see ReadAgainst.
// Goroutines may share them.
type Others struct {
	ms []*material

	mu     sync.Mutex
	folded map[otherKey]*spectrum
}

// otherKey is what a fold of others depends on.
type otherKey struct {
	resolution int // of a resized picture, 0 otherwise
	frame      frame
}

// mostFolded is how many folds are kept, 0.7 MB each. Most pictures of a source are read at the same few.
const mostFolded = 32

// NewOthers prepares pictures to read against. It panics without any; an error names one that is too small.
func NewOthers(imgs ...image.Image) (*Others, error) {
	if len(imgs) == 0 {
		panic("detect: no picture to read against")
	}
	ms, err := materials(imgs)
	if err != nil {
		return nil, err
	}
	return &Others{ms: ms, folded: make(map[otherKey]*spectrum)}, nil
}

// ReadAgainst reads one picture, or several folded into one, as Read does, but takes out what they share with others of
// the same source before it names concepts. Delivery and work are read as Read would. The others must have gone the
// same way as the pictures, and must have been chosen without the key: then nothing here depends on the key, and
// the bound holds as it stands.
func (r *Reader) ReadAgainst(others *Others, imgs ...image.Image) (Reading, error) {
	if len(imgs) == 0 {
		panic("detect: no picture to read")
	}
	ms, err := materials(imgs)
	if err != nil {
		return Reading{}, err
	}
	return r.read(ms, others), nil
}

// fold folds the others under the hypothesis that was chosen for the pictures.
func (o *Others) fold(r *Reader, h hypothesis, f *folder) *spectrum {
	key := otherKey{frame: h.frames[0]}
	if h.resized {
		key = otherKey{resolution: r.opt.Resolution}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ok := o.folded[key]
	if !ok {
		if len(o.folded) >= mostFolded {
			clear(o.folded)
		}
		s = f.fold(o.ms, r.frames(h, o.ms), false)
		o.folded[key] = s
	}
	return s
}

// contrast returns what sets s apart from o: per channel s - k o, where k, by least squares over all harmonics of the
// concept lattice, takes out as much of s as o explains. It depends on the material only: it costs no trials.
func (s *spectrum) contrast(o *spectrum) *spectrum {
	d := &spectrum{}
	for ch := range s.sum {
		if !s.has[ch] || !o.has[ch] {
			continue
		}
		d.has[ch], d.levels[ch], d.nyquist[ch] = true, s.levels[ch], math.Min(s.nyquist[ch], o.nyquist[ch])
		k := explained(s, o, ch)
		d.sum[ch], d.noise[ch] = make([]complex128, nn), make([]float64, nn)
		for i := range d.sum[ch] {
			d.sum[ch][i] = s.sum[ch][i] - complex(k, 0)*o.sum[ch][i]
			d.noise[ch][i] = s.noise[ch][i] + float64(k*k)*o.noise[ch][i]
		}
	}
	d.weigh()
	return d
}

// explained is the k of contrast: the regression of s on o, each wave weighted by s's noise.
func explained(s, o *spectrum, ch int) float64 {
	shared, whole := 0.0, 0.0
	for ky := -n/2 + 1; ky < n/2; ky++ {
		for kx := -n/2 + 1; kx < n/2; kx++ {
			i := index(kx, ky)
			if kx == 0 && ky == 0 || mark.LatticeOf(kx, ky) != mark.Concept || s.noise[ch][i] <= 0 {
				continue
			}
			a, b := s.sum[ch][i], o.sum[ch][i]
			shared += (float64(real(a)*real(b)) + float64(imag(a)*imag(b))) / s.noise[ch][i]
			whole += power(b) / s.noise[ch][i]
		}
	}
	if whole == 0 {
		return 0
	}
	return math.Max(0, shared/whole)
}
