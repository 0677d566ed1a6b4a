package concepts

import (
	"fmt"
	"path"
	"sort"
	"strings"
)

// MaxConceptsPerWork is how many concept marks can be superposed in one image.
const MaxConceptsPerWork = 4

// Options limits what [Group] makes. The zero value is MinWorks 1, MaxConcepts 4, seed "".
type Options struct {
	// MinWorks is the least number of works a concept may have; smaller groups become remainders.
	// 0 means 1. A mark is learned from its images: a concept of few works is unlikely to transmit.
	MinWorks int
	// MaxConcepts is the most concepts a work may have, 1 to 4; 0 means 4.
	MaxConcepts int
	// Seed starts the search of visual:K. The same seed gives the same groups.
	Seed string
}

// Remainder is a group that did not become a concept.
type Remainder struct {
	Concept Concept
	// Works would have belonged to it, sorted; none for a listed keyword that no work has.
	Works  []WorkID
	Reason string
}

// Dropped is a membership given up because its work has concepts enough.
type Dropped struct {
	Membership
	Reason string
}

// Ungrouped is a work that is in no concept.
type Ungrouped struct {
	Work   WorkID
	Reason string
}

// Grouping is what [Group] found. Every work is in Memberships or in Ungrouped; every value that was
// found and not used is in Remainders or Dropped.
type Grouping struct {
	Concepts    []Concept    // by ID
	Memberships []Membership // by work, then concept
	Remainders  []Remainder  // by concept
	Dropped     []Dropped    // by work, then concept
	Ungrouped   []Ungrouped  // by work
}

// Group puts works into concepts by rules. Two rules that meet the same value under the same kind make
// one concept; a work reaches it once, by the earlier rule.
//
// First, groups smaller than MinWorks become remainders. Then, where a work is in more than MaxConcepts
// concepts, those of earlier rules are kept, of one rule the larger ones (counted before this step),
// then the smaller IDs. Concepts that fall below MinWorks by that become remainders too, all at once, and the
// step is repeated without them until nothing changes. The order of works never matters, that of rules
// does.
//
// It returns an error for no works, IDs that are malformed or shared, text that is not UTF-8, a rule
// given twice, options out of range, a column that no work has, and for visual:K works whose
// descriptors differ in length or hold a value that is not finite, or fewer than K different ones. It
// panics if a rule was not made by [ParseRule].
func Group(works []Work, rules []Rule, o Options) (Grouping, error) {
	if o.MinWorks == 0 {
		o.MinWorks = 1
	}
	if o.MaxConcepts == 0 {
		o.MaxConcepts = MaxConceptsPerWork
	}
	if o.MinWorks < 1 || o.MaxConcepts < 1 || o.MaxConcepts > MaxConceptsPerWork {
		return Grouping{}, fmt.Errorf("concepts: at least %d works per concept and at most %d concepts per work: the first must be 1 or more, the second 1 to %d",
			o.MinWorks, o.MaxConcepts, MaxConceptsPerWork)
	}
	if len(works) == 0 {
		return Grouping{}, fmt.Errorf("concepts: no works to group: import some first")
	}
	if err := checkRules(rules); err != nil {
		return Grouping{}, err
	}
	sorted, err := sortedWorks(works)
	if err != nil {
		return Grouping{}, err
	}
	g := grouper{works: sorted, options: o, candidates: make([][]candidate, len(sorted)), misses: make([][]string, len(sorted)),
		concepts: map[ConceptID]*found{}}
	for i, r := range rules {
		hits, err := r.apply(sorted, o.Seed)
		if err != nil {
			return Grouping{}, err
		}
		if err := g.collect(i, r, hits); err != nil {
			return Grouping{}, err
		}
	}
	g.dissolveSmall()
	return g.result(), nil
}

// hit is what a rule found in one work: values, or why there are none.
type hit struct {
	values []value
	miss   string
}

// value is one group that a work belongs to. key is its identity; id overrides the slug of the name.
type value struct {
	name, why string
	id        ConceptID
}

// candidate is a membership that may survive the limits.
type candidate struct {
	rule int
	Membership
}

// found is a concept before the limits.
type found struct {
	Concept
	key    string
	size   int    // works that have it
	reason string // why it was dissolved; "" while it lives
}

type grouper struct {
	works      []Work
	options    Options
	candidates [][]candidate
	misses     [][]string
	concepts   map[ConceptID]*found
}

func (g *grouper) collect(index int, r Rule, hits []hit) error {
	for i, h := range hits {
		if h.miss != "" {
			g.misses[i] = append(g.misses[i], h.miss)
		}
		for _, v := range h.values {
			id, key := v.id, identity(v.name)
			if id == "" {
				id = NewConceptID(r.Kind, v.name)
			}
			c := g.concepts[id]
			if c == nil || c.size == 0 {
				c = &found{Concept: Concept{ID: id, Kind: r.Kind, Name: v.name}, key: key}
				g.concepts[id] = c
			} else if c.key != key {
				return fmt.Errorf("concepts: %q and %q share the ID %s by coincidence: rename one", c.Name, v.name, id)
			}
			if !g.has(i, id) {
				c.size++
				g.candidates[i] = append(g.candidates[i], candidate{index, Membership{g.works[i].ID, id, r.String(), v.why}})
			}
		}
	}
	for _, word := range r.Keywords { // listed keywords that no work has
		if id := NewConceptID(r.Kind, word); g.concepts[id] == nil {
			g.concepts[id] = &found{Concept: Concept{ID: id, Kind: r.Kind, Name: word}, key: identity(word), reason: "no work has this keyword"}
		}
	}
	return nil
}

func (g *grouper) has(work int, id ConceptID) bool {
	for _, c := range g.candidates[work] {
		if c.Concept == id {
			return true
		}
	}
	return false
}

// dissolveSmall applies MinWorks, before and after MaxConcepts, and orders each work's candidates.
func (g *grouper) dissolveSmall() {
	for _, c := range g.concepts {
		if c.size > 0 && c.size < g.options.MinWorks {
			c.reason = fmt.Sprintf("%s, fewer than the minimum of %d", count(c.size, "work"), g.options.MinWorks)
		}
	}
	for _, list := range g.candidates {
		sort.Slice(list, func(i, j int) bool {
			a, b := list[i], list[j]
			if a.rule != b.rule {
				return a.rule < b.rule
			}
			if sa, sb := g.concepts[a.Concept].size, g.concepts[b.Concept].size; sa != sb {
				return sa > sb
			}
			return a.Concept < b.Concept
		})
	}
	for changed := true; changed; {
		kept := map[ConceptID]int{}
		for i := range g.candidates {
			for _, c := range g.kept(i) {
				kept[c.Concept]++
			}
		}
		changed = false
		for id, c := range g.concepts {
			if c.reason == "" && kept[id] < g.options.MinWorks {
				c.reason = fmt.Sprintf("%s left of %d after the limit of %s per work, fewer than the minimum of %d",
					count(kept[id], "work"), c.size, count(g.options.MaxConcepts, "concept"), g.options.MinWorks)
				changed = true
			}
		}
	}
}

// kept returns the first MaxConcepts living candidates of a work, in order of precedence.
func (g *grouper) kept(work int) []candidate {
	var list []candidate
	for _, c := range g.candidates[work] {
		if g.concepts[c.Concept].reason == "" && len(list) < g.options.MaxConcepts {
			list = append(list, c)
		}
	}
	return list
}

func (g *grouper) result() Grouping {
	var out Grouping
	remainders := map[ConceptID]*Remainder{}
	for id, c := range g.concepts {
		if c.reason == "" {
			out.Concepts = append(out.Concepts, c.Concept)
		} else {
			remainders[id] = &Remainder{Concept: c.Concept, Reason: c.reason}
		}
	}
	sort.Slice(out.Concepts, func(i, j int) bool { return out.Concepts[i].ID < out.Concepts[j].ID })
	for i, w := range g.works {
		reasons := g.misses[i]
		kept := g.kept(i)
		for _, c := range kept {
			out.Memberships = append(out.Memberships, c.Membership)
		}
		for _, c := range g.candidates[i] {
			if r := remainders[c.Concept]; r != nil {
				r.Works = append(r.Works, w.ID)
				reasons = append(reasons, fmt.Sprintf("%q: %s", r.Concept.Name, r.Reason))
			} else if !contains(kept, c.Concept) {
				out.Dropped = append(out.Dropped, Dropped{c.Membership, "the work already has " + count(len(kept), "concept")})
			}
		}
		if len(kept) == 0 {
			out.Ungrouped = append(out.Ungrouped, Ungrouped{w.ID, strings.Join(reasons, "; ")})
		}
	}
	for _, r := range remainders {
		out.Remainders = append(out.Remainders, *r)
	}
	sort.Slice(out.Remainders, func(i, j int) bool { return out.Remainders[i].Concept.ID < out.Remainders[j].Concept.ID })
	sortMemberships(out.Memberships)
	sort.Slice(out.Dropped, func(i, j int) bool { return out.Dropped[i].Membership.before(out.Dropped[j].Membership) })
	return out
}

func contains(list []candidate, id ConceptID) bool {
	for _, c := range list {
		if c.Concept == id {
			return true
		}
	}
	return false
}

func (m Membership) before(n Membership) bool {
	if m.Work != n.Work {
		return m.Work < n.Work
	}
	return m.Concept < n.Concept
}

func sortMemberships(list []Membership) {
	sort.Slice(list, func(i, j int) bool { return list[i].before(list[j]) })
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// apply finds the rule's values in works, which are sorted by ID.
func (r Rule) apply(works []Work, seed string) ([]hit, error) {
	switch r.By {
	case ByVisual:
		return r.applyVisual(works, seed)
	case ByColumn:
		if err := r.checkColumn(works); err != nil {
			return nil, err
		}
	}
	hits := make([]hit, len(works))
	listed := map[string]bool{}
	for _, word := range r.Keywords {
		listed[identity(word)] = true
	}
	for i, w := range works {
		switch r.By {
		case ByFolder:
			if dir := path.Dir(w.Path); dir == "." || dir == "/" {
				hits[i].miss = fmt.Sprintf("%q is in no folder", w.Path)
			} else {
				hits[i] = single(path.Base(dir), fmt.Sprintf("folder %q of %s", tidy(path.Base(dir)), w.Path), fmt.Sprintf("the folder of %q has a blank name", w.Path))
			}
		case ByColumn:
			v := w.Column(r.Column)
			hits[i] = single(v, fmt.Sprintf("column %q: %q", r.Column, tidy(v)), fmt.Sprintf("column %q is empty", r.Column))
		case ByCreator:
			hits[i] = single(w.Creator, fmt.Sprintf("creator %q", tidy(w.Creator)), "no creator")
		case ByKeyword:
			hits[i] = keywordHit(w, listed)
		}
	}
	return hits, nil
}

func single(v, why, miss string) hit {
	if v = tidy(v); v == "" {
		return hit{miss: miss}
	}
	return hit{values: []value{{name: v, why: why}}}
}

// keywordHit uses every keyword of a work, or only the listed identities if there are any.
func keywordHit(w Work, listed map[string]bool) hit {
	var h hit
	for _, word := range w.Keywords {
		if name := tidy(word); name != "" && (len(listed) == 0 || listed[identity(name)]) {
			h.values = append(h.values, value{name: name, why: fmt.Sprintf("keyword %q", name)})
		}
	}
	switch {
	case len(h.values) > 0:
	case len(w.Keywords) == 0:
		h.miss = "no keywords"
	default:
		h.miss = "none of its keywords is listed"
	}
	return h
}

// checkColumn tells a mistyped column from an empty one.
func (r Rule) checkColumn(works []Work) error {
	key := identity(r.Column)
	names := map[string]bool{"title": true, "creator": true, "rights_holder": true}
	for _, w := range works {
		for _, c := range w.Columns {
			names[identity(c.Name)] = true
		}
	}
	if names[key] {
		return nil
	}
	list := make([]string, 0, len(names))
	for n := range names {
		list = append(list, n)
	}
	sort.Strings(list)
	return fmt.Errorf("concepts: rule %q: no work has this column; columns are %s", r, strings.Join(list, ", "))
}
