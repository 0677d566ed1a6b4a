package calibration

import (
	"bytes"
	"context"
	"errors"
	"image"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// TestClopperPearson holds the limits against scipy.stats.beta.ppf.
func TestClopperPearson(t *testing.T) {
	tests := []struct {
		k, n                  int
		confidence, low, high float64
	}{
		{0, 10, 0.95, 0, 0.3084971078},
		{5, 10, 0.95, 0.1870860284, 0.8129139716},
		{10, 10, 0.95, 0.6915028922, 1},
		{3, 20, 0.9999, 0.003580662677912401, 0.5985601109289014},
		{0, 10_000_000, 0.95, 0, 3.688878774e-07},
		{1, 10_000_000, 0.95, 2.531780795e-09, 5.571642117e-07},
		{37, 10_000_000, 0.95, 2.605142753e-06, 5.099959044e-06},
		{1000, 10_000_000, 0.95, 9.389758367e-05, 0.0001063948734},
	}
	for _, tt := range tests {
		low, high := ClopperPearson(tt.k, tt.n, tt.confidence)
		if math.Abs(low-tt.low) > 1e-6*tt.low || math.Abs(high-tt.high) > 1e-6*tt.high { // what the quantile's search leaves
			t.Errorf("%d of %d at %g: %.10g to %.10g, want %.10g to %.10g", tt.k, tt.n, tt.confidence, low, high, tt.low, tt.high)
		}
	}
}

// TestWilson holds the limits against scipy.stats.binomtest(...).proportion_ci(0.95, "wilson").
func TestWilson(t *testing.T) {
	for _, tt := range []struct {
		k, n      int
		low, high float64
	}{{0, 30, 0, 0.11351339317396875}, {5, 10, 0.236593090512564, 0.7634069094874361}, {12, 30, 0.2459062811680185, 0.5767963974667751}, {30, 30, 0.8864866068260312, 1}} {
		low, high := Wilson(tt.k, tt.n)
		if math.Abs(low-tt.low) > 1e-12 || math.Abs(high-tt.high) > 1e-12 {
			t.Errorf("%d of %d: %v to %v, want %v to %v", tt.k, tt.n, low, high, tt.low, tt.high)
		}
	}
}

func close(a, b float64) bool { return math.Abs(a-b) <= 1e-8*math.Abs(b) }

// TestThresholds: at each threshold the detector's bound is what is claimed.
func TestThresholds(t *testing.T) {
	for _, m := range []float64{1, mark.MaxConcepts} {
		for k, at := range thresholds(m) {
			if got := detect.Bound(at, m); k > 0 && !close(got, claimed(k)) {
				t.Errorf("m = %g: the bound at %g is %g, want %g", m, at, got, claimed(k))
			}
		}
	}
	if !close(claimed(4*perDecade), 1e-4) {
		t.Errorf("claimed(%d) = %g", 4*perDecade, claimed(4*perDecade))
	}
}

// TestRefuted: the test of the claim can fail.
func TestRefuted(t *testing.T) {
	c, ts := newCount("x"), thresholds(1)
	for range 1000 {
		c.add(1, ts)
	}
	if c.Refuted() {
		t.Error("refuted by T = 1, which is no news")
	}
	for range 20 {
		c.add(4.5, ts) // a bound of 4e-5, in 2 % of all tests
	}
	if !c.Refuted() {
		t.Errorf("not refuted by %v of %d", c.Over, c.Tests)
	}
	if l := c.Lines(false); len(l) != Decades || l[3].Hits != 20 || l[4].Hits != 0 || !close(l[3].Claimed, 1e-4) || l[3].Low < 1e-4 {
		t.Errorf("lines %+v", l)
	}
}

// TestFamilyFindsTheBest holds the transform against every codeword, one by one.
func TestFamilyFindsTheBest(t *testing.T) {
	null, err := detect.NewNull(mark.Profile1(), 128, testphotos.Square(t, "objects/stone-table.jpg", 128))
	if err != nil {
		t.Fatal(err)
	}
	f := newFamily(mark.Profile1(), null)
	norm := 0.0
	for _, u := range f.unit {
		norm += u * u
	}
	if math.Abs(norm-1) > 1e-9 {
		t.Errorf("norm %v", norm)
	}
	for test := range 2 {
		book := mark.NewBook(mark.Profile1(), mark.Concept, key(1, "test", 0, test))
		want := math.Inf(-1)
		for n := 1; n <= mark.MaxConcepts; n++ {
			want = max(want, null.Of(book.Codeword(mark.Profile1().ConceptCodeword(n))))
		}
		if got := f.best(book); math.Abs(got-want) > 1e-5 {
			t.Errorf("key %d: best %v, want %v", test, got, want)
		}
	}
}

// tiny is two pictures of every kind.
func tiny(t *testing.T) []Material {
	var photos, generated []Loader
	for i, name := range []string{"objects/stone-table.jpg", "water/lake-jetty.jpg"} {
		photos = append(photos, func() (image.Image, error) { return testphotos.Square(t, name, 256), nil })
		generated = append(generated, func() (image.Image, error) { return testphotos.Square(t, name, 128+i), nil })
	}
	return Materials(photos, generated, 1)
}

// TestMeasure: as many tests as asked for, evenly over the materials, the same for any number of workers, and no
// claim refuted.
func TestMeasure(t *testing.T) {
	run := func(workers int) Result {
		r, err := Measure(context.Background(), Nulls{Materials: tiny(t), Tests: 5003, Families: 52, Readings: 7, Seed: 2, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	got := run(3)
	for i, counts := range [][]Count{got.Single, got.Family, got.Readings} {
		if all := Pooled("all", counts); all.Tests != []int{5003, 52, 7}[i] || all.Refuted() || len(counts) != 5 {
			t.Errorf("kind %d: %d tests of %d materials, refuted: %v", i, all.Tests, len(counts), all.Refuted())
		}
		for _, c := range counts {
			if !slices.IsSortedFunc(c.Over, func(a, b int) int { return b - a }) {
				t.Errorf("%s: more at a lower rate: %v", c.Material, c.Over)
			}
		}
	}
	// A Gaussian statistic reaches the claimed rate 0.1, T = 2.15, in 1.6 % of tests.
	if all := Pooled("", got.Single); all.Over[perDecade] < 40 || all.Over[perDecade] > 130 {
		t.Errorf("%d of 5003 tests reach the rate 0.1", all.Over[perDecade])
	}
	if again := run(1); !reflect.DeepEqual(got, again) {
		t.Error("the counts depend on the number of workers")
	}
}

func TestMeasureFails(t *testing.T) {
	broken := errors.New("broken")
	ms := []Material{{Name: "x", Hosts: []Host{{128, func() (image.Image, error) { return nil, broken }}}}}
	if _, err := Measure(context.Background(), Nulls{Materials: ms, Tests: 1}); !errors.Is(err, broken) {
		t.Errorf("a picture that cannot be loaded: %v", err)
	}
	if _, err := Measure(context.Background(), Nulls{Materials: []Material{{Name: "x"}}, Tests: 1}); err == nil {
		t.Error("a material without pictures")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Measure(ctx, Nulls{Materials: tiny(t), Tests: 10}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestMaterialsCarryWhatTheySay: the grid is there, and so is the foreign mark.
func TestMaterialsCarryWhatTheySay(t *testing.T) {
	ms := tiny(t)
	load := func(m, i int) *image.NRGBA {
		img, err := ms[m].Hosts[i].Load()
		if err != nil {
			t.Fatal(err)
		}
		return img.(*image.NRGBA)
	}
	if psnr := signal.PSNR(load(0, 0), load(3, 0)); psnr < 41.9 || psnr > 42.1 {
		t.Errorf("the foreign mark has %.2f dB", psnr)
	}
	m := load(4, 1)
	for _, at := range [][2]image.Point{{{0, 0}, {7, 7}}, {{8, 16}, {15, 23}}, {{1016, 1016}, {1023, 1023}}} {
		if a, b := m.NRGBAAt(at[0].X, at[0].Y), m.NRGBAAt(at[1].X, at[1].Y); a != b {
			t.Errorf("%v in one block: %v and %v", at, a, b)
		}
	}
	first, again := Graphics(1), Graphics(1)
	for i := range first {
		a := first[i].(*image.NRGBA)
		if !bytes.Equal(a.Pix, again[i].(*image.NRGBA).Pix) {
			t.Errorf("graphic %d: one seed, two pictures", i)
		}
		if n := levels(a); n < 2 {
			t.Errorf("graphic %d has %d levels: an empty canvas", i, n)
		}
	}
}

func levels(p *image.NRGBA) int {
	seen := map[byte]bool{}
	for i := 0; i < len(p.Pix); i += 4 {
		seen[p.Pix[i]] = true
	}
	return len(seen)
}

// TestCurve: strong marks are found, marks far below are not, and nothing else is ever named.
func TestCurve(t *testing.T) {
	photo := func() (image.Image, error) { return testphotos.Picture(t, "objects/stone-table.jpg").Image, nil }
	points, err := Curve(context.Background(), Power{Photos: []Loader{photo}, PSNRDB: []float64{42, 90}, Images: []int{1, 2}, Repeats: 2, FWER: 1e-6, Seed: 1, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(points) != 4 {
		t.Fatalf("%d points", len(points))
	}
	for i, p := range points {
		want := 2
		if i >= 2 {
			want = 0
		}
		if p.Concept.Hits != want || p.Delivery.Hits != want || p.Wrong != 0 || (p.Work != nil) != (p.Images == 1) || p.Work != nil && p.Work.Hits != want {
			t.Errorf("%+v", p)
		}
	}
	if math.Abs(points[0].RMS-2.0255) > 0.001 { // 255 / 10^(42/20)
		t.Errorf("42 dB are %.4f levels", points[0].RMS)
	}
	if _, err := Curve(context.Background(), Power{Photos: []Loader{photo}, PSNRDB: []float64{42}, Images: []int{64}, Repeats: 1, FWER: 1e-6}); err == nil {
		t.Error("64 pieces of one photograph")
	}
}
