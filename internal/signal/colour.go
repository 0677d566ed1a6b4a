package signal

import (
	"fmt"
	"image"
)

// Channel numbers of a picture split by LumaChroma.
const (
	Y = iota
	Cb
	Cr
	Channels
)

// LumaChroma splits a picture into full-range BT.601 (JFIF) planes in 8-bit units: luma 0 to 255,
// chroma -128 to 127. Grey pictures have luma only: chroma is nil. Alpha is ignored.
// It panics on any type but *image.NRGBA, *image.NRGBA64, *image.Gray and *image.Gray16.
func LumaChroma(img image.Image) (y, cb, cr *Plane) {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	switch m := img.(type) {
	case *image.Gray, *image.Gray16:
		return Luma(img), nil, nil
	case *image.NRGBA:
		y, cb, cr = NewPlane(w, h), NewPlane(w, h), NewPlane(w, h)
		for r := 0; r < h; r++ {
			split8(m.Pix[r*m.Stride:r*m.Stride+4*w], y.Row(r), cb.Row(r), cr.Row(r))
		}
		return y, cb, cr
	case *image.NRGBA64:
		y, cb, cr = NewPlane(w, h), NewPlane(w, h), NewPlane(w, h)
		for r := 0; r < h; r++ {
			split16(m.Pix[r*m.Stride:r*m.Stride+8*w], y.Row(r), cb.Row(r), cr.Row(r))
		}
		return y, cb, cr
	}
	panic(fmt.Sprintf("signal: picture of type %T", img))
}

// LumaHalfChroma is LumaChroma with chroma halved by [Halve], to the last bit, in half the time: chroma of full size is
// never kept. It panics on the same types, and on colour pictures less than 2 pixels wide or high.
func LumaHalfChroma(img image.Image) (y, cb, cr *Plane) {
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	var splitRow func(r int, y, cb, cr []float32)
	switch m := img.(type) {
	case *image.NRGBA:
		splitRow = func(r int, y, cb, cr []float32) { split8(m.Pix[r*m.Stride:][:4*w], y, cb, cr) }
	case *image.NRGBA64:
		splitRow = func(r int, y, cb, cr []float32) { split16(m.Pix[r*m.Stride:][:8*w], y, cb, cr) }
	default:
		return Luma(img), nil, nil
	}
	y, cb, cr = NewPlane(w, h), NewPlane(w/2, h/2), NewPlane(w/2, h/2)
	twoCb, twoCr := NewPlane(w, 2), NewPlane(w, 2)
	for r := range h {
		splitRow(r, y.Row(r), twoCb.Row(r%2), twoCr.Row(r%2))
		if r%2 == 1 {
			halveRow(cb.Row(r/2), twoCb.Row(0), twoCb.Row(1))
			halveRow(cr.Row(r/2), twoCr.Row(0), twoCr.Row(1))
		}
	}
	return y, cb, cr
}

// Luma returns the luma plane of LumaChroma alone, for a third of its memory and time. It panics on the same types.
func Luma(img image.Image) *Plane {
	y := NewPlane(img.Bounds().Dx(), img.Bounds().Dy())
	for r := range y.H {
		LumaRow(y.Row(r), img, r)
	}
	return y
}

// LumaRow writes the luma of row r of a picture, counted from its top, to dst, whose length is the picture's
// width: what LumaChroma gives, for those who need no whole plane.
func LumaRow(dst []float32, img image.Image, r int) {
	switch m := img.(type) {
	case *image.Gray:
		for x, v := range m.Pix[r*m.Stride:][:len(dst)] {
			dst[x] = float32(v)
		}
	case *image.Gray16:
		src := m.Pix[r*m.Stride:][:2*len(dst)]
		for x := range dst {
			dst[x] = from16(src[2*x], src[2*x+1])
		}
	case *image.NRGBA:
		src := m.Pix[r*m.Stride:][:4*len(dst)]
		for x := range dst {
			p := src[4*x : 4*x+3 : 4*x+3]
			dst[x] = redLuma[p[0]] + greenLuma[p[1]] + blueLuma[p[2]]
		}
	case *image.NRGBA64:
		src := m.Pix[r*m.Stride:][:8*len(dst)]
		for x := range dst {
			p := src[8*x : 8*x+6 : 8*x+6]
			dst[x] = luma(from16(p[0], p[1]), from16(p[2], p[3]), from16(p[4], p[5]))
		}
	default:
		panic(fmt.Sprintf("signal: picture of type %T", img))
	}
}

func split8(src []uint8, y, cb, cr []float32) {
	cb, cr = cb[:len(y)], cr[:len(y)]
	for x := range y {
		p := src[4*x : 4*x+3 : 4*x+3]
		l := redLuma[p[0]] + greenLuma[p[1]] + blueLuma[p[2]]
		y[x] = l
		cb[x] = (float32(p[2]) - l) * (0.5 / (1 - kb))
		cr[x] = (float32(p[0]) - l) * (0.5 / (1 - kr))
	}
}

func split16(src []uint8, y, cb, cr []float32) {
	for x := range y {
		p := src[8*x : 8*x+6 : 8*x+6]
		split(from16(p[0], p[1]), from16(p[2], p[3]), from16(p[4], p[5]), y, cb, cr, x)
	}
}

// Weights of ITU-R BT.601-7, as JFIF uses them.
const (
	kr = 0.299
	kg = 0.587
	kb = 0.114
)

func split(r, g, b float32, y, cb, cr []float32, x int) {
	l := luma(r, g, b)
	y[x] = l
	cb[x] = (b - l) * (0.5 / (1 - kb))
	cr[x] = (r - l) * (0.5 / (1 - kr))
}

// What each 8-bit sample adds to luma: twice as fast as its conversion and product, and the same to the last bit.
var redLuma, greenLuma, blueLuma = weighed(kr), weighed(kg), weighed(kb)

func weighed(k float32) (table [256]float32) {
	for v := range table {
		table[v] = k * float32(v)
	}
	return table
}

func luma(r, g, b float32) float32 {
	return float32(float32(kr*r)+float32(kg*g)) + float32(kb*b)
}

func from16(hi, lo uint8) float32 { return float32(uint16(hi)<<8|uint16(lo)) / 257 }
