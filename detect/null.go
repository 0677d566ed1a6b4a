package detect

import (
	"fmt"
	"image"

	"github.com/filigrane/filigrane/mark"
)

// Null measures what chance does: the statistic of pictures, one or several folded together, under keys that were
// never embedded. It is how the bound is shown to hold on real material.
type Null struct {
	reader *Reader
	vector *vector
}

// NewNull folds pictures, each at the declared resolution R, and takes their concept vector at the upright
// alignment. It panics without pictures; an error names one below MinSide.
func NewNull(p *mark.Profile, resolution int, imgs ...image.Image) (*Null, error) {
	if len(imgs) == 0 {
		panic("detect: a null of no picture")
	}
	ms, err := materials(imgs)
	if err != nil {
		return nil, fmt.Errorf("null: %w", err)
	}
	frames := make([]frame, len(ms))
	for i, m := range ms {
		frames[i] = square(mark.CellSize * float64(min(m.w, m.h)) / float64(resolution))
	}
	r := &Reader{profile: p, opt: Options{Resolution: resolution}}
	return &Null{r, r.vector(newFolder().fold(ms, frames, false), mark.Concept, Alignment{})}, nil
}

// T returns the statistic of concept 1 under decoy key number i of a seed: one (material, fresh key) test.
func (n *Null) T(seed []byte, i int) float64 {
	return n.Of(mark.OneCodeword(n.reader.profile, mark.Concept, decoyKey(seed, i).Lattice(mark.Concept), n.reader.profile.ConceptCodeword(1)))
}

// Of returns the statistic of one codeword of the concept lattice.
func (n *Null) Of(word mark.Codeword) float64 { return n.vector.t(word) }
