package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// row is one line of docs/lab.json.
type row struct {
	Model          string   `json:"model"`
	Seed           int      `json:"seed"`
	PSNRDB         float64  `json:"psnr_db"` // of the delivery whose keys read the outputs
	MarkedFraction float64  `json:"marked_fraction"`
	Variant        string   `json:"variant"`
	Lattice        string   `json:"lattice"` // delivery and concept are codewords of one lattice
	Samples        int      `json:"samples"` // seen in training
	Transmission   float64  `json:"transmission"`
	Error          float64  `json:"transmission_se"`
	LeastClass     float64  `json:"transmission_least_class"`
	Top1Catalogue  *float64 `json:"top1_catalogue"` // single images; null where it does not apply
	RightOf65536   *float64 `json:"right_of_65536"`
	Named          *float64 `json:"named_alone"` // single images that name it at 1e-6
	AgainstNamed   *float64 `json:"named_against_others"`
	ImagesFor1e6   *int     `json:"images_for_1e6"` // for the hardest concept; null: more than were drawn
	ImagesFor1e9   *int     `json:"images_for_1e9"`
	AgainstFor1e6  *int     `json:"images_for_1e6_against_others"` // concepts read against outputs of other classes
	AgainstFor1e9  *int     `json:"images_for_1e9_against_others"`
	ImagesDrawn    int      `json:"images_drawn"`  // of each class
	ControlMaxT    *float64 `json:"control_max_t"` // by the same codewords, whatever their rank, on the control's outputs; null without one
	UnusedKeysKSP  float64  `json:"unused_keys_ks_p"`
	Run            string   `json:"run"`
}

// result is a run with what was measured on it.
type result struct {
	run  run
	ship shipment
	m    *measurement
}

// results reads everything measured so far, in the order of the plan. What is not measured is left out.
func (l *lab) results() ([]result, error) {
	var rs []result
	for _, r := range runs {
		for _, key := range r.keys() {
			m, err := readMeasurement(l.measured(r, key))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if m.Version != measurementVersion {
				return nil, fmt.Errorf("%s was measured by an older version; run the group %s again", r.Name, r.Group)
			}
			rs = append(rs, result{r, shipmentByName(key), m})
		}
	}
	if len(rs) == 0 {
		return nil, errors.New("nothing is measured yet: lab run main")
	}
	return rs, nil
}

func readMeasurement(name string) (*measurement, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	m := &measurement{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to measure again", name, err)
	}
	return m, nil
}

// last is the state of the finished model.
func (r result) last() point { return r.m.Points[len(r.m.Points)-1] }

// needed gives how many images every concept needs to reach p, or nil if some concept does not with those drawn: the
// size of pool from which on p is reached by that size and every larger one tried.
func (r result) needed(p float64, of func(folded) float64) *int {
	most := 0
	for _, pool := range r.m.Pools {
		n := 0
		for i := len(pool.Readings) - 1; i >= 0 && of(pool.Readings[i]) <= p; i-- {
			n = pool.Readings[i].Images
		}
		if n == 0 {
			return nil
		}
		most = max(most, n)
	}
	return &most
}

func deliveryP(f folded) float64 { return f.DeliveryP }
func conceptP(f folded) float64  { return f.ConceptP }
func againstP(f folded) float64  { return f.AgainstP }

// strongestT is the highest T of the right codewords over all pools, however read: for a control it is what chance gives.
func (r result) strongestT() (delivery, concept float64) {
	for _, pool := range r.m.Pools {
		for _, f := range pool.Readings {
			delivery, concept = max(delivery, f.DeliveryT), max(concept, f.ConceptT, f.AgainstT)
		}
	}
	return delivery, concept
}

// control finds the unmarked run of the same model, read by the same keys.
func control(rs []result, of result) *result {
	for i := range rs {
		if c := &rs[i]; c.run.share() == 0 && c.run.Taught == "" && c.run.Model == of.run.Model && c.ship.Name == of.ship.Name {
			return c
		}
	}
	return nil
}

// rows makes the lines of docs/lab.json: four for each run, one a lattice.
func rows(rs []result) []row {
	var out []row
	for _, r := range rs {
		last := r.last()
		base := row{Model: r.run.Model, Seed: r.run.Seed, PSNRDB: r.ship.PSNRDB, MarkedFraction: r.run.share(), Variant: r.run.Variant, Samples: last.Samples,
			ImagesDrawn: r.m.Images, UnusedKeysKSP: r.m.Unused.KSP, Run: r.run.Name}
		var controlDelivery, controlConcept *float64
		if c := control(rs, r); c != nil {
			d, k := c.strongestT()
			controlDelivery, controlConcept = &d, &k
		}
		s := &r.m.Singles
		for _, of := range []struct {
			lattice string
			level   level
			fill    func(*row)
		}{
			{"delivery", last.Delivery, func(w *row) {
				w.ImagesFor1e6, w.ImagesFor1e9, w.ControlMaxT, w.Named = r.needed(1e-6, deliveryP), r.needed(1e-9, deliveryP), controlDelivery, &s.DeliveryNamed
			}},
			{"concept", last.Concept, func(w *row) {
				w.ImagesFor1e6, w.ImagesFor1e9, w.ControlMaxT = r.needed(1e-6, conceptP), r.needed(1e-9, conceptP), controlConcept
				w.AgainstFor1e6, w.AgainstFor1e9 = r.needed(1e-6, againstP), r.needed(1e-9, againstP)
				w.Top1Catalogue, w.RightOf65536, w.Named, w.AgainstNamed = &s.Top1Catalogue, &s.RightOf65536, &s.Named, &s.AgainstNamed
			}},
			{"pilot", last.Pilot, func(*row) {}},
			{"work", last.Work, func(*row) {}},
		} {
			w := base
			w.Lattice, w.Transmission, w.Error, w.LeastClass = of.lattice, of.level.Transmission, of.level.Error, of.level.Least
			of.fill(&w)
			out = append(out, w)
		}
	}
	return out
}
