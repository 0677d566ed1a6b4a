package delivery

import (
	"context"

	"golang.org/x/sync/semaphore"

	"github.com/filigrane/filigrane/internal/raster"
)

// Room is what makings of one process share: how many pictures are worked on at once, and how much memory they take.
// Goroutines may share it.
type Room struct {
	pictures, memory *semaphore.Weighted
	most             int64 // of memory
}

// NewRoom gives room for so many pictures at once, and so many bytes of decoded masters with what marking them takes.
// It panics if either is below 1.
func NewRoom(pictures int, memory int64) *Room {
	if pictures < 1 || memory < 1 {
		panic("delivery: a room for nothing")
	}
	return &Room{semaphore.NewWeighted(int64(pictures)), semaphore.NewWeighted(memory), memory}
}

// enter waits until one more picture may be worked on. The error is ctx's.
func (r *Room) enter(ctx context.Context) (leave func(), err error) {
	if err := r.pictures.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return func() { r.pictures.Release(1) }, nil
}

// decode waits until so many bytes may be taken; more than there are in all wait until nobody else takes any. Who waits
// holds no memory of this kind, so none waits for ever. The error is ctx's.
func (r *Room) decode(ctx context.Context, bytes int64) (leave func(), err error) {
	bytes = min(bytes, r.most)
	if err := r.memory.Acquire(ctx, bytes); err != nil {
		return nil, err
	}
	return func() { r.memory.Release(bytes) }, nil
}

// What a master takes while it is worked on, in bytes a pixel. Decoding: package raster says up to 15 for a progressive JPEG;
// of a baseline one of 12 megapixels that was scaled down, 11 were measured. Marking: host, marked picture, the one read back
// and their planes are there at once; of the same master at its own size, decoding included, 33 were measured. Both with
// what the garbage collector lets grow.
const (
	decodingBytesAPixel = 16
	markingBytesAPixel  = 40
)

// weight estimates what a master takes, in bytes, of its header. One that has none is refused before it takes any.
func (m *marker) weight(file []byte) int64 {
	h, err := raster.ReadHeader(file, m.spec.Limits)
	if err != nil {
		return 0
	}
	g, pixels := m.spec.Geometry, int64(h.Width)*int64(h.Height)
	if g.Square || g.Buckets {
		return int64(len(file)) + decodingBytesAPixel*pixels + markingBytesAPixel*int64(g.Resolution)*int64(g.Resolution)
	}
	return int64(len(file)) + markingBytesAPixel*pixels
}
