package detect_test

import (
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/testphotos"
)

// grid adds to a picture what a generator with tokens of 16 pixels leaves in all of its outputs: seams, and a pattern of
// its own in every token.
func grid(img image.Image) image.Image {
	out := imaging.Clone(img)
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			u, v := x%16, y%16
			d := (u*7+v*13+u*v)%9 - 4
			if u == 0 || v == 0 {
				d += 4
			}
			c := out.NRGBAAt(x, y)
			shift := func(s uint8) uint8 { return uint8(min(255, max(0, int(s)+d))) }
			out.SetNRGBA(x, y, color.NRGBA{shift(c.R), shift(c.G), shift(c.B), 255})
		}
	}
	return out
}

// TestReadAgainstTakesOutWhatIsShared: under a generator's grid a concept is named only once the grid, which sits in
// other outputs too, is taken out; the grid itself names nothing.
func TestReadAgainstTakesOutWhatIsShared(t *testing.T) {
	var marked, unmarked, others []image.Image
	for i, name := range testphotos.Names(t)[:24] {
		host := testphotos.Square(t, name, 256)
		switch i % 3 {
		case 0:
			marked = append(marked, grid(markAs(t, host, 44, 256, []int{77}, 0)))
		case 1:
			others = append(others, grid(markAs(t, host, 44, 256, []int{78 + i}, 0)))
		case 2:
			unmarked = append(unmarked, grid(host))
		}
	}
	r := reader(t, "ours", detect.Options{Resolution: 256, Scales: []float64{}, WithoutWorks: true})
	against, err := detect.NewOthers(others...)
	if err != nil {
		t.Fatal(err)
	}
	alone := read(t, r, marked...)
	got, err := r.ReadAgainst(against, marked...)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Concepts) != 1 || got.Concepts[0].Number != 77 || got.Against != len(others) {
		t.Errorf("against others: %+v, best %+v, %d others", got.Concepts, got.Best, got.Against)
	}
	if len(alone.Concepts) > 0 && alone.Concepts[0].T >= got.Concepts[0].T {
		t.Errorf("alone T %.1f, against others %.1f: nothing was gained", alone.Concepts[0].T, got.Concepts[0].T)
	}
	if d := got.Delivery; d.T != alone.Delivery.T || math.Abs(d.RMS/alone.Delivery.RMS-1) > 0.2 {
		t.Errorf("the delivery changed from %+v to %+v", alone.Delivery, d)
	}
	if got.Detectable.Delivery != alone.Detectable.Delivery || got.Detectable.Concept == alone.Detectable.Concept || got.Detectable.Work != 0 {
		t.Errorf("detectable %+v, alone %+v", got.Detectable, alone.Detectable)
	}
	nothing, err := r.ReadAgainst(against, unmarked...)
	if err != nil {
		t.Fatal(err)
	}
	if len(nothing.Concepts) > 0 {
		t.Errorf("the grid alone names %+v", nothing.Concepts)
	}
	stranger, err := reader(t, "theirs", detect.Options{Resolution: 256, Scales: []float64{}}).ReadAgainst(against, marked...)
	if err != nil {
		t.Fatal(err)
	}
	if stranger.Verdict == detect.Attributed {
		t.Errorf("a key that was never embedded: %+v", stranger)
	}
	if _, err := detect.NewOthers(image.NewNRGBA(image.Rect(0, 0, 10, 10))); err == nil {
		t.Error("a picture of 10 x 10 pixels was accepted")
	}
}
