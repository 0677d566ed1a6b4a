package registry

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/concepts"
)

func TestTenants(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		changed(t, get[Changes](t)(r.AddTenant(ctx, ops, Tenant{ID: "bank-a", Kind: Bank, Name: "bank-a"}, noon.Add(1))), Changes{Unchanged: 1})
		changed(t, get[Changes](t)(r.AddTenant(ctx, ops, Tenant{ID: "bank-a", Kind: Bank, Name: "Bank A"}, noon.Add(1))), Changes{Changed: 1})
		got := get[Tenant](t)(r.Tenant(ctx, ours))
		if want := (Tenant{"bank-a", Bank, "Bank A", noon}); got != want {
			t.Errorf("got %v, want %v", got, want)
		}
		if l := all(t, 2, func(p Page) (List[Tenant], error) { return r.Tenants(ctx, ops, p) }); len(l) != 3 || l[2].ID != "provider-p" {
			t.Error(l)
		}
		_, err := r.AddTenant(ctx, ops, Tenant{ID: "x", Kind: "king"}, noon)
		if err == nil {
			t.Error("a kind that does not exist")
		}
	})
}

func TestWorksComeBackAsTheyWere(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		plain := Work{Work: concepts.Work{ID: "plain", Path: "a", SHA256: work("x").SHA256, Width: 1, Height: 1}, Bytes: 1}
		list := []Work{work("w1"), plain}
		changed(t, get[Changes](t)(r.PutWorks(ctx, ours, append(list, work("w1")), noon)), Changes{Added: 2, Unchanged: 1})
		for _, want := range list {
			want.Added, want.Changed = noon, noon
			if got := get[Work](t)(r.Work(ctx, ours, want.ID)); !cmp.Equal(got, want) {
				t.Error(cmp.Diff(want, got))
			}
		}
		changed(t, get[Changes](t)(r.PutWorks(ctx, ours, list, noon.Add(time.Hour))), Changes{Unchanged: 2})
		must(t, errOf(r.SetWorkState(ctx, ours, workIDs("w1"), Reserved, noon)))
		list[0].Title, list[0].Keywords = "Autre", []string{"z", "a"}
		changed(t, get[Changes](t)(r.PutWorks(ctx, ours, list, noon.Add(time.Hour))), Changes{Changed: 1, Unchanged: 1})
		got := get[Work](t)(r.Work(ctx, ours, "w1"))
		if got.Title != "Autre" || got.State != Reserved || !got.Changed.Equal(noon.Add(time.Hour)) || !got.Added.Equal(noon) || !slices.Equal(got.Keywords, []string{"a", "z"}) {
			t.Errorf("%+v", got)
		}
		if found := get[[]Work](t)(r.WorksByID(ctx, ours, workIDs("plain", "w1", "w1", "nobody", "\x00\xff"))); len(found) != 2 {
			t.Error(ids(found))
		}
		list[0].Title = "One"
		_, err := r.PutWorks(ctx, ours, []Work{list[0], work("w1")}, noon)
		if err == nil || !strings.Contains(err.Error(), "w1") {
			t.Errorf("the same work twice, differing: %v", err)
		}
	})
}

func errOf(_ Changes, err error) error { return err }

func TestWorksThatCannotBeKept(t *testing.T) {
	cases := map[string]func(w *Work){
		`SHA-256 "ABC"`: func(w *Work) { w.SHA256 = "ABC" }, "0 x 480 pixels": func(w *Work) { w.Width = 0 }, `file path "../x"`: func(w *Work) { w.Path = "../x" },
		"title": func(w *Work) { w.Title = "a\x00b" }, "creator": func(w *Work) { w.Creator = strings.Repeat("a", 2000) }, "not UTF-8": func(w *Work) { w.Keywords = []string{"\xff"} },
		"columns": func(w *Work) { w.Columns[1].Name = "a" }, "work ID": func(w *Work) { w.ID = "a b" },
	}
	onBoth(t, func(t *testing.T, r *Registry) {
		for want, change := range cases {
			w := work("w1")
			change(&w)
			if _, err := r.PutWorks(ctx, ours, []Work{work("w2"), w}, noon); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v", want, err)
			}
		}
		if l := get[List[Work]](t)(r.Works(ctx, ours, WorkQuery{}, Page{})); len(l.Items) != 0 {
			t.Error("something was kept", ids(l.Items))
		}
	})
}

// TestPages puts works that tie in creator and time, in an order that is none of those asked for, and turns pages of
// every size; text sorts by bytes whatever the database's language.
func TestPages(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		names := []string{"b", "B", "a10", "a2", "Z", "~", "_x", "a-b", "aB", "zz"}
		for i, id := range names {
			w := work(id)
			w.Creator = []string{"Éa", "eb", "Ea", ""}[i%4]
			_, err := r.PutWorks(ctx, ours, []Work{w}, noon.Add(time.Duration(i/3)*time.Second))
			must(t, err)
		}
		put(t, r, Scope{"bank-b", Bank}, "b", "other")
		must(t, errOf(r.SetWorkState(ctx, ours, workIDs("a2", "zz"), Missing, noon)))
		sorted := slices.Sorted(slices.Values(names))
		for _, c := range []struct {
			query WorkQuery
			want  []string
		}{
			{WorkQuery{}, sorted}, {WorkQuery{Order: ByPath}, slices.SortedFunc(slices.Values(names), func(a, b string) int { return strings.Compare("p/"+a+".jpg", "p/"+b+".jpg") })},
			{WorkQuery{Order: ByCreator}, []string{"a-b", "a2", "_x", "a10", "B", "zz", "~", "Z", "aB", "b"}},
			{WorkQuery{Order: ByChanged}, []string{"B", "a10", "a2", "b", "zz", "Z", "~", "_x", "a-b", "aB"}},
			{WorkQuery{State: new(Missing)}, []string{"a2", "zz"}},
		} {
			for _, limit := range []int{1, 2, 3, 9, 10, 11, 100, 101, 1000} {
				got := ids(all(t, limit, func(p Page) (List[Work], error) { return r.Works(ctx, ours, c.query, p) }))
				if !slices.Equal(got, c.want) {
					t.Errorf("%+v by %d: got %v, want %v", c.query, limit, got, c.want)
				}
			}
		}
		if n := get[int64](t)(r.CountWorks(ctx, ours, Active)); n != 8 {
			t.Error(n)
		}
		l := get[List[Work]](t)(r.Works(ctx, ours, WorkQuery{}, Page{Limit: 1}))
		for _, p := range []Page{{Limit: -1}, {Limit: 1001}, {After: "x"}, {After: "!"}, {After: worksInState.cursor([]any{"a"})}} {
			if _, err := r.Works(ctx, ours, WorkQuery{}, p); err == nil {
				t.Errorf("%+v is accepted", p)
			}
		}
		if _, err := r.Works(ctx, ours, WorkQuery{Order: ByPath}, Page{After: l.Next}); err == nil {
			t.Error("a cursor of another list is accepted")
		}
		// With another tenant's cursor, one's own works after that key.
		if got := ids(get[List[Work]](t)(r.Works(ctx, Scope{"bank-b", Bank}, WorkQuery{}, Page{After: l.Next})).Items); !slices.Equal(got, []string{"b", "other"}) {
			t.Error(got)
		}
	})
}

func TestWorksByContentAndPath(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		put(t, r, ours, "w1")
		again := work("w2")
		again.SHA256, again.Path = work("w1").SHA256, work("w1").Path
		must(t, errOf(r.PutWorks(ctx, ours, []Work{again}, noon)))
		put(t, r, Scope{"bank-b", Bank}, "w1")
		row := get[[]any](t)(again.row(1, 0))
		if got := ids(get[[]Work](t)(r.WorksBySHA256(ctx, ours, [32]byte(row[8].([]byte))))); !slices.Equal(got, []string{"w1", "w2"}) {
			t.Error(got)
		}
		if got := ids(all(t, 1, func(p Page) (List[Work], error) { return r.WorksAt(ctx, ours, again.Path, p) })); !slices.Equal(got, []string{"w1", "w2"}) {
			t.Error(got)
		}
	})
}

func TestSearch(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		titles := map[string]string{"w1": "L'Été à Bréhat", "w2": "Lac des Bréviaires", "w3": "Lacs 2026", "w4": "'\" OR * ~1 山水画", "w5": ""}
		for _, id := range sortedKeys(titles) {
			w := work(id)
			w.Title, w.Creator, w.Keywords = titles[id], "Zoë "+id, []string{"brume-basse"}
			must(t, errOf(r.PutWorks(ctx, ours, []Work{w}, noon)))
		}
		put(t, r, Scope{"bank-b", Bank}, "w1", "other")
		for text, want := range map[string]string{"ete": "w1", "ÉTÉ": "w1", "bre*": "w1 w2", "bre": "", "bre lac*": "", "lac bre*": "w2", "lac": "w2", "lac*": "w2 w3", "lac des brev*": "w2", "la*": "w2 w3",
			"zoe": "w1 w2 w3 w4 w5", "brume basse": "w1 w2 w3 w4 w5", "basse w4": "w4", "山水*": "w4", "or": "w4", "l ete": "w1", "montagne": "", "lac of": "", "2026": "w3"} {
			got := ids(all(t, 2, func(p Page) (List[Work], error) { return r.SearchWorks(ctx, ours, text, p) }))
			if strings.Join(got, " ") != want {
				t.Errorf("%q: got %v, want %s", text, got, want)
			}
		}
		for _, bad := range []string{"", "' \" * ~", strings.Repeat("a ", 17), "\xff", "a\x00"} {
			if _, err := r.SearchWorks(ctx, ours, bad, Page{}); err == nil {
				t.Errorf("%q is looked for", bad)
			}
		}
		w := work("w2")
		w.Title = "Renamed"
		must(t, errOf(r.PutWorks(ctx, ours, []Work{w}, noon)))
		if got := ids(get[List[Work]](t)(r.SearchWorks(ctx, ours, "breviaires", Page{})).Items); got != nil {
			t.Error("found under its old title", got)
		}
		if got := ids(get[List[Work]](t)(r.SearchWorks(ctx, ours, "rena*", Page{})).Items); !slices.Equal(got, []string{"w2"}) {
			t.Error("not found under its new title", got)
		}
	})
}

func TestParties(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		put(t, r, ours, "w1", "w2")
		anna := Party{"anna", "Anna", []Identifier{{"ipi", "1"}, {"isni", "2"}}}
		changed(t, get[Changes](t)(r.PutParties(ctx, ours, []Party{anna, {"bo", "Bo", nil}})), Changes{Added: 4})
		changed(t, get[Changes](t)(r.PutParties(ctx, ours, []Party{anna})), Changes{Unchanged: 3})
		if got := get[Party](t)(r.PartyByIdentifier(ctx, ours, Identifier{"isni", "2"})); !cmp.Equal(got, anna) {
			t.Error(cmp.Diff(anna, got))
		}
		_, err := r.PutParties(ctx, ours, []Party{{"bo", "Bo", anna.Identifiers[1:]}})
		wants(t, err, ErrConflict)
		_, err = r.PutParties(ctx, ours, []Party{{"c", "C", []Identifier{{"isni", "9"}}}, {"d", "D", []Identifier{{"isni", "9"}}}})
		wants(t, err, ErrConflict)
		anna.Identifiers = anna.Identifiers[:1]
		changed(t, get[Changes](t)(r.PutParties(ctx, ours, []Party{anna})), Changes{Unchanged: 2, Removed: 1})
		_, err = r.PartyByIdentifier(ctx, ours, Identifier{"isni", "2"})
		wants(t, err, ErrNotFound)
		if got := all(t, 1, func(p Page) (List[Party], error) { return r.Parties(ctx, ours, p) }); !cmp.Equal(got, []Party{anna, {"bo", "Bo", nil}}) {
			t.Error(got)
		}

		shares := map[concepts.WorkID][]Share{"w1": {{"anna", 3333}, {"bo", 6667}}, "w2": {{"bo", 10000}}}
		changed(t, get[Changes](t)(r.PutShares(ctx, ours, shares)), Changes{Added: 3})
		changed(t, get[Changes](t)(r.PutShares(ctx, ours, shares)), Changes{Unchanged: 3})
		if got := get[map[concepts.WorkID][]Share](t)(r.SharesOf(ctx, ours, workIDs("w1", "w2", "w9"))); !cmp.Equal(got, shares) {
			t.Error(cmp.Diff(shares, got))
		}
		for _, bad := range [][]Share{{{"anna", 9999}}, {{"anna", 5000}, {"anna", 5000}}, {{"anna", 0}, {"bo", 10000}}, {{"anna", -1}, {"bo", 10001}}} {
			if _, err := r.PutShares(ctx, ours, map[concepts.WorkID][]Share{"w2": {{"anna", 10000}}, "w1": bad}); err == nil {
				t.Errorf("%v is accepted", bad)
			}
		}
		_, err = r.PutShares(ctx, ours, map[concepts.WorkID][]Share{"w1": {{"nobody", 10000}}})
		wants(t, err, ErrNotFound)
		_, err = r.PutShares(ctx, ours, map[concepts.WorkID][]Share{"w9": {{"anna", 10000}}})
		wants(t, err, ErrNotFound)
		changed(t, get[Changes](t)(r.PutShares(ctx, ours, map[concepts.WorkID][]Share{"w1": {{"bo", 10000}}, "w2": nil})), Changes{Changed: 1, Removed: 2})
		if got := all(t, 1, func(p Page) (List[WorkShare], error) { return r.WorksOfParty(ctx, ours, "bo", p) }); !cmp.Equal(got, []WorkShare{{"w1", 10000}}) {
			t.Error(got)
		}
	})
}

func TestGroups(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		stocked(t, r, ours)
		lacs := concepts.Concept{ID: "semantic/lacs", Kind: concepts.Semantic, Name: "Les lacs"}
		changed(t, get[Changes](t)(r.PutConcepts(ctx, ours, []concepts.Concept{lacs})), Changes{Changed: 1})
		m := concepts.Membership{Work: "w1", Concept: "semantic/lacs", Rule: "folder", Why: "in p"}
		changed(t, get[Changes](t)(r.PutMemberships(ctx, ours, workIDs("w1"), []concepts.Membership{m})), Changes{Unchanged: 1, Removed: 1})
		if got := all(t, 1, func(p Page) (List[concepts.Membership], error) {
			return r.WorksOfConcept(ctx, ours, "semantic/lacs", p)
		}); len(got) != 2 || got[0] != m {
			t.Error(got)
		}
		if got := get[[]concepts.Membership](t)(r.MembershipsOf(ctx, ours, workIDs("w2", "w1"))); len(got) != 2 || got[0] != m {
			t.Error(got)
		}
		if got := all(t, 1, func(p Page) (List[concepts.Concept], error) { return r.Concepts(ctx, ours, p) }); len(got) != 2 || got[1] != lacs {
			t.Error(got)
		}
		m.Work = "w9"
		_, err := r.PutMemberships(ctx, ours, workIDs("w9"), []concepts.Membership{m})
		wants(t, err, ErrNotFound)
		_, err = r.PutMemberships(ctx, ours, workIDs("w1"), []concepts.Membership{{Work: "w1", Concept: "style/x", Rule: "r", Why: "w"}})
		wants(t, err, ErrNotFound)
	})
}

// TestCodebookUnderPressure has many assign at once: numbers stay dense, and every caller gets the same one.
func TestCodebookUnderPressure(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		const callers, each = 8, 40
		got := make([]map[concepts.WorkID]int, callers)
		var wg sync.WaitGroup
		errs := make([]error, callers)
		for c := range callers {
			wg.Go(func() {
				got[c] = map[concepts.WorkID]int{}
				for i := 0; i < each && errs[c] == nil; i += 4 {
					var list []concepts.WorkID
					for k := range 4 { // half of them everybody wants
						id := numbered6("shared", i+k)
						if k%2 == 0 {
							id = fmt.Sprintf("own%d-%d", c, i+k)
						}
						list = append(list, concepts.WorkID(id))
					}
					var n []int
					n, errs[c] = r.AssignWorks(ctx, ours, "main", list)
					for k := range n {
						got[c][list[k]] = n[k]
					}
				}
			})
		}
		wg.Wait()
		must(t, errors.Join(errs...))
		book := get[*concepts.Codebook](t)(r.Codebook(ctx, ours, "main"))
		if want := each/2 + callers*each/2; book.Works() != want {
			t.Errorf("%d numbers, want %d", book.Works(), want)
		}
		for _, g := range got {
			for id, n := range g {
				if is, _ := book.WorkNumber(id); is != n {
					t.Errorf("%s is %d, and %d to who assigned it", id, is, n)
				}
			}
		}
	})
}

func TestCodebook(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		one := get[[]int](t)(r.AssignConcepts(ctx, ours, "main", []concepts.ConceptID{"style/b", "style/a", "style/b"}))
		two := get[[]int](t)(r.AssignWorks(ctx, ours, "main", workIDs("w2")))
		three := get[[]int](t)(r.AssignConcepts(ctx, ours, "main", []concepts.ConceptID{"style/c", "style/a"}))
		if !slices.Equal(one, []int{1, 2, 1}) || !slices.Equal(two, []int{1}) || !slices.Equal(three, []int{3, 2}) {
			t.Error(one, two, three)
		}
		text := get[[]byte](t)(get[*concepts.Codebook](t)(r.Codebook(ctx, ours, "main")).MarshalText())
		if want := "filigrane codebook v1\nc 1 style/b\nc 2 style/a\nw 1 w2\nc 3 style/c\n"; string(text) != want {
			t.Errorf("%s", text)
		}
		if got := get[map[concepts.ConceptID]int](t)(r.ConceptNumbers(ctx, ours, "main", []concepts.ConceptID{"style/c", "style/z"})); !cmp.Equal(got, map[concepts.ConceptID]int{"style/c": 3}) {
			t.Error(got)
		}
		if got := get[map[concepts.WorkID]int](t)(r.WorkNumbers(ctx, ours, "second", workIDs("w2"))); len(got) != 0 {
			t.Error(got)
		}
		many := make([]concepts.ConceptID, concepts.MaxConceptNumber-2)
		for i := range many {
			many[i] = concepts.ConceptID(numbered6("semantic/", i))
		}
		_, err := r.AssignConcepts(ctx, ours, "main", many)
		wants(t, err, concepts.ErrCodebookFull)
		if n := get[*concepts.Codebook](t)(r.Codebook(ctx, ours, "main")).Concepts(); n != 3 {
			t.Errorf("%d concepts after a refused call", n)
		}
	})
}

func TestLicences(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		stocked(t, r, ours)
		l := licenceOf("l1")
		changed(t, get[Changes](t)(r.PutLicence(ctx, ours, l, noon)), Changes{Unchanged: 1})
		l.Grantor = "bank-a"
		if got := get[Licence](t)(r.Licence(ctx, ours, "l1")); !cmp.Equal(got, l) {
			t.Error(cmp.Diff(l, got))
		}
		if got := all(t, 1, func(p Page) (List[Licence], error) { return r.ReceivedLicences(ctx, Scope{"provider-p", Provider}, p) }); !cmp.Equal(got, []Licence{l}) {
			t.Error(got)
		}
		other := l
		other.Purpose = "resale"
		_, err := r.PutLicence(ctx, ours, other, noon)
		wants(t, err, ErrConflict)
		other.ID, other.Catalogue.Version = "l2", 7
		_, err = r.PutLicence(ctx, ours, other, noon)
		wants(t, err, ErrNotFound)
		other.Catalogue.Version, other.End = 1, other.Start
		if _, err = r.PutLicence(ctx, ours, other, noon); err == nil {
			t.Error("a licence that ends when it starts")
		}
		if l.Covers("fine-tuning", l.End) || !l.Covers("fine-tuning", l.Start) || l.Covers("rag", noon) {
			t.Error("a licence covers what it should not, or not what it should")
		}
		changed(t, get[Changes](t)(r.RevokeLicence(ctx, ours, "l1", "breach", noon)), Changes{Changed: 1})
		changed(t, get[Changes](t)(r.RevokeLicence(ctx, ours, "l1", "again", noon.Add(time.Hour))), Changes{Unchanged: 1})
		changed(t, get[Changes](t)(r.PutLicence(ctx, ours, licenceOf("l1"), noon)), Changes{Unchanged: 1})
		if got := get[Licence](t)(r.Licence(ctx, ours, "l1")); got.Covers("fine-tuning", noon) || got.Why != "breach" {
			t.Error(got)
		}
		_, err = r.AddDelivery(ctx, ours, Delivery{ID: "d9", Licence: "l1", Spec: json.RawMessage(`{}`)}, noon)
		wants(t, err, ErrState)
		if got := all(t, 1, func(p Page) (List[Licence], error) { return r.Licences(ctx, ours, p) }); len(got) != 1 {
			t.Error(got)
		}
	})
}

// TestDeliveryStates tries every move between any two states.
func TestDeliveryStates(t *testing.T) {
	ways := map[DeliveryState][]DeliveryState{Planned: {}, Running: {Running}, Paused: {Running, Paused}, Failed: {Running, Failed}, Delivered: {Running, Delivered}, Cancelled: {Cancelled}}
	onBoth(t, func(t *testing.T, r *Registry) {
		stocked(t, r, ours)
		n := 0
		for from, way := range ways {
			for to := range ways {
				n++
				id := numbered6("x", n)
				must(t, errOf(r.AddDelivery(ctx, ours, Delivery{ID: id, Licence: "l1", Spec: json.RawMessage(`{}`)}, noon)))
				for _, step := range way {
					must(t, errOf(r.MoveDelivery(ctx, ours, id, step, "", nil, noon)))
				}
				c, err := r.MoveDelivery(ctx, ours, id, to, "why", json.RawMessage(`{"manifest":"x"}`), noon.Add(time.Minute))
				switch {
				case from == to:
					must(t, err)
					changed(t, c, Changes{Unchanged: 1})
				case slices.Contains(moves[from], to):
					must(t, err)
					got := get[Delivery](t)(r.Delivery(ctx, ours, id))
					steps := all(t, 2, func(p Page) (List[DeliveryStep], error) { return r.DeliverySteps(ctx, ours, id, p) })
					if got.State != to || got.Why != "why" || string(got.Result) != `{"manifest":"x"}` || len(steps) != len(way)+2 || steps[len(steps)-1] != (DeliveryStep{to, noon.Add(time.Minute), "why"}) {
						t.Errorf("%s to %s: %+v, steps %v", from, to, got, steps)
					}
				default:
					wants(t, err, ErrState)
				}
			}
		}
		for state := range ways {
			for _, d := range all(t, 3, func(p Page) (List[Delivery], error) { return r.Deliveries(ctx, ours, state, p) }) {
				if d.State != state {
					t.Errorf("%s among %s", d.State, state)
				}
				n--
			}
		}
		if n != -1 { // and d1
			t.Errorf("%d deliveries are in no state", n+1)
		}
	})
}

func TestItems(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		stocked(t, r, ours)
		refused := Item{Work: "w2", Refusal: "too_small", Detail: "10 pixels"}
		changed(t, get[Changes](t)(r.PutItems(ctx, ours, "d1", []Item{itemOf("w1"), refused})), Changes{Unchanged: 2})
		if got := all(t, 1, func(p Page) (List[Item], error) { return r.Items(ctx, ours, "d1", p) }); !cmp.Equal(got, []Item{itemOf("w1"), refused}) {
			t.Error(got)
		}
		if got := all(t, 1, func(p Page) (List[Item], error) { return r.RefusedItems(ctx, ours, "d1", p) }); !cmp.Equal(got, []Item{refused}) {
			t.Error(got)
		}
		if got := get[map[string]ItemCount](t)(r.CountItems(ctx, ours, "d1")); !cmp.Equal(got, map[string]ItemCount{"": {1, 1000}, "too_small": {1, 0}}) {
			t.Error(got)
		}
		again := itemOf("w1")
		again.SHA256 = itemOf("w2").SHA256
		c, err := r.PutItems(ctx, ours, "d1", []Item{itemOf("w3"), again})
		wants(t, err, ErrConflict)
		changed(t, c, Changes{})
		if got := get[[]Item](t)(r.ItemsOf(ctx, ours, "d1", workIDs("w1", "w3"))); !cmp.Equal(got, []Item{itemOf("w1")}) {
			t.Error("a refused batch left something", got)
		}
		changed(t, get[Changes](t)(r.PutItems(ctx, ours, "d1", []Item{itemOf("w2")})), Changes{Changed: 1})
		if got := all(t, 1, func(p Page) (List[Item], error) { return r.ItemsByShard(ctx, ours, "d1", "shard-000001", p) }); len(got) != 2 {
			t.Error(got)
		}
		if got := all(t, 1, func(p Page) (List[WorkDelivery], error) { return r.DeliveriesOfWork(ctx, ours, "w1", p) }); !cmp.Equal(got, []WorkDelivery{{"d1", itemOf("w1")}}) {
			t.Error(got)
		}
		must(t, errOf(r.MoveDelivery(ctx, ours, "d1", Delivered, "", nil, noon)))
		changed(t, get[Changes](t)(r.PutItems(ctx, ours, "d1", []Item{itemOf("w1")})), Changes{Unchanged: 1})
		_, err = r.PutItems(ctx, ours, "d1", []Item{itemOf("w3")})
		wants(t, err, ErrState)
		for _, bad := range []Item{{Work: "w1"}, {Work: "w1", SHA256: again.SHA256}, {Work: "w1", Refusal: "x"}, {Work: "w1", Refusal: "x", Detail: "y", Bytes: 1}} {
			if _, err := r.PutItems(ctx, ours, "d1", []Item{bad}); err == nil || errors.Is(err, ErrState) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}

func TestRecall(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		stocked(t, r, ours) // recalls w1
		want := Removal{"d1", "w1", itemOf("w1").SHA256, "ISCC:EEB", noon.Add(time.Hour), "consent withdrawn"}
		if got := all(t, 1, func(p Page) (List[Removal], error) { return r.Removals(ctx, ours, p) }); !cmp.Equal(got, []Removal{want}) {
			t.Error(got)
		}
		if got := all(t, 1, func(p Page) (List[Removal], error) {
			return r.ReceivedRemovals(ctx, Scope{"provider-p", Provider}, "bank-a", "d1", p)
		}); !cmp.Equal(got, []Removal{want}) {
			t.Error(got)
		}
		changed(t, get[Changes](t)(r.Recall(ctx, ours, workIDs("w1", "w2"), "more", noon)), Changes{Changed: 1, Unchanged: 1})
		must(t, errOf(r.PutItems(ctx, ours, "d1", []Item{itemOf("w2")}))) // a worker was in the middle of it
		changed(t, get[Changes](t)(r.Recall(ctx, ours, workIDs("w2"), "more", noon)), Changes{Added: 1, Unchanged: 1})
		put(t, r, ours, "w1")
		if got := get[Work](t)(r.Work(ctx, ours, "w1")); got.State != Recalled {
			t.Error("an import undid a recall")
		}
		_, err := r.Recall(ctx, ours, workIDs("w3", "w9"), "x", noon)
		wants(t, err, ErrNotFound)
		if got := get[Work](t)(r.Work(ctx, ours, "w3")); got.State != Active {
			t.Error("half of a failed recall stayed")
		}
	})
}

func TestIntake(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		stocked(t, r, ours)
		f := Refusal{"bad\n\xff.jpg", "truncated", "cut off", noon}
		long := Refusal{strings.Repeat("k/", 2048), "cyclic", "a link to itself", noon}
		changed(t, get[Changes](t)(r.PutRefusals(ctx, ours, []Refusal{f, long})), Changes{Added: 1, Unchanged: 1})
		if got := all(t, 1, func(p Page) (List[Refusal], error) { return r.Refusals(ctx, ours, "", p) }); !cmp.Equal(got, []Refusal{f, long}) {
			t.Error(got)
		}
		if got := all(t, 1, func(p Page) (List[Refusal], error) { return r.Refusals(ctx, ours, "cyclic", p) }); !cmp.Equal(got, []Refusal{long}) {
			t.Error(got)
		}
		changed(t, get[Changes](t)(r.DropRefusals(ctx, ours, []string{f.Name, "unknown"})), Changes{Removed: 1, Unchanged: 1})

		v := Reservation{Work: "w3", Protocol: "tdmrep", Raw: []byte(`{"tdm-reservation":1}`), URL: "https://bank.example/x", Found: noon.Add(time.Hour)}
		changed(t, get[Changes](t)(r.PutReservations(ctx, ours, []Reservation{v})), Changes{Unchanged: 1})
		got := get[[]Reservation](t)(r.ReservationsOf(ctx, ours, workIDs("w3")))
		// printf '{"tdm-reservation":1}' | sha256sum
		v.SHA256, v.Found = "cea7af242ec129e65d925b1a3594b6672458abaa2a9a65f515b9f167131bd9f8", noon
		if len(got) != 1 || !cmp.Equal(got[0], v) {
			t.Error(cmp.Diff(v, got[0]))
		}
		site := Reservation{Path: "archive/", Protocol: "robots", Raw: []byte{0, 0xff}, URL: "u", Found: noon}
		changed(t, get[Changes](t)(r.PutReservations(ctx, ours, []Reservation{site})), Changes{Added: 1})
		if got := all(t, 1, func(p Page) (List[Reservation], error) { return r.Reservations(ctx, ours, p) }); len(got) != 2 || string(got[1].Raw) != "\x00\xff" {
			t.Error(got)
		}

		todo := Todo{Work: "w3", Field: "creator", Why: "nobody can be paid"}
		more := Todo{Work: "w3", Field: "date", Why: "expiry"}
		changed(t, get[Changes](t)(r.PutTodos(ctx, ours, workIDs("w3"), []Todo{todo, more}, noon.Add(time.Hour))), Changes{Added: 1, Unchanged: 1})
		todo.Since, more.Since = noon, noon.Add(time.Hour)
		if got := all(t, 1, func(p Page) (List[Todo], error) { return r.Todos(ctx, ours, "", p) }); !cmp.Equal(got, []Todo{todo, more}) {
			t.Error(got)
		}
		changed(t, get[Changes](t)(r.PutTodos(ctx, ours, workIDs("w3"), []Todo{more}, noon)), Changes{Unchanged: 1, Removed: 1})
		if got := get[[]Todo](t)(r.TodosOf(ctx, ours, workIDs("w3"))); !cmp.Equal(got, []Todo{more}) {
			t.Error(got)
		}
		if got := all(t, 1, func(p Page) (List[Todo], error) { return r.Todos(ctx, ours, "creator", p) }); len(got) != 0 {
			t.Error(got)
		}
	})
}

// TestInTx: calls and a caller's own rows are committed together, or not at all.
func TestInTx(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		job := func(r *Registry) (err error) { // as a queue would
			if tx := r.PgxTx(); tx != nil {
				_, err = tx.Exec(ctx, "CREATE TABLE tickets (n integer)")
			} else {
				_, err = r.SQLTx().Exec("CREATE TABLE tickets (n integer)")
			}
			return err
		}
		fault := errors.New("the worker died")
		for _, end := range []error{fault, nil} {
			err := r.InTx(ctx, func(r *Registry) error {
				if _, err := r.AddTenant(ctx, ops, Tenant{ID: "new", Kind: Bank}, noon); err != nil {
					return err
				}
				put(t, r, Scope{"new", Bank}, "w1")
				if got := get[Work](t)(r.Work(ctx, Scope{"new", Bank}, "w1")); got.ID != "w1" {
					t.Error("a transaction does not see its own work")
				}
				return errors.Join(job(r), end)
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
			_, err = r.Work(ctx, Scope{"new", Bank}, "w1")
			if end == nil {
				must(t, err)
			} else {
				wants(t, err, ErrNotFound)
			}
		}
		if (r.Pool() == nil) == (r.SQL() == nil) || r.PgxTx() != nil || r.SQLTx() != nil {
			t.Error("handles")
		}
	})
}

// TestWritersAtOnce: of many who put the same works one adds them, and nobody fails.
func TestWritersAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		const writers = 6
		var list []Work
		for i := range 200 {
			list = append(list, work(numbered6("w", i)))
		}
		var wg sync.WaitGroup
		changes, errs := make([]Changes, writers), make([]error, writers)
		for i := range writers {
			wg.Go(func() {
				mine := slices.Clone(list)
				if i%2 == 1 {
					slices.Reverse(mine)
				}
				changes[i], errs[i] = r.PutWorks(ctx, ours, mine, noon)
			})
		}
		wg.Wait()
		must(t, errors.Join(errs...))
		var sum Changes
		for _, c := range changes {
			sum.Add(c)
		}
		changed(t, sum, Changes{Added: 200, Unchanged: 200 * (writers - 1)})
	})
}

func TestUnnamed(t *testing.T) {
	for text, want := range map[string]string{"a = $1 AND b IN ($2,$3)": "a = ? AND b IN (?,?)", "a = $1 AND b > $2 AND c < $2": "a = $1 AND b > $2 AND c < $2",
		"a = $2 AND b = $1": "a = $2 AND b = $1", "SELECT 1": "SELECT 1", "$1$2$3$4$5$6$7$8$9$10$11": "???????????"} {
		if got := unnamed(text); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// TestKilledWriter kills processes that write to SQLite's file at many moments. What a call had reported is there, and
// of no call there is a half.
func TestKilledWriter(t *testing.T) {
	if place := os.Getenv("REGISTRY_TEST_WRITER"); place != "" {
		writeUntilKilled(t, place)
	}
	place := filepath.Join(t.TempDir(), "registry.db")
	fresh(t, place).Close()
	reported := 0
	for round := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledWriter$")
		cmd.Env = append(os.Environ(), "REGISTRY_TEST_WRITER="+place)
		out := get[io.ReadCloser](t)(cmd.StdoutPipe())
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for range 3 + round*5 {
			if !lines.Scan() {
				t.Fatal("the writer has stopped by itself")
			}
			must(t, errOf2(fmt.Sscan(lines.Text(), &reported)))
		}
		must(t, cmd.Process.Kill())
		for lines.Scan() { // what it had said before it died
			fmt.Sscan(lines.Text(), &reported)
		}
		cmd.Wait()
		r, err := Open(ctx, place)
		must(t, err)
		n := len(all(t, 1000, func(p Page) (List[Work], error) { return r.Works(ctx, ours, WorkQuery{}, p) }))
		if found := len(all(t, 1000, func(p Page) (List[Work], error) { return r.SearchWorks(ctx, ours, "lac", p) })); n%3 != 0 || n < reported || found != n {
			t.Errorf("%d works, %d of them found, where %d were reported in threes", n, found, reported)
		}
		r.Close()
	}
}

// writeUntilKilled puts works three by three and says how many there are.
func writeUntilKilled(t *testing.T, place string) {
	r, err := Open(ctx, place)
	must(t, err)
	n := len(all(t, 1000, func(p Page) (List[Work], error) { return r.Works(ctx, ours, WorkQuery{}, p) }))
	for {
		put(t, r, ours, fmt.Sprint("w", n), fmt.Sprint("w", n+1), fmt.Sprint("w", n+2))
		n += 3
		fmt.Println(n)
	}
}

func errOf2(_ int, err error) error { return err }
