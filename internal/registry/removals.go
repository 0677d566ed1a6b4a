package registry

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/filigrane/filigrane/concepts"
)

// Removal is a delivered file of a recalled work, for the licensee to remove.
type Removal struct {
	Delivery     string
	Work         concepts.WorkID
	SHA256, ISCC string // of the delivered file
	At           time.Time
	Why          string
}

var removalsTable = &table{name: "removals", cols: columns("n i, tenant i, delivery i, at i, sha256 b, work t, iscc t, why t"),
	order: []string{"n"}, fixed: []string{"tenant"}, key: []string{"delivery", "work"}, lookup: "work", keep: []string{"n", "at", "why", "sha256", "iscc"}}

const removalQuery = "SELECT r.n, (SELECT id FROM deliveries WHERE n = r.delivery), r.work, r.sha256, r.iscc, r.at, r.why FROM removals r"

var (
	copiesOfWorks   = lookup("delivered copies of works", "SELECT delivery, work, sha256, iscc FROM items WHERE tenant = $1 AND refusal = '' AND "+in("work", 2), int64(1), "w000100", "w000200")
	removalsInOrder = paged("removals", "i", removalQuery+" WHERE r.tenant = $1 AND r.n > $2 ORDER BY r.n", int64(1))
	removalsOf      = paged("removals of a delivery", "s", removalQuery+" WHERE r.delivery = $1 AND r.work > $2 ORDER BY r.work", int64(1))
)

// Recall takes works back: they become Recalled, which no import undoes, and every file of them that was delivered goes
// into the removal list, also when the work had been recalled before. Added counts removals, Changed works. A delivery
// that is running keeps those it has marked: Recall again when it is delivered. At most MostPerPage works.
func (r *Registry) Recall(ctx context.Context, s Scope, ids []concepts.WorkID, why string, now time.Time) (c Changes, err error) {
	if why == "" {
		return c, fmt.Errorf("registry: works are recalled for a reason: give it")
	}
	if err := checkText("reason", why, mostText); err != nil {
		return c, err
	}
	err = r.write(ctx, s, "Recall", func(t *tx, tenant int64) error {
		if c, err = t.setStates(ctx, tenant, ids, Recalled, now); err != nil {
			return err
		}
		keys, err := keysOf("works", ids)
		if err != nil {
			return err
		}
		var list [][]any
		err = lookupEach(ctx, t, copiesOfWorks.text, []any{tenant}, keys, func(r rows) error {
			var delivery int64
			var work, iscc string
			var hash []byte
			err := r.Scan(&delivery, &work, &hash, &iscc)
			list = append(list, []any{int64(0), tenant, delivery, micros(now), hash, work, iscc, why})
			return err
		})
		if err != nil {
			return err
		}
		sortBy(list, func(row []any) string { return fmt.Sprintf("%020d %s", row[2], row[5]) })
		more, err := t.put(ctx, removalsTable, list)
		c.Added = more.Added
		return err
	})
	return c, err
}

func scanRemoval(r rows) (n int64, m Removal, err error) {
	var hash []byte
	var when int64
	err = r.Scan(&n, &m.Delivery, &m.Work, &hash, &m.ISCC, &when, &m.Why)
	m.SHA256, m.At = hex.EncodeToString(hash), at(when)
	return n, m, err
}

// Removals lists what licensees have to remove, in the order it was recalled.
func (r *Registry) Removals(ctx context.Context, s Scope, p Page) (l List[Removal], err error) {
	err = r.read(ctx, s, "Removals", func(q querier, tenant int64) error {
		l, err = list(ctx, q, removalsInOrder, []any{tenant}, p, func(r rows) (Removal, []any, error) {
			n, m, err := scanRemoval(r)
			return m, []any{n}, err
		})
		return err
	})
	return l, err
}

// RemovalsOf lists, by work, what has to be removed of one delivery of the tenant.
func (r *Registry) RemovalsOf(ctx context.Context, s Scope, id string, p Page) (l List[Removal], err error) {
	err = r.read(ctx, s, "RemovalsOf", func(q querier, tenant int64) error {
		d, err := delivery(ctx, q, tenant, id)
		if err != nil {
			return err
		}
		l, err = list(ctx, q, removalsOf, []any{d.n}, p, func(r rows) (Removal, []any, error) {
			_, m, err := scanRemoval(r)
			return m, []any{string(m.Work)}, err
		})
		return err
	})
	return l, err
}

// ReceivedRemovals lists, by work, what the tenant has to remove of a delivery that another made for it.
func (r *Registry) ReceivedRemovals(ctx context.Context, s Scope, grantor, id string, p Page) (l List[Removal], err error) {
	err = r.read(ctx, s, "ReceivedRemovals", func(q querier, tenant int64) error {
		d, err := received(ctx, q, tenant, grantor, id)
		if err != nil {
			return err
		}
		l, err = list(ctx, q, removalsOf, []any{d.n}, p, func(r rows) (Removal, []any, error) {
			_, m, err := scanRemoval(r)
			return m, []any{string(m.Work)}, err
		})
		return err
	})
	return l, err
}
