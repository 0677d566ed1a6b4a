package concepts

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func mustGroup(t rapid.TB, works []Work, o Options, rules ...string) Grouping {
	t.Helper()
	parsed, err := ParseRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Group(works, parsed, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func bank() []Work {
	return []Work{
		{ID: "w1", Path: "Mountains/a.jpg", Creator: "Anna Berg", Keywords: []string{"Lake", "snow"}},
		{ID: "w2", Path: "mountains/b.jpg", Creator: "ANNA  BERG", Keywords: []string{"lake"}},
		{ID: "w3", Path: "2024/cities/c.jpg", Keywords: []string{"mountains"}, Columns: []Column{{"Look", "noir"}}},
		{ID: "w4", Path: "d.jpg"},
	}
}

func lines(list []Membership) []string {
	var out []string
	for _, m := range list {
		out = append(out, fmt.Sprintf("%s in %s by %s: %s", m.Work, m.Concept, m.Rule, m.Why))
	}
	return out
}

func TestGroupExplains(t *testing.T) {
	g := mustGroup(t, bank(), Options{MinWorks: 2}, "folder", "keyword:lake,mountains,sea", "creator", "style=column:look")
	want := []string{
		`w1 in owner/anna_berg by creator: creator "Anna Berg"`,
		`w1 in semantic/lake by keyword:lake,mountains,sea: keyword "Lake"`,
		`w1 in semantic/mountains by folder: folder "Mountains" of Mountains/a.jpg`,
		`w2 in owner/anna_berg by creator: creator "ANNA BERG"`,
		`w2 in semantic/lake by keyword:lake,mountains,sea: keyword "lake"`,
		`w2 in semantic/mountains by folder: folder "mountains" of mountains/b.jpg`,
		`w3 in semantic/mountains by keyword:lake,mountains,sea: keyword "mountains"`,
	}
	if diff := cmp.Diff(want, lines(g.Memberships)); diff != "" {
		t.Errorf("memberships:\n%s", diff)
	}
	wantConcepts := []Concept{{"owner/anna_berg", Owner, "Anna Berg"}, {"semantic/lake", Semantic, "Lake"}, {"semantic/mountains", Semantic, "Mountains"}}
	if diff := cmp.Diff(wantConcepts, g.Concepts); diff != "" {
		t.Errorf("concepts:\n%s", diff)
	}
	wantRemainders := []Remainder{
		{Concept{"semantic/cities", Semantic, "cities"}, []WorkID{"w3"}, "1 work, fewer than the minimum of 2"},
		{Concept{"semantic/sea", Semantic, "sea"}, nil, "no work has this keyword"},
		{Concept{"style/noir", Style, "noir"}, []WorkID{"w3"}, "1 work, fewer than the minimum of 2"},
	}
	if diff := cmp.Diff(wantRemainders, g.Remainders); diff != "" {
		t.Errorf("remainders:\n%s", diff)
	}
	wantUngrouped := []Ungrouped{{"w4", `"d.jpg" is in no folder; no keywords; no creator; column "look" is empty`}}
	if diff := cmp.Diff(wantUngrouped, g.Ungrouped); diff != "" {
		t.Errorf("ungrouped:\n%s", diff)
	}
}

func TestGroupListedKeywordFoundByLaterRule(t *testing.T) {
	g := mustGroup(t, bank(), Options{}, "keyword:cities", "folder")
	if !cmp.Equal(g.Remainders, []Remainder(nil)) || g.Concepts[0].ID != "semantic/cities" {
		t.Errorf("remainders %v, concepts %v", g.Remainders, g.Concepts)
	}
}

func TestGroupMaxConcepts(t *testing.T) {
	works := []Work{
		{ID: "w1", Path: "f/1.jpg", Keywords: []string{"a", "b", "c"}},
		{ID: "w2", Path: "f/2.jpg", Keywords: []string{"c", "b"}},
		{ID: "w3", Path: "f/3.jpg", Keywords: []string{"c"}},
	}
	g := mustGroup(t, works, Options{MaxConcepts: 2, MinWorks: 2}, "folder", "keyword")
	var ids []ConceptID
	for _, c := range g.Concepts {
		ids = append(ids, c.ID)
	}
	// a is too small at once; b loses both its works to f and c.
	if !cmp.Equal(ids, []ConceptID{"semantic/c", "semantic/f"}) || len(g.Memberships) != 6 || len(g.Dropped) != 0 {
		t.Fatalf("concepts %v, memberships %v, dropped %v", ids, lines(g.Memberships), g.Dropped)
	}
	if r := g.Remainders[1]; r.Concept.ID != "semantic/b" || !strings.Contains(r.Reason, "0 works left of 2 after the limit of 2 concepts per work") || len(r.Works) != 2 {
		t.Error(r)
	}
	// One work that keeps b saves it; those that give it up are listed.
	works = append(works, Work{ID: "w4", Path: "f/4.jpg", Keywords: []string{"b"}})
	works[2].Keywords = []string{"c", "c "}
	g = mustGroup(t, append(works, Work{ID: "w5", Path: "5.jpg", Keywords: []string{"c"}}), Options{MaxConcepts: 2}, "folder", "keyword")
	var dropped []string
	for _, d := range g.Dropped {
		dropped = append(dropped, fmt.Sprint(d.Work, " ", d.Concept, ": ", d.Reason))
	}
	want := []string{"w1 semantic/b: the work already has 2 concepts", "w2 semantic/b: the work already has 2 concepts"}
	if diff := cmp.Diff(want, dropped); diff != "" {
		t.Error(diff)
	}
}

func drawWorks(t *rapid.T) []Work {
	word := rapid.SampledFrom([]string{"a", "A", "b", "c", " c", "d", "e", "f", "", "é", "e\u0301"})
	works := make([]Work, rapid.IntRange(1, 25).Draw(t, "works"))
	for i := range works {
		works[i] = Work{ID: WorkID(fmt.Sprintf("w%02d", i)), Path: rapid.SampledFrom([]string{"x/", "X/", "y/z/", ""}).Draw(t, "dir") + fmt.Sprint(i),
			Creator: word.Draw(t, "creator"), Keywords: rapid.SliceOfN(word, 0, 7).Draw(t, "keywords"),
			Visual: rapid.SliceOfN(rapid.Float64Range(-5, 5), 3, 3).Draw(t, "visual")}
	}
	return works
}

func TestGroupProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		works := drawWorks(t)
		o := Options{MinWorks: rapid.IntRange(1, 5).Draw(t, "min"), MaxConcepts: rapid.IntRange(1, 4).Draw(t, "max"), Seed: "s"}
		rules := []string{"folder", "keyword", "creator"}
		if countDistinct([][]float64{works[0].Visual, works[len(works)-1].Visual}) == 2 {
			rules = append(rules, "visual:2")
		}
		g := mustGroup(t, works, o, rules...)
		if diff := cmp.Diff(g, mustGroup(t, rapid.Permutation(works).Draw(t, "shuffled"), o, rules...)); diff != "" {
			t.Fatal("order changed the grouping:\n", diff)
		}
		perWork, perConcept := map[WorkID]int{}, map[ConceptID]int{}
		for _, m := range g.Memberships {
			perWork[m.Work]++
			perConcept[m.Concept]++
			if m.Why == "" || m.Rule == "" || perWork[m.Work] > o.MaxConcepts {
				t.Fatalf("%+v, %d concepts", m, perWork[m.Work])
			}
		}
		for _, c := range g.Concepts {
			if perConcept[c.ID] < o.MinWorks {
				t.Fatalf("%s has %d works", c.ID, perConcept[c.ID])
			}
		}
		for _, u := range g.Ungrouped {
			if perWork[u.Work] != 0 || u.Reason == "" {
				t.Fatalf("%+v", u)
			}
			perWork[u.Work] = 1
		}
		if len(perWork) != len(works) || len(perConcept) != len(g.Concepts) {
			t.Fatalf("%d works of %d, %d concepts of %d", len(perWork), len(works), len(perConcept), len(g.Concepts))
		}
		for i := range works {
			works[i].SHA256, works[i].Width, works[i].Height = fmt.Sprintf("%064x", i), 1, 1
		}
		if _, err := (Catalogue{Name: "n", Version: 1, Works: works, Concepts: g.Concepts, Memberships: g.Memberships}).Freeze(); err != nil {
			t.Fatal("what Group makes must freeze: ", err)
		}
	})
}

func TestGroupErrors(t *testing.T) {
	visual := func(values ...[]float64) []Work {
		var works []Work
		for i, v := range values {
			works = append(works, Work{ID: WorkID(fmt.Sprint("w", i)), Visual: v})
		}
		return works
	}
	nan := 0.0
	nan /= nan
	cases := []struct {
		name  string
		works []Work
		o     Options
		rule  string
		want  string
	}{
		{"no works", nil, Options{}, "folder", "no works to group"},
		{"options", bank(), Options{MaxConcepts: 5}, "folder", "at most 5 concepts"},
		{"bad ID", []Work{{ID: "a b", Path: "x"}}, Options{}, "folder", `not printable ASCII (file "x")`},
		{"same ID", []Work{{ID: "a", Path: "x"}, {ID: "a", Path: "y"}}, Options{}, "folder", `files "x" and "y" have the same work ID a`},
		{"not UTF-8", []Work{{ID: "a", Keywords: []string{"\xff"}}}, Options{}, "folder", `work a: keyword "\xff" is not UTF-8`},
		{"no such column", bank(), Options{}, "column:lok", "columns are creator, look, rights_holder, title"},
		{"no descriptors", bank(), Options{}, "visual:2", "only 0 of 4 works have different descriptors"},
		{"identical", visual([]float64{1, 2}, []float64{1, 2}), Options{}, "visual:2", "only 1 of 2 works have different descriptors: ask for at most 1"},
		{"lengths", visual([]float64{1, 2}, []float64{1}), Options{}, "visual:2", "work w0 has a descriptor of length 2, work w1 of length 1"},
		{"not a number", visual([]float64{1, 2}, []float64{1, nan}), Options{}, "visual:2", "work w1: descriptor value 1 is NaN"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, err := ParseRule(c.rule)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Group(c.works, []Rule{r}, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
