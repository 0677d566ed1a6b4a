package registry

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// MostPerPage bounds a page, and what a call that takes a list of keys takes.
const MostPerPage = 1000

// usualPerPage is the default.
const usualPerPage = 100

// Page asks for a part of a list.
type Page struct {
	// After is List.Next of the page before, "" for the first.
	After string
	// Limit is 1 to MostPerPage, 0 for 100.
	Limit int
}

// List is a page of a list. Rows that come or go while somebody turns pages are seen or not; no other row is seen
// twice or missed.
type List[T any] struct {
	Items []T
	Next  string // for Page.After; "" at the end
}

// statement is a query with arguments to explain it with.
type statement struct {
	name, text string
	keys       string // of a page: 's' and 'i' for the types of the columns after which it continues
	sample     []any
}

// statements are all queries that make a page or look something up. A test has both databases explain them.
var statements []*statement

// lookup names a query that looks something up.
func lookup(name, text string, sample ...any) *statement {
	s := &statement{name: name, text: text, sample: sample}
	statements = append(statements, s)
	return s
}

// paged names a query that makes a page. It ends with ORDER BY; its last arguments are the keys to continue after.
func paged(name, keys, text string, sample ...any) *statement {
	s := lookup(name, text, sample...)
	s.keys = keys
	return s
}

// limits are the two numbers of rows that pages are fetched with, each one more than a page has, to know whether
// another follows. They stand in the text: given LIMIT $1, PostgreSQL plans for a tenth of the table.
var limits = [2]int{usualPerPage + 1, MostPerPage + 1}

func (s *statement) limited(limit int) string {
	most := limits[0]
	if limit >= most {
		most = limits[1]
	}
	return s.text + " LIMIT " + strconv.Itoa(most)
}

// start gives keys before all others. No key is empty, and numbers count from 1.
func (s *statement) start() []any {
	var keys []any
	for _, k := range s.keys {
		if k == 's' {
			keys = append(keys, "")
		} else {
			keys = append(keys, int64(-1))
		}
	}
	return keys
}

// parse reads what cursor wrote. A cursor holds keys only, no rights: with another tenant's it shows nothing of his.
func (s *statement) parse(after string) ([]any, error) {
	wrong := fmt.Errorf("registry: %q does not continue the list %q: give Next of its last page, or nothing", after, s.name)
	data, err := base64.RawURLEncoding.DecodeString(after)
	if err != nil {
		return nil, wrong
	}
	var parts []any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&parts); err != nil || len(parts) != 1+len(s.keys) || parts[0] != s.name {
		return nil, wrong
	}
	keys := parts[1:]
	for i, k := range s.keys {
		switch v := keys[i].(type) {
		case string:
			if k != 's' || checkText("key", v, mostName) != nil {
				return nil, wrong
			}
		case json.Number:
			n, err := v.Int64()
			if k != 'i' || err != nil {
				return nil, wrong
			}
			keys[i] = n
		default:
			return nil, wrong
		}
	}
	return keys, nil
}

func (s *statement) cursor(keys []any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(append([]any{s.name}, keys...)); err != nil {
		panic("registry: " + err.Error()) // strings and integers only
	}
	return base64.RawURLEncoding.EncodeToString(bytes.TrimSpace(b.Bytes()))
}

// list fetches a page. scan reads one row and gives the keys to continue after it.
func list[T any](ctx context.Context, q querier, s *statement, args []any, p Page, scan func(rows) (T, []any, error)) (l List[T], err error) {
	limit := p.Limit
	if limit == 0 {
		limit = usualPerPage
	}
	if limit < 1 || limit > MostPerPage {
		return l, fmt.Errorf("registry: a page of %d: choose 1 to %d", limit, MostPerPage)
	}
	keys := s.start()
	if p.After != "" {
		if keys, err = s.parse(p.After); err != nil {
			return l, err
		}
	}
	var last []any
	err = each(ctx, q, s.limited(limit), append(args[:len(args):len(args)], keys...), func(r rows) error {
		if len(l.Items) == limit {
			l.Next = s.cursor(last)
			return errEnough
		}
		item, at, err := scan(r)
		if err != nil {
			return fmt.Errorf("registry: %w", err)
		}
		l.Items, last = append(l.Items, item), at
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return l, err
}

// errEnough ends the reading of an answer early.
var errEnough = errors.New("enough")

// keysOf makes arguments of a list of keys, which is bounded, each once.
func keysOf[K ~string](what string, keys []K) ([]any, error) {
	if len(keys) > MostPerPage {
		return nil, fmt.Errorf("registry: %d %s at once: at most %d", len(keys), what, MostPerPage)
	}
	args := make([]any, 0, len(keys))
	for _, k := range keys {
		if checkText(what, string(k), mostName) == nil { // what cannot be kept is not there
			args = append(args, string(k))
		}
	}
	return unique(args), nil
}
