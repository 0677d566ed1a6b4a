package embed_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"math"
	"testing"

	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

var profile = mark.Profile1()

func books(t testing.TB) *mark.Books {
	t.Helper()
	k, err := mark.NewKey(bytes.Repeat([]byte{1}, mark.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return mark.NewBooks(profile, k.Delivery(mark.Path{Bank: "test"}).Keys())
}

func cell(t testing.TB) *mark.Cell {
	return mark.NewCell(profile, books(t), mark.Names{Concepts: []int{17}, Work: 9311})
}

func TestMarkMeetsItsPSNR(t *testing.T) {
	for _, name := range []string{"flowers/marigold.jpg", "sky/kite.jpg", "animals/jellyfish.jpg"} {
		host := testphotos.Square(t, name, 512)
		for _, db := range []float64{38, 42, 45} {
			marked, rep, err := embed.Mark(host, cell(t), embed.Options{PSNRDB: db})
			if err != nil {
				t.Fatalf("%s at %v dB: %v", name, db, err)
			}
			if got := signal.PSNR(host, marked); math.Abs(got-db) > 0.05 || math.Abs(got-rep.PSNRDB) > 1e-9 {
				t.Errorf("%s: asked for %v dB, got %.3f, reported %.3f", name, db, got, rep.PSNRDB)
			}
		}
	}
}

// TestHostMarksAsMark: a host measured once gives, whatever was marked before, the pixels and figures of a fresh one, at
// sizes whose cells are whole numbers of pixels long and others.
func TestHostMarksAsMark(t *testing.T) {
	cells := []*mark.Cell{cell(t), cell(t).Scaled(mark.Work, 1.5)}
	for _, resolution := range []int{0, 300, 1000} {
		img := testphotos.Square(t, "flowers/marigold.jpg", 500)
		host, err := embed.NewHost(img, resolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, db := range []float64{45, 38, 42} {
			for i, c := range cells {
				want, wantRep, err := embed.Mark(img, c, embed.Options{PSNRDB: db, Resolution: resolution})
				if err != nil {
					t.Fatal(err)
				}
				got, rep, err := host.Mark(c, db)
				if err != nil {
					t.Fatal(err)
				}
				if rep != wantRep || !bytes.Equal(got.(*image.NRGBA).Pix, want.(*image.NRGBA).Pix) {
					t.Errorf("resolution %d, %v dB, cell %d: %+v, alone %+v", resolution, db, i, rep, wantRep)
				}
				if math.Abs(rep.PSNRDB-db) > 0.05 || math.Abs(rep.PSNRDB-signal.PSNR(img, got)) > 1e-9 {
					t.Errorf("resolution %d: asked for %v dB, reported %.3f, got %.3f", resolution, db, rep.PSNRDB, signal.PSNR(img, got))
				}
			}
		}
	}
}

// convert draws a photograph into each of the four types a host may have.
func hosts(t *testing.T) map[string]image.Image {
	src := testphotos.Square(t, "flowers/marigold.jpg", 256)
	r := src.Rect
	g, g16, c16 := image.NewGray(r), image.NewGray16(r), image.NewNRGBA64(r)
	for y := 0; y < 256; y++ {
		for x := 0; x < 256; x++ {
			c := src.NRGBAAt(x, y)
			g.Set(x, y, c)
			wide := color.NRGBA64{uint16(c.R)*257 + uint16(x), uint16(c.G)*257 - uint16(min(y, int(c.G))), uint16(c.B) * 257, 65535}
			c16.SetNRGBA64(x, y, wide)
			g16.Set(x, y, wide)
		}
	}
	return map[string]image.Image{"nrgba": src, "gray": g, "gray16": g16, "nrgba64": c16}
}

func TestMarkKeepsTypeSizeHostAndAlpha(t *testing.T) {
	for name, host := range hosts(t) {
		before := signal.PSNR(host, host)
		marked, rep, err := embed.Mark(host, cell(t), embed.Options{PSNRDB: 42})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if signal.PSNR(host, host) != before || marked.Bounds() != host.Bounds() {
			t.Errorf("%s: bounds %v became %v", name, host.Bounds(), marked.Bounds())
		}
		if got := signal.PSNR(host, marked); math.Abs(got-42) > 0.1 || math.Abs(got-rep.PSNRDB) > 0.01 {
			t.Errorf("%s: %.2f dB, reported %.2f", name, got, rep.PSNRDB)
		}
	}
	host := testphotos.Square(t, "flowers/marigold.jpg", 256)
	for y := 0; y < 256; y++ {
		for x := 0; x < 256; x++ {
			c := host.NRGBAAt(x, y)
			c.A = uint8(x)
			host.SetNRGBA(x, y, c)
		}
	}
	marked, _, err := embed.Mark(host, cell(t), embed.Options{PSNRDB: 42})
	if err != nil {
		t.Fatal(err)
	}
	for y := 0; y < 256; y++ {
		for x := 0; x < 256; x++ {
			if a := marked.(*image.NRGBA).NRGBAAt(x, y); a.A != uint8(x) || x == 0 && a != host.NRGBAAt(x, y) {
				t.Fatalf("alpha at %d, %d: %v, host %v", x, y, a, host.NRGBAAt(x, y))
			}
		}
	}
}

func TestMarkIsDeterministic(t *testing.T) {
	host := testphotos.Square(t, "sky/kite.jpg", 256)
	first, _, err := embed.Mark(host, cell(t), embed.Options{PSNRDB: 42, Resolution: 300})
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := embed.Mark(host, cell(t), embed.Options{PSNRDB: 42, Resolution: 300})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.(*image.NRGBA).Pix, again.(*image.NRGBA).Pix) {
		t.Error("the same host, cell and options gave two different pictures")
	}
}

func TestMarkRefuses(t *testing.T) {
	white := image.NewGray(image.Rect(0, 0, 512, 512))
	for i := range white.Pix {
		white.Pix[i] = 255
	}
	for _, c := range []struct {
		name string
		host image.Image
		want embed.Refusal
	}{
		{"an icon", image.NewNRGBA(image.Rect(0, 0, 40, 40)), embed.TooSmall},
		{"a line", image.NewGray(image.Rect(0, 0, 2000, 1)), embed.TooSmall},
		{"a white page", white, embed.Clips},
		{"a transparent picture", image.NewNRGBA(image.Rect(0, 0, 128, 128)), embed.Unreachable},
	} {
		_, _, err := embed.Mark(c.host, cell(t), embed.Options{PSNRDB: 42})
		var e *embed.Error
		if !errors.As(err, &e) || e.Refusal != c.want {
			t.Errorf("%s: got %v, want a refusal %q", c.name, err, c.want)
		}
	}
}
