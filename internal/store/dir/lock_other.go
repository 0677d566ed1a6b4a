//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/filigrane/filigrane/internal/store"
)

const noWait = 0

// Lock implements store.Store by creating a file. Without flock(2) a killed process leaves it behind: the error
// says which file to delete by hand. Nothing is guessed about processes that may still run.
func (s *Store) Lock(ctx context.Context, name string) (func() error, error) {
	if err := store.CheckKey(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.root.Mkdir(private, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, full(err, "locking "+name)
	}
	file := path.Join(private, "lock-"+strings.ReplaceAll(name, "/", "~"))
	f, err := s.root.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: lock %s of %s; if no other process runs, delete %s", store.ErrLocked, name, s.path, file)
	}
	if err != nil {
		return nil, full(err, "locking "+name)
	}
	if err := f.Close(); err != nil {
		return nil, full(err, "locking "+name)
	}
	return func() error {
		err := s.root.Remove(file)
		s.tidy(private)
		return err
	}, nil
}

func (s *Store) temporary() (*os.File, error) {
	if err := s.root.Mkdir(private, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return s.root.OpenFile(path.Join(private, "tmp-"+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }
