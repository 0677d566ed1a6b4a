// Package signal holds the numbers under the mark: planes of samples, colour conversion, filters,
// folding, transforms and the two quality figures (PSNR, SSIM).
//
// Everything here is pure and deterministic. Where a result decides a pixel, products that could be
// fused with a following addition are rounded explicitly, so that every platform gives the same bits.
// Wrong shapes are the caller's mistake and panic with "signal: ...".
package signal

import (
	"fmt"
	"image"
)

// Plane is a W x H field of samples in row-major order without padding: the sample of column x and
// row y is Pix[y*W+x]. Luma and chroma planes are in 8-bit units, 0 to 255 and -128 to 127.
type Plane struct {
	W, H int
	Pix  []float32
}

// NewPlane returns a zero plane. It panics if a side is not positive.
func NewPlane(w, h int) *Plane {
	if w <= 0 || h <= 0 {
		panic(fmt.Sprintf("signal: plane of %d x %d", w, h))
	}
	return &Plane{W: w, H: h, Pix: make([]float32, w*h)}
}

// Row returns row y, aliasing the plane.
func (p *Plane) Row(y int) []float32 { return p.Pix[y*p.W : (y+1)*p.W] }

// Crop returns a copy of the samples of p inside r. It panics if r is empty or reaches beyond p.
func Crop(p *Plane, r image.Rectangle) *Plane {
	if r.Empty() || !r.In(image.Rect(0, 0, p.W, p.H)) {
		panic(fmt.Sprintf("signal: crop of %d x %d to %v", p.W, p.H, r))
	}
	c := NewPlane(r.Dx(), r.Dy())
	for y := range c.H {
		copy(c.Row(y), p.Row(r.Min.Y + y)[r.Min.X:r.Max.X])
	}
	return c
}
