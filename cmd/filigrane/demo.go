package main

import (
	"bytes"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/demo"
	"github.com/filigrane/filigrane/internal/generated"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/internal/workspace"
	"github.com/filigrane/filigrane/mark"
)

// demoCmd is "filigrane demo".
type demoCmd struct {
	Output    string `short:"o" default:"out/demo" placeholder:"DIR" help:"The folder to write. Default ${default}."`
	Force     bool   `short:"f" help:"Replace what an earlier demonstration left in the folder."`
	Photos    string `default:"testdata/photos" placeholder:"DIR" help:"Photographs in folders by concept, with metadata.csv. Default ${default}."`
	Generated string `default:"testdata/generated" placeholder:"DIR" help:"Outputs of trained models, with generated.json; an empty DIR leaves out what they show. Default ${default}."`
	Geometry  string `default:"square:1024" placeholder:"G" help:"The delivery's geometry. Default ${default}."`
	NullTests int    `default:"2000000" placeholder:"N" help:"Tests of unmarked pictures under fresh keys. Default ${default}."`
	Seed      uint64 `default:"1" help:"Draws edits and nulls. Default ${default}."`
}

// Help explains the demonstration.
func (demoCmd) Help() string {
	return `Does the main job once, from the outside, with nothing installed: imports photographs, groups them, delivers them marked, then reads every delivered file back, after edits too, beside pictures that carry nothing; reads what trained models drew. Writes report.html, for people, and report.json.

Example: filigrane demo -o out/demo`
}

// demoPreset is the strength of the demonstration.
const demoPreset = "standard"

// Run runs the demonstration.
func (c *demoCmd) Run(s *session) error {
	began := time.Now()
	drawn, err := c.generated(s)
	if err != nil {
		return err
	}
	if err := c.clear(); err != nil {
		return err
	}
	folder, out := filepath.Join(c.Output, "workspace"), filepath.Join(c.Output, "delivery")
	if err := c.prepare(s, folder, out); err != nil {
		return err
	}
	in, d, closeStore, err := c.input(s, folder, out)
	if err != nil {
		return err
	}
	defer closeStore()
	in.Generated = drawn
	show := &stages{s: s}
	in.Progress = show.tell
	r, untouched, err := demo.Measure(s.ctx, in)
	show.end()
	if err != nil {
		return err
	}
	c.complete(r, d)
	if err := c.write(r, untouched); err != nil {
		return err
	}
	table(s.stderr, r)
	s.note("%s in %.0f s; open %s", "demonstration done", time.Since(began).Seconds(), filepath.Join(c.Output, "report.html"))
	return s.emit(struct {
		HTML string         `json:"report_html"`
		JSON string         `json:"report_json"`
		Q    report.Quality `json:"quality"`
	}{filepath.Join(c.Output, "report.html"), filepath.Join(c.Output, "report.json"), r.Quality})
}

// generated reads the outputs of trained models.
func (c *demoCmd) generated(s *session) ([]generated.Set, error) {
	if c.Generated == "" {
		s.note("--generated is empty: what trained models give back, and what it would pay, is left out")
		return nil, nil
	}
	sets, err := generated.Load(os.DirFS(c.Generated))
	if err != nil {
		return nil, badInput("--generated %s: %w; or run from the root of the source tree, or leave the section out with --generated=", c.Generated, err)
	}
	return sets, nil
}

// clear makes room, and refuses to write into a folder that a demonstration did not make.
func (c *demoCmd) clear() error {
	entries, err := os.ReadDir(c.Output)
	if os.IsNotExist(err) || err == nil && len(entries) == 0 {
		return os.MkdirAll(c.Output, 0o755)
	}
	if err != nil {
		return badInput("-o %s: %w", c.Output, err)
	}
	ours := map[string]bool{"workspace": true, "delivery": true, "report.html": true, "report.json": true}
	for _, e := range entries {
		if !ours[e.Name()] {
			return badInput("-o %s: holds %s, which no demonstration made; choose another folder", c.Output, e.Name())
		}
	}
	if !c.Force {
		return badInput("-o %s: holds an earlier demonstration; give --force to replace it", c.Output)
	}
	for name := range ours {
		if err := os.RemoveAll(filepath.Join(c.Output, name)); err != nil {
			return err
		}
	}
	return nil
}

// prepare drives the same verbs a bank would.
func (c *demoCmd) prepare(s *session, folder, out string) error {
	csv := filepath.Join(c.Photos, "metadata.csv")
	if _, err := os.Stat(csv); err != nil {
		return badInput("--photos %s: no metadata.csv there; run the demonstration from the root of the source tree, or give a folder of photographs with its table", c.Photos)
	}
	for _, args := range [][]string{
		{"init", folder, "--bank", "Demonstration Bank"},
		{"-w", folder, "import", c.Photos, "--csv", csv},
		{"-w", folder, "concepts", "--by", "folder", "--catalogue", "demo"},
		{"-w", folder, "deliver", "--catalogue", "demo", "-o", out, "--geometry", c.Geometry, "--format", "png", "--preset", demoPreset},
	} {
		if s.Quiet {
			args = append([]string{"-q"}, args...)
		}
		s.note("filigrane %s", strings.Join(args, " "))
		var printed bytes.Buffer
		env := func(name string) (string, bool) { // its own key and no settings of the user's
			if strings.HasPrefix(name, "FILIGRANE_") || name == "HOME" || name == "XDG_CONFIG_HOME" {
				return "", false
			}
			return s.env(name)
		}
		if code := run(args, strings.NewReader(""), &printed, s.stderr, env); code != exitOK {
			return fmt.Errorf("filigrane %s ended with code %d", args[0], code)
		}
	}
	return nil
}

// input opens the delivery for measuring.
func (c *demoCmd) input(s *session, folder, out string) (demo.Input, *delivery.Delivery, func(), error) {
	fail := func(err error) (demo.Input, *delivery.Delivery, func(), error) { return demo.Input{}, nil, nil, err }
	ws, err := workspace.Open(folder)
	if err != nil {
		return fail(err)
	}
	master, err := ws.Key(nil)
	if err != nil {
		return fail(err)
	}
	st, err := dir.Open(out)
	if err != nil {
		return fail(err)
	}
	d, err := delivery.Open(s.ctx, st)
	if err != nil {
		return fail(err)
	}
	profile, err := mark.ProfileByID(d.Parameters.Profile)
	if err != nil {
		return fail(err)
	}
	own := *s
	own.Registry = "" // the demonstration's is in its workspace
	r, err := own.recordsOf(ws)
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	cat, err := r.catalogue(s, "demo")
	if err != nil {
		return fail(err)
	}
	in := demo.Input{Keys: master.Delivery(d.Parameters.Path).Keys(), Profile: profile, Resolution: d.Parameters.Geometry.Resolution,
		PresetDB: d.Parameters.PresetDB, NullTests: c.NullTests, Seed: c.Seed, Names: conceptNames(d)}
	err = delivery.EachImage(s.ctx, st, d.Manifest, func(img *delivery.Image, file []byte) error {
		w, ok := cat.Frozen.Work(img.Work)
		if !ok {
			return fmt.Errorf("the delivery holds work %s, which the catalogue does not", img.Work)
		}
		in.Pictures = append(in.Pictures, c.picture(d, img, file, w))
		return nil
	})
	if err != nil {
		return fail(err)
	}
	return in, d, func() { st.Close() }, nil
}

// picture pairs a delivered file with its master.
func (c *demoCmd) picture(d *delivery.Delivery, img *delivery.Image, file []byte, w concepts.Work) demo.Picture {
	p := demo.Picture{Name: img.SourcePath, Work: img.WorkNumber, RightsHolder: w.RightsHolder, PSNRDB: img.PSNRDB, SSIM: img.SSIM}
	for _, n := range img.Concepts {
		p.Concepts = append(p.Concepts, n.Number)
		p.ConceptIDs = append(p.ConceptIDs, n.ID)
	}
	master := filepath.Join(c.Photos, filepath.FromSlash(img.SourcePath))
	decode := func(data []byte) (*raster.Picture, error) { return raster.Decode(data, raster.DefaultLimits()) }
	p.Marked = func() (image.Image, error) {
		m, err := decode(file)
		if err != nil {
			return nil, err
		}
		return m.Image, nil
	}
	p.Host = func() (image.Image, error) {
		data, err := os.ReadFile(master)
		if err != nil {
			return nil, err
		}
		m, err := decode(data)
		if err != nil {
			return nil, err
		}
		return d.Parameters.Geometry.Host(m, d.Parameters.Format)
	}
	p.File = file
	p.Decode = func(data []byte) (image.Image, error) {
		m, err := decode(data)
		if err != nil {
			return nil, err
		}
		return m.Image, nil
	}
	p.Encode = func(marked image.Image) error {
		return raster.Encode(io.Discard, &raster.Picture{Image: marked, Format: raster.PNG}, d.Parameters.Format.EncodeOptions(raster.PNG))
	}
	return p
}

// conceptNames names the concept numbers of a delivery.
func conceptNames(d *delivery.Delivery) func(int) string {
	names := map[int]string{}
	for _, img := range d.Images {
		for _, n := range img.Concepts {
			names[n.Number] = strings.TrimPrefix(string(n.ID), string(n.ID.Kind())+"/")
		}
	}
	return func(n int) string { return names[n] }
}

// complete adds what the manifest knows.
func (c *demoCmd) complete(r *report.Report, d *delivery.Delivery) {
	sum := d.Summary
	r.Title = "Filigrane: a delivery, read back"
	r.Quality = report.Quality{PSNRMeanDB: sum.PSNRMeanDB, PSNRMinDB: sum.PSNRMinDB, SSIMMean: sum.SSIMMean, SSIMMin: sum.SSIMMin}
	r.Delivered = report.Delivered{Files: sum.Images, Strengthened: sum.Strengthened, Shards: len(d.Shards), Bytes: sum.Bytes, Refused: []report.Refused{}}
	for _, f := range d.Refusals {
		r.Delivered.Refused = append(r.Delivered.Refused, report.Refused{File: f.Path, Kind: string(f.Kind), Detail: f.Detail})
	}
	r.Settings.Photographs, r.Settings.Geometry, r.Settings.Preset, r.Settings.Profile = sum.Images, d.Parameters.Geometry.String(), d.Parameters.Preset, d.Parameters.Profile
	ids := map[concepts.ConceptID]bool{}
	for _, img := range d.Images {
		for _, n := range img.Concepts {
			ids[n.ID] = true
		}
	}
	r.Settings.Concepts = len(ids)
	r.Settings.Command = "make demo"
}

// write writes both reports.
func (c *demoCmd) write(r *report.Report, untouched []float64) error {
	var page, data bytes.Buffer
	if err := r.WriteHTML(&page, untouched); err != nil {
		return err
	}
	if err := r.WriteJSON(&data); err != nil {
		return err
	}
	if err := workspace.WriteFile(filepath.Join(c.Output, "report.html"), page.Bytes(), 0o644); err != nil {
		return err
	}
	return workspace.WriteFile(filepath.Join(c.Output, "report.json"), data.Bytes(), 0o644)
}

// table prints the short version.
func table(w io.Writer, r *report.Report) {
	fmt.Fprintf(w, "\n%d files, PSNR mean %.2f dB, least %.2f dB, SSIM mean %.4f\n\n", r.Delivered.Files, r.Quality.PSNRMeanDB, r.Quality.PSNRMinDB, r.Quality.SSIMMean)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "edit\tn\tconcept read\tconcept\twrong\twork\twrong\tT work min\t")
	for _, l := range r.Ladder {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t\n", l.Edit, l.N, l.ConceptDirect, l.ConceptRight, l.ConceptWrong, l.WorkRight, l.WorkWrong, l.TWork.Min)
	}
	t.Flush()
	fmt.Fprintf(w, "\ntwo concepts at once: both read on %d of %d\n", r.Two.BothRight, r.Two.N)
	for _, g := range r.Generated.Sets {
		about := "trained on marked pictures"
		if !g.Marked {
			about = "the control, never saw a mark"
		}
		fmt.Fprintf(w, "%s, %s:\n  all of a concept together: %s\n  each output alone: %s\n", g.Name, about, recognised(g.Together), recognised(g.Alone))
	}
	fmt.Fprintf(w, "unmarked, fresh keys: of %d tests %d reached the level 1e-3, %d the level 1e-4, %d the level 1e-5\n", r.Null.Tests, r.Null.Over1e3, r.Null.Over1e4, r.Null.Over1e5)
	fmt.Fprintf(w, "one core, one picture: decode %.1f ms, embed %.1f ms, encode %.1f ms, detect %.1f ms\n\n", r.Speed.DecodeMS, r.Speed.EmbedMS, r.Speed.EncodeMS, r.Speed.DetectMS)
}

// recognised says what readings name.
func recognised(n report.Recognised) string {
	return fmt.Sprintf("%d of %d name the delivery, %d the concept (it is the strongest in %d), %d wrong names", n.Delivery, n.Readings, n.Concept, n.First, n.Wrong)
}

// stages shows the progress of one stage after another.
type stages struct {
	s  *session
	mu sync.Mutex
	at string
	p  *progress
}

func (t *stages) tell(stage string, done, total int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stage != t.at {
		if t.p != nil {
			t.p.done()
		}
		t.at, t.p = stage, t.s.progress(stage, total)
	}
	t.p.set(done)
}

func (t *stages) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.p != nil {
		t.p.done()
		t.p = nil
	}
}
