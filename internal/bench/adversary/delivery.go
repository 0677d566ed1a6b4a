package adversary

import (
	"crypto/sha256"
	"fmt"
	"image"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/mark"
)

// conceptNumber is the concept all files carry.
const conceptNumber = 17

// delivery is one delivery: its keys, and readers that hold them.
type delivery struct {
	keys  mark.Keys
	books *mark.Books
}

// newDelivery draws the keys of a delivery from a seed and a licence's name.
func newDelivery(seed uint64, licence string) *delivery {
	secret := sha256.Sum256(fmt.Appendf(nil, "filigrane/bench/attacks %d", seed))
	master, err := mark.NewKey(secret[:])
	if err != nil {
		panic("adversary: " + err.Error()) // only for a wrong length
	}
	ks := master.Delivery(mark.Path{Bank: "bench", Licence: licence}).Keys()
	return &delivery{keys: ks, books: mark.NewBooks(mark.Profile1(), ks)}
}

// reader returns a reader for squares of that side, delivered at that size.
func (d *delivery) reader(side int) *detect.Reader {
	return detect.NewReader(mark.Profile1(), d.keys, detect.Options{Resolution: side, Watch: []int{conceptNumber}})
}

// mark marks a square as a file of the delivery.
func (d *delivery) mark(host *image.NRGBA, work int) (*image.NRGBA, error) {
	return d.markAt(host, work, StrengthDB)
}

// markAt marks at the given PSNR, in dB.
func (d *delivery) markAt(host *image.NRGBA, work int, psnrDB float64) (*image.NRGBA, error) {
	cell := mark.NewCell(mark.Profile1(), d.books, mark.Names{Concepts: []int{conceptNumber}, Work: work})
	out, _, err := embed.Mark(host, cell, embed.Options{PSNRDB: psnrDB})
	if err != nil {
		return nil, err
	}
	return out.(*image.NRGBA), nil
}

// Work numbers: those of the victims' files, and those of the files the attacker holds.
func victimWork(i int) int   { return 1001 + i }
func attackerWork(i int) int { return 500001 + i }

// victim returns the host and the delivered file of victim i.
func (l *lab) victim(i, side int) (host, marked *image.NRGBA, err error) {
	if host, err = square(l.victims[i], side); err != nil {
		return nil, nil, err
	}
	if marked, err = l.ours.mark(host, victimWork(i)); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", l.victims[i].Name, err)
	}
	return host, marked, nil
}
