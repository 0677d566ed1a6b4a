// Package pgtest gives tests a PostgreSQL server of their own: Debian's, started in a temporary folder, listening on a
// socket there and nowhere else, one for all tests of a process, and a database for each test.
//
// The server does not care for durability (fsync=off): what it measures of writing is too fast by what the disk costs.
// Tests are skipped where no server is installed, unless FILIGRANE_NEED_TOOLS=1 is set: then they fail. PostgreSQL
// refuses to run as root; started by root it runs as user postgres, whom Debian's package makes.
package pgtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

var (
	mu      sync.Mutex
	server  *instance
	failure error
	count   int
)

type instance struct {
	dir, bin string
	who      *syscall.Credential
	watcher  *exec.Cmd
	alive    io.Closer // the watcher's input
}

// Main runs the tests of a package and stops the server after them: call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	Stop()
	os.Exit(code)
}

// New makes an empty database and gives its address. It is dropped when the test ends. settings are appended to the
// address, as "pool_max_conns=8".
func New(t testing.TB, settings ...string) string {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	if server == nil && failure == nil {
		server, failure = start()
	}
	if failure != nil {
		if os.Getenv("FILIGRANE_NEED_TOOLS") == "1" {
			t.Fatal(failure)
		}
		t.Skip(failure)
	}
	count++
	name := "test" + strconv.Itoa(count)
	if err := server.run("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	s := server
	t.Cleanup(func() {
		if err := s.run("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return s.address(name) + strings.Join(append([]string{""}, settings...), "&")
}

// Stop stops the server, if one was started.
func Stop() {
	mu.Lock()
	defer mu.Unlock()
	if server == nil {
		return
	}
	server.stop()
	server = nil
}

func (s *instance) data() string { return filepath.Join(s.dir, "data") }

func (s *instance) address(database string) string {
	return "postgres:///" + database + "?user=postgres&host=" + s.dir
}

func (s *instance) run(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.address("postgres"))
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("pgtest: %s: %w", statement, err)
	}
	return nil
}

// command prepares a program of PostgreSQL, as the user it may run as.
func (s *instance) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.who}
	return cmd
}

// binaries finds the newest server that Debian has installed, or the one on the path.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(initdb), nil
	}
	return "", fmt.Errorf("pgtest: no PostgreSQL server is installed: apt-get install postgresql")
}

func version(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

// unprivileged gives user postgres if this process is root's.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("pgtest: PostgreSQL does not run as root and there is no user postgres: %w; apt-get install postgresql makes it", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		return nil, fmt.Errorf("pgtest: user postgres has the ids %s and %s", u.Uid, u.Gid)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// start makes a cluster and starts its server. Databases sort text as people in America do: who wants bytewise order
// has to ask for it. The folder is short: a socket's path has 107 bytes at most.
func start() (*instance, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "fpg")
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	s := &instance{dir: dir, bin: bin, who: who}
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), int(who.Gid)); err != nil {
			return nil, fmt.Errorf("pgtest: %w", err)
		}
	}
	steps := [][]string{
		{"initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US", "--no-sync"},
		{"pg_ctl", "-D", s.data(), "-l", filepath.Join(dir, "log"), "-w", "-t", "60", "-o", "-c listen_addresses='' -c unix_socket_directories=" + dir +
			" -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=256MB -c max_wal_size=4GB -c work_mem=32MB" +
			" -c maintenance_work_mem=256MB -c max_connections=100 -c autovacuum_naptime=10s", "start"},
	}
	for _, step := range steps {
		if out, err := s.command(step[0], step[1:]...).CombinedOutput(); err != nil {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			os.RemoveAll(dir)
			return nil, fmt.Errorf("pgtest: %s: %w: %s%s", step[0], err, out, log)
		}
	}
	return s, s.watch()
}

// watch starts a shell that stops the server when this process ends, however it ends: the end of its input tells it.
func (s *instance) watch() error {
	cmd := exec.Command("/bin/sh", "-c", `cat >/dev/null; cd /; "$0" -D "$1" -m immediate -w stop >/dev/null 2>&1; rm -rf "$2"`,
		filepath.Join(s.bin, "pg_ctl"), s.data(), s.dir)
	cmd.Env = s.command("pg_ctl").Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.who, Setpgid: true} // a ^C is for the tests
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.stop()
		return fmt.Errorf("pgtest: %w", err)
	}
	s.alive, s.watcher = in, cmd
	return nil
}

func (s *instance) stop() {
	if s.watcher != nil {
		s.alive.Close()
		s.watcher.Wait()
	} else {
		s.command("pg_ctl", "-D", s.data(), "-m", "immediate", "-w", "stop").Run()
	}
	os.RemoveAll(s.dir)
}
