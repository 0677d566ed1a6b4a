package iscc

import (
	"image"
	"image/color"
)

// Normalise makes the Side x Side grey version of a picture as the reference does: transparency on white, an
// even border of the upper left pixel's colour cut off (nothing, where the whole picture is of one colour), then
// grey, then bicubic reduction to the square whatever the proportions. Samples of 16 bits count by their high
// byte. It panics on an empty picture.
func Normalise(img image.Image) Pixels {
	s := sourceOf(img)
	return reduce(s, trimmed(s))
}

// Uncut is Normalise without cutting the border off: for comparison with a picture whose border compression or a
// mark has made uneven. Where Bordered, it gives no code of the standard. It panics on an empty picture.
func Uncut(img image.Image) Pixels {
	s := sourceOf(img)
	return reduce(s, s.whole())
}

// Bordered says whether Normalise cuts anything off a picture. It panics on an empty picture.
func Bordered(img image.Image) bool {
	s := sourceOf(img)
	return trimmed(s) != s.whole()
}

// rgb is an opaque pixel, 8 bits a colour.
type rgb struct{ r, g, b uint8 }

// grey is luma as ITU-R 601-2 has it, in fixed point with 16 bits, rounded.
func (c rgb) grey() uint8 {
	return uint8((19595*uint32(c.r) + 38470*uint32(c.g) + 7471*uint32(c.b) + 0x8000) >> 16)
}

// onWhite puts a pixel that is not premultiplied on white, rounded.
func onWhite(r, g, b, a uint8) rgb {
	if a == 255 {
		return rgb{r, g, b}
	}
	over := func(c uint8) uint8 {
		return uint8((uint32(c)*uint32(a) + 255*uint32(255-a) + 127) / 255)
	}
	return rgb{over(r), over(g), over(b)}
}

// source is a picture whose corner is at 0, 0.
type source struct {
	w, h int
	at   func(x, y int) rgb
}

func (s source) whole() image.Rectangle { return image.Rect(0, 0, s.w, s.h) }

func sourceOf(img image.Image) source {
	b := img.Bounds()
	if b.Empty() {
		panic("iscc: the picture is empty")
	}
	s := source{w: b.Dx(), h: b.Dy()}
	switch m := img.(type) {
	case *image.Gray:
		s.at = func(x, y int) rgb {
			v := m.Pix[m.PixOffset(b.Min.X+x, b.Min.Y+y)]
			return rgb{v, v, v}
		}
	case *image.Gray16:
		s.at = func(x, y int) rgb {
			v := m.Pix[m.PixOffset(b.Min.X+x, b.Min.Y+y)]
			return rgb{v, v, v}
		}
	case *image.NRGBA:
		s.at = func(x, y int) rgb {
			p := m.Pix[m.PixOffset(b.Min.X+x, b.Min.Y+y):][:4]
			return onWhite(p[0], p[1], p[2], p[3])
		}
	case *image.NRGBA64:
		s.at = func(x, y int) rgb {
			p := m.Pix[m.PixOffset(b.Min.X+x, b.Min.Y+y):][:8]
			return onWhite(p[0], p[2], p[4], p[6])
		}
	default:
		s.at = func(x, y int) rgb {
			c := color.NRGBA64Model.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA64)
			return onWhite(uint8(c.R>>8), uint8(c.G>>8), uint8(c.B>>8), uint8(c.A>>8))
		}
	}
	return s
}

// trimmed returns the smallest rectangle with everything that differs from the upper left pixel; all of the
// picture if nothing does.
func trimmed(s source) image.Rectangle {
	border := s.at(0, 0)
	even := func(y int) bool {
		for x := range s.w {
			if s.at(x, y) != border {
				return false
			}
		}
		return true
	}
	top := 0
	for top < s.h && even(top) {
		top++
	}
	if top == s.h {
		return s.whole()
	}
	bottom := s.h
	for even(bottom - 1) {
		bottom--
	}
	left, right := s.w, 0
	for y := top; y < bottom && (left > 0 || right < s.w); y++ {
		for x := 0; x < left; x++ {
			if s.at(x, y) != border {
				left = x
			}
		}
		for x := s.w; x > right; x-- {
			if s.at(x-1, y) != border {
				right = x
			}
		}
	}
	return image.Rect(left, top, right, bottom)
}
