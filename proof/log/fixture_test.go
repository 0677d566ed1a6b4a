package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	merkletest "github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/proof/tlogproof"
)

const origin = "bank.example/log"

var ctx = context.Background()

// newKey makes a key pair that is the same in every run.
func newKey(t testing.TB, name string, seed byte) (note.Signer, string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(io.LimitReader(rand.NewChaCha8([32]byte{seed}), 1<<10), name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return s, vkey
}

func newPolicy(t testing.TB, vkey string) *tlogproof.Policy {
	t.Helper()
	p, err := tlogproof.NewPolicy(strings.SplitN(vkey, "+", 2)[0], []string{vkey}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func folderStore(t testing.TB) *dir.Store {
	t.Helper()
	s, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// witness of the test: it writes down every checkpoint that the log's key ever signs, whether it gets out or not.
type recorder struct {
	note.Signer
	file string
}

func (r recorder) Sign(msg []byte) ([]byte, error) {
	f, err := os.OpenFile(r.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, "%q\n", msg)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return r.Signer.Sign(msg)
}

// oneHistory checks that the log at c contains every tree that was ever signed, and its files all that c says.
func oneHistory(t testing.TB, st store.Store, p *tlogproof.Policy, c tlogproof.Checkpoint, signed string) {
	t.Helper()
	r := NewReader(FromBucket(st), p)
	if _, err := r.Verify(ctx, c); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	trees := 0
	for line := range strings.Lines(string(text)) {
		var msg string
		if _, err := fmt.Sscanf(line, "%q", &msg); err != nil {
			t.Fatal(err)
		}
		old, err := tlogproof.ParseUnverified(msg + "\n— x AAAAAAAA\n")
		if err != nil {
			continue // a journal
		}
		trees++
		root, hashes, err := r.TreeProof(ctx, c, old.Size)
		if err == nil {
			err = tlogproof.CheckConsistency(old.Size, old.Root, c.Size, c.Root, hashes)
		}
		if err != nil || root != old.Root {
			t.Fatalf("%s was signed, and the log is now at %s: %v", old, c, err)
		}
	}
	if trees == 0 {
		t.Fatal("nothing was signed")
	}
}

// entries makes n different entries.
func entries(text string, n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = fmt.Appendf(nil, "%s %d", text, i)
	}
	return list
}

func newWriter(t testing.TB, st store.Store, s note.Signer, p *tlogproof.Policy) *Writer {
	t.Helper()
	if err := Create(ctx, st, s, p); err != nil {
		t.Fatal(err)
	}
	return open(t, st, s, p)
}

func open(t testing.TB, st store.Store, s note.Signer, p *tlogproof.Policy, seen ...tlogproof.Checkpoint) *Writer {
	t.Helper()
	w, err := Open(ctx, st, s, p, seen...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func add(t testing.TB, w *Writer, list ...[]byte) tlogproof.Checkpoint {
	t.Helper()
	_, c, err := w.Append(ctx, list...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newLog makes a log of n entries in a folder.
func newLog(t testing.TB, text string, n int) (*dir.Store, *tlogproof.Policy, tlogproof.Checkpoint) {
	t.Helper()
	s, vkey := newKey(t, origin, 1)
	st, p := folderStore(t), newPolicy(t, vkey)
	w := newWriter(t, st, s, p)
	c := add(t, w, entries(text, n)...)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return st, p, c
}

// oracleRoot is the root that merkle's tree has.
func oracleRoot(list [][]byte) tlog.Hash {
	tree := merkletest.New(rfc6962.DefaultHasher)
	tree.AppendData(list...)
	return tlog.Hash(tree.Hash())
}

func copyFolder(t testing.TB, st *dir.Store) *dir.Store {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(st.String())); err != nil {
		t.Fatal(err)
	}
	s, err := dir.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// trip is a store in which one operation goes wrong.
type trip struct {
	store.Store
	at   int // which operation, from 1; 0 for none
	how  fault
	stop func() // instead of an error, if set: ends the process

	mu      sync.Mutex
	n       int
	dead    bool
	late    []func() error // what was not done in time
	release func() error   // of the lock
}

type fault string

const (
	notDone   fault = "error, not done"
	done      fault = "error, but done"
	doneLate  fault = "error, done after all later" // puts alone; what a slow bucket does
	diesFirst fault = "process ends before"
	diesAfter fault = "process ends after"
)

var errTrip = errors.New("the store fails")

// do runs an operation, or does the fault.
func (s *trip) do(put bool, f func() error) error {
	s.mu.Lock()
	s.n++
	hit, dead := s.n == s.at, s.dead
	if hit && (s.how == diesFirst || s.how == diesAfter) {
		s.dead = true
	}
	s.mu.Unlock()
	switch {
	case dead && s.stop != nil:
		select {} // until the process has ended
	case dead:
		return errTrip
	case !hit:
		return f()
	}
	switch s.how {
	case done, diesAfter:
		if err := f(); err != nil {
			return err
		}
	case doneLate:
		if put {
			s.late = append(s.late, f)
		}
	}
	if s.stop != nil {
		s.stop()
	}
	return errTrip
}

func (s *trip) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	late := context.WithoutCancel(ctx)
	return s.do(true, func() error { return s.Store.Put(late, key, write) })
}

func (s *trip) Open(ctx context.Context, key string) (r io.ReadCloser, err error) {
	err = s.do(false, func() error { r, err = s.Store.Open(ctx, key); return err })
	if err != nil && r != nil {
		r.Close()
	}
	return r, err
}

func (s *trip) List(ctx context.Context, prefix string) (keys []string, err error) {
	err = s.do(false, func() error { keys, err = s.Store.List(ctx, prefix); return err })
	return keys, err
}

func (s *trip) Delete(ctx context.Context, key string) error {
	return s.do(false, func() error { return s.Store.Delete(ctx, key) })
}

func (s *trip) Lock(ctx context.Context, name string) (release func() error, err error) {
	err = s.do(false, func() error { s.release, err = s.Store.Lock(ctx, name); return err })
	if err != nil {
		if s.release != nil && !s.dead {
			_ = s.release()
		}
		return nil, err
	}
	return func() error { return s.do(false, s.release) }, nil
}

func sameBytes(t testing.TB, name string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want other %d", name, len(got), len(want))
	}
}
