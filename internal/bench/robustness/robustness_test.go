package robustness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

func TestCases(t *testing.T) {
	for _, set := range Sets() {
		cases, err := Cases(set)
		if err != nil || len(cases) == 0 {
			t.Errorf("%s: %d cases, %v", set, len(cases), err)
		}
		seen := map[string]bool{}
		for _, c := range cases {
			if seen[c.Name] || c.About == "" {
				t.Errorf("%s: %q twice, or without a word about it", set, c.Name)
			}
			seen[c.Name] = true
		}
	}
	picked, err := Cases("crop50, none,ladder,collage384")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range picked {
		names = append(names, c.Name)
	}
	if names[0] != "crop50" || names[1] != "none" || names[len(names)-1] != "collage384" || len(names) != 18 {
		t.Errorf("picked %q", names)
	}
	if _, err := Cases("ladder,jpeg76"); err == nil || !strings.Contains(err.Error(), "jpeg76") {
		t.Errorf("an unknown edit: %v", err)
	}
}

// TestLevelsNameEdits: a level for an edit that does not exist is a slip of the pen.
func TestLevelsNameEdits(t *testing.T) {
	for name, level := range needs {
		if c, err := Cases(name); err != nil || c[0].Level != level {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	for ours, theirs := range inPeersWords {
		if _, err := Cases(ours + "," + theirs); err != nil {
			t.Error(err)
		}
	}
}

// small is a configuration of two photographs that takes a second.
func small(t *testing.T, edits string, workers int) Config {
	cases, err := Cases(edits)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Cases: cases, PSNRDB: 42, Resolution: 512, FWER: 1e-6, Seed: 3, Workers: workers}
	for _, name := range []string{"objects/stone-table.jpg", "water/lake-jetty.jpg"} {
		c.Photos = append(c.Photos, Photo{name, func() (image.Image, error) { return testphotos.Square(t, name, 384), nil }})
	}
	return c
}

// TestMeasure: marks are read after mild edits and not invented on other copies; rows come in order and do not
// depend on how many workers there are.
func TestMeasure(t *testing.T) {
	rows, err := Measure(context.Background(), small(t, "none,flip,crop75,remarked", 3))
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2*3*4 {
		t.Fatalf("%d rows", len(rows))
	}
	for i, r := range rows {
		if want := []Copy{Marked, Unmarked, OtherKey}[i/4%3]; r.Copy != want || r.Edit != []string{"none", "flip", "crop75", "remarked"}[i%4] {
			t.Errorf("row %d is %s, %s", i, r.Copy, r.Edit)
		}
		if r.False() {
			t.Errorf("a false attribution: %+v", r)
		}
		if r.Copy == Marked && r.Edit != "remarked" && !(r.ConceptRight && r.WorkRight && r.DeliveryRight && r.ConceptViaWork) {
			t.Errorf("not read: %+v", r)
		}
		if r.Copy != Unmarked && (r.PSNRDB < 41.9 || r.PSNRDB > 42.1 || r.SSIM > 0.9999 || r.SSIM < 0.95) {
			t.Errorf("%s, %s: %.2f dB, SSIM %.4f", r.Photo, r.Copy, r.PSNRDB, r.SSIM)
		}
	}
	again, err := Measure(context.Background(), small(t, "none,flip,crop75,remarked", 1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		rows[i].MS, again[i].MS = 0, 0
	}
	if !slices.Equal(rows, again) {
		t.Error("the rows depend on the number of workers")
	}
}

func TestMeasureFails(t *testing.T) {
	c := small(t, "none", 1)
	c.Photos = c.Photos[:1]
	if _, err := Measure(context.Background(), c); err == nil {
		t.Error("one photograph is enough")
	}
	broken := errors.New("broken")
	c = small(t, "none", 1)
	c.Photos[1].Load = func() (image.Image, error) { return nil, broken }
	if _, err := Measure(context.Background(), c); !errors.Is(err, broken) {
		t.Errorf("a photograph that cannot be loaded: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Measure(ctx, small(t, "none", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestJudge holds every kind of answer against what a copy carries.
func TestJudge(t *testing.T) {
	truth := mark.Names{Concepts: []int{7}, Work: 70}
	named := func(concept, work int, delivery float64) *detect.Reading {
		r := &detect.Reading{FWER: 1e-6, Delivery: detect.Finding{P: delivery}, Work: detect.Finding{Number: work, T: 9, P: 1}, Best: detect.Finding{Number: 1, T: 4, P: 1}}
		if concept > 0 {
			r.Concepts = []detect.Finding{{Number: concept, T: 11}}
		}
		if work > 0 {
			r.Work.P = 1e-9
		}
		r.Watched = []detect.Finding{{Number: 7, T: 5}}
		return r
	}
	tests := []struct {
		name    string
		copied  Copy
		got     *detect.Reading
		want    Row // booleans and TConcept
		isFalse bool
	}{
		{"all right", Marked, named(7, 70, 1e-9), Row{ConceptRight: true, WorkRight: true, ConceptViaWork: true, DeliveryRight: true, TConcept: 11}, false},
		{"nothing", Marked, named(0, 0, 1), Row{TConcept: 5}, false},
		{"another concept", Marked, named(8, 0, 1), Row{ConceptWrong: true, TConcept: 5}, true},
		{"another work", Marked, named(7, 71, 1), Row{ConceptRight: true, WorkWrong: true, TConcept: 11}, true},
		{"nothing on an unmarked one", Unmarked, named(0, 0, 1), Row{TConcept: 4}, false},
		{"the right concept where none is", Unmarked, named(7, 0, 1), Row{ConceptWrong: true, TConcept: 11}, true},
		{"the right work where none is", OtherKey, named(0, 70, 1), Row{WorkWrong: true, TConcept: 4}, true},
		{"a delivery where none is", OtherKey, named(0, 0, 1e-7), Row{DeliveryWrong: true, TConcept: 4}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Row{Copy: tt.copied}
			r.judge(tt.got, truth)
			if r.False() != tt.isFalse {
				t.Errorf("false attribution: %v", r.False())
			}
			tt.want.Copy, tt.want.TWork, tt.want.Verdict = tt.copied, 9, tt.got.Verdict
			if r != tt.want {
				t.Errorf("got  %+v\nwant %+v", r, tt.want)
			}
		})
	}
}

func TestSummarise(t *testing.T) {
	rows := []Row{
		{Edit: "a", Copy: Marked, ConceptRight: true, TConcept: 4, MS: 10},
		{Edit: "a", Copy: Marked, ConceptViaWork: true, WorkRight: true, DeliveryRight: true, TConcept: 2, MS: 30},
		{Edit: "a", Copy: Marked, ConceptWrong: true, TConcept: 1, MS: 11},
		{Edit: "a", Copy: Unmarked, WorkWrong: true, MS: 7},
		{Edit: "a", Copy: OtherKey, MS: 9},
		{Edit: "b", Copy: Marked, PSNRDB: 41},
	}
	got := Summarise(rows)
	want := []Line{
		{Edit: "a", N: 3, Concept: 2, Direct: 1, Work: 1, Delivery: 1, Wrong: 1, Unmarked: 1, Nulls: 2, TConcept: 2, MS: 11, MSNull: 8},
		{Edit: "b", N: 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if n := False(rows); n != 2 {
		t.Errorf("%d false attributions, want 2", n)
	}
}

// TestJSONKeepsItsColumns: scripts count on the first eleven.
func TestJSONKeepsItsColumns(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, Params{}, []Row{{Photo: "p", TWork: 1.23456, Copy: Marked}, {Photo: "q"}}); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Params  Params
		Rows    []Row
		Summary []Line
	}
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Rows) != 2 || back.Rows[0].TWork != 1.235 || len(back.Summary) != 1 {
		t.Errorf("%+v", back)
	}
	row, at := strings.Split(b.String(), "\n")[2], 0
	for _, name := range strings.Fields("photo edit level psnr_db concept_right concept_wrong work_right work_wrong t_concept t_work ms ssim delivery_right verdict copy") {
		i := strings.Index(row, `"`+name+`":`)
		if i < at {
			t.Fatalf("%s is missing or out of order in %s", name, row)
		}
		at = i
	}
}

func TestPeers(t *testing.T) {
	f, err := os.Open("../../../testdata/ladder/peers.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	peers, err := ReadPeers(f)
	if err != nil {
		t.Fatal(err)
	}
	if m := Methods(peers); !slices.Equal(m, []string{"dwtDct", "dwtDctSvd", "blind_watermark", "watermark_zero", "rivaGan"}) {
		t.Errorf("methods %q", m)
	}
	// The figures of the table that was published with the measurements.
	for _, tt := range []struct {
		method, edit string
		detected, n  int
	}{
		{"blind_watermark", "jpeg30", 11, 12}, {"dwtDctSvd", "jpeg_q50", 7, 12}, {"rivaGan", "square512", 5, 6}, {"watermark_zero", "noise10", 9, 12},
	} {
		if p, ok := Find(peers, tt.method, tt.edit); !ok || p.Detected != tt.detected || p.N != tt.n {
			t.Errorf("%s after %s: %+v, want %d of %d", tt.method, tt.edit, p, tt.detected, tt.n)
		}
	}
	if _, ok := Find(peers, "dwtDct", "crop50"); ok {
		t.Error("crop50 was never tried with dwtDct")
	}
	for _, bad := range []string{"", "method,edit\n", "method,edit,n,detected,psnr_db\nx,y,3,4,40\n", "method,edit,n,detected,psnr_db\nx,y,3,two,40\n"} {
		if _, err := ReadPeers(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was taken for a table", bad)
		}
	}
	var b bytes.Buffer
	if err := Markdown(&b, []Line{{Edit: "jpeg30", N: 12, Concept: 11}, {Edit: "crop50"}}, peers[:1]); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 5 || strings.Count(lines[0], "|") != strings.Count(lines[2], "|") || strings.Count(lines[1], "|") != strings.Count(lines[3], "|") {
		t.Errorf("a ragged table:\n%s", b.String())
	}
}
