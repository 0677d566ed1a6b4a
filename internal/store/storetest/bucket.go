package storetest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/internal/store"
)

// hostile are names that no key of a Store may have and that others give their files.
var hostile = []string{
	"IMG 0001.JPG", "Ünïcödé/naïve.png", "a+b&c=d?e#f.tif", "back\\slash", "hidden/.dot", "..two/...three", "a..b",
	"new\nline\r\n.jpg", "percent%2e%2e%2f", "quote\"'<xml>&amp;", "tab\there", "trailing space ", "-rf", "*?[x]", "\u202egpj.exe",
	strings.Repeat("d", 200) + "/" + strings.Repeat("e", 200) + "/" + strings.Repeat("f", 200) + "/" + strings.Repeat("g", 200),
}

// RunBucket checks what reads a folder or bucket of others. fresh gives an empty folder, of which each file is an object,
// and what reads it.
func RunBucket(t *testing.T, fresh func(t *testing.T) (folder string, b store.Bucket)) {
	t.Run("HostileNames", func(t *testing.T) {
		folder, b := fresh(t)
		names := slices.Sorted(slices.Values(hostile))
		for _, name := range names {
			file(t, folder, name, []byte(name))
		}
		if got := Walk(t, b, ""); !slices.Equal(got, names) {
			t.Errorf("got %q, want %q", got, names)
		}
		for i, name := range names {
			if got, err := store.ReadAll(ctx, b, name, 1<<20); err != nil || string(got) != name {
				t.Errorf("%q: got %q, %v", name, got, err)
			}
			if got := Walk(t, b, name); !slices.Equal(got, names[i+1:]) {
				t.Errorf("after %q: got %q", name, got)
			}
		}
	})
	t.Run("Sizes", func(t *testing.T) {
		folder, b := fresh(t)
		file(t, folder, "empty.jpg", nil)
		file(t, folder, "same/one.jpg", []byte("same"))
		file(t, folder, "same/two.png", []byte("same"))
		file(t, folder, "sparse.tif", nil)
		const sparse = 10 << 30
		if err := os.Truncate(filepath.Join(folder, "sparse.tif"), sparse); err != nil {
			t.Fatal(err)
		}
		sizes := map[string]int64{}
		if err := b.Each(ctx, "", "", func(o store.Object) error { sizes[o.Key] = o.Size; return nil }); err != nil {
			t.Fatal(err)
		}
		if sizes["sparse.tif"] != sparse || sizes["same/two.png"] != 4 || len(sizes) != 4 {
			t.Errorf("got %v", sizes)
		}
		if got, err := store.ReadAll(ctx, b, "empty.jpg", 0); err != nil || len(got) != 0 {
			t.Errorf("empty: %q, %v", got, err)
		}
		r, err := b.Open(ctx, "sparse.tif")
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 1<<20)
		if _, err := io.ReadFull(r, head); err != nil || len(bytes.Trim(head, "\x00")) > 0 {
			t.Errorf("the beginning of a large object: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("Absent", func(t *testing.T) {
		folder, b := fresh(t)
		file(t, folder, "folder/x", []byte("x"))
		for _, name := range []string{"none", "folder", "folder/x/y"} {
			if r, err := b.Open(ctx, name); err == nil {
				r.Close()
				t.Errorf("%q was opened", name)
			} else if name == "none" && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%q: %v, want ErrNotFound", name, err)
			}
		}
		for _, name := range []string{"", "..", "../x", "a/../../x", strings.Repeat("k", 4096), "nul\x00"} {
			if r, err := b.Open(ctx, name); err == nil {
				r.Close()
				t.Errorf("%q was opened", name)
			}
		}
	})
}

// Walk gives the keys of a bucket after one, and checks their order.
func Walk(t *testing.T, b store.Bucket, after string) []string {
	t.Helper()
	var keys []string
	err := b.Each(ctx, "", after, func(o store.Object) error {
		if o.Refused != "" {
			t.Errorf("%q is refused: %s", o.Key, o.Refused)
		}
		keys = append(keys, o.Key)
		return nil
	})
	if err != nil || !slices.IsSorted(keys) {
		t.Errorf("after %q: %v, in order: %v", after, err, slices.IsSorted(keys))
	}
	return keys
}

func file(t *testing.T, folder, name string, data []byte) {
	t.Helper()
	p := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, data, 0o666); err != nil {
		t.Fatal(err)
	}
}
