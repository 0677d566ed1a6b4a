package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/internal/raster"
)

// TestDeliveryInBuckets: pictures of several shapes, lossless WebP, rights in every copy, papers that verify, and every
// picture found again at the resolution of its bucket.
func TestDeliveryInBuckets(t *testing.T) {
	sh, _ := bank(t)
	out, dir := filepath.Join(t.TempDir(), "delivery"), t.TempDir()
	deliver := []string{"deliver", "-c", "spring", "-o", out, "--licence", "acme", "--geometry", "buckets:512", "--format", "webp",
		"--data-mining", "DMI-PROHIBITED-AIMLTRAINING", "--training", "constrained", "--statement", "https://bank.example/licence",
		"--recipient", "Acme", "--from", "2026-12-01", "--until", "2999-11-30", "--date", "2026-11-23"}
	rep := one[deliverJSON](t, sh.must(0, deliver...).out)
	v := one[map[string]any](t, sh.must(0, "deliver", "verify", out).out)
	if v["signed"] != true || v["papers"].(float64) < 5 {
		t.Errorf("%v", v)
	}
	sh.must(0, "deliver", "verify", out, "--signed-by", rep.Receipt)
	sh.must(1, "deliver", "verify", out, "--signed-by", strings.Repeat("0", 64))
	sealed := filepath.Join(sh.env["FILIGRANE_WORKSPACE"], "master.key")
	secret := read(t, sealed)
	os.Remove(sealed)
	if v := one[map[string]any](t, sh.must(0, "deliver", "verify", "--hashes-only", out).out); v["signed"] != true {
		t.Errorf("by the key on record: %v", v)
	}
	if err := os.WriteFile(sealed, secret, 0o600); err != nil {
		t.Fatal(err)
	}
	untar(t, shardOf(t, out), dir)
	files, _ := filepath.Glob(filepath.Join(dir, "*.webp"))
	if len(files) != len(few) {
		t.Fatalf("%d files", len(files))
	}
	shapes := map[string]bool{}
	for _, file := range files {
		p, err := raster.Decode(read(t, file), raster.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		shapes[p.Image.Bounds().String()] = true
		if got := p.Tags().DataMining; !strings.HasSuffix(got, "/DMI-PROHIBITED-AIMLTRAINING") {
			t.Errorf("%s says %q of data mining", file, got)
		}
		if d := one[detection](t, sh.must(0, "detect", "-D", out, "--level", "fast", file).out); d.Work == nil || d.Alignment.Words != "as it was marked" {
			t.Errorf("%s of %v: %+v, %+v", file, p.Image.Bounds(), d, d.Alignment)
		}
	}
	if len(shapes) < 2 {
		t.Errorf("all in one bucket: %v", shapes)
	}
	page := string(read(t, filepath.Join(out, "statistics.html")))
	if !strings.Contains(page, "<svg") {
		t.Error("the statistics have no drawing")
	}
	for _, wrong := range [][]string{{"--date", "23.11.2026"}, {"--until", "2026-01-01"}, {"--training", "perhaps"}, {"--shards", "zip"}, {"--captions", "none"}, {"--data-mining", "YES"}, {"--previous", dir}} {
		sh.must(2, append(append([]string{}, deliver...), append(wrong, "-o", filepath.Join(t.TempDir(), "x"))...)...)
	}
	typo := filepath.Join(t.TempDir(), "typo")
	sh.must(2, append(append([]string{}, deliver...), "-o", typo, "--licence-url", "bank.example/licence")...)
	if exists(filepath.Join(typo, "job.json")) || exists(filepath.Join(typo, "manifest.json")) {
		t.Error("a delivery was begun whose papers cannot be written")
	}
	index := filepath.Join(out, "index.csv")
	put(t, index, append(read(t, index), '\n'))
	sh.must(1, "deliver", "verify", out)
}

// TestIncrementalDelivery: a new version of the catalogue delivers what changed and says what is to be removed.
func TestIncrementalDelivery(t *testing.T) {
	sh, masters := bank(t)
	first, second := filepath.Join(t.TempDir(), "first"), filepath.Join(t.TempDir(), "second")
	flags := []string{"--licence", "acme", "--geometry", "square:256"}
	sh.must(0, append([]string{"deliver", "-c", "spring", "-o", first}, flags...)...)
	put(t, filepath.Join(masters, "sky/open-beach.jpg"), read(t, filepath.Join(photos, "sky/open-beach.jpg")))
	if err := os.Remove(filepath.Join(masters, "sky/kite.jpg")); err != nil {
		t.Fatal(err)
	}
	sh.must(0, "import", masters)
	sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring")
	rep := one[deliverJSON](t, sh.must(0, append([]string{"deliver", "-c", "spring", "-o", second, "--previous", first}, flags...)...).out)
	if rep.Summary.Images != 1 {
		t.Errorf("%+v", rep.Summary)
	}
	var removals struct {
		Removals []struct {
			Work   string `json:"work"`
			SHA256 string `json:"sha256"`
			ISCC   string `json:"iscc_image"`
		} `json:"removals"`
	}
	if err := json.Unmarshal(read(t, filepath.Join(second, "removals.json")), &removals); err != nil {
		t.Fatal(err)
	}
	if len(removals.Removals) != 1 || len(removals.Removals[0].SHA256) != 64 || removals.Removals[0].ISCC == "" {
		t.Errorf("%+v", removals)
	}
	sh.must(0, "deliver", "verify", second)
}
