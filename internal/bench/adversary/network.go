package adversary

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/disintegration/imaging"
)

// Removers are the networks of lab/remover.py, by what they were trained on.
//
//	other   the attacker's own photographs, marked with keys of his own: anybody can
//	same    the attacker's own photographs, marked with the very keys of the victims: an insider of the bank
var Removers = []string{"other", "same"}

// pairsFile says what a folder of pairs was made with.
const pairsFile = "pairs.json"

type pairs struct {
	Seed  uint64 `json:"seed"`
	Side  int    `json:"side"`
	Train int    `json:"train"`
	Test  int    `json:"test"`
}

func pictureFile(dir, set, kind string, i int) string {
	return filepath.Join(dir, set, kind, fmt.Sprintf("%03d.png", i))
}

// WritePairs writes what lab/remover.py trains on and is tried on, below dir:
//
//	train/host/NNN.png    the attacker's photographs
//	train/other/NNN.png   the same, each marked with another key of his own
//	train/same/NNN.png    the same, marked with the victims' keys, each as another work
//	test/marked/NNN.png   the victims' files
//
// remover.py writes test/other/NNN.png and test/same/NNN.png: what each network says the mark added, in eighths
// of a level around 128. Setup.Removed names dir then.
func WritePairs(ctx context.Context, s Setup, dir string) error {
	l, err := newLab(ctx, s)
	if err != nil {
		return err
	}
	l.stage = "writing pairs"
	train := len(l.mine)
	err = l.each(train+len(l.victims), func(i int) error {
		if i >= train {
			_, marked, err := l.victim(i-train, s.Side)
			if err != nil {
				return err
			}
			return writePNG(pictureFile(dir, "test", "marked", i-train), marked)
		}
		host, err := square(l.mine[i], s.Side)
		if err != nil {
			return err
		}
		if err := writePNG(pictureFile(dir, "train", "host", i), host); err != nil {
			return err
		}
		own := newDelivery(s.Seed, fmt.Sprintf("the attacker's own, %d", i))
		for kind, d := range map[string]*delivery{"other": own, "same": l.ours} {
			marked, err := d.mark(host, attackerWork(i))
			if err != nil {
				return fmt.Errorf("%s: %w", l.mine[i].Name, err)
			}
			if err := writePNG(pictureFile(dir, "train", kind, i), marked); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(pairs{s.Seed, s.Side, train, len(l.victims)})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, pairsFile), append(text, '\n'), 0o644)
}

func writePNG(name string, img image.Image) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	return errors.Join(enc.Encode(f, img), f.Close())
}

func readPNG(name string) (*image.NRGBA, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return imaging.Clone(img), nil
}

// network reads what the trained removers left of the victims' files.
func (l *lab) network() ([]Row, error) {
	if l.Removed == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(l.Removed, pairsFile))
	if err != nil {
		return nil, err
	}
	var made pairs
	if err := json.Unmarshal(text, &made); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(l.Removed, pairsFile), err)
	}
	if want := (pairs{l.Seed, l.Side, len(l.mine), len(l.victims)}); made != want {
		return nil, fmt.Errorf("%s was made with %+v, this run has %+v: give the same photographs, --side and --seed", l.Removed, made, want)
	}
	var rows []Row
	for _, kind := range Removers {
		more, err := l.cleaned(kind)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// pushes are how many times what a network says is taken out: it says too little where it is not sure, and an
// attacker who wants the mark gone takes more.
var pushes = []struct {
	name string
	by   float64
}{{"once", 1}, {"twice", 2}}

// cleaned takes what one network says out of the victims' files, and reads what is left.
func (l *lab) cleaned(kind string) ([]Row, error) {
	all := make([][]outcome, len(pushes))
	for k := range all {
		all[k] = make([]outcome, len(l.victims))
	}
	err := l.each(len(l.victims), func(i int) error {
		host, marked, err := l.victim(i, l.Side)
		if err != nil {
			return err
		}
		said, err := readPNG(pictureFile(l.Removed, "test", kind, i))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w; run lab/remover.py %s", err, l.Removed)
		}
		if err != nil {
			return err
		}
		if said.Rect != host.Rect {
			return fmt.Errorf("%s has the wrong size", pictureFile(l.Removed, "test", kind, i))
		}
		for k, p := range pushes {
			pushed := without(marked, said, p.by)
			if all[k][i], err = l.ours.read(l.Side, exhibit{pushed, host, marked, []int{victimWork(i)}}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var rows []Row
	for k, p := range pushes {
		rows = append(rows, row("network", "trained with "+kind+" keys, taken out "+p.name, len(l.mine), all[k]))
	}
	return rows, nil
}

// without takes what a network said, times gain, out of a picture.
func without(img, said *image.NRGBA, gain float64) *image.NRGBA {
	out := imaging.Clone(img)
	for i := range out.Pix {
		if i%4 != 3 {
			out.Pix[i] = level(float64(img.Pix[i]) - gain*(float64(said.Pix[i])-128)/8)
		}
	}
	return out
}
