package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/internal/signal"
)

const (
	shownPictures  = 5
	shownSide      = 420 // pixels: a thumbnail in the report
	cropSide       = 400 // pixels, shown at 100 %
	differenceGain = 20
)

// pictures draws a few pictures before and after, each with its quietest part at
// 100 %, where a mark would show first.
func (m *measurement) pictures(_ context.Context, r *report.Report) error {
	for _, p := range shown(m.Pictures) {
		host, marked, err := p.pair()
		if err != nil {
			return err
		}
		a, b := imaging.Clone(host), imaging.Clone(marked)
		t := report.Triptych{Name: p.Name, PSNRDB: p.PSNRDB, SSIM: p.SSIM}
		var names []string
		for _, c := range p.Concepts {
			names = append(names, m.Names(c))
		}
		t.Concepts = strings.Join(names, ", ")
		quiet := quietest(a)
		for _, v := range []struct {
			to  *template.URL
			img image.Image
			png bool
		}{
			{&t.Host, imaging.Fit(a, shownSide, shownSide, imaging.Lanczos), false},
			{&t.Marked, imaging.Fit(b, shownSide, shownSide, imaging.Lanczos), false},
			{&t.Difference, imaging.CropCenter(difference(a, b), shownSide, shownSide), false},
			{&t.HostCrop, imaging.Crop(a, quiet), true},
			{&t.MarkedCrop, imaging.Crop(b, quiet), true},
		} {
			if *v.to, err = dataURI(v.img, v.png); err != nil {
				return err
			}
		}
		r.Pictures = append(r.Pictures, t)
	}
	return nil
}

// shown picks the pictures in which a mark is hardest to hide (those of the lowest SSIM), then others spread over
// the collection.
func shown(all []Picture) []Picture {
	bySSIM := slices.Clone(all)
	slices.SortStableFunc(bySSIM, func(a, b Picture) int { return cmp.Compare(a.SSIM, b.SSIM) })
	hard := min(shownPictures/2, len(all))
	picks, rest := bySSIM[:hard:hard], bySSIM[hard:]
	n := min(shownPictures-hard, len(rest))
	for i := range n {
		picks = append(picks, rest[(2*i+1)*len(rest)/(2*n)])
	}
	return picks
}

// difference shows marked less host, times differenceGain, around middle grey.
func difference(host, marked *image.NRGBA) *image.NRGBA {
	d := image.NewNRGBA(host.Rect)
	for i := range d.Pix {
		if i%4 == 3 {
			d.Pix[i] = 255
			continue
		}
		d.Pix[i] = uint8(max(0, min(255, 128+differenceGain*(int(marked.Pix[i])-int(host.Pix[i])))))
	}
	return d
}

// quietest finds the window of the least luma variation that is neither black nor white.
func quietest(img *image.NRGBA) image.Rectangle {
	y := signal.Luma(img)
	side := min(cropSide, y.W, y.H)
	best, where := 1e18, image.Rect(0, 0, side, side)
	for y0 := 0; y0+side <= y.H; y0 += 32 {
		for x0 := 0; x0+side <= y.W; x0 += 32 {
			sum, squares, n := 0.0, 0.0, 0.0
			for v := y0; v < y0+side; v += 8 {
				for u := x0; u < x0+side; u += 8 {
					s := float64(y.Pix[v*y.W+u])
					sum, squares, n = sum+s, squares+s*s, n+1
				}
			}
			mean := sum / n
			if variance := squares/n - mean*mean; variance < best && mean > 40 && mean < 235 {
				best, where = variance, image.Rect(x0, y0, x0+side, y0+side)
			}
		}
	}
	return where
}

// dataURI embeds a picture in the page: PNG where every level counts, else JPEG.
func dataURI(img image.Image, lossless bool) (template.URL, error) {
	var b bytes.Buffer
	kind := "jpeg"
	if lossless {
		kind = "png"
		if err := png.Encode(&b, opaque(img)); err != nil {
			return "", fmt.Errorf("demo: %w", err)
		}
	} else if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 88}); err != nil {
		return "", fmt.Errorf("demo: %w", err)
	}
	return template.URL("data:image/" + kind + ";base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil
}

// opaque drops an alpha channel that holds nothing, which PNG would otherwise store.
func opaque(img image.Image) image.Image {
	o := image.NewRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	for y := range o.Rect.Dy() {
		for x := range o.Rect.Dx() {
			c := color.NRGBAModel.Convert(img.At(img.Bounds().Min.X+x, img.Bounds().Min.Y+y)).(color.NRGBA)
			o.SetRGBA(x, y, color.RGBA{c.R, c.G, c.B, 255})
		}
	}
	return o
}
