package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progress shows how far a long step is, on standard error: a bar on a terminal once it takes more than a
// second, else a line every five seconds, and nothing with --quiet.
type progress struct {
	label   string
	total   int64
	current atomic.Int64
	stop    chan struct{}
	wait    sync.WaitGroup
}

// Times of a progress display.
const (
	barAfter  = time.Second
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
)

// progress begins a display of total steps. Call done at the end.
func (s *session) progress(label string, total int) *progress {
	p := &progress{label: label, total: int64(total), stop: make(chan struct{})}
	if s.Quiet || total <= 0 {
		return p
	}
	p.wait.Add(1)
	go func() {
		defer p.wait.Done()
		if terminal(s.stderr) {
			p.bar(s)
		} else {
			p.lines(s)
		}
	}()
	return p
}

// add counts n steps as done.
func (p *progress) add(n int) { p.current.Add(int64(n)) }

// set says how many steps are done.
func (p *progress) set(n int) { p.current.Store(int64(n)) }

// done ends the display.
func (p *progress) done() {
	close(p.stop)
	p.wait.Wait()
}

func (p *progress) bar(s *session) {
	select {
	case <-p.stop:
		return
	case <-time.After(barAfter):
	}
	all := mpb.New(mpb.WithOutput(s.stderr.out), mpb.WithWidth(40))
	bar := all.AddBar(p.total, mpb.PrependDecorators(decor.Name(p.label+" "), decor.CountersNoUnit("%d / %d ")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.Elapsed(decor.ET_STYLE_MMSS)))
	s.stderr.above(all)
	tick := time.NewTicker(barEvery)
	defer tick.Stop()
	for running := true; running; {
		select {
		case <-p.stop:
			running = false
		case <-tick.C:
		}
		bar.SetCurrent(p.current.Load())
	}
	s.stderr.above(nil)
	bar.Abort(false) // without effect on a full bar
	all.Wait()
}

func (p *progress) lines(s *session) {
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			fmt.Fprintf(s.stderr, "filigrane: %s: %d of %d\n", p.label, p.current.Load(), p.total)
		}
	}
}
