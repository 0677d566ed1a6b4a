package main

import (
	"fmt"
	"math"
	"strings"
)

// document is what the template of docs/lab.md sees. Its methods return finished Markdown.
type document struct {
	rs   []result
	laws map[string]law
}

// Summary is a point of a run, in words, for the page's prose.
type Summary struct {
	Delivery, Concept, Pilot, Samples string
	Seen                              int
}

// Run finds the last point of a run, nil if it is not measured.
func (d *document) Run(name string) *Summary {
	for _, r := range d.rs {
		if r.run.Name == name {
			return summary(r.last())
		}
	}
	return nil
}

// RunAt finds the point of a run nearest to so many samples.
func (d *document) RunAt(name string, samples int) *Summary {
	for _, r := range d.rs {
		if p, ok := atSamples(r, samples); ok && r.run.Name == name {
			return summary(p)
		}
	}
	return &Summary{Delivery: "not measured", Concept: "not measured", Pilot: "not measured"}
}

func summary(p point) *Summary {
	return &Summary{plusMinus(p.Delivery), plusMinus(p.Concept), plusMinus(p.Pilot), thousands(p.Samples), p.Samples}
}

// Main is the main table: seeds of one kind together, with the scatter between them.
func (d *document) Main() string {
	t := newTable("model", "PSNR", "samples", "seeds", "delivery", "concept", "least concept", "pilot", "works", "leak from another concept", "chance", "single images: top-1 of the catalogue", "best of 65,536", "the same, against others", "named at 1e-6 / against others", "images for 1e-6 / 1e-9: delivery", "concept", "concept, against others")
	seen := map[string]bool{}
	for _, r := range d.rs {
		key := fmt.Sprint(r.run.Model, r.ship.Name)
		if r.run.Group != "main" || r.run.share() == 0 || seen[key] {
			continue
		}
		seen[key] = true
		var same []result
		for _, o := range d.rs {
			if o.run.Group == "main" && o.run.share() > 0 && o.run.Model == r.run.Model && o.ship.Name == r.ship.Name {
				same = append(same, o)
			}
		}
		t.row(r.run.Model, fmt.Sprintf("%g dB", r.ship.PSNRDB), thousands(r.last().Samples), len(same),
			over(same, func(o result) float64 { return o.last().Delivery.Transmission }), over(same, func(o result) float64 { return o.last().Concept.Transmission }),
			over(same, func(o result) float64 { return o.last().Concept.Least }), over(same, func(o result) float64 { return o.last().Pilot.Transmission }),
			over(same, func(o result) float64 { return o.last().Work.Transmission }), over(same, func(o result) float64 { return o.last().Leak.Transmission }), chance(same),
			over(same, func(o result) float64 { return o.m.Singles.Top1Catalogue }), over(same, func(o result) float64 { return o.m.Singles.RightOf65536 }), over(same, func(o result) float64 { return o.m.Singles.AgainstRight }),
			over(same, func(o result) float64 { return o.m.Singles.Named })+" / "+over(same, func(o result) float64 { return o.m.Singles.AgainstNamed }),
			worst(same, 1e-6, deliveryP)+" / "+worst(same, 1e-9, deliveryP), worst(same, 1e-6, conceptP)+" / "+worst(same, 1e-9, conceptP), worst(same, 1e-6, againstP)+" / "+worst(same, 1e-9, againstP))
	}
	return t.String()
}

// chance is what codewords that were never used show, class by class: 0 give or take.
func chance(rs []result) string {
	most := 0.0
	for _, r := range rs {
		most = math.Max(most, r.last().Chance.Error)
	}
	return fmt.Sprintf("0 ± %.2f", most)
}

// over gives the mean over seeds with half their range.
func over(rs []result, of func(result) float64) string {
	lo, hi, sum := math.Inf(1), math.Inf(-1), 0.0
	for _, r := range rs {
		x := of(r)
		lo, hi, sum = math.Min(lo, x), math.Max(hi, x), sum+x
	}
	if len(rs) == 1 {
		return fmt.Sprintf("%.2f", sum)
	}
	return fmt.Sprintf("%.2f ± %.2f", sum/float64(len(rs)), (hi-lo)/2)
}

// worst gives the images needed by the hardest concept of the worst seed.
func worst(rs []result, p float64, of func(folded) float64) string {
	most := 0
	for _, r := range rs {
		n := r.needed(p, of)
		if n == nil {
			return fmt.Sprintf("> %d", r.m.Images)
		}
		most = max(most, *n)
	}
	return fmt.Sprint(most)
}

// Questions has one line for each run that asks something else.
func (d *document) Questions() string {
	t := newTable("run", "what is different", "PSNR", "samples", "delivery", "concept", "pilot", "works", "leak", "top-1 of the catalogue", "images for 1e-6: delivery", "concept", "concept, against others", "all outputs folded: p of the delivery", "concepts named wrongly")
	for _, r := range d.rs {
		if r.run.Group != "questions" && r.run.Group != "long" {
			continue
		}
		variant := r.run.Variant
		if variant == "" {
			variant = "strength"
			if r.run.Group == "long" {
				variant = "length"
			}
		}
		p := r.last()
		concept := plusMinus(p.Concept)
		if p.Second != nil {
			concept += ", second " + plusMinus(*p.Second)
		}
		t.row("`"+r.run.Name+"`", variant, fmt.Sprintf("%g dB", r.ship.PSNRDB), thousands(p.Samples), plusMinus(p.Delivery), concept, plusMinus(p.Pilot), plusMinus(p.Work), plusMinus(p.Leak),
			percent(r.m.Singles.Top1Catalogue), worst([]result{r}, 1e-6, deliveryP), worst([]result{r}, 1e-6, conceptP), worst([]result{r}, 1e-6, againstP), whole(r), wrong(r))
	}
	return t.String()
}

// whole says what all outputs of a run show of the delivery together.
func whole(r result) string {
	return fmt.Sprintf("%s (%d)", power10(r.m.Whole.DeliveryP), r.m.Whole.Images)
}

// Missing lists the runs of make lab and make lab-questions that are not measured.
func (d *document) Missing() string {
	var names []string
	for _, r := range runs {
		if r.Group != "long" && d.Run(r.Name) == nil {
			names = append(names, "`"+r.Name+"`")
		}
	}
	return strings.Join(names, ", ")
}

// wrong counts names given wrongly in all readings of a run.
func wrong(r result) int {
	n := r.m.Singles.NamedWrong
	for _, pool := range r.m.Pools {
		for _, f := range pool.Readings {
			n += f.Wrong
		}
	}
	return n
}

func plusMinus(l level) string { return fmt.Sprintf("%.2f ± %.2f", l.Transmission, l.Error) }

func percent(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) }

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Curve lists the points of the main runs.
func (d *document) Curve() string {
	t := newTable("run", "samples", "delivery", "concept", "pilot", "leak")
	for _, r := range d.rs {
		if r.run.Group != "main" || r.run.share() == 0 {
			continue
		}
		for _, p := range r.m.Points {
			t.row("`"+r.run.Name+"`", thousands(p.Samples), plusMinus(p.Delivery), plusMinus(p.Concept), plusMinus(p.Pilot), plusMinus(p.Leak))
		}
	}
	return t.String()
}

// Pools lists what it takes to name each concept.
func (d *document) Pools() string {
	t := newTable("run", "concept", "T of 1 image: delivery, concept, concept against others", "T of 16", "T of all", "images for 1e-6 / 1e-9: delivery", "concept", "concept, against others")
	for _, r := range d.rs {
		if r.run.Group != "main" || r.run.Seed > 0 || r.run.share() == 0 {
			continue
		}
		for _, p := range r.m.Pools {
			one := result{r.run, r.ship, &measurement{Pools: []pool{p}, Images: r.m.Images}}
			t.row("`"+r.run.Name+"`", p.Concept, tsOf(p, 1), tsOf(p, 16), tsOf(p, r.m.Images),
				worst([]result{one}, 1e-6, deliveryP)+" / "+worst([]result{one}, 1e-9, deliveryP), worst([]result{one}, 1e-6, conceptP)+" / "+worst([]result{one}, 1e-9, conceptP), worst([]result{one}, 1e-6, againstP)+" / "+worst([]result{one}, 1e-9, againstP))
		}
	}
	return t.String()
}

func tsOf(p pool, images int) string {
	for _, f := range p.Readings {
		if f.Images == images {
			return fmt.Sprintf("%.1f, %.1f, %.1f", f.DeliveryT, f.ConceptT, f.AgainstT)
		}
	}
	return "-"
}

// Edits lists what editing the outputs does.
func (d *document) Edits() string {
	t := newTable("run", "edit", "single images, top-1 of the catalogue", "pool", "p of the delivery, median", "of the concept", "of the concept, against others")
	for _, r := range d.rs {
		if r.run.Group != "main" || r.run.Seed > 0 || len(r.m.Edits) == 0 || r.run.share() == 0 && r.ship.Name != "d38" {
			continue
		}
		for _, e := range r.m.Edits {
			t.row("`"+r.run.Name+"`", e.Edit, percent(e.Top1Catalogue), e.Images, power10(e.DeliveryP), power10(e.ConceptP), power10(e.AgainstP))
		}
	}
	return t.String()
}

// power10 rounds a p to its order of magnitude, upwards.
func power10(p float64) string {
	if p >= 0.1 {
		return "1"
	}
	return fmt.Sprintf("1e%d", int(math.Ceil(math.Log10(p))))
}

// Extras lists outputs without a class and of mixed classes.
func (d *document) Extras() string {
	t := newTable("run", "outputs", "pool", "named", "shares")
	for _, r := range d.rs {
		if r.m.Without == nil {
			continue
		}
		w := r.m.Without
		t.row("`"+r.run.Name+"`", "without a class", w.Images, strings.Join(append([]string{"the delivery, p " + power10(w.DeliveryP)}, w.Named...), ", "), "")
		for _, m := range r.m.Mixed {
			var shares []string
			for _, s := range m.Shares {
				shares = append(shares, percent(s))
			}
			t.row("`"+r.run.Name+"`", "half "+m.Concepts[0]+", half "+m.Concepts[1], m.Images, strings.Join(m.Named, ", "), strings.Join(shares, ", "))
		}
	}
	return t.String()
}

// Controls lists what must be nothing.
func (d *document) Controls() string {
	t := newTable("outputs of", "samples", "keys of", "delivery, concept: amplitude out / in", "highest T of the right codewords: delivery", "concept", "highest T of any concept", "of any work", "top-1 of the catalogue", "named",
		"1,000 unused keys: highest T", "T >= 2 / >= 3", "ranks by tenths", "KS p", "rank of the true key")
	for _, r := range d.rs {
		if r.run.Model == "autoencoder" {
			continue // copies, not outputs
		}
		delivery, concept := r.strongestT()
		best := 0.0
		for _, p := range r.m.Pools {
			for _, f := range p.Readings {
				best = max(best, f.BestT)
			}
		}
		u, last := r.m.Unused, r.last()
		t.row("`"+r.run.Name+"`", thousands(last.Samples), r.ship.Name, fmt.Sprintf("%.2f, %.2f", last.Delivery.Transmission, last.Concept.Transmission), fmt.Sprintf("%.1f", delivery), fmt.Sprintf("%.1f", concept),
			fmt.Sprintf("%.1f", best), fmt.Sprintf("%.1f", r.m.WorkMaxT), percent(r.m.Singles.Top1Catalogue), r.named(),
			fmt.Sprintf("%.1f", u.MaxT), fmt.Sprintf("%d / %d", u.Over[0], u.Over[1]), strings.Trim(fmt.Sprint(u.Ranks), "[]"), fmt.Sprintf("%.2f", u.KSP), u.TrueRank)
	}
	return t.String()
}

// named says in words what was named on the outputs of a run, at 1e-6 a reading.
func (r result) named() string {
	right, delivery := r.m.Singles.Named+r.m.Singles.AgainstNamed, r.m.Singles.DeliveryNamed
	for _, p := range r.m.Pools {
		for _, f := range p.Readings {
			right += one(f.ConceptP <= 1e-6) + one(f.AgainstP <= 1e-6)
			delivery += one(f.DeliveryP <= 1e-6)
		}
	}
	bad := wrong(r)
	switch control := r.run.share() == 0; {
	case r.m.WorksNamed > 0 || bad > 0:
		return fmt.Sprintf("**%d wrong concepts, %d works**", bad, r.m.WorksNamed)
	case control && right+delivery > 0:
		return "**something**"
	case control:
		return "nothing"
	case right == 0 && delivery == 0:
		return "nothing"
	case right == 0:
		return "the delivery only"
	}
	return "right names only"
}

// Thresholds are those of every reading.
func (d *document) Thresholds() string {
	h := d.rs[0].m.Thresholds
	return fmt.Sprintf("T = %.2f (delivery), %.2f (concept), %.2f (work)", h.Delivery, h.Concept, h.Work)
}

// Law writes the fitted law of a lattice.
func (d *document) Law(lattice string) string {
	l := d.laws[lattice]
	text := fmt.Sprintf("τ = share / (1 + exp(-z)), z = %.2f ± %.2f", l.B[0], l.Error[0])
	for j, name := range []string{"", "ln(samples / 10,000)", "ln(amplitude / that of 42 dB)", "ln(share)"} {
		if j > 0 && l.Varied[j] {
			text += fmt.Sprintf(" + (%.2f ± %.2f) %s", l.B[j], l.Error[j], name)
		}
	}
	return fmt.Sprintf("%s; %d points, root mean square of what is left of τ / share %.2f", text, l.Points, l.Rest)
}

// table builds Markdown.
type table struct{ b strings.Builder }

func newTable(columns ...string) *table {
	t := &table{}
	fmt.Fprintf(&t.b, "| %s |\n|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	return t
}

func (t *table) row(cells ...any) {
	t.b.WriteString("|")
	for _, c := range cells {
		fmt.Fprintf(&t.b, " %v |", c)
	}
	t.b.WriteString("\n")
}

func (t *table) String() string { return strings.TrimRight(t.b.String(), "\n") }
