package royalty

import (
	"fmt"
	"math"
	"math/big"
	"sort"
)

// Holding is a number of works of one owner that belong to the same concepts. The holdings of a
// catalogue count every work once; how finely they are cut changes nothing.
type Holding struct {
	// Owner is the rights holder. Empty: not known, the money goes to [Unclaimed].
	Owner string
	// Concepts are the concepts of each of these works, in any order; empty for works in none.
	Concepts []string
	// Works is how many, at least 1.
	Works int64
}

// Share is a part of an owner's works that one payee is paid for: 0 < Part <= 1, exact.
type Share struct {
	Payee string
	Part  *big.Rat
}

// Ownership says who is paid for an owner, on the last day of the period. What the parts leave to 1
// goes to [Unclaimed], never to the other payees; so does everything of an owner without an Ownership.
type Ownership struct {
	Owner  string
	Shares []Share
}

// Input is one pot to distribute.
type Input struct {
	// TotalCents is N: the amount of one service and period after fee and reserve, at least 0.
	TotalCents int64
	Rule       Rule
	// Credits as [Credits] or a pooled estimator gives them; only Corrected is used. In any order.
	Credits []Credit
	// Unattributed is the number of outputs, on the scale of the credits, that no concept was credited
	// for. Nil means 0.
	Unattributed *big.Rat
	// Holdings is the licensed catalogue, at least one work.
	Holdings  []Holding
	Ownership []Ownership
}

// InputOf returns the input that pays a table of credits.
func InputOf(totalCents int64, rule Rule, table CreditTable, holdings []Holding, ownership []Ownership) Input {
	return Input{TotalCents: totalCents, Rule: rule, Credits: table.Credits, Unattributed: table.Unattributed,
		Holdings: holdings, Ownership: ownership}
}

// group is a set of concepts paid together: those of one registrant, or one concept that stands for itself.
type group struct {
	id       string
	credit   *big.Rat
	concepts []Weight
}

// book is a checked input, ready to be divided. All lists are sorted by ID.
type book struct {
	total        int64
	rule         Rule
	groups       []group
	attributed   *big.Rat
	unattributed *big.Rat
	works        int64
	byOwner      []Weight
	byConcept    map[string][]Weight // concept -> works per owner
	conceptFloor []Weight            // works per concept; a work of k concepts counts 1/k in each
	noConcept    int64               // works in no concept
	payees       map[string][]Share
}

func newBook(in Input) (*book, error) {
	if in.TotalCents < 0 {
		return nil, fmt.Errorf("royalty: the distributable amount is negative (%s): enter a correction as its own entry", cents(in.TotalCents))
	}
	if err := in.Rule.check(); err != nil {
		return nil, err
	}
	b := &book{total: in.TotalCents, rule: in.Rule, unattributed: in.Unattributed, attributed: new(big.Rat)}
	if b.unattributed == nil {
		b.unattributed = new(big.Rat)
	}
	if b.unattributed.Sign() < 0 {
		return nil, fmt.Errorf("royalty: unattributed outputs %s are negative: credits exceed the sample", b.unattributed.RatString())
	}
	if err := b.countWorks(in.Holdings); err != nil {
		return nil, err
	}
	if err := b.groupCredits(in.Credits); err != nil {
		return nil, err
	}
	return b, b.readOwnership(in.Ownership)
}

func (b *book) countWorks(holdings []Holding) error {
	owners, concepts, shares := map[string]int64{}, map[string]map[string]int64{}, map[string]*big.Rat{}
	for i, h := range holdings {
		if h.Works < 1 || h.Works > math.MaxInt64-b.works {
			return fmt.Errorf("royalty: holding %d of owner %q: %d works: give at least 1, and not more than can be counted", i, h.Owner, h.Works)
		}
		if h.Owner == Unclaimed {
			return fmt.Errorf("royalty: holding %d: %q is reserved: leave the owner empty if it is not known", i, Unclaimed)
		}
		owner := h.Owner
		if owner == "" {
			owner = Unclaimed
		}
		b.works += h.Works
		owners[owner] += h.Works
		if len(h.Concepts) == 0 {
			b.noConcept += h.Works
		}
		seen := map[string]bool{}
		for _, c := range h.Concepts {
			if c == "" || seen[c] {
				return fmt.Errorf("royalty: holding %d of owner %q: concept %q is empty or listed twice", i, h.Owner, c)
			}
			seen[c] = true
			if concepts[c] == nil {
				concepts[c], shares[c] = map[string]int64{}, new(big.Rat)
			}
			concepts[c][owner] += h.Works
			shares[c].Add(shares[c], big.NewRat(h.Works, int64(len(h.Concepts))))
		}
	}
	if b.works == 0 {
		return fmt.Errorf("royalty: no works to pay: give the holdings of the licensed catalogue")
	}
	b.byOwner, b.byConcept = sortedCounts(owners), make(map[string][]Weight, len(concepts))
	for c, owners := range concepts {
		b.byConcept[c] = sortedCounts(owners)
		b.conceptFloor = append(b.conceptFloor, Weight{ID: c, Value: shares[c]})
	}
	sort.Slice(b.conceptFloor, func(i, j int) bool { return b.conceptFloor[i].ID < b.conceptFloor[j].ID })
	return nil
}

func sortedCounts(counts map[string]int64) []Weight {
	weights := make([]Weight, 0, len(counts))
	for id, n := range counts {
		weights = append(weights, IntWeight(id, n))
	}
	sort.Slice(weights, func(i, j int) bool { return weights[i].ID < weights[j].ID })
	return weights
}

func (b *book) groupCredits(credits []Credit) error {
	sorted := append([]Credit(nil), credits...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Concept < sorted[j].Concept })
	at := map[string]int{}
	for i, c := range sorted {
		switch {
		case c.Corrected == nil:
			panic(fmt.Sprintf("royalty: credit of concept %q has no Corrected value", c.Concept))
		case c.Concept == "" || i > 0 && sorted[i-1].Concept == c.Concept:
			return fmt.Errorf("royalty: credit of concept %q: the concept is empty or listed twice", c.Concept)
		case c.Corrected.Sign() < 0:
			return fmt.Errorf("royalty: credit of concept %q is negative (%s)", c.Concept, c.Corrected.RatString())
		case b.byConcept[c.Concept] == nil:
			return fmt.Errorf("royalty: concept %q has credits but no works in the holdings: distribute over the catalogue version that was licensed", c.Concept)
		}
		id := groupID(c.Owner, c.Concept)
		k, ok := at[id]
		if !ok {
			k, at[id] = len(b.groups), len(b.groups)
			b.groups = append(b.groups, group{id: id, credit: new(big.Rat)})
		}
		g := &b.groups[k]
		g.credit.Add(g.credit, c.Corrected)
		g.concepts = append(g.concepts, Weight{ID: c.Concept, Value: c.Corrected})
		b.attributed.Add(b.attributed, c.Corrected)
	}
	sort.Slice(b.groups, func(i, j int) bool { return b.groups[i].id < b.groups[j].id })
	return nil
}

func (b *book) readOwnership(list []Ownership) error {
	b.payees = make(map[string][]Share, len(list))
	for _, o := range list {
		if o.Owner == "" || o.Owner == Unclaimed || b.payees[o.Owner] != nil {
			return fmt.Errorf("royalty: ownership of %q: the owner is empty, reserved or listed twice", o.Owner)
		}
		left := big.NewRat(1, 1)
		seen := map[string]bool{}
		for _, s := range o.Shares {
			if s.Part == nil {
				panic(fmt.Sprintf("royalty: ownership of %q: payee %q has no part", o.Owner, s.Payee))
			}
			if s.Payee == "" || s.Payee == Unclaimed || seen[s.Payee] {
				return fmt.Errorf("royalty: ownership of %q: payee %q is empty, reserved or listed twice", o.Owner, s.Payee)
			}
			seen[s.Payee] = true
			if s.Part.Sign() <= 0 || left.Sub(left, s.Part).Sign() < 0 {
				return fmt.Errorf("royalty: ownership of %q: the part %s of payee %q is not positive or brings the sum above 100 %%: correct the register",
					o.Owner, s.Part.RatString(), s.Payee)
			}
		}
		shares := append([]Share{}, o.Shares...)
		if left.Sign() > 0 {
			shares = append(shares, Share{Payee: Unclaimed, Part: left})
		}
		sort.Slice(shares, func(i, j int) bool { return shares[i].Payee < shares[j].Payee })
		b.payees[o.Owner] = shares
	}
	return nil
}
