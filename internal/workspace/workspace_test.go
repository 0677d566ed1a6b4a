package workspace

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/mark"
)

func workspace(t *testing.T) *Workspace {
	t.Helper()
	key := NewMasterKey()
	r, err := Init(filepath.Join(t.TempDir(), "ws"), config(key), PlainKey(key), nowhere)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func config(key mark.Key) Config {
	return Config{Bank: "Example Bank", KeyFingerprint: key.Fingerprint(), Tenant: "example-bank"}
}

func nowhere(*Workspace) error { return nil }

func lock(t *testing.T, r *Workspace) {
	t.Helper()
	release, err := r.Lock("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
}

func TestConfigText(t *testing.T) {
	const text = `{
  "format": "filigrane workspace v1",
  "bank": "Example Bank",
  "key_fingerprint": "57282719c47b4ba1",
  "root": "/photos"
}
`
	c, err := ParseConfig([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.MarshalText(); err != nil || string(again) != text {
		t.Errorf("%v\n%s", err, again)
	}
	for old, new := range map[string]string{"Example Bank": " ", "57282719c47b4ba1": "xyz", `"/photos"`: `"photos"`, "}\n": "}", `"bank"`: `"Bank"`, "workspace v1": "shoe box v1"} {
		if _, err := ParseConfig([]byte(strings.Replace(text, old, new, 1))); err == nil || errors.Is(err, errNewer) {
			t.Errorf("%q for %q: %v", new, old, err)
		}
	}
	const now = `{
  "format": "filigrane workspace v2",
  "bank": "Example Bank",
  "key_fingerprint": "57282719c47b4ba1",
  "tenant": "example-bank",
  "registry": "postgres://filigrane@db/filigrane"
}
`
	if c, err := ParseConfig([]byte(now)); err != nil || c.Tenant != "example-bank" {
		t.Errorf("%+v, %v", c, err)
	}
	for old, new := range map[string]string{`"example-bank"`: `"example bank"`, `  "tenant": "example-bank",\n`: "", "workspace v2": "workspace v1", `"registry"`: `"root"`} {
		if _, err := ParseConfig([]byte(strings.Replace(now, strings.ReplaceAll(old, `\n`, "\n"), new, 1))); err == nil {
			t.Errorf("%q for %q", new, old)
		}
	}
	later := strings.Replace(strings.Replace(text, "v1", "v3", 1), "bank", "house", 1)
	if _, err := ParseConfig([]byte(later)); !errors.Is(err, errNewer) {
		t.Errorf("a later version: %v", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("{\n  \"format\": \"filigrane workspace v1\",\n  \"bank\": \"B\",\n  \"key_fingerprint\": \"57282719c47b4ba1\"\n}\n"))
	f.Add([]byte(`{"format": "filigrane workspace v9"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig(text)
		if err != nil {
			return
		}
		if again, err := c.MarshalText(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q becomes %q, %v", text, again, err)
		}
	})
}

func FuzzParseSealed(f *testing.F) {
	f.Add(sealKey(NewMasterKey(), []byte("p"), kdf{1, 64, 1}))
	f.Add([]byte("filigrane-sealed-key-1:argon2id,t=99,m=99999999,p=4:" + strings.Repeat("0", 32) + ":"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseSealed(text)
		if err != nil {
			return
		}
		if !bytes.Equal(s.text(), text) || s.params.passes > maxPasses || s.params.kib > maxKiB || s.params.lanes == 0 {
			t.Errorf("%q becomes %q, %+v", text, s.text(), s.params)
		}
	})
}

func FuzzParseWorks(f *testing.F) {
	f.Add([]byte("{\"format\":\"filigrane works v1\",\"works\":0}\n"))
	f.Add([]byte("{\"format\":\"filigrane works v1\",\"works\":1}\n{\"id\":\"a\",\"path\":\"p\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		records, err := parseWorks(text)
		for _, r := range records {
			if err == nil && r.check() != nil {
				t.Errorf("accepted %+v", r)
			}
		}
	})
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"spring", "spring@3", "spring@03", "../x", "a@0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := ParseRef(text); err == nil && (r.String() != text || strings.ContainsAny(text, "/\\")) {
			t.Errorf("%q becomes %q", text, r)
		}
	})
}

func TestKey(t *testing.T) {
	r := workspace(t)
	noPass := func() ([]byte, error) { t.Error("asked for a passphrase"); return nil, nil }
	key, err := r.Key(noPass)
	if err != nil || key.Fingerprint() != r.KeyFingerprint() {
		t.Fatalf("%v, %v", key, err)
	}
	name := filepath.Join(r.Dir(), "master.key")
	if runtime.GOOS != "windows" {
		os.Chmod(name, 0o644)
		if _, err := r.Key(noPass); KindOf(err) != KindKey {
			t.Errorf("a key that others can read: %v", err)
		}
		os.Chmod(name, 0o600)
	}
	sealed := SealKey(key, []byte("secret"))
	if bytes.Contains(sealed, PlainKey(key)[len(plainPrefix):len(plainPrefix)+64]) {
		t.Error("the sealed text shows the key")
	}
	os.WriteFile(name, sealed, 0o600)
	got, err := r.Key(func() ([]byte, error) { return []byte("secret"), nil })
	if err != nil || got.Fingerprint() != key.Fingerprint() {
		t.Errorf("sealed: %v", err)
	}
	if _, err := r.Key(func() ([]byte, error) { return []byte("guess"), nil }); KindOf(err) != KindKey || !errors.Is(err, errPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	changed := bytes.Replace(sealed, []byte("t=3"), []byte("t=2"), 1)
	os.WriteFile(name, changed, 0o600)
	if _, err := r.Key(func() ([]byte, error) { return []byte("secret"), nil }); !errors.Is(err, errPassphrase) {
		t.Errorf("changed parameters: %v", err)
	}
	os.WriteFile(name, []byte("filigrane-key-1:deadbeef\n"), 0o600)
	if _, err := r.Key(noPass); KindOf(err) != KindCorrupt || strings.Contains(err.Error(), "deadbeef") {
		t.Errorf("a short key: %v", err)
	}
	os.Remove(name)
	if _, err := r.Key(noPass); KindOf(err) != KindKey || r.HasKey() {
		t.Errorf("no key: %v", err)
	}
}

// TestKeyNeverShown: no way of printing a key text shows it.
func TestKeyNeverShown(t *testing.T) {
	text := strings.Repeat("ab", mark.KeySize-1)
	if _, err := ParseHexKey(text); err == nil || strings.Contains(err.Error(), "abab") {
		t.Errorf("%v", err)
	}
}

func TestLock(t *testing.T) {
	r := workspace(t)
	other, err := Open(r.Dir())
	if err != nil {
		t.Fatal(err)
	}
	release, err := r.Lock("filigrane import")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Lock("filigrane concepts"); KindOf(err) != KindLocked || !strings.Contains(err.Error(), "filigrane import (process") {
		t.Errorf("%v", err)
	}
	os.WriteFile(filepath.Join(r.Dir(), tempPrefix+"1"), nil, 0o600)
	release()
	release, err = other.Lock("filigrane concepts")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if left, _ := filepath.Glob(filepath.Join(r.Dir(), tempPrefix+"*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestInitTwice(t *testing.T) {
	r := workspace(t)
	before, _ := os.ReadFile(filepath.Join(r.Dir(), "master.key"))
	key := NewMasterKey()
	if _, err := Init(r.Dir(), config(key), PlainKey(key), nowhere); KindOf(err) != KindExists {
		t.Errorf("%v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(r.Dir(), "master.key")); !bytes.Equal(before, after) {
		t.Error("the master key was overwritten")
	}
}

// fixture is a workspace that a program made before there was a registry: see make.sh there.
const fixture = "../../cmd/filigrane/testdata/before-registry/ws"

func old(t *testing.T) *Workspace {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ws")
	if err := os.CopyFS(dir, os.DirFS(fixture)); err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOld(t *testing.T) {
	r := old(t)
	o, err := r.Old()
	if err != nil || !r.IsOld() || r.Tenant() != "fixture-bank" || r.Registry() != filepath.Join(r.Dir(), "registry.db") {
		t.Fatalf("%v, %s, %s", err, r.Tenant(), r.Registry())
	}
	works, err := o.Works()
	if err != nil || len(o.Records) != 4 || len(works) != 3 || works[0].Title == "" || len(works[0].Visual) != concepts.DescriptorLen {
		t.Errorf("%v, %d records, %d works: missing ones are none", err, len(o.Records), len(works))
	}
	if len(o.Catalogues) != 2 || o.Catalogues[1].Catalogue.Catalogue().Version != 2 || len(o.Catalogues[0].Grouping.Rules) != 2 || o.Catalogues[0].Written.IsZero() {
		t.Errorf("%+v", o.Catalogues)
	}
	if len(o.Deliveries) != 2 || o.Deliveries[0].Dir == "" || o.Codebook.Works() != 4 || o.Root != "/filigrane-fixture/masters" {
		t.Errorf("%+v", o)
	}
}

// TestOldFilesCut: cut anywhere, an old file is refused by name. A table is a text: it may well be readable.
func TestOldFilesCut(t *testing.T) {
	r := old(t)
	for _, name := range []string{worksFile, deliveriesFile, codebookFile, "catalogues/spring@1.json"} {
		file := filepath.Join(r.Dir(), name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(text)-1; i += 1 + len(text)/500 { // without its last line end a JSON file is whole
			os.WriteFile(file, text[:i], 0o644)
			if _, err := r.Old(); KindOf(err) != KindCorrupt || !strings.Contains(err.Error(), filepath.Base(name)) {
				t.Fatalf("%s cut at %d: %v", name, i, err)
			}
		}
		os.WriteFile(file, text, 0o644)
	}
	os.Remove(filepath.Join(r.Dir(), codebookFile))
	if _, err := r.Old(); KindOf(err) != KindCorrupt {
		t.Errorf("a codebook that is gone: %v", err)
	}
}

// TestTakenOverInPieces: wherever the process dies while files are put aside, the next one finds everything.
func TestTakenOverInPieces(t *testing.T) {
	for n := range oldNames {
		r := old(t)
		whole, err := r.Old()
		if err != nil {
			t.Fatal(err)
		}
		os.Mkdir(filepath.Join(r.Dir(), asideDir), 0o777)
		for _, name := range oldNames[:n] {
			os.Rename(filepath.Join(r.Dir(), name), filepath.Join(r.Dir(), asideDir, name))
		}
		if again, err := r.Old(); err != nil || len(again.Records) != len(whole.Records) || len(again.Catalogues) != len(whole.Catalogues) || len(again.Table) != len(whole.Table) {
			t.Errorf("after %d of the files: %v", n, err)
		}
		lock(t, r)
		if err := r.TakenOver("fixture", "postgres://u@h/d"); err != nil {
			t.Fatal(err)
		}
		if r, err = Open(r.Dir()); err != nil || r.IsOld() || r.Tenant() != "fixture" || r.Registry() != "postgres://u@h/d" {
			t.Errorf("%v: %+v", err, r)
		}
		left, _ := os.ReadDir(r.Dir())
		aside, _ := os.ReadDir(filepath.Join(r.Dir(), asideDir))
		if len(aside) != len(oldNames) || len(left) != 3 { // filigrane.json, lock, before-registry
			t.Errorf("%d files aside, %d left", len(aside), len(left))
		}
	}
}

func TestTenantOf(t *testing.T) {
	for bank, want := range map[string]string{"Example Bank": "example-bank", "  A&B -- Çelik ": "a-b-çelik", "北京": "北京", "!!": "bank", "Ünï 2": "ünï-2"} {
		if got := TenantOf(bank); got != want || CheckTenant(got) != nil {
			t.Errorf("%q: %q, want %q", bank, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	r := workspace(t)
	below := filepath.Join(r.Dir(), "a", "b")
	os.MkdirAll(below, 0o777)
	if f, err := Find(below); err != nil || f.Bank() != "Example Bank" {
		t.Errorf("%v", err)
	}
	if _, err := Find(t.TempDir()); KindOf(err) != KindNoWorkspace {
		t.Errorf("%v", err)
	}
}

// TestWriteWithoutLock: forgetting the lock is a fault of the program.
func TestWriteWithoutLock(t *testing.T) {
	r := workspace(t)
	defer func() {
		if recover() == nil {
			t.Error("wrote without the lock")
		}
	}()
	r.TakenOver("x", "")
}
