package iscc

import (
	"encoding/csv"
	"fmt"
	"image"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/internal/attack"
	"github.com/filigrane/filigrane/internal/testphotos"
)

// sources gives, for each photograph, the file it was cut out of: cuttings of one file may show the same sky.
func sources(t testing.TB) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(testphotos.Dir(), "..", "photos-build", "list.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	file, source := slices.Index(rows[0], "file"), slices.Index(rows[0], "source")
	if file < 0 || source < 0 {
		t.Fatalf("columns %v", rows[0])
	}
	of := map[string]string{}
	for _, r := range rows[1:] {
		of[r[file]] = r[source]
	}
	return of
}

// histogram counts distances.
type histogram [DefaultBits + 1]int

func (h *histogram) pairs() (n int) {
	for _, c := range h {
		n += c
	}
	return n
}

// within counts those up to a distance.
func (h *histogram) within(d int) (n int) {
	for _, c := range h[:d+1] {
		n += c
	}
	return n
}

func (h *histogram) least() int {
	return slices.IndexFunc(h[:], func(n int) bool { return n > 0 })
}

// TestWhatDistanceTells measures what MaxDistance is chosen by, and prints it with -v: how far edits take a photograph,
// and how near photographs come that have nothing to do with each other.
func TestWhatDistanceTells(t *testing.T) {
	names := testphotos.Names(t)
	of := sources(t)
	edited := map[string]*histogram{}
	edits := attack.Ladder()
	var photos, cuttings []entry
	r := rand.New(rand.NewPCG(24138, 2024))
	for i, name := range names {
		if of[name] == "" {
			t.Fatalf("%s has no source in list.csv", name)
		}
		img := testphotos.Square(t, name, 512)
		code := ImageCode(img, DefaultBits)
		photos = append(photos, entry{of[name], code})
		cuttings = append(cuttings, cut(r, img, of[name], 100)...)
		if testing.Short() && i%6 > 0 {
			continue
		}
		for _, e := range edits {
			p := Normalise(e.Apply(img, 7))
			if e.Name == "flip" {
				count(edited, "flip", Distance(code, ImageCodeOf(p, DefaultBits)))
				p = p.Mirrored()
				count(edited, "flip, asked mirrored", Distance(code, ImageCodeOf(p, DefaultBits)))
				continue
			}
			count(edited, e.Name, Distance(code, ImageCodeOf(p, DefaultBits)))
		}
	}
	t.Logf("%-22s %6s %6s %6s %6s  within %d", "edit", "median", "90 %", "99 %", "most", MaxDistance)
	for _, e := range append(edits, attack.Edit{Name: "flip, asked mirrored"}) {
		h := edited[e.Name]
		t.Logf("%-22s %6d %6d %6d %6d  %d of %d", e.Name, h.quantile(0.5), h.quantile(0.9), h.quantile(0.99), h.quantile(1), h.within(MaxDistance), h.pairs())
	}
	strangers, near := unrelated(photos), unrelated(cuttings)
	t.Logf("%d pairs of different photographs: the nearest differ by %d bits", strangers.pairs(), strangers.least())
	t.Logf("%d pairs of cuttings of different photographs, by distance:", near.pairs())
	for d := 0; d <= 20; d += 2 {
		t.Logf("  within %2d: %7d, %8.3g of all; %8.3g if codes were drawn among those with half their bits set", d, near.within(d), float64(near.within(d))/float64(near.pairs()), drawn(d))
	}
	for _, name := range []string{"jpeg90", "jpeg75", "half_jpeg85", "px300", "blur1", "noise10", "flip, asked mirrored"} {
		if h := edited[name]; h.within(MaxDistance)*100 < h.pairs()*97 {
			t.Errorf("%s: %d of %d photographs are found", name, h.within(MaxDistance), h.pairs())
		}
	}
	if strangers.within(MaxDistance) > 0 {
		t.Errorf("%d pairs of different photographs are taken for near-duplicates", strangers.within(MaxDistance))
	}
}

// entry is a code, and the file that its picture is of.
type entry struct {
	source string
	code   Code
}

func count(in map[string]*histogram, name string, d int) {
	if in[name] == nil {
		in[name] = new(histogram)
	}
	in[name][d]++
}

// quantile returns the distance within which a share of the pairs is.
func (h *histogram) quantile(share float64) int {
	d := 0
	for float64(h.within(d)) < share*float64(h.pairs()) {
		d++
	}
	return d
}

// cut takes pieces of a quarter to nine tenths of the sides out of a photograph, of any proportions.
func cut(r *rand.Rand, img image.Image, source string, n int) []entry {
	small := imaging.Resize(img, 192, 192, imaging.Lanczos)
	var out []entry
	for range n {
		w, h := 48+r.IntN(125), 48+r.IntN(125)
		at := image.Pt(r.IntN(192-w), r.IntN(192-h))
		out = append(out, entry{source, ImageCode(small.SubImage(image.Rectangle{at, at.Add(image.Pt(w, h))}), DefaultBits)})
	}
	return out
}

// unrelated counts the distances of all pairs of different sources.
func unrelated(all []entry) *histogram {
	var h histogram
	for i, a := range all {
		for _, b := range all[:i] {
			if a.source != b.source {
				h[Distance(a.code, b.code)]++
			}
		}
	}
	return &h
}

// drawn is the probability that two codes differ in at most d bits, where both are drawn evenly from the codes of
// 64 bits of which 32 are set, as medians leave them: the sum of C(32,k)^2 / C(64,32) over 2k <= d.
func drawn(d int) float64 {
	sum := new(big.Int)
	for k := int64(0); 2*k <= int64(d); k++ {
		c := new(big.Int).Binomial(32, k)
		sum.Add(sum, c.Mul(c, c))
	}
	p, _ := new(big.Rat).SetFrac(sum, new(big.Int).Binomial(64, 32)).Float64()
	return p
}

// TestDrawn: the formula, by its ends.
func TestDrawn(t *testing.T) {
	if p := drawn(64); p != 1 {
		t.Errorf("all codes are within 64 bits with probability %v", p)
	}
	if got := fmt.Sprintf("%.4g", drawn(2)*1.832624140942590534e18); got != "1025" || !strings.HasPrefix(got, "1025") {
		t.Errorf("%s of the C(64,32) codes are within 2 bits, want 1 + 32*32", got)
	}
}
