package royalty

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The worked example of design/royalty.md 4.10, computed there in exact rationals, independently of
// this package.

func whole(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

func decimal(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic("not a number: " + s)
	}
	return r
}

func exampleInput(rule Rule) Input {
	credit := func(concept, credits string) Credit {
		return Credit{Concept: concept, Raw: decimal(credits), Corrected: decimal(credits)}
	}
	return Input{
		TotalCents:   10837600,
		Rule:         rule,
		Credits:      []Credit{credit("C1", "471.52"), credit("C2", "286.03"), credit("C3", "66.45")},
		Unattributed: whole(2176),
		Holdings: []Holding{
			{Owner: "H1", Concepts: []string{"C1"}, Works: 11000},
			{Owner: "H2", Concepts: []string{"C1"}, Works: 4600},
			{Owner: "H3", Concepts: []string{"C1"}, Works: 2400},
			{Owner: "H2", Concepts: []string{"C2"}, Works: 5000},
			{Owner: "H4", Concepts: []string{"C2"}, Works: 4000},
			{Owner: "H4", Concepts: []string{"C3"}, Works: 1000},
			{Owner: "H5", Concepts: []string{"C3"}, Works: 1997},
			{Owner: "H6", Concepts: []string{"C3"}, Works: 3},
		},
		Ownership: []Ownership{
			{"H1", []Share{{"H1", whole(1)}}}, {"H2", []Share{{"H2", whole(1)}}},
			{"H3", []Share{{"H3", whole(1)}}}, {"H4", []Share{{"H4", whole(1)}}},
			{"H5", []Share{{"H5a", decimal("0.6")}, {"H5b", decimal("0.4")}}},
			{"H6", []Share{{"H6", whole(1)}}},
		},
	}
}

// amounts flattens the lines of a tree to "ID amount".
func amounts(n Node) map[string]string {
	m := map[string]string{n.ID: cents(n.Cents)}
	for _, c := range n.Children {
		for id, amount := range amounts(c) {
			m[id] = amount
		}
	}
	return m
}

func TestWorkedExample(t *testing.T) {
	d, err := Distribute(exampleInput(Filigrane()))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"pot":            "108,376.00",
		"pot/concept/C1": "11,923.67", "pot/concept/C2": "7,233.05", "pot/concept/C3": "1,680.37",
		"pot/floor": "87,538.91",
		// payee table of 4.10, column by column
		"pot/floor/H1": "32,097.60", "pot/floor/H2": "28,012.45", "pot/floor/H3": "7,003.11",
		"pot/floor/H4": "14,589.82", "pot/floor/H5": "5,827.17", "pot/floor/H6": "8.76",
		"pot/concept/C1/H1": "7,286.69", "pot/concept/C1/H2": "3,047.16", "pot/concept/C1/H3": "1,589.82",
		"pot/concept/C2/H2": "4,018.36", "pot/concept/C2/H4": "3,214.69",
		"pot/concept/C3/H4": "560.12", "pot/concept/C3/H5": "1,118.57", "pot/concept/C3/H6": "1.68",
	}
	if diff := cmp.Diff(want, amounts(d.Pot)); diff != "" {
		t.Errorf("pot (-document +got):\n%s", diff)
	}
	gross := map[string]string{}
	for _, n := range d.Gross {
		gross[n.Name] = cents(n.Cents)
	}
	wantGross := map[string]string{"H1": "39,384.29", "H2": "35,077.97", "H3": "8,592.93",
		"H4": "18,364.63", "H5": "6,945.74", "H6": "10.44"}
	if diff := cmp.Diff(wantGross, gross); diff != "" {
		t.Errorf("gross (-document +got):\n%s", diff)
	}
	wantPayees := []Total{{"H1", 3938429}, {"H2", 3507797}, {"H3", 859293}, {"H4", 1836463},
		{"H5a", 416744}, {"H5b", 277830}, {"H6", 1044}}
	if diff := cmp.Diff(wantPayees, d.Payees); diff != "" {
		t.Errorf("payees (-document +got):\n%s", diff)
	}
}

// The split of U with its unattributed part, which the tree shows inside the floor.
func TestWorkedExampleMarkedShare(t *testing.T) {
	parts, err := Split(7586320, []Weight{{"C1", decimal("471.52")}, {"C2", decimal("286.03")},
		{"C3", decimal("66.45")}, {"unattributed", whole(2176)}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []int64{1192367, 723305, 168037, 5502611}; !cmp.Equal(want, parts) {
		t.Errorf("got %v, document %v", parts, want)
	}
}

// The sample behind the credits of 4.10: outputs whose evidence above the threshold is in the stated
// proportions give the stated credits exactly.
func TestWorkedExampleCredits(t *testing.T) {
	var outputs []Detection
	add := func(n int, evidence ...Evidence) {
		for range n {
			outputs = append(outputs, Detection{Output: fmt.Sprint("o", len(outputs)), Concepts: evidence})
		}
	}
	above := func(concept string, e float64) Evidence { return Evidence{Concept: concept, T: 6 + e} }
	add(412, above("C1", 3))
	add(238, above("C2", 2))
	add(57, above("C3", 1))
	add(96, above("C1", 6.2), above("C2", 3.8))
	add(21, above("C2", 5.5), above("C3", 4.5), Evidence{Concept: "C1", T: 6})
	add(2176, Evidence{Concept: "C1", T: 5.9})
	rule := CreditRule{PayThreshold: 6}
	table, err := Credits(outputs, rule)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"471.52", "286.03", "66.45"} {
		if c := table.Credits[i]; c.Corrected.Cmp(decimal(want)) != 0 || c.Raw.Cmp(c.Corrected) != 0 {
			t.Errorf("%s: corrected %s, document %s", c.Concept, c.Corrected.FloatString(6), want)
		}
	}
	if table.None.Cmp(whole(2176)) != 0 || table.Outputs.Cmp(whole(3000)) != 0 || table.Unattributed.Cmp(whole(2176)) != 0 {
		t.Errorf("none %s of %s, unattributed %s", table.None, table.Outputs, table.Unattributed)
	}
	// 4.4: alpha 1e-3 takes 2.176 outputs from each concept.
	rule.FalsePositiveRate = decimal("0.001")
	rule.ByConcept = map[string]*big.Rat{"C3": decimal("0.5")}
	if table, err = Credits(outputs, rule); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"469.344", "283.854", "0"} {
		if c := table.Credits[i]; c.Corrected.Cmp(decimal(want)) != 0 {
			t.Errorf("%s: corrected %s, want %s", c.Concept, c.Corrected.FloatString(6), want)
		}
	}
	if want := decimal("2246.802"); table.Unattributed.Cmp(want) != 0 {
		t.Errorf("unattributed %s, want %s", table.Unattributed.FloatString(6), want.FloatString(6))
	}
}

// The table of 4.11: the four rules this package knows, by concept.
func TestRulesCompared(t *testing.T) {
	rows, err := Compare(exampleInput(Rule{}), Rules())
	if err != nil {
		t.Fatal(err)
	}
	document := []struct {
		rule   string
		amount []string
		held   string
	}{
		{"pay-to-train", []string{"65,025.60", "32,512.80", "10,837.60"}, "0.00"},
		{"filigrane", []string{"64,447.02", "33,494.72", "10,434.26"}, "0.00"},
		{"marked", []string{"62,016.32", "37,619.89", "8,739.79"}, "0.00"},
		{"marked-held", []string{"17,033.82", "10,332.93", "2,400.53"}, "78,608.72"},
	}
	for i, want := range document {
		var got []string
		for _, total := range rows[i].ByConcept {
			got = append(got, cents(total.Cents))
		}
		held := cents(rows[i].Distribution.HeldCents)
		if rows[i].Rule.Name != want.rule || !cmp.Equal(got, want.amount) || held != want.held || rows[i].NoConceptCents != 0 {
			t.Errorf("%s: got %v held %s, document %s %v held %s", rows[i].Rule.Name, got, held, want.rule, want.amount, want.held)
		}
	}
}

// The rows of 4.11 that are not rules of this package yet, as plain splits: what the document prints
// follows from Split.
func TestOtherRowsOfTheDocument(t *testing.T) {
	// User-centric: a concept weighs the sum over customers of fee * credit_uc / credit_u.
	customers := []struct {
		fee     string
		credits [3]string
	}{
		{"62000", [3]string{"400", "130.03", "10.45"}},
		{"43400", [3]string{"60.52", "120", "20"}},
		{"18600", [3]string{"11", "36", "36"}},
	}
	user := []Weight{IntWeight("C1", 0), IntWeight("C2", 0), IntWeight("C3", 0)}
	for _, u := range customers {
		sum := new(big.Rat)
		for _, c := range u.credits {
			sum.Add(sum, decimal(c))
		}
		for i, c := range u.credits {
			part := new(big.Rat).Quo(decimal(c), sum)
			user[i].Value.Add(user[i].Value, part.Mul(part, decimal(u.fee)))
		}
	}
	rows := []struct {
		name    string
		weights []Weight
		want    []string
	}{
		{"user-centric", user, []string{"53,706.41", "42,787.59", "11,882.00"}},
		{"Shapley", []Weight{IntWeight("C1", 45), IntWeight("C2", 30), IntWeight("C3", 25)},
			[]string{"48,769.20", "32,512.80", "27,094.00"}},
		{"leave-one-out", []Weight{IntWeight("C1", 40), IntWeight("C2", 20), IntWeight("C3", 20)},
			[]string{"54,188.00", "27,094.00", "27,094.00"}},
	}
	for _, row := range rows {
		parts, err := Split(10837600, row.weights)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range parts {
			got = append(got, cents(p))
		}
		if !cmp.Equal(got, row.want) {
			t.Errorf("%s: got %v, document %v", row.name, got, row.want)
		}
	}
}

// ExampleDistribute shows what a contributor can read.
func ExampleDistribute() {
	d, _ := Distribute(exampleInput(Filigrane()))
	for _, n := range append([]Node{d.Pot}, d.Pot.Children...) {
		fmt.Printf("%s  %s\n  %s\n  %s\n", n.ID, cents(n.Cents), n.Formula, n.Inputs)
	}
	fmt.Println(d.Pot.Children[3].Children[2].Inputs)
	// Output:
	// pot  108,376.00
	//   N = floor + marked share (+ held)
	//   N = 108,376.00; rule filigrane
	// pot/floor  87,538.91
	//   beta x N + unattributed part of U
	//   0.3 x 108,376.00 = 32,512.80; U 75,863.20 x 2,176 / 3,000 outputs = 55,026.11
	// pot/concept/C1  11,923.67
	//   U x credit / outputs
	//   75,863.20 x 471.52 / 3,000 = 11,923.67 (before rounding ~11,923.672021)
	// pot/concept/C2  7,233.05
	//   U x credit / outputs
	//   75,863.20 x 286.03 / 3,000 = 7,233.05 (before rounding ~7,233.050365)
	// pot/concept/C3  1,680.37
	//   U x credit / outputs
	//   75,863.20 x 66.45 / 3,000 = 1,680.37 (before rounding 1,680.36988)
	// 1,680.37 x 3 / 3,000 = 1.68 (before rounding 1.68037)
}
