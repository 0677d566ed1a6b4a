package adversary

import (
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// views are the ways a photograph is laid before it is cut: eight files of one square are eight pictures to
// whoever averages, since the mark lies the same way in all of them and the content does not.
var views = []func(image.Image) *image.NRGBA{
	imaging.Clone, imaging.FlipH, imaging.Rotate180, imaging.FlipV,
	imaging.Rotate90, imaging.Transpose, imaging.Rotate270, imaging.Transverse,
}

// file is one of the attacker's: a square of a photograph, laid some way.
type file struct{ photo, square, view int }

// files lists the attacker's files in the order in which he gets hold of them: all photographs before a
// second square of any, all squares before another view of any.
func (l *lab) files() ([]file, error) {
	squares := make([]int, len(l.mine))
	most := 0
	for i, p := range l.mine {
		img, err := p.Image()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		columns, rows := l.grid(img)
		squares[i] = columns * rows
		most = max(most, squares[i])
	}
	var all []file
	for view := range views {
		for s := range most {
			for p := range l.mine {
				if s < squares[p] {
					all = append(all, file{p, s, view})
				}
			}
		}
	}
	return all, nil
}

// step is how far apart squares of one photograph lie: they overlap by a little more than a half, and no number
// of steps below 8 is one of cells, so that what two share falls on other places of the cell.
func (l *lab) step() int { return l.FileSide/2 - 24 }

// grid says how many columns and rows of squares a photograph gives.
func (l *lab) grid(photo image.Image) (columns, rows int) {
	b := photo.Bounds()
	return (b.Dx()-l.FileSide)/l.step() + 1, (b.Dy()-l.FileSide)/l.step() + 1
}

// host cuts a file's square out of its photograph.
func (l *lab) host(photo image.Image, f file) *image.NRGBA {
	b := photo.Bounds()
	columns, _ := l.grid(photo)
	x, y := b.Min.X+f.square%columns*l.step(), b.Min.Y+f.square/columns*l.step()
	return views[f.view](imaging.Crop(photo, image.Rect(x, y, x+l.FileSide, y+l.FileSide)))
}

// holding is what the attacker knows with n files: one estimate for every group of n, as many groups as
// there are files for and victims to use them on.
type holding struct {
	n      int
	groups []*sums
}

// hold folds the attacker's files. Files that cannot carry a mark are not delivered, and are passed over.
func (l *lab) hold(files []file) ([]holding, error) {
	hs := make([]holding, len(l.Files))
	most := 0
	for k, n := range l.Files {
		if n > len(files) {
			return nil, fmt.Errorf("adversary: %d files are wanted and %d squares of %d pixels can be cut; give fewer, or more photographs", n, len(files), l.FileSide)
		}
		hs[k] = holding{n, make([]*sums, min(len(files)/n, len(l.victims)))}
		most = max(most, n*len(hs[k].groups))
	}
	byPhoto := make([][]int, len(l.mine))
	for i, f := range files[:most] {
		byPhoto[f.photo] = append(byPhoto[f.photo], i)
	}
	folded := make([]*sums, most)
	l.stage = "marking files to average"
	err := l.each(len(byPhoto), func(p int) error {
		photo, err := l.mine[p].Image()
		if err != nil {
			return err
		}
		for _, i := range byPhoto[p] {
			marked, err := l.ours.mark(l.host(photo, files[i]), attackerWork(i))
			if refused := new(embed.Error); errors.As(err, &refused) {
				continue
			}
			if err != nil {
				return err
			}
			folded[i] = foldFile(marked)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, f := range folded { // in the order of files: sums do not depend on who came first
		if f == nil {
			continue
		}
		for _, h := range hs {
			if g := i / h.n; g < len(h.groups) {
				if h.groups[g] == nil {
					h.groups[g] = &sums{}
				}
				h.groups[g].add(f)
			}
		}
	}
	return hs, nil
}

// averaging is the estimate from n files of one concept, taken out of files and put into pictures.
func (l *lab) averaging() ([]Row, error) {
	files, err := l.files()
	if err != nil {
		return nil, err
	}
	hs, err := l.hold(files)
	if err != nil {
		return nil, err
	}
	rows, err := l.averagingBaseline()
	if err != nil {
		return nil, err
	}
	for _, h := range hs {
		more, err := l.useEstimate(h, files)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// averagingBaseline reads the victims' files untouched, at the size averaging is tried on.
func (l *lab) averagingBaseline() ([]Row, error) {
	all := make([]outcome, len(l.victims))
	l.stage = "averaging, no files"
	err := l.each(len(all), func(i int) error {
		host, marked, err := l.victim(i, l.FileSide)
		if err != nil {
			return err
		}
		all[i], err = l.ours.read(l.FileSide, exhibit{marked, host, nil, []int{victimWork(i)}})
		return err
	})
	return []Row{row("averaging", "untouched", 0, all)}, err
}

// The ways an estimate is used, in the order of the table.
const (
	fromFresh = iota // subtracted from a file the attacker did not average
	fromOwn          // subtracted from one of his own n files
	combined         // concept and pilot from the n files, the work from the victim's file itself
	forgeAll         // the whole estimate put on an unmarked picture
	forgeC           // the concept's lattice only
	forgeCW          // the concept's lattice, and random waves where a work's would be
	uses
)

var useNames = [uses]string{"subtracted from a fresh file", "subtracted from one of the n", "n files for C and P, the fresh file's own fold for W",
	"forged: all lattices", "forged: C only", "forged: C, and noise of his own in W"}

func (l *lab) useEstimate(h holding, files []file) ([]Row, error) {
	all := make([][uses]outcome, len(l.victims))
	l.stage = fmt.Sprintf("averaging, %d files", h.n)
	err := l.each(len(all), func(i int) error {
		g := i % len(h.groups)
		if h.groups[g] == nil {
			return nil // none of the group's files could be marked
		}
		p, first := h.groups[g].pattern(), h.n*g
		if err := l.subtractions(&all[i], p, i); err != nil {
			return err
		}
		if err := l.forgeries(&all[i], p, i, first, h.n); err != nil {
			return err
		}
		return l.fromOwnFile(&all[i], p, files, first+i/len(h.groups)%h.n)
	})
	if err != nil {
		return nil, err
	}
	var rows []Row
	for u, name := range useNames {
		column := make([]outcome, len(all))
		for i := range all {
			column[i] = all[i][u]
		}
		rows = append(rows, row("averaging", name, h.n, column))
	}
	return rows, nil
}

// subtractions tries a pattern on a victim's file.
func (l *lab) subtractions(out *[uses]outcome, p *pattern, i int) error {
	host, marked, err := l.victim(i, l.FileSide)
	if err != nil {
		return err
	}
	own := foldFile(marked).pattern()
	mixed := p.only(mark.Concept, mark.Pilot)
	mixed[mark.Work] = own[mark.Work]
	for use, q := range map[int]*pattern{fromFresh: p, combined: mixed} {
		attacked, err := q.subtract(marked)
		if err != nil {
			return err
		}
		if out[use], err = l.ours.read(l.FileSide, exhibit{attacked, host, marked, []int{victimWork(i)}}); err != nil {
			return err
		}
	}
	return nil
}

// fromOwnFile tries a pattern on file number k, which it was averaged from.
func (l *lab) fromOwnFile(out *[uses]outcome, p *pattern, files []file, k int) error {
	photo, err := l.mine[files[k].photo].Image()
	if err != nil {
		return err
	}
	host := l.host(photo, files[k])
	marked, err := l.ours.mark(host, attackerWork(k))
	if refused := new(embed.Error); errors.As(err, &refused) {
		return nil
	}
	if err != nil {
		return err
	}
	attacked, err := p.subtract(marked)
	if err != nil {
		return err
	}
	out[fromOwn], err = l.ours.read(l.FileSide, exhibit{attacked, host, marked, []int{attackerWork(k)}})
	return err
}

// forgeries puts a pattern, averaged from n files from the first on, on an unmarked photograph.
func (l *lab) forgeries(out *[uses]outcome, p *pattern, i, first, n int) error {
	host, err := square(l.victims[i], l.FileSide)
	if err != nil {
		return err
	}
	stolen := make([]int, n)
	for k := range stolen {
		stolen[k] = attackerWork(first + k)
	}
	noisy := p.only(mark.Concept)
	noisy[mark.Work] = l.workNoise(i)
	for use, q := range map[int]*pattern{forgeAll: p, forgeC: p.only(mark.Concept), forgeCW: noisy} {
		attacked, err := q.forge(host)
		if err != nil {
			return err
		}
		if out[use], err = l.ours.read(l.FileSide, exhibit{attacked, host, nil, stolen}); err != nil {
			return err
		}
	}
	return nil
}

// workNoise draws waves of the work's lattice with signs of nobody's, as strong as a work's are.
func (l *lab) workNoise(i int) [signal.Channels][]float64 {
	rng := rand.New(rand.NewPCG(l.Seed, uint64(i)))
	p := mark.Profile1()
	unit := p.Unit(mark.Work, 255*math.Pow(10, -p.PSNR(mark.Work, StrengthDB)/20))
	spectrum := make([]complex128, cellArea)
	for k, h := range p.Harmonics(mark.Work) {
		a := unit * p.Shape(mark.Work)[k]
		z := complex(a/2*float64(1-2*rng.IntN(2)), a/2*float64(1-2*rng.IntN(2)))
		spectrum[wrap(h.KY)*cellSize+wrap(h.KX)] = z
		spectrum[wrap(-h.KY)*cellSize+wrap(-h.KX)] = complex(real(z), -imag(z))
	}
	signal.NewFFT2(cellSize).Inverse(spectrum)
	var out [signal.Channels][]float64
	out[signal.Y] = make([]float64, cellArea)
	for k, z := range spectrum {
		out[signal.Y][k] = real(z)
	}
	return out
}
