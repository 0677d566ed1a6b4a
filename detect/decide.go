package detect

import "math"

// ambiguousFactor: between the accepted error rate and a thousand times it nothing is named, and nothing
// is called absent.
const ambiguousFactor = 1000

func (r *Reading) decide() {
	limit := math.Min(0.05, r.FWER*ambiguousFactor)
	switch {
	case r.WorkFound():
		r.Verdict, r.Reason = Attributed, "the work's own mark: this picture is, or is cut from, a delivered file; that is no evidence of training"
	case len(r.Concepts) > 0:
		r.Verdict, r.Reason = Attributed, "a concept's mark without a work's: what a model that learned from the delivery would leave, or a forger"
	case r.DeliveryFound():
		r.Verdict, r.Reason = Attributed, "the delivery's mark, no concept named"
	case r.LeastP() <= limit:
		r.Verdict, r.Reason = Ambiguous, "a trace between the accepted error rate and a thousand times it: read more pictures together"
	default:
		r.Verdict, r.Reason = Absent, "no mark of this delivery at the accepted error rate; a weaker one than the detectable amplitude may be there"
	}
}
