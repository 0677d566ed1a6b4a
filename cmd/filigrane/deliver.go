package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/delivery/papers"
	"github.com/filigrane/filigrane/internal/jobs"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/workspace"
	"github.com/filigrane/filigrane/mark"
)

// deliverCmd is "filigrane deliver".
type deliverCmd struct {
	Run    deliverRunCmd    `cmd:"" default:"withargs" help:"Make a delivery, or continue one that was interrupted (the default)."`
	Verify deliverVerifyCmd `cmd:"" help:"Read a delivery again and compare it with its manifest."`
}

// Help shows that of the default.
func (deliverCmd) Help() string {
	return deliverRunCmd{}.Help() + "\n\nFlags: filigrane deliver run --help"
}

// deliverRunCmd is "filigrane deliver [run]".
type deliverRunCmd struct {
	Catalogue string `short:"c" placeholder:"NAME[@V]" help:"The catalogue; default is the latest version of the only one."`
	Output    string `short:"o" required:"" placeholder:"PLACE" help:"The folder of the delivery, or s3://bucket/prefix: new, empty, or that of an interrupted run."`
	keyPath
	Geometry  string   `default:"square:1024" placeholder:"G" help:"square:R (short side R, centre square: what trainers do) native:R (size kept, mark laid out for R), or buckets:R (the nearest of a fixed set of aspect ratios). R is 256 to 4096, with --readable pool 64 to 4096. Default ${default}."`
	Format    string   `default:"png" help:"png, webp (lossless), jpeg (4:4:4, quality 95) or source. Default ${default}."`
	Preset    string   `placeholder:"NAME" help:"The strength: gentle (45 dB), standard (42), strong (38). Default standard."`
	PSNR      *float64 `name:"psnr" placeholder:"DB" help:"The strength in dB, 38 to 55, instead of a preset."`
	Readable  string   `default:"each" placeholder:"RULE" help:"each: every file must be readable by itself, or it is marked more strongly or refused. pool: files of one concept together, for small pictures; each is marked once. Default ${default}."`
	Shards    string   `default:"tar" placeholder:"FORM" help:"tar: WebDataset shards named by their content. tar.zst: packed too, for a few percent. numbered: shard-000000.tar and so on, as before. Default ${default}."`
	Captions  string   `default:"concepts" placeholder:"KIND" help:"What a sample's .txt holds: the bank's caption with the concepts' names (concepts), or the caption alone (untouched). The .json has both. Default ${default}."`
	Previous  []string `sep:"none" placeholder:"PLACE" help:"Deliver only what is new or has changed since these deliveries, oldest first, and list what is to be removed."`
	Increment bool     `help:"The same, since the last finished delivery under the licence and those it goes on from."`
	rightsFlags
	termsFlags
	memoryFlag
	ShardSize int           `default:"1000" placeholder:"N" help:"The most images in one shard. Default ${default}."`
	Wait      time.Duration `placeholder:"TIME" help:"Wait so long, such as 1m, for another run that holds the place. That of a run that was killed in a bucket ends within half a minute."`
	Detach    bool          `help:"Leave the work to workers ('filigrane worker') and print the job's name."`
	Force     bool          `short:"f" help:"Throw away a delivery or interrupted run in DIR that was made with other parameters."`
}

// Help explains a delivery.
func (deliverRunCmd) Help() string {
	return `Writes shards (WebDataset tar files), croissant.json, index.parquet, index.csv, statistics.html, statistics.json and a signed receipt.json, all for the customer, and manifest.json and codebook.json, which stay with you. Every image is read back and detected before it counts as delivered; one that cannot carry the mark is listed as refused with a reason, and the exit code is 0 as long as one image was delivered. A run that was interrupted goes on where it stopped.

Pictures of 64 to 256 pixels are too small to be readable one by one. With --readable pool each is marked once, at the strength asked for, and in the end up to 256 files of each concept are read together; the manifest says which concepts they name. A concept they do not name is a warning, no failure.

The licence is made in the registry if it is not there, for the purpose, stages, territory and days of the flags ('filigrane licence add' says more); if it is there, the flags that are given must agree with it. A delivery under a licence that has ended or was revoked is refused, and so is one of a catalogue with works that were recalled or reserved since it was frozen.

A delivery is a job ('filigrane jobs'): this command works on it until it is finished, and so do all workers of the bank ('filigrane worker'). Interrupted, it goes on with the same command.

` + placeHelp + `

Example: filigrane deliver --catalogue spring -o /deliveries/acme-2026 --licence acme-2026
Example: filigrane deliver -c crops -o /deliveries/crops --geometry square:128 --readable pool --psnr 48
Example: filigrane deliver -c spring -o "s3://acme/2026?endpoint=https://s3.example.org" --licence acme-2026`
}

// deliverJSON is the report of a delivery.
type deliverJSON struct {
	Delivery        string             `json:"delivery"`
	ID              string             `json:"id"` // in the registry
	Path            mark.Path          `json:"path"`
	KeyFingerprint  string             `json:"key_fingerprint"`
	ManifestSHA256  string             `json:"manifest_sha256"`
	CatalogueHash   string             `json:"catalogue_hash"`
	AlreadyFinished bool               `json:"already_finished"`
	Resumed         int                `json:"resumed"`
	Receipt         string             `json:"receipt"` // key that signed receipt.json
	Summary         delivery.Summary   `json:"summary"`
	Shards          []delivery.Shard   `json:"shards"`
	Refusals        []delivery.Refusal `json:"refusals"`
	Seconds         secondsJSON        `json:"seconds"`
}

// secondsJSON is where the time went in this process, summed over what went on at once. What other workers did is not in it.
type secondsJSON struct {
	Read     float64 `json:"read"`     // masters
	Decode   float64 `json:"decode"`   // them
	Geometry float64 `json:"geometry"` // scaling and cutting
	Mark     float64 `json:"mark"`
	Encode   float64 `json:"encode"`
	Verify   float64 `json:"verify"` // reading back, comparing, detecting
	Stage    float64 `json:"stage"`  // storing work in progress
	Shard    float64 `json:"shard"`  // reading that, writing shards
	Finish   float64 `json:"finish"` // sealing, manifest, clearing up
}

func secondsOf(t delivery.Times) secondsJSON {
	return secondsJSON{t.Read.Seconds(), t.Decode.Seconds(), t.Geometry.Seconds(), t.Mark.Seconds(), t.Encode.Seconds(), t.Verify.Seconds(), t.Stage.Seconds(), t.Shard.Seconds(), t.Finish.Seconds()}
}

// Run makes the delivery.
func (c *deliverRunCmd) Run(s *session) error {
	abs, err := s.absolute(c.Output)
	if err == nil {
		err = c.memoryFlag.check()
	}
	if err != nil {
		return err
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	spec, err := c.spec(s, r, abs)
	if err != nil {
		return err
	}
	st, err := s.place(s.ctx, abs)
	if err != nil {
		return placeError(err)
	}
	defer st.Close()
	b, err := c.book(s, r, spec, st, abs)
	if err != nil {
		return err
	}
	if _, err := c.paperTerms(spec, b.licence); err != nil { // before anything is marked
		return err
	}
	d, err := c.make(s, r, spec, st, b)
	if err != nil {
		return deliveryError(err)
	}
	if d == nil { // left to workers
		return nil
	}
	signed, err := c.papers(s, r.ws, st, spec, b.licence)
	if err != nil {
		return deliveryError(err)
	}
	if n := len(d.Refusals); n > 0 {
		s.note("warning: %d of %d works were refused; the report says why", n, d.Summary.Works)
	}
	if d.Summary.PoolsUnnamed > 0 {
		s.note("%s", unnamed(d))
	}
	h := spec.Catalogue.Hash()
	return s.emit(deliverJSON{Delivery: abs, ID: b.delivery.ID, Path: spec.Path, KeyFingerprint: spec.KeyFingerprint, ManifestSHA256: d.SHA256(), CatalogueHash: hex.EncodeToString(h[:]),
		AlreadyFinished: d.AlreadyFinished, Resumed: d.Resumed, Receipt: signed, Summary: d.Summary, Shards: d.Shards, Refusals: notNil(d.Refusals), Seconds: secondsOf(d.Times)})
}

// unnamed warns of the concepts that pools of delivered files do not name.
func unnamed(d *delivery.Delivery) string {
	const most = 5
	var names []string
	for _, p := range d.Pools {
		if p.Named {
			continue
		}
		if len(names) == most {
			names = append(names, "...")
			break
		}
		name := string(p.ID)
		if c, ok := d.Codebook.Concept(p.Number); ok && c.Name != "" {
			name = c.Name
		}
		names = append(names, fmt.Sprintf("%s (%d images, T %.1f)", name, p.Images, p.ConceptT))
	}
	return fmt.Sprintf("warning: %d of %d concepts are not named by their delivered files together: %s; add images to them, or deliver again with a stronger --preset",
		d.Summary.PoolsUnnamed, d.Summary.Pools, strings.Join(names, ", "))
}

// strength is that of --preset or --psnr.
func (c *deliverRunCmd) strength() (mark.Preset, error) {
	const least, most = mark.FloorPSNR, 55.0
	switch {
	case c.PSNR != nil && c.Preset != "":
		return mark.Preset{}, badInput("--preset %s and --psnr %g: both say how strong the mark is; give one", c.Preset, *c.PSNR)
	case c.PSNR != nil && !(*c.PSNR >= least && *c.PSNR <= most):
		return mark.Preset{}, badInput("--psnr %g: choose %g to %g dB", *c.PSNR, least, most)
	case c.PSNR != nil:
		return mark.Preset{Name: "custom", PSNRDB: *c.PSNR}, nil
	case c.Preset == "":
		return mark.PresetByName("standard")
	}
	p, err := mark.PresetByName(c.Preset)
	if err != nil {
		return p, inputError{err}
	}
	return p, nil
}

// spec turns flags and workspace into what package delivery wants.
func (c *deliverRunCmd) spec(s *session, r *records, place string) (spec delivery.Spec, err error) {
	spec = delivery.Spec{ProfileID: mark.Profile1().ID, ImagesPerShard: c.ShardSize, Workers: s.jobs(), CodeVersion: versionText(), Force: c.Force}
	if spec.Geometry, err = delivery.ParseGeometry(c.Geometry); err != nil {
		return spec, inputError{err}
	}
	if spec.Format, err = delivery.ParseFormat(c.Format); err != nil {
		return spec, inputError{err}
	}
	if spec.Readable, err = delivery.ParseReadable(c.Readable); err != nil {
		return spec, inputError{err}
	}
	if err := spec.Readable.CheckGeometry(spec.Geometry); err != nil {
		return spec, inputError{err}
	}
	if spec.Preset, err = c.strength(); err != nil {
		return spec, err
	}
	if err := c.forms(&spec); err != nil {
		return spec, err
	}
	if c.ShardSize < 1 || c.ShardSize > delivery.MaxImagesPerShard {
		return spec, badInput("--shard-size %d: choose 1 to %d", c.ShardSize, delivery.MaxImagesPerShard)
	}
	cat, err := r.catalogue(s, c.Catalogue)
	if err != nil {
		return spec, err
	}
	spec.Catalogue = cat.Frozen
	if err := c.history(s, r, &spec, place); err != nil {
		return spec, err
	}
	if spec.Codebook, err = r.book(s); err != nil {
		return spec, err
	}
	key, err := s.embeddingKey(r.ws)
	if err != nil {
		return spec, err
	}
	if spec.Path, err = c.path(r.ws.Bank(), refOf(cat).String()); err != nil {
		return spec, err
	}
	if c.Licence == noLicence {
		s.note("no --licence was given: this is a delivery for use in the house; its key is that of licence %q", noLicence)
	}
	own := key.Delivery(spec.Path)
	spec.Keys, spec.KeyFingerprint = own.Keys(), own.Fingerprint()
	return spec, nil
}

// deliveryError says what to do about an error of a whole delivery.
func deliveryError(err error) error {
	switch {
	case errors.Is(err, store.ErrFull):
		return fmt.Errorf("%w; free some space and run the same command again: it goes on where it stopped", err)
	case errors.Is(err, delivery.ErrNothingDelivered):
		return badInput("%w; check the masters with 'filigrane import'", err)
	case errors.Is(err, store.ErrLocked), errors.Is(err, store.ErrNotFound), errors.Is(err, jobs.ErrAway), errors.Is(err, jobs.ErrFinal),
		errors.Is(err, delivery.ErrOtherParameters), errors.Is(err, delivery.ErrForeign): // they say what to do
		return inputError{err}
	}
	return err
}

// placeError is about a place that cannot be opened: mostly the caller's to mend.
func placeError(err error) error {
	if errors.Is(err, store.ErrFull) || errors.Is(err, context.Canceled) {
		return err
	}
	return inputError{err}
}

// isFolder refuses what is no folder.
func isFolder(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", name)
	}
	return nil
}

// deliverVerifyCmd is "filigrane deliver verify".
type deliverVerifyCmd struct {
	Dir        string `arg:"" help:"The folder of the delivery, or s3://bucket/prefix."`
	Manifest   string `placeholder:"SHA256" help:"What the hash of manifest.json must be, as committed."`
	HashesOnly bool   `help:"Compare hashes only; asks for no key, and checks the receipt by the public key on record."`
	SignedBy   string `placeholder:"KEY" help:"The public key of the receipt, in hex, as 'filigrane deliver' printed it. Default: that of the workspace's master key, with --hashes-only the one on record; without one no signature is checked."`
	Sample     int    `default:"0" placeholder:"N" help:"Detect the marks of N images only (of a delivery made with --readable pool: N pools), spread evenly; 0 means all."`
}

// Help gives an example.
func (deliverVerifyCmd) Help() string {
	return `Compares every hash, and detects the marks: of every image, or of the same pools of images as the delivery was read by. Exit code 0: nothing differs. 1: the JSON lists what differs.

Example: filigrane deliver verify /deliveries/acme-2026 --sample 100`
}

// Run verifies.
func (c *deliverVerifyCmd) Run(s *session) error {
	st, err := s.existing(s.ctx, c.Dir)
	if err != nil {
		return placeError(err)
	}
	defer st.Close()
	opt := delivery.VerifyOptions{ManifestSHA256: c.Manifest, Sample: c.Sample, Workers: s.jobs()}
	if !c.HashesOnly {
		if opt.Keys, err = c.keys(s, st); err != nil {
			return err
		}
	}
	papersToo := papers.Options{VerifyOptions: opt}
	if papersToo.Public, err = c.public(s); err != nil {
		return err
	}
	v, err := papers.Verify(s.ctx, st, papersToo)
	if err != nil {
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		return inputError{err}
	}
	v.Differences = notNil(v.Differences)
	if err := s.emit(v); err != nil {
		return err
	}
	if !v.OK() {
		s.note("%d differences", len(v.Differences))
		return errNotFound
	}
	return nil
}

// keys derives the delivery's keys, and refuses a master key that is not its own.
func (c *deliverVerifyCmd) keys(s *session, st store.Store) (*mark.Keys, error) {
	d, err := delivery.Open(s.ctx, st)
	if err != nil {
		return nil, inputError{err}
	}
	ws, err := s.workspace()
	if err != nil && workspace.KindOf(err) != workspace.KindNoWorkspace {
		return nil, err
	}
	key, source, err := s.key(ws)
	if err != nil {
		return nil, fmt.Errorf("%w; or compare hashes only with --hashes-only", err)
	}
	own := key.Delivery(d.Parameters.Path)
	if own.Fingerprint() != d.Parameters.KeyFingerprint {
		return nil, badInput("the key of %s is not the one this delivery was made with; give the right one, or --hashes-only", source)
	}
	ks := own.Keys()
	return &ks, nil
}
