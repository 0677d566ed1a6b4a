package delivery

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/raster"
)

// batch is six photographs, four special masters and all awkward files.
func batch(t *testing.T) (files fstest.MapFS, extra map[string][]string, refused map[string]string) {
	files, expected := awkward(t)
	refused = map[string]string{}
	for name, kind := range expected {
		if kind == "ok" {
			kind = string(TooSmall)
		}
		if name == "white-page.png" {
			kind = string(Clips)
		}
		refused[name] = kind
	}
	for _, p := range somePhotos {
		files[p] = &fstest.MapFile{Data: photo(t, p)}
	}
	files["special/deep.png"] = &fstest.MapFile{Data: deepPNG(t, "objects/wall-clock.jpg")}
	files["special/grey.png"] = &fstest.MapFile{Data: greyPNG(t, "objects/wall-clock.jpg")}
	files["special/alpha.png"] = &fstest.MapFile{Data: alphaPNG(t, "objects/wall-clock.jpg")}
	files["special/rotated.jpg"] = &fstest.MapFile{Data: rotatedJPEG(t, "objects/wall-clock.jpg")}
	extra = map[string][]string{"plants/leaf-veins.jpg": {"green"}, "animals/two-dogs.jpg": {"dogs", "friends"}}
	return files, extra, refused
}

// TestDelivery makes one delivery of everything and looks at all of it.
func TestDelivery(t *testing.T) {
	files, extra, refused := batch(t)
	folder := t.TempDir()
	st := openStore(t, folder)
	spec := specOf(t, files, "square:512", extra)
	spec.ImagesPerShard = 4
	spec.Workers = 3
	var calls, last int
	d, err := Run(context.Background(), spec, Folder(files), st, func(done, total, refused int, work concepts.WorkID) {
		if done != calls || total != len(files) || refused < last || (work == "") != (calls == 0) {
			t.Errorf("progress %d of %d, %d refused, %q", done, total, refused, work)
		}
		calls, last = done+1, refused
	})
	if err != nil {
		t.Fatal(err)
	}
	if calls != len(files)+1 {
		t.Errorf("%d calls of progress for %d works", calls, len(files))
	}
	t.Logf("%+v", d.Summary)
	got := map[string]string{}
	for _, r := range d.Refusals {
		got[r.Path] = string(r.Kind)
		if r.Detail == "" || strings.Contains(r.Detail, "\n") {
			t.Errorf("%s: detail %q", r.Path, r.Detail)
		}
	}
	if !reflect.DeepEqual(got, refused) {
		t.Errorf("refused %v\nwant %v", got, refused)
	}
	if d.Summary.Images != len(somePhotos)+4 || len(d.Shards) != 3 || d.Summary.PSNRMinDB < 38 || d.Summary.PSNRMeanDB < 42 && d.Summary.Strengthened == 0 {
		t.Errorf("summary %+v, %d shards", d.Summary, len(d.Shards))
	}
	t.Run("Shards", func(t *testing.T) { checkShards(t, d, spec, folder) })
	t.Run("Special", func(t *testing.T) { checkSpecial(t, d, files) })
	t.Run("Manifest", func(t *testing.T) { checkManifest(t, d, folder) })
	t.Run("Verify", func(t *testing.T) { checkVerify(t, d, spec, folder) })
	t.Run("Again", func(t *testing.T) { checkAgain(t, d, spec, files, folder) })
}

// checkShards reads the shards as a stranger with archive/tar would.
func checkShards(t *testing.T, d *Delivery, spec Spec, folder string) {
	next := 0
	for _, s := range d.Shards {
		data, err := os.ReadFile(filepath.Join(folder, s.Name))
		if err != nil {
			t.Fatal(err)
		}
		if hashOf(data) != s.SHA256 || int64(len(data)) != s.Bytes {
			t.Errorf("%s: hash or length differ", s.Name)
		}
		tr := tar.NewReader(bytes.NewReader(data))
		member := func(name string) []byte {
			h, err := tr.Next()
			if err != nil || h.Name != name || h.Mode != 0o644 || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(time.Unix(0, 0)) || h.Format != tar.FormatUSTAR {
				t.Fatalf("got %+v, %v, want %s", h, err, name)
			}
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		for range s.Images {
			img := d.Images[next]
			next++
			if img.Shard != s.Name || img.Key != string(img.Work) {
				t.Errorf("%s: shard %s, key %s", img.Work, img.Shard, img.Key)
			}
			file := member(img.Key + "." + img.Extension)
			checkISCC(t, &img, file)
			if hashOf(file) != img.SHA256 || int64(len(file)) != img.Bytes {
				t.Errorf("%s: hash or length differ", img.Work)
			}
			p, err := raster.Decode(file, raster.Limits{})
			if err != nil || p.Image.Bounds().Dx() != 512 || p.Image.Bounds().Dy() != 512 {
				t.Errorf("%s: %v", img.Work, err)
			}
			checkText(t, spec, &img, member(img.Key+".json"), member(img.Key+".txt"))
		}
		if _, err := tr.Next(); err != io.EOF {
			t.Errorf("%s: something follows: %v", s.Name, err)
		}
	}
}

func checkText(t *testing.T, spec Spec, img *Image, text, caption []byte) {
	var s map[string]any
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	work, _ := spec.Catalogue.Work(img.Work)
	var names, ids []string
	for _, c := range s["concepts"].([]any) {
		ids = append(ids, c.(map[string]any)["id"].(string))
		names = append(names, c.(map[string]any)["name"].(string))
	}
	for i, id := range spec.Catalogue.ConceptsOf(img.Work) {
		if ids[i] != string(id) {
			t.Errorf("%s: concepts %v", img.Work, ids)
		}
	}
	if want := work.Title + ". Concepts: " + strings.Join(names, ", "); string(caption) != want {
		t.Errorf("caption %q, want %q", caption, want)
	}
	for field, want := range map[string]any{"work": string(img.Work), "caption": work.Title, "title": work.Title, "creator": work.Creator, "rights_holder": work.RightsHolder,
		"width": 512.0, "height": 512.0, "psnr_db": img.PSNRDB, "ssim": img.SSIM, "source_sha256": work.SHA256} {
		if s[field] != want {
			t.Errorf("%s: %s is %v, want %v", img.Work, field, s[field], want)
		}
	}
	if len(s) != 11 || bytes.Contains(text, []byte("number")) || bytes.Contains(text, []byte(spec.KeyFingerprint)) {
		t.Errorf("the training text holds more than it should: %s", text)
	}
}

// checkSpecial looks at what became of the unusual masters.
func checkSpecial(t *testing.T, d *Delivery, files fstest.MapFS) {
	for name, want := range map[string]Changes{
		"special/deep.png": {Upscaled: true, ReducedTo8Bit: true}, "special/alpha.png": {Upscaled: true, Flattened: true},
		"special/grey.png": {Upscaled: true}, "special/rotated.jpg": {Upscaled: true}, "plants/leaf-veins.jpg": {},
	} {
		img, ok := d.Image(workOf(files, name))
		if !ok || img.Changes != want || img.SourcePath != name {
			t.Errorf("%s: %+v, want %+v", name, img, want)
		}
	}
	for i := range d.Images {
		img := &d.Images[i]
		if img.PSNRDB < 38 || img.SSIM < 0.9 || img.T.Work == 0 || img.ThumbnailT.Work == 0 || math.Abs(img.PSNRDB-img.MarkPSNRDB) > 0.01 {
			t.Errorf("%s: %+v", img.SourcePath, img)
		}
		if img.StrengthSteps == 0 && img.PSNRDB < 42 {
			t.Errorf("%s: %.2f dB without strengthening", img.SourcePath, img.PSNRDB)
		}
		for c, x := range img.T.Concepts {
			if x == 0 && len(img.Concepts) <= maxNamedAlways {
				t.Errorf("%s: concept %v is not named", img.SourcePath, img.Concepts[c])
			}
		}
	}
}

func checkManifest(t *testing.T, d *Delivery, folder string) {
	text, err := os.ReadFile(filepath.Join(folder, ManifestKey))
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseManifest(text)
	if err != nil || !reflect.DeepEqual(m, d.Manifest) {
		t.Fatalf("the manifest written is not the one returned: %v", err)
	}
	if m.SHA256() != hashOf(text) {
		t.Error("SHA256 is not that of the file")
	}
	opened, err := Open(context.Background(), openStore(t, folder))
	if err != nil || !reflect.DeepEqual(opened.Manifest, m) || !reflect.DeepEqual(opened.Codebook, d.Codebook) {
		t.Fatalf("Open: %v", err)
	}
	for _, img := range m.Images {
		if w, ok := opened.Codebook.Work(img.WorkNumber); !ok || w.ID != img.Work {
			t.Errorf("codebook: work %d is %v", img.WorkNumber, w)
		}
		for _, c := range img.Concepts {
			if n, ok := opened.Codebook.Concept(c.Number); !ok || n.ID != c.ID || n.Name == "" {
				t.Errorf("codebook: concept %d is %v", c.Number, n)
			}
		}
	}
}

// checkVerify damages copies of the delivery.
func checkVerify(t *testing.T, d *Delivery, spec Spec, folder string) {
	ctx := context.Background()
	verify := func(folder string, opt VerifyOptions) *Verification {
		t.Helper()
		v, err := Verify(ctx, openStore(t, folder), opt)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := verify(folder, VerifyOptions{Keys: &spec.Keys, Workers: 2, ManifestSHA256: d.SHA256()})
	if !v.OK() || v.Shards != len(d.Shards) || v.Images != len(d.Images) || v.Detected != len(d.Images) {
		t.Errorf("undamaged: %+v", v)
	}
	if v := verify(folder, VerifyOptions{Keys: &spec.Keys, Sample: 3, ManifestSHA256: strings.Repeat("0", 64)}); v.Detected != 3 || len(v.Differences) != 1 || v.Differences[0].Kind != ManifestDiffers {
		t.Errorf("another manifest: %+v", v)
	}
	wrong := testKey(t, 10).Keys()
	v = verify(folder, VerifyOptions{Keys: &wrong, Sample: 4})
	if len(v.Differences) != 4 {
		t.Errorf("wrong key: %+v", v)
	}
	for _, x := range v.Differences {
		if x.Kind != MarkNotFound {
			t.Errorf("wrong key: %+v", x)
		}
	}
	checkVerifyISCC(t, d, spec, folder)
	copyOf := func() string {
		to := t.TempDir()
		if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		return to
	}
	kinds := func(v *Verification) (ks []DifferenceKind) {
		for _, x := range v.Differences {
			ks = append(ks, x.Kind)
		}
		return ks
	}
	for name, damage := range map[string]struct {
		do   func(folder string) error
		want []DifferenceKind
	}{
		"flipped byte": {func(f string) error { return flip(filepath.Join(f, d.Shards[0].Name), 512+d.Images[0].Bytes/2) }, []DifferenceKind{ShardDiffers, MemberDiffers}},
		"flipped byte of a caption": {func(f string) error { return flip(filepath.Join(f, d.Shards[0].Name), d.Shards[0].Bytes-1024-500) },
			[]DifferenceKind{ShardDiffers}},
		"missing shard":    {func(f string) error { return os.Remove(filepath.Join(f, d.Shards[1].Name)) }, []DifferenceKind{ShardMissing}},
		"unexpected shard": {func(f string) error { return os.WriteFile(filepath.Join(f, "shard-000009.tar"), nil, 0o666) }, []DifferenceKind{ShardUnexpected}},
		"cut shard": {func(f string) error { return os.Truncate(filepath.Join(f, d.Shards[2].Name), 100) },
			[]DifferenceKind{ShardDiffers, MemberMissing, MemberMissing}},
		"missing codebook": {func(f string) error { return os.Remove(filepath.Join(f, CodebookKey)) }, []DifferenceKind{CodebookDiffers}},
		"changed codebook": {func(f string) error { return flip(filepath.Join(f, CodebookKey), 60) }, []DifferenceKind{CodebookDiffers}},
	} {
		f := copyOf()
		if err := damage.do(f); err != nil {
			t.Fatal(err)
		}
		if got := kinds(verify(f, VerifyOptions{})); !reflect.DeepEqual(got, damage.want) {
			t.Errorf("%s: %v, want %v", name, got, damage.want)
		}
	}
}

func flip(file string, at int64) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	data[at] ^= 1
	return os.WriteFile(file, data, 0o666)
}

// checkAgain runs the finished delivery again, with the same parameters and with others.
func checkAgain(t *testing.T, d *Delivery, spec Spec, files fstest.MapFS, folder string) {
	ctx, st := context.Background(), openStore(t, folder)
	before := contents(t, folder)
	spec.Workers = 1 // no parameter
	again, err := Run(ctx, spec, nil, st, nil)
	if err != nil || !again.AlreadyFinished || !reflect.DeepEqual(again.Manifest, d.Manifest) {
		t.Fatalf("again: %v", err)
	}
	other := spec
	other.FloorDB = 39
	if _, err := Run(ctx, other, nil, st, nil); !errors.Is(err, ErrOtherParameters) || !strings.Contains(err.Error(), "floor 38, not 39") {
		t.Errorf("other floor: %v", err)
	}
	other = spec
	other.Keys = testKey(t, 11).Keys() // though the fingerprint claims the same key
	if _, err := Run(ctx, other, nil, st, nil); !errors.Is(err, ErrOtherParameters) {
		t.Errorf("other keys: %v", err)
	}
	expectSame(t, contents(t, folder), before)

	small := fstest.MapFS{somePhotos[1]: files[somePhotos[1]]}
	forced := specOf(t, small, "square:256", nil)
	forced.Force = true
	deliver(t, forced, small, st)
	fresh := t.TempDir()
	deliver(t, forced, small, openStore(t, fresh))
	expectSame(t, contents(t, folder), contents(t, fresh))
}

// TestWithoutConcept: a work that is in no concept is delivered with the delivery's mark and its own, among others or alone.
func TestWithoutConcept(t *testing.T) {
	for name, folder := range map[string]string{"among others": "plants/", "alone": ""} {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{"flat.jpg": {Data: photo(t, "sky/kite.jpg")}, folder + "leaf.jpg": {Data: photo(t, "plants/leaf-veins.jpg")}}
			spec := specOf(t, files, "square:512", nil)
			st := openStore(t, t.TempDir())
			d := deliver(t, spec, files, st)
			if len(d.Images) != 2 || len(d.Refusals) != 0 {
				t.Fatalf("%d images, refused %+v", len(d.Images), d.Refusals)
			}
			v, err := Verify(t.Context(), st, VerifyOptions{Keys: &spec.Keys})
			if err != nil || !v.OK() {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}
