package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchAttacks runs one attack in small and checks that the file holds what was printed.
func TestBenchAttacks(t *testing.T) {
	sh, dir := newShell(t), copyPhotos(t, few[:2]...)
	out := t.TempDir()
	file, tables := filepath.Join(out, "attacks.json"), filepath.Join(out, "attacks.md")
	o := sh.must(0, "bench", "attacks", "--photos", dir, "--quick", "--only", "overmark", "--json", file, "--md", tables)
	printed := one[attacksReport](t, o.out)
	if len(printed.Rows) != 6 || printed.Rows[0].Attack != "overmark" || printed.Rows[0].Images != 1 || printed.Params.Photos != 2 {
		t.Errorf("%+v", printed)
	}
	if !strings.Contains(o.err, "read with the last key") {
		t.Errorf("no table on standard error: %s", o.err)
	}
	var written attacksReport
	if err := json.Unmarshal(read(t, file), &written); err != nil {
		t.Fatal(err)
	}
	if written.Params != printed.Params || len(written.Rows) != len(printed.Rows) || written.Rows[3] != printed.Rows[3] {
		t.Errorf("file: %+v\nprinted: %+v", written, printed)
	}
	if md := string(read(t, tables)); strings.Count(md, "\n| read with our key | ") != 3 || !strings.HasPrefix(md, "### overmark\n") {
		t.Errorf("tables: %s", md)
	}
	sh.must(2, "bench", "attacks", "--photos", dir, "--quick", "--only", "overmark", "--json", file)
	if o := sh.must(2, "bench", "attacks", "--photos", dir, "--only", "magic"); !strings.Contains(o.err, "collusion") {
		t.Errorf("does not say what there is: %s", o.err)
	}
	sh.must(2, "bench", "attacks", "--photos", filepath.Join(dir, "sky"))
}

func TestBenchAttacksPairs(t *testing.T) {
	sh, dir, out := newShell(t), copyPhotos(t, few[:2]...), filepath.Join(t.TempDir(), "pairs")
	sh.must(0, "bench", "attacks", "--photos", dir, "--quick", "--write-pairs", out)
	for _, name := range []string{"pairs.json", "train/host/000.png", "train/other/000.png", "train/same/000.png", "test/marked/000.png"} {
		if _, err := os.Stat(filepath.Join(out, filepath.FromSlash(name))); err != nil {
			t.Error(err)
		}
	}
}
