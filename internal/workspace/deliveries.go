package workspace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/filigrane/filigrane/mark"
)

// Delivery is one path of the key hierarchy under which marks were made, and what is needed to read them.
type Delivery struct {
	Path mark.Path `json:"path"`
	// Profile is the number of the mark's parameter set, Resolution the short side R it was laid out for.
	Profile    int `json:"profile"`
	Resolution int `json:"resolution"`
	// Dir is the absolute path of the delivery's folder, or s3:// and the address of its bucket; "" for single pictures marked without a delivery.
	Dir string `json:"dir,omitempty"`
}

func (d Delivery) check() error {
	if _, err := mark.ProfileByID(d.Profile); err != nil {
		return err
	}
	if d.Resolution < mark.CellSize || d.Path.Bank == "" || d.Path.Epoch < 0 || d.Dir != "" && !filepath.IsAbs(d.Dir) && !strings.HasPrefix(d.Dir, "s3://") {
		return fmt.Errorf("delivery %+v is incomplete", d)
	}
	return nil
}

const deliveriesFormat = "filigrane deliveries v1"

type deliveriesText struct {
	Format     string     `json:"format"`
	Deliveries []Delivery `json:"deliveries"`
}

// Deliveries lists what was marked, in the order it was first made.
func (r *Workspace) Deliveries() ([]Delivery, error) {
	name := r.path(deliveriesFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var t deliveriesText
	if err := strictJSON(text, &t); err != nil {
		return nil, corrupt(name, err)
	}
	if t.Format != deliveriesFormat {
		return nil, corrupt(name, fmt.Errorf("the format is %q", t.Format))
	}
	for _, d := range t.Deliveries {
		if err := d.check(); err != nil {
			return nil, corrupt(name, err)
		}
	}
	return t.Deliveries, nil
}

// AddDelivery records a delivery, once. Call it before the first marked byte is written. Needs the lock.
func (r *Workspace) AddDelivery(d Delivery) error {
	if err := d.check(); err != nil {
		return err
	}
	all, err := r.Deliveries()
	if err != nil {
		return err
	}
	for _, o := range all {
		if o == d {
			return nil
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(deliveriesText{deliveriesFormat, append(all, d)}); err != nil {
		return err
	}
	return r.write(deliveriesFile, b.Bytes(), 0o644)
}
