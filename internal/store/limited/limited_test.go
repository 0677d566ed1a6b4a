package limited

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
)

var ctx = context.Background()

// folder is a bucket of n files of size bytes, named "000" and so on.
func folder(t testing.TB, n, size int) *dir.Bucket {
	t.Helper()
	at := t.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(at, fmt.Sprintf("%03d", i)), bytes.Repeat([]byte{byte(i)}, size), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	b, err := dir.OpenBucket(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// between checks how long something took: less is a limit not kept, much more is one that waits too long.
func between(t *testing.T, least, most time.Duration, f func()) {
	t.Helper()
	began := time.Now()
	f()
	if took := time.Since(began); took < least || took > most {
		t.Errorf("took %v, want %v to %v", took, least, most)
	}
}

// TestBytes: 300 kB at 100 kB a second, the first second's worth at once, take two seconds, however many read at once.
func TestBytes(t *testing.T) {
	b := New(folder(t, 3, 100_000), Limits{BytesPerSecond: 100_000})
	between(t, 1900*time.Millisecond, 6*time.Second, func() {
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				data, err := store.ReadAll(ctx, b, fmt.Sprintf("%03d", i), 1<<20)
				if err != nil || !bytes.Equal(data, bytes.Repeat([]byte{byte(i)}, 100_000)) {
					t.Errorf("%d bytes, %v", len(data), err)
				}
			})
		}
		wg.Wait()
	})
}

// TestRequests: after a burst of ten, ten more at ten a second take a second.
func TestRequests(t *testing.T) {
	b := New(folder(t, 1, 10), Limits{RequestsPerSecond: 10})
	between(t, 900*time.Millisecond, 5*time.Second, func() {
		for i := range 20 {
			var err error
			if i%2 == 0 {
				_, err = b.Stat(ctx, "000")
			} else {
				_, err = store.ReadAll(ctx, b, "000", 10)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestEnd: who waits for his turn stops with the context.
func TestEnd(t *testing.T) {
	b := New(folder(t, 1, 100_000), Limits{BytesPerSecond: 1000})
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, cancel)
	r, err := b.Open(ctx, "000")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	between(t, 0, 5*time.Second, func() {
		if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	if _, err := b.Open(ctx, "000"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestNoLimits: what is not limited passes as it is, and errors are the bucket's own.
func TestNoLimits(t *testing.T) {
	b := New(folder(t, 5, 10), Limits{})
	keys, err := store.Keys(ctx, b, "")
	if err != nil || len(keys) != 5 {
		t.Errorf("%q, %v", keys, err)
	}
	if _, err := b.Open(ctx, "nowhere"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Stat(ctx, "nowhere"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	for _, bad := range []Limits{{RequestsPerSecond: -1}, {BytesPerSecond: -1}} {
		if bad.Check() == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}
