package main

import (
	"encoding/binary"
	"image"
	"runtime/debug"
)

// bigPicture is from how many pixels on memory is taken back before each step that needs much of it.
const bigPicture = 4_000_000

// reclaim gives back what the last step left, so that the next need not come on top of it. The pixels of a big picture
// are most of the memory in use; the collector lets the heap double, and what it frees in one piece is of little
// use in another. It costs milliseconds.
func reclaim(img image.Image) {
	if b := img.Bounds(); b.Dx()*b.Dy() >= bigPicture {
		debug.FreeOSMemory()
	}
}

// mostReduced bounds how many pixels a side seenAt makes one of: the sums of so many fit 16 bits.
const mostReduced = 16

// seenAt reduces a picture by a whole number, by means of squares, to the size at which a trainer sees it or up to
// twice that: the short side is the resolution or more. Smaller pictures come back as they are. Rows and columns
// left over at the right and below are left out.
func seenAt(img image.Image, resolution int) image.Image {
	b := img.Bounds()
	k := min(b.Dx(), b.Dy()) / resolution
	if k < 2 {
		return img
	}
	k = min(k, mostReduced)
	r := image.Rect(0, 0, b.Dx()/k, b.Dy()/k)
	switch m := img.(type) {
	case *image.NRGBA:
		out := image.NewNRGBA(r)
		for y := range r.Dy() {
			meanOfPixels(out.Pix[y*out.Stride:][:4*r.Dx()], m.Pix[y*k*m.Stride:], m.Stride, k)
		}
		return out
	case *image.Gray:
		out := image.NewGray(r)
		for y := range r.Dy() {
			meanOfSamples(out.Pix[y*out.Stride:][:r.Dx()], m.Pix[y*k*m.Stride:], m.Stride, k)
		}
		return out
	}
	return img // 16 bits a sample: rare, and read as they are
}

// meanOfPixels writes a row of means of k x k RGBA pixels.
func meanOfPixels(dst, src []uint8, stride, k int) {
	const pair = 0x00ff00ff // two of the four samples, with room for the sum of 256
	half, n := uint32(k*k/2), uint32(k*k)
	for x := 0; 4*x < len(dst); x++ {
		var even, odd uint32
		for v := range k {
			row := src[v*stride+4*k*x:][:4*k]
			for len(row) >= 4 {
				p := binary.LittleEndian.Uint32(row)
				even += p & pair
				odd += p >> 8 & pair
				row = row[4:]
			}
		}
		q := dst[4*x : 4*x+4 : 4*x+4]
		q[0], q[2] = uint8((even&0xffff+half)/n), uint8((even>>16+half)/n)
		q[1], q[3] = uint8((odd&0xffff+half)/n), uint8((odd>>16+half)/n)
	}
}

// meanOfSamples writes a row of means of k x k grey samples.
func meanOfSamples(dst, src []uint8, stride, k int) {
	for x := range dst {
		sum := k * k / 2
		for v := range k {
			for _, s := range src[v*stride+k*x:][:k] {
				sum += int(s)
			}
		}
		dst[x] = uint8(sum / (k * k))
	}
}
