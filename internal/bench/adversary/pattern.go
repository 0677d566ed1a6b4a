package adversary

import (
	"image"
	"math"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

const (
	cellSize  = mark.CellSize
	cellArea  = cellSize * cellSize
	highPass  = 8   // radius, in pixels, of the local mean taken off: cells hold no longer waves than 21 pixels
	quietDev  = 1.0 // 8-bit levels added to the local deviation: the rounding of pixels
	boxLength = 2*highPass + 1
)

// sums are what an attacker adds up over files: residuals folded over the cell, weighted by how quiet the
// picture is where they lie, and the weights.
type sums struct {
	residual, weight [signal.Channels][cellArea]float64
}

func (s *sums) add(o *sums) {
	for c := range s.residual {
		for i := range s.residual[c] {
			s.residual[c][i] += o.residual[c][i]
			s.weight[c][i] += o.weight[c][i]
		}
	}
}

// quietPlanes splits a picture into planes less their local mean, and the weights of their samples: one
// over the local variance, which is best where the picture is noise to whoever looks for the mark.
func quietPlanes(img *image.NRGBA) (residual, weight [signal.Channels]*signal.Plane) {
	y, cb, cr := signal.LumaChroma(img)
	for c, p := range []*signal.Plane{y, cb, cr} {
		local := signal.BoxMean(p, highPass)
		square := signal.NewPlane(p.W, p.H)
		for i, m := range local.Pix {
			p.Pix[i] -= m
			square.Pix[i] = p.Pix[i] * p.Pix[i]
		}
		w := signal.BoxMean(square, highPass)
		for i, v := range w.Pix {
			w.Pix[i] = 1 / (v + quietDev*quietDev)
		}
		residual[c], weight[c] = p, w
	}
	return residual, weight
}

// foldFile is the attacker's look at one file whose cell lies at its centre.
func foldFile(img *image.NRGBA) *sums {
	s := &sums{}
	residual, weight := quietPlanes(img)
	for c := range residual {
		w, h := residual[c].W, residual[c].H
		for y := range h {
			for x := range w {
				i, k := y*w+x, at(x, y, w, h)
				one := float64(weight[c].Pix[i])
				s.residual[c][k] += one * float64(residual[c].Pix[i])
				s.weight[c][k] += one
			}
		}
	}
	return s
}

// pattern is an estimate of the cell, in levels, per lattice and channel: sample (x, y) of a picture of even
// size takes entry ((y - height/2) mod 64) * 64 + (x - width/2) mod 64.
type pattern [mark.Lattices][signal.Channels][]float64

// pattern turns sums into an estimate of the waves the profile uses, all of which are public; the local
// mean's effect on each wave is undone.
func (s *sums) pattern() *pattern {
	fft := signal.NewFFT2(cellSize)
	out := &pattern{}
	for c := range signal.Channels {
		spectrum := make([]complex128, cellArea)
		for i, r := range s.residual[c] {
			spectrum[i] = complex(r/math.Max(s.weight[c][i], 1e-12), 0)
		}
		fft.Forward(spectrum)
		for l := range mark.Lattices {
			part := make([]complex128, cellArea)
			for _, h := range mark.Profile1().Harmonics(l) {
				if h.Channel != c {
					continue
				}
				undo := complex(1/((1-meanOf(h.KX)*meanOf(h.KY))*cellArea), 0)
				for _, at := range []int{wrap(h.KY)*cellSize + wrap(h.KX), wrap(-h.KY)*cellSize + wrap(-h.KX)} {
					part[at] = spectrum[at] * undo
				}
			}
			fft.Inverse(part)
			out[l][c] = make([]float64, cellArea)
			for i, z := range part {
				out[l][c][i] = real(z)
			}
		}
	}
	return out
}

func wrap(k int) int { return (k%cellSize + cellSize) % cellSize }

// meanOf is what the local mean along one axis leaves of a wave of k cycles per cell.
func meanOf(k int) float64 {
	if k == 0 {
		return 1
	}
	t := math.Pi * float64(k) / cellSize
	return math.Sin(boxLength*t) / (boxLength * math.Sin(t))
}

// only returns the pattern reduced to some lattices.
func (p *pattern) only(ls ...mark.Lattice) *pattern {
	out := &pattern{}
	for _, l := range ls {
		out[l] = p[l]
	}
	return out
}

// at returns the sample of a lattice and channel that belongs to pixel (x, y) of a w x h picture.
func at(x, y, w, h int) int { return wrap(y-h/2)*cellSize + wrap(x-w/2) }

// texture is where and how strongly the program would mark a picture: what an attacker learns by marking it
// once more, strongly, with a key of his own, and looking at the difference. Mean square 1.
func texture(img *image.NRGBA) (*signal.Plane, error) {
	const strongDB = 32 // so that the rounding of pixels does not show
	own := newDelivery(0, "the attacker's ruler")
	marked, err := own.markAt(img, 1, strongDB)
	if err != nil {
		return nil, err
	}
	a := signal.Luma(img)
	b := signal.Luma(marked)
	for i, v := range a.Pix {
		d := b.Pix[i] - v
		a.Pix[i] = d * d
	}
	mask := signal.BoxMean(a, 2*highPass)
	power := 0.0
	for _, v := range mask.Pix {
		power += float64(v)
	}
	scale := float64(len(mask.Pix)) / math.Max(power, 1e-12)
	for i, v := range mask.Pix {
		mask.Pix[i] = float32(math.Sqrt(math.Max(float64(v)*scale, 0)))
	}
	return mask, nil
}

// subtract takes a pattern out of a picture: every lattice and channel by the factor that leaves least of it
// in the picture's quiet places (weighted least squares).
func (p *pattern) subtract(img *image.NRGBA) (*image.NRGBA, error) {
	mask, err := texture(img)
	if err != nil {
		return nil, err
	}
	residual, weight := quietPlanes(img)
	var total [signal.Channels][cellArea]float64
	for l := range p {
		for c, tile := range p[l] {
			if tile == nil {
				continue
			}
			gain := fit(residual[c], weight[c], mask, tile)
			for i, v := range tile {
				total[c][i] -= gain * v
			}
		}
	}
	return addTile(img, mask, &total, 1), nil
}

// fit returns the factor of tile x mask that comes nearest to the residual.
func fit(residual, weight, mask *signal.Plane, tile []float64) float64 {
	var both, own float64
	for y := range mask.H {
		for x := range mask.W {
			i := y*mask.W + x
			t := tile[at(x, y, mask.W, mask.H)] * float64(mask.Pix[i])
			w := float64(weight.Pix[i])
			both += w * t * float64(residual.Pix[i])
			own += w * t * t
		}
	}
	return both / math.Max(own, 1e-12)
}

// forge adds a pattern to a picture, as strongly as the program marks.
func (p *pattern) forge(img *image.NRGBA) (*image.NRGBA, error) {
	mask, err := texture(img)
	if err != nil {
		return nil, err
	}
	var total [signal.Channels][cellArea]float64
	power := 0.0
	for l := range p {
		for c, tile := range p[l] {
			for i, v := range tile {
				total[c][i] += v
			}
		}
	}
	for c := range total {
		for _, v := range total[c] {
			power += mark.ChannelPower(c) * v * v / cellArea
		}
	}
	want := 255 * math.Pow(10, -StrengthDB/20)
	return addTile(img, mask, &total, want/math.Sqrt(math.Max(power, 1e-12))), nil
}

// addTile adds gain x mask x tile to a picture, rounded and clipped.
func addTile(img *image.NRGBA, mask *signal.Plane, tile *[signal.Channels][cellArea]float64, gain float64) *image.NRGBA {
	out := image.NewNRGBA(img.Rect)
	for y := range mask.H {
		for x := range mask.W {
			k, a := at(x, y, mask.W, mask.H), gain*float64(mask.Pix[y*mask.W+x])
			l, cb, cr := a*tile[signal.Y][k], a*tile[signal.Cb][k], a*tile[signal.Cr][k]
			i := y*img.Stride + 4*x
			out.Pix[i] = level(float64(img.Pix[i]) + l + 1.402*cr) // BT.601
			out.Pix[i+1] = level(float64(img.Pix[i+1]) + l - 0.344136*cb - 0.714136*cr)
			out.Pix[i+2] = level(float64(img.Pix[i+2]) + l + 1.772*cb)
			out.Pix[i+3] = img.Pix[i+3]
		}
	}
	return out
}

// level rounds to a whole 8-bit level and clips.
func level(v float64) uint8 { return uint8(max(0, min(255, math.Floor(v+0.5)))) }
