package detect

import (
	"sync"

	"github.com/filigrane/filigrane/mark"
)

// Readers are the readers of one delivery whose pictures have several resolutions, each made when it is first asked for.
// Goroutines may share them.
type Readers struct {
	profile *mark.Profile
	keys    mark.Keys
	opt     Options

	mu  sync.Mutex
	byR map[int]*Reader
}

// NewReaders prepares readers as NewReader makes them, but for the resolution.
func NewReaders(p *mark.Profile, ks mark.Keys, opt Options) *Readers {
	return &Readers{profile: p, keys: ks, opt: opt, byR: make(map[int]*Reader)}
}

// At gives the reader at a resolution. It panics where NewReader does.
func (r *Readers) At(resolution int) *Reader {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byR[resolution] == nil {
		opt := r.opt
		opt.Resolution = resolution
		r.byR[resolution] = NewReader(r.profile, r.keys, opt)
	}
	return r.byR[resolution]
}
