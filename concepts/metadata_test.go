package concepts

import (
	"bytes"
	"encoding/csv"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestReadMetadataCSV(t *testing.T) {
	file, err := os.Open("testdata/metadata.csv") // BOM, CRLF, a quoted comma, an empty line
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := ReadMetadataCSV(file)
	if err != nil {
		t.Fatal(err)
	}
	want := Metadata{
		Columns: []string{"file", "title", "creator", "keywords", "rights_holder", "Collection"},
		Rows: []Row{
			{Line: 2, File: "lacs/1.jpg", Title: "Lac, le soir", Creator: "Anna Berg", RightsHolder: "Agence A",
				Keywords: []string{"lac", "alpes"}, Columns: []Column{{"Collection", "hiver"}}},
			{Line: 4, File: "lacs/2.jpg"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadMetadataCSVErrors(t *testing.T) {
	cases := []struct{ name, in, want string }{
		{"empty", "", "the file is empty"},
		{"only a BOM", "\xef\xbb\xbf", "the file is empty"},
		{"no file column", "path,title\n", "line 1: no column is called file; columns are path, title"},
		{"semicolons", "file;title\na;b\n", "save the table with commas"},
		{"repeated header", "file,Title,title \n", `line 1: column 3 is called "title"`},
		{"unnamed header", "file,\n", `column 2 is called ""`},
		{"ragged", "file,title\na.jpg\nb.jpg,x,y\n", "line 2: 1 field, the header has 2"},
		{"ragged too", "file,title\na.jpg\nb.jpg,x,y\n", "line 3: 3 fields, the header has 2"},
		{"latin 1", "file,creator\na.jpg,Andr\xe9\n", `line 2, column creator: "Andr\xe9" is not UTF-8: save the table as CSV UTF-8`},
		{"latin 1 header", "file,cr\xe9ateur\n", "line 1: name of column 2"},
		{"control", "file,creator\na.jpg,x\x00\n", "control character U+0000"},
		{"up", "file\n../a.jpg\n", `line 2: file path "../a.jpg" holds an empty, . or .. part`},
		{"inside up", "file\na/../b.jpg\n", "part"},
		{"absolute", "file\n/etc/passwd\n", "is absolute"},
		{"drive", "file\nC:/a.jpg\n", "is absolute"},
		{"backslash", "file\na\\b.jpg\n", "backslash"},
		{"no path", "file,title\n,x\n", "line 2: the file's path is empty"},
		{"quote", "file,title\na.jpg,\"x\n", `line 2`},
		{"bare quote", "file,title\na.jpg,x\"y\n", `line 2`},
		{"long", "file,title\na.jpg," + strings.Repeat("x", maxFieldBytes+1) + "\n", "65537 bytes: at most 65536"},
		{"columns", "file" + strings.Repeat(",x", maxColumns) + "\n", "257 columns"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ReadMetadataCSV(strings.NewReader(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTwoOwners(t *testing.T) {
	_, err := ReadMetadataCSV(strings.NewReader("file,creator,rights_holder\na.jpg,X,Anna Berg\nb.jpg,,\na.jpg,X,Bob\n"))
	if !errors.Is(err, ErrTwoOwners) || !strings.Contains(err.Error(), `file "a.jpg" is of "Anna Berg" on line 2 and of "Bob" on line 4`) {
		t.Error(err)
	}
	_, err = ReadMetadataCSV(strings.NewReader("file,rights_holder\ne\u0301.jpg,Anna Berg\n\u00e9.jpg,ANNA  BERG\n"))
	if !errors.Is(err, ErrFileTwice) || errors.Is(err, ErrTwoOwners) {
		t.Error(err)
	}
	_, err = ReadMetadataCSV(strings.NewReader("file\n" + strings.Repeat("a\n", 30)))
	if !strings.HasSuffix(err.Error(), "and 9 more") || strings.Count(err.Error(), "\n") != maxProblems {
		t.Error(err)
	}
}

func TestJoin(t *testing.T) {
	works := []Work{
		{ID: "w1", Path: "e\u0301.jpg", Title: "kept", Creator: "Anna Berg", RightsHolder: "Agence A", Columns: []Column{{"Look", "old"}, {"z", "1"}}},
		{ID: "w2", Path: "b.jpg"},
	}
	m := Metadata{Rows: []Row{
		{Line: 2, File: "\u00e9.jpg", Creator: "anna  berg", RightsHolder: "Agence B", Keywords: []string{"k"}, Columns: []Column{{"look", "new"}}},
		{Line: 3, File: "B.jpg"},
	}}
	got, err := Join(works, m)
	if err != nil {
		t.Fatal(err)
	}
	want := Joined{
		Works: []Work{
			{ID: "w1", Path: "e\u0301.jpg", Title: "kept", Creator: "anna  berg", RightsHolder: "Agence B", Keywords: []string{"k"},
				Columns: []Column{{"look", "new"}, {"z", "1"}}},
			{ID: "w2", Path: "b.jpg"},
		},
		RowsWithoutFile: m.Rows[1:],
		FilesWithoutRow: []string{"b.jpg"},
		Conflicts:       []OwnerConflict{{"w1", "e\u0301.jpg", 2, "rights_holder", "Agence A", "Agence B"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if works[0].RightsHolder != "Agence A" {
		t.Error("Join changed its input")
	}
	if _, err := Join([]Work{{Path: "\u00e9"}, {Path: "e\u0301"}}, m); err == nil {
		t.Error("two works with one path are accepted")
	}
}

func FuzzReadMetadataCSV(f *testing.F) {
	for _, seed := range []string{"file\na.jpg\n", "\xef\xbb\xbffile,title\r\na.jpg,\"x, y\"\r\n", "file,keywords,rights_holder\na/b.jpg,x;y; x,Z\n",
		"file\n../x\n", "file,\"a\"\"b\"\nx,y\n", "file,creator\na,X\na,Y\n", "file\n\"a\nb\"\n", "FILE , Look\nx,\u00a0\n"} {
		f.Add([]byte(seed))
	}
	sample, err := os.ReadFile("testdata/metadata.csv")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := ReadMetadataCSV(bytes.NewReader(in))
		if err != nil {
			return
		}
		// Whatever is accepted can be written and read again to the same table.
		again, err := ReadMetadataCSV(bytes.NewReader(written(t, m)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, again, cmpopts.IgnoreFields(Row{}, "Line")); diff != "" {
			t.Fatal(diff)
		}
		for _, r := range m.Rows {
			if err := CheckPath(r.File); err != nil || r.Line < 2 {
				t.Fatal(r, err)
			}
		}
	})
}

// written writes a table as CSV.
func written(t *testing.T, m Metadata) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.Write(m.Columns)
	for _, r := range m.Rows {
		record := make([]string, len(m.Columns))
		for i, name := range m.Columns {
			switch identity(name) {
			case "file":
				record[i] = r.File
			case "title":
				record[i] = r.Title
			case "creator":
				record[i] = r.Creator
			case "rights_holder":
				record[i] = r.RightsHolder
			case "keywords":
				record[i] = strings.Join(r.Keywords, ";")
			default:
				for _, c := range r.Columns {
					if c.Name == name {
						record[i] = c.Value
					}
				}
			}
		}
		w.Write(record)
	}
	w.Flush()
	if err := w.Error(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
