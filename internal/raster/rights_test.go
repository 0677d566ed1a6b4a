package raster

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/internal/oracle"
)

const seeConstraint = plusVocabulary + "DMI-PROHIBITED-SEECONSTRAINT"

var someRights = Rights{DataMining: seeConstraint, OtherConstraints: "Training under licence L-1 & <no other>", WebStatement: "https://bank.example/rights?l=1&x=2"}

// TestDeclare writes rights into every format, through every source format, and reads them back as the package and as
// exiftool do; what the file said about its makers stays.
func TestDeclare(t *testing.T) {
	tool := oracle.Exiftool(t)
	for _, from := range []Format{"", JPEG, PNG, WebP, TIFF} {
		for _, to := range []Format{JPEG, PNG, WebP, TIFF} {
			p := richPicture(t)
			if from != "" {
				var file bytes.Buffer
				if err := Encode(&file, p, EncodeOptions{Format: from, Lossless: true}); err != nil {
					t.Fatal(err)
				}
				var err error
				if p, err = Decode(file.Bytes(), Limits{}); err != nil {
					t.Fatal(err)
				}
			}
			before := p.Tags()
			if err := p.Declare(someRights); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := Encode(&out, p, EncodeOptions{Format: to, Lossless: true}); err != nil {
				t.Fatal(err)
			}
			tags, err := ReadTags(out.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if tags.DataMining != seeConstraint || tags.Creator != before.Creator || tags.Copyright != before.Copyright || tags.Credit != before.Credit || tags.Title != before.Title {
				t.Errorf("%s to %s: %+v, was %+v", from, to, tags, before)
			}
			got := xmpTags(t, tool, out.Bytes(), to.Extension())
			want := map[string]any{"DataMining": seeConstraint, "OtherConstraints": someRights.OtherConstraints, "WebStatement": someRights.WebStatement, "Credit": "Banque Azur"}
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s to %s: exiftool reads %s %v, want %v", from, to, name, got[name], value)
				}
			}
			if makers, _ := json.Marshal(got["Creator"]); string(makers) != `["Ana Silva","Jo Ek"]` {
				t.Errorf("%s to %s: creators %s", from, to, makers)
			}
		}
	}
}

// xmpTags gives what exiftool reads in the XMP, by tag, without its own words for values.
func xmpTags(t *testing.T, tool string, data []byte, ext string) map[string]any {
	t.Helper()
	path := filepath.Join(t.TempDir(), "picture"+ext)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(runExiftool(t, tool, "-XMP:all", "-n", "-j", "-u", path), &list); err != nil || len(list) != 1 {
		t.Fatal(err)
	}
	for _, problem := range []string{"Warning", "Error"} {
		if list[0][problem] != nil {
			t.Errorf("exiftool: %v", list[0][problem])
		}
	}
	return list[0]
}

// TestDeclarePackets: packets as different programs write them. Where only IIM knows the makers they are taken over.
func TestDeclarePackets(t *testing.T) {
	const head, tail = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="` + nsRDF + `">`, `</r:RDF></x:xmpmeta>`
	const lookup = `xmlns:plus="` + nsPLUS + `" xmlns:q="` + nsRights + `" xmlns:dc="` + nsDC + `"`
	for name, body := range map[string]string{
		"attributes":   `<r:Description r:about="uuid:1" ` + lookup + ` plus:DataMining="x" q:WebStatement='old"s' q:Marked="True"/>`,
		"elements":     `<r:Description r:about="uuid:1" ` + lookup + `><plus:DataMining>x</plus:DataMining><q:Marked>True</q:Marked><plus:OtherConstraints><r:Alt><r:li xml:lang="x-default">old</r:li></r:Alt></plus:OtherConstraints></r:Description>`,
		"several":      `<r:Description r:about="uuid:1" ` + lookup + `><q:Marked>True</q:Marked></r:Description><r:Description r:about="uuid:1" ` + lookup + `><plus:DataMining>x</plus:DataMining></r:Description>`,
		"nested alike": `<r:Description r:about="uuid:1" ` + lookup + `><q:Marked>True</q:Marked><dc:relation><r:Bag><r:li r:parseType="Resource"><plus:DataMining>kept</plus:DataMining></r:li></r:Bag></dc:relation></r:Description>`,
	} {
		p := &Picture{Meta: Metadata{XMP: []byte(head + body + tail), IPTC: wrapIPTC(testIIM(80, "Ann", 80, "Bo", 110, "Agency", 116, "(c) Ann"))}}
		if err := p.Declare(someRights); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		x := string(p.Meta.XMP)
		wellFormed(t, p.Meta.XMP)
		if strings.Contains(x, ">x<") || strings.Contains(x, `"x"`) || strings.Contains(x, "old") || strings.Count(x, "WebStatement>") != 2 {
			t.Errorf("%s: something old is left: %s", name, x)
		}
		if !strings.Contains(x, "True") || strings.Contains(body, "kept") && !strings.Contains(x, "kept") || strings.Count(x, `about="uuid:1"`) != strings.Count(body, `about="uuid:1"`)+1 {
			t.Errorf("%s: something was lost: %s", name, x)
		}
		p.Meta.IPTC = nil
		want := Tags{Creator: "Ann; Bo", Copyright: "(c) Ann", Credit: "Agency", DataMining: seeConstraint}
		if diff := cmp.Diff(want, p.Tags()); diff != "" && name != "nested alike" { // imagemeta does not tell nesting
			t.Errorf("%s: %s", name, diff)
		}
		if err := p.Declare(someRights); err != nil || strings.Count(string(p.Meta.XMP), "DMI-PROHIBITED-SEECONSTRAINT") != 1 {
			t.Errorf("%s: declared twice it stands there twice: %s, %v", name, p.Meta.XMP, err)
		}
	}
}

func wellFormed(t *testing.T, packet []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(packet)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in %s", err, packet)
		}
	}
}

// TestDeclareDamaged: a packet that cannot be understood is neither thrown away nor written into.
func TestDeclareDamaged(t *testing.T) {
	for _, packet := range []string{"no XML <", `<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>`, `<r:RDF xmlns:r="` + nsRDF + `"/>`, `<r:RDF xmlns:r="` + nsRDF + `">`} {
		p := &Picture{Meta: Metadata{XMP: []byte(packet)}}
		if err := p.Declare(someRights); KindOf(err) != KindCorrupt {
			t.Errorf("%q: %v", packet, err)
		}
		if string(p.Meta.XMP) != packet {
			t.Errorf("%q was changed", packet)
		}
	}
	if err := (Rights{DataMining: "allowed"}).Check(); err == nil {
		t.Error("a word that is not of the vocabulary passes")
	}
}

// TestPaddingIsUsed: a padded packet keeps its length, so that a file grows no more than it must.
func TestPaddingIsUsed(t *testing.T) {
	p := &Picture{Meta: Metadata{XMP: []byte(strings.Replace(testXMP, `<?xpacket end`, strings.Repeat(" ", 2048)+`<?xpacket end`, 1))}}
	before := len(p.Meta.XMP)
	if err := p.Declare(someRights); err != nil || len(p.Meta.XMP) != before {
		t.Errorf("%d bytes became %d, %v", before, len(p.Meta.XMP), err)
	}
}

// FuzzDeclare: whatever is read as a packet stays well formed and then says what was declared.
func FuzzDeclare(f *testing.F) {
	f.Add([]byte(testXMP))
	f.Add([]byte(emptyPacket))
	f.Fuzz(func(t *testing.T, packet []byte) {
		p := &Picture{Meta: Metadata{XMP: packet}}
		if len(packet) == 0 || p.Declare(someRights) != nil {
			return
		}
		if !bytes.Contains(p.Meta.XMP, []byte(seeConstraint)) {
			t.Errorf("%q became %q", packet, p.Meta.XMP)
		}
	})
}
