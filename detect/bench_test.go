package detect_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// BenchmarkRead reads with all 65,536 concepts and 1,048,576 works. The figure to hold is that of the
// untouched 1024 x 1024 picture; the others cost more because the pilot has to be searched for.
func BenchmarkRead(b *testing.B) {
	p := mark.Profile1()
	k, _ := mark.NewKey(bytes.Repeat([]byte{1}, mark.KeySize))
	ks := k.Delivery(mark.Path{Bank: "bench"}).Keys()
	host := testphotos.Square(b, "flowers/marigold.jpg", 1024)
	marked, _, err := embed.Mark(host, mark.NewCell(p, mark.NewBooks(p, ks), mark.Names{Concepts: []int{17}, Work: 9311}), embed.Options{PSNRDB: 42})
	if err != nil {
		b.Fatal(err)
	}
	r := detect.NewReader(p, ks, detect.Options{})
	for _, c := range []struct {
		name string
		img  image.Image
	}{
		{"marked", marked},
		{"marked,crop75", imaging.Crop(marked, image.Rect(101, 57, 869, 825))},
		{"marked,px300", imaging.Resize(marked, 300, 300, imaging.Lanczos)},
		{"unmarked", host},
	} {
		b.Run(fmt.Sprintf("%s,%dx%d", c.name, c.img.Bounds().Dx(), c.img.Bounds().Dy()), func(b *testing.B) {
			for b.Loop() {
				if _, err := r.Read(c.img); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLevels reads a marked photograph of 0.7 megapixels at each level, as it is and cut and scaled so that the
// level has work to do. docs/measured.md compares the first with decoding its JPEG (BenchmarkDecode of internal/raster).
func BenchmarkLevels(b *testing.B) {
	p := mark.Profile1()
	k, _ := mark.NewKey(bytes.Repeat([]byte{1}, mark.KeySize))
	ks := k.Delivery(mark.Path{Bank: "bench"}).Keys()
	host := imaging.Fill(testphotos.Picture(b, "flowers/marigold.jpg").Image, 1024, 682, imaging.Center, imaging.Lanczos)
	marked, _, err := embed.Mark(host, mark.NewCell(p, mark.NewBooks(p, ks), mark.Names{Concepts: []int{17}, Work: 9311}), embed.Options{PSNRDB: 42, Resolution: 1024})
	if err != nil {
		b.Fatal(err)
	}
	cut := imaging.Resize(imaging.Crop(marked, image.Rect(31, 17, 931, 617)), 700, 0, imaging.Lanczos)
	turned := imaging.Rotate(marked, 7, color.Black)
	for _, c := range []struct {
		name  string
		level detect.Level
		img   image.Image
	}{
		{"fast,marked", detect.Fast, marked}, {"fast,unmarked", detect.Fast, host},
		{"standard,cut", detect.Standard, cut}, {"standard,unmarked", detect.Standard, host},
		{"deep,turned", detect.Deep, turned}, {"deep,unmarked", detect.Deep, host},
	} {
		r := detect.NewReader(p, ks, detect.Options{Level: c.level})
		b.Run(fmt.Sprintf("%s,%dx%d", c.name, c.img.Bounds().Dx(), c.img.Bounds().Dy()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Read(c.img); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNullTest(b *testing.B) {
	n, err := detect.NewNull(mark.Profile1(), 512, testphotos.Square(b, "flowers/marigold.jpg", 512))
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		n.T([]byte("bench"), i)
	}
}
