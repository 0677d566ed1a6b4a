package main

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// console is standard error shared by remarks and a progress bar: one write at a time, and above the bar while
// there is one.
type console struct {
	mu  sync.Mutex
	out io.Writer
	bar io.Writer // nil: no bar
}

// Write writes p in one piece.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bar != nil {
		return c.bar.Write(p)
	}
	return c.out.Write(p)
}

// above makes remarks appear above a bar; nil ends that.
func (c *console) above(bar io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bar = bar
}

// newConsole wraps w, unless it is a console already.
func newConsole(w io.Writer) *console {
	if c, ok := w.(*console); ok {
		return c
	}
	return &console{out: w}
}

// terminal tells whether w is one.
func terminal(w any) bool {
	if c, ok := w.(*console); ok {
		w = c.out
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
