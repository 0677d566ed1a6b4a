package delivery

import (
	"errors"
	"fmt"
	"slices"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/mark"
)

// Bucket is one of the sizes that pictures of a delivery in buckets have. A trainer of today sorts its pictures into
// buckets of about one area and does not scale them again; so the mark's cell has the same CellPixels in all of them,
// and R, the short side at which the cell is 64 pixels, is each bucket's own short side.
type Bucket struct {
	Width      int `json:"width"`      // pixels
	Height     int `json:"height"`     // pixels
	Resolution int `json:"resolution"` // R of this bucket, pixels
	CellPixels int `json:"cell_pixels"`
}

// BucketCount is a bucket and how many of a delivery's images are in it.
type BucketCount struct {
	Bucket
	Images int `json:"images"`
}

const (
	// bucketStep is what the sides of buckets are multiples of: 8 pixels of the usual autoencoder times 8 of the
	// network behind it.
	bucketStep = 64
	// minBuckets leaves the narrowest bucket, half as high, two cells.
	minBuckets = 256
)

// AllBuckets lists the buckets of a geometry: for every short side from R down to R/2 in steps of 64 pixels the longest
// rectangle of no more than R x R pixels whose sides are multiples of 64, lying first, then standing. Those of R = 1024
// are among the sizes that SDXL was trained with (arXiv 2307.01952, appendix I): 1024 x 1024, 1088 x 960, ... 2048 x 512.
// Other geometries have none.
func (g Geometry) AllBuckets() []Bucket {
	if !g.Buckets {
		return nil
	}
	var all []Bucket
	for short := g.Resolution; 2*short >= g.Resolution; short -= bucketStep {
		long := g.Resolution * g.Resolution / short / bucketStep * bucketStep
		all = append(all, Bucket{long, short, short, mark.CellSize})
		if long != short {
			all = append(all, Bucket{short, long, short, mark.CellSize})
		}
	}
	return all
}

// bucketOf gives the bucket for a picture of w x h pixels: that whose aspect differs by the smallest factor, of two alike
// the first. It computes in whole numbers, so that every machine chooses the same.
func (g Geometry) bucketOf(w, h int) Bucket {
	var best Bucket
	var bestNum, bestDen uint64 // the factor, 1 or more
	for _, b := range g.AllBuckets() {
		num, den := uint64(w)*uint64(b.Height), uint64(h)*uint64(b.Width)
		if num < den {
			num, den = den, num
		}
		if best.Width == 0 || num*bestDen < bestNum*den { // sides below 2^15: products below 2^58
			best, bestNum, bestDen = b, num, den
		}
	}
	return best
}

// cut gives the size of the largest rectangle of the bucket's aspect within w x h pixels.
func (b Bucket) cut(w, h int) (cutW, cutH int) {
	if w*b.Height > h*b.Width {
		return max(1, h*b.Width/b.Height), h
	}
	return w, max(1, w*b.Height/b.Width)
}

// ResolutionOf gives R, in pixels, for a picture of w x h pixels of this geometry, or made after one: of buckets that of
// the bucket it would be in, else Resolution.
func (g Geometry) ResolutionOf(w, h int) int {
	if !g.Buckets {
		return g.Resolution
	}
	return g.bucketOf(w, h).Resolution
}

// countBuckets counts the images in each bucket, nil where the geometry has none.
func countBuckets(g Geometry, images []Image) []BucketCount {
	var counts []BucketCount
	at := make(map[[2]int]int)
	for _, b := range g.AllBuckets() {
		at[[2]int{b.Width, b.Height}] = len(counts)
		counts = append(counts, BucketCount{Bucket: b})
	}
	for i := range images {
		if n, ok := at[[2]int{images[i].Width, images[i].Height}]; ok {
			counts[n].Images++
		}
	}
	return counts
}

// checkBuckets compares the counts with the images, each of which is in one bucket.
func (m *Manifest) checkBuckets() error {
	if !slices.Equal(m.Buckets, countBuckets(m.Parameters.Geometry, m.Images)) {
		return errors.New("the buckets are not those of the images")
	}
	n := 0
	for _, b := range m.Buckets {
		n += b.Images
	}
	if m.Parameters.Geometry.Buckets && n != len(m.Images) {
		return fmt.Errorf("%d images are in no bucket", len(m.Images)-n)
	}
	return nil
}

// readers are those of a delivery's files: buckets have several resolutions.
type readers struct {
	*detect.Readers
	geometry Geometry
}

func newReaders(p *mark.Profile, ks mark.Keys, g Geometry) *readers {
	return &readers{detect.NewReaders(p, ks, detect.Options{}), g}
}

// of gives the reader for pictures of w x h pixels.
func (r *readers) of(w, h int) *detect.Reader { return r.At(r.geometry.ResolutionOf(w, h)) }
