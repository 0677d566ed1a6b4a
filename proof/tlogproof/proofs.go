package tlogproof

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/proof"
	merkleproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"
)

// maxProofBytes is the longest JSON text of a proof that is read: two checkpoints and maxHashes hashes.
const maxProofBytes = 2*2*MaxCheckpointBytes + maxHashes*50 + 1000

// Inclusion shows that an entry stands at an index of the tree of a checkpoint. Fields are in the order of the JSON keys.
type Inclusion struct {
	Checkpoint string      `json:"checkpoint"` // signed note, with its cosignatures
	Hashes     []tlog.Hash `json:"hashes"`     // from the leaf's sibling up to the root's child, RFC 6962 2.1.1
	Index      int64       `json:"index"`      // of the entry, from 0
	Size       int64       `json:"size"`       // entries in the tree, as in the checkpoint
}

// Verify checks that the entry is in the log at Index, under a checkpoint that satisfies the policy, which is returned.
// Errors: those of Policy.Open; ErrForm if Size is not the checkpoint's; ErrProof.
func (i Inclusion) Verify(p *Policy, entry []byte) (Checkpoint, error) {
	c, err := p.Open(i.Checkpoint)
	if err != nil {
		return Checkpoint{}, err
	}
	if i.Size != c.Size {
		return Checkpoint{}, fmt.Errorf("%w: the proof is for %d entries, its checkpoint for %d", ErrForm, i.Size, c.Size)
	}
	if len(i.Hashes) > maxHashes {
		return Checkpoint{}, fmt.Errorf("%w: %d hashes, no tree needs more than %d", ErrForm, len(i.Hashes), maxHashes)
	}
	if err := tlog.CheckRecord(i.Hashes, c.Size, c.Root, i.Index, tlog.RecordHash(entry)); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: the entry is not at index %d of the %s: it was changed, or the proof belongs to another", ErrProof, i.Index, c)
	}
	return c, nil
}

// Marshal gives the one JSON text of the proof.
func (i Inclusion) Marshal() []byte {
	i.Hashes = append([]tlog.Hash{}, i.Hashes...) // no hashes are [], never null
	return marshal(i)
}

// ParseInclusion reads what Marshal writes, and nothing else. Errors: ErrForm.
func ParseInclusion(text []byte) (Inclusion, error) { return parse[Inclusion](text) }

// C2SP gives the proof in the format of c2sp.org/tlog-proof, for programs of others (file name ending .tlog-proof).
func (i Inclusion) C2SP() []byte {
	t := proof.TLogProof{Index: uint64(i.Index), Checkpoint: []byte(i.Checkpoint)}
	for _, h := range i.Hashes {
		t.Hashes = append(t.Hashes, h)
	}
	return t.Marshal()
}

// Consistency shows that the tree of one checkpoint begins with the tree of an earlier one of the same log: nothing was
// taken away or changed between them. Fields are in the order of the JSON keys.
type Consistency struct {
	Hashes []tlog.Hash `json:"hashes"` // RFC 6962 2.1.2; none if one of the trees is empty or both are the same
	New    string      `json:"new"`    // signed note
	Old    string      `json:"old"`    // signed note
}

// Verify checks both checkpoints and the proof between them and returns them. The later one must satisfy the policy; the
// earlier one must be signed by the log. Errors: those of Policy.Open, ErrProof.
func (c Consistency) Verify(p *Policy) (old, latest Checkpoint, err error) {
	if latest, err = p.Open(c.New); err != nil {
		return Checkpoint{}, Checkpoint{}, fmt.Errorf("the later checkpoint: %w", err)
	}
	if old, err = p.OpenLog(c.Old); err != nil {
		return Checkpoint{}, Checkpoint{}, fmt.Errorf("the earlier checkpoint: %w", err)
	}
	if err := CheckConsistency(old.Size, old.Root, latest.Size, latest.Root, c.Hashes); err != nil {
		return Checkpoint{}, Checkpoint{}, err
	}
	return old, latest, nil
}

// Marshal gives the one JSON text of the proof.
func (c Consistency) Marshal() []byte {
	c.Hashes = append([]tlog.Hash{}, c.Hashes...) // no hashes are [], never null
	return marshal(c)
}

// ParseConsistency reads what Marshal writes, and nothing else. Errors: ErrForm.
func ParseConsistency(text []byte) (Consistency, error) { return parse[Consistency](text) }

// CheckConsistency checks that the tree of size entries and root begins with that of oldSize entries and oldRoot. The proof
// is empty if oldSize is 0 or both sizes are equal. Errors: ErrForm for a proof too long, ErrProof.
func CheckConsistency(oldSize int64, oldRoot tlog.Hash, size int64, root tlog.Hash, hashes []tlog.Hash) error {
	empty, _ := tlog.TreeHash(0, nil)
	switch {
	case len(hashes) > maxHashes:
		return fmt.Errorf("%w: %d hashes, no tree needs more than %d", ErrForm, len(hashes), maxHashes)
	case oldSize > size:
		return fmt.Errorf("%w: the tree has %d entries, fewer than the %d it had before: it was rolled back", ErrProof, size, oldSize)
	case oldSize < 0 || size < 0 || size > MaxSize:
		return fmt.Errorf("%w: sizes %d and %d", ErrForm, oldSize, size)
	case oldSize == 0 && (oldRoot != empty || len(hashes) > 0 || size == 0 && root != empty):
		return fmt.Errorf("%w: from the empty tree", ErrProof)
	case oldSize > 0 && tlog.CheckTree(hashes, size, root, oldSize, oldRoot) != nil:
		return fmt.Errorf("%w: the tree of %d entries does not begin with that of %d", ErrProof, size, oldSize)
	}
	return nil
}

// Fork shows that a log has signed two histories: the tree of the later checkpoint has, at the size of the earlier one,
// another root. Both signatures are the log's own, so nobody else can make one. Fields are in the order of the JSON keys.
type Fork struct {
	First  string      `json:"first"`  // signed note of the smaller tree, or of either if they are of one size
	Hashes []tlog.Hash `json:"hashes"` // that Second's tree begins with that of Root
	Root   tlog.Hash   `json:"root"`   // of Second's tree at the size of First
	Second string      `json:"second"` // signed note
}

// Verify checks the evidence and returns the two checkpoints. Whoever calls it knows then that the log has equivocated; with
// an error nothing is known. Errors: those of Policy.OpenLog, ErrProof.
func (f Fork) Verify(p *Policy) (first, second Checkpoint, err error) {
	if first, err = p.OpenLog(f.First); err != nil {
		return Checkpoint{}, Checkpoint{}, fmt.Errorf("the first checkpoint: %w", err)
	}
	if second, err = p.OpenLog(f.Second); err != nil {
		return Checkpoint{}, Checkpoint{}, fmt.Errorf("the second checkpoint: %w", err)
	}
	if first.Root == f.Root || first.Size == 0 {
		return Checkpoint{}, Checkpoint{}, fmt.Errorf("%w: the two checkpoints are of one history", ErrProof)
	}
	if err := CheckConsistency(first.Size, f.Root, second.Size, second.Root, f.Hashes); err != nil {
		return Checkpoint{}, Checkpoint{}, err
	}
	return first, second, nil
}

// Marshal gives the one JSON text of the proof.
func (f Fork) Marshal() []byte {
	f.Hashes = append([]tlog.Hash{}, f.Hashes...) // no hashes are [], never null
	return marshal(f)
}

// ParseFork reads what Marshal writes, and nothing else. Errors: ErrForm.
func ParseFork(text []byte) (Fork, error) { return parse[Fork](text) }

// FindFork looks for a fork in what a log offered: two verified checkpoints, the first of no more entries than the second,
// and hashes that were said to show their consistency and do not. If the two are of one size, or the hashes do show what the
// second tree had at the first one's size, the fork is proven. If not, someone may just have sent nonsense: ok is false.
// (From a size that is a power of two the hashes never show it: RFC 6962 leaves that root out, because the verifier has it.)
func FindFork(first, second Checkpoint, hashes []tlog.Hash) (f Fork, ok bool) {
	if first.Origin != second.Origin || first.Size > second.Size || first.Size == 0 || first.Same(second) || len(hashes) > maxHashes {
		return Fork{}, false
	}
	f = Fork{First: first.Note, Root: second.Root, Second: second.Note, Hashes: []tlog.Hash{}}
	if first.Size == second.Size {
		return f, true
	}
	list := make([][]byte, len(hashes))
	for i := range hashes {
		list[i] = hashes[i][:]
	}
	// merkle's verifier names the root at the earlier size that the hashes lead to.
	err := merkleproof.VerifyConsistency(rfc6962.DefaultHasher, uint64(first.Size), uint64(second.Size), list, first.Root[:], second.Root[:])
	var other merkleproof.RootMismatchError
	if !errors.As(err, &other) || len(other.CalculatedRoot) != tlog.HashSize {
		return Fork{}, false
	}
	f.Root, f.Hashes = tlog.Hash(other.CalculatedRoot), hashes
	if f.Root == first.Root || CheckConsistency(first.Size, f.Root, second.Size, second.Root, hashes) != nil {
		return Fork{}, false
	}
	return f, true
}

// marshal writes JSON in the form of RFC 8785: the structs have their fields in the order of the keys, numbers are whole
// and below 2^53, and strings are escaped as JSON.stringify does it.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("tlogproof: " + err.Error()) // strings, numbers and hashes cannot fail
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	// encoding/json escapes two characters that RFC 8785 does not. A backslash that is itself escaped begins no escape.
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case bytes.HasPrefix(rest, []byte(`\u2028`)), bytes.HasPrefix(rest, []byte(`\u2029`)):
			out = append(out, 0xe2, 0x80, 0xa8+rest[5]-'8')
			i += 5
		case rest[0] == '\\':
			out = append(out, rest[:2]...)
			i++
		default:
			out = append(out, rest[0])
		}
	}
	return out
}

// parse reads JSON that Marshal would write again in the same bytes.
func parse[T interface {
	Inclusion | Consistency | Fork
	Marshal() []byte
}](text []byte) (T, error) {
	var v, none T
	if len(text) > maxProofBytes {
		return none, fmt.Errorf("%w: a proof of %d bytes, at most %d are read", ErrForm, len(text), maxProofBytes)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return none, fmt.Errorf("%w: no %T in JSON: %w", ErrForm, v, err)
	}
	if !bytes.Equal(v.Marshal(), text) {
		return none, fmt.Errorf("%w: this %T is not in the one form that RFC 8785 gives it: reordered, respaced, cut or extended", ErrForm, v)
	}
	return v, nil
}
