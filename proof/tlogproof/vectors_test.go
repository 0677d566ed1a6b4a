package tlogproof

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
)

// TestVectors: what testdata/vectors.py, another implementation in another language, wrote from the specifications.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Origin      string
		LogKeys     []string `json:"log_keys"`
		WitnessKeys []string `json:"witness_keys"`
		Cases       []struct {
			Name, Kind, Text, Want string
			Entry                  []byte
			Quorum                 int
		}
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]error{"ok": nil, "form": ErrForm, "origin": ErrOrigin, "signature": ErrSignature, "quorum": ErrQuorum, "proof": ErrProof}
	count := map[string]int{}
	for _, c := range v.Cases {
		count[c.Want]++
		t.Run(c.Name, func(t *testing.T) {
			p, err := NewPolicy(v.Origin, v.LogKeys, v.WitnessKeys, c.Quorum)
			if err != nil {
				t.Fatal(err)
			}
			want, known := kinds[c.Want]
			if !known {
				t.Fatalf("a vector wants %q", c.Want)
			}
			switch c.Kind {
			case "inclusion":
				var i Inclusion
				if i, err = ParseInclusion([]byte(c.Text)); err == nil {
					_, err = i.Verify(p, c.Entry)
				}
			case "consistency":
				var k Consistency
				if k, err = ParseConsistency([]byte(c.Text)); err == nil {
					_, _, err = k.Verify(p)
				}
			case "fork":
				var f Fork
				if f, err = ParseFork([]byte(c.Text)); err == nil {
					_, _, err = f.Verify(p)
				}
			default:
				t.Fatalf("a vector of kind %q", c.Kind)
			}
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("got %v, want %s", err, c.Want)
			}
			for kind, other := range kinds {
				if other != nil && kind != c.Want && errors.Is(err, other) {
					t.Errorf("%v is of kind %s too", err, kind)
				}
			}
		})
	}
	for kind := range kinds {
		if count[kind] == 0 {
			t.Errorf("no vector wants %q", kind)
		}
	}
}
