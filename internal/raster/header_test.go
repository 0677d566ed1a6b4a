package raster

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a header says is what decoding finds: size, orientation, tags and metadata; and whatever a header is refused for,
// decoding refuses for the same reason. Only damage among the pixels is left to decoding.
func TestHeaderAgreesWithDecode(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(awkwardDir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]string
	if err := json.Unmarshal(raw, &expected); err != nil {
		t.Fatal(err)
	}
	ok := 0
	for name, data := range awkwardSeeds(t) {
		h, err := ReadHeader(data, Limits{})
		if expected[name] != "ok" {
			if got := string(KindOf(err)); got != expected[name] {
				t.Errorf("%s: kind %q, decoding says %q", name, got, expected[name])
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := Decode(data, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		ok++
		b := p.Image.Bounds()
		if h.Format != p.Format || h.Width != b.Dx() || h.Height != b.Dy() || h.Orientation != p.Orientation {
			t.Errorf("%s: the header says %s %dx%d turned %d, decoding %s %dx%d turned %d", name, h.Format, h.Width, h.Height, h.Orientation, p.Format, b.Dx(), b.Dy(), p.Orientation)
		}
		if d := cmp.Diff(p.Tags(), h.Tags()); d != "" {
			t.Errorf("%s: tags %s", name, d)
		}
		if d := cmp.Diff(p.Meta, h.Meta); d != "" {
			t.Errorf("%s: metadata %.300s", name, d)
		}
		if f, err := Sniff(data[:min(64, len(data))]); f != p.Format || err != nil {
			t.Errorf("%s: its first 64 bytes are %q, %v", name, f, err)
		}
	}
	if ok < 10 {
		t.Errorf("only %d usable files", ok)
	}
}

// A manifest store is found where each format keeps it. JPEG, PNG and WebP are tested in internal/ingest.
func TestJUMBFOfContainers(t *testing.T) {
	store := bytes.Repeat([]byte("manifest store "), 20)
	avif, err := os.ReadFile(filepath.Join(awkwardDir, "photo.avif"))
	if err != nil {
		t.Fatal(err)
	}
	body := append([]byte(uuidC2PA+"\x00\x00\x00\x00manifest\x00\x00\x00\x00\x00\x00\x00\x00\x00"), store...)
	avif = append(append(binary.BigEndian.AppendUint32(avif, uint32(8+len(body))), "uuid"...), body...)
	for name, file := range map[string][]byte{"AVIF": avif, "TIFF": tiffWithBytes(tiffC2PA, store)} {
		h, err := ReadHeader(file, Limits{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := h.JUMBF(1 << 20); !bytes.Equal(got, store) {
			t.Errorf("%s: %q", name, got)
		}
		if got := h.JUMBF(10); len(got) != 10 {
			t.Errorf("%s: %d bytes, at most 10 were asked for", name, len(got))
		}
	}
}

// tiffWithBytes makes the smallest grey TIFF, of one pixel, with one tag of bytes more.
func tiffWithBytes(tag uint16, value []byte) []byte {
	le := binary.LittleEndian
	entries := [][3]uint32{{256, 3, 1}, {257, 3, 1}, {258, 3, 8}, {259, 3, 1}, {262, 3, 1}, {273, 4, 0}, {277, 3, 1}, {278, 3, 1}, {279, 4, 1}}
	at := uint32(8 + 2 + 12*(len(entries)+1) + 4)
	out := le.AppendUint16(append([]byte("II*\x00"), 8, 0, 0, 0), uint16(len(entries)+1))
	for _, e := range entries {
		if e[0] == 273 {
			e[2] = at
		}
		out = le.AppendUint32(le.AppendUint32(le.AppendUint16(le.AppendUint16(out, uint16(e[0])), uint16(e[1])), 1), e[2])
	}
	out = le.AppendUint32(le.AppendUint32(le.AppendUint16(le.AppendUint16(out, tag), 7), uint32(len(value))), at+1)
	return append(append(append(out, 0, 0, 0, 0), 0x80), value...)
}

// A PNG of thousands of comments that each inflate to the limit is read in the time of a few; the XMP among them is found
// where few stand before it.
func TestInflationIsBounded(t *testing.T) {
	bomb := deflate(make([]byte, maxInflated+10))
	itxt := append([]byte(xmpKeyword+"\x00\x01\x00\x00\x00"), bomb...)
	png := pngBytesOf(t, scene(8, 8))
	var chunks []byte
	for range 3000 {
		chunks = appendChunk(chunks, "iTXt", itxt)
	}
	file := append(append(append([]byte{}, png[:33]...), chunks...), png[33:]...)
	h, err := ReadHeader(file, Limits{})
	if err != nil || h.Meta.XMP != nil {
		t.Errorf("%v, %d bytes of XMP", err, len(h.Meta.XMP))
	}
	chunks = nil
	for range 300 {
		chunks = appendChunk(chunks, "zTXt", append([]byte("Comment\x00\x00"), deflate([]byte("fine"))...))
	}
	chunks = append(chunks, appendChunk(nil, "iTXt", append([]byte(xmpKeyword+"\x00\x01\x00\x00\x00"), deflate([]byte("<x/>"))...))...)
	file = append(append(append([]byte{}, png[:33]...), chunks...), png[33:]...)
	if h, err := ReadHeader(file, Limits{}); err != nil || string(h.Meta.XMP) != "<x/>" {
		t.Errorf("%v, XMP %q behind 300 comments", err, h.Meta.XMP)
	}
}

func FuzzReadHeader(f *testing.F) {
	for _, data := range awkwardSeeds(f) {
		if len(data) < 100_000 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ReadHeader(data, Limits{MaxPixels: 1 << 20})
		if err != nil {
			if KindOf(err) == "" {
				t.Fatalf("not a *raster.Error: %v", err)
			}
			return
		}
		if h.Width < 1 || h.Height < 1 {
			t.Fatalf("a picture of %d x %d", h.Width, h.Height)
		}
		h.Tags()
		if got := h.JUMBF(1000); len(got) > 1000 {
			t.Fatalf("%d bytes", len(got))
		}
	})
}
