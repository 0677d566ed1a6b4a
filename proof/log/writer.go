package log

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/proof/tlogproof"
)

const (
	// MaxBatch is the most entries one Append takes.
	MaxBatch = 1 << 16
	// MaxBatchBytes is the most bytes they have together: a batch is held in memory, and lies in the journal as one object.
	MaxBatchBytes = 64 << 20
)

// Writer adds to a log. The package comment says what it promises. It holds in memory where each entry is: about 100 bytes
// an entry.
type Writer struct {
	st      store.Store
	signer  note.Signer
	policy  *tlogproof.Policy
	seen    []tlogproof.Checkpoint
	release func() error

	mu    sync.Mutex
	ready bool // what is below is what the store has
	last  tlogproof.Checkpoint
	files *Reader
	index map[tlog.Hash]int64 // leaf hash to index
}

// Create makes an empty log: it publishes the checkpoint of no entries. Where a log of this policy is already nothing is
// changed. It fails where there are tiles and no checkpoint: that is a log that lost its checkpoint, and a new one
// of the same name would fork it.
func Create(ctx context.Context, st store.Store, signer note.Signer, p *tlogproof.Policy) error {
	if err := checkSigner(signer, p); err != nil {
		return err
	}
	release, err := st.Lock(ctx, lockName)
	if err != nil {
		return err
	}
	return errors.Join(create(ctx, st, signer, p), release())
}

func create(ctx context.Context, st store.Store, signer note.Signer, p *tlogproof.Policy) error {
	text, err := readCheckpoint(ctx, FromBucket(st))
	if err == nil {
		_, err = p.OpenLog(text)
		return err
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	for _, prefix := range []string{"tile/", journalFile} {
		switch keys, err := st.List(ctx, prefix); {
		case err != nil:
			return err
		case len(keys) > 0:
			return fmt.Errorf("log: there is %s and no checkpoint: put back the checkpoint of %s from a copy; a new log needs an empty place and a new name", keys[0], p.Origin())
		}
	}
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		return err
	}
	c, err := sign(signer, p, 0, root)
	if err != nil {
		return err
	}
	return store.PutBytes(ctx, st, checkpointFile, []byte(c.Note))
}

// checkSigner finds out before anything is written whether what the signer signs will verify.
func checkSigner(signer note.Signer, p *tlogproof.Policy) error {
	if signer.Name() != p.Origin() {
		return fmt.Errorf("log: the key is called %s and the log %s: they have one name (c2sp.org/tlog-checkpoint)", signer.Name(), p.Origin())
	}
	if strings.ContainsAny(p.Origin(), " +") {
		return fmt.Errorf("log: %q cannot name a log: no spaces and no plus", p.Origin())
	}
	root, err := tlog.TreeHash(0, nil)
	if err != nil {
		return err
	}
	_, err = sign(signer, p, 0, root)
	return err
}

// sign makes a checkpoint and reads it again as everybody will.
func sign(signer note.Signer, p *tlogproof.Policy, size int64, root tlog.Hash) (tlogproof.Checkpoint, error) {
	text, err := note.Sign(&note.Note{Text: tlogproof.Body(p.Origin(), size, root)}, signer)
	if err != nil {
		return tlogproof.Checkpoint{}, fmt.Errorf("log: signing: %w", err)
	}
	c, err := p.OpenLog(string(text))
	if err != nil {
		return tlogproof.Checkpoint{}, fmt.Errorf("log: the signing key is none of the policy's: %w", err)
	}
	return c, nil
}

// Open takes the log's lock and reads it: all hashes are verified, and a batch that was begun is ended. The signer's name
// is the log's, and its key one of the policy's; the policy's witnesses are asked for by Cosign only. seen are checkpoints of
// this log that were kept elsewhere: if the store does not contain them it was set back, and Open fails rather than let
// the log fork. Close the Writer after use. Errors: store.ErrLocked, store.ErrNotFound if there is no log, ErrFiles,
// *ForkError, those of the store and of tlogproof.
func Open(ctx context.Context, st store.Store, signer note.Signer, p *tlogproof.Policy, seen ...tlogproof.Checkpoint) (*Writer, error) {
	if err := checkSigner(signer, p); err != nil {
		return nil, err
	}
	release, err := st.Lock(ctx, lockName)
	if err != nil {
		return nil, err
	}
	w := &Writer{st: st, signer: signer, policy: p, seen: seen, release: release}
	if err := w.load(ctx); err != nil {
		return nil, errors.Join(err, release())
	}
	return w, nil
}

// Close lets go of the lock.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready = false
	return w.release()
}

// Checkpoint is the newest checkpoint that was published, with the cosignatures it was published with.
func (w *Writer) Checkpoint() tlogproof.Checkpoint {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// Index tells where an entry with these bytes is.
func (w *Writer) Index(entry []byte) (index int64, found bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	index, found = w.index[tlog.RecordHash(entry)]
	return index, found
}

// Append adds entries and gives the index of each, in their order, and a checkpoint that covers all. An entry that is in the
// log already, or comes twice, has one index; if all are, nothing is written. An entry has 1 to MaxEntryBytes bytes; a call
// takes up to MaxBatch entries of MaxBatchBytes together, and publishes them under one checkpoint. After an error the
// entries may or may not be in the log: append them again. Errors: those of Open.
func (w *Writer) Append(ctx context.Context, entries ...[]byte) ([]int64, tlogproof.Checkpoint, error) {
	if err := checkEntries(entries); err != nil {
		return nil, tlogproof.Checkpoint{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ready {
		if err := w.load(ctx); err != nil {
			return nil, tlogproof.Checkpoint{}, err
		}
	}
	indexes, fresh := w.place(entries)
	if len(fresh) > 0 {
		if err := w.write(ctx, fresh); err != nil {
			w.ready = false
			return nil, tlogproof.Checkpoint{}, err
		}
	}
	return indexes, w.last, nil
}

func checkEntries(entries [][]byte) error {
	total := 0
	for i, e := range entries {
		if len(e) == 0 || len(e) > MaxEntryBytes {
			return fmt.Errorf("log: entry %d of the batch has %d bytes; 1 to %d are allowed: put the hash of what is longer into the log", i, len(e), MaxEntryBytes)
		}
		total += len(e)
	}
	if len(entries) > MaxBatch || total > MaxBatchBytes {
		return fmt.Errorf("log: a batch of %d entries and %d bytes; at most %d and %d are taken at once: append it in parts", len(entries), total, MaxBatch, MaxBatchBytes)
	}
	return nil
}

// place gives the index that each entry has or will have, and those that are new.
func (w *Writer) place(entries [][]byte) (indexes []int64, fresh [][]byte) {
	coming := map[tlog.Hash]int64{}
	for _, e := range entries {
		h := tlog.RecordHash(e)
		at, found := w.index[h]
		if !found {
			at, found = coming[h]
		}
		if !found {
			at = w.last.Size + int64(len(fresh))
			coming[h] = at
			fresh = append(fresh, e)
		}
		indexes = append(indexes, at)
	}
	return indexes, fresh
}

// write is the order of durable writes: first the whole batch into the journal, from where load would end it, and then what
// load does too.
func (w *Writer) write(ctx context.Context, batch [][]byte) error {
	j, err := signJournal(w.signer, w.policy, w.last.Size, batch)
	if err != nil {
		return err
	}
	if err := store.PutBytes(ctx, w.st, journalFile, j); err != nil {
		return err
	}
	return w.publish(ctx, batch)
}

// publish brings the batch of the journal into the log: entries, then the hashes over them, then the checkpoint over both.
// Everything before the checkpoint has one content for all time, however often it is written.
func (w *Writer) publish(ctx context.Context, batch [][]byte) error {
	g, err := w.grow(ctx, batch)
	if err != nil {
		return err
	}
	if err := w.put(ctx, g.bundles); err != nil {
		return err
	}
	if err := w.put(ctx, g.tiles); err != nil {
		return err
	}
	c, err := sign(w.signer, w.policy, g.size, g.root)
	if err != nil {
		return err
	}
	if err := store.PutBytes(ctx, w.st, checkpointFile, []byte(c.Note)); err != nil {
		return err
	}
	for i, e := range batch {
		w.index[tlog.RecordHash(e)] = w.last.Size + int64(i)
	}
	w.last = c
	w.tidy(ctx, g)
	return nil
}

// object is a file that will be written.
type object struct {
	tile tlog.Tile
	data []byte
}

// growth is what a batch changes.
type growth struct {
	bundles, tiles []object
	size           int64
	root           tlog.Hash
}

// grow computes the files and the root after a batch. What it needs of the present files it verifies.
func (w *Writer) grow(ctx context.Context, batch [][]byte) (growth, error) {
	base := w.last.Size
	g := growth{size: base + int64(len(batch))}
	if g.size > tlogproof.MaxSize {
		return growth{}, fmt.Errorf("log: more than %d entries", int64(tlogproof.MaxSize))
	}
	fresh := map[int64]tlog.Hash{}
	hr := overlay(fresh, w.files.hashes(ctx, w.last))
	for i, e := range batch {
		n := base + int64(i)
		hashes, err := tlog.StoredHashes(n, e, hr)
		if err != nil {
			return growth{}, err
		}
		for k, h := range hashes {
			fresh[tlog.StoredHashIndex(0, n)+int64(k)] = h
		}
	}
	var err error
	if g.root, err = tlog.TreeHash(g.size, hr); err != nil {
		return growth{}, err
	}
	for _, t := range tlog.NewTiles(height, base, g.size) {
		data, err := tlog.ReadTileData(t, hr)
		if err != nil {
			return growth{}, err
		}
		g.tiles = append(g.tiles, object{t, data})
	}
	var begun [][]byte // entries of the bundle that the batch begins in
	if base%width > 0 {
		if begun, err = w.files.bundle(ctx, w.last, tileAt(-1, base/width, base)); err != nil {
			return growth{}, err
		}
	}
	rest := append(begun, batch...)
	for n := base / width; len(rest) > 0; n++ {
		t := tileAt(-1, n, g.size)
		g.bundles = append(g.bundles, object{t, marshalBundle(rest[:t.W])})
		rest = rest[t.W:]
	}
	return g, nil
}

// overlay reads hashes from fresh, and those that are not there from old.
func overlay(fresh map[int64]tlog.Hash, old tlog.HashReader) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, len(indexes))
		var missing []int64
		var where []int
		for i, x := range indexes {
			h, ok := fresh[x]
			if !ok {
				missing, where = append(missing, x), append(where, i)
			}
			hashes[i] = h
		}
		found, err := old.ReadHashes(missing)
		if err != nil {
			return nil, err
		}
		for k, h := range found {
			hashes[where[k]] = h
		}
		return hashes, nil
	})
}

// put writes files, several at once.
func (w *Writer) put(ctx context.Context, objects []object) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(together)
	for _, o := range objects {
		g.Go(func() error { return store.PutBytes(ctx, w.st, path(o.tile), o.data) })
	}
	return g.Wait()
}

// tidy deletes partial files of which the whole one is published. Nothing depends on success: what a failure leaves is read
// by nobody who finds the whole file, and says the same.
func (w *Writer) tidy(ctx context.Context, g growth) {
	for _, objects := range [][]object{g.bundles, g.tiles} {
		for _, o := range objects {
			if o.tile.W < width {
				continue
			}
			keys, err := w.st.List(ctx, path(o.tile)+".p/")
			if err != nil {
				return
			}
			for _, key := range keys {
				if w.st.Delete(ctx, key) != nil {
					return
				}
			}
		}
	}
}

// load reads what the store has, verifies it, and ends the batch that is in the journal.
func (w *Writer) load(ctx context.Context) error {
	files := FromBucket(w.st)
	text, err := readCheckpoint(ctx, files)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("log: there is no log here; create it first: %w", err)
	}
	if err != nil {
		return err
	}
	if w.last, err = w.policy.OpenLog(text); err != nil {
		return err
	}
	w.files = NewReader(files, w.policy)
	w.index = make(map[tlog.Hash]int64, w.last.Size)
	err = w.files.leaves(ctx, w.last, func(at int64, hashes []tlog.Hash) bool {
		for i, h := range hashes {
			if _, twice := w.index[h]; !twice {
				w.index[h] = at + int64(i)
			}
		}
		return true
	})
	if err != nil {
		return err
	}
	if err := w.recover(ctx); err != nil {
		return err
	}
	for _, c := range w.seen {
		if c.Origin != w.policy.Origin() {
			return fmt.Errorf("%w: %s is not of %s", tlogproof.ErrOrigin, c, w.policy.Origin())
		}
		if c.Size > w.last.Size {
			return fmt.Errorf("%w: the store has %d entries, and the %s was seen: the store was set back; put back its files before anything is added", ErrFiles, w.last.Size, c)
		}
		if _, err := w.files.Consistency(ctx, c, w.last); err != nil {
			return err
		}
	}
	w.ready = true
	return nil
}

// recover ends the batch of the journal if its checkpoint was not published.
func (w *Writer) recover(ctx context.Context) error {
	data, err := store.ReadAll(ctx, w.st, journalFile, maxJournalBytes)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	base, batch, err := openJournal(w.policy, data)
	if err != nil {
		return err
	}
	switch {
	case base > w.last.Size:
		return fmt.Errorf("%w: the journal goes on from %d entries and the checkpoint has %d: the checkpoint was set back; put back its newest", ErrFiles, base, w.last.Size)
	case base == w.last.Size:
		return w.publish(ctx, batch)
	}
	return nil
}

// Cosign adds what witnesses answered, signature lines under the newest checkpoint, to the published checkpoint, and returns
// it. Lines that are no cosignatures of the policy's witnesses are passed over; one that does not verify, as under an older
// checkpoint, is tlogproof.ErrSignature. The checkpoint returned says who has cosigned; whether that is enough Policy.Open tells.
func (w *Writer) Cosign(ctx context.Context, lines string) (tlogproof.Checkpoint, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ready {
		if err := w.load(ctx); err != nil {
			return tlogproof.Checkpoint{}, err
		}
	}
	c, err := w.policy.Merge(w.last, lines)
	if err != nil {
		return tlogproof.Checkpoint{}, err
	}
	if c.Note == w.last.Note {
		return c, nil
	}
	if err := store.PutBytes(ctx, w.st, checkpointFile, []byte(c.Note)); err != nil {
		w.ready = false
		return tlogproof.Checkpoint{}, err
	}
	w.last = c
	return c, nil
}
