package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/workspace"
)

// heatSide is the longest side, in pixels, of a heat map.
const heatSide = 1024

// heat writes the heat map of a picture in which something was found, where one was asked for.
func (d *detector) heat(a *detection, img image.Image) error {
	if d.cmd.Heat == "" || a.Verdict != detect.Attributed {
		return nil
	}
	h, ok := a.scope.reader(img.Bounds()).Heat(img, *a.reading)
	if !ok {
		return nil
	}
	name := filepath.Join(d.cmd.Heat, heatName(a.File))
	if exists(name) && !d.cmd.Force {
		return badInput("%s exists; give --force to overwrite it, or another folder for --heat", name)
	}
	if err := os.MkdirAll(d.cmd.Heat, 0o755); err != nil {
		return err
	}
	a.Heat = name
	var file bytes.Buffer
	if err := png.Encode(&file, drawHeat(img, h)); err != nil {
		return err
	}
	return workspace.WriteFile(a.Heat, file.Bytes(), 0o644)
}

// heatName gives a file name for the map of an input: its last part, at most 100 bytes of it, and what tells it from others of
// that name.
func heatName(input string) string {
	if input == "-" {
		input = "standard input"
	}
	whole, err := filepath.Abs(input)
	if err != nil {
		whole = filepath.Clean(input)
	}
	base := filepath.Base(whole)
	sum := sha256.Sum256([]byte(whole))
	return strings.ToValidUTF8(base[:min(len(base), 100)], "") + "." + hex.EncodeToString(sum[:4]) + ".heat.png"
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
