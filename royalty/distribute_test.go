package royalty

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawInput draws a pot over the concepts of drawDetections, every concept having at least one work.
func drawInput(t *rapid.T, rule Rule) Input {
	table := mustCredits(t, drawDetections(t), CreditRule{PayThreshold: 5})
	in := InputOf(rapid.Int64Range(0, 1_000_000_000).Draw(t, "N"), rule, table, nil, nil)
	for c := range 6 {
		in.Holdings = append(in.Holdings, Holding{Owner: fmt.Sprint("h", c%4), Concepts: []string{fmt.Sprint("k", c)}, Works: rapid.Int64Range(1, 9000).Draw(t, "works")})
	}
	for range rapid.IntRange(0, 5).Draw(t, "more") {
		h := Holding{Works: rapid.Int64Range(1, 50).Draw(t, "works"), Owner: rapid.SampledFrom([]string{"", "h0", "h1", "h9"}).Draw(t, "owner")}
		for c := range 6 {
			if rapid.Bool().Draw(t, "in") {
				h.Concepts = append(h.Concepts, fmt.Sprint("k", c))
			}
		}
		in.Holdings = append(in.Holdings, h)
	}
	in.Ownership = []Ownership{
		{"h0", []Share{{"p0", big.NewRat(1, 2)}, {"p1", big.NewRat(1, 3)}}}, // 1/6 unclaimed
		{"h1", []Share{{"p1", whole(1)}}},
		{"h2", []Share{{"p2", whole(1)}}},
	}
	return in
}

func mustDistribute(t rapid.TB, in Input) Distribution {
	t.Helper()
	d, err := Distribute(in)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// conserved recomputes, without Check, what Check promises.
func conserved(t rapid.TB, d Distribution, total int64) {
	t.Helper()
	var walk func(n Node)
	walk = func(n Node) {
		sum := int64(0)
		for _, c := range n.Children {
			sum += c.Cents
			walk(c)
		}
		if n.Cents < 0 || len(n.Children) > 0 && sum != n.Cents {
			t.Fatalf("%s: %d cents, children %d", n.ID, n.Cents, sum)
		}
	}
	walk(d.Pot)
	gross := int64(0)
	for _, n := range d.Gross {
		walk(n)
		gross += n.Cents
	}
	paid := d.UnclaimedCents + d.HeldCents
	for _, p := range d.Payees {
		paid += p.Cents
	}
	if d.Pot.Cents != total || gross+d.HeldCents != total || paid != total {
		t.Fatalf("N %d: pot %d, gross and held %d, payees, unclaimed and held %d", total, d.Pot.Cents, gross+d.HeldCents, paid)
	}
}

func TestDistributeConservesAndIgnoresOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := rapid.SampledFrom(Rules()).Draw(t, "rule")
		rule.Beta = big.NewRat(rapid.Int64Range(0, 20).Draw(t, "beta"), 20)
		in := drawInput(t, rule)
		d := mustDistribute(t, in)
		conserved(t, d, in.TotalCents)
		again := in
		again.Credits = rapid.Permutation(in.Credits).Draw(t, "credits")
		again.Holdings = rapid.Permutation(in.Holdings).Draw(t, "holdings")
		again.Ownership = rapid.Permutation(in.Ownership).Draw(t, "ownership")
		if diff := cmp.Diff(d, mustDistribute(t, again), ratsEqual); diff != "" {
			t.Fatal("order changed the distribution:\n", diff)
		}
		rows, err := Compare(in, []Rule{rule})
		if err != nil {
			t.Fatal(err)
		}
		sum := rows[0].NoConceptCents + d.HeldCents
		for _, c := range rows[0].ByConcept {
			sum += c.Cents
		}
		if sum != in.TotalCents {
			t.Fatalf("by concept %d, N %d", sum, in.TotalCents)
		}
	})
}

// payToTrain is the reference: the whole pot by works.
func payToTrain(t rapid.TB, in Input) Distribution {
	in.Rule = PayToTrain()
	return mustDistribute(t, in)
}

func TestZeroDetectionsIsPayToTrain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t, rapid.SampledFrom([]Rule{Filigrane(), Marked()}).Draw(t, "rule"))
		in.Credits = nil
		in.Unattributed = whole(rapid.Int64Range(0, 3000).Draw(t, "outputs"))
		got, want := mustDistribute(t, in), payToTrain(t, in)
		if diff := cmp.Diff(want.Gross, got.Gross, ratsEqual); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(want.Payees, got.Payees); diff != "" || got.UnclaimedCents != want.UnclaimedCents || got.HeldCents != 0 {
			t.Fatal(diff)
		}
	})
}

func TestBetaOneIsPayToTrain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := rapid.SampledFrom(Rules()).Draw(t, "rule")
		rule.Beta = whole(1)
		in := drawInput(t, rule)
		got, want := mustDistribute(t, in), payToTrain(t, in)
		if diff := cmp.Diff(want.Payees, got.Payees); diff != "" || got.UnclaimedCents != want.UnclaimedCents || got.HeldCents != 0 {
			t.Fatal(diff)
		}
	})
}

// To the cent: a clone of k0, registered by its owner for the same works, leaves every owner's group
// where it was; with the chance correction it never raises it.
func TestCloneNeverRaisesOwnerMoney(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := rapid.SampledFrom(Rules()).Draw(t, "rule")
		total := rapid.Int64Range(0, 1_000_000_000).Draw(t, "N")
		outputs := drawDetections(t)
		with := cloned(t, outputs)
		owners := []string{"o0", "o0", "o1", "o2", "h4", "h5"}
		var holdings, both []Holding
		for c, owner := range owners {
			h := Holding{owner, []string{fmt.Sprint("k", c)}, rapid.Int64Range(1, 9000).Draw(t, "works")}
			holdings = append(holdings, h)
			if c == 0 {
				h.Concepts = []string{"k0", "clone"}
			}
			both = append(both, h)
		}
		for _, alpha := range []*big.Rat{nil, big.NewRat(1, 20)} {
			credit := CreditRule{PayThreshold: 5, FalsePositiveRate: alpha}
			before := mustDistribute(t, InputOf(total, rule, mustCredits(t, outputs, credit), holdings, nil))
			after := mustDistribute(t, InputOf(total, rule, mustCredits(t, with, credit), both, nil))
			b, a := markedOf(before, "o0"), markedOf(after, "o0")
			if a > b || alpha == nil && a != b {
				t.Fatalf("rule %s, alpha %v: marked share of the cloning owner %d, before %d", rule.Name, alpha, a, b)
			}
			if alpha == nil && !cmp.Equal(grossOf(before), grossOf(after)) {
				t.Fatalf("rule %s: gross %v, before %v", rule.Name, grossOf(after), grossOf(before))
			}
		}
	})
}

// markedOf sums an owner's lines outside the floor.
func markedOf(d Distribution, owner string) int64 {
	sum := int64(0)
	for _, n := range linesOf(OwnerNode, d.Pot, nil) {
		if n.Name == owner && !strings.HasPrefix(n.ID, "pot/floor/") {
			sum += n.Cents
		}
	}
	return sum
}

func grossOf(d Distribution) map[string]int64 {
	m := map[string]int64{}
	for _, n := range d.Gross {
		m[n.Name] = n.Cents
	}
	return m
}

func TestUnclaimed(t *testing.T) {
	in := Input{TotalCents: 1000, Rule: PayToTrain(), Holdings: []Holding{{"", nil, 1}, {"known", nil, 1}, {"unregistered", nil, 2}},
		Ownership: []Ownership{{"known", []Share{{"p", big.NewRat(3, 4)}}}}}
	d := mustDistribute(t, in)
	if d.UnclaimedCents != 250+62+500 || !cmp.Equal(d.Payees, []Total{{"p", 188}}) {
		t.Errorf("unclaimed %d, payees %v", d.UnclaimedCents, d.Payees)
	}
}

func TestDistributeErrors(t *testing.T) {
	cases := []struct {
		name   string
		change func(in *Input)
		want   string
	}{
		{"negative amount", func(in *Input) { in.TotalCents = -5 }, "negative (-0.05)"},
		{"beta", func(in *Input) { in.Rule.Beta = big.NewRat(3, 2) }, "beta 3/2 is outside"},
		{"policy", func(in *Input) { in.Rule.Unattributed = "keep" }, `policy "keep"`},
		{"negative unattributed", func(in *Input) { in.Unattributed = whole(-1) }, "credits exceed the sample"},
		{"no works", func(in *Input) { in.Holdings, in.Credits = nil, nil }, "no works to pay"},
		{"empty holding", func(in *Input) { in.Holdings[1].Works = 0 }, `holding 1 of owner "H2": 0 works`},
		{"too many works", func(in *Input) { in.Holdings[1].Works = 1<<63 - 1 }, `not more than can be counted`},
		{"reserved owner", func(in *Input) { in.Holdings[0].Owner = Unclaimed }, "is reserved"},
		{"concept twice in a holding", func(in *Input) { in.Holdings[0].Concepts = []string{"C1", "C1"} }, `concept "C1" is empty or listed twice`},
		{"credit without works", func(in *Input) { in.Credits[0].Concept = "C9" }, `concept "C9" has credits but no works`},
		{"credit twice", func(in *Input) { in.Credits[0].Concept = "C2" }, `credit of concept "C2"`},
		{"negative credit", func(in *Input) { in.Credits[0].Corrected = whole(-1) }, `"C1" is negative`},
		{"above 100 %", func(in *Input) { in.Ownership[4].Shares[0].Part = decimal("0.61") }, `above 100 %`},
		{"negative part", func(in *Input) { in.Ownership[4].Shares[0].Part = decimal("-0.1") }, `"H5": the part -1/10 of payee "H5a"`},
		{"payee twice", func(in *Input) { in.Ownership[4].Shares[0].Payee = "H5b" }, `payee "H5b" is empty, reserved or listed twice`},
		{"reserved payee", func(in *Input) { in.Ownership[4].Shares[0].Payee = Unclaimed }, `payee "unclaimed"`},
		{"owner twice", func(in *Input) { in.Ownership[1].Owner = "H1" }, `ownership of "H1"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := exampleInput(Filigrane())
			c.change(&in)
			if _, err := Distribute(in); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := RuleNamed("filigrane"); err != nil {
		t.Error(err)
	}
	if _, err := RuleNamed("shapley"); err == nil || !strings.Contains(err.Error(), "pay-to-train filigrane marked marked-held") {
		t.Error(err)
	}
}

func TestCheckFindsALostCent(t *testing.T) {
	d := mustDistribute(t, exampleInput(Filigrane()))
	d.Pot.Children[0].Children[0].Cents--
	if err := d.Check(); err == nil || !strings.Contains(err.Error(), "pot/floor is 87,538.91 but its children sum to 87,538.90") {
		t.Error(err)
	}
}

func TestText(t *testing.T) {
	for n, want := range map[int64]string{0: "0.00", 5: "0.05", -5: "-0.05", 123: "1.23", 100000: "1,000.00", -123456789: "-1,234,567.89"} {
		if got := cents(n); got != want {
			t.Errorf("cents(%d) = %s, want %s", n, got, want)
		}
	}
	for in, want := range map[string]string{"3/10": "0.3", "3000": "3,000", "1/3": "~0.333333", "-1/3": "~-0.333333", "30000001/10000": "3,000.0001"} {
		if got := ratText(decimal(in)); got != want {
			t.Errorf("ratText(%s) = %s, want %s", in, got, want)
		}
	}
}
