package intake

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"strings"

	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/store"
)

// Kinds of refusals for what a bucket can name and not read; ingest has the others.
const (
	KindLink     ingest.Kind = "symlink"    // links are never followed, so that no circle is and nothing outside is read
	KindNotFile  ingest.Kind = "not_a_file" // a pipe, a device, a socket
	KindUnread   ingest.Kind = "unreadable" // a folder or file that cannot be looked at
	KindArchived ingest.Kind = "archived"   // in a storage class that has to be restored first
	KindBadKey   ingest.Kind = "bad_path"   // a key no request can name
)

// source shows a bucket to ingest.
type source struct {
	bucket store.Bucket
	folder string
	skip   func(string) bool
}

// errStopped ends a listing whose reader has gone.
var errStopped = errors.New("stopped")

// objects lists the bucket.
func (s *source) objects(ctx context.Context) ingest.Objects {
	return func(yield func(ingest.Object, error) bool) {
		any := false
		err := s.bucket.Each(ctx, s.folder, "", func(o store.Object) error {
			if s.skip != nil && s.skip(o.Key) {
				return nil
			}
			any = true
			if o.Refused != "" {
				if !yield(ingest.Object{Name: o.Key}, refuse(o)) {
					return errStopped
				}
				return nil
			}
			if !yield(s.object(o), nil) {
				return errStopped
			}
			return nil
		})
		switch {
		case errors.Is(err, errStopped):
		case err != nil:
			yield(ingest.Object{}, err)
		case !any:
			yield(ingest.Object{}, fmt.Errorf("%w: no object in %v below %q; nothing was changed; check the place, and that its disk is mounted", ErrNothing, s.bucket, s.folder))
		}
	}
}

func (s *source) object(o store.Object) ingest.Object {
	return ingest.Object{Name: o.Key, Size: o.Size, Modified: o.Modified, Open: func(ctx context.Context) (io.ReadCloser, error) {
		r, err := s.bucket.Open(ctx, o.Key)
		if errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("%w (%w)", fs.ErrNotExist, err) // which ingest knows
		}
		return r, err
	}}
}

// refuse names why a bucket cannot read what it lists. The words are those of the drivers; a test holds them together.
func refuse(o store.Object) *ingest.Refusal {
	kind, advice := KindNotFile, "; remove it, or leave it"
	switch why := o.Refused; {
	case strings.HasPrefix(why, "a symbolic link"):
		kind, advice = KindLink, "; copy what it leads to in its place"
	case strings.Contains(why, "cannot be"):
		kind, advice = KindUnread, "; check who may read it"
	case strings.HasPrefix(why, "a path of more"):
		kind, advice = KindBadKey, "; move it up"
	case strings.HasPrefix(why, "archived"):
		kind, advice = KindArchived, ""
	case strings.Contains(why, "key"):
		kind, advice = KindBadKey, "; rename it"
	}
	return &ingest.Refusal{Name: o.Key, Kind: kind, Detail: clean(o.Refused) + advice}
}

// stater is a bucket that can look at one object. Others list it.
type stater interface {
	Stat(ctx context.Context, key string) (store.Object, error)
}

// stat looks whether an object is there.
func (s *source) stat(ctx context.Context, name string) (ingest.Object, bool, error) {
	if b, can := s.bucket.(stater); can {
		switch o, err := b.Stat(ctx, name); {
		case err == nil:
			return s.object(o), o.Refused == "", nil
		case errors.Is(err, store.ErrNotFound):
			return ingest.Object{}, false, nil
		case !errors.Is(err, errors.ErrUnsupported):
			return ingest.Object{}, false, err
		}
	}
	var found *store.Object
	err := s.bucket.Each(ctx, name, "", func(o store.Object) error {
		if o.Key == name {
			found = &o
		}
		return errStopped // the name itself comes first, if it is there
	})
	if err != nil && !errors.Is(err, errStopped) {
		return ingest.Object{}, false, err
	}
	if found == nil || found.Refused != "" {
		return ingest.Object{}, false, nil
	}
	return s.object(*found), true, nil
}

// names remembers which names were met, in some 20 bytes each: with 10^8 of them the chance that one is taken for another is
// 3 in 10^4, and all that comes of it is a refusal that stays listed after its object has gone.
type names struct {
	seed maphash.Seed
	met  map[uint64]struct{}
}

func newNames() names { return names{maphash.MakeSeed(), map[uint64]struct{}{}} }

func (n names) add(name string) { n.met[maphash.String(n.seed, name)] = struct{}{} }

func (n names) has(name string) bool {
	_, met := n.met[maphash.String(n.seed, name)]
	return met
}
