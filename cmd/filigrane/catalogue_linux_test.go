package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/filigrane/filigrane/internal/store/s3"
	"github.com/filigrane/filigrane/internal/store/s3test"
	"github.com/filigrane/filigrane/internal/testphotos"
)

// TestCatalogueInBuckets is a bank's evening: a bucket of masters is imported, grouped, delivered into another bucket and
// verified, by the program as a process of its own, against a real S3 server. It prints what each step took:
//
//	FILIGRANE_WORKS=20000 go test -tags nodynamic -timeout 4h -v -run CatalogueInBuckets ./cmd/filigrane
//
// The masters are that many different crops of 512 x 512 pixels of the photographs, as JPEG. Without the variable there
// are few.
func TestCatalogueInBuckets(t *testing.T) {
	works := fromEnv(t, "FILIGRANE_WORKS", 60)
	server := s3test.Start(t, s3test.Config{})
	masters, delivered := server.Bucket(t), server.Bucket(t)
	masters.Prefix, delivered.Prefix = "masters", "acme/2026"
	began := time.Now()
	fillWithCrops(t, masters, works)
	t.Logf("%d masters put in %v", works, time.Since(began).Round(time.Second))

	sh := newShell(t)
	sh.env["AWS_ACCESS_KEY_ID"], sh.env["AWS_SECRET_ACCESS_KEY"] = masters.AccessKey, string(masters.SecretKey)
	if jobs := os.Getenv("FILIGRANE_JOBS"); jobs != "" {
		sh.env["FILIGRANE_JOBS"] = jobs
	}
	sh.must(0, "init", sh.env["FILIGRANE_WORKSPACE"], "--bank", "Test Bank")
	imported := sh.measured("import", "-q", masters.String())
	var in struct{ Works, Added int }
	decode(t, imported.out, &in)
	if in.Works != works || in.Added != works {
		t.Fatalf("imported %+v of %d works", in, works)
	}
	again := sh.measured("import", "-q", masters.String())
	var unchanged struct{ Works, Added, Changed, Unchanged int }
	decode(t, again.out, &unchanged)
	if unchanged.Unchanged != works || unchanged.Added+unchanged.Changed != 0 {
		t.Errorf("imported again: %+v", unchanged)
	}
	frozen := sh.measured("concepts", "-q", "--by", "folder", "--catalogue", "spring")
	made := sh.measured("deliver", "-q", "-c", "spring", "--licence", "acme", "--geometry", "square:512", "-o", delivered.String())
	rep := one[deliverJSON](t, made.out)
	if rep.Summary.Works != works || rep.Summary.Images+len(rep.Refusals) != works || rep.Summary.Images < works*9/10 {
		t.Errorf("%+v", rep.Summary)
	}
	verified := sh.measured("deliver", "verify", "-q", delivered.String())
	for _, step := range []struct {
		name string
		took usage
	}{{"import", imported.usage}, {"import again", again.usage}, {"concepts", frozen.usage}, {"deliver", made.usage}, {"verify", verified.usage}} {
		t.Logf("%-12s %s", step.name, step.took.of(works))
	}
	t.Logf("delivered %d, refused %d, PSNR mean %.2f dB", rep.Summary.Images, len(rep.Refusals), rep.Summary.PSNRMeanDB)
	t.Logf("seconds: %+v", rep.Seconds)
	t.Logf("verify: %s", cut(verified.out, 1000))
	if works >= 5000 {
		made.usage.mustBeFlat(t)
	}
}

func fromEnv(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: give a number", variable, text)
	}
	return n
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func cut(text string, most int) string {
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// fillWithCrops puts n different crops into a bucket, in the folders of their photographs.
func fillWithCrops(t *testing.T, opt s3.Options, n int) {
	t.Helper()
	ctx := context.Background()
	st, err := s3.Open(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	const side = 512
	names := testphotos.Names(t)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for k, name := range names {
		photo := testphotos.Picture(t, name).Image
		b := photo.Bounds()
		if b.Dx() <= side || b.Dy() <= side {
			t.Fatalf("%s: %v is too small to be cut", name, b)
		}
		g.Go(func() error {
			rng := rand.New(rand.NewPCG(5, uint64(k)))
			seen := map[image.Point]bool{}
			for i := k; i < n; i += len(names) {
				var at image.Point
				for at = b.Min; seen[at] || at == b.Min; {
					at = b.Min.Add(image.Pt(rng.IntN(b.Dx()-side), rng.IntN(b.Dy()-side)))
				}
				seen[at] = true
				var file bytes.Buffer
				crop := photo.(interface {
					SubImage(image.Rectangle) image.Image
				}).SubImage(image.Rectangle{Min: at, Max: at.Add(image.Pt(side, side))})
				if err := jpeg.Encode(&file, crop, &jpeg.Options{Quality: 92}); err != nil {
					return err
				}
				key := fmt.Sprintf("%s/%06d.jpg", strings.TrimSuffix(name, ".jpg"), i)
				if err := st.Put(ctx, key, func(w io.Writer) error { _, err := w.Write(file.Bytes()); return err }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// usage is what a process took.
type usage struct {
	wall, cpu time.Duration
	rss       []int // kB, every half second
}

// of tells it for each of n works.
func (u usage) of(n int) string {
	return fmt.Sprintf("%7.1f s, %7.1f s of CPU, %6.1f works/s, %6.1f works/s and core, RSS at most %d MB, by tenths of the run %v",
		u.wall.Seconds(), u.cpu.Seconds(), float64(n)/u.wall.Seconds(), float64(n)/u.cpu.Seconds(), slices.Max(u.rss)/1000, u.tenths())
}

// tenths gives the most memory in each tenth of the run, in MB.
func (u usage) tenths() []int {
	most := make([]int, 0, 10)
	for i := range 10 {
		if part := u.rss[i*len(u.rss)/10 : (i+1)*len(u.rss)/10]; len(part) > 0 {
			most = append(most, slices.Max(part)/1000)
		}
	}
	return most
}

// mustBeFlat demands that memory does not grow with what was done: from the second fifth of the run to the last by no more
// than a quarter.
func (u usage) mustBeFlat(t *testing.T) {
	t.Helper()
	n := len(u.rss)
	early, late := slices.Max(u.rss[n/5:2*n/5]), slices.Max(u.rss[4*n/5:])
	if float64(late) > 1.25*float64(early) {
		t.Errorf("memory grows: %d MB in the second fifth of the run, %d MB in the last", early/1000, late/1000)
	}
}

type measuredRun struct {
	outcome
	usage
}

// measured runs the program as a process of its own and looks at its memory.
func (sh *shell) measured(args ...string) (m measuredRun) {
	sh.t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	for k, v := range sh.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	if err := cmd.Start(); err != nil {
		sh.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	var err error
	for running := true; running; {
		m.rss = append(m.rss, residentKB(cmd.Process.Pid))
		select {
		case err = <-ended:
			running = false
		case <-tick.C:
		}
	}
	m.wall, m.cpu = time.Since(began), cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	m.outcome = outcome{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
	if err != nil {
		sh.t.Fatalf("filigrane %s: %v\n%s%s", strings.Join(args, " "), err, m.out, m.err)
	}
	return m
}

// residentKB is the memory a process has in use, 0 if it has ended.
func residentKB(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}
