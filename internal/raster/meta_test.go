package raster

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testXMP = `<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" photoshop:Credit="Banque Azur" photoshop:DateCreated="2024-05-01T10:20:30+02:00" plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">Le port à l’aube</rdf:li></rdf:Alt></dc:title><dc:creator><rdf:Seq><rdf:li>Ana Silva</rdf:li><rdf:li>Jo Ek</rdf:li></rdf:Seq></dc:creator><dc:subject><rdf:Bag><rdf:li>port</rdf:li><rdf:li>aube</rdf:li></rdf:Bag></dc:subject><xmpRights:Owner><rdf:Bag><rdf:li>Azur SA</rdf:li></rdf:Bag></xmpRights:Owner></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`

// testIIM builds IPTC-IIM records of record 2.
func testIIM(fields ...any) []byte {
	var out []byte
	for i := 0; i < len(fields); i += 2 {
		v := fields[i+1].(string)
		out = append(out, 0x1c, 2, byte(fields[i].(int)), byte(len(v)>>8), byte(len(v)))
		out = append(out, v...)
	}
	return out
}

// testEXIF holds orientation, artist and description, little endian.
func testEXIF(orientation uint16) []byte {
	le := binary.LittleEndian
	texts := []string{"Harbour\x00", "Exif Artist\x00"}
	out := []byte("II*\x00\x08\x00\x00\x00\x03\x00")
	data := 8 + 2 + 3*12 + 4
	entry := func(tag, typ uint16, count, value uint32) {
		out = le.AppendUint16(le.AppendUint16(out, tag), typ)
		out = le.AppendUint32(le.AppendUint32(out, count), value)
	}
	entry(0x010e, 2, uint32(len(texts[0])), uint32(data))
	entry(tagOrientation, 3, 1, uint32(orientation))
	entry(0x013b, 2, uint32(len(texts[1])), uint32(data+len(texts[0])))
	return append(append(le.AppendUint32(out, 0), texts[0]...), texts[1]...)
}

// testICC is not a usable profile but has the right header for its colour space, and is longer than
// one JPEG segment.
func testICC(space string, size int) []byte {
	out := make([]byte, size)
	for i := range out {
		out[i] = byte(i * i >> 3)
	}
	copy(out[16:], space)
	return out
}

// richPicture has every kind of metadata, upright pixels and no source format.
func richPicture(t testing.TB) *Picture {
	return &Picture{
		Image: scene(32, 24), Orientation: 1,
		Meta: Metadata{
			EXIF: testEXIF(1), XMP: []byte(testXMP), ICC: testICC("RGB ", 100_000),
			IPTC:    wrapIPTC(testIIM(5, "Port", 25, "bateau", 25, "port", 80, "Ana Silva", 116, "© Azur")),
			Density: Density{X: 300, Y: 300, Unit: PerInch},
		},
	}
}

// A JPEG's segments come back byte for byte and in order, the old file's own ones excepted.
func TestJPEGSegmentsAreCarried(t *testing.T) {
	blocks := []Block{
		{Name: "APP1", Data: append([]byte(sigEXIF), testEXIF(1)...)},
		{Name: "APP1", Data: append([]byte(sigXMP), testXMP...)},
		{Name: "APP1", Data: append([]byte(sigXMPExt+strings.Repeat("A", 32)+"\x00\x00\x00\x05\x00\x00\x00\x00"), "hello"...)},
		{Name: "APP2", Data: append([]byte(sigICC+"\x01\x02"), testICC("RGB ", 60_000)...)},
		{Name: "APP2", Data: []byte(sigICC + "\x02\x02tail")},
		{Name: "APP2", Data: []byte(sigMPF + "II*\x00 index of the old file")},
		{Name: "APP11", Data: []byte("JP\x00\x00 a manifest")},
		{Name: "APP13", Data: append([]byte(sigIPTC), wrapIPTC(testIIM(5, "Port"))...)},
		{Name: "APP14", Data: []byte("Adobe\x00\x64\x00\x00\x00\x00\x01")},
		{Name: "APP15", Data: []byte{}},
		{Name: "COM", Data: []byte("a comment")},
		{Name: "COM", Data: []byte("another")},
	}
	var buf bytes.Buffer
	front := jpegFront{density: Density{X: 300, Y: 150, Unit: PerCM}, blocks: blocks}
	if err := encodeJPEG(&buf, scene(32, 24), 83, "4:2:2", front); err != nil {
		t.Fatal(err)
	}
	p := mustDecode(t, buf.Bytes())
	if diff := cmp.Diff(blocks, p.Meta.Blocks[1:]); diff != "" {
		t.Fatalf("read (-want +got):\n%s", diff)
	}
	if got := *p.JPEG; got != (JPEGInfo{Quality: 83, Subsampling: "4:2:2"}) {
		t.Errorf("JPEGInfo %+v", got)
	}
	if string(p.Meta.XMPExtended) != "hello" || len(p.Meta.ICC) != 60_004 {
		t.Errorf("extended XMP %q, ICC of %d bytes", p.Meta.XMPExtended, len(p.Meta.ICC))
	}
	again := mustDecode(t, mustEncode(t, p, EncodeOptions{}))
	var want []Block
	for _, b := range blocks {
		if !bytes.HasPrefix(b.Data, []byte(sigMPF)) {
			want = append(want, b)
		}
	}
	if diff := cmp.Diff(want, again.Meta.Blocks[1:]); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	if again.Meta.Density != front.density || *again.JPEG != *p.JPEG {
		t.Errorf("density %+v, %+v", again.Meta.Density, again.JPEG)
	}
	bare := mustDecode(t, mustEncode(t, p, EncodeOptions{StripMetadata: true}))
	if len(bare.Meta.Blocks) != 1 || bare.Meta.Density.Unit != AspectOnly {
		t.Errorf("stripped file still has %d blocks", len(bare.Meta.Blocks))
	}
}

// A PNG's chunks come back byte for byte, in order and on their side of the pixels.
func TestPNGChunksAreCarried(t *testing.T) {
	before := []Block{
		{Name: "iCCP", Data: append([]byte("profile\x00\x00"), deflate(testICC("RGB ", 3000))...)},
		{Name: "gAMA", Data: []byte{0, 0, 0xb1, 0x8f}},
		{Name: "sBIT", Data: []byte{8, 8, 8}},
		{Name: "pHYs", Data: []byte{0, 0, 0x2e, 0x23, 0, 0, 0x2e, 0x23, 1}},
		{Name: "tIME", Data: []byte{7, 0xe8, 5, 1, 10, 20, 30}},
		{Name: "tEXt", Data: []byte("Author\x00Ana")},
		{Name: "zTXt", Data: append([]byte("Comment\x00\x00"), deflate([]byte("long"))...)},
		{Name: "zTXt", Data: rawProfileChunk("iptc", wrapIPTC(testIIM(5, "Port")))},
		{Name: "iTXt", Data: xmpChunk([]byte(testXMP))},
		{Name: "caNv", Data: []byte("unknown, safe to copy")},
	}
	after := []Block{
		{Name: "tEXt", Data: []byte("Late\x00text"), AfterPixels: true},
		{Name: "eXIf", Data: testEXIF(1), AfterPixels: true},
	}
	file := pngBytesOf(t, scene(20, 10))
	data := bytes.Clone(file[:33])
	for _, b := range append(before, Block{Name: "caNV", Data: []byte("unknown, unsafe")}) {
		data = appendChunk(data, b.Name, b.Data)
	}
	data = append(data, file[33:len(file)-12]...)
	for _, b := range after {
		data = appendChunk(data, b.Name, b.Data)
	}
	data = append(data, file[len(file)-12:]...)

	p := mustDecode(t, data)
	again := mustDecode(t, mustEncode(t, p, EncodeOptions{}))
	if diff := cmp.Diff(append(before, after...), again.Meta.Blocks); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	if p.Meta.Density != (Density{X: 11811, Y: 11811, Unit: PerMetre}) || !bytes.Equal(p.Meta.ICC, testICC("RGB ", 3000)) {
		t.Errorf("density %+v, ICC of %d bytes", p.Meta.Density, len(p.Meta.ICC))
	}
	if rawIPTC(p.Meta.IPTC) == nil || string(p.Meta.XMP) != testXMP {
		t.Error("IPTC or XMP not understood")
	}
	if got := mustDecode(t, mustEncode(t, p, EncodeOptions{StripMetadata: true})); len(got.Meta.Blocks) != 0 {
		t.Errorf("stripped file still has %d blocks", len(got.Meta.Blocks))
	}
	// A changed colour type leaves out what described the old one.
	p.Image = image.NewGray(image.Rect(0, 0, 5, 5))
	for _, b := range mustDecode(t, mustEncode(t, p, EncodeOptions{})).Meta.Blocks {
		if b.Name == "sBIT" || b.Name == "iCCP" {
			t.Errorf("%s of a colour picture carried to a grey one", b.Name)
		}
	}
}

// The understood parts survive every conversion that has a place for them.
func TestMetadataConversion(t *testing.T) {
	rich := richPicture(t)
	rich.Meta.EXIF = testEXIF(1)
	for _, from := range []Format{JPEG, PNG, WebP} {
		src := mustDecode(t, mustEncode(t, rich, EncodeOptions{Format: from}))
		for _, to := range []Format{JPEG, PNG, WebP} {
			got := mustDecode(t, mustEncode(t, src, EncodeOptions{Format: to})).Meta
			want := rich.Meta
			if from == WebP || to == WebP {
				want.IPTC, want.Density = nil, Density{}
			}
			switch {
			case to == PNG && want.Density.Unit != "":
				want.Density = want.Density.perMetre()
			case to == JPEG && want.Density.Unit == "":
				want.Density = Density{X: 1, Y: 1, Unit: AspectOnly} // JFIF's way of saying unknown
			}
			got.Blocks = nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s to %s (-want +got):\n%.800s", from, to, diff)
			}
		}
	}
}

// An orientation is applied and cleared whatever the container, also where XMP is compressed.
func TestOrientationClearedInEveryFormat(t *testing.T) {
	img := cornerPicture()
	turned := &Picture{Image: stored(img, 6), Orientation: 1, Meta: Metadata{EXIF: testEXIF(6)}}
	xmp := strings.Replace(testXMP, `<rdf:Description `, `<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" `, 1)
	file := pngBytesOf(t, turned.Image)
	data := appendChunk(bytes.Clone(file[:33]), "eXIf", testEXIF(6))
	data = appendChunk(data, "iTXt", append([]byte(xmpKeyword+"\x00\x01\x00\x00\x00"), deflate([]byte(xmp))...))
	data = appendChunk(data, "pHYs", physChunk(Density{X: 100, Y: 200, Unit: PerMetre}))
	data = append(data, file[33:]...)
	src := mustDecode(t, data)
	if src.Orientation != 6 || src.Meta.Density.X != 100 {
		t.Fatalf("orientation %d, density %+v", src.Orientation, src.Meta.Density)
	}
	checkCorners(t, 6, src.Image)
	for _, to := range []Format{PNG, JPEG, WebP} {
		got := mustDecode(t, mustEncode(t, src, EncodeOptions{Format: to}))
		checkCorners(t, 6, got.Image)
		if got.Orientation != 1 || !bytes.Equal(got.Meta.EXIF, testEXIF(1)) {
			t.Errorf("%s: orientation %d", to, got.Orientation)
		}
		if want := strings.Replace(xmp, `tiff:Orientation="6"`, `tiff:Orientation="1"`, 1); string(got.Meta.XMP) != want {
			t.Errorf("%s: XMP %s", to, got.Meta.XMP)
		}
		if to == PNG && got.Meta.Density != (Density{X: 200, Y: 100, Unit: PerMetre}) {
			t.Errorf("density did not turn: %+v", got.Meta.Density)
		}
	}
}

// Orientations are found and set in both byte orders and both integer types; damage reads as 1.
func TestEXIFOrientation(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		short := tiffOf(order, tiffDir{{0x010f, 7}, {tagOrientation, 6}})
		long := bytes.Clone(short)
		at, _ := findEntry(long, tagOrientation)
		order.PutUint16(long[at+2:], 4)
		order.PutUint32(long[at+8:], 8)
		for _, exif := range [][]byte{short, long} {
			keep := bytes.Clone(exif)
			up := uprightEXIF(exif)
			if exifOrientation(exif) < 2 || exifOrientation(up) != 1 || !bytes.Equal(exif, keep) || len(up) != len(exif) {
				t.Errorf("%v: %x became %x", order, exif, up)
			}
		}
		for n := range len(short) { // every cut is survived
			_ = uprightEXIF(short[:n])
		}
		nine := tiffOf(order, tiffDir{{tagOrientation, 9}})
		if exifOrientation(nine) != 1 || &uprightEXIF(nine)[0] != &nine[0] {
			t.Errorf("orientation 9 was not left alone")
		}
	}
}

func TestXMPOrientation(t *testing.T) {
	for in, want := range map[string]string{
		`<d tiff:Orientation="6"/>`:                   `<d tiff:Orientation="1"/>`,
		`<d tiff:Orientation = '3' a="6">`:            `<d tiff:Orientation = '1' a="6">`,
		`<tiff:Orientation>8</tiff:Orientation>`:      `<tiff:Orientation>1</tiff:Orientation>`,
		`<tiff:Orientation> 5 </tiff:Orientation>`:    `<tiff:Orientation> 1 </tiff:Orientation>`,
		`<d tiff:Orientation="1" x:Orientation="6"/>`: `<d tiff:Orientation="1" x:Orientation="6"/>`,
	} {
		if got := string(uprightXMP([]byte(in))); got != want {
			t.Errorf("%s became %s", in, got)
		}
	}
}

// XMP wins over IPTC wins over EXIF; keywords are united in order; the same from every container.
func TestTags(t *testing.T) {
	want := Tags{
		Title: "Le port à l’aube", Description: "Harbour", Creator: "Ana Silva; Jo Ek", Copyright: "© Azur",
		RightsHolder: "Azur SA", Credit: "Banque Azur", Keywords: []string{"port", "aube", "bateau"},
		DataMining:  "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING",
		DateCreated: "2024-05-01T10:20:30+02:00",
	}
	rich := richPicture(t)
	for _, format := range []Format{JPEG, PNG, WebP} {
		data := mustEncode(t, rich, EncodeOptions{Format: format})
		want := want
		if format == WebP { // no IPTC there
			want.Copyright, want.Keywords = "", []string{"port", "aube"}
		}
		if diff := cmp.Diff(want, mustDecode(t, data).Tags()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
		got, err := ReadTags(data)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s without pixels: %v (-want +got):\n%s", format, err, diff)
		}
	}
	onlyIPTC := &Picture{Meta: Metadata{EXIF: testEXIF(1), IPTC: wrapIPTC(testIIM(5, "Port", 55, "20240501", 60, "102030+0200", 80, "Émile"))}}
	wantIPTC := Tags{Title: "Port", Description: "Harbour", Creator: "Émile", DateCreated: "2024-05-01T10:20:30+02:00"}
	if diff := cmp.Diff(wantIPTC, onlyIPTC.Tags()); diff != "" {
		t.Errorf("IPTC and EXIF (-want +got):\n%s", diff)
	}
	latin := &Picture{Meta: Metadata{IPTC: wrapIPTC(testIIM(80, "\xc9mile"))}}
	if got := latin.Tags().Creator; got != "Émile" {
		t.Errorf("Latin-1 read as %q", got)
	}
	if got := (&Picture{}).Tags(); !cmp.Equal(got, Tags{}) {
		t.Errorf("no metadata gives %+v", got)
	}
	if _, err := ReadTags([]byte("letter")); KindOf(err) != KindNotAnImage {
		t.Errorf("a letter: %v", err)
	}
}

// A PNG whose text has a broken checksum is damage, not a crash, and not silently accepted.
func TestPNGChecksum(t *testing.T) {
	file := pngBytesOf(t, scene(8, 8))
	file[len(file)-16] ^= 1 // the last IDAT's CRC
	if _, err := Decode(file, Limits{}); KindOf(err) != KindCorrupt {
		t.Errorf("broken checksum: %v", err)
	}
	if crc32.ChecksumIEEE([]byte("IEND")) != binary.BigEndian.Uint32(file[len(file)-4:]) {
		t.Error("chunk arithmetic is off")
	}
}

// exiftool, where it is installed, sees the same tags before and after. It is the outside oracle of the
// container code.
func TestExiftoolSeesTheSame(t *testing.T) {
	tool, err := exec.LookPath("exiftool")
	if err != nil {
		t.Skip("exiftool is not installed")
	}
	dir := t.TempDir()
	list := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(tool, "-a", "-G1", "-s", "-validate", "-warning", "-error", "-EXIF:all", "-XMP:all", "-IPTC:all", "-ICC-header:all", "-Photoshop:all", path).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		return string(out)
	}
	for _, format := range []Format{JPEG, PNG, WebP} {
		first := mustEncode(t, richPicture(t), EncodeOptions{Format: format})
		second := mustEncode(t, mustDecode(t, first), EncodeOptions{})
		a, b := list("a"+format.Extension(), first), list("b"+format.Extension(), second)
		if a != b {
			t.Errorf("%s: before\n%safter\n%s", format, a, b)
		}
		for _, must := range []string{"Exif Artist", "Banque Azur", "Azur SA"} {
			if !strings.Contains(a, must) {
				t.Errorf("%s: exiftool does not see %q:\n%s", format, must, a)
			}
		}
		t.Logf("%s:\n%s", format, a)
	}
}
