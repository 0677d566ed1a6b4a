package delivery

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/filigrane/filigrane/concepts"
)

// CodebookFormat names the form of codebook.json.
const CodebookFormat = "filigrane.codebook/1"

// Codebook is the part of a bank's codebook that one delivery needs: the numbers of the catalogue's concepts and
// works, and the names people know them by. Like a Manifest it has one text form.
type Codebook struct {
	Format    string         `json:"format"`
	Catalogue string         `json:"catalogue"`
	Concepts  []NamedConcept `json:"concepts"` // by number
	Works     []NumberedWork `json:"works"`    // by number
}

// NamedConcept is a concept's number, ID and name for people.
type NamedConcept struct {
	Number int                `json:"number"`
	ID     concepts.ConceptID `json:"id"`
	Name   string             `json:"name"`
}

// NumberedWork is a work's number, ID and title.
type NumberedWork struct {
	Number int             `json:"number"`
	ID     concepts.WorkID `json:"id"`
	Title  string          `json:"title"`
}

// codebookOf takes a catalogue's part of the codebook. Every work and concept must have its number.
func codebookOf(f *concepts.Frozen, book *concepts.Codebook) (*Codebook, error) {
	cat := f.Catalogue()
	b := &Codebook{Format: CodebookFormat, Catalogue: fmt.Sprintf("%s@%d", cat.Name, cat.Version), Concepts: []NamedConcept{}, Works: []NumberedWork{}}
	for _, c := range cat.Concepts {
		n, ok := book.ConceptNumber(c.ID)
		if !ok {
			return nil, fmt.Errorf("delivery: the codebook has no number for concept %s; assign numbers to the whole catalogue first", c.ID)
		}
		b.Concepts = append(b.Concepts, NamedConcept{n, c.ID, c.Name})
	}
	for _, w := range cat.Works {
		n, ok := book.WorkNumber(w.ID)
		if !ok {
			return nil, fmt.Errorf("delivery: the codebook has no number for work %s; assign numbers to the whole catalogue first", w.ID)
		}
		b.Works = append(b.Works, NumberedWork{n, w.ID, w.Title})
	}
	slices.SortFunc(b.Concepts, func(x, y NamedConcept) int { return cmp.Compare(x.Number, y.Number) })
	slices.SortFunc(b.Works, func(x, y NumberedWork) int { return cmp.Compare(x.Number, y.Number) })
	return b, nil
}

// MarshalText returns the one text form.
func (b *Codebook) MarshalText() ([]byte, error) { return marshal((*plainCodebook)(b), " ") }

// MarshalJSON returns the same as MarshalText would, for use inside other documents.
func (b *Codebook) MarshalJSON() ([]byte, error) { return json.Marshal((*plainCodebook)(b)) }

type plainCodebook Codebook

// ParseCodebook reads the text form and nothing else.
func ParseCodebook(text []byte) (*Codebook, error) {
	var b Codebook
	if err := strict(text, (*plainCodebook)(&b)); err != nil {
		return nil, fmt.Errorf("delivery: codebook: %w", err)
	}
	if b.Format != CodebookFormat {
		return nil, fmt.Errorf("delivery: the codebook has format %q, this program reads %q", b.Format, CodebookFormat)
	}
	for i, c := range b.Concepts {
		if c.Number < 1 || c.ID.Check() != nil || i > 0 && b.Concepts[i-1].Number >= c.Number {
			return nil, fmt.Errorf("delivery: codebook: concept %q is out of order or malformed", c.ID)
		}
	}
	for i, w := range b.Works {
		if w.Number < 1 || w.ID.Check() != nil || i > 0 && b.Works[i-1].Number >= w.Number {
			return nil, fmt.Errorf("delivery: codebook: work %q is out of order or malformed", w.ID)
		}
	}
	if again, err := b.MarshalText(); err != nil || !bytes.Equal(again, text) {
		return nil, errors.New("delivery: the codebook is not in its one text form; it was changed or written by another program")
	}
	return &b, nil
}

// Concept returns the concept of a number, and whether there is one.
func (b *Codebook) Concept(number int) (NamedConcept, bool) {
	i, ok := slices.BinarySearchFunc(b.Concepts, number, func(c NamedConcept, n int) int { return cmp.Compare(c.Number, n) })
	if !ok {
		return NamedConcept{}, false
	}
	return b.Concepts[i], true
}

// Work returns the work of a number, and whether there is one.
func (b *Codebook) Work(number int) (NumberedWork, bool) {
	i, ok := slices.BinarySearchFunc(b.Works, number, func(w NumberedWork, n int) int { return cmp.Compare(w.Number, n) })
	if !ok {
		return NumberedWork{}, false
	}
	return b.Works[i], true
}
