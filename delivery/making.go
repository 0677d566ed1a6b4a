package delivery

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/store"
)

// Making is a delivery that any number of processes on many machines make together. Each begins it with the same Spec in
// the same place, and then the steps are taken by whoever is free:
//
//	Begin -> every Part, in any order -> Seal -> every Shard, in any order -> Finish, and some time later Sweep
//
// Every step may be taken twice, also by two processes at once, and by one that was taken for dead and goes on: what it
// writes then has the bytes that are there, or lies in staging, where Sweep finds it. Begin, Seal, Finish, Sweep and Abandon
// take the lock of the place for as long as they write; with store.ErrLocked they are to be tried again. Goroutines may
// share a Making.
//
// To keep a process that lost its lease from writing at all, give Begin a Store that asks before each change; Part asks its
// options besides.
type Making struct {
	spec       Spec
	store      store.Store
	parameters Parameters
	works      []concepts.Work // by ID
	removals   []Removal
	partWorks  int
	job        string // hash of job.json, "" before there is one
	done       *Delivery
	times      sharedTimes
	marker     func() (*marker, error)

	mu   sync.Mutex
	plan *sealed // nil until it was seen
}

// Errors of the steps.
var (
	// ErrGone says that the job is no longer in its place: it was finished, abandoned, or thrown away by force.
	ErrGone = errors.New("delivery: the job is no longer in this place: it was finished, abandoned or thrown away")
	// ErrFinished says that a delivery cannot be abandoned any more.
	ErrFinished = errors.New("delivery: it is finished")
	// ErrNotSealed says that shards were asked for before Seal fixed them.
	ErrNotSealed = errors.New("delivery: the shards are not fixed yet; seal the job first")
)

// PartError says that parts have to be run again before a step can be taken: they were never finished, or what they staged
// is gone or damaged.
type PartError struct {
	Parts []int // some of them, in order
	Err   error
}

func (e *PartError) Error() string {
	return fmt.Sprintf("delivery: %v (part %d of the job); run again, what is missing will be made anew", e.Err, e.Parts[0])
}

func (e *PartError) Unwrap() error { return e.Err }

// ShardError says that shards have to be written, or written again, before the delivery can be finished.
type ShardError struct {
	Shards []int // in order
	Err    error
}

func (e *ShardError) Error() string {
	return fmt.Sprintf("delivery: %v (shard %d); run again, it will be written", e.Err, e.Shards[0])
}

func (e *ShardError) Unwrap() error { return e.Err }

// Begin checks the spec and the place, and writes job.json if there is none. If the same job was begun by anybody it is
// joined; if the delivery is finished Done tells. Errors: an incomplete spec; a place that holds something else
// (ErrOtherParameters, ErrForeign) or in which another process is just beginning (store.ErrLocked).
func Begin(ctx context.Context, spec Spec, st store.Store) (*Making, error) {
	m, err := prepare(spec, st)
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		if begun, err := m.join(ctx); err != nil {
			return nil, err
		} else if begun {
			return m, nil
		}
		err := m.locked(ctx, func() error { return m.begin(ctx) })
		if err == nil {
			return m, nil
		}
		if !errors.Is(err, store.ErrLocked) || try == beginTries {
			return nil, err
		}
		select {
		case <-time.After(beginWait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Others that begin at the same moment hold the lock for a moment only: so often, and so long after each, it is tried again.
const (
	beginTries = 20
	beginWait  = 100 * time.Millisecond
)

// join looks without the lock whether the same job, or the finished delivery, is there already.
func (m *Making) join(ctx context.Context) (bool, error) {
	if m.spec.Force {
		return false, nil
	}
	var err error
	if m.done, err = m.finished(ctx); err != nil || m.done != nil {
		return true, err
	}
	return m.sameJob(ctx)
}

// prepare completes a spec. It asks nothing of the store.
func prepare(spec Spec, st store.Store) (*Making, error) {
	spec, err := spec.withDefaults()
	if err != nil {
		return nil, err
	}
	_, text, err := spec.codebook()
	if err != nil {
		return nil, err
	}
	works, removals, err := spec.increment()
	if err != nil {
		return nil, err
	}
	m := &Making{spec: spec, store: st, parameters: spec.parameters(text), works: works, removals: removals, partWorks: spec.PartWorks}
	m.marker = sync.OnceValues(func() (*marker, error) { return newMarker(spec) })
	return m, nil
}

// codebook makes the delivery's part of the codebook and its text.
func (s Spec) codebook() (*Codebook, []byte, error) {
	book, err := codebookOf(s.Catalogue, s.Codebook)
	if err != nil {
		return nil, nil, err
	}
	text, err := book.MarshalText()
	if err != nil {
		return nil, nil, fmt.Errorf("delivery: %w", err)
	}
	return book, text, nil
}

// Attach gives the Making of a job that was begun before, by its Job. It writes nothing: if the job is no longer in the
// place, Sweep and Abandon do what is left to do, and the other steps give ErrGone.
func Attach(ctx context.Context, spec Spec, st store.Store, name string) (*Making, error) {
	m, err := prepare(spec, st)
	if err != nil {
		return nil, err
	}
	m.job = name
	text, err := store.ReadAll(ctx, st, jobKey, maxDocument)
	if errors.Is(err, store.ErrNotFound) || err == nil && hashOf(text) != name {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	var j job
	if err := j.read(text); err != nil {
		return nil, err
	}
	if other := m.parameters.differ(j.Parameters); other != "" {
		return nil, fmt.Errorf("%w: the job has %s", ErrOtherParameters, other)
	}
	m.partWorks = j.PartWorks
	return m, nil
}

// Job names the job that was begun, for Attach: a delivery that is begun again with the same parameters is another job. It
// is "" if the delivery was finished before.
func (m *Making) Job() string { return m.job }

// Done gives the delivery if it was finished when Begin looked, else nil.
func (m *Making) Done() *Delivery { return m.done }

// Parts is how many parts there are: the works of the delivery, in order of their IDs, cut into parts of Spec.PartWorks.
func (m *Making) Parts() int { return (len(m.works) + m.partWorks - 1) / m.partWorks }

// Works is how many works the delivery is of; refused ones count.
func (m *Making) Works() int { return len(m.works) }

// Times is what this Making took so far.
func (m *Making) Times() Times { return m.times.get() }

// part gives the works of part n.
func (m *Making) part(n int) []concepts.Work {
	if n < 0 || n >= m.Parts() {
		panic(fmt.Sprintf("delivery: part %d of %d", n, m.Parts()))
	}
	return m.works[n*m.partWorks : min((n+1)*m.partWorks, len(m.works))]
}

// locked does something under the lock of the place.
func (m *Making) locked(ctx context.Context, do func() error) (err error) {
	release, err := m.store.Lock(ctx, LockName)
	if err != nil {
		return fmt.Errorf("delivery: another run works on this place; wait for it or choose another place: %w", err)
	}
	defer func() { err = errors.Join(err, release()) }()
	return do()
}

// begin, under the lock, leaves the store with a job.json of these parameters, or finds the delivery finished.
func (m *Making) begin(ctx context.Context) error {
	there, other, err := m.manifest(ctx)
	if err != nil && !m.spec.Force {
		return err
	}
	if there != nil && other == "" {
		m.done, err = m.delivered(there)
		return err
	}
	if other != "" && !m.spec.Force {
		return fmt.Errorf("%w: the store holds a finished delivery with %s; choose another place, or force", ErrOtherParameters, other)
	}
	if there == nil && err == nil {
		if same, err := m.sameJob(ctx); err != nil || same {
			return err
		}
	}
	if err := clear(ctx, m.store, m.spec.Force); err != nil {
		return err
	}
	j := job{Format: jobFormat, Token: rand.Text(), PartWorks: m.spec.PartWorks, Parameters: m.parameters}
	text, err := marshal(j, " ")
	if err != nil {
		return fmt.Errorf("delivery: %w", err)
	}
	m.job, m.partWorks = hashOf(text), j.PartWorks
	return store.PutBytes(ctx, m.store, jobKey, text)
}

// finished looks for the finished delivery of these parameters, nil if there is none of any.
func (m *Making) finished(ctx context.Context) (*Delivery, error) {
	there, other, err := m.manifest(ctx)
	if err != nil || there == nil {
		return nil, err
	}
	if other != "" {
		return nil, fmt.Errorf("%w: the store holds a finished delivery with %s; choose another place, or force", ErrOtherParameters, other)
	}
	return m.delivered(there)
}

// delivered gives the delivery of a manifest that is there.
func (m *Making) delivered(there *Manifest) (*Delivery, error) {
	book, _, err := m.spec.codebook()
	if err != nil {
		return nil, err
	}
	return &Delivery{Manifest: there, Codebook: book, AlreadyFinished: true}, nil
}

// manifest reads the manifest if there is one; other says in which parameter it differs from this job's, "" in none.
func (m *Making) manifest(ctx context.Context) (there *Manifest, other string, err error) {
	there, _, err = readManifest(ctx, m.store)
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "unreadable", fmt.Errorf("%w; choose another place, or force", err)
	}
	return there, m.parameters.differ(there.Parameters), nil
}

// sameJob says whether the job in the store, if there is one, has these parameters, and if so joins it.
func (m *Making) sameJob(ctx context.Context) (bool, error) {
	text, err := store.ReadAll(ctx, m.store, jobKey, maxDocument)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var j job
	if err := j.read(text); err != nil {
		if m.spec.Force {
			return false, nil
		}
		return false, err
	}
	if other := m.parameters.differ(j.Parameters); other != "" {
		if m.spec.Force {
			return false, nil
		}
		return false, fmt.Errorf("%w: the store holds an unfinished delivery with %s; go on with those, choose another place, or force", ErrOtherParameters, other)
	}
	m.job, m.partWorks = hashOf(text), j.PartWorks
	return true, nil
}

// read reads the text of job.json.
func (j *job) read(text []byte) error {
	var any struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(text, &any); err != nil {
		return fmt.Errorf("delivery: job.json: %w; choose another place, or force", err)
	}
	if any.Format != jobFormat {
		return fmt.Errorf("%w: the store holds an unfinished delivery of another version of this program (%q, this one goes on with %q); finish it with that version, choose another place, or force to begin anew", ErrOtherParameters, any.Format, jobFormat)
	}
	if err := strict(text, j); err != nil {
		return fmt.Errorf("delivery: job.json: %w; choose another place, or force", err)
	}
	if j.PartWorks < 1 || j.PartWorks > maxPartWorks {
		return fmt.Errorf("delivery: job.json: %d works a part; choose another place, or force", j.PartWorks)
	}
	return nil
}

// here returns ErrGone unless the place holds this job still.
func (m *Making) here(ctx context.Context) error {
	text, err := store.ReadAll(ctx, m.store, jobKey, maxDocument)
	if errors.Is(err, store.ErrNotFound) || err == nil && hashOf(text) != m.job {
		return ErrGone
	}
	return err
}

// other says whether the place holds another job.
func (m *Making) other(ctx context.Context) (bool, error) {
	text, err := store.ReadAll(ctx, m.store, jobKey, maxDocument)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && hashOf(text) != m.job, err
}

// Sweep removes what processes left behind that were taken for dead and went on after the delivery was finished: staged
// objects, and shards that are not the delivery's. Do it when none can be alive any more. It leaves alone what is of
// another job, and does nothing where the delivery is not finished.
func (m *Making) Sweep(ctx context.Context) error {
	return m.locked(ctx, func() error { return m.sweep(ctx) })
}

func (m *Making) sweep(ctx context.Context) error {
	there, other, err := m.manifest(ctx)
	if err != nil || there == nil || other != "" {
		return err
	}
	text, err := store.ReadAll(ctx, m.store, jobKey, maxDocument)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err == nil {
		var j job
		if j.read(text) == nil && m.parameters.differ(j.Parameters) != "" {
			return nil // somebody is just throwing this delivery away
		}
	}
	shards, err := m.store.List(ctx, shardPrefix)
	if err != nil {
		return err
	}
	delivered := make(map[string]bool, len(there.Shards))
	for _, s := range there.Shards {
		delivered[s.Name] = true
	}
	shards = slices.DeleteFunc(shards, func(k string) bool { return !ours(k) || delivered[k] })
	if err := deleteAll(ctx, m.store, shards); err != nil {
		return err
	}
	return m.unstage(ctx)
}

// unstage removes all traces of the job, job.json last.
func (m *Making) unstage(ctx context.Context) error {
	keys, err := m.store.List(ctx, stagingPrefix)
	if err != nil {
		return err
	}
	if err := deleteAll(ctx, m.store, keys); err != nil {
		return err
	}
	return m.store.Delete(ctx, jobKey)
}

// Abandon removes everything of a job that was cancelled. Other processes notice within a part or a shard (ErrGone); what
// they wrote until then is removed by a second call, when none can be alive any more. A finished delivery is left alone
// (ErrFinished), and so is a place that holds another job.
func (m *Making) Abandon(ctx context.Context) error {
	if m.done != nil {
		return ErrFinished
	}
	return m.locked(ctx, func() error {
		there, _, err := m.manifest(ctx)
		if err != nil {
			return err
		}
		if there != nil {
			return ErrFinished
		}
		another, err := m.other(ctx)
		if err != nil || another {
			return err
		}
		keys, err := m.store.List(ctx, "")
		if err != nil {
			return err
		}
		keys = slices.DeleteFunc(keys, func(k string) bool { return k == jobKey || !ours(k) || slices.Contains(Papers(), k) })
		if err := deleteAll(ctx, m.store, keys); err != nil {
			return err
		}
		return m.store.Delete(ctx, jobKey)
	})
}

// leftover says whether a key is of the staging of some job. Without job.json it is nobody's.
func leftover(key string) bool {
	return strings.HasPrefix(key, partPrefix) || strings.HasPrefix(key, planPrefix) || key == sealedKey ||
		strings.HasPrefix(key, stagingPrefix+shardPrefix)
}
