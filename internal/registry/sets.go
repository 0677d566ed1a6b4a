package registry

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func sortBy[T any, K cmp.Ordered](list []T, key func(T) K) {
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
}

func toAny[K ~string](list []K) []any {
	out := make([]any, len(list))
	for i, k := range list {
		out[i] = string(k)
	}
	return out
}

// unique leaves out repeated keys, keeping the order.
func unique(keys []any) []any {
	seen := make(map[any]bool, len(keys))
	return slices.DeleteFunc(slices.Clone(keys), func(k any) bool {
		was := seen[k]
		seen[k] = true
		return was
	})
}

// mustHave returns ErrNotFound for the first key that a lookup, whose first column is the key, does not find.
func (t *tx) mustHave(ctx context.Context, what string, s *statement, fixed, keys []any) error {
	there := make(map[string]bool, len(keys))
	err := lookupEach(ctx, t, s.text, fixed, keys, func(r rows) error {
		var key string
		into := []any{&key}
		if s == workStatesOf {
			into = append(into, new(int64))
		}
		err := r.Scan(into...)
		there[key] = true
		return err
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		if !there[k.(string)] {
			return fmt.Errorf("%w: %s %.130q", ErrNotFound, what, k)
		}
	}
	return nil
}
