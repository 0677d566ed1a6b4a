package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/registry"
)

// heatSide is the longest side, in pixels, of a heat map.
const heatSide = 1024

// heat writes the heat map of a picture in which something was found, where one was asked for.
func (d *detector) heat(a *detection, img image.Image) error {
	if d.cmd.Heat == "" || a.Verdict != detect.Attributed {
		return nil
	}
	h, ok := a.scope.reader.Heat(img, *a.reading)
	if !ok {
		return nil
	}
	if err := os.MkdirAll(d.cmd.Heat, 0o755); err != nil {
		return err
	}
	name := strings.Map(func(r rune) rune {
		if r == filepath.Separator || r == ':' {
			return '_'
		}
		return r
	}, strings.TrimLeft(filepath.Clean(a.File), "./\\"))
	if a.File == "-" {
		name = "standard-input"
	}
	a.Heat = filepath.Join(d.cmd.Heat, name+".heat.png")
	var file bytes.Buffer
	if err := png.Encode(&file, drawHeat(img, h)); err != nil {
		return err
	}
	return registry.WriteFile(a.Heat, file.Bytes(), 0o644)
}

// Colours of a heat map: where T is at most cold nothing is drawn, at hot and beyond the colour is full.
const (
	cold = 2.0
	hot  = 8.0
)

// drawHeat lays T over a grey, lightened copy of the picture.
func drawHeat(img image.Image, h *detect.Heat) image.Image {
	out := imaging.AdjustBrightness(imaging.Grayscale(imaging.Fit(img, heatSide, heatSide, imaging.Box)), 15)
	scale := float64(img.Bounds().Dx()) / float64(out.Rect.Dx())
	warm := color.NRGBA{R: 214, G: 39, B: 40}
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			k := (h.Around(float64(x)*scale, float64(y)*scale) - cold) / (hot - cold)
			k = 0.75 * math.Max(0, math.Min(1, k))
			p := out.Pix[out.PixOffset(x, y):]
			for c, v := range []uint8{warm.R, warm.G, warm.B} {
				p[c] = uint8(math.Round(float64(p[c])*(1-k) + float64(v)*k))
			}
		}
	}
	return out
}
