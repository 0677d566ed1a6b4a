package concepts

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func painted(w, h int, at func(x, y int) color.Color) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, at(x, y))
		}
	}
	return img
}

func flat(c color.Color) func(x, y int) color.Color { return func(x, y int) color.Color { return c } }

// What the documented formulas give for pictures that can be worked out by hand.
func TestDescriptorKnownPictures(t *testing.T) {
	red := Descriptor(painted(30, 20, flat(color.NRGBA{255, 0, 0, 255})))
	for cell := range 9 {
		// luma 77*4080/256 = 1227 (whole units) of 4080; R-G = 1; (R+G)/2-B = 1/2; no spread
		want := []float64{1227.0 / 4080, 0, 1, 0, 0.5, 0}
		for i, v := range want {
			if got := red[6*cell+i]; math.Abs(got-v) > 1e-15 {
				t.Errorf("red, cell %d, number %d: %v, want %v", cell, i, got, v)
			}
		}
	}
	for i, v := range red[gridLen:] {
		if want := map[bool]float64{true: 1}[i == 0]; v != want { // all chroma in sector 0, no gradients
			t.Errorf("red, number %d: %v, want %v", gridLen+i, v, want)
		}
	}
	if len(red) != DescriptorLen {
		t.Errorf("%d numbers", len(red))
	}
	for name, c := range map[string]color.NRGBA{"0 red": {255, 20, 20, 255}, "1 orange": {255, 128, 0, 255}, "2 yellow": {255, 255, 0, 255},
		"4 green": {0, 255, 0, 255}, "6 cyan": {0, 255, 255, 255}, "8 blue": {0, 0, 255, 255}, "10 magenta": {255, 0, 255, 255}, "11 pink": {255, 0, 128, 255}} {
		hues := Descriptor(painted(3, 3, flat(c)))[gridLen:]
		best := 0
		for i, v := range hues[:hueLen] {
			if v > hues[best] {
				best = i
			}
		}
		if got := fmt.Sprint(best, " ", hueNames[best]); got != name {
			t.Errorf("%v is %s, want %s", c, got, name)
		}
	}
	// Ramps of luma: the gradient lies in one orientation.
	for want, slope := range [][2]int{{3, 0}, {2, 2}, {0, 3}, {2, -2}} {
		d := Descriptor(painted(40, 40, func(x, y int) color.Color {
			return color.Gray{uint8(100 + (slope[0]*(x-20)+slope[1]*(y-20))/2)}
		}))
		for o, v := range d[gridLen+hueLen : gridLen+hueLen+4] {
			if (v > 0) != (o == want) {
				t.Errorf("slope %v: energy %v in orientation %d", slope, v, o)
			}
		}
	}
}

func TestDescriptorOfAnyImage(t *testing.T) {
	src := painted(700, 311, func(x, y int) color.Color {
		return color.NRGBA{uint8(x / 3), uint8(y / 2), uint8((x*y)>>7 ^ x), 255}
	})
	want := Descriptor(src)
	shifted := image.NewRGBA64(image.Rect(-5, 17, 695, 328))
	draw.Draw(shifted, shifted.Bounds(), src, image.Point{}, draw.Src)
	for i, v := range Descriptor(shifted) {
		if v != want[i] {
			t.Fatalf("number %d: %v in 16 bits elsewhere on the plane, %v in 8 bits", i, v, want[i])
		}
	}
	// Twice the size, every pixel doubled: the small copy is nearly the same.
	double := painted(1400, 622, func(x, y int) color.Color { return src.At(x/2, y/2) })
	for i, v := range Descriptor(double) {
		if math.Abs(v-want[i]) > 0.02 {
			t.Errorf("number %d: %v at twice the size, %v before", i, v, want[i])
		}
	}
	for _, size := range [][2]int{{1, 1}, {1, 900}, {900, 1}, {2, 2}, {3, 5}, {256, 256}, {257, 1}} {
		for i, v := range Descriptor(painted(size[0], size[1], flat(color.White))) {
			if math.IsNaN(v) || v < -1 || v > 1 {
				t.Errorf("%v: number %d is %v", size, i, v)
			}
		}
	}
	clear, white := Descriptor(painted(8, 8, flat(color.Transparent))), Descriptor(painted(8, 8, flat(color.White)))
	for i := range clear {
		if clear[i] != white[i] {
			t.Fatal("transparent pixels are not white")
		}
	}
	defer func() {
		if r := recover(); r != "concepts: Descriptor of an empty image" {
			t.Error(r)
		}
	}()
	Descriptor(image.NewGray(image.Rect(0, 0, 0, 5)))
}

// scenes makes works of four kinds that differ in colour or texture; noise comes from a small generator.
func scenes(each int) []Work {
	state := uint32(1)
	noise := func(n int) int {
		state = state*1664525 + 1013904223
		return int(state>>16) % n
	}
	kinds := []func(x, y int) color.Color{
		func(x, y int) color.Color { return color.NRGBA{20, uint8(60 + y + noise(8)), 200, 255} },
		func(x, y int) color.Color { return color.NRGBA{uint8(200 + noise(8)), 60, uint8(20 + x), 255} },
		func(x, y int) color.Color { v := uint8(noise(256)); return color.NRGBA{v, v, v, 255} },
		func(x, y int) color.Color { return color.NRGBA{40, uint8(90 + 80*(x/6%2) + noise(8)), 50, 255} },
	}
	var works []Work
	for i := range each * len(kinds) {
		k := i % len(kinds)
		works = append(works, Work{ID: WorkID(fmt.Sprintf("%c%02d", 'a'+k, i)), Visual: Descriptor(painted(96, 64, kinds[k]))})
	}
	return works
}

func TestVisualFindsScenes(t *testing.T) {
	g := mustGroup(t, scenes(6), Options{Seed: "bank"}, "visual:4")
	if len(g.Concepts) != 4 || len(g.Ungrouped) != 0 {
		t.Fatalf("concepts %v, ungrouped %v", g.Concepts, g.Ungrouped)
	}
	kind := map[ConceptID]byte{}
	for _, m := range g.Memberships {
		if k, ok := kind[m.Concept]; ok && k != m.Work[0] {
			t.Errorf("%s is with kind %c: %s", m.Work, k, m.Why)
		}
		kind[m.Concept] = m.Work[0]
	}
	names := ""
	for _, c := range g.Concepts {
		names += c.Name + "\n"
	}
	for _, want := range []string{"visual 1 of 4, like a", "(dominant blue, low texture)", "(dominant red, low texture)", "(dominant grey, high texture)", "(dominant green, medium texture)"} {
		if !strings.Contains(names, want) {
			t.Errorf("no %q in\n%s", want, names)
		}
	}
	if why := g.Memberships[0].Why; !strings.HasPrefix(why, "nearest of 4 visual centres: distance 0.") || !strings.Contains(why, ", next 1.") {
		t.Error(why)
	}
}

func drawPoints(t *rapid.T) ([][]float64, int) {
	coordinate := rapid.Custom(func(t *rapid.T) float64 { // far enough apart that no square underflows
		return float64(rapid.OneOf(rapid.IntRange(-2, 2), rapid.IntRange(-9999, 9999)).Draw(t, "hundredths")) / 100
	})
	points := rapid.SliceOfN(rapid.SliceOfN(coordinate, 2, 2), 2, 30).Draw(t, "points")
	return points, min(rapid.IntRange(1, 6).Draw(t, "k"), countDistinct(points))
}

// The result is a fixed point: centres are means, and every point is with its nearest centre.
func TestClusterFixedPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		points, k := drawPoints(t)
		c := cluster(points, k, []byte("seed"))
		c.order(points)
		if len(c.centres) != k {
			t.Fatalf("%d groups of %d", len(c.centres), k)
		}
		for g := range c.centres {
			mean, n := []float64{0, 0}, 0.0
			for i, p := range points {
				if c.of[i] == g {
					mean[0], mean[1], n = mean[0]+p[0], mean[1]+p[1], n+1
				}
			}
			if d := math.Hypot(mean[0]/n-c.centres[g][0], mean[1]/n-c.centres[g][1]); !(d < 1e-9) {
				t.Fatalf("centre %d is %v from the mean of its %v points", g, d, n)
			}
		}
		for i, p := range points {
			for g := range c.centres {
				if squared(p, c.centres[g]) < squared(p, c.centres[c.of[i]]) {
					t.Fatalf("point %d is nearer to centre %d than to its own %d", i, g, c.of[i])
				}
			}
		}
	})
}

// On sets small enough to try every division, the best is found in at least 8 of 10, and never missed by
// more than the factor 8(ln k + 2) that k-means++ promises on average.
func TestClusterAgainstExhaustion(t *testing.T) {
	found, tried := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		points := rapid.SliceOfN(rapid.SliceOfN(rapid.Map(rapid.IntRange(-999, 999), func(n int) float64 { return float64(n) / 100 }), 2, 2), 4, 8).Draw(t, "points")
		if countDistinct(points) < 3 {
			return
		}
		best := math.Inf(1)
		of := make([]int, len(points))
		for code := range int(math.Pow(3, float64(len(points)))) {
			for i := range of {
				of[i], code = code%3, code/3
			}
			best = min(best, inertia(points, of, 3))
		}
		got := inertia(points, cluster(points, 3, []byte("seed")).of, 3)
		tried++
		if got <= best*1.000001+1e-9 {
			found++
		}
		if got > 8*(math.Log(3)+2)*best+1e-9 {
			t.Fatalf("inertia %v, best %v", got, best)
		}
	})
	if found*10 < tried*8 {
		t.Errorf("the best division was found in %d of %d", found, tried)
	}
}

func inertia(points [][]float64, of []int, k int) float64 {
	sum := 0.0
	for g := range k {
		mean, n := []float64{0, 0}, 0.0
		for i, p := range points {
			if of[i] == g {
				mean[0], mean[1], n = mean[0]+p[0], mean[1]+p[1], n+1
			}
		}
		for i, p := range points {
			if of[i] == g {
				sum += squared(p, []float64{mean[0] / n, mean[1] / n})
			}
		}
	}
	return sum
}

func TestVisualGolden(t *testing.T) {
	// Frozen: a change here changes the concepts of every bank that groups by visual:K.
	g := mustGroup(t, scenes(2), Options{Seed: "golden"}, "visual:3")
	var got []string
	for _, m := range g.Memberships {
		got = append(got, fmt.Sprintf("%s %s %s", m.Work, m.Concept, m.Why))
	}
	want := `a00 style/visual-3-a04 nearest of 3 visual centres: distance 0.69, next 1.46; dominant blue, low texture
a04 style/visual-3-a04 nearest of 3 visual centres: distance 0.69, next 1.46; dominant blue, low texture
b01 style/visual-3-a04 nearest of 3 visual centres: distance 0.69, next 1.43; dominant red, low texture
b05 style/visual-3-a04 nearest of 3 visual centres: distance 0.69, next 1.43; dominant red, low texture
c02 style/visual-3-c02 nearest of 3 visual centres: distance 0.07, next 1.47; dominant grey, high texture
c06 style/visual-3-c02 nearest of 3 visual centres: distance 0.07, next 1.46; dominant grey, high texture
d03 style/visual-3-d03 nearest of 3 visual centres: distance 0.00, next 1.27; dominant green, medium texture
d07 style/visual-3-d03 nearest of 3 visual centres: distance 0.00, next 1.27; dominant green, medium texture`
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got\n%s", s)
	}
}

func BenchmarkDescriptor(b *testing.B) {
	img := image.NewYCbCr(image.Rect(0, 0, 4000, 3000), image.YCbCrSubsampleRatio420)
	for b.Loop() {
		Descriptor(img)
	}
}

func BenchmarkCluster(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		points := make([][]float64, n)
		random := draws{[]byte("benchmark"), 0}
		for i := range points {
			points[i] = make([]float64, DescriptorLen)
			for j := range points[i] {
				points[i][j] = random.at(i*DescriptorLen + j)
			}
		}
		b.Run(fmt.Sprintf("%dx16", n), func(b *testing.B) {
			for b.Loop() {
				cluster(points, 16, nil)
			}
		})
	}
}
