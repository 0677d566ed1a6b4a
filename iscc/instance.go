package iscc

import (
	"fmt"
	"io"

	"github.com/zeebo/blake3"
)

// InstanceCode returns the Instance-Code of what r gives up to its end: the BLAKE3 hash, all its 256 bits.
// The error is that of reading.
func InstanceCode(r io.Reader) (Code, error) {
	h := blake3.New()
	if _, err := io.Copy(h, r); err != nil {
		return Code{}, fmt.Errorf("iscc: reading: %w", err)
	}
	return newCode(Instance, h.Sum(nil), MaxBits), nil
}

// InstanceCodeOf returns the Instance-Code of data.
func InstanceCodeOf(data []byte) Code {
	sum := blake3.Sum256(data)
	return newCode(Instance, sum[:], MaxBits)
}
