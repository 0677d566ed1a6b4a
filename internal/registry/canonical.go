package registry

import (
	"crypto/sha256"
	"fmt"
	"sort"
	"strconv"

	"github.com/filigrane/filigrane/concepts"
)

// netstrings writes the parts of the canonical form that package concepts describes: N(s) is the decimal length of
// s in bytes, ":", the bytes, ",".
type netstrings []byte

func (n *netstrings) text(s string) {
	*n = strconv.AppendInt(*n, int64(len(s)), 10)
	*n = append(*n, ':')
	*n = append(*n, s...)
	*n = append(*n, ',')
}

func (n *netstrings) texts(list ...string) {
	for _, s := range list {
		n.text(s)
	}
}

func (n *netstrings) number(i int64) { n.text(strconv.FormatInt(i, 10)) }

// canonicalValues writes values of columns, to compare and hash.
func canonicalValues(list []any) []byte {
	var n netstrings
	for _, v := range list {
		switch v := v.(type) {
		case int64:
			n.number(v)
		case string:
			n.text(v)
		case []byte:
			n.text(string(v))
		case float64:
			n.text(strconv.FormatFloat(v, 'g', -1, 64))
		default:
			panic(fmt.Sprintf("registry: a value of type %T", v))
		}
	}
	return n
}

// digest is what tells whether content has changed.
func digest(list ...any) []byte {
	h := sha256.Sum256(canonicalValues(list))
	return h[:16]
}

// catalogueHead, then works, concepts and memberships, each list with its length first, is the canonical form.
func catalogueHead(name string, version int) []byte {
	n := netstrings("filigrane catalogue v1\n")
	n.text(name)
	n.number(int64(version))
	return n
}

func workBody(w concepts.Work) []byte {
	var n netstrings
	n.texts(string(w.ID), w.Path, w.SHA256)
	n.number(int64(w.Width))
	n.number(int64(w.Height))
	n.texts(w.Format, w.Title, w.Creator)
	keywords := append([]string(nil), w.Keywords...)
	sort.Strings(keywords)
	n.number(int64(len(keywords)))
	n.texts(keywords...)
	n.text(w.RightsHolder)
	n.number(int64(len(w.Columns)))
	for _, c := range w.Columns {
		n.texts(c.Name, c.Value)
	}
	return n
}

func conceptBody(c concepts.Concept) []byte {
	var n netstrings
	n.texts(string(c.ID), string(c.Kind), c.Name)
	return n
}

func memberBody(m concepts.Membership) []byte {
	var n netstrings
	n.texts(string(m.Work), string(m.Concept), m.Rule, m.Why)
	return n
}

// parser reads netstrings; err stays once something was wrong.
type parser struct {
	rest []byte
	err  error
}

var errCanonical = fmt.Errorf("%w: a catalogue's row cannot be read; restore it from a backup", ErrDamaged)

func (p *parser) text() string {
	colon := 0
	for colon < len(p.rest) && p.rest[colon] != ':' {
		colon++
	}
	n, err := strconv.Atoi(string(p.rest[:min(colon, 20)]))
	if p.err != nil || err != nil || n < 0 || n > len(p.rest)-colon-2 || p.rest[colon+1+n] != ',' {
		p.err = errCanonical
		return ""
	}
	s := string(p.rest[colon+1 : colon+1+n])
	p.rest = p.rest[colon+n+2:]
	return s
}

// number reads a number that is not negative and not larger than what is left, if it counts things.
func (p *parser) number() int {
	n, err := strconv.Atoi(p.text())
	if err != nil || n < 0 {
		p.err = errCanonical
		return 0
	}
	return n
}

func (p *parser) count() int {
	if n := p.number(); n <= len(p.rest) {
		return n
	}
	p.err = errCanonical
	return 0
}

func (p *parser) end() error {
	if p.err == nil && len(p.rest) > 0 {
		p.err = errCanonical
	}
	return p.err
}

func parseWork(body []byte) (w concepts.Work, err error) {
	p := &parser{rest: body}
	w.ID, w.Path, w.SHA256 = concepts.WorkID(p.text()), p.text(), p.text()
	w.Width, w.Height = p.number(), p.number()
	w.Format, w.Title, w.Creator = p.text(), p.text(), p.text()
	for range p.count() {
		w.Keywords = append(w.Keywords, p.text())
	}
	w.RightsHolder = p.text()
	for range p.count() {
		w.Columns = append(w.Columns, concepts.Column{Name: p.text(), Value: p.text()})
	}
	return w, p.end()
}

func parseConcept(body []byte) (c concepts.Concept, err error) {
	p := &parser{rest: body}
	c.ID, c.Kind, c.Name = concepts.ConceptID(p.text()), concepts.Kind(p.text()), p.text()
	return c, p.end()
}

func parseMember(body []byte) (m concepts.Membership, err error) {
	p := &parser{rest: body}
	m.Work, m.Concept, m.Rule, m.Why = concepts.WorkID(p.text()), concepts.ConceptID(p.text()), p.text(), p.text()
	return m, p.end()
}
