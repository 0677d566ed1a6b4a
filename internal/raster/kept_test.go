package raster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// exactPictures are those of the awkward inputs that a lossless file must give back exactly.
func exactPictures() map[string]image.Image {
	photo := scene(300, 200)
	clear := scene(64, 48)
	for i := 3; i < len(clear.Pix); i += 4 {
		clear.Pix[i] = byte(i / 4)
	}
	gradient, text := image.NewNRGBA(photo.Rect), image.NewGray(photo.Rect)
	for i := range text.Pix {
		x, y := i%300, i/300
		v := byte(x * 255 / 299)
		copy(gradient.Pix[4*i:], []byte{v, v, 255 - v, 255})
		text.Pix[i] = 255
		if y%12 < 8 && (x*x+y/12*7)%5 < 2 {
			text.Pix[i] = 0
		}
	}
	flat := func(v byte) image.Image {
		m := image.NewNRGBA(image.Rect(0, 0, 96, 64))
		for i := range m.Pix {
			m.Pix[i] = v
			if i%4 == 3 {
				m.Pix[i] = 255
			}
		}
		return m
	}
	deep := image.NewNRGBA64(image.Rect(0, 0, 40, 30))
	for i := range deep.Pix {
		deep.Pix[i] = byte(i * i / 7)
		if i%8 >= 6 {
			deep.Pix[i] = 255
		}
	}
	return map[string]image.Image{
		"PNG with alpha": clear, "grey PNG": greyOf(photo), "16-bit grey PNG": rampGray16(40, 30), "16-bit colour PNG": deep,
		"white": flat(255), "grey": flat(128), "black": flat(0), "gradient": gradient, "page of text": text,
		"1 x 1": scene(1, 1), "48 x 48": scene(48, 48), "255 x 255": scene(255, 255),
	}
}

// greyOf gives the red channel.
func greyOf(m *image.NRGBA) *image.Gray {
	out := image.NewGray(m.Rect)
	for i := range out.Pix {
		out.Pix[i] = m.Pix[4*i]
	}
	return out
}

// The awkward inputs other tools were tried on, kept in their own format or refused by name; JPEG with EXIF and ICC
// and the orientations have tests of their own. What a mark does to the flat ones is for the embedder to
// answer; here they come back exactly.
func TestAwkwardInputsAreKeptOrRefused(t *testing.T) {
	for name, img := range exactPictures() {
		for _, format := range []Format{PNG, TIFF, WebP} {
			data := mustEncode(t, &Picture{Image: img}, EncodeOptions{Format: PNG})
			p := mustDecode(t, data)
			if !cmp.Equal(p.Image, canonical(img)) {
				t.Errorf("%s: read as %T", name, p.Image)
			}
			if format == WebP && (is16(img) || isGrey(img)) {
				continue // WebP has neither; 16 bits are refused there, see TestEncodeRefusals
			}
			if got := mustDecode(t, mustEncode(t, p, EncodeOptions{Format: format})); !cmp.Equal(got.Image, p.Image) {
				t.Errorf("%s: changed on its way through %s", name, format)
			}
		}
	}
	refused := map[string]Kind{"cmyk.jpg": KindCMYK, "ycck.jpg": KindCMYK, "still.gif": KindUnsupported, "animated.gif": KindAnimated,
		"animated.webp": KindAnimated, "animated-apng.png": KindAnimated, "photo.heic": KindUnsupported, "sequence.avif": KindAnimated}
	for name, want := range refused {
		if _, err := DecodeFile(filepath.Join(awkwardDir, name), Limits{}); KindOf(err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}

	var greyJPEG bytes.Buffer
	if err := jpeg.Encode(&greyJPEG, greyOf(scene(300, 200)), nil); err != nil {
		t.Fatal(err)
	}
	p := mustDecode(t, greyJPEG.Bytes())
	again := mustDecode(t, mustEncode(t, p, EncodeOptions{}))
	if _, ok := again.Image.(*image.Gray); !ok || again.JPEG.Subsampling != "grey" || psnr(t, p.Image, again.Image) < 45 {
		t.Errorf("grey JPEG: %T, %+v", again.Image, again.JPEG)
	}
	lossy := mustEncode(t, &Picture{Image: scene(300, 200)}, EncodeOptions{Format: WebP, Quality: 80})
	if got := mustEncode(t, mustDecode(t, lossy), EncodeOptions{}); len(got) > len(lossy)*11/10 {
		t.Errorf("lossy WebP: %d bytes became %d", len(lossy), len(got))
	}
}

// A JPEG is written with its source's own tables, to the last entry, whoever made them: none for quality 100, ones no
// quality setting gives, three different ones, one with entries beyond eight bits. Its size stays near, and a
// second writing changes next to nothing.
func TestJPEGTablesAreKept(t *testing.T) {
	table := func(f func(k int) int) *[64]int {
		var q [64]int
		for k := range q {
			q[k] = f(k)
		}
		return &q
	}
	flat, steep, odd := table(func(int) int { return 1 }), table(func(k int) int { return 3 + k*k/40 }), table(func(k int) int { return 5 + k*7%11 })
	wide := table(func(k int) int { return 8 + 20*k })
	for name, c := range map[string]struct {
		quant    []*[64]int
		sampling string
		frame    byte
	}{
		"all ones":        {[]*[64]int{flat, flat, flat}, "4:4:4", mSOF0},
		"no quality":      {[]*[64]int{steep, odd, odd}, "4:2:0", mSOF0},
		"three different": {[]*[64]int{flat, steep, odd}, "4:2:2", mSOF0},
		"16-bit entries":  {[]*[64]int{wide, wide, wide}, "4:2:0", mSOF1},
	} {
		var buf bytes.Buffer
		if err := encodeJPEG(&buf, scene(200, 150), 1, c.sampling, jpegFront{quant: c.quant}); err != nil {
			t.Fatal(err)
		}
		p := mustDecode(t, buf.Bytes())
		again := mustEncode(t, p, EncodeOptions{})
		hdr, e := parseJPEG(again)
		if e != nil {
			t.Fatal(e)
		}
		if hdr.sof != c.frame || hdr.subsampling() != c.sampling {
			t.Errorf("%s: SOF%d, %s", name, hdr.sof-mSOF0, hdr.subsampling())
		}
		if diff := cmp.Diff(c.quant, hdr.tables()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		most := 103
		if c.quant[0] == flat {
			most = 120 // colours rounded to whole numbers are noise to a quantiser of step 1
		}
		if n := buf.Len(); len(again) > n*most/100 || len(again) < n*90/100 {
			t.Errorf("%s: %d bytes became %d", name, n, len(again))
		}
		if got := psnr(t, p.Image, mustDecode(t, again).Image); got < 38 {
			t.Errorf("%s: written anew %.1f dB from the source", name, got)
		}
		over := mustDecode(t, mustEncode(t, p, EncodeOptions{Quality: 71}))
		if over.JPEG.Quality != 71 || *over.quant[0] != quantTable(0, 71) {
			t.Errorf("%s: quality 71 asked for, %d written", name, over.JPEG.Quality)
		}
	}
}

// A table with a zero, or none, is no table: the picture is then written at the estimated quality.
func TestJPEGWithoutUsableTables(t *testing.T) {
	h := jpegHeader{selector: []byte{0, 1}}
	if h.tables() != nil {
		t.Error("a missing table was given")
	}
	h.quant[0], h.quant[1] = new([64]int), new([64]int)
	if h.tables() != nil {
		t.Error("a table of zeros was given")
	}
	h.selector = []byte{7}
	if h.tables() != nil {
		t.Error("table 7 was given")
	}
}

// FuzzDQT reads quantisation tables; what is read is written again as it was.
func FuzzDQT(f *testing.F) {
	e := jpegEncoder{comps: 3}
	e.quant[0], e.quant[1], e.quant[2] = quantTable(0, 50), quantTable(1, 50), quantTable(1, 10)
	e.quant[2][5] = 300
	seed, _ := e.quantSegment()
	f.Add(seed)
	f.Add(seed[:65])
	f.Add([]byte{0x20})
	f.Fuzz(func(t *testing.T, body []byte) {
		h := jpegHeader{selector: []byte{0, 1, 2}}
		if h.readDQT(body) != nil {
			return
		}
		tables := h.tables()
		if tables == nil {
			return
		}
		e := jpegEncoder{comps: 3}
		for c := range e.quant {
			e.quant[c] = *tables[c]
		}
		out, _ := e.quantSegment()
		again := jpegHeader{selector: []byte{0, e.tableID(1), e.tableID(2)}}
		if again.readDQT(out) != nil || !cmp.Equal(again.tables(), tables) {
			t.Fatalf("%x became %x", body, out)
		}
	})
}

// FuzzTIFFDirectory takes a TIFF's metadata apart and writes it into a new file, which says the same.
func FuzzTIFFDirectory(f *testing.F) {
	f.Add(cameraEXIF())
	f.Add(fullTIFF(binary.BigEndian, rampGray16(4, 4), 6))
	f.Add(tiffOf(binary.BigEndian, tiffDir{{256, 8}, {34665, 8}, {34853, 8}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		order := exifByteOrder(data)
		if order == nil || len(data) < 8 {
			return
		}
		p := &Picture{Image: image.NewGray(image.Rect(0, 0, 3, 2)), Format: TIFF, order: order}
		p.Meta.EXIF, p.Meta.Blocks = splitTIFF(data, int64(order.Uint32(data[4:])), order)
		if n := len(p.Meta.EXIF); n > 6*len(data)+(64<<10) {
			t.Fatalf("%d bytes of EXIF out of %d", n, len(data))
		}
		again, err := Decode(mustEncode(t, p, EncodeOptions{}), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		sameTags(t, p.Meta.EXIF, again.Meta.EXIF)
		if !cmp.Equal(p.Image, again.Image) {
			t.Fatal("pixels changed")
		}
	})
}

// sameTags compares the first directories of two EXIF blocks, the pointers and the orientation aside.
func sameTags(t *testing.T, a, b []byte) {
	t.Helper()
	list := func(exif []byte) (out []string) {
		order := exifByteOrder(exif)
		if order == nil {
			return nil
		}
		for _, e := range tiffEntries(exif, int64(order.Uint32(exif[4:])), order) {
			if e.tag != tiffExif && e.tag != tiffGPS && e.tag != tiffOrientation {
				out = append(out, fmt.Sprintf("%d %d %x", e.tag, e.typ, e.value))
			}
		}
		return out
	}
	if diff := cmp.Diff(list(a), list(b)); diff != "" {
		t.Fatalf("tags (-before +after):\n%.600s", diff)
	}
}

// Odd TIFF metadata: resolutions of every kind, a density that turns, tags of private use, and what must not be carried.
func TestTIFFMetadata(t *testing.T) {
	le := binary.LittleEndian
	ratio := func(tag uint16, v ...int) tiffEntry {
		e := tiffNumbers(le, tag, 4, v...)
		e.typ = 5
		return e
	}
	base := mustDecode(t, mustEncode(t, &Picture{Image: scene(20, 10)}, EncodeOptions{Format: TIFF}))
	with := func(entries ...tiffEntry) *Picture {
		p := *base
		exif, at := appendDirectory(tiffHead(le), 0, le, entries)
		le.PutUint32(exif[4:], at)
		p.Format, p.Meta = PNG, Metadata{EXIF: exif}
		return mustDecode(t, mustEncode(t, &p, EncodeOptions{Format: TIFF}))
	}
	for name, c := range map[string]struct {
		entries []tiffEntry
		want    Density
	}{
		"dots per inch":   {[]tiffEntry{ratio(tiffXRes, 300, 1), ratio(tiffYRes, 600, 2), tiffNumbers(le, tiffResUnit, 3, 2)}, Density{300, 300, PerInch}},
		"per centimetre":  {[]tiffEntry{ratio(tiffXRes, 118, 1), ratio(tiffYRes, 118, 1), tiffNumbers(le, tiffResUnit, 3, 3)}, Density{118, 118, PerCM}},
		"broken":          {[]tiffEntry{ratio(tiffXRes, 1181102, 10000), ratio(tiffYRes, 1181102, 10000), tiffNumbers(le, tiffResUnit, 3, 3)}, Density{11811, 11811, PerMetre}},
		"a shape only":    {[]tiffEntry{ratio(tiffXRes, 2, 1), ratio(tiffYRes, 1, 1), tiffNumbers(le, tiffResUnit, 3, 1)}, Density{2, 1, AspectOnly}},
		"divided by zero": {[]tiffEntry{ratio(tiffXRes, 2, 0), ratio(tiffYRes, 1, 1)}, Density{}},
		"turned":          {[]tiffEntry{ratio(tiffXRes, 100, 1), ratio(tiffYRes, 200, 1), tiffNumbers(le, tiffOrientation, 3, 1)}, Density{100, 200, PerInch}},
	} {
		if got := with(c.entries...).Meta.Density; got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	for _, d := range []Density{{300, 300, PerInch}, {11811, 11811, PerMetre}, {4, 3, AspectOnly}} {
		p := mustDecode(t, mustEncode(t, &Picture{Image: scene(8, 8), Meta: Metadata{Density: d}}, EncodeOptions{Format: TIFF}))
		if p.Meta.Density != d {
			t.Errorf("density %+v came back as %+v", d, p.Meta.Density)
		}
	}
	storage := with(tiffNumbers(le, 330, 4, 8), tiffNumbers(le, 50706, 4, 1), tiffNumbers(le, 37724, 4, 1), tiffNumbers(le, 42113, 4, 7))
	var names []string
	for _, b := range storage.Meta.Blocks {
		names = append(names, b.Name)
	}
	if diff := cmp.Diff([]string{"42113 LONG"}, names); diff != "" || storage.Meta.EXIF != nil {
		t.Errorf("private tags (-want +got):\n%s", diff)
	}
	// An opaque picture has three channels in the file, and many strips.
	tall := mustEncode(t, &Picture{Image: scene(700, 500)}, EncodeOptions{Format: TIFF})
	at, order := findEntry(tall, tiffSamples)
	if n := entryNumber(tall, at, order); n != 3 {
		t.Errorf("%d samples a pixel", n)
	}
	if at, _ := findEntry(tall, 279); order.Uint32(tall[at+4:]) < 3 {
		t.Error("one strip only")
	}
	if !cmp.Equal(mustDecode(t, tall).Image, image.Image(scene(700, 500))) {
		t.Error("strips came back different")
	}
}

// BenchmarkSizeGrowth says how much larger or smaller a photograph becomes when it is read and written with default
// options, as size out over size in: the photographs as they are, and as ImageMagick writes them in other
// varieties (skipped where it is not installed). docs/formats.md has the figures.
func BenchmarkSizeGrowth(b *testing.B) {
	paths, err := filepath.Glob("../../testdata/photos/*/*.jpg")
	if err != nil || len(paths) < 20 {
		b.Fatalf("%d photographs: %v", len(paths), err)
	}
	varieties := []struct {
		name, ext string
		args      []string
	}{
		{name: "jpeg-as-found"},
		{"jpeg-baseline-85", "jpg", []string{"-quality", "85", "-interlace", "none", "-sampling-factor", "4:2:0"}},
		{"jpeg-progressive-85", "jpg", []string{"-quality", "85", "-interlace", "plane", "-sampling-factor", "4:2:0"}},
		{"jpeg-progressive-92-444", "jpg", []string{"-quality", "92", "-interlace", "plane", "-sampling-factor", "4:4:4"}},
		{"png", "png", nil},
		{"tiff-lzw", "tif", []string{"-compress", "lzw"}},
		{"webp-80", "webp", []string{"-quality", "80"}},
	}
	for _, v := range varieties {
		b.Run(v.name, func(b *testing.B) {
			for b.Loop() {
				var ratios []float64
				for i := 0; i < len(paths); i += 4 {
					data := asVariety(b, paths[i], v.ext, v.args)
					p := mustDecode(b, data)
					ratios = append(ratios, float64(len(mustEncode(b, p, EncodeOptions{})))/float64(len(data)))
				}
				slices.Sort(ratios)
				b.ReportMetric(ratios[0], "least")
				b.ReportMetric(ratios[len(ratios)/2], "median")
				b.ReportMetric(ratios[len(ratios)-1], "most")
			}
		})
	}
}

func asVariety(b *testing.B, path, ext string, args []string) []byte {
	b.Helper()
	if ext != "" {
		if _, err := exec.LookPath("convert"); err != nil {
			b.Skip("ImageMagick is not installed")
		}
		out := filepath.Join(b.TempDir(), "variety."+ext)
		if msg, err := exec.Command("convert", append(append([]string{path}, args...), out)...).CombinedOutput(); err != nil {
			b.Skipf("%v: %s", err, msg)
		}
		path = out
	}
	data, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	return data
}

// BenchmarkJPEG1024x682 is the whole way of a photograph of 0.7 megapixels, 4:2:0 at quality 90.
func BenchmarkJPEG1024x682(b *testing.B) {
	photo, err := DecodeFile("../../testdata/photos/patterns/tree-bark.jpg", Limits{})
	if err != nil {
		b.Fatal(err)
	}
	crop := canonical(photo.Image.(*image.NRGBA).SubImage(image.Rect(0, 0, 1024, 682)))
	data := encodeForTest(b, crop, 90, "4:2:0")
	p := mustDecode(b, data)
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			mustDecode(b, data)
		}
	})
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if err := Encode(io.Discard, p, EncodeOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
