package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/ingest/optout"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
)

// failing is a folder whose disk, or whose listing, fails for some names, given as patterns of package path. (Permissions
// would do for some of it, but not for root.)
type failing struct {
	*dir.Bucket
	unread   string // opening fails with EIO
	unlisted string // left out of the listing, as a stale one does
	locked   string // a folder that cannot be read, and nothing below it be looked at
}

func matches(pattern, name string) bool {
	met, err := path.Match(pattern, name)
	return met && err == nil
}

func (f failing) inLocked(name string) bool {
	return f.locked != "" && strings.HasPrefix(name, f.locked)
}

func (f failing) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	if matches(f.unread, key) {
		return nil, &fs.PathError{Op: "read", Path: key, Err: syscall.EIO}
	}
	return f.Bucket.Open(ctx, key)
}

func (f failing) Each(ctx context.Context, prefix, after string, fn func(store.Object) error) error {
	told := false
	return f.Bucket.Each(ctx, prefix, after, func(o store.Object) error {
		switch {
		case f.inLocked(o.Key) && told, matches(f.unlisted, o.Key):
			return nil
		case f.inLocked(o.Key):
			told = true
			return fn(store.Object{Key: f.locked, Refused: "a folder that cannot be read: permission denied"})
		}
		return fn(o)
	})
}

func (f failing) Stat(ctx context.Context, key string) (store.Object, error) {
	if f.inLocked(key) {
		return store.Object{}, &fs.PathError{Op: "lstat", Path: key, Err: fs.ErrPermission}
	}
	return f.Bucket.Stat(ctx, key)
}

func (b *bank) failing(f failing) {
	b.through = func(bucket *dir.Bucket) store.Bucket { f.Bucket = bucket; return f }
}

// evidence gives what is kept of a word, by work.
func evidenceOf(t *testing.T, b *bank, path string) (words []string) {
	t.Helper()
	for _, v := range get[[]registry.Reservation](t)(b.reg.ReservationsOf(ctx, ours, []concepts.WorkID{workAt(t, b, path).ID})) {
		words = append(words, v.Protocol+" "+v.Value+" "+v.URL)
	}
	return words
}

// TestFailedReads: a known object that the store does not give keeps its row and the state of its work, but for what table and
// site say of it: that reserves the work unread. The next run reads it.
func TestFailedReads(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bank) {
		for i, n := range []string{"forbidden.jpg", "site.jpg", "titled.jpg", "well.jpg"} {
			b.put(n, picture(i))
		}
		b.table = "file,title\ntitled.jpg,Old\n"
		b.run()
		b.table = "file,title,data_mining\nforbidden.jpg,,DMI-PROHIBITED\ntitled.jpg,New,\n"
		site, err := optout.ParseTDMRep([]byte(`[{"location":"/site.jpg","tdm-reservation":1}]`), "tdmrep.json")
		must(t, err)
		b.opt.Ingest.Sites = []*optout.Site{site}
		b.failing(failing{unread: "[fst]*.jpg"})
		r := b.run()
		same(t, "failing run", counts(r), map[string]int{"refused": 3, "unchanged": 1})
		same(t, "refusals", kindsOf(r), map[string]ingest.Kind{"forbidden.jpg": KindUnread, "site.jpg": KindUnread, "titled.jpg": KindUnread})
		reserved := []string{"active titled.jpg", "active well.jpg", "reserved forbidden.jpg", "reserved site.jpg"}
		same(t, "works", b.works(), reserved)
		same(t, "evidence", evidenceOf(t, b, "forbidden.jpg"), []string{"iptc-plus DMI-PROHIBITED table"})
		same(t, "evidence", evidenceOf(t, b, "site.jpg"), []string{"tdmrep tdm-reservation=1 tdmrep.json rule 1"})
		if r.Unsure != 3 || workAt(t, b, "titled.jpg").Title != "Old" {
			t.Errorf("unsure %d, %+v", r.Unsure, workAt(t, b, "titled.jpg"))
		}
		if r := b.run(); !r.WroteNothing() || r.Unsure != 3 {
			t.Errorf("the same again wrote %+v; unsure %d", r.Written, r.Unsure)
		}
		b.through = nil
		same(t, "run that reads", counts(b.run()), map[string]int{"updated": 3, "unchanged": 1, "reserved": 2})
		same(t, "works", b.works(), reserved)
		if workAt(t, b, "titled.jpg").Title != "New" {
			t.Errorf("%+v", workAt(t, b, "titled.jpg"))
		}
		if l, _ := b.reg.Refusals(ctx, ours, "", registry.Page{}); len(l.Items) > 0 {
			t.Errorf("refusals stay: %+v", l.Items)
		}
	})
}

// TestOutage: a store that fails altogether ends the run, and no work is called missing on its account.
func TestOutage(t *testing.T) {
	b := newBank(t, places[0].place(t))
	for i := range 150 {
		b.put(fmt.Sprintf("%03d.jpg", i), picture(i))
	}
	b.run()
	b.opt.Ingest.Reread = true
	b.failing(failing{unread: "*"})
	if r, err := b.try(ctx); err == nil || !strings.Contains(err.Error(), "look at the store") || r.Unsure == 0 {
		t.Errorf("%+v, %v", counts(r), err)
	}
	for _, w := range b.works() {
		if !strings.HasPrefix(w, "active ") {
			t.Error(w)
		}
	}
}

// TestUnlisted: what a listing lacks is missing only if it is not there when it is asked for by name.
func TestUnlisted(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bank) {
		for i, n := range []string{"a.jpg", "gone.jpg", "late/1.jpg", "shut/1.jpg", "shut/2.jpg", "z.jpg"} {
			b.put(n, picture(i))
		}
		b.run()
		b.remove("gone.jpg")
		b.table = "file,data_mining\nshut/2.jpg,DMI-PROHIBITED\n"
		b.failing(failing{unlisted: "late/*", locked: "shut/"})
		r := b.run()
		same(t, "run", counts(r), map[string]int{"unchanged": 2, "missing": 1, "refused": 4})
		same(t, "refusals", kindsOf(r), map[string]ingest.Kind{"shut/": KindUnread, "late/1.jpg": KindUnsure, "shut/1.jpg": KindUnsure, "shut/2.jpg": KindUnsure})
		same(t, "works", b.works(), []string{"active a.jpg", "active late/1.jpg", "active shut/1.jpg", "active z.jpg", "missing gone.jpg", "reserved shut/2.jpg"})
		for _, f := range r.Refusals {
			if f.Kind == KindUnsure && !strings.Contains(f.Detail, "stays what it was") {
				t.Errorf("%+v", f)
			}
		}
		if r.Unsure != 3 {
			t.Errorf("unsure %d", r.Unsure)
		}
		b.through = nil
		same(t, "run that sees", counts(b.run()), map[string]int{"unchanged": 4, "updated": 1, "reserved": 1})
		if l, _ := b.reg.Refusals(ctx, ours, "", registry.Page{}); len(l.Items) > 0 {
			t.Errorf("refusals stay: %+v", l.Items)
		}
	})
}

// TestManyMissing: more than 20 works and a tenth of those known are not called missing unless that is meant; whether their
// names are kept or looked up again.
func TestManyMissing(t *testing.T) {
	for _, most := range []int{0, 100} {
		b := newBank(t, places[0].place(t))
		b.opt.mostMissed = most
		for i := range 230 {
			b.put(fmt.Sprintf("%c/%03d.jpg", 'a'+i/200, i), picture(i))
		}
		b.put("c/1.jpg", picture(1000))
		b.run()
		count := func(prefix string) (n int) {
			for _, w := range b.works() {
				if strings.HasPrefix(w, prefix) {
					n++
				}
			}
			return n
		}
		for i := range 20 {
			b.remove(fmt.Sprintf("a/%03d.jpg", i))
		}
		same(t, "20 gone", counts(b.run()), map[string]int{"missing": 20, "unchanged": 211})
		for i := 20; i < 42; i++ {
			b.remove(fmt.Sprintf("a/%03d.jpg", i))
		}
		b.put("d/new.jpg", picture(1001))
		b.move("a/100.jpg", "d/100.jpg")
		r, err := b.try(ctx)
		if !errors.Is(err, ErrManyMissing) || !strings.Contains(err.Error(), "22 of the 211") || !strings.Contains(err.Error(), "--accept-missing") {
			t.Fatal(err)
		}
		if r.Added != 1 || r.Moved != 1 || count("missing") != 20 || count("active") != 212 {
			t.Errorf("%+v; %v", counts(r), b.works())
		}
		b.opt.AcceptMissing = true
		same(t, "meant", counts(b.run()), map[string]int{"missing": 22, "unchanged": 190})
		if count("missing") != 42 || count("active") != 190 {
			t.Error(b.works())
		}
		if r := b.run(); !r.WroteNothing() {
			t.Errorf("again: %+v", r.Written)
		}
		b.opt.AcceptMissing, b.opt.Folder = false, "b/" // below a folder its own works count
		for i := 200; i < 221; i++ {
			b.remove(fmt.Sprintf("b/%03d.jpg", i))
		}
		if _, err := b.try(ctx); !errors.Is(err, ErrManyMissing) || !strings.Contains(err.Error(), "21 of the 30") {
			t.Error(err)
		}
	}
}

// TestTableHolds: what the bank's table has forbidden stays forbidden until a row for the work says otherwise: when the row
// is left out, cannot be read, or names an object that has another name by now; through copies and absences.
func TestTableHolds(t *testing.T) {
	onBoth(t, func(t *testing.T, b *bank) {
		names := []string{"back.jpg", "copied.jpg", "left.jpg", "malformed.jpg", "moved.jpg"}
		for i, n := range names {
			b.put(n, picture(i))
		}
		b.put("copy.jpg", picture(1))
		b.put("free.jpg", picture(9))
		rows := func(value string, names ...string) {
			b.table = "file,title,data_mining\nfree.jpg,Free,\n"
			for _, n := range names {
				b.table += n + ",," + value + "\n"
			}
		}
		rows("DMI-PROHIBITED", names...)
		b.run()
		same(t, "works", b.works(), []string{"active free.jpg", "reserved back.jpg", "reserved copied.jpg", "reserved left.jpg", "reserved malformed.jpg", "reserved moved.jpg"})

		b.put("copied.jpg", picture(11))
		b.remove("back.jpg")
		b.move("moved.jpg", "new/moved.jpg")
		rows("DMI-PROHIBITED", "moved.jpg")
		b.table += "malformed.jpg,x\n" // too few columns: it may be of any file that was reserved, one with other bytes by now too
		b.run()
		held := []string{"active free.jpg", "missing back.jpg", "reserved copied.jpg", "reserved copy.jpg", "reserved left.jpg", "reserved malformed.jpg", "reserved new/moved.jpg"}
		same(t, "works", b.works(), held)
		b.put("new/back.jpg", picture(0))
		b.table = ""
		b.run()
		held = slices.Sorted(slices.Values(append(slices.Delete(held, 1, 2), "reserved new/back.jpg")))
		same(t, "without a table", b.works(), held)
		for _, n := range []string{"copy.jpg", "left.jpg", "malformed.jpg", "new/moved.jpg", "new/back.jpg"} {
			if !slices.ContainsFunc(get[[]registry.Todo](t)(b.reg.TodosOf(ctx, ours, []concepts.WorkID{workAt(t, b, n).ID})), func(d registry.Todo) bool {
				return d.Field == "data_mining" && d.Why == "reserved by an earlier table; write DMI-ALLOWED to lift it"
			}) {
				t.Errorf("%s: nothing is said to be done", n)
			}
		}
		if r := b.run(); !r.WroteNothing() {
			t.Errorf("again: %+v", r.Written)
		}

		rows("DMI-UNSPECIFIED", "copy.jpg")
		b.table += "copied.jpg,,DMI-ALLOWED\nleft.jpg,,DMI-ALLOWED\nnew/moved.jpg,,DMI-ALLOWED\n"
		b.run()
		same(t, "lifted", b.works(), []string{"active copied.jpg", "active copy.jpg", "active free.jpg", "active left.jpg", "active new/moved.jpg", "reserved malformed.jpg", "reserved new/back.jpg"})
		same(t, "evidence", evidenceOf(t, b, "left.jpg"), []string{"iptc-plus DMI-PROHIBITED table", "iptc-plus UNREADABLE table", "consent DMI-ALLOWED table"})
		b.table = "" // it has been lifted: leaving the row out now is no prohibition
		b.run()
		if w := workAt(t, b, "left.jpg"); w.State != registry.Active {
			t.Errorf("%v", w.State)
		}
	})
}
