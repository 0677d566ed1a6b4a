package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/filigrane/filigrane/internal/ingest"
	"github.com/filigrane/filigrane/internal/ingest/table"
	"github.com/filigrane/filigrane/internal/registry"
	"github.com/filigrane/filigrane/party"
)

// resolver finds the parties of the registry that rights holders are. An identifier names one party, whatever is written
// beside it; who has none is known by his name alone, and is never taken for somebody who has one. What was known first
// stays: names are not changed, identifiers are only added.
type resolver struct {
	reg     *registry.Registry
	scope   registry.Scope
	parties map[string]*registry.Party
	owner   map[registry.Identifier]string
	touched map[string]bool
}

func newResolver(reg *registry.Registry, scope registry.Scope) *resolver {
	return &resolver{reg, scope, map[string]*registry.Party{}, map[registry.Identifier]string{}, map[string]bool{}}
}

// schemes in the order in which they give a party its id: the strongest first.
var schemes = []party.Scheme{party.ISNI, party.IPIName, party.IPIBase, party.PLUS}

func identifiers(p party.Party) []registry.Identifier {
	var list []registry.Identifier
	for _, scheme := range schemes {
		for _, id := range p.IDs {
			if id.Scheme == scheme {
				list = append(list, registry.Identifier{Scheme: string(id.Scheme), Value: id.Value})
			}
		}
	}
	return list
}

// partyID gives the id of a party that is new: that of its strongest identifier, or of its name.
func partyID(p party.Party) string {
	if ids := identifiers(p); len(ids) > 0 {
		return ids[0].Scheme + ":" + ids[0].Value
	}
	return nameID(p.Name)
}

// nameID is the same for names that differ in case, spaces and how letters are composed.
func nameID(name string) string {
	name = cases.Fold().String(norm.NFKC.String(strings.Join(strings.Fields(name), " ")))
	sum := sha256.Sum256([]byte(name))
	return "name:" + hex.EncodeToString(sum[:16])
}

// load reads what the registry knows of all rights holders of a batch.
func (r *resolver) load(ctx context.Context, works []*taken) error {
	byID, byNumber := map[string]bool{}, map[registry.Identifier]bool{}
	for _, t := range works {
		if !t.Record.Settled {
			continue
		}
		for _, p := range t.Record.Parties {
			byID[partyID(p)] = true
			for _, id := range identifiers(p) {
				byNumber[id] = true
			}
		}
	}
	keep := func(found []registry.Party, err error) error {
		for _, p := range found {
			r.parties[p.ID] = &p
			for _, id := range p.Identifiers {
				r.owner[id] = p.ID
			}
		}
		return err
	}
	for chunk := range slices.Chunk(slices.Collect(maps.Keys(byNumber)), registry.MostPerPage) {
		if err := keep(r.reg.PartiesByIdentifier(ctx, r.scope, chunk)); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(slices.Collect(maps.Keys(byID)), registry.MostPerPage) {
		if err := keep(r.reg.PartiesByID(ctx, r.scope, chunk)); err != nil {
			return err
		}
	}
	return nil
}

// shares gives the shares of a work's rights holders, which make a whole. One whose numbers are known as two parties' is a
// thing to do, and nobody has a share then.
func (r *resolver) shares(holders []party.Party) ([]registry.Share, []ingest.Todo) {
	parts := map[string]int{}
	var order []string
	for _, p := range holders {
		id, wrong := r.learn(p)
		if wrong != "" {
			return nil, []ingest.Todo{{Field: table.FieldRightsHolder, Detail: wrong, Why: "without rights holders and their shares nobody can be paid"}}
		}
		if parts[id] == 0 {
			order = append(order, id)
		}
		parts[id] += p.Share // one party under two names has both shares
	}
	list := make([]registry.Share, len(order))
	for i, id := range order {
		list[i] = registry.Share{Party: id, Parts: parts[id]}
	}
	return list, nil
}

// find gives the id of a rights holder, or what is wrong with its numbers.
func (r *resolver) find(p party.Party) (id, wrong string) {
	ids := identifiers(p)
	for _, number := range ids {
		switch owner, known := r.owner[number]; {
		case !known:
		case id == "":
			id = owner
		case id != owner:
			return "", fmt.Sprintf("%q has the numbers of two: %s is party %s's, another of them %s's; correct the wrong one", cut(clean(p.Name), 200), number.Value, owner, id)
		}
	}
	if id == "" {
		id = partyID(p)
	}
	return id, ""
}

// learn finds a rights holder and notes the numbers that were not known of it, or gives what is wrong with them.
func (r *resolver) learn(p party.Party) (id, wrong string) {
	id, wrong = r.find(p)
	if wrong != "" {
		return "", wrong
	}
	is := r.parties[id]
	if is == nil {
		is = &registry.Party{ID: id, Name: clean(p.Name)}
		r.parties[id], r.touched[id] = is, true
	}
	for _, number := range identifiers(p) {
		if _, known := r.owner[number]; !known {
			r.owner[number], r.touched[id] = id, true
			is.Identifiers = append(is.Identifiers, number)
		}
	}
	return id, ""
}

// changed gives the parties to write.
func (r *resolver) changed() []registry.Party {
	var list []registry.Party
	for _, id := range slices.Sorted(maps.Keys(r.touched)) {
		list = append(list, *r.parties[id])
	}
	return list
}
