package main

import (
	"bytes"
	"fmt"
	"html/template"
	"image"
	"math"
	"path/filepath"
	"text/tabwriter"

	"github.com/filigrane/filigrane/internal/bench/calibration"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/internal/workspace"
)

// benchCalibrateCmd is "filigrane bench calibrate".
type benchCalibrateCmd struct {
	Photos    string `default:"testdata/photos" placeholder:"DIR" help:"Unmarked photographs. Default ${default}."`
	Generated string `default:"testdata/generated" placeholder:"DIR" help:"Outputs of generative models, 128 px. Default ${default}."`
	Tests     int    `default:"10000000" placeholder:"N" help:"Tests of one codeword of a fresh key, over all materials. Default ${default}."`
	Families  int    `default:"100000" placeholder:"N" help:"Fresh keys whose best concept of all is tested. Default ${default}."`
	Readings  int    `default:"2000" placeholder:"N" help:"Whole blind readings with a fresh key. Default ${default}."`
	Repeats   int    `default:"30" placeholder:"N" help:"Repeats of each point of the power curves; 0 leaves them out. Default ${default}."`
	Seed      uint64 `default:"1" help:"Draws keys, names and pictures. Default ${default}."`
	JSON      string `name:"json" placeholder:"FILE" help:"Write all figures."`
	Plots     string `placeholder:"DIR" help:"Write calibration.svg and power-*.svg into DIR."`
	Force     bool   `short:"f" help:"Overwrite files."`
}

// Help explains the measurement.
func (benchCalibrateCmd) Help() string {
	return `Holds the claimed error rates against what happens: pictures of five kinds that carry no mark of the key they are read with, a fresh key for every test. Three tests: one codeword, the best of all 65,536 concepts, and whole blind readings with their search for the geometry. If a claim is refuted the exit code is 3. Then marks photographs more and more weakly and counts how often they are found, 1, 4, 16 and 64 together.

Example: filigrane bench calibrate --json docs/bench/calibration.json --plots docs/bench`
}

// calibrationReport is what the command writes.
type calibrationReport struct {
	Params    calibrationParams   `json:"params"`
	Materials []materialJSON      `json:"materials"`
	Single    []calibrationCount  `json:"single_codeword"`
	Family    []calibrationCount  `json:"all_concepts_of_a_key"`
	Readings  []calibrationCount  `json:"whole_readings"`
	Power     []calibration.Point `json:"power"`
	Refuted   int                 `json:"refuted"`
}

type calibrationParams struct {
	Seed      uint64  `json:"seed"`
	PowerFWER float64 `json:"power_fwer"`
	PowerSide int     `json:"power_side_px"`
}

type materialJSON struct {
	Name     string `json:"name"`
	About    string `json:"about"`
	Pictures int    `json:"pictures"`
}

// calibrationCount is the table of one material, whole decades only.
type calibrationCount struct {
	Material string             `json:"material"`
	Tests    int                `json:"tests"`
	Lines    []calibration.Line `json:"lines"`
	count    calibration.Count
}

// powerFWER is the error rate of evidence.
const powerFWER = 1e-6

// Run measures.
func (c *benchCalibrateCmd) Run(s *session) error {
	photos, generated, err := c.inputs(s)
	if err != nil {
		return err
	}
	show := &stages{s: s}
	defer show.end()
	out := calibrationReport{Params: calibrationParams{c.Seed, powerFWER, 512}}
	nulls := calibration.Nulls{Materials: calibration.Materials(photos, generated, c.Seed), Tests: c.Tests, Families: c.Families, Readings: c.Readings,
		Seed: c.Seed, Workers: s.jobs(), Progress: show.tell}
	for _, m := range nulls.Materials {
		out.Materials = append(out.Materials, materialJSON{m.Name, m.About, len(m.Hosts)})
	}
	result, err := calibration.Measure(s.ctx, nulls)
	if err != nil {
		return err
	}
	out.Single, out.Family, out.Readings = tabled(result.Single), tabled(result.Family), tabled(result.Readings)
	for _, counts := range [][]calibrationCount{out.Single, out.Family, out.Readings} {
		for _, k := range counts {
			if k.count.Refuted() {
				out.Refuted++
			}
		}
	}
	if c.Repeats > 0 {
		out.Power, err = calibration.Curve(s.ctx, calibration.Power{Photos: photos, PSNRDB: []float64{42, 48, 54, 60, 66, 72, 78, 84}, Images: []int{1, 4, 16, 64},
			Repeats: c.Repeats, FWER: powerFWER, Seed: c.Seed, Workers: s.jobs(), Progress: show.tell})
		if err != nil {
			return err
		}
	}
	show.end()
	if err := c.write(s, &out); err != nil {
		return err
	}
	if out.Refuted > 0 {
		return fmt.Errorf("%d CLAIMS REFUTED: more was named by chance than the bound allows; the tables show where", out.Refuted)
	}
	return nil
}

// inputs checks the flags and finds the pictures.
func (c *benchCalibrateCmd) inputs(s *session) (photos, generated []calibration.Loader, err error) {
	if c.Tests < 0 || c.Families < 0 || c.Readings < 0 || c.Repeats < 0 {
		return nil, nil, badInput("--tests %d, --families %d, --readings %d, --repeats %d: none may be negative", c.Tests, c.Families, c.Readings, c.Repeats)
	}
	for _, file := range c.files() {
		if exists(file) && !c.Force {
			return nil, nil, badInput("%s exists; give --force to overwrite it", file)
		}
	}
	for _, from := range []struct {
		flag, folder string
		to           *[]calibration.Loader
	}{{"--photos", c.Photos, &photos}, {"--generated", c.Generated, &generated}} {
		found, err := hosts(s, from.folder)
		if err != nil {
			return nil, nil, err
		}
		if len(found) == 0 {
			return nil, nil, badInput("%s %s: no picture that can be read", from.flag, from.folder)
		}
		for _, p := range found {
			*from.to = append(*from.to, func() (image.Image, error) { return p.Load() })
		}
	}
	return photos, generated, nil
}

// tabled adds the pooled count and makes tables.
func tabled(counts []calibration.Count) []calibrationCount {
	if len(counts) == 0 {
		return nil
	}
	var out []calibrationCount
	for _, c := range append(counts, calibration.Pooled("all", counts)) {
		if c.Tests > 0 {
			out = append(out, calibrationCount{c.Material, c.Tests, c.Lines(false), c})
		}
	}
	return out
}

// plotNames are the files of --plots.
var plotNames = []string{"calibration.svg", "power-concept.svg", "power-delivery.svg", "power-work.svg"}

// files lists what will be written.
func (c *benchCalibrateCmd) files() []string {
	var files []string
	if c.JSON != "" {
		files = append(files, c.JSON)
	}
	if c.Plots != "" {
		for _, name := range plotNames {
			files = append(files, filepath.Join(c.Plots, name))
		}
	}
	return files
}

// write shows the tables, writes the files and the JSON.
func (c *benchCalibrateCmd) write(s *session, out *calibrationReport) error {
	if !s.Quiet {
		out.table(s)
	}
	if c.Plots != "" {
		plots, err := out.plots()
		if err != nil {
			return err
		}
		for i, svg := range plots {
			if svg == "" {
				continue
			}
			if err := workspace.WriteFile(filepath.Join(c.Plots, plotNames[i]), []byte(svg), 0o644); err != nil {
				return err
			}
		}
	}
	if c.JSON != "" {
		text, err := (&session{globals: globals{Pretty: true}}).marshal(out)
		if err != nil {
			return err
		}
		if err := workspace.WriteFile(filepath.Clean(c.JSON), text, 0o644); err != nil {
			return err
		}
	}
	return s.emit(out)
}

// table shows people the figures.
func (r *calibrationReport) table(s *session) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', tabwriter.AlignRight)
	for _, kind := range []struct {
		name   string
		counts []calibrationCount
	}{{"one codeword", r.Single}, {"all concepts", r.Family}, {"whole readings", r.Readings}} {
		if len(kind.counts) == 0 {
			continue
		}
		fmt.Fprintf(w, "%s\ttests\t", kind.name)
		for _, l := range kind.counts[0].Lines {
			fmt.Fprintf(w, "%.0e\t", l.Claimed)
		}
		fmt.Fprintln(w)
		for _, k := range kind.counts {
			fmt.Fprintf(w, "%s\t%d\t", k.Material, k.Tests)
			for _, l := range k.Lines {
				fmt.Fprintf(w, "%.1e <%.1e\t", l.Observed, l.High)
			}
			fmt.Fprintln(w)
		}
	}
	for _, p := range r.Power {
		work := "-"
		if p.Work != nil {
			work = fmt.Sprint(p.Work.Hits)
		}
		fmt.Fprintf(w, "%.0f dB\t%.2f levels\t%d together\tof %d:\tconcept %d\tdelivery %d\twork %s\twrong %d\t\n", p.PSNRDB, p.RMS, p.Images, p.Repeats, p.Concept.Hits, p.Delivery.Hits, work, p.Wrong)
	}
	w.Flush()
	s.stderr.Write(b.Bytes())
}

// plots draws everything there are figures for; the others are empty.
func (r *calibrationReport) plots() ([]template.HTML, error) {
	out := make([]template.HTML, len(plotNames))
	var curves []report.Curve
	for _, k := range r.Single {
		c := report.Curve{Name: k.Material}
		for _, l := range k.count.Lines(true) {
			c.X = append(c.X, -math.Log10(l.Claimed))
			c.Y = append(c.Y, math.Log10(l.Observed/l.Claimed))
			c.Low = append(c.Low, math.Log10(l.Low/l.Claimed))
			c.High = append(c.High, math.Log10(l.High/l.Claimed))
		}
		curves = append(curves, c)
	}
	var err error
	if len(curves) > 0 {
		if out[0], err = report.RatioPlot(curves); err != nil {
			return nil, err
		}
	}
	if len(r.Power) == 0 {
		return out, nil
	}
	for i, what := range []string{"concept", "delivery", "work"} {
		if out[i+1], err = report.PowerPlot(what, r.powerCurves(what)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// powerCurves returns one curve per number of pictures.
func (r *calibrationReport) powerCurves(what string) []report.Curve {
	var curves []report.Curve
	at := map[int]int{}
	for _, p := range r.Power {
		found := &p.Concept
		switch what {
		case "delivery":
			found = &p.Delivery
		case "work":
			found = p.Work
		}
		if found == nil {
			continue
		}
		i, ok := at[p.Images]
		if !ok {
			i = len(curves)
			at[p.Images] = i
			curves = append(curves, report.Curve{Name: fmt.Sprintf("%d together", p.Images)})
		}
		c := &curves[i]
		c.X, c.Y = append(c.X, p.PSNRDB), append(c.Y, float64(found.Hits)/float64(p.Repeats))
		c.Low, c.High = append(c.Low, found.Low), append(c.High, found.High)
	}
	return curves
}
