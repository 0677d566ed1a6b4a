package jobs

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/filigrane/filigrane/internal/registry"
)

// engine is River on either database.
type engine interface {
	migrate(ctx context.Context) error
	// insert adds tickets in the transaction of a bound registry, for a time ("zero" is now).
	insert(ctx context.Context, reg *registry.Registry, scope registry.Scope, tickets []registry.Ticket, priority int, when time.Time) error
	// start works on tickets as worker id, until stop.
	start(ctx context.Context, id string, scopes []registry.Scope, slots int, kinds []string, do func(context.Context, ticket) error) (stop func(context.Context) error, err error)
}

// ticket is River's job: work on a part, in a run of a job.
type ticket struct {
	Tenant string `json:"tenant"`
	Job    string `json:"job"`
	Run    int    `json:"run"`
	Stage  string `json:"stage"`
	Part   int    `json:"part"`

	number int64 // River's
	tries  int   // how often River has given it out, this time included
}

func (t ticket) of() registry.Ticket {
	return registry.Ticket{Job: t.Job, Run: t.Run, Stage: t.Stage, Part: t.Part}
}

// args makes a ticket a job of a kind of River's, which asks a type for each.
type args[K interface{ kind() string }] struct{ ticket }

// Kind names the kind.
func (args[K]) Kind() string {
	var k K
	return k.kind()
}

type (
	plan    struct{}
	part    struct{}
	seal    struct{}
	shard   struct{}
	finish  struct{}
	sweep   struct{}
	abandon struct{}
	intake  struct{}
)

func (plan) kind() string    { return stagePlan }
func (part) kind() string    { return stagePart }
func (seal) kind() string    { return stageSeal }
func (shard) kind() string   { return stageShard }
func (finish) kind() string  { return stageFinish }
func (sweep) kind() string   { return stageSweep }
func (abandon) kind() string { return stageAbandon }
func (intake) kind() string  { return stageImport }

// jobArgs gives a ticket as its kind's type.
func jobArgs(t ticket) river.JobArgs {
	switch t.Stage {
	case stagePlan:
		return args[plan]{t}
	case stagePart:
		return args[part]{t}
	case stageSeal:
		return args[seal]{t}
	case stageShard:
		return args[shard]{t}
	case stageFinish:
		return args[finish]{t}
	case stageSweep:
		return args[sweep]{t}
	case stageAbandon:
		return args[abandon]{t}
	case stageImport:
		return args[intake]{t}
	}
	panic("jobs: no stage " + t.Stage)
}

// kindOf is the kind of the jobs that have a stage.
func kindOf(stage string) string {
	if stage == stageImport {
		return string(registry.ImportJob)
	}
	return string(registry.DeliveryJob)
}

// worker hands River's jobs of a kind on.
type worker[K interface{ kind() string }] struct {
	river.WorkerDefaults[args[K]]
	do func(context.Context, ticket) error
}

// Work does one.
func (w *worker[K]) Work(ctx context.Context, job *river.Job[args[K]]) error {
	t := job.Args.ticket
	t.number, t.tries = job.ID, job.Attempt
	return w.do(ctx, t)
}

// workers registers the kinds a process works on. import and delivery stand for those of their stages.
func workersOf(kinds []string, do func(context.Context, ticket) error) *river.Workers {
	w := river.NewWorkers()
	for _, k := range kinds {
		switch registry.JobKind(k) {
		case registry.ImportJob:
			river.AddWorker(w, &worker[intake]{do: do})
		case registry.DeliveryJob:
			river.AddWorker(w, &worker[plan]{do: do})
			river.AddWorker(w, &worker[part]{do: do})
			river.AddWorker(w, &worker[seal]{do: do})
			river.AddWorker(w, &worker[shard]{do: do})
			river.AddWorker(w, &worker[finish]{do: do})
			river.AddWorker(w, &worker[sweep]{do: do})
			river.AddWorker(w, &worker[abandon]{do: do})
		}
	}
	return w
}

// queueOf names the queue of a bank. River allows few characters in a name.
func queueOf(scope registry.Scope) string {
	h := sha256.Sum256([]byte(scope.Tenant))
	return "bank-" + hex.EncodeToString(h[:12])
}

// riverOn is the engine on one database.
type riverOn[TTx any] struct {
	driver   riverdriver.Driver[TTx]
	inserter *river.Client[TTx]
	tx       func(*registry.Registry) TTx
	log      *slog.Logger
	// exclusively runs f while no other process changes the tables.
	exclusively func(ctx context.Context, f func() error) error
	polls       bool
}

func newEngine(reg *registry.Registry, config Config) (engine, error) {
	log := slog.New(serious{config.Log.Handler()})
	if reg.Pool() != nil {
		e := &riverOn[pgx.Tx]{driver: riverpgxv5.New(reg.Pool()), tx: (*registry.Registry).PgxTx, log: log}
		e.exclusively = func(ctx context.Context, f func() error) error { return onlyOne(ctx, reg, f) }
		return e, e.open()
	}
	e := &riverOn[*sql.Tx]{driver: riversqlite.New(reg.SQL()), tx: (*registry.Registry).SQLTx, log: log, polls: true}
	e.exclusively = func(_ context.Context, f func() error) error { return f() }
	return e, e.open()
}

func (e *riverOn[TTx]) open() (err error) {
	e.inserter, err = river.NewClient(e.driver, &river.Config{Logger: e.log, SkipUnknownJobCheck: true})
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	return nil
}

// migrationLock is this package's own among PostgreSQL's advisory locks of one integer.
const migrationLock = 0x46494c4a4f4253 // "FILJOBS"

// onlyOne runs f while this process holds the lock, on a connection of its own.
func onlyOne(ctx context.Context, reg *registry.Registry, f func() error) error {
	conn, err := reg.Pool().Acquire(ctx)
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	defer conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	return f()
}

// migrate makes River's tables. On SQLite two processes may do so at once; who comes second looks again.
func (e *riverOn[TTx]) migrate(ctx context.Context) error {
	m, err := rivermigrate.New(e.driver, &rivermigrate.Config{Logger: e.log})
	if err != nil {
		return fmt.Errorf("jobs: %w", err)
	}
	complete := func() bool {
		is, err := m.Validate(ctx, nil)
		return err == nil && is.OK
	}
	if complete() {
		return nil
	}
	return e.exclusively(ctx, func() error {
		for try := 1; ; try++ {
			_, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil)
			if err == nil || complete() {
				return nil
			}
			if try == 10 || ctx.Err() != nil {
				return fmt.Errorf("jobs: bringing the queue's tables up to date: %w", err)
			}
			time.Sleep(time.Duration(try) * 50 * time.Millisecond)
		}
	})
}

func (e *riverOn[TTx]) insert(ctx context.Context, reg *registry.Registry, scope registry.Scope, tickets []registry.Ticket, priority int, when time.Time) error {
	if len(tickets) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, len(tickets))
	for i, t := range tickets {
		params[i] = river.InsertManyParams{Args: jobArgs(ticket{Tenant: scope.Tenant, Job: t.Job, Run: t.Run, Stage: t.Stage, Part: t.Part}),
			InsertOpts: &river.InsertOpts{Queue: queueOf(scope), Priority: priority, ScheduledAt: when, MaxAttempts: mostAttempts}}
	}
	if _, err := e.inserter.InsertManyTx(ctx, e.tx(reg), params); err != nil {
		return fmt.Errorf("jobs: putting tickets in the queue: %w", err)
	}
	return nil
}

// Settings of River. It gives a job a minute by default, and looks after an hour for those whose process died; how long a
// part takes nobody knows, and the dead are found by the registry. What an attempt is the registry counts.
const (
	mostAttempts = 10_000
	never        = 100 * 365 * 24 * time.Hour
	fetchOften   = 50 * time.Millisecond
	fetchAtLeast = time.Second
	pollSQLite   = 100 * time.Millisecond
)

func (e *riverOn[TTx]) start(ctx context.Context, id string, scopes []registry.Scope, slots int, kinds []string, do func(context.Context, ticket) error) (func(context.Context) error, error) {
	config := &river.Config{ID: id, Logger: e.log, JobTimeout: -1, RescueStuckJobsAfter: never, MaxAttempts: mostAttempts, RetryPolicy: soon{},
		FetchCooldown: fetchOften, FetchPollInterval: fetchAtLeast, PollOnly: e.polls, FetchOnlyKnownKinds: true,
		Queues: map[string]river.QueueConfig{}, Workers: workersOf(kinds, do)}
	if e.polls {
		config.FetchPollInterval = pollSQLite
	}
	each := (slots + len(scopes) - 1) / len(scopes)
	for _, s := range scopes {
		config.Queues[queueOf(s)] = river.QueueConfig{MaxWorkers: each}
	}
	client, err := river.NewClient(e.driver, config)
	if err == nil {
		err = client.Start(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return func(ctx context.Context) error {
		if err := client.StopAndCancel(ctx); err != nil {
			return fmt.Errorf("jobs: %w", err)
		}
		return nil
	}, nil
}

// soon tries again what failed for reasons that are not the part's own, such as a registry that did not answer.
type soon struct{}

// NextRetry says when.
func (soon) NextRetry(job *rivertype.JobRow) time.Time {
	return time.Now().Add(min(time.Duration(job.Attempt)*time.Second, 30*time.Second))
}

// serious passes on what is wrong with the queue itself; what becomes of parts this package tells.
type serious struct{ slog.Handler }

// Enabled is true of errors.
func (s serious) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && s.Handler.Enabled(ctx, level)
}

// WithAttrs keeps what it is.
func (s serious) WithAttrs(attrs []slog.Attr) slog.Handler {
	return serious{s.Handler.WithAttrs(attrs)}
}

// WithGroup keeps what it is.
func (s serious) WithGroup(name string) slog.Handler { return serious{s.Handler.WithGroup(name)} }

// What follows goes to River's table itself. Its clients have nothing for it: they find a stuck job by its age, and change
// no job that another client has.

// stealPostgres gives the tickets of those who are not alive to whoever takes them up next. A ticket is stolen by making
// it anew: should its old holder come back to life, what he says of the old one means nothing to the new one. Of two
// who steal one ticket the second finds it cancelled.
const stealPostgres = `
WITH stolen AS (
    UPDATE river_job SET state = 'cancelled', finalized_at = now()
    WHERE state = 'running' AND queue LIKE 'bank-%'
        AND NOT EXISTS (SELECT 1 FROM workers WHERE id = river_job.attempted_by[array_upper(river_job.attempted_by, 1)] AND state = 'alive')
    RETURNING args, kind, max_attempts, priority, queue, attempt
)
INSERT INTO river_job (args, kind, max_attempts, priority, queue, attempt, state, scheduled_at)
SELECT args, kind, max_attempts, priority, queue, attempt, 'available', now() FROM stolen`

// The same on SQLite, in one transaction, and so alone.
var stealSQLite = []string{`
INSERT INTO river_job (args, kind, max_attempts, priority, queue, attempt, state, scheduled_at)
SELECT args, kind, max_attempts, priority, queue, attempt, 'available', datetime('now', 'subsec') FROM river_job
WHERE ` + heldByTheDead, `
UPDATE river_job SET state = 'cancelled', finalized_at = datetime('now', 'subsec')
WHERE ` + heldByTheDead}

const heldByTheDead = `state = 'running' AND queue LIKE 'bank-%'
    AND NOT EXISTS (SELECT 1 FROM workers WHERE id = json_extract(river_job.attempted_by, '$[#-1]') AND state = 'alive')`

// dueTickets makes those available whose time has come. River's leader does so too, every five seconds; but when the
// leader was killed it takes a quarter of a minute until there is another.
const (
	duePostgres = `UPDATE river_job SET state = 'available' WHERE state IN ('scheduled', 'retryable') AND queue LIKE 'bank-%' AND scheduled_at <= now()`
	dueSQLite   = `UPDATE river_job SET state = 'available' WHERE state IN ('scheduled', 'retryable') AND queue LIKE 'bank-%' AND scheduled_at <= datetime('now', 'subsec')`
)

// steal gives the tickets of the dead to the living, in the transaction of a bound registry, and tells how many.
func steal(ctx context.Context, reg *registry.Registry) (n int64, err error) {
	if tx := reg.PgxTx(); tx != nil {
		if _, err := tx.Exec(ctx, duePostgres); err != nil {
			return 0, fmt.Errorf("jobs: %w", err)
		}
		tag, err := tx.Exec(ctx, stealPostgres)
		if err != nil {
			return 0, fmt.Errorf("jobs: %w", err)
		}
		return tag.RowsAffected(), nil
	}
	for _, text := range append([]string{dueSQLite}, stealSQLite...) {
		result, err := reg.SQLTx().ExecContext(ctx, text)
		if err == nil {
			n, err = result.RowsAffected()
		}
		if err != nil {
			return 0, fmt.Errorf("jobs: %w", err)
		}
	}
	return n, nil
}

// reissuePostgres makes the tickets anew that a worker was given a minute ago, but for those that he knows of.
const reissuePostgres = `
WITH lost AS (
    UPDATE river_job SET state = 'cancelled', finalized_at = now()
    WHERE state = 'running' AND queue LIKE 'bank-%' AND attempted_by[array_upper(attempted_by, 1)] = $1
        AND attempted_at < now() - make_interval(secs => $2) AND NOT (id = ANY($3))
    RETURNING args, kind, max_attempts, priority, queue, attempt
)
INSERT INTO river_job (args, kind, max_attempts, priority, queue, attempt, state, scheduled_at)
SELECT args, kind, max_attempts, priority, queue, attempt, 'available', now() FROM lost`

// The same on SQLite, in one transaction.
var reissueSQLite = []string{`
INSERT INTO river_job (args, kind, max_attempts, priority, queue, attempt, state, scheduled_at)
SELECT args, kind, max_attempts, priority, queue, attempt, 'available', datetime('now', 'subsec') FROM river_job
WHERE ` + neverArrived, `
UPDATE river_job SET state = 'cancelled', finalized_at = datetime('now', 'subsec')
WHERE ` + neverArrived}

const neverArrived = `state = 'running' AND queue LIKE 'bank-%' AND json_extract(attempted_by, '$[#-1]') = ?1
    AND attempted_at < datetime('now', 'subsec', '-' || ?2 || ' seconds') AND id NOT IN (SELECT value FROM json_each(?3))`

// reissue makes a worker's tickets anew that he does not know of, in the transaction of a bound registry, and tells how many.
func reissue(ctx context.Context, reg *registry.Registry, worker string, known []int64) (n int64, err error) {
	if tx := reg.PgxTx(); tx != nil {
		tag, err := tx.Exec(ctx, reissuePostgres, worker, lostAfter.Seconds(), known)
		if err != nil {
			return 0, fmt.Errorf("jobs: %w", err)
		}
		return tag.RowsAffected(), nil
	}
	list, err := json.Marshal(known)
	if err != nil {
		return 0, fmt.Errorf("jobs: %w", err)
	}
	for _, text := range reissueSQLite {
		result, err := reg.SQLTx().ExecContext(ctx, text, worker, int(lostAfter.Seconds()), string(list))
		if err == nil {
			n, err = result.RowsAffected()
		}
		if err != nil {
			return 0, fmt.Errorf("jobs: %w", err)
		}
	}
	return n, nil
}

// waiting counts the tickets of a queue that somebody has or will have, by job and run: those of jobs of some kinds, nil for
// all. Late ones do not count.
func waiting(ctx context.Context, reg *registry.Registry, queue string, kinds []string) (map[string]int, error) {
	const postgres = `SELECT args FROM river_job WHERE state IN ('available', 'running', 'scheduled', 'retryable', 'pending') AND queue = $1`
	const sqlite = `SELECT json(args) FROM river_job WHERE state IN ('available', 'running', 'scheduled', 'retryable', 'pending') AND queue = ?`
	counts := map[string]int{}
	add := func(text []byte) error {
		var t ticket
		if err := json.Unmarshal(text, &t); err != nil {
			return fmt.Errorf("jobs: a ticket in the queue: %w", err)
		}
		if !t.late() && (kinds == nil || slices.Contains(kinds, kindOf(t.Stage))) {
			counts[runOf(t.Job, t.Run)]++
		}
		return nil
	}
	if pool := reg.Pool(); pool != nil {
		rows, err := pool.Query(ctx, postgres, queue)
		if err != nil {
			return nil, fmt.Errorf("jobs: %w", err)
		}
		var text []byte
		_, err = pgx.ForEachRow(rows, []any{&text}, func() error { return add(text) })
		return counts, err
	}
	rows, err := reg.SQL().QueryContext(ctx, sqlite, queue)
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var text []byte
		err := rows.Scan(&text)
		if err == nil {
			err = add(text)
		}
		if err != nil {
			return nil, err
		}
	}
	return counts, rows.Err()
}

func runOf(job string, run int) string { return fmt.Sprintf("%d %s", run, job) }
