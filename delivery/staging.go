package delivery

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/store"
)

// Staging. What is finished of a part is gathered in memory and staged many works at once: a request of a bucket, or a
// file flushed to disk with its folder, takes longer than to mark a small picture, and one listing tells what there is. A
// batch is two objects,
//
//	staging/part-NNNNNNN-H.img   the files of those works that were delivered, one after the other
//	staging/part-NNNNNNN-H.json  what became of the works, in order of their IDs: batchRecord
//
// of which the record is written last. H is the first 32 hex digits of the record's SHA-256, and the record holds the
// files' sums: so two processes that stage the same works write the same objects, and those that stage other works of the
// part write others. A work may be in several batches, always with the same file; readPart says which one counts.
const (
	mostBatchWorks = 64
	mostBatchBytes = 32 << 20 // of images; a batch ends with the one that reaches it
)

// maxBatchRecord is the most bytes read of one batch's record; that of 64 works has some 100 kilobytes.
const maxBatchRecord = 64 << 20

// requests is how many objects are read or deleted at once.
const requests = 16

// lingers is how long staging may go on after ctx has ended, so that what was done is kept.
const lingers = 2 * time.Minute

const (
	partPrefix  = stagingPrefix + "part-"
	planPrefix  = stagingPrefix + "plan-"
	sealedKey   = stagingPrefix + "sealed.json"
	imageSuffix = ".img"
	jsonSuffix  = ".json"
)

func prefixOfPart(n int) string { return fmt.Sprintf("%s%07d-", partPrefix, n) }

// partOf gives the part of a batch by its name.
func partOf(batch string) (int, bool) {
	number, _, ok := strings.Cut(strings.TrimPrefix(batch, partPrefix), "-")
	n, err := strconv.Atoi(number)
	return n, ok && err == nil && n >= 0
}

// batchRecord is the form of a batch's record.
type batchRecord struct {
	Format string `json:"format"`
	// Job is the hash of job.json, so that a leftover of another job is never taken for this one's.
	Job  string    `json:"job"`
	Part int       `json:"part"`
	Made []outcome `json:"made"` // by work
}

// outcome is what became of one work. Image and Refusal exclude each other.
type outcome struct {
	Work    concepts.WorkID `json:"work"`
	Image   *Image          `json:"image,omitempty"`
	Refusal *Refusal        `json:"refusal,omitempty"`
}

// check returns what is wrong with an outcome.
func (o *outcome) check() error {
	switch {
	case (o.Image == nil) == (o.Refusal == nil),
		o.Image != nil && (o.Image.Work != o.Work || o.Image.Bytes < 1 || !isHash(o.Image.SHA256)),
		o.Refusal != nil && o.Refusal.Work != o.Work:
		return fmt.Errorf("what is said of work %q contradicts itself", o.Work)
	}
	return nil
}

// stagedWork is an outcome and where its file lies.
type stagedWork struct {
	outcome
	batch  string // its name, the key without a suffix
	offset int64
}

// gathered is an outcome that is not staged yet, with its file.
type gathered struct {
	outcome
	file []byte
}

// stageBatch makes a batch durable: the images, then the record. before, which may be nil, is asked before each of the two.
func (m *Making) stageBatch(ctx context.Context, part int, made []gathered, before func(context.Context) error, t *Times) error {
	if len(made) == 0 {
		return nil
	}
	slices.SortFunc(made, func(a, b gathered) int { return cmp.Compare(a.Work, b.Work) })
	r := batchRecord{Format: jobFormat, Job: m.job, Part: part}
	bytes := int64(0)
	for i := range made {
		r.Made = append(r.Made, made[i].outcome)
		bytes += int64(len(made[i].file))
	}
	text, err := marshal(r, "")
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	name := prefixOfPart(part) + hashOf(text)[:32]
	put := func(key string, write func(io.Writer) error) error {
		if before != nil {
			if err := before(ctx); err != nil {
				return err
			}
		}
		defer since(&t.Stage)()
		return m.store.Put(ctx, key, write)
	}
	if bytes > 0 {
		if err := put(name+imageSuffix, func(w io.Writer) error {
			for i := range made {
				if _, err := w.Write(made[i].file); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	t.BytesWritten += bytes + int64(len(text))
	return put(name+jsonSuffix, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// listed is what a listing tells of one part: the names of its batches whose record is there, in order, and the sizes of
// the images of each.
type listed struct {
	records []string
	images  map[string]int64
}

// listStaged lists the batches under a prefix, by part.
func (m *Making) listStaged(ctx context.Context, prefix string) (map[int]*listed, error) {
	all := make(map[int]*listed)
	err := m.store.Each(ctx, prefix, "", func(o store.Object) error {
		n, ok := partOf(o.Key)
		if !ok {
			return nil
		}
		l := all[n]
		if l == nil {
			l = &listed{images: make(map[string]int64)}
			all[n] = l
		}
		if name, ok := strings.CutSuffix(o.Key, imageSuffix); ok {
			l.images[name] = o.Size
		} else if name, ok := strings.CutSuffix(o.Key, jsonSuffix); ok {
			l.records = append(l.records, name)
		}
		return nil
	})
	return all, err
}

// readBatch reads a batch's record, or nil if there is none of this job that is as it was written.
func (m *Making) readBatch(ctx context.Context, name string) (*batchRecord, error) {
	text, err := store.ReadAll(ctx, m.store, name+jsonSuffix, maxBatchRecord)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r batchRecord
	if !strings.HasSuffix(name, "-"+hashOf(text)[:32]) || strict(text, &r) != nil || r.Format != jobFormat || r.Job != m.job {
		return nil, nil
	}
	for i := range r.Made {
		if r.Made[i].check() != nil {
			return nil, nil
		}
	}
	return &r, nil
}

// readPart gives what is staged of part n, for each of its works in order, nil where nothing is. A batch counts if its
// images are all there, by their number of bytes; after the shards were fixed (sealed) one without images counts too, since
// the images of finished shards go. Of several outcomes of a work an image counts before a refusal, then the
// batch that is first by name.
func (m *Making) readPart(ctx context.Context, n int, l *listed, sealed bool) ([]*stagedWork, error) {
	works := m.part(n)
	found := make([]*stagedWork, len(works))
	if l == nil {
		return found, nil
	}
	for _, name := range l.records {
		r, err := m.readBatch(ctx, name)
		if err != nil {
			return nil, err
		}
		if r == nil || r.Part != n {
			continue
		}
		total := int64(0)
		var batch []stagedWork
		for _, o := range r.Made {
			batch = append(batch, stagedWork{o, name, total})
			if o.Image != nil {
				total += o.Image.Bytes
			}
		}
		if size, there := l.images[name]; total > 0 && size != total && (there || !sealed) {
			continue
		}
		for i := range batch {
			at, ok := slices.BinarySearchFunc(works, batch[i].Work, func(w concepts.Work, id concepts.WorkID) int { return cmp.Compare(w.ID, id) })
			if ok && (found[at] == nil || found[at].Image == nil && batch[i].Image != nil) {
				found[at] = &batch[i]
			}
		}
	}
	return found, nil
}

// eachPart reads what is staged of every part, several at once, and calls do for each in order.
func (m *Making) eachPart(ctx context.Context, sealed bool, do func(n int, found []*stagedWork) error) error {
	all, err := m.listStaged(ctx, partPrefix)
	if err != nil {
		return err
	}
	return inOrder(ctx, m.Parts(), requests, func(ctx context.Context, n int) ([]*stagedWork, error) {
		return m.readPart(ctx, n, all[n], sealed)
	}, do)
}

// inOrder calls do for 0 to count-1 in order with what get gave; get runs for several at once. It stops at the first error.
func inOrder[T any](ctx context.Context, count, ahead int, get func(ctx context.Context, n int) (T, error), do func(n int, v T) error) error {
	type result struct {
		v   T
		err error
	}
	var g errgroup.Group
	ctx, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		_ = g.Wait() // they give no errors
	}()
	queue := make(chan chan result, ahead)
	g.Go(func() error {
		defer close(queue)
		for n := range count {
			c := make(chan result, 1)
			select {
			case queue <- c:
			case <-ctx.Done():
				return nil
			}
			g.Go(func() error {
				v, err := get(ctx, n)
				c <- result{v, err}
				return nil
			})
		}
		return nil
	})
	n := 0
	for c := range queue {
		r := <-c
		if r.err != nil {
			return r.err
		}
		if err := do(n, r.v); err != nil {
			return err
		}
		n++
	}
	if n < count {
		return ctx.Err()
	}
	return nil
}

// deleteAll deletes objects, several at once.
func deleteAll(ctx context.Context, st store.Store, keys []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(requests)
	for _, k := range keys {
		g.Go(func() error { return st.Delete(ctx, k) })
	}
	return g.Wait()
}

// putJSON puts a document.
func putJSON(ctx context.Context, st store.Store, key string, v any) error {
	text, err := marshal(v, "")
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	return store.PutBytes(ctx, st, key, text)
}

// lingering is ctx, but lasts a while longer.
func lingering(ctx context.Context, more time.Duration) (context.Context, func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		end := time.AfterFunc(more, cancel)
		context.AfterFunc(longer, func() { end.Stop() })
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// errDamaged says that a staged file is gone or is not what its record says.
var errDamaged = errors.New("its bytes are gone or have changed")

// stagedFiles reads files out of batches, each batch from its beginning to its end if the files are asked for in their
// order. Close it after use.
type stagedFiles struct {
	store store.Store
	open  map[string]*openBatch
	read  int64 // bytes
}

type openBatch struct {
	io.ReadCloser
	pos int64
}

func newStagedFiles(st store.Store) *stagedFiles {
	return &stagedFiles{store: st, open: make(map[string]*openBatch)}
}

// copy writes a file of so many bytes that lies at an offset of a batch. errDamaged: it is not there with that sum. What was
// written then is worth nothing.
func (s *stagedFiles) copy(ctx context.Context, batch string, offset int64, img *Image, to io.Writer) error {
	b := s.open[batch]
	if b != nil && b.pos > offset {
		s.closeBatch(batch)
		b = nil
	}
	if b == nil {
		r, err := s.store.Open(ctx, batch+imageSuffix)
		if errors.Is(err, store.ErrNotFound) {
			return errDamaged
		}
		if err != nil {
			return err
		}
		b = &openBatch{ReadCloser: r}
		s.open[batch] = b
	}
	var err error
	if seeker, ok := b.ReadCloser.(io.Seeker); ok {
		_, err = seeker.Seek(offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, b, offset-b.pos)
	}
	var file bytes.Buffer
	if err == nil {
		b.pos = offset
		_, err = io.CopyN(&file, b, img.Bytes)
		b.pos += int64(file.Len())
		s.read += int64(file.Len())
	}
	if errors.Is(err, io.EOF) || err == nil && hashOf(file.Bytes()) != img.SHA256 {
		return errDamaged
	}
	if err != nil {
		return fmt.Errorf("delivery: reading %s: %w", batch+imageSuffix, err)
	}
	_, err = to.Write(file.Bytes())
	return err
}

func (s *stagedFiles) closeBatch(batch string) {
	if b := s.open[batch]; b != nil {
		_ = b.Close() // it was read
		delete(s.open, batch)
	}
}

// Close lets go of everything.
func (s *stagedFiles) Close() {
	for name := range s.open {
		s.closeBatch(name)
	}
}
