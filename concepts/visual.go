package concepts

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"sort"
)

// applyVisual groups works by descriptor. Groups are named by their medoid, the work nearest to the
// centre, because a number would mean something else in the next version of the catalogue.
func (r Rule) applyVisual(works []Work, seed string) ([]hit, error) {
	hits := make([]hit, len(works))
	var at []int // works that have a descriptor
	for i, w := range works {
		if w.Visual == nil {
			hits[i].miss = "no visual descriptor"
			continue
		}
		if first := works[firstOr(at, i)]; len(w.Visual) != len(first.Visual) {
			return nil, fmt.Errorf("concepts: rule %q: work %s has a descriptor of length %d, work %s of length %d: measure all with the same version",
				r, first.ID, len(first.Visual), w.ID, len(w.Visual))
		}
		for j, v := range w.Visual {
			if math.IsNaN(v) || math.Abs(v) > 1e100 {
				return nil, fmt.Errorf("concepts: rule %q: work %s: descriptor value %d is %v: measure it again", r, w.ID, j, v)
			}
		}
		at = append(at, i)
	}
	raw := make([][]float64, len(at))
	for i, w := range at {
		raw[i] = works[w].Visual
	}
	if n := countDistinct(raw); n < r.K {
		return nil, fmt.Errorf("concepts: rule %q: only %d of %d works have different descriptors: ask for at most %d groups", r, n, len(works), n)
	}
	points := standardised(raw)
	c := cluster(points, r.K, []byte(seed))
	c.order(points)
	for i, w := range at {
		k := c.of[i]
		medoid := works[at[c.medoids[k]]].ID
		why := fmt.Sprintf("nearest of %d visual centres: %s", r.K, c.distances(points[i], k))
		if words := inWords(raw[i], points[i]); words != "" {
			why += "; " + words
		}
		name := fmt.Sprintf("visual %d of %d, like %s", k+1, r.K, medoid)
		if words := inWords(raw[c.medoids[k]], points[c.medoids[k]]); words != "" {
			name += " (" + words + ")"
		}
		id := NewConceptID(r.Kind, fmt.Sprintf("visual-%d-%s", r.K, medoid))
		hits[w].values = []value{{name: name, why: why, id: id}}
	}
	return hits, nil
}

func firstOr(list []int, otherwise int) int {
	if len(list) > 0 {
		return list[0]
	}
	return otherwise
}

func countDistinct(points [][]float64) int {
	seen := map[string]bool{}
	for _, p := range points {
		var key []byte
		for _, v := range p {
			key = binary.BigEndian.AppendUint64(key, math.Float64bits(v+0)) // -0 counts as 0
		}
		seen[string(key)] = true
	}
	return len(seen)
}

// standardised brings every dimension to mean 0 and standard deviation 1; a constant one to 0.
func standardised(raw [][]float64) [][]float64 {
	points := make([][]float64, len(raw))
	for i := range raw {
		points[i] = make([]float64, len(raw[i]))
	}
	n := float64(len(raw))
	for j := range raw[0] {
		mean, spread, constant := 0.0, 0.0, true
		for i := range raw {
			mean += raw[i][j] / n
			constant = constant && raw[i][j] == raw[0][j]
		}
		for i := range raw {
			d := raw[i][j] - mean
			spread += float64(d*d) / n
		}
		if constant || spread == 0 {
			continue
		}
		for i := range raw {
			points[i][j] = (raw[i][j] - mean) / math.Sqrt(spread)
		}
	}
	return points
}

// clusters is a division of points into groups.
type clusters struct {
	centres [][]float64
	of      []int // group of each point
	medoids []int // point nearest to each centre
	inertia float64
}

// restarts is how often the search is begun anew; the best result is kept. Lloyd's iteration stops at
// the first stable division, which depends on the start.
const restarts = 4

// maxRounds ends a search that rounding keeps from becoming stable. The result is as deterministic as
// any other; only not a fixed point.
const maxRounds = 300

// cluster is k-means: starts drawn by k-means++ (Arthur and Vassilvitskii, 2007) with HMAC-SHA256 of
// the seed for randomness, then Lloyd's iteration; ties go to the lower index. points must hold at least
// k different ones; their order is that of work IDs, so the order of input decides nothing.
func cluster(points [][]float64, k int, seed []byte) *clusters {
	var best *clusters
	for try := range restarts {
		c := &clusters{centres: start(points, k, draws{seed, try}), of: make([]int, len(points))}
		for round := 0; c.assign(points, round == 0) && round < maxRounds; round++ {
			c.recentre(points)
		}
		if best == nil || c.inertia < best.inertia {
			best = c
		}
	}
	return best
}

// draws is a source of numbers in [0, 1) that are functions of a seed.
type draws struct {
	seed []byte
	try  int
}

// at returns draw i, of 53 bits.
func (d draws) at(i int) float64 {
	mac := hmac.New(sha256.New, d.seed)
	fmt.Fprintf(mac, "filigrane visual v1 %d %d", d.try, i)
	return float64(binary.BigEndian.Uint64(mac.Sum(nil))>>11) / (1 << 53)
}

// start draws k different points, each with probability proportional to its squared distance from those
// drawn before.
func start(points [][]float64, k int, random draws) [][]float64 {
	centres := [][]float64{clone(points[int(random.at(0)*float64(len(points)))])}
	nearest := make([]float64, len(points))
	for i := range nearest {
		nearest[i] = math.Inf(1)
	}
	for len(centres) < k {
		total := 0.0
		for i, p := range points {
			nearest[i] = min(nearest[i], squared(p, centres[len(centres)-1]))
			total += nearest[i]
		}
		target, sum, pick := float64(random.at(len(centres))*total), 0.0, -1
		for i, d := range nearest {
			sum += d
			if d > 0 {
				pick = i
				if sum > target {
					break
				}
			}
		}
		if pick < 0 { // different points whose distance rounds to 0
			pick = len(centres) % len(points)
		}
		centres = append(centres, clone(points[pick]))
	}
	return centres
}

// assign gives every point its nearest centre and tells whether anything changed.
func (c *clusters) assign(points [][]float64, first bool) bool {
	changed := first
	c.inertia = 0
	for i, p := range points {
		best, at := math.Inf(1), 0
		for k, centre := range c.centres {
			if d := squared(p, centre); d < best {
				best, at = d, k
			}
		}
		changed = changed || c.of[i] != at
		c.of[i] = at
		c.inertia += best
	}
	return changed
}

// recentre moves centres to the mean of their points; one without points moves to the point farthest
// from its own centre that no other such centre took.
func (c *clusters) recentre(points [][]float64) {
	sizes := make([]float64, len(c.centres))
	sums := make([][]float64, len(c.centres))
	for k := range sums {
		sums[k] = make([]float64, len(points[0]))
	}
	for i, p := range points {
		sizes[c.of[i]]++
		for j, v := range p {
			sums[c.of[i]][j] += v
		}
	}
	taken := map[int]bool{}
	for k := range sums {
		if sizes[k] > 0 {
			for j := range sums[k] {
				sums[k][j] /= sizes[k]
			}
			continue
		}
		far, at := -1.0, 0
		for i, p := range points {
			if d := squared(p, c.centres[c.of[i]]); d > far && !taken[i] {
				far, at = d, i
			}
		}
		taken[at] = true
		sums[k] = clone(points[at])
	}
	c.centres = sums
}

// order finds the medoids and numbers the groups by them; groups that ended without points go.
func (c *clusters) order(points [][]float64) {
	medoid := make([]int, len(c.centres))
	nearest := make([]float64, len(c.centres))
	for k := range medoid {
		medoid[k], nearest[k] = -1, math.Inf(1)
	}
	for i, p := range points {
		if d := squared(p, c.centres[c.of[i]]); d < nearest[c.of[i]] {
			medoid[c.of[i]], nearest[c.of[i]] = i, d
		}
	}
	var groups []int
	for k, m := range medoid {
		if m >= 0 {
			groups = append(groups, k)
		}
	}
	sort.Slice(groups, func(a, b int) bool { return medoid[groups[a]] < medoid[groups[b]] })
	renamed := make([]int, len(c.centres))
	centres := make([][]float64, len(groups))
	c.medoids = make([]int, len(groups))
	for new, old := range groups {
		renamed[old], centres[new], c.medoids[new] = new, c.centres[old], medoid[old]
	}
	c.centres = centres
	for i := range c.of {
		c.of[i] = renamed[c.of[i]]
	}
}

// distances says how near a point is to its centre and to the next: root mean square over the
// dimensions, in standard deviations of the catalogue.
func (c *clusters) distances(p []float64, own int) string {
	rms := func(k int) float64 { return math.Sqrt(squared(p, c.centres[k]) / float64(len(p))) }
	next := math.Inf(1)
	for k := range c.centres {
		if k != own {
			next = min(next, rms(k))
		}
	}
	return fmt.Sprintf("distance %.2f, next %.2f", rms(own), next)
}

func squared(a, b []float64) float64 {
	sum := 0.0
	b = b[:len(a)]
	for i, v := range a {
		d := v - b[i]
		sum += float64(d * d)
	}
	return sum
}

func clone(p []float64) []float64 { return append([]float64(nil), p...) }
