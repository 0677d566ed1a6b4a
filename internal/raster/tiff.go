package raster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"golang.org/x/image/tiff"
)

// TIFF tags read here (TIFF 6.0; XMP part 3; ICC.1, B.6).
const (
	tiffWidth       = 256
	tiffLength      = 257
	tiffPhotometric = 262
	tiffSamples     = 277
	tiffPlanar      = 284
	tiffSubfile     = 254
	tiffXMP         = 700
	tiffIPTC        = 33723
	tiffICC         = 34675
	tiffPhotoshop   = 34377

	photometricSeparated = 5
)

func decodeTIFF(data []byte, lim Limits) (*Picture, error) {
	p, e := parseTIFF(data, lim)
	if e != nil {
		return nil, e
	}
	img, err := tiff.Decode(bytes.NewReader(data))
	if err != nil {
		var unsupported tiff.UnsupportedError
		if err == tiff.FormatError("not enough pixel data") {
			err = io.ErrUnexpectedEOF
		}
		return nil, failFrom(TIFF, err, errors.As(err, &unsupported))
	}
	p.Image = canonical(img)
	tags := readTags(TIFF, data, p.Meta)
	p.tags = &tags
	return p, nil
}

// parseTIFF reads the first directory: size against limits, what x/image/tiff would misread, and
// the metadata blocks.
func parseTIFF(data []byte, lim Limits) (*Picture, *Error) {
	if len(data) < 8 {
		return nil, failFrom(TIFF, io.ErrUnexpectedEOF, false)
	}
	order := exifByteOrder(data)
	at := int64(order.Uint32(data[4:]))
	if at < 8 {
		return nil, fail(KindCorrupt, "the TIFF has no directory; export it again")
	}
	if at+2 > int64(len(data)) || at+2+12*int64(order.Uint16(data[at:])) > int64(len(data)) {
		return nil, failFrom(TIFF, io.ErrUnexpectedEOF, false)
	}
	for _, tag := range []uint16{tiffWidth, tiffLength, tiffPhotometric, tiffPlanar, tiffSamples} {
		if e := findEntryIn(data, at, order, tag); e >= 0 && order.Uint32(data[e+4:]) != 1 {
			return nil, fail(KindCorrupt, "a damaged TIFF: tag %d should have one value; save it anew", tag) // decoders differ in which they take
		}
	}
	one := func(tag uint16) int { return entryNumber(data, findEntryIn(data, at, order, tag), order) }
	if e := lim.checkSize(one(tiffWidth), one(tiffLength)); e != nil {
		return nil, e
	}
	switch {
	case one(tiffPhotometric) == photometricSeparated:
		return nil, fail(KindCMYK, "the TIFF holds CMYK print colours; convert it to RGB with its colour profile first")
	case one(tiffPlanar) == 2 && one(tiffSamples) > 1:
		return nil, fail(KindUnsupported, "a TIFF with separate colour planes; save it again with interleaved channels, or as PNG")
	case tiffHasPages(data, order, at):
		return nil, fail(KindAnimated, "the TIFF holds several pages; export the page to be marked as a file of its own")
	}
	p := &Picture{Orientation: exifOrientation(data)}
	p.order = order
	p.Meta.XMP, p.Meta.ICC = tiffBytes(data, tiffXMP), tiffBytes(data, tiffICC)
	p.Meta.IPTC = tiffBytes(data, tiffPhotoshop)
	if iim := tiffBytes(data, tiffIPTC); iim != nil && rawIPTC(p.Meta.IPTC) == nil {
		p.Meta.IPTC = append(wrapIPTC(iim), p.Meta.IPTC...)
	}
	p.Meta.EXIF, p.Meta.Blocks = splitTIFF(data, at, order)
	p.Meta.Density = tiffDensity(data, at, order)
	return p, nil
}

// tiffHasPages reports whether a second directory is a page of its own, not a reduced copy (bit 0 of
// NewSubfileType).
func tiffHasPages(data []byte, order binary.ByteOrder, ifd int64) bool {
	link := ifd + 2 + 12*int64(order.Uint16(data[ifd:]))
	if link+4 > int64(len(data)) {
		return false
	}
	next := int64(order.Uint32(data[link:]))
	number := func(tag uint16) int { return entryNumber(data, findEntryIn(data, next, order, tag), order) }
	return next != 0 && number(tiffSubfile)&1 == 0 && number(tiffWidth) > 0
}

// entryNumber gives the value of a BYTE, SHORT or LONG entry with one value, 0 if at is negative or the
// value is beyond 31 bits.
func entryNumber(data []byte, at int, order binary.ByteOrder) int {
	if at < 0 {
		return 0
	}
	v := uint32(0)
	switch value := data[at+8:]; order.Uint16(data[at+2:]) {
	case 1:
		v = uint32(value[0])
	case 3:
		v = uint32(order.Uint16(value))
	case 4:
		v = order.Uint32(value)
	}
	if v > 1<<31-1 {
		return 0
	}
	return int(v)
}

// tiffBytes gives the payload of a BYTE, UNDEFINED or (IPTC by habit) LONG entry, nil if absent or damaged.
func tiffBytes(data []byte, tag uint16) []byte {
	at, order := findEntry(data, tag)
	if at < 0 {
		return nil
	}
	n := int64(order.Uint32(data[at+4:]))
	switch order.Uint16(data[at+2:]) {
	case 1, 7:
	case 4:
		n *= 4
	default:
		return nil
	}
	from := int64(order.Uint32(data[at+8:]))
	if n <= 4 || from+n > int64(len(data)) {
		return nil
	}
	return data[from : from+n]
}
