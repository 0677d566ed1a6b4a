package papers

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/filigrane/filigrane/delivery"
)

// Terms is what the papers say besides what manifest and catalogue do. Name, Description, URL, Creator, LicenceURL and
// Published are needed: Croissant demands them.
type Terms struct {
	Name        string // of the data set
	Description string
	URL         string    // of a page about it
	Creator     string    // who delivers: the bank
	LicenceURL  string    // where the licence is found
	Published   time.Time // day of the delivery; written in UTC, to the day
	// Recipient is whom the licence is given to; "" is not stated.
	Recipient string
	// Start and End bound the licence in time, Territory in space (ISO 3166-1 alpha-2, or text); what is left out is not stated.
	Start, End time.Time
	Territory  string
	// Commitment is what the log has of this delivery, such as the root of its tree, in hex; "" is not stated.
	Commitment string
}

// Check returns what is missing or malformed.
func (t Terms) Check() error {
	for _, f := range []struct{ name, text string }{{"name", t.Name}, {"description", t.Description}, {"creator", t.Creator}} {
		if f.text == "" {
			return fmt.Errorf("papers: the terms lack a %s, which Croissant demands; give one", f.name)
		}
	}
	for _, f := range []struct{ name, text string }{{"URL", t.URL}, {"licence's URL", t.LicenceURL}} {
		if u, err := url.Parse(f.text); err != nil || u.Scheme == "" {
			return fmt.Errorf("papers: the %s %q is none; give one with its scheme, such as https or urn", f.name, f.text)
		}
	}
	if t.Published.IsZero() {
		return errors.New("papers: the terms lack the day of publication, which Croissant demands; give it")
	}
	if !t.Start.IsZero() && !t.End.IsZero() && !t.Start.Before(t.End) {
		return errors.New("papers: the licence ends before it starts")
	}
	return nil
}

// date writes a day as schema.org and ODRL do.
func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// RemovalsFormat names the form of removals.json.
const RemovalsFormat = "filigrane.removals/1"

// removalsText is removals.json.
type removalsText struct {
	Format   string             `json:"format"`
	Delivery string             `json:"delivery"` // SHA-256 of the manifest that says so
	Previous string             `json:"previous"` // of the delivery before it
	Removals []delivery.Removal `json:"removals"`
}

// removals gives the document, nil where there is nothing to remove.
func removals(m *delivery.Manifest, manifestSHA256 string) ([]byte, error) {
	if len(m.Removals) == 0 {
		return nil, nil
	}
	return marshal(removalsText{RemovalsFormat, manifestSHA256, m.Parameters.PreviousSHA256, m.Removals})
}
