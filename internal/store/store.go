// Package store is the contract for keeping objects: named runs of bytes in a folder, a bucket or alike.
// It imports no driver. Package storetest checks that a driver keeps the promises made here.
//
// # Promises
//
// Atomic: an object is there in full or not at all. While Put runs, and after it failed or its process was
// killed, Open, List and Each show what they showed before. Replacing an object is atomic too.
//
// Durable: once Put or Delete has returned nil, the change survives a crash of the process and a loss of
// power. After an error, or without an answer, the change may or may not have been made: look, or do it again.
//
// Consistent: what Put and Delete have done is seen by every Open, List and Each that begins later, from any process.
//
// May run twice: putting the same bytes again and deleting what is gone already are no errors.
//
// Concurrent: all methods may be called by several goroutines and processes at once. Of two Puts to one key one
// wins whole. A reader got from Open goes on reading the object it opened, also when that is replaced or deleted,
// or fails (a bucket keeps no replaced object for a reader whose connection was cut): it never mixes two objects.
// Bytes that were read are known to be the object's only when io.EOF was reached.
//
// Buckets of others: a Bucket is the part of a Store that reads, over a folder or bucket that somebody else filled.
// Its keys are what is there, not what CheckKey allows; a Store is a Bucket that shows its own objects only.
//
// Trust: a store is not trusted. Who can write to it can lose, swap or delay objects; readers compare hashes.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Object is what a listing tells about one object.
type Object struct {
	Key      string    // of a Bucket: any bytes at all, so quote it when showing it
	Size     int64     // bytes
	Modified time.Time // by the clock of the store
	// Refused says why this entry of a Bucket cannot be opened ("a symbolic link"), "" if it can. Then Size and
	// Modified may be zero. Entries of a Store are never refused.
	Refused string
}

// Bucket reads a folder or bucket of masters that others filled and may still be filling. It never writes.
type Bucket interface {
	// Each calls fn for every object whose key begins with prefix and is greater than after ("" for all), in the order
	// of the keys' bytes, in the caller's goroutine. Memory does not grow with the number of objects. What can be named
	// and not read is given with Refused set, and the walk goes on; it ends at the first error of fn, which is
	// returned as it is. To resume, give the last key that was handled as after. What changes meanwhile may be seen or
	// not; nothing else is left out, and no key comes twice.
	Each(ctx context.Context, prefix, after string, fn func(Object) error) error
	// Open reads an object; the caller closes it. Reading may end when ctx does. Errors: ErrNotFound, others of the driver.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
}

// Store keeps objects. The package comment says what every driver promises.
type Store interface {
	// Put creates or replaces an object with what write writes. If write fails nothing changes and its
	// error is returned, wrapped. Errors: ErrFull, ErrKey, others of the driver.
	Put(ctx context.Context, key string, write func(io.Writer) error) error
	// Open reads an object; the caller closes it. Reading may end when ctx does. Errors: ErrNotFound, ErrKey, others.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	// List returns the keys that begin with prefix, in the order of their bytes. None is no error. It holds all of
	// them in memory; Each does not.
	List(ctx context.Context, prefix string) ([]string, error)
	// Each is Bucket.Each over the objects that List shows.
	Each(ctx context.Context, prefix, after string, fn func(Object) error) error
	// Delete removes an object. Removing what is not there is no error.
	Delete(ctx context.Context, key string) error
	// Lock takes the lock of that name (a key) for this caller, or returns ErrLocked at once. The lock is advisory: it
	// stops other lockers only. It ends when release is called or, at once or after a time the driver states, when the
	// process ends, however that ends. If the driver can lose a lock while its holder lives, Put and Delete of
	// the Store it was taken from fail with ErrLocked from then on until release, which then fails too.
	// Locks are no objects: List and Each do not show them.
	Lock(ctx context.Context, name string) (release func() error, err error)
}

// Errors that drivers wrap.
var (
	ErrNotFound = errors.New("store: no such object")
	ErrLocked   = errors.New("store: locked by another process")
	ErrFull     = errors.New("store: no space left")
	ErrKey      = errors.New("store: not a key")
)

// MaxKeyLen is the most bytes a key may have: what S3 allows is 1,024, and drivers add to it.
const MaxKeyLen = 512

// CheckKey returns an error that wraps ErrKey unless key is 1 to MaxKeyLen bytes of parts joined by "/", each of 1
// to 200 letters, digits and "-_.~=+" of ASCII that does not begin with ".". So there is no absolute key, no "..",
// no NUL, nothing that a shell or Windows reads differently, and names that begin with "." are the driver's own.
func CheckKey(key string) error {
	if len(key) == 0 || len(key) > MaxKeyLen {
		return fmt.Errorf("%w: %d bytes long, 1 to %d are allowed", ErrKey, len(key), MaxKeyLen)
	}
	for part := range strings.SplitSeq(key, "/") {
		switch {
		case part == "":
			return fmt.Errorf("%w: %q has an empty part", ErrKey, key)
		case len(part) > 200:
			return fmt.Errorf("%w: %q has a part of more than 200 bytes", ErrKey, key)
		case part[0] == '.':
			return fmt.Errorf("%w: %q has a part that begins with a dot", ErrKey, key)
		}
	}
	for i := range len(key) {
		c := key[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.~=+/", c) >= 0:
		default:
			return fmt.Errorf("%w: %q has the byte %#x", ErrKey, key, c)
		}
	}
	return nil
}

// Keys collects what Each shows: it is List for drivers.
func Keys(ctx context.Context, b Bucket, prefix string) ([]string, error) {
	var keys []string
	err := b.Each(ctx, prefix, "", func(o Object) error {
		keys = append(keys, o.Key)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// ReadAll reads a whole object of at most limit bytes.
func ReadAll(ctx context.Context, s Bucket, key string, limit int64) ([]byte, error) {
	r, err := s.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("store: reading %s: %w", key, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("store: %s has more than %d bytes", key, limit)
	}
	return data, nil
}

// PutBytes puts an object held in memory.
func PutBytes(ctx context.Context, s Store, key string, data []byte) error {
	return s.Put(ctx, key, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
