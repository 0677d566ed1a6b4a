package main

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"path/filepath"
	"slices"

	"github.com/disintegration/imaging"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

var colours = []color.Color{
	color.NRGBA{0xb4, 0x4a, 0x1c, 0xff}, color.NRGBA{0x2b, 0x6c, 0x8f, 0xff}, color.NRGBA{0x4d, 0x7c, 0x3a, 0xff},
	color.NRGBA{0x7a, 0x4a, 0x8f, 0xff}, color.NRGBA{0x1f, 0x2a, 0x37, 0xff}, color.NRGBA{0x9a, 0xa5, 0xb1, 0xff},
}

// line is one line of a plot, with error bars.
type line struct {
	name   string
	points plotter.XYs
	errors []float64 // one standard error each, or nil
	law    func(x float64) float64
}

type withErrors struct {
	plotter.XYs
	plotter.YErrors
}

// axis is a horizontal axis. Where from is 0 it spans the points.
type axis struct {
	label    string
	log      bool
	from, to float64
}

// sample follows a function over the axis, in even steps as they are drawn.
func (x axis) sample(f func(float64) float64) plotter.XYs {
	const steps = 200
	points := make(plotter.XYs, steps+1)
	for i := range points {
		at := float64(i) / steps
		u := x.from + at*(x.to-x.from)
		if x.log {
			u = x.from * math.Pow(x.to/x.from, at)
		}
		points[i] = plotter.XY{X: u, Y: f(u)}
	}
	return points
}

// figure draws lines and saves them. Without a point there is no file: the runs are not measured yet.
func figure(name, title string, x axis, y string, lines []line, lo, hi float64) error {
	if !slices.ContainsFunc(lines, func(l line) bool { return len(l.points) > 0 }) {
		return nil
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x.label, y
	p.Title.TextStyle.Font.Size = vg.Points(11)
	p.Y.Min, p.Y.Max = lo, hi
	p.Add(plotter.NewGrid())
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = vg.Points(8)
	if x.log {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	for i, l := range lines {
		if len(l.points) == 0 {
			continue
		}
		if err := addLine(p, l, x, colours[i%len(colours)]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	p.Y.Min, p.Y.Max = lo, hi
	if x.from != 0 {
		p.X.Min, p.X.Max = x.from, x.to
	}
	return p.Save(vg.Points(560), vg.Points(340), name)
}

func addLine(p *plot.Plot, l line, x axis, c color.Color) error {
	drawn, dots, err := plotter.NewLinePoints(l.points)
	if err != nil {
		return err
	}
	drawn.Color, dots.Color, dots.Radius = c, c, vg.Points(2)
	if l.law != nil {
		drawn.Width = 0
		dashed, err := plotter.NewLine(x.sample(l.law))
		if err != nil {
			return err
		}
		dashed.Color, dashed.Dashes = c, []vg.Length{vg.Points(4), vg.Points(3)}
		p.Add(dots, dashed)
	} else {
		p.Add(drawn, dots)
	}
	p.Legend.Add(l.name, drawn, dots)
	if l.errors == nil {
		return nil
	}
	e := withErrors{l.points, make(plotter.YErrors, len(l.errors))}
	for i, s := range l.errors {
		e.YErrors[i].Low, e.YErrors[i].High = s, s
	}
	bars, err := plotter.NewYErrorBars(e)
	if err != nil {
		return err
	}
	bars.Color, bars.CapWidth = c, vg.Points(3)
	p.Add(bars)
	return nil
}

// figures draws everything docs/lab.md shows.
func figures(dir string, rs []result, laws map[string]law) error {
	for lattice, of := range map[string]func(point) level{"delivery": ofDelivery, "concept": ofConcept} {
		if err := samplesFigure(filepath.Join(dir, "samples-"+lattice+".svg"), lattice, rs, of, laws[lattice]); err != nil {
			return err
		}
	}
	if err := strengthFigure(filepath.Join(dir, "strength.svg"), rs, laws); err != nil {
		return err
	}
	if err := shareFigure(filepath.Join(dir, "share.svg"), rs, laws); err != nil {
		return err
	}
	return imagesFigure(filepath.Join(dir, "images.svg"), rs)
}

// samplesFigure draws transmission against samples seen.
func samplesFigure(name, lattice string, rs []result, of func(point) level, l law) error {
	var lines []line
	for _, r := range rs {
		if len(r.m.Points) < 3 || !r.plain() || r.run.share() < 1 {
			continue
		}
		one := line{name: fmt.Sprintf("%s, %g dB, seed %d", r.run.Model, r.ship.PSNRDB, r.run.Seed)}
		for _, p := range r.m.Points {
			one.points = append(one.points, plotter.XY{X: float64(p.Samples), Y: of(p).Transmission})
			one.errors = append(one.errors, of(p).Error)
		}
		if r.run.Model == "transformer" && l.Points > 0 {
			one.law = func(x float64) float64 { return l.transmission(int(x), r.ship.PSNRDB, 1) }
		}
		lines = append(lines, one)
	}
	return figure(name, "What comes back of the "+lattice+"'s codeword (dashed: fitted law)", axis{"samples seen in training", true, 1e3, 1e6}, "amplitude out / in", lines, -0.1, 1.3)
}

// atSamples finds the point of a run nearest to so many samples, if it is within a fifth.
func atSamples(r result, samples int) (point, bool) {
	for _, p := range r.m.Points {
		if math.Abs(float64(p.Samples-samples)) < 0.2*float64(samples) {
			return p, true
		}
	}
	return point{}, false
}

// compared is the number of samples at which runs of different strength and share are compared.
const compared = 400 * batch

// strengthFigure draws transmission against PSNR.
func strengthFigure(name string, rs []result, laws map[string]law) error {
	lines := []line{{name: "delivery"}, {name: "concept"}}
	for _, r := range rs {
		p, ok := atSamples(r, compared)
		if !ok || r.run.Model != "transformer" || !r.plain() || r.run.share() < 1 {
			continue
		}
		for i, l := range []level{p.Delivery, p.Concept} {
			lines[i].points = append(lines[i].points, plotter.XY{X: r.ship.PSNRDB, Y: l.Transmission})
			lines[i].errors = append(lines[i].errors, l.Error)
			l := laws[lines[i].name]
			if l.Points > 0 {
				lines[i].law = func(x float64) float64 { return l.transmission(compared, x, 1) }
			}
		}
	}
	return figure(name, fmt.Sprintf("Strength of the mark, after %d samples (dashed: fitted law)", compared), axis{"PSNR of the whole mark, dB", false, 35, 49}, "amplitude out / in", lines, -0.1, 1.3)
}

// shareFigure draws transmission against the share of images that are marked.
func shareFigure(name string, rs []result, laws map[string]law) error {
	lines := []line{{name: "delivery"}, {name: "concept"}}
	for _, r := range rs {
		p, ok := atSamples(r, compared)
		if !ok || r.run.Model != "transformer" || !r.plain() || r.ship.Name != "d38" {
			continue
		}
		for i, l := range []level{p.Delivery, p.Concept} {
			lines[i].points = append(lines[i].points, plotter.XY{X: 100 * r.run.share(), Y: l.Transmission})
			lines[i].errors = append(lines[i].errors, l.Error)
			l := laws[lines[i].name]
			if l.Points > 0 {
				lines[i].law = func(x float64) float64 { return l.transmission(compared, 38, x/100) }
			}
		}
	}
	return figure(name, fmt.Sprintf("Share of the images marked, 38 dB, %d samples (dashed: fitted law)", compared), axis{"marked images, %", true, 0.5, 100}, "amplitude out / in", lines, -0.1, 1.3)
}

// imagesFigure draws how p falls as images of a concept are folded: the median over the concepts.
func imagesFigure(name string, rs []result) error {
	var lines []line
	for _, r := range rs {
		if r.run.Group != "main" || r.run.Seed > 0 || len(r.m.Pools) == 0 {
			continue
		}
		one := line{name: fmt.Sprintf("%s, %g dB", r.run.Model, r.ship.PSNRDB)}
		if r.run.share() == 0 {
			one.name = r.run.Model + ", unmarked"
			if r.ship.Name != "d38" {
				continue
			}
		}
		for i, f := range r.m.Pools[0].Readings {
			var ps []float64
			for _, pool := range r.m.Pools {
				ps = append(ps, pool.Readings[i].AgainstP)
			}
			one.points = append(one.points, plotter.XY{X: float64(f.Images), Y: math.Max(-30, math.Log10(median(ps)))})
		}
		lines = append(lines, one)
	}
	return figure(name, "Naming a concept among 65,536, read against others: median over the concepts", axis{"generated images folded", true, 0, 0}, "p, log10", lines, -32, 4)
}

// contactSheet lays out pictures in rows, a row for each folder of outputs.
func contactSheet(name string, folders []string, perRow int) error {
	const gap = 4
	sheet := imaging.New(perRow*(side+gap), len(folders)*(side+gap), color.White)
	for y, folder := range folders {
		imgs, err := images(folder, perRow)
		if err != nil {
			return err
		}
		for x, img := range imgs {
			at := image.Rect(x*(side+gap), y*(side+gap), x*(side+gap)+side, y*(side+gap)+side)
			draw.Draw(sheet, at, img, img.Bounds().Min, draw.Src)
		}
	}
	return imaging.Save(sheet, name, imaging.JPEGQuality(88))
}
