package delivery

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/draw"
	"strconv"
	"strings"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/embed"
)

// Geometry says what becomes of a master's size.
//
// Square: the short side is brought to Resolution by a Lanczos filter and the centre square is cut out: 8 bits a
// sample, transparency composited on white. Buckets: the same, but the rectangle cut out is that one of Buckets whose
// aspect is nearest the master's. Native: size, depth and transparency stay, and the mark's cell is
// made for a trainer that will bring the short side to Resolution.
//
// The text form is "square:1024", "buckets:1024" or "native:1024".
type Geometry struct {
	Square     bool
	Buckets    bool
	Resolution int // R, pixels; of buckets the side of the square one
}

// Bounds of R, in pixels. Below 64 the short side has not one cell; above the greatest no trainer is known. A picture
// that must be readable by itself needs more: below 256 it has fewer than 16 cells.
const (
	MinResolution     = 64
	MinResolutionEach = 256
	MaxResolution     = 4096
)

// defaultResolution is the short side at which most trainers see an image today.
const defaultResolution = 1024

// MaxUpscale is how much a square geometry may enlarge a master before it is refused as too small. A quarter
// more is hard to see; beyond that a customer would pay for pixels that are not there.
const MaxUpscale = 1.25

// ParseGeometry reads "square:R", "buckets:R", "native:R" or "native", which is native:1024.
func ParseGeometry(text string) (Geometry, error) {
	kind, number, found := strings.Cut(text, ":")
	g := Geometry{Square: kind == "square", Buckets: kind == "buckets", Resolution: defaultResolution}
	if kind != "square" && kind != "buckets" && kind != "native" || kind != "native" && !found {
		return Geometry{}, fmt.Errorf("delivery: no geometry %q; choose square:1024, buckets:1024, native or native:1024", text)
	}
	if found {
		n, err := strconv.Atoi(number)
		if err != nil || strconv.Itoa(n) != number {
			return Geometry{}, fmt.Errorf("delivery: geometry %q: %q is not a number of pixels", text, number)
		}
		g.Resolution = n
	}
	return g, g.check()
}

func (g Geometry) check() error {
	if g.Resolution < MinResolution || g.Resolution > MaxResolution {
		return fmt.Errorf("delivery: a resolution of %d pixels; choose %d to %d", g.Resolution, MinResolution, MaxResolution)
	}
	if g.Buckets && (g.Square || g.Resolution%bucketStep != 0 || g.Resolution < minBuckets) {
		return fmt.Errorf("delivery: buckets of %d pixels; choose a multiple of %d from %d to %d", g.Resolution, bucketStep, minBuckets, MaxResolution)
	}
	return nil
}

// String returns the text form, the inverse of ParseGeometry.
func (g Geometry) String() string {
	switch {
	case g.Square:
		return fmt.Sprintf("square:%d", g.Resolution)
	case g.Buckets:
		return fmt.Sprintf("buckets:%d", g.Resolution)
	}
	return fmt.Sprintf("native:%d", g.Resolution)
}

// MarshalText returns the text form.
func (g Geometry) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads the text form as String writes it.
func (g *Geometry) UnmarshalText(text []byte) error {
	p, err := ParseGeometry(string(text))
	if err != nil {
		return err
	}
	if p.String() != string(text) {
		return fmt.Errorf("delivery: geometry %q is written %q", text, p)
	}
	*g = p
	return nil
}

// Changes says what a geometry did to a master besides scaling down and cutting.
type Changes struct {
	Upscaled      bool `json:"upscaled"`
	Flattened     bool `json:"flattened"`        // transparency composited on white
	ReducedTo8Bit bool `json:"reduced_to_8_bit"` // 16-bit samples rounded to nearest
}

// apply makes the host: the picture that will be marked. deep says whether the file to be written keeps 16
// bits. The master, of one of raster's four types, is not changed.
func (g Geometry) apply(img image.Image, deep bool) (image.Image, Changes, *refusal) {
	var did Changes
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	short := min(w, h)
	if short < embed.MinSide {
		return nil, did, refuse(TooSmall, "%d x %d pixels; a mark needs a short side of at least %d", w, h, embed.MinSide)
	}
	if !g.Square && !g.Buckets {
		if !deep {
			img, did.ReducedTo8Bit = to8(img)
		}
		return img, did, nil
	}
	to := Bucket{Width: g.Resolution, Height: g.Resolution}
	if g.Buckets {
		to = g.bucketOf(w, h)
	}
	cutW, cutH := to.cut(w, h)
	if float64(to.Width) > MaxUpscale*float64(cutW) || float64(to.Height) > MaxUpscale*float64(cutH) {
		if g.Buckets {
			return nil, did, refuse(TooSmall, "%d x %d pixels; %v makes it %d x %d, for which it must hold %.0f x %.0f of that shape", w, h, g, to.Width, to.Height, float64(to.Width)/MaxUpscale, float64(to.Height)/MaxUpscale)
		}
		return nil, did, refuse(TooSmall, "%d x %d pixels; %v needs a short side of at least %.0f", w, h, g, float64(g.Resolution)/MaxUpscale)
	}
	img, did.Flattened = flatten(img)
	img, did.ReducedTo8Bit = to8(img)
	did.Upscaled = to.Width > cutW || to.Height > cutH
	return resize(centre(img, cutW, cutH), to.Width, to.Height), did, nil
}

// centre cuts a rectangle of the given size out of the middle; an odd remainder is cut one pixel more at the right
// or bottom. It aliases img.
func centre(img image.Image, w, h int) image.Image {
	b := img.Bounds()
	x, y := b.Min.X+(b.Dx()-w)/2, b.Min.Y+(b.Dy()-h)/2
	r := image.Rect(x, y, x+w, y+h)
	return img.(interface {
		SubImage(image.Rectangle) image.Image
	}).SubImage(r)
}

// resize brings an 8-bit picture to w x h pixels with a Lanczos filter; grey stays grey. The result begins at the
// origin and has no row padding. At its own size a picture is copied exactly.
func resize(img image.Image, w, h int) image.Image {
	b := img.Bounds()
	grey, isGrey := img.(*image.Gray)
	if b.Dx() == w && b.Dy() == h {
		if isGrey {
			dst := image.NewGray(image.Rect(0, 0, w, h))
			draw.Draw(dst, dst.Rect, grey, b.Min, draw.Src)
			return dst
		}
		return imaging.Clone(img)
	}
	c := imaging.Resize(img, w, h, imaging.Lanczos)
	if !isGrey {
		return c
	}
	dst := image.NewGray(c.Rect)
	for i := range dst.Pix {
		dst.Pix[i] = c.Pix[4*i]
	}
	return dst
}

// thumbnail gives an 8-bit opaque copy with the given short side, or of the picture's own size if that is smaller.
func thumbnail(img image.Image, short int) image.Image {
	img, _ = flatten(img)
	img, _ = to8(img)
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	if s := min(w, h); s > short {
		w, h = (w*short+s/2)/s, (h*short+s/2)/s
	}
	return resize(img, w, h)
}

// flatten composites a picture on white, in the samples' own (gamma) space, and says whether anything shone
// through. An opaque picture is returned as it is.
func flatten(img image.Image) (image.Image, bool) {
	switch m := img.(type) {
	case *image.NRGBA:
		if m.Opaque() {
			return img, false
		}
		dst := image.NewNRGBA(m.Rect)
		for i := 0; i < len(m.Pix); i += 4 {
			a := uint32(m.Pix[i+3])
			for c := range 3 {
				dst.Pix[i+c] = uint8((uint32(m.Pix[i+c])*a + 255*(255-a) + 127) / 255)
			}
			dst.Pix[i+3] = 255
		}
		return dst, true
	case *image.NRGBA64:
		if m.Opaque() {
			return img, false
		}
		const one = 65535
		dst := image.NewNRGBA64(m.Rect)
		be := binary.BigEndian
		for i := 0; i < len(m.Pix); i += 8 {
			a := uint64(be.Uint16(m.Pix[i+6:]))
			for c := 0; c < 6; c += 2 {
				v := uint64(be.Uint16(m.Pix[i+c:]))
				be.PutUint16(dst.Pix[i+c:], uint16((v*a+one*(one-a)+one/2)/one))
			}
			be.PutUint16(dst.Pix[i+6:], one)
		}
		return dst, true
	}
	return img, false
}

// to8 rounds 16-bit samples to the nearest of v/257 and says whether there were any.
func to8(img image.Image) (image.Image, bool) {
	narrow := func(dst, src []byte) {
		for i := range dst {
			dst[i] = byte(((uint32(src[2*i])<<8 | uint32(src[2*i+1])) + 128) / 257)
		}
	}
	switch m := img.(type) {
	case *image.Gray16:
		dst := image.NewGray(m.Rect)
		narrow(dst.Pix, m.Pix)
		return dst, true
	case *image.NRGBA64:
		dst := image.NewNRGBA(m.Rect)
		narrow(dst.Pix, m.Pix)
		return dst, true
	}
	return img, false
}
