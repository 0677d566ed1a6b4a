package iscc

import (
	"encoding/base32"
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// Kind is what a unit was computed of.
type Kind uint8

// Kinds of units. The zero Kind is that of the zero Code, which is no code.
const (
	Image    Kind = 1 + iota // pixels
	Instance                 // bytes
)

// String gives the name of the unit in the standard.
func (k Kind) String() string {
	switch k {
	case Image:
		return "Image-Code"
	case Instance:
		return "Instance-Code"
	}
	return "no code"
}

// Lengths of units, in bits. Every multiple of lengthStep between them is a length.
const (
	MinBits     = 32
	DefaultBits = 64
	MaxBits     = 256
	lengthStep  = 32
)

// Code is one unit. Codes are equal (==) when kind, length and bits are. The zero Code is none: it has no bits.
type Code struct {
	kind   Kind
	length uint16 // bits
	digest [MaxBits / 8]byte
}

// newCode takes the first length bits of a digest. It panics on a length that no unit has.
func newCode(k Kind, digest []byte, length int) Code {
	checkLength(length)
	c := Code{kind: k, length: uint16(length)}
	copy(c.digest[:length/8], digest)
	return c
}

func checkLength(n int) {
	if n < MinBits || n > MaxBits || n%lengthStep != 0 {
		panic(fmt.Sprintf("iscc: a code has a multiple of %d bits, %d to %d, not %d", lengthStep, MinBits, MaxBits, n))
	}
}

// Kind returns what the code was computed of; 0 for the zero Code.
func (c Code) Kind() Kind { return c.kind }

// Len returns the number of bits; 0 for the zero Code.
func (c Code) Len() int { return int(c.length) }

// IsZero says that there is no code. Package encoding/json uses it too.
func (c Code) IsZero() bool { return c.length == 0 }

// Bits returns a copy of the bits, the first one highest in the first byte.
func (c Code) Bits() []byte { return append([]byte(nil), c.digest[:c.length/8]...) }

// word returns the first 64 bits.
func (c Code) word() uint64 {
	var w uint64
	for _, b := range c.digest[:8] {
		w = w<<8 | uint64(b)
	}
	return w
}

// Main types and subtypes of the header.
const (
	mainContent, mainInstance = 2, 4
	subNone, subImage         = 0, 1
	prefix                    = "ISCC:"
	headerBytes               = 2
)

var alphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// String writes the unit, prefix included; "" for the zero Code.
func (c Code) String() string {
	var head byte
	switch c.kind {
	case Image:
		head = mainContent<<4 | subImage
	case Instance:
		head = mainInstance<<4 | subNone
	default:
		return ""
	}
	raw := append([]byte{head, byte(c.length/lengthStep - 1)}, c.digest[:c.length/8]...)
	return prefix + alphabet.EncodeToString(raw)
}

// Parse reads a unit in its canonical form, that of String, and nothing else: writing the result gives s again.
// The error says what is wrong: no prefix, letters that are not base32, a header of another unit or version, or
// fewer or more bits than the header says.
func Parse(s string) (Code, error) {
	body, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return Code{}, errors.New("iscc: a code begins with " + prefix + " in capitals")
	}
	if longest := alphabet.EncodedLen(headerBytes + MaxBits/8); len(body) > longest {
		return Code{}, fmt.Errorf("iscc: %d letters; a unit has at most %d", len(body), longest)
	}
	if i := strings.IndexFunc(body, func(r rune) bool { return !(r >= 'A' && r <= 'Z' || r >= '2' && r <= '7') }); i >= 0 {
		return Code{}, fmt.Errorf("iscc: letter %d of %q is not one of A-Z and 2-7, the letters of base32", i+1, body)
	}
	raw, err := alphabet.DecodeString(body)
	if err != nil || len(raw) < headerBytes {
		return Code{}, fmt.Errorf("iscc: %q is cut off: %d letters make no whole number of bytes, or no header", s, len(body))
	}
	c, err := fromRaw(raw)
	if err != nil {
		return Code{}, err
	}
	if c.String() != s {
		return Code{}, fmt.Errorf("iscc: %q has bits after its end; it is %q", s, c)
	}
	return c, nil
}

// fromRaw reads header and bits.
func fromRaw(raw []byte) (Code, error) {
	main, sub, version, length := raw[0]>>4, raw[0]&15, raw[1]>>4, int(raw[1]&15)
	if version != 0 || length >= MaxBits/lengthStep {
		return Code{}, fmt.Errorf("iscc: a header of version %d and length %d; version 0 with at most %d bits is read here", version, length, MaxBits)
	}
	length = (length + 1) * lengthStep
	var k Kind
	switch {
	case main == mainContent && sub == subImage:
		k = Image
	case main == mainInstance && sub == subNone:
		k = Instance
	default:
		return Code{}, fmt.Errorf("iscc: a unit of main type %d and subtype %d; Image-Codes (%d, %d) and Instance-Codes (%d, %d) are read here",
			main, sub, mainContent, subImage, mainInstance, subNone)
	}
	if got := 8 * (len(raw) - headerBytes); got != length {
		return Code{}, fmt.Errorf("iscc: %d bits, and the header says %d", got, length)
	}
	return newCode(k, raw[headerBytes:], length), nil
}

// MarshalText is String.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is Parse; an empty text is the zero Code.
func (c *Code) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*c = Code{}
		return nil
	}
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}

// Distance counts the bits in which two codes differ. Of Image-Codes it tells how unlike the pictures are; see
// MaxDistance. It panics on codes of different kinds or lengths.
func Distance(a, b Code) int {
	if a.kind != b.kind || a.length != b.length {
		panic(fmt.Sprintf("iscc: the distance of a %s of %d bits and a %s of %d", a.kind, a.length, b.kind, b.length))
	}
	d := 0
	for i := range a.length / 8 {
		d += bits.OnesCount8(a.digest[i] ^ b.digest[i])
	}
	return d
}
