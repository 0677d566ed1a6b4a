package detect_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/attack"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

var profile = mark.Profile1()

func keys(t testing.TB, bank string) mark.Keys {
	t.Helper()
	k, err := mark.NewKey(bytes.Repeat([]byte{1}, mark.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k.Delivery(mark.Path{Bank: bank}).Keys()
}

// markAs embeds names into a picture at a PSNR under the keys of bank "ours".
func markAs(t testing.TB, host image.Image, psnrDB float64, resolution int, concepts []int, work int) image.Image {
	t.Helper()
	b := mark.NewBooks(profile, keys(t, "ours"))
	marked, _, err := embed.Mark(host, mark.NewCell(profile, b, mark.Names{Concepts: concepts, Work: work}), embed.Options{PSNRDB: psnrDB, Resolution: resolution})
	if err != nil {
		t.Fatal(err)
	}
	return marked
}

func reader(t testing.TB, bank string, opt detect.Options) *detect.Reader {
	return detect.NewReader(profile, keys(t, bank), opt)
}

func read(t testing.TB, r *detect.Reader, imgs ...image.Image) detect.Reading {
	t.Helper()
	got, err := r.Read(imgs...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// deep gives a picture 16 bits, so that a mark far below one level is not rounded away.
func deep(img *image.NRGBA) *image.NRGBA64 {
	d := image.NewNRGBA64(img.Rect)
	draw.Draw(d, d.Rect, img, img.Rect.Min, draw.Src)
	return d
}

func TestNamesThroughTheLadder(t *testing.T) {
	r := reader(t, "ours", detect.Options{})
	for i, name := range []string{"flowers/marigold.jpg", "sky/kite.jpg", "forest/woodland-rocks.jpg"} {
		concept, work := 1+i*30000, 1048576-i*500000
		marked := markAs(t, testphotos.Square(t, name, 1024), 40, 1024, []int{concept}, work)
		for _, e := range attack.Ladder() {
			got := read(t, r, e.Apply(marked, 7))
			if got.Verdict != detect.Attributed || !got.WorkFound() || got.Work.Number != work {
				t.Errorf("%s after %s: %s, work %d at T %.1f, want %d", name, e.Name, got.Verdict, got.Work.Number, got.Work.T, work)
			}
			for _, c := range got.Concepts {
				if c.Number != concept {
					t.Errorf("%s after %s: wrong concept %d at T %.1f", name, e.Name, c.Number, c.T)
				}
			}
			if e.Name == "none" || e.Name == "jpeg90" || e.Name == "flip" {
				if !got.DeliveryFound() || len(got.Concepts) != 1 {
					t.Errorf("%s after %s: delivery T %.1f, %d concepts, best other %.1f", name, e.Name, got.Delivery.T, len(got.Concepts), got.Best.T)
				}
			}
		}
	}
}

func TestNothingIsNamedWithoutAMark(t *testing.T) {
	ours, theirs := reader(t, "ours", detect.Options{}), reader(t, "theirs", detect.Options{})
	for _, name := range []string{"flowers/marigold.jpg", "patterns/facade-waves.jpg", "sky/kite.jpg"} {
		host := testphotos.Square(t, name, 1024)
		for reader, img := range map[*detect.Reader]image.Image{ours: host, theirs: markAs(t, host, 38, 1024, []int{9}, 9)} {
			got := read(t, reader, img)
			if got.Verdict == detect.Attributed || len(got.Concepts) > 0 || got.WorkFound() || got.DeliveryFound() {
				t.Errorf("%s: %+v", name, got)
			}
			if got.Detectable.Concept <= 0 || got.Detectable.Concept > 2 || got.Detectable.Work <= 0 || got.Detectable.Work > 4 {
				t.Errorf("%s: detectable %+v", name, got.Detectable)
			}
		}
	}
}

func TestSaysWhatWasDoneToThePicture(t *testing.T) {
	r := reader(t, "ours", detect.Options{Level: detect.Deep})
	marked := markAs(t, testphotos.Square(t, "flowers/marigold.jpg", 1024), 42, 1024, []int{5}, 5)
	for _, c := range []struct {
		name   string
		img    image.Image
		want   detect.Alignment
		turned bool // where the pattern's centre lies is not compared
	}{
		{"nothing", marked, detect.Alignment{Scale: 1, CellPx: 64, Aspect: 1}, false},
		{"flipped", imaging.FlipH(marked), detect.Alignment{Orientation: detect.Orientation{Flip: true}, Scale: 1, CellPx: 64, Aspect: 1}, false},
		{"a quarter turn", imaging.Rotate90(marked), detect.Alignment{Orientation: detect.Orientation{Turns: 1}, Scale: 1, CellPx: 64, Aspect: 1}, false},
		{"half a turn", imaging.Rotate180(marked), detect.Alignment{Orientation: detect.Orientation{Turns: 2}, Scale: 1, CellPx: 64, Aspect: 1}, false},
		{"half size", imaging.Resize(marked, 512, 512, imaging.Lanczos), detect.Alignment{Scale: 0.5, CellPx: 32, Aspect: 1}, false},
		{"double size", imaging.Resize(marked, 2048, 2048, imaging.Lanczos), detect.Alignment{Scale: 2, CellPx: 128, Aspect: 1}, false},
		// cut 1 px to the left of and 13 px above the centre of a 700 x 700 window at (162-1, 162+13)
		{"cut off centre", imaging.Crop(marked, image.Rect(161, 175, 861, 875)), detect.Alignment{Scale: 1, CellPx: 64, Aspect: 1, ShiftX: 1. / 64, ShiftY: -13. / 64}, false},
		{"half size, cut", imaging.Crop(imaging.Resize(marked, 512, 512, imaging.Lanczos), image.Rect(0, 0, 480, 470)), detect.Alignment{Scale: 0.5, CellPx: 32, Aspect: 1, ShiftX: 0.5, ShiftY: -11. / 32}, false},
		{"cut and scaled by no round factor", imaging.Resize(imaging.Crop(marked, image.Rect(31, 57, 931, 757)), 513, 399, imaging.Lanczos), detect.Alignment{Scale: 0.57, CellPx: 36.48, Aspect: 1}, true},
		{"turned by 2 degrees", imaging.Rotate(marked, 2, color.Black), detect.Alignment{Scale: 1, CellPx: 64, Rotation: 2, Aspect: 1}, true},
		{"turned by -11.5 degrees, cut and scaled", imaging.Resize(imaging.CropCenter(imaging.Rotate(marked, -11.5, color.White), 850, 850), 600, 600, imaging.Lanczos), detect.Alignment{Scale: 0.706, CellPx: 45.18, Rotation: -11.5, Aspect: 1}, true},
		{"stretched", imaging.Resize(marked, 1060, 985, imaging.Lanczos), detect.Alignment{Scale: 0.998, CellPx: 63.87, Aspect: 1.076}, true},
	} {
		got := read(t, r, c.img)
		if !got.WorkFound() {
			t.Errorf("%s: not read, %+v", c.name, got)
			continue
		}
		a := got.Alignment
		if a.ShiftX < -0.49 { // half a cell either way is one place
			a.ShiftX += 1
		}
		if c.turned {
			a.ShiftX, a.ShiftY = 0, 0
		}
		if math.Abs(a.Rotation-c.want.Rotation) < 0.1 {
			a.Rotation = c.want.Rotation
		}
		if d := cmp.Diff(c.want, a, cmpopts.EquateApprox(0.0015, 0.03)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestSeveralConceptsByCancellation(t *testing.T) {
	r := reader(t, "ours", detect.Options{})
	host := testphotos.Square(t, "flowers/marigold.jpg", 1024)
	for _, want := range [][]int{{1}, {1, 65536}, {100, 101}, {7, 300, 65000}} {
		got := read(t, r, markAs(t, host, 42, 1024, want, 3))
		var names []int
		share := 0.0
		for _, c := range got.Concepts {
			names = append(names, c.Number)
			share += c.Share
			if math.Abs(c.Share-1/float64(len(want))) > 0.1 {
				t.Errorf("%v: share of %d is %.2f", want, c.Number, c.Share)
			}
		}
		if d := cmp.Diff(want, names, cmpopts.SortSlices(func(a, b int) bool { return a < b })); d != "" {
			t.Errorf("%v: %s", want, d)
		}
		if math.Abs(share-1) > 1e-9 {
			t.Errorf("%v: shares add up to %v", want, share)
		}
	}
}

// TestFoldingPicturesFindsWhatOneDoesNotShow: a mark too weak for any one picture is found in a dozen
// different pictures read together, with no more trials.
func TestFoldingPicturesFindsWhatOneDoesNotShow(t *testing.T) {
	r := reader(t, "ours", detect.Options{Resolution: 256})
	var weak []image.Image
	for _, name := range testphotos.Names(t)[:12] {
		weak = append(weak, markAs(t, deep(testphotos.Square(t, name, 256)), 60, 256, []int{42}, 0))
	}
	together := read(t, r, weak...)
	if len(together.Concepts) != 1 || together.Concepts[0].Number != 42 || together.WorkFound() {
		t.Errorf("together: delivery T %.1f, concepts %v, best %+v, work T %.1f", together.Delivery.T, together.Concepts, together.Best, together.Work.T)
	}
	alone := 0
	for _, img := range weak {
		alone += len(read(t, r, img).Concepts)
	}
	t.Logf("delivery T %.1f, concepts %v; alone %d of %d", together.Delivery.T, together.Concepts, alone, len(weak))
	if alone > len(weak)/2 {
		t.Errorf("%d of %d pictures name the concept alone: the test shows nothing", alone, len(weak))
	}
}

// TestBoundHoldsOverKeys is the theory on real material: over keys drawn afresh, the statistic of a fixed
// photograph stays under exp(-t^2/2), and close to a normal law within it.
func TestBoundHoldsOverKeys(t *testing.T) {
	n, err := detect.NewNull(profile, 512, testphotos.Square(t, "patterns/facade-waves.jpg", 512))
	if err != nil {
		t.Fatal(err)
	}
	const keys = 20000
	over := map[float64]int{}
	for i := range keys {
		ts := n.T([]byte("test"), i)
		for _, at := range []float64{1, 2, 3} {
			if ts >= at {
				over[at]++
			}
		}
	}
	for at, count := range over {
		bound, normal := math.Exp(-at*at/2), math.Erfc(at/math.Sqrt2)/2
		if p := float64(count) / keys; p > bound || math.Abs(p-normal) > 5*math.Sqrt(normal/keys) {
			t.Errorf("T >= %v: %v of keys, bound %v, normal law %v", at, p, bound, normal)
		}
	}
}

func TestBoundKnownValues(t *testing.T) {
	// evidence.md 3.2: T needed for M hypotheses at level alpha, two decimals
	for _, c := range []struct{ m, alpha, t float64 }{{1, 1e-3, 3.72}, {1024, 1e-6, 6.44}, {65536, 1e-6, 7.06}, {65536, 1e-9, 7.98}, {65536 * 1000, 1e-9, 8.80}} {
		if p := detect.Bound(c.t, c.m); p < c.alpha*0.9 || p > c.alpha*1.1 {
			t.Errorf("M=%v, T=%v: %v, want about %v", c.m, c.t, p, c.alpha)
		}
	}
	if detect.Bound(-8, 1) != 1 || detect.Bound(0.1, 1e9) != 1 {
		t.Error("a bound over 1, or credit for an inverted mark")
	}
}

func TestMoreKeysInScopeCostMore(t *testing.T) {
	img := markAs(t, testphotos.Square(t, "flowers/marigold.jpg", 512), 42, 512, []int{5}, 5)
	one := read(t, reader(t, "ours", detect.Options{Resolution: 512}), img)
	many := read(t, reader(t, "ours", detect.Options{Resolution: 512, Keys: 1000}), img)
	if many.Work.M != 1000*one.Work.M || many.Delivery.M != 1000*one.Delivery.M || many.Concepts[0].M != 1000*one.Concepts[0].M {
		t.Errorf("M of one key %v, of 1000 keys %v", one.Work.M, many.Work.M)
	}
}

func TestRankAmongDecoys(t *testing.T) {
	opt := detect.Options{Resolution: 512, Scales: []float64{}}
	r := reader(t, "ours", opt)
	host := testphotos.Square(t, "flowers/marigold.jpg", 512)
	marked := markAs(t, host, 42, 512, []int{5}, 5)
	rank := func(img image.Image, goOn func() bool) detect.Rank {
		got, err := detect.RankAmongDecoys(read(t, r, img), profile, opt, []byte("the expert's seed"), 40, goOn, nil, img)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := rank(marked, nil); got.Rank != 1 || got.P != 1./41 || got.Highest > 0 || got.Score < 20 {
		t.Errorf("marked: %+v", got)
	}
	if got := rank(host, nil); got.Decoys != 40 || got.Rank < 2 {
		t.Errorf("unmarked, yet above all decoys: %+v", got)
	}
	n := 0
	if got := rank(host, func() bool { n++; return n <= 3 }); got.Decoys != 3 {
		t.Errorf("stopped after 3: %+v", got)
	}
}

// TestDetectableAmplitude: a mark of the strength called detectable is found most times, one of half that
// strength hardly ever.
func TestDetectableAmplitude(t *testing.T) {
	r := reader(t, "ours", detect.Options{Resolution: 512})
	found := map[float64]int{}
	names := testphotos.Names(t)
	for i := 0; i < len(names); i += 5 {
		host := deep(testphotos.Square(t, names[i], 512))
		weakest := read(t, r, host).Detectable.Work
		for _, factor := range []float64{0.5, 2} {
			// lattice W alone has 49.3 dB when the whole mark has 42
			psnr := 42 + 20*math.Log10(255*math.Pow(10, -49.3/20)/(weakest*factor))
			got := read(t, r, markAs(t, host, psnr, 512, nil, 77))
			if got.WorkFound() {
				found[factor]++
			}
		}
	}
	n := (len(names) + 4) / 5
	if found[2] < n*3/4 || found[0.5] > n/4 {
		t.Errorf("of %d pictures, %d are read at twice the detectable strength, %d at half", n, found[2], found[0.5])
	}
}

func TestReadIsDeterministic(t *testing.T) {
	r := reader(t, "ours", detect.Options{Resolution: 512})
	img := markAs(t, testphotos.Square(t, "flowers/marigold.jpg", 512), 42, 512, []int{5}, 5)
	a, b := fmt.Sprintf("%+v", strip(read(t, r, img))), fmt.Sprintf("%+v", strip(read(t, r, img)))
	if a != b {
		t.Errorf("%s\n%s", a, b)
	}
}

// strip removes pointers, whose addresses differ.
func strip(r detect.Reading) any {
	r.Best.RunnerUp, r.Work.RunnerUp = nil, nil
	for i := range r.Concepts {
		r.Concepts[i].RunnerUp = nil
	}
	return struct {
		detect.Finding
		Work, Best detect.Finding
		Concepts   []detect.Finding
		A          detect.Alignment
	}{r.Delivery, r.Work, r.Best, r.Concepts, r.Alignment}
}

func TestSmallFlatAndOddPictures(t *testing.T) {
	r := reader(t, "ours", detect.Options{})
	if _, err := r.Read(image.NewGray(image.Rect(0, 0, 40, 4000))); !errors.Is(err, detect.ErrTooSmall) {
		t.Errorf("40 x 4000: %v", err)
	}
	for _, img := range []image.Image{image.NewGray(image.Rect(0, 0, 64, 64)), image.NewNRGBA(image.Rect(0, 0, 65, 999)), image.NewGray16(image.Rect(0, 0, 301, 77)), image.NewNRGBA64(image.Rect(0, 0, 64, 64))} {
		if got := read(t, r, img); got.Verdict != detect.Absent || got.Detectable.Work != 0 && got.Detectable.Work < 0.001 {
			t.Errorf("%T %v: %+v", img, img.Bounds(), got)
		}
	}
	grey := imaging.Grayscale(testphotos.Square(t, "flowers/marigold.jpg", 512))
	g := image.NewGray(grey.Rect)
	for i := range g.Pix {
		g.Pix[i] = grey.Pix[4*i]
	}
	if got := read(t, reader(t, "ours", detect.Options{Resolution: 512}), markAs(t, g, 42, 512, []int{5}, 6)); got.Work.Number != 6 || !got.WorkFound() || len(got.Concepts) != 1 {
		t.Errorf("grey: %+v", got)
	}
}
