package dir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/filigrane/filigrane/internal/store"
)

// Bucket reads a folder that others filled: masters on a disk. It creates and writes nothing. Keys are the paths below
// the folder, with "/" between the parts, of whatever bytes. Symbolic links are named and never followed, neither
// to files nor to folders; pipes, sockets, devices and unreadable folders are named too.
type Bucket struct {
	root *os.Root
	path string
}

var _ store.Bucket = (*Bucket)(nil)

// OpenBucket opens a folder for reading. Close the Bucket after use.
func OpenBucket(folder string) (*Bucket, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("store: opening the folder %q to read from: %w", folder, err)
	}
	return &Bucket{root: root, path: folder}, nil
}

// Close ends the use of the folder.
func (b *Bucket) Close() error { return b.root.Close() }

// String names the folder.
func (b *Bucket) String() string { return b.path }

// Each implements store.Bucket. A folder that cannot be read, or lies too deep, is refused under its path with
// a "/" at the end.
func (b *Bucket) Each(ctx context.Context, prefix, after string, fn func(store.Object) error) error {
	w := walk{ctx: ctx, root: b.root, prefix: prefix, after: after, fn: func(o store.Object, _ error) error { return fn(o) }}
	return w.folder("")
}

// Open implements store.Bucket. What Each refuses is refused here too.
func (b *Bucket) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for i := range len(key) + 1 {
		if i < len(key) && key[i] != '/' {
			continue
		}
		info, err := b.root.Lstat(key[:i])
		if err != nil {
			return nil, b.notOpened(err, key)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return nil, fmt.Errorf("store: opening %q: %q is %s", key, key[:i], kind(info.Mode()))
		}
	}
	// Without waiting: should the file have become a pipe since, opening it must not wait for a writer.
	f, err := b.root.OpenFile(key, os.O_RDONLY|noWait, 0)
	if err != nil {
		return nil, b.notOpened(err, key)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
		if why := kind(info.Mode()); !info.IsDir() {
			err = errors.New("it is " + why)
		}
	}
	if err != nil {
		f.Close()
		return nil, b.notOpened(err, key)
	}
	return f, nil
}

func (b *Bucket) notOpened(err error, key string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %q", store.ErrNotFound, key)
	}
	return fmt.Errorf("store: opening %q: %w", key, err)
}
