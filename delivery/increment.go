package delivery

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/iscc"
)

// History is what a customer holds after some deliveries in a row, of which each but the first was made after those before
// it: the base of an incremental delivery. It keeps a quarter of a kilobyte per work, and none of the manifests.
type History struct {
	last       string // SHA-256 of the last manifest, hex
	parameters Parameters
	held       map[concepts.WorkID]heldWork
}

// heldWork is the delivered file that stands for a work.
type heldWork struct {
	source, words, file, concepts [sha256.Size]byte
	image, instance               iscc.Code
	manifest                      string // shared by all works of one delivery
}

// NewHistory begins a history with the manifests of deliveries, oldest first.
func NewHistory(chain ...*Manifest) (*History, error) {
	h := &History{held: make(map[concepts.WorkID]heldWork)}
	for _, m := range chain {
		if err := h.Add(m); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Add adds the next delivery, which must have been made after those that are there.
func (h *History) Add(m *Manifest) error {
	if m.Parameters.PreviousSHA256 != h.last {
		return fmt.Errorf("delivery: %s was made after the delivery %q, not after %q; give the manifests of all deliveries, oldest first", m.Parameters.Catalogue, m.Parameters.PreviousSHA256, h.last)
	}
	for _, r := range m.Removals {
		delete(h.held, r.Work)
	}
	h.last = m.SHA256()
	for i := range m.Images {
		img := &m.Images[i]
		h.held[img.Work] = heldWork{source: unhex(img.SourceSHA256), words: unhex(img.WordsSHA256), file: unhex(img.SHA256), concepts: conceptsHash(img.conceptIDs()),
			image: img.ISCCImage, instance: img.ISCCInstance, manifest: h.last}
	}
	h.parameters = m.Parameters
	return nil
}

// Works is how many works the customer holds.
func (h *History) Works() int { return len(h.held) }

// unhex reads a SHA-256 in hex; "" gives zero.
func unhex(s string) (b [sha256.Size]byte) {
	_, _ = hex.Decode(b[:], []byte(s)) // a checked manifest's
	return b
}

func conceptsHash(ids []concepts.ConceptID) [sha256.Size]byte {
	h := sha256.New()
	for _, id := range ids {
		_, _ = io.WriteString(h, string(id)+"\n")
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (img *Image) conceptIDs() []concepts.ConceptID {
	ids := make([]concepts.ConceptID, len(img.Concepts))
	for i, c := range img.Concepts {
		ids[i] = c.ID
	}
	return ids
}

// RemovalKind is the machine-readable reason of a Removal. New kinds are added at the end.
type RemovalKind string

// Kinds of removals.
const (
	Recalled RemovalKind = "recalled" // the work is no longer in the catalogue
	Replaced RemovalKind = "replaced" // the work has changed; this delivery holds it anew, or refuses it
)

// Removal is a file of an earlier delivery that the customer has to take out. The hash finds the file as it was
// delivered, the ISCC finds copies of it.
type Removal struct {
	Work         concepts.WorkID `json:"work"`
	Kind         RemovalKind     `json:"kind"`
	Reason       string          `json:"reason"` // one line for people
	SHA256       string          `json:"sha256"` // of the delivered file
	ISCCImage    iscc.Code       `json:"iscc_image,omitzero"`
	ISCCInstance iscc.Code       `json:"iscc_instance,omitzero"`
	// Delivery is the SHA-256 of the manifest of the delivery that held it.
	Delivery string `json:"delivery"`
}

// ErrNothingChanged says that an incremental delivery would hold nothing and remove nothing.
var ErrNothingChanged = errors.New("delivery: nothing has changed since the delivery before")

// increment says what a delivery after h holds: works of the catalogue that are new or have changed, and what is to be
// removed, by work. Works that were refused before are tried again. All of a catalogue without history.
func (s Spec) increment() ([]concepts.Work, []Removal, error) {
	works := s.Catalogue.Catalogue().Works
	if s.Previous == nil {
		return works, nil, nil
	}
	if err := s.checkHistory(); err != nil {
		return nil, nil, err
	}
	var fresh []concepts.Work
	var removals []Removal
	listed := make(map[concepts.WorkID]bool, len(works))
	for _, w := range works {
		listed[w.ID] = true
		if _, recalled := s.Recalls[w.ID]; recalled {
			return nil, nil, fmt.Errorf("delivery: work %s is recalled and still in the catalogue; take it out there first", w.ID)
		}
		held, ok := s.Previous.held[w.ID]
		switch what := s.changed(held, w); {
		case !ok:
			fresh = append(fresh, w)
		case what != "":
			fresh = append(fresh, w)
			removals = append(removals, held.removal(w.ID, Replaced, what))
		}
	}
	for id, held := range s.Previous.held {
		if listed[id] {
			continue
		}
		why := s.Recalls[id]
		if why == "" {
			why = "it is no longer in the catalogue"
		}
		removals = append(removals, held.removal(id, Recalled, tidy(why)))
	}
	if len(fresh) == 0 && len(removals) == 0 {
		return nil, nil, ErrNothingChanged
	}
	slices.SortFunc(removals, func(a, b Removal) int { return cmp.Compare(a.Work, b.Work) })
	return fresh, removals, nil
}

// changed says in words what of a work is not as it was delivered, "" for nothing. Manifests of once have no hash of the
// words; there only the picture and the concepts are compared.
func (s Spec) changed(held heldWork, w concepts.Work) string {
	switch {
	case unhex(w.SHA256) != held.source:
		return "the master has changed"
	case conceptsHash(s.Catalogue.ConceptsOf(w.ID)) != held.concepts:
		return "its concepts have changed"
	case held.words != [sha256.Size]byte{} && unhex(s.wordsHash(w)) != held.words:
		return "its caption, title or owner has changed"
	}
	return ""
}

func (h heldWork) removal(id concepts.WorkID, kind RemovalKind, why string) Removal {
	return Removal{Work: id, Kind: kind, Reason: why, SHA256: hex.EncodeToString(h.file[:]), ISCCImage: h.image, ISCCInstance: h.instance, Delivery: h.manifest}
}

// checkHistory refuses an incremental delivery whose pictures would not be like those before.
func (s Spec) checkHistory() error {
	if s.Previous.last == "" {
		return errors.New("delivery: the history holds no delivery; leave it out, or add the manifests")
	}
	was, is := s.Previous.parameters, s.parameters(nil)
	for _, f := range []struct {
		name      string
		was, want any
	}{
		{"profile", was.Profile, is.Profile}, {"geometry", was.Geometry, is.Geometry}, {"format", was.Format, is.Format}, {"preset", was.Preset, is.Preset},
		{"what must be readable", was.Readable, is.Readable}, {"captions", was.Captions, is.Captions}, {"rights", was.Rights, is.Rights}, {"bank", was.Path.Bank, is.Path.Bank}, {"licence", was.Path.Licence, is.Path.Licence},
	} {
		if f.was != f.want {
			return fmt.Errorf("%w: the delivery before has %s %v, not %v; deliver with those, or everything anew", ErrOtherParameters, f.name, f.was, f.want)
		}
	}
	return nil
}

// wordsHash gives the SHA-256, in hex, of what the text members of a sample say about a work besides its figures.
func (s Spec) wordsHash(w concepts.Work) string {
	cs := ConceptsOf(s.Catalogue, w.ID)
	text, err := sampleJSON(w, cs, &Image{})
	if err != nil {
		panic("delivery: " + err.Error()) // there is nothing in it that cannot be written
	}
	return hashOf(append(text, s.Captions.Of(w, cs)...))
}

// recallsHash names the recalls among the parameters, "" for none.
func recallsHash(recalls map[concepts.WorkID]string) string {
	if len(recalls) == 0 {
		return ""
	}
	text, err := marshal(recalls, "") // by key
	if err != nil {
		panic("delivery: " + err.Error())
	}
	return hashOf(text)
}

// checkRemovals returns what is wrong with the list.
func (m *Manifest) checkRemovals() error {
	for i, r := range m.Removals {
		if i > 0 && m.Removals[i-1].Work >= r.Work || r.Work.Check() != nil || r.Kind == "" || r.Reason == "" || !isHash(r.SHA256) || !isHash(r.Delivery) || !isISCC(r.ISCCImage, r.ISCCInstance) {
			return fmt.Errorf("removal of %q is out of order or incomplete", r.Work)
		}
	}
	if len(m.Removals) > 0 && m.Parameters.PreviousSHA256 == "" {
		return errors.New("it removes works without a delivery before it")
	}
	return nil
}
