package log

import (
	"bytes"
	"context"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/proof/tlogproof"
)

// Audit is what Verify went through.
type Audit struct {
	Entries int64 // read and hashed
	Bytes   int64 // of the entries
	Tiles   int64 // recomputed and compared
}

// Verify reads every entry of c, recomputes every tile and the root from them, with other code than the one that wrote them
// (merkle's compact ranges), and compares all with the files. Memory does not grow with the log. Errors: ErrFiles naming the
// first file that is wrong, those of the source.
func (r *Reader) Verify(ctx context.Context, c tlogproof.Checkpoint) (Audit, error) {
	v := verification{ctx: ctx, reader: r, c: c}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for at := int64(0); at < c.Size; at += together * width {
		bundles, err := v.read(at / width)
		if err != nil {
			return v.audit, err
		}
		for _, entries := range bundles {
			for _, e := range entries {
				v.audit.Entries++
				v.audit.Bytes += int64(len(e))
				if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(e), v.visit); err != nil {
					return v.audit, fmt.Errorf("log: %w", err)
				}
				if v.err != nil {
					return v.audit, v.err
				}
			}
		}
	}
	for level, data := range v.levels {
		if len(data) > 0 {
			v.compare(level, v.done[level])
		}
	}
	if v.err != nil {
		return v.audit, v.err
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return v.audit, fmt.Errorf("log: %w", err)
	}
	if root == nil {
		root = rfc6962.DefaultHasher.EmptyRoot()
	}
	if !bytes.Equal(root, c.Root[:]) {
		return v.audit, fmt.Errorf("%w: all entries together do not have the root of the %s; they and all tiles were replaced", ErrFiles, c)
	}
	return v.audit, nil
}

// verification rebuilds the tiles from the nodes of the tree as these come into being.
type verification struct {
	ctx    context.Context
	reader *Reader
	c      tlogproof.Checkpoint
	levels [][]byte // the tile that is being filled, by level
	done   []int64  // tiles finished, by level
	audit  Audit
	err    error
}

// read gives the entries of several bundles from one on.
func (v *verification) read(n int64) ([][][]byte, error) {
	last := (v.c.Size - 1) / width
	bundles := make([][][]byte, min(together, last-n+1))
	g, ctx := errgroup.WithContext(v.ctx)
	for i := range bundles {
		g.Go(func() (err error) {
			bundles[i], err = readBundle(ctx, v.reader.files, tileAt(-1, n+int64(i), v.c.Size))
			return err
		})
	}
	return bundles, g.Wait()
}

// visit takes a new node of the tree.
func (v *verification) visit(id compact.NodeID, hash []byte) {
	if v.err != nil || id.Level%height != 0 {
		return
	}
	level := int(id.Level / height)
	if level == len(v.levels) {
		v.levels, v.done = append(v.levels, nil), append(v.done, 0)
	}
	v.levels[level] = append(v.levels[level], hash...)
	if len(v.levels[level]) == width*tlog.HashSize {
		v.compare(level, v.done[level])
		v.levels[level] = v.levels[level][:0]
		v.done[level]++
	}
}

// compare reads the file of a tile and compares it with what was computed.
func (v *verification) compare(level int, n int64) {
	if v.err != nil {
		return
	}
	t := tileAt(level, n, v.c.Size)
	data, err := readTile(v.ctx, v.reader.files, t)
	if err != nil {
		v.err = err
		return
	}
	v.audit.Tiles++
	if bytes.Equal(data, v.levels[level]) {
		return
	}
	name := path(t)
	if level == 0 {
		// Which of the two is wrong? The tile can be verified without the entries.
		if _, err := v.reader.hashes(v.ctx, v.c).ReadHashes([]int64{tlog.StoredHashIndex(0, n*width)}); err == nil {
			name = path(tileAt(-1, n, v.c.Size))
		}
	}
	v.err = fmt.Errorf("%w: %s is not what the entries make it", ErrFiles, name)
}
