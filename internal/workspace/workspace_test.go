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

func record(path, digit string) Record {
	sum := strings.Repeat(digit, 64)
	return Record{ID: concepts.WorkID(sum[:16]), Path: path, SHA256: sum, Bytes: 1, Width: 10, Height: 10, Format: "png"}
}

func TestRecords(t *testing.T) {
	r := workspace(t)
	lock(t, r)
	want := []Record{record("b.png", "1"), record("a.png", "2")}
	want[0].Keywords, want[0].Visual, want[1].Missing = []string{"<&>"}, []float64{0.1, 1e-9}, true
	if err := r.SaveRecords(want); err != nil {
		t.Fatal(err)
	}
	got, err := r.Records()
	if err != nil || len(got) != 2 || got[0].Path != "a.png" || got[1].Visual[1] != 1e-9 || got[1].Keywords[0] != "<&>" {
		t.Errorf("%+v, %v", got, err)
	}
	if w, err := r.Works(); err != nil || len(w.Works) != 1 {
		t.Errorf("missing works are no works: %+v, %v", w, err)
	}
	for _, bad := range [][]Record{{record("../x", "1")}, {record("a", "1"), record("a", "2")}, {{}}} {
		if err := r.SaveRecords(bad); err == nil {
			t.Errorf("saved %+v", bad)
		}
	}
	name := filepath.Join(r.Dir(), worksFile)
	text, _ := os.ReadFile(name)
	for i := range text { // cut anywhere, the file is refused by name
		os.WriteFile(name, text[:i], 0o644)
		if _, err := r.Records(); KindOf(err) != KindCorrupt || !strings.Contains(err.Error(), worksFile) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func TestCatalogue(t *testing.T) {
	r := workspace(t)
	lock(t, r)
	id := concepts.NewConceptID(concepts.Semantic, "lakes")
	work := record("lakes/a.png", "1").Work()
	make := func(version int) *Catalogue {
		f, err := concepts.Catalogue{Name: "spring", Version: version, Works: []concepts.Work{work}, Concepts: []concepts.Concept{{ID: id, Kind: concepts.Semantic, Name: "lakes"}},
			Memberships: []concepts.Membership{{Work: work.ID, Concept: id, Rule: "folder", Why: "folder"}}}.Freeze()
		if err != nil {
			t.Fatal(err)
		}
		return &Catalogue{Frozen: f, Grouping: Story{Rules: []string{"folder"}}}
	}
	book := new(concepts.Codebook)
	book.AssignConcepts(id)
	if err := r.AddCatalogue(make(1), book); err != nil {
		t.Fatal(err)
	}
	if err := r.AddCatalogue(make(1), book); KindOf(err) != KindExists {
		t.Errorf("a frozen version again: %v", err)
	}
	if err := r.AddCatalogue(make(2), new(concepts.Codebook)); !errors.Is(err, concepts.ErrNotExtended) {
		t.Errorf("a codebook that lost a number: %v", err)
	}
	if err := r.AddCatalogue(make(2), book); err != nil {
		t.Fatal(err)
	}
	c, err := r.Catalogue(Ref{Name: "spring"})
	if err != nil || c.Hash() != make(2).Hash() || c.Grouping.Rules[0] != "folder" {
		t.Errorf("%v", err)
	}
	if ref, err := r.Resolve(Ref{}); err != nil || ref.String() != "spring@2" {
		t.Errorf("the only catalogue: %v, %v", ref, err)
	}
	if _, err := r.Catalogue(Ref{"spring", 3}); KindOf(err) != KindUnknown || !strings.Contains(err.Error(), "spring@2") {
		t.Errorf("%v", err)
	}
	book2 := new(concepts.Codebook)
	book2.AssignConcepts(concepts.NewConceptID(concepts.Semantic, "towns"))
	text, _ := book2.MarshalText()
	os.WriteFile(filepath.Join(r.Dir(), codebookFile), text, 0o644)
	if _, err := r.Catalogue(Ref{"spring", 1}); KindOf(err) != KindCorrupt {
		t.Errorf("a codebook edited by hand: %v", err)
	}
	os.Remove(filepath.Join(r.Dir(), codebookFile))
	if _, err := r.Codebook(); KindOf(err) != KindCorrupt {
		t.Errorf("a codebook that is gone: %v", err)
	}
}

func TestDeliveries(t *testing.T) {
	r := workspace(t)
	lock(t, r)
	d := Delivery{Path: mark.Path{Bank: "B", Catalogue: "c@1", Licence: "l", Purpose: "p", Epoch: 1}, Profile: 1, Resolution: 1024}
	for range 2 {
		if err := r.AddDelivery(d); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := r.Deliveries(); err != nil || len(all) != 1 || all[0] != d {
		t.Errorf("%+v, %v", all, err)
	}
	d.Profile = 99
	if err := r.AddDelivery(d); err == nil {
		t.Error("a profile that does not exist was kept")
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
	r.SaveRecords(nil)
}
