package royalty

import (
	"fmt"
	"math"
	"math/big"
	"sort"
)

// Evidence is what one output says about one concept.
type Evidence struct {
	// Concept is the concept's identifier, never empty.
	Concept string
	// Owner is who registered the concept, the unit inside which clones gain nothing. Empty: the
	// concept stands for itself (a concept that the bank formed from works of several rights holders).
	// One concept has one owner throughout.
	Owner string
	// T is the detection statistic, in standard deviations of the null. Finite, |T| <= 1e6.
	T float64
}

// Detection is one sampled output with all evidence read from it. An output with no evidence, or with
// none above the payment threshold, must be given too: it is what "unattributed" counts.
type Detection struct {
	// Output identifies the output, never empty, each once.
	Output string
	// Weight is how many outputs of the period this one stands for: the inverse of its probability of
	// being sampled (Horvitz-Thompson). Nil means 1. Positive.
	Weight *big.Rat
	// Concepts holds at most one entry per concept, in any order.
	Concepts []Evidence
}

// CreditRule says which evidence counts and how much of it is expected to be chance.
type CreditRule struct {
	// PayThreshold is t_pay: evidence e = max(0, T - t_pay), in the unit of T.
	PayThreshold float64
	// FalsePositiveRate is alpha: the chance that one output without any mark gives some credit to one
	// concept at PayThreshold. Nil means 0 (no correction). 0 <= alpha < 1.
	FalsePositiveRate *big.Rat
	// ByConcept overrides FalsePositiveRate for the concepts it names.
	ByConcept map[string]*big.Rat
}

// Credit is the part of the outputs that belongs to one concept.
type Credit struct {
	Concept string
	// Owner as in [Evidence]: concepts of one owner are paid as one group.
	Owner string
	// Raw is the sum of the concept's shares of outputs; a multiple of 1e-6 where no weights are used.
	Raw *big.Rat
	// Corrected is max(0, Raw - alpha*none): Raw less what chance explains. It is what is paid.
	Corrected *big.Rat
}

// CreditTable is the outcome of [Credits]. Outputs = sum of Corrected + Unattributed, exactly, and
// Outputs = sum of Raw + None, exactly.
type CreditTable struct {
	// Credits lists every concept with evidence above the threshold, sorted by concept.
	Credits []Credit
	// Outputs is the (weighted) number of outputs, None those in which nothing reached the threshold.
	Outputs, None *big.Rat
	// Unattributed is Outputs less all corrected credits.
	Unattributed *big.Rat
}

// microCredit is the resolution in which one output is divided: 1 credit = 1e6 micro-credits. Each
// share of an output is within 1e-6 of exact and an output's shares sum to 1 exactly; unlike exact
// fractions their sum over 10^5 outputs stays short.
const microCredit = 1_000_000

// maxT bounds |T|: far above any statistic of the house (the largest possible is about the square root
// of the number of pixels), low enough for micro-units to stay exact in a float64.
const maxT = 1e6

// Credits divides each output among the concepts detected in it and sums up.
//
// Per output, with e_c = max(0, T_c - t_pay) in whole millionths: the owners share the output in
// proportion to g_o = max e_c over the concepts c of owner o, and inside an owner the concepts share in
// proportion to e_c. Registering a second concept that is detected no more strongly than the first
// therefore never raises an owner's share. Both divisions are made by [Split] in millionths of a credit. The
// totals are then corrected for chance: credit' = max(0, credit - alpha*none), with none the number of
// outputs in which nothing reached the threshold. Source: design/royalty.md 4.4.
//
// It returns an error, naming the output, for an empty or repeated output or concept, a T that is not a
// finite number within +-1e6, a weight that is not positive, a concept with two owners, and a
// false-positive rate outside [0, 1).
func Credits(detections []Detection, rule CreditRule) (CreditTable, error) {
	threshold, err := micro(rule.PayThreshold)
	if err != nil {
		return CreditTable{}, fmt.Errorf("royalty: payment threshold: %w", err)
	}
	sum := creditSum{credits: map[string]*Credit{}, outputs: new(big.Rat), none: new(big.Rat)}
	seen := make(map[string]bool, len(detections))
	for i, d := range detections {
		if d.Output == "" || seen[d.Output] {
			return CreditTable{}, fmt.Errorf("royalty: detection %d: output %q is empty or listed twice: give each sampled output once", i, d.Output)
		}
		seen[d.Output] = true
		if err := sum.add(d, threshold); err != nil {
			return CreditTable{}, fmt.Errorf("royalty: output %q: %w", d.Output, err)
		}
	}
	return sum.table(rule)
}

// micro converts a statistic to whole millionths.
func micro(t float64) (int64, error) {
	if !(math.Abs(t) <= maxT) { // also refuses NaN
		return 0, fmt.Errorf("statistic %v is not a finite number within +-%.0f: recompute the detection", t, float64(maxT))
	}
	return int64(math.Round(float64(t * 1e6))), nil
}

// creditSum adds up outputs.
type creditSum struct {
	credits       map[string]*Credit
	outputs, none *big.Rat
}

// claims are the concepts of one owner in one output.
type claims struct {
	best     int64
	concepts []Weight
}

func (s *creditSum) add(d Detection, threshold int64) error {
	weight := d.Weight
	if weight == nil {
		weight = big.NewRat(1, 1)
	}
	if weight.Sign() <= 0 {
		return fmt.Errorf("weight %s is not positive: it is the inverse of the sampling probability", weight.RatString())
	}
	owners := map[string]*claims{}
	seen := map[string]bool{}
	for _, e := range d.Concepts {
		if e.Concept == "" || seen[e.Concept] {
			return fmt.Errorf("concept %q is empty or listed twice: give each concept once", e.Concept)
		}
		seen[e.Concept] = true
		t, err := micro(e.T)
		if err != nil {
			return fmt.Errorf("concept %q: %w", e.Concept, err)
		}
		if t <= threshold {
			continue
		}
		if err := s.register(e); err != nil {
			return err
		}
		group := groupID(e.Owner, e.Concept)
		if owners[group] == nil {
			owners[group] = &claims{}
		}
		owners[group].best = max(owners[group].best, t-threshold)
		owners[group].concepts = append(owners[group].concepts, IntWeight(e.Concept, t-threshold))
	}
	s.outputs.Add(s.outputs, weight)
	if len(owners) == 0 {
		s.none.Add(s.none, weight)
		return nil
	}
	return s.share(owners, weight)
}

// register makes sure the concept has an account and only one owner.
func (s *creditSum) register(e Evidence) error {
	c := s.credits[e.Concept]
	if c == nil {
		s.credits[e.Concept] = &Credit{Concept: e.Concept, Owner: e.Owner, Raw: new(big.Rat)}
		return nil
	}
	if c.Owner != e.Owner {
		return fmt.Errorf("concept %q belongs to %q here and to %q in an earlier output: a concept has one owner", e.Concept, e.Owner, c.Owner)
	}
	return nil
}

// share divides one output among owners, then inside each owner. Map order decides nothing: Split does
// not depend on the order of its weights, and rational sums are exact.
func (s *creditSum) share(owners map[string]*claims, weight *big.Rat) error {
	groups := make([]Weight, 0, len(owners))
	for id, o := range owners {
		groups = append(groups, IntWeight(id, o.best))
	}
	parts, err := Split(microCredit, groups)
	if err != nil {
		return err
	}
	for i, g := range groups {
		concepts := owners[g.ID].concepts
		inside, err := Split(parts[i], concepts)
		if err != nil {
			return err
		}
		for j, c := range concepts {
			part := big.NewRat(inside[j], microCredit)
			raw := s.credits[c.ID].Raw
			raw.Add(raw, part.Mul(part, weight))
		}
	}
	return nil
}

// table corrects for chance and closes the sums.
func (s *creditSum) table(rule CreditRule) (CreditTable, error) {
	t := CreditTable{Outputs: s.outputs, None: s.none, Unattributed: new(big.Rat).Set(s.outputs)}
	for _, c := range s.credits {
		alpha := rule.FalsePositiveRate
		if own, ok := rule.ByConcept[c.Concept]; ok {
			alpha = own
		}
		if alpha == nil {
			alpha = new(big.Rat)
		}
		if alpha.Sign() < 0 || alpha.Cmp(big.NewRat(1, 1)) >= 0 {
			return CreditTable{}, fmt.Errorf("royalty: false-positive rate %s of concept %q: must be at least 0 and below 1", alpha.RatString(), c.Concept)
		}
		c.Corrected = new(big.Rat).Mul(alpha, s.none)
		if c.Corrected.Sub(c.Raw, c.Corrected).Sign() < 0 {
			c.Corrected.SetInt64(0)
		}
		t.Unattributed.Sub(t.Unattributed, c.Corrected)
		t.Credits = append(t.Credits, *c)
	}
	sort.Slice(t.Credits, func(i, j int) bool { return t.Credits[i].Concept < t.Credits[j].Concept })
	return t, nil
}

// groupID names the group in which concepts are paid together.
func groupID(owner, concept string) string {
	if owner == "" {
		return "concept/" + concept
	}
	return "owner/" + owner
}
