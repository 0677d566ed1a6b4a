package papers

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/mark"
)

const vocabulary = "http://cv.iptc.org/newscodes/digitalsourcetype/"

// manyImages is a manifest as of a delivery of n pictures, with figures that follow from their numbers.
func manyImages(n int) *delivery.Manifest {
	hash := func(i int) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(strconv.Itoa(i)))) }
	m := &delivery.Manifest{Format: delivery.ManifestFormat, Shards: []delivery.Shard{}, Images: make([]delivery.Image, 0, n), Refusals: []delivery.Refusal{}}
	m.Parameters = delivery.Parameters{Catalogue: "bank@3", CatalogueSHA256: hash(1), CodebookSHA256: hash(2), Path: mark.Path{Bank: "bank", Catalogue: "bank@3", Licence: "L-1", Purpose: "training", Epoch: 1},
		Profile: 1, Geometry: delivery.Geometry{Buckets: true, Resolution: 1024}, Format: delivery.FormatPNG, Preset: "standard", PresetDB: 42, FloorDB: 38, ImagesPerShard: 1000, Shards: delivery.ShardsTar, CodeVersion: "test"}
	buckets := m.Parameters.Geometry.AllBuckets()
	types := []string{"", vocabulary + "digitalCapture", vocabulary + "digitalCapture", vocabulary + "compositeWithTrainedAlgorithmicMedia", vocabulary + "trainedAlgorithmicMedia", "http://example.com/odd"}
	for i := range n {
		b := buckets[i%len(buckets)*(i%len(buckets))/len(buckets)]
		id := concepts.WorkID(fmt.Sprintf("%016x", i))
		m.Images = append(m.Images, delivery.Image{Work: id, WorkNumber: i + 1, Concepts: []delivery.NumberedConcept{{Number: i%7 + 1, ID: concepts.ConceptID(fmt.Sprintf("semantic/c%d", i%7))}},
			SourcePath: fmt.Sprintf("p/%d.jpg", i), SourceSHA256: hash(i), Shard: fmt.Sprintf("shard-%06d-0123456789abcdef.tar", i/1000), Key: string(id), Extension: "png", SHA256: hash(i + 1), WordsSHA256: hash(i + 2),
			SourceType: types[i%len(types)], Bytes: int64(1_000_000 + i%100*1000), Width: b.Width, Height: b.Height, Changes: delivery.Changes{Upscaled: i%50 == 0},
			MarkPSNRDB: 42, PSNRDB: 39 + float64(i%29*i%70)/10, SSIM: 0.999 - float64(i%31*i%61)/1000})
		if i%1000 == 0 {
			m.Shards = append(m.Shards, delivery.Shard{Name: m.Images[i].Shard, SHA256: hash(i), Bytes: 1 << 30, Images: min(1000, n-i)})
		}
	}
	for i := range n / 50 {
		kind := []delivery.Kind{delivery.TooSmall, delivery.TooSmall, delivery.TooSmall, delivery.Clips, "cmyk"}[i%5]
		m.Refusals = append(m.Refusals, delivery.Refusal{Work: concepts.WorkID(fmt.Sprintf("z%d", i)), Path: fmt.Sprintf("q/<%d>.jpg", i), Kind: kind, Detail: "800 x 600 pixels; square:1024 needs a short side of at least 819"})
	}
	for _, b := range buckets {
		c := delivery.BucketCount{Bucket: b}
		for i := range m.Images {
			if m.Images[i].Width == b.Width && m.Images[i].Height == b.Height {
				c.Images++
			}
		}
		m.Buckets = append(m.Buckets, c)
	}
	m.Summary = delivery.Summary{Works: n + n/50, Images: n, Refused: n / 50, Bytes: int64(n) * 1_049_500, PSNRMeanDB: 42.4012, PSNRMinDB: 39, SSIMMean: 0.9731, SSIMMin: 0.939}
	return m
}

// TestStatistics counts a manifest whose figures are known.
func TestStatistics(t *testing.T) {
	m := manyImages(600)
	s := StatisticsOf(m)
	sum := func(xs []int) (n int) {
		for _, x := range xs {
			n += x
		}
		return n
	}
	sizes := 0
	for i, x := range s.Sizes {
		sizes += x.Images
		if i > 0 && x.Images > s.Sizes[i-1].Images {
			t.Errorf("sizes out of order: %+v", s.Sizes)
		}
	}
	if sum(s.PSNRDB.Counts) != 600 || sum(s.SSIM.Counts) != 600 || sizes != 600 || s.Concepts != 7 || s.Upscaled != 12 || s.ShardBytes != 1<<30 || s.Bytes != (Spread{1_000_000, 1_099_000, 1_049_500}) {
		t.Errorf("%+v", s)
	}
	if want := (Origin{Human: 200, Mixed: 100, Synthetic: 100, Unknown: 200, HumanPart: 0.5, Types: map[string]int{"": 100, "other": 100, "digitalCapture": 200, "compositeWithTrainedAlgorithmicMedia": 100, "trainedAlgorithmicMedia": 100}}); !reflect.DeepEqual(s.Origin, want) {
		t.Errorf("origin %+v", s.Origin)
	}
	if len(s.Refused) != 3 || s.Refused[0].Kind != delivery.TooSmall || s.Refused[0].Works != 8 || s.Refused[1].Works != 2 {
		t.Errorf("refused %+v", s.Refused)
	}
	h := newHistogram(36, 1, 4)
	for _, x := range []float64{-5, 36, 36.999, 37, 39.99, 40, 99} {
		h.add(x)
	}
	if !slices.Equal(h.Counts, []int{3, 1, 0, 3}) {
		t.Errorf("counts %v", h.Counts)
	}
	text, err := marshal(s)
	var back Statistics
	if err != nil || json.Unmarshal(text, &back) != nil || !reflect.DeepEqual(&back, s) {
		t.Errorf("it does not survive its text form: %v", err)
	}
}

// TestPage: one file without anything from elsewhere, and hostile names stay text. FILIGRANE_PAGE names a file to keep it in.
func TestPage(t *testing.T) {
	page, err := StatisticsOf(manyImages(24_310)).html(someTerms)
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, bad := range []string{"<script", "src=", "<link", "@import", "url(", "Bank <&", "q/<0>"} {
		if strings.Contains(text, bad) {
			t.Errorf("it contains %q", bad)
		}
	}
	for _, want := range []string{"Bank &lt;&amp; Daughters", "too_small", "50.0 %</b>", "24\u202f310", "<svg", "@media print"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q", want)
		}
	}
	if n := strings.Count(text, "<rect"); n < 10 {
		t.Errorf("%d bars", n)
	}
	if keep := os.Getenv("FILIGRANE_PAGE"); keep != "" {
		if err := os.WriteFile(keep, page, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{0, 1} { // next to nothing is drawn too
		if _, err := StatisticsOf(manyImages(n)).html(someTerms); err != nil {
			t.Error(err)
		}
	}
	wellFormed(t, page)
}

// wellFormed has the page parsed by xmllint, where it is installed.
func wellFormed(t *testing.T, page []byte) {
	t.Helper()
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		return
	}
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, page, 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "--html", "--noout", file).CombinedOutput(); err != nil && !strings.Contains(string(out), "Tag svg invalid") {
		t.Errorf("%v: %s", err, out)
	}
}
