package concepts

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// How many concepts and works a codebook can number: the sizes of the mark's two sets of codewords.
const (
	MaxConceptNumber = 65536
	MaxWorkNumber    = 1048576
)

var (
	// ErrCodebookFull is returned where numbers run out. Start a second codebook, under its own key.
	ErrCodebookFull = errors.New("concepts: codebook is full: start another one under a key of its own")
	// ErrNotExtended is returned where a codebook does not begin with an older one.
	ErrNotExtended = errors.New("concepts: codebook does not extend the older one: a published number was changed or lost")
)

// Codebook numbers concepts 1 to [MaxConceptNumber] and works 1 to [MaxWorkNumber]. It only grows: a
// number, once given, names the same concept or work for ever. The zero value is empty and ready.
// Not safe for concurrent use while it is being extended.
type Codebook struct {
	text     []byte // after the header
	concepts numbering[ConceptID]
	works    numbering[WorkID]
}

// numbering gives 1, 2, 3, ... to identifiers.
type numbering[ID ~string] struct {
	ids    []ID
	number map[ID]int
}

// codebookHeader begins the text form and names its version.
const codebookHeader = "filigrane codebook v1\n"

// AssignConcepts returns the numbers of ids, in the same order; those not numbered yet get the next
// numbers in the order given. Nothing is assigned on error: a malformed ID, or [ErrCodebookFull].
func (b *Codebook) AssignConcepts(ids ...ConceptID) ([]int, error) {
	return assign(&b.concepts, &b.text, 'c', MaxConceptNumber, ids)
}

// AssignWorks does the same for works.
func (b *Codebook) AssignWorks(ids ...WorkID) ([]int, error) {
	return assign(&b.works, &b.text, 'w', MaxWorkNumber, ids)
}

func assign[ID interface {
	~string
	Check() error
}](n *numbering[ID], text *[]byte, kind byte, limit int, ids []ID) ([]int, error) {
	var fresh []ID
	seen := map[ID]bool{}
	for _, id := range ids {
		if err := id.Check(); err != nil {
			return nil, err
		}
		if n.number[id] == 0 && !seen[id] {
			seen[id] = true
			fresh = append(fresh, id)
		}
	}
	if len(n.ids)+len(fresh) > limit {
		return nil, fmt.Errorf("%w (%d of %d numbers are taken, %d more are asked for)", ErrCodebookFull, len(n.ids), limit, len(fresh))
	}
	if n.number == nil {
		n.number = make(map[ID]int)
	}
	for _, id := range fresh {
		n.ids = append(n.ids, id)
		n.number[id] = len(n.ids)
		*text = fmt.Appendf(*text, "%c %d %s\n", kind, len(n.ids), string(id))
	}
	numbers := make([]int, len(ids))
	for i, id := range ids {
		numbers[i] = n.number[id]
	}
	return numbers, nil
}

// ConceptNumber returns the number of a concept, and whether it has one.
func (b *Codebook) ConceptNumber(id ConceptID) (int, bool) {
	n, ok := b.concepts.number[id]
	return n, ok
}

// WorkNumber returns the number of a work, and whether it has one.
func (b *Codebook) WorkNumber(id WorkID) (int, bool) {
	n, ok := b.works.number[id]
	return n, ok
}

// ConceptName returns the concept of a number, and whether the number was given.
func (b *Codebook) ConceptName(number int) (ConceptID, bool) { return b.concepts.name(number) }

// WorkName returns the work of a number, and whether the number was given.
func (b *Codebook) WorkName(number int) (WorkID, bool) { return b.works.name(number) }

func (n *numbering[ID]) name(number int) (id ID, ok bool) {
	if number < 1 || number > len(n.ids) {
		return "", false
	}
	return n.ids[number-1], true
}

// Concepts returns how many concepts are numbered.
func (b *Codebook) Concepts() int { return len(b.concepts.ids) }

// Works returns how many works are numbered.
func (b *Codebook) Works() int { return len(b.works.ids) }

// MarshalText returns the text form described in the package comment. It never fails.
func (b *Codebook) MarshalText() ([]byte, error) {
	return append([]byte(codebookHeader), b.text...), nil
}

// Extends returns nil if b is old with zero or more assignments appended, else an error that wraps
// [ErrNotExtended] and names the first line that differs.
func (b *Codebook) Extends(old *Codebook) error {
	if bytes.HasPrefix(b.text, old.text) {
		return nil
	}
	// Not a prefix of each other's lines: find the first line of old that b lacks.
	line, now := 1, bytes.SplitAfter(b.text, []byte("\n"))
	for i, was := range bytes.SplitAfter(old.text, []byte("\n")) {
		line++
		if i >= len(now) || !bytes.Equal(was, now[i]) {
			got := "nothing"
			if i < len(now) && len(now[i]) > 0 {
				got = strconv.Quote(strings.TrimSpace(string(now[i])))
			}
			return fmt.Errorf("%w: line %d was %q and is %s", ErrNotExtended, line, bytes.TrimSpace(was), got)
		}
	}
	panic("concepts: codebooks neither differ nor extend each other")
}

// ParseCodebook reads the text form. It accepts nothing but what MarshalText writes: marshalling the
// result gives the same bytes. Errors name the line.
func ParseCodebook(text []byte) (*Codebook, error) {
	rest, ok := strings.CutPrefix(string(text), codebookHeader)
	if !ok {
		return nil, fmt.Errorf("concepts: codebook line 1: want %q: this is no codebook or one of a newer program", strings.TrimSpace(codebookHeader))
	}
	b := &Codebook{}
	for line := 2; rest != ""; line++ {
		entry, after, ended := strings.Cut(rest, "\n")
		if !ended {
			return nil, fmt.Errorf("concepts: codebook line %d is cut off: restore the file from a copy", line)
		}
		rest = after
		if err := b.parseLine(entry); err != nil {
			return nil, fmt.Errorf("concepts: codebook line %d: %w", line, err)
		}
	}
	return b, nil
}

func (b *Codebook) parseLine(entry string) error {
	kind, tail, _ := strings.Cut(entry, " ")
	number, id, _ := strings.Cut(tail, " ")
	var want int
	var err error
	switch kind {
	case "c":
		want = b.Concepts() + 1
		_, err = b.AssignConcepts(ConceptID(id))
		ok := err != nil || b.Concepts() == want
		return lineError(err, ok, number, want, id)
	case "w":
		want = b.Works() + 1
		_, err = b.AssignWorks(WorkID(id))
		ok := err != nil || b.Works() == want
		return lineError(err, ok, number, want, id)
	}
	return fmt.Errorf("%.40q begins neither with c nor with w", entry)
}

// lineError checks that a line assigned the number it states to an identifier not met before.
func lineError(err error, fresh bool, number string, want int, id string) error {
	switch {
	case err != nil:
		return err
	case !fresh:
		return fmt.Errorf("%q has a number already", id)
	case number != strconv.Itoa(want):
		return fmt.Errorf("number %.40q: the next one is %d", number, want)
	}
	return nil
}
