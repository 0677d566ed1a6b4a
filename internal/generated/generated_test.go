package generated_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/filigrane/filigrane/internal/generated"
	"github.com/filigrane/filigrane/mark"
)

// text is a generated.json of two sets, each of one concept.
const text = `{
 "format": "filigrane.generated/1",
 "master_key": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
 "sets": [{
  "name": "a", "model": "transformer", "marked": true, "samples": 57600, "psnr_db": 42,
  "path": {"bank": "Lab", "catalogue": "scenes@1", "licence": "d42", "purpose": "training", "epoch": 1},
  "profile": 1, "resolution": 128,
  "concepts": [{"folder": "flowers", "number": 3, "name": "Flowers", "images": 2}]
 }, {
  "name": "b", "model": "transformer", "marked": false, "samples": 9, "psnr_db": 42,
  "path": {"bank": "Lab", "catalogue": "scenes@1", "licence": "d42", "purpose": "training", "epoch": 1},
  "profile": 1, "resolution": 128,
  "concepts": [{"folder": "sky", "number": 7, "name": "Sky", "images": 1}]
 }]
}`

// folder holds text and its pictures, whose widths tell them apart.
func folder(t *testing.T, text string) fstest.MapFS {
	t.Helper()
	dir := fstest.MapFS{"generated.json": {Data: []byte(text)}, "README.md": {Data: []byte("# Outputs")}}
	for name, width := range map[string]int{"a/flowers/00.png": 64, "a/flowers/01.png": 65, "b/sky/00.png": 66} {
		img := image.NewNRGBA(image.Rect(0, 0, width, 64))
		img.Set(1, 1, color.NRGBA{200, 100, 50, 255})
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		dir[name] = &fstest.MapFile{Data: b.Bytes()}
	}
	return dir
}

func TestLoad(t *testing.T) {
	sets, err := generated.Load(folder(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if len(sets) != 2 {
		t.Fatalf("%d sets, want 2", len(sets))
	}
	a, b := sets[0], sets[1]
	if a.Name != "a" || a.Model != "transformer" || !a.Marked || a.Samples != 57600 || a.PSNRDB != 42 || a.Resolution != 128 || a.Profile != mark.Profile1() {
		t.Errorf("set a: %+v", a)
	}
	if b.Marked || len(b.Concepts) != 1 || b.Concepts[0].Name != "Sky" || b.Concepts[0].Number != 7 {
		t.Errorf("set b: %+v", b)
	}
	pictures := a.Concepts[0].Pictures
	if len(pictures) != 2 || pictures[0].Bounds().Dx() != 64 || pictures[1].Bounds().Dx() != 65 {
		t.Errorf("the pictures are not those of the folder, in order: %d", len(pictures))
	}
	secret := make([]byte, mark.KeySize)
	for i := range secret {
		secret[i] = byte(i)
	}
	master, err := mark.NewKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	if want := master.Delivery(mark.Path{Bank: "Lab", Catalogue: "scenes@1", Licence: "d42", Purpose: "training", Epoch: 1}).Keys(); a.Keys != want || b.Keys != want {
		t.Error("the keys are not those of the path under the master key")
	}
}

func TestRefusals(t *testing.T) {
	const key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	for _, c := range []struct{ name, old, new, want string }{
		{"no JSON", `{`, `<`, "no JSON document"},
		{"another format", "generated/1", "generated/2", `format "filigrane.generated/2"; this program reads`},
		{"unknown field", `"model"`, `"modell"`, "modell"},
		{"text after", "\n}", "\n}{}", "no JSON document"},
		{"short key", key, key[2:], "master_key has to be 64 hex digits"},
		{"key not hex", key, "x" + key[1:], "master_key has to be 64 hex digits"},
		{"path for a name", `"name": "a"`, `"name": "../a"`, "not that of a folder"},
		{"set twice", `"name": "b"`, `"name": "a"`, `set "a" is listed twice`},
		{"unknown profile", `"profile": 1`, `"profile": 9`, "no profile 9"},
		{"tiny resolution", `"resolution": 128`, `"resolution": 63`, "resolution 63"},
		{"path for a folder", `"folder": "flowers"`, `"folder": "../b/sky"`, "not the name of a folder"},
		{"no name", `"name": "Flowers"`, `"name": ""`, "has no name"},
		{"number out of range", `"number": 3`, `"number": 65537`, "there is no number 65537"},
		{"no images", `"images": 2`, `"images": 0`, "0 images"},
		{"fewer pictures", `"images": 2`, `"images": 3`, `a/flowers holds 2 pictures, generated.json says 3; write it with "go run ./lab sample"`},
		{"more pictures", `"images": 2`, `"images": 1`, "holds 2 pictures, generated.json says 1"},
		{"missing folder", `"folder": "sky"`, `"folder": "clouds"`, "b/clouds"},
		{"concept twice", `"images": 1}`, `"images": 1}, {"folder": "sky", "number": 8, "name": "sky", "images": 1}`, `two concepts share "sky"`},
		{"number twice", `"images": 1}`, `"images": 1}, {"folder": "clouds", "number": 7, "name": "clouds", "images": 1}`, `two concepts share "number 7"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := strings.Replace(text, c.old, c.new, 1)
			if changed == text {
				t.Fatal("nothing was changed")
			}
			if _, err := generated.Load(folder(t, changed)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	t.Run("nothing there", func(t *testing.T) {
		if _, err := generated.Load(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "go run ./lab sample") {
			t.Errorf("error %v, want one that says what to run", err)
		}
	})
	t.Run("broken picture", func(t *testing.T) {
		dir := folder(t, text)
		dir["a/flowers/01.png"].Data = dir["a/flowers/01.png"].Data[:40]
		if _, err := generated.Load(dir); err == nil || !strings.Contains(err.Error(), "a/flowers/01.png") {
			t.Errorf("error %v, want one that names the picture", err)
		}
	})
}

// TestTheFolder holds testdata/generated to what its tests count on: a set for each kind of model, and a control read
// with the keys of a marked one.
func TestTheFolder(t *testing.T) {
	sets, err := generated.Load(os.DirFS("../../testdata/generated"))
	if err != nil {
		t.Fatal(err)
	}
	marked := map[mark.Keys]bool{}
	for _, s := range sets {
		if s.Marked {
			marked[s.Keys] = true
		}
		for _, c := range s.Concepts {
			for i, p := range c.Pictures {
				if b := p.Bounds(); b.Dx() != s.Resolution || b.Dy() != s.Resolution {
					t.Errorf("%s/%s, picture %d: %v; outputs have the %d pixels of the training", s.Name, c.Name, i, b, s.Resolution)
				}
			}
		}
	}
	controls := 0
	for _, s := range sets {
		if !s.Marked && marked[s.Keys] {
			controls++
		}
	}
	if len(marked) < 2 || controls == 0 {
		t.Errorf("%d marked sets and %d controls read with the keys of one, want 2 and 1 at least", len(marked), controls)
	}
}
