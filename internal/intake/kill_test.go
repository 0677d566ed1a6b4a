package intake

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store/dir"
)

// childVariable tells a copy of the test program to take a folder in: "registry|folder".
const childVariable = "FILIGRANE_INTAKE_CHILD"

func child() {
	place, folder, _ := strings.Cut(os.Getenv(childVariable), "|")
	reg, err := registry.Open(ctx, place)
	if err == nil {
		var bucket *dir.Bucket
		if bucket, err = dir.OpenBucket(folder); err == nil {
			opt := Options{Batch: 7}
			opt.Ingest.Now = noon
			_, err = Run(ctx, bucket, reg, ours, opt)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestKilled kills a process with SIGKILL at random moments of an import, again and again, until it is done. On SQLite the
// registry is then, byte for byte, that of an undisturbed run; on PostgreSQL all but the numbers, whose sequence has gaps.
func TestKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, d := range places {
		t.Run(d.name, func(t *testing.T) {
			place := d.place(t)
			b := newBank(t, place)
			for i := range 300 {
				switch {
				case i%10 == 3:
					b.put(fmt.Sprintf("%d/%03d.jpg", i%4, i), picture(i-1)) // a copy
				case i%10 == 5:
					b.put(fmt.Sprintf("%d/%03d.jpg", i%4, i), picture(i)[:100])
				default:
					b.put(fmt.Sprintf("%d/%03d.jpg", i%4, i), picture(i, mining([]string{"DMI-ALLOWED", "DMI-PROHIBITED"}[i%2]), owner(fmt.Sprintf("Owner %d", i%7))))
				}
			}
			kills := 0
			for wait := 0; ; {
				c := exec.Command(os.Args[0])
				c.Env = append(os.Environ(), childVariable+"="+place+"|"+b.folder)
				var said strings.Builder
				c.Stderr = &said
				must(t, c.Start())
				time.AfterFunc(time.Duration(20+rng.IntN(80)+wait)*time.Millisecond, func() { c.Process.Kill() })
				err := c.Wait()
				var exit *exec.ExitError
				switch {
				case err == nil:
				case errors.As(err, &exit) && exit.ExitCode() == -1:
					kills++
					wait += 10 // it must come to an end on a slow machine too
					continue
				default:
					t.Fatal(err, said.String())
				}
				break
			}
			calm := open(t, places[0].place(t))
			killed := b.reg
			b.reg = calm
			b.run()
			t.Logf("killed %d times", kills)
			if diff := cmp.Diff(strings.Split(content(t, calm), "\n"), strings.Split(content(t, killed), "\n")); diff != "" {
				t.Fatalf("undisturbed -, killed +: %s", diff)
			}
			if d.name == "sqlite" {
				same(t, "sums", sums(t, killed), sums(t, calm))
			}
		})
	}
}

func sums(t *testing.T, reg *registry.Registry) map[string]registry.Sum {
	t.Helper()
	return get[map[string]registry.Sum](t)(reg.Sums(ctx, registry.Scope{Role: registry.Operator}))
}
