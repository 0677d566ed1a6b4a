package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/filigrane/filigrane/detect"
)

// says puts a finding in words: a copy of a work, a concept that was learned, or both.
func says(a *detection) []string {
	var words []string
	if a.Work != nil {
		words = append(words, "copy of work "+numbered(a.Work.Number, a.Work.ID))
	}
	for _, c := range a.Concepts {
		if c.Via == viaRead && !c.ofWork {
			words = append(words, "learned concept "+numbered(c.Number, c.ID))
		}
	}
	if len(words) == 0 && a.Delivery.Found && a.Verdict == detect.Attributed {
		words = append(words, "delivery's mark, no concept named")
	}
	return words
}

func numbered(number int, id string) string {
	if id == "" {
		return fmt.Sprintf("number %d", number)
	}
	return id
}

// undone says in words what an alignment takes back.
func undone(a detect.Alignment) string {
	var parts []string
	if a.Flip {
		parts = append(parts, "mirrored left to right")
	}
	if a.Turns != 0 {
		parts = append(parts, fmt.Sprintf("turned by %d degrees counter-clockwise", 90*a.Turns))
	}
	if math.Abs(a.Rotation) >= 0.1 {
		parts = append(parts, fmt.Sprintf("turned by %+.1f degrees counter-clockwise", a.Rotation))
	}
	if math.Abs(a.Scale-1) > 5e-3 {
		parts = append(parts, fmt.Sprintf("%.3g times the size the trainer sees", a.Scale))
	}
	if math.Abs(a.Aspect-1) > 5e-3 {
		parts = append(parts, fmt.Sprintf("stretched: %.3f times as wide for its height", a.Aspect))
	}
	const centred = 1.0 / 64 // of a cell
	if math.Abs(a.ShiftX) > centred || math.Abs(a.ShiftY) > centred {
		parts = append(parts, fmt.Sprintf("cut: the pattern's centre is off by %+.0f, %+.0f pixels or whole cells of %.0f more", a.ShiftX*a.CellPx, a.ShiftY*a.CellPx, a.CellPx))
	}
	if len(parts) == 0 {
		return "as it was marked"
	}
	return strings.Join(parts, "; ")
}

// explain marks the concepts that a work found in the same picture carries by itself.
func explain(a *detection, of []int) {
	for i := range a.Concepts {
		a.Concepts[i].ofWork = slices.Contains(of, a.Concepts[i].Number)
	}
}
