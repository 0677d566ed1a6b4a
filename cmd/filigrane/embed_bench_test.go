package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/mark"
)

// BenchmarkEmbed marks one JPEG from file to file, as the program does: open the workspace and draw the books, read,
// decode, mark, encode, read back, detect, compare, write. The metrics are that, and decoding, marking and
// encoding alone, against decoding and encoding the same file.
func BenchmarkEmbed(b *testing.B) {
	key, err := mark.NewKey(bytes.Repeat([]byte{1}, mark.KeySize))
	if err != nil {
		b.Fatal(err)
	}
	books := mark.NewBooks(mark.Profile1(), key.Keys())
	for _, c := range []struct{ w, h, resolution int }{{1024, 682, 512}, {4480, 2990, 1024}} {
		b.Run(fmt.Sprintf("%dx%d", c.w, c.h), func(b *testing.B) {
			dir := b.TempDir()
			host := filepath.Join(dir, "host.jpg")
			data := benchJPEG(b, c.w, c.h)
			if err := os.WriteFile(host, data, 0o666); err != nil {
				b.Fatal(err)
			}
			benchRun(b, "init", filepath.Join(dir, "ws"), "--bank", "bench")
			var codec, marked, whole time.Duration
			b.ReportAllocs()
			b.SetBytes(int64(c.w * c.h))
			for b.Loop() {
				b.StopTimer()
				codec += recode(b, data, nil, 0)
				marked += recode(b, data, books, c.resolution)
				b.StartTimer()
				start := time.Now()
				benchRun(b, "embed", host, "-o", filepath.Join(dir, "marked.jpg"), "-f", "-q", "-w", filepath.Join(dir, "ws"), "-r", fmt.Sprint(c.resolution), "--concept", "17", "--work", "9311")
				whole += time.Since(start)
			}
			b.ReportMetric(float64(marked)/float64(codec), "marked/codec")
			b.ReportMetric(float64(whole)/float64(codec), "program/codec")
		})
	}
}

// BenchmarkEmbedBatch marks sixteen pictures of 1024 x 682 at once: compare -cpu 1,2.
func BenchmarkEmbedBatch(b *testing.B) {
	dir := b.TempDir()
	hosts := filepath.Join(dir, "hosts")
	if err := os.Mkdir(hosts, 0o777); err != nil {
		b.Fatal(err)
	}
	data := benchJPEG(b, 1024, 682)
	for i := range 16 {
		if err := os.WriteFile(filepath.Join(hosts, fmt.Sprintf("%02d.jpg", i)), data, 0o666); err != nil {
			b.Fatal(err)
		}
	}
	benchRun(b, "init", filepath.Join(dir, "ws"), "--bank", "bench")
	b.ReportAllocs()
	for b.Loop() {
		benchRun(b, "embed", hosts, "-o", filepath.Join(dir, "marked"), "-f", "-q", "-w", filepath.Join(dir, "ws"), "-r", "512", "--concept", "17")
	}
}

// benchJPEG gives a photograph at another size as JPEG of quality 90 with halved chroma, as cameras write.
func benchJPEG(b *testing.B, w, h int) []byte {
	src, err := raster.DecodeFile(filepath.Join(photos, "plants/leaf-veins.jpg"), raster.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	var file bytes.Buffer
	if err := raster.EncodeJPEG(&file, imaging.Fill(src.Image, w, h, imaging.Center, imaging.CatmullRom), 90, "4:2:0"); err != nil {
		b.Fatal(err)
	}
	return file.Bytes()
}

// recode decodes a file, marks it if there are books, and encodes it as it was.
func recode(b *testing.B, data []byte, books *mark.Books, resolution int) time.Duration {
	start := time.Now()
	p, err := raster.Decode(data, raster.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	if books != nil {
		cell := mark.NewCell(mark.Profile1(), books, mark.Names{Concepts: []int{17}, Work: 9311})
		if p.Image, _, err = embed.Mark(p.Image, cell, embed.Options{PSNRDB: 42, Resolution: resolution}); err != nil {
			b.Fatal(err)
		}
	}
	if err := raster.Encode(io.Discard, p, raster.EncodeOptions{}); err != nil {
		b.Fatal(err)
	}
	return time.Since(start)
}

// benchRun runs the program.
func benchRun(b *testing.B, args ...string) {
	var errs bytes.Buffer
	if code := run(args, bytes.NewReader(nil), io.Discard, &errs, func(string) (string, bool) { return "", false }); code != 0 {
		b.Fatalf("exit code %d\n%s", code, errs.String())
	}
}
