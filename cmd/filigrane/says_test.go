package main

import (
	"bytes"
	"image"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/gen2brain/avif"

	"github.com/filigrane/filigrane/internal/raster"
)

// TestWhatIsSaid: a delivered file is a copy of its work and looks like it; a concept without a work is what a model
// learns; a work's mark on another picture is a contradiction; a piece in somebody else's picture is found where it lies.
func TestWhatIsSaid(t *testing.T) {
	sh, masters := bank(t)
	out, dir := filepath.Join(t.TempDir(), "delivery"), t.TempDir()
	sh.must(0, "deliver", "-c", "spring", "-o", out, "--licence", "acme", "--geometry", "square:512")
	untar(t, shardOf(t, out), dir)
	files, _ := filepath.Glob(filepath.Join(dir, "*.png"))
	if len(files) != len(few) {
		t.Fatalf("%d files of %d works", len(files), len(few))
	}
	said := func(args ...string) detection {
		return one[detection](t, sh.must(0, append([]string{"detect", "-D", out}, args...)...).out)
	}

	copied := said(files[0], "--heat", filepath.Join(dir, "heat"))
	sh.must(2, "detect", "-D", out, files[0], "--heat", filepath.Join(dir, "heat")) // it is there
	sh.must(0, "detect", "-D", out, files[0], "--heat", filepath.Join(dir, "heat"), "--force")
	if want := []string{"copy of work " + copied.Work.ID}; !slices.Equal(copied.Says, want) {
		t.Errorf("a delivered file: %q, want %q", copied.Says, want)
	}
	if len(copied.Near) != 1 || copied.Near[0].ID != copied.Work.ID || !copied.Near[0].SameFile || copied.Contradiction != "" {
		t.Errorf("a delivered file looks like %+v, %q", copied.Near, copied.Contradiction)
	}
	if warm := reddish(picture(t, read(t, copied.Heat)), image.Rect(0, 0, 512, 512)); warm < 0.7 {
		t.Errorf("the heat map of a file marked all over is warm on %.2f of it", warm)
	}

	host := filepath.Join(dir, "host.png") // kite.jpg, cut as the delivery cuts it
	writePNG(t, host, imaging.Fill(picture(t, read(t, filepath.Join(masters, "sky/kite.jpg"))), 512, 512, imaging.Center, imaging.Lanczos))
	sh.must(0, "embed", host, "-o", filepath.Join(dir, "learned.png"), "--licence", "acme", "-r", "512", "--work", "none", "--concept", "semantic/mountains")
	if d := said(filepath.Join(dir, "learned.png")); !slices.Equal(d.Says, []string{"learned concept semantic/mountains"}) || d.Work != nil || d.Contradiction != "" {
		t.Errorf("a concept alone: %q, %+v", d.Says, d)
	}

	sh.must(0, "embed", host, "-o", filepath.Join(dir, "forged.png"), "--licence", "acme", "-r", "512", "--work", "mountains/picos-trail.jpg")
	d := said(filepath.Join(dir, "forged.png"))
	if d.Work == nil || d.Work.Path != "mountains/picos-trail.jpg" || !strings.Contains(d.Contradiction, "does not look like it") {
		t.Errorf("a work's mark on another picture: %+v", d)
	}
	if len(d.Near) != 1 || d.Near[0].Path != "sky/kite.jpg" {
		t.Errorf("it looks like %+v", d.Near)
	}

	testPiece(t, said, files[0], filepath.Join(dir, "collage.png"))
	testTurned(t, sh, files[0])
}

// testTurned: a copy that was turned, or cut as trainers cut, is a copy, and no contradiction.
func testTurned(t *testing.T, sh *shell, square string) {
	dir := t.TempDir()
	native := filepath.Join(dir, "native")
	sh.must(0, "deliver", "-c", "spring", "-o", native, "--licence", "native", "--geometry", "native:512")
	untar(t, shardOf(t, native), dir)
	files, _ := filepath.Glob(filepath.Join(dir, "*.png"))
	if len(files) == 0 {
		t.Fatal("nothing delivered")
	}
	whole := picture(t, read(t, files[0]))
	side := min(whole.Bounds().Dx(), whole.Bounds().Dy())
	copies := map[string]image.Image{"cut to a square": imaging.Fit(imaging.CropCenter(whole, side, side), 512, 512, imaging.Lanczos)}
	for name, img := range map[string]image.Image{"square": picture(t, read(t, square)), "native": imaging.Fit(whole, 768, 768, imaging.Lanczos)} {
		copies[name+" turned"], copies[name+" upside down"], copies[name+" flipped"] = imaging.Rotate90(img), imaging.Rotate180(img), imaging.FlipV(img)
	}
	for name, img := range copies {
		file := filepath.Join(dir, "copy.png")
		writePNG(t, file, img)
		d := one[detection](t, sh.must(0, "detect", file).out)
		if d.Work == nil || d.Contradiction != "" {
			t.Errorf("%s: work %+v, %q", name, d.Work, d.Contradiction)
		}
		if name != "cut to a square" && (len(d.Near) == 0 || d.Near[0].ID != d.Work.ID) {
			t.Errorf("%s: looks like %+v", name, d.Near)
		}
	}
}

// TestHeatNames: inputs of one name have maps of their own, and a map is not overwritten unasked.
func TestHeatNames(t *testing.T) {
	names := map[string]string{}
	for _, input := range []string{"a/x.png", "a_x.png", "../a/x.png", "/a/x.png", ".x.png", "x.png", "-", "standard-input", strings.Repeat("é", 200) + ".png", "a\nb.png"} {
		name := heatName(input)
		if other, ok := names[name]; ok || len(name) > 150 || filepath.Base(name) != name {
			t.Errorf("%q: %q, as for %q", input, name, other)
		}
		names[name] = input
	}
}

// testPiece pastes the middle of a delivered file into a picture of somebody else's.
func testPiece(t *testing.T, said func(...string) detection, file, collage string) {
	other := imaging.Fill(picture(t, read(t, filepath.Join(photos, "forest/hazel-leaves.jpg"))), 1024, 1024, imaging.Center, imaging.Lanczos)
	pasted := image.Rect(500, 90, 980, 570)
	writePNG(t, collage, imaging.Paste(other, imaging.CropCenter(picture(t, read(t, file)), 480, 480), pasted.Min))
	d := said(collage, "--level", "deep", "--heat", filepath.Dir(collage))
	if d.Work == nil || d.Piece == nil {
		t.Fatalf("%+v", d)
	}
	found := image.Rect(d.Piece.X, d.Piece.Y, d.Piece.X+d.Piece.Width, d.Piece.Y+d.Piece.Height)
	both := found.Intersect(pasted)
	if area := func(r image.Rectangle) int { return r.Dx() * r.Dy() }; area(both)*2 < area(pasted) || area(both)*2 < area(found) {
		t.Errorf("the piece at %v is found at %v", pasted, found)
	}
	heat := picture(t, read(t, d.Heat))
	if in, outside := reddish(heat, pasted.Inset(60)), reddish(heat, image.Rect(0, 600, 1024, 1024)); in < 0.8 || outside > 0.1 {
		t.Errorf("the heat map is warm on %.2f of the piece and %.2f of what is far from it", in, outside)
	}
}

// reddish is the share of a part of a heat map that is coloured.
func reddish(img image.Image, part image.Rectangle) float64 {
	n, all := 0, 0
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			r, _, b, _ := img.At(x, y).RGBA()
			if all++; r > b+0x1800 {
				n++
			}
		}
	}
	return float64(n) / float64(all)
}

func writePNG(t *testing.T, name string, img image.Image) {
	t.Helper()
	var file strings.Builder
	if err := raster.Encode(&file, &raster.Picture{Image: img, Format: raster.PNG}, raster.EncodeOptions{}); err != nil {
		t.Fatal(err)
	}
	put(t, name, []byte(file.String()))
}

// TestAVIFIsMarkedAsPNG: what is only read is written without loss, by embed and by deliver.
func TestAVIFIsMarkedAsPNG(t *testing.T) {
	sh, masters := newShell(t), t.TempDir()
	var file bytes.Buffer
	if err := avif.Encode(&file, imaging.Fit(picture(t, read(t, filepath.Join(photos, few[0]))), 600, 600, imaging.Lanczos), avif.Options{Quality: 90, Speed: 10}); err != nil {
		t.Fatal(err)
	}
	host := filepath.Join(masters, "mountains/trail.avif")
	put(t, host, file.Bytes())
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	sh.must(0, "import", masters)
	sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring")
	for _, format := range []string{"auto", "source"} {
		dir := t.TempDir()
		rep := one[embedJSON](t, sh.must(0, "embed", host, "-o", dir, "--format", format, "-r", "400").out)
		if rep.Format != "png" || rep.Output != filepath.Join(dir, "trail.png") || rep.PSNRDB < 38 {
			t.Errorf("--format %s: %+v", format, rep)
		}
		sh.must(0, "detect", rep.Output)
	}
	out := filepath.Join(t.TempDir(), "delivery")
	sh.must(0, "deliver", "-c", "spring", "-o", out, "--licence", "acme", "--geometry", "square:400", "--format", "source")
	dir := t.TempDir()
	untar(t, shardOf(t, out), dir)
	if files, _ := filepath.Glob(filepath.Join(dir, "*.png")); len(files) != 1 {
		t.Errorf("delivered %q", files)
	}
}
