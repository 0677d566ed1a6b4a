package raster

import (
	"bytes"
	"image"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Lossless WebP keeps every bit, colour under zero alpha included; so gen2brain's 4:2:0 decoder is not
// what reads it here.
func TestWebPLossless(t *testing.T) {
	clear := scene(37, 21)
	for i := 3; i < len(clear.Pix); i += 4 {
		clear.Pix[i] = byte(i / 4)
	}
	for name, img := range map[string]*image.NRGBA{"opaque": scene(64, 33), "alpha": clear} {
		for _, opt := range []EncodeOptions{{Format: WebP}, {Format: WebP, Lossless: true, Quality: 40}, {Format: WebP, Fast: true}} {
			got := mustDecode(t, mustEncode(t, &Picture{Image: img}, opt))
			if !cmp.Equal(got.Image, image.Image(img)) {
				t.Errorf("%s %+v: pixels changed", name, opt)
			}
		}
	}
	grey := image.NewGray(image.Rect(0, 0, 9, 5))
	for i := range grey.Pix {
		grey.Pix[i] = byte(i * 5)
	}
	got := mustDecode(t, mustEncode(t, &Picture{Image: grey}, EncodeOptions{Format: WebP})).Image.(*image.NRGBA)
	for i, v := range grey.Pix {
		if !bytes.Equal(got.Pix[4*i:4*i+4], []byte{v, v, v, 255}) {
			t.Fatalf("grey pixel %d: %v", i, got.Pix[4*i:4*i+4])
		}
	}
}

// A lossy WebP comes back near its source in level as well as detail: read as full-range YCbCr, black
// would be 16 and the whole picture some 25 dB off.
func TestWebPLossy(t *testing.T) {
	img := scene(200, 151)
	for i := range 4 * 200 * 20 { // a black and a white bar
		if i%4 != 3 {
			img.Pix[i] = byte(255 * (i / (4 * 200 * 10)))
		}
	}
	data := mustEncode(t, &Picture{Image: img}, EncodeOptions{Format: WebP, Quality: 95})
	p := mustDecode(t, data)
	if got := psnr(t, img, p.Image); got < 36 || math.IsInf(got, 1) {
		t.Errorf("%.1f dB", got)
	}
	m := p.Image.(*image.NRGBA)
	if black, white := m.NRGBAAt(100, 4), m.NRGBAAt(100, 15); black.G > 3 || white.G < 252 {
		t.Errorf("black is %v, white is %v", black, white)
	}
	smaller := mustEncode(t, &Picture{Image: img}, EncodeOptions{Format: WebP, Quality: 40})
	if len(smaller) >= len(data) {
		t.Errorf("quality 40 gives %d bytes, 95 gives %d", len(smaller), len(data))
	}
}

// Transparency survives the lossy path with metadata around it, and unknown chunks are carried.
func TestWebPExtended(t *testing.T) {
	img := scene(40, 30)
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = byte(i / 20)
	}
	p := richPicture(t)
	p.Image = img
	q := mustDecode(t, mustEncode(t, p, EncodeOptions{Format: WebP, Quality: 80}))
	got := q.Image.(*image.NRGBA)
	for i := 3; i < len(img.Pix); i += 4 {
		if got.Pix[i] != img.Pix[i] {
			t.Fatalf("alpha of pixel %d is %d, was %d", i/4, got.Pix[i], img.Pix[i])
		}
	}
	q.Meta.Blocks = append(q.Meta.Blocks, Block{Name: "ABCD", Data: []byte("odd")})
	again := mustDecode(t, mustEncode(t, q, EncodeOptions{}))
	var names []string
	for _, b := range again.Meta.Blocks {
		names = append(names, b.Name)
	}
	if diff := cmp.Diff([]string{"ICCP", "EXIF", "XMP ", "ABCD"}, names); diff != "" {
		t.Errorf("chunks (-want +got):\n%s", diff)
	}
}

// Release builds must carry their own libwebp; see the package comment.
func TestWebPEncoderIsNamed(t *testing.T) {
	switch got := WebPEncoder(); got {
	case "embedded", "system":
		t.Logf("WebP is written by the %s libwebp", got)
	default:
		t.Errorf("WebPEncoder() = %q", got)
	}
}

// A lossy file's quality is found again to within a step, so writing it anew neither swells nor starves it.
func TestWebPQualityIsKept(t *testing.T) {
	for _, q := range []int{5, 20, 40, 60, 75, 80, 90, 95, 100} {
		data := mustEncode(t, &Picture{Image: scene(320, 240)}, EncodeOptions{Format: WebP, Quality: q})
		p := mustDecode(t, data)
		again := mustEncode(t, p, EncodeOptions{})
		t.Logf("quality %d: read as %d, %d bytes, then %d", q, p.vp8, len(data), len(again))
		if p.vp8 < q-1 || p.vp8 > q+1 {
			t.Errorf("quality %d read as %d", q, p.vp8)
		}
	}
}
