package registry

import (
	"context"
	"errors"
	"fmt"

	"github.com/filigrane/filigrane/concepts"
)

// Party is somebody who owns rights in works of a tenant.
type Party struct {
	ID          string // the tenant's own, 1 to 128 bytes
	Name        string
	Identifiers []Identifier // in any order; sorted on reading
}

// Identifier names a party to the world: Scheme "isni", "ipi", "plus". The value is checked by who imports it.
type Identifier struct{ Scheme, Value string }

// Share is a party's part in a work, in 1/10,000.
type Share struct {
	Party string
	Parts int
}

// WholeShare is what the shares of a work add up to.
const WholeShare = 10_000

var (
	partiesTable = &table{name: "parties", cols: columns("tenant i, id t, name t"), order: []string{"tenant", "id"},
		fixed: []string{"tenant"}, key: []string{"id"}, lookup: "id", compare: []string{"name"}}
	partyIDsTable = &table{name: "party_ids", cols: columns("tenant i, scheme t, value t, party t"), order: []string{"tenant", "scheme", "value"},
		fixed: []string{"tenant"}, key: []string{"scheme", "value"}, lookup: "party", compare: []string{"party"}, keep: []string{"scheme", "value"}}
	sharesTable = &table{name: "shares", cols: columns("tenant i, parts i, work t, party t"), order: []string{"tenant", "work", "party"},
		fixed: []string{"tenant"}, key: []string{"work", "party"}, lookup: "work", compare: []string{"parts"}, keep: []string{"work", "party"}}
)

var (
	partyOfID = lookup("party by identifier", "SELECT party FROM party_ids WHERE tenant = $1 AND scheme = $2 AND value = $3", int64(1), "isni", "000100")
	idOwners  = lookup("parties by values of identifiers", "SELECT scheme, value, party FROM party_ids WHERE tenant = $1 AND scheme = $2 AND "+in("value", 3),
		int64(1), "isni", "000100", "000200")
	partiesByID  = paged("parties by id", "s", "SELECT id, name FROM parties WHERE tenant = $1 AND id > $2 ORDER BY id", int64(1))
	partyByID    = lookup("party by id", "SELECT id, name FROM parties WHERE tenant = $1 AND id = $2", int64(1), "p000100")
	partiesThere = lookup("parties by ids", "SELECT id FROM parties WHERE tenant = $1 AND "+in("id", 2), int64(1), "p000100", "p000200")
	idsOfParties = lookup("identifiers of parties", "SELECT party, scheme, value FROM party_ids WHERE tenant = $1 AND "+in("party", 2), int64(1), "p000100", "p000200")
	sharesOf     = lookup("shares of works", "SELECT work, party, parts FROM shares WHERE tenant = $1 AND "+in("work", 2), int64(1), "w000100", "w000200")
	worksOfParty = paged("works of a party", "s", "SELECT work, parts FROM shares WHERE tenant = $1 AND party = $2 AND work > $3 ORDER BY work", int64(1), "p000100")
)

// PutParties adds parties or changes them; their identifiers become those given, counted too. ErrConflict if an
// identifier is another party's.
func (r *Registry) PutParties(ctx context.Context, s Scope, parties []Party) (c Changes, err error) {
	for _, p := range parties {
		if err := p.check(); err != nil {
			return c, err
		}
	}
	err = r.write(ctx, s, "PutParties", func(t *tx, tenant int64) error {
		var names, ids [][]any
		var keys []any
		byScheme := map[string][]any{}
		owner := map[Identifier]string{}
		for _, p := range parties {
			names = append(names, []any{tenant, p.ID, p.Name})
			keys = append(keys, p.ID)
			for _, id := range p.Identifiers {
				if was, twice := owner[id]; twice && was != p.ID {
					return fmt.Errorf("%w: %s %s is given to parties %s and %s: an identifier names one", ErrConflict, id.Scheme, id.Value, was, p.ID)
				}
				owner[id] = p.ID
				ids = append(ids, []any{tenant, id.Scheme, id.Value, p.ID})
				byScheme[id.Scheme] = append(byScheme[id.Scheme], id.Value)
			}
		}
		for scheme, found := range byScheme {
			if err := t.checkOwners(ctx, tenant, scheme, found, owner); err != nil {
				return err
			}
		}
		if c, err = t.put(ctx, partiesTable, names); err != nil {
			return err
		}
		more, err := t.replace(ctx, partyIDsTable, []any{tenant}, keys, ids)
		c.Add(more)
		return err
	})
	return c, err
}

// checkOwners returns ErrConflict if one of the identifiers is another party's than owner says.
func (t *tx) checkOwners(ctx context.Context, tenant int64, scheme string, found []any, owner map[Identifier]string) error {
	return lookupEach(ctx, t, idOwners.text, []any{tenant, scheme}, found, func(r rows) error {
		var id Identifier
		var party string
		if err := r.Scan(&id.Scheme, &id.Value, &party); err != nil {
			return err
		}
		if party != owner[id] {
			return fmt.Errorf("%w: %s %s is party %s's already, not %s's: an identifier names one", ErrConflict, id.Scheme, id.Value, party, owner[id])
		}
		return nil
	})
}

func (p Party) check() error {
	if err := checkID("party", p.ID); err != nil {
		return err
	}
	if p.Name == "" {
		return fmt.Errorf("registry: party %s has no name", p.ID)
	}
	if err := checkText("party's name", p.Name, mostText); err != nil {
		return err
	}
	for _, id := range p.Identifiers {
		if err := errors.Join(checkID("scheme", id.Scheme), checkID("identifier of party "+p.ID, id.Value)); err != nil {
			return err
		}
	}
	return nil
}

// PutShares sets who owns how much of works: the shares of each become those given. They must add up to WholeShare, or
// be none. ErrNotFound names a work or a party that is not there.
func (r *Registry) PutShares(ctx context.Context, s Scope, shares map[concepts.WorkID][]Share) (c Changes, err error) {
	err = r.write(ctx, s, "PutShares", func(t *tx, tenant int64) error {
		var list [][]any
		var works []concepts.WorkID
		parties := map[string]bool{}
		for _, work := range sortedKeys(shares) {
			sum, seen := 0, map[string]bool{}
			for _, share := range shares[work] {
				if share.Parts < 1 || seen[share.Party] {
					return fmt.Errorf("registry: work %.130q: party %.130q has %d parts or is named twice: give each party once, with 1 to %d", string(work), share.Party, share.Parts, WholeShare)
				}
				sum, seen[share.Party], parties[share.Party] = sum+share.Parts, true, true
				list = append(list, []any{tenant, int64(share.Parts), string(work), share.Party})
			}
			if sum != WholeShare && sum != 0 {
				return fmt.Errorf("registry: work %.130q: its shares add up to %d of %d: they must make 100 %%", string(work), sum, WholeShare)
			}
			works = append(works, work)
		}
		if err := t.mustHave(ctx, "work", workStatesOf, []any{tenant}, toAny(works)); err != nil {
			return err
		}
		if err := t.mustHave(ctx, "party", partiesThere, []any{tenant}, toAny(sortedKeys(parties))); err != nil {
			return err
		}
		c, err = t.replace(ctx, sharesTable, []any{tenant}, toAny(works), list)
		return err
	})
	return c, err
}

// Parties lists parties by id, with their identifiers.
func (r *Registry) Parties(ctx context.Context, s Scope, p Page) (l List[Party], err error) {
	err = r.read(ctx, s, "Parties", func(q querier, tenant int64) error {
		l, err = list(ctx, q, partiesByID, []any{tenant}, p, func(r rows) (p Party, keys []any, err error) {
			err = r.Scan(&p.ID, &p.Name)
			return p, []any{p.ID}, err
		})
		if err != nil {
			return err
		}
		return identify(ctx, q, tenant, l.Items)
	})
	return l, err
}

// identify adds their identifiers to parties, sorted.
func identify(ctx context.Context, q querier, tenant int64, parties []Party) error {
	at, keys := map[string]int{}, []any{}
	for i, p := range parties {
		at[p.ID] = i
		keys = append(keys, p.ID)
	}
	err := lookupEach(ctx, q, idsOfParties.text, []any{tenant}, keys, func(r rows) error {
		var party string
		var id Identifier
		if err := r.Scan(&party, &id.Scheme, &id.Value); err != nil {
			return err
		}
		p := &parties[at[party]]
		p.Identifiers = append(p.Identifiers, id)
		return nil
	})
	for _, p := range parties {
		sortBy(p.Identifiers, func(id Identifier) string { return id.Scheme + "\x00" + id.Value })
	}
	return err
}

// PartyByIdentifier gives the party that an identifier names. ErrNotFound.
func (r *Registry) PartyByIdentifier(ctx context.Context, s Scope, id Identifier) (p Party, err error) {
	if err := errors.Join(checkID("scheme", id.Scheme), checkID("identifier", id.Value)); err != nil {
		return p, err
	}
	err = r.read(ctx, s, "PartyByIdentifier", func(q querier, tenant int64) error {
		var party string
		found, err := one(ctx, q, partyOfID.text, []any{tenant, id.Scheme, id.Value}, &party)
		if err == nil && found {
			found, err = one(ctx, q, partyByID.text, []any{tenant, party}, &p.ID, &p.Name)
		}
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%w: a party with %s %s", ErrNotFound, id.Scheme, id.Value)
		}
		list := []Party{p}
		err = identify(ctx, q, tenant, list)
		p = list[0]
		return err
	})
	return p, err
}

// SharesOf gives the shares of works, each by party; works without any are left out. At most MostPerPage works.
func (r *Registry) SharesOf(ctx context.Context, s Scope, works []concepts.WorkID) (shares map[concepts.WorkID][]Share, err error) {
	shares = map[concepts.WorkID][]Share{}
	err = r.read(ctx, s, "SharesOf", func(q querier, tenant int64) error {
		keys, err := keysOf("works", works)
		if err != nil {
			return err
		}
		return lookupEach(ctx, q, sharesOf.text, []any{tenant}, keys, func(r rows) error {
			var work, party string
			var parts int64
			err := r.Scan(&work, &party, &parts)
			id := concepts.WorkID(work)
			shares[id] = append(shares[id], Share{party, int(parts)})
			return err
		})
	})
	for _, list := range shares {
		sortBy(list, func(s Share) string { return s.Party })
	}
	return shares, err
}

// WorkShare is a work of a party.
type WorkShare struct {
	Work  concepts.WorkID
	Parts int
}

// WorksOfParty lists the works of a party by id.
func (r *Registry) WorksOfParty(ctx context.Context, s Scope, party string, p Page) (l List[WorkShare], err error) {
	if err := checkID("party", party); err != nil {
		return l, err
	}
	err = r.read(ctx, s, "WorksOfParty", func(q querier, tenant int64) error {
		l, err = list(ctx, q, worksOfParty, []any{tenant, party}, p, func(r rows) (w WorkShare, keys []any, err error) {
			var parts int64
			err = r.Scan(&w.Work, &parts)
			w.Parts = int(parts)
			return w, []any{string(w.Work)}, err
		})
		return err
	})
	return l, err
}
