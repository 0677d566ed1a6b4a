//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package workspace

import (
	"errors"
	"io/fs"
	"os"
)

// tryLock makes a marker beside the lock file, or returns errHeld. Unlike the lock of Unix systems it
// outlives a killed process: then remove the file lock.held by hand.
func tryLock(f *os.File) error {
	m, err := os.OpenFile(f.Name()+".held", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return errHeld
	}
	if err != nil {
		return err
	}
	return m.Close()
}

func unlock(f *os.File) { os.Remove(f.Name() + ".held") }
