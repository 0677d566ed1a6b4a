package table

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync/atomic"
)

// The rows lie in one file behind each other, in the table's order:
//
//	uvarint length of what follows; uvarint 4 x line, 2 more if it was left out, 1 more if what it says on training was not read; uvarint number of the row; uvarint length, key; uvarint fields; for each: uvarint column, uvarint length, value
//
// The index is a file of entries of 16 bytes, sorted: the first 8 bytes of the SHA-256 of the key, and where its row begins,
// both big-endian. It is made by writing the entries to 256 files by the first byte of the hash and sorting each: hashes
// are even, so each holds a 256th of them. Memory keeps the first hash of every page of 256 entries.
const (
	parts       = 256
	entryBytes  = 16
	pageEntries = 256
	partBuffer  = 32 << 10
)

type index struct {
	dir     string
	data    *os.File
	out     *bufio.Writer
	parts   [parts]*os.File
	buffers [parts]*bufio.Writer
	size    int64 // of data, in bytes
	sorted  *os.File
	entries int64
	fences  []uint64
	used    []atomic.Uint64 // a bit a row
	rows    int64
	buf     []byte
}

func newIndex(temp string) (*index, error) {
	dir, err := os.MkdirTemp(temp, "filigrane-table-")
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	x := &index{dir: dir}
	if x.data, err = os.Create(filepath.Join(dir, "rows")); err != nil {
		x.Close()
		return nil, fmt.Errorf("table: %w", err)
	}
	x.out = bufio.NewWriterSize(x.data, 1<<20)
	return x, nil
}

// Close deletes the files.
func (x *index) Close() error {
	for _, f := range append(x.parts[:], x.data, x.sorted) {
		if f != nil {
			f.Close()
		}
	}
	return os.RemoveAll(x.dir)
}

func hashOf(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:])
}

// add writes a row; columns are the numbers of its fields' columns.
func (x *index) add(r Row, columns []int) error {
	b := binary.AppendUvarint(x.buf[:0], uint64(r.Line)<<2|bit(r.bad)<<1|bit(r.unread))
	b = binary.AppendUvarint(b, uint64(r.n))
	b = appendText(b, r.Key)
	b = binary.AppendUvarint(b, uint64(len(columns)))
	for i, c := range columns {
		b = appendText(binary.AppendUvarint(b, uint64(c)), r.Fields[i].Value)
	}
	x.buf = b
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(len(b)))
	if _, err := x.out.Write(head[:n]); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	if _, err := x.out.Write(b); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	h := hashOf(r.Key)
	part := h >> 56
	if x.parts[part] == nil {
		f, err := os.Create(filepath.Join(x.dir, fmt.Sprintf("part-%03d", part)))
		if err != nil {
			return fmt.Errorf("table: %w", err)
		}
		x.parts[part], x.buffers[part] = f, bufio.NewWriterSize(f, partBuffer)
	}
	var entry [entryBytes]byte
	binary.BigEndian.PutUint64(entry[:], h)
	binary.BigEndian.PutUint64(entry[8:], uint64(x.size))
	if _, err := x.buffers[part].Write(entry[:]); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	x.size += int64(n + len(b))
	x.rows++
	return nil
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// build sorts the index. Nothing is added after it.
func (x *index) build(ctx context.Context) error {
	err := x.out.Flush()
	if err == nil {
		x.sorted, err = os.Create(filepath.Join(x.dir, "index"))
	}
	if err != nil {
		return fmt.Errorf("table: %w", err)
	}
	out := bufio.NewWriterSize(x.sorted, 1<<20)
	for i, f := range x.parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f == nil {
			continue
		}
		if err := x.buffers[i].Flush(); err != nil {
			return fmt.Errorf("table: %w", err)
		}
		if err := x.sortPart(f, out); err != nil {
			return fmt.Errorf("table: %w", err)
		}
		f.Close()
		os.Remove(f.Name()) // a rest is removed with the folder
		x.parts[i], x.buffers[i] = nil, nil
	}
	x.used, x.out, x.buf = make([]atomic.Uint64, (x.rows+63)/64), nil, nil
	if err := out.Flush(); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	return nil
}

func (x *index) sortPart(f *os.File, out io.Writer) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	all, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	entries := make([][2]uint64, len(all)/entryBytes)
	for i := range entries {
		at := all[i*entryBytes:]
		entries[i] = [2]uint64{binary.BigEndian.Uint64(at), binary.BigEndian.Uint64(at[8:])}
	}
	slices.SortFunc(entries, func(a, b [2]uint64) int { return slices.Compare(a[:], b[:]) })
	for _, e := range entries {
		if x.entries%pageEntries == 0 {
			x.fences = append(x.fences, e[0])
		}
		x.entries++
		var entry [entryBytes]byte
		binary.BigEndian.PutUint64(entry[:], e[0])
		binary.BigEndian.PutUint64(entry[8:], e[1])
		if _, err := out.Write(entry[:]); err != nil {
			return err
		}
	}
	return nil
}

// maxSame bounds how many rows of one key are looked at: one more says that there are more.
const maxSame = 1000

// find gives the rows of a key.
func (x *index) find(key string, columns []Column) ([]Row, error) {
	h := hashOf(key)
	page := sort.Search(len(x.fences), func(i int) bool { return x.fences[i] >= h })
	page = max(page-1, 0) // the rows may begin in the page before
	var rows []Row
	var buf [pageEntries * entryBytes]byte
	for ; page < len(x.fences) && x.fences[page] <= h; page++ {
		n, err := x.sorted.ReadAt(buf[:], int64(page)*int64(len(buf)))
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("table: %w", err)
		}
		entries := n / entryBytes
		at := sort.Search(entries, func(i int) bool { return binary.BigEndian.Uint64(buf[i*entryBytes:]) >= h })
		for ; at < entries && binary.BigEndian.Uint64(buf[at*entryBytes:]) == h; at++ {
			row, err := x.row(int64(binary.BigEndian.Uint64(buf[at*entryBytes+8:])), columns)
			if err != nil {
				return nil, err
			}
			if row.Key == key && len(rows) <= maxSame {
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// row reads the row that begins at an offset.
func (x *index) row(offset int64, columns []Column) (Row, error) {
	buf := make([]byte, 1024)
	n, err := x.data.ReadAt(buf, offset)
	if err != nil && err != io.EOF {
		return Row{}, fmt.Errorf("table: %w", err)
	}
	size, head := binary.Uvarint(buf[:n])
	if head <= 0 {
		return Row{}, errDamaged
	}
	if int(size) > n-head {
		buf = make([]byte, int(size)+head)
		if n, err = x.data.ReadAt(buf, offset); err != nil && err != io.EOF || n < len(buf) {
			return Row{}, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	return parseRow(buf[head:head+int(size)], columns)
}

var errDamaged = errors.New("table: the temporary file of rows is damaged")

func parseRow(b []byte, columns []Column) (Row, error) {
	number := func() int {
		v, n := binary.Uvarint(b)
		b = b[max(n, 0):]
		return int(v)
	}
	text := func() string {
		n := min(number(), len(b))
		s := string(b[:n])
		b = b[n:]
		return s
	}
	line := number()
	r := Row{Line: int64(line >> 2), bad: line&2 != 0, unread: line&1 != 0}
	r.n = int64(number())
	r.Key = text()
	for range number() {
		c := number()
		value := text()
		if c >= len(columns) {
			return Row{}, errDamaged
		}
		r.Fields = append(r.Fields, Field{columns[c].Field, value})
	}
	return r, nil
}

// mark sets a row's bit and tells whether it was set.
func (x *index) mark(n int64) bool {
	bit := uint64(1) << (n % 64)
	return x.used[n/64].Or(bit)&bit != 0
}

func (x *index) marked(n int64) bool { return x.used[n/64].Load()&(1<<(n%64)) != 0 }

func (x *index) markAll(rows []Row) {
	for _, r := range rows {
		x.mark(r.n)
	}
}

func (x *index) unused(columns []Column, fn func(Row) error) error {
	in := bufio.NewReaderSize(io.NewSectionReader(x.data, 0, x.size), 1<<20)
	var buf []byte
	for range x.rows {
		size, err := binary.ReadUvarint(in)
		if err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		buf = slices.Grow(buf[:0], int(size))[:size]
		if _, err := io.ReadFull(in, buf); err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		r, err := parseRow(buf, columns)
		if err != nil {
			return err
		}
		if r.bad || x.marked(r.n) {
			continue
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}
