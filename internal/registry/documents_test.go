package registry

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/concepts"
)

func TestDocuments(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		if got := get[string](t)(r.Masters(ctx, ours)); got != "" {
			t.Errorf("masters before any: %q", got)
		}
		changed(t, get[Changes](t)(r.SetMasters(ctx, ours, "/photos", noon)), Changes{Added: 1})
		changed(t, get[Changes](t)(r.SetMasters(ctx, ours, "/photos", noon.Add(1))), Changes{Unchanged: 1})
		changed(t, get[Changes](t)(r.SetMasters(ctx, ours, "s3://bank/photos?region=eu", noon)), Changes{Changed: 1})
		if got := get[string](t)(r.Masters(ctx, ours)); got != "s3://bank/photos?region=eu" {
			t.Error(got)
		}
		for _, bad := range []string{"", "s3://user:geheim@bank/photos", "a\x00b", "s3://%zz"} {
			if _, err := r.SetMasters(ctx, ours, bad, noon); err == nil || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%q: %v", bad, err)
			}
		}

		changed(t, get[Changes](t)(r.ClaimKey(ctx, ours, "57282719c47b4ba1", noon)), Changes{Added: 1})
		changed(t, get[Changes](t)(r.ClaimKey(ctx, ours, "57282719c47b4ba1", noon)), Changes{Unchanged: 1})
		_, err := r.ClaimKey(ctx, ours, "0000000000000000", noon)
		wants(t, err, ErrConflict)
		changed(t, get[Changes](t)(r.ClaimKey(ctx, Scope{"bank-b", Bank}, "0000000000000000", noon)), Changes{Added: 1})

		noise := make([]byte, 3*partBytes+17) // of several parts, since it cannot be compressed
		rand.NewChaCha8([32]byte{1}).Read(noise)
		for _, want := range [][]byte{{}, noise, []byte("file,title\n"), bytes.Repeat([]byte("file"), 1<<20)} {
			get[Changes](t)(r.SetBankTable(ctx, ours, want, noon))
			got, found, err := r.BankTable(ctx, ours)
			if must(t, err); !found || !bytes.Equal(got, want) {
				t.Errorf("%d bytes came back as %d", len(want), len(got))
			}
		}
		if _, found, err := r.BankTable(ctx, Scope{"bank-b", Bank}); err != nil || found {
			t.Error("another bank's table", err)
		}
	})
}

func TestStories(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		put(t, r, ours, "w1")
		_, _, err := r.FreezeCatalogue(ctx, ours, "spring", noon)
		must(t, err)
		ref := Ref{"spring", 1}
		if story := get[json.RawMessage](t)(r.Story(ctx, ours, ref)); story != nil {
			t.Errorf("%s", story)
		}
		story := json.RawMessage(`{"rules":["folder"],"ungrouped":[{"work":"w1","reason":"größer"}]}`)
		changed(t, get[Changes](t)(r.PutStory(ctx, ours, ref, story, noon)), Changes{Added: 1})
		changed(t, get[Changes](t)(r.PutStory(ctx, ours, ref, story, noon.Add(time.Hour))), Changes{Unchanged: 1})
		if got := get[json.RawMessage](t)(r.Story(ctx, ours, ref)); !bytes.Equal(got, story) {
			t.Errorf("%s", got)
		}
		_, err = r.PutStory(ctx, ours, ref, json.RawMessage(`{}`), noon)
		wants(t, err, ErrConflict)
		_, err = r.PutStory(ctx, ours, Ref{"spring", 2}, story, noon)
		wants(t, err, ErrNotFound)
		_, err = r.Story(ctx, Scope{"bank-b", Bank}, ref)
		wants(t, err, ErrNotFound)
		if _, err := r.PutStory(ctx, ours, ref, json.RawMessage(`{`), noon); err == nil {
			t.Error("half a document")
		}
	})
}

func TestMarkings(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		var want []Marking
		for _, licence := range []string{"z", "a", "m"} {
			m := markingOf(licence)
			changed(t, get[Changes](t)(r.AddMarking(ctx, ours, m, noon)), Changes{Added: 1})
			changed(t, get[Changes](t)(r.AddMarking(ctx, ours, m, noon.Add(time.Hour))), Changes{Unchanged: 1})
			m.Added = noon
			want = append(want, m)
		}
		got := all(t, 2, func(p Page) (List[Marking], error) { return r.Markings(ctx, ours, p) })
		if !cmp.Equal(got, want) {
			t.Error(cmp.Diff(want, got))
		}
		bad := markingOf("l")
		bad.Profile = 0
		if _, err := r.AddMarking(ctx, ours, bad, noon); err == nil {
			t.Error("no profile")
		}
	})
}

func TestDescriptors(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		put(t, r, ours, "w1", "w2", "w3")
		want := map[concepts.WorkID][]float64{"w1": descriptor(1), "w2": descriptor(2)}
		changed(t, get[Changes](t)(r.PutDescriptors(ctx, ours, want)), Changes{Added: 2})
		changed(t, get[Changes](t)(r.PutDescriptors(ctx, ours, want)), Changes{Unchanged: 2})
		got := get[map[concepts.WorkID][]float64](t)(r.DescriptorsOf(ctx, ours, workIDs("w1", "w2", "w3", "w4")))
		if !cmp.Equal(got, want) { // to the last bit
			t.Error(cmp.Diff(want, got))
		}
		_, err := r.PutDescriptors(ctx, ours, map[concepts.WorkID][]float64{"nobody": descriptor(1)})
		wants(t, err, ErrNotFound)
		if _, err := r.PutDescriptors(ctx, ours, map[concepts.WorkID][]float64{"w1": {1}}); err == nil {
			t.Error("one number")
		}
	})
}

// TestVersionOfDelivery: a licence covers later versions of its catalogue too, and no other catalogue.
func TestVersionOfDelivery(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		freeze := func(name string, works ...string) {
			put(t, r, ours, works...)
			_, _, err := r.FreezeCatalogue(ctx, ours, name, noon)
			must(t, err)
		}
		freeze("spring", "w1")
		freeze("spring", "w2")
		freeze("spring", "w3")
		freeze("autumn", "w4")
		l := licenceOf("l1")
		l.Catalogue.Version = 2
		must(t, errOf(r.PutLicence(ctx, ours, l, noon)))
		add := func(id string, ref Ref) error {
			return errOf(r.AddDelivery(ctx, ours, Delivery{ID: id, Licence: "l1", Catalogue: ref, Spec: json.RawMessage(`{}`)}, noon))
		}
		must(t, add("a", Ref{}))
		must(t, add("b", Ref{"spring", 3}))
		must(t, add("b", Ref{"spring", 3}))
		wants(t, add("b", Ref{"spring", 2}), ErrConflict)
		wants(t, add("c", Ref{"spring", 1}), ErrConflict)
		wants(t, add("c", Ref{"autumn", 1}), ErrConflict)
		wants(t, add("c", Ref{"spring", 4}), ErrNotFound)
		for id, want := range map[string]Ref{"a": {"spring", 2}, "b": {"spring", 3}} {
			if got := get[Delivery](t)(r.Delivery(ctx, ours, id)); got.Catalogue != want {
				t.Errorf("delivery %s is of %v, want %v", id, got.Catalogue, want)
			}
		}
		under := all(t, 1, func(p Page) (List[Delivery], error) { return r.DeliveriesUnder(ctx, ours, "l1", p) })
		if len(under) != 2 || under[0].ID != "a" {
			t.Errorf("%+v", under)
		}
		early := licenceOf("l2") // it may be ready before the licence's first day
		early.Start, early.End = noon.Add(24*time.Hour), noon.Add(48*time.Hour)
		must(t, errOf(r.PutLicence(ctx, ours, early, noon)))
		must(t, errOf(r.AddDelivery(ctx, ours, Delivery{ID: "e", Licence: "l2", Spec: json.RawMessage(`{}`)}, noon)))
		wants(t, errOf(r.AddDelivery(ctx, ours, Delivery{ID: "f", Licence: "l2", Spec: json.RawMessage(`{}`)}, noon.Add(48*time.Hour))), ErrState)
		// One that was made before the registry knew of it is taken over whatever became of its licence, and says so.
		must(t, errOf(r.RevokeLicence(ctx, ours, "l2", "x", noon)))
		must(t, errOf(r.AddDelivery(ctx, ours, Delivery{ID: "f", Licence: "l2", Spec: json.RawMessage(`{}`), Adopted: true}, noon.Add(48*time.Hour))))
		for id, want := range map[string]string{"e": "", "f": "adopted"} {
			if steps := get[List[DeliveryStep]](t)(r.DeliverySteps(ctx, ours, id, Page{})).Items; len(steps) != 1 || steps[0].Why != want {
				t.Errorf("delivery %s: %+v", id, steps)
			}
		}
	})
}

func TestCounts(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		stocked(t, r, ours)
		want := Counts{Works: map[WorkState]int64{Active: 2, Recalled: 1}, Deliveries: map[DeliveryState]int64{Running: 1}, Catalogues: 1, Concepts: 1, Numbered: 2,
			Licences: 1, Refusals: 1, Reservations: 1, Todos: 1, Removals: 1, Markings: 1, Described: 1}
		if got := get[Counts](t)(r.Counts(ctx, ours)); !cmp.Equal(got, want) {
			t.Error(cmp.Diff(want, got))
		}
		if got := get[Counts](t)(r.Counts(ctx, Scope{"bank-b", Bank})); !cmp.Equal(got, Counts{Works: map[WorkState]int64{}, Deliveries: map[DeliveryState]int64{}}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestDeliveriesOfBefore: a database of before migration 4 keeps its deliveries, of the version their licences bind.
func TestDeliveriesOfBefore(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		stocked(t, r, ours)
		before := get[Delivery](t)(r.Delivery(ctx, ours, "d1"))
		text, err := migrations.ReadFile("migrations/00004_command.sql")
		must(t, err)
		var alter []string
		for statement := range strings.SplitSeq(string(text), ";") {
			if strings.Contains(statement, "ALTER TABLE") || strings.Contains(statement, "UPDATE") {
				lines := strings.Split(strings.TrimSpace(statement), "\n")
				alter = append(alter, lines[len(lines)-1])
			}
		}
		if len(alter) != 2 {
			t.Fatalf("%q", alter)
		}
		for _, statement := range append([]string{"ALTER TABLE deliveries DROP COLUMN version"}, alter...) {
			if r.pool != nil {
				_, err = r.pool.Exec(ctx, statement)
			} else {
				_, err = r.writer.Exec(statement)
			}
			must(t, err)
		}
		if got := get[Delivery](t)(r.Delivery(ctx, ours, "d1")); !cmp.Equal(got, before) {
			t.Error(cmp.Diff(before, got))
		}
	})
}
