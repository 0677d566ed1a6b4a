package witness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/proof/log"
	"github.com/filigrane/filigrane/proof/tlogproof"
)

// maxRequestHashes is what c2sp.org/tlog-witness allows.
const maxRequestHashes = 63

const maxRequestBytes = 30 + maxRequestHashes*45 + 1 + tlogproof.MaxCheckpointBytes

// Marshal writes the body of an add-checkpoint request: "old <size>", the hashes in base64, one a line, an empty line, the
// checkpoint.
func (r Request) Marshal() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "old %d\n", r.OldSize)
	for _, h := range r.Hashes {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n" + r.Checkpoint)
	return []byte(b.String())
}

// ParseRequest reads what Marshal writes, and nothing else. The checkpoint is not looked at. Errors: tlogproof.ErrForm.
func ParseRequest(body []byte) (Request, error) {
	head, checkpoint, found := strings.Cut(string(body), "\n\n")
	if !found || len(body) > maxRequestBytes {
		return Request{}, fmt.Errorf("%w: a request is an old size, hashes, an empty line, a checkpoint, in at most %d bytes", tlogproof.ErrForm, maxRequestBytes)
	}
	lines := strings.Split(head, "\n")
	digits, found := strings.CutPrefix(lines[0], "old ")
	size, err := strconv.ParseInt(digits, 10, 64)
	if !found || err != nil || size < 0 || size > tlogproof.MaxSize || strconv.FormatInt(size, 10) != digits {
		return Request{}, fmt.Errorf("%w: the first line of a request is \"old <size>\", not %.40q", tlogproof.ErrForm, lines[0])
	}
	if len(lines) > 1+maxRequestHashes {
		return Request{}, fmt.Errorf("%w: %d hashes, at most %d are allowed", tlogproof.ErrForm, len(lines)-1, maxRequestHashes)
	}
	r := Request{OldSize: size, Checkpoint: checkpoint}
	for _, line := range lines[1:] {
		h, err := tlogproof.ParseHash(line)
		if err != nil {
			return Request{}, fmt.Errorf("%w: %w", tlogproof.ErrForm, err)
		}
		r.Hashes = append(r.Hashes, h)
	}
	return r, nil
}

// Handler answers POST /add-checkpoint as c2sp.org/tlog-witness says. now gives the time that is signed.
func Handler(w *Witness, now func() time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", func(out http.ResponseWriter, in *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(out, in.Body, maxRequestBytes))
		if err != nil {
			http.Error(out, "the request could not be read", http.StatusBadRequest)
			return
		}
		line, err := answer(in.Context(), w, now(), body)
		var conflict *ConflictError
		var fork *log.ForkError
		switch {
		case err == nil:
			out.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(out, line)
		case errors.As(err, &conflict):
			sizeConflict(out, conflict.Size)
		case errors.As(err, &fork) && len(fork.Fork.Hashes) == 0: // two trees of one size
			first, _ := tlogproof.ParseUnverified(fork.Fork.First)
			sizeConflict(out, first.Size)
		default:
			code := status(err)
			text := http.StatusText(code)
			if code < 500 {
				text = err.Error()
			}
			http.Error(out, text, code)
		}
	})
	return mux
}

func answer(ctx context.Context, w *Witness, now time.Time, body []byte) (string, error) {
	r, err := ParseRequest(body)
	if err != nil {
		return "", err
	}
	return w.Add(ctx, now, r)
}

func sizeConflict(out http.ResponseWriter, size int64) {
	out.Header().Set("Content-Type", "text/x.tlog.size")
	out.WriteHeader(http.StatusConflict)
	_, _ = fmt.Fprintf(out, "%d\n", size)
}

// status is the table of errors and HTTP statuses.
func status(err error) int {
	var fork *log.ForkError
	switch {
	case errors.Is(err, ErrUnknownLog):
		return http.StatusNotFound
	case errors.Is(err, tlogproof.ErrSignature):
		return http.StatusForbidden
	case errors.Is(err, tlogproof.ErrForm), errors.Is(err, ErrOldSize):
		return http.StatusBadRequest
	case errors.Is(err, tlogproof.ErrProof), errors.As(err, &fork):
		return http.StatusUnprocessableEntity
	case errors.Is(err, store.ErrLocked):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Client asks a witness over HTTP.
type Client struct {
	HTTP *http.Client // decides about time-outs
	URL  string       // the submission prefix, such as https://witness.example
}

// Add sends one request and gives the answer's signature lines, not verified: Writer.Cosign and Policy.Merge verify them.
// Errors: *ConflictError with the size to start from, others with the witness's words.
func (c Client) Add(ctx context.Context, r Request) (string, error) {
	in, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+"/add-checkpoint", strings.NewReader(string(r.Marshal())))
	if err != nil {
		return "", fmt.Errorf("witness: %w", err)
	}
	out, err := c.HTTP.Do(in)
	if err != nil {
		return "", fmt.Errorf("witness: %w", err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, tlogproof.MaxCheckpointBytes))
	if err != nil {
		return "", fmt.Errorf("witness: reading the answer of %s: %w", c.URL, err)
	}
	switch {
	case out.StatusCode == http.StatusOK:
		return string(body), nil
	case out.StatusCode == http.StatusConflict && out.Header.Get("Content-Type") == "text/x.tlog.size":
		size, err := strconv.ParseInt(strings.TrimSuffix(string(body), "\n"), 10, 64)
		if err != nil || size < 0 || size > tlogproof.MaxSize {
			return "", fmt.Errorf("witness: %s answers with a conflict and no size: %.40q", c.URL, body)
		}
		return "", &ConflictError{size}
	}
	return "", fmt.Errorf("witness: %s refuses the checkpoint: %s: %.300q", c.URL, out.Status, body)
}

// Cosign asks for a cosignature under c, with the proof read from the log's files. oldSize is what the witness is believed
// to have cosigned last; 0 will do, it costs one request more.
func (c Client) Cosign(ctx context.Context, r *log.Reader, checkpoint tlogproof.Checkpoint, oldSize int64) (string, error) {
	var conflict *ConflictError
	// Twice is enough unless others submit at the same time; then once more.
	for range 3 {
		_, hashes, err := r.TreeProof(ctx, checkpoint, oldSize)
		if err != nil {
			return "", err
		}
		lines, err := c.Add(ctx, Request{oldSize, hashes, checkpoint.Note})
		if !errors.As(err, &conflict) {
			return lines, err
		}
		switch {
		case conflict.Size == oldSize:
			return "", fmt.Errorf("witness: FORK: %s has cosigned another tree of %d entries of %s: find out why before anything is added", c.URL, oldSize, checkpoint.Origin)
		case conflict.Size > checkpoint.Size:
			return "", fmt.Errorf("witness: %s has cosigned %d entries of %s already, this checkpoint has %d: send the newest; if it is, the log was set back", c.URL, conflict.Size, checkpoint.Origin, checkpoint.Size)
		}
		oldSize = conflict.Size
	}
	return "", conflict
}
