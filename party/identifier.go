package party

import (
	"fmt"
	"strings"
)

// Scheme is who gives an identifier out. The strings are stable.
type Scheme string

const (
	ISNI    Scheme = "isni"
	IPIName Scheme = "ipi_name"
	IPIBase Scheme = "ipi_base"
	PLUS    Scheme = "plus"
)

// Identifier is a checked number of a party in its canonical form.
type Identifier struct {
	Scheme Scheme `json:"scheme"`
	Value  string `json:"value"`
}

// String writes what Parse reads: "isni:000000012281955X".
func (id Identifier) String() string { return string(id.Scheme) + ":" + id.Value }

// Parse reads an identifier with its scheme in front ("ISNI 0000 0001 2281 955X", "IPI: 14107338", "PLUS:...",
// "https://isni.org/isni/..."), or one that has only one reading: 16 characters are an ISNI, 11 digits an IPI name
// number, I-ddddddddd-d an IPI base number. The error names the value and says what is wrong with it.
func Parse(s string) (Identifier, error) {
	t := strings.TrimSpace(s)
	lower := strings.ToLower(t)
	for _, p := range []struct {
		prefix string
		read   func(string) (Identifier, error)
	}{
		{"https://isni.org/isni/", ParseISNI}, {"http://isni.org/isni/", ParseISNI}, {"https://www.isni.org/isni/", ParseISNI}, {"http://www.isni.org/isni/", ParseISNI},
		{"isni", ParseISNI}, {"ipi_name", ParseIPIName}, {"ipi_base", ParseIPIBase}, {"ipi", parseIPI}, {"plus-id", ParsePLUS}, {"plus", ParsePLUS},
	} {
		if strings.HasPrefix(lower, p.prefix) {
			return p.read(strings.TrimLeft(t[len(p.prefix):], ": "))
		}
	}
	switch bare := compact(t); {
	case len(bare) == 16 && strings.Trim(bare[:15], "0123456789") == "":
		return ParseISNI(t)
	case strings.HasPrefix(lower, "i-"):
		return ParseIPIBase(t)
	case len(bare) == 11 && strings.Trim(bare, "0123456789") == "":
		return ParseIPIName(t)
	}
	return Identifier{}, fmt.Errorf("party: %.40q is no identifier known here; write ISNI, IPI or PLUS in front of it", s)
}

func parseIPI(s string) (Identifier, error) {
	if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(s)), "I") {
		return ParseIPIBase(s)
	}
	return ParseIPIName(s)
}

// compact takes the spaces and hyphens out that people group digits with.
func compact(s string) string {
	return strings.NewReplacer(" ", "", "-", "", "\u00a0", "", "\u2010", "", "\u2011", "", ".", "").Replace(s)
}

func allDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// ParseISNI reads an ISNI, grouped or not. Its last character is 0 to 9 or X, by ISO/IEC 7064 MOD 11-2: over the 15 digits
// p = 2 (p + digit), check = (12 - p mod 11) mod 11, X for 10.
func ParseISNI(s string) (Identifier, error) {
	c := strings.ToUpper(compact(strings.TrimSpace(s)))
	if len(c) != 16 || !allDigits(c[:15]) || !allDigits(c[15:]) && c[15] != 'X' {
		return Identifier{}, fmt.Errorf("party: ISNI %.40q does not have 15 digits and a check character (0-9 or X)", s)
	}
	p := 0
	for i := range 15 {
		p = 2 * (p + int(c[i]-'0')) % 11
	}
	want := "0123456789X"[(12-p)%11]
	if c[15] != want {
		return Identifier{}, fmt.Errorf("party: ISNI %s fails its check character: %c, and the digits ask for %c; copy it again", c, c[15], want)
	}
	return Identifier{ISNI, c}, nil
}

// ParseIPIName reads an IPI name number (formerly CAE), 11 digits; leading zeros may be missing, as spreadsheets drop
// them. The last two digits check the nine before: weights 10, 9, ... 2, the sum modulo 101; check = 0 if that is 0, else
// (101 - it) mod 100. The rule is CISAC's as CWR software has it (django-music-publisher, validators.py, check_ipi_digit).
func ParseIPIName(s string) (Identifier, error) {
	c := compact(strings.TrimSpace(s))
	if !allDigits(c) || len(c) < 3 || len(c) > 11 {
		return Identifier{}, fmt.Errorf("party: IPI name number %.40q does not have 11 digits", s)
	}
	c = strings.Repeat("0", 11-len(c)) + c
	if c == "00000000000" {
		return Identifier{}, fmt.Errorf("party: IPI name number %s is nobody's", c)
	}
	sum := 0
	for i := range 9 {
		sum += (10 - i) * int(c[i]-'0')
	}
	want := sum % 101
	if want != 0 {
		want = (101 - want) % 100
	}
	if got := 10*int(c[9]-'0') + int(c[10]-'0'); got != want {
		return Identifier{}, fmt.Errorf("party: IPI name number %s fails its check digits: %02d, and the others ask for %02d; copy it again", c, got, want)
	}
	return Identifier{IPIName, c}, nil
}

// ParseIPIBase reads an IPI base number, I-ddddddddd-c, hyphens or not. The check digit: 2 plus the nine digits weighted 1
// to 9, modulo 10, taken from 10 (as the ISWC's, which starts with 1; same source as ParseIPIName).
func ParseIPIBase(s string) (Identifier, error) {
	c := strings.ToUpper(compact(strings.TrimSpace(s)))
	if len(c) != 11 || c[0] != 'I' || !allDigits(c[1:]) {
		return Identifier{}, fmt.Errorf("party: IPI base number %.40q does not look like I-000000229-7", s)
	}
	sum := 2
	for i := range 9 {
		sum += (i + 1) * int(c[1+i]-'0')
	}
	want := (10 - sum%10) % 10
	if got := int(c[10] - '0'); got != want {
		return Identifier{}, fmt.Errorf("party: IPI base number I-%s-%s fails its check digit: %d, and the others ask for %d; copy it again", c[1:10], c[10:], got, want)
	}
	return Identifier{IPIBase, "I-" + c[1:10] + "-" + c[10:]}, nil
}

// ParsePLUS reads an ID of the PLUS Registry. PLUS publishes no check digit and no grammar that we know of, so only its
// shape is tested: 2 to 64 letters, digits and "-._:/", a digit among them.
func ParsePLUS(s string) (Identifier, error) {
	t := strings.TrimSpace(s)
	ok := len(t) >= 2 && len(t) <= 64 && strings.ContainsAny(t, "0123456789")
	for i := range len(t) {
		c := t[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._:/", c) >= 0:
		default:
			ok = false
		}
	}
	if !ok {
		return Identifier{}, fmt.Errorf("party: PLUS-ID %.40q is not 2 to 64 letters, digits and -._:/ with a digit among them", s)
	}
	return Identifier{PLUS, t}, nil
}
