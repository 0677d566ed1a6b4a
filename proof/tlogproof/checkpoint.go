package tlogproof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

// Kinds of errors. What Parse, Open and Verify functions return wraps exactly one of them.
var (
	ErrForm      = errors.New("tlogproof: malformed")                       // no text of the format at all
	ErrOrigin    = errors.New("tlogproof: another log's checkpoint")        // the origin is not the one asked for
	ErrSignature = errors.New("tlogproof: not signed by the log")           // unknown key, or a signature that does not verify
	ErrQuorum    = errors.New("tlogproof: too few witnesses have cosigned") // signed by the log, and not by enough witnesses
	ErrProof     = errors.New("tlogproof: the proof does not hold")         // hashes do not lead to the signed root
)

const (
	// MaxCheckpointBytes is the longest checkpoint that is read. signed-note asks for room for 16 signatures of up to 5 kB.
	MaxCheckpointBytes = 128 << 10
	// MaxSize is the most entries a log can have: what a JSON number holds exactly. (Above 2^62 the loops of sumdb/tlog
	// would not end.)
	MaxSize = 1<<53 - 1
	// maxHashes is the longest proof: c2sp.org/tlog-witness allows 63, and no tree of MaxSize needs more than 2 x 53.
	maxHashes = 106
)

// Checkpoint is a tree head of a log.
type Checkpoint struct {
	Origin string    // the log's name
	Size   int64     // entries
	Root   tlog.Hash // RFC 6962 tree hash of the first Size entries
	Note   string    // the whole signed text, verbatim
	// Cosignatures are those of the policy's witnesses that were verified, in the order of the note. Of a checkpoint that
	// Policy.OpenLog or ParseUnverified gave there are none.
	Cosignatures []Cosignature
}

// Cosignature is a witness's statement under a checkpoint.
type Cosignature struct {
	Witness string // name of its key
	Time    int64  // seconds since 1970-01-01 UTC, by the witness's clock
}

// Body gives the text of a checkpoint that gets signed.
func Body(origin string, size int64, root tlog.Hash) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, root)
}

// ParseUnverified reads a checkpoint without looking at its signatures: whoever wrote it can have written anything.
// Origin, Size, Root and Note are set. The text must be of the one form a checkpoint has, extension lines allowed.
func ParseUnverified(text string) (Checkpoint, error) {
	if len(text) > MaxCheckpointBytes {
		return Checkpoint{}, fmt.Errorf("%w: a checkpoint of %d bytes, at most %d are read", ErrForm, len(text), MaxCheckpointBytes)
	}
	if !utf8.ValidString(text) {
		return Checkpoint{}, fmt.Errorf("%w: a checkpoint that is no UTF-8", ErrForm)
	}
	body, sigs, found := cutLast(text, "\n\n")
	if !found || !strings.HasPrefix(sigs, "— ") || !strings.HasSuffix(sigs, "\n") {
		return Checkpoint{}, fmt.Errorf("%w: a checkpoint has an empty line and signatures below it; is it cut off?", ErrForm)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(sigs, "\n"), "\n") {
		// note.Open accepts several base64 texts for one signature; here each has one.
		_, encoded, _ := cutLast(line, " ")
		if _, err := base64.StdEncoding.Strict().DecodeString(encoded); err != nil || !strings.HasPrefix(line, "— ") {
			return Checkpoint{}, fmt.Errorf("%w: %.100q is no signature line of a checkpoint", ErrForm, line)
		}
	}
	lines := strings.Split(body, "\n")
	if len(lines) < 3 {
		return Checkpoint{}, fmt.Errorf("%w: a checkpoint begins with origin, size and root, one a line", ErrForm)
	}
	for _, line := range lines {
		if line == "" {
			return Checkpoint{}, fmt.Errorf("%w: a checkpoint with an empty line in its text", ErrForm)
		}
	}
	size, err := parseSize(lines[1])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: size of the checkpoint: %w", ErrForm, err)
	}
	root, err := ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: root of the checkpoint: %w", ErrForm, err)
	}
	if empty, _ := tlog.TreeHash(0, nil); size == 0 && root != empty {
		return Checkpoint{}, fmt.Errorf("%w: a checkpoint of an empty log whose root is not that of the empty tree", ErrForm)
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: root, Note: text}, nil
}

// Text is what was signed: the Note without its signatures, with the newline at its end. It is the same whichever signatures
// have been collected under it, so it is what a time stamp is taken of.
func (c Checkpoint) Text() string {
	text, _, _ := cutLast(c.Note, "\n\n")
	return text + "\n"
}

// Same tells whether two checkpoints say the same of the same log; their signatures may differ.
func (c Checkpoint) Same(d Checkpoint) bool {
	return c.Origin == d.Origin && c.Size == d.Size && c.Root == d.Root
}

// String names the checkpoint for people.
func (c Checkpoint) String() string {
	return fmt.Sprintf("checkpoint of %s at %d entries, root %s", c.Origin, c.Size, c.Root)
}

// ParseHash reads a hash in the one base64 form it has.
func ParseHash(s string) (tlog.Hash, error) {
	var h tlog.Hash
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != tlog.HashSize || strings.ContainsAny(s, "\r\n") {
		return h, fmt.Errorf("%.60q is no hash of 32 bytes in base64", s)
	}
	copy(h[:], raw)
	return h, nil
}

// parseSize reads a decimal number without leading zeroes.
func parseSize(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > MaxSize || strconv.FormatInt(n, 10) != s {
		return 0, fmt.Errorf("%.30q is no whole number from 0 to %d without leading zeroes", s, int64(MaxSize))
	}
	return n, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
