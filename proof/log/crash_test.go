package log

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
	"github.com/filigrane/filigrane/proof/tlogproof"
)

// A case of all crash tests: a log of crashBase entries gets crashBatch more, which ends a bundle and a tile and begins others,
// so that files are replaced, added and deleted.
const crashBase, crashBatch = 250, 10

// crash opens the log and appends, with operation at of the store going wrong (0: none).
func crash(s note.Signer, p *tlogproof.Policy, tr *trip) (*Writer, error) {
	w, err := Open(ctx, tr, s, p)
	if err != nil {
		return nil, err
	}
	_, _, err = w.Append(ctx, entries("batch", crashBatch)...)
	return w, err
}

// afterCrash checks what a crash left, adds something else, and checks that there is one history with everything in it.
func afterCrash(t *testing.T, st store.Store, s note.Signer, p *tlogproof.Policy, signed string, w *Writer) {
	t.Helper()
	r := NewReader(FromBucket(st), p)
	left, err := r.Checkpoint(ctx)
	if err != nil || left.Size != crashBase && left.Size != crashBase+crashBatch {
		t.Fatalf("left: %s, %v", left, err)
	}
	if _, err := r.Verify(ctx, left); err != nil {
		t.Fatalf("left: %v", err)
	}
	if w == nil {
		w = open(t, st, s, p)
	}
	// Another batch first, so that a difference in what is at an index would show; then the one that failed, again.
	other := add(t, w, entries("other", 3)...)
	at, c, err := w.Append(ctx, entries("batch", crashBatch)...)
	if err != nil || c.Size != crashBase+crashBatch+3 {
		t.Fatalf("%s, %v", c, err)
	}
	for i, n := range at {
		e, proof, err := r.Entry(ctx, c, n)
		if err != nil || string(e) != fmt.Sprintf("batch %d", i) {
			t.Fatalf("entry %d: %q, %v", n, e, err)
		}
		if _, err := proof.Verify(p, e); err != nil {
			t.Fatal(err)
		}
	}
	for _, old := range []tlogproof.Checkpoint{left, other} {
		if _, err := r.Consistency(ctx, old, c); err != nil {
			t.Fatal(err)
		}
	}
	oneHistory(t, st, p, c, signed)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// everyFault runs the crash at every operation, with every fault that a process outlives, on stores that fresh gives, which
// hold crashBase entries.
func everyFault(t *testing.T, s note.Signer, p *tlogproof.Policy, fresh func(t *testing.T) store.Store) {
	count := &trip{Store: fresh(t)}
	w, err := crash(s, p, count)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	ops := count.n
	t.Logf("%d operations of the store", ops)
	if ops < 12 {
		t.Fatal("fewer operations than an append with whole tiles needs")
	}
	for _, how := range []fault{notDone, done, doneLate} {
		for at := 1; at <= ops; at++ {
			t.Run(fmt.Sprintf("%s/%d", how, at), func(t *testing.T) {
				t.Parallel()
				st := fresh(t)
				signed := filepath.Join(t.TempDir(), "signed")
				rec := recorder{s, signed}
				tr := &trip{Store: st, at: at, how: how}
				w, err := crash(rec, p, tr)
				if err != nil && !errors.Is(err, errTrip) {
					t.Fatal(err)
				}
				if w == nil && tr.release != nil { // opening failed, and letting go of the lock may be what failed
					_ = tr.release()
				}
				if w != nil && err == nil && at == ops { // the fault hits closing
					if err := w.Close(); err == nil {
						t.Error("closing did not fail")
					}
					_ = tr.release()
					w = nil
				}
				afterCrash(t, st, rec, p, signed, w)
				for _, f := range tr.late {
					if err := f(); err != nil {
						t.Fatal(err)
					}
				}
				if len(tr.late) > 0 {
					c := add(t, open(t, st, rec, p), []byte("after what came late"))
					oneHistory(t, st, p, c, signed)
				}
			})
		}
	}
}

// TestEveryFaultInFolder: whatever operation of the store fails, is done and reported failed, or is done much later, the log
// stays readable, and goes on with one history.
func TestEveryFaultInFolder(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	p := newPolicy(t, vkey)
	base, _, _ := newLog(t, "entry", crashBase)
	everyFault(t, s, p, func(t *testing.T) store.Store { return copyFolder(t, base) })
}

// TestEveryFaultInBucket is the same in a bucket.
func TestEveryFaultInBucket(t *testing.T) {
	server := s3test.Start(t, s3test.Config{})
	s, vkey := newKey(t, origin, 1)
	p := newPolicy(t, vkey)
	base, _, _ := newLog(t, "entry", crashBase)
	opt := server.Bucket(t)
	everyFault(t, s, p, func(t *testing.T) store.Store { st, _ := bucketCopy(t, base, opt); return st })
}

// bucketCopy puts a log into a new prefix of a bucket.
func bucketCopy(t *testing.T, base *dir.Store, opt s3.Options) (*s3.Store, s3.Options) {
	t.Helper()
	opt.Prefix = fmt.Sprintf("copy-%d", copies.Add(1))
	st, err := s3.Open(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := base.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		data, err := store.ReadAll(ctx, base, key, 1<<20)
		if err == nil {
			err = store.PutBytes(ctx, st, key, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return st, opt
}

var copies atomic.Int64

// childEnv makes the test binary a process that appends, and kills itself.
const childEnv = "FILIGRANE_LOG_CHILD"

type childTask struct {
	Folder                   string // or
	Endpoint, Bucket, Prefix string
	Signed                   string
	At                       int
	How                      fault
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		fmt.Fprintln(os.Stderr, child(text))
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func (c childTask) store() (store.Store, error) {
	if c.Folder != "" {
		return dir.Open(c.Folder)
	}
	return s3.Open(ctx, s3.Options{Endpoint: c.Endpoint, Bucket: c.Bucket, Prefix: c.Prefix, Region: s3test.Region, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey,
		Lease: time.Second})
}

func child(text string) error {
	var task childTask
	if err := json.Unmarshal([]byte(text), &task); err != nil {
		return err
	}
	st, err := task.store()
	if err != nil {
		return err
	}
	t := &testing.T{} // for keys only
	s, vkey := newKey(t, origin, 1)
	stop := func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it has arrived
	}
	w, err := crash(recorder{s, task.Signed}, newPolicy(t, vkey), &trip{Store: st, at: task.At, how: task.How, stop: stop})
	if err != nil {
		return err
	}
	return w.Close()
}

// kill runs a child, and says whether it was killed.
func kill(t *testing.T, task childTask) bool {
	t.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the child: %v, %s", err, out)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return true
	}
	if string(out) != "<nil>\n" {
		t.Fatalf("the child ended by itself: %s", out)
	}
	return false
}

// TestKillInFolder: a process is killed before and after each of its operations.
func TestKillInFolder(t *testing.T) {
	s, vkey := newKey(t, origin, 1)
	p := newPolicy(t, vkey)
	base, _, _ := newLog(t, "entry", crashBase)
	kills := 0
	for _, how := range []fault{diesFirst, diesAfter} {
		for at := 1; ; at++ {
			st := copyFolder(t, base)
			signed := filepath.Join(t.TempDir(), "signed")
			if !kill(t, childTask{Folder: st.String(), Signed: signed, At: at, How: how}) {
				break
			}
			kills++
			afterCrash(t, st, recorder{s, signed}, p, signed, nil)
		}
	}
	if t.Logf("%d kills", kills); kills < 24 {
		t.Error("too few kills")
	}
}

// TestKillInBucket is the same in a bucket, where the next process has to wait until the lock of the killed one is over.
func TestKillInBucket(t *testing.T) {
	server := s3test.Start(t, s3test.Config{})
	s, vkey := newKey(t, origin, 1)
	p := newPolicy(t, vkey)
	base, _, _ := newLog(t, "entry", crashBase)
	opt := server.Bucket(t)
	opt.Lease = time.Second
	// All are killed first, so that the waits for their locks overlap.
	var checks []func()
	for at := 2; at <= 17; at++ { // the first is taking the lock, the last is letting go of it
		st, opt := bucketCopy(t, base, opt)
		signed := filepath.Join(t.TempDir(), "signed")
		how := []fault{diesFirst, diesAfter}[at%2]
		if !kill(t, childTask{Endpoint: opt.Endpoint, Bucket: opt.Bucket, Prefix: opt.Prefix, Signed: signed, At: at, How: how}) {
			t.Fatalf("the child was not killed at operation %d", at)
		}
		checks = append(checks, func() {
			for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
				w, err := Open(ctx, st, recorder{s, signed}, p)
				if err == nil {
					afterCrash(t, st, recorder{s, signed}, p, signed, w)
					return
				}
				if !errors.Is(err, store.ErrLocked) || time.Since(began) > 20*time.Second {
					t.Fatalf("after a kill at operation %d: %v", at, err)
				}
			}
		})
	}
	for _, check := range checks {
		check()
	}
}
