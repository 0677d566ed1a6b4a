package main

import (
	"image"
	"math"
	"slices"
	"testing"

	"github.com/disintegration/imaging"

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
	g := newGauge(p, mark.Concept, hosts)
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

// TestFitFindsTheLaw: points made from a law give it back, and an absent column costs nothing.
func TestFitFindsTheLaw(t *testing.T) {
	truth := law{B: [4]float64{-0.5, 0.8, 1.2, 0.6}}
	var obs []observation
	for _, samples := range []int{3200, 12800, 51200} {
		for _, psnr := range []float64{38, 42, 45} {
			for _, share := range []float64{1, 0.25} {
				obs = append(obs, observation{samples, psnr, share, truth.transmission(samples, psnr, share)})
			}
		}
	}
	l, err := fit(obs)
	if err != nil {
		t.Fatal(err)
	}
	for j := range l.B {
		if math.Abs(l.B[j]-truth.B[j]) > 1e-6 {
			t.Errorf("coefficient %d: %.4f, want %.4f", j, l.B[j], truth.B[j])
		}
	}
	whole := slices.DeleteFunc(obs, func(o observation) bool { return o.share < 1 })
	if l, err = fit(whole); err != nil || l.B[3] != 0 || math.Abs(l.B[1]-0.8) > 1e-6 {
		t.Errorf("all marked: %v, %v", l.B, err)
	}
	if _, err := fit(obs[:3]); err == nil {
		t.Error("a law of three points")
	}
}

// TestReach: the prediction inverts the growth it was fitted to.
func TestReach(t *testing.T) {
	r := reach{ceiling: 10, k: 0.1}
	x := 50 * r.k * 0.25 // 50 images at half the amplitude
	if n := r.images(10*math.Sqrt(x/(1+x)), 0.5, 42); math.Abs(n-50) > 1e-6 {
		t.Errorf("%.2f images, want 50", n)
	}
	if !math.IsInf(r.images(11, 1, 38), 1) {
		t.Error("beyond the ceiling nothing reaches")
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
