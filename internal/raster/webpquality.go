package raster

import (
	"math"
	"slices"
)

// vp8Quality estimates the quality, 1 to 100 on libwebp's scale, at which a VP8 key frame was written, from the
// quantiser indices in its header (RFC 6386, 9.3 and 9.6); 0 if the header is damaged. Where libwebp wrote
// the file it comes within a step or two of what was asked, by default settings.
func vp8Quality(frame []byte) int {
	if len(frame) < 11 || frame[0]&1 != 0 { // not a key frame
		return 0
	}
	d := newBoolDecoder(frame[10:])
	d.bits(2) // colour space, clamping
	index, absolute, segments := [4]int{}, false, 1
	if d.bits(1) == 1 {
		mapped, given := d.bits(1), d.bits(1)
		if given == 1 {
			segments, absolute = 4, d.bits(1) == 1
			for i := range index {
				index[i] = d.optional(7)
			}
			for range 4 {
				d.optional(6) // loop filter levels
			}
		}
		if mapped == 1 {
			for range 3 {
				if d.bits(1) == 1 {
					d.bits(8)
				}
			}
		}
	}
	d.bits(10) // loop filter: type, level, sharpness
	if adjusted := d.bits(1); adjusted == 1 {
		if given := d.bits(1); given == 1 {
			for range 8 {
				d.optional(6)
			}
		}
	}
	d.bits(2) // number of partitions
	base := d.bits(7)
	if d.at > len(d.data)+2 { // two bytes are read ahead
		return 0
	}
	worst := 0
	for i, v := range index[:segments] {
		if !absolute {
			v += base
		}
		index[i] = min(max(v, 0), 127)
		worst = max(worst, index[i])
	}
	spread := segments > 1 && slices.Min(index[:segments]) < worst
	return qualityOfIndex(worst, spread)
}

// qualityOfIndex is the inverse of libwebp's rule: index = 127*(1 - c) with c = cbrt(linear), linear = 2/3 q up to
// q = 0.75, then 2q - 1, with q from 0 to 1. Where the segments differ, the one of the largest index has
// c to the power 1 + 0.9*(127/128)*0.5 by libwebp's default strength of spatial noise shaping, 50 %.
func qualityOfIndex(index int, spread bool) int {
	c := 1 - float64(index)/127
	if spread {
		c = math.Pow(c, 1/(1+0.9*127/128*0.5))
	}
	linear := c * c * c
	q := linear * 1.5
	if linear > 0.5 {
		q = (linear + 1) / 2
	}
	return min(max(int(math.Round(100*q)), 1), 100)
}

// boolDecoder is VP8's arithmetic decoder (RFC 6386, 7.3) at even odds, all that the frame header needs.
type boolDecoder struct {
	data  []byte
	at    int    // the next byte; beyond the data zeros are read
	value uint32 // two bytes, the first of them compared with the interval
	width uint32 // the interval: 128 to 255
	shift int    // bits of value's second byte already used
}

func newBoolDecoder(data []byte) *boolDecoder {
	d := &boolDecoder{data: data, width: 255}
	d.value = uint32(d.next())<<8 | uint32(d.next())
	return d
}

func (d *boolDecoder) next() (v byte) {
	if d.at < len(d.data) {
		v = d.data[d.at]
	}
	d.at++
	return v
}

func (d *boolDecoder) bit() (v int) {
	split := 1 + (d.width-1)*128>>8
	if d.value >= split<<8 {
		v = 1
		d.width -= split
		d.value -= split << 8
	} else {
		d.width = split
	}
	for d.width < 128 {
		d.width <<= 1
		d.value <<= 1
		if d.shift++; d.shift == 8 {
			d.shift = 0
			d.value |= uint32(d.next())
		}
	}
	return v
}

// bits reads n bits, the highest first.
func (d *boolDecoder) bits(n int) (v int) {
	for range n {
		v = v<<1 | d.bit()
	}
	return v
}

// optional reads a flag, and if it is set n bits and a sign.
func (d *boolDecoder) optional(n int) int {
	if d.bit() == 0 {
		return 0
	}
	v := d.bits(n)
	if d.bit() == 1 {
		return -v
	}
	return v
}
