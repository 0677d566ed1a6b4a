package main

import (
	"encoding/json"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/raster"
)

// classes is what generate.py says of a folder of outputs.
type classes struct {
	Captions []string `json:"captions"`
	Samples  int      `json:"samples"` // that the model had seen
}

func readClasses(outputs string) (classes, error) {
	var c classes
	text, err := os.ReadFile(filepath.Join(outputs, "classes.json"))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("%s: %w", outputs, err)
	}
	return c, nil
}

// classFolder names the folder of class number i.
func classFolder(i int) string { return fmt.Sprintf("%03d", i) }

// labels are the classes of a run and what they are called in a delivery.
type labels struct {
	names    []string // of each class's concepts, in words
	numbers  [][]int  // concepts of each class, the first one first
	byNumber map[int]string
}

// readLabels finds the concepts that the captions name.
func (l *lab) readLabels(r run, key string) (labels, error) {
	c, err := readClasses(l.outputs(r, r.Steps))
	if err != nil {
		return labels{}, err
	}
	text, err := os.ReadFile(filepath.Join(l.delivery(key), "codebook.json"))
	if err != nil {
		return labels{}, err
	}
	book, err := delivery.ParseCodebook(text)
	if err != nil {
		return labels{}, err
	}
	found := labels{byNumber: map[int]string{}}
	byName := map[string]int{}
	for _, c := range book.Concepts {
		byName[c.Name], found.byNumber[c.Number] = c.Number, c.Name
	}
	for _, caption := range c.Captions {
		_, list, ok := strings.Cut(caption, "Concepts: ")
		if !ok {
			return labels{}, fmt.Errorf("caption %q names no concept", caption)
		}
		var numbers []int
		for name := range strings.SplitSeq(list, ", ") {
			n, ok := byName[name]
			if !ok {
				return labels{}, fmt.Errorf("caption %q: delivery %s has no concept %q", caption, key, name)
			}
			numbers = append(numbers, n)
		}
		found.numbers = append(found.numbers, numbers)
		found.names = append(found.names, list)
	}
	return found, nil
}

// images reads the pictures of one folder of outputs, at most so many (0: all), in order.
func images(dir string, most int) ([]image.Image, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.png"))
	if err != nil {
		return nil, err
	}
	if most > 0 && len(files) > most {
		files = files[:most]
	}
	imgs := make([]image.Image, len(files))
	for i, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		pic, err := raster.Decode(data, raster.DefaultLimits())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		imgs[i] = pic.Image
	}
	if len(imgs) == 0 {
		return nil, fmt.Errorf("there are no pictures in %s", dir)
	}
	return imgs, nil
}
