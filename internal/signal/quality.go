package signal

import (
	"fmt"
	"image"
	"math"
)

// PSNR returns the peak signal-to-noise ratio between two pictures, in dB:
//
//	10 log10(peak² / mean squared error)
//
// over all colour samples (R, G and B, or grey), with a peak of 255 for 8-bit and 65535 for 16-bit
// types. Alpha is ignored, so samples under a transparent pixel count like any other. Identical
// pictures give +Inf.
//
// Both pictures must have the same bounds and the same type, one of *image.NRGBA, *image.NRGBA64,
// *image.Gray and *image.Gray16; anything else, or an empty picture, panics. Squares are summed as
// integers, exactly, up to 10⁹ pixels; only the logarithm at the end may differ between platforms,
// in its last bit. Same figure as skimage.metrics.peak_signal_noise_ratio.
func PSNR(a, b image.Image) float64 {
	w, h := mustMatch(a, b)
	var sum, samples uint64
	peak := 255.0
	switch a := a.(type) {
	case *image.Gray:
		b := b.(*image.Gray)
		sum, samples = squaredError8(a.Pix, a.Stride, b.Pix, b.Stride, w, h), uint64(w)*uint64(h)
	case *image.Gray16:
		b := b.(*image.Gray16)
		sum, samples = squaredError16(a.Pix, a.Stride, b.Pix, b.Stride, w, h), uint64(w)*uint64(h)
		peak = 65535
	case *image.NRGBA:
		b := b.(*image.NRGBA)
		sum, samples = squaredErrorRGB8(a.Pix, a.Stride, b.Pix, b.Stride, w, h), 3*uint64(w)*uint64(h)
	case *image.NRGBA64:
		b := b.(*image.NRGBA64)
		sum, samples = squaredErrorRGB16(a.Pix, a.Stride, b.Pix, b.Stride, w, h), 3*uint64(w)*uint64(h)
		peak = 65535
	}
	if sum == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(peak*peak*float64(samples)/float64(sum))
}

// mustMatch returns the common size of two pictures, or panics if they cannot be compared.
func mustMatch(a, b image.Image) (w, h int) {
	var same bool
	switch a.(type) {
	case *image.NRGBA:
		_, same = b.(*image.NRGBA)
	case *image.NRGBA64:
		_, same = b.(*image.NRGBA64)
	case *image.Gray:
		_, same = b.(*image.Gray)
	case *image.Gray16:
		_, same = b.(*image.Gray16)
	default:
		panic(fmt.Sprintf("signal: cannot compare pictures of type %T", a))
	}
	if !same {
		panic(fmt.Sprintf("signal: comparing %T with %T", a, b))
	}
	if a.Bounds() != b.Bounds() {
		panic(fmt.Sprintf("signal: comparing a picture of %v with one of %v", a.Bounds(), b.Bounds()))
	}
	if a.Bounds().Empty() {
		panic("signal: comparing empty pictures")
	}
	return a.Bounds().Dx(), a.Bounds().Dy()
}

// The four functions below sum (a-b)² over w x h pixels of Pix fields with the given row strides in
// bytes. 16-bit samples are big-endian, as in package image.

func squaredError8(a []byte, aStride int, b []byte, bStride, w, h int) (sum uint64) {
	for y := range h {
		ra := a[y*aStride:][:w]
		rb := b[y*bStride:][:w]
		for i, va := range ra {
			d := int32(va) - int32(rb[i])
			sum += uint64(d * d)
		}
	}
	return sum
}

func squaredError16(a []byte, aStride int, b []byte, bStride, w, h int) (sum uint64) {
	for y := range h {
		ra := a[y*aStride:][:2*w]
		rb := b[y*bStride:][:2*w]
		for i := 0; i+1 < len(ra) && i+1 < len(rb); i += 2 {
			d := be16(ra[i], ra[i+1]) - be16(rb[i], rb[i+1])
			sum += uint64(d * d)
		}
	}
	return sum
}

func squaredErrorRGB8(a []byte, aStride int, b []byte, bStride, w, h int) (sum uint64) {
	for y := range h {
		ra := a[y*aStride:][:4*w]
		rb := b[y*bStride:][:4*w]
		for len(ra) >= 4 && len(rb) >= 4 {
			d0 := int32(ra[0]) - int32(rb[0])
			d1 := int32(ra[1]) - int32(rb[1])
			d2 := int32(ra[2]) - int32(rb[2])
			sum += uint64(d0*d0 + d1*d1 + d2*d2)
			ra, rb = ra[4:], rb[4:]
		}
	}
	return sum
}

func squaredErrorRGB16(a []byte, aStride int, b []byte, bStride, w, h int) (sum uint64) {
	for y := range h {
		ra := a[y*aStride:][:8*w]
		rb := b[y*bStride:][:8*w]
		for len(ra) >= 8 && len(rb) >= 8 {
			d0 := be16(ra[0], ra[1]) - be16(rb[0], rb[1])
			d1 := be16(ra[2], ra[3]) - be16(rb[2], rb[3])
			d2 := be16(ra[4], ra[5]) - be16(rb[4], rb[5])
			sum += uint64(d0*d0 + d1*d1 + d2*d2)
			ra, rb = ra[8:], rb[8:]
		}
	}
	return sum
}

// be16 joins two big-endian bytes. The square of a difference of two results fits an int64.
func be16(hi, lo byte) int64 { return int64(hi)<<8 | int64(lo) }

// ssimWin is the side of the SSIM window in pixels: the default of skimage, and of the peers whose
// figures ours stand beside.
const ssimWin = 7

// K1 and K2 of Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility
// to Structural Similarity", IEEE Trans. Image Processing 13(4), 2004, section III-B.
const (
	ssimK1 = 0.01
	ssimK2 = 0.03
)

// SSIM returns the mean structural similarity of two pictures, 1 for identical ones, down to about
// -1 for inverted ones.
//
// It is computed on luma, the integer nearest to 0.299 R + 0.587 G + 0.114 B at the depth of the
// samples (a grey sample is its own luma; alpha is ignored), over every 7 x 7 uniform window that lies
// wholly inside the picture, with sample covariance (divided by N-1), K1 = 0.01, K2 = 0.03 and a data
// range of 255 or 65535. This is skimage.metrics.structural_similarity with its defaults.
//
// Types and bounds are as for [PSNR]; a side below 7 pixels panics. Window sums are integers and no
// unrounded product is added to, so every platform gives the same bits. Allocates 8 rows, not planes.
func SSIM(a, b image.Image) float64 {
	w, h := mustMatch(a, b)
	if w < ssimWin || h < ssimWin {
		panic(fmt.Sprintf("signal: SSIM of a picture of %d x %d: needs at least %d x %d", w, h, ssimWin, ssimWin))
	}
	switch a.(type) {
	case *image.NRGBA64, *image.Gray16:
		return ssim[uint64](a, b, w, h, 65535)
	default:
		return ssim[uint32](a, b, w, h, 255)
	}
}

// windowSums holds what SSIM needs to know of a set of sample pairs (x, y). The sums of x² and y² are
// only ever used added together. A full window of 49 pairs needs 23 bits at 8-bit depth, 39 at 16.
type windowSums[T uint32 | uint64] struct{ x, y, squares, product T }

// ssim averages over the windows of two pictures of w x h with the given data range. T must hold the
// sums of a window.
//
// It keeps one windowSums per column, over the last 7 rows: each new row adds its pairs and takes out
// those of the row that leaves. Differences of unsigned sums wrap around and come out right.
func ssim[T uint32 | uint64](a, b image.Image, w, h int, dataRange float64) float64 {
	const ring = ssimWin + 1 // the rows of a window and the one that has just left
	lumaA, lumaB := make([]uint16, ring*w), make([]uint16, ring*w)
	columns := make([]windowSums[T], w)
	total := 0.0
	for y := range h {
		in, out := y%ring, (y+1)%ring // the row that leaves is 7 above, and 7 = -1 mod 8
		inA, inB := lumaA[in*w:][:w], lumaB[in*w:][:w]
		outA, outB := lumaA[out*w:][:w], lumaB[out*w:][:w]
		lumaRow(inA, a, y)
		lumaRow(inB, b, y)
		for i := range columns { // the first rows take out rows of zeros: harmless
			x1, y1, x0, y0 := T(inA[i]), T(inB[i]), T(outA[i]), T(outB[i])
			c := &columns[i]
			c.x += x1 - x0
			c.y += y1 - y0
			c.squares += x1*x1 + y1*y1 - x0*x0 - y0*y0
			c.product += x1*y1 - x0*y0
		}
		if y >= ssimWin-1 {
			total += ssimRow(columns, dataRange)
		}
	}
	return total / (float64(w-ssimWin+1) * float64(h-ssimWin+1))
}

// ssimRow returns the sum of the SSIM of all windows along one row of column sums.
//
// With n pairs in a window and sums in place of means, the fractions of Wang et al. (13) times n² and
// n(n-1) have integer terms plus constants:
//
//	(2 Σx Σy + n² C1) (2 (n Σxy - Σx Σy) + n(n-1) C2)
//	-----------------------------------------------------------------
//	((Σx)² + (Σy)² + n² C1) (n Σ(x²+y²) - (Σx)² - (Σy)² + n(n-1) C2)
//
// Each integer stays below 2⁵³ at 16-bit depth, so its conversion to float64 is exact.
func ssimRow[T uint32 | uint64](columns []windowSums[T], dataRange float64) float64 {
	const n = ssimWin * ssimWin
	// The conversions round, lest a compiler fuse these products with the additions below.
	c1 := float64(n * n * (ssimK1 * dataRange) * (ssimK1 * dataRange))
	c2 := float64(n * (n - 1) * (ssimK2 * dataRange) * (ssimK2 * dataRange))
	var s windowSums[T]
	for _, c := range columns[:ssimWin-1] {
		s = windowSums[T]{s.x + c.x, s.y + c.y, s.squares + c.squares, s.product + c.product}
	}
	row := 0.0
	left := columns[:len(columns)-ssimWin+1]
	for i, in := range columns[ssimWin-1:] {
		s.x += in.x
		s.y += in.y
		s.squares += in.squares
		s.product += in.product
		x, y := int64(s.x), int64(s.y)
		cross, power := x*y, x*x+y*y
		a1 := float64(2*cross) + c1
		a2 := float64(2*(n*int64(s.product)-cross)) + c2
		b1 := float64(power) + c1
		b2 := float64(n*int64(s.squares)-power) + c2
		row += (a1 * a2) / (b1 * b2)
		out := &left[i]
		s.x -= out.x
		s.y -= out.y
		s.squares -= out.squares
		s.product -= out.product
	}
	return row
}

// lumaRow writes the integer luma of row y of img, counted from its top, to dst, whose length is the
// picture's width. Weights are those of ITU-R BT.601 in thousandths; halves round up.
func lumaRow(dst []uint16, img image.Image, y int) {
	switch img := img.(type) {
	case *image.Gray:
		for i, v := range img.Pix[y*img.Stride:][:len(dst)] {
			dst[i] = uint16(v)
		}
	case *image.Gray16:
		pix := img.Pix[y*img.Stride:][:2*len(dst)]
		for i := range dst {
			dst[i] = uint16(pix[2*i])<<8 | uint16(pix[2*i+1])
		}
	case *image.NRGBA:
		pix := img.Pix[y*img.Stride:][:4*len(dst)]
		for i := range dst {
			p := pix[4*i:][:3]
			dst[i] = uint16((299*uint32(p[0]) + 587*uint32(p[1]) + 114*uint32(p[2]) + 500) / 1000)
		}
	case *image.NRGBA64:
		pix := img.Pix[y*img.Stride:][:8*len(dst)]
		for i := range dst {
			p := pix[8*i:][:6]
			r, g, b := be16(p[0], p[1]), be16(p[2], p[3]), be16(p[4], p[5])
			dst[i] = uint16((299*r + 587*g + 114*b + 500) / 1000)
		}
	}
}
