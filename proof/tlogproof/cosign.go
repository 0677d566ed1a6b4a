package tlogproof

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	cosignature "github.com/transparency-dev/formats/note"
)

// Cosigner signs checkpoints as a witness, with timestamped Ed25519 of c2sp.org/tlog-cosignature. The library can sign too,
// but takes the time from the machine's clock; here it is an argument.
type Cosigner struct {
	name string
	hash uint32
	key  ed25519.PrivateKey
}

// NewCosigner reads a signer key as note.GenerateKey makes it ("PRIVATE+KEY+name+hash+base64", type 1 or 4, Ed25519).
// The key must be used for nothing but this witness: a v1 cosignature does not name its signer. The error does not show the key.
func NewCosigner(skey string) (*Cosigner, error) {
	s, err := cosignature.NewSignerForCosignatureV1(skey)
	if err != nil {
		return nil, errors.New("tlogproof: no signer key of a witness (PRIVATE+KEY+name+hash+base64)")
	}
	parts := strings.SplitN(skey, "+", 5)
	raw, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize || raw[0] != 1 && raw[0] != 4 {
		return nil, fmt.Errorf("tlogproof: the signer key of %s is not of Ed25519", s.Name())
	}
	return &Cosigner{name: s.Name(), hash: s.KeyHash(), key: ed25519.NewKeyFromSeed(raw[1:])}, nil
}

// Name is the witness's name.
func (c *Cosigner) Name() string { return c.name }

// VerifierKey is the public key to put into policies: of type 4.
func (c *Cosigner) VerifierKey() string {
	public := append([]byte{4}, c.key.Public().(ed25519.PublicKey)...)
	return fmt.Sprintf("%s+%08x+%s", c.name, c.hash, base64.StdEncoding.EncodeToString(public))
}

// Cosign gives the signature line, with its newline, under a checkpoint at a time in seconds since 1970-01-01 UTC. The
// caller has verified the checkpoint and its consistency with all it cosigned before. A time that is not positive panics.
func (c *Cosigner) Cosign(checkpoint Checkpoint, unixSeconds int64) string {
	if unixSeconds <= 0 {
		panic("tlogproof: cosigning at no time")
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", unixSeconds, checkpoint.Text())
	line := binary.BigEndian.AppendUint32(nil, c.hash)
	line = binary.BigEndian.AppendUint64(line, uint64(unixSeconds))
	line = append(line, ed25519.Sign(c.key, []byte(message))...)
	return fmt.Sprintf("— %s %s\n", c.name, base64.StdEncoding.EncodeToString(line))
}
