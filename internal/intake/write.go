package intake

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/registry"
)

// writer gathers what became of objects and writes it in batches. For one goroutine.
type writer struct {
	reg      *registry.Registry
	scope    registry.Scope
	opt      Options
	now      time.Time
	index    *index
	consents consents
	refused  names
	unread   names // of no known object: a copy may be among them
	known    int   // known names that were met or missed
	missed   missed
	closed   map[[32]byte]bool // bytes of which a copy's name is reserved, in spite of all consents
	begun    bool              // Options.First was called
	report   Report

	batch []*taken
	bytes int
	since time.Time
}

func newWriter(ctx context.Context, reg *registry.Registry, scope registry.Scope, source *source, opt Options) (*writer, error) {
	w := &writer{reg: reg, scope: scope, opt: opt, now: opt.Ingest.Now, refused: newNames(), unread: newNames(), closed: map[[32]byte]bool{}, since: time.Now()}
	w.missed = missed{all: newNames(), most: cmp.Or(opt.mostMissed, mostMissed)}
	w.index = &index{reg: reg, scope: scope, folder: opt.Folder, stat: source.stat, missed: w.missed.all, names: map[string]*[32]byte{}, holds: map[[32]byte]string{}, ahead: map[[32]byte]answer{}}
	w.report.RefusedKinds, w.report.TodoFields = map[ingest.Kind]int{}, map[string]int{}
	return w, w.loadConsents(ctx)
}

// KindCollision is a work whose ID, the first quarter of its SHA-256, is already another work's. Chance makes one among 10^8 works in 1 of 3,700
// banks; who wants to can make one.
const KindCollision ingest.Kind = "id_taken"

// KindNotKept is a work that the registry cannot keep.
const KindNotKept ingest.Kind = "not_kept"

// take adds what became of an object, and writes the batch when it is full or old.
func (w *writer) take(ctx context.Context, r ingest.Result) error {
	if r.Known {
		w.known++
	}
	if w.opt.Ingest.Table != nil && r.Line == 0 && (r.Record != nil || r.Status == ingest.Unchanged) {
		if w.report.WithoutRow++; len(w.report.NamesWithoutRow) < w.opt.MostListed {
			w.report.NamesWithoutRow = append(w.report.NamesWithoutRow, r.Name)
		}
	}
	if r.Status == ingest.Unchanged && r.Record == nil {
		w.report.Unchanged++ // shown by Progress
		return w.flushIfDue(ctx)
	}
	if r.Status == ingest.Missing {
		w.missed.add(r.Name)
		return w.flushIfDue(ctx)
	}
	t := &taken{Result: r, bytes: 500 + len(r.Name)}
	switch {
	case r.Copy != nil:
		t = w.prepareCopy(r)
	case r.Record == nil && saysNothing(r.Refusal) && r.Known:
		t.unread = true
	case r.Record == nil && saysNothing(r.Refusal):
		w.unread.add(r.Name)
	}
	if r.Record != nil {
		t = prepare(r, sumOf(r.Record.SHA256))
		if err := t.work.Check(); err != nil {
			t = &taken{Result: ingest.Result{Name: r.Name, Known: r.Known, Status: ingest.Refused, Refusal: &ingest.Refusal{Name: r.Name, Kind: KindNotKept, Detail: clean(err.Error())}}, bytes: 1000}
		}
	}
	if t.Record != nil {
		w.index.note(r.Name, &t.sum)
	} else if r.Known && !t.unread {
		w.index.note(r.Name, nil)
	}
	if r.Was != "" {
		w.index.note(r.Was, nil)
	}
	w.batch, w.bytes = append(w.batch, t), w.bytes+t.bytes
	return w.flushIfDue(ctx)
}

func (w *writer) flushIfDue(ctx context.Context) error {
	if len(w.batch) >= w.opt.Batch || w.bytes >= batchBytes || time.Since(w.since) >= batchAge {
		return w.flush(ctx)
	}
	return nil
}

// flush writes the batch in one transaction, and then counts it.
func (w *writer) flush(ctx context.Context) error {
	began := time.Now()
	w.since = began
	defer func() { w.report.Registry += time.Since(began) }()
	if len(w.batch) > 0 {
		isWork := func(t *taken) bool { return t.Record != nil }
		if !w.begun && w.opt.First != nil && slices.ContainsFunc(w.batch, isWork) {
			if err := w.opt.First(ctx); err != nil {
				return err
			}
			w.begun = true
		}
		var b *batch
		err := w.reg.InTx(ctx, func(reg *registry.Registry) error {
			b = &batch{writer: w, reg: reg, rows: map[string]*registry.Object{}, refusals: map[string]registry.Refusal{}}
			return b.write(ctx)
		})
		if err != nil {
			return fmt.Errorf("intake: %w", err)
		}
		w.count(b)
		w.batch, w.bytes = nil, 0
		w.index.written()
	}
	if w.opt.Progress != nil {
		w.opt.Progress(w.report)
	}
	return nil
}

// count adds what a transaction has written to the report.
func (w *writer) count(b *batch) {
	w.report.Written.Add(b.changes)
	w.report.Reserved += b.reserved
	w.report.Unsure += b.unsure
	for field, n := range b.todoFields {
		w.report.TodoFields[field] += n
		w.report.Todos += n
	}
	works := map[*taken]bool{}
	for _, t := range b.works {
		works[t] = true
		w.report.Summary.Conflicts += len(t.Record.Conflicts)
		for _, c := range t.Record.Conflicts {
			if len(w.report.Conflicts) < w.opt.MostListed {
				w.report.Conflicts = append(w.report.Conflicts, Conflict{t.Name, c})
			}
		}
	}
	for _, t := range w.batch {
		switch {
		case !works[t] && t.Status != ingest.Missing:
			w.report.Refused++
		default:
			*w.report.counter(t.Status)++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.refusals)) {
		f := b.refusals[name]
		w.refused.add(name)
		w.report.RefusedKinds[ingest.Kind(f.Kind)]++
		if len(w.report.Refusals) < w.opt.MostListed {
			w.report.Refusals = append(w.report.Refusals, ingest.Refusal{Name: name, Kind: ingest.Kind(f.Kind), Detail: f.Detail})
		}
	}
}

// counter gives the count of a status.
func (r *Report) counter(s ingest.Status) *int {
	switch s {
	case ingest.Added:
		return &r.Added
	case ingest.Changed:
		return &r.Summary.Changed
	case ingest.Moved:
		return &r.Moved
	case ingest.Updated:
		return &r.Updated
	case ingest.Unchanged:
		return &r.Unchanged
	case ingest.Missing:
		return &r.Missing
	}
	return &r.Refused
}

// batch is one attempt at a transaction: PostgreSQL may want several.
type batch struct {
	*writer
	reg        *registry.Registry // the transaction's
	changes    registry.Changes
	rows       map[string]*registry.Object // by name; nil for names that are to be dropped
	released   map[concepts.WorkID][32]byte
	states     map[concepts.WorkID]registry.WorkState // before
	works      []*taken                               // those with a work
	copied     map[concepts.WorkID]bool               // works of which a copy's name is reserved
	held       map[*taken]bool                        // works, and copies, of which an earlier table said so
	kept       []registry.Object                      // rows of objects that were not read
	evidence   []registry.Reservation                 // beside that of taken
	unsure     int
	refusals   map[string]registry.Refusal
	reserved   int
	todoFields map[string]int
}

// write does all of a transaction. What is read comes first, then objects, works, who owns them, and last their states,
// which rest on the objects.
func (b *batch) write(ctx context.Context) error {
	for _, step := range []func(context.Context) error{b.sort, b.putObjects, b.putWorks, b.putOwners, b.putReservations, b.putCopies, b.putRefusals, b.setStates} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) add(c registry.Changes, err error) error {
	b.changes.Add(c)
	return err
}

// sort decides what the batch comes to: which works there are, which rows change, which works lose their object.
func (b *batch) sort(ctx context.Context) error {
	var names []string
	var ids []concepts.WorkID
	for _, t := range b.batch {
		if t.Known {
			names = append(names, t.Name)
		}
		if t.Was != "" {
			names = append(names, t.Was)
		}
		if t.Record != nil {
			ids = append(ids, t.Record.ID)
		}
		if t.copyOf != "" {
			ids = append(ids, t.copyOf)
		}
	}
	was := map[string]registry.Object{}
	for chunk := range slices.Chunk(names, registry.MostPerPage) {
		before, err := b.reg.ObjectsAt(ctx, b.scope, chunk)
		if err != nil {
			return err
		}
		for _, o := range before {
			was[o.Name] = o
			ids = append(ids, o.Work)
		}
	}
	b.states = map[concepts.WorkID]registry.WorkState{}
	for chunk := range slices.Chunk(ids, registry.MostPerPage) {
		states, err := b.reg.WorkStates(ctx, b.scope, chunk)
		if err != nil {
			return err
		}
		maps.Copy(b.states, states)
	}
	twins, err := b.collisions(ctx)
	if err != nil {
		return err
	}
	if err := b.hold(ctx, was); err != nil {
		return err
	}
	b.released, b.todoFields = map[concepts.WorkID][32]byte{}, map[string]int{}
	for _, t := range b.batch {
		if before, known := was[t.Name]; t.unread && known {
			if err := b.keep(t, before); err != nil {
				return err
			}
			continue
		}
		b.place(t, was, twins)
	}
	return nil
}

// collisions finds works whose ID another work has, of other bytes: in the registry or in the batch.
func (b *batch) collisions(ctx context.Context) (map[*taken]bool, error) {
	var ids []concepts.WorkID
	sums := map[concepts.WorkID]string{}
	for _, t := range b.batch {
		if t.Record != nil && t.Status != ingest.Unchanged && t.Status != ingest.Updated {
			if _, there := b.states[t.Record.ID]; there {
				ids = append(ids, t.Record.ID)
			}
		}
	}
	for chunk := range slices.Chunk(ids, registry.MostPerPage) {
		works, err := b.reg.WorksByID(ctx, b.scope, chunk)
		if err != nil {
			return nil, err
		}
		for _, work := range works {
			sums[work.ID] = work.SHA256
		}
	}
	twins := map[*taken]bool{}
	for _, t := range b.batch {
		if t.Record == nil {
			continue
		}
		if sum, met := sums[t.Record.ID]; met && sum != t.Record.SHA256 {
			twins[t] = true
			continue
		}
		sums[t.Record.ID] = t.Record.SHA256
	}
	return twins, nil
}

// place sorts one result in.
func (b *batch) place(t *taken, was map[string]registry.Object, collides map[*taken]bool) {
	before, known := was[t.Name]
	refusal := t.Refusal
	if collides[t] {
		refusal = &ingest.Refusal{Name: t.Name, Kind: KindCollision, Detail: fmt.Sprintf("another work has the ID %s with other bytes; somebody made it so: look at both", t.Record.ID)}
	}
	isWork := t.Record != nil && !collides[t]
	if isWork {
		b.works = append(b.works, t)
		row := t.object
		row.Reserved = b.by(t)
		b.rows[t.Name] = &row
	} else if row, met := b.rows[t.Name]; known && (!met || row != nil) { // not if it has moved
		before.Missing = true
		b.rows[t.Name] = &before
	}
	if known && (!isWork || before.Work != t.Record.ID) {
		b.release(before)
	}
	if t.Was != "" {
		b.rows[t.Was] = nil
	}
	if refusal != nil && !isWork {
		if b.held[t] {
			held := *refusal
			held.Detail += "; an earlier table reserved the work under this name: write DMI-ALLOWED there to lift it"
			refusal = &held
		}
		b.refuse(refusal)
	}
}

func (b *batch) refuse(f *ingest.Refusal) {
	b.refusals[f.Name] = registry.Refusal{Name: f.Name, Kind: string(f.Kind), Detail: cut(clean(f.Detail), mostText), At: b.now}
}

func (b *batch) release(o registry.Object) { b.released[o.Work] = sumOf(o.SHA256) }

func (b *batch) putObjects(ctx context.Context) error {
	var put []registry.Object
	var drop []string
	for _, name := range slices.Sorted(maps.Keys(b.rows)) {
		if row := b.rows[name]; row != nil {
			put = append(put, *row)
		} else {
			drop = append(drop, name)
		}
	}
	if len(drop) > 0 {
		if err := b.add(b.reg.DropObjects(ctx, b.scope, drop)); err != nil {
			return err
		}
	}
	return b.add(b.reg.PutObjects(ctx, b.scope, put))
}

func (b *batch) putWorks(ctx context.Context) error {
	works := make([]registry.Work, len(b.works))
	for i, t := range b.works {
		works[i] = t.work
	}
	return b.add(b.reg.PutWorks(ctx, b.scope, works, b.now))
}

// putOwners writes parties, shares and what is to be done. A work whose rights holders are not settled has no shares: who is
// paid is for a person to say.
func (b *batch) putOwners(ctx context.Context) error {
	people := newResolver(b.reg, b.scope)
	if err := people.load(ctx, b.works); err != nil {
		return err
	}
	shares := map[concepts.WorkID][]registry.Share{}
	var list []registry.Todo
	var ids []concepts.WorkID
	for _, t := range b.works {
		rec := t.Record
		ids = append(ids, rec.ID)
		shares[rec.ID] = nil
		var more []ingest.Todo
		if rec.Settled {
			shares[rec.ID], more = people.shares(rec.Parties)
		}
		if b.held[t] {
			more = append(more, ingest.Todo{Field: table.FieldDataMining, Detail: "reserved by an earlier table; write DMI-ALLOWED to lift it"})
		}
		lifted := !b.reserves(b.by(t), t.Name)
		todo := todos(rec, more, lifted && closes(rec.Training()))
		for _, d := range todo {
			b.todoFields[d.Field]++
		}
		list = append(list, todo...)
	}
	if err := b.add(b.reg.PutParties(ctx, b.scope, people.changed())); err != nil {
		return err
	}
	if err := b.add(b.reg.PutShares(ctx, b.scope, shares)); err != nil {
		return err
	}
	return b.add(b.reg.PutTodos(ctx, b.scope, ids, list, b.now))
}

func (b *batch) putReservations(ctx context.Context) error {
	list := b.evidence
	for _, t := range b.works {
		list = append(list, t.reservations...)
	}
	return b.add(b.reg.PutReservations(ctx, b.scope, list))
}

// putCopies writes what was said of copies' names, under the works whose bytes they have, and finds those it reserves.
func (b *batch) putCopies(ctx context.Context) error {
	b.copied = map[concepts.WorkID]bool{}
	var ids []concepts.WorkID
	for _, t := range b.batch {
		if b.speaks(t) {
			ids = append(ids, t.copyOf)
		}
	}
	slices.Sort(ids)
	sums := map[concepts.WorkID]string{}
	for chunk := range slices.Chunk(slices.Compact(ids), registry.MostPerPage) {
		works, err := b.reg.WorksByID(ctx, b.scope, chunk)
		if err != nil {
			return err
		}
		for _, work := range works {
			sums[work.ID] = work.SHA256
		}
	}
	var list []registry.Reservation
	for _, t := range b.batch {
		if !b.speaks(t) || sums[t.copyOf] == "" || sumOf(sums[t.copyOf]) != t.sum {
			continue // the work is not kept, or another has its ID
		}
		list = append(list, t.reservations...)
		if b.reserves(b.by(t), t.Name) {
			b.copied[t.copyOf], b.closed[t.sum] = true, true
		}
	}
	return b.add(b.reg.PutReservations(ctx, b.scope, list))
}

// speaks tells whether something is, or was, said of a copy's name.
func (b *batch) speaks(t *taken) bool {
	return t.copyOf != "" && (len(t.reservations) > 0 || b.held[t])
}

func (b *batch) putRefusals(ctx context.Context) error {
	var list []registry.Refusal
	for _, name := range slices.Sorted(maps.Keys(b.refusals)) {
		list = append(list, b.refusals[name])
	}
	return b.add(b.reg.PutRefusals(ctx, b.scope, list))
}

// setStates makes the batch's works Active or Reserved, Reserved those that were not read and are forbidden from outside, and
// Missing those no object has any more. A work that was Reserved stays so here: what is said of another name of its bytes may be
// why, and only a whole run has seen them all ([writer.lift]).
func (b *batch) setStates(ctx context.Context) error {
	next := map[concepts.WorkID]registry.WorkState{}
	for _, t := range b.works {
		delete(b.released, t.Record.ID)
		state := registry.Active
		if b.reserves(b.by(t), t.Name) {
			b.reserved++
			state = registry.Reserved
		} else if b.closed[t.sum] || b.states[t.Record.ID] == registry.Reserved {
			state = registry.Reserved
		}
		next[t.Record.ID] = state
	}
	for id := range b.copied {
		state, met := next[id]
		if !met {
			state = b.states[id]
		}
		if state == registry.Active {
			b.reserved++
			next[id] = registry.Reserved
		}
	}
	for _, o := range b.kept {
		if !o.Missing && b.reserves(o.Reserved, o.Name) {
			next[o.Work] = registry.Reserved
		}
	}
	if err := b.findMissing(ctx, next); err != nil {
		return err
	}
	now := map[registry.WorkState][]concepts.WorkID{}
	for id, state := range next {
		if is := b.states[id]; is != state && is != registry.Recalled { // one that was not there was put as Active, the zero state
			now[state] = append(now[state], id)
		}
	}
	if gone := now[registry.Missing]; len(gone) > 0 { // nothing is to be done for what is not there
		slices.Sort(gone)
		if err := b.add(b.reg.PutTodos(ctx, b.scope, gone, nil, b.writer.now)); err != nil {
			return err
		}
	}
	for _, state := range []registry.WorkState{registry.Active, registry.Reserved, registry.Missing} {
		slices.Sort(now[state]) // two writers lock them in one order
		for chunk := range slices.Chunk(now[state], registry.MostPerPage) {
			if err := b.add(b.reg.SetWorkState(ctx, b.scope, chunk, state, b.writer.now)); err != nil {
				return err
			}
		}
	}
	return nil
}

// findMissing says of the works that lost their object, and got no other, whether an object has their bytes still.
func (b *batch) findMissing(ctx context.Context, next map[concepts.WorkID]registry.WorkState) error {
	ids := slices.Sorted(maps.Keys(b.released))
	for chunk := range slices.Chunk(ids, registry.MostPerPage) {
		sums := make([][32]byte, len(chunk))
		for i, id := range chunk {
			sums[i] = b.released[id]
		}
		have, err := b.reg.HaveObjects(ctx, b.scope, sums)
		if err != nil {
			return err
		}
		for i, id := range chunk {
			if !have[sums[i]] {
				next[id] = registry.Missing
			}
		}
	}
	return nil
}
