package log

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/proof/tlogproof"
)

// Files is where a log is read from: a folder, a store, a web server.
type Files interface {
	// Read gives a whole file of at most limit bytes; path is as in the package comment. It may be called by several
	// goroutines. Errors: store.ErrNotFound, others of the source.
	Read(ctx context.Context, path string, limit int64) ([]byte, error)
}

// ErrFiles is wrapped by errors that mean: the log's files are not what its checkpoint says. They were changed, cut, mixed
// with another log's, or the log lies.
var ErrFiles = errors.New("log: the files contradict the checkpoint")

const (
	height = 8 // levels of the tree in a tile
	width  = 1 << height
	// MaxEntryBytes is the longest entry: its length stands in two bytes.
	MaxEntryBytes  = 1<<16 - 1
	maxBundleBytes = width * (2 + MaxEntryBytes)

	checkpointFile = "checkpoint"
	journalFile    = "journal"
	lockName       = "writer"
	// together is how many files are read or written at once.
	together = 8
)

type bucketFiles struct{ b store.Bucket }

// FromBucket reads a log from a store, or from a folder or bucket of others.
func FromBucket(b store.Bucket) Files { return bucketFiles{b} }

func (f bucketFiles) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	r, err := f.b.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r, path, limit)
}

type fsFiles struct{ fs fs.FS }

// FromFS reads a log from a file system, such as os.DirFS or a ZIP file.
func FromFS(f fs.FS) Files { return fsFiles{f} }

func (f fsFiles) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := f.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", store.ErrNotFound, path)
	}
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	defer r.Close()
	return readAll(r, path, limit)
}

type httpFiles struct {
	client *http.Client
	prefix string
}

// FromHTTP reads a log from a web server, below a URL prefix (https://bank.example/log). The client decides about time-outs
// and proxies; every request is sent once.
func FromHTTP(client *http.Client, prefix string) (Files, error) {
	u, err := url.Parse(prefix)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("log: %q is no URL of a log: https://host/path", prefix)
	}
	return httpFiles{client, strings.TrimSuffix(prefix, "/") + "/"}, nil
}

func (f httpFiles) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.prefix+path, nil)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	answer, err := f.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
		return readAll(answer.Body, f.prefix+path, limit)
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden: // buckets that may not be listed say 403 of what is not there
		return nil, fmt.Errorf("%w: %s%s: the server answers %s", store.ErrNotFound, f.prefix, path, answer.Status)
	}
	return nil, fmt.Errorf("log: %s%s: the server answers %s", f.prefix, path, answer.Status)
}

func readAll(r io.Reader, path string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("log: reading %s: %w", path, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: %s has more than the %d bytes it can have", ErrFiles, path, limit)
	}
	return data, nil
}

// path is where a tile lies; that of level -1 is an entry bundle. tlog writes tile/8/0/..., and data for entries.
func path(t tlog.Tile) string {
	p := strings.TrimPrefix(t.Path(), "tile/8/")
	if t.L == -1 {
		p = "entries" + strings.TrimPrefix(p, "data")
	}
	return "tile/" + p
}

// tileAt is tile n of a level in a tree of size entries, or bundle n for level -1. Outside of the tree it panics.
func tileAt(level int, n, size int64) tlog.Tile {
	have := size>>(height*max(level, 0)) - n*width
	if n < 0 || have <= 0 {
		panic(fmt.Sprintf("log: tile %d of level %d in a tree of %d", n, level, size))
	}
	return tlog.Tile{H: height, L: level, N: n, W: int(min(have, width))}
}

// readTile gives the bytes of a tile, not verified. If a partial one is gone it is cut from the whole one.
func readTile(ctx context.Context, f Files, t tlog.Tile) ([]byte, error) {
	data, name, err := readWide(ctx, f, t, width*tlog.HashSize)
	if err != nil {
		return nil, err
	}
	return parseTile(name, data, t.W)
}

// parseTile takes the first want hashes of a tile's file.
func parseTile(name string, data []byte, want int) ([]byte, error) {
	have := width
	if strings.Contains(name, ".p/") {
		have = want
	}
	if len(data) != have*tlog.HashSize {
		return nil, fmt.Errorf("%w: %s has %d bytes, not the %d of %d hashes", ErrFiles, name, len(data), have*tlog.HashSize, have)
	}
	return data[:want*tlog.HashSize], nil
}

// readBundle gives the entries of a bundle, not verified.
func readBundle(ctx context.Context, f Files, t tlog.Tile) ([][]byte, error) {
	data, name, err := readWide(ctx, f, t, maxBundleBytes)
	if err != nil {
		return nil, err
	}
	entries, err := parseBundle(data, width)
	have := t.W
	if name != path(t) {
		have = width
	}
	if err == nil && len(entries) != have {
		err = fmt.Errorf("%w: %d entries, not %d", ErrFiles, len(entries), have)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return entries[:t.W], nil
}

// readWide reads the file of a tile, or that of the whole tile if a partial one is not there any more.
func readWide(ctx context.Context, f Files, t tlog.Tile, limit int64) (data []byte, name string, err error) {
	name = path(t)
	data, err = f.Read(ctx, name, limit)
	if errors.Is(err, store.ErrNotFound) && t.W < width {
		whole := t
		whole.W = width
		if wide, werr := f.Read(ctx, path(whole), limit); werr == nil {
			return wide, path(whole), nil
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		err = fmt.Errorf("%w: %w", ErrFiles, err)
	}
	return data, name, err
}

// parseBundle splits a bundle into its entries, at most so many, which share memory with it. marshalBundle gives the same
// bytes again.
func parseBundle(data []byte, most int) ([][]byte, error) {
	var entries [][]byte
	for len(data) > 0 {
		if len(entries) == most {
			return nil, fmt.Errorf("%w: the bundle has more than %d entries", ErrFiles, most)
		}
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return nil, fmt.Errorf("%w: the bundle ends within entry %d", ErrFiles, len(entries))
		}
		n := 2 + int(binary.BigEndian.Uint16(data))
		entries = append(entries, data[2:n:n])
		data = data[n:]
	}
	return entries, nil
}

func marshalBundle(entries [][]byte) []byte {
	var data []byte
	for _, e := range entries {
		if len(e) > MaxEntryBytes {
			panic("log: an entry too long for a bundle")
		}
		data = binary.BigEndian.AppendUint16(data, uint16(len(e)))
		data = append(data, e...)
	}
	return data
}

// readCheckpoint gives the text of the newest checkpoint, not verified.
func readCheckpoint(ctx context.Context, f Files) (string, error) {
	text, err := f.Read(ctx, checkpointFile, tlogproof.MaxCheckpointBytes)
	return string(text), err
}
