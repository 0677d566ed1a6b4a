package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// jobFormat names the form of job.json and of what lies in staging. Form 1 staged each work by itself and was of one process.
const jobFormat = "filigrane.delivery-job/2"

// maxDocument is the most bytes read of one of our JSON documents held in memory.
const maxDocument = 4 << 30

// ErrOtherParameters says that the store holds a delivery, or a job, with other parameters. Force throws it away.
var ErrOtherParameters = errors.New("delivery: made with other parameters")

// ErrForeign says that the store holds files that are not of a delivery.
var ErrForeign = errors.New("delivery: the place is not empty")

// job is job.json: what is being made.
type job struct {
	Format string `json:"format"`
	// Token tells this job from others with the same parameters, which may have been abandoned and left something behind.
	Token      string     `json:"token"`
	PartWorks  int        `json:"part_works"`
	Parameters Parameters `json:"parameters"`
}

// clear empties the store of everything that is ours, the manifest first, so that what is half gone never looks
// whole. Without force it refuses a store that holds more than the staging of a job that is gone; with force it refuses one
// with files of others.
func clear(ctx context.Context, st store.Store, force bool) error {
	keys, err := st.List(ctx, "")
	if err != nil {
		return err
	}
	for _, k := range keys {
		if !ours(k) {
			return fmt.Errorf("%w: it holds %s, which is not of a delivery, and %d files in all; choose an empty one", ErrForeign, k, len(keys))
		}
		if !force && !leftover(k) {
			return fmt.Errorf("%w: it holds %s and %d files in all, without a manifest or a job; choose an empty one, or force", ErrForeign, k, len(keys))
		}
	}
	if slices.Contains(keys, ManifestKey) {
		if err := st.Delete(ctx, ManifestKey); err != nil {
			return err
		}
	}
	return deleteAll(ctx, st, keys)
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
