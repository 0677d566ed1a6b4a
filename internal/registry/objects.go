package registry

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
)

// Object is what an import knows of an object of the tenant's store that is a work: a file by its path below the root of
// masters, or a key of a bucket.
type Object struct {
	Name string
	// Bytes and Modified are as the store listed them, ETag too if it has one. Modified is kept to the nanosecond.
	Bytes    int64
	Modified time.Time
	ETag     string
	SHA256   string // of its bytes, in hex
	Work     concepts.WorkID
	IDs      []string // the identifiers it carries, in order
	Outside  string   // a hash of what was said of it outside the file, "" for nothing
	Reserved Reserver
	Missing  bool // the last import did not find it, or refused it
}

// Reserver says who reserves training on the work of an object. Numbers are kept.
type Reserver int

// Who reserves.
const (
	ByNobody Reserver = iota // or somebody whose word was lifted by the table
	ByFile                   // the file's metadata, or a rule about the site: a consent may lift it
	ByTable                  // the bank's own table, which no general consent lifts
)

var objectsTable = &table{name: "objects", cols: columns("tenant i, bytes i, modified i, missing i, reserved i, sha256 b, name t, etag t, work t, ids t, outside t"),
	order: []string{"tenant", "name"}, fixed: []string{"tenant"}, key: []string{"name"}, lookup: "name",
	compare: []string{"bytes", "modified", "missing", "reserved", "sha256", "etag", "work", "ids", "outside"}}

const objectColumns = "bytes, modified, missing, reserved, sha256, name, etag, work, ids, outside"

var (
	objectsInOrder  = paged("objects by name", "s", "SELECT "+objectColumns+" FROM objects WHERE tenant = $1 AND name > $2 ORDER BY name", int64(1))
	objectsBySHA256 = lookup("objects by sha256", "SELECT "+objectColumns+" FROM objects WHERE tenant = $1 AND sha256 = $2 ORDER BY name LIMIT 100", int64(1), make([]byte, 32))
	objectsByNames  = lookup("objects by names", "SELECT "+objectColumns+" FROM objects WHERE tenant = $1 AND "+in("name", 2), int64(1), "p/000100.jpg", "p/000200.jpg")
	missingObjects  = paged("missing objects by name", "s", "SELECT "+objectColumns+" FROM objects WHERE tenant = $1 AND missing = 1 AND name > $2 ORDER BY name", int64(1))
	liveBySHA256    = lookup("bytes that objects have", "SELECT sha256 FROM objects WHERE missing = 0 AND tenant = $1 AND "+in("sha256", 2), int64(1), make([]byte, 32), make([]byte, 32))
)

func (o Object) row(tenant int64) ([]any, error) {
	wrong := func(err error) error { return fmt.Errorf("registry: object %.80q: %w", o.Name, err) }
	if err := concepts.CheckPath(o.Name); err != nil {
		return nil, wrong(err)
	}
	if err := o.Work.Check(); err != nil {
		return nil, wrong(err)
	}
	hash, err := hex.DecodeString(o.SHA256)
	if err != nil || len(hash) != 32 {
		return nil, wrong(fmt.Errorf("SHA-256 %.80q is not 64 hex digits", o.SHA256))
	}
	if o.Bytes < 1 || o.Reserved < ByNobody || o.Reserved > ByTable {
		return nil, wrong(fmt.Errorf("%d bytes, reserved by %d: give its size as listed and one of the reservers", o.Bytes, o.Reserved))
	}
	ids := asJSON(o.IDs)
	for what, s := range map[string]string{"ETag": o.ETag, "identifiers": ids, "hash of what is outside": o.Outside} {
		if err := checkText(what, s, mostText); err != nil {
			return nil, wrong(err)
		}
	}
	return []any{tenant, o.Bytes, o.Modified.UnixNano(), number(o.Missing), int64(o.Reserved), hash, o.Name, o.ETag, string(o.Work), ids, o.Outside}, nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func scanObject(r rows) (o Object, err error) {
	var modified, missing, reserved int64
	var hash []byte
	var ids string
	if err := r.Scan(&o.Bytes, &modified, &missing, &reserved, &hash, &o.Name, &o.ETag, &o.Work, &ids, &o.Outside); err != nil {
		return o, err
	}
	o.Modified, o.Missing, o.Reserved, o.SHA256 = time.Unix(0, modified).UTC(), missing != 0, Reserver(reserved), hex.EncodeToString(hash)
	o.IDs, err = fromJSON[string](ids)
	return o, err
}

// PutObjects keeps what is known of objects: each becomes as given.
func (r *Registry) PutObjects(ctx context.Context, s Scope, objects []Object) (c Changes, err error) {
	err = r.write(ctx, s, "PutObjects", func(t *tx, tenant int64) error {
		list := make([][]any, len(objects))
		for i, o := range objects {
			if list[i], err = o.row(tenant); err != nil {
				return err
			}
		}
		c, err = t.put(ctx, objectsTable, list)
		return err
	})
	return c, err
}

// DropObjects forgets objects, which have other names now. Their works stay.
func (r *Registry) DropObjects(ctx context.Context, s Scope, names []string) (c Changes, err error) {
	err = r.write(ctx, s, "DropObjects", func(t *tx, tenant int64) error {
		c = Changes{}
		for _, name := range names {
			n := int64(0)
			if checkText("name", name, mostName) == nil { // what cannot be kept is not there
				if n, err = t.exec(ctx, "DELETE FROM objects WHERE tenant = $1 AND name = $2", tenant, name); err != nil {
					return err
				}
			}
			c.Removed += int(n)
			c.Unchanged += 1 - int(n)
		}
		return nil
	})
	return c, err
}

// Objects lists what is known of the objects below a folder, "" or a prefix that ends in "/", in the order of their names'
// bytes. Nothing is held open between pages.
func (r *Registry) Objects(ctx context.Context, s Scope, folder string, p Page) (l List[Object], err error) {
	if err := checkText("folder", folder, mostName); err != nil {
		return l, err
	}
	if folder != "" && !strings.HasSuffix(folder, "/") {
		return l, fmt.Errorf("registry: objects below %.80q: a folder ends in /", folder)
	}
	if folder != "" && p.After == "" {
		p.After = objectsInOrder.cursor([]any{folder}) // no object has that name
	}
	err = r.read(ctx, s, "Objects", func(q querier, tenant int64) error {
		l, err = list(ctx, q, objectsInOrder, []any{tenant}, p, func(r rows) (Object, []any, error) {
			o, err := scanObject(r)
			return o, []any{o.Name}, err
		})
		return err
	})
	if end := slices.IndexFunc(l.Items, func(o Object) bool { return !strings.HasPrefix(o.Name, folder) }); end >= 0 {
		l.Items, l.Next = l.Items[:end], ""
	}
	return l, err
}

// MissingObjects lists the objects that the last import did not find, or refused, by name.
func (r *Registry) MissingObjects(ctx context.Context, s Scope, p Page) (l List[Object], err error) {
	err = r.read(ctx, s, "MissingObjects", func(q querier, tenant int64) error {
		l, err = list(ctx, q, missingObjects, []any{tenant}, p, func(r rows) (Object, []any, error) {
			o, err := scanObject(r)
			return o, []any{o.Name}, err
		})
		return err
	})
	return l, err
}

// siteKind are documents about the bank's site, named by who keeps them.
const siteKind = "site"

// SiteRules gives what was kept last under a name; found is false if nothing was.
func (r *Registry) SiteRules(ctx context.Context, s Scope, name string) (data []byte, found bool, err error) {
	err = r.read(ctx, s, "SiteRules", func(q querier, tenant int64) error {
		data, found, err = document(ctx, q, tenant, siteKind, name)
		return err
	})
	return data, found, err
}

// SetSiteRules keeps rules about the bank's site, in their own bytes, in place of those before: they hold for every import.
func (r *Registry) SetSiteRules(ctx context.Context, s Scope, name string, data []byte, now time.Time) (c Changes, err error) {
	if err := checkID("name of rules", name); err != nil {
		return c, err
	}
	err = r.write(ctx, s, "SetSiteRules", func(t *tx, tenant int64) error {
		c, err = t.putDocument(ctx, tenant, siteKind, name, data, false, now)
		return err
	})
	return c, err
}

// ObjectsAt gives those of the objects that are known, by name; at most MostPerPage names.
func (r *Registry) ObjectsAt(ctx context.Context, s Scope, names []string) (found []Object, err error) {
	err = r.read(ctx, s, "ObjectsAt", func(q querier, tenant int64) error {
		keys, err := keysOf("names", names)
		if err != nil {
			return err
		}
		return lookupEach(ctx, q, objectsByNames.text, []any{tenant}, keys, func(r rows) error {
			o, err := scanObject(r)
			found = append(found, o)
			return err
		})
	})
	sortBy(found, func(o Object) string { return o.Name })
	return found, err
}

// ObjectsBySHA256 gives the objects known to have these bytes, missing ones too, by name; the first 100 of them.
func (r *Registry) ObjectsBySHA256(ctx context.Context, s Scope, hash [32]byte) (found []Object, err error) {
	err = r.read(ctx, s, "ObjectsBySHA256", func(q querier, tenant int64) error {
		return each(ctx, q, objectsBySHA256.text, []any{tenant, hash[:]}, func(r rows) error {
			o, err := scanObject(r)
			found = append(found, o)
			return err
		})
	})
	return found, err
}

// HaveObjects tells which of some bytes, given by their SHA-256, an object has that is not missing. At most MostPerPage.
func (r *Registry) HaveObjects(ctx context.Context, s Scope, hashes [][32]byte) (have map[[32]byte]bool, err error) {
	if len(hashes) > MostPerPage {
		return nil, fmt.Errorf("registry: %d hashes at once: at most %d", len(hashes), MostPerPage)
	}
	have = map[[32]byte]bool{}
	err = r.read(ctx, s, "HaveObjects", func(q querier, tenant int64) error {
		keys := make([]any, len(hashes))
		for i := range hashes {
			keys[i] = hashes[i][:]
		}
		return lookupEach(ctx, q, liveBySHA256.text, []any{tenant}, keys, func(r rows) error {
			var hash []byte
			err := r.Scan(&hash)
			if err == nil && len(hash) == 32 {
				have[[32]byte(hash)] = true
			}
			return err
		})
	})
	return have, err
}

// Check returns an error that names the work unless PutWorks would keep it.
func (w Work) Check() error { return w.check() }

// WorkStates gives the states of those of the works that are there; at most MostPerPage.
func (r *Registry) WorkStates(ctx context.Context, s Scope, ids []concepts.WorkID) (states map[concepts.WorkID]WorkState, err error) {
	states = map[concepts.WorkID]WorkState{}
	err = r.read(ctx, s, "WorkStates", func(q querier, tenant int64) error {
		keys, err := keysOf("works", ids)
		if err != nil {
			return err
		}
		return lookupEach(ctx, q, workStatesOf.text, []any{tenant}, keys, func(r rows) error {
			var id string
			var n int64
			err := r.Scan(&id, &n)
			states[concepts.WorkID(id)] = WorkState(n)
			return err
		})
	})
	return states, err
}

// PartiesByID gives those of the parties that are there, by id, with their identifiers; at most MostPerPage.
func (r *Registry) PartiesByID(ctx context.Context, s Scope, ids []string) (found []Party, err error) {
	err = r.read(ctx, s, "PartiesByID", func(q querier, tenant int64) error {
		keys, err := keysOf("parties", ids)
		if err != nil {
			return err
		}
		found, err = partiesOf(ctx, q, tenant, keys)
		return err
	})
	return found, err
}

func partiesOf(ctx context.Context, q querier, tenant int64, keys []any) (found []Party, err error) {
	err = lookupEach(ctx, q, partiesByIDs.text, []any{tenant}, keys, func(r rows) error {
		var p Party
		err := r.Scan(&p.ID, &p.Name)
		found = append(found, p)
		return err
	})
	if err != nil {
		return nil, err
	}
	sortBy(found, func(p Party) string { return p.ID })
	return found, identify(ctx, q, tenant, found)
}

var partiesByIDs = lookup("parties by ids, with names", "SELECT id, name FROM parties WHERE tenant = $1 AND "+in("id", 2), int64(1), "p000100", "p000200")

// PartiesByIdentifier gives the parties that identifiers name, by id; those that name none are passed over. At most
// MostPerPage identifiers.
func (r *Registry) PartiesByIdentifier(ctx context.Context, s Scope, ids []Identifier) (found []Party, err error) {
	if len(ids) > MostPerPage {
		return nil, fmt.Errorf("registry: %d identifiers at once: at most %d", len(ids), MostPerPage)
	}
	err = r.read(ctx, s, "PartiesByIdentifier", func(q querier, tenant int64) error {
		byScheme := map[string][]any{}
		for _, id := range ids {
			if checkID("scheme", id.Scheme) == nil && checkID("identifier", id.Value) == nil { // else it is not there
				byScheme[id.Scheme] = append(byScheme[id.Scheme], id.Value)
			}
		}
		var keys []any
		for _, scheme := range sortedKeys(byScheme) {
			err := lookupEach(ctx, q, idOwners.text, []any{tenant, scheme}, byScheme[scheme], func(r rows) error {
				var id Identifier
				var owner string
				err := r.Scan(&id.Scheme, &id.Value, &owner)
				keys = append(keys, owner)
				return err
			})
			if err != nil {
				return err
			}
		}
		found, err = partiesOf(ctx, q, tenant, unique(keys))
		return err
	})
	return found, err
}
