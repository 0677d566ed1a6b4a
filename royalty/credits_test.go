package royalty

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var ratsEqual = cmp.Comparer(func(a, b *big.Rat) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Cmp(b) == 0
})

// drawDetections draws outputs over concepts k0..k5; owner o0 has k0 and k1, the others one each or none.
func drawDetections(t *rapid.T) []Detection {
	owners := []string{"o0", "o0", "o1", "o2", "", ""}
	outputs := make([]Detection, rapid.IntRange(0, 12).Draw(t, "outputs"))
	for i := range outputs {
		outputs[i].Output = fmt.Sprint("x", i)
		if rapid.Bool().Draw(t, "weighted") {
			outputs[i].Weight = big.NewRat(rapid.Int64Range(1, 5000).Draw(t, "w"), rapid.Int64Range(1, 7).Draw(t, "per"))
		}
		for c, owner := range owners {
			if rapid.Bool().Draw(t, "present") {
				outputs[i].Concepts = append(outputs[i].Concepts, Evidence{fmt.Sprint("k", c), owner, rapid.Float64Range(0, 12).Draw(t, "T")})
			}
		}
	}
	return outputs
}

func mustCredits(t rapid.TB, d []Detection, rule CreditRule) CreditTable {
	t.Helper()
	table, err := Credits(d, rule)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestCreditsConserveAndIgnoreOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		outputs := drawDetections(t)
		rule := CreditRule{PayThreshold: 5, FalsePositiveRate: big.NewRat(rapid.Int64Range(0, 99).Draw(t, "alpha"), 1000)}
		table := mustCredits(t, outputs, rule)
		raw, corrected := new(big.Rat).Set(table.None), new(big.Rat).Set(table.Unattributed)
		for _, c := range table.Credits {
			raw.Add(raw, c.Raw)
			corrected.Add(corrected, c.Corrected)
			if c.Corrected.Sign() < 0 || c.Corrected.Cmp(c.Raw) > 0 {
				t.Fatalf("%s: corrected %s of raw %s", c.Concept, c.Corrected, c.Raw)
			}
		}
		if raw.Cmp(table.Outputs) != 0 || corrected.Cmp(table.Outputs) != 0 {
			t.Fatalf("raw sums to %s, corrected to %s, outputs are %s", raw, corrected, table.Outputs)
		}
		shuffled := rapid.Permutation(outputs).Draw(t, "shuffled")
		for i := range shuffled {
			shuffled[i].Concepts = rapid.Permutation(shuffled[i].Concepts).Draw(t, "evidence")
		}
		if diff := cmp.Diff(table, mustCredits(t, shuffled, rule), ratsEqual); diff != "" {
			t.Fatal("order changed the credits:\n", diff)
		}
	})
}

// ownerCredit sums the corrected credits of an owner.
func ownerCredit(table CreditTable, owner string) *big.Rat {
	sum := new(big.Rat)
	for _, c := range table.Credits {
		if c.Owner == owner {
			sum.Add(sum, c.Corrected)
		}
	}
	return sum
}

// cloned registers a second concept of k0's owner, detected wherever k0 is and no more strongly.
func cloned(t *rapid.T, outputs []Detection) []Detection {
	with := append([]Detection(nil), outputs...)
	for i, d := range with {
		for _, e := range d.Concepts {
			if e.Concept == "k0" {
				clone := Evidence{"clone", e.Owner, e.T * rapid.Float64Range(0, 1).Draw(t, "strength")}
				with[i].Concepts = append(append([]Evidence(nil), d.Concepts...), clone)
			}
		}
	}
	return with
}

func TestCloneNeverRaisesOwnerCredit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		outputs := drawDetections(t)
		with := cloned(t, outputs)
		rule := CreditRule{PayThreshold: 5}
		before, after := mustCredits(t, outputs, rule), mustCredits(t, with, rule)
		for _, owner := range []string{"o0", "o1", "o2"} {
			if ownerCredit(before, owner).Cmp(ownerCredit(after, owner)) != 0 {
				t.Fatalf("%s: %s before, %s with a clone", owner, ownerCredit(before, owner), ownerCredit(after, owner))
			}
		}
		rule.FalsePositiveRate = big.NewRat(1, 20)
		before, after = mustCredits(t, outputs, rule), mustCredits(t, with, rule)
		if ownerCredit(after, "o0").Cmp(ownerCredit(before, "o0")) > 0 {
			t.Fatal("with the chance correction a clone raised the owner's credit")
		}
	})
}

func TestCreditsTwoSteps(t *testing.T) {
	// o1 has two concepts at 4 and 2 above the threshold, o2 one at 4: 1/2 each, o1's as 4:2.
	table := mustCredits(t, []Detection{{Output: "x", Concepts: []Evidence{{"a", "o1", 9}, {"b", "o1", 7}, {"c", "o2", 9}}}},
		CreditRule{PayThreshold: 5})
	want := map[string]string{"a": "0.333333", "b": "0.166667", "c": "0.5"}
	for _, c := range table.Credits {
		if c.Raw.Cmp(decimal(want[c.Concept])) != 0 {
			t.Errorf("%s: %s, want %s", c.Concept, c.Raw.FloatString(6), want[c.Concept])
		}
	}
}

func TestCreditsErrors(t *testing.T) {
	one := func(e ...Evidence) []Detection { return []Detection{{Output: "x", Concepts: e}} }
	cases := []struct {
		name       string
		detections []Detection
		rule       CreditRule
		want       string
	}{
		{"no output", []Detection{{}}, CreditRule{}, `output "" is empty`},
		{"output twice", []Detection{{Output: "x"}, {Output: "x"}}, CreditRule{}, `detection 1: output "x"`},
		{"concept twice", one(Evidence{"a", "", 1}, Evidence{"a", "", 2}), CreditRule{}, `output "x": concept "a"`},
		{"no concept", one(Evidence{"", "", 1}), CreditRule{}, `concept "" is empty`},
		{"NaN", one(Evidence{"a", "", math.NaN()}), CreditRule{}, "NaN is not a finite number"},
		{"infinite", one(Evidence{"a", "", math.Inf(1)}), CreditRule{}, "+Inf is not a finite number"},
		{"threshold NaN", nil, CreditRule{PayThreshold: math.NaN()}, "payment threshold"},
		{"weight", []Detection{{Output: "x", Weight: new(big.Rat)}}, CreditRule{}, "weight 0 is not positive"},
		{"two owners", []Detection{{Output: "x", Concepts: []Evidence{{"a", "o1", 1}}}, {Output: "y", Concepts: []Evidence{{"a", "o2", 1}}}},
			CreditRule{}, `output "y": concept "a" belongs to "o2" here and to "o1"`},
		{"alpha", one(Evidence{"a", "", 1}), CreditRule{FalsePositiveRate: whole(1)}, `rate 1 of concept "a"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Credits(c.detections, c.rule); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
