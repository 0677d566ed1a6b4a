package delivery

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/mark"
)

// Pool is what delivered files of one concept gave when they were read together, as a bank would read what a model
// makes of them. An image that carries several concepts belongs to several pools.
type Pool struct {
	NumberedConcept
	Images    int     `json:"images"` // that were folded
	DeliveryT float64 `json:"delivery_t"`
	DeliveryP float64 `json:"delivery_p"`
	ConceptT  float64 `json:"concept_t"` // 0 where the concept was neither named nor the best of those not named
	ConceptP  float64 `json:"concept_p"` // then 1
	Named     bool    `json:"named"`     // the concept is among those named, at the reader's error rate
}

// MaxPool is the most images folded in one pool.
const MaxPool = 256

// poolSizes are how many images are tried, one after the other, until the concept is named.
var poolSizes = []int{16, 64, MaxPool}

// maxPoolPixels bounds the pixels of a pool, which are in memory at once at some 16 bytes each: 256 pictures of
// 256 x 256. There are fewer where pictures are larger, but always one.
const maxPoolPixels = 1 << 24

// members are the images of one concept.
type members struct {
	NumberedConcept
	of []int // indices of Manifest.Images, in order
}

// poolsOf lists the concepts that delivered images carry, by number.
func poolsOf(images []Image) []members {
	byID := make(map[concepts.ConceptID]int)
	var all []members
	for i := range images {
		for _, c := range images[i].Concepts {
			at, ok := byID[c.ID]
			if !ok {
				at = len(all)
				byID[c.ID] = at
				all = append(all, members{NumberedConcept: c})
			}
			all[at].of = append(all[at].of, i)
		}
	}
	slices.SortFunc(all, func(a, b members) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// choose gives at most k of the concept's images, spread evenly over it: fewer where they have too many pixels.
func (m members) choose(images []Image, k int) []int {
	for k = min(k, len(m.of)); ; k-- {
		chosen, pixels := make([]int, k), 0
		for i := range chosen {
			chosen[i] = m.of[i*len(m.of)/k]
			pixels += images[chosen[i]].Width * images[chosen[i]].Height
		}
		if pixels <= maxPoolPixels || k == 1 {
			return chosen
		}
	}
}

// poolReader reads the pools of a delivery whose shards are written. Goroutines may share it.
type poolReader struct {
	store  store.Store
	reader *detect.Reader
	images []Image // of the manifest
	limits raster.Limits
}

// pools reads the pools of the delivery being made.
func (m *Making) pools(ctx context.Context, man *Manifest) error {
	p, err := mark.ProfileByID(man.Parameters.Profile)
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	reader := &poolReader{m.store, newReaders(p, m.spec.Keys, man.Parameters.Geometry).of(1, 1), man.Images, m.spec.Limits}
	all := poolsOf(man.Images)
	man.Pools = make([]Pool, len(all))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(m.spec.Workers)
	for i, c := range all {
		g.Go(func() (err error) {
			man.Pools[i], err = reader.more(each, c)
			return err
		})
	}
	return g.Wait()
}

// more reads images of one concept together, more and more until it is named.
func (p *poolReader) more(ctx context.Context, c members) (Pool, error) {
	var pool Pool
	for _, k := range poolSizes {
		chosen := c.choose(p.images, k)
		if len(chosen) == pool.Images {
			break // there are no more
		}
		pictures, err := p.delivered(ctx, chosen)
		if err != nil {
			return pool, err
		}
		if len(pictures) < len(chosen) {
			return pool, fmt.Errorf("delivery: %d images of concept %s are not in their shards as they were written; check the disk, then force to begin anew", len(chosen)-len(pictures), c.ID)
		}
		if pool, err = p.fold(pictures, c.NumberedConcept); err != nil || pool.Named {
			return pool, err
		}
	}
	return pool, nil
}

// fold reads pictures together and says whether a concept was named.
func (p *poolReader) fold(pictures []image.Image, c NumberedConcept) (Pool, error) {
	r, err := p.reader.Read(pictures...)
	if err != nil {
		return Pool{}, fmt.Errorf("delivery: the images of concept %s: %w", c.ID, err)
	}
	pool := Pool{NumberedConcept: c, Images: len(pictures), DeliveryT: round(r.Delivery.T, 3), DeliveryP: threeDigits(r.Delivery.P), ConceptP: 1}
	found := r.Best
	for _, f := range r.Concepts {
		if f.Number == c.Number {
			found, pool.Named = f, true
		}
	}
	if found.Number == c.Number {
		pool.ConceptT, pool.ConceptP = max(round(found.T, 3), 0), threeDigits(found.P)
	}
	return pool, nil
}

// threeDigits keeps three significant digits of a chance: those are the same on every platform but in rare ties.
func threeDigits(p float64) float64 {
	f, err := strconv.ParseFloat(strconv.FormatFloat(p, 'e', 2, 64), 64)
	if err != nil {
		return p // never: it was just written
	}
	return f
}

// delivered reads images out of their shards, in order. Those that are not there as the manifest says are left out.
func (p *poolReader) delivered(ctx context.Context, chosen []int) ([]image.Image, error) {
	var pictures []image.Image
	for len(chosen) > 0 {
		shard, n := p.images[chosen[0]].Shard, 1
		for n < len(chosen) && p.images[chosen[n]].Shard == shard {
			n++
		}
		err := p.each(ctx, shard, chosen[:n], func(img *Image, file []byte) error {
			if hashOf(file) != img.SHA256 {
				return nil
			}
			pic, err := raster.Decode(file, p.limits)
			if err != nil {
				return fmt.Errorf("delivery: the delivered image of work %s cannot be read: %w", img.Work, err)
			}
			pictures = append(pictures, pic.Image)
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		chosen = chosen[n:]
	}
	return pictures, nil
}

// each reads some images of one shard, in its order. What lies between them is skipped unread if the store's files
// can be. A damaged archive is read as far as it goes.
func (p *poolReader) each(ctx context.Context, shard string, chosen []int, do func(*Image, []byte) error) error {
	f, err := p.store.Open(ctx, shard)
	if err != nil {
		return err
	}
	defer f.Close()
	want := make(map[string]*Image)
	for _, i := range chosen {
		img := &p.images[i]
		want[img.Key+"."+img.Extension] = img
	}
	archive, done, err := unpacked(shard, f)
	if err != nil {
		return err
	}
	defer done()
	for t := tar.NewReader(archive); len(want) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if err != nil {
			return nil
		}
		img, ok := want[h.Name]
		if !ok {
			continue
		}
		delete(want, h.Name)
		file, err := io.ReadAll(io.LimitReader(t, img.Bytes+1))
		if err != nil {
			return nil
		}
		if err := do(img, file); err != nil {
			return err
		}
	}
	return nil
}

// checkPools compares the pools with the images.
func (m *Manifest) checkPools() error {
	var want []members
	if m.Parameters.Readable == ReadablePool {
		want = poolsOf(m.Images)
	}
	if len(m.Pools) != len(want) {
		return fmt.Errorf("%d pools, not %d", len(m.Pools), len(want))
	}
	chance := func(p float64) bool { return p >= 0 && p <= 1 }
	for i, p := range m.Pools {
		switch {
		case p.NumberedConcept != want[i].NumberedConcept:
			return fmt.Errorf("pool %q is out of order", p.ID)
		case p.Images < 1 || p.Images > min(MaxPool, len(want[i].of)) || !chance(p.DeliveryP) || !chance(p.ConceptP) ||
			math.IsNaN(p.DeliveryT) || p.ConceptT < 0 || p.Named && (p.ConceptT == 0 || p.ConceptP == 1):
			return fmt.Errorf("a figure of pool %q is out of range", p.ID)
		}
	}
	return nil
}
