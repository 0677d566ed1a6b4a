package detect

import (
	"math"

	"github.com/filigrane/filigrane/mark"
)

// Verdict is the answer of a reading. It is never a bare boolean: absent says how weak a mark would have
// been missed, ambiguous says why.
type Verdict string

const (
	Attributed Verdict = "attributed" // at least one name at the accepted error rate
	Absent     Verdict = "absent"     // nothing at the accepted error rate
	Ambiguous  Verdict = "ambiguous"  // something at a thousand times that rate, or names that contradict
)

// Chooser says which key's codeword chose an alignment.
type Chooser string

const (
	// ByPilot alignments are independent of the keys of lattices C and W: they cost these no trials.
	ByPilot Chooser = "pilot"
	// ByDelivery alignments were chosen by the delivery's codeword of lattice C: its own test counts every
	// alignment, those of concepts and works none.
	ByDelivery Chooser = "delivery codeword"
)

// Trials is M itemised: everything that could have been named.
type Trials struct {
	Lattices   int     `json:"lattices"`    // families that share the error rate
	Choosers   int     `json:"choosers"`    // alignments read in the end
	Alignments float64 `json:"alignments"`  // what the delivery codeword's search costs: classes x members of the class it chose
	Concepts   int     `json:"concepts"`    // codewords of lattice C
	Works      int     `json:"works"`       // codewords of lattice W
	WorkPlaces int     `json:"work_places"` // half-cell shifts the pilot leaves open
}

func (t Trials) shared() float64 { return float64(t.Lattices * t.Choosers) }

func (t Trials) delivery(by Chooser) float64 {
	if by == ByDelivery {
		return t.shared() * t.Alignments
	}
	return t.shared()
}

func (t Trials) concepts() float64 { return t.shared() * float64(t.Concepts) }

func (t Trials) works() float64 { return t.shared() * float64(t.Works) * float64(t.WorkPlaces) }

// Finding is one codeword tested.
type Finding struct {
	Number   int       `json:"number"`          // concept or work number, 0 for the delivery
	T        float64   `json:"t"`               // statistic, at most the square root of the coefficients
	M        float64   `json:"m"`               // hypotheses that could have been named in its stead
	P        float64   `json:"p"`               // min(1, M exp(-T^2/2))
	Share    float64   `json:"share,omitempty"` // of the power of all concepts named
	RunnerUp *RunnerUp `json:"runner_up,omitempty"`
}

// RunnerUp is the second best codeword of a family.
type RunnerUp struct {
	Number int     `json:"number"`
	T      float64 `json:"t"`
}

func finding(number int, t, m float64) Finding {
	return Finding{Number: number, T: t, M: m, P: Bound(t, m)}
}

// Bound returns min(1, m exp(-t^2/2)), the chance that any of m codewords independent of the material
// reaches t; 1 for t <= 0. Hoeffding's inequality on a sum of signs: E exp(u s a) = cosh(u a) <= exp(u^2 a^2/2).
func Bound(t, m float64) float64 {
	if t <= 0 {
		return 1
	}
	return math.Min(1, m*math.Exp(-t*t/2))
}

// Reading is what was measured and decided on one picture, or several folded together.
type Reading struct {
	Verdict   Verdict   `json:"verdict"`
	Reason    string    `json:"reason"`
	Images    int       `json:"images"`
	FWER      float64   `json:"fwer"`
	Delivery  Finding   `json:"delivery"`
	Concepts  []Finding `json:"concepts"` // named directly from lattice C, strongest first
	Best      Finding   `json:"best"`     // the best concept not named
	Work      Finding   `json:"work"`
	Pilot     float64   `json:"pilot_t"` // at its best alignment; chooses, names nothing
	Alignment Alignment `json:"alignment"`
	By        Chooser   `json:"alignment_by"`
	Trials    Trials    `json:"trials"`
	// Detectable amplitudes, relative to a standard delivery's: the weakest mark that would have been
	// found with probability 0.9. 0 when the material cannot show any.
	Detectable Detectable `json:"detectable"`

	material measured
}

// Detectable holds the weakest findable marks as RMS in 8-bit levels, spread evenly over the picture.
type Detectable struct {
	Delivery float64 `json:"delivery"`
	Concept  float64 `json:"concept"`
	Work     float64 `json:"work"`
}

type measured struct {
	spectrum *spectrum
	concept  *vector
}

// WorkFound says whether the work was named at the accepted error rate.
func (r *Reading) WorkFound() bool { return r.Work.P <= r.FWER }

// DeliveryFound says whether the delivery's codeword was named at the accepted error rate.
func (r *Reading) DeliveryFound() bool { return r.Delivery.P <= r.FWER }

// merge keeps, lattice by lattice, the stronger of two readings of the same material.
func (r *Reading) merge(o Reading) {
	first := r.By == ""
	if first || o.Delivery.P < r.Delivery.P || o.Delivery.P == r.Delivery.P && o.Delivery.T > r.Delivery.T {
		r.Delivery = o.Delivery
	}
	if first || len(o.Concepts) > len(r.Concepts) || len(o.Concepts) == len(r.Concepts) && score(o) > score(*r) {
		r.Concepts, r.Best = o.Concepts, o.Best
	}
	if first || o.Work.T > r.Work.T {
		r.Work = o.Work
		r.Alignment, r.By, r.material = o.Alignment, o.By, o.material
	}
}

func score(r Reading) float64 {
	if len(r.Concepts) > 0 {
		return r.Concepts[0].T
	}
	return r.Best.T
}

// ambiguousFactor: between the accepted error rate and a thousand times it nothing is named, and nothing
// is called absent.
const ambiguousFactor = 1000

func (r *Reading) decide(rd *Reader) {
	limit := math.Min(0.05, r.FWER*ambiguousFactor)
	least := math.Min(r.Delivery.P, math.Min(r.Best.P, r.Work.P))
	switch {
	case r.WorkFound():
		r.Verdict, r.Reason = Attributed, "the work's own mark: this picture is, or is cut from, a delivered file; that is no evidence of training"
	case len(r.Concepts) > 0:
		r.Verdict, r.Reason = Attributed, "a concept's mark without a work's: what a model that learned from the delivery would leave, or a forger"
	case r.DeliveryFound():
		r.Verdict, r.Reason = Attributed, "the delivery's mark, no concept named"
	case least <= limit:
		r.Verdict, r.Reason = Ambiguous, "a trace between the accepted error rate and a thousand times it: read more pictures together"
	default:
		r.Verdict, r.Reason = Absent, "no mark of this delivery at the accepted error rate; a weaker one than the detectable amplitude may be there"
	}
	_ = rd
	_ = mark.Concept
}
