package detect

import (
	"image"
	"math"
	"sort"

	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/mark"
)

// Windows searched for a pasted piece.
const (
	pieceSide    = 384 // pixels, or a third of the short side where that is more
	mostWindows  = 24
	pieceTries   = 4   // windows that stand out most, tested with the pilot and counted
	heatStep     = 32  // pixels between the squares of a heat map
	heatSide     = 96  // pixels a side of one, at least three cells of the pilot
	locatedShare = 0.4 // of the hottest square's T: what belongs to the piece
	mostOfIt     = 0.7 // of a picture: a larger piece is read as all of it
)

// pieceShapes is what the comb goes through in each window.
var pieceShapes = ranges{angles: allShapes.angles, keep: 1, teeth: allShapes.teeth}

// pieces looks for a marked piece in an unmarked picture, such as a crop pasted into a collage: the windows in which
// the comb stands out most are tested with the pilot, and where that is significant the piece's extent is found with
// the pilot too. Neither knows the keys of concepts and works: to them it costs nothing.
func (a *alignments) pieces() {
	if len(a.ms) != 1 {
		return
	}
	type standing struct {
		sub *material
		candidate
	}
	var found []standing
	for _, w := range pieceWindows(a.ms[0]) {
		sub := a.ms[0].crop(w)
		for _, k := range newComb(a.profile, []*signal.Plane{sub.planes[signal.Y]}, a.f.wide()).search(pieceShapes) {
			found = append(found, standing{sub, k})
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].score > found[j].score })
	for _, s := range found[:min(len(found), pieceTries)] {
		b := &alignments{Reader: a.Reader, ms: []*material{s.sub}, f: a.f, sizes: a.sizes, tried: a.tried, pilotScore: math.Inf(-1), pilotOnly: true}
		if b.try(everywhere(s.frame, 1), likelySizes) {
			b.extent(a.ms[0])
			a.byPilot = b.byPilot
			return
		}
	}
}

// pieceWindows spreads overlapping windows over a picture.
func pieceWindows(m *material) []image.Rectangle {
	side := max(pieceSide, min(m.w, m.h)/3)
	for {
		cols, rows := steps1(m.w, side), steps1(m.h, side)
		if len(cols)*len(rows) <= mostWindows {
			var ws []image.Rectangle
			for _, y := range rows {
				for _, x := range cols {
					ws = append(ws, image.Rect(x, y, min(x+side, m.w), min(y+side, m.h)))
				}
			}
			return ws
		}
		side += side / 4
	}
}

// steps1 lists where windows that overlap by half begin along an axis.
func steps1(size, side int) []int {
	if size <= side {
		return []int{0}
	}
	k := (size-side+side/2-1)/(side/2) + 1
	at := make([]int, k)
	for i := range at {
		at[i] = i * (size - side) / (k - 1)
	}
	return at
}

// extent looks how far the pattern goes in a picture, where the pilot's best alignment, found in it or in a window of it,
// leaves something to gain, and reads the alignment anew in the part that has it.
func (a *alignments) extent(whole *material) {
	c := &a.byPilot
	if c.t > strongFound*math.Sqrt(float64(a.profile.Coefficients(mark.Pilot))) {
		return
	}
	at := c.inWhole(whole)
	area := a.heat(whole, at, []mark.Lattice{mark.Pilot}, []mark.Codeword{a.pilot}).around()
	area = area.Intersect(image.Rect(0, 0, whole.w, whole.h))
	if min(area.Dx(), area.Dy()) < MinSide+1 || float64(area.Dx()*area.Dy()) > mostOfIt*float64(whole.w*whole.h) {
		return
	}
	sub := whole.crop(area)
	b := best{class: c.class, alignment: c.alignment}
	b.alignment.ShiftX, b.alignment.ShiftY = sub.shifted(at.frame, at.ShiftX, at.ShiftY, -1)
	h := everywhere(at.frame, 1)
	s := a.f.fold([]*material{sub}, h.frames, true)
	b.t = a.vector(s, mark.Pilot, b.alignment).t(a.pilot)
	in := &alignments{Reader: a.Reader, ms: []*material{sub}, f: a.f, sizes: a.sizes, tried: a.tried}
	in.byPilot = chosen{best: b, hypothesis: h, ms: in.ms}
	in.refinePilot(s, h)
	if in.byPilot.t > c.t {
		*c = in.byPilot
	}
}

// placed is an alignment with its frame.
type placed struct {
	Alignment
	frame frame
}

// inWhole returns the alignment of a piece as that of the picture it was cut from.
func (c *chosen) inWhole(whole *material) placed {
	p := placed{c.alignment, c.hypothesis.frames[0]}
	if len(c.ms) == 1 && c.ms[0] != whole {
		p.ShiftX, p.ShiftY = c.ms[0].shifted(p.frame, p.ShiftX, p.ShiftY, 1)
	}
	return p
}

// shifted carries a shift, in cells, from a piece's centre to the whole picture's (sign 1) or back (sign -1).
func (m *material) shifted(f frame, x, y, sign float64) (float64, float64) {
	dx, dy := sign*m.fromX, sign*m.fromY
	return x + f.xx*dx + f.xy*dy, y + f.yx*dx + f.yy*dy
}

// crop cuts a piece out of a material, on even pixels.
func (m *material) crop(r image.Rectangle) *material {
	r = image.Rect(r.Min.X&^1, r.Min.Y&^1, r.Max.X&^1, r.Max.Y&^1)
	c := &material{w: r.Dx(), h: r.Dy(), deviation: m.deviation, half: m.half, at: r}
	c.fromX = float64(r.Min.X+r.Max.X)/2 - float64(m.w)/2
	c.fromY = float64(r.Min.Y+r.Max.Y)/2 - float64(m.h)/2
	for ch, p := range m.planes {
		if p == nil {
			continue
		}
		q := r
		if m.half && ch != signal.Y {
			q = image.Rect(r.Min.X/2, r.Min.Y/2, r.Max.X/2, r.Max.Y/2)
		}
		c.planes[ch] = signal.Crop(p, q)
	}
	return c
}

// Heat is a map of where in a picture the pattern of a reading is: T of the pilot, and of the codewords that were
// named, in overlapping squares. It shows where, not whether: the alignment was chosen with the pilot's key, and no error rate
// holds for it.
type Heat struct {
	Cols, Rows int
	Step, Side int       // pixels: square (i, j) has its corner at (i Step, j Step)
	T          []float64 // row by row
}

// At returns T of square (i, j).
func (h *Heat) At(i, j int) float64 { return h.T[j*h.Cols+i] }

// Around returns T at a pixel, between the middles of squares.
func (h *Heat) Around(x, y float64) float64 {
	u := math.Max(0, math.Min(float64(h.Cols-1), (x-float64(h.Side)/2)/float64(h.Step)))
	v := math.Max(0, math.Min(float64(h.Rows-1), (y-float64(h.Side)/2)/float64(h.Step)))
	i, j := int(u), int(v)
	fu, fv := u-float64(i), v-float64(j)
	k, l := min(i+1, h.Cols-1), min(j+1, h.Rows-1)
	return (h.At(i, j)*(1-fu)+h.At(k, j)*fu)*(1-fv) + (h.At(i, l)*(1-fu)+h.At(k, l)*fu)*fv
}

// Heat maps where the pattern of a reading of one picture is. It panics if the reading is of several. Its second answer is
// false where the reading had no alignment to look at.
func (r *Reader) Heat(img image.Image, of Reading) (*Heat, bool) {
	if of.Images != 1 {
		panic("detect: a heat map of several pictures")
	}
	if of.frame == (frame{}) {
		return nil, false
	}
	lattices, words := []mark.Lattice{mark.Pilot}, []mark.Codeword{r.pilot}
	if of.WorkFound() {
		lattices = append(lattices, mark.Work)
		words = append(words, r.books[mark.Work].Codeword(r.profile.WorkCodeword(of.Work.Number)))
	}
	if of.DeliveryFound() {
		lattices, words = append(lattices, mark.Concept), append(words, r.delivery)
	}
	for _, c := range of.Concepts {
		lattices = append(lattices, mark.Concept)
		words = append(words, r.books[mark.Concept].Codeword(r.profile.ConceptCodeword(c.Number)))
	}
	a := &alignments{Reader: r, f: newFolder()}
	return a.heat(newMaterial(img), placed{of.Alignment, of.frame}, lattices, words), true
}

// heat correlates squares of a picture with codewords at an alignment.
func (a *alignments) heat(m *material, at placed, lattices []mark.Lattice, words []mark.Codeword) *Heat {
	side := max(heatSide, int(2*at.frame.cell())&^1)
	h := &Heat{Step: max(heatStep, side/3&^1), Side: side}
	h.Cols, h.Rows = max(1, (m.w-side)/h.Step+1), max(1, (m.h-side)/h.Step+1)
	h.T = make([]float64, h.Cols*h.Rows)
	for j := range h.Rows {
		for i := range h.Cols {
			r := image.Rect(i*h.Step, j*h.Step, min(i*h.Step+side, m.w), min(j*h.Step+side, m.h))
			h.T[j*h.Cols+i] = a.square(m.crop(r), at, lattices, words)
		}
	}
	return h
}

// square returns T of the codewords taken as one in a piece of luma.
func (a *alignments) square(sub *material, at placed, lattices []mark.Lattice, words []mark.Codeword) float64 {
	s := a.f.plain(sub, at.frame)
	x, y := sub.shifted(at.frame, at.ShiftX, at.ShiftY, -1)
	dot, norm := 0.0, 0.0
	for i, l := range lattices {
		for j, h := range a.profile.Harmonics(l) {
			if h.Channel != signal.Y || h.R2() > pilotReach*pilotReach {
				continue
			}
			kx, ky := at.apply(h.KX, h.KY)
			u := s[index(kx, ky)] * turn(float64(float64(kx)*x)+float64(float64(ky)*y)) * complex(a.profile.Shape(l)[j], 0)
			dot += float64(float64(words[i][2*j])*real(u)) - float64(float64(words[i][2*j+1])*imag(u))
			norm += power(u)
		}
	}
	if norm == 0 {
		return 0
	}
	return dot / math.Sqrt(norm)
}

// around returns the bounds of the squares around the hottest that are connected with it and nearly as hot.
func (h *Heat) around() image.Rectangle {
	hottest := 0
	for i, t := range h.T {
		if t > h.T[hottest] {
			hottest = i
		}
	}
	least := math.Max(2, locatedShare*h.T[hottest])
	seen := make([]bool, len(h.T))
	var area image.Rectangle
	for queue := []int{hottest}; len(queue) > 0; queue = queue[1:] {
		k := queue[0]
		if seen[k] || h.T[k] < least {
			continue
		}
		seen[k] = true
		i, j := k%h.Cols, k/h.Cols
		middle := image.Pt(i*h.Step+h.Side/2, j*h.Step+h.Side/2)
		area = area.Union(image.Rectangle{middle, middle}.Inset(-h.Side / 3))
		for _, d := range [][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
			if x, y := i+d[0], j+d[1]; x >= 0 && y >= 0 && x < h.Cols && y < h.Rows {
				queue = append(queue, y*h.Cols+x)
			}
		}
	}
	return area
}
