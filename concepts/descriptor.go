package concepts

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
)

// DescriptorLen is the length of a [Descriptor].
const DescriptorLen = gridLen + hueLen + textureLen

const (
	gridLen    = 9 * 3 * 2 // 3 x 3 cells, 3 channels, mean and standard deviation
	hueLen     = 12        // sectors of 30 degrees, centred on red, orange, ...
	textureLen = 3 * 4     // scales, gradient orientations
)

// descriptorSide is the longest side, in pixels, of the copy that is described.
const descriptorSide = 256

// fullScale is white in the units of the small copy: 8 bits and 4 fractional ones.
const fullScale = 255 * 16

// Descriptor describes the colours and textures of an image, for the rule visual:K, in DescriptorLen = 78 numbers:
//
//	0..53   for each cell of a 3 x 3 grid in reading order, for each of luma (77R+150G+29B)/256, R-G
//	        and (R+G)/2-B: mean, standard deviation. Luma in 0..1, the others in -1..1.
//	54..65  for 12 sectors of hue, 30 degrees wide and centred on red (54), orange, yellow, ...: the sum
//	        of chroma (max-min of R, G, B) of the pixels in it, divided by the number of pixels. 0..1.
//	66..77  for 3 scales (the copy, then halved twice), for 4 gradient orientations (0, 45, 90, 135
//	        degrees, each +-22.5): the root of the sum of squared gradients (central differences of luma) in
//	        it, divided by the number of pixels. At least 0.
//
// It is measured on a copy of at most 256 pixels a side, made by averaging whole pixels over white, in
// integers and square roots only, so all platforms agree. Cost: one pass over the pixels. It is made
// for sorting a catalogue, not for recognising anything. It panics if img is nil or empty.
func Descriptor(img image.Image) []float64 {
	if img == nil || img.Bounds().Empty() {
		panic("concepts: Descriptor of an empty image")
	}
	s := shrink(img)
	d := make([]float64, 0, DescriptorLen)
	d = s.appendGrid(d)
	d = s.appendHues(d)
	luma := field{s.w, s.h, make([]int64, s.w*s.h)}
	for i, p := range s.pix {
		luma.v[i] = p.channels()[0]
	}
	for scale := range 3 {
		if scale > 0 {
			luma = luma.halved()
		}
		d = luma.appendTexture(d)
	}
	return d
}

// rgb is one pixel in 0..fullScale.
type rgb [3]int64

// channels returns luma, R-G and (R+G)/2-B.
func (p rgb) channels() [3]int64 {
	return [3]int64{(77*p[0] + 150*p[1] + 29*p[2]) / 256, p[0] - p[1], (p[0]+p[1])/2 - p[2]}
}

type small struct {
	w, h int
	pix  []rgb
}

// shrink averages blocks of whole pixels. Rows are converted a strip at a time: a full copy of a large
// image would cost more memory than the image.
func shrink(img image.Image) small {
	b := img.Bounds()
	w, h := b.Dx(), b.Dy()
	if side := max(w, h); side > descriptorSide {
		w, h = max(1, w*descriptorSide/side), max(1, h*descriptorSide/side)
	}
	s := small{w, h, make([]rgb, w*h)}
	strip := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()/h+1))
	white := image.NewUniform(color.White)
	for y := range h {
		top, bottom := y*b.Dy()/h, (y+1)*b.Dy()/h
		r := image.Rect(0, 0, b.Dx(), bottom-top)
		draw.Draw(strip, r, white, image.Point{}, draw.Src)
		draw.Draw(strip, r, img, image.Pt(b.Min.X, b.Min.Y+top), draw.Over)
		for x := range w {
			left, right := x*b.Dx()/w, (x+1)*b.Dx()/w
			var sum rgb
			for row := range bottom - top {
				line := strip.Pix[row*strip.Stride+4*left : row*strip.Stride+4*right]
				for i := 0; i < len(line); i += 4 {
					sum[0] += int64(line[i])
					sum[1] += int64(line[i+1])
					sum[2] += int64(line[i+2])
				}
			}
			n := int64((bottom - top) * (right - left))
			for c := range sum {
				s.pix[y*w+x][c] = (16*sum[c] + n/2) / n
			}
		}
	}
	return s
}

func (s small) appendGrid(d []float64) []float64 {
	for cell := range 9 {
		x0, x1 := third(s.w, cell%3)
		y0, y1 := third(s.h, cell/3)
		var sum, squares [3]int64
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				for c, v := range s.pix[y*s.w+x].channels() {
					sum[c] += v
					squares[c] += v * v
				}
			}
		}
		n := int64((x1 - x0) * (y1 - y0))
		for c := range sum {
			scale := float64(n * fullScale)
			spread := n*squares[c] - sum[c]*sum[c] // n^2 times the variance, below 2^53
			d = append(d, float64(sum[c])/scale, math.Sqrt(float64(spread))/scale)
		}
	}
	return d
}

// third returns the i-th third of n, at least one wide.
func third(n, i int) (from, to int) {
	from = i * n / 3
	return from, max(from+1, (i+1)*n/3)
}

func (s small) appendHues(d []float64) []float64 {
	var mass [hueLen]int64
	for _, p := range s.pix {
		chroma := max(p[0], p[1], p[2]) - min(p[0], p[1], p[2])
		if chroma > 0 {
			mass[p.hueSector(chroma)] += chroma
		}
	}
	for _, m := range mass {
		d = append(d, float64(m)/float64(int64(len(s.pix))*fullScale))
	}
	return d
}

// hueSector returns which of 12 sectors the hexagonal hue of p lies in. In units of chroma the hue runs
// from 0 to 6; a sector is half a unit, shifted by a quarter so that 0 is centred on red.
func (p rgb) hueSector(chroma int64) int {
	var hue int64
	switch max(p[0], p[1], p[2]) {
	case p[0]:
		hue = p[1] - p[2]
		if hue < 0 {
			hue += 6 * chroma
		}
	case p[1]:
		hue = 2*chroma + p[2] - p[0]
	default:
		hue = 4*chroma + p[0] - p[1]
	}
	return int((4*hue + chroma) / (2 * chroma) % hueLen)
}

// field is a plane of luma.
type field struct {
	w, h int
	v    []int64
}

// halved averages blocks of 2 x 2; an odd last row or column is left out. A side of 1 stays.
func (f field) halved() field {
	g := field{max(1, f.w/2), max(1, f.h/2), nil}
	g.v = make([]int64, g.w*g.h)
	for y := range g.h {
		for x := range g.w {
			x0, y0 := 2*x, 2*y
			x1, y1 := min(x0+1, f.w-1), min(y0+1, f.h-1)
			g.v[y*g.w+x] = (f.v[y0*f.w+x0] + f.v[y0*f.w+x1] + f.v[y1*f.w+x0] + f.v[y1*f.w+x1] + 2) / 4
		}
	}
	return g
}

func (f field) appendTexture(d []float64) []float64 {
	var energy [4]int64
	for y := 1; y < f.h-1; y++ {
		for x := 1; x < f.w-1; x++ {
			i := y*f.w + x
			gx, gy := f.v[i+1]-f.v[i-1], f.v[i+f.w]-f.v[i-f.w]
			energy[orientation(gx, gy)] += gx*gx + gy*gy
		}
	}
	for _, e := range energy {
		d = append(d, math.Sqrt(float64(e)/float64(f.w*f.h))/fullScale)
	}
	return d
}

// orientation returns 0 for a gradient within 22.5 degrees of horizontal, then 1, 2, 3 for 45, 90 and 135 degrees
// (y grows downwards). 408/985 is tan 22.5 degrees to six digits.
func orientation(gx, gy int64) int {
	ax, ay := max(gx, -gx), max(gy, -gy)
	switch {
	case 985*ay <= 408*ax:
		return 0
	case 985*ax <= 408*ay:
		return 2
	case (gx > 0) == (gy > 0):
		return 1
	}
	return 3
}

// hueNames are the sectors of a descriptor's hues.
var hueNames = [hueLen]string{"red", "orange", "yellow", "lime", "green", "green", "cyan", "blue", "blue", "violet", "magenta", "pink"}

// greyChroma is the mean chroma below which an image is called grey: about that of a foggy landscape.
const greyChroma = 0.06

// inWords says what a descriptor shows, with texture judged against the catalogue: z holds the same
// numbers in standard deviations from its mean. It returns "" for a descriptor of another kind.
func inWords(d, z []float64) string {
	if len(d) != DescriptorLen {
		return ""
	}
	byName := map[string]float64{}
	best, chroma := "", 0.0
	for i, v := range d[gridLen : gridLen+hueLen] {
		byName[hueNames[i]] += v
		chroma += v
	}
	for _, name := range hueNames { // in this order, so that ties do not depend on the map
		if best == "" || byName[name] > byName[best] {
			best = name
		}
	}
	if chroma < greyChroma {
		best = "grey"
	}
	texture := 0.0
	for _, v := range z[gridLen+hueLen:] {
		texture += v / textureLen
	}
	level := "medium"
	if texture < -0.4 {
		level = "low"
	} else if texture > 0.4 {
		level = "high"
	}
	return fmt.Sprintf("dominant %s, %s texture", best, level)
}
