package detect

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"

	"github.com/filigrane/filigrane/mark"
)

// Rank is the second opinion on a reading: how its statistics stand among those of keys that were never
// embedded, drawn after the fact. It assumes nothing but that the true key is independent of the material.
type Rank struct {
	Decoys   int     `json:"decoys"`
	Delivery Placing `json:"delivery"`
	Concept  Placing `json:"concept"` // the best concept of each key's family
	Work     Placing `json:"work"`    // the best work of each key's family
}

// Placing compares one statistic with those of the decoys.
type Placing struct {
	AtLeast int     `json:"at_least"` // decoys that reached the reading's T
	Highest float64 `json:"highest"`  // the best decoy's T
	P       float64 `json:"p"`        // (1 + AtLeast) / (1 + Decoys)
}

func (p *Placing) add(t, own float64) {
	p.Highest = max(p.Highest, t)
	if t >= own {
		p.AtLeast++
	}
}

// Rank draws keys from a seed of the caller's choice and reads the reading's material, at its alignment,
// with each. A decoy costs about as much as naming concepts and works once (10 ms).
func (r *Reader) Rank(of Reading, seed []byte, decoys int) Rank {
	rank := Rank{Decoys: decoys}
	s, at := of.material.spectrum, of.material.alignment
	if s == nil || decoys <= 0 {
		return rank
	}
	concept, work := r.vector(s, mark.Concept, at), r.vector(s, mark.Work, at)
	best := of.Best.T
	if len(of.Concepts) > 0 {
		best = of.Concepts[0].T
	}
	afterDelivery := concept
	if of.DeliveryFound() {
		afterDelivery, _ = concept.without([]mark.Codeword{r.delivery})
	}
	for i := range decoys {
		b := mark.NewBooks(r.profile, decoyKey(seed, i).Keys())
		rank.Delivery.add(concept.t(b[mark.Concept].Codeword(mark.DeliveryCodeword)), of.Delivery.T)
		top, _ := family(afterDelivery, b[mark.Concept], b[mark.Concept].Slots())
		rank.Concept.add(top.t, best)
		top, _ = family(work, b[mark.Work], 0)
		rank.Work.add(top.t, of.Work.T)
	}
	for _, p := range []*Placing{&rank.Delivery, &rank.Concept, &rank.Work} {
		p.P = float64(1+p.AtLeast) / float64(1+decoys)
	}
	return rank
}

// decoyKey returns HKDF-SHA-256 of the seed under info = "filigrane/decoy/v1" and the decoy's number, big-endian.
func decoyKey(seed []byte, i int) mark.Key {
	out, err := hkdf.Key(sha256.New, seed, nil, string(binary.BigEndian.AppendUint64([]byte("filigrane/decoy/v1"), uint64(i))), mark.KeySize)
	if err != nil {
		panic("detect: " + err.Error())
	}
	k, err := mark.NewKey(out)
	if err != nil {
		panic("detect: " + err.Error())
	}
	return k
}
