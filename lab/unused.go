package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/mark"
)

const (
	unusedKeys = 1000 // committed, never embedded
	decoys     = 4000 // drawn afterwards from another seed, for comparison
)

// unusedKey derives key number i of those that are committed and never embedded: of a licence that was never sold.
func unusedKey(i int) mark.Key {
	return masterKey().Delivery(mark.Path{Bank: "Lab", Catalogue: "scenes@1", Licence: fmt.Sprintf("unused-%04d", i)})
}

// readUnused reads all outputs together with the keys that were never embedded, at the place where the true mark would be.
func (m *reading) readUnused(imgs []image.Image) error {
	null, err := detect.NewNull(m.profile, m.manifest.Parameters.Geometry.Resolution, imgs...)
	if err != nil {
		return err
	}
	h := sha256.New()
	ts := make([]float64, unusedKeys)
	for i := range ts {
		k := unusedKey(i)
		h.Write([]byte(k.Fingerprint()))
		ts[i] = null.Of(mark.OneCodeword(m.profile, mark.Concept, k.Lattice(mark.Concept), mark.DeliveryCodeword))
	}
	drawn := make([]float64, decoys)
	for i := range drawn {
		drawn[i] = null.T([]byte("lab decoys"), i)
	}
	u := unused{Keys: unusedKeys, Commitment: hex.EncodeToString(h.Sum(nil)), MaxT: slices.Max(ts), TrueRank: 1, Ranks: make([]int, 10)}
	u.TrueT = null.Of(m.books[mark.Concept].Codeword(mark.DeliveryCodeword))
	slices.Sort(drawn)
	for _, t := range ts {
		if t >= u.TrueT {
			u.TrueRank++
		}
		for i, at := range []float64{2, 3} {
			if t >= at {
				u.Over[i]++
			}
		}
		below, _ := slices.BinarySearch(drawn, t)
		u.Ranks[min(9, below*10/decoys)]++
	}
	slices.Sort(ts)
	u.KSP = kolmogorovSmirnov(ts, drawn)
	m.out.Unused = u
	return nil
}

// kolmogorovSmirnov returns the p-value of the two-sample test on sorted samples, by the asymptotic law with
// Stephens's correction (Numerical Recipes, 14.3).
func kolmogorovSmirnov(a, b []float64) float64 {
	i, j, d := 0, 0, 0.0
	for i < len(a) && j < len(b) {
		if a[i] <= b[j] {
			i++
		} else {
			j++
		}
		d = math.Max(d, math.Abs(float64(i)/float64(len(a))-float64(j)/float64(len(b))))
	}
	n := math.Sqrt(float64(len(a)) * float64(len(b)) / float64(len(a)+len(b)))
	lambda := (n + 0.12 + 0.11/n) * d
	p := 0.0
	for k := 1; k <= 100; k++ {
		p += 2 * math.Pow(-1, float64(k-1)) * math.Exp(-2*float64(k*k)*lambda*lambda)
	}
	return math.Min(1, math.Max(0, p))
}
