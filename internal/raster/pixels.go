package raster

import (
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
)

// canonical gives img as one of the four types of this package, bounds from (0,0), stride without
// padding. It aliases the pixels of img where nothing has to change.
func canonical(img image.Image) image.Image {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	switch m := img.(type) {
	case *image.Gray:
		return &image.Gray{Pix: tight(m.Pix, m.PixOffset(b.Min.X, b.Min.Y), m.Stride, w, h), Stride: w, Rect: image.Rect(0, 0, w, h)}
	case *image.Gray16:
		return &image.Gray16{Pix: tight(m.Pix, m.PixOffset(b.Min.X, b.Min.Y), m.Stride, 2*w, h), Stride: 2 * w, Rect: image.Rect(0, 0, w, h)}
	case *image.NRGBA:
		return &image.NRGBA{Pix: tight(m.Pix, m.PixOffset(b.Min.X, b.Min.Y), m.Stride, 4*w, h), Stride: 4 * w, Rect: image.Rect(0, 0, w, h)}
	case *image.NRGBA64:
		return &image.NRGBA64{Pix: tight(m.Pix, m.PixOffset(b.Min.X, b.Min.Y), m.Stride, 8*w, h), Stride: 8 * w, Rect: image.Rect(0, 0, w, h)}
	case *image.RGBA:
		return unpremultiply(tight(m.Pix, m.PixOffset(b.Min.X, b.Min.Y), m.Stride, 4*w, h), w, h)
	case *image.RGBA64:
		return unpremultiply16(tight(m.Pix, m.PixOffset(b.Min.X, b.Min.Y), m.Stride, 8*w, h), w, h)
	case *image.YCbCr:
		return fromYCbCr(m)
	case *image.Paletted:
		return fromPalette(m)
	}
	dst := image.NewNRGBA(image.Rect(0, 0, w, h))
	draw.Draw(dst, dst.Rect, img, b.Min, draw.Src)
	return dst
}

// tight gives rows of rowBytes each without gaps, aliasing pix when it has none.
func tight(pix []byte, offset, stride, rowBytes, h int) []byte {
	if stride == rowBytes {
		return pix[offset : offset+rowBytes*h : offset+rowBytes*h]
	}
	out := make([]byte, rowBytes*h)
	for y := range h {
		copy(out[y*rowBytes:(y+1)*rowBytes], pix[offset+y*stride:])
	}
	return out
}

// unpremultiply turns 8-bit RGBA with premultiplied alpha into NRGBA with the rounding of
// color.NRGBAModel. It reuses pix, which an opaque picture leaves unchanged.
func unpremultiply(pix []byte, w, h int) *image.NRGBA {
	opaque := true
	for i := 3; i < len(pix) && opaque; i += 4 {
		opaque = pix[i] == 255
	}
	if !opaque {
		out := make([]byte, len(pix))
		for i := 0; i < len(pix); i += 4 {
			c := color.NRGBAModel.Convert(clampRGBA(pix[i], pix[i+1], pix[i+2], pix[i+3])).(color.NRGBA)
			out[i], out[i+1], out[i+2], out[i+3] = c.R, c.G, c.B, c.A
		}
		pix = out
	}
	return &image.NRGBA{Pix: pix, Stride: 4 * w, Rect: image.Rect(0, 0, w, h)}
}

// clampRGBA limits a premultiplied colour to its alpha: files may hold nonsense there.
func clampRGBA(r, g, b, a byte) color.RGBA {
	return color.RGBA{R: min(r, a), G: min(g, a), B: min(b, a), A: a}
}

// unpremultiply16 is unpremultiply for 16 bits, with the rounding of color.NRGBA64Model.
func unpremultiply16(pix []byte, w, h int) *image.NRGBA64 {
	opaque := true
	for i := 6; i < len(pix) && opaque; i += 8 {
		opaque = pix[i] == 255 && pix[i+1] == 255
	}
	if opaque {
		return &image.NRGBA64{Pix: pix, Stride: 8 * w, Rect: image.Rect(0, 0, w, h)}
	}
	out := make([]byte, len(pix))
	be := binary.BigEndian
	for i := 0; i < len(pix); i += 8 {
		r, g, b, a := be.Uint16(pix[i:]), be.Uint16(pix[i+2:]), be.Uint16(pix[i+4:]), be.Uint16(pix[i+6:])
		c := color.NRGBA64{R: r, G: g, B: b, A: a}
		if a != 0xffff {
			c = color.NRGBA64Model.Convert(color.RGBA64{R: min(r, a), G: min(g, a), B: min(b, a), A: a}).(color.NRGBA64)
		}
		be.PutUint16(out[i:], c.R)
		be.PutUint16(out[i+2:], c.G)
		be.PutUint16(out[i+4:], c.B)
		be.PutUint16(out[i+6:], c.A)
	}
	return &image.NRGBA64{Pix: out, Stride: 8 * w, Rect: image.Rect(0, 0, w, h)}
}

// fromPalette looks every index up; an index beyond the palette is transparent black.
func fromPalette(m *image.Paletted) *image.NRGBA {
	var table [256][4]byte
	for i, c := range m.Palette {
		if i >= len(table) {
			break
		}
		n := color.NRGBAModel.Convert(c).(color.NRGBA)
		table[i] = [4]byte{n.R, n.G, n.B, n.A}
	}
	b := m.Bounds()
	dst := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		src := m.Pix[m.PixOffset(b.Min.X, b.Min.Y+y):][:b.Dx()]
		row := dst.Pix[y*dst.Stride:][:4*len(src)]
		for x, v := range src {
			copy(row[4*x:4*x+4], table[v][:])
		}
	}
	return dst
}

// fromYCbCr converts JFIF YCbCr (full range) of any subsampling to opaque NRGBA. Each value is that
// of color.YCbCrToRGB for the sample's own luma and its nearest chroma.
func fromYCbCr(m *image.YCbCr) *image.NRGBA {
	b := m.Bounds()
	w, h := b.Dx(), b.Dy()
	dst := image.NewNRGBA(image.Rect(0, 0, w, h))
	shift := chromaShift(m.SubsampleRatio)
	for y := range h {
		lum := m.Y[m.YOffset(b.Min.X, b.Min.Y+y):][:w]
		co := m.COffset(b.Min.X, b.Min.Y+y)
		first := b.Min.X >> shift
		cw := (b.Min.X+w-1)>>shift - first + 1
		ycbcrRow(dst.Pix[y*dst.Stride:][:4*w], lum, m.Cb[co:][:cw], m.Cr[co:][:cw], shift, b.Min.X-first<<shift)
	}
	return dst
}

// chromaShift gives the binary logarithm of the horizontal chroma step.
func chromaShift(r image.YCbCrSubsampleRatio) uint {
	switch r {
	case image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420:
		return 1
	case image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410:
		return 2
	}
	return 0
}

// ycbcrRow converts one row; phase is how far into its first chroma sample the row begins. The
// 16-bit fixed-point factors are 1.402, 0.344136, 0.714136 and 1.772 (JFIF 1.02), rounded as
// image/color rounds them.
func ycbcrRow(dst, lum, cb, cr []byte, shift uint, phase int) {
	for x, v := range lum {
		c := (x + phase) >> shift
		yy := int32(v) * 0x10101
		b, r := int32(cb[c])-128, int32(cr[c])-128
		d := dst[4*x : 4*x+4 : 4*x+4]
		d[0] = clip16(yy + 91881*r)
		d[1] = clip16(yy - 22554*b - 46802*r)
		d[2] = clip16(yy + 116130*b)
		d[3] = 255
	}
}

// clip16 gives v/65536 limited to 0..255.
func clip16(v int32) byte {
	if uint32(v)&0xff000000 == 0 {
		return byte(v >> 16)
	}
	return byte(^(v >> 31))
}

// is16 reports whether a canonical image has 16 bits a sample.
func is16(img image.Image) bool {
	switch img.(type) {
	case *image.Gray16, *image.NRGBA64:
		return true
	}
	return false
}

// isGrey reports whether a canonical image has one channel.
func isGrey(img image.Image) bool {
	switch img.(type) {
	case *image.Gray, *image.Gray16:
		return true
	}
	return false
}

// hasAlpha reports whether any pixel of a canonical image is not opaque.
func hasAlpha(img image.Image) bool {
	switch m := img.(type) {
	case *image.NRGBA:
		return !m.Opaque()
	case *image.NRGBA64:
		return !m.Opaque()
	}
	return false
}

// to8 gives a canonical image with 8 bits a sample, rounding 16-bit samples v to the nearest of
// v/257. 8-bit images come back as they are.
func to8(img image.Image) image.Image {
	narrow := func(src []byte) []byte {
		dst := make([]byte, len(src)/2)
		for i := range dst {
			v := uint32(src[2*i])<<8 | uint32(src[2*i+1])
			dst[i] = byte((v*255 + 32767) / 65535)
		}
		return dst
	}
	switch m := img.(type) {
	case *image.Gray16:
		return &image.Gray{Pix: narrow(m.Pix), Stride: m.Stride / 2, Rect: m.Rect}
	case *image.NRGBA64:
		return &image.NRGBA{Pix: narrow(m.Pix), Stride: m.Stride / 2, Rect: m.Rect}
	}
	return img
}
