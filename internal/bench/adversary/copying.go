package adversary

import (
	"image"
	"math"

	"github.com/filigrane/filigrane/iscc"
)

// codeBits is the length of the Image-Codes that "filigrane detect" tells near-duplicates by.
const codeBits = 64

// gains are how much of the copied residual is put on.
var gains = []struct {
	name string
	by   float64
}{{"halved", 0.5}, {"in full", 1}}

// copying takes what a denoiser takes out of one delivered file and puts it on another photograph: the copy
// attack of Kutter, Voloshynovskiy and Herrigel (2000). Right are the names of the file copied from, which
// the reader should give: the picture then differs from the work it is said to be.
func (l *lab) copying() ([]Row, error) {
	all := make([][]outcome, len(gains))
	distance := make([]int, len(l.victims)) // of the pasted picture from the work it is said to be
	whole := make([]int, len(l.victims))    // of the delivered file from that work
	for k := range all {
		all[k] = make([]outcome, len(l.victims))
	}
	err := l.each(len(l.victims), func(i int) error {
		source, err := square(l.mine[i%len(l.mine)], l.Side)
		if err != nil {
			return err
		}
		stolen, err := l.ours.mark(source, attackerWork(i))
		if err != nil {
			return err
		}
		target, err := square(l.victims[i], l.Side)
		if err != nil {
			return err
		}
		named := iscc.ImageCode(source, codeBits)
		whole[i] = iscc.Distance(named, iscc.ImageCode(stolen, codeBits))
		smooth := shrink(stolen)
		for k, g := range gains {
			pasted := paste(target, stolen, smooth, g.by)
			if all[k][i], err = l.ours.read(l.Side, exhibit{pasted, target, nil, []int{attackerWork(i)}}); err != nil {
				return err
			}
			distance[i] = iscc.Distance(named, iscc.ImageCode(pasted, codeBits))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var rows []Row
	for k, g := range gains {
		r := row("copy", "what wavelet shrinkage takes out, "+g.name, 1, all[k])
		r.Distance, r.DeliveredDistance = rangeOf(distance), rangeOf(whole)
		rows = append(rows, r)
	}
	return rows, nil
}

// mostCopied bounds what is copied, in levels: what is more is an edge of the file copied from, not a mark.
const mostCopied = 3 * noiseLevels

// paste adds what b lacks of a, cut off at mostCopied, times gain, to a picture.
func paste(to, a, b *image.NRGBA, gain float64) *image.NRGBA {
	out := image.NewNRGBA(to.Rect)
	for i := range out.Pix {
		if i%4 == 3 {
			out.Pix[i] = to.Pix[i]
			continue
		}
		d := math.Max(-mostCopied, math.Min(mostCopied, float64(a.Pix[i])-float64(b.Pix[i])))
		out.Pix[i] = level(float64(to.Pix[i]) + gain*d)
	}
	return out
}
