//go:build unix

package dir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/storetest"
)

func openBucket(t *testing.T, folder string) *Bucket {
	t.Helper()
	b, err := OpenBucket(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestBucketConformance(t *testing.T) {
	storetest.RunBucket(t, func(t *testing.T) (string, store.Bucket) {
		folder := t.TempDir()
		return folder, openBucket(t, folder)
	})
}

// TestWalkNamesWhatItRefuses: links (also cyclic ones), pipes, sockets, unreadable and endless folders are named with
// the reason, nothing is followed or waited for, and the walk ends.
func TestWalkNamesWhatItRefuses(t *testing.T) {
	folder := t.TempDir()
	in := func(name string) string { return filepath.Join(folder, name) }
	for _, err := range []error{
		os.MkdirAll(in("a/b"), 0o777),
		os.WriteFile(in("a/good.jpg"), []byte("good"), 0o666),
		os.Symlink("..", in("a/b/cycle")),
		os.Symlink("loop", in("loop")),
		os.Symlink("a/good.jpg", in("link.jpg")),
		os.Symlink("/etc", in("etc")),
		syscall.Mkfifo(in("pipe"), 0o666),
		os.Mkdir(in("..x"), 0o777),
		os.WriteFile(in("..x/\xff\xfe"), []byte("no UTF-8"), 0o666),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	deep(t, folder, "deep", 25)
	b := openBucket(t, folder)
	got := map[string]string{}
	err := b.Each(context.Background(), "", "", func(o store.Object) error {
		key := o.Key
		if strings.HasPrefix(key, "deep/") {
			key = fmt.Sprintf("deep/ of %d bytes", len(key))
		}
		got[key] = o.Refused
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	link := "a symbolic link; links are not followed"
	want := map[string]string{"a/good.jpg": "", "a/b/cycle": link, "loop": link, "link.jpg": link, "etc": link, "pipe": "a named pipe",
		"..x/\xff\xfe": "", "deep/ of 4226 bytes": "a path of more than 4096 bytes; what is below it is not read"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, key := range []string{"pipe", "link.jpg", "loop", "a/b/cycle/good.jpg", "a/b/cycle/b/cycle/good.jpg", "etc/passwd", "a"} {
			if r, err := b.Open(context.Background(), key); err == nil {
				r.Close()
				t.Errorf("%q was opened", key)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("opening a pipe waits for its writer")
	}
}

// deep makes nested folders of 200 bytes each, a path longer than any one call of the system takes.
func deep(t *testing.T, folder, name string, levels int) {
	t.Helper()
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	for range levels {
		if err := root.Mkdir(name, 0o777); err != nil {
			t.Fatal(err)
		}
		next, err := root.OpenRoot(name)
		if err != nil {
			t.Fatal(err)
		}
		root.Close()
		root, name = next, strings.Repeat("n", 200)
	}
	root.Close()
}

// TestUnreadableFolder: it is named, and the rest is read. Root reads everything, so there this test cannot run.
func TestUnreadableFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read every folder")
	}
	folder := t.TempDir()
	for _, err := range []error{os.Mkdir(filepath.Join(folder, "closed"), 0), os.WriteFile(filepath.Join(folder, "open"), nil, 0o666)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(folder, "closed"), 0o777) })
	got := map[string]string{}
	if err := openBucket(t, folder).Each(context.Background(), "", "", func(o store.Object) error { got[o.Key] = o.Refused; return nil }); err != nil {
		t.Fatal(err)
	}
	if got["closed/"] != "a folder that cannot be read: permission denied" || len(got) != 2 {
		t.Errorf("got %q", got)
	}
	if err := open(t, folder).Each(context.Background(), "", "", func(store.Object) error { return nil }); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a store must not pass over its own objects: %v", err)
	}
}

// TestBucketIsNotCreated: a source that is not there is an error, not an empty one.
func TestBucketIsNotCreated(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "none")
	if _, err := OpenBucket(folder); err == nil || !strings.Contains(err.Error(), folder) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
		t.Error("the folder was created")
	}
}

// BenchmarkEach walks 100,000 files in 100 folders.
func BenchmarkEach(b *testing.B) {
	folder := b.TempDir()
	const n = 100_000
	for i := range n {
		p := filepath.Join(folder, fmt.Sprintf("%03d", i/1000))
		if i%1000 == 0 {
			if err := os.Mkdir(p, 0o777); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(p, fmt.Sprintf("%06d.jpg", i)), nil, 0o666); err != nil {
			b.Fatal(err)
		}
	}
	bucket, err := OpenBucket(folder)
	if err != nil {
		b.Fatal(err)
	}
	defer bucket.Close()
	b.ReportAllocs()
	for b.Loop() {
		seen := 0
		if err := bucket.Each(context.Background(), "", "", func(store.Object) error { seen++; return nil }); err != nil || seen != n {
			b.Fatal(seen, err)
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "objects/s")
}
