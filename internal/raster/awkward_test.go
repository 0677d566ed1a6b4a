package raster

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	libavif "github.com/gen2brain/avif"
	"github.com/google/go-cmp/cmp"
)

// The folder testdata/awkward at the root of the module holds files that other tools stumble over.
// expected.json there gives for each the kind of its refusal, or "ok". All but cmyk.jpg and ycck.jpg
// (made by generate.sh with ImageMagick) are made here:
//
//	go test ./internal/raster -run TestAwkwardFilesAreCurrent -update
var update = flag.Bool("update", false, "write testdata/awkward anew")

const awkwardDir = "../../testdata/awkward"

// awkwardFiles gives every generated file by name.
func awkwardFiles(t testing.TB) map[string][]byte {
	photo := encodeForTest(t, scene(64, 48), 90, "4:2:0")
	photoPNG := pngBytesOf(t, scene(64, 48))
	files := map[string][]byte{
		"not-an-image.jpg":        []byte("This is a letter, not a photograph.\n"),
		"empty.png":               {},
		"truncated.jpg":           photo[:len(photo)*2/3],
		"truncated.png":           photoPNG[:len(photoPNG)/2],
		"zero-0x0.png":            headerOnlyPNG(0, 0),
		"claims-60000x60000.png":  headerOnlyPNG(60000, 60000),
		"claims-65500x65500.jpg":  headerOnlyJPEG(65500, 65500),
		"claims-16000x15000.jpg":  headerOnlyJPEG(16000, 15000),
		"strip-1x37.png":          pngBytesOf(t, scene(1, 37)),
		"icon-40x40.png":          pngBytesOf(t, scene(40, 40)),
		"white-page.png":          pngBytesOf(t, whitePage(1024)),
		"grey16.png":              pngBytesOf(t, rampGray16(33, 21)),
		"palette-transparent.png": pngBytesOf(t, palettePicture()),
		"animated-apng.png":       apng(photoPNG),
		"animated.gif":            gifBytes(t, 3),
		"still.gif":               gifBytes(t, 1),
		"animated.webp":           animatedWebPHeader(),
		"bitmap.bmp":              append([]byte("BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), make([]byte, 52)...),
		"photo.heic":              []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"),
		"photo.avif":              avifBytes(t, scene(64, 48)),
		"sequence.avif":           []byte("\x00\x00\x00\x18ftypavis\x00\x00\x00\x00avisavif\x00\x00\x00\x08moov"),
		"drawing.svg":             []byte("<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n"),
		"document.pdf":            []byte("%PDF-1.7\n"),
		"cmyk.tif":                tiffOf(binary.LittleEndian, tiffDir{{256, 8}, {257, 8}, {262, 5}, {277, 4}}),
		"two-pages.tif":           tiffOf(binary.BigEndian, tiffDir{{256, 8}, {257, 8}, {262, 1}}, tiffDir{{256, 8}, {257, 8}, {262, 1}}),
		"planar.tif":              tiffOf(binary.BigEndian, tiffDir{{256, 8}, {257, 8}, {262, 2}, {277, 3}, {284, 2}}),
	}
	for o := 1; o <= 8; o++ {
		files["orientation-"+string(rune('0'+o))+".jpg"] = orientedJPEG(t, o)
	}
	return files
}

func TestAwkwardFilesAreCurrent(t *testing.T) {
	for name, want := range awkwardFiles(t) {
		path := filepath.Join(awkwardDir, name)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v; make it with -update", err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what its generator makes; run with -update and look at the difference", name)
		}
	}
}

// Each awkward file is refused for its own reason, or decodes; none is left without a verdict.
func TestAwkwardFiles(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(awkwardDir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]string
	if err := json.Unmarshal(raw, &expected); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name := range awkwardSeeds(t) {
		p, err := DecodeFile(filepath.Join(awkwardDir, name), Limits{})
		switch {
		case err == nil:
			got[name] = "ok"
			if b := p.Image.Bounds(); b.Min != (image.Point{}) || b.Empty() {
				t.Errorf("%s: bounds %v", name, b)
			}
		case KindOf(err) == "":
			t.Errorf("%s: not a *raster.Error: %v", name, err)
		default:
			got[name] = string(KindOf(err))
			if e := err.(*Error); e.Detail == "" || e.Path == "" || bytes.ContainsAny([]byte(err.Error()), "\n\r") {
				t.Errorf("%s: the message is no help: %q", name, err)
			}
		}
	}
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("verdicts (-expected +got):\n%s", diff)
	}
}

// awkwardSeeds reads every picture file of the folder; finding fewer than there are verdicts is an error.
func awkwardSeeds(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(awkwardDir, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, path := range paths {
		switch filepath.Ext(path) {
		case ".json", ".sh", ".md":
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = data
	}
	if len(out) < 30 {
		t.Fatalf("only %d files in %s", len(out), awkwardDir)
	}
	return out
}

func pngBytesOf(t testing.TB, img image.Image) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func whitePage(side int) image.Image {
	img := image.NewGray(image.Rect(0, 0, side, side))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	return img
}

func rampGray16(w, h int) *image.Gray16 {
	img := image.NewGray16(image.Rect(0, 0, w, h))
	for i := range w * h {
		binary.BigEndian.PutUint16(img.Pix[2*i:], uint16(i*40503))
	}
	return img
}

func palettePicture() *image.Paletted {
	img := image.NewPaletted(image.Rect(0, 0, 24, 16), color.Palette{
		color.NRGBA{R: 10, G: 200, B: 30, A: 255}, color.NRGBA{R: 200, G: 20, B: 10, A: 128}, color.NRGBA{},
	})
	for i := range img.Pix {
		img.Pix[i] = uint8(i % 3)
	}
	return img
}

// headerOnlyPNG is 47 bytes: signature, header, two bytes of pixel data and nothing more.
func headerOnlyPNG(w, h uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	out := appendChunk([]byte(pngSignature), "IHDR", append(ihdr, 8, 2, 0, 0, 0))
	return appendChunk(out, "IDAT", []byte{0x78, 0x9c})
}

// headerOnlyJPEG is a frame header and the beginning of a scan.
func headerOnlyJPEG(w, h int) []byte {
	out := appendSegment([]byte{0xff, mSOI}, mSOF0, []byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), 1, 1, 0x11, 0})
	return appendSegment(out, mSOS, []byte{1, 1, 0, 0, 63, 0})
}

// apng marks a PNG as animated.
func apng(still []byte) []byte {
	out := bytes.Clone(still[:33])
	out = appendChunk(out, "acTL", []byte{0, 0, 0, 2, 0, 0, 0, 0})
	return append(out, still[33:]...)
}

func gifBytes(t testing.TB, frames int) []byte {
	g := &gif.GIF{}
	for n := range frames {
		img := image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{color.Black, color.White})
		img.Pix[n] = 1
		g.Image, g.Delay = append(g.Image, img), append(g.Delay, 10)
	}
	var buf bytes.Buffer
	if err := gif.EncodeAll(&buf, g); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func animatedWebPHeader() []byte {
	out := appendRIFF([]byte("RIFF\x00\x00\x00\x00WEBP"), "VP8X", []byte{vp8xAnimation, 0, 0, 0, 7, 0, 0, 7, 0, 0})
	out = appendRIFF(out, "ANIM", make([]byte, 6))
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out
}

func avifBytes(t testing.TB, img image.Image) []byte {
	var buf bytes.Buffer
	if err := libavif.Encode(&buf, img, libavif.Options{Quality: 90, QualityAlpha: 90, Speed: 8}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// tiffDir is a directory of SHORT entries: tag, value.
type tiffDir [][2]uint16

func tiffOf(order binary.ByteOrder, dirs ...tiffDir) []byte {
	out := []byte("II*\x00\x08\x00\x00\x00")
	if order == binary.BigEndian {
		out = []byte("MM\x00*\x00\x00\x00\x08")
	}
	u16 := func(v uint16) { out = append(out, 0, 0); order.PutUint16(out[len(out)-2:], v) }
	u32 := func(v uint32) { out = append(out, 0, 0, 0, 0); order.PutUint32(out[len(out)-4:], v) }
	for n, dir := range dirs {
		u16(uint16(len(dir)))
		for _, e := range dir {
			u16(e[0])
			u16(3)
			u32(1)
			u16(e[1])
			u16(0)
		}
		if n == len(dirs)-1 {
			u32(0)
		} else {
			u32(uint32(len(out) + 4))
		}
	}
	return out
}

// The corners of the upright picture of the orientation files, 48 x 32.
var corners = map[image.Point]color.NRGBA{
	{X: 4, Y: 4}:   {R: 220, G: 30, B: 30, A: 255},   // top left: red
	{X: 43, Y: 4}:  {R: 30, G: 180, B: 30, A: 255},   // top right: green
	{X: 4, Y: 27}:  {R: 30, G: 40, B: 220, A: 255},   // bottom left: blue
	{X: 43, Y: 27}: {R: 235, G: 220, B: 40, A: 255},  // bottom right: yellow
	{X: 24, Y: 16}: {R: 120, G: 120, B: 120, A: 255}, // centre: grey
}

func cornerPicture() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, 48, 32))
	draw.Draw(img, img.Rect, image.NewUniform(corners[image.Pt(24, 16)]), image.Point{}, draw.Src)
	for at, c := range corners {
		if at.X != 24 {
			draw.Draw(img, image.Rect(at.X&^15, at.Y&^15, at.X&^15+16, at.Y&^15+16).Intersect(img.Rect), image.NewUniform(c), image.Point{}, draw.Src)
		}
	}
	return img
}

// stored gives the picture as a camera stores it under an orientation, from the words of Exif 2.32: which
// visual sides the 0th row and the 0th column are.
func stored(img *image.NRGBA, orientation int) *image.NRGBA {
	row0 := []string{"", "top", "top", "bottom", "bottom", "left", "right", "right", "left"}[orientation]
	col0 := []string{"", "left", "right", "right", "left", "top", "top", "bottom", "bottom"}[orientation]
	w, h := img.Rect.Dx(), img.Rect.Dy()
	place := func(side string, i int) (x, y int) {
		return map[string]int{"left": i, "right": w - 1 - i}[side], map[string]int{"top": i, "bottom": h - 1 - i}[side]
	}
	rows, cols := h, w
	if orientation >= 5 {
		rows, cols = w, h
	}
	out := image.NewNRGBA(image.Rect(0, 0, cols, rows))
	for r := range rows {
		for c := range cols {
			rx, ry := place(row0, r)
			cx, cy := place(col0, c)
			out.SetNRGBA(c, r, img.NRGBAAt(rx+cx, ry+cy))
		}
	}
	return out
}

// orientedJPEG is the corner picture as stored under an orientation, with EXIF of alternating byte order and
// XMP that both say so.
func orientedJPEG(t testing.TB, orientation int) []byte {
	order := binary.ByteOrder(binary.LittleEndian)
	if orientation%2 == 0 {
		order = binary.BigEndian
	}
	exif := tiffOf(order, tiffDir{{tagOrientation, uint16(orientation)}})
	xmp := `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="` +
		string(rune('0'+orientation)) + `"/></rdf:RDF></x:xmpmeta>`
	var buf bytes.Buffer
	err := encodeJPEG(&buf, stored(cornerPicture(), orientation), 95, "4:4:4", jpegFront{blocks: []Block{
		{Name: "APP1", Data: append([]byte(sigEXIF), exif...)},
		{Name: "APP1", Data: append([]byte(sigXMP), xmp...)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
