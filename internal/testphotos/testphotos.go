// Package testphotos gives tests and benchmarks the real photographs of testdata/photos.
package testphotos

import (
	"image"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/internal/raster"
)

// Dir returns the folder of the photographs.
func Dir() string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "testdata", "photos")
}

// Names lists the photographs as concept/file, sorted. It fails when there are none: an empty corpus tests
// nothing.
func Names(t testing.TB) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*/*.jpg", "*/*.png"} {
		found, err := filepath.Glob(filepath.Join(Dir(), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			rel, err := filepath.Rel(Dir(), f)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, filepath.ToSlash(rel))
		}
	}
	if len(names) == 0 {
		t.Fatalf("testphotos: no photographs in %s; run testdata/photos-build/build.sh", Dir())
	}
	sort.Strings(names)
	return names
}

// Picture decodes a photograph.
func Picture(t testing.TB, name string) *raster.Picture {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(Dir(), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := raster.Decode(data, raster.DefaultLimits())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

// Square returns a photograph with its short side brought to side pixels and cut to the centre square,
// as the delivery profile square:R does, in 8-bit colour.
func Square(t testing.TB, name string, side int) *image.NRGBA {
	t.Helper()
	return imaging.Fill(Picture(t, name).Image, side, side, imaging.Center, imaging.Lanczos)
}
