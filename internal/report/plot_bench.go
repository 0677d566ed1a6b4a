package report

import (
	"fmt"
	"html/template"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Column is one method of a robustness chart: how many photographs were read after each edit, of how many.
// Of is 0 where it was not measured.
type Column struct {
	Name    string // in two lines, if it has a line feed
	Read    []int
	Of      []int
	Heavier bool // ours
}

// RobustnessChart draws a table of edits and methods, cells the darker the larger the share of photographs
// whose mark was read. An error names a column of another length than edits.
func RobustnessChart(edits []string, columns []Column) (template.HTML, error) {
	const left, top, width, height = 250, 52, 106, 19
	w, h := left+width*len(columns)+10, top+height*len(edits)+10
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12" fill="#1f2a37">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", w, h)
	for i, e := range edits {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-8, top+height*i+14, template.HTMLEscapeString(e))
	}
	for k, c := range columns {
		if len(c.Read) != len(edits) || len(c.Of) != len(edits) {
			return "", fmt.Errorf("report: robustness chart: %q has %d and %d numbers for %d edits", c.Name, len(c.Read), len(c.Of), len(edits))
		}
		weight := ""
		if c.Heavier {
			weight = ` font-weight="bold"`
		}
		x := left + width*k
		for n, line := range strings.SplitN(c.Name, "\n", 2) {
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle"%s>%s</text>`+"\n", x+width/2, 22+16*n, weight, template.HTMLEscapeString(line))
		}
		for i := range edits {
			writeCell(&b, x, top+height*i, width, height, c.Read[i], c.Of[i])
		}
	}
	b.WriteString("</svg>\n")
	return template.HTML(b.String()), nil
}

// writeCell draws one share: from the colour of rust for none, by sand, to that of deep water for all.
func writeCell(b *strings.Builder, x, y, w, h, read, of int) {
	if of == 0 {
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="#f3f4f6"/>`+"\n", x+1, y+1, w-2, h-2)
		return
	}
	share := float64(read) / float64(of)
	rust, sand, water := [3]float64{0xe3, 0xa5, 0x8c}, [3]float64{0xf2, 0xe6, 0xc4}, [3]float64{0x7f, 0xb5, 0xcf}
	from, to, f := rust, sand, 2*share
	if share > 0.5 {
		from, to, f = sand, water, 2*share-1
	}
	var c [3]int
	for i := range c {
		c[i] = int(math.Round(from[i] + f*(to[i]-from[i])))
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" fill="#%02x%02x%02x"/>`, x+1, y+1, w-2, h-2, c[0], c[1], c[2])
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">%d/%d</text>`+"\n", x+w/2, y+14, read, of)
}

// Curve is a line with whiskers: one value per place, and the ends of its interval.
type Curve struct {
	Name         string
	X            []float64
	Y, Low, High []float64
}

// curveColours tell lines apart.
var curveColours = []color.Color{accent, cool, ink, color.NRGBA{0x5b, 0x8c, 0x3a, 0xff}, color.NRGBA{0x8a, 0x5a, 0x9c, 0xff}, quiet}

// RatioPlot draws how often chance did what was claimed to happen at most so often: log10 of observed over
// claimed, against -log10 of the claimed rate. Nothing may lie above the line at 0.
func RatioPlot(curves []Curve) (template.HTML, error) {
	p := plot.New()
	p.X.Label.Text = "claimed rate, -log10"
	p.Y.Label.Text = "observed / claimed, log10, with 95 % limits"
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, 6.2, -3, 1
	even := plotter.NewFunction(func(float64) float64 { return 0 })
	even.Color, even.Width = ink, vg.Points(1.2)
	p.Add(plotter.NewGrid(), even)
	if err := addCurves(p, curves, -3, 1, 0.012); err != nil {
		return "", fmt.Errorf("report: ratio plot: %w", err)
	}
	p.Legend.Left, p.Legend.Padding, p.Legend.XOffs = true, vg.Points(3), vg.Points(4)
	return svg(p, 640, 400)
}

// PowerPlot draws chances of being found against the strength of a mark in dB, the strong on the left.
func PowerPlot(what string, curves []Curve) (template.HTML, error) {
	p := plot.New()
	p.Title.Text = what
	p.X.Label.Text = "strength of the mark, PSNR in dB (weaker to the right)"
	p.Y.Label.Text = "share found, with 95 % limits"
	p.Y.Min, p.Y.Max = -0.02, 1.02
	p.Add(plotter.NewGrid())
	if err := addCurves(p, curves, -0.02, 1.02, 0.15); err != nil {
		return "", fmt.Errorf("report: power plot: %w", err)
	}
	p.Legend.Left, p.Legend.Padding, p.Legend.XOffs = true, vg.Points(3), vg.Points(4)
	return svg(p, 560, 320)
}

// addCurves draws lines, dots and whiskers, cut off below low and above high, each curve a step to the right
// of the one before, so that whiskers do not cover each other.
func addCurves(p *plot.Plot, curves []Curve, low, high, step float64) error {
	cut := func(y float64) float64 { return math.Max(low, math.Min(high, y)) }
	for i, c := range curves {
		if len(c.Y) != len(c.X) || len(c.Low) != len(c.X) || len(c.High) != len(c.X) {
			return fmt.Errorf("%s: %d places, %d values, %d and %d limits", c.Name, len(c.X), len(c.Y), len(c.Low), len(c.High))
		}
		var at plotter.XYs
		var whiskers []plotter.XYs
		shift := step * float64(i)
		for k, x := range c.X {
			if y := c.Y[k]; y >= low && y <= high {
				at = append(at, plotter.XY{X: x + shift, Y: y})
			}
			whiskers = append(whiskers, plotter.XYs{{X: x + shift, Y: cut(c.Low[k])}, {X: x + shift, Y: cut(c.High[k])}})
		}
		hue := curveColours[i%len(curveColours)]
		for _, w := range whiskers {
			bar, err := plotter.NewLine(w)
			if err != nil {
				return err
			}
			bar.Color, bar.Width = hue, vg.Points(0.7)
			p.Add(bar)
		}
		if len(at) == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(at)
		if err != nil {
			return err
		}
		line.Color, line.Width, dots.Color, dots.Radius, dots.Shape = hue, vg.Points(1.3), hue, vg.Points(2), draw.CircleGlyph{}
		p.Add(line, dots)
		p.Legend.Add(c.Name, line)
	}
	return nil
}
