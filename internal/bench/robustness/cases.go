package robustness

import (
	"fmt"
	"image"
	"slices"
	"strings"

	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/attack"
)

// Case is one row of the table: an edit, and how far a reading has to go to follow it.
type Case struct {
	Name  string
	About string
	// Level is the quickest level whose search holds what the edit does to the geometry.
	Level detect.Level
	apply func(s *subject, seed uint64) (image.Image, error)
}

// subject is one copy of a photograph, with what some edits need besides.
type subject struct {
	img    image.Image
	other  image.Image                                // another photograph, unmarked
	remark func(img image.Image) (image.Image, error) // marks with a key of nobody else's
}

// Sets are the names of lists of cases that [Cases] takes.
func Sets() []string { return []string{"ladder", "extra", "deep", "peers", "all"} }

// Cases returns the cases of a list of names of edits and sets, separated by commas, each once, in the order
// asked for; "all" is every edit but the peers', which hold most of the ladder under other names. An
// unknown name is an error.
func Cases(names string) ([]Case, error) {
	var picked []Case
	for _, name := range strings.Split(names, ",") {
		cases, err := named(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		for _, c := range cases {
			if !slices.ContainsFunc(picked, func(p Case) bool { return p.Name == c.Name }) {
				picked = append(picked, c)
			}
		}
	}
	return picked, nil
}

func named(name string) ([]Case, error) {
	extra := append(of(attack.ExtraEdits()), pair("blend50", attack.Blend50), again("remarked"))
	deep := append(of(attack.DeepEdits()), pair("collage384", attack.Collage))
	peers := append(of(attack.PeersLadder()), pair(attack.PeersBlend, attack.Blend50), again(attack.PeersRemarked))
	all := slices.Concat(of(attack.Ladder()), extra, deep)
	switch name {
	case "ladder":
		return of(attack.Ladder()), nil
	case "extra":
		return extra, nil
	case "deep":
		return deep, nil
	case "peers":
		return peers, nil
	case "all":
		return all, nil
	}
	for _, c := range append(all, peers...) {
		if c.Name == name {
			return []Case{c}, nil
		}
	}
	return nil, fmt.Errorf("no edit is called %q; choose %s, or name edits such as jpeg75,crop50", name, strings.Join(Sets(), ", "))
}

// needs names the edits that the quickest level does not follow: standard searches sizes, deep searches
// rotations, aspects and pieces.
var needs = map[string]detect.Level{
	"crop90": detect.Standard, "crop75": detect.Standard, "crop50": detect.Standard, "crop25": detect.Standard,
	"crop_90pct_as_submitted": detect.Standard, "crop_75pct_as_submitted": detect.Standard,
	"crop75_jpeg75": detect.Standard, "flip_crop75": detect.Standard,
	"rotate_2deg": detect.Deep, "rotate2": detect.Deep, "rotate5": detect.Deep, "rotate10": detect.Deep, "rotate-15": detect.Deep,
	"aspect": detect.Deep, "rotate3_scale0.8_crop80": detect.Deep, "screenshot": detect.Deep, "print_scan": detect.Deep, "collage384": detect.Deep,
}

func levelOf(name string) detect.Level {
	if l, ok := needs[name]; ok {
		return l
	}
	return detect.Fast
}

// of makes cases of edits.
func of(edits []attack.Edit) []Case {
	cases := make([]Case, len(edits))
	for i, e := range edits {
		cases[i] = Case{e.Name, e.About, levelOf(e.Name), func(s *subject, seed uint64) (image.Image, error) {
			return e.Apply(s.img, seed), nil
		}}
	}
	return cases
}

// pair makes a case of an edit that needs a second picture.
func pair(name string, with func(image.Image) attack.Edit) Case {
	about := with(image.NewGray(image.Rect(0, 0, 1, 1))).About
	return Case{name, about, levelOf(name), func(s *subject, seed uint64) (image.Image, error) {
		return with(s.other).Apply(s.img, seed), nil
	}}
}

// again makes the case of a picture that somebody else marked as well.
func again(name string) Case {
	return Case{name, "marked a second time, with another key and as strongly, and read with the first", levelOf(name),
		func(s *subject, _ uint64) (image.Image, error) { return s.remark(s.img) }}
}
