package delivery

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// crops cuts n pictures of side x side pixels out of each concept's photograph.
func crops(t testing.TB, n, side int, photos map[string]string) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	for concept, name := range photos {
		src := testphotos.Picture(t, name).Image.(*image.NRGBA)
		b := src.Bounds()
		across := b.Dx() / side
		if across*(b.Dy()/side) < n {
			t.Fatalf("%s has only %d x %d pixels", name, b.Dx(), b.Dy())
		}
		for i := range n {
			at := image.Pt(i%across*side, i/across*side)
			crop := src.SubImage(image.Rectangle{at, at.Add(image.Pt(side, side))})
			files[fmt.Sprintf("%s/%03d.png", concept, i)] = &fstest.MapFile{Data: pngOf(t, crop)}
		}
	}
	return files
}

// twoConcepts are 40 crops of 128 x 128 pixels.
func twoConcepts(t testing.TB) fstest.MapFS {
	return crops(t, 20, 128, map[string]string{"woods": "forest/woodland-cascade.jpg", "dogs": "animals/two-dogs.jpg"})
}

// poolSpec asks for pools at a strength in dB.
func poolSpec(t testing.TB, files fstest.MapFS, geometry string, psnrDB float64) Spec {
	spec := specOf(t, files, geometry, nil)
	spec.Readable, spec.Preset = ReadablePool, mark.Preset{Name: "custom", PSNRDB: psnrDB}
	spec.ImagesPerShard = 7
	spec.Workers = 2
	return spec
}

// TestPools delivers small crops at the preset and looks at all of it.
func TestPools(t *testing.T) {
	files := twoConcepts(t)
	files["bad/bad.png"] = &fstest.MapFile{Data: []byte("no picture")}
	folder := t.TempDir()
	spec := poolSpec(t, files, "square:128", 42)
	d := deliver(t, spec, files, openStore(t, folder))
	t.Logf("%+v, %+v", d.Summary, d.Pools)
	if d.Summary.Images != 40 || d.Summary.Refused != 1 || d.Summary.Pools != 2 || d.Summary.PoolsUnnamed != 0 || d.Summary.Strengthened != 0 || len(d.Shards) != 6 {
		t.Errorf("summary %+v, %d shards", d.Summary, len(d.Shards))
	}
	for i := range d.Images {
		img := &d.Images[i]
		if math.Abs(img.MarkPSNRDB-42) > 0.051 || math.Abs(img.PSNRDB-img.MarkPSNRDB) > 0.01 || img.SSIM < 0.9 || !img.T.none() || img.StrengthSteps != 0 {
			t.Errorf("%s: %+v", img.SourcePath, img)
		}
	}
	for i, p := range d.Pools {
		if !p.Named || p.ConceptT < 7 || p.ConceptP > 1e-6 || p.Images < 16 || p.Images > 20 || i > 0 && p.Number <= d.Pools[i-1].Number {
			t.Errorf("pool %+v", p)
		}
	}
	checkManifest(t, d, folder)
	checkPoolManifests(t, d)
	checkVerifyPools(t, d, spec, folder)
	again, err := Run(context.Background(), spec, nil, openStore(t, folder), nil)
	if err != nil || !again.AlreadyFinished || !reflect.DeepEqual(again.Manifest, d.Manifest) {
		t.Errorf("again: %v", err)
	}
	spec.Readable = ReadableEach
	spec.Geometry.Resolution = 256
	if _, err := Run(context.Background(), spec, nil, openStore(t, folder), nil); !errors.Is(err, ErrOtherParameters) {
		t.Errorf("another rule: %v", err)
	}
}

// checkPoolManifests: figures of pools that contradict each other, or the images, are refused.
func checkPoolManifests(t *testing.T, d *Delivery) {
	text, err := d.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Manifest){
		"no pools": func(m *Manifest) { m.Pools = nil }, "one missing": func(m *Manifest) { m.Pools = m.Pools[:1] },
		"order": func(m *Manifest) { slices.Reverse(m.Pools) }, "number": func(m *Manifest) { m.Pools[0].Number++ },
		"no images": func(m *Manifest) { m.Pools[0].Images = 0 }, "more images than there are": func(m *Manifest) { m.Pools[0].Images = 21 },
		"chance": func(m *Manifest) { m.Pools[0].ConceptP = 1.5 }, "named by chance": func(m *Manifest) { m.Pools[0].ConceptP = 1 },
		"statistics": func(m *Manifest) { m.Images[3].CopyT.Work = 5 }, "rule": func(m *Manifest) { m.Parameters.Readable = "some" },
		"each": func(m *Manifest) { m.Parameters.Readable = ReadableEach }, "each of old": func(m *Manifest) { m.Parameters.Readable, m.Parameters.Geometry.Resolution = "", 256 },
		"unnamed": func(m *Manifest) { m.Pools[0].Named = false },
	} {
		m, err := ParseManifest(text)
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		if what != "unnamed" { // which only the summary tells
			m.Summary = m.summarise()
		}
		if m.check() == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

// checkVerifyPools verifies a delivery, with another key, and with an image swapped.
func checkVerifyPools(t *testing.T, d *Delivery, spec Spec, folder string) {
	verify := func(opt VerifyOptions) *Verification {
		t.Helper()
		v, err := Verify(context.Background(), openStore(t, folder), opt)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := verify(VerifyOptions{Keys: &spec.Keys, Workers: 2, ManifestSHA256: d.SHA256()}); !v.OK() || v.Images != 40 || v.Pools != 2 || v.Detected != 0 {
		t.Errorf("undamaged: %+v", v)
	}
	if v := verify(VerifyOptions{Keys: &spec.Keys, Sample: 1}); !v.OK() || v.Pools != 1 {
		t.Errorf("a sample: %+v", v)
	}
	if v := verify(VerifyOptions{}); !v.OK() || v.Pools != 0 {
		t.Errorf("hashes only: %+v", v)
	}
	kinds := func(v *Verification) (ks []DifferenceKind) {
		for _, x := range v.Differences {
			ks = append(ks, x.Kind)
		}
		return ks
	}
	wrong := testKey(t, 10).Keys()
	if got := kinds(verify(VerifyOptions{Keys: &wrong})); !slices.Equal(got, []DifferenceKind{PoolNotNamed, PoolNotNamed}) {
		t.Errorf("wrong key: %v", got)
	}
	swapImages(t, filepath.Join(folder, d.Shards[1].Name), &d.Images[7], &d.Images[8])
	defer swapImages(t, filepath.Join(folder, d.Shards[1].Name), &d.Images[7], &d.Images[8])
	if got := kinds(verify(VerifyOptions{Keys: &spec.Keys})); len(got) < 3 || !slices.Contains(got, ShardDiffers) || !slices.Contains(got, MemberDiffers) {
		t.Errorf("swapped images: %v", got)
	}
}

// swapImages exchanges the files of two images of a shard. Done twice it changes nothing.
func swapImages(t *testing.T, shard string, a, b *Image) {
	t.Helper()
	data, err := os.ReadFile(shard)
	if err != nil {
		t.Fatal(err)
	}
	type member struct {
		name string
		data []byte
	}
	var all []member
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, member{h.Name, text})
	}
	find := func(img *Image) *member {
		i := slices.IndexFunc(all, func(m member) bool { return m.name == img.Key+"."+img.Extension })
		if i < 0 {
			t.Fatalf("no image %s in %s", img.Key, shard)
		}
		return &all[i]
	}
	x, y := find(a), find(b)
	x.data, y.data = y.data, x.data
	var out bytes.Buffer
	w := newShardWriter(&out)
	for _, m := range all {
		if err := w.bytes(m.name, m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(shard, out.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestPoolsNothingLeft: a concept whose files are all gone is not named any more.
func TestPoolsNothingLeft(t *testing.T) {
	files := crops(t, 3, 256, map[string]string{"woods": "forest/woodland-cascade.jpg"})
	folder := t.TempDir()
	spec := poolSpec(t, files, "native:256", 40)
	d := deliver(t, spec, files, openStore(t, folder))
	if len(d.Pools) != 1 || !d.Pools[0].Named {
		t.Fatalf("%+v", d.Pools)
	}
	if err := os.Remove(filepath.Join(folder, d.Shards[0].Name)); err != nil {
		t.Fatal(err)
	}
	v, err := Verify(context.Background(), openStore(t, folder), VerifyOptions{Keys: &spec.Keys})
	if err != nil || len(v.Differences) != 2 || v.Differences[0].Kind != PoolNotNamed || v.Differences[0].Where != "semantic/woods" {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestPoolsResume stops runs of all kinds, and the bytes are those of an undisturbed one.
func TestPoolsResume(t *testing.T) {
	files := twoConcepts(t)
	files["bad/bad.png"] = &fstest.MapFile{Data: []byte("no picture")}
	spec := poolSpec(t, files, "square:128", 45)
	spec.Workers = 1
	want := t.TempDir()
	deliver(t, spec, files, openStore(t, want))
	spec.Workers = 2

	t.Run("Stopped", func(t *testing.T) {
		folder := t.TempDir()
		ctx, cancel := context.WithCancel(context.Background())
		_, err := Run(ctx, spec, Folder(files), openStore(t, folder), func(done, _, _ int, _ concepts.WorkID) {
			if done == 10 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if d := deliver(t, spec, files, openStore(t, folder)); d.Resumed < 10 {
			t.Errorf("%d works resumed of the 10 finished", d.Resumed)
		}
		expectSame(t, contents(t, folder), contents(t, want))
	})
	t.Run("EveryWriteMayFail", func(t *testing.T) {
		folder := t.TempDir()
		power := errors.New("power cut")
		for i := range 200 {
			st := &faulty{Store: openStore(t, folder), left: 2 + i%3, persist: i%2 == 0, err: power}
			_, err := Run(context.Background(), spec, Folder(files), st, nil)
			if err == nil {
				if i < 8 {
					t.Errorf("only %d cuts: the test does not reach what it should", i)
				}
				deliver(t, spec, files, openStore(t, folder)) // clears what the last cut left
				expectSame(t, contents(t, folder), contents(t, want))
				return
			}
			if !errors.Is(err, power) {
				t.Fatalf("cut %d: %v", i, err)
			}
		}
		t.Fatal("does not end")
	})
	t.Run("Damaged", func(t *testing.T) {
		damagedStaging(t, spec, files, 1+2, contents(t, want)) // the job's put and those of a batch of all
	})
}

// TestPoolGeometries: R need not be the pictures' size, and what is delivered has the strength asked for.
func TestPoolGeometries(t *testing.T) {
	files := crops(t, 8, 128, map[string]string{"woods": "forest/woodland-cascade.jpg"})
	for _, c := range []struct {
		geometry string
		db       float64
	}{{"native:256", 38}, {"native:64", 42}, {"square:64", 38}, {"square:128", 48}, {"square:128", 54}, {"native", 42}} {
		spec := poolSpec(t, files, c.geometry, c.db)
		folder := t.TempDir()
		d := deliver(t, spec, files, openStore(t, folder))
		if d.Summary.Images != 8 || len(d.Pools) != 1 || d.Parameters.Preset != "custom" || d.Parameters.PresetDB != c.db {
			t.Fatalf("%v: %+v, %+v", c, d.Summary, d.Refusals)
		}
		if math.Abs(d.Summary.PSNRMeanDB-c.db) > 0.1 || math.Abs(d.Summary.PSNRMinDB-c.db) > 0.5 {
			t.Errorf("%v: %.3f dB, least %.3f", c, d.Summary.PSNRMeanDB, d.Summary.PSNRMinDB)
		}
		t.Logf("%v: %+v", c, d.Pools[0])
		if v, err := Verify(context.Background(), openStore(t, folder), VerifyOptions{Keys: &spec.Keys}); err != nil || !v.OK() {
			t.Errorf("%v: %+v, %v", c, v, err)
		}
	}
}

// TestPoolRules: each is the rule unless another is named, and says what to do where R is too small for it.
func TestPoolRules(t *testing.T) {
	files := fstest.MapFS{"bad/bad.png": {Data: []byte("no picture")}}
	for _, rule := range []Readable{"", ReadableEach} {
		spec := specOf(t, files, "square:128", nil)
		spec.Readable = rule
		_, err := Run(context.Background(), spec, Folder(files), openStore(t, t.TempDir()), nil)
		if err == nil || !strings.Contains(err.Error(), "square:128") || !strings.Contains(err.Error(), "choose a larger R, or --readable pool") {
			t.Errorf("rule %q: %v", rule, err)
		}
	}
	spec := specOf(t, files, "square:256", nil)
	spec.Readable = "some"
	if _, err := Run(context.Background(), spec, Folder(files), openStore(t, t.TempDir()), nil); err == nil || !strings.Contains(err.Error(), "choose each or pool") {
		t.Errorf("rule some: %v", err)
	}
	spec.Readable = ReadableEach
	ready, err := spec.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if p := ready.parameters(nil); p.Readable != "" || p.Readable.String() != "each" {
		t.Errorf("the rule of old is written %q: old deliveries would not be gone on with", p.Readable)
	}
}

// TestPoolsChoose: the images read are spread over the concept, and large ones are fewer.
func TestPoolsChoose(t *testing.T) {
	images := make([]Image, 1000)
	m := members{}
	for i := range images {
		images[i].Width, images[i].Height = 128, 128
		m.of = append(m.of, i)
	}
	if got := m.choose(images, 4); !slices.Equal(got, []int{0, 250, 500, 750}) {
		t.Errorf("4 of 1000: %v", got)
	}
	if got := m.choose(images, MaxPool); len(got) != MaxPool {
		t.Errorf("%d of 1000", len(got))
	}
	for i := range images {
		images[i].Width, images[i].Height = 1024, 1024
	}
	if got := m.choose(images, MaxPool); len(got) != 16 {
		t.Errorf("%d large ones", len(got))
	}
	images[0].Width = 1 << 20
	if got := m.choose(images, MaxPool); len(got) != 1 {
		t.Errorf("%d with a giant", len(got))
	}
}

// BenchmarkPools times a delivery of 128 x 128 crops on one core, all in, and its parts:
//
//	go test -tags nodynamic ./delivery -run - -bench Pools -benchtime 1x -cpu 1
func BenchmarkPools(b *testing.B) {
	files := crops(b, 56, 128, map[string]string{"woods": "forest/woodland-cascade.jpg", "dogs": "animals/two-dogs.jpg"})
	spec := poolSpec(b, files, "square:128", 42)
	spec.Workers, spec.ImagesPerShard = 1, 1000
	var marking, rest time.Duration
	for range b.N {
		began := time.Now()
		var marked time.Time
		if _, err := Run(context.Background(), spec, Folder(files), openStore(b, b.TempDir()), func(done, total, _ int, _ concepts.WorkID) {
			if done == total {
				marked = time.Now()
			}
		}); err != nil {
			b.Fatal(err)
		}
		marking += marked.Sub(began)
		rest += time.Since(marked)
	}
	perImage := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N*len(files)) }
	b.ReportMetric(perImage(marking), "mark-ms/image")
	b.ReportMetric(perImage(rest), "shards+pools-ms/image")
}
