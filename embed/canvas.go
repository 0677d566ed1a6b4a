package embed

import (
	"encoding/binary"
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

// Amplitudes are whole multiples of 2^-ampBits of the reference strength; a change is then a whole number of
// 2^-changeBits levels. The sums are the same on every platform, and faster than in floating point.
const (
	ampBits    = 12
	changeBits = ampBits + tileBits
	halfLevel  = 1 << (changeBits - 1)
)

// mark writes row y of the copy: source + gain * amplitude * tile, rounded to nearest and clipped. Amplitudes are
// those of the mask.
func (c *canvas) mark(y int, gain float32, amp []float32, t *tile, s *stats) {
	src, dst := c.src[y*c.stride:], c.dst[y*c.outRow:]
	points, cols := t.row(y), t.cols[:len(amp)]
	gain *= 1 << ampBits
	switch {
	case c.channels == 1 && !c.deep:
		grey8(src[:len(amp)], dst[:len(amp)], gain, amp, points, cols, s)
	case c.channels == 1:
		grey16(src, dst, gain, amp, points, cols, s)
	case !c.deep:
		colour8(src[:4*len(amp)], dst[:4*len(amp)], gain, amp, points, cols, s)
	default:
		colour16(src, dst, gain, amp, points, cols, s)
	}
	s.samples += c.channels * len(amp)
}

// whole rounds an amplitude to the unit of ampBits.
func whole(amp, gain float32) int32 { return int32(float32(amp*gain) + 0.5) }

// change returns what an amplitude makes of a point of the tile, in levels.
func change(amp int32, point int16) int64 { return (int64(amp)*int64(point) + halfLevel) >> changeBits }

func colour8(src, dst []uint8, gain float32, amp []float32, points []point, cols []int32, s *stats) {
	var squares int64
	cols = cols[:len(amp)]
	for x, m := range amp {
		p, q := binary.LittleEndian.Uint32(src[4*x:]), dst[4*x:4*x+4:4*x+4]
		if p>>24 == 0 {
			binary.LittleEndian.PutUint32(q, p)
			continue
		}
		a, t := whole(m, gain), &points[cols[x]]
		r, g, b := int64(p&255), int64(p>>8&255), int64(p>>16&255)
		dr, dg, db := change(a, t.r), change(a, t.g), change(a, t.b)
		if uint64((r+dr)|(g+dg)|(b+db)) > 255 {
			dr, dg, db = s.clip8(r, dr), s.clip8(g, dg), s.clip8(b, db)
		}
		squares += dr*dr + dg*dg + db*db
		binary.LittleEndian.PutUint32(q, uint32(r+dr)|uint32(g+dg)<<8|uint32(b+db)<<16|p&0xff000000)
	}
	s.squares += float64(squares)
}

func grey8(src, dst []uint8, gain float32, amp []float32, points []point, cols []int32, s *stats) {
	var squares int64
	for x, m := range amp {
		v := int64(src[x])
		d := s.clip8(v, change(whole(m, gain), points[cols[x]].r))
		dst[x] = uint8(v + d)
		squares += d * d
	}
	s.squares += float64(squares)
}

func colour16(src, dst []uint8, gain float32, amp []float32, points []point, cols []int32, s *stats) {
	for x, m := range amp {
		p, q := src[8*x:8*x+8:8*x+8], dst[8*x:8*x+8:8*x+8]
		copy(q, p)
		if p[6] == 0 && p[7] == 0 {
			continue
		}
		a, t := whole(m, gain), points[cols[x]]
		for ch, v := range [3]int16{t.r, t.g, t.b} {
			add16(p[2*ch:2*ch+2], q[2*ch:2*ch+2], a, v, s)
		}
	}
}

func grey16(src, dst []uint8, gain float32, amp []float32, points []point, cols []int32, s *stats) {
	for x, m := range amp {
		add16(src[2*x:2*x+2], dst[2*x:2*x+2], whole(m, gain), points[cols[x]].r, s)
	}
}

// clip8 returns the change d, cut off where it would take v beyond 0 or 255, and counts that. It has no branches:
// which samples of a dark background clip, no processor foresees.
func (s *stats) clip8(v, d int64) int64 {
	t := v + d
	s.clipped += int(uint64(t|(255-t)) >> 63)
	return min(max(t, 0), 255) - v
}

// add16 writes v + 257 times the change, rounded and clipped, for big-endian samples.
func add16(src, dst []uint8, amp int32, point int16, s *stats) {
	v := int64(src[0])<<8 | int64(src[1])
	t := v + (257*int64(amp)*int64(point)+halfLevel)>>changeBits
	if t < 0 || t > 65535 {
		s.clipped++
		t = min(max(t, 0), 65535)
	}
	dst[0], dst[1] = uint8(t>>8), uint8(t)
	e := float64(t-v) / 257
	s.squares += float64(e * e)
}
