package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/internal/workspace"
	"github.com/filigrane/filigrane/mark"
)

// keyPath are the flags that name a delivery's key, besides bank and catalogue.
type keyPath struct {
	Licence string `default:"internal" placeholder:"ID" help:"The licence: part of the key's path. Default ${default}."`
	Purpose string `default:"training" placeholder:"WORD" help:"The purpose: part of the key's path. Default ${default}."`
	Epoch   int    `default:"1" placeholder:"N" help:"The epoch: part of the key's path; another one gives new keys. Default ${default}."`
}

// noLicence is the default of --licence.
const noLicence = "internal"

// path completes the path, or says what is wrong with the flags.
func (k keyPath) path(bank, catalogue string) (mark.Path, error) {
	for name, v := range map[string]string{"--licence": k.Licence, "--purpose": k.Purpose} {
		if workspace.CheckBank(v) != nil {
			return mark.Path{}, badInput("%s %q: give 1 to 128 bytes of printable text", name, v)
		}
	}
	if k.Epoch < 1 {
		return mark.Path{}, badInput("--epoch %d: epochs count from 1", k.Epoch)
	}
	return mark.Path{Bank: bank, Catalogue: catalogue, Licence: k.Licence, Purpose: k.Purpose, Epoch: k.Epoch}, nil
}

// embedCmd is "filigrane embed".
type embedCmd struct {
	Hosts []string `arg:"" optional:"" name:"host" help:"Pictures, folders or patterns to mark; or works of the catalogue by ID or path, whose masters are then read."`
	Input []string `short:"i" sep:"none" placeholder:"FILE" help:"The same as HOST."`

	Output  string   `short:"o" required:"" placeholder:"OUT" help:"The file to write, or a folder for several. Its ending chooses the format of a single file."`
	Force   bool     `short:"f" help:"Overwrite existing files; never the input."`
	Sidecar bool     `short:"s" help:"Write the report beside each output as OUT.filigrane.json."`
	Concept []string `sep:"none" placeholder:"NAME" help:"A concept by ID, name or number; up to 4. Default: those of the work in the catalogue; 'none' for none."`
	Work    string   `default:"auto" placeholder:"WORK" help:"The work's ID, path or number. Default 'auto': the work of the catalogue with the host's bytes; 'none' for none."`

	Catalogue string `short:"c" placeholder:"NAME[@V]" help:"The catalogue: part of the key's path, and where names come from. Default: the latest version of the only one."`
	keyPath
	Preset     string `default:"standard" help:"The strength: gentle (45 dB), standard (42), strong (38). Default ${default}."`
	Resolution int    `short:"r" default:"1024" placeholder:"R" help:"The short side, in pixels, at which the trainer will see the picture. Default ${default}."`
	Format     string `default:"auto" enum:"auto,source,png,jpeg,webp,tiff" help:"auto (from OUT's ending, else as the source), source (PNG for AVIF, which is only read), png, jpeg, webp (lossless) or tiff."`
	Quality    int    `default:"0" placeholder:"Q" help:"JPEG quality 1 to 100 instead of the source's."`
	MaxPixels  int64  `default:"250000000" placeholder:"N" help:"Refuse pictures of more pixels than that. Default ${default}."`
}

// Help gives an example.
func (embedCmd) Help() string {
	return `Marks pictures outside a delivery. Format, quality and metadata stay as they were. What was written is read back and detected, at the size the trainer will see or up to twice that; a picture whose mark cannot be found is marked more strongly, down to 38 dB, and refused if that does not help. The path of the key is kept in the workspace, so that 'detect' finds it.

Pictures are worked on whole, as many at once as --jobs says. A JPEG takes 10 to 16 bytes of memory a pixel: 280 MB for 24 megapixels, 1 GB for 100; a progressive one up to 20, and samples of 16 bits twice as much. --max-pixels refuses by name (too_large) what would not fit.

Example: filigrane embed lake.jpg -o marked/lake.jpg --concept semantic/lakes`
}

// embedJSON is the report of one marked picture.
type embedJSON struct {
	File       string        `json:"file"`
	Output     string        `json:"output,omitempty"`
	Error      *errorJSON    `json:"error,omitempty"`
	Path       *mark.Path    `json:"path,omitempty"`
	Profile    int           `json:"profile,omitempty"`
	Resolution int           `json:"resolution,omitempty"`
	Preset     string        `json:"preset,omitempty"`
	Concepts   []named       `json:"concepts,omitempty"`
	Work       *named        `json:"work,omitempty"`
	PSNRDB     float64       `json:"psnr_db,omitempty"` // host against the file re-read
	SSIM       float64       `json:"ssim,omitempty"`
	Embedding  *embed.Report `json:"embedding,omitempty"`
	Attempts   int           `json:"attempts,omitempty"`
	Format     string        `json:"format,omitempty"`
	Bytes      int           `json:"bytes,omitempty"`
	HostBytes  int           `json:"host_bytes,omitempty"`
	Verified   *verifiedJSON `json:"verified,omitempty"`
}

type named struct {
	Number int    `json:"number"`
	ID     string `json:"id,omitempty"`
	Name   string `json:"name,omitempty"`
}

// verifiedJSON is what reading the written file gave.
type verifiedJSON struct {
	DeliveryT float64          `json:"delivery_t"`
	Concepts  []detect.Finding `json:"concepts"`
	Work      *detect.Finding  `json:"work,omitempty"`
}

// embedder marks the pictures of one command.
type embedder struct {
	*session
	cmd    *embedCmd
	cat    *workspace.Catalogue // nil: none
	book   *concepts.Codebook
	path   mark.Path
	preset mark.Preset
	books  *mark.Books
	reader *detect.Reader
	inputs []input
	hosts  map[string]concepts.Work // inputs that are works, read from a bucket of masters
	bucket *masters                 // nil unless there are some
	isDir  bool                     // OUT is a folder
	taken  map[string]string

	targets turns
}

// Run marks every input.
func (c *embedCmd) Run(s *session) error {
	e, err := c.prepare(s)
	if err != nil {
		return err
	}
	if e.bucket != nil {
		defer e.bucket.Close()
	}
	return e.each()
}

// marked is what became of one input.
type marked struct {
	rep  *embedJSON
	note string
	err  error
}

// each marks the inputs, several at once, and reports them in order.
func (e *embedder) each() error {
	bar := e.progress("marking", len(e.inputs))
	failed := 0
	err := inOrder(e.ctx, e.jobs(), len(e.inputs), e.one, func(i int, m marked) error {
		bar.add(1)
		return e.report(e.inputs[i], m, &failed)
	})
	bar.done()
	switch {
	case err != nil:
		return err
	case e.ctx.Err() != nil:
		return e.ctx.Err()
	case failed > 0:
		return errTold
	}
	return nil
}

// report prints what became of an input. An error that is not the input's own ends the run.
func (e *embedder) report(in input, m marked, failed *int) error {
	if m.note != "" {
		e.note("%s: %s", in.path, m.note)
	}
	switch {
	case m.err != nil && otherFile(in, m.err):
		e.note("%s is no picture; left out", in.path)
		return nil
	case m.err != nil && codeOf(m.err) == exitInternal:
		return m.err
	case m.err != nil:
		*failed++
		m.rep = &embedJSON{File: in.path, Error: errorOf(m.err)}
		e.note("%s: %s", in.path, m.rep.Error.Detail)
	}
	return e.emit(m.rep)
}

// prepare checks all flags, and keeps the key's path in the workspace before the first mark is made.
func (c *embedCmd) prepare(s *session) (*embedder, error) {
	e := &embedder{session: s, cmd: c, taken: map[string]string{}, hosts: map[string]concepts.Work{}}
	var err error
	if e.inputs, err = inputs(append(slices.Clone(c.Input), c.Hosts...)); err != nil {
		return nil, err
	}
	if e.preset, err = mark.PresetByName(c.Preset); err != nil {
		return nil, inputError{err}
	}
	if c.Resolution < mark.CellSize || c.MaxPixels < 1 || c.Quality < 0 || c.Quality > 100 || len(c.Concept) > mark.MaxSuperposed {
		return nil, badInput("out of range: --resolution is at least %d, --max-pixels 1, --quality 1 to 100, at most %d concepts", mark.CellSize, mark.MaxSuperposed)
	}
	info, err := os.Stat(c.Output)
	e.isDir = err == nil && info.IsDir() || len(e.inputs) > 1 || e.inputs[0].found || strings.HasSuffix(c.Output, "/")
	if e.isDir && err == nil && !info.IsDir() {
		return nil, badInput("-o %s is a file, but there are several inputs; name a folder", c.Output)
	}
	e.targets = newTurns(len(e.inputs))
	r, err := s.records()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	key, err := s.embeddingKey(r.ws)
	if err != nil {
		return nil, err
	}
	if err := e.names(r); err != nil {
		return nil, err
	}
	if err := e.works(r); err != nil {
		return nil, err
	}
	p := mark.Profile1()
	ks := key.Delivery(e.path).Keys()
	e.books = mark.NewBooks(p, ks)
	e.reader = detect.NewReader(p, ks, detect.Options{Resolution: c.Resolution, Scales: []float64{}})
	_, err = r.reg.AddMarking(s.ctx, r.scope, registry.Marking{Path: e.path, Profile: p.ID, Resolution: c.Resolution}, time.Now())
	return e, err
}

// noCatalogue stands in the key's path where a workspace has no catalogue.
const noCatalogue = "none@1"

// names finds the catalogue, the codebook and the key's path.
func (e *embedder) names(r *records) (err error) {
	if e.book, err = r.book(e.session); err != nil {
		return err
	}
	name := noCatalogue
	all, err := r.versions(e.session)
	if err != nil {
		return err
	}
	if e.cmd.Catalogue != "" || len(all) > 0 {
		if e.cat, err = r.catalogue(e.session, e.cmd.Catalogue); err != nil {
			return err
		}
		name = refOf(e.cat).String()
	}
	e.path, err = e.cmd.path(r.ws.Bank(), name)
	return err
}

// works finds inputs that are no files but works of the catalogue. Their masters are read where they lie.
func (e *embedder) works(r *records) error {
	if e.cat == nil {
		return nil
	}
	var m *masters
	for i := range e.inputs {
		in := &e.inputs[i]
		if in.path == "-" || exists(in.path) {
			continue
		}
		w, err := findWork(e.cat.Frozen, new(concepts.Codebook), in.path) // a number is no name of a picture
		if err != nil {
			continue // reading it will say that it is not there
		}
		if m == nil {
			if m, err = r.masters(e.session); err != nil {
				return err
			}
		}
		in.rel = path.Base(w.Path)
		if m.folder != "" {
			in.path = filepath.Join(m.folder, filepath.FromSlash(w.Path))
			continue
		}
		in.path, e.hosts[w.Path], e.bucket = w.Path, w, m
	}
	return nil
}

// host reads an input.
func (e *embedder) host(in input) ([]byte, error) {
	if w, ok := e.hosts[in.path]; ok {
		return e.bucket.read(e.ctx, w)
	}
	return e.read(in)
}

// one marks one picture.
func (e *embedder) one(i int) (m marked) {
	defer e.targets.pass(i)
	m.rep, m.err = e.mark(i, &m.note)
	return m
}

func (e *embedder) mark(i int, note *string) (*embedJSON, error) {
	in := e.inputs[i]
	data, err := e.host(in)
	if err != nil {
		return nil, err
	}
	p, err := raster.Decode(data, raster.Limits{MaxPixels: e.cmd.MaxPixels})
	if err != nil {
		return nil, err
	}
	reclaim(p.Image)
	e.targets.wait(i)
	out, opt, err := e.target(in, p)
	e.targets.pass(i)
	if err != nil {
		return nil, err
	}
	work, err := e.work(data)
	if err != nil {
		return nil, err
	}
	list, err := e.conceptsOf(work)
	if err != nil {
		return nil, err
	}
	rep := &embedJSON{File: in.path, Output: out, Path: &e.path, Profile: mark.Profile1().ID, Resolution: e.cmd.Resolution, Preset: e.preset.Name,
		Concepts: list, HostBytes: len(data)}
	if work.Number > 0 {
		rep.Work = &work
	}
	if len(list) == 0 && work.Number == 0 {
		*note = "neither a concept nor a work: only the delivery can be found in it"
	}
	file, err := e.loop(p, opt, rep)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o777); err != nil {
		return nil, err
	}
	if err := workspace.WriteFile(out, file, 0o644); err != nil {
		return nil, err
	}
	if e.cmd.Sidecar {
		text, err := e.marshal(rep)
		if err != nil {
			return nil, err
		}
		return rep, workspace.WriteFile(out+sidecarSuffix, text, 0o644)
	}
	return rep, nil
}

// turns lets the inputs choose their outputs in order, so that of two that want the same one it is always the second
// that is refused.
type turns []chan struct{}

func newTurns(n int) turns {
	t := make(turns, n)
	for i := range t {
		t[i] = make(chan struct{})
	}
	return t
}

// wait returns once all before i have passed.
func (t turns) wait(i int) {
	if i > 0 {
		<-t[i-1]
	}
}

// pass lets the next one choose once all before i have passed. It may be called again.
func (t turns) pass(i int) {
	select {
	case <-t[i]:
	default:
		t.wait(i)
		close(t[i])
	}
}

const sidecarSuffix = ".filigrane.json"

// target says where and how a picture is written, and refuses to overwrite.
func (e *embedder) target(in input, p *raster.Picture) (string, raster.EncodeOptions, error) {
	opt := raster.EncodeOptions{Format: p.Format.Kept(), Quality: e.cmd.Quality}
	byName, known := formatOf(e.cmd.Output)
	switch {
	case e.cmd.Format != "auto" && e.cmd.Format != "source":
		opt.Format = raster.Format(e.cmd.Format)
	case e.cmd.Format == "auto" && !e.isDir && known:
		opt.Format = byName
	}
	if opt.Format == raster.WebP && p.Format != raster.WebP {
		opt.Lossless = true
	}
	out := e.cmd.Output
	if e.isDir {
		out = filepath.Join(e.cmd.Output, in.rel)
		if was, ok := formatOf(out); !ok || was != opt.Format {
			out = strings.TrimSuffix(out, filepath.Ext(out)) + opt.Format.Extension()
		}
	}
	if other, ok := e.taken[out]; ok {
		return "", opt, badInput("%s would be written for %s and for %s; rename one or write them apart", out, other, in.path)
	}
	e.taken[out] = in.path
	files := []string{out}
	if e.cmd.Sidecar {
		files = append(files, out+sidecarSuffix)
	}
	for _, name := range files {
		if err := e.free(name); err != nil {
			return "", opt, err
		}
	}
	return out, opt, nil
}

// free refuses a name that is an input, or exists and may not be overwritten.
func (e *embedder) free(name string) error {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, in := range e.inputs {
		if host, err := os.Stat(in.path); err == nil && os.SameFile(host, info) {
			return badInput("%s is an input; masters are never written over: choose another output", name)
		}
	}
	if !e.cmd.Force {
		return badInput("%s exists; give --force to overwrite it, or choose another output", name)
	}
	return nil
}

// work finds the work that the host is, number 0 for none.
func (e *embedder) work(data []byte) (named, error) {
	switch {
	case e.cmd.Work == "none", e.cmd.Work == "auto" && e.cat == nil:
		return named{}, nil
	case e.cmd.Work == "auto":
		sum := sha256.Sum256(data)
		w, ok := e.cat.Work(concepts.NewWorkID(sum))
		if !ok || w.SHA256 != hex.EncodeToString(sum[:]) {
			return named{}, nil
		}
		n, _ := e.book.WorkNumber(w.ID)
		return named{n, string(w.ID), w.Title}, nil
	}
	if len(e.inputs) > 1 {
		return named{}, badInput("--work %s names one work, but there are several inputs; use auto or none", e.cmd.Work)
	}
	if e.cat != nil {
		w, err := findWork(e.cat.Frozen, e.book, e.cmd.Work)
		if err == nil {
			n, _ := e.book.WorkNumber(w.ID)
			return named{n, string(w.ID), w.Title}, nil
		}
		if !errors.Is(err, errNoWork) {
			return named{}, err
		}
	}
	if n, err := strconv.Atoi(e.cmd.Work); err == nil && n >= 1 && n <= mark.MaxWorks {
		id, _ := e.book.WorkName(n)
		return named{Number: n, ID: string(id)}, nil
	}
	return named{}, badInput("--work %q: no such work; give an ID, a path, a number, auto or none", e.cmd.Work)
}

// conceptsOf finds the concepts to mark: those of the flags, else the work's own.
func (e *embedder) conceptsOf(work named) ([]named, error) {
	names := map[concepts.ConceptID]string{}
	if e.cat != nil {
		for _, c := range e.cat.Catalogue().Concepts {
			names[c.ID] = c.Name
		}
	}
	var list []named
	if len(e.cmd.Concept) == 0 && e.cat != nil && work.ID != "" {
		for _, id := range e.cat.ConceptsOf(concepts.WorkID(work.ID)) {
			n, _ := e.book.ConceptNumber(id)
			list = append(list, named{n, string(id), names[id]})
		}
		return list, nil
	}
	for _, text := range e.cmd.Concept {
		if text == "none" {
			continue
		}
		c, err := e.concept(text, names)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(o named) bool { return o.Number == c.Number }) {
			return nil, badInput("--concept %s is given twice", text)
		}
		list = append(list, c)
	}
	return list, nil
}

// concept finds a concept by ID, name or number.
func (e *embedder) concept(text string, names map[concepts.ConceptID]string) (named, error) {
	if n, ok := e.book.ConceptNumber(concepts.ConceptID(text)); ok {
		return named{n, text, names[concepts.ConceptID(text)]}, nil
	}
	var fits []named
	for id, name := range names {
		if strings.EqualFold(name, text) {
			n, _ := e.book.ConceptNumber(id)
			fits = append(fits, named{n, string(id), name})
		}
	}
	if len(fits) == 1 {
		return fits[0], nil
	}
	if len(fits) > 1 {
		return named{}, badInput("--concept %q is the name of several concepts; give an ID such as %s", text, fits[0].ID)
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= mark.MaxConcepts {
		id, _ := e.book.ConceptName(n)
		return named{n, string(id), names[id]}, nil
	}
	return named{}, badInput("--concept %q: no such concept; 'filigrane concepts list' shows them", text)
}

// loop marks, encodes, reads back and detects, more strongly each time, until the mark is found or the floor
// is passed.
func (e *embedder) loop(p *raster.Picture, opt raster.EncodeOptions, rep *embedJSON) ([]byte, error) {
	var n mark.Names
	for _, c := range rep.Concepts {
		n.Concepts = append(n.Concepts, c.Number)
	}
	if rep.Work != nil {
		n.Work = rep.Work.Number
	}
	cell := mark.NewCell(mark.Profile1(), e.books, n)
	host, err := embed.NewHost(p.Image, e.cmd.Resolution)
	if err != nil {
		return nil, badInput("%s", strings.TrimPrefix(err.Error(), "embed: "))
	}
	last := "the mark was not found"
	for db := e.preset.PSNRDB; db >= mark.FloorPSNR; db-- {
		rep.Attempts++
		file, er, err := e.write(p, host, cell, db, opt)
		if err != nil {
			return nil, err
		}
		again, err := raster.Decode(file, raster.Limits{MaxPixels: e.cmd.MaxPixels})
		if err != nil {
			return nil, err
		}
		reclaim(p.Image)
		reading, err := e.reader.Read(seenAt(again.Image, e.cmd.Resolution))
		if err != nil {
			return nil, inputError{err}
		}
		if last = missing(&reading, n); last == "" {
			rep.Embedding, rep.Format, rep.Bytes = &er, string(again.Format), len(file)
			rep.PSNRDB, rep.SSIM = signal.PSNR(p.Image, again.Image), signal.SSIM(p.Image, again.Image)
			rep.Verified = &verifiedJSON{DeliveryT: reading.Delivery.T, Concepts: notNil(reading.Concepts)}
			if reading.WorkFound() {
				rep.Verified.Work = &reading.Work
			}
			return file, nil
		}
	}
	return nil, badInput("at %.0f dB, the floor, %s; nothing was written: the picture may be too even or too small, or its format too lossy", mark.FloorPSNR, last)
}

// write marks a picture at a strength and gives the file. The marked picture is not kept.
func (e *embedder) write(p *raster.Picture, host *embed.Host, cell *mark.Cell, db float64, opt raster.EncodeOptions) ([]byte, embed.Report, error) {
	reclaim(p.Image)
	marked, rep, err := host.Mark(cell, db)
	if err != nil {
		return nil, rep, badInput("%s", strings.TrimPrefix(err.Error(), "embed: "))
	}
	out := *p
	out.Image = marked
	var file bytes.Buffer
	err = raster.Encode(&file, &out, opt)
	out.Image = nil
	reclaim(p.Image)
	return file.Bytes(), rep, err
}

// alwaysNamed is how many concepts one picture must name by itself. With more, their shares of the lattice are
// too small to be sure of; then, and where the work tells the others, one must be named.
const alwaysNamed = 2

// missing says what a reading lacks of what was embedded, "" for nothing.
func missing(r *detect.Reading, n mark.Names) string {
	found := 0
	for _, f := range r.Concepts {
		if !slices.Contains(n.Concepts, f.Number) {
			return "another concept was read"
		}
		found++
	}
	need := len(n.Concepts)
	if need > alwaysNamed || need > 0 && n.Work > 0 {
		need = 1
	}
	switch {
	case !r.DeliveryFound():
		return "the delivery's mark was not found"
	case n.Work > 0 && !(r.WorkFound() && r.Work.Number == n.Work):
		return "the work's mark was not found"
	case found < need:
		return "not all concepts were found"
	}
	return ""
}
