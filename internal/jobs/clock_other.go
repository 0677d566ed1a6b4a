//go:build !linux

package jobs

import "time"

var started = time.Now()

// steady is a clock that nobody sets. Whether it goes on while the machine sleeps is up to the system.
func steady() time.Duration { return time.Since(started) }
