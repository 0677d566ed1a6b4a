package workspace

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/filigrane/filigrane/concepts"
)

// Ref names a catalogue at a version: "spring@3".
type Ref struct {
	Name    string
	Version int // 0 means the latest
}

var catalogueName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ParseRef reads NAME or NAME@VERSION.
func ParseRef(text string) (Ref, error) {
	name, version, has := strings.Cut(text, "@")
	ref := Ref{Name: name}
	ok := catalogueName.MatchString(name)
	if has {
		n, err := strconv.Atoi(version)
		ok = ok && err == nil && n >= 1 && strconv.Itoa(n) == version
		ref.Version = n
	}
	if !ok {
		return Ref{}, fmt.Errorf("catalogue %q: give NAME or NAME@VERSION, the name of letters, digits, '.', '_' and '-', the version from 1", text)
	}
	return ref, nil
}

// String is the inverse of ParseRef.
func (r Ref) String() string {
	if r.Version == 0 {
		return r.Name
	}
	return r.Name + "@" + strconv.Itoa(r.Version)
}

// Catalogue is a frozen catalogue with the story of its grouping: what was asked for and what was left over.
type Catalogue struct {
	*concepts.Frozen
	Grouping Story
}

// Story says how a catalogue came about.
type Story struct {
	Rules       []string             `json:"rules"`
	MinWorks    int                  `json:"min_works"`
	MaxConcepts int                  `json:"max_concepts"`
	Seed        string               `json:"seed"`
	Remainders  []concepts.Remainder `json:"remainders"`
	Dropped     []concepts.Dropped   `json:"dropped"`
	Ungrouped   []concepts.Ungrouped `json:"ungrouped"`
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

// Catalogues lists the catalogues by name and version.
func (r *Workspace) Catalogues() ([]Ref, error) {
	entries, err := os.ReadDir(r.path(catalogueDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for _, e := range entries {
		base, isJSON := strings.CutSuffix(e.Name(), ".json")
		ref, err := ParseRef(base)
		if !isJSON || err != nil || ref.Version == 0 {
			continue // not ours
		}
		refs = append(refs, ref)
	}
	sort.Slice(refs, func(i, k int) bool {
		if refs[i].Name != refs[k].Name {
			return refs[i].Name < refs[k].Name
		}
		return refs[i].Version < refs[k].Version
	})
	return refs, nil
}

// Resolve completes a reference: no version means the latest; no name at all means the only catalogue there
// is. What is not there is KindUnknown.
func (r *Workspace) Resolve(ref Ref) (Ref, error) {
	refs, err := r.Catalogues()
	if err != nil {
		return Ref{}, err
	}
	if ref.Name == "" {
		names := map[string]bool{}
		for _, c := range refs {
			names[c.Name] = true
			ref.Name = c.Name
		}
		switch {
		case len(names) == 0:
			return Ref{}, &Error{Kind: KindUnknown, Path: r.dir, Problem: "the workspace has no catalogue", Remedy: "make one with 'filigrane concepts --by folder'"}
		case len(names) > 1:
			return Ref{}, &Error{Kind: KindUnknown, Path: r.dir, Problem: "the workspace has several catalogues", Remedy: "choose one with --catalogue: " + join(refs)}
		}
	}
	found := Ref{}
	for _, c := range refs {
		if c.Name == ref.Name && (ref.Version == 0 || c.Version == ref.Version) {
			found = c
		}
	}
	if found.Name == "" {
		remedy := "make one with 'filigrane concepts --by folder'"
		if len(refs) > 0 {
			remedy = "there is: " + join(refs)
		}
		return Ref{}, &Error{Kind: KindUnknown, Path: r.dir, Problem: "no catalogue " + ref.String(), Remedy: remedy}
	}
	return found, nil
}

func join(refs []Ref) string {
	var names []string
	for _, c := range refs {
		names = append(names, c.String())
	}
	return strings.Join(names, ", ")
}

// Catalogue reads a catalogue and checks it against its hash, and the codebook against what it was when the
// catalogue was frozen.
func (r *Workspace) Catalogue(ref Ref) (*Catalogue, error) {
	ref, err := r.Resolve(ref)
	if err != nil {
		return nil, err
	}
	name := r.path(catalogueDir + "/" + ref.String() + ".json")
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var t catalogueText
	if err := strictJSON(text, &t); err != nil {
		return nil, corrupt(name, err)
	}
	if t.Format != catalogueFormat || t.Catalogue.Name != ref.Name || t.Catalogue.Version != ref.Version {
		return nil, corrupt(name, fmt.Errorf("it says it is %q, %s@%d", t.Format, t.Catalogue.Name, t.Catalogue.Version))
	}
	f, err := t.Catalogue.Freeze()
	if err != nil {
		return nil, corrupt(name, err)
	}
	if h := f.Hash(); hex.EncodeToString(h[:]) != t.Hash {
		return nil, corrupt(name, errors.New("its content does not have the hash it was frozen with"))
	}
	if err := r.checkCodebook(t.Codebook, ref); err != nil {
		return nil, err
	}
	return &Catalogue{Frozen: f, Grouping: t.Grouping}, nil
}

// checkCodebook returns an error unless the codebook begins as it did when a catalogue was frozen.
func (r *Workspace) checkCodebook(was prefix, ref Ref) error {
	book, err := r.Codebook()
	if err != nil {
		return err
	}
	text, err := book.MarshalText() // the bytes that were parsed
	if err != nil {
		return err
	}
	if was.Bytes < 0 || was.Bytes > len(text) || prefixOf(text[:was.Bytes]) != was {
		return corrupt(r.path(codebookFile), fmt.Errorf("numbers that catalogue %v uses were changed or lost", ref))
	}
	return nil
}

// AddCatalogue writes a new catalogue and the codebook that numbers its concepts and works, the codebook
// first. An existing version is never replaced. Needs the lock.
func (r *Workspace) AddCatalogue(c *Catalogue, book *concepts.Codebook) error {
	cat := c.Catalogue()
	ref := Ref{cat.Name, cat.Version}
	if _, err := ParseRef(ref.String()); err != nil {
		return &Error{Kind: KindUnknown, Problem: err.Error(), Err: err}
	}
	name := catalogueDir + "/" + ref.String() + ".json"
	if _, err := os.Lstat(r.path(name)); err == nil {
		return &Error{Kind: KindExists, Path: r.path(name), Problem: "the catalogue is frozen already", Remedy: "use the next version"}
	}
	for i := range cat.Works {
		cat.Works[i].Visual = nil // derived from the bytes that sha256 names
	}
	numbers, err := book.MarshalText()
	if err != nil {
		return err
	}
	h := c.Hash()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(catalogueText{catalogueFormat, hex.EncodeToString(h[:]), prefixOf(numbers), cat, c.Grouping}); err != nil {
		return err
	}
	if err := os.MkdirAll(r.path(catalogueDir), 0o777); err != nil {
		return err
	}
	if err := r.SaveCodebook(book); err != nil {
		return err
	}
	return r.write(name, b.Bytes(), 0o644)
}

// Codebook reads the codebook; an empty one if there is none yet.
func (r *Workspace) Codebook() (*concepts.Codebook, error) {
	name := r.path(codebookFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if refs, err := r.Catalogues(); err != nil || len(refs) > 0 {
			return nil, &Error{Kind: KindCorrupt, Path: name, Problem: "the codebook is gone, but catalogues use its numbers", Remedy: "put it back from a backup or from a delivery's manifest", Err: err}
		}
		return new(concepts.Codebook), nil
	}
	if err != nil {
		return nil, err
	}
	b, err := concepts.ParseCodebook(text)
	if err != nil {
		return nil, corrupt(name, err)
	}
	return b, nil
}

// SaveCodebook writes a codebook that extends the one there is; any other is refused, wrapping
// concepts.ErrNotExtended. Needs the lock.
func (r *Workspace) SaveCodebook(b *concepts.Codebook) error {
	old, err := r.Codebook()
	if err != nil {
		return err
	}
	if err := b.Extends(old); err != nil {
		return err
	}
	text, err := b.MarshalText()
	if err != nil {
		return err
	}
	return r.write(codebookFile, text, 0o644)
}
