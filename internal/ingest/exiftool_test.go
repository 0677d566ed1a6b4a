package ingest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/internal/oracle"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/party"
)

// A photograph with the metadata another program wrote: what it wrote is what is read.
func TestReadsWhatExiftoolWrites(t *testing.T) {
	tool := oracle.Exiftool(t)
	photo, err := os.ReadFile(filepath.Join(testphotos.Dir(), testphotos.Names(t)[0]))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "photo.jpg")
	if err := os.WriteFile(name, photo, 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config")
	// DataMining is younger than Debian's exiftool; the definition is that of later ones.
	if err := os.WriteFile(config, []byte(`%Image::ExifTool::UserDefined = ( 'Image::ExifTool::PLUS::XMP' => { DataMining => { Writable => 'string' } },
 'Image::ExifTool::XMP::Main' => { tdm => { SubDirectory => { TagTable => 'Image::ExifTool::UserDefined::tdm' } } } );
%Image::ExifTool::UserDefined::tdm = ( GROUPS => { 0 => 'XMP', 1 => 'XMP-tdm' }, NAMESPACE => { 'tdm' => 'http://www.w3.org/ns/tdmrep/' }, WRITABLE => 'string', reservation => { }, policy => { } ); 1;`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, "-config", config, "-q", "-m", "-overwrite_original", "-all=", "-IPTC:By-line=Anna Berg", "-IPTC:CodedCharacterSet=UTF8", "-EXIF:ImageDescription=Boats",
		"-XMP-dc:Title=Hafen am Morgen", "-XMP-dc:Subject=sea", "-XMP-dc:Subject=dawn", "-XMP-plus:CopyrightOwner=[{CopyrightOwnerName=Anna Berg,CopyrightOwnerID=1-AB-12},{CopyrightOwnerName=Studio Lund}]",
		"-XMP-xmpRights:WebStatement=https://bank.example/licence", "-XMP-iptcExt:DigitalSourceType=http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture", "-XMP-plus:ImageSupplierImageID=B-77",
		"-XMP-plus:DataMining=http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-SEECONSTRAINT", "-XMP-plus:OtherConstraints=Ask the bank",
		"-XMP-tdm:reservation=1", "-XMP-tdm:policy=https://bank.example/p", name).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var b bucket
	b.put("photo.jpg", data)
	got, _ := runOn(t, &b, Options{Decode: true}, nil)
	r := got["photo.jpg"].Record
	if r == nil {
		t.Fatal(got["photo.jpg"].Refusal)
	}
	wantFields := []Field{{"title", "Hafen am Morgen", FromFile}, {"description", "Boats", FromFile}, {"creator", "Anna Berg", FromFile}, {"web_statement", "https://bank.example/licence", FromFile},
		{"data_mining", "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-SEECONSTRAINT", FromFile}, {"other_constraints", "Ask the bank", FromFile},
		{"digital_source_type", "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture", FromFile}}
	wantParties := []party.Party{{Name: "Anna Berg", Share: party.Unknown, IDs: []party.Identifier{{Scheme: party.PLUS, Value: "1-AB-12"}}}, {Name: "Studio Lund", Share: party.Unknown}}
	if d := gocmp.Diff(wantFields, r.Fields) + gocmp.Diff(wantParties, r.Parties) + gocmp.Diff([]string{"photo", "B-77"}, r.IDs) + gocmp.Diff([]string{"sea", "dawn"}, r.Keywords); d != "" {
		t.Error(d)
	}
	var words []string
	for _, w := range r.Reservations {
		words = append(words, string(w.Protocol)+" "+w.Value+" "+string(w.Effect)+" "+w.Detail)
	}
	if d := gocmp.Diff([]string{"iptc-plus DMI-PROHIBITED-SEECONSTRAINT asks Ask the bank", "tdmrep tdm-reservation=1 refuses https://bank.example/p"}, words); d != "" {
		t.Error(d)
	}
}

// The manifest stores these tests make, in JPEG and in PNG, are ones that another program reads too.
func TestExiftoolReadsOurManifests(t *testing.T) {
	tool := oracle.Exiftool(t)
	for name, data := range map[string][]byte{"a.jpg": picture(1, app11(manifest("notAllowed"), 1000)...), "a.png": pngWith(t, "caBX", manifest("notAllowed"))} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		raw, err := exec.Command(tool, "-j", "-G3:1:4", "-a", "-struct", "-JUMBF:all", "-CBOR:all", path).Output()
		var list []map[string]any
		if err != nil || json.Unmarshal(raw, &list) != nil || len(list) != 1 {
			t.Fatalf("%s: %v: %s", name, err, raw)
		}
		text := string(raw)
		for _, want := range []string{"cawg.training-mining", "urn:c2pa:1", "notAllowed"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: exiftool does not find %q: %s", name, want, text)
			}
		}
		h, err := raster.ReadHeader(data, raster.Limits{})
		if err != nil || !slices.Equal(h.JUMBF(1<<20), manifest("notAllowed")) {
			t.Errorf("%s: %v, and the store is not put together again", name, err)
		}
	}
}
