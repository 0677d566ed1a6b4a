package main

import "github.com/filigrane/filigrane/detect"

// measurement is everything measured on the outputs of one run with the keys of one delivery: a file in
// build/lab/measured.
type measurement struct {
	Version    int               `json:"version"` // measurementVersion when it was made
	Run        string            `json:"run"`
	Key        string            `json:"key"` // name of the delivery
	Points     []point           `json:"points"`
	Images     int               `json:"images"` // of every class at the end
	Singles    singles           `json:"singles"`
	Pools      []pool            `json:"pools"`
	Whole      folded            `json:"whole"` // outputs of all classes folded together: the delivery only
	Edits      []edited          `json:"edits"`
	Without    *outside          `json:"without_class,omitempty"`
	Mixed      []mixture         `json:"mixed,omitempty"`
	Unused     unused            `json:"unused_keys"`
	WorkMaxT   float64           `json:"work_max_t"` // over all single and pooled readings
	WorksNamed int               `json:"works_named"`
	Thresholds detect.Thresholds `json:"thresholds"`
}

// measurementVersion is raised whenever measuring changes: what was measured before is then measured again.
const measurementVersion = 2

// level is a transmission: amplitude out / in, mean over the classes.
type level struct {
	Transmission float64 `json:"transmission"`
	Error        float64 `json:"standard_error"`
	Least        float64 `json:"least_class"`
}

// point is the state after so many samples. The error of a level holds the scatter between images and what codewords
// that were never used show on the same outputs: a model's own grid looks a little like any codeword.
type point struct {
	Samples  int    `json:"samples"`
	Delivery level  `json:"delivery"`
	Concept  level  `json:"concept"`
	Second   *level `json:"second_concept,omitempty"`
	Pilot    level  `json:"pilot"`
	Work     level  `json:"work"`   // the works of the class together
	Leak     level  `json:"leak"`   // the codeword of another class's concept
	Chance   level  `json:"chance"` // codewords of concepts that do not exist
}

// singles counts images read alone.
type singles struct {
	Images        int     `json:"images"`
	Top1Catalogue float64 `json:"top1_catalogue"`
	RightOf65536  float64 `json:"right_of_65536"` // the best of all is the right one
	Named         float64 `json:"named"`          // at 1e-6, rightly
	DeliveryNamed float64 `json:"delivery_named"`
	// The same, read against the other classes' outputs.
	AgainstRight float64 `json:"against_right_of_65536"`
	AgainstNamed float64 `json:"against_named"`
	NamedWrong   int     `json:"named_wrong"` // either way
}

// pool is the images of one class folded together, first few, then more.
type pool struct {
	Concept  string   `json:"concept"`
	Readings []folded `json:"readings"`
}

// folded is one reading of several images. T are those of the right codewords whatever their rank; p is 1 where
// another concept is the best.
type folded struct {
	Images    int     `json:"images"`
	DeliveryT float64 `json:"delivery_t"`
	DeliveryM float64 `json:"delivery_m"`
	DeliveryP float64 `json:"delivery_p"`
	ConceptT  float64 `json:"concept_t"`
	ConceptP  float64 `json:"concept_p"`
	SecondP   float64 `json:"second_p,omitempty"` // of the class's second concept
	AgainstT  float64 `json:"against_t"`          // of the concept, read against the other classes' outputs
	AgainstP  float64 `json:"against_p"`
	BestT     float64 `json:"best_t"` // of the strongest of 65,536 concepts, either way
	Wrong     int     `json:"wrong"`  // concepts named that the class does not have, either way
}

// edited is what is left after an edit of the outputs.
type edited struct {
	Edit          string  `json:"edit"`
	Top1Catalogue float64 `json:"top1_catalogue"` // single images
	DeliveryP     float64 `json:"delivery_p"`     // median over the classes, pooled
	ConceptP      float64 `json:"concept_p"`
	AgainstP      float64 `json:"against_p"` // of the concept, read against the other classes' outputs
	Images        int     `json:"images"`    // of a pool
}

// outside is a pool of outputs drawn without a class.
type outside struct {
	Images    int      `json:"images"`
	DeliveryT float64  `json:"delivery_t"`
	DeliveryP float64  `json:"delivery_p"`
	Named     []string `json:"named"`
}

// mixture is a pool of outputs half of one class, half of another, read against the other classes' outputs. Only the
// catalogue's concepts could be named.
type mixture struct {
	Concepts [2]string `json:"concepts"`
	Images   int       `json:"images"`
	Named    []string  `json:"named"`
	Shares   []float64 `json:"shares"`
}

// unused says what keys that were never embedded show on a set of outputs.
type unused struct {
	Keys       int     `json:"keys"`
	Commitment string  `json:"commitment"` // SHA-256 of their fingerprints, in order
	MaxT       float64 `json:"max_t"`
	Over       [2]int  `json:"over_2_3"`       // how many reach T = 2 and T = 3
	KSP        float64 `json:"ks_p"`           // their T against that of decoys
	Ranks      []int   `json:"rank_histogram"` // of the unused keys among the decoys, in tenths
	TrueT      float64 `json:"true_t"`
	TrueRank   int     `json:"true_rank"` // of the delivery's own codeword among them, 1 the first
}
