// Package report turns what a demonstration measured into report.json, which scripts read, and
// report.html, which people read: one self-contained page without scripts.
package report

import (
	"encoding/json"
	"html/template"
	"io"
)

// Report is the whole of report.json. Keys are stable; new ones may be added.
type Report struct {
	Title     string     `json:"title"`
	Settings  Settings   `json:"settings"`
	Quality   Quality    `json:"quality"`
	Delivered Delivered  `json:"delivered"`
	Ladder    []Rung     `json:"ladder"`
	Two       TwoNames   `json:"two_concepts"`
	Surrogate Surrogate  `json:"surrogate"`
	Null      Null       `json:"null"`
	Speed     Speed      `json:"speed"`
	Payout    Payout     `json:"payout"`
	Pictures  []Triptych `json:"-"`
}

// Settings say under which conditions the figures hold.
type Settings struct {
	Photographs int     `json:"photographs"`
	Concepts    int     `json:"concepts"`
	Geometry    string  `json:"geometry"`
	Preset      string  `json:"preset"`
	Profile     int     `json:"profile"`
	FWER        float64 `json:"fwer"`
	// ThresholdConcept and ThresholdWork are the T needed in one reading by a lone concept and a work.
	ThresholdConcept  float64 `json:"threshold_concept"`
	ThresholdWork     float64 `json:"threshold_work"`
	ThresholdDelivery float64 `json:"threshold_delivery"`
	Command           string  `json:"command"`
}

// Quality is measured on the delivered files against their hosts.
type Quality struct {
	PSNRMeanDB float64 `json:"psnr_mean_db"`
	PSNRMinDB  float64 `json:"psnr_min_db"`
	SSIMMean   float64 `json:"ssim_mean"`
	SSIMMin    float64 `json:"ssim_min"`
}

// Delivered counts what left and what did not.
type Delivered struct {
	Files        int       `json:"files"`
	Strengthened int       `json:"strengthened"`
	Refused      []Refused `json:"refused"`
	Shards       int       `json:"shards"`
	Bytes        int64     `json:"bytes"`
}

// Refused is one file left out, with the reason.
type Refused struct {
	File   string `json:"file"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// Rung is one edit of the ladder over all pictures. ConceptRight counts concepts read from lattice C or,
// where the work was read, following from it; ConceptDirect only the former.
type Rung struct {
	Edit          string  `json:"edit"`
	About         string  `json:"about"`
	N             int     `json:"n"`
	DeliveryRight int     `json:"delivery_right"`
	ConceptDirect int     `json:"concept_direct"`
	ConceptRight  int     `json:"concept_right"`
	ConceptWrong  int     `json:"concept_wrong"`
	WorkRight     int     `json:"work_right"`
	WorkWrong     int     `json:"work_wrong"`
	TConcept      Spread  `json:"t_concept"`
	TWork         Spread  `json:"t_work"`
	MillisMedian  float64 `json:"ms_median"`
	Failures      []Miss  `json:"failures,omitempty"` // pictures that could not be read at all
}

// Miss is a picture an edit left unreadable by name.
type Miss struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

// Spread describes a sample.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// TwoNames is the reading of pictures that carry two concepts, from lattice C alone.
type TwoNames struct {
	N         int `json:"n"`
	BothRight int `json:"both_right"`
	OneRight  int `json:"one_right"`
	Wrong     int `json:"wrong"`
}

// Surrogate is a channel that imitates a trained model until the lab's models replace it: it is no
// evidence that any model transmits the mark.
type Surrogate struct {
	Note      string             `json:"note"`
	Amplitude float64            `json:"amplitude"`
	Concepts  []SurrogateConcept `json:"concepts"`
}

// SurrogateConcept is one concept's imitated outputs.
type SurrogateConcept struct {
	Concept      string  `json:"concept"`
	Outputs      int     `json:"outputs"`
	NamedAlone   int     `json:"named_alone"` // outputs that name it by themselves
	WrongAlone   int     `json:"wrong_alone"`
	Folded       string  `json:"folded"` // concept named when all are read together, "" for none
	FoldedT      float64 `json:"folded_t"`
	FoldedP      float64 `json:"folded_p"`
	WorkAppeared int     `json:"work_appeared"` // must be 0: no output is a delivered file
}

// Null is the calibration on unmarked photographs under fresh keys.
type Null struct {
	Tests   int `json:"tests"`
	Over1e3 int `json:"over_1e3"`
	Over1e4 int `json:"over_1e4"`
	Over1e5 int `json:"over_1e5"`
	// T holds how many tests fell into each bin of width BinWidth from BinStart on.
	BinStart float64 `json:"bin_start"`
	BinWidth float64 `json:"bin_width"`
	T        []int   `json:"t_histogram"`
	MaxT     float64 `json:"max_t"`
}

// Speed holds medians over pictures, milliseconds on one core.
type Speed struct {
	DecodeMS float64 `json:"decode_ms"`
	EncodeMS float64 `json:"encode_ms"`
	EmbedMS  float64 `json:"embed_ms"`
	DetectMS float64 `json:"detect_ms"`
}

// Payout is a sum split among payees by what the surrogate's outputs were attributed to.
type Payout struct {
	Currency   string    `json:"currency"`
	TotalCents int64     `json:"total_cents"`
	PartsCents []int64   `json:"parts_cents"`
	Rule       string    `json:"rule"`
	Basis      string    `json:"basis"`
	Payees     []Payee   `json:"payees"`
	Concepts   []PaidRow `json:"concepts"`
	Rules      []string  `json:"rules"`
}

// Payee is one party's part under every rule; the first column is the rule in force.
type Payee struct {
	Name  string  `json:"name"`
	Works int     `json:"works"`
	Cents []int64 `json:"cents"`
}

// PaidRow is a concept's credits.
type PaidRow struct {
	Concept string  `json:"concept"`
	Credits float64 `json:"credits"`
}

// Triptych is a picture before, after, and what changed, twenty times over, as data URIs.
type Triptych struct {
	Name, Concepts           string
	Host, Marked, Difference template.URL
	HostCrop, MarkedCrop     template.URL // at 100 %
	PSNRDB, SSIM             float64
}

// WriteJSON writes report.json.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
