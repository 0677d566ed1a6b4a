package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/filigrane/filigrane/internal/bench/adversary"
	"github.com/filigrane/filigrane/internal/workspace"
	"github.com/filigrane/filigrane/mark"
)

// benchAttacksCmd is "filigrane bench attacks".
type benchAttacksCmd struct {
	Photos     string   `default:"testdata/photos" placeholder:"DIR" help:"Unmarked photographs: half are the attacker's, half the victims'. Default ${default}."`
	Only       []string `placeholder:"NAME" help:"Attacks to run: averaging, overmark, collusion, processing, copy, network. Default all."`
	Files      []int    `default:"1,16,256,1024" placeholder:"N" help:"Numbers of files averaged. Default ${default}."`
	Seed       uint64   `default:"1" help:"Draws all keys and all chance. Default ${default}."`
	Quick      bool     `help:"Eight photographs at half the size, 1 and 4 files: to see that it works, not for figures."`
	WritePairs string   `placeholder:"DIR" help:"Measure nothing: write what lab/remover.py trains on into DIR."`
	Removed    string   `placeholder:"DIR" help:"The same folder after lab/remover.py: read what it cleaned."`
	JSON       string   `name:"json" placeholder:"FILE" help:"Write the figures, with their parameters."`
	MD         string   `name:"md" placeholder:"FILE" help:"Write the tables of docs/threats.md, as Markdown."`
	Force      bool     `short:"f" help:"Overwrite FILEs."`
}

// Help explains the measurement.
func (benchAttacksCmd) Help() string {
	return `What people can do who would rather not be found, or who would like somebody else to be: docs/threats.md says what each attack is and what the figures mean. All files are marked at 42 dB.

The network that removes marks is trained outside:

  filigrane bench attacks --write-pairs build/remover
  lab/remover.py build/remover
  filigrane bench attacks --removed build/remover --json docs/bench/attacks.json`
}

// attacksReport is what the command writes.
type attacksReport struct {
	Params attacksParams   `json:"params"`
	Rows   []adversary.Row `json:"rows"`
}

type attacksParams struct {
	Seed     uint64 `json:"seed"`
	Photos   int    `json:"photographs"`
	Side     int    `json:"side_px"`
	FileSide int    `json:"averaged_side_px"`
	Quick    bool   `json:"quick,omitempty"`
}

// quickPhotos is how many photographs are taken with --quick.
const quickPhotos = 8

// Run measures.
func (c *benchAttacksCmd) Run(s *session) error {
	setup, err := c.setup(s)
	if err != nil {
		return err
	}
	show := &stages{s: s}
	setup.Progress = show.tell
	if c.WritePairs != "" {
		err := adversary.WritePairs(s.ctx, setup, c.WritePairs)
		show.end()
		if err == nil {
			s.note("pairs are in %s; now run lab/remover.py %s", c.WritePairs, c.WritePairs)
		}
		return err
	}
	rows, err := adversary.Run(s.ctx, setup, c.Only...)
	show.end()
	if err != nil {
		return err
	}
	report := attacksReport{attacksParams{c.Seed, len(setup.Photos), setup.Side, setup.FileSide, c.Quick}, rows}
	if c.JSON != "" {
		if err := c.write(report); err != nil {
			return err
		}
	}
	if c.MD != "" {
		if err := workspace.WriteFile(filepath.Clean(c.MD), []byte(attacksMarkdown(rows)), 0o644); err != nil {
			return err
		}
	}
	if !s.Quiet {
		attacksTable(s.stderr, rows)
	}
	return s.emit(report)
}

// setup checks the flags and finds the photographs.
func (c *benchAttacksCmd) setup(s *session) (adversary.Setup, error) {
	none := adversary.Setup{}
	if err := adversary.Check(c.Only, c.Files); err != nil {
		return none, badInput("%w", err)
	}
	for flag, file := range map[string]string{"--json": c.JSON, "--md": c.MD} {
		if file != "" && exists(file) && !c.Force {
			return none, badInput("%s %s exists; give --force to overwrite it", flag, file)
		}
	}
	found, err := hosts(s, c.Photos)
	if err != nil {
		return none, err
	}
	setup := adversary.Setup{Seed: c.Seed, Workers: s.jobs(), Side: adversary.DefaultSide, FileSide: adversary.DefaultFileSide,
		Files: c.Files, Removed: c.Removed}
	if c.Quick {
		setup.Side, setup.FileSide, setup.Files = setup.Side/2, setup.FileSide/2, []int{1, 4}
		found = found[:min(len(found), quickPhotos)]
	}
	for _, p := range found {
		setup.Photos = append(setup.Photos, adversary.Photo{Name: p.Name, Image: p.Load})
	}
	if len(found) < 2 {
		return none, badInput("--photos %s: %d photographs; two are needed, one for the attacker and one for the victim", c.Photos, len(found))
	}
	return setup, nil
}

// write writes one row a line: a change of one figure is then a change of one line.
func (c *benchAttacksCmd) write(r attacksReport) error {
	var b bytes.Buffer
	params, err := (&session{}).marshal(r.Params)
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "{\"params\": %s, \"rows\": [\n", bytes.TrimSpace(params))
	for i, row := range r.Rows {
		line, err := (&session{}).marshal(row)
		if err != nil {
			return err
		}
		b.Write(bytes.TrimSpace(line))
		if i < len(r.Rows)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]}\n")
	return workspace.WriteFile(filepath.Clean(c.JSON), b.Bytes(), 0o644)
}

// attacksTable prints the rows for people.
func attacksTable(w io.Writer, rows []adversary.Row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "attack\tvariant\tn\timages\tdB to original\tto marked\tdelivery\tconcept\twork\twrong\ttraced\tlooks learned\tmedian T")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f / %.1f / %.1f\n", r.Attack, r.Variant, orDash(r.N), r.Images,
			decibels(r.ToOriginalDB), decibels(r.ToMarkedDB), r.Delivery.Right, r.Concept.Right, r.Work.Right, r.Concept.Wrong+r.Work.Wrong,
			r.Traced, r.LooksLearned, r.Delivery.T, r.Concept.T, r.Work.T)
	}
	t.Flush()
	fmt.Fprintf(w, "%s\n", strings.Join([]string{
		fmt.Sprintf("All files at %g dB, profile %d.", adversary.StrengthDB, mark.Profile1().ID),
		"Traced: the concept is known, directly or because the work is. Looks learned: a concept and no work."}, " "))
}

// attacksMarkdown gives one table for each attack.
func attacksMarkdown(rows []adversary.Row) string {
	var b strings.Builder
	for i, r := range rows {
		if i == 0 || r.Attack != rows[i-1].Attack {
			fmt.Fprintf(&b, "\n### %s\n\n| | n | dB to original | to delivered | delivery | concept | work | wrong | traced | learned | T: delivery / concept / work |\n", r.Attack)
			b.WriteString("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %d | %d | %d | %d | %d | %.1f / %.1f / %.1f |\n", r.Variant, orDash(r.N),
			decibels(r.ToOriginalDB), decibels(r.ToMarkedDB), r.Delivery.Right, r.Concept.Right, r.Work.Right,
			r.Concept.Wrong+r.Work.Wrong, r.Traced, r.LooksLearned, r.Delivery.T, r.Concept.T, r.Work.T)
	}
	return strings.TrimPrefix(b.String(), "\n")
}

func orDash(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func decibels(db float64) string {
	if db == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", db)
}
