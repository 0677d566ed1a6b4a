package concepts

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseRule(t *testing.T) {
	cases := []struct {
		text string
		want Rule
		back string
	}{
		{"folder", Rule{Kind: Semantic, By: ByFolder}, "folder"},
		{" column : Collection  name ", Rule{Kind: Semantic, By: ByColumn, Column: "Collection name"}, "column:Collection name"},
		{"column:Creator", Rule{Kind: Owner, By: ByColumn, Column: "Creator"}, "column:Creator"},
		{"column:rights_holder", Rule{Kind: Owner, By: ByColumn, Column: "rights_holder"}, "column:rights_holder"},
		{"keyword", Rule{Kind: Semantic, By: ByKeyword}, "keyword"},
		{"keyword:lake, forêt", Rule{Kind: Semantic, By: ByKeyword, Keywords: []string{"forêt", "lake"}}, "keyword:forêt,lake"},
		{"creator", Rule{Kind: Owner, By: ByCreator}, "creator"},
		{"visual:8", Rule{Kind: Style, By: ByVisual, K: 8}, "visual:8"},
		{"style=column:look", Rule{Kind: Style, By: ByColumn, Column: "look"}, "style=column:look"},
		{"semantic=column:a=b", Rule{Kind: Semantic, By: ByColumn, Column: "a=b"}, "column:a=b"},
		{"semantic=column:creator", Rule{Kind: Semantic, By: ByColumn, Column: "creator"}, "semantic=column:creator"},
	}
	for _, c := range cases {
		got, err := ParseRule(c.text)
		if err != nil {
			t.Error(err)
		} else if !reflect.DeepEqual(got, c.want) || got.String() != c.back {
			t.Errorf("%q: got %+v %q", c.text, got, got.String())
		}
	}
}

func TestParseRuleErrors(t *testing.T) {
	cases := map[string]string{
		"":                  `unknown rule ""`,
		"colour":            `unknown rule "colour"`,
		"folder:2":          `"folder" takes no argument`,
		"column":            "column:NAME",
		"column: ":          "nothing after the colon",
		"column:Keywords":   "use the rule keyword",
		"keyword:a,,b":      `keyword "" is empty`,
		"keyword:Lake,lake": "listed twice",
		"visual":            "2 to 1024",
		"visual:1":          "2 to 1024",
		"visual:08":         "2 to 1024",
		"visual:1025":       "2 to 1024",
		"look=folder":       `kind "look"`,
		"\xff":              "not UTF-8",
	}
	for text, want := range cases {
		if _, err := ParseRule(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := ParseRules([]string{"folder", "semantic=folder"}); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Error(err)
	}
	if _, err := ParseRules(nil); err == nil {
		t.Error("no rule is accepted")
	}
}

func FuzzParseRule(f *testing.F) {
	for _, seed := range []string{"folder", "column:x", "style=column:a=b", "keyword:a, b", "visual:12", "creator", "owner=keyword:é", "=:", "column:\u00a0x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRule(text)
		if err != nil {
			return
		}
		again, err := ParseRule(r.String())
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%q is %+v, %q is %+v (%v)", text, r, r.String(), again, err)
		}
	})
}
