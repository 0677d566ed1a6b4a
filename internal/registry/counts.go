package registry

import (
	"context"
	"fmt"
)

// Counts says how much of everything a tenant has.
type Counts struct {
	Works      map[WorkState]int64     // by state, without those there are none of
	Deliveries map[DeliveryState]int64 // the same
	Catalogues int64                   // versions
	Concepts   int64                   // with a number in a codebook
	Numbered   int64                   // works with a number
	Licences, Refusals, Reservations, Todos, Removals, Markings,
	Described int64 // works with a visual descriptor
}

// Counts counts a tenant's rows. It reads the indexes of all of them: some seconds for 10^7.
func (r *Registry) Counts(ctx context.Context, s Scope) (c Counts, err error) {
	c = Counts{Works: map[WorkState]int64{}, Deliveries: map[DeliveryState]int64{}}
	err = r.read(ctx, s, "Counts", func(q querier, tenant int64) error {
		var n int64
		err := each(ctx, q, "SELECT state, count(*) FROM works WHERE tenant = $1 GROUP BY state", []any{tenant}, func(r rows) error {
			var state int64
			err := r.Scan(&state, &n)
			c.Works[WorkState(state)] = n
			return err
		})
		if err != nil {
			return err
		}
		err = each(ctx, q, "SELECT state, count(*) FROM deliveries WHERE tenant = $1 GROUP BY state", []any{tenant}, func(r rows) error {
			var state string
			err := r.Scan(&state, &n)
			c.Deliveries[DeliveryState(state)] = n
			return err
		})
		if err != nil {
			return err
		}
		for from, into := range map[string]*int64{
			"catalogue_versions WHERE catalogue IN (SELECT n FROM catalogues WHERE tenant = $1)": &c.Catalogues,
			"codebook WHERE tenant = $1 AND kind = 'c'":                                          &c.Concepts, "codebook WHERE tenant = $1 AND kind = 'w'": &c.Numbered,
			"licences WHERE tenant = $1": &c.Licences, "refusals WHERE tenant = $1": &c.Refusals, "reservations WHERE tenant = $1": &c.Reservations,
			"todos WHERE tenant = $1": &c.Todos, "removals WHERE tenant = $1": &c.Removals, "markings WHERE tenant = $1": &c.Markings, "descriptors WHERE tenant = $1": &c.Described,
		} {
			if _, err := one(ctx, q, "SELECT count(*) FROM "+from, []any{tenant}, into); err != nil {
				return fmt.Errorf("counting: %w", err)
			}
		}
		return nil
	})
	return c, err
}
