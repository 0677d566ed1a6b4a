package detect

import (
	"image"

	"github.com/filigrane/filigrane/mark"
)

// Null measures what chance does: the statistic of one unmarked picture under keys that were never
// embedded. It is how the bound is shown to hold on real material.
type Null struct {
	reader *Reader
	vector *vector
}

// NewNull reduces a picture, at the declared resolution R, to its concept vector at the upright alignment.
// It panics on pictures below MinSide.
func NewNull(p *mark.Profile, img image.Image, resolution int) *Null {
	r := &Reader{profile: p, opt: Options{Resolution: resolution}}
	m := newMaterial(img)
	if min(m.w, m.h) < MinSide {
		panic("detect: null of a picture that is too small")
	}
	cell := mark.CellSize * float64(min(m.w, m.h)) / float64(resolution)
	s := newFolder().fold([]*material{m}, []float64{cell}, false)
	return &Null{r, r.vector(s, mark.Concept, Alignment{})}
}

// T returns the statistic of concept 1 under decoy key number i of a seed: one (image, fresh key) test.
func (n *Null) T(seed []byte, i int) float64 {
	k := decoyKey(seed, i).Lattice(mark.Concept)
	return n.vector.t(mark.OneCodeword(n.reader.profile, mark.Concept, k, n.reader.profile.ConceptCodeword(1)))
}
