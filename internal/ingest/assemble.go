package ingest

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/ingest/optout"
	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/ingest/xmp"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/iscc"
	"github.com/filigrane/filigrane/party"
)

// Bounds of what a record keeps of a file's metadata.
const (
	maxValueBytes = 64 << 10
	maxKeywords   = 1000
	maxIDs        = 20
)

// DefaultWanted are the fields a bank's works should have.
var DefaultWanted = []string{table.FieldTitle, table.FieldCreator, table.FieldRightsHolder, table.FieldCopyright, table.FieldKeywords}

// why says what each field is needed for.
var why = map[string]string{
	table.FieldTitle:             "statements and captions name the work by it",
	table.FieldHeadline:          "statements and captions may name the work by it",
	table.FieldDescription:       "it becomes the caption that the picture is delivered with",
	table.FieldCreator:           "the creator must be credited, and is paid where nobody else is named",
	table.FieldCopyright:         "the notice goes with every copy delivered",
	table.FieldCredit:            "the credit line goes with every copy delivered",
	table.FieldRightsHolder:      "without rights holders and their shares nobody can be paid",
	table.FieldKeywords:          "works are grouped into concepts by them",
	table.FieldDateCreated:       "it tells works apart and dates the rights in them",
	table.FieldUsageTerms:        "the terms go with every copy delivered",
	table.FieldWebStatement:      "buyers find the licence by it",
	table.FieldDataMining:        "what the holder says on training must be read by a person before the work is delivered",
	table.FieldDigitalSourceType: "the share of works made by people is stated from it",
	table.FieldISCC:              "duplicates and recalled works are found by it",
	"table":                      "the table's row may be another work's",
	"name":                       "readers go by the ending",
	"metadata":                   "rights and reservations may stand in what could not be read",
}

func (r *Record) todo(field, detail string) {
	r.Todos = append(r.Todos, Todo{field, detail, why[field]})
}

// reserved gives the refusal of a work whose holder reserved training, nil if nobody did.
func (r *Record) reserved() *Refusal {
	for _, w := range r.Reservations {
		if w.Effect == optout.Refuses {
			return &Refusal{r.Name, KindReserved, fmt.Sprintf("its rights holder reserves training (%s: %s, in %s); ask for consent, or leave it out", w.Protocol, w.Value, w.Where)}
		}
	}
	return nil
}

// dropAllowance forgets that the table allows training: the row is, or may be, another's. What it reserves stays.
func (r *Record) dropAllowance() {
	r.Reservations = slices.DeleteFunc(r.Reservations, func(v Reservation) bool { return v.From == FromTable && v.Effect == optout.Allows })
}

// XMP properties beside those of raster.Tags.
const (
	nsDC        = "http://purl.org/dc/elements/1.1/"
	nsPhotoshop = "http://ns.adobe.com/photoshop/1.0/"
	nsRights    = "http://ns.adobe.com/xap/1.0/rights/"
	nsPLUS      = "http://ns.useplus.org/ldf/xmp/1.0/"
	nsIPTCExt   = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
)

// fileMeta is what a file says of itself.
type fileMeta struct {
	fields   []Field
	keywords []string
	ids      []string
	owners   []party.Party
	findings []optout.Finding
	todos    [][2]string // field, detail
}

// readFile reads the metadata of a file. Damage is a thing to do; the error wraps xmp.ErrBomb or optout.ErrBomb.
func readFile(h *raster.Header) (*fileMeta, error) {
	m := &fileMeta{}
	packet := xmp.Packet{}
	for _, raw := range [][]byte{h.Meta.XMP, h.Meta.XMPExtended} {
		p, err := xmp.Parse(raw)
		if errors.Is(err, xmp.ErrBomb) {
			return nil, err
		}
		if err != nil {
			m.note("metadata", err.Error()+"; save it anew")
			m.findings = append(m.findings, optout.FromDamagedXMP(raw)...)
		}
		for name, values := range p {
			packet[name] = append(packet[name], values...)
		}
	}
	if h.Meta.XMP == nil && len(h.Meta.XMPExtended) > 0 {
		m.note("metadata", "an extended XMP packet without its main one; save it anew")
	}
	jumbf, err := optout.FromJUMBF(h.JUMBF(optout.MaxJUMBF + 1))
	if err != nil {
		return nil, err
	}
	m.findings = slices.Concat(m.findings, optout.FromXMP(packet), jumbf)
	m.descriptive(h.Tags(), packet)
	m.owned(packet)
	return m, nil
}

func (m *fileMeta) note(field, detail string) { m.todos = append(m.todos, [2]string{field, detail}) }

// descriptive gathers fields, keywords and identifiers.
func (m *fileMeta) descriptive(tags raster.Tags, packet xmp.Packet) {
	isPLUS := func(f optout.Finding) bool { return f.Protocol == optout.PLUS }
	if tags.DataMining != "" && !slices.ContainsFunc(m.findings, isPLUS) { // read by the one reader and not by the other
		m.findings = append(m.findings, optout.DataMining(tags.DataMining, "", "XMP plus:DataMining", nil))
	}
	first := func(texts []string) string {
		if len(texts) == 0 {
			return ""
		}
		return texts[0]
	}
	supplier := ""
	for _, v := range packet[nsPLUS+"ImageSupplier"] {
		supplier = first(v.Texts(nsPLUS + "ImageSupplierName"))
	}
	for _, f := range []Field{
		{table.FieldTitle, tags.Title, FromFile}, {table.FieldHeadline, tags.Headline, FromFile}, {table.FieldDescription, tags.Description, FromFile},
		{table.FieldCreator, tags.Creator, FromFile}, {table.FieldCopyright, tags.Copyright, FromFile}, {table.FieldCredit, tags.Credit, FromFile},
		{table.FieldSource, tags.Source, FromFile}, {table.FieldSupplier, supplier, FromFile}, {table.FieldDateCreated, tags.DateCreated, FromFile},
		{table.FieldUsageTerms, tags.UsageTerms, FromFile}, {table.FieldWebStatement, first(packet.Texts(nsRights + "WebStatement")), FromFile},
		{table.FieldDataMining, tags.DataMining, FromFile}, {table.FieldConstraints, first(packet.Texts(nsPLUS + "OtherConstraints")), FromFile},
		{table.FieldDigitalSourceType, first(packet.Texts(nsIPTCExt + "DigitalSourceType")), FromFile},
	} {
		if len(f.Value) > maxValueBytes {
			m.note(f.Name, fmt.Sprintf("%d bytes in the file; the first %d are kept", len(f.Value), maxValueBytes))
			f.Value = clip(f.Value, maxValueBytes)
		}
		if f.Value != "" {
			m.fields = append(m.fields, f)
		}
	}
	for _, k := range tags.Keywords {
		if len(m.keywords) == maxKeywords {
			m.note(table.FieldKeywords, fmt.Sprintf("%d keywords in the file; the first %d are kept", len(tags.Keywords), maxKeywords))
			break
		}
		m.keywords = append(m.keywords, clip(k, 1000))
	}
	for _, name := range []string{nsDC + "identifier", nsPLUS + "ImageSupplierImageID", nsIPTCExt + "DigImageGUID", nsPhotoshop + "TransmissionReference"} {
		for _, id := range packet.Texts(name) {
			if len(id) <= 500 && len(m.ids) < maxIDs && !slices.Contains(m.ids, id) {
				m.ids = append(m.ids, id)
			}
		}
	}
}

// owned gathers the rights holders: plus:CopyrightOwner, with its identifiers, or else xmpRights:Owner.
func (m *fileMeta) owned(packet xmp.Packet) {
	var owners []party.Party
	for _, v := range packet[nsPLUS+"CopyrightOwner"] {
		for _, name := range v.Texts(nsPLUS + "CopyrightOwnerName") {
			p := party.Party{Name: strings.Join(strings.Fields(name), " "), Share: party.Unknown}
			for _, text := range v.Texts(nsPLUS + "CopyrightOwnerID") {
				id, err := party.Parse(text)
				if err != nil {
					if plus, notPLUS := party.ParsePLUS(text); notPLUS == nil && !looksNumbered(text) {
						id, err = plus, nil
					}
				}
				if err != nil {
					m.note(table.FieldRightsHolder, err.Error())
					continue
				}
				p.AddID(id)
			}
			owners = append(owners, p)
		}
	}
	if owners == nil {
		list, err := party.ParseList(strings.Join(packet.Texts(nsRights+"Owner"), "\n"))
		if err != nil {
			m.note(table.FieldRightsHolder, err.Error())
			return
		}
		owners = list
	}
	for _, p := range owners {
		if err := party.CheckName(p.Name); err != nil {
			m.note(table.FieldRightsHolder, err.Error())
			return
		}
	}
	if err := party.Tidy(owners); err != nil {
		m.note(table.FieldRightsHolder, err.Error())
		return
	}
	m.owners = owners
}

// looksNumbered tells a number of another scheme that fails its check digits from a PLUS-ID: plus:CopyrightOwnerID is for
// PLUS-IDs, which need not say so.
func looksNumbered(s string) bool {
	s = strings.ToLower(s)
	return strings.Contains(s, "isni") || strings.Contains(s, "ipi") || strings.HasPrefix(s, "i-")
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// assemble completes a record: the file's word first, then the table's, then what is missing.
func (r *run) assemble(rec *Record, file *fileMeta, out outside) {
	rec.Fields, rec.Keywords, rec.Outside = file.fields, file.keywords, out.hash
	for _, t := range file.todos {
		rec.todo(t[0], t[1])
	}
	for _, f := range file.findings {
		rec.Reservations = append(rec.Reservations, Reservation{f, rec.Name, FromFile, r.Now})
	}
	for _, f := range out.findings {
		rec.Reservations = append(rec.Reservations, Reservation{f, f.Where, FromSite, r.Now})
	}
	rec.Parties = file.owners
	if out.row != nil {
		rec.Line = out.row.Line
		rec.mergeRow(*out.row, r)
	}
	for _, f := range out.closing(r.Table) {
		rec.Reservations = append(rec.Reservations, Reservation{f, "table", FromTable, r.Now})
	}
	rec.settleParties()
	rec.lookForGaps(r.Wanted)
}

// maxWords bounds the findings kept of rows that differ on one file.
const maxWords = 16

// closing gives what rows that are not applied say against training, the strongest first. That they allow it counts for nothing.
func (o *outside) closing(t *table.Table) (found []optout.Finding) {
	if o.lost {
		found = append(found, optout.DataMining("unreadable", fmt.Sprintf("the table reserved training before, and its row is not there; %d rows that could not be read may hold it", t.Unnamed), "table", nil))
	}
	if o.twice == nil {
		return found
	}
	for _, w := range o.twice.Words {
		value, constraints := w.Value, w.Constraints
		if w.Unread {
			value, constraints = "unreadable", "the row could not be read"
		}
		f := optout.DataMining(value, constraints, fmt.Sprintf("table line %d", w.Line), nil)
		if f.Effect == optout.Refuses || f.Effect == optout.Asks {
			found = append(found, f)
		}
	}
	slices.SortStableFunc(found, func(a, b optout.Finding) int {
		return strings.Compare(string(b.Effect), string(a.Effect)) // refuses before asks
	})
	return found[:min(len(found), maxWords)]
}

// mergeRow takes from the table what the file does not say, and notes where they differ.
func (r *Record) mergeRow(row table.Row, run *run) {
	for _, f := range row.Fields {
		base, _, _ := strings.Cut(f.Name, ".")
		switch base {
		case table.FieldRightsHolder, table.FieldShare, table.FieldISNI, table.FieldIPIName, table.FieldIPIBase, table.FieldPLUS:
			continue // mergeParties
		}
		switch f.Name {
		case table.FieldPath, table.FieldName, table.FieldID:
			r.Fields = append(r.Fields, Field{"bank_" + f.Name, f.Value, FromTable})
		case table.FieldKeywords:
			r.mergeKeywords(f.Value)
		case table.FieldISCC:
			if code, err := iscc.Parse(f.Value); err != nil {
				r.todo(table.FieldISCC, err.Error())
			} else {
				r.ISCC = code.String()
			}
		case table.FieldDataMining:
			found := optout.DataMining(f.Value, row.Get(table.FieldConstraints), fmt.Sprintf("table line %d", row.Line), nil)
			r.Reservations = append(r.Reservations, Reservation{found, "table", FromTable, run.Now})
			r.mergeField(f, row.Line)
		default:
			r.mergeField(f, row.Line)
		}
	}
	r.mergeParties(row)
}

func (r *Record) mergeField(f table.Field, line int64) {
	have := r.Field(f.Name)
	switch {
	case have == "":
		r.Fields = append(r.Fields, Field{f.Name, f.Value, FromTable})
	case !alike(have, f.Value):
		r.Conflicts = append(r.Conflicts, Conflict{f.Name, have, f.Value, line})
	}
}

// alike compares values as people do: without regard to case and spaces.
func alike(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

// mergeKeywords takes the table's keywords if the file has none. Two lists that differ are no conflict that somebody would
// have to settle: nobody's rights hang on it.
func (r *Record) mergeKeywords(list string) {
	if len(r.Keywords) > 0 {
		return
	}
	for word := range strings.FieldsFuncSeq(list, func(c rune) bool { return c == ';' || c == ',' }) {
		if word = strings.Join(strings.Fields(word), " "); word != "" && !slices.Contains(r.Keywords, word) && len(r.Keywords) < maxKeywords {
			r.Keywords = append(r.Keywords, word)
		}
	}
}

// mergeParties joins the rights holders of file and table. Where both name the same, the table adds shares and identifiers;
// where they differ the file's names are kept, and no share is: who is paid is for a person to settle.
func (r *Record) mergeParties(row table.Row) {
	parties, err := rowParties(row)
	if err != nil {
		r.todo(table.FieldRightsHolder, fmt.Sprintf("line %d of the table: %v", row.Line, err))
		return
	}
	switch {
	case len(parties) == 0:
	case len(r.Parties) == 0:
		r.Parties = parties
	case party.SameNames(r.Parties, parties):
		for _, p := range r.Parties {
			for i := range parties {
				if strings.EqualFold(parties[i].Name, p.Name) {
					for _, id := range p.IDs {
						parties[i].AddID(id)
					}
				}
			}
		}
		r.Parties = parties
	default:
		inFile, inTable := nameList(r.Parties), nameList(parties)
		r.Conflicts = append(r.Conflicts, Conflict{table.FieldRightsHolder, inFile, inTable, row.Line})
		for i := range r.Parties {
			r.Parties[i].Share = party.Unknown
		}
		r.todo(table.FieldRightsHolder, fmt.Sprintf("the file names %q, line %d of the table %q; make them agree", inFile, row.Line, inTable))
	}
}

func cloneParties(parties []party.Party) []party.Party {
	out := slices.Clone(parties)
	for i := range out {
		out[i].IDs = slices.Clone(out[i].IDs)
	}
	return out
}

func nameList(parties []party.Party) string {
	var names []string
	for _, p := range parties {
		names = append(names, p.Name)
	}
	return clip(strings.Join(names, "; "), 2000)
}

// rowParties reads the rights holders of a row: the column rights_holder, with share and identifiers in columns of their own
// if it names one, or numbered columns, rights_holder_1, share_1, isni_1 and so on.
func rowParties(row table.Row) ([]party.Party, error) {
	var out []party.Party
	for n := range 100 {
		suffix := ""
		if n > 0 {
			suffix = fmt.Sprint(".", n)
		}
		list, err := party.ParseList(row.Get(table.FieldRightsHolder + suffix))
		if err != nil {
			return nil, err
		}
		extras, ids, err := rowExtras(row, suffix)
		if err != nil {
			return nil, err
		}
		if len(list) != 1 && extras {
			return nil, fmt.Errorf("a share or identifier%s stands beside %d rights holders; give each a column of their own", suffix, len(list))
		}
		if len(list) == 0 {
			continue
		}
		if n > 0 && len(list) > 1 {
			return nil, fmt.Errorf("column rights_holder_%d names %d", n, len(list))
		}
		if share := row.Get(table.FieldShare + suffix); share != "" {
			if list[0].Share, err = party.ParseShare(share); err != nil {
				return nil, err
			}
		} else if n > 0 && list[0].Share == party.Whole && !strings.Contains(row.Get(table.FieldRightsHolder+suffix), "%") {
			list[0].Share = party.Unknown // ParseList gave the whole to one alone, and this one may not be
		}
		for _, id := range ids {
			list[0].AddID(id)
		}
		out = append(out, list...)
	}
	return out, party.Tidy(out)
}

// rowExtras reads the identifiers beside a rights holder, and tells whether there is one, or a share.
func rowExtras(row table.Row, suffix string) (any bool, ids []party.Identifier, err error) {
	any = row.Get(table.FieldShare+suffix) != ""
	for _, x := range []struct {
		field string
		read  func(string) (party.Identifier, error)
	}{
		{table.FieldISNI, party.ParseISNI}, {table.FieldIPIName, party.ParseIPIName}, {table.FieldIPIBase, party.ParseIPIBase}, {table.FieldPLUS, party.ParsePLUS},
	} {
		text := row.Get(x.field + suffix)
		if text == "" {
			continue
		}
		id, err := x.read(text)
		if err != nil {
			return true, nil, err
		}
		any, ids = true, append(ids, id)
	}
	return any, ids, nil
}

// settleParties says whether the rights holders and their shares are complete.
func (r *Record) settleParties() {
	if len(r.Parties) == 0 {
		return // lookForGaps
	}
	err := party.CheckShares(r.Parties)
	r.Settled = err == nil
	for _, t := range r.Todos {
		r.Settled = r.Settled && t.Field != table.FieldRightsHolder
	}
	if err != nil {
		r.todo(table.FieldRightsHolder, err.Error())
	}
}

// lookForGaps lists what is missing and what a person has to read.
func (r *Record) lookForGaps(wanted []string) {
	for _, name := range wanted {
		missing := r.Field(name) == ""
		switch name {
		case table.FieldKeywords:
			missing = len(r.Keywords) == 0
		case table.FieldRightsHolder:
			missing = len(r.Parties) == 0
		case table.FieldISCC:
			missing = r.ISCC == ""
		}
		told := slices.ContainsFunc(r.Todos, func(d Todo) bool { return d.Field == name })
		if missing && !told {
			r.todo(name, "missing in the file and in the table")
		}
	}
	for _, w := range r.Reservations {
		if w.Effect == optout.Asks {
			r.todo(table.FieldDataMining, clip(fmt.Sprintf("%s says %s, in %s: %s", w.Protocol, w.Value, w.Where, w.Detail), 2000))
		}
	}
	if ending := strings.ToLower(path.Ext(r.Name)); ending != "" && !slices.Contains(endings[raster.Format(r.Format)], ending) {
		r.todo("name", fmt.Sprintf("ends in %q and holds %s; it was read by its content", clip(ending, 20), r.Format))
	}
}

// endings are the usual ones of each format.
var endings = map[raster.Format][]string{
	raster.JPEG: {".jpg", ".jpeg", ".jpe", ".jfif"}, raster.PNG: {".png"}, raster.WebP: {".webp"}, raster.TIFF: {".tif", ".tiff"}, raster.AVIF: {".avif"},
}

func sortColumns(columns []concepts.Column) {
	slices.SortStableFunc(columns, func(a, b concepts.Column) int { return strings.Compare(a.Name, b.Name) })
}
