package tlogproof

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	cosignature "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	merkletest "github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

const origin = "bank.example/log"

// keys makes a key pair that is the same in every run.
func keys(t testing.TB, name string, seed uint64) (skey, vkey string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(io.LimitReader(rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}), 1<<10), name)
	if err != nil {
		t.Fatal(err)
	}
	return skey, vkey
}

// world is a log, signed by its key, and three witnesses. The tree is merkle's own: an oracle for ours.
type world struct {
	t         testing.TB
	signer    note.Signer
	logKey    string
	witnesses []*Cosigner
	tree      *merkletest.Tree
	entries   [][]byte
}

func newWorld(t testing.TB, size int) *world {
	t.Helper()
	w := &world{t: t, tree: merkletest.New(rfc6962.DefaultHasher)}
	skey, vkey := keys(t, origin, 1)
	var err error
	if w.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	w.logKey = vkey
	for i := range uint64(3) {
		skey, _ := keys(t, fmt.Sprintf("witness%d.example", i), 10+i)
		c, err := NewCosigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		w.witnesses = append(w.witnesses, c)
	}
	w.grow(size, "entry")
	return w
}

func (w *world) grow(n int, text string) {
	for range n {
		e := fmt.Appendf(nil, "%s %d", text, len(w.entries))
		w.entries = append(w.entries, e)
		w.tree.AppendData(e)
	}
}

func (w *world) policy(quorum int) *Policy {
	w.t.Helper()
	var list []string
	for _, c := range w.witnesses {
		list = append(list, c.VerifierKey())
	}
	p, err := NewPolicy(origin, []string{w.logKey}, list, quorum)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

const day = 1_790_000_000 // a second in 2026

// checkpoint signs the tree at a size, and lets the first witnesses cosign.
func (w *world) checkpoint(size, witnesses int) string {
	w.t.Helper()
	text, err := note.Sign(&note.Note{Text: Body(origin, int64(size), tlog.Hash(w.tree.HashAt(uint64(size))))}, w.signer)
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := ParseUnverified(string(text))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range witnesses {
		text = append(text, w.witnesses[i].Cosign(c, day+int64(i))...)
	}
	return string(text)
}

func hashes(list [][]byte) []tlog.Hash {
	out := []tlog.Hash{}
	for _, h := range list {
		out = append(out, tlog.Hash(h))
	}
	return out
}

func (w *world) inclusion(index, size, witnesses int) Inclusion {
	w.t.Helper()
	p, err := w.tree.InclusionProof(uint64(index), uint64(size))
	if err != nil {
		w.t.Fatal(err)
	}
	return Inclusion{Checkpoint: w.checkpoint(size, witnesses), Hashes: hashes(p), Index: int64(index), Size: int64(size)}
}

func (w *world) consistency(old, size int) Consistency {
	w.t.Helper()
	p, err := w.tree.ConsistencyProof(uint64(old), uint64(size))
	if err != nil {
		w.t.Fatal(err)
	}
	return Consistency{Hashes: hashes(p), Old: w.checkpoint(old, 0), New: w.checkpoint(size, 0)}
}

// TestForeignCheckpoints: what others have signed, with keys that everybody knows.
func TestForeignCheckpoints(t *testing.T) {
	for _, c := range []struct {
		name, origin, key, text string
		size                    int64
		root                    string
	}{
		{"Go's checksum database", "go.sum database tree", "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
			"go.sum database tree\n31700353\nqINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=\n\n— sum.golang.org Az3grnmrIUEDFqHzAElIQCPNoRFRAAdFo47fooyWKMHb89k11GJh5zHIfNCOBmwn/C3YI8oW9/C8DJ87F61QqspBYwM=\n",
			31700353, "qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs="},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := NewPolicy(c.origin, []string{c.key}, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Open(c.text)
			if err != nil || got.Size != c.size || got.Root.String() != c.root {
				t.Errorf("got %v, %v", got, err)
			}
			if _, err := p.Open(strings.Replace(c.text, "31700353", "31700354", 1)); !errors.Is(err, ErrSignature) {
				t.Errorf("changed: %v", err)
			}
		})
	}
}

// TestCosignature: the other implementation verifies ours, and ours verifies the other's.
func TestCosignature(t *testing.T) {
	w := newWorld(t, 3)
	text := w.checkpoint(3, 1)
	v, err := cosignature.NewVerifierForCosignatureV1(w.witnesses[0].VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open([]byte(text), note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if at, err := cosignature.CoSigV1Timestamp(n.Sigs[0]); err != nil || at.Unix() != day {
		t.Errorf("time %v, %v", at, err)
	}
	skey, vkey := keys(t, "foreign.example", 99)
	s, err := cosignature.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := note.Sign(&note.Note{Text: n.Text, UnverifiedSigs: n.UnverifiedSigs}, s)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPolicy(origin, []string{w.logKey}, []string{vkey}, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Open(string(other))
	if err != nil || len(c.Cosignatures) != 1 || c.Cosignatures[0].Witness != "foreign.example" {
		t.Errorf("got %+v, %v", c.Cosignatures, err)
	}
	// The public key in either form names the same witness.
	ours, err := NewCosigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := cosignature.VKeyToCosignatureV1(vkey); err != nil || ours.VerifierKey() != want {
		t.Errorf("got %s, want %s, %v", ours.VerifierKey(), want, err)
	}
}

// TestMLDSAWitness: a witness with the newer kind of key counts.
func TestMLDSAWitness(t *testing.T) {
	w := newWorld(t, 3)
	skey, vkey, err := cosignature.GenerateMLDSAKey("quantum.example")
	if err != nil {
		t.Fatal(err)
	}
	s, err := cosignature.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPolicy(origin, []string{w.logKey}, []string{vkey}, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.OpenLog(w.checkpoint(3, 0))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, s)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := cutLast(string(signed), "\n\n")
	if c, err = p.Merge(c, line); err != nil || len(c.Cosignatures) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := p.Open(c.Note); err != nil {
		t.Error(err)
	}
	// It may sign without a time, and is then no witness of any date.
	subtree, err := cosignature.NewMLDSASigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := subtree.SignSubtree(0, c.Origin, 0, uint64(c.Size), c.Root[:])
	if err != nil {
		t.Fatal(err)
	}
	raw = append(binary.BigEndian.AppendUint32(nil, subtree.KeyHash()), raw...)
	if _, err := p.Open(w.checkpoint(3, 0) + "— quantum.example " + base64.StdEncoding.EncodeToString(raw) + "\n"); !errors.Is(err, ErrQuorum) {
		t.Errorf("without a time: %v", err)
	}
	if _, err := NewCosigner(skey); err == nil {
		t.Error("an ML-DSA key became an Ed25519 witness")
	}
}

// TestCheckpointRefusals names what is wrong with a checkpoint.
func TestCheckpointRefusals(t *testing.T) {
	w := newWorld(t, 5)
	good := w.checkpoint(5, 2)
	_, sigs, _ := strings.Cut(good, "\n\n")
	logLine, rest, _ := strings.Cut(sigs, "\n")
	body, _, _ := strings.Cut(good, "\n\n")
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	otherKey, _ := keys(t, origin, 77)
	other, err := note.NewSigner(otherKey)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := note.Sign(&note.Note{Text: body + "\n"}, other)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := note.Sign(&note.Note{Text: strings.Replace(body, origin, "bank.example/log2", 1) + "\n"}, w.signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.policy(2).Open(good); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"empty", "", ErrForm},
		{"no signatures", body + "\n", ErrForm},
		{"cut in the signatures", good[:len(good)-1], ErrForm},
		{"cut in the text", good[:20], ErrForm},
		{"too long", good + strings.Repeat("— x AAAAAAAA\n", MaxCheckpointBytes/10), ErrForm},
		{"not UTF-8", "\xff" + good, ErrForm},
		{"size with a zero in front", replace("\n5\n", "\n05\n"), ErrForm},
		{"negative size", replace("\n5\n", "\n-5\n"), ErrForm},
		{"size above all limits", replace("\n5\n", "\n9007199254740992\n"), ErrForm},
		{"root too short", replace("=\n\n", "\n\n"), ErrForm},
		{"empty line in the text", replace("\n5\n", "\n5\n\n"), ErrForm},
		{"empty log with a root", replace("\n5\n", "\n0\n"), ErrForm},
		{"carriage returns", strings.ReplaceAll(good, "\n", "\r\n"), ErrForm},
		{"another base64 of a signature", strings.Replace(good, logLine, logLine[:len(logLine)-2]+string(logLine[len(logLine)-2]+1)+"=", 1), ErrForm},
		{"other origin", string(elsewhere), ErrOrigin},
		{"unknown key of the same name", string(foreign), ErrSignature},
		{"witnesses alone", body + "\n\n" + rest, ErrSignature},
		{"size changed", replace("\n5\n", "\n4\n"), ErrSignature},
		{"extension line added", replace("=\n\n", "=\nmore\n\n"), ErrSignature},
		{"too few witnesses", w.checkpoint(5, 1), ErrQuorum},
		{"one witness twice", w.checkpoint(5, 1) + w.witnesses[0].Cosign(mustOpen(t, w.policy(0), good), day+9), ErrQuorum},
		{"cosignature of another checkpoint", w.checkpoint(5, 1) + w.witnesses[1].Cosign(mustOpen(t, w.policy(0), w.checkpoint(4, 0)), day), ErrSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := w.policy(2).Open(c.text); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func mustOpen(t *testing.T, p *Policy, text string) Checkpoint {
	t.Helper()
	c, err := p.OpenLog(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPolicyRefusals: policies under which one signature would count twice, or nothing could be verified.
func TestPolicyRefusals(t *testing.T) {
	_, l := keys(t, origin, 1)
	_, a := keys(t, "a.example", 2)
	_, b := keys(t, "b.example", 3)
	aAgain, err := cosignature.VKeyToCosignatureV1(a)
	if err != nil {
		t.Fatal(err)
	}
	_, sameKey := keys(t, "c.example", 2)
	_, sameName := keys(t, "a.example", 4)
	_, operator := keys(t, "d.example", 1)
	misprint := strings.Replace(b, "+"+strings.Split(b, "+")[1]+"+", "+00000000+", 1)
	for _, c := range []struct {
		name    string
		logs    []string
		witness []string
		quorum  int
		want    string
	}{
		{"no log key", nil, nil, 0, "no key of the log"},
		{"quorum too large", []string{l}, []string{a}, 2, "quorum of 2 out of 1"},
		{"negative quorum", []string{l}, []string{a}, -1, "quorum of -1"},
		{"misprinted log key", []string{l[:len(l)-4] + "AAAA"}, nil, 0, "log's key"},
		{"misprinted witness key", []string{l}, []string{misprint}, 1, "misprint"},
		{"no key", []string{l}, []string{"nonsense"}, 1, "witness key"},
		{"one key in two forms", []string{l}, []string{a, aAgain}, 1, "two witnesses are called"},
		{"one key under two names", []string{l}, []string{a, sameKey}, 1, "given twice"},
		{"one name with two keys", []string{l}, []string{a, sameName}, 1, "two witnesses are called"},
		{"the log as its own witness", []string{l}, []string{operator}, 1, "given twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := NewPolicy(origin, c.logs, c.witness, c.quorum); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestMerge: cosignatures that come one by one, in any order, twice or from strangers give one checkpoint.
func TestMerge(t *testing.T) {
	w := newWorld(t, 5)
	p := w.policy(3)
	all := w.checkpoint(5, 3)
	c := mustOpen(t, p, w.checkpoint(5, 0))
	var lines []string
	for i, s := range w.witnesses {
		lines = append(lines, s.Cosign(c, day+int64(i)))
	}
	skey, _ := keys(t, "stranger.example", 50)
	stranger, err := NewCosigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 1, 0, 2}} {
		got := c
		for _, i := range order {
			if got, err = p.Merge(got, stranger.Cosign(c, day)+lines[i]); err != nil {
				t.Fatal(err)
			}
		}
		if got.Note != all {
			t.Errorf("%v: got\n%s\nwant\n%s", order, got.Note, all)
		}
	}
	newer, err := p.Merge(mustOpen(t, p, all), w.witnesses[1].Cosign(c, day+1000))
	if err != nil || newer.Cosignatures[1] != (Cosignature{"witness1.example", day + 1000}) || len(newer.Cosignatures) != 3 {
		t.Errorf("a newer cosignature: %+v, %v", newer.Cosignatures, err)
	}
	for name, bad := range map[string]string{"of another size": w.witnesses[0].Cosign(mustOpen(t, p, w.checkpoint(4, 0)), day), "cut": lines[0][:60] + "\n", "no line": "hello\n"} {
		if _, err := p.Merge(c, bad); !errors.Is(err, ErrSignature) && !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestProofsAgainstMerkle: proofs that another implementation made are accepted for every index and every pair of sizes of small
// trees, and for nothing else than what they are for.
func TestProofsAgainstMerkle(t *testing.T) {
	const most = 33
	w := newWorld(t, most)
	p := w.policy(0)
	for size := 1; size <= most; size++ {
		c := w.checkpoint(size, 0)
		for index := range size {
			raw, err := w.tree.InclusionProof(uint64(index), uint64(size))
			if err != nil {
				t.Fatal(err)
			}
			i := Inclusion{Checkpoint: c, Hashes: hashes(raw), Index: int64(index), Size: int64(size)}
			if _, err := i.Verify(p, w.entries[index]); err != nil {
				t.Fatalf("%d of %d: %v", index, size, err)
			}
			if _, err := i.Verify(p, w.entries[(index+1)%most]); !errors.Is(err, ErrProof) {
				t.Fatalf("%d of %d, another entry: %v", index, size, err)
			}
		}
		for old := 1; old <= size; old++ {
			if _, _, err := w.consistency(old, size).Verify(p); err != nil {
				t.Fatalf("%d to %d: %v", old, size, err)
			}
		}
	}
}

// TestRFC6962Vectors: the eight leaves of the Certificate Transparency tests, which stand in RFC 6962's own implementation.
func TestRFC6962Vectors(t *testing.T) {
	w := newWorld(t, 0)
	w.entries = merkletest.LeafInputs()
	w.tree.AppendData(w.entries...)
	roots := merkletest.RootHashes()
	for size := 1; size <= 8; size++ {
		for index := range size {
			c, err := w.inclusion(index, size, 0).Verify(w.policy(0), w.entries[index])
			if err != nil || !bytes.Equal(c.Root[:], roots[size]) {
				t.Errorf("%d of %d: %x, %v", index, size, c.Root, err)
			}
		}
	}
}

// TestEveryByteCounts: a proof with any one byte changed is refused.
func TestEveryByteCounts(t *testing.T) {
	w := newWorld(t, 13)
	p := w.policy(3)
	text := w.inclusion(6, 13, 3).Marshal()
	if i, err := ParseInclusion(text); err != nil {
		t.Fatal(err)
	} else if _, err := i.Verify(p, w.entries[6]); err != nil {
		t.Fatal(err)
	}
	for at := range text {
		for _, flip := range []byte{1, 2, 0x20, 0x80} {
			changed := bytes.Clone(text)
			changed[at] ^= flip
			i, err := ParseInclusion(changed)
			if err == nil {
				_, err = i.Verify(p, w.entries[6])
			}
			if err == nil {
				t.Errorf("byte %d changed by %#x is accepted: %s", at, flip, changed)
			}
		}
	}
}

// TestProofRefusals: proofs of others, of other sizes, and texts that are not the one form.
func TestProofRefusals(t *testing.T) {
	w := newWorld(t, 13)
	p := w.policy(0)
	good := w.inclusion(6, 13, 0)
	text := string(good.Marshal())
	for name, bad := range map[string]string{
		"respaced":        strings.Replace(text, ":", ": ", 1),
		"reordered":       `{"index":6,` + strings.Replace(text[1:], `"index":6,`, "", 1),
		"unknown field":   strings.Replace(text, `"index"`, `"extra":1,"index"`, 1),
		"doubled field":   strings.Replace(text, `"index"`, `"index":5,"index"`, 1),
		"other case":      strings.Replace(text, `"index"`, `"Index"`, 1),
		"cut":             text[:len(text)-1],
		"followed by one": text + text,
		"null":            "null",
		"no hashes":       strings.Replace(text, `"hashes":[`, `"hashes":null,"x":[`, 1),
		"fraction":        strings.Replace(text, `"index":6`, `"index":6.0`, 1),
		"long":            text + strings.Repeat(" ", maxProofBytes),
	} {
		if _, err := ParseInclusion([]byte(bad)); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	change := func(f func(*Inclusion)) Inclusion {
		i := good
		i.Hashes = slices.Clone(good.Hashes)
		f(&i)
		return i
	}
	for _, c := range []struct {
		name string
		i    Inclusion
		want error
	}{
		{"other index", change(func(i *Inclusion) { i.Index = 7 }), ErrProof},
		{"negative index", change(func(i *Inclusion) { i.Index = -1 }), ErrProof},
		{"index beyond the tree", change(func(i *Inclusion) { i.Index = 13 }), ErrProof},
		{"size other than the checkpoint's", change(func(i *Inclusion) { i.Size = 12 }), ErrForm},
		{"hashes swapped", change(func(i *Inclusion) { i.Hashes[0], i.Hashes[1] = i.Hashes[1], i.Hashes[0] }), ErrProof},
		{"a hash missing", change(func(i *Inclusion) { i.Hashes = i.Hashes[1:] }), ErrProof},
		{"a hash more", change(func(i *Inclusion) { i.Hashes = append(i.Hashes, tlog.Hash{}) }), ErrProof},
		{"thousands of hashes", change(func(i *Inclusion) { i.Hashes = make([]tlog.Hash, 5000) }), ErrForm},
		{"checkpoint of another size", change(func(i *Inclusion) { i.Checkpoint, i.Size = w.checkpoint(12, 0), 12 }), ErrProof},
	} {
		if _, err := c.i.Verify(p, w.entries[6]); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, _, err := (Consistency{Old: w.checkpoint(9, 0), New: w.checkpoint(5, 0)}).Verify(p); !errors.Is(err, ErrProof) || !strings.Contains(err.Error(), "rolled back") {
		t.Errorf("rolled back: %v", err)
	}
	other := newWorld(t, 5)
	other.grow(8, "another history")
	bad := other.consistency(7, 13)
	bad.Old = w.checkpoint(7, 0)
	if _, _, err := bad.Verify(p); !errors.Is(err, ErrProof) {
		t.Errorf("two histories: %v", err)
	}
}

// TestFork: of two histories that a log has signed, which begin alike, a proof is made wherever the hashes show it, it
// convinces whoever has the log's key, and of one history there is none.
func TestFork(t *testing.T) {
	const most, common = 20, 5
	a, b := newWorld(t, common), newWorld(t, common)
	a.grow(most-common, "for the claimant")
	b.grow(most-common, "for the court")
	p := a.policy(0)
	for first := 1; first <= most; first++ {
		for second := first; second <= most; second++ {
			fromA := mustOpen(t, p, a.checkpoint(first, 0))
			for _, other := range []*world{a, b} {
				c := other.consistency(first, second)
				latest := mustOpen(t, p, c.New)
				f, ok := FindFork(fromA, latest, c.Hashes)
				want := other == b && first > common && (first&(first-1) != 0 || first == second)
				if ok != want {
					t.Fatalf("%d and %d, forked %v: found %v", first, second, other == b, ok)
				}
				if !ok {
					continue
				}
				again, err := ParseFork(f.Marshal())
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := again.Verify(p); err != nil {
					t.Fatalf("%d and %d: %v", first, second, err)
				}
			}
		}
	}
	// Nobody is accused with nonsense.
	honest := a.consistency(7, 13)
	old, latest := mustOpen(t, p, honest.Old), mustOpen(t, p, honest.New)
	for i := range honest.Hashes {
		h := slices.Clone(honest.Hashes)
		h[i][3] ^= 1
		if _, ok := FindFork(old, latest, h); ok {
			t.Errorf("hash %d changed makes a fork", i)
		}
	}
	for name, f := range map[string]Fork{
		"one history":           {First: honest.Old, Second: honest.New, Root: old.Root, Hashes: honest.Hashes},
		"another root, no path": {First: honest.Old, Second: honest.New, Root: latest.Root, Hashes: honest.Hashes},
		"the same twice":        {First: honest.Old, Second: honest.Old, Root: tlog.Hash{1}},
	} {
		if _, _, err := f.Verify(p); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestJSONIsCanonical: one value, one text, as RFC 8785 has it, also with characters that encoding/json escapes.
func TestJSONIsCanonical(t *testing.T) {
	i := Inclusion{Checkpoint: "a<b>&\u2028\u2029\"\\u2028\\\n— é", Index: 1, Size: 1<<53 - 1}
	want := `{"checkpoint":"a<b>&` + "\u2028\u2029" + `\"\\u2028\\\n— é","hashes":[],"index":1,"size":9007199254740991}`
	if d := cmp.Diff(want, string(i.Marshal())); d != "" {
		t.Error(d)
	}
	back, err := ParseInclusion([]byte(want))
	if err != nil || back.Checkpoint != i.Checkpoint || !json.Valid([]byte(want)) {
		t.Errorf("%+v, %v", back, err)
	}
}

// TestC2SPProof: another program's parser reads the text form.
func TestC2SPProof(t *testing.T) {
	w := newWorld(t, 13)
	i := w.inclusion(6, 13, 2)
	var other proof.TLogProof
	if err := other.Unmarshal(i.C2SP()); err != nil {
		t.Fatal(err)
	}
	back := Inclusion{Checkpoint: string(other.Checkpoint), Index: int64(other.Index), Size: 13}
	for _, h := range other.Hashes {
		back.Hashes = append(back.Hashes, h)
	}
	if d := cmp.Diff(i, back); d != "" {
		t.Error(d)
	}
}

// TestRoundTrips: whatever tree, index and witnesses, what is written is read again and verifies, and not for a neighbour.
func TestRoundTrips(t *testing.T) {
	w := newWorld(t, 600)
	rapid.Check(t, func(r *rapid.T) {
		size := rapid.IntRange(2, 600).Draw(r, "size")
		index := rapid.IntRange(0, size-1).Draw(r, "index")
		n := rapid.IntRange(0, 3).Draw(r, "witnesses")
		i, err := ParseInclusion(w.inclusion(index, size, n).Marshal())
		if err != nil {
			r.Fatal(err)
		}
		c, err := i.Verify(w.policy(n), w.entries[index])
		if err != nil || len(c.Cosignatures) != n {
			r.Fatalf("%d of %d: %v, %d cosignatures", index, size, err, len(c.Cosignatures))
		}
		if _, err := i.Verify(w.policy(n), w.entries[(index+1)%size]); !errors.Is(err, ErrProof) {
			r.Fatalf("a neighbour: %v", err)
		}
		old := rapid.IntRange(1, size).Draw(r, "old")
		k, err := ParseConsistency(w.consistency(old, size).Marshal())
		if err != nil {
			r.Fatal(err)
		}
		if _, _, err := k.Verify(w.policy(0)); err != nil {
			r.Fatal(err)
		}
	})
}

func FuzzParseUnverified(f *testing.F) {
	w := newWorld(f, 5)
	for n := range 4 {
		f.Add(w.checkpoint(5, n))
	}
	f.Add(strings.Replace(w.checkpoint(5, 1), "=\n\n", "=\nan extension\n\n", 1))
	f.Add("o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— a AAAAAAAA\n")
	p := w.policy(0)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseUnverified(text)
		if err != nil {
			if !errors.Is(err, ErrForm) {
				t.Fatal(err)
			}
			return
		}
		if !strings.HasPrefix(text, Body(c.Origin, c.Size, c.Root)) || c.Note != text || !strings.HasPrefix(text, c.Text()+"\n— ") {
			t.Fatalf("%q was read as %+v", text, c)
		}
		if d, err := p.Open(text); err == nil && d.Root.String() != tlog.Hash(w.tree.HashAt(uint64(d.Size))).String() {
			t.Fatalf("forged: %q", text)
		}
	})
}

func FuzzParseProofs(f *testing.F) {
	w := newWorld(f, 13)
	f.Add(w.inclusion(6, 13, 2).Marshal())
	f.Add(w.inclusion(0, 1, 0).Marshal())
	f.Add(w.consistency(7, 13).Marshal())
	other := newWorld(f, 5)
	other.grow(8, "another history")
	f.Add(Fork{First: w.checkpoint(13, 0), Root: tlog.Hash(other.tree.HashAt(13)), Second: other.checkpoint(13, 0)}.Marshal())
	p := w.policy(0)
	f.Fuzz(func(t *testing.T, text []byte) {
		if i, err := ParseInclusion(text); err == nil {
			if !bytes.Equal(i.Marshal(), text) {
				t.Fatalf("%q is written %q", text, i.Marshal())
			}
			_, _ = i.Verify(p, w.entries[0])
		}
		if c, err := ParseConsistency(text); err == nil {
			if !bytes.Equal(c.Marshal(), text) {
				t.Fatalf("%q is written %q", text, c.Marshal())
			}
			_, _, _ = c.Verify(p)
		}
		if k, err := ParseFork(text); err == nil {
			if !bytes.Equal(k.Marshal(), text) {
				t.Fatalf("%q is written %q", text, k.Marshal())
			}
			_, _, _ = k.Verify(p)
		}
	})
}
