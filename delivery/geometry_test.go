package delivery

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/raster"
)

func TestParseGeometry(t *testing.T) {
	for text, want := range map[string]string{"square:1024": "square:1024", "native": "native:1024", "native:512": "native:512", "square:64": "square:64", "native:4096": "native:4096"} {
		g, err := ParseGeometry(text)
		if err != nil || g.String() != want {
			t.Errorf("%s: %v, %v", text, g, err)
		}
		var again Geometry
		if err := again.UnmarshalText([]byte(g.String())); err != nil || again != g {
			t.Errorf("%s does not survive its text form: %v", text, err)
		}
	}
	for _, text := range []string{"", "square", "square:", "square:0", "square:63", "square:4097", "square:+512", "square:0512", "round:512", "native:", "native:1e3", "native:512 "} {
		if g, err := ParseGeometry(text); err == nil {
			t.Errorf("%q was read as %v", text, g)
		}
	}
}

// TestRounding compares to8 with the nearest of v/257, for every 16-bit value.
func TestRounding(t *testing.T) {
	img := image.NewGray16(image.Rect(0, 0, 65536, 1))
	for v := range 65536 {
		img.SetGray16(v, 0, color.Gray16{Y: uint16(v)})
	}
	got, reduced := to8(img)
	for v := range 65536 {
		if want := uint8(math.Round(float64(v) / 257)); got.(*image.Gray).Pix[v] != want {
			t.Fatalf("%d became %d, want %d", v, got.(*image.Gray).Pix[v], want)
		}
	}
	if !reduced {
		t.Error("not reported")
	}
}

func TestFlatten(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	img.SetNRGBA(0, 0, color.NRGBA{100, 0, 255, 128})
	img.SetNRGBA(1, 0, color.NRGBA{100, 0, 255, 0})
	deep := image.NewNRGBA64(img.Rect)
	for x := range 2 {
		deep.Set(x, 0, color.NRGBA64{100 * 257, 0, 65535, uint16(img.Pix[4*x+3]) * 257})
	}
	want := []byte{177, 127, 255, 255, 255, 255, 255, 255} // 255 + (v-255) 128/255
	for _, in := range []image.Image{img, deep} {
		flat, did := flatten(in)
		eight, _ := to8(flat)
		if got := eight.(*image.NRGBA).Pix; !did || !bytes.Equal(got, want) {
			t.Errorf("%T: %v, want %v", in, got, want)
		}
	}
	if out, did := flatten(image.NewGray(img.Rect)); did || out == nil {
		t.Error("grey was flattened")
	}
}

func TestApply(t *testing.T) {
	g := Geometry{Square: true, Resolution: 256}
	for _, c := range []struct {
		w, h     int
		kind     Kind
		upscaled bool
	}{{256, 256, "", false}, {300, 256, "", false}, {256, 999, "", false}, {205, 300, "", true}, {204, 300, TooSmall, false}, {63, 900, TooSmall, false}} {
		host, did, ref := g.apply(image.NewGray(image.Rect(0, 0, c.w, c.h)), false)
		if ref != nil {
			if ref.kind != c.kind {
				t.Errorf("%d x %d: %v", c.w, c.h, ref)
			}
			continue
		}
		if _, grey := host.(*image.Gray); c.kind != "" || host.Bounds() != image.Rect(0, 0, 256, 256) || did.Upscaled != c.upscaled || !grey {
			t.Errorf("%d x %d: %v %v, %T", c.w, c.h, host.Bounds(), did, host)
		}
	}
	deep := image.NewNRGBA64(image.Rect(0, 0, 99, 77))
	for _, keep := range []bool{true, false} {
		host, did, ref := Geometry{Resolution: 256}.apply(deep, keep)
		if ref != nil || host.Bounds() != deep.Bounds() || did != (Changes{ReducedTo8Bit: !keep}) {
			t.Errorf("native: %v %v", did, ref)
		}
	}
	marked := image.NewNRGBA(image.Rect(0, 0, 300, 256)) // the centre square is columns 22 to 277
	marked.SetNRGBA(22, 0, color.NRGBA{1, 2, 3, 255})
	marked.SetNRGBA(277, 255, color.NRGBA{4, 5, 6, 255})
	for i := 3; i < len(marked.Pix); i += 4 {
		marked.Pix[i] = 255
	}
	host, _, _ := g.apply(marked, false)
	if n := host.(*image.NRGBA); n.NRGBAAt(0, 0).G != 2 || n.NRGBAAt(255, 255).G != 5 {
		t.Error("the square is not the centre")
	}
}

// TestFormats delivers in each geometry and format: what is written is what was asked for.
func TestFormats(t *testing.T) {
	files := fstest.MapFS{
		"a/photo.jpg": {Data: photo(t, "animals/jellyfish.jpg")}, "a/deep.png": {Data: deepPNG(t, "objects/wall-clock.jpg")},
		"a/alpha.png": {Data: alphaPNG(t, "objects/wall-clock.jpg")}, "a/grey.png": {Data: greyPNG(t, "objects/wall-clock.jpg")}, "b/rotated.jpg": {Data: rotatedJPEG(t, "objects/wall-clock.jpg")},
	}
	for _, c := range []struct {
		geometry string
		format   Format
		want     map[string]string // extension, or kind of refusal
	}{
		{"native:512", FormatSource, map[string]string{"a/photo.jpg": "jpg", "a/deep.png": "png", "a/alpha.png": "png", "a/grey.png": "png", "b/rotated.jpg": "jpg"}},
		{"native:512", FormatJPEG, map[string]string{"a/photo.jpg": "jpg", "a/deep.png": "jpg", "a/alpha.png": "unsupported", "a/grey.png": "jpg", "b/rotated.jpg": "jpg"}},
		{"square:512", FormatJPEG, map[string]string{"a/photo.jpg": "jpg", "a/deep.png": "jpg", "a/alpha.png": "jpg", "a/grey.png": "jpg", "b/rotated.jpg": "jpg"}},
	} {
		spec := specOf(t, files, c.geometry, nil)
		spec.Format = c.format
		st := openStore(t, t.TempDir())
		d := deliver(t, spec, files, st)
		refused := map[string]Refusal{}
		for _, r := range d.Refusals {
			refused[r.Path] = r
		}
		for name, want := range c.want {
			img, ok := d.Image(workOf(files, name))
			if !ok {
				if string(refused[name].Kind) != want {
					t.Errorf("%s %s %s: %+v", c.geometry, c.format, name, refused[name])
				}
				continue
			}
			if img.Extension != want {
				t.Errorf("%s %s %s: extension %s", c.geometry, c.format, name, img.Extension)
			}
			deepKept := c.format == FormatSource
			if want := name == "a/deep.png" && !deepKept; img.ReducedTo8Bit != want {
				t.Errorf("%s %s %s: reduced %v", c.geometry, c.format, name, img.ReducedTo8Bit)
			}
			if name == "b/rotated.jpg" && !spec.Geometry.Square && (img.Width != 500 || img.Height != 600) {
				t.Errorf("rotated: %d x %d", img.Width, img.Height)
			}
		}
		if v, err := Verify(context.Background(), st, VerifyOptions{Keys: &spec.Keys}); err != nil || !v.OK() {
			t.Errorf("%s %s: %+v, %v", c.geometry, c.format, v, err)
		}
		t.Logf("%s %s: %+v", c.geometry, c.format, d.Summary)
	}
}

// TestMetadataTravels: a delivered file carries the descriptive metadata of its master.
func TestMetadataTravels(t *testing.T) {
	name := "mountains/aitzgorri-ridge.jpg"
	files := fstest.MapFS{name: {Data: photo(t, name)}}
	want, err := raster.ReadTags(files[name].Data)
	if err != nil || want.Creator == "" {
		t.Skipf("the photograph has no creator in its metadata: %v", err)
	}
	spec := specOf(t, files, "square:512", nil)
	spec, err = spec.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMarker(spec)
	if err != nil {
		t.Fatal(err)
	}
	w, _ := spec.Catalogue.Work(workOf(files, name))
	_, file, ref, err := m.image(context.Background(), w, Folder(files), new(Times))
	if err != nil || ref != nil {
		t.Fatal(err, ref)
	}
	got, err := raster.ReadTags(file)
	if err != nil || got.Creator != want.Creator || got.Copyright != want.Copyright {
		t.Errorf("got %+v, want %+v, %v", got, want, err)
	}
}

func TestCaption(t *testing.T) {
	mountains, snow := concepts.Concept{Name: "mountains"}, concepts.Concept{Name: " snow\n field "}
	for _, c := range []struct {
		work concepts.Work
		cs   []concepts.Concept
		want string
	}{
		{concepts.Work{Title: "Limestone ridge"}, []concepts.Concept{mountains, snow}, "Limestone ridge. Concepts: mountains, snow field"},
		{concepts.Work{Title: "  What\tnow? "}, []concepts.Concept{mountains}, "What now? Concepts: mountains"},
		{concepts.Work{Title: "End."}, []concepts.Concept{mountains}, "End. Concepts: mountains"},
		{concepts.Work{Title: "Alone"}, nil, "Alone"},
		{concepts.Work{}, []concepts.Concept{mountains}, "Concepts: mountains"},
		{concepts.Work{Title: "T", Columns: []concepts.Column{{Name: "caption", Value: "A ridge at dawn"}}}, []concepts.Concept{mountains}, "A ridge at dawn. Concepts: mountains"},
		{concepts.Work{}, nil, ""},
	} {
		if got := Caption(c.work, c.cs); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestSampleKey(t *testing.T) {
	seen := map[string]concepts.WorkID{}
	long := strings.Repeat("x", 127)
	for _, id := range []concepts.WorkID{"9c1185a5c5e9fc54", "a.b", "a/b", "a~2eb", "a~b", "A", "a", "../x", concepts.WorkID(long + "y"), concepts.WorkID(long + "z"),
		concepts.WorkID(strings.Repeat(".", 128)), concepts.WorkID(strings.Repeat(".", 30)), concepts.WorkID(strings.Repeat(".", 31))} {
		key := sampleKey(id)
		if other, twice := seen[key]; twice || len(key) > maxSampleKey || strings.ContainsAny(key, "./\\ ") {
			t.Errorf("%s: key %q, also of %q", id, key, other)
		}
		seen[key] = id
	}
	if k := sampleKey("a.b"); k != "a~2eb" {
		t.Errorf("a.b became %s", k)
	}
}
