package attack

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"math/rand/v2"

	"github.com/disintegration/imaging"
)

// DeepEdits returns what a picture goes through that was edited by hand, photographed off a screen, passed on
// by several services or used as a part of another: sizes nobody could guess, rotations, unequal sides,
// pieces. [Collage] belongs to them and needs a second picture.
func DeepEdits() []Edit {
	return []Edit{
		fixed("rotate2", "turned by 2 degrees anticlockwise in a frame of the same size, black corners", turnInFrame(2, color.Black)),
		fixed("rotate5", "turned by 5 degrees anticlockwise and cut to the largest rectangle without corners", turnCropped(5)),
		fixed("rotate10", "turned by 10 degrees anticlockwise on a larger canvas, white corners", turnWhole(10, color.White)),
		fixed("rotate-15", "turned by 15 degrees clockwise in a frame of the same size, black corners", turnInFrame(-15, color.Black)),
		fixed("scale0.25", "0.2517 times the size (Lanczos) as submitted", scale(0.2517)),
		fixed("scale0.33", "0.3319 times the size (Lanczos) as submitted", scale(0.3319)),
		fixed("scale0.6", "0.6037 times the size (Lanczos) as submitted", scale(0.6037)),
		fixed("scale0.73", "0.7301 times the size (Lanczos) as submitted", scale(0.7301)),
		fixed("scale1.37", "1.3703 times the size (Lanczos) as submitted", scale(1.3703)),
		fixed("scale2", "2.0041 times the size (Lanczos) as submitted", scale(2.0041)),
		fixed("aspect", "1.03 times as wide and 0.97 times as high (Lanczos)", func(p *image.NRGBA) *image.NRGBA { return resized(p, 1.03, 0.97) }),
		chained("rotate3_scale0.8_crop80", "turned by 3 degrees in its frame, scaled to 0.8, 80 % of each side kept off the centre",
			func(p *image.NRGBA, rng *rand.Rand) *image.NRGBA {
				return crops(0.80, rng)(scale(0.8)(turnInFrame(3, color.Black)(p)))
			}),
		seeded("screenshot", "at 0.83 of its size on a grey page with bars like lines of text", screenshot),
		seeded("crop25", "keeps 25 % of each side, at an odd offset off the centre", cropTo(0.25)),
		fixed("jpeg20", "JPEG quality 20, 4:2:0", jpegAt(20)),
		chained("crop75_jpeg75", "keeps 75 % of each side off the centre, then JPEG quality 75",
			func(p *image.NRGBA, rng *rand.Rand) *image.NRGBA { return jpegAt(75)(crops(0.75, rng)(p)) }),
		fixed("stretch", "histogram stretched: luma's 2nd and 98th percentile go to 0 and 255", stretch),
		fixed("gamma1.6", "exponent 1/1.6: much lighter mid-tones", gamma(1.6)),
		chained("print_scan", "like a print that was scanned: gamma 0.9, blur 1.2 px, noise 6, turned by 1 degree, scaled to 0.9, JPEG quality 70", printScan),
		fixed("social", "long side to 1080 px (Lanczos), JPEG quality 70 twice", longSide(1080), jpegAt(70), jpegAt(70)),
		chained("flip_crop75", "mirrored left to right, 75 % of each side kept off the centre",
			func(p *image.NRGBA, rng *rand.Rand) *image.NRGBA { return crops(0.75, rng)(imagingFlip(p)) }),
	}
}

// Collage returns the edit "collage384": a piece of 384 x 384 px (or as much of it as the picture has), cut
// off the centre, on top of other, which is first brought to a long side of 1024 px. It reads other at once
// and keeps no reference to it.
func Collage(other image.Image) Edit {
	ground := longSide(1024)(opaque8(other))
	return chained("collage384", "a piece of 384 x 384 px pasted into an unmarked picture of 1024 px", func(p *image.NRGBA, rng *rand.Rand) *image.NRGBA {
		const side = 384
		w, h := min(side, p.Rect.Dx(), ground.Rect.Dx()), min(side, p.Rect.Dy(), ground.Rect.Dy())
		x, y := oddOffset(p.Rect.Dx()-w, rng), oddOffset(p.Rect.Dy()-h, rng)
		at := image.Pt(oddOffset(ground.Rect.Dx()-w, rng), oddOffset(ground.Rect.Dy()-h, rng))
		return imaging.Paste(ground, imaging.Crop(p, image.Rect(x, y, x+w, y+h)), at)
	})
}

// chained is seeded for steps that never ask whether a picture is grey.
func chained(name, about string, step func(*image.NRGBA, *rand.Rand) *image.NRGBA) Edit {
	return seeded(name, about, func(p *image.NRGBA, _ bool, rng *rand.Rand) *image.NRGBA { return step(p, rng) })
}

func scale(f float64) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA { return resized(p, f, f) }
}

// screenshot shows the picture on a page: margins of a tenth of its width, a dark bar on top, and below the
// picture dark bars of uneven length where text would stand.
func screenshot(p *image.NRGBA, _ bool, rng *rand.Rand) *image.NRGBA {
	p = scale(0.83)(p)
	w, h := p.Rect.Dx(), p.Rect.Dy()
	margin, line := w/10+7, 9
	top, below := 5*line, 12*line
	page := imaging.New(w+2*margin, h+top+below+2*margin, color.Gray{0xe8})
	bar := func(r image.Rectangle, v uint8) {
		draw.Draw(asRGBA(page), r, image.NewUniform(color.Gray{v}), image.Point{}, draw.Src)
	}
	bar(image.Rect(0, 0, page.Rect.Dx(), 3*line), 0x30)
	for y := margin + top + h + 2*line; y+line < page.Rect.Dy(); y += 2 * line {
		bar(image.Rect(margin, y, margin+w/3+rng.IntN(w/2+1), y+line-2), 0x40)
	}
	return imaging.Paste(page, p, image.Pt(margin, margin+top))
}

// stretch maps luma's 2nd and 98th percentile to 0 and 255 by one straight line for all channels.
func stretch(p *image.NRGBA) *image.NRGBA {
	var histogram [256]int
	for i := 0; i < len(p.Pix); i += 4 {
		histogram[(299*int(p.Pix[i])+587*int(p.Pix[i+1])+114*int(p.Pix[i+2])+500)/1000]++
	}
	n := len(p.Pix) / 4
	low, high := percentile(histogram, n*2/100), percentile(histogram, n*98/100)
	if high <= low {
		return p
	}
	for i := range p.Pix {
		if i%4 != 3 {
			v := math.Round(255 * float64(int(p.Pix[i])-low) / float64(high-low))
			p.Pix[i] = uint8(max(0, min(255, v)))
		}
	}
	return p
}

// percentile returns the level at which more than count samples are passed.
func percentile(histogram [256]int, count int) int {
	seen := 0
	for v, n := range histogram {
		if seen += n; seen > count {
			return v
		}
	}
	return 255
}

// printScan is what printing and scanning do to a picture: darker mid-tones, blur, grain, a slightly crooked
// sheet with white corners, another size, and the scanner's JPEG.
func printScan(p *image.NRGBA, rng *rand.Rand) *image.NRGBA {
	p = noise(6)(blur(1.2)(gamma(0.9)(p)), true, rng)
	return jpegAt(70)(scale(0.9)(turnInFrame(1, color.White)(p)))
}
