package s3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/filigrane/filigrane/internal/store"
)

// tidyTime is how long cleaning up after a failure may take, the caller's context being over perhaps.
const tidyTime = 30 * time.Second

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	if err := s.fenced(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	u := &upload{s: s, key: key, slots: make(chan struct{}, s.opt.Parts), token: rand.Text()}
	u.ctx, u.cancel = context.WithCancelCause(ctx)
	defer u.cancel(nil)
	err := write(u)
	if err != nil {
		err = fmt.Errorf("store: writing %s: %w", key, err)
	} else {
		err = u.publish()
	}
	if err != nil {
		u.abort()
	}
	return err
}

// upload is an object on its way: in memory up to PartSize, beyond that a multipart upload with up to Options.Parts parts
// under way and one being filled.
type upload struct {
	s      *Store
	ctx    context.Context
	cancel context.CancelCauseFunc // ends the parts under way when one failed
	key    string
	token  string
	id     string // "" as long as all is in buf
	buf    []byte

	slots chan struct{}
	wait  sync.WaitGroup
	mu    sync.Mutex
	parts []minio.CompletePart
	err   error // the first part's that failed; then others were broken off
	n     int   // parts sent
}

// Write implements io.Writer.
func (u *upload) Write(p []byte) (int, error) {
	size := int(u.s.opt.PartSize)
	written := 0
	for len(p) > 0 {
		if len(u.buf) == size {
			if err := u.send(); err != nil {
				return written, err
			}
			u.buf = (*u.s.buffers.Get().(*[]byte))[:0]
		}
		n := min(len(p), size-len(u.buf))
		if len(u.buf)+n > cap(u.buf) {
			grown := make([]byte, len(u.buf), min(size, max(64<<10, 2*cap(u.buf), len(u.buf)+n)))
			copy(grown, u.buf)
			u.buf = grown
		}
		u.buf = append(u.buf, p[:n]...)
		p = p[n:]
		written += n
	}
	return written, nil
}

// send sends the buffer as a part and gives it away.
func (u *upload) send() error {
	if u.id == "" {
		if err := u.initiate(); err != nil {
			return err
		}
	}
	if u.n == maxParts {
		return fmt.Errorf("store: writing %s: over %d parts of %d bytes: use larger parts", u.key, maxParts, u.s.opt.PartSize)
	}
	select {
	case u.slots <- struct{}{}:
	case <-u.ctx.Done():
		return context.Cause(u.ctx)
	}
	u.n++
	n, data := u.n, u.buf
	u.buf = nil
	u.wait.Go(func() {
		defer func() { <-u.slots }()
		part, first, err := u.put(n, data)
		u.mu.Lock()
		defer u.mu.Unlock()
		if err != nil {
			if u.err == nil {
				u.err = err
				u.cancel(err)
			}
			return
		}
		u.parts = append(u.parts, part)
		// After a failed try the connection that failed may still be reading from the buffer.
		if first && cap(data) == int(u.s.opt.PartSize) {
			u.s.buffers.Put(&data)
		}
	})
	return nil
}

// checksum is the header with which the server checks a body.
const checksum = "X-Amz-Checksum-Sha256"

func (u *upload) initiate() error {
	return u.s.try(u.ctx, "writing", u.key, func() (err error) {
		u.id, err = u.s.core.NewMultipartUpload(u.ctx, u.s.opt.Bucket, u.s.prefix+u.key, minio.PutObjectOptions{UserMetadata: map[string]string{
			"X-Amz-Checksum-Algorithm": "SHA256",
			metaPart:                   strconv.FormatInt(u.s.opt.PartSize, 10),
			metaToken:                  u.token,
		}})
		if err == nil && u.id == "" {
			err = errors.New("the server gave no upload id")
		}
		return err
	})
}

// put sends one part. first: it went through at the first try.
func (u *upload) put(n int, data []byte) (part minio.CompletePart, first bool, err error) {
	sum := sha256.Sum256(data)
	text := base64.StdEncoding.EncodeToString(sum[:])
	tries := 0
	err = u.s.try(u.ctx, "writing", u.key, func() error {
		tries++
		done, err := u.s.core.PutObjectPart(u.ctx, u.s.opt.Bucket, u.s.prefix+u.key, u.id, n, bytes.NewReader(data), int64(len(data)), minio.PutObjectPartOptions{
			Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true, CustomHeader: http.Header{checksum: {text}},
		})
		part = minio.CompletePart{PartNumber: n, ETag: done.ETag, ChecksumSHA256: text}
		return err
	})
	return part, tries == 1, err
}

// publish makes the object visible. This is the only place where it becomes so.
func (u *upload) publish() error {
	if u.id == "" {
		if err := u.s.fenced(); err != nil {
			return err
		}
		_, err := u.s.putOnce(u.ctx, u.key, u.buf, nil)
		return err
	}
	err := u.send() // the last part, which is never empty
	u.wait.Wait()
	if u.err != nil {
		return u.err
	}
	if err != nil {
		return err
	}
	if err := u.s.fenced(); err != nil {
		return err
	}
	slices.SortFunc(u.parts, func(a, b minio.CompletePart) int { return cmp.Compare(a.PartNumber, b.PartNumber) })
	return u.s.try(u.ctx, "writing", u.key, u.complete)
}

// complete joins the parts, or finds that an earlier try did and its answer was lost.
func (u *upload) complete() error {
	_, err := u.s.core.CompleteMultipartUpload(u.ctx, u.s.opt.Bucket, u.s.prefix+u.key, u.id, u.parts, minio.PutObjectOptions{})
	var e minio.ErrorResponse
	if err == nil || !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case minio.NoSuchUpload:
		there, serr := u.s.stat(u.ctx, u.key)
		if serr == nil && there.UserMetadata[metaToken] == u.token {
			return nil
		}
		if serr != nil && passing(serr) {
			return serr
		}
		return final{fmt.Errorf("the upload is gone, and the object is not it: it was replaced since, or the upload was aborted as abandoned: %w", err)}
	case minio.InvalidPart:
		if rerr := u.relist(); rerr != nil {
			return rerr
		}
		return fmt.Errorf("an ETag of a part was wrong: %s", e.Message)
	}
	return err
}

// relist reads the ETags of the parts again, one of which was not received well.
func (u *upload) relist() error {
	after := 0
	for {
		page, err := u.s.core.ListObjectParts(u.ctx, u.s.opt.Bucket, u.s.prefix+u.key, u.id, after, 1000)
		if err != nil {
			return err
		}
		for _, p := range page.ObjectParts {
			if p.PartNumber < 1 || p.PartNumber > len(u.parts) {
				return final{fmt.Errorf("the server has a part %d of %d", p.PartNumber, len(u.parts))}
			}
			u.parts[p.PartNumber-1].ETag = p.ETag
		}
		if !page.IsTruncated || page.NextPartNumberMarker <= after {
			return nil
		}
		after = page.NextPartNumberMarker
	}
}

// abort forgets the upload. If that fails too, the upload is swept when it is old.
func (u *upload) abort() {
	u.cancel(errors.New("store: the upload was given up"))
	u.wait.Wait()
	if u.id == "" {
		return
	}
	broken := u.err != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), tidyTime)
	defer cancel()
	for _, wait := range [...]time.Duration{0, 250 * time.Millisecond, time.Second} {
		if u.s.opt.Sleep(ctx, wait) != nil {
			return
		}
		err := u.s.try(ctx, "aborting", u.key, func() error {
			return u.s.core.AbortMultipartUpload(ctx, u.s.opt.Bucket, u.s.prefix+u.key, u.id)
		})
		if gone(err) || !broken {
			return
		}
		// A part whose sending was broken off may still have been arriving, and outlive the abort.
	}
}

// gone tells whether the server knows no such upload.
func gone(err error) bool {
	var e minio.ErrorResponse
	return errors.As(err, &e) && e.Code == minio.NoSuchUpload
}

// condition is what must hold for a PUT to be carried out; nil for none.
type condition struct {
	absent bool   // nothing may be there
	etag   string // this must be there
}

// putOnce writes an object with one request. If a condition does not hold the server's answer is 412, which may also
// mean that an earlier try was carried out. etag is what the server says the object has now.
func (s *Store) putOnce(ctx context.Context, key string, data []byte, when *condition) (etag string, err error) {
	sum := sha256.Sum256(data)
	err = s.try(ctx, "writing", key, func() error {
		opt := minio.PutObjectOptions{DisableContentSha256: true,
			UserMetadata: map[string]string{checksum: base64.StdEncoding.EncodeToString(sum[:])}}
		switch {
		case when != nil && when.absent:
			opt.SetMatchETagExcept("*")
		case when != nil:
			opt.SetMatchETag(when.etag)
		}
		info, err := s.core.PutObject(ctx, s.opt.Bucket, s.prefix+key, bytes.NewReader(data), int64(len(data)), "", hex.EncodeToString(sum[:]), opt)
		etag = info.ETag
		return err
	})
	return etag, err
}

// Sweep aborts uploads that were begun more than age ago, of whatever process, and says how many.
func (s *Store) Sweep(ctx context.Context, age time.Duration) (int, error) {
	swept := 0
	keyMarker, idMarker := "", ""
	for {
		var page minio.ListMultipartUploadsResult
		err := s.try(ctx, "listing unfinished uploads of", "", func() (err error) {
			page, err = s.core.ListMultipartUploads(ctx, s.opt.Bucket, s.prefix, keyMarker, idMarker, "", 1000)
			return err
		})
		if err != nil {
			return swept, err
		}
		for _, u := range page.Uploads {
			if s.opt.Now().Sub(u.Initiated) < age {
				continue
			}
			err := s.try(ctx, "aborting the upload of", u.Key, func() error {
				return s.core.AbortMultipartUpload(ctx, s.opt.Bucket, u.Key, u.UploadID)
			})
			if err != nil && !gone(err) {
				return swept, err
			}
			swept++
		}
		if !page.IsTruncated || page.NextKeyMarker == keyMarker && page.NextUploadIDMarker == idMarker {
			return swept, nil
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
