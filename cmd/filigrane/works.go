package main

import (
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/registry"
)

// worksCmd is "filigrane works".
type worksCmd struct {
	List   worksListCmd   `cmd:"" default:"withargs" help:"List the works, one a line (the default)."`
	Show   worksShowCmd   `cmd:"" help:"Show works with their rights holders, reservations and what is to be settled."`
	Search worksSearchCmd `cmd:"" help:"Find works by words of title, creator and keywords."`
}

// Help explains pages.
func (worksCmd) Help() string {
	return `Without --limit a list is printed whole, however long. With it the last line is {"next": "..."} where the list goes on: give that to --after.

Example: filigrane works list --state reserved
Example: filigrane works show mountains/ridge.jpg
Example: filigrane works search "lac brume" --limit 20`
}

// pageFlags are the flags of every list.
type pageFlags struct {
	After string `placeholder:"NEXT" help:"Go on where a list that was cut by --limit ended."`
	Limit int    `placeholder:"N" help:"Print at most N."`
}

// lines prints a list, one value a line, from --after on and up to --limit.
func lines[T any](s *session, f pageFlags, list func(registry.Page) (registry.List[T], error), line func(T) (any, error)) error {
	if f.Limit < 0 {
		return badInput("--limit %d: give 1 or more", f.Limit)
	}
	left := f.Limit
	for p := (registry.Page{After: f.After}); ; {
		p.Limit = registry.MostPerPage
		if f.Limit > 0 {
			p.Limit = min(left, p.Limit)
		}
		l, err := list(p)
		if err != nil {
			if p.After != "" && p.After == f.After {
				return badInput("--after: %w", err)
			}
			return err
		}
		for _, item := range l.Items {
			v, err := line(item)
			if err == nil {
				err = s.emit(v)
			}
			if err != nil {
				return err
			}
		}
		left -= len(l.Items)
		if p.After = l.Next; p.After == "" {
			return nil
		}
		if f.Limit > 0 && left <= 0 {
			return s.emit(nextJSON{p.After})
		}
		if err := s.ctx.Err(); err != nil {
			return err
		}
	}
}

// nextJSON is the last line of a list that goes on.
type nextJSON struct {
	Next string `json:"next"`
}

// workJSON is a work as lists have it.
type workJSON struct {
	Work         string          `json:"work"`
	File         string          `json:"file"`
	State        string          `json:"state"`
	SHA256       string          `json:"sha256"`
	Bytes        int64           `json:"bytes"`
	Width        int             `json:"width"`
	Height       int             `json:"height"`
	Format       string          `json:"format"`
	ISCC         string          `json:"iscc,omitempty"`
	Title        string          `json:"title,omitempty"`
	Creator      string          `json:"creator,omitempty"`
	RightsHolder string          `json:"rights_holder,omitempty"`
	Keywords     []string        `json:"keywords,omitempty"`
	Columns      orderedColumns  `json:"columns,omitempty"`
	Added        time.Time       `json:"added"`
	Changed      time.Time       `json:"changed"`
	Shares       []shareJSON     `json:"shares,omitempty"`
	Reservations []reservationJS `json:"reservations,omitempty"`
	Todos        []todoJSON      `json:"todos,omitempty"`
}

// orderedColumns are a work's columns by name.
type orderedColumns map[string]string

type shareJSON struct {
	Party string `json:"party"`
	Name  string `json:"name"`
	Parts int    `json:"parts"` // of 10,000
}

func workLine(w registry.Work) (any, error) { return workOf(w), nil }

func workOf(w registry.Work) workJSON {
	j := workJSON{Work: string(w.ID), File: w.Path, State: w.State.String(), SHA256: w.SHA256, Bytes: w.Bytes, Width: w.Width, Height: w.Height, Format: w.Format, ISCC: w.ISCC,
		Title: w.Title, Creator: w.Creator, RightsHolder: w.RightsHolder, Keywords: w.Keywords, Added: w.Added, Changed: w.Changed}
	if len(w.Columns) > 0 {
		j.Columns = orderedColumns{}
		for _, c := range w.Columns {
			j.Columns[c.Name] = c.Value
		}
	}
	return j
}

// worksListCmd is "filigrane works [list]".
type worksListCmd struct {
	State string `placeholder:"STATE" help:"Those in one state: active, missing, reserved or recalled; by id."`
	By    string `placeholder:"ORDER" default:"id" help:"id, path, creator, or changed (the last one changed is last)."`
	pageFlags
}

// Run prints one line per work.
func (c *worksListCmd) Run(s *session) error {
	query := registry.WorkQuery{Order: registry.Order(c.By)}
	switch query.Order {
	case registry.ByID, registry.ByPath, registry.ByCreator, registry.ByChanged:
	default:
		return badInput("--by %q: choose id, path, creator or changed", c.By)
	}
	if c.State != "" {
		if query.Order != registry.ByID {
			return badInput("--state gives works by id: leave --by out")
		}
		var err error
		if query.State, err = shownState(c.State); err != nil {
			return err
		}
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	return lines(s, c.pageFlags, func(p registry.Page) (registry.List[registry.Work], error) {
		return r.reg.Works(s.ctx, r.scope, query, p)
	}, workLine)
}

// worksSearchCmd is "filigrane works search".
type worksSearchCmd struct {
	Words string `arg:"" help:"Words that all of them have, in any order; a word's beginning with * at its end."`
	pageFlags
}

// Run prints one line per work found.
func (c *worksSearchCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	return lines(s, c.pageFlags, func(p registry.Page) (registry.List[registry.Work], error) {
		return r.reg.SearchWorks(s.ctx, r.scope, c.Words, p)
	}, workLine)
}

// worksShowCmd is "filigrane works show".
type worksShowCmd struct {
	Work []string `arg:"" help:"Works: IDs, paths below the masters' place, or numbers of the codebook."`
}

// Run prints one line per work: of a path all works that lay there.
func (c *worksShowCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	for _, text := range c.Work {
		ids, err := r.findWorks(s, text)
		if err != nil {
			return err
		}
		works, err := r.reg.WorksByID(s.ctx, r.scope, ids)
		if err != nil {
			return err
		}
		for _, w := range works {
			j, err := r.whole(s, w)
			if err != nil {
				return err
			}
			if err := s.emit(j); err != nil {
				return err
			}
		}
	}
	return nil
}

// whole gives a work with all that is known about it.
func (r *records) whole(s *session, w registry.Work) (j workJSON, err error) {
	j, ids := workOf(w), []concepts.WorkID{w.ID}
	shares, err := r.reg.SharesOf(s.ctx, r.scope, ids)
	if err != nil {
		return j, err
	}
	var parties []string
	for _, share := range shares[w.ID] {
		parties = append(parties, share.Party)
	}
	people, err := r.reg.PartiesByID(s.ctx, r.scope, parties)
	if err != nil {
		return j, err
	}
	names := map[string]string{}
	for _, p := range people {
		names[p.ID] = p.Name
	}
	for _, share := range shares[w.ID] {
		j.Shares = append(j.Shares, shareJSON{share.Party, names[share.Party], share.Parts})
	}
	found, err := r.reg.ReservationsOf(s.ctx, r.scope, ids)
	if err != nil {
		return j, err
	}
	for _, v := range found {
		j.Reservations = append(j.Reservations, reservationOf(v))
	}
	todos, err := r.reg.TodosOf(s.ctx, r.scope, ids)
	for _, t := range todos {
		j.Todos = append(j.Todos, todoJSON{Field: t.Field, Why: t.Why, Since: t.Since})
	}
	return j, err
}
