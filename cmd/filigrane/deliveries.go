package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/internal/registry"
)

// deliveriesCmd is "filigrane deliveries".
type deliveriesCmd struct {
	List     deliveriesListCmd     `cmd:"" default:"withargs" help:"List the deliveries, one a line (the default)."`
	Show     deliveriesShowCmd     `cmd:"" help:"Show a delivery, what it went through and what it holds."`
	Adopt    deliveriesAdoptCmd    `cmd:"" help:"Keep what deliveries hold that were made before there was a registry."`
	Removals deliveriesRemovalsCmd `cmd:"" help:"List the delivered files that customers have to remove, one a line."`
}

// Help explains the lists.
func (deliveriesCmd) Help() string {
	return `What was sent stays on record: every file of every delivery with its SHA-256, and every refusal.

Example: filigrane deliveries list --state delivered
Example: filigrane deliveries show spring@1-3f2a90c1d2e4 --items
Example: filigrane deliveries removals`
}

// deliveryLine is a delivery as lists have it.
type deliveryLine struct {
	ID        string          `json:"id"`
	State     string          `json:"state"`
	Licence   string          `json:"licence"`
	Catalogue string          `json:"catalogue"`
	Place     string          `json:"place"`
	Why       string          `json:"why,omitempty"`
	Added     time.Time       `json:"added"`
	Changed   time.Time       `json:"changed"`
	Result    json.RawMessage `json:"result,omitempty"`
}

func lineOf(d registry.Delivery) (deliveryLine, error) {
	spec, err := specOf(d)
	return deliveryLine{d.ID, string(d.State), d.Licence, d.Catalogue.String(), spec.Place, d.Why, d.Added, d.Changed, d.Result}, err
}

// deliveriesListCmd is "filigrane deliveries [list]".
type deliveriesListCmd struct {
	State   string `placeholder:"STATE" help:"Those in one state: planned, running, paused, failed, delivered or cancelled."`
	Licence string `placeholder:"ID" help:"Those under one licence."`
}

// Run prints one line per delivery.
func (c *deliveriesListCmd) Run(s *session) error {
	states := []registry.DeliveryState{registry.Planned, registry.Running, registry.Paused, registry.Failed, registry.Delivered, registry.Cancelled}
	if c.State != "" && !slices.Contains(states, registry.DeliveryState(c.State)) {
		return badInput("--state %q: choose planned, running, paused, failed, delivered or cancelled", c.State)
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	list := func(p registry.Page) (registry.List[registry.Delivery], error) {
		if c.Licence != "" {
			return r.reg.DeliveriesUnder(s.ctx, r.scope, c.Licence, p)
		}
		return r.reg.Deliveries(s.ctx, r.scope, registry.DeliveryState(c.State), p)
	}
	return each(list, func(d registry.Delivery) error {
		if c.State != "" && string(d.State) != c.State {
			return nil
		}
		line, err := lineOf(d)
		if err != nil {
			return err
		}
		return s.emit(line)
	})
}

// deliveriesShowCmd is "filigrane deliveries show".
type deliveriesShowCmd struct {
	ID    string `arg:"" help:"The delivery's id, as 'filigrane deliver' printed it."`
	Items bool   `help:"Print every file and refusal too, one a line."`
}

// deliveryShown is everything about a delivery but its items.
type deliveryShown struct {
	deliveryLine
	Spec  json.RawMessage           `json:"spec"`
	Steps []stepJSON                `json:"steps"`
	Items map[string]itemsCountJSON `json:"items"` // by kind of refusal; "delivered" for files
}

type stepJSON struct {
	State string    `json:"state"`
	At    time.Time `json:"at"`
	Why   string    `json:"why,omitempty"`
}

type itemsCountJSON struct {
	Works int64 `json:"works"`
	Bytes int64 `json:"bytes"`
}

// itemJSON is a delivered file or a refusal.
type itemJSON struct {
	Work    concepts.WorkID `json:"work"`
	Shard   string          `json:"shard,omitempty"`
	SHA256  string          `json:"sha256,omitempty"`
	ISCC    string          `json:"iscc_image,omitempty"`
	Bytes   int64           `json:"bytes,omitempty"`
	PSNRDB  float64         `json:"psnr_db,omitempty"`
	SSIM    float64         `json:"ssim,omitempty"`
	Refusal string          `json:"refusal,omitempty"`
	Detail  string          `json:"detail,omitempty"`
}

// Run prints the delivery.
func (c *deliveriesShowCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	d, err := r.reg.Delivery(s.ctx, r.scope, c.ID)
	if err != nil {
		return err
	}
	out := deliveryShown{Spec: d.Spec, Steps: []stepJSON{}, Items: map[string]itemsCountJSON{}}
	if out.deliveryLine, err = lineOf(d); err != nil {
		return err
	}
	err = each(func(p registry.Page) (registry.List[registry.DeliveryStep], error) {
		return r.reg.DeliverySteps(s.ctx, r.scope, c.ID, p)
	}, func(step registry.DeliveryStep) error {
		out.Steps = append(out.Steps, stepJSON{string(step.State), step.At, step.Why})
		return nil
	})
	if err != nil {
		return err
	}
	counts, err := r.reg.CountItems(s.ctx, r.scope, c.ID)
	if err != nil {
		return err
	}
	for kind, n := range counts {
		if kind == "" {
			kind = "delivered"
		}
		out.Items[kind] = itemsCountJSON{n.Items, n.Bytes}
	}
	if err := s.emit(out); err != nil || !c.Items {
		return err
	}
	return each(func(p registry.Page) (registry.List[registry.Item], error) {
		return r.reg.Items(s.ctx, r.scope, c.ID, p)
	},
		func(i registry.Item) error {
			return s.emit(itemJSON{i.Work, i.Shard, i.SHA256, i.ISCC, i.Bytes, i.PSNRDB, i.SSIM, i.Refusal, i.Detail})
		})
}

// deliveriesRemovalsCmd is "filigrane deliveries removals".
type deliveriesRemovalsCmd struct {
	ID string `arg:"" optional:"" help:"Those of one delivery; default is all."`
}

type removalJSON struct {
	Delivery string          `json:"delivery"`
	Work     concepts.WorkID `json:"work"`
	SHA256   string          `json:"sha256"`
	ISCC     string          `json:"iscc_image,omitempty"`
	At       time.Time       `json:"at"`
	Why      string          `json:"why"`
}

// Run prints one line per file to remove.
func (c *deliveriesRemovalsCmd) Run(s *session) error {
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	list := func(p registry.Page) (registry.List[registry.Removal], error) {
		if c.ID != "" {
			return r.reg.RemovalsOf(s.ctx, r.scope, c.ID, p)
		}
		return r.reg.Removals(s.ctx, r.scope, p)
	}
	return each(list, func(m registry.Removal) error {
		return s.emit(removalJSON{m.Delivery, m.Work, m.SHA256, m.ISCC, m.At, m.Why})
	})
}

// recallCmd is "filigrane recall".
type recallCmd struct {
	Work []string `arg:"" help:"Works: IDs, paths below the masters' place, or numbers of the codebook."`
	Why  string   `required:"" placeholder:"TEXT" help:"The reason, one line; customers read it."`
}

// Help explains recalls.
func (recallCmd) Help() string {
	return `Takes works back, for good: they are left out of new versions of catalogues, no import brings them back, and every file of them that was delivered goes into the list of removals, which the next incremental delivery carries to the customer.

Example: filigrane recall mountains/picos-trail.jpg --why "consent withdrawn by the photographer"`
}

// recallJSON is the report of a recall.
type recallJSON struct {
	Works     []concepts.WorkID `json:"works"`
	Recalled  int               `json:"recalled"`  // of them, those that were not recalled before
	Removals  int               `json:"removals"`  // delivered files that were added to the list
	Unchanged int               `json:"unchanged"` // works that were recalled before
}

// Run recalls.
func (c *recallCmd) Run(s *session) error {
	if strings.TrimSpace(c.Why) == "" {
		return badInput("--why: works are recalled for a reason, which customers read: give it")
	}
	r, err := s.records()
	if err != nil {
		return err
	}
	defer r.Close()
	rep := recallJSON{Works: []concepts.WorkID{}}
	for _, text := range c.Work {
		ids, err := r.findWorks(s, text)
		if err != nil {
			return err
		}
		rep.Works = append(rep.Works, ids...)
	}
	slices.Sort(rep.Works)
	rep.Works = slices.Compact(rep.Works)
	for chunk := range slices.Chunk(rep.Works, registry.MostPerPage) {
		n, err := r.reg.Recall(s.ctx, r.scope, chunk, c.Why, time.Now())
		if err != nil {
			return err
		}
		rep.Recalled, rep.Removals, rep.Unchanged = rep.Recalled+n.Changed, rep.Removals+n.Added, rep.Unchanged+n.Unchanged
	}
	s.note("%d works recalled, %d delivered files to be removed; freeze a new version of their catalogues and deliver it with --increment", rep.Recalled, rep.Removals)
	return s.emit(rep)
}

// findWorks finds the works of the registry that a text names: one by its ID or number, or all that lay at a path.
func (r *records) findWorks(s *session, text string) ([]concepts.WorkID, error) {
	if concepts.WorkID(text).Check() == nil {
		found, err := r.reg.WorksByID(s.ctx, r.scope, []concepts.WorkID{concepts.WorkID(text)})
		if err != nil || len(found) == 1 {
			return []concepts.WorkID{concepts.WorkID(text)}, err
		}
	}
	path := strings.TrimPrefix(filepath.ToSlash(text), "./")
	at, err := collect(func(p registry.Page) (registry.List[registry.Work], error) {
		return r.reg.WorksAt(s.ctx, r.scope, path, p)
	})
	if err != nil {
		return nil, err
	}
	var ids []concepts.WorkID
	for _, w := range at {
		ids = append(ids, w.ID)
	}
	if len(ids) > 0 {
		return ids, nil
	}
	if n, err := strconv.Atoi(text); err == nil {
		book, err := r.book(s)
		if err != nil {
			return nil, err
		}
		if id, ok := book.WorkName(n); ok {
			return []concepts.WorkID{id}, nil
		}
	}
	return nil, badInput("%w %q: give an ID, a path below the masters' place, or a number", errNoWork, text)
}
