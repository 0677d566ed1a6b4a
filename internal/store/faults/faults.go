// Package faults is an HTTP proxy that stands between an S3 driver and its server in tests and lets go wrong what goes
// wrong on real networks. Which request suffers what is a function of a seed and of the request (method, path,
// kind, how often it came before), not of time or of the order in which goroutines run.
package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind is what can go wrong.
type Kind string

// The faults. A request suffers one that fits it (there is no body to cut in a DELETE), Error500 if none of those asked for does.
const (
	Error500     Kind = "500"                // the server is never asked
	Error503     Kind = "503 slow down"      // the server is never asked
	Lost         Kind = "answer lost"        // the request is carried out, and the connection cut before the answer
	Late500      Kind = "500 after the fact" // the request is carried out, and answered with 500
	CutRequest   Kind = "request cut"        // the server gets half of the body, then the connection is cut
	CutResponse  Kind = "response cut"       // half of the body arrives, then the connection is cut
	Truncated    Kind = "body truncated"     // three quarters arrive, under a Content-Length that agrees
	Corrupted    Kind = "bit flipped"        // a bit of the answer's body is another
	CorruptedPut Kind = "bit of PUT flipped" // a bit of the request's body is another
	Slow         Kind = "slow"               // the body arrives in small pieces with pauses
	WrongETag    Kind = "wrong ETag"
	Stale        Kind = "stale listing" // what the same listing was earlier
	Duplicate    Kind = "duplicated"    // the request is carried out twice; the second answer arrives
)

// Kinds are all faults.
var Kinds = []Kind{Error500, Error503, Lost, Late500, CutRequest, CutResponse, Truncated, Corrupted, CorruptedPut, Slow, WrongETag, Stale, Duplicate}

// Proxy is the proxy, an http.Handler.
type Proxy struct {
	target *url.URL
	seed   uint64
	client *http.Client
	clean  *httputil.ReverseProxy

	mu       sync.Mutex
	rate     float64
	kinds    []Kind
	seen     map[string]uint64 // how often a request came
	listings map[string][]byte // last answers
	counts   map[Kind]int
	requests int
}

// maxBody is the most a body may have that a fault is done to, in bytes; larger ones go through.
const maxBody = 64 << 20

// New makes a proxy before a server (http://host:port) in which the share rate (0 to 1) of requests suffers one of kinds, or of all if
// there are none.
func New(target string, seed uint64, rate float64, kinds ...Kind) (*Proxy, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	if len(kinds) == 0 {
		kinds = Kinds
	}
	p := &Proxy{target: u, seed: seed, rate: rate, kinds: kinds, seen: map[string]uint64{}, listings: map[string][]byte{}, counts: map[Kind]int{},
		client: &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	p.clean = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport:     p.client.Transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // clients that go away are what is tested
	}
	return p, nil
}

// Set changes the share of faulty requests and, if any are given, the kinds.
func (p *Proxy) Set(rate float64, kinds ...Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = rate
	if len(kinds) > 0 {
		p.kinds = kinds
	}
}

// Counts says how many requests came and how many suffered each fault.
func (p *Proxy) Counts() (requests int, faults map[Kind]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests, maps.Clone(p.counts)
}

// String lists the counts.
func (p *Proxy) String() string {
	requests, counts := p.Counts()
	text := fmt.Sprintf("%d requests", requests)
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		text += fmt.Sprintf(", %d %s", counts[k], k)
	}
	return text
}

// choose decides what becomes of a request; "" for nothing bad.
func (p *Proxy) choose(r *http.Request) Kind {
	names := slices.Sorted(maps.Keys(r.URL.Query()))
	name := r.Method + " " + r.URL.EscapedPath() + "?" + strings.Join(names, "&") + r.URL.Query().Get("partNumber")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	n := p.seen[name]
	p.seen[name]++
	h := sha256.Sum256(fmt.Appendf(nil, "%d %d %s", p.seed, n, name))
	if float64(binary.BigEndian.Uint64(h[:])>>11)/(1<<53) >= p.rate {
		return ""
	}
	k := Error500
	if fitting := slices.DeleteFunc(slices.Clone(p.kinds), func(k Kind) bool { return !fits(k, r) }); len(fitting) > 0 {
		k = fitting[binary.BigEndian.Uint64(h[8:])%uint64(len(fitting))]
	}
	p.counts[k]++
	return k
}

// fits tells whether a fault can happen to a request.
func fits(k Kind, r *http.Request) bool {
	switch k {
	case CutRequest, CorruptedPut:
		return r.ContentLength > 1
	case CutResponse, Truncated, Slow, Corrupted:
		return r.Method == http.MethodGet
	case Stale:
		return listing(r)
	case WrongETag:
		return r.Method != http.MethodDelete && !listing(r)
	}
	return r.ContentLength <= maxBody
}

func listing(r *http.Request) bool {
	return r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2"
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch k := p.choose(r); {
	case k == Error500:
		fail(w, http.StatusInternalServerError, "InternalError")
	case k == Error503:
		fail(w, http.StatusServiceUnavailable, "SlowDown")
	case k == "" && !listing(r):
		p.clean.ServeHTTP(w, r)
	default:
		if err := p.spoil(k, w, r); err != nil {
			panic(http.ErrAbortHandler) // cuts the connection
		}
	}
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>by the fault proxy</Message></Error>", code)
}

var errCut = errors.New("cut")

// spoil carries a request out and does the fault. An error means that the connection is cut.
func (p *Proxy) spoil(k Kind, w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	switch k {
	case CutRequest:
		p.half(r, body)
		return errCut
	case CorruptedPut:
		body[len(body)/2] ^= 1
	case Duplicate:
		_, _, _ = p.send(r, body)
	}
	answer, text, err := p.send(r, body)
	if err != nil {
		return err
	}
	if listing(r) && answer.StatusCode == http.StatusOK {
		text = p.remember(k, r, text)
	}
	switch k {
	case Lost:
		return errCut
	case Late500:
		fail(w, http.StatusInternalServerError, "InternalError")
		return nil
	case WrongETag:
		if answer.Header.Get("ETag") != "" {
			answer.Header.Set("ETag", `"0123456789abcdef0123456789abcdef"`)
		}
	case Truncated:
		text = text[:len(text)*3/4]
	case Corrupted:
		if len(text) > 0 && answer.StatusCode < 300 && !listing(r) {
			text = bytes.Clone(text)
			text[len(text)/2] ^= 1
		}
	}
	return deliver(k, w, r, answer, text)
}

// send asks the server.
func (p *Proxy) send(r *http.Request, body []byte) (*http.Response, []byte, error) {
	out, err := p.request(r, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, nil, err
	}
	answer, err := p.client.Do(out)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer, text, err
}

// half sends half of a body and breaks off.
func (p *Proxy) half(r *http.Request, body []byte) {
	broken := io.MultiReader(bytes.NewReader(body[:len(body)/2]), errReader{})
	out, err := p.request(r, broken, int64(len(body)))
	if err != nil {
		return
	}
	if answer, err := p.client.Do(out); err == nil {
		answer.Body.Close()
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errCut }

func (p *Proxy) request(r *http.Request, body io.Reader, length int64) (*http.Request, error) {
	at := *r.URL
	at.Scheme, at.Host = p.target.Scheme, p.target.Host
	// The request goes on when the client has gone: that is how answers get lost.
	out, err := http.NewRequest(r.Method, at.String(), body)
	if err != nil {
		return nil, err
	}
	out.Header = r.Header.Clone()
	out.Host = r.Host
	out.ContentLength = length
	if length == 0 {
		out.Body = http.NoBody
	}
	return out, nil
}

// remember keeps a listing, and gives the one before if that is the fault.
func (p *Proxy) remember(k Kind, r *http.Request, text []byte) []byte {
	q := r.URL.Query()
	if q.Get("continuation-token") != "" {
		return text
	}
	name := r.URL.Path + " " + q.Get("prefix") + " " + q.Get("start-after")
	p.mu.Lock()
	defer p.mu.Unlock()
	before, ok := p.listings[name]
	p.listings[name] = text
	if k == Stale && ok {
		return before
	}
	return text
}

// deliver answers the client.
func deliver(k Kind, w http.ResponseWriter, r *http.Request, answer *http.Response, text []byte) error {
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	if r.Method != http.MethodHead && answer.StatusCode != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	}
	w.WriteHeader(answer.StatusCode)
	switch k {
	case CutResponse:
		_, _ = w.Write(text[:len(text)/2])
		_ = http.NewResponseController(w).Flush()
		return errCut
	case Slow:
		for piece := range slices.Chunk(text, max(1, len(text)/4)) {
			if _, err := w.Write(piece); err != nil {
				return err
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	}
	_, err := w.Write(text)
	return err
}
