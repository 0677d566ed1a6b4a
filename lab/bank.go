package main

import (
	"fmt"
	"math"
)

// Bank is the table a bank can use: outputs needed, predicted.
func (d *document) Bank() string {
	byDelivery := reaches(d.rs, ofDelivery, func(f folded) float64 { return f.DeliveryT })
	byConcept := reaches(d.rs, ofConcept, func(f folded) float64 { return f.AgainstT })
	threshold := func(m, p float64) float64 { return math.Sqrt(2 * math.Log(m/p)) }
	deliveryM, conceptM := d.trials()
	t := newTable("PSNR", "images marked", "samples seen", "τ delivery", "τ concept", "outputs for p <= 1e-6 / 1e-9: delivery, nine of ten concepts", "concept, half of the concepts", "concept, nine of ten", "beyond what was trained")
	for _, c := range []struct {
		db, share float64
		samples   int
	}{
		{36, 1, 50_000}, {38, 1, 25_000}, {38, 1, 50_000}, {38, 1, 1_000_000}, {42, 1, 25_000}, {42, 1, 50_000}, {42, 1, 150_000}, {42, 1, 1_000_000},
		{45, 1, 25_000}, {45, 1, 1_000_000}, {48, 1, 25_000}, {48, 1, 1_000_000},
		{38, 0.5, 25_000}, {38, 0.25, 25_000}, {38, 0.1, 25_000}, {38, 0.1, 1_000_000}, {38, 0.01, 1_000_000}, {42, 0.1, 1_000_000},
	} {
		law := d.laws["concept"]
		if c.share < 1 && !law.Varied[3] {
			continue // no share was trained: make lab-questions
		}
		td, tc := d.laws["delivery"].transmission(c.samples, c.db, c.share), law.transmission(c.samples, c.db, c.share)
		both := func(rs []reach, part, m, tau float64) string {
			return count(outputsFor(rs, part, threshold(m, 1e-6), tau, c.db)) + " / " + count(outputsFor(rs, part, threshold(m, 1e-9), tau, c.db))
		}
		t.row(fmt.Sprintf("%g dB", c.db), percent(c.share), thousands(c.samples), fmt.Sprintf("%.2f", td), fmt.Sprintf("%.2f", tc),
			both(byDelivery, 0.9, deliveryM, td), both(byConcept, 0.5, conceptM, tc), both(byConcept, 0.9, conceptM, tc), law.beyond(c.samples, c.db, c.share))
	}
	return t.String()
}

// trials gives M of the delivery's and of a concept's test as they were in pools: medians.
func (d *document) trials() (delivery, concept float64) {
	var ms []float64
	for _, r := range d.rs {
		for _, p := range r.m.Pools {
			for _, f := range p.Readings {
				ms = append(ms, f.DeliveryM)
			}
		}
	}
	t := d.rs[0].m.Thresholds.Concept
	return median(ms), 1e-6 * math.Exp(t*t/2)
}

// count rounds a predicted number of images up to two digits.
func count(x float64) string {
	switch {
	case math.IsInf(x, 1) || math.IsNaN(x):
		return "never"
	case x < 1:
		return "1"
	}
	unit := math.Pow(10, math.Max(0, math.Floor(math.Log10(x))-1))
	return thousands(int(math.Ceil(x/unit) * unit))
}
