package embed

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

var (
	study      = flag.Bool("study", false, "run the study of docs/gentle.md: minutes")
	studyEvery = flag.Int("every", 3, "the study takes every so many photographs")
)

// law is a way to make amplitudes, up to a common factor, out of the deviation of blocks. The study compares them;
// the product has one.
type law struct {
	name      string
	near      func(m *mask, dev []float32) []float32
	amplitude func(d float64) float64
}

func own(_ *mask, dev []float32) []float32 { return dev }

// least is the minimum over each block and its neighbours.
func least(m *mask, dev []float32) []float32 {
	out := make([]float32, len(dev))
	for y := range m.rows {
		for x := range m.cols {
			d := dev[y*m.cols+x]
			for v := max(0, y-1); v <= min(m.rows-1, y+1); v++ {
				for u := max(0, x-1); u <= min(m.cols-1, x+1); u++ {
					d = min(d, dev[v*m.cols+u])
				}
			}
			out[y*m.cols+x] = d
		}
	}
	return out
}

func laws() []law {
	power := func(p float64) func(float64) float64 {
		return func(d float64) float64 { return math.Pow(d+1, p) }
	}
	optimum := func(d float64) float64 { return (d*d + 29.26) / (d + 5) }
	return []law{
		{"product", (*mask).texture, amplitude},
		{"even", own, power(0)},
		{"least, d+1", least, power(1)},
		{"own block, d+1", own, power(1)},
		{"harmonic, d+1", (*mask).texture, power(1)},
		{"harmonic, (d+1)^0.5", (*mask).texture, power(0.5)},
		{"harmonic, (d+1)^0.7", (*mask).texture, power(0.7)},
		{"harmonic, (d+1)^1.4", (*mask).texture, power(1.4)},
		{"harmonic, SSIM optimum", (*mask).texture, optimum},
	}
}

// of makes the mask of a law, mean square 1.
func (l law) of(luma *signal.Plane) *mask {
	b := newMaskBuilder(luma.W, luma.H, maskBlock)
	for y := range luma.H {
		b.add(luma.Row(y))
	}
	m := &mask{side: b.side, cols: b.cols, rows: len(b.dev) / b.cols}
	square := 0.0
	for _, d := range l.near(m, b.dev) {
		a := l.amplitude(float64(d))
		m.at = append(m.at, float32(a))
		square += a * a
	}
	for i := range m.at {
		m.at[i] /= float32(math.Sqrt(square / float64(len(m.at))))
	}
	return m
}

// bench marks pictures of 1,024 x 1,024 with any mask and reads them. It renders the cell itself.
type bench struct {
	reader *detect.Reader
	rgb    [3][]float64
}

func newBench(t testing.TB) *bench {
	p := mark.Profile1()
	k, err := mark.NewKey(bytes.Repeat([]byte{1}, mark.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	ks := k.Delivery(mark.Path{Bank: "study"}).Keys()
	c := mark.NewCell(p, mark.NewBooks(p, ks), mark.Names{Concepts: []int{17}, Work: 9311})
	const n = mark.CellSize
	y, cb, cr := c.Render(signal.Y, n, 0.5, 0.5, n/2.2), c.Render(signal.Cb, n, 0.5, 0.5, n/2.2), c.Render(signal.Cr, n, 0.5, 0.5, n/2.2)
	b := &bench{reader: detect.NewReader(p, ks, detect.Options{Watch: []int{17}})}
	for i, l := range y {
		b.rgb[0] = append(b.rgb[0], l+1.402*cr[i])
		b.rgb[1] = append(b.rgb[1], l-0.344136*cb[i]-0.714136*cr[i])
		b.rgb[2] = append(b.rgb[2], l+1.772*cb[i])
	}
	return b
}

// apply marks a picture whose sides are whole numbers of cells.
func (b *bench) apply(host *image.NRGBA, m *mask, gain float64) *image.NRGBA {
	out := imaging.Clone(host)
	w, h := host.Rect.Dx(), host.Rect.Dy()
	amp := make([]float32, w)
	const n = mark.CellSize
	for y := range h {
		m.row(y, amp)
		for x, a := range amp {
			k := (y+n-h/2%n)%n*n + (x+n-w/2%n)%n
			for c := range b.rgb {
				i := y*out.Stride + 4*x + c
				v := math.Round(float64(out.Pix[i]) + gain*float64(a)*b.rgb[c][k])
				out.Pix[i] = uint8(min(255, max(0, v)))
			}
		}
	}
	return out
}

// at marks a picture at a PSNR.
func (b *bench) at(host *image.NRGBA, m *mask, psnrDB float64) *image.NRGBA {
	gain := math.Pow(10, (mark.Reference-psnrDB)/20)
	var out *image.NRGBA
	for range 6 {
		out = b.apply(host, m, gain)
		off := signal.PSNR(host, out) - psnrDB
		if math.Abs(off) < 0.02 {
			break
		}
		gain *= math.Pow(10, off/20)
	}
	return out
}

func copyOf(t testing.TB, img image.Image, quality int) image.Image {
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	out, err := jpeg.Decode(&buf)
	if err != nil {
		t.Fatal(err)
	}
	return imaging.Clone(out)
}

// ts returns T of the concept and of the work, 0 for a wrong one.
func (b *bench) ts(t testing.TB, img image.Image) (concept, work float64) {
	r, err := b.reader.Read(img)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(r.Watched, r.Concepts...) {
		if f.Number == 17 {
			concept = max(concept, f.T)
		}
	}
	if r.Work.Number == 9311 {
		work = r.Work.T
	}
	return concept, work
}

// readable says whether a picture is what a delivery asks of it: concept and work in a JPEG 90 copy, the work in a thumbnail
// of 300 pixels and in a quarter cut out.
func (b *bench) readable(t testing.TB, img image.Image) bool {
	need := b.reader.Thresholds()
	w, h := img.Bounds().Dx(), img.Bounds().Dy()
	c, k := b.ts(t, copyOf(t, img, 90))
	if c < need.Concept || k < need.Work {
		return false
	}
	if _, k = b.ts(t, imaging.Resize(img, 300, 300, imaging.Lanczos)); k < need.Work {
		return false
	}
	_, k = b.ts(t, imaging.Crop(img, image.Rect(w/4+9, h/4-5, 3*w/4+9, 3*h/4-5)))
	return k >= need.Work
}

// TestMaskStudy finds, for every photograph and law, the weakest mark between 40 and 48 dB that is readable, to half a
// decibel, and prints what it costs.
func TestMaskStudy(t *testing.T) {
	if !*study {
		t.Skip("a study, minutes long: -study")
	}
	b := newBench(t)
	hosts := map[string]*image.NRGBA{}
	var names []string
	for i, name := range testphotos.Names(t) {
		if i%*studyEvery == 0 {
			names = append(names, name)
			hosts[name] = testphotos.Square(t, name, 1024)
		}
	}
	fmt.Printf("%d photographs\n%-24s %6s %8s %8s %8s %8s\n", len(names), "law", "PSNR", "SSIM", "least", "MS-SSIM", "HVS-M")
	for _, l := range laws() {
		var psnr, ssim, ms, hvs float64
		worst := 1.0
		for _, name := range names {
			host := hosts[name]
			m := l.of(signal.Luma(host))
			low, high := 40.0, 48.0
			for high-low > 0.5 {
				if mid := (low + high) / 2; b.readable(t, b.at(host, m, mid)) {
					low = mid
				} else {
					high = mid
				}
			}
			marked := b.at(host, m, low)
			s := signal.SSIM(host, marked)
			psnr, ssim, worst = psnr+signal.PSNR(host, marked), ssim+s, min(worst, s)
			ms, hvs = ms+signal.MSSSIM(host, marked), hvs+signal.PSNRHVSM(host, marked)
		}
		n := float64(len(names))
		fmt.Printf("%-24s %6.2f %8.5f %8.5f %8.5f %8.2f\n", l.name, psnr/n, ssim/n, worst, ms/n, hvs/n)
	}
}
