package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/filigrane/filigrane/delivery"
)

// writeTwin writes the unmarked twin of a delivery: shards of the same names, samples of the same keys and captions,
// pictures as they were before they were marked. It is what the control model trains on, and what stands in for a
// customer's other material where only a share of it is marked.
func writeTwin(ctx context.Context, deliveryDir, mastersRoot, out string) error {
	text, err := os.ReadFile(filepath.Join(deliveryDir, "manifest.json"))
	if err != nil {
		return err
	}
	m, err := delivery.ParseManifest(text)
	if err != nil {
		return err
	}
	masters := make(map[string]string, len(m.Images)) // by key of the sample
	for i := range m.Images {
		masters[m.Images[i].Key] = filepath.Join(mastersRoot, filepath.FromSlash(m.Images[i].SourcePath))
	}
	partial := out + ".partial"
	if err := errors.Join(os.RemoveAll(partial), os.MkdirAll(partial, 0o755)); err != nil {
		return err
	}
	for _, s := range m.Shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := filepath.Base(filepath.FromSlash(s.Name))
		if err := writeTwinShard(filepath.Join(deliveryDir, filepath.FromSlash(s.Name)), filepath.Join(partial, name), masters); err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return errors.Join(os.RemoveAll(out), os.Rename(partial, out))
}

func writeTwinShard(from, to string, masters map[string]string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	w := tar.NewWriter(out)
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return errors.Join(w.Close(), out.Close())
		}
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		key, extension, _ := strings.Cut(h.Name, ".")
		if master, ok := masters[key]; ok && extension == "png" {
			if data, err = os.ReadFile(master); err != nil {
				return err
			}
		}
		if err := writeMember(w, h.Name, data); err != nil {
			return err
		}
	}
}

func writeMember(w *tar.Writer, name string, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatUSTAR}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// writeTaught packs a model's outputs as training data, with the captions they were asked for by.
func writeTaught(outputs, shard string) error {
	classes, err := readClasses(outputs)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(shard), 0o755); err != nil {
		return err
	}
	f, err := os.Create(shard)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	n := 0
	for i, caption := range classes.Captions {
		files, err := filepath.Glob(filepath.Join(outputs, classFolder(i), "*.png"))
		if err != nil {
			return err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			key := fmt.Sprintf("%08d", n)
			if err := errors.Join(writeMember(w, key+".png", data), writeMember(w, key+".txt", []byte(caption))); err != nil {
				return err
			}
			n++
		}
	}
	if n == 0 {
		return fmt.Errorf("there are no outputs in %s", outputs)
	}
	return errors.Join(w.Close(), f.Close())
}
