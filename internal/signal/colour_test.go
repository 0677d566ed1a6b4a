package signal_test

import (
	"image"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/filigrane/filigrane/internal/signal"
)

// TestLumaIsThatOfLumaChroma: to the last bit, in every type, also of a part of a larger picture.
func TestLumaIsThatOfLumaChroma(t *testing.T) {
	r := image.Rect(0, 0, 300, 200)
	rgb, grey, deep, deepGrey := image.NewNRGBA(r), image.NewGray(r), image.NewNRGBA64(r), image.NewGray16(r)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, pix := range [][]uint8{rgb.Pix, grey.Pix, deep.Pix, deepGrey.Pix} {
		for i := range pix {
			pix[i] = uint8(rng.Uint32())
		}
	}
	for _, img := range []image.Image{rgb, grey, deep, deepGrey, rgb.SubImage(image.Rect(7, 11, 207, 111))} {
		want, _, _ := signal.LumaChroma(img)
		got := signal.Luma(img)
		if got.W != want.W || got.H != want.H || !slices.Equal(got.Pix, want.Pix) {
			t.Errorf("%T: luma alone is not that of LumaChroma", img)
		}
	}
}

// TestLumaHalfChromaIsLumaChromaHalved: to the last bit, in every type, of odd sizes, also of a part of a larger picture.
func TestLumaHalfChromaIsLumaChromaHalved(t *testing.T) {
	r := image.Rect(0, 0, 31, 17)
	rgb, deep := image.NewNRGBA(r), image.NewNRGBA64(r)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, pix := range [][]uint8{rgb.Pix, deep.Pix} {
		for i := range pix {
			pix[i] = uint8(rng.Uint32())
		}
	}
	for _, img := range []image.Image{rgb, deep, rgb.SubImage(image.Rect(3, 2, 23, 12))} {
		y, cb, cr := signal.LumaChroma(img)
		gotY, gotCb, gotCr := signal.LumaHalfChroma(img)
		for i, p := range [][2]*signal.Plane{{gotY, y}, {gotCb, signal.Halve(cb)}, {gotCr, signal.Halve(cr)}} {
			if p[0].W != p[1].W || p[0].H != p[1].H || !slices.Equal(p[0].Pix, p[1].Pix) {
				t.Errorf("%T: plane %d differs", img, i)
			}
		}
	}
	if y, cb, cr := signal.LumaHalfChroma(image.NewGray(r)); y.W != 31 || cb != nil || cr != nil {
		t.Error("a grey picture has luma only")
	}
}
