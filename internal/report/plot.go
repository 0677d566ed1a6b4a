package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

var (
	ink    = color.NRGBA{0x1f, 0x2a, 0x37, 0xff}
	accent = color.NRGBA{0xb4, 0x4a, 0x1c, 0xff}
	cool   = color.NRGBA{0x2b, 0x6c, 0x8f, 0xff}
	quiet  = color.NRGBA{0x9a, 0xa5, 0xb1, 0xff}
)

// NullPlot draws how often a fresh key reaches T on unmarked photographs, the bound no key can exceed on
// average, the normal law, and where the delivered pictures stand.
func NullPlot(n Null, delivered []float64, threshold float64) (template.HTML, error) {
	p := plot.New()
	p.X.Label.Text = "T of one concept codeword"
	p.Y.Label.Text = "chance of reaching T, log10"
	p.Y.Min, p.Y.Max, p.X.Min, p.X.Max = -9, 0.4, 0, 15
	var seen plotter.XYs
	above := 0
	for i := len(n.T) - 1; i >= 0; i-- {
		above += n.T[i]
		if t := n.BinStart + float64(i)*n.BinWidth; above > 0 && t >= 0 {
			seen = append(seen, plotter.XY{X: t, Y: math.Log10(float64(above) / float64(n.Tests))})
		}
	}
	bound := plotter.NewFunction(func(t float64) float64 { return -t * t / 2 / math.Ln10 })
	normal := plotter.NewFunction(func(t float64) float64 { return math.Log10(math.Erfc(t/math.Sqrt2) / 2) })
	bound.Samples, normal.Samples = 300, 300
	bound.Color, bound.Width = accent, vg.Points(1.6)
	normal.Color, normal.Dashes = quiet, []vg.Length{vg.Points(4), vg.Points(3)}
	dots, err := plotter.NewScatter(seen)
	if err != nil {
		return "", fmt.Errorf("report: null plot: %w", err)
	}
	dots.Color, dots.Radius = ink, vg.Points(1.6)
	at := make(plotter.XYs, len(delivered))
	for i, t := range delivered {
		at[i] = plotter.XY{X: t, Y: -8.6 + 0.5*math.Mod(float64(i)*0.618, 1)}
	}
	marks, err := plotter.NewScatter(at)
	if err != nil {
		return "", fmt.Errorf("report: null plot: %w", err)
	}
	marks.Color, marks.Radius = cool, vg.Points(2.2)
	line, err := plotter.NewLine(plotter.XYs{{X: threshold, Y: -9}, {X: threshold, Y: 0.2}})
	if err != nil {
		return "", fmt.Errorf("report: null plot: %w", err)
	}
	line.Color, line.Dashes = accent, []vg.Length{vg.Points(2), vg.Points(2)}
	p.Add(plotter.NewGrid(), bound, normal, line, dots, marks)
	return svg(p, 760, 360)
}

// QQPlot draws the quantiles of T over fresh keys against those of the normal law.
func QQPlot(n Null) (template.HTML, error) {
	p := plot.New()
	p.X.Label.Text = "normal quantile"
	p.Y.Label.Text = "quantile of T, unmarked photographs, fresh keys"
	var points plotter.XYs
	below := 0
	for i, c := range n.T {
		below += c
		if q := float64(below) / float64(n.Tests); below > 0 && below < n.Tests {
			points = append(points, plotter.XY{X: normalQuantile(q), Y: n.BinStart + float64(i+1)*n.BinWidth})
		}
	}
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return "", fmt.Errorf("report: QQ plot: %w", err)
	}
	dots.Color, dots.Radius = ink, vg.Points(1.4)
	same := plotter.NewFunction(func(x float64) float64 { return x })
	same.Color = accent
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -5.5, 5.5, -5.5, 5.5
	p.Add(plotter.NewGrid(), same, dots)
	return svg(p, 420, 400)
}

// normalQuantile inverts the normal distribution.
func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// svg renders a plot as an inline figure of the given size in points.
func svg(p *plot.Plot, w, h float64) (template.HTML, error) {
	c := vgsvg.New(vg.Points(w), vg.Points(h))
	p.Draw(plotDraw(c))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", fmt.Errorf("report: %w", err)
	}
	s := b.String()
	if i := strings.Index(s, "<svg"); i > 0 {
		s = s[i:]
	}
	return template.HTML(s), nil
}

// plotDraw wraps a canvas as plot wants it.
func plotDraw(c *vgsvg.Canvas) draw.Canvas { return draw.New(c) }
