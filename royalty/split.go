package royalty

import (
	"fmt"
	"math/big"
	"sort"
)

// Weight is one child of a [Split]: a stable identifier, never empty, and its exact weight, at least 0.
// The unit of the weights is free: only their ratios count.
type Weight struct {
	ID    string
	Value *big.Rat
}

// IntWeight returns the weight n.
func IntWeight(id string, n int64) Weight { return Weight{ID: id, Value: new(big.Rat).SetInt64(n)} }

// Split divides total cents among the weights by the largest remainder method (Hamilton's) and
// returns the cents of each weight, in the order given.
//
// Each child first gets the floor of its exact part total*w/sum(w); the cents still missing go one each
// to the largest remainders, ties to the larger weight, then to the smaller ID (bytewise). Hence:
// the children sum to total; the order of weights decides nothing; a weight of 0 gets 0; a child is less than one
// cent from its exact part; multiplying all weights by one factor changes nothing. Known limit (the
// Alabama paradox): a larger total can lower a child by one cent.
//
// The arithmetic is exact (math/big) and allocates with the common denominator of the weights: weights
// with many unrelated denominators are slow, not wrong. Source: design/royalty.md 4.5.
//
// It returns an error if total is negative, if there is no weight, if an ID is empty or used twice, if a
// weight is negative, or if all are 0. It panics if a Value is nil.
func Split(total int64, weights []Weight) ([]int64, error) {
	if total < 0 {
		return nil, fmt.Errorf("royalty: cannot split the negative amount %d: enter a correction as its own entry", total)
	}
	units, sum, err := commonUnits(weights)
	if err != nil {
		return nil, err
	}
	cents := make([]int64, len(weights))
	rest := make([]*big.Int, len(weights))
	bigTotal, left := big.NewInt(total), total
	for i, w := range units {
		product := new(big.Int).Mul(bigTotal, w)
		quotient, remainder := product.QuoRem(product, sum, new(big.Int))
		cents[i], rest[i] = quotient.Int64(), remainder
		left -= cents[i]
	}
	if left == 0 {
		return cents, nil
	}
	order := make([]int, len(weights))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool {
		i, j := order[a], order[b]
		if c := rest[i].Cmp(rest[j]); c != 0 {
			return c > 0
		}
		if c := units[i].Cmp(units[j]); c != 0 {
			return c > 0
		}
		return weights[i].ID < weights[j].ID
	})
	for _, i := range order[:left] {
		cents[i]++
	}
	return cents, nil
}

// commonUnits checks the weights and brings them to integers over their common denominator.
func commonUnits(weights []Weight) (units []*big.Int, sum *big.Int, err error) {
	if len(weights) == 0 {
		return nil, nil, fmt.Errorf("royalty: nothing to split among: give at least one weight")
	}
	seen := make(map[string]bool, len(weights))
	common := big.NewInt(1)
	for _, w := range weights {
		switch {
		case w.Value == nil:
			panic(fmt.Sprintf("royalty: weight %q has no value", w.ID))
		case w.ID == "":
			return nil, nil, fmt.Errorf("royalty: a weight without an ID: ties are broken by ID, give every weight one")
		case seen[w.ID]:
			return nil, nil, fmt.Errorf("royalty: weight %q is listed twice: add the two together first", w.ID)
		case w.Value.Sign() < 0:
			return nil, nil, fmt.Errorf("royalty: weight %q is negative (%s): weights must be 0 or more", w.ID, w.Value.RatString())
		}
		seen[w.ID] = true
		if !w.Value.IsInt() {
			gcd := new(big.Int).GCD(nil, nil, common, w.Value.Denom())
			common.Mul(common, gcd.Quo(w.Value.Denom(), gcd))
		}
	}
	units, sum = make([]*big.Int, len(weights)), new(big.Int)
	for i, w := range weights {
		factor := new(big.Int).Quo(common, w.Value.Denom())
		units[i] = factor.Mul(factor, w.Value.Num())
		sum.Add(sum, units[i])
	}
	if sum.Sign() == 0 {
		return nil, nil, fmt.Errorf("royalty: all %d weights are 0: nobody to give the amount to", len(weights))
	}
	return units, sum, nil
}
