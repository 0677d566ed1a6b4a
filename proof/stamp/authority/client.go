package authority

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/filigrane/filigrane/proof/stamp"
)

// maxResponse is the longest response that is read, in bytes.
const maxResponse = stamp.MaxToken

// nonceBytes: 64 bits are what authorities are known to take; RFC 3161 asks for at least as many.
const nonceBytes = 8

// Waits before an authority is asked again: firstWait, doubled each time up to longestWait.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 30 * time.Second
)

// Client asks authorities. Random and Now are needed; for the rest zero means what stands in brackets.
type Client struct {
	Random io.Reader        // for nonces: crypto/rand.Reader
	Now    func() time.Time // time.Now

	HTTP    *http.Client                               // [one of its own, with the environment's proxies]; redirects are not followed
	Timeout time.Duration                              // for a try [20 s]
	Tries   int                                        // for each authority [3]
	Sleep   func(context.Context, time.Duration) error // [one that ends with the context]
}

// Token is a time stamp that was asked for and verified.
type Token struct {
	Authority string // Authority.Name
	DER       []byte // what is kept
	Stamp     stamp.Stamp
}

// RejectedError is an answer without a token.
type RejectedError struct {
	Status  timestamp.Status // rejection, waiting, ...
	Failure []timestamp.FailureInfo
	Text    string // the authority's own words, if any
}

func (e *RejectedError) Error() string {
	s := "the authority gave no token: " + statusName(e.Status)
	for _, f := range e.Failure {
		s += ", " + failureName(f)
	}
	if e.Text != "" {
		s += fmt.Sprintf(" (%.200q)", e.Text)
	}
	return s
}

// Stamp asks the authorities for a time stamp of imprint, a SHA-256 digest, in the order of the list, until one gives a
// token. The error has those of all authorities in it.
func (c *Client) Stamp(ctx context.Context, imprint [sha256.Size]byte, list []Authority) (Token, error) {
	tokens, err := c.AtLeast(ctx, 1, imprint, list)
	if err != nil {
		return Token{}, err
	}
	return tokens[0], nil
}

// AtLeast asks the authorities, in the order of the list, until k of them have given a token each. Where fewer do, it
// returns those that there are and an error. Two entries of one address are an error: they are one authority. That the
// others are independent is up to who wrote the list. It panics if k is not positive.
func (c *Client) AtLeast(ctx context.Context, k int, imprint [sha256.Size]byte, list []Authority) ([]Token, error) {
	if k < 1 {
		panic("authority: AtLeast of no tokens")
	}
	if c.Random == nil || c.Now == nil {
		panic("authority: a Client without Random or Now")
	}
	if k > len(list) {
		return nil, fmt.Errorf("authority: %d time stamps wanted and %d authorities listed", k, len(list))
	}
	for i, a := range list {
		if slices.ContainsFunc(list[:i], func(o Authority) bool { return o.URL == a.URL }) {
			return nil, fmt.Errorf("authority: %s is listed twice, under one address", a.Name)
		}
	}
	var tokens []Token
	var failures []error
	for _, a := range list {
		t, err := c.ask(ctx, imprint, a)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", a.Name, err))
			continue
		}
		if tokens = append(tokens, t); len(tokens) == k {
			return tokens, nil
		}
	}
	return tokens, fmt.Errorf("authority: %d of %d time stamps: %w", len(tokens), k, errors.Join(failures...))
}

// passingError is one that another try may not meet.
type passingError struct{ error }

func (e passingError) Unwrap() error { return e.error }

// ask asks one authority, again if that may help.
func (c *Client) ask(ctx context.Context, imprint [sha256.Size]byte, a Authority) (Token, error) {
	tries := c.Tries
	if tries == 0 {
		tries = 3
	}
	sleep := c.Sleep
	if sleep == nil {
		sleep = pause
	}
	wait := firstWait
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return Token{}, err
		}
		t, err := c.try(ctx, imprint, a)
		if err == nil || !errors.As(err, new(passingError)) || ctx.Err() != nil {
			return t, err
		}
		if n == tries {
			return Token{}, fmt.Errorf("given up after %d tries: %w", n, err)
		}
		if err := sleep(ctx, wait); err != nil {
			return Token{}, err
		}
		wait = min(2*wait, longestWait)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// try asks once, with a nonce of its own, and verifies what comes.
func (c *Client) try(ctx context.Context, imprint [sha256.Size]byte, a Authority) (Token, error) {
	b := make([]byte, nonceBytes)
	if _, err := io.ReadFull(c.Random, b); err != nil {
		return Token{}, fmt.Errorf("no random numbers for the nonce: %w", err)
	}
	nonce := new(big.Int).SetBytes(b)
	request := timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: imprint[:], Certificates: true, Nonce: nonce}
	if len(a.Policies) > 0 {
		oid, err := parseOID(a.Policies[0])
		if err != nil {
			return Token{}, err
		}
		request.TSAPolicyOID = oid
	}
	der, err := request.Marshal()
	if err != nil {
		return Token{}, err
	}
	answer, err := c.post(ctx, a.URL, der)
	if err != nil {
		return Token{}, err
	}
	token, err := parseResponse(answer)
	if err != nil {
		return Token{}, err
	}
	policy := a.Policy(c.Now())
	policy.Nonce = nonce
	s, err := stamp.Verify(token, imprint, policy)
	if err != nil {
		return Token{}, err
	}
	return Token{Authority: a.Name, DER: token, Stamp: s}, nil
}

func parseOID(s string) (asn1.ObjectIdentifier, error) {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, fmt.Errorf("policy %q is no object identifier that can be asked for", s)
		}
		oid = append(oid, n)
	}
	return oid, nil
}

// post sends a request and returns the body of the answer.
func (c *Client) post(ctx context.Context, address string, request []byte) ([]byte, error) {
	u, err := checkURL(address)
	if err != nil {
		return nil, err
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/timestamp-query")
	r.Header.Set("Accept", "application/timestamp-reply")
	client := http.Client{}
	if c.HTTP != nil {
		client = *c.HTTP
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := client.Do(r)
	if err != nil {
		return nil, passingError{err} // names the address, without the password
	}
	defer answer.Body.Close()
	if err := checkAnswer(answer); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxResponse+1))
	if err != nil {
		return nil, passingError{fmt.Errorf("the answer of %s broke off after %d bytes: %w", u.Redacted(), len(body), err)}
	}
	if len(body) > maxResponse {
		return nil, fmt.Errorf("the answer of %s has over %d bytes", u.Redacted(), maxResponse)
	}
	return body, nil
}

// checkAnswer checks an answer's status and type.
func checkAnswer(r *http.Response) error {
	where := r.Request.URL.Redacted()
	switch {
	case r.StatusCode >= 300 && r.StatusCode < 400:
		return fmt.Errorf("%s has moved (%s) to %q; write the new address into the list", where, r.Status, r.Header.Get("Location"))
	case r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s wants another user or password (%s); write them into its url", where, r.Status)
	case r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusRequestTimeout || r.StatusCode >= 500:
		return passingError{fmt.Errorf("%s answered %s", where, r.Status)}
	case r.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answered %s", where, r.Status)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/timestamp-reply" {
		return fmt.Errorf("%s answered with %q, which is no time stamp; is its address right, or does a proxy answer for it?", where, r.Header.Get("Content-Type"))
	}
	return nil
}

// response is a TimeStampResp, RFC 3161 section 2.4.2. The library's reader takes any PKCS #7 and gives a rejection as
// text only.
type response struct {
	Status struct {
		Status  int
		Text    []asn1.RawValue `asn1:"optional"`
		Failure asn1.BitString  `asn1:"optional"`
	}
	Token asn1.RawValue `asn1:"optional"`
}

// parseResponse returns the token of a response, or why there is none.
func parseResponse(der []byte) ([]byte, error) {
	var r response
	rest, err := asn1.Unmarshal(der, &r)
	if err != nil {
		return nil, fmt.Errorf("the answer is no RFC 3161 response, or a part of one: %w", err)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes after the response", len(rest))
	}
	status := timestamp.Status(r.Status.Status)
	if status == timestamp.Granted || status == timestamp.GrantedWithMods {
		if len(r.Token.FullBytes) == 0 {
			return nil, errors.New("the authority says that it gave a token, and there is none")
		}
		return r.Token.FullBytes, nil
	}
	rejected := &RejectedError{Status: status}
	var words []string
	for _, t := range r.Status.Text {
		words = append(words, string(t.Bytes))
	}
	rejected.Text = strings.Join(words, "; ")
	passing := status == timestamp.Waiting
	for n := range r.Status.Failure.BitLength {
		if r.Status.Failure.At(n) == 1 {
			f := timestamp.FailureInfo(n)
			rejected.Failure = append(rejected.Failure, f)
			passing = passing || f == timestamp.TimeNotAvailable || f == timestamp.SystemFailure
		}
	}
	if passing {
		return nil, passingError{rejected}
	}
	return nil, rejected
}

// statusName is the name that RFC 3161 has for a PKIStatus, with what it means.
func statusName(s timestamp.Status) string {
	names := []string{"granted", "grantedWithMods", "rejection", "waiting", "revocationWarning", "revocationNotification"}
	if s < 0 || int(s) >= len(names) {
		return fmt.Sprintf("status %d", int(s))
	}
	return names[s] + ": " + s.String()
}

// failureName is the name that RFC 3161 has for a bit of PKIFailureInfo, with what it means.
func failureName(f timestamp.FailureInfo) string {
	names := map[timestamp.FailureInfo]string{timestamp.BadAlgorithm: "badAlg", timestamp.BadRequest: "badRequest", timestamp.BadDataFormat: "badDataFormat",
		timestamp.TimeNotAvailable: "timeNotAvailable", timestamp.UnacceptedPolicy: "unacceptedPolicy", timestamp.UnacceptedExtension: "unacceptedExtension",
		timestamp.AddInfoNotAvailable: "addInfoNotAvailable", timestamp.SystemFailure: "systemFailure"}
	if name, ok := names[f]; ok {
		return name + ": " + f.String()
	}
	return fmt.Sprintf("failure %d", int(f))
}
