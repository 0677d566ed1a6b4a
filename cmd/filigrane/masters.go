package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/s3"
)

// masters are the bank's originals, which are only read: a folder, or a bucket.
type masters struct {
	delivery.Source
	io.Closer
	folder string // "" for a bucket
}

// masters opens the place where the bank's masters lie.
func (r *records) masters(s *session) (*masters, error) {
	where, err := r.reg.Masters(s.ctx, r.scope)
	if err != nil {
		return nil, err
	}
	if where == "" {
		return nil, badInput("there are no masters yet: run 'filigrane import' first")
	}
	return s.mastersAt(where)
}

func (s *session) mastersAt(where string) (*masters, error) {
	if !inBucket(where) {
		if err := mastersFolder(where); err != nil {
			return nil, err
		}
		return &masters{delivery.Folder(os.DirFS(where)), io.NopCloser(nil), where}, nil
	}
	opt, err := s.bucket(where)
	if err != nil {
		return nil, err
	}
	b, err := s3.OpenBucket(s.ctx, opt)
	if err != nil {
		return nil, placeError(err)
	}
	return &masters{fromBucket(b), b, ""}, nil
}

// mastersFolder refuses a folder of masters that is not there, or empty as the place of a disk that is not mounted: each
// master would seem to be gone.
func mastersFolder(where string) error {
	err := isFolder(where)
	if err == nil {
		var entries []string
		var f *os.File
		if f, err = os.Open(where); err == nil {
			entries, err = f.Readdirnames(1)
			f.Close()
		}
		if len(entries) == 0 && (err == nil || errors.Is(err, io.EOF)) {
			err = errors.New("it is empty")
		}
	}
	if err != nil {
		return badInput("the masters' folder %s cannot be used: %w; is its disk mounted on this machine? If the masters lie elsewhere by now, run 'filigrane import' there", where, err)
	}
	return nil
}

// fromBucket gives the masters that lie in a bucket under the paths of the catalogue.
func fromBucket(b store.Bucket) delivery.Source {
	return func(ctx context.Context, w concepts.Work) (io.ReadCloser, error) {
		r, err := b.Open(ctx, w.Path)
		if errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		}
		return r, err
	}
}

// picture reads and decodes a master, within the limits.
func (m *masters) picture(ctx context.Context, w concepts.Work) (*raster.Picture, error) {
	if m.folder != "" {
		return raster.DecodeFile(filepath.Join(m.folder, filepath.FromSlash(w.Path)), raster.DefaultLimits())
	}
	data, err := m.read(ctx, w)
	if err != nil {
		return nil, err
	}
	return raster.Decode(data, raster.DefaultLimits())
}

// read gives the bytes of a master. Errors are of package raster; raster.Decode refuses what is too long.
func (m *masters) read(ctx context.Context, w concepts.Work) (data []byte, err error) {
	r, err := m.Source(ctx, w)
	if err == nil {
		defer r.Close()
		data, err = io.ReadAll(io.LimitReader(r, raster.DefaultLimits().MaxBytes+1))
	}
	if err != nil {
		return nil, &raster.Error{Kind: raster.KindUnreadable, Path: w.Path, Detail: "the master cannot be read where the masters lie", Err: err}
	}
	return data, nil
}
