package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/intake"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/internal/store/limited"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/workspace"
)

// importCmd is "filigrane import".
type importCmd struct {
	Place      string   `arg:"" help:"The folder of masters or one below it, or s3://bucket/prefix."`
	CSV        string   `name:"csv" xor:"table" placeholder:"FILE" help:"The bank's table: a column \"file\" with paths below the masters' place, or \"id\"; title, creator, rights_holder, share, isni and columns of your own. Kept until another is given."`
	JSONL      string   `name:"jsonl" xor:"table" placeholder:"FILE" help:"The same as lines of JSON."`
	Checksum   bool     `help:"Read every file again, not only those whose size or time changed."`
	MoveRoot   bool     `help:"The masters have moved: PLACE is where all of them are now."`
	TDMRep     string   `name:"tdmrep" placeholder:"FILE" help:"The site's tdmrep.json: what it reserves is reserved. Kept until another is given; [] ends it."`
	RSL        string   `name:"rsl" placeholder:"FILE" help:"The site's RSL licence, likewise; an <rsl/> without contents ends it."`
	SitePrefix string   `placeholder:"PATH" help:"Where the site shows the masters, as /photos/: a file's path there is this and its own. Kept with the rules."`
	Consent    string   `placeholder:"FILE|TEXT" help:"Record that training is allowed although files or the site reserve it: \"by: NAME; on: YYYY-MM-DD; contract: REFERENCE\", or a file that says so. See below."`
	ConsentFor string   `placeholder:"FOLDER" help:"The consent holds for works below this folder only."`
	Rate       float64  `placeholder:"N" help:"At most N requests a second to the masters' place; 0 means as many as it gives."`
	RateBytes  sizeFlag `placeholder:"SIZE" help:"Read at most so many bytes a second, as 20MB."`
	Readers    int      `placeholder:"N" help:"Files read at once; default is two per processor."`
	Detach     bool     `help:"Leave the work to a worker ('filigrane worker') and print the job's name. The table must be small enough to be kept."`
	MaxMemory  sizeFlag `default:"3GiB" placeholder:"SIZE" help:"Memory for files and decoded pictures together; a picture that needs more is read alone."`

	AcceptMissing bool `help:"Known files are meant to be gone, however many: without it an import that misses more than a tenth of them, and more than 20, calls none missing and fails."`

	// Told is a consent that was read where the job was asked for, ToldBy where it was given.
	Told   []byte `kong:"-"`
	ToldBy string `kong:"-"`
}

// sizeFlag is a number of bytes, as 20MB or 3GiB.
type sizeFlag int64

// UnmarshalText reads a size.
func (f *sizeFlag) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err == nil && n > 1<<62 {
		err = errors.New("too large")
	}
	*f = sizeFlag(n)
	return err
}

// Help explains what is and is not taken.
func (importCmd) Help() string {
	return `Pictures are recognised by their content. Title, creator, keywords and rights come from the file first, XMP before IPTC before EXIF; the table fills in what is missing, and where both speak and differ the difference is reported. Rights holders need shares that make 100 %; numbers are checked by their check digits. What a person has to settle is in 'filigrane todos'. Files that cannot be used are refused with a reason: truncated, cmyk, animated, too_large, not_an_image, hidden, duplicate, symlink and so on: 'filigrane refusals'. They do not change the exit code as long as one picture was taken. Links are not followed.

Importing again only reads what changed and says what was added, changed, moved, and is missing. An import that was killed goes on when it is run again. A known file that cannot be read, or that the listing lacks though it is there, stays what it was and is counted as "unsure". The table and the rules are the whole bank's: give them with the masters' place, not with a folder below it.

Works whose file, or whose site, reserves training are reserved and not delivered; 'filigrane reservations' has the evidence. The column data_mining of the table lifts it for one work (DMI-ALLOWED); what the table itself reserves stays so until a row says otherwise. A bank whose own files forbid training to everybody else records its consent with --consent: who consented, when, under what contract; it is kept as evidence, holds for later imports too, and lifts nothing that the table itself reserves.

The masters' place is a folder, or a bucket of any S3-compatible storage: s3://bucket/prefix?endpoint=https://host:port&region=name&style=path. What the address leaves out comes from AWS_ENDPOINT_URL_S3 (or AWS_ENDPOINT_URL) and AWS_REGION; credentials from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, never from the address; AWS_CA_BUNDLE names a file of authorities for https. The credentials need to list and read, no more.

Example: filigrane import /photos --csv /photos/metadata.csv
Example: filigrane import "s3://masters/2024?endpoint=https://s3.example" --jsonl rights.jsonl --rate 200
Example: filigrane import /photos --consent "by: Anna Berg, head of rights; on: 2026-11-01; contract: AB-17" --consent-for studio/`
}

// Run imports.
func (c *importCmd) Run(s *session) error {
	began := time.Now()
	limits := limited.Limits{RequestsPerSecond: c.Rate, BytesPerSecond: int64(c.RateBytes)}
	if err := limits.Check(); err != nil {
		return badInput("--rate: %w", err)
	}
	if c.Readers < 0 {
		return badInput("--readers %d: give 1 or more", c.Readers)
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	release, err := r.ws.Lock("filigrane " + s.verb)
	if err != nil {
		return err
	}
	defer release()
	from, err := c.place(s, r)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := c.whole(from); err != nil {
		return err
	}
	if c.Detach {
		if err := c.keepable(); err != nil {
			return err
		}
	}
	opt, err := c.options(s, r, from, began)
	if err != nil {
		return err
	}
	if t := opt.Ingest.Table; t != nil {
		defer t.Close()
	}
	if c.Detach {
		return c.detach(s, r)
	}
	rep, err := intake.Run(s.ctx, limited.New(from.bucket, limits), r.reg, r.scope, opt)
	if err != nil {
		if errors.Is(err, intake.ErrNothing) || errors.Is(err, intake.ErrManyMissing) || errors.Is(err, store.ErrNotFound) {
			return inputError{err}
		}
		if inBucket(from.root) {
			return placeError(err)
		}
		return err
	}
	return c.tell(s, r, from, opt, rep, began)
}

// origin is where an import reads from.
type origin struct {
	io.Closer
	bucket store.Bucket
	root   string // as the registry keeps the masters' place
	folder string // the part below it that is imported, "" or ending in "/"
	shown  string
}

// place opens the masters' place, and tells which part of it is meant.
func (c *importCmd) place(s *session, r *records) (*origin, error) {
	root, err := r.reg.Masters(s.ctx, r.scope)
	if err != nil {
		return nil, err
	}
	if c.MoveRoot {
		root = ""
	}
	if inBucket(c.Place) {
		return c.bucket(s, root)
	}
	return c.folder(root)
}

func (c *importCmd) outside(root string) error {
	return badInput("%s is not in %s, where this bank's masters lie; import a folder below it, use another workspace, or --move-root if the masters have moved", c.Place, root)
}

// folder opens a folder, by its path without links.
func (c *importCmd) folder(root string) (*origin, error) {
	abs, err := filepath.Abs(c.Place)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return nil, badInput("folder %s: %w", c.Place, err)
	}
	if info, err := os.Stat(abs); err != nil || !info.IsDir() {
		return nil, badInput("%s is not a folder; name the folder that holds the masters", c.Place)
	}
	if root == "" {
		root = abs
	}
	o := &origin{root: root, shown: c.Place}
	if abs != root {
		below, ok := strings.CutPrefix(abs, strings.TrimSuffix(root, string(filepath.Separator))+string(filepath.Separator))
		if !ok {
			return nil, c.outside(root)
		}
		o.folder = filepath.ToSlash(below) + "/"
	}
	if _, err := os.ReadDir(abs); err != nil {
		return nil, badInput("folder %s: %w", c.Place, err)
	}
	b, err := dir.OpenBucket(root)
	if err != nil {
		return nil, inputError{err}
	}
	o.bucket, o.Closer = b, b
	return o, nil
}

// bucket opens a bucket, for reading only.
func (c *importCmd) bucket(s *session, root string) (*origin, error) {
	is, err := s.bucket(c.Place)
	if err != nil {
		return nil, err
	}
	o := &origin{root: is.String(), shown: is.String()}
	if root != "" && root != o.root {
		if !inBucket(root) {
			return nil, c.outside(root)
		}
		all, err := s.bucket(root)
		if err != nil {
			return nil, err
		}
		below, ok := is.Prefix, true
		if all.Prefix != "" {
			below, ok = strings.CutPrefix(is.Prefix, all.Prefix+"/")
		}
		is.Prefix = all.Prefix
		if !ok || is.String() != all.String() {
			return nil, c.outside(root)
		}
		o.root, o.folder = root, below+"/"
	}
	if is.PlainText() {
		s.note("warning: the way to %s is not encrypted; use https", is.Endpoint)
	}
	b, err := s3.OpenBucket(s.ctx, is)
	if err != nil {
		return nil, placeError(err)
	}
	o.bucket, o.Closer = b, b
	return o, nil
}

// options gathers table, rules, consent and limits; the caller closes the table.
func (c *importCmd) options(s *session, r *records, from *origin, now time.Time) (opt intake.Options, err error) {
	opt.Folder, opt.AcceptMissing = from.folder, c.AcceptMissing
	opt.Ingest = ingest.Options{Now: now, Readers: c.Readers, Reread: c.Checksum, MaxMemory: int64(c.MaxMemory) / 4, MaxDecoding: int64(c.MaxMemory) * 3 / 4}
	if opt.Ingest.Readers == 0 && s.Jobs > 0 {
		opt.Ingest.Readers = s.Jobs
	}
	opt.Skip = c.own(s, r, from.root)
	opt.First = func(ctx context.Context) error {
		_, err := r.reg.SetMasters(ctx, r.scope, from.root, now)
		return err
	}
	if opt.Consent, err = c.consent(now); err != nil {
		return opt, err
	}
	if err := c.rules(s, r, &opt.Ingest, now); err != nil {
		return opt, err
	}
	opt.Ingest.Table, err = c.table(s, r, now)
	opt.Progress = s.counting()
	return opt, err
}

// own tells what below a folder of masters is not a master: the workspace's own files, deliveries, the table.
func (c *importCmd) own(s *session, r *records, root string) func(name string) bool {
	if inBucket(root) {
		return nil
	}
	var files, folders []string
	add := func(p string) {
		rel, err := filepath.Rel(root, realPath(p))
		if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return
		}
		files, folders = append(files, filepath.ToSlash(rel)), append(folders, filepath.ToSlash(rel)+"/")
	}
	for _, name := range workspace.OwnNames() {
		add(filepath.Join(r.ws.Dir(), name))
	}
	if ms, err := r.markings(s); err == nil {
		for _, m := range ms {
			if m.Place != "" && !inBucket(m.Place) {
				add(m.Place)
			}
		}
	}
	for _, p := range []string{c.CSV, c.JSONL, c.TDMRep, c.RSL} {
		if p != "" {
			add(p)
		}
	}
	return func(name string) bool {
		return slices.Contains(files, name) || slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(name, f) })
	}
}

// realPath makes a path absolute and follows its links, as far as it exists.
func realPath(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	if r, err := filepath.EvalSymlinks(p); err == nil {
		return r
	}
	return p
}

// counting shows every few seconds how far an import is. How many objects there are nobody knows before the end.
func (s *session) counting() func(intake.Report) {
	last := time.Now()
	return func(r intake.Report) {
		if time.Since(last) < lineEvery {
			return
		}
		last = time.Now()
		taken := r.Added + r.Summary.Changed + r.Moved + r.Updated
		s.note("import: %d read, %d unchanged, %d refused, %d reserved", taken, r.Unchanged, r.Refused, r.Reserved)
	}
}

// consentText gives what --consent names or says, and where that stands.
func (c *importCmd) consentText() (text []byte, source string, err error) {
	if c.ToldBy != "" {
		return c.Told, c.ToldBy, nil
	}
	if strings.ContainsAny(c.Consent, ":;\n") && !fileIsThere(c.Consent) {
		return []byte(c.Consent), "the command line", nil
	}
	if text, err = readLimited(c.Consent, 1<<20); err != nil {
		return nil, "", badInput("--consent: %w", err)
	}
	return text, filepath.Base(c.Consent), nil
}

// consent reads --consent: a file, or the text itself.
func (c *importCmd) consent(now time.Time) (*intake.Consent, error) {
	if c.Consent == "" {
		if c.ConsentFor != "" {
			return nil, badInput("--consent-for %s: without --consent there is nothing to record", c.ConsentFor)
		}
		return nil, nil
	}
	text, source, err := c.consentText()
	if err != nil {
		return nil, err
	}
	folder := c.ConsentFor
	if folder != "" {
		folder = strings.TrimSuffix(filepath.ToSlash(folder), "/") + "/"
	}
	consent, err := intake.ParseConsent(text, folder, source, now)
	if err != nil {
		return nil, inputError{err}
	}
	return consent, nil
}

func fileIsThere(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// notNil makes an empty list of none, so that JSON shows [] and not null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// shownState names the state of works on the command line.
func shownState(name string) (*registry.WorkState, error) {
	for _, state := range []registry.WorkState{registry.Active, registry.Missing, registry.Reserved, registry.Recalled} {
		if state.String() == name {
			return &state, nil
		}
	}
	return nil, badInput("--state %q: choose active, missing, reserved or recalled", name)
}

// dataMining is the column that holds plus:DataMining, a rights holder's word on machine learning.
const dataMining = "data_mining"

// reserved tells whether a work's column forbids training: a value of the PLUS vocabulary that begins with
// DMI-PROHIBITED, by its name or URI. It is the rule of workspaces of before the registry.
func reserved(w concepts.Work) bool {
	return strings.Contains(strings.ToUpper(w.Column(dataMining)), "DMI-PROHIBITED")
}
