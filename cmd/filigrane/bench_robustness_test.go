package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/disintegration/imaging"
)

// twoPhotographs makes a folder of two small photographs and a file that is none.
func twoPhotographs(t *testing.T) string {
	dir := t.TempDir()
	for from, to := range map[string]string{"objects/stone-table.jpg": "table.png", "water/lake-jetty.jpg": "jetty.png"} {
		img, err := imaging.Open(filepath.Join(photos, from))
		if err != nil {
			t.Fatal(err)
		}
		if err := imaging.Save(imaging.Fill(img, 512, 512, imaging.Center, imaging.Lanczos), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "readme.txt"), []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBenchRobustness(t *testing.T) {
	sh, dir, to := newShell(t), twoPhotographs(t), t.TempDir()
	rows, table, chart := filepath.Join(to, "rows.json"), filepath.Join(to, "table.md"), filepath.Join(to, "chart.svg")
	args := []string{"bench", "robustness", "--photos", dir, "--edits", "none,jpeg75", "-r", "512", "--peers", "../../testdata/ladder/peers.csv",
		"--json", rows, "--md", table, "--plot", chart}
	got := sh.must(exitOK, args...)
	var out struct {
		Summary []struct {
			Edit    string `json:"edit"`
			N       int    `json:"n"`
			Concept int    `json:"concept_right"`
			Nulls   int    `json:"nulls"`
		} `json:"summary"`
		Read  int `json:"readings"`
		False int `json:"false_attributions"`
	}
	if err := json.Unmarshal([]byte(got.out), &out); err != nil {
		t.Fatal(err)
	}
	if out.Read != 12 || out.False != 0 || len(out.Summary) != 2 || out.Summary[0].Edit != "none" || out.Summary[0].N != 2 || out.Summary[0].Concept != 2 || out.Summary[0].Nulls != 4 {
		t.Errorf("%+v", out)
	}
	if !strings.Contains(got.err, "jpeg75") || !strings.Contains(got.err, "12 readings, 0 false") {
		t.Errorf("people are told: %s", got.err)
	}
	var file struct {
		Rows []struct{ Photo, Copy string }
	}
	text, err := os.ReadFile(rows)
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil || len(file.Rows) != 12 || file.Rows[0].Photo != "jetty" || file.Rows[0].Copy != "marked" {
		t.Errorf("%v, %+v", err, file)
	}
	for name, want := range map[string]string{table: "| jpeg75 | fast | 2/2 |", chart: "blind_watermark"} {
		if text, err := os.ReadFile(name); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, no %q", name, err, want)
		}
	}
	sh.must(exitInput, args...) // the files exist
}

func TestBenchRobustnessRefuses(t *testing.T) {
	sh, dir := newShell(t), twoPhotographs(t)
	for want, args := range map[string][]string{
		"jpeg76": {"--edits", "jpeg76"}, "deeper": {"--level", "deeper"}, "--psnr 20": {"--psnr", "20"}, "--fwer 0": {"--fwer", "0"},
		"at least two": {"--photos", filepath.Join(dir, "table.png")}, "no column": {"--peers", filepath.Join(dir, "readme.txt")},
	} {
		got := sh.must(exitInput, append([]string{"bench", "robustness", "--photos", dir, "--edits", "none"}, args...)...)
		if !strings.Contains(got.err, want) {
			t.Errorf("%q: %s", args, got.err)
		}
	}
}

func TestBenchCalibrate(t *testing.T) {
	sh, dir, to := newShell(t), twoPhotographs(t), t.TempDir()
	args := []string{"bench", "calibrate", "--photos", dir, "--generated", filepath.Join(outputs, "transformer-unmarked"), "--tests", "2000", "--families", "20", "--readings", "5",
		"--repeats", "0", "--json", filepath.Join(to, "c.json"), "--plots", to}
	got := sh.must(exitOK, args...)
	var out struct {
		Materials []struct{ Pictures int } `json:"materials"`
		Single    []struct {
			Material string `json:"material"`
			Tests    int    `json:"tests"`
			Lines    []struct {
				Claimed, Observed, Low, High float64
			} `json:"lines"`
		} `json:"single_codeword"`
	}
	if err := json.Unmarshal([]byte(got.out), &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Materials) != 5 || len(out.Single) != 6 {
		t.Fatalf("%d materials, %d tables", len(out.Materials), len(out.Single))
	}
	all := out.Single[5]
	if all.Material != "all" || all.Tests != 2000 || len(all.Lines) != 6 {
		t.Errorf("%+v", all)
	}
	for _, l := range all.Lines {
		if l.Low > l.Observed || l.Observed > l.High || l.Low > l.Claimed {
			t.Errorf("%+v", l)
		}
	}
	if !strings.Contains(got.err, "one codeword") {
		t.Errorf("people are told: %s", got.err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "calibration.svg")); err != nil || !strings.Contains(string(text), "photographs") {
		t.Errorf("%v", err)
	}
	sh.must(exitInput, args...) // the files exist
	sh.must(exitInput, "bench", "calibrate", "--tests", "-1")
}
