package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/store"
)

// The text form of a manifest is written and read element by element: a million images have two gigabytes of it, which
// are never in memory at once. It is what encoding/json gives of the whole, indented by one space, without HTML escapes.

// WriteText writes the one text form.
func (m *Manifest) WriteText(w io.Writer) error {
	t := &textWriter{w: w}
	t.raw("{")
	t.field("format", m.Format)
	t.field("parameters", m.Parameters)
	t.field("summary", m.Summary)
	writeList(t, "shards", m.Shards, false)
	writeList(t, "images", m.Images, false)
	writeList(t, "refusals", m.Refusals, false)
	writeList(t, "pools", m.Pools, true)
	writeList(t, "buckets", m.Buckets, true)
	writeList(t, "removals", m.Removals, true)
	t.raw("\n}\n")
	return t.flush()
}

// textWriter writes the fields of one object, after the first error nothing.
type textWriter struct {
	w     io.Writer
	buf   bytes.Buffer
	begun bool // a field was written
	err   error
}

// textBlock is how much is gathered before it is passed on, bytes.
const textBlock = 64 << 10

func (t *textWriter) raw(s string) { t.buf.WriteString(s) }

// value appends a value as it stands at that depth.
func (t *textWriter) value(v any, depth string) {
	e := json.NewEncoder(&t.buf)
	e.SetEscapeHTML(false)
	e.SetIndent(depth, " ")
	if err := e.Encode(v); err != nil && t.err == nil {
		t.err = err
	}
	t.buf.Truncate(len(bytes.TrimSuffix(t.buf.Bytes(), []byte("\n"))))
	if t.buf.Len() >= textBlock {
		_ = t.flush() // kept in t.err
	}
}

func (t *textWriter) flush() error {
	if t.err == nil {
		_, t.err = t.w.Write(t.buf.Bytes())
	}
	t.buf.Reset()
	return t.err
}

func (t *textWriter) name(name string) {
	if t.begun {
		t.raw(",")
	}
	t.begun = true
	t.raw("\n \"" + name + "\": ")
}

func (t *textWriter) field(name string, v any) {
	t.name(name)
	t.value(v, " ")
}

// writeList writes a list element by element; an empty one is left out, or written as null or [] as it is.
func writeList[T any](t *textWriter, name string, list []T, omitEmpty bool) {
	if len(list) == 0 {
		if !omitEmpty {
			t.field(name, list)
		}
		return
	}
	t.name(name)
	t.raw("[")
	for i := range list {
		if i > 0 {
			t.raw(",")
		}
		t.raw("\n  ")
		t.value(&list[i], "  ")
		if t.err != nil {
			return
		}
	}
	t.raw("\n ]")
}

// ReadManifest reads the text form from a stream, as ParseManifest does, and gives the SHA-256 of the text in hex.
func ReadManifest(r io.Reader) (*Manifest, string, error) {
	h := sha256.New()
	m, err := decodeManifest(io.TeeReader(r, h))
	if err != nil {
		return nil, "", err
	}
	if err := m.check(); err != nil {
		return nil, "", fmt.Errorf("delivery: manifest: %w", err)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if m.SHA256() != sum {
		return nil, "", errNotOneForm
	}
	return m, sum, nil
}

var errNotOneForm = errors.New("delivery: the manifest is not in its one text form; it was changed or written by another program")

// decodeManifest reads the fields in any order. What it lets pass, such as fields it does not know, is found when the
// text is compared with that of what was read.
func decodeManifest(r io.Reader) (*Manifest, error) {
	d := json.NewDecoder(r)
	bad := func(err error) (*Manifest, error) {
		return nil, fmt.Errorf("delivery: the manifest is no JSON document of its form: %w", err)
	}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return bad(errors.Join(err, errors.New("it is no object")))
	}
	m, known := new(Manifest), make(interned)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return bad(err)
		}
		switch name {
		case "format":
			err = d.Decode(&m.Format)
			if err == nil && m.Format != ManifestFormat {
				return nil, fmt.Errorf("delivery: the manifest has format %q, this program reads %q; use the version that wrote it, or a newer one", m.Format, ManifestFormat)
			}
		case "parameters":
			err = d.Decode(&m.Parameters)
		case "summary":
			err = d.Decode(&m.Summary)
		case "shards":
			m.Shards, err = decodeList[Shard](d, nil)
		case "images":
			m.Images, err = decodeList(d, known.image)
		case "refusals":
			m.Refusals, err = decodeList[Refusal](d, nil)
		case "pools":
			m.Pools, err = decodeList[Pool](d, nil)
		case "buckets":
			m.Buckets, err = decodeList[BucketCount](d, nil)
		case "removals":
			m.Removals, err = decodeList[Removal](d, nil)
		default:
			err = fmt.Errorf("an unknown field %v", name)
		}
		if err != nil {
			return bad(err)
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return bad(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad(errors.New("something follows the document"))
	}
	if m.Format == "" {
		return nil, fmt.Errorf("delivery: the manifest has no format, this program reads %q", ManifestFormat)
	}
	return m, nil
}

// decodeList reads a list; each element is passed through tidy.
func decodeList[T any](d *json.Decoder, tidy func(*T)) ([]T, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.Join(err, errors.New("a list is none"))
	}
	list := []T{}
	for d.More() {
		var x T
		if err := d.Decode(&x); err != nil {
			return nil, err
		}
		if tidy != nil {
			tidy(&x)
		}
		list = append(list, x)
	}
	_, err := d.Token()
	return list, err
}

// interned keeps one copy of texts that many images share.
type interned map[string]string

func (in interned) text(s string) string {
	if known, ok := in[s]; ok {
		return known
	}
	in[s] = s
	return s
}

func (in interned) image(img *Image) {
	img.Shard, img.Extension, img.SourceType = in.text(img.Shard), in.text(img.Extension), in.text(img.SourceType)
	if img.Key == string(img.Work) {
		img.Key = string(img.Work)
	}
	for i := range img.Concepts {
		img.Concepts[i].ID = concepts.ConceptID(in.text(string(img.Concepts[i].ID)))
	}
}

// putManifest writes a manifest and gives the SHA-256 of its text.
func putManifest(ctx context.Context, st store.Store, m *Manifest) (sum string, err error) {
	err = st.Put(ctx, ManifestKey, func(w io.Writer) error {
		h := sha256.New()
		if err := m.WriteText(io.MultiWriter(w, h)); err != nil {
			return fmt.Errorf("delivery: %w", err)
		}
		sum = hex.EncodeToString(h.Sum(nil))
		return nil
	})
	return sum, err
}
