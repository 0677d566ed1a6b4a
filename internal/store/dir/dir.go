// Package dir keeps objects as files in a folder of the local disk.
//
// An object is written to a temporary file in the folder ".filigrane", flushed to disk, renamed to its
// place, and the folders whose entries changed are flushed. A temporary file is held by flock(2) while it is
// written, so that those of killed processes can be told apart and are swept when a lock is taken.
// The file system must honour rename, fsync and flock: local disks do, network ones (NFS, SMB) often do not.
//
// Trust: whoever can write to the folder can change every object. Symbolic links inside it are not followed
// out of it (os.Root).
package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/filigrane/filigrane/internal/store"
)

// private is the folder of temporary files and locks. No key begins with a dot.
const private = ".filigrane"

// retries is how often an operation is repeated when another process removed the empty folder it was
// about to use. Each retry needs another such coincidence.
const retries = 100

// Store keeps objects under one folder.
type Store struct {
	root *os.Root
	path string
}

var _ store.Store = (*Store)(nil)

// Open opens the folder, creating it and its parents if it is not there. Close the Store after use.
func Open(folder string) (*Store, error) {
	abs, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := os.MkdirAll(abs, 0o777); err != nil {
		return nil, full(err, "creating the folder "+abs)
	}
	if err := syncFolder(filepath.Dir(abs)); err != nil {
		return nil, full(err, "flushing "+filepath.Dir(abs))
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &Store{root: root, path: abs}, nil
}

// Close ends the use of the folder.
func (s *Store) Close() error { return s.root.Close() }

// String names the folder.
func (s *Store) String() string { return s.path }

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	f, err := s.temporary()
	if err != nil {
		return full(err, "writing "+key)
	}
	name := f.Name()
	err = s.fill(ctx, f, write)
	if err == nil {
		err = s.publish(name, key)
	}
	// Closed, and with that unlocked, only after it has left the private folder.
	if cerr := f.Close(); err == nil && cerr != nil {
		err = cerr
	}
	if err != nil {
		_ = s.root.Remove(s.relative(name))
		s.tidy(private)
		return full(err, "writing "+key)
	}
	return nil
}

// fill writes the object and flushes it.
func (s *Store) fill(ctx context.Context, f *os.File, write func(io.Writer) error) error {
	if err := write(f); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.Sync()
}

// publish renames a finished file to its place and flushes the folders that changed.
func (s *Store) publish(name, key string) error {
	parent := path.Dir(key)
	for i := 0; ; i++ {
		if err := s.makeFolders(parent); err != nil {
			return err
		}
		err := s.root.Rename(s.relative(name), key)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || i == retries {
			return err
		}
	}
	if err := syncFolder(filepath.Join(s.path, parent)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeFolders creates a folder and those above it, each flushed into its parent.
func (s *Store) makeFolders(folder string) error {
	if folder == "." {
		return nil
	}
	if _, err := s.root.Stat(folder); err == nil {
		return nil
	}
	if err := s.makeFolders(path.Dir(folder)); err != nil {
		return err
	}
	if err := s.root.Mkdir(folder, 0o777); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := syncFolder(filepath.Join(s.path, path.Dir(folder)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile: the rename will tell, and be repeated
	}
	return err
}

// Open implements store.Store.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := store.CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := s.root.Open(key)
	if err != nil {
		return nil, notFound(err, key)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, notFound(err, key)
	}
	return f, nil
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, prefix string) ([]string, error) {
	return store.Keys(ctx, s, prefix)
}

// Each implements store.Store. Files whose names are no keys are not shown: they are not the store's.
func (s *Store) Each(ctx context.Context, prefix, after string, fn func(store.Object) error) error {
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		if err := store.CheckKey(prefix[:i]); err != nil {
			return err
		}
	}
	w := walk{ctx: ctx, root: s.root, prefix: prefix, after: after, keysOnly: true, fn: func(o store.Object, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("store: listing %q: %w", o.Key, err)
		case o.Refused != "" || store.CheckKey(o.Key) != nil:
			return nil
		}
		return fn(o)
	}}
	return w.folder("")
}

// Delete implements store.Store. Folders that became empty go too.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := store.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return full(err, "deleting "+key)
	}
	parent := path.Dir(key)
	if err := syncFolder(filepath.Join(s.path, parent)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return full(err, "deleting "+key)
	}
	s.tidy(parent)
	return nil
}

// tidy removes a folder and those above it as far as they are empty. An empty folder is no object: nothing
// depends on success.
func (s *Store) tidy(folder string) {
	for folder != "." {
		if s.root.Remove(folder) != nil {
			return
		}
		folder = path.Dir(folder)
	}
}

func (s *Store) relative(name string) string { return path.Join(private, filepath.Base(name)) }

// syncFolder flushes the entries of a folder.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // EINVAL: a file system without it
		return err
	}
	return nil
}

// full adds what was being done and marks errors that mean a full disk or quota.
func full(err error, doing string) error {
	if isFull(err) {
		return fmt.Errorf("%w: %s: %w", store.ErrFull, doing, err)
	}
	return fmt.Errorf("store: %s: %w", doing, err)
}

func notFound(err error, key string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", store.ErrNotFound, key)
	}
	return fmt.Errorf("store: opening %s: %w", key, err)
}
