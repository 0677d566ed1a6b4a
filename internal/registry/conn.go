package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// querier runs statements with $1, $2, ... for arguments, which both databases understand.
type querier interface {
	query(ctx context.Context, text string, args ...any) (rows, error)
}

// rows are an open answer; close it.
type rows interface {
	Next() bool
	Scan(into ...any) error
	Err() error
	Close()
}

// corrupt tells SQLite's word for a file that is none of its own, in part or in whole.
func corrupt(err error) bool {
	var lite *sqlite.Error
	return errors.As(err, &lite) && (lite.Code()&0xff == lib.SQLITE_CORRUPT || lite.Code()&0xff == lib.SQLITE_NOTADB)
}

// failed names the registry in an error of its database.
func failed(err error) error {
	if corrupt(err) {
		return fmt.Errorf("%w: %w; restore it from a backup", ErrDamaged, err)
	}
	return fmt.Errorf("registry: %w", err)
}

// each calls f for every row of an answer, and closes it.
func each(ctx context.Context, q querier, text string, args []any, f func(rows) error) error {
	answer, err := q.query(ctx, text, args...)
	if err != nil {
		return failed(err)
	}
	defer answer.Close()
	for answer.Next() {
		if err := f(answer); err != nil {
			return err
		}
	}
	if err := answer.Err(); err != nil {
		return failed(err)
	}
	return nil
}

// one scans the only row of an answer; found is false if there is none.
func one(ctx context.Context, q querier, text string, args []any, into ...any) (found bool, err error) {
	err = each(ctx, q, text, args, func(r rows) error {
		found = true
		return r.Scan(into...)
	})
	return found, err
}

// pgx's side.

type pgxQuerier interface {
	Query(ctx context.Context, text string, args ...any) (pgx.Rows, error)
	Exec(ctx context.Context, text string, args ...any) (pgconn.CommandTag, error)
}

type pgConn struct{ q pgxQuerier }

func (c pgConn) query(ctx context.Context, text string, args ...any) (rows, error) {
	return c.q.Query(ctx, text, args...)
}

// SQLite's side.

type sqlRows struct{ *sql.Rows }

func (r sqlRows) Close() { r.Rows.Close() }

var numberedArgument = regexp.MustCompile(`\$\d+`)

// unnamed writes ? for $1, $2, ... where these stand in order, each once. SQLite takes $1 for a name, and its driver
// looks for the names of all arguments one by one: half the time of an insert of many rows.
func unnamed(text string) string {
	n := 0
	plain := numberedArgument.ReplaceAllStringFunc(text, func(name string) string {
		n++
		if name != "$"+strconv.Itoa(n) {
			n = -1 << 30
		}
		return "?"
	})
	if n < 0 {
		return text
	}
	return plain
}

// cache keeps the prepared statements of the readers. There are as many as the package has queries.
type cache struct {
	db *sql.DB
	mu sync.Mutex
	of map[string]*sql.Stmt
}

func (c *cache) query(ctx context.Context, text string, args ...any) (rows, error) {
	c.mu.Lock()
	stmt := c.of[text]
	c.mu.Unlock()
	if stmt == nil {
		fresh, err := c.db.PrepareContext(ctx, unnamed(text))
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		if stmt = c.of[text]; stmt == nil {
			c.of[text], stmt = fresh, fresh
			fresh = nil
		}
		c.mu.Unlock()
		if fresh != nil {
			fresh.Close() // another goroutine was faster
		}
	}
	answer, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	return sqlRows{answer}, nil
}

func (c *cache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stmt := range c.of {
		stmt.Close()
	}
	clear(c.of)
}

// tx is a transaction of either database. Not for several goroutines at once.
type tx struct {
	r        *Registry
	pg       pgx.Tx
	sq       *sql.Tx
	prepared map[string]*sql.Stmt // of sq; closed with it
}

func (r *Registry) begin(ctx context.Context, snapshot bool) (*tx, error) {
	if r.pool == nil {
		sq, err := r.writer.BeginTx(ctx, nil)
		return &tx{r: r, sq: sq, prepared: map[string]*sql.Stmt{}}, err
	}
	options := pgx.TxOptions{}
	if snapshot {
		options.IsoLevel = pgx.RepeatableRead
	}
	pg, err := r.pool.BeginTx(ctx, options)
	return &tx{r: r, pg: pg}, err
}

func (t *tx) commit(ctx context.Context) error {
	if t.pg != nil {
		return t.pg.Commit(ctx)
	}
	return t.sq.Commit()
}

// rollback undoes everything, also when the context of the transaction has ended.
func (t *tx) rollback() {
	if t.pg != nil {
		t.pg.Rollback(context.Background())
		return
	}
	t.sq.Rollback()
}

func (t *tx) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if stmt := t.prepared[text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := t.sq.PrepareContext(ctx, unnamed(text))
	if err == nil {
		t.prepared[text] = stmt
	}
	return stmt, err
}

func (t *tx) query(ctx context.Context, text string, args ...any) (rows, error) {
	if t.pg != nil {
		return t.pg.Query(ctx, text, args...)
	}
	stmt, err := t.prepare(ctx, text)
	if err != nil {
		return nil, err
	}
	answer, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	return sqlRows{answer}, nil
}

// exec returns how many rows it changed.
func (t *tx) exec(ctx context.Context, text string, args ...any) (int64, error) {
	if t.pg != nil {
		tag, err := t.pg.Exec(ctx, text, args...)
		if err != nil {
			return 0, fmt.Errorf("registry: %w", err)
		}
		return tag.RowsAffected(), nil
	}
	stmt, err := t.prepare(ctx, text)
	if err != nil {
		return 0, fmt.Errorf("registry: %w", err)
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("registry: %w", err)
	}
	return result.RowsAffected()
}

// execMany runs one statement for many lists of arguments; PostgreSQL gets them in one go.
func (t *tx) execMany(ctx context.Context, text string, lists [][]any) error {
	if t.pg == nil {
		for _, args := range lists {
			if _, err := t.exec(ctx, text, args...); err != nil {
				return err
			}
		}
		return nil
	}
	var batch pgx.Batch
	for _, args := range lists {
		batch.Queue(text, args...)
	}
	if err := t.pg.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	return nil
}

// lock holds up other transactions that lock the same thing of the same tenant until this one ends. SQLite has one
// writer anyway.
func (t *tx) lock(ctx context.Context, thing lockable, tenant int64) error {
	if t.pg == nil {
		return nil
	}
	_, err := t.exec(ctx, "SELECT pg_advisory_xact_lock($1::integer, $2::integer)", int64(thing), tenant)
	return err
}

// lockable are the things to lock. The numbers are this package's own among advisory locks of two integers.
type lockable int64

const (
	lockCodebook lockable = 0x46494c01 + iota // "FIL", 1
	lockCatalogues
	lockDeliveries
)
