package delivery

import (
	"bytes"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/concepts"
)

// exampleManifest is a small one, made by hand.
func exampleManifest() *Manifest {
	h := strings.Repeat("0123456789abcdef", 4)
	m := &Manifest{Format: ManifestFormat, Shards: []Shard{{"shard-000000.tar", h, 10240, 1}}, Refusals: []Refusal{{"b", "x/b.jpg", "cmyk", "print colours"}},
		Parameters: Parameters{Catalogue: "test@1", CatalogueSHA256: h, CodebookSHA256: h, KeyFingerprint: "0011223344556677", Profile: 1,
			Geometry: Geometry{Square: true, Resolution: 1024}, Format: FormatPNG, Preset: "standard", PresetDB: 42, FloorDB: 38, ImagesPerShard: 1000, CodeVersion: "<&> \u2028"},
		Images: []Image{{Work: "a", WorkNumber: 7, Concepts: []NumberedConcept{{3, concepts.NewConceptID(concepts.Semantic, "lake")}}, SourcePath: "x/é.jpg", SourceSHA256: h,
			Shard: "shard-000000.tar", Key: "a", Extension: "png", SHA256: h, Bytes: 1234, Width: 1024, Height: 1024, Changes: Changes{Upscaled: true},
			MarkPSNRDB: 42.25, PSNRDB: 42.2519, SSIM: 0.98, T: Statistics{9.1, []float64{12.5}, 23, 11.7}, CopyT: Statistics{6.5, []float64{8.5}, 22, 11.5}, PieceT: Statistics{9, []float64{12}, 20, 11}, ThumbnailT: Statistics{5, []float64{0}, 14, 6.6}}}}
	m.Summary = m.summarise()
	return m
}

func TestManifestRoundTrip(t *testing.T) {
	text, err := exampleManifest().MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseManifest(text); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(text, []byte("{\n \"format\": \"filigrane.delivery/1\",\n")) || !bytes.HasSuffix(text, []byte("}\n")) || !bytes.Contains(text, []byte(`"geometry": "square:1024"`)) {
		t.Errorf("%s", text)
	}
}

// TestManifestIsStrict: nothing but the one text form is read, and no figures that contradict each other.
func TestManifestIsStrict(t *testing.T) {
	text, err := exampleManifest().MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string][2]string{
		"version": {"delivery/1", "delivery/2"}, "unknown field": {`"shards"`, `"shard"`}, "space": {"{\n ", "{\n  "}, "case": {`"work":`, `"Work":`},
		"summary": {`"images": 1,`, `"images": 2,`}, "shard count": {`"bytes": 10240,
   "images": 1`, `"bytes": 10240,
   "images": 2`}, "hash": {`"sha256": "0123`, `"sha256": "X123`}, "number": {`"work_number": 7`, `"work_number": 0`}, "key": {`"key": "a"`, `"key": "b"`},
		"both": {`"work": "b"`, `"work": "a"`}, "kind": {`"kind": "cmyk"`, `"kind": ""`}, "float": {"42.2519", "42.25190"}, "path": {`x/b.jpg`, `../b.jpg`},
		"null": {`"refusals": [`, `"refusals": null, "x": [`}, "end": {"]\n}\n", "]\n}\n{}\n"}, "geometry": {"square:1024", "square:1"},
		"twice": {`"width": 1024,`, `"width": 1024, "width": 1024,`}, "format": {`"format": "png"`, `"format": "gif"`}, "extension": {`"extension": "png"`, `"extension": "exe"`},
	} {
		bad := bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(bad, text) {
			t.Errorf("%s: nothing was changed", what)
		}
		if _, err := ParseManifest(bad); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

// TestTextIsJSON: written element by element the text is what encoding/json gives of the whole, with lists that are there,
// empty or left out.
func TestTextIsJSON(t *testing.T) {
	full := exampleManifest()
	full.Pools = []Pool{{NumberedConcept: NumberedConcept{3, "semantic/lake"}, Images: 2}, {}}
	full.Buckets = []BucketCount{{Bucket{64, 128, 64, 64}, 3}}
	full.Removals = []Removal{{Work: "w", Kind: Recalled, Reason: "<&>"}}
	full.Parameters.Rights = someTerms
	for _, m := range []*Manifest{exampleManifest(), full, manyRecords(1200), {}, {Images: []Image{}}} {
		want, err := marshal((*plainManifest)(m), " ")
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.MarshalText()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("from byte %d on it differs: %v\n%.300s", differAt(got, want), err, got)
		}
		if m.SHA256() != hashOf(want) {
			t.Error("SHA256 is that of another text")
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	text, err := exampleManifest().MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.Replace(text, []byte("1024"), []byte("1025"), 1))
	f.Add(bytes.Replace(text, []byte(`"images_per_shard": 1000`), []byte(`"images_per_shard": 9223372036854775807`), 1))
	empty := exampleManifest()
	empty.Shards, empty.Images = []Shard{}, []Image{}
	empty.Summary = empty.summarise()
	if text, err = empty.MarshalText(); err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"format":"filigrane.delivery/1"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseManifest(text)
		if err != nil {
			return
		}
		again, err := m.MarshalText()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("marshalling what was read gives other bytes: %v", err)
		}
	})
}

func FuzzParseCodebook(f *testing.F) {
	b := &Codebook{CodebookFormat, "test@1", []NamedConcept{{1, "semantic/lake", "Lake"}}, []NumberedWork{{1, "a", "A"}, {5, "b", ""}}}
	text, err := b.MarshalText()
	if err != nil {
		f.Fatal(err)
	}
	if _, err := ParseCodebook(text); err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := ParseCodebook(text)
		if err != nil {
			return
		}
		if again, err := b.MarshalText(); err != nil || !bytes.Equal(again, text) {
			t.Fatalf("marshalling what was read gives other bytes: %v", err)
		}
	})
}
