package delivery

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/store"
)

// Batches. To stage a small picture by itself takes longer than to mark it: two files, each flushed to disk with its
// folder, and the same again to delete them. So the finished works of a delivery of pools are gathered in memory and
// staged many at once. What a killed run loses is the batch that was being gathered, a second or two of work, which the
// next run does again; a run that is stopped loses nothing. The promises are those of single works: first the images,
// then the record that says so; and a delivery never needs more room than its images, one batch and one shard.
const (
	mostBatchWorks = 256
	mostBatchBytes = 32 << 20 // of images; a batch ends with the one that reaches it
)

const batchPrefix = stagingPrefix + "batch-"

// maxBatchRecord is the most bytes read of one batch's record; that of 256 works has a third of a megabyte.
const maxBatchRecord = 64 << 20

// batchRecord is staging/batch-<hash>.json: what became of some works. The files of those that were delivered lie in
// staging/batch-<hash>.img, one after the other in the same order.
type batchRecord struct {
	Format  string   `json:"format"`
	Job     string   `json:"job"`
	Records []record `json:"records"`
}

// place is where the image of a work is staged: from byte offset of an object on. The record is another object.
type place struct {
	image, record string // keys
	offset        int64
}

// alone is the place of a work that is staged by itself.
func alone(id concepts.WorkID) place {
	return place{image: stagingKey(id, ".img"), record: stagingKey(id, ".json")}
}

// batches gathers and stages finished works. Goroutines may share it.
type batches struct {
	store store.Store
	job   string
	most  int // works in one batch

	mu      sync.Mutex
	records []record // of the batch being gathered
	files   bytes.Buffer
	places  map[concepts.WorkID]place
	left    map[string]int // images by place.image that are not in shards yet
}

func newBatches(st store.Store, job string, imagesPerShard int) *batches {
	return &batches{store: st, job: job, most: min(mostBatchWorks, imagesPerShard), places: make(map[concepts.WorkID]place), left: make(map[string]int)}
}

// place gives where a work's image is staged.
func (b *batches) place(id concepts.WorkID) place {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at, ok := b.places[id]; ok {
		return at
	}
	return alone(id)
}

// add takes a finished work, and stages the batch if that filled it.
func (b *batches) add(ctx context.Context, r record, file []byte) error {
	b.mu.Lock()
	b.records = append(b.records, r)
	b.files.Write(file)
	full := len(b.records) >= b.most || b.files.Len() >= mostBatchBytes
	var rs []record
	var files []byte
	if full {
		rs, files = b.take()
	}
	b.mu.Unlock()
	if !full {
		return nil
	}
	return b.stage(ctx, rs, files)
}

// flush stages what has been gathered.
func (b *batches) flush(ctx context.Context) error {
	b.mu.Lock()
	rs, files := b.take()
	b.mu.Unlock()
	return b.stage(ctx, rs, files)
}

// take empties the batch. The caller holds the lock.
func (b *batches) take() ([]record, []byte) {
	rs, files := b.records, slices.Clone(b.files.Bytes())
	b.records = nil
	b.files.Reset()
	return rs, files
}

// stage makes a batch durable: the images, then the record. It is named by what it holds. A run that is stopped
// finishes it, so that what was done is kept.
func (b *batches) stage(ctx context.Context, rs []record, files []byte) error {
	if len(rs) == 0 {
		return nil
	}
	text, err := marshal(batchRecord{jobFormat, b.job, rs}, " ")
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	ctx = context.WithoutCancel(ctx)
	key := batchPrefix + hashOf(text)[:32]
	if len(files) > 0 {
		if err := store.PutBytes(ctx, b.store, key+".img", files); err != nil {
			return err
		}
	}
	if err := store.PutBytes(ctx, b.store, key+".json", text); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lay(key, rs)
	return nil
}

// lay notes where the images of a batch lie.
func (b *batches) lay(key string, rs []record) {
	at := place{image: key + ".img", record: key + ".json"}
	for _, r := range rs {
		if r.Image != nil {
			b.places[r.Work] = at
			b.left[at.image]++
			at.offset += r.Image.Bytes
		}
	}
}

// readBatches adds what earlier runs of a job have staged in batches to b and l. Batches of other jobs do not count.
func readBatches(ctx context.Context, b *batches, l *leftovers) error {
	for _, key := range slices.Sorted(maps.Keys(l.keys)) {
		name, isRecord := strings.CutSuffix(key, ".json")
		if !isRecord || !strings.HasPrefix(key, batchPrefix) {
			continue
		}
		text, err := store.ReadAll(ctx, b.store, key, maxBatchRecord)
		if err != nil {
			return err
		}
		var r batchRecord
		if strict(text, &r) != nil || r.Format != jobFormat || r.Job != b.job {
			continue // not ours: the works are done again
		}
		b.lay(name, r.Records)
		for _, rec := range r.Records {
			l.batched[rec.Work] = rec
		}
	}
	return nil
}

// release lets go of the staged images of a written shard: of each batch once all of its images are in shards, if it
// is still there.
func (b *batches) release(ctx context.Context, images []Image, there func(key string) bool) error {
	for i := range images {
		at, ok := b.places[images[i].Work]
		if !ok {
			continue
		}
		delete(b.places, images[i].Work)
		if b.left[at.image]--; b.left[at.image] == 0 && there(at.image) {
			if err := b.store.Delete(ctx, at.image); err != nil {
				return err
			}
		}
	}
	return nil
}

// readStaged reads a staged image of so many bytes.
func readStaged(ctx context.Context, st store.Store, at place, bytes int64) ([]byte, error) {
	r, err := st.Open(ctx, at.image)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if s, ok := r.(io.Seeker); ok {
		_, err = s.Seek(at.offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, r, at.offset)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", at.image, err)
	}
	return io.ReadAll(io.LimitReader(r, bytes))
}
