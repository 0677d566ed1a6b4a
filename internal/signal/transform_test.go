package signal_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/filigrane/filigrane/internal/oracle"
	"github.com/filigrane/filigrane/internal/signal"
)

func TestFFT2Oracle(t *testing.T) {
	var vectors []oracle.DFT
	oracle.Load(t, "dft", &vectors)
	for _, v := range vectors {
		field := make([]complex128, v.N*v.N)
		for y, row := range v.Input {
			for x, s := range row {
				field[y*v.N+x] = complex(float64(s), 0)
			}
		}
		plan := signal.NewFFT2(v.N)
		plan.Forward(field)
		for k, u := range v.Rows {
			for x := range v.Re[k] {
				got, want := field[u*v.N+x], complex(v.Re[k][x], v.Im[k][x])
				if d := got - want; math.Hypot(real(d), imag(d)) > 1e-6 { // the vectors have 6 decimals
					t.Fatalf("n=%d, row %d, column %d: %v, want %v", v.N, u, x, got, want)
				}
			}
		}
		plan.Inverse(field)
		for y, row := range v.Input {
			for x, s := range row {
				if d := field[y*v.N+x] - complex(float64(s*v.N*v.N), 0); math.Hypot(real(d), imag(d)) > 1e-5 {
					t.Fatalf("n=%d: inverse after forward gives %v at %d, %d, want %d n^2", v.N, field[y*v.N+x], x, y, s)
				}
			}
		}
	}
}

func TestFWHTOracle(t *testing.T) {
	var vectors []oracle.WHT
	oracle.Load(t, "wht", &vectors)
	for _, v := range vectors {
		a := make([]float32, v.N)
		for i, s := range v.Input {
			a[i] = float32(s)
		}
		signal.FWHT(a)
		for i, want := range v.Output {
			if a[i] != float32(want) {
				t.Fatalf("n=%d: output %d is %v, want %d", v.N, i, a[i], want)
			}
		}
	}
}

func TestFWHTTwiceIsN(t *testing.T) {
	for n := 1; n <= 4096; n *= 2 {
		a := make([]float32, n)
		for i := range a {
			a[i] = float32(i*i%17 - 8)
		}
		signal.FWHT(a)
		signal.FWHT(a)
		for i := range a {
			if want := float32((i*i%17 - 8) * n); a[i] != want {
				t.Fatalf("n=%d: %v at %d, want %v", n, a[i], i, want)
			}
		}
	}
}

func TestLumaChromaOracle(t *testing.T) {
	var vectors []oracle.YCbCr
	oracle.Load(t, "ycbcr", &vectors)
	for _, v := range vectors {
		y, cb, cr := signal.LumaChroma(pixel(v.RGB))
		for i, got := range []float32{y.Pix[0], cb.Pix[0], cr.Pix[0]} {
			if math.Abs(float64(got)-v.YCbCr[i]) > 3e-5 { // single precision at 255
				t.Errorf("%v: channel %d is %v, want %v", v.RGB, i, got, v.YCbCr[i])
			}
		}
	}
}

func TestCosSinTurns(t *testing.T) {
	for _, c := range []struct{ t, cos, sin float64 }{{0, 1, 0}, {0.25, 0, 1}, {0.5, -1, 0}, {0.75, 0, -1}, {1, 1, 0}, {-0.25, 0, -1}, {1e6 + 0.5, -1, 0}} {
		if cos, sin := signal.CosSinTurns(c.t); cos != c.cos || sin != c.sin {
			t.Errorf("%v turns: %v, %v; want %v, %v", c.t, cos, sin, c.cos, c.sin)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100000 {
		x := r.Float64()*8 - 4
		cos, sin := signal.CosSinTurns(x)
		if math.Abs(cos-math.Cos(2*math.Pi*x)) > 4e-15 || math.Abs(sin-math.Sin(2*math.Pi*x)) > 4e-15 {
			t.Fatalf("%v turns: %v, %v; math says %v, %v", x, cos, sin, math.Cos(2*math.Pi*x), math.Sin(2*math.Pi*x))
		}
	}
}

func randomPlane(w, h int, seed uint64) *signal.Plane {
	r := rand.New(rand.NewPCG(seed, 0))
	p := signal.NewPlane(w, h)
	for i := range p.Pix {
		p.Pix[i] = float32(r.IntN(256))
	}
	return p
}

// TestBoxMean compares with the definition, on planes smaller and larger than the box.
func TestBoxMean(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {3, 40}, {40, 3}, {37, 29}, {11, 11}} {
		for _, radius := range []int{0, 1, 5, 20} {
			p := randomPlane(size[0], size[1], 7)
			got := signal.BoxMean(p, radius)
			for y := range p.H {
				for x := range p.W {
					sum, n := 0.0, 0
					for v := max(0, y-radius); v <= min(p.H-1, y+radius); v++ {
						for u := max(0, x-radius); u <= min(p.W-1, x+radius); u++ {
							sum += float64(p.Pix[v*p.W+u])
							n++
						}
					}
					if want := sum / float64(n); math.Abs(float64(got.Pix[y*p.W+x])-want) > 1e-4 {
						t.Fatalf("%v, radius %d: %v at %d, %d, want %v", size, radius, got.Pix[y*p.W+x], x, y, want)
					}
				}
			}
		}
	}
}

func TestResidual(t *testing.T) {
	p := randomPlane(200, 150, 3)
	worth := signal.Residual(p, 5, 8, 0.7, 3)
	power, most := 0.0, float32(0)
	for _, v := range p.Pix {
		power += float64(v * v)
		most = max(most, v, -v)
	}
	if rms := math.Sqrt(power / float64(len(p.Pix))); math.Abs(rms-1) > 0.05 || most > 3 {
		t.Errorf("the residual of noise has RMS %v and reaches %v", rms, most)
	}
	if want := 256 / math.Sqrt(12); math.Abs(worth-want) > 3 {
		t.Errorf("one unit is worth %v levels, want about %v", worth, want)
	}
	flat := signal.NewPlane(64, 64)
	for i := range flat.Pix {
		flat.Pix[i] = 255
	}
	signal.Residual(flat, 5, 8, 0.7, 3)
	for _, v := range flat.Pix {
		if math.Abs(float64(v)) > 1e-3 {
			t.Fatalf("a flat plane leaves %v", v)
		}
	}
}

// TestFoldIsTheFourierSum: whatever the cell's length, the transform of the folded plane is the Fourier
// sum of the samples at the cell's harmonics, up to the known weight of linear sharing between bins.
func TestFoldIsTheFourierSum(t *testing.T) {
	const n = signal.FoldSize
	for _, g := range []signal.Geometry{
		signal.Square(64), signal.Square(32), signal.Square(18.75), signal.Square(250),
		{XX: 1 / 37.3, YY: 1 / 37.3, OffX: -0.25}, {XX: 1 / 128., YY: 1 / 120., OffY: -0.25},
		{XX: 0.016, XY: 0.003, YX: -0.002, YY: 0.015}, {XX: 0.01, XY: -0.04, YX: 0.04, YY: 0.01, OffX: -0.25, OffY: -0.25},
	} {
		p := randomPlane(301, 222, 9)
		for groups := 1; groups <= 4; groups++ {
			bins := make([]float32, groups*groups*n*n)
			signal.Fold(bins, p, g, groups)
			total := make([]complex128, n*n)
			for i, v := range bins {
				total[i%(n*n)] += complex(float64(v), 0)
			}
			signal.NewFFT2(n).Forward(total)
			for _, k := range [][2]int{{0, 0}, {1, 0}, {3, 2}, {-4, 5}} {
				got := total[(k[1]+n)%n*n+(k[0]+n)%n]
				c, s := signal.CosSinTurns(-float64(k[0]+k[1]) * 0.5 / n)
				got *= complex(c, s)
				want := fourierSum(p, g, k[0], k[1])
				if d := got - want; math.Hypot(real(d), imag(d)) > 0.06*math.Hypot(real(want), imag(want))+700 { // 700: 4 % of the RMS of a random plane, what images of other harmonics leave
					t.Errorf("%+v, %d groups, harmonic %v: %v, want %v", g, groups, k, got, want)
				}
			}
		}
	}
}

func fourierSum(p *signal.Plane, g signal.Geometry, kx, ky int) complex128 {
	sum := complex(0, 0)
	for y := range p.H {
		for x := range p.W {
			right, down := float64(x)+0.5-float64(p.W)/2+g.OffX, float64(y)+0.5-float64(p.H)/2+g.OffY
			u, v := g.XX*right+g.XY*down, g.YX*right+g.YY*down
			c, s := signal.CosSinTurns(-(float64(kx)*u + float64(ky)*v))
			sum += complex(float64(p.Pix[y*p.W+x])*c, float64(p.Pix[y*p.W+x])*s)
		}
	}
	return sum
}

func TestHalve(t *testing.T) {
	p := randomPlane(7, 5, 1)
	h := signal.Halve(p)
	if h.W != 3 || h.H != 2 {
		t.Fatalf("%d x %d", h.W, h.H)
	}
	if want := (p.Pix[2] + p.Pix[3] + p.Pix[9] + p.Pix[10]) / 4; h.Pix[1] != want {
		t.Errorf("%v, want %v", h.Pix[1], want)
	}
}

func BenchmarkFWHT(b *testing.B) {
	for _, n := range []int{256, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a := make([]float32, n)
			for b.Loop() {
				signal.FWHT(a)
			}
		})
	}
}

func BenchmarkResidual(b *testing.B) {
	b.Run("1024x1024", func(b *testing.B) {
		src := randomPlane(1024, 1024, 1)
		for b.Loop() {
			p := signal.NewPlane(1024, 1024)
			copy(p.Pix, src.Pix)
			signal.Residual(p, 5, 8, 0.7, 3)
		}
	})
}
