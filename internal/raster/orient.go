package raster

import "image"

// upright applies the EXIF orientation to a canonical image (Exif 2.32, tag 0x0112):
//
//	1 as stored            5 transposed (main diagonal)
//	2 mirrored left-right  6 to be turned 90 degrees clockwise
//	3 turned by 180        7 transposed (other diagonal)
//	4 mirrored top-bottom  8 to be turned 90 degrees anticlockwise
//
// Any other value leaves the image as it is. 5 to 8 exchange width and height.
func upright(img image.Image, orientation int) image.Image {
	if orientation < 2 || orientation > 8 {
		return img
	}
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	ow, oh := w, h
	if orientation >= 5 {
		ow, oh = h, w
	}
	rect := image.Rect(0, 0, ow, oh)
	switch m := img.(type) {
	case *image.Gray:
		return &image.Gray{Pix: reorder(m.Pix, w, h, 1, orientation), Stride: ow, Rect: rect}
	case *image.Gray16:
		return &image.Gray16{Pix: reorder(m.Pix, w, h, 2, orientation), Stride: 2 * ow, Rect: rect}
	case *image.NRGBA:
		return &image.NRGBA{Pix: reorder(m.Pix, w, h, 4, orientation), Stride: 4 * ow, Rect: rect}
	case *image.NRGBA64:
		return &image.NRGBA64{Pix: reorder(m.Pix, w, h, 8, orientation), Stride: 8 * ow, Rect: rect}
	}
	return img
}

// reorder moves w x h pixels of size bytes each to their upright place. Source pixel (x, y) goes to
// start + x*dx + y*dy, counted in pixels of the result.
func reorder(src []byte, w, h, size, orientation int) []byte {
	var start, dx, dy int
	switch orientation {
	case 2:
		start, dx, dy = w-1, -1, w
	case 3:
		start, dx, dy = w*h-1, -1, -w
	case 4:
		start, dx, dy = w*(h-1), 1, -w
	case 5:
		start, dx, dy = 0, h, 1
	case 6:
		start, dx, dy = h-1, h, -1
	case 7:
		start, dx, dy = w*h-1, -h, -1
	case 8:
		start, dx, dy = h*(w-1), -h, 1
	}
	dst := make([]byte, len(src))
	// Squares of 32 x 32 keep both sides of a transposition in the cache.
	const tile = 32
	for y0 := 0; y0 < h; y0 += tile {
		for x0 := 0; x0 < w; x0 += tile {
			for y := y0; y < min(y0+tile, h); y++ {
				moveRun(dst, src, y*w+x0, start+x0*dx+y*dy, dx, min(tile, w-x0), size)
			}
		}
	}
	return dst
}

// moveRun copies n consecutive source pixels from index from to every step-th pixel from index to.
func moveRun(dst, src []byte, from, to, step, n, size int) {
	switch size {
	case 1:
		for i := range n {
			dst[to+i*step] = src[from+i]
		}
	case 4:
		for i := range n {
			copy(dst[4*(to+i*step):][:4], src[4*(from+i):][:4])
		}
	default:
		for i := range n {
			copy(dst[size*(to+i*step):][:size], src[size*(from+i):][:size])
		}
	}
}
