package dir

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/filigrane/filigrane/internal/store"
)

// TestStat: Stat shows what Each shows, and finds nothing that Each does not show.
func TestStat(t *testing.T) {
	at := t.TempDir()
	for _, name := range []string{"a/b/c.jpg", "d.jpg"} {
		p := filepath.Join(at, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o777), os.WriteFile(p, []byte(name), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Symlink("a", filepath.Join(at, "way")), os.Symlink("d.jpg", filepath.Join(at, "e.jpg"))); err != nil {
		t.Fatal(err)
	}
	b, err := OpenBucket(at)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	shown := 0
	err = b.Each(context.Background(), "", "", func(o store.Object) error {
		shown++
		if got, err := b.Stat(context.Background(), o.Key); err != nil || got != o {
			t.Errorf("%q: %+v, %v, want %+v", o.Key, got, err, o)
		}
		return nil
	})
	if err != nil || shown != 4 {
		t.Fatal(shown, err)
	}
	for _, key := range []string{"a", "a/", "a/x", "way/b/c.jpg", "d.jpg/x", "../d.jpg", "", "/d.jpg"} {
		if o, err := b.Stat(context.Background(), key); err == nil {
			t.Errorf("%q: found %+v", key, o)
		}
	}
}
