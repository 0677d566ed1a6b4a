package jobs

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/store/faults"
	"github.com/filigrane/filigrane/internal/store/s3test"
)

// kills is how many processes a test kills: FILIGRANE_KILLS, or few.
func kills(t testing.TB) int {
	text := os.Getenv("FILIGRANE_KILLS")
	if text == "" {
		return 4
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("FILIGRANE_KILLS=%q: give a number", text)
	}
	return n
}

// random draws from a seed that is printed.
func random(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// killing runs deliveries one after the other until so many of their workers were killed, and compares each with an
// undisturbed one. place gives where a delivery goes and where its files lie.
func killing(t *testing.T, f *fixture, timing Timing, place func(id string) (place, folder string)) {
	t.Helper()
	r, n, deaths, most := random(t), 0, 0, kills(t)
	for d := 1; n < most; d++ {
		id := fmt.Sprintf("d%d", d)
		where, folder := place(id)
		f.deliver(t, f.queue(t), id, where)
		over := func() bool { return f.job(t, id).State == registry.JobFinished }
		for n < most && !over() {
			p := f.spawn(t, id, func(e *errand) { e.Timing = timing })
			select {
			case <-p.ended:
			case <-time.After(100*time.Millisecond + time.Duration(r.Int64N(int64(900*time.Millisecond)))):
				n++
			}
			p.Process.Kill()
			<-p.ended
		}
		p := f.spawn(t, id, func(e *errand) { e.Timing = timing })
		until(t, "finished", 60*time.Second, over)
		<-p.ended
		expectSame(t, contents(t, folder), f.want(t))
		if deaths += f.job(t, id).Deaths; deaths == 0 && n == most && n < 5*kills(t) {
			most += kills(t) // by chance none of them was at work
		}
	}
	if deaths == 0 {
		t.Errorf("%d processes were killed, and none of them over a part", n)
	}
	t.Logf("%d processes killed, %d of them over a part", n, deaths)
}

// TestKilled kills the only worker at random moments, on either database: started again it goes on at once, without
// waiting for the dead, and the delivery is that of an undisturbed run.
func TestKilled(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.Slow = 60 * time.Millisecond
		// Silence alone would take for ever to make it dead.
		killing(t, f, Timing{time.Second, time.Minute, time.Hour}, func(id string) (string, string) {
			p := filepath.Join(t.TempDir(), id)
			return p, p
		})
	})
}

// onS3 gives a fixture on PostgreSQL that delivers to a bucket, through a proxy that lets a share of requests go wrong.
func onS3(t *testing.T, rate float64) (f *fixture, proxy *faults.Proxy, folder func(prefix string) string) {
	t.Helper()
	server := s3test.Start(t, s3test.Config{})
	f = newFixture(t, drivers[1].place(t))
	opt := server.Bucket(t)
	if rate > 0 {
		var err error
		proxy, err = faults.New(server.Endpoint, 7, rate)
		must(t, err)
		front := httptest.NewServer(proxy)
		t.Cleanup(front.Close)
		opt.Endpoint = front.URL
	}
	f.Endpoint, f.Name = opt.Endpoint, opt.Bucket
	return f, proxy, func(prefix string) string { return filepath.Join(server.Folder, opt.Bucket, prefix) }
}

// TestTwoWorkers: two processes share deliveries on PostgreSQL and S3; one of them is killed again and again.
func TestTwoWorkers(t *testing.T) {
	f, _, folder := onS3(t, 0)
	f.Slow = 100 * time.Millisecond
	survivor := f.spawn(t, "")
	killing(t, f, quick, func(id string) (string, string) { return "s3:" + id, folder(id) })
	if !strings.Contains(survivor.text(), "part done") {
		t.Error("the other worker has done nothing")
	}
}

// TestStopped: a worker that is stopped until it is declared dead, and goes on after the delivery was finished, writes
// nothing twice, leaves nothing behind once it is swept, and then works on under another name.
func TestStopped(t *testing.T) {
	f, _, folder := onS3(t, 0)
	f.Slow = 150 * time.Millisecond
	q := f.queue(t)
	f.deliver(t, q, "d1", "s3:d1")
	target, err := url.Parse(f.Endpoint)
	must(t, err)
	var wrote atomic.Int64 // changes that the zombie asked the bucket for
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		if r.In.Method != http.MethodGet && r.In.Method != http.MethodHead {
			wrote.Add(1)
		}
		r.SetURL(target) // the host too is that of what was signed
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(front.Close)
	zombie := f.spawn(t, "", func(e *errand) { e.World.Endpoint = front.URL })
	until(t, "it has stopped over a part", 10*time.Second, func() bool {
		if f.job(t, "d1").Stage != stagePart {
			return false
		}
		must(t, zombie.Process.Signal(syscall.SIGSTOP))
		time.Sleep(20 * time.Millisecond) // what it had sent the registry has arrived
		l, err := f.reg.JobParts(ctx, bank, "d1", registry.PartRunning, registry.Page{})
		must(t, err)
		if len(l.Items) > 0 {
			return true
		}
		must(t, zombie.Process.Signal(syscall.SIGCONT))
		return false
	})
	_, err = q.WorkUntil(ctx, bank, "d1", nil)
	must(t, err)
	j := f.job(t, "d1")
	if j.Deaths == 0 || j.Lost == 0 {
		t.Fatalf("nobody died over a part: %d deaths, %d lost", j.Deaths, j.Lost)
	}
	before := wrote.Load()
	if before == 0 {
		t.Error("it wrote nothing while it was alive: what it writes is not counted")
	}
	must(t, zombie.Process.Signal(syscall.SIGCONT))
	until(t, "it noticed", 10*time.Second, func() bool { return strings.Contains(zombie.text(), "going on under another name") })
	if n := wrote.Load() - before; n > 0 { // the sweep is not due yet
		t.Errorf("buried, it asked the bucket for %d changes", n)
	}
	// It works on the sweep itself, or this process does.
	must(t, q.Drain(ctx))
	expectSame(t, contents(t, folder("d1")), f.want(t))
	f.deliver(t, q, "d2", "s3:d2")
	until(t, "another delivery", 20*time.Second, func() bool { return f.job(t, "d2").State == registry.JobFinished })
	expectSame(t, contents(t, folder("d2")), f.want(t))
	must(t, zombie.Process.Signal(syscall.SIGTERM))
}

// TestFaults: one request in twenty goes wrong, in every way the proxy knows, and the delivery is what it should be.
func TestFaults(t *testing.T) {
	f, proxy, folder := onS3(t, 0.05)
	q := f.queue(t)
	f.deliver(t, q, "d1", "s3:d1")
	_, err := q.WorkUntil(ctx, bank, "d1", nil)
	must(t, err)
	expectSame(t, contents(t, folder("d1")), f.want(t))
	t.Log(proxy)
}
