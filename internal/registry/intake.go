package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/filigrane/filigrane/concepts"
)

// Refusal is an object of a bank's store that did not become a work.
type Refusal struct {
	// Name is what the store calls the object, in any bytes; 1 to 64 KiB.
	Name string
	// Kind is the machine-readable reason, Detail one line for people.
	Kind, Detail string
	At           time.Time
}

// Reservation is evidence that rights in a work, or in whatever lies under a path, are reserved.
type Reservation struct {
	// Work is the work it was found for, "" if it holds for more than one; Path says then for what.
	Work concepts.WorkID
	Path string
	// Protocol names how it is said: "iptc-plus", "tdmrep", "cawg", "robots".
	Protocol string
	// Raw is what was found, as it was found, at URL (a name, if it was not on the web), at Found.
	Raw   []byte
	URL   string
	Found time.Time
	// Effect is what it comes to ("refuses", "asks", "allows"), Value the word as the protocol writes it, Detail what else
	// there is to know; all three are read out of Raw by who found it, and may be "".
	Effect, Value, Detail string
	// SHA256 is the hash of Raw, in hex: filled in on reading.
	SHA256 string
}

// Todo is something a person has to fill in.
type Todo struct {
	Work  concepts.WorkID
	Field string
	Why   string // why it matters
	// Since is when it was first missing: filled in on reading.
	Since time.Time
}

var (
	refusalsTable = &table{name: "refusals", cols: columns("n i, tenant i, at i, key b, name b, kind t, detail t"), order: []string{"n"},
		fixed: []string{"tenant"}, key: []string{"key"}, lookup: "key", compare: []string{"kind", "detail"}, keep: []string{"n"}}
	reservationsTable = &table{name: "reservations", cols: columns("n i, tenant i, found i, key b, hash b, raw b, work t, path t, protocol t, url t, effect t, value t, detail t"),
		order: []string{"n"}, fixed: []string{"tenant"}, key: []string{"key"}, lookup: "key", compare: []string{"effect", "value", "detail"}, keep: []string{"n", "found"}}
	todosTable = &table{name: "todos", cols: columns("tenant i, since i, work t, field t, why t"), order: []string{"tenant", "work", "field"},
		fixed: []string{"tenant"}, key: []string{"work", "field"}, lookup: "work", compare: []string{"why"}, keep: []string{"work", "field", "since"}}
)

const reservationColumns = "n, work, path, protocol, raw, url, found, hash, effect, value, detail"

var (
	refusalsInOrder   = paged("refusals", "i", "SELECT n, name, kind, detail, at FROM refusals WHERE tenant = $1 AND n > $2 ORDER BY n", int64(1))
	refusalsOfKind    = paged("refusals of a kind", "i", "SELECT n, name, kind, detail, at FROM refusals WHERE tenant = $1 AND kind = $2 AND n > $3 ORDER BY n", int64(1), "truncated")
	reservationsOrder = paged("reservations", "i", "SELECT "+reservationColumns+" FROM reservations WHERE tenant = $1 AND n > $2 ORDER BY n", int64(1))
	reservationsOf    = lookup("reservations of works", "SELECT "+reservationColumns+" FROM reservations WHERE tenant = $1 AND "+in("work", 2), int64(1), "w000100", "w000200")
	todosByWork       = paged("todos by work", "ss", "SELECT work, field, why, since FROM todos WHERE tenant = $1 AND (work, field) > ($2, $3) ORDER BY work, field", int64(1))
	todosByField      = paged("todos of a field", "s", "SELECT work, field, why, since FROM todos WHERE tenant = $1 AND field = $2 AND work > $3 ORDER BY work", int64(1), "creator")
	todosOf           = lookup("todos of works", "SELECT work, field, why, since FROM todos WHERE tenant = $1 AND "+in("work", 2), int64(1), "w000100", "w000200")
)

// PutRefusals keeps why objects were refused. An object has one reason, the last one given.
func (r *Registry) PutRefusals(ctx context.Context, s Scope, refusals []Refusal) (c Changes, err error) {
	err = r.write(ctx, s, "PutRefusals", func(t *tx, tenant int64) error {
		list := make([][]any, len(refusals))
		for i, f := range refusals {
			if f.Name == "" || len(f.Name) > mostText {
				return fmt.Errorf("registry: a refused object's name of %d bytes (%.40q): give 1 to %d", len(f.Name), f.Name, mostText)
			}
			if err := checkID("kind of refusal", f.Kind); err != nil {
				return err
			}
			if err := checkText("detail", f.Detail, mostText); err != nil {
				return err
			}
			key := sha256.Sum256([]byte(f.Name))
			list[i] = []any{int64(0), tenant, micros(f.At), key[:], []byte(f.Name), f.Kind, f.Detail}
		}
		c, err = t.put(ctx, refusalsTable, list)
		return err
	})
	return c, err
}

// DropRefusals forgets why objects were refused: they have become works, or are gone.
func (r *Registry) DropRefusals(ctx context.Context, s Scope, names []string) (c Changes, err error) {
	err = r.write(ctx, s, "DropRefusals", func(t *tx, tenant int64) error {
		c = Changes{}
		for _, name := range names {
			key := sha256.Sum256([]byte(name))
			n, err := t.exec(ctx, "DELETE FROM refusals WHERE tenant = $1 AND key = $2", tenant, key[:])
			if err != nil {
				return err
			}
			c.Removed += int(n)
			c.Unchanged += 1 - int(n)
		}
		return nil
	})
	return c, err
}

// Refusals lists refused objects in the order they were first refused; of one kind, if given.
func (r *Registry) Refusals(ctx context.Context, s Scope, kind string, p Page) (l List[Refusal], err error) {
	if kind != "" {
		if err := checkID("kind of refusal", kind); err != nil {
			return l, err
		}
	}
	err = r.read(ctx, s, "Refusals", func(q querier, tenant int64) error {
		st, args := refusalsInOrder, []any{tenant}
		if kind != "" {
			st, args = refusalsOfKind, append(args, kind)
		}
		l, err = list(ctx, q, st, args, p, func(r rows) (f Refusal, keys []any, err error) {
			var n, when int64
			var name []byte
			err = r.Scan(&n, &name, &f.Kind, &f.Detail, &when)
			f.Name, f.At = string(name), at(when)
			return f, []any{n}, err
		})
		return err
	})
	return l, err
}

// PutReservations keeps evidence. The same found again later is the same: the first time stays. It does not change the
// state of works; SetWorkState does.
func (r *Registry) PutReservations(ctx context.Context, s Scope, reservations []Reservation) (c Changes, err error) {
	err = r.write(ctx, s, "PutReservations", func(t *tx, tenant int64) error {
		list := make([][]any, len(reservations))
		for i, v := range reservations {
			if list[i], err = v.row(tenant); err != nil {
				return err
			}
		}
		c, err = t.put(ctx, reservationsTable, list)
		return err
	})
	return c, err
}

func (v Reservation) row(tenant int64) ([]any, error) {
	if v.Work != "" {
		if err := v.Work.Check(); err != nil {
			return nil, err
		}
	} else if v.Path == "" {
		return nil, fmt.Errorf("registry: a reservation (%s at %.80q) for nothing: name the work or the path", v.Protocol, v.URL)
	}
	if err := checkID("protocol", v.Protocol); err != nil {
		return nil, err
	}
	if err := checkText("path", v.Path, mostName); err != nil {
		return nil, err
	}
	for what, s := range map[string]string{"URL": v.URL, "effect": v.Effect, "value": v.Value, "detail": v.Detail} {
		if err := checkText(what, s, mostText); err != nil {
			return nil, err
		}
	}
	if len(v.Raw) == 0 || len(v.Raw) > mostJSON || v.Found.IsZero() {
		return nil, fmt.Errorf("registry: a reservation of work %q (%s) with %d bytes of evidence, found at %v: give when, and 1 to %d bytes", v.Work, v.Protocol, len(v.Raw), v.Found, mostJSON)
	}
	hash := sha256.Sum256(v.Raw)
	key := sha256.Sum256(canonicalValues([]any{string(v.Work), v.Path, v.Protocol, v.Raw, v.URL}))
	return []any{int64(0), tenant, micros(v.Found), key[:], hash[:], v.Raw, string(v.Work), v.Path, v.Protocol, v.URL, v.Effect, v.Value, v.Detail}, nil
}

func scanReservation(r rows) (n int64, v Reservation, err error) {
	var found int64
	var hash []byte
	err = r.Scan(&n, &v.Work, &v.Path, &v.Protocol, &v.Raw, &v.URL, &found, &hash, &v.Effect, &v.Value, &v.Detail)
	v.Found, v.SHA256 = at(found), hex.EncodeToString(hash)
	return n, v, err
}

// Reservations lists the evidence in the order it came.
func (r *Registry) Reservations(ctx context.Context, s Scope, p Page) (l List[Reservation], err error) {
	err = r.read(ctx, s, "Reservations", func(q querier, tenant int64) error {
		l, err = list(ctx, q, reservationsOrder, []any{tenant}, p, func(r rows) (Reservation, []any, error) {
			n, v, err := scanReservation(r)
			return v, []any{n}, err
		})
		return err
	})
	return l, err
}

// ReservationsOf gives the evidence found for works themselves, by work, what came first first. At most MostPerPage works.
func (r *Registry) ReservationsOf(ctx context.Context, s Scope, works []concepts.WorkID) (found []Reservation, err error) {
	err = r.read(ctx, s, "ReservationsOf", func(q querier, tenant int64) error {
		keys, err := keysOf("works", works)
		if err != nil {
			return err
		}
		type numbered struct {
			n int64
			Reservation
		}
		var list []numbered
		err = lookupEach(ctx, q, reservationsOf.text, []any{tenant}, keys, func(r rows) error {
			n, v, err := scanReservation(r)
			list = append(list, numbered{n, v})
			return err
		})
		slices.SortFunc(list, func(a, b numbered) int { return cmp.Or(cmp.Compare(a.Work, b.Work), cmp.Compare(a.n, b.n)) })
		for _, v := range list {
			found = append(found, v.Reservation)
		}
		return err
	})
	return found, err
}

// PutTodos sets what is missing of works: the list of each becomes that among todos, perhaps none.
func (r *Registry) PutTodos(ctx context.Context, s Scope, works []concepts.WorkID, todos []Todo, now time.Time) (c Changes, err error) {
	err = r.write(ctx, s, "PutTodos", func(t *tx, tenant int64) error {
		listed := make(map[concepts.WorkID]bool, len(works))
		for _, w := range works {
			if err := w.Check(); err != nil {
				return err
			}
			listed[w] = true
		}
		var list [][]any
		for _, todo := range todos {
			if !listed[todo.Work] {
				return fmt.Errorf("registry: something to do for work %.130q, which is not among the works to set", string(todo.Work))
			}
			if err := checkID("field", todo.Field); err != nil {
				return err
			}
			if err := checkText("reason", todo.Why, mostText); err != nil {
				return err
			}
			list = append(list, []any{tenant, micros(now), string(todo.Work), todo.Field, todo.Why})
		}
		c, err = t.replace(ctx, todosTable, []any{tenant}, toAny(sortedKeys(listed)), list)
		return err
	})
	return c, err
}

func scanTodo(r rows) (t Todo, err error) {
	var since int64
	err = r.Scan(&t.Work, &t.Field, &t.Why, &since)
	t.Since = at(since)
	return t, err
}

// Todos lists what is missing by work and field; of one field, if given, by work.
func (r *Registry) Todos(ctx context.Context, s Scope, field string, p Page) (l List[Todo], err error) {
	if field != "" {
		if err := checkID("field", field); err != nil {
			return l, err
		}
	}
	err = r.read(ctx, s, "Todos", func(q querier, tenant int64) error {
		st, args := todosByWork, []any{tenant}
		if field != "" {
			st, args = todosByField, append(args, field)
		}
		l, err = list(ctx, q, st, args, p, func(r rows) (Todo, []any, error) {
			t, err := scanTodo(r)
			if field != "" {
				return t, []any{string(t.Work)}, err
			}
			return t, []any{string(t.Work), t.Field}, err
		})
		return err
	})
	return l, err
}

// TodosOf gives what is missing of works, by work and field. At most MostPerPage works.
func (r *Registry) TodosOf(ctx context.Context, s Scope, works []concepts.WorkID) (found []Todo, err error) {
	err = r.read(ctx, s, "TodosOf", func(q querier, tenant int64) error {
		keys, err := keysOf("works", works)
		if err != nil {
			return err
		}
		return lookupEach(ctx, q, todosOf.text, []any{tenant}, keys, func(r rows) error {
			t, err := scanTodo(r)
			found = append(found, t)
			return err
		})
	})
	sortBy(found, func(t Todo) string { return string(t.Work) + " " + t.Field })
	return found, err
}
