package concepts

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func text(t testing.TB, b *Codebook) string {
	t.Helper()
	s, err := b.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return string(s)
}

// The example of the package comment.
const exampleCodebook = `filigrane codebook v1
c 1 semantic/mountains
w 1 5f70bf18a0860070
w 2 9c1185a5c5e9fc54
`

func TestCodebookAssign(t *testing.T) {
	var b Codebook
	if _, err := b.AssignConcepts("semantic/mountains"); err != nil {
		t.Fatal(err)
	}
	if got, err := b.AssignWorks("5f70bf18a0860070", "9c1185a5c5e9fc54", "5f70bf18a0860070"); err != nil || !cmp.Equal(got, []int{1, 2, 1}) {
		t.Fatal(got, err)
	}
	if got := text(t, &b); got != exampleCodebook {
		t.Errorf("got\n%s", got)
	}
	if got, err := b.AssignConcepts("style/z", "semantic/mountains", "style/a"); err != nil || !cmp.Equal(got, []int{2, 1, 3}) {
		t.Error(got, err)
	}
	if id, ok := b.ConceptName(3); !ok || id != "style/a" {
		t.Error(id, ok)
	}
	if n, ok := b.ConceptNumber("style/z"); !ok || n != 2 {
		t.Error(n, ok)
	}
	if id, ok := b.WorkName(2); !ok || id != "9c1185a5c5e9fc54" {
		t.Error(id, ok)
	}
	if n, ok := b.WorkNumber("zz"); ok || n != 0 {
		t.Error(n, ok)
	}
	for _, n := range []int{-1, 0, 4} {
		if id, ok := b.ConceptName(n); ok || id != "" {
			t.Error(n, id)
		}
	}
	before := text(t, &b)
	if _, err := b.AssignConcepts("style/new", "bad id"); err == nil || text(t, &b) != before {
		t.Error("a refused assignment must change nothing")
	}
}

func TestCodebookFull(t *testing.T) {
	var b Codebook
	ids := make([]ConceptID, MaxConceptNumber)
	for i := range ids {
		ids[i] = ConceptID(fmt.Sprint("semantic/", i))
	}
	if _, err := b.AssignConcepts(ids...); err != nil {
		t.Fatal(err)
	}
	if n, err := b.AssignConcepts("semantic/65535", "semantic/0"); err != nil || !cmp.Equal(n, []int{65536, 1}) {
		t.Error(n, err)
	}
	if _, err := b.AssignConcepts("semantic/more"); !errors.Is(err, ErrCodebookFull) {
		t.Error(err)
	}
	full := text(t, &b)
	if parsed, err := ParseCodebook([]byte(full)); err != nil || text(t, parsed) != full {
		t.Error(err)
	}
	if _, err := ParseCodebook([]byte(full + "c 65537 semantic/more\n")); !errors.Is(err, ErrCodebookFull) {
		t.Error(err)
	}
}

func TestCodebookOnlyGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Codebook
		old := &b
		given := map[ConceptID]int{}
		for range rapid.IntRange(0, 8).Draw(t, "rounds") {
			ids := rapid.SliceOf(rapid.Custom(func(t *rapid.T) ConceptID {
				return ConceptID(fmt.Sprint("semantic/", rapid.IntRange(0, 20).Draw(t, "n")))
			})).Draw(t, "ids")
			numbers, err := b.AssignConcepts(ids...)
			if err != nil {
				t.Fatal(err)
			}
			for i, id := range ids {
				if n, ok := given[id]; ok && n != numbers[i] {
					t.Fatalf("%s was %d and is %d", id, n, numbers[i])
				}
				given[id] = numbers[i]
			}
			b.AssignWorks(WorkID(fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "work"))))
			now, err := ParseCodebook(must(b.MarshalText()))
			if err != nil {
				t.Fatal(err)
			}
			if err := now.Extends(old); err != nil {
				t.Fatal(err)
			}
			if now.Works() > old.Works() && old != &b && !errors.Is(old.Extends(now), ErrNotExtended) {
				t.Fatal("the older one extends the newer one")
			}
			old = now
		}
	})
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func TestCodebookExtendsNamesTheLine(t *testing.T) {
	parse := func(s string) *Codebook {
		b, err := ParseCodebook([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	old := parse(exampleCodebook)
	if err := parse(exampleCodebook + "w 3 x\n").Extends(old); err != nil {
		t.Error(err)
	}
	swapped := parse(strings.Replace(exampleCodebook, "mountains", "lakes", 1))
	if err := swapped.Extends(old); !errors.Is(err, ErrNotExtended) || !strings.Contains(err.Error(), `line 2 was "c 1 semantic/mountains" and is "c 1 semantic/lakes"`) {
		t.Error(err)
	}
	if err := new(Codebook).Extends(old); !errors.Is(err, ErrNotExtended) || !strings.Contains(err.Error(), "is nothing") {
		t.Error(err)
	}
}

func TestParseCodebookErrors(t *testing.T) {
	cases := map[string]string{
		"":                                   "line 1: want",
		"filigrane codebook v2\n":            "line 1: want",
		codebookHeader + "c 1 semantic/a":    "line 2 is cut off",
		codebookHeader + "c 2 semantic/a\n":  `line 2: number "2": the next one is 1`,
		codebookHeader + "c 01 semantic/a\n": `number "01"`,
		codebookHeader + "c 1 semantic/a\nc 2 semantic/a\n": `line 3: "semantic/a" has a number already`,
		codebookHeader + "c 1 semantic/a b\n":               "cannot stand in an identifier",
		codebookHeader + "c 1  semantic/a\n":                "is not of the form",
		codebookHeader + "w 1 \n":                           "has 0 bytes",
		codebookHeader + "x 1 a\n":                          "neither with c nor with w",
		codebookHeader + "\n":                               "neither with c nor with w",
		codebookHeader + "w 1 a\r\n":                        "not printable ASCII",
	}
	for in, want := range cases {
		if _, err := ParseCodebook([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", in, err, want)
		}
	}
}

func FuzzParseCodebook(f *testing.F) {
	for _, seed := range []string{exampleCodebook, codebookHeader, "", codebookHeader + "c 1 style/é~0a\nw 1 a\nw 2 b\nc 2 owner/x\n",
		codebookHeader + "c 2 style/a\n", codebookHeader + "w 1 a"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := ParseCodebook(in)
		if err != nil {
			return
		}
		if out := must(b.MarshalText()); !bytes.Equal(in, out) {
			t.Fatalf("%q became %q", in, out)
		}
		for n := 1; n <= b.Concepts(); n++ {
			id, ok := b.ConceptName(n)
			if back, known := b.ConceptNumber(id); !ok || !known || back != n {
				t.Fatalf("concept %d is %q is %d", n, id, back)
			}
		}
	})
}
