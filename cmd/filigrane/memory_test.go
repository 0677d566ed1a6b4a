package main

import (
	"fmt"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/internal/signal"
)

// TestSeenAt: what is read is the mean of whole squares of pixels, never smaller than the trainer sees it.
func TestSeenAt(t *testing.T) {
	for _, c := range []struct{ w, h, resolution, wantW, wantH int }{
		{300, 200, 128, 300, 200}, {300, 200, 100, 150, 100}, {301, 205, 64, 100, 68}, {3000, 2000, 64, 187, 125},
	} {
		rgb, grey := image.NewNRGBA(image.Rect(0, 0, c.w, c.h)), image.NewGray(image.Rect(0, 0, c.w, c.h))
		for y := range c.h {
			for x := range c.w {
				v := uint8((x*7 + y*y*3) % 256)
				rgb.SetNRGBA(x, y, color.NRGBA{v, 255 - v, uint8(x * y), 255})
				grey.SetGray(x, y, color.Gray{v})
			}
		}
		k := c.w / c.wantW
		for _, img := range []image.Image{rgb, grey} {
			got := seenAt(img, c.resolution)
			if got.Bounds() != image.Rect(0, 0, c.wantW, c.wantH) {
				t.Fatalf("%T of %d x %d at %d: %v", img, c.w, c.h, c.resolution, got.Bounds())
			}
			full, reduced := signal.Luma(img), signal.Luma(got)
			for y := range c.wantH {
				for x := range c.wantW {
					sum := float32(0)
					for v := range k {
						for u := range k {
							sum += full.Pix[(y*k+v)*c.w+x*k+u]
						}
					}
					if d := sum/float32(k*k) - reduced.Pix[y*c.wantW+x]; d > 0.6 || d < -0.6 {
						t.Fatalf("%T at %d, %d: off by %g", img, x, y, d)
					}
				}
			}
		}
	}
	deep := image.NewGray16(image.Rect(0, 0, 300, 200))
	if seenAt(deep, 64) != image.Image(deep) {
		t.Error("16-bit pictures are read as they are")
	}
}

// TestEmbedInParallel: the answers of a batch come in order and do not depend on how many are worked on at once, nor
// does which of two pictures for one output is refused.
func TestEmbedInParallel(t *testing.T) {
	sh, masters := bank(t)
	put(t, filepath.Join(masters, "sky/kite.png"), read(t, filepath.Join(masters, "sky/kite.jpg")))
	put(t, filepath.Join(masters, "sky/broken.jpg"), []byte("\xff\xd8\xff\xe0 nothing more"))
	var answers []string
	for _, jobs := range []string{"1", "4"} {
		out := t.TempDir()
		o := sh.must(2, "embed", masters, "-o", out, "--format", "jpeg", "--concept", "sky", "-j", jobs, "--max-pixels", "2000000")
		answers = append(answers, strings.ReplaceAll(o.out, out, "OUT")+strings.ReplaceAll(o.err, out, "OUT"))
		files := []string{}
		for _, r := range parseAll[embedJSON](t, o.out) {
			files = append(files, r.File)
		}
		if len(files) != 6 || !slices.IsSorted(files) {
			t.Errorf("-j %s: %q", jobs, files)
		}
	}
	if answers[0] != answers[1] || !strings.Contains(answers[0], "kite.jpg would be written for") {
		t.Errorf("one at a time:\n%s\nfour at a time:\n%s", answers[0], answers[1])
	}
}

// TestEmbedRefusesBeyondItsLimit: a picture that would take too much memory is refused by name before it is decoded,
// and the rest of the batch is done.
func TestEmbedRefusesBeyondItsLimit(t *testing.T) {
	sh, masters := bank(t)
	host := filepath.Join(masters, "sky/kite.jpg")
	out := t.TempDir()
	for _, limit := range []int{1280 * 1024, 1280*1024 - 1} {
		o := sh.run("embed", host, "-o", filepath.Join(out, fmt.Sprint(limit)+".jpg"), "--max-pixels", fmt.Sprint(limit))
		rep := one[embedJSON](t, o.out)
		_, err := os.Stat(filepath.Join(out, fmt.Sprint(limit)+".jpg"))
		if limit == 1280*1024 && (o.code != 0 || err != nil) {
			t.Errorf("at the limit: exit code %d, %v\n%s", o.code, err, o.err)
		}
		if limit < 1280*1024 && (o.code != 2 || err == nil || rep.Error == nil || rep.Error.Kind != "too_large") {
			t.Errorf("beyond the limit: exit code %d, %+v", o.code, rep)
		}
	}
	sh.must(2, "embed", host, "-o", filepath.Join(out, "x.jpg"), "--max-pixels", "0")
}
