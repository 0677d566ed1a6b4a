package intake

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/ingest/optout"
	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/iscc"
)

func closes(e optout.Effect) bool { return e == optout.Refuses || e == optout.Asks }
func allows(e optout.Effect) bool { return e == optout.Allows }

// Bounds of what the registry keeps of a work's texts, in bytes.
const (
	mostName  = 1 << 10
	mostText  = 64<<10 - 256 // a column's name and value together
	mostTexts = 1<<20 - 8<<10
)

// addISCC computes the code of a picture. A code of the bank's that is another picture's is a thing to do.
func addISCC(rec *ingest.Record, p *raster.Picture) {
	code := iscc.ImageCode(p.Image, iscc.DefaultBits)
	if theirs, err := iscc.Parse(rec.ISCC); err == nil && theirs.Kind() == iscc.Image && theirs.Len() == code.Len() && iscc.Distance(theirs, code) > iscc.MaxDistance {
		rec.Todos = append(rec.Todos, ingest.Todo{Field: table.FieldISCC, Detail: fmt.Sprintf("the table says %s, the picture has %s", theirs, code), Why: "the row may be another work's"})
	}
	rec.ISCC = code.String()
}

// sumOf reads a SHA-256 in hex that ingest or the registry wrote.
func sumOf(text string) [32]byte {
	sum, err := hex.DecodeString(text)
	if err != nil || len(sum) != 32 {
		panic("intake: not a SHA-256: " + text)
	}
	return [32]byte(sum)
}

// clean makes a text one that the registry keeps: UTF-8 without NUL.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\ufffd")
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// cut shortens a text at a whole character.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// taken is an object on its way into the registry.
type taken struct {
	ingest.Result
	sum          [32]byte
	copyOf       concepts.WorkID // the work of which this is a name refused as a duplicate
	object       registry.Object
	work         registry.Work
	by           registry.Reserver
	reservations []registry.Reservation
	tabled       bool // the table has a word on training for this copy's name
	unread       bool // a known object of which the store told nothing: see saysNothing
	bytes        int  // about what it holds
}

// prepare makes rows of a record. What had to be shortened is added to the record's things to do.
func prepare(r ingest.Result, sum [32]byte) *taken {
	rec := r.Record
	t := &taken{Result: r, sum: sum}
	t.reserve(rec, "")
	t.work = registry.Work{Work: fit(rec), Bytes: rec.Bytes, ISCC: rec.ISCC}
	ids := make([]string, len(rec.IDs))
	for i, id := range rec.IDs {
		ids[i] = clean(id)
	}
	t.object = registry.Object{Name: rec.Name, Bytes: rec.Bytes, Modified: rec.Modified, ETag: clean(rec.ETag), SHA256: rec.SHA256, Work: rec.ID,
		IDs: ids, Outside: rec.Outside}
	t.object.Reserved = t.by
	for _, f := range rec.Fields {
		t.bytes += len(f.Name) + len(f.Value)
	}
	for _, k := range rec.Keywords {
		t.bytes += len(k) + 16
	}
	t.bytes = 2*(t.bytes+t.evidenceBytes()) + 2000
	return t
}

// reserve says who reserves what a record is of, and gathers the evidence, for the name of a copy under that path.
func (t *taken) reserve(rec *ingest.Record, path string) {
	var lifted *ingest.Reservation
	t.by, lifted = reserver(rec)
	for i := range rec.Reservations {
		v := &rec.Reservations[i]
		if closes(v.Effect) || v == lifted {
			e := evidence(rec.ID, v, v == lifted)
			e.Path = path
			t.reservations = append(t.reservations, e)
		}
	}
}

func (t *taken) evidenceBytes() (n int) {
	for _, v := range t.reservations {
		n += len(v.Raw) + 500
	}
	return n
}

// prepareCopy makes rows of what is said of a name whose bytes another holds. What the file says is the holder's already.
func (w *writer) prepareCopy(r ingest.Result) *taken {
	t := &taken{Result: r, sum: sumOf(r.Copy.SHA256), copyOf: r.Copy.ID}
	said := *r.Copy
	said.Reservations = slices.DeleteFunc(slices.Clone(said.Reservations), func(v ingest.Reservation) bool { return v.From == ingest.FromFile })
	t.reserve(&said, r.Name)
	t.Copy = nil // only what counts is held until the batch is written
	t.bytes = 500 + len(r.Name) + 2*t.evidenceBytes()
	t.tabled = tableSays(&said) != nil
	if !w.reserves(t.by, t.Name) {
		return t
	}
	for _, v := range said.Reservations {
		if closes(v.Effect) {
			refusal := *r.Refusal
			refusal.Detail += fmt.Sprintf("; what is said of this name reserves training on the work (%s: %s, in %s)", v.Protocol, v.Value, v.Where)
			t.Refusal = &refusal
			break
		}
	}
	return t
}

// evidence gives a word about training as it is kept.
func evidence(work concepts.WorkID, v *ingest.Reservation, lifts bool) registry.Reservation {
	protocol, raw := string(v.Protocol), v.Raw
	if lifts {
		protocol = ProtocolConsent
	}
	if len(raw) == 0 {
		raw = []byte(v.Value)
	}
	detail := v.Where
	if v.Detail != "" {
		detail += ": " + v.Detail
	}
	if v.Size > len(v.Raw) {
		detail += fmt.Sprintf(" (the first %d of %d bytes, of which the SHA-256 is %s)", len(v.Raw), v.Size, v.SHA256)
	}
	return registry.Reservation{Work: work, Protocol: protocol, Raw: raw, URL: clean(v.Source), Found: v.At,
		Effect: string(v.Effect), Value: clean(v.Value), Detail: clean(detail)}
}

// fit gives the record as a work whose texts the registry keeps.
func fit(rec *ingest.Record) concepts.Work {
	w := rec.Work()
	shorter := func(field string, s *string, most int) {
		was := len(*s)
		if *s = cut(clean(*s), most); len(*s) < was {
			rec.Todos = append(rec.Todos, ingest.Todo{Field: field, Detail: fmt.Sprintf("%d bytes; the first %d are kept", was, len(*s)), Why: "what was cut off is not delivered"})
		}
	}
	shorter(table.FieldTitle, &w.Title, mostText)
	shorter(table.FieldCreator, &w.Creator, mostName)
	shorter(table.FieldRightsHolder, &w.RightsHolder, mostText)
	total := len(w.Title) + len(w.Creator) + len(w.RightsHolder)
	for i := range w.Columns {
		c := &w.Columns[i]
		c.Name = cut(clean(c.Name), 200)
		shorter(c.Name, &c.Value, min(mostText, max(0, mostTexts-total)))
		total += len(c.Name) + len(c.Value)
	}
	slices.SortStableFunc(w.Columns, func(a, b concepts.Column) int { return strings.Compare(a.Name, b.Name) })
	w.Columns = slices.CompactFunc(w.Columns, func(a, b concepts.Column) bool { return a.Name == b.Name })
	for i, k := range w.Keywords {
		k = clean(k)
		if total += len(k); total > mostTexts {
			rec.Todos = append(rec.Todos, ingest.Todo{Field: table.FieldKeywords, Detail: fmt.Sprintf("%d keywords in too many bytes; the first %d are kept", len(w.Keywords), i), Why: "works are grouped into concepts by them"})
			w.Keywords = w.Keywords[:i]
			break
		}
		w.Keywords[i] = k
	}
	return w
}

// todos joins the things to do of a record by field, in their order, as the registry keeps them. lifted leaves out the question
// what the holder says on training.
func todos(rec *ingest.Record, more []ingest.Todo, lifted bool) []registry.Todo {
	var list []registry.Todo
	at := map[string]int{}
	for _, t := range slices.Concat(rec.Todos, more) {
		if lifted && t.Field == table.FieldDataMining {
			continue
		}
		field, text := fieldID(t.Field), clean(t.Detail)
		if t.Why != "" {
			text += " (" + t.Why + ")"
		}
		i, met := at[field]
		if !met {
			at[field] = len(list)
			list = append(list, registry.Todo{Work: rec.ID, Field: field, Why: cut(text, mostText)})
		} else if joined := list[i].Why + "; " + text; len(joined) <= mostText {
			list[i].Why = joined
		}
	}
	return list
}

// fieldID makes a column's name one that the registry files things to do under.
func fieldID(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, clean(name))
	if name = cut(name, 100); name == "" {
		return "table"
	}
	return name
}
