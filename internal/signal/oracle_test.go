package signal_test

import (
	"image"
	"math"
	"testing"

	"github.com/filigrane/filigrane/internal/oracle"
	"github.com/filigrane/filigrane/internal/signal"
)

// TestQualityOracle holds PSNR and SSIM against scikit-image. The vectors are rounded to 10 and 12
// decimals; scikit-image itself works in floating point where we sum integers.
func TestQualityOracle(t *testing.T) {
	const tolerance = 1e-9
	var vectors []oracle.Quality
	oracle.Load(t, "quality", &vectors)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			a, b := oraclePicture(v, v.A), oraclePicture(v, v.B)
			if got := signal.PSNR(a, b); math.Abs(got-v.PSNRdB) > tolerance {
				t.Errorf("PSNR = %.12f dB, want %.10f", got, v.PSNRdB)
			}
			if got := signal.SSIM(a, b); math.Abs(got-v.SSIM) > tolerance {
				t.Errorf("SSIM = %.15f, want %.12f", got, v.SSIM)
			}
		})
	}
}

// oraclePicture builds the picture of a vector from its samples. Pixels of colour pictures get a
// varying alpha, which must not count.
func oraclePicture(v oracle.Quality, samples []byte) image.Image {
	r := image.Rect(0, 0, v.Width, v.Height)
	switch {
	case v.Channels == 1 && v.Bits == 8:
		return &image.Gray{Pix: samples, Stride: v.Width, Rect: r}
	case v.Channels == 1:
		return &image.Gray16{Pix: samples, Stride: 2 * v.Width, Rect: r}
	}
	pixel := v.Bits / 8 * 4
	pix := make([]byte, v.Width*v.Height*pixel)
	for i := range v.Width * v.Height {
		colour := samples[i*pixel/4*3:][:pixel/4*3]
		copy(pix[i*pixel:], colour)
		pix[(i+1)*pixel-1] = colour[0] // alpha, its low byte at 16 bits
	}
	if v.Bits == 8 {
		return &image.NRGBA{Pix: pix, Stride: pixel * v.Width, Rect: r}
	}
	return &image.NRGBA64{Pix: pix, Stride: pixel * v.Width, Rect: r}
}

// pixel is a picture of one pixel.
func pixel(rgb [3]int) image.Image {
	return &image.NRGBA{Pix: []uint8{uint8(rgb[0]), uint8(rgb[1]), uint8(rgb[2]), 255}, Stride: 4, Rect: image.Rect(0, 0, 1, 1)}
}
