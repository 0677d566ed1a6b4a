package royalty

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func drawWeights(t *rapid.T) []Weight {
	n := rapid.IntRange(1, 12).Draw(t, "n")
	weights := make([]Weight, n)
	positive := false
	for i := range weights {
		num := rapid.OneOf(rapid.Int64Range(0, 5), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "num")
		den := rapid.OneOf(rapid.Just(int64(1)), rapid.Int64Range(1, 9), rapid.Int64Range(1, math.MaxInt64)).Draw(t, "den")
		weights[i] = Weight{ID: "w" + strconv.Itoa(i), Value: big.NewRat(num, den)}
		positive = positive || num > 0
	}
	if !positive {
		weights[0].Value.SetInt64(1)
	}
	return weights
}

func drawTotal(t *rapid.T) int64 {
	return rapid.OneOf(rapid.Int64Range(0, 50), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "total")
}

func mustSplit(t rapid.TB, total int64, weights []Weight) []int64 {
	t.Helper()
	parts, err := Split(total, weights)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestSplitProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total, weights := drawTotal(t), drawWeights(t)
		parts := mustSplit(t, total, weights)
		sum, all := new(big.Int), new(big.Rat)
		for _, w := range weights {
			all.Add(all, w.Value)
		}
		for i, w := range weights {
			sum.Add(sum, big.NewInt(parts[i]))
			exact := new(big.Rat).Quo(w.Value, all)
			exact.Mul(exact, whole(total))
			if off := exact.Sub(exact, whole(parts[i])); off.Abs(off).Cmp(whole(1)) >= 0 {
				t.Fatalf("%s: %d is %s cents from exact", w.ID, parts[i], off.FloatString(3))
			}
			if w.Value.Sign() == 0 && parts[i] != 0 {
				t.Fatalf("%s: weight 0 got %d", w.ID, parts[i])
			}
		}
		if sum.Cmp(big.NewInt(total)) != 0 {
			t.Fatalf("children sum to %s, parent is %d", sum, total)
		}
		// Order and scale decide nothing.
		shuffled := rapid.Permutation(weights).Draw(t, "shuffled")
		factor := big.NewRat(rapid.Int64Range(1, math.MaxInt64).Draw(t, "up"), rapid.Int64Range(1, math.MaxInt64).Draw(t, "down"))
		scaled := make([]Weight, len(shuffled))
		for i, w := range shuffled {
			scaled[i] = Weight{w.ID, new(big.Rat).Mul(w.Value, factor)}
		}
		again := mustSplit(t, total, scaled)
		byID := map[string]int64{}
		for i, w := range scaled {
			byID[w.ID] = again[i]
		}
		for i, w := range weights {
			if byID[w.ID] != parts[i] {
				t.Fatalf("%s: %d, shuffled and scaled %d", w.ID, parts[i], byID[w.ID])
			}
		}
	})
}

// Lowering one weight and leaving the others never raises that child: what keeps a correction that
// takes credits from an owner from paying the owner more.
func TestSplitLowerWeightNeverGetsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total, weights := drawTotal(t), append(drawWeights(t), Weight{"me", nil})
		me := len(weights) - 1
		weights[me].Value = big.NewRat(rapid.Int64Range(1, 1000).Draw(t, "me"), rapid.Int64Range(1, 9).Draw(t, "den"))
		before := mustSplit(t, total, weights)[me]
		weights[me].Value = new(big.Rat).Mul(weights[me].Value, big.NewRat(rapid.Int64Range(0, 999).Draw(t, "permille"), 1000))
		if after := mustSplit(t, total, weights)[me]; after > before {
			t.Fatalf("lower weight raised %d to %d", before, after)
		}
	})
}

func TestSplitTies(t *testing.T) {
	cases := []struct {
		name    string
		total   int64
		weights []Weight
		want    []int64
	}{
		{"equal weights: smaller ID", 2, []Weight{IntWeight("c", 1), IntWeight("a", 1), IntWeight("b", 1)}, []int64{0, 1, 1}},
		// 10 cents over 1:3 leaves 0.5 and 0.5.
		{"equal remainders: larger weight", 10, []Weight{IntWeight("a", 1), IntWeight("b", 3)}, []int64{2, 8}},
		{"nothing to split", 0, []Weight{IntWeight("a", 1), IntWeight("b", 3)}, []int64{0, 0}},
		// The split that formance/ledger's own test pays 13/1/1 (design/style.md 1.10).
		{"80/8/12 of 15", 15, []Weight{IntWeight("a", 80), IntWeight("b", 8), IntWeight("c", 12)}, []int64{12, 1, 2}},
		{"the whole range", math.MaxInt64, []Weight{IntWeight("a", math.MaxInt64), IntWeight("b", math.MaxInt64)},
			[]int64{math.MaxInt64/2 + 1, math.MaxInt64 / 2}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := mustSplit(t, c.total, c.weights); !cmp.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// The Alabama paradox is a documented limit: with the classic 6:6:2, an eleventh cent takes one from
// the smallest.
func TestSplitAlabama(t *testing.T) {
	weights := []Weight{IntWeight("a", 6), IntWeight("b", 6), IntWeight("c", 2)}
	if ten, eleven := mustSplit(t, 10, weights), mustSplit(t, 11, weights); ten[2] != 2 || eleven[2] != 1 {
		t.Errorf("10 -> %v, 11 -> %v: the doc comment says otherwise", ten, eleven)
	}
}

func TestSplitErrors(t *testing.T) {
	one := []Weight{IntWeight("a", 1)}
	cases := []struct {
		name    string
		total   int64
		weights []Weight
		want    string
	}{
		{"negative total", -1, one, "negative amount -1"},
		{"no weights", 1, nil, "nothing to split among"},
		{"all zero", 1, []Weight{IntWeight("a", 0), IntWeight("b", 0)}, "all 2 weights are 0"},
		{"all zero, nothing to split", 0, []Weight{IntWeight("a", 0)}, "all 1 weights are 0"},
		{"negative weight", 1, []Weight{IntWeight("a", 1), IntWeight("b", -1)}, `"b" is negative`},
		{"twice", 1, []Weight{IntWeight("a", 1), IntWeight("a", 1)}, `"a" is listed twice`},
		{"no ID", 1, []Weight{IntWeight("", 1)}, "without an ID"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Split(c.total, c.weights); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	defer func() {
		if r := recover(); r == nil || !strings.HasPrefix(r.(string), "royalty: ") {
			t.Errorf("a nil weight must panic with the package's name, got %v", r)
		}
	}()
	Split(1, []Weight{{ID: "a"}})
}

func BenchmarkSplit(b *testing.B) {
	for _, n := range []int{100, 65536} {
		weights := make([]Weight, n)
		for i := range weights {
			weights[i] = Weight{strconv.Itoa(i), big.NewRat(int64(i*i%1000003+1), microCredit)}
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				mustSplit(b, 10837600, weights)
			}
		})
	}
}
