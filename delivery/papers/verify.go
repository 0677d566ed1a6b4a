package papers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/store"
)

// Kinds of differences besides those of package delivery.
const (
	ReceiptMissing    delivery.DifferenceKind = "receipt_missing"    // there is none, though one was asked for
	ReceiptNotSigned  delivery.DifferenceKind = "receipt_not_signed" // not by the key given, or it cannot be read
	ReceiptDiffers    delivery.DifferenceKind = "receipt_differs"    // it is about other files than those of the manifest
	PaperMissing      delivery.DifferenceKind = "paper_missing"      // the receipt names it
	PaperDiffers      delivery.DifferenceKind = "paper_differs"      // its bytes are not those the receipt names
	PaperUnexpected   delivery.DifferenceKind = "paper_unexpected"   // the receipt does not name it
	PaperContradicted delivery.DifferenceKind = "paper_contradicted" // it does not say what the manifest does
)

// Options say how much is looked at.
type Options struct {
	delivery.VerifyOptions
	// Public is the key receipts are signed with; nil checks no signature.
	Public ed25519.PublicKey
	// Required makes a missing receipt a difference. Deliveries of before there were papers have none.
	Required bool
}

// Verification is what Verify saw.
type Verification struct {
	*delivery.Verification
	Papers int  `json:"papers"` // read to their end
	Signed bool `json:"signed"` // the receipt bears a signature of the key given, over this manifest, the shards it names and these papers
}

// Verify reads a delivered place again, as delivery.Verify does, and then its papers: the signature, each hash it binds, and
// whether index, statistics, removals and croissant.json say what the manifest says.
func Verify(ctx context.Context, st store.Store, opt Options) (*Verification, error) {
	base, err := delivery.Verify(ctx, st, opt.VerifyOptions)
	if err != nil {
		return nil, err
	}
	d, err := delivery.OpenManifest(ctx, st)
	if err != nil {
		return nil, err
	}
	c := &checker{ctx: ctx, store: st, manifest: d, sha256: d.SHA256(), seen: &Verification{Verification: base}, sums: map[string]string{}}
	for _, step := range []func() error{func() error { return c.index() }, c.documents, func() error { return c.receipt(opt) }} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(base.Differences, func(a, b delivery.Difference) int {
		return cmp.Or(cmp.Compare(a.Where, b.Where), cmp.Compare(a.Kind, b.Kind))
	})
	return c.seen, nil
}

// checker compares papers with a manifest.
type checker struct {
	ctx      context.Context
	store    store.Store
	manifest *delivery.Manifest
	sha256   string
	licence  string // as the index says, "" if it says several
	seen     *Verification
	sums     map[string]string // of the papers that are there
}

func (c *checker) differs(k delivery.DifferenceKind, where, format string, args ...any) {
	c.seen.Differences = append(c.seen.Differences, delivery.Difference{Kind: k, Where: where, Detail: fmt.Sprintf(format, args...)})
}

// maxPaper is the most bytes read of a paper held in memory: croissant.json of 10^5 shards has 50 MB.
const maxPaper = 1 << 30

// document reads a paper, nil if there is none.
func (c *checker) document(key string) ([]byte, error) {
	text, err := store.ReadAll(c.ctx, c.store, key, maxPaper)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("papers: %w", err)
	}
	h := sha256.Sum256(text)
	c.sums[key] = hex.EncodeToString(h[:])
	c.seen.Papers++
	return text, nil
}

// documents compares what can be made anew from the manifest, and the files croissant.json names.
func (c *checker) documents() error {
	for key, make := range map[string]func() ([]byte, error){
		statisticsKey: func() ([]byte, error) { return marshal(StatisticsOf(c.manifest)) },
		removalsKey:   func() ([]byte, error) { return removals(c.manifest, c.sha256) },
	} {
		is, err := c.document(key)
		if err != nil {
			return err
		}
		should, err := make()
		if err != nil {
			return err
		}
		if is != nil && !bytes.Equal(is, should) {
			c.differs(PaperContradicted, key, "it is not what the manifest gives")
		}
	}
	if _, err := c.document(pageKey); err != nil {
		return err
	}
	text, err := c.document(croissantKey)
	if err != nil || text == nil {
		return err
	}
	files, licence, err := croissantFiles(text)
	if err != nil {
		c.differs(PaperContradicted, croissantKey, "%v", err)
		return nil
	}
	c.croissant(files, licence)
	return nil
}

// croissant compares the files that croissant.json lists with the shards and papers.
func (c *checker) croissant(files []hashed, licence string) {
	listed := map[string]hashed{}
	for _, f := range files {
		listed[f.name] = f
	}
	for _, s := range c.manifest.Shards {
		if listed[s.Name] != (hashed{s.Name, s.SHA256, s.Bytes}) {
			c.differs(PaperContradicted, croissantKey, "it gives %s as %d bytes with SHA-256 %q, the manifest as %d and %s", s.Name, listed[s.Name].bytes, listed[s.Name].sha256, s.Bytes, s.SHA256)
		}
		delete(listed, s.Name)
	}
	for _, name := range slices.Sorted(keysOf(listed)) {
		if c.sums[name] != listed[name].sha256 {
			c.differs(PaperContradicted, croissantKey, "it gives %s as SHA-256 %s, which is %q", name, listed[name].sha256, c.sums[name])
		}
	}
	if c.licence != "" && licence != c.licence {
		c.differs(PaperContradicted, croissantKey, "its licence is %s, that of the index %s", licence, c.licence)
	}
}

func keysOf(m map[string]hashed) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// receipt checks the signature and what it binds.
func (c *checker) receipt(opt Options) error {
	text, err := store.ReadAll(c.ctx, c.store, ReceiptKey, maxPaper)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if opt.Required || opt.Public != nil {
			c.differs(ReceiptMissing, ReceiptKey, "there is none; write the papers of the delivery again")
		}
		return nil
	case err != nil:
		return fmt.Errorf("papers: %w", err)
	case opt.Public == nil:
		return nil
	}
	c.seen.Papers++
	s, err := ParseReceipt(c.ctx, text, opt.Public)
	if err != nil {
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		c.differs(ReceiptNotSigned, ReceiptKey, "%v", err)
		return nil
	}
	before := len(c.seen.Differences)
	c.bound(s)
	c.seen.Signed = len(c.seen.Differences) == before
	return nil
}

// bound compares the subjects of a signed statement with what is there.
func (c *checker) bound(s *Statement) {
	named := map[string]string{}
	for _, x := range s.Subject {
		if _, twice := named[x.Name]; twice {
			c.differs(ReceiptDiffers, ReceiptKey, "it names %s twice", x.Name)
		}
		named[x.Name] = x.Digest["sha256"]
	}
	take := func(name, sum string) {
		if named[name] != sum {
			c.differs(ReceiptDiffers, ReceiptKey, "it gives %s as SHA-256 %q, which is %s", name, named[name], sum)
		}
		delete(named, name)
	}
	for _, x := range c.manifest.Shards {
		take(x.Name, x.SHA256)
	}
	take(delivery.ManifestKey, c.sha256)
	take(delivery.CodebookKey, c.manifest.Parameters.CodebookSHA256)
	for _, key := range delivery.Papers() {
		if key == ReceiptKey {
			continue
		}
		signed, bound := named[key]
		delete(named, key)
		switch is, there := c.sums[key]; {
		case bound && !there:
			c.differs(PaperMissing, key, "the receipt names it")
		case there && !bound:
			c.differs(PaperUnexpected, key, "the receipt does not name it")
		case is != signed:
			c.differs(PaperDiffers, key, "its SHA-256 is %s, the receipt says %s", is, signed)
		}
	}
	for name := range named {
		c.differs(ReceiptDiffers, ReceiptKey, "it names %s, which is not of the delivery", name)
	}
}

// index reads both forms of the index and compares their rows with the manifest's images.
func (c *checker) index() error {
	for key, each := range map[string]func(io.Reader, func(*Row) error) error{parquetKey: readParquet, csvKey: readCSV} {
		r, err := c.store.Open(c.ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("papers: %w", err)
		}
		err = c.rows(key, r, each)
		if cerr := r.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("papers: reading %s: %w", key, err)
		}
	}
	return nil
}

// errDiffers ends the reading of an index at its first difference.
var errDiffers = errors.New("it differs")

// rows compares one form of the index.
func (c *checker) rows(key string, file io.Reader, each func(io.Reader, func(*Row) error) error) error {
	h := sha256.New()
	all := io.TeeReader(file, h)
	n := 0
	err := each(all, func(r *Row) error {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if n == len(c.manifest.Images) {
			n++
			return errDiffers
		}
		want := rowOf(&c.manifest.Images[n], r.Licence)
		want.Caption, want.ConceptNames = r.Caption, r.ConceptNames // which the manifest does not know
		if !reflect.DeepEqual(*r, want) {
			c.differs(PaperContradicted, key, "row %d says %+v, the manifest %+v", n+1, *r, want)
			return errDiffers
		}
		if n == 0 {
			c.licence = r.Licence
		}
		n++
		return nil
	})
	if c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	switch {
	case errors.Is(err, errDiffers) && n <= len(c.manifest.Images): // told
	case err != nil && !errors.Is(err, errDiffers):
		c.differs(PaperContradicted, key, "it cannot be read: %v", err)
	case n != len(c.manifest.Images):
		c.differs(PaperContradicted, key, "it has another number of rows than the %d of the manifest", len(c.manifest.Images))
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return err
	}
	c.sums[key] = hex.EncodeToString(h.Sum(nil))
	c.seen.Papers++
	return nil
}

// readParquet reads rows. The format begins at its end, so a file from a stream is laid down first. A damaged file that
// makes the reader panic is an error.
func readParquet(r io.Reader, each func(*Row) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the Parquet file is damaged: %v", p)
		}
	}()
	f, err := os.CreateTemp("", "filigrane-index-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	n, err := io.Copy(f, r)
	if err != nil {
		return err
	}
	file, err := parquet.OpenFile(f, n)
	if err != nil {
		return err
	}
	p := parquet.NewGenericReader[Row](file)
	defer p.Close()
	batch := make([]Row, 256)
	for {
		clear(batch) // lists are appended to otherwise
		k, err := p.Read(batch)
		for i := range batch[:k] {
			if batch[i].Concepts == nil {
				batch[i].Concepts = []string{}
			}
			if err := each(&batch[i]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readCSV reads rows.
func readCSV(r io.Reader, each func(*Row) error) error {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	c.FieldsPerRecord = len(csvHeader)
	head, err := c.Read()
	if err != nil {
		return err
	}
	if !slices.Equal(head, csvHeader) {
		return fmt.Errorf("its columns are %v, not %v", head, csvHeader)
	}
	for {
		f, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		row, err := rowOfRecord(f)
		if err != nil {
			return err
		}
		if err := each(row); err != nil {
			return err
		}
	}
}
