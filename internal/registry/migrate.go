package registry

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// ErrNewer is wrapped when a newer program has changed the schema of a database.
var ErrNewer = errors.New("registry: the database is of a newer program")

//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is where goose remembers what was done; "goose_db_version" may belong to somebody else.
const versionTable = "registry_version"

// schemaVersion is the last migration: that of the last file, since those of Go are among the first.
var schemaVersion = func() int {
	files, err := fs.Glob(migrations, "migrations/[0-9]*.sql")
	if err != nil || len(files) == 0 {
		panic(fmt.Sprint("registry: no migrations: ", err))
	}
	var n int
	if _, err := fmt.Sscanf(path.Base(files[len(files)-1]), "%d_", &n); err != nil {
		panic("registry: " + err.Error())
	}
	return n
}()

// SchemaVersion is the version of the schema that this program knows, and an open database has.
func SchemaVersion() int { return schemaVersion }

// schema gives the migrations, forwards only: 1 prepares what one database lacks, 2 is the schema of both, 3 the
// index of words, which each has in its own way. Later ones are SQL files of both.
func schema(postgres bool) (fs.FS, []*goose.Migration) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic("registry: " + err.Error())
	}
	run := func(name string) *goose.GoFunc {
		return &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			if name == "" {
				return nil
			}
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, string(text))
			return err
		}}
	}
	prepare, search := "", "sqlite_search.sql"
	if postgres {
		prepare, search = "postgres_prepare.sql", "postgres_search.sql"
	}
	return numbered{files}, []*goose.Migration{goose.NewGoMigration(1, run(prepare), nil), goose.NewGoMigration(3, run(search), nil)}
}

// numbered shows goose the migrations of both databases, whose names begin with a digit, and hides the others.
type numbered struct{ fs.FS }

func (n numbered) Glob(pattern string) ([]string, error) {
	if pattern != "*.sql" {
		return nil, nil
	}
	return fs.Glob(n.FS, "[0-9]*.sql")
}

// migrate brings the schema up to a version, if it is not there yet. Several processes may do so at once: on PostgreSQL they take turns, on SQLite
// the one that finds the work done by another looks again.
func (r *Registry) migrate(ctx context.Context, version int) error {
	db, dialect, options := r.writer, goose.DialectSQLite3, []goose.ProviderOption{goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true)}
	if r.pool != nil {
		db, dialect = stdlib.OpenDBFromPool(r.pool), goose.DialectPostgres
		defer db.Close()
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	files, own := schema(r.pool != nil)
	provider, err := goose.NewProvider(dialect, db, files, append(options, goose.WithGoMigrations(own...))...)
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	_, upErr := provider.UpTo(ctx, int64(version))
	is, ours, err := provider.GetVersions(ctx)
	switch {
	case upErr == nil && err == nil && is <= ours:
		return nil
	case err == nil && is > ours:
		return fmt.Errorf("%w: its schema has version %d, this program knows %d; use the newer program, or restore a backup made before it ran", ErrNewer, is, ours)
	case err == nil && is >= int64(version):
		return nil // another process was faster
	}
	if err := errors.Join(upErr, err); corrupt(err) {
		return fmt.Errorf("%w: %s: %w; restore it from a backup", ErrDamaged, r.path, err)
	}
	return fmt.Errorf("registry: bringing the schema up to date: %w", errors.Join(upErr, err))
}
