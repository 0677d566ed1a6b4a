package delivery

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/iscc"
	"github.com/filigrane/filigrane/mark"
)

// VerifyOptions say how much of a delivery is looked at again.
type VerifyOptions struct {
	// ManifestSHA256 is what the manifest's hash must be, as committed; "" compares nothing.
	ManifestSHA256 string
	// Keys detect the marks; nil checks hashes only.
	Keys *mark.Keys
	// Sample is how many images are detected, or pools of them where the delivery was made of pools, spread evenly;
	// 0 means all.
	Sample int
	// Workers is how many images or pools are detected at once. Default 1.
	Workers int
}

// DifferenceKind is the machine-readable kind of a Difference. New kinds are added at the end.
type DifferenceKind string

// Kinds of differences.
const (
	ManifestDiffers  DifferenceKind = "manifest_differs"  // its hash is not the one committed
	CodebookDiffers  DifferenceKind = "codebook_differs"  // missing, or not the one the manifest names
	ShardMissing     DifferenceKind = "shard_missing"     // no such file
	ShardDiffers     DifferenceKind = "shard_differs"     // its bytes are others
	ShardUnexpected  DifferenceKind = "shard_unexpected"  // a file the manifest does not name
	MemberMissing    DifferenceKind = "member_missing"    // an image is not in its shard
	MemberDiffers    DifferenceKind = "member_differs"    // its bytes are others
	MemberUnexpected DifferenceKind = "member_unexpected" // a file in a shard that is of no image
	MarkNotFound     DifferenceKind = "mark_not_found"    // detection did not name the delivery and the work
	MarkDiffers      DifferenceKind = "mark_differs"      // detection named something else
	PoolNotNamed     DifferenceKind = "pool_not_named"    // a pool that named its concept does not any more
	ISCCDiffers      DifferenceKind = "iscc_differs"      // the ISCC the manifest gives are not those of the image
)

// Difference is one place where a delivery is not what its manifest says.
type Difference struct {
	Kind   DifferenceKind `json:"kind"`
	Where  string         `json:"where"` // a file, shard/member, or a concept where it is of a pool
	Detail string         `json:"detail"`
}

// Verification is what Verify saw.
type Verification struct {
	Shards      int          `json:"shards"`          // read to their end
	Images      int          `json:"images"`          // whose bytes were compared
	Detected    int          `json:"detected"`        // whose marks were read
	Pools       int          `json:"pools,omitempty"` // of images, whose marks were read together
	Differences []Difference `json:"differences"`     // by place, then kind
}

// OK says that nothing differs in what was looked at.
func (v *Verification) OK() bool { return len(v.Differences) == 0 }

// Verify reads a delivery again and compares it with its manifest. Differences are answers, not errors; an error
// means that there is no manifest that can be read, or that the store failed.
func Verify(ctx context.Context, st store.Store, opt VerifyOptions) (*Verification, error) {
	m, sum, err := readManifest(ctx, st)
	if err != nil {
		return nil, err
	}
	v := &verifier{manifest: m, store: st, opt: opt, detected: make([]bool, len(m.Images))}
	if m.Parameters.Readable != ReadablePool {
		v.detected = spread(len(m.Images), opt)
	}
	if opt.Keys != nil {
		p, err := mark.ProfileByID(m.Parameters.Profile)
		if err != nil {
			return nil, fmt.Errorf("delivery: %w", err)
		}
		v.readers = newReaders(p, *opt.Keys, m.Parameters.Geometry)
	}
	if opt.ManifestSHA256 != "" && sum != opt.ManifestSHA256 {
		v.differs(ManifestDiffers, ManifestKey, "its SHA-256 is %s, committed was %s", sum, opt.ManifestSHA256)
	}
	if err := v.files(ctx); err != nil {
		return nil, err
	}
	first := 0
	for _, s := range m.Shards {
		if err := v.shard(ctx, s, m.Images[first:first+s.Images], v.detected[first:first+s.Images]); err != nil {
			return nil, err
		}
		first += s.Images
	}
	if err := v.pools(ctx); err != nil {
		return nil, err
	}
	slices.SortFunc(v.seen.Differences, func(a, b Difference) int {
		if c := strings.Compare(a.Where, b.Where); c != 0 {
			return c
		}
		return strings.Compare(string(a.Kind), string(b.Kind))
	})
	return &v.seen, nil
}

// spread chooses the images, or pools, that are detected.
func spread(n int, opt VerifyOptions) []bool {
	chosen := make([]bool, n)
	if opt.Keys == nil {
		return chosen
	}
	k := opt.Sample
	if k <= 0 || k > n {
		k = n
	}
	for i := range k {
		chosen[i*n/k] = true
	}
	return chosen
}

type verifier struct {
	manifest *Manifest
	store    store.Store
	opt      VerifyOptions
	readers  *readers // nil without keys
	detected []bool   // images to detect

	mu   sync.Mutex
	seen Verification
}

func (v *verifier) differs(k DifferenceKind, where, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen.Differences = append(v.seen.Differences, Difference{k, where, fmt.Sprintf(format, args...)})
}

// files compares the codebook and the list of shards.
func (v *verifier) files(ctx context.Context) error {
	book, err := store.ReadAll(ctx, v.store, CodebookKey, maxDocument)
	switch {
	case errors.Is(err, store.ErrNotFound):
		v.differs(CodebookDiffers, CodebookKey, "there is none")
	case err != nil:
		return err
	case hashOf(book) != v.manifest.Parameters.CodebookSHA256:
		v.differs(CodebookDiffers, CodebookKey, "its SHA-256 is %s, the manifest says %s", hashOf(book), v.manifest.Parameters.CodebookSHA256)
	}
	keys, err := v.store.List(ctx, shardPrefix)
	if err != nil {
		return err
	}
	for _, k := range keys {
		if !slices.ContainsFunc(v.manifest.Shards, func(s Shard) bool { return s.Name == k }) {
			v.differs(ShardUnexpected, k, "the manifest does not name it")
		}
	}
	return nil
}

// shard reads one shard to its end.
func (v *verifier) shard(ctx context.Context, s Shard, images []Image, chosen []bool) error {
	f, err := v.store.Open(ctx, s.Name)
	if errors.Is(err, store.ErrNotFound) {
		v.differs(ShardMissing, s.Name, "there is no such file; its %d images are missing", s.Images)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	in := &counter{w: h}
	all := io.TeeReader(f, in)
	if err := v.members(ctx, s, all, images, chosen); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return fmt.Errorf("delivery: reading %s: %w", s.Name, err)
	}
	v.seen.Shards++
	if sum := hex.EncodeToString(h.Sum(nil)); sum != s.SHA256 {
		v.differs(ShardDiffers, s.Name, "%d bytes with SHA-256 %s, the manifest says %d and %s", in.n, sum, s.Bytes, s.SHA256)
	}
	return nil
}

// members compares the files in a shard with the images that should be there. A damaged archive is read as far as
// it goes: what follows is missing.
func (v *verifier) members(ctx context.Context, s Shard, in io.Reader, images []Image, chosen []bool) error {
	want, side := make(map[string]int), make(map[string]bool)
	for i := range images {
		want[images[i].Key+"."+images[i].Extension] = i
		side[images[i].Key+".json"], side[images[i].Key+".txt"] = true, true
		if v.manifest.Parameters.Rights.TrainingMining != (TrainingMining{}) {
			side[images[i].Key+"."+trainingMiningExtension] = true
		}
	}
	var g errgroup.Group
	g.SetLimit(max(1, v.opt.Workers))
	archive, done, err := unpacked(s.Name, in)
	if err != nil {
		return err
	}
	defer done()
	listing := newListingHash()
	for t := tar.NewReader(archive); ctx.Err() == nil; {
		h, err := t.Next()
		if err != nil {
			break // the end, or damage, which the shard's hash will show
		}
		i, isImage := want[h.Name]
		if !isImage {
			if !side[h.Name] {
				v.differs(MemberUnexpected, s.Name+"/"+h.Name, "the manifest does not name it")
			}
			sum := sha256.New()
			_, _ = io.Copy(sum, t) // damage shows in the shard's hash
			listing.add(hex.EncodeToString(sum.Sum(nil)), h.Name)
			continue
		}
		delete(want, h.Name)
		data, err := io.ReadAll(io.LimitReader(t, images[i].Bytes+1))
		v.seen.Images++
		listing.add(hashOf(data), h.Name)
		if err != nil || hashOf(data) != images[i].SHA256 {
			v.differs(MemberDiffers, s.Name+"/"+h.Name, "its SHA-256 is %s, the manifest says %s", hashOf(data), images[i].SHA256)
		} else if code := images[i].ISCCInstance; !code.IsZero() && code != iscc.InstanceCodeOf(data) {
			v.differs(ISCCDiffers, s.Name+"/"+h.Name, "its Instance-Code is %s, the manifest says %s", iscc.InstanceCodeOf(data), code)
		}
		if chosen[i] {
			v.seen.Detected++
			g.Go(func() error {
				v.detect(s.Name+"/"+h.Name, data, &images[i])
				return nil
			})
		}
	}
	if form := v.manifest.Parameters.Shards; form != ShardsNumbered && !listing.is(s.Name) {
		v.differs(ShardDiffers, s.Name, "its members are not those its name stands for")
	}
	for name := range want {
		v.differs(MemberMissing, s.Name+"/"+name, "it is not in the shard")
	}
	_ = g.Wait() // its functions return no errors
	return ctx.Err()
}

// pools reads pools that were named again. The others can only have become better.
func (v *verifier) pools(ctx context.Context) error {
	if v.readers == nil || len(v.manifest.Pools) == 0 {
		return nil
	}
	reader := &poolReader{v.store, v.readers.of(1, 1), v.manifest.Images, raster.Limits{}} // pools have one R
	named := make(map[concepts.ConceptID]Pool)
	for _, p := range v.manifest.Pools {
		if p.Named {
			named[p.ID] = p
		}
	}
	all := slices.DeleteFunc(poolsOf(v.manifest.Images), func(c members) bool { return !named[c.ID].Named })
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(max(1, v.opt.Workers))
	for i, chosen := range spread(len(all), v.opt) {
		if !chosen {
			continue
		}
		v.seen.Pools++
		g.Go(func() error { return v.pool(each, reader, all[i], named[all[i].ID]) })
	}
	return g.Wait()
}

// pool reads the images that named a concept again.
func (v *verifier) pool(ctx context.Context, reader *poolReader, c members, was Pool) error {
	pictures, err := reader.delivered(ctx, c.choose(v.manifest.Images, was.Images))
	if err != nil {
		return err
	}
	where := string(c.ID)
	if len(pictures) == 0 {
		v.differs(PoolNotNamed, where, "of the %d images that named it none is as it was delivered", was.Images)
		return nil
	}
	is, err := reader.fold(pictures, c.NumberedConcept)
	if err != nil {
		return err
	}
	if !is.Named {
		v.differs(PoolNotNamed, where, "%d of the %d images that named it at T %.1f are as they were delivered, and together do not: T of the delivery %.1f, of the concept %.1f",
			len(pictures), was.Images, was.ConceptT, is.DeliveryT, is.ConceptT)
	}
	return nil
}

// detect reads the mark of one image.
func (v *verifier) detect(where string, data []byte, img *Image) {
	p, err := raster.Decode(data, raster.Limits{})
	if err != nil {
		v.differs(MarkNotFound, where, "the file cannot be read: %v", err)
		return
	}
	if code := img.ISCCImage; !code.IsZero() && code != iscc.ImageCode(p.Image, iscc.DefaultBits) {
		v.differs(ISCCDiffers, where, "its Image-Code is %s, the manifest says %s", iscc.ImageCode(p.Image, iscc.DefaultBits), code)
	}
	r, err := v.readers.of(p.Image.Bounds().Dx(), p.Image.Bounds().Dy()).Read(p.Image)
	if err != nil {
		v.differs(MarkNotFound, where, "%v", err)
		return
	}
	names := mark.Names{Work: img.WorkNumber}
	for _, c := range img.Concepts {
		names.Concepts = append(names.Concepts, c.Number)
	}
	switch {
	case !r.DeliveryFound() || !r.WorkFound():
		v.differs(MarkNotFound, where, "T: %v", statistics(&r, names))
	case r.Work.Number != img.WorkNumber:
		v.differs(MarkDiffers, where, "work number %d was named, not %d", r.Work.Number, img.WorkNumber)
	default:
		for _, c := range r.Concepts {
			if !slices.Contains(names.Concepts, c.Number) {
				v.differs(MarkDiffers, where, "concept number %d was named, which it does not carry", c.Number)
			}
		}
	}
}
