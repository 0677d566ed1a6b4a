package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/filigrane/filigrane/concepts"
)

// Caption gives the text a model is trained with: the value of the bank's column "caption", or else the title,
// then the names of the concepts in order of their IDs:
//
//	Limestone ridge above autumn woods. Concepts: mountains, autumn
//
// Space is collapsed, so a caption is one line without end of line; it may be empty.
func Caption(w concepts.Work, cs []concepts.Concept) string {
	text := tidy(w.Column("caption"))
	if text == "" {
		text = tidy(w.Title)
	}
	if len(cs) == 0 {
		return text
	}
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = tidy(c.Name)
	}
	list := "Concepts: " + strings.Join(names, ", ")
	switch {
	case text == "":
		return list
	case strings.ContainsAny(text[len(text)-1:], ".!?"):
		return text + " " + list
	}
	return text + ". " + list
}

// Captions says what the .txt of a sample holds.
type Captions string

// The kinds of captions. The .json of a sample has the caption untouched and the concepts' names under both.
const (
	CaptionsWithConcepts Captions = ""          // see Caption
	CaptionsUntouched    Captions = "untouched" // the bank's text, byte for byte, and nothing else
)

// ParseCaptions reads the name of a kind.
func ParseCaptions(text string) (Captions, error) {
	switch c := Captions(text); c {
	case CaptionsWithConcepts, CaptionsUntouched:
		return c, nil
	}
	return "", fmt.Errorf("delivery: no captions %q; choose untouched, or nothing", text)
}

// Of gives the .txt of a work.
func (c Captions) Of(w concepts.Work, cs []concepts.Concept) string {
	if c == CaptionsUntouched {
		return bankCaption(w)
	}
	return Caption(w, cs)
}

// bankCaption gives the bank's text about a work untouched: its column "caption", or else the title.
func bankCaption(w concepts.Work) string {
	if text := w.Column("caption"); text != "" {
		return text
	}
	return w.Title
}

func tidy(s string) string { return strings.Join(strings.Fields(s), " ") }

// sampleText is the .json beside a sample: what a trainer may know. It holds no key and no number of a codeword.
type sampleText struct {
	Work         concepts.WorkID `json:"work"`
	Caption      string          `json:"caption"` // untouched
	Title        string          `json:"title"`
	Creator      string          `json:"creator"`
	RightsHolder string          `json:"rights_holder"`
	Concepts     []sampleConcept `json:"concepts"`
	Width        int             `json:"width"`
	Height       int             `json:"height"`
	PSNRDB       float64         `json:"psnr_db"`
	SSIM         float64         `json:"ssim"`
	SourceSHA256 string          `json:"source_sha256"`
}

type sampleConcept struct {
	ID   concepts.ConceptID `json:"id"`
	Name string             `json:"name"`
}

// sampleJSON gives the .json of a sample, one line.
func sampleJSON(w concepts.Work, cs []concepts.Concept, img *Image) ([]byte, error) {
	s := sampleText{Work: w.ID, Caption: bankCaption(w), Title: w.Title, Creator: w.Creator, RightsHolder: w.RightsHolder, Concepts: []sampleConcept{},
		Width: img.Width, Height: img.Height, PSNRDB: img.PSNRDB, SSIM: img.SSIM, SourceSHA256: img.SourceSHA256}
	for _, c := range cs {
		s.Concepts = append(s.Concepts, sampleConcept{c.ID, c.Name})
	}
	return marshal(s, "")
}

// marshal gives JSON in the order of the fields, without HTML escapes, with a line end.
func marshal(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
