package papers

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/filigrane/filigrane/delivery"
)

// StatisticsFormat names the form of statistics.json.
const StatisticsFormat = "filigrane.statistics/1"

// Statistics counts a delivery. It is computed from the manifest alone, so that anyone who has that can check it.
type Statistics struct {
	Format         string            `json:"format"`
	Catalogue      string            `json:"catalogue"`
	Licence        string            `json:"licence"`
	Purpose        string            `json:"purpose"`
	Geometry       delivery.Geometry `json:"geometry"`
	ImageFormat    delivery.Format   `json:"image_format"`
	ManifestSHA256 string            `json:"manifest_sha256"`
	Summary        delivery.Summary  `json:"summary"`
	Shards         int               `json:"shards"`
	ShardBytes     int64             `json:"shard_bytes"`
	Concepts       int               `json:"concepts"` // that at least one picture carries
	Upscaled       int               `json:"upscaled"`
	Flattened      int               `json:"flattened"`
	ReducedTo8Bit  int               `json:"reduced_to_8_bit"`
	PSNRDB         Histogram         `json:"psnr_db"`
	SSIM           Histogram         `json:"ssim"`
	Bytes          Spread            `json:"bytes"`
	Sizes          []Size            `json:"sizes"` // most frequent first, at most MostSizes; the rest together at the end
	// Buckets are those of a geometry of buckets, with R and the cell of each.
	Buckets  []delivery.BucketCount `json:"buckets,omitempty"`
	Refused  []RefusedKind          `json:"refused"`
	Origin   Origin                 `json:"origin"`
	Removals map[string]int         `json:"removals,omitempty"` // by kind
}

// Histogram counts values in bins of one width. Values below the first bin or above the last are counted in those.
type Histogram struct {
	First  float64 `json:"first"` // lower bound of the first bin
	Width  float64 `json:"width"` // of a bin
	Counts []int   `json:"counts"`
}

// Spread is the range of a figure.
type Spread struct {
	Least int64   `json:"least"`
	Most  int64   `json:"most"`
	Mean  float64 `json:"mean"`
}

// Size counts pictures of one size in pixels; 0 x 0 stands for all other sizes.
type Size struct {
	Width  int `json:"width"`
	Height int `json:"height"`
	Images int `json:"images"`
}

// MostSizes is how many sizes are told apart.
const MostSizes = 24

// RefusedKind counts refusals of one kind, with the first detail as an example.
type RefusedKind struct {
	Kind    delivery.Kind `json:"kind"`
	Works   int           `json:"works"`
	Example string        `json:"example"`
}

// Origin counts the delivered pictures by how they were made, as their IPTC Digital Source Type says. A picture that says
// nothing is unknown, not human: the share is of those that say.
type Origin struct {
	Human     int            `json:"human"`     // captured, drawn or edited by people
	Mixed     int            `json:"mixed"`     // composites with synthetic parts, or trained media used in edits
	Synthetic int            `json:"synthetic"` // made by algorithms
	Unknown   int            `json:"unknown"`   // no value, or one that is not in the vocabulary
	HumanPart float64        `json:"human_share_of_known"`
	Types     map[string]int `json:"types"` // last part of the vocabulary's URI; "" is no value
}

// sourceTypes sorts the vocabulary at cv.iptc.org/newscodes/digitalsourcetype, retired terms too, by who made the picture.
var sourceTypes = map[string]func(*Origin){
	"digitalCapture": human, "computationalCapture": human, "negativeFilm": human, "positiveFilm": human, "print": human, "humanEdits": human, "minorHumanEdits": human,
	"compositeCapture": human, "digitalCreation": human, "digitalArt": human, "softwareImage": human, "screenCapture": human, "virtualRecording": human, "multiFrameCapture": human,
	"compositeSynthetic": mixed, "compositeWithTrainedAlgorithmicMedia": mixed, "composite": mixed, "algorithmicallyEnhanced": mixed, "dataDrivenMedia": mixed,
	"trainedAlgorithmicMedia": synthetic, "algorithmicMedia": synthetic,
}

func human(o *Origin)     { o.Human++ }
func mixed(o *Origin)     { o.Mixed++ }
func synthetic(o *Origin) { o.Synthetic++ }

// add counts one picture.
func (o *Origin) add(sourceType string) {
	name := sourceType[strings.LastIndexByte(sourceType, '/')+1:]
	if count, known := sourceTypes[name]; known {
		count(o)
	} else {
		o.Unknown++
		if name != "" {
			name = "other"
		}
	}
	o.Types[name]++
}

// StatisticsOf counts a delivery.
func StatisticsOf(m *delivery.Manifest) *Statistics {
	p := m.Parameters
	s := &Statistics{Format: StatisticsFormat, Catalogue: p.Catalogue, Licence: p.Path.Licence, Purpose: p.Path.Purpose, Geometry: p.Geometry, ImageFormat: p.Format,
		ManifestSHA256: m.SHA256(), Summary: m.Summary, Shards: len(m.Shards), Sizes: []Size{}, Buckets: m.Buckets, Refused: []RefusedKind{}, Origin: Origin{Types: map[string]int{}},
		PSNRDB: newHistogram(math.Floor(p.FloorDB)-2, 1, 24), SSIM: newHistogram(0.90, 0.005, 20)}
	for _, x := range m.Shards {
		s.ShardBytes += x.Bytes
	}
	sizes, seen := map[[2]int]int{}, map[int]bool{}
	for i := range m.Images {
		img := &m.Images[i]
		s.PSNRDB.add(img.PSNRDB)
		s.SSIM.add(img.SSIM)
		s.Origin.add(img.SourceType)
		sizes[[2]int{img.Width, img.Height}]++
		for _, c := range img.Concepts {
			seen[c.Number] = true
		}
		s.changes(img)
		if i == 0 || img.Bytes < s.Bytes.Least {
			s.Bytes.Least = img.Bytes
		}
		s.Bytes.Most = max(s.Bytes.Most, img.Bytes)
	}
	s.Concepts = len(seen)
	if n := len(m.Images); n > 0 {
		s.Bytes.Mean = math.Round(float64(m.Summary.Bytes) / float64(n))
	}
	if known := s.Origin.Human + s.Origin.Mixed + s.Origin.Synthetic; known > 0 {
		s.Origin.HumanPart = math.Round(1e4*float64(s.Origin.Human)/float64(known)) / 1e4
	}
	s.Sizes = frequent(sizes)
	s.Refused = refused(m.Refusals)
	for _, r := range m.Removals {
		if s.Removals == nil {
			s.Removals = map[string]int{}
		}
		s.Removals[string(r.Kind)]++
	}
	return s
}

func (s *Statistics) changes(img *delivery.Image) {
	for _, c := range []struct {
		did bool
		n   *int
	}{{img.Upscaled, &s.Upscaled}, {img.Flattened, &s.Flattened}, {img.ReducedTo8Bit, &s.ReducedTo8Bit}} {
		if c.did {
			*c.n++
		}
	}
}

func newHistogram(first, width float64, bins int) Histogram {
	return Histogram{First: first, Width: width, Counts: make([]int, bins)}
}

// add counts x. The tiny amount keeps a value on a bound in the bin it begins.
func (h *Histogram) add(x float64) {
	bin := int(math.Floor((x-h.First)/h.Width + 1e-9))
	h.Counts[min(max(bin, 0), len(h.Counts)-1)]++
}

// frequent lists sizes, most frequent first, of equal ones the larger first.
func frequent(sizes map[[2]int]int) []Size {
	all := make([]Size, 0, len(sizes))
	for s, n := range sizes {
		all = append(all, Size{s[0], s[1], n})
	}
	slices.SortFunc(all, func(a, b Size) int {
		return cmp.Or(cmp.Compare(b.Images, a.Images), cmp.Compare(b.Width, a.Width), cmp.Compare(b.Height, a.Height))
	})
	if len(all) <= MostSizes {
		return all
	}
	rest := Size{}
	for _, s := range all[MostSizes:] {
		rest.Images += s.Images
	}
	return append(all[:MostSizes], rest)
}

// refused counts refusals by kind, most frequent first.
func refused(rs []delivery.Refusal) []RefusedKind {
	by := map[delivery.Kind]*RefusedKind{}
	for _, r := range rs {
		if by[r.Kind] == nil {
			by[r.Kind] = &RefusedKind{Kind: r.Kind, Example: r.Path + ": " + r.Detail}
		}
		by[r.Kind].Works++
	}
	all := make([]RefusedKind, 0, len(by))
	for _, k := range slices.Sorted(maps.Keys(by)) {
		all = append(all, *by[k])
	}
	slices.SortStableFunc(all, func(a, b RefusedKind) int { return cmp.Compare(b.Works, a.Works) })
	return all
}

// marshal gives JSON in the order of the fields, indented, without HTML escapes, with a line end.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("papers: %w", err)
	}
	return b.Bytes(), nil
}

//go:embed statistics.html.tmpl
var pageText string

var page = template.Must(template.New("statistics").Funcs(template.FuncMap{
	"bars": bars, "bytes": byteText, "share": share, "thousands": thousands, "pct": func(x float64) float64 { return 100 * x },
}).Parse(pageText))

// html gives statistics.html.
func (s *Statistics) html(t Terms) ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, struct {
		*Statistics
		Name, Creator, Published string
		Notes                    []note
	}{s, t.Name, t.Creator, date(t.Published), s.notes()})
	if err != nil {
		return nil, fmt.Errorf("papers: %w", err)
	}
	return b.Bytes(), nil
}

// note is a line of the page's list of what was done to pictures.
type note struct {
	Text string
	N    int
}

func (s *Statistics) notes() []note {
	var ns []note
	for _, n := range []note{{"marked more strongly than the preset, to be readable", s.Summary.Strengthened}, {"enlarged, by a quarter at most", s.Upscaled},
		{"with transparency, composited on white", s.Flattened}, {"with 16 bits a sample, rounded to 8", s.ReducedTo8Bit}} {
		if n.N > 0 {
			ns = append(ns, n)
		}
	}
	return ns
}

// byteText writes a number of bytes for people.
func byteText(n any) string {
	var x float64
	switch n := n.(type) {
	case int64:
		x = float64(n)
	case float64:
		x = n
	}
	for _, u := range []string{"bytes", "kB", "MB", "GB", "TB"} {
		if x < 1000 || u == "TB" {
			if u == "bytes" || x >= 100 {
				return fmt.Sprintf("%.0f %s", x, u)
			}
			return fmt.Sprintf("%.1f %s", x, u)
		}
		x /= 1000
	}
	return ""
}

// thousands writes a number with thin gaps between thousands.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// share writes a part of a whole in per cent.
func share(part, whole int) string {
	if whole == 0 {
		return "0\u00a0%"
	}
	return fmt.Sprintf("%.1f\u00a0%%", 100*float64(part)/float64(whole))
}
