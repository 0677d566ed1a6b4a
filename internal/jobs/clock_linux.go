package jobs

import (
	"time"

	"golang.org/x/sys/unix"
)

// steady is a clock that nobody sets. Unlike Go's own it goes on while the machine sleeps.
func steady() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("jobs: " + err.Error()) // since Linux 2.6.39 there is one
	}
	return time.Duration(t.Nano())
}
