package registry

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
)

// Work is one master of a bank with what is known about it. Visual is not kept.
type Work struct {
	concepts.Work
	// Bytes is the size of the master, at least 1.
	Bytes int64
	// ISCC is the ISCC Image-Code of the master, "" if not computed.
	ISCC string
	// State, Added and Changed are the registry's: PutWorks ignores them.
	State WorkState
	// Added is when the work came, Changed when anything of it last changed.
	Added, Changed time.Time
}

// WorkState says whether a work may be delivered. Numbers are kept; new ones are added at the end.
type WorkState int

// The states of a work.
const (
	Active   WorkState = iota // may be delivered
	Missing                   // the last import did not find the master
	Reserved                  // its rights are reserved: see Reservations
	Recalled                  // was taken back: see Removals
)

var workStates = []string{"active", "missing", "reserved", "recalled"}

// String names the state.
func (s WorkState) String() string {
	if s < 0 || int(s) >= len(workStates) {
		return fmt.Sprintf("state %d", int(s))
	}
	return workStates[s]
}

var worksTable = &table{name: "works",
	cols:  columns("n i, tenant i, added i, changed i, bytes i, width i, height i, state i, sha256 b, digest b, id t, path t, format t, iscc t, title t, creator t, keywords t, rights_holder t, metadata t, terms t"),
	order: []string{"n"}, fixed: []string{"tenant"}, key: []string{"id"}, lookup: "id", compare: []string{"digest"}, keep: []string{"n", "added", "state"}}

// check returns an error that names the work unless it can be kept.
func (w Work) check() error {
	if err := w.ID.Check(); err != nil {
		return err
	}
	wrong := func(err error) error { return fmt.Errorf("work %s (%.80q): %w", w.ID, w.Path, err) }
	if err := concepts.CheckPath(w.Path); err != nil {
		return wrong(err)
	}
	if b, err := hex.DecodeString(w.SHA256); err != nil || len(b) != 32 || hex.EncodeToString(b) != w.SHA256 {
		return wrong(fmt.Errorf("registry: SHA-256 %.80q is not 64 lower-case hex digits", w.SHA256))
	}
	if w.Width < 1 || w.Height < 1 || w.Width > 1<<30 || w.Height > 1<<30 || w.Bytes < 1 {
		return wrong(fmt.Errorf("registry: %d x %d pixels in %d bytes: read them from the file", w.Width, w.Height, w.Bytes))
	}
	total := 0
	check := func(what, s string, most int) error {
		total += len(s)
		return checkText(what, s, most)
	}
	fields := []struct {
		what, s string
		most    int
	}{{"path", w.Path, mostName}, {"format", w.Format, mostID}, {"ISCC", w.ISCC, mostID}, {"title", w.Title, mostText}, {"creator", w.Creator, mostName},
		{"rights holder", w.RightsHolder, mostText}}
	for _, f := range fields {
		if err := check(f.what, f.s, f.most); err != nil {
			return wrong(err)
		}
	}
	for _, k := range w.Keywords {
		if err := check("keyword", k, mostText); err != nil {
			return wrong(err)
		}
	}
	for i, c := range w.Columns {
		if i > 0 && w.Columns[i-1].Name >= c.Name {
			return wrong(fmt.Errorf("registry: columns %q and %q are not sorted or the same", w.Columns[i-1].Name, c.Name))
		}
		if err := check("column "+c.Name, c.Name+c.Value, mostText); err != nil {
			return wrong(err)
		}
	}
	if total > mostJSON {
		return wrong(fmt.Errorf("registry: its texts have %d bytes: at most %d are kept", total, mostJSON))
	}
	return nil
}

// row gives the work as a row of the table.
func (w Work) row(tenant, now int64) ([]any, error) {
	if err := w.check(); err != nil {
		return nil, err
	}
	hash, err := hex.DecodeString(w.SHA256)
	if err != nil {
		panic("registry: " + err.Error()) // checked
	}
	keywords := append([]string(nil), w.Keywords...)
	sort.Strings(keywords)
	content := []any{w.Bytes, int64(w.Width), int64(w.Height), hash, w.Path, w.Format, w.ISCC, w.Title, w.Creator, asJSON(keywords), w.RightsHolder, columnsJSON(w.Columns)}
	return []any{int64(0), tenant, now, now, w.Bytes, int64(w.Width), int64(w.Height), int64(Active), hash, digest(content...),
		string(w.ID), w.Path, w.Format, w.ISCC, w.Title, w.Creator, content[9], w.RightsHolder, content[11], w.terms(tenant)}, nil
}

// columnsJSON writes columns as [["name","value"],...], "" for none.
func columnsJSON(cols []concepts.Column) string {
	pairs := make([][2]string, len(cols))
	for i, c := range cols {
		pairs[i] = [2]string{c.Name, c.Value}
	}
	return asJSON(pairs)
}

// asJSON writes a list, "" for an empty one: most works have no columns, and 10^8 times "[]" is room.
func asJSON[T any](list []T) string {
	if len(list) == 0 {
		return ""
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(list); err != nil {
		panic("registry: " + err.Error()) // texts only
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func fromJSON[T any](text string) (list []T, err error) {
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("%w: a list cannot be read: %w; restore it from a backup", ErrDamaged, err)
	}
	return list, nil
}

// PutWorks adds works and changes those that differ, in one transaction; a batch of 1,000 to 10,000 is fast. Works that
// are there keep their state. Keywords are kept sorted.
func (r *Registry) PutWorks(ctx context.Context, s Scope, works []Work, now time.Time) (c Changes, err error) {
	err = r.write(ctx, s, "PutWorks", func(t *tx, tenant int64) error {
		list := make([][]any, len(works))
		for i, w := range works {
			if list[i], err = w.row(tenant, micros(now)); err != nil {
				return err
			}
		}
		c, err = t.put(ctx, worksTable, list)
		return err
	})
	return c, err
}

// SetWorkState sets the state of works. A recalled one stays recalled and counts as unchanged, also if the recall came
// after the caller looked. Those that are not there make it fail with ErrNotFound, all of it; at most MostPerPage at once.
func (r *Registry) SetWorkState(ctx context.Context, s Scope, ids []concepts.WorkID, state WorkState, now time.Time) (c Changes, err error) {
	if state < 0 || int(state) >= len(workStates) || state == Recalled {
		return c, fmt.Errorf("registry: %v cannot be set: choose active, missing or reserved; Recall recalls", state)
	}
	err = r.write(ctx, s, "SetWorkState", func(t *tx, tenant int64) error {
		c, err = t.setStates(ctx, tenant, ids, state, now)
		return err
	})
	return c, err
}

var workStatesOf = lookup("states of works", "SELECT id, state FROM works WHERE tenant = $1 AND "+in("id", 2), int64(1), "w000100", "w000200", "w000300")

// updateState leaves alone what was recalled since the states were read: on PostgreSQL another transaction may have done so.
var updateState = fmt.Sprintf("UPDATE works SET state = $1, changed = $2 WHERE tenant = $3 AND id = $4 AND state <> %d", int(Recalled))

func (t *tx) setStates(ctx context.Context, tenant int64, ids []concepts.WorkID, state WorkState, now time.Time) (c Changes, err error) {
	keys, err := keysOf("works", ids)
	if err != nil {
		return c, err
	}
	is := map[string]WorkState{}
	err = lookupEach(ctx, t, workStatesOf.text, []any{tenant}, keys, func(r rows) error {
		var id string
		var n int64
		err := r.Scan(&id, &n)
		is[id] = WorkState(n)
		return err
	})
	if err != nil {
		return c, err
	}
	var args [][]any
	for _, id := range ids {
		before, there := is[string(id)]
		switch {
		case !there:
			return Changes{}, fmt.Errorf("%w: work %.130q", ErrNotFound, string(id))
		case before == state || before == Recalled:
			c.Unchanged++
		default:
			c.Changed++
			is[string(id)] = state
			args = append(args, []any{int64(state), micros(now), tenant, string(id)})
		}
	}
	return c, t.execMany(ctx, updateState, args)
}

const workColumns = "n, added, changed, bytes, width, height, state, sha256, id, path, format, iscc, title, creator, keywords, rights_holder, metadata"

var (
	worksByIDs    = lookup("works by ids", "SELECT "+workColumns+" FROM works WHERE tenant = $1 AND "+in("id", 2), int64(1), "w000100", "w000200", "w000300")
	worksBySHA256 = lookup("works by sha256", "SELECT "+workColumns+" FROM works WHERE tenant = $1 AND sha256 = $2 ORDER BY n LIMIT 1000", int64(1), make([]byte, 32))
	worksAtPath   = paged("works at a path", "i", "SELECT "+workColumns+" FROM works WHERE tenant = $1 AND path = $2 AND n > $3 ORDER BY n", int64(1), "p/000100.jpg")
	worksCount    = lookup("works by state, counted", "SELECT count(*) FROM works WHERE tenant = $1 AND state = $2", int64(1), int64(Recalled))
)

// scanned is a work with its number, which is no one else's business.
type scanned struct {
	Work
	n int64
}

func scanWork(r rows) (w scanned, err error) {
	var added, changed, width, height, state int64
	var hash []byte
	var keywords, metadata string
	err = r.Scan(&w.n, &added, &changed, &w.Bytes, &width, &height, &state, &hash, &w.ID, &w.Path, &w.Format, &w.ISCC, &w.Title, &w.Creator,
		&keywords, &w.RightsHolder, &metadata)
	if err != nil {
		return w, err
	}
	w.Added, w.Changed, w.Width, w.Height, w.State = at(added), at(changed), int(width), int(height), WorkState(state)
	w.SHA256 = hex.EncodeToString(hash)
	if w.Keywords, err = fromJSON[string](keywords); err != nil {
		return w, err
	}
	pairs, err := fromJSON[[2]string](metadata)
	for _, p := range pairs {
		w.Columns = append(w.Columns, concepts.Column{Name: p[0], Value: p[1]})
	}
	return w, err
}

// Work gives one work. ErrNotFound.
func (r *Registry) Work(ctx context.Context, s Scope, id concepts.WorkID) (w Work, err error) {
	err = r.read(ctx, s, "Work", func(q querier, tenant int64) error {
		found, err := works(ctx, q, tenant, []concepts.WorkID{id})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return fmt.Errorf("%w: work %.130q", ErrNotFound, string(id))
		}
		w = found[0]
		return nil
	})
	return w, err
}

// WorksByID gives those of the works that are there, by id; at most MostPerPage ids.
func (r *Registry) WorksByID(ctx context.Context, s Scope, ids []concepts.WorkID) (found []Work, err error) {
	err = r.read(ctx, s, "WorksByID", func(q querier, tenant int64) error {
		found, err = works(ctx, q, tenant, ids)
		return err
	})
	return found, err
}

func works(ctx context.Context, q querier, tenant int64, ids []concepts.WorkID) (found []Work, err error) {
	keys, err := keysOf("works", ids)
	if err != nil {
		return nil, err
	}
	err = lookupEach(ctx, q, worksByIDs.text, []any{tenant}, keys, func(r rows) error {
		w, err := scanWork(r)
		found = append(found, w.Work)
		return err
	})
	sortBy(found, func(w Work) concepts.WorkID { return w.ID })
	return found, err
}

// WorksBySHA256 gives the works whose master has these bytes; the first 1,000 of them.
func (r *Registry) WorksBySHA256(ctx context.Context, s Scope, hash [32]byte) (found []Work, err error) {
	err = r.read(ctx, s, "WorksBySHA256", func(q querier, tenant int64) error {
		return each(ctx, q, worksBySHA256.text, []any{tenant, hash[:]}, func(r rows) error {
			w, err := scanWork(r)
			found = append(found, w.Work)
			return err
		})
	})
	return found, err
}

// WorksAt lists the works whose master lay at a path, in the order they came: a replaced master is another work.
func (r *Registry) WorksAt(ctx context.Context, s Scope, path string, p Page) (l List[Work], err error) {
	if err := checkText("path", path, mostName); err != nil {
		return l, err
	}
	err = r.read(ctx, s, "WorksAt", func(q querier, tenant int64) error {
		l, err = list(ctx, q, worksAtPath, []any{tenant, path}, p, func(r rows) (Work, []any, error) {
			w, err := scanWork(r)
			return w.Work, []any{w.n}, err
		})
		return err
	})
	return l, err
}

// Order is an order of works.
type Order string

// The orders. Works of one creator or time come by id, those of one path in the order in which they came.
const (
	ByID      Order = "id"
	ByPath    Order = "path"
	ByCreator Order = "creator"
	ByChanged Order = "changed" // the last one changed is last
)

func worksBy(order Order, tie, keys string) *statement {
	key := string(order)
	if tie != "" {
		return paged("works by "+key, keys, "SELECT "+workColumns+" FROM works WHERE tenant = $1 AND ("+key+", "+tie+") > ($2, $3) ORDER BY "+key+", "+tie, int64(1))
	}
	return paged("works by id", keys, "SELECT "+workColumns+" FROM works WHERE tenant = $1 AND id > $2 ORDER BY id", int64(1))
}

var (
	worksInOrder = map[Order]*statement{ByID: worksBy(ByID, "", "s"), ByPath: worksBy(ByPath, "n", "si"), ByCreator: worksBy(ByCreator, "id", "ss"), ByChanged: worksBy(ByChanged, "id", "is")}
	worksInState = paged("works in a state by id", "s", "SELECT "+workColumns+" FROM works WHERE tenant = $1 AND state = $2 AND id > $3 ORDER BY id", int64(1), int64(Reserved))
)

// WorkQuery asks for works.
type WorkQuery struct {
	// Order is ByID if empty. With State only ByID is kept in order.
	Order Order
	// State, if not nil, asks for works in that state only.
	State *WorkState
}

// Works lists works.
func (r *Registry) Works(ctx context.Context, s Scope, query WorkQuery, p Page) (l List[Work], err error) {
	if query.Order == "" {
		query.Order = ByID
	}
	st := worksInOrder[query.Order]
	if st == nil || query.State != nil && query.Order != ByID {
		return l, fmt.Errorf("registry: works by %q: choose id, path, creator or changed; works in a state only by id", query.Order)
	}
	err = r.read(ctx, s, "Works", func(q querier, tenant int64) error {
		args := []any{tenant}
		if query.State != nil {
			st, args = worksInState, append(args, int64(*query.State))
		}
		l, err = list(ctx, q, st, args, p, func(r rows) (Work, []any, error) {
			w, err := scanWork(r)
			return w.Work, query.Order.keys(w), err
		})
		return err
	})
	return l, err
}

func (o Order) keys(w scanned) []any {
	switch o {
	case ByPath:
		return []any{w.Path, w.n}
	case ByCreator:
		return []any{w.Creator, string(w.ID)}
	case ByChanged:
		return []any{micros(w.Changed), string(w.ID)}
	}
	return []any{string(w.ID)}
}

// CountWorks counts works in a state. It reads the index of that state: some seconds for 10^8.
func (r *Registry) CountWorks(ctx context.Context, s Scope, state WorkState) (n int64, err error) {
	err = r.read(ctx, s, "CountWorks", func(q querier, tenant int64) error {
		_, err := one(ctx, q, worksCount.text, []any{tenant, int64(state)}, &n)
		return err
	})
	return n, err
}
