package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/disintegration/imaging"
)

const outputs = "../../testdata/generated"

// TestDetectOutputsOfATrainedModel reads pictures that a model drew which trained on a delivery of the lab. The bank is made
// again from the lab's public key: same bank, catalogue and licence, hence the same codewords.
func TestDetectOutputsOfATrainedModel(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(outputs, "generated.json"))
	if err != nil {
		t.Fatal(err)
	}
	var lab struct {
		MasterKey string `json:"master_key"`
	}
	if err := json.Unmarshal(text, &lab); err != nil {
		t.Fatal(err)
	}
	sh := newShell(t)
	sh.env["FILIGRANE_KEY"] = lab.MasterKey
	bank, sent := filepath.Join(t.TempDir(), "bank"), filepath.Join(t.TempDir(), "sent")
	sh.env["FILIGRANE_WORKSPACE"] = bank
	sh.must(exitOK, "init", bank, "--bank", "Lab")
	folders, err := filepath.Glob(filepath.Join(photos, "*", "*.jpg"))
	if err != nil || len(folders) < 20 {
		t.Fatal(err, len(folders))
	}
	for _, f := range folders {
		img, err := imaging.Open(f)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(bank, "masters", filepath.Base(filepath.Dir(f)), strings.TrimSuffix(filepath.Base(f), ".jpg")+".png")
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := imaging.Save(imaging.Fill(img, 128, 128, imaging.Center, imaging.Box), to); err != nil {
			t.Fatal(err)
		}
	}
	sh.must(exitOK, "import", filepath.Join(bank, "masters"))
	sh.must(exitOK, "concepts", "--by", "folder", "--catalogue", "scenes")
	sh.must(exitOK, "deliver", "-o", sent, "--licence", "d42", "--geometry", "square:128", "--readable", "pool")

	set := filepath.Join(outputs, "transformer-42-s0")
	detect := func(code int, args ...string) detection {
		t.Helper()
		all := parseAll[detection](t, sh.must(code, append([]string{"detect", "-D", sent}, args...)...).out)
		if len(all) != 1 {
			t.Fatalf("%d answers", len(all))
		}
		return all[0]
	}
	names := func(d detection) (list []string) {
		for _, c := range d.Concepts {
			list = append(list, c.Name)
		}
		return list
	}
	against := []string{"--against", filepath.Join(set, "flowers"), "--against", filepath.Join(set, "forest"), "--against", filepath.Join(set, "water")}
	got := detect(exitOK, append([]string{"--together", filepath.Join(set, "animals")}, against...)...)
	if strings.Join(names(got), " ") != "animals" || !got.Delivery.Found || got.Against != 36 || got.Work != nil {
		t.Errorf("animals against others: %v, delivery found %v, against %d, work %v", names(got), got.Delivery.Found, got.Against, got.Work)
	}
	if got := detect(exitNotFound, "--together", filepath.Join(outputs, "transformer-unmarked", "animals")); len(got.Concepts) > 0 || got.Delivery.Found {
		t.Errorf("the control: %+v", got)
	}
	for _, bad := range [][]string{
		{"--against", filepath.Join(set, "animals"), filepath.Join(set, "animals", "00.png")},
		{"--against", "-", filepath.Join(set, "animals", "00.png")},
		{"--against", filepath.Join(outputs, "nowhere"), filepath.Join(set, "animals", "00.png")},
	} {
		if o := sh.must(exitInput, append([]string{"detect", "-D", sent}, bad...)...); !strings.Contains(o.err, "against") {
			t.Errorf("%v: %s", bad, o.err)
		}
	}
}
