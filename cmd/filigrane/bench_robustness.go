package main

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/bench/robustness"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/internal/workspace"
	"github.com/filigrane/filigrane/mark"
)

// benchRobustnessCmd is "filigrane bench robustness".
type benchRobustnessCmd struct {
	Photos     string  `default:"testdata/ladder" placeholder:"DIR" help:"Unmarked photographs, two at least. Default ${default}."`
	Edits      string  `default:"ladder" placeholder:"LIST" help:"Edits and sets of edits, separated by commas: ladder, extra, deep, peers, all, or names such as jpeg75,crop50. Default ${default}."`
	Level      string  `default:"auto" placeholder:"LEVEL" help:"How far readings go: fast, standard, deep, or auto for the quickest that can follow the edit. Default ${default}."`
	PSNR       float64 `name:"psnr" default:"42.1" placeholder:"DB" help:"Strength of the marks in dB: a little over 42, so that no file falls below. Default ${default}."`
	Resolution int     `short:"r" default:"1024" placeholder:"R" help:"Declared short side: all that readings know about sizes. Default ${default}."`
	FWER       float64 `name:"fwer" default:"1e-6" placeholder:"P" help:"Accepted chance of a false attribution per reading. Default ${default}."`
	Seed       uint64  `default:"1" help:"Draws keys, names and edits. Default ${default}."`
	MarkedOnly bool    `help:"Leave out unmarked photographs and those marked with another key."`
	JSON       string  `name:"json" placeholder:"FILE" help:"Write every reading, with its parameters."`
	MD         string  `name:"md" placeholder:"FILE" help:"Write the table as Markdown."`
	Plot       string  `placeholder:"FILE" help:"Draw the table, as SVG."`
	Peers      string  `placeholder:"FILE" help:"CSV of what other watermarks do, to show beside: testdata/ladder/peers.csv."`
	Force      bool    `short:"f" help:"Overwrite FILEs."`
}

// Help explains the measurement.
func (benchRobustnessCmd) Help() string {
	return `Marks every photograph at one strength, edits it and reads it blind: a reading knows the delivery's key and declared resolution, not the picture's size, nor what was done to it. The unmarked photographs and copies marked with another key go through the same edits, and whatever is named there is a false attribution: then the exit code is 3.

Example: filigrane bench robustness --edits peers,deep --peers testdata/ladder/peers.csv --json docs/bench/robustness.json --plot docs/bench/robustness.svg`
}

// Run measures.
func (c *benchRobustnessCmd) Run(s *session) error {
	config, err := c.config(s)
	if err != nil {
		return err
	}
	peers, err := c.peers()
	if err != nil {
		return err
	}
	show := &stages{s: s}
	config.Progress = func(done, total int) { show.tell("readings of edited photographs", done, total) }
	rows, err := robustness.Measure(s.ctx, config)
	show.end()
	if err != nil {
		return err
	}
	lines := robustness.Summarise(rows)
	if err := c.write(config, rows, lines, peers); err != nil {
		return err
	}
	c.table(s, rows, lines)
	for i := range lines {
		lines[i] = lines[i].Rounded()
	}
	wrong := robustness.False(rows)
	if err := s.emit(struct {
		Params  robustness.Params `json:"params"`
		Summary []robustness.Line `json:"summary"`
		Read    int               `json:"readings"`
		False   int               `json:"false_attributions"`
	}{config.Params(), lines, len(rows), wrong}); err != nil {
		return err
	}
	if wrong > 0 {
		return fmt.Errorf("%d FALSE ATTRIBUTIONS in %d readings at an accepted rate of %g per reading: the rows with concept_wrong, work_wrong or delivery_wrong", wrong, len(rows), c.FWER)
	}
	return nil
}

// config checks the flags and finds the photographs.
func (c *benchRobustnessCmd) config(s *session) (robustness.Config, error) {
	none := robustness.Config{}
	cases, err := robustness.Cases(c.Edits)
	if err != nil {
		return none, badInput("--edits: %w", err)
	}
	level := detect.Level("")
	if c.Level != "auto" {
		if level, err = detect.LevelByName(c.Level); err != nil {
			return none, badInput("--level: %w, or auto", err)
		}
	}
	if c.FWER <= 0 || c.FWER >= 1 || c.Resolution < mark.CellSize || c.PSNR < mark.FloorPSNR || c.PSNR > 60 {
		return none, badInput("--fwer %g, --resolution %d, --psnr %g: give a rate between 0 and 1, at least %d pixels and %g to 60 dB", c.FWER, c.Resolution, c.PSNR, mark.CellSize, mark.FloorPSNR)
	}
	for flag, file := range map[string]string{"--json": c.JSON, "--md": c.MD, "--plot": c.Plot} {
		if file != "" && exists(file) && !c.Force {
			return none, badInput("%s %s exists; give --force to overwrite it", flag, file)
		}
	}
	photos, err := hosts(s, c.Photos)
	if err != nil {
		return none, err
	}
	if len(photos) < 2 {
		return none, badInput("--photos %s: %d photographs; at least two are needed, since some edits join two", c.Photos, len(photos))
	}
	return robustness.Config{Photos: photos, Cases: cases, Level: level, PSNRDB: c.PSNR, Resolution: c.Resolution, FWER: c.FWER,
		Seed: c.Seed, MarkedOnly: c.MarkedOnly, Workers: s.jobs()}, nil
}

func (c *benchRobustnessCmd) peers() ([]robustness.Peer, error) {
	if c.Peers == "" {
		return nil, nil
	}
	f, err := os.Open(c.Peers)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	peers, err := robustness.ReadPeers(f)
	if err != nil {
		return nil, badInput("--peers %s: %w", c.Peers, err)
	}
	return peers, nil
}

// write writes the files that were asked for.
func (c *benchRobustnessCmd) write(config robustness.Config, rows []robustness.Row, lines []robustness.Line, peers []robustness.Peer) error {
	put := func(file string, content func(io.Writer) error) error {
		if file == "" {
			return nil
		}
		var b bytes.Buffer
		if err := content(&b); err != nil {
			return err
		}
		return workspace.WriteFile(filepath.Clean(file), b.Bytes(), 0o644)
	}
	return errors.Join(
		put(c.JSON, func(w io.Writer) error { return robustness.WriteJSON(w, config.Params(), rows) }),
		put(c.MD, func(w io.Writer) error { return robustness.Markdown(w, lines, peers) }),
		put(c.Plot, func(w io.Writer) error {
			svg, err := c.plot(lines, peers)
			if err == nil {
				_, err = io.WriteString(w, string(svg))
			}
			return err
		}))
}

// plot draws concept and work beside the peers.
func (c *benchRobustnessCmd) plot(lines []robustness.Line, peers []robustness.Peer) (template.HTML, error) {
	edits := make([]string, len(lines))
	strength := fmt.Sprintf("\n%.1f dB", c.PSNR)
	concept := report.Column{Name: "concept" + strength, Heavier: true}
	direct := report.Column{Name: "its own mark" + strength, Heavier: true}
	work := report.Column{Name: "work" + strength, Heavier: true}
	for i, l := range lines {
		edits[i] = l.Edit
		for _, column := range []struct {
			to   *report.Column
			read int
		}{{&concept, l.Concept}, {&direct, l.Direct}, {&work, l.Work}} {
			column.to.Read, column.to.Of = append(column.to.Read, column.read), append(column.to.Of, l.N)
		}
	}
	columns := []report.Column{concept, direct, work}
	for _, m := range robustness.Methods(peers) {
		one := report.Column{Name: m}
		for _, e := range edits {
			p, _ := robustness.Find(peers, m, e)
			if p.N > 0 {
				one.Name = fmt.Sprintf("%s\n%.1f dB", m, p.PSNRDB)
			}
			one.Read, one.Of = append(one.Read, p.Detected), append(one.Of, p.N)
		}
		columns = append(columns, one)
	}
	return report.RobustnessChart(edits, columns)
}

// table shows people the summary.
func (c *benchRobustnessCmd) table(s *session, rows []robustness.Row, lines []robustness.Line) {
	if s.Quiet {
		return
	}
	w := tabwriter.NewWriter(s.stderr, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "edit\tlevel\tconcept\tdirectly\twork\tdelivery\tT concept\tT work\tms\tfalse/nulls\t")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.0f\t%d/%d\t\n", l.Edit, l.Level, l.Concept, l.N, l.Direct, l.Work, l.Delivery, l.TConcept, l.TWork, l.MS, l.Wrong+l.Unmarked+l.OtherKey, l.N+l.Nulls)
	}
	w.Flush()
	q := robustness.QualityOf(rows)
	s.note("%d readings, %d false; marks at PSNR %.2f dB (least %.2f), SSIM %.4f (least %.4f)", len(rows), robustness.False(rows), q.PSNRMean, q.PSNRMin, q.SSIMMean, q.SSIMMin)
}
