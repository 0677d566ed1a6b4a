package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/png"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/demo"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// input marks a few real photographs as a delivery would.
func input(t *testing.T, keys, readKeys mark.Keys) demo.Input {
	t.Helper()
	const side = 640
	profile := mark.Profile1()
	books := mark.NewBooks(profile, keys)
	in := demo.Input{Keys: readKeys, Profile: profile, Resolution: side, PresetDB: 42, NullTests: 5000, Seed: 1,
		Names: func(n int) string { return map[int]string{1: "flowers", 2: "sky"}[n] }}
	for i, name := range []string{"flowers/marigold.jpg", "flowers/yellow-flower.jpg", "sky/storm-road.jpg"} {
		host := testphotos.Square(t, name, side)
		p := demo.Picture{Name: name, Concepts: []int{1 + i/2}, ConceptIDs: []concepts.ConceptID{concepts.NewConceptID(concepts.Semantic, in.Names(1+i/2))}, Work: 100 + i, RightsHolder: "holder of " + name}
		marked, _, err := embed.Mark(host, mark.NewCell(profile, books, mark.Names{Concepts: p.Concepts, Work: p.Work}), embed.Options{PSNRDB: 42})
		if err != nil {
			t.Fatal(err)
		}
		p.PSNRDB, p.SSIM = signal.PSNR(host, marked), signal.SSIM(host, marked)
		p.Host = func() (image.Image, error) { return host, nil }
		p.Marked = func() (image.Image, error) { return marked, nil }
		var file bytes.Buffer
		if err := png.Encode(&file, marked); err != nil {
			t.Fatal(err)
		}
		p.File = file.Bytes()
		p.Decode = func(data []byte) (image.Image, error) { return png.Decode(bytes.NewReader(data)) }
		p.Encode = func(img image.Image) error { return png.Encode(&bytes.Buffer{}, img) }
		in.Pictures = append(in.Pictures, p)
	}
	return in
}

func keys(bank string) mark.Keys {
	var k mark.Key
	return k.Delivery(mark.Path{Bank: bank}).Keys()
}

func TestMeasure(t *testing.T) {
	r, untouched, err := demo.Measure(context.Background(), input(t, keys("ours"), keys("ours")))
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Ladder {
		if row.ConceptWrong+row.WorkWrong != 0 {
			t.Errorf("%s: wrong names: %+v", row.Edit, row)
		}
		if row.Edit == "unmarked" && row.ConceptRight+row.WorkRight+row.DeliveryRight != 0 {
			t.Errorf("names in unmarked pictures: %+v", row)
		}
		if row.Edit == "none" && (row.N != 3 || row.WorkRight != 3 || row.ConceptRight != 3 || row.ConceptDirect != 3) {
			t.Errorf("untouched: %+v", row)
		}
	}
	if len(untouched) != 3 || r.Two.BothRight != 3 || len(r.Surrogate.Concepts) != 2 || r.Null.Tests != 5000 {
		t.Errorf("untouched %v, two %+v, surrogate %+v, %d nulls", untouched, r.Two, r.Surrogate.Concepts, r.Null.Tests)
	}
	for _, c := range r.Surrogate.Concepts {
		if c.Folded != c.Concept || c.WrongAlone+c.WorkAppeared != 0 {
			t.Errorf("surrogate: %+v", c)
		}
	}
	total := int64(0)
	for _, p := range r.Payout.PartsCents {
		total += p
	}
	if total != r.Payout.TotalCents || total == 0 {
		t.Errorf("parts add up to %d of %d cents", total, r.Payout.TotalCents)
	}
	var page, data bytes.Buffer
	if err := r.WriteHTML(&page, untouched); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Surrogate, not a trained model", "<svg", "data:image/png;base64,", "jpeg30"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("report.html lacks %q", want)
		}
	}
	if err := r.WriteJSON(&data); err != nil {
		t.Fatal(err)
	}
	checkKeys(t, data.Bytes())
}

// checkKeys holds report.json to the keys scripts read.
func checkKeys(t *testing.T, data []byte) {
	t.Helper()
	var top map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		t.Fatal(err)
	}
	for object, want := range map[string][]string{
		"quality": {"psnr_mean_db", "psnr_min_db", "ssim_mean"}, "null": {"tests", "over_1e3", "over_1e4", "over_1e5"},
		"speed": {"decode_ms", "encode_ms", "embed_ms", "detect_ms"}, "payout": {"total_cents", "parts_cents"},
	} {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(top[object], &fields); err != nil {
			t.Fatalf("%s: %v", object, err)
		}
		for _, k := range want {
			if _, ok := fields[k]; !ok {
				t.Errorf("report.json: %s lacks %s", object, k)
			}
		}
	}
	var ladder []struct {
		Edit string `json:"edit"`
		N    *int   `json:"n"`
		CR   *int   `json:"concept_right"`
		CW   *int   `json:"concept_wrong"`
		WR   *int   `json:"work_right"`
		WW   *int   `json:"work_wrong"`
	}
	if err := json.Unmarshal(top["ladder"], &ladder); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, row := range ladder {
		have[row.Edit] = row.N != nil && row.CR != nil && row.CW != nil && row.WR != nil && row.WW != nil
	}
	for _, edit := range strings.Fields("none jpeg90 jpeg75 jpeg50 jpeg30 half_jpeg85 px300 crop90 crop75 crop50 flip bright+20 bright-20 noise10 blur1 square512 unmarked") {
		if !have[edit] {
			t.Errorf("report.json: the ladder lacks %s or one of its counts", edit)
		}
	}
}

// TestMeasureWithTheWrongKey: everything is read, nothing is named.
func TestMeasureWithTheWrongKey(t *testing.T) {
	in := input(t, keys("ours"), keys("theirs"))
	in.NullTests = 300
	for i := range in.Pictures { // what the surrogate and the two-concept pictures carry is under the key they are read with
		in.Pictures[i].Concepts = nil
		in.Pictures[i].ConceptIDs = nil
	}
	r, _, err := demo.Measure(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Ladder {
		if row.DeliveryRight+row.ConceptDirect+row.ConceptWrong+row.WorkRight+row.WorkWrong != 0 {
			t.Errorf("%s: named under the wrong key: %+v", row.Edit, row)
		}
	}
}
