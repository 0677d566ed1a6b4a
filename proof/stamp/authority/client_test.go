package authority_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/filigrane/filigrane/proof/stamp"
	"github.com/filigrane/filigrane/proof/stamp/authority"
	"github.com/filigrane/filigrane/proof/stamp/tsatest"
)

var imprint = sha256.Sum256([]byte("a checkpoint"))

// client asks without waiting, and notes how long it would have waited.
func client(waits *[]time.Duration) *authority.Client {
	return &authority.Client{Random: rand.Reader, Now: time.Now, Timeout: 10 * time.Second, Sleep: func(ctx context.Context, d time.Duration) error {
		if waits != nil {
			*waits = append(*waits, d)
		}
		return ctx.Err()
	}}
}

func known(t *testing.T, a *tsatest.Authority, name string) authority.Authority {
	t.Helper()
	roots, err := stamp.Certificates(a.Roots)
	if err != nil {
		t.Fatal(err)
	}
	return authority.Authority{Name: name, URL: a.URL, Roots: roots}
}

// broken is an authority that answers with h.
func broken(t *testing.T, a authority.Authority, h http.HandlerFunc) authority.Authority {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	a.Name, a.URL = "Broken", s.URL
	return a
}

func TestAsk(t *testing.T) {
	a := tsatest.Start(t)
	token, err := client(nil).Stamp(t.Context(), imprint, []authority.Authority{known(t, a, "First")})
	if err != nil {
		t.Fatal(err)
	}
	if token.Authority != "First" || token.Stamp.Nonce == nil || token.Stamp.Policy != tsatest.Policy || time.Since(token.Stamp.Time) > time.Minute {
		t.Errorf("got %+v", token)
	}
	again, err := stamp.Verify(token.DER, imprint, known(t, a, "").Policy(time.Now()))
	if err != nil || !again.Time.Equal(token.Stamp.Time) {
		t.Errorf("what is kept says %+v, %v", again, err)
	}
	if err := a.Accepts(token.DER, imprint, time.Now()); err != nil {
		t.Errorf("OpenSSL does not accept it: %v", err)
	}
	if a.Asked() != 1 {
		t.Errorf("asked %d times", a.Asked())
	}
}

func TestAskForPolicy(t *testing.T) {
	a := tsatest.Start(t)
	one := known(t, a, "One")
	one.Policies = []string{tsatest.OtherPolicy}
	token, err := client(nil).Stamp(t.Context(), imprint, []authority.Authority{one})
	if err != nil || token.Stamp.Policy != tsatest.OtherPolicy {
		t.Errorf("policy %s, %v", token.Stamp.Policy, err)
	}
	one.Policies = []string{"1.2.3.4"}
	_, err = client(nil).Stamp(t.Context(), imprint, []authority.Authority{one})
	var rejected *authority.RejectedError
	if !errors.As(err, &rejected) || rejected.Status != timestamp.Rejection || len(rejected.Failure) != 1 || rejected.Failure[0] != timestamp.UnacceptedPolicy {
		t.Fatalf("got %v", err)
	}
	for _, word := range []string{"One", "rejection", "unacceptedPolicy", "Requested policy is not supported"} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
	if a.Asked() != 2 {
		t.Errorf("a rejection was met %d times", a.Asked()-1)
	}
}

// TestBrokenAnswers: what each is called, how often it is asked, and that the next authority is asked then.
func TestBrokenAnswers(t *testing.T) {
	a, other := tsatest.Start(t), tsatest.StartWith(t, tsatest.Config{Name: "Other"})
	reply := func(body func(query []byte) []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			query, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", "application/timestamp-reply")
			_, _ = w.Write(body(query))
		}
	}
	whole := func(query []byte) []byte {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(query))
		r.Header.Set("Content-Type", "application/timestamp-query")
		a.ServeHTTP(w, r)
		return w.Body.Bytes()
	}
	failure := func(status timestamp.Status, info timestamp.FailureInfo) http.HandlerFunc {
		return reply(func([]byte) []byte { b, _ := timestamp.CreateErrorResponse(status, info); return b })
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		tries  int
		says   string
		kind   stamp.Kind
	}{
		{"a web page", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello</html>") }, 1, "text/html", ""},
		{"a page that says it is a time stamp", reply(func([]byte) []byte { return []byte("<html>hello</html>") }), 1, "no RFC 3161 response", ""},
		{"nothing", reply(func([]byte) []byte { return nil }), 1, "no RFC 3161 response", ""},
		{"half of it", reply(func(q []byte) []byte { b := whole(q); return b[:len(b)/2] }), 1, "no RFC 3161 response", ""},
		{"more than it", reply(func(q []byte) []byte { return append(whole(q), 0) }), 1, "1 bytes after", ""},
		{"far too much", reply(func(q []byte) []byte { return append(whole(q), make([]byte, stamp.MaxToken)...) }), 1, "has over 1048576 bytes", ""},
		{"broken off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/timestamp-reply")
			w.Header().Set("Content-Length", "5000")
			_, _ = io.WriteString(w, "0")
		}, 3, "broke off after 1 bytes", ""},
		{"too slow", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that nobody waits any more
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}, 3, "deadline exceeded", ""},
		{"slow in the middle", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/timestamp-reply")
			_, _ = io.WriteString(w, "0")
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}, 3, "broke off after 1 bytes", ""},
		{"hung up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 3, "EOF", ""},
		{"503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, 3, "503 Service Unavailable", ""},
		{"429", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, 3, "429 Too Many Requests", ""},
		{"404", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 1, "404 Not Found", ""},
		{"401", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, 1, "user or password", ""},
		{"moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, a.URL, http.StatusTemporaryRedirect) }, 1, "has moved", ""},
		{"rejected", failure(timestamp.Rejection, timestamp.BadAlgorithm), 1, "rejection: the request is rejected, badAlg", ""},
		{"no time now", failure(timestamp.Rejection, timestamp.TimeNotAvailable), 3, "timeNotAvailable", ""},
		{"system failure", failure(timestamp.Rejection, timestamp.SystemFailure), 3, "systemFailure", ""},
		{"waiting", failure(timestamp.Waiting, timestamp.BadRequest), 3, "waiting", ""},
		{"about to be revoked", failure(timestamp.RevocationWarning, timestamp.BadRequest), 1, "revocationWarning", ""},
		{"unknown status", failure(99, timestamp.BadRequest), 1, "status 99", ""},
		{"granted, without a token", reply(func([]byte) []byte { return []byte{0x30, 5, 0x30, 3, 2, 1, 0} }), 1, "there is none", ""},
		{"another authority's token", func(w http.ResponseWriter, r *http.Request) { other.ServeHTTP(w, r) }, 1, "no chain", stamp.KindUntrusted},
		{"yesterday's token", reply(func([]byte) []byte { return tsatest.Response(a.Token(imprint)) }), 1, "lacks the nonce", stamp.KindNonce},
		{"the answer to another request", func() http.HandlerFunc {
			var first []byte
			return reply(func(q []byte) []byte {
				if first == nil {
					r, _ := timestamp.ParseRequest(q)
					r.Nonce.Add(r.Nonce, r.Nonce)
					q, _ = r.Marshal()
					first = whole(q)
				}
				return first
			})
		}(), 1, "answers another request", stamp.KindNonce},
		{"a token of something else", reply(func(q []byte) []byte {
			r, _ := timestamp.ParseRequest(q)
			r.HashedMessage[0] ^= 1
			q, _ = r.Marshal()
			return whole(q)
		}), 1, "of another digest", stamp.KindImprint},
	} {
		t.Run(c.name, func(t *testing.T) {
			var count atomic.Int64
			bad := broken(t, known(t, a, ""), func(w http.ResponseWriter, r *http.Request) { count.Add(1); c.answer(w, r) })
			var waits []time.Duration
			asks := client(&waits)
			if strings.Contains(c.name, "slow") {
				asks.Timeout = 300 * time.Millisecond
			}
			_, err := asks.Stamp(t.Context(), imprint, []authority.Authority{bad})
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "Broken") || stamp.KindOf(err) != c.kind {
				t.Errorf("got %q: %v", stamp.KindOf(err), err)
			}
			if asked := int(count.Load()); asked != c.tries || len(waits) != c.tries-1 {
				t.Errorf("asked %d times, with waits %v; want %d", asked, waits, c.tries)
			}
			if len(waits) == 2 && waits[1] != 2*waits[0] {
				t.Errorf("waits %v", waits)
			}
			token, err := asks.Stamp(t.Context(), imprint, []authority.Authority{bad, known(t, other, "Second")})
			if c.name == "too slow" || c.name == "slow in the middle" { // the second may be slower than that
				return
			}
			if err != nil || token.Authority != "Second" {
				t.Errorf("then by %q: %v", token.Authority, err)
			}
		})
	}
}

func TestDown(t *testing.T) {
	a := tsatest.Start(t)
	gone := httptest.NewServer(nil)
	down := known(t, a, "Down")
	down.URL = strings.Replace(gone.URL, "http://", "http://user:secret@", 1)
	gone.Close()
	token, err := client(nil).Stamp(t.Context(), imprint, []authority.Authority{down, known(t, a, "Up")})
	if err != nil || token.Authority != "Up" {
		t.Errorf("by %q: %v", token.Authority, err)
	}
	_, err = client(nil).Stamp(t.Context(), imprint, []authority.Authority{down})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "given up after 3 tries") {
		t.Errorf("got %v", err)
	}
}

func TestAtLeast(t *testing.T) {
	a, b, c := tsatest.Start(t), tsatest.StartWith(t, tsatest.Config{Name: "B"}), tsatest.StartWith(t, tsatest.Config{Name: "C"})
	bad := broken(t, known(t, a, ""), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	list := []authority.Authority{known(t, a, "A"), bad, known(t, b, "B"), known(t, c, "C")}
	names := func(tokens []authority.Token) (s string) {
		for _, t := range tokens {
			s += t.Authority
		}
		return s
	}
	tokens, err := client(nil).AtLeast(t.Context(), 2, imprint, list)
	if err != nil || names(tokens) != "AB" || c.Asked() != 0 {
		t.Errorf("%s, %v; C asked %d times", names(tokens), err, c.Asked())
	}
	if tokens, err = client(nil).AtLeast(t.Context(), 4, imprint, list); names(tokens) != "ABC" || err == nil || !strings.Contains(err.Error(), "3 of 4") || !strings.Contains(err.Error(), "404") {
		t.Errorf("%s, %v", names(tokens), err)
	}
	if _, err = client(nil).AtLeast(t.Context(), 5, imprint, list); err == nil || !strings.Contains(err.Error(), "4 authorities listed") {
		t.Errorf("got %v", err)
	}
	twice := []authority.Authority{list[0], list[0]}
	if _, err = client(nil).AtLeast(t.Context(), 2, imprint, twice); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("one authority counted twice: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	a := tsatest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int64
	bad := broken(t, known(t, a, ""), func(w http.ResponseWriter, _ *http.Request) { asked.Add(1); cancel(); w.WriteHeader(503) })
	asks := client(nil)
	asks.Sleep = nil
	start := time.Now()
	if _, err := asks.Stamp(ctx, imprint, []authority.Authority{bad, known(t, a, "Second")}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if asked.Load() != 1 || a.Asked() != 0 || time.Since(start) > 5*time.Second {
		t.Errorf("asked %d and %d times, in %s", asked.Load(), a.Asked(), time.Since(start))
	}
}

func TestNoRandomNumbers(t *testing.T) {
	a := tsatest.Start(t)
	asks := client(nil)
	asks.Random = strings.NewReader("four")
	if _, err := asks.Stamp(t.Context(), imprint, []authority.Authority{known(t, a, "A")}); err == nil || a.Asked() != 0 {
		t.Errorf("got %v, asked %d times", err, a.Asked())
	}
}
