package raster

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"

	libwebp "github.com/gen2brain/webp"
	"golang.org/x/image/webp"
)

// WebP container flags in the first byte of VP8X (WebP container specification, "Extended file format").
const (
	vp8xAnimation = 1 << 1
	vp8xXMP       = 1 << 2
	vp8xEXIF      = 1 << 3
	vp8xAlpha     = 1 << 4
	vp8xICC       = 1 << 5
)

const webpMaxSide = 16383

// WebPEncoder tells which libwebp writes WebP in this process: "embedded", compiled to WebAssembly and
// the same everywhere, or "system", the machine's own library. Build with the tag nodynamic to have
// it embedded on every machine and the binary static. Reading WebP is Go code either way.
func WebPEncoder() string {
	if libwebp.Dynamic() == nil {
		return "system"
	}
	return "embedded"
}

type webpChunk struct {
	name string
	data []byte
}

// webpChunks splits a RIFF container into its chunks: name, length (little endian), data padded to even.
func webpChunks(data []byte) ([]webpChunk, *Error) {
	truncated := failFrom(WebP, io.ErrUnexpectedEOF, false)
	size := int64(binary.LittleEndian.Uint32(data[4:]))
	if size+8 > int64(len(data)) {
		return nil, truncated
	}
	var out []webpChunk
	for rest := data[12 : max(size, 4)+8]; len(rest) > 0; {
		if len(rest) < 8 {
			return nil, truncated
		}
		n := int64(binary.LittleEndian.Uint32(rest[4:]))
		if n > int64(len(rest)-8) {
			return nil, truncated
		}
		out = append(out, webpChunk{name: string(rest[:4]), data: rest[8 : 8+n]})
		rest = rest[min(8+n+n&1, int64(len(rest))):]
	}
	return out, nil
}

func decodeWebP(data []byte, lim Limits) (*Picture, error) {
	chunks, e := webpChunks(data)
	if e != nil {
		return nil, e
	}
	p := &Picture{}
	if e := p.parseWebP(chunks, lim); e != nil {
		return nil, e
	}
	img, err := webp.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, failFrom(WebP, err, false)
	}
	switch m := img.(type) {
	case *image.YCbCr:
		p.Image = fromVP8(m, nil, 0)
	case *image.NYCbCrA:
		p.Image = fromVP8(&m.YCbCr, m.A, m.AStride)
	default:
		p.Image = canonical(img)
	}
	p.Orientation = exifOrientation(p.Meta.EXIF)
	return p, nil
}

// parseWebP checks the size and gathers the metadata.
func (p *Picture) parseWebP(chunks []webpChunk, lim Limits) *Error {
	pixels := false
	for _, c := range chunks {
		if w, h, ok := c.size(); ok {
			if e := lim.checkSize(w, h); e != nil {
				return e
			}
		}
		switch c.name {
		case "ANIM", "ANMF":
			return fail(KindAnimated, "the WebP is animated; export the frame to be marked as a still picture")
		case "VP8X":
			if len(c.data) > 0 && c.data[0]&vp8xAnimation != 0 {
				return fail(KindAnimated, "the WebP is animated; export the frame to be marked as a still picture")
			}
		case "VP8 ", "VP8L":
			pixels = true
			if c.name == "VP8 " {
				p.vp8 = vp8Quality(c.data)
			}
		case "ALPH":
		default:
			p.Meta.Blocks = append(p.Meta.Blocks, Block{Name: c.name, Data: c.data, AfterPixels: pixels})
		}
		switch c.name {
		case "EXIF":
			p.Meta.EXIF = bytes.TrimPrefix(c.data, []byte(sigEXIF)) // some writers keep JPEG's prefix
		case "XMP ":
			p.Meta.XMP = c.data
		case "ICCP":
			p.Meta.ICC = c.data
		}
	}
	if !pixels {
		return fail(KindCorrupt, "the WebP has no picture data; export it again")
	}
	return nil
}

// size reads the dimensions a chunk claims: VP8X (canvas), VP8 (RFC 6386, 9.1) or VP8L (lossless
// bitstream specification, 3).
func (c webpChunk) size() (w, h int, ok bool) {
	d := c.data
	switch {
	case c.name == "VP8X" && len(d) >= 10:
		return 1 + int(d[4]) + int(d[5])<<8 + int(d[6])<<16, 1 + int(d[7]) + int(d[8])<<8 + int(d[9])<<16, true
	case c.name == "VP8 " && len(d) >= 10:
		return int(binary.LittleEndian.Uint16(d[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(d[8:]) & 0x3fff), true
	case c.name == "VP8L" && len(d) >= 5:
		v := binary.LittleEndian.Uint32(d[1:])
		return int(v&0x3fff) + 1, int(v>>14&0x3fff) + 1, true
	}
	return 0, 0, false
}

// fromVP8 converts VP8's 4:2:0 YUV to NRGBA as libwebp does, to the bit: studio range BT.601 in 14-bit fixed
// point, chroma interpolated between its centres (9, 3, 3, 1)/16. Treating it as JFIF YCbCr, as the
// image type suggests, would wash the picture out. alpha may be nil for an opaque picture.
func fromVP8(m *image.YCbCr, alpha []byte, alphaStride int) *image.NRGBA {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	dst := image.NewNRGBA(image.Rect(0, 0, w, h))
	cw, ch := (w+1)/2, (h+1)/2
	u, v := make([]byte, w), make([]byte, w)
	for y := range h {
		near := y / 2
		far := near - 1 + y&1*2 // the chroma row on the other side of this luma row
		far = min(max(far, 0), ch-1)
		chromaRow(u, m.Cb[near*m.CStride:][:cw], m.Cb[far*m.CStride:][:cw])
		chromaRow(v, m.Cr[near*m.CStride:][:cw], m.Cr[far*m.CStride:][:cw])
		lum := m.Y[y*m.YStride:][:w]
		row := dst.Pix[y*dst.Stride:][:4*w]
		for x, l := range lum {
			d := row[4*x : 4*x+4 : 4*x+4]
			d[0], d[1], d[2] = studioRGB(int32(l), int32(u[x]), int32(v[x]))
			d[3] = 255
		}
		if alpha != nil {
			for x, a := range alpha[y*alphaStride:][:w] {
				row[4*x+3] = a
			}
		}
	}
	return dst
}

// chromaRow interpolates one chroma row to luma's width: of the four nearest samples the nearest weighs
// 9/16, its neighbours in row and column 3/16, the diagonal one 1/16, in libwebp's order of rounding.
func chromaRow(out, near, far []byte) {
	for x := range out {
		c := x / 2
		o := c - 1 + x&1*2
		o = min(max(o, 0), len(near)-1)
		if o == c { // at the edge only the vertical neighbour is left
			out[x] = byte((3*int(near[c]) + int(far[c]) + 2) >> 2)
			continue
		}
		a, b, d, e := int(near[c]), int(near[o]), int(far[c]), int(far[o])
		out[x] = byte(((a+3*(b+d)+e+8)>>3 + a) >> 1)
	}
}

// studioRGB converts one sample, 16..235 and 16..240 around 128, to full-range RGB (ITU-R BT.601). The
// factors are 255/219, 1.402*255/224, 0.344136*255/224, 0.714136*255/224 and 1.772*255/224 with
// 14 fraction bits; products lose their 8 low bits before they are added, as in libwebp.
func studioRGB(y, u, v int32) (r, g, b byte) {
	l := y * 19077 >> 8
	r = clip6(l + v*26149>>8 - 14234)
	g = clip6(l - u*6419>>8 - v*13320>>8 + 8708)
	b = clip6(l + u*33050>>8 - 17685)
	return r, g, b
}

// clip6 gives v/64 limited to 0..255.
func clip6(v int32) byte {
	return byte(min(max(v>>6, 0), 255))
}

// encodeWebP writes the pixels by libwebp and, where there is metadata, rebuilds the container in
// the order the specification asks: VP8X, ICCP, pixels, EXIF, XMP, unknown chunks.
func encodeWebP(w io.Writer, p *Picture, img image.Image, opt EncodeOptions) error {
	b := img.Bounds()
	if opt.Quality == 0 {
		opt.Quality = p.vp8
	}
	lossless := opt.Lossless || opt.Quality == 0
	if b.Dx() > webpMaxSide || b.Dy() > webpMaxSide {
		return fail(KindUnsupported, "%d x %d pixels do not fit a WebP (%d a side); deliver as PNG", b.Dx(), b.Dy(), webpMaxSide)
	}
	if lossless && is16(img) {
		return fail(KindUnsupported, "WebP has 8 bits a sample, so 16 bits would be lost; deliver as PNG, or choose a WebP quality")
	}
	o := libwebp.Options{Quality: opt.Quality, Method: webpLossyMethod, Exact: true}
	if lossless {
		o = libwebp.Options{Lossless: true, Quality: webpLosslessEffort, Exact: true}
	} else if opt.Fast {
		o.Method = 0
	}
	var buf bytes.Buffer
	colour := rgba8(to8(img))
	if err := libwebp.Encode(&buf, colour, o); err != nil {
		return &Error{Kind: KindUnsupported, Err: err, Detail: "libwebp could not write the picture; deliver as PNG"}
	}
	var blocks []Block
	if !opt.StripMetadata {
		blocks = webpBlocks(p)
	}
	if len(blocks) == 0 {
		_, err := w.Write(buf.Bytes())
		return err
	}
	out, e := extendWebP(buf.Bytes(), blocks, b, hasAlpha(img))
	if e != nil {
		return e
	}
	_, err := w.Write(out)
	return err
}

// What libwebp is asked to spend, by CPU time on a textured megapixel with the embedded encoder: lossless
// at method 0, effort 25 takes 0.20 s; method 2 takes 0.72 s for 5 % less, method 2 at effort 50 1.1 s for
// 10 % less. Lossy at quality 90 takes 0.25 s at method 2, 0.15 s at 0, 0.57 s at 4, for files
// within 2 % of each other.
const (
	webpLossyMethod    = 2
	webpLosslessEffort = 25
)

// rgba8 gives an 8-bit image as NRGBA: WebP has no grey.
func rgba8(img image.Image) *image.NRGBA {
	if m, ok := img.(*image.NRGBA); ok {
		return m
	}
	g := img.(*image.Gray)
	dst := image.NewNRGBA(g.Rect)
	for i, v := range g.Pix {
		d := dst.Pix[4*i : 4*i+4 : 4*i+4]
		d[0], d[1], d[2], d[3] = v, v, v, 255
	}
	return dst
}

// webpBlocks gives the metadata chunks to write: those of the source if it was a WebP, else new ones
// made from the understood parts.
func webpBlocks(p *Picture) []Block {
	var out []Block
	add := func(name string, d []byte) {
		if len(d) > 0 {
			out = append(out, Block{Name: name, Data: d})
		}
	}
	if p.Format != WebP {
		if iccFits(p.Meta.ICC, false) {
			add("ICCP", p.Meta.ICC)
		}
		add("EXIF", uprightEXIF(p.Meta.EXIF))
		add("XMP ", uprightXMP(p.Meta.XMP))
		return out
	}
	for _, b := range p.Meta.Blocks {
		switch b.Name {
		case "VP8X":
			continue
		case "EXIF":
			if bytes.HasPrefix(b.Data, []byte(sigEXIF)) {
				b.Data = withPrefix(sigEXIF, b.Data, uprightEXIF)
			} else {
				b.Data = uprightEXIF(b.Data)
			}
		case "XMP ":
			b.Data = uprightXMP(b.Data)
		}
		add(b.Name, b.Data)
	}
	return out
}

// extendWebP puts blocks around the pixel chunks of a freshly encoded file.
func extendWebP(file []byte, blocks []Block, b image.Rectangle, alpha bool) ([]byte, *Error) {
	chunks, e := webpChunks(file)
	if e != nil {
		return nil, e
	}
	flags := map[string]byte{"ICCP": vp8xICC, "EXIF": vp8xEXIF, "XMP ": vp8xXMP}
	vp8x := make([]byte, 10)
	if alpha {
		vp8x[0] |= vp8xAlpha
	}
	out := []byte("RIFF\x00\x00\x00\x00WEBP")
	var front, back []byte
	for _, block := range blocks {
		vp8x[0] |= flags[block.Name]
		if block.Name == "ICCP" {
			front = appendRIFF(front, block.Name, block.Data)
		} else {
			back = appendRIFF(back, block.Name, block.Data)
		}
	}
	w, h := b.Dx()-1, b.Dy()-1
	copy(vp8x[4:], []byte{byte(w), byte(w >> 8), byte(w >> 16), byte(h), byte(h >> 8), byte(h >> 16)})
	out = append(appendRIFF(out, "VP8X", vp8x), front...)
	for _, c := range chunks {
		if c.name == "ALPH" || c.name == "VP8 " || c.name == "VP8L" {
			out = appendRIFF(out, c.name, c.data)
		}
	}
	out = append(out, back...)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)-8))
	return out, nil
}

func appendRIFF(out []byte, name string, data []byte) []byte {
	out = append(out, name...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(data)))
	out = append(out, data...)
	if len(data)%2 == 1 {
		out = append(out, 0)
	}
	return out
}
