package raster

import (
	"bytes"
	"encoding/binary"
	"image"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func box(name string, body ...[]byte) []byte {
	b := bytes.Join(body, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(b))), name...), b...)
}

// avifFile builds a still AVIF around the coded picture of file: more properties of the primary item, and further
// items by kind.
func avifFile(t testing.TB, file []byte, properties [][]byte, items ...[2]string) []byte {
	t.Helper()
	m, e := parseAVIF(file)
	if e != nil {
		t.Fatal(e)
	}
	u16, u32 := func(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }, func(v int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }
	var ipco, ipma []byte
	for _, p := range m.properties {
		ipco = append(ipco, box(p.name, p.body)...)
	}
	for _, p := range properties {
		ipco = append(ipco, p...)
	}
	n := len(m.properties) + len(properties)
	for i := range n {
		ipma = append(ipma, byte(i+1))
	}
	payloads := [][]byte{m.item(file, "av01")}
	kinds := []string{"av01"}
	for _, it := range items {
		kinds, payloads = append(kinds, it[0]), append(payloads, []byte(it[1]))
	}
	build := func(mdat int) []byte {
		var infos, places []byte
		at := mdat
		for i, d := range payloads {
			infos = append(infos, box("infe", []byte{2, 0, 0, 0}, u16(i+1), u16(0), []byte(kinds[i]), []byte("\x00application/rdf+xml\x00"))...)
			places = append(places, bytes.Join([][]byte{u16(i + 1), u16(0), u16(1), u32(at), u32(len(d))}, nil)...)
			at += len(d)
		}
		meta := box("meta", u32(0),
			box("hdlr", u32(0), u32(0), []byte("pict"), make([]byte, 13)),
			box("pitm", u32(0), u16(1)),
			box("iloc", u32(0), []byte{0x44, 0}, u16(len(payloads)), places),
			box("iinf", u32(0), u16(len(payloads)), infos),
			box("iprp", box("ipco", ipco), box("ipma", u32(0), u32(1), u16(1), []byte{byte(n)}, ipma)))
		return append(box("ftyp", []byte("mif1\x00\x00\x00\x00mif1avif")), meta...)
	}
	out := build(0)
	return append(build(len(out)+8), box("mdat", payloads...)...)
}

// An AVIF's pixels come close to what was coded, its turns are applied, and its EXIF, XMP and profile are carried into
// other formats, upright.
func TestAVIF(t *testing.T) {
	img := cornerPicture()
	coded := avifBytes(t, stored(img, 6))
	plain := mustDecode(t, coded)
	if plain.Format != AVIF || plain.Orientation != 1 || plain.Image.Bounds().Dx() != 32 {
		t.Fatalf("%s, orientation %d, %v", plain.Format, plain.Orientation, plain.Image.Bounds())
	}
	icc := testICC("RGB ", 400)
	file := avifFile(t, coded, [][]byte{box("irot", []byte{3}), box("colr", []byte("prof"), icc)},
		[2]string{"Exif", "\x00\x00\x00\x00" + string(testEXIF(6))}, [2]string{"mime", testXMP})
	p := mustDecode(t, file)
	if p.Orientation != 6 || !bytes.Equal(p.Meta.EXIF, testEXIF(6)) || string(p.Meta.XMP) != testXMP || !bytes.Equal(p.Meta.ICC, icc) {
		t.Errorf("orientation %d, EXIF of %d bytes, XMP of %d, ICC of %d", p.Orientation, len(p.Meta.EXIF), len(p.Meta.XMP), len(p.Meta.ICC))
	}
	if got := psnr(t, img, p.Image); got < 25 {
		t.Errorf("%.1f dB after the turn", got)
	}
	if tags, err := ReadTags(file); err != nil || tags.RightsHolder != "Azur SA" {
		t.Errorf("tags %+v, %v", tags, err)
	}
	for _, to := range []Format{PNG, JPEG, TIFF, WebP} {
		q := mustDecode(t, mustEncode(t, p, EncodeOptions{Format: to}))
		if q.Orientation != 1 || !bytes.Equal(q.Meta.ICC, icc) || string(q.Meta.XMP) != testXMP || q.Image.Bounds() != p.Image.Bounds() {
			t.Errorf("to %s: orientation %d, ICC of %d bytes", to, q.Orientation, len(q.Meta.ICC))
		}
	}
	if err := Encode(new(bytes.Buffer), p, EncodeOptions{}); KindOf(err) != KindUnsupported {
		t.Errorf("written as AVIF: %v", err)
	}
	for n := 24; n < len(file); n += 13 {
		if _, err := Decode(file[:n], Limits{}); KindOf(err) != KindTruncated && KindOf(err) != KindCorrupt {
			t.Errorf("cut to %d of %d: %v", n, len(file), err)
		}
	}
}

// What libavif's simple interface would pass over is refused by name, sizes before anything is decoded.
func TestAVIFRefusals(t *testing.T) {
	coded := avifBytes(t, scene(16, 16))
	huge := box("ispe", make([]byte, 4), []byte{0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60})
	for name, c := range map[string]struct {
		property []byte
		want     Kind
	}{
		"a crop":        {box("clap", make([]byte, 32)), KindUnsupported},
		"high range":    {box("colr", []byte("nclx\x00\x09\x00\x10\x00\x09\x80")), KindUnsupported},
		"60000 x 60000": {huge, KindTooLarge},
	} {
		if _, err := Decode(avifFile(t, coded, [][]byte{c.property}), Limits{}); KindOf(err) != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// The orientation is that of turning first and mirroring then, for all twelve pairs.
func TestAVIFOrientation(t *testing.T) {
	img := image.Image(scene(7, 5))
	for angle := range 4 {
		for mirror := range 3 {
			m := avifMeta{assigned: []byte{1, 2}, properties: []isoBox{{name: "irot", body: []byte{byte(angle)}}, {name: "none"}}}
			want := img
			for range angle {
				want = upright(want, 8) // a quarter anticlockwise
			}
			if mirror > 0 {
				m.properties[1] = isoBox{name: "imir", body: []byte{byte(mirror - 1)}}
				want = upright(want, []int{4, 2}[mirror-1])
			}
			if got := upright(img, m.orientation()); !cmp.Equal(got, want) {
				t.Errorf("irot %d, imir %d: orientation %d is not it", angle, mirror-1, m.orientation())
			}
		}
	}
}

func FuzzAVIFContainer(f *testing.F) {
	coded := awkwardSeeds(f)["photo.avif"]
	f.Add(coded)
	f.Add(avifFile(f, coded, [][]byte{box("irot", []byte{1}), box("imir", []byte{1})}, [2]string{"Exif", "\x00\x00\x00\x00II*\x00"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, e := parseAVIF(data)
		if e != nil {
			return
		}
		_ = m.check(Limits{}.withDefaults())
		if got := m.orientation(); got < 1 || got > 8 {
			t.Fatalf("orientation %d", got)
		}
		if meta := m.metadata(data); len(meta.EXIF) > len(data) || len(meta.XMP) > len(data) {
			t.Fatal("more metadata than file")
		}
	})
}

// TestAVIFThatLiesAboutItsSize: the container's size is not believed; limits hold for what is decoded.
func TestAVIFThatLiesAboutItsSize(t *testing.T) {
	coded := avifBytes(t, image.NewNRGBA(image.Rect(0, 0, 700, 500)))
	extent := append(binary.BigEndian.AppendUint32(nil, 700), binary.BigEndian.AppendUint32(nil, 500)...)
	if n := bytes.Count(coded, extent); n == 0 {
		t.Fatal("no extent to falsify")
	}
	lie := bytes.ReplaceAll(coded, extent, append(binary.BigEndian.AppendUint32(nil, 64), binary.BigEndian.AppendUint32(nil, 64)...))
	if size, ok := av1Size(mustParseAVIF(t, coded).item(coded, "av01")); !ok || size != image.Pt(700, 500) {
		t.Errorf("the coded picture is %v, %v", size, ok)
	}
	for limit, want := range map[int64]Kind{10_000: KindTooLarge, 0: KindCorrupt} {
		_, err := Decode(lie, Limits{MaxPixels: limit})
		if got := KindOf(err); got != want {
			t.Errorf("a limit of %d: %v, want %s", limit, err, want)
		}
	}
	huge := bytes.ReplaceAll(coded, extent, bytes.Repeat([]byte{255}, 8))
	if _, err := Decode(huge, DefaultLimits()); KindOf(err) != KindTooLarge {
		t.Errorf("a size beyond 64 bits: %v", err)
	}
	for n := range len(coded) {
		cut := bytes.Clone(coded[:n])
		if _, err := Decode(cut, DefaultLimits()); err == nil {
			t.Fatalf("cut after %d of %d bytes it is taken", n, len(coded))
		}
	}
}

func mustParseAVIF(t *testing.T, data []byte) *avifMeta {
	t.Helper()
	m, e := parseAVIF(data)
	if e != nil {
		t.Fatal(e)
	}
	return m
}
