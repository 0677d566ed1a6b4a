package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery.
const (
	Planned   DeliveryState = "planned"   // asked for
	Running   DeliveryState = "running"   // works are being marked
	Paused    DeliveryState = "paused"    // by somebody; Running goes on where it was
	Failed    DeliveryState = "failed"    // of itself; Running tries again
	Delivered DeliveryState = "delivered" // complete and verified: final
	Cancelled DeliveryState = "cancelled" // by somebody: final
)

// moves are the states that may follow a state.
var moves = map[DeliveryState][]DeliveryState{
	Planned:   {Running, Cancelled},
	Running:   {Paused, Failed, Delivered, Cancelled},
	Paused:    {Running, Cancelled},
	Failed:    {Running, Cancelled},
	Delivered: nil,
	Cancelled: nil,
}

// Delivery is a marked set under one licence.
type Delivery struct {
	ID string
	// Grantor is the tenant that delivers: filled in on reading.
	Grantor string
	Licence string
	// Catalogue is what is delivered: of the name that the licence binds, of its version or a later one, so that
	// increments come under one licence. The zero Ref is what the licence binds.
	Catalogue Ref
	// Spec says how it is made: a JSON document of package delivery's, kept as it is given; never changes.
	Spec json.RawMessage
	// Adopted says, to AddDelivery, that it was made before the registry knew of it: then nobody asks whether the licence has
	// ended by now. It is kept as the reason of the first step, and not filled in on reading.
	Adopted bool
	// State, Why, Result, Added and Changed are set by AddDelivery and MoveDelivery. Result is a JSON document of
	// what came out, such as the manifest's hash, or nil.
	State          DeliveryState
	Why            string
	Result         json.RawMessage
	Added, Changed time.Time
}

// DeliveryStep says when a delivery came into a state, and why.
type DeliveryStep struct {
	State DeliveryState
	At    time.Time
	Why   string
}

var (
	deliveriesTable = &table{name: "deliveries", cols: columns("n i, tenant i, licence i, licensee i, added i, changed i, id t, state t, why t, spec t, result t, version i"),
		order: []string{"n"}, fixed: []string{"tenant"}, key: []string{"id"}, lookup: "id", compare: []string{"licence", "version", "spec"},
		keep: []string{"n", "added", "changed", "state", "why", "result", "licensee"}}
	stepsTable = &table{name: "delivery_steps", cols: columns("delivery i, step i, at i, state t, why t"), order: []string{"delivery", "step"}}
)

// Names of other tables are looked up row by row: a planner that is asked to join may read the other table whole.
const deliveryQuery = "SELECT d.n, d.id, (SELECT id FROM tenants WHERE n = d.tenant), (SELECT id FROM licences WHERE n = d.licence)," +
	" (SELECT catalogue FROM licences WHERE n = d.licence), d.version," +
	" d.spec, d.state, d.why, d.result, d.added, d.changed FROM deliveries d"

var (
	deliveryByID       = lookup("delivery by id", deliveryQuery+" WHERE d.tenant = $1 AND d.id = $2", int64(1), "d000100")
	deliveriesByID     = paged("deliveries by id", "s", deliveryQuery+" WHERE d.tenant = $1 AND d.id > $2 ORDER BY d.id", int64(1))
	deliveriesInState  = paged("deliveries in a state", "i", deliveryQuery+" WHERE d.tenant = $1 AND d.state = $2 AND d.n > $3 ORDER BY d.n", int64(1), string(Running))
	deliveriesUnder    = paged("deliveries under a licence", "i", deliveryQuery+" WHERE d.licence = $1 AND d.n > $2 ORDER BY d.n", int64(100))
	deliveriesReceived = paged("deliveries received", "i", deliveryQuery+" WHERE d.licensee = $1 AND d.n > $2 ORDER BY d.n", int64(3))
	deliveryReceived   = lookup("delivery received by id", deliveryQuery+" WHERE d.licensee = $1 AND d.tenant = (SELECT n FROM tenants WHERE id = $2) AND d.id = $3", int64(3), "bank-a", "d000100")
	deliverySteps      = paged("steps of a delivery", "i", "SELECT step, at, state, why FROM delivery_steps WHERE delivery = $1 AND step > $2 ORDER BY step", int64(100))
	lastStep           = lookup("last step of a delivery", "SELECT coalesce(max(step), 0) FROM delivery_steps WHERE delivery = $1", int64(100))
)

type numberedDelivery struct {
	Delivery
	n int64
}

func scanDelivery(r rows) (d numberedDelivery, err error) {
	var version, added, changed int64
	var spec, result string
	err = r.Scan(&d.n, &d.ID, &d.Grantor, &d.Licence, &d.Catalogue.Name, &version, &spec, &d.State, &d.Why, &result, &added, &changed)
	d.Catalogue.Version, d.Spec, d.Added, d.Changed = int(version), json.RawMessage(spec), at(added), at(changed)
	if result != "" {
		d.Result = json.RawMessage(result)
	}
	return d, err
}

// adopted is the reason of the first step of a delivery that was made before the registry knew of it.
const adopted = "adopted"

// AddDelivery plans a delivery under a licence of the tenant that has not ended (it may be ready before the first day, and one
// that is adopted was made before), of a version of the catalogue that the licence covers. The same again changes nothing,
// whatever has become of it meanwhile; another under the id of one is ErrConflict.
func (r *Registry) AddDelivery(ctx context.Context, s Scope, d Delivery, now time.Time) (c Changes, err error) {
	if err := checkID("delivery", d.ID); err != nil {
		return c, err
	}
	if err := checkJSON("spec of delivery "+d.ID, d.Spec); err != nil {
		return c, err
	}
	err = r.write(ctx, s, "AddDelivery", func(t *tx, tenant int64) error {
		l, err := licence(ctx, t, tenant, d.Licence)
		if err != nil {
			return err
		}
		version, err := coveredVersion(ctx, t, tenant, l, d)
		if err != nil {
			return err
		}
		var licensee int64
		if l.Licensee != "" {
			if licensee, err = r.tenant(ctx, t, l.Licensee); err != nil {
				return err
			}
		}
		row := []any{int64(0), tenant, l.n, licensee, micros(now), micros(now), d.ID, string(Planned), "", string(d.Spec), "", int64(version)}
		if c, err = t.put(ctx, deliveriesTable, [][]any{row}); err != nil {
			return err
		}
		if c.Changed > 0 {
			return fmt.Errorf("%w under the id of delivery %s: give the new one an id of its own", ErrConflict, d.ID)
		}
		if c.Added == 0 {
			return nil
		}
		why := ""
		if d.Adopted {
			why = adopted
		} else if !now.Before(l.End) || !l.Revoked.IsZero() && !now.Before(l.Revoked) {
			return fmt.Errorf("%w: licence %s ended on %v (revoked: %v); nothing more is delivered under it", ErrState, l.ID, l.End, !l.Revoked.IsZero())
		}
		return t.insert(ctx, stepsTable, [][]any{{row[0], int64(1), micros(now), string(Planned), why}})
	})
	if err != nil {
		c = Changes{}
	}
	return c, err
}

// coveredVersion gives the version of the catalogue that a delivery is of, if its licence covers it.
func coveredVersion(ctx context.Context, q querier, tenant int64, l numberedLicence, d Delivery) (int, error) {
	if d.Catalogue == (Ref{}) {
		return l.Catalogue.Version, nil
	}
	if d.Catalogue.Name != l.Catalogue.Name || d.Catalogue.Version < l.Catalogue.Version {
		return 0, fmt.Errorf("%w: delivery %s is of catalogue %v, licence %s covers %v and later versions of it", ErrConflict, d.ID, d.Catalogue, l.ID, l.Catalogue)
	}
	_, err := catalogueVersion(ctx, q, tenant, d.Catalogue)
	return d.Catalogue.Version, err
}

func checkJSON(what string, text json.RawMessage) error {
	if !json.Valid(text) {
		return fmt.Errorf("registry: %s is no JSON document", what)
	}
	return checkText(what, string(text), mostJSON)
}

// MoveDelivery brings a delivery into a state. Into the one it is in already: nothing changes, not even why and result.
// ErrState if the state may not follow, as when another worker has finished it. result is kept if not nil.
func (r *Registry) MoveDelivery(ctx context.Context, s Scope, id string, to DeliveryState, why string, result json.RawMessage, now time.Time) (c Changes, err error) {
	if _, known := moves[to]; !known {
		return c, fmt.Errorf("registry: no state %q of a delivery", to)
	}
	if err := checkText("reason", why, mostText); err != nil {
		return c, err
	}
	if result != nil {
		if err := checkJSON("result of delivery "+id, result); err != nil {
			return c, err
		}
	}
	err = r.write(ctx, s, "MoveDelivery", func(t *tx, tenant int64) error {
		if err := t.lock(ctx, lockDeliveries, tenant); err != nil {
			return err
		}
		d, err := delivery(ctx, t, tenant, id)
		if err != nil {
			return err
		}
		if d.State == to {
			c = Changes{Unchanged: 1}
			return nil
		}
		if !slices.Contains(moves[d.State], to) {
			return fmt.Errorf("%w: delivery %s is %s and cannot become %s", ErrState, id, d.State, to)
		}
		if result == nil {
			result = d.Result
		}
		if _, err := t.exec(ctx, "UPDATE deliveries SET state = $1, why = $2, result = $3, changed = $4 WHERE n = $5", string(to), why, string(result), micros(now), d.n); err != nil {
			return err
		}
		var step int64
		if _, err := one(ctx, t, lastStep.text, []any{d.n}, &step); err != nil {
			return err
		}
		c = Changes{Changed: 1}
		return t.insert(ctx, stepsTable, [][]any{{d.n, step + 1, micros(now), string(to), why}})
	})
	return c, err
}

// delivery gives a delivery of a tenant.
func delivery(ctx context.Context, q querier, tenant int64, id string) (d numberedDelivery, err error) {
	if err := checkID("delivery", id); err != nil {
		return d, err
	}
	return oneDelivery(ctx, q, deliveryByID, id, tenant, id)
}

func oneDelivery(ctx context.Context, q querier, st *statement, id string, args ...any) (d numberedDelivery, err error) {
	found := false
	err = each(ctx, q, st.text, args, func(r rows) error {
		found = true
		d, err = scanDelivery(r)
		return err
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: delivery %s", ErrNotFound, id)
	}
	return d, err
}

// Delivery gives one delivery. ErrNotFound.
func (r *Registry) Delivery(ctx context.Context, s Scope, id string) (d Delivery, err error) {
	err = r.read(ctx, s, "Delivery", func(q querier, tenant int64) error {
		found, err := delivery(ctx, q, tenant, id)
		d = found.Delivery
		return err
	})
	return d, err
}

// Deliveries lists deliveries by id; those in a state, if one is given, in the order in which they came.
func (r *Registry) Deliveries(ctx context.Context, s Scope, state DeliveryState, p Page) (l List[Delivery], err error) {
	err = r.read(ctx, s, "Deliveries", func(q querier, tenant int64) error {
		st, args := deliveriesByID, []any{tenant}
		if state != "" {
			st, args = deliveriesInState, append(args, string(state))
		}
		l, err = list(ctx, q, st, args, p, func(r rows) (Delivery, []any, error) {
			d, err := scanDelivery(r)
			if state != "" {
				return d.Delivery, []any{d.n}, err
			}
			return d.Delivery, []any{d.ID}, err
		})
		return err
	})
	return l, err
}

// DeliveriesUnder lists the deliveries under a licence that the tenant has given, in the order in which they came.
func (r *Registry) DeliveriesUnder(ctx context.Context, s Scope, licenceID string, p Page) (l List[Delivery], err error) {
	err = r.read(ctx, s, "DeliveriesUnder", func(q querier, tenant int64) error {
		found, err := licence(ctx, q, tenant, licenceID)
		if err != nil {
			return err
		}
		l, err = list(ctx, q, deliveriesUnder, []any{found.n}, p, func(r rows) (Delivery, []any, error) {
			d, err := scanDelivery(r)
			return d.Delivery, []any{d.n}, err
		})
		return err
	})
	return l, err
}

// DeliverySteps lists what a delivery went through, in order.
func (r *Registry) DeliverySteps(ctx context.Context, s Scope, id string, p Page) (l List[DeliveryStep], err error) {
	err = r.read(ctx, s, "DeliverySteps", func(q querier, tenant int64) error {
		d, err := delivery(ctx, q, tenant, id)
		if err != nil {
			return err
		}
		l, err = list(ctx, q, deliverySteps, []any{d.n}, p, func(r rows) (step DeliveryStep, keys []any, err error) {
			var n, when int64
			err = r.Scan(&n, &when, &step.State, &step.Why)
			step.At = at(when)
			return step, []any{n}, err
		})
		return err
	})
	return l, err
}

// ReceivedDeliveries lists the deliveries under licences given to the tenant, by any other, in the order they came.
func (r *Registry) ReceivedDeliveries(ctx context.Context, s Scope, p Page) (l List[Delivery], err error) {
	err = r.read(ctx, s, "ReceivedDeliveries", func(q querier, tenant int64) error {
		l, err = list(ctx, q, deliveriesReceived, []any{tenant}, p, func(r rows) (Delivery, []any, error) {
			d, err := scanDelivery(r)
			return d.Delivery, []any{d.n}, err
		})
		return err
	})
	return l, err
}

// received gives a delivery of another tenant under a licence given to this one. ErrNotFound otherwise.
func received(ctx context.Context, q querier, tenant int64, grantor, id string) (numberedDelivery, error) {
	for what, name := range map[string]string{"tenant": grantor, "delivery": id} {
		if err := checkID(what, name); err != nil {
			return numberedDelivery{}, err
		}
	}
	return oneDelivery(ctx, q, deliveryReceived, id, tenant, grantor, id)
}
