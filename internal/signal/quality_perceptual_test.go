package signal_test

import (
	"image"
	"math"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/internal/oracle"
	"github.com/filigrane/filigrane/internal/signal"
)

// perceptual is a vector of quality-perceptual.json: a pair of 8-bit grey pictures, their MS-SSIM rounded to
// 9 decimals and their PSNR-HVS-M, in dB, rounded to 4. testdata/oracles/quality.py writes it.
type perceptual struct {
	Name       string  `json:"name"`
	Width      int     `json:"width"`
	Height     int     `json:"height"`
	MSSSIM     float64 `json:"ms_ssim"`
	PSNRHVSMdB float64 `json:"psnr_hvs_m_db"`
	A          []byte  `json:"a"`
	B          []byte  `json:"b"`
}

// TestPerceptualOracle holds both figures against a second implementation in numpy and scipy.
func TestPerceptualOracle(t *testing.T) {
	var vectors []perceptual
	oracle.Load(t, "quality-perceptual", &vectors)
	for _, v := range vectors {
		r := image.Rect(0, 0, v.Width, v.Height)
		a, b := &image.Gray{Pix: v.A, Stride: v.Width, Rect: r}, &image.Gray{Pix: v.B, Stride: v.Width, Rect: r}
		if got := signal.MSSSIM(a, b); math.Abs(got-v.MSSSIM) > 2e-9 {
			t.Errorf("%s: MS-SSIM = %.12f, want %.9f", v.Name, got, v.MSSSIM)
		}
		if got := signal.PSNRHVSM(a, b); math.Abs(got-v.PSNRHVSMdB) > 2e-4 {
			t.Errorf("%s: PSNR-HVS-M = %.6f dB, want %.4f", v.Name, got, v.PSNRHVSMdB)
		}
		deepA, deepB := deepen(a), deepen(b)
		if got, want := signal.MSSSIM(deepA, deepB), signal.MSSSIM(a, b); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: MS-SSIM = %v at 16 bits, %v at 8", v.Name, got, want)
		}
		if got, want := signal.PSNRHVSM(deepA, deepB), signal.PSNRHVSM(a, b); math.Abs(got-want) > 1e-6 {
			t.Errorf("%s: PSNR-HVS-M = %v at 16 bits, %v at 8", v.Name, got, want)
		}
	}
}

// deepen returns the same picture with 16 bits a sample.
func deepen(p *image.Gray) *image.Gray16 {
	out := image.NewGray16(p.Rect)
	for i, v := range p.Pix {
		out.Pix[2*i], out.Pix[2*i+1] = v, v
	}
	return out
}

func TestPerceptualOfIdenticalPictures(t *testing.T) {
	for _, typ := range qualityTypes {
		a := testPicture(typ.name, 170, 163, 1)
		if got := signal.MSSSIM(a, a); math.Abs(got-1) > 1e-12 {
			t.Errorf("%s: MS-SSIM = %v, want 1", typ.name, got)
		}
		if got := signal.PSNRHVSM(a, a); !math.IsInf(got, 1) {
			t.Errorf("%s: PSNR-HVS-M = %v, want +Inf", typ.name, got)
		}
	}
}

// TestPSNRHVSMKnowsMaskingAndContrast: the same error costs less in texture than in an even field, and less as short
// waves than as long ones. PSNR cannot tell these apart.
func TestPSNRHVSMKnowsMaskingAndContrast(t *testing.T) {
	const side = 64
	field := func(grain, period, height float64) *image.Gray {
		p := image.NewGray(image.Rect(0, 0, side, side))
		for i := range p.Pix {
			x, y := i%side, i/side
			v := 128 + grain*float64(int(uint32(i)*2654435761>>24)-128)/128
			p.Pix[i] = uint8(math.Round(v + height*math.Sin(2*math.Pi*float64(x+y)/period)))
		}
		return p
	}
	figure := func(grain, period float64) float64 {
		return signal.PSNRHVSM(field(grain, 1, 0), field(grain, period, 4))
	}
	even, busy, short := figure(0, 16), figure(60, 16), figure(0, 3)
	if busy < even+3 {
		t.Errorf("a long wave: %.1f dB in texture, %.1f dB in an even field", busy, even)
	}
	if short < even+3 {
		t.Errorf("in an even field: %.1f dB for a short wave, %.1f dB for a long one", short, even)
	}
}

func TestPerceptualPanics(t *testing.T) {
	small := image.NewGray(image.Rect(0, 0, 400, signal.MSSSIMMinSide-1))
	if s := panicOf(func() { signal.MSSSIM(small, small) }); !strings.HasPrefix(s, "signal: ") {
		t.Errorf("MS-SSIM, too small: panic %q", s)
	}
	tiny := image.NewGray(image.Rect(0, 0, 7, 400))
	if s := panicOf(func() { signal.PSNRHVSM(tiny, tiny) }); !strings.HasPrefix(s, "signal: ") {
		t.Errorf("PSNR-HVS-M, too small: panic %q", s)
	}
	if s := panicOf(func() { signal.PSNRHVSM(small, tiny) }); !strings.HasPrefix(s, "signal: ") {
		t.Errorf("PSNR-HVS-M, two sizes: panic %q", s)
	}
}

func BenchmarkMSSSIM(b *testing.B) { benchmarkQuality(b, signal.MSSSIM) }

func BenchmarkPSNRHVSM(b *testing.B) { benchmarkQuality(b, signal.PSNRHVSM) }
