package main

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/filigrane/filigrane/concepts"
)

// found is a file that may be a picture.
type found struct {
	rel, abs string
	size     int64
	modified int64 // nanoseconds since 1970
}

// walker lists the files below a folder of masters. Links are followed inside the root, never out of it and
// never in circles; what is not followed or looked at is a refusal.
type walker struct {
	root     string          // absolute, no links
	own      map[string]bool // absolute paths that are not the bank's pictures
	files    []found
	refusals []refusalJSON
	entered  map[string]bool // real directories on the way down
}

// below tells, for paths relative to the root, whether walk(dir) would have met them.
func (w *walker) below(dir string) func(rel string) bool {
	prefix, err := filepath.Rel(w.root, dir)
	if err != nil || prefix == "." {
		return func(string) bool { return true }
	}
	slash := filepath.ToSlash(prefix) + "/"
	return func(rel string) bool { return strings.HasPrefix(rel, slash) }
}

// walk lists the files below dir, an absolute path at or below the root. Only dir itself must be readable.
func (w *walker) walk(dir string) error {
	rel, err := filepath.Rel(w.root, dir)
	if err != nil {
		return err
	}
	if _, err := os.ReadDir(dir); err != nil {
		return badInput("folder %s: %w", dir, err)
	}
	w.entered = map[string]bool{}
	rel = filepath.ToSlash(rel)
	if rel == "." {
		rel = ""
	}
	w.folder(dir, rel)
	sort.Slice(w.files, func(i, k int) bool { return w.files[i].rel < w.files[k].rel })
	return nil
}

func (w *walker) refuse(rel, kind, detail string) {
	w.refusals = append(w.refusals, refusalJSON{strings.ToValidUTF8(rel, "\ufffd"), kind, detail})
}

func (w *walker) folder(abs, rel string) {
	if w.entered[abs] {
		w.refuse(rel, "symlink_loop", "the link leads back to a folder that holds it; remove it")
		return
	}
	w.entered[abs] = true
	defer delete(w.entered, abs)
	entries, err := os.ReadDir(abs)
	if err != nil {
		w.refuse(rel, "unreadable", "the folder cannot be read; check who may read it")
	}
	for _, e := range entries {
		w.entry(filepath.Join(abs, e.Name()), path.Join(rel, e.Name()), e)
	}
}

func (w *walker) entry(abs, rel string, e fs.DirEntry) {
	switch {
	case w.own[abs]:
		return
	case strings.HasPrefix(e.Name(), "."):
		w.refuse(rel, "hidden", "hidden files and folders are left out; rename it if it belongs to the catalogue")
		return
	case e.Type()&fs.ModeSymlink != 0:
		real, err := filepath.EvalSymlinks(abs)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			w.refuse(rel, "unreadable", "the link leads nowhere; remove it")
			return
		case err != nil:
			w.refuse(rel, "symlink_loop", "the link cannot be followed to its end; remove it")
			return
		case real != w.root && !strings.HasPrefix(real, w.root+string(filepath.Separator)):
			w.refuse(rel, "symlink_outside", "the link leads out of the folder of masters; copy the file into it")
			return
		}
		abs = real
	}
	info, err := os.Stat(abs)
	switch {
	case err != nil:
		w.refuse(rel, "unreadable", "the file cannot be looked at; check who may read it")
	case info.IsDir():
		w.folder(abs, rel)
	case !info.Mode().IsRegular():
		w.refuse(rel, "not_a_file", "neither a file nor a folder")
	case concepts.CheckPath(rel) != nil:
		w.refuse(rel, "bad_path", concepts.CheckPath(rel).Error()+"; rename the file")
	default:
		w.files = append(w.files, found{rel: rel, abs: abs, size: info.Size(), modified: info.ModTime().UnixNano()})
	}
}
