package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"golang.org/x/text/unicode/norm"

	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/party"
)

// Run reads objects and calls emit with what became of each, in order. The package comment says what it promises. It panics
// without Options.Now, and with Known but no Stat.
func Run(ctx context.Context, objects Objects, opt Options, emit func(Result) error) (Summary, error) {
	opt = opt.withDefaults()
	r := &run{Options: opt, files: semaphore.NewWeighted(opt.MaxMemory), pixels: semaphore.NewWeighted(opt.MaxDecoding), emit: emit,
		composed: map[uint64]bool{}}
	window := 4 * opt.Readers
	order, work := make(chan *job, window), make(chan *job)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(order)
		defer close(work)
		return r.dispatch(ctx, objects, func(j *job) error {
			select {
			case order <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
			if j.settled() {
				return nil
			}
			select {
			case work <- j:
			case <-ctx.Done():
				return ctx.Err()
			}
			return nil
		})
	})
	for range opt.Readers {
		g.Go(func() error {
			for j := range work {
				if err := r.read(ctx, j); err != nil {
					return err
				}
				close(j.done)
			}
			return nil
		})
	}
	g.Go(func() error {
		for j := range order {
			if !j.settled() {
				select {
				case <-j.done:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			if err := r.settle(ctx, j); err != nil {
				return err
			}
		}
		return nil
	})
	err := g.Wait()
	return r.sum, err
}

// run is one call of Run.
type run struct {
	Options
	files, pixels *semaphore.Weighted
	emit          func(Result) error

	// Of the dispatching goroutine:
	last     string
	any      bool
	composed map[uint64]bool // hashes of the composed form of names met in another form

	// Of the emitting goroutine:
	sum        Summary
	unreadable int
}

// job is one name on its way.
type job struct {
	obj     Object
	seen    *Seen
	missing bool
	refusal *Refusal
	done    chan struct{} // closed when read; nil if there is nothing to read

	// What reading gave:
	unchanged bool
	rec       *Record
	sum       [32]byte
	row       *table.Row
	twice     *table.Ambiguous
	own       []party.Party // the rights holders the file itself names
	bytes     int64
	failed    bool // by the store, not by the content

	used, again bool // the row was noted as joined, and had been before; of the emitting goroutine
	must        bool // be read, however unchanged it seems
}

func (j *job) settled() bool { return j.done == nil }

// dispatch merges the objects with the known ones, both in order, and sends a job for every name.
func (r *run) dispatch(ctx context.Context, objects Objects, send func(*job) error) error {
	known := func() (Seen, error, bool) { return Seen{}, nil, false }
	if r.Known != nil {
		next, stop := iter.Pull2(r.Known.Each(ctx))
		defer stop()
		known = next
	}
	k, err, more := known()
	if err != nil {
		return err
	}
	advance := func() error {
		before := k.Name
		k, err, more = known()
		if err == nil && more && k.Name <= before {
			return fmt.Errorf("ingest: known names come out of order: %q after %q", k.Name, before)
		}
		return err
	}
	gone := func(until string, all bool) error {
		for more && (all || k.Name < until) {
			if !k.Missing {
				if err := send(&job{obj: Object{Name: k.Name}, missing: true}); err != nil {
					return err
				}
			}
			if err := advance(); err != nil {
				return err
			}
		}
		return nil
	}
	for obj, err := range objects {
		var refusal *Refusal
		if err != nil && !errors.As(err, &refusal) {
			return fmt.Errorf("ingest: listing: %w", err)
		}
		if refusal != nil && obj.Name == "" {
			obj.Name = refusal.Name
		}
		j := &job{obj: obj, refusal: refusal}
		if err := r.checkName(j); err != nil {
			return err
		}
		if err := gone(obj.Name, false); err != nil {
			return err
		}
		if more && k.Name == obj.Name {
			seen := k
			j.seen = &seen
			if err := advance(); err != nil {
				return err
			}
		}
		if j.refusal == nil {
			j.done = make(chan struct{})
		}
		if err := send(j); err != nil {
			return err
		}
	}
	return gone("", true)
}

// checkName refuses names and sizes that need no look at the object. An error means that the listing is out of order.
func (r *run) checkName(j *job) error {
	name := j.obj.Name
	switch {
	case r.any && name < r.last:
		return fmt.Errorf("ingest: objects come out of order: %q after %q; list them by the bytes of their names", name, r.last)
	case r.any && name == r.last && j.refusal == nil:
		j.refusal = &Refusal{name, KindListedTwice, "the listing repeats the name; the first one was taken"}
	}
	r.any, r.last = true, name
	if j.refusal == nil {
		j.refusal = refuseName(name)
	}
	if j.refusal == nil {
		j.refusal = refuseSize(j.obj, r.Limits)
	}
	if j.refusal != nil {
		return nil
	}
	composed := norm.NFC.String(name)
	if composed != name || len(r.composed) > 0 {
		h := hash64(composed)
		switch {
		case r.composed[h]:
			j.refusal = &Refusal{name, KindBadPath, "the name differs from that of another object only in how accents are composed; rename one"}
		case composed != name:
			r.composed[h] = true
		}
	}
	return nil
}

func hash64(s string) (h uint64) {
	sum := sha256.Sum256([]byte(s))
	for _, b := range sum[:8] {
		h = h<<8 | uint64(b)
	}
	return h
}

// settle says what became of a job, in order, and emits it.
func (r *run) settle(ctx context.Context, j *job) error {
	if j.unchanged && j.row != nil && r.use(j) != j.shared() {
		j.must, j.unchanged = true, false
		if err := r.read(ctx, j); err != nil {
			return err
		}
	}
	res := Result{Name: j.obj.Name, Known: j.seen != nil || j.missing, Refusal: j.refusal}
	r.sum.BytesRead += j.bytes
	if j.failed {
		if r.unreadable++; r.unreadable >= r.MaxUnreadable {
			return fmt.Errorf("ingest: %d objects in a row could not be read, the last %w; look at the store and run again", r.unreadable, j.refusal)
		}
	} else if j.bytes > 0 {
		r.unreadable = 0
	}
	switch {
	case j.missing:
		res.Status = Missing
	case j.refusal != nil:
		res.Status = Refused
	case j.unchanged:
		res.Status = Unchanged
		if j.row != nil {
			res.Line = j.row.Line
		}
	default:
		if err := r.place(ctx, j, &res); err != nil {
			return err
		}
	}
	r.sum.count(res)
	return r.emit(res)
}

// place settles whether a work that was read is new, moved or a duplicate, and whether its row is its own.
func (r *run) place(ctx context.Context, j *job, res *Result) error {
	rec := j.rec
	seen := j.seen
	if seen != nil && seen.Missing {
		seen = nil
	}
	was := ""
	if seen == nil || seen.SHA256 != rec.SHA256 {
		holder, moved, err := r.holder(ctx, j)
		if err != nil {
			return err
		}
		if holder != "" {
			r.refuseCopy(j, res, holder)
			return nil
		}
		was = moved
	}
	holder, err := r.Claims.Claim(ctx, j.sum, j.obj.Name)
	if err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	if holder != j.obj.Name {
		r.refuseCopy(j, res, holder)
		return nil
	}
	if j.row != nil && r.use(j) {
		rec.dropAllowance()
		rec.Parties, rec.Settled = j.own, false
		rec.Outside += sharedMark
		rec.todo("table", fmt.Sprintf("line %d was taken for another file already; both have the %s %q; it pays nobody and allows no training here; join rows by path", j.row.Line, r.Table.Key, j.row.Key))
	}
	if j.twice != nil {
		rec.todo("table", j.twice.Error())
	}
	switch {
	case was != "":
		res.Status, res.Was = Moved, was
	case seen == nil:
		res.Status = Added
	case seen.SHA256 != rec.SHA256:
		res.Status = Changed
	case seen.Outside != rec.Outside:
		res.Status = Updated
	default:
		res.Status = Unchanged
	}
	res.Record, res.Refusal, res.Line = rec, rec.reserved(), rec.Line
	return nil
}

// sharedMark ends Record.Outside of a file whose row another file took before it.
const sharedMark = "+"

// shared tells whether the last run found that another file takes the row of this one.
func (j *job) shared() bool { return j.seen != nil && strings.HasSuffix(j.seen.Outside, sharedMark) }

// use notes, once, that a job's row is joined, and tells whether another file takes it: one before it in this run, or one before
// it in an earlier run that this one, over a part of the store, does not meet.
func (r *run) use(j *job) bool {
	if !j.used {
		j.used, j.again = true, r.Table.Use(*j.row)
	}
	return j.again || r.Part && j.shared()
}

// holder looks whether bytes that are new under this name are known under another: held there still, or moved from there.
func (r *run) holder(ctx context.Context, j *job) (holder, moved string, err error) {
	if r.Known == nil {
		return "", "", nil
	}
	other, ok, err := r.Known.ByHash(ctx, j.rec.SHA256)
	if err != nil {
		return "", "", fmt.Errorf("ingest: %w", err)
	}
	if !ok || other.Missing || other.Name == j.obj.Name {
		return "", "", nil
	}
	now, there, err := r.Stat(ctx, other.Name)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("ingest: looking for %q: %w", other.Name, err)
	case !there:
		return "", other.Name, nil
	case same(now, other):
		return other.Name, "", nil
	}
	return "", "", nil // that name has other bytes by now, or will be read again and be the duplicate
}

// refuseCopy refuses a name whose bytes another has, and passes on what is said of it. Its row is not used by that: no work has
// its fields. A row that another file has taken allows nothing here either.
func (r *run) refuseCopy(j *job, res *Result, holder string) {
	res.Status, res.Copy = Refused, j.rec
	res.Refusal = &Refusal{j.obj.Name, KindDuplicate, fmt.Sprintf("the same bytes as %q: one work is delivered and paid once", holder)}
	if j.row != nil && r.Table.Used(*j.row) {
		j.rec.dropAllowance()
	}
}

// same tells, cheaply, that an object is probably what it was.
func same(o Object, s Seen) bool {
	return o.Size == s.Size && o.Modified.Equal(s.Modified) && (o.ETag == s.ETag || o.ETag == "" || s.ETag == "")
}

// Claims settles which name has bytes that several objects of a run share: the first. Claim gives the name that has them,
// which is the one asking if it is the first, or asked before. One run uses it from one goroutine.
type Claims interface {
	Claim(ctx context.Context, sha256 [32]byte, name string) (holder string, err error)
}

// NewClaims keeps claims in memory: some 80 bytes and the name for each object read in a run, 1 GB for 10^7. More than that
// asks for Claims over a database's index.
func NewClaims() Claims { return &claims{at: map[[16]byte]uint64{}} }

// claims keeps the names one behind the other, each after its length in two bytes.
type claims struct {
	at     map[[16]byte]uint64
	chunks [][]byte // of 1 MiB
}

const chunkBytes = 1 << 20

// Claim implements Claims. Half a SHA-256 is as good as unique: 10^8 works meet with probability 1e-23.
func (c *claims) Claim(_ context.Context, sum [32]byte, name string) (string, error) {
	key := [16]byte(sum[:16])
	if at, ok := c.at[key]; ok {
		chunk := c.chunks[at/chunkBytes][at%chunkBytes:]
		return string(chunk[2 : 2+int(chunk[0])<<8+int(chunk[1])]), nil
	}
	if len(name) > 65535 {
		return "", fmt.Errorf("a name of %d bytes", len(name))
	}
	last := len(c.chunks) - 1
	if last < 0 || len(c.chunks[last])+2+len(name) > chunkBytes {
		c.chunks = append(c.chunks, make([]byte, 0, chunkBytes))
		last++
	}
	c.at[key] = uint64(last)*chunkBytes + uint64(len(c.chunks[last]))
	c.chunks[last] = append(append(c.chunks[last], byte(len(name)>>8), byte(len(name))), name...)
	return name, nil
}
