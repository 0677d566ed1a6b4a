package intake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/ingest/optout"
	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/registry"
)

// KindUnsure is a known object that the listing left out, and that is there or cannot be asked for.
const KindUnsure ingest.Kind = "unsure"

// Of the works known below the folder that is walked so many may be gone: either bound is enough.
const (
	mostGone  = 20
	goneShare = 10 // one in so many
)

const (
	mostMissed = 8 << 20 // bytes of names in missed.some, with 16 for each
	asked      = 100     // how many are asked for at a time
	askers     = 16      // at once: a bucket far away answers each in some 20 ms
)

// missed are the known names that a listing lacks: all as hashes, and the names themselves as long as they are few.
type missed struct {
	all   names
	some  []string
	bytes int
	most  int  // of bytes
	many  bool // some is not all of them
}

func (m *missed) add(name string) {
	m.all.add(name)
	if m.bytes += len(name) + 16; m.bytes > m.most {
		m.some, m.many = nil, true
	}
	if !m.many {
		m.some = append(m.some, name)
	}
}

// saysNothing tells the refusals that come from the store, or of the moment, from those that come from what an object holds.
// KindUnread is what ingest says too of an object that could not be read.
func saysNothing(f *ingest.Refusal) bool {
	if f == nil {
		return false
	}
	switch f.Kind {
	case KindUnread, ingest.KindVanished, ingest.KindSizeChanged, KindUnsure:
		return true
	}
	return false
}

// keep leaves the row of an object that was not read as it is, and so the state of its work, unless the table or the site
// reserves it: that is known without reading. What the row says of what is outside stays too, so that the next run reads the
// object.
func (b *batch) keep(t *taken, before registry.Object) error {
	rec, err := b.outside(before)
	if err != nil {
		return err
	}
	row := before
	by, _ := reserver(rec)
	row.Reserved = max(row.Reserved, by)
	b.rows[t.Name] = &row
	b.kept = append(b.kept, row)
	for i := range rec.Reservations {
		if v := &rec.Reservations[i]; closes(v.Effect) {
			b.evidence = append(b.evidence, evidence(before.Work, v, false))
		}
	}
	if !before.Missing {
		b.unsure++
	}
	b.refuse(t.Refusal)
	return nil
}

// outside gives what table and site say on training of an object, as ingest does of one that it reads.
func (w *writer) outside(o registry.Object) (*ingest.Record, error) {
	rec := &ingest.Record{ID: o.Work, Name: o.Name}
	if tab := w.opt.Ingest.Table; tab != nil {
		row, found, err := tab.Lookup(o.Name, o.IDs)
		var twice *table.Ambiguous
		if err != nil && !errors.As(err, &twice) {
			return nil, err
		}
		if value := row.Get(table.FieldDataMining); found && value != "" {
			word := optout.DataMining(value, row.Get(table.FieldConstraints), fmt.Sprintf("%s line %d", tableSource, row.Line), nil)
			rec.Reservations = append(rec.Reservations, ingest.Reservation{Finding: word, Source: tableSource, From: ingest.FromTable, At: w.now})
		}
	}
	path := "/" + o.Name
	if w.opt.Ingest.SitePath != nil {
		path = w.opt.Ingest.SitePath(o.Name)
	}
	for _, site := range w.opt.Ingest.Sites {
		if word, found := site.For(path); found {
			rec.Reservations = append(rec.Reservations, ingest.Reservation{Finding: word, Source: word.Where, From: ingest.FromSite, At: w.now})
		}
	}
	return rec, nil
}

// settleMissed asks for each object that the listing lacked. Those that are there after all, or cannot be asked for, are kept and
// counted as unsure; the works of the others are called Missing, if they are not too many.
func (w *writer) settleMissed(ctx context.Context) error {
	unsure, gone, failed := newNames(), 0, 0
	err := w.eachMissed(ctx, func(names []string) error {
		why, err := w.ask(ctx, names, &failed)
		if err != nil {
			return err
		}
		for i, name := range names {
			if why[i] == "" {
				gone++
				continue
			}
			unsure.add(name)
			t := &taken{Result: ingest.Result{Name: name, Known: true, Status: ingest.Refused, Refusal: &ingest.Refusal{Name: name, Kind: KindUnsure, Detail: why[i]}}, unread: true, bytes: 1000}
			if err := w.push(ctx, t); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = w.flush(ctx)
	}
	if err != nil {
		return err
	}
	if gone > mostGone && gone*goneShare > w.known && !w.opt.AcceptMissing {
		return fmt.Errorf("%w: %d of the %d works known below %q are not there, and were left as they are; look whether all of the place is there and can be read; if they are meant to be gone, import again with --accept-missing",
			ErrManyMissing, gone, w.known, w.opt.Folder)
	}
	err = w.eachMissed(ctx, func(names []string) error {
		for _, name := range names {
			if unsure.has(name) {
				continue
			}
			if err := w.push(ctx, &taken{Result: ingest.Result{Name: name, Known: true, Status: ingest.Missing}, bytes: 500 + len(name)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.flush(ctx)
}

func (w *writer) push(ctx context.Context, t *taken) error {
	w.batch, w.bytes = append(w.batch, t), w.bytes+t.bytes
	return w.flushIfDue(ctx)
}

// eachMissed calls fn with the names that were missed and that still have a row, which one that has moved has not, some at a time.
func (w *writer) eachMissed(ctx context.Context, fn func(names []string) error) error {
	still := func(objects []registry.Object) error {
		var names []string
		for _, o := range objects {
			if !o.Missing && w.missed.all.has(o.Name) {
				names = append(names, o.Name)
			}
		}
		for chunk := range slices.Chunk(names, asked) {
			if err := fn(chunk); err != nil {
				return err
			}
		}
		return nil
	}
	if !w.missed.many {
		for chunk := range slices.Chunk(w.missed.some, registry.MostPerPage) {
			objects, err := w.reg.ObjectsAt(ctx, w.scope, chunk)
			if err != nil {
				return fmt.Errorf("intake: %w", err)
			}
			if err := still(objects); err != nil {
				return err
			}
		}
		return nil
	}
	for p := (registry.Page{Limit: registry.MostPerPage}); ; {
		l, err := w.reg.Objects(ctx, w.scope, w.opt.Folder, p)
		if err != nil {
			return fmt.Errorf("intake: %w", err)
		}
		if err := still(l.Items); err != nil {
			return err
		}
		if p.After = l.Next; p.After == "" {
			return nil
		}
	}
}

// ask looks for objects by name. It gives for each why it is not to be called missing, "" if it is. failed is how many in a row
// could not be asked for, of which too many end the run; what the system forbids to look at does not count.
func (w *writer) ask(ctx context.Context, names []string, failed *int) ([]string, error) {
	there, errs := make([]bool, len(names)), make([]error, len(names))
	var g errgroup.Group
	g.SetLimit(askers)
	for i, name := range names {
		g.Go(func() error {
			_, there[i], errs[i] = w.index.stat(ctx, name)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	most := w.opt.Ingest.MaxUnreadable
	if most <= 0 {
		most = 100
	}
	why := make([]string, len(names))
	for i, err := range errs {
		switch {
		case err != nil:
			if *failed++; errors.Is(err, fs.ErrPermission) {
				*failed = 0
			}
			if *failed >= most {
				return nil, fmt.Errorf("intake: %d objects in a row that the listing lacks could not be asked for, the last, %q: %w; look at the store and run again", *failed, names[i], err)
			}
			why[i] = cut("the listing left it out, and it cannot be looked at: "+strings.Join(strings.Fields(clean(err.Error())), " "), 500) + "; its work stays what it was; check who may read it, and import again"
		case there[i]:
			*failed = 0
			why[i] = "the listing left it out, and it is there: its work stays what it was; import again"
		default:
			*failed = 0
		}
	}
	return why, nil
}
