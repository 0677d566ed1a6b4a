package attack

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"

	"github.com/disintegration/imaging"
)

// Names of what is done with pictures besides editing them, in the peers' own words.
const (
	// PeersBlend is the name, among the peers' edits, of what [Blend50] does.
	PeersBlend = "blend_50pct_with_unmarked_photo"
	// PeersRemarked: marked a second time, with another payload there and with another key here, and read
	// for the first.
	PeersRemarked = "re-marked_with_2nd_payload_read_1st"
)

// PeersLadder returns the edits that the peers were measured with, under their own names, in their order;
// [PeersBlend] and [PeersRemarked] need a second picture or a second key and are for the caller to add.
// Where an edit of [Ladder] does the same, this is that edit. Those that put a picture back in its place,
// which needs the original, are left out.
//
// The peers' edits were made by other code from the same descriptions: JPEG by libjpeg and not by
// image/jpeg, say.
func PeersLadder() []Edit {
	same := map[string]Edit{}
	for _, e := range Ladder() {
		same[e.Name] = e
	}
	as := func(name, ours string) Edit {
		e := same[ours]
		e.Name = name
		return e
	}
	return []Edit{
		as("none", "none"),
		as("jpeg_q90", "jpeg90"),
		as("jpeg_q75", "jpeg75"),
		as("jpeg_q50", "jpeg50"),
		as("jpeg_q30", "jpeg30"),
		as("webp_q75", "webp75"),
		fixed("resize_0.5x_and_back", "half size and back (Lanczos both ways)", andBack(half)),
		fixed("resize_0.5x_as_submitted", "half size (Lanczos) as submitted", half),
		fixed("resize_256px_as_submitted", "long side to 256 px (Lanczos) as submitted", longSide(256)),
		fixed("resize_256px_and_back", "long side to 256 px and back (Lanczos both ways)", andBack(longSide(256))),
		fixed("crop_90pct_as_submitted", "the middle 90 % of each side", centre(0.90)),
		fixed("crop_75pct_as_submitted", "the middle 75 % of each side", centre(0.75)),
		fixed("rotate_2deg", "turned by 2 degrees anticlockwise in a frame of the same size, black corners", turnInFrame(2, color.Black)),
		as("gauss_noise_s10", "noise10"),
		as("gauss_blur_r1", "blur1"),
		as("brightness_+20pct", "bright+20"),
		as("brightness_-20pct", "bright-20"),
		as("hflip", "flip"),
		as("train_prep_square_crop_512", "square512"),
	}
}

// andBack undoes a change of size.
func andBack(shrink func(*image.NRGBA) *image.NRGBA) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA {
		w, h := p.Rect.Dx(), p.Rect.Dy()
		return imaging.Resize(shrink(p), w, h, imaging.Lanczos)
	}
}

// longSide brings the long side to so many pixels, up or down, the short one in proportion.
func longSide(side int) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA {
		f := float64(side) / float64(max(p.Rect.Dx(), p.Rect.Dy()))
		return resized(p, f, f)
	}
}

// resized scales the sides by two factors, rounded to nearest, at least a pixel each.
func resized(p *image.NRGBA, fx, fy float64) *image.NRGBA {
	w := max(1, int(math.Round(fx*float64(p.Rect.Dx()))))
	h := max(1, int(math.Round(fy*float64(p.Rect.Dy()))))
	return imaging.Resize(p, w, h, imaging.Lanczos)
}

// centre keeps the middle fraction of each side, at least a pixel.
func centre(fraction float64) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA {
		side := func(n int) int { return max(1, int(math.Round(fraction*float64(n)))) }
		return imaging.CropCenter(p, side(p.Rect.Dx()), side(p.Rect.Dy()))
	}
}

// turnInFrame turns anticlockwise by degrees (bilinear) and keeps the size: corners of the picture are lost
// and corners of the frame are filled.
func turnInFrame(degrees float64, fill color.Color) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA {
		w, h := p.Rect.Dx(), p.Rect.Dy()
		return framed(imaging.Rotate(p, degrees, fill), w, h, fill)
	}
}

// framed cuts or fills p around its middle to w x h.
func framed(p *image.NRGBA, w, h int, fill color.Color) *image.NRGBA {
	if p.Rect.Dx() == w && p.Rect.Dy() == h {
		return p
	}
	return imaging.PasteCenter(imaging.New(w, h, fill), p)
}

// turnWhole turns anticlockwise by degrees (bilinear) on a canvas that holds everything, corners filled.
func turnWhole(degrees float64, fill color.Color) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA { return imaging.Rotate(p, degrees, fill) }
}

// turnCropped turns anticlockwise by degrees (bilinear) and keeps the largest upright rectangle, of the
// picture's own shape, that has no filled corner in it, as a telephone's gallery does.
func turnCropped(degrees float64) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA {
		w, h := float64(p.Rect.Dx()), float64(p.Rect.Dy())
		s, c := math.Sincos(math.Abs(degrees) * math.Pi / 180)
		f := math.Min(w/(w*c+h*s), h/(w*s+h*c))
		side := func(n float64) int { return max(1, int(f*n)-1) }
		return imaging.CropCenter(imaging.Rotate(p, degrees, color.Black), side(w), side(h))
	}
}

// crops adapts a seeded crop to a chain of steps.
func crops(fraction float64, rng *rand.Rand) func(*image.NRGBA) *image.NRGBA {
	return func(p *image.NRGBA) *image.NRGBA { return cropTo(fraction)(p, false, rng) }
}
