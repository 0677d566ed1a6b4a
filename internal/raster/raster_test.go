package raster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func mustDecode(t testing.TB, data []byte) *Picture {
	t.Helper()
	p, err := Decode(data, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustEncode(t testing.TB, p *Picture, opt EncodeOptions) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := Encode(&buf, p, opt); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// All eight orientations come out upright, their corners where the photographer saw them, and are written
// with the tag at 1 in EXIF and XMP and nothing else changed.
func TestOrientation(t *testing.T) {
	for o := 1; o <= 8; o++ {
		data := orientedJPEG(t, o)
		p := mustDecode(t, data)
		if p.Orientation != o {
			t.Errorf("orientation %d read as %d", o, p.Orientation)
		}
		checkCorners(t, o, p.Image)

		again := mustDecode(t, mustEncode(t, p, EncodeOptions{}))
		if again.Orientation != 1 {
			t.Errorf("orientation %d: written file says %d", o, again.Orientation)
		}
		checkCorners(t, o, again.Image)
		for i, b := range p.Meta.Blocks[1:] { // 0 is APP0
			want := b.Data
			got := again.Meta.Blocks[1+i].Data
			differ := 0
			for j := range want {
				if got[j] != want[j] {
					differ++
				}
			}
			if len(got) != len(want) || o == 1 && differ > 0 || o > 1 && differ != 1 {
				t.Errorf("orientation %d: block %d differs in %d bytes", o, i, differ)
			}
		}
		if !bytes.Contains(again.Meta.XMP, []byte(`tiff:Orientation="1"`)) {
			t.Errorf("orientation %d: XMP still says %s", o, again.Meta.XMP)
		}
	}
}

func checkCorners(t *testing.T, o int, img image.Image) {
	t.Helper()
	if got := img.Bounds(); got != image.Rect(0, 0, 48, 32) {
		t.Errorf("orientation %d: bounds %v", o, got)
		return
	}
	for at, want := range corners {
		got := color.NRGBAModel.Convert(img.At(at.X, at.Y)).(color.NRGBA)
		for _, d := range []int{int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B)} {
			if d < -3 || d > 3 {
				t.Errorf("orientation %d at %v: %v, want %v", o, at, got, want)
				break
			}
		}
	}
}

// The other three image types are turned too, bit for bit, and four times a quarter is a whole turn.
func TestOrientationAllTypes(t *testing.T) {
	base := cornerPicture()
	grey, grey16, deep := image.NewGray(base.Rect), rampGray16(48, 32), image.NewNRGBA64(base.Rect)
	draw.Draw(grey, grey.Rect, base, image.Point{}, draw.Src)
	draw.Draw(deep, deep.Rect, base, image.Point{}, draw.Src)
	for _, img := range []image.Image{base, grey, grey16, deep} {
		for o := 1; o <= 8; o++ {
			turned := upright(img, o)
			back := map[int]int{6: 8, 8: 6}[o]
			if back == 0 {
				back = o
			}
			if got := upright(turned, back); !cmp.Equal(got, img) {
				t.Errorf("%T: orientation %d and back is not the same", img, o)
			}
		}
		x, y := 5, 3
		if got, want := upright(img, 6).At(32-1-y, x), img.At(x, y); got != want {
			t.Errorf("%T: a quarter turn moved %v to %v", img, want, got)
		}
	}
}

// A header that claims gigapixels is refused without memory for them, whatever the limits leave.
func TestHeaderLimitsBeforeAllocation(t *testing.T) {
	huge := Limits{MaxPixels: 1 << 40, MaxSide: 1 << 20}
	for _, c := range []struct {
		name string
		data []byte
		lim  Limits
		want Kind
	}{
		{"PNG beyond the limits", headerOnlyPNG(60000, 60000), Limits{}, KindTooLarge},
		{"JPEG beyond the limits", headerOnlyJPEG(65500, 65500), Limits{}, KindTooLarge},
		{"PNG beyond its own bytes", append(headerOnlyPNG(60000, 60000), "\x00\x00\x00\x00IEND\xaeB`\x82"...), huge, KindTruncated},
		{"JPEG beyond its own bytes", headerOnlyJPEG(65500, 65500), huge, KindTruncated},
		{"TIFF beyond the limits", tiffOf(binary.LittleEndian, tiffDir{{256, 60000}, {257, 60000}}), Limits{}, KindTooLarge},
		{"too many bytes", make([]byte, 5000), Limits{MaxBytes: 4999}, KindTooLarge},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(c.data, c.lim)
		runtime.ReadMemStats(&after)
		if KindOf(err) != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%s: %d bytes allocated", c.name, got)
		}
	}
}

func TestDecodeFileErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := DecodeFile(filepath.Join(dir, "absent.jpg"), Limits{}); KindOf(err) != KindUnreadable || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
	if _, err := DecodeFile(dir, Limits{}); KindOf(err) != KindUnreadable {
		t.Errorf("a folder: %v", err)
	}
	path := filepath.Join(dir, "big.png")
	if err := os.WriteFile(path, pngBytesOf(t, scene(64, 64)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeFile(path, Limits{MaxBytes: 100}); KindOf(err) != KindTooLarge || !strings.HasPrefix(err.Error(), path) {
		t.Errorf("file beyond the limit: %v", err)
	}
	if p, err := DecodeFile(path, Limits{}); err != nil || p.Format != PNG {
		t.Errorf("good file: %v", err)
	}
}

// Cutting a file anywhere gives "truncated" (or, cut to nothing recognisable, another refusal), never
// a picture and never a panic.
func TestEveryTruncationIsRefused(t *testing.T) {
	photo := scene(40, 30)
	files := map[string][]byte{
		"jpeg": encodeForTest(t, photo, 80, "4:2:0"), "png": pngBytesOf(t, photo),
		"webp": mustEncode(t, &Picture{Image: photo, Format: WebP}, EncodeOptions{}),
	}
	for name, data := range files {
		for n := 12; n < len(data); n++ {
			if _, err := Decode(data[:n], Limits{}); KindOf(err) != KindTruncated {
				t.Errorf("%s cut to %d of %d: %v", name, n, len(data), err)
			}
		}
	}
}

// Every lossless path keeps every bit of every type: 16 bits, grey, and colour under zero alpha.
func TestLosslessRoundTrips(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, h := rapid.IntRange(1, 20).Draw(rt, "w"), rapid.IntRange(1, 20).Draw(rt, "h")
		kind := rapid.SampledFrom([]string{"grey", "grey16", "nrgba", "nrgba64"}).Draw(rt, "type")
		r := image.Rect(0, 0, w, h)
		img, pix := image.Image(nil), []byte(nil)
		switch kind {
		case "grey":
			m := image.NewGray(r)
			img, pix = m, m.Pix
		case "grey16":
			m := image.NewGray16(r)
			img, pix = m, m.Pix
		case "nrgba":
			m := image.NewNRGBA(r)
			img, pix = m, m.Pix
		case "nrgba64":
			m := image.NewNRGBA64(r)
			img, pix = m, m.Pix
		}
		copy(pix, rapid.SliceOfN(rapid.Byte(), len(pix), len(pix)).Draw(rt, "pix"))
		for _, format := range []Format{PNG, TIFF} {
			for _, fast := range []bool{false, true} {
				var buf bytes.Buffer
				if err := Encode(&buf, &Picture{Image: img}, EncodeOptions{Format: format, Fast: fast}); err != nil {
					rt.Fatal(err)
				}
				back, err := Decode(buf.Bytes(), Limits{})
				if err != nil {
					rt.Fatal(err)
				}
				if !cmp.Equal(back.Image, img) {
					rt.Fatalf("%s of %s came back different, as %T", format, kind, back.Image)
				}
			}
		}
	})
}

// Palette with transparency, grey with alpha and 1-bit grey decode to what image/png shows.
func TestPNGVarieties(t *testing.T) {
	pal := palettePicture()
	p := mustDecode(t, pngBytesOf(t, pal))
	m, ok := p.Image.(*image.NRGBA)
	if !ok {
		t.Fatalf("palette decoded as %T", p.Image)
	}
	for i, v := range pal.Pix {
		want := pal.Palette[v].(color.NRGBA)
		if got := m.NRGBAAt(i%24, i/24); got != want {
			t.Fatalf("palette pixel %d: %v, want %v", i, got, want)
		}
	}
	back, err := png.Decode(bytes.NewReader(mustEncode(t, p, EncodeOptions{})))
	if err != nil || !cmp.Equal(back, p.Image) {
		t.Errorf("palette picture written as truecolour differs: %v", err)
	}
}

// Caller's own image types are taken: crops, premultiplied, YCbCr, palettes.
func TestEncodeTakesAnyImageType(t *testing.T) {
	whole := scene(60, 40)
	crop := whole.SubImage(image.Rect(7, 5, 47, 35))
	premultiplied := image.NewRGBA(image.Rect(0, 0, 40, 30))
	draw.Draw(premultiplied, premultiplied.Rect, crop, crop.Bounds().Min, draw.Src)
	want := canonical(crop)
	for _, img := range []image.Image{crop, premultiplied} {
		p := &Picture{Image: img}
		if got := mustDecode(t, mustEncode(t, p, EncodeOptions{Format: PNG})).Image; !cmp.Equal(got, want) {
			t.Errorf("%T: written differently", img)
		}
		mustEncode(t, p, EncodeOptions{Format: JPEG})
		mustEncode(t, p, EncodeOptions{Format: WebP})
	}
}

// Premultiplied colours are divided as image/color does it, and colours beyond their alpha are nonsense that
// must not wrap round.
func TestPremultipliedColours(t *testing.T) {
	m, deep := image.NewRGBA(image.Rect(0, 0, 256, 256)), image.NewRGBA64(image.Rect(0, 0, 256, 256))
	for i := range 256 * 256 {
		a, c := uint8(i/256), uint8(i%256)
		m.SetRGBA(i%256, i/256, color.RGBA{R: c, G: c / 2, B: 0, A: a})
		deep.SetRGBA64(i%256, i/256, color.RGBA64{R: uint16(c) * 257, G: uint16(c), A: uint16(a) * 257})
	}
	got, gotDeep := canonical(m).(*image.NRGBA), canonical(deep).(*image.NRGBA64)
	for i := range 256 * 256 {
		x, y := i%256, i/256
		if x > y {
			if y > 0 && got.NRGBAAt(x, y).R != 255 {
				t.Fatalf("colour %d under alpha %d became %v", x, y, got.NRGBAAt(x, y))
			}
			continue
		}
		if want := color.NRGBAModel.Convert(m.RGBAAt(x, y)); got.NRGBAAt(x, y) != want {
			t.Fatalf("%v became %v, want %v", m.RGBAAt(x, y), got.NRGBAAt(x, y), want)
		}
		if want := color.NRGBA64Model.Convert(deep.RGBA64At(x, y)); gotDeep.NRGBA64At(x, y) != want {
			t.Fatalf("%v became %v, want %v", deep.RGBA64At(x, y), gotDeep.NRGBA64At(x, y), want)
		}
	}
}

// 16 bits into JPEG are rounded to the nearest of 256 levels; every 8-bit level maps to itself.
func TestSixteenBitsIntoJPEG(t *testing.T) {
	m := image.NewGray16(image.Rect(0, 0, 256, 3))
	for v := range 256 {
		m.SetGray16(v, 0, color.Gray16{Y: uint16(v * 257)})
		m.SetGray16(v, 1, color.Gray16{Y: uint16(min(v*257+128, 65535))})
		m.SetGray16(v, 2, color.Gray16{Y: uint16(max(v*257-128, 0))})
	}
	for i, got := range to8(m).(*image.Gray).Pix {
		if int(got) != i%256 {
			t.Fatalf("row %d: level %d became %d", i/256, i%256, got)
		}
	}
	p := mustDecode(t, mustEncode(t, &Picture{Image: m}, EncodeOptions{Format: JPEG}))
	if _, grey := p.Image.(*image.Gray); !grey || p.JPEG.Quality != DefaultQuality || p.JPEG.Subsampling != "grey" {
		t.Errorf("%T, %+v", p.Image, p.JPEG)
	}
}

// What image/jpeg cannot read, or would misread, is refused by its header.
func TestJPEGVarietiesByHeader(t *testing.T) {
	frame := func(sof byte, precision byte, comps ...byte) []byte {
		body := []byte{precision, 0, 8, 0, 8, byte(len(comps))}
		for i, hv := range comps {
			body = append(body, byte(i+1), hv, 0)
		}
		out := appendSegment([]byte{0xff, mSOI}, sof, body)
		return append(appendSegment(out, mSOS, []byte{1, 1, 0, 0, 63, 0}), make([]byte, 64)...)
	}
	for name, c := range map[string]struct {
		data []byte
		want Kind
	}{
		"12 bits":        {frame(mSOF1, 12, 0x11), KindUnsupported},
		"lossless":       {frame(0xc3, 8, 0x11), KindUnsupported},
		"arithmetic":     {frame(0xc9, 8, 0x11), KindUnsupported},
		"two components": {frame(mSOF0, 8, 0x11, 0x11), KindUnsupported},
		"four":           {frame(mSOF0, 8, 0x11, 0x11, 0x11, 0x11), KindCMYK},
		"no frame":       {append(appendSegment([]byte{0xff, mSOI}, mSOS, make([]byte, 6)), 0xff, mEOI), KindCorrupt},
		"nothing":        {[]byte{0xff, mSOI, 0xff, mEOI}, KindCorrupt},
	} {
		if _, err := Decode(c.data, Limits{}); KindOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	for hv, want := range map[byte]string{
		0x11: "4:4:4", 0x21: "4:2:2", 0x22: "4:2:0", 0x12: "4:4:0", 0x41: "4:1:1", 0x42: "4:1:0", 0x31: "",
	} {
		hdr, e := parseJPEG(frame(mSOF0, 8, hv, 0x11, 0x11))
		if e != nil || hdr.subsampling() != want {
			t.Errorf("factors %x: %q, %v", hv, hdr.subsampling(), e)
		}
	}
}

func TestEncodeRefusals(t *testing.T) {
	clear := &Picture{Image: image.NewNRGBA(image.Rect(0, 0, 4, 4)), Format: PNG}
	deep := &Picture{Image: rampGray16(4, 4), Format: PNG}
	wide := &Picture{Image: image.NewGray(image.Rect(0, 0, 16384, 1)), Format: PNG}
	for name, c := range map[string]struct {
		p    *Picture
		opt  EncodeOptions
		want Kind
	}{
		"alpha into JPEG":            {clear, EncodeOptions{Format: JPEG}, KindUnsupported},
		"16 bits into lossless WebP": {deep, EncodeOptions{Format: WebP}, KindUnsupported},
		"too wide for WebP":          {wide, EncodeOptions{Format: WebP}, KindUnsupported},
		"unknown format":             {deep, EncodeOptions{Format: "bmp"}, KindUnsupported},
		"quality 101":                {deep, EncodeOptions{Quality: 101}, KindUnsupported},
		"no pixels":                  {&Picture{}, EncodeOptions{Format: PNG}, KindZeroSize},
	} {
		if err := Encode(new(bytes.Buffer), c.p, c.opt); KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Encode(failingWriter{}, deep, EncodeOptions{}); KindOf(err) != KindUnreadable || !errors.Is(err, os.ErrClosed) {
		t.Errorf("a failing writer: %v", err)
	}
}

// Writing twice gives the same bytes, and several at once do too.
func TestEncodeIsDeterministic(t *testing.T) {
	p := &Picture{Image: scene(200, 150)}
	for _, format := range []Format{JPEG, PNG, WebP, TIFF} {
		want := mustEncode(t, p, EncodeOptions{Format: format})
		results := make(chan []byte)
		for range 4 {
			go func() {
				var buf bytes.Buffer
				if err := Encode(&buf, p, EncodeOptions{Format: format}); err != nil {
					t.Error(err)
				}
				results <- buf.Bytes()
			}()
		}
		for range 4 {
			if !bytes.Equal(<-results, want) {
				t.Errorf("%s: two runs differ", format)
			}
		}
	}
}

// Whatever decodes can be written in its own format, is upright then, and keeps size and type.
func FuzzDecode(f *testing.F) {
	for _, data := range awkwardSeeds(f) {
		f.Add(data)
	}
	photo := richPicture(f)
	for _, format := range []Format{JPEG, PNG, WebP, TIFF} {
		f.Add(mustEncode(f, photo, EncodeOptions{Format: format}))
	}
	f.Add(mustEncode(f, photo, EncodeOptions{Format: WebP, Quality: 60}))
	lim := Limits{MaxBytes: 1 << 20, MaxPixels: 1 << 16, MaxSide: 4096}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = ReadTags(data)
		p, err := Decode(data, lim)
		if err != nil {
			if KindOf(err) == "" {
				t.Fatalf("not a *raster.Error: %v", err)
			}
			return
		}
		_ = p.Tags()
		var buf bytes.Buffer
		opt := EncodeOptions{Fast: true}
		if p.Format == AVIF {
			opt.Format = PNG
		}
		if err := Encode(&buf, p, opt); err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		again, err := Decode(buf.Bytes(), Limits{})
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if again.Image.Bounds() != p.Image.Bounds() || again.Orientation != 1 {
			t.Fatalf("%v became %v, orientation %d", p.Image.Bounds(), again.Image.Bounds(), again.Orientation)
		}
		if p.Format == PNG && !cmp.Equal(again.Image, p.Image) {
			t.Fatal("PNG pixels changed")
		}
	})
}

func BenchmarkPNG1024(b *testing.B) {
	p := &Picture{Image: scene(1024, 1024), Format: PNG}
	for name, fast := range map[string]bool{"encode-default": false, "encode-fast": true} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = len(mustEncode(b, p, EncodeOptions{Fast: fast}))
			}
			b.ReportMetric(float64(n), "B/file")
		})
	}
	data := mustEncode(b, p, EncodeOptions{})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			mustDecode(b, data)
		}
	})
	b.Run("decode-stdlib", func(b *testing.B) {
		for b.Loop() {
			if _, err := png.Decode(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncodeWebP(b *testing.B) {
	p := &Picture{Image: scene(1024, 1024), Format: WebP}
	for name, opt := range map[string]EncodeOptions{
		"lossless": {}, "lossy-90": {Quality: 90}, "lossy-90-fast": {Quality: 90, Fast: true},
	} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = len(mustEncode(b, p, opt))
			}
			b.ReportMetric(float64(n), "B/file")
		})
	}
}

func BenchmarkUpright1024(b *testing.B) {
	img := scene(1024, 1024)
	for b.Loop() {
		upright(img, 6)
	}
}

// TestSamePixels: what an exact format gives back is the same, and one sample, one type or one row more is not.
func TestSamePixels(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 7, 5))
	for i := range img.Pix {
		img.Pix[i] = uint8(i*37 | 1)
	}
	wide := image.NewNRGBA(image.Rect(2, 3, 20, 10))
	draw.Draw(wide, image.Rect(3, 4, 10, 9), img, image.Point{}, draw.Src)
	part := wide.SubImage(image.Rect(3, 4, 10, 9))
	for _, opt := range []EncodeOptions{{Format: PNG, Fast: true}, {Format: TIFF}, {Format: WebP, Lossless: true}} {
		if !opt.Exact() {
			t.Errorf("%+v is exact", opt)
		}
		var file bytes.Buffer
		if err := Encode(&file, &Picture{Image: img, Format: opt.Format}, opt); err != nil {
			t.Fatal(err)
		}
		again, err := Decode(file.Bytes(), DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		if !SamePixels(img, again.Image) || !SamePixels(again.Image, img) {
			t.Errorf("%s gives back another picture", opt.Format)
		}
	}
	for _, opt := range []EncodeOptions{{}, {Format: JPEG}, {Format: WebP}} {
		if opt.Exact() {
			t.Errorf("%+v is not exact", opt)
		}
	}
	other := image.NewNRGBA(img.Rect)
	copy(other.Pix, img.Pix)
	other.Pix[len(other.Pix)-1]++
	for name, b := range map[string]image.Image{"a sample": other, "the size": img.SubImage(image.Rect(0, 0, 7, 4)), "the type": image.NewNRGBA64(img.Rect), "a foreign type": image.NewYCbCr(img.Rect, 0)} {
		if SamePixels(img, b) {
			t.Errorf("%s differs", name)
		}
	}
	if !SamePixels(img, part) {
		t.Error("a piece of a larger picture has the same pixels")
	}
}
