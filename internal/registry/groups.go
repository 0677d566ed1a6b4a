package registry

import (
	"context"
	"fmt"

	"github.com/filigrane/filigrane/concepts"
)

var (
	conceptsTable = &table{name: "concepts", cols: columns("tenant i, id t, kind t, name t"), order: []string{"tenant", "id"},
		fixed: []string{"tenant"}, key: []string{"id"}, lookup: "id", compare: []string{"kind", "name"}}
	membershipsTable = &table{name: "memberships", cols: columns("tenant i, work t, concept t, rule t, why t"), order: []string{"tenant", "work", "concept"},
		fixed: []string{"tenant"}, key: []string{"work", "concept"}, lookup: "work", compare: []string{"rule", "why"}, keep: []string{"work", "concept"}}
)

var (
	conceptsByID   = paged("concepts by id", "s", "SELECT id, kind, name FROM concepts WHERE tenant = $1 AND id > $2 ORDER BY id", int64(1))
	conceptsThere  = lookup("ids of concepts", "SELECT id FROM concepts WHERE tenant = $1 AND "+in("id", 2), int64(1), "semantic/c000100", "semantic/c000200")
	membershipsOf  = lookup("memberships of works", "SELECT work, concept, rule, why FROM memberships WHERE tenant = $1 AND "+in("work", 2), int64(1), "w000100", "w000200")
	worksOfConcept = paged("works of a concept", "s", "SELECT work, concept, rule, why FROM memberships WHERE tenant = $1 AND concept = $2 AND work > $3 ORDER BY work",
		int64(1), "semantic/c000100")
)

// PutConcepts adds concepts or changes their names.
func (r *Registry) PutConcepts(ctx context.Context, s Scope, list []concepts.Concept) (c Changes, err error) {
	err = r.write(ctx, s, "PutConcepts", func(t *tx, tenant int64) error {
		var out [][]any
		for _, concept := range list {
			if err := concept.ID.Check(); err != nil {
				return err
			}
			if concept.Kind != concept.ID.Kind() || concept.Name == "" {
				return fmt.Errorf("registry: concept %s is of kind %q and called %q: give the kind of its id and a name", concept.ID, concept.Kind, concept.Name)
			}
			if err := checkText("concept's name", concept.Name, mostText); err != nil {
				return err
			}
			out = append(out, []any{tenant, string(concept.ID), string(concept.Kind), concept.Name})
		}
		c, err = t.put(ctx, conceptsTable, out)
		return err
	})
	return c, err
}

// PutMemberships sets the concepts of works: those of each listed work become those among members, perhaps none.
// ErrNotFound names a work or a concept that is not there.
func (r *Registry) PutMemberships(ctx context.Context, s Scope, works []concepts.WorkID, members []concepts.Membership) (c Changes, err error) {
	err = r.write(ctx, s, "PutMemberships", func(t *tx, tenant int64) error {
		count := make(map[concepts.WorkID]int, len(works))
		for _, w := range works {
			count[w] = 0
		}
		ids := map[concepts.ConceptID]bool{}
		var out [][]any
		for _, m := range members {
			n, listed := count[m.Work]
			switch {
			case !listed:
				return fmt.Errorf("registry: a membership of work %.130q, which is not among the works to set", string(m.Work))
			case n == concepts.MaxConceptsPerWork:
				return fmt.Errorf("registry: work %s has more than %d concepts: their marks cannot be superposed", m.Work, concepts.MaxConceptsPerWork)
			case m.Rule == "" || m.Why == "":
				return fmt.Errorf("registry: work %s in %s: give rule and reason", m.Work, m.Concept)
			}
			if err := checkText("rule and reason", m.Rule+m.Why, mostText); err != nil {
				return err
			}
			count[m.Work], ids[m.Concept] = n+1, true
			out = append(out, []any{tenant, string(m.Work), string(m.Concept), m.Rule, m.Why})
		}
		keys := toAny(sortedKeys(count))
		if err := t.mustHave(ctx, "work", workStatesOf, []any{tenant}, keys); err != nil {
			return err
		}
		if err := t.mustHave(ctx, "concept", conceptsThere, []any{tenant}, toAny(sortedKeys(ids))); err != nil {
			return err
		}
		c, err = t.replace(ctx, membershipsTable, []any{tenant}, keys, out)
		return err
	})
	return c, err
}

// Concepts lists the tenant's concepts by id.
func (r *Registry) Concepts(ctx context.Context, s Scope, p Page) (l List[concepts.Concept], err error) {
	err = r.read(ctx, s, "Concepts", func(q querier, tenant int64) error {
		l, err = list(ctx, q, conceptsByID, []any{tenant}, p, scanConcept)
		return err
	})
	return l, err
}

func scanConcept(r rows) (c concepts.Concept, keys []any, err error) {
	err = r.Scan(&c.ID, &c.Kind, &c.Name)
	return c, []any{string(c.ID)}, err
}

func scanMember(r rows) (m concepts.Membership, keys []any, err error) {
	err = r.Scan(&m.Work, &m.Concept, &m.Rule, &m.Why)
	return m, []any{string(m.Work)}, err
}

// MembershipsOf gives the memberships of works, by work and concept. At most MostPerPage works.
func (r *Registry) MembershipsOf(ctx context.Context, s Scope, works []concepts.WorkID) (found []concepts.Membership, err error) {
	err = r.read(ctx, s, "MembershipsOf", func(q querier, tenant int64) error {
		keys, err := keysOf("works", works)
		if err != nil {
			return err
		}
		found, err = members(ctx, q, tenant, keys)
		return err
	})
	return found, err
}

func members(ctx context.Context, q querier, tenant int64, keys []any) (found []concepts.Membership, err error) {
	err = lookupEach(ctx, q, membershipsOf.text, []any{tenant}, keys, func(r rows) error {
		m, _, err := scanMember(r)
		found = append(found, m)
		return err
	})
	sortBy(found, func(m concepts.Membership) string { return string(m.Work) + " " + string(m.Concept) })
	return found, err
}

// WorksOfConcept lists the memberships of a concept by work.
func (r *Registry) WorksOfConcept(ctx context.Context, s Scope, id concepts.ConceptID, p Page) (l List[concepts.Membership], err error) {
	if err := id.Check(); err != nil {
		return l, err
	}
	err = r.read(ctx, s, "WorksOfConcept", func(q querier, tenant int64) error {
		l, err = list(ctx, q, worksOfConcept, []any{tenant, string(id)}, p, scanMember)
		return err
	})
	return l, err
}
