package main

import "math"

// transmissions gathers what the outputs of each class show.
type transmissions struct {
	each   [][]amounts // by class and image, out / in
	leak   []float64   // by class
	chance [][]float64 // by class and codeword that was never used, lattice C
	pilots [][]float64 // the same, lattice P
}

// point sums up. second says whether the classes have two concepts.
//
// The standard error of a codeword has two parts: the scatter between images, and what codewords that were never used
// show on the same outputs, since a model's own grid projects a little on any codeword and does not average out. The
// delivery's codeword is one for all classes, those of concepts are independent.
func (t *transmissions) point(second bool) point {
	shared, single := spreadOfMeans(t.chance), spread(t.chance)
	apart := single / math.Sqrt(float64(len(t.chance)))
	p := point{
		Delivery: t.level(func(a amounts) float64 { return a.delivery }, shared),
		Concept:  t.level(func(a amounts) float64 { return a.concept }, apart),
		Pilot:    t.level(func(a amounts) float64 { return a.pilot }, spreadOfMeans(t.pilots)),
		Work:     t.level(func(a amounts) float64 { return a.work }, 0),
		Leak:     levelOf(t.leak, make([]float64, len(t.leak)), apart),
	}
	if second {
		s := t.level(func(a amounts) float64 { return a.second }, apart)
		p.Second = &s
	}
	var all []float64
	for _, c := range t.chance {
		all = append(all, c...)
	}
	p.Chance.Transmission, _ = meanAndError(all)
	p.Chance.Error = single
	return p
}

func (t *transmissions) level(of func(amounts) float64, pattern float64) level {
	var means, errors []float64
	for _, class := range t.each {
		xs := make([]float64, len(class))
		for i, a := range class {
			xs[i] = of(a)
		}
		m, e := meanAndError(xs)
		means, errors = append(means, m), append(errors, e)
	}
	return levelOf(means, errors, pattern)
}

// levelOf takes the mean over classes. errors are those of the classes, pattern that of the mean.
func levelOf(means, errors []float64, pattern float64) level {
	l := level{Least: math.Inf(1), Error: pattern * pattern}
	n := float64(len(means))
	for i, m := range means {
		l.Transmission += m / n
		l.Error += errors[i] * errors[i] / n / n
		l.Least = math.Min(l.Least, m)
	}
	l.Error = math.Sqrt(l.Error)
	return l
}

// spread is the root mean square of all.
func spread(xs [][]float64) float64 {
	sum, n := 0.0, 0.0
	for _, row := range xs {
		for _, x := range row {
			sum += x * x
			n++
		}
	}
	return math.Sqrt(sum / n)
}

// spreadOfMeans is the root mean square, over codewords, of the mean over classes.
func spreadOfMeans(xs [][]float64) float64 {
	return spread([][]float64{mean(xs)})
}
