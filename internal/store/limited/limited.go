// Package limited slows the reading of a bucket down: to so many requests and so many bytes a second, for a bucket that
// serves others meanwhile, or is paid by the request. It keeps the promises of the bucket below it.
//
// What counts: a request is an Open, a Stat, or each thousand objects that Each passes on, as S3 lists them by the thousand; a
// driver's own repetitions after an error are not seen here. Bytes are those that were read; what a driver reads ahead is at
// most what its buffers hold. After a rest a second's worth may pass at once, and no more.
//
// Concurrency: all goroutines share one rate. Who waits for his turn stops when his context ends, with its error.
package limited

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"golang.org/x/time/rate"

	"github.com/filigrane/filigrane/internal/store"
)

// Limits of a bucket; 0 means none. Requests may be a fraction: 0.5 is one in two seconds.
type Limits struct {
	RequestsPerSecond float64
	BytesPerSecond    int64
}

// Check returns an error that says what is wrong with the limits.
func (l Limits) Check() error {
	if l.RequestsPerSecond < 0 || l.BytesPerSecond < 0 || math.IsNaN(l.RequestsPerSecond) || math.IsInf(l.RequestsPerSecond, 0) {
		return fmt.Errorf("limited: %v requests and %d bytes a second: give numbers above 0, or 0 for no limit", l.RequestsPerSecond, l.BytesPerSecond)
	}
	return nil
}

// Bucket is a bucket behind limits.
type Bucket struct {
	below    store.Bucket
	requests *rate.Limiter
	bytes    *rate.Limiter
}

var _ store.Bucket = (*Bucket)(nil)

// New puts limits before a bucket. It panics where Limits.Check would return an error.
func New(below store.Bucket, l Limits) *Bucket {
	if err := l.Check(); err != nil {
		panic(err.Error())
	}
	b := &Bucket{below: below, requests: rate.NewLimiter(rate.Inf, 0), bytes: rate.NewLimiter(rate.Inf, 0)}
	if l.RequestsPerSecond > 0 {
		b.requests = rate.NewLimiter(rate.Limit(l.RequestsPerSecond), max(1, int(min(l.RequestsPerSecond, 1e6))))
	}
	if l.BytesPerSecond > 0 {
		b.bytes = rate.NewLimiter(rate.Limit(l.BytesPerSecond), int(min(l.BytesPerSecond, maxBurst)))
	}
	return b
}

// String names the bucket below.
func (b *Bucket) String() string { return fmt.Sprint(b.below) }

// maxBurst bounds the bytes that pass at once after a rest.
const maxBurst = 64 << 20

// perListing is how many objects one request lists.
const perListing = 1000

// Each implements store.Bucket.
func (b *Bucket) Each(ctx context.Context, prefix, after string, fn func(store.Object) error) error {
	n := 0
	if err := b.requests.Wait(ctx); err != nil {
		return ended(ctx, err)
	}
	return b.below.Each(ctx, prefix, after, func(o store.Object) error {
		if n++; n%perListing == 0 {
			if err := b.requests.Wait(ctx); err != nil {
				return ended(ctx, err)
			}
		}
		return fn(o)
	})
}

// Open implements store.Bucket.
func (b *Bucket) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := b.requests.Wait(ctx); err != nil {
		return nil, ended(ctx, err)
	}
	r, err := b.below.Open(ctx, key)
	if err != nil || b.bytes.Limit() == rate.Inf {
		return r, err
	}
	return &reader{ctx, r, b.bytes}, nil
}

// Stat looks at one object, if the bucket below can; else the error is errors.ErrUnsupported.
func (b *Bucket) Stat(ctx context.Context, key string) (store.Object, error) {
	below, can := b.below.(interface {
		Stat(context.Context, string) (store.Object, error)
	})
	if !can {
		return store.Object{}, errors.ErrUnsupported
	}
	if err := b.requests.Wait(ctx); err != nil {
		return store.Object{}, ended(ctx, err)
	}
	return below.Stat(ctx, key)
}

// ended prefers the context's own error to the limiter's, which says in advance that the deadline would be missed.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("limited: %w", err)
}

// reader pays for bytes after it got them.
type reader struct {
	ctx context.Context
	io.ReadCloser
	bytes *rate.Limiter
}

// Read implements io.Reader: it waits for its turn after reading.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p[:min(len(p), r.bytes.Burst())])
	if n > 0 {
		if waited := r.bytes.WaitN(r.ctx, n); waited != nil {
			return n, ended(r.ctx, waited)
		}
	}
	return n, err
}
