package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/filigrane/filigrane/internal/registry"
)

// realm names where the numbers of processes mean something: this machine since it started, and this container. "" where
// the system does not tell: then a process that has ended is found by its silence.
func realm() string {
	boot, err1 := os.ReadFile("/proc/sys/kernel/random/boot_id")
	space, err2 := os.Readlink("/proc/self/ns/pid")
	if err1 != nil || err2 != nil {
		return ""
	}
	h := sha256.Sum256([]byte(string(boot) + space))
	return hex.EncodeToString(h[:8])
}

// processOf tells processes apart that have one number, one after the other: by when they started. "" if there is none.
func processOf(pid int) string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	// The second field, the name in parentheses, may hold anything; the state is the first after it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const state, start = 0, 19 // fields 3 and 22
	if len(fields) <= start || fields[state] == "Z" || fields[state] == "X" {
		return "" // ended, but for somebody asking how
	}
	return fields[start]
}

// ended tells whether the process of a worker has ended, as far as this process can see. Where /proc shows a user his own
// processes only, the system is asked whether there is one of that number.
func ended(w registry.Worker) bool {
	if w.Realm == "" || w.Process == "" || w.Realm != realm() {
		return false
	}
	if is := processOf(w.PID); is != "" {
		return is != w.Process
	}
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(w.PID), "stat")); err == nil {
		return true
	}
	p, err := os.FindProcess(w.PID)
	if err == nil {
		err = p.Signal(syscall.Signal(0))
		p.Release()
	}
	return errors.Is(err, os.ErrProcessDone)
}
