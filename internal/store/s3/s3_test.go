package s3_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/faults"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
	"github.com/filigrane/filigrane/internal/store/storetest"
)

var (
	ctx = context.Background()
	// shared is the server of all tests that need no other.
	shared    *s3test.Server
	sharedErr error
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	folder, err := os.MkdirTemp("", "s3-test-")
	if err != nil {
		panic(err)
	}
	var stop func()
	shared, stop, sharedErr = s3test.Run(folder, s3test.Config{})
	code := m.Run()
	if stop != nil {
		stop()
	}
	os.RemoveAll(folder)
	os.Exit(code)
}

// server gives the shared server.
func server(t testing.TB) *s3test.Server {
	t.Helper()
	if errors.Is(sharedErr, exec.ErrNotFound) && os.Getenv("FILIGRANE_NEED_TOOLS") != "1" {
		t.Skip(sharedErr)
	}
	if sharedErr != nil {
		t.Fatal(sharedErr)
	}
	return shared
}

// options opens an empty bucket with small parts.
func options(t testing.TB) s3.Options {
	opt := server(t).Bucket(t)
	opt.PartSize = 5 << 20
	return opt
}

// hurried waits a twentieth of the time.
func hurried(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d / 20):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func open(t testing.TB, opt s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.Open(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// behind puts a fault proxy before the server.
func behind(t testing.TB, opt *s3.Options, seed uint64, rate float64, kinds ...faults.Kind) *faults.Proxy {
	t.Helper()
	p, err := faults.New(opt.Endpoint, seed, rate, kinds...)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	opt.Endpoint = front.URL
	return p
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (store.Store, func() store.Store) {
		opt := options(t)
		opt.Prefix = "some/prefix"
		return open(t, opt), func() store.Store { return open(t, opt) }
	})
}

func TestBucketConformance(t *testing.T) {
	storetest.RunBucket(t, func(t *testing.T) (string, store.Bucket) {
		opt := options(t)
		opt.Sleep = hurried
		b, err := s3.OpenBucket(ctx, opt)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return filepath.Join(server(t).Folder, opt.Bucket), b
	})
}

// TestConformanceUnderFaults: every promise holds when one request in twenty suffers. Listings that are late are left out:
// that a server lists what is there is its promise, not the driver's.
func TestConformanceUnderFaults(t *testing.T) {
	kinds := []faults.Kind{}
	for _, k := range faults.Kinds {
		if k != faults.Stale {
			kinds = append(kinds, k)
		}
	}
	seed := uint64(0)
	storetest.Run(t, func(t *testing.T) (store.Store, func() store.Store) {
		seed++
		opt := options(t)
		opt.Sleep = hurried
		p := behind(t, &opt, seed, 0.05, kinds...)
		t.Cleanup(func() { t.Log(fmt.Sprintf("seed %d: ", seed), p) })
		return open(t, opt), func() store.Store { return open(t, opt) }
	})
}
