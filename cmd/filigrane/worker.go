package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/jobs"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/mark"
)

// workerCmd is "filigrane worker".
type workerCmd struct {
	Drain bool     `help:"End when there is nothing left to do."`
	Kinds []string `sep:"," placeholder:"LIST" help:"The kinds of jobs to work on: delivery, import. Default all that this workspace can."`
	memoryFlag
	Log string `default:"json" placeholder:"FORM" help:"How events are written to standard error, a line each: json or text. Default ${default}."`
}

// memoryFlag bounds what pictures take while they are marked.
type memoryFlag struct {
	MaxMemory sizeFlag `default:"4GiB" placeholder:"SIZE" help:"Memory for pictures that are worked on at once; one that needs more is worked on alone. Default ${default}."`
}

func (f memoryFlag) check() error {
	if f.MaxMemory < 1 {
		return badInput("--max-memory %d: give a size, as 4GiB", int64(f.MaxMemory))
	}
	return nil
}

// Help explains workers.
func (workerCmd) Help() string {
	return `Works on the bank's jobs: deliveries that were asked for with 'filigrane deliver --detach', and whatever was begun and interrupted. Start as many as you like, on as many machines as you like if the registry is on PostgreSQL and masters and deliveries lie in places that all of them reach. Each needs a workspace of the bank, with its master key.

--jobs says how many pictures one works on at once. SIGTERM and Ctrl-C end it after it has handed back what it works on, with exit code 0 for the former. A worker that is killed loses a few seconds of work; others notice within 20 seconds, on the same machine at once.

Example: filigrane worker --jobs 4
Example: filigrane worker --drain --log text`
}

// Run works.
func (c *workerCmd) Run(s *session) error {
	kinds, err := jobKinds(c.Kinds)
	if err == nil {
		err = c.memoryFlag.check()
	}
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if s.Quiet {
		level = slog.LevelWarn
	}
	var log slog.Handler = slog.NewJSONHandler(s.stderr, &slog.HandlerOptions{Level: level})
	switch c.Log {
	case "json":
	case "text":
		log = slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: level})
	default:
		return badInput("--log %q: choose json or text", c.Log)
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	q, err := r.queue(s, slog.New(log), func(config *jobs.Config) { config.MaxMemory = int64(c.MaxMemory) })
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(s.ctx, syscall.SIGTERM)
	defer stop()
	if c.Drain {
		err = q.Drain(ctx, kinds...)
	} else {
		err = q.Work(ctx, kinds...)
	}
	if err == nil {
		err = s.ctx.Err()
	}
	return err
}

func jobKinds(names []string) (kinds []registry.JobKind, err error) {
	for _, name := range names {
		k := registry.JobKind(name)
		if k != registry.DeliveryJob && k != registry.ImportJob {
			return nil, badInput("--kinds %q: choose delivery or import", name)
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

// queue opens the bank's job queue, to work on it with the workspace's key.
func (r *records) queue(s *session, log *slog.Logger, change func(*jobs.Config)) (*jobs.Queue, error) {
	key := sync.OnceValues(func() (mark.Key, error) { return s.embeddingKey(r.ws) })
	config := jobs.Config{Scopes: []registry.Scope{r.scope}, Opener: opener{s}, Workers: s.jobs(), CodeVersion: versionText(), Log: log, Import: r.importing(s),
		Keys: func(_ context.Context, _ registry.Scope, path mark.Path) (mark.Keys, string, error) {
			master, err := key()
			if err != nil {
				return mark.Keys{}, "", err
			}
			own := master.Delivery(path)
			return own.Keys(), own.Fingerprint(), nil
		},
		Papers: func(ctx context.Context, scope registry.Scope, spec jobs.DeliverySpec, cat *concepts.Frozen, st store.Store) (string, error) {
			licence, err := r.reg.Licence(ctx, scope, spec.Licence)
			if err != nil {
				return "", err
			}
			var c deliverRunCmd
			c.termsFlags.fromMap(spec.Papers)
			return c.papers(s, r.ws, st, delivery.Spec{Catalogue: cat, Path: spec.Path, KeyFingerprint: spec.KeyFingerprint}, licence)
		}}
	change(&config)
	return jobs.Open(s.ctx, r.reg, config)
}

// waitingQueue opens the queue to look at it and to ask for things.
func (r *records) waitingQueue(s *session) (*jobs.Queue, error) {
	return jobs.Open(s.ctx, r.reg, jobs.Config{Scopes: []registry.Scope{r.scope}, Opener: opener{s}})
}

// opener opens places for jobs.
type opener struct{ s *session }

// Store opens where a delivery goes. 'filigrane deliver' has made it: a folder that is not there lies on a disk that this
// machine does not have, and making it here would hide that.
func (o opener) Store(ctx context.Context, place string) (store.Store, error) {
	st, err := o.s.existing(ctx, place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: is its disk mounted on this machine? If it was removed, run the same 'filigrane deliver' again: %w", place, err)
	}
	return st, err
}

// Masters opens where the masters lie.
func (o opener) Masters(_ context.Context, place string) (delivery.Source, io.Closer, error) {
	m, err := o.s.mastersAt(place)
	if err != nil {
		return nil, nil, err
	}
	return m.Source, m.Closer, nil
}

// What a job remembers of the flags that its papers need.
const (
	paperURL, paperRecipient, paperTerritory = "licence_url", "recipient", "territory"
	paperFrom, paperUntil, paperDate         = "from", "until", "date"
)

// toMap keeps the flags for papers that were given.
func (c *termsFlags) toMap() map[string]string {
	m := map[string]string{paperURL: c.LicenceURL, paperRecipient: c.Recipient, paperTerritory: c.Territory, paperFrom: c.From, paperUntil: c.Until, paperDate: c.Date}
	for k, v := range m {
		if v == "" {
			delete(m, k)
		}
	}
	return m
}

// fromMap is the inverse of toMap.
func (c *termsFlags) fromMap(m map[string]string) {
	c.LicenceURL, c.Recipient, c.Territory, c.From, c.Until, c.Date = m[paperURL], m[paperRecipient], m[paperTerritory], m[paperFrom], m[paperUntil], m[paperDate]
}

// impatient is how a delivery is worked on in the foreground: what fails of it is tried a few times only, since somebody
// waits and can mend it, and imports are left to workers.
func (f memoryFlag) impatient(c *jobs.Config) {
	c.Awaited.Tries, c.Awaited.Backoff, c.Import, c.MaxMemory = 3, 250*time.Millisecond, nil, int64(f.MaxMemory)
}

// remarks writes what goes wrong in a job as remarks, for who makes a delivery in the foreground.
type remarks struct {
	slog.Handler
	s *session
}

func newRemarks(s *session) *slog.Logger { return slog.New(remarks{slog.DiscardHandler, s}) }

// Enabled is true of what somebody should know.
func (remarks) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle writes one remark. How a job ends its verb says itself.
func (r remarks) Handle(_ context.Context, rec slog.Record) error {
	if rec.Level >= slog.LevelError && rec.Message == "job failed" {
		return nil
	}
	text := rec.Message
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key != "job" && a.Key != "worker" {
			text += fmt.Sprintf("; %s %v", a.Key, a.Value)
		}
		return true
	})
	r.s.note("%s", oneLine(errors.New(text)))
	return nil
}

// WithAttrs drops them: they name the job, of which there is one.
func (r remarks) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup drops it.
func (r remarks) WithGroup(string) slog.Handler { return r }
