package calibration

import (
	"image"
	"image/color"
	"image/draw"
	"math"
	"math/rand/v2"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// graphicsSide is the side, in pixels, of what is drawn here.
const graphicsSide = 512

// Graphics draws what has no grain at all, where a residual is mostly structure: a page of text, line art, a
// flat logo and a smooth gradient, 512 x 512 pixels, the variants fixed by the seed.
func Graphics(seed uint64) []image.Image {
	rng := rand.New(rand.NewPCG(seed, 0x6772617068))
	return []image.Image{page(rng), lineArt(rng), logo(rng), gradient(rng)}
}

func canvas(v uint8) *image.NRGBA {
	p := image.NewNRGBA(image.Rect(0, 0, graphicsSide, graphicsSide))
	draw.Draw(p, p.Rect, image.NewUniform(color.Gray{v}), image.Point{}, draw.Src)
	return p
}

// page sets lines of words in a fixed-pitch face, 7 x 13 pixels: as regular as writing gets.
func page(rng *rand.Rand) *image.NRGBA {
	p := canvas(250)
	words := strings.Fields("the mark of a work is read by its key and what chance alone would name is counted before anything is said of it")
	pen := font.Drawer{Dst: p, Src: image.NewUniform(color.Gray{20}), Face: basicfont.Face7x13}
	for y := 30; y < graphicsSide-20; y += 16 {
		pen.Dot = fixed.P(24, y)
		for pen.Dot.X.Ceil() < graphicsSide-90 {
			pen.DrawString(words[rng.IntN(len(words))] + " ")
		}
	}
	return p
}

// lineArt draws black lines and circles, one pixel wide, on white.
func lineArt(rng *rand.Rand) *image.NRGBA {
	p := canvas(255)
	dot := func(x, y float64) { p.Set(int(x), int(y), color.Gray{0}) }
	for range 24 {
		x, y, a := graphicsSide*rng.Float64(), graphicsSide*rng.Float64(), math.Pi*rng.Float64()
		for t := -400.0; t < 400; t += 0.5 {
			dot(x+t*math.Cos(a), y+t*math.Sin(a))
		}
	}
	for range 8 {
		x, y, r := graphicsSide*rng.Float64(), graphicsSide*rng.Float64(), 20+150*rng.Float64()
		for a := 0.0; a < 2*math.Pi; a += 0.5 / r {
			dot(x+r*math.Cos(a), y+r*math.Sin(a))
		}
	}
	return p
}

// logo lays a few discs and bars of one colour each on a flat ground.
func logo(rng *rand.Rand) *image.NRGBA {
	p := canvas(235)
	for range 5 {
		c := color.NRGBA{uint8(rng.IntN(256)), uint8(rng.IntN(256)), uint8(rng.IntN(256)), 255}
		cx, cy, r := 100+rng.IntN(312), 100+rng.IntN(312), 30+rng.IntN(70)
		for y := cy - r; y <= cy+r; y++ {
			for x := cx - r; x <= cx+r; x++ {
				if (x-cx)*(x-cx)+(y-cy)*(y-cy) <= r*r {
					p.Set(x, y, c)
				}
			}
		}
		bar := image.Rect(0, 0, 60+rng.IntN(200), 8+rng.IntN(30)).Add(image.Pt(rng.IntN(300), rng.IntN(480)))
		draw.Draw(p, bar, image.NewUniform(c), image.Point{}, draw.Src)
	}
	return p
}

// gradient runs from one colour to another, rounded to whole levels: steps wider than a residual's window.
func gradient(rng *rand.Rand) *image.NRGBA {
	p := canvas(0)
	var from, to [3]float64
	for c := range from {
		from[c], to[c] = 255*rng.Float64(), 255*rng.Float64()
	}
	a := 2 * math.Pi * rng.Float64()
	for y := range graphicsSide {
		for x := range graphicsSide {
			t := 0.5 + (math.Cos(a)*float64(x-graphicsSide/2)+math.Sin(a)*float64(y-graphicsSide/2))/(1.5*graphicsSide)
			for c := range from {
				p.Pix[y*p.Stride+4*x+c] = uint8(math.Round(from[c] + t*(to[c]-from[c])))
			}
		}
	}
	return p
}

// mosaic replaces every block of 8 x 8 pixels by its mean: the grid of the coarsest JPEG, at the place where
// it meets the harmonics of the cell exactly.
func mosaic(p *image.NRGBA) *image.NRGBA {
	const side = 8
	out := image.NewNRGBA(p.Rect)
	for y := p.Rect.Min.Y; y < p.Rect.Max.Y; y += side {
		for x := p.Rect.Min.X; x < p.Rect.Max.X; x += side {
			block := image.Rect(x, y, x+side, y+side).Intersect(p.Rect)
			var sum [3]int
			for by := block.Min.Y; by < block.Max.Y; by++ {
				for bx := block.Min.X; bx < block.Max.X; bx++ {
					at := p.Pix[p.PixOffset(bx, by):]
					sum[0], sum[1], sum[2] = sum[0]+int(at[0]), sum[1]+int(at[1]), sum[2]+int(at[2])
				}
			}
			n := block.Dx() * block.Dy()
			mean := color.NRGBA{uint8(sum[0] / n), uint8(sum[1] / n), uint8(sum[2] / n), 255}
			draw.Draw(out, block, image.NewUniform(mean), image.Point{}, draw.Src)
		}
	}
	return out
}
