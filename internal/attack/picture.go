package attack

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"

	"github.com/gen2brain/webp"
)

// opaque8 returns a new opaque 8-bit copy of img at the origin, without row padding: 16-bit samples
// rounded to nearest, transparent pixels composited on white in the samples' own (gamma) space. An
// opaque 8-bit picture is copied exactly.
func opaque8(img image.Image) *image.NRGBA {
	b := img.Bounds()
	if b.Empty() {
		panic("attack: empty picture")
	}
	p := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		dst := p.Pix[y*p.Stride:][:p.Stride]
		switch img := img.(type) {
		case *image.NRGBA:
			rowNRGBA(dst, img.Pix[y*img.Stride:])
		case *image.NRGBA64:
			rowNRGBA64(dst, img.Pix[y*img.Stride:])
		case *image.Gray:
			rowGray(dst, img.Pix[y*img.Stride:])
		case *image.Gray16:
			rowGray16(dst, img.Pix[y*img.Stride:])
		default:
			panic(fmt.Sprintf("attack: picture of type %T", img))
		}
	}
	return p
}

// The row functions fill dst, an opaque NRGBA row, from the start of a row of another Pix field.

func rowNRGBA(dst, src []byte) {
	for i := 0; i < len(dst); i += 4 {
		a := uint32(src[i+3])
		for c := range 3 {
			v := uint32(src[i+c])
			dst[i+c] = uint8((v*a + 255*(255-a) + 127) / 255)
		}
		dst[i+3] = 255
	}
}

func rowNRGBA64(dst, src []byte) {
	for i := 0; i < len(dst); i += 4 {
		const one = 65535
		a := be16(src[2*i+6:])
		for c := range 3 {
			v := be16(src[2*i+2*c:])
			dst[i+c] = to8((v*a + one*(one-a) + one/2) / one)
		}
		dst[i+3] = 255
	}
}

func rowGray(dst, src []byte) {
	for i := 0; i < len(dst); i += 4 {
		v := src[i/4]
		dst[i], dst[i+1], dst[i+2], dst[i+3] = v, v, v, 255
	}
}

func rowGray16(dst, src []byte) {
	for i := 0; i < len(dst); i += 4 {
		v := to8(be16(src[i/2:]))
		dst[i], dst[i+1], dst[i+2], dst[i+3] = v, v, v, 255
	}
}

// be16 reads a big-endian 16-bit sample.
func be16(b []byte) uint64 { return uint64(b[0])<<8 | uint64(b[1]) }

// to8 rounds a 16-bit sample to the nearest 8-bit one: 65535 is 255 x 257.
func to8(v uint64) uint8 { return uint8((v + 128) / 257) }

// copyOf returns a copy in the picture's own type, at the origin.
func copyOf(img image.Image, _ uint64) image.Image {
	b := img.Bounds()
	if b.Empty() {
		panic("attack: empty picture")
	}
	r := image.Rect(0, 0, b.Dx(), b.Dy())
	rows := func(dst []byte, dstStride int, src []byte, srcStride int) {
		for y := range b.Dy() {
			copy(dst[y*dstStride:][:dstStride], src[y*srcStride:])
		}
	}
	switch img := img.(type) {
	case *image.NRGBA:
		c := image.NewNRGBA(r)
		rows(c.Pix, c.Stride, img.Pix, img.Stride)
		return c
	case *image.NRGBA64:
		c := image.NewNRGBA64(r)
		rows(c.Pix, c.Stride, img.Pix, img.Stride)
		return c
	case *image.Gray:
		c := image.NewGray(r)
		rows(c.Pix, c.Stride, img.Pix, img.Stride)
		return c
	case *image.Gray16:
		c := image.NewGray16(r)
		rows(c.Pix, c.Stride, img.Pix, img.Stride)
		return c
	}
	panic(fmt.Sprintf("attack: picture of type %T", img))
}

// jpegAt writes a baseline JPEG of the given quality (the libjpeg scale, 1 to 100) with image/jpeg,
// which halves the chroma both ways (4:2:0), and reads it back.
func jpegAt(quality int) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA {
		var file bytes.Buffer
		must("jpeg", jpeg.Encode(&file, asRGBA(p), &jpeg.Options{Quality: quality}))
		back, err := jpeg.Decode(&file)
		must("jpeg", err)
		return fromDecoder(back)
	}
}

// webp75 writes a lossy WebP of quality 75, method 4 (libwebp's defaults), and reads it back.
//
// DecodeAll, not Decode: the latter hands out WebP's limited-range YUV as an image whose colours Go
// takes for full range, which turns (250, 20, 128) into (233, 32, 126).
func webp75(p *image.NRGBA) *image.NRGBA {
	var file bytes.Buffer
	must("webp", webp.Encode(&file, p, webp.Options{Quality: 75, Method: webp.DefaultMethod}))
	back, err := webp.DecodeAll(&file)
	must("webp", err)
	return fromDecoder(back.Image[0])
}

// asRGBA views an opaque picture as *image.RGBA, for which image/jpeg has a fast path: without alpha
// the two types hold the same bytes.
func asRGBA(p *image.NRGBA) *image.RGBA {
	return &image.RGBA{Pix: p.Pix, Stride: p.Stride, Rect: p.Rect}
}

// fromDecoder copies a decoded opaque picture into an *image.NRGBA.
func fromDecoder(img image.Image) *image.NRGBA {
	p := image.NewNRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(asRGBA(p), p.Rect, img, img.Bounds().Min, draw.Src) // fast for *image.YCbCr
	return p
}
