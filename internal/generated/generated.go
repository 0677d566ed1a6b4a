// Package generated reads the folder testdata/generated: pictures that trained models drew, kept so that the demonstration
// and the tests read what a model gives back and not an imitation. "go run ./lab sample" writes it:
//
//	generated.json                    what the sets are and whose key reads them
//	transformer-42-s0/flowers/00.png  one folder for each set, in it one for each concept
//
// generated.json, with one set of one concept:
//
//	{
//	 "format": "filigrane.generated/1",
//	 "master_key": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
//	 "sets": [{
//	  "name": "transformer-42-s0", "model": "transformer", "marked": true, "samples": 57600, "psnr_db": 42,
//	  "path": {"bank": "Lab", "catalogue": "scenes@1", "licence": "d42", "purpose": "training", "epoch": 1},
//	  "profile": 1, "resolution": 128,
//	  "concepts": [{"folder": "flowers", "number": 3, "name": "flowers", "images": 12}]
//	 }]
//	}
//
// The master key is public: it is the lab's and marks nothing else.
package generated

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/mark"
)

const (
	index = "generated.json"
	// Format names the layout.
	Format = "filigrane.generated/1"
	remedy = `write it with "go run ./lab sample" once "go run ./lab run main" has trained the models`
)

// Set is what one model drew.
type Set struct {
	Name    string
	Model   string  // its kind
	Marked  bool    // whether it trained on marked pictures; a control did not
	Samples int     // pictures seen in training
	PSNRDB  float64 // of the delivery whose keys read the set
	// Keys, Profile and Resolution are that delivery's. A control is read with the keys of a delivery it never saw.
	Keys       mark.Keys
	Profile    *mark.Profile
	Resolution int
	Concepts   []Concept
}

// Concept holds the pictures drawn for one concept, in the order in which they were drawn.
type Concept struct {
	Name     string
	Number   int // in the delivery
	Pictures []image.Image
}

// Load reads all sets. An error says what to do about it.
func Load(dir fs.FS) ([]Set, error) {
	text, err := fs.ReadFile(dir, index)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("generated: there is no %s; %s", index, remedy)
	}
	if err != nil {
		return nil, fmt.Errorf("generated: %w", err)
	}
	doc, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("generated: %s: %w", index, err)
	}
	sets := make([]Set, len(doc.Sets))
	for i, s := range doc.Sets {
		if sets[i], err = s.load(dir, doc.key); err != nil {
			return nil, fmt.Errorf("generated: set %q: %w", s.Name, err)
		}
	}
	return sets, nil
}

// Document is generated.json.
type Document struct {
	Format    string    `json:"format"`
	MasterKey string    `json:"master_key"` // 64 hex digits
	Sets      []SetText `json:"sets"`

	key mark.Key
}

// SetText is a folder of outputs of one model.
type SetText struct {
	Name       string        `json:"name"` // of its folder
	Model      string        `json:"model"`
	Marked     bool          `json:"marked"`
	Samples    int           `json:"samples"`
	PSNRDB     float64       `json:"psnr_db"`
	Path       mark.Path     `json:"path"`
	Profile    int           `json:"profile"`
	Resolution int           `json:"resolution"`
	Concepts   []ConceptText `json:"concepts"`
}

// ConceptText is one class: a folder within the set's.
type ConceptText struct {
	Folder string `json:"folder"` // within the set's
	Number int    `json:"number"`
	Name   string `json:"name"`
	Images int    `json:"images"`
}

// parse reads generated.json; the format comes first, since what another format means by the rest is not known.
func parse(text []byte) (*Document, error) {
	var head struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("no JSON document: %w; %s", err, remedy)
	}
	if head.Format != Format {
		return nil, fmt.Errorf("format %q; this program reads %q: use the version that wrote it, or %s", head.Format, Format, remedy)
	}
	var doc Document
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(doc.MasterKey)
	if err != nil || len(secret) != mark.KeySize {
		return nil, fmt.Errorf("master_key has to be %d hex digits; its %d characters are not", 2*mark.KeySize, len(doc.MasterKey))
	}
	if doc.key, err = mark.NewKey(secret); err != nil {
		return nil, err
	}
	if len(doc.Sets) == 0 {
		return nil, errors.New("it lists no sets")
	}
	if name, twice := repeated(doc.Sets, func(s SetText) string { return s.Name }); twice {
		return nil, fmt.Errorf("set %q is listed twice", name)
	}
	return &doc, nil
}

// repeated finds a name that two entries share.
func repeated[T any](all []T, name func(T) string) (string, bool) {
	seen := map[string]bool{}
	for _, v := range all {
		if seen[name(v)] {
			return name(v), true
		}
		seen[name(v)] = true
	}
	return "", false
}

func (s SetText) load(dir fs.FS, master mark.Key) (Set, error) {
	if err := s.check(); err != nil {
		return Set{}, err
	}
	profile, err := mark.ProfileByID(s.Profile)
	if err != nil {
		return Set{}, err
	}
	set := Set{Name: s.Name, Model: s.Model, Marked: s.Marked, Samples: s.Samples, PSNRDB: s.PSNRDB,
		Keys: master.Delivery(s.Path).Keys(), Profile: profile, Resolution: s.Resolution}
	for _, c := range s.Concepts {
		pictures, err := decode(dir, path.Join(s.Name, c.Folder), c.Images)
		if err != nil {
			return Set{}, err
		}
		set.Concepts = append(set.Concepts, Concept{Name: c.Name, Number: c.Number, Pictures: pictures})
	}
	return set, nil
}

// check refuses what no set can be.
func (s SetText) check() error {
	switch {
	case !folder(s.Name):
		return errors.New("the name is not that of a folder")
	case s.Resolution < mark.CellSize:
		return fmt.Errorf("resolution %d; a delivery has at least %d", s.Resolution, mark.CellSize)
	case len(s.Concepts) == 0:
		return errors.New("it lists no concepts")
	}
	for _, c := range s.Concepts {
		switch {
		case !folder(c.Folder):
			return fmt.Errorf("concept %q: %q is not the name of a folder", c.Name, c.Folder)
		case c.Name == "":
			return fmt.Errorf("the concept in %s has no name", c.Folder)
		case c.Number < 1 || c.Number > mark.MaxConcepts:
			return fmt.Errorf("concept %q: there is no number %d; they go from 1 to %d", c.Name, c.Number, mark.MaxConcepts)
		case c.Images < 1:
			return fmt.Errorf("concept %q: %d images", c.Name, c.Images)
		}
	}
	for _, name := range []func(ConceptText) string{
		func(c ConceptText) string { return c.Folder },
		func(c ConceptText) string { return c.Name },
		func(c ConceptText) string { return fmt.Sprint("number ", c.Number) },
	} {
		if what, twice := repeated(s.Concepts, name); twice {
			return fmt.Errorf("two concepts share %q", what)
		}
	}
	return nil
}

// folder says whether a name is that of one folder, here.
func folder(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsAny(name, `/\`)
}

// decode reads the pictures of one folder, which must be as many as the index says: another number means that the
// pictures and the index are not of one writing.
func decode(dir fs.FS, folder string, want int) ([]image.Image, error) {
	entries, err := fs.ReadDir(dir, folder)
	if err != nil {
		return nil, fmt.Errorf("%w; %s again", err, remedy)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.IsDir() || path.Ext(e.Name()) != ".png" })
	if len(entries) != want {
		return nil, fmt.Errorf("%s holds %d pictures, %s says %d; %s again", folder, len(entries), index, want, remedy)
	}
	pictures := make([]image.Image, want)
	for i, e := range entries { // sorted by name
		name := path.Join(folder, e.Name())
		data, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		p, err := raster.Decode(data, raster.DefaultLimits())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		pictures[i] = p.Image
	}
	return pictures, nil
}
