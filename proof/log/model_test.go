package log

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/proof/tlogproof"
)

// TestAnyLife: whatever is appended, in whatever batches, with whatever fails and however often the writer is opened anew, the
// log is a list in which each entry that was acknowledged has the index that was given, once, and there is one history.
func TestAnyLife(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	p := newPolicy(t, vkey)
	// A life is some dozens of fsyncs, so a few of them unless more are asked for.
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set("30"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	rapid.Check(t, func(r *rapid.T) {
		folder, err := os.MkdirTemp(t.TempDir(), "life")
		if err != nil {
			r.Fatal(err)
		}
		st, err := dir.Open(folder)
		if err != nil {
			r.Fatal(err)
		}
		defer st.Close()
		signed := filepath.Join(folder, ".signed")
		rec := recorder{s, signed}
		if err := Create(ctx, st, rec, p); err != nil {
			r.Fatal(err)
		}
		acknowledged := map[string]int64{}
		var seen []tlogproof.Checkpoint
		for range rapid.IntRange(1, 6).Draw(r, "writers") {
			tr := &trip{Store: st, at: rapid.IntRange(0, 40).Draw(r, "fails at"), how: rapid.SampledFrom([]fault{notDone, done, diesFirst, diesAfter}).Draw(r, "how")}
			w, err := Open(ctx, tr, rec, p, seen...)
			if err != nil {
				if !errors.Is(err, errTrip) {
					r.Fatal(err)
				}
				if tr.release != nil {
					_ = tr.release()
				}
				continue
			}
			for range rapid.IntRange(1, 4).Draw(r, "batches") {
				from, n := rapid.IntRange(0, 900).Draw(r, "from"), rapid.IntRange(1, 300).Draw(r, "n")
				var batch [][]byte
				for i := from; i < from+n; i++ {
					batch = append(batch, fmt.Appendf(nil, "entry %d", i))
				}
				at, c, err := w.Append(ctx, batch...)
				if err != nil {
					if !errors.Is(err, errTrip) {
						r.Fatal(err)
					}
					continue
				}
				seen = append(seen, c)
				for i, e := range batch {
					if old, ok := acknowledged[string(e)]; ok && old != at[i] {
						r.Fatalf("%s was at %d and is at %d", e, old, at[i])
					}
					acknowledged[string(e)] = at[i]
				}
			}
			if w.Close() != nil { // then as the system does it
				_ = tr.release()
			}
		}
		w, err := Open(ctx, st, rec, p, seen...)
		if err != nil {
			r.Fatal(err)
		}
		defer w.Close()
		c := w.Checkpoint()
		oneHistory(t, st, p, c, signed)
		there := map[string]int64{}
		err = NewReader(FromBucket(st), p).Entries(ctx, c, 0, func(i int64, e []byte) error {
			if old, ok := there[string(e)]; ok {
				return fmt.Errorf("%s is at %d and at %d", e, old, i)
			}
			there[string(e)] = i
			return nil
		})
		if err != nil {
			r.Fatal(err)
		}
		for e, i := range acknowledged {
			if at, ok := there[e]; !ok || at != i {
				r.Fatalf("%s was acknowledged at %d, is there: %v, at %d", e, i, ok, at)
			}
		}
	})
}
