package intake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/internal/registry/pgtest"
	"github.com/filigrane/filigrane/internal/store"
	"github.com/filigrane/filigrane/internal/store/dir"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		child()
	}
	pgtest.Main(m)
}

var (
	ctx  = context.Background()
	noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ours = registry.Scope{Tenant: "bank-a", Role: registry.Bank}
)

// places gives an empty database of either kind.
var places = []struct {
	name  string
	place func(t testing.TB) string
}{
	{"sqlite", func(t testing.TB) string { return filepath.Join(t.TempDir(), "registry.db") }},
	{"postgres", func(t testing.TB) string { return pgtest.New(t) }},
}

func onBoth(t *testing.T, test func(t *testing.T, b *bank)) {
	for _, d := range places {
		t.Run(d.name, func(t *testing.T) { test(t, newBank(t, d.place(t))) })
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func get[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// bank is a folder of masters and a registry.
type bank struct {
	t      testing.TB
	folder string
	reg    *registry.Registry
	table  string // CSV, "" for none
	opt    Options
	// through, if not nil, stands between the folder and the import.
	through func(*dir.Bucket) store.Bucket
}

func newBank(t testing.TB, place string) *bank {
	t.Helper()
	b := &bank{t: t, folder: t.TempDir(), reg: open(t, place)}
	b.opt.Ingest.Now = noon
	return b
}

func open(t testing.TB, place string) *registry.Registry {
	t.Helper()
	reg := get[*registry.Registry](t)(registry.Open(ctx, place))
	t.Cleanup(func() { reg.Close() })
	_, err := reg.AddTenant(ctx, registry.Scope{Role: registry.Operator}, registry.Tenant{ID: "bank-a", Kind: registry.Bank, Name: "Bank A"}, noon)
	must(t, err)
	return reg
}

// put writes a file; the same content has the same time of change, so that only content tells.
func (b *bank) put(name string, data []byte) {
	b.t.Helper()
	p := filepath.Join(b.folder, filepath.FromSlash(name))
	must(b.t, errors.Join(os.MkdirAll(filepath.Dir(p), 0o777), os.WriteFile(p, data, 0o666)))
	when := noon.Add(-time.Hour).Add(time.Duration(len(data)) * time.Second)
	for _, c := range data {
		when = when.Add(time.Duration(c) * time.Nanosecond)
	}
	must(b.t, os.Chtimes(p, when, when))
}

func (b *bank) remove(name string) { must(b.t, os.Remove(filepath.Join(b.folder, name))) }

func (b *bank) move(from, to string) {
	p := filepath.Join(b.folder, to)
	must(b.t, errors.Join(os.MkdirAll(filepath.Dir(p), 0o777), os.Rename(filepath.Join(b.folder, from), p)))
}

// run takes the folder in.
func (b *bank) run() Report {
	b.t.Helper()
	rep, err := b.try(ctx)
	must(b.t, err)
	return rep
}

func (b *bank) try(ctx context.Context) (Report, error) {
	b.t.Helper()
	bucket := get[*dir.Bucket](b.t)(dir.OpenBucket(b.folder))
	defer bucket.Close()
	opt := b.opt
	if b.table != "" {
		tab, err := table.Read(ctx, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(b.table)), nil }, table.Options{TempDir: b.t.TempDir()})
		if err != nil {
			return Report{}, err
		}
		defer tab.Close()
		opt.Ingest.Table = tab
	}
	if b.through != nil {
		return Run(ctx, b.through(bucket), b.reg, ours, opt)
	}
	return Run(ctx, bucket, b.reg, ours, opt)
}

// works gives state and path of all works, by path and state.
func (b *bank) works() (list []string) {
	b.t.Helper()
	for _, w := range allWorks(b.t, b.reg) {
		list = append(list, w.State.String()+" "+w.Path)
	}
	slices.Sort(list)
	return list
}

func all[T any](t testing.TB, page func(registry.Page) (registry.List[T], error)) (items []T) {
	t.Helper()
	for p := (registry.Page{Limit: 1000}); ; {
		l, err := page(p)
		must(t, err)
		items = append(items, l.Items...)
		if p.After = l.Next; p.After == "" {
			return items
		}
	}
}

func allWorks(t testing.TB, reg *registry.Registry) []registry.Work {
	t.Helper()
	return all(t, func(p registry.Page) (registry.List[registry.Work], error) {
		return reg.Works(ctx, ours, registry.WorkQuery{}, p)
	})
}

// content is everything an import writes, as text, but for times.
func content(t testing.TB, reg *registry.Registry) string {
	t.Helper()
	var out bytes.Buffer
	say := func(what string, v any) {
		text, err := json.Marshal(v)
		must(t, err)
		fmt.Fprintf(&out, "%s %s\n", what, text)
	}
	var ids []concepts.WorkID
	for _, w := range allWorks(t, reg) {
		ids = append(ids, w.ID)
		w.Added, w.Changed = time.Time{}, time.Time{}
		say("work", w)
	}
	for chunk := range slices.Chunk(ids, 1000) {
		say("shares", get[map[concepts.WorkID][]registry.Share](t)(reg.SharesOf(ctx, ours, chunk)))
	}
	for _, o := range all(t, func(p registry.Page) (registry.List[registry.Object], error) { return reg.Objects(ctx, ours, "", p) }) {
		say("object", o)
	}
	for _, v := range all(t, func(p registry.Page) (registry.List[registry.Party], error) { return reg.Parties(ctx, ours, p) }) {
		say("party", v)
	}
	for _, v := range all(t, func(p registry.Page) (registry.List[registry.Todo], error) { return reg.Todos(ctx, ours, "", p) }) {
		v.Since = time.Time{}
		say("todo", v)
	}
	var lines []string // the order of arrival is that of the first run that met them
	for _, v := range all(t, func(p registry.Page) (registry.List[registry.Refusal], error) { return reg.Refusals(ctx, ours, "", p) }) {
		lines = append(lines, fmt.Sprintf("refusal %q %s %q", v.Name, v.Kind, v.Detail))
	}
	for _, v := range all(t, func(p registry.Page) (registry.List[registry.Reservation], error) {
		return reg.Reservations(ctx, ours, p)
	}) {
		lines = append(lines, fmt.Sprintf("reservation %s %s %s %q %q %s %s %q", v.Work, v.Path, v.Protocol, v.Raw, v.URL, v.Effect, v.Value, v.Detail))
	}
	slices.Sort(lines)
	return out.String() + strings.Join(lines, "\n")
}

// picture makes a JPEG of a few pixels; every seed makes other bytes. XMP properties go into it.
func picture(seed int, properties ...string) []byte {
	img := image.NewGray(image.Rect(0, 0, 16, 8))
	for i := range img.Pix {
		img.Pix[i] = byte((i*i + seed*97 + seed/251*i) % 251)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	out := append([]byte{}, b.Bytes()[:2]...)
	segment := func(marker byte, body []byte) {
		out = append(append(out, 0xff, marker, byte((len(body)+2)>>8), byte(len(body)+2)), body...)
	}
	if len(properties) > 0 {
		segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00"+`<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""`+
			` xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" xmlns:tdm="http://www.w3.org/ns/tdmrep/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/">`+
			strings.Join(properties, "")+`</rdf:Description></rdf:RDF></x:xmpmeta>`))
	}
	segment(0xfe, fmt.Appendf(nil, "seed %d", seed))
	return append(out, b.Bytes()[2:]...)
}

// Properties of XMP.
func owner(name string) string {
	return "<xmpRights:Owner><rdf:Bag><rdf:li>" + name + "</rdf:li></rdf:Bag></xmpRights:Owner>"
}

func mining(value string) string {
	return "<plus:DataMining>http://ns.useplus.org/ldf/vocab/" + value + "</plus:DataMining>"
}

func title(text string) string {
	return `<dc:title><rdf:Alt><rdf:li xml:lang="x-default">` + text + `</rdf:li></rdf:Alt></dc:title>`
}

// counts are the numbers of a report that tests compare.
func counts(r Report) map[string]int {
	m := map[string]int{}
	for name, n := range map[string]int{"added": r.Added, "changed": r.Summary.Changed, "moved": r.Moved, "updated": r.Updated, "unchanged": r.Unchanged, "refused": r.Refused,
		"missing": r.Missing, "reserved": r.Reserved} {
		if n != 0 {
			m[name] = n
		}
	}
	return m
}

func kindsOf(r Report) map[string]ingest.Kind {
	m := map[string]ingest.Kind{}
	for _, f := range r.Refusals {
		m[f.Name] = f.Kind
	}
	return m
}
