package detect

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// finder is a way to find the frame of a pattern in a plane of residual without its key.
type finder struct {
	name   string
	photos int // how many it is tried on: one is slow
	find   func(p *mark.Profile, plane *signal.Plane, fft *signal.FFT2) frame
}

// finders are the three ways that were compared before the comb was taken.
var finders = []finder{
	{"comb", 12, func(p *mark.Profile, plane *signal.Plane, fft *signal.FFT2) frame {
		return newComb(p, []*signal.Plane{plane}, fft).search(ranges{angles: 42, keep: 1, teeth: math.MaxInt})[0].frame
	}},
	{"log-polar", 12, logPolar},
	{"folded-window", 2, foldedWindow},
}

// BenchmarkGeometry turns, scales and compresses marked photographs and counts how often each way finds the frame, to 1 % and
// half a degree: "found/100".
func BenchmarkGeometry(b *testing.B) {
	p := mark.Profile1()
	books := mark.NewBooks(p, decoyKey([]byte("geometry"), 0).Keys())
	names := []string{"flowers/marigold.jpg", "sky/kite.jpg", "animals/two-dogs.jpg", "forest/woodland-rocks.jpg", "objects/drum.jpg", "water/lake-jetty.jpg",
		"plants/dune-grass.jpg", "mountains/rock-cliff.jpg", "patterns/pebbles.jpg", "sky/cloud-layer.jpg", "objects/wall-clock.jpg", "animals/nuthatch.jpg"}
	fft := signal.NewFFT2(combSize)
	for _, edit := range []struct{ scale, degrees, psnr float64 }{{0.83, 7, 42}, {0.5, -11, 42}, {0.4, 3, 45}} {
		var planes []*signal.Plane
		for i, name := range names {
			marked, _, err := embed.Mark(testphotos.Square(b, name, 1024), mark.NewCell(p, books, mark.Names{Concepts: []int{3}, Work: 1 + i}), embed.Options{PSNRDB: edit.psnr})
			if err != nil {
				b.Fatal(err)
			}
			turned := imaging.Rotate(imaging.CropCenter(marked, 900, 900), edit.degrees, color.Black)
			planes = append(planes, newMaterial(image.Image(imaging.Resize(turned, int(float64(turned.Rect.Dx())*edit.scale), 0, imaging.Lanczos))).planes[signal.Y])
		}
		for _, f := range finders {
			b.Run(fmt.Sprintf("%s,scale=%v,degrees=%v,psnr=%v", f.name, edit.scale, edit.degrees, edit.psnr), func(b *testing.B) {
				found, tried := 0, 0
				for b.Loop() {
					got := f.find(p, planes[tried%f.photos], fft)
					angle, _ := got.shape()
					if math.Abs(got.cell()/mark.CellSize/edit.scale-1) < 0.01 && math.Abs(angle*180/math.Pi-edit.degrees) < 0.5 {
						found++
					}
					tried++
				}
				b.ReportMetric(100*float64(found)/float64(tried), "found/100")
			})
		}
	}
}

// logPolar correlates the picture's spectrum and the pattern's, both as functions of angle and logarithm of frequency, where a
// turn and a change of scale are shifts; the best shift is brought to the top of the comb's hill.
func logPolar(p *mark.Profile, plane *signal.Plane, fft *signal.FFT2) frame {
	const n = combSize
	const least, most = 8.0, 230.0 // bins
	rings := math.Log(most/least) / n
	c := newComb(p, []*signal.Plane{plane}, fft)
	field, pattern := make([]complex128, n*n), make([]complex128, n*n)
	for a := range n {
		sin, cos := math.Sincos(math.Pi * float64(a) / n)
		for r := range n {
			f := least * math.Exp(rings*float64(r))
			field[a*n+r] = complex(float64(c.power[int(n/2+f*sin+0.5)*n+int(n/2+f*cos+0.5)]-1), 0)
		}
	}
	for _, t := range c.teeth {
		f := math.Hypot(t.kx, t.ky) * n / mark.CellSize
		a := math.Mod(math.Atan2(t.ky, t.kx)+math.Pi, math.Pi)
		pattern[int(a/math.Pi*n)%n*n+(int(math.Log(f/least)/rings)+n)%n] += complex(t.weight, 0)
	}
	fft.Forward(field)
	fft.Forward(pattern)
	for i := range field {
		field[i] *= conj(pattern[i])
	}
	fft.Inverse(field)
	best, at := math.Inf(-1), frame{}
	for a := -n / 12; a <= n/12; a++ { // 15 degrees
		for r := -n / 2; r < n/2; r++ {
			scale := math.Exp(-rings * float64(r))
			if v := real(field[(a+n)%n*n+(r+n)%n]); v > best && scale >= leastScale && scale <= mostScale {
				best, at = v, shaped(scale, -math.Pi*float64(a)/n, 1)
			}
		}
	}
	return c.climb(candidate{frame: at}, true).frame
}

// foldedWindow folds a window of 256 x 256 samples in every frame of a coarse grid and takes the one in which most power repeats.
func foldedWindow(p *mark.Profile, plane *signal.Plane, fft *signal.FFT2) frame {
	const side = 256
	x, y := (plane.W-side)/2, (plane.H-side)/2
	m := &material{w: side, h: side}
	m.planes[signal.Y] = signal.Crop(plane, image.Rect(x, y, x+side, y+side))
	f, teeth := newFolder(), newTeeth(p, 16)
	best, at := math.Inf(-1), frame{}
	const step = 2 * combStep // a window half as long
	for a := -21; a <= 21; a++ {
		for s := 0; s <= int(math.Log(mostScale/leastScale)/step); s++ {
			fr := shaped(leastScale*math.Exp(step*float64(s)), step*float64(a), 1)
			z := f.plain(m, fr)
			on, all := 0.0, 0.0
			for _, t := range teeth {
				on += t.weight * power(z[index(int(t.kx), int(t.ky))])
				all += t.weight
			}
			cells := math.Pow(side/fr.cell(), 2)
			if v := on / all / cells; v > best {
				best, at = v, fr
			}
		}
	}
	return newComb(p, []*signal.Plane{plane}, fft).climb(candidate{frame: at}, true).frame
}
