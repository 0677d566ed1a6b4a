package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/registry/pgtest"
	"github.com/filigrane/filigrane/mark"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var (
	ctx  = context.Background()
	noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ops  = Scope{Role: Operator}
	ours = Scope{Tenant: "bank-a", Role: Bank}
)

// drivers gives empty places for a database of either kind.
var drivers = []struct {
	name  string
	place func(t testing.TB) string
}{
	{"sqlite", func(t testing.TB) string { return filepath.Join(t.TempDir(), "registry.db") }},
	{"postgres", func(t testing.TB) string { return pgtest.New(t) }},
}

// onBoth runs a test on an empty database of either kind with tenants bank-a, bank-b and provider-p.
func onBoth(t *testing.T, test func(t *testing.T, r *Registry)) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) { test(t, fresh(t, d.place(t))) })
	}
}

func fresh(t testing.TB, place string) *Registry {
	t.Helper()
	r, err := Open(ctx, place)
	must(t, err)
	t.Cleanup(func() { r.Close() })
	for id, kind := range map[string]Role{"bank-a": Bank, "bank-b": Bank, "provider-p": Provider} {
		_, err := r.AddTenant(ctx, ops, Tenant{ID: id, Kind: kind, Name: id}, noon)
		must(t, err)
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// get is must for calls that give something.
func get[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func wants(t testing.TB, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got %v, want %v", err, kind)
	}
}

func changed(t testing.TB, got, want Changes) {
	t.Helper()
	if got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// work makes a work of a name; the same name makes the same work.
func work(id string) Work {
	h := sha256.Sum256([]byte(id))
	return Work{Work: concepts.Work{ID: concepts.WorkID(id), Path: "p/" + id + ".jpg", SHA256: hex.EncodeToString(h[:]), Width: 640, Height: 480, Format: "jpeg",
		Title: "Lac de " + id, Creator: "Anna Berg", Keywords: []string{"brume", "montagne"}, RightsHolder: "Studio Berg",
		Columns: []concepts.Column{{Name: "collection", Value: "été"}, {Name: "licence", Value: "a & b <c>"}}},
		Bytes: 1234, ISCC: "ISCC:EEA"}
}

func put(t testing.TB, r *Registry, s Scope, ids ...string) {
	t.Helper()
	var list []Work
	for _, id := range ids {
		list = append(list, work(id))
	}
	_, err := r.PutWorks(ctx, s, list, noon)
	must(t, err)
}

// all turns the pages of a list.
func all[T any](t testing.TB, limit int, f func(p Page) (List[T], error)) (items []T) {
	t.Helper()
	for after := ""; ; {
		l, err := f(Page{after, limit})
		must(t, err)
		if len(l.Items) > limit || l.Next != "" && len(l.Items) < limit {
			t.Fatalf("a page of %d with %d items, and then %q", limit, len(l.Items), l.Next)
		}
		items = append(items, l.Items...)
		if after = l.Next; after == "" {
			return items
		}
	}
}

func ids(list []Work) (out []string) {
	for _, w := range list {
		out = append(out, string(w.ID))
	}
	return out
}

func workIDs(list ...string) (out []concepts.WorkID) {
	for _, id := range list {
		out = append(out, concepts.WorkID(id))
	}
	return out
}

// stocked fills a tenant with something of everything: three works, two concepts, catalogue "spring" with one version,
// licence l1 to provider-p, delivery d1 with two items (one refused), and the rest.
func stocked(t testing.TB, r *Registry, s Scope) {
	t.Helper()
	put(t, r, s, "w1", "w2", "w3")
	do := func(_ Changes, err error) {
		t.Helper()
		must(t, err)
	}
	do(r.PutParties(ctx, s, []Party{{"anna", "Anna Berg", []Identifier{{"isni", "0000000121032683"}, {"ipi", "00052210040"}}}, {"bo", "Bo", nil}}))
	do(r.PutShares(ctx, s, map[concepts.WorkID][]Share{"w1": {{"anna", 3333}, {"bo", 6667}}, "w2": {{"anna", WholeShare}}}))
	do(r.PutConcepts(ctx, s, []concepts.Concept{{ID: "semantic/lacs", Kind: concepts.Semantic, Name: "Lacs"}, {ID: "owner/anna", Kind: concepts.Owner, Name: "Anna"}}))
	do(r.PutMemberships(ctx, s, workIDs("w1", "w2"), []concepts.Membership{{Work: "w1", Concept: "semantic/lacs", Rule: "folder", Why: "in p"},
		{Work: "w1", Concept: "owner/anna", Rule: "creator", Why: "by her"}, {Work: "w2", Concept: "semantic/lacs", Rule: "folder", Why: "in p"}}))
	_, _, err := r.FreezeCatalogue(ctx, s, "spring", noon)
	must(t, err)
	_, err = r.AssignConcepts(ctx, s, "main", []concepts.ConceptID{"semantic/lacs"})
	must(t, err)
	_, err = r.AssignWorks(ctx, s, "main", workIDs("w2", "w1"))
	must(t, err)
	do(r.PutLicence(ctx, s, licenceOf("l1"), noon))
	do(r.AddDelivery(ctx, s, Delivery{ID: "d1", Licence: "l1", Spec: json.RawMessage(`{"geometry":"square:512"}`)}, noon))
	do(r.MoveDelivery(ctx, s, "d1", Running, "begun", nil, noon))
	do(r.PutItems(ctx, s, "d1", []Item{itemOf("w1"), {Work: "w2", Refusal: "too_small", Detail: "10 pixels"}}))
	do(r.PutRefusals(ctx, s, []Refusal{{"bad\n\xff.jpg", "truncated", "cut off", noon}}))
	do(r.PutReservations(ctx, s, []Reservation{{Work: "w3", Protocol: "tdmrep", Raw: []byte(`{"tdm-reservation":1}`), URL: "https://bank.example/x", Found: noon}}))
	do(r.PutTodos(ctx, s, workIDs("w3"), []Todo{{Work: "w3", Field: "creator", Why: "nobody can be paid"}}, noon))
	gone := objectOf("w3")
	gone.Missing = true
	do(r.PutObjects(ctx, s, []Object{objectOf("w1"), objectOf("w2"), gone}))
	do(r.SetSiteRules(ctx, s, "tdmrep", []byte("[]"), noon))
	do(r.Recall(ctx, s, workIDs("w1"), "consent withdrawn", noon.Add(time.Hour)))
	stockedJob(t, r, s)
	do(r.SetMasters(ctx, s, "/masters of the bank", noon))
	do(r.ClaimKey(ctx, s, "57282719c47b4ba1", noon))
	do(r.SetBankTable(ctx, s, []byte("file,title\nx.jpg,\"X\"\n"), noon))
	do(r.PutStory(ctx, s, Ref{"spring", 1}, json.RawMessage(`{"rules":["folder"]}`), noon))
	do(r.AddMarking(ctx, s, markingOf("l1"), noon))
	do(r.PutDescriptors(ctx, s, map[concepts.WorkID][]float64{"w1": descriptor(1)}))
}

func markingOf(licence string) Marking {
	return Marking{Path: mark.Path{Bank: "Bank A", Catalogue: "spring@1", Licence: licence, Purpose: "training", Epoch: 1}, Profile: 1, Resolution: 512, Place: "/deliveries/d1"}
}

// descriptor makes numbers that no rounding keeps.
func descriptor(seed float64) (v []float64) {
	for i := range concepts.DescriptorLen {
		v = append(v, math.Sqrt(seed+float64(i))/3)
	}
	return v
}

func licenceOf(id string) Licence {
	return Licence{ID: id, Licensee: "provider-p", Party: "Provider P", Purpose: "training", Stages: []string{"fine-tuning", "pre-training"},
		Start: noon.Add(-time.Hour), End: noon.Add(24 * time.Hour), Territory: []string{"FR", "world"}, Catalogue: Ref{"spring", 1}}
}

func objectOf(id string) Object {
	w := work(id)
	return Object{Name: w.Path, Bytes: w.Bytes, Modified: noon.Add(123456789 * time.Nanosecond), ETag: "e", SHA256: w.SHA256, Work: w.ID, IDs: []string{id, "GUID " + id}, Outside: "x", Reserved: ByFile}
}

func itemOf(id string) Item {
	h := sha256.Sum256([]byte("marked " + id))
	return Item{Work: concepts.WorkID(id), Shard: "shard-000001", SHA256: hex.EncodeToString(h[:]), ISCC: "ISCC:EEB", Bytes: 1000, PSNRDB: 42.25, SSIM: 0.9875}
}

func numbered6(prefix string, n int) string { return fmt.Sprintf("%s%06d", prefix, n) }

// stockedJob adds job j1, a delivery in its second stage of three parts, of which one is done and one is in the hands of
// worker-1.
func stockedJob(t testing.TB, r *Registry, s Scope) {
	t.Helper()
	must(t, errOf(r.AddJob(ctx, s, jobOf("j1"), noon)))
	must(t, r.AddWorker(ctx, ops, Worker{ID: "worker-1", Host: "h", PID: 1}))
	first := get[*Begun](t)(r.BeginPart(ctx, s, get[[]Ticket](t)(r.IssueParts(ctx, s, "j1", 5, noon))[0], "worker-1", noon))
	must(t, errOf2(endPart(r, s, Ticket{"j1", 1, first.Part.Stage, 0}, PartEnd{Total: 3, Then: Stage{"mark", 3}})))
	for _, ticket := range get[[]Ticket](t)(r.IssueParts(ctx, s, "j1", 2, noon)) {
		get[*Begun](t)(r.BeginPart(ctx, s, ticket, "worker-1", noon))
	}
	must(t, errOf2(endPart(r, s, Ticket{"j1", 1, "mark", 0}, PartEnd{Done: 1, Then: Stage{"seal", 1}})))
	must(t, r.NoteParts(ctx, s, "worker-1", []PartNote{{Ticket: Ticket{"j1", 1, "mark", 1}, Done: 1, Refused: 1, Hand: "w2"}}, noon))
}

func jobOf(id string) Job {
	return Job{ID: id, Kind: DeliveryJob, Subject: "d1", Spec: json.RawMessage(`{"geometry":"square:512"}`), Priority: 2, First: "plan"}
}

// endPart tells 1 if the part was the last of its stage.
func endPart(r *Registry, s Scope, t Ticket, e PartEnd) (int, error) {
	_, moved, err := r.EndPart(ctx, s, t, e, noon)
	if moved {
		return 1, err
	}
	return 0, err
}
