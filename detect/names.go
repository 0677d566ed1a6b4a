package detect

import (
	"math"

	"github.com/filigrane/filigrane/mark"
)

// readAt reads all three lattices at one alignment. contrast is nil, or what sets the pictures apart from others of their
// source: then concepts are read from it.
func (r *Reader) readAt(s, contrast *spectrum, at Alignment, by Chooser, tr Trials) Reading {
	out := Reading{Alignment: at, By: by}
	c := r.vector(s, mark.Concept, at)
	out.Delivery = finding(0, c.t(r.delivery), tr.delivery(by))
	if out.DeliveryFoundAt(r.opt.FWER) {
		_, amplitudes := c.without([]mark.Codeword{r.delivery})
		out.Delivery.RMS = r.rms(s, mark.Concept, at, max(0, amplitudes[0]))
	}
	out.spectrum, out.contrast = s, contrast
	if contrast == nil {
		r.readConcepts(&out, s, c, tr)
	} else {
		r.readConcepts(&out, contrast, r.vector(contrast, mark.Concept, at), tr)
	}
	if out.Work = finding(0, 0, 0); !r.opt.WithoutWorks {
		r.readWork(&out, s, at, tr)
	}
	return out
}

// readConcepts names concepts by successive cancellation: the delivery's codeword, if found, is fitted and
// taken out, then the best concept, and so on. The k-th concept is tested at M 2^k: however many true ones come first, the
// chances of a false one add up to no more than one part of the error rate, 1/2 + 1/4 + ... of it.
func (r *Reader) readConcepts(out *Reading, s *spectrum, c *vector, tr Trials) {
	b := r.books[mark.Concept]
	var known []mark.Codeword
	if out.DeliveryFoundAt(r.opt.FWER) {
		known = append(known, r.delivery)
	}
	withDelivery := len(known)
	rest, amplitudes := c.without(known)
	for _, n := range r.opt.Watch {
		m := 2 * tr.concepts()
		out.Watched = append(out.Watched, finding(n, rest.t(b.Codeword(r.profile.ConceptCodeword(n))), m))
	}
	for {
		top, second := r.bestConcepts(rest)
		f := finding(r.conceptNumber(top.codeword), top.t, tr.concepts()*math.Pow(2, float64(1+len(out.Concepts))))
		if second.codeword != top.codeword {
			f.RunnerUp = &RunnerUp{Number: r.conceptNumber(second.codeword), T: second.t}
		}
		if f.P > r.opt.FWER || len(out.Concepts) == r.opt.MaxConcepts {
			out.Best = f
			break
		}
		out.Concepts = append(out.Concepts, f)
		known = append(known, b.Codeword(top.codeword))
		rest, amplitudes = c.without(known)
	}
	if withDelivery == 1 && out.contrast == nil { // fitted beside the concepts it is more exact
		out.Delivery.RMS = r.rms(s, mark.Concept, out.Alignment, max(0, amplitudes[0]))
	}
	total := 0.0
	for i := range out.Concepts {
		a := max(0, amplitudes[withDelivery+i])
		out.Concepts[i].RMS = r.rms(s, mark.Concept, out.Alignment, a)
		out.Concepts[i].Share = a * a
		total += a * a
	}
	for i := range out.Concepts {
		out.Concepts[i].Share /= max(total, math.SmallestNonzeroFloat64)
	}
}

// bestConcepts returns the two best of the concepts that could be named.
func (r *Reader) bestConcepts(v *vector) (top, second peak) {
	b := r.books[mark.Concept]
	if len(r.opt.Catalogue) == 0 {
		return family(v, b, b.Slots())
	}
	first := r.profile.ConceptCodeword(r.opt.Catalogue[0])
	top, second = peak{first, math.Inf(-1)}, peak{first, 0}
	for k, n := range r.opt.Catalogue {
		i := r.profile.ConceptCodeword(n)
		switch p := (peak{i, v.t(b.Codeword(i))}); {
		case k == 0:
			top = p
		case p.t > top.t:
			top, second = p, top
		case k == 1 || p.t > second.t:
			second = p
		}
	}
	return top, second
}

func (r *Reader) conceptNumber(codeword int) int { return codeword - r.books[mark.Concept].Slots() + 1 }

// readWork names the work, trying the four places the pilot leaves open, the nearest to the picture's
// centre first, until one is significant; all four are counted.
func (r *Reader) readWork(out *Reading, s *spectrum, at Alignment, tr Trials) {
	for i, place := range places(at) {
		v := r.vector(s, mark.Work, place)
		top, second := family(v, r.books[mark.Work], 0)
		f := finding(top.codeword+1, top.t, tr.works())
		f.RunnerUp = &RunnerUp{Number: second.codeword + 1, T: second.t}
		if i == 0 || f.T > out.Work.T {
			out.Work = f
			if f.P <= r.opt.FWER {
				out.Work.RMS = r.rms(s, mark.Work, place, max(0, v.fit([]mark.Codeword{r.books[mark.Work].Codeword(top.codeword)})[0]))
			}
			out.Alignment = place
			out.Alignment.ShiftX, out.Alignment.ShiftY = wrap(place.ShiftX), wrap(place.ShiftY)
		}
		if out.Work.P <= r.opt.FWER {
			return
		}
	}
}

// places returns the alignments that differ from at by half cells, the one nearest the centre first.
func places(at Alignment) []Alignment {
	at.ShiftX, at.ShiftY = nearest(at.ShiftX), nearest(at.ShiftY)
	var ps []Alignment
	for _, d := range [workPlaces][2]float64{{0, 0}, {0.5, 0}, {0, 0.5}, {0.5, 0.5}} {
		p := at
		p.ShiftX += d[0]
		p.ShiftY += d[1]
		ps = append(ps, p)
	}
	return ps
}

// nearest brings a shift into -0.25 to 0.25 cells.
func nearest(x float64) float64 { return x - math.Floor(x*pilotStep+0.5)/pilotStep }

// wrap brings a shift into -0.5 to 0.5 cells.
func wrap(x float64) float64 { return x - math.Floor(x+0.5) }
