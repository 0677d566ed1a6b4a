package papers

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// Size of a plot in CSS pixels, and of what stands around the bars.
const (
	plotWidth, plotHeight = 520, 210
	plotLeft, plotBottom  = 52, 34
	plotTop, plotRight    = 14, 10
)

// bars draws a histogram as SVG: bins from the first to the last that is not empty, at least eight; ticks of the height in
// whole pictures; a title on each bar for those who point at it. unit and name are our own words.
func bars(h Histogram, name, unit string, decimals int) template.HTML {
	from, to := h.shown()
	most := max(1, slices.Max(h.Counts))
	step := tick(most)
	top := (most + step - 1) / step * step
	w := float64(plotWidth-plotLeft-plotRight) / float64(to-from)
	y := func(n int) float64 {
		return plotTop + float64(plotHeight-plotTop-plotBottom)*(1-float64(n)/float64(top))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-label="Histogram of %s">`, plotWidth, plotHeight, name)
	for n := 0; n <= top; n += step {
		fmt.Fprintf(&b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text class="tick" text-anchor="end" x="%d" y="%.1f">%s</text>`,
			plotLeft, plotWidth-plotRight, y(n), y(n), plotLeft-6, y(n)+4, thousands(n))
	}
	every := (to - from + 7) / 8
	for i := from; i < to; i++ {
		x := plotLeft + w*float64(i-from)
		low := h.First + h.Width*float64(i)
		label := fmt.Sprintf("%.*f to %.*f", decimals, low, decimals, low+h.Width)
		switch {
		case i == 0:
			label = fmt.Sprintf("below %.*f", decimals, low+h.Width)
		case i == len(h.Counts)-1:
			label = fmt.Sprintf("%.*f and more", decimals, low)
		}
		if n := h.Counts[i]; n > 0 {
			fmt.Fprintf(&b, `<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s %s: %d</title></rect>`, x+1, y(n), w-2, y(0)-y(n), label, unit, n)
		}
		if (i-from)%every == 0 {
			fmt.Fprintf(&b, `<text class="tick" text-anchor="middle" x="%.1f" y="%d">%.*f</text>`, x, plotHeight-plotBottom+16, decimals, low)
		}
	}
	fmt.Fprintf(&b, `<text class="axis" text-anchor="end" x="%d" y="%d">%s</text></svg>`, plotWidth-plotRight, plotHeight-3, strings.TrimSpace(name+" "+unit))
	return template.HTML(b.String())
}

// shown gives the bins worth drawing.
func (h Histogram) shown() (from, to int) {
	from, to = len(h.Counts), 0
	for i, n := range h.Counts {
		if n > 0 {
			from, to = min(from, i), i+1
		}
	}
	if to == 0 {
		from, to = 0, 1
	}
	for to-from < min(8, len(h.Counts)) {
		if to < len(h.Counts) {
			to++
		}
		if to-from < 8 && from > 0 {
			from--
		}
	}
	return from, to
}

// tick gives a step of 1, 2 or 5 times a power of ten, four or so to the height.
func tick(most int) int {
	p := math.Pow(10, math.Floor(math.Log10(float64(most)/4+1e-9)))
	for _, k := range []float64{1, 2, 5, 10} {
		if step := k * p; step >= 1 && step*5 >= float64(most) {
			return int(step)
		}
	}
	return 1
}
