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
	y = NewPlane(w, h)
	switch m := img.(type) {
	case *image.Gray:
		for r := 0; r < h; r++ {
			src, dst := m.Pix[r*m.Stride:r*m.Stride+w], y.Row(r)
			for x, v := range src {
				dst[x] = float32(v)
			}
		}
		return y, nil, nil
	case *image.Gray16:
		for r := 0; r < h; r++ {
			src, dst := m.Pix[r*m.Stride:r*m.Stride+2*w], y.Row(r)
			for x := range dst {
				dst[x] = from16(src[2*x], src[2*x+1])
			}
		}
		return y, nil, nil
	case *image.NRGBA:
		cb, cr = NewPlane(w, h), NewPlane(w, h)
		for r := 0; r < h; r++ {
			split8(m.Pix[r*m.Stride:r*m.Stride+4*w], y.Row(r), cb.Row(r), cr.Row(r))
		}
		return y, cb, cr
	case *image.NRGBA64:
		cb, cr = NewPlane(w, h), NewPlane(w, h)
		for r := 0; r < h; r++ {
			split16(m.Pix[r*m.Stride:r*m.Stride+8*w], y.Row(r), cb.Row(r), cr.Row(r))
		}
		return y, cb, cr
	}
	panic(fmt.Sprintf("signal: picture of type %T", img))
}

func split8(src []uint8, y, cb, cr []float32) {
	cb, cr = cb[:len(y)], cr[:len(y)]
	for x := range y {
		p := src[4*x : 4*x+4 : 4*x+4]
		split(float32(p[0]), float32(p[1]), float32(p[2]), y, cb, cr, x)
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
	l := float32(float32(kr*r)+float32(kg*g)) + float32(kb*b)
	y[x] = l
	cb[x] = (b - l) * (0.5 / (1 - kb))
	cr[x] = (r - l) * (0.5 / (1 - kr))
}

func from16(hi, lo uint8) float32 { return float32(uint16(hi)<<8|uint16(lo)) / 257 }
