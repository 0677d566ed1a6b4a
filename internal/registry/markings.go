package registry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/mark"
)

// Marking is a path of the key hierarchy under which marks were made, and what is needed to read them. It names a key
// and holds none.
type Marking struct {
	Path mark.Path
	// Profile is the number of the mark's parameter set, Resolution the short side in pixels that it was laid out for.
	Profile, Resolution int
	// Place is the absolute folder or the s3:// address of the delivery, "" for single pictures marked without one.
	Place string
	// Added is when, set by AddMarking.
	Added time.Time
}

var markingsTable = &table{name: "markings", cols: columns("n i, tenant i, added i, epoch i, profile i, resolution i, key b, bank t, catalogue t, licence t, purpose t, place t"),
	order: []string{"n"}, fixed: []string{"tenant"}, key: []string{"key"}, lookup: "key", keep: []string{"n", "added"}}

var markingsInOrder = paged("markings", "i", "SELECT n, bank, catalogue, licence, purpose, epoch, profile, resolution, place, added FROM markings WHERE tenant = $1 AND n > $2 ORDER BY n", int64(1))

// AddMarking records where marks will be, once: call it before the first marked byte is written.
func (r *Registry) AddMarking(ctx context.Context, s Scope, m Marking, now time.Time) (c Changes, err error) {
	p := m.Path
	for what, text := range map[string]string{"bank": p.Bank, "catalogue": p.Catalogue, "licence": p.Licence, "purpose": p.Purpose} {
		if err := checkID(what, text); err != nil {
			return c, err
		}
	}
	if err := checkText("place of a delivery", m.Place, mostText); err != nil {
		return c, err
	}
	if p.Epoch < 0 || p.Epoch > math.MaxInt32 || m.Profile < 1 || m.Resolution < 1 || m.Profile > math.MaxInt32 || m.Resolution > math.MaxInt32 {
		return c, fmt.Errorf("registry: a marking of epoch %d, profile %d, resolution %d: give numbers from 1", p.Epoch, m.Profile, m.Resolution)
	}
	content := []any{int64(p.Epoch), int64(m.Profile), int64(m.Resolution), p.Bank, p.Catalogue, p.Licence, p.Purpose, m.Place}
	key := sha256.Sum256(canonicalValues(content))
	err = r.write(ctx, s, "AddMarking", func(t *tx, tenant int64) error {
		c, err = t.put(ctx, markingsTable, [][]any{{int64(0), tenant, micros(now), content[0], content[1], content[2], key[:], p.Bank, p.Catalogue, p.Licence, p.Purpose, m.Place}})
		return err
	})
	return c, err
}

// Markings lists where marks were made, in the order it was first done.
func (r *Registry) Markings(ctx context.Context, s Scope, p Page) (l List[Marking], err error) {
	err = r.read(ctx, s, "Markings", func(q querier, tenant int64) error {
		l, err = list(ctx, q, markingsInOrder, []any{tenant}, p, func(r rows) (m Marking, keys []any, err error) {
			var n, epoch, profile, resolution, added int64
			err = r.Scan(&n, &m.Path.Bank, &m.Path.Catalogue, &m.Path.Licence, &m.Path.Purpose, &epoch, &profile, &resolution, &m.Place, &added)
			m.Path.Epoch, m.Profile, m.Resolution, m.Added = int(epoch), int(profile), int(resolution), at(added)
			return m, []any{n}, err
		})
		return err
	})
	return l, err
}

var (
	descriptorsTable = &table{name: "descriptors", cols: columns("tenant i, work t, visual b"), order: []string{"tenant", "work"},
		fixed: []string{"tenant"}, key: []string{"work"}, lookup: "work", compare: []string{"visual"}}
	descriptorsOf = lookup("descriptors of works", "SELECT work, visual FROM descriptors WHERE tenant = $1 AND "+in("work", 2), int64(1), "w000100", "w000200")
)

// PutDescriptors keeps concepts.Descriptor of works: concepts.DescriptorLen finite numbers each. ErrNotFound names a work
// that is not there.
func (r *Registry) PutDescriptors(ctx context.Context, s Scope, visual map[concepts.WorkID][]float64) (c Changes, err error) {
	err = r.write(ctx, s, "PutDescriptors", func(t *tx, tenant int64) error {
		var list [][]any
		works := sortedKeys(visual)
		for _, w := range works {
			data := make([]byte, 0, 8*concepts.DescriptorLen)
			for _, v := range visual[w] {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					return fmt.Errorf("registry: the descriptor of work %s holds %g", w, v)
				}
				data = binary.LittleEndian.AppendUint64(data, math.Float64bits(v))
			}
			if len(visual[w]) != concepts.DescriptorLen {
				return fmt.Errorf("registry: the descriptor of work %s has %d numbers, not %d", w, len(visual[w]), concepts.DescriptorLen)
			}
			list = append(list, []any{tenant, string(w), data})
		}
		if err := t.mustHave(ctx, "work", workStatesOf, []any{tenant}, toAny(works)); err != nil {
			return err
		}
		c, err = t.put(ctx, descriptorsTable, list)
		return err
	})
	return c, err
}

// DescriptorsOf gives the descriptors of those of the works that have one. At most MostPerPage works.
func (r *Registry) DescriptorsOf(ctx context.Context, s Scope, works []concepts.WorkID) (visual map[concepts.WorkID][]float64, err error) {
	visual = map[concepts.WorkID][]float64{}
	err = r.read(ctx, s, "DescriptorsOf", func(q querier, tenant int64) error {
		keys, err := keysOf("works", works)
		if err != nil {
			return err
		}
		return lookupEach(ctx, q, descriptorsOf.text, []any{tenant}, keys, func(r rows) error {
			var work string
			var data []byte
			if err := r.Scan(&work, &data); err != nil {
				return err
			}
			if len(data) != 8*concepts.DescriptorLen {
				return fmt.Errorf("%w: the descriptor of work %s has %d bytes; restore it from a backup", ErrDamaged, work, len(data))
			}
			v := make([]float64, concepts.DescriptorLen)
			for i := range v {
				v[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
			}
			visual[concepts.WorkID(work)] = v
			return nil
		})
	})
	return visual, err
}
