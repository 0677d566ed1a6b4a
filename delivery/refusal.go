package delivery

import (
	"errors"
	"fmt"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/raster"
)

// Kind is the machine-readable reason of a Refusal. The strings are stable. Those of raster.Kind are used as
// they are ("truncated", "cmyk", "animated"); the others are below. New kinds are added at the end.
type Kind string

// Reasons besides those of package raster.
const (
	Missing         Kind = "missing"           // there is no master
	MasterChanged   Kind = "master_changed"    // the bytes are not those the catalogue names
	TooSmall        Kind = "too_small"         // too few pixels for the geometry or for a mark
	TooManyConcepts Kind = "too_many_concepts" // more than one image can carry
	Clips           Kind = "clips"             // the samples clip or round away: a white page
	MarkUnreadable  Kind = "mark_unreadable"   // written and re-read, the mark was not found down to the floor
	Fault           Kind = "fault"             // a fault of this program, to be reported
	Poison          Kind = "poison"            // the process that worked on it died, again and again
)

// Refusal says why a work is not in the delivery.
type Refusal struct {
	Work   concepts.WorkID `json:"work"`
	Path   string          `json:"path"`
	Kind   Kind            `json:"kind"`
	Detail string          `json:"detail"` // one line for people: what is wrong and what to do about it
}

// refusal is a Refusal on its way up, before the work is known.
type refusal struct {
	kind   Kind
	detail string
	// passing: due to circumstances, not to the master's bytes. A resumed run tries again.
	passing bool
}

func (r *refusal) Error() string { return string(r.kind) + ": " + r.detail }

func refuse(kind Kind, format string, args ...any) *refusal {
	return &refusal{kind: kind, detail: fmt.Sprintf(format, args...)}
}

// refusalOf turns what raster says about a file into a refusal.
func refusalOf(err error) *refusal {
	var e *raster.Error
	if errors.As(err, &e) {
		return refuse(Kind(e.Kind), "%s", e.Detail)
	}
	return refuse(Fault, "%v", err)
}
