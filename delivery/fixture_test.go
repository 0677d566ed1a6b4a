package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// somePhotos are six photographs of different kinds: fine grain, a flat sky, leaves, an animal, PNG, night.
var somePhotos = []string{
	"forest/woodland-cascade.jpg", "sky/open-beach.jpg", "plants/leaf-veins.jpg", "animals/two-dogs.jpg", "water/drop-crown.png", "water/river-bridge-night.jpg",
}

// photo reads the file of a photograph.
func photo(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testphotos.Dir(), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// workOf gives a work's ID by the path it has in a fixture.
func workOf(files fstest.MapFS, p string) concepts.WorkID {
	return concepts.NewWorkID(sha256.Sum256(files[p].Data))
}

// catalogueOf freezes a catalogue of files: each folder is a concept, and each path in extra has more concepts.
func catalogueOf(t testing.TB, files fstest.MapFS, extra map[string][]string) (*concepts.Frozen, *concepts.Codebook) {
	t.Helper()
	c := concepts.Catalogue{Name: "test", Version: 3}
	seen := map[concepts.ConceptID]bool{}
	for p, f := range files {
		sum := sha256.Sum256(f.Data)
		w := concepts.Work{ID: concepts.NewWorkID(sum), Path: p, SHA256: hex.EncodeToString(sum[:]), Width: 1, Height: 1, Format: "jpeg",
			Title: "Picture of " + strings.TrimSuffix(path.Base(p), path.Ext(p)), Creator: "A. Nonymous", RightsHolder: "Bank"}
		c.Works = append(c.Works, w)
		names := extra[p]
		if d := path.Dir(p); d != "." {
			names = append([]string{d}, names...)
		}
		for _, name := range names {
			id := concepts.NewConceptID(concepts.Semantic, name)
			if !seen[id] {
				c.Concepts = append(c.Concepts, concepts.Concept{ID: id, Kind: concepts.Semantic, Name: name})
				seen[id] = true
			}
			c.Memberships = append(c.Memberships, concepts.Membership{Work: w.ID, Concept: id, Rule: "folder", Why: "in folder " + name})
		}
	}
	f, err := c.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	var book concepts.Codebook
	for _, x := range f.Catalogue().Concepts {
		if _, err := book.AssignConcepts(x.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range slices.Backward(f.Catalogue().Works) {
		if _, err := book.AssignWorks(w.ID); err != nil {
			t.Fatal(err)
		}
	}
	return f, &book
}

// testKey is a delivery's key; number tells several apart.
func testKey(t testing.TB, number byte) mark.Key {
	t.Helper()
	k, err := mark.NewKey(bytes.Repeat([]byte{number}, mark.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// specOf asks for the files of a fixture in a geometry.
func specOf(t testing.TB, files fstest.MapFS, geometry string, extra map[string][]string) Spec {
	t.Helper()
	cat, book := catalogueOf(t, files, extra)
	g, err := ParseGeometry(geometry)
	if err != nil {
		t.Fatal(err)
	}
	preset, err := mark.PresetByName("standard")
	if err != nil {
		t.Fatal(err)
	}
	k := testKey(t, 9)
	return Spec{Catalogue: cat, Codebook: book, Path: mark.Path{Bank: "bank", Catalogue: "test@3", Licence: "L-1", Purpose: "training", Epoch: 1},
		Keys: k.Keys(), KeyFingerprint: k.Fingerprint(), ProfileID: 1, Geometry: g, Format: FormatPNG, Preset: preset, CodeVersion: "test"}
}

func openStore(t testing.TB, folder string) *dir.Store {
	t.Helper()
	s, err := dir.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// deliver makes a delivery that must succeed.
func deliver(t testing.TB, spec Spec, files fstest.MapFS, st store.Store) *Delivery {
	t.Helper()
	d, err := Run(context.Background(), spec, Folder(files), st, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// contents reads every file below a folder, hidden ones included.
func contents(t testing.TB, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		rel, _ := filepath.Rel(folder, p)
		all[filepath.ToSlash(rel)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// expectSame compares two folders byte for byte.
func expectSame(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name := range want {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		} else if got[name] != want[name] {
			t.Errorf("%s differs", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is left over", name)
		}
	}
}

// The special masters, made of a photograph of 600 x 500 pixels.

func smallPhoto(t testing.TB, name string) *image.NRGBA {
	t.Helper()
	return resize(testphotos.Picture(t, name).Image, 600, 500).(*image.NRGBA)
}

func pngOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// deepPNG has 16-bit samples that are no multiples of 257.
func deepPNG(t testing.TB, name string) []byte {
	src := smallPhoto(t, name)
	dst := image.NewNRGBA64(src.Rect)
	for i := 0; i < len(src.Pix); i++ {
		v := uint16(src.Pix[i]) * 257
		if i%4 != 3 && v > 99 {
			v -= uint16(i % 100)
		}
		binary.BigEndian.PutUint16(dst.Pix[2*i:], v)
	}
	return pngOf(t, dst)
}

func greyPNG(t testing.TB, name string) []byte {
	src := smallPhoto(t, name)
	dst := image.NewGray(src.Rect)
	draw.Draw(dst, dst.Rect, src, image.Point{}, draw.Src)
	return pngOf(t, dst)
}

// alphaPNG shines through on the left.
func alphaPNG(t testing.TB, name string) []byte {
	img := smallPhoto(t, name)
	for y := range 500 {
		for x := range 100 {
			c := img.NRGBAAt(x, y)
			img.SetNRGBA(x, y, color.NRGBA{c.R, c.G, c.B, uint8(155 + x)})
		}
	}
	return pngOf(t, img)
}

// rotatedJPEG lies on its side as its EXIF orientation 6 says; upright it is 500 x 600.
func rotatedJPEG(t testing.TB, name string) []byte {
	var b bytes.Buffer
	if err := raster.EncodeJPEG(&b, smallPhoto(t, name), 95, "4:4:4"); err != nil {
		t.Fatal(err)
	}
	exif := []byte("\xff\xe1\x00\x22Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00")
	return slices.Concat([]byte("\xff\xd8"), exif, b.Bytes()[2:])
}

// awkward reads the awkward files and the kind each must be refused with; "ok" ones are all too small.
func awkward(t testing.TB) (fstest.MapFS, map[string]string) {
	t.Helper()
	folder := filepath.Join(testphotos.Dir(), "..", "awkward")
	text, err := os.ReadFile(filepath.Join(folder, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]string
	if err := json.Unmarshal(text, &expected); err != nil || len(expected) == 0 {
		t.Fatalf("no awkward files: %v", err)
	}
	files, seen := fstest.MapFS{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[string(data)]; twice { // a catalogue lists no bytes twice
			t.Logf("%s has the bytes of %s and is left out", name, other)
			delete(expected, name)
			continue
		}
		seen[string(data)] = name
		files[name] = &fstest.MapFile{Data: data}
	}
	return files, expected
}
