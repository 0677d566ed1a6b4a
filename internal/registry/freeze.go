package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
)

// hasher computes the hash of a catalogue from its parts as they come.
type hasher struct {
	h      hash.Hash
	counts [3]int64 // of works, concepts, memberships
	part   int
	seen   int64
}

func newHasher(ref Ref, counts [3]int64) *hasher {
	h := &hasher{h: sha256.New(), counts: counts, part: -1}
	h.h.Write(catalogueHead(ref.Name, ref.Version))
	return h
}

// begin starts the works (0), concepts (1) or memberships (2).
func (h *hasher) begin(part int) error {
	if err := h.complete(); err != nil {
		return err
	}
	h.part, h.seen = part, 0
	var n netstrings
	n.number(h.counts[part])
	h.h.Write(n)
	return nil
}

func (h *hasher) write(body []byte) {
	h.seen++
	h.h.Write(body)
}

func (h *hasher) complete() error {
	if h.part >= 0 && h.seen != h.counts[h.part] {
		return fmt.Errorf("%d %s where there should be %d", h.seen, []string{"works", "concepts", "memberships"}[h.part], h.counts[h.part])
	}
	return nil
}

func (h *hasher) sum() (sum [32]byte, err error) {
	h.h.Sum(sum[:0])
	return sum, h.complete()
}

// entry is a row of a version: key is what it is ordered by, one or two texts.
type entry struct {
	key      []any
	concepts string // of works
	body     []byte
}

// source gives the content of a catalogue in order: of part 0, 1, 2 (works, concepts, memberships) up to MostPerPage
// entries after a key, none at the end. counts says how many there will be.
type source interface {
	counts(ctx context.Context) ([3]int64, error)
	after(ctx context.Context, part int, key []any) ([]entry, error)
}

// parts are the tables of the three parts, with the columns of their keys.
var parts = [3]struct {
	tab  *table
	keys []string
}{{catalogueWorksTable, []string{"work"}}, {catalogueConceptsTable, []string{"concept"}}, {catalogueMembersTable, []string{"work", "concept"}}}

// FreezeCatalogue freezes all active works of the tenant, with their concepts and memberships, as the next version of a
// catalogue; the result counts how many works, concepts and memberships came (Added), differ (Changed) and went
// (Removed). If nothing did, there is no new version, and the last one is returned. Two works with the same path or the
// same bytes are an error that names them, as in concepts.Catalogue.Freeze. It reads all works, memory does not grow
// with them; on SQLite other writers wait: half a minute for 10^6 works.
func (r *Registry) FreezeCatalogue(ctx context.Context, s Scope, name string, now time.Time) (v CatalogueVersion, c Changes, err error) {
	if err := checkCatalogueName(name); err != nil {
		return v, c, err
	}
	err = r.freezing(ctx, s, "FreezeCatalogue", name, func(t *tx, tenant, n int64, latest int) error {
		src := &current{t, tenant}
		if err := src.check(ctx); err != nil {
			return err
		}
		v, c, err = t.freeze(ctx, n, Ref{name, latest + 1}, src, false, now)
		if err == nil && c.Added+c.Changed+c.Removed == 0 {
			before, err := catalogueVersion(ctx, t, tenant, Ref{name, latest})
			v = before.CatalogueVersion
			return err
		}
		return err
	})
	return v, c, err
}

// AddCatalogue keeps a catalogue that was frozen in memory. Its version must be the next one; or one there is, with the
// same hash, and then nothing changes. ErrConflict otherwise. Its works need not be works of the registry.
func (r *Registry) AddCatalogue(ctx context.Context, s Scope, f *concepts.Frozen, now time.Time) (v CatalogueVersion, c Changes, err error) {
	cat := f.Catalogue()
	ref := Ref{cat.Name, cat.Version}
	if err := checkCatalogueName(ref.Name); err != nil {
		return v, c, err
	}
	err = r.freezing(ctx, s, "AddCatalogue", ref.Name, func(t *tx, tenant, n int64, latest int) error {
		if ref.Version <= latest {
			before, err := catalogueVersion(ctx, t, tenant, ref)
			v, c = before.CatalogueVersion, Changes{Unchanged: int(before.Works + before.Concepts + before.Memberships)}
			if err == nil && v.Hash != f.Hash() {
				err = fmt.Errorf("%w under %v: a frozen catalogue never changes; make it version %d", ErrConflict, ref, latest+1)
			}
			return err
		}
		if ref.Version != latest+1 {
			return fmt.Errorf("%w before %v: the last version is %d; make it version %d", ErrConflict, ref, latest, latest+1)
		}
		if v, c, err = t.freeze(ctx, n, ref, inMemory{f, cat}, true, now); err == nil && v.Hash != f.Hash() {
			panic("registry: catalogue " + ref.String() + " has another hash than package concepts gives it")
		}
		return err
	})
	return v, c, err
}

func checkCatalogueName(name string) error {
	if strings.Contains(name, "@") {
		return fmt.Errorf("registry: catalogue %.130q: the name holds an @, which comes before the version", name)
	}
	return checkID("catalogue", name)
}

// freezing runs f for a catalogue, which it makes if there is none of that name, while no other version is made of the
// tenant's catalogues, and with one state of the database before its eyes.
func (r *Registry) freezing(ctx context.Context, s Scope, call, name string, f func(t *tx, tenant, n int64, latest int) error) error {
	tenant, err := r.enter(ctx, r.reading(), s, call)
	if err != nil {
		return err
	}
	return r.transact(ctx, true, func(t *tx) error {
		if err := t.lock(ctx, lockCatalogues, tenant); err != nil {
			return err
		}
		if _, err := t.put(ctx, cataloguesTable, [][]any{{int64(0), tenant, name}}); err != nil {
			return err
		}
		var n, latest int64
		if _, err := one(ctx, t, catalogueNumber.text, []any{tenant, name}, &n); err != nil {
			return err
		}
		if _, err := one(ctx, t, catalogueLatest.text, []any{n}, &latest); err != nil {
			return err
		}
		return f(t, tenant, n, int(latest))
	})
}

// freeze writes what differs from the open rows of a catalogue, and the version: always, or only if anything does.
func (t *tx) freeze(ctx context.Context, n int64, ref Ref, src source, always bool, now time.Time) (v CatalogueVersion, c Changes, err error) {
	counts, err := src.counts(ctx)
	if err != nil {
		return v, c, err
	}
	if counts[0] == 0 {
		return v, c, fmt.Errorf("registry: catalogue %s would have no works: import some first", ref.Name)
	}
	h := newHasher(ref, counts)
	for part := range parts {
		if err := h.begin(part); err != nil {
			return v, c, fmt.Errorf("registry: catalogue %v: %w", ref, err)
		}
		m := merge{t: t, part: part, n: n, version: int64(ref.Version)}
		if err := m.run(ctx, src, h); err != nil {
			return v, c, err
		}
		c.Add(m.changes)
	}
	v = CatalogueVersion{Ref: ref, Frozen: at(micros(now)), Works: counts[0], Concepts: counts[1], Memberships: counts[2]}
	if v.Hash, err = h.sum(); err != nil {
		return v, c, fmt.Errorf("registry: catalogue %v: %w", ref, err)
	}
	if always || c.Added+c.Changed+c.Removed > 0 {
		err = t.insert(ctx, versionsTable, [][]any{{n, int64(ref.Version), micros(now), v.Works, v.Concepts, v.Memberships, v.Hash[:]}})
	}
	return v, c, err
}

// merge goes through the new content of one part and the open rows side by side.
type merge struct {
	t       *tx
	part    int
	n       int64
	version int64
	changes Changes
	add     [][]any
	shut    [][]any
}

func (m *merge) run(ctx context.Context, src source, h *hasher) error {
	keys := parts[m.part].keys
	after := []any{"", ""}[:len(keys)]
	for {
		chunk, err := src.after(ctx, m.part, after)
		if err != nil {
			return err
		}
		if len(chunk) == 0 {
			break
		}
		for _, e := range chunk {
			h.write(e.body)
		}
		last := chunk[len(chunk)-1].key
		if err := m.compare(ctx, chunk, after, last); err != nil {
			return err
		}
		if err := m.flush(ctx); err != nil {
			return err
		}
		after = last
	}
	p := parts[m.part]
	gone, err := m.t.exec(ctx, "UPDATE "+p.tab.name+" SET to_version = $1 WHERE catalogue = $2 AND to_version = $3 AND "+beyond(p.keys, 4),
		append([]any{m.version, m.n, int64(open)}, after...)...)
	m.changes.Removed += int(gone)
	return err
}

// beyond compares a key with arguments from a number on.
func beyond(keys []string, from int) string { return tuple(keys) + " > " + arguments(len(keys), from) }

func tuple(names []string) string { return "(" + strings.Join(names, ", ") + ")" }

func arguments(n, from int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = "$" + strconv.Itoa(from+i)
	}
	return tuple(list)
}

// compare compares a chunk with the open rows after one key, up to another.
func (m *merge) compare(ctx context.Context, chunk []entry, after, last []any) error {
	p := parts[m.part]
	key := func(parts []any) string { return string(canonicalValues(parts)) }
	wanted := make(map[string]entry, len(chunk))
	for _, e := range chunk {
		wanted[key(e.key)] = e
	}
	names, k := slices.Clone(p.keys), len(p.keys)
	if m.part == 0 {
		names = append(names, "concepts")
	}
	names = append(names, "body")
	query := "SELECT " + strings.Join(names, ", ") + " FROM " + p.tab.name + " WHERE catalogue = $1 AND to_version = $2 AND " + beyond(p.keys, 3) +
		" AND " + tuple(p.keys) + " <= " + arguments(k, 3+k)
	err := each(ctx, m.t, query, slices.Concat([]any{m.n, int64(open)}, after, last), func(r rows) error {
		into := p.tab.destinations(names)
		if err := r.Scan(into...); err != nil {
			return err
		}
		v := values(into)
		id := key(v[:k])
		e, stays := wanted[id]
		if stays && bytes.Equal(e.body, v[len(v)-1].([]byte)) && (m.part > 0 || e.concepts == v[k]) {
			delete(wanted, id)
			m.changes.Unchanged++
			return nil
		}
		if stays {
			m.changes.Changed++
			m.changes.Added-- // counted below
		} else {
			m.changes.Removed++
		}
		m.shut = append(m.shut, append([]any{m.version, m.n, int64(open)}, v[:k]...))
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range chunk {
		if _, isNew := wanted[key(e.key)]; !isNew {
			continue
		}
		row := append([]any{m.n, m.version, int64(open)}, e.key...)
		if m.part == 0 {
			row = append(row, e.concepts)
		}
		m.add = append(m.add, append(row, e.body))
		m.changes.Added++
	}
	return nil
}

func (m *merge) flush(ctx context.Context) error {
	p := parts[m.part]
	err := m.t.execMany(ctx, "UPDATE "+p.tab.name+" SET to_version = $1 WHERE catalogue = $2 AND to_version = $3 AND "+conditions(p.keys, 4), m.shut)
	if err == nil {
		err = m.t.insert(ctx, p.tab, m.add)
	}
	m.shut, m.add = m.shut[:0], m.add[:0]
	return err
}

// current is what the registry has now.
type current struct {
	t      *tx
	tenant int64
}

const (
	activeWorks    = " FROM works WHERE tenant = $1 AND state = 0"
	activeConcepts = " FROM concepts c WHERE c.tenant = $1 AND EXISTS (SELECT 1 FROM memberships m JOIN works w ON w.tenant = m.tenant AND w.id = m.work" +
		" WHERE m.tenant = c.tenant AND m.concept = c.id AND w.state = 0)"
	activeMembers = " FROM memberships m JOIN works w ON w.tenant = m.tenant AND w.id = m.work WHERE m.tenant = $1 AND w.state = 0"
)

// check returns an error if two works have the same path or bytes: the same picture listed twice would be paid twice.
func (s *current) check(ctx context.Context) error {
	for _, what := range []string{"path", "sha256"} {
		var a, b string
		found, err := one(ctx, s.t, "SELECT min(id), max(id)"+activeWorks+" GROUP BY "+what+" HAVING count(*) > 1 ORDER BY min(id) LIMIT 1", []any{s.tenant}, &a, &b)
		if err != nil {
			return err
		}
		if found {
			return fmt.Errorf("registry: works %s and %s have the same %s: list the file once; set the state of one of them", a, b, what)
		}
	}
	return nil
}

func (s *current) counts(ctx context.Context) (counts [3]int64, err error) {
	for i, from := range []string{activeWorks, activeConcepts, activeMembers} {
		if _, err := one(ctx, s.t, "SELECT count(*)"+from, []any{s.tenant}, &counts[i]); err != nil {
			return counts, err
		}
	}
	return counts, nil
}

func (s *current) after(ctx context.Context, part int, key []any) (list []entry, err error) {
	limit := " LIMIT " + strconv.Itoa(MostPerPage)
	switch part {
	case 0:
		return s.works(ctx, key)
	case 1:
		err = each(ctx, s.t, "SELECT c.id, c.kind, c.name"+activeConcepts+" AND c.id > $2 ORDER BY c.id"+limit, append([]any{s.tenant}, key...), func(r rows) error {
			c, key, err := scanConcept(r)
			list = append(list, entry{key: key, body: conceptBody(c)})
			return err
		})
	default:
		err = each(ctx, s.t, "SELECT m.work, m.concept, m.rule, m.why"+activeMembers+" AND (m.work, m.concept) > ($2, $3) ORDER BY m.work, m.concept"+limit,
			append([]any{s.tenant}, key...), func(r rows) error {
				m, _, err := scanMember(r)
				list = append(list, entry{key: []any{string(m.Work), string(m.Concept)}, body: memberBody(m)})
				return err
			})
	}
	return list, err
}

func (s *current) works(ctx context.Context, key []any) (list []entry, err error) {
	var keys []any
	query := "SELECT " + workColumns + activeWorks + " AND id > $2 ORDER BY id LIMIT " + strconv.Itoa(MostPerPage)
	err = each(ctx, s.t, query, append([]any{s.tenant}, key...), func(r rows) error {
		w, err := scanWork(r)
		list = append(list, entry{key: []any{string(w.ID)}, body: workBody(w.Work.Work)})
		keys = append(keys, string(w.ID))
		return err
	})
	if err != nil {
		return nil, err
	}
	found, err := members(ctx, s.t, s.tenant, keys)
	names := map[any][]string{}
	for _, m := range found {
		names[string(m.Work)] = append(names[string(m.Work)], string(m.Concept))
	}
	for i, e := range list {
		list[i].concepts = strings.Join(names[e.key[0]], " ")
	}
	return list, err
}

// inMemory is a catalogue that package concepts has frozen.
type inMemory struct {
	*concepts.Frozen
	cat concepts.Catalogue
}

func (s inMemory) counts(context.Context) ([3]int64, error) {
	return [3]int64{int64(len(s.cat.Works)), int64(len(s.cat.Concepts)), int64(len(s.cat.Memberships))}, nil
}

func (s inMemory) after(_ context.Context, part int, key []any) ([]entry, error) {
	switch part {
	case 0:
		return following(s.cat.Works, key, func(w concepts.Work) entry {
			return entry{[]any{string(w.ID)}, strings.Join(asTexts(s.ConceptsOf(w.ID)), " "), workBody(w)}
		}), nil
	case 1:
		return following(s.cat.Concepts, key, func(c concepts.Concept) entry { return entry{[]any{string(c.ID)}, "", conceptBody(c)} }), nil
	}
	return following(s.cat.Memberships, key, func(m concepts.Membership) entry {
		return entry{[]any{string(m.Work), string(m.Concept)}, "", memberBody(m)}
	}), nil
}

func asTexts[K ~string](list []K) []string {
	out := make([]string, len(list))
	for i, k := range list {
		out[i] = string(k)
	}
	return out
}

// following gives up to MostPerPage entries of a sorted list after a key.
func following[T any](sorted []T, key []any, of func(T) entry) (out []entry) {
	less := func(a, b []any) int {
		for i := range a {
			if c := strings.Compare(a[i].(string), b[i].(string)); c != 0 {
				return c
			}
		}
		return 0
	}
	at, found := slices.BinarySearchFunc(sorted, key, func(item T, key []any) int { return less(of(item).key, key) })
	if found {
		at++
	}
	for _, item := range sorted[at:min(len(sorted), at+MostPerPage)] {
		out = append(out, of(item))
	}
	return out
}

// String gives the hash in hex, for people.
func (v CatalogueVersion) String() string {
	return v.Ref.String() + " " + hex.EncodeToString(v.Hash[:])
}
