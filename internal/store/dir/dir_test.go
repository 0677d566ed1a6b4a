//go:build unix

package dir

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/storetest"
)

func open(t *testing.T, folder string) *Store {
	t.Helper()
	s, err := Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (store.Store, func() store.Store) {
		folder := filepath.Join(t.TempDir(), "a", "b")
		return open(t, folder), func() store.Store { return open(t, folder) }
	})
}

// TestLeftoversAreSwept: a killed writer's temporary file goes with the next lock, a living writer's stays.
func TestLeftoversAreSwept(t *testing.T) {
	folder := t.TempDir()
	s := open(t, folder)
	ctx := context.Background()
	err := s.Put(ctx, "key", func(w io.Writer) error {
		stale := filepath.Join(folder, private, temporaryPrefix+"stale")
		if err := os.WriteFile(stale, []byte("left"), 0o666); err != nil {
			return err
		}
		release, err := s.Lock(ctx, "job")
		if err != nil {
			return err
		}
		defer release()
		if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the stale file is still there: %v", err)
		}
		_, err = w.Write([]byte("whole"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := store.ReadAll(ctx, s, "key", 10); err != nil || string(got) != "whole" {
		t.Fatalf("got %q, %v", got, err)
	}
	release, err := s.Lock(ctx, "job")
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Fatalf("besides the object there is left: %v, %v", entries, err)
	}
}

// TestFullDiskIsNamed: what the system says about a full disk or quota becomes store.ErrFull. /dev/full gives the
// real error where there is one.
func TestFullDiskIsNamed(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		s := open(t, t.TempDir())
		err := s.Put(context.Background(), "key", func(io.Writer) error { return &os.PathError{Op: "write", Path: "x", Err: cause} })
		if !errors.Is(err, store.ErrFull) || !errors.Is(err, cause) {
			t.Errorf("got %v, want ErrFull", err)
		}
	}
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full")
	}
	defer f.Close()
	if _, err := f.Write([]byte("x")); !isFull(err) {
		t.Errorf("/dev/full: %v", err)
	}
}

// TestLinksDoNotLeadOut: a symbolic link in the folder does not open files outside.
func TestLinksDoNotLeadOut(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(folder, "link")); err != nil {
		t.Skip(err)
	}
	s := open(t, folder)
	if r, err := s.Open(context.Background(), "link"); err == nil {
		r.Close()
		t.Fatal("the link was followed")
	}
}
