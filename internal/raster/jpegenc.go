package raster

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"
	"math/bits"
	"slices"
)

// sampling factors of luma for each subsampling this encoder writes; chroma has 1x1.
var samplings = map[string][2]int{
	"4:4:4": {1, 1},
	"4:2:2": {2, 1},
	"4:2:0": {2, 2},
	"4:4:0": {1, 2},
}

// jpegFront is what stands before the frame header.
type jpegFront struct {
	density Density
	blocks  []Block
	noAPP0  bool       // blocks hold the source's own APP0, or it had none
	quant   []*[64]int // a table for each component, zig-zag order, entries 1 to 65535; nil for Annex K at the quality
}

// EncodeJPEG writes img as a baseline JPEG (ITU-T T.81, JFIF 1.02) without metadata. quality is 1 to
// 100 on the IJG scale; subsampling is "4:4:4", "4:2:2", "4:2:0" or "4:4:0", and "" is 4:4:4. Grey
// images give a one-component file. Huffman tables are made for the picture.
//
// The same pixels give the same bytes on every platform: colours are fixed point, the transform is
// float32 without fused operations. Chroma is averaged over its block without rounding first. Any
// image type is accepted; transparency is refused with kind "unsupported", 16 bits are rounded to 8.
func EncodeJPEG(w io.Writer, img image.Image, quality int, subsampling string) error {
	return asError(encodeJPEG(w, canonical(img), quality, subsampling, jpegFront{}))
}

func encodeJPEG(w io.Writer, img image.Image, quality int, subsampling string, front jpegFront) error {
	if subsampling == "" {
		subsampling = "4:4:4"
	}
	factors, ok := samplings[subsampling]
	b := img.Bounds()
	switch {
	case !ok:
		return fail(KindUnsupported, "chroma subsampling %q; choose 4:4:4, 4:2:2, 4:2:0 or 4:4:0", subsampling)
	case quality < 1 || quality > 100:
		return fail(KindUnsupported, "JPEG quality %d; choose 1 to 100", quality)
	case b.Empty():
		return fail(KindZeroSize, "the picture has no pixels to write")
	case b.Dx() > 65535 || b.Dy() > 65535:
		return fail(KindUnsupported, "%d x %d pixels do not fit a JPEG (65535 a side); deliver as PNG", b.Dx(), b.Dy())
	case hasAlpha(img):
		return fail(KindUnsupported, "the picture has transparency, which JPEG has not; deliver as PNG or WebP")
	}
	e := newJPEGEncoder(to8(img), quality, factors, front.quant)
	e.scan()
	return e.write(w, front)
}

// jpegEncoder writes in two passes: the first transforms and quantises every block into tokens and
// counts symbols, the second writes the tokens with tables made for those counts.
type jpegEncoder struct {
	img    image.Image // *image.Gray or *image.NRGBA, canonical
	w, h   int
	hs, vs int // luma sampling factors
	comps  int

	quant  [3][64]int     // of each component, zig-zag order
	recip  [3][64]float32 // factor from fdct8's output to quantised coefficient, zig-zag order
	lastDC [3]int32

	tokens [][]byte     // one chunk a row of MCUs, in file order
	freq   [4][256]int  // symbol counts: luma DC, luma AC, chroma DC, chroma AC
	planes [3][]float32 // one row of MCUs at full resolution
	small  [2][]float32 // the same for subsampled chroma
	stride int          // of planes: the width padded to whole MCUs
}

// Samples are fixed point with 16 fraction bits, held exactly in a float32.
const sampleScale = 1 << 16

func newJPEGEncoder(img image.Image, quality int, factors [2]int, quant []*[64]int) *jpegEncoder {
	b := img.Bounds()
	e := &jpegEncoder{img: img, w: b.Dx(), h: b.Dy(), hs: factors[0], vs: factors[1], comps: 3}
	if isGrey(img) {
		e.hs, e.vs, e.comps = 1, 1, 1
	}
	for c := range e.comps {
		if quant == nil {
			e.quant[c] = quantTable(min(c, 1), quality)
		} else {
			e.quant[c] = *quant[min(c, len(quant)-1)]
		}
		gain := float64(8 * sampleScale)
		if c > 0 {
			gain *= float64(e.hs * e.vs) // chroma is summed, not averaged
		}
		for k, at := range zigzag {
			e.recip[c][k] = float32(1 / (gain * fdctScale[at/8] * fdctScale[at%8] * float64(e.quant[c][k])))
		}
	}
	mcuW := 8 * e.hs
	e.stride = (e.w + mcuW - 1) / mcuW * mcuW
	for c := range e.comps {
		e.planes[c] = make([]float32, e.stride*8*e.vs)
	}
	if e.hs*e.vs > 1 {
		for c := range e.small {
			e.small[c] = make([]float32, e.stride/e.hs*8)
		}
	}
	return e
}

// scan is the first pass.
func (e *jpegEncoder) scan() {
	mcuH := 8 * e.vs
	var tokens []byte
	for y0 := 0; y0 < e.h; y0 += mcuH {
		for y := range mcuH {
			e.fillRow(y, min(y0+y, e.h-1))
		}
		chroma, cStride := [2][]float32{e.planes[1], e.planes[2]}, e.stride
		if e.hs*e.vs > 1 {
			e.shrink()
			chroma, cStride = e.small, e.stride/e.hs
		}
		tokens = tokens[:0]
		for x := 0; x < e.stride; x += 8 * e.hs {
			for v := range e.vs {
				for u := range e.hs {
					tokens = e.block(tokens, e.planes[0], 8*v*e.stride+x+8*u, e.stride, 0)
				}
			}
			for c := 1; c < e.comps; c++ {
				tokens = e.block(tokens, chroma[c-1], x/e.hs, cStride, c)
			}
		}
		e.tokens = append(e.tokens, bytes.Clone(tokens))
	}
}

// fillRow converts source row sy into row y of the planes, level shifted by 128, and repeats the last
// sample up to the padded width. JFIF 1.02: Y = .299 R + .587 G + .114 B, Cb = .5643 (B-Y),
// Cr = .7133 (R-Y); the factors are those times 65536, adjusted so that each row sums exactly.
func (e *jpegEncoder) fillRow(y, sy int) {
	row := y * e.stride
	lum := e.planes[0][row : row+e.stride]
	switch m := e.img.(type) {
	case *image.Gray:
		for x, v := range m.Pix[sy*m.Stride:][:e.w] {
			lum[x] = float32((int32(v) - 128) * sampleScale)
		}
	case *image.NRGBA:
		cb, cr := e.planes[1][row:row+e.stride], e.planes[2][row:row+e.stride]
		src := m.Pix[sy*m.Stride:][:4*e.w]
		for x := 0; x < e.w && len(src) >= 4; x++ {
			r, g, b := int32(src[0]), int32(src[1]), int32(src[2])
			lum[x] = float32(19595*r + 38470*g + 7471*b - 128*sampleScale)
			cb[x] = float32(32768*b - 11059*r - 21709*g)
			cr[x] = float32(32768*r - 27439*g - 5329*b)
			src = src[4:]
		}
		repeatLast(cb, e.w)
		repeatLast(cr, e.w)
	}
	repeatLast(lum, e.w)
}

func repeatLast(row []float32, n int) {
	for x := n; x < len(row); x++ {
		row[x] = row[n-1]
	}
}

// shrink sums each hs x vs block of both chroma planes. Samples are below 2^23, so sums of two are exact
// in a float32 and sums of four good to 1/32768 of a sample step.
func (e *jpegEncoder) shrink() {
	for c, dst := range e.small {
		src := e.planes[c+1]
		half := e.stride / e.hs
		for y := range 8 {
			out := dst[y*half : (y+1)*half]
			top := src[y*e.vs*e.stride:][:e.stride]
			low := src[(y*e.vs+e.vs-1)*e.stride:][:e.stride]
			switch {
			case e.hs == 2 && e.vs == 2:
				for x := range out {
					out[x] = top[2*x] + top[2*x+1] + (low[2*x] + low[2*x+1])
				}
			case e.hs == 2:
				for x := range out {
					out[x] = top[2*x] + top[2*x+1]
				}
			default:
				for x := range out {
					out[x] = top[x] + low[x]
				}
			}
		}
	}
}

// A block becomes tokens: DC, then AC up to the 63rd coefficient or the end of block. A token is one byte of symbol and
// the additional bits that follow its code, right aligned in as many bytes as they need, low byte first. The
// number of those bits is the symbol's low four bits.
func appendToken(tokens []byte, sym, extra uint32) []byte {
	switch size := sym & 15; {
	case size == 0:
		return append(tokens, byte(sym))
	case size <= 8:
		return append(tokens, byte(sym), byte(extra))
	}
	return append(tokens, byte(sym), byte(extra), byte(extra>>8))
}

// block transforms, quantises and tokenises the 8x8 block of component c that starts at plane[at]. The
// coefficients of 8-bit samples fit baseline's categories without clamping: |DC| <= 1024, |AC| < 930.
func (e *jpegEncoder) block(tokens []byte, plane []float32, at, stride, c int) []byte {
	var b [64]float32
	for y := range 8 {
		copy(b[8*y:8*y+8], plane[at+y*stride:][:8])
	}
	fdct8(&b)
	recip := &e.recip[c]
	which := min(c, 1)

	dc := roundCoef(float32(b[0] * recip[0]))
	sym, extra := magnitude(dc - e.lastDC[c])
	e.lastDC[c] = dc
	e.freq[2*which][sym]++
	tokens = appendToken(tokens, sym, extra)

	freq := &e.freq[2*which+1]
	run := uint32(0)
	for k := 1; k < 64; k++ {
		v := roundCoef(float32(b[zigzag[k]&63] * recip[k]))
		if v == 0 {
			run++
			continue
		}
		for ; run > 15; run -= 16 {
			freq[0xf0]++
			tokens = append(tokens, 0xf0)
		}
		size, extra := magnitude(v)
		sym := run<<4 | size
		freq[sym&255]++
		tokens = appendToken(tokens, sym, extra)
		run = 0
	}
	if run > 0 {
		freq[0]++
		tokens = append(tokens, 0) // end of block
	}
	return tokens
}

// roundCoef rounds to the nearest integer, |v| < 4096; halves go up. The shift into positive numbers
// makes truncation a floor.
func roundCoef(v float32) int32 { return int32(v+4096.5) - 4096 }

// magnitude gives the category of v and its additional bits (T.81, F.1.2.1).
func magnitude(v int32) (size, extra uint32) {
	sign := v >> 31
	size = uint32(bits.Len32(uint32((v ^ sign) - sign)))
	return size, uint32(v+sign) & (1<<size - 1)
}

// write is the second pass: headers, then the tokens as bits.
func (e *jpegEncoder) write(w io.Writer, front jpegFront) error {
	tables := e.huffmanTables()
	if _, err := w.Write(e.headers(front, tables)); err != nil {
		return err
	}
	var codes [4][256]uint32
	for i, t := range tables {
		codes[i] = t.codes()
	}
	bits := bitWriter{out: make([]byte, 0, 64<<10)}
	for i, chunk := range e.tokens {
		e.tokens[i] = nil
		for len(chunk) > 0 {
			for c := range e.comps {
				n := 1
				if c == 0 {
					n = e.hs * e.vs
				}
				which := min(c, 1)
				for range n {
					chunk = bits.block(chunk, &codes[2*which], &codes[2*which+1])
				}
			}
		}
		if len(bits.out) > 32<<10 {
			if _, err := w.Write(bits.out); err != nil {
				return err
			}
			bits.out = bits.out[:0]
		}
	}
	_, err := w.Write(append(bits.padded(), 0xff, mEOI))
	return err
}

// bitWriter packs codes into bytes, a zero behind each 0xff (T.81, F.1.2.3).
type bitWriter struct {
	out []byte
	acc uint64 // bits not yet written are the lowest n
	n   uint
}

// block writes the tokens of one block and gives the rest.
func (b *bitWriter) block(tokens []byte, dc, ac *[256]uint32) []byte {
	tokens, _ = b.token(tokens, dc)
	for k := 1; k < 64; k++ {
		var sym byte
		tokens, sym = b.token(tokens, ac)
		if sym == 0 {
			break
		}
		k += int(sym >> 4)
	}
	return tokens
}

// token writes one token by a table of codes and gives the rest and the symbol.
func (b *bitWriter) token(tokens []byte, codes *[256]uint32) (rest []byte, sym byte) {
	sym = tokens[0]
	code, size, extra, used := codes[sym], uint(sym&15), uint64(0), 1
	if size > 0 {
		extra, used = uint64(tokens[1]), 2
		if size > 8 {
			extra, used = extra|uint64(tokens[2])<<8, 3
		}
	}
	b.acc = b.acc<<(code&31) | uint64(code>>5)
	b.acc = b.acc<<size | extra
	for b.n += uint(code&31) + size; b.n >= 8; b.n -= 8 {
		v := byte(b.acc >> (b.n - 8))
		b.out = append(b.out, v)
		if v == 0xff {
			b.out = append(b.out, 0)
		}
	}
	return tokens[used:], sym
}

// padded gives what is left to be written, the last byte filled with ones.
func (b *bitWriter) padded() []byte {
	if b.n > 0 {
		v := byte(b.acc<<(8-b.n)) | (1<<(8-b.n) - 1)
		b.out = append(b.out, v)
		if v == 0xff {
			b.out = append(b.out, 0)
		}
	}
	return b.out
}

func (e *jpegEncoder) huffmanTables() []huffmanTable {
	tables := make([]huffmanTable, 2*min(e.comps, 2))
	for i := range tables {
		tables[i] = optimalTable(&e.freq[i])
	}
	return tables
}

// headers gives everything from SOI to SOS.
func (e *jpegEncoder) headers(front jpegFront, tables []huffmanTable) []byte {
	out := []byte{0xff, mSOI}
	if !front.noAPP0 {
		out = appendSegment(out, mAPP0, jfifSegment(front.density))
	}
	for _, b := range front.blocks {
		out = appendSegment(out, markerOf(b.Name), b.Data)
	}
	dqt, wide := e.quantSegment()
	out = appendSegment(out, mDQT, dqt)

	frame := byte(mSOF0)
	if wide {
		frame = mSOF1
	}
	sof := []byte{8, byte(e.h >> 8), byte(e.h), byte(e.w >> 8), byte(e.w), byte(e.comps)}
	sos := []byte{byte(e.comps)}
	for c := range e.comps {
		factors := byte(0x11)
		if c == 0 {
			factors = byte(e.hs<<4 | e.vs)
		}
		table := byte(min(c, 1))
		sof = append(sof, byte(c+1), factors, e.tableID(c))
		sos = append(sos, byte(c+1), table<<4|table)
	}
	out = appendSegment(out, frame, sof)

	var dht []byte
	for i, t := range tables {
		dht = append(dht, byte(i%2<<4|i/2)) // class (DC, AC) and destination
		dht = append(append(dht, t.counts[:]...), t.symbols...)
	}
	out = appendSegment(out, mDHT, dht)
	return appendSegment(out, mSOS, append(sos, 0, 63, 0))
}

// tableID gives the number of component c's quantisation table: 0 for luma, 1 for chroma, 2 for a second
// chroma component whose table is not the first's.
func (e *jpegEncoder) tableID(c int) byte {
	if c == 2 && e.quant[1] == e.quant[2] {
		return 1
	}
	return byte(c)
}

// quantSegment gives the body of DQT, and whether an entry beyond 255 calls for the extended frame header:
// baseline has 8-bit tables only (T.81, B.2.4.1).
func (e *jpegEncoder) quantSegment() (dqt []byte, wide bool) {
	for c := range e.comps {
		id := e.tableID(c)
		if int(id) != c {
			continue
		}
		if t := &e.quant[c]; slices.Max(t[:]) > 255 {
			wide = true
			dqt = append(dqt, 0x10|id)
			for _, q := range t {
				dqt = append(dqt, byte(q>>8), byte(q))
			}
		} else {
			dqt = append(dqt, id)
			for _, q := range t {
				dqt = append(dqt, byte(q))
			}
		}
	}
	return dqt, wide
}

// jfifSegment gives the body of APP0: version 1.02, density, no thumbnail.
func jfifSegment(d Density) []byte {
	out := append([]byte(sigJFIF), 1, 2, 0, 0, 1, 0, 1, 0, 0)
	if d.X > 0 && d.Y > 0 {
		out[7] = map[DensityUnit]byte{PerInch: 1, PerCM: 2}[d.Unit]
		binary.BigEndian.PutUint16(out[8:], uint16(d.X))
		binary.BigEndian.PutUint16(out[10:], uint16(d.Y))
	}
	return out
}

// appendSegment appends a marker segment; body has at most 65533 bytes.
func appendSegment(out []byte, marker byte, body []byte) []byte {
	n := len(body) + 2
	out = append(out, 0xff, marker, byte(n>>8), byte(n))
	return append(out, body...)
}
