//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/filigrane/filigrane/internal/store"
)

const noWait = syscall.O_NONBLOCK

// Kinds of files in the private folder.
const (
	temporaryPrefix = "tmp-"
	lockPrefix      = "lock-"
)

// Lock implements store.Store by flock(2): the system ends it with the process, so there are no stale locks
// to detect. The file names the holder for people. Taking a lock sweeps what killed writers left.
func (s *Store) Lock(ctx context.Context, name string) (func() error, error) {
	if err := store.CheckKey(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file := path.Join(private, lockPrefix+strings.ReplaceAll(name, "/", "~"))
	f, err := s.hold(file, os.O_RDWR|os.O_CREATE)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: %s, lock %s of %s", store.ErrLocked, s.holder(file), name, s.path)
	}
	if err != nil {
		return nil, full(err, "locking "+name)
	}
	host, _ := os.Hostname()
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "process %d on %s", os.Getpid(), host)
	}
	s.sweep()
	release := func() error {
		err := s.root.Remove(file)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		s.tidy(private)
		return err
	}
	return release, nil
}

// holder reads who holds a lock.
func (s *Store) holder(file string) string {
	f, err := s.root.Open(file)
	if err != nil {
		return "a process that has just ended"
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 200))
	if err != nil || len(text) == 0 {
		return "an unknown process"
	}
	return string(text)
}

// temporary creates a file in the private folder and holds it.
func (s *Store) temporary() (*os.File, error) {
	return s.hold(path.Join(private, temporaryPrefix+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// hold opens a file of the private folder and locks it. The file may be removed between the two by a sweep
// or by a holder that lets go, so the locked file must still be the one of that name.
func (s *Store) hold(file string, flags int) (*os.File, error) {
	for i := 0; ; i++ {
		if err := s.root.Mkdir(private, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		f, err := s.root.OpenFile(file, flags, 0o666)
		if errors.Is(err, fs.ErrNotExist) && i < retries {
			continue // the empty folder was tidied away
		}
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			return nil, err
		}
		opened, err := f.Stat()
		if err == nil {
			named, serr := s.root.Stat(file)
			if serr == nil && os.SameFile(opened, named) {
				return f, nil
			}
			err = serr
		}
		f.Close()
		if i == retries || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the file %s keeps vanishing: %w", file, err)
		}
	}
}

// sweep removes temporary files that nobody holds.
func (s *Store) sweep() {
	entries, err := fs.ReadDir(s.root.FS(), private)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporaryPrefix) {
			continue
		}
		file := path.Join(private, e.Name())
		f, err := s.root.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = s.root.Remove(file)
		}
		f.Close()
	}
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
