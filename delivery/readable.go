package delivery

import "fmt"

// Readable says what the closed loop makes sure of before a delivery is finished.
type Readable string

// The rules of acceptance. Under ReadableEach every file must be readable by itself: written, as a JPEG copy, as a
// thumbnail, as a quarter. Small pictures cannot be: 128 x 128 pixels of square:128 are four cells, too few to name
// one of 65,536 concepts. Under ReadablePool every picture is marked once, at the preset's strength and no stronger,
// and at the end the delivered files of each concept are read together: see Pool.
const (
	ReadableEach Readable = "each"
	ReadablePool Readable = "pool"
)

// ParseReadable reads the name of a rule.
func ParseReadable(text string) (Readable, error) {
	switch r := Readable(text); r {
	case ReadableEach, ReadablePool:
		return r, nil
	}
	return "", fmt.Errorf("delivery: no rule %q of what must be readable; choose each or pool", text)
}

// String returns the name; the empty rule is each.
func (r Readable) String() string {
	if r == "" {
		return string(ReadableEach)
	}
	return string(r)
}

// CheckGeometry says whether a geometry's R, in pixels, is within the rule's bounds.
func (r Readable) CheckGeometry(g Geometry) error {
	if r != ReadablePool && g.Resolution < MinResolutionEach {
		return fmt.Errorf("delivery: %v leaves too few cells for every file to be readable by itself, which needs an R of %d to %d; choose a larger R, or --readable pool, which takes %d and more",
			g, MinResolutionEach, MaxResolution, MinResolution)
	}
	if r == ReadablePool && g.Buckets {
		return fmt.Errorf("delivery: pictures of %v have cells of several shares of their short sides and cannot be read together; choose a square geometry, or readable each", g)
	}
	return nil
}
