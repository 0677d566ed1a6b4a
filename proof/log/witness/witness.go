// Package witness watches transparency logs of others: it cosigns a checkpoint if the log at that checkpoint contains all
// that the log had at the last one, and keeps the proof if a log signs two histories.
//
// A witness is run by somebody who is not the log's operator: the other side, a rights organisation, a competitor. It needs
// the log's public key and either a way to the log's files (Pull; a copy on a disk will do) or an address to which the
// operator sends checkpoints (Handler, which speaks c2sp.org/tlog-witness, so that any log of that kind can use it, and
// Client, so that our logs can use any witness of that kind). It reads no entries and judges none.
//
// # What is kept
//
// In a store, for each log under the hexadecimal SHA-256 of its origin:
//
//	<log>/checkpoint           the last checkpoint that was cosigned, with the cosignature
//	<log>/forks/<id>.json      proof that the log has signed two histories (tlogproof.Fork)
//	<log>/suspects/<id>.json   a checkpoint the log has signed that came without a valid proof: both checkpoints and the hashes
//	                           that were sent. It may be a fork, or a sender's mistake; with the log's files Pull tells.
//
// # Promises
//
// Durable: a checkpoint is in the store before its cosignature is given out, and a fork before it is reported.
//
// Concurrency: goroutines wait for each other, other processes on the same store get store.ErrLocked.
//
// May run twice: the same checkpoint is cosigned again, at the new time.
//
// Trust: whoever can write to the store can make the witness forget, and then cosign another history. A witness that has
// lost its store must get a new key. After a fork the witness goes on with the history it saw first, to which all its
// cosignatures belong; who trusts the log in spite of the kept proof decides that himself.
package witness

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/proof/log"
	"github.com/filigrane/filigrane/proof/tlogproof"
)

// Errors of Add, besides tlogproof.ErrForm, ErrSignature (not signed by the log), ErrProof (not consistent with
// the last checkpoint) and *log.ForkError (shown to be inconsistent; the proof is kept).
var (
	ErrUnknownLog = errors.New("witness: this witness does not watch the log")
	ErrOldSize    = errors.New("witness: the old size is above the checkpoint's")
	// ErrOlder comes from Pull: the files are older than what was cosigned. A copy may lag behind; a log may not go back.
	ErrOlder = errors.New("witness: the log has fewer entries than it had")
)

// ConflictError says that a proof has to start from another size.
type ConflictError struct{ Size int64 }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("witness: the last cosigned checkpoint has %d entries; send the proof from there", e.Size)
}

// maxSuspects is how many suspects of one log are kept: everybody can send some, with a checkpoint of the log's and nonsense.
const maxSuspects = 100

// Witness is one witness, for several logs.
type Witness struct {
	st   store.Store
	key  *tlogproof.Cosigner
	logs map[string]*tlogproof.Policy
	mu   sync.Mutex
}

// New makes a witness that keeps what it saw in st and signs with key. Of each policy the origin and the log's keys are
// used. Two policies for one origin are an error.
func New(st store.Store, key *tlogproof.Cosigner, logs ...*tlogproof.Policy) (*Witness, error) {
	w := &Witness{st: st, key: key, logs: map[string]*tlogproof.Policy{}}
	for _, p := range logs {
		if w.logs[p.Origin()] != nil {
			return nil, fmt.Errorf("witness: the log %s is given twice", p.Origin())
		}
		w.logs[p.Origin()] = p
	}
	return w, nil
}

// Request asks for a cosignature.
type Request struct {
	OldSize    int64       // of the last checkpoint that the witness has cosigned
	Hashes     []tlog.Hash // consistency proof from there; none from 0 and for the same checkpoint
	Checkpoint string      // signed note
}

// folder is where a log's files are.
func folder(origin string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(origin))) }

// Latest gives the last checkpoint of a log that was cosigned, as it was kept; one of size 0 without a Note if there is none.
func (w *Witness) Latest(ctx context.Context, origin string) (tlogproof.Checkpoint, error) {
	p := w.logs[origin]
	if p == nil {
		return tlogproof.Checkpoint{}, fmt.Errorf("%w: %.200q", ErrUnknownLog, origin)
	}
	text, err := store.ReadAll(ctx, w.st, folder(origin)+"/checkpoint", 2*tlogproof.MaxCheckpointBytes)
	if errors.Is(err, store.ErrNotFound) {
		empty, err := tlog.TreeHash(0, nil)
		return tlogproof.Checkpoint{Origin: origin, Root: empty}, err
	}
	if err != nil {
		return tlogproof.Checkpoint{}, err
	}
	return p.OpenLog(string(text))
}

// Add verifies a request and gives the cosignature, a line with its newline, made at now. The order of the checks, and with it
// which error comes first, is that of c2sp.org/tlog-witness; a fork that shows is kept whatever else is wrong.
func (w *Witness) Add(ctx context.Context, now time.Time, r Request) (string, error) {
	c, err := tlogproof.ParseUnverified(r.Checkpoint)
	if err != nil {
		return "", err
	}
	p := w.logs[c.Origin]
	if p == nil {
		return "", fmt.Errorf("%w: %.200q", ErrUnknownLog, c.Origin)
	}
	if c, err = p.OpenLog(r.Checkpoint); err != nil {
		return "", err
	}
	// Without the signatures of strangers, which anybody could add.
	if c, err = p.Merge(c, ""); err != nil {
		return "", err
	}
	if r.OldSize > c.Size {
		return "", fmt.Errorf("%w: %d, %d", ErrOldSize, r.OldSize, c.Size)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	release, err := w.st.Lock(ctx, folder(c.Origin))
	if err != nil {
		return "", err
	}
	line, err := w.add(ctx, now, c, r)
	if rerr := release(); err == nil && rerr != nil {
		return "", rerr
	}
	return line, err
}

// add looks and writes under the lock.
func (w *Witness) add(ctx context.Context, now time.Time, c tlogproof.Checkpoint, r Request) (string, error) {
	latest, err := w.Latest(ctx, c.Origin)
	if err != nil {
		return "", err
	}
	if latest.Size == c.Size {
		if f, ok := tlogproof.FindFork(latest, c, nil); ok {
			return "", w.keepFork(ctx, c.Origin, f)
		}
	}
	if r.OldSize != latest.Size {
		return "", &ConflictError{latest.Size}
	}
	if err := tlogproof.CheckConsistency(latest.Size, latest.Root, c.Size, c.Root, r.Hashes); err != nil {
		if f, ok := tlogproof.FindFork(latest, c, r.Hashes); ok {
			return "", w.keepFork(ctx, c.Origin, f)
		}
		return "", errors.Join(err, w.keepSuspect(ctx, latest, c, r.Hashes))
	}
	line := w.key.Cosign(c, now.Unix())
	if err := store.PutBytes(ctx, w.st, folder(c.Origin)+"/checkpoint", []byte(c.Note+line)); err != nil {
		return "", err
	}
	return line, nil
}

// keepFork keeps a proof, under a name of the two trees, and returns the error that carries it.
func (w *Witness) keepFork(ctx context.Context, origin string, f tlogproof.Fork) error {
	first, second, err := f.Verify(w.logs[origin])
	if err != nil {
		return err
	}
	key := folder(origin) + "/forks/" + pairName(first, second) + ".json"
	if err := store.PutBytes(ctx, w.st, key, f.Marshal()); err != nil {
		return errors.Join(&log.ForkError{Fork: f}, err)
	}
	return &log.ForkError{Fork: f}
}

// suspect is what is kept when a proof failed and showed nothing.
type suspect struct {
	First  string      `json:"first"`
	Hashes []tlog.Hash `json:"hashes"`
	Second string      `json:"second"`
}

func (w *Witness) keepSuspect(ctx context.Context, first, second tlogproof.Checkpoint, hashes []tlog.Hash) error {
	prefix := folder(first.Origin) + "/suspects/"
	keys, err := w.st.List(ctx, prefix)
	if err != nil || len(keys) >= maxSuspects {
		return err
	}
	text, err := json.Marshal(suspect{first.Note, hashes, second.Note})
	if err != nil {
		return err
	}
	return store.PutBytes(ctx, w.st, prefix+pairName(first, second)+".json", text)
}

func pairName(a, b tlogproof.Checkpoint) string {
	sum := sha256.Sum256([]byte(tlogproof.Body(a.Origin, a.Size, a.Root) + tlogproof.Body(b.Origin, b.Size, b.Root)))
	return fmt.Sprintf("%x", sum)
}

// Forks gives the kept proofs that a log has signed two histories; all are verified again.
func (w *Witness) Forks(ctx context.Context, origin string) ([]tlogproof.Fork, error) {
	p := w.logs[origin]
	if p == nil {
		return nil, fmt.Errorf("%w: %.200q", ErrUnknownLog, origin)
	}
	keys, err := w.st.List(ctx, folder(origin)+"/forks/")
	if err != nil {
		return nil, err
	}
	var forks []tlogproof.Fork
	for _, key := range keys {
		text, err := store.ReadAll(ctx, w.st, key, 8*tlogproof.MaxCheckpointBytes)
		if err != nil {
			return nil, err
		}
		f, err := tlogproof.ParseFork(text)
		if err == nil {
			_, _, err = f.Verify(p)
		}
		if err != nil {
			return nil, fmt.Errorf("witness: %s: %w", key, err)
		}
		forks = append(forks, f)
	}
	return forks, nil
}

// Pull reads the newest checkpoint of a log and the proof from the last one out of the log's files, wherever they lie, and
// cosigns. It returns the checkpoint with the cosignature added to its Note. Having the files it can always tell a fork from a
// mistake. Errors: those of Add, ErrOlder, those of the files.
func (w *Witness) Pull(ctx context.Context, now time.Time, r *log.Reader) (tlogproof.Checkpoint, error) {
	c, err := r.LogCheckpoint(ctx)
	if err != nil {
		return tlogproof.Checkpoint{}, err
	}
	latest, err := w.Latest(ctx, c.Origin)
	if err != nil {
		return tlogproof.Checkpoint{}, err
	}
	if c.Size < latest.Size {
		return tlogproof.Checkpoint{}, fmt.Errorf("%w: %d, and %d were cosigned: an old copy, or the log was rolled back", ErrOlder, c.Size, latest.Size)
	}
	root, hashes, err := r.TreeProof(ctx, c, latest.Size)
	if err != nil {
		return tlogproof.Checkpoint{}, err
	}
	if latest.Size > 0 && root != latest.Root {
		return tlogproof.Checkpoint{}, w.keepFork(ctx, c.Origin, tlogproof.Fork{First: latest.Note, Hashes: hashes, Root: root, Second: c.Note})
	}
	line, err := w.Add(ctx, now, Request{latest.Size, hashes, c.Note})
	if err != nil {
		return tlogproof.Checkpoint{}, err
	}
	c.Note += line
	return c, nil
}
