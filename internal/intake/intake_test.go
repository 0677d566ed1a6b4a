package intake

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/ingest/optout"
	"github.com/filigrane/filigrane/internal/registry"
)

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (want -, got +): %s", what, diff)
	}
}

// TestStory: what becomes of works when files come, change, move, go and come back; and that nothing is written when
// nothing happened.
func TestStory(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bank) {
		again := func() {
			t.Helper()
			if r := b.run(); !r.WroteNothing() || r.BytesRead > 2000 { // what is refused is read again
				t.Errorf("the same again wrote %+v and read %d bytes", r.Written, r.BytesRead)
			}
		}
		b.put("a/1.jpg", picture(1, title("One"), owner("Anna Berg")))
		b.put("a/2.jpg", picture(2, owner("Anna Berg (60%); Studio Lund (40%)")))
		b.put("b/3.jpg", picture(3))
		b.put("b/copy.jpg", picture(1, title("One"), owner("Anna Berg")))
		b.put("b/text.jpg", []byte("no picture"))
		first := 0
		b.opt.First = func(context.Context) error { first++; return nil }
		r := b.run()
		same(t, "first run", counts(r), map[string]int{"added": 3, "refused": 2})
		same(t, "refusals", kindsOf(r), map[string]ingest.Kind{"b/copy.jpg": ingest.KindDuplicate, "b/text.jpg": "not_an_image"})
		same(t, "works", b.works(), []string{"active a/1.jpg", "active a/2.jpg", "active b/3.jpg"})
		if first != 1 {
			t.Errorf("First was called %d times", first)
		}
		parties := all(t, func(p registry.Page) (registry.List[registry.Party], error) { return b.reg.Parties(ctx, ours, p) })
		if len(parties) != 2 {
			t.Errorf("parties %+v", parties)
		}
		again()

		b.move("a/1.jpg", "c/1.jpg")
		b.put("a/2.jpg", picture(22))
		b.remove("b/3.jpg")
		b.remove("b/text.jpg")
		r = b.run()
		// The copy is met before the new name of what moved, so it holds the work from now on.
		same(t, "second run", counts(r), map[string]int{"changed": 1, "moved": 1, "missing": 1, "refused": 1})
		same(t, "works", b.works(), []string{"active a/2.jpg", "active b/copy.jpg", "missing a/2.jpg", "missing b/3.jpg"})
		if l, _ := b.reg.Refusals(ctx, ours, "", registry.Page{}); len(l.Items) != 1 || l.Items[0].Name != "c/1.jpg" {
			t.Errorf("refusals %+v", l.Items)
		}
		again()

		b.put("z/3.jpg", picture(3))
		b.put("a/2.jpg", picture(2, owner("Anna Berg (60%); Studio Lund (40%)")))
		same(t, "third run", counts(b.run()), map[string]int{"moved": 1, "changed": 1, "unchanged": 1, "refused": 1})
		same(t, "works", b.works(), []string{"active a/2.jpg", "active b/copy.jpg", "active z/3.jpg", "missing a/2.jpg"})
		again()

		b.opt.Ingest.Reread = true
		if r := b.run(); !r.WroteNothing() || r.BytesRead == 0 {
			t.Errorf("reading all again wrote %+v and read %d bytes", r.Written, r.BytesRead)
		}
	})
}

// TestNothingThere: an empty folder, as where a disk is not mounted, changes nothing.
func TestNothingThere(t *testing.T) {
	b := newBank(t, places[0].place(t))
	b.put("a.jpg", picture(1))
	b.run()
	before := content(t, b.reg)
	b.remove("a.jpg")
	if _, err := b.try(ctx); !errors.Is(err, ErrNothing) {
		t.Errorf("got %v", err)
	}
	if content(t, b.reg) != before {
		t.Error("the registry has changed")
	}
}

// TestFolder: a run over a part leaves the rest as it is, what is refused there too.
func TestFolder(t *testing.T) {
	b := newBank(t, places[0].place(t))
	for i, name := range []string{"a/1.jpg", "ab.jpg", "b/2.jpg", "b/3.jpg"} {
		b.put(name, picture(i))
	}
	b.put("a/x.txt", []byte("x"))
	b.run()
	b.remove("a/1.jpg")
	b.remove("b/3.jpg")
	b.remove("a/x.txt")
	b.opt.Folder = "b/"
	same(t, "run over b/", counts(b.run()), map[string]int{"unchanged": 1, "missing": 1})
	same(t, "works", b.works(), []string{"active a/1.jpg", "active ab.jpg", "active b/2.jpg", "missing b/3.jpg"})
	if l, _ := b.reg.Refusals(ctx, ours, "", registry.Page{}); len(l.Items) != 1 {
		t.Errorf("refusals %+v", l.Items)
	}
}

// TestReservations: what is reserved is not deliverable, and the evidence is there; the table's word on one work and a
// recorded consent lift it, and are evidence too; a consent lifts nothing that the table reserves, nor a recall.
func TestReservations(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bank) {
		b.put("in/asks.jpg", picture(1, mining("DMI-PROHIBITED-SEECONSTRAINT")))
		b.put("in/forbids.jpg", picture(2, mining("DMI-PROHIBITED-AIMLTRAINING")))
		b.put("in/free.jpg", picture(3, mining("DMI-ALLOWED")))
		b.put("in/recalled.jpg", picture(4, mining("DMI-PROHIBITED")))
		b.put("in/table.jpg", picture(5))
		b.put("in/table2.jpg", picture(6, mining("DMI-PROHIBITED")))
		b.put("out/forbids.jpg", picture(7, mining("DMI-PROHIBITED")))
		b.put("out/site.jpg", picture(8))
		site, err := optout.ParseTDMRep([]byte(`[{"location":"/out/site.jpg","tdm-reservation":1,"tdm-policy":"https://bank.example/p"}]`), "tdmrep.json")
		must(t, err)
		b.opt.Ingest.Sites = []*optout.Site{site}
		b.table = "file,data_mining\nin/table.jpg,DMI-PROHIBITED\nin/table2.jpg,DMI-ALLOWED\n"
		same(t, "first run", counts(b.run()), map[string]int{"added": 8, "reserved": 6})
		same(t, "works", b.works(), []string{"active in/free.jpg", "active in/table2.jpg", "reserved in/asks.jpg", "reserved in/forbids.jpg", "reserved in/recalled.jpg",
			"reserved in/table.jpg", "reserved out/forbids.jpg", "reserved out/site.jpg"})
		if l, _ := b.reg.Refusals(ctx, ours, "", registry.Page{}); len(l.Items) > 0 {
			t.Errorf("a reserved work is refused: %+v", l.Items)
		}
		evidence := func() (lines []string) {
			for _, v := range all(t, func(p registry.Page) (registry.List[registry.Reservation], error) {
				return b.reg.Reservations(ctx, ours, p)
			}) {
				lines = append(lines, fmt.Sprintf("%s|%s|%s|%s|%d", v.Protocol, v.Effect, v.Value, v.URL, min(1, len(v.Raw))))
			}
			slices.Sort(lines)
			return lines
		}
		want := []string{"consent|allows|DMI-ALLOWED|table|1", "iptc-plus|asks|DMI-PROHIBITED-SEECONSTRAINT|in/asks.jpg|1", "iptc-plus|refuses|DMI-PROHIBITED-AIMLTRAINING|in/forbids.jpg|1",
			"iptc-plus|refuses|DMI-PROHIBITED|in/recalled.jpg|1", "iptc-plus|refuses|DMI-PROHIBITED|in/table2.jpg|1", "iptc-plus|refuses|DMI-PROHIBITED|out/forbids.jpg|1",
			"iptc-plus|refuses|DMI-PROHIBITED|table|1", "tdmrep|refuses|tdm-reservation=1|tdmrep.json rule 1|1"}
		same(t, "evidence", evidence(), want)
		_, err = b.reg.Recall(ctx, ours, []concepts.WorkID{workAt(t, b, "in/recalled.jpg").ID}, "gone", noon)
		must(t, err)

		b.opt.Consent, err = ParseConsent([]byte("by: Anna Berg\non: 2026-11-01; contract: AB-17"), "in/", "the command line", noon)
		must(t, err)
		r := b.run()
		same(t, "with consent", counts(r), map[string]int{"unchanged": 8})
		if r.Lifted != 2 || r.BytesRead != 0 {
			t.Errorf("lifted %d, read %d bytes", r.Lifted, r.BytesRead)
		}
		after := []string{"active in/asks.jpg", "active in/forbids.jpg", "active in/free.jpg", "active in/table2.jpg", "recalled in/recalled.jpg", "reserved in/table.jpg",
			"reserved out/forbids.jpg", "reserved out/site.jpg"}
		same(t, "works", b.works(), after)
		same(t, "evidence", evidence(), slices.Sorted(slices.Values(append(want, "consent|allows|AB-17|the command line|1"))))
		if r := b.run(); !r.WroteNothing() {
			t.Errorf("the same consent again wrote %+v", r.Written)
		}

		// It holds without being given again, for what is read again or comes later.
		b.opt.Consent, b.opt.Ingest.Reread = nil, true
		b.put("in/later.jpg", picture(9, mining("DMI-PROHIBITED")))
		b.put("out/later.jpg", picture(10, mining("DMI-PROHIBITED")))
		b.run()
		same(t, "works", b.works(), slices.Sorted(slices.Values(append(after, "active in/later.jpg", "reserved out/later.jpg"))))
	})
}

func workAt(t *testing.T, b *bank, path string) registry.Work {
	t.Helper()
	l := get[registry.List[registry.Work]](t)(b.reg.WorksAt(ctx, ours, path, registry.Page{}))
	if len(l.Items) != 1 {
		t.Fatalf("%d works at %s", len(l.Items), path)
	}
	return l.Items[0]
}

// TestConsentIsRead: a consent says who, when and by what contract, or is none.
func TestConsentIsRead(t *testing.T) {
	for text, want := range map[string]string{
		"by: A\non: 2026-11-01\ncontract: C":               "",
		"BY:A; on: 2026-11-24;contract:C:1; for all of us": "",
		"by: A\ncontract: C":                               `does not say "on"`,
		"by: A; on: tomorrow; contract: C":                 "no day that has been",
		"by: A; on: 2026-11-25; contract: C":               "no day that has been",
		"by: A; by: B; on: 2026-11-01; contract: C":        "given twice",
		"by: ; on: 2026-11-01; contract: C":                "empty",
		"by: A\xff; on: 2026-11-01; contract: C":           "UTF-8",
		"yes":                                              `does not say "by"`,
	} {
		c, err := ParseConsent([]byte(text), "", "x", noon)
		if want == "" && (err != nil || string(c.Raw) != text || c.By != "A") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %+v, %v; want %q", text, c, err, want)
		}
	}
	for _, folder := range []string{"a", "/", "../", "a//"} {
		if _, err := ParseConsent([]byte("by: A; on: 2026-11-01; contract: C"), folder, "x", noon); err == nil {
			t.Errorf("folder %q was taken", folder)
		}
	}
}

// TestRightsHolders: shares and parties by their numbers; a number that fails its check digits is a thing to do and nobody's
// id; two numbers of two parties are one too.
func TestRightsHolders(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bank) {
		for i, n := range []string{"1", "2", "3", "4", "5", "6", "7"} {
			b.put(n+".jpg", picture(i))
		}
		b.table = "file,rights_holder,isni,ipi_name,share\n" +
			"1.jpg,Anna Berg,0000 0001 2281 955X,,\n" +
			"2.jpg,A. Berg,000000012281955X,14107338,\n" + // the same by her number: gains another
			"3.jpg,Anna Berg,,14107338,\n" + // known by the other now
			"4.jpg,ANNA  BERG,,,\n" + // only a name
			"5.jpg,Anna Berg,0000 0001 2281 9551,,\n" + // wrong check digit
			"6.jpg,Studio Lund,0000 0001 2103 2683,,\n" +
			"7.jpg,Studio Lund,0000 0001 2103 2683,14107338,\n" // numbers of two
		b.run()
		const anna, lund = "isni:000000012281955X", "isni:0000000121032683"
		var got []string
		for _, p := range all(t, func(p registry.Page) (registry.List[registry.Party], error) { return b.reg.Parties(ctx, ours, p) }) {
			got = append(got, fmt.Sprint(p.ID, " ", p.Name, " ", p.Identifiers))
		}
		same(t, "parties", got, []string{lund + " Studio Lund [{isni 0000000121032683}]", anna + " Anna Berg [{ipi_name 00014107338} {isni 000000012281955X}]", nameID("anna berg") + " ANNA BERG []"})
		for path, want := range map[string]string{"1.jpg": anna, "2.jpg": anna, "3.jpg": anna, "4.jpg": nameID("Anna Berg"), "5.jpg": "", "6.jpg": lund, "7.jpg": ""} {
			id := workAt(t, b, path).ID
			shares := get[map[concepts.WorkID][]registry.Share](t)(b.reg.SharesOf(ctx, ours, []concepts.WorkID{id}))[id]
			todo := slices.ContainsFunc(get[[]registry.Todo](t)(b.reg.TodosOf(ctx, ours, []concepts.WorkID{id})), func(d registry.Todo) bool { return d.Field == "rights_holder" })
			if want == "" && (len(shares) > 0 || !todo) || want != "" && (len(shares) != 1 || shares[0] != registry.Share{Party: want, Parts: registry.WholeShare} || todo) {
				t.Errorf("%s: shares %v, to do %v, want %q", path, shares, todo, want)
			}
		}
	})
}

// TestShortened: texts the registry cannot keep are cut and listed, not the end of an import.
func TestShortened(t *testing.T) {
	b := newBank(t, places[0].place(t))
	b.put("a.jpg", picture(1))
	b.table = "file,creator,remark,keywords\na.jpg," + strings.Repeat("é", 1000) + "," + strings.Repeat("x", 65_500) + "," + strings.Repeat("k;", 20) + "\n"
	r := b.run()
	w := workAt(t, b, "a.jpg")
	if len(w.Creator) != 1024 || len(w.Column("remark")) > 64<<10 || r.TodoFields["creator"] != 1 || r.TodoFields["remark"] != 1 {
		t.Errorf("creator of %d bytes, remark of %d, to do %v", len(w.Creator), len(w.Column("remark")), r.TodoFields)
	}
}

// TestRandom lets buckets change at random, and takes each state in twice: by an undisturbed run, and by runs with small
// batches that are ended at random moments. Both registries must hold the same.
func TestRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	onBoth(t, func(t *testing.T, b *bank) {
		rounds := 12
		if strings.HasSuffix(t.Name(), "postgres") {
			rounds = 5
		}
		other := open(t, places[0].place(t))
		for round := range rounds {
			mutate(t, rng, b)
			b.opt.Batch = 0
			b.run()
			calm := b.reg
			b.reg, b.opt.Batch = other, 1+rng.IntN(4)
			stops := 0
			for ; stops < 8; stops++ {
				if _, err := b.try(&ending{ctx, rng.IntN(400)}); err == nil {
					break
				} else if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
			b.run()
			b.reg = calm
			if diff := cmp.Diff(strings.Split(content(t, calm), "\n"), strings.Split(content(t, other), "\n")); diff != "" {
				t.Fatalf("round %d, seed %d, after %d interrupted runs (undisturbed -, disturbed +): %s", round, seed, stops, diff)
			}
		}
	})
}

// ending is a context that ends after it was looked at so many times: at a moment that is random and can be repeated.
type ending struct {
	context.Context
	looks int
}

// Err implements context.Context.
func (e *ending) Err() error {
	if e.looks--; e.looks < 0 {
		return context.Canceled
	}
	return e.Context.Err()
}

// mutate changes a folder of up to some dozens of files.
func mutate(t *testing.T, rng *rand.Rand, b *bank) {
	t.Helper()
	name := func() string { return fmt.Sprintf("%c/%d.jpg", 'a'+rng.IntN(3), rng.IntN(12)) }
	there := func(n string) bool { _, err := os.Stat(filepath.Join(b.folder, n)); return err == nil }
	for range 12 {
		switch n, m := name(), name(); rng.IntN(8) {
		case 0:
			if there(n) {
				b.remove(n)
			}
		case 1:
			if there(n) && n != m {
				b.move(n, m)
			}
		case 2: // a copy
			if data, err := os.ReadFile(filepath.Join(b.folder, n)); err == nil {
				b.put(m, data)
			}
		case 3:
			b.put(n, []byte("no picture any more"))
		case 4: // touched
			if there(n) {
				when := noon.Add(-time.Duration(rng.IntN(1e9)))
				must(t, os.Chtimes(filepath.Join(b.folder, n), when, when))
			}
		default:
			b.put(n, picture(rng.IntN(20), mining([]string{"DMI-ALLOWED", "DMI-PROHIBITED"}[rng.IntN(2)]), owner(fmt.Sprintf("Owner %d", rng.IntN(3)))))
		}
	}
	b.put("z.jpg", picture(1000)) // never nothing
	word := func() string { return []string{"", "", "DMI-ALLOWED", "DMI-PROHIBITED", "DMI\x01"}[rng.IntN(5)] }
	b.table = fmt.Sprintf("file,title,isni,rights_holder,data_mining\na/1.jpg,T%d,,,%s\nb/2.jpg,x,000000012281955X,Anna,%s\nc/3.jpg,y,,Owner %d,%s\n", rng.IntN(3), word(), word(), rng.IntN(3), word())
	if rng.IntN(2) == 0 { // rows that several files may take
		b.table = strings.NewReplacer("file,", "id,", "a/1.jpg", "1", "b/2.jpg", "2", "c/3.jpg", "3").Replace(b.table)
	}
}

// TestTakenID: a work whose ID is another's, of other bytes, is refused; the other stays what it is.
func TestTakenID(t *testing.T) {
	b := newBank(t, places[0].place(t))
	data := picture(1)
	sum := sha256.Sum256(data)
	other := registry.Work{Work: concepts.Work{ID: concepts.NewWorkID(sum), Path: "other.jpg", SHA256: strings.Repeat("ab", 32), Width: 1, Height: 1, Format: "jpeg"}, Bytes: 9}
	_, err := b.reg.PutWorks(ctx, ours, []registry.Work{other}, noon)
	must(t, err)
	b.put("a.jpg", data)
	b.put("b.jpg", picture(2))
	r := b.run()
	same(t, "first run", counts(r), map[string]int{"added": 1, "refused": 1})
	same(t, "refusals", kindsOf(r), map[string]ingest.Kind{"a.jpg": KindCollision})
	same(t, "works", b.works(), []string{"active b.jpg", "active other.jpg"})
	if got := workAt(t, b, "other.jpg"); got.SHA256 != other.SHA256 {
		t.Errorf("the other work has become %+v", got)
	}
	if r := b.run(); !r.WroteNothing() {
		t.Errorf("again: %+v", r.Written)
	}
}
