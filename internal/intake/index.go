package intake

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/registry"
)

// index answers what is known of objects: what the registry has, and what the batch that is not yet written says over it.
// Each is called by one goroutine, ask by the readers, all else by the one that emits.
type index struct {
	reg    *registry.Registry
	scope  registry.Scope
	folder string
	stat   func(ctx context.Context, name string) (ingest.Object, bool, error)
	missed names         // what the listing lacked so far; nobody moved to yet, as far as the registry has it
	took   time.Duration // of look-ups by the emitting goroutine

	// What the batch says: the bytes of names, nil for names that are gone or hold no work; and who has bytes.
	names map[string]*[32]byte
	holds map[[32]byte]string

	// Answers the readers have asked for ahead, each with the number of the batch before which it was asked: it counts as long as
	// no batch was written since.
	mu      sync.Mutex
	ahead   map[[32]byte]answer
	batches int

	// What was asked for last, so that Claim after ByHash asks once.
	sum    [32]byte
	rows   []registry.Object
	given  string // what ByHash answered
	asked  bool
	passed bool // that ByHash was called for sum
}

type answer struct {
	rows   []registry.Object
	before int
}

// ask looks up bytes that are about to be placed, from the goroutine that has read them: many wait for a database that is far
// away as long as one does.
func (x *index) ask(ctx context.Context, sum [32]byte) error {
	x.mu.Lock()
	before := x.batches
	x.mu.Unlock()
	rows, err := x.reg.ObjectsBySHA256(ctx, x.scope, sum)
	if err != nil {
		return fmt.Errorf("intake: %w", err)
	}
	x.mu.Lock()
	x.ahead[sum] = answer{rows, before}
	x.mu.Unlock()
	return nil
}

// rowsOf gives what the registry knows of bytes now.
func (x *index) rowsOf(ctx context.Context, sum [32]byte) ([]registry.Object, error) {
	x.mu.Lock()
	a, asked := x.ahead[sum]
	delete(x.ahead, sum)
	fresh := asked && a.before == x.batches
	x.mu.Unlock()
	if fresh {
		return a.rows, nil
	}
	began := time.Now()
	defer func() { x.took += time.Since(began) }()
	rows, err := x.reg.ObjectsBySHA256(ctx, x.scope, sum)
	if err != nil {
		return nil, fmt.Errorf("intake: %w", err)
	}
	return rows, nil
}

// Each implements ingest.Known.
func (x *index) Each(ctx context.Context) iter.Seq2[ingest.Seen, error] {
	return func(yield func(ingest.Seen, error) bool) {
		for p := (registry.Page{Limit: registry.MostPerPage}); ; {
			l, err := x.reg.Objects(ctx, x.scope, x.folder, p)
			if err != nil {
				yield(ingest.Seen{}, fmt.Errorf("intake: %w", err))
				return
			}
			for _, o := range l.Items {
				if !yield(seen(o), nil) {
					return
				}
			}
			if p.After = l.Next; p.After == "" {
				return
			}
		}
	}
}

func seen(o registry.Object) ingest.Seen {
	return ingest.Seen{Name: o.Name, Size: o.Bytes, Modified: o.Modified, ETag: o.ETag, SHA256: o.SHA256, IDs: o.IDs, Outside: o.Outside, Missing: o.Missing,
		Reserved: o.Reserved == registry.ByTable}
}

// live gives the objects that have some bytes, by name, as the registry and the batch have it.
func (x *index) live(ctx context.Context, sum [32]byte) ([]registry.Object, error) {
	if !x.asked || x.sum != sum {
		rows, err := x.rowsOf(ctx, sum)
		if err != nil {
			return nil, err
		}
		x.asked, x.sum, x.rows, x.given, x.passed = true, sum, rows, "", false
	}
	return slices.DeleteFunc(slices.Clone(x.rows), func(o registry.Object) bool {
		_, told := x.names[o.Name]
		return o.Missing || told
	}), nil
}

// ByHash implements ingest.Known. Of an object that an earlier run, or this one, did not find it says that it is not missing, if
// it is not there: so what moved is known as such, whichever of its two names comes first.
func (x *index) ByHash(ctx context.Context, sha256 string) (ingest.Seen, bool, error) {
	rows, err := x.live(ctx, sumOf(sha256))
	if err != nil {
		return ingest.Seen{}, false, err
	}
	x.passed, x.given = true, ""
	if len(rows) > 0 {
		x.given = rows[0].Name
		return seen(rows[0]), true, nil
	}
	for _, o := range x.rows {
		_, there, err := x.stat(ctx, o.Name)
		if err != nil {
			return ingest.Seen{}, false, err
		}
		if !there {
			o.Missing = false
			return seen(o), true, nil
		}
	}
	return ingest.Seen{}, false, nil
}

// Claim implements ingest.Claims. The first of a batch that asks for bytes has them, but for an object that the registry knows
// to have them: of that one ByHash has told, and the run has looked whether it still has. What the listing lacks claims nothing.
func (x *index) Claim(ctx context.Context, sum [32]byte, name string) (string, error) {
	if holder, held := x.holds[sum]; held {
		return holder, nil
	}
	rows, err := x.live(ctx, sum)
	if err != nil {
		return "", err
	}
	defer func() { x.passed = false }()
	for _, o := range rows {
		if o.Name != name && (!x.passed || o.Name != x.given) && !x.missed.has(o.Name) {
			return o.Name, nil
		}
	}
	return name, nil
}

// note makes known what became of a name: the bytes it has, nil for none.
func (x *index) note(name string, sum *[32]byte) {
	if had := x.names[name]; had != nil && x.holds[*had] == name {
		delete(x.holds, *had)
	}
	x.names[name] = sum
	if sum != nil {
		x.holds[*sum] = name
	}
}

// written forgets the batch: the registry has it.
func (x *index) written() {
	clear(x.names)
	clear(x.holds)
	x.asked = false
	x.mu.Lock()
	x.batches++
	x.mu.Unlock()
}
