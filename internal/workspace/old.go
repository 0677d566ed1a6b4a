package workspace

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/mark"
)

// Before there was a registry a workspace kept everything in files of its own:
//
//	works.jsonl              one line per work as found in its file, after a header line with their number
//	metadata.csv             the bank's own table, as given last
//	catalogues/NAME@V.json   frozen catalogues with the story of their grouping
//	codebook                 concept and work numbers, the text form of concepts.Codebook
//	deliveries.json          the paths under which marks were made
//
// and said so by the first format of filigrane.json. [Workspace.Old] reads them and [Workspace.TakenOver] puts them aside, to
// be called when the registry holds what they hold.
const (
	worksFile      = "works.jsonl"
	tableFile      = "metadata.csv"
	codebookFile   = "codebook"
	deliveriesFile = "deliveries.json"
	catalogueDir   = "catalogues"
	asideDir       = "before-registry"
)

var oldNames = []string{worksFile, tableFile, catalogueDir, codebookFile, deliveriesFile}

// Old is what a workspace of before the registry holds.
type Old struct {
	Root       string   // absolute path of the masters' folder, "" before the first import
	Records    []Record // by path
	Table      []byte   // the bank's table, nil for none
	Catalogues []OldCatalogue
	Codebook   *concepts.Codebook
	Deliveries []Delivery // in the order they were first made
}

// OldCatalogue is a catalogue with the time its file was written.
type OldCatalogue struct {
	*Catalogue
	Written time.Time
}

// IsOld says whether the workspace is one of before the registry.
func (r *Workspace) IsOld() bool { return r.config.Format == oldFormat }

// Old reads a workspace of before the registry, also one whose files were put aside in part when the process died.
func (r *Workspace) Old() (o *Old, err error) {
	o = &Old{Root: r.config.Root}
	if o.Records, err = readOld(r, worksFile, parseWorks); err != nil {
		return nil, err
	}
	o.Table, err = readOld(r, tableFile, func(text []byte) ([]byte, error) {
		_, err := concepts.ReadMetadataCSV(bytes.NewReader(text))
		return text, err
	})
	if err != nil {
		return nil, err
	}
	if o.Deliveries, err = readOld(r, deliveriesFile, parseDeliveries); err != nil {
		return nil, err
	}
	if o.Codebook, err = readOld(r, codebookFile, concepts.ParseCodebook); err != nil {
		return nil, err
	}
	if o.Catalogues, err = r.oldCatalogues(o.Codebook); err != nil {
		return nil, err
	}
	if o.Codebook == nil {
		o.Codebook = new(concepts.Codebook)
	}
	return o, nil
}

// Works gives the works whose files were there at the last import, joined with the bank's table where there is one.
func (o *Old) Works() ([]concepts.Work, error) {
	var works []concepts.Work
	for _, rec := range o.Records {
		if !rec.Missing {
			works = append(works, rec.Work())
		}
	}
	if o.Table == nil {
		return works, nil
	}
	table, err := concepts.ReadMetadataCSV(bytes.NewReader(o.Table))
	if err != nil {
		return nil, err
	}
	joined, err := concepts.Join(works, table)
	return joined.Works, err
}

// oldPath gives the path of an old file where it is, or where it was put aside.
func (r *Workspace) oldPath(name string) string {
	if _, err := os.Lstat(r.path(name)); errors.Is(err, fs.ErrNotExist) {
		return r.path(asideDir + "/" + name)
	}
	return r.path(name)
}

// readOld reads an old file, the zero value if there is none.
func readOld[T any](r *Workspace, name string, parse func([]byte) (T, error)) (v T, err error) {
	file := r.oldPath(name)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	if v, err = parse(text); err != nil {
		return v, corrupt(file, err)
	}
	return v, nil
}

// TakenOver puts the old files into the folder before-registry, where they may stay or go, and makes the workspace one of
// the registry. It goes on where it was killed: filigrane.json, which says which of the two it is, comes last. Needs the lock.
func (r *Workspace) TakenOver(tenant, registry string) error {
	aside := r.path(asideDir)
	if err := os.MkdirAll(aside, 0o777); err != nil {
		return err
	}
	for _, name := range oldNames {
		if _, err := os.Lstat(r.path(name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		to := filepath.Join(aside, name)
		if _, err := os.Lstat(to); err == nil {
			return &Error{Kind: KindExists, Path: to, Problem: "there is such a file already, and one is to be put there", Remedy: "move it somewhere else and run the command again"}
		}
		if err := os.Rename(r.path(name), to); err != nil {
			return err
		}
	}
	syncDir(aside)
	r.config = Config{Format: configFormat, Bank: r.config.Bank, KeyFingerprint: r.config.KeyFingerprint, Tenant: tenant, Registry: registry}
	return r.saveConfig()
}

// Record is one work as its file says; the bank's table is joined on reading ([Workspace.Works]).
type Record struct {
	ID     concepts.WorkID `json:"id"`
	Path   string          `json:"path"` // under Root, "/" between parts
	SHA256 string          `json:"sha256"`
	Bytes  int64           `json:"bytes"`
	// Modified is the file's time stamp in nanoseconds since 1970. With Bytes it tells, cheaply, that a file
	// is probably what it was.
	Modified     int64             `json:"modified"`
	Width        int               `json:"width"`
	Height       int               `json:"height"`
	Format       string            `json:"format"`
	Title        string            `json:"title,omitempty"`
	Creator      string            `json:"creator,omitempty"`
	Keywords     []string          `json:"keywords,omitempty"`
	RightsHolder string            `json:"rights_holder,omitempty"`
	Columns      []concepts.Column `json:"columns,omitempty"`
	// Missing says that the last import did not find the file, or could not use it.
	Missing bool `json:"missing,omitempty"`
	// Visual is concepts.Descriptor, once something asked for it.
	Visual []float64 `json:"visual,omitempty"`
}

// Work gives the record as a work.
func (r Record) Work() concepts.Work {
	return concepts.Work{ID: r.ID, Path: r.Path, SHA256: r.SHA256, Width: r.Width, Height: r.Height, Format: r.Format,
		Title: r.Title, Creator: r.Creator, Keywords: r.Keywords, RightsHolder: r.RightsHolder, Columns: r.Columns, Visual: r.Visual}
}

func (r Record) check() error {
	if err := r.ID.Check(); err != nil {
		return err
	}
	if err := concepts.CheckPath(r.Path); err != nil {
		return err
	}
	if !isHex(r.SHA256, 64) || r.Width < 1 || r.Height < 1 || r.Bytes < 1 || r.Format == "" {
		return fmt.Errorf("work %s: a hash, size or format is missing", r.ID)
	}
	return nil
}

const worksFormat = "filigrane works v1"

type worksHeader struct {
	Format string `json:"format"`
	Works  int    `json:"works"`
}

// parseWorks reads the text of a works.jsonl.
func parseWorks(text []byte) ([]Record, error) {
	lines := bytes.Split(text, []byte("\n"))
	if len(lines) < 2 || len(lines[len(lines)-1]) > 0 {
		return nil, errors.New("the last line has no end")
	}
	lines = lines[:len(lines)-1]
	var head worksHeader
	if err := strictJSON(lines[0], &head); err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	if head.Format != worksFormat || head.Works != len(lines)-1 {
		return nil, fmt.Errorf("line 1 announces %q with %d works; there are %d", head.Format, head.Works, len(lines)-1)
	}
	records := make([]Record, 0, head.Works)
	for i, line := range lines[1:] {
		var rec Record
		err := strictJSON(line, &rec)
		if err == nil {
			err = rec.check()
		}
		if err == nil && i > 0 && records[i-1].Path >= rec.Path {
			err = fmt.Errorf("path %q is out of order or listed twice", rec.Path)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		records = append(records, rec)
	}
	return records, nil
}

const catalogueFormat = "filigrane catalogue file v1"

// catalogueText is the content of a catalogue file. Hash is that of the frozen catalogue: a file that was
// changed no longer has it. Codebook is what the codebook began with at that time, and always will.
type catalogueText struct {
	Format    string             `json:"format"`
	Hash      string             `json:"hash"`
	Codebook  prefix             `json:"codebook"`
	Catalogue concepts.Catalogue `json:"catalogue"`
	Grouping  Story              `json:"grouping"`
}

// prefix names the first bytes of a file.
type prefix struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func prefixOf(text []byte) prefix {
	h := sha256.Sum256(text)
	return prefix{len(text), hex.EncodeToString(h[:])}
}

// oldCatalogues reads the catalogues by name and version, and checks each against its hash, and the codebook against what it
// was when the catalogue was frozen.
func (r *Workspace) oldCatalogues(book *concepts.Codebook) ([]OldCatalogue, error) {
	dir := r.oldPath(catalogueDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []OldCatalogue
	for _, e := range entries {
		base, isJSON := strings.CutSuffix(e.Name(), ".json")
		ref, err := ParseRef(base)
		if !isJSON || err != nil || ref.Version == 0 {
			continue // not ours
		}
		name := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if book == nil {
			return nil, &Error{Kind: KindCorrupt, Path: r.path(codebookFile), Problem: "the codebook is gone, but catalogues use its numbers", Remedy: "put it back from a backup or from a delivery's manifest"}
		}
		c, was, err := parseCatalogue(text, ref)
		if err != nil {
			return nil, corrupt(name, err)
		}
		if err := checkCodebook(book, was, ref); err != nil {
			return nil, corrupt(r.oldPath(codebookFile), err)
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		list = append(list, OldCatalogue{c, info.ModTime()})
	}
	slices.SortFunc(list, func(a, b OldCatalogue) int {
		x, y := a.Catalogue.Catalogue(), b.Catalogue.Catalogue()
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Version, y.Version))
	})
	return list, nil
}

func parseCatalogue(text []byte, ref Ref) (*Catalogue, prefix, error) {
	var t catalogueText
	if err := strictJSON(text, &t); err != nil {
		return nil, prefix{}, err
	}
	if t.Format != catalogueFormat || t.Catalogue.Name != ref.Name || t.Catalogue.Version != ref.Version {
		return nil, prefix{}, fmt.Errorf("it says it is %q, %s@%d", t.Format, t.Catalogue.Name, t.Catalogue.Version)
	}
	f, err := t.Catalogue.Freeze()
	if err != nil {
		return nil, prefix{}, err
	}
	if h := f.Hash(); hex.EncodeToString(h[:]) != t.Hash {
		return nil, prefix{}, errors.New("its content does not have the hash it was frozen with")
	}
	return &Catalogue{Frozen: f, Grouping: t.Grouping}, t.Codebook, nil
}

// checkCodebook returns an error unless the codebook begins as it did when a catalogue was frozen.
func checkCodebook(book *concepts.Codebook, was prefix, ref Ref) error {
	text, err := book.MarshalText() // the bytes that were parsed
	if err != nil {
		return err
	}
	if was.Bytes < 0 || was.Bytes > len(text) || prefixOf(text[:was.Bytes]) != was {
		return fmt.Errorf("numbers that catalogue %v uses were changed or lost", ref)
	}
	return nil
}

// Delivery is one path of the key hierarchy under which marks were made, and what is needed to read them.
type Delivery struct {
	Path mark.Path `json:"path"`
	// Profile is the number of the mark's parameter set, Resolution the short side R it was laid out for.
	Profile    int `json:"profile"`
	Resolution int `json:"resolution"`
	// Dir is the absolute path of the delivery's folder, or s3:// and the address of its bucket; "" for single pictures marked without a delivery.
	Dir string `json:"dir,omitempty"`
}

func (d Delivery) check() error {
	if _, err := mark.ProfileByID(d.Profile); err != nil {
		return err
	}
	if d.Resolution < mark.CellSize || d.Path.Bank == "" || d.Path.Epoch < 0 || d.Dir != "" && !filepath.IsAbs(d.Dir) && !strings.HasPrefix(d.Dir, "s3://") {
		return fmt.Errorf("delivery %+v is incomplete", d)
	}
	return nil
}

const deliveriesFormat = "filigrane deliveries v1"

type deliveriesText struct {
	Format     string     `json:"format"`
	Deliveries []Delivery `json:"deliveries"`
}

func parseDeliveries(text []byte) ([]Delivery, error) {
	var t deliveriesText
	if err := strictJSON(text, &t); err != nil {
		return nil, err
	}
	if t.Format != deliveriesFormat {
		return nil, fmt.Errorf("the format is %q", t.Format)
	}
	for _, d := range t.Deliveries {
		if err := d.check(); err != nil {
			return nil, err
		}
	}
	return t.Deliveries, nil
}
