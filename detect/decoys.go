package detect

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"image"
	"math"

	"github.com/filigrane/filigrane/mark"
)

// Rank is the second opinion on a reading: how it stands among readings of the same pictures with keys that were
// never embedded, drawn after the fact, each with its own search for an alignment. It assumes nothing but that the
// true key is independent of the material.
type Rank struct {
	Decoys  int     `json:"n"`
	Rank    int     `json:"rank"`             // 1 if no decoy is as strong
	P       float64 `json:"p_rank"`           // Rank / (Decoys + 1): the chance of so good a rank without a mark
	Highest float64 `json:"highest_decoy"`    // the strongest decoy's Score
	Score   float64 `json:"score_of_reading"` // the reading's
}

// Score is the strongest evidence in a reading, -ln(M exp(-T^2/2)) over its findings: -ln p where the bound is
// below 1, and negative where it is not, so that weak readings can be told apart too.
func (r *Reading) Score() float64 {
	best := math.Inf(-1)
	for _, f := range append([]Finding{r.Delivery, r.Best, r.Work}, r.Concepts...) {
		if f.M > 0 {
			best = max(best, max(f.T, 0)*max(f.T, 0)/2-math.Log(f.M))
		}
	}
	return best
}

// RankAmongDecoys reads the pictures with decoys keys drawn from a seed of the caller's choice and ranks a reading
// of them, made with the same options and read against the same others (nil for none), among those. A decoy costs as much as reading an unmarked picture, less
// the preparation. It stops early, with the decoys read so far, when goOn says so; nil never does. Errors are
// those of Read.
func RankAmongDecoys(of Reading, p *mark.Profile, opt Options, seed []byte, decoys int, goOn func() bool, others *Others, imgs ...image.Image) (Rank, error) {
	ms, err := materials(imgs)
	if err != nil {
		return Rank{}, err
	}
	rank := Rank{Rank: 1, Score: of.Score(), Highest: math.Inf(-1)}
	for i := 0; i < decoys && (goOn == nil || goOn()); i++ {
		decoy := NewReader(p, decoyKey(seed, i).Keys(), opt).read(ms, others)
		s := decoy.Score()
		rank.Decoys++
		rank.Highest = max(rank.Highest, s)
		if s >= rank.Score {
			rank.Rank++
		}
	}
	rank.P = float64(rank.Rank) / float64(rank.Decoys+1)
	return rank, nil
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
