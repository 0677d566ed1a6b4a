package main

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/internal/store/s3"
)

// placeHelp explains where deliveries may be.
const placeHelp = `A delivery lies in a folder, or in a bucket of any S3-compatible storage: s3://bucket/prefix?endpoint=https://host:port&region=name&style=path. What the address leaves out comes from AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) and AWS_REGION; credentials from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, never from the address; AWS_CA_BUNDLE names a file of authorities for https. The credentials must allow to list, read, write and delete below the prefix. A run that was killed holds its lock for half a minute more.`

// place is a store that can be closed.
type place interface {
	store.Store
	io.Closer
}

// inBucket says whether a place is a bucket's address.
func inBucket(where string) bool { return strings.HasPrefix(where, "s3://") }

// absolute gives the name by which a place is kept: that of a folder, or the bucket's address in full, without
// credentials.
func (s *session) absolute(where string) (string, error) {
	if !inBucket(where) {
		return filepath.Abs(where)
	}
	opt, err := s.bucket(where)
	if err != nil {
		return "", err
	}
	return opt.String(), nil
}

// place opens a folder or a bucket for writing; the folder is made if need be, the bucket is not.
func (s *session) place(ctx context.Context, where string) (place, error) {
	if !inBucket(where) {
		return dir.Open(where)
	}
	opt, err := s.bucket(where)
	if err != nil {
		return nil, err
	}
	if opt.PlainText() {
		s.note("warning: the way to %s is not encrypted; use https", opt.Endpoint)
	}
	return s3.Open(ctx, opt)
}

// existing opens a place without creating it.
func (s *session) existing(ctx context.Context, where string) (place, error) {
	if !inBucket(where) {
		if err := isFolder(where); err != nil {
			return nil, err
		}
	}
	return s.place(ctx, where)
}

// glance opens a place that may be away, and does not wait long for it.
func (s *session) glance(ctx context.Context, where string) (place, error) {
	if !inBucket(where) {
		return s.existing(ctx, where)
	}
	opt, err := s.bucket(where)
	if err != nil {
		return nil, err
	}
	opt.Tries, opt.Stall = 2, 5*time.Second
	return s3.Open(ctx, opt)
}

// untilUnlocked calls do again, for as long as wait says, while another run holds the place.
func (s *session) untilUnlocked(ctx context.Context, wait time.Duration, where string, do func() error) error {
	const pause = time.Second
	for told := false; ; told = true {
		err := do()
		if wait -= pause; !errors.Is(err, store.ErrLocked) || wait < 0 {
			return err
		}
		if !told {
			s.note("another run holds %s; waiting for it", where)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// bucket completes a bucket's address from the environment.
func (s *session) bucket(where string) (s3.Options, error) {
	opt, err := s3.ParseURL(where)
	if err != nil {
		return opt, inputError{err}
	}
	first := func(names ...string) string {
		for _, name := range names {
			if v, ok := s.env(name); ok && v != "" {
				return v
			}
		}
		return ""
	}
	if opt.Endpoint == "" {
		opt.Endpoint = first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
	}
	if opt.Region == "" {
		opt.Region = first("AWS_REGION", "AWS_DEFAULT_REGION")
	}
	opt.AccessKey, opt.SecretKey = first("AWS_ACCESS_KEY_ID"), s3.Secret(first("AWS_SECRET_ACCESS_KEY"))
	opt.SessionToken = s3.Secret(first("AWS_SESSION_TOKEN"))
	if (opt.AccessKey == "") != (opt.SecretKey == "") {
		return opt, badInput("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: one of them is not set")
	}
	if file := first("AWS_CA_BUNDLE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return opt, badInput("AWS_CA_BUNDLE: %w", err)
		}
		if opt.RootCAs = x509.NewCertPool(); !opt.RootCAs.AppendCertsFromPEM(pem) {
			return opt, badInput("AWS_CA_BUNDLE: no certificate in %s", file)
		}
	}
	return opt, nil
}
