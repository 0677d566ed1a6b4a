package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

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
	if strings.Contains(string(read(t, filepath.Join(sh.env["FILIGRANE_WORKSPACE"], "deliveries.json"))), string(opt.SecretKey)) {
		t.Error("the secret was kept")
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

	known := filepath.Join(sh.env["FILIGRANE_WORKSPACE"], "deliveries.json")
	host := strings.TrimPrefix(opt.Endpoint, "http://")
	away := strings.ReplaceAll(string(read(t, known)), strings.ReplaceAll(host, ":", "%3A"), "127.0.0.1%3A9")
	if away == string(read(t, known)) {
		t.Fatalf("no %s in %s", host, away)
	}
	put(t, known, []byte(away))
	o := sh.must(0, "detect", pictures[0])
	if d := one[detection](t, o.out); d.Work == nil || d.Work.Path == "" || !strings.Contains(o.err, "names come from the workspace") {
		t.Errorf("%+v\n%s", d.Work, o.err)
	}
}
