package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/registry/pgtest"
)

// calls makes every call with the ids of what stocked puts into bank-a. A method without a line fails the test below.
var calls = map[string]func(r *Registry, s Scope) (any, error){
	"AddTenant": func(r *Registry, s Scope) (any, error) {
		return r.AddTenant(ctx, s, Tenant{ID: "bank-c", Kind: Bank}, noon)
	},
	"Tenants": func(r *Registry, s Scope) (any, error) { return r.Tenants(ctx, s, Page{}) },
	"Tenant":  func(r *Registry, s Scope) (any, error) { return r.Tenant(ctx, s) },
	"Sums":    func(r *Registry, s Scope) (any, error) { _, err := r.Sums(ctx, s); return nil, err },
	"Dump": func(r *Registry, s Scope) (any, error) {
		_, err := r.Dump(ctx, s, new(bytes.Buffer), noon)
		return nil, err
	},
	"Snapshot": func(r *Registry, s Scope) (any, error) { return nil, r.Snapshot(ctx, s, "/nowhere/x") },

	"PutWorks":      func(r *Registry, s Scope) (any, error) { return r.PutWorks(ctx, s, []Work{work("w1")}, noon) },
	"SetWorkState":  func(r *Registry, s Scope) (any, error) { return r.SetWorkState(ctx, s, workIDs("w3"), Missing, noon) },
	"Recall":        func(r *Registry, s Scope) (any, error) { return r.Recall(ctx, s, workIDs("w2"), "x", noon) },
	"Work":          func(r *Registry, s Scope) (any, error) { return r.Work(ctx, s, "w2") },
	"WorksByID":     func(r *Registry, s Scope) (any, error) { return r.WorksByID(ctx, s, workIDs("w1", "w2", "w3")) },
	"WorksBySHA256": func(r *Registry, s Scope) (any, error) { return r.WorksBySHA256(ctx, s, sha("w2")) },
	"Works":         func(r *Registry, s Scope) (any, error) { return r.Works(ctx, s, WorkQuery{Order: ByChanged}, Page{}) },
	"WorksAt":       func(r *Registry, s Scope) (any, error) { return r.WorksAt(ctx, s, "p/w2.jpg", Page{}) },
	"SearchWorks":   func(r *Registry, s Scope) (any, error) { return r.SearchWorks(ctx, s, "lac", Page{}) },
	"CountWorks":    func(r *Registry, s Scope) (any, error) { return r.CountWorks(ctx, s, Active) },

	"PutParties": func(r *Registry, s Scope) (any, error) {
		return r.PutParties(ctx, s, []Party{{"anna", "Eve", []Identifier{{"isni", "0000000121032683"}}}})
	},
	"PutShares": func(r *Registry, s Scope) (any, error) {
		return r.PutShares(ctx, s, map[concepts.WorkID][]Share{"w2": {{"bo", WholeShare}}})
	},
	"Parties": func(r *Registry, s Scope) (any, error) { return r.Parties(ctx, s, Page{}) },
	"PartyByIdentifier": func(r *Registry, s Scope) (any, error) {
		return r.PartyByIdentifier(ctx, s, Identifier{"ipi", "00052210040"})
	},
	"SharesOf":     func(r *Registry, s Scope) (any, error) { return r.SharesOf(ctx, s, workIDs("w1", "w2")) },
	"WorksOfParty": func(r *Registry, s Scope) (any, error) { return r.WorksOfParty(ctx, s, "anna", Page{}) },

	"PutConcepts": func(r *Registry, s Scope) (any, error) {
		return r.PutConcepts(ctx, s, []concepts.Concept{{ID: "owner/anna", Kind: concepts.Owner, Name: "Eve"}})
	},
	"PutMemberships": func(r *Registry, s Scope) (any, error) { return r.PutMemberships(ctx, s, workIDs("w2"), nil) },
	"Concepts":       func(r *Registry, s Scope) (any, error) { return r.Concepts(ctx, s, Page{}) },
	"MembershipsOf":  func(r *Registry, s Scope) (any, error) { return r.MembershipsOf(ctx, s, workIDs("w1", "w2")) },
	"WorksOfConcept": func(r *Registry, s Scope) (any, error) { return r.WorksOfConcept(ctx, s, "semantic/lacs", Page{}) },

	"FreezeCatalogue": func(r *Registry, s Scope) (any, error) {
		v, _, err := r.FreezeCatalogue(ctx, s, "spring", noon)
		return v, err
	},
	"AddCatalogue": func(r *Registry, s Scope) (any, error) {
		f, err := concepts.Catalogue{Name: "spring", Version: 2, Works: []concepts.Work{work("w1").Work}}.Freeze()
		if err != nil {
			return nil, err
		}
		v, _, err := r.AddCatalogue(ctx, s, f, noon)
		return v, err
	},
	"Catalogues":        func(r *Registry, s Scope) (any, error) { return r.Catalogues(ctx, s, Page{}) },
	"CatalogueVersion":  func(r *Registry, s Scope) (any, error) { return r.CatalogueVersion(ctx, s, Ref{"spring", 1}) },
	"CheckCatalogue":    func(r *Registry, s Scope) (any, error) { return nil, r.CheckCatalogue(ctx, s, Ref{"spring", 1}) },
	"LoadCatalogue":     func(r *Registry, s Scope) (any, error) { return r.LoadCatalogue(ctx, s, Ref{"spring", 1}) },
	"CatalogueWorks":    func(r *Registry, s Scope) (any, error) { return r.CatalogueWorks(ctx, s, Ref{"spring", 1}, Page{}) },
	"CatalogueConcepts": func(r *Registry, s Scope) (any, error) { return r.CatalogueConcepts(ctx, s, Ref{"spring", 1}, Page{}) },
	"CatalogueMembers":  func(r *Registry, s Scope) (any, error) { return r.CatalogueMembers(ctx, s, Ref{"spring", 1}, Page{}) },
	"CatalogueDiff":     func(r *Registry, s Scope) (any, error) { return r.CatalogueDiff(ctx, s, "spring", 1, 2, Page{}) },
	"CatalogueGone":     func(r *Registry, s Scope) (any, error) { return r.CatalogueGone(ctx, s, "spring", 1, 2, Page{}) },

	"AssignConcepts": func(r *Registry, s Scope) (any, error) {
		return r.AssignConcepts(ctx, s, "main", []concepts.ConceptID{"style/new"})
	},
	"AssignWorks": func(r *Registry, s Scope) (any, error) { return r.AssignWorks(ctx, s, "main", workIDs("w9")) },
	"Codebook": func(r *Registry, s Scope) (any, error) {
		b, err := r.Codebook(ctx, s, "main")
		if err != nil {
			return nil, err
		}
		text, err := b.MarshalText()
		return string(text), err
	},
	"ConceptNumbers": func(r *Registry, s Scope) (any, error) {
		return r.ConceptNumbers(ctx, s, "main", []concepts.ConceptID{"semantic/lacs"})
	},
	"WorkNumbers": func(r *Registry, s Scope) (any, error) { return r.WorkNumbers(ctx, s, "main", workIDs("w1", "w2")) },

	"PutLicence":       func(r *Registry, s Scope) (any, error) { return r.PutLicence(ctx, s, licenceOf("l1"), noon) },
	"RevokeLicence":    func(r *Registry, s Scope) (any, error) { return r.RevokeLicence(ctx, s, "l1", "x", noon) },
	"Licence":          func(r *Registry, s Scope) (any, error) { return r.Licence(ctx, s, "l1") },
	"Licences":         func(r *Registry, s Scope) (any, error) { return r.Licences(ctx, s, Page{}) },
	"ReceivedLicences": func(r *Registry, s Scope) (any, error) { return r.ReceivedLicences(ctx, s, Page{}) },

	"AddDelivery": func(r *Registry, s Scope) (any, error) {
		return r.AddDelivery(ctx, s, Delivery{ID: "d1", Licence: "l1", Spec: json.RawMessage(`{}`)}, noon)
	},
	"MoveDelivery": func(r *Registry, s Scope) (any, error) {
		return r.MoveDelivery(ctx, s, "d1", Cancelled, "x", nil, noon)
	},
	"Delivery":           func(r *Registry, s Scope) (any, error) { return r.Delivery(ctx, s, "d1") },
	"Deliveries":         func(r *Registry, s Scope) (any, error) { return r.Deliveries(ctx, s, Running, Page{}) },
	"DeliveriesUnder":    func(r *Registry, s Scope) (any, error) { return r.DeliveriesUnder(ctx, s, "l1", Page{}) },
	"DeliverySteps":      func(r *Registry, s Scope) (any, error) { return r.DeliverySteps(ctx, s, "d1", Page{}) },
	"ReceivedDeliveries": func(r *Registry, s Scope) (any, error) { return r.ReceivedDeliveries(ctx, s, Page{}) },
	"PutItems":           func(r *Registry, s Scope) (any, error) { return r.PutItems(ctx, s, "d1", []Item{itemOf("w3")}) },
	"Items":              func(r *Registry, s Scope) (any, error) { return r.Items(ctx, s, "d1", Page{}) },
	"ItemsOf":            func(r *Registry, s Scope) (any, error) { return r.ItemsOf(ctx, s, "d1", workIDs("w1")) },
	"RefusedItems":       func(r *Registry, s Scope) (any, error) { return r.RefusedItems(ctx, s, "d1", Page{}) },
	"ItemsByShard":       func(r *Registry, s Scope) (any, error) { return r.ItemsByShard(ctx, s, "d1", "shard-000001", Page{}) },
	"DeliveriesOfWork":   func(r *Registry, s Scope) (any, error) { return r.DeliveriesOfWork(ctx, s, "w1", Page{}) },
	"CountItems":         func(r *Registry, s Scope) (any, error) { return r.CountItems(ctx, s, "d1") },
	"ReceivedItems":      func(r *Registry, s Scope) (any, error) { return r.ReceivedItems(ctx, s, "bank-a", "d1", Page{}) },

	"PutRefusals": func(r *Registry, s Scope) (any, error) {
		return r.PutRefusals(ctx, s, []Refusal{{"bad\n\xff.jpg", "eve", "x", noon}})
	},
	"DropRefusals": func(r *Registry, s Scope) (any, error) { return r.DropRefusals(ctx, s, []string{"bad\n\xff.jpg"}) },
	"Refusals":     func(r *Registry, s Scope) (any, error) { return r.Refusals(ctx, s, "", Page{}) },
	"PutReservations": func(r *Registry, s Scope) (any, error) {
		return r.PutReservations(ctx, s, []Reservation{{Work: "w3", Protocol: "eve", Raw: []byte("x"), Found: noon}})
	},
	"Reservations":   func(r *Registry, s Scope) (any, error) { return r.Reservations(ctx, s, Page{}) },
	"ReservationsOf": func(r *Registry, s Scope) (any, error) { return r.ReservationsOf(ctx, s, workIDs("w3")) },
	"PutObjects":     func(r *Registry, s Scope) (any, error) { return r.PutObjects(ctx, s, []Object{objectOf("w3")}) },
	"DropObjects":    func(r *Registry, s Scope) (any, error) { return r.DropObjects(ctx, s, []string{"p/w2.jpg"}) },
	"Objects":        func(r *Registry, s Scope) (any, error) { return r.Objects(ctx, s, "p/", Page{}) },
	"MissingObjects": func(r *Registry, s Scope) (any, error) { return r.MissingObjects(ctx, s, Page{}) },
	"SiteRules": func(r *Registry, s Scope) (any, error) {
		data, found, err := r.SiteRules(ctx, s, "tdmrep")
		return []any{data, found}, err
	},
	"SetSiteRules":    func(r *Registry, s Scope) (any, error) { return r.SetSiteRules(ctx, s, "tdmrep", []byte("eve"), noon) },
	"ObjectsAt":       func(r *Registry, s Scope) (any, error) { return r.ObjectsAt(ctx, s, []string{"p/w2.jpg"}) },
	"ObjectsBySHA256": func(r *Registry, s Scope) (any, error) { return r.ObjectsBySHA256(ctx, s, sha("w2")) },
	"HaveObjects": func(r *Registry, s Scope) (any, error) {
		have, err := r.HaveObjects(ctx, s, [][32]byte{sha("w2"), sha("w9")})
		return len(have), err
	},
	"WorkStates":  func(r *Registry, s Scope) (any, error) { return r.WorkStates(ctx, s, workIDs("w1", "w2")) },
	"PartiesByID": func(r *Registry, s Scope) (any, error) { return r.PartiesByID(ctx, s, []string{"anna", "bo"}) },
	"PartiesByIdentifier": func(r *Registry, s Scope) (any, error) {
		return r.PartiesByIdentifier(ctx, s, []Identifier{{"ipi", "00052210040"}})
	},
	"PutTodos":         func(r *Registry, s Scope) (any, error) { return r.PutTodos(ctx, s, workIDs("w3"), nil, noon) },
	"Todos":            func(r *Registry, s Scope) (any, error) { return r.Todos(ctx, s, "", Page{}) },
	"TodosOf":          func(r *Registry, s Scope) (any, error) { return r.TodosOf(ctx, s, workIDs("w3")) },
	"Removals":         func(r *Registry, s Scope) (any, error) { return r.Removals(ctx, s, Page{}) },
	"RemovalsOf":       func(r *Registry, s Scope) (any, error) { return r.RemovalsOf(ctx, s, "d1", Page{}) },
	"ReceivedRemovals": func(r *Registry, s Scope) (any, error) { return r.ReceivedRemovals(ctx, s, "bank-a", "d1", Page{}) },

	"Masters":        func(r *Registry, s Scope) (any, error) { return r.Masters(ctx, s) },
	"SetMasters":     func(r *Registry, s Scope) (any, error) { return r.SetMasters(ctx, s, "/eve", noon) },
	"KeyFingerprint": func(r *Registry, s Scope) (any, error) { return r.KeyFingerprint(ctx, s) },
	"ClaimKey":       func(r *Registry, s Scope) (any, error) { return r.ClaimKey(ctx, s, "0123456789abcdef", noon) },
	"BankTable": func(r *Registry, s Scope) (any, error) {
		data, found, err := r.BankTable(ctx, s)
		return fmt.Sprintf("%s %v", data, found), err
	},
	"SetBankTable": func(r *Registry, s Scope) (any, error) { return r.SetBankTable(ctx, s, []byte("eve"), noon) },
	"Story":        func(r *Registry, s Scope) (any, error) { return r.Story(ctx, s, Ref{"spring", 1}) },
	"PutStory": func(r *Registry, s Scope) (any, error) {
		return r.PutStory(ctx, s, Ref{"spring", 1}, json.RawMessage(`{"by":"eve"}`), noon)
	},
	"AddMarking": func(r *Registry, s Scope) (any, error) { return r.AddMarking(ctx, s, markingOf("l1"), noon) },
	"Markings":   func(r *Registry, s Scope) (any, error) { return r.Markings(ctx, s, Page{}) },
	"PutDescriptors": func(r *Registry, s Scope) (any, error) {
		return r.PutDescriptors(ctx, s, map[concepts.WorkID][]float64{"w2": make([]float64, concepts.DescriptorLen)})
	},
	"Counts":        func(r *Registry, s Scope) (any, error) { return r.Counts(ctx, s) },
	"DescriptorsOf": func(r *Registry, s Scope) (any, error) { return r.DescriptorsOf(ctx, s, workIDs("w1", "w2")) },
}

func init() {
	t := Ticket{"j1", 1, "mark", 1}
	maps.Copy(calls, map[string]func(r *Registry, s Scope) (any, error){
		"AddJob": func(r *Registry, s Scope) (any, error) {
			return r.AddJob(ctx, s, Job{ID: "j1", Kind: DeliveryJob, Priority: 2, First: "plan", Spec: json.RawMessage(`{}`)}, noon)
		},
		"MoveJob": func(r *Registry, s Scope) (any, error) {
			_, c, err := r.MoveJob(ctx, s, "j1", JobCancelled, "x", noon)
			return c, err
		},
		"RestartJob": func(r *Registry, s Scope) (any, error) { return r.RestartJob(ctx, s, "j1", 1, noon) },
		"SetJobResult": func(r *Registry, s Scope) (any, error) {
			return nil, r.SetJobResult(ctx, s, "j1", json.RawMessage(`{}`), noon)
		},
		"IssueParts": func(r *Registry, s Scope) (any, error) { return r.IssueParts(ctx, s, "j1", 10, noon) },
		"BeginPart":  func(r *Registry, s Scope) (any, error) { return r.BeginPart(ctx, s, t, "worker-1", noon) },
		"EndPart": func(r *Registry, s Scope) (any, error) {
			j, _, err := r.EndPart(ctx, s, t, PartEnd{Done: 1}, noon)
			return j, err
		},
		"LeavePart": func(r *Registry, s Scope) (any, error) { return r.LeavePart(ctx, s, t, "worker-1", true, "x", noon) },
		"ReopenParts": func(r *Registry, s Scope) (any, error) {
			j, _, err := r.ReopenParts(ctx, s, t, Stage{"mark", 3}, []int{0}, nil, noon)
			return j, err
		},
		// of a job that is not there it notes nothing and says nothing
		"NoteParts": func(r *Registry, s Scope) (any, error) {
			return nil, r.NoteParts(ctx, s, "worker-1", []PartNote{{Ticket: t, Done: 9, Hand: "eve"}}, noon)
		},
		"Job":      func(r *Registry, s Scope) (any, error) { return r.Job(ctx, s, "j1") },
		"Jobs":     func(r *Registry, s Scope) (any, error) { return r.Jobs(ctx, s, JobRunning, Page{}) },
		"JobParts": func(r *Registry, s Scope) (any, error) { return r.JobParts(ctx, s, "j1", PartRunning, Page{}) },
		"AddWorker": func(r *Registry, s Scope) (any, error) {
			return nil, r.AddWorker(ctx, s, Worker{ID: "worker-2", Host: "h"})
		},
		"BeatWorker": func(r *Registry, s Scope) (any, error) { return r.BeatWorker(ctx, s, "worker-9") },
		"EndWorker":  func(r *Registry, s Scope) (any, error) { return nil, r.EndWorker(ctx, s, "worker-9") },
		"BuryWorkers": func(r *Registry, s Scope) (any, error) {
			return r.BuryWorkers(ctx, s, time.Hour, []string{"worker-9"}, noon)
		},
		"Workers": func(r *Registry, s Scope) (any, error) { return r.Workers(ctx, s, WorkerDead, Page{}) },
	})
	writing = append(writing, "AddJob", "MoveJob", "RestartJob", "SetJobResult", "IssueParts", "BeginPart", "EndPart", "LeavePart", "ReopenParts", "NoteParts", "AddWorker", "BeatWorker", "EndWorker", "BuryWorkers")
}

// scopeless are the methods that need no scope, for they show and change no rows by themselves.
var scopeless = []string{"Close", "InTx", "PgxTx", "Pool", "SQL", "SQLTx"}

func sha(id string) (h [32]byte) {
	row, err := work(id).row(1, 0)
	if err != nil {
		panic(err)
	}
	copy(h[:], row[8].([]byte))
	return h
}

// TestEveryCallHasALine finds a method that takes no scope, or has no line in the matrix or in calls.
func TestEveryCallHasALine(t *testing.T) {
	typ := reflect.TypeFor[*Registry]()
	var scoped []string
	for m := range typ.Methods() {
		switch takes := m.Type.NumIn() > 2 && m.Type.In(2) == reflect.TypeFor[Scope](); {
		case takes:
			scoped = append(scoped, m.Name)
		case !slices.Contains(scopeless, m.Name):
			t.Errorf("%s takes no Scope after the context", m.Name)
		}
	}
	slices.Sort(scoped)
	if got := slices.Sorted(maps.Keys(matrix)); !slices.Equal(got, scoped) {
		t.Errorf("the matrix of roles and the methods differ: %s", cmp.Diff(scoped, got))
	}
	if got := slices.Sorted(maps.Keys(calls)); !slices.Equal(got, scoped) {
		t.Errorf("the table of calls and the methods differ: %s", cmp.Diff(scoped, got))
	}
}

// answer is all that a caller can see of a call.
func answer(call string, r *Registry, s Scope) (string, error) {
	v, err := calls[call](r, s)
	if f, ok := v.(*concepts.Frozen); ok && f != nil {
		v = f.Catalogue()
	}
	text := string(mustJSON(v))
	if err != nil {
		text += err.Error()
	}
	return text, err
}

// everything is what a bank sees of its own tenant, in text.
func everything(r *Registry, s Scope) (text string) {
	for _, call := range slices.Sorted(maps.Keys(calls)) {
		if !slices.Contains(writing, call) && MayCall(s.Role, call) {
			got, _ := answer(call, r, s)
			text += call + ": " + got + "\n"
		}
	}
	return text
}

// receivedFrom is what provider-p sees of what one bank has given it. Another bank may give it licences of its own, and
// the calls of TestIsolation do.
func receivedFrom(r *Registry, bank string) (text string) {
	s := Scope{"provider-p", Provider}
	for _, call := range slices.Sorted(maps.Keys(calls)) {
		if slices.Contains(writing, call) || !MayCall(s.Role, call) {
			continue
		}
		v, err := calls[call](r, s)
		if l, ok := v.(List[Licence]); ok {
			l.Items = slices.DeleteFunc(l.Items, func(l Licence) bool { return l.Grantor != bank })
			v = l
		}
		text += fmt.Sprintf("%s: %s %v\n", call, mustJSON(v), err)
	}
	return text
}

var writing = []string{"AddTenant", "PutWorks", "SetWorkState", "Recall", "PutParties", "PutShares", "PutConcepts", "PutMemberships", "FreezeCatalogue", "AddCatalogue",
	"AssignConcepts", "AssignWorks", "PutLicence", "RevokeLicence", "AddDelivery", "MoveDelivery", "PutItems", "PutRefusals", "DropRefusals", "PutReservations", "PutTodos",
	"SetMasters", "ClaimKey", "SetBankTable", "PutStory", "AddMarking", "PutDescriptors",
	"PutObjects", "DropObjects", "SetSiteRules"}

// TestIsolation makes every call under every role and for every kind of wrong tenant, with the ids of bank-a's rows, on
// a database where bank-a has them and on one where it has nothing. Who is not bank-a, or its licensee, must not be able
// to tell the two databases apart: neither by what it gets nor by the error. Afterwards bank-a has what it had.
func TestIsolation(t *testing.T) {
	for _, d := range []struct {
		name   string
		places func(t *testing.T) (stocked, control string)
	}{
		{"sqlite", func(t *testing.T) (string, string) {
			return filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
		}},
		{"postgres", func(t *testing.T) (string, string) { return pgtest.New(t), pgtest.New(t) }},
	} {
		t.Run(d.name, func(t *testing.T) {
			a, b := d.places(t)
			full, control := fresh(t, a), fresh(t, b)
			for _, r := range []*Registry{full, control} {
				must(t, errOf(r.AddTenant(ctx, ops, Tenant{ID: "provider-q", Kind: Provider}, noon)))
			}
			stocked(t, full, ours)
			must(t, control.AddWorker(ctx, ops, Worker{ID: "worker-1", Host: "h"})) // workers are the installation's
			before, received := everything(full, ours), receivedFrom(full, "bank-a")
			made := 0
			for _, call := range slices.Sorted(maps.Keys(calls)) {
				for _, role := range Roles() {
					for _, tenant := range []string{"bank-b", "provider-q", "nobody", "", "bank-A", "bank-a\x00"} {
						made++
						checkIsolated(t, call, Scope{tenant, role}, full, control)
					}
				}
			}
			if after := everything(full, ours); after != before {
				t.Errorf("bank-a's rows have changed: %s", cmp.Diff(before, after))
			}
			if after := receivedFrom(full, "bank-a"); after != received {
				t.Errorf("what provider-p has received from bank-a has changed: %s", cmp.Diff(received, after))
			}
			t.Logf("%d calls by others gave nothing away", made)
		})
	}
}

func checkIsolated(t *testing.T, call string, s Scope, full, control *Registry) {
	t.Helper()
	got, err := answer(call, full, s)
	want, _ := answer(call, control, s)
	switch {
	case !MayCall(s.Role, call):
		if !errors.Is(err, ErrForbidden) {
			t.Errorf("%s as %+v: got %v, want ErrForbidden", call, s, err)
		}
	case s.Role == Operator:
		// the operator's own calls show the installation, and no tenant's scope is his
		if s.Tenant != "" && !errors.Is(err, ErrForbidden) {
			t.Errorf("%s as %+v: got %v, want ErrForbidden", call, s, err)
		}
		return
	case s.Tenant != "bank-b" && s.Tenant != "provider-q":
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s as %+v: got %v, want ErrNotFound", call, s, err)
		}
	}
	if got != want {
		t.Errorf("%s as %+v tells whether bank-a has something: %s", call, s, cmp.Diff(want, got))
	}
}

// TestRolesWithinATenant makes every call as every role of bank-a itself: forbidden, or not.
func TestRolesWithinATenant(t *testing.T) {
	onBoth(t, func(t *testing.T, r *Registry) {
		stocked(t, r, ours)
		for call := range calls {
			for _, role := range Roles() {
				s := Scope{"bank-a", role}
				if role == Operator {
					s.Tenant = ""
				}
				if _, err := calls[call](r, s); errors.Is(err, ErrForbidden) == MayCall(role, call) {
					t.Errorf("%s as %s: %v", call, role, err)
				}
			}
		}
	})
}
