package concepts

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestNewConceptID(t *testing.T) {
	cases := []struct{ value, want string }{
		{"mountains", "semantic/mountains"},
		{"  Mountain \t Lake ", "semantic/mountain_lake"},
		{"black-and-white", "semantic/black-and-white"},
		{"St. Moritz", "semantic/st._moritz"},
		{"FORÊTS", "semantic/forêts"},
		{"fore\u0302ts", "semantic/forêts"}, // decomposed
		{"Ὀδυσσεύς", "semantic/ὀδυσσεύσ"},
		{"山", "semantic/山"},
		// printf %s old_town | sha256sum; the same for c++
		{"old_town", "semantic/old_town~4d289d60"},
		{"C++", "semantic/c__~cedb1bac"},
	}
	for _, c := range cases {
		got := NewConceptID(Semantic, c.value)
		if string(got) != c.want {
			t.Errorf("%q: got %s, want %s", c.value, got, c.want)
		}
		if err := got.Check(); err != nil {
			t.Error(err)
		}
	}
	long := NewConceptID(Owner, strings.Repeat("é", 500))
	if err := long.Check(); err != nil || len(long) > len("owner/")+maxSlugBytes+9 {
		t.Errorf("%s (%d bytes): %v", long, len(long), err)
	}
}

func TestConceptIDsSeparateValues(t *testing.T) {
	values := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ab _~.É/-]{1,6}`))
	rapid.Check(t, func(t *rapid.T) {
		a, b := values.Draw(t, "a"), values.Draw(t, "b")
		if identity(a) == "" || identity(b) == "" || !utf8.ValidString(a+b) {
			return
		}
		if identity(identity(a)) != identity(a) {
			t.Fatalf("identity of %q is not stable", a)
		}
		x, y := NewConceptID(Style, a), NewConceptID(Style, b)
		if err := x.Check(); err != nil {
			t.Fatal(err)
		}
		if (x == y) != (identity(a) == identity(b)) {
			t.Fatalf("%q and %q: %s and %s", a, b, x, y)
		}
	})
}

func TestConceptIDCheck(t *testing.T) {
	for _, bad := range []ConceptID{"", "semantic", "semantic/", "colour/red", "semantic/a b", "semantic/a/b", "semantic/a\n", "semantic/\xff", ConceptID("owner/" + strings.Repeat("a", 130))} {
		if bad.Check() == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for _, bad := range []WorkID{"", "a b", "é", "a\n", WorkID(strings.Repeat("a", 129))} {
		if bad.Check() == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestNewWorkID(t *testing.T) {
	// sha256sum of nothing: e3b0c44298fc1c149afb...
	sum := [32]byte{0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb}
	if id := NewWorkID(sum); id != "e3b0c44298fc1c14" || id.Check() != nil {
		t.Error(id)
	}
}
