package demo

import (
	"context"
	"fmt"
	"math/big"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/royalty"
)

const (
	payoutFWER  = 1e-3      // the level of payouts
	payoutCents = 10_000_00 // what the example distributes
	payoutBasis = "Credits come from the surrogate's outputs read one by one at the level of payouts, 10⁻³, and as many unmarked pictures, which must earn nothing; money that no concept earned is paid by works (royalty rules of the product, pay-to-train floor 30 %)."
)

// payout splits a sum by what the surrogate's outputs were attributed to.
func (m *measurement) payout(_ context.Context, r *report.Report) error {
	ids := m.conceptIDs()
	detections, payThreshold := m.detections(ids)
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
	r.Payout = report.Payout{Currency: "EUR", TotalCents: payoutCents, Rule: rules[0].Name, Basis: payoutBasis}
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

// detections turns the outputs into evidence and adds as many outputs in which there is nothing. The second
// result is the T above which evidence is paid: the threshold at the level of payouts.
func (m *measurement) detections(ids map[int]concepts.ConceptID) ([]royalty.Detection, float64) {
	threshold := 0.0
	var ds []royalty.Detection
	for _, o := range m.outputs {
		threshold = o.reading.Trials.Thresholds(payoutFWER).Concept
		d := royalty.Detection{Output: o.name}
		for _, c := range o.reading.Concepts {
			if id, ok := ids[c.Number]; ok {
				d.Concepts = append(d.Concepts, royalty.Evidence{Concept: string(id), T: c.T})
			}
		}
		ds = append(ds, d)
	}
	for i := range m.outputs {
		ds = append(ds, royalty.Detection{Output: fmt.Sprintf("unmarked-%03d", i)})
	}
	return ds, threshold
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
