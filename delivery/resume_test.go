package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
)

// childVariable, set to a folder, makes the test binary deliver the small set into it and end; with stepsVariable set too, to
// a seed, by steps that others take at the same time.
const (
	childVariable = "FILIGRANE_DELIVERY_TEST_CHILD"
	stepsVariable = "FILIGRANE_DELIVERY_TEST_STEPS"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(childVariable); folder != "" {
		var t testing.T // gathers failures of the fixture; none are expected
		files := smallSet(&t)
		st, err := dir.Open(folder)
		if seed := os.Getenv(stepsVariable); err == nil && seed != "" {
			err = takeSteps(smallSpec(&t, files), files, st, seed)
		} else if err == nil {
			_, err = Run(context.Background(), smallSpec(&t, files), Folder(files), st, nil)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// smallSet is what the tests of interruptions deliver: five good masters, one bad, one missing.
func smallSet(t testing.TB) fstest.MapFS {
	files := fstest.MapFS{"bad/bad.png": {Data: []byte("no picture")}, "bad/missing.png": {Data: []byte("missing")}}
	for _, p := range somePhotos[1:] {
		files[p] = &fstest.MapFile{Data: photo(t, p)}
	}
	return files
}

func smallSpec(t testing.TB, files fstest.MapFS) Spec {
	spec := specOf(t, files, "square:256", nil)
	delete(files, "bad/missing.png")
	spec.ImagesPerShard = 2
	spec.Workers = 2
	return spec
}

// undisturbed gives the small set as delivered without interruption.
func undisturbed(t testing.TB) map[string]string {
	t.Helper()
	small.once.Do(func() {
		folder := t.TempDir()
		files := smallSet(t)
		spec := smallSpec(t, files)
		spec.Workers = 1
		d := deliver(t, spec, files, openStore(t, folder))
		if len(d.Images) != 5 || len(d.Refusals) != 2 {
			t.Fatalf("%d images, refused %+v", len(d.Images), d.Refusals)
		}
		small.contents = contents(t, folder)
	})
	if small.contents == nil {
		t.Fatal("it could not be delivered")
	}
	return maps.Clone(small.contents)
}

// small is what undisturbed made.
var small struct {
	once     sync.Once
	contents map[string]string
}

// TestKilled kills a process at random moments and goes on, until one run ends by itself: its bytes are those of an
// undisturbed run.
func TestKilled(t *testing.T) {
	want := undisturbed(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	folder := filepath.Join(t.TempDir(), "out")
	kills := 0
	for {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+folder)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		after := time.Duration(50+rng.IntN(500+100*kills)) * time.Millisecond // longer and longer, so that it ends
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("after %d kills: %v: %s", kills, err, &errs)
			}
			t.Logf("ended after %d kills", kills)
			expectSame(t, contents(t, folder), want)
			return
		case <-time.After(after):
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			if err := <-ended; err == nil {
				continue // it had just ended; the next run finds a finished delivery
			}
			kills++
		}
	}
}

// faulty is a store that loses power: after a number of changes each further one fails, the first of them perhaps
// after having been made.
type faulty struct {
	store.Store
	mu      sync.Mutex
	left    int
	persist bool
	err     error
}

// allow says whether a change is made and whether it is reported as made.
func (f *faulty) allow() (do, report bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left--
	return f.left >= 0 || f.left == -1 && f.persist, f.left >= 0
}

func (f *faulty) change(do func() error) error {
	made, report := f.allow()
	if made {
		if err := do(); err != nil {
			return err
		}
	}
	if !report {
		return f.err
	}
	return nil
}

func (f *faulty) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	return f.change(func() error { return f.Store.Put(ctx, key, write) })
}

func (f *faulty) Delete(ctx context.Context, key string) error {
	return f.change(func() error { return f.Store.Delete(ctx, key) })
}

// TestEveryWriteMayFail lets each durable change fail in turn, made or not made, with a new run after each.
func TestEveryWriteMayFail(t *testing.T) {
	want := undisturbed(t)
	folder := t.TempDir()
	files := smallSet(t)
	spec := smallSpec(t, files)
	power := errors.New("power cut")
	for i := range 200 {
		st := &faulty{Store: openStore(t, folder), left: 1 + i%3, persist: i%2 == 0, err: power}
		d, err := Run(context.Background(), spec, Folder(files), st, nil)
		if err == nil {
			t.Logf("ended after %d cuts", i)
			if i < 10 || d == nil {
				t.Errorf("only %d cuts: the test does not reach what it should", i)
			}
			// Ended is ended: once more, to clear what the last cut left.
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

// TestDiskFull: the error says what happened and what to do, and the next run goes on.
func TestDiskFull(t *testing.T) {
	want := undisturbed(t)
	folder := t.TempDir()
	files := smallSet(t)
	spec := smallSpec(t, files)
	_, err := Run(context.Background(), spec, Folder(files), &faulty{Store: openStore(t, folder), left: 5, err: fmt.Errorf("%w: no", store.ErrFull)}, nil)
	if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "free space and run the same command again") {
		t.Fatal(err)
	}
	d := deliver(t, spec, files, openStore(t, folder))
	if d.Resumed < 2 {
		t.Errorf("%d works resumed", d.Resumed)
	}
	expectSame(t, contents(t, folder), want)
}

// TestCancelled: a run that is stopped says so, and the next goes on.
func TestCancelled(t *testing.T) {
	want := undisturbed(t)
	folder := t.TempDir()
	files := smallSet(t)
	spec := smallSpec(t, files)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Run(ctx, spec, Folder(files), openStore(t, folder), func(done, _, _ int, _ concepts.WorkID) {
		if done == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	other := spec
	other.ImagesPerShard = 3
	if _, err := Run(context.Background(), other, Folder(files), openStore(t, folder), nil); !errors.Is(err, ErrOtherParameters) || !strings.Contains(err.Error(), "images a shard 2, not 3") {
		t.Errorf("a job with other parameters was continued: %v", err)
	}
	if d := deliver(t, spec, files, openStore(t, folder)); d.Resumed == 0 {
		t.Error("nothing was resumed")
	}
	expectSame(t, contents(t, folder), want)
}

// TestTwiceAtOnce: while one run works on a place a second is refused by name.
func TestTwiceAtOnce(t *testing.T) {
	folder := t.TempDir()
	files := smallSet(t)
	spec := smallSpec(t, files)
	began, goOn := make(chan bool, len(files)+1), make(chan bool)
	ended := make(chan error, 1)
	go func() {
		_, err := Run(context.Background(), spec, func(ctx context.Context, w concepts.Work) (io.ReadCloser, error) {
			began <- true
			<-goOn
			return Folder(files)(ctx, w)
		}, openStore(t, folder), nil)
		ended <- err
	}()
	<-began
	if _, err := Run(context.Background(), spec, Folder(files), openStore(t, folder), nil); !errors.Is(err, store.ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	close(goOn)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// TestForeignFiles: a place that holds other files is left alone, force or not.
func TestForeignFiles(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "thesis.txt"), []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	files := smallSet(t)
	spec := smallSpec(t, files)
	for _, spec.Force = range []bool{false, true} {
		if _, err := Run(context.Background(), spec, Folder(files), openStore(t, folder), nil); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "thesis.txt") {
			t.Errorf("force %v: %v", spec.Force, err)
		}
	}
	expectSame(t, contents(t, folder), map[string]string{"thesis.txt": "mine"})
}

// TestDamagedStaging: a staged image that changed is found out, and made anew by the next run.
func TestDamagedStaging(t *testing.T) {
	want := undisturbed(t)
	files := smallSet(t)
	damagedStaging(t, smallSpec(t, files), files, 1+2+1, want) // the job, a batch, and the refusal of what is missing
}

// damagedStaging stops a run after so many puts and damages what it staged: the next run says so, and the one after
// that delivers.
func damagedStaging(t *testing.T, spec Spec, files fstest.MapFS, puts int, want map[string]string) {
	t.Helper()
	folder := t.TempDir()
	st := openStore(t, folder)
	if _, err := Run(context.Background(), spec, Folder(files), &faulty{Store: st, left: puts, err: errors.New("stop")}, nil); err == nil {
		t.Fatal("it ended")
	}
	staged, err := filepath.Glob(filepath.Join(folder, "staging", "part-*.img"))
	if err != nil || len(staged) == 0 {
		t.Fatal("nothing is staged", err)
	}
	if err := flip(staged[0], 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), spec, Folder(files), st, nil); err == nil || !strings.Contains(err.Error(), "run again") {
		t.Fatalf("the damage was not found: %v", err)
	}
	deliver(t, spec, files, st)
	expectSame(t, contents(t, folder), want)
}

// TestBadSources: whatever a source does refuses one work only.
func TestBadSources(t *testing.T) {
	files := smallSet(t)
	spec := smallSpec(t, files)
	bad := map[string]struct {
		open func() (io.ReadCloser, error)
		kind Kind
	}{
		somePhotos[5]: {func() (io.ReadCloser, error) { return nil, fs.ErrPermission }, "unreadable"},
		somePhotos[1]: {func() (io.ReadCloser, error) { return io.NopCloser(iotestErr{}), nil }, "unreadable"},
		somePhotos[2]: {func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("changed")), nil }, MasterChanged},
		somePhotos[3]: {func() (io.ReadCloser, error) { panic("a fault") }, Fault},
	}
	d, err := Run(context.Background(), spec, func(ctx context.Context, w concepts.Work) (io.ReadCloser, error) {
		if b, ok := bad[w.Path]; ok {
			return b.open()
		}
		return Folder(files)(ctx, w)
	}, openStore(t, t.TempDir()), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Kind{}
	for _, r := range d.Refusals {
		got[r.Path] = r.Kind
	}
	for p, b := range bad {
		if got[p] != b.kind {
			t.Errorf("%s: %q, want %q", p, got[p], b.kind)
		}
	}
	if got["bad/missing.png"] != Missing || got["bad/bad.png"] != "not_an_image" || len(d.Images) != 1 {
		t.Errorf("%v, %d images", got, len(d.Images))
	}
	none := fstest.MapFS{"bad/bad.png": files["bad/bad.png"]}
	folder := t.TempDir()
	if _, err := Run(context.Background(), specOf(t, none, "square:256", nil), Folder(none), openStore(t, folder), nil); !errors.Is(err, ErrNothingDelivered) {
		t.Errorf("a delivery of nothing: %v", err)
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errors.New("the disk coughs") }

// TestSpecs: what cannot be delivered is refused before anything is written.
func TestSpecs(t *testing.T) {
	files := smallSet(t)
	good := smallSpec(t, files)
	folder := t.TempDir()
	for name, change := range map[string]func(*Spec){
		"no catalogue": func(s *Spec) { s.Catalogue = nil }, "no codebook": func(s *Spec) { s.Codebook = nil },
		"no numbers": func(s *Spec) { s.Codebook = new(concepts.Codebook) }, "profile": func(s *Spec) { s.ProfileID = 99 },
		"geometry": func(s *Spec) { s.Geometry = Geometry{} }, "format": func(s *Spec) { s.Format = "gif" },
		"preset": func(s *Spec) { s.Preset.PSNRDB = 30 }, "floor": func(s *Spec) { s.FloorDB = 50 }, "fingerprint": func(s *Spec) { s.KeyFingerprint = "" },
		"shards": func(s *Spec) { s.ImagesPerShard = -1 }, "workers": func(s *Spec) { s.Workers = -1 },
	} {
		spec := good
		change(&spec)
		if _, err := Run(context.Background(), spec, Folder(files), openStore(t, folder), nil); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	expectSame(t, contents(t, folder), nil)
}

// TestLoopStrengthens: a mark that is not read at the preset gets stronger, down to the floor, then the image is
// refused.
func TestLoopStrengthens(t *testing.T) {
	m := &marker{spec: Spec{FloorDB: 38}}
	m.spec.Preset.PSNRDB = 42
	if got := fmt.Sprint(m.targets(42.25, 38.05)); got != "[42.25 41.25 40.25 39.25 38.25 38.05]" {
		t.Errorf("targets %s", got)
	}
	if got := fmt.Sprint(m.targets(43.25, 38.05)); got != "[43.25 42.75 42.25 41.25 40.25 39.25 38.25 38.05]" {
		t.Errorf("targets of a smooth picture %s", got)
	}
	for target, want := range map[float64]int{46.25: 0, 42.25: 0, 41.25: 1, 38.25: 4, 38: 5} {
		if got := m.stronger(target); got != want {
			t.Errorf("%v dB is %d steps beyond the preset, want %d", target, got, want)
		}
	}
	m.spec.Preset.PSNRDB = 38
	if got := fmt.Sprint(m.targets(38.25, 38.05)); got != "[38.25 38.05]" {
		t.Errorf("targets %s", got)
	}
	files := fstest.MapFS{somePhotos[1]: {Data: photo(t, somePhotos[1])}}
	spec := specOf(t, files, "native:4096", nil) // cells of 20 pixels: next to nothing is left in a thumbnail
	spec.Preset.PSNRDB, spec.FloorDB = 50, 49
	_, err := Run(context.Background(), spec, Folder(files), openStore(t, t.TempDir()), nil)
	if !errors.Is(err, ErrNothingDelivered) || !strings.Contains(err.Error(), string(MarkUnreadable)) || !strings.Contains(err.Error(), "T: re-read delivery") {
		t.Errorf("got %v", err)
	}
}
