package raster

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"io"
	"strconv"
	"strings"
)

// tiffStripBytes is what a strip holds before it is compressed: many times deflate's window of 32 KiB, and
// little to keep.
const tiffStripBytes = 256 << 10

// encodeTIFF writes the pixels deflated with horizontal prediction in strips, and the metadata. An EXIF block
// becomes the beginning of the file as it is, so that every offset in it stays true, maker notes included;
// its tags are listed again in the one directory, at the end.
func encodeTIFF(w io.Writer, p *Picture, img image.Image, opt EncodeOptions) error {
	order := binary.ByteOrder(binary.LittleEndian)
	head, entries := tiffHead(order), []tiffEntry(nil)
	if !opt.StripMetadata {
		order, head, entries = tiffCarried(p, isGrey(img))
	}
	head = evened(head)
	pixels := newTIFFPixels(img, order)
	strips, sizes, err := pixels.deflated()
	if err != nil {
		return err
	}
	strips = evened(strips)
	at, next := make([]int, len(sizes)), len(head)
	for i, n := range sizes {
		at[i] = next
		next += n
	}
	base := int64(len(head)) + int64(len(strips))
	entries = append(entries, pixels.entries(at, sizes)...)
	tail, ifd := appendDirectory(nil, base, order, entries)
	if base+int64(len(tail)) >= 1<<32 {
		return fail(KindUnsupported, "the picture does not fit a TIFF, which ends at 4 GiB; deliver as PNG")
	}
	order.PutUint32(head[4:], ifd)
	for _, part := range [][]byte{head, strips, tail} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// tiffHead gives the first eight bytes of a TIFF, the place of its directory still 0.
func tiffHead(order binary.ByteOrder) []byte {
	if order == binary.BigEndian {
		return []byte("MM\x00*\x00\x00\x00\x00")
	}
	return []byte("II*\x00\x00\x00\x00\x00")
}

// tiffCarried gives byte order, beginning of the file and directory entries that carry p's metadata.
func tiffCarried(p *Picture, grey bool) (order binary.ByteOrder, head []byte, entries []tiffEntry) {
	order = binary.LittleEndian
	if p.order != nil {
		order = p.order
	}
	head = tiffHead(order)
	if exif := uprightEXIF(p.Meta.EXIF); exifByteOrder(exif) != nil && len(exif) >= 8 {
		order, head = exifByteOrder(exif), bytes.Clone(exif)
		entries = fixedEntries(exif, order)
	}
	has := func(tag uint16) bool {
		for _, e := range entries {
			if e.tag == tag {
				return true
			}
		}
		return false
	}
	if p.Orientation >= 5 { // the axes changed places
		for i, e := range entries {
			if e.tag == tiffXRes || e.tag == tiffYRes {
				entries[i].tag = tiffXRes + tiffYRes - e.tag
			}
		}
	}
	if !has(tiffXRes) && !has(tiffYRes) && !has(tiffResUnit) {
		entries = append(entries, densityEntries(order, p.Meta.Density.turned(p.Orientation))...)
	}
	for _, e := range tiffBlocks(p, grey) {
		if !has(e.tag) {
			entries = append(entries, e)
		}
	}
	return order, head, entries
}

// fixedEntries gives the entries of an EXIF block's first directory as they stand, for use in another directory
// of a file that begins with that block. Tags about stored pixels, and those that have their own place
// here, are left out.
func fixedEntries(exif []byte, order binary.ByteOrder) (out []tiffEntry) {
	ifd := int64(order.Uint32(exif[4:]))
	for _, e := range tiffEntries(exif, ifd, order) {
		if tiffStorage(e.tag) || e.tag == tiffXMP || e.tag == tiffIPTC || e.tag == tiffICC || e.tag == tiffPhotoshop {
			continue
		}
		raw := exif[e.entry:]
		out = append(out, tiffEntry{tag: e.tag, typ: e.typ, value: raw[8:12], fixed: true, count: order.Uint32(raw[4:])})
	}
	return out
}

// tiffBlocks gives the entries of XMP, IPTC, ICC and private tags: the source's own if it was a TIFF, else new ones
// made from the understood parts.
func tiffBlocks(p *Picture, grey bool) (out []tiffEntry) {
	add := func(tag, typ uint16, value []byte) {
		if len(value) > 0 {
			out = append(out, tiffEntry{tag: tag, typ: typ, value: value})
		}
	}
	icc := p.Meta.ICC
	if !iccFits(icc, grey) {
		icc = nil
	}
	if p.Format != TIFF {
		iim := rawIPTC(p.Meta.IPTC)
		add(tiffXMP, 1, uprightXMP(p.Meta.XMP))
		add(tiffIPTC, 7, iim)
		add(tiffICC, 7, icc)
		if !bytes.Equal(p.Meta.IPTC, wrapIPTC(iim)) {
			add(tiffPhotoshop, 1, p.Meta.IPTC)
		}
		return out
	}
	for _, b := range p.Meta.Blocks {
		e, ok := entryOfBlock(b)
		switch {
		case !ok || e.tag == tiffICC && icc == nil:
			continue
		case e.tag == tiffXMP:
			e.value = uprightXMP(e.value)
		}
		out = append(out, e)
	}
	return out
}

// blockName names the block of a TIFF tag: "33550 DOUBLE".
func blockName(e tiffEntry) string {
	return strconv.Itoa(int(e.tag)) + " " + tiffTypes[e.typ].name
}

// entryOfBlock is the inverse of blockName, with the block's data as value.
func entryOfBlock(b Block) (tiffEntry, bool) {
	number, name, _ := strings.Cut(b.Name, " ")
	tag, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return tiffEntry{}, false
	}
	for typ, t := range tiffTypes {
		if t.size > 0 && t.name == name && int64(len(b.Data))%t.size == 0 && len(b.Data) > 0 {
			return tiffEntry{tag: uint16(tag), typ: uint16(typ), value: b.Data}, true
		}
	}
	return tiffEntry{}, false
}

// tiffPixels is a canonical image about to be written: grey, RGB, or RGB with alpha where there is any.
type tiffPixels struct {
	pix            []byte
	order          binary.ByteOrder
	w, h           int
	from, channels int // samples a pixel in pix and in the file
	depth          int // bytes a sample
	rows           int // of a strip
}

func newTIFFPixels(img image.Image, order binary.ByteOrder) *tiffPixels {
	b := img.Bounds()
	t := &tiffPixels{order: order, w: b.Dx(), h: b.Dy(), from: 4, channels: 3, depth: 1}
	switch m := img.(type) {
	case *image.Gray:
		t.pix, t.from, t.channels = m.Pix, 1, 1
	case *image.Gray16:
		t.pix, t.from, t.channels, t.depth = m.Pix, 1, 1, 2
	case *image.NRGBA:
		t.pix = m.Pix
	case *image.NRGBA64:
		t.pix, t.depth = m.Pix, 2
	}
	if hasAlpha(img) {
		t.channels = 4
	}
	t.rows = min(max(1, tiffStripBytes/t.rowBytes()), t.h)
	return t
}

func (t *tiffPixels) rowBytes() int { return t.w * t.channels * t.depth }

// deflated gives the strips behind each other and the length of each.
func (t *tiffPixels) deflated() (strips []byte, sizes []int, err error) {
	var buf bytes.Buffer
	z := zlib.NewWriter(&buf)
	row := make([]byte, t.rowBytes())
	for y0 := 0; y0 < t.h; y0 += t.rows {
		before := buf.Len()
		z.Reset(&buf)
		for y := y0; y < min(y0+t.rows, t.h); y++ {
			t.predict(row, y)
			if _, err := z.Write(row); err != nil {
				return nil, nil, err
			}
		}
		if err := z.Close(); err != nil {
			return nil, nil, err
		}
		sizes = append(sizes, buf.Len()-before)
	}
	return buf.Bytes(), sizes, nil
}

// predict writes row y as differences of each sample from the same sample of the pixel to the left (TIFF 6.0,
// section 14), in the file's byte order.
func (t *tiffPixels) predict(row []byte, y int) {
	src := t.pix[y*t.w*t.from*t.depth:][:t.w*t.from*t.depth]
	var left [4]uint16
	for x, at := 0, 0; x < t.w; x++ {
		for c := range t.channels {
			if t.depth == 1 {
				v := src[x*t.from+c]
				row[at] = v - byte(left[c])
				left[c] = uint16(v)
				at++
				continue
			}
			v := binary.BigEndian.Uint16(src[2*(x*t.from+c):])
			t.order.PutUint16(row[at:], v-left[c])
			left[c] = v
			at += 2
		}
	}
}

// entries gives the tags that describe the strips: at and sizes are their offsets and lengths.
func (t *tiffPixels) entries(at, sizes []int) []tiffEntry {
	const (
		deflate, horizontal, blackIsZero, rgb, unassociated = 8, 2, 1, 2, 2
		short, long                                         = 3, 4
	)
	bits, photometric := []int{8 * t.depth}, blackIsZero
	if t.channels > 1 {
		photometric = rgb
		for len(bits) < t.channels {
			bits = append(bits, 8*t.depth)
		}
	}
	n := func(tag, typ uint16, v ...int) tiffEntry { return tiffNumbers(t.order, tag, typ, v...) }
	out := []tiffEntry{
		n(tiffWidth, long, t.w), n(tiffLength, long, t.h), n(258, short, bits...), n(259, short, deflate),
		n(tiffPhotometric, short, photometric), n(273, long, at...), n(tiffSamples, short, t.channels),
		n(278, long, t.rows), n(279, long, sizes...), n(tiffPlanar, short, 1), n(317, short, horizontal),
	}
	if t.channels == 4 {
		out = append(out, n(338, short, unassociated))
	}
	return out
}
