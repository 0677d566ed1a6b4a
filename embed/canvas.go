package embed

import (
	"fmt"
	"image"
)

// canvas is a host and the marked copy being written, row by row, in one of four sample layouts.
type canvas struct {
	out      image.Image
	channels int  // 1 or 3
	deep     bool // 16-bit samples
	src, dst []uint8
	stride   int // bytes a row, source
	outRow   int // bytes a row, copy
}

func newCanvas(host image.Image) *canvas {
	r := image.Rect(0, 0, host.Bounds().Dx(), host.Bounds().Dy())
	switch m := host.(type) {
	case *image.NRGBA:
		o := image.NewNRGBA(r)
		return &canvas{out: o, channels: 3, src: m.Pix, dst: o.Pix, stride: m.Stride, outRow: o.Stride}
	case *image.NRGBA64:
		o := image.NewNRGBA64(r)
		return &canvas{out: o, channels: 3, deep: true, src: m.Pix, dst: o.Pix, stride: m.Stride, outRow: o.Stride}
	case *image.Gray:
		o := image.NewGray(r)
		return &canvas{out: o, channels: 1, src: m.Pix, dst: o.Pix, stride: m.Stride, outRow: o.Stride}
	case *image.Gray16:
		o := image.NewGray16(r)
		return &canvas{out: o, channels: 1, deep: true, src: m.Pix, dst: o.Pix, stride: m.Stride, outRow: o.Stride}
	}
	panic(fmt.Sprintf("embed: picture of type %T", host))
}

// mark writes row y of the copy: source + amplitude * tile, rounded to nearest and clipped.
func (c *canvas) mark(y int, amp []float32, t *tile, s *stats) {
	src, dst := c.src[y*c.stride:], c.dst[y*c.outRow:]
	base := int(t.rows[y]) * t.n
	switch {
	case c.channels == 1 && !c.deep:
		grey8(src, dst, amp, t.rgb[0][base:base+t.n], t.cols, s)
	case c.channels == 1:
		grey16(src, dst, amp, t.rgb[0][base:base+t.n], t.cols, s)
	case !c.deep:
		rows := [3][]float32{t.rgb[0][base : base+t.n], t.rgb[1][base : base+t.n], t.rgb[2][base : base+t.n]}
		colour8(src, dst, amp, rows, t.cols, s)
	default:
		rows := [3][]float32{t.rgb[0][base : base+t.n], t.rgb[1][base : base+t.n], t.rgb[2][base : base+t.n]}
		colour16(src, dst, amp, rows, t.cols, s)
	}
}

func colour8(src, dst []uint8, amp []float32, rows [3][]float32, cols []int32, s *stats) {
	var squares int64
	clipped := 0
	cols = cols[:len(amp)]
	tr, tg, tb := rows[0], rows[1], rows[2]
	for x, a := range amp {
		p, q := src[4*x:4*x+4:4*x+4], dst[4*x:4*x+4:4*x+4]
		q[3] = p[3]
		if p[3] == 0 {
			q[0], q[1], q[2] = p[0], p[1], p[2]
			continue
		}
		k := cols[x]
		d0, c0 := add8(p[0], float32(a*tr[k]))
		d1, c1 := add8(p[1], float32(a*tg[k]))
		d2, c2 := add8(p[2], float32(a*tb[k]))
		q[0], q[1], q[2] = uint8(int32(p[0])+d0), uint8(int32(p[1])+d1), uint8(int32(p[2])+d2)
		squares += int64(d0*d0 + d1*d1 + d2*d2)
		clipped += c0 + c1 + c2
	}
	s.squares += float64(squares)
	s.samples += 3 * len(amp)
	s.clipped += clipped
}

func grey8(src, dst []uint8, amp, row []float32, cols []int32, s *stats) {
	var squares int64
	for x, a := range amp {
		d, clip := add8(src[x], float32(a*row[cols[x]]))
		dst[x] = uint8(int32(src[x]) + d)
		squares += int64(d * d)
		s.clipped += clip
	}
	s.squares += float64(squares)
	s.samples += len(amp)
}

func colour16(src, dst []uint8, amp []float32, rows [3][]float32, cols []int32, s *stats) {
	for x, a := range amp {
		p, q := src[8*x:8*x+8:8*x+8], dst[8*x:8*x+8:8*x+8]
		copy(q, p)
		if p[6] == 0 && p[7] == 0 {
			continue
		}
		k := cols[x]
		for ch := range rows {
			add16(p[2*ch:2*ch+2], q[2*ch:2*ch+2], float32(a*rows[ch][k]), s)
		}
	}
	s.samples += 3 * len(amp)
}

func grey16(src, dst []uint8, amp, row []float32, cols []int32, s *stats) {
	for x, a := range amp {
		add16(src[2*x:2*x+2], dst[2*x:2*x+2], float32(a*row[cols[x]]), s)
	}
	s.samples += len(amp)
}

// add8 returns the change from v to round(v + d), clipped, and 1 if it was clipped. v is whole, so
// rounding the sum is rounding d.
func add8(v uint8, d float32) (int32, int) {
	r := int32(d+1024.5) - 1024 // floor(d + 1/2) for |d| < 1024
	if t := int32(v) + r; t < 0 {
		return -int32(v), 1
	} else if t > 255 {
		return 255 - int32(v), 1
	}
	return r, 0
}

// add16 writes round(v + 257 d), clipped, for big-endian samples.
func add16(src, dst []uint8, d float32, s *stats) {
	v := int32(src[0])<<8 | int32(src[1])
	r := int32(float32(d*257)+262144.5) - 262144
	t := v + r
	if t < 0 || t > 65535 {
		s.clipped++
		t = min(max(t, 0), 65535)
	}
	dst[0], dst[1] = uint8(t>>8), uint8(t)
	e := float64(t-v) / 257
	s.squares += float64(e * e)
}
