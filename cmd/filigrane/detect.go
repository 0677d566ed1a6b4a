package main

import (
	"image"
	"math"
	"slices"
	"strings"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/mark"
)

// detectCmd is "filigrane detect".
type detectCmd struct {
	Files []string `arg:"" optional:"" name:"file" help:"Pictures, folders or patterns; '-' is standard input."`
	Input []string `short:"i" sep:"none" placeholder:"FILE" help:"The same as FILE."`

	Delivery []string `short:"D" sep:"none" placeholder:"DIR" help:"A delivery's folder, repeatable. Default: all deliveries the workspace knows; their number multiplies M."`
	Together bool     `help:"Read all pictures folded into one: outputs of one model, neither scaled nor cut since. Finds weaker marks."`
	Against  []string `sep:"none" placeholder:"PATH" help:"Other outputs of the same model, pictures or folders, repeatable. What they share with the pictures, such as the generator's own grid, is taken out before concepts are named. They must have been chosen without looking at what detect finds."`
	Level    string   `enum:"fast,standard,deep" default:"standard" placeholder:"LEVEL" help:"How far to search for what was done to the picture: fast (resized as a whole, or cut), standard (any scale from 0.25 to 2 besides), deep (turned by up to 15 degrees, stretched, screenshots, pieces of collages). Default ${default}."`
	Heat     string   `placeholder:"DIR" help:"Write a picture of where the mark is, one PNG for each input in which something was found."`
	Force    bool     `short:"f" help:"Overwrite heat maps."`
	FWER     float64  `name:"fwer" default:"1e-6" placeholder:"P" help:"The accepted chance of any false attribution per reading. Default 1e-6, the level of evidence; payouts use 1e-3."`
	Decoys   int      `default:"0" placeholder:"N" help:"Read with N keys that were never used too, and rank the real one among them."`
	Seed     string   `placeholder:"TEXT" help:"Draws the decoy keys; choose it after the pictures are known."`
	Detailed bool     `short:"d" help:"Add the full reading of every delivery, and the alignment of readings that found nothing."`
}

// Help explains the answer.
func (detectCmd) Help() string {
	return `Prints one JSON line per picture: "verdict" is attributed, absent or ambiguous. p bounds the chance of such a reading without a mark, over everything that could have been named. No size, length or variant has to be known; scale, crop, flip and quarter turns are searched, with --level deep also small rotations, stretches and pieces. "alignment" says what was undone.

"near_duplicates" are delivered works that the picture looks like (ISCC Image-Codes that differ in at most 6 of 64 bits), with or without a mark. "contradiction" says where the mark names a work that the picture does not look like.

"says" puts the finding in words. "copy of work X": the picture is, or was cut from, a delivered file; that is no evidence of training. "learned concept X": a concept's mark without a work's that explains it, as a model that learned from the delivery leaves it, or a forger. Both can be true of a collage.

--against finds weaker concepts in outputs of one model. Decide on it, and on the other outputs, before you look: p does not count the readings you did not like.

A concept is named "via": "read" from its own mark, or "work": the picture is a copy of a delivered file, whose concepts the manifest gives; that is no evidence of training.

Exit code 0: something attributed in at least one input. 1: nothing in any. 2: an input could not be read; the others were.

Example: filigrane detect suspects/ --fwer 1e-6
Example: filigrane detect screenshot.png --level deep --heat maps/
Example: filigrane detect --together outputs/*.png -D /deliveries/acme
Example: filigrane detect --together outputs/cats --against outputs/dogs --against outputs/streets`
}

// detection is the answer for one picture, or several together.
type detection struct {
	File      string           `json:"file,omitempty"`
	Files     []string         `json:"files,omitempty"` // --together
	Error     *errorJSON       `json:"error,omitempty"`
	Skipped   *errorJSON       `json:"skipped,omitempty"` // found in a folder and no picture
	Verdict   detect.Verdict   `json:"verdict,omitempty"`
	Reason    string           `json:"reason,omitempty"`
	Says      []string         `json:"says,omitempty"` // the finding in words
	Delivery  *deliveryFinding `json:"delivery,omitempty"`
	Concepts  []conceptFinding `json:"concepts,omitempty"`
	Work      *workFinding     `json:"work,omitempty"`
	Alignment *alignment       `json:"alignment,omitempty"`
	Piece     *detect.Piece    `json:"piece,omitempty"` // the part that was read, where that is not all of it
	Heat      string           `json:"heat,omitempty"`  // file of --heat
	// Near are delivered works that the picture looks like, whatever it carries; Contradiction says where look and mark disagree.
	Near          []nearDuplicate    `json:"near_duplicates,omitempty"`
	Contradiction string             `json:"contradiction,omitempty"`
	FWER          float64            `json:"fwer,omitempty"`
	Keys          int                `json:"keys,omitempty"`    // deliveries tried
	Against       int                `json:"against,omitempty"` // pictures that concepts were read against
	Trials        *detect.Trials     `json:"trials,omitempty"`
	Detectable    *detect.Detectable `json:"detectable,omitempty"` // the weakest marks that would have been found
	Decoys        *decoyRank         `json:"decoys,omitempty"`
	Also          []also             `json:"also,omitempty"` // other deliveries found in the same picture
	Readings      []detailed         `json:"readings,omitempty"`

	reading *detect.Reading
	scope   *scope
}

type deliveryFinding struct {
	mark.Path
	Dir   string  `json:"dir,omitempty"`
	Found bool    `json:"found"`
	T     float64 `json:"t"`
	P     float64 `json:"p"`
}

type conceptFinding struct {
	Number int     `json:"number"`
	ID     string  `json:"id,omitempty"`
	Name   string  `json:"name,omitempty"`
	T      float64 `json:"t"`
	P      float64 `json:"p"`
	Share  float64 `json:"share,omitempty"`
	Via    string  `json:"via"`

	ofWork bool // the work found in the same picture carries it
}

// Ways to name a concept.
const (
	viaRead = "read"
	viaWork = "work"
)

type workFinding struct {
	Number int     `json:"number"`
	ID     string  `json:"id,omitempty"`
	Path   string  `json:"path,omitempty"`
	T      float64 `json:"t"`
	P      float64 `json:"p"`
}

type alignment struct {
	detect.Alignment
	Words string `json:"words"`
}

type also struct {
	Path    mark.Path      `json:"path"`
	Dir     string         `json:"dir,omitempty"`
	Verdict detect.Verdict `json:"verdict"`
	P       float64        `json:"p"`
}

type detailed struct {
	Path    mark.Path      `json:"path"`
	Dir     string         `json:"dir,omitempty"`
	Reading detect.Reading `json:"reading"`
}

// decoyRank compares the real key with keys that were never used. Its p_rank is multiplied by the number of
// deliveries in scope.
type decoyRank struct {
	Seed string `json:"seed"`
	detect.Rank
}

// Run reads every input.
func (c *detectCmd) Run(s *session) error {
	if !(c.FWER > 0 && c.FWER < 1) || c.Decoys < 0 || c.Decoys > 100000 {
		return badInput("out of range: --fwer is between 0 and 1, --decoys 0 to 100000")
	}
	if c.Decoys > 0 && c.Seed == "" {
		return badInput("--decoys needs a --seed: any text, chosen after the pictures are known")
	}
	all, err := inputs(append(slices.Clone(c.Input), c.Files...))
	if err != nil {
		return err
	}
	if c.Heat != "" && c.Together {
		return badInput("--heat shows where in one picture the mark is; leave out --together")
	}
	d := &detector{session: s, cmd: c}
	if err := d.open(); err != nil {
		return err
	}
	if d.others, err = d.against(all); err != nil {
		return err
	}
	if c.Together {
		return d.together(all)
	}
	return d.each(all)
}

// detector reads pictures for one command.
type detector struct {
	*session
	cmd    *detectCmd
	scopes []*scope
	others *detect.Others // nil without --against

	attributed, failed, answered bool
}

// against loads the pictures of --against. All must be readable: a reading against fewer would be another one.
func (d *detector) against(suspects []input) (*detect.Others, error) {
	if len(d.cmd.Against) == 0 {
		return nil, nil
	}
	all, err := inputs(d.cmd.Against)
	if err != nil {
		return nil, err
	}
	var imgs []image.Image
	for _, in := range all {
		if in.path == "-" {
			return nil, badInput("--against -: standard input can be a picture to read, not one to read against")
		}
		if slices.ContainsFunc(suspects, func(s input) bool { return s.path == in.path }) {
			return nil, badInput("%s is both to be read and read against: a picture would be taken out of itself; leave it out of one", in.path)
		}
		p, _, failed := d.load(in)
		switch {
		case failed == nil:
			imgs = append(imgs, p.Image)
		case failed.Error != nil:
			return nil, badInput("--against %s: %s", in.path, failed.Error.Detail)
		}
	}
	if len(imgs) == 0 {
		return nil, badInput("--against: none of the files is a picture")
	}
	others, err := detect.NewOthers(imgs...)
	if err != nil {
		return nil, badInput("--against: %w", err)
	}
	return others, nil
}

// options are those of every reader of this command.
func (d *detector) options(resolution int) detect.Options {
	return detect.Options{Resolution: resolution, FWER: d.cmd.FWER, Keys: len(d.scopes), Level: detect.Level(d.cmd.Level)}
}

// each reads every picture by itself, several at once, and prints the answers in order.
func (d *detector) each(all []input) error {
	bar := d.progress("reading", len(all))
	err := inOrder(d.ctx, d.jobs(), len(all), func(i int) *detection { return d.one(all[i]) }, func(_ int, a *detection) error {
		bar.add(1)
		return d.print(a)
	})
	bar.done()
	if err != nil {
		return err
	}
	return d.outcome()
}

func (d *detector) print(a *detection) error {
	switch {
	case a.Error != nil:
		d.failed = true
		d.note("%s: %s", a.File, a.Error.Detail)
	case a.Verdict == detect.Attributed:
		d.attributed = true
	}
	d.answered = d.answered || a.Verdict != ""
	return d.emit(a)
}

func (d *detector) outcome() error {
	switch {
	case d.ctx.Err() != nil:
		return d.ctx.Err()
	case d.failed:
		return errTold
	case !d.answered:
		return badInput("none of the files is a picture")
	case !d.attributed:
		return errNotFound
	}
	return nil
}

// load reads and decodes an input; the answer is not nil if that failed.
func (d *detector) load(in input) (*raster.Picture, []byte, *detection) {
	data, err := d.read(in)
	var p *raster.Picture
	if err == nil {
		p, err = raster.Decode(data, raster.DefaultLimits())
	}
	switch {
	case err == nil:
		return p, data, nil
	case otherFile(in, err):
		return nil, nil, &detection{File: in.path, Skipped: errorOf(err)}
	}
	return nil, nil, &detection{File: in.path, Error: errorOf(err)}
}

// one reads one picture.
func (d *detector) one(in input) *detection {
	p, data, failed := d.load(in)
	if failed != nil {
		return failed
	}
	a, err := d.answer([]image.Image{p.Image})
	if err != nil {
		return &detection{File: in.path, Error: &errorJSON{"too_small", strings.TrimPrefix(err.Error(), "detect: ")}}
	}
	a.File = in.path
	d.look(a, p.Image, data)
	if err := d.heat(a, p.Image); err != nil {
		a.Error = errorOf(err)
	}
	a.reading = nil // a megabyte of spectra, while answers wait for their turn
	return a
}

// together reads all pictures folded into one.
func (d *detector) together(all []input) error {
	var imgs []image.Image
	var names []string
	for _, in := range all {
		p, _, failed := d.load(in)
		if failed != nil {
			if err := d.print(failed); err != nil {
				return err
			}
			continue
		}
		imgs, names = append(imgs, p.Image), append(names, in.path)
	}
	if len(imgs) > 0 {
		a, err := d.answer(imgs)
		if err != nil {
			a = &detection{Error: &errorJSON{"too_small", strings.TrimPrefix(err.Error(), "detect: ")}}
		}
		a.Files = names
		if err := d.print(a); err != nil {
			return err
		}
	}
	return d.outcome()
}

// answer reads pictures with every key in scope and reports the best delivery.
func (d *detector) answer(imgs []image.Image) (*detection, error) {
	readings := make([]detect.Reading, len(d.scopes))
	best := 0
	for i, sc := range d.scopes {
		r, err := d.reading(sc, imgs)
		if err != nil {
			return nil, err
		}
		readings[i] = r
		if better(&readings[i], &readings[best]) {
			best = i
		}
	}
	a := d.describe(d.scopes[best], &readings[best])
	a.reading, a.scope = &readings[best], d.scopes[best]
	for i := range readings {
		r, sc := &readings[i], d.scopes[i]
		if i != best && r.Verdict != detect.Absent {
			a.Also = append(a.Also, also{sc.Path, sc.Dir, r.Verdict, r.LeastP()})
		}
		if d.cmd.Detailed {
			a.Readings = append(a.Readings, detailed{sc.Path, sc.Dir, *r})
		}
	}
	return a, d.rank(a, d.scopes[best], readings[best], imgs)
}

// reading reads pictures with one key.
func (d *detector) reading(sc *scope, imgs []image.Image) (detect.Reading, error) {
	if d.others != nil {
		return sc.reader(imgs[0].Bounds()).ReadAgainst(d.others, imgs...)
	}
	return sc.reader(imgs[0].Bounds()).Read(imgs...)
}

// better orders readings: attributed first, then by the smallest p.
func better(a, b *detect.Reading) bool {
	if x, y := a.Verdict == detect.Attributed, b.Verdict == detect.Attributed; x != y {
		return x
	}
	return a.LeastP() < b.LeastP()
}

// describe gives names to what a reading found.
func (d *detector) describe(sc *scope, r *detect.Reading) *detection {
	a := &detection{Verdict: r.Verdict, Reason: r.Reason, FWER: r.FWER, Keys: len(d.scopes), Against: r.Against, Trials: &r.Trials, Detectable: &r.Detectable,
		Delivery: &deliveryFinding{Path: sc.Path, Dir: sc.Dir, Found: r.DeliveryFound(), T: r.Delivery.T, P: r.Delivery.P}}
	if r.Verdict != detect.Absent || d.cmd.Detailed {
		a.Alignment = &alignment{r.Alignment, undone(r.Alignment)}
	}
	if r.Verdict == detect.Attributed {
		a.Piece = r.Piece
	}
	for _, f := range r.Concepts {
		id, name := sc.names.concept(f.Number)
		a.Concepts = append(a.Concepts, conceptFinding{Number: f.Number, ID: id, Name: name, T: f.T, P: f.P, Share: f.Share, Via: viaRead})
	}
	defer func() { a.Says = says(a) }()
	if !r.WorkFound() {
		return a
	}
	w := sc.names.work(r.Work.Number)
	a.Work = &workFinding{Number: r.Work.Number, ID: w.id, Path: w.path, T: r.Work.T, P: r.Work.P}
	explain(a, w.concepts)
	for _, n := range w.concepts {
		if !slices.ContainsFunc(a.Concepts, func(c conceptFinding) bool { return c.Number == n }) {
			id, name := sc.names.concept(n)
			a.Concepts = append(a.Concepts, conceptFinding{Number: n, ID: id, Name: name, T: r.Work.T, P: r.Work.P, Via: viaWork, ofWork: true})
		}
	}
	return a
}

// rank ranks the reading in force among decoys.
func (d *detector) rank(a *detection, sc *scope, r detect.Reading, imgs []image.Image) error {
	if d.cmd.Decoys == 0 {
		return nil
	}
	p, err := mark.ProfileByID(sc.Profile)
	if err != nil {
		return inputError{err}
	}
	goOn := func() bool { return d.ctx.Err() == nil }
	rank, err := detect.RankAmongDecoys(r, p, d.options(sc.resolution(imgs[0].Bounds())), []byte(d.cmd.Seed), d.cmd.Decoys, goOn, d.others, imgs...)
	if err != nil {
		return err
	}
	rank.P = math.Min(1, float64(len(d.scopes))*rank.P)
	a.Decoys = &decoyRank{d.cmd.Seed, rank}
	return nil
}
