package registry

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Ref names a version of a catalogue of a tenant.
type Ref struct {
	Name    string
	Version int
}

// String gives NAME@VERSION.
func (r Ref) String() string { return fmt.Sprintf("%s@%d", r.Name, r.Version) }

// Licence says what somebody may do with a catalogue version, and when. It never changes; RevokeLicence ends it.
type Licence struct {
	ID string
	// Grantor is the tenant that gives the licence: filled in on reading.
	Grantor string
	// Licensee is the tenant it is given to, "" if he is none here; Party names him in words.
	Licensee, Party string
	Purpose         string   // "training", "evaluation": one word of the contract
	Stages          []string // "pre-training", "fine-tuning", "rag"; sorted, each once; at least one
	// Start is the first moment it holds, End the first it does no more.
	Start, End time.Time
	Territory  []string // ISO 3166 codes or "world"; sorted, each once; at least one
	Catalogue  Ref
	// Revoked is when it was ended before its time, zero if not; Why says why. RevokeLicence sets them.
	Revoked time.Time
	Why     string
}

// Covers tells whether the licence allows a stage at a moment.
func (l Licence) Covers(stage string, when time.Time) bool {
	return slices.Contains(l.Stages, stage) && !when.Before(l.Start) && when.Before(l.End) && (l.Revoked.IsZero() || when.Before(l.Revoked))
}

func (l Licence) check() error {
	if err := checkID("licence", l.ID); err != nil {
		return err
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("registry: licence %s: %w", l.ID, fmt.Errorf(format, args...))
	}
	for what, list := range map[string][]string{"stages": l.Stages, "territory": l.Territory} {
		if len(list) == 0 || !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			return wrong("%s %q: give at least one, sorted, each once", what, list)
		}
		for _, v := range list {
			if err := checkID(what, v); err != nil {
				return wrong("%w", err)
			}
		}
	}
	if !l.Start.Before(l.End) {
		return wrong("it ends at %v, before it starts at %v", l.End, l.Start)
	}
	if err := checkID("purpose", l.Purpose); err != nil {
		return wrong("%w", err)
	}
	if !l.Revoked.IsZero() || l.Why != "" {
		return wrong("it is revoked: put it as it was signed, RevokeLicence revokes it")
	}
	return checkText("licensee", l.Party, mostText)
}

var licencesTable = &table{name: "licences",
	cols:  columns("n i, tenant i, licensee i, version i, starts i, ends i, revoked i, added i, id t, party t, purpose t, stages t, territory t, catalogue t, why t"),
	order: []string{"n"}, fixed: []string{"tenant"}, key: []string{"id"}, lookup: "id",
	compare: []string{"licensee", "version", "starts", "ends", "party", "purpose", "stages", "territory", "catalogue"}, keep: []string{"n", "added", "revoked", "why"}}

const licenceQuery = "SELECT l.n, l.id, (SELECT id FROM tenants WHERE n = l.tenant), coalesce((SELECT id FROM tenants WHERE n = l.licensee), ''), l.party, l.purpose, l.stages, l.territory, l.starts, l.ends, l.revoked, l.why, l.catalogue, l.version" +
	" FROM licences l"

var (
	licenceByID      = lookup("licence by id", licenceQuery+" WHERE l.tenant = $1 AND l.id = $2", int64(1), "l000100")
	licencesByID     = paged("licences by id", "s", licenceQuery+" WHERE l.tenant = $1 AND l.id > $2 ORDER BY l.id", int64(1))
	licencesReceived = paged("licences received", "i", licenceQuery+" WHERE l.licensee = $1 AND l.n > $2 ORDER BY l.n", int64(3))
)

type numberedLicence struct {
	Licence
	n int64
}

func scanLicence(r rows) (l numberedLicence, err error) {
	var stages, territory string
	var start, end, revoked, version int64
	err = r.Scan(&l.n, &l.ID, &l.Grantor, &l.Licensee, &l.Party, &l.Purpose, &stages, &territory, &start, &end, &revoked, &l.Why, &l.Catalogue.Name, &version)
	if err != nil {
		return l, err
	}
	l.Start, l.End, l.Revoked, l.Catalogue.Version = at(start), at(end), at(revoked), int(version)
	if l.Stages, err = fromJSON[string](stages); err == nil {
		l.Territory, err = fromJSON[string](territory)
	}
	return l, err
}

// PutLicence keeps a licence. The same again changes nothing; another under the id of one is ErrConflict. ErrNotFound
// if the licensee is no tenant or the catalogue version does not exist.
func (r *Registry) PutLicence(ctx context.Context, s Scope, l Licence, now time.Time) (c Changes, err error) {
	if err := l.check(); err != nil {
		return c, err
	}
	err = r.write(ctx, s, "PutLicence", func(t *tx, tenant int64) error {
		var licensee int64
		if l.Licensee != "" {
			if licensee, err = r.tenant(ctx, t, l.Licensee); err != nil {
				return err
			}
		}
		if _, err := catalogueVersion(ctx, t, tenant, l.Catalogue); err != nil {
			return err
		}
		row := []any{int64(0), tenant, licensee, int64(l.Catalogue.Version), micros(l.Start), micros(l.End), int64(0), micros(now), l.ID, l.Party, l.Purpose,
			asJSON(l.Stages), asJSON(l.Territory), l.Catalogue.Name, ""}
		if c, err = t.put(ctx, licencesTable, [][]any{row}); err == nil && c.Changed > 0 {
			return fmt.Errorf("%w under the id of licence %s: a licence never changes; revoke it and give the new one an id of its own", ErrConflict, l.ID)
		}
		return err
	})
	if err != nil {
		c = Changes{}
	}
	return c, err
}

// RevokeLicence ends a licence at a moment. Done again, the first moment stays.
func (r *Registry) RevokeLicence(ctx context.Context, s Scope, id, why string, when time.Time) (c Changes, err error) {
	if err := checkText("reason", why, mostText); err != nil || why == "" || when.IsZero() {
		return c, fmt.Errorf("registry: licence %.130q: give a moment and a reason to revoke it (%v)", id, err)
	}
	err = r.write(ctx, s, "RevokeLicence", func(t *tx, tenant int64) error {
		if _, err := licence(ctx, t, tenant, id); err != nil {
			return err
		}
		n, err := t.exec(ctx, "UPDATE licences SET revoked = $1, why = $2 WHERE tenant = $3 AND id = $4 AND revoked = 0", micros(when), why, tenant, id)
		c.Changed, c.Unchanged = int(n), 1-int(n)
		return err
	})
	return c, err
}

func licence(ctx context.Context, q querier, tenant int64, id string) (l numberedLicence, err error) {
	if err := checkID("licence", id); err != nil {
		return l, err
	}
	found := false
	err = each(ctx, q, licenceByID.text, []any{tenant, id}, func(r rows) error {
		found = true
		l, err = scanLicence(r)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: licence %s", ErrNotFound, id)
	}
	return l, err
}

// Licence gives one licence that the tenant has given. ErrNotFound.
func (r *Registry) Licence(ctx context.Context, s Scope, id string) (l Licence, err error) {
	err = r.read(ctx, s, "Licence", func(q querier, tenant int64) error {
		found, err := licence(ctx, q, tenant, id)
		l = found.Licence
		return err
	})
	return l, err
}

// Licences lists the licences that the tenant has given, by id.
func (r *Registry) Licences(ctx context.Context, s Scope, p Page) (l List[Licence], err error) {
	err = r.read(ctx, s, "Licences", func(q querier, tenant int64) error {
		l, err = list(ctx, q, licencesByID, []any{tenant}, p, func(r rows) (Licence, []any, error) {
			l, err := scanLicence(r)
			return l.Licence, []any{l.ID}, err
		})
		return err
	})
	return l, err
}

// ReceivedLicences lists the licences that any tenant has given to this one, in the order in which they came.
func (r *Registry) ReceivedLicences(ctx context.Context, s Scope, p Page) (l List[Licence], err error) {
	err = r.read(ctx, s, "ReceivedLicences", func(q querier, tenant int64) error {
		l, err = list(ctx, q, licencesReceived, []any{tenant}, p, func(r rows) (Licence, []any, error) {
			l, err := scanLicence(r)
			return l.Licence, []any{l.n}, err
		})
		return err
	})
	return l, err
}
