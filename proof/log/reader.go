package log

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/proof/tlogproof"
)

// Reader reads and verifies one log. Its methods may be called by several goroutines. The checkpoints they take must come
// from the policy, or from the log's Writer; all of a log's checkpoints can be used, not only the newest.
type Reader struct {
	files  Files
	policy *tlogproof.Policy

	mu    sync.Mutex
	cache map[tlog.Tile][]byte // verified tiles
}

// cached is how many tiles a Reader keeps: 32 MiB. When there are more it begins anew.
const cached = 4096

// NewReader reads the log of a policy from its files.
func NewReader(f Files, p *tlogproof.Policy) *Reader {
	return &Reader{files: f, policy: p, cache: map[tlog.Tile][]byte{}}
}

// Policy is the policy the Reader was made with.
func (r *Reader) Policy() *tlogproof.Policy { return r.policy }

// Checkpoint reads the log's newest checkpoint, which must satisfy the policy. Errors: those of tlogproof.Policy.Open;
// store.ErrNotFound if there is none. That it is the newest there is nobody can know: see a witness.
func (r *Reader) Checkpoint(ctx context.Context) (tlogproof.Checkpoint, error) {
	text, err := readCheckpoint(ctx, r.files)
	if err != nil {
		return tlogproof.Checkpoint{}, err
	}
	return r.policy.Open(text)
}

// LogCheckpoint is Checkpoint without the policy's witnesses: for those who come before the witnesses.
func (r *Reader) LogCheckpoint(ctx context.Context) (tlogproof.Checkpoint, error) {
	text, err := readCheckpoint(ctx, r.files)
	if err != nil {
		return tlogproof.Checkpoint{}, err
	}
	return r.policy.OpenLog(text)
}

// Entry gives an entry by its index (from 0) with the proof that it is there under c. Errors: ErrFiles, those of the
// source; an index that is not below c.Size.
func (r *Reader) Entry(ctx context.Context, c tlogproof.Checkpoint, index int64) ([]byte, tlogproof.Inclusion, error) {
	proof, err := r.Inclusion(ctx, c, index)
	if err != nil {
		return nil, tlogproof.Inclusion{}, err
	}
	t := tileAt(-1, index/width, c.Size)
	entries, err := readBundle(ctx, r.files, t)
	if err != nil {
		return nil, tlogproof.Inclusion{}, err
	}
	entry := entries[index%width]
	if tlog.CheckRecord(proof.Hashes, c.Size, c.Root, index, tlog.RecordHash(entry)) != nil {
		return nil, tlogproof.Inclusion{}, fmt.Errorf("%w: entry %d in %s is not the one the tree has", ErrFiles, index, path(t))
	}
	return entry, proof, nil
}

// Inclusion gives the proof that whatever entry has this index is in the tree of c. Errors: as of Entry.
func (r *Reader) Inclusion(ctx context.Context, c tlogproof.Checkpoint, index int64) (tlogproof.Inclusion, error) {
	if index < 0 || index >= c.Size {
		return tlogproof.Inclusion{}, fmt.Errorf("log: there is no entry %d: %s has %d entries, counted from 0", index, c.Origin, c.Size)
	}
	hashes, err := tlog.ProveRecord(c.Size, index, r.hashes(ctx, c))
	if err != nil {
		return tlogproof.Inclusion{}, err
	}
	return tlogproof.Inclusion{Checkpoint: c.Note, Hashes: hashes, Index: index, Size: c.Size}, nil
}

// TreeProof gives the root that the tree of c had at an earlier size, 0 to c.Size, and the proof of consistency from there:
// empty from 0 and from c.Size itself. Errors: ErrFiles, those of the source; a size above c.Size.
func (r *Reader) TreeProof(ctx context.Context, c tlogproof.Checkpoint, size int64) (tlog.Hash, []tlog.Hash, error) {
	if size < 0 || size > c.Size {
		return tlog.Hash{}, nil, fmt.Errorf("log: there is no proof from %d entries: %s has %d; was it rolled back?", size, c.Origin, c.Size)
	}
	if size == 0 {
		empty, err := tlog.TreeHash(0, nil)
		return empty, nil, err
	}
	if size == c.Size {
		return c.Root, nil, nil
	}
	hr := r.hashes(ctx, c)
	root, err := tlog.TreeHash(size, hr)
	if err != nil {
		return tlog.Hash{}, nil, err
	}
	hashes, err := tlog.ProveTree(c.Size, size, hr)
	return root, hashes, err
}

// ForkError says that the log has signed two histories, and carries what proves it to everybody: keep it.
type ForkError struct{ Fork tlogproof.Fork }

func (e *ForkError) Error() string {
	return "log: FORK: the log has signed two different histories; keep the evidence (filigrane cannot repair this): believe none of its checkpoints without finding out why"
}

// Consistency gives the proof that the log at latest contains all that it had at old. If it does not the error is a
// *ForkError. Errors besides: as of TreeProof.
func (r *Reader) Consistency(ctx context.Context, old, latest tlogproof.Checkpoint) (tlogproof.Consistency, error) {
	root, hashes, err := r.TreeProof(ctx, latest, old.Size)
	if err != nil {
		return tlogproof.Consistency{}, err
	}
	if root != old.Root {
		return tlogproof.Consistency{}, &ForkError{tlogproof.Fork{First: old.Note, Hashes: hashes, Root: root, Second: latest.Note}}
	}
	return tlogproof.Consistency{Hashes: hashes, New: latest.Note, Old: old.Note}, nil
}

// Entries calls fn for every entry of c from an index on, in order, in the caller's goroutine; all of them are verified.
// The bytes are fn's to keep. It ends at fn's first error, which is returned as it is. Errors: ErrFiles, those of the source.
func (r *Reader) Entries(ctx context.Context, c tlogproof.Checkpoint, from int64, fn func(index int64, entry []byte) error) error {
	for index := max(from, 0); index < c.Size; {
		t := tileAt(-1, index/width, c.Size)
		entries, err := r.bundle(ctx, c, t)
		if err != nil {
			return err
		}
		for _, e := range entries[index%width:] {
			if err := fn(index, e); err != nil {
				return err
			}
			index++
		}
	}
	return nil
}

// Find looks for an entry by its bytes and gives its lowest index. It reads the hashes of the whole log: 32 bytes an entry.
func (r *Reader) Find(ctx context.Context, c tlogproof.Checkpoint, entry []byte) (index int64, found bool, err error) {
	want := tlog.RecordHash(entry)
	err = r.leaves(ctx, c, func(at int64, hashes []tlog.Hash) bool {
		if i := slices.Index(hashes, want); i >= 0 {
			index, found = at+int64(i), true
		}
		return !found
	})
	return index, found, err
}

// bundle gives the verified entries of a bundle of c.
func (r *Reader) bundle(ctx context.Context, c tlogproof.Checkpoint, t tlog.Tile) ([][]byte, error) {
	entries, err := readBundle(ctx, r.files, t)
	if err != nil {
		return nil, err
	}
	hashes, err := r.hashes(ctx, c).ReadHashes(leafIndexes(t.N*width, t.N*width+int64(t.W)))
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if tlog.RecordHash(e) != hashes[i] {
			return nil, fmt.Errorf("%w: entry %d in %s is not the one the tree has", ErrFiles, t.N*width+int64(i), path(t))
		}
	}
	return entries, nil
}

func leafIndexes(from, to int64) []int64 {
	var list []int64
	for i := from; i < to; i++ {
		list = append(list, tlog.StoredHashIndex(0, i))
	}
	return list
}

// leaves goes through the leaf hashes of c, some thousands at a time, until fn says no.
func (r *Reader) leaves(ctx context.Context, c tlogproof.Checkpoint, fn func(at int64, hashes []tlog.Hash) bool) error {
	const step = 32 * width
	for at := int64(0); at < c.Size; at += step {
		// Not through the cache: they would fill it.
		hr := &hashReader{tiles: tiles{ctx: ctx, files: r.files}, checkpoint: c}
		hashes, err := hr.ReadHashes(leafIndexes(at, min(at+step, c.Size)))
		if err != nil {
			return err
		}
		if !fn(at, hashes) {
			return nil
		}
	}
	return nil
}

// hashes reads verified hashes of the tree of c.
func (r *Reader) hashes(ctx context.Context, c tlogproof.Checkpoint) tlog.HashReader {
	return &hashReader{tiles: tiles{ctx: ctx, files: r.files, reader: r}, checkpoint: c}
}

// hashReader is tlog.TileHashReader, which verifies all it reads, with errors that say what is wrong.
type hashReader struct {
	tiles      tiles
	checkpoint tlogproof.Checkpoint
}

func (h *hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if len(indexes) == 0 {
		return nil, nil
	}
	tree := tlog.Tree{N: h.checkpoint.Size, Hash: h.checkpoint.Root}
	hashes, err := tlog.TileHashReader(tree, &h.tiles).ReadHashes(indexes)
	if err != nil && h.tiles.failed == nil && h.tiles.forget() {
		// The tiles at hand were of another tree: look at the files again.
		hashes, err = tlog.TileHashReader(tree, &h.tiles).ReadHashes(indexes)
	}
	if err != nil && h.tiles.failed != nil {
		return nil, h.tiles.failed
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the tiles do not lead to the root of the %s (%w): changed, or of another log", ErrFiles, h.checkpoint, err)
	}
	return hashes, nil
}

// tiles reads tiles for one call. It is not for several goroutines.
type tiles struct {
	ctx    context.Context
	files  Files
	reader *Reader // nil: without cache
	failed error   // of reading
}

var _ tlog.TileReader = (*tiles)(nil)

func (t *tiles) Height() int { return height }

func (t *tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(list))
	g, ctx := errgroup.WithContext(t.ctx)
	g.SetLimit(together)
	for i, tile := range list {
		if data[i] = t.reader.known(tile); data[i] != nil {
			continue
		}
		g.Go(func() (err error) {
			data[i], err = readTile(ctx, t.files, tile)
			return err
		})
	}
	t.failed = g.Wait()
	return data, t.failed
}

func (t *tiles) SaveTiles(list []tlog.Tile, data [][]byte) {
	if t.reader == nil {
		return
	}
	t.reader.mu.Lock()
	defer t.reader.mu.Unlock()
	if len(t.reader.cache)+len(list) > cached {
		clear(t.reader.cache)
	}
	for i := range list {
		t.reader.cache[list[i]] = data[i]
	}
}

// forget empties the cache, and tells whether there was anything in it.
func (t *tiles) forget() bool {
	if t.reader == nil {
		return false
	}
	t.reader.mu.Lock()
	defer t.reader.mu.Unlock()
	had := len(t.reader.cache) > 0
	clear(t.reader.cache)
	return had
}

func (r *Reader) known(t tlog.Tile) []byte {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cache[t]
}
