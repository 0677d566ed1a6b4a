package royalty

import "math/big"

// Comparison is what one rule would pay on the same pot, seen by concept and by payee.
type Comparison struct {
	Rule Rule
	// ByConcept sums floor and marked share per concept, sorted by concept. The floor is seen by concept
	// here by works, a work of k concepts counting 1/k in each.
	ByConcept []Total
	// NoConceptCents is the floor of works that belong to no concept. ByConcept + NoConceptCents +
	// Distribution.HeldCents = N.
	NoConceptCents int64
	// Distribution is the full division; the view by concept can differ from its lines by cents,
	// because there the floor goes to owners directly.
	Distribution Distribution
}

// Compare answers "what would each rule pay?" on one pot: in.Rule is ignored, rules are applied in
// turn. Errors as [Distribute].
func Compare(in Input, rules []Rule) ([]Comparison, error) {
	rows := make([]Comparison, 0, len(rules))
	for _, rule := range rules {
		in.Rule = rule
		d, err := Distribute(in)
		if err != nil {
			return nil, err
		}
		b, err := newBook(in)
		if err != nil {
			return nil, err
		}
		row := Comparison{Rule: rule, Distribution: d}
		if err := row.sumConcepts(b); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// outsideConcepts is the ID, in the split of the floor by concept, of works in no concept. It sorts
// before every concept.
const outsideConcepts = "\x00"

func (row *Comparison) sumConcepts(b *book) error {
	weights := append([]Weight{{ID: outsideConcepts, Value: new(big.Rat).SetInt64(b.noConcept)}}, b.conceptFloor...)
	parts, err := Split(row.Distribution.Pot.Children[0].Cents, weights)
	if err != nil {
		return err
	}
	marked := map[string]int64{}
	for _, n := range linesOf(ConceptNode, row.Distribution.Pot, nil) {
		marked[n.Name] += n.Cents
	}
	row.NoConceptCents = parts[0]
	for i, w := range b.conceptFloor {
		row.ByConcept = append(row.ByConcept, Total{ID: w.ID, Cents: parts[i+1] + marked[w.ID]})
	}
	return nil
}
