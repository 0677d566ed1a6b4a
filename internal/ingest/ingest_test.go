package ingest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/internal/ingest/optout"
	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/party"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bucket is a source in memory that counts how often each object is opened.
type bucket struct {
	files  map[string]file
	mu     sync.Mutex
	opened map[string]int
}

type file struct {
	data     []byte
	size     int64 // as listed; 0: len(data)
	modified time.Time
	open     func() (io.ReadCloser, error) // nil: data
}

func (b *bucket) put(name string, data []byte) {
	if b.files == nil {
		b.files, b.opened = map[string]file{}, map[string]int{}
	}
	b.files[name] = file{data: data, modified: now}
}

func (b *bucket) object(name string) Object {
	f := b.files[name]
	return Object{Name: name, Size: cmp.Or(f.size, int64(len(f.data))), Modified: f.modified, Open: func(context.Context) (io.ReadCloser, error) {
		b.mu.Lock()
		b.opened[name]++
		b.mu.Unlock()
		if f.open != nil {
			return f.open()
		}
		return io.NopCloser(bytes.NewReader(f.data)), nil
	}}
}

func (b *bucket) list() Objects {
	var names []string
	for name := range b.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return func(yield func(Object, error) bool) {
		for _, name := range names {
			if !yield(b.object(name), nil) {
				return
			}
		}
	}
}

func (b *bucket) stat(_ context.Context, name string) (Object, bool, error) {
	if _, ok := b.files[name]; !ok {
		return Object{}, false, nil
	}
	return b.object(name), true, nil
}

// register is what a registry would know.
type register map[string]Seen

func (r register) Each(context.Context) iter.Seq2[Seen, error] {
	var all []Seen
	for _, s := range r {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Seen) int { return strings.Compare(a.Name, b.Name) })
	return func(yield func(Seen, error) bool) {
		for _, s := range all {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (r register) ByHash(_ context.Context, sum string) (Seen, bool, error) {
	for _, s := range r {
		if s.SHA256 == sum {
			return s, true, nil
		}
	}
	return Seen{}, false, nil
}

// apply does what a registry does with a result.
func (r register) apply(res Result) {
	switch {
	case res.Status == Missing:
		if s, ok := r[res.Name]; ok {
			s.Missing = true
			r[res.Name] = s
		}
	case res.Record != nil:
		if res.Status == Moved {
			delete(r, res.Was)
		}
		rec := res.Record
		r[res.Name] = Seen{Name: rec.Name, Size: rec.Bytes, Modified: rec.Modified, ETag: rec.ETag, SHA256: rec.SHA256, IDs: rec.IDs, Outside: rec.Outside}
	}
}

func runOn(t testing.TB, b *bucket, opt Options, reg register) (map[string]Result, Summary) {
	t.Helper()
	opt.Now = now
	if reg != nil {
		opt.Known, opt.Stat = reg, b.stat
	}
	got := map[string]Result{}
	var names []string
	var later []Result
	sum, err := Run(context.Background(), b.list(), opt, func(r Result) error {
		if _, twice := got[r.Name]; twice {
			t.Errorf("two results for %q", r.Name)
		}
		got[r.Name] = r
		names = append(names, r.Name)
		later = append(later, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(names) {
		t.Errorf("results come out of order: %q", names)
	}
	for _, r := range later {
		if reg != nil {
			reg.apply(r)
		}
	}
	return got, sum
}

// picture makes a small JPEG that differs by seed, with segments before its tables.
func picture(seed int, segments ...[]byte) []byte {
	img := image.NewGray(image.Rect(0, 0, 16, 8))
	for i := range img.Pix {
		img.Pix[i] = byte((i*i + seed*97 + seed/251*i) % 251)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	out := append([]byte{}, b.Bytes()[:2]...)
	comment := fmt.Appendf(nil, "seed %d", seed)
	for _, s := range append(segments, segment(0xfe, comment)) {
		out = append(out, s...)
	}
	return append(out, b.Bytes()[2:]...)
}

func segment(marker byte, body []byte) []byte {
	return append([]byte{0xff, marker, byte((len(body) + 2) >> 8), byte(len(body) + 2)}, body...)
}

func xmpSegment(properties string) []byte {
	return segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00"+packet(properties)))
}

func packet(properties string) string {
	return `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""` +
		` xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:plus="http://ns.useplus.org/ldf/xmp/1.0/" xmlns:tdm="http://www.w3.org/ns/tdmrep/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/">` +
		properties + `</rdf:Description></rdf:RDF></x:xmpmeta>`
}

func box(kind string, body []byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), kind...), body...)
}

func jumb(label string, children ...[]byte) []byte {
	body := box("jumd", append(append(append(make([]byte, 16), 3), label...), 0))
	return box("jumb", append(body, bytes.Join(children, nil)...))
}

// manifest is a C2PA store with a CAWG assertion.
func manifest(use string) []byte {
	b, err := cbor.Marshal(map[string]any{"entries": map[string]any{"cawg.ai_generative_training": map[string]any{"use": use}}})
	if err != nil {
		panic(err)
	}
	return jumb("c2pa", jumb("urn:c2pa:1", jumb("c2pa.assertions", jumb("cawg.training-mining", box("cbor", b)), jumb("c2pa.thumbnail", box("bidb", make([]byte, 3000))))))
}

// long gives a box its length in 64 bits.
func long(b []byte) []byte {
	out := append([]byte{0, 0, 0, 1}, b[4:8]...)
	return append(binary.BigEndian.AppendUint64(out, uint64(len(b)+8)), b[8:]...)
}

// app11 cuts a box into segments of at most n bytes, as JPEG XT has them.
func app11(boxes []byte, n int) [][]byte {
	var out [][]byte
	head := boxes[:8]
	if binary.BigEndian.Uint32(boxes) == 1 {
		head = boxes[:16]
	}
	for seq := uint32(1); len(boxes) > 0; seq++ {
		part := boxes[:min(n, len(boxes))]
		boxes = boxes[len(part):]
		body := binary.BigEndian.AppendUint32([]byte("JP\x00\x01"), seq)
		if seq > 1 {
			body = append(body, head...)
		}
		out = append(out, segment(0xeb, append(body, part...)))
	}
	return out
}

func readTable(t testing.TB, text string) *table.Table {
	t.Helper()
	tab, err := table.Read(context.Background(), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }, table.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tab.Close() })
	return tab
}

func TestFileFirstTableSecond(t *testing.T) {
	var b bucket
	b.put("full.jpg", picture(1, xmpSegment(`<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Harbour</rdf:li></rdf:Alt></dc:title><dc:creator><rdf:Seq><rdf:li>Anna Berg</rdf:li></rdf:Seq></dc:creator>`+
		`<plus:CopyrightOwner><rdf:Seq><rdf:li rdf:parseType="Resource"><plus:CopyrightOwnerName>Anna Berg</plus:CopyrightOwnerName><plus:CopyrightOwnerID>1-AB-12</plus:CopyrightOwnerID></rdf:li>`+
		`<rdf:li rdf:parseType="Resource"><plus:CopyrightOwnerName>Studio Lund</plus:CopyrightOwnerName></rdf:li></rdf:Seq></plus:CopyrightOwner>`)))
	b.put("bare.jpg", picture(2))
	b.put("differs.jpg", picture(3, xmpSegment(`<xmpRights:Owner><rdf:Bag><rdf:li>Anna Berg</rdf:li></rdf:Bag></xmpRights:Owner>`)))
	b.put("half.jpg", picture(4))
	b.put("wrong.jpg", picture(5))
	b.put("numbered.jpg", picture(6))
	b.put("owners.jpg", picture(7, xmpSegment(`<xmpRights:Owner><rdf:Bag><rdf:li>Anna Berg (70%)</rdf:li><rdf:li>Bo Ek (30%)</rdf:li></rdf:Bag></xmpRights:Owner>`)))
	tab := readTable(t, "file,title,creator,keywords,rights_holder,season,isni,rights holder 1,share 1,ISNI 1,rights holder 2,share 2\n"+
		"full.jpg,Port,Anna Berg,sea; dawn,studio lund (40%); Anna Berg (60%),summer,,,,,,\n"+
		"bare.jpg,Bridge,Bo Ek,city,Bo Ek,winter,0000 0001 2281 955X,,,,,\n"+
		"differs.jpg,,,,Bo Ek (50%); Cy Dahl (50%),,,,,,,\n"+
		"half.jpg,,,,A1 (50%); B2 (40%),,,,,,,\n"+
		"wrong.jpg,,,,A1,,0000 0001 2281 9551,,,,,\n"+
		"numbered.jpg,,,,,,,A1,50%,0000 0001 2281 955X,B2,50 %\n")
	got, sum := runOn(t, &b, Options{Table: tab}, nil)

	full := got["full.jpg"].Record
	isni, err := party.Parse("ISNI 0000 0001 2281 955X")
	if err != nil {
		t.Fatal(err)
	}
	wantFields := []Field{{"title", "Harbour", FromFile}, {"creator", "Anna Berg", FromFile}, {"season", "summer", FromTable}}
	wantParties := []party.Party{{Name: "studio lund", Share: 4000}, {Name: "Anna Berg", Share: 6000, IDs: []party.Identifier{{Scheme: party.PLUS, Value: "1-AB-12"}}}}
	if d := gocmp.Diff(wantFields, full.Fields) + gocmp.Diff(wantParties, full.Parties) + gocmp.Diff([]Conflict{{"title", "Harbour", "Port", 2}}, full.Conflicts) + gocmp.Diff([]string{"sea", "dawn"}, full.Keywords); d != "" || !full.Settled {
		t.Errorf("full: %v %s", full.Settled, d)
	}
	if w := full.Work(); w.Title != "Harbour" || w.RightsHolder != "studio lund; Anna Berg" || w.Column("season") != "summer" {
		t.Errorf("work %+v", w)
	}
	bare := got["bare.jpg"].Record
	if !bare.Settled || bare.Parties[0].Share != party.Whole || bare.Parties[0].IDs[0] != isni || bare.Field("title") != "Bridge" || bare.Line != 3 {
		t.Errorf("bare: %+v", bare)
	}
	for name, want := range map[string]string{"differs.jpg": "make them agree", "half.jpg": "90%", "wrong.jpg": "check character"} {
		rec := got[name].Record
		if rec.Settled || !slices.ContainsFunc(rec.Todos, func(d Todo) bool {
			return d.Field == "rights_holder" && strings.Contains(d.Detail, want) && d.Why != ""
		}) {
			t.Errorf("%s: settled %v, %+v", name, rec.Settled, rec.Todos)
		}
	}
	if p := got["differs.jpg"].Record.Parties; len(p) != 1 || p[0].Name != "Anna Berg" || p[0].Share != party.Unknown {
		t.Errorf("differing holders: %+v", p)
	}
	if p := got["numbered.jpg"].Record; !p.Settled || len(p.Parties) != 2 || p.Parties[1].Share != 5000 || p.Parties[0].IDs[0] != isni {
		t.Errorf("numbered: %+v", p)
	}
	if p := got["owners.jpg"].Record; !p.Settled || len(p.Parties) != 2 || p.Parties[1].Share != 3000 {
		t.Errorf("owners with shares in the file: %+v", p)
	}
	if sum.Added != 7 || sum.Conflicts != 2 || sum.Todos == 0 {
		t.Errorf("%+v", sum)
	}
}

func TestReservations(t *testing.T) {
	var b bucket
	mining := func(v string) []byte {
		return xmpSegment(`<plus:DataMining>http://ns.useplus.org/ldf/vocab/` + v + `</plus:DataMining>`)
	}
	b.put("allowed.jpg", picture(1, mining("DMI-ALLOWED")))
	b.put("asks.jpg", picture(2, mining("DMI-PROHIBITED-SEECONSTRAINT")))
	b.put("cawg.jpg", picture(3, app11(manifest("notAllowed"), 1000)...))
	b.put("cawg-long.jpg", picture(30, app11(long(manifest("notAllowed")), 1000)...))
	b.put("cawg.png", pngWith(t, "caBX", manifest("notAllowed")))
	b.put("cawg.webp", webpWith("C2PA", manifest("notAllowed")))
	b.put("damaged.jpg", picture(8, segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta><a plus:DataMining='DMI-PROHIBITED"))))
	b.put("plus.jpg", picture(4, mining("DMI-PROHIBITED-AIMLTRAINING")))
	b.put("site/a.jpg", picture(5))
	b.put("table.jpg", picture(6, mining("DMI-ALLOWED")))
	b.put("tdm.jpg", picture(7, xmpSegment(`<tdm:reservation>1</tdm:reservation>`)))
	site, err := optout.ParseTDMRep([]byte(`[{"location":"/site/","tdm-reservation":1,"tdm-policy":"https://bank.example/p"}]`), "https://bank.example/.well-known/tdmrep.json")
	if err != nil {
		t.Fatal(err)
	}
	tab := readTable(t, "file,data_mining\ntable.jpg,DMI-PROHIBITED\n")
	got, sum := runOn(t, &b, Options{Sites: []*optout.Site{site}, Table: tab}, nil)
	for name, want := range map[string]string{"allowed.jpg": "", "asks.jpg": "", "damaged.jpg": "", "cawg.jpg": "cawg", "cawg-long.jpg": "cawg", "cawg.png": "cawg", "cawg.webp": "cawg",
		"plus.jpg": "iptc-plus", "site/a.jpg": "tdmrep", "table.jpg": "iptc-plus", "tdm.jpg": "tdmrep"} {
		r := got[name]
		if r.Record == nil {
			t.Errorf("%s: %+v", name, r.Refusal)
			continue
		}
		if want == "" && r.Refusal != nil || want != "" && (r.Refusal == nil || r.Refusal.Kind != KindReserved || !strings.Contains(r.Refusal.Detail, want)) {
			t.Errorf("%s: %+v", name, r.Refusal)
		}
		for _, w := range r.Record.Reservations {
			if len(w.SHA256) != 64 || len(w.Raw) == 0 || !w.At.Equal(now) || w.Where == "" || w.Source == "" {
				t.Errorf("%s: evidence is missing: %+v", name, w)
			}
		}
	}
	if !slices.ContainsFunc(got["asks.jpg"].Record.Todos, func(d Todo) bool { return d.Field == "data_mining" }) {
		t.Errorf("constraints are no thing to do: %+v", got["asks.jpg"].Record.Todos)
	}
	for name, want := range map[string]optout.Effect{"allowed.jpg": optout.Allows, "asks.jpg": optout.Asks, "damaged.jpg": optout.Asks, "tdm.jpg": optout.Refuses} {
		if e := got[name].Record.Training(); e != want {
			t.Errorf("%s: %s, want %s", name, e, want)
		}
	}
	if c := got["table.jpg"].Record.Conflicts; len(c) != 1 {
		t.Errorf("file and table differ on training: %+v", c)
	}
	if sum.Reserved != 8 || sum.Added != 11 {
		t.Errorf("%+v", sum)
	}
}

// A store that was cut into segments is put together again byte by byte, its length in 32 bits or in 64.
func TestStoreOfSegments(t *testing.T) {
	for _, store := range [][]byte{manifest("allowed"), long(manifest("allowed"))} {
		h, err := raster.ReadHeader(picture(1, app11(store, 1000)...), raster.Limits{})
		if err != nil || !bytes.Equal(h.JUMBF(1<<20), store) {
			t.Errorf("%v: %d bytes of %d", err, len(h.JUMBF(1<<20)), len(store))
		}
	}
}

func pngWith(t testing.TB, name string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	img := image.NewGray(image.Rect(0, 0, 4, 4))
	img.Set(1, 1, color.White)
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	out := append([]byte{}, b.Bytes()[:33]...) // signature and header
	out = append(binary.BigEndian.AppendUint32(out, uint32(len(data))), name...)
	out = append(append(out, data...), 0, 0, 0, 0) // the checksum of a chunk that is not needed is not looked at
	return append(out, b.Bytes()[33:]...)
}

// webpWith puts a chunk behind a lossless picture of one pixel.
func webpWith(name string, data []byte) []byte {
	chunk := func(name string, d []byte) []byte {
		out := append(binary.LittleEndian.AppendUint32([]byte(name), uint32(len(d))), d...)
		return append(out, make([]byte, len(d)%2)...)
	}
	body := append([]byte("WEBP"), chunk("VP8L", []byte{0x2f, 0, 0, 0, 0x10, 0x07, 0x10, 0x11, 0x11, 0x88, 0x88, 0xfe, 0x07})...)
	body = append(body, chunk(name, data)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// endless is 10 GB that nobody may read.
type endless struct {
	t    testing.TB
	read *atomic.Int64
	head []byte
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.head)
	e.head = e.head[n:]
	if n == 0 {
		n = len(p)
	}
	if e.read.Add(int64(n)) > 1<<20 {
		e.t.Error("more than 1 MiB of a file that is to be refused was read")
	}
	return n, nil
}

func (e *endless) Close() error { return nil }

func TestHostileBucket(t *testing.T) {
	var b bucket
	var read atomic.Int64
	want := map[string]Kind{}
	refuse := func(name string, kind Kind, data []byte) {
		b.put(name, data)
		want[name] = kind
	}
	good := picture(1)
	b.put("good.jpg", good)
	refuse("a\nb.jpg", KindBadPath, picture(2))
	refuse("../up.jpg", KindBadPath, picture(3))
	refuse("/absolute.jpg", KindBadPath, picture(3))
	refuse("a//b.jpg", KindBadPath, picture(3))
	refuse("\xff\xfe.jpg", KindBadPath, picture(3))
	refuse(strings.Repeat("k", 4096), KindBadPath, picture(4))
	refuse(".hidden.jpg", KindHidden, picture(5))
	refuse("folder/", KindFolder, nil)
	refuse("zero.jpg", "empty", nil)
	refuse("letter.jpg", "not_an_image", []byte("Dear Sir"))
	refuse("movie.jpg", "not_an_image", nil)
	b.files["movie.jpg"] = file{size: 400 << 20, modified: now, open: func() (io.ReadCloser, error) { return &endless{t: t, read: &read}, nil }}
	refuse("sparse.jpg", "too_large", nil)
	b.files["sparse.jpg"] = file{size: 10 << 30, modified: now, open: func() (io.ReadCloser, error) { t.Error("10 GB are opened"); return nil, fs.ErrInvalid }}
	refuse("lies.jpg", KindSizeChanged, nil)
	b.files["lies.jpg"] = file{size: 5000, modified: now, open: func() (io.ReadCloser, error) {
		return &endless{t: t, read: new(atomic.Int64), head: good}, nil
	}}
	refuse("short.jpg", KindSizeChanged, good)
	b.files["short.jpg"] = file{data: good, size: int64(len(good)) + 9, modified: now}
	refuse("longer.jpg", KindSizeChanged, good)
	b.files["longer.jpg"] = file{data: good, size: int64(len(good)) - 9, modified: now}
	refuse("gone.jpg", KindVanished, good)
	b.files["gone.jpg"] = file{data: good, modified: now, open: func() (io.ReadCloser, error) { return nil, fs.ErrNotExist }}
	refuse("denied.jpg", "unreadable", good)
	b.files["denied.jpg"] = file{data: good, modified: now, open: func() (io.ReadCloser, error) { return nil, fs.ErrPermission }}
	refuse("twin.jpg", KindDuplicate, good)
	refuse("laughs.jpg", KindBomb, picture(6, segment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<!DOCTYPE l [<!ENTITY a \"b\">]>"+packet("")))))
	refuse("deepxmp.jpg", KindBomb, picture(7, xmpSegment(strings.Repeat("<dc:a>", 5000))))
	deep := []byte{}
	for range 30 {
		deep = jumb("c2pa", deep)
	}
	refuse("deepjumbf.jpg", KindBomb, picture(8, app11(deep, 60000)...))
	refuse("deepcbor.jpg", KindBomb, picture(9, app11(jumb("c2pa", jumb("m", jumb("c2pa.assertions", jumb("cawg.training-mining", box("cbor", bytes.Repeat([]byte{0x81}, 5000)))))), 60000)...))
	refuse("hugexmp.png", KindBomb, pngWith(t, "iTXt", append([]byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00"), bytes.Repeat([]byte(" "), 9<<20)...)))
	refuse("cut.jpg", "truncated", good[:len(good)-20])
	refuse("cafe\u0301.jpg", "", picture(10)) // taken: the first of the two forms of one name
	refuse("caf\u00e9.jpg", KindBadPath, picture(11))
	b.put("is-a.png", picture(12)) // taken, with a thing to do
	got, sum := runOn(t, &b, Options{}, nil)
	for name, kind := range want {
		r := got[name]
		switch {
		case kind == "" && r.Record == nil:
			t.Errorf("%q is refused: %v", name, r.Refusal)
		case kind != "" && (r.Refusal == nil || r.Refusal.Kind != kind || r.Record != nil || r.Refusal.Detail == ""):
			t.Errorf("%q: %+v, want %s", name, r.Refusal, kind)
		case kind != "" && (len(r.Refusal.Error()) > 3000 || strings.ContainsAny(r.Refusal.Shown(), "\n\x00")):
			t.Errorf("%q: the refusal cannot be printed", name)
		}
	}
	if r := got["good.jpg"]; r.Record == nil || r.Status != Added {
		t.Errorf("good.jpg: %+v", r)
	}
	if r := got["is-a.png"].Record; r == nil || r.Format != "jpeg" || !slices.ContainsFunc(r.Todos, func(d Todo) bool { return d.Field == "name" }) {
		t.Errorf("wrong ending: %+v", r)
	}
	if sum.Added != 3 || sum.Refused != len(b.files)-3 {
		t.Errorf("%+v of %d", sum, len(b.files))
	}
}

func TestReimport(t *testing.T) {
	var b bucket
	reg := register{}
	for i := range 8 {
		b.put(fmt.Sprintf("%d.jpg", i), picture(i))
	}
	first := func(text string) *table.Table { return readTable(t, text) }
	opt := Options{Table: first("file,title\n0.jpg,Zero\n1.jpg,One\n")}
	if _, sum := runOn(t, &b, opt, reg); sum.Added != 8 {
		t.Fatalf("%+v", sum)
	}
	clear(b.opened)
	opt.Table = first("file,title\n0.jpg,Zero\n1.jpg,One\n")
	if _, sum := runOn(t, &b, opt, reg); sum != (Summary{Unchanged: 8}) || len(b.opened) != 0 {
		t.Fatalf("the second run: %+v, opened %v", sum, b.opened)
	}

	later := now.Add(time.Hour)
	b.files["2.jpg"] = file{data: picture(200), modified: later} // changed
	b.files["3.jpg"] = file{data: picture(3), modified: later}   // touched
	b.files["9moved.jpg"] = file{data: b.files["4.jpg"].data, modified: later}
	delete(b.files, "4.jpg")
	b.files["0moved.jpg"] = file{data: b.files["5.jpg"].data, modified: later} // sorts before its old name
	delete(b.files, "5.jpg")
	b.files["9copy.jpg"] = file{data: b.files["6.jpg"].data, modified: later}
	delete(b.files, "7.jpg")
	opt.Table = first("file,title\n0.jpg,Nought\n1.jpg,One\n")
	got, sum := runOn(t, &b, opt, reg)
	want := map[string]Status{"0.jpg": Updated, "1.jpg": Unchanged, "2.jpg": Changed, "3.jpg": Unchanged, "4.jpg": Missing, "9moved.jpg": Moved,
		"5.jpg": Missing, "0moved.jpg": Moved, "6.jpg": Unchanged, "9copy.jpg": Refused, "7.jpg": Missing}
	for name, status := range want {
		if got[name].Status != status {
			t.Errorf("%s: %+v, want %s", name, got[name], status)
		}
	}
	if got["9moved.jpg"].Was != "4.jpg" || got["0moved.jpg"].Was != "5.jpg" || got["9copy.jpg"].Refusal.Kind != KindDuplicate || got["0.jpg"].Record.Field("title") != "Nought" {
		t.Errorf("%+v", got)
	}
	if sum.Missing != 3 || sum.Moved != 2 || len(got) != len(want) {
		t.Errorf("%+v", sum)
	}
	missing := 0
	for _, s := range reg {
		if s.Missing {
			missing++
		}
	}
	if len(reg) != 8 || missing != 1 {
		t.Errorf("known after it: %+v", reg)
	}
	// What is missing is not told twice, and comes back.
	opt.Table = first("file,title\n0.jpg,Nought\n1.jpg,One\n")
	if got, sum := runOn(t, &b, opt, reg); sum.Missing != 0 || sum.Refused != 1 || sum.Unchanged != 7 {
		t.Errorf("a run without a change: %+v %+v", sum, got)
	}
	b.put("7.jpg", picture(7))
	opt.Table = first("file,title\n0.jpg,Nought\n1.jpg,One\n")
	if got, sum := runOn(t, &b, opt, reg); sum.Added != 1 || got["7.jpg"].Status != Added || sum.Missing != 0 {
		t.Errorf("%+v", sum)
	}
}

func TestJoinByNameAndID(t *testing.T) {
	var b bucket
	b.put("x/same.jpg", picture(1))
	b.put("y/same.jpg", picture(2))
	got, _ := runOn(t, &b, Options{Table: readTable(t, "filename,title\nsame.jpg,One\n")}, nil)
	if !slices.ContainsFunc(got["y/same.jpg"].Record.Todos, func(d Todo) bool { return d.Field == "table" }) {
		t.Errorf("a row taken twice is nothing to do: %+v", got["y/same.jpg"].Record.Todos)
	}
	b = bucket{}
	b.put("n.jpg", picture(3, xmpSegment(`<dc:identifier>REF-7</dc:identifier>`)))
	reg := register{}
	text := "reference;titre\nREF-7;Sept\n"
	got, _ = runOn(t, &b, Options{Table: readTable(t, text)}, reg)
	if got["n.jpg"].Record.Field("title") != "Sept" {
		t.Errorf("%+v", got["n.jpg"].Record)
	}
	if _, sum := runOn(t, &b, Options{Table: readTable(t, text)}, reg); sum.Unchanged != 1 || sum.BytesRead != 0 {
		t.Errorf("%+v", sum)
	}
	b.put("r.jpg", picture(4))
	got, _ = runOn(t, &b, Options{Table: readTable(t, "file,title\nr.jpg,A\nr.jpg,B\n")}, nil)
	if rec := got["r.jpg"].Record; rec.Field("title") != "" || !slices.ContainsFunc(rec.Todos, func(d Todo) bool { return strings.Contains(d.Detail, "lines 2 3") }) {
		t.Errorf("two rows that differ: %+v", rec)
	}
}

// Whatever the number of readers, results are the same and in order.
func TestReadersAgree(t *testing.T) {
	var b bucket
	for i := range 300 {
		b.put(fmt.Sprintf("%03d.jpg", i), picture(i/2)) // each twice
	}
	one, _ := runOn(t, &b, Options{Readers: 1}, nil)
	many, sum := runOn(t, &b, Options{Readers: 16, MaxMemory: 2000}, nil)
	if d := gocmp.Diff(one, many); d != "" || sum.Refused != 150 || sum.Added != 150 {
		t.Errorf("%+v %.500s", sum, d)
	}
}

func TestEnds(t *testing.T) {
	var b bucket
	for i := range 200 {
		b.put(fmt.Sprintf("%03d.jpg", i), picture(i))
	}
	boom := errors.New("boom")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ignore := func(Result) error { return nil }
	for name, run := range map[string]func() (Summary, error){
		"emit": func() (Summary, error) {
			return Run(ctx, b.list(), Options{Now: now}, func(Result) error { return boom })
		},
		"listing": func() (Summary, error) {
			return Run(ctx, func(yield func(Object, error) bool) { yield(Object{}, boom) }, Options{Now: now}, ignore)
		},
		"inspect": func() (Summary, error) {
			return Run(ctx, b.list(), Options{Now: now, Inspect: func(*Record, *raster.Picture) error { return boom }}, ignore)
		},
	} {
		if _, err := run(); !errors.Is(err, boom) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n := 0
	if _, err := Run(ctx, b.list(), Options{Now: now}, func(Result) error {
		if n++; n == 5 {
			cancel()
		}
		return nil
	}); !errors.Is(err, context.Canceled) || n > 50 {
		t.Errorf("cancel after 5: %v, %d results", err, n)
	}
	// A store that is down is no catalogue of refusals.
	for name := range b.files {
		f := b.files[name]
		f.open = func() (io.ReadCloser, error) { return nil, boom }
		b.files[name] = f
	}
	n = 0
	if _, err := Run(context.Background(), b.list(), Options{Now: now, MaxUnreadable: 20}, func(Result) error { n++; return nil }); err == nil || n != 19 {
		t.Errorf("a store that is down: %v after %d", err, n)
	}
	// Names out of order, and one refused by the lister.
	_, err := Run(context.Background(), func(yield func(Object, error) bool) {
		_ = yield(Object{Name: "b"}, nil) && yield(Object{Name: "a"}, nil)
	}, Options{Now: now}, func(Result) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Error(err)
	}
	b.put("z", picture(1))
	var got []Result
	_, err = Run(context.Background(), func(yield func(Object, error) bool) {
		_ = yield(Object{}, &Refusal{"loop", "symlink_loop", "remove it"}) && yield(b.object("z"), nil) && yield(b.object("z"), nil)
	}, Options{Now: now}, func(r Result) error { got = append(got, r); return nil })
	if err != nil || len(got) != 3 || got[0].Refusal.Kind != "symlink_loop" || got[1].Status != Added || got[2].Refusal.Kind != KindListedTwice {
		t.Errorf("%v %+v", err, got)
	}
}

// slow notes how many bytes are being read at once.
type slow struct {
	io.Reader
	held *atomic.Int64
	size int64
}

func (s slow) Close() error {
	time.Sleep(time.Millisecond)
	s.held.Add(-s.size)
	return nil
}

func TestMemoryIsBounded(t *testing.T) {
	var b bucket
	var held, most atomic.Int64
	for i := range 60 {
		name, data := fmt.Sprintf("%02d.jpg", i), picture(i)
		b.put(name, data)
		f := b.files[name]
		f.open = func() (io.ReadCloser, error) {
			now := held.Add(int64(len(data)))
			for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
			}
			return slow{bytes.NewReader(data), &held, int64(len(data))}, nil
		}
		b.files[name] = f
	}
	limit := int64(len(picture(0)) * 5 / 2)
	if _, sum := runOn(t, &b, Options{Readers: 16, MaxMemory: limit}, nil); sum.Added != 60 || most.Load() > limit || most.Load() < limit/2 {
		t.Errorf("%+v, %d bytes held of %d", sum, most.Load(), limit)
	}
}

func TestPanics(t *testing.T) {
	for name, opt := range map[string]Options{"ingest: Options.Now": {}, "ingest: Options.Known": {Now: now, Known: register{}}} {
		func() {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.HasPrefix(r, name) {
					t.Errorf("panic %q, want %q", r, name)
				}
			}()
			_, _ = Run(context.Background(), new(bucket).list(), opt, func(Result) error { return nil })
		}()
	}
}

// A folder of two files and a table: what Run says of them.
func ExampleRun() {
	var b bucket
	b.put("harbour.jpg", picture(1))
	b.put("letter.jpg", []byte("Dear Sir"))
	tab, err := table.Read(context.Background(), func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("Fichier;Titre;Auteur;Ayants droit;Copyright;Mots-clés\nharbour.jpg;Le port;Anna Berg;Anna Berg (60%), Studio Lund;(c) Berg;mer\n")), nil
	}, table.Options{})
	if err != nil {
		panic(err)
	}
	defer tab.Close()
	sum, err := Run(context.Background(), b.list(), Options{Now: now, Table: tab}, func(r Result) error {
		if r.Refusal != nil {
			fmt.Println("refused:", r.Refusal.Kind, r.Name)
			return nil
		}
		fmt.Println(r.Status, r.Name, r.Record.Field(table.FieldTitle))
		for _, d := range r.Record.Todos {
			fmt.Printf("to do: %s: %s\n", d.Field, d.Detail)
		}
		return nil
	})
	fmt.Println(sum.Added, "added,", sum.Refused, "refused,", err)
	// Output:
	// added harbour.jpg Le port
	// to do: rights_holder: line 2 of the table: party: "Anna Berg (60%), Studio Lund" holds a share or an identifier within a name; separate rights holders by semicolons and write Name [ISNI ...] (50%)
	// refused: not_an_image letter.jpg
	// 1 added, 1 refused, <nil>
}

func TestInspect(t *testing.T) {
	var b bucket
	b.put("a.jpg", picture(1))
	broken := picture(2)
	copy(broken[len(broken)-30:], bytes.Repeat([]byte{0xff, 0xc4}, 10))
	b.put("broken.jpg", broken)
	got, _ := runOn(t, &b, Options{Inspect: func(r *Record, p *raster.Picture) error {
		r.ISCC = fmt.Sprint(p.Image.Bounds().Dx())
		return nil
	}}, nil)
	if got["a.jpg"].Record.ISCC != "16" || got["broken.jpg"].Refusal == nil {
		t.Errorf("%+v", got)
	}
}

func FuzzFile(f *testing.F) {
	f.Add(picture(1, xmpSegment(`<plus:DataMining>DMI-PROHIBITED</plus:DataMining>`)))
	f.Add(picture(2, app11(manifest("notAllowed"), 500)...))
	f.Add(pngWith(f, "caBX", manifest("allowed")))
	f.Add(webpWith("C2PA", manifest("constrained")))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := raster.ReadHeader(data, raster.Limits{MaxBytes: 1 << 20})
		if err != nil {
			return
		}
		m, err := readFile(h)
		if err != nil && !errors.Is(err, optout.ErrBomb) && refusalOf("x", err).Kind != KindBomb {
			t.Fatal(err)
		}
		if m != nil {
			(&run{Options: Options{Wanted: DefaultWanted}}).assemble(&Record{Name: "x"}, m, outside{})
		}
	})
}
