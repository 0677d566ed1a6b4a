package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/workspace"
	"github.com/filigrane/filigrane/mark"
	"github.com/filigrane/filigrane/royalty"
)

// royaltyCmd is "filigrane royalty".
type royaltyCmd struct {
	Split splitCmd `cmd:"" help:"Split an amount among rights holders by what was detected."`
}

// splitCmd is "filigrane royalty split".
type splitCmd struct {
	Detections   string  `required:"" placeholder:"FILE" help:"What 'filigrane detect' printed, one line per sampled output; '-' is standard input."`
	Catalogue    string  `short:"c" placeholder:"NAME[@V]" help:"The licensed catalogue; default is the latest version of the only one."`
	Amount       string  `required:"" placeholder:"10000.00EUR" help:"The amount to distribute, after fees, with two decimals and an optional currency."`
	Rule         string  `default:"filigrane" help:"filigrane (30 %% by works, the rest by credits), marked, marked-held or pay-to-train. Default ${default}."`
	Compare      bool    `help:"Show what each rule would pay, one line per rule."`
	Threshold    float64 `default:"6.3" placeholder:"T" help:"Evidence below this T earns nothing. Default ${default}, one chance in a thousand over all concepts."`
	FalseRate    string  `placeholder:"ALPHA" help:"The chance that an unmarked output credits one given concept, subtracted from every credit; default is the largest fwer of the detections divided by 65536 concepts."`
	Ownership    string  `placeholder:"FILE" help:"CSV with the columns owner, payee, part (0.5 or 50%%) for owners who are paid through others; the rest of an owner's parts waits unclaimed. Owners not listed are paid directly."`
	CreditCopies bool    `help:"Credit pictures too that are copies of delivered files. By default they are left out of the sample: they are no outputs of a model."`
}

// Help gives an example.
func (splitCmd) Help() string {
	return `Every line of the split has its formula and numbers, and the lines add up to the amount to the cent. Concepts are credited where their own mark was read. Whoever has no rights holder in the catalogue is paid as creator; works of neither go to "unclaimed".

Example: filigrane detect outputs/ --fwer 1e-3 > outputs.jsonl; filigrane royalty split --detections outputs.jsonl --amount 10000.00EUR --compare`
}

// amount is a sum of money in hundredths.
type amount struct {
	cents    int64
	currency string
}

var amountForm = regexp.MustCompile(`^([0-9]{1,15})(?:\.([0-9]{2}))?\s?([A-Z]{3})?$`)

// parseAmount reads "10000.00EUR", "10000.00" or "10000 EUR".
func parseAmount(text string) (amount, error) {
	m := amountForm.FindStringSubmatch(text)
	if m == nil {
		return amount{}, badInput("--amount %q: write it as 10000.00EUR, with two decimals or none and without separators", text)
	}
	cents, err := strconv.ParseInt(m[1]+(m[2] + "00")[:2], 10, 64)
	if err != nil {
		return amount{}, badInput("--amount %q is too large", text)
	}
	return amount{cents, m[3]}, nil
}

// text writes cents as a plain decimal.
func text(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// splitJSON is a split under one rule.
type splitJSON struct {
	Rule           string       `json:"rule"`
	Catalogue      string       `json:"catalogue"`
	Currency       string       `json:"currency,omitempty"`
	Amount         string       `json:"amount"`
	TotalCents     int64        `json:"total_cents"`
	Outputs        string       `json:"outputs"`
	Unattributed   string       `json:"unattributed"`
	Copies         int          `json:"copies"` // left out, unless --credit-copies
	Credits        []creditJSON `json:"credits"`
	Payees         []payeeJSON  `json:"payees"`
	UnclaimedCents int64        `json:"unclaimed_cents"`
	HeldCents      int64        `json:"held_cents"`
	Lines          []lineJSON   `json:"lines"`
}

type creditJSON struct {
	Concept   string `json:"concept"`
	Raw       string `json:"raw"`
	Corrected string `json:"corrected"`
}

type payeeJSON struct {
	Payee  string `json:"payee"`
	Cents  int64  `json:"cents"`
	Amount string `json:"amount"`
}

type lineJSON struct {
	Line    string `json:"line"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Cents   int64  `json:"cents"`
	Amount  string `json:"amount"`
	Formula string `json:"formula"`
	Inputs  string `json:"inputs"`
}

// Run splits.
func (c *splitCmd) Run(s *session) error {
	sum, err := parseAmount(c.Amount)
	if err != nil {
		return err
	}
	rule, err := royalty.RuleNamed(c.Rule)
	if err != nil {
		return inputError{err}
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	cat, err := r.catalogue(s, c.Catalogue)
	if err != nil {
		return err
	}
	sample, err := c.sample(s, cat)
	if err != nil {
		return err
	}
	table, err := royalty.Credits(sample.detections, royalty.CreditRule{PayThreshold: c.Threshold, FalsePositiveRate: sample.alpha})
	if err != nil {
		return inputError{err}
	}
	owners, err := c.ownership(cat)
	if err != nil {
		return err
	}
	in := royalty.InputOf(sum.cents, rule, table, holdings(cat), owners)
	rules := []royalty.Rule{rule}
	if c.Compare {
		rules = royalty.Rules()
	}
	for _, rule := range rules {
		in.Rule = rule
		d, err := royalty.Distribute(in)
		if err != nil {
			return inputError{err}
		}
		if err := d.Check(); err != nil {
			return err
		}
		out := splitReport(d, table, sum)
		out.Catalogue, out.Copies = refOf(cat).String(), sample.copies
		if err := s.emit(out); err != nil {
			return err
		}
	}
	return nil
}

// splitReport puts a distribution into JSON.
func splitReport(d royalty.Distribution, table royalty.CreditTable, sum amount) splitJSON {
	out := splitJSON{Rule: d.Rule.Name, Currency: sum.currency, Amount: text(sum.cents), TotalCents: sum.cents,
		Outputs: table.Outputs.FloatString(6), Unattributed: table.Unattributed.FloatString(6),
		Credits: []creditJSON{}, Payees: []payeeJSON{}, UnclaimedCents: d.UnclaimedCents, HeldCents: d.HeldCents}
	for _, c := range table.Credits {
		out.Credits = append(out.Credits, creditJSON{c.Concept, c.Raw.FloatString(6), c.Corrected.FloatString(6)})
	}
	for _, p := range d.Payees {
		out.Payees = append(out.Payees, payeeJSON{p.ID, p.Cents, text(p.Cents)})
	}
	var walk func(n royalty.Node)
	walk = func(n royalty.Node) {
		out.Lines = append(out.Lines, lineJSON{n.ID, string(n.Kind), n.Name, n.Cents, text(n.Cents), n.Formula, n.Inputs})
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(d.Pot)
	for _, g := range d.Gross {
		walk(g)
	}
	return out
}

// sample is what detection said about the sampled outputs.
type sample struct {
	detections []royalty.Detection
	alpha      *big.Rat
	copies     int
}

// sample reads the lines of detect. Lines of errors and skipped files are no outputs and are counted aloud;
// concepts that the catalogue does not have are left out aloud too.
func (c *splitCmd) sample(s *session, cat *workspace.Catalogue) (*sample, error) {
	lines, err := readDetections(s, c.Detections)
	if err != nil {
		return nil, err
	}
	out := &sample{}
	owner := conceptOwners(cat)
	broken, foreign, fwer := 0, 0, 0.0
	for _, l := range lines {
		switch {
		case l.Error != nil || l.Skipped != nil:
			broken++
			continue
		case len(l.Files) > 0:
			return nil, badInput("--detections: a line about %d pictures read together; royalties need one line per output: run detect without --together", len(l.Files))
		case l.Work != nil && !c.CreditCopies:
			out.copies++
			continue
		}
		fwer = max(fwer, l.FWER)
		d := royalty.Detection{Output: l.File}
		for _, f := range l.Concepts {
			o, known := owner[f.ID]
			if f.Via == viaRead && !known {
				foreign++
			}
			if f.Via == viaRead && known || f.Via == viaWork && known && c.CreditCopies {
				d.Concepts = append(d.Concepts, royalty.Evidence{Concept: f.ID, Owner: o, T: f.T})
			}
		}
		out.detections = append(out.detections, d)
	}
	for _, n := range []struct {
		count int
		what  string
	}{{broken, "lines could not be read by detect and are no outputs"}, {foreign, "detections are of concepts outside this catalogue and earn nothing"},
		{out.copies, "pictures are copies of delivered files and were left out; --credit-copies takes them in"}} {
		if n.count > 0 {
			s.note("%d %s", n.count, n.what)
		}
	}
	if len(out.detections) == 0 {
		s.note("no output was sampled: everything is paid as if nothing had been detected")
	}
	out.alpha, err = c.alpha(fwer)
	return out, err
}

// alpha is the rate at which chance credits one concept.
func (c *splitCmd) alpha(fwer float64) (*big.Rat, error) {
	if c.FalseRate == "" {
		r := new(big.Rat).SetFloat64(fwer)
		return r.Quo(r, big.NewRat(mark.MaxConcepts, 1)), nil
	}
	r, ok := new(big.Rat).SetString(c.FalseRate)
	if !ok {
		return nil, badInput("--false-rate %q: write a number such as 0.001", c.FalseRate)
	}
	return r, nil
}

func readDetections(s *session, name string) ([]detection, error) {
	in := s.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, badInput("--detections: %w", err)
		}
		defer f.Close()
		in = f
	}
	var lines []detection
	dec := json.NewDecoder(bufio.NewReader(in))
	for n := 1; ; n++ {
		var d detection
		err := dec.Decode(&d)
		if err == io.EOF {
			return lines, nil
		}
		if err != nil {
			return nil, badInput("--detections %s: value %d: %w; give what 'filigrane detect' printed", name, n, err)
		}
		known := d.Verdict == detect.Attributed || d.Verdict == detect.Absent || d.Verdict == detect.Ambiguous
		if !known && d.Error == nil && d.Skipped == nil {
			return nil, badInput("--detections %s: value %d has no verdict; give what 'filigrane detect' printed", name, n)
		}
		lines = append(lines, d)
	}
}

// ownerOf says who is paid for a work.
func ownerOf(w concepts.Work) string {
	if w.RightsHolder != "" {
		return w.RightsHolder
	}
	return w.Creator
}

// conceptOwners gives every concept of a catalogue its owner: that of all its works, or "" where they have
// several, so that the concept stands for itself.
func conceptOwners(cat *workspace.Catalogue) map[string]string {
	owners := map[string]string{}
	for _, c := range cat.Catalogue().Concepts {
		owner := ""
		for i, id := range cat.WorksOf(c.ID) {
			w, _ := cat.Work(id)
			if i == 0 {
				owner = ownerOf(w)
			} else if owner != ownerOf(w) {
				owner = ""
				break
			}
		}
		owners[string(c.ID)] = owner
	}
	return owners
}

// holdings counts works by owner and concepts.
func holdings(cat *workspace.Catalogue) []royalty.Holding {
	count := map[string]*royalty.Holding{}
	for _, w := range cat.Catalogue().Works {
		h := royalty.Holding{Owner: ownerOf(w)}
		for _, id := range cat.ConceptsOf(w.ID) {
			h.Concepts = append(h.Concepts, string(id))
		}
		key := h.Owner + "\x00" + strings.Join(h.Concepts, "\x00")
		if count[key] == nil {
			count[key] = &h
		}
		count[key].Works++
	}
	var list []royalty.Holding
	for _, h := range count {
		list = append(list, *h)
	}
	sort.Slice(list, func(i, k int) bool {
		if list[i].Owner != list[k].Owner {
			return list[i].Owner < list[k].Owner
		}
		return strings.Join(list[i].Concepts, "\x00") < strings.Join(list[k].Concepts, "\x00")
	})
	return list
}

// ownership gives who is paid for every owner: the table's payees, else the owner.
func (c *splitCmd) ownership(cat *workspace.Catalogue) ([]royalty.Ownership, error) {
	shares := map[string][]royalty.Share{}
	if c.Ownership != "" {
		data, err := os.ReadFile(c.Ownership)
		if err == nil {
			shares, err = parseOwnership(data)
		}
		if err != nil {
			return nil, badInput("--ownership %s: %w", c.Ownership, err)
		}
	}
	var list []royalty.Ownership
	done := map[string]bool{"": true}
	for _, w := range cat.Catalogue().Works {
		o := ownerOf(w)
		if done[o] {
			continue
		}
		done[o] = true
		parts, ok := shares[o]
		if !ok {
			parts = []royalty.Share{{Payee: o, Part: big.NewRat(1, 1)}}
		}
		list = append(list, royalty.Ownership{Owner: o, Shares: parts})
	}
	return list, nil
}

// parseOwnership reads a table with the columns owner, payee, part.
func parseOwnership(data []byte) (map[string][]royalty.Share, error) {
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 || strings.Join(rows[0], ",") != "owner,payee,part" {
		return nil, errors.New("the first line must be owner,payee,part")
	}
	shares := map[string][]royalty.Share{}
	for i, row := range rows[1:] {
		number, percent := strings.CutSuffix(strings.TrimSpace(row[2]), "%")
		part, ok := new(big.Rat).SetString(strings.TrimSpace(number))
		if !ok || row[0] == "" || row[1] == "" {
			return nil, fmt.Errorf("line %d: give owner, payee and a part such as 0.5 or 50%%", i+2)
		}
		if percent {
			part.Quo(part, big.NewRat(100, 1))
		}
		shares[row[0]] = append(shares[row[0]], royalty.Share{Payee: row[1], Part: part})
	}
	return shares, nil
}
