package demo

import (
	"context"
	"encoding/binary"
	"image"
	"math"
	"sync"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/report"
	"github.com/filigrane/filigrane/mark"
)

// Bins of the histogram of T.
const (
	nullStart = -8.0
	nullWidth = 0.05
	nullBins  = 320
)

// null tests the unmarked hosts.
func (m *measurement) null(ctx context.Context, r *report.Report) error {
	hosts := make([]func() (image.Image, error), len(m.Pictures))
	for i, p := range m.Pictures {
		hosts[i] = p.Host
	}
	var err error
	r.Null, err = Nulls(ctx, Calibration{Hosts: hosts, Profile: m.Profile, Resolution: m.Resolution, Tests: m.NullTests, Seed: m.Seed, Workers: m.Workers, Progress: m.Progress})
	return err
}

// Calibration is a run of nulls.
type Calibration struct {
	Hosts      []func() (image.Image, error) // unmarked pictures
	Profile    *mark.Profile
	Resolution int
	Tests      int // in all, spread evenly over the hosts
	Seed       uint64
	Workers    int
	Progress   func(stage string, done, total int)
}

// Nulls tests unmarked pictures under keys drawn afresh for each test, none used twice, and counts how often
// the levels 1e-3, 1e-4 and 1e-5 are reached: T >= sqrt(2 ln(1/p)).
func Nulls(ctx context.Context, c Calibration) (report.Null, error) {
	all := report.Null{BinStart: nullStart, BinWidth: nullWidth, T: make([]int, nullBins)}
	var mu sync.Mutex
	n := len(c.Hosts)
	err := each(ctx, c.Workers, n, c.Progress, "unmarked pictures, fresh keys", func(i int) error {
		host, err := c.Hosts[i]()
		if err != nil {
			return err
		}
		null, err := detect.NewNull(c.Profile, c.Resolution, host)
		if err != nil {
			return err
		}
		part := report.Null{T: make([]int, nullBins)}
		seed := binary.BigEndian.AppendUint64([]byte("filigrane nulls "), c.Seed<<32|uint64(i))
		for k := range (c.Tests + n - 1 - i) / n {
			tally(&part, null.T(seed, k))
			if k%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		mu.Lock()
		defer mu.Unlock()
		merge(&all, part)
		return nil
	})
	return all, err
}

// level returns the T at which one test has the bound p.
func level(p float64) float64 { return math.Sqrt(2 * math.Log(1/p)) }

var level3, level4, level5 = level(1e-3), level(1e-4), level(1e-5)

func tally(n *report.Null, t float64) {
	n.Tests++
	n.T[max(0, min(nullBins-1, int(math.Floor((t-nullStart)/nullWidth))))]++
	n.MaxT = max(n.MaxT, t)
	if t >= level3 {
		n.Over1e3++
	}
	if t >= level4 {
		n.Over1e4++
	}
	if t >= level5 {
		n.Over1e5++
	}
}

func merge(all *report.Null, part report.Null) {
	all.Tests += part.Tests
	all.Over1e3 += part.Over1e3
	all.Over1e4 += part.Over1e4
	all.Over1e5 += part.Over1e5
	all.MaxT = max(all.MaxT, part.MaxT)
	for i, c := range part.T {
		all.T[i] += c
	}
}
