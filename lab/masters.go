package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/disintegration/imaging"
	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/internal/raster"
)

// Photographs are first reduced to a short side of photoSide, so that no JPEG block survives; then a crop's side is
// drawn between leastShare and all of that. From closeTo down it is a close view, else a wide one: the second
// concept of the catalogue "views".
const (
	photoSide  = 4 * side
	leastShare = 0.6
	closeTo    = 0.8
)

// cut is one crop to be made.
type cut struct {
	from image.Rectangle
	name string // below the folder of masters
	view string
}

// makeMasters cuts each crops of every concept (a folder of photographs) into dir, and writes dir.csv, the bank's
// table. The seed of a photograph is its place: the same photographs give the same crops.
func makeMasters(ctx context.Context, photos, dir string) error {
	folders, err := os.ReadDir(photos)
	if err != nil {
		return err
	}
	var table [][]string
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		files, err := photographs(filepath.Join(photos, folder.Name()))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, folder.Name()), 0o755); err != nil {
			return err
		}
		for i, file := range files {
			count := each / len(files)
			if i < each%len(files) {
				count++
			}
			cuts, err := cutOne(ctx, file, dir, folder.Name(), uint64(i), count)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			for _, c := range cuts {
				table = append(table, []string{c.name, c.view, "A photograph"})
			}
		}
	}
	if len(table) == 0 {
		return fmt.Errorf("there are no folders of photographs in %s", photos)
	}
	return writeTable(dir+".csv", table)
}

func writeTable(name string, rows [][]string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w := csv.NewWriter(f)
	if err := w.WriteAll(append([][]string{{"file", "view", "caption"}}, rows...)); err != nil {
		return err
	}
	return f.Close()
}

// photographs lists the pictures of a folder that are large enough.
func photographs(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && slices.Contains([]string{".jpg", ".png"}, filepath.Ext(name)) {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	return names, err
}

// cutOne cuts count crops out of one photograph.
func cutOne(ctx context.Context, file, dir, folder string, seed uint64, count int) ([]cut, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pic, err := raster.Decode(data, raster.DefaultLimits())
	if err != nil {
		return nil, err
	}
	photo := reduced(pic.Image)
	draw := rand.New(rand.NewPCG(seed, uint64(len(data))))
	stem := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	cuts := make([]cut, count)
	var g errgroup.Group
	g.SetLimit(2)
	for i := range cuts {
		c := drawCut(draw, photo.Bounds())
		c.name = fmt.Sprintf("%s/%s-%04d.png", folder, stem, i)
		cuts[i] = c
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return writePNG(filepath.Join(dir, filepath.FromSlash(c.name)), imaging.Resize(imaging.Crop(photo, c.from), side, side, imaging.Lanczos), png.BestSpeed)
		})
	}
	return cuts, g.Wait()
}

// reduced brings the short side of a photograph to photoSide.
func reduced(photo image.Image) *image.NRGBA {
	if b := photo.Bounds(); b.Dx() < b.Dy() {
		return imaging.Resize(photo, photoSide, 0, imaging.Lanczos)
	}
	return imaging.Resize(photo, 0, photoSide, imaging.Lanczos)
}

func drawCut(draw *rand.Rand, b image.Rectangle) cut {
	short := min(b.Dx(), b.Dy())
	share := leastShare + (1-leastShare)*draw.Float64()
	long := int(share * float64(short))
	x, y := draw.IntN(b.Dx()-long+1), draw.IntN(b.Dy()-long+1)
	c := cut{from: image.Rect(x, y, x+long, y+long), view: "wide"}
	if share <= closeTo {
		c.view = "close"
	}
	return c
}

func writePNG(name string, img image.Image, level png.CompressionLevel) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := (&png.Encoder{CompressionLevel: level}).Encode(f, img); err != nil {
		return err
	}
	return f.Close()
}
