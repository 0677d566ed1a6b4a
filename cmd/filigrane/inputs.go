package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/filigrane/filigrane/internal/raster"
)

// input is one picture to work on.
type input struct {
	path string // or "-" for standard input
	rel  string // path below the folder that was named; the base name of a file named itself
	// found says that a folder was named, not the file: other files than pictures are then no error.
	found bool
}

// inputs turns files, folders and patterns into pictures. What does not exist stays in the list: it is
// reported in its turn.
func inputs(names []string) ([]input, error) {
	if len(names) == 0 {
		return nil, badInput("no input: name files, folders or patterns")
	}
	var all []input
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case name == "-":
			all = append(all, input{path: name, rel: "stdin"})
		case err == nil && info.IsDir():
			below, err := walkFolder(name)
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
		case err != nil && strings.ContainsAny(name, "*?["):
			matches, err := filepath.Glob(name)
			if err != nil {
				return nil, badInput("pattern %q: %w", name, err)
			}
			if len(matches) == 0 {
				return nil, badInput("pattern %q matches no file", name)
			}
			below, err := inputs(matches)
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
		default:
			all = append(all, input{path: name, rel: filepath.Base(name)})
		}
	}
	return all, nil
}

// walkFolder lists the files below a folder in order of their paths, without hidden ones.
func walkFolder(dir string) ([]input, error) {
	var all []input
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if p == dir {
				return err
			}
			all = append(all, input{path: p, rel: p}) // reading it will say why not
			return nil
		}
		if p != dir && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if info, err := os.Stat(p); d.IsDir() || err == nil && !info.Mode().IsRegular() {
			return nil
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		all = append(all, input{path: p, rel: rel, found: true})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, badInput("folder %s holds no files", dir)
	}
	sort.Slice(all, func(i, k int) bool { return all[i].path < all[k].path })
	return all, nil
}

// read gives the bytes of an input, within the limits.
func (s *session) read(in input) ([]byte, error) {
	limit := raster.DefaultLimits().MaxBytes
	if in.path == "-" {
		data, err := io.ReadAll(io.LimitReader(s.stdin, limit+1))
		if err != nil {
			return nil, &raster.Error{Kind: raster.KindUnreadable, Detail: "standard input cannot be read", Err: err}
		}
		return data, nil // Decode refuses what is too long
	}
	return readLimited(in.path, limit)
}

// readLimited reads a regular file of at most limit bytes. Errors are of package raster.
func readLimited(name string, limit int64) ([]byte, error) {
	unreadable := func(err error) error {
		detail := "the file cannot be read; check that it exists and who may read it"
		if errors.Is(err, fs.ErrNotExist) {
			detail = "there is no such file; check the name"
		}
		return &raster.Error{Kind: raster.KindUnreadable, Path: name, Detail: detail, Err: err}
	}
	info, err := os.Stat(name) // before opening: a pipe would block
	if err != nil {
		return nil, unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return nil, unreadable(fs.ErrInvalid)
	}
	if info.Size() > limit {
		_, err := raster.DecodeFile(name, raster.Limits{MaxBytes: limit})
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, unreadable(err)
	}
	defer f.Close()
	var b bytes.Buffer
	b.Grow(int(info.Size()) + 512)
	if _, err := b.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, unreadable(err)
	}
	return b.Bytes(), nil
}

// otherFile tells that a file found in a folder was never meant to be a picture: its content is none and
// its name does not say so either.
func otherFile(in input, err error) bool {
	if !in.found || raster.KindOf(err) != raster.KindNotAnImage {
		return false
	}
	_, picture := formatOf(in.path)
	return !picture
}

// formatOf gives the format that a file name announces.
func formatOf(name string) (raster.Format, bool) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".jpe", ".jfif":
		return raster.JPEG, true
	case ".png":
		return raster.PNG, true
	case ".webp":
		return raster.WebP, true
	case ".tif", ".tiff":
		return raster.TIFF, true
	}
	return "", false
}

// exists tells whether there is a file or folder of that name.
func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
