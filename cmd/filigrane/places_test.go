package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
)

// TestDeliveryInABucket: what is delivered to a bucket is what is delivered to a folder, can be verified and read from
// there, and no secret is kept or shown.
func TestDeliveryInABucket(t *testing.T) {
	server := s3test.Start(t, s3test.Config{})
	sh, _ := bank(t)
	opt := server.Bucket(t)
	opt.Prefix = "acme/2026"
	address := opt.String()
	sh.env["AWS_ACCESS_KEY_ID"], sh.env["AWS_SECRET_ACCESS_KEY"] = opt.AccessKey, string(opt.SecretKey)
	folder := filepath.Join(t.TempDir(), "delivery")
	flags := []string{"-c", "spring", "--licence", "acme", "--geometry", "square:256"}
	inFolder := one[deliverJSON](t, sh.must(0, append([]string{"deliver", "-o", folder}, flags...)...).out)
	inBucket := one[deliverJSON](t, sh.must(0, append([]string{"deliver", "-o", address}, flags...)...).out)
	if inBucket.ManifestSHA256 != inFolder.ManifestSHA256 || inBucket.Delivery != address {
		t.Errorf("%s: manifest %s, in a folder %s", inBucket.Delivery, inBucket.ManifestSHA256, inFolder.ManifestSHA256)
	}
	again := one[deliverJSON](t, sh.must(0, append([]string{"deliver", "-o", address}, flags...)...).out)
	if !again.AlreadyFinished {
		t.Error("made twice")
	}
	sh.must(0, "deliver", "verify", address)

	st, err := s3.Open(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	shard := inBucket.Shards[0].Name
	r, err := st.Open(context.Background(), shard)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	r.Close()
	if err != nil || !bytes.Equal(data, read(t, filepath.Join(folder, shard))) {
		t.Errorf("shard %s differs from that in the folder: %v", shard, err)
	}
	dir := t.TempDir()
	put(t, filepath.Join(dir, "shard.tar"), data)
	untar(t, filepath.Join(dir, "shard.tar"), dir)
	pictures, _ := filepath.Glob(filepath.Join(dir, "*.png"))
	if d := one[detection](t, sh.must(0, "detect", "-D", address, pictures[0]).out); d.Work == nil || d.Delivery.Dir != address {
		t.Errorf("%+v", d)
	}

	data[len(data)/2] ^= 1
	if err := st.Put(context.Background(), shard, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
		t.Fatal(err)
	}
	sh.must(1, "deliver", "verify", address)
	if strings.Contains(sh.printed.String(), string(opt.SecretKey)) {
		t.Error("the secret was printed")
	}
	kept, err := filepath.Glob(filepath.Join(sh.env["FILIGRANE_WORKSPACE"], "*"))
	if err != nil || len(kept) < 4 {
		t.Fatalf("%q, %v", kept, err)
	}
	for _, name := range kept {
		if bytes.Contains(read(t, name), []byte(opt.SecretKey)) {
			t.Errorf("the secret was kept in %s", name)
		}
	}
}

// TestBucketAddresses: what is missing or wrong is said, and is the caller's to mend.
func TestBucketAddresses(t *testing.T) {
	server := s3test.Start(t, s3test.Config{})
	opt := server.Bucket(t)
	sh, _ := bank(t)
	deliver := func(where string) outcome {
		return sh.must(2, "deliver", "-c", "spring", "--licence", "acme", "--geometry", "square:256", "-o", where)
	}
	address := opt.String()
	if o := deliver(address); !strings.Contains(o.err, opt.Bucket) {
		t.Errorf("without credentials: %s", o.err)
	}
	sh.env["AWS_ACCESS_KEY_ID"] = opt.AccessKey
	if o := deliver(address); !strings.Contains(o.err, "belong together") {
		t.Errorf("half of the credentials: %s", o.err)
	}
	sh.env["AWS_SECRET_ACCESS_KEY"] = "wrong"
	if o := deliver(address); !strings.Contains(o.err, opt.Bucket) || strings.Contains(o.err, "wrong") {
		t.Errorf("a wrong secret: %s", o.err)
	}
	sh.env["AWS_SECRET_ACCESS_KEY"] = string(opt.SecretKey)
	for _, where := range []string{"s3://", "s3://user:pass@bucket/x", "s3://" + opt.Bucket + "?endpoint=nonsense://x", "s3://" + opt.Bucket + "?colour=red", strings.Replace(address, opt.Bucket, "no-such-bucket", 1)} {
		if o := deliver(where); strings.Contains(o.err, "pass@") || len(o.err) < 20 {
			t.Errorf("%s: %s", where, o.err)
		}
	}
	sh.env["AWS_CA_BUNDLE"] = filepath.Join(t.TempDir(), "none.pem")
	if o := deliver(address); !strings.Contains(o.err, "AWS_CA_BUNDLE") {
		t.Errorf("%s", o.err)
	}
}

// TestBucketIsAway: a workspace whose delivery lies in a bucket that does not answer still names works, by its own catalogue.
func TestBucketIsAway(t *testing.T) {
	server := s3test.Start(t, s3test.Config{})
	sh, _ := bank(t)
	opt := server.Bucket(t)
	sh.env["AWS_ACCESS_KEY_ID"], sh.env["AWS_SECRET_ACCESS_KEY"] = opt.AccessKey, string(opt.SecretKey)
	rep := one[deliverJSON](t, sh.must(0, "deliver", "-c", "spring", "--licence", "acme", "--geometry", "square:256", "-o", opt.String()).out)
	st, err := s3.Open(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	dir := t.TempDir()
	shard, err := store.ReadAll(context.Background(), st, rep.Shards[0].Name, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "shard.tar"), shard)
	untar(t, filepath.Join(dir, "shard.tar"), dir)
	pictures, _ := filepath.Glob(filepath.Join(dir, "*.png"))

	host := strings.ReplaceAll(strings.TrimPrefix(opt.Endpoint, "http://"), ":", "%3A")
	moved, err := openRecords(t, sh).reg.SQL().Exec("UPDATE markings SET place = replace(place, ?, '127.0.0.1%3A9') WHERE place LIKE '%' || ? || '%'", host, host)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := moved.RowsAffected(); n != 1 {
		t.Fatalf("%d markings in %s, %v", n, host, err)
	}
	o := sh.must(0, "detect", pictures[0])
	if d := one[detection](t, o.out); d.Work == nil || d.Work.Path == "" || !strings.Contains(o.err, "names come from the workspace") {
		t.Errorf("%+v\n%s", d.Work, o.err)
	}
}

// TestKilledInABucket: a delivery into a bucket that was killed, as often as FILIGRANE_KILLS says (once, since each lock lasts half
// a minute), is finished by the next run, to the bytes of an undisturbed one.
func TestKilledInABucket(t *testing.T) {
	server := s3test.Start(t, s3test.Config{})
	sh, _ := bank(t)
	opt := server.Bucket(t)
	sh.env["AWS_ACCESS_KEY_ID"], sh.env["AWS_SECRET_ACCESS_KEY"] = opt.AccessKey, string(opt.SecretKey)
	flags := []string{"deliver", "-c", "spring", "--licence", "acme", "--geometry", "square:1024", "--date", "2026-11-23"}
	folder := filepath.Join(t.TempDir(), "delivery")
	start := time.Now()
	whole := one[deliverJSON](t, sh.must(0, append(flags, "-o", folder)...).out)
	span := time.Since(start)
	kills := 1
	if text := os.Getenv("FILIGRANE_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, uint64(kills)))
	for range kills {
		killDelivery(t, sh, opt, append(slices.Clone(flags), "-o", opt.String(), "--wait", "1m"), time.Duration(0.8*rng.Float64()*float64(span)))
	}
	rep := one[deliverJSON](t, sh.must(0, append(flags, "-o", opt.String(), "--wait", "1m")...).out)
	if rep.ManifestSHA256 != whole.ManifestSHA256 {
		t.Errorf("manifest %s, undisturbed %s", rep.ManifestSHA256, whole.ManifestSHA256)
	}
	compare(t, opt, folder)
}

// killDelivery starts the program and kills it some time after it has taken the bucket's lock.
func killDelivery(t *testing.T, sh *shell, opt s3.Options, args []string, after time.Duration) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	for k, v := range sh.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	st, err := s3.Open(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for free := false; !free; time.Sleep(100 * time.Millisecond) { // the lock of the one killed before
		release, err := st.Lock(context.Background(), delivery.LockName)
		if free = err == nil; free {
			release()
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for busy := false; !busy; {
		release, err := st.Lock(context.Background(), delivery.LockName)
		if busy = errors.Is(err, store.ErrLocked); err == nil {
			release()
			time.Sleep(20 * time.Millisecond)
		}
	}
	time.Sleep(after)
	cmd.Process.Kill()
	if err := <-ended; err == nil {
		t.Log("it was finished before it could be killed")
	}
}

// compare demands the same files in a bucket and in a folder.
func compare(t *testing.T, opt s3.Options, folder string) {
	t.Helper()
	st, err := s3.Open(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	keys, err := store.Keys(context.Background(), st, "")
	if err != nil {
		t.Fatal(err)
	}
	names, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, n := range names {
		if !strings.HasPrefix(n.Name(), ".") {
			want = append(want, n.Name())
		}
	}
	if slices.Sort(want); !slices.Equal(keys, want) {
		t.Fatalf("in the bucket %q, in the folder %q", keys, want)
	}
	for _, key := range keys {
		data, err := store.ReadAll(context.Background(), st, key, 1<<30)
		if err != nil || !bytes.Equal(data, read(t, filepath.Join(folder, key))) {
			t.Errorf("%s differs: %v", key, err)
		}
	}
}
