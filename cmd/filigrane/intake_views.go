package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/registry"
)

// todosCmd is "filigrane todos".
type todosCmd struct {
	Field string `placeholder:"FIELD" help:"Those about one field, as rights_holder."`
	pageFlags
}

// Help says where they come from.
func (todosCmd) Help() string {
	return `What an import could not settle: fields that are missing, rights holders whose shares do not make 100 %, numbers with a wrong check digit, conditions that a person has to read. Correct the file or the table and import again.

Example: filigrane todos --field rights_holder --limit 100`
}

type todoJSON struct {
	Work  string    `json:"work,omitempty"`
	Field string    `json:"field"`
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
}

// Run prints one line per thing to do, by work.
func (c *todosCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	return lines(s, c.pageFlags, func(p registry.Page) (registry.List[registry.Todo], error) {
		return r.reg.Todos(s.ctx, r.scope, c.Field, p)
	}, func(t registry.Todo) (any, error) { return todoJSON{string(t.Work), t.Field, t.Why, t.Since}, nil })
}

// refusalsCmd is "filigrane refusals".
type refusalsCmd struct {
	Kind string `placeholder:"KIND" help:"Those of one kind, as truncated."`
	pageFlags
}

// Help says how long they stay.
func (refusalsCmd) Help() string {
	return `Files of the masters' place that are no works, each with its reason, as the last import found them. "exact" is the name in base64 where it is no UTF-8.

Example: filigrane refusals --kind duplicate`
}

// refusedJSON is a refusal with its time.
type refusedJSON struct {
	refusalJSON
	At time.Time `json:"at"`
}

// Run prints one line per file.
func (c *refusalsCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	return lines(s, c.pageFlags, func(p registry.Page) (registry.List[registry.Refusal], error) {
		return r.reg.Refusals(s.ctx, r.scope, c.Kind, p)
	}, func(f registry.Refusal) (any, error) {
		return refusedJSON{refusalOf(f.Name, f.Kind, f.Detail), f.At}, nil
	})
}

// reservationsCmd is "filigrane reservations".
type reservationsCmd struct {
	Work     string `placeholder:"WORK" help:"Those of one work: its ID, path below the masters' place, or number."`
	Evidence string `placeholder:"DIR" help:"Write what was found, byte for byte, into this folder, each under its SHA-256."`
	pageFlags
}

// Help says what they are.
func (reservationsCmd) Help() string {
	return `Every word about training that an import acted on, with where and when it was found and the SHA-256 of its bytes: those that reserve a work, and consents (protocol "consent") that lift that. Nothing is ever taken off this list.

Example: filigrane reservations --work studio/nude.jpg --evidence found/`
}

// reservationJS is a reservation without its bytes.
type reservationJS struct {
	Work     string    `json:"work,omitempty"`
	Path     string    `json:"path,omitempty"` // of what holds for more than one work: those that begin so
	Protocol string    `json:"protocol"`
	Effect   string    `json:"effect"`
	Value    string    `json:"value"`
	Detail   string    `json:"detail"`
	URL      string    `json:"url"`
	Found    time.Time `json:"found"`
	SHA256   string    `json:"sha256"`
	Bytes    int       `json:"bytes"`
	Evidence string    `json:"evidence,omitempty"` // the file it was written to
}

func reservationOf(v registry.Reservation) reservationJS {
	return reservationJS{Work: string(v.Work), Path: v.Path, Protocol: v.Protocol, Effect: v.Effect, Value: v.Value, Detail: v.Detail, URL: v.URL, Found: v.Found,
		SHA256: v.SHA256, Bytes: len(v.Raw)}
}

// Run prints one line per reservation.
func (c *reservationsCmd) Run(s *session) error {
	if c.Evidence != "" {
		if err := os.MkdirAll(c.Evidence, 0o777); err != nil {
			return inputError{err}
		}
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	list := func(p registry.Page) (registry.List[registry.Reservation], error) {
		return r.reg.Reservations(s.ctx, r.scope, p)
	}
	if c.Work != "" {
		if list, err = r.reservationsOf(s, c.Work); err != nil {
			return err
		}
	}
	return lines(s, c.pageFlags, list, func(v registry.Reservation) (any, error) {
		j := reservationOf(v)
		if c.Evidence == "" {
			return j, nil
		}
		j.Evidence = filepath.Join(c.Evidence, v.SHA256)
		if err := os.WriteFile(j.Evidence, v.Raw, 0o666); err != nil {
			return nil, inputError{err}
		}
		return j, nil
	})
}

// reservationsOf gives those of a work, and the consents that hold for its path, page by page. Where a page begins is told by how
// many come before it: nothing is ever taken off the list, and what is added between two pages makes a line come twice at most.
func (r *records) reservationsOf(s *session, text string) (func(registry.Page) (registry.List[registry.Reservation], error), error) {
	ids, err := r.findWorks(s, text)
	if err != nil {
		return nil, err
	}
	works, err := r.reg.WorksByID(s.ctx, r.scope, ids)
	if err != nil {
		return nil, err
	}
	found, err := r.reg.ReservationsOf(s.ctx, r.scope, append(ids, concepts.WorkID("")))
	if err != nil {
		return nil, err
	}
	var list []registry.Reservation
	for _, v := range found {
		covers := v.Work != ""
		for _, w := range works {
			folder, all := strings.CutSuffix(v.Path, "*")
			covers = covers || all && strings.HasPrefix(w.Path, folder)
		}
		if covers {
			list = append(list, v)
		}
	}
	return func(p registry.Page) (l registry.List[registry.Reservation], err error) {
		from := 0
		if p.After != "" {
			if from, err = strconv.Atoi(p.After); err != nil || from < 0 || from > len(list) {
				return l, badInput("%.60q is not what a list of this work's reservations ended with", p.After)
			}
		}
		to := min(from+p.Limit, len(list))
		if l.Items = list[from:to]; to < len(list) {
			l.Next = strconv.Itoa(to)
		}
		return l, nil
	}, nil
}
