package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Busy is how long a writer on SQLite waits for another one before it gives up.
const Busy = 30 * time.Second

// Registry is an open database. Close it. The package comment says what its methods promise.
type Registry struct {
	pool           *pgxpool.Pool // PostgreSQL
	writer, reader *sql.DB       // SQLite: one connection that writes, several that read
	statements     *cache        // of reader
	path           string        // SQLite's file
	bound          *tx           // inside InTx
	numbers        *sync.Map     // tenant's id -> number; these never change
}

// Open opens a database and brings its schema up to date. where is "postgres://USER@HOST/DATABASE?..." or any other
// form of libpq's addresses that begins with postgres:// or postgresql://, or else the path of a SQLite file, which is
// made if it is not there (its folder is not). A database of a newer program is left alone: ErrNewer. No error shows a
// password of the address.
func Open(ctx context.Context, where string) (*Registry, error) {
	r, err := connect(ctx, where)
	if err != nil {
		return nil, err
	}
	if err := r.migrate(ctx, schemaVersion); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// connect is Open without the schema.
func connect(ctx context.Context, where string) (*Registry, error) {
	if _, err := WithoutPassword(where); err != nil {
		return nil, err
	}
	r := &Registry{numbers: new(sync.Map)}
	var err error
	if isAddress(where) {
		r.pool, err = openPool(ctx, where)
	} else {
		err = r.openFile(where)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func isAddress(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}

// notPath knows what is meant for an address and would be taken for the path of a file: another scheme, and libpq's keywords.
var notPath = regexp.MustCompile(`://|^(?i:postgres|postgresql):|(^|\s)(host|hostaddr|port|dbname|user|password|passfile|sslmode|sslpassword|sslcert|sslkey|service)\s*=`)

// WithoutPassword gives the place of a registry, as Open takes it, in the form in which it may be kept and shown: an address
// without its passwords, a path as it is. The error for what is neither does not show it.
func WithoutPassword(where string) (string, error) {
	if !isAddress(where) {
		if notPath.MatchString(where) {
			return "", errors.New("registry: this is neither a path nor an address that begins with postgres:// or postgresql:// (it is not shown, for a password may be in it): write postgres://user@host/database")
		}
		return where, nil
	}
	u, err := url.Parse(where)
	if err != nil || u.Fragment != "" || u.User == nil && strings.Contains(where, "@") {
		return "", errors.New("registry: the address of the database cannot be read (it is not shown, for a password may be in it): write its special characters as %XX, such as %40 for @, %2F for /, %23 for #, %3F for ?") // url's error would show it
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "", errors.New("registry: what follows the ? in the address of the database cannot be read (it is not shown, for a password may be in it): write KEY=VALUE with & between, special characters as %XX")
	}
	secret := false
	for key := range q {
		if k := strings.ToLower(key); k == "password" || k == "sslpassword" {
			q.Del(key)
			secret = true
		}
	}
	if secret {
		u.RawQuery = q.Encode()
	}
	return u.String(), nil
}

func openPool(ctx context.Context, where string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(where)
	if err != nil {
		return nil, fmt.Errorf("registry: the address of the database cannot be read: %w", err)
	}
	// One for the migrations' lock and one for their work; the default on a small machine is enough for the rest.
	config.MaxConns = max(config.MaxConns, 4)
	// A plan for every call: one made for all tenants and keys alike would sort the works of the largest concept because
	// most concepts are small. Planning costs a tenth of a millisecond.
	config.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("registry: PostgreSQL does not answer: %w; check that it runs and that the address is right", err)
	}
	return pool, nil
}

// openFile opens SQLite. What is committed is on the disk (synchronous=FULL); a transaction that will write says so
// when it begins, so that none has to be turned from a reader into a writer half way, which SQLite cannot always do.
// Each connection may use 64 MiB for pages, and the log is written back when it has 32 MiB: ids and hashes have no
// order, so that a bulk load changes the same pages again and again.
func (r *Registry) openFile(path string) error {
	if path == "" || strings.ContainsAny(path, "?#") || strings.HasPrefix(path, ":memory:") {
		return fmt.Errorf("registry: %q is no path of a database file: give a plain path", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	r.path = abs
	open := func(conns int, extra string) *sql.DB {
		q := url.Values{"_pragma": {"busy_timeout(" + strconv.FormatInt(Busy.Milliseconds(), 10) + ")", "journal_mode(WAL)", "synchronous(FULL)",
			"foreign_keys(1)", "cache_size(-65536)", "wal_autocheckpoint(8192)"}}.Encode()
		db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs}).String()+"?"+q+extra)
		if err != nil {
			panic("registry: " + err.Error()) // only for a driver that is not there
		}
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		return db
	}
	r.writer = open(1, "&_txlock=immediate")
	if err := r.writer.Ping(); err != nil {
		r.writer.Close()
		if corrupt(err) {
			return fmt.Errorf("%w: %s: %w; restore it from a backup", ErrDamaged, path, err)
		}
		return fmt.Errorf("registry: %s cannot be opened as a database: %w; its folder must exist and be writable", path, err)
	}
	r.reader = open(max(4, runtime.GOMAXPROCS(0)), "&_pragma=query_only(1)")
	r.statements = &cache{db: r.reader, of: map[string]*sql.Stmt{}}
	return nil
}

// Close closes the database. Calls that are running fail.
func (r *Registry) Close() error {
	if r.pool != nil {
		r.pool.Close()
		return nil
	}
	r.statements.close()
	return errors.Join(r.reader.Close(), r.writer.Close())
}

// Pool gives the connections to PostgreSQL, nil on SQLite. A job queue keeps its own tables there.
func (r *Registry) Pool() *pgxpool.Pool { return r.pool }

// SQL gives the one writing connection to SQLite, nil on PostgreSQL. Who begins a transaction on it holds up every
// other writer until its end; inside [Registry.InTx] use [Registry.SQLTx] instead, or wait for ever.
func (r *Registry) SQL() *sql.DB { return r.writer }

// PgxTx gives the transaction of the registry that InTx passes on, nil otherwise and on SQLite.
func (r *Registry) PgxTx() pgx.Tx {
	if r.bound == nil {
		return nil
	}
	return r.bound.pg
}

// SQLTx gives the transaction of the registry that InTx passes on, nil otherwise and on PostgreSQL.
func (r *Registry) SQLTx() *sql.Tx {
	if r.bound == nil {
		return nil
	}
	return r.bound.sq
}

// InTx runs f in one transaction: the calls it makes on the registry it is given, and what it writes through
// [Registry.PgxTx] or [Registry.SQLTx]. All of it is committed if f returns nil, none of it otherwise. On PostgreSQL f
// may run again, when it lost a race with another transaction: it must do nothing that cannot be undone by that.
// Inside f use only the registry f is given; on SQLite the other one would wait for f to end.
func (r *Registry) InTx(ctx context.Context, f func(r *Registry) error) error {
	return r.transact(ctx, false, func(t *tx) error {
		inner := *r
		inner.bound = t
		return f(&inner)
	})
}

// attempts bounds how often a transaction that lost a race is run again. A loser waits for the winner's commit before
// it loses, so that every round one transaction less is in the race.
const attempts = 20

// transact runs f in a transaction, in the one there is if there is one. snapshot asks for one state of the database
// during the whole of it, which SQLite always gives.
func (r *Registry) transact(ctx context.Context, snapshot bool, f func(t *tx) error) error {
	if r.bound != nil {
		return f(r.bound)
	}
	for try := 1; ; try++ {
		err := r.once(ctx, snapshot, f)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || !raced(pg.Code) || try == attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * 3 * time.Millisecond):
		}
	}
}

// raced tells the errors of PostgreSQL that another transaction caused: serialization_failure, deadlock_detected,
// and unique_violation, where both inserted what neither saw.
func raced(code string) bool { return code == "40001" || code == "40P01" || code == "23505" }

func (r *Registry) once(ctx context.Context, snapshot bool, f func(t *tx) error) (err error) {
	t, err := r.begin(ctx, snapshot)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	defer func() {
		if err != nil {
			t.rollback()
		}
	}()
	if err := f(t); err != nil {
		return err
	}
	if err := t.commit(ctx); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}
