package papers

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/internal/store"
)

// Write writes the papers of a finished delivery and signs the receipt. The catalogue must be the one delivered.
//
// Errors: store.ErrNotFound where there is no finished delivery, store.ErrLocked while another run works there, those of
// Terms.Check, of the store, of ctx. After any of them the same call does it again and ends with the same bytes.
func Write(ctx context.Context, st store.Store, cat *concepts.Frozen, t Terms, key ed25519.PrivateKey) (_ *Statement, err error) {
	if len(key) != ed25519.PrivateKeySize {
		panic("papers: a signing key is needed")
	}
	if err := t.Check(); err != nil {
		return nil, err
	}
	release, err := st.Lock(ctx, delivery.LockName)
	if err != nil {
		return nil, fmt.Errorf("papers: another run works on this place; wait for it: %w", err)
	}
	defer func() { err = errors.Join(err, release()) }()
	d, err := delivery.Open(ctx, st)
	if err != nil {
		return nil, err
	}
	if h := cat.Hash(); hex.EncodeToString(h[:]) != d.Parameters.CatalogueSHA256 {
		return nil, fmt.Errorf("papers: the catalogue is not the one that was delivered, %s with SHA-256 %s", d.Parameters.Catalogue, d.Parameters.CatalogueSHA256)
	}
	w := &writer{ctx: ctx, store: st, manifest: d.Manifest, sha256: d.SHA256(), catalogue: cat, terms: t}
	return w.all(key)
}

// writer writes the papers of one delivery.
type writer struct {
	ctx       context.Context
	store     store.Store
	manifest  *delivery.Manifest
	sha256    string // of the manifest
	catalogue *concepts.Frozen
	terms     Terms
	files     []hashed // written
}

// all writes the papers in their order: no receipt while any of them may be another's.
//
// the receipt goes -> index -> removals -> statistics -> croissant, which names them -> receipt, which binds them
func (w *writer) all(key ed25519.PrivateKey) (*Statement, error) {
	if err := w.store.Delete(w.ctx, ReceiptKey); err != nil {
		return nil, err
	}
	each := func(do func(*Row) error) error {
		return rows(w.manifest, w.catalogue, w.terms.LicenceURL, func(r *Row) error {
			if err := w.ctx.Err(); err != nil {
				return err
			}
			return do(r)
		})
	}
	if err := w.put(parquetKey, func(to io.Writer) error { return writeParquet(to, each) }); err != nil {
		return nil, err
	}
	if err := w.put(csvKey, func(to io.Writer) error { return writeCSV(to, each) }); err != nil {
		return nil, err
	}
	s := StatisticsOf(w.manifest)
	for _, doc := range []struct {
		key  string
		text func() ([]byte, error)
	}{
		{removalsKey, func() ([]byte, error) { return removals(w.manifest, w.sha256) }},
		{statisticsKey, func() ([]byte, error) { return marshal(s) }},
		{pageKey, func() ([]byte, error) { return s.html(w.terms) }},
		{croissantKey, func() ([]byte, error) { return croissant(w.manifest, w.sha256, w.terms, w.files) }},
	} {
		if err := w.document(doc.key, doc.text); err != nil {
			return nil, err
		}
	}
	said := statement(w.manifest, w.sha256, w.terms, w.files)
	return &said, w.document(ReceiptKey, func() ([]byte, error) { return sign(w.ctx, said, key) })
}

// document writes a paper held in memory; one without text is deleted.
func (w *writer) document(key string, make func() ([]byte, error)) error {
	text, err := make()
	if err != nil {
		return err
	}
	if text == nil {
		return w.store.Delete(w.ctx, key)
	}
	return w.put(key, func(to io.Writer) error {
		_, err := to.Write(text)
		return err
	})
}

// put writes a paper and notes its hash.
func (w *writer) put(key string, write func(io.Writer) error) error {
	f := hashed{name: key}
	err := w.store.Put(w.ctx, key, func(to io.Writer) error {
		h, n := sha256.New(), &counter{}
		if err := write(io.MultiWriter(to, h, n)); err != nil {
			return err
		}
		f.sha256, f.bytes = hex.EncodeToString(h.Sum(nil)), n.n
		return nil
	})
	if err != nil {
		return fmt.Errorf("papers: writing %s: %w", key, err)
	}
	w.files = append(w.files, f)
	return nil
}

// counter counts what is written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// ReceiptKey is the key of the receipt.
const ReceiptKey = "receipt.json"

// Keys of the other papers: with it those of delivery.Papers.
const (
	parquetKey    = "index.parquet"
	csvKey        = "index.csv"
	removalsKey   = "removals.json"
	statisticsKey = "statistics.json"
	pageKey       = "statistics.html"
	croissantKey  = "croissant.json"
)
