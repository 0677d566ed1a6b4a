package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
	"github.com/filigrane/filigrane/proof/log"
	"github.com/filigrane/filigrane/proof/tlogproof"
)

const origin = "bank.example/log"

var (
	ctx = context.Background()
	day = time.Unix(1_790_000_000, 0) // in 2026
)

func newKey(t testing.TB, name string, seed byte) (skey, vkey string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(io.LimitReader(rand.NewChaCha8([32]byte{seed}), 1<<10), name)
	if err != nil {
		t.Fatal(err)
	}
	return skey, vkey
}

func newCosigner(t testing.TB, i int) *tlogproof.Cosigner {
	t.Helper()
	skey, _ := newKey(t, fmt.Sprintf("witness%d.example", i), byte(10+i))
	c, err := tlogproof.NewCosigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newPolicy takes the log's word, and that of quorum of the first witnesses.
func newPolicy(t testing.TB, witnesses, quorum int) *tlogproof.Policy {
	t.Helper()
	_, vkey := newKey(t, origin, 1)
	var keys []string
	for i := range witnesses {
		keys = append(keys, newCosigner(t, i).VerifierKey())
	}
	p, err := tlogproof.NewPolicy(origin, []string{vkey}, keys, quorum)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func folderStore(t testing.TB) *dir.Store {
	t.Helper()
	s, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newWitness(t testing.TB, i int) (*Witness, *dir.Store) {
	t.Helper()
	st := folderStore(t)
	w, err := New(st, newCosigner(t, i), newPolicy(t, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return w, st
}

// history is a log with all its checkpoints. Those of one key with different texts are histories that fork.
type history struct {
	t      testing.TB
	st     *dir.Store
	writer *log.Writer
	reader *log.Reader
	at     map[int]tlogproof.Checkpoint // by size
}

// newHistory has common entries of all histories, and one checkpoint of them.
func newHistory(t testing.TB, common int) *history {
	t.Helper()
	skey, _ := newKey(t, origin, 1)
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	st, p := folderStore(t), newPolicy(t, 2, 2)
	if err := log.Create(ctx, st, s, p); err != nil {
		t.Fatal(err)
	}
	w, err := log.Open(ctx, st, s, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	h := &history{t: t, st: st, writer: w, reader: log.NewReader(log.FromBucket(st), p), at: map[int]tlogproof.Checkpoint{}}
	h.grow(common, "common")
	return h
}

// grow brings the log to a size.
func (h *history) grow(size int, text string) tlogproof.Checkpoint {
	h.t.Helper()
	var list [][]byte
	for i := int(h.writer.Checkpoint().Size); i < size; i++ {
		list = append(list, fmt.Appendf(nil, "%s %d", text, i))
	}
	_, c, err := h.writer.Append(ctx, list...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.at[size] = c
	return c
}

// request is what the log would send.
func (h *history) request(old, size int) Request {
	h.t.Helper()
	_, hashes, err := h.reader.TreeProof(ctx, h.at[size], int64(old))
	if err != nil {
		h.t.Fatal(err)
	}
	return Request{int64(old), hashes, h.at[size].Note}
}

func cosigned(t testing.TB, w *Witness, r Request) string {
	t.Helper()
	line, err := w.Add(ctx, day, r)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// TestTwoHistoriesOfOneSize: an operator shows one history to one witness and another, of the same size, to the other.
// Neither reaches a quorum of two, each witness refuses the other's and keeps the proof, and the two cosigned checkpoints
// convince a stranger.
func TestTwoHistoriesOfOneSize(t *testing.T) {
	a, b := newHistory(t, 10), newHistory(t, 10)
	claimant, court := a.grow(300, "for the claimant"), b.grow(300, "for the court")
	w0, _ := newWitness(t, 0)
	w1, _ := newWitness(t, 1)
	cosigned(t, w0, a.request(0, 10))
	cosigned(t, w1, b.request(0, 10)) // the same tree still
	line0, line1 := cosigned(t, w0, a.request(10, 300)), cosigned(t, w1, b.request(10, 300))

	both := newPolicy(t, 2, 2)
	for _, c := range []struct {
		checkpoint tlogproof.Checkpoint
		line       string
	}{{claimant, line0}, {court, line1}} {
		if _, err := both.Open(c.checkpoint.Note + c.line); !errors.Is(err, tlogproof.ErrQuorum) {
			t.Errorf("one witness of two: %v", err)
		}
		// The other's cosignature is of another text.
		if _, err := both.Open(c.checkpoint.Note + line0 + line1); !errors.Is(err, tlogproof.ErrSignature) {
			t.Errorf("cosignatures put together: %v", err)
		}
	}
	for _, c := range []struct {
		w     *Witness
		h     *history
		files *history
	}{{w0, b, b}, {w1, a, a}} {
		var fork *log.ForkError
		if _, err := c.w.Add(ctx, day, c.h.request(300, 300)); !errors.As(err, &fork) {
			t.Fatalf("the other history: %v", err)
		}
		if _, err := c.w.Pull(ctx, day, c.files.reader); !errors.As(err, &fork) {
			t.Fatalf("the other history, pulled: %v", err)
		}
		forks, err := c.w.Forks(ctx, origin)
		if err != nil || len(forks) != 1 {
			t.Fatalf("%d proofs kept, %v", len(forks), err)
		}
		// A stranger with nothing but the log's public key and the file.
		f, err := tlogproof.ParseFork(forks[0].Marshal())
		if err != nil {
			t.Fatal(err)
		}
		first, second, err := f.Verify(newPolicy(t, 0, 0))
		if err != nil || first.Size != 300 || second.Size != 300 || first.Root == second.Root {
			t.Errorf("%s, %s, %v", first, second, err)
		}
	}
	// The witness goes on with what it saw first.
	a.grow(301, "more")
	cosigned(t, w0, a.request(300, 301))
}

// TestTwoHistoriesOfTwoSizes: the fork shows in the proof that was sent, or, where RFC 6962 leaves out what would show it, in
// the files.
func TestTwoHistoriesOfTwoSizes(t *testing.T) {
	for _, c := range []struct {
		first, second int
		shows         bool
	}{{300, 310, true}, {11, 400, true}, {256, 310, false}, {255, 256, true}} {
		t.Run(fmt.Sprintf("%d and %d", c.first, c.second), func(t *testing.T) {
			a, b := newHistory(t, 10), newHistory(t, 10)
			a.grow(c.first, "a")
			b.grow(c.first, "b")
			b.grow(c.second, "b")
			w, st := newWitness(t, 0)
			cosigned(t, w, a.request(0, c.first))
			var fork *log.ForkError
			_, err := w.Add(ctx, day, b.request(c.first, c.second))
			if errors.As(err, &fork) != c.shows || !c.shows && !errors.Is(err, tlogproof.ErrProof) {
				t.Fatalf("got %v", err)
			}
			suspects, serr := st.List(ctx, folder(origin)+"/suspects/")
			if serr != nil || (len(suspects) == 1) == c.shows {
				t.Errorf("%d suspects, %v", len(suspects), serr)
			}
			if _, err := w.Pull(ctx, day, b.reader); !errors.As(err, &fork) {
				t.Fatalf("pulled: %v", err)
			}
			forks, err := w.Forks(ctx, origin)
			if err != nil || len(forks) != 1 {
				t.Fatalf("%d proofs, %v", len(forks), err)
			}
			if _, _, err := forks[0].Verify(newPolicy(t, 0, 0)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestStatusOfEachRefusal: what c2sp.org/tlog-witness prescribes.
func TestStatusOfEachRefusal(t *testing.T) {
	h := newHistory(t, 5)
	for _, n := range []int{8, 20, 30} {
		h.grow(n, "common")
	}
	fork := newHistory(t, 5)
	fork.grow(20, "fork")
	fork.grow(31, "fork")
	w, st := newWitness(t, 0)
	web := httptest.NewServer(Handler(w, func() time.Time { return day }))
	t.Cleanup(web.Close)
	post := func(body []byte) (int, string, string) {
		t.Helper()
		r, err := web.Client().Post(web.URL+"/add-checkpoint", "text/plain", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, r.Header.Get("Content-Type"), string(text)
	}
	sent := func(r Request) []byte { return r.Marshal() }
	wrong := h.request(20, 30)
	wrong.Hashes[1][0] ^= 1
	short := h.request(20, 30)
	short.Hashes = short.Hashes[1:]
	old20, old0 := h.request(20, 20), h.request(20, 30)
	old20.OldSize, old0.OldSize = 21, 0
	skey, _ := newKey(t, origin, 99)
	stranger, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := note.Sign(&note.Note{Text: tlogproof.Body(origin, 40, tlog.Hash{1})}, stranger)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := strings.Replace(h.at[30].Note, origin, "other.example/log", 1)
	const size, text, plain = "text/x.tlog.size", "text/plain; charset=utf-8", "text/plain; charset=utf-8"
	for _, c := range []struct {
		name   string
		body   []byte
		status int
		kind   string
		answer string // begins with
	}{
		{"first", sent(h.request(0, 8)), 200, text, "— witness0.example "},
		{"next", sent(h.request(8, 20)), 200, text, "— witness0.example "},
		{"the same again", sent(h.request(20, 20)), 200, text, "— witness0.example "},
		{"malformed", []byte("hello"), 400, plain, ""},
		{"no checkpoint", []byte("old 20\n\nhello"), 400, plain, ""},
		{"too long", bytes.Repeat([]byte("x"), maxRequestBytes+1), 400, plain, ""},
		{"unknown log", sent(Request{20, nil, elsewhere}), 404, plain, ""},
		{"another key", sent(Request{20, nil, string(forged)}), 403, plain, ""},
		{"old size above the checkpoint's", sent(old20), 400, plain, ""},
		{"old size not the last", sent(h.request(8, 30)), 409, size, "20\n"},
		{"no idea of the last", sent(old0), 409, size, "20\n"},
		{"rolled back", sent(h.request(8, 8)), 409, size, "20\n"},
		{"wrong proof", sent(wrong), 422, plain, ""},
		{"proof cut", sent(short), 422, plain, ""},
		{"no proof", sent(Request{20, nil, h.at[30].Note}), 422, plain, ""},
		{"another tree of this size", sent(fork.request(20, 20)), 409, size, "20\n"},
		{"another history", sent(fork.request(20, 31)), 422, plain, ""},
		{"and still the first", sent(h.request(20, 30)), 200, text, "— witness0.example "},
	} {
		status, kind, answer := post(c.body)
		if status != c.status || kind != c.kind || !strings.HasPrefix(answer, c.answer) {
			t.Errorf("%s: %d %s %q, want %d %s %q", c.name, status, kind, answer, c.status, c.kind, c.answer)
		}
	}
	if r, err := web.Client().Get(web.URL + "/add-checkpoint"); err != nil || r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v, %v", r, err)
	}
	if forks, err := w.Forks(ctx, origin); err != nil || len(forks) != 2 {
		t.Errorf("%d forks kept, %v", len(forks), err)
	}
	if keys, err := st.List(ctx, folder(origin)+"/suspects/"); err != nil || len(keys) != 1 {
		t.Errorf("%d suspects kept, want one for all bad proofs of one checkpoint, %v", len(keys), err)
	}
}

// TestLogAndWitnesses: the way of a checkpoint, over HTTP: published, cosigned by two of two, published again, believed.
func TestLogAndWitnesses(t *testing.T) {
	h := newHistory(t, 5)
	var clients []Client
	for i := range 2 {
		w, _ := newWitness(t, i)
		web := httptest.NewServer(Handler(w, func() time.Time { return day.Add(time.Duration(i) * time.Second) }))
		t.Cleanup(web.Close)
		clients = append(clients, Client{web.Client(), web.URL})
	}
	for _, size := range []int{5, 6, 300} {
		c := h.grow(size, "entry")
		if _, err := h.reader.Checkpoint(ctx); !errors.Is(err, tlogproof.ErrQuorum) {
			t.Errorf("without witnesses: %v", err)
		}
		for i, client := range clients {
			// The second time the witness has to be asked where it is.
			lines, err := client.Cosign(ctx, h.reader, c, 0)
			if err != nil {
				t.Fatal(err)
			}
			if c, err = h.writer.Cosign(ctx, lines); err != nil || len(c.Cosignatures) != i+1 {
				t.Fatalf("%+v, %v", c.Cosignatures, err)
			}
		}
		got, err := h.reader.Checkpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		want := []tlogproof.Cosignature{{Witness: "witness0.example", Time: day.Unix()}, {Witness: "witness1.example", Time: day.Unix() + 1}}
		if d := cmp.Diff(want, got.Cosignatures); d != "" || got.Size != int64(size) {
			t.Error(d)
		}
	}
	// What the log says when a witness has seen something else.
	other := newHistory(t, 5)
	if _, err := clients[0].Cosign(ctx, other.reader, other.grow(300, "fork"), 0); err == nil || !strings.Contains(err.Error(), "FORK") {
		t.Errorf("a fork: %v", err)
	}
	if _, err := clients[0].Cosign(ctx, h.reader, h.at[6], 0); err == nil || !strings.Contains(err.Error(), "set back") {
		t.Errorf("an old checkpoint: %v", err)
	}
}

// TestStrangerWithACopy: somebody who has only a copy of the files and the log's key is a witness.
func TestStrangerWithACopy(t *testing.T) {
	h := newHistory(t, 300)
	w, _ := newWitness(t, 0)
	copied := func() *log.Reader {
		to := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(to, os.DirFS(h.st.String())); err != nil {
			t.Fatal(err)
		}
		return log.NewReader(log.FromFS(os.DirFS(to)), newPolicy(t, 1, 1))
	}
	early := copied()
	h.grow(1000, "entry")
	for i, r := range []*log.Reader{early, copied()} {
		c, err := w.Pull(ctx, day, r)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = r.Policy().Open(c.Note); err != nil || c.Size != []int64{300, 1000}[i] {
			t.Errorf("%s, %v", c, err)
		}
		if _, err := r.Verify(ctx, c); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.Pull(ctx, day, early); !errors.Is(err, ErrOlder) {
		t.Errorf("an older copy: %v", err)
	}
}

// failing is a store whose Puts fail, done or not.
type failing struct {
	store.Store
	fail, do bool
}

var errStore = errors.New("the store fails")

func (s *failing) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	if s.fail && !s.do {
		return errStore
	}
	if err := s.Store.Put(ctx, key, write); err != nil || !s.fail {
		return err
	}
	return errStore
}

// TestNoCosignatureWithoutMemory: if the checkpoint could not be kept, no cosignature is given; if it was kept and the answer
// was lost, asking again works, and another history is refused all the same.
func TestNoCosignatureWithoutMemory(t *testing.T) {
	a, b := newHistory(t, 5), newHistory(t, 5)
	for _, n := range []int{7, 9} {
		a.grow(n, "a")
		b.grow(n, "b")
	}
	for _, do := range []bool{false, true} {
		st := &failing{Store: folderStore(t), fail: true, do: do}
		w, err := New(st, newCosigner(t, 0), newPolicy(t, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if line, err := w.Add(ctx, day, a.request(0, 7)); !errors.Is(err, errStore) || line != "" {
			t.Errorf("done %v: %q, %v", do, line, err)
		}
		st.fail = false
		again, err := New(st, newCosigner(t, 0), newPolicy(t, 0, 0))
		if err != nil {
			t.Fatal(err)
		}
		var fork *log.ForkError
		var conflict *ConflictError
		if do {
			if _, err := again.Add(ctx, day, b.request(0, 7)); !errors.As(err, &fork) {
				t.Errorf("another history: %v", err)
			}
			if _, err := again.Add(ctx, day, a.request(0, 7)); !errors.As(err, &conflict) || conflict.Size != 7 {
				t.Errorf("asked as before: %v", err)
			}
			cosigned(t, again, a.request(7, 7))
		} else {
			cosigned(t, again, a.request(0, 7))
		}
		cosigned(t, again, a.request(7, 9))
	}
}

// TestManyAtOnce: of checkpoints that come at the same time each is cosigned in order or refused; the last one kept is the
// largest cosigned. Another process on the same store is told to wait.
func TestManyAtOnce(t *testing.T) {
	h := newHistory(t, 1)
	const most = 12
	for n := 2; n <= most; n++ {
		h.grow(n, "entry")
	}
	w, st := newWitness(t, 0)
	web := httptest.NewServer(Handler(w, func() time.Time { return day }))
	t.Cleanup(web.Close)
	var mu sync.Mutex
	var wg sync.WaitGroup
	largest := int64(0)
	for n := 1; n <= most; n++ {
		wg.Go(func() {
			if _, err := (Client{web.Client(), web.URL}).Cosign(ctx, h.reader, h.at[n], 0); err == nil {
				mu.Lock()
				largest = max(largest, int64(n))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if c, err := w.Latest(ctx, origin); err != nil || c.Size != largest || largest == 0 {
		t.Errorf("%s kept, %d cosigned, %v", c, largest, err)
	}
	release, err := st.Lock(ctx, folder(origin))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(ctx, day, h.request(most, most)); !errors.Is(err, store.ErrLocked) {
		t.Errorf("locked by another: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// TestSuspectsAreFew: whoever sends nonsense with true checkpoints does not fill the disk.
func TestSuspectsAreFew(t *testing.T) {
	h := newHistory(t, 4)
	w, st := newWitness(t, 0)
	cosigned(t, w, h.request(0, 4))
	skey, _ := newKey(t, origin, 1)
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxSuspects + 5 {
		text, err := note.Sign(&note.Note{Text: tlogproof.Body(origin, 9, tlog.Hash{byte(i)})}, s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Add(ctx, day, Request{4, []tlog.Hash{{}}, string(text)}); !errors.Is(err, tlogproof.ErrProof) {
			t.Fatal(err)
		}
	}
	if keys, err := st.List(ctx, folder(origin)+"/suspects/"); err != nil || len(keys) != maxSuspects {
		t.Errorf("%d kept, %v", len(keys), err)
	}
	// Signatures of strangers are not kept: anybody could add any number.
	h.grow(9, "entry")
	r := h.request(4, 9)
	clean := r.Checkpoint
	for range 50 {
		r.Checkpoint += "— stranger.example " + strings.Repeat("AAAA", 20) + "\n"
	}
	cosigned(t, w, r)
	if c, err := w.Latest(ctx, origin); err != nil || !strings.HasPrefix(c.Note, clean) || strings.Contains(c.Note, "stranger") {
		t.Errorf("%q, %v", c.Note, err)
	}
}

// TestRequestForm: the example of the specification, and what is no request.
func TestRequestForm(t *testing.T) {
	const example = "old 20852014\n" +
		"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\njrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n" +
		"5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n" +
		"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n" +
		"— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n" +
		"— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n"
	r, err := ParseRequest([]byte(example))
	if err != nil || r.OldSize != 20852014 || len(r.Hashes) != 4 || string(r.Marshal()) != example {
		t.Errorf("%+v, %v", r, err)
	}
	if c, err := tlogproof.ParseUnverified(r.Checkpoint); err != nil || c.Size != 20852163 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []string{"", "old 5\n", "old 05\n\nx", "old -1\n\nx", "old  5\n\nx", "new 5\n\nx", "old 5\nAAAA\n\nx", "old 9223372036854775808\n\nx", "old 5 \n\nx", "\n\nx",
		"old 5\n" + strings.Repeat("PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n", 64) + "\nx"} {
		if r, err := ParseRequest([]byte(bad)); !errors.Is(err, tlogproof.ErrForm) {
			t.Errorf("%.60q: %+v, %v", bad, r, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte("old 0\n\nx\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— a AAAAAAAA\n"))
	f.Add([]byte("old 5\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\nx"))
	f.Add([]byte("old 05\n\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRequest(body)
		if err == nil && !bytes.Equal(r.Marshal(), body) {
			t.Fatalf("%q is written %q", body, r.Marshal())
		}
		if err != nil && !errors.Is(err, tlogproof.ErrForm) {
			t.Fatal(err)
		}
	})
}
