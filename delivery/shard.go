package delivery

import (
	"archive/tar"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
)

// shardName gives the key of shard n.
func shardName(n int) string { return fmt.Sprintf("shard-%06d.tar", n) }

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

func (s *shardWriter) close() error { return s.t.Close() }
