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
	Generated Generated  `json:"generated"`
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

// Generated is what was read in the outputs of trained models.
type Generated struct {
	LeftOut string         `json:"left_out,omitempty"` // why there are no sets
	Sets    []GeneratedSet `json:"sets"`
}

// GeneratedSet is what one model drew; or a control, which saw no marked picture and must name nothing.
type GeneratedSet struct {
	Name     string     `json:"name"`
	Model    string     `json:"model"`
	Marked   bool       `json:"marked"`
	Samples  int        `json:"samples"` // seen in training
	PSNRDB   float64    `json:"psnr_db"` // of the delivery whose keys read it
	Alone    Recognised `json:"alone"`
	Together Recognised `json:"together"` // a reading for each concept
	// The largest T of each kind over all readings, named or not, and the smallest p.
	DeliveryMaxT float64            `json:"delivery_max_t"`
	ConceptMaxT  float64            `json:"concept_max_t"`
	WorkMaxT     float64            `json:"work_max_t"`
	LeastP       float64            `json:"least_p"`
	Concepts     []GeneratedConcept `json:"concepts"`
	Strip        []Sample           `json:"-"`
}

// GeneratedConcept is what was drawn for one concept, each picture read alone, then all folded together.
type GeneratedConcept struct {
	Concept  string     `json:"concept"`
	Alone    Recognised `json:"alone"`
	Together Recognised `json:"together"`
	// Of all together. T and P of the concept are those of the strongest, which Together says to be the right one or not.
	DeliveryT float64 `json:"delivery_t"`
	DeliveryP float64 `json:"delivery_p"`
	ConceptT  float64 `json:"concept_t"`
	ConceptP  float64 `json:"concept_p"`
}

// Recognised counts what readings name at the report's error rate.
type Recognised struct {
	Readings int `json:"readings"`
	Delivery int `json:"delivery"`
	Concept  int `json:"concept"` // the right one
	First    int `json:"first"`   // the right one before all others, named or not
	Wrong    int `json:"wrong"`   // concepts named that the model was not asked for
	Works    int `json:"works"`   // must be 0: no output is a delivered file
}

// Add adds further readings.
func (n *Recognised) Add(o Recognised) {
	n.Readings += o.Readings
	n.Delivery += o.Delivery
	n.Concept += o.Concept
	n.First += o.First
	n.Wrong += o.Wrong
	n.Works += o.Works
}

// Sample is a picture a model drew, as it drew it, as a data URI.
type Sample struct {
	Concept       string
	Picture       template.URL
	Width, Height int
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

// Payout is a sum split among payees by what the outputs of a trained model were attributed to.
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
