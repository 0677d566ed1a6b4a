package concepts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Kind says what the works of a concept have in common.
type Kind string

// The kinds of concepts.
const (
	Semantic Kind = "semantic" // an object, scene, motif or template
	Style    Kind = "style"    // a look
	Owner    Kind = "owner"    // a creator or rights holder
)

// Check returns an error if the kind is none of the three.
func (k Kind) Check() error {
	if k != Semantic && k != Style && k != Owner {
		return fmt.Errorf("concepts: kind %q: choose semantic, style or owner", k)
	}
	return nil
}

// ConceptID identifies a concept for good: kind/slug, as the package comment describes, at most 128
// bytes, without space or control characters.
type ConceptID string

// NewConceptID returns the identifier of a value under a kind. It panics if the kind is unknown or the
// value is blank or not UTF-8.
func NewConceptID(kind Kind, value string) ConceptID {
	key := identity(value)
	if kind.Check() != nil || key == "" || !utf8.ValidString(key) {
		panic(fmt.Sprintf("concepts: no concept ID for kind %q and value %q", kind, value))
	}
	return ConceptID(string(kind) + "/" + slug(key))
}

// Check returns an error if the ID does not have the documented form.
func (id ConceptID) Check() error {
	kind, rest, ok := strings.Cut(string(id), "/")
	if !ok || rest == "" || Kind(kind).Check() != nil {
		return fmt.Errorf("concepts: concept ID %.140q is not of the form semantic/NAME, style/NAME or owner/NAME", string(id))
	}
	if len(id) > maxIDBytes {
		return fmt.Errorf("concepts: concept ID %.40q... has %d bytes: at most %d", string(id), len(id), maxIDBytes)
	}
	for _, r := range rest {
		if !slugRune(r) && r != '_' && r != '~' {
			return fmt.Errorf("concepts: concept ID %q: %q cannot stand in an identifier", string(id), r)
		}
	}
	return nil
}

// Kind returns the part before the slash.
func (id ConceptID) Kind() Kind {
	kind, _, _ := strings.Cut(string(id), "/")
	return Kind(kind)
}

// Concept is a group of works that share a mark.
type Concept struct {
	ID   ConceptID
	Kind Kind
	// Name is for people: the first spelling met.
	Name string
}

// Membership says that a work belongs to a concept, by which rule (its text form), and why in words.
type Membership struct {
	Work    WorkID
	Concept ConceptID
	Rule    string
	Why     string
}

// tidy brings a value to Unicode NFC, trims it and collapses inner space.
func tidy(value string) string { return strings.Join(strings.Fields(norm.NFC.String(value)), " ") }

// identity brings a value to the form in which values are compared: tidy and case-folded.
func identity(value string) string { return norm.NFC.String(foldCase(tidy(value))) }

// foldCase maps every rune to the smallest of its simple case-folding orbit, so "É" and "é", "Σ" and
// "ς" meet, then to lower case for reading. Full foldings ("ß" to "ss") are not made.
func foldCase(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return unicode.ToLower(least)
	}, s)
}

// maxSlugBytes cuts slugs before the hash is added.
const maxSlugBytes = 64

// slugRune tells what may stay in a slug.
func slugRune(r rune) bool {
	return r == '-' || r == '.' || unicode.In(r, unicode.L, unicode.M, unicode.N)
}

// slug turns an identity into the second part of a concept ID; see the package comment.
func slug(key string) string {
	var s strings.Builder
	exact := true
	for _, r := range key {
		if r != ' ' && !slugRune(r) {
			exact = false
		}
		if !slugRune(r) {
			r = '_'
		}
		if s.Len()+utf8.RuneLen(r) > maxSlugBytes {
			exact = false
			break
		}
		s.WriteRune(r)
	}
	if exact {
		return s.String()
	}
	sum := sha256.Sum256([]byte(key))
	return s.String() + "~" + hex.EncodeToString(sum[:4])
}
