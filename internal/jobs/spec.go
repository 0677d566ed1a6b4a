package jobs

import (
	"context"
	"fmt"
	"io"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/mark"
)

// DeliverySpec is what a delivery's job says, in JSON: everything that delivery.Spec holds, by names that every worker
// understands, and no key.
type DeliverySpec struct {
	Licence   string       `json:"licence"` // id
	Catalogue registry.Ref `json:"catalogue"`
	Book      string       `json:"book"`              // of the codebook
	Place     string       `json:"place"`             // where it is delivered to
	Masters   string       `json:"masters"`           // where the masters lie
	Priority  int          `json:"priority,omitzero"` // 1 (first) to 4. Default 2

	Path           mark.Path                  `json:"path"`
	KeyFingerprint string                     `json:"key_fingerprint"`
	Profile        int                        `json:"profile"`
	Geometry       string                     `json:"geometry"`
	Format         delivery.Format            `json:"format"`
	Preset         mark.Preset                `json:"preset"`
	Readable       delivery.Readable          `json:"readable,omitzero"`
	FloorDB        float64                    `json:"floor_db,omitzero"`
	ImagesPerShard int                        `json:"images_per_shard,omitzero"`
	Shards         delivery.ShardForm         `json:"shards,omitzero"`
	Captions       delivery.Captions          `json:"captions,omitzero"`
	Rights         delivery.Rights            `json:"rights,omitzero"`
	Previous       []string                   `json:"previous,omitempty"` // places of the deliveries before, oldest first
	Recalls        map[concepts.WorkID]string `json:"recalls,omitempty"`
	PartWorks      int                        `json:"part_works,omitzero"`
	CodeVersion    string                     `json:"code_version"`
	Force          bool                       `json:"force,omitzero"`
	// Papers is for Config.Papers, whatever that wants.
	Papers map[string]string `json:"papers,omitempty"`
}

func (s DeliverySpec) priority() int {
	if s.Priority == 0 {
		return usualPriority
	}
	return s.Priority
}

func (s DeliverySpec) check() error {
	for what, text := range map[string]string{"licence": s.Licence, "catalogue": s.Catalogue.Name, "book": s.Book, "place": s.Place, "masters": s.Masters} {
		if text == "" {
			return fmt.Errorf("%w: a delivery without %s", errSpec, what)
		}
	}
	if _, err := delivery.ParseGeometry(s.Geometry); err != nil {
		return fmt.Errorf("%w: %w", errSpec, err)
	}
	return nil
}

// Parts of a delivery: few enough works that a small delivery is shared by several processes, and enough that the
// registry and the staging hardly count.
const (
	leastPartWorks = 4
	mostPartWorks  = 64
	usualParts     = 32
)

// PartWorks is how many works a part of a delivery of so many works has.
func PartWorks(works int) int {
	return min(max((works+usualParts-1)/usualParts, leastPartWorks), mostPartWorks)
}

// making is a delivery that this process works on. Its parts share it.
type making struct {
	ready  chan struct{} // closed when the rest is there
	err    error
	m      *delivery.Making
	source delivery.Source
	spec   delivery.Spec
	close  []func() error

	// Of one that is shared, under the queue's lock:
	name    string // delivery.Making.Job
	users   int
	dropped bool // the last user closes it
	idle    bool // nobody has used it since it was looked at
}

// loading is a catalogue with its numbers, in memory once however many deliveries are of it.
type loading struct {
	ready     chan struct{}
	err       error
	catalogue *concepts.Frozen
	codebook  *concepts.Codebook
	users     int
}

// load gives a catalogue and its numbers; release it.
func (q *Queue) load(ctx context.Context, scope registry.Scope, ref registry.Ref, book string) (*loading, func(), error) {
	key := scope.Tenant + "\x00" + ref.String() + "\x00" + book
	q.mu.Lock()
	l, there := q.loads[key]
	if !there {
		l = &loading{ready: make(chan struct{})}
		q.loads[key] = l
	}
	l.users++
	q.mu.Unlock()
	release := func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		if l.users--; l.users == 0 && q.loads[key] == l {
			delete(q.loads, key)
		}
	}
	if !there {
		if l.catalogue, l.err = q.reg.LoadCatalogue(ctx, scope, ref); l.err == nil {
			l.codebook, l.err = q.reg.Codebook(ctx, scope, book)
		}
		close(l.ready)
	}
	select {
	case <-l.ready:
	case <-ctx.Done():
		release()
		return nil, nil, ctx.Err()
	}
	if l.err != nil {
		release()
		return nil, nil, l.err
	}
	return l, release, nil
}

// open makes a delivery's Making: it begins the delivery if name is "", else it takes part in the one of that name. On
// error everything is closed.
func (q *Queue) open(ctx context.Context, scope registry.Scope, s DeliverySpec, name string, may func() error) (_ *making, err error) {
	m := &making{}
	defer func() {
		if err != nil {
			m.shut()
		}
	}()
	spec, err := q.spec(ctx, scope, s, m)
	if err != nil {
		return nil, err
	}
	st, err := q.config.Opener.Store(ctx, s.Place)
	if err != nil {
		return nil, err
	}
	m.closes(st)
	source, masters, err := q.config.Opener.Masters(ctx, s.Masters)
	if err != nil {
		return nil, err
	}
	m.closes(masters)
	m.source = source
	m.spec = spec
	guarded := fenced{st, may}
	if name == "" {
		spec.Force = s.Force
		m.m, err = delivery.Begin(ctx, spec, guarded)
	} else {
		m.m, err = delivery.Attach(ctx, spec, guarded, name)
	}
	return m, err
}

func (m *making) closes(what any) {
	if c, ok := what.(io.Closer); ok {
		m.close = append(m.close, c.Close)
	}
}

func (m *making) shut() {
	for _, f := range m.close {
		f() // what was written is durable; there is nothing to be done about the rest
	}
	m.close = nil
}

// spec turns a job's spec into one of package delivery's.
func (q *Queue) spec(ctx context.Context, scope registry.Scope, s DeliverySpec, m *making) (spec delivery.Spec, err error) {
	if err := s.check(); err != nil {
		return spec, err
	}
	geometry, err := delivery.ParseGeometry(s.Geometry)
	if err != nil {
		return spec, err
	}
	keys, fingerprint, err := q.config.Keys(ctx, scope, s.Path)
	if err != nil {
		return spec, err
	}
	if fingerprint != s.KeyFingerprint {
		return spec, fmt.Errorf("%w: its key is %s, and this process has %s for it: run it with the bank's master key", errSpec, s.KeyFingerprint, fingerprint)
	}
	l, release, err := q.load(ctx, scope, s.Catalogue, s.Book)
	if err != nil {
		return spec, err
	}
	m.close = append(m.close, func() error { release(); return nil })
	history, err := q.history(ctx, s.Previous)
	if err != nil {
		return spec, err
	}
	works := s.PartWorks
	if works == 0 {
		works = PartWorks(len(l.catalogue.Catalogue().Works))
	}
	return delivery.Spec{Catalogue: l.catalogue, Codebook: l.codebook, Path: s.Path, Keys: keys, KeyFingerprint: fingerprint, ProfileID: s.Profile,
		Geometry: geometry, Format: s.Format, Preset: s.Preset, Readable: s.Readable, FloorDB: s.FloorDB, ImagesPerShard: s.ImagesPerShard, Shards: s.Shards,
		Captions: s.Captions, Rights: s.Rights, Previous: history, Recalls: s.Recalls, PartWorks: works, CodeVersion: s.CodeVersion,
		Workers: q.config.Workers, MaxMemory: q.config.MaxMemory, Room: q.room}, nil
}

// history reads the manifests of the deliveries that one goes on from; nil for none.
func (q *Queue) history(ctx context.Context, places []string) (*delivery.History, error) {
	if len(places) == 0 {
		return nil, nil
	}
	var chain []*delivery.Manifest
	for _, place := range places {
		m, err := q.manifest(ctx, place)
		if err != nil {
			return nil, fmt.Errorf("jobs: the delivery before, in %s: %w", place, err)
		}
		chain = append(chain, m)
	}
	return delivery.NewHistory(chain...)
}

func (q *Queue) manifest(ctx context.Context, place string) (*delivery.Manifest, error) {
	st, err := q.config.Opener.Store(ctx, place)
	if err != nil {
		return nil, err
	}
	if c, ok := st.(io.Closer); ok {
		defer c.Close()
	}
	return delivery.OpenManifest(ctx, st)
}

// fenced is a store that asks before each change.
type fenced struct {
	store.Store
	may func() error
}

// Put asks before it begins, and again before what was written counts.
func (f fenced) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	if err := f.may(); err != nil {
		return err
	}
	return f.Store.Put(ctx, key, func(w io.Writer) error {
		if err := write(w); err != nil {
			return err
		}
		return f.may()
	})
}

// Delete asks.
func (f fenced) Delete(ctx context.Context, key string) error {
	if err := f.may(); err != nil {
		return err
	}
	return f.Store.Delete(ctx, key)
}

// Lock asks: on some places a lock is an object.
func (f fenced) Lock(ctx context.Context, name string) (func() error, error) {
	if err := f.may(); err != nil {
		return nil, err
	}
	return f.Store.Lock(ctx, name)
}
