// Package storetest is the conformance suite of package store: a driver's test is a call of Run, and of RunBucket for
// what it reads of others.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/store"
)

// Run checks a driver. fresh opens an empty store and gives a function that opens the same one once more, as
// another process would.
func Run(t *testing.T, fresh func(t *testing.T) (s store.Store, again func() store.Store)) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s store.Store, again func() store.Store)
	}{
		{"RoundTrip", roundTrip}, {"FailedPutChangesNothing", failedPut}, {"NothingPartialIsSeen", partial},
		{"ListOrderAndPrefix", listing}, {"EachResumesAndEnds", each}, {"ManyPages", pages}, {"LargeObject", large}, {"DeleteTwice", deleteTwice}, {"Keys", keys}, {"Lock", lock},
		{"ConcurrentPuts", concurrentPuts}, {"PutAndDeleteInOneFolder", churn}, {"ReaderOutlivesDelete", outlives}, {"Cancelled", cancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, again := fresh(t)
			c.test(t, s, again)
		})
	}
}

var ctx = context.Background()

func put(t *testing.T, s store.Store, key, data string) {
	t.Helper()
	if err := store.PutBytes(ctx, s, key, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// expect checks an object; "" for absent.
func expect(t *testing.T, s store.Store, key, want string) {
	t.Helper()
	got, err := store.ReadAll(ctx, s, key, 1<<20)
	if want == "" {
		if !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("%s: got %q, %v, want ErrNotFound", key, got, err)
		}
		return
	}
	if err != nil || string(got) != want {
		t.Fatalf("%s: got %q, %v, want %q", key, got, err, want)
	}
}

func expectList(t *testing.T, s store.Store, prefix string, want ...string) {
	t.Helper()
	got, err := s.List(ctx, prefix)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("list %q: got %q, %v, want %q", prefix, got, err, want)
	}
}

func roundTrip(t *testing.T, s store.Store, again func() store.Store) {
	expect(t, s, "a/b", "")
	put(t, s, "a/b", "one")
	put(t, s, "a/b", "two")
	put(t, s, "c.json", "three")
	put(t, s, "a/b", "two")
	if err := store.PutBytes(ctx, s, "empty", nil); err != nil {
		t.Fatal(err)
	}
	for _, s := range []store.Store{s, again()} {
		expect(t, s, "a/b", "two")
		expect(t, s, "c.json", "three")
		expect(t, s, "a", "") // a folder is no object
		if got, err := store.ReadAll(ctx, s, "empty", 0); err != nil || len(got) != 0 {
			t.Fatalf("empty object: %q, %v", got, err)
		}
		expectList(t, s, "", "a/b", "c.json", "empty")
	}
	if _, err := store.ReadAll(ctx, s, "a/b", 2); err == nil {
		t.Fatal("ReadAll returned more than its limit")
	}
}

func failedPut(t *testing.T, s store.Store, again func() store.Store) {
	put(t, s, "old", "old")
	why := errors.New("why")
	for _, key := range []string{"old", "new", "in/a/folder"} {
		err := s.Put(ctx, key, func(w io.Writer) error {
			_, _ = w.Write([]byte("half"))
			return why
		})
		if !errors.Is(err, why) {
			t.Fatalf("%s: got %v, want the error of write", key, err)
		}
	}
	for _, s := range []store.Store{s, again()} {
		expect(t, s, "old", "old")
		expectList(t, s, "", "old")
	}
}

func partial(t *testing.T, s store.Store, again func() store.Store) {
	put(t, s, "x/old", "old")
	other := again()
	look := func() {
		expectList(t, other, "", "x/old")
		expect(t, other, "x/old", "old")
		expect(t, other, "x/new", "")
	}
	for _, key := range []string{"x/old", "x/new"} {
		_ = s.Put(ctx, key, func(w io.Writer) error {
			look()
			_, _ = w.Write(bytes.Repeat([]byte("p"), 1<<17))
			look()
			return errors.New("stop")
		})
	}
	look()
}

func listing(t *testing.T, s store.Store, _ func() store.Store) {
	expectList(t, s, "")
	expectList(t, s, "none/")
	all := []string{"a-b/c", "a.txt", "a/1", "a/10", "a/2/x", "a0", "b"} // "-" < "." < "/" < "0"
	for _, k := range []string{"b", "a/2/x", "a0", "a/10", "a.txt", "a/1", "a-b/c"} {
		put(t, s, k, k)
	}
	expectList(t, s, "", all...)
	expectList(t, s, "a/", "a/1", "a/10", "a/2/x")
	expectList(t, s, "a/1", "a/1", "a/10")
	expectList(t, s, "a", all[:6]...)
	expectList(t, s, "a/2/", "a/2/x")
	expectList(t, s, "z")
}

func each(t *testing.T, s store.Store, again func() store.Store) {
	all := []string{"a-b/c", "a.txt", "a/1", "a/10", "a/2/x", "a0", "b"}
	before := time.Now().Add(-time.Minute)
	for i, k := range all {
		put(t, s, k, strings.Repeat("x", i))
	}
	for _, prefix := range []string{"", "a", "a/", "a/1", "b", "z"} {
		for _, after := range append([]string{"", "A", "a", "a/", "a/1~", "a/2", "zz"}, all...) {
			var want, got []string
			for _, k := range all {
				if strings.HasPrefix(k, prefix) && k > after {
					want = append(want, k)
				}
			}
			err := again().Each(ctx, prefix, after, func(o store.Object) error {
				if o.Size != int64(slices.Index(all, o.Key)) || o.Modified.Before(before) || o.Modified.After(time.Now().Add(time.Minute)) || o.Refused != "" {
					t.Errorf("got %+v", o)
				}
				got = append(got, o.Key)
				return nil
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("each of %q after %q: got %q, %v, want %q", prefix, after, got, err, want)
			}
		}
	}
	why := errors.New("why")
	n := 0
	err := s.Each(ctx, "", "", func(store.Object) error {
		if n++; n == 3 {
			return why
		}
		return nil
	})
	if err != why || n != 3 {
		t.Errorf("Each went on after the error of its function: %d, %v", n, err)
	}
	if err := s.Each(ctx, "../", "", func(store.Object) error { return nil }); !errors.Is(err, store.ErrKey) && err != nil {
		t.Errorf("a prefix that no key has: %v", err)
	}
}

// pages has more objects than a server lists at once, and changes them while they are listed.
func pages(t *testing.T, s store.Store, again func() store.Store) {
	const n = 1100
	key := func(i int) string { return fmt.Sprintf("p/%02d/%04d", i/100, i) }
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; i < n; i += 4 {
				if err := store.PutBytes(ctx, s, key(i), []byte(key(i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	next := 0
	err := again().Each(ctx, "p/", "", func(o store.Object) error {
		if o.Key != key(next) {
			return fmt.Errorf("got %s, want %s", o.Key, key(next))
		}
		next++
		return s.Delete(ctx, o.Key)
	})
	if err != nil || next != n {
		t.Fatalf("saw %d of %d: %v", next, n, err)
	}
	expectList(t, s, "")
}

// large is more than drivers keep in memory, written in odd pieces, and read in others.
func large(t *testing.T, s store.Store, again func() store.Store) {
	data := Bytes(1, 11<<20+12345)
	err := s.Put(ctx, "large", func(w io.Writer) error {
		for piece := range slices.Chunk(data, 123457) {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := again().Open(ctx, "large")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(append(head, rest...), data) {
		t.Fatalf("%d bytes, %v", len(head)+len(rest), err)
	}
	early, err := s.Open(ctx, "large")
	if err != nil {
		t.Fatal(err)
	}
	if err := early.Close(); err != nil {
		t.Fatal(err)
	}
	why := errors.New("why")
	err = s.Put(ctx, "large", func(w io.Writer) error {
		_, _ = w.Write(data[1:])
		return why
	})
	if !errors.Is(err, why) {
		t.Fatal(err)
	}
	if got, err := store.ReadAll(ctx, s, "large", 1<<30); err != nil || !bytes.Equal(got, data) {
		t.Fatalf("a Put that failed changed the object: %d bytes, %v", len(got), err)
	}
}

// Bytes are n bytes that look random and are the same for a seed.
func Bytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)}).Read(b)
	return b
}

func deleteTwice(t *testing.T, s store.Store, again func() store.Store) {
	put(t, s, "a/b/c", "1")
	put(t, s, "a/d", "2")
	for range 2 {
		if err := s.Delete(ctx, "a/b/c"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(ctx, "never/there"); err != nil {
		t.Fatal(err)
	}
	expectList(t, again(), "", "a/d")
	put(t, s, "a/b/c", "3")
	expect(t, again(), "a/b/c", "3")
}

func keys(t *testing.T, s store.Store, _ func() store.Store) {
	for _, key := range []string{"", "/etc/x", "..", "../x", "a/../b", "a//b", "a/", "./a", "a/./b", ".hidden", "a/.hidden", "nul\x00",
		`a\b`, "a b", "a:b", "é", "a\nb", "%2e%2e/x", strings.Repeat("k", store.MaxKeyLen+1), strings.Repeat("k", 201)} {
		if err := store.PutBytes(ctx, s, key, nil); !errors.Is(err, store.ErrKey) {
			t.Errorf("Put %q: got %v, want ErrKey", key, err)
		}
		if _, err := s.Open(ctx, key); !errors.Is(err, store.ErrKey) {
			t.Errorf("Open %q: got %v, want ErrKey", key, err)
		}
		if err := s.Delete(ctx, key); !errors.Is(err, store.ErrKey) {
			t.Errorf("Delete %q: got %v, want ErrKey", key, err)
		}
		if _, err := s.Lock(ctx, key); !errors.Is(err, store.ErrKey) {
			t.Errorf("Lock %q: got %v, want ErrKey", key, err)
		}
	}
	for _, key := range []string{"a", "A-b_c.d~e=f+g", "x..y/z", strings.Repeat("k", 200)} {
		put(t, s, key, key)
		expect(t, s, key, key)
	}
}

func lock(t *testing.T, s store.Store, again func() store.Store) {
	release, err := s.Lock(ctx, "job")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []store.Store{s, again()} {
		if _, err := s.Lock(ctx, "job"); !errors.Is(err, store.ErrLocked) {
			t.Fatalf("second lock: got %v, want ErrLocked", err)
		}
		expectList(t, s, "")
	}
	other, err := s.Lock(ctx, "other")
	if err != nil {
		t.Fatal("another lock:", err)
	}
	put(t, s, "locked", "yes") // advisory
	if err := errors.Join(release(), other()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		release, err := again().Lock(ctx, "job")
		if err != nil {
			t.Fatal("after release:", err)
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
	}
}

func concurrentPuts(t *testing.T, s store.Store, again func() store.Store) {
	var wg sync.WaitGroup
	for i := range 8 {
		s := s
		if i%2 == 1 {
			s = again()
		}
		wg.Go(func() {
			for range 5 {
				if err := store.PutBytes(ctx, s, "deep/folder/key", bytes.Repeat([]byte{'0' + byte(i)}, 50000)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := store.ReadAll(ctx, s, "deep/folder/key", 1<<20)
	if err != nil || len(got) != 50000 || len(bytes.Trim(got, string(got[:1]))) != 0 {
		t.Fatalf("a mixture of %d bytes, %v", len(got), err)
	}
}

// churn lets folders appear and vanish under the feet of writers.
func churn(t *testing.T, s store.Store, again func() store.Store) {
	var wg sync.WaitGroup
	for i := range 4 {
		s := again()
		wg.Go(func() {
			key := fmt.Sprintf("staging/sub/%d", i)
			for range 25 {
				if err := store.PutBytes(ctx, s, key, []byte(key)); err != nil {
					t.Error(err)
				}
				if err := s.Delete(ctx, key); err != nil {
					t.Error(err)
				}
			}
			if err := store.PutBytes(ctx, s, key, []byte(key)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	expectList(t, s, "", "staging/sub/0", "staging/sub/1", "staging/sub/2", "staging/sub/3")
}

func outlives(t *testing.T, s store.Store, _ func() store.Store) {
	put(t, s, "a", "first")
	r, err := s.Open(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	put(t, s, "a", "second")
	if err := s.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "first" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func cancelled(t *testing.T, s store.Store, _ func() store.Store) {
	put(t, s, "a", "a")
	stopped, cancel := context.WithCancel(ctx)
	err := s.Put(stopped, "b", func(w io.Writer) error {
		cancel()
		_, err := w.Write([]byte("b"))
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v", err)
	}
	if _, err := s.Open(stopped, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
	if _, err := s.List(stopped, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v", err)
	}
	if err := s.Each(stopped, "", "", func(store.Object) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Each: %v", err)
	}
	if err := s.Delete(stopped, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete: %v", err)
	}
	if _, err := s.Lock(stopped, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock: %v", err)
	}
	expectList(t, s, "", "a")
}
