package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
	"github.com/filigrane/filigrane/internal/store/storetest"
)

// TestVirtualHostAndTLS: buckets in host names, over https. No resolver knows the names, so dialling is replaced.
func TestVirtualHostAndTLS(t *testing.T) {
	server(t) // skips where there is none
	for _, secure := range []bool{false, true} {
		srv := s3test.Start(t, s3test.Config{TLS: secure, Domain: "s3.test"})
		opt := srv.Bucket(t)
		path := opt.Bucket
		_, port, err := net.SplitHostPort(srv.Address)
		if err != nil {
			t.Fatal(err)
		}
		scheme := "http"
		if secure {
			scheme = "https"
		}
		opt.Endpoint, opt.Style, opt.PartSize = scheme+"://s3.test:"+port, s3.StyleVirtual, 5<<20
		var dialled []string
		opt.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return (&net.Dialer{}).DialContext(ctx, network, srv.Address)
		}
		s := open(t, opt)
		data := storetest.Bytes(3, 6<<20)
		if err := store.PutBytes(ctx, s, "a/key", data); err != nil {
			t.Fatal(err)
		}
		if got, err := store.ReadAll(ctx, s, "a/key", 1<<30); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if want := path + ".s3.test:" + port; len(dialled) == 0 || dialled[0] != want {
			t.Errorf("dialled %q, want %s", dialled, want)
		}
		if !secure {
			continue
		}
		opt.RootCAs = nil
		began := time.Now()
		if _, err := s3.Open(ctx, opt); err == nil || !strings.Contains(err.Error(), "certificate") || time.Since(began) > 5*time.Second {
			t.Errorf("a server that nobody vouches for: %v", err)
		}
	}
}

// TestPresigned: the URLs work without credentials, for their time.
func TestPresigned(t *testing.T) {
	t.Parallel()
	s := open(t, options(t))
	put, err := s.PresignPut(ctx, "a/key", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	get, err := s.PresignGet(ctx, "a/key", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPut, put, strings.NewReader("by URL"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*http.Request{request, httptest.NewRequest(http.MethodGet, get, nil)} {
		r.RequestURI = ""
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || r.Method == http.MethodGet && string(text) != "by URL" {
			t.Errorf("%s: %s %q %v", r.Method, answer.Status, text, err)
		}
	}
	time.Sleep(2100 * time.Millisecond)
	answer, err := http.Get(get)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("after its time: %s", answer.Status)
	}
	for _, expiry := range []time.Duration{0, 8 * 24 * time.Hour} {
		if _, err := s.PresignGet(ctx, "a/key", expiry); err == nil {
			t.Errorf("%s was signed", expiry)
		}
	}
	if _, err := s.PresignGet(ctx, "../x", time.Minute); !errors.Is(err, store.ErrKey) {
		t.Errorf("got %v", err)
	}
}

// TestErrorsSayWhatToDo: what is wrong with the account or the bucket is said at once, without repeating the request.
func TestErrorsSayWhatToDo(t *testing.T) {
	good := options(t)
	for want, change := range map[string]func(*s3.Options){
		"no bucket absent":     func(o *s3.Options) { o.Bucket = "absent" },
		"check the access key": func(o *s3.Options) { o.SecretKey = "hunter2-wrong" },
		"the server refuses":   func(o *s3.Options) { o.AccessKey, o.SecretKey = "", "" },
	} {
		opt := good
		change(&opt)
		opt.Sleep = func(context.Context, time.Duration) error { t.Error("repeated"); return nil }
		if _, err := s3.Open(ctx, opt); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// uploads gives the unfinished uploads in a bucket.
func uploads(t *testing.T, opt s3.Options) []string {
	t.Helper()
	var keys []string
	for u := range server(t).Client(t).ListIncompleteUploads(ctx, opt.Bucket, "", true) {
		if u.Err != nil {
			t.Fatal(u.Err)
		}
		keys = append(keys, u.Key)
	}
	return keys
}

// TestUploadsAreInvisibleAndLeaveNothing: an object that comes in parts is not there before its end, failed ones are aborted,
// those of killed processes are swept when they are old, and those that live are not.
func TestUploadsAreInvisibleAndLeaveNothing(t *testing.T) {
	opt := options(t)
	opt.Prefix = "p"
	s, other := open(t, opt), open(t, opt)
	data := storetest.Bytes(4, 12<<20)
	see := func() {
		t.Helper()
		if keys, err := other.List(ctx, ""); err != nil || len(keys) != 0 {
			t.Errorf("listed %q, %v", keys, err)
		}
		if _, err := other.Open(ctx, "key"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("opened: %v", err)
		}
	}
	why := errors.New("why")
	err := s.Put(ctx, "key", func(w io.Writer) error {
		_, err := w.Write(data)
		see()
		if n := len(uploads(t, opt)); err != nil || n != 1 {
			t.Errorf("%d uploads, %v", n, err)
		}
		return why
	})
	if !errors.Is(err, why) {
		t.Fatal(err)
	}
	see()
	if left := uploads(t, opt); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	stopped, cancel := context.WithCancel(ctx)
	err = s.Put(stopped, "key", func(w io.Writer) error {
		_, err := w.Write(data)
		cancel()
		return err
	})
	if !errors.Is(err, context.Canceled) || len(uploads(t, opt)) != 0 {
		t.Errorf("cancelled: %v, left %q", err, uploads(t, opt))
	}
	// What a killed process leaves.
	if _, err := (minio.Core{Client: server(t).Client(t)}).NewMultipartUpload(ctx, opt.Bucket, "p/key", minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	lockOnce(t, s)
	if n := len(uploads(t, opt)); n != 1 {
		t.Errorf("a young upload was swept: %d", n)
	}
	opt.Now = func() time.Time { return time.Now().Add(25 * time.Hour) }
	lockOnce(t, open(t, opt))
	if left := uploads(t, opt); len(left) != 0 {
		t.Errorf("an old upload was not swept: %q", left)
	}
	see()
}

func lockOnce(t *testing.T, s *s3.Store) {
	t.Helper()
	release, err := s.Lock(ctx, "job")
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

// TestManyParts: sizes around the borders of parts, all verified on reading.
func TestManyParts(t *testing.T) {
	opt := options(t)
	s := open(t, opt)
	part := int(opt.PartSize)
	for i, size := range []int{0, 1, 256 << 10, 256<<10 + 1, part - 1, part, part + 1, 2 * part, 2*part + 1, 5*part + 7} {
		data := storetest.Bytes(uint64(i), size)
		if err := store.PutBytes(ctx, s, "key", data); err != nil {
			t.Fatal(size, err)
		}
		if got, err := store.ReadAll(ctx, s, "key", 1<<30); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d: got %d bytes, %v", size, len(got), err)
		}
	}
}

// TestChangedBytesAreFound: somebody changes an object behind the server's back, which keeps its sum: reading fails at
// the end, for objects in one and in several parts.
func TestChangedBytesAreFound(t *testing.T) {
	opt := options(t)
	opt.Sleep = hurried
	s := open(t, opt)
	for _, size := range []int{1000, 3 << 20, 12 << 20} {
		if err := store.PutBytes(ctx, s, "key", storetest.Bytes(5, size)); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(server(t).Folder, opt.Bucket, "key"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("changed"), int64(size)/2); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if _, err := store.ReadAll(ctx, s, "key", 1<<30); err == nil || !strings.Contains(err.Error(), "SHA-256") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestLinksInTheServersFolder: cyclic links under a gateway are its matter; the walk ends and what it shows opens or is refused.
func TestLinksInTheServersFolder(t *testing.T) {
	opt := options(t)
	opt.Sleep = hurried
	folder := filepath.Join(server(t).Folder, opt.Bucket)
	for _, err := range []error{
		os.Mkdir(filepath.Join(folder, "a"), 0o777),
		os.WriteFile(filepath.Join(folder, "a", "good.jpg"), []byte("good"), 0o666),
		os.Symlink("..", filepath.Join(folder, "a", "cycle")),
		os.Symlink("loop", filepath.Join(folder, "loop")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := s3.OpenBucket(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var keys []string
	if err := b.Each(ctx, "", "", func(o store.Object) error { keys = append(keys, o.Key); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(keys, "a/good.jpg") || len(keys) > 4 {
		t.Errorf("got %q", keys)
	}
	for _, key := range keys {
		r, err := b.Open(ctx, key)
		t.Logf("%q: %v", key, err)
		if err == nil {
			r.Close()
		}
	}
}

// hostileListing answers as a server may that somebody else runs.
func hostileListing(t *testing.T, keys ...string) *s3.Bucket {
	t.Helper()
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Query().Get("list-type") != "2" {
			return
		}
		var page strings.Builder
		page.WriteString(`<ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated>`)
		for _, key := range keys {
			if after := r.URL.Query().Get("start-after"); key > after {
				key = strings.NewReplacer("&", "&amp;", "<", "&lt;", "\n", "&#10;").Replace(key)
				fmt.Fprintf(&page, `<Contents><Key>%s</Key><LastModified>2026-01-02T03:04:05Z</LastModified><ETag>"x"</ETag><Size>7</Size></Contents>`, key)
			}
		}
		page.WriteString(`</ListBucketResult>`)
		_, _ = io.WriteString(w, page.String())
	}))
	t.Cleanup(fake.Close)
	b, err := s3.OpenBucket(ctx, s3.Options{Bucket: "bucket", Endpoint: fake.URL, AccessKey: "a", SecretKey: "b", Sleep: hurried})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// TestHostileListing: keys that a file system does not allow, over-long ones, and a listing out of order.
func TestHostileListing(t *testing.T) {
	long := strings.Repeat("k", 4096)
	keys := []string{"../../etc/passwd", "/absolute", "a//b", "folder/", long, "new\nline", "x/../y"}
	got := map[string]string{}
	if err := hostileListing(t, keys...).Each(ctx, "", "", func(o store.Object) error { got[o.Key] = o.Refused; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if why, ok := got[key]; !ok || (why != "") != (key == long) {
			t.Errorf("%.20q: %v, refused for %q", key, ok, why)
		}
	}
	b := hostileListing(t, "b", "a")
	err := b.Each(ctx, "", "", func(store.Object) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "order") {
		t.Errorf("out of order: %v", err)
	}
	if _, err := b.Open(ctx, long); err == nil || !strings.Contains(err.Error(), "4096 bytes") {
		t.Errorf("got %v", err)
	}
}
