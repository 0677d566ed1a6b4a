package intake

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/registry"
)

// ProtocolConsent marks evidence that lifts reservations, among those that make them.
const ProtocolConsent = "consent"

// Consent is a word of the bank that training is allowed on works whose files or site reserve it: a bank's own files often
// forbid it to everybody else. It is written by a person as lines, or parts that ";" separates, in any order:
//
//	by: Anna Berg, head of rights
//	on: 2026-11-01
//	contract: AB-2026-17, clause 4
//
// Other lines are kept and not read. It is kept in its own bytes as a reservation of protocol "consent" and holds for
// every work below Folder, those taken in later too. It never lifts what the bank's table reserves for a work.
type Consent struct {
	By, Contract string
	On           time.Time // a day
	Folder       string    // "" for all works, else a prefix that ends in "/"
	Raw          []byte    // as it was given
	Source       string    // where it was given: a file's name, or "the command line"
}

// mostConsent bounds a consent, in bytes.
const mostConsent = 256 << 10

// ParseConsent reads a consent. The error says what is missing; now is what its day is compared with.
func ParseConsent(text []byte, folder, source string, now time.Time) (*Consent, error) {
	wrong := func(format string, args ...any) (*Consent, error) {
		return nil, fmt.Errorf("intake: the consent in %s: %s; give lines \"by: NAME\", \"on: YYYY-MM-DD\" and \"contract: REFERENCE\", or the same with \";\" between them", source, fmt.Sprintf(format, args...))
	}
	if len(text) > mostConsent || !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return wrong("it is not text of at most %d bytes in UTF-8", mostConsent)
	}
	if folder != "" && (!strings.HasSuffix(folder, "/") || concepts.CheckPath(strings.TrimSuffix(folder, "/")) != nil) {
		return wrong("%.80q is no folder below the root of masters", folder)
	}
	c := &Consent{Folder: folder, Raw: bytes.Clone(text), Source: source}
	seen := map[string]bool{}
	for part := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '\n' || r == '\r' || r == ';' }) {
		name, value, _ := strings.Cut(part, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if name != "by" && name != "on" && name != "contract" {
			continue
		}
		if seen[name] || value == "" {
			return wrong("%q is empty or given twice", name)
		}
		seen[name] = true
		switch name {
		case "by":
			c.By = value
		case "contract":
			c.Contract = value
		case "on":
			day, err := time.Parse(time.DateOnly, value)
			if err != nil || day.After(now) {
				return wrong("%q is no day that has been", value)
			}
			c.On = day
		}
	}
	for _, name := range []string{"by", "on", "contract"} {
		if !seen[name] {
			return wrong("it does not say %q", name)
		}
	}
	return c, nil
}

// reservation gives the consent as it is kept.
func (c *Consent) reservation(now time.Time) registry.Reservation {
	return registry.Reservation{Path: c.Folder + "*", Protocol: ProtocolConsent, Raw: c.Raw, URL: clean(c.Source), Found: now,
		Effect: "allows", Value: c.Contract, Detail: fmt.Sprintf("by %s, on %s", c.By, c.On.Format(time.DateOnly))}
}

// consents are the folders for which a consent was recorded.
type consents []string

func (c consents) cover(name string) bool {
	for _, folder := range c {
		if strings.HasPrefix(name, folder) {
			return true
		}
	}
	return false
}

// loadConsents records the one given and reads all there are.
func (w *writer) loadConsents(ctx context.Context) error {
	if c := w.opt.Consent; c != nil {
		changes, err := w.reg.PutReservations(ctx, w.scope, []registry.Reservation{c.reservation(w.now)})
		if err != nil {
			return fmt.Errorf("intake: %w", err)
		}
		w.report.Written.Add(changes)
	}
	found, err := w.reg.ReservationsOf(ctx, w.scope, []concepts.WorkID{""}) // of no single work: few
	if err != nil {
		return fmt.Errorf("intake: %w", err)
	}
	for _, v := range found {
		if folder, ok := strings.CutSuffix(v.Path, "*"); ok && v.Protocol == ProtocolConsent {
			w.consents = append(w.consents, folder)
		}
	}
	return nil
}

// lift makes reserved works Active that nobody reserves any more, or only words that a consent covers, and takes the question
// what their holders say from the list of things to do. It comes last, when all names of their bytes have been met.
func (w *writer) lift(ctx context.Context) error {
	reserved := registry.Reserved
	for p := (registry.Page{Limit: w.opt.Batch}); ; {
		l, err := w.reg.Works(ctx, w.scope, registry.WorkQuery{State: &reserved}, p)
		if err != nil {
			return fmt.Errorf("intake: %w", err)
		}
		if err := w.liftThese(ctx, l.Items); err != nil {
			return fmt.Errorf("intake: %w", err)
		}
		if p.After = l.Next; p.After == "" {
			return nil
		}
	}
}

func (w *writer) liftThese(ctx context.Context, works []registry.Work) error {
	var paths []string
	reserved := map[concepts.WorkID]bool{}
	for _, work := range works {
		if !strings.HasPrefix(work.Path, w.opt.Folder) || w.closed[sumOf(work.SHA256)] {
			continue
		}
		reserved[work.ID] = true
		paths = append(paths, work.Path)
	}
	if len(paths) == 0 {
		return nil
	}
	objects, err := w.reg.ObjectsAt(ctx, w.scope, paths)
	if err != nil {
		return err
	}
	var free []concepts.WorkID
	consented := map[concepts.WorkID]bool{}
	for _, o := range objects {
		consented[o.Work] = o.Reserved == registry.ByFile && w.consents.cover(o.Name)
		if reserved[o.Work] && !o.Missing && (o.Reserved == registry.ByNobody || consented[o.Work]) {
			free = append(free, o.Work)
		}
	}
	if free, err = w.withoutCopies(ctx, free); err != nil || len(free) == 0 {
		return err
	}
	var written registry.Changes
	err = w.reg.InTx(ctx, func(reg *registry.Registry) error {
		written = registry.Changes{}
		c, err := reg.SetWorkState(ctx, w.scope, free, registry.Active, w.now)
		if err != nil {
			return err
		}
		written.Add(c)
		todos, err := reg.TodosOf(ctx, w.scope, free)
		if err != nil {
			return err
		}
		kept := todos[:0]
		for _, t := range todos {
			if t.Field != table.FieldDataMining {
				kept = append(kept, t)
			}
		}
		c, err = reg.PutTodos(ctx, w.scope, free, kept, w.now)
		written.Add(c)
		return err
	})
	if err == nil {
		w.report.Written.Add(written)
		for _, id := range free {
			if consented[id] {
				w.report.Lifted++
			}
		}
	}
	return err
}

// withoutCopies leaves out works that may still be reserved by what is said of a copy's name: one that this run did not meet, as it lies
// outside its folder, could not be read, or was left out by the listing.
func (w *writer) withoutCopies(ctx context.Context, works []concepts.WorkID) ([]concepts.WorkID, error) {
	if len(works) == 0 {
		return works, nil
	}
	evidence, err := w.reg.ReservationsOf(ctx, w.scope, works)
	if err != nil {
		return nil, err
	}
	unmet := map[concepts.WorkID]bool{}
	for _, v := range evidence {
		if v.Path == "" || unmet[v.Work] {
			continue
		}
		if unmet[v.Work], err = w.hides(ctx, v.Path); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(works, func(id concepts.WorkID) bool { return unmet[id] }), nil
}

// hides tells whether a name may still be a copy's although this run did not see it as one.
func (w *writer) hides(ctx context.Context, name string) (bool, error) {
	if !strings.HasPrefix(name, w.opt.Folder) || w.unread.has(name) {
		return true, nil
	}
	if w.refused.has(name) { // it was met, and what is said of it counted, if it is a copy
		return false, nil
	}
	rows, err := w.reg.ObjectsAt(ctx, w.scope, []string{name})
	if err != nil || len(rows) > 0 && !rows[0].Missing { // it has become a work, whose own word counts
		return false, err
	}
	_, there, err := w.index.stat(ctx, name)
	return there || err != nil, ctx.Err() // what cannot be looked at may be there
}

// reserves tells whether a work is reserved, by who reserves it and its name.
func (w *writer) reserves(by registry.Reserver, name string) bool {
	return by == registry.ByTable || by == registry.ByFile && !w.consents.cover(name)
}

// by says who reserves a work of the batch, or the work that a copy is of: what its file, the site and the table say now, or what
// an earlier table said.
func (b *batch) by(t *taken) registry.Reserver {
	if b.held[t] {
		return registry.ByTable
	}
	return t.by
}

// tableSays gives the word of the table on training, nil if it has none.
func tableSays(rec *ingest.Record) *ingest.Reservation {
	for i, v := range rec.Reservations {
		if v.From == ingest.FromTable {
			return &rec.Reservations[i]
		}
	}
	return nil
}

// hold finds the works, and the copies of works, that an earlier table reserved, and that no row has freed since: by the row
// under the name they had, or, where there is none, by the evidence. That may be of a word that was lifted: then that is
// to be said again. A row that frees a work now is kept as evidence too.
func (b *batch) hold(ctx context.Context, was map[string]registry.Object) error {
	b.held = map[*taken]bool{}
	ask := map[concepts.WorkID][]*taken{}
	for _, t := range b.batch {
		if t.Record == nil {
			if t.copyOf != "" && !t.tabled {
				ask[t.copyOf] = append(ask[t.copyOf], t)
			}
			continue
		}
		before, known := was[t.Name]
		if !known || before.Work != t.Record.ID {
			before, known = was[t.Was]
		}
		says := tableSays(t.Record)
		_, there := b.states[t.Record.ID]
		switch {
		case says == nil && known:
			b.held[t] = before.Reserved == registry.ByTable
		case says == nil && there:
			ask[t.Record.ID] = append(ask[t.Record.ID], t)
		case says != nil && known && before.Reserved == registry.ByTable && t.by == registry.ByNobody:
			b.evidence = append(b.evidence, evidence(t.Record.ID, says, true))
		}
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ask)), registry.MostPerPage) {
		found, err := b.reg.ReservationsOf(ctx, b.scope, chunk)
		if err != nil {
			return err
		}
		for _, v := range found {
			if v.Protocol == ProtocolConsent || v.URL != tableSource || !strings.HasPrefix(v.Detail, tableSource+" line ") {
				continue
			}
			for _, t := range ask[v.Work] {
				b.held[t] = b.held[t] || t.Record != nil || v.Path == t.Name
			}
		}
	}
	return nil
}

// tableSource is what ingest calls the bank's table in its findings.
const tableSource = "table"

// reserver says who reserves training on a work: the table, if it does; nobody, if the table allows it; else the file or
// the site, if they do. lifted is the word of the table that lifted theirs, nil if none did.
func reserver(rec *ingest.Record) (by registry.Reserver, lifted *ingest.Reservation) {
	for i, v := range rec.Reservations {
		switch closed := closes(v.Effect); {
		case v.From == ingest.FromTable && closed:
			return registry.ByTable, nil
		case v.From == ingest.FromTable && allows(v.Effect):
			lifted = &rec.Reservations[i]
		case closed:
			by = registry.ByFile
		}
	}
	if by == registry.ByFile && lifted != nil {
		return registry.ByNobody, lifted
	}
	return by, nil
}
