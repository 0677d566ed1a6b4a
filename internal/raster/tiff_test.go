package raster

import (
	"bytes"
	"encoding/binary"
	"image"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fullTIFF writes a grey 16-bit TIFF by hand: pixels uncompressed, an orientation, XMP, IPTC, ICC and an
// artist. It is independent of this package's own writer.
func fullTIFF(order binary.ByteOrder, img *image.Gray16, orientation int) []byte {
	out := []byte("II*\x00\x00\x00\x00\x00")
	if order == binary.BigEndian {
		out = []byte("MM\x00*\x00\x00\x00\x00")
	}
	type entry struct {
		tag, typ     uint16
		count, value uint32
	}
	put := func(d []byte) uint32 {
		if len(out)%2 == 1 {
			out = append(out, 0)
		}
		at := uint32(len(out))
		out = append(out, d...)
		return at
	}
	pix := make([]byte, len(img.Pix))
	for i := 0; i < len(pix); i += 2 {
		order.PutUint16(pix[i:], binary.BigEndian.Uint16(img.Pix[i:]))
	}
	short := func(v int) uint32 { // a SHORT fills the value field from the left
		var b [4]byte
		order.PutUint16(b[:], uint16(v))
		return order.Uint32(b[:])
	}
	artist, xmp := "Exif Artist\x00", testXMP
	iim, icc := testIIM(5, "Port", 116, "(c) Azur"), testICC("GRAY", 300)
	entries := []entry{
		{256, 3, 1, short(img.Rect.Dx())}, {257, 3, 1, short(img.Rect.Dy())}, {258, 3, 1, short(16)},
		{259, 3, 1, short(1)}, {262, 3, 1, short(1)}, {273, 4, 1, put(pix)}, {274, 3, 1, short(orientation)},
		{277, 3, 1, short(1)}, {278, 3, 1, short(img.Rect.Dy())}, {279, 4, 1, uint32(len(pix))},
		{315, 2, uint32(len(artist)), put([]byte(artist))}, {tiffXMP, 1, uint32(len(xmp)), put([]byte(xmp))},
		{tiffIPTC, 7, uint32(len(iim)), put(iim)}, {tiffICC, 7, uint32(len(icc)), put(icc)},
	}
	ifd := put(nil)
	order.PutUint32(out[4:], ifd)
	u := make([]byte, 4)
	order.PutUint16(u, uint16(len(entries)))
	out = append(out, u[:2]...)
	for _, e := range entries {
		b := make([]byte, 12)
		order.PutUint16(b, e.tag)
		order.PutUint16(b[2:], e.typ)
		order.PutUint32(b[4:], e.count)
		order.PutUint32(b[8:], e.value)
		out = append(out, b...)
	}
	return append(out, 0, 0, 0, 0)
}

// A TIFF's pixels, orientation, tags and blocks are read; converted to PNG and written as TIFF they are kept.
func TestTIFF(t *testing.T) {
	img := rampGray16(48, 32)
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		turned := upright(img, 8).(*image.Gray16) // as stored under orientation 6
		p := mustDecode(t, fullTIFF(order, turned, 6))
		if p.Orientation != 6 || !cmp.Equal(p.Image, image.Image(img)) {
			t.Errorf("orientation %d, %T of %v", p.Orientation, p.Image, p.Image.Bounds())
		}
		want := Tags{
			Title: "Le port à l’aube", Creator: "Ana Silva; Jo Ek", Copyright: "(c) Azur", RightsHolder: "Azur SA",
			Credit: "Banque Azur", Keywords: []string{"port", "aube"}, DateCreated: "2024-05-01T10:20:30+02:00",
			DataMining: "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING",
		}
		if diff := cmp.Diff(want, p.Tags()); diff != "" {
			t.Errorf("tags (-want +got):\n%s", diff)
		}
		q := mustDecode(t, mustEncode(t, p, EncodeOptions{Format: PNG}))
		if !cmp.Equal(q.Image, p.Image) || !bytes.Equal(q.Meta.ICC, testICC("GRAY", 300)) ||
			string(q.Meta.XMP) != testXMP || rawIPTC(q.Meta.IPTC) == nil {
			t.Error("the PNG lost something")
		}
		again := mustDecode(t, mustEncode(t, p, EncodeOptions{}))
		if !cmp.Equal(again.Image, p.Image) || again.Orientation != 1 {
			t.Error("the TIFF's pixels changed")
		}
		if diff := cmp.Diff(p.Meta.Blocks, again.Meta.Blocks); diff != "" || len(p.Meta.Blocks) != 3 {
			t.Errorf("tags of the TIFF (-want +got):\n%.800s", diff)
		}
		if diff := cmp.Diff(want, again.Tags()); diff != "" {
			t.Errorf("tags after (-want +got):\n%s", diff)
		}
		bare := mustDecode(t, mustEncode(t, p, EncodeOptions{StripMetadata: true}))
		if len(bare.Meta.Blocks) > 0 || bare.Meta.EXIF != nil {
			t.Error("the stripped TIFF is not pixels only")
		}
		for n, data := 8, fullTIFF(order, turned, 6); n < len(data)-4; n += 7 { // the last 4 bytes say "no second page"
			if _, err := Decode(data[:n], Limits{}); err == nil {
				t.Errorf("cut to %d of %d bytes it still decodes", n, len(data))
			}
		}
	}
}

// TestTIFFWithTwoWidths: an entry whose count is not one is read one way by us and another by the decoder; limits must not
// be passed that way.
func TestTIFFWithTwoWidths(t *testing.T) {
	order := binary.LittleEndian
	good := fullTIFF(order, image.NewGray16(image.Rect(0, 0, 8, 6)), 1)
	if _, err := Decode(good, DefaultLimits()); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []uint16{tiffWidth, tiffLength, tiffPhotometric} {
		bad := bytes.Clone(good)
		at, _ := findEntry(bad, tag)
		if at < 0 {
			t.Fatalf("no tag %d", tag)
		}
		order.PutUint16(bad[at+2:], 4)
		order.PutUint32(bad[at+4:], 2)
		order.PutUint32(bad[at+8:], uint32(len(bad)))
		bad = append(bad, 0x20, 0x4e, 0, 0, 0x20, 0x4e, 0, 0)
		if _, err := Decode(bad, Limits{MaxPixels: 20_000}); KindOf(err) != KindCorrupt {
			t.Errorf("tag %d with two values: %v", tag, err)
		}
	}
}
