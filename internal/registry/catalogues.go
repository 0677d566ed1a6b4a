package registry

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
)

// CatalogueVersion is a frozen catalogue: what a licence binds.
type CatalogueVersion struct {
	Ref
	Frozen                       time.Time
	Works, Concepts, Memberships int64
	// Hash is what concepts.Frozen.Hash gives for the same content.
	Hash [32]byte
}

// CatalogueWork is a work as a version of a catalogue has it, with its concepts, sorted.
type CatalogueWork struct {
	concepts.Work
	Concepts []concepts.ConceptID
}

var (
	cataloguesTable = &table{name: "catalogues", cols: columns("n i, tenant i, name t"), order: []string{"n"},
		fixed: []string{"tenant"}, key: []string{"name"}, lookup: "name", keep: []string{"n"}}
	versionsTable = &table{name: "catalogue_versions", cols: columns("catalogue i, version i, frozen i, works i, concepts i, memberships i, hash b"),
		order: []string{"catalogue", "version"}}
	catalogueWorksTable = &table{name: "catalogue_works", cols: columns("catalogue i, from_version i, to_version i, work t, concepts t, body b"),
		order: []string{"catalogue", "work", "from_version"}}
	catalogueConceptsTable = &table{name: "catalogue_concepts", cols: columns("catalogue i, from_version i, to_version i, concept t, body b"),
		order: []string{"catalogue", "concept", "from_version"}}
	catalogueMembersTable = &table{name: "catalogue_members", cols: columns("catalogue i, from_version i, to_version i, work t, concept t, body b"),
		order: []string{"catalogue", "work", "concept", "from_version"}}
)

// open is the to_version of rows that nothing has replaced.
const open = 1<<31 - 1

const versionQuery = "SELECT v.catalogue, c.name, v.version, v.frozen, v.works, v.concepts, v.memberships, v.hash FROM catalogues c JOIN catalogue_versions v ON v.catalogue = c.n"

var (
	catalogueNumber  = lookup("catalogue by name", "SELECT n FROM catalogues WHERE tenant = $1 AND name = $2", int64(1), "cat000100")
	catalogueLatest  = lookup("latest version", "SELECT coalesce(max(version), 0) FROM catalogue_versions WHERE catalogue = $1", int64(100))
	versionByRef     = lookup("catalogue version", versionQuery+" WHERE c.tenant = $1 AND c.name = $2 AND v.version = $3", int64(1), "cat000100", int64(1))
	versionsByName   = paged("catalogue versions", "si", versionQuery+" WHERE c.tenant = $1 AND c.name >= $2 AND (c.name, v.version) > ($2, $3) ORDER BY c.name, v.version", int64(1))
	catalogueContent = paged("works of a catalogue version", "s",
		"SELECT work, concepts, body FROM catalogue_works WHERE catalogue = $1 AND from_version <= $2 AND to_version > $2 AND work > $3 ORDER BY work", int64(1), int64(1))
	conceptsContent = paged("concepts of a catalogue version", "s",
		"SELECT concept, body FROM catalogue_concepts WHERE catalogue = $1 AND from_version <= $2 AND to_version > $2 AND concept > $3 ORDER BY concept", int64(1), int64(1))
	membersContent = paged("memberships of a catalogue version", "ss",
		"SELECT work, concept, body FROM catalogue_members WHERE catalogue = $1 AND from_version <= $2 AND to_version > $2 AND (work, concept) > ($3, $4) ORDER BY work, concept", int64(1), int64(1))
	// A work that came or changed after version $2 and is in version $3, if it was not the same in $2 already.
	catalogueNews = paged("works new in a catalogue version", "is", "SELECT w.from_version, w.work, w.concepts, w.body, CASE WHEN o.work IS NULL THEN 1 ELSE 0 END"+
		" FROM catalogue_works w LEFT JOIN catalogue_works o ON o.catalogue = w.catalogue AND o.work = w.work AND o.from_version <= $2 AND o.to_version > $2"+
		" WHERE w.catalogue = $1 AND (w.from_version, w.work) > ($4, $5) AND w.from_version <= $3 AND w.to_version > $3"+
		" AND (o.work IS NULL OR o.body <> w.body OR o.concepts <> w.concepts) ORDER BY w.from_version, w.work", int64(1), int64(1), int64(2))
	catalogueGone = paged("works gone from a catalogue version", "is", "SELECT w.to_version, w.work"+
		" FROM catalogue_works w WHERE w.catalogue = $1 AND (w.to_version, w.work) > ($4, $5) AND w.to_version <= $3 AND w.from_version <= $2"+
		" AND NOT EXISTS (SELECT 1 FROM catalogue_works o WHERE o.catalogue = w.catalogue AND o.work = w.work AND o.from_version <= $3 AND o.to_version > $3)"+
		" ORDER BY w.to_version, w.work", int64(1), int64(1), int64(2))
)

type numberedVersion struct {
	CatalogueVersion
	n int64
}

func scanVersion(r rows) (v numberedVersion, err error) {
	var version, frozen int64
	var hash []byte
	err = r.Scan(&v.n, &v.Name, &version, &frozen, &v.Works, &v.Concepts, &v.Memberships, &hash)
	v.Version, v.Frozen = int(version), at(frozen)
	copy(v.Hash[:], hash)
	return v, err
}

func catalogueVersion(ctx context.Context, q querier, tenant int64, ref Ref) (v numberedVersion, err error) {
	found := false
	if checkID("catalogue", ref.Name) == nil && ref.Version > 0 && ref.Version < open {
		err = each(ctx, q, versionByRef.text, []any{tenant, ref.Name, int64(ref.Version)}, func(r rows) error {
			found = true
			v, err = scanVersion(r)
			return err
		})
	}
	if err == nil && !found {
		err = fmt.Errorf("%w: catalogue %.140q", ErrNotFound, ref.String())
	}
	return v, err
}

// CatalogueVersion gives what is known of one version. ErrNotFound.
func (r *Registry) CatalogueVersion(ctx context.Context, s Scope, ref Ref) (v CatalogueVersion, err error) {
	err = r.read(ctx, s, "CatalogueVersion", func(q querier, tenant int64) error {
		found, err := catalogueVersion(ctx, q, tenant, ref)
		v = found.CatalogueVersion
		return err
	})
	return v, err
}

// Catalogues lists all versions of all catalogues by name and version.
func (r *Registry) Catalogues(ctx context.Context, s Scope, p Page) (l List[CatalogueVersion], err error) {
	err = r.read(ctx, s, "Catalogues", func(q querier, tenant int64) error {
		l, err = list(ctx, q, versionsByName, []any{tenant}, p, func(r rows) (CatalogueVersion, []any, error) {
			v, err := scanVersion(r)
			return v.CatalogueVersion, []any{v.Name, int64(v.Version)}, err
		})
		return err
	})
	return l, err
}

// inVersion runs a call that lists something of a version.
func inVersion[T any](ctx context.Context, r *Registry, s Scope, call string, ref Ref, p Page, st *statement, scan func(rows) (T, []any, error)) (l List[T], err error) {
	err = r.read(ctx, s, call, func(q querier, tenant int64) error {
		v, err := catalogueVersion(ctx, q, tenant, ref)
		if err != nil {
			return err
		}
		l, err = list(ctx, q, st, []any{v.n, int64(ref.Version)}, p, scan)
		return err
	})
	return l, err
}

func scanCatalogueWork(r rows) (CatalogueWork, []any, error) {
	var id, names string
	var body []byte
	if err := r.Scan(&id, &names, &body); err != nil {
		return CatalogueWork{}, nil, err
	}
	w, err := catalogueWork(names, body)
	return w, []any{id}, err
}

func catalogueWork(names string, body []byte) (w CatalogueWork, err error) {
	for name := range strings.FieldsSeq(names) {
		w.Concepts = append(w.Concepts, concepts.ConceptID(name))
	}
	w.Work, err = parseWork(body)
	return w, err
}

// CatalogueWorks lists the works of a version by id.
func (r *Registry) CatalogueWorks(ctx context.Context, s Scope, ref Ref, p Page) (List[CatalogueWork], error) {
	return inVersion(ctx, r, s, "CatalogueWorks", ref, p, catalogueContent, scanCatalogueWork)
}

// CatalogueConcepts lists the concepts of a version by id.
func (r *Registry) CatalogueConcepts(ctx context.Context, s Scope, ref Ref, p Page) (List[concepts.Concept], error) {
	return inVersion(ctx, r, s, "CatalogueConcepts", ref, p, conceptsContent, func(r rows) (c concepts.Concept, keys []any, err error) {
		var id string
		var body []byte
		if err = r.Scan(&id, &body); err == nil {
			c, err = parseConcept(body)
		}
		return c, []any{id}, err
	})
}

// CatalogueMembers lists the memberships of a version by work and concept.
func (r *Registry) CatalogueMembers(ctx context.Context, s Scope, ref Ref, p Page) (List[concepts.Membership], error) {
	return inVersion(ctx, r, s, "CatalogueMembers", ref, p, membersContent, func(r rows) (m concepts.Membership, keys []any, err error) {
		var work, concept string
		var body []byte
		if err = r.Scan(&work, &concept, &body); err == nil {
			m, err = parseMember(body)
		}
		return m, []any{work, concept}, err
	})
}

// WorkChange is a work of a newer version that an older one does not have, or not like this.
type WorkChange struct {
	CatalogueWork
	// New says that the older version does not have the work at all.
	New bool
}

// CatalogueDiff lists the works of version to that are not in version from < to, or differ there in content or
// concepts: what an incremental delivery delivers.
func (r *Registry) CatalogueDiff(ctx context.Context, s Scope, name string, from, to int, p Page) (l List[WorkChange], err error) {
	return diff(ctx, r, s, "CatalogueDiff", name, from, to, p, catalogueNews, func(r rows) (c WorkChange, keys []any, err error) {
		var version, isNew int64
		var id, names string
		var body []byte
		if err = r.Scan(&version, &id, &names, &body, &isNew); err == nil {
			c.New = isNew == 1
			c.CatalogueWork, err = catalogueWork(names, body)
		}
		return c, []any{version, id}, err
	})
}

// CatalogueGone lists the works of version from that are not in version to > from.
func (r *Registry) CatalogueGone(ctx context.Context, s Scope, name string, from, to int, p Page) (List[concepts.WorkID], error) {
	return diff(ctx, r, s, "CatalogueGone", name, from, to, p, catalogueGone, func(r rows) (id concepts.WorkID, keys []any, err error) {
		var version int64
		err = r.Scan(&version, &id)
		return id, []any{version, string(id)}, err
	})
}

func diff[T any](ctx context.Context, r *Registry, s Scope, call, name string, from, to int, p Page, st *statement, scan func(rows) (T, []any, error)) (l List[T], err error) {
	if from >= to {
		return l, fmt.Errorf("registry: from version %d to %d of a catalogue: name the older one first", from, to)
	}
	err = r.read(ctx, s, call, func(q querier, tenant int64) error {
		older, err := catalogueVersion(ctx, q, tenant, Ref{name, from})
		if err != nil {
			return err
		}
		if _, err := catalogueVersion(ctx, q, tenant, Ref{name, to}); err != nil {
			return err
		}
		if p.After == "" { // rows of later versions than from: after all works of from
			p.After = st.cursor([]any{int64(from), "\x7f"})
		}
		l, err = list(ctx, q, st, []any{older.n, int64(from), int64(to)}, p, scan)
		return err
	})
	return l, err
}

// CheckCatalogue reads a whole version and returns an error unless it still has its hash. Memory does not grow with it.
func (r *Registry) CheckCatalogue(ctx context.Context, s Scope, ref Ref) error {
	return r.read(ctx, s, "CheckCatalogue", func(q querier, tenant int64) error {
		v, err := catalogueVersion(ctx, q, tenant, ref)
		if err != nil {
			return err
		}
		h := newHasher(ref, [3]int64{v.Works, v.Concepts, v.Memberships})
		for i, st := range []*statement{catalogueContent, conceptsContent, membersContent} {
			if err := h.begin(i); err != nil {
				return err
			}
			keys := len(st.keys)
			for after := ""; ; {
				l, err := list(ctx, q, st, []any{v.n, int64(ref.Version)}, Page{after, MostPerPage}, func(r rows) (struct{}, []any, error) {
					var a, b string
					var body []byte
					into := []any{&a, &b, &body}
					if i == 1 { // concepts have no second text
						into = []any{&a, &body}
					}
					err := r.Scan(into...)
					h.write(body)
					return struct{}{}, []any{a, b}[:keys], err
				})
				if err != nil {
					return err
				}
				if after = l.Next; after == "" {
					break
				}
			}
		}
		sum, err := h.sum()
		if err == nil && sum != v.Hash {
			err = errors.New("its content no longer has the hash " + hex.EncodeToString(v.Hash[:]))
		}
		if err != nil {
			return fmt.Errorf("%w: catalogue %v: %w; restore it from a backup", ErrDamaged, ref, err)
		}
		return nil
	})
}

// LoadCatalogue reads a whole version into memory, as package concepts has it, and checks its hash: about 2 kB a work.
func (r *Registry) LoadCatalogue(ctx context.Context, s Scope, ref Ref) (*concepts.Frozen, error) {
	c := concepts.Catalogue{Name: ref.Name, Version: ref.Version}
	v, err := r.CatalogueVersion(ctx, s, ref)
	if err != nil {
		return nil, err
	}
	all := func(f func(p Page) (string, error)) {
		for after, first := "", true; err == nil && (first || after != ""); first = false {
			after, err = f(Page{after, MostPerPage})
		}
	}
	all(func(p Page) (string, error) {
		l, err := r.CatalogueWorks(ctx, s, ref, p)
		for _, w := range l.Items {
			c.Works = append(c.Works, w.Work)
		}
		return l.Next, err
	})
	all(func(p Page) (string, error) {
		l, err := r.CatalogueConcepts(ctx, s, ref, p)
		c.Concepts = append(c.Concepts, l.Items...)
		return l.Next, err
	})
	all(func(p Page) (string, error) {
		l, err := r.CatalogueMembers(ctx, s, ref, p)
		c.Memberships = append(c.Memberships, l.Items...)
		return l.Next, err
	})
	if err != nil {
		return nil, err
	}
	frozen, err := c.Freeze()
	if err == nil && frozen.Hash() != v.Hash {
		err = errors.New("its content no longer has the hash it was frozen with")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: catalogue %v: %w; restore it from a backup", ErrDamaged, ref, err)
	}
	return frozen, nil
}
