package raster

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// scene makes a w x h picture with what photographs have: soft gradients, texture, hard edges and
// saturated colour. The numbers are a taste, the generator is fixed.
func scene(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	state := uint32(2463534242)
	noise := func() float64 { // xorshift32, Marsaglia 2003
		state ^= state << 13
		state ^= state >> 17
		state ^= state << 5
		return float64(state)/(1<<31) - 1
	}
	for y := range h {
		for x := range w {
			fx, fy := float64(x), float64(y)
			base := 120 + 60*math.Sin(fx/97)*math.Cos(fy/71) + 25*math.Sin(fx*fy/9000) + 5*noise()
			r, g, b := base+30*math.Sin(fy/53), base, base-40*math.Cos(fx/131)
			if (x/64+y/48)%7 == 0 {
				r, b = r+70, b-60
			}
			img.SetNRGBA(x, y, color.NRGBA{R: clamp8(r), G: clamp8(g), B: clamp8(b), A: 255})
		}
	}
	return img
}

func clamp8(v float64) uint8 { return uint8(min(max(math.Round(v), 0), 255)) }

// psnr compares the colours of two images of one size, in dB.
func psnr(t testing.TB, a, b image.Image) float64 {
	t.Helper()
	if a.Bounds().Size() != b.Bounds().Size() {
		t.Fatalf("sizes differ: %v and %v", a.Bounds(), b.Bounds())
	}
	na, nb := canonical(toNRGBA(a)).(*image.NRGBA), canonical(toNRGBA(b)).(*image.NRGBA)
	var sum float64
	for i := range na.Pix {
		d := float64(na.Pix[i]) - float64(nb.Pix[i])
		sum += d * d
	}
	if sum == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(255*255*float64(len(na.Pix)/4*3)/sum)
}

func toNRGBA(img image.Image) image.Image {
	if m, ok := img.(*image.YCbCr); ok {
		return fromYCbCr(m)
	}
	out := image.NewNRGBA(img.Bounds())
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	return out
}

// The transform agrees with scipy on flat, checkered, ramp, impulse and random blocks; see
// testdata/gen_dct8.py. float32 leaves 24 bits on values up to 8*1024.
func TestFdct8AgainstScipy(t *testing.T) {
	raw, err := os.ReadFile("testdata/dct8.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Samples, Coefficients [64]float64 }
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) < 8 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	const tol = 2e-4
	for n, v := range vectors {
		var b [64]float32
		for i, s := range v.Samples {
			b[i] = float32(s)
		}
		fdct8(&b)
		for i := range b {
			got := float64(b[i]) / (8 * fdctScale[i/8] * fdctScale[i%8])
			if math.Abs(got-v.Coefficients[i]) > tol {
				t.Errorf("vector %d, coefficient %d: %.6f, scipy %.6f", n, i, got, v.Coefficients[i])
			}
		}
	}
}

// fdctScale is sqrt(2)*cos(k*pi/16).
func TestFdctScale(t *testing.T) {
	for k := 1; k < 8; k++ {
		if want := math.Sqrt2 * math.Cos(float64(k)*math.Pi/16); math.Abs(fdctScale[k]-want) > 1e-15 {
			t.Errorf("fdctScale[%d] = %.17g, want %.17g", k, fdctScale[k], want)
		}
	}
}

// At 4:2:0 the encoder is as good as image/jpeg's at the same quality (better at 100, where its colours
// are not rounded before the transform), smaller, and better at 4:4:4.
func TestEncodeJPEGQualityAgainstStdlib(t *testing.T) {
	img := scene(400, 300)
	for _, q := range []int{10, 30, 50, 75, 90, 95, 100} {
		var std bytes.Buffer
		if err := jpeg.Encode(&std, img, &jpeg.Options{Quality: q}); err != nil {
			t.Fatal(err)
		}
		ref := psnr(t, img, mustJPEG(t, std.Bytes()))
		own420 := encodeForTest(t, img, q, "4:2:0")
		own444 := encodeForTest(t, img, q, "4:4:4")
		p420, p444 := psnr(t, img, mustJPEG(t, own420)), psnr(t, img, mustJPEG(t, own444))
		t.Logf("q%d: stdlib %.2f dB %d B; own 4:2:0 %.2f dB %d B; own 4:4:4 %.2f dB %d B", q, ref, std.Len(), p420, len(own420), p444, len(own444))
		if p420 < ref-0.3 || q < 100 && p420 > ref+0.3 {
			t.Errorf("q%d 4:2:0: %.2f dB, image/jpeg %.2f", q, p420, ref)
		}
		if p444 <= ref {
			t.Errorf("q%d 4:4:4: %.2f dB is not above image/jpeg's 4:2:0, %.2f", q, p444, ref)
		}
		if len(own420) > std.Len() {
			t.Errorf("q%d 4:2:0: %d bytes, image/jpeg %d", q, len(own420), std.Len())
		}
	}
}

func encodeForTest(t testing.TB, img image.Image, q int, sub string) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := EncodeJPEG(&buf, img, q, sub); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func mustJPEG(t testing.TB, data []byte) image.Image {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Every size from 1x1 to beyond two MCUs, in every subsampling, comes back with its size, its
// subsampling and its colour.
func TestEncodeJPEGSizesAndSubsamplings(t *testing.T) {
	ratios := map[string]image.YCbCrSubsampleRatio{
		"4:4:4": image.YCbCrSubsampleRatio444, "4:2:2": image.YCbCrSubsampleRatio422,
		"4:2:0": image.YCbCrSubsampleRatio420, "4:4:0": image.YCbCrSubsampleRatio440,
	}
	flat := color.NRGBA{R: 200, G: 90, B: 40, A: 255}
	for sub, ratio := range ratios {
		for _, w := range []int{1, 2, 7, 8, 9, 15, 16, 17, 33} {
			for _, h := range []int{1, 2, 7, 8, 9, 15, 16, 17, 33} {
				img := image.NewNRGBA(image.Rect(0, 0, w, h))
				draw.Draw(img, img.Rect, image.NewUniform(flat), image.Point{}, draw.Src)
				back := mustJPEG(t, encodeForTest(t, img, 100, sub)).(*image.YCbCr)
				if back.Rect != img.Rect || back.SubsampleRatio != ratio {
					t.Fatalf("%s %dx%d: came back as %v %v", sub, w, h, back.Rect, back.SubsampleRatio)
				}
				if p := psnr(t, img, back); p < 45 {
					t.Fatalf("%s %dx%d: %.1f dB", sub, w, h, p)
				}
			}
		}
	}
}

// Noise at quality 100, the largest coefficients there are and every quality from 1 to 100 stay within
// baseline's code space.
func TestEncodeJPEGExtremes(t *testing.T) {
	hard := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range hard.Pix { // for each block another DCT basis function at full swing
		x, y := i%64, i/64
		v := math.Cos(float64(2*(x%8)+1)*float64(x/8)*math.Pi/16) * math.Cos(float64(2*(y%8)+1)*float64(y/8)*math.Pi/16)
		if v >= 0 {
			hard.Pix[i] = 255
		}
	}
	for q := 1; q <= 100; q++ {
		back := mustJPEG(t, encodeForTest(t, hard, q, ""))
		if _, ok := back.(*image.Gray); !ok {
			t.Fatalf("q%d: grey came back as %T", q, back)
		}
		if q == 100 {
			if p := psnr(t, hard, back); p < 48 {
				t.Errorf("q100: %.1f dB", p)
			}
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		w, h := rapid.IntRange(1, 40).Draw(rt, "w"), rapid.IntRange(1, 40).Draw(rt, "h")
		img := image.NewNRGBA(image.Rect(0, 0, w, h))
		copy(img.Pix, rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 127, 128, 254, 255}), 4*w*h, 4*w*h).Draw(rt, "pix"))
		for i := 3; i < len(img.Pix); i += 4 {
			img.Pix[i] = 255
		}
		sub := rapid.SampledFrom([]string{"4:4:4", "4:2:2", "4:2:0", "4:4:0"}).Draw(rt, "sub")
		var buf bytes.Buffer
		if err := EncodeJPEG(&buf, img, rapid.IntRange(1, 100).Draw(rt, "q"), sub); err != nil {
			rt.Fatal(err)
		}
		if _, err := jpeg.Decode(&buf); err != nil {
			rt.Fatal(err)
		}
	})
}

// The bytes are the same on every platform and Go release. A change of these sums is a change of
// every file delivered, and wants a reason.
func TestEncodeJPEGBytesArePinned(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 123, 77)) // whole numbers only: no platform's sine
	for i := range img.Pix {
		img.Pix[i] = byte(i*i/977 + i/3)
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	for _, c := range []struct {
		q        int
		sub, sum string
	}{
		{95, "4:4:4", "6c23ac9c86e06e96"},
		{90, "4:2:0", "ba7af50db8dd569c"},
		{50, "4:2:2", "efea04036cd81feb"},
	} {
		if got := fmt.Sprintf("%.8x", sha256.Sum256(encodeForTest(t, img, c.q, c.sub))); got != c.sum {
			t.Errorf("q%d %s: SHA-256 begins %s, was %s", c.q, c.sub, got, c.sum)
		}
	}
}

func TestEncodeJPEGRefusals(t *testing.T) {
	seeThrough := image.NewNRGBA(image.Rect(0, 0, 2, 2))
	for name, c := range map[string]struct {
		img image.Image
		q   int
		sub string
	}{
		"transparency":        {seeThrough, 90, ""},
		"quality 0":           {scene(8, 8), 0, ""},
		"quality 101":         {scene(8, 8), 101, ""},
		"unknown subsampling": {scene(8, 8), 90, "4:1:1"},
		"too wide":            {image.NewGray(image.Rect(0, 0, 65536, 1)), 90, ""},
	} {
		if err := EncodeJPEG(new(bytes.Buffer), c.img, c.q, c.sub); KindOf(err) != KindUnsupported {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := EncodeJPEG(failingWriter{}, scene(8, 8), 90, ""); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a failing writer: %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

// Quality is read back exactly from Annex K tables, ours and image/jpeg's, at every setting.
func TestEstimateQuality(t *testing.T) {
	img := scene(16, 16)
	for q := 1; q <= 100; q++ {
		var std bytes.Buffer
		if err := jpeg.Encode(&std, img, &jpeg.Options{Quality: q}); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"own": encodeForTest(t, img, q, ""), "image/jpeg": std.Bytes()} {
			hdr, e := parseJPEG(data)
			if e != nil {
				t.Fatal(e)
			}
			if got := hdr.quality(); got != q {
				t.Errorf("%s at %d: estimated %d", name, q, got)
			}
		}
	}
}

// A Huffman table has codes of at most 16 bits, no all-ones code, and a prefix-free set, even for
// frequencies like Fibonacci numbers that call for longer codes.
func TestOptimalTable(t *testing.T) {
	check := func(freq *[256]int) error {
		table := optimalTable(freq)
		codes := table.codes()
		kraft := 0
		for s, f := range freq {
			n := int(codes[s] & 31)
			switch {
			case f > 0 && (n < 1 || n > 16):
				return fmt.Errorf("symbol %d of frequency %d has %d bits", s, f, n)
			case f == 0 && n != 0:
				return fmt.Errorf("symbol %d never occurs and has a code", s)
			case f > 0 && codes[s]>>5 == 1<<n-1:
				return fmt.Errorf("symbol %d has the all-ones code", s)
			case n > 0:
				kraft += 1 << (16 - n)
			}
		}
		if kraft >= 1<<16 {
			return fmt.Errorf("codes overlap")
		}
		return nil
	}
	var fib [256]int
	fib[0], fib[1] = 1, 1
	for i := 2; i < 60; i++ {
		fib[i] = fib[i-1] + fib[i-2]
	}
	if err := check(&fib); err != nil {
		t.Error("Fibonacci: ", err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		var freq [256]int
		copy(freq[:], rapid.SliceOfN(rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 1<<30)), 1, 256).Draw(rt, "freq"))
		freq[rapid.IntRange(0, 255).Draw(rt, "one")]++
		if err := check(&freq); err != nil {
			rt.Error(err)
		}
	})
}

// YCbCr conversion gives image/color's values for every subsampling and for crops that begin inside a
// chroma sample.
func TestFromYCbCrMatchesImageColor(t *testing.T) {
	for _, ratio := range []image.YCbCrSubsampleRatio{
		image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410,
	} {
		src := image.NewYCbCr(image.Rect(0, 0, 67, 41), ratio)
		for _, plane := range [][]byte{src.Y, src.Cb, src.Cr} {
			for i := range plane {
				plane[i] = byte(uint32(i)*2654435761>>7) + byte(i)
			}
		}
		for _, crop := range []image.Rectangle{src.Rect, image.Rect(3, 5, 50, 38)} {
			m := src.SubImage(crop).(*image.YCbCr)
			got := fromYCbCr(m)
			for y := range crop.Dy() {
				for x := range crop.Dx() {
					c := m.YCbCrAt(crop.Min.X+x, crop.Min.Y+y)
					r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
					if want := (color.NRGBA{R: r, G: g, B: b, A: 255}); got.NRGBAAt(x, y) != want {
						t.Fatalf("%v %v at %d,%d: %v, want %v", ratio, crop, x, y, got.NRGBAAt(x, y), want)
					}
				}
			}
		}
	}
}

func BenchmarkEncodeJPEG1024(b *testing.B) {
	img := scene(1024, 1024)
	rgba := image.NewRGBA(img.Rect)
	draw.Draw(rgba, rgba.Rect, img, image.Point{}, draw.Src)
	run := func(name string, encode func(*bytes.Buffer) error) {
		b.Run(name, func(b *testing.B) {
			var buf bytes.Buffer
			for b.Loop() {
				buf.Reset()
				if err := encode(&buf); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(buf.Len()), "B/file")
		})
	}
	run("stdlib-420", func(w *bytes.Buffer) error { return jpeg.Encode(w, rgba, &jpeg.Options{Quality: 90}) })
	for _, sub := range []string{"4:2:0", "4:2:2", "4:4:4"} {
		run("own-"+sub, func(w *bytes.Buffer) error { return EncodeJPEG(w, img, 90, sub) })
	}
}

func BenchmarkDecodeJPEG1024(b *testing.B) {
	data := encodeForTest(b, scene(1024, 1024), 90, "4:2:0")
	b.Run("stdlib", func(b *testing.B) {
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("own", func(b *testing.B) {
		for b.Loop() {
			if _, err := Decode(data, Limits{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
