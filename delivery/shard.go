package delivery

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/filigrane/filigrane/concepts"
)

// ShardForm says how shards are named and packed.
//
// A shard named by content is shard-N-H.tar, where N counts from 000000 and H is the first 16 hex digits of the SHA-256 of
// its listing: for each member in order a line "<SHA-256 of the member, hex>  <name>\n", which is what sha256sum prints
// of the unpacked files. So a customer finds out with the tools he has whether a shard is what its name says,
//
//	tar -tf S | while read f; do tar -xOf S "$f" | sha256sum | sed "s/-$/$f/"; done | sha256sum
//
// and the name does not depend on how the shard is packed. (The hash of the file itself, which the manifest has, would
// be known only after a shard is written, and so ask for every image to be read twice.)
type ShardForm string

// The forms of shards. ShardsZstd packs them with zstandard, which gains some 3 % where images are compressed already
// and costs the reader the way to one sample without unpacking those before it.
const (
	ShardsNumbered ShardForm = ""        // shard-N.tar, as once was the only form
	ShardsTar      ShardForm = "tar"     // named by content
	ShardsZstd     ShardForm = "tar.zst" // named by content, packed
)

// ParseShardForm reads the name of a form.
func ParseShardForm(text string) (ShardForm, error) {
	switch f := ShardForm(text); f {
	case ShardsNumbered, ShardsTar, ShardsZstd:
		return f, nil
	}
	return "", fmt.Errorf("delivery: no form of shards %q; choose tar or tar.zst", text)
}

const zstdExtension = ".zst"

// shardName gives the key of shard n in the form without content, by which its record is named too.
func shardName(n int) string { return fmt.Sprintf("shard-%06d.tar", n) }

// name gives the key of shard n with a listing.
func (f ShardForm) name(n int, listing []byte) string {
	if f == ShardsNumbered {
		return shardName(n)
	}
	return fmt.Sprintf("shard-%06d-%s.%s", n, hashOf(listing)[:16], f)
}

// names says whether a key is that of shard n in this form, with any content.
func (f ShardForm) names(key string, n int) bool {
	if f == ShardsNumbered {
		return key == shardName(n)
	}
	h, ok := strings.CutPrefix(key, fmt.Sprintf("shard-%06d-", n))
	if !ok {
		return false
	}
	h, ok = strings.CutSuffix(h, "."+string(f))
	return ok && len(h) == 16 && strings.Trim(h, "0123456789abcdef") == ""
}

// appendListing adds a member to a listing.
func appendListing(to io.Writer, sha256, name string) {
	fmt.Fprintf(to, "%s  %s\n", sha256, name) // to a hash or a buffer, which take everything
}

// packed gives where the archive of a form is to be written so that it arrives packed in w. One goroutine at a fixed
// level: the same archive gives the same bytes, whatever the machine has and however it is written. Another release of
// the packer may give others; the manifest's code version tells.
func (f ShardForm) packed(w io.Writer) (io.WriteCloser, error) {
	if f != ShardsZstd {
		return nopCloser{w}, nil
	}
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(4<<20), zstd.WithEncoderCRC(true))
}

// unpacked gives the archive of a shard with this key, and lets go of what that takes.
func unpacked(key string, r io.Reader) (io.Reader, func(), error) {
	if !strings.HasSuffix(key, zstdExtension) {
		return r, func() {}, nil
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, nil, fmt.Errorf("delivery: shard %s: %w", key, err)
	}
	return z, z.Close, nil
}

// nopCloser is a writer with nothing to close.
type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// listingHash gathers a listing as its hash.
type listingHash struct{ hash.Hash }

func newListingHash() listingHash { return listingHash{sha256.New()} }

func (l listingHash) add(sha256, name string) { appendListing(l, sha256, name) }

// is says whether the name of a shard is that of the listing.
func (l listingHash) is(key string) bool {
	return strings.Contains(key, "-"+hex.EncodeToString(l.Sum(nil))[:16]+".")
}

// maxSampleKey leaves room for an extension in the 100 bytes of a USTAR name.
const maxSampleKey = 90

// sampleKey makes a work ID fit for WebDataset, which cuts names at the first dot: letters, digits, "-" and "_"
// stay, any other byte becomes "~" and two hex digits. Keys of more than 90 bytes are cut to 60, then "~~" and the
// first 16 hex digits of the ID's SHA-256 follow. Two IDs share no key.
func sampleKey(id concepts.WorkID) string {
	var b strings.Builder
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			b.WriteString("~" + hex.EncodeToString([]byte{c}))
		}
	}
	key := b.String()
	if len(key) > maxSampleKey {
		key = key[:60] + "~~" + hashOf([]byte(id))[:16]
	}
	return key
}

// shardWriter writes samples to a WebDataset shard. The same samples give the same bytes.
type shardWriter struct{ t *tar.Writer }

func newShardWriter(w io.Writer) *shardWriter { return &shardWriter{tar.NewWriter(w)} }

// member begins a file of the shard; its bytes are then written to the result.
func (s *shardWriter) member(name string, size int64) (io.Writer, error) {
	err := s.t.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, Name: name, Size: size,
		Mode: 0o644, ModTime: time.Unix(0, 0), // no owner, no time: they would differ between runs
	})
	return s.t, err
}

// bytes adds a file held in memory.
func (s *shardWriter) bytes(name string, data []byte) error {
	w, err := s.member(name, int64(len(data)))
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// side is a member besides the image.
type side struct {
	name string
	data []byte
}

func (s *shardWriter) close() error { return s.t.Close() }
