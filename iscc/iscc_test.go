package iscc

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/filigrane/filigrane/internal/oracle"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/testphotos"
)

// published is a vector of iscc-reference.json.
type published struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Input []byte `json:"input"` // 1024 grey values, or the bytes
	Bits  int    `json:"bits"`
	Code  string `json:"code"`
}

func publishedVectors(t testing.TB) []published {
	var vectors []published
	oracle.Load(t, "iscc-reference", &vectors)
	return vectors
}

// TestReference: the codes published with the reference implementation.
func TestReference(t *testing.T) {
	seen := map[string]int{}
	for _, v := range publishedVectors(t) {
		seen[v.Kind]++
		var got Code
		switch v.Kind {
		case "image":
			if len(v.Input) != Side*Side {
				t.Fatalf("%s: %d pixels", v.Name, len(v.Input))
			}
			got = ImageCodeOf(Pixels(v.Input), v.Bits)
		case "instance":
			whole, err := InstanceCode(iotest.OneByteReader(bytes.NewReader(v.Input)))
			if err != nil || whole != InstanceCodeOf(v.Input) {
				t.Fatalf("%s: read %v, %v; at once %v", v.Name, whole, err, InstanceCodeOf(v.Input))
			}
			got = newCode(Instance, whole.Bits(), v.Bits)
		default:
			t.Fatalf("%s: kind %q", v.Name, v.Kind)
		}
		if got.String() != v.Code {
			t.Errorf("%s: %s, want %s", v.Name, got, v.Code)
		}
		if back, err := Parse(v.Code); err != nil || back != got {
			t.Errorf("%s: parsed as %v, %v", v.Name, back, err)
		}
	}
	if seen["image"] < 8 || seen["instance"] < 4 {
		t.Errorf("vectors: %v", seen)
	}
}

// reduced is a vector of iscc.json.
type reduced struct {
	Name   string `json:"name"`
	Photo  string `json:"photo"`
	File   []byte `json:"file"`
	Pixels []byte `json:"pixels"`
	Code   string `json:"code"`
}

// as returns a picture in each of the four types that can hold it, 16-bit ones with low bytes that must not count.
func as(img image.Image) map[string]image.Image {
	b := img.Bounds()
	isGrey, wide, wideGrey, narrow := true, image.NewNRGBA64(b), image.NewGray16(b), image.NewNRGBA(b)
	grey := image.NewGray(b)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
			low := uint16(31*x+17*y) & 255
			isGrey = isGrey && c.R == c.G && c.G == c.B && c.A == 255
			narrow.SetNRGBA(x, y, c)
			wide.SetNRGBA64(x, y, color.NRGBA64{R: uint16(c.R)<<8 | low, G: uint16(c.G)<<8 | low, B: uint16(c.B)<<8 | low, A: uint16(c.A)<<8 | low})
			grey.SetGray(x, y, color.Gray{Y: c.R})
			wideGrey.SetGray16(x, y, color.Gray16{Y: uint16(c.R)<<8 | low})
		}
	}
	all := map[string]image.Image{"NRGBA": narrow, "NRGBA64": wide, "other": struct{ image.Image }{narrow}}
	if isGrey {
		all["Gray"], all["Gray16"] = grey, wideGrey
	}
	return all
}

// TestPillow: the 32x32 pixels are Pillow's, to the bit, in every image type, where both see the same samples.
func TestPillow(t *testing.T) {
	var vectors []reduced
	oracle.Load(t, "iscc", &vectors)
	types := map[string]int{}
	for _, v := range vectors {
		file := v.File
		if v.Photo != "" {
			if strings.HasSuffix(v.Photo, ".jpg") {
				continue // another decoder: TestPillowOnJPEG
			}
			file = photoFile(t, v.Photo)
		}
		p, err := raster.Decode(file, raster.DefaultLimits())
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		for name, img := range as(p.Image) {
			if v.Photo != "" && name == "other" {
				continue // slow
			}
			types[name]++
			got := Normalise(img)
			if got != Pixels(v.Pixels) {
				at := 0
				for got[at] == v.Pixels[at] {
					at++
				}
				t.Errorf("%s as %s: pixel %d, %d is %d, want %d", v.Name, name, at%Side, at/Side, got[at], v.Pixels[at])
			}
			if code := ImageCode(img, MaxBits).String(); v.Code != "" && code != v.Code {
				t.Errorf("%s as %s: %s, want %s", v.Name, name, code, v.Code)
			}
		}
		if move := moved(p.Image); Normalise(move) != Pixels(v.Pixels) {
			t.Errorf("%s: with another origin its code is another", v.Name)
		}
	}
	for name, least := range map[string]int{"NRGBA": 20, "NRGBA64": 20, "Gray": 2, "Gray16": 2, "other": 15} {
		if types[name] < least {
			t.Errorf("%d pictures as %s, want %d", types[name], name, least)
		}
	}
}

// moved returns a picture as a part of a larger one.
func moved(img image.Image) image.Image {
	b := img.Bounds()
	at := image.Pt(5, 3)
	big := image.NewNRGBA(image.Rect(0, 0, b.Dx()+9, b.Dy()+8))
	for i := range big.Pix {
		big.Pix[i] = 77
	}
	for y := range b.Dy() {
		for x := range b.Dx() {
			big.Set(x+at.X, y+at.Y, img.At(b.Min.X+x, b.Min.Y+y))
		}
	}
	return big.SubImage(image.Rect(0, 0, b.Dx(), b.Dy()).Add(at))
}

// TestPillowOnJPEG: two decoders differ a little in their samples, which turns bits whose coefficients lie at the median,
// in pairs. It is seldom, and far below MaxDistance.
func TestPillowOnJPEG(t *testing.T) {
	var vectors []reduced
	oracle.Load(t, "iscc", &vectors)
	jpegs, same, worstPixel := 0, 0, 0
	for _, v := range vectors {
		if v.Photo == "" || !strings.HasSuffix(v.Photo, ".jpg") {
			continue
		}
		jpegs++
		pixels := Normalise(testphotos.Picture(t, v.Photo).Image)
		for i, p := range pixels {
			worstPixel = max(worstPixel, int(math.Abs(float64(p)-float64(v.Pixels[i]))))
		}
		theirs, err := Parse(v.Code)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		d := Distance(ImageCodeOf(pixels, DefaultBits), newCode(Image, theirs.Bits(), DefaultBits))
		if d == 0 {
			same++
		}
		if whole := Distance(ImageCodeOf(pixels, MaxBits), theirs); d > 2 || whole > 12 {
			t.Errorf("%s: %d of 64 bits differ, %d of 256", v.Name, d, whole)
		}
	}
	t.Logf("%d photographs in JPEG: %d have the same 64 bits, grey values differ by at most %d", jpegs, same, worstPixel)
	if jpegs < 40 || same < jpegs*9/10 || worstPixel > 2 {
		t.Errorf("%d of %d codes are the same, grey values differ by %d", same, jpegs, worstPixel)
	}
}

// TestTransform: the cosine transform against its definition.
func TestTransform(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 1 << rapid.IntRange(1, 5).Draw(t, "log n")
		v := make([]float64, n)
		for i := range v {
			v[i] = float64(rapid.IntRange(0, 255).Draw(t, "sample"))
		}
		got := append([]float64(nil), v...)
		dct(got, make([]float64, n))
		for k := range n {
			want := 0.0
			for i, x := range v {
				want += x * math.Cos(math.Pi*(float64(i)+0.5)*float64(k)/float64(n))
			}
			if math.Abs(got[k]-want) > 1e-9 {
				t.Fatalf("n = %d: coefficient %d is %v, want %v", n, k, got[k], want)
			}
		}
	})
	for half := 1; half <= Side/2; half *= 2 {
		for i := range half {
			if want := 2 * math.Cos((float64(i)+0.5)*math.Pi/float64(2*half)); math.Abs(twiceCos[half+i]-want) > 4e-16 {
				t.Errorf("twice the cosine %d of %d: %v, want %v", i, half, twiceCos[half+i], want)
			}
		}
	}
}

// TestMirrored: the mirror image of the pixels is the pixels of the mirror image, but for rounding.
func TestMirrored(t *testing.T) {
	img := testphotos.Square(t, "forest/autumn-wood.jpg", 512)
	flipped := image.NewNRGBA(img.Rect)
	for y := range 512 {
		for x := range 512 {
			flipped.SetNRGBA(511-x, y, img.NRGBAAt(x, y))
		}
	}
	p, q := Normalise(img).Mirrored(), Normalise(flipped)
	for i := range p {
		if math.Abs(float64(p[i])-float64(q[i])) > 1 {
			t.Fatalf("pixel %d: %d and %d", i, p[i], q[i])
		}
	}
	if p == Normalise(img) || p.Mirrored() != Normalise(img) {
		t.Error("mirroring twice does not give the picture, or once does")
	}
}

func TestUncut(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 64, 64))
	for y := 16; y < 48; y++ {
		for x := 16; x < 48; x++ {
			img.SetGray(x, y, color.Gray{Y: uint8(100 + 3*x - y)})
		}
	}
	if whole := Uncut(img); whole[0] != 0 || whole[Side*Side/2+Side/2] < 100 || whole == Normalise(img) {
		t.Error("the border is not there")
	}
	if cut := Normalise(img); cut[0] != 132 || !Bordered(img) {
		t.Errorf("the border was not cut off: %d", cut[0])
	}
	inner := img.SubImage(image.Rect(16, 16, 48, 48))
	if Bordered(inner) || Uncut(inner) != Normalise(img) || Bordered(image.NewGray(image.Rect(0, 0, 4, 4))) {
		t.Error("a picture without a border has one")
	}
}

// TestParseRefuses names what is wrong.
func TestParseRefuses(t *testing.T) {
	for s, want := range map[string]string{
		"":                        "begins with",
		"EEA4GQZQTY6J5DTH":        "begins with",
		"iscc:EEA4GQZQTY6J5DTH":   "begins with",
		"ISCC:eea4gqzqty6j5dth":   "base32",
		"ISCC:EEA4GQZQTY6J5DT1":   "base32",
		"ISCC:EEA4GQZQTY6J-5DTH":  "base32",
		"ISCC:EEA4GQZQTY6J5DTH\n": "base32",
		"ISCC:EEA4GQZQTY6J5DTÉ":   "base32",
		"ISCC:":                   "cut off",
		"ISCC:EE":                 "cut off",
		"ISCC:EEA":                "cut off",
		"ISCC:EEA4GQZQTY6J5DTHA":  "after its end",
		"ISCC:EEA4GQZQTY6J5D":     "header says 64",
		"ISCC:EEA4GQZQTY6J5DTHAA": "header says 64",
		"ISCC:EEAMGQZQTZ":         "after its end",
		"ISCC:EAASKDNZNYGUUF5A":   "main type 2 and subtype 0", // a Text-Code
		"ISCC:GAAXL2XYM5BQIAZ3":   "main type 3 and subtype 0", // a Data-Code
		"ISCC:KACYPXW445FTYNJ3CYSXHAFJMA2HUWULUNRFE3BLHRSCXYH2M5AEGQY": "main type 5", // a composite
		"ISCC:EEIA" + strings.Repeat("A", 12):                          "version 1",
		"ISCC:" + strings.Repeat("A", 56):                              "at most 55",
	} {
		if c, err := Parse(s); err == nil || !strings.Contains(err.Error(), want) || !c.IsZero() {
			t.Errorf("%q: %v, %v; want an error with %q", s, c, err, want)
		}
	}
}

// TestCodeInJSON: a code is its string; none is left out.
func TestCodeInJSON(t *testing.T) {
	type record struct {
		Code Code `json:"code,omitzero"`
	}
	c := InstanceCodeOf(nil)
	text, err := json.Marshal([]record{{c}, {}})
	if err != nil || string(text) != `[{"code":"`+c.String()+`"},{}]` {
		t.Fatalf("%s, %v", text, err)
	}
	var back []record
	if err := json.Unmarshal(text, &back); err != nil || len(back) != 2 || back[0].Code != c || !back[1].Code.IsZero() {
		t.Errorf("%v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`[{"code":"ISCC:EEA"}]`), &back); err == nil {
		t.Error("half a code was read")
	}
	if (Code{}).String() != "" || len((Code{}).Bits()) != 0 {
		t.Error("the zero code has a text or bits")
	}
}

func TestDistance(t *testing.T) {
	parse := func(s string) Code {
		c, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	black, white, sample := parse("ISCC:EEAQAAAAAAAAAAAA"), parse("ISCC:EEAYAAAAAAAAAAAA"), parse("ISCC:EEA4GQZQTY6J5DTH")
	if Distance(black, black) != 0 || Distance(black, white) != 1 || Distance(black, sample) != 32 || Distance(sample, white) != 31 {
		t.Errorf("%d, %d, %d, %d", Distance(black, black), Distance(black, white), Distance(black, sample), Distance(sample, white))
	}
}

func TestReadErrorIsKept(t *testing.T) {
	broken := errors.New("broken")
	if c, err := InstanceCode(iotest.ErrReader(broken)); !errors.Is(err, broken) || !c.IsZero() {
		t.Errorf("%v, %v", c, err)
	}
}

func TestPanics(t *testing.T) {
	image64, instance := ImageCodeOf(Pixels{}, 64), InstanceCodeOf(nil)
	for what, f := range map[string]func(){
		"no bits":       func() { ImageCodeOf(Pixels{}, 0) },
		"odd bits":      func() { ImageCodeOf(Pixels{}, 65) },
		"many bits":     func() { ImageCodeOf(Pixels{}, 288) },
		"empty picture": func() { Normalise(image.NewGray(image.Rect(0, 0, 0, 5))) },
		"kinds":         func() { Distance(image64, instance) },
		"lengths":       func() { Distance(image64, ImageCodeOf(Pixels{}, 128)) },
		"index":         func() { new(Index).Add(1, instance) },
		"index length":  func() { new(Index).Near(ImageCodeOf(Pixels{}, 128), 3) },
		"ID":            func() { new(Index).Add(-1, image64) },
	} {
		func() {
			defer func() {
				if p, ok := recover().(string); !ok || !strings.HasPrefix(p, "iscc: ") {
					t.Errorf("%s: %v", what, p)
				}
			}()
			f()
		}()
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range publishedVectors(f) {
		f.Add(v.Code)
	}
	f.Add("ISCC:EAASKDNZNYGUUF5A")
	f.Add("ISCC:EEA4GQZQTY6J5DTHAA")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err != nil {
			if !c.IsZero() || !strings.HasPrefix(err.Error(), "iscc: ") {
				t.Fatalf("%v with the error %v", c, err)
			}
			return
		}
		if c.String() != s || len(c.Bits()) != c.Len()/8 || c.Len()%lengthStep != 0 {
			t.Fatalf("%q became %q of %d bits", s, c, c.Len())
		}
	})
}

func BenchmarkImageCode1024(b *testing.B) {
	img := testphotos.Square(b, "forest/autumn-wood.jpg", 1024)
	for b.Loop() {
		ImageCode(img, DefaultBits)
	}
}

func BenchmarkInstanceCode1MiB(b *testing.B) {
	data := bytes.Repeat([]byte{1, 2, 3, 4}, 1<<18)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		InstanceCodeOf(data)
	}
}
