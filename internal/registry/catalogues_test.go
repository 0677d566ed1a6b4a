package registry

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"encoding/hex"
	"encoding/json"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/filigrane/filigrane/concepts"
)

// TestGoldenCatalogue: the hash that an independent program gives for package concepts' example.
func TestGoldenCatalogue(t *testing.T) {
	text := get[[]byte](t)(os.ReadFile("../../concepts/testdata/catalogue_v1.json"))
	want := strings.TrimSpace(string(get[[]byte](t)(os.ReadFile("../../concepts/testdata/catalogue_v1.sha256"))))
	var c concepts.Catalogue
	must(t, json.Unmarshal(text, &c))
	c.Version = 1
	onBoth(t, func(t *testing.T, r *Registry) {
		var golden concepts.Catalogue
		must(t, json.Unmarshal(text, &golden))
		for v := 1; v <= golden.Version; v++ { // versions before the golden one
			next := golden
			next.Version = v
			got, _, err := r.AddCatalogue(ctx, ours, get[*concepts.Frozen](t)(next.Freeze()), noon)
			must(t, err)
			must(t, r.CheckCatalogue(ctx, ours, got.Ref))
			if v == golden.Version && hex.EncodeToString(got.Hash[:]) != want {
				t.Errorf("hash %x, want %s", got.Hash, want)
			}
		}
	})
}

// TestVersions draws histories of works and memberships and freezes after each step. Every version must have the hash
// that package concepts gives for it, then and after all later steps, and the differences between any two versions must
// be those of their contents.
func TestVersions(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		bank := 0
		rapid.Check(t, func(rt *rapid.T) {
			bank++
			s := Scope{numbered6("bank", bank), Bank}
			must(t, errOf(r.AddTenant(ctx, ops, Tenant{ID: s.Tenant, Kind: Bank}, noon)))
			history(t, rt, r, s)
		})
	})
}

func history(t *testing.T, rt *rapid.T, r *Registry, s Scope) {
	must(t, errOf(r.PutConcepts(ctx, s, []concepts.Concept{{ID: "style/a", Kind: concepts.Style, Name: "A"}, {ID: "semantic/b", Kind: concepts.Semantic, Name: "Ü"}})))
	now := map[concepts.WorkID]concepts.Work{}
	member := map[concepts.WorkID][]concepts.Membership{}
	frozen := map[int]*concepts.Frozen{}
	latest := 0
	for range rapid.IntRange(1, 4).Draw(rt, "steps") {
		for range rapid.IntRange(0, 4).Draw(rt, "changes") {
			id := rapid.SampledFrom(workIDs("a", "B", "c0", "~")).Draw(rt, "work")
			switch rapid.IntRange(0, 2).Draw(rt, "what") {
			case 0:
				w := work(string(id))
				w.Title = rapid.SampledFrom([]string{"", "x", "Ête", "5:a,"}).Draw(rt, "title")
				w.Keywords = rapid.SliceOfN(rapid.SampledFrom([]string{"k", "b", "é,"}), 0, 3).Draw(rt, "keywords")
				w.Columns = w.Columns[:rapid.IntRange(0, 2).Draw(rt, "columns")]
				must(t, errOf(r.PutWorks(ctx, s, []Work{w}, noon)))
				if _, there := now[id]; !there {
					must(t, errOf(r.SetWorkState(ctx, s, []concepts.WorkID{id}, Active, noon)))
				}
				now[id] = w.Work
			case 1:
				if _, there := now[id]; there {
					must(t, errOf(r.SetWorkState(ctx, s, []concepts.WorkID{id}, Missing, noon)))
					delete(now, id)
				}
			case 2:
				var list []concepts.Membership
				for _, c := range rapid.SampledFrom([][]concepts.ConceptID{nil, {"style/a"}, {"semantic/b", "style/a"}}).Draw(rt, "concepts") {
					list = append(list, concepts.Membership{Work: id, Concept: c, Rule: "r", Why: rapid.SampledFrom([]string{"w", "v"}).Draw(rt, "why")})
				}
				if _, there := now[id]; there {
					must(t, errOf(r.PutMemberships(ctx, s, []concepts.WorkID{id}, list)))
					member[id] = list
				}
			}
		}
		if len(now) == 0 {
			continue
		}
		v, c, err := r.FreezeCatalogue(ctx, s, "cat", noon.Add(time.Duration(latest)*time.Hour))
		must(t, err)
		want := expected(t, now, member, v.Version)
		if v.Hash != want.Hash() {
			rt.Fatalf("version %d: hash %x, package concepts gives %x for\n%q", v.Version, v.Hash, want.Hash(), want.Canonical())
		}
		if (v.Version == latest) != (c.Added+c.Changed+c.Removed == 0) || v.Version < latest || v.Version > latest+1 {
			rt.Fatalf("after version %d: version %d with %+v", latest, v.Version, c)
		}
		latest = v.Version
		frozen[latest] = want
	}
	for v, want := range frozen {
		must(t, r.CheckCatalogue(ctx, s, Ref{"cat", v}))
		if got := get[*concepts.Frozen](t)(r.LoadCatalogue(ctx, s, Ref{"cat", v})); got.Hash() != want.Hash() {
			rt.Fatalf("version %d is not what it was", v)
		}
		for later := v + 1; later <= latest; later++ {
			checkDiff(t, rt, r, s, want, frozen[later])
		}
	}
}

func expected(t *testing.T, now map[concepts.WorkID]concepts.Work, member map[concepts.WorkID][]concepts.Membership, version int) *concepts.Frozen {
	c := concepts.Catalogue{Name: "cat", Version: version}
	used := map[concepts.ConceptID]bool{}
	for id, w := range now {
		c.Works = append(c.Works, w)
		for _, m := range member[id] {
			c.Memberships = append(c.Memberships, m)
			used[m.Concept] = true
		}
	}
	for id := range used {
		c.Concepts = append(c.Concepts, concepts.Concept{ID: id, Kind: id.Kind(), Name: map[concepts.ConceptID]string{"style/a": "A", "semantic/b": "Ü"}[id]})
	}
	return get[*concepts.Frozen](t)(c.Freeze())
}

func checkDiff(t *testing.T, rt *rapid.T, r *Registry, s Scope, from, to *concepts.Frozen) {
	var added, changed, gone []string
	for _, w := range to.Catalogue().Works {
		before, there := from.Work(w.ID)
		if !there {
			added = append(added, string(w.ID))
		} else if !cmp.Equal(workBody(before), workBody(w)) || !slices.Equal(from.ConceptsOf(w.ID), to.ConceptsOf(w.ID)) {
			changed = append(changed, string(w.ID))
		}
	}
	for _, w := range from.Catalogue().Works {
		if _, there := to.Work(w.ID); !there {
			gone = append(gone, string(w.ID))
		}
	}
	a, b := from.Catalogue().Version, to.Catalogue().Version
	var gotAdded, gotChanged []string
	for _, c := range all(t, 2, func(p Page) (List[WorkChange], error) { return r.CatalogueDiff(ctx, s, "cat", a, b, p) }) {
		if c.New {
			gotAdded = append(gotAdded, string(c.ID))
		} else {
			gotChanged = append(gotChanged, string(c.ID))
		}
		if !slices.Equal(c.Concepts, to.ConceptsOf(c.ID)) {
			rt.Fatalf("work %s of version %d has concepts %v, not %v", c.ID, b, c.Concepts, to.ConceptsOf(c.ID))
		}
	}
	gotGone := asTexts(all(t, 2, func(p Page) (List[concepts.WorkID], error) { return r.CatalogueGone(ctx, s, "cat", a, b, p) }))
	for _, c := range []struct {
		what      string
		got, want []string
	}{{"added", gotAdded, added}, {"changed", gotChanged, changed}, {"gone", gotGone, gone}} {
		if slices.Sort(c.got); !slices.Equal(c.got, c.want) {
			rt.Fatalf("from version %d to %d %s: got %v, want %v", a, b, c.what, c.got, c.want)
		}
	}
}

func TestFreezeRefusals(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		if _, _, err := r.FreezeCatalogue(ctx, ours, "cat", noon); err == nil || !strings.Contains(err.Error(), "no works") {
			t.Error(err)
		}
		twin := work("w2")
		twin.SHA256 = work("w1").SHA256
		must(t, errOf(r.PutWorks(ctx, ours, []Work{work("w1"), twin}, noon)))
		if _, _, err := r.FreezeCatalogue(ctx, ours, "cat", noon); err == nil || !strings.Contains(err.Error(), "works w1 and w2 have the same sha256") {
			t.Error(err)
		}
		if l := get[List[CatalogueVersion]](t)(r.Catalogues(ctx, ours, Page{})); len(l.Items) != 0 {
			t.Error(l)
		}
		must(t, errOf(r.SetWorkState(ctx, ours, workIDs("w2"), Missing, noon)))
		v, _, err := r.FreezeCatalogue(ctx, ours, "cat", noon)
		must(t, err)
		other := get[*concepts.Frozen](t)(concepts.Catalogue{Name: "cat", Version: 1, Works: []concepts.Work{work("w3").Work}}.Freeze())
		_, _, err = r.AddCatalogue(ctx, ours, other, noon)
		wants(t, err, ErrConflict)
		other = get[*concepts.Frozen](t)(concepts.Catalogue{Name: "cat", Version: 3, Works: []concepts.Work{work("w3").Work}}.Freeze())
		_, _, err = r.AddCatalogue(ctx, ours, other, noon)
		wants(t, err, ErrConflict)
		again, c, err := r.AddCatalogue(ctx, ours, get[*concepts.Frozen](t)(r.LoadCatalogue(ctx, ours, v.Ref)), noon.Add(time.Hour))
		if must(t, err); again != v || c.Added+c.Changed+c.Removed > 0 {
			t.Error(again, c)
		}
		// Somebody edits a frozen row.
		must(t, r.InTx(ctx, func(r *Registry) error {
			_, err := r.bound.exec(ctx, "UPDATE catalogue_works SET body = $1", workBody(work("w9").Work))
			return err
		}))
		if err := r.CheckCatalogue(ctx, ours, v.Ref); err == nil || !strings.Contains(err.Error(), "no longer has the hash") {
			t.Error(err)
		}
		if _, err := r.LoadCatalogue(ctx, ours, v.Ref); err == nil || errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
}

// FuzzParseWork: a row is read, or refused; what is read is written the same.
func FuzzParseWork(f *testing.F) {
	f.Add(workBody(work("w1").Work))
	f.Add(workBody(concepts.Work{ID: "a"}))
	f.Add([]byte("99999999999999999999:"))
	f.Add([]byte("-1:a,"))
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := parseWork(body)
		if err == nil && len(workBody(w)) > len(body) {
			t.Errorf("%q became %q", body, workBody(w))
		}
		_, _ = parseConcept(body)
		_, _ = parseMember(body)
	})
}
