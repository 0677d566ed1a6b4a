package adversary

import (
	"image"
	"math"

	"github.com/filigrane/filigrane/internal/signal"
)

// What the denoisers take for noise: a standard mark has an RMS of 2 levels.
const noiseLevels = 2.0

// colours splits a picture into R, G and B.
func colours(p *image.NRGBA) [3]*signal.Plane {
	var out [3]*signal.Plane
	for c := range out {
		out[c] = signal.NewPlane(p.Rect.Dx(), p.Rect.Dy())
		for i := range out[c].Pix {
			out[c].Pix[i] = float32(p.Pix[4*i+c])
		}
	}
	return out
}

// picture puts R, G and B together, rounded and clipped.
func picture(rgb [3]*signal.Plane) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, rgb[0].W, rgb[0].H))
	for i := range rgb[0].Pix {
		for c := range rgb {
			out.Pix[4*i+c] = level(float64(rgb[c].Pix[i]))
		}
		out.Pix[4*i+3] = 255
	}
	return out
}

// weighted replaces every pixel by the mean of those at most radius away along either axis, weighted as
// weigh says for each offset: a plane of the weights of the pixels at that offset.
func weighted(p *image.NRGBA, radius int, weigh func(luma *signal.Plane, dx, dy int) *signal.Plane) *image.NRGBA {
	luma := signal.Luma(p)
	rgb := colours(p)
	var sum [3]*signal.Plane
	for c := range sum {
		sum[c] = signal.NewPlane(luma.W, luma.H)
	}
	total := signal.NewPlane(luma.W, luma.H)
	for dy := -radius; dy <= radius; dy++ {
		for dx := -radius; dx <= radius; dx++ {
			weights := weigh(luma, dx, dy)
			for y := range luma.H {
				for x := range luma.W {
					i, k := y*luma.W+x, near(luma, x+dx, y+dy)
					w := weights.Pix[i]
					total.Pix[i] += w
					for c := range sum {
						sum[c].Pix[i] += w * rgb[c].Pix[k]
					}
				}
			}
		}
	}
	for i, t := range total.Pix {
		for c := range sum {
			sum[c].Pix[i] /= t
		}
	}
	return picture(sum)
}

// near is the index of the sample nearest to (x, y), which may lie outside.
func near(p *signal.Plane, x, y int) int {
	return max(0, min(p.H-1, y))*p.W + max(0, min(p.W-1, x))
}

// squares returns the squared difference of each sample from that at an offset.
func squares(p *signal.Plane, dx, dy int) *signal.Plane {
	d := signal.NewPlane(p.W, p.H)
	for y := range p.H {
		for x := range p.W {
			i := y*p.W + x
			v := p.Pix[i] - p.Pix[near(p, x+dx, y+dy)]
			d.Pix[i] = v * v
		}
	}
	return d
}

// bilateral is the filter of Tomasi and Manduchi (1998): a blur that stops at edges.
func bilateral(p *image.NRGBA) *image.NRGBA {
	const radius, spread, contrast = 3, 2.0, 4 * noiseLevels
	return weighted(p, radius, func(luma *signal.Plane, dx, dy int) *signal.Plane {
		d := squares(luma, dx, dy)
		away := float64(dx*dx+dy*dy) / (2 * spread * spread)
		for i, v := range d.Pix {
			d.Pix[i] = float32(math.Exp(-away - float64(v)/(2*contrast*contrast)))
		}
		return d
	})
}

// nonLocalMeans averages pixels whose 5 x 5 surroundings look alike (Buades, Coll and Morel 2005), within 7 x 7.
func nonLocalMeans(p *image.NRGBA) *image.NRGBA {
	const radius, patch = 3, 2
	return weighted(p, radius, func(luma *signal.Plane, dx, dy int) *signal.Plane {
		d := signal.BoxMean(squares(luma, dx, dy), patch)
		for i, v := range d.Pix {
			d.Pix[i] = float32(math.Exp(-max(0, float64(v)-2*noiseLevels*noiseLevels) / (noiseLevels * noiseLevels)))
		}
		return d
	})
}

// shrink takes noiseLevels off the details of every scale up to 16 pixels, in luma and chroma: soft thresholding of
// the undecimated B3-spline wavelet transform (Starck, Fadili and Murtagh 2007).
func shrink(p *image.NRGBA) *image.NRGBA {
	const scales = 4
	rgb := colours(p)
	for c, plane := range rgb {
		kept := signal.NewPlane(plane.W, plane.H)
		for s := range scales {
			smooth := splineBlur(plane, 1<<s)
			for i, v := range smooth.Pix {
				detail := plane.Pix[i] - v
				switch {
				case detail > noiseLevels:
					kept.Pix[i] += detail - noiseLevels
				case detail < -noiseLevels:
					kept.Pix[i] += detail + noiseLevels
				}
			}
			plane = smooth
		}
		for i, v := range plane.Pix {
			kept.Pix[i] += v
		}
		rgb[c] = kept
	}
	return picture(rgb)
}

// splineBlur convolves both axes with (1, 4, 6, 4, 1)/16, gap samples apart.
func splineBlur(p *signal.Plane, gap int) *signal.Plane {
	across, out := signal.NewPlane(p.W, p.H), signal.NewPlane(p.W, p.H)
	pass := func(dst, src *signal.Plane, dx, dy int) {
		for y := range src.H {
			for x := range src.W {
				one := src.Pix[near(src, x-dx, y-dy)] + src.Pix[near(src, x+dx, y+dy)]
				two := src.Pix[near(src, x-2*dx, y-2*dy)] + src.Pix[near(src, x+2*dx, y+2*dy)]
				dst.Pix[y*src.W+x] = (6*src.Pix[y*src.W+x] + 4*one + two) / 16
			}
		}
	}
	pass(across, p, gap, 0)
	pass(out, across, 0, gap)
	return out
}
