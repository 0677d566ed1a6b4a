// Package s3 keeps objects in a bucket of any S3-compatible server.
//
// # How the promises of package store are kept
//
// Durable: as far as the server's answer means it is; what an answer is worth is the server's promise.
//
// Atomic: an object of up to Options.PartSize bytes is one PUT with its SHA-256 computed before, a larger
// one a multipart upload, each part with its SHA-256, that nobody sees until it is completed. The server checks the
// sums and refuses what arrived differently. A failed Put aborts its upload; those of killed processes are
// aborted by the next Lock once they are Options.Abandoned old (Sweep does it at any time).
//
// Consistent: as far as the server is. Amazon's, MinIO and versitygw are; with a server that lists late, Each
// and List can miss what was put a moment ago. Nothing in this package relies on a listing.
//
// May run twice: every request is repeated, with growing random waits, when its connection or the server failed.
// A request that failed for the caller may still be carried out by the server, also after a later one: keys that are
// written with different contents by different processes need a Lock, keys named by content do not. A conditional
// or multipart request whose answer was lost is settled by reading what is there: each carries a random token.
//
// Whole: a read ends with io.EOF only after as many bytes as the server announced. If the connection breaks before,
// reading goes on from there with If-Match, so a replaced object gives an error and never a mixture. Objects that
// were written by this package are compared with their SHA-256 at the end, those of others if the server
// knows the SHA-256 of the whole. Objects of up to 256 KiB are read and compared in Open.
//
// # Locks
//
// A lock is a small object, written on the condition that none is there (If-None-Match: *) or that it is still the one
// that was read (If-Match), and renewed every third of Options.Lease. It ends when it is released, or when it was not
// renewed for Options.Lease and two seconds more, by the server's own clock (Date less Last-Modified), so
// after a killed holder the next one waits that long. A holder that could not renew for Options.Lease, by its own
// monotonic clock and counted from before its last renewal was sent, considers the lock lost: Put and Delete of its
// Store then fail until release. That leaves one gap, as with every lease: a process halted between that check and the
// arrival of its request writes after the next holder began. Each taking of a lock increases its number (fence),
// which is in the lock object. A server that ignores the conditions is found out and refused.
//
// Trust: the server, and whoever has its keys, can lose, swap or delay objects; it can end a lock. Credentials go
// nowhere but into signatures; plain http is for servers on the same machine or wire.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/filigrane/filigrane/internal/store"
)

// Store keeps objects under a prefix of a bucket.
type Store struct {
	client
	mu      sync.Mutex
	held    map[*lock]struct{}
	obeys   bool // the server was seen to honour conditions
	buffers sync.Pool
}

// Bucket reads a prefix of a bucket that others filled. It sends GET and HEAD requests only.
type Bucket struct{ client }

var (
	_ store.Store  = (*Store)(nil)
	_ store.Bucket = (*Bucket)(nil)
)

// client is what both share: requests to one bucket, repeated until they succeed.
type client struct {
	opt       Options
	prefix    string // "" or ends in "/"
	core      minio.Core
	transport *http.Transport
}

// Open opens a prefix of a bucket as a store. The bucket must be there. Close the Store after use.
func Open(ctx context.Context, opt Options) (*Store, error) {
	if err := opt.check(); err != nil {
		return nil, err
	}
	if opt.Prefix != "" {
		if err := store.CheckKey(opt.Prefix); err != nil {
			return nil, fmt.Errorf("store: the prefix in %s: %w", opt, err)
		}
	}
	s := &Store{held: map[*lock]struct{}{}}
	if err := s.connect(ctx, opt); err != nil {
		return nil, err
	}
	s.buffers.New = func() any { b := make([]byte, 0, s.opt.PartSize); return &b }
	return s, nil
}

// OpenBucket opens a prefix of a bucket for reading. Close the Bucket after use.
func OpenBucket(ctx context.Context, opt Options) (*Bucket, error) {
	b := &Bucket{}
	if err := b.connect(ctx, opt); err != nil {
		return nil, err
	}
	return b, nil
}

// connect checks the options and that the bucket is there and may be used.
func (c *client) connect(ctx context.Context, opt Options) error {
	opt, err := opt.complete()
	if err != nil {
		return err
	}
	at, err := url.Parse(opt.Endpoint)
	if err != nil {
		panic("s3: complete let an endpoint pass that does not parse")
	}
	c.opt = opt
	c.transport = newTransport(opt)
	if opt.Prefix != "" {
		c.prefix = opt.Prefix + "/"
	}
	m, err := minio.New(at.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(opt.AccessKey, string(opt.SecretKey), string(opt.SessionToken)),
		Secure:       at.Scheme == "https",
		Transport:    c.transport,
		Region:       opt.Region,
		BucketLookup: opt.Style.lookup(),
		MaxRetries:   1, // see retry.go
	})
	if err != nil {
		return fmt.Errorf("store: %s: %w", opt, err)
	}
	c.core = minio.Core{Client: m}
	return c.try(ctx, "opening", "", func() error {
		ok, err := m.BucketExists(ctx, opt.Bucket)
		if err == nil && !ok {
			return minio.ErrorResponse{StatusCode: http.StatusNotFound, Code: minio.NoSuchBucket, Message: "there is no such bucket"}
		}
		return err
	})
}

// Close ends the use of the bucket. Locks must have been released before.
func (c *client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// String names the bucket and prefix; it holds no secret.
func (c *client) String() string { return c.opt.String() }

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	return store.Keys(ctx, s, prefix)
}

// Each implements store.Store. Objects whose names are no keys are not shown: they are not the store's.
func (s *Store) Each(ctx context.Context, prefix, after string, fn func(store.Object) error) error {
	return s.each(ctx, prefix, after, func(key string, o minio.ObjectInfo) error {
		if store.CheckKey(key) != nil {
			return nil
		}
		return fn(store.Object{Key: key, Size: o.Size, Modified: o.LastModified})
	})
}

// Each implements store.Bucket. Keys are refused that no request can name and objects that must be restored from an
// archive first.
func (b *Bucket) Each(ctx context.Context, prefix, after string, fn func(store.Object) error) error {
	return b.each(ctx, prefix, after, func(key string, o minio.ObjectInfo) error {
		return fn(store.Object{Key: key, Size: o.Size, Modified: o.LastModified, Refused: refused(b.prefix+key, o.StorageClass)})
	})
}

// Open implements store.Bucket.
func (b *Bucket) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if why := refused(b.prefix+key, ""); why != "" {
		return nil, fmt.Errorf("store: opening %q: %s", key, why)
	}
	return b.open(ctx, key)
}

// Open implements store.Store. The reader ends when ctx does.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := store.CheckKey(key); err != nil {
		return nil, err
	}
	return s.open(ctx, key)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	if err := s.fenced(); err != nil {
		return err
	}
	err := s.try(ctx, "deleting", key, func() error {
		return s.core.RemoveObject(ctx, s.opt.Bucket, s.prefix+key, minio.RemoveObjectOptions{})
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// each lists objects a page of 1,000 at a time, keys without the prefix. A failed page is asked for again from the last key.
func (c *client) each(ctx context.Context, prefix, after string, fn func(key string, o minio.ObjectInfo) error) error {
	last := ""
	if after != "" {
		last = c.prefix + after
	}
	for failed := 0; ; failed++ {
		var failure, stop error
		opt := minio.ListObjectsOptions{Prefix: c.prefix + prefix, Recursive: true, StartAfter: last, FetchOwner: new(bool)}
		for o := range c.core.ListObjectsIter(ctx, c.opt.Bucket, opt) {
			if failure = o.Err; failure != nil {
				break
			}
			key, ours := strings.CutPrefix(o.Key, c.prefix)
			if o.Key == last || !ours {
				continue
			}
			if o.Key < last {
				return fmt.Errorf("store: %s lists %q after %q: the listing of this server is not in the order of bytes and cannot be used", c, o.Key, last)
			}
			last, failed = o.Key, 0
			if stop = fn(key, o); stop != nil {
				return stop
			}
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("store: listing %s: %w", c, err)
		}
		if failure == nil {
			return nil
		}
		if err := c.pause(ctx, failed, failure); err != nil {
			return c.explain("listing", prefix, err)
		}
	}
}

// maxName is the longest name S3 has, in bytes.
const maxName = 1024

// refused says why no request can read an object, "" if one can be tried.
func refused(name, class string) string {
	switch {
	case name == "":
		return "an empty key"
	case len(name) > maxName:
		return fmt.Sprintf("a key of %d bytes; S3 allows %d", len(name), maxName)
	case strings.ToValidUTF8(name, "") != name:
		return "a key that is not UTF-8"
	case class == "GLACIER" || class == "DEEP_ARCHIVE":
		return "archived (" + class + "); restore it first"
	}
	return ""
}

// PresignGet gives a URL that reads an object without credentials until expiry has passed (1 s to 7 days). Whoever has
// the URL has the object.
func (s *Store) PresignGet(ctx context.Context, key string, expiry time.Duration) (string, error) {
	return s.presign(ctx, http.MethodGet, key, expiry)
}

// PresignPut gives a URL that writes an object by PUT without credentials until expiry has passed (1 s to 7 days). What
// is written so carries no checksum of this package's.
func (s *Store) PresignPut(ctx context.Context, key string, expiry time.Duration) (string, error) {
	return s.presign(ctx, http.MethodPut, key, expiry)
}

func (s *Store) presign(ctx context.Context, method, key string, expiry time.Duration) (string, error) {
	if err := store.CheckKey(key); err != nil {
		return "", err
	}
	var signed *url.URL
	err := s.try(ctx, "signing a URL for", key, func() (err error) {
		signed, err = s.core.Presign(ctx, method, s.opt.Bucket, s.prefix+key, expiry, nil)
		return err
	})
	if err != nil {
		return "", err
	}
	return signed.String(), nil
}
