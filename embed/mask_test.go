package embed

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/disintegration/imaging"
	"github.com/filigrane/filigrane/internal/signal"

	"github.com/filigrane/filigrane/internal/testphotos"
)

// field returns a plane of w x h made of a function of position.
func field(w, h int, f func(x, y int) float64) *signal.Plane {
	p := signal.NewPlane(w, h)
	for y := range h {
		for x := range w {
			p.Pix[y*w+x] = float32(f(x, y))
		}
	}
	return p
}

// rough returns a number from -1 to 1, a hash of position (Knuth's multiplicative one).
func rough(x, y int) float64 { return float64(int((uint32(y*1009+x)*2654435761)>>24)-128) / 128 }

func (m *mask) amplitudeAt(w, x, y int) float64 {
	row := make([]float32, w)
	m.row(y, row)
	return float64(row[x]) * math.Pow(10, -m.gentlerDB/20)
}

// TestMaskFollowsTexture: amplitude depends on how rough a place is and not on what else the picture holds, unless
// that would be more than was asked for.
func TestMaskFollowsTexture(t *testing.T) {
	const w, h = 256, 128
	last := 0.0
	for _, height := range []float64{0, 2, 5, 10, 12, 15} {
		even := newMask(field(w, h, func(x, y int) float64 { return 128 + height*rough(x, y) }))
		half := newMask(field(w, h, func(x, y int) float64 {
			if x < w/2 {
				return 128
			}
			return 128 + height*rough(x, y)
		}))
		alone, beside := even.amplitudeAt(w, 200, 60), half.amplitudeAt(w, 200, 60)
		if math.Abs(alone-beside) > 0.15*alone {
			t.Errorf("grain of %v levels: amplitude %.3f, beside an even field %.3f", height, alone, beside)
		}
		if alone < last {
			t.Errorf("grain of %v levels: amplitude %.3f, less than %.3f in what is smoother", height, alone, last)
		}
		last = alone
		if got, want := half.amplitudeAt(w, 40, 60), amplitude(0); math.Abs(got-want) > 0.01 {
			t.Errorf("an even field beside grain of %v levels: amplitude %.3f, want %.3f", height, got, want)
		}
	}
	// As rough as can be: no more than an even mark of the strength asked for.
	loud := newMask(field(w, h, func(x, y int) float64 { return 128 + 127*rough(x, y) }))
	if got := loud.amplitudeAt(w, 100, 60); loud.gentlerDB != 0 || math.Abs(got-1) > 0.15 {
		t.Errorf("noise: amplitude %.3f at %.2f dB gentler, want 1 at 0", got, loud.gentlerDB)
	}
}

// TestMaskSparesEdges: even paper beside a black line, or a sky beside a crest, is not taken for texture.
func TestMaskSparesEdges(t *testing.T) {
	const w, h = 256, 256
	m := newMask(field(w, h, func(x, y int) float64 {
		if x >= 123 && x < 126 {
			return 20
		}
		return 240
	}))
	for x := range w {
		if got := m.amplitudeAt(w, x, 100); got > 2*amplitude(1) {
			t.Errorf("column %d beside a line: amplitude %.3f, %.3f in an even field", x, got, amplitude(0))
		}
	}
}

// TestMaskSparesSlopes: what is out of focus deviates as much as texture does, and hides nothing.
func TestMaskSparesSlopes(t *testing.T) {
	const w, h = 256, 128
	for name, f := range map[string]func(x, y int) float64{
		"across": func(x, _ int) float64 { return 128 + 100*math.Sin(float64(x)/20) },
		"down":   func(_, y int) float64 { return 128 + 100*math.Sin(float64(y)/20) },
		"askew":  func(x, y int) float64 { return 128 + 100*math.Sin(float64(x+y)/40) },
	} {
		m := newMask(field(w, h, f))
		for x := range w {
			if got := m.amplitudeAt(w, x, 60); got > 2*amplitude(0) {
				t.Fatalf("%s: amplitude %.3f at column %d, %.3f in an even field", name, got, x, amplitude(0))
			}
		}
	}
}

// TestMaskIsNormal: mean square 1 over the blocks, positive everywhere, for whole and broken blocks.
func TestMaskIsNormal(t *testing.T) {
	for _, size := range [][2]int{{64, 64}, {65, 71}, {200, 64}, {97, 130}} {
		for _, side := range []int{1, 7, 8, 31} {
			w, h := size[0], size[1]
			b := newMaskBuilder(w, h, side)
			p := field(w, h, func(x, y int) float64 { return 100 + float64(x)*rough(x, y)/2 })
			for y := range h {
				b.add(p.Row(y))
			}
			m := b.mask()
			power := 0.0
			for _, a := range m.at {
				power += float64(a) * float64(a) / float64(len(m.at))
			}
			if math.Abs(power-1) > 1e-5 || len(m.at) != m.cols*m.rows || m.cols != (w+side-1)/side || m.rows != (h+side-1)/side {
				t.Errorf("%v in blocks of %d: mean square %v over %d x %d of %d", size, side, power, m.cols, m.rows, len(m.at))
			}
			for y := range h {
				row := make([]float32, w)
				m.row(y, row)
				for x, a := range row {
					if want := interpolate(m, x, y); !(a > 0) || math.Abs(float64(a)-want) > 1e-4*want {
						t.Fatalf("%v in blocks of %d: %v at %d, %d, want %v", size, side, a, x, y, want)
					}
				}
			}
		}
	}
}

// interpolate is the definition of row: bilinear between block centres, constant beyond the outermost.
func interpolate(m *mask, x, y int) float64 {
	at := func(i, n int) (int, int, float64) {
		p := math.Min(math.Max((float64(i)+0.5)/float64(m.side)-0.5, 0), float64(n-1))
		k := int(p)
		return k, min(k+1, n-1), p - float64(k)
	}
	u, u1, fx := at(x, m.cols)
	v, v1, fy := at(y, m.rows)
	v00, v01 := float64(m.at[v*m.cols+u]), float64(m.at[v*m.cols+u1])
	v10, v11 := float64(m.at[v1*m.cols+u]), float64(m.at[v1*m.cols+u1])
	return (v00*(1-fx)+v01*fx)*(1-fy) + (v10*(1-fx)+v11*fx)*fy
}

// TestMaskOfALargerPicture: the same scene at twice the size, measured on blocks twice as large, gets the same mask.
func TestMaskOfALargerPicture(t *testing.T) {
	const w, h = 128, 96
	scene := func(x, y int) float64 { return 120 + float64(x)/4*rough(x, y) }
	small := newMask(field(w, h, scene))
	b := newMaskBuilder(2*w, 2*h, 2*maskBlock)
	large := field(2*w, 2*h, func(x, y int) float64 { return scene(x/2, y/2) })
	for y := range 2 * h {
		b.add(large.Row(y))
	}
	m := b.mask()
	for i, a := range small.at {
		if math.Abs(float64(a-m.at[i])) > 1e-4 {
			t.Fatalf("block %d: %v, at twice the size %v", i, a, m.at[i])
		}
	}
	if small.gentlerDB != m.gentlerDB {
		t.Errorf("%v dB gentler, at twice the size %v", small.gentlerDB, m.gentlerDB)
	}
}

func TestMaskBuilderPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"no rows":     func() { newMaskBuilder(64, 64, 8).mask() },
		"a short row": func() { newMaskBuilder(64, 64, 8).add(make([]float32, 63)) },
		"blocks of 0": func() { newMaskBuilder(64, 64, 0) },
		"a row too many": func() {
			b := newMaskBuilder(8, 1, 8)
			b.add(make([]float32, 8))
			b.add(make([]float32, 8))
		},
	} {
		func() {
			defer func() {
				if s := fmt.Sprint(recover()); len(s) < 7 || s[:7] != "embed: " {
					t.Errorf("%s: panic %q", name, s)
				}
			}()
			f()
		}()
	}
}

// BenchmarkMask measures a luma plane and writes the amplitudes of all rows once.
func BenchmarkMask(b *testing.B) {
	luma := signal.Luma(testphotos.Square(b, "flowers/marigold.jpg", 1024))
	row := make([]float32, luma.W)
	var m *mask
	b.Run("measure,1024x1024", func(b *testing.B) {
		for b.Loop() {
			m = newMask(luma)
		}
	})
	b.Run("rows,1024x1024", func(b *testing.B) {
		m = newMask(luma)
		for b.Loop() {
			for y := range luma.H {
				m.row(y, row)
			}
		}
	})
}

// TestFlatShare: a photograph has texture, also where it stands on white paper; flat colours have none.
func TestFlatShare(t *testing.T) {
	photo := testphotos.Square(t, "objects/wall-clock.jpg", 512)
	onWhite := imaging.Paste(imaging.New(1024, 1024, color.White), photo, image.Pt(256, 256))
	art := imaging.New(1024, 1024, color.NRGBA{240, 236, 220, 255})
	for i := range 6 {
		art = imaging.Paste(art, imaging.New(300, 200, color.NRGBA{uint8(40 * i), 90, 200 - uint8(30*i), 255}), image.Pt(100*i, 130*i))
	}
	for name, c := range map[string]struct {
		img         image.Image
		least, most float64
	}{"photograph": {photo, 0, 0.05}, "on white": {onWhite, 0, 0.05}, "drawn": {art, 0.8, 1}} {
		h, err := NewHost(c.img, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.FlatShare(); got < c.least || got > c.most {
			t.Errorf("%s: %.3f of it is flat, want %v to %v", name, got, c.least, c.most)
		}
	}
}
