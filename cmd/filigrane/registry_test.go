package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/registry/pgtest"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
)

const fixture = "testdata/before-registry"

// oldWorkspace is one that the program made before there was a registry (make.sh says how), with its masters and its
// delivery at hand.
func oldWorkspace(t *testing.T) *shell {
	t.Helper()
	sh := newShell(t)
	sh.env["FILIGRANE_KEY"] = strings.Repeat("5a", 32)
	at := filepath.Join(sh.env["HOME"], "fixture")
	if err := os.CopyFS(at, os.DirFS(fixture)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mountains/picos-trail.jpg", "mountains/sunrise-ridge.jpg", "sky/storm-road.jpg"} {
		put(t, filepath.Join(at, "masters", name), read(t, filepath.Join(photos, name)))
	}
	sh.env["FILIGRANE_WORKSPACE"] = filepath.Join(at, "ws")
	for _, name := range []string{"filigrane.json", "deliveries.json"} {
		file := filepath.Join(at, "ws", name)
		put(t, file, bytes.ReplaceAll(read(t, file), []byte("/filigrane-fixture"), []byte(at)))
	}
	return sh
}

// TestTakenOver: a workspace of before the registry is taken over with everything it knew, and finds what it marked then.
func TestTakenOver(t *testing.T) {
	sh := oldWorkspace(t)
	at := filepath.Dir(sh.env["FILIGRANE_WORKSPACE"])
	book := read(t, filepath.Join(at, "ws/codebook"))
	o := sh.must(0, "detect", filepath.Join(at, "pictures"))
	if !strings.Contains(o.err, "4 works, 2 catalogues, 2 deliveries") {
		t.Error(o.err)
	}
	licences := map[string]int{}
	for _, d := range parseAll[detection](t, o.out) {
		if d.Verdict != "attributed" || d.Work == nil || d.Work.Path == "" || len(d.Concepts) == 0 || d.Concepts[0].Name == "" {
			t.Errorf("%s: %+v", d.File, d)
			continue
		}
		licences[d.Delivery.Licence]++
	}
	if licences["acme"] != 4 || licences["internal"] != 1 {
		t.Errorf("%v", licences)
	}
	r := openRecords(t, sh)
	s := &session{ctx: t.Context()}
	versions, err := r.versions(s)
	if err != nil || len(versions) != 2 {
		t.Fatalf("%v, %v", versions, err)
	}
	for _, v := range versions {
		var old struct {
			Hash string `json:"hash"`
		}
		if err := json.Unmarshal(read(t, filepath.Join(at, "ws/before-registry/catalogues", v.Ref.String()+".json")), &old); err != nil || !strings.HasSuffix(v.String(), old.Hash) {
			t.Errorf("%v, was %s, %v", v, old.Hash, err)
		}
	}
	if b, err := r.book(s); err != nil {
		t.Error(err)
	} else if text, _ := b.MarshalText(); !bytes.Equal(text, book) {
		t.Errorf("the codebook was\n%s\nand is\n%s", book, text)
	}
	st := one[statusJSON](t, sh.must(0, "status").out)
	if st.Works["active"] != 3 || st.Works["missing"] != 1 || st.Keys != 2 || st.Masters != filepath.Join(at, "masters") || st.Database != "sqlite" {
		t.Errorf("%+v", st)
	}
	for name := range map[string]bool{"works.jsonl": true, "codebook": true, "deliveries.json": true, "metadata.csv": true, "catalogues": true} {
		if exists(filepath.Join(at, "ws", name)) || !exists(filepath.Join(at, "ws/before-registry", name)) {
			t.Errorf("%s was not put aside", name)
		}
	}
	// Nothing has changed, so grouping again by the same rules is no new version; descriptors were not lost.
	if f := one[freezeJSON](t, sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring").out); f.New || f.Catalogue != "spring@2" {
		t.Errorf("%+v", f)
	}
	if err := os.RemoveAll(filepath.Join(at, "masters")); err != nil {
		t.Fatal(err)
	}
	sh.must(0, "concepts", "--by", "visual:2", "--catalogue", "looks")
	if o := sh.must(0, "concepts", "explain", "sky/kite.jpg", "-c", "spring@1"); !strings.Contains(o.out, `"rule":"folder"`) {
		t.Error(o.out)
	}
}

// TestAdopted: a delivery of before the registry is kept with all its files; recalls find it and increments go on from it.
func TestAdopted(t *testing.T) {
	sh := oldWorkspace(t)
	at := filepath.Dir(sh.env["FILIGRANE_WORKSPACE"])
	place := filepath.Join(at, "delivery")
	got := parseAll[deliveryLine](t, sh.must(0, "deliveries", "adopt").out)
	if len(got) != 1 || got[0].Place != place || got[0].State != "delivered" || got[0].Licence != "acme" || got[0].Catalogue != "spring@1" {
		t.Fatalf("%+v", got)
	}
	if shown := one[deliveryShown](t, sh.must(0, "deliveries", "show", got[0].ID).out); shown.Items["delivered"].Works != 4 {
		t.Errorf("%+v", shown)
	}
	before := sums(t, sh)
	if o := sh.must(0, "deliveries", "adopt"); o.out != "" {
		t.Error(o.out)
	}
	sh.must(0, "deliveries", "adopt", place)
	if !maps.Equal(before, sums(t, sh)) {
		t.Error("adopting the same again changed the registry")
	}
	sh.must(2, "deliveries", "adopt", t.TempDir())
	if n := one[recallJSON](t, sh.must(0, "recall", "mountains/sunrise-ridge.jpg", "--why", "x").out); n.Removals != 1 {
		t.Errorf("%+v", n)
	}
	sh.must(0, "concepts", "--by", "folder", "--by", "visual:2", "--catalogue", "spring")
	inc := one[deliverJSON](t, sh.deliver(0, filepath.Join(at, "increment"), "--licence", "acme", "--format", "jpeg", "--increment").out)
	if inc.Summary.Removals == 0 {
		t.Errorf("%+v", inc.Summary)
	}
}

// TestAdoptedUnderAnEndedLicence: what was delivered before the registry is kept also where the licence has ended, or was revoked,
// since; under neither is anything delivered any more.
func TestAdoptedUnderAnEndedLicence(t *testing.T) {
	for what, terms := range map[string][]string{"ended": {"--from", "2020-01-01", "--until", "2020-12-31"}, "revoked": {"--from", "2020-01-01"}} {
		sh := oldWorkspace(t)
		at := filepath.Dir(sh.env["FILIGRANE_WORKSPACE"])
		sh.must(0, append([]string{"licence", "add", "acme", "-c", "spring@1"}, terms...)...)
		if what == "revoked" {
			sh.must(0, "licence", "revoke", "acme", "--why", "notice")
		}
		got := one[deliveryLine](t, sh.must(0, "deliveries", "adopt").out)
		if got.Place != filepath.Join(at, "delivery") || got.State != "delivered" || got.Licence != "acme" {
			t.Errorf("%s: %+v", what, got)
		}
		shown := one[deliveryShown](t, sh.must(0, "deliveries", "show", got.ID).out)
		if shown.Items["delivered"].Works != 4 || shown.Steps[0].Why != "adopted" {
			t.Errorf("%s: %+v", what, shown)
		}
		if o := sh.deliver(2, filepath.Join(at, "more"), "-c", "spring@1", "--licence", "acme"); !strings.Contains(o.err, "nothing more is delivered under it") {
			t.Error(o.err)
		}
	}
}

// TestTakenOverAgain: cut off after any step, taking over begins again and ends in the same.
func TestTakenOverAgain(t *testing.T) {
	t.Run("into PostgreSQL", func(t *testing.T) {
		sh := oldWorkspace(t)
		sh.env["FILIGRANE_REGISTRY"] = pgtest.New(t)
		sh.must(0, "status")
		delete(sh.env, "FILIGRANE_REGISTRY") // the workspace knows it by now
		if st := one[statusJSON](t, sh.must(0, "status").out); st.Database != "postgresql" || st.Catalogues != 2 {
			t.Errorf("%+v", st)
		}
	})
	want := map[string]registry.Sum{}
	for steps := range 6 {
		sh := oldWorkspace(t)
		if steps > 0 {
			interruptTakeOver(t, sh, steps)
		}
		sh.must(0, "concepts", "list", "-c", "spring")
		got := content(t, sh)
		if steps == 0 {
			want = got
		}
		if !maps.Equal(got, want) {
			t.Errorf("after %d steps: %v, undisturbed %v", steps, got, want)
		}
	}
}

// content hashes the tables without times or places.
func content(t *testing.T, sh *shell) map[string]registry.Sum {
	got := sums(t, sh)
	same := map[string]registry.Sum{}
	for _, name := range []string{"codebook", "catalogue_works", "catalogue_concepts", "catalogue_members", "memberships", "descriptors"} {
		same[name] = got[name]
	}
	for _, name := range []string{"works", "markings", "documents", "catalogue_versions", "reservations", "tenants"} {
		same[name] = registry.Sum{Rows: got[name].Rows}
	}
	return same
}

// interruptTakeOver does the first steps of taking over, as a process does that then dies.
func interruptTakeOver(t *testing.T, sh *shell, steps int) {
	t.Helper()
	s := &session{ctx: t.Context(), globals: globals{Workspace: sh.env["FILIGRANE_WORKSPACE"]}}
	ws, err := s.workspace()
	if err != nil {
		t.Fatal(err)
	}
	old, err := ws.Old()
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(t.Context(), ws.Registry())
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	r := &records{ws, reg, registry.Scope{Tenant: ws.Tenant(), Role: registry.Bank}}
	if err := enrol(s.ctx, reg, r.scope, ws.Bank(), ws.KeyFingerprint(), time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, step := range takeOverSteps(r)[:steps-1] {
		if err := step(s, old); err != nil {
			t.Fatal(err)
		}
	}
}

// deliver is the least a delivery needs.
func (sh *shell) deliver(code int, where string, args ...string) outcome {
	sh.t.Helper()
	return sh.must(code, append([]string{"deliver", "-c", "spring", "--geometry", "square:256", "-o", where}, args...)...)
}

// TestOnPostgreSQL tells the main story on PostgreSQL: two banks share a database and see nothing of one another, and a second
// machine of one of them works on with the same key.
func TestOnPostgreSQL(t *testing.T) {
	address := pgtest.New(t)
	var shells []*shell
	for _, name := range []string{"North Bank", "South Bank"} {
		sh, masters := newShell(t), copyPhotos(t, few...)
		made := one[map[string]any](t, sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", name, "--registry", address).out)
		if made["tenant"] != strings.ReplaceAll(strings.ToLower(name), " ", "-") {
			t.Errorf("%v", made)
		}
		sh.must(0, "import", masters, "--csv", filepath.Join(photos, "metadata.csv"))
		sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring")
		if exists(filepath.Join(sh.env["FILIGRANE_WORKSPACE"], "registry.db")) {
			t.Error("a file was made beside the database")
		}
		shells = append(shells, sh)
	}
	north, south := shells[0], shells[1]
	out, pictures := filepath.Join(t.TempDir(), "delivery"), t.TempDir()
	rep := one[deliverJSON](t, north.deliver(0, out, "--licence", "acme").out)
	untar(t, shardOf(t, out), pictures)
	for _, d := range parseAll[detection](t, north.must(0, "detect", pictures).out) {
		if d.Skipped == nil && (d.Work == nil || d.Delivery.Licence != "acme") {
			t.Errorf("%+v", d)
		}
	}
	for _, args := range [][]string{{"deliveries", "show", rep.ID}, {"licence", "show", "acme"}, {"deliveries", "removals", rep.ID}, {"detect", pictures}} {
		if o := south.must(2, args...); !strings.Contains(o.err, "not found") && !strings.Contains(o.err, "knows no delivery") {
			t.Errorf("%v: %s", args, o.err)
		}
	}
	if o := south.must(0, "deliveries"); o.out != "" {
		t.Errorf("%s", o.out)
	}
	if lines := parseAll[tenantJSON](t, north.must(0, "tenants", "list").out); len(lines) != 2 {
		t.Errorf("%+v", lines)
	}

	second := newShell(t) // another machine of the first bank, with the same key
	key := strings.TrimSpace(strings.TrimPrefix(string(read(t, filepath.Join(north.env["FILIGRANE_WORKSPACE"], "master.key"))), "filigrane-key-1:"))
	if o := second.must(2, "init", second.env["FILIGRANE_WORKSPACE"], "--bank", "North Bank", "--registry", address); !strings.Contains(o.err, "another --tenant") {
		t.Errorf("another key: %s", o.err)
	}
	if exists(filepath.Join(second.env["FILIGRANE_WORKSPACE"], "master.key")) {
		t.Error("a key was left that no workspace has")
	}
	second.env["FILIGRANE_KEY"] = key
	second.must(0, "init", second.env["FILIGRANE_WORKSPACE"], "--bank", "North Bank", "--registry", address)
	second.must(0, "detect", pictures)
	if st := one[statusJSON](t, second.must(0, "status").out); st.Works["active"] != 4 || st.Deliveries["delivered"] != 1 || st.Database != "postgresql" {
		t.Errorf("%+v", st)
	}
}

// TestPasswords: the test server asks for none, so one is put into its address here.
func TestPasswords(t *testing.T) {
	address := pgtest.New(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	const secret = "geheim-4711"
	if u.User != nil {
		u.User = url.UserPassword(u.User.Username(), secret)
	} else {
		q := u.Query()
		q.Set("password", secret)
		u.RawQuery = q.Encode()
	}
	sh := newShell(t)
	sh.env["FILIGRANE_REGISTRY"] = u.String()
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	sh.must(0, "status")
	sh.must(0, "backup", "-o", filepath.Join(t.TempDir(), "b.tar.zst"))
	sh.env["FILIGRANE_REGISTRY"] = strings.Replace(u.String(), "postgres://", "postgres://nobody:"+secret+"@nowhere.invalid:1/x?", 1)
	sh.must(2, "status")
	delete(sh.env, "FILIGRANE_REGISTRY")
	sh.must(0, "status")
	if strings.Contains(sh.printed.String(), secret) {
		t.Errorf("the password was printed:\n%s", sh.printed.String())
	}
	err = filepath.WalkDir(sh.env["FILIGRANE_WORKSPACE"], func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && bytes.Contains(read(t, p), []byte(secret)) {
			t.Errorf("%s holds the password", p)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLicences: a licence is made by the first delivery or by hand; what disagrees with it is named, and nothing is delivered
// after its end.
func TestLicences(t *testing.T) {
	sh, _ := bank(t)
	out := func() string { return filepath.Join(t.TempDir(), "out") }
	first := out()
	sh.deliver(0, first, "--licence", "acme", "--recipient", "Acme", "--stage", "fine-tuning", "--territory", "FR, DE", "--until", "2999-12-31")
	l := parseAll[licenceJSON](t, sh.must(0, "licence", "list").out)
	if len(l) != 1 || l[0].Party != "Acme" || !slices.Equal(l[0].Stages, []string{"fine-tuning"}) || !slices.Equal(l[0].Territory, []string{"DE", "FR"}) || l[0].Until != "2999-12-31" || l[0].Catalogue != "spring@1" {
		t.Errorf("%+v", l)
	}
	sh.deliver(0, out(), "--licence", "acme")
	o := sh.deliver(2, out(), "--licence", "acme", "--recipient", "Other", "--until", "2999-01-01")
	if !strings.Contains(o.err, "its recipient is Acme, not Other") || !strings.Contains(o.err, "its last day is 2999-12-31, not 2999-01-01") {
		t.Error(o.err)
	}
	if o := sh.deliver(2, out(), "--licence", "acme", "--purpose", "evaluation"); !strings.Contains(o.err, "its purpose is training") {
		t.Error(o.err)
	}
	sh.must(0, "licence", "add", "by-hand", "-c", "spring", "--until", "2999-12-31")
	sh.must(0, "licence", "add", "by-hand", "-c", "spring", "--until", "2999-12-31")
	sh.must(2, "licence", "add", "by-hand", "-c", "spring", "--until", "2998-12-31")
	sh.must(0, "licence", "add", "over", "-c", "spring", "--from", "2020-01-01", "--until", "2020-12-31")
	if o := sh.deliver(2, out(), "--licence", "over"); !strings.Contains(o.err, "licence over ended on 2020-12-31") {
		t.Error(o.err)
	}
	sh.must(2, "licence", "revoke", "acme")
	sh.must(0, "licence", "revoke", "acme", "--why", "notice was given")
	second := out()
	if o := sh.deliver(2, second, "--licence", "acme"); !strings.Contains(o.err, "licence acme was revoked on") || !strings.Contains(o.err, "notice was given") {
		t.Error(o.err)
	}
	if exists(filepath.Join(second, "job.json")) {
		t.Error("something was begun")
	}
	if again := one[deliverJSON](t, sh.deliver(0, first, "--licence", "acme").out); !again.AlreadyFinished {
		t.Error("what was delivered before can be looked at")
	}
	show := one[map[string]any](t, sh.must(0, "licence", "show", "acme").out)
	if list, _ := show["deliveries"].([]any); len(list) != 2 || show["why"] != "notice was given" {
		t.Errorf("%v", show)
	}
	sh.deliver(0, out()) // in the house
	if o := sh.must(2, "licence", "show", "nobody"); !strings.Contains(o.err, "not found") {
		t.Error(o.err)
	}
}

// TestRecall: a recalled work cannot be delivered any more; the next increment tells the customer, in the words of the recall.
func TestRecall(t *testing.T) {
	sh, masters := bank(t)
	first, second, third := filepath.Join(t.TempDir(), "1"), filepath.Join(t.TempDir(), "2"), filepath.Join(t.TempDir(), "3")
	if o := sh.deliver(2, first, "--licence", "acme", "--increment"); !strings.Contains(o.err, "no finished delivery") {
		t.Error(o.err)
	}
	rep := one[deliverJSON](t, sh.deliver(0, first, "--licence", "acme").out)
	before := sums(t, sh)
	if line := one[deliveryLine](t, sh.must(0, "deliveries", "adopt", first).out); line.ID != rep.ID || !maps.Equal(before, sums(t, sh)) {
		t.Errorf("adopting what is there makes %s of %s", line.ID, rep.ID)
	}
	shown := parseAll[json.RawMessage](t, sh.must(0, "deliveries", "show", rep.ID, "--items").out)
	if len(shown) != 1+4 {
		t.Fatalf("%d lines", len(shown))
	}
	var item itemJSON
	if err := json.Unmarshal(shown[1], &item); err != nil || len(item.SHA256) != 64 || item.Shard != rep.Shards[0].Name || item.PSNRDB < 38 || item.ISCC == "" {
		t.Errorf("%+v, %v", item, err)
	}
	sh.must(2, "recall", "sky/kite.jpg")
	sh.must(2, "recall", "nothing.jpg", "--why", "x")
	got := one[recallJSON](t, sh.must(0, "recall", "sky/kite.jpg", "--why", "consent withdrawn").out)
	if got.Recalled != 1 || got.Removals != 1 {
		t.Errorf("%+v", got)
	}
	if got := one[recallJSON](t, sh.must(0, "recall", "sky/kite.jpg", "--why", "again").out); got.Recalled != 0 || got.Removals != 0 || got.Unchanged != 1 {
		t.Errorf("%+v", got)
	}
	removals := parseAll[removalJSON](t, sh.must(0, "deliveries", "removals", rep.ID).out)
	if len(removals) != 1 || removals[0].Why != "consent withdrawn" || removals[0].Work != got.Works[0] {
		t.Errorf("%+v", removals)
	}
	if o := sh.deliver(2, second, "--licence", "acme"); !strings.Contains(o.err, "1 works of spring@1 are recalled by now, sky/kite.jpg the first") {
		t.Error(o.err)
	}
	sh.must(0, "import", masters) // does not bring it back
	if f := one[freezeJSON](t, sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring").out); f.Works != 3 || f.Catalogue != "spring@2" {
		t.Errorf("%+v", f)
	}
	o := sh.deliver(0, second, "--licence", "acme", "--increment")
	inc := one[deliverJSON](t, o.out)
	if inc.Summary.Images != 0 || inc.Summary.Removals != 1 || !strings.Contains(o.err, "going on from "+first) {
		t.Errorf("%+v\n%s", inc.Summary, o.err)
	}
	if text := string(read(t, filepath.Join(second, "removals.json"))); !strings.Contains(text, "consent withdrawn") {
		t.Error(text)
	}
	if again := one[deliverJSON](t, sh.deliver(0, second, "--licence", "acme", "--increment").out); !again.AlreadyFinished || again.ID != inc.ID {
		t.Errorf("the same again: %+v", again)
	}
	put(t, filepath.Join(masters, "sky/open-beach.jpg"), read(t, filepath.Join(photos, "sky/open-beach.jpg")))
	sh.must(0, "import", masters)
	sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring")
	sh.must(0, "recall", "mountains/picos-trail.jpg", "--why", "later") // after the freeze: refused until there is a new version
	sh.deliver(2, third, "--licence", "acme", "--increment")
	sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring")
	last := one[deliverJSON](t, sh.deliver(0, third, "--licence", "acme", "--increment").out)
	if last.Summary.Images != 1 || last.Summary.Removals != 1 || last.Path.Catalogue != "spring@4" {
		t.Errorf("%+v", last)
	}
	again := one[deliverJSON](t, sh.deliver(0, second, "-c", "spring@2", "--licence", "acme", "--increment").out)
	if !again.AlreadyFinished || again.ManifestSHA256 != inc.ManifestSHA256 {
		t.Errorf("an older delivery, asked for again after a later recall: %+v", again)
	}
}

// TestStoppedDelivery: what a delivery went through is on record, and one that was stopped goes on under the same id.
func TestStoppedDelivery(t *testing.T) {
	sh, masters := bank(t)
	out := filepath.Join(t.TempDir(), "out")
	for _, name := range few { // nothing can be delivered
		if err := os.Rename(filepath.Join(masters, name), filepath.Join(masters, name+".away")); err != nil {
			t.Fatal(err)
		}
	}
	sh.deliver(2, out, "--licence", "acme")
	lines := parseAll[deliveryLine](t, sh.must(0, "deliveries", "list", "--state", "failed").out)
	if len(lines) != 1 || !strings.Contains(lines[0].Why, "No work was refused") {
		t.Fatalf("%+v", lines)
	}
	for _, name := range few {
		if err := os.Rename(filepath.Join(masters, name+".away"), filepath.Join(masters, name)); err != nil {
			t.Fatal(err)
		}
	}
	rep := one[deliverJSON](t, sh.deliver(0, out, "--licence", "acme").out)
	shown := one[deliveryShown](t, sh.must(0, "deliveries", "show", lines[0].ID).out)
	var states []string
	for _, step := range shown.Steps {
		states = append(states, step.State)
	}
	if rep.ID != lines[0].ID || !slices.Equal(states, []string{"planned", "running", "failed", "running", "delivered"}) || shown.Items["delivered"].Works != 4 {
		t.Errorf("%s: %v, %+v", rep.ID, states, shown.Items)
	}
	var result deliveryResult
	if err := json.Unmarshal(shown.Result, &result); err != nil || result.ManifestSHA256 != rep.ManifestSHA256 {
		t.Errorf("%s, %v", shown.Result, err)
	}
	// Other parameters at the same place: the old one stays delivered, an unfinished one would be cancelled.
	other := one[deliverJSON](t, sh.deliver(0, out, "--licence", "acme", "--preset", "strong", "--force").out)
	if other.ID == rep.ID {
		t.Error("another delivery has the same id")
	}
}

// TestBackup: a backup in either form, restored into a file or into PostgreSQL, holds the same; the key is not in it.
func TestBackup(t *testing.T) {
	sh, _ := bank(t)
	key := bytes.TrimSpace(bytes.TrimPrefix(read(t, filepath.Join(sh.env["FILIGRANE_WORKSPACE"], "master.key")), []byte("filigrane-key-1:")))
	dir := t.TempDir()
	was := sums(t, sh)
	for _, name := range []string{"a.tar.zst", "a.tar", "a.db"} {
		file := filepath.Join(dir, name)
		o := sh.must(0, "backup", "-o", file)
		rep := one[backupJSON](t, o.out)
		if !maps.Equal(rep.Tables, was) || rep.Bytes == 0 || !strings.Contains(o.err, "the master key is not in it") {
			t.Errorf("%s: %+v\n%s", name, rep, o.err)
		}
		if bytes.Contains(read(t, file), key) {
			t.Errorf("%s holds the master key", name)
		}
		sh.must(2, "backup", "-o", file)
		to := filepath.Join(dir, "restored-"+name)
		if got := one[backupJSON](t, sh.must(0, "restore", file, "--registry", to).out); !maps.Equal(got.Tables, was) || got.SHA256 != rep.SHA256 {
			t.Errorf("%s: %+v", name, got)
		}
		sh.must(2, "restore", file, "--registry", to)
		if o := sh.must(0, "concepts", "list", "--registry", to); strings.Count(o.out, "\n") != 2 {
			t.Error(o.out)
		}
	}
	t.Run("another machine", func(t *testing.T) {
		other := newShell(t)
		if err := os.Mkdir(other.env["FILIGRANE_WORKSPACE"], 0o777); err != nil {
			t.Fatal(err)
		}
		other.must(0, "restore", filepath.Join(dir, "a.tar.zst"), "--registry", filepath.Join(other.env["FILIGRANE_WORKSPACE"], "registry.db"))
		other.env["FILIGRANE_KEY"] = string(key)
		other.must(0, "init", other.env["FILIGRANE_WORKSPACE"], "--bank", "Test Bank")
		if !maps.Equal(sums(t, other), was) {
			t.Error("the registry was changed")
		}
	})
	t.Run("on what another database left", func(t *testing.T) {
		sh.t = t
		for _, name := range []string{"a.tar.zst", "a.tar", "a.db"} {
			for _, left := range []string{"", "-wal", "-shm", "-journal"} {
				to := filepath.Join(t.TempDir(), "registry.db")
				put(t, to+left, []byte("left over"))
				if left == "" && name != "a.db" {
					continue // a dump goes into a database that is there and empty
				}
				if o := sh.must(2, "restore", filepath.Join(dir, name), "--registry", to); !strings.Contains(o.err, to+left+" is there already") {
					t.Error(o.err)
				}
				if string(read(t, to+left)) != "left over" || len(list(t, filepath.Dir(to))) != 1 {
					t.Errorf("%s beside %s: %v", name, left, list(t, filepath.Dir(to)))
				}
			}
		}
	})
	t.Run("again after a damaged one", func(t *testing.T) {
		sh.t = t
		to, bad := filepath.Join(t.TempDir(), "registry.db"), t.TempDir()
		for _, name := range []string{"a.tar.zst", "a.tar", "a.db"} {
			whole := read(t, filepath.Join(dir, name))
			put(t, filepath.Join(bad, name), whole[:len(whole)/2])
			sh.must(2, "restore", filepath.Join(bad, name), "--registry", to)
			if left := list(t, filepath.Dir(to)); len(left) > 0 {
				t.Errorf("%s left %v", name, left)
			}
		}
		if got := one[backupJSON](t, sh.must(0, "restore", filepath.Join(dir, "a.db"), "--registry", to).out); !maps.Equal(got.Tables, was) {
			t.Errorf("%+v", got)
		}
		if left := list(t, filepath.Dir(to)); !slices.Equal(left, []string{"registry.db"}) {
			t.Errorf("beside it: %v", left)
		}
	})
	cut := read(t, filepath.Join(dir, "a.tar.zst"))
	put(t, filepath.Join(dir, "cut.tar.zst"), cut[:len(cut)/2])
	sh.must(2, "restore", filepath.Join(dir, "cut.tar.zst"), "--registry", filepath.Join(dir, "cut.db"))
	sh.must(2, "restore", filepath.Join(dir, "nothing.tar.zst"), "--registry", filepath.Join(dir, "x.db"))
	sh.must(2, "backup", "-o", filepath.Join(dir, "a.zip"))
	t.Run("PostgreSQL", func(t *testing.T) {
		sh.t = t
		address := pgtest.New(t)
		if got := one[backupJSON](t, sh.must(0, "restore", filepath.Join(dir, "a.tar.zst"), "--registry", address).out); !maps.Equal(got.Tables, was) {
			t.Errorf("%+v", got)
		}
		sh.must(2, "restore", filepath.Join(dir, "a.tar.zst"), "--registry", address)
		if o := sh.must(0, "concepts", "list", "--registry", address); strings.Count(o.out, "\n") != 2 {
			t.Error(o.out)
		}
	})
}

// list gives the names in a folder.
func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestBeginAgain: with master.key, sealed as it is, and a backup a bank works on on another machine, under the id it had; a second
// machine needs the key and the database. The key is never written over.
func TestBeginAgain(t *testing.T) {
	sh, masters := newShell(t), copyPhotos(t, few...)
	sh.env["FILIGRANE_PASSPHRASE"] = "open it"
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "Test Bank", "--tenant", "tb")
	sh.must(0, "import", masters)
	sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring")
	dir := t.TempDir()
	marked, backup := filepath.Join(dir, "marked.jpg"), filepath.Join(dir, "a.tar.zst")
	sh.must(0, "embed", "sky/kite.jpg", "-o", marked)
	sh.must(0, "backup", "-o", backup)
	key := read(t, filepath.Join(sh.env["FILIGRANE_WORKSPACE"], "master.key"))
	machine := func(t *testing.T) (other *shell, ws string) {
		other = newShell(t)
		ws = other.env["FILIGRANE_WORKSPACE"]
		put(t, filepath.Join(ws, "master.key"), key)
		if err := os.Chmod(filepath.Join(ws, "master.key"), 0o600); err != nil {
			t.Fatal(err)
		}
		return other, ws
	}
	begin := func(t *testing.T, registry string, restore bool) {
		other, ws := machine(t)
		args := []string{"init", ws, "--bank", "Test Bank", "--tenant", "tb"}
		if registry == "" {
			registry = filepath.Join(ws, "registry.db")
		} else {
			args = append(args, "--registry", registry)
		}
		if restore {
			other.must(0, "restore", backup, "--registry", registry)
		}
		if o := other.must(2, args...); !strings.Contains(o.err, "sealed") { // nobody to ask
			t.Error(o.err)
		}
		other.env["FILIGRANE_PASSPHRASE"] = "a guess"
		if o := other.must(2, args...); !strings.Contains(o.err, "wrong passphrase") {
			t.Error(o.err)
		}
		other.env["FILIGRANE_PASSPHRASE"] = "open it"
		other.env["FILIGRANE_KEY"] = strings.Repeat("5a", 32)
		if o := other.must(2, args...); !strings.Contains(o.err, "two master keys") {
			t.Error(o.err)
		}
		delete(other.env, "FILIGRANE_KEY")
		if exists(filepath.Join(ws, "filigrane.json")) {
			t.Error("a workspace was made without the key")
		}
		if o := other.must(0, args...); !strings.Contains(o.out, `"sealed":true`) || strings.Contains(o.err, "back up master.key") {
			t.Error(o.out, o.err)
		}
		if !bytes.Equal(read(t, filepath.Join(ws, "master.key")), key) {
			t.Error("the key was written over")
		}
		if d := one[detection](t, other.must(0, "detect", marked).out); d.Work == nil || d.Work.Path != "sky/kite.jpg" {
			t.Errorf("%+v", d)
		}
		other.must(2, args...) // there is a workspace now
	}
	t.Run("a file", func(t *testing.T) { begin(t, "", true) })
	t.Run("PostgreSQL", func(t *testing.T) {
		address := pgtest.New(t)
		begin(t, address, true)
		begin(t, address, false)
	})
	t.Run("a bank of another key", func(t *testing.T) {
		other, ws := machine(t)
		other.env["FILIGRANE_PASSPHRASE"] = "open it"
		another := newShell(t)
		another.must(0, "init", another.env["FILIGRANE_WORKSPACE"], "--bank", "Test Bank", "--tenant", "tb")
		file := filepath.Join(another.env["FILIGRANE_WORKSPACE"], "registry.db")
		if o := other.must(2, "init", ws, "--bank", "Test Bank", "--tenant", "tb", "--registry", file); !strings.Contains(o.err, "has the master key") {
			t.Error(o.err)
		}
		if !bytes.Equal(read(t, filepath.Join(ws, "master.key")), key) || exists(filepath.Join(ws, "filigrane.json")) {
			t.Error("a refused key was removed, or its workspace made")
		}
	})
	t.Run("a plain key", func(t *testing.T) {
		other := newShell(t)
		ws := other.env["FILIGRANE_WORKSPACE"]
		put(t, filepath.Join(ws, "master.key"), []byte("filigrane-key-1:"+strings.Repeat("5a", 32)+"\n"))
		if o := other.must(2, "init", ws, "--bank", "B"); !strings.Contains(o.err, "chmod 600") {
			t.Error(o.err)
		}
		if err := os.Chmod(filepath.Join(ws, "master.key"), 0o600); err != nil {
			t.Fatal(err)
		}
		other.must(2, "init", ws, "--bank", "B", "--seal")
		if o := other.must(0, "init", ws, "--bank", "B"); !strings.Contains(o.out, `"sealed":false`) {
			t.Error(o.out)
		}
	})
}

// TestNoPasswordShown: whatever is wrong with the address of a registry, no password of it is printed or kept.
func TestNoPasswordShown(t *testing.T) {
	sh, _ := bank(t)
	ws, dir := sh.env["FILIGRANE_WORKSPACE"], t.TempDir()
	t.Chdir(dir)
	backup := filepath.Join(t.TempDir(), "a.tar")
	sh.must(0, "backup", "-o", backup)
	for _, where := range []string{"postgre://u:sEcReT@h/d", "host=h user=u password=sEcReT", "password='sEcReT' dbname=d", "postgres:u:sEcReT@h/d",
		"postgres://u:sEcReT@127.0.0.1:1/d?connect_timeout=1", "postgres://u@127.0.0.1:1/d?connect_timeout=1&sslpassword=sEcReT", "postgres://u:sE/cReT@h/d"} {
		for _, args := range [][]string{{"status"}, {"restore", backup, "--use"}, {"init", filepath.Join(dir, "new"), "--bank", "B"}, {"backup", "-o", filepath.Join(dir, "b.tar")}, {"tenants", "list"}} {
			sh.must(2, append(args, "--registry", where)...)
		}
	}
	if strings.Contains(sh.printed.String(), "ReT") || strings.Contains(string(read(t, filepath.Join(ws, "filigrane.json"))), "ReT") {
		t.Error("a password was printed or kept")
	}
	for _, name := range list(t, dir) {
		if name != "new" {
			t.Errorf("%q was made of an address", name)
		}
	}
}

// TestMastersInABucket: works whose masters lie in a bucket are described, marked and delivered from there, to the bytes that a
// folder gives.
func TestMastersInABucket(t *testing.T) {
	server := s3test.Start(t, s3test.Config{})
	sh, masters := bank(t)
	folder, bucket := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	want := one[deliverJSON](t, sh.deliver(0, folder, "--licence", "acme").out)
	opt := server.Bucket(t)
	opt.Prefix = "originals/2026"
	sh.env["AWS_ACCESS_KEY_ID"], sh.env["AWS_SECRET_ACCESS_KEY"] = opt.AccessKey, string(opt.SecretKey)
	st, err := s3.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for _, name := range few {
		if err := store.PutBytes(t.Context(), st, name, read(t, filepath.Join(masters, name))); err != nil {
			t.Fatal(err)
		}
	}
	r := openRecords(t, sh)
	if _, err := r.reg.SetMasters(t.Context(), r.scope, opt.String(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(masters); err != nil {
		t.Fatal(err)
	}
	sh.must(0, "concepts", "--by", "visual:2", "--catalogue", "looks")
	if got := one[deliverJSON](t, sh.deliver(0, bucket, "--licence", "acme").out); got.ManifestSHA256 != want.ManifestSHA256 {
		t.Errorf("%s from a bucket, %s from a folder", got.ManifestSHA256, want.ManifestSHA256)
	}
	marked := filepath.Join(t.TempDir(), "marked.jpg")
	if e := one[embedJSON](t, sh.must(0, "embed", "sky/kite.jpg", "-c", "spring", "-o", marked).out); e.Work == nil || len(e.Concepts) != 1 {
		t.Errorf("%+v", e)
	}
	sh.must(2, "embed", "sky/nothing.jpg", "-c", "spring", "-o", marked, "-f")
	if d := one[detection](t, sh.must(0, "detect", marked).out); d.Work == nil || d.Work.Path != "sky/kite.jpg" {
		t.Errorf("%+v", d)
	}
	if strings.Contains(sh.printed.String(), string(opt.SecretKey)) {
		t.Error("the secret was printed")
	}
}

// TestMove: a registry in a file becomes one in PostgreSQL, and the workspace goes on with it.
func TestMove(t *testing.T) {
	sh, masters := bank(t)
	address, file := pgtest.New(t), filepath.Join(t.TempDir(), "a.tar.zst")
	sh.must(0, "backup", "-o", file)
	sh.must(0, "restore", file, "--registry", address, "--use")
	if st := one[statusJSON](t, sh.must(0, "status").out); st.Database != "postgresql" || st.Works["active"] != 4 {
		t.Errorf("%+v", st)
	}
	marked := filepath.Join(t.TempDir(), "marked.jpg") // a master, by its path below the masters' folder
	sh.must(0, "embed", "sky/kite.jpg", "-o", marked)
	if o := sh.must(2, "embed", "sky/kite.jpg", "-o", filepath.Join(masters, "sky/kite.jpg"), "-f"); !strings.Contains(o.err, "never written over") {
		t.Error(o.err)
	}
	sh.must(0, "detect", marked)
}

// TestTenants: whoever runs the installation makes tenants and sees them all; a licensee may be one.
func TestTenants(t *testing.T) {
	sh, _ := bank(t)
	sh.must(0, "tenants", "add", "acme", "--kind", "provider", "--name", "Acme Models")
	if again := one[tenantJSON](t, sh.must(0, "tenants", "add", "acme", "--kind", "provider", "--name", "Acme Models").out); *again.New {
		t.Error("made twice")
	}
	sh.must(2, "tenants", "add", "acme", "--kind", "provider", "--name", "Another")
	sh.must(2, "tenants", "add", "x", "--kind", "king", "--name", "X")
	sh.must(2, "tenants", "add", "a b", "--kind", "expert", "--name", "X")
	if lines := parseAll[tenantJSON](t, sh.must(0, "tenants", "list").out); len(lines) != 2 || lines[0].ID != "acme" || lines[1].ID != "test-bank" {
		t.Errorf("%+v", lines)
	}
	sh.must(0, "licence", "add", "l", "-c", "spring", "--licensee", "acme")
	sh.must(2, "licence", "add", "m", "-c", "spring", "--licensee", "nobody")
	sh.must(0, "licence", "add", "l", "-c", "spring", "--licensee", "acme")
	sh.must(0, "licence", "add", "l", "-c", "spring")
	sh.must(0, "licence", "add", "free", "-c", "spring")
	for _, other := range [][2]string{{"l", "test-bank"}, {"l", "nobody"}, {"free", "acme"}} { // who it is given to cannot be changed by saying it again
		if o := sh.must(2, "licence", "add", other[0], "-c", "spring", "--licensee", other[1]); !strings.Contains(o.err, "its licensee is") || !strings.Contains(o.err, "not "+other[1]) {
			t.Error(o.err)
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	sh.deliver(0, out, "--licence", "l")
	r := openRecords(t, sh)
	got, err := r.reg.ReceivedDeliveries(t.Context(), registry.Scope{Tenant: "acme", Role: registry.Provider}, registry.Page{})
	if err != nil || len(got.Items) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
