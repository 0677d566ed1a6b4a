package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/raster"
)

// someTerms are rights with everything that can be said.
var someTerms = Rights{DataMining: "http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED-SEECONSTRAINT", OtherConstraints: "Training under licence L-1 only", WebStatement: "https://bank.example/rights",
	TrainingMining: TrainingMining{DataMining: UseNotAllowed, Training: UseConstrained, GenerativeTraining: UseConstrained, ConstraintInfo: "https://bank.example/licences/L-1"}}

// fullSpec delivers the small set with everything there is: buckets, packed shards named by content, rights.
func fullSpec(t testing.TB, files fstest.MapFS) Spec {
	spec := smallSpec(t, files)
	spec.Geometry = Geometry{Buckets: true, Resolution: 256}
	spec.Shards, spec.Captions, spec.Rights = ShardsZstd, CaptionsUntouched, someTerms
	return spec
}

// TestForms delivers in each form of shards and reads it as the package and as a stranger with a shell do.
func TestForms(t *testing.T) {
	var first []Image
	for _, form := range []ShardForm{ShardsTar, ShardsZstd} {
		files := smallSet(t)
		spec := fullSpec(t, files)
		spec.Shards = form
		folder := t.TempDir()
		st := openStore(t, folder)
		d := deliver(t, spec, files, st)
		for n, s := range d.Shards {
			if !form.names(s.Name, n) {
				t.Errorf("shard %d is called %s", n, s.Name)
			}
			if got := listedOutside(t, filepath.Join(folder, s.Name)); !strings.HasPrefix(strings.TrimPrefix(s.Name, fmt.Sprintf("shard-%06d-", n)), got[:16]) {
				t.Errorf("%s: tar and sha256sum give %s", s.Name, got)
			}
		}
		v, err := Verify(context.Background(), st, VerifyOptions{Keys: &spec.Keys, Workers: 2, ManifestSHA256: d.SHA256()})
		if err != nil || !v.OK() || v.Detected != 5 {
			t.Errorf("%s: %+v, %v", form, v, err)
		}
		n := 0
		if err := EachImage(context.Background(), st, d.Manifest, func(img *Image, file []byte) error {
			n++
			if hashOf(file) != img.SHA256 {
				t.Errorf("%s differs", img.Work)
			}
			return nil
		}); err != nil || n != 5 {
			t.Errorf("%d images, %v", n, err)
		}
		for i := range d.Images {
			d.Images[i].Shard = ""
		}
		if first != nil && !reflect.DeepEqual(first, d.Images) {
			t.Error("the images depend on how the shards are packed")
		}
		first = d.Images
		misnamed(t, d, spec, folder)
	}
}

// misnamed gives a shard the name of other contents, in the manifest too: Verify sees it.
func misnamed(t *testing.T, d *Delivery, spec Spec, folder string) {
	t.Helper()
	old := d.Shards[0].Name
	name := spec.Shards.name(0, []byte("other members"))
	text := read(t, filepath.Join(folder, ManifestKey))
	if err := errors.Join(os.WriteFile(filepath.Join(folder, ManifestKey), bytes.ReplaceAll(text, []byte(old), []byte(name)), 0o666),
		os.Rename(filepath.Join(folder, old), filepath.Join(folder, name))); err != nil {
		t.Fatal(err)
	}
	v, err := Verify(context.Background(), openStore(t, folder), VerifyOptions{})
	if err != nil || len(v.Differences) != 1 || v.Differences[0].Kind != ShardDiffers || v.Differences[0].Where != name {
		t.Errorf("a misnamed shard: %+v, %v", v, err)
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// listedOutside computes the hash of a shard's listing by the command in the documentation of ShardForm.
func listedOutside(t *testing.T, shard string) string {
	t.Helper()
	for _, tool := range []string{"tar", "sha256sum", "sed", "sh", "zstd"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("FILIGRANE_NEED_TOOLS") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	cmd := exec.Command("sh", "-c", `tar -tf "$S" | while read f; do tar -xOf "$S" "$f" | sha256sum | sed "s/-$/$f/"; done | sha256sum`)
	cmd.Env = append(os.Environ(), "S="+shard)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestPackedIsTheSame: the bytes of a packed archive do not depend on how it is written.
func TestPackedIsTheSame(t *testing.T) {
	archive := bytes.Repeat(photo(t, somePhotos[0]), 3)
	var want []byte
	for _, step := range []int{len(archive), 1 << 16, 4099, 512} {
		var b bytes.Buffer
		w, err := ShardsZstd.packed(&b)
		if err != nil {
			t.Fatal(err)
		}
		for part := range slices.Chunk(archive, step) {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = b.Bytes()
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Errorf("written in steps of %d bytes it is packed otherwise", step)
		}
	}
	r, done, err := unpacked("shard-000000-0000000000000000.tar.zst", bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, archive) {
		t.Errorf("what was packed does not come back: %v", err)
	}
}

// TestFullWritesMayFail: the promises of TestEveryWriteMayFail with everything there is, on top of a delivery before.
func TestFullWritesMayFail(t *testing.T) {
	files := smallSet(t)
	spec := fullSpec(t, files)
	whole := t.TempDir()
	want := contentsOf(t, whole, spec, files)
	folder := t.TempDir()
	power := errors.New("power cut")
	for i := range 200 {
		st := &faulty{Store: openStore(t, folder), left: 1 + i%3, persist: i%2 == 0, err: power}
		_, err := Run(context.Background(), spec, Folder(files), st, nil)
		if err == nil {
			if i < 10 {
				t.Errorf("only %d cuts", i)
			}
			if _, err := Run(context.Background(), spec, Folder(files), openStore(t, folder), nil); err != nil {
				t.Fatal(err)
			}
			expectSame(t, contents(t, folder), want)
			return
		}
		if !errors.Is(err, power) {
			t.Fatalf("cut %d: %v", i, err)
		}
	}
	t.Fatal("does not end")
}

func contentsOf(t *testing.T, folder string, spec Spec, files fstest.MapFS) map[string]string {
	t.Helper()
	spec.Workers = 1
	deliver(t, spec, files, openStore(t, folder))
	return contents(t, folder)
}

// TestBuckets: the sizes of R = 1024 are SDXL's, and each aspect goes where a trainer would put it.
func TestBuckets(t *testing.T) {
	g := Geometry{Buckets: true, Resolution: 1024}
	var got []string
	for _, b := range g.AllBuckets() {
		if b.Width >= b.Height {
			got = append(got, fmt.Sprintf("%dx%d", b.Width, b.Height))
		}
		if b.Resolution != min(b.Width, b.Height) || b.CellPixels != 64 || b.Width%64 != 0 || b.Height%64 != 0 || b.Width*b.Height > 1<<20 || b.Width*b.Height < 9<<20/10 {
			t.Errorf("bucket %+v", b)
		}
	}
	// SDXL (arXiv 2307.01952), table of appendix I: the largest of each short side.
	if want := "1024x1024 1088x960 1152x896 1216x832 1344x768 1472x704 1600x640 1792x576 2048x512"; strings.Join(got, " ") != want {
		t.Errorf("buckets %v, want %s", got, want)
	}
	for size, want := range map[[2]int][2]int{
		{4000, 4000}: {1024, 1024}, {6000, 4000}: {1216, 832}, {4000, 6000}: {832, 1216}, {4000, 3000}: {1152, 896}, {3000, 4000}: {896, 1152},
		{1920, 1080}: {1344, 768}, {2350, 1000}: {1600, 640}, {10000, 1000}: {2048, 512}, {1, 30000}: {512, 2048}, {4100, 4000}: {1024, 1024},
	} {
		if b := g.bucketOf(size[0], size[1]); b.Width != want[0] || b.Height != want[1] {
			t.Errorf("%v goes to %d x %d, want %v", size, b.Width, b.Height, want)
		}
	}
	host, did, ref := g.apply(image.NewNRGBA(image.Rect(0, 0, 1300, 870)), false)
	if ref != nil || host.Bounds().Dx() != 1216 || host.Bounds().Dy() != 832 || did.Upscaled {
		t.Errorf("%v, %+v, %v", host, did, ref)
	}
	if _, _, ref := g.apply(image.NewNRGBA(image.Rect(0, 0, 970, 600)), false); ref == nil || ref.kind != TooSmall || !strings.Contains(ref.detail, "1344 x 768") {
		t.Errorf("too small a master: %v", ref)
	}
	for _, text := range []string{"buckets", "buckets:1000", "buckets:192", "buckets:8192"} {
		if g, err := ParseGeometry(text); err == nil {
			t.Errorf("%q was read as %v", text, g)
		}
	}
	if err := ReadablePool.CheckGeometry(g); err == nil {
		t.Error("pools of buckets were accepted")
	}
}

// TestDeliverBuckets: pictures of several shapes are delivered in their buckets, whose counts the manifest states, and read.
func TestDeliverBuckets(t *testing.T) {
	files := fstest.MapFS{"a/tall.png": {Data: pngOf(t, resize(smallPhoto(t, "plants/leaf-veins.jpg"), 420, 700))}, "a/wide.png": {Data: pngOf(t, smallPhoto(t, "animals/two-dogs.jpg"))}}
	spec := specOf(t, files, "buckets:512", nil)
	st := openStore(t, t.TempDir())
	d := deliver(t, spec, files, st)
	got := map[string]int{}
	for _, b := range d.Buckets {
		if b.Images > 0 {
			got[fmt.Sprintf("%dx%d R%d", b.Width, b.Height, b.Resolution)] = b.Images
		}
	}
	if want := map[string]int{"384x640 R384": 1, "576x448 R448": 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("buckets %v, want %v; refused %+v", got, want, d.Refusals)
	}
	v, err := Verify(context.Background(), st, VerifyOptions{Keys: &spec.Keys})
	if err != nil || !v.OK() || v.Detected != 2 {
		t.Errorf("%+v, %v", v, err)
	}
	m := *d.Manifest
	m.Buckets = slices.Clone(m.Buckets)
	m.Buckets[0].Images++
	if m.check() == nil {
		t.Error("miscounted buckets were accepted")
	}
}

// TestDeliverWebP: the pixels are those of the PNG delivery.
func TestDeliverWebP(t *testing.T) {
	files := fstest.MapFS{"a/dogs.jpg": {Data: photo(t, "animals/two-dogs.jpg")}}
	pixels := func(f Format) image.Image {
		spec := specOf(t, files, "square:512", nil)
		spec.Format = f
		st := openStore(t, t.TempDir())
		d := deliver(t, spec, files, st)
		var img image.Image
		if err := EachImage(context.Background(), st, d.Manifest, func(_ *Image, file []byte) error {
			p, err := raster.Decode(file, raster.Limits{})
			img = p.Image
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return img
	}
	if !reflect.DeepEqual(pixels(FormatPNG), pixels(FormatWebP)) {
		t.Error("WebP is not lossless")
	}
}

// TestRights: each copy says what was declared and who made it; beside it lie the CAWG entries, called what they are.
func TestRights(t *testing.T) {
	files := smallSet(t)
	spec := fullSpec(t, files)
	st := openStore(t, t.TempDir())
	d := deliver(t, spec, files, st)
	seen := map[string]int{}
	for _, s := range d.Shards {
		if err := eachMember(context.Background(), st, s.Name, func(name string, file []byte) error {
			_, ext, _ := strings.Cut(name, ".")
			seen[ext]++
			switch ext {
			case "png":
				tags, err := raster.ReadTags(file)
				if err != nil || tags.DataMining != someTerms.DataMining {
					t.Errorf("%s: %+v, %v", name, tags, err)
				}
			case "training-mining.json":
				checkTrainingMining(t, file)
			case "txt":
				if !strings.HasPrefix(string(file), "Picture of ") || strings.Contains(string(file), "Concepts:") {
					t.Errorf("the caption is touched: %q", file)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if want := map[string]int{"png": 5, "json": 5, "txt": 5, "training-mining.json": 5}; !reflect.DeepEqual(seen, want) {
		t.Errorf("members %v", seen)
	}
	for _, bad := range []Rights{{DataMining: "allowed"}, {TrainingMining: TrainingMining{Training: "maybe"}}, {TrainingMining: TrainingMining{Training: UseConstrained}}} {
		spec.Rights = bad
		if _, err := Run(context.Background(), spec, Folder(files), openStore(t, t.TempDir()), nil); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func checkTrainingMining(t *testing.T, file []byte) {
	var got struct {
		Label, C2PA string
		Signed      bool
		Data        struct{ Entries map[string]map[string]string }
	}
	if err := json.Unmarshal(file, &got); err != nil {
		t.Fatal(err)
	}
	info := someTerms.TrainingMining.ConstraintInfo
	want := map[string]map[string]string{"cawg.data_mining": {"use": "notAllowed"}, "cawg.ai_training": {"use": "constrained", "constraint_info": info},
		"cawg.ai_generative_training": {"use": "constrained", "constraint_info": info}}
	if got.Label != "cawg.training-mining" || got.C2PA != "absent" || got.Signed || !reflect.DeepEqual(got.Data.Entries, want) || !strings.Contains(string(file), "not signed") {
		t.Errorf("%s", file)
	}
}

// nextCatalogue is a catalogue after another: works without some paths and with others, titles changed at some.
func nextCatalogue(t *testing.T, spec Spec, files fstest.MapFS, retitled string) Spec {
	t.Helper()
	next := specOf(t, files, spec.Geometry.String(), nil)
	c := next.Catalogue.Catalogue()
	c.Version = 4
	for i := range c.Works {
		if c.Works[i].Path == retitled {
			c.Works[i].Title = "Another title"
		}
	}
	f, err := c.Freeze()
	if err != nil {
		t.Fatal(err)
	}
	book := spec.Codebook // append-only
	for _, x := range f.Catalogue().Concepts {
		if _, err := book.AssignConcepts(x.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range f.Catalogue().Works {
		if _, err := book.AssignWorks(w.ID); err != nil {
			t.Fatal(err)
		}
	}
	spec.Catalogue = f
	return spec
}

// TestIncrement delivers three versions of a catalogue, each holding what changed since the one before.
func TestIncrement(t *testing.T) {
	files := smallSet(t)
	spec := smallSpec(t, files)
	spec.Shards = ShardsTar
	first := deliver(t, spec, files, openStore(t, t.TempDir()))

	gone, retitled, added := somePhotos[1], somePhotos[2], "objects/wall-clock.jpg"
	goneID := workOf(files, gone)
	files[added] = &fstest.MapFile{Data: photo(t, added)}
	kept := workOf(files, somePhotos[3])
	delete(files, gone)
	delete(files, "bad/bad.png")
	second := nextCatalogue(t, spec, files, retitled)
	second.Recalls = map[concepts.WorkID]string{goneID: "the photographer left"}
	h, err := NewHistory(first.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	second.Previous = h
	folder := t.TempDir()
	d := deliver(t, second, files, openStore(t, folder))
	if _, twice := d.Image(kept); twice || len(d.Images) != 2 || len(d.Removals) != 2 || d.Summary.Removals != 2 || len(d.Refusals) != 0 {
		t.Fatalf("%d images, removals %+v, refused %+v", len(d.Images), d.Removals, d.Refusals)
	}
	for _, id := range []concepts.WorkID{workOf(files, added), workOf(files, retitled)} {
		if _, ok := d.Image(id); !ok {
			t.Errorf("%s is missing", id)
		}
	}
	was, _ := first.Image(goneID)
	for _, r := range d.Removals {
		switch {
		case r.Work == goneID && r == Removal{goneID, Recalled, "the photographer left", was.SHA256, was.ISCCImage, was.ISCCInstance, first.SHA256()}:
		case r.Work == workOf(files, retitled) && r.Kind == Replaced && strings.Contains(r.Reason, "title"):
		default:
			t.Errorf("removal %+v", r)
		}
	}
	if again := deliver(t, second, files, openStore(t, folder)); !again.AlreadyFinished {
		t.Error("it was made twice")
	}
	if err := h.Add(d.Manifest); err != nil || h.Works() != 5 {
		t.Errorf("%d works held, %v", h.Works(), err)
	}
	thirdIncrement(t, second, h, files, first, d)
}

// thirdIncrement: nothing changed is said; a recall alone makes a delivery without shards; chains are checked.
func thirdIncrement(t *testing.T, spec Spec, h *History, files fstest.MapFS, first, second *Delivery) {
	ctx := context.Background()
	spec.Previous, spec.Recalls = h, nil
	if _, err := Run(ctx, spec, Folder(files), openStore(t, t.TempDir()), nil); !errors.Is(err, ErrNothingChanged) {
		t.Errorf("nothing changed: %v", err)
	}
	other := spec
	other.Format = FormatJPEG
	if _, err := Run(ctx, other, Folder(files), openStore(t, t.TempDir()), nil); !errors.Is(err, ErrOtherParameters) {
		t.Errorf("another format: %v", err)
	}
	other = spec
	other.Recalls = map[concepts.WorkID]string{workOf(files, "objects/wall-clock.jpg"): "opt-out"}
	if _, err := Run(ctx, other, Folder(files), openStore(t, t.TempDir()), nil); err == nil || !strings.Contains(err.Error(), "still in the catalogue") {
		t.Errorf("a recall of a listed work: %v", err)
	}
	delete(files, "objects/wall-clock.jpg") // new in the second delivery
	last := nextCatalogue(t, spec, files, somePhotos[2])
	last.Previous = h
	st := openStore(t, t.TempDir())
	d := deliver(t, last, files, st)
	if len(d.Shards) != 0 || len(d.Removals) != 1 || d.Removals[0].Delivery != second.SHA256() || d.Removals[0].Kind != Recalled {
		t.Errorf("%+v", d.Manifest)
	}
	if v, err := Verify(ctx, st, VerifyOptions{}); err != nil || !v.OK() {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := NewHistory(second.Manifest, first.Manifest); err == nil {
		t.Error("a chain in the wrong order was accepted")
	}
	if h, err := NewHistory(first.Manifest, second.Manifest, d.Manifest); err != nil || h.Works() != 4 {
		t.Errorf("the chain: %v", err)
	}
}
