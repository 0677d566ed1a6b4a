package detect_test

import (
	"image"
	"image/color"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/testphotos"
)

// collage pastes a marked crop into an unmarked photograph.
func collage(t *testing.T, side int, at image.Point) image.Image {
	t.Helper()
	marked := markAs(t, testphotos.Square(t, "flowers/marigold.jpg", 1024), 42, 1024, []int{5}, 77)
	ground := imaging.Fill(testphotos.Picture(t, "objects/wall-clock.jpg").Image, 1300, 1000, imaging.Center, imaging.Lanczos)
	return imaging.Paste(ground, imaging.Crop(marked, image.Rect(331, 287, 331+side, 287+side)), at)
}

// TestPastedPiecesAreFoundAndLocated: a marked crop inside an unmarked picture is named, read where it lies, and the heat map is
// hot there and nowhere else.
func TestPastedPiecesAreFoundAndLocated(t *testing.T) {
	r := reader(t, "ours", detect.Options{Level: detect.Deep})
	at := image.Pt(741, 453)
	img := collage(t, 384, at)
	got := read(t, r, img)
	if !got.WorkFound() || got.Work.Number != 77 {
		t.Fatalf("the piece is not named: %+v", got)
	}
	piece := image.Rectangle{at, at.Add(image.Pt(384, 384))}
	h, ok := r.Heat(img, got)
	if !ok {
		t.Fatal("no heat map")
	}
	for j := range h.Rows {
		for i := range h.Cols {
			square := image.Rect(i*h.Step, j*h.Step, i*h.Step+h.Side, j*h.Step+h.Side)
			switch T := h.At(i, j); {
			case square.In(piece.Inset(16)) && T < 4:
				t.Errorf("T = %.1f at %v, inside the piece", T, square)
			case !square.Overlaps(piece) && T > 6: // once in 65 million squares
				t.Errorf("T = %.1f at %v, outside the piece", T, square)
			}
		}
	}
	if p := got.Piece; p != nil {
		read := image.Rect(p.X, p.Y, p.X+p.Width, p.Y+p.Height)
		if both := read.Intersect(piece); both.Dx()*both.Dy() < 384*384*3/4 {
			t.Errorf("read in %v, the piece is %v", read, piece)
		}
	} else {
		t.Error("the whole picture was read, not the piece")
	}
}

// TestLevelsDoWhatTheySay: what a level does not look for it does not find, and says absent.
func TestLevelsDoWhatTheySay(t *testing.T) {
	marked := markAs(t, testphotos.Square(t, "flowers/marigold.jpg", 1024), 42, 1024, []int{5}, 77)
	odd := imaging.Resize(imaging.Crop(marked, image.Rect(31, 57, 931, 757)), 513, 399, imaging.Lanczos)
	turned := imaging.Rotate(marked, 5, color.Black)
	for _, c := range []struct {
		name  string
		img   image.Image
		level detect.Level
		found bool
	}{
		{"cut and scaled", odd, detect.Fast, false},
		{"cut and scaled", odd, detect.Standard, true},
		{"turned", turned, detect.Standard, false},
		{"turned", turned, detect.Deep, true},
	} {
		got := read(t, reader(t, "ours", detect.Options{Level: c.level}), c.img)
		if got.WorkFound() != c.found || !c.found && got.Verdict != detect.Absent {
			t.Errorf("%s, level %s: %s, T of the work %.1f", c.name, c.level, got.Verdict, got.Work.T)
		}
	}
}

func TestLevelByName(t *testing.T) {
	for _, l := range detect.Levels() {
		if got, err := detect.LevelByName(string(l)); err != nil || got != l {
			t.Errorf("%s: %v, %v", l, got, err)
		}
	}
	if _, err := detect.LevelByName("thorough"); err == nil {
		t.Error("an unknown level is accepted")
	}
}
