package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/registry/pgtest"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
	"github.com/filigrane/filigrane/internal/testphotos"
	"github.com/filigrane/filigrane/mark"
)

// childVariable holds what a process started by a test is to do.
const childVariable = "FILIGRANE_JOBS_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		os.Exit(child(text))
	}
	pgtest.Main(m)
}

var (
	ctx  = context.Background()
	bank = registry.Scope{Tenant: "bank-a", Role: registry.Bank}
)

// quick are times in which a test can wait for a death.
var quick = Timing{Beat: 200 * time.Millisecond, Fence: 600 * time.Millisecond, Dead: time.Second}

// drivers gives empty places for a database of either kind.
var drivers = []struct {
	name  string
	place func(t testing.TB) string
}{
	{"sqlite", func(t testing.TB) string { return filepath.Join(t.TempDir(), "registry.db") }},
	{"postgres", func(t testing.TB) string { return pgtest.New(t) }},
}

func onBoth(t *testing.T, test func(t *testing.T, f *fixture)) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) { test(t, newFixture(t, d.place(t))) })
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is a bank with 40 small masters, a catalogue and a licence.
type fixture struct {
	where string // the registry
	reg   *registry.Registry
	world
	frozen *concepts.Frozen
	book   *concepts.Codebook
}

// world is what a process needs to know of a test; it is passed on as JSON.
type world struct {
	Originals string // a folder
	// Endpoint and Name are of the bucket of places that begin with "s3:".
	Endpoint, Name string
	Slow           time.Duration // a master takes to be opened
	Deadly         string        // whoever opens the master with this path kills its process
	Missing        string        // the master with this path is out of reach as long as this file is there: "path file"
}

const works, partWorks = 24, 1

// testKey is the bank's delivery key.
func testKey() mark.Key {
	k, err := mark.NewKey(bytes.Repeat([]byte{9}, mark.KeySize))
	if err != nil {
		panic(err)
	}
	return k
}

// masters writes crops of two photographs, each a folder and a concept.
func masters(t testing.TB, folder string) (c concepts.Catalogue) {
	t.Helper()
	c = concepts.Catalogue{Name: "crops", Version: 1}
	for name, photo := range map[string]string{"woods": "forest/woodland-cascade.jpg", "dogs": "animals/two-dogs.jpg"} {
		src := testphotos.Picture(t, photo).Image.(*image.NRGBA)
		must(t, os.MkdirAll(filepath.Join(folder, name), 0o777))
		id := concepts.NewConceptID(concepts.Semantic, name)
		c.Concepts = append(c.Concepts, concepts.Concept{ID: id, Kind: concepts.Semantic, Name: name})
		for i := range works / 2 {
			at := image.Pt(i%4*128, i/4*128)
			var b bytes.Buffer
			must(t, png.Encode(&b, src.SubImage(image.Rectangle{at, at.Add(image.Pt(128, 128))})))
			p := fmt.Sprintf("%s/%03d.png", name, i)
			must(t, os.WriteFile(filepath.Join(folder, p), b.Bytes(), 0o666))
			sum := sha256.Sum256(b.Bytes())
			w := concepts.Work{ID: concepts.NewWorkID(sum), Path: p, SHA256: hex.EncodeToString(sum[:]), Width: 128, Height: 128, Format: "png", Title: p, Creator: "A", RightsHolder: "Bank"}
			c.Works = append(c.Works, w)
			c.Memberships = append(c.Memberships, concepts.Membership{Work: w.ID, Concept: id, Rule: "folder", Why: "in " + name})
		}
	}
	return c
}

func newFixture(t testing.TB, where string) *fixture {
	t.Helper()
	f := &fixture{where: where, world: world{Originals: filepath.Join(t.TempDir(), "masters")}}
	var err error
	f.reg, err = registry.Open(ctx, where)
	must(t, err)
	t.Cleanup(func() { f.reg.Close() })
	_, err = f.reg.AddTenant(ctx, operator, registry.Tenant{ID: bank.Tenant, Kind: registry.Bank, Name: "Bank A"}, time.Now())
	must(t, err)
	f.frozen, err = masters(t, f.Originals).Freeze()
	must(t, err)
	_, _, err = f.reg.AddCatalogue(ctx, bank, f.frozen, time.Now())
	must(t, err)
	var conceptIDs []concepts.ConceptID
	for _, c := range f.frozen.Catalogue().Concepts {
		conceptIDs = append(conceptIDs, c.ID)
	}
	var workIDs []concepts.WorkID
	for _, w := range f.frozen.Catalogue().Works {
		workIDs = append(workIDs, w.ID)
	}
	_, err = f.reg.AssignConcepts(ctx, bank, "main", conceptIDs)
	must(t, err)
	_, err = f.reg.AssignWorks(ctx, bank, "main", workIDs)
	must(t, err)
	f.book, err = f.reg.Codebook(ctx, bank, "main")
	must(t, err)
	_, err = f.reg.PutLicence(ctx, bank, registry.Licence{ID: "l1", Party: "P", Purpose: "training", Stages: []string{"training"}, Territory: []string{"world"},
		Start: time.Now().Add(-time.Hour), End: time.Now().Add(time.Hour), Catalogue: registry.Ref{Name: "crops", Version: 1}}, time.Now())
	must(t, err)
	return f
}

// spec asks for the masters in a place.
func (f *fixture) spec(place string) DeliverySpec {
	return DeliverySpec{Licence: "l1", Catalogue: registry.Ref{Name: "crops", Version: 1}, Book: "main", Place: place, Masters: f.Originals,
		Path: mark.Path{Bank: "bank", Catalogue: "crops@1", Licence: "l1", Purpose: "training", Epoch: 1}, KeyFingerprint: testKey().Fingerprint(),
		Profile: 1, Geometry: "square:128", Format: delivery.FormatPNG, Preset: mark.Preset{Name: "custom", PSNRDB: 46}, Readable: delivery.ReadablePool, FloorDB: 38,
		ImagesPerShard: 5, Shards: delivery.ShardsTar, PartWorks: partWorks, CodeVersion: "test"}
}

var (
	wantOnce sync.Once
	wanted   map[string]string
)

// deliver asks for the masters in a place.
func (f *fixture) deliver(t testing.TB, q *Queue, id, place string, change ...func(*DeliverySpec)) (added bool) {
	t.Helper()
	spec := f.spec(place)
	for _, c := range change {
		c(&spec)
	}
	added, err := q.Deliver(ctx, bank, id, registry.Delivery{ID: id, Licence: "l1", Spec: json.RawMessage(`{"place":"` + place + `"}`)}, spec, nil)
	must(t, err)
	return added
}

// want makes the same delivery by delivery.Run, undisturbed, and gives its files. All tests have the same masters.
func (f *fixture) want(t testing.TB) map[string]string {
	t.Helper()
	wantOnce.Do(func() { wanted = f.run(t) })
	return wanted
}

func (f *fixture) run(t testing.TB) map[string]string {
	t.Helper()
	s := f.spec("")
	g, err := delivery.ParseGeometry(s.Geometry)
	must(t, err)
	folder := filepath.Join(t.TempDir(), "want")
	st, err := dir.Open(folder)
	must(t, err)
	defer st.Close()
	k := testKey()
	_, err = delivery.Run(ctx, delivery.Spec{Catalogue: f.frozen, Codebook: f.book, Path: s.Path, Keys: k.Keys(), KeyFingerprint: k.Fingerprint(), ProfileID: s.Profile,
		Geometry: g, Format: s.Format, Preset: s.Preset, Readable: s.Readable, FloorDB: s.FloorDB, ImagesPerShard: s.ImagesPerShard, Shards: s.Shards, CodeVersion: s.CodeVersion},
		delivery.Folder(os.DirFS(f.Originals)), st, nil)
	must(t, err)
	return contents(t, folder)
}

// contents reads every file below a folder, but for locks.
func contents(t testing.TB, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if rel, _ := filepath.Rel(folder, p); !strings.HasPrefix(d.Name(), ".") && !strings.HasPrefix(rel, ".") {
			data, err := os.ReadFile(p)
			all[filepath.ToSlash(rel)] = string(data)
			return err
		}
		return nil
	})
	must(t, err)
	return all
}

func expectSame(t testing.TB, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		} else if got[name] != want[name] {
			t.Errorf("%s differs", name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is left over", name)
		}
	}
}

// Opener of the tests.

func (w world) Store(ctx context.Context, place string) (store.Store, error) {
	if prefix, ok := strings.CutPrefix(place, "s3:"); ok {
		return s3.Open(ctx, s3.Options{Endpoint: w.Endpoint, Bucket: w.Name, Prefix: prefix, Region: s3test.Region, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey,
			Lease: time.Second})
	}
	return dir.Open(place)
}

func (w world) Masters(_ context.Context, place string) (delivery.Source, io.Closer, error) {
	if _, err := os.Stat(place); err != nil {
		return nil, nil, err
	}
	return func(_ context.Context, work concepts.Work) (io.ReadCloser, error) { return w.open(place, work.Path) }, io.NopCloser(nil), nil
}

func (w world) open(place, key string) (io.ReadCloser, error) {
	time.Sleep(w.Slow)
	if key == w.Deadly {
		if os.Getenv(childVariable) == "" {
			panic("jobs: a test would kill itself")
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	if path, file, _ := strings.Cut(w.Missing, " "); path == key && path != "" {
		if _, err := os.Stat(file); err == nil {
			return nil, errors.New("the archive does not answer")
		}
	}
	return os.Open(filepath.Join(place, key))
}

// inFours makes parts of four works.
func inFours(s *DeliverySpec) { s.PartWorks = 4 }

// hooked calls a function before each put; of a shard, when all of it but its end is written.
type hooked struct {
	world
	put func(key string)
}

type hookedStore struct {
	store.Store
	put func(key string)
}

func (h hooked) Store(ctx context.Context, place string) (store.Store, error) {
	st, err := h.world.Store(ctx, place)
	return hookedStore{st, h.put}, err
}

func (h hookedStore) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	if !strings.HasPrefix(key, "shard-") {
		h.put(key)
		return h.Store.Put(ctx, key, write)
	}
	return h.Store.Put(ctx, key, func(w io.Writer) error { return write(ending{w, func() { h.put(key) }}) })
}

// ending calls a function at the end of an archive.
type ending struct {
	io.Writer
	at func()
}

func (e ending) Write(p []byte) (int, error) {
	if len(p) == 512 && bytes.Count(p, []byte{0}) == 512 {
		e.at()
	}
	return e.Writer.Write(p)
}

// holding gives a hook that stops the first put of a key with a prefix: reached is closed when it is there, and it goes
// on when release is closed.
func holding(prefix string) (put func(key string), reached, release chan struct{}) {
	reached, release = make(chan struct{}), make(chan struct{})
	var once sync.Once
	return func(key string) {
		if strings.HasPrefix(key, prefix) {
			once.Do(func() {
				close(reached)
				<-release
			})
		}
	}, reached, release
}

// config is that of a worker of the tests.
func (w world) config() Config {
	return Config{Scopes: []registry.Scope{bank}, Opener: w, Workers: 2, Timing: quick, Backoff: 20 * time.Millisecond,
		Keys: func(context.Context, registry.Scope, mark.Path) (mark.Keys, string, error) {
			k := testKey()
			return k.Keys(), k.Fingerprint(), nil
		}}
}

// queue opens a queue of its own, as another process would.
func (f *fixture) queue(t testing.TB, change ...func(*Config)) *Queue {
	t.Helper()
	c := f.config()
	c.Log = slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	for _, f := range change {
		f(&c)
	}
	q, err := Open(ctx, f.reg, c)
	must(t, err)
	return q
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// errand is what a child process is to do: work on the queue until a job is over ("" for ever).
type errand struct {
	World    world
	Registry string
	Until    string
	Timing   Timing
	Workers  int
	Poison   int
}

func child(text string) int {
	var e errand
	err := json.Unmarshal([]byte(text), &e)
	if err == nil {
		err = e.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	return 0
}

func (e errand) run() error {
	reg, err := registry.Open(ctx, e.Registry)
	if err != nil {
		return err
	}
	defer reg.Close()
	c := e.World.config()
	c.Timing, c.Workers, c.Poison = e.Timing, e.Workers, e.Poison
	c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	q, err := Open(ctx, reg, c)
	if err != nil {
		return err
	}
	if e.Until == "" {
		return q.Work(ctx)
	}
	_, err = q.WorkUntil(ctx, bank, e.Until, nil)
	return err
}

// process is a worker in a process of its own.
type process struct {
	*exec.Cmd
	ended chan struct{}
	err   error
	mu    sync.Mutex
	said  bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// spawn starts a worker, which the end of the test ends.
func (f *fixture) spawn(t testing.TB, until string, change ...func(*errand)) *process {
	t.Helper()
	e := errand{World: f.world, Registry: f.where, Until: until, Timing: quick, Workers: 1, Poison: 5}
	for _, c := range change {
		c(&e)
	}
	text, err := json.Marshal(e)
	must(t, err)
	p := &process{Cmd: exec.Command(os.Args[0]), ended: make(chan struct{})}
	p.Env = append(os.Environ(), childVariable+"="+string(text))
	p.Stdout, p.Stderr = p, p
	must(t, p.Start())
	go func() {
		p.err = p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("worker %d said:\n%s", p.Process.Pid, p.text())
		}
	})
	return p
}

// until waits for something.
func until(t testing.TB, what string, most time.Duration, is func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v still not: %s", most, what)
		}
	}
}

func (f *fixture) job(t testing.TB, id string) registry.Job {
	t.Helper()
	j, err := f.reg.Job(ctx, bank, id)
	must(t, err)
	return j
}
