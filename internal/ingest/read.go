package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest/optout"
	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/ingest/xmp"
	"github.com/filigrane/filigrane/internal/raster"
)

// refuseName refuses what its name alone rules out, nil if nothing does.
func refuseName(name string) *Refusal {
	if strings.HasSuffix(name, "/") {
		return &Refusal{name, KindFolder, "a bucket's mark for a folder, not a file; it does no harm"}
	}
	if err := concepts.CheckPath(name); err != nil {
		return &Refusal{name, KindBadPath, err.Error() + "; rename it"}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part[0] == '.' {
			return &Refusal{name, KindHidden, "hidden files and folders are left out; rename it if it belongs to the catalogue"}
		}
	}
	return nil
}

func refuseSize(o Object, lim raster.Limits) *Refusal {
	switch {
	case o.Size == 0:
		return &Refusal{o.Name, Kind(raster.KindEmpty), "the file has no content; upload it again"}
	case o.Size < 0:
		return &Refusal{o.Name, KindSizeChanged, "the listing gives no size; list it again"}
	case o.Size > lim.MaxBytes:
		return &Refusal{o.Name, Kind(raster.KindTooLarge), fmt.Sprintf("the file has %d bytes, the limit is %d; send a smaller file or raise the limit", o.Size, lim.MaxBytes)}
	}
	return nil
}

// refusalOf turns an error about an object's content into a refusal. Anything of raster's is; so are bombs.
func refusalOf(name string, err error) *Refusal {
	var e *raster.Error
	switch {
	case errors.As(err, &e):
		return &Refusal{name, Kind(e.Kind), e.Detail}
	case errors.Is(err, xmp.ErrBomb), errors.Is(err, optout.ErrBomb):
		return &Refusal{name, KindBomb, err.Error() + "; save the picture with ordinary metadata"}
	}
	return &Refusal{name, Kind(raster.KindUnreadable), "the object could not be read: " + oneLine(err) + "; check who may read it, and the store"}
}

// oneLine shortens a store's error, whose text is not ours, for a report.
func oneLine(err error) string {
	s := strings.Join(strings.Fields(strings.ToValidUTF8(err.Error(), "\ufffd")), " ")
	return clip(s, 300)
}

// read looks at an object as far as is needed. Errors end the run; what is wrong with the object is its refusal.
func (r *run) read(ctx context.Context, j *job) error {
	out, err := r.outside(j, idsOf(j.obj.Name, seenIDs(j.seen)))
	if err != nil {
		return err
	}
	if j.seen != nil && !j.seen.Missing && !r.Reread && !j.must && same(j.obj, *j.seen) && strings.TrimSuffix(j.seen.Outside, sharedMark) == out.hash {
		j.unchanged, j.row = true, out.row
		return nil
	}
	weight := min(j.obj.Size, r.MaxMemory)
	if err := r.files.Acquire(ctx, weight); err != nil {
		return err
	}
	defer r.files.Release(weight)
	data, refusal, err := r.fetch(ctx, j)
	if err != nil || refusal != nil {
		j.refusal = refusal
		return err
	}
	j.bytes, j.sum = int64(len(data)), sha256.Sum256(data)
	h, err := raster.ReadHeader(data, r.Limits)
	if err != nil {
		j.refusal = refusalOf(j.obj.Name, err)
		return nil
	}
	file, err := readFile(h)
	if err != nil {
		j.refusal = refusalOf(j.obj.Name, err)
		return nil
	}
	j.rec = &Record{ID: concepts.NewWorkID(j.sum), Name: j.obj.Name, SHA256: hex.EncodeToString(j.sum[:]), Bytes: j.bytes,
		Modified: j.obj.Modified, ETag: j.obj.ETag, Width: h.Width, Height: h.Height, Format: string(h.Format), IDs: idsOf(j.obj.Name, file.ids)}
	if r.Table != nil && r.Table.Key == table.FieldID { // now that the file's own identifiers are known
		if out, err = r.outside(j, j.rec.IDs); err != nil {
			return err
		}
	}
	if j.row != nil && (out.row == nil || out.row.Line != j.row.Line) {
		j.used = false // it has changed since it was listed
	}
	j.row, j.twice, j.own = out.row, out.twice, cloneParties(file.owners)
	r.assemble(j.rec, file, out)
	if r.Decode {
		return r.decode(ctx, j, h, data)
	}
	return nil
}

func seenIDs(s *Seen) []string {
	if s == nil {
		return nil
	}
	return s.IDs
}

// idsOf gives the identifiers of an object: its name without folders and ending, and those its file carries.
func idsOf(name string, carried []string) []string {
	base := path.Base(name)
	ids := []string{strings.TrimSuffix(base, path.Ext(base))}
	for _, id := range carried {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// fetch reads an object: its first bytes, and the rest if they are those of a picture.
func (r *run) fetch(ctx context.Context, j *job) ([]byte, *Refusal, error) {
	fail := func(err error) ([]byte, *Refusal, error) {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &Refusal{j.obj.Name, KindVanished, "listed, and gone when it was opened; run again"}, nil
		}
		// A file that nobody ever could read here says nothing about the store.
		j.failed = !errors.Is(err, fs.ErrPermission) || j.seen != nil && !j.seen.Missing
		return nil, refusalOf(j.obj.Name, err), nil
	}
	in, err := j.obj.Open(ctx)
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	const sniffed = 4096
	head := make([]byte, min(sniffed, j.obj.Size))
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fail(err)
	}
	if _, bad := raster.Sniff(head[:n]); bad != nil {
		j.bytes = int64(n)
		return nil, refusalOf(j.obj.Name, bad), nil
	}
	data := head[:n]
	if int64(n) == j.obj.Size {
		var one [1]byte
		if m, _ := io.ReadFull(in, one[:]); m == 0 {
			return data, nil, nil
		}
	} else if int64(n) == sniffed {
		data = make([]byte, j.obj.Size)
		copy(data, head)
		m, err := io.ReadFull(in, data[n:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fail(err)
		}
		var one [1]byte
		if over, _ := io.ReadFull(in, one[:]); over == 0 && int64(n+m) == j.obj.Size {
			return data, nil, nil
		}
	}
	j.bytes = int64(len(data))
	return nil, &Refusal{j.obj.Name, KindSizeChanged, fmt.Sprintf("not the %d bytes that were listed; it is being written, or was cut; run again", j.obj.Size)}, nil
}

// decode decodes the pixels and lets Inspect look at them.
func (r *run) decode(ctx context.Context, j *job, h *raster.Header, data []byte) error {
	const bytesAPixel = 16 // raster.DefaultLimits: a progressive JPEG takes up to 15
	weight := min(bytesAPixel*int64(h.Width)*int64(h.Height), r.MaxDecoding)
	if err := r.pixels.Acquire(ctx, weight); err != nil {
		return err
	}
	defer r.pixels.Release(weight)
	p, err := raster.Decode(data, r.Limits)
	if err != nil {
		j.refusal = refusalOf(j.obj.Name, err)
		return nil
	}
	if r.Inspect == nil {
		return nil
	}
	if err := r.Inspect(j.rec, p); err != nil {
		return fmt.Errorf("ingest: %s: %w", (&Refusal{Name: j.obj.Name}).Shown(), err)
	}
	return nil
}

// outside is what is said of an object outside its file.
type outside struct {
	row      *table.Row
	twice    *table.Ambiguous
	lost     bool // the table reserved training before; it says nothing now, and not all its rows could be read
	findings []optout.Finding
	hash     string
}

// outside asks the table and the sites.
func (r *run) outside(j *job, ids []string) (outside, error) {
	var out outside
	h := sha256.New()
	if r.Table != nil {
		row, ok, err := r.Table.Lookup(j.obj.Name, ids)
		switch {
		case errors.As(err, &out.twice):
			fmt.Fprintf(h, "twice %d %+q\n", out.twice.Lines, fmt.Sprint(out.twice.Words))
		case err != nil:
			return out, err
		case ok:
			out.row = &row
			for _, f := range row.Fields {
				fmt.Fprintf(h, "%q %q\n", f.Name, f.Value)
			}
		case j.seen != nil && j.seen.Reserved && r.Table.Unnamed > 0:
			out.lost = true
			fmt.Fprintln(h, "lost")
		}
	}
	p := r.SitePath(j.obj.Name)
	for _, s := range r.Sites {
		if f, ok := s.For(p); ok {
			out.findings = append(out.findings, f)
			fmt.Fprintf(h, "%q %q %q %q\n", f.Protocol, f.Value, f.Detail, f.Where)
		}
	}
	if out.row != nil || out.twice != nil || out.lost || out.findings != nil {
		out.hash = hex.EncodeToString(h.Sum(nil)[:16])
	}
	return out, nil
}
