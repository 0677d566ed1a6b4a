package party

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestIdentifiers(t *testing.T) {
	for in, want := range map[string]string{
		// ISNI: the ORCID iDs are of ORCID's own documentation, whose check character is the same.
		"ISNI 0000 0001 2281 955X":               "isni:000000012281955X",
		"https://isni.org/isni/0000000218250097": "isni:0000000218250097",
		"0000-0002-9079-593X":                    "isni:000000029079593X",
		"0000 0001 2150 090x":                    "isni:000000012150090X",
		"00014107338":                            "ipi_name:00014107338",
		"IPI: 14107338":                          "ipi_name:00014107338",
		"I-000000229-7":                          "ipi_base:I-000000229-7",
		"ipi I0010681306":                        "ipi_base:I-001068130-6",
		"PLUS:1-AC-1C2":                          "plus:1-AC-1C2",
		"isni:000000012281955X":                  "isni:000000012281955X",
		"plus-id 100-22":                         "plus:100-22",
	} {
		id, err := Parse(in)
		if err != nil || id.String() != want {
			t.Errorf("Parse(%q) = %v, %v; want %s", in, id, err, want)
		}
	}
	for in, want := range map[string]string{
		"ISNI 0000 0001 2281 9551": "fails its check character",
		"ISNI 0000 0001 2281 955":  "15 digits",
		"00014107339":              "fails its check digits",
		"IPI 000000000000":         "11 digits",
		"00000000000":              "nobody",
		"I-000000229-8":            "fails its check digit",
		"I-00000022-7":             "look like",
		"PLUS:abc":                 "PLUS-ID",
		"hello":                    "no identifier known",
	} {
		if id, err := Parse(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %v, %v; want an error with %q", in, id, err, want)
		}
	}
}

// Check digits exist to catch one wrong digit and two exchanged neighbours. MOD 11-2 and modulo 101 catch them all; the base
// number's weights 2, 4, 5, 6 and 8 share factors with 10, and it does not.
func TestCheckDigitsCatchSlips(t *testing.T) {
	for _, in := range []string{"isni:0000000218250097", "ipi_name:00014107338"} {
		scheme, digits, _ := strings.Cut(in, ":")
		for i := range len(digits) {
			for d := byte('0'); d <= '9'; d++ {
				if wrong := digits[:i] + string(d) + digits[i+1:]; wrong != digits {
					if _, err := Parse(scheme + ":" + wrong); err == nil {
						t.Errorf("%s: %s passes", in, wrong)
					}
				}
			}
			if i > 0 && digits[i] != digits[i-1] {
				wrong := []byte(digits)
				wrong[i], wrong[i-1] = wrong[i-1], wrong[i]
				if _, err := Parse(scheme + ":" + string(wrong)); err == nil {
					t.Errorf("%s: %s passes", in, wrong)
				}
			}
		}
	}
}

func TestParseList(t *testing.T) {
	isni := Identifier{ISNI, "000000012281955X"}
	for in, want := range map[string][]Party{
		"":                       nil,
		" ; ":                    nil,
		"Anna Berg":              {{Name: "Anna Berg", Share: Whole}},
		"Anna  Berg (100 %)":     {{Name: "Anna Berg", Share: Whole}},
		"A1 (50%); B2 (50%)":     {{Name: "A1", Share: 5000}, {Name: "B2", Share: 5000}},
		"A (33,33 %)\nB(66.67%)": {{Name: "A", Share: 3333}, {Name: "B", Share: 6667}},
		"A (1/4); B (3/4)":       {{Name: "A", Share: 2500}, {Name: "B", Share: 7500}},
		"Agence (Paris) (60%); Man Ray (1890-1976) (40.0%)":        {{Name: "Agence (Paris)", Share: 6000}, {Name: "Man Ray (1890-1976)", Share: 4000}},
		"Lund [ISNI 0000 0001 2281 955X, PLUS:1-A] (40%); B (60%)": {{Name: "Lund", IDs: []Identifier{isni, {PLUS, "1-A"}}, Share: 4000}, {Name: "B", Share: 6000}},
		"A; B": {{Name: "A", Share: Unknown}, {Name: "B", Share: Unknown}},
	} {
		got, err := ParseList(in)
		if err != nil {
			t.Errorf("ParseList(%q): %v", in, err)
		} else if d := cmp.Diff(want, got); d != "" {
			t.Errorf("ParseList(%q): %s", in, d)
		}
	}
	for in, want := range map[string]string{
		"A (60%), B (40%)":            "within a name",
		"A 60%":                       "within a name",
		"A [ISNI 000000012281955X]/B": "within a name",
		"A (50%); B":                  "give one to each",
		"A (33.333%); B (66.667%)":    "never rounded",
		"A (1/3); B (2/3)":            "1/10,000",
		"A (0%)":                      "above 0",
		"A (101%)":                    "at most 100",
		"A (-5%)":                     "no percentage",
		"A (50%); a (50%)":            "listed twice",
		"(50%)":                       "is no name",
		"A [ISNI 1] (50%)":            "ISNI",
		"A (1/0)":                     "fraction",
		strings.Repeat("a", 70000):    "bytes",
		"\xff":                        "UTF-8",
	} {
		if got, err := ParseList(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseList(%.40q) = %v, %v; want an error with %q", in, got, err, want)
		}
	}
}

func TestCheckShares(t *testing.T) {
	parse := func(s string) []Party {
		p, err := ParseList(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, ok := range []string{"A", "A (50%); B (50%)", "A (0.01%); B (99.99%)", "A (33.33%); B (33.33%); C (33.34%)"} {
		if err := CheckShares(parse(ok)); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for in, want := range map[string]string{"": "nobody", "A; B": "no share", "A (50%); B (49.99%)": "99.99%", "A (60%); B (60%)": "120%"} {
		if err := CheckShares(parse(in)); !errors.Is(err, ErrShares) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func FuzzParseList(f *testing.F) {
	for _, s := range []string{"A (50%); B (50%)", "Lund [ISNI 0000 0001 2281 955X] (40%); B (60%)", "A (1/4)\nB(3/4)", "Agence (Paris)", "((", "[]", "a(%)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseList(s)
		if err != nil {
			return
		}
		for _, p := range got {
			if err := CheckName(p.Name); err != nil {
				t.Fatal(err)
			}
			for _, id := range p.IDs {
				again, err := Parse(id.String())
				if err != nil || again != id {
					t.Fatalf("%v becomes %v, %v", id, again, err)
				}
			}
			if p.Share != Unknown {
				again, err := ParseShare(FormatShare(p.Share))
				if err != nil || again != p.Share {
					t.Fatalf("share %d becomes %d, %v", p.Share, again, err)
				}
			}
		}
	})
}
