package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/filigrane/filigrane/internal/store"
)

// maxPath is the longest path the walk enters, in bytes: what Linux takes for one name (PATH_MAX). Folders nested
// deeper can be made, but no other program opens them.
const maxPath = 4096

// walk visits the files below a folder in the order of their paths' bytes. One folder's names are in memory for each
// level: some 100 bytes a name. Symbolic links are never followed, so every folder is entered once, and none
// whose path is over maxPath, so the walk ends.
type walk struct {
	ctx           context.Context
	root          *os.Root
	prefix, after string
	keysOnly      bool // folders whose names are in no key are passed over, unread
	// fn gets every entry. err is set besides Object.Refused when the entry is there and could not be looked at.
	fn func(o store.Object, err error) error
}

// entry is a name in a folder; a folder's name ends in "/", so that names sort as the paths below them do.
type entry struct {
	name string
	dir  fs.DirEntry
}

// folder visits the folder of that path, which is "" or ends in "/".
func (w *walk) folder(at string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if len(at) > maxPath {
		return w.fn(store.Object{Key: at, Refused: fmt.Sprintf("a path of more than %d bytes; what is below it is not read", maxPath)}, nil)
	}
	entries, err := w.read(at)
	if errors.Is(err, fs.ErrNotExist) && at != "" {
		return nil // removed meanwhile
	}
	if err != nil {
		if at == "" {
			return fmt.Errorf("store: reading the folder %s: %w", w.root.Name(), err)
		}
		return w.fn(store.Object{Key: at, Refused: "a folder that cannot be read: " + cause(err)}, err)
	}
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		key := at + e.name
		switch {
		case strings.HasSuffix(key, "/"):
			if !strings.HasPrefix(key, w.prefix) && !strings.HasPrefix(w.prefix, key) || key <= w.after && !strings.HasPrefix(w.after, key) {
				continue // nothing below is asked for
			}
			if w.keysOnly && store.CheckKey(strings.TrimSuffix(key, "/")) != nil {
				continue
			}
			err = w.folder(key)
		case strings.HasPrefix(key, w.prefix) && key > w.after:
			err = w.file(key, e.dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// read gives the sorted entries of a folder.
func (w *walk) read(at string) ([]entry, error) {
	name := "."
	if at != "" {
		name = strings.TrimSuffix(at, "/")
	}
	f, err := w.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	found, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(found))
	for i, d := range found {
		entries[i] = entry{name: d.Name(), dir: d}
		if d.IsDir() {
			entries[i].name += "/"
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return entries, nil
}

// file visits what is not a folder.
func (w *walk) file(key string, d fs.DirEntry) error {
	if why := kind(d.Type()); why != "" {
		return w.fn(store.Object{Key: key, Refused: why}, nil)
	}
	info, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return w.fn(store.Object{Key: key, Refused: "a file that cannot be looked at: " + cause(err)}, err)
	}
	return w.fn(store.Object{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil)
}

// kind names what cannot be read as a file, "" for what can.
func kind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return ""
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link; links are not followed"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

// cause is the system's word for an error, without the path, which the caller has.
func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}
