package dir

import (
	"context"
	"io/fs"

	"github.com/filigrane/filigrane/internal/store"
)

// Stat looks at one object, as Each would show it, without reading its folder. ErrNotFound.
func (b *Bucket) Stat(ctx context.Context, key string) (store.Object, error) {
	if err := ctx.Err(); err != nil {
		return store.Object{}, err
	}
	var info fs.FileInfo
	for i := range len(key) + 1 {
		if i < len(key) && key[i] != '/' {
			continue
		}
		var err error
		if info, err = b.root.Lstat(key[:i]); err != nil {
			return store.Object{}, b.notOpened(err, key)
		}
		if i < len(key) && !info.IsDir() { // Each goes through no link
			return store.Object{}, b.notOpened(fs.ErrNotExist, key)
		}
	}
	switch why := kind(info.Mode()); {
	case info.IsDir():
		return store.Object{}, b.notOpened(fs.ErrNotExist, key)
	case why != "":
		return store.Object{Key: key, Refused: why}, nil
	}
	return store.Object{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}
