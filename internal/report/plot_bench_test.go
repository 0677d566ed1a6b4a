package report

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

// wellFormed reads a drawing to its end.
func wellFormed(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRobustnessChart(t *testing.T) {
	columns := []Column{{Name: "ours\n42 dB", Read: []int{12, 6, 0}, Of: []int{12, 12, 12}, Heavier: true}, {Name: "a<b", Read: []int{1, 0, 0}, Of: []int{6, 0, 6}}}
	svg, err := RobustnessChart([]string{"none", "q&a", "crop"}, columns)
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, string(svg))
	for _, want := range []string{">12/12<", ">6/12<", ">0/12<", ">1/6<", "q&amp;a", "a&lt;b", ">42 dB<"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("no %s", want)
		}
	}
	if n := strings.Count(string(svg), "/0<"); n != 0 {
		t.Error("an edit that was not measured has a number")
	}
	if strings.Count(string(svg), "#7fb5cf") != 1 || strings.Count(string(svg), "#e3a58c") != 2 || strings.Count(string(svg), "#f2e6c4") != 1 {
		t.Error("all, half and none have not their colours")
	}
	if _, err := RobustnessChart([]string{"none"}, columns); err == nil {
		t.Error("three numbers for one edit")
	}
}

func TestCurvePlots(t *testing.T) {
	c := Curve{Name: "photographs", X: []float64{1, 2, 3}, Y: []float64{-0.5, math.Inf(-1), 0}, Low: []float64{-0.7, math.Inf(-1), -1}, High: []float64{-0.3, 0, 0.4}}
	svg, err := RatioPlot([]Curve{c})
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, string(svg))
	if strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") {
		t.Error("a place that is no number")
	}
	power := Curve{Name: "1 together", X: []float64{42, 48}, Y: []float64{1, 0}, Low: []float64{0.9, 0}, High: []float64{1, 0.1}}
	if svg, err = PowerPlot("concept", []Curve{power}); err != nil || !strings.Contains(string(svg), "1 together") {
		t.Errorf("power plot: %v", err)
	}
	wellFormed(t, string(svg))
	power.Low = power.Low[:1]
	if _, err := PowerPlot("concept", []Curve{power}); err == nil {
		t.Error("a value without its limits")
	}
}
