package royalty

import (
	"fmt"
	"math/big"
)

// Policy says where the part of the marked share goes that no concept was detected for.
type Policy string

const (
	// ToFloor pays it by works, with the floor: the default.
	ToFloor Policy = "floor"
	// Hold keeps it, for a number of quarters that the contract states.
	Hold Policy = "hold"
	// ProRata gives it to the detected concepts: the riskiest, it rewards whoever forges marks.
	ProRata Policy = "prorata"
)

// Rule is a way to divide N cents: Beta of them by works, the rest by credits, and Unattributed for what
// the credits leave over.
type Rule struct {
	// Name is a stable short name, such as "filigrane".
	Name string
	// Beta is the part of N paid by works whatever was detected. 0 <= Beta <= 1, not nil.
	Beta         *big.Rat
	Unattributed Policy
}

// PayToTrain pays everything by works: no detector needed, rewards stuffing.
func PayToTrain() Rule {
	return Rule{Name: "pay-to-train", Beta: big.NewRat(1, 1), Unattributed: ToFloor}
}

// Filigrane is the default: 30 % by works, the rest by credits, the unattributed part by works. A
// contract with another Beta uses Filigrane's other fields with its own.
func Filigrane() Rule {
	return Rule{Name: "filigrane", Beta: big.NewRat(3, 10), Unattributed: ToFloor}
}

// Marked pays everything by credits, the unattributed part too (market-centric): noise and forged
// marks are amplified by outputs / attributed outputs.
func Marked() Rule { return Rule{Name: "marked", Beta: new(big.Rat), Unattributed: ProRata} }

// MarkedHeld pays by credits only what was attributed and holds the rest.
func MarkedHeld() Rule { return Rule{Name: "marked-held", Beta: new(big.Rat), Unattributed: Hold} }

// Rules returns the four rules that [Compare] is meant to show side by side, in the order of
// design/royalty.md 4.11.
func Rules() []Rule { return []Rule{PayToTrain(), Filigrane(), Marked(), MarkedHeld()} }

// RuleNamed returns the rule of [Rules] with that name, or an error that lists the names.
func RuleNamed(name string) (Rule, error) {
	names := ""
	for _, r := range Rules() {
		if r.Name == name {
			return r, nil
		}
		names += " " + r.Name
	}
	return Rule{}, fmt.Errorf("royalty: no rule %q: choose one of%s", name, names)
}

func (r Rule) check() error {
	if r.Beta == nil {
		panic("royalty: rule without Beta")
	}
	if r.Beta.Sign() < 0 || r.Beta.Cmp(big.NewRat(1, 1)) > 0 {
		return fmt.Errorf("royalty: rule %q: beta %s is outside 0 to 1", r.Name, r.Beta.RatString())
	}
	switch r.Unattributed {
	case ToFloor, Hold, ProRata:
		return nil
	}
	return fmt.Errorf("royalty: rule %q: unattributed policy %q: choose floor, hold or prorata", r.Name, r.Unattributed)
}
