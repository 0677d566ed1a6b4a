package attack

import (
	"bytes"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/filigrane/filigrane/internal/signal"
)

// picture returns a w x h photograph-like picture: slopes, a few waves and a little grain, fixed by seed.
func picture(w, h int, seed uint64) *image.NRGBA {
	rng := rand.New(rand.NewPCG(seed, 0))
	p := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			fx, fy := float64(x), float64(y)
			v := 128 + 40*math.Sin(fx/9+fy/23) + 25*math.Sin(fy/5-fx/31) + 12*math.Sin(fx*fy/700) + 4*rng.NormFloat64()
			for c := range 3 {
				s := v + 20*math.Sin(float64(c)+fx/50)
				p.Pix[y*p.Stride+4*x+c] = uint8(max(0, min(255, s)))
			}
			p.Pix[y*p.Stride+4*x+3] = 255
		}
	}
	return p
}

// uniform returns a picture with every sample at v.
func uniform(w, h int, v uint8) *image.NRGBA {
	p := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range p.Pix {
		p.Pix[i] = v
		if i%4 == 3 {
			p.Pix[i] = 255
		}
	}
	return p
}

// inType returns a w x h picture of the named type at an origin off (0,0), as a sub-image of a larger
// one, so that origin and stride both matter.
func inType(name string, w, h int) image.Image {
	src := picture(w+5, h+3, 7)
	b := src.Rect.Add(image.Pt(-2, 11))
	cut := image.Rect(1, 12, 1+w, 12+h)
	switch name {
	case "NRGBA":
		src.Rect = b
		return src.SubImage(cut)
	case "NRGBA64":
		p := image.NewNRGBA64(b)
		for i, v := range src.Pix {
			p.Pix[2*i], p.Pix[2*i+1] = v, v
		}
		return p.SubImage(cut)
	case "Gray":
		p := image.NewGray(b)
		for i := range p.Pix {
			p.Pix[i] = src.Pix[4*i]
		}
		return p.SubImage(cut)
	case "Gray16":
		p := image.NewGray16(b)
		for i := range p.Pix {
			p.Pix[i] = src.Pix[i/2*4]
		}
		return p.SubImage(cut)
	}
	panic(name)
}

var typeNames = []string{"NRGBA", "NRGBA64", "Gray", "Gray16"}

var allEdits = sync.OnceValue(func() []Edit {
	return slices.Concat(Ladder(), ExtraEdits(), DeepEdits(), peersOwn(), []Edit{Blend50(picture(40, 30, 99)), Collage(picture(40, 30, 99))})
})

// peersOwn returns the edits of PeersLadder that are not those of Ladder under another name.
func peersOwn() []Edit {
	return slices.DeleteFunc(PeersLadder(), func(e Edit) bool {
		kind, _, _ := strings.Cut(e.Name, "_")
		return kind != "resize" && kind != "crop" && kind != "rotate"
	})
}

// edit returns the edit of that name.
func edit(t testing.TB, name string) Edit {
	t.Helper()
	for _, e := range allEdits() {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("no edit %q", name)
	return Edit{}
}

func apply(t testing.TB, name string, img image.Image, seed uint64) *image.NRGBA {
	t.Helper()
	return edit(t, name).Apply(img, seed).(*image.NRGBA)
}

func pix(img image.Image) []byte {
	switch img := img.(type) {
	case *image.NRGBA:
		return img.Pix
	case *image.NRGBA64:
		return img.Pix
	case *image.Gray:
		return img.Pix
	case *image.Gray16:
		return img.Pix
	}
	panic(fmt.Sprintf("%T", img))
}

func TestNames(t *testing.T) {
	want := []string{
		"none", "jpeg90", "jpeg75", "jpeg50", "jpeg30", "webp75", "half_jpeg85", "px300",
		"crop90", "crop75", "crop50", "flip", "bright+20", "bright-20", "noise10", "blur1", "square512",
	}
	var got []string
	for _, e := range Ladder() {
		got = append(got, e.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("ladder = %q\nwant     %q", got, want)
	}
	seen := map[string]bool{}
	for _, e := range allEdits() {
		if seen[e.Name] {
			t.Errorf("two edits are called %q", e.Name)
		}
		seen[e.Name] = true
		if e.About == "" {
			t.Errorf("%s: does not say what it does", e.Name)
		}
	}
}

// TestEveryEdit checks what all edits promise, on every type and on awkward sizes: a picture at the
// origin, opaque NRGBA except for none, R = G = B from grey, the argument left alone, the same bytes
// from the same seed.
func TestEveryEdit(t *testing.T) {
	sizes := []image.Point{{1, 1}, {7, 5}, {1, 9}, {64, 48}, {321, 303}}
	for _, e := range allEdits() {
		for _, typeName := range typeNames {
			for _, size := range sizes {
				t.Run(fmt.Sprintf("%s/%s/%dx%d", e.Name, typeName, size.X, size.Y), func(t *testing.T) {
					checkEdit(t, e, typeName, size)
				})
			}
		}
	}
}

func checkEdit(t *testing.T, e Edit, typeName string, size image.Point) {
	img := inType(typeName, size.X, size.Y)
	before := bytes.Clone(pix(img))
	out := e.Apply(img, 42)
	if !bytes.Equal(before, pix(img)) {
		t.Error("wrote to its argument")
	}
	if out.Bounds().Min != (image.Point{}) || out.Bounds().Empty() {
		t.Errorf("bounds %v", out.Bounds())
	}
	if again := e.Apply(img, 42); !bytes.Equal(pix(out), pix(again)) {
		t.Error("same seed, other bytes")
	}
	if e.Name == "none" {
		if fmt.Sprintf("%T", out) != fmt.Sprintf("%T", img) {
			t.Errorf("type %T from %T", out, img)
		}
		return
	}
	p, ok := out.(*image.NRGBA)
	if !ok {
		t.Fatalf("type %T", out)
	}
	if p.Stride != 4*p.Rect.Dx() || len(p.Pix) != p.Stride*p.Rect.Dy() {
		t.Errorf("stride %d and %d bytes for %v", p.Stride, len(p.Pix), p.Rect)
	}
	spread := 255
	switch {
	case strings.HasPrefix(e.Name, "webp") && typeName[0] == 'G':
		spread = 1 // the rounding of its conversion from YUV
	case e.Name != "blend50" && e.Name != "collage384" && typeName[0] == 'G':
		spread = 0
	}
	for i := 0; i < len(p.Pix); i += 4 {
		if p.Pix[i+3] != 255 {
			t.Fatalf("pixel %d: alpha %d", i/4, p.Pix[i+3])
		}
		if rgb := p.Pix[i : i+3]; int(slices.Max(rgb))-int(slices.Min(rgb)) > spread {
			t.Fatalf("pixel %d: %v from a grey picture", i/4, rgb)
		}
	}
}

func TestNoneKeepsEverything(t *testing.T) {
	for _, name := range typeNames {
		img := inType(name, 13, 9)
		out := edit(t, "none").Apply(img, 0)
		for y := range 9 {
			for x := range 13 {
				o := img.Bounds().Min
				if got, want := out.At(x, y), img.At(o.X+x, o.Y+y); got != want {
					t.Fatalf("%s: (%d,%d) = %v, want %v", name, x, y, got, want)
				}
			}
		}
		pix(out)[0] ^= 255
		if o := img.Bounds().Min; out.At(0, 0) == img.At(o.X, o.Y) {
			t.Errorf("%s: the copy shares the picture's memory", name)
		}
	}
}

// TestTurnCroppedHasNoCorners: what the largest rectangle keeps of a white picture is white.
func TestTurnCroppedHasNoCorners(t *testing.T) {
	for _, size := range []image.Point{{640, 481}, {300, 500}, {200, 200}} {
		for i, v := range apply(t, "rotate5", uniform(size.X, size.Y, 255), 0).Pix {
			if v != 255 {
				t.Fatalf("%v: sample %d is %d: a corner of the frame", size, i, v)
			}
		}
	}
}

// TestRotationsTurnAnticlockwise follows a dark dot on the right, at mid-height, up and down.
func TestRotationsTurnAnticlockwise(t *testing.T) {
	p := uniform(201, 201, 255)
	for y := 98; y <= 102; y++ {
		for x := 178; x <= 182; x++ {
			copy(p.Pix[y*p.Stride+4*x:], []byte{0, 0, 0})
		}
	}
	for name, degrees := range map[string]float64{"rotate2": 2, "rotate-15": -15, "rotate10": 10, "rotate_2deg": 2} {
		got := apply(t, name, p, 0)
		s, c := math.Sincos(degrees * math.Pi / 180)
		x, y := got.Rect.Dx()/2+int(math.Round(80*c)), got.Rect.Dy()/2-int(math.Round(80*s))
		if v := got.NRGBAAt(x, y).R; v > 100 {
			t.Errorf("%s: no dot at (%d,%d), but %d", name, x, y, v)
		}
	}
}

// TestStretch: percentiles go to the ends, by a straight line in between.
func TestStretch(t *testing.T) {
	p := uniform(10, 10, 100)
	for i := 0; i < 50*4; i += 4 {
		copy(p.Pix[i:], []byte{50, 50, 50})
	}
	copy(p.Pix[4*70:], []byte{75, 75, 75}) // one of a hundred: no percentile
	got := apply(t, "stretch", p, 0)
	for at, want := range map[int]uint8{0: 0, 99: 255, 70: 128} { // 255 * 25/50 = 127.5
		if v := got.Pix[4*at]; v != want {
			t.Errorf("pixel %d: %d, want %d", at, v, want)
		}
	}
	if same := apply(t, "stretch", uniform(9, 9, 7), 0); same.Pix[0] != 7 {
		t.Errorf("a uniform picture of 7 became %d", same.Pix[0])
	}
}

// TestPeersNames holds the names against the table that the peers' figures are in.
func TestPeersNames(t *testing.T) {
	known := map[string]bool{}
	text, err := os.ReadFile("../../testdata/ladder/peers.csv")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n")[1:] {
		if columns := strings.Split(line, ","); len(columns) > 2 {
			known[columns[2]] = true
		}
	}
	names := []string{PeersBlend, PeersRemarked}
	for _, e := range PeersLadder() {
		names = append(names, e.Name)
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("no peer was measured with %q", name)
		}
		delete(known, name)
	}
	for name := range known {
		if name != "unmarked_original" && !strings.HasSuffix(name, "realigned") && !strings.HasSuffix(name, "realigned_with_original") {
			t.Errorf("the peers' edit %q is missing", name)
		}
	}
}

// TestOpaque8 holds the first step of every edit against hand-worked values.
func TestOpaque8(t *testing.T) {
	n := image.NewNRGBA(image.Rect(0, 0, 3, 1))
	copy(n.Pix, []byte{200, 100, 0, 255, 200, 100, 0, 128, 9, 9, 9, 0})
	// 200*128/255 + 255*127/255 = 227.39; 100 -> 177.20; 0 -> 127; a transparent pixel is white.
	want := []byte{200, 100, 0, 255, 227, 177, 127, 255, 255, 255, 255, 255}
	if got := opaque8(n).Pix; !bytes.Equal(got, want) {
		t.Errorf("NRGBA: %v, want %v", got, want)
	}
	// 16-bit samples around the middle between 100 (25700) and 101 (25957): 25828 -> 100, 25829 -> 101.
	g := image.NewGray16(image.Rect(0, 0, 3, 1))
	for i, v := range []int{25828, 25829, 65535} {
		g.Pix[2*i], g.Pix[2*i+1] = byte(v>>8), byte(v)
	}
	want = []byte{100, 100, 100, 255, 101, 101, 101, 255, 255, 255, 255, 255}
	if got := opaque8(g).Pix; !bytes.Equal(got, want) {
		t.Errorf("Gray16: %v, want %v", got, want)
	}
	c := &image.NRGBA64{Pix: []byte{0x64, 0x64, 0, 0, 255, 255, 0x80, 0x80}, Stride: 8, Rect: image.Rect(0, 0, 1, 1)}
	if got, want := opaque8(c).Pix, []byte{177, 127, 255, 255}; !bytes.Equal(got, want) {
		t.Errorf("NRGBA64: %v, want %v", got, want)
	}
}

func TestTwiceIsIdentity(t *testing.T) {
	p := picture(31, 18, 1)
	for _, name := range []string{"flip", "rotate180"} {
		once := apply(t, name, p, 0)
		if bytes.Equal(once.Pix, p.Pix) {
			t.Errorf("%s does nothing", name)
		}
		if !bytes.Equal(apply(t, name, once, 0).Pix, p.Pix) {
			t.Errorf("%s twice is not the identity", name)
		}
	}
	turned := p
	for range 4 {
		turned = apply(t, "rotate90", turned, 0)
	}
	if !bytes.Equal(turned.Pix, p.Pix) {
		t.Error("rotate90 four times is not the identity")
	}
	// Anticlockwise: the top right corner goes to the top left.
	if got, want := apply(t, "rotate90", p, 0).NRGBAAt(0, 0), p.NRGBAAt(30, 0); got != want {
		t.Errorf("rotate90: top left = %v, want %v", got, want)
	}
	if got, want := apply(t, "flip", p, 0).NRGBAAt(0, 4), p.NRGBAAt(30, 4); got != want {
		t.Errorf("flip: left = %v, want %v", got, want)
	}
}

func TestSizes(t *testing.T) {
	tests := []struct {
		edit   string
		w, h   int
		ww, wh int
	}{
		{"half_jpeg85", 640, 481, 320, 241},
		{"px300", 900, 600, 450, 300},
		{"px300", 600, 900, 300, 450},
		{"px300", 1001, 333, 902, 300}, // 1001 * 300/333 = 901.8
		{"px300", 1000, 200, 1000, 200},
		{"px300_jpeg85", 900, 600, 450, 300},
		{"crop90", 640, 481, 576, 433}, // 432.9
		{"crop75", 640, 481, 480, 361}, // 360.75
		{"crop50", 640, 481, 320, 241}, // 240.5
		{"square512", 640, 481, 512, 512},
		{"square512", 30, 20, 512, 512},
		{"upscale125", 640, 481, 800, 601}, // 601.25
		{"rotate90", 640, 481, 481, 640},
		{"blend50", 640, 481, 640, 481},
		{"resize_256px_as_submitted", 1024, 682, 256, 171}, // 170.5
		{"resize_256px_as_submitted", 682, 1024, 171, 256},
		{"resize_256px_and_back", 640, 481, 640, 481},
		{"resize_0.5x_as_submitted", 640, 481, 320, 241},
		{"resize_0.5x_and_back", 640, 481, 640, 481},
		{"crop_90pct_as_submitted", 640, 481, 576, 433},
		{"rotate_2deg", 640, 481, 640, 481},
		{"rotate2", 640, 481, 640, 481},
		{"rotate5", 640, 481, 574, 431},   // 481/(640 sin 5 + 481 cos 5) = 0.8991 of each, less one
		{"rotate10", 640, 481, 714, 585},  // 640 cos 10 + 481 sin 10 = 713.8; 640 sin 10 + 481 cos 10 = 584.8
		{"scale0.73", 640, 481, 467, 351}, // 467.3, 351.2
		{"scale2", 640, 481, 1283, 964},   // 1282.6, 964.0
		{"aspect", 640, 481, 659, 467},    // 659.2, 466.6
		{"social", 640, 481, 1080, 812},   // 811.7
		{"rotate3_scale0.8_crop80", 640, 480, 410, 307},
		{"crop25", 640, 480, 160, 120},
		{"collage384", 640, 481, 1024, 768}, // the size of what it is pasted into
	}
	for _, tt := range tests {
		got := apply(t, tt.edit, picture(tt.w, tt.h, 3), 5).Rect
		if got.Dx() != tt.ww || got.Dy() != tt.wh {
			t.Errorf("%s of %d x %d: %d x %d, want %d x %d", tt.edit, tt.w, tt.h, got.Dx(), got.Dy(), tt.ww, tt.wh)
		}
	}
}

// TestCropOffset writes each pixel's position into its colour and reads the offset of the crop.
func TestCropOffset(t *testing.T) {
	const w, h = 240, 200
	p := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			copy(p.Pix[y*p.Stride+4*x:], []byte{byte(x), byte(y), 0, 255})
		}
	}
	for _, name := range []string{"crop90", "crop75", "crop50", "crop25"} {
		seen := map[image.Point]bool{}
		for seed := range uint64(200) {
			c := apply(t, name, p, seed)
			at := image.Pt(int(c.Pix[0]), int(c.Pix[1]))
			mx, my := w-c.Rect.Dx(), h-c.Rect.Dy()
			if at.X%2 == 0 || at.Y%2 == 0 || at.X > mx || at.Y > my || 2*at.X == mx || 2*at.Y == my {
				t.Fatalf("%s, seed %d: offset %v of at most %d, %d", name, seed, at, mx, my)
			}
			last := c.NRGBAAt(c.Rect.Dx()-1, c.Rect.Dy()-1)
			if int(last.R) != at.X+c.Rect.Dx()-1 || int(last.G) != at.Y+c.Rect.Dy()-1 {
				t.Fatalf("%s, seed %d: last pixel from (%d,%d)", name, seed, last.R, last.G)
			}
			seen[at] = true
		}
		if len(seen) < 50 {
			t.Errorf("%s: %d offsets under 200 seeds", name, len(seen))
		}
	}
}

func TestOddOffsetSmallMargins(t *testing.T) {
	want := map[int][]int{-1: {0}, 0: {0}, 1: {1}, 2: {1}, 3: {1, 3}, 4: {1, 3}, 6: {1, 5}}
	rng := rand.New(rand.NewPCG(1, 2))
	for margin, offsets := range want {
		seen := map[int]bool{}
		for range 100 {
			seen[oddOffset(margin, rng)] = true
		}
		if len(seen) != len(offsets) {
			t.Errorf("margin %d: offsets %v, want %v", margin, seen, offsets)
		}
		for _, o := range offsets {
			if !seen[o] {
				t.Errorf("margin %d: offset %d never drawn", margin, o)
			}
		}
	}
}

func TestSeeds(t *testing.T) {
	p := picture(64, 48, 2)
	for _, name := range []string{"crop90", "crop75", "crop50", "noise10", "flip_crop75", "screenshot", "print_scan", "collage384"} {
		if bytes.Equal(apply(t, name, p, 1).Pix, apply(t, name, p, 2).Pix) {
			t.Errorf("%s: two seeds, one result", name)
		}
	}
}

// TestCompressionIsGraded holds the ruler against itself: each step down the quality scale costs dB,
// and the first costs little.
func TestCompressionIsGraded(t *testing.T) {
	p := picture(320, 240, 4)
	last := math.Inf(1)
	for _, name := range []string{"jpeg90", "jpeg75", "jpeg50", "jpeg30", "jpeg20"} {
		psnr := signal.PSNR(p, apply(t, name, p, 0))
		t.Logf("%s: %.2f dB", name, psnr)
		if psnr >= last-0.5 || psnr < 25 {
			t.Errorf("%s: %.2f dB after %.2f dB", name, psnr, last)
		}
		last = psnr
	}
	j90, both := apply(t, "jpeg90", p, 0), apply(t, "double_jpeg", p, 0)
	if !bytes.Equal(both.Pix, apply(t, "jpeg75", j90, 0).Pix) {
		t.Error("double_jpeg is not jpeg90, then jpeg75")
	}
	if psnr := signal.PSNR(p, apply(t, "webp75", p, 0)); psnr < 28 || psnr > 45 {
		t.Errorf("webp75: %.2f dB", psnr)
	}
}

// TestCodecsKeepColour guards against ranges and matrices mixed up on the way through a codec: a flat
// colour must come back within the rounding of an 8-bit YUV.
func TestCodecsKeepColour(t *testing.T) {
	for _, name := range []string{"jpeg90", "webp75"} {
		for _, c := range [][3]byte{{250, 20, 128}, {0, 0, 0}, {255, 255, 255}, {10, 200, 60}} {
			p := uniform(48, 48, 0)
			for i := 0; i < len(p.Pix); i += 4 {
				copy(p.Pix[i:], c[:])
			}
			got := apply(t, name, p, 0).Pix[4*(24*48+24):]
			for k := range c {
				if d := int(got[k]) - int(c[k]); d < -3 || d > 3 {
					t.Errorf("%s: %v came back as %v", name, c, got[:3])
					break
				}
			}
		}
	}
}

func TestSampleValues(t *testing.T) {
	tests := []struct {
		edit    string
		in, out uint8
	}{
		{"bright+20", 0, 0}, {"bright+20", 100, 120}, {"bright+20", 101, 121}, {"bright+20", 212, 254},
		{"bright+20", 213, 255}, {"bright+20", 255, 255},
		{"bright-20", 0, 0}, {"bright-20", 100, 80}, {"bright-20", 101, 81}, {"bright-20", 255, 204},
		{"gamma", 0, 0}, {"gamma", 128, 147}, {"gamma", 255, 255}, // 255 (128/255)^0.8 = 146.9
		{"contrast", 0, 0}, {"contrast", 100, 93}, {"contrast", 200, 218}, // 127.5 + 1.25 (100-127.5) = 93.1
		{"contrast", 255, 255},
		{"blur1", 77, 77}, {"px300", 77, 77}, {"square512", 77, 77}, {"upscale125", 77, 77},
	}
	for _, tt := range tests {
		got := apply(t, tt.edit, uniform(6, 4, tt.in), 0).Pix
		if got[0] != tt.out || got[1] != tt.out || got[2] != tt.out || got[3] != 255 {
			t.Errorf("%s of %d: %v, want %d", tt.edit, tt.in, got[:4], tt.out)
		}
	}
	p := uniform(1, 1, 0)
	copy(p.Pix, []byte{200, 100, 50})
	if got := apply(t, "saturation-0", p, 0).Pix[0]; got != 124 { // 59.8 + 58.7 + 5.7 = 124.2
		t.Errorf("saturation-0: %d, want 124", got)
	}
	b := Blend50(uniform(9, 9, 51)).Apply(uniform(4, 3, 100), 0).(*image.NRGBA)
	if b.Pix[0] != 76 { // 75.5, halves up
		t.Errorf("blend50: %d, want 76", b.Pix[0])
	}
}

// TestNoiseSigma measures the noise on mid-grey, where nothing clips. Rounding adds 1/12 to the
// variance of 100, far below the 3 % allowed on sigma.
func TestNoiseSigma(t *testing.T) {
	const v = 128
	p := apply(t, "noise10", uniform(256, 256, v), 9)
	var n, sum, squares, cross float64
	for i := 0; i < len(p.Pix); i += 4 {
		for c := range 3 {
			d := float64(p.Pix[i+c]) - v
			n, sum, squares = n+1, sum+d, squares+d*d
		}
		cross += (float64(p.Pix[i]) - v) * (float64(p.Pix[i+1]) - v)
	}
	mean, sigma := sum/n, math.Sqrt(squares/n-sum/n*sum/n)
	if math.Abs(mean) > 0.1 || math.Abs(sigma/10-1) > 0.03 {
		t.Errorf("mean %.3f, sigma %.3f; want 0 and 10", mean, sigma)
	}
	if r := cross / (n / 3) / 100; math.Abs(r) > 0.03 {
		t.Errorf("correlation of R and G %.3f, want 0", r)
	}
}

// TestBlurImpulse holds the blur of a single point against the sampled Gaussian.
func TestBlurImpulse(t *testing.T) {
	p := uniform(21, 21, 0)
	copy(p.Pix[10*p.Stride+40:], []byte{255, 255, 255})
	got := apply(t, "blur1", p, 0)
	for _, d := range []image.Point{{0, 0}, {1, 0}, {0, 1}, {1, 1}, {2, 0}} {
		want := 255 / (2 * math.Pi) * math.Exp(-float64(d.X*d.X+d.Y*d.Y)/2)
		if v := float64(got.NRGBAAt(10+d.X, 10+d.Y).R); math.Abs(v-want) > 1.5 {
			t.Errorf("at %v: %v, want %.1f", d, v, want)
		}
	}
}

func TestPanics(t *testing.T) {
	for name, img := range map[string]image.Image{
		"empty": image.NewNRGBA(image.Rectangle{}),
		"type":  image.NewRGBA(image.Rect(0, 0, 4, 4)),
	} {
		for _, e := range allEdits() {
			func() {
				defer func() {
					if s, ok := recover().(string); !ok || s[:7] != "attack:" {
						t.Errorf("%s of %s: panic %q", e.Name, name, s)
					}
				}()
				e.Apply(img, 0)
			}()
		}
	}
}

func BenchmarkLadder(b *testing.B) {
	p := picture(1024, 1024, 1)
	for _, e := range Ladder() {
		b.Run(e.Name+"/1024x1024", func(b *testing.B) {
			for b.Loop() {
				e.Apply(p, 1)
			}
		})
	}
}
