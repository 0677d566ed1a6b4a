package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/registry/pgtest"
)

// workerProcess is "filigrane worker" in a process of its own.
type workerProcess struct {
	*exec.Cmd
	mu   sync.Mutex
	said bytes.Buffer
}

func (w *workerProcess) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(p)
}

func (w *workerProcess) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.String()
}

// worker starts a worker, which the end of the test kills if it is still there.
func (sh *shell) worker(args ...string) *workerProcess {
	sh.t.Helper()
	w := &workerProcess{Cmd: exec.Command(os.Args[0], append([]string{"worker"}, args...)...)}
	w.Env = append(os.Environ(), asProgram+"=1")
	for k, v := range sh.env {
		w.Env = append(w.Env, k+"="+v)
	}
	w.Stderr = w
	if err := w.Start(); err != nil {
		sh.t.Fatal(err)
	}
	sh.t.Cleanup(func() {
		w.Process.Kill()
		w.Wait()
	})
	return w
}

func (sh *shell) job(id string) jobJSON {
	sh.t.Helper()
	return one[jobJSON](sh.t, sh.must(0, "jobs", "show", id).out)
}

// waitFor waits for something.
func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// TestDetached leaves a delivery to workers: one is killed, the next one goes on at once and ends when it is told to, and
// the delivery is, byte for byte but for the day of its papers, the one made in the foreground.
func TestDetached(t *testing.T) {
	sh, _ := bank(t)
	here, there := filepath.Join(t.TempDir(), "here"), filepath.Join(t.TempDir(), "there")
	want := one[deliverJSON](t, sh.deliver(0, here).out)
	left := one[detachedJSON](t, sh.deliver(0, there, "--detach").out)
	if left.State != "planned" || left.Job != left.ID {
		t.Fatalf("%+v", left)
	}
	if again := one[detachedJSON](t, sh.deliver(0, there, "--detach").out); again.Job != left.Job {
		t.Fatalf("asked for again it is another job: %+v", again)
	}
	first := sh.worker()
	waitFor(t, "a worker has begun", func() bool { return sh.job(left.Job).State == "running" })
	first.Process.Kill()
	first.Wait()
	second := sh.worker("--log", "text", "--jobs", "2")
	waitFor(t, "finished", func() bool { return sh.job(left.Job).State == "finished" })
	if err := second.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil || !strings.Contains(second.text(), `msg="worker ends"`) {
		t.Errorf("%v: %s", err, second.text())
	}
	got := one[deliverJSON](t, sh.deliver(0, there).out)
	if !got.AlreadyFinished || got.ManifestSHA256 != want.ManifestSHA256 || got.Receipt != want.Receipt {
		t.Errorf("%+v, want %+v", got, want)
	}
	sh.must(0, "deliver", "verify", there)
	if lines := parseAll[jobJSON](t, sh.must(0, "jobs", "list", "--state", "finished").out); len(lines) != 2 || lines[0].Done != 4 || lines[1].Place != there {
		t.Errorf("%+v", lines)
	}
	sh.must(0, "jobs", "watch", left.Job)
}

// TestJobVerbs pauses, resumes and cancels a job on PostgreSQL that no worker has taken up, and one that a worker failed.
func TestJobVerbs(t *testing.T) {
	sh := newShell(t)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B", "--registry", pgtest.New(t))
	masters := copyPhotos(t, few...)
	sh.must(0, "import", masters)
	sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring")
	place := filepath.Join(t.TempDir(), "place")
	left := one[detachedJSON](t, sh.deliver(0, place, "--detach").out)
	for args, says := range map[string]string{"pause": "cannot become paused", "resume": "not paused", "retry": "not failed"} {
		if o := sh.must(2, "jobs", args, left.Job); !strings.Contains(o.err, says) {
			t.Errorf("%s: %s", args, o.err)
		}
	}
	// The place is emptied, and somebody else puts something there.
	put(t, filepath.Join(place, "letters.txt"), []byte("dear"))
	if err := os.Remove(filepath.Join(place, "job.json")); err != nil {
		t.Fatal(err)
	}
	sh.must(0, "worker", "--drain", "--quiet")
	if j := sh.job(left.Job); j.State != "failed" || !strings.Contains(j.Why, "letters.txt") {
		t.Fatalf("%+v", j)
	}
	if o := sh.must(2, "jobs", "watch", left.Job); !strings.Contains(o.err, "letters.txt") {
		t.Error(o.err)
	}
	if err := os.Remove(filepath.Join(place, "letters.txt")); err != nil {
		t.Fatal(err)
	}
	if j := one[jobJSON](t, sh.must(0, "jobs", "retry", left.Job).out); j.State != "running" {
		t.Errorf("%+v", j)
	}
	if j := one[jobJSON](t, sh.must(0, "jobs", "pause", left.Job, "--why", "the archive is moved").out); j.State != "paused" || j.Why != "the archive is moved" {
		t.Errorf("%+v", j)
	}
	sh.must(0, "worker", "--drain", "--quiet")
	if j := sh.job(left.Job); j.State != "paused" || j.Done != 0 {
		t.Errorf("%+v", j)
	}
	sh.must(0, "jobs", "resume", left.Job)
	sh.must(0, "jobs", "cancel", left.Job)
	sh.must(0, "worker", "--drain", "--quiet")
	if entries, err := os.ReadDir(place); err != nil || len(entries) > 1 { // the folder of locks may stay
		t.Errorf("a cancelled delivery left %v, %v", entries, err)
	}
	// Asked for again it is another delivery, in the same place.
	o := sh.deliver(0, place)
	if d := one[deliverJSON](t, o.out); d.ID != left.ID+"-2" || !strings.Contains(o.err, "was cancelled") {
		t.Errorf("%+v: %s", d, o.err)
	}
	sh.must(0, "deliver", "verify", place)
	sh.must(2, "jobs", "show", "nobody's")
	sh.must(2, "jobs", "list", "--state", "tired")
	sh.must(2, "worker", "--kinds", "tea")
}

// TestAskedOtherwise: a delivery that waits, and is asked for again with other papers, is made as it was asked for last.
func TestAskedOtherwise(t *testing.T) {
	sh, _ := bank(t)
	place := filepath.Join(t.TempDir(), "place")
	first := one[detachedJSON](t, sh.deliver(0, place, "--detach", "--licence-url", "https://bank.example/one").out)
	if o := sh.deliver(2, place, "--licence-url", "bank.example/two"); !strings.Contains(o.err, "scheme") {
		t.Error(o.err)
	}
	if j := sh.job(first.Job); j.State != "planned" {
		t.Errorf("%+v", j)
	}
	second := one[detachedJSON](t, sh.deliver(0, place, "--detach", "--licence-url", "https://bank.example/two").out)
	if second.ID != first.ID || second.Job == first.Job {
		t.Errorf("%+v, then %+v", first, second)
	}
	if j := sh.job(first.Job); j.State != "cancelled" || !strings.Contains(j.Why, second.Job) {
		t.Errorf("%+v", j)
	}
	sh.must(0, "worker", "--drain", "--quiet")
	if j := sh.job(second.Job); j.State != "finished" {
		t.Errorf("%+v", j)
	}
	if text := string(read(t, filepath.Join(place, "croissant.json"))); !strings.Contains(text, "https://bank.example/two") {
		t.Error("the papers are those asked for first")
	}
	if again := one[deliverJSON](t, sh.deliver(0, place, "--licence-url", "https://bank.example/two").out); !again.AlreadyFinished {
		t.Errorf("%+v", again)
	}
}

// TestDetachedImport: an import by a worker puts into the registry what the verb does.
func TestDetachedImport(t *testing.T) {
	masters := copyPhotos(t, few...)
	var worksOf []string
	for _, detached := range []bool{false, true} {
		sh := newShell(t)
		sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "Test Bank")
		args := []string{"import", masters, "--csv", filepath.Join(photos, "metadata.csv")}
		if detached {
			left := one[detachedJSON](t, sh.must(0, append(args, "--detach")...).out)
			sh.must(0, "worker", "--drain", "--quiet")
			if j := sh.job(left.Job); j.State != "finished" || j.Done != 4 || j.Place != masters {
				t.Errorf("%+v", j)
			}
		} else {
			sh.must(0, args...)
		}
		got := sh.must(0, "works", "search", "mountains").out + sh.must(0, "todos").out
		worksOf = append(worksOf, regexp.MustCompile(`"20\d\d-[^"]*Z"`).ReplaceAllString(got, `"a time"`))
	}
	if worksOf[0] != worksOf[1] {
		t.Errorf("by the verb:\n%s\nby a worker:\n%s", worksOf[0], worksOf[1])
	}
	sh := newShell(t)
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "Test Bank")
	empty := t.TempDir()
	left := one[detachedJSON](t, sh.must(0, "import", empty, "--detach").out)
	sh.must(0, "worker", "--drain", "--quiet")
	if j := sh.job(left.Job); j.State != "failed" || j.Why == "" {
		t.Errorf("an import of nothing: %+v", j)
	}
}

// TestReservedMeanwhile: what is reserved after a delivery was left to workers is not delivered, and no flag takes what the
// bank's own table reserves.
func TestReservedMeanwhile(t *testing.T) {
	sh, masters := bank(t)
	place := filepath.Join(t.TempDir(), "place")
	left := one[detachedJSON](t, sh.deliver(0, place, "--detach").out)
	csv := filepath.Join(t.TempDir(), "table.csv")
	put(t, csv, []byte("file,data_mining\nsky/kite.jpg,DMI-PROHIBITED-AIMLTRAINING\n"))
	sh.must(0, "import", masters, "--csv", csv)
	sh.must(0, "worker", "--drain", "--quiet")
	if j := sh.job(left.Job); j.State != "failed" || !strings.Contains(j.Why, "1 works of spring@1 are reserved by now, sky/kite.jpg the first") {
		t.Fatalf("%+v", j)
	}
	f := one[freezeJSON](t, sh.must(0, "concepts", "--by", "folder", "--catalogue", "spring", "--include-reserved").out)
	if f.Works != 3 || len(f.Reserved) != 1 {
		t.Errorf("%+v", f)
	}
	if o := sh.must(2, "jobs", "retry", left.Job); !strings.Contains(o.err, "reserved by now") {
		t.Error(o.err)
	}
}

// TestDiskAway: a place that is not there is not made by a worker, and masters on a disk that is not mounted are said so.
func TestDiskAway(t *testing.T) {
	where := filepath.Join(t.TempDir(), "place")
	if _, err := (opener{&session{ctx: t.Context()}}).Store(t.Context(), where); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "mounted") {
		t.Error(err)
	}
	if _, err := os.Stat(where); err == nil {
		t.Error("it was made")
	}
	for _, folder := range []string{where, t.TempDir()} {
		if _, err := (&session{}).mastersAt(folder); err == nil || !strings.Contains(err.Error(), "mounted") {
			t.Errorf("%s: %v", folder, err)
		}
	}
}
