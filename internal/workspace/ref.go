package workspace

import (
	"fmt"
	"regexp"
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
	// Taken are the works that were taken although their files or the site reserve them, by ID in order: delivery excuses
	// these and no others. Those who were reserved later are not among them.
	Taken []concepts.WorkID `json:"taken_although_reserved,omitempty"`
}
