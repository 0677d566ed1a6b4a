package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/generated"
)

// sampleCmd is "lab sample".
type sampleCmd struct {
	Out string `default:"testdata/generated" help:"Where to put them. Default ${default}."`
}

// sampled are the runs whose outputs are kept, and how many of each concept.
var sampled = []struct {
	run    string
	key    string
	images int
}{
	{"transformer-42-s0", "d42", 12},
	{"unet-38-s0", "d38", 6},
	{"transformer-unmarked", "d42", 6},
}

//go:embed card.md
var modelCard []byte

// Run copies the first outputs of each concept.
func (c *sampleCmd) Run(g *grammar) error {
	l := &lab{grammar: g}
	all := generated.Document{Format: generated.Format, MasterKey: labKey}
	for _, s := range sampled {
		r, err := runByName(s.run)
		if err != nil {
			return err
		}
		set, err := l.sample(r, s.key, s.images, filepath.Join(c.Out, r.Name))
		if err != nil {
			return fmt.Errorf("%s: %w", s.run, err)
		}
		all.Sets = append(all.Sets, set)
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(c.Out, "generated.json"), append(text, '\n'), 0o644), os.WriteFile(filepath.Join(c.Out, "README.md"), modelCard, 0o644))
}

func (l *lab) sample(r run, key string, count int, out string) (generated.SetText, error) {
	text, err := os.ReadFile(filepath.Join(l.delivery(key), "manifest.json"))
	if err != nil {
		return generated.SetText{}, err
	}
	m, err := delivery.ParseManifest(text)
	if err != nil {
		return generated.SetText{}, err
	}
	names, err := l.readLabels(r, key)
	if err != nil {
		return generated.SetText{}, err
	}
	dir := l.outputs(r, r.Steps)
	seen, err := readClasses(dir)
	if err != nil {
		return generated.SetText{}, err
	}
	p := m.Parameters
	set := generated.SetText{Name: r.Name, Model: r.Model, Marked: r.share() > 0, Samples: seen.Samples, PSNRDB: p.PresetDB, Path: p.Path, Profile: p.Profile, Resolution: p.Geometry.Resolution}
	if err := os.RemoveAll(out); err != nil {
		return generated.SetText{}, err
	}
	for i, name := range names.names {
		if err := copyFiles(filepath.Join(dir, classFolder(i)), filepath.Join(out, name), count); err != nil {
			return generated.SetText{}, err
		}
		set.Concepts = append(set.Concepts, generated.ConceptText{Folder: name, Number: names.numbers[i][0], Name: name, Images: count})
	}
	return set, nil
}

// copyFiles copies the first pictures of a folder.
func copyFiles(from, to string, count int) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	imgs, err := images(from, count)
	if err != nil {
		return err
	}
	if len(imgs) < count {
		return fmt.Errorf("%s has %d pictures, %d are wanted", from, len(imgs), count)
	}
	for i, img := range imgs {
		if err := writePNG(filepath.Join(to, fmt.Sprintf("%02d.png", i)), img, png.BestCompression); err != nil {
			return err
		}
	}
	return nil
}
