package adversary

import (
	"context"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/iscc"
	"github.com/filigrane/filigrane/mark"
)

// setup is the bench in small: one photograph of the attacker's, one of the victim's, squares of 512 pixels.
func setup(t *testing.T) Setup {
	s := Setup{Seed: 7, Workers: 2, Side: 512, FileSide: 512, Files: []int{1, 4}}
	for _, name := range []string{"mountains/picos-trail.jpg", "flowers/marigold.jpg"} {
		s.Photos = append(s.Photos, Photo{name, func() (image.Image, error) { return testphotos.Picture(t, name).Image, nil }})
	}
	return s
}

// rows runs one attack, by variant and n.
func rows(t *testing.T, s Setup, attack string) map[string]Row {
	t.Helper()
	all, err := Run(context.Background(), s, attack)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]Row{}
	for _, r := range all {
		if r.Attack != attack || r.Images != 1 {
			t.Errorf("%q has attack %q and %d images", r.Variant, r.Attack, r.Images)
		}
		key := r.Variant
		if r.N > 1 {
			key += " x" + string(rune('0'+r.N))
		}
		if _, twice := by[key]; twice {
			t.Errorf("%q is there twice", key)
		}
		by[key] = r
	}
	return by
}

// TestAveraging: what is common to the files can be taken out and forged; what is each file's own cannot be
// averaged, and comes along only with one file.
func TestAveraging(t *testing.T) {
	by := rows(t, setup(t), "averaging")
	if r := by["untouched"]; r.Delivery.Right+r.Concept.Right+r.Work.Right != 3 || r.LooksLearned != 0 {
		t.Errorf("untouched: %+v", r)
	}
	r := by["subtracted from a fresh file x4"]
	if r.Concept.Right != 0 || r.Work.Right != 1 || r.Traced != 1 {
		t.Errorf("the concept should be gone and the work still there: %+v", r)
	}
	if r.ToOriginalDB <= StrengthDB+2 {
		t.Errorf("taking out what was put in should bring the picture nearer to the original: %+v", r)
	}
	if r := by["n files for C and P, the fresh file's own fold for W x4"]; r.Traced != 0 || r.Delivery.Right != 0 {
		t.Errorf("both together leave nothing: %+v", r)
	}
	if r := by["forged: all lattices"]; r.Work.Right != 1 || r.LooksLearned != 0 {
		t.Errorf("one file's whole cell names that file: %+v", r)
	}
	for _, variant := range []string{"forged: C only", "forged: C, and noise of his own in W"} {
		if r := by[variant]; r.LooksLearned != 1 || r.Work.Wrong != 0 || math.Abs(r.ToOriginalDB-StrengthDB) > 1 {
			t.Errorf("%s passes for learned at the strength of a delivery: %+v", variant, r)
		}
	}
}

// TestPattern: the estimate is the cell, lattice by lattice.
func TestPattern(t *testing.T) {
	host := grain(256, 3, 1)
	d := newDelivery(3, "pattern")
	marked, err := d.mark(host, 5)
	if err != nil {
		t.Fatal(err)
	}
	cell := mark.NewCell(mark.Profile1(), d.books, mark.Names{Concepts: []int{conceptNumber}, Work: 5})
	p, nothing := foldFile(marked).pattern(), foldFile(host).pattern()
	for l := range mark.Lattices {
		// pixel x of a picture of even size lies x - size/2 + 1/2 pixels from the centre
		want := cell.Only(l).Render(signal.Y, cellSize, 0.5, 0.5, cellSize/2)
		if c := alike(p[l][signal.Y], want); c < 0.8 {
			t.Errorf("%v lattice: the estimate has a correlation of %.2f with the cell", l, c)
		}
		if c := alike(nothing[l][signal.Y], want); math.Abs(c) > 0.2 {
			t.Errorf("%v lattice: %.2f without a mark", l, c)
		}
	}
}

func alike(a, b []float64) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+a[i]*b[i], aa+a[i]*a[i], bb+b[i]*b[i]
	}
	return ab / math.Sqrt(aa*bb)
}

// grain is a grey slope with noise of the given sigma, in levels.
func grain(side int, sigma float64, seed uint64) *image.NRGBA {
	rng := rand.New(rand.NewPCG(seed, 0))
	p := image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			v := level(100 + 50*float64(x+y)/float64(2*side) + sigma*rng.NormFloat64())
			p.SetNRGBA(x, y, color.NRGBA{v, v, v, 255})
		}
	}
	return p
}

func TestOvermark(t *testing.T) {
	by := rows(t, setup(t), "overmark")
	for _, variant := range []string{"read with our key", "read with the last key"} {
		once, thrice := by[variant], by[variant+" x3"]
		if once.Work.Right != 1 || once.Work.T <= thrice.Work.T {
			t.Errorf("%s: T of the work %.1f after one more mark, %.1f after three", variant, once.Work.T, thrice.Work.T)
		}
	}
	if a, b := by["read with our key"].ToOriginalDB, by["read with our key x3"].ToOriginalDB; b >= a-2 {
		t.Errorf("marking over costs: %.1f dB once, %.1f thrice", a, b)
	}
}

// TestCollusion: two licensees who mix their files are both named; the difference of their files names the first only.
func TestCollusion(t *testing.T) {
	by := rows(t, setup(t), "collusion")
	for _, variant := range []string{"mean of the files", "each pixel of one or the other"} {
		for _, key := range []string{", first key x2", ", second key x2"} {
			if r := by[variant+key]; r.Work.Right != 1 {
				t.Errorf("%s%s: %+v", variant, key, r)
			}
		}
	}
	first, second := by["difference, on grey, first key x2"], by["difference, on grey, second key x2"]
	if first.Work.Right != 1 || second.Traced != 0 || first.ToOriginalDB != 0 {
		t.Errorf("difference: %+v and %+v", first, second)
	}
	if two, four := by["mean of the files, first key x2"], by["mean of the files, first key x4"]; four.Work.T >= two.Work.T {
		t.Errorf("T of the work: %.1f with two files, %.1f with four", two.Work.T, four.Work.T)
	}
}

func TestMixes(t *testing.T) {
	files := []*image.NRGBA{flat(10), flat(21), flat(90), flat(200)}
	want := map[string]uint8{"mean of the files2": 16, "mean of the files3": 40, "mean of the files4": 80,
		"lesser of each sample2": 10, "middle of each sample3": 21, "difference, on grey2": 117}
	for _, m := range mixes() {
		got := m.apply(files, rand.New(rand.NewPCG(1, 1)))
		if v, ok := want[m.name+string(rune('0'+m.n))]; ok {
			if got.Pix[0] != v || got.Pix[3] != 255 {
				t.Errorf("%s of %d: %v, want %d", m.name, m.n, got.Pix[:4], v)
			}
			continue
		}
		count := map[uint8]int{}
		for i := 0; i < len(got.Pix); i += 4 {
			count[got.Pix[i]]++
		}
		if len(count) != 2 || count[10] < 20 || count[21] < 20 {
			t.Errorf("%s: samples %v of 64", m.name, count)
		}
	}
}

// flat is 8 x 8 pixels of one grey.
func flat(v uint8) *image.NRGBA {
	p := image.NewNRGBA(image.Rect(0, 0, 8, 8))
	for i := range p.Pix {
		p.Pix[i] = v
	}
	return p
}

// TestProcessing: no process of the list hides the work of a photograph but the two that leave no picture worth having.
func TestProcessing(t *testing.T) {
	by := rows(t, setup(t), "processing")
	for name, r := range by {
		if r.Work.Wrong+r.Concept.Wrong > 0 {
			t.Errorf("%s: a wrong name: %+v", name, r)
		}
		if !strings.HasPrefix(name, "JPEG 10") && !strings.HasPrefix(name, "quarter") && r.Work.Right != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestHistograms(t *testing.T) {
	p := grain(64, 1, 2) // grey, 100 to 150
	for name, f := range map[string]func(*image.NRGBA) *image.NRGBA{"stretch": stretch, "equalise": equalise} {
		out := f(p)
		lo, hi := 255, 0
		for i := 0; i < len(out.Pix); i += 4 {
			lo, hi = min(lo, int(out.Pix[i])), max(hi, int(out.Pix[i]))
		}
		if lo > 3 || hi < 252 {
			t.Errorf("%s: %d to %d", name, lo, hi)
		}
	}
	if out := stretch(flat(77)); out.Rect != flat(77).Rect {
		t.Error("a picture of one colour must come back")
	}
}

// TestFilters: each takes noise as weak as a mark down, away from an edge, and leaves the edge.
func TestFilters(t *testing.T) {
	const side, edge, apart = 160, 100, 40
	rng := rand.New(rand.NewPCG(4, 4))
	noisy := image.NewNRGBA(image.Rect(0, 0, side, side))
	for i := range noisy.Pix {
		v := 60.0
		if i/4%side >= side/2 {
			v += edge
		}
		noisy.Pix[i] = level(v + noiseLevels*rng.NormFloat64())
		if i%4 == 3 {
			noisy.Pix[i] = 255
		}
	}
	for name, f := range map[string]func(*image.NRGBA) *image.NRGBA{
		"median": func(p *image.NRGBA) *image.NRGBA { return medianFilter(p, 1) }, "bilateral": bilateral,
		"non-local means": nonLocalMeans, "shrink": shrink,
	} {
		out, power, step := f(noisy), 0.0, 0.0
		for y := range side {
			for x := range side/2 - apart {
				d := float64(out.Pix[y*out.Stride+4*x]) - 60
				power += d * d / float64(side*(side/2-apart))
			}
			step += float64(out.Pix[y*out.Stride+4*side/2]) - float64(out.Pix[y*out.Stride+4*side/2-4])
		}
		if rms := math.Sqrt(power); rms > 0.7*noiseLevels {
			t.Errorf("%s: noise of %.1f levels where there were %.1f", name, rms, noiseLevels)
		}
		if step /= side; step < 0.8*edge {
			t.Errorf("%s: an edge of %d levels has %.0f left", name, edge, step)
		}
	}
}

// TestCopy: the copied mark names the work it was copied from, and that work looks different.
func TestCopy(t *testing.T) {
	s := setup(t)
	s.Side = DefaultSide
	for name, r := range rows(t, s, "copy") {
		if r.Concept.Right != 1 || r.Work.Wrong != 0 || strings.Contains(name, "in full") && r.Work.Right != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		if r.DeliveredDistance.Most > iscc.MaxDistance || r.Distance.Least <= iscc.MaxDistance {
			t.Errorf("%s: %d bits from the work named, the delivered file %d", name, r.Distance.Least, r.DeliveredDistance.Most)
		}
	}
}

// TestNetwork: a remover that does nothing leaves everything, one of another run is refused.
func TestNetwork(t *testing.T) {
	s, dir := setup(t), t.TempDir()
	if got, err := Run(context.Background(), s, "network"); err != nil || len(got) != 0 {
		t.Errorf("without pictures: %v, %v", got, err)
	}
	if err := WritePairs(context.Background(), s, dir); err != nil {
		t.Fatal(err)
	}
	host, other, same := mustPNG(t, dir, "host"), mustPNG(t, dir, "other"), mustPNG(t, dir, "same")
	for _, p := range []*image.NRGBA{other, same} {
		if db := psnr(p, host); math.Abs(db-StrengthDB) > 0.5 {
			t.Errorf("a pair differs by %.1f dB", db)
		}
	}
	s.Removed = dir
	if _, err := Run(context.Background(), s, "network"); err == nil || !strings.Contains(err.Error(), "remover.py") {
		t.Errorf("nothing cleaned yet: %v", err)
	}
	marked, err := readPNG(pictureFile(dir, "test", "marked", 0))
	if err != nil {
		t.Fatal(err)
	}
	victim, err := square(s.Photos[1], s.Side)
	if err != nil {
		t.Fatal(err)
	}
	nothing, all := imaging.Clone(marked), imaging.Clone(marked) // one says nothing, the other the truth
	for i := range all.Pix {
		if i%4 != 3 {
			nothing.Pix[i], all.Pix[i] = 128, level(128+8*(float64(marked.Pix[i])-float64(victim.Pix[i])))
		}
	}
	for kind, said := range map[string]*image.NRGBA{"other": nothing, "same": all} {
		if err := writePNG(pictureFile(dir, "test", kind, 0), said); err != nil {
			t.Fatal(err)
		}
	}
	by := rows(t, s, "network")
	for name, r := range by {
		gone := strings.Contains(name, "same keys")
		if want := !gone; (r.Work.Right == 1) != want || (r.Concept.Right == 1) != want {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if len(by) != len(Removers)*len(pushes) {
		t.Errorf("%d rows", len(by))
	}
	s.Seed++
	if _, err := Run(context.Background(), s, "network"); err == nil || !strings.Contains(err.Error(), "--seed") {
		t.Errorf("another seed: %v", err)
	}
}

func mustPNG(t *testing.T, dir, kind string) *image.NRGBA {
	t.Helper()
	p, err := readPNG(pictureFile(dir, "train", kind, 0))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRefusals(t *testing.T) {
	if err := Check([]string{"averaging", "magic"}, nil); err == nil || !strings.Contains(err.Error(), "collusion") {
		t.Errorf("an unknown attack should be told what there is: %v", err)
	}
	for _, files := range [][]int{{0}, {4, 4}, {16, 1}} {
		if Check(nil, files) == nil {
			t.Errorf("files %v accepted", files)
		}
	}
	s := setup(t)
	s.Files = []int{1000}
	if _, err := Run(context.Background(), s, "averaging"); err == nil || !strings.Contains(err.Error(), "1000") {
		t.Errorf("more files than can be cut: %v", err)
	}
	s.Photos = s.Photos[:1]
	if _, err := Run(context.Background(), s); err == nil {
		t.Error("one photograph is not enough")
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := Run(ctx, setup(t), "overmark"); err == nil {
		t.Error("an interrupted run must say so")
	}
}
