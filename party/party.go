// Package party is who has rights in a work: names, identifiers with their check digits, and shares.
//
// # Identifiers
//
// An [Identifier] is a scheme and a value in one canonical form; several may name one party, and one party may
// have several of a scheme (a pen name has its own). They are never a payment identity.
//
//	isni      000000012281955X   16 characters, ISO 27729; check character by ISO/IEC 7064 MOD 11-2
//	ipi_name  00014107338        11 digits, CISAC; the last two check by weights 10 to 2 modulo 101
//	ipi_base  I-000000229-7      CISAC; the last digit checks by weights 1 to 9 modulo 10
//	plus      as written         PLUS Registry; no published check: its shape only is tested
//
// A right check digit says that the number was copied well, not that it is this party's.
//
// # Shares
//
// A share is a whole number of 1/10,000 (1 % is 100). Nothing is rounded and nothing is divided among those who have no
// share: what does not add up to [Whole] is an error that somebody has to settle.
//
// The package is pure.
package party

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Whole is 100 % in the unit of shares, 1/10,000.
const Whole = 10_000

// Unknown is the share of a party of which no share is known.
const Unknown = -1

// Party is a person or body with rights in a work.
type Party struct {
	Name string `json:"name"`
	// IDs are in the order given, each once.
	IDs []Identifier `json:"ids,omitempty"`
	// Share is in 1/10,000, 1 to Whole; Unknown if none is known.
	Share int `json:"share"`
}

// MaxParties is the most parties a work may have here.
const MaxParties = 200

// maxTextBytes bounds a list of parties written as text.
const maxTextBytes = 64 << 10

// ErrShares is wrapped by the errors about shares that do not make a whole.
var ErrShares = errors.New("shares do not add up to 100 %")

// CheckShares returns an error that wraps ErrShares unless every party has a share and they add up to Whole. No
// party at all is an error too.
func CheckShares(parties []Party) error {
	if len(parties) == 0 {
		return fmt.Errorf("%w: nobody is named", ErrShares)
	}
	sum := 0
	for _, p := range parties {
		if p.Share == Unknown {
			return fmt.Errorf("%w: %q has no share; give one to each of the %d", ErrShares, p.Name, len(parties))
		}
		if p.Share < 1 || p.Share > Whole {
			return fmt.Errorf("%w: %q has %s; a share is above 0 and at most 100 %%", ErrShares, p.Name, FormatShare(p.Share))
		}
		sum += p.Share
	}
	if sum != Whole {
		return fmt.Errorf("%w: they make %s", ErrShares, FormatShare(sum))
	}
	return nil
}

// ParseList reads parties written as text, separated by ";" or line ends:
//
//	Anna Berg (60%); Studio Lund [ISNI 0000 0001 2281 955X] (40 %)
//	Anna Berg
//
// A share stands last, in round brackets, as a percentage with at most two decimals after a point or a comma, or as a
// fraction that is a whole number of 1/10,000 (1/2, 3/8). Identifiers stand in square brackets before it, separated by
// commas. Other round brackets belong to the name, which has no "%", "[" or "]": with them it may be two that a comma parts. One party without a share, named alone, has the whole; of several either
// all have a share or none. Each party is listed once. Whether shares add up is for CheckShares. An empty text gives none.
func ParseList(text string) ([]Party, error) {
	if len(text) > maxTextBytes {
		return nil, fmt.Errorf("party: %d bytes of rights holders; at most %d", len(text), maxTextBytes)
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("party: %.60q is not UTF-8", text)
	}
	var out []Party
	with := 0
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' || r == '\n' || r == '\r' }) {
		part = strings.Join(strings.Fields(part), " ")
		if part == "" {
			continue
		}
		p, err := parseOne(part)
		if err != nil {
			return nil, err
		}
		if p.Share != Unknown {
			with++
		}
		out = append(out, p)
	}
	if with > 0 && with < len(out) {
		return nil, fmt.Errorf("party: %q gives shares to %d of %d; give one to each, or to none", text, with, len(out))
	}
	return out, Tidy(out)
}

// Tidy gives the whole to a party named alone without a share. It returns an error if there are more than MaxParties or
// one of them is listed twice, by name (whatever the case) with the same identifiers.
func Tidy(parties []Party) error {
	if len(parties) > MaxParties {
		return fmt.Errorf("party: %d rights holders; at most %d", len(parties), MaxParties)
	}
	seen := map[string]bool{}
	for _, p := range parties {
		key := p.key()
		if seen[key] {
			return fmt.Errorf("party: %q is listed twice; add the shares up yourself and list it once", p.Name)
		}
		seen[key] = true
	}
	if len(parties) == 1 && parties[0].Share == Unknown {
		parties[0].Share = Whole
	}
	return nil
}

func (p Party) key() string {
	key := strings.ToLower(p.Name)
	for _, id := range p.IDs {
		key += "\x00" + id.String()
	}
	return key
}

// SameNames tells whether two lists name the same parties, in any order and whatever the case.
func SameNames(a, b []Party) bool {
	count := map[string]int{}
	for _, p := range a {
		count[strings.ToLower(p.Name)]++
	}
	for _, p := range b {
		count[strings.ToLower(p.Name)]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// parseOne reads a name with its identifiers and share, spaces already tidy.
func parseOne(s string) (Party, error) {
	p := Party{Name: s, Share: Unknown}
	if at := strings.LastIndexByte(s, '('); at >= 0 && strings.HasSuffix(s, ")") {
		inner := s[at+1 : len(s)-1]
		if looksLikeShare(inner) {
			share, err := ParseShare(inner)
			if err != nil {
				return Party{}, fmt.Errorf("%w in %q", err, s)
			}
			p.Share, p.Name = share, strings.TrimSpace(s[:at])
		}
	}
	if at := strings.LastIndexByte(p.Name, '['); at >= 0 && strings.HasSuffix(p.Name, "]") {
		for id := range strings.SplitSeq(p.Name[at+1:len(p.Name)-1], ",") {
			parsed, err := Parse(id)
			if err != nil {
				return Party{}, fmt.Errorf("%w in %q", err, s)
			}
			p.AddID(parsed)
		}
		p.Name = strings.TrimSpace(p.Name[:at])
	}
	if strings.ContainsAny(p.Name, "%[]") {
		return Party{}, fmt.Errorf("party: %q holds a share or an identifier within a name; separate rights holders by semicolons and write Name [ISNI ...] (50%%)", s)
	}
	if err := CheckName(p.Name); err != nil {
		return Party{}, fmt.Errorf("%w in %q", err, s)
	}
	return p, nil
}

// AddID adds an identifier the party does not have yet.
func (p *Party) AddID(id Identifier) {
	for _, have := range p.IDs {
		if have == id {
			return
		}
	}
	p.IDs = append(p.IDs, id)
}

// CheckName returns an error unless s is a name: 1 to 500 bytes of UTF-8 with a letter or digit and no control character.
func CheckName(s string) error {
	if len(s) > 500 || !utf8.ValidString(s) || strings.IndexFunc(s, unicode.IsControl) >= 0 {
		return fmt.Errorf("party: %.60q is no name: 1 to 500 bytes of UTF-8 without control characters", s)
	}
	if strings.IndexFunc(s, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) < 0 {
		return fmt.Errorf("party: %q is no name: it has neither a letter nor a digit", s)
	}
	return nil
}

// looksLikeShare tells a share from words in brackets that belong to a name: "(Paris)", "(1923-2004)".
func looksLikeShare(s string) bool {
	s = strings.TrimSpace(s)
	if s == "" || strings.Trim(s, "0123456789.,/% -+\u00a0\u202f") != "" {
		return false
	}
	return strings.ContainsAny(s, "%/")
}

// ParseShare reads a share: "50%", "33,33 %", "12.5 %", "1/2". The result is in 1/10,000 and above 0. An error says what is
// wrong with it: more decimals than 1/10,000 holds, a fraction that is none of 1/10,000, or a share of 0 or above 100 %. A
// bare number is refused: 1 may be 1 % or all of it.
func ParseShare(s string) (int, error) {
	t := strings.TrimSpace(s)
	if over, under, ok := strings.Cut(t, "/"); ok {
		a, errA := digits(strings.TrimSpace(over), 5)
		b, errB := digits(strings.TrimSpace(under), 5)
		if errA != nil || errB != nil || b == 0 {
			return 0, fmt.Errorf("party: share %q is no fraction", s)
		}
		if a*Whole%b != 0 {
			return 0, fmt.Errorf("party: share %q is no whole number of 1/10,000; write percentages with two decimals that add up to 100 %%", s)
		}
		return inRange(a*Whole/b, s)
	}
	num, ok := strings.CutSuffix(t, "%")
	if !ok {
		return 0, fmt.Errorf("party: share %q has no %% sign; write 50%%", s)
	}
	num = strings.TrimRight(num, " \u00a0\u202f")
	whole, part, _ := strings.Cut(strings.Replace(num, ",", ".", 1), ".")
	if len(part) > 2 && strings.Trim(part[2:], "0") != "" {
		return 0, fmt.Errorf("party: share %q has more than two decimals; shares are kept in 1/10,000 and never rounded", s)
	}
	part = (part + "00")[:2]
	w, errW := digits(whole, 5)
	p, errP := digits(part, 2)
	if errW != nil || errP != nil {
		return 0, fmt.Errorf("party: share %q is no percentage", s)
	}
	return inRange(100*w+p, s)
}

func inRange(share int, s string) (int, error) {
	if share < 1 || share > Whole {
		return 0, fmt.Errorf("party: share %q is not above 0 and at most 100 %%", s)
	}
	return share, nil
}

// digits reads 1 to most decimal digits and nothing else.
func digits(s string, most int) (int, error) {
	if s == "" || len(s) > most {
		return 0, errors.New("party: no number")
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, errors.New("party: no number")
		}
		n = 10*n + int(s[i]-'0')
	}
	return n, nil
}

// FormatShare writes a share as ParseShare reads it: "33.33%".
func FormatShare(share int) string {
	if share == Unknown {
		return "unknown"
	}
	if share%100 == 0 {
		return fmt.Sprintf("%d%%", share/100)
	}
	return fmt.Sprintf("%d.%02d%%", share/100, share%100)
}
