package registry

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds on words: what is longer is cut, what is more is not found.
const (
	mostWordBytes = 64
	mostWords     = 200
	mostAsked     = 16
)

// words gives the words of a text as they are looked for: runs of letters and digits, without case and accents
// (Unicode NFKD, marks left out, lower case), at most mostWordBytes long. "L'Été à Bréhat" has l, ete, a, brehat.
func words(text string) []string {
	var folded strings.Builder
	for _, r := range norm.NFKD.String(text) {
		switch {
		case unicode.Is(unicode.M, r):
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			folded.WriteRune(unicode.ToLower(r))
		default:
			folded.WriteByte(' ')
		}
	}
	list := strings.Fields(folded.String())
	for i, w := range list {
		for len(w) > mostWordBytes {
			_, size := utf8.DecodeLastRuneInString(w)
			w = w[:len(w)-size]
		}
		list[i] = w
	}
	return list
}

// tenantTerm is a word that all works of a tenant have and nobody can ask for.
func tenantTerm(tenant int64) string { return "~" + strconv.FormatInt(tenant, 10) }

// terms gives what a work is found by: its tenant and the words of title, creator and keywords, each once.
func (w Work) terms(tenant int64) string {
	list := words(w.Title + " " + w.Creator + " " + strings.Join(w.Keywords, " "))
	slices.Sort(list)
	list = slices.Compact(list)
	return strings.Join(append([]string{tenantTerm(tenant)}, list[:min(len(list), mostWords)]...), " ")
}

var (
	searchSQLite = paged("works by words (SQLite)", "i", "SELECT "+qualified("w", workColumns)+" FROM works_terms f JOIN works w ON w.n = f.rowid"+
		" WHERE f.works_terms MATCH $1 AND w.tenant = $2 AND f.rowid > $3 ORDER BY f.rowid", `"~1" AND "lac" AND "br"*`, int64(1))
	searchPostgres = paged("works by words (PostgreSQL)", "i", "SELECT "+workColumns+" FROM works"+
		" WHERE words_of(terms) @@ $1::tsquery AND tenant = $2 AND n > $3 ORDER BY n", `'~1' & 'lac' & 'br':*`, int64(1))
)

func qualified(with, list string) string {
	return with + "." + strings.ReplaceAll(list, ", ", ", "+with+".")
}

// SearchWorks lists the works whose title, creator or keywords have all words of the text, without case and accents, in
// the order in which the works came. If the text ends with *, its last word is the beginning of one. At most 16 words.
// A word is found at once, however many works have it; a beginning reads all that it finds before the first page.
func (r *Registry) SearchWorks(ctx context.Context, s Scope, text string, p Page) (l List[Work], err error) {
	if err := checkText("search", text, mostName); err != nil {
		return l, err
	}
	asked, beginning := words(text), strings.HasSuffix(text, "*")
	if len(asked) == 0 || len(asked) > mostAsked {
		return l, fmt.Errorf("registry: %.80q has %d words to look for: give 1 to %d", text, len(asked), mostAsked)
	}
	err = r.read(ctx, s, "SearchWorks", func(q querier, tenant int64) error {
		st, ask := searchSQLite, `"`+tenantTerm(tenant)+`" AND "`+strings.Join(asked, `" AND "`)+`"`
		if r.pool != nil {
			st, ask = searchPostgres, "'"+tenantTerm(tenant)+"' & '"+strings.Join(asked, "' & '")+"'"
		}
		if beginning && r.pool != nil {
			ask += ":*"
		} else if beginning {
			ask += "*"
		}
		args := []any{ask, tenant}
		l, err = list(ctx, q, st, args, p, func(r rows) (Work, []any, error) {
			w, err := scanWork(r)
			return w.Work, []any{w.n}, err
		})
		return err
	})
	return l, err
}
