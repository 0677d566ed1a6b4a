package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/workspace"
)

// records are a bank's workspace and its registry, open. The registry's calls take scope.
type records struct {
	ws    *workspace.Workspace
	reg   *registry.Registry
	scope registry.Scope
}

// Close closes the registry.
func (r *records) Close() {
	r.reg.Close() // what was committed is safe; there is nothing to be done about the rest
}

// registryHelp explains where the registry is.
const registryHelp = `The registry holds the bank's works, catalogues, licences and deliveries. It is the file registry.db in the workspace, or a PostgreSQL database that many machines and banks share, each bank as a tenant of its own: postgres://user@host/database. A password comes from PGPASSWORD or ~/.pgpass, or stands in the variable FILIGRANE_REGISTRY; it is not kept in the workspace.`

// records opens the workspace and its registry, for reading and writing: every call is a transaction of its own. A workspace
// of before the registry is taken over first. The caller closes them.
func (s *session) records() (*records, error) {
	ws, err := s.workspace()
	if err != nil {
		return nil, err
	}
	if ws.IsOld() {
		if err := s.takeOver(ws); err != nil {
			return nil, err
		}
		if ws, err = workspace.Open(ws.Dir()); err != nil {
			return nil, err
		}
	}
	return s.recordsOf(ws)
}

func (s *session) recordsOf(ws *workspace.Workspace) (*records, error) {
	reg, err := s.openRegistry(s.registryOf(ws))
	if err != nil {
		return nil, err
	}
	r := &records{ws, reg, registry.Scope{Tenant: ws.Tenant(), Role: registry.Bank}}
	if err := r.check(s); err != nil {
		reg.Close()
		return nil, err
	}
	return r, nil
}

// registryOf gives the address of the registry: that of --registry, else the workspace's own.
func (s *session) registryOf(ws *workspace.Workspace) string {
	if s.Registry != "" {
		return s.Registry
	}
	return ws.Registry()
}

func (s *session) openRegistry(where string) (*registry.Registry, error) {
	reg, err := registry.Open(s.ctx, where)
	if err != nil && s.ctx.Err() == nil {
		return nil, inputError{err}
	}
	return reg, err
}

// check refuses a registry that does not know the bank, or knows it by another key.
func (r *records) check(s *session) error {
	known, err := r.reg.KeyFingerprint(s.ctx, r.scope)
	switch {
	case errors.Is(err, registry.ErrNotFound):
		where, err := withoutPassword(s.registryOf(r.ws))
		if err != nil {
			return err
		}
		return badInput("the registry %s has no tenant %s: check --registry, or restore it from a backup", where, r.scope.Tenant)
	case err != nil:
		return err
	case known != r.ws.KeyFingerprint():
		return otherKey(r.scope.Tenant, known, r.ws.KeyFingerprint())
	}
	return nil
}

func otherKey(tenant, known, ours string) error {
	return badInput("tenant %s of the registry has the master key %s, this workspace's is %s: numbers mean the same under one key only; choose another --tenant, or the right key", tenant, known, ours)
}

// enrol makes a bank known to a registry, or finds it there under the same key.
func enrol(ctx context.Context, reg *registry.Registry, scope registry.Scope, bank, fingerprint string, now time.Time) error {
	err := reg.InTx(ctx, func(reg *registry.Registry) error {
		switch is, err := reg.Tenant(ctx, scope); {
		case errors.Is(err, registry.ErrNotFound):
			t := registry.Tenant{ID: scope.Tenant, Kind: registry.Bank, Name: bank}
			if _, err := reg.AddTenant(ctx, registry.Scope{Role: registry.Operator}, t, now); err != nil {
				return err
			}
		case err != nil:
			return err
		case is.Kind != registry.Bank || is.Name != bank:
			return badInput("tenant %s of the registry is the %s %q, not the bank %q: choose another --tenant", is.ID, is.Kind, is.Name, bank)
		}
		_, err := reg.ClaimKey(ctx, scope, fingerprint, now)
		return err
	})
	if errors.Is(err, registry.ErrConflict) {
		known, readErr := reg.KeyFingerprint(ctx, scope)
		if readErr != nil {
			return readErr
		}
		return otherKey(scope.Tenant, known, fingerprint)
	}
	return err
}

// withoutPassword gives the address of a registry as it may be kept and shown.
func withoutPassword(where string) (string, error) {
	shown, err := registry.WithoutPassword(where)
	if err != nil {
		return "", inputError{err}
	}
	return shown, nil
}

// keptAddress gives the address of a registry as filigrane.json keeps it: without a password, a file by its absolute path.
func (s *session) keptAddress(where string) (string, error) {
	shown, err := withoutPassword(where)
	if err != nil || strings.Contains(shown, "://") {
		return shown, err
	}
	return filepath.Abs(shown)
}

// each calls f for every item of a list of the registry, page by page.
func each[T any](list func(registry.Page) (registry.List[T], error), f func(T) error) error {
	for p := (registry.Page{Limit: registry.MostPerPage}); ; {
		l, err := list(p)
		if err != nil {
			return err
		}
		for _, item := range l.Items {
			if err := f(item); err != nil {
				return err
			}
		}
		if p.After = l.Next; p.After == "" {
			return nil
		}
	}
}

// collect gives all items of a list of the registry.
func collect[T any](list func(registry.Page) (registry.List[T], error)) (all []T, err error) {
	err = each(list, func(item T) error {
		all = append(all, item)
		return nil
	})
	return all, err
}

// registryError tells the caller's own mistakes, which the registry names, from faults.
func registryError(err error) bool {
	for _, kind := range []error{registry.ErrNotFound, registry.ErrForbidden, registry.ErrConflict, registry.ErrState, registry.ErrDamaged, registry.ErrNewer} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
