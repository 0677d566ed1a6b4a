package optout

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Limits of JUMBF. Manifest stores of photographs have 10 to 500 KB, thumbnails included, some 50 boxes and 5 levels.
const (
	MaxJUMBF     = 32 << 20
	maxBoxes     = 4096
	maxBoxDepth  = 16
	maxAssertion = 1 << 20
)

// box is a box of ISO/IEC 19566-5: a superbox ("jumb") with a label and boxes of its own, or content.
type box struct {
	kind     string
	label    string
	body     []byte
	children []box
	raw      []byte
}

// parseBoxes splits a run of boxes: length with this head (4 bytes, 1: in 8 more bytes behind the type, 0: all the
// rest), type, body. It gives what stands before damage, and an error.
func parseBoxes(data []byte, depth int, count *int) ([]box, error) {
	var out []box
	for len(data) > 0 {
		if *count++; *count > maxBoxes || depth > maxBoxDepth {
			return nil, bomb("more than %d boxes or %d levels of JUMBF", maxBoxes, maxBoxDepth)
		}
		if len(data) < 8 {
			return out, errors.New("optout: the JUMBF ends within the head of a box")
		}
		n, head := uint64(binary.BigEndian.Uint32(data)), uint64(8)
		switch {
		case n == 1 && len(data) >= 16:
			n, head = binary.BigEndian.Uint64(data[8:]), 16
		case n == 0:
			n = uint64(len(data))
		}
		if n < head || n > uint64(len(data)) {
			return out, fmt.Errorf("optout: a JUMBF box claims %d bytes of %d", n, len(data))
		}
		b := box{kind: string(data[4:8]), body: data[head:n], raw: data[:n]}
		data = data[n:]
		if b.kind == "jumb" {
			children, err := parseBoxes(b.body, depth+1, count)
			b.children = children
			b.label = label(children)
			if err != nil {
				return append(out, b), err
			}
		}
		out = append(out, b)
	}
	return out, nil
}

// label reads the label of a superbox from its description box: type (16 bytes), toggles, and, where bit 1 is set, a
// text ended by 0.
func label(children []box) string {
	if len(children) == 0 || children[0].kind != "jumd" || len(children[0].body) < 17 || children[0].body[16]&2 == 0 {
		return ""
	}
	text, _, ok := bytes.Cut(children[0].body[17:], []byte{0})
	if !ok {
		return ""
	}
	return cut(string(text), 300)
}

// FromJUMBF gives the findings of the C2PA manifests among the boxes of a file: one that is silent for the store itself, and
// one for every entry of a training and data mining assertion. If the active manifest, the last, has such an assertion it
// speaks alone; else those of earlier ones count, which nobody has withdrawn. Damage gives the findings before it, one
// that asks, and no error: a file that carries a broken manifest may have carried a reservation. The error wraps ErrBomb.
func FromJUMBF(data []byte) ([]Finding, error) {
	if len(data) == 0 {
		return nil, nil
	}
	if len(data) > MaxJUMBF {
		return nil, bomb("%d bytes of JUMBF, at most %d are read", len(data), MaxJUMBF)
	}
	count := 0
	boxes, err := parseBoxes(data, 0, &count)
	if errors.Is(err, ErrBomb) {
		return nil, err
	}
	var out []Finding
	for _, store := range boxes {
		if store.kind != "jumb" || store.label != "c2pa" {
			continue
		}
		found, bad := store.manifests()
		if bad != nil {
			return nil, bad
		}
		out = append(out, found...)
	}
	if err != nil {
		out = append(out, finding(C2PA, "unreadable", Asks, err.Error(), "JUMBF", data))
	}
	return out, nil
}

// manifests reads a manifest store.
func (store box) manifests() ([]Finding, error) {
	var manifests []box
	for _, c := range store.children {
		if c.kind == "jumb" {
			manifests = append(manifests, c)
		}
	}
	if len(manifests) == 0 {
		return []Finding{finding(C2PA, "no manifest", Silent, "", "JUMBF c2pa", store.raw)}, nil
	}
	active := manifests[len(manifests)-1]
	out := []Finding{finding(C2PA, "manifest "+active.label, Silent, "not verified", "JUMBF c2pa", store.raw)}
	for i := len(manifests) - 1; i >= 0; i-- {
		found, err := manifests[i].training()
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
		if i == len(manifests)-1 && len(found) > 0 {
			break
		}
	}
	return out, nil
}

// training reads the training and data mining assertions of a manifest.
func (manifest box) training() ([]Finding, error) {
	var out []Finding
	for _, store := range manifest.children {
		if store.label != "c2pa.assertions" {
			continue
		}
		for _, a := range store.children {
			name, _, _ := strings.Cut(a.label, "__") // a second one of a kind ends in __1
			if name != "cawg.training-mining" && name != "c2pa.training-mining" {
				continue
			}
			where := "JUMBF c2pa/" + manifest.label + "/" + a.label
			for _, content := range a.children {
				if content.kind != "cbor" && content.kind != "json" {
					continue
				}
				found, err := entries(content, where)
				if err != nil {
					return nil, err
				}
				out = append(out, found...)
			}
		}
	}
	return out, nil
}

// assertion is CAWG's training and data mining assertion 1.1, and C2PA's before it.
type assertion struct {
	Entries map[string]struct {
		Use        string `cbor:"use" json:"use"`
		Constraint string `cbor:"constraint_info" json:"constraint_info"`
	} `cbor:"entries" json:"entries"`
}

// decoder bounds CBOR: real assertions have three levels and four entries.
var decoder = func() cbor.DecMode {
	m, err := cbor.DecOptions{MaxNestedLevels: 16, MaxArrayElements: 1024, MaxMapPairs: 1024}.DecMode()
	if err != nil {
		panic("optout: " + err.Error())
	}
	return m
}()

// entries reads an assertion. One that cannot be read asks.
func entries(content box, where string) ([]Finding, error) {
	if len(content.body) > maxAssertion {
		return nil, bomb("a training assertion of %d bytes, at most %d are read", len(content.body), maxAssertion)
	}
	var a assertion
	var err error
	if content.kind == "cbor" {
		err = decoder.Unmarshal(content.body, &a)
	} else {
		err = json.Unmarshal(content.body, &a)
	}
	var nested *cbor.MaxNestedLevelError
	var array *cbor.MaxArrayElementsError
	var pairs *cbor.MaxMapPairsError
	if errors.As(err, &nested) || errors.As(err, &array) || errors.As(err, &pairs) {
		return nil, bomb("a training assertion: %v", err)
	}
	if err != nil {
		return []Finding{finding(CAWG, "unreadable", Asks, err.Error(), where, content.body)}, nil
	}
	var out []Finding
	for _, key := range []string{"data_mining", "ai_generative_training", "ai_training", "ai_inference"} {
		for _, space := range []string{"cawg.", "c2pa."} {
			e, ok := a.Entries[space+key]
			if !ok {
				continue
			}
			effect := Asks
			switch {
			case key == "ai_inference":
				effect = Silent
			case e.Use == "notAllowed":
				effect = Refuses
			case e.Use == allowed:
				effect = Allows
			}
			out = append(out, finding(CAWG, space+key+"="+e.Use, effect, e.Constraint, where, content.body))
		}
	}
	if len(out) == 0 {
		out = append(out, finding(CAWG, "no entry", Asks, "the assertion has none of the four entries", where, content.body))
	}
	return out, nil
}
