package detect_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/testphotos"
)

// TestCatalogueMeansFewerHypotheses: against a committed catalogue the same T is worth more, a concept outside it cannot
// be named, and a catalogue of one is as good as another.
func TestCatalogueMeansFewerHypotheses(t *testing.T) {
	marked := markAs(t, testphotos.Square(t, "flowers/marigold.jpg", 512), 42, 512, []int{5}, 7)
	open := read(t, reader(t, "ours", detect.Options{Resolution: 512}), marked)
	for _, c := range []struct {
		catalogue []int
		named     bool
	}{{[]int{3, 5, 9}, true}, {[]int{9, 5, 3}, true}, {[]int{5}, true}, {[]int{3, 9}, false}, {[]int{9}, false}} {
		got := read(t, reader(t, "ours", detect.Options{Resolution: 512, Catalogue: c.catalogue}), marked)
		if named := len(got.Concepts) == 1 && got.Concepts[0].Number == 5; named != c.named || len(got.Concepts) > 1 {
			t.Errorf("catalogue %v: %+v", c.catalogue, got.Concepts)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("catalogue %v: %v", c.catalogue, err)
		}
		if !c.named {
			continue
		}
		if want := open.Concepts[0].M * float64(len(c.catalogue)) / 65536; math.Abs(got.Concepts[0].M/want-1) > 1e-9 || got.Concepts[0].T != open.Concepts[0].T {
			t.Errorf("catalogue %v: M %g, want %g; T %g, want %g", c.catalogue, got.Concepts[0].M, want, got.Concepts[0].T, open.Concepts[0].T)
		}
		if open.Trials.Thresholds(1e-6).Concept <= got.Trials.Thresholds(1e-6).Concept {
			t.Errorf("catalogue %v does not lower the threshold", c.catalogue)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a catalogue with concept 0 was accepted")
		}
	}()
	reader(t, "ours", detect.Options{Catalogue: []int{0}})
}

// TestWatched: T of a concept is told whatever its rank, and is the one it is named by.
func TestWatched(t *testing.T) {
	marked := markAs(t, testphotos.Square(t, "flowers/marigold.jpg", 512), 42, 512, []int{5}, 7)
	got := read(t, reader(t, "ours", detect.Options{Resolution: 512, Watch: []int{9, 5}}), marked)
	if len(got.Watched) != 2 || got.Watched[0].Number != 9 || got.Watched[0].T > 4.5 || got.Watched[0].P < 0.01 {
		t.Errorf("watched %+v", got.Watched)
	}
	if w := got.Watched[1]; w.Number != 5 || w.T != got.Concepts[0].T || w.P != got.Concepts[0].P {
		t.Errorf("watched %+v, named %+v", w, got.Concepts[0])
	}
}

// TestWithoutWorks: leaving the work lattice out changes nothing else.
func TestWithoutWorks(t *testing.T) {
	marked := markAs(t, testphotos.Square(t, "flowers/marigold.jpg", 512), 42, 512, []int{5}, 7)
	all, less := read(t, reader(t, "ours", detect.Options{Resolution: 512}), marked), read(t, reader(t, "ours", detect.Options{Resolution: 512, WithoutWorks: true}), marked)
	if !all.WorkFound() || less.WorkFound() || less.Work.P != 1 {
		t.Errorf("work: %+v and %+v", all.Work, less.Work)
	}
	if s := less.Score(); s < 10 {
		t.Errorf("score %.1f", s)
	}
	unmarked := read(t, reader(t, "ours", detect.Options{Resolution: 512, WithoutWorks: true}), testphotos.Square(t, "flowers/marigold.jpg", 512))
	if s := unmarked.Score(); s >= 0 || unmarked.Detectable.Work != 0 {
		t.Errorf("nothing there: score %.2f, detectable %+v; weak readings must be told apart", s, unmarked.Detectable)
	}
	if len(less.Concepts) != 1 || less.Concepts[0].T != all.Concepts[0].T || less.Delivery.T != all.Delivery.T || less.Trials != all.Trials {
		t.Errorf("concepts %+v, want %+v", less.Concepts, all.Concepts)
	}
}
