package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
)

// small is the size up to which Open reads the object: reading cannot fail any more then, and a connection is not
// held. In bytes.
const small = 256 << 10

// reader reads one object, going on where a broken connection ended.
type reader struct {
	c      *client
	ctx    context.Context
	key    string
	etag   string
	size   int64
	sum    string // what the server calls x-amz-checksum-sha256
	pos    int64
	body   io.ReadCloser // nil when a request must be sent
	check  *check        // nil when the server knows no sum to compare with
	failed int           // failures since the last byte
	err    error
}

// open reads the head of an object, and all of a small one.
func (c *client) open(ctx context.Context, key string) (io.ReadCloser, error) {
	r := &reader{c: c, ctx: ctx, key: key}
	var whole []byte
	err := c.try(ctx, "opening", key, func() error {
		if err := r.start(); err != nil || r.size > small {
			return err
		}
		defer r.drop()
		whole = make([]byte, r.size)
		if _, err := io.ReadFull(r.body, whole); err != nil {
			return fmt.Errorf("%d bytes were announced: %w", r.size, err)
		}
		return r.check.add(whole).compare()
	})
	if err != nil {
		return nil, err
	}
	if r.size <= small {
		return io.NopCloser(bytes.NewReader(whole)), nil
	}
	return r, nil
}

// start sends the first request.
func (r *reader) start() error {
	body, info, _, err := r.c.core.GetObject(r.ctx, r.c.opt.Bucket, r.c.prefix+r.key, minio.GetObjectOptions{Checksum: true})
	if err != nil {
		return err
	}
	if info.Size < 0 {
		body.Close()
		return final{errors.New("the server does not say how many bytes the object has")}
	}
	r.body, r.etag, r.size, r.sum = body, info.ETag, info.Size, info.ChecksumSHA256
	r.check = newCheck(info)
	return nil
}

// Read implements io.Reader. It returns io.EOF only when every byte was read and compared.
func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.err != nil {
			return 0, r.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if r.pos == r.size {
			r.err = r.finish()
			continue
		}
		if r.body == nil {
			if err := r.resume(); err != nil {
				r.err = r.c.explain("reading", r.key, err)
				continue
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.size-r.pos)])
		r.check.add(p[:n])
		r.pos += int64(n)
		if n > 0 {
			r.failed = 0
			return n, nil
		}
		if err != nil {
			r.drop()
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			if err := r.c.pause(r.ctx, r.failed, fmt.Errorf("broken off after %d of %d bytes: %w", r.pos, r.size, err)); err != nil {
				r.err = r.c.explain("reading", r.key, err)
			}
			r.failed++
		}
	}
}

// resume asks for the rest of the same object.
func (r *reader) resume() error {
	return r.c.try(r.ctx, "reading", r.key, func() error {
		opt := minio.GetObjectOptions{Checksum: true}
		if err := errors.Join(opt.SetRange(r.pos, r.size-1), opt.SetMatchETag(r.etag)); err != nil {
			return final{err}
		}
		body, info, header, err := r.c.core.GetObject(r.ctx, r.c.opt.Bucket, r.c.prefix+r.key, opt)
		if answered(err, http.StatusPreconditionFailed) || answered(err, http.StatusNotFound) {
			return r.same(err)
		}
		if err != nil {
			return err
		}
		// A server that ignores Range begins with the first byte again.
		from := header.Get("Content-Range")
		if !strings.HasPrefix(from, fmt.Sprintf("bytes %d-%d/", r.pos, r.size-1)) || info.Size > r.size-r.pos {
			body.Close()
			return final{fmt.Errorf("bytes %d to %d were asked for and %q given: this server cannot go on with an object", r.pos, r.size-1, from)}
		}
		r.body = body
		return nil
	})
}

// same finds out whether the object under the key is still the one that was opened, though its ETag is another. Only
// the sum can tell.
func (r *reader) same(failure error) error {
	now, err := r.c.stat(r.ctx, r.key)
	if err != nil && !answered(err, http.StatusNotFound) {
		return err
	}
	if err != nil || r.sum == "" || now.ChecksumSHA256 != r.sum || now.ETag == r.etag {
		return final{fmt.Errorf("the object was replaced or deleted while it was read; open it again (%w)", failure)}
	}
	r.etag = now.ETag
	return errors.New("the ETag of the object was wrong")
}

// finish compares the sum. Where too few bytes were announced, the rest is read.
func (r *reader) finish() error {
	r.drop()
	bad := r.check.compare()
	if bad == nil {
		return io.EOF
	}
	var now minio.ObjectInfo
	err := r.c.try(r.ctx, "reading", r.key, func() (err error) {
		now, err = r.c.stat(r.ctx, r.key)
		return err
	})
	if err == nil && now.ChecksumSHA256 == r.sum && now.Size > r.size {
		r.size, r.etag = now.Size, now.ETag
		return nil
	}
	return r.c.explain("reading", r.key, bad)
}

func (c *client) stat(ctx context.Context, key string) (minio.ObjectInfo, error) {
	return c.core.StatObject(ctx, c.opt.Bucket, c.prefix+key, minio.StatObjectOptions{Checksum: true})
}

func (r *reader) drop() {
	if r.body != nil {
		_ = r.body.Close()
		r.body = nil
	}
}

// Close implements io.Closer.
func (r *reader) Close() error {
	r.drop()
	r.err = errors.New("store: reading " + r.key + " after Close")
	return nil
}

// check compares what is read with the server's SHA-256. Of an object that came in parts the server knows the SHA-256 of
// the parts' SHA-256s; the size of the parts is then in the object's metadata.
type check struct {
	want    string
	part    int64 // bytes of a part; 0: the sum is over the whole
	current hash.Hash
	n       int64  // bytes in current
	done    []byte // sums of finished parts
}

// Metadata of objects that were uploaded in parts.
const (
	metaPart  = "Filigrane-Part"  // bytes of every part but the last
	metaToken = "Filigrane-Token" // tells this upload from every other
)

func newCheck(info minio.ObjectInfo) *check {
	sum, _, parts := strings.Cut(info.ChecksumSHA256, "-")
	if len(sum) != base64.StdEncoding.EncodedLen(sha256.Size) {
		return nil
	}
	k := &check{want: sum, current: sha256.New()}
	if parts {
		var err error
		if k.part, err = strconv.ParseInt(info.UserMetadata[metaPart], 10, 64); err != nil || k.part < 1 {
			return nil
		}
	}
	return k
}

func (k *check) add(p []byte) *check {
	if k == nil {
		return nil
	}
	for k.part > 0 && k.n+int64(len(p)) > k.part {
		n := k.part - k.n
		k.current.Write(p[:n])
		p = p[n:]
		k.done = k.current.Sum(k.done)
		k.current.Reset()
		k.n = 0
	}
	k.current.Write(p)
	k.n += int64(len(p))
	return k
}

func (k *check) compare() error {
	if k == nil {
		return nil
	}
	sum := k.current.Sum(nil)
	if k.part > 0 {
		all := sha256.Sum256(append(k.done, sum...))
		sum = all[:]
	}
	if got := base64.StdEncoding.EncodeToString(sum); got != k.want {
		return fmt.Errorf("the bytes that arrived have the SHA-256 %s, the object has %s", got, k.want)
	}
	return nil
}
