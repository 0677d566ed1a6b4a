package delivery

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/iscc"
	"github.com/filigrane/filigrane/mark"
)

// ManifestFormat names the form of manifest.json; a change of the form changes the number.
const ManifestFormat = "filigrane.delivery/1"

// Manifest says what a delivery holds and what was done to every image. It has one text form only: fields in the
// order of these types, lists sorted as said, one space of indentation, no escapes but those JSON needs. It tells
// no time: the log does.
type Manifest struct {
	Format     string     `json:"format"`
	Parameters Parameters `json:"parameters"`
	Summary    Summary    `json:"summary"`
	Shards     []Shard    `json:"shards"`   // in order
	Images     []Image    `json:"images"`   // by work
	Refusals   []Refusal  `json:"refusals"` // by work
	// Pools are there under ReadablePool only, one for each concept that delivered images carry, by number.
	Pools []Pool `json:"pools,omitempty"`
	// Buckets are there for a geometry of buckets only, in its order.
	Buckets []BucketCount `json:"buckets,omitempty"`
	// Removals are there for an incremental delivery only, by work: what the customer has to take out.
	Removals []Removal `json:"removals,omitempty"`
}

// Summary counts a delivery.
type Summary struct {
	Works        int     `json:"works"` // images and refusals
	Images       int     `json:"images"`
	Refused      int     `json:"refused"`
	Strengthened int     `json:"strengthened"` // images that needed more than the preset
	Bytes        int64   `json:"bytes"`        // of the images
	PSNRMeanDB   float64 `json:"psnr_mean_db"`
	PSNRMinDB    float64 `json:"psnr_min_db"`
	SSIMMean     float64 `json:"ssim_mean"`
	SSIMMin      float64 `json:"ssim_min"`
	Removals     int     `json:"removals,omitempty"`
	Pools        int     `json:"pools,omitempty"`         // concepts read from pools of images
	PoolsUnnamed int     `json:"pools_unnamed,omitempty"` // of them, those not named
}

// Shard is one WebDataset file.
type Shard struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
	Images int    `json:"images"`
}

// Image is one marked work.
type Image struct {
	Work         concepts.WorkID   `json:"work"`
	WorkNumber   int               `json:"work_number"`
	Concepts     []NumberedConcept `json:"concepts"` // by ID
	SourcePath   string            `json:"source_path"`
	SourceSHA256 string            `json:"source_sha256"`
	Shard        string            `json:"shard"`
	Key          string            `json:"key"`       // of the sample: the work, written as WebDataset needs it
	Extension    string            `json:"extension"` // the image is the shard's member key.extension
	SHA256       string            `json:"sha256"`
	ISCCImage    iscc.Code         `json:"iscc_image,omitzero"`    // of the file's pixels; older manifests have neither
	ISCCInstance iscc.Code         `json:"iscc_instance,omitzero"` // of its bytes
	WordsSHA256  string            `json:"words_sha256,omitempty"` // of what the sample's text says about the work besides figures
	SourceType   string            `json:"source_type,omitempty"`  // the master's IPTC Digital Source Type
	C2PA         bool              `json:"c2pa,omitempty"`         // the file carries a C2PA manifest, of the master, which is no longer true
	Bytes        int64             `json:"bytes"`
	Width        int               `json:"width"`
	Height       int               `json:"height"`
	Changes
	StrengthSteps int     `json:"strength_steps"` // steps of 1 dB beyond the preset
	MarkPSNRDB    float64 `json:"mark_psnr_db"`   // of the mark alone
	PSNRDB        float64 `json:"psnr_db"`        // host against the file re-read: mark and compression
	SSIM          float64 `json:"ssim"`
	// The statistics of single images are left out under ReadablePool.
	T          Statistics `json:"t,omitzero"`           // of the file re-read
	CopyT      Statistics `json:"copy_t,omitzero"`      // of a JPEG copy of quality CopyQuality
	ThumbnailT Statistics `json:"thumbnail_t,omitzero"` // of its thumbnail of ThumbnailSide pixels
	PieceT     Statistics `json:"piece_t,omitzero"`     // of its roughest quarter; of the whole where quarters are too small
}

// NumberedConcept is a concept with its number in the codebook.
type NumberedConcept struct {
	Number int                `json:"number"`
	ID     concepts.ConceptID `json:"id"`
}

// Statistics are the T of a reading: what was embedded was found so clearly. 0 where another or none was named.
type Statistics struct {
	Delivery float64   `json:"delivery"`
	Concepts []float64 `json:"concepts"` // of Image.Concepts
	Work     float64   `json:"work"`
	Pilot    float64   `json:"pilot"`
}

// none says that nothing was read.
func (s Statistics) none() bool {
	return s.Concepts == nil && s.Delivery == 0 && s.Work == 0 && s.Pilot == 0
}

// String is short, for people.
func (s Statistics) String() string {
	return fmt.Sprintf("delivery %.1f, concepts %.1f, work %.1f, pilot %.1f", s.Delivery, s.Concepts, s.Work, s.Pilot)
}

// MarshalText returns the one text form. WriteText writes it without holding it.
func (m *Manifest) MarshalText() ([]byte, error) {
	var b bytes.Buffer
	err := m.WriteText(&b)
	return b.Bytes(), err
}

// MarshalJSON returns the same as MarshalText would, for use inside other documents.
func (m *Manifest) MarshalJSON() ([]byte, error) { return json.Marshal((*plainManifest)(m)) }

// plainManifest has no methods, so that marshalling it does not call itself.
type plainManifest Manifest

// SHA256 returns the hash of the text form in hex: what the log commits to.
func (m *Manifest) SHA256() string {
	h := sha256.New()
	if err := m.WriteText(h); err != nil {
		panic("delivery: " + err.Error()) // only for numbers that are not finite, which check excludes
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ParseManifest reads the text form and nothing else: marshalling the result gives the same bytes. It refuses
// unknown fields, other versions, lists out of order, and figures that contradict each other.
func ParseManifest(text []byte) (*Manifest, error) {
	m, _, err := ReadManifest(bytes.NewReader(text))
	if !errors.Is(err, errNotOneForm) {
		return m, err
	}
	if m, err = decodeManifest(bytes.NewReader(text)); err != nil {
		return nil, err
	}
	again, err := m.MarshalText()
	if err != nil {
		return nil, fmt.Errorf("delivery: manifest: %w", err)
	}
	return nil, fmt.Errorf("%w, from byte %d on", errNotOneForm, differAt(again, text))
}

// strict decodes one JSON document without unknown fields.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the document")
	}
	return nil
}

func differAt(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// check returns what is wrong with a manifest.
func (m *Manifest) check() error {
	p := m.Parameters
	if _, err := ParseFormat(string(p.Format)); err != nil {
		return err
	}
	if _, err := ParseReadable(p.Readable.String()); err != nil {
		return err
	}
	if err := p.Geometry.check(); err != nil {
		return err
	}
	if err := p.Readable.CheckGeometry(p.Geometry); err != nil {
		return err
	}
	if p.Profile < 1 || p.ImagesPerShard < 1 || p.ImagesPerShard > MaxImagesPerShard || !isHash(p.CatalogueSHA256) || !isHash(p.CodebookSHA256) {
		return errors.New("parameters out of range")
	}
	_, badShards := ParseShardForm(string(p.Shards))
	_, badCaptions := ParseCaptions(string(p.Captions))
	if err := errors.Join(badShards, badCaptions, p.Rights.check()); err != nil {
		return err
	}
	if p.PreviousSHA256 != "" && !isHash(p.PreviousSHA256) || p.RecallsSHA256 != "" && !isHash(p.RecallsSHA256) {
		return errors.New("parameters out of range")
	}
	if m.Shards == nil || m.Images == nil || m.Refusals == nil {
		return errors.New("a list is null")
	}
	if err := m.checkShards(); err != nil {
		return err
	}
	for i := range m.Images {
		if err := m.Images[i].check(p.Readable); err != nil {
			return fmt.Errorf("image %q: %w", m.Images[i].Work, err)
		}
		if i > 0 && m.Images[i-1].Work >= m.Images[i].Work {
			return fmt.Errorf("image %q is out of order", m.Images[i].Work)
		}
	}
	for i, r := range m.Refusals {
		if i > 0 && m.Refusals[i-1].Work >= r.Work || r.Work.Check() != nil || r.Kind == "" || r.Detail == "" || concepts.CheckPath(r.Path) != nil {
			return fmt.Errorf("refusal of %q is out of order or incomplete", r.Work)
		}
		if _, both := m.Image(r.Work); both {
			return fmt.Errorf("work %q is both delivered and refused", r.Work)
		}
	}
	if err := errors.Join(m.checkPools(), m.checkRemovals(), m.checkBuckets()); err != nil {
		return err
	}
	if m.Summary != m.summarise() {
		return errors.New("the summary is not that of the lists")
	}
	return nil
}

// checkShards compares the shards with the images, which fill one shard after the other.
func (m *Manifest) checkShards() error {
	size := m.Parameters.ImagesPerShard
	if want := (len(m.Images) + size - 1) / size; len(m.Shards) != want {
		return fmt.Errorf("%d shards, not %d", len(m.Shards), want)
	}
	for n, s := range m.Shards {
		if !m.Parameters.Shards.names(s.Name, n) || !isHash(s.SHA256) || s.Bytes < 1 || s.Images != min(size, len(m.Images)-n*size) {
			return fmt.Errorf("shard %q is out of order, incomplete or miscounted", s.Name)
		}
	}
	for i := range m.Images {
		if m.Images[i].Shard != m.Shards[i/size].Name {
			return fmt.Errorf("image %q is in the wrong shard", m.Images[i].Work)
		}
	}
	return nil
}

func (img *Image) check(rule Readable) error {
	if err := img.Work.Check(); err != nil {
		return err
	}
	if err := concepts.CheckPath(img.SourcePath); err != nil {
		return err
	}
	switch {
	case img.Key != sampleKey(img.Work):
		return errors.New("its key is another work's")
	case !isExtension(img.Extension):
		return fmt.Errorf("extension %q", img.Extension)
	case !isHash(img.SHA256) || !isHash(img.SourceSHA256) || img.WordsSHA256 != "" && !isHash(img.WordsSHA256):
		return errors.New("a hash is not 64 lower-case hex digits")
	case !isISCC(img.ISCCImage, img.ISCCInstance):
		return fmt.Errorf("its ISCC are not an Image-Code of %d bits and an Instance-Code of %d", iscc.DefaultBits, iscc.MaxBits)
	case img.Bytes < 1 || img.Width < 1 || img.Height < 1 || img.StrengthSteps < 0 || img.SSIM > 1 || !(img.PSNRDB > 0) || !(img.MarkPSNRDB > 0):
		return errors.New("a figure is out of range")
	}
	names := mark.Names{Work: img.WorkNumber}
	for i, c := range img.Concepts {
		if err := c.ID.Check(); err != nil {
			return err
		}
		if i > 0 && img.Concepts[i-1].ID >= c.ID {
			return errors.New("its concepts are out of order")
		}
		names.Concepts = append(names.Concepts, c.Number)
	}
	if img.Concepts == nil || img.WorkNumber == 0 {
		return errors.New("its numbers are incomplete")
	}
	for _, t := range []Statistics{img.T, img.CopyT, img.ThumbnailT, img.PieceT} {
		switch {
		case rule == ReadablePool && !t.none():
			return errors.New("it has statistics of its own, though pools were read")
		case rule != ReadablePool && (t.Concepts == nil || len(t.Concepts) != len(img.Concepts)):
			return errors.New("its statistics are incomplete")
		}
	}
	return names.Validate()
}

// isHash says whether s is a SHA-256 in lower-case hex.
func isHash(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

// isISCC says whether these are the units that a manifest has: both, or none as before there were any.
func isISCC(image, instance iscc.Code) bool {
	return image.IsZero() && instance.IsZero() ||
		image.Kind() == iscc.Image && image.Len() == iscc.DefaultBits && instance.Kind() == iscc.Instance && instance.Len() == iscc.MaxBits
}

func isExtension(s string) bool { return s == "png" || s == "jpg" || s == "webp" || s == "tif" }

// Image returns the image of a work, and whether it is in the delivery.
func (m *Manifest) Image(id concepts.WorkID) (*Image, bool) {
	lo, hi := 0, len(m.Images)
	for lo < hi {
		if mid := (lo + hi) / 2; m.Images[mid].Work < id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(m.Images) && m.Images[lo].Work == id {
		return &m.Images[lo], true
	}
	return nil, false
}

// summarise computes the summary of sorted lists.
func (m *Manifest) summarise() Summary {
	images, refusals, pools := m.Images, m.Refusals, m.Pools
	s := Summary{Works: len(images) + len(refusals), Images: len(images), Refused: len(refusals), Pools: len(pools), Removals: len(m.Removals)}
	for i := range pools {
		if !pools[i].Named {
			s.PoolsUnnamed++
		}
	}
	if len(images) == 0 {
		return s
	}
	s.PSNRMinDB, s.SSIMMin = math.Inf(1), math.Inf(1)
	var psnr, ssim float64
	for i := range images {
		img := &images[i]
		s.Bytes += img.Bytes
		if img.StrengthSteps > 0 {
			s.Strengthened++
		}
		psnr += img.PSNRDB
		ssim += img.SSIM
		s.PSNRMinDB, s.SSIMMin = math.Min(s.PSNRMinDB, img.PSNRDB), math.Min(s.SSIMMin, img.SSIM)
	}
	n := float64(len(images))
	s.PSNRMeanDB, s.SSIMMean = round(psnr/n, 4), round(ssim/n, 6)
	return s
}
