package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/workspace"
)

// What a licence says where no flag does.
var (
	anywhere  = []string{"world"}
	allStages = []string{"fine-tuning", "pre-training"}
	noEnd     = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// licenceID is the id of the licence in the registry. House use needs no contract: there is one such licence for each catalogue
// and purpose, while the key's path says "internal" for all.
func (c *deliverRunCmd) licenceID(catalogue string) string {
	if c.Licence == noLicence {
		return noLicence + "/" + catalogue + "/" + c.Purpose
	}
	return c.Licence
}

// licence gives the licence of a delivery: the one there is, if the flags agree with it, else the one the flags describe,
// without a grantor.
func (c *deliverRunCmd) licence(s *session, r *records, ref registry.Ref, now time.Time) (registry.Licence, error) {
	want, given, err := c.terms(c.licenceID(ref.Name), c.Purpose, ref, now)
	if err != nil {
		return want, err
	}
	is, err := r.reg.Licence(s.ctx, r.scope, want.ID)
	if errors.Is(err, registry.ErrNotFound) {
		return want, nil
	}
	if err != nil {
		return is, err
	}
	return is, agree(is, want, given)
}

// terms makes a licence of the flags. given names those that were given.
func (c *termsFlags) terms(id, purpose string, ref registry.Ref, now time.Time) (l registry.Licence, given map[string]bool, err error) {
	days, err := c.days()
	if err != nil {
		return l, nil, err
	}
	l = registry.Licence{ID: id, Party: c.Recipient, Purpose: purpose, Stages: sortedWords(c.Stage), Territory: sortedWords(strings.Split(c.Territory, ",")), Start: days.from, Catalogue: ref}
	given = map[string]bool{"recipient": l.Party != "", "stages": l.Stages != nil, "territory": l.Territory != nil, "first day": c.From != "", "last day": c.Until != ""}
	if l.Stages == nil {
		l.Stages = allStages
	}
	if l.Territory == nil {
		l.Territory = anywhere
	}
	if l.Start.IsZero() {
		l.Start = now.UTC().Truncate(24 * time.Hour)
	}
	if l.End = noEnd; !days.until.IsZero() {
		l.End = days.until.AddDate(0, 0, 1) // the first moment without a licence
	}
	if !l.Start.Before(l.End) {
		return l, nil, badInput("--until %s: the licence would end before it begins on %s", c.Until, l.Start.Format(time.DateOnly))
	}
	return l, given, nil
}

// sortedWords gives words without space around them, sorted, each once; nil for none.
func sortedWords(list []string) (words []string) {
	for _, w := range list {
		if w = strings.TrimSpace(w); w != "" {
			words = append(words, w)
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// agree returns an error that says in what a licence is not the one that flags ask for.
func agree(is, want registry.Licence, given map[string]bool) error {
	day := func(t time.Time) string { return t.Format(time.DateOnly) }
	var differs []string
	for _, f := range []struct{ name, is, want string }{
		{"purpose", is.Purpose, want.Purpose}, {"catalogue", is.Catalogue.Name, want.Catalogue.Name}, {"recipient", is.Party, want.Party}, {"licensee", is.Licensee, want.Licensee},
		{"stages", strings.Join(is.Stages, ", "), strings.Join(want.Stages, ", ")}, {"territory", strings.Join(is.Territory, ", "), strings.Join(want.Territory, ", ")},
		{"first day", day(is.Start), day(want.Start)}, {"last day", day(is.End.AddDate(0, 0, -1)), day(want.End.AddDate(0, 0, -1))},
	} {
		if always := f.name == "purpose" || f.name == "catalogue"; (always || given[f.name]) && f.is != f.want {
			differs = append(differs, fmt.Sprintf("its %s is %s, not %s", f.name, cmp.Or(f.is, "not named"), f.want))
		}
	}
	if len(differs) == 0 && want.Catalogue.Version < is.Catalogue.Version {
		differs = append(differs, fmt.Sprintf("it covers %v and later versions, not %v", is.Catalogue, want.Catalogue))
	}
	if len(differs) > 0 {
		return badInput("licence %s is there with other terms: %s; a licence never changes: leave the flags out, or make another one", is.ID, strings.Join(differs, "; "))
	}
	return nil
}

// licenceCmd is "filigrane licence".
type licenceCmd struct {
	Add    licenceAddCmd    `cmd:"" help:"Record a licence."`
	List   licenceListCmd   `cmd:"" help:"List the licences, one a line."`
	Show   licenceShowCmd   `cmd:"" help:"Show a licence and the deliveries under it."`
	Revoke licenceRevokeCmd `cmd:"" help:"End a licence before its time."`
}

// Help explains licences.
func (licenceCmd) Help() string {
	return `A licence says what somebody may do with a catalogue from a version on, and when. It never changes; 'revoke' ends it. 'filigrane deliver --licence ID' makes one by itself where there is none.

Example: filigrane licence add acme-2026 --catalogue spring --recipient "Acme" --stage fine-tuning --territory FR,DE --until 2027-12-31`
}

// licenceJSON is a licence as it is printed.
type licenceJSON struct {
	ID        string     `json:"id"`
	Party     string     `json:"party,omitempty"`
	Licensee  string     `json:"licensee,omitempty"` // a tenant of the registry
	Purpose   string     `json:"purpose"`
	Stages    []string   `json:"stages"`
	Territory []string   `json:"territory"`
	Catalogue string     `json:"catalogue"` // and later versions of it
	From      string     `json:"from"`
	Until     string     `json:"until,omitempty"` // the last day
	Revoked   *time.Time `json:"revoked,omitempty"`
	Why       string     `json:"why,omitempty"`
	New       *bool      `json:"new,omitempty"`
}

func licenceLine(l registry.Licence) licenceJSON {
	line := licenceJSON{ID: l.ID, Party: l.Party, Licensee: l.Licensee, Purpose: l.Purpose, Stages: l.Stages, Territory: l.Territory, Catalogue: l.Catalogue.String(),
		From: l.Start.Format(time.DateOnly), Why: l.Why}
	if !l.End.Equal(noEnd) {
		line.Until = l.End.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	if !l.Revoked.IsZero() {
		line.Revoked = &l.Revoked
	}
	return line
}

// licenceAddCmd is "filigrane licence add".
type licenceAddCmd struct {
	ID        string   `arg:"" help:"The licence's id; part of the key's path of all deliveries under it."`
	Catalogue string   `short:"c" placeholder:"NAME[@V]" help:"The catalogue it covers, from this version on; default is the latest version of the only one."`
	Purpose   string   `default:"training" placeholder:"WORD" help:"The purpose: part of the key's path. Default ${default}."`
	Recipient string   `placeholder:"NAME" help:"Whom the licence is given to."`
	Licensee  string   `placeholder:"TENANT" help:"The tenant it is given to, if the registry has one: a provider sees what was licensed to it."`
	Stage     []string `sep:"none" placeholder:"WORD" help:"A stage of training it allows, repeatable. Default: pre-training and fine-tuning."`
	Territory string   `placeholder:"LIST" help:"Where it holds: ISO 3166 codes with commas between, or world. Default: world."`
	From      string   `placeholder:"DATE" help:"First day, as 2026-12-31, in UTC. Default: today in UTC."`
	Until     string   `placeholder:"DATE" help:"Last day, in UTC. Default: none."`
}

// Help gives an example.
func (licenceAddCmd) Help() string {
	return `Example: filigrane licence add acme-2026 --catalogue spring@2 --recipient "Acme" --stage fine-tuning --until 2027-12-31`
}

// Run records the licence.
func (c *licenceAddCmd) Run(s *session) error {
	for name, v := range map[string]string{"ID": c.ID, "--purpose": c.Purpose} {
		if workspace.CheckBank(v) != nil {
			return badInput("%s %q: give 1 to 128 bytes of printable text", name, v)
		}
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	ref := workspace.Ref{}
	if c.Catalogue != "" {
		if ref, err = workspace.ParseRef(c.Catalogue); err != nil {
			return inputError{err}
		}
	}
	of, err := r.resolve(s, ref)
	if err != nil {
		return err
	}
	terms := termsFlags{Recipient: c.Recipient, Territory: c.Territory, From: c.From, Until: c.Until, Stage: c.Stage}
	now := time.Now()
	l, given, err := terms.terms(c.ID, c.Purpose, of, now)
	if err != nil {
		return err
	}
	l.Licensee, given["licensee"] = c.Licensee, c.Licensee != ""
	is, err := r.reg.Licence(s.ctx, r.scope, c.ID)
	isNew := errors.Is(err, registry.ErrNotFound)
	switch {
	case isNew:
		if _, err := r.reg.PutLicence(s.ctx, r.scope, l, now); err != nil {
			return err
		}
	case err != nil:
		return err
	default: // the same again
		if c.Catalogue == "" || ref.Version == 0 {
			l.Catalogue.Version = is.Catalogue.Version
		}
		if err := agree(is, l, given); err != nil {
			return err
		}
		l = is
	}
	line := licenceLine(l)
	line.New = &isNew
	return s.emit(line)
}

// licenceListCmd is "filigrane licence list".
type licenceListCmd struct{}

// Run prints one line per licence.
func (c *licenceListCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	return each(func(p registry.Page) (registry.List[registry.Licence], error) {
		return r.reg.Licences(s.ctx, r.scope, p)
	},
		func(l registry.Licence) error { return s.emit(licenceLine(l)) })
}

// licenceShowCmd is "filigrane licence show".
type licenceShowCmd struct {
	ID string `arg:"" help:"The licence's id."`
}

// Run prints the licence and its deliveries.
func (c *licenceShowCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	l, err := r.reg.Licence(s.ctx, r.scope, c.ID)
	if err != nil {
		return err
	}
	out := struct {
		licenceJSON
		Deliveries []deliveryLine `json:"deliveries"`
	}{licenceLine(l), []deliveryLine{}}
	err = each(func(p registry.Page) (registry.List[registry.Delivery], error) {
		return r.reg.DeliveriesUnder(s.ctx, r.scope, c.ID, p)
	}, func(d registry.Delivery) error {
		line, err := lineOf(d)
		out.Deliveries = append(out.Deliveries, line)
		return err
	})
	if err != nil {
		return err
	}
	return s.emit(out)
}

// licenceRevokeCmd is "filigrane licence revoke".
type licenceRevokeCmd struct {
	ID  string `arg:"" help:"The licence's id."`
	Why string `required:"" placeholder:"TEXT" help:"The reason, one line."`
}

// Help gives an example.
func (licenceRevokeCmd) Help() string {
	return `Nothing more is delivered under it from now on. What was delivered stays listed.

Example: filigrane licence revoke acme-2026 --why "contract ended by notice"`
}

// Run revokes.
func (c *licenceRevokeCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.reg.RevokeLicence(s.ctx, r.scope, c.ID, c.Why, time.Now()); err != nil {
		return err
	}
	l, err := r.reg.Licence(s.ctx, r.scope, c.ID)
	if err != nil {
		return err
	}
	return s.emit(licenceLine(l))
}
