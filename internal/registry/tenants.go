package registry

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Tenant is somebody whose rows are kept apart from everybody else's.
type Tenant struct {
	ID   string // 1 to 128 bytes
	Kind Role
	Name string
	// Added is when, set by AddTenant.
	Added time.Time
}

var tenantsTable = &table{name: "tenants", cols: columns("n i, added i, id t, kind t, name t"), order: []string{"n"},
	key: []string{"id"}, lookup: "id", compare: []string{"kind", "name"}, keep: []string{"n", "added"}}

// AddTenant makes a tenant, or changes the name or kind of one.
func (r *Registry) AddTenant(ctx context.Context, s Scope, t Tenant, now time.Time) (c Changes, err error) {
	if err := checkID("tenant", t.ID); err != nil {
		return c, err
	}
	if err := checkText("tenant's name", t.Name, mostName); err != nil {
		return c, err
	}
	if !slices.Contains(Roles(), t.Kind) {
		return c, fmt.Errorf("registry: tenant %s: kind %q: choose one of %v", t.ID, t.Kind, Roles())
	}
	err = r.write(ctx, s, "AddTenant", func(tx *tx, _ int64) (err error) {
		c, err = tx.put(ctx, tenantsTable, [][]any{{int64(0), micros(now), t.ID, string(t.Kind), t.Name}})
		return err
	})
	return c, err
}

var (
	tenantByNumber = lookup("tenant by number", "SELECT id, kind, name, added FROM tenants WHERE n = $1", int64(1))
	tenantsByID    = paged("tenants by id", "s", "SELECT id, kind, name, added FROM tenants WHERE id > $1 ORDER BY id")
)

func scanTenant(r rows) (t Tenant, keys []any, err error) {
	var kind string
	var added int64
	err = r.Scan(&t.ID, &kind, &t.Name, &added)
	t.Kind, t.Added = Role(kind), at(added)
	return t, []any{t.ID}, err
}

// Tenant gives the scope's own tenant.
func (r *Registry) Tenant(ctx context.Context, s Scope) (t Tenant, err error) {
	err = r.read(ctx, s, "Tenant", func(q querier, tenant int64) error {
		return each(ctx, q, tenantByNumber.text, []any{tenant}, func(r rows) error {
			t, _, err = scanTenant(r)
			return err
		})
	})
	return t, err
}

// Tenants lists all tenants by id.
func (r *Registry) Tenants(ctx context.Context, s Scope, p Page) (l List[Tenant], err error) {
	err = r.read(ctx, s, "Tenants", func(q querier, _ int64) error {
		l, err = list(ctx, q, tenantsByID, nil, p, scanTenant)
		return err
	})
	return l, err
}

// micros gives a time as it is kept, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// at is the inverse.
func at(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
