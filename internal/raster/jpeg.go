package raster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"runtime"
	"slices"
)

// JPEG marker codes, ITU-T T.81 table B.1.
const (
	mSOF0 = 0xc0 // baseline
	mSOF1 = 0xc1 // extended sequential
	mSOF2 = 0xc2 // progressive
	mDHT  = 0xc4
	mJPG  = 0xc8
	mDAC  = 0xcc
	mRST0 = 0xd0
	mRST7 = 0xd7
	mSOI  = 0xd8
	mEOI  = 0xd9
	mSOS  = 0xda
	mDQT  = 0xdb
	mAPP0 = 0xe0
	mCOM  = 0xfe
)

// Signatures that open the APPn segments understood here.
const (
	sigEXIF   = "Exif\x00\x00"
	sigXMP    = "http://ns.adobe.com/xap/1.0/\x00"
	sigXMPExt = "http://ns.adobe.com/xmp/extension/\x00"
	sigICC    = "ICC_PROFILE\x00"
	sigIPTC   = "Photoshop 3.0\x00"
	sigAdobe  = "Adobe"
	sigMPF    = "MPF\x00"
	sigJFIF   = "JFIF\x00"
)

// jpegHeader is what the segments before the first scan say.
type jpegHeader struct {
	width, height int
	scan          int // where the first scan begins in the file
	sof           byte
	precision     int
	comps         [][2]int    // horizontal and vertical sampling factor of each component
	quant         [4]*[64]int // quantisation tables in zig-zag order, as defined last
	selector      []byte      // quantisation table of each component
	meta          Metadata
}

// manyPixels is from where a progressive JPEG's coefficients, up to 12 bytes a pixel that image/jpeg leaves behind, are
// collected before the picture is given its final form: some milliseconds against a third of the peak.
const manyPixels = 4_000_000

func decodeJPEG(data []byte, lim Limits) (*Picture, error) {
	hdr, e := parseJPEG(data)
	if e != nil {
		return nil, e
	}
	if e := hdr.check(lim, len(data)); e != nil {
		return nil, e
	}
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		var unsupported jpeg.UnsupportedError
		if bytes.LastIndex(data[hdr.scan:], []byte{0xff, mEOI}) < 0 {
			err = fmt.Errorf("%w (%v)", io.ErrUnexpectedEOF, err) // image/jpeg reports a cut scan in several ways
		}
		return nil, failFrom(JPEG, err, errors.As(err, &unsupported))
	}
	if hdr.sof == mSOF2 && hdr.width*hdr.height > manyPixels {
		runtime.GC()
	}
	p := &Picture{Image: canonical(img), Orientation: exifOrientation(hdr.meta.EXIF), Meta: hdr.meta}
	p.quant = hdr.tables()
	p.JPEG = &JPEGInfo{Quality: hdr.quality(), Subsampling: hdr.subsampling(), Progressive: hdr.sof == mSOF2}
	return p, nil
}

// parseJPEG walks the marker segments up to the first scan (T.81, annex B). Like image/jpeg it skips
// stray bytes between segments.
func parseJPEG(data []byte) (*jpegHeader, *Error) {
	h := &jpegHeader{}
	pos := 2
	for {
		marker, next := nextMarker(data, pos)
		if next < 0 {
			return nil, failFrom(JPEG, io.ErrUnexpectedEOF, false)
		}
		pos = next
		if marker == mEOI {
			return nil, fail(KindCorrupt, "the JPEG has no picture data; export it again")
		}
		if marker >= mRST0 && marker <= mRST7 || marker == mSOI || marker == 0x01 {
			continue
		}
		if pos+2 > len(data) {
			return nil, failFrom(JPEG, io.ErrUnexpectedEOF, false)
		}
		n := int(binary.BigEndian.Uint16(data[pos:]))
		if n < 2 {
			return nil, fail(KindCorrupt, "a JPEG segment of impossible length; fetch the file again")
		}
		if pos+n > len(data) {
			return nil, failFrom(JPEG, io.ErrUnexpectedEOF, false)
		}
		body := data[pos+2 : pos+n]
		pos += n
		if marker == mSOS {
			h.scan = pos
			h.meta.understandJPEG()
			return h, nil
		}
		if e := h.segment(marker, body); e != nil {
			return nil, e
		}
	}
}

// nextMarker finds the marker at or after pos and gives its code and the position behind it, -1 at
// the end of the data.
func nextMarker(data []byte, pos int) (byte, int) {
	for pos+1 < len(data) {
		if data[pos] == 0xff && data[pos+1] != 0 && data[pos+1] != 0xff {
			return data[pos+1], pos + 2
		}
		pos++
	}
	return 0, -1
}

func (h *jpegHeader) segment(marker byte, body []byte) *Error {
	switch {
	case marker == mDQT:
		return h.readDQT(body)
	case marker >= mSOF0 && marker <= 0xcf && marker != mDHT && marker != mJPG && marker != mDAC:
		return h.readSOF(marker, body)
	case marker >= mAPP0 && marker <= 0xef:
		h.meta.Blocks = append(h.meta.Blocks, Block{Name: appName(marker), Data: body})
	case marker == mCOM:
		h.meta.Blocks = append(h.meta.Blocks, Block{Name: "COM", Data: body})
	}
	return nil
}

// appName gives "APP0" to "APP15".
func appName(marker byte) string {
	n := marker - mAPP0
	if n >= 10 {
		return "APP1" + string('0'+n-10)
	}
	return "APP" + string('0'+n)
}

// markerOf is the inverse of appName, and knows "COM"; 0 for any other name.
func markerOf(name string) byte {
	if name == "COM" {
		return mCOM
	}
	for m := byte(mAPP0); m <= 0xef; m++ {
		if appName(m) == name {
			return m
		}
	}
	return 0
}

func (h *jpegHeader) readDQT(b []byte) *Error {
	damaged := fail(KindCorrupt, "a damaged quantisation table in the JPEG; fetch the file again")
	for len(b) > 0 {
		wide, id := int(b[0]>>4), int(b[0]&15)
		size := 64 * (wide + 1)
		if wide > 1 || id > 3 || len(b) < 1+size {
			return damaged
		}
		t := new([64]int)
		for k := range t {
			if wide == 1 {
				t[k] = int(b[1+2*k])<<8 | int(b[2+2*k])
			} else {
				t[k] = int(b[1+k])
			}
		}
		h.quant[id] = t
		b = b[1+size:]
	}
	return nil
}

func (h *jpegHeader) readSOF(marker byte, b []byte) *Error {
	if h.sof != 0 {
		return fail(KindCorrupt, "the JPEG has two frame headers; save it anew")
	}
	if len(b) < 6 || len(b) < 6+3*int(b[5]) {
		return fail(KindCorrupt, "a damaged frame header in the JPEG; fetch the file again")
	}
	h.sof, h.precision = marker, int(b[0])
	h.height, h.width = int(binary.BigEndian.Uint16(b[1:])), int(binary.BigEndian.Uint16(b[3:]))
	for i := range int(b[5]) {
		c := b[6+3*i:]
		h.comps = append(h.comps, [2]int{int(c[1] >> 4), int(c[1] & 15)})
		h.selector = append(h.selector, c[2])
	}
	return nil
}

// check refuses what cannot or should not be decoded, before any pixel is allocated.
func (h *jpegHeader) check(lim Limits, fileBytes int) *Error {
	if h.sof == 0 {
		return fail(KindCorrupt, "the JPEG has no frame header; fetch the file again")
	}
	if e := lim.checkSize(h.width, h.height); e != nil {
		return e
	}
	switch {
	case h.sof > mSOF2:
		return fail(KindUnsupported, "lossless, hierarchical or arithmetic-coded JPEG (SOF%d); save it again as ordinary JPEG or PNG", h.sof-mSOF0)
	case h.precision != 8:
		return fail(KindUnsupported, "a JPEG of %d bits a sample; save it again with 8 bits, or as 16-bit PNG", h.precision)
	case len(h.comps) == 4:
		return fail(KindCMYK, "the JPEG holds CMYK print colours; convert it to RGB with its colour profile first")
	case len(h.comps) != 1 && len(h.comps) != 3:
		return fail(KindUnsupported, "a JPEG of %d components; save it again as RGB or grey", len(h.comps))
	}
	if h.blocks() > 8*int64(fileBytes) {
		return failFrom(JPEG, io.ErrUnexpectedEOF, false)
	}
	return nil
}

// blocks gives a lower bound of the number of 8x8 blocks the scans must hold. Each costs at
// least one bit, so a file with fewer bits cannot be whole.
func (h *jpegHeader) blocks() int64 {
	hmax, vmax := 1, 1
	for _, c := range h.comps {
		hmax, vmax = max(hmax, c[0]), max(vmax, c[1])
	}
	var n int64
	for _, c := range h.comps {
		cw, ch := h.width*c[0]/hmax, h.height*c[1]/vmax
		n += int64(cw/8) * int64(ch/8)
	}
	return n
}

func (h *jpegHeader) subsampling() string {
	if len(h.comps) != 3 {
		return "grey"
	}
	y, c := h.comps[0], h.comps[1]
	if c[0] == 0 || c[1] == 0 {
		return ""
	}
	switch [2]int{y[0] / c[0], y[1] / c[1]} {
	case [2]int{1, 1}:
		return "4:4:4"
	case [2]int{2, 1}:
		return "4:2:2"
	case [2]int{2, 2}:
		return "4:2:0"
	case [2]int{1, 2}:
		return "4:4:0"
	case [2]int{4, 1}:
		return "4:1:1"
	case [2]int{4, 2}:
		return "4:1:0"
	}
	return ""
}

// quality estimates from the tables of the first two components.
func (h *jpegHeader) quality() int {
	table := func(i int) *[64]int {
		if i >= len(h.selector) || h.selector[i] > 3 {
			return nil
		}
		return h.quant[h.selector[i]]
	}
	luma := table(0)
	if luma == nil {
		return 0
	}
	return EstimateQuality(luma, table(1))
}

// tables gives the quantisation table of each component, nil if one is missing or has a zero, which no
// quantiser can have used.
func (h *jpegHeader) tables() []*[64]int {
	var out []*[64]int
	for _, id := range h.selector {
		if id > 3 || h.quant[id] == nil || slices.Contains(h.quant[id][:], 0) {
			return nil
		}
		out = append(out, h.quant[id])
	}
	return out
}

// understandJPEG fills EXIF, XMP, IPTC, ICC and Density from the segments.
func (m *Metadata) understandJPEG() {
	var ext extendedXMP
	var icc iccSegments
	for _, b := range m.Blocks {
		cut := func(name, sig string) ([]byte, bool) {
			if b.Name != name {
				return nil, false
			}
			return bytes.CutPrefix(b.Data, []byte(sig))
		}
		if d, ok := cut("APP1", sigEXIF); ok && m.EXIF == nil {
			m.EXIF = d
		} else if d, ok := cut("APP1", sigXMP); ok && m.XMP == nil {
			m.XMP = d
		} else if d, ok := cut("APP1", sigXMPExt); ok {
			ext.add(d)
		} else if d, ok := cut("APP2", sigICC); ok {
			icc.add(d)
		} else if d, ok := cut("APP13", sigIPTC); ok {
			m.IPTC = append(m.IPTC[:len(m.IPTC):len(m.IPTC)], d...)
		} else if d, ok := cut("APP0", sigJFIF); ok && len(d) >= 7 {
			m.Density = jfifDensity(d)
		}
	}
	m.XMPExtended, m.ICC = ext.join(), icc.join()
}

// jfifDensity reads version, unit and densities (JFIF 1.02).
func jfifDensity(d []byte) Density {
	unit := map[byte]DensityUnit{0: AspectOnly, 1: PerInch, 2: PerCM}[d[2]]
	x, y := binary.BigEndian.Uint16(d[3:]), binary.BigEndian.Uint16(d[5:])
	if unit == "" || x == 0 || y == 0 {
		return Density{}
	}
	return Density{X: uint32(x), Y: uint32(y), Unit: unit}
}

// iccSegments gathers an ICC profile from APP2 segments: number, count, data (ICC.1, B.4).
type iccSegments struct {
	parts map[byte][]byte
	count byte
}

func (s *iccSegments) add(d []byte) {
	if len(d) < 2 {
		return
	}
	if s.parts == nil {
		s.parts = map[byte][]byte{}
	}
	s.parts[d[0]], s.count = d[2:], d[1]
}

// join gives the whole profile, nil if a part is missing.
func (s *iccSegments) join() []byte {
	var out []byte
	for i := 1; i <= int(s.count); i++ {
		part, ok := s.parts[byte(i)]
		if !ok {
			return nil
		}
		out = append(out, part...)
	}
	return out
}

// extendedXMP gathers an extended packet: GUID (32), full length (4), offset (4), data (XMP part 3,
// 1.1.3.1). Only the first GUID met is followed.
type extendedXMP struct {
	guid  string
	total uint32
	parts []xmpPart
}

type xmpPart struct {
	offset uint32
	data   []byte
}

func (x *extendedXMP) add(d []byte) {
	if len(d) < 40 || x.guid != "" && x.guid != string(d[:32]) {
		return
	}
	x.guid, x.total = string(d[:32]), binary.BigEndian.Uint32(d[32:])
	x.parts = append(x.parts, xmpPart{offset: binary.BigEndian.Uint32(d[36:]), data: d[40:]})
}

// join gives the packet, nil unless its parts fill it exactly.
func (x *extendedXMP) join() []byte {
	var have uint64
	for _, p := range x.parts {
		have += uint64(len(p.data))
	}
	if have == 0 || have != uint64(x.total) {
		return nil
	}
	out := make([]byte, have)
	for _, p := range x.parts {
		if uint64(p.offset)+uint64(len(p.data)) > have {
			return nil
		}
		copy(out[p.offset:], p.data)
	}
	return out
}

// encodeJPEGPicture writes p's metadata and img as JPEG.
func encodeJPEGPicture(w io.Writer, p *Picture, img image.Image, opt EncodeOptions) error {
	quality, sampling := opt.Quality, opt.Subsampling
	if p.JPEG != nil {
		if quality == 0 {
			quality = p.JPEG.Quality
		}
		if sampling == "" && p.JPEG.Subsampling != "grey" {
			sampling = p.JPEG.Subsampling
		}
	}
	if quality == 0 {
		quality = DefaultQuality
	}
	if sampling == "4:1:1" || sampling == "4:1:0" {
		sampling = "4:2:0"
	}
	var front jpegFront
	if opt.Quality == 0 {
		front.quant = p.quant
	}
	if !opt.StripMetadata {
		front.density = p.Meta.Density.turned(p.Orientation).jfif()
		front.noAPP0 = p.Format == JPEG && p.JPEG != nil && !p.adobeRGB()
		var e *Error
		if front.blocks, e = jpegBlocks(p, isGrey(img)); e != nil {
			return e
		}
	}
	return encodeJPEG(w, img, quality, sampling, front)
}

// jpegBlocks gives the segments to write: those of the source if it was a JPEG, else new ones made
// from the understood parts.
func jpegBlocks(p *Picture, grey bool) ([]Block, *Error) {
	const room = 65533
	if p.Format == JPEG {
		out := carriedSegments(p, grey)
		for _, b := range out {
			if len(b.Data) > room { // what was added to it
				return nil, fail(KindUnsupported, "a metadata segment %s of %d bytes does not fit a JPEG; deliver as PNG or strip the metadata", b.Name, len(b.Data))
			}
		}
		return out, nil
	}
	var out []Block
	app1 := func(what, sig string, d []byte) *Error {
		if len(d) == 0 {
			return nil
		}
		if len(sig)+len(d) > room {
			return fail(KindUnsupported, "the %s block of %d bytes does not fit a JPEG segment; deliver as PNG or strip the metadata", what, len(d))
		}
		out = append(out, Block{Name: "APP1", Data: append([]byte(sig), d...)})
		return nil
	}
	if e := app1("EXIF", sigEXIF, uprightEXIF(p.Meta.EXIF)); e != nil {
		return nil, e
	}
	if e := app1("XMP", sigXMP, uprightXMP(p.Meta.XMP)); e != nil {
		return nil, e
	}
	for d := p.Meta.IPTC; len(d) > 0; {
		n := min(len(d), room-len(sigIPTC))
		out = append(out, Block{Name: "APP13", Data: append([]byte(sigIPTC), d[:n]...)})
		d = d[n:]
	}
	if len(p.Meta.ICC) > 0 && iccFits(p.Meta.ICC, grey) {
		const part = room - len(sigICC) - 2
		count := (len(p.Meta.ICC) + part - 1) / part
		if count > 255 {
			return nil, fail(KindUnsupported, "a colour profile of %d bytes does not fit a JPEG; deliver as PNG or strip the metadata", len(p.Meta.ICC))
		}
		for i := range count {
			d := append([]byte(sigICC), byte(i+1), byte(count))
			d = append(d, p.Meta.ICC[i*part:min((i+1)*part, len(p.Meta.ICC))]...)
			out = append(out, Block{Name: "APP2", Data: d})
		}
	}
	return out, nil
}

// adobeTransform gives the colour transform an Adobe segment declares: 0 none, 1 YCbCr, 2 YCCK; -1 if b is no
// such segment.
func adobeTransform(b Block) int {
	if b.Name != "APP14" || !bytes.HasPrefix(b.Data, []byte(sigAdobe)) || len(b.Data) < 12 {
		return -1
	}
	return int(b.Data[11])
}

// adobeRGB reports whether a JPEG stores RGB, not YCbCr, which this package never writes.
func (p *Picture) adobeRGB() bool {
	if p.JPEG == nil || p.JPEG.Subsampling == "grey" {
		return false
	}
	return slices.ContainsFunc(p.Meta.Blocks, func(b Block) bool { return adobeTransform(b) == 0 })
}

// carriedSegments copies a JPEG's own segments, less those that describe the old file.
func carriedSegments(p *Picture, grey bool) []Block {
	blocks := p.Meta.Blocks
	var icc iccSegments
	for _, b := range blocks {
		if d, ok := bytes.CutPrefix(b.Data, []byte(sigICC)); ok && b.Name == "APP2" {
			icc.add(d)
		}
	}
	dropICC := !iccFits(icc.join(), grey)
	stays := p.JPEG != nil && !p.adobeRGB() && grey == (p.JPEG.Subsampling == "grey") // the colours are stored as they were
	var out []Block
	for _, b := range blocks {
		has := func(sig string) bool { return bytes.HasPrefix(b.Data, []byte(sig)) }
		switch {
		case b.Name == "APP2" && (has(sigMPF) || has(sigICC) && dropICC):
			continue
		case b.Name == "APP0":
			if p.JPEG == nil || p.adobeRGB() {
				continue // written anew
			}
			if has(sigJFIF) && len(b.Data) >= 12 && p.Orientation >= 5 { // the axes changed places
				b.Data = bytes.Clone(b.Data)
				copy(b.Data[8:], []byte{b.Data[10], b.Data[11], b.Data[8], b.Data[9]})
			}
		case b.Name == "APP14" && has(sigAdobe):
			if !stays {
				continue
			}
		case b.Name == "APP1" && has(sigEXIF):
			b.Data = withPrefix(sigEXIF, b.Data, uprightEXIF)
		case b.Name == "APP1" && (has(sigXMP) || has(sigXMPExt)):
			b.Data = uprightXMP(b.Data)
		}
		out = append(out, b)
	}
	return out
}

// withPrefix applies change to what follows the prefix of d; d itself comes back if nothing changed.
func withPrefix(prefix string, d []byte, change func([]byte) []byte) []byte {
	rest := d[len(prefix):]
	changed := change(rest)
	if len(rest) == 0 || &changed[0] == &rest[0] {
		return d
	}
	return append([]byte(prefix), changed...)
}
