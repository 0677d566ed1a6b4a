package signal_test

import (
	"fmt"
	"image"
	"math"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/internal/signal"
)

// qualityTypes are the picture types that PSNR and SSIM take, with their peak.
var qualityTypes = []struct {
	name string
	peak float64
}{{"NRGBA", 255}, {"NRGBA64", 65535}, {"Gray", 255}, {"Gray16", 65535}}

// testPicture returns a w x h picture of the named type at an origin off (0,0), cut from a larger one so
// that its stride is wider than its rows. Samples are a hash of position and salt.
func testPicture(typeName string, w, h int, salt uint32) image.Image {
	outer := image.Rect(-3, 5, w+2, h+9)
	cut := image.Rect(0, 7, w, 7+h)
	fill := func(pix []byte) {
		for i := range pix {
			v := (uint32(i) + salt) * 2654435761 // Knuth's multiplicative hash
			pix[i] = byte(v >> 24)
		}
	}
	switch typeName {
	case "NRGBA":
		p := image.NewNRGBA(outer)
		fill(p.Pix)
		return p.SubImage(cut)
	case "NRGBA64":
		p := image.NewNRGBA64(outer)
		fill(p.Pix)
		return p.SubImage(cut)
	case "Gray":
		p := image.NewGray(outer)
		fill(p.Pix)
		return p.SubImage(cut)
	case "Gray16":
		p := image.NewGray16(outer)
		fill(p.Pix)
		return p.SubImage(cut)
	}
	panic(typeName)
}

func TestQualityOfIdenticalPictures(t *testing.T) {
	for _, typ := range qualityTypes {
		a := testPicture(typ.name, 19, 12, 1)
		if got := signal.PSNR(a, a); !math.IsInf(got, 1) {
			t.Errorf("%s: PSNR = %v, want +Inf", typ.name, got)
		}
		if got := signal.SSIM(a, a); got != 1 {
			t.Errorf("%s: SSIM = %v, want 1", typ.name, got)
		}
	}
}

// TestPSNRKnownValues changes one sample of a black picture by a known amount.
func TestPSNRKnownValues(t *testing.T) {
	r := image.Rect(0, 0, 10, 10)
	a, b := image.NewNRGBA(r), image.NewNRGBA(r)
	b.Pix[3] = 99 // alpha does not count
	if got := signal.PSNR(a, b); !math.IsInf(got, 1) {
		t.Errorf("alpha only: %v dB, want +Inf", got)
	}
	b.Pix[4*57+2] = 255 // one of 300 samples off by the peak
	if got, want := signal.PSNR(a, b), 10*math.Log10(300); math.Abs(got-want) > 1e-12 {
		t.Errorf("NRGBA: %v dB, want %v", got, want)
	}
	c, d := image.NewNRGBA64(r), image.NewNRGBA64(r)
	d.Pix[8*99+4], d.Pix[8*99+5] = 255, 255
	if got, want := signal.PSNR(c, d), 10*math.Log10(300); math.Abs(got-want) > 1e-12 {
		t.Errorf("NRGBA64: %v dB, want %v", got, want)
	}
	e, f := image.NewGray16(r), image.NewGray16(r)
	f.Pix[11] = 1 // one of 100 samples off by the smallest step
	if got, want := signal.PSNR(e, f), 20*math.Log10(65535)+20; math.Abs(got-want) > 1e-12 {
		t.Errorf("Gray16: %v dB, want %v", got, want)
	}
}

// TestSSIMAgainstDefinition compares the running sums with Wang et al.'s formula worked out window by
// window in floating point, on sizes around the window's.
func TestSSIMAgainstDefinition(t *testing.T) {
	for _, typ := range qualityTypes {
		for _, size := range []image.Point{{7, 7}, {8, 7}, {7, 8}, {23, 17}, {9, 40}} {
			a := testPicture(typ.name, size.X, size.Y, 1)
			b := testPicture(typ.name, size.X, size.Y, 12345)
			got, want := signal.SSIM(a, b), slowSSIM(a, b, typ.peak)
			if math.Abs(got-want) > 1e-11 {
				t.Errorf("%s %v: %.15f, want %.15f", typ.name, size, got, want)
			}
			if back := signal.SSIM(b, a); back != got {
				t.Errorf("%s %v: %v one way, %v the other", typ.name, size, got, back)
			}
		}
	}
}

func slowSSIM(a, b image.Image, peak float64) float64 {
	r := a.Bounds()
	total, windows := 0.0, 0.0
	for y := r.Min.Y; y+7 <= r.Max.Y; y++ {
		for x := r.Min.X; x+7 <= r.Max.X; x++ {
			var xs, ys [49]float64
			var mx, my float64
			for i := range xs {
				xs[i], ys[i] = slowLuma(a, x+i%7, y+i/7), slowLuma(b, x+i%7, y+i/7)
				mx, my = mx+xs[i]/49, my+ys[i]/49
			}
			var vx, vy, cov float64
			for i := range xs {
				vx += (xs[i] - mx) * (xs[i] - mx) / 48
				vy += (ys[i] - my) * (ys[i] - my) / 48
				cov += (xs[i] - mx) * (ys[i] - my) / 48
			}
			c1, c2 := math.Pow(0.01*peak, 2), math.Pow(0.03*peak, 2)
			total += (2*mx*my + c1) * (2*cov + c2) / ((mx*mx + my*my + c1) * (vx + vy + c2))
			windows++
		}
	}
	return total / windows
}

func slowLuma(img image.Image, x, y int) float64 {
	switch img := img.(type) {
	case *image.Gray:
		return float64(img.GrayAt(x, y).Y)
	case *image.Gray16:
		return float64(img.Gray16At(x, y).Y)
	case *image.NRGBA:
		c := img.NRGBAAt(x, y)
		return math.Floor((299*float64(c.R)+587*float64(c.G)+114*float64(c.B))/1000 + 0.5)
	case *image.NRGBA64:
		c := img.NRGBA64At(x, y)
		return math.Floor((299*float64(c.R)+587*float64(c.G)+114*float64(c.B))/1000 + 0.5)
	}
	panic(fmt.Sprintf("%T", img))
}

// TestSSIMExtremes drives the window sums to their limits: white against black, at both depths.
func TestSSIMExtremes(t *testing.T) {
	r := image.Rect(0, 0, 16, 16)
	black, white := image.NewGray16(r), image.NewGray16(r)
	for i := range white.Pix {
		white.Pix[i] = 255
	}
	// Flat windows: (0 + C1)/(65535² + C1) with C1 = (0.01*65535)², that is 0.0001/1.0001.
	if got, want := signal.SSIM(black, white), 0.0001/1.0001; math.Abs(got-want) > 1e-15 {
		t.Errorf("Gray16: %v, want %v", got, want)
	}
	if got := signal.SSIM(white, white); got != 1 {
		t.Errorf("Gray16, white twice: %v", got)
	}
	b8, w8 := image.NewNRGBA(r), &image.NRGBA{Pix: make([]byte, 4*16*16), Stride: 64, Rect: r}
	for i := range w8.Pix {
		w8.Pix[i] = 255
	}
	if got, want := signal.SSIM(b8, w8), 0.0001/1.0001; math.Abs(got-want) > 1e-15 {
		t.Errorf("NRGBA: %v, want %v", got, want)
	}
}

func TestQualityPanics(t *testing.T) {
	r := image.Rect(0, 0, 8, 8)
	tests := []struct {
		name     string
		a, b     image.Image
		ssimOnly bool
	}{
		{"two types", image.NewNRGBA(r), image.NewNRGBA64(r), false},
		{"unsupported type", image.NewRGBA(r), image.NewRGBA(r), false},
		{"nil", nil, nil, false},
		{"two sizes", image.NewGray(r), image.NewGray(image.Rect(0, 0, 8, 9)), false},
		{"two origins", image.NewGray(r), image.NewGray(r.Add(image.Pt(1, 0))), false},
		{"empty", image.NewGray(image.Rectangle{}), image.NewGray(image.Rectangle{}), false},
		{"below the window", image.NewGray(image.Rect(0, 0, 6, 9)), image.NewGray(image.Rect(0, 0, 6, 9)), true},
	}
	for _, tt := range tests {
		if s := panicOf(func() { signal.SSIM(tt.a, tt.b) }); !strings.HasPrefix(s, "signal: ") {
			t.Errorf("SSIM, %s: panic %q", tt.name, s)
		}
		if s := panicOf(func() { signal.PSNR(tt.a, tt.b) }); strings.HasPrefix(s, "signal: ") == tt.ssimOnly {
			t.Errorf("PSNR, %s: panic %q", tt.name, s)
		}
	}
}

func panicOf(f func()) (message string) {
	defer func() {
		if r := recover(); r != nil {
			message = fmt.Sprint(r)
		}
	}()
	f()
	return ""
}

func benchmarkQuality(b *testing.B, f func(a, b image.Image) float64) {
	for _, typ := range qualityTypes {
		name := "1024x1024"
		if typ.name != "NRGBA" {
			name += "/" + typ.name
		}
		p, q := testPicture(typ.name, 1024, 1024, 1), testPicture(typ.name, 1024, 1024, 2)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f(p, q)
			}
		})
	}
}

func BenchmarkPSNR(b *testing.B) { benchmarkQuality(b, signal.PSNR) }

func BenchmarkSSIM(b *testing.B) { benchmarkQuality(b, signal.SSIM) }
