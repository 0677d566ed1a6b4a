// Package intake takes the objects of a bank's bucket or folder into its registry: works with their rights holders, what was
// refused and why, who reserves training and on what evidence, and what a person has still to settle. Package ingest reads;
// this package writes, in transactions of about a thousand objects.
//
// # Promises
//
// Durable: an object that [Options.Progress] has counted as written is in the registry and stays there.
//
// May run twice: a run over what has not changed reads nothing but the listing, and what was refused, and writes nothing
// ([Report.WroteNothing]). A run that was killed, at any moment, left some of its transactions; the next one goes on behind
// them and ends in the same registry as an undisturbed one, times aside. What it was refused is dropped again once it is a
// work, or gone.
//
// Works and objects: a work is its bytes, an object is a name that has them. Of several names with the same bytes the first
// holds the work and the others are refused. A work no object has any more is Missing; it is Active again, or Reserved, when
// its bytes come back under whatever name. A recalled work stays recalled.
//
// Reservations: a work whose file, or a rule about whose site, forbids training or asks for a person is Reserved, with the
// evidence kept. Two things lift it, and both are kept as evidence (protocol "consent"): the column data_mining of the
// bank's table, where it allows training of that very work; and a [Consent] that the bank records for all works or
// those below a folder. What the bank's table reserves no general consent lifts: only a row about that work with
// another word in data_mining. A row that is left out or cannot be read, a new name, a copy that takes the work over lift nothing.
// What the table or the site says of a name that is refused as a duplicate reserves the work as well, as long as that name
// is there; it is kept under the work with that name as its Path. A reserved work becomes Active at the end of a run that was not
// cut off, and if a name outside [Options.Folder], or one that was not read or listed, ever reserved it, of a run that meets that name,
// or finds it gone.
//
// Failing stores: an object that cannot be read, or looked at, says nothing about its work, which stays what it was; it is
// refused, and read again by the next run. What table and site say of it reserves the work nevertheless.
//
// Missing: an object that the listing lacks is asked for by name, at the end of the run, before its work is called Missing. A listing
// without a single object ends the run with [ErrNothing], since a disk that is not mounted looks like that. One that
// lacks more than a tenth of the works known below [Options.Folder], and more than 20, ends it with [ErrManyMissing]
// unless [Options.AcceptMissing] is set. Nothing is called missing then; all else that was written stands.
//
// Concurrency: one run of a tenant at a time. Two do no harm to each other's rows, but which of two names with the
// same bytes holds the work is then a matter of chance.
//
// Memory: what [ingest.Options] bound, a batch of at most [batchBytes], at most [mostMissed] of names that are missing, some
// 20 bytes for each object that is refused or missing, and 50 for each work that what is said of a copy reserves. It does not
// grow with the number of works: names and hashes are looked up in the registry.
//
// Trust: all that ingest says of objects. Texts the registry cannot keep are shortened, and listed among the things to do.
package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
)

// ErrNothing is wrapped when the listing holds no object at all.
var ErrNothing = errors.New("intake: nothing there")

// ErrManyMissing is wrapped when so many known works are gone that it looks like a place that is not whole.
var ErrManyMissing = errors.New("intake: many works are missing")

// Options says what to take in.
type Options struct {
	// Ingest says how to read. Known, Stat, Claims and Inspect are this package's to set; Now dates everything. Objects are
	// always decoded: only that shows that a picture is whole, and the ISCC is computed from it.
	Ingest ingest.Options
	// Folder is the part of the bucket to list: "" or a prefix that ends in "/". Objects elsewhere are left as they are.
	Folder string
	// Skip leaves names out that are not the bank's pictures; nil means none.
	Skip func(name string) bool
	// Consent is recorded before the run, nil if there is none to record. Those recorded earlier hold too.
	Consent *Consent
	// First is called once, before the first work is written, from one goroutine.
	First func(context.Context) error
	// Progress is called after each transaction with what is written by then. It must not keep the maps and lists of the Report.
	Progress func(Report)
	// Batch is how many objects a transaction takes, 0: 1,000, which is the most.
	Batch int
	// AcceptMissing means it: any number of known works may be gone.
	AcceptMissing bool
	// MostListed bounds each list of a Report, 0: 1,000.
	MostListed int

	mostMissed int // tests set it; 0: mostMissed
}

// Bounds of a batch. It is written when it has as many objects as Options.Batch, or holds so many bytes, or is so old.
const (
	mostBatch  = registry.MostPerPage
	batchBytes = 16 << 20
	batchAge   = 5 * time.Second
)

// Report says what a run did. Lists are cut after Options.MostListed; the counts are not.
type Report struct {
	// Summary counts what was written. Reserved are the works read in this run that are reserved, in spite of all consents, and
	// those that what is said of a copy's name came to reserve.
	ingest.Summary
	// RefusedKinds counts refusals, without reserved works, which are works.
	RefusedKinds map[ingest.Kind]int
	Refusals     []ingest.Refusal
	// TodoFields counts things to do by field, of works read in this run.
	TodoFields map[string]int
	Conflicts  []Conflict // of works read in this run; Summary.Conflicts counts them
	// WithoutRow counts works about which the table, if there is one, says nothing; read or not.
	WithoutRow int
	// Unsure counts known objects of which the store told nothing: they could not be read or looked at, or the listing left
	// them out and they are there. They are among the refusals, and their works stay what they were.
	Unsure          int
	NamesWithoutRow []string
	// Written is what the registry changed by; all zero but Unchanged where nothing did.
	Written registry.Changes
	Lifted  int // works that were reserved and that a consent made Active
	// Registry is the time spent in the registry's transactions and look-ups.
	Registry time.Duration
	// States counts the tenant's works at the end.
	States map[registry.WorkState]int64
}

// Conflict is a field on which an object and the table differ.
type Conflict struct {
	Name string
	ingest.Conflict
}

// WroteNothing tells that the registry is what it was before the run.
func (r Report) WroteNothing() bool {
	return r.Written.Added+r.Written.Changed+r.Written.Removed == 0
}

// Run takes in what a bucket holds. With an error the Report says what was written before it. It panics without
// Options.Ingest.Now.
func Run(ctx context.Context, b store.Bucket, reg *registry.Registry, scope registry.Scope, opt Options) (Report, error) {
	if opt.Folder != "" && !strings.HasSuffix(opt.Folder, "/") {
		panic("intake: Options.Folder does not end in /")
	}
	if opt.Batch <= 0 || opt.Batch > mostBatch {
		opt.Batch = mostBatch
	}
	if opt.MostListed <= 0 {
		opt.MostListed = 1000
	}
	source := &source{bucket: b, folder: opt.Folder, skip: opt.Skip}
	w, err := newWriter(ctx, reg, scope, source, opt)
	if err != nil {
		return Report{}, err
	}
	read := opt.Ingest
	read.Known, read.Claims, read.Stat, read.Decode, read.Inspect = w.index, w.index, source.stat, true, w.inspect(ctx)
	read.Part = opt.Folder != ""
	sum, err := ingest.Run(ctx, source.objects(ctx), read, func(r ingest.Result) error { return w.take(ctx, r) })
	if err != nil {
		// What was emitted is settled, whatever ended the run: keep it, so that less is to be done again.
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer stop()
		if flushed := w.flush(last); flushed != nil && ctx.Err() == nil {
			err = errors.Join(err, flushed)
		}
		return w.reportOf(sum), err
	}
	if err = w.flush(ctx); err == nil {
		err = w.settleMissed(ctx)
	}
	if err == nil {
		err = w.finish(ctx)
	}
	return w.reportOf(sum), err
}

// inspect gives what the readers do with a picture: its code, and a look whether its bytes are known.
func (w *writer) inspect(ctx context.Context) func(*ingest.Record, *raster.Picture) error {
	return func(rec *ingest.Record, p *raster.Picture) error {
		addISCC(rec, p)
		return w.index.ask(ctx, sumOf(rec.SHA256))
	}
}

// reportOf joins what was written with what was read.
func (w *writer) reportOf(sum ingest.Summary) Report {
	rep := w.report
	rep.BytesRead = sum.BytesRead
	rep.Registry += w.index.took
	return rep
}

// finish does what only a whole run can: it drops refusals of what is refused no longer, lifts reservations that a consent
// covers, and counts.
func (w *writer) finish(ctx context.Context) error {
	began := time.Now()
	defer func() { w.report.Registry += time.Since(began) }()
	if err := w.dropRefusals(ctx); err != nil {
		return err
	}
	if err := w.lift(ctx); err != nil {
		return err
	}
	w.report.States = map[registry.WorkState]int64{}
	for _, state := range []registry.WorkState{registry.Active, registry.Missing, registry.Reserved, registry.Recalled} {
		n, err := w.reg.CountWorks(ctx, w.scope, state)
		if err != nil {
			return fmt.Errorf("intake: %w", err)
		}
		w.report.States[state] = n
	}
	return nil
}

// dropRefusals forgets the refusals below the folder that this run did not make again.
func (w *writer) dropRefusals(ctx context.Context) error {
	for p := (registry.Page{Limit: registry.MostPerPage}); ; {
		l, err := w.reg.Refusals(ctx, w.scope, "", p)
		if err != nil {
			return fmt.Errorf("intake: %w", err)
		}
		var stale []string
		for _, f := range l.Items {
			if strings.HasPrefix(f.Name, w.opt.Folder) && !w.refused.has(f.Name) {
				stale = append(stale, f.Name)
			}
		}
		if len(stale) > 0 {
			c, err := w.reg.DropRefusals(ctx, w.scope, stale)
			if err != nil {
				return fmt.Errorf("intake: %w", err)
			}
			w.report.Written.Add(c)
		}
		if p.After = l.Next; p.After == "" {
			return nil
		}
	}
}
