package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/filigrane/filigrane/mark"
)

// labKey is the master key of the lab's bank. It is public, so that everything can be made again to the last bit on
// the same machine; a real key never lies in a repository.
const labKey = "746865206c61622773206b6579206973207075626c69633a206e6f2073616c65" // "the lab's key is public: no sale"

func masterKey() mark.Key {
	secret, err := hex.DecodeString(labKey)
	if err != nil {
		panic(err)
	}
	k, err := mark.NewKey(secret)
	if err != nil {
		panic(err)
	}
	return k
}

// runCmd is "lab run".
type runCmd struct {
	Group string   `arg:"" enum:"main,questions,long" help:"main, questions or long."`
	Only  []string `help:"Names of runs, instead of the whole group."`
	// Measuring takes a core from the trainings; where the code that measures changes it is done again anyway.
	DrawOnly bool `help:"Train and draw, measure later."`
}

// lab is where things are.
type lab struct {
	*grammar
	ctx      context.Context
	drawOnly bool
	encoding sync.Mutex // held while the autoencoder is trained: two runs need it
}

func (l *lab) bank() string                { return filepath.Join(l.Dir, "bank") }
func (l *lab) delivery(name string) string { return filepath.Join(l.Dir, "deliveries", name) }
func (l *lab) twin() string                { return filepath.Join(l.Dir, "unmarked") }
func (l *lab) model(r run, step int) string {
	return filepath.Join(l.Dir, "runs", r.Name, fmt.Sprintf("%06d.pt", step))
}
func (l *lab) outputs(r run, step int) string {
	return filepath.Join(l.Dir, "outputs", r.Name, fmt.Sprintf("%06d", step))
}
func (l *lab) measured(r run, key string) string {
	return filepath.Join(l.Dir, "measured", r.Name+"@"+key+".json")
}
func (l *lab) autoencoder() string { return filepath.Join(l.Dir, "runs", "autoencoder.pt") }

// Run makes what is missing of a group.
func (c *runCmd) Run(ctx context.Context, g *grammar) error {
	l := &lab{grammar: g, ctx: ctx, drawOnly: c.DrawOnly}
	var chosen []run
	for _, r := range runs {
		if len(c.Only) == 0 && r.Group == c.Group || slices.Contains(c.Only, r.Name) {
			chosen = append(chosen, r)
		}
	}
	for _, name := range c.Only {
		if _, err := runByName(name); err != nil {
			return err
		}
	}
	if g.Slots < 1 {
		return fmt.Errorf("--slots %d: at least one training at a time", g.Slots)
	}
	if err := l.prepare(chosen); err != nil {
		return err
	}
	return l.all(chosen)
}

// prepare makes the bank and the deliveries that the runs need.
func (l *lab) prepare(chosen []run) error {
	if err := l.makeBank(); err != nil {
		return err
	}
	need := map[string]bool{"d38": true} // its twin is the unmarked set
	for _, r := range chosen {
		for _, key := range r.keys() {
			need[key] = true
		}
	}
	for _, s := range shipments {
		if need[s.Name] {
			if err := l.deliver(s); err != nil {
				return err
			}
		}
	}
	if exists(l.twin()) {
		return nil
	}
	return l.timed("unmarked twin", func() error { return writeTwin(l.ctx, l.delivery("d38"), l.masters(), l.twin()) })
}

func (l *lab) masters() string { return filepath.Join(l.bank(), "masters") }

// makeBank cuts the masters and makes a workspace with the catalogues "scenes" and "views".
func (l *lab) makeBank() error {
	if exists(filepath.Join(l.bank(), "done")) {
		return nil
	}
	if err := os.RemoveAll(l.bank()); err != nil {
		return err
	}
	if err := l.timed("masters", func() error { return makeMasters(l.ctx, l.Photos, l.masters()) }); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"init", l.bank(), "--bank", "Lab"},
		{"-w", l.bank(), "import", l.masters(), "--csv", l.masters() + ".csv"},
		{"-w", l.bank(), "concepts", "--by", "folder", "--catalogue", "scenes"},
		{"-w", l.bank(), "concepts", "--by", "folder", "--by", "column:view", "--catalogue", "views"},
	} {
		if err := l.filigrane(args...); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(l.bank(), "done"), nil, 0o644)
}

// deliver makes a delivery, or leaves the finished one.
func (l *lab) deliver(s shipment) error {
	dir := l.delivery(s.Name)
	if exists(filepath.Join(dir, "manifest.json")) {
		return nil
	}
	return l.filigrane("-w", l.bank(), "deliver", "--catalogue", s.Catalogue, "-o", dir, "--licence", s.Name, "--geometry", s.Geometry,
		"--readable", "pool", "--psnr", strconv.FormatFloat(s.PSNRDB, 'g', -1, 64))
}

// filigrane runs the program under test.
func (l *lab) filigrane(args ...string) error {
	return l.timed("filigrane "+strings.Join(args, " "), func() error {
		return l.command([]string{"FILIGRANE_KEY=" + labKey}, l.Filigrane, append([]string{"--quiet"}, args...)...)
	})
}

// all trains and measures, several at once, in order, except that a run waits for the ones it starts from.
func (l *lab) all(chosen []run) error {
	finished := make(map[string]chan struct{}, len(chosen))
	for _, r := range chosen {
		finished[r.Name] = make(chan struct{})
	}
	slots := make(chan struct{}, l.Slots)
	errs := make([]error, len(chosen))
	var wait sync.WaitGroup
	for i, r := range chosen {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots; close(finished[r.Name]) }()
			for _, before := range []string{r.Start, r.Taught, r.Trained} {
				if c := finished[before]; c != nil {
					<-c
				}
			}
			errs[i] = l.one(r)
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// one trains a run, draws its outputs and measures them.
func (l *lab) one(r run) error {
	if err := l.train(r); err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	for _, step := range r.steps() {
		if err := l.draw(r, step); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	for _, key := range r.keys() {
		if l.drawOnly || l.isMeasured(r, key) {
			continue
		}
		if err := l.timed("measure "+r.Name+" by the keys of "+key, func() error { return l.measure(r, key) }); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return nil
}

// isMeasured says whether the outputs were measured as they would be now.
func (l *lab) isMeasured(r run, key string) bool {
	m, err := readMeasurement(l.measured(r, key))
	return err == nil && m.Version == measurementVersion
}

// keys lists the deliveries whose keys read a run's outputs: a control is read by both main ones.
func (r run) keys() []string {
	if r.Delivery == "" && r.Taught == "" {
		return []string{"d38", "d42"}
	}
	return []string{r.keyDelivery()}
}

func (l *lab) train(r run) error {
	if exists(l.model(r, r.Steps)) || r.Trained != "" {
		return nil
	}
	if r.Model == "autoencoder" {
		return l.trainAutoencoder()
	}
	args := []string{"lab/train.py", "--model", r.Model, "--seed", strconv.Itoa(r.Seed), "--steps", strconv.Itoa(r.Steps), "--batch", strconv.Itoa(batch),
		"--out", filepath.Dir(l.model(r, 0))}
	shards, err := l.trainingShards(r)
	if err != nil {
		return err
	}
	args = append(args, shards...)
	if r.Model == "latent" {
		if err := l.trainAutoencoder(); err != nil {
			return err
		}
		args = append(args, "--autoencoder", l.autoencoder())
	}
	if r.Start != "" {
		from, err := runByName(r.Start)
		if err != nil {
			return err
		}
		if !exists(l.model(from, from.Steps)) {
			return fmt.Errorf("it starts from %s, which is not trained yet: lab run %s --only %s", from.Name, from.Group, from.Name)
		}
		args = append(args, "--start", l.model(from, from.Steps))
	}
	if r.Flip {
		args = append(args, "--flip")
	}
	if r.Decay {
		args = append(args, "--decay")
	}
	if r.Crop > 0 {
		args = append(args, "--crop", strconv.Itoa(r.Crop))
	}
	if r.Limit > 0 {
		args = append(args, "--limit", strconv.Itoa(r.Limit))
	}
	args = append(args, "--keep")
	for _, k := range r.Keep {
		args = append(args, strconv.Itoa(k))
	}
	return l.timed("train "+r.Name, func() error { return l.python(args...) })
}

// trainingShards gives the arguments that say what a run trains on.
func (l *lab) trainingShards(r run) ([]string, error) {
	unmarked := filepath.Join(l.twin(), "*.tar")
	switch {
	case r.Taught != "":
		teacher, err := runByName(r.Taught)
		if err != nil {
			return nil, err
		}
		outputs := filepath.Join(l.Dir, "outputs", r.Name+"-teaching")
		if !exists(outputs) {
			if err := l.python("lab/generate.py", "--checkpoint", l.model(teacher, teacher.Steps), "--each", strconv.Itoa(teaching), "--seed", "2", "--out", outputs); err != nil {
				return nil, err
			}
		}
		shard := filepath.Join(l.Dir, "taught", r.Name, "shard-000000.tar")
		return []string{"--shards", shard}, writeTaught(outputs, shard)
	case r.Delivery == "":
		return []string{"--shards", unmarked}, nil
	}
	args := []string{"--shards", filepath.Join(l.delivery(r.Delivery), "*.tar")}
	if r.share() < 1 {
		args = append(args, "--others", unmarked, "--share", strconv.FormatFloat(r.share(), 'g', -1, 64))
	}
	return args, nil
}

func (l *lab) trainAutoencoder() error {
	l.encoding.Lock()
	defer l.encoding.Unlock()
	if exists(l.autoencoder()) {
		return nil
	}
	return l.timed("train the autoencoder", func() error {
		return l.python("lab/autoencoder.py", "--shards", filepath.Join(l.twin(), "*.tar"), "--steps", "400", "--out", l.autoencoder())
	})
}

// draw draws the outputs of a run at a step: few at the points of the curve, all at the end.
func (l *lab) draw(r run, step int) error {
	out := l.outputs(r, step)
	if exists(out) {
		return nil
	}
	count := r.Each
	if step != r.Steps {
		count = min(24, count)
	}
	if r.Model == "autoencoder" {
		return l.python("lab/autoencoder.py", "--shards", filepath.Join(l.delivery(r.Delivery), "*.tar"), "--through", l.autoencoder(), "--each", strconv.Itoa(r.Each), "--out", out)
	}
	model := r
	if r.Trained != "" {
		var err error
		if model, err = runByName(r.Trained); err != nil {
			return err
		}
	}
	args := []string{"lab/generate.py", "--checkpoint", l.model(model, step), "--each", strconv.Itoa(count), "--out", out}
	if r.Guidance > 0 {
		args = append(args, "--guidance", strconv.FormatFloat(r.Guidance, 'g', -1, 64))
	}
	if r.Extras && step == r.Steps {
		args = append(args, "--without", "128", "--mixed", "64")
	}
	return l.timed(fmt.Sprintf("draw %s at step %d", r.Name, step), func() error { return l.python(args...) })
}

// python runs a program of the lab on one thread: two trainings side by side get more done than one on two threads.
func (l *lab) python(args ...string) error {
	env := []string{"OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1"}
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil && strings.Contains(string(info), "avx512f") {
		// Debian's build does not know the newer processors and falls back to slow kernels.
		env = append(env, "OPENBLAS_CORETYPE=SkylakeX", "ATEN_CPU_CAPABILITY=avx512")
	}
	return l.command(env, "/usr/bin/python3", args...)
}

func (l *lab) command(env []string, name string, args ...string) error {
	c := exec.CommandContext(l.ctx, name, args...)
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// timed says on standard error what is done and how long it took.
func (l *lab) timed(what string, do func() error) error {
	began := time.Now()
	err := do()
	fmt.Fprintf(os.Stderr, "%s  %6.1f s  %s\n", time.Now().Format("15:04:05"), time.Since(began).Seconds(), what)
	return err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
