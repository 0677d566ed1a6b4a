package main

import (
	"bytes"
	"context"
	"errors"
	"image"
	"path/filepath"
	"strings"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/internal/attack"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/iscc"
)

func picture(t *testing.T, data []byte) image.Image {
	t.Helper()
	p, err := raster.Decode(data, raster.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return p.Image
}

// TestNear: copies of delivered files are known for copies of their works, by the manifest's codes.
func TestNear(t *testing.T) {
	sh, masters := bank(t)
	sh.must(0, "import", masters)
	out := filepath.Join(t.TempDir(), "delivery")
	sh.must(0, "deliver", "-c", "spring", "-o", out, "--licence", "acme", "--geometry", "square:256")
	d := &detector{session: &session{ctx: context.Background()}}
	sc, err := d.fromPlace(out, d.existing)
	if err != nil {
		t.Fatal(err)
	}
	if n := sc.names.codes.Len(); n != len(few) {
		t.Fatalf("%d codes of %d works", n, len(few))
	}
	pictures := t.TempDir()
	untar(t, shardOf(t, out), pictures)
	edits := map[string]attack.Edit{}
	for _, e := range attack.Ladder() {
		edits[e.Name] = e
	}
	for number, w := range sc.names.works {
		data := read(t, filepath.Join(pictures, w.id+".png"))
		img := picture(t, data)
		want := nearDuplicate{Number: number, ID: w.id, Path: w.path, SameFile: true}
		if got := sc.near(looksOf(img), data); len(got) != 1 || got[0] != want {
			t.Errorf("the file: %+v, want %+v", got, want)
		}
		want.SameFile = false
		if got := sc.near(looksOf(img), nil); len(got) != 1 || got[0] != want {
			t.Errorf("the picture: %+v, want %+v", got, want)
		}
		copied := edits["jpeg30"].Apply(edits["flip"].Apply(img, 1), 1)
		if got := sc.near(looksOf(copied), []byte("another file")); len(got) != 1 || got[0].Number != number || !got[0].Flipped || got[0].SameFile {
			t.Errorf("a mirrored copy: %+v", got)
		}
		for turns, turned := range []image.Image{1: imaging.Rotate270(img), 2: imaging.Rotate180(img), 3: imaging.Rotate90(img)} {
			if turns == 0 {
				continue
			}
			if got := sc.near(looksOf(turned), nil); len(got) != 1 || got[0].Number != number || got[0].Turned != 90*turns || got[0].Flipped {
				t.Errorf("turned back by %d quarters it is the work: %+v", turns, got)
			}
		}
		for other := range sc.names.works {
			d, ok := sc.distanceTo(other, looksOf(copied))
			if !ok || (d <= iscc.MaxDistance) != (other == number) {
				t.Errorf("a copy of %d is %d bits from %d", number, d, other)
			}
		}
	}
	stranger := picture(t, read(t, filepath.Join(photos, "animals/ladybird.jpg")))
	if got := sc.near(looksOf(stranger), nil); len(got) != 0 {
		t.Errorf("a stranger: %+v", got)
	}
	if _, ok := sc.distanceTo(99999, looksOf(stranger)); ok {
		t.Error("a distance to a work that is not there")
	}
	if got := new(scope).near(looksOf(stranger), nil); got != nil {
		t.Errorf("without a manifest: %+v", got)
	}
}

// scopeOf is a delivery of pictures, numbered from 1.
func scopeOf(imgs ...image.Image) *scope {
	sc := &scope{names: names{works: map[int]workName{}, codes: new(iscc.Index)}}
	for i, img := range imgs {
		code := iscc.ImageCode(img, iscc.DefaultBits)
		sc.names.works[i+1] = workName{image: code}
		sc.names.codes.Add(i+1, code)
	}
	return sc
}

// TestNearIsShort: of many alike the first are told, the file itself before others.
func TestNearIsShort(t *testing.T) {
	img := picture(t, read(t, filepath.Join(photos, few[0])))
	sc := scopeOf(img, img, img, img, img, img, img)
	last := sc.names.works[7]
	last.instance = iscc.InstanceCodeOf([]byte("file"))
	sc.names.works[7] = last
	var numbers []int
	for _, d := range sc.near(looksOf(img), []byte("file")) {
		numbers = append(numbers, d.Number)
	}
	if len(numbers) != mostNear || numbers[0] != 7 || numbers[1] != 1 || numbers[4] != 4 {
		t.Errorf("%v", numbers)
	}
}

// TestNearAcrossBorders: an even border that compression made uneven does not part a copy from its work.
func TestNearAcrossBorders(t *testing.T) {
	inner := picture(t, read(t, filepath.Join(photos, few[1])))
	b := inner.Bounds()
	framed := image.NewNRGBA(image.Rect(0, 0, b.Dx()+400, b.Dy()+200))
	for i := range framed.Pix {
		framed.Pix[i] = 255
	}
	for y := range b.Dy() {
		for x := range b.Dx() {
			framed.Set(x+200, y+100, inner.At(b.Min.X+x, b.Min.Y+y))
		}
	}
	uneven := *framed
	uneven.Pix = bytes.Clone(framed.Pix)
	for i := 0; i < len(uneven.Pix); i += 4 * 97 {
		uneven.Pix[i] = 254
	}
	if d := iscc.Distance(iscc.ImageCode(framed, 64), iscc.ImageCode(&uneven, 64)); d <= iscc.MaxDistance {
		t.Fatalf("the codes differ by %d bits only: nothing is tested", d)
	}
	if got := scopeOf(&uneven).near(looksOf(framed), nil); len(got) != 1 || got[0].Distance > 2 {
		t.Errorf("%+v", got)
	}
}

// TestISCC runs the command.
func TestISCC(t *testing.T) {
	dir := copyPhotos(t, "sky/kite.jpg", "water/drop-crown.png")
	put(t, filepath.Join(dir, "notes.txt"), []byte("no picture"))
	do := func(c isccCmd) (list []isccJSON, err error) {
		var out bytes.Buffer
		var errs bytes.Buffer
		s := &session{ctx: context.Background(), stdin: strings.NewReader(""), stdout: &out, stderr: newConsole(&errs)}
		err = c.Run(s)
		return parseAll[isccJSON](t, out.String()), err
	}
	list, err := do(isccCmd{Files: []string{dir}, Bits: 64})
	if err != nil || len(list) != 3 || list[0].Skipped == nil {
		t.Fatalf("%+v, %v", list, err)
	}
	for i, name := range []string{"sky/kite.jpg", "water/drop-crown.png"} {
		data := read(t, filepath.Join(dir, name))
		img := picture(t, data)
		a := list[i+1]
		if a.Image != iscc.ImageCode(img, 64) || a.Instance != iscc.InstanceCodeOf(data) || a.Width != img.Bounds().Dx() || a.Height != img.Bounds().Dy() {
			t.Errorf("%+v", a)
		}
	}
	if list, err := do(isccCmd{Files: []string{filepath.Join(dir, "sky/kite.jpg"), filepath.Join(dir, "none.jpg")}, Bits: 256}); !errors.Is(err, errTold) || len(list) != 2 || list[0].Image.Len() != 256 || list[1].Error == nil {
		t.Errorf("%+v, %v", list, err)
	}
	for _, bits := range []int{0, 65, 288} {
		if list, err := do(isccCmd{Files: []string{dir}, Bits: bits}); codeOf(err) != exitInput || len(list) > 0 {
			t.Errorf("%d bits: %+v, %v", bits, list, err)
		}
	}
	if _, err := do(isccCmd{Files: []string{filepath.Join(dir, "notes.txt")}, Bits: 64}); codeOf(err) != exitInput {
		t.Errorf("no picture: %v", err)
	}
}
