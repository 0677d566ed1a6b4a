package optout

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/filigrane/filigrane/internal/ingest/xmp"
)

func TestDataMiningVocabulary(t *testing.T) {
	for value, want := range map[string]Effect{
		"DMI-UNSPECIFIED": Silent, "": Silent, "DMI-ALLOWED": Allows,
		"DMI-PROHIBITED": Refuses, "DMI-PROHIBITED-AIMLTRAINING": Refuses, "DMI-PROHIBITED-GENAIMLTRAINING": Refuses,
		"DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING": Refuses, "DMI-PROHIBITED-BYNEXTYEAR": Refuses,
		"DMI-PROHIBITED-SEECONSTRAINT": Asks, "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR": Asks, "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR": Asks,
		"no thanks": Asks,
		"http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-AIMLTRAINING":   Refuses,
		"https://ns.useplus.org/ldf/vocab/dmi-prohibited-seeconstraint": Asks,
	} {
		if f := DataMining(value, "", "table", nil); f.Effect != want || string(f.Raw) != value || len(f.SHA256) != 64 {
			t.Errorf("%q: %+v, want %s", value, f, want)
		}
	}
}

func TestFromXMP(t *testing.T) {
	packet := `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" xmlns:tdm="http://www.w3.org/ns/tdmrep/">` +
		`<plus:DataMining>http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-SEECONSTRAINT</plus:DataMining><plus:OtherConstraints>Ask us</plus:OtherConstraints>` +
		`<tdm:reservation>1</tdm:reservation><tdm:policy>https://bank.example/policy</tdm:policy></rdf:Description></rdf:RDF></x:xmpmeta>`
	p, err := xmp.Parse([]byte(packet))
	if err != nil {
		t.Fatal(err)
	}
	got := FromXMP(p)
	if len(got) != 2 || got[0].Effect != Asks || got[0].Detail != "Ask us" || got[1].Effect != Refuses || got[1].Detail != "https://bank.example/policy" ||
		string(got[1].Raw) != "<tdm:reservation>1</tdm:reservation>" || Strongest(got) != Refuses {
		t.Errorf("%+v", got)
	}
}

// jumb makes a superbox with a label.
func jumb(label string, children ...[]byte) []byte {
	desc := append(make([]byte, 16), 3)
	desc = append(append(desc, label...), 0)
	body := boxOf("jumd", desc)
	for _, c := range children {
		body = append(body, c...)
	}
	return boxOf("jumb", body)
}

func boxOf(kind string, body []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(append(out, kind...), body...)
}

func trainingCBOR(t testing.TB, space, key, use string) []byte {
	b, err := cbor.Marshal(map[string]any{"entries": map[string]any{space + "." + key: map[string]any{"use": use, "constraint_info": "https://bank.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func manifest(name string, assertions ...[]byte) []byte {
	return jumb(name, jumb("c2pa.assertions", assertions...))
}

func TestFromJUMBF(t *testing.T) {
	no := jumb("cawg.training-mining", boxOf("cbor", trainingCBOR(t, "cawg", "ai_generative_training", "notAllowed")))
	yes := jumb("cawg.training-mining__1", boxOf("json", []byte(`{"entries":{"cawg.ai_training":{"use":"allowed"}}}`)))
	perhaps := jumb("c2pa.training-mining", boxOf("cbor", trainingCBOR(t, "c2pa", "data_mining", "constrained")))
	other := jumb("c2pa.actions.v2", boxOf("cbor", []byte{0xa0}))
	for name, c := range map[string]struct {
		in   []byte
		want Effect
		n    int
	}{
		"refuses":                    {jumb("c2pa", manifest("urn:1", other, no)), Refuses, 2},
		"asks":                       {jumb("c2pa", manifest("urn:1", perhaps)), Asks, 2},
		"JSON":                       {jumb("c2pa", manifest("urn:1", yes)), Allows, 2},
		"inference only":             {jumb("c2pa", manifest("urn:1", jumb("cawg.training-mining", boxOf("cbor", trainingCBOR(t, "cawg", "ai_inference", "notAllowed"))))), Silent, 2},
		"the active manifest has it": {jumb("c2pa", manifest("urn:1", no), manifest("urn:2", yes)), Allows, 2},
		"an earlier manifest has it": {jumb("c2pa", manifest("urn:1", no), manifest("urn:2", other)), Refuses, 2},
		"no word on training":        {jumb("c2pa", manifest("urn:1", other)), Silent, 1},
		"another JUMBF":              {jumb("other", manifest("urn:1", no)), Silent, 0},
		"assertion that is no CBOR":  {jumb("c2pa", manifest("urn:1", jumb("cawg.training-mining", boxOf("cbor", []byte{0xff})))), Asks, 2},
		"assertion without entries":  {jumb("c2pa", manifest("urn:1", jumb("cawg.training-mining", boxOf("cbor", []byte{0xa0})))), Asks, 2},
		"cut short":                  {jumb("c2pa", manifest("urn:1", no))[:60], Asks, 1},
		"nothing":                    {nil, Silent, 0},
	} {
		got, err := FromJUMBF(c.in)
		if err != nil || len(got) != c.n || Strongest(got) != c.want {
			t.Errorf("%s: %+v, %v; want %d that make %s", name, got, err, c.n, c.want)
		}
	}
}

func TestBombs(t *testing.T) {
	deep := []byte{}
	for range 40 {
		deep = jumb("c2pa", deep)
	}
	nested := append([]byte{}, []byte(strings.Repeat("\x81", 100_000))...)
	for name, in := range map[string][]byte{
		"deep":        deep,
		"many":        jumb("c2pa", []byte(strings.Repeat(string(boxOf("free", nil)), 10_000))),
		"nested CBOR": jumb("c2pa", manifest("urn:1", jumb("cawg.training-mining", boxOf("cbor", nested)))),
		"long CBOR":   jumb("c2pa", manifest("urn:1", jumb("cawg.training-mining", boxOf("cbor", make([]byte, maxAssertion+1))))),
	} {
		if _, err := FromJUMBF(in); !errors.Is(err, ErrBomb) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseRSL([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><rsl/>`), "x"); !errors.Is(err, ErrBomb) {
		t.Error(err)
	}
	if _, err := ParseRSL([]byte(strings.Repeat("<a>", 1000)), "x"); !errors.Is(err, ErrBomb) {
		t.Error(err)
	}
}

func TestTDMRepFile(t *testing.T) {
	s, err := ParseTDMRep([]byte(`[
		{"location": "/free/*", "tdm-reservation": 0},
		{"location": "/photos/", "tdm-reservation": 1, "tdm-policy": "https://bank.example/p.json"},
		{"location": "/photos/open/*.jpg$", "tdm-reservation": 0},
		{"location": "*.png$", "tdm-reservation": 1}]`), "https://bank.example/.well-known/tdmrep.json")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Effect{
		"/photos/a.jpg": Refuses, "/free/a.jpg": Allows, "/photos/open/a.jpg": Asks, "/photos/open/a.jpg.txt": Refuses,
		"/x/a.png": Refuses, "/x/a.pngx": "", "/": "", "/ph%6ftos/a": Refuses,
	} {
		f, ok := s.For(path)
		if ok != (want != "") || f.Effect != want {
			t.Errorf("%s: %v %+v, want %s", path, ok, f, want)
		}
	}
	for _, in := range []string{`{}`, `[{"location":"/a","tdm-reservation":"1"}]`, `[{"tdm-reservation":1}]`, `[{"location":"/a","tdm-reservation":2}]`, ``} {
		if _, err := ParseTDMRep([]byte(in), "f"); err == nil {
			t.Errorf("%s is taken", in)
		}
	}
}

func TestRSL(t *testing.T) {
	s, err := ParseRSL([]byte(`<rsl xmlns="https://rslstandard.org/rsl"><content url="/a/"><license><prohibits type="usage">search, ai-train</prohibits></license></content>`+
		`<content url="https://bank.example/b/*"><license><permits type="usage">ai-train</permits><payment type="training"/></license></content></rsl>`), "rsl.xml")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Effect{"/a/x.jpg": Refuses, "/b/x.jpg": Asks, "/c": ""} {
		if f, ok := s.For(path); ok != (want != "") || f.Effect != want {
			t.Errorf("%s: %v %+v", path, ok, f)
		}
	}
}

func FuzzFromJUMBF(f *testing.F) {
	f.Add(jumb("c2pa", manifest("urn:1", jumb("cawg.training-mining", boxOf("cbor", trainingCBOR(f, "cawg", "ai_training", "notAllowed"))))))
	f.Add(jumb("c2pa", manifest("urn:1", jumb("c2pa.training-mining", boxOf("json", []byte(`{"entries":{}}`))))))
	f.Add([]byte{0, 0, 0, 1, 'j', 'u', 'm', 'b', 0, 0, 0, 0, 0, 0, 0, 16})
	f.Fuzz(func(t *testing.T, in []byte) {
		found, err := FromJUMBF(in)
		if err != nil && !errors.Is(err, ErrBomb) {
			t.Fatal(err)
		}
		for _, w := range found {
			if len(w.Raw) > MaxRaw || len(w.Raw) > w.Size {
				t.Fatalf("%+v", w)
			}
		}
	})
}

func FuzzSite(f *testing.F) {
	f.Add([]byte(`[{"location": "/a*b$", "tdm-reservation": 1}]`), "/axb")
	f.Add([]byte(`<rsl><content url="/a"><license><prohibits type="usage">all</prohibits></license></content></rsl>`), "/a%41")
	f.Fuzz(func(t *testing.T, in []byte, path string) {
		for _, parse := range []func([]byte, string) (*Site, error){ParseTDMRep, ParseRSL} {
			if s, err := parse(in, "f"); err == nil {
				s.For(path)
			}
		}
	})
}

func ExampleSite_For() {
	s, err := ParseTDMRep([]byte(`[{"location": "/photos/", "tdm-reservation": 1}]`), "tdmrep.json")
	if err != nil {
		panic(err)
	}
	f, _ := s.For("/photos/harbour.jpg")
	fmt.Println(f.Effect, "by", f.Where)
	// Output: refuses by tdmrep.json rule 1
}
