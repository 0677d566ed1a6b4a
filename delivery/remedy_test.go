package delivery

import (
	"math"
	"testing"

	"github.com/filigrane/filigrane/mark"
)

// TestRemedySettles: whatever share of the strength a picture's work and concept need between them, the loop closes in on it
// instead of trying the same two for ever; and where no share does, it goes on within bounds.
func TestRemedySettles(t *testing.T) {
	for _, from := range []float64{1, relief} {
		for _, c := range []struct{ least, most float64 }{{0.9, 1.3}, {0.5, 0.6}, {0.6, 0.8}, {1.1, 1.5}, {0.1, 0.46}, {1.3, 2}} {
			g := workGain{at: from}
			tried := 0
			for ; (g.at < c.least || g.at > c.most) && tried < 8; tried++ {
				g.remedy(lack{what: "something", work: g.at < c.least}, tried > 2)
			}
			if tried == 8 {
				t.Errorf("from %v: no share between %v and %v, but %v", from, c.least, c.most, g.at)
			}
		}
		g := workGain{at: from}
		for range 20 { // the work wants more than the concept leaves
			g.remedy(lack{what: "something", work: g.at < 0.9}, true)
			if g.at < deepRelief || g.at > emphasis || math.IsNaN(g.at) {
				t.Fatalf("a share of %v", g.at)
			}
		}
	}
}

// TestStrengthsSkipped: as many strengths are passed over as are sure to be too weak, never one that may be strong enough,
// and never the preset or the floor.
func TestStrengthsSkipped(t *testing.T) {
	preset, err := mark.PresetByName("standard")
	if err != nil {
		t.Fatal(err)
	}
	m := &marker{spec: Spec{Preset: preset}}
	targets := m.targets(preset.PSNRDB+startMarginDB+4, mark.FloorPSNR)
	for short, want := range map[float64]float64{0: 0.5, 0.6: 0.5, 0.8: 1, 2.8: 2, 2.9: 2.5, 40: 4} {
		if got := targets[0] - targets[m.steps(targets, &attempt{shortDB: short})]; got != want {
			t.Errorf("%g dB seem to be missing: %g dB stronger, want %g", short, got, want)
		}
	}
	if n := m.steps(targets[8:], &attempt{shortDB: 40}); n != 1 {
		t.Errorf("from the preset on %d steps at once", n)
	}
	if n := m.steps(targets[len(targets)-1:], &attempt{shortDB: 40}); n != 1 {
		t.Errorf("from the floor on %d steps", n)
	}
}
