package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/filigrane/filigrane/internal/ingest/table"
)

// said gives what was said on training of a record, with where it comes from.
func said(rec *Record) (list []string) {
	for _, v := range rec.Reservations {
		list = append(list, fmt.Sprintf("%s %s %s", v.From, v.Effect, v.Value))
	}
	return list
}

func prohibits(seed int) []byte {
	return picture(seed, xmpSegment(`<plus:DataMining>http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED</plus:DataMining>`))
}

// TestCopyIsHeard: a name refused as a duplicate passes on what is said of it; a row that another file took allows nothing.
func TestCopyIsHeard(t *testing.T) {
	var b bucket
	b.put("a.jpg", picture(1))
	b.put("z/copy.jpg", picture(1))
	got, sum := runOn(t, &b, Options{Table: readTable(t, "file,data_mining\nz/copy.jpg,DMI-PROHIBITED\n")}, nil)
	r := got["z/copy.jpg"]
	if r.Record != nil || r.Refusal.Kind != KindDuplicate || r.Copy == nil || r.Copy.ID != got["a.jpg"].Record.ID || sum.Added != 1 || sum.Refused != 1 {
		t.Fatalf("%+v, %+v", r, sum)
	}
	if d := gocmp.Diff([]string{"table refuses DMI-PROHIBITED"}, said(r.Copy)); d != "" || got["a.jpg"].Copy != nil {
		t.Errorf("the copy says (want -, got +) %s", d)
	}
	b.put("z/a.jpg", picture(1))
	got, _ = runOn(t, &b, Options{Table: readTable(t, "filename,data_mining\na.jpg,DMI-ALLOWED\n")}, nil)
	if s := said(got["z/a.jpg"].Copy); s != nil {
		t.Errorf("a copy is allowed by its holder's row: %v", s)
	}
}

// TestRowsNotApplied: of rows that differ on a file, and of bad rows, what reserves training counts, and nothing else.
func TestRowsNotApplied(t *testing.T) {
	refuses, asks := []string{"table refuses DMI-PROHIBITED"}, []string{"table asks UNREADABLE"}
	for _, c := range []struct {
		name, rows string
		want       []string
		unnamed    int64
	}{
		{"a line for each holder", "a.jpg,Anna,DMI-PROHIBITED,T\na.jpg,Bo,DMI-PROHIBITED,T\n", refuses, 0},
		{"one line prohibits", "a.jpg,Anna,DMI-ALLOWED,T\na.jpg,Bo,DMI-PROHIBITED,T\n", refuses, 0},
		{"both allow", "a.jpg,Anna,DMI-ALLOWED,T\na.jpg,Bo,DMI-ALLOWED,T\n", nil, 0},
		{"the same twice", "a.jpg,Anna,DMI-ALLOWED,T\na.jpg,Anna,DMI-ALLOWED,T\n", []string{"table allows DMI-ALLOWED"}, 0},
		{"a bad title", "a.jpg,Anna,DMI-PROHIBITED,T\x01\n", refuses, 0},
		{"a bad title, allowed", "a.jpg,Anna,DMI-ALLOWED,T\x01\n", nil, 0},
		{"a bad word", "a.jpg,Anna,DMI\x01,T\n", asks, 0},
		{"a field too many", "a.jpg,Berg, Anna,DMI-PROHIBITED,T\n", refuses, 1},
		{"a field too few", "a.jpg,Anna,DMI-ALLOWED\n", asks, 1},
		{"a broken quote behind", "a.jpg,Anna,DMI-PROHIBITED,\"T\"x\n", refuses, 0},
		{"a broken quote before", "a.jpg,\"Anna\"x,DMI-PROHIBITED,T\n", asks, 0},
		{"a good row and a bad one", "a.jpg,Anna,DMI-ALLOWED,T\na.jpg,Anna,DMI-PROHIBITED,T\x01\n", refuses, 0},
		{"many rows", "a.jpg,Anna,,T\n" + strings.Repeat("a.jpg,Bo,,T\n", 1200) + "a.jpg,Bo,DMI-PROHIBITED,T\n", asks, 0},
	} {
		var b bucket
		b.put("a.jpg", prohibits(1))
		tab := readTable(t, "file,rights_holder,data_mining,title\n"+c.rows)
		got, _ := runOn(t, &b, Options{Table: tab}, nil)
		rec := got["a.jpg"].Record
		if d := gocmp.Diff(append([]string{"file refuses DMI-PROHIBITED"}, c.want...), said(rec)); d != "" || tab.Unnamed != c.unnamed {
			t.Errorf("%s: %d rows unnamed; said (want -, got +) %s", c.name, tab.Unnamed, d)
		}
		applied := c.name == "the same twice"
		if todo := slices.ContainsFunc(rec.Todos, func(d Todo) bool { return d.Field == "table" }); todo == applied || rec.Settled != applied || (rec.Line != 0) != applied {
			t.Errorf("%s: settled %v by line %d, to do %+v", c.name, rec.Settled, rec.Line, rec.Todos)
		}
		if err := tab.Unused(func(r table.Row) error { return fmt.Errorf("line %d is unused", r.Line) }); err != nil && c.name != "many rows" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	var b bucket
	b.put("a.jpg", picture(1))
	got, _ := runOn(t, &b, Options{Table: readTable(t, `{"file":"a.jpg","data_mining":"DMI-PROHIBITED","title":{"en":"x"}}`+"\n"+`{"file":"b.jpg"}`+"\n")}, nil)
	if d := gocmp.Diff(refuses, said(got["a.jpg"].Record)); d != "" {
		t.Errorf("JSON lines: %s", d)
	}
}

// TestRowOfAnother: a row that another file took lifts no reservation and pays nobody; what it forbids is heard.
func TestRowOfAnother(t *testing.T) {
	for _, key := range []string{"id", "filename"} {
		name := map[string]string{"id": "DSC_0001", "filename": "DSC_0001.jpg"}[key]
		var b bucket
		b.put("anna/DSC_0001.jpg", picture(1))
		b.put("ben/DSC_0001.jpg", prohibits(2))
		b.put("cy/DSC_0001.jpg", picture(3, xmpSegment(`<xmpRights:Owner><rdf:Bag><rdf:li>Cy Dahl</rdf:li></rdf:Bag></xmpRights:Owner>`)))
		got, _ := runOn(t, &b, Options{Table: readTable(t, key+",rights_holder,data_mining,title\n"+name+",Anna Berg,DMI-ALLOWED,T\n")}, nil)
		anna, ben, cy := got["anna/DSC_0001.jpg"], got["ben/DSC_0001.jpg"], got["cy/DSC_0001.jpg"]
		if !anna.Record.Settled || anna.Refusal != nil || gocmp.Diff([]string{"table allows DMI-ALLOWED"}, said(anna.Record)) != "" {
			t.Errorf("%s: anna: %+v", key, anna.Record)
		}
		if r := ben.Record; r.Settled || len(r.Parties) > 0 || ben.Refusal == nil || gocmp.Diff([]string{"file refuses DMI-PROHIBITED"}, said(r)) != "" || r.Field("title") != "T" {
			t.Errorf("%s: ben: %+v", key, r)
		}
		if r := cy.Record; r.Settled || len(r.Parties) != 1 || r.Parties[0].Name != "Cy Dahl" || said(r) != nil ||
			!slices.ContainsFunc(r.Todos, func(d Todo) bool { return d.Field == "table" && strings.Contains(d.Detail, "taken for another file") }) {
			t.Errorf("%s: cy: %+v", key, r)
		}
		got, _ = runOn(t, &b, Options{Table: readTable(t, key+",data_mining\n"+name+",DMI-PROHIBITED\n")}, nil)
		for file, r := range got {
			if r.Refusal == nil {
				t.Errorf("%s: the row's prohibition does not hold for %s", key, file)
			}
		}
	}
}
