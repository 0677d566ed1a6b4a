package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/workspace"
)

// asOperator is whoever runs the installation: makes tenants and backs up, and reads nobody's works.
var asOperator = registry.Scope{Role: registry.Operator}

// installation opens the registry without a tenant: that of --registry, else the workspace's.
func (s *session) installation() (reg *registry.Registry, where string, err error) {
	if where, err = s.registryPlace(); err != nil {
		return nil, "", err
	}
	reg, err = s.openRegistry(where)
	return reg, where, err
}

func (s *session) registryPlace() (string, error) {
	if s.Registry != "" {
		return s.Registry, nil
	}
	ws, err := s.workspace()
	if err != nil {
		return "", badInput("%w; or name the registry with --registry", err)
	}
	return ws.Registry(), nil
}

// tenantsCmd is "filigrane tenants".
type tenantsCmd struct {
	List tenantsListCmd `cmd:"" help:"List the tenants of the registry, one a line."`
	Add  tenantsAddCmd  `cmd:"" help:"Make a tenant."`
}

// Help explains tenants.
func (tenantsCmd) Help() string {
	return `For whoever runs the installation. A tenant is a bank, a provider who is given licences, a rights holder or an expert; its rows are kept apart from everybody else's. Banks come by 'filigrane init'.

Example: filigrane tenants add acme --kind provider --name "Acme Models"`
}

type tenantJSON struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"`
	Name  string    `json:"name"`
	Added time.Time `json:"added"`
	New   *bool     `json:"new,omitempty"`
}

// tenantsListCmd is "filigrane tenants list".
type tenantsListCmd struct{}

// Run prints one line per tenant.
func (c *tenantsListCmd) Run(s *session) error {
	reg, _, err := s.installation()
	if err != nil {
		return err
	}
	defer reg.Close()
	return each(func(p registry.Page) (registry.List[registry.Tenant], error) {
		return reg.Tenants(s.ctx, asOperator, p)
	},
		func(t registry.Tenant) error { return s.emit(tenantJSON{t.ID, string(t.Kind), t.Name, t.Added, nil}) })
}

// tenantsAddCmd is "filigrane tenants add".
type tenantsAddCmd struct {
	ID   string `arg:"" help:"The tenant's id: 1 to 128 bytes without space."`
	Kind string `required:"" placeholder:"KIND" help:"bank, provider, rights_holder or expert."`
	Name string `required:"" placeholder:"NAME" help:"The name, for people."`
}

// Help gives an example.
func (tenantsAddCmd) Help() string {
	return `Example: filigrane tenants add acme --kind provider --name "Acme Models"`
}

// Run makes the tenant.
func (c *tenantsAddCmd) Run(s *session) error {
	if err := workspace.CheckTenant(c.ID); err != nil {
		return inputError{err}
	}
	kind := registry.Role(c.Kind)
	switch kind {
	case registry.Bank, registry.Provider, registry.RightsHolder, registry.Expert:
	default:
		return badInput("--kind %q: choose bank, provider, rights_holder or expert", c.Kind)
	}
	reg, _, err := s.installation()
	if err != nil {
		return err
	}
	defer reg.Close()
	scope := registry.Scope{Tenant: c.ID, Role: registry.Bank}
	is, err := reg.Tenant(s.ctx, scope)
	isNew := errors.Is(err, registry.ErrNotFound)
	switch {
	case isNew:
		if _, err := reg.AddTenant(s.ctx, asOperator, registry.Tenant{ID: c.ID, Kind: kind, Name: c.Name}, time.Now()); err != nil {
			return err
		}
		if is, err = reg.Tenant(s.ctx, scope); err != nil {
			return err
		}
	case err != nil:
		return err
	case is.Kind != kind || is.Name != c.Name:
		return badInput("tenant %s is there as the %s %q: choose another id", is.ID, is.Kind, is.Name)
	}
	return s.emit(tenantJSON{is.ID, string(is.Kind), is.Name, is.Added, &isNew})
}

// backupCmd is "filigrane backup".
type backupCmd struct {
	Output string `short:"o" required:"" placeholder:"FILE" help:"The file to write: .tar.zst or .tar for a dump that any database reads, .db for a copy of a registry in a file."`
}

const (
	dumpEnding, packedEnding, copyEnding = ".tar", ".tar.zst", ".db"
)

// Help explains backups.
func (backupCmd) Help() string {
	return `Writes everything the registry holds, of all tenants, as it is at one moment, while others go on working. The master key is not in it, nor are masters and deliveries: back up master.key by itself, and keep the two apart, since whoever has both can forge every mark. A dump holds names and contracts: encrypt it where you keep it.

To begin again on another machine: make a folder and put master.key into it, mode 0600, then 'filigrane restore FILE --registry FOLDER/registry.db' and 'filigrane init FOLDER --bank NAME'. That finds the key, asks for its passphrase if it is sealed (or takes FILIGRANE_PASSPHRASE), and finds the bank in the registry. Give --tenant ID too where 'filigrane status' showed another tenant than the bank's name makes. With a registry in PostgreSQL name its address in both, or in 'init' only if the database is still there. A key that is kept elsewhere comes by FILIGRANE_KEY or --key-command as ever.

A newer program reads the backups of older ones; an older program refuses those of newer ones.

Example: filigrane backup -o /backups/registry-2026-11-24.tar.zst`
}

// backupJSON is the report of a backup or of a restoration.
type backupJSON struct {
	File     string                  `json:"file"`
	Registry string                  `json:"registry"`
	Bytes    int64                   `json:"bytes"`
	SHA256   string                  `json:"sha256"`
	Schema   int                     `json:"schema"`
	Tables   map[string]registry.Sum `json:"tables"`
}

// Run backs up.
func (c *backupCmd) Run(s *session) error {
	if exists(c.Output) {
		return badInput("-o %s exists; a backup replaces nothing: choose another name", c.Output)
	}
	reg, where, err := s.installation()
	if err != nil {
		return err
	}
	defer reg.Close()
	rep := backupJSON{File: c.Output, Schema: registry.SchemaVersion()}
	if rep.Registry, err = withoutPassword(where); err != nil {
		return err
	}
	switch {
	case strings.HasSuffix(c.Output, packedEnding), strings.HasSuffix(c.Output, dumpEnding):
		rep.Tables, err = c.dump(s, reg)
	case strings.HasSuffix(c.Output, copyEnding):
		if reg.Pool() != nil {
			return badInput("-o %s: the registry is a PostgreSQL database, of which there is no copy in a file; choose %s", c.Output, packedEnding)
		}
		if err = reg.Snapshot(s.ctx, asOperator, c.Output); err == nil {
			rep.Tables, err = sumsOf(s, c.Output)
		}
	default:
		return badInput("-o %s: choose a name that ends in %s, %s or %s", c.Output, packedEnding, dumpEnding, copyEnding)
	}
	if err != nil {
		return err
	}
	if rep.Bytes, rep.SHA256, err = hashFile(c.Output); err != nil {
		return err
	}
	s.note("%s holds the registry; the master key is not in it", c.Output)
	return s.emit(rep)
}

// dump writes a dump into a temporary file, which gets its name when it is whole and on the disk.
func (c *backupCmd) dump(s *session, reg *registry.Registry) (sums map[string]registry.Sum, err error) {
	f, err := os.CreateTemp(filepath.Dir(c.Output), ".filigrane-backup-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if strings.HasSuffix(c.Output, packedEnding) {
		packer, err := zstd.NewWriter(f)
		if err != nil {
			return nil, err
		}
		if sums, err = reg.Dump(s.ctx, asOperator, packer, time.Now()); err != nil {
			return nil, err
		}
		if err := packer.Close(); err != nil {
			return nil, err
		}
	} else if sums, err = reg.Dump(s.ctx, asOperator, f, time.Now()); err != nil {
		return nil, err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return sums, settle(f.Name(), c.Output)
}

// settle gives a file its name, which must be free, for good.
func settle(from, to string) error {
	if err := os.Link(from, to); err != nil { // unlike a rename it replaces nothing
		return err
	}
	if dir, err := os.Open(filepath.Dir(to)); err == nil {
		dir.Sync() // some file systems cannot
		dir.Close()
	}
	return nil
}

func hashFile(name string) (int64, string, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), err
}

// sumsOf opens a registry's file and hashes what it holds.
func sumsOf(s *session, file string) (map[string]registry.Sum, error) {
	reg, err := s.openRegistry(file)
	if err != nil {
		return nil, err
	}
	defer reg.Close()
	return reg.Sums(s.ctx, asOperator)
}

// restoreCmd is "filigrane restore".
type restoreCmd struct {
	File string `arg:"" help:"What 'filigrane backup' wrote."`
	Use  bool   `help:"Make it the registry of this workspace from now on: so an installation moves."`
}

// Help explains restoring.
func (restoreCmd) Help() string {
	return `Reads a backup into an empty registry: the one of --registry, else the workspace's own, whose file must not be there, nor its -wal, -shm and -journal. What is then in it is compared with the sums in a dump, or with those of the copy before it was put in place; it is there in full or not at all. A backup of an older program is brought up to date, for which the database must be new. A dump goes into either kind of database, so this is how an installation moves from a file to PostgreSQL. The master key is not in a backup.

Example: filigrane restore registry-2026-11-24.tar.zst --registry postgres://filigrane@db.example.org/filigrane --use`
}

// Run restores.
func (c *restoreCmd) Run(s *session) (err error) {
	where, err := s.registryPlace()
	if err != nil {
		return err
	}
	rep := backupJSON{File: c.File, Schema: registry.SchemaVersion()}
	if rep.Registry, err = withoutPassword(where); err != nil {
		return err
	}
	if rep.Bytes, rep.SHA256, err = hashFile(c.File); err != nil {
		return err
	}
	if strings.HasSuffix(c.File, copyEnding) {
		rep.Tables, err = c.copy(s, where, rep.SHA256)
	} else {
		rep.Tables, err = c.load(s, where)
	}
	if err != nil {
		return err
	}
	s.note("restored %s; the sums agree", c.File)
	if c.Use {
		if err := s.use(where); err != nil {
			return err
		}
	}
	return s.emit(rep)
}

// use makes a registry that of the workspace.
func (s *session) use(where string) error {
	ws, err := s.workspace()
	if err != nil {
		return err
	}
	kept, err := s.keptAddress(where)
	if err != nil {
		return err
	}
	release, err := ws.Lock("filigrane " + s.verb)
	if err != nil {
		return err
	}
	defer release()
	return ws.SetRegistry(kept)
}

// beside are what SQLite keeps next to a database's file: with another file under its name they would be replayed into that.
var beside = []string{"-wal", "-shm", "-journal"}

// free refuses the path of a file of which anything is there.
func free(where string, endings ...string) error {
	for _, ending := range endings {
		if exists(where + ending) {
			return badInput("%s is there already; move it away first", where+ending)
		}
	}
	return nil
}

// inPlace lets fill make a registry's file under another name, in a folder of its own beside where it belongs, and puts it in place
// when it is whole and closed. What goes wrong leaves nothing, and nobody sees half of it.
func (c *restoreCmd) inPlace(s *session, where string, fill func(part string) (map[string]registry.Sum, error)) (sums map[string]registry.Sum, err error) {
	if err := free(where, append([]string{""}, beside...)...); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(where), ".filigrane-restore-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	part := filepath.Join(dir, "registry.db")
	want, err := fill(part)
	if err != nil {
		return nil, err
	}
	if err := free(part, beside...); err != nil {
		return nil, fmt.Errorf("another process has opened what is being restored: %w", err)
	}
	if err := settle(part, where); err != nil {
		return nil, err
	}
	if sums, err = sumsOf(s, where); err == nil && !maps.Equal(sums, want) {
		err = fmt.Errorf("%s holds something else than what was restored: another process, or the disk, changed it; nothing was kept", where)
	}
	if err != nil {
		for _, ending := range append([]string{""}, beside...) {
			os.Remove(where + ending)
		}
	}
	return sums, err
}

// load reads a dump, packed or not, into a database that is there and empty, or into a new file.
func (c *restoreCmd) load(s *session, where string) (map[string]registry.Sum, error) {
	f, err := os.Open(c.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var dump io.Reader = f
	switch {
	case strings.HasSuffix(c.File, packedEnding):
		unpacker, err := zstd.NewReader(f, zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return nil, err
		}
		defer unpacker.Close()
		dump = unpacker
	case !strings.HasSuffix(c.File, dumpEnding):
		return nil, badInput("%s: a backup's name ends in %s, %s or %s", c.File, packedEnding, dumpEnding, copyEnding)
	}
	restore := func(where string) (map[string]registry.Sum, error) {
		sums, err := registry.Restore(s.ctx, where, dump)
		if err != nil && s.ctx.Err() == nil {
			return nil, inputError{err}
		}
		return sums, err
	}
	if strings.Contains(where, "://") || exists(where) {
		return restore(where)
	}
	return c.inPlace(s, where, restore)
}

// copy puts a copy of a registry's file in place, once it was opened and read whole under another name.
func (c *restoreCmd) copy(s *session, where, hash string) (sums map[string]registry.Sum, err error) {
	if strings.Contains(where, "://") {
		return nil, badInput("%s is a copy of a file and goes into a file only; make a %s of it: filigrane backup --registry %s -o FILE%s", c.File, packedEnding, c.File, packedEnding)
	}
	return c.inPlace(s, where, func(part string) (map[string]registry.Sum, error) {
		if err := copyFile(c.File, part, hash); err != nil {
			return nil, err
		}
		return sumsOf(s, part)
	})
}

// copyFile copies a file to a name that is free, durably; the copy has that hash.
func copyFile(from, to, hash string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return err
	}
	if _, is, err := hashFile(to); err != nil || is != hash {
		return errors.Join(errors.New("the copy differs from the backup"), err)
	}
	return nil
}

// statusCmd is "filigrane status".
type statusCmd struct{}

// Help says what it shows.
func (statusCmd) Help() string {
	return `Says where the registry is, and how much of everything the bank has in it.

Example: filigrane status --pretty`
}

type statusJSON struct {
	Workspace    string           `json:"workspace"`
	Bank         string           `json:"bank"`
	Tenant       string           `json:"tenant"`
	Fingerprint  string           `json:"key_fingerprint"`
	Registry     string           `json:"registry"`
	Database     string           `json:"database"` // "sqlite" or "postgresql"
	Schema       int              `json:"schema"`
	Masters      string           `json:"masters"` // folder or bucket; "" before the first import
	Works        map[string]int64 `json:"works"`   // by state
	Catalogues   int64            `json:"catalogue_versions"`
	Codebook     codebookLine     `json:"codebook"`
	Licences     int64            `json:"licences"`
	Deliveries   map[string]int64 `json:"deliveries"` // by state
	Removals     int64            `json:"removals"`
	Refusals     int64            `json:"refusals"`
	Reservations int64            `json:"reservations"`
	Todos        int64            `json:"todos"`
	Keys         int64            `json:"keys"` // paths and places under which marks were made
}

// Run prints the state of things.
func (c *statusCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := r.reg.Counts(s.ctx, r.scope)
	if err != nil {
		return err
	}
	out := statusJSON{Workspace: r.ws.Dir(), Bank: r.ws.Bank(), Tenant: r.scope.Tenant, Fingerprint: r.ws.KeyFingerprint(), Database: "sqlite", Schema: registry.SchemaVersion(),
		Works: map[string]int64{}, Catalogues: n.Catalogues, Codebook: codebookLine{int(n.Concepts), int(n.Numbered)}, Licences: n.Licences, Deliveries: map[string]int64{},
		Removals: n.Removals, Refusals: n.Refusals, Reservations: n.Reservations, Todos: n.Todos, Keys: n.Markings}
	if r.reg.Pool() != nil {
		out.Database = "postgresql"
	}
	if out.Registry, err = withoutPassword(s.registryOf(r.ws)); err != nil {
		return err
	}
	if out.Masters, err = r.reg.Masters(s.ctx, r.scope); err != nil {
		return err
	}
	for state, count := range n.Works {
		out.Works[state.String()] = count
	}
	for state, count := range n.Deliveries {
		out.Deliveries[string(state)] = count
	}
	return s.emit(out)
}
