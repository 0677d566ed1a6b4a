package raster

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/internal/oracle"
)

// runExiftool gives what exiftool prints; only a failure with nothing printed is fatal, since it ends with 1 also
// for a warning.
func runExiftool(t *testing.T, tool string, args ...string) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(tool, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("exiftool %v: %v\n%s%s", args, err, out.Bytes(), errs.Bytes())
	}
	return out.Bytes()
}

// notAboutThePicture matches exiftool's keys of the file system, and what it computes.
var notAboutThePicture = regexp.MustCompile(`^(SourceFile|System:.*|ExifTool:ExifToolVersion|Composite:.*)$`)

// dump gives every tag exiftool finds, by group, tag and copy number, less those that except matches.
func dump(t *testing.T, tool string, data []byte, ext, except string) map[string]any {
	t.Helper()
	path := filepath.Join(t.TempDir(), "picture"+ext)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	raw := runExiftool(t, tool, "-a", "-G1:4", "-s", "-j", "-u", "-ee", path)
	if err := json.Unmarshal(raw, &list); err != nil || len(list) != 1 {
		t.Fatalf("%v in %s", err, raw)
	}
	drop := regexp.MustCompile("^(" + except + ")$")
	for key := range list[0] {
		if notAboutThePicture.MatchString(key) || except != "" && drop.MatchString(key) {
			delete(list[0], key)
		}
	}
	return list[0]
}

// cameraEXIF is what a camera writes: maker, exposure, place, resolution, and a maker note like Canon's, a
// directory whose offsets count from the start of the block.
func cameraEXIF() []byte {
	le := binary.LittleEndian
	out := tiffHead(le)
	texts := []string{"Canon EOS 5D\x00", "Firmware 1.0.3\x00"}
	note := le.AppendUint16(nil, uint16(len(texts)))
	at := uint32(len(out) + 2 + 12*len(texts) + 4)
	for i, s := range texts { // CanonImageType and CanonFirmwareVersion
		note = le.AppendUint16(le.AppendUint16(note, uint16(6+i)), 2)
		note = le.AppendUint32(le.AppendUint32(note, uint32(len(s))), at)
		at += uint32(len(s))
	}
	note = append(append(note, 0, 0, 0, 0), strings.Join(texts, "")...)
	noteAt := len(out)
	out = append(out, note...)

	text := func(tag uint16, s string) tiffEntry { return tiffEntry{tag: tag, typ: 2, value: []byte(s + "\x00")} }
	ratio := func(tag uint16, v ...int) tiffEntry {
		e := tiffNumbers(le, tag, 4, v...)
		e.typ = 5
		return e
	}
	out, exif := appendDirectory(out, 0, le, []tiffEntry{
		ratio(33434, 1, 250), tiffNumbers(le, 34855, 3, 400), text(36867, "2024:05:01 10:20:30"),
		{tag: exifMakerNote, typ: 7, fixed: true, count: uint32(len(note)), value: tiffNumbers(le, 0, 4, noteAt).value},
	})
	out, gps := appendDirectory(out, 0, le, []tiffEntry{
		text(1, "N"), ratio(2, 43, 1, 15, 1, 3000, 100), text(3, "E"), ratio(4, 6, 1, 38, 1, 0, 1),
	})
	out, ifd := appendDirectory(out, 0, le, []tiffEntry{
		text(271, "Canon"), text(272, "Canon EOS 5D"), ratio(tiffXRes, 240, 1), ratio(tiffYRes, 240, 1), tiffNumbers(le, tiffResUnit, 3, 2),
		text(315, "Exif Artist"), tiffNumbers(le, tiffExif, 4, int(exif)), tiffNumbers(le, tiffGPS, 4, int(gps)),
	})
	le.PutUint32(out[4:], ifd)
	return out
}

// longICC is a profile longer than one JPEG segment, by the letter of ICC.1: header, a table of one tag, its data.
func longICC(space string) []byte {
	out := testICC(space, 90_000)
	be := binary.BigEndian
	clear(out[:144])
	be.PutUint32(out, uint32(len(out)))
	copy(out[4:], "lcms\x04\x20\x00\x00mntr"+space+"XYZ ")
	copy(out[36:], "acsp")
	be.PutUint32(out[128:], 1)
	copy(out[132:], "A2B0")
	be.PutUint32(out[136:], 144)
	be.PutUint32(out[140:], uint32(len(out)-144))
	return out
}

// dressed has exiftool add what it can write to a file of ours: IPTC, XMP, a long profile, comments.
func dressed(t *testing.T, tool string, data []byte, ext string, more ...string) []byte {
	t.Helper()
	space := "RGB "
	if isGrey(mustDecode(t, data).Image) {
		space = "GRAY"
	}
	dir := t.TempDir()
	path, icc := filepath.Join(dir, "picture"+ext), filepath.Join(dir, "long.icc")
	for name, content := range map[string][]byte{path: data, icc: longICC(space)} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := append([]string{"-q", "-overwrite_original", "-XMP-dc:Title=Le port", "-XMP-xmpRights:Owner=Azur SA",
		"-XMP-plus:DataMining=DMI-PROHIBITED-AIMLTRAINING", "-ICC_Profile<=" + icc}, more...)
	runExiftool(t, tool, append(args, path)...)
	out, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// withFrontMatter puts segments between SOI and the rest of a JPEG another encoder wrote.
func withFrontMatter(file []byte, blocks ...Block) []byte {
	out := bytes.Clone(file[:2])
	for _, b := range blocks {
		out = appendSegment(out, markerOf(b.Name), b.Data)
	}
	return append(out, file[2:]...)
}

// What exiftool reads in a file is what it reads after the file went through this package in its own format, down to
// the maker note, the thumbnail, comments and the structure of the JPEG; only the layout of a TIFF's strips
// and the place of a progressive JPEG's coefficients may differ.
func TestExiftoolDumpIsKept(t *testing.T) {
	tool := oracle.Exiftool(t)
	rich := &Picture{Image: scene(64, 48), Meta: Metadata{EXIF: cameraEXIF(), Density: Density{X: 300, Y: 300, Unit: PerInch}}}
	var std bytes.Buffer
	if err := jpeg.Encode(&std, scene(64, 48), nil); err != nil {
		t.Fatal(err)
	}
	exifSegment := Block{Name: "APP1", Data: append([]byte(sigEXIF), cameraEXIF()...)}
	own := mustEncode(t, rich, EncodeOptions{Format: JPEG, Quality: 88, Subsampling: "4:2:2"})
	iptc := []string{"-IPTC:Headline=Port", "-IPTC:Keywords=bateau", "-IPTC:Keywords=port", "-Photoshop:XResolution=300"}
	long := filepath.Join(t.TempDir(), "long.txt")
	if err := os.WriteFile(long, bytes.Repeat([]byte("0123456789abcde\n"), 7000), 0o600); err != nil {
		t.Fatal(err)
	}
	extended := append(iptc, "-XMP-dc:Description<="+long, "-Comment=a comment")
	thumbnail := append(extended, "-EXIF:ThumbnailImage<="+writeTemp(t, "thumb.jpg", encodeForTest(t, scene(32, 24), 50, "4:2:0")))
	// exiftool moves the maker note of a TIFF behind a long profile; it then moves once more, and exiftool says that
	// it counts its offsets anew.
	const moved = "ExifTool:Warning"
	const strips = "IFD0:(StripOffsets|StripByteCounts|RowsPerStrip|Compression|Predictor|PlanarConfiguration)"
	for _, c := range []struct {
		name, ext, except string
		data              []byte
		want              []string
	}{
		{"JPEG with JFIF", ".jpg", "", dressed(t, tool, own, ".jpg", thumbnail...),
			[]string{"Canon:CanonFirmwareVersion", "XMP-dc:Description", "IPTC:Keywords", "ICC-header:ProfileClass", "GPS:Copy1:GPSLatitude", "File:Comment", "JFIF:Copy1:XResolution", "IFD1:ThumbnailOffset"}},
		{"JPEG without JFIF", ".jpg", "", dressed(t, tool, withFrontMatter(std.Bytes(), exifSegment), ".jpg", extended...),
			[]string{"Canon:CanonFirmwareVersion", "XMP-dc:Description"}},
		{"JPEG by Adobe", ".jpg", "", withFrontMatter(std.Bytes(), Block{Name: "APP14", Data: []byte("Adobe\x00\x64\x00\x00\x00\x00\x01")}),
			[]string{"Adobe:ColorTransform"}},
		{"PNG", ".png", "", dressed(t, tool, mustEncode(t, rich, EncodeOptions{Format: PNG}), ".png", append(iptc, "-PNG:Comment=a comment", "-PNG:Author=Ana")...),
			[]string{"Canon:CanonFirmwareVersion", "IPTC:Keywords", "PNG:Comment", "PNG-pHYs:PixelsPerUnitX"}},
		{"WebP", ".webp", "", dressed(t, tool, mustEncode(t, rich, EncodeOptions{Format: WebP}), ".webp"),
			[]string{"Canon:CanonFirmwareVersion", "XMP-dc:Title", "ICC-header:ProfileClass"}},
		{"TIFF, little endian", ".tif", strips + "|" + moved, dressed(t, tool, mustEncode(t, rich, EncodeOptions{Format: TIFF}), ".tif", iptc...),
			[]string{"Canon:CanonFirmwareVersion", "IPTC:Keywords", "GPS:Copy1:GPSLatitude", "XMP-dc:Title", "ExifIFD:ISO"}},
		{"TIFF, big endian, by hand", ".tif", strips, dressed(t, tool, fullTIFF(binary.BigEndian, rampGray16(40, 30), 1), ".tif",
			append(iptc, "-ExifIFD:ISO=400", "-GPS:GPSAltitude=12", "-IFD0:XResolution=72.5")...),
			[]string{"ExifIFD:ISO", "GPS:GPSAltitude", "IFD0:XResolution"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := dump(t, tool, c.data, c.ext, c.except)
			for _, key := range c.want {
				if before[key] == nil {
					t.Errorf("the source has no %s; the test would show nothing", key)
				}
			}
			after := dump(t, tool, mustEncode(t, mustDecode(t, c.data), EncodeOptions{}), c.ext, c.except)
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

// Into another format go EXIF with maker note and place, XMP, the profile, and IPTC where there is a way to write it.
func TestExiftoolDumpIsConverted(t *testing.T) {
	tool := oracle.Exiftool(t)
	rich := &Picture{Image: scene(64, 48), Meta: Metadata{EXIF: cameraEXIF()}}
	sources := map[Format][]byte{}
	for _, f := range []Format{JPEG, PNG, TIFF} {
		sources[f] = dressed(t, tool, mustEncode(t, rich, EncodeOptions{Format: f}), f.Extension(), "-IPTC:Headline=Port", "-IPTC:Keywords=bateau")
	}
	kept := regexp.MustCompile(`^(IFD0:(Make|Model|Artist|XResolution|YResolution|ResolutionUnit)|(ExifIFD|GPS|Canon|IPTC|ICC-header|ICC_Profile|XMP-[a-zA-Z]+):.*)$`)
	for from, data := range sources {
		before := uncounted(dump(t, tool, data, from.Extension(), ""))
		for _, to := range []Format{JPEG, PNG, WebP, TIFF} {
			after := uncounted(dump(t, tool, mustEncode(t, mustDecode(t, data), EncodeOptions{Format: to}), to.Extension(), ""))
			n := 0
			for key, want := range before {
				if !kept.MatchString(key) || to == WebP && strings.HasPrefix(key, "IPTC:") {
					continue
				}
				n++
				if diff := cmp.Diff(want, after[key]); diff != "" {
					t.Errorf("%s to %s, %s (-before +after):\n%s", from, to, key, diff)
				}
			}
			if n < 25 {
				t.Errorf("%s to %s: only %d tags compared", from, to, n)
			}
		}
	}
}

// uncounted drops the copy numbers of keys: another order of the groups numbers them otherwise.
func uncounted(tags map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range tags {
		out[copyNumber.ReplaceAllString(key, ":")] = v
	}
	return out
}

var copyNumber = regexp.MustCompile(`:Copy[0-9]+:`)

func writeTemp(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
