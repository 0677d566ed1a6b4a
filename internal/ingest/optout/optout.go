// Package optout reads what rights holders say by machine about training on their works: in a file (IPTC/PLUS Data
// Mining and TDMRep in XMP, CAWG training and data mining assertions in C2PA manifests) and about files on a site
// (tdmrep.json, RSL). Each word found is a [Finding] that keeps its evidence: protocol, value, where it stood, the bytes.
//
// # What a finding does
//
//	refuses  the work must not be delivered for training
//	asks     conditions or something unreadable: a person has to read it first
//	allows   training is allowed, expressly
//	silent   says nothing about training
//
// In doubt a finding asks; a prohibition this package does not know refuses. Where several findings differ [Strongest] has the
// last word, and refuses comes before asks before allows.
//
//	IPTC/PLUS  DMI-UNSPECIFIED                              silent
//	           DMI-ALLOWED                                  allows
//	           DMI-PROHIBITED                               refuses
//	           DMI-PROHIBITED-AIMLTRAINING                  refuses
//	           DMI-PROHIBITED-GENAIMLTRAINING               refuses
//	           DMI-PROHIBITED-EXCEPTSEARCHENGINEINDEXING    refuses
//	           DMI-PROHIBITED-SEECONSTRAINT                 asks
//	           DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR         asks
//	           DMI-PROHIBITED-SEELINKEDRIGHTSEXPR           asks
//	TDMRep     reservation 1 refuses, with a policy or without; 0 allows
//	CAWG       ai_generative_training, ai_training or data_mining: notAllowed refuses, constrained asks, allowed allows;
//	           ai_inference is silent. The same of C2PA's older assertion c2pa.training-mining.
//	RSL        prohibits usage all, ai-all or ai-train: refuses; any other licence asks
//
// # Trust
//
// Nothing is verified: no signature of a manifest, no fetch of a policy. A finding is what the bytes say, and a reservation
// needs no proof to be respected. All input is hostile; sizes, counts and levels are bounded and [ErrBomb] names the excess.
//
// The package is pure.
package optout

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/filigrane/filigrane/internal/ingest/xmp"
)

// Effect is what a finding does to a delivery. The strings are stable.
type Effect string

const (
	Refuses Effect = "refuses"
	Asks    Effect = "asks"
	Allows  Effect = "allows"
	Silent  Effect = "silent"
)

// Protocol is the language a finding was written in. The strings are stable.
type Protocol string

const (
	PLUS   Protocol = "iptc-plus"
	TDMRep Protocol = "tdmrep"
	CAWG   Protocol = "cawg"
	C2PA   Protocol = "c2pa"
	RSL    Protocol = "rsl"
)

// MaxRaw is how many bytes of evidence a Finding holds; SHA256 and Size are of all of them.
const MaxRaw = 16 << 10

// ErrBomb is wrapped by errors for input built to exhaust its reader.
var ErrBomb = errors.New("optout: the input is built to exhaust its reader")

// Finding is one word about training.
type Finding struct {
	Protocol Protocol `json:"protocol"`
	Value    string   `json:"value"` // as the protocol writes it: "DMI-PROHIBITED", "tdm-reservation=1"
	Effect   Effect   `json:"effect"`
	Detail   string   `json:"detail,omitempty"` // constraints or the address of a policy, as found; at most 2,000 bytes
	Where    string   `json:"where"`
	Raw      []byte   `json:"raw"` // at most MaxRaw bytes; does not alias the input
	Size     int      `json:"size"`
	SHA256   string   `json:"sha256"` // of all Size bytes, in hex
}

func finding(p Protocol, value string, e Effect, detail, where string, raw []byte) Finding {
	sum := sha256.Sum256(raw)
	return Finding{Protocol: p, Value: cut(value, 300), Effect: e, Detail: cut(detail, 2000), Where: cut(where, 500),
		Raw: bytes.Clone(raw[:min(len(raw), MaxRaw)]), Size: len(raw), SHA256: hex.EncodeToString(sum[:])}
}

// cut bounds a text at a whole character and makes it UTF-8.
func cut(s string, most int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= most {
		return s
	}
	for most > 0 && s[most]&0xc0 == 0x80 {
		most--
	}
	return s[:most]
}

// Strongest gives the effect of several findings together; Silent of none.
func Strongest(findings []Finding) Effect {
	rank := map[Effect]int{Silent: 0, Allows: 1, Asks: 2, Refuses: 3}
	out := Silent
	for _, f := range findings {
		if rank[f.Effect] > rank[out] {
			out = f.Effect
		}
	}
	return out
}

// Namespaces of the properties read.
const (
	nsPLUS  = "http://ns.useplus.org/ldf/xmp/1.0/"
	vocab   = "http://ns.useplus.org/ldf/vocab/"
	nsTDM   = "http://www.w3.org/ns/tdmrep/"
	nsTDM2  = "http://www.w3.org/ns/tdmrep#" // met in the wild
	allowed = "allowed"
)

// FromXMP gives the findings of a packet.
func FromXMP(p xmp.Packet) []Finding {
	var out []Finding
	constraints := strings.Join(p.Texts(nsPLUS+"OtherConstraints"), "; ")
	for _, v := range p[nsPLUS+"DataMining"] {
		out = append(out, DataMining(v.Text, constraints, "XMP plus:DataMining", v.Raw))
	}
	for _, ns := range []string{nsTDM, nsTDM2} {
		policy := strings.Join(p.Texts(ns+"policy"), " ")
		for _, v := range p[ns+"reservation"] {
			out = append(out, tdmFinding(v.Text, policy, "XMP tdm:reservation", v.Raw))
		}
	}
	return out
}

// FromDamagedXMP looks for the traces of a reservation in a packet that cannot be read, by the names of the properties: what is
// found asks. It looks at UTF-8 and UTF-16.
func FromDamagedXMP(packet []byte) []Finding {
	plain := bytes.ReplaceAll(packet[:min(len(packet), xmp.MaxBytes)], []byte{0}, nil)
	for _, trace := range []string{"DMI-PROHIBITED", "DataMining", "tdmrep"} {
		if bytes.Contains(plain, []byte(trace)) {
			return []Finding{finding(PLUS, "unreadable", Asks, "the XMP is damaged and holds "+trace, "XMP", packet)}
		}
	}
	return nil
}

// DataMining gives the finding of a value of plus:DataMining, by its key or its URI. Raw may be nil: then the value is the
// evidence.
func DataMining(value, constraints, where string, raw []byte) Finding {
	key := strings.ToUpper(strings.TrimSpace(value))
	key = strings.TrimPrefix(strings.TrimPrefix(key, strings.ToUpper(vocab)), strings.ToUpper(strings.Replace(vocab, "http", "https", 1)))
	if raw == nil {
		raw = []byte(value)
	}
	var e Effect
	switch key {
	case "DMI-UNSPECIFIED", "":
		e = Silent
	case "DMI-ALLOWED":
		e = Allows
	case "DMI-PROHIBITED-SEECONSTRAINT", "DMI-PROHIBITED-SEEEMBEDDEDRIGHTSEXPR", "DMI-PROHIBITED-SEELINKEDRIGHTSEXPR":
		e = Asks
	default:
		e = Asks
		if strings.HasPrefix(key, "DMI-PROHIBITED") {
			e = Refuses
		}
	}
	return finding(PLUS, key, e, constraints, where, raw)
}

func tdmFinding(value, policy, where string, raw []byte) Finding {
	e := Asks
	switch strings.TrimSpace(value) {
	case "1":
		e = Refuses
	case "0":
		e = Allows
	}
	return finding(TDMRep, "tdm-reservation="+value, e, policy, where, raw)
}

func bomb(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBomb, fmt.Sprintf(format, args...))
}
