package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// tempPrefix begins the names of files being written.
const tempPrefix = ".filigrane-tmp-"

// WriteFile replaces the file name by data, durably and at once: temporary file in the same directory, sync,
// rename, sync of the directory. On error the old file is as it was.
func WriteFile(name string, data []byte, perm fs.FileMode) (err error) {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	syncDir(dir)
	return nil
}

// syncDir makes a rename durable. Some file systems cannot sync a directory; the rename holds there anyway
// as well as they promise.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		d.Sync()
		d.Close()
	}
}

// write replaces a file of the workspace. Only a holder of the lock may.
func (r *Workspace) write(name string, data []byte, perm fs.FileMode) error {
	if r.lock == nil {
		panic("workspace: writing " + name + " without the lock")
	}
	return WriteFile(r.path(name), data, perm)
}

// Lock makes the caller the one writer until release is called; command names it to whoever comes second.
// The configuration is read again under the lock, and temporary files of dead writers are removed.
func (r *Workspace) Lock(command string) (release func(), err error) {
	release, err = r.acquire(command)
	if err != nil {
		return nil, err
	}
	if err := r.load(); err != nil {
		release()
		return nil, err
	}
	for _, dir := range []string{r.dir, r.oldPath(catalogueDir)} {
		stale, _ := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
		for _, name := range stale {
			os.Remove(name)
		}
	}
	return release, nil
}

func (r *Workspace) acquire(command string) (release func(), err error) {
	name := r.path(lockFile)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		f.Close()
		if !errors.Is(err, errHeld) {
			return nil, fmt.Errorf("locking %s: %w", name, err)
		}
		holder, _ := os.ReadFile(name)
		who := strings.TrimSpace(string(holder))
		if who == "" {
			who = "another process"
		}
		return nil, &Error{Kind: KindLocked, Path: r.dir, Problem: "the workspace is being written by " + who,
			Remedy: "try again when it is done", Err: err}
	}
	if err := f.Truncate(0); err == nil {
		fmt.Fprintf(f, "%s (process %d since %s)\n", command, os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	}
	r.lock = f
	return func() {
		r.lock = nil
		f.Truncate(0)
		unlock(f)
		f.Close()
	}, nil
}

var errHeld = errors.New("held by another process")
