package optout

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of a file about a site.
const (
	maxSiteBytes = 4 << 20
	maxSiteRules = 20_000
	maxPattern   = 2048
)

// Site is what a file says about the paths of a site.
type Site struct {
	source string
	rules  []rule
}

type rule struct {
	pattern string
	finding Finding
}

// ParseTDMRep reads a tdmrep.json: an array of objects with location (a pattern), tdm-reservation (0 or 1) and, if one likes,
// tdm-policy. Source is where it was found, for the evidence. An error names the rule that is wrong: a file half
// understood reserves nothing that one could rely on.
//
// HTML's meta elements are not read here: they speak for the page and not for the pictures in it (W3C, technique
// "html meta tags").
func ParseTDMRep(text []byte, source string) (*Site, error) {
	if len(text) > maxSiteBytes {
		return nil, bomb("a tdmrep.json of %d bytes, at most %d are read", len(text), maxSiteBytes)
	}
	var rows []struct {
		Location    string          `json:"location"`
		Reservation json.RawMessage `json:"tdm-reservation"`
		Policy      string          `json:"tdm-policy"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), &rows); err != nil {
		return nil, fmt.Errorf("optout: %s is no tdmrep.json: %w", source, err)
	}
	if len(rows) > maxSiteRules {
		return nil, bomb("%d rules, at most %d are read", len(rows), maxSiteRules)
	}
	s := &Site{source: source}
	for i, r := range rows {
		value := string(r.Reservation)
		if r.Location == "" || len(r.Location) > maxPattern || value != "0" && value != "1" {
			return nil, fmt.Errorf("optout: %s: rule %d needs a location of at most %d bytes and a tdm-reservation of 0 or 1", source, i+1, maxPattern)
		}
		raw, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("optout: %s: rule %d: %w", source, i+1, err)
		}
		s.rules = append(s.rules, rule{r.Location, tdmFinding(value, r.Policy, fmt.Sprintf("%s rule %d", source, i+1), raw)})
	}
	return s, nil
}

// For gives the finding for a path of the site ("/photos/a.jpg"), and false if no rule is about it. Patterns are those of RFC
// 9309: a beginning of the path, "*" for any run of characters, "$" for the end. Where several rules match, the first
// and the longest must have the same effect, as readers of the specification take either; else the finding asks.
func (s *Site) For(path string) (Finding, bool) {
	first, longest := -1, -1
	for i, r := range s.rules {
		if !matches(r.pattern, path) {
			continue
		}
		if first < 0 {
			first, longest = i, i
		} else if len(r.pattern) > len(s.rules[longest].pattern) {
			longest = i
		}
	}
	if first < 0 {
		return Finding{}, false
	}
	f := s.rules[longest].finding
	if other := s.rules[first].finding; other.Effect != f.Effect {
		f.Effect, f.Detail = Asks, cut("contradicted by "+other.Where+"; "+f.Detail, 2000)
	}
	return f, true
}

// matches reports whether a pattern covers a path, both with their percent escapes resolved. It takes time in proportion to
// the product of their lengths at most.
func matches(pattern, path string) bool {
	pattern, path = unescape(pattern), unescape(path)
	if i := strings.Index(pattern, "://"); i >= 0 { // a full address: its path
		_, rest, ok := strings.Cut(pattern[i+3:], "/")
		if !ok {
			rest = ""
		}
		pattern = "/" + rest
	}
	if !strings.HasPrefix(pattern, "/") && !strings.HasPrefix(pattern, "*") {
		pattern = "/" + pattern
	}
	pattern, toEnd := strings.CutSuffix(pattern, "$")
	if !toEnd {
		pattern += "*"
	}
	// Greedy matching with one point of return: the last star.
	p, at, star, from := 0, 0, -1, 0
	for at < len(path) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, at
			p++
		case p < len(pattern) && pattern[p] == path[at]:
			p++
			at++
		case star >= 0:
			from++
			p, at = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// unescape resolves percent escapes; what is none stays.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := strings.IndexByte(hexDigits, lower(s[i+1])), strings.IndexByte(hexDigits, lower(s[i+2]))
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

const hexDigits = "0123456789abcdef"

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// rslDoc is the part of RSL 1.0 that is read: who prohibits or permits which usage of which paths.
type rslDoc struct {
	XMLName  xml.Name `xml:"rsl"`
	Contents []struct {
		URL      string       `xml:"url,attr"`
		Licences []rslLicence `xml:"license"`
	} `xml:"content"`
}

type rslLicence struct {
	Permits   []rslUsage `xml:"permits"`
	Prohibits []rslUsage `xml:"prohibits"`
	Payment   []struct {
		Type string `xml:"type,attr"`
	} `xml:"payment"`
}

type rslUsage struct {
	Type string `xml:"type,attr"`
	List string `xml:",chardata"`
}

// ParseRSL reads an RSL 1.0 licence file. Only the usage lists are understood, and only a prohibition is acted on; a
// licence that permits, or asks for money, asks for a person.
func ParseRSL(text []byte, source string) (*Site, error) {
	if len(text) > maxSiteBytes {
		return nil, bomb("an RSL file of %d bytes, at most %d are read", len(text), maxSiteBytes)
	}
	if err := checkXML(text); err != nil {
		return nil, err
	}
	var doc rslDoc
	if err := xml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("optout: %s is no RSL file: %w", source, err)
	}
	if len(doc.Contents) > maxSiteRules {
		return nil, bomb("%d contents, at most %d are read", len(doc.Contents), maxSiteRules)
	}
	s := &Site{source: source}
	evidence := finding(RSL, "", Asks, "", "", text) // its bytes are shared by all rules
	for i, c := range doc.Contents {
		if c.URL == "" || len(c.URL) > maxPattern {
			return nil, fmt.Errorf("optout: %s: content %d needs a url of 1 to %d bytes", source, i+1, maxPattern)
		}
		effect, value := Asks, "license"
		for _, l := range c.Licences {
			for _, u := range l.Prohibits {
				if u.trains() {
					effect, value = Refuses, "prohibits "+strings.TrimSpace(u.List)
				}
			}
		}
		f := evidence
		f.Effect, f.Value, f.Where = effect, cut(value, 300), cut(fmt.Sprintf("%s content %d", source, i+1), 500)
		s.rules = append(s.rules, rule{c.URL, f})
	}
	return s, nil
}

// trains tells whether a list of usages includes training.
func (u rslUsage) trains() bool {
	if u.Type != "usage" {
		return false
	}
	for _, word := range strings.FieldsFunc(strings.ToLower(u.List), func(r rune) bool { return r == ',' || r <= ' ' }) {
		switch word {
		case "all", "ai-all", "ai-train", "train-ai":
			return true
		}
	}
	return false
}

// checkXML walks a document and refuses a document type definition and more levels than a licence has.
func checkXML(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	for depth := 0; ; {
		token, err := d.RawToken()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("optout: not XML: %w", err)
		}
		switch token.(type) {
		case xml.Directive:
			return bomb("the XML holds a document type definition")
		case xml.StartElement:
			if depth++; depth > 32 {
				return bomb("more than 32 levels of XML")
			}
		case xml.EndElement:
			depth--
		}
	}
}
