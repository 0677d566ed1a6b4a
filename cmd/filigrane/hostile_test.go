//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"github.com/filigrane/filigrane/internal/store/s3test"
)

// tiny makes a picture of a few pixels; every seed makes other bytes.
func tiny(t *testing.T, seed int, encode func(io.Writer, image.Image) error) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 16, 8))
	for i := range img.Pix {
		img.Pix[i] = byte((i*i + seed*97) % 251)
	}
	var b bytes.Buffer
	if err := encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(w io.Writer, img image.Image) error { return jpeg.Encode(w, img, nil) }

// The names in a hostile place: what becomes of each. "" is a work.
const (
	giant    = "giant.jpg"
	longPart = 200 // bytes; file systems allow 255, S3 servers on them too
)

// plant puts into a folder what a bucket on disk and a folder of masters have in common, and says what should become of it.
func plant(t *testing.T, folder string) map[string]string {
	t.Helper()
	root, err := os.OpenRoot(folder) // it opens part by part, so that paths may be longer than the system's calls take
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	want := map[string]string{}
	add := func(name, kind string, data []byte) {
		t.Helper()
		if err := errors.Join(root.MkdirAll(filepath.Dir(name), 0o777), root.WriteFile(name, data, 0o666)); err != nil {
			t.Fatalf("%.100q: %v", name, err)
		}
		want[name] = kind
	}
	pic := func(seed int) []byte { return tiny(t, seed, asJPEG) }
	add("good/1.jpg", "", pic(1))
	add("good/wrong-ending.jpg", "", tiny(t, 2, png.Encode)) // read by its content, and a thing to do
	add("copies/1.jpg", "", pic(3))
	add("copies/2.jpg", "duplicate", pic(3))
	add("copies/3.jpg", "duplicate", pic(3))
	add("new\nline.jpg", "bad_path", pic(4))
	add("tab\tand\x1b[31mcolour.jpg", "bad_path", pic(5))
	add("back\\slash.jpg", "bad_path", pic(6))
	add("empty.jpg", "empty", nil)
	add("text.jpg", "not_an_image", []byte("these are no pixels"))
	add("cut.jpg", "truncated", pic(7)[:200])
	add("..hidden.jpg", "hidden", pic(8))
	part := strings.Repeat("x", longPart)
	add(strings.Repeat(part+"/", 4)+"deep.jpg", "", pic(9)) // 812 bytes: a work
	for _, size := range []int{1024, 1025} {
		name := strings.Repeat(part+"/", 4)
		name += strings.Repeat("y", size-len(name)-4) + ".jpg"
		add(name, map[bool]string{true: "bad_path"}[size > 1024], pic(size))
	}
	add(giant, "too_large", nil)
	if err := os.Truncate(filepath.Join(folder, giant), 10<<30); err != nil { // sparse: it takes no room
		t.Fatal(err)
	}
	return want
}

// verify imports a place by the program, as another process, and compares what it and "refusals" say of every name.
func verify(t *testing.T, sh *shell, place string, want map[string]string, nobody bool) importJSON {
	t.Helper()
	program := func(args ...string) string {
		c := exec.Command(os.Args[0], args...)
		c.Env = append(os.Environ(), asProgram+"=1")
		for name, value := range sh.env {
			c.Env = append(c.Env, name+"="+value)
		}
		if nobody {
			unprivileged(t, c, sh)
		}
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil {
			t.Fatalf("filigrane %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
		}
		// 10 GB lie there, and a limit of 64 MiB was asked for; the program alone takes half of this.
		if most := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10; runtime.GOOS == "linux" && most > 300<<20 {
			t.Errorf("%s took %d MiB of memory", args[0], most>>20)
		}
		return out.String()
	}
	rep := one[importJSON](t, program("import", place, "--max-memory", "64MiB", "--quiet"))
	inReport, inRegistry := map[string]string{}, map[string]string{}
	name := func(f refusalJSON) string {
		if f.Exact != nil {
			return string(f.Exact)
		}
		return f.File
	}
	for _, f := range rep.Refusals {
		inReport[name(f)] = f.Kind
		if f.Detail == "" {
			t.Errorf("%q is refused without a word", f.File)
		}
	}
	for _, f := range parseAll[refusedJSON](t, program("refusals")) {
		inRegistry[name(f.refusalJSON)] = f.Kind
	}
	refused, works := map[string]string{}, []string{}
	for name, kind := range want {
		if kind != "" {
			refused[name] = kind
		} else {
			works = append(works, name)
		}
	}
	slices.Sort(works)
	if diff := cmp.Diff(refused, inReport); diff != "" {
		t.Errorf("refused in the report (want -, got +): %s", diff)
	}
	if diff := cmp.Diff(refused, inRegistry); diff != "" {
		t.Errorf("refusals (want -, got +): %s", diff)
	}
	var got []string
	for _, w := range parseAll[workJSON](t, program("works", "list", "--by", "path")) {
		got = append(got, w.File)
	}
	if diff := cmp.Diff(works, got); diff != "" {
		t.Errorf("works (want -, got +): %s", diff)
	}
	again := one[importJSON](t, program("import", place, "--max-memory", "64MiB", "--quiet"))
	if again.Written != (writtenJSON{}) || again.Unchanged != len(works) || !maps.Equal(again.Refused, rep.Refused) {
		t.Errorf("again: %+v", again)
	}
	return rep
}

// unprivileged makes a command run as nobody, where the tests run as root: root may read every folder.
func unprivileged(t *testing.T, c *exec.Cmd, sh *shell) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	const nobody = 65534
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	own := filepath.Join(filepath.Dir(sh.env["HOME"]), "program") // the tests' own folder is for root alone
	if _, err := os.Stat(own); err != nil {
		if err := os.WriteFile(own, read(t, os.Args[0]), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	c.Path = own
	err := filepath.WalkDir(sh.env["HOME"], func(p string, _ os.DirEntry, err error) error { return errors.Join(err, os.Chown(p, nobody, nobody)) })
	if err != nil {
		t.Fatal(err)
	}
}

// TestHostileFolder imports a folder made to trip whoever walks it. All of it is walked, every name is accounted for, and memory
// stays bounded.
func TestHostileFolder(t *testing.T) {
	sh, folder := newShell(t), t.TempDir()
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	want := plant(t, folder)
	at := func(name string) string { return filepath.Join(folder, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(folder)
	must(err)
	defer root.Close()
	deep := strings.Repeat(strings.Repeat("z", 200)+"/", 20) // a path of 4,020 bytes, and more below it
	must(root.MkdirAll(deep+"more/and/more/and/more/and/more/and/more/and/more", 0o777))
	must(root.WriteFile(deep+"4k.jpg", tiny(t, 20, asJPEG), 0o666))
	must(root.WriteFile(deep+"more/and/more/and/more/and/more/and/more/and/more/"+strings.Repeat("w", 60)+".jpg", tiny(t, 21, asJPEG), 0o666))
	want[deep+"4k.jpg"] = "bad_path"
	want[deep+"more/and/more/and/more/and/more/and/more/and/more/"+strings.Repeat("w", 60)+".jpg"] = "bad_path"
	must(os.WriteFile(at("not\xffutf8.jpg"), tiny(t, 22, asJPEG), 0o666))
	want["not\xffutf8.jpg"] = "bad_path"
	must(errors.Join(os.Mkdir(at("loop"), 0o777), os.Symlink("..", at("loop/up")), os.Symlink("a", at("loop/b")), os.Symlink("b", at("loop/a")), os.Symlink("/etc/passwd", at("loop/out.jpg"))))
	for _, name := range []string{"loop/up", "loop/a", "loop/b", "loop/out.jpg"} {
		want[name] = "symlink"
	}
	must(syscall.Mkfifo(at("pipe.jpg"), 0o666))
	want["pipe.jpg"] = "not_a_file"
	must(os.Mkdir(at("closed"), 0o000))
	want["closed/"] = "unreadable"
	must(os.WriteFile(at("secret.jpg"), tiny(t, 23, asJPEG), 0o000))
	want["secret.jpg"] = "unreadable"
	for i := range 120 { // more in a row than a store that has failed is given
		name := fmt.Sprintf("locked/%03d.jpg", i)
		put(t, at(name), tiny(t, 200+i, asJPEG))
		must(os.Chmod(at(name), 0o000))
		want[name] = "unreadable"
	}
	for p := folder; p != os.TempDir() && p != "/"; p = filepath.Dir(p) { // for nobody, who has to come here
		must(os.Chmod(p, 0o755))
	}
	began := time.Now()
	rep := verify(t, sh, folder, want, true)
	if rep.Todos["name"] != 1 {
		t.Errorf("to do %v", rep.Todos)
	}
	t.Logf("%d names in %v", len(want), time.Since(began))
}

// TestVanishing: a file that is gone when its turn comes is refused by name, and forgotten by the next import.
func TestVanishing(t *testing.T) {
	sh, folder := newShell(t), t.TempDir()
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	for i := range 8 {
		put(t, filepath.Join(folder, fmt.Sprintf("%d.jpg", i)), tiny(t, i, asJPEG))
	}
	// Two requests a second: the last file is listed at once and opened after three seconds.
	time.AfterFunc(1500*time.Millisecond, func() { os.Remove(filepath.Join(folder, "7.jpg")) })
	rep := one[importJSON](t, sh.must(0, "import", folder, "--rate", "2", "--readers", "2").out)
	if rep.Works != 7 || len(rep.Refusals) != 1 || rep.Refusals[0].File != "7.jpg" || rep.Refusals[0].Kind != "vanished" || rep.Seconds < 2 {
		t.Errorf("%+v", rep)
	}
	if rep := one[importJSON](t, sh.must(0, "import", folder).out); len(rep.Refusals) > 0 || rep.Written != (writtenJSON{Removed: 1}) {
		t.Errorf("again: %+v", rep)
	}
}

// TestHostileBucket is the same with a real S3 server. It keeps objects as files, so it has their limits: 255 bytes for a part of
// a key; and S3's: 1,024 for the whole. What it refuses to take cannot be there.
func TestHostileBucket(t *testing.T) {
	server := s3test.Start(t, s3test.Config{})
	opt := server.Bucket(t)
	sh := newShell(t)
	maps.Copy(sh.env, map[string]string{"AWS_ENDPOINT_URL": server.Endpoint, "AWS_REGION": s3test.Region, "AWS_ACCESS_KEY_ID": s3test.AccessKey, "AWS_SECRET_ACCESS_KEY": s3test.SecretKey})
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "B")
	want := plant(t, filepath.Join(server.Folder, opt.Bucket))
	// XML has no way to write an escape character, and this server's listing puts another in its place.
	want["tab\tand\ufffd[31mcolour.jpg"] = want["tab\tand\x1b[31mcolour.jpg"]
	delete(want, "tab\tand\x1b[31mcolour.jpg")
	client := server.Client(t)
	upload := func(key string) error {
		data := tiny(t, 30+len(key), asJPEG)
		_, err := client.PutObject(t.Context(), opt.Bucket, key, bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{})
		return err
	}
	for key, taken := range map[string]bool{"up/../../etc/passwd.jpg": false, strings.Repeat("k/", 600) + "x.jpg": false, strings.Repeat("k", 256) + ".jpg": false, strings.Repeat("n/", 500) + "x.jpg": true} {
		err := upload(key)
		if (err == nil) != taken {
			t.Errorf("the server's answer to a key of %d bytes, %.40q: %v", len(key), key, err)
		}
		if err == nil {
			want[key] = ""
		}
	}
	verify(t, sh, "s3://"+opt.Bucket, want, false)
}
