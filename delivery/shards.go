package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/filigrane/filigrane/internal/store"
)

// shardRecord is staging/shard-N.json: the shard is written as its plan says. Its images may no longer be staged.
type shardRecord struct {
	Format string `json:"format"`
	Job    string `json:"job"`
	Plan   string `json:"plan"`
	Shard  Shard  `json:"shard"`
}

func shardRecordKey(n int) string {
	return stagingPrefix + strings.TrimSuffix(shardName(n), ".tar") + jsonSuffix
}

// Shard writes shard n (0 to Seal's number less 1), then the record of it, and lets go of those staged images that no other
// unwritten shard needs. Any process, any order; twice is harmless, and so are two at once: both write the same bytes.
//
// Errors: ErrNotSealed; ErrGone; PartError where what was staged is gone or damaged; the store's. It panics if there is no
// such shard.
func (m *Making) Shard(ctx context.Context, n int) (Shard, error) {
	if m.done != nil {
		return m.done.Shards[n], nil
	}
	s, err := m.sealed(ctx)
	if err != nil {
		return Shard{}, err
	}
	if s == nil {
		if err := m.here(ctx); err != nil {
			return Shard{}, err
		}
		return Shard{}, ErrNotSealed
	}
	if n < 0 || n >= s.Shards {
		panic(fmt.Sprintf("delivery: shard %d of %d", n, s.Shards))
	}
	if done, err := m.written(ctx, s, n); done != nil || err != nil {
		return shardOf(done), err
	}
	p, err := m.readPlan(ctx, s, n)
	if err != nil {
		return Shard{}, err
	}
	var took Times
	defer func() { m.times.add(took) }()
	defer since(&took.Shard)()
	for range len(p.Batches) + 1 { // each time one of them turns out to be gone or damaged
		made, bad, err := m.writeShard(ctx, p, &took)
		if err == nil {
			if err := putJSON(ctx, m.store, shardRecordKey(n), shardRecord{jobFormat, m.job, s.Plans[n], made}); err != nil {
				return Shard{}, err
			}
			return made, m.letGo(ctx, s, p)
		}
		if bad < 0 {
			return Shard{}, err
		}
		// Another process may have written the shard meanwhile and let go of the images.
		if done, derr := m.written(ctx, s, n); done != nil || derr != nil {
			return shardOf(done), derr
		}
		if err := m.here(ctx); err != nil {
			return Shard{}, err
		}
		if err := m.relocate(ctx, p, bad); err != nil {
			return Shard{}, err
		}
	}
	return Shard{}, fmt.Errorf("delivery: the staged images of shard %d vanish while they are read", n)
}

func shardOf(r *shardRecord) Shard {
	if r == nil {
		return Shard{}
	}
	return r.Shard
}

// written reads the record of shard n, nil if it is not written as its plan says.
func (m *Making) written(ctx context.Context, s *sealed, n int) (*shardRecord, error) {
	text, err := store.ReadAll(ctx, m.store, shardRecordKey(n), 1<<20)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r shardRecord
	if strict(text, &r) != nil || r.Format != jobFormat || r.Job != m.job || r.Plan != s.Plans[n] {
		return nil, nil
	}
	return &r, nil
}

// writeShard puts the shard of a plan. bad is the index of a batch that is gone or damaged if that is why it failed, else -1.
func (m *Making) writeShard(ctx context.Context, p *plan, t *Times) (s Shard, bad int, err error) {
	var listing bytes.Buffer
	for i := range p.Images {
		img := &p.Images[i].Image
		sides, err := m.sides(img)
		if err != nil {
			return s, -1, err
		}
		appendListing(&listing, img.SHA256, img.Key+"."+img.Extension)
		for _, side := range sides {
			appendListing(&listing, hashOf(side.data), side.name)
		}
	}
	form := m.spec.Shards
	s = Shard{Name: form.name(p.Shard, listing.Bytes()), Images: len(p.Images)}
	bad = -1
	staged := newStagedFiles(m.store)
	defer staged.Close()
	err = m.store.Put(ctx, s.Name, func(w io.Writer) error {
		h := sha256.New()
		counted := &counter{w: io.MultiWriter(w, h)}
		to, err := form.packed(counted)
		if err != nil {
			return err
		}
		bad, err = m.samples(ctx, to, p, staged)
		if err := errors.Join(err, to.Close()); err != nil {
			return err
		}
		s.Bytes, s.SHA256 = counted.n, hex.EncodeToString(h.Sum(nil))
		return nil
	})
	t.BytesRead += staged.read
	t.BytesWritten += s.Bytes
	return s, bad, err
}

// samples writes the members of a shard. bad is as of writeShard.
func (m *Making) samples(ctx context.Context, w io.Writer, p *plan, staged *stagedFiles) (bad int, err error) {
	last := make([]int, len(p.Batches)) // the last image in each
	for i := range p.Images {
		last[p.Images[i].Batch] = i
	}
	out := newShardWriter(w)
	for i := range p.Images {
		at, img := &p.Images[i], &p.Images[i].Image
		if err := ctx.Err(); err != nil {
			return -1, err
		}
		to, err := out.member(img.Key+"."+img.Extension, img.Bytes)
		if err != nil {
			return -1, err
		}
		name := p.Batches[at.Batch].Name
		if err := staged.copy(ctx, name, at.Offset, img, to); errors.Is(err, errDamaged) {
			return at.Batch, fmt.Errorf("delivery: the staged image of work %s: %w", img.Work, err)
		} else if err != nil {
			return -1, err
		}
		if last[at.Batch] == i {
			staged.closeBatch(name)
		}
		sides, err := m.sides(img)
		if err != nil {
			return -1, err
		}
		for _, side := range sides {
			if err := out.bytes(side.name, side.data); err != nil {
				return -1, err
			}
		}
	}
	return -1, out.close()
}

// relocate looks for the images of a batch that is gone or damaged in others of its part, where they are if the part was
// run again or twice. If they are in none, the batch's record goes, so that the part is made anew.
func (m *Making) relocate(ctx context.Context, p *plan, bad int) error {
	was := p.Batches[bad]
	n, ok := partOf(was.Name)
	if !ok || n >= m.Parts() {
		return fmt.Errorf("delivery: the plan of shard %d names the batch %q; check the disk, then force to begin anew", p.Shard, was.Name)
	}
	all, err := m.listStaged(ctx, prefixOfPart(n))
	if err != nil {
		return err
	}
	if l := all[n]; l != nil {
		delete(l.images, was.Name)
		for i, name := range l.records {
			if name == was.Name {
				l.records = append(l.records[:i], l.records[i+1:]...)
				break
			}
		}
	}
	found, err := m.readPart(ctx, n, all[n], false)
	if err != nil {
		return err
	}
	elsewhere := make(map[string]*stagedWork)
	for _, f := range found {
		if f != nil && f.Image != nil {
			elsewhere[f.Image.SHA256] = f
		}
	}
	at := make(map[string]int)
	for i := range p.Images {
		img := &p.Images[i]
		if img.Batch != bad {
			continue
		}
		f := elsewhere[img.Image.SHA256]
		if f == nil {
			if err := deleteAll(ctx, m.store, []string{was.Name + jsonSuffix, was.Name + imageSuffix}); err != nil {
				return err
			}
			return &PartError{Parts: []int{n}, Err: fmt.Errorf("the staged image of work %s is damaged: %w", img.Image.Work, errDamaged)}
		}
		b, ok := at[f.batch]
		if !ok {
			b = len(p.Batches)
			at[f.batch] = b
			p.Batches = append(p.Batches, planBatch{f.batch, was.First, was.Last})
		}
		img.Batch, img.Offset = b, f.offset
	}
	return nil
}

// letGo deletes the batches of a written shard whose other shards are written too. Of two processes that end two shards of one
// batch at the same moment at least one sees both.
func (m *Making) letGo(ctx context.Context, s *sealed, p *plan) error {
	others := make(map[int]bool)
	all := func(first, last int) (bool, error) {
		for n := first; n <= last; n++ {
			done, known := others[n]
			if !known && n != p.Shard {
				r, err := m.written(ctx, s, n)
				if err != nil {
					return false, err
				}
				done = r != nil
				others[n] = done
			}
			if !done && n != p.Shard {
				return false, nil
			}
		}
		return true, nil
	}
	var keys []string
	for _, b := range p.Batches {
		done, err := all(b.First, b.Last)
		if err != nil {
			return err
		}
		if done {
			keys = append(keys, b.Name+imageSuffix)
		}
	}
	return deleteAll(ctx, m.store, keys)
}

// sides gives the members of a sample besides the image, in order.
func (m *Making) sides(img *Image) ([]side, error) {
	work, _ := m.spec.Catalogue.Work(img.Work)
	cs := ConceptsOf(m.spec.Catalogue, img.Work)
	text, err := sampleJSON(work, cs, img)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	sides := []side{{img.Key + ".json", text}, {img.Key + ".txt", []byte(m.spec.Captions.Of(work, cs))}}
	terms, err := m.spec.Rights.TrainingMining.sidecar(img)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	if terms != nil {
		sides = append(sides, side{img.Key + "." + trainingMiningExtension, terms})
	}
	return sides, nil
}
