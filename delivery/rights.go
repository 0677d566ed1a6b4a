package delivery

import (
	"errors"
	"fmt"

	"github.com/filigrane/filigrane/internal/raster"
)

// Rights is what every delivered copy says about its use. The zero value says nothing, and leaves what the masters say.
//
// The PLUS value, the constraints and the statement are written into each file's XMP, in the place of what the master
// said; creator, copyright and credit stay. TrainingMining lies beside each picture in the shard, as
// <key>.training-mining.json: the entries of a CAWG assertion, though unsigned and in no C2PA manifest, and it says so.
type Rights struct {
	DataMining       string         `json:"data_mining,omitempty"`       // a value of raster.DataMiningValues
	OtherConstraints string         `json:"other_constraints,omitempty"` // text for people: under which licence what is allowed
	WebStatement     string         `json:"web_statement,omitempty"`     // URL
	TrainingMining   TrainingMining `json:"training_mining,omitzero"`
}

// TrainingMining is the use of a picture in the four ways the CAWG training and data mining assertion 1.1 tells apart.
type TrainingMining struct {
	DataMining         Use    `json:"data_mining,omitempty"`
	Inference          Use    `json:"ai_inference,omitempty"`
	GenerativeTraining Use    `json:"ai_generative_training,omitempty"`
	Training           Use    `json:"ai_training,omitempty"`
	ConstraintInfo     string `json:"constraint_info,omitempty"` // of the constrained ones: text or URL
}

// Use is the value of an entry.
type Use string

// The values of an entry; "" leaves it out.
const (
	UseAllowed     Use = "allowed"
	UseNotAllowed  Use = "notAllowed"
	UseConstrained Use = "constrained"
)

// check returns what is wrong with the rights.
func (r Rights) check() error {
	if err := r.xmp().Check(); err != nil {
		return fmt.Errorf("delivery: rights: %w", err)
	}
	t := r.TrainingMining
	constrained := false
	for _, u := range []Use{t.DataMining, t.Inference, t.GenerativeTraining, t.Training} {
		switch u {
		case "", UseAllowed, UseNotAllowed:
		case UseConstrained:
			constrained = true
		default:
			return fmt.Errorf("delivery: rights: no use %q; choose allowed, notAllowed or constrained", u)
		}
	}
	if constrained && t.ConstraintInfo == "" {
		return errors.New("delivery: rights: a constrained use needs constraint_info, which says under what terms")
	}
	return nil
}

// xmp is the part that is written into files.
func (r Rights) xmp() raster.Rights {
	return raster.Rights{DataMining: r.DataMining, OtherConstraints: r.OtherConstraints, WebStatement: r.WebStatement}
}

// trainingMiningExtension is the member's name after the key and a dot.
const trainingMiningExtension = "training-mining.json"

// trainingMiningText is the member's form: the assertion's data, and what it is not.
type trainingMiningText struct {
	Label  string             `json:"label"`
	Signed bool               `json:"signed"`
	C2PA   string             `json:"c2pa"`
	Note   string             `json:"note"`
	Data   trainingMiningData `json:"data"`
}

type trainingMiningData struct {
	Entries map[string]trainingMiningEntry `json:"entries"` // written in the order of their names
}

type trainingMiningEntry struct {
	Use            Use    `json:"use"`
	ConstraintInfo string `json:"constraint_info,omitempty"`
}

// sidecar gives the member of one picture, nil if nothing is said.
func (t TrainingMining) sidecar(img *Image) ([]byte, error) {
	if t == (TrainingMining{}) {
		return nil, nil
	}
	s := trainingMiningText{Label: "cawg.training-mining", C2PA: "absent", Data: trainingMiningData{map[string]trainingMiningEntry{}},
		Note: "Entries of a CAWG training and data mining assertion as a file beside the picture: not embedded, not signed. The delivery's receipt signs the shard that holds it."}
	if img.C2PA {
		s.C2PA = "of the master; its hard binding does not match the marked picture"
	}
	for name, use := range map[string]Use{"cawg.data_mining": t.DataMining, "cawg.ai_inference": t.Inference,
		"cawg.ai_generative_training": t.GenerativeTraining, "cawg.ai_training": t.Training} {
		if use == "" {
			continue
		}
		e := trainingMiningEntry{Use: use}
		if use == UseConstrained {
			e.ConstraintInfo = t.ConstraintInfo
		}
		s.Data.Entries[name] = e
	}
	return marshal(s, "")
}
