package raster

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"
	"slices"

	libavif "github.com/gen2brain/avif"
)

// decodeAVIF reads a still AVIF by libavif, which runs as WebAssembly inside this process: a damaged file ends in an
// error there and touches nothing else (without the build tag nodynamic a libavif of the machine's own may be taken, and that does
// not hold). What the container says around the pixels, turns included, is read
// here. 8 bits a sample give NRGBA, 10 and 12 give NRGBA64, spread over 16 bits.
func decodeAVIF(data []byte, lim Limits) (*Picture, error) {
	box, e := parseAVIF(data)
	if e != nil {
		return nil, e
	}
	if e := box.check(lim); e != nil {
		return nil, e
	}
	if e := box.checkCoded(data, lim); e != nil {
		return nil, e
	}
	img, err := libavif.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, failFrom(AVIF, err, false)
	}
	if got := img.Bounds().Size(); got != extent(box.property("ispe")) {
		return nil, fail(KindCorrupt, "the AVIF's header claims %v pixels and its data hold %v; save it anew", box.size, got)
	}
	return &Picture{Orientation: box.orientation(), Image: canonical(img), Meta: box.metadata(data)}, nil
}

// metadata gives the blocks around the pixels.
func (m *avifMeta) metadata(data []byte) Metadata {
	out := Metadata{ICC: m.icc, XMP: m.item(data, "mime")}
	if exif := m.item(data, "Exif"); len(exif) > 4 { // the first four bytes say where the TIFF structure begins
		if skip := 4 + int64(binary.BigEndian.Uint32(exif)); skip < int64(len(exif)) {
			out.EXIF = exif[skip:]
		}
	}
	return out
}

// avifMeta is what the meta box of an ISO base media file says (ISO/IEC 14496-12 and 23008-12).
type avifMeta struct {
	primary    uint32
	size       image.Point // the largest image spatial extent
	properties []isoBox    // in order, counted from 1 by the associations
	assigned   []byte      // ordinal numbers of the primary item's properties, in the order they apply
	items      map[uint32]avifItem
	icc, idat  []byte
	associated [][]byte // bodies of ipma
}

// avifItem is a thing the file holds: a coded picture ("av01", "grid"), "Exif", or "mime" for XMP.
type avifItem struct {
	kind    string
	inIDAT  bool
	extents [][2]int64 // offset and length
}

type isoBox struct {
	name string
	body []byte
}

// isoBoxes splits boxes: length with this head, name, body; length 1 means a 64-bit length behind the name, 0 the rest.
func isoBoxes(data []byte) ([]isoBox, *Error) {
	var out []isoBox
	for len(data) > 0 {
		if len(data) < 8 {
			return nil, failFrom(AVIF, io.ErrUnexpectedEOF, false)
		}
		n, head := uint64(binary.BigEndian.Uint32(data)), uint64(8)
		switch {
		case n == 1 && len(data) >= 16:
			n, head = binary.BigEndian.Uint64(data[8:]), 16
		case n == 0:
			n = uint64(len(data))
		}
		if n < head {
			return nil, fail(KindCorrupt, "an AVIF box of impossible length; fetch the file again")
		}
		if n > uint64(len(data)) {
			return nil, failFrom(AVIF, io.ErrUnexpectedEOF, false)
		}
		out = append(out, isoBox{name: string(data[4:8]), body: data[head:n]})
		data = data[n:]
	}
	return out, nil
}

// parseAVIF reads the meta box and checks that the file holds all its items.
func parseAVIF(data []byte) (*avifMeta, *Error) {
	m := &avifMeta{items: map[uint32]avifItem{}}
	top, e := isoBoxes(data)
	if e != nil {
		return nil, e
	}
	for _, b := range top {
		if b.name == "moov" {
			return nil, fail(KindAnimated, "the AVIF holds a sequence; export the frame to be marked as a still picture")
		}
		if b.name != "meta" || len(b.body) < 4 {
			continue
		}
		inner, e := isoBoxes(b.body[4:])
		if e != nil {
			return nil, e
		}
		for _, b := range inner {
			if e := m.read(b); e != nil {
				return nil, e
			}
		}
	}
	for _, body := range m.associated { // once the primary item is known, wherever that stands
		r := isoReader{b: body}
		m.readAssociations(&r)
		if r.short {
			return nil, fail(KindCorrupt, "a damaged property list in the AVIF; save it anew")
		}
	}
	for _, item := range m.items {
		for _, x := range item.extents {
			if !item.inIDAT && x[0]+x[1] > int64(len(data)) {
				return nil, failFrom(AVIF, io.ErrUnexpectedEOF, false)
			}
		}
	}
	return m, nil
}

// read takes in one box of the meta box. A damaged one is an error, an unknown one is passed over.
func (m *avifMeta) read(b isoBox) *Error {
	r := isoReader{b: b.body}
	switch b.name {
	case "pitm":
		m.primary = r.wide(r.version() > 0)
	case "idat":
		m.idat = b.body
	case "iinf":
		m.readInfos(&r)
	case "iloc":
		m.readLocations(&r)
	case "iprp":
		inner, e := isoBoxes(b.body)
		if e != nil {
			return e
		}
		for _, b := range inner {
			if b.name == "ipco" {
				if m.properties, e = isoBoxes(b.body); e != nil {
					return e
				}
				m.readProperties()
			} else if b.name == "ipma" {
				m.associated = append(m.associated, b.body)
			}
		}
	}
	if r.short {
		return fail(KindCorrupt, "a damaged item list in the AVIF; save it anew")
	}
	return nil
}

func (m *avifMeta) readInfos(r *isoReader) {
	r.wide(r.version() > 0) // a count; the boxes tell themselves
	infos, e := isoBoxes(r.b)
	if e != nil {
		r.short = true
		return
	}
	for _, b := range infos {
		r := isoReader{b: b.body}
		v := r.version()
		if b.name != "infe" || v < 2 {
			continue
		}
		id := r.wide(v > 2)
		r.number(2) // protection
		item := m.items[id]
		item.kind = string(r.take(4))
		m.items[id] = item
	}
}

func (m *avifMeta) readLocations(r *isoReader) {
	v := r.version()
	sizes := r.number(2)
	offset, length, base, index := int(sizes>>12), int(sizes>>8&15), int(sizes>>4&15), int(sizes&15)
	if v == 0 {
		index = 0
	}
	for range r.wide(v > 1) {
		if r.short || offset+length == 0 { // extents of no bytes could be without number
			r.short = true
			return
		}
		id := r.wide(v > 1)
		item := m.items[id]
		if v > 0 {
			item.inIDAT = r.number(2)&15 != 0
		}
		r.number(2) // data reference
		from := r.number(base)
		item.extents = nil
		for range r.number(2) {
			r.number(index)
			at, n := from+r.number(offset), r.number(length)
			if r.short || at > 1<<40 || n > 1<<40 {
				r.short = true
				return
			}
			item.extents = append(item.extents, [2]int64{int64(at), int64(n)})
		}
		m.items[id] = item
	}
}

func (m *avifMeta) readProperties() {
	for _, p := range m.properties {
		switch {
		case p.name == "ispe" && len(p.body) >= 12:
			if s := extent(p.body); float64(s.X)*float64(s.Y) >= float64(m.size.X)*float64(m.size.Y) {
				m.size = s
			}
		case p.name == "colr" && len(p.body) > 4 && (string(p.body[:4]) == "prof" || string(p.body[:4]) == "rICC"):
			m.icc = p.body[4:]
		}
	}
}

// extent reads the body of an ispe: width and height. It is 0, 0 where there is none.
func extent(ispe []byte) image.Point {
	if len(ispe) < 12 {
		return image.Point{}
	}
	return image.Pt(int(binary.BigEndian.Uint32(ispe[4:])), int(binary.BigEndian.Uint32(ispe[8:])))
}

func (m *avifMeta) readAssociations(r *isoReader) {
	head := r.number(4)
	for range r.number(4) {
		id := r.wide(head>>24 > 0)
		for range r.number(1) {
			n := byte(0)
			if head&1 != 0 {
				n = byte(min(r.number(2)&0x7fff, 255))
			} else {
				n = byte(r.number(1) & 0x7f)
			}
			if id == m.primary {
				m.assigned = append(m.assigned, n)
			}
		}
		if r.short {
			return
		}
	}
}

// property gives the body of the primary item's first property of a name, nil if it has none.
func (m *avifMeta) property(name string) []byte {
	for _, n := range m.assigned {
		if n > 0 && int(n) <= len(m.properties) && m.properties[n-1].name == name {
			return m.properties[n-1].body
		}
	}
	return nil
}

// check refuses what libavif's simple interface would misread, before a pixel is decoded.
func (m *avifMeta) check(lim Limits) *Error {
	if m.property("ispe") == nil {
		return fail(KindCorrupt, "the AVIF has no picture header; export it again")
	}
	if e := lim.checkSize(m.size.X, m.size.Y); e != nil {
		return e
	}
	if m.property("clap") != nil {
		return fail(KindUnsupported, "an AVIF with a crop that only its reader applies; export it as PNG")
	}
	for _, p := range m.properties {
		if p.name == "colr" && len(p.body) >= 8 && string(p.body[:4]) == "nclx" {
			if transfer := binary.BigEndian.Uint16(p.body[6:]); transfer == 16 || transfer == 18 { // PQ, HLG (H.273, table 3)
				return fail(KindUnsupported, "an AVIF in high dynamic range; export it in standard range, as PNG or JPEG")
			}
		}
	}
	return nil
}

// orientation gives the turns of irot (quarters anticlockwise) and imir (0 exchanges top and bottom, 1 left and
// right; applied after irot) as an EXIF orientation. AVIF readers go by these alone.
func (m *avifMeta) orientation() int {
	angle, mirror := 0, 0
	if b := m.property("irot"); len(b) > 0 {
		angle = int(b[0] & 3)
	}
	if b := m.property("imir"); len(b) > 0 {
		mirror = 1 + int(b[0]&1)
	}
	return [3][4]int{{1, 8, 3, 6}, {4, 5, 2, 7}, {2, 7, 4, 5}}[mirror][angle]
}

// item gives the bytes of the item of a kind with the lowest number, nil if there is none.
func (m *avifMeta) item(data []byte, kind string) []byte {
	var ids []uint32
	for id, item := range m.items {
		if item.kind == kind && !item.inIDAT {
			ids = append(ids, id)
		}
	}
	if ids == nil {
		return nil
	}
	return m.bytes(data, m.items[slices.Min(ids)])
}

// bytes gives the bytes of an item, nil where its extents overlap or reach too far.
func (m *avifMeta) bytes(data []byte, item avifItem) (out []byte) {
	if item.inIDAT {
		data = m.idat
	}
	for _, x := range item.extents {
		if x[1] == 0 && len(item.extents) == 1 { // to the end
			x[1] = int64(len(data)) - x[0]
		}
		if x[1] < 0 || x[0]+x[1] > int64(len(data)) || len(out)+int(x[1]) > len(data) {
			return nil
		}
		out = append(out, data[x[0]:x[0]+x[1]]...)
	}
	return out
}

// isoReader reads big-endian numbers from a box; beyond its end it gives zeros and sets short.
type isoReader struct {
	b     []byte
	short bool
}

func (r *isoReader) take(n int) []byte {
	if n > len(r.b) {
		r.short, r.b = true, nil
		return make([]byte, n)
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

// number reads n bytes, at most 8.
func (r *isoReader) number(n int) (v uint64) {
	if r.short {
		return 0
	}
	for _, b := range r.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

// wide reads a number of four bytes, or two.
func (r *isoReader) wide(four bool) uint32 {
	if four {
		return uint32(r.number(4))
	}
	return uint32(r.number(2))
}

// version reads the version and passes over the flags of a full box.
func (r *isoReader) version() int { return int(r.number(4) >> 24) }
