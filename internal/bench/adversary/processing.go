package adversary

import (
	"bytes"
	"image"
	"image/draw"
	"image/jpeg"
	"math/rand/v2"
	"slices"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/internal/signal"
)

// process is something every picture program can do to a picture.
type process struct {
	name  string
	apply func(p *image.NRGBA, rng *rand.Rand) *image.NRGBA
}

// processes lists what is tried, in the order of the table.
func processes() []process {
	plain := func(f func(*image.NRGBA) *image.NRGBA) func(*image.NRGBA, *rand.Rand) *image.NRGBA {
		return func(p *image.NRGBA, _ *rand.Rand) *image.NRGBA { return f(p) }
	}
	return []process{
		{"untouched", plain(func(p *image.NRGBA) *image.NRGBA { return p })},
		{"histogram stretched, 1 % cut at either end", plain(stretch)},
		{"histogram equalised", plain(equalise)},
		{"gamma 2", plain(func(p *image.NRGBA) *image.NRGBA { return imaging.AdjustGamma(p, 2) })},
		{"print-like: blur 1.2, noise 6, less contrast, JPEG 80", printed},
		{"median 3 x 3", plain(func(p *image.NRGBA) *image.NRGBA { return medianFilter(p, 1) })},
		{"median 5 x 5", plain(func(p *image.NRGBA) *image.NRGBA { return medianFilter(p, 2) })},
		{"bilateral, 7 x 7", plain(bilateral)},
		{"wavelet shrinkage", plain(shrink)},
		{"non-local means", plain(nonLocalMeans)},
		{"JPEG 10", plain(func(p *image.NRGBA) *image.NRGBA { return asJPEG(p, 10) })},
		{"quarter size and back", plain(func(p *image.NRGBA) *image.NRGBA {
			b := p.Rect
			return imaging.Resize(imaging.Resize(p, b.Dx()/4, b.Dy()/4, imaging.Lanczos), b.Dx(), b.Dy(), imaging.Lanczos)
		})},
	}
}

// processing puts delivered files through every process.
func (l *lab) processing() ([]Row, error) {
	all := processes()
	outs := make([][]outcome, len(all))
	for k := range all {
		outs[k] = make([]outcome, len(l.victims))
	}
	err := l.each(len(l.victims), func(i int) error {
		host, marked, err := l.victim(i, l.Side)
		if err != nil {
			return err
		}
		for k, p := range all {
			attacked := p.apply(marked, rand.New(rand.NewPCG(l.Seed, uint64(i))))
			if outs[k][i], err = l.ours.read(l.Side, exhibit{attacked, host, marked, []int{victimWork(i)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var rows []Row
	for k, p := range all {
		rows = append(rows, row("processing", p.name, 0, outs[k]))
	}
	return rows, nil
}

// mapped sends every sample of channel c through table[c].
func mapped(p *image.NRGBA, table *[3][256]uint8) *image.NRGBA {
	out := imaging.Clone(p)
	for i := 0; i < len(out.Pix); i += 4 {
		for c := range 3 {
			out.Pix[i+c] = table[c][out.Pix[i+c]]
		}
	}
	return out
}

// stretch spreads each colour over the whole scale, a hundredth of the samples at either end being clipped.
func stretch(p *image.NRGBA) *image.NRGBA {
	var table [3][256]uint8
	for c := range 3 {
		var count [256]int
		for i := c; i < len(p.Pix); i += 4 {
			count[p.Pix[i]]++
		}
		clip := len(p.Pix) / 400
		lo, hi := 0, 255
		for n := count[0]; n <= clip; n += count[lo] {
			lo++
		}
		for n := count[255]; n <= clip; n += count[hi] {
			hi--
		}
		for v := range table[c] {
			table[c][v] = level(float64(v-lo) * 255 / float64(max(1, hi-lo)))
		}
	}
	return mapped(p, &table)
}

// equalise gives luma an even histogram, and moves the three colours alike.
func equalise(p *image.NRGBA) *image.NRGBA {
	y := signal.Luma(p)
	var count [256]int
	for _, v := range y.Pix {
		count[level(float64(v))]++
	}
	var even [256]float64
	below := 0
	for v, n := range count {
		even[v] = 255 * (float64(below) + float64(n)/2) / float64(len(y.Pix))
		below += n
	}
	out := imaging.Clone(p)
	for i, v := range y.Pix {
		move := even[level(float64(v))] - float64(v)
		for c := range 3 {
			out.Pix[4*i+c] = level(float64(p.Pix[4*i+c]) + move)
		}
	}
	return out
}

// printed is roughly what printing and scanning do, the geometry aside.
func printed(p *image.NRGBA, rng *rand.Rand) *image.NRGBA {
	const blurPx, noiseLevels, contrast, quality = 1.2, 6, -10, 80
	out := imaging.AdjustContrast(imaging.Blur(p, blurPx), contrast)
	for i := range out.Pix {
		if i%4 != 3 {
			out.Pix[i] = level(float64(out.Pix[i]) + noiseLevels*rng.NormFloat64())
		}
	}
	return asJPEG(out, quality)
}

// asJPEG writes a JPEG, 4:2:0, and reads it back.
func asJPEG(p *image.NRGBA, quality int) *image.NRGBA {
	var file bytes.Buffer
	if err := jpeg.Encode(&file, &image.RGBA{Pix: p.Pix, Stride: p.Stride, Rect: p.Rect}, &jpeg.Options{Quality: quality}); err != nil {
		panic("adversary: " + err.Error()) // only for sides over 65535
	}
	back, err := jpeg.Decode(&file)
	if err != nil {
		panic("adversary: " + err.Error())
	}
	out := image.NewNRGBA(p.Rect)
	draw.Draw(&image.RGBA{Pix: out.Pix, Stride: out.Stride, Rect: out.Rect}, out.Rect, back, image.Point{}, draw.Src)
	return out
}

// medianFilter replaces each sample by the median of the (2 radius + 1)-square around it.
func medianFilter(p *image.NRGBA, radius int) *image.NRGBA {
	out := imaging.Clone(p)
	w, h := p.Rect.Dx(), p.Rect.Dy()
	around := make([]uint8, 0, (2*radius+1)*(2*radius+1))
	for y := range h {
		for x := range w {
			for c := range 3 {
				around = around[:0]
				for v := max(0, y-radius); v <= min(h-1, y+radius); v++ {
					for u := max(0, x-radius); u <= min(w-1, x+radius); u++ {
						around = append(around, p.Pix[v*p.Stride+4*u+c])
					}
				}
				slices.Sort(around)
				out.Pix[y*out.Stride+4*x+c] = around[len(around)/2]
			}
		}
	}
	return out
}
