package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/filigrane/filigrane/internal/store"
)

// The library waits after its last try too. Waiting is done here, where it can be cancelled and tested.
func init() { minio.DefaultRetryUnit = 0 }

// Waits before a request is sent again: a random part of firstWait, doubled each time up to longestWait.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 20 * time.Second
)

// try sends a request until it succeeds, fails for good or was sent Options.Tries times.
func (c *client) try(ctx context.Context, doing, key string, send func() error) error {
	for failed := 0; ; failed++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("store: %s %s: %w", doing, key, err)
		}
		err := send()
		if err == nil {
			return nil
		}
		if err := c.pause(ctx, failed, err); err != nil {
			return c.explain(doing, key, err)
		}
	}
}

// pause waits after the failure of a request, the failed+1st in a row. It returns an error if there is no sense in waiting.
func (c *client) pause(ctx context.Context, failed int, failure error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !passing(failure) {
		return failure
	}
	if failed+1 >= c.opt.Tries {
		return fmt.Errorf("given up after %d tries: %w", failed+1, failure)
	}
	most := longestWait
	if failed < 8 {
		most = min(most, firstWait<<failed)
	}
	return c.opt.Sleep(ctx, time.Duration(c.opt.Random()*float64(most)))
}

// passing tells whether a failure may be gone next time.
func passing(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var (
		answer    minio.ErrorResponse
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		dns       *net.DNSError
		final     final
	)
	switch {
	case errors.As(err, &final):
		return false
	case errors.As(err, &answer):
		return passingAnswer(answer)
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &record):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return true // the connection broke, or what arrived could not be read
}

// passingCodes are errors that S3 counts as the client's, and that come from what happened on the way.
var passingCodes = []string{"RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch",
	"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled", "InternalError",
	"OperationAborted", "ConditionalRequestConflict",
	"ExistingObjectIsDirectory"} // versitygw, when another request removes the folder of a key because it is empty

func passingAnswer(e minio.ErrorResponse) bool {
	if isFull(e) {
		return false
	}
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return e.StatusCode >= 500 || e.StatusCode == 0 && e.Code != minio.InvalidArgument || slices.Contains(passingCodes, e.Code)
}

// final wraps an error that must not be tried again.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

func isFull(e minio.ErrorResponse) bool {
	return e.StatusCode == http.StatusInsufficientStorage ||
		slices.Contains([]string{"QuotaExceeded", "NoSpaceLeftOnDevice", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "InsufficientCapacity"}, e.Code)
}

// explain adds what was being done, what the error means to package store, and what can be done about it.
func (c *client) explain(doing, key string, err error) error {
	what := fmt.Sprintf("%s %q in %s", doing, key, c)
	if key == "" {
		what = doing + " " + c.String()
	}
	var e minio.ErrorResponse
	if !errors.As(err, &e) {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	switch {
	case isFull(e):
		return fmt.Errorf("%w: %s: %w", store.ErrFull, what, err)
	case e.Code == minio.NoSuchBucket:
		return fmt.Errorf("store: %s: the server has no bucket %s: create it, or check its name and the endpoint: %w", what, c.opt.Bucket, err)
	case e.StatusCode == http.StatusNotFound && (e.Code == minio.NoSuchKey || key != "" && e.Code != minio.NoSuchUpload):
		return fmt.Errorf("%w: %s", store.ErrNotFound, key)
	case e.Code == "RequestTimeTooSkewed":
		return fmt.Errorf("store: %s: the clocks of this machine and the server differ too much: set them: %w", what, err)
	case e.StatusCode == http.StatusForbidden, e.StatusCode == http.StatusUnauthorized:
		return fmt.Errorf("store: %s: the server refuses (%s): check the access key, the secret key, the region and what they may do: %w", what, e.Code, err)
	case e.StatusCode == http.StatusMovedPermanently, e.StatusCode == http.StatusTemporaryRedirect, e.Code == "AuthorizationHeaderMalformed":
		return fmt.Errorf("store: %s: the bucket is in another region or at another endpoint (%s): give that one: %w", what, e.Region, err)
	}
	return fmt.Errorf("store: %s: %w", what, err)
}

// answered tells whether the server's answer has this status.
func answered(err error, status int) bool {
	var e minio.ErrorResponse
	return errors.As(err, &e) && e.StatusCode == status
}

// newTransport makes connections that are cut when nothing happens on them for Options.Stall.
func newTransport(opt Options) *http.Transport {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       min(opt.Stall/2, time.Minute),
		TLSHandshakeTimeout:   min(opt.Stall, 30*time.Second),
		ExpectContinueTimeout: 10 * time.Second,
		DisableCompression:    true, // an object with Content-Encoding is kept as it is
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: opt.RootCAs},
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := opt.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &watched{Conn: c, stall: opt.Stall}, nil
	}
	return t
}

// watched is a connection with a deadline that every read and write puts off.
type watched struct {
	net.Conn
	stall time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	if err := w.SetReadDeadline(time.Now().Add(w.stall)); err != nil {
		return 0, err
	}
	return w.Conn.Read(p)
}

// Write puts off the read that waits for the answer, too.
func (w *watched) Write(p []byte) (int, error) {
	if err := w.SetDeadline(time.Now().Add(w.stall)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}
