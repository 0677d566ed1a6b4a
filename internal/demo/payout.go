package demo

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/generated"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/royalty"
)

const (
	payoutFWER  = 1e-3      // the level of payouts
	payoutCents = 10_000_00 // what the example distributes
	payoutBasis = "Credits come from the %d outputs of %s, read one by one as above but at the level of payouts, 10⁻³, and the %d of the control, which must earn nothing. The lab's concepts have the names of this delivery's, and stand for them; money that no concept earned is paid by works (royalty rules of the product, pay-to-train floor 30 %%)."
)

// payout splits a sum by what the outputs of a trained model were attributed to.
func (m *measurement) payout(ctx context.Context, r *report.Report) error {
	paid := m.paid()
	if len(paid) == 0 {
		r.Payout.Basis = "Left out: it pays by outputs of a model that trained on marked pictures, and none were given."
		return nil
	}
	ids := m.conceptIDs()
	detections, payThreshold, err := m.detections(ctx, paid, ids)
	if err != nil {
		return err
	}
	table, err := royalty.Credits(detections, royalty.CreditRule{PayThreshold: payThreshold, FalsePositiveRate: new(big.Rat).SetFrac64(1, 1000*int64(max(1, len(ids))))})
	if err != nil {
		return err
	}
	holdings, ownership := m.holdings()
	rules := []royalty.Rule{royalty.Filigrane(), royalty.PayToTrain(), royalty.Marked()}
	rows, err := royalty.Compare(royalty.InputOf(payoutCents, rules[0], table, holdings, ownership), rules)
	if err != nil {
		return err
	}
	basis := fmt.Sprintf(payoutBasis, outputs(paid[:1]), paid[0].Name, outputs(paid[1:]))
	r.Payout = report.Payout{Currency: "EUR", TotalCents: payoutCents, Rule: rules[0].Name, Basis: basis}
	for _, rule := range rules {
		r.Payout.Rules = append(r.Payout.Rules, rule.Name)
	}
	for _, c := range table.Credits {
		credits, _ := c.Corrected.Float64()
		r.Payout.Concepts = append(r.Payout.Concepts, report.PaidRow{Concept: c.Concept, Credits: credits})
	}
	m.payees(&r.Payout, rows)
	return nil
}

// payees writes one line per party, every rule a column, and the parts of the rule in force, which sum to the
// total.
func (m *measurement) payees(p *report.Payout, rows []royalty.Comparison) {
	works := map[string]int{}
	for _, pic := range m.Pictures {
		works[pic.RightsHolder]++
	}
	at := map[string]int{}
	for col, row := range rows {
		totals := append([]royalty.Total{}, row.Distribution.Payees...)
		if c := row.Distribution.UnclaimedCents; c > 0 {
			totals = append(totals, royalty.Total{ID: royalty.Unclaimed, Cents: c})
		}
		for _, t := range totals {
			i, ok := at[t.ID]
			if !ok {
				i, at[t.ID] = len(p.Payees), len(p.Payees)
				p.Payees = append(p.Payees, report.Payee{Name: t.ID, Works: works[t.ID], Cents: make([]int64, len(rows))})
			}
			p.Payees[i].Cents[col] = t.Cents
		}
	}
	for _, payee := range p.Payees {
		p.PartsCents = append(p.PartsCents, payee.Cents[0])
	}
}

// paid are the sets the money follows: the first of marked training, and the controls read with its keys.
func (m *measurement) paid() []generated.Set {
	first := slices.IndexFunc(m.Generated, func(s generated.Set) bool { return s.Marked })
	if first < 0 {
		return nil
	}
	sets := []generated.Set{m.Generated[first]}
	for _, s := range m.Generated {
		if !s.Marked && s.Keys == sets[0].Keys {
			sets = append(sets, s)
		}
	}
	return sets
}

// outputs counts the pictures of sets.
func outputs(sets []generated.Set) int {
	n := 0
	for _, s := range sets {
		for _, c := range s.Concepts {
			n += len(c.Pictures)
		}
	}
	return n
}

// detections turns outputs into evidence, each read alone. The second result is the T above which evidence is paid: the
// threshold at the level of payouts.
func (m *measurement) detections(ctx context.Context, sets []generated.Set, ids map[string]concepts.ConceptID) ([]royalty.Detection, float64, error) {
	reader := reader(sets[0], payoutFWER, true)
	names := map[int]string{}
	for _, c := range sets[0].Concepts {
		names[c.Number] = c.Name
	}
	all := drawings(sets)
	parts := make([][]royalty.Detection, len(all))
	err := m.each(ctx, "outputs at the level of payouts", len(all), func(i int) error {
		set, k := sets[all[i].set], all[i].concept
		readings, err := readAgainst(reader, set, k, singles(set.Concepts[k]))
		for n, got := range readings {
			d := royalty.Detection{Output: fmt.Sprintf("%s/%s-%02d", set.Name, set.Concepts[k].Name, n)}
			for _, c := range got.Concepts {
				if id, ok := ids[names[c.Number]]; ok {
					d.Concepts = append(d.Concepts, royalty.Evidence{Concept: string(id), T: c.T})
				}
			}
			parts[i] = append(parts[i], d)
		}
		return err
	})
	return slices.Concat(parts...), reader.Thresholds().Concept, err
}

// conceptIDs gives the concepts of the delivery by name.
func (m *measurement) conceptIDs() map[string]concepts.ConceptID {
	ids := map[string]concepts.ConceptID{}
	for _, p := range m.Pictures {
		for i, n := range p.Concepts {
			ids[m.Names(n)] = p.ConceptIDs[i]
		}
	}
	return ids
}

// holdings counts the works of each rights holder and concept.
func (m *measurement) holdings() ([]royalty.Holding, []royalty.Ownership) {
	var hs []royalty.Holding
	var os []royalty.Ownership
	known := map[string]bool{}
	for _, p := range m.Pictures {
		h := royalty.Holding{Owner: p.RightsHolder, Works: 1}
		for _, id := range p.ConceptIDs {
			h.Concepts = append(h.Concepts, string(id))
		}
		hs = append(hs, h)
		if p.RightsHolder != "" && !known[p.RightsHolder] {
			known[p.RightsHolder] = true
			os = append(os, royalty.Ownership{Owner: p.RightsHolder, Shares: []royalty.Share{{Payee: p.RightsHolder, Part: big.NewRat(1, 1)}}})
		}
	}
	return hs, os
}
