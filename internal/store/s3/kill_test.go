package s3_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
)

// childEnv makes the test binary a process that writes until it is killed.
const childEnv = "FILIGRANE_S3_CHILD"

type childTask struct {
	Bucket, Endpoint string
	Seed             uint64
}

func (c childTask) options() s3.Options {
	return s3.Options{Bucket: c.Bucket, Endpoint: c.Endpoint, Region: s3test.Region, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey, PartSize: 5 << 20, Lease: time.Second}
}

// child takes the lock and puts small and large objects, over and over.
func child() {
	var task childTask
	err := json.Unmarshal([]byte(os.Getenv(childEnv)), &task)
	if err == nil {
		err = task.write()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func (c childTask) write() error {
	s, err := s3.Open(ctx, c.options())
	if err != nil {
		return err
	}
	if _, err := s.Lock(ctx, "job"); err != nil {
		return err
	}
	fmt.Println("locked")
	for i := c.Seed; ; i++ {
		for key, size := range map[string]int{"small": 70_000, "large": 12 << 20, fmt.Sprintf("new/%d", i): 3000} {
			if err := store.PutBytes(ctx, s, key, version(i, size)); err != nil {
				return err
			}
		}
	}
}

// TestKill: a process is killed at random moments. Whatever is there is whole, its lock can be taken when the lease is
// over, and its uploads are swept.
func TestKill(t *testing.T) {
	t.Parallel()
	opt := options(t)
	task := childTask{Bucket: opt.Bucket, Endpoint: opt.Endpoint}
	s := open(t, task.options())
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const seed, kills = 1, 8
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	left := 0
	for i := range uint64(kills) {
		task.Seed = i * 1000
		text, err := json.Marshal(task)
		if err != nil {
			t.Fatal(err)
		}
		kill(t, binary, string(text), time.Duration(50+random.IntN(400))*time.Millisecond)
		left = max(left, len(uploads(t, opt)))
		err = s.Each(ctx, "", "", func(o store.Object) error {
			data, err := store.ReadAll(ctx, s, o.Key, 1<<30)
			if err != nil {
				return err
			}
			return whole(data)
		})
		if err != nil {
			t.Fatalf("kill %d: %v", i, err)
		}
		waitForLock(t, s)
	}
	t.Logf("up to %d unfinished uploads were left by %d kills", left, kills)
	opt.Now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	if n, err := open(t, opt).Sweep(ctx, 24*time.Hour); err != nil || len(uploads(t, opt)) != 0 {
		t.Errorf("swept %d, left %q, %v", n, uploads(t, opt), err)
	}
}

// kill runs the child, and kills it that long after it has the lock.
func kill(t *testing.T, binary, task string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), childEnv+"="+task)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Errorf("the child ended: %v", err)
	}
	time.Sleep(after)
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

func waitForLock(t *testing.T, s *s3.Store) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		release, err := s.Lock(ctx, "job")
		if err == nil {
			if err := release(); err != nil {
				t.Error(err)
			}
			return
		}
		if !errors.Is(err, store.ErrLocked) || time.Since(began) > 20*time.Second {
			t.Fatal(err)
		}
	}
}
