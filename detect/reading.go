package detect

import (
	"math"
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
	// AsDelivered is the alignment of the file that was delivered, resized: nothing chose it. It is read where the pilot is not
	// significant, since whoever averages files can take the pilot out, and cannot take the works out.
	AsDelivered Chooser = "as delivered"
)

var choosers = [...]Chooser{ByPilot, ByDelivery, AsDelivered}

// Trials is M itemised: everything that could have been named.
type Trials struct {
	Keys       int     `json:"keys"`        // delivery keys in scope
	Lattices   int     `json:"lattices"`    // families that share the error rate
	Choosers   int     `json:"choosers"`    // alignments read in the end
	Alignments float64 `json:"alignments"`  // what the delivery codeword's search costs: classes x members of the class it chose
	Concepts   int     `json:"concepts"`    // codewords of lattice C
	Works      int     `json:"works"`       // codewords of lattice W
	WorkPlaces int     `json:"work_places"` // half-cell shifts the pilot leaves open
	Frames     int     `json:"frames"`      // sizes, rotations, stretches and windows that may be tried with the pilot and the delivery's codeword
	// Combed is how many frames the comb goes through to put those forward. It looks at the material and no key: they cost nothing.
	Combed int `json:"combed"`
}

func (t Trials) shared() float64 { return float64(t.Keys * t.Lattices * t.Choosers) }

func (t Trials) delivery(by Chooser) float64 {
	if by == ByDelivery {
		return t.shared() * t.Alignments
	}
	return t.shared()
}

func (t Trials) concepts() float64 { return t.shared() * float64(t.Concepts) }

func (t Trials) works() float64 { return t.shared() * float64(t.Works) * float64(t.WorkPlaces) }

// Thresholds are the T needed at an error rate.
type Thresholds struct {
	Delivery float64 `json:"delivery"` // at the pilot's alignment
	Concept  float64 `json:"concept"`  // the first, after the delivery's codeword was taken out
	Work     float64 `json:"work"`
}

// Thresholds returns the T at which a codeword of each kind is named.
func (t Trials) Thresholds(fwer float64) Thresholds {
	return Thresholds{
		Delivery: threshold(t.delivery(ByPilot), fwer),
		Concept:  threshold(2*t.concepts(), fwer),
		Work:     threshold(t.works(), fwer),
	}
}

// Finding is one codeword tested.
type Finding struct {
	Number   int       `json:"number"`               // concept or work number, 0 for the delivery
	T        float64   `json:"t"`                    // statistic, at most the square root of the coefficients
	M        float64   `json:"m"`                    // hypotheses that could have been named in its stead
	P        float64   `json:"p"`                    // min(1, M exp(-T^2/2))
	Share    float64   `json:"share,omitempty"`      // of the power of all concepts named
	RMS      float64   `json:"rms_levels,omitempty"` // estimated strength, 8-bit levels, as if spread evenly
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
	Against   int       `json:"against,omitempty"` // others of their source that concepts were read against
	FWER      float64   `json:"fwer"`
	Delivery  Finding   `json:"delivery"`
	Concepts  []Finding `json:"concepts"`          // named directly from lattice C, strongest first
	Best      Finding   `json:"best"`              // the best concept not named
	Watched   []Finding `json:"watched,omitempty"` // those of Options.Watch, whatever their rank; with p as if each had been the best
	Work      Finding   `json:"work"`
	Pilot     float64   `json:"pilot_t"` // at its best alignment; chooses, names nothing
	Alignment Alignment `json:"alignment"`
	By        Chooser   `json:"alignment_by"`
	Piece     *Piece    `json:"piece,omitempty"` // the part of the picture that was read, where that is not all of it
	Trials    Trials    `json:"trials"`
	// Detectable says how weak a mark would have been found with probability 0.9.
	Detectable Detectable `json:"detectable"`

	spectrum *spectrum // what it was made from
	contrast *spectrum // what its concepts were read from, where that is another
	frame    frame     // of the first picture
	carried  weight    // of the reading that alignment and spectra are of
}

// Piece is a part of a picture, in pixels from its upper left corner.
type Piece struct {
	X      int `json:"x"`
	Y      int `json:"y"`
	Width  int `json:"width"`
	Height int `json:"height"`
}

// Detectable holds the weakest marks that would have been found with probability 0.9, as RMS in 8-bit
// levels of a mark spread evenly over the picture (a standard delivery's whole mark has 2.0); 0 where the
// material could not show any.
type Detectable struct {
	Delivery float64 `json:"delivery"`
	Concept  float64 `json:"concept"`
	Work     float64 `json:"work"`
}

// WorkFound says whether the work was named at the accepted error rate.
func (r *Reading) WorkFound() bool { return r.Work.P <= r.FWER }

// DeliveryFound says whether the delivery's codeword was named at the accepted error rate.
func (r *Reading) DeliveryFound() bool { return r.DeliveryFoundAt(r.FWER) }

// DeliveryFoundAt says whether the delivery's codeword was named at the given error rate.
func (r *Reading) DeliveryFoundAt(fwer float64) bool { return r.Delivery.P <= fwer }

// LeastP returns the smallest p of all findings.
func (r *Reading) LeastP() float64 {
	p := min(r.Delivery.P, r.Best.P, r.Work.P)
	for _, c := range r.Concepts {
		p = min(p, c.P)
	}
	return p
}

// merge keeps, lattice by lattice, the stronger of two readings of the same material. Where the picture lies is that of the
// reading with the most telling finding.
func (r *Reading) merge(o Reading) {
	first := r.By == ""
	if first || o.Delivery.P < r.Delivery.P || o.Delivery.P == r.Delivery.P && o.Delivery.T > r.Delivery.T {
		r.Delivery = o.Delivery
	}
	if first || len(o.Concepts) > len(r.Concepts) || len(o.Concepts) == len(r.Concepts) && score(o) > score(*r) {
		r.Concepts, r.Best, r.Watched = o.Concepts, o.Best, o.Watched
	}
	if first || o.Work.T > r.Work.T {
		r.Work = o.Work
	}
	if carried := o.carries(r.FWER); first || carried.over(r.carried) {
		r.carried = carried
		r.Alignment, r.By, r.Piece, r.frame, r.spectrum, r.contrast = o.Alignment, o.By, o.Piece, o.frame, o.spectrum, o.contrast
	}
}

// weight is what a reading at one alignment has to say: the kind of its most telling finding, 0 for none, and T.
type weight struct {
	kind int
	t    float64
}

// over says whether w says more than v. Where neither has anything to say the first stays: T of noise chooses no alignment.
func (w weight) over(v weight) bool {
	return w.kind > v.kind || w.kind == v.kind && w.kind > 0 && w.t > v.t
}

// carries returns the weight of a reading at one alignment.
func (r *Reading) carries(fwer float64) weight {
	switch {
	case r.Work.P <= fwer:
		return weight{3, r.Work.T}
	case len(r.Concepts) > 0:
		return weight{2, r.Concepts[0].T}
	case r.DeliveryFoundAt(fwer):
		return weight{1, r.Delivery.T}
	}
	return weight{}
}

func score(r Reading) float64 {
	if len(r.Concepts) > 0 {
		return r.Concepts[0].T
	}
	return r.Best.T
}
