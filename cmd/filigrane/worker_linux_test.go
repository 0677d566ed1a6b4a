package main

import (
	"os"
	"strconv"
	"testing"

	"github.com/filigrane/filigrane/internal/registry/pgtest"
	"github.com/filigrane/filigrane/internal/store/s3test"
)

// TestWorkersShare measures how much faster two workers are than one, each with one core, on PostgreSQL and S3; what they
// deliver is the same. A machine with a core for the servers too shows most:
//
//	FILIGRANE_WORKS=1000 FILIGRANE_SPEEDUP=1.8 go test -tags nodynamic -timeout 2h -v -run WorkersShare ./cmd/filigrane
//
// FILIGRANE_SPEEDUP is what is demanded; without it nothing is, since other work on the machine decides. Without
// FILIGRANE_WORKS there are few, and nothing is to be learnt of the times.
func TestWorkersShare(t *testing.T) {
	works := fromEnv(t, "FILIGRANE_WORKS", 24)
	server := s3test.Start(t, s3test.Config{})
	masters := server.Bucket(t)
	fillWithCrops(t, masters, works)
	sh := newShell(t)
	sh.env["AWS_ACCESS_KEY_ID"], sh.env["AWS_SECRET_ACCESS_KEY"] = masters.AccessKey, string(masters.SecretKey)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "Test Bank", "--registry", pgtest.New(t))
	sh.must(0, "import", "-q", masters.String())
	sh.must(0, "concepts", "-q", "--by", "folder", "--catalogue", "spring")
	var seconds []float64
	var manifests []string
	for n := range 2 {
		place := server.Bucket(t)
		job := one[detachedJSON](t, sh.deliver(0, place.String(), "--detach", "--licence", "acme").out).Job
		sh.env["GOMAXPROCS"] = "1"
		var workers []*workerProcess
		for range n + 1 {
			workers = append(workers, sh.worker("--drain", "--jobs", "1"))
		}
		for _, w := range workers {
			if err := w.Wait(); err != nil {
				t.Fatalf("%v: %s", err, w.text())
			}
		}
		delete(sh.env, "GOMAXPROCS")
		j := sh.job(job)
		if j.State != "finished" || j.Done != int64(works) {
			t.Fatalf("%+v", j)
		}
		seconds = append(seconds, j.Ended.Sub(j.Started).Seconds())
		manifests = append(manifests, one[deliverJSON](t, sh.deliver(0, place.String(), "--licence", "acme").out).ManifestSHA256)
		t.Logf("%d workers: %.1f s, %.2f works/s", n+1, seconds[n], float64(works)/seconds[n])
	}
	if manifests[0] != manifests[1] {
		t.Error("two workers make another delivery than one")
	}
	speedup := seconds[0] / seconds[1]
	t.Logf("two workers are %.2f times as fast as one", speedup)
	if text := os.Getenv("FILIGRANE_SPEEDUP"); text != "" {
		least, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("FILIGRANE_SPEEDUP=%s: give a number", text)
		}
		if speedup < least {
			t.Errorf("%.2f times as fast, not %.2f", speedup, least)
		}
	}
}
