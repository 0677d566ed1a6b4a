package raster

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"strings"
)

// maxInflated bounds what a compressed metadata chunk may grow to when it has to be read.
const maxInflated = 16 << 20

// maxInflations bounds how many such chunks of one file are read; photographs have one to three.
const maxInflations = 16

// Keywords of the text chunks understood here.
const (
	xmpKeyword     = "XML:com.adobe.xmp"
	iptcRawKeyword = "Raw profile type iptc"
)

func decodePNG(data []byte, lim Limits) (*Picture, error) {
	p := &Picture{}
	if e := p.parsePNG(data, lim); e != nil {
		return nil, e
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		var unsupported png.UnsupportedError
		return nil, failFrom(PNG, err, errors.As(err, &unsupported))
	}
	p.Meta.understandPNG()
	p.Image, p.Orientation = canonical(img), exifOrientation(p.Meta.EXIF)
	return p, nil
}

// parsePNG walks the chunks (PNG specification, third edition, section 5): header against limits,
// animation, completeness, and the ancillary blocks. Checksums are left to image/png.
func (p *Picture) parsePNG(data []byte, lim Limits) *Error {
	truncated := failFrom(PNG, io.ErrUnexpectedEOF, false)
	pos, afterPixels, expanded, packed := len(pngSignature), false, int64(0), int64(0)
	for first := true; ; first = false {
		if pos+8 > len(data) {
			return truncated
		}
		n, name := int64(binary.BigEndian.Uint32(data[pos:])), string(data[pos+4:pos+8])
		body := data[pos+8:]
		if first {
			if name != "IHDR" || n != 13 {
				return fail(KindCorrupt, "the PNG does not begin with its header; fetch the file again")
			}
			if len(body) < 13 {
				return truncated
			}
			if e := p.readIHDR(body, lim); e != nil {
				return e
			}
			expanded = pngBytes(body)
		}
		if int64(len(body)) < n+4 {
			return truncated
		}
		body = body[:n]
		switch {
		case name == "acTL":
			return fail(KindAnimated, "the PNG is animated (APNG); export the frame to be marked as a still picture")
		case name == "IDAT":
			afterPixels = true
			packed += n
		case name == "IEND":
			// Deflate never packs more than 1032 to 1.
			if expanded/1032 > packed+1024 {
				return truncated
			}
			return nil
		case name[0]&0x20 != 0: // ancillary
			p.Meta.Blocks = append(p.Meta.Blocks, Block{Name: name, Data: body, AfterPixels: afterPixels})
		}
		pos += 12 + int(n)
	}
}

func (p *Picture) readIHDR(b []byte, lim Limits) *Error {
	w, h := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	p.ihdr = [2]byte{b[8], b[9]}
	if w > 1<<31-1 || h > 1<<31-1 {
		return fail(KindTooLarge, "the header claims %d x %d pixels, more than PNG allows; export the file again", w, h)
	}
	return lim.checkSize(int(w), int(h))
}

// pngBytes gives the uncompressed size a header implies, a lower bound for interlaced files.
func pngBytes(ihdr []byte) int64 {
	w, h := int64(binary.BigEndian.Uint32(ihdr)), int64(binary.BigEndian.Uint32(ihdr[4:]))
	channels := map[byte]int64{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[ihdr[9]]
	return (w*channels*int64(ihdr[8])/8 + 1) * h
}

// understandPNG fills EXIF, XMP, IPTC, ICC and Density from the chunks. What cannot be read is still
// carried as a block.
//
// No more than maxInflations chunks are inflated: a file may hold thousands that each inflate to the limit.
func (m *Metadata) understandPNG() {
	inflations := 0
	for _, b := range m.Blocks {
		if b.mayInflate() {
			if inflations++; inflations > maxInflations {
				continue
			}
		}
		switch b.Name {
		case "eXIf":
			if m.EXIF == nil {
				m.EXIF = b.Data
			}
		case "iTXt":
			if text, ok := iTXtText(b.Data, xmpKeyword); ok && m.XMP == nil {
				m.XMP = text
			}
		case "zTXt", "tEXt":
			if d := rawProfile(b, iptcRawKeyword); d != nil && m.IPTC == nil {
				if bytes.HasPrefix(d, []byte{0x1c}) { // bare records, without the resources around them
					d = wrapIPTC(d)
				}
				m.IPTC = d
			}
		case "iCCP":
			if _, rest, ok := bytes.Cut(b.Data, []byte{0}); ok && len(rest) > 1 && m.ICC == nil {
				m.ICC, _ = inflate(rest[1:])
			}
		case "pHYs":
			if len(b.Data) == 9 {
				m.Density = physDensity(b.Data)
			}
		}
	}
}

// mayInflate tells the chunks that understandPNG has to inflate from comments.
func (b Block) mayInflate() bool {
	return b.Name == "iCCP" || b.Name == "iTXt" && bytes.HasPrefix(b.Data, []byte(xmpKeyword+"\x00")) ||
		b.Name == "zTXt" && bytes.HasPrefix(b.Data, []byte(iptcRawKeyword+"\x00"))
}

func physDensity(d []byte) Density {
	out := Density{X: binary.BigEndian.Uint32(d), Y: binary.BigEndian.Uint32(d[4:]), Unit: AspectOnly}
	if d[8] == 1 {
		out.Unit = PerMetre
	}
	if out.X == 0 || out.Y == 0 {
		return Density{}
	}
	return out
}

// iTXtText gives the text of an iTXt chunk with the given keyword, inflated if need be: keyword, 0,
// compressed?, method, language, 0, translated keyword, 0, text.
func iTXtText(d []byte, keyword string) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(d, []byte(keyword+"\x00"))
	if !ok || len(rest) < 2 {
		return nil, false
	}
	compressed := rest[0] == 1
	_, rest, ok = bytes.Cut(rest[2:], []byte{0})
	if !ok {
		return nil, false
	}
	_, text, ok := bytes.Cut(rest, []byte{0})
	if !ok || !compressed {
		return text, ok
	}
	text, err := inflate(text)
	return text, err == nil
}

// rawProfile reads ImageMagick's way of putting foreign blocks into text chunks: newline, name, newline,
// length in decimal, newline, hexadecimal digits in lines. nil if the keyword differs or it is damaged.
func rawProfile(b Block, keyword string) []byte {
	text, ok := bytes.CutPrefix(b.Data, []byte(keyword+"\x00"))
	if !ok {
		return nil
	}
	if b.Name == "zTXt" {
		if len(text) < 1 {
			return nil
		}
		var err error
		if text, err = inflate(text[1:]); err != nil {
			return nil
		}
	}
	_, rest, ok := bytes.Cut(bytes.TrimLeft(text, "\n"), []byte{'\n'}) // the name may be several words
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 2 {
		return nil
	}
	out, err := hex.DecodeString(string(bytes.Join(fields[1:], nil)))
	if err != nil || fmt.Sprint(len(out)) != string(fields[0]) {
		return nil
	}
	return out
}

func inflate(d []byte) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(d))
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(z, maxInflated+1))
	if err == nil && len(out) > maxInflated {
		err = fmt.Errorf("inflates to more than %d bytes", maxInflated)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

func deflate(d []byte) []byte {
	var buf bytes.Buffer
	z := zlib.NewWriter(&buf)
	z.Write(d) // a bytes.Buffer takes everything
	z.Close()
	return buf.Bytes()
}

// encodePNG writes the pixels by image/png and puts the chunks in their places: behind the header, or
// behind the pixels where they stood there.
func encodePNG(w io.Writer, p *Picture, img image.Image, opt EncodeOptions) error {
	enc := png.Encoder{CompressionLevel: png.DefaultCompression}
	if opt.Fast {
		enc.CompressionLevel = png.BestSpeed
	}
	var buf bytes.Buffer
	if err := enc.Encode(&buf, img); err != nil {
		return err
	}
	out := buf.Bytes()
	const ihdrEnd, iendSize = 8 + 25, 12
	var blocks []Block
	if !opt.StripMetadata {
		blocks = pngBlocks(p, isGrey(img), [2]byte(out[24:26]))
	}
	var before, after []byte
	for _, b := range blocks {
		if b.AfterPixels {
			after = appendChunk(after, b.Name, b.Data)
		} else {
			before = appendChunk(before, b.Name, b.Data)
		}
	}
	for _, part := range [][]byte{out[:ihdrEnd], before, out[ihdrEnd : len(out)-iendSize], after, out[len(out)-iendSize:]} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

func appendChunk(out []byte, name string, data []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
	at := len(out)
	out = append(append(out, name...), data...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(out[at:]))
}

// pngBlocks gives the chunks to write: those of the source if it was a PNG, else new ones made from
// the understood parts. ihdr is the bit depth and colour type about to be written.
func pngBlocks(p *Picture, grey bool, ihdr [2]byte) []Block {
	if p.Format == PNG {
		return carriedChunks(p, grey, ihdr)
	}
	var out []Block
	m := &p.Meta
	if len(m.ICC) > 0 && iccFits(m.ICC, grey) {
		out = append(out, Block{Name: "iCCP", Data: append([]byte("ICC profile\x00\x00"), deflate(m.ICC)...)})
	}
	if d := m.Density.turned(p.Orientation).perMetre(); d.X > 0 {
		out = append(out, Block{Name: "pHYs", Data: physChunk(d)})
	}
	if len(m.EXIF) > 0 {
		out = append(out, Block{Name: "eXIf", Data: uprightEXIF(m.EXIF)})
	}
	if len(m.XMP) > 0 {
		out = append(out, Block{Name: "iTXt", Data: xmpChunk(uprightXMP(m.XMP))})
	}
	if len(m.IPTC) > 0 {
		out = append(out, Block{Name: "zTXt", Data: rawProfileChunk("iptc", m.IPTC)})
	}
	return out
}

func physChunk(d Density) []byte {
	out := binary.BigEndian.AppendUint32(nil, d.X)
	out = binary.BigEndian.AppendUint32(out, d.Y)
	if d.Unit == PerMetre {
		return append(out, 1)
	}
	return append(out, 0)
}

// xmpChunk wraps a packet as XMP part 3, 1.1.5 asks: uncompressed iTXt.
func xmpChunk(packet []byte) []byte {
	return append([]byte(xmpKeyword+"\x00\x00\x00\x00\x00"), packet...)
}

// rawProfileChunk is the inverse of rawProfile, as zTXt, 36 bytes a line.
func rawProfileChunk(name string, d []byte) []byte {
	var text strings.Builder
	fmt.Fprintf(&text, "\n%s\n%8d\n", name, len(d))
	for len(d) > 0 {
		n := min(36, len(d))
		text.WriteString(hex.EncodeToString(d[:n]))
		text.WriteByte('\n')
		d = d[n:]
	}
	return append([]byte("Raw profile type "+name+"\x00\x00"), deflate([]byte(text.String()))...)
}

// carriedChunks copies a PNG's own chunks, less those that no longer describe the pixels.
func carriedChunks(p *Picture, grey bool, ihdr [2]byte) []Block {
	var out []Block
	for _, b := range p.Meta.Blocks {
		switch b.Name {
		case "tRNS", "fcTL", "fdAT": // decoded into the pixels; animation
			continue
		case "bKGD", "hIST", "sBIT": // their layout follows the colour type
			if p.ihdr != ihdr {
				continue
			}
		case "iCCP":
			if !iccFits(p.Meta.ICC, grey) {
				continue
			}
		case "eXIf":
			b.Data = uprightEXIF(b.Data)
		case "iTXt":
			b.Data = uprightText(b.Data)
		case "pHYs":
			if p.Orientation >= 5 && p.Meta.Density.X != 0 {
				b.Data = physChunk(p.Meta.Density.turned(p.Orientation))
			}
		case "tEXt", "zTXt":
			if p.Orientation > 1 && isRawEXIF(b.Data) {
				continue // a second EXIF that would still ask for a rotation
			}
		case "cHRM", "gAMA", "sRGB", "cICP", "mDCV", "cLLI", "tIME": // unsafe to copy by name, yet still true
		default:
			if b.Name[3]&0x20 == 0 {
				continue
			}
		}
		out = append(out, b)
	}
	return out
}

// uprightText sets the orientation to 1 if d is an XMP text chunk. A compressed packet that needs it
// is written uncompressed.
func uprightText(d []byte) []byte {
	text, ok := iTXtText(d, xmpKeyword)
	if !ok || len(text) == 0 {
		return d
	}
	changed := uprightXMP(text)
	if &changed[0] == &text[0] {
		return d
	}
	return xmpChunk(changed)
}

func isRawEXIF(d []byte) bool {
	return bytes.HasPrefix(d, []byte("Raw profile type exif\x00")) || bytes.HasPrefix(d, []byte("Raw profile type APP1\x00"))
}
