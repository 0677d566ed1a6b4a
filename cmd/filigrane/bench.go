package main

import (
	"image"
	"path/filepath"
	"strings"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/internal/bench/robustness"
	"github.com/filigrane/filigrane/internal/demo"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/internal/workspace"
	"github.com/filigrane/filigrane/mark"
)

// benchCmd is "filigrane bench".
type benchCmd struct {
	Null       benchNullCmd       `cmd:"" help:"Test unmarked pictures under keys that were never embedded."`
	Robustness benchRobustnessCmd `cmd:"" help:"Read marked photographs after edits, and unmarked ones too."`
	Attacks    benchAttacksCmd    `cmd:"" help:"Try to remove, forge and copy marks on real photographs."`
	Calibrate  benchCalibrateCmd  `cmd:"" help:"Hold claimed error rates against chance, and measure how weak a mark is found."`
}

// benchNullCmd is "filigrane bench null".
type benchNullCmd struct {
	Pictures   []string `arg:"" name:"picture" help:"Unmarked pictures, folders or patterns."`
	Tests      int      `default:"2000000" placeholder:"N" help:"Tests in all. Default ${default}."`
	Seed       uint64   `default:"1" help:"Draws the keys. Default ${default}."`
	Resolution int      `short:"r" default:"1024" placeholder:"R" help:"Pictures are cut to the centre square of this side. Default ${default}."`
	QQ         string   `placeholder:"FILE" help:"Write the QQ plot against the normal law, as SVG."`
	Force      bool     `short:"f" help:"Overwrite FILE."`
}

// Help explains calibration.
func (benchNullCmd) Help() string {
	return `Each test takes one unmarked picture and one fresh key and computes T of one concept codeword. The theory says that T >= t happens with a chance of at most exp(-t*t/2), whatever the picture; this counts how often it does.

Example: filigrane bench null testdata/photos --tests 2000000 --qq docs/null-qq.svg`
}

// Run calibrates.
func (c *benchNullCmd) Run(s *session) error {
	if c.Tests < 1 || c.Resolution < mark.CellSize {
		return badInput("--tests %d, --resolution %d: give at least 1 test and %d pixels", c.Tests, c.Resolution, mark.CellSize)
	}
	photos, err := hosts(s, c.Pictures...)
	if err != nil {
		return err
	}
	cal := demo.Calibration{Profile: mark.Profile1(), Resolution: c.Resolution, Tests: c.Tests, Seed: c.Seed, Workers: s.jobs()}
	for _, p := range photos {
		cal.Hosts = append(cal.Hosts, func() (image.Image, error) {
			img, err := p.Load()
			if err != nil {
				return nil, err
			}
			return imaging.Fill(img, c.Resolution, c.Resolution, imaging.Center, imaging.Lanczos), nil
		})
	}
	if len(cal.Hosts) == 0 {
		return badInput("no picture that can be read; give unmarked photographs")
	}
	show := &stages{s: s}
	cal.Progress = show.tell
	null, err := demo.Nulls(s.ctx, cal)
	show.end()
	if err != nil {
		return err
	}
	if c.QQ != "" {
		if err := c.plot(null); err != nil {
			return err
		}
	}
	return s.emit(null)
}

func (c *benchNullCmd) plot(null report.Null) error {
	svg, err := report.QQPlot(null)
	if err != nil {
		return err
	}
	if exists(c.QQ) && !c.Force {
		return badInput("--qq %s exists; give --force to overwrite it", c.QQ)
	}
	return workspace.WriteFile(filepath.Clean(c.QQ), []byte(svg), 0o644)
}

// hosts lists the pictures that can be read, of files, folders and patterns.
func hosts(s *session, names ...string) ([]robustness.Photo, error) {
	files, err := inputs(names)
	if err != nil {
		return nil, err
	}
	var photos []robustness.Photo
	for _, f := range files {
		data, err := s.read(f)
		if err == nil {
			_, err = raster.Decode(data, raster.DefaultLimits())
		}
		if err != nil {
			if !otherFile(f, err) {
				s.note("%v", err)
			}
			continue
		}
		name := filepath.ToSlash(strings.TrimSuffix(f.rel, filepath.Ext(f.rel)))
		photos = append(photos, robustness.Photo{Name: name, Load: func() (image.Image, error) {
			p, err := raster.Decode(data, raster.DefaultLimits())
			if err != nil {
				return nil, err
			}
			return p.Image, nil
		}})
	}
	return photos, nil
}
