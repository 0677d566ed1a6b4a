package raster

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Rights is what a delivered copy says in its XMP about its use. A field left empty leaves what the file says.
type Rights struct {
	// DataMining is a value of the PLUS vocabulary on data mining, as a URI: see [DataMiningValues].
	DataMining string
	// OtherConstraints is a text for people, such as the licence under which the copy may be used: PLUS Other Constraints.
	OtherConstraints string
	// WebStatement is where the statement of rights is found, a URL: the IPTC's Web Statement of Rights.
	WebStatement string
}

// plusVocabulary begins every value of the PLUS vocabulary.
const plusVocabulary = "http://ns.useplus.org/ldf/vocab/"

// DataMiningValues are the values of the PLUS property Data Mining (IPTC Photo Metadata 2023.1).
func DataMiningValues() []string {
	names := []string{"DMI-UNSPECIFIED", "DMI-ALLOWED", "DMI-PROHIBITED-AIMLTRAINING", "DMI-PROHIBITED-GENAIMLTRAINING",
		"DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING", "DMI-PROHIBITED", "DMI-PROHIBITED-SEECONSTRAINT",
		"DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR", "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR"}
	for i := range names {
		names[i] = plusVocabulary + names[i]
	}
	return names
}

// Check returns an error if a value is not of the vocabulary, or a text could not stand in XML.
func (r Rights) Check() error {
	if r.DataMining != "" && !slices.Contains(DataMiningValues(), r.DataMining) {
		return fmt.Errorf("raster: %q is no value of the PLUS vocabulary on data mining; choose one of %s", r.DataMining, strings.Join(DataMiningValues(), ", "))
	}
	for _, s := range []string{r.OtherConstraints, r.WebStatement} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' && c != '\n' && c != '\t' || c == 0xfffe || c == 0xffff }) {
			return fmt.Errorf("raster: the rights text %q holds control characters or is not UTF-8; write it as plain text", s)
		}
	}
	return nil
}

// Declare writes r into the XMP of p, in the place of what it said under the same properties; all else of the packet
// stays byte for byte. Creator, copyright and credit that only IPTC-IIM or EXIF knew are added to it, since not every
// format keeps those. p's blocks are replaced, not changed. The error, an *[Error], is about a packet that cannot be
// understood; nothing is changed then. It panics if r.Check fails.
func (p *Picture) Declare(r Rights) error {
	if err := r.Check(); err != nil {
		panic(err.Error())
	}
	if r == (Rights{}) {
		return nil
	}
	t := p.Tags()
	var props []xmpProperty
	add := func(ns, name, form string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			props = append(props, xmpProperty{ns, name, form, values, true})
		}
	}
	add(nsPLUS, "DataMining", "", r.DataMining)
	add(nsPLUS, "OtherConstraints", "Alt", r.OtherConstraints)
	add(nsRights, "WebStatement", "", r.WebStatement)
	own := len(props)
	if t.Creator != "" {
		add(nsDC, "creator", "Seq", strings.Split(t.Creator, "; ")...)
	}
	add(nsDC, "rights", "Alt", t.Copyright)
	add(nsPhotoshop, "Credit", "", t.Credit)
	for i := own; i < len(props); i++ {
		props[i].replace = false
	}
	packet := p.Meta.XMP
	if len(packet) == 0 {
		packet = []byte(emptyPacket)
	}
	packet, err := setProperties(packet, props)
	if err != nil {
		return &Error{Kind: KindCorrupt, Err: err, Detail: fmt.Sprintf("the XMP packet cannot be read (%v), so no rights can be written into it; repair it, or take it out", err)}
	}
	p.setXMP(packet)
	return nil
}

// emptyPacket is XMP that says nothing.
const emptyPacket = "<?xpacket begin=\"\ufeff\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"" + nsRDF +
	"\"></rdf:RDF></x:xmpmeta>\n<?xpacket end=\"w\"?>"

const nsRDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

// xmpProperty is a property to be written: form is "" for a simple value, else the RDF container of its values.
type xmpProperty struct {
	ns, name, form string
	values         []string
	replace        bool // what the packet says; else it stays
}

// span is a run of bytes of a packet.
type span struct{ from, to int64 }

// xmpScan is what a packet says about some properties.
type xmpScan struct {
	found map[string]bool // by namespace and name
	cut   []span          // those to be replaced, in order
	about string          // of the descriptions, as XML
	end   int64           // where the end tag of rdf:RDF begins
}

// setProperties rewrites a packet. Padding before its end is used up by what is added.
func setProperties(packet []byte, props []xmpProperty) ([]byte, error) {
	s, err := scanXMP(packet, props)
	if err != nil {
		return nil, err
	}
	var added bytes.Buffer
	fmt.Fprintf(&added, `<rdf:Description xmlns:rdf="%s" rdf:about="%s" xmlns:dc="%s" xmlns:photoshop="%s" xmlns:xmpRights="%s" xmlns:plus="%s">`, nsRDF, s.about, nsDC, nsPhotoshop, nsRights, nsPLUS)
	prefix := map[string]string{nsDC: "dc", nsPhotoshop: "photoshop", nsRights: "xmpRights", nsPLUS: "plus"}
	for _, p := range props {
		if p.replace || !s.found[p.ns+p.name] {
			p.write(&added, prefix[p.ns]+":"+p.name)
		}
	}
	added.WriteString("</rdf:Description>")
	var out []byte
	at := int64(0)
	for _, c := range s.cut {
		out = append(out, packet[at:c.from]...)
		at = c.to
	}
	out = append(out, packet[at:s.end]...)
	out = append(out, added.Bytes()...)
	out = append(out, packet[s.end:]...)
	if e := bytes.LastIndex(out, []byte("<?xpacket end")); e > 0 {
		pad := e - len(bytes.TrimRight(out[:e], " \t\r\n"))
		if drop := min(pad-1, len(out)-len(packet)); drop > 0 {
			out = slices.Delete(out, e-1-drop, e-1)
		}
	}
	return out, nil
}

// write appends the property under a qualified name.
func (p xmpProperty) write(to *bytes.Buffer, name string) {
	fmt.Fprintf(to, "<%s>", name)
	if p.form == "" {
		_ = xml.EscapeText(to, []byte(p.values[0])) // a bytes.Buffer takes everything
	} else {
		fmt.Fprintf(to, "<rdf:%s>", p.form)
		for _, v := range p.values {
			if p.form == "Alt" {
				to.WriteString(`<rdf:li xml:lang="x-default">`)
			} else {
				to.WriteString("<rdf:li>")
			}
			_ = xml.EscapeText(to, []byte(v))
			to.WriteString("</rdf:li>")
		}
		fmt.Fprintf(to, "</rdf:%s>", p.form)
	}
	fmt.Fprintf(to, "</%s>", name)
}

// scanXMP finds, in a packet, properties of the picture itself (those of rdf:Description below rdf:RDF), as elements and
// as attributes.
func scanXMP(packet []byte, props []xmpProperty) (*xmpScan, error) {
	s := &xmpScan{found: map[string]bool{}, end: -1}
	replace := map[string]bool{}
	for _, p := range props {
		replace[p.ns+p.name] = p.replace
	}
	d := xml.NewDecoder(bytes.NewReader(packet))
	var open []xmlElement
	top := -1 // depth of rdf:RDF
	for {
		from := d.InputOffset()
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			e := opened(open, t, from)
			open = append(open, e)
			switch depth := len(open) - 1; {
			case top < 0 && e.name == nsRDF+"RDF":
				top = depth
			case top >= 0 && depth == top+1 && e.name == nsRDF+"Description":
				s.description(packet[from:d.InputOffset()], from, t, e, replace)
			}
		case xml.EndElement:
			if len(open) == 0 {
				return nil, errors.New("an element ends that did not begin")
			}
			e := open[len(open)-1]
			open = open[:len(open)-1]
			switch depth := len(open); {
			case depth == top && from == d.InputOffset():
				return nil, errors.New("its rdf:RDF is empty")
			case depth == top:
				s.end = from
			case top >= 0 && depth == top+2:
				s.note(e.name, span{e.from, d.InputOffset()}, replace)
			}
		}
	}
	if s.end < 0 || len(open) > 0 {
		return nil, errors.New("it holds no rdf:RDF, or ends before it does")
	}
	slices.SortFunc(s.cut, func(a, b span) int { return int(a.from - b.from) })
	return s, nil
}

// xmlElement is an element being read: its name with the namespace in front, the prefixes it knows, where it began.
type xmlElement struct {
	name string
	ns   map[string]string
	from int64
}

// opened resolves the name of an element among those that are open.
func opened(open []xmlElement, t xml.StartElement, from int64) xmlElement {
	e := xmlElement{from: from, ns: map[string]string{}}
	if len(open) > 0 {
		e.ns = open[len(open)-1].ns
	}
	copied := false
	for _, a := range t.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" {
			if !copied {
				inner := make(map[string]string, len(e.ns)+1)
				for k, v := range e.ns {
					inner[k] = v
				}
				e.ns, copied = inner, true
			}
			if a.Name.Space == "" {
				e.ns[""] = a.Value
			} else {
				e.ns[a.Name.Local] = a.Value
			}
		}
	}
	e.name = e.ns[t.Name.Space] + t.Name.Local
	return e
}

// description notes the properties that a description has as attributes, and what it is about.
func (s *xmpScan) description(tag []byte, at int64, t xml.StartElement, e xmlElement, replace map[string]bool) {
	for _, a := range t.Attr {
		if a.Name.Space == "" || a.Name.Space == "xmlns" {
			continue
		}
		name := e.ns[a.Name.Space] + a.Name.Local
		if name == nsRDF+"about" && s.about == "" {
			var b bytes.Buffer
			_ = xml.EscapeText(&b, []byte(a.Value))
			s.about = b.String()
		}
		pattern := regexp.MustCompile(`\s` + regexp.QuoteMeta(a.Name.Space+":"+a.Name.Local) + `\s*=\s*("[^"]*"|'[^']*')`)
		if where := pattern.FindIndex(tag); where != nil {
			s.note(name, span{at + int64(where[0]), at + int64(where[1])}, replace)
		}
	}
}

// note keeps that a property is there, and its place if it is to be replaced.
func (s *xmpScan) note(name string, where span, replace map[string]bool) {
	cut, wanted := replace[name]
	if !wanted {
		return
	}
	s.found[name] = true
	if cut {
		s.cut = append(s.cut, where)
	}
}

// setXMP puts a packet in the place of the main one, in the understood part and in the file's own blocks.
func (p *Picture) setXMP(packet []byte) {
	p.Meta.XMP = packet
	blocks := slices.Clone(p.Meta.Blocks)
	block := Block{Data: packet}
	var is func(Block) bool
	at := len(blocks) // where a new one goes
	switch p.Format {
	case JPEG:
		block = Block{Name: "APP1", Data: append([]byte(sigXMP), packet...)}
		is = func(b Block) bool { return b.Name == "APP1" && bytes.HasPrefix(b.Data, []byte(sigXMP)) }
		for at = 0; at < len(blocks) && (blocks[at].Name == "APP0" || blocks[at].Name == "APP1"); at++ {
		}
	case PNG:
		block = Block{Name: "iTXt", Data: xmpChunk(packet)}
		is = func(b Block) bool {
			_, ok := iTXtText(b.Data, xmpKeyword)
			return b.Name == "iTXt" && ok
		}
	case WebP:
		block.Name = "XMP "
		is = func(b Block) bool { return b.Name == "XMP " }
	case TIFF:
		block.Name = blockName(tiffEntry{tag: tiffXMP, typ: 1})
		is = func(b Block) bool {
			e, ok := entryOfBlock(b)
			return ok && e.tag == tiffXMP
		}
	default:
		return // it is read only, and written in another format from the understood parts
	}
	if i := slices.IndexFunc(blocks, is); i >= 0 {
		block.AfterPixels = blocks[i].AfterPixels
		blocks[i] = block
	} else {
		blocks = slices.Insert(blocks, at, block)
	}
	p.Meta.Blocks = blocks
}

// HasC2PA says whether the file carries a C2PA manifest store: APP11 of a JPEG, caBX of a PNG, the C2PA chunk of a WebP.
// Whether that is still true of the pixels is not asked.
func (p *Picture) HasC2PA() bool {
	return slices.ContainsFunc(p.Meta.Blocks, func(b Block) bool {
		switch b.Name {
		case "APP11":
			return bytes.Contains(b.Data, []byte("jumbc2pa")) || bytes.Contains(b.Data, []byte("c2pa\x00"))
		case "caBX", "C2PA":
			return true
		}
		return false
	})
}
