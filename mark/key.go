package mark

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// KeySize is the length of every key in bytes.
const KeySize = 32

// Key is a secret from which codewords or further keys are drawn. It never shows itself: String redacts,
// marshalling refuses. Bytes gives the secret to the one place that seals it.
type Key struct{ secret [KeySize]byte }

// NewKey copies a secret of KeySize bytes.
func NewKey(secret []byte) (Key, error) {
	if len(secret) != KeySize {
		return Key{}, fmt.Errorf("mark: a key has %d bytes, this one has %d", KeySize, len(secret))
	}
	var k Key
	copy(k.secret[:], secret)
	return k, nil
}

// Bytes returns a copy of the secret.
func (k Key) Bytes() []byte { return append([]byte(nil), k.secret[:]...) }

// String tells keys apart without showing them.
func (k Key) String() string { return "key(" + k.Fingerprint() + ", secret redacted)" }

// GoString redacts like String, for %#v.
func (k Key) GoString() string { return k.String() }

// Format redacts under every verb, %x and %d included.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

var errMarshal = errors.New("mark: a key is never marshalled; seal Bytes deliberately")

// MarshalJSON refuses.
func (k Key) MarshalJSON() ([]byte, error) { return nil, errMarshal }

// MarshalText refuses.
func (k Key) MarshalText() ([]byte, error) { return nil, errMarshal }

// Fingerprint names a key in public: the first 8 bytes, in hex, of the key derived for that purpose.
func (k Key) Fingerprint() string {
	f := k.derive("fingerprint", "")
	return hex.EncodeToString(f.secret[:8])
}

// derive returns HKDF-SHA-256 (RFC 5869, no salt) of the secret under
// info = "filigrane/key/v1" 0x00 label 0x00 value.
func (k Key) derive(label, value string) Key {
	out, err := hkdf.Key(sha256.New, k.secret[:], nil, "filigrane/key/v1\x00"+label+"\x00"+value, KeySize)
	if err != nil {
		panic("mark: " + err.Error()) // only for lengths over 255 hashes
	}
	var d Key
	copy(d.secret[:], out)
	return d
}

// Path names a delivery in the key hierarchy: master -> bank -> catalogue@version -> licence -> purpose -> epoch.
type Path struct {
	Bank      string `json:"bank"`
	Catalogue string `json:"catalogue"` // name@version
	Licence   string `json:"licence"`
	Purpose   string `json:"purpose"`
	Epoch     int    `json:"epoch"`
}

// Delivery derives the key of a delivery from the master key, one HKDF step per element of the path.
func (k Key) Delivery(p Path) Key {
	return k.derive("bank", p.Bank).derive("catalogue", p.Catalogue).derive("licence", p.Licence).
		derive("purpose", p.Purpose).derive("epoch", strconv.Itoa(p.Epoch))
}

// Keys are the three keys of a delivery, one per lattice, so that one can be shown to an expert without
// the others.
type Keys [Lattices]Key

// Keys derives the three lattice keys from the key of a delivery.
func (k Key) Keys() Keys {
	var ks Keys
	for l := range Lattices {
		ks[l] = k.Lattice(l)
	}
	return ks
}

// Lattice derives the key of one lattice from the key of a delivery.
func (k Key) Lattice(l Lattice) Key { return k.derive("lattice", l.String()) }
