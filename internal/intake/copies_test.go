package intake

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/ingest/optout"
	"github.com/filigrane/filigrane/internal/registry"
)

// TestCopies: what the table or the site says of a name refused as a duplicate reserves the work, in every run, with the evidence
// kept; it is lifted when nothing says so any more, or a consent covers that name; what the file says counts once, under its holder.
func TestCopies(t *testing.T) {
	for _, batch := range []int{0, 1} {
		t.Run(fmt.Sprint("batch", batch), func(t *testing.T) {
			onBoth(t, func(t *testing.T, b *bank) {
				b.opt.Batch = batch
				b.put("a.jpg", picture(1))
				b.put("b.jpg", picture(2, mining("DMI-PROHIBITED")))
				b.put("z/a-copy.jpg", picture(1))
				b.put("z/b-copy.jpg", picture(2, mining("DMI-PROHIBITED")))
				expect := func(what string, works ...string) {
					t.Helper()
					r := b.run()
					same(t, what, b.works(), works)
					same(t, what+": refusals", kindsOf(r), map[string]ingest.Kind{"z/a-copy.jpg": ingest.KindDuplicate, "z/b-copy.jpg": ingest.KindDuplicate})
					if r := b.run(); !r.WroteNothing() {
						t.Errorf("%s: the same again wrote %+v", what, r.Written)
					}
					same(t, what+": again", b.works(), works)
				}
				header := "file,data_mining\nb.jpg,DMI-ALLOWED\n"
				b.table = header
				expect("allowed to its holder", "active a.jpg", "active b.jpg")
				b.table = header + "z/a-copy.jpg,DMI-PROHIBITED\n"
				expect("the copy prohibited", "active b.jpg", "reserved a.jpg")
				id := workAt(t, b, "a.jpg").ID
				evidence := get[[]registry.Reservation](t)(b.reg.ReservationsOf(ctx, ours, []concepts.WorkID{id}))
				if len(evidence) != 1 || evidence[0].Path != "z/a-copy.jpg" || string(evidence[0].Raw) != "DMI-PROHIBITED" || evidence[0].Effect != "refuses" {
					t.Errorf("evidence %+v", evidence)
				}
				refusals := all(t, func(p registry.Page) (registry.List[registry.Refusal], error) {
					return b.reg.Refusals(ctx, ours, "", p)
				})
				if !slices.ContainsFunc(refusals, func(f registry.Refusal) bool {
					return f.Name == "z/a-copy.jpg" && strings.Contains(f.Detail, "reserves training on the work")
				}) {
					t.Errorf("no refusal says that the copy reserves the work: %+v", refusals)
				}
				b.table += "a.jpg,DMI-ALLOWED\n" // said of the holder, and read again for it
				expect("its holder allowed", "active b.jpg", "reserved a.jpg")
				b.table = header
				expect("the row gone", "active b.jpg", "reserved a.jpg") // which lifts nothing
				b.table = header + "z/a-copy.jpg,DMI-ALLOWED\n"
				expect("the copy's row frees it", "active a.jpg", "active b.jpg")
				b.table = header + "z/a-copy.jpg,DMI-UNSPECIFIED\n"
				site := get[*optout.Site](t)(optout.ParseTDMRep([]byte(`[{"location":"/z/","tdm-reservation":1}]`), "tdmrep.json"))
				b.opt.Ingest.Sites = []*optout.Site{site}
				expect("reserved by the site", "reserved a.jpg", "reserved b.jpg")
				b.table = header + "z/a-copy.jpg,DMI-ALLOWED\n"
				expect("the copy allowed", "active a.jpg", "reserved b.jpg")
				b.opt.Consent = get[*Consent](t)(ParseConsent([]byte("by: Anna; on: 2026-11-01; contract: C"), "z/", "x", noon))
				expect("by consent", "active a.jpg", "active b.jpg")
			})
		})
	}
}

// TestCopyElsewhere: a run over a folder does not lift what is said of a copy's name outside it, whatever the table says of that by
// now; one over everything does.
func TestCopyElsewhere(t *testing.T) {
	b := newBank(t, places[0].place(t))
	b.put("in/a.jpg", picture(1))
	b.put("z/copy.jpg", picture(1))
	b.table = "file,data_mining\nz/copy.jpg,DMI-PROHIBITED\n"
	b.run()
	for i, folder := range []string{"in/", ""} {
		b.opt.Folder = folder
		b.table = fmt.Sprintf("file,title,data_mining\nin/a.jpg,T%d,\nz/copy.jpg,,DMI-ALLOWED\n", i) // read again
		b.run()
		same(t, "works after a run over "+folder, b.works(), []string{[]string{"reserved in/a.jpg", "active in/a.jpg"}[i]})
	}
}

// TestCopyUnmet: a copy that cannot be read, or that the listing leaves out, lifts nothing; one that is gone does.
func TestCopyUnmet(t *testing.T) {
	b := newBank(t, places[0].place(t))
	b.put("a.jpg", picture(1))
	b.put("b.jpg", picture(2))
	b.put("z/copy.jpg", picture(1))
	site := get[*optout.Site](t)(optout.ParseTDMRep([]byte(`[{"location":"/z/","tdm-reservation":1}]`), "tdmrep.json"))
	b.opt.Ingest.Sites = []*optout.Site{site}
	b.run()
	for _, c := range []struct {
		what string
		how  failing
		want string
	}{{"unread", failing{unread: "z/copy.jpg"}, "reserved a.jpg"}, {"unlisted", failing{unlisted: "z/copy.jpg"}, "reserved a.jpg"}, {"locked", failing{locked: "z/"}, "reserved a.jpg"}, {"there", failing{}, "reserved a.jpg"}} {
		b.failing(c.how)
		b.run()
		same(t, c.what, b.works(), []string{"active b.jpg", c.want})
	}
	b.remove("z/copy.jpg")
	b.run()
	same(t, "gone", b.works(), []string{"active a.jpg", "active b.jpg"})
}

// TestRowGoesBad: a work the table reserves stays so when its row cannot be read any more, or is doubled, and nothing is written
// again; it is free when a row that can be read frees it.
func TestRowGoesBad(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bank) {
		b.put("a.jpg", picture(1))
		b.put("b.jpg", picture(2))
		const header = "file,rights_holder,data_mining\nb.jpg,Bo,\n"
		for _, c := range []struct{ rows, want string }{
			{"a.jpg,Anna,DMI-PROHIBITED\n", "reserved a.jpg"},
			{"a.jpg,Anna,DMI-PROHIBITED\na.jpg,Bo,DMI-PROHIBITED\n", "reserved a.jpg"},
			{"a.jpg,Anna\x01,DMI-PROHIBITED\n", "reserved a.jpg"},
			{"a.jpg,Anna,DMI\x01\n", "reserved a.jpg"},
			{"\"a.jp\"g\",Anna,DMI-PROHIBITED\n", "reserved a.jpg"}, // which file is not known
			{"a.jpg\x01,Anna,DMI-PROHIBITED\n", "reserved a.jpg"},
			{"", "reserved a.jpg"},
			{"a.jpg,Anna,DMI-UNSPECIFIED\n", "active a.jpg"},
			{"a.jpg\x01,Anna,DMI-PROHIBITED\n", "active a.jpg"}, // reserves nothing that was not
			{"a.jpg,Anna\x01,DMI-PROHIBITED\n", "reserved a.jpg"},
			{"a.jpg,Anna,DMI-ALLOWED\n", "active a.jpg"},
		} {
			b.table = header + c.rows
			b.run()
			same(t, fmt.Sprintf("with %q", c.rows), b.works(), slices.Sorted(slices.Values([]string{c.want, "active b.jpg"})))
			if r := b.run(); !r.WroteNothing() || r.BytesRead > 0 {
				t.Errorf("with %q: the same again wrote %+v and read %d bytes", c.rows, r.Written, r.BytesRead)
			}
		}
	})
}

// TestRowChangesHands: a file that takes a row before another, whenever it comes, ends what the row lifted and paid for that other;
// when it goes the row is the other's again, but not for a run over a folder that cannot see it go.
func TestRowChangesHands(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bank) {
		b.table = "id,rights_holder,data_mining\nDSC_0001,Anna Berg,DMI-ALLOWED\n"
		expect := func(what string, paid int, works ...string) {
			t.Helper()
			b.run()
			same(t, what, b.works(), works)
			id := workAt(t, b, "ben/DSC_0001.jpg").ID
			if n := len(get[map[concepts.WorkID][]registry.Share](t)(b.reg.SharesOf(ctx, ours, []concepts.WorkID{id}))[id]); n != paid {
				t.Errorf("%s: %d holders are paid for ben's, want %d", what, n, paid)
			}
			if r := b.run(); !r.WroteNothing() || r.BytesRead > 0 && !b.opt.Ingest.Reread {
				t.Errorf("%s: the same again wrote %+v and read %d bytes", what, r.Written, r.BytesRead)
			}
		}
		b.put("ben/DSC_0001.jpg", picture(1, mining("DMI-PROHIBITED")))
		expect("ben's alone", 1, "active ben/DSC_0001.jpg")
		b.put("anna/DSC_0001.jpg", picture(2, mining("DMI-PROHIBITED")))
		expect("anna's has come", 0, "active anna/DSC_0001.jpg", "reserved ben/DSC_0001.jpg")
		b.opt.Folder, b.opt.Ingest.Reread = "ben/", true
		expect("a run over ben's folder", 0, "active anna/DSC_0001.jpg", "reserved ben/DSC_0001.jpg")
		b.opt.Folder, b.opt.Ingest.Reread = "", false
		b.remove("anna/DSC_0001.jpg")
		expect("anna's has gone", 1, "active ben/DSC_0001.jpg", "missing anna/DSC_0001.jpg")
	})
}
