package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/store"
)

// Delivery is a finished delivery.
type Delivery struct {
	*Manifest
	Codebook *Codebook
	// AlreadyFinished: it was there, with the same parameters; nothing was done.
	AlreadyFinished bool
	// Resumed is how many works earlier runs had finished.
	Resumed int
}

// Open reads the manifest and codebook of a finished delivery. Without one the error is store.ErrNotFound.
func Open(ctx context.Context, st store.Store) (*Delivery, error) {
	m, _, err := readManifest(ctx, st)
	if err != nil {
		return nil, err
	}
	text, err := store.ReadAll(ctx, st, CodebookKey, maxDocument)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	b, err := ParseCodebook(text)
	if err != nil {
		return nil, err
	}
	if hashOf(text) != m.Parameters.CodebookSHA256 {
		return nil, errors.New("delivery: codebook.json is not the one the manifest names")
	}
	return &Delivery{Manifest: m, Codebook: b}, nil
}

// OpenManifest reads the manifest alone of a finished delivery. Without one the error is store.ErrNotFound.
func OpenManifest(ctx context.Context, st store.Store) (*Manifest, error) {
	m, _, err := readManifest(ctx, st)
	return m, err
}

// readManifest reads the manifest of a finished delivery, and the SHA-256 of its text. Without one the error is
// store.ErrNotFound.
func readManifest(ctx context.Context, st store.Store) (*Manifest, string, error) {
	r, err := st.Open(ctx, ManifestKey)
	if err != nil {
		return nil, "", fmt.Errorf("delivery: no finished delivery here: %w", err)
	}
	defer r.Close()
	return ReadManifest(r)
}

// ErrNothingDelivered says that every work was refused. No delivery is made of nothing.
var ErrNothingDelivered = errors.New("delivery: every work was refused")

// Run makes a delivery, or continues one that was interrupted, or returns the one that is there.
//
// One bad master never stops it: it becomes a Refusal. Errors are those of the whole: an incomplete spec; a store
// that another run holds (store.ErrLocked), that is full (store.ErrFull), that holds something else
// (ErrOtherParameters, ErrForeign); ctx. After any of them the same call goes on where it stopped, and ends with
// the bytes an undisturbed run would have written. progress may be nil.
func Run(ctx context.Context, spec Spec, source Source, st store.Store, progress Progress) (_ *Delivery, err error) {
	spec, err = spec.withDefaults()
	if err != nil {
		return nil, err
	}
	book, err := codebookOf(spec.Catalogue, spec.Codebook)
	if err != nil {
		return nil, err
	}
	bookText, err := book.MarshalText()
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	release, err := st.Lock(ctx, LockName)
	if err != nil {
		return nil, fmt.Errorf("delivery: another run works on this place; wait for it or choose another place: %w", err)
	}
	defer func() { err = errors.Join(err, release()) }()

	works, removals, err := spec.increment()
	if err != nil {
		return nil, err
	}
	r := &run{spec: spec, store: st, progress: progress, parameters: spec.parameters(bookText), works: works, removals: removals}
	done, jobHash, err := begin(ctx, st, r.parameters, spec.Force)
	if err != nil {
		return nil, r.explain(err)
	}
	if done != nil { // a run may have been killed between the manifest and the clearing up
		return &Delivery{Manifest: done, Codebook: book, AlreadyFinished: true}, r.explain(unstage(ctx, st))
	}
	r.job = jobHash
	if err := r.images(ctx, source); err != nil {
		return nil, r.explain(err)
	}
	m, err := r.finish(ctx, bookText)
	if err != nil {
		return nil, r.explain(err)
	}
	return &Delivery{Manifest: m, Codebook: book, Resumed: r.resumed}, nil
}

// run is a delivery being made.
type run struct {
	spec       Spec
	parameters Parameters
	works      []concepts.Work // by ID
	removals   []Removal
	job        string
	store      store.Store
	progress   Progress

	mu      sync.Mutex
	records map[concepts.WorkID]record
	refused int
	resumed int
	before  *leftovers
	batches *batches
	passing map[concepts.WorkID]bool // refused, but not staged
}

// explain says what to do about errors an operator will meet.
func (r *run) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrFull):
		return fmt.Errorf("delivery: the disk is full after %d of %d works; free space and run the same command again, what is finished is kept: %w", len(r.records), len(r.works), err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("delivery: stopped after %d of %d works; run the same command again to go on: %w", len(r.records), len(r.works), err)
	}
	return err
}

// images does all works that no earlier run has done, and stages each.
func (r *run) images(ctx context.Context, source Source) error {
	var err error
	r.batches = newBatches(r.store, r.job, r.spec.ImagesPerShard)
	if r.before, err = staged(ctx, r.batches, r.works); err != nil {
		return err
	}
	r.records, r.passing = maps.Clone(r.before.records), make(map[concepts.WorkID]bool)
	for _, rec := range r.records {
		if rec.Refusal != nil {
			r.refused++
		}
	}
	r.resumed = len(r.records)
	r.tell("")
	m, err := newMarker(r.spec, source)
	if err != nil {
		return err
	}
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(r.spec.Workers)
	for _, w := range r.works {
		if _, done := r.before.records[w.ID]; done {
			continue
		}
		if each.Err() != nil {
			break
		}
		g.Go(func() error { return r.work(each, m, w) })
	}
	err = g.Wait()
	if ferr := r.batches.flush(ctx); err == nil {
		err = ferr
	}
	if err != nil {
		return err
	}
	return ctx.Err()
}

// work does one work and stages it. Refusals due to circumstances are not staged: a resumed run tries again.
func (r *run) work(ctx context.Context, m *marker, w concepts.Work) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	img, file, ref, err := m.image(ctx, w)
	if err != nil {
		return err
	}
	rec := record{Format: jobFormat, Job: r.job, Work: w.ID, Image: img}
	if ref != nil {
		rec.Refusal = &Refusal{Work: w.ID, Path: w.Path, Kind: ref.kind, Detail: ref.detail}
	}
	if ref == nil || !ref.passing {
		if err := r.stage(ctx, rec, file); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records[w.ID] = rec
	if ref != nil {
		r.refused++
		r.passing[w.ID] = ref.passing
	}
	r.tell(w.ID)
	return nil
}

// stage keeps a finished work: by itself, or where there are very many small ones in a batch.
func (r *run) stage(ctx context.Context, rec record, file []byte) error {
	if r.spec.Readable == ReadablePool {
		return r.batches.add(ctx, rec, file)
	}
	return stage(ctx, r.store, rec, file)
}

func (r *run) tell(id concepts.WorkID) {
	if r.progress != nil {
		r.progress(len(r.records), len(r.works), r.refused, id)
	}
}

// finish makes the delivery of the staged images. The order of writes makes every interruption harmless: what is
// deleted is held by something written and flushed before, and the manifest, last, makes it a delivery.
//
// staged refusals -> per shard: shard, its record, its staged images go -> codebook -> manifest -> staging goes
//
// Pools are read from the shards, before the manifest, which tells what they gave.
func (r *run) finish(ctx context.Context, codebook []byte) (*Manifest, error) {
	m := &Manifest{Format: ManifestFormat, Parameters: r.parameters, Shards: []Shard{}, Images: make([]Image, 0, len(r.records)-r.refused), Refusals: []Refusal{}, Removals: r.removals}
	r.before.records, r.before.batched = nil, nil // they are among r.records
	for _, w := range r.works {
		if rec := r.records[w.ID]; rec.Refusal != nil {
			m.Refusals = append(m.Refusals, *rec.Refusal)
			// From the first shard on the set of images is fixed, passing refusals included.
			if r.passing[w.ID] {
				if err := stage(ctx, r.store, rec, nil); err != nil {
					return nil, err
				}
			}
		} else {
			img := *rec.Image
			img.Key, img.WordsSHA256 = sampleKey(w.ID), r.spec.wordsHash(w)
			m.Images = append(m.Images, img)
			r.records[w.ID] = record{} // one copy is enough
		}
	}
	if len(m.Images) == 0 && len(m.Removals) == 0 {
		first := m.Refusals[0]
		return nil, fmt.Errorf("%w, %d of them; the first is %s (%s): %s", ErrNothingDelivered, len(m.Refusals), first.Path, first.Kind, first.Detail)
	}
	n := 0
	for images := range slices.Chunk(m.Images, r.spec.ImagesPerShard) {
		s, err := r.shard(ctx, n, images)
		if err != nil {
			return nil, err
		}
		for i := range images {
			images[i].Shard = s.Name
		}
		m.Shards = append(m.Shards, s)
		n++
	}
	if r.spec.Readable == ReadablePool {
		if err := r.pools(ctx, m); err != nil {
			return nil, err
		}
	}
	m.Buckets = countBuckets(m.Parameters.Geometry, m.Images)
	m.Summary = m.summarise()
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("delivery: the manifest made is wrong, report it: %w", err)
	}
	if err := store.PutBytes(ctx, r.store, CodebookKey, codebook); err != nil {
		return nil, err
	}
	if _, err := putManifest(ctx, r.store, m); err != nil {
		return nil, err
	}
	return m, unstage(ctx, r.store)
}

// shard writes shard n, then the record of it, and only then lets go of the staged images, so that a delivery
// never needs more room than its images and one shard.
func (r *run) shard(ctx context.Context, n int, images []Image) (Shard, error) {
	if n < len(r.before.shards) {
		if s := r.before.shards[n]; s.Images == len(images) {
			return s, r.dropStaged(ctx, images, true)
		}
		return Shard{}, fmt.Errorf("delivery: %s was written with other images than are refused or delivered now; force to begin anew", shardName(n))
	}
	var listing bytes.Buffer
	for i := range images {
		sides, err := r.sides(&images[i])
		if err != nil {
			return Shard{}, err
		}
		appendListing(&listing, images[i].SHA256, images[i].Key+"."+images[i].Extension)
		for _, m := range sides {
			appendListing(&listing, hashOf(m.data), m.name)
		}
	}
	s := Shard{Name: r.spec.Shards.name(n, listing.Bytes()), Images: len(images)}
	err := r.store.Put(ctx, s.Name, func(w io.Writer) error {
		h := sha256.New()
		counted := &counter{w: io.MultiWriter(w, h)}
		to, err := r.spec.Shards.packed(counted)
		if err != nil {
			return err
		}
		if err := errors.Join(r.samples(ctx, to, images), to.Close()); err != nil {
			return err
		}
		s.Bytes, s.SHA256 = counted.n, hex.EncodeToString(h.Sum(nil))
		return nil
	})
	if err != nil {
		return Shard{}, err
	}
	if err := putJSON(ctx, r.store, shardRecordKey(n), shardRecord{jobFormat, r.job, s}); err != nil {
		return Shard{}, err
	}
	return s, r.dropStaged(ctx, images, false)
}

// dropStaged deletes the staged images of a written shard; resumed: those that an earlier run did not get to.
func (r *run) dropStaged(ctx context.Context, images []Image, resumed bool) error {
	if r.spec.Readable == ReadablePool {
		return r.batches.release(ctx, images, func(key string) bool { return !resumed || r.before.keys[key] })
	}
	for i := range images {
		key := stagingKey(images[i].Work, ".img")
		if resumed && !r.before.keys[key] {
			continue
		}
		if err := r.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// samples writes the members of a shard.
func (r *run) samples(ctx context.Context, w io.Writer, images []Image) error {
	out := newShardWriter(w)
	for i := range images {
		img := &images[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		to, err := out.member(img.Key+"."+img.Extension, img.Bytes)
		if err != nil {
			return err
		}
		if err := copyStaged(ctx, r.store, r.batches.place(img.Work), img, to); err != nil {
			return err
		}
		sides, err := r.sides(img)
		if err != nil {
			return err
		}
		for _, m := range sides {
			if err := out.bytes(m.name, m.data); err != nil {
				return err
			}
		}
	}
	return out.close()
}

// sides gives the members of a sample besides the image, in order.
func (r *run) sides(img *Image) ([]side, error) {
	work, _ := r.spec.Catalogue.Work(img.Work)
	cs := ConceptsOf(r.spec.Catalogue, img.Work)
	text, err := sampleJSON(work, cs, img)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	sides := []side{{img.Key + ".json", text}, {img.Key + ".txt", []byte(r.spec.Captions.Of(work, cs))}}
	terms, err := r.spec.Rights.TrainingMining.sidecar(img)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	if terms != nil {
		sides = append(sides, side{img.Key + "." + trainingMiningExtension, terms})
	}
	return sides, nil
}

// ConceptsOf gives the concepts of a work with their names, by ID.
func ConceptsOf(f *concepts.Frozen, id concepts.WorkID) []concepts.Concept {
	var cs []concepts.Concept
	all := f.Catalogue().Concepts
	for _, id := range f.ConceptsOf(id) {
		i, ok := slices.BinarySearchFunc(all, id, func(c concepts.Concept, id concepts.ConceptID) int {
			return compareIDs(c.ID, id)
		})
		if ok {
			cs = append(cs, all[i])
		}
	}
	return cs
}

func compareIDs(a, b concepts.ConceptID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
