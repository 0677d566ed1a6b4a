package royalty

import (
	"fmt"
	"math/big"
	"sort"
	"strings"
)

// NodeKind says what a line of a distribution stands for.
type NodeKind string

// The kinds of lines.
const (
	PotNode     NodeKind = "pot"     // N
	FloorNode   NodeKind = "floor"   // what is paid by works
	GroupNode   NodeKind = "group"   // several concepts of one registrant
	ConceptNode NodeKind = "concept" // what is paid for one concept
	HeldNode    NodeKind = "held"    // what the rule keeps
	OwnerNode   NodeKind = "owner"   // an owner's part of a floor or concept
	GrossNode   NodeKind = "gross"   // all lines of an owner
	PayeeNode   NodeKind = "payee"   // a payee's part of an owner's gross
)

// Node is one line of a distribution: an amount, how it was computed, and what it was divided into.
type Node struct {
	Kind NodeKind
	// ID is the path of the line: "pot/floor/H1", "pot/concept/semantic/lakes/H2". Unique as long as
	// concepts have the form kind/slug and owners hold no slash.
	ID string
	// Name is the owner, concept, registrant or payee; else the kind.
	Name  string
	Cents int64
	// Formula says how the amount comes about in words, Inputs the same with its numbers. For reading;
	// no program should parse them.
	Formula, Inputs string
	// Children divide Cents completely, in the order of their IDs; none for an end of the tree.
	Children []Node
}

// Total is an amount under one name.
type Total struct {
	ID    string
	Cents int64
}

// Distribution is a pot divided. [Distribution.Check] holds for every one that [Distribute] returns.
type Distribution struct {
	Rule Rule
	// Pot is the tree from N to the owners. Its children are "pot/floor", one per concept group, and
	// "pot/held" where the rule holds money.
	Pot Node
	// Gross is one tree per owner who gets anything: the owner's lines of Pot summed, divided among payees.
	Gross []Node
	// Payees are the sums to pay, sorted by payee, without Unclaimed.
	Payees []Total
	// UnclaimedCents waits for its owner, HeldCents for the rule's term.
	// TotalCents = sum of Payees + UnclaimedCents + HeldCents.
	UnclaimedCents, HeldCents int64
}

// Distribute divides in.TotalCents among payees by in.Rule and returns every step.
//
// N is split into Beta (by works) and the marked share U (by credits). U is split among concept groups
// in proportion to corrected credits; with the policies floor and hold the unattributed outputs take
// part in that split, and their money joins the floor or is held. Under prorata they do not, unless
// nothing at all was credited: then U joins the floor. The floor goes to owners by works, each work
// counting once; a concept's money goes to the owners of its works, by works; an owner's gross goes to
// payees by their parts. With no credits, or with Beta = 1, rules that do not hold money pay exactly
// what [PayToTrain] pays. Source: design/royalty.md 4.4 and 4.10.
//
// It returns an error that names the owner, concept or payee for a negative amount, weight or part,
// an empty, reserved or repeated identifier, parts above 100 %, a catalogue without works, or credits
// for a concept that no work belongs to.
func Distribute(in Input) (Distribution, error) {
	b, err := newBook(in)
	if err != nil {
		return Distribution{}, err
	}
	m, err := b.shareMarked()
	if err != nil {
		return Distribution{}, err
	}
	d := Distribution{Rule: in.Rule, Pot: Node{Kind: PotNode, ID: "pot", Name: "pot", Cents: b.total,
		Formula: "N = floor + marked share (+ held)", Inputs: fmt.Sprintf("N = %s; rule %s", cents(b.total), b.rule.Name)}}
	d.Pot.Children = append(d.Pot.Children, b.floorNode(m))
	for i, g := range b.groups {
		node, err := b.groupNode(g, m, m.groups[i])
		if err != nil {
			return Distribution{}, err
		}
		d.Pot.Children = append(d.Pot.Children, node)
	}
	if m.held > 0 {
		d.HeldCents = m.held
		d.Pot.Children = append(d.Pot.Children, Node{Kind: HeldNode, ID: "pot/held", Name: "held", Cents: m.held,
			Formula: "unattributed part of U, held", Inputs: b.unattributedText(m, m.held)})
	}
	if err := d.pay(b); err != nil {
		return Distribution{}, err
	}
	if err := d.Check(); err != nil {
		panic(err.Error()) // conservation is this function's promise
	}
	return d, nil
}

// marked is the first division of a pot: N = base + U, U = groups + loose, floor = base + loose or
// held = loose.
type marked struct {
	base, u     int64
	groups      []int64 // in the order of book.groups
	loose       int64
	floor, held int64
	divisor     *big.Rat // what credits are divided by
}

func (b *book) shareMarked() (marked, error) {
	rest := new(big.Rat).Sub(big.NewRat(1, 1), b.rule.Beta)
	parts, err := Split(b.total, []Weight{{ID: "floor", Value: b.rule.Beta}, {ID: "marked", Value: rest}})
	if err != nil {
		return marked{}, err
	}
	m := marked{base: parts[0], u: parts[1], groups: make([]int64, len(b.groups)), divisor: new(big.Rat).Set(b.attributed)}
	weights := make([]Weight, 0, len(b.groups)+1)
	for _, g := range b.groups {
		weights = append(weights, Weight{ID: g.id, Value: g.credit})
	}
	if b.rule.Unattributed != ProRata {
		weights = append(weights, Weight{ID: "unattributed", Value: b.unattributed})
		m.divisor.Add(m.divisor, b.unattributed)
	}
	if m.divisor.Sign() == 0 { // nothing credited, or nothing sampled
		m.loose = m.u
	} else {
		shares, err := Split(m.u, weights)
		if err != nil {
			return marked{}, err
		}
		copy(m.groups, shares)
		if len(shares) > len(m.groups) {
			m.loose = shares[len(m.groups)]
		}
	}
	if b.rule.Unattributed == Hold {
		m.floor, m.held = m.base, m.loose
	} else {
		m.floor = m.base + m.loose
	}
	return m, nil
}

func (b *book) floorNode(m marked) Node {
	n := Node{Kind: FloorNode, ID: "pot/floor", Name: "floor", Cents: m.floor, Formula: "beta x N",
		Inputs: fmt.Sprintf("%s x %s = %s", ratText(b.rule.Beta), cents(b.total), cents(m.base))}
	if m.held == 0 && m.loose > 0 {
		n.Formula = "beta x N + unattributed part of U"
		n.Inputs += "; " + b.unattributedText(m, m.loose)
	}
	n.Children = byWorks(n, b.byOwner, "floor x works / all works")
	return n
}

func (b *book) unattributedText(m marked, amount int64) string {
	if m.divisor.Sign() == 0 {
		return fmt.Sprintf("nothing credited: U = %s", cents(amount))
	}
	return fmt.Sprintf("U %s x %s / %s outputs = %s", cents(m.u), ratText(b.unattributed), ratText(m.divisor), cents(amount))
}

// groupNode pays one concept group. A group of one concept is that concept's line.
func (b *book) groupNode(g group, m marked, amount int64) (Node, error) {
	what := "outputs"
	if b.rule.Unattributed == ProRata {
		what = "attributed outputs"
	}
	n := Node{Kind: GroupNode, ID: "pot/" + g.id, Name: strings.TrimPrefix(g.id, "owner/"), Cents: amount, Formula: "U x credit / " + what,
		Inputs: exactText(m.u, g.credit, m.divisor, amount)}
	if len(g.concepts) == 1 {
		n.Kind, n.ID, n.Name = ConceptNode, "pot/concept/"+g.concepts[0].ID, g.concepts[0].ID
		n.Children = byWorks(n, b.byConcept[n.Name], "concept x works / works of the concept")
		return n, nil
	}
	if amount == 0 {
		return n, nil
	}
	parts, err := Split(amount, g.concepts)
	if err != nil {
		return Node{}, err
	}
	for i, c := range g.concepts {
		child := Node{Kind: ConceptNode, ID: "pot/concept/" + c.ID, Name: c.ID, Cents: parts[i], Formula: "group x credit / credits of the group",
			Inputs: exactText(amount, c.Value, g.credit, parts[i])}
		child.Children = byWorks(child, b.byConcept[c.ID], "concept x works / works of the concept")
		n.Children = append(n.Children, child)
	}
	return n, nil
}

// byWorks divides a node among owners by works. Counts are positive by construction, so Split cannot
// fail; a node of no cents has no children.
func byWorks(parent Node, owners []Weight, formula string) []Node {
	if parent.Cents == 0 {
		return nil
	}
	parts, err := Split(parent.Cents, owners)
	if err != nil {
		panic(err.Error())
	}
	works := new(big.Rat)
	for _, o := range owners {
		works.Add(works, o.Value)
	}
	nodes := make([]Node, len(owners))
	for i, o := range owners {
		nodes[i] = Node{Kind: OwnerNode, ID: parent.ID + "/" + o.ID, Name: o.ID, Cents: parts[i], Formula: formula,
			Inputs: exactText(parent.Cents, o.Value, works, parts[i])}
	}
	return nodes
}

// pay sums the owners' lines and divides each owner's gross among payees.
func (d *Distribution) pay(b *book) error {
	gross, lines := map[string]int64{}, map[string]int{}
	for _, n := range linesOf(OwnerNode, d.Pot, nil) {
		if n.Cents > 0 {
			gross[n.Name] += n.Cents
			lines[n.Name]++
		}
	}
	totals := map[string]int64{}
	for _, owner := range b.byOwner {
		amount := gross[owner.ID]
		if amount == 0 {
			continue
		}
		n := Node{Kind: GrossNode, ID: "gross/" + owner.ID, Name: owner.ID, Cents: amount, Formula: "sum of the owner's lines in the pot",
			Inputs: fmt.Sprintf("%d lines", lines[owner.ID])}
		shares := b.payees[owner.ID]
		if shares == nil {
			shares = []Share{{Payee: Unclaimed, Part: big.NewRat(1, 1)}}
		}
		weights := make([]Weight, len(shares))
		for i, s := range shares {
			weights[i] = Weight{ID: s.Payee, Value: s.Part}
		}
		parts, err := Split(amount, weights)
		if err != nil {
			return err
		}
		for i, s := range shares {
			n.Children = append(n.Children, Node{Kind: PayeeNode, ID: n.ID + "/" + s.Payee, Name: s.Payee, Cents: parts[i],
				Formula: "gross x ownership part", Inputs: exactText(amount, s.Part, big.NewRat(1, 1), parts[i])})
			totals[s.Payee] += parts[i]
		}
		d.Gross = append(d.Gross, n)
	}
	d.UnclaimedCents = totals[Unclaimed]
	delete(totals, Unclaimed)
	for id, amount := range totals {
		d.Payees = append(d.Payees, Total{ID: id, Cents: amount})
	}
	sort.Slice(d.Payees, func(i, j int) bool { return d.Payees[i].ID < d.Payees[j].ID })
	return nil
}

// linesOf appends the lines of one kind below n, in order.
func linesOf(kind NodeKind, n Node, lines []Node) []Node {
	for _, c := range n.Children {
		if c.Kind == kind {
			lines = append(lines, c)
		}
		lines = linesOf(kind, c, lines)
	}
	return lines
}

// Check verifies that every node is divided completely, that no amount is negative, that each owner's
// gross is the sum of the owner's lines, and that payees, unclaimed and held make up the pot. It
// returns an error that names the first line that does not add up.
func (d Distribution) Check() error {
	gross := map[string]int64{}
	for _, n := range linesOf(OwnerNode, d.Pot, nil) {
		gross[n.Name] += n.Cents
	}
	for _, n := range append([]Node{d.Pot}, d.Gross...) {
		if err := n.check(); err != nil {
			return err
		}
		if n.Kind == GrossNode && n.Cents != gross[n.Name] {
			return fmt.Errorf("royalty: line %s is %s but the owner's lines in the pot sum to %s", n.ID, cents(n.Cents), cents(gross[n.Name]))
		}
	}
	sum := d.UnclaimedCents + d.HeldCents
	for _, p := range d.Payees {
		sum += p.Cents
	}
	if sum != d.Pot.Cents {
		return fmt.Errorf("royalty: payees, unclaimed and held sum to %s but the pot is %s", cents(sum), cents(d.Pot.Cents))
	}
	return nil
}

func (n Node) check() error {
	if n.Cents < 0 {
		return fmt.Errorf("royalty: line %s is negative: %s", n.ID, cents(n.Cents))
	}
	if len(n.Children) == 0 {
		return nil
	}
	sum := int64(0)
	for _, c := range n.Children {
		if err := c.check(); err != nil {
			return err
		}
		sum += c.Cents
	}
	if sum != n.Cents {
		return fmt.Errorf("royalty: line %s is %s but its children sum to %s", n.ID, cents(n.Cents), cents(sum))
	}
	return nil
}
