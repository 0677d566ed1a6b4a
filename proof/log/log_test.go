package log

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	merkletest "github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
	"github.com/filigrane/filigrane/proof/tlogproof"
)

// Keys of Tessera's test log.
const (
	tesseraKey = "PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
	tesseraPub = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
)

var tesseraEntries = strings.Fields("one two three four five six seven eit nain ten ileven twelf threeten fourten fivten")

// TestForeignLog: a log that another program wrote is read, proven and recomputed.
func TestForeignLog(t *testing.T) {
	folder := os.DirFS("testdata/tessera")
	r := NewReader(FromFS(folder), newPolicy(t, tesseraPub))
	c, err := r.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := r.Verify(ctx, c); err != nil || a != (Audit{Entries: 15, Bytes: 69, Tiles: 1}) {
		t.Errorf("got %+v, %v", a, err)
	}
	for i, want := range tesseraEntries {
		got, proof, err := r.Entry(ctx, c, int64(i))
		if err != nil || string(got) != want {
			t.Fatalf("entry %d: %q, %v", i, got, err)
		}
		if _, err := proof.Verify(r.Policy(), got); err != nil {
			t.Error(err)
		}
		text, err := fs.ReadFile(folder, fmt.Sprintf("checkpoint.%d", i))
		if err != nil {
			t.Fatal(err)
		}
		old, err := r.Policy().Open(string(text))
		if err != nil {
			t.Fatal(err)
		}
		k, err := r.Consistency(ctx, old, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := k.Verify(r.Policy()); err != nil {
			t.Error(err)
		}
	}
}

// TestSameFilesAsTessera: given the same key and entries our writer makes the same files, byte for byte, at every size.
func TestSameFilesAsTessera(t *testing.T) {
	s, err := note.NewSigner(tesseraKey)
	if err != nil {
		t.Fatal(err)
	}
	st := folderStore(t)
	w := newWriter(t, st, s, newPolicy(t, tesseraPub))
	compared := 0
	for i := range len(tesseraEntries) + 1 {
		if i > 0 {
			add(t, w, []byte(tesseraEntries[i-1]))
		}
		for ours, theirs := range map[string]string{
			"checkpoint":                            fmt.Sprintf("checkpoint.%d", i),
			fmt.Sprintf("tile/0/000.p/%d", i):       "",
			fmt.Sprintf("tile/entries/000.p/%d", i): "",
		} {
			if theirs == "" {
				theirs = ours
			}
			want, err := os.ReadFile(filepath.Join("testdata/tessera", theirs))
			if i == 0 && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(st.String(), ours))
			if err != nil {
				t.Fatal(err)
			}
			sameBytes(t, theirs, got, want)
			compared++
		}
	}
	if compared != 46 {
		t.Errorf("%d files compared, want 46", compared)
	}
}

// TestSpecificationsExample: the files of a log of 70,000 entries, which tlog-tiles lists, and the root merkle computes.
func TestSpecificationsExample(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	st, p := folderStore(t), newPolicy(t, vkey)
	w := newWriter(t, st, s, p)
	list := entries("example", 70_000)
	tree := merkletest.New(rfc6962.DefaultHasher)
	for at, sizes := 0, []int{1, 255, 1, 254, 3, 512, MaxBatch}; at < len(list); {
		n := min(sizes[0], len(list)-at)
		if len(sizes) > 1 {
			sizes = sizes[1:]
		}
		c := add(t, w, list[at:at+n]...)
		tree.AppendData(list[at : at+n]...)
		if at += n; c.Size != int64(at) || !bytes.Equal(c.Root[:], tree.Hash()) {
			t.Fatalf("at %d: %s", at, c)
		}
	}
	// "273 full level 0 tiles, one partial level 0 tile of width 112, one full level 1 tile, one partial level 1 tile of
	// width 17, and one partial level 2 tile of width 1".
	for prefix, want := range map[string]int{"tile/entries/": 274, "tile/0/": 274, "tile/2/": 1} {
		keys, err := st.List(ctx, prefix)
		if err != nil || len(keys) != want {
			t.Errorf("%s: %d files, want %d, %v", prefix, len(keys), want, err)
		}
	}
	for _, key := range []string{"tile/entries/272", "tile/entries/273.p/112", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"} {
		if _, err := store.ReadAll(ctx, st, key, 1<<20); err != nil {
			t.Error(err)
		}
	}
	r := NewReader(FromBucket(st), p)
	c, err := r.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := r.Verify(ctx, c); err != nil || a.Entries != 70_000 || a.Tiles != 273+1+1+1+1 {
		t.Errorf("%+v, %v", a, err)
	}
	for _, i := range []int64{0, 255, 256, 65535, 65536, 69_887, 69_888, 69_999} {
		e, proof, err := r.Entry(ctx, c, i)
		if err != nil || !bytes.Equal(e, list[i]) {
			t.Fatalf("%d: %q, %v", i, e, err)
		}
		if _, err := proof.Verify(p, e); err != nil {
			t.Error(err)
		}
		if at, ok, err := r.Find(ctx, c, e); at != i || !ok || err != nil {
			t.Errorf("found at %d, %v, %v", at, ok, err)
		}
	}
	if _, ok, err := r.Find(ctx, c, []byte("never")); ok || err != nil {
		t.Errorf("found what is not there, %v", err)
	}
	next := int64(69_000)
	err = r.Entries(ctx, c, next, func(i int64, e []byte) error {
		if i != next || !bytes.Equal(e, list[i]) {
			return fmt.Errorf("entry %d: %q", i, e)
		}
		next++
		return nil
	})
	if err != nil || next != 70_000 {
		t.Errorf("stopped at %d: %v", next, err)
	}
}

// TestSameEntryTwice: an entry has one index, within a batch, between batches, between writers.
func TestSameEntryTwice(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	st, p := folderStore(t), newPolicy(t, vkey)
	w := newWriter(t, st, s, p)
	a, b, c, d := []byte("a"), []byte("b"), []byte("c"), []byte("d")
	for i, step := range []struct {
		batch [][]byte
		want  []int64
		size  int64
	}{
		{[][]byte{a, b, a}, []int64{0, 1, 0}, 2},
		{[][]byte{b}, []int64{1}, 2},
		{[][]byte{c, a, d}, []int64{2, 0, 3}, 4},
		{nil, nil, 4},
	} {
		if i == 2 {
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			w = open(t, st, s, p)
		}
		before, err := store.ReadAll(ctx, st, "checkpoint", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		got, cp, err := w.Append(ctx, step.batch...)
		if err != nil || !slices.Equal(got, step.want) || cp.Size != step.size {
			t.Errorf("step %d: %v, %s, %v", i, got, cp, err)
		}
		after, err := store.ReadAll(ctx, st, "checkpoint", 1<<20)
		if err != nil || bytes.Equal(before, after) != (i == 1 || i == 3) {
			t.Errorf("step %d: checkpoint changed: %v, %v", i, !bytes.Equal(before, after), err)
		}
	}
	if at, ok := w.Index(c); at != 2 || !ok {
		t.Error(at, ok)
	}
	if _, ok := w.Index([]byte("e")); ok {
		t.Error("found what is not there")
	}
}

// TestEntryLimits: the longest entry fits, and what does not is refused before anything is written.
func TestEntryLimits(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	st, p := folderStore(t), newPolicy(t, vkey)
	w := newWriter(t, st, s, p)
	longest := bytes.Repeat([]byte("x"), MaxEntryBytes)
	c := add(t, w, longest)
	if e, _, err := NewReader(FromBucket(st), p).Entry(ctx, c, 0); err != nil || !bytes.Equal(e, longest) {
		t.Errorf("%d bytes, %v", len(e), err)
	}
	many := make([][]byte, MaxBatch+1)
	for i := range many {
		many[i] = []byte("same")
	}
	large := make([][]byte, MaxBatchBytes/MaxEntryBytes+2)
	for i := range large {
		large[i] = longest
	}
	for name, bad := range map[string][][]byte{"65536 bytes": {append(longest, 'x')}, "empty": {{}}, "too many": many, "too large": large} {
		if _, _, err := w.Append(ctx, bad...); err == nil || !strings.Contains(err.Error(), "log: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w.Checkpoint().Size != 1 {
		t.Error("a refused batch was written")
	}
}

// TestReaders: a folder, a ZIP file, a web server and a bucket give the same.
func TestReaders(t *testing.T) {
	st, p, c := newLog(t, "entry", 600)
	web := httptest.NewServer(http.StripPrefix("/some/log", http.FileServer(http.Dir(st.String()))))
	t.Cleanup(web.Close)
	fromWeb, err := FromHTTP(web.Client(), web.URL+"/some/log/")
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := dir.OpenBucket(st.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bucket.Close() })
	var packed bytes.Buffer
	z := zip.NewWriter(&packed)
	if err := errors.Join(z.AddFS(os.DirFS(st.String())), z.Close()); err != nil {
		t.Fatal(err)
	}
	unpacked, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]Files{"store": FromBucket(st), "bucket": FromBucket(bucket), "folder": FromFS(os.DirFS(st.String())), "zip": FromFS(unpacked), "web": fromWeb} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(files, p)
			got, err := r.Checkpoint(ctx)
			if err != nil || !got.Same(c) {
				t.Fatalf("%s, %v", got, err)
			}
			if _, err := r.Verify(ctx, got); err != nil {
				t.Error(err)
			}
			e, proof, err := r.Entry(ctx, got, 599)
			if err != nil || string(e) != "entry 599" {
				t.Errorf("%q, %v", e, err)
			}
			if _, err := proof.Verify(p, e); err != nil {
				t.Error(err)
			}
			if _, _, err := r.Entry(ctx, got, 600); err == nil || !strings.Contains(err.Error(), "has 600 entries") {
				t.Error(err)
			}
			if _, err := files.Read(ctx, "tile/0/009", 1<<20); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a file that is not there: %v", err)
			}
			if _, err := files.Read(ctx, "tile/0/000", 100); err == nil || errors.Is(err, store.ErrNotFound) {
				t.Errorf("a file above its limit: %v", err)
			}
		})
	}
	for _, bad := range []string{"", "ftp://x/y", "http://", "/path", "http://x/?q=1"} {
		if _, err := FromHTTP(web.Client(), bad); err == nil {
			t.Errorf("%q is taken for a URL", bad)
		}
	}
}

// TestOldCheckpointStaysReadable: who has an old checkpoint can read and prove with it after the log has grown and its partial
// files are gone.
func TestOldCheckpointStaysReadable(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	st, p := folderStore(t), newPolicy(t, vkey)
	w := newWriter(t, st, s, p)
	list := entries("entry", 700)
	var old []tlogproof.Checkpoint
	for _, n := range []int{1, 2, 100, 150, 3, 5, 250, 189} {
		have := int(w.Checkpoint().Size)
		old = append(old, add(t, w, list[have:have+n]...))
	}
	if keys, err := st.List(ctx, "tile/entries/000.p/"); len(keys) != 0 || err != nil {
		t.Errorf("partial files that are whole are still there: %q, %v", keys, err)
	}
	r := NewReader(FromBucket(st), p)
	for _, c := range old {
		if _, err := r.Verify(ctx, c); err != nil {
			t.Errorf("%s: %v", c, err)
		}
		e, proof, err := r.Entry(ctx, c, c.Size-1)
		if err != nil || !bytes.Equal(e, list[c.Size-1]) {
			t.Errorf("%s: %q, %v", c, e, err)
		}
		if _, err := proof.Verify(p, e); err != nil {
			t.Error(err)
		}
		k, err := r.Consistency(ctx, c, old[len(old)-1])
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := k.Verify(p); err != nil {
			t.Error(err)
		}
	}
}

// TestPublicBucket: a web server over a bucket that may not be listed says 403 of files that are not there, and may compress.
func TestPublicBucket(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	st, p := folderStore(t), newPolicy(t, vkey)
	w := newWriter(t, st, s, p)
	list := entries("entry", 300)
	old := add(t, w, list[:200]...)
	add(t, w, list[200:]...)
	web := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		data, err := store.ReadAll(in.Context(), st, strings.TrimPrefix(in.URL.Path, "/"), 1<<24)
		if err != nil {
			out.WriteHeader(http.StatusForbidden)
			return
		}
		out.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(out)
		_, _ = z.Write(data)
		_ = z.Close()
	}))
	t.Cleanup(web.Close)
	files, err := FromHTTP(web.Client(), web.URL)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewReader(files, p).Verify(ctx, old); err != nil {
		t.Error(err)
	}
}

// TestChangedFiles: whatever is done to a log's files, readers do not believe it, and Verify says which file it is.
func TestChangedFiles(t *testing.T) {
	base, p, c := newLog(t, "entry", 700)
	foreign, _, _ := newLog(t, "other", 700)
	at := func(st *dir.Store, name string) string { return filepath.Join(st.String(), name) }
	read := func(t *testing.T, file string) []byte {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, tc := range []struct {
		name, file string
		index      int64 // of an entry that needs the file
		change     func(t *testing.T, data []byte) []byte
	}{
		{"a byte of an entry", "tile/entries/001", 300, func(_ *testing.T, d []byte) []byte { d[500] ^= 1; return d }},
		{"a length in a bundle", "tile/entries/001", 300, func(_ *testing.T, d []byte) []byte { d[0] = 0xff; return d }},
		{"a bundle cut", "tile/entries/001", 300, func(_ *testing.T, d []byte) []byte { return d[:len(d)-1] }},
		{"a bundle with an entry too few", "tile/entries/002.p/188", 650, func(_ *testing.T, d []byte) []byte { return d[2+int(binary.BigEndian.Uint16(d)):] }},
		{"a bundle with an entry too many", "tile/entries/002.p/188", 650, func(_ *testing.T, d []byte) []byte { return append(d, 0, 1, 'x') }},
		{"a bundle of hundreds of kilobytes of nothing", "tile/entries/001", 300, func(_ *testing.T, _ []byte) []byte { return make([]byte, 300_000) }},
		{"a bundle above all limits", "tile/entries/001", 300, func(_ *testing.T, _ []byte) []byte { return make([]byte, maxBundleBytes+1) }},
		{"two bundles swapped", "tile/entries/001", 300, func(t *testing.T, _ []byte) []byte { return read(t, at(base, "tile/entries/000")) }},
		{"a bundle of another log", "tile/entries/000", 3, func(t *testing.T, _ []byte) []byte { return read(t, at(foreign, "tile/entries/000")) }},
		{"a byte of a tile", "tile/0/001", 300, func(_ *testing.T, d []byte) []byte { d[40] ^= 1; return d }},
		{"a tile cut", "tile/0/001", 300, func(_ *testing.T, d []byte) []byte { return d[:len(d)-32] }},
		{"a tile too long", "tile/0/001", 300, func(_ *testing.T, d []byte) []byte { return append(d, d...) }},
		{"a partial tile too long", "tile/0/002.p/188", 650, func(_ *testing.T, d []byte) []byte { return append(d, d[:32]...) }},
		{"two tiles swapped", "tile/0/001", 300, func(t *testing.T, _ []byte) []byte { return read(t, at(base, "tile/0/000")) }},
		{"a tile of another log", "tile/0/000", 3, func(t *testing.T, _ []byte) []byte { return read(t, at(foreign, "tile/0/000")) }},
		{"a tile of level 1 of another log", "tile/1/000.p/2", 3, func(t *testing.T, _ []byte) []byte { return read(t, at(foreign, "tile/1/000.p/2")) }},
		{"an empty tile", "tile/0/000", 3, func(_ *testing.T, _ []byte) []byte { return nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			st := copyFolder(t, base)
			data := tc.change(t, read(t, at(st, tc.file)))
			if err := os.WriteFile(at(st, tc.file), data, 0o600); err != nil {
				t.Fatal(err)
			}
			r := NewReader(FromBucket(st), p)
			if e, _, err := r.Entry(ctx, c, tc.index); err == nil && string(e) != fmt.Sprintf("entry %d", tc.index) {
				t.Errorf("%q is given out as entry %d", e, tc.index)
			}
			err := r.Entries(ctx, c, tc.index/width*width, func(i int64, e []byte) error {
				if string(e) != fmt.Sprintf("entry %d", i) {
					t.Errorf("%q is given out as entry %d", e, i)
				}
				return nil
			})
			if err == nil {
				t.Error("all entries are given out")
			}
			_, err = r.Verify(ctx, c)
			if err == nil || !strings.Contains(err.Error(), tc.file) {
				t.Errorf("Verify: %v, want %s named", err, tc.file)
			}
			if !errors.Is(err, ErrFiles) {
				t.Errorf("%v is not ErrFiles", err)
			}
		})
	}
	t.Run("a file gone", func(t *testing.T) {
		for _, name := range []string{"tile/0/001", "tile/entries/001", "tile/0/002.p/188", "tile/1/000.p/2"} {
			st := copyFolder(t, base)
			if err := os.Remove(at(st, name)); err != nil {
				t.Fatal(err)
			}
			if _, err := NewReader(FromBucket(st), p).Verify(ctx, c); !errors.Is(err, ErrFiles) || !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("all files are another log's", func(t *testing.T) {
		if _, err := NewReader(FromBucket(foreign), p).Verify(ctx, c); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), "root") {
			t.Error(err)
		}
	})
	t.Run("the writer does not build on changed files", func(t *testing.T) {
		s, _ := newKey(t, origin, 1)
		for _, name := range []string{"tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2", "tile/entries/002.p/188"} {
			st := copyFolder(t, base)
			data := read(t, at(st, name))
			data[40] ^= 1
			if err := os.WriteFile(at(st, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
			w, err := Open(ctx, st, s, p)
			if err == nil { // an entry bundle is looked at when it is needed
				_, _, err = w.Append(ctx, []byte("new"))
				_ = w.Close()
			}
			if !errors.Is(err, ErrFiles) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestCacheOfAnotherHistory: a Reader that has seen one tree is not confused by another one's files.
func TestCacheOfAnotherHistory(t *testing.T) {
	a, p, c := newLog(t, "entry", 300)
	b, _, d := newLog(t, "other", 300)
	files := &switching{a: FromBucket(a), b: FromBucket(b)}
	r := NewReader(files, p)
	for i := range 6 {
		files.second = i%2 == 1
		use, text := c, "entry 299"
		if files.second {
			use, text = d, "other 299"
		}
		if e, _, err := r.Entry(ctx, use, 299); err != nil || string(e) != text {
			t.Fatalf("%d: %q, %v", i, e, err)
		}
	}
}

type switching struct {
	a, b   Files
	second bool
}

func (s *switching) Read(c context.Context, path string, limit int64) ([]byte, error) {
	if s.second {
		return s.b.Read(c, path, limit)
	}
	return s.a.Read(c, path, limit)
}

// TestStoreSetBack: a writer does not go on from a store that was restored from a backup, if it is told of later days; and
// notices by itself if only the checkpoint is old.
func TestStoreSetBack(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	st, p := folderStore(t), newPolicy(t, vkey)
	w := newWriter(t, st, s, p)
	list := entries("entry", 400)
	first := add(t, w, list[:300]...)
	backup := copyFolder(t, st)
	second := add(t, w, list[300:]...)
	third := add(t, w, []byte("last"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, backup, s, p, first, third); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), "set back") {
		t.Errorf("a backup: %v", err)
	}
	if err := open(t, backup, s, p, first).Close(); err != nil { // nothing says that it is old
		t.Error(err)
	}
	for _, c := range []tlogproof.Checkpoint{first, second} {
		old := copyFolder(t, st)
		if err := store.PutBytes(ctx, old, "checkpoint", []byte(c.Note)); err != nil {
			t.Fatal(err)
		}
		w, err := Open(ctx, old, s, p)
		if c.Size == second.Size { // the journal brings it back to where it was
			if err != nil || !w.Checkpoint().Same(third) {
				t.Errorf("the checkpoint before the last: %v", err)
			}
			_ = w.Close()
		} else if !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), "set back") {
			t.Errorf("an old checkpoint: %v", err)
		}
	}
	if err := open(t, st, s, p, first, second, third).Close(); err != nil {
		t.Error(err)
	}
	// A store that holds another history than was seen.
	other, _, c := newLog(t, "other", 401)
	var fork *ForkError
	if _, err := Open(ctx, other, s, p, third); !errors.As(err, &fork) {
		t.Fatalf("another history: %v", err)
	}
	if a, b, err := fork.Fork.Verify(p); err != nil || !a.Same(third) || !b.Same(c) {
		t.Errorf("the proof of it: %v", err)
	}
}

// TestCreate: it may run twice, and never over what is left of a log.
func TestCreate(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	st, p := folderStore(t), newPolicy(t, vkey)
	if _, err := Open(ctx, st, s, p); !errors.Is(err, store.ErrNotFound) || !strings.Contains(err.Error(), "create it first") {
		t.Errorf("no log: %v", err)
	}
	w := newWriter(t, st, s, p)
	c := add(t, w, []byte("x"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Create(ctx, st, s, p); err != nil {
		t.Error(err)
	}
	if w := open(t, st, s, p); !w.Checkpoint().Same(c) {
		t.Error("creating again changed the log")
	} else if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := st.Delete(ctx, "checkpoint"); err != nil {
		t.Fatal(err)
	}
	if err := Create(ctx, st, s, p); err == nil || !strings.Contains(err.Error(), "no checkpoint") {
		t.Errorf("a log without checkpoint: %v", err)
	}
	foreign, _ := newKey(t, origin, 2)
	_, otherKey := newKey(t, "other.example", 3)
	if err := Create(ctx, folderStore(t), foreign, p); !errors.Is(err, tlogproof.ErrSignature) {
		t.Errorf("a key that is none of the policy's: %v", err)
	}
	if err := Create(ctx, folderStore(t), foreign, newPolicy(t, otherKey)); err == nil || !strings.Contains(err.Error(), "one name") {
		t.Errorf("a key of another name: %v", err)
	}
}

// TestKeyChange: with old and new key in the policy the log goes on under the new one.
func TestKeyChange(t *testing.T) {
	s1, k1 := newKey(t, origin, 1)
	s2, k2 := newKey(t, origin, 2)
	st := folderStore(t)
	w := newWriter(t, st, s1, newPolicy(t, k1))
	old := add(t, w, []byte("x"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	both, err := tlogproof.NewPolicy(origin, []string{k1, k2}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := add(t, open(t, st, s2, both, old), []byte("y"))
	if _, err := newPolicy(t, k2).Open(c.Note); err != nil {
		t.Error(err)
	}
	k, err := NewReader(FromBucket(st), both).Consistency(ctx, old, c)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Verify(both); err != nil {
		t.Error(err)
	}
}

// TestOneWriter: a second one is refused while the first lives; goroutines of one take turns.
func TestOneWriter(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	st, p := folderStore(t), newPolicy(t, vkey)
	w := newWriter(t, st, s, p)
	if _, err := Open(ctx, st, s, p); !errors.Is(err, store.ErrLocked) {
		t.Errorf("two writers: %v", err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 10 {
				want := fmt.Appendf(nil, "%d %d", g, i)
				at, c, err := w.Append(ctx, want, []byte("common"))
				if err != nil {
					t.Error(err)
					return
				}
				e, proof, err := NewReader(FromBucket(st), p).Entry(ctx, c, at[0])
				if err != nil || !bytes.Equal(e, want) {
					t.Errorf("%q, %v", e, err)
				}
				if _, err := proof.Verify(p, want); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if c := w.Checkpoint(); c.Size != 81 {
		t.Errorf("%s, want 81 entries", c)
	}
}

// TestJournal: a journal that somebody else wrote or changed gets nothing into the log.
func TestJournal(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	p := newPolicy(t, vkey)
	base, _, c := newLog(t, "entry", 3)
	good, err := signJournal(s, p, 3, [][]byte{[]byte("new")})
	if err != nil {
		t.Fatal(err)
	}
	foreign, _ := newKey(t, origin, 2)
	forged, err := signJournal(foreign, p, 3, [][]byte{[]byte("planted")})
	if err != nil {
		t.Fatal(err)
	}
	swapped := append(bytes.Clone(good[:len(good)-5]), marshalBundle([][]byte{[]byte("bad")})...)
	checkpoint := append(binary.BigEndian.AppendUint32(nil, uint32(len(c.Note))), c.Note...)
	for name, bad := range map[string][]byte{"empty": {}, "cut": good[:len(good)-1], "cut in the note": good[:50], "longer": append(bytes.Clone(good), 0),
		"of another key": forged, "another batch": swapped, "a checkpoint": checkpoint, "a huge length": {0xff, 0xff, 0xff, 0xff, 1}} {
		st := copyFolder(t, base)
		if err := store.PutBytes(ctx, st, "journal", bad); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(ctx, st, s, p); !errors.Is(err, ErrFiles) || !strings.Contains(err.Error(), "journal") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := p.OpenLog(string(good[4 : 4+binary.BigEndian.Uint32(good)])); err == nil {
		t.Error("a journal's note is taken for a checkpoint")
	}
	if err := store.PutBytes(ctx, base, "journal", good); err != nil {
		t.Fatal(err)
	}
	if w := open(t, base, s, p); w.Checkpoint().Size != 4 {
		t.Error("a batch in the journal was not ended")
	}
}

// TestCosign: cosignatures are published with the checkpoint, and survive a restart.
func TestCosign(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	var cosigners []*tlogproof.Cosigner
	var names []string
	for i := range 2 {
		skey, _, err := note.GenerateKey(nil, fmt.Sprintf("w%d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		c, err := tlogproof.NewCosigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		cosigners, names = append(cosigners, c), append(names, c.VerifierKey())
	}
	p, err := tlogproof.NewPolicy(origin, []string{vkey}, names, 2)
	if err != nil {
		t.Fatal(err)
	}
	st := folderStore(t)
	w := newWriter(t, st, s, p)
	c := add(t, w, []byte("x"))
	r := NewReader(FromBucket(st), p)
	if _, err := r.Checkpoint(ctx); !errors.Is(err, tlogproof.ErrQuorum) {
		t.Errorf("before the witnesses: %v", err)
	}
	if _, err := w.Cosign(ctx, cosigners[0].Cosign(c, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = open(t, st, s, p, c)
	if c, err = w.Cosign(ctx, cosigners[1].Cosign(c, 2000)); err != nil || len(c.Cosignatures) != 2 {
		t.Fatalf("%+v, %v", c, err)
	}
	got, err := r.Checkpoint(ctx)
	if err != nil || got.Note != c.Note {
		t.Errorf("published: %+v, %v", got, err)
	}
	newer := add(t, w, []byte("y"))
	if _, err := w.Cosign(ctx, cosigners[0].Cosign(c, 3000)); !errors.Is(err, tlogproof.ErrSignature) {
		t.Errorf("under an older checkpoint: %v", err)
	}
	if got, err := r.LogCheckpoint(ctx); err != nil || got.Note != newer.Note {
		t.Errorf("published: %+v, %v", got, err)
	}
}

// TestBucket: a log in a real bucket.
func TestBucket(t *testing.T) {
	opt := s3test.Start(t, s3test.Config{}).Bucket(t)
	opt.Prefix = "public/log"
	st, err := s3.Open(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	s, vkey := newKey(t, origin, 1)
	p := newPolicy(t, vkey)
	w := newWriter(t, st, s, p)
	list := entries("entry", 600)
	add(t, w, list[:250]...)
	c := add(t, w, list[250:]...)
	if c.Root != oracleRoot(list) {
		t.Error("another root than merkle's")
	}
	r := NewReader(FromBucket(st), p)
	if a, err := r.Verify(ctx, c); err != nil || a.Entries != 600 {
		t.Errorf("%+v, %v", a, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w := open(t, st, s, p, c); !w.Checkpoint().Same(c) {
		t.Error("another checkpoint after opening again")
	}
}

// TestEmptyLog: nothing is in it, and that can be verified too.
func TestEmptyLog(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	st, p := folderStore(t), newPolicy(t, vkey)
	w := newWriter(t, st, s, p)
	r := NewReader(FromBucket(st), p)
	empty, err := r.Checkpoint(ctx)
	if err != nil || empty.Size != 0 || empty.Root != oracleRoot(nil) {
		t.Fatalf("%s, %v", empty, err)
	}
	if a, err := r.Verify(ctx, empty); err != nil || a != (Audit{}) {
		t.Errorf("%+v, %v", a, err)
	}
	if _, _, err := r.Entry(ctx, empty, 0); err == nil || !strings.Contains(err.Error(), "has 0 entries") {
		t.Error(err)
	}
	if _, ok, err := r.Find(ctx, empty, []byte("x")); ok || err != nil {
		t.Error(ok, err)
	}
	k, err := r.Consistency(ctx, empty, add(t, w, []byte("x")))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Verify(p); err != nil {
		t.Error(err)
	}
}

// TestPaths: as tlog-tiles writes them.
func TestPaths(t *testing.T) {
	for want, tile := range map[string]tlog.Tile{
		"tile/0/x001/x234/067":        {H: 8, L: 0, N: 1234067, W: 256},
		"tile/3/x001/x234/067.p/17":   {H: 8, L: 3, N: 1234067, W: 17},
		"tile/entries/000":            {H: 8, L: -1, N: 0, W: 256},
		"tile/entries/x001/000.p/255": {H: 8, L: -1, N: 1000, W: 255},
		"tile/63/999":                 {H: 8, L: 63, N: 999, W: 256},
	} {
		if got := path(tile); got != want {
			t.Errorf("%+v: %s, want %s", tile, got, want)
		}
		if err := store.CheckKey(want); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte{})
	f.Add(marshalBundle(entries("entry", 3)))
	f.Add(marshalBundle([][]byte{{}, bytes.Repeat([]byte("x"), MaxEntryBytes)}))
	f.Add([]byte{0, 5, 'x'})
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseBundle(data, width)
		if err == nil && !bytes.Equal(marshalBundle(list), data) {
			t.Fatalf("%x", data)
		}
		if err != nil && !errors.Is(err, ErrFiles) {
			t.Fatal(err)
		}
	})
}

func FuzzParseTile(f *testing.F) {
	f.Add("tile/0/000", make([]byte, 8192), 256)
	f.Add("tile/0/000", make([]byte, 8192), 5)
	f.Add("tile/0/000.p/5", make([]byte, 160), 5)
	f.Add("tile/0/000.p/5", make([]byte, 161), 5)
	f.Fuzz(func(t *testing.T, name string, data []byte, want int) {
		if want < 1 || want > width {
			return
		}
		got, err := parseTile(name, data, want)
		if err == nil && (len(got) != want*tlog.HashSize || !bytes.HasPrefix(data, got)) {
			t.Fatalf("%d bytes of %d for %d hashes", len(got), len(data), want)
		}
	})
}

func FuzzOpenJournal(f *testing.F) {
	s, vkey := newKey(f, origin, 1)
	p := newPolicy(f, vkey)
	good, err := signJournal(s, p, 7, entries("entry", 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:30])
	f.Add([]byte{0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		base, batch, err := openJournal(p, data)
		if err == nil && (base != 7 || !bytes.Equal(marshalBundle(batch), marshalBundle(entries("entry", 2)))) {
			t.Fatalf("forged: %d, %q", base, batch)
		}
	})
}
