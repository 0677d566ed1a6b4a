package tlogproof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// Policy says whose word is taken: which log, under which keys, and how many of which witnesses must have cosigned. It
// does not change after NewPolicy and may be used by several goroutines.
type Policy struct {
	origin    string
	log       []note.Verifier
	witnesses []note.Verifier
	quorum    int
}

// NewPolicy makes a policy for the log called origin. logKeys and witnessKeys are verifier keys of c2sp.org/signed-note
// ("name+0123abcd+base64"): of the log Ed25519 (type 1), several while keys change, one is enough; of witnesses cosignature
// keys (type 4 or 6; of a key of type 1 the cosignature key of the same name and bytes is meant). A checkpoint then needs
// cosignatures of quorum different witnesses, 0 to len(witnessKeys). One key under two names would be one witness counted
// twice: it is an error.
func NewPolicy(origin string, logKeys, witnessKeys []string, quorum int) (*Policy, error) {
	if origin == "" || strings.ContainsAny(origin, "\n") {
		return nil, fmt.Errorf("tlogproof: %q is no origin of a log", origin)
	}
	if len(logKeys) == 0 {
		return nil, fmt.Errorf("tlogproof: no key of the log %s: nothing it says could be verified", origin)
	}
	if quorum < 0 || quorum > len(witnessKeys) {
		return nil, fmt.Errorf("tlogproof: a quorum of %d out of %d witnesses", quorum, len(witnessKeys))
	}
	p := &Policy{origin: origin, quorum: quorum}
	var seen []string
	for _, key := range logKeys {
		v, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("tlogproof: the log's key %.80q: %w", key, err)
		}
		p.log = append(p.log, v)
		seen = append(seen, material(key))
	}
	for _, key := range witnessKeys {
		v, err := witnessVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("tlogproof: the witness key %.80q: %w", key, err)
		}
		p.witnesses = append(p.witnesses, v)
		if slices.ContainsFunc(p.witnesses[:len(p.witnesses)-1], func(w note.Verifier) bool { return w.Name() == v.Name() }) {
			return nil, fmt.Errorf("tlogproof: two witnesses are called %s", v.Name())
		}
		seen = append(seen, material(key))
	}
	for i, m := range seen {
		if slices.Contains(seen[:i], m) {
			return nil, fmt.Errorf("tlogproof: one public key is given twice in the policy for %s; each log key and each witness has its own", origin)
		}
	}
	return p, nil
}

// witnessVerifier reads a witness's key. The library does not compare the hash that stands in the key, so it is done here.
func witnessVerifier(key string) (note.Verifier, error) {
	v, err := cosignature.NewVerifierForCosignatureV1(key)
	if err != nil {
		return nil, err
	}
	want := v.KeyHash()
	if plain, err := note.NewVerifier(key); err == nil { // of type 1: the hash is that of the signing key
		want = plain.KeyHash()
	}
	parts := strings.SplitN(key, "+", 3)
	if got, err := strconv.ParseUint(parts[1], 16, 32); err != nil || uint32(got) != want {
		return nil, errors.New("the hash in it is not that of the key: a misprint?")
	}
	return v, nil
}

// material is the public key alone, without name and type. The key was read before, so it has three parts.
func material(key string) string {
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(key, "+", 3)[2])
	if err != nil || len(raw) == 0 {
		panic("tlogproof: a key that was read cannot be read")
	}
	return string(raw[1:])
}

// Origin is the name of the log.
func (p *Policy) Origin() string { return p.origin }

// Quorum is how many witnesses must have cosigned, and of how many.
func (p *Policy) Quorum() (need, of int) { return p.quorum, len(p.witnesses) }

// Open reads a checkpoint and verifies that it is this log's, that a key of the log signed it, and that as many
// witnesses as the policy asks for cosigned it. Signatures of unknown keys are passed over; one of a known key that does not
// verify makes the whole checkpoint refused, as signed-note says. Errors: ErrForm, ErrOrigin, ErrSignature, ErrQuorum.
func (p *Policy) Open(text string) (Checkpoint, error) {
	c, err := p.open(text, p.witnesses)
	if err != nil {
		return Checkpoint{}, err
	}
	if len(c.Cosignatures) < p.quorum {
		return Checkpoint{}, fmt.Errorf("%w: %d of %d witnesses, %d are needed: %s", ErrQuorum, len(c.Cosignatures), len(p.witnesses), p.quorum, c)
	}
	return c, nil
}

// OpenLog is Open without the witnesses: their signatures are not looked at, whatever they are.
func (p *Policy) OpenLog(text string) (Checkpoint, error) { return p.open(text, nil) }

func (p *Policy) open(text string, witnesses []note.Verifier) (Checkpoint, error) {
	c, err := ParseUnverified(text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != p.origin {
		return Checkpoint{}, fmt.Errorf("%w: of %.200q, wanted one of %q", ErrOrigin, c.Origin, p.origin)
	}
	n, err := note.Open([]byte(text), note.VerifierList(slices.Concat(p.log, witnesses)...))
	var bad *note.InvalidSignatureError
	var unknown *note.UnverifiedNoteError
	switch {
	case errors.As(err, &bad):
		return Checkpoint{}, fmt.Errorf("%w: the signature of %s (key %08x) does not verify: the text or the signature was changed", ErrSignature, bad.Name, bad.Hash)
	case errors.As(err, &unknown):
		return Checkpoint{}, fmt.Errorf("%w: no signature by a known key of %s", ErrSignature, p.origin)
	case err != nil:
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	signed := false
	for _, s := range n.Sigs {
		switch {
		case has(p.log, s):
			signed = true
		case has(witnesses, s):
			t, err := cosignature.CoSigV1Timestamp(s)
			if err != nil || t.Unix() <= 0 { // type 6 may state no time; as a witness's word on a date it is worth nothing
				continue
			}
			c.Cosignatures = append(c.Cosignatures, Cosignature{Witness: s.Name, Time: t.Unix()})
		}
	}
	if !signed {
		return Checkpoint{}, fmt.Errorf("%w: witnesses have signed, and no known key of %s", ErrSignature, p.origin)
	}
	return c, nil
}

func has(list []note.Verifier, s note.Signature) bool {
	return slices.ContainsFunc(list, func(v note.Verifier) bool { return v.Name() == s.Name && v.KeyHash() == s.Hash })
}

// Merge adds signature lines ("— name base64", each ended by a newline, as a witness answers) to a checkpoint that was
// opened. Lines by the policy's witnesses are verified and added, one for each witness, in place of an older one of the
// same; others are passed over. Errors: ErrForm, ErrSignature. The order of signatures is: the log's, then the
// witnesses' in the policy's order, so that merging in any order gives one text.
func (p *Policy) Merge(c Checkpoint, lines string) (Checkpoint, error) {
	if len(lines) > MaxCheckpointBytes {
		return Checkpoint{}, fmt.Errorf("%w: %d bytes of signature lines, at most %d are read", ErrForm, len(lines), MaxCheckpointBytes)
	}
	known := note.VerifierList(slices.Concat(p.log, p.witnesses)...)
	old, err := note.Open([]byte(c.Note), known)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	var added []note.Signature
	if lines != "" {
		n, err := note.Open([]byte(c.Text()+"\n"+lines), known)
		var unknown *note.UnverifiedNoteError
		switch {
		case errors.As(err, &unknown):
		case err != nil:
			return Checkpoint{}, fmt.Errorf("%w: the lines to add to the %s: %w", ErrSignature, c, err)
		default:
			added = n.Sigs
		}
	}
	sigs := slices.Clone(old.Sigs)
	sigs = slices.DeleteFunc(sigs, func(s note.Signature) bool { return !has(p.log, s) })
	for _, w := range p.witnesses {
		for _, list := range [][]note.Signature{added, old.Sigs} {
			if i := slices.IndexFunc(list, func(s note.Signature) bool { return s.Name == w.Name() && s.Hash == w.KeyHash() }); i >= 0 {
				sigs = append(sigs, list[i])
				break
			}
		}
	}
	text, err := note.Sign(&note.Note{Text: c.Text(), Sigs: sigs})
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	return p.open(string(text), p.witnesses)
}

// OpenNote gives the text of any note that a key of the log has signed, which need not be a checkpoint. Errors: ErrSignature.
func (p *Policy) OpenNote(signed []byte) (string, error) {
	n, err := note.Open(signed, note.VerifierList(p.log...))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return n.Text, nil
}
