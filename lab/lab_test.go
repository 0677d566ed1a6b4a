package main

import (
	"image"
	"math"
	"slices"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// TestAmplitudeIsWhatWasAdded: a picture marked at two strengths shows amplitudes in the ratio of the strengths, its own
// codeword and no other.
func TestAmplitudeIsWhatWasAdded(t *testing.T) {
	p := mark.Profile1()
	books := mark.NewBooks(p, masterKey().Delivery(mark.Path{Licence: "test"}).Keys())
	a := newAnalyser(mark.CellSize)
	var hosts []spectrum
	var pictures []image.Image
	for _, name := range testphotos.Names(t)[:12] {
		host := imaging.Resize(testphotos.Square(t, name, 512), side, side, imaging.Lanczos)
		pictures = append(pictures, host)
		hosts = append(hosts, a.spectrum(host))
	}
	g := newGauge(p, mark.Concept, hosts, 32)
	own, other := books[mark.Concept].Codeword(p.ConceptCodeword(1)), books[mark.Concept].Codeword(p.ConceptCodeword(2))
	delivery := books[mark.Concept].Codeword(mark.DeliveryCodeword)
	amplitude := func(psnr float64, first mark.Codeword, rest ...mark.Codeword) float64 {
		var added [][]float64
		for i, host := range pictures {
			marked, _, err := embed.Mark(host, mark.NewCell(p, books, mark.Names{Concepts: []int{1}, Work: i + 1}), embed.Options{PSNRDB: psnr, Resolution: side})
			if err != nil {
				t.Fatal(err)
			}
			v, u := a.spectrum(marked).numbers(p, mark.Concept), hosts[i].numbers(p, mark.Concept)
			for k := range v {
				v[k] -= u[k]
			}
			added = append(added, v)
		}
		return g.amplitude(mean(added), append([]mark.Codeword{first}, rest...)...)
	}
	strong, weak := amplitude(38, own, delivery), amplitude(44, own, delivery)
	if ratio := strong / weak; math.Abs(ratio-1.995) > 0.1 {
		t.Errorf("6 dB more: amplitude %.3f against %.3f, ratio %.2f, want 2.0", strong, weak, ratio)
	}
	if d := amplitude(38, delivery, own); math.Abs(d/strong-1) > 0.1 {
		t.Errorf("the delivery's codeword has %.3f, the concept's %.3f: they share the energy equally", d, strong)
	}
	if o := amplitude(38, other, own, delivery); math.Abs(o) > 0.1*strong {
		t.Errorf("a codeword that was not added shows %.3f of %.3f", o, strong)
	}
}

// TestOfMean: a tenth of each of ten works, as a model that learned them evenly would show, is an amplitude of one.
func TestOfMean(t *testing.T) {
	p := mark.Profile1()
	books := mark.NewBooks(p, masterKey().Delivery(mark.Path{Licence: "test"}).Keys())
	shape := p.Shape(mark.Work)
	g := &gauge{}
	words := make([]float64, 2*len(shape))
	for n := 1; n <= 10; n++ {
		for i, s := range books[mark.Work].Codeword(p.WorkCodeword(n)) {
			words[i] += float64(s) / 10
		}
	}
	v := make([]float64, len(words))
	for i := range v {
		g.weight, g.shape = append(g.weight, 1+float64(i%3)), append(g.shape, shape[i/2])
		v[i] = shape[i/2] * words[i]
	}
	if a := g.ofMean(v, words); math.Abs(a-1) > 1e-9 {
		t.Errorf("amplitude %.3f, want 1", a)
	}
}

// TestKolmogorovSmirnov against scipy.stats.ks_2samp(range(100), numpy.arange(100) + k, method="asymp").
func TestKolmogorovSmirnov(t *testing.T) {
	line := func(from float64) []float64 {
		xs := make([]float64, 100)
		for i := range xs {
			xs[i] = from + float64(i)
		}
		return xs
	}
	for _, c := range []struct{ shift, lo, hi float64 }{{0.5, 0.99, 1}, {15.5, 0.1, 0.22}, {40.5, 0, 1e-6}} {
		if p := kolmogorovSmirnov(line(0), line(c.shift)); p < c.lo || p > c.hi {
			t.Errorf("shifted by %g: p = %g, want %g to %g", c.shift, p, c.lo, c.hi)
		}
	}
}

// TestFitFindsTheLaw: points made from a law give it back, a column that does not vary costs nothing, and no share gives
// back more than itself.
func TestFitFindsTheLaw(t *testing.T) {
	truth := law{B: [4]float64{-0.5, 0.8, 1.2, 0.3}}
	var obs []observation
	for _, samples := range []int{3200, 12800, 51200} {
		for _, psnr := range []float64{38, 42, 45} {
			for _, share := range []float64{1, 0.25} {
				obs = append(obs, observation{samples, psnr, share, truth.transmission(samples, psnr, share), 0.02})
			}
		}
	}
	l, err := fit(obs)
	if err != nil {
		t.Fatal(err)
	}
	for j := range l.B {
		if math.Abs(l.B[j]-truth.B[j]) > 0.01 {
			t.Errorf("coefficient %d: %.4f, want %.4f", j, l.B[j], truth.B[j])
		}
	}
	if tau := l.transmission(1e9, 30, 0.25); tau > 0.25 {
		t.Errorf("a quarter marked gives back %.3f", tau)
	}
	for _, c := range []struct {
		samples int
		share   float64
		beyond  bool
	}{{51200, 1, false}, {51200, 0.25, false}, {102400, 1, true}, {3200, 0.1, true}} {
		if got := l.beyond(c.samples, 42, c.share); (got != "") != c.beyond {
			t.Errorf("%d samples, share %g: beyond %q", c.samples, c.share, got)
		}
	}
	whole := slices.DeleteFunc(obs, func(o observation) bool { return o.share < 1 })
	if l, err = fit(whole); err != nil || l.Varied[3] || l.B[3] != 0 || math.Abs(l.B[1]-0.8) > 0.01 {
		t.Errorf("all marked: %v, %v", l.B, err)
	}
	if _, err := fit(obs[:3]); err == nil {
		t.Error("a law of three points")
	}
}

// pools makes a run whose pools of 1, 2, 4 and 8 images show these T.
func pools(tau float64, ts ...float64) result {
	r := result{run{Model: "transformer", Delivery: "d42"}, shipmentByName("d42"), &measurement{Points: []point{{Concept: level{Transmission: tau}}}}}
	p := pool{}
	for i, t := range ts {
		p.Readings = append(p.Readings, folded{Images: 1 << i, ConceptT: t, ConceptP: detect.Bound(t, 65536*12)})
	}
	r.m.Pools = []pool{p}
	return r
}

// TestReachKnowsAPlateau: where T stops growing no number of outputs is promised beyond it.
func TestReachKnowsAPlateau(t *testing.T) {
	rs := reaches([]result{pools(0.5, 5, 6, 6.9, 7)}, ofConcept, func(f folded) float64 { return f.ConceptT })
	if n := outputsFor(rs, 0.5, 7.4, 0.5, 42); !math.IsInf(n, 1) {
		t.Errorf("T 7.4 from %.0f outputs, though T stops at 7", n)
	}
	if n := outputsFor(rs, 0.5, 6.5, 0.5, 42); n < 2 || n > 20 {
		t.Errorf("T 6.5 from %.1f outputs", n)
	}
	if n := outputsFor(rs, 0.5, 7.4, 1, 42); n < 1 || n > 2 {
		t.Errorf("at twice the amplitude T 7.4 from %.1f outputs", n)
	}
}

// TestNeededHoldsForMoreImagesToo: a lucky small pool does not count when larger ones fail.
func TestNeededHoldsForMoreImagesToo(t *testing.T) {
	for _, c := range []struct {
		ts   []float64
		want int // 0: nil
	}{{[]float64{9, 5, 8, 8}, 4}, {[]float64{9, 9, 9, 9}, 1}, {[]float64{9, 9, 9, 6}, 0}, {[]float64{1, 1, 1, 8}, 8}} {
		n := pools(0.5, c.ts...).needed(1e-6, conceptP)
		if got := 0; n != nil {
			got = *n
			if got != c.want {
				t.Errorf("%v: %d images, want %d", c.ts, got, c.want)
			}
		} else if c.want != 0 {
			t.Errorf("%v: none, want %d", c.ts, c.want)
		}
	}
}

// TestControlThatNamesSomethingSaysSo: the table of controls cannot say "nothing" where a pool named a concept.
func TestControlThatNamesSomethingSaysSo(t *testing.T) {
	r := pools(0, 1, 1, 1, 8)
	r.run = run{Model: "transformer"}
	if got := r.named(); got != "**something**" {
		t.Errorf("a control that names its concept: %q", got)
	}
	r = pools(0, 1, 1, 1, 2)
	r.run = run{Model: "transformer"}
	for i := range r.m.Pools[0].Readings {
		f := &r.m.Pools[0].Readings[i]
		f.DeliveryP, f.AgainstP = 1, 1
	}
	if got := r.named(); got != "nothing" {
		t.Errorf("a silent control: %q", got)
	}
}

// TestPlanHolds: names are unique, and whatever a run refers to is there.
func TestPlanHolds(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range runs {
		if seen[r.Name] {
			t.Errorf("two runs are called %s", r.Name)
		}
		seen[r.Name] = true
		for _, before := range []string{r.Start, r.Taught, r.Trained} {
			if before != "" && !seen[before] {
				t.Errorf("%s needs %s, which comes later or never", r.Name, before)
			}
		}
		for _, key := range r.keys() {
			shipmentByName(key) // panics
		}
		if !slices.IsSorted(r.steps()) {
			t.Errorf("%s: steps %v", r.Name, r.steps())
		}
	}
}
