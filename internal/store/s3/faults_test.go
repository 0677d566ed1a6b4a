package s3_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/faults"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/storetest"
)

// version is an object that tells whether it is whole: its length and seed, then as many bytes of that seed.
func version(seed uint64, size int) []byte {
	head := binary.BigEndian.AppendUint64(nil, seed)
	head = binary.BigEndian.AppendUint64(head, uint64(size))
	return append(head, storetest.Bytes(seed, size)...)
}

func whole(data []byte) error {
	if len(data) < 16 {
		return fmt.Errorf("%d bytes", len(data))
	}
	if !bytes.Equal(data, version(binary.BigEndian.Uint64(data), int(binary.BigEndian.Uint64(data[8:])))) {
		return fmt.Errorf("%d bytes that nobody wrote so", len(data))
	}
	return nil
}

// TestSoak: thousands of operations of several workers while one request in twenty suffers. What is read is always a whole
// version, and at the end each key has just what its worker wrote last, seen without faults.
func TestSoak(t *testing.T) {
	const workers, operations, seed = 8, 500, 20261123
	opt := options(t)
	clean := open(t, opt)
	opt.Sleep = hurried
	proxy := behind(t, &opt, seed, 0.05)
	t.Logf("seed %d", uint64(seed))
	want := make([]map[string][]byte, workers)
	var wg sync.WaitGroup
	var reads, again atomic.Int64
	for w := range workers {
		s := open(t, opt)
		want[w] = map[string][]byte{}
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range operations {
				key := fmt.Sprintf("w%d/%d/k%d", w, random.IntN(3), random.IntN(10))
				switch n := random.IntN(10); {
				case n < 5:
					size := random.IntN(20000)
					if random.IntN(50) == 0 {
						size = 5<<20 + random.IntN(6<<20) // in parts
					}
					data := version(uint64(w*operations+i), size)
					if err := store.PutBytes(ctx, s, key, data); err != nil {
						t.Errorf("worker %d, operation %d: %v", w, i, err)
						return
					}
					want[w][key] = data
				case n < 6:
					if err := s.Delete(ctx, key); err != nil {
						t.Errorf("worker %d, operation %d: %v", w, i, err)
						return
					}
					delete(want[w], key)
				case n < 9:
					reads.Add(1)
					if err := readBack(s, key, want[w][key], &again); err != nil {
						t.Errorf("worker %d, operation %d: %v", w, i, err)
						return
					}
				default: // of others, who write meanwhile
					err := s.Each(ctx, fmt.Sprintf("w%d/", random.IntN(workers)), "", func(o store.Object) error {
						if random.IntN(20) > 0 {
							return nil
						}
						data, err := store.ReadAll(ctx, s, o.Key, 1<<30)
						if errors.Is(err, store.ErrNotFound) || err != nil && strings.Contains(err.Error(), "replaced or deleted") {
							return nil
						}
						if err != nil {
							again.Add(1)
							return nil
						}
						return whole(data)
					})
					if err != nil {
						t.Errorf("worker %d, operation %d: %v", w, i, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	t.Log(proxy)
	t.Logf("%d reads of own objects; %d times a large one failed as a whole and was read again", reads.Load(), again.Load())
	if requests, counts := proxy.Counts(); requests < workers*operations || len(counts) < len(faults.Kinds) {
		t.Errorf("not every fault happened: %s", proxy)
	}
	same(t, clean, want)
}

// readBack reads an object that nobody else changes. A large one may fail as a whole, when what arrived was wrong.
func readBack(s *s3.Store, key string, want []byte, again *atomic.Int64) error {
	for try := 0; ; try++ {
		got, err := store.ReadAll(ctx, s, key, 1<<30)
		switch {
		case want == nil && errors.Is(err, store.ErrNotFound):
			return nil
		case err != nil && len(want) > 256<<10 && try < 5:
			again.Add(1)
			continue
		case err != nil:
			return err
		case !bytes.Equal(got, want):
			return fmt.Errorf("%s: got %d bytes, want %d others", key, len(got), len(want))
		}
		return nil
	}
}

// same compares all of a store with what was written.
func same(t *testing.T, s store.Store, want []map[string][]byte) {
	t.Helper()
	all := map[string][]byte{}
	for _, m := range want {
		for k, v := range m {
			all[k] = v
		}
	}
	n := 0
	err := s.Each(ctx, "", "", func(o store.Object) error {
		data, ok := all[o.Key]
		if !ok {
			return fmt.Errorf("%s was never put or is deleted", o.Key)
		}
		got, err := store.ReadAll(ctx, s, o.Key, 1<<30)
		if err != nil || !bytes.Equal(got, data) || o.Size != int64(len(data)) {
			return fmt.Errorf("%s: got %d bytes, listed %d, want %d, %v", o.Key, len(got), o.Size, len(data), err)
		}
		n++
		return nil
	})
	if err != nil || n != len(all) || n == 0 {
		t.Errorf("%d of %d objects: %v", n, len(all), err)
	}
}

// TestEachFault: every fault alone, at one request in three, for small and large objects, listings and locks.
func TestEachFault(t *testing.T) {
	large, small := storetest.Bytes(1, 11<<20), storetest.Bytes(2, 70000)
	for _, kind := range faults.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			opt := options(t)
			opt.Sleep, opt.Tries = hurried, 30
			proxy := behind(t, &opt, 7, 0, kind)
			s := open(t, opt)
			proxy.Set(0.33)
			for i := range 10 {
				key := fmt.Sprintf("small/%d", i)
				if err := store.PutBytes(ctx, s, key, small[i:]); err != nil {
					t.Fatal(err)
				}
				if got, err := store.ReadAll(ctx, s, key, 1<<20); err != nil || !bytes.Equal(got, small[i:]) {
					t.Fatalf("%s: %d bytes, %v", key, len(got), err)
				}
				release, err := s.Lock(ctx, "job")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.Lock(ctx, "job"); !errors.Is(err, store.ErrLocked) {
					t.Fatalf("a second lock: %v", err)
				}
				if err := release(); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 3 {
				if err := store.PutBytes(ctx, s, "large", large[i:]); err != nil {
					t.Fatal(err)
				}
				var again atomic.Int64
				if err := readBack(s, "large", large[i:], &again); err != nil {
					t.Fatal(err)
				}
				if again.Load() > 0 && kind != faults.Corrupted {
					t.Errorf("reading had to be begun again %d times", again.Load())
				}
			}
			for range 5 {
				keys, err := s.List(ctx, "small/")
				if err != nil || len(keys) != 10 {
					t.Fatalf("listed %d, %v", len(keys), err)
				}
			}
			if _, counts := proxy.Counts(); counts[kind] == 0 {
				t.Errorf("the fault did not happen: %s", proxy)
			}
			t.Log(proxy)
		})
	}
}

// handled puts a handler before the server that may answer itself.
func handled(t *testing.T, opt *s3.Options, handle func(w http.ResponseWriter, r *http.Request, pass http.Handler)) {
	t.Helper()
	at, err := url.Parse(opt.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(at)
		r.Out.Host = r.In.Host
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, pass) }))
	t.Cleanup(front.Close)
	opt.Endpoint = front.URL
}

// cutting cuts the first answers to reads of an object after n bytes, and calls then.
func cutting(cuts *atomic.Int64, n int, then func()) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "/key") || cuts.Add(-1) < 0 {
			pass.ServeHTTP(w, r)
			return
		}
		pass.ServeHTTP(&limited{ResponseWriter: w, left: n}, r)
		then()
		panic(http.ErrAbortHandler)
	}
}

// limited passes on so many bytes of a body.
type limited struct {
	http.ResponseWriter
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(l.left, len(p))
	l.left -= n
	_, err := l.ResponseWriter.Write(p[:n])
	_ = http.NewResponseController(l.ResponseWriter).Flush()
	return len(p), err
}

// TestCutReadsGoOn: a reader asks for the rest, and of that object only.
func TestCutReadsGoOn(t *testing.T) {
	data, other := storetest.Bytes(1, 3<<20), storetest.Bytes(2, 3<<20)
	for _, replaced := range []bool{false, true} {
		opt := options(t)
		direct := open(t, opt)
		var cuts atomic.Int64
		handled(t, &opt, cutting(&cuts, 1<<20, func() {
			if replaced {
				if err := store.PutBytes(ctx, direct, "key", other); err != nil {
					t.Error(err)
				}
			}
		}))
		opt.Sleep = hurried
		s := open(t, opt)
		if err := store.PutBytes(ctx, s, "key", data); err != nil {
			t.Fatal(err)
		}
		cuts.Store(3)
		r, err := s.Open(ctx, "key")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		switch {
		case replaced && (err == nil || !strings.Contains(err.Error(), "replaced") || !bytes.Equal(got, data[:len(got)])):
			t.Errorf("of an object that was replaced: %d bytes, %v", len(got), err)
		case !replaced && (err != nil || !bytes.Equal(got, data)):
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		r.Close()
	}
}

// TestStall: a connection on which nothing happens any more is cut and replaced.
func TestStall(t *testing.T) {
	data := storetest.Bytes(1, 3<<20)
	opt := options(t)
	var cuts atomic.Int64
	end := make(chan struct{})
	handled(t, &opt, cutting(&cuts, 1<<20, func() { <-end }))
	opt.Stall, opt.Sleep = 300*time.Millisecond, hurried
	s := open(t, opt)
	if err := store.PutBytes(ctx, s, "key", data); err != nil {
		t.Fatal(err)
	}
	cuts.Store(2)
	began := time.Now()
	got, err := store.ReadAll(ctx, s, "key", 1<<30)
	close(end)
	if err != nil || !bytes.Equal(got, data) || time.Since(began) > 10*time.Second {
		t.Errorf("got %d bytes after %s, %v", len(got), time.Since(began), err)
	}
}

// TestRetriesWait: waits grow, are random, and end with the context; what cannot pass is not repeated.
func TestRetriesWait(t *testing.T) {
	opt := options(t)
	var status, requests atomic.Int64
	handled(t, &opt, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if status.Load() == 0 {
			pass.ServeHTTP(w, r)
			return
		}
		requests.Add(1)
		w.WriteHeader(int(status.Load()))
	})
	var waits []time.Duration
	opt.Random = func() float64 { return 0.5 }
	opt.Sleep = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	s := open(t, opt)
	status.Store(503)
	err := store.PutBytes(ctx, s, "key", []byte("x"))
	ms := time.Millisecond
	want := []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 10000 * ms}
	if err == nil || !slices.Equal(waits, want) || requests.Load() != 10 {
		t.Errorf("waited %v in %d requests: %v", waits, requests.Load(), err)
	}
	for _, final := range []int64{400, 403, 404, 405, 501, 507} {
		requests.Store(0)
		status.Store(final)
		err := store.PutBytes(ctx, s, "key", []byte("x"))
		if err == nil || requests.Load() != 1 {
			t.Errorf("%d was tried %d times: %v", final, requests.Load(), err)
		}
		if errors.Is(err, store.ErrFull) != (final == 507) {
			t.Errorf("%d: %v", final, err)
		}
	}
	opt.Sleep = nil
	s = func() *s3.Store { status.Store(0); return open(t, opt) }()
	status.Store(503)
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := s.Open(short, "key"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

// TestNoServer: an address where nobody listens, and a name that nobody has.
func TestNoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	opt := s3.Options{Bucket: "bucket", Endpoint: "http://" + l.Addr().String(), Tries: 3, Sleep: hurried}
	if _, err := s3.Open(ctx, opt); err == nil || !strings.Contains(err.Error(), "given up after 3 tries") {
		t.Errorf("got %v", err)
	}
}
