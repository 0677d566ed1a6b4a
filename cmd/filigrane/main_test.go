package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/registry/pgtest"
	"github.com/filigrane/filigrane/internal/workspace"
	"github.com/filigrane/filigrane/mark"
)

const photos = "../../testdata/photos"

// asProgram makes the test binary behave as the program: for tests that kill it.
const asProgram = "FILIGRANE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	pgtest.Main(m)
}

// shell runs the program in one workspace and remembers everything it printed.
type shell struct {
	t       *testing.T
	env     map[string]string
	printed bytes.Buffer
}

// outcome is what one run gave.
type outcome struct {
	code     int
	out, err string
}

func newShell(t *testing.T) *shell {
	home := t.TempDir()
	return &shell{t: t, env: map[string]string{"HOME": home, "FILIGRANE_WORKSPACE": filepath.Join(home, "ws")}}
}

func (sh *shell) run(args ...string) outcome {
	sh.t.Helper()
	var out, errs bytes.Buffer
	code := run(args, strings.NewReader(""), &out, &errs, func(name string) (string, bool) { v, ok := sh.env[name]; return v, ok })
	sh.printed.Write(out.Bytes())
	sh.printed.Write(errs.Bytes())
	return outcome{code, out.String(), errs.String()}
}

// must runs and demands an exit code.
func (sh *shell) must(code int, args ...string) outcome {
	sh.t.Helper()
	o := sh.run(args...)
	if o.code != code {
		sh.t.Fatalf("filigrane %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), o.code, code, o.out, o.err)
	}
	return o
}

// parse reads the JSON values of an output.
func parseAll[T any](t *testing.T, text string) []T {
	t.Helper()
	var list []T
	dec := json.NewDecoder(strings.NewReader(text))
	for {
		var v T
		err := dec.Decode(&v)
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatalf("not JSON: %v\n%s", err, text)
		}
		list = append(list, v)
	}
}

func one[T any](t *testing.T, text string) T {
	t.Helper()
	list := parseAll[T](t, text)
	if len(list) != 1 {
		t.Fatalf("%d values, want 1:\n%s", len(list), text)
	}
	return list[0]
}

// copyPhotos copies some of the sample photographs, keeping their folders.
func copyPhotos(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		put(t, filepath.Join(dir, name), read(t, filepath.Join(photos, name)))
	}
	return dir
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func put(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

var few = []string{"mountains/picos-trail.jpg", "mountains/sunrise-ridge.jpg", "sky/kite.jpg", "sky/storm-road.jpg"}

// openRecords opens the registry of a shell's workspace.
func openRecords(t *testing.T, sh *shell) *records {
	t.Helper()
	s := &session{ctx: t.Context(), stderr: newConsole(io.Discard), env: func(string) (string, bool) { return "", false }, globals: globals{Workspace: sh.env["FILIGRANE_WORKSPACE"], Registry: sh.env["FILIGRANE_REGISTRY"]}}
	r, err := s.records()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// sums hashes what a registry holds.
func sums(t *testing.T, sh *shell) map[string]registry.Sum {
	t.Helper()
	sums, err := openRecords(t, sh).reg.Sums(t.Context(), registry.Scope{Role: registry.Operator})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// bank makes a workspace with a catalogue of a few photographs.
func bank(t *testing.T) (sh *shell, masters string) {
	sh, masters = newShell(t), copyPhotos(t, few...)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "Test Bank")
	sh.must(0, "import", masters, "--csv", filepath.Join(photos, "metadata.csv"))
	sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring")
	return sh, masters
}

func TestRoundTrip(t *testing.T) {
	sh, masters := bank(t)
	host := filepath.Join(masters, "mountains/picos-trail.jpg")
	out := filepath.Join(t.TempDir(), "marked.jpg")
	before := read(t, host)

	rep := one[embedJSON](t, sh.must(0, "embed", host, "-o", out, "-s").out)
	if len(rep.Concepts) != 1 || rep.Concepts[0].ID != "semantic/mountains" || rep.Work == nil || rep.PSNRDB < 38 || rep.SSIM < 0.9 || rep.Format != "jpeg" {
		t.Errorf("report %+v", rep)
	}
	if got := one[embedJSON](t, string(read(t, out+sidecarSuffix))); got.File != host {
		t.Errorf("sidecar is about %q", got.File)
	}
	if !bytes.Equal(before, read(t, host)) {
		t.Error("the master was changed")
	}

	d := one[detection](t, sh.must(0, "detect", out).out)
	if d.Verdict != "attributed" || d.Work == nil || d.Work.Path != "mountains/picos-trail.jpg" || d.Work.ID != rep.Work.ID ||
		len(d.Concepts) != 1 || d.Concepts[0].ID != "semantic/mountains" || d.Delivery.Licence != "internal" || d.Alignment == nil || d.Alignment.Words != "as it was marked" {
		t.Errorf("detection %+v", d)
	}
	d = one[detection](t, sh.must(0, "decode", "-i", out, "--decoys", "3", "--seed", "s").out)
	if d.Decoys == nil || d.Decoys.Rank.Rank != 1 || d.Decoys.P != 0.25 {
		t.Errorf("decoys %+v", d.Decoys)
	}
	d = one[detection](t, sh.must(1, "detect", host).out)
	if d.Verdict != "absent" || d.Concepts != nil || d.Detectable == nil {
		t.Errorf("an unmarked picture: %+v", d)
	}
	sh.must(0, "detect", host, out)
	lines := parseAll[detection](t, sh.must(2, "detect", "nowhere.jpg", out).out)
	if len(lines) != 2 || lines[0].Error == nil || lines[0].Error.Kind != "unreadable" || lines[1].Verdict != "attributed" {
		t.Errorf("batch with a missing file: %+v", lines)
	}
	t.Run("overwriting", func(t *testing.T) { testOverwriting(t, sh, host, out) })
	t.Run("wrong key", func(t *testing.T) { testWrongKey(t, sh, host, out) })
	t.Run("key stays secret", func(t *testing.T) { testSecrecy(t, sh) })
}

func testOverwriting(t *testing.T, sh *shell, host, out string) {
	sh.t = t
	marked := read(t, out)
	o := sh.must(2, "embed", host, "-o", out)
	if !strings.Contains(o.err, "--force") || !bytes.Equal(marked, read(t, out)) {
		t.Errorf("an existing file: %s", o.err)
	}
	sh.must(0, "embed", host, "-o", out, "-f", "-s")
	before := read(t, host)
	for _, name := range []string{host, filepath.Dir(host) + "/../mountains/" + filepath.Base(host)} {
		if o := sh.must(2, "encode", host, "-o", name, "-f"); !strings.Contains(o.err, "never written over") {
			t.Errorf("the input itself: %s", o.err)
		}
	}
	if !bytes.Equal(before, read(t, host)) {
		t.Error("the master was changed")
	}
}

func testWrongKey(t *testing.T, sh *shell, host, out string) {
	sh.t = t
	sh.env["FILIGRANE_KEY"] = strings.Repeat("5a", 32)
	defer delete(sh.env, "FILIGRANE_KEY")
	o := sh.must(1, "detect", out)
	if d := one[detection](t, o.out); d.Verdict != "absent" || !strings.Contains(o.err, "not this workspace's") {
		t.Errorf("%+v\n%s", d, o.err)
	}
	if o := sh.must(2, "embed", host, "-o", out+".again.jpg"); !strings.Contains(o.err, "would not be found again") {
		t.Error(o.err)
	}
	sh.must(2, "detect", out, "--key-command", "echo "+strings.Repeat("5a", 32))
	delete(sh.env, "FILIGRANE_KEY")
	sh.must(1, "detect", out, "--key-command", "echo "+strings.Repeat("5a", 32))
	sh.must(2, "detect", out, "--key-command", "exit 1")
	sh.must(2, "detect", out, "--key-command", "echo no key")
	hex := strings.TrimPrefix(string(read(t, filepath.Join(sh.env["FILIGRANE_WORKSPACE"], "master.key"))), "filigrane-key-1:")
	put(t, filepath.Join(sh.env["HOME"], "k"), []byte(hex))
	sh.must(0, "detect", out, "--key-command", "cat '"+filepath.Join(sh.env["HOME"], "k")+"'")
}

func testSecrecy(t *testing.T, sh *shell) {
	sh.t = t
	ws := sh.env["FILIGRANE_WORKSPACE"]
	secret := strings.TrimSpace(strings.TrimPrefix(string(read(t, filepath.Join(ws, "master.key"))), "filigrane-key-1:"))
	sh.must(0, "keys", "fingerprint")
	for _, text := range []string{secret, strings.Repeat("5a", 32)} {
		if strings.Contains(sh.printed.String(), text) {
			t.Error("a master key was printed")
		}
	}
	err := filepath.WalkDir(ws, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "master.key" && bytes.Contains(read(t, p), []byte(secret)) {
			t.Errorf("%s holds the master key", p)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if info, _ := os.Stat(filepath.Join(ws, "master.key")); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("master.key has mode %v", info.Mode())
	}
}

// TestFolders marks a folder into a folder and reads it by itself, together, and from standard input.
func TestFolders(t *testing.T) {
	sh, masters := bank(t)
	put(t, filepath.Join(masters, "sky/notes.txt"), []byte("not a picture, and nobody said so"))
	put(t, filepath.Join(masters, "sky/kite.png"), read(t, filepath.Join(masters, "sky/kite.jpg"))) // the same name with --format png
	out := t.TempDir()
	o := sh.must(2, "embed", masters, "-o", out, "--format", "png", "--work", "none", "--concept", "sky", "-r", "1024")
	reports := parseAll[embedJSON](t, o.out)
	if len(reports) != 5 || !strings.Contains(o.err, "notes.txt is no picture") || !strings.Contains(o.err, "kite.png would be written for") {
		t.Errorf("%d reports\n%s", len(reports), o.err)
	}
	lines := parseAll[detection](t, sh.must(0, "detect", out, "-j", "2").out)
	if len(lines) != 4 {
		t.Fatalf("%d pictures read", len(lines))
	}
	for i, d := range lines {
		if d.Verdict != "attributed" || d.Work != nil || len(d.Concepts) != 1 || d.Concepts[0].Name != "sky" || d.Concepts[0].Via != viaRead {
			t.Errorf("%+v", d)
		}
		if i > 0 && lines[i-1].File >= d.File {
			t.Error("the lines are out of order")
		}
	}
	all := one[detection](t, sh.must(0, "detect", "--together", filepath.Join(out, "sky", "*.png"), "-d").out)
	if len(all.Files) != 2 || all.Concepts[0].Name != "sky" || len(all.Readings) != 1 {
		t.Errorf("%+v", all)
	}
	sh.must(2, "detect", filepath.Join(out, "*.gif"))
	sh.must(2, "embed", masters, "-o", filepath.Join(out, "sky/kite.png"))
	sh.must(2, "embed", filepath.Join(masters, "sky/kite.jpg"), "-o", filepath.Join(out, "x.png"), "--concept", "nowhere")
	sh.must(2, "detect", filepath.Join(masters, "sky/notes.txt"))
}

func TestSealedKey(t *testing.T) {
	sh, masters := newShell(t), copyPhotos(t, few[0])
	sh.env["FILIGRANE_PASSPHRASE"] = "open sesame"
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	sh.must(0, "import", masters)
	sh.must(0, "keys", "fingerprint")
	sh.env["FILIGRANE_PASSPHRASE"] = "close sesame"
	if o := sh.must(2, "keys", "fingerprint"); !strings.Contains(o.err, "wrong passphrase") {
		t.Error(o.err)
	}
	delete(sh.env, "FILIGRANE_PASSPHRASE")
	if o := sh.must(2, "keys", "fingerprint"); !strings.Contains(o.err, "FILIGRANE_PASSPHRASE") {
		t.Error(o.err)
	}
	if text := sh.printed.String(); strings.Contains(text, "sesame") {
		t.Error("the passphrase was printed")
	}
}

// TestAwkward: every awkward file is refused by its kind, and the rest of the batch goes on.
func TestAwkward(t *testing.T) {
	var expected map[string]string
	if err := json.Unmarshal(read(t, "../../testdata/awkward/expected.json"), &expected); err != nil {
		t.Fatal(err)
	}
	if len(expected) < 30 {
		t.Fatalf("only %d fixtures", len(expected))
	}
	sh := newShell(t)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	rep := one[importJSON](t, sh.must(0, "import", "../../testdata/awkward").out)
	refused := map[string]string{}
	for _, r := range rep.Refusals {
		refused[r.File] = r.Kind
		if r.Detail == "" {
			t.Errorf("%s is refused without a word", r.File)
		}
	}
	for name, kind := range expected {
		if kind == "ok" {
			kind = ""
		}
		if got := refused[name]; got != kind && got != "duplicate" {
			t.Errorf("import of %s: %q, want %q", name, got, kind)
		}
	}
	sh.must(0, "concepts", "--by", "folder", "--catalogue", "c") // files at the root have no folder: see the report
	r := openRecords(t, sh)
	if _, err := r.reg.AddMarking(t.Context(), r.scope, registry.Marking{Path: mark.Path{Bank: "B", Catalogue: "c@1", Licence: "l", Purpose: "p", Epoch: 1}, Profile: 1, Resolution: 1024}, time.Now()); err != nil {
		t.Fatal(err)
	}
	lines := parseAll[detection](t, sh.must(2, "detect", "../../testdata/awkward").out)
	for _, d := range lines {
		name := filepath.Base(d.File)
		want, listed := expected[name]
		switch {
		case !listed:
			if d.Skipped == nil {
				t.Errorf("%s is no picture, got %+v", name, d)
			}
		case want == "ok":
			if d.Verdict != "absent" && (d.Error == nil || d.Error.Kind != "too_small") {
				t.Errorf("detect %s: %+v", name, d)
			}
		case d.Error == nil || d.Error.Kind != want:
			t.Errorf("detect %s: %+v, want %s", name, d.Error, want)
		}
	}
}

// TestReimport: what was added, changed, moved, missing; and what is never followed.
func TestReimport(t *testing.T) {
	sh, dir := newShell(t), copyPhotos(t, few...)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	count := func(args ...string) importJSON {
		t.Helper()
		return one[importJSON](t, sh.must(0, append([]string{"import", dir}, args...)...).out)
	}
	if r := count(); r.Added != 4 || r.Works != 4 {
		t.Errorf("first: %+v", r)
	}
	before := sums(t, sh)
	for _, args := range [][]string{nil, {"--checksum"}} {
		if r := count(args...); r.Unchanged != 4 || r.Added+r.Changed+r.Moved+len(r.Missing) > 0 {
			t.Errorf("again %v: %+v", args, r)
		}
	}
	if after := sums(t, sh); !maps.Equal(before, after) {
		t.Errorf("importing the same again changed the registry: %v, then %v", before, after)
	}
	join := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Rename(join("sky/kite.jpg"), join("kite.jpg")))
	must(os.Remove(join("sky/storm-road.jpg")))
	put(t, join("mountains/picos-trail.jpg"), read(t, filepath.Join(photos, "sky/cloud-layer.jpg")))
	put(t, join("new/copy.jpg"), read(t, join("mountains/sunrise-ridge.jpg")))
	put(t, join("new/open-beach.jpg"), read(t, filepath.Join(photos, "sky/open-beach.jpg")))
	put(t, join(".hidden.jpg"), nil)
	if runtime.GOOS != "windows" {
		must(os.Symlink(dir, join("new/loop")))
		must(os.Symlink("gone.jpg", join("new/dangling.jpg")))
		must(os.Symlink(t.TempDir(), join("new/outside")))
		must(os.Symlink("../kite.jpg", join("new/kite-link.jpg")))
	}
	r := count()
	if r.Added != 1 || r.Changed != 1 || r.Moved != 1 || r.Unchanged != 1 || !slices.Equal(r.Missing, []string{"sky/storm-road.jpg"}) || r.Works != 4 {
		t.Errorf("after changes: %+v", r)
	}
	kinds := map[string]string{}
	for _, f := range r.Refusals {
		kinds[f.File] = f.Kind
	}
	want := map[string]string{"new/copy.jpg": "duplicate", ".hidden.jpg": "hidden"}
	if runtime.GOOS != "windows" {
		want["new/loop"], want["new/dangling.jpg"], want["new/outside"], want["new/kite-link.jpg"] = "symlink", "symlink", "symlink", "symlink"
	}
	for name, kind := range want {
		if kinds[name] != kind {
			t.Errorf("%s: %q, want %q", name, kinds[name], kind)
		}
	}
	if o := sh.must(2, "import", t.TempDir()); !strings.Contains(o.err, "--move-root") {
		t.Error(o.err)
	}
	empty := join("empty")
	must(os.Mkdir(empty, 0o777))
	sh.must(2, "import", empty)
	if again := count(); again.Works != 4 {
		t.Errorf("a failed import changed the workspace: %+v", again)
	}
}

// TestReserved: works whose metadata forbids training stay out, unless the bank's table consents.
func TestReserved(t *testing.T) {
	sh, dir := newShell(t), copyPhotos(t, few...)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	csv := filepath.Join(t.TempDir(), "table.csv")
	put(t, csv, []byte("file,data_mining\nsky/kite.jpg,DMI-PROHIBITED-AIMLTRAINING\n"))
	if r := one[importJSON](t, sh.must(0, "import", dir, "--csv", csv).out); len(r.Reserved) != 1 || r.Reserved[0].File != "sky/kite.jpg" || r.Reserved[0].Protocol != "iptc-plus" {
		t.Errorf("%+v", r.Reserved)
	}
	r := one[freezeJSON](t, sh.must(0, "concepts", "--by", "folder").out)
	if r.Works != 3 || !slices.Equal(r.Reserved, []string{"sky/kite.jpg"}) || r.Catalogue != "main@1" || !r.New {
		t.Errorf("%+v", r)
	}
	if r := one[freezeJSON](t, sh.must(0, "concepts", "--by", "folder").out); r.New || r.Catalogue != "main@1" {
		t.Errorf("the same again: %+v", r)
	}
	put(t, csv, []byte("file,data_mining\nsky/kite.jpg,DMI-ALLOWED\n"))
	sh.must(0, "import", dir, "--csv", csv)
	if r := one[freezeJSON](t, sh.must(0, "concepts", "--by", "folder").out); !r.New || r.Catalogue != "main@2" || r.Works != 4 {
		t.Errorf("with consent: %+v", r)
	}
	for _, work := range []string{"sky/kite.jpg", "4"} {
		if o := sh.must(0, "concepts", "explain", work); !strings.Contains(o.out, `"concept":"semantic/`) {
			t.Error(o.out)
		}
	}
	if lines := parseAll[conceptLine](t, sh.must(0, "concepts", "list").out); len(lines) != 2 || lines[0].Number != 1 {
		t.Errorf("%+v", lines)
	}
	sh.must(2, "concepts", "explain", "nothing.jpg")
	sh.must(2, "concepts", "--by", "nonsense")
	sh.must(2, "concepts")
}

func TestTwoWriters(t *testing.T) {
	sh, dir := newShell(t), copyPhotos(t, few[0])
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	ws, err := workspace.Open(sh.env["FILIGRANE_WORKSPACE"])
	if err != nil {
		t.Fatal(err)
	}
	release, err := ws.Lock("filigrane import of somebody")
	if err != nil {
		t.Fatal(err)
	}
	if o := sh.must(2, "import", dir); !strings.Contains(o.err, "being written by filigrane import of somebody (process ") {
		t.Error(o.err)
	}
	release()
	sh.must(0, "import", dir)
}

// TestKilledImport kills an import at several moments; afterwards the workspace works.
func TestKilledImport(t *testing.T) {
	sh := newShell(t)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	for _, after := range []time.Duration{20, 100, 400} {
		cmd := exec.Command(os.Args[0], "-w", sh.env["FILIGRANE_WORKSPACE"], "import", photos, "--checksum")
		cmd.Env = append(os.Environ(), asProgram+"=1", "HOME="+sh.env["HOME"])
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
	}
	if r := one[importJSON](t, sh.must(0, "import", photos).out); r.Works != 57 {
		t.Errorf("%d works after a killed import, want 57", r.Works)
	}
	left, err := filepath.Glob(filepath.Join(sh.env["FILIGRANE_WORKSPACE"], ".filigrane-tmp-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

// TestDelivery delivers, verifies, detects what was delivered and splits money.
func TestDelivery(t *testing.T) {
	sh, masters := bank(t)
	small := image.NewGray(image.Rect(0, 0, 90, 90)) // imported, but too small to be delivered
	small.Set(1, 1, color.White)
	var file bytes.Buffer
	if err := raster.Encode(&file, &raster.Picture{Image: small, Format: raster.PNG}, raster.EncodeOptions{Format: raster.PNG}); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(masters, "sky/small.png"), file.Bytes())
	sh.must(0, "import", masters)
	sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring")
	out := filepath.Join(t.TempDir(), "delivery")
	deliver := []string{"deliver", "-c", "spring", "-o", out, "--licence", "acme", "--geometry", "square:256"}
	o := sh.must(0, deliver...)
	rep := one[deliverJSON](t, o.out)
	if rep.Summary.Images != 4 || len(rep.Refusals) != 1 || rep.Refusals[0].Kind != "too_small" || !strings.Contains(o.err, "1 of 5 works were refused") {
		t.Errorf("%+v\n%s", rep, o.err)
	}
	if again := one[deliverJSON](t, sh.must(0, deliver...).out); !again.AlreadyFinished || again.ManifestSHA256 != rep.ManifestSHA256 {
		t.Errorf("the same again: %+v", again)
	}
	sh.must(2, append(deliver, "--epoch", "2")...)
	sh.must(2, "deliver", "-c", "spring", "-o", masters, "--licence", "acme")
	r := openRecords(t, sh)
	if ms, err := r.reg.Markings(t.Context(), r.scope, registry.Page{}); err != nil || len(ms.Items) != 1 {
		t.Errorf("refused deliveries are kept: %v %v", ms, err)
	}
	if lines := parseAll[deliveryLine](t, sh.must(0, "deliveries", "list").out); len(lines) != 1 || lines[0].State != "delivered" || lines[0].ID != rep.ID {
		t.Errorf("%+v", lines)
	}
	sh.must(0, "deliver", "verify", out)
	sh.must(0, "deliver", "verify", out, "--hashes-only")

	pictures := t.TempDir()
	untar(t, shardOf(t, out), pictures)
	lines := parseAll[detection](t, sh.must(0, "detect", pictures, "-D", out).out)
	found := 0
	for _, d := range lines {
		if d.Verdict == "attributed" && d.Work != nil && d.Work.Path != "" && len(d.Concepts) == 1 && d.Delivery.Licence == "acme" {
			found++
		}
	}
	if found != 4 {
		t.Errorf("%d of 4 delivered pictures found: %+v", found, lines)
	}
	testSplit(t, sh, pictures)

	sh.env["FILIGRANE_KEY"] = strings.Repeat("5a", 32)
	sh.must(1, "detect", pictures, "-D", out)
	sh.must(2, "deliver", "verify", out)
	delete(sh.env, "FILIGRANE_KEY")
	shard := shardOf(t, out)
	data := read(t, shard)
	data[len(data)/2] ^= 1
	put(t, shard, data)
	sh.must(1, "deliver", "verify", out)
	sh.must(2, "deliver", "verify", t.TempDir())
}

// TestDeliveryOfPools delivers pictures too small to be readable one by one, at a strength of its own.
func TestDeliveryOfPools(t *testing.T) {
	sh, masters := bank(t)
	sh.must(0, "import", masters)
	sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring")
	out := filepath.Join(t.TempDir(), "delivery")
	deliver := []string{"deliver", "-c", "spring", "-o", out, "--licence", "acme", "--geometry", "square:128"}
	if o := sh.must(2, deliver...); !strings.Contains(o.err, "choose a larger R, or --readable pool") {
		t.Error(o.err)
	}
	deliver = append(deliver, "--readable", "pool")
	for _, wrong := range [][]string{{"--psnr", "37.9"}, {"--psnr", "56"}, {"--psnr", "NaN"}, {"--psnr", "48", "--preset", "standard"}, {"--preset", "loud"}, {"--readable", "some"}} {
		sh.must(2, append(slices.Clone(deliver), wrong...)...)
	}
	// Each bank draws its own key: at 40 dB two pictures name their concept by every one, at 48 by most.
	o := sh.must(0, append(deliver, "--psnr", "40")...)
	sum := one[deliverJSON](t, o.out).Summary
	if sum.Images != 4 || sum.Pools != 2 || sum.PoolsUnnamed != 0 || sum.PSNRMeanDB < 39.9 || sum.PSNRMeanDB > 40.1 {
		t.Errorf("%+v", sum)
	}
	sh.must(0, "deliver", "verify", out)
	o = sh.must(0, append(deliver, "--psnr", "54", "--force")...) // too weak for so few
	sum = one[deliverJSON](t, o.out).Summary
	if sum.PoolsUnnamed == 0 || !strings.Contains(o.err, strconv.Itoa(sum.PoolsUnnamed)+" of "+strconv.Itoa(sum.Pools)+" concepts are not named") || !strings.Contains(o.err, "add images to them") {
		t.Errorf("%+v\n%s", sum, o.err)
	}
	sh.must(0, "deliver", "verify", out)
}

// shardOf gives the only shard of a delivery.
func shardOf(t *testing.T, dir string) string {
	t.Helper()
	shards, _ := filepath.Glob(filepath.Join(dir, "shard-*.tar"))
	if len(shards) != 1 {
		t.Fatalf("%d shards in %s", len(shards), dir)
	}
	return shards[0]
}

// untar unpacks pictures only.
func untar(t *testing.T, name, dir string) {
	r := tar.NewReader(bytes.NewReader(read(t, name)))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, filepath.Base(h.Name)), data)
	}
}

// testSplit: under every rule the payees, the unclaimed and the held make up the amount.
func testSplit(t *testing.T, sh *shell, pictures string) {
	file := filepath.Join(t.TempDir(), "d.jsonl")
	put(t, file, []byte(sh.must(0, "detect", pictures, "--fwer", "1e-3").out))
	for _, args := range [][]string{nil, {"--credit-copies"}, {"--rule", "marked", "--credit-copies"}, {"--compare"}} {
		o := sh.must(0, append([]string{"royalty", "split", "--detections", file, "--amount", "10000.01EUR"}, args...)...)
		splits := parseAll[splitJSON](t, o.out)
		if slices.Contains(args, "--compare") != (len(splits) == 4) {
			t.Errorf("%v: %d splits", args, len(splits))
		}
		for _, s := range splits {
			sum := s.UnclaimedCents + s.HeldCents
			for _, p := range s.Payees {
				sum += p.Cents
			}
			if sum != 1000001 || s.TotalCents != 1000001 || s.Amount != "10000.01" || s.Currency != "EUR" || len(s.Lines) == 0 {
				t.Errorf("%v, %s: %d cents paid of %d", args, s.Rule, sum, s.TotalCents)
			}
		}
	}
	sh.must(2, "royalty", "split", "--detections", file, "--amount", "ten")
	sh.must(2, "royalty", "split", "--detections", file, "--amount", "10", "--rule", "mine")
	sh.must(2, "royalty", "split", "--detections", filepath.Join(photos, "metadata.csv"), "--amount", "10")
}

func TestUsage(t *testing.T) {
	sh := newShell(t)
	if o := sh.must(0); !strings.Contains(o.out, "Usage: filigrane") {
		t.Error(o.out)
	}
	for _, verb := range []string{"licence", "licence add", "licence revoke", "deliveries", "deliveries adopt", "recall", "status", "backup", "restore", "tenants", "tenants add", "init", "import", "concepts", "concepts freeze", "deliver", "deliver verify", "embed", "detect", "royalty split", "keys", "keys fingerprint"} {
		if o := sh.must(0, append(strings.Fields(verb), "--help")...); !strings.Contains(o.out, "Example") {
			t.Errorf("%s --help has no example", verb)
		}
	}
	if o := sh.must(0, "--version"); !strings.HasPrefix(o.out, "filigrane ") {
		t.Error(o.out)
	}
	sh.must(0, "version")
	sh.must(2, "--nonsense")
	sh.must(2, "nonsense")
	sh.must(2, "init", t.TempDir())
	sh.must(2, "init", t.TempDir(), "--bank", " padded ")
	sh.must(2, "detect")
	if o := sh.must(2, "detect", "x.jpg"); !strings.Contains(o.err, "filigrane init") || strings.Count(o.err, "\n") != 1 {
		t.Errorf("no workspace: %q", o.err)
	}
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	if o := sh.must(2, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B"); !strings.Contains(o.err, "already") {
		t.Error(o.err)
	}
	sh.must(2, "detect", "x.jpg", "--fwer", "2")
	sh.must(2, "embed", "x.jpg")
	sh.must(2, "embed", "x.jpg", "-o", "y.jpg", "--preset", "loud")
}

// TestDemoWithoutGenerated: outputs of models that are not there are an error, and left out only where that is asked for.
func TestDemoWithoutGenerated(t *testing.T) {
	sh := newShell(t)
	out := filepath.Join(t.TempDir(), "demo")
	put(t, filepath.Join(out, "report.html"), []byte("an earlier one"))
	o := sh.must(2, "demo", "--force", "-o", out, "--photos", photos, "--generated", t.TempDir())
	if !strings.Contains(o.err, "go run ./lab sample") || string(read(t, filepath.Join(out, "report.html"))) != "an earlier one" {
		t.Errorf("an empty folder: %s", o.err)
	}
	few := copyPhotos(t, "flowers/marigold.jpg", "sky/storm-road.jpg", "metadata.csv")
	o = sh.must(0, "demo", "--force", "-o", out, "--photos", few, "--generated=", "--geometry", "square:512", "--null-tests", "100")
	page := string(read(t, filepath.Join(out, "report.html")))
	if !strings.Contains(o.err, "left out") || strings.Count(page, "Left out: ") != 2 {
		t.Errorf("nothing says that the outputs and the payout were left out: %s", o.err)
	}
}

func TestSettings(t *testing.T) {
	sh := newShell(t)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	file := filepath.Join(t.TempDir(), "s.json")
	put(t, file, []byte(`{"pretty": true}`))
	plain, pretty := sh.must(0, "version").out, sh.must(0, "version", "--settings", file).out
	if strings.Count(plain, "\n") != 1 || strings.Count(pretty, "\n") < 3 {
		t.Errorf("%q %q", plain, pretty)
	}
	sh.env["FILIGRANE_PRETTY"] = "false"
	if got := sh.must(0, "version", "--settings", file).out; got != plain {
		t.Errorf("a variable comes before the file: %q", got)
	}
	if got := sh.must(0, "version", "--pretty").out; got != pretty {
		t.Errorf("the command line comes before a variable: %q", got)
	}
	delete(sh.env, "FILIGRANE_PRETTY")
	put(t, filepath.Join(sh.env["HOME"], ".config/filigrane/settings.json"), []byte(`{"pretty": true}`))
	if got := sh.must(0, "version").out; got != pretty {
		t.Errorf("the user's own file: %q", got)
	}
	for _, bad := range []string{`{"prety": true}`, `[]`, `{"pretty": true} x`, `{"jobs": {"a": 1}}`, `{"key": "00"}`} {
		put(t, file, []byte(bad))
		sh.must(2, "version", "--settings", file)
	}
	sh.must(2, "version", "--settings", file+".none")
}

func TestDamagedWorkspace(t *testing.T) {
	sh, masters := bank(t)
	ws := sh.env["FILIGRANE_WORKSPACE"]
	for _, c := range []struct {
		file string
		args []string
	}{
		{"filigrane.json", []string{"concepts", "list"}},
		{"registry.db", []string{"concepts", "list"}},
		{"master.key", []string{"keys", "fingerprint"}},
	} {
		name := filepath.Join(ws, c.file)
		text := read(t, name)
		for _, damaged := range [][]byte{text[:len(text)/2], {}, append([]byte("x"), text...), bytes.Replace(text, []byte("mountains"), []byte("fountains"), 1)} {
			if bytes.Equal(damaged, text) {
				continue
			}
			if err := os.WriteFile(name, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			o := sh.run(c.args...)
			if c.file == "registry.db" && o.code == 0 && len(damaged) == len(text) { // a text of a work: nothing can tell
				continue
			}
			if o.code != 2 || !strings.Contains(o.err, filepath.Base(c.file)) || !strings.Contains(o.err, "backup") {
				t.Errorf("%s damaged: code %d, %s", c.file, o.code, o.err)
			}
		}
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sh.must(0, "import", masters)
	r := openRecords(t, sh)
	if _, err := r.reg.SQL().Exec("UPDATE catalogue_works SET body = CAST(replace(CAST(body AS TEXT), 'mountains', 'fountains') AS BLOB)"); err != nil {
		t.Fatal(err)
	}
	if o := sh.must(2, "concepts", "list"); !strings.Contains(o.err, "spring@1") || !strings.Contains(o.err, "no longer has the hash") || !strings.Contains(o.err, "backup") {
		t.Error(o.err)
	}
}

func FuzzParseSettings(f *testing.F) {
	for _, s := range []string{`{}`, `{"fwer": 1e-6, "by": ["folder"]}`, `{"a_b": 1, "a-b": 2}`, `null`, `{"x": null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		values, err := parseSettings(text)
		if err != nil {
			return
		}
		for name, v := range values {
			if strings.Contains(name, "_") || v == nil {
				t.Errorf("%q: %v", name, v)
			}
		}
	})
}

func TestParseAmount(t *testing.T) {
	for text, cents := range map[string]int64{"10000.00EUR": 1000000, "10000": 1000000, "0.01 USD": 1, "1.00": 100} {
		if a, err := parseAmount(text); err != nil || a.cents != cents {
			t.Errorf("%s: %d, %v", text, a.cents, err)
		}
	}
	for _, text := range []string{"", "-1.00", "1.0", "1.001", "1,000.00", "1e3", "EUR", "1.00eur", "9999999999999999"} {
		if a, err := parseAmount(text); err == nil {
			t.Errorf("%q is read as %d cents", text, a.cents)
		}
	}
}
