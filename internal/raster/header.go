package raster

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
)

// Header is what a file says of itself before a pixel is decoded. Meta aliases the file's bytes.
type Header struct {
	Format        Format
	Width, Height int // in pixels, as displayed
	Orientation   int // as in Picture
	Meta          Metadata
	file          []byte
}

// Sniff recognises the format by the first bytes of a file, of which 64 are enough for the formats read here. A GIF is
// told still or animated by all of its bytes only. Errors: as Decode, of the kinds that name a format.
func Sniff(head []byte) (Format, error) {
	f, e := sniff(head)
	if e != nil {
		return "", e
	}
	return f, nil
}

// ReadHeader reads size and metadata of a whole file and checks what can be checked without decoding pixels: the limits,
// animation, print colours, and that the file has its end where its format marks one (JPEG, PNG, WebP, AVIF). Damage
// among the pixels is found by Decode only. Every error is an [*Error].
func ReadHeader(data []byte, lim Limits) (h *Header, err error) {
	lim = lim.withDefaults()
	if e := lim.checkBytes(int64(len(data))); e != nil {
		return nil, e
	}
	format, e := sniff(data)
	if e != nil {
		return nil, e
	}
	read := map[Format]func(*Header, Limits) *Error{
		JPEG: (*Header).readJPEG, PNG: (*Header).readPNG, WebP: (*Header).readWebP, TIFF: (*Header).readTIFF, AVIF: (*Header).readAVIF,
	}[format]
	h = &Header{Format: format, Orientation: 1, file: data}
	err = guarded(format, func() error {
		if e := read(h, lim); e != nil {
			return e
		}
		return nil
	})
	if err != nil {
		return nil, asError(err)
	}
	if h.Orientation >= 5 {
		h.Width, h.Height = h.Height, h.Width
	}
	return h, nil
}

// Tags reads the descriptive metadata. Damaged metadata gives what could be read of it.
func (h *Header) Tags() Tags { return readTags(h.Format, h.file, h.Meta) }

func (h *Header) readJPEG(lim Limits) *Error {
	hdr, e := parseJPEG(h.file)
	if e == nil {
		e = hdr.check(lim, len(h.file))
	}
	if e != nil {
		return e
	}
	if bytes.LastIndex(h.file[hdr.scan:], []byte{0xff, mEOI}) < 0 {
		return failFrom(JPEG, io.ErrUnexpectedEOF, false)
	}
	h.Width, h.Height, h.Orientation, h.Meta = hdr.width, hdr.height, exifOrientation(hdr.meta.EXIF), hdr.meta
	return nil
}

func (h *Header) readPNG(lim Limits) *Error {
	p := &Picture{}
	if e := p.parsePNG(h.file, lim); e != nil {
		return e
	}
	p.Meta.understandPNG()
	ihdr := h.file[len(pngSignature)+8:]
	h.Width, h.Height = int(binary.BigEndian.Uint32(ihdr)), int(binary.BigEndian.Uint32(ihdr[4:]))
	h.Orientation, h.Meta = exifOrientation(p.Meta.EXIF), p.Meta
	return nil
}

func (h *Header) readWebP(lim Limits) *Error {
	p := &Picture{}
	chunks, e := webpChunks(h.file)
	if e == nil {
		e = p.parseWebP(chunks, lim)
	}
	if e != nil {
		return e
	}
	for _, c := range chunks {
		if w, ht, ok := c.size(); ok && h.Width == 0 {
			h.Width, h.Height = w, ht
		}
	}
	if h.Width == 0 {
		return fail(KindCorrupt, "the WebP does not say how large it is; export it again")
	}
	h.Orientation, h.Meta = exifOrientation(p.Meta.EXIF), p.Meta
	return nil
}

func (h *Header) readTIFF(lim Limits) *Error {
	p, e := parseTIFF(h.file, lim)
	if e != nil {
		return e
	}
	ifd := int64(p.order.Uint32(h.file[4:]))
	one := func(tag uint16) int { return entryNumber(h.file, findEntryIn(h.file, ifd, p.order, tag), p.order) }
	h.Width, h.Height, h.Orientation, h.Meta = one(tiffWidth), one(tiffLength), p.Orientation, p.Meta
	return nil
}

func (h *Header) readAVIF(lim Limits) *Error {
	m, e := parseAVIF(h.file)
	if e == nil {
		e = m.check(lim)
	}
	if e != nil {
		return e
	}
	h.Width, h.Height, h.Orientation, h.Meta = m.size.X, m.size.Y, m.orientation(), m.metadata(h.file)
	return nil
}

// Where a C2PA manifest store lies (C2PA 2.x, appendix A.3).
const (
	tiffC2PA = 0xcd41
	uuidC2PA = "\xd8\xfe\xc3\xd6\x1b\x0e\x48\x3c\x92\x97\x58\x28\x87\x7e\xc4\x81" // of the box in ISO base media files
)

// JUMBF gives the boxes of ISO/IEC 19566-5 a file carries, a C2PA manifest store among them, one after the other as
// they stand, unchecked: from JPEG's APP11, PNG's caBX, WebP's C2PA, TIFF's tag 0xCD41 and AVIF's uuid box. nil if it
// carries none. With more than limit bytes it gives the first limit of them, cut.
func (h *Header) JUMBF(limit int) []byte {
	var out []byte
	switch h.Format {
	case JPEG:
		out = jumbfSegments(h.Meta.Blocks, limit)
	case PNG, WebP:
		for _, b := range h.Meta.Blocks {
			if (b.Name == "caBX" || b.Name == "C2PA") && len(out) < limit {
				out = append(out, b.Data[:min(len(b.Data), limit-len(out))]...)
			}
		}
	case TIFF:
		out = tiffBytes(h.file, tiffC2PA)
	case AVIF:
		out = isoC2PA(h.file)
	}
	return out[:min(len(out), limit)]
}

// isoC2PA gives the manifest store of a top-level uuid box: version and flags, a purpose ended by 0, and, where that is
// "manifest", 8 bytes of offset.
func isoC2PA(file []byte) []byte {
	top, e := isoBoxes(file)
	if e != nil {
		return nil
	}
	for _, b := range top {
		body, ok := bytes.CutPrefix(b.body, []byte(uuidC2PA))
		if b.name != "uuid" || !ok || len(body) < 4 {
			continue
		}
		purpose, rest, ok := bytes.Cut(body[4:], []byte{0})
		if ok && string(purpose) == "manifest" && len(rest) > 8 {
			return rest[8:]
		}
	}
	return nil
}

// jumbfSegments puts boxes together again that were cut into APP11 segments (ISO/IEC 18477-3, B.1): "JP", number of the
// box (2), number of the packet from 1 (4), then length and type of the box in every packet (8, or 16 where the length
// is 1), then data.
func jumbfSegments(blocks []Block, limit int) []byte {
	type packet struct {
		box, seq uint64
		data     []byte
	}
	var packets []packet
	for _, b := range blocks {
		d := b.Data
		if b.Name != "APP11" || len(d) < 16 || string(d[:2]) != "JP" {
			continue
		}
		box, seq, body := binary.BigEndian.Uint16(d[2:]), binary.BigEndian.Uint32(d[4:]), d[8:]
		if seq > 1 {
			head := 8
			if binary.BigEndian.Uint32(body) == 1 {
				head = 16
			}
			body = body[min(head, len(body)):]
		}
		packets = append(packets, packet{uint64(box), uint64(seq), body})
	}
	slices.SortStableFunc(packets, func(a, b packet) int {
		if a.box != b.box {
			return int(a.box) - int(b.box)
		}
		return int(a.seq) - int(b.seq)
	})
	var out []byte
	for _, p := range packets {
		out = append(out, p.data[:min(len(p.data), limit-len(out))]...)
	}
	return out
}
