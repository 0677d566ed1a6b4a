package main

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/internal/store/s3test"
)

func imported(t *testing.T, sh *shell, args ...string) importJSON {
	t.Helper()
	return one[importJSON](t, sh.must(0, append([]string{"import"}, args...)...).out)
}

func filesOf(list []reservedJSON) (files []string) {
	for _, r := range list {
		files = append(files, r.File+" "+r.Protocol)
	}
	return files
}

// TestConsents: what the site and the table reserve, and what a recorded consent lifts of it; all of it stays on record.
func TestConsents(t *testing.T) {
	sh, dir := newShell(t), copyPhotos(t, few...)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	csv, rules := filepath.Join(t.TempDir(), "t.csv"), filepath.Join(t.TempDir(), "tdmrep.json")
	put(t, csv, []byte("file,data_mining\nsky/kite.jpg,DMI-PROHIBITED\n"))
	put(t, rules, []byte(`[{"location":"/p/mountains/","tdm-reservation":1},{"location":"/p/sky/storm*","tdm-reservation":1}]`))
	rep := imported(t, sh, dir, "--csv", csv, "--tdmrep", rules, "--site-prefix", "/p/")
	all := []string{"mountains/picos-trail.jpg tdmrep", "mountains/sunrise-ridge.jpg tdmrep", "sky/kite.jpg iptc-plus", "sky/storm-road.jpg tdmrep"}
	if diff := cmp.Diff(all, filesOf(rep.Reserved)); diff != "" || rep.Works != 0 {
		t.Fatalf("%s %+v", diff, rep)
	}
	// Table and rules hold without being given again.
	if rep := imported(t, sh, dir); rep.Unchanged != 4 || rep.Written != (writtenJSON{}) || len(rep.Reserved) != 4 {
		t.Errorf("again: %+v", rep)
	}
	for _, bad := range []string{"yes", "by: A; on: 2026-11-01", "by: A; on: 2999-01-01; contract: C"} {
		sh.must(2, "import", dir, "--consent", bad)
	}
	sh.must(2, "import", dir, "--consent-for", "sky")
	const text = "by: Anna Berg; on: 2026-11-01; contract: AB-17"
	rep = imported(t, sh, dir, "--consent", text, "--consent-for", "mountains")
	if diff := cmp.Diff(all[2:], filesOf(rep.Reserved)); diff != "" || rep.Lifted != 2 || rep.Works != 2 {
		t.Errorf("consent for a folder: %s %+v", diff, rep)
	}
	file := filepath.Join(t.TempDir(), "consent.txt")
	put(t, file, []byte("by: Anna Berg\non: 2026-11-02\ncontract: AB-18\n"))
	rep = imported(t, sh, dir, "--consent", file)
	if diff := cmp.Diff([]string{"sky/kite.jpg iptc-plus"}, filesOf(rep.Reserved)); diff != "" || rep.Lifted != 1 {
		t.Errorf("consent for all: %s %+v", diff, rep)
	}
	put(t, csv, []byte("file,data_mining\nsky/kite.jpg,DMI-ALLOWED\n"))
	if rep := imported(t, sh, dir, "--csv", csv); len(rep.Reserved) != 0 || rep.Updated != 1 || rep.Works != 4 {
		t.Errorf("the table allows: %+v", rep)
	}
	evidence := t.TempDir()
	found := map[string]int{}
	for _, v := range parseAll[reservationJS](t, sh.must(0, "reservations", "--evidence", evidence).out) {
		found[v.Protocol]++
		if string(read(t, v.Evidence)) == "" || filepath.Base(v.Evidence) != v.SHA256 {
			t.Errorf("%+v", v)
		}
	}
	// Two consents, and the row that lifted what the table before had reserved.
	if diff := cmp.Diff(map[string]int{"iptc-plus": 1, "tdmrep": 3, "consent": 3}, found); diff != "" {
		t.Errorf("on record: %s", diff)
	}
	var whole []string
	for _, v := range parseAll[reservationJS](t, sh.must(0, "reservations", "--work", "mountains/picos-trail.jpg").out) {
		whole = append(whole, v.Protocol+" "+v.Path)
	}
	if diff := cmp.Diff([]string{"consent mountains/*", "consent *", "tdmrep "}, whole); diff != "" {
		t.Errorf("of one work: %s", diff)
	}
	var paged []string // the same, one at a time
	for args := []string{"reservations", "--work", "mountains/picos-trail.jpg", "--limit", "1"}; args != nil; {
		type line struct {
			reservationJS
			nextJSON
		}
		got := parseAll[line](t, sh.must(0, args...).out)
		paged = append(paged, got[0].Protocol+" "+got[0].Path)
		switch last := got[len(got)-1]; {
		case len(got) == 2 && last.Next != "" && len(paged) < 4:
			args = append(args[:5], "--after", last.Next)
		case len(got) == 1:
			args = nil
		default:
			t.Fatalf("a page of one: %+v", got)
		}
	}
	if diff := cmp.Diff(whole, paged); diff != "" {
		t.Errorf("page by page: %s", diff)
	}
	sh.must(2, "reservations", "--work", "mountains/picos-trail.jpg", "--after", "x")
}

// TestViews: lists go on where they were cut, in any state; a work is shown with all that is known.
func TestViews(t *testing.T) {
	sh, dir := newShell(t), copyPhotos(t, few...)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	table := filepath.Join(t.TempDir(), "t.jsonl")
	put(t, table, []byte(`{"file":"sky/kite.jpg","title":"Kite","rights_holder":"Anna Berg","isni":"0000 0001 2281 955X"}`+"\n"+
		`{"file":"sky/storm-road.jpg","rights_holder":"Bo","isni":"0000 0001 2281 9551"}`+"\n"+`{"file":"sky/nowhere.jpg","title":"x"}`+"\n"))
	sh.must(2, "import", dir, "--csv", table)
	rep := imported(t, sh, dir, "--jsonl", table)
	if diff := cmp.Diff([]string{"sky/nowhere.jpg"}, rep.Table.RowsWithoutFile); diff != "" || rep.Table.NoRow != 2 || rep.Todos["rights_holder"] != 3 {
		t.Errorf("%s %+v %+v", diff, rep.Table, rep.Todos)
	}
	if want := []conflictJSON{{"sky/kite.jpg", 1, "title", "Kite in a blue sky", "Kite"}}; !cmp.Equal(want, rep.Conflicts) {
		t.Errorf("the file's word goes first: %+v", rep.Conflicts)
	}
	kite := one[workJSON](t, sh.must(0, "works", "show", "sky/kite.jpg").out)
	if diff := cmp.Diff([]shareJSON{{"isni:000000012281955X", "Anna Berg", 10_000}}, kite.Shares); diff != "" || kite.Title != "Kite in a blue sky" || kite.ISCC == "" {
		t.Errorf("%s %+v", diff, kite)
	}
	road := one[workJSON](t, sh.must(0, "works", "show", "sky/storm-road.jpg").out)
	if len(road.Shares) > 0 || !strings.Contains(sh.must(0, "todos", "--field", "rights_holder").out, "0000000122819551 fails its check character") {
		t.Errorf("%+v", road)
	}
	var paths []string
	for after := ""; ; {
		args := []string{"works", "--by", "path", "--limit", "3"}
		if after != "" {
			args = append(args, "--after", after)
		}
		page := parseAll[struct {
			File string
			Next string
		}](t, sh.must(0, args...).out)
		after = ""
		for _, line := range page {
			if line.Next != "" {
				after = line.Next
			} else {
				paths = append(paths, line.File)
			}
		}
		if after == "" {
			break
		}
	}
	if diff := cmp.Diff(few, paths); diff != "" {
		t.Errorf("works by path: %s", diff)
	}
	if found := parseAll[workJSON](t, sh.must(0, "works", "search", "kite").out); len(found) != 1 || found[0].File != "sky/kite.jpg" {
		t.Errorf("%+v", found)
	}
	if err := os.Remove(filepath.Join(dir, "sky/kite.jpg")); err != nil {
		t.Fatal(err)
	}
	imported(t, sh, dir)
	if gone := parseAll[workJSON](t, sh.must(0, "works", "list", "--state", "missing").out); len(gone) != 1 || gone[0].File != "sky/kite.jpg" {
		t.Errorf("%+v", gone)
	}
	for _, wrong := range [][]string{{"works", "--state", "lost"}, {"works", "--by", "size"}, {"works", "--after", "x"}, {"works", "--limit", "-1"}, {"works", "show", "nothing"},
		{"import", dir, "--rate", "-1"}, {"import", dir, "--max-memory", "much"}, {"import", dir, "--csv", "a", "--jsonl", "b"}} {
		sh.must(2, wrong...)
	}
}

// TestImportBucket imports a bucket, and then a part of it.
func TestImportBucket(t *testing.T) {
	server := s3test.Start(t, s3test.Config{})
	opt := server.Bucket(t)
	sh := newShell(t)
	maps.Copy(sh.env, map[string]string{"AWS_ENDPOINT_URL": server.Endpoint, "AWS_REGION": s3test.Region, "AWS_ACCESS_KEY_ID": s3test.AccessKey, "AWS_SECRET_ACCESS_KEY": s3test.SecretKey})
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	masters := filepath.Join(server.Folder, opt.Bucket, "masters")
	for _, name := range few {
		put(t, filepath.Join(masters, name), read(t, filepath.Join(photos, name)))
	}
	put(t, filepath.Join(server.Folder, opt.Bucket, "elsewhere.jpg"), read(t, filepath.Join(photos, few[0])))
	place := "s3://" + opt.Bucket + "/masters"
	if rep := imported(t, sh, place); rep.Works != 4 || rep.Added != 4 || !strings.HasPrefix(rep.Root, place) {
		t.Errorf("%+v", rep)
	}
	if rep := imported(t, sh, place); rep.Unchanged != 4 || rep.Written != (writtenJSON{}) {
		t.Errorf("again: %+v", rep)
	}
	for _, name := range few {
		if err := os.Remove(filepath.Join(masters, name)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(masters, "sky/moved.jpg"), read(t, filepath.Join(photos, few[2])))
	if rep := imported(t, sh, place+"/sky"); rep.Moved != 1 || rep.Works != 3 || len(rep.Missing) != 1 { // the mountains were not looked at
		t.Errorf("a part: %+v", rep)
	}
	if o := sh.must(2, "import", "s3://"+opt.Bucket); !strings.Contains(o.err, "--move-root") {
		t.Error(o.err)
	}
	if strings.Contains(sh.printed.String(), s3test.SecretKey) {
		t.Error("the secret key was printed")
	}
}

// TestImportAfterTakeOver: an import knows the files of a workspace that was taken over: it reads each again, once, and sees
// which are gone.
func TestImportAfterTakeOver(t *testing.T) {
	sh := oldWorkspace(t)
	masters := filepath.Join(filepath.Dir(sh.env["FILIGRANE_WORKSPACE"]), "masters")
	if err := os.Remove(filepath.Join(masters, "sky/storm-road.jpg")); err != nil {
		t.Fatal(err)
	}
	rep := imported(t, sh, masters)
	if rep.Updated != 2 || rep.Added != 0 || rep.Works != 2 || !cmp.Equal([]string{"sky/kite.jpg", "sky/storm-road.jpg"}, rep.Missing) {
		t.Errorf("%+v", rep)
	}
	if rep := imported(t, sh, masters); rep.Unchanged != 2 || rep.Written != (writtenJSON{}) {
		t.Errorf("again: %+v", rep)
	}
}

// TestImportPart: a table or rules given with a part of the masters are refused: those that are kept stay and hold for all.
func TestImportPart(t *testing.T) {
	sh, dir := newShell(t), copyPhotos(t, few...)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	files := t.TempDir()
	csv, rules, less := filepath.Join(files, "t.csv"), filepath.Join(files, "tdmrep.json"), filepath.Join(files, "less.csv")
	put(t, csv, []byte("file,data_mining\nmountains/picos-trail.jpg,DMI-PROHIBITED\n"))
	put(t, rules, []byte(`[{"location":"/sky/storm*","tdm-reservation":1}]`))
	put(t, less, []byte("file,data_mining\nsky/kite.jpg,DMI-ALLOWED\n"))
	rep := imported(t, sh, dir, "--csv", csv, "--tdmrep", rules)
	put(t, rules, []byte(`[]`))
	for _, flag := range [][]string{{"--csv", less}, {"--jsonl", less}, {"--tdmrep", rules}, {"--rsl", rules}, {"--site-prefix", "/p/"}, {"--csv", less, "--detach"}} {
		if o := sh.must(2, append([]string{"import", filepath.Join(dir, "sky")}, flag...)...); !strings.Contains(o.err, "import "+rep.Root+" with it") {
			t.Errorf("%q: %s", flag, o.err)
		}
	}
	imported(t, sh, filepath.Join(dir, "sky"))
	again := imported(t, sh, dir)
	if diff := cmp.Diff(filesOf(rep.Reserved), filesOf(again.Reserved)); diff != "" || len(rep.Reserved) != 2 || again.Written != (writtenJSON{}) {
		t.Errorf("%s %+v", diff, again)
	}
}

// dots writes so many small pictures, all different.
func dots(t *testing.T, dir string, n int) {
	t.Helper()
	for i := range n {
		img := image.NewGray(image.Rect(0, 0, 16, 16))
		for at := range img.Pix {
			img.Pix[at] = byte(at*i + i)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, fmt.Sprintf("%03d.png", i)), b.Bytes())
	}
}

// TestAcceptMissing: where most files are gone nothing is called missing unless that is meant, by the verb and by a worker.
func TestAcceptMissing(t *testing.T) {
	sh, dir := newShell(t), t.TempDir()
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	dots(t, dir, 30)
	imported(t, sh, dir)
	for i := range 25 {
		if err := os.Remove(filepath.Join(dir, fmt.Sprintf("%03d.png", i))); err != nil {
			t.Fatal(err)
		}
	}
	if o := sh.must(2, "import", dir); !strings.Contains(o.err, "25 of the 30") || !strings.Contains(o.err, "--accept-missing") {
		t.Error(o.err)
	}
	detached := func(args ...string) jobJSON {
		left := one[detachedJSON](t, sh.must(0, append([]string{"import", dir, "--detach"}, args...)...).out)
		sh.must(0, "worker", "--drain", "--quiet")
		return sh.job(left.Job)
	}
	if j := detached(); j.State != "failed" || !strings.Contains(j.Why, "--accept-missing") {
		t.Errorf("%+v", j)
	}
	if gone := parseAll[workJSON](t, sh.must(0, "works", "list", "--state", "missing").out); len(gone) != 0 {
		t.Errorf("%d works are missing", len(gone))
	}
	if j := detached("--accept-missing"); j.State != "finished" {
		t.Errorf("%+v", j)
	}
	if rep := imported(t, sh, dir); len(rep.Missing) != 25 || rep.Works != 5 || rep.Written != (writtenJSON{}) {
		t.Errorf("%+v", rep)
	}
}

// TestDetachedFlags: what a job is given is what the worker acts on.
func TestDetachedFlags(t *testing.T) {
	sh, dir := newShell(t), copyPhotos(t, few...)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	csv, consent := filepath.Join(t.TempDir(), "t.csv"), filepath.Join(t.TempDir(), "consent.txt")
	put(t, csv, []byte("file,title\nsky/kite.jpg,Kite\n"))
	imported(t, sh, dir, "--csv", csv)

	put(t, csv, append([]byte("file,title\n"), bytes.Repeat([]byte(strings.Repeat("x", 1000)+".jpg,"+strings.Repeat("y", 1000)+"\n"), mostTable/2000)...))
	if o := sh.must(2, "import", dir, "--csv", csv, "--detach"); !strings.Contains(o.err, "without --detach") {
		t.Error(o.err)
	}
	if rep := imported(t, sh, dir); rep.Table == nil || rep.Table.Rows != 1 || rep.Unchanged != 4 {
		t.Errorf("the table that was kept: %+v", rep)
	}

	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	const said = "by: Anna Berg\non: 2026-11-01\ncontract: AB-17" // no newline at its end
	put(t, consent, []byte(said))
	left := one[detachedJSON](t, sh.must(0, "import", moved, "--move-root", "--consent", consent, "--detach").out)
	if err := os.Remove(consent); err != nil { // the worker may be elsewhere
		t.Fatal(err)
	}
	sh.must(0, "worker", "--drain", "--quiet")
	if j := sh.job(left.Job); j.State != "finished" {
		t.Fatalf("%+v", j)
	}
	if rep := imported(t, sh, moved); rep.Unchanged != 4 || rep.Written != (writtenJSON{}) {
		t.Errorf("%+v", rep)
	}
	evidence := t.TempDir()
	kept := parseAll[reservationJS](t, sh.must(0, "reservations", "--evidence", evidence).out)
	if len(kept) != 1 || kept[0].URL != "consent.txt" || string(read(t, kept[0].Evidence)) != said {
		t.Errorf("%+v", kept)
	}
}
