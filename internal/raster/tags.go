package raster

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bep/imagemeta"
)

// Tags is the descriptive metadata of a picture as its makers wrote it. Each text comes from the first
// of XMP, IPTC and EXIF that has it; Keywords is the union in that order without duplicates.
// Everything is valid UTF-8 and trimmed.
type Tags struct {
	Title        string   // dc:title, IPTC ObjectName
	Headline     string   // photoshop:Headline, IPTC Headline
	Description  string   // dc:description, IPTC Caption-Abstract, EXIF ImageDescription
	Creator      string   // dc:creator, IPTC By-line, EXIF Artist; several joined by "; "
	Copyright    string   // dc:rights, IPTC CopyrightNotice, EXIF Copyright
	RightsHolder string   // xmpRights:Owner; several joined by "; "
	Credit       string   // photoshop:Credit, IPTC Credit
	Source       string   // photoshop:Source, IPTC Source
	UsageTerms   string   // xmpRights:UsageTerms
	DataMining   string   // plus:DataMining, the PLUS vocabulary on machine learning
	SourceType   string   // Iptc4xmpExt:DigitalSourceType, the IPTC vocabulary on how the picture was made
	Keywords     []string // dc:subject, IPTC Keywords
	DateCreated  string   // ISO 8601 as precise as known; photoshop:DateCreated, IPTC DateCreated, EXIF DateTimeOriginal
}

// XMP namespaces of the properties read.
const (
	nsDC        = "http://purl.org/dc/elements/1.1/"
	nsPhotoshop = "http://ns.adobe.com/photoshop/1.0/"
	nsRights    = "http://ns.adobe.com/xap/1.0/rights/"
	nsXMP       = "http://ns.adobe.com/xap/1.0/"
	nsPLUS      = "http://ns.useplus.org/ldf/xmp/1.0/"
	nsIPTCExt   = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
)

// Tags reads the descriptive metadata of p. Damaged metadata gives what could be read of it.
func (p *Picture) Tags() Tags {
	if p.tags != nil {
		t := *p.tags
		t.Keywords = slices.Clone(t.Keywords)
		return t
	}
	return readTags(p.Format, nil, p.Meta)
}

// ReadTags reads the descriptive metadata of a JPEG, PNG, WebP, TIFF or AVIF file without decoding its pixels. The
// pixel data need not be whole. A file without any metadata gives zero Tags and no error.
func ReadTags(data []byte) (Tags, error) {
	format, e := sniff(data)
	if e != nil {
		return Tags{}, e
	}
	lim := DefaultLimits()
	var m Metadata
	switch format {
	case JPEG:
		hdr, e := parseJPEG(data)
		if e != nil {
			return Tags{}, e
		}
		m = hdr.meta
	case PNG:
		p := &Picture{}
		if e := p.parsePNG(data, lim); e != nil && e.Kind != KindTruncated && e.Kind != KindAnimated {
			return Tags{}, e
		}
		p.Meta.understandPNG()
		m = p.Meta
	case WebP:
		p := &Picture{}
		chunks, e := webpChunks(data)
		if e == nil {
			e = p.parseWebP(chunks, lim)
		}
		if e != nil {
			return Tags{}, e
		}
		m = p.Meta
	case TIFF:
		p, e := parseTIFF(data, lim)
		if e != nil {
			return Tags{}, e
		}
		m = p.Meta
	case AVIF:
		box, e := parseAVIF(data)
		if e != nil {
			return Tags{}, e
		}
		m = box.metadata(data)
	}
	return readTags(format, data, m), nil
}

// foundTags gathers what imagemeta reports, by source: for EXIF and IPTC by tag name, for XMP by namespace
// and name.
type foundTags struct {
	exif, iptc, xmp map[string][]string
}

// readTags reads the blocks of m one by one, so that a damaged one does not hide the others. For a
// TIFF, whose EXIF is spread over the file, file is read too.
func readTags(format Format, file []byte, m Metadata) Tags {
	f := foundTags{exif: map[string][]string{}, iptc: map[string][]string{}, xmp: map[string][]string{}}
	exif := m.EXIF
	if format == TIFF {
		exif = file
	}
	if exifByteOrder(exif) != nil {
		f.read(imagemeta.TIFF, imagemeta.EXIF, exif)
	}
	for _, packet := range [][]byte{m.XMP, m.XMPExtended} {
		if len(packet) > 0 {
			f.read(imagemeta.WebP, imagemeta.XMP, xmpOnlyWebP(packet))
		}
	}
	if iim := rawIPTC(m.IPTC); iim != nil {
		f.read(imagemeta.JPEG, imagemeta.IPTC, iptcOnlyJPEG(iim))
	}
	return f.tags()
}

// read hands a file to imagemeta and notes the tags; damage ends the reading, not the program.
func (f *foundTags) read(format imagemeta.ImageFormat, source imagemeta.Source, file []byte) {
	_ = guarded("", func() error {
		_, err := imagemeta.Decode(imagemeta.Options{
			R: bytes.NewReader(file), ImageFormat: format, Sources: source,
			HandleTag: func(t imagemeta.TagInfo) error {
				f.note(t)
				return nil
			},
		})
		return err
	})
}

func (f *foundTags) note(t imagemeta.TagInfo) {
	into, key := f.exif, t.Tag
	switch t.Source {
	case imagemeta.IPTC:
		into = f.iptc
	case imagemeta.XMP:
		into, key = f.xmp, t.Namespace+t.Tag
	}
	if _, seen := into[key]; seen {
		return
	}
	var values []string
	switch v := t.Value.(type) {
	case string:
		values = []string{v}
	case []string:
		values = v
	default:
		values = []string{fmt.Sprint(v)}
	}
	for _, v := range values {
		v = strings.TrimSpace(strings.ToValidUTF8(v, "\uFFFD"))
		if v != "" {
			into[key] = append(into[key], v)
		}
	}
}

// xmpOnlyWebP wraps a packet in the smallest file imagemeta reads it from; unlike a JPEG segment a RIFF
// chunk holds a packet of any length.
func xmpOnlyWebP(packet []byte) []byte {
	return appendRIFF([]byte("RIFF\x00\x00\x00\x00WEBP"), "XMP ", packet)
}

// iptcOnlyJPEG wraps IPTC-IIM records in the smallest file imagemeta reads them from. Records without a
// character set (1:90) that are valid UTF-8 are declared UTF-8; imagemeta would take them for Latin-1.
func iptcOnlyJPEG(iim []byte) []byte {
	const utf8Charset = "\x1c\x01\x5a\x00\x03\x1b%G"
	if !bytes.Contains(iim, []byte("\x1c\x01\x5a")) && utf8.Valid(iptcText(iim)) {
		iim = append([]byte(utf8Charset), iim...)
	}
	body := append([]byte(sigIPTC), wrapIPTC(iim[:min(len(iim), 65000)])...)
	return append(appendSegment([]byte{0xff, mSOI}, 0xed, body), 0xff, mEOI)
}

// iptcText gives the values of all records behind each other: 0x1c, record, dataset, length, value.
func iptcText(iim []byte) (out []byte) {
	for len(iim) >= 5 && iim[0] == 0x1c {
		n := min(int(binary.BigEndian.Uint16(iim[3:])), len(iim)-5)
		out = append(out, iim[5:5+n]...)
		iim = iim[5+n:]
	}
	return out
}

// tags puts the sources in their order.
func (f *foundTags) tags() Tags {
	first := func(lists ...[]string) string {
		for _, l := range lists {
			if len(l) > 0 {
				return l[0]
			}
		}
		return ""
	}
	all := func(lists ...[]string) string {
		for _, l := range lists {
			if len(l) > 0 {
				return strings.Join(l, "; ")
			}
		}
		return ""
	}
	x, i, e := f.xmp, f.iptc, f.exif
	t := Tags{
		Title:        first(x[nsDC+"Title"], i["ObjectName"]),
		Headline:     first(x[nsPhotoshop+"Headline"], i["Headline"]),
		Description:  first(x[nsDC+"Description"], i["Caption-Abstract"], e["ImageDescription"]),
		Creator:      all(x[nsDC+"Creator"], i["By-line"], e["Artist"]),
		Copyright:    first(x[nsDC+"Rights"], i["CopyrightNotice"], e["Copyright"]),
		RightsHolder: all(x[nsRights+"Owner"]),
		Credit:       first(x[nsPhotoshop+"Credit"], i["Credit"]),
		Source:       first(x[nsPhotoshop+"Source"], i["Source"]),
		UsageTerms:   first(x[nsRights+"UsageTerms"]),
		DataMining:   first(x[nsPLUS+"DataMining"]),
		SourceType:   first(x[nsIPTCExt+"DigitalSourceType"]),
		DateCreated: isoDate(first(x[nsPhotoshop+"DateCreated"], joinDate(i["DateCreated"], i["TimeCreated"]),
			e["DateTimeOriginal"], x[nsXMP+"CreateDate"])),
	}
	for _, list := range [][]string{x[nsDC+"Subject"], i["Keywords"]} {
		for _, k := range list {
			if !slices.Contains(t.Keywords, k) {
				t.Keywords = append(t.Keywords, k)
			}
		}
	}
	return t
}

func joinDate(date, clock []string) []string {
	if len(date) == 0 || len(clock) == 0 {
		return date
	}
	return []string{date[0] + " " + clock[0]}
}

// isoDate turns EXIF's "2024:05:01 10:00:00" into "2024-05-01T10:00:00"; ISO dates pass unchanged.
func isoDate(s string) string {
	if len(s) >= 10 && s[4] == ':' && s[7] == ':' {
		s = s[:4] + "-" + s[5:7] + "-" + s[8:]
	}
	if len(s) > 10 && s[10] == ' ' {
		s = s[:10] + "T" + s[11:]
	}
	return s
}
