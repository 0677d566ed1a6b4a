package xmp

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const open = `<?xpacket begin="` + "\ufeff" + `" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">` +
	`<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" xmlns:tdm="http://www.w3.org/ns/tdmrep/"`
const end = `</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`

const plus = "http://ns.useplus.org/ldf/xmp/1.0/"

func TestParse(t *testing.T) {
	p, err := Parse([]byte(open + ` tdm:reservation="1">
 <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Harbour</rdf:li><rdf:li xml:lang="fr">Port</rdf:li></rdf:Alt></dc:title>
 <plus:DataMining rdf:resource="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"/>
 <plus:CopyrightOwner><rdf:Seq>
  <rdf:li rdf:parseType="Resource"><plus:CopyrightOwnerName>Anna</plus:CopyrightOwnerName><plus:CopyrightOwnerID>PLUS:1-A</plus:CopyrightOwnerID></rdf:li>
  <rdf:li><rdf:Description plus:CopyrightOwnerName="Bo"/></rdf:li>
  <rdf:li plus:CopyrightOwnerName="Cy"/>
 </rdf:Seq></plus:CopyrightOwner>` + end))
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Texts("http://purl.org/dc/elements/1.1/title"); !cmp.Equal(got, []string{"Harbour", "Port"}) {
		t.Errorf("title %q", got)
	}
	if got := p.Texts("http://www.w3.org/ns/tdmrep/reservation"); !cmp.Equal(got, []string{"1"}) {
		t.Errorf("reservation %q", got)
	}
	mining := p[plus+"DataMining"]
	if len(mining) != 1 || mining[0].Text != "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED" ||
		string(mining[0].Raw) != `<plus:DataMining rdf:resource="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"/>` {
		t.Errorf("data mining %+v", mining)
	}
	var names []string
	for _, owner := range p[plus+"CopyrightOwner"] {
		names = append(names, owner.Texts(plus+"CopyrightOwnerName")...)
	}
	if !cmp.Equal(names, []string{"Anna", "Bo", "Cy"}) {
		t.Errorf("owners %q", names)
	}
}

func TestHostile(t *testing.T) {
	laughs := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>` + open + `><dc:title>&lol2;</dc:title>` + end
	for name, in := range map[string]string{
		"billion laughs": laughs,
		"deep":           open + ">" + strings.Repeat("<dc:a>", 100_000),
		"many":           open + ">" + strings.Repeat("<dc:a/>", 100_000) + end,
		"attributes":     "<a " + strings.Repeat(` a="1"`, 100_000) + "/>",
		"large":          strings.Repeat(" ", MaxBytes+1),
	} {
		if _, err := Parse([]byte(in)); !errors.Is(err, ErrBomb) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Damage keeps what stands before it.
	p, err := Parse([]byte(open + `><dc:title>A</dc:title><dc:rights>B`))
	if err == nil || errors.Is(err, ErrBomb) || len(p.Texts("http://purl.org/dc/elements/1.1/title")) != 1 {
		t.Errorf("damaged packet: %v, %v", p, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(open + `><dc:title>A</dc:title>` + end))
	f.Add([]byte(open + `><plus:CopyrightOwner><rdf:Seq><rdf:li rdf:parseType="Resource"><plus:CopyrightOwnerName>Anna</plus:CopyrightOwnerName></rdf:li></rdf:Seq></plus:CopyrightOwner>` + end))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`))
	f.Add([]byte(open))
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := Parse(in)
		if errors.Is(err, ErrBomb) && p != nil {
			t.Fatal("a bomb gives values")
		}
		for name, values := range p {
			for _, v := range values {
				if !strings.Contains(string(in), string(v.Raw)) {
					t.Fatalf("%s: raw bytes that are not of the packet", name)
				}
			}
		}
	})
}
