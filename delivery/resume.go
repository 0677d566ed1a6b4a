package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/store"
)

// Keys of a store that holds a delivery, besides its shards.
const (
	ManifestKey = "manifest.json"
	CodebookKey = "codebook.json"
)

// Keys of a delivery being made, and what those of shards begin with.
const (
	jobKey        = "job.json"
	stagingPrefix = "staging/"
	shardPrefix   = "shard-"
)

// LockName is the lock of a place that holds a delivery, for whoever writes there.
const LockName = "delivery"

// Papers are the keys of what accompanies a finished delivery, made of it by package papers. They are no part of what
// Run writes, but belong to the place: what is thrown away by force goes with them.
func Papers() []string {
	return []string{"index.parquet", "index.csv", "removals.json", "statistics.json", "statistics.html", "croissant.json", "receipt.json"}
}

// jobFormat names the form of job.json and of the records in staging.
const jobFormat = "filigrane.delivery-job/1"

// maxDocument is the most bytes read of one of our JSON documents held in memory.
const maxDocument = 4 << 30

// ErrOtherParameters says that the store holds a delivery, or a job, with other parameters. Force throws it away.
var ErrOtherParameters = errors.New("delivery: made with other parameters")

// ErrForeign says that the store holds files that are not of a delivery.
var ErrForeign = errors.New("delivery: the place is not empty")

// job is job.json: what the run in progress makes.
type job struct {
	Format     string     `json:"format"`
	Parameters Parameters `json:"parameters"`
}

// record is staging/<id>.json: what became of one work. Image and Refusal exclude each other.
type record struct {
	Format string `json:"format"`
	// Job is the hash of job.json, so that a leftover of another job is never taken for this one's.
	Job     string          `json:"job"`
	Work    concepts.WorkID `json:"work"`
	Image   *Image          `json:"image,omitempty"`
	Refusal *Refusal        `json:"refusal,omitempty"`
}

// shardRecord is staging/shard-N.json: the shard is written, its images are no longer staged.
type shardRecord struct {
	Format string `json:"format"`
	Job    string `json:"job"`
	Shard  Shard  `json:"shard"`
}

// stagingKey names the staged file of a work, by a hash since IDs may differ in case only and disks may not.
func stagingKey(id concepts.WorkID, extension string) string {
	return stagingPrefix + hashOf([]byte(id))[:32] + extension
}

func shardRecordKey(n int) string {
	return stagingPrefix + strings.TrimSuffix(shardName(n), ".tar") + ".json"
}

// begin finds out what the store holds. A finished delivery with the same parameters is returned; otherwise the
// store is left with a job.json of these parameters, whose hash is returned.
func begin(ctx context.Context, st store.Store, p Parameters, force bool) (done *Manifest, jobHash string, err error) {
	text, err := marshal(job{jobFormat, p}, " ")
	if err != nil {
		return nil, "", fmt.Errorf("delivery: %w", err)
	}
	m, other, err := finished(ctx, st, p)
	if err != nil && !force {
		return nil, "", err
	}
	if m != nil && other == "" {
		return m, hashOf(text), nil
	}
	if other != "" && !force {
		return nil, "", fmt.Errorf("%w: the store holds a finished delivery with %s; choose another place, or force", ErrOtherParameters, other)
	}
	same, err := sameJob(ctx, st, text, p, force)
	if err != nil {
		return nil, "", err
	}
	if same && m == nil {
		return nil, hashOf(text), nil
	}
	if err := clear(ctx, st, force); err != nil {
		return nil, "", err
	}
	return nil, hashOf(text), store.PutBytes(ctx, st, jobKey, text)
}

// finished reads a manifest if there is one; other says in which parameter it differs from p, "" in none.
func finished(ctx context.Context, st store.Store, p Parameters) (m *Manifest, other string, err error) {
	m, _, err = readManifest(ctx, st)
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "unreadable", fmt.Errorf("%w; choose another place, or force", err)
	}
	return m, p.differ(m.Parameters), nil
}

// sameJob says whether the job in the store, if there is one, has these parameters.
func sameJob(ctx context.Context, st store.Store, text []byte, p Parameters, force bool) (bool, error) {
	there, err := store.ReadAll(ctx, st, jobKey, maxDocument)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if bytes.Equal(there, text) {
		return true, nil
	}
	if force {
		return false, nil
	}
	var j job
	if err := strict(there, &j); err != nil {
		return false, fmt.Errorf("delivery: job.json: %w; choose another place, or force", err)
	}
	return false, fmt.Errorf("%w: the store holds an unfinished delivery with %s; go on with those, choose another place, or force", ErrOtherParameters, p.differ(j.Parameters))
}

// clear empties the store of everything that is ours, the manifest first, so that what is half gone never looks
// whole. Without force it refuses a store that is not empty; with force it refuses one with files of others.
func clear(ctx context.Context, st store.Store, force bool) error {
	keys, err := st.List(ctx, "")
	if err != nil {
		return err
	}
	for _, k := range keys {
		if !ours(k) {
			return fmt.Errorf("%w: it holds %s, which is not of a delivery, and %d files in all; choose an empty one", ErrForeign, k, len(keys))
		}
		if !force {
			return fmt.Errorf("%w: it holds %s and %d files in all, without a manifest or a job; choose an empty one, or force", ErrForeign, k, len(keys))
		}
	}
	if i := slices.Index(keys, ManifestKey); i > 0 {
		keys[0], keys[i] = keys[i], keys[0]
	}
	for _, k := range keys {
		if err := st.Delete(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

func ours(key string) bool {
	return key == ManifestKey || key == CodebookKey || key == jobKey || strings.HasPrefix(key, stagingPrefix) || slices.Contains(Papers(), key) ||
		strings.HasPrefix(key, shardPrefix) && (strings.HasSuffix(key, ".tar") || strings.HasSuffix(key, ".tar"+zstdExtension))
}

// differ names the first parameter in which o differs from p, with both values; "" if none does.
func (p Parameters) differ(o Parameters) string {
	if p == o {
		return ""
	}
	for _, f := range []struct {
		name  string
		mine  any
		other any
	}{
		{"catalogue", p.Catalogue, o.Catalogue}, {"catalogue hash", p.CatalogueSHA256, o.CatalogueSHA256}, {"path", p.Path, o.Path},
		{"key", p.KeyFingerprint, o.KeyFingerprint}, {"keys", p.LatticeFingerprints, o.LatticeFingerprints}, {"profile", p.Profile, o.Profile},
		{"geometry", p.Geometry, o.Geometry}, {"format", p.Format, o.Format}, {"preset", p.Preset, o.Preset}, {"preset strength", p.PresetDB, o.PresetDB},
		{"what must be readable", p.Readable, o.Readable}, {"floor", p.FloorDB, o.FloorDB}, {"images a shard", p.ImagesPerShard, o.ImagesPerShard}, {"form of shards", p.Shards, o.Shards},
		{"captions", p.Captions, o.Captions}, {"rights", p.Rights, o.Rights}, {"delivery before", p.PreviousSHA256, o.PreviousSHA256}, {"recalls", p.RecallsSHA256, o.RecallsSHA256}, {"program version", p.CodeVersion, o.CodeVersion},
	} {
		if f.mine != f.other {
			return fmt.Sprintf("%s %v, not %v", f.name, f.other, f.mine)
		}
	}
	return "other numbers in the codebook"
}

// leftovers is what earlier runs of a job have staged.
type leftovers struct {
	records map[concepts.WorkID]record
	shards  []Shard
	keys    map[string]bool
	batched map[concepts.WorkID]record // those staged in batches
}

// staged reads what earlier runs of this job left. Records of other jobs, and those whose image is gone without
// its shard being written, do not count.
func staged(ctx context.Context, b *batches, works []concepts.Work) (*leftovers, error) {
	st, jobHash := b.store, b.job
	keys, err := st.List(ctx, stagingPrefix)
	if err != nil {
		return nil, err
	}
	l := &leftovers{records: make(map[concepts.WorkID]record), keys: make(map[string]bool, len(keys)), batched: make(map[concepts.WorkID]record)}
	for _, k := range keys {
		l.keys[k] = true
	}
	sharded := 0
	for n := 0; l.keys[shardRecordKey(n)]; n++ {
		var r shardRecord
		if ok, err := readRecord(ctx, st, shardRecordKey(n), &r); err != nil {
			return nil, err
		} else if !ok || r.Format != jobFormat || r.Job != jobHash {
			break
		}
		l.shards = append(l.shards, r.Shard)
		sharded += r.Shard.Images
	}
	if err := readBatches(ctx, b, l); err != nil {
		return nil, err
	}
	for _, w := range works {
		r, ok := l.batched[w.ID]
		if key := stagingKey(w.ID, ".json"); l.keys[key] {
			r = record{}
			if ok, err = readRecord(ctx, st, key, &r); err != nil {
				return nil, err
			}
		}
		if !ok || r.Format != jobFormat || r.Job != jobHash || r.Work != w.ID || (r.Image == nil) == (r.Refusal == nil) {
			continue
		}
		if r.Image != nil {
			if sharded--; sharded < 0 && !l.keys[b.place(w.ID).image] {
				continue
			}
		}
		l.records[w.ID] = r
	}
	return l, nil
}

// readRecord reads a document of ours; one that cannot be read as such is no record, and its work is done again.
func readRecord(ctx context.Context, st store.Store, key string, into any) (bool, error) {
	text, err := store.ReadAll(ctx, st, key, 1<<20)
	if err != nil {
		return false, err
	}
	return strict(text, into) == nil, nil
}

// stage keeps a finished work: first its image, then the record that says so.
func stage(ctx context.Context, st store.Store, r record, file []byte) error {
	if r.Image != nil {
		if err := store.PutBytes(ctx, st, stagingKey(r.Work, ".img"), file); err != nil {
			return err
		}
	}
	return putJSON(ctx, st, stagingKey(r.Work, ".json"), r)
}

func putJSON(ctx context.Context, st store.Store, key string, v any) error {
	text, err := marshal(v, " ")
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	return store.PutBytes(ctx, st, key, text)
}

// unstage removes all traces of the job.
func unstage(ctx context.Context, st store.Store) error {
	keys, err := st.List(ctx, stagingPrefix)
	if err != nil {
		return err
	}
	for _, k := range append(keys, jobKey) {
		if err := st.Delete(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// copyStaged copies a staged image and checks that it is still what its record says.
func copyStaged(ctx context.Context, st store.Store, at place, img *Image, to io.Writer) error {
	data, err := readStaged(ctx, st, at, img.Bytes)
	if err == nil && hashOf(data) != img.SHA256 {
		err = errors.New("its bytes have changed")
	}
	if err != nil {
		if derr := st.Delete(ctx, at.record); derr != nil {
			err = errors.Join(err, derr)
		}
		return fmt.Errorf("delivery: the staged image of work %s is damaged: %w; run again, it will be made anew", img.Work, err)
	}
	_, err = to.Write(data)
	return err
}
