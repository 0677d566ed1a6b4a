package iscc

import (
	"image"
	"slices"
)

// Side of the version of a picture that Image-Codes are computed of, in pixels.
const Side = 32

// Pixels is a picture of Side x Side grey values 0 to 255, row by row.
type Pixels [Side * Side]uint8

// Mirrored returns the picture turned over left to right. It is that of the mirrored picture but for rounding.
func (p Pixels) Mirrored() Pixels {
	for y := range Side {
		slices.Reverse(p[y*Side : (y+1)*Side])
	}
	return p
}

// Turned returns the picture turned by a quarter counter-clockwise. It is that of the turned picture but for rounding.
func (p Pixels) Turned() (q Pixels) {
	for y := range Side {
		for x := range Side {
			q[(Side-1-x)*Side+y] = p[y*Side+x]
		}
	}
	return q
}

// ImageCode returns the Image-Code of a picture. Metadata are not looked at: the picture must stand upright.
// It panics on an empty picture and on a length that no code has.
func ImageCode(img image.Image, length int) Code { return ImageCodeOf(Normalise(img), length) }

// frequencies is how many rows and columns of the transform are used: four squares of corner x corner, shifted
// by none or one.
const (
	corner      = 8
	frequencies = corner + 1
)

// ImageCodeOf returns the Image-Code of a normalised picture: a bit for each frequency in the square of the
// 8 x 8 lowest, row by row, set where the coefficient is above the median of the square; beyond 64 bits the
// same for the squares one to the right, one down, and both. It panics on a length that no code has.
func ImageCodeOf(p Pixels, length int) Code {
	checkLength(length)
	f := transform(p)
	var digest [MaxBits / 8]byte
	n := 0
	for _, at := range [4]image.Point{{0, 0}, {1, 0}, {0, 1}, {1, 1}} {
		if n >= length {
			break
		}
		var square [corner * corner]float64
		for y := range corner {
			copy(square[y*corner:], f[at.Y+y][at.X:at.X+corner])
		}
		m := median(square)
		for _, v := range square {
			if v > m {
				digest[n/8] |= 0x80 >> (n % 8)
			}
			n++
		}
	}
	return newCode(Image, digest[:], length)
}

// transform returns the lowest frequencies of the two-dimensional transform, [vertical][horizontal]: rows first.
func transform(p Pixels) [frequencies][frequencies]float64 {
	var columns [frequencies][Side]float64
	var line, scratch [Side]float64
	for y := range Side {
		for x := range Side {
			line[x] = float64(p[y*Side+x])
		}
		dct(line[:], scratch[:])
		for u := range frequencies {
			columns[u][y] = line[u]
		}
	}
	var f [frequencies][frequencies]float64
	for u := range frequencies {
		dct(columns[u][:], scratch[:])
		for v := range frequencies {
			f[v][u] = columns[u][v]
		}
	}
	return f
}

// median is the mean of the two in the middle.
func median(v [corner * corner]float64) float64 {
	slices.Sort(v[:])
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}
