package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
)

//go:embed report.html.tmpl
var page string

// WriteHTML writes report.html. delivered holds T of the concept read from each untouched delivered file,
// for the plot.
func (r *Report) WriteHTML(w io.Writer, delivered []float64) error {
	null, err := NullPlot(r.Null, delivered, r.Settings.ThresholdConcept)
	if err != nil {
		return err
	}
	t, err := template.New("report").Funcs(template.FuncMap{
		"bar":    bar,
		"money":  money,
		"f1":     func(v float64) string { return fmt.Sprintf("%.1f", v) },
		"f2":     func(v float64) string { return fmt.Sprintf("%.2f", v) },
		"f4":     func(v float64) string { return fmt.Sprintf("%.4f", v) },
		"sci":    func(v float64) string { return fmt.Sprintf("%.0e", v) },
		"chance": chance,
		"bound":  func(tests int, p float64) string { return fmt.Sprintf("%.0f", float64(tests)*p) },
		"mega":   func(b int64) string { return fmt.Sprintf("%.1f", float64(b)/(1<<20)) },
		"outOf":  func(a, n int) template.HTML { return outOf(a, n) },
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return t.Execute(w, struct {
		*Report
		NullPlot template.HTML
	}{r, null})
}

// chance prints a bound on a chance: in full where it says nothing, else its magnitude.
func chance(p float64) string {
	if p >= 0.01 {
		return fmt.Sprintf("%.2g", p)
	}
	return fmt.Sprintf("%.0e", p)
}

// outOf shows a count, marked when it is not the whole.
func outOf(a, n int) template.HTML {
	class := "all"
	if a < n {
		class = "some"
	}
	if a == 0 {
		class = "none"
	}
	return template.HTML(fmt.Sprintf(`<span class="%s">%d</span>`, class, a))
}

// ceiling is the right end of the bars: the largest T a work can have is 24.2.
const ceiling = 25.0

// bar draws a spread of T as a line from least to most with a dot at the median, and the threshold as an
// upright stroke.
func bar(s Spread, threshold float64) template.HTML {
	x := func(t float64) float64 { return math.Round(1000*math.Max(0, math.Min(t, ceiling))/ceiling) / 5 }
	return template.HTML(fmt.Sprintf(`<svg class="bar" width="200" height="16" viewBox="0 0 200 16" role="img" aria-label="T from %.1f to %.1f, median %.1f, threshold %.2f"><line class="axis" x1="0" y1="8" x2="200" y2="8"/><line class="range" x1="%.1f" y1="8" x2="%.1f" y2="8"/><circle cx="%.1f" cy="8" r="3.5"/><line class="threshold" x1="%.1f" y1="1" x2="%.1f" y2="15"/></svg>`,
		s.Min, s.Max, s.Median, threshold, x(s.Min), x(s.Max), x(s.Median), x(threshold), x(threshold)))
}

// money prints minor units with thin thousands separators.
func money(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	whole := fmt.Sprint(cents / 100)
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return fmt.Sprintf("%s%s.%02d", sign, whole, cents%100)
}
