package registry

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/filigrane/filigrane/concepts"
)

var codebookTable = &table{name: "codebook", cols: columns("tenant i, line i, number i, book t, kind t, id t"), order: []string{"tenant", "book", "line"}}

var (
	codebookLines = paged("lines of a codebook", "i", "SELECT line, kind, number, id FROM codebook WHERE tenant = $1 AND book = $2 AND line > $3 ORDER BY line", int64(1), "main")
	codebookLast  = lookup("last line of a codebook", "SELECT coalesce(max(line), 0) FROM codebook WHERE tenant = $1 AND book = $2", int64(1), "main")
	codebookMost  = lookup("last number of a codebook", "SELECT coalesce(max(number), 0) FROM codebook WHERE tenant = $1 AND book = $2 AND kind = $3", int64(1), "main", "w")
	numbersOf     = lookup("numbers", "SELECT id, number FROM codebook WHERE tenant = $1 AND book = $2 AND kind = $3 AND "+in("id", 4), int64(1), "main", "w", "w000100", "w000200")
)

// AssignConcepts gives the numbers of concepts in a codebook of the tenant, in the order of ids; those that have none
// get the next ones, for good. Numbers run 1, 2, 3 without gaps, however many assign at once. A codebook begins with
// its first number; a tenant has as many as it has keys. Nothing is assigned on error: concepts.ErrCodebookFull, or a
// malformed id.
func (r *Registry) AssignConcepts(ctx context.Context, s Scope, book string, ids []concepts.ConceptID) (numbers []int, err error) {
	err = r.write(ctx, s, "AssignConcepts", func(t *tx, tenant int64) error {
		numbers, err = assignNumbers(ctx, t, tenant, book, "c", concepts.MaxConceptNumber, ids)
		return err
	})
	return numbers, err
}

// AssignWorks does the same for works.
func (r *Registry) AssignWorks(ctx context.Context, s Scope, book string, ids []concepts.WorkID) (numbers []int, err error) {
	err = r.write(ctx, s, "AssignWorks", func(t *tx, tenant int64) error {
		numbers, err = assignNumbers(ctx, t, tenant, book, "w", concepts.MaxWorkNumber, ids)
		return err
	})
	return numbers, err
}

func assignNumbers[ID interface {
	~string
	Check() error
}](ctx context.Context, t *tx, tenant int64, book, kind string, most int, ids []ID) ([]int, error) {
	if err := checkID("codebook", book); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := id.Check(); err != nil {
			return nil, err
		}
	}
	if err := t.lock(ctx, lockCodebook, tenant); err != nil {
		return nil, err
	}
	have, err := bookNumbers(ctx, t, tenant, book, kind, unique(toAny(ids)))
	if err != nil {
		return nil, err
	}
	var line, last int64
	if _, err := one(ctx, t, codebookLast.text, []any{tenant, book}, &line); err != nil {
		return nil, err
	}
	if _, err := one(ctx, t, codebookMost.text, []any{tenant, book, kind}, &last); err != nil {
		return nil, err
	}
	taken := last
	var fresh [][]any
	numbers := make([]int, len(ids))
	for i, id := range ids {
		if have[string(id)] == 0 {
			line, last = line+1, last+1
			have[string(id)] = int(last)
			fresh = append(fresh, []any{tenant, line, last, book, kind, string(id)})
		}
		numbers[i] = have[string(id)]
	}
	if last > int64(most) {
		return nil, fmt.Errorf("%w (%d of %d numbers are taken, %d more are asked for)", concepts.ErrCodebookFull, taken, most, len(fresh))
	}
	return numbers, t.insert(ctx, codebookTable, fresh)
}

func bookNumbers(ctx context.Context, q querier, tenant int64, book, kind string, keys []any) (map[string]int, error) {
	have := make(map[string]int, len(keys))
	return have, lookupEach(ctx, q, numbersOf.text, []any{tenant, book, kind}, keys, func(r rows) error {
		var id string
		var n int64
		err := r.Scan(&id, &n)
		have[id] = int(n)
		return err
	})
}

// ConceptNumbers gives the numbers of those of the concepts that have one. At most MostPerPage.
func (r *Registry) ConceptNumbers(ctx context.Context, s Scope, book string, ids []concepts.ConceptID) (map[concepts.ConceptID]int, error) {
	return numbers(ctx, r, s, "ConceptNumbers", book, "c", ids)
}

// WorkNumbers gives the numbers of those of the works that have one. At most MostPerPage.
func (r *Registry) WorkNumbers(ctx context.Context, s Scope, book string, ids []concepts.WorkID) (map[concepts.WorkID]int, error) {
	return numbers(ctx, r, s, "WorkNumbers", book, "w", ids)
}

func numbers[ID ~string](ctx context.Context, r *Registry, s Scope, call, book, kind string, ids []ID) (found map[ID]int, err error) {
	if err := checkID("codebook", book); err != nil {
		return nil, err
	}
	found = map[ID]int{}
	return found, r.read(ctx, s, call, func(q querier, tenant int64) error {
		keys, err := keysOf("ids", ids)
		if err != nil {
			return err
		}
		have, err := bookNumbers(ctx, q, tenant, book, kind, keys)
		for id, n := range have {
			found[ID(id)] = n
		}
		return err
	})
}

// Codebook reads a whole codebook, an empty one if none of its numbers was given.
func (r *Registry) Codebook(ctx context.Context, s Scope, book string) (b *concepts.Codebook, err error) {
	if err := checkID("codebook", book); err != nil {
		return nil, err
	}
	err = r.read(ctx, s, "Codebook", func(q querier, tenant int64) error {
		var text strings.Builder
		text.WriteString("filigrane codebook v1\n")
		for after := ""; ; {
			l, err := list(ctx, q, codebookLines, []any{tenant, book}, Page{after, MostPerPage}, func(r rows) (struct{}, []any, error) {
				var line, number int64
				var kind, id string
				err := r.Scan(&line, &kind, &number, &id)
				text.WriteString(kind + " " + strconv.FormatInt(number, 10) + " " + id + "\n")
				return struct{}{}, []any{line}, err
			})
			if err != nil {
				return err
			}
			if after = l.Next; after == "" {
				break
			}
		}
		b, err = concepts.ParseCodebook([]byte(text.String()))
		return err
	})
	return b, err
}
