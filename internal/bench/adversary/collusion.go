package adversary

import (
	"fmt"
	"image"
	"math/rand/v2"
	"slices"
)

// mostColluders is how many licensees compare their deliveries of the same works.
const mostColluders = 4

// mix makes one picture of several files of the same work, of equal size.
type mix struct {
	name string
	n    int // files
	// sample makes one sample of those of the files. chance is drawn anew for each pixel, the same for its samples.
	sample func(of []int, chance uint64) int
	// second says that the second licensee's key is read with too.
	second bool
	// bare says that what comes out shows nothing but the marks: there is no picture to compare it with.
	bare bool
}

// mixes lists the collusions of the table.
func mixes() []mix {
	mean := func(of []int, _ uint64) int {
		sum := 0
		for _, v := range of {
			sum += v
		}
		return (2*sum + len(of)) / (2 * len(of))
	}
	return []mix{
		{"mean of the files", 2, mean, true, false},
		{"mean of the files", 3, mean, false, false},
		{"mean of the files", mostColluders, mean, false, false},
		{"each pixel of one or the other", 2, func(of []int, chance uint64) int { return of[chance%uint64(len(of))] }, true, false},
		{"lesser of each sample", 2, func(of []int, _ uint64) int { return slices.Min(of) }, true, false},
		{"middle of each sample", 3, func(of []int, _ uint64) int { return slices.Sorted(slices.Values(of))[len(of)/2] }, false, false},
		{"difference, on grey", 2, func(of []int, _ uint64) int { return 128 + of[0] - of[1] }, true, true},
	}
}

// apply mixes pictures of the same size.
func (m mix) apply(files []*image.NRGBA, rng *rand.Rand) *image.NRGBA {
	out := image.NewNRGBA(files[0].Rect)
	of := make([]int, m.n)
	for i := 0; i < len(out.Pix); i += 4 {
		chance := rng.Uint64()
		for c := range 3 {
			for k := range of {
				of[k] = int(files[k].Pix[i+c])
			}
			out.Pix[i+c] = uint8(max(0, min(255, m.sample(of, chance))))
		}
		out.Pix[i+3] = 255
	}
	return out
}

// collusion mixes files of the same works from deliveries under different licences.
func (l *lab) collusion() ([]Row, error) {
	licensees := []*delivery{l.ours}
	for k := 1; k < mostColluders; k++ {
		licensees = append(licensees, newDelivery(l.Seed, fmt.Sprintf("licensee %d", k+1)))
	}
	all := mixes()
	first, second := make([][]outcome, len(all)), make([][]outcome, len(all))
	for k := range all {
		first[k], second[k] = make([]outcome, len(l.victims)), make([]outcome, len(l.victims))
	}
	err := l.each(len(l.victims), func(i int) error {
		host, err := square(l.victims[i], l.Side)
		if err != nil {
			return err
		}
		files := make([]*image.NRGBA, len(licensees))
		for k, d := range licensees {
			if files[k], err = d.mark(host, victimWork(i)); err != nil {
				return fmt.Errorf("%s: %w", l.victims[i].Name, err)
			}
		}
		for k, m := range all {
			mixed := m.apply(files, rand.New(rand.NewPCG(l.Seed, uint64(i))))
			for d, to := range [][]outcome{first[k], second[k]} {
				if d == 1 && !m.second {
					continue
				}
				e := exhibit{mixed, host, files[d], []int{victimWork(i)}}
				if m.bare {
					e.original, e.marked = nil, nil
				}
				if to[i], err = licensees[d].read(l.Side, e); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var rows []Row
	for k, m := range all {
		rows = append(rows, row("collusion", m.name+", first key", m.n, first[k]))
		if m.second {
			rows = append(rows, row("collusion", m.name+", second key", m.n, second[k]))
		}
	}
	return rows, nil
}
