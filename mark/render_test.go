package mark_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/filigrane/filigrane/mark"
)

// TestRenderAgreesWithItself: a power of two of points is computed by symmetry, any other number wave by wave; where the
// points of both fall together, so must the samples.
func TestRenderAgreesWithItself(t *testing.T) {
	k, _ := mark.NewKey(make([]byte, mark.KeySize))
	p := mark.Profile1()
	whole := mark.NewCell(p, mark.NewBooks(p, k.Keys()), mark.Names{Concepts: []int{5}, Work: 77})
	for name, c := range map[string]*mark.Cell{"whole": whole, "concept": whole.Only(mark.Concept), "pilot": whole.Only(mark.Pilot), "work": whole.Only(mark.Work)} {
		for _, n := range []int{64, 256} {
			for _, maxCycles := range []float64{3, 13, 32} {
				for channel := range 3 {
					t.Run(fmt.Sprintf("%s/%d/%v/%d", name, n, maxCycles, channel), func(t *testing.T) {
						few, many := c.Render(channel, n, 0, 0, maxCycles), c.Render(channel, 3*n, 0, 0, maxCycles)
						power := 0.0
						for i, v := range few {
							if d := v - many[i/n*3*3*n+i%n*3]; math.Abs(d) > 1e-12 {
								t.Fatalf("sample %d is off by %g", i, d)
							}
							power += v * v
						}
						if name == "whole" && maxCycles == 32 && power < 0.01 {
							t.Error("nothing was rendered")
						}
					})
				}
			}
		}
	}
}

// TestRenderOnceIsThePeriodOfRender: what is left out repeats, to the last bit.
func TestRenderOnceIsThePeriodOfRender(t *testing.T) {
	k, _ := mark.NewKey(make([]byte, mark.KeySize))
	p := mark.Profile1()
	c := mark.NewCell(p, mark.NewBooks(p, k.Keys()), mark.Names{Concepts: []int{5}, Work: 77})
	for _, n := range []int{64, 100, 512} {
		for channel, want := range []int{n, n / 4, n / 4} {
			if n == 100 {
				want = n
			}
			once, w, h := c.RenderOnce(channel, n, 0.5, 0, 30)
			if w != want || h != want {
				t.Errorf("channel %d at %d points: %d x %d, want %d a side", channel, n, w, h, want)
			}
			for i, v := range c.Render(channel, n, 0.5, 0, 30) {
				if o := once[i/n%h*w+i%n%w]; o != v {
					t.Fatalf("channel %d at %d points: sample %d is %g, its first %g", channel, n, i, v, o)
				}
			}
		}
	}
}
