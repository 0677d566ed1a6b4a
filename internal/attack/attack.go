// Package attack holds the graded distortions a marked picture is tried against: what happens to a
// picture on its way into a training set, and what somebody does who would rather not find a mark.
//
// [Ladder] is the list the published robustness figures are made with; its names and its order are
// part of those figures. [PeersLadder] holds the edits other watermarks were measured with, under the
// names they have there. [DeepEdits] and [Collage] change the geometry in ways that have to be searched
// for. [ExtraEdits] and [Blend50] are for wider tests.
//
// An edit is a pure function of a picture and a seed. It takes *image.NRGBA, *image.NRGBA64,
// *image.Gray and *image.Gray16 at any origin, never writes to its argument, and returns a new
// *image.NRGBA at the origin; only "none" keeps the type. Every other edit first brings the picture to
// 8 bits, rounded to nearest, and composites it on white, as most training pipelines do: what comes
// out is opaque. Grey pictures come out with R = G = B (within 1 after webp75). An empty picture,
// another type, or a side beyond what an edit's file format can hold (65535 pixels for JPEG, 16383 for
// WebP) panics.
//
// The same seed gives the same bytes. Across machines that holds for webp75 only where the same
// libwebp runs: build with -tags nodynamic to pin the one that comes with gen2brain/webp.
package attack

import (
	"fmt"
	"hash/fnv"
	"image"
	"math"
	"math/rand/v2"

	"github.com/disintegration/imaging"
)

// Edit is one distortion.
type Edit struct {
	// Name identifies the edit in tables, files and flags.
	Name string
	// Apply returns the edited picture. Edits that involve no chance ignore seed.
	Apply func(img image.Image, seed uint64) image.Image
	// About says in one line what the edit does, with units.
	About string
}

// Ladder returns the graded distortions of the robustness figures, in the order of the tables.
// "As submitted" means that nobody scales the picture back before it is looked at.
func Ladder() []Edit {
	return []Edit{
		{"none", copyOf, "the picture as delivered: a copy in its own type, alpha and 16 bits kept"},
		fixed("jpeg90", "JPEG quality 90, 4:2:0", jpegAt(90)),
		fixed("jpeg75", "JPEG quality 75, 4:2:0", jpegAt(75)),
		fixed("jpeg50", "JPEG quality 50, 4:2:0", jpegAt(50)),
		fixed("jpeg30", "JPEG quality 30, 4:2:0", jpegAt(30)),
		fixed("webp75", "lossy WebP quality 75, method 4", webp75),
		fixed("half_jpeg85", "half size (Lanczos) as submitted, then JPEG quality 85", half, jpegAt(85)),
		fixed("px300", "short side to 300 px (Lanczos) as submitted; never enlarges", shortSide300),
		seeded("crop90", "keeps 90 % of each side, at an odd offset off the centre", cropTo(0.90)),
		seeded("crop75", "keeps 75 % of each side, at an odd offset off the centre", cropTo(0.75)),
		seeded("crop50", "keeps 50 % of each side, at an odd offset off the centre", cropTo(0.50)),
		fixed("flip", "mirrored left to right", imagingFlip),
		fixed("bright+20", "all samples x 1.2, clipped", samplesTimes(12)),
		fixed("bright-20", "all samples x 0.8", samplesTimes(8)),
		seeded("noise10", "Gaussian noise of sigma 10 (of 255) on each sample", noise(10)),
		fixed("blur1", "Gaussian blur of sigma 1 px", blur(1)),
		fixed("square512", "centre square, resized to 512 x 512 (Lanczos): usual training preparation", square512),
	}
}

// ExtraEdits returns further distortions, outside the published ladder.
func ExtraEdits() []Edit {
	return []Edit{
		fixed("rotate90", "turned by 90 degrees anticlockwise", rotate90),
		fixed("rotate180", "turned by 180 degrees", rotate180),
		fixed("px300_jpeg85", "short side to 300 px (Lanczos) as submitted, then JPEG quality 85", shortSide300, jpegAt(85)),
		fixed("double_jpeg", "JPEG quality 90, then 75", jpegAt(90), jpegAt(75)),
		fixed("gamma", "exponent 1/1.25: lighter mid-tones", gamma(1.25)),
		fixed("contrast", "contrast x 1.25 around mid-grey, clipped", contrast(20)),
		fixed("saturation-0", "grey: BT.601 luma in all three channels", grey),
		fixed("upscale125", "enlarged 1.25 times (linear), like a screenshot on a scaled display", upscale125),
		fixed("flip+jpeg75", "mirrored left to right, then JPEG quality 75", imagingFlip, jpegAt(75)),
	}
}

// Blend50 returns the edit "blend50": the mean of the picture and other, which is first stretched to
// the picture's size (Lanczos). It reads other at once and keeps no reference to it.
func Blend50(other image.Image) Edit {
	second := opaque8(other)
	return fixed("blend50", "mean of the picture and an unmarked one", func(p *image.NRGBA) *image.NRGBA {
		s := imaging.Resize(second, p.Rect.Dx(), p.Rect.Dy(), imaging.Lanczos)
		for i := range p.Pix {
			p.Pix[i] = uint8((uint16(p.Pix[i]) + uint16(s.Pix[i]) + 1) / 2)
		}
		return p
	})
}

// fixed returns an edit without chance: the steps, one after the other. A step owns its argument, an
// opaque picture at the origin without row padding, and must return such a picture.
func fixed(name, about string, steps ...func(*image.NRGBA) *image.NRGBA) Edit {
	return Edit{name, func(img image.Image, _ uint64) image.Image {
		p := opaque8(img)
		for _, step := range steps {
			p = step(p)
		}
		return p
	}, about}
}

// seeded returns an edit of one step that draws from its own generator: two edits under one seed do not
// share their draws. The step is told whether the picture's type is grey.
func seeded(name, about string, step func(p *image.NRGBA, isGrey bool, rng *rand.Rand) *image.NRGBA) Edit {
	stream := fnv.New64a()
	stream.Write([]byte(name))
	return Edit{name, func(img image.Image, seed uint64) image.Image {
		isGrey := false
		switch img.(type) {
		case *image.Gray, *image.Gray16:
			isGrey = true
		}
		return step(opaque8(img), isGrey, rand.New(rand.NewPCG(seed, stream.Sum64())))
	}, about}
}

// half scales both sides by a half, rounded up.
func half(p *image.NRGBA) *image.NRGBA {
	return imaging.Resize(p, (p.Rect.Dx()+1)/2, (p.Rect.Dy()+1)/2, imaging.Lanczos)
}

// shortSide300 scales the short side to 300 px, the long one in proportion.
func shortSide300(p *image.NRGBA) *image.NRGBA {
	const side = 300
	w, h := p.Rect.Dx(), p.Rect.Dy()
	switch {
	case min(w, h) <= side:
		return p
	case w < h:
		return imaging.Resize(p, side, 0, imaging.Lanczos)
	default:
		return imaging.Resize(p, 0, side, imaging.Lanczos)
	}
}

// cropTo keeps the given fraction of each side, at least a pixel.
func cropTo(fraction float64) func(*image.NRGBA, bool, *rand.Rand) *image.NRGBA {
	return func(p *image.NRGBA, _ bool, rng *rand.Rand) *image.NRGBA {
		w, h := p.Rect.Dx(), p.Rect.Dy()
		cw := max(1, int(math.Round(fraction*float64(w))))
		ch := max(1, int(math.Round(fraction*float64(h))))
		x, y := oddOffset(w-cw, rng), oddOffset(h-ch, rng)
		return imaging.Crop(p, image.Rect(x, y, x+cw, y+ch))
	}
}

// oddOffset draws an odd offset of at most margin pixels that is not the centred one, where there is
// such an offset: odd, so that no grid of 2, 8 or 16 pixels survives in place; off the centre, because
// the centre is where a detector looks first.
func oddOffset(margin int, rng *rand.Rand) int {
	if margin <= 0 {
		return 0
	}
	count := (margin + 1) / 2 // of 1, 3, 5 ... up to margin
	i := rng.IntN(count)
	if 2*(2*i+1) == margin && count > 1 {
		i = (i + 1 + rng.IntN(count-1)) % count
	}
	return 2*i + 1
}

func imagingFlip(p *image.NRGBA) *image.NRGBA { return imaging.FlipH(p) }

func rotate90(p *image.NRGBA) *image.NRGBA { return imaging.Rotate90(p) }

func rotate180(p *image.NRGBA) *image.NRGBA { return imaging.Rotate180(p) }

// samplesTimes multiplies all samples by tenths/10, rounds to nearest, halves up, and clips.
func samplesTimes(tenths int) func(*image.NRGBA) *image.NRGBA {
	var table [256]uint8
	for v := range table {
		table[v] = uint8(min(255, (v*tenths+5)/10))
	}
	return func(p *image.NRGBA) *image.NRGBA {
		for i := range p.Pix {
			if i%4 != 3 {
				p.Pix[i] = table[p.Pix[i]]
			}
		}
		return p
	}
}

// noise adds independent Gaussian noise of the given sigma, in 8-bit units, to R, G and B, rounds to
// nearest and clips. A picture of a grey type gets one draw per pixel and stays grey.
func noise(sigma float64) func(*image.NRGBA, bool, *rand.Rand) *image.NRGBA {
	return func(p *image.NRGBA, isGrey bool, rng *rand.Rand) *image.NRGBA {
		for i := 0; i < len(p.Pix); i += 4 {
			var n float64
			for c := range 3 {
				if c == 0 || !isGrey {
					n = sigma * rng.NormFloat64()
				}
				v := math.Floor(float64(p.Pix[i+c]) + n + 0.5)
				p.Pix[i+c] = uint8(max(0, min(255, v)))
			}
		}
		return p
	}
}

// blur convolves with a Gaussian of the given sigma in pixels, cut at three sigma and renormalised at
// the borders.
func blur(sigma float64) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA { return imaging.Blur(p, sigma) }
}

// square512 crops the centre square and resizes it, up or down.
func square512(p *image.NRGBA) *image.NRGBA {
	side := min(p.Rect.Dx(), p.Rect.Dy())
	return imaging.Resize(imaging.CropCenter(p, side, side), 512, 512, imaging.Lanczos)
}

func gamma(g float64) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA { return imaging.AdjustGamma(p, g) }
}

// contrast follows imaging's scale, where p percent above 0 is a slope of 1/(1 - p/100).
func contrast(percent float64) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA { return imaging.AdjustContrast(p, percent) }
}

func grey(p *image.NRGBA) *image.NRGBA { return imaging.Grayscale(p) }

// upscale125 enlarges both sides 1.25 times, rounded to nearest.
func upscale125(p *image.NRGBA) *image.NRGBA {
	return imaging.Resize(p, (p.Rect.Dx()*5+2)/4, (p.Rect.Dy()*5+2)/4, imaging.Linear)
}

// must panics with the package's name if an encoder or decoder refused a picture of ours.
func must(what string, err error) {
	if err != nil {
		panic(fmt.Sprintf("attack: %s: %v", what, err))
	}
}
