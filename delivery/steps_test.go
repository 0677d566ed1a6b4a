package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/faults"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
)

// begin begins a job that must be possible to begin.
func begin(t testing.TB, spec Spec, st store.Store) *Making {
	t.Helper()
	m, err := Begin(context.Background(), spec, st)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// makeAll does what any number of workers do that know nothing of each other: every part in a random order, then again
// what is lacking, every shard in a random order, and the end.
func makeAll(ctx context.Context, m *Making, source Source, rng *rand.Rand) (*Delivery, error) {
	again := func(do func() error) error { // others hold the lock for a moment
		for {
			if err := do(); !errors.Is(err, store.ErrLocked) {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	finish := func() (d *Delivery, err error) {
		err = again(func() error { d, err = m.Finish(ctx); return err })
		return d, err
	}
	parts := rng.Perm(m.Parts())
	for {
		for _, n := range parts {
			r, err := m.Part(ctx, n, source, PartOptions{Final: true})
			if errors.Is(err, ErrGone) {
				return finish() // another has finished it
			}
			if err != nil {
				return nil, err
			}
			if r.Done != r.Works || r.Passing != nil {
				return nil, fmt.Errorf("part %d: %+v", n, r)
			}
		}
		var shards int
		err := again(func() (err error) { shards, err = m.Seal(ctx); return err })
		lacking := (*PartError)(nil)
		for _, n := range rng.Perm(shards) {
			if err == nil {
				_, err = m.Shard(ctx, n)
			}
		}
		switch {
		case errors.As(err, &lacking):
			parts = lacking.Parts
		case err == nil, errors.Is(err, ErrGone):
			return finish()
		default:
			return nil, err
		}
	}
}

// tinySet is what most tests of steps deliver: five crops that are marked in a moment, one bad master, one missing.
func tinySet(t testing.TB) fstest.MapFS {
	files := crops(t, 5, 128, map[string]string{"woods": "forest/woodland-cascade.jpg"})
	files["bad/bad.png"] = &fstest.MapFile{Data: []byte("no picture")}
	files["bad/missing.png"] = &fstest.MapFile{Data: []byte("missing")}
	return files
}

func tinySpec(t testing.TB, files fstest.MapFS) Spec {
	spec := poolSpec(t, files, "square:128", 42)
	delete(files, "bad/missing.png")
	spec.ImagesPerShard = 2
	return spec
}

// tinyUndisturbed gives the tiny set as delivered by Run without interruption.
func tinyUndisturbed(t testing.TB) map[string]string {
	t.Helper()
	folder := t.TempDir()
	files := tinySet(t)
	d := deliver(t, tinySpec(t, files), files, openStore(t, folder))
	if len(d.Images) != 5 || len(d.Refusals) != 2 {
		t.Fatalf("%d images, refused %+v", len(d.Images), d.Refusals)
	}
	return contents(t, folder)
}

// TestSteps: a delivery has the bytes it has always had (on amd64: elsewhere the Lanczos filter may differ in the last bit of
// a product), and so has one made in steps, by two makings with stores of their own, in random order and much of it twice.
func TestSteps(t *testing.T) {
	for name, of := range goldenSpecs(t) {
		t.Run(name, func(t *testing.T) {
			spec, files := of()
			want := t.TempDir()
			deliver(t, spec, files, openStore(t, want))
			if sum := sumOf(contents(t, want)); runtime.GOARCH == "amd64" && sum != golden[name] {
				t.Errorf("Run's delivery has the sum %s, want %s", sum, golden[name])
			}
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			folder := t.TempDir()
			spec.PartWorks, spec.MaxMemory = 3, 1 // every master alone
			var g errgroup.Group
			for worker := range 2 {
				st := openStore(t, folder)
				g.Go(func() error {
					m, err := Begin(context.Background(), spec, st)
					if err != nil {
						return err
					}
					_, err = makeAll(context.Background(), m, Folder(files), rand.New(rand.NewPCG(seed, uint64(worker))))
					return err
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			// Who staged after the end is swept.
			m := begin(t, spec, openStore(t, folder))
			if m.Done() == nil {
				t.Fatal("it is not finished")
			}
			if err := m.Sweep(context.Background()); err != nil {
				t.Fatal(err)
			}
			expectSame(t, contents(t, folder), contents(t, want))
		})
	}
}

// TestStepsInOneGo takes the steps once and looks at what they say.
func TestStepsInOneGo(t *testing.T) {
	ctx := context.Background()
	files := tinySet(t)
	spec := tinySpec(t, files)
	spec.PartWorks = 4
	folder := t.TempDir()
	m := begin(t, spec, openStore(t, folder))
	if m.Done() != nil || m.Parts() != 2 || m.Works() != 7 {
		t.Fatalf("%d parts of %d works, done %v", m.Parts(), m.Works(), m.Done())
	}
	if _, err := m.Shard(ctx, 0); !errors.Is(err, ErrNotSealed) {
		t.Errorf("a shard before the seal: %v", err)
	}
	if _, err := m.Finish(ctx); !errors.Is(err, ErrNotSealed) {
		t.Errorf("the end before the seal: %v", err)
	}
	var calls []int
	var total PartResult
	for n := range 2 {
		r, err := m.Part(ctx, n, Folder(files), PartOptions{Workers: 2, Progress: func(done, _, _ int, _ concepts.WorkID) { calls = append(calls, done) }})
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			if _, err := m.Seal(ctx); !lacks(err, 1) {
				t.Errorf("sealed before all parts were there: %v", err)
			}
		}
		total.Works += r.Works
		total.Done += r.Done
		total.Refused += r.Refused
		total.Passing = append(total.Passing, r.Passing...)
		total.Times.Add(r.Times)
	}
	if total.Works != 7 || total.Done != 6 || total.Refused != 1 || len(total.Passing) != 1 || total.Passing[0].Kind != Missing || !slices.Equal(calls, []int{0, 1, 2, 3, 4, 0, 1, 2, 3}) {
		t.Errorf("%+v, calls %v", total, calls)
	}
	checkTimes(t, total.Times, files)
	missing := slices.IndexFunc(m.works, func(w concepts.Work) bool { return w.Path == "bad/missing.png" }) / 4
	if _, err := m.Seal(ctx); !lacks(err, missing) {
		t.Errorf("sealed with a work that may come yet: %v", err)
	}
	r, err := m.Part(ctx, missing, Folder(files), PartOptions{Final: true})
	if err != nil || r.Done != r.Works || r.Found != r.Works-1 || r.Passing != nil {
		t.Errorf("at last: %+v, %v", r, err)
	}
	if n, err := m.Seal(ctx); n != 3 || err != nil {
		t.Fatalf("%d shards, %v", n, err)
	}
	if _, err := m.Shard(ctx, 1); err != nil {
		t.Fatal(err)
	}
	lacking := (*ShardError)(nil)
	if _, err := m.Finish(ctx); !errors.As(err, &lacking) || !slices.Equal(lacking.Shards, []int{0, 2}) {
		t.Errorf("finished without shards: %v", err)
	}
	for _, n := range []int{2, 0, 1} {
		if _, err := m.Shard(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(folder, "staging", "*.img")); err != nil || len(left) != 0 {
		t.Errorf("all shards are written, and %v are staged still", left)
	}
	d, err := m.Finish(ctx)
	if err != nil || d.AlreadyFinished || d.Times.Shard == 0 || d.Times.Finish == 0 || d.Times.BytesRead < d.Summary.Bytes {
		t.Fatalf("%+v, %v", d, err)
	}
	expectSame(t, contents(t, folder), tinyUndisturbed(t))
	if again, err := m.Finish(ctx); err != nil || !again.AlreadyFinished {
		t.Errorf("the end twice: %v", err)
	}
	if _, err := m.Part(ctx, 0, Folder(files), PartOptions{}); !errors.Is(err, ErrGone) {
		t.Errorf("a part after the end: %v", err)
	}
}

func lacks(err error, part int) bool {
	lacking := (*PartError)(nil)
	return errors.As(err, &lacking) && slices.Equal(lacking.Parts, []int{part})
}

func checkTimes(t *testing.T, got Times, files fstest.MapFS) {
	t.Helper()
	read := int64(0)
	for _, f := range files {
		read += int64(len(f.Data))
	}
	for name, d := range map[string]time.Duration{"read": got.Read, "decode": got.Decode, "geometry": got.Geometry, "mark": got.Mark, "encode": got.Encode, "verify": got.Verify, "stage": got.Stage} {
		if d <= 0 || d > time.Minute {
			t.Errorf("%s took %v", name, d)
		}
	}
	if got.BytesRead != read || got.BytesWritten < 5*100*100 {
		t.Errorf("%d bytes read of %d, %d written", got.BytesRead, read, got.BytesWritten)
	}
}

// slowSource waits at its first master until goOn is closed.
func slowSource(files fstest.MapFS) (source Source, began, goOn chan bool) {
	began, goOn = make(chan bool), make(chan bool)
	once := sync.OnceFunc(func() { close(began); <-goOn })
	return func(ctx context.Context, w concepts.Work) (io.ReadCloser, error) {
		once()
		return Folder(files)(ctx, w)
	}, began, goOn
}

// slowStore waits before the first object of a kind is put until goOn is closed.
type slowStore struct {
	store.Store
	prefix string
	once   func()
}

func (s *slowStore) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	if strings.HasPrefix(key, s.prefix) {
		s.once()
	}
	return s.Store.Put(ctx, key, write)
}

// TestZombies: processes that were taken for dead and go on after the end change no byte of the delivery, and what they
// leave is swept.
func TestZombies(t *testing.T) {
	ctx := context.Background()
	want := tinyUndisturbed(t)
	files := tinySet(t)
	spec := tinySpec(t, files)
	spec.PartWorks = 4
	folder := t.TempDir()
	var ended errgroup.Group

	source, partBegan, partGoesOn := slowSource(files)
	dead := begin(t, spec, openStore(t, folder))
	ended.Go(func() error {
		_, err := dead.Part(ctx, 0, source, PartOptions{Final: true})
		return err
	})
	<-partBegan
	shardBegan, shardGoesOn := make(chan bool), make(chan bool)
	slow := &slowStore{openStore(t, folder), shardPrefix, sync.OnceFunc(func() { close(shardBegan); <-shardGoesOn })}
	alive := begin(t, spec, openStore(t, folder))
	for n := range alive.Parts() {
		if _, err := alive.Part(ctx, n, Folder(files), PartOptions{Final: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := alive.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	deadToo := begin(t, spec, slow)
	ended.Go(func() error {
		_, err := deadToo.Shard(ctx, 1)
		if errors.Is(err, ErrGone) {
			err = nil
		}
		return err
	})
	<-shardBegan
	if _, err := makeAll(ctx, alive, Folder(files), rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Fatal(err)
	}
	expectSame(t, contents(t, folder), want)
	close(partGoesOn)
	close(shardGoesOn)
	if err := ended.Wait(); err != nil {
		t.Fatal(err)
	}
	left := contents(t, folder)
	for name, text := range want {
		if left[name] != text {
			t.Errorf("%s was changed after the end", name)
		}
	}
	if len(left) == len(want) {
		t.Error("the dead left nothing: the test does not reach what it should")
	}
	if err := alive.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	expectSame(t, contents(t, folder), want)
}

// TestTwoOnOnePart: two processes that work on the same part at once stage the same objects.
func TestTwoOnOnePart(t *testing.T) {
	files := tinySet(t)
	spec := tinySpec(t, files)
	folder := t.TempDir()
	var g errgroup.Group
	var hold []chan bool
	for range 2 {
		m := begin(t, spec, openStore(t, folder))
		source, began, goOn := slowSource(files)
		hold = append(hold, goOn)
		g.Go(func() error {
			_, err := m.Part(context.Background(), 0, source, PartOptions{Final: true})
			return err
		})
		<-began
	}
	for _, goOn := range hold {
		close(goOn)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var staged []string
	for name := range contents(t, folder) {
		if strings.HasPrefix(name, stagingPrefix) {
			staged = append(staged, name)
		}
	}
	if len(staged) != 2 {
		t.Errorf("staged are %v, want one batch", staged)
	}
}

// TestAbandon: of a cancelled job nothing is left, what a zombie stages later goes with a second call, and neither touches
// another job or a finished delivery.
func TestAbandon(t *testing.T) {
	ctx := context.Background()
	files := tinySet(t)
	spec := tinySpec(t, files)
	folder := t.TempDir()
	source, began, goOn := slowSource(files)
	m := begin(t, spec, openStore(t, folder))
	var zombie errgroup.Group
	zombie.Go(func() error {
		_, err := m.Part(ctx, 0, source, PartOptions{Final: true})
		return err
	})
	<-began
	if _, err := begin(t, spec, openStore(t, folder)).Part(ctx, 0, Folder(files), PartOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Abandon(ctx); err != nil {
		t.Fatal(err)
	}
	expectSame(t, contents(t, folder), nil)
	close(goOn)
	if err := zombie.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(contents(t, folder)) == 0 {
		t.Fatal("the zombie left nothing: the test does not reach what it should")
	}
	if _, err := m.Part(ctx, 0, Folder(files), PartOptions{}); !errors.Is(err, ErrGone) {
		t.Errorf("a part of an abandoned job: %v", err)
	}
	late, err := Attach(ctx, spec, openStore(t, folder), m.Job())
	if err != nil {
		t.Fatal(err)
	}
	if err := late.Abandon(ctx); err != nil {
		t.Fatal(err)
	}
	expectSame(t, contents(t, folder), nil)

	next := begin(t, spec, openStore(t, folder))
	if next.Job() == m.Job() {
		t.Error("a job begun anew has the old one's name")
	}
	before := contents(t, folder)
	if err := late.Abandon(ctx); err != nil {
		t.Fatal(err)
	}
	expectSame(t, contents(t, folder), before)
	if _, err := makeAll(ctx, next, Folder(files), rand.New(rand.NewPCG(1, 2))); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Making{late, next, begin(t, spec, openStore(t, folder))} {
		if err := m.Abandon(ctx); !errors.Is(err, ErrFinished) {
			t.Errorf("a finished delivery was abandoned: %v", err)
		}
	}
	expectSame(t, contents(t, folder), tinyUndisturbed(t))
}

// TestLeftoversOfNobody: staging without a job does not stand in the way of the next, and is not taken for its own.
func TestLeftoversOfNobody(t *testing.T) {
	folder := t.TempDir()
	files := tinySet(t)
	spec := tinySpec(t, files)
	m := begin(t, spec, openStore(t, folder))
	if _, err := m.Part(context.Background(), 0, Folder(fstest.MapFS{}), PartOptions{Final: true}); err != nil { // refuses all
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(folder, jobKey)); err != nil {
		t.Fatal(err)
	}
	deliver(t, spec, files, openStore(t, folder))
	expectSame(t, contents(t, folder), tinyUndisturbed(t))
}

// TestPoison: a work that killed its process too often is refused by name, untried, and the others are delivered.
func TestPoison(t *testing.T) {
	ctx := context.Background()
	files := tinySet(t)
	spec := tinySpec(t, files)
	bad := workOf(files, "woods/002.png")
	m := begin(t, spec, openStore(t, t.TempDir()))
	source := func(ctx context.Context, w concepts.Work) (io.ReadCloser, error) {
		if w.ID == bad {
			t.Error("the poison was tried")
		}
		return Folder(files)(ctx, w)
	}
	r, err := m.Part(ctx, 0, source, PartOptions{Final: true, Crashed: func(id concepts.WorkID) bool { return id == bad }})
	if err != nil || r.Refused != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	d, err := makeAll(ctx, m, source, rand.New(rand.NewPCG(1, 3)))
	if err != nil || len(d.Images) != 4 || !slices.ContainsFunc(d.Refusals, func(r Refusal) bool {
		return r.Work == bad && r.Kind == Poison && strings.Contains(r.Detail, "died, again and again")
	}) {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestBefore: the caller's fence is asked before each work and each write; what it forbids is not done, and what is done is
// kept if it allows that.
func TestBefore(t *testing.T) {
	ctx := context.Background()
	files := tinySet(t)
	spec := tinySpec(t, files)
	paused, fenced := errors.New("paused"), errors.New("fenced")
	run := func(writes error) (PartResult, map[string]string, error) {
		folder := t.TempDir()
		m := begin(t, spec, openStore(t, folder))
		var mu sync.Mutex
		works := 0
		r, err := m.Part(ctx, 0, Folder(files), PartOptions{Workers: 1, Final: true, Before: func(_ context.Context, id concepts.WorkID) error {
			mu.Lock()
			defer mu.Unlock()
			if id == "" {
				return writes
			}
			if works++; works == 4 {
				return paused
			}
			return nil
		}})
		return r, contents(t, folder), err
	}
	if r, there, err := run(nil); !errors.Is(err, paused) || r.Done != 3 || len(there) < 2 {
		t.Errorf("paused: %+v, %v, %d objects", r, err, len(there))
	}
	if r, there, err := run(fenced); !errors.Is(err, paused) || r.Done != 0 || len(there) != 1 {
		t.Errorf("fenced: %+v, %v, %d objects", r, err, len(there))
	}
}

// TestOldJob: an unfinished job of the form of old is refused with what to do, and thrown away by force.
func TestOldJob(t *testing.T) {
	folder := t.TempDir()
	files := tinySet(t)
	spec := tinySpec(t, files)
	ready, err := spec.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	old := struct {
		Format     string     `json:"format"`
		Parameters Parameters `json:"parameters"`
	}{"filigrane.delivery-job/1", ready.parameters(nil)}
	st := openStore(t, folder)
	if err := putJSON(context.Background(), st, jobKey, old); err != nil {
		t.Fatal(err)
	}
	if err := store.PutBytes(context.Background(), st, stagingPrefix+"0123.json", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	before := contents(t, folder)
	_, err = Begin(context.Background(), spec, st)
	_, rerr := Run(context.Background(), spec, Folder(files), st, nil)
	for _, err := range []error{err, rerr} {
		if !errors.Is(err, ErrOtherParameters) || !strings.Contains(err.Error(), "finish it with that version, choose another place, or force") {
			t.Errorf("an old job: %v", err)
		}
	}
	expectSame(t, contents(t, folder), before)
	spec.Force = true
	deliver(t, spec, files, st)
	expectSame(t, contents(t, folder), tinyUndisturbed(t))
}

// TestDamagedPart: a part of whose images one is damaged, or whose bytes are gone, is made again, and a shard finds images that
// were staged anew in another batch.
func TestDamagedPart(t *testing.T) {
	ctx := context.Background()
	want := tinyUndisturbed(t)
	files := tinySet(t)
	spec := tinySpec(t, files)
	for name, damage := range map[string]func(string) error{
		"a bit": func(img string) error { return flip(img, 1000) }, "cut": func(img string) error { return os.Truncate(img, 1000) }, "gone": os.Remove,
	} {
		for _, sealedFirst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sealed %v", name, sealedFirst), func(t *testing.T) {
				folder := t.TempDir()
				m := begin(t, spec, openStore(t, folder))
				if _, err := m.Part(ctx, 0, Folder(files), PartOptions{Final: true}); err != nil {
					t.Fatal(err)
				}
				if sealedFirst {
					if _, err := m.Seal(ctx); err != nil {
						t.Fatal(err)
					}
					if _, err := m.Shard(ctx, 2); err != nil {
						t.Fatal(err)
					}
				}
				staged, err := filepath.Glob(filepath.Join(folder, "staging", "*.img"))
				if err != nil || len(staged) != 1 {
					t.Fatal(staged, err)
				}
				if err := damage(staged[0]); err != nil {
					t.Fatal(err)
				}
				// Another process makes it anew, in batches of other works.
				other := begin(t, spec, openStore(t, folder))
				d, err := makeAll(ctx, other, Folder(files), rand.New(rand.NewPCG(1, 4)))
				if err != nil || d == nil {
					t.Fatal(err)
				}
				expectSame(t, contents(t, folder), want)
			})
		}
	}
}

// TestRelocated: images that the plan of a shard finds no longer where they were are found in other batches of the part.
func TestRelocated(t *testing.T) {
	ctx := context.Background()
	files := tinySet(t)
	spec := tinySpec(t, files)
	folder := t.TempDir()
	st := openStore(t, folder)
	m := begin(t, spec, st)
	if _, err := m.Part(ctx, 0, Folder(files), PartOptions{Final: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Seal(ctx); err != nil {
		t.Fatal(err)
	}
	all, err := m.listStaged(ctx, partPrefix)
	if err != nil {
		t.Fatal(err)
	}
	found, err := m.readPart(ctx, 0, all[0], true)
	if err != nil {
		t.Fatal(err)
	}
	files0 := newStagedFiles(st)
	for _, f := range found { // each work in a batch of its own
		one := gathered{outcome: f.outcome}
		if f.Image != nil {
			var file strings.Builder
			if err := files0.copy(ctx, f.batch, f.offset, f.Image, &file); err != nil {
				t.Fatal(err)
			}
			one.file = []byte(file.String())
		}
		if err := m.stageBatch(ctx, 0, []gathered{one}, nil, new(Times)); err != nil {
			t.Fatal(err)
		}
	}
	files0.Close()
	if err := deleteAll(ctx, st, []string{found[0].batch + imageSuffix, found[0].batch + jsonSuffix}); err != nil {
		t.Fatal(err)
	}
	if _, err := makeAll(ctx, m, nil, rand.New(rand.NewPCG(1, 5))); err != nil {
		t.Fatal(err)
	}
	expectSame(t, contents(t, folder), tinyUndisturbed(t))
}

// takeSteps is what a child process does.
func takeSteps(spec Spec, files fstest.MapFS, st store.Store, seed string) error {
	n, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return err
	}
	spec.PartWorks = 2
	m, err := Begin(context.Background(), spec, st)
	if err != nil {
		return err
	}
	if m.Done() != nil {
		return nil
	}
	_, err = makeAll(context.Background(), m, Folder(files), rand.New(rand.NewPCG(n, 0)))
	return err
}

// TestStepsKilled: two processes make one delivery, one or the other is killed at random moments and begins anew, until both
// end by themselves: the bytes are those of an undisturbed run.
func TestStepsKilled(t *testing.T) {
	want := undisturbed(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	folder := filepath.Join(t.TempDir(), "out")
	type child struct {
		cmd  *exec.Cmd
		errs bytes.Buffer
		end  chan error
	}
	start := func() *child {
		c := &child{cmd: exec.Command(os.Args[0]), end: make(chan error, 1)}
		c.cmd.Env = append(os.Environ(), childVariable+"="+folder, fmt.Sprintf("%s=%d", stepsVariable, rng.Uint64()))
		c.cmd.Stderr = &c.errs
		if err := c.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { c.end <- c.cmd.Wait() }()
		return c
	}
	kills := 0
	for children := []*child{start(), start()}; len(children) > 0; {
		i := rng.IntN(len(children))
		c := children[i]
		select {
		case err := <-c.end:
			if err != nil {
				t.Fatalf("after %d kills: %v: %s", kills, err, &c.errs)
			}
			children = slices.Delete(children, i, i+1)
		case <-time.After(time.Duration(50+rng.IntN(500+300*kills)) * time.Millisecond): // longer and longer, so that it ends
			if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			if err := <-c.end; err != nil {
				kills++
				children[i] = start()
			} else {
				children = slices.Delete(children, i, i+1)
			}
		}
	}
	t.Logf("ended after %d kills", kills)
	files := smallSet(t)
	if err := begin(t, smallSpec(t, files), openStore(t, folder)).Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	expectSame(t, contents(t, folder), want)
}

// TestStepsInBucket: two makings share a delivery in a bucket of a real server whose every twentieth request goes wrong.
func TestStepsInBucket(t *testing.T) {
	server := s3test.Start(t, s3test.Config{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	proxy, err := faults.New(server.Endpoint, seed, 0.05, faults.Error500, faults.Error503, faults.Lost, faults.Late500, faults.CutRequest, faults.CutResponse, faults.Truncated, faults.Corrupted, faults.CorruptedPut, faults.Duplicate)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	opt := server.Bucket(t)
	opt.Endpoint = front.URL
	opt.Sleep = func(ctx context.Context, d time.Duration) error { // the waits of retries are not what is tested
		select {
		case <-time.After(min(d, 5*time.Millisecond) + d/100):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	files := tinySet(t)
	spec := tinySpec(t, files)
	spec.PartWorks = 3
	var g errgroup.Group
	var done [2]*Delivery
	for worker := range done {
		st, err := s3.Open(context.Background(), opt)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		g.Go(func() error {
			m, err := Begin(context.Background(), spec, st)
			if err != nil {
				return err
			}
			done[worker], err = makeAll(context.Background(), m, Folder(files), rand.New(rand.NewPCG(seed, uint64(worker))))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err, proxy)
	}
	t.Log(proxy)
	st, err := s3.Open(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := begin(t, spec, st).Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	keys, err := st.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		text, err := store.ReadAll(context.Background(), st, k, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		got[k] = string(text)
	}
	expectSame(t, got, tinyUndisturbed(t))
}

// countingStore counts what is asked of it.
type countingStore struct {
	store.Store
	opens, lists, puts atomic.Int64
}

func (s *countingStore) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	s.opens.Add(1)
	return s.Store.Open(ctx, key)
}

func (s *countingStore) Each(ctx context.Context, prefix, after string, fn func(store.Object) error) error {
	s.lists.Add(1)
	return s.Store.Each(ctx, prefix, after, fn)
}

func (s *countingStore) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	s.puts.Add(1)
	return s.Store.Put(ctx, key, write)
}

// TestFewRequests: a run that goes on asks for a handful of objects, not for one or more of every work, and so does the rest.
func TestFewRequests(t *testing.T) {
	ctx := context.Background()
	files := twoConcepts(t)
	spec := poolSpec(t, files, "square:128", 42)
	spec.ImagesPerShard = 100
	folder := t.TempDir()
	m := begin(t, spec, openStore(t, folder))
	if _, err := m.Part(ctx, 0, Folder(files), PartOptions{}); err != nil {
		t.Fatal(err)
	}
	st := &countingStore{Store: openStore(t, folder)}
	d, err := Run(ctx, spec, nil, st, nil)
	if err != nil || d.Resumed != 40 {
		t.Fatalf("%+v, %v", d, err)
	}
	if o, l, p := st.opens.Load(), st.lists.Load(), st.puts.Load(); o > 20 || l > 8 || p != 6 {
		t.Errorf("%d objects were read, %d listings, %d written; want some 12 and 6, and plan, seal, shard, its record, codebook and manifest", o, l, p)
	}
}

// TestRoom: masters whose decoding takes more than there is room for wait, and one larger than all of it goes alone.
func TestRoom(t *testing.T) {
	room := NewRoom(8, 100)
	var most, now atomic.Int64
	var g errgroup.Group
	for _, bytes := range []int64{60, 60, 60, 40, 1000, 60, 40} {
		g.Go(func() error {
			leave, err := room.decode(context.Background(), bytes)
			if err != nil {
				return err
			}
			defer leave()
			if sum := now.Add(min(bytes, 100)); sum > most.Load() {
				most.Store(sum)
			}
			time.Sleep(2 * time.Millisecond)
			now.Add(-min(bytes, 100))
			return nil
		})
	}
	if err := g.Wait(); err != nil || most.Load() > 100 || most.Load() < 60 {
		t.Errorf("%d of 100 taken at once, %v", most.Load(), err)
	}
	full, cancel := context.WithCancel(context.Background())
	leave, err := room.decode(full, 1000)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := room.decode(full, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("who waits for ever: %v", err)
	}
	leave()
	data := photo(t, somePhotos[1])
	p, err := raster.Decode(data, raster.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	pixels, file := int64(p.Image.Bounds().Dx()*p.Image.Bounds().Dy()), int64(len(data))
	for geometry, want := range map[string]int64{"square:256": file + 16*pixels + 40*256*256, "buckets:512": file + 16*pixels + 40*512*512, "native": file + 40*pixels} {
		g, err := ParseGeometry(geometry)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&marker{spec: Spec{Geometry: g}}).weight(data); got != want {
			t.Errorf("%s: a weight of %d, want %d", geometry, got, want)
		}
	}
}
