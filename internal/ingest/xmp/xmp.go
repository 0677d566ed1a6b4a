// Package xmp reads the properties of an XMP packet (ISO 16684-1), structures included, with every size bounded. Packets
// are hostile bytes: a document type definition, which XMP has no use for and which the billion laughs need, ends the
// reading at once, and so does a packet with too many bytes, elements or levels.
//
// What the reader knows of RDF is what XMP uses: properties as elements or attributes of rdf:Description, rdf:resource,
// rdf:parseType="Resource", nested rdf:Description, and Bag, Seq and Alt.
//
// The package is pure.
package xmp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const nsRDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

// Limits of a packet. Photographs have some 5 to 50 KB, 200 elements and 8 levels; Photoshop's history makes megabytes.
const (
	MaxBytes    = 8 << 20
	MaxElements = 50_000
	MaxDepth    = 48
)

// ErrBomb is wrapped by the error for a packet beyond the limits or with a document type definition.
var ErrBomb = errors.New("xmp: the packet is built to exhaust its reader")

// Value is one value of a property: a text, or a structure.
type Value struct {
	Text   string
	Fields map[string][]Value // by namespace and name, as Packet
	Raw    []byte             // the bytes it was read from: an element, or the start tag that holds the attribute; aliases the packet
}

// Packet is what Parse found: values by namespace and name put together ("http://purl.org/dc/elements/1.1/title"). A
// property that occurs twice has the values of both.
type Packet map[string][]Value

// Texts gives the texts of a property, without empty ones.
func (p Packet) Texts(name string) []string { return texts(p[name]) }

// Texts gives the texts of a field of a structure.
func (v Value) Texts(name string) []string { return texts(v.Fields[name]) }

func texts(values []Value) []string {
	var out []string
	for _, v := range values {
		if v.Text != "" {
			out = append(out, v.Text)
		}
	}
	return out
}

// Parse reads a packet. A packet that is not well-formed gives what was read before the damage, and an error. Text that
// is not UTF-8 has its wrong bytes replaced.
func Parse(packet []byte) (Packet, error) {
	if len(packet) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrBomb, len(packet), MaxBytes)
	}
	out := Packet{}
	packet = bytes.TrimRight(packet, "\x00 \t\r\n")
	root, err := parseTree(packet)
	if errors.Is(err, ErrBomb) {
		return nil, err
	}
	root.descriptions(out, 0)
	return out, err
}

// element is a node of the packet's tree.
type element struct {
	name     xml.Name
	attrs    []xml.Attr
	children []*element
	text     []byte
	raw      []byte // from start tag to end tag, or to the damage
	tag      []byte // the start tag
}

// parseTree reads all elements under one without a name.
func parseTree(packet []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(packet))
	d.CharsetReader = func(charset string, r io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("xmp: the packet is in %.20q; XMP in a picture is UTF-8", charset)
	}
	root := &element{}
	stack := []*element{root}
	starts := []int64{0}
	count := 0
	for {
		before := d.InputOffset()
		token, err := d.Token()
		if err == io.EOF {
			return root, nil
		}
		if err != nil {
			for i := 1; i < len(stack); i++ {
				stack[i].raw = packet[starts[i]:before]
			}
			return root, fmt.Errorf("xmp: the packet is damaged: %w", err)
		}
		switch token := token.(type) {
		case xml.Directive:
			return nil, fmt.Errorf("%w: it holds a document type definition", ErrBomb)
		case xml.StartElement:
			if count++; count > MaxElements || len(stack) > MaxDepth || len(token.Attr) > MaxElements {
				return nil, fmt.Errorf("%w: more than %d elements or %d levels", ErrBomb, MaxElements, MaxDepth)
			}
			e := &element{name: token.Name, attrs: token.Attr, tag: packet[before:d.InputOffset()]}
			count += len(token.Attr)
			top := stack[len(stack)-1]
			top.children = append(top.children, e)
			stack, starts = append(stack, e), append(starts, before)
		case xml.EndElement:
			e := stack[len(stack)-1]
			e.raw = packet[starts[len(starts)-1]:d.InputOffset()]
			stack, starts = stack[:len(stack)-1], starts[:len(starts)-1]
		case xml.CharData:
			top := stack[len(stack)-1]
			if len(stack) > 1 {
				top.text = append(top.text, token...)
			}
		}
	}
}

// descriptions notes the properties of every rdf:Description that is directly below an rdf:RDF.
func (e *element) descriptions(out Packet, depth int) {
	for _, c := range e.children {
		if e.name == (xml.Name{Space: nsRDF, Local: "RDF"}) {
			c.properties(out)
			continue
		}
		c.descriptions(out, depth+1)
	}
}

// properties notes the attributes and children of an rdf:Description, or of what stands for one.
func (e *element) properties(out map[string][]Value) {
	for _, a := range e.attrs {
		if known(a.Name) {
			key := a.Name.Space + a.Name.Local
			if text := tidy([]byte(a.Value)); text != "" {
				out[key] = append(out[key], Value{Text: text, Raw: e.tag})
			}
		}
	}
	for _, c := range e.children {
		if c.name.Space != nsRDF {
			key := c.name.Space + c.name.Local
			out[key] = append(out[key], c.values()...)
		}
	}
}

// known tells attributes that are properties from those of RDF and XML.
func known(n xml.Name) bool {
	return n.Space != "" && n.Space != nsRDF && n.Space != "xmlns" && n.Space != "http://www.w3.org/XML/1998/namespace" && n.Space != "xml"
}

// values reads the content of a property or of a list's item.
func (e *element) values() []Value {
	fields := map[string][]Value{}
	for _, a := range e.attrs {
		switch {
		case a.Name.Space == nsRDF && a.Name.Local == "resource":
			return []Value{{Text: tidy([]byte(a.Value)), Raw: e.raw}}
		case a.Name.Space == nsRDF && a.Name.Local == "parseType" && a.Value == "Resource":
			e.properties(fields)
			return []Value{{Fields: fields, Raw: e.raw}}
		case known(a.Name):
			fields[a.Name.Space+a.Name.Local] = []Value{{Text: tidy([]byte(a.Value)), Raw: e.tag}}
		}
	}
	for _, c := range e.children {
		if c.name.Space != nsRDF {
			continue
		}
		switch c.name.Local {
		case "Bag", "Seq", "Alt":
			var out []Value
			for _, li := range c.children {
				out = append(out, li.values()...)
			}
			return out
		case "Description":
			c.properties(fields)
			return []Value{{Fields: fields, Raw: e.raw}}
		}
	}
	if len(fields) > 0 {
		return []Value{{Fields: fields, Raw: e.raw}}
	}
	if text := tidy(e.text); text != "" {
		return []Value{{Text: text, Raw: e.raw}}
	}
	return nil
}

func tidy(s []byte) string {
	if !utf8.Valid(s) {
		s = bytes.ToValidUTF8(s, []byte("\ufffd"))
	}
	return strings.TrimSpace(string(s))
}
