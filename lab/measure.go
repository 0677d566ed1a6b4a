package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/mark"
)

// measurement is everything measured on the outputs of one run with the keys of one delivery.
type measurement struct {
	Run        string            `json:"run"`
	Key        string            `json:"key"` // name of the delivery
	Points     []point           `json:"points"`
	Images     int               `json:"images"` // of every class at the end
	Singles    singles           `json:"singles"`
	Pools      []pool            `json:"pools"`
	Whole      *folded           `json:"whole,omitempty"` // outputs of all classes folded together
	Edits      []edited          `json:"edits"`
	Without    *outside          `json:"without_class,omitempty"`
	Mixed      []mixture         `json:"mixed,omitempty"`
	Unused     unused            `json:"unused_keys"`
	WorkMaxT   float64           `json:"work_max_t"` // over all single and pooled readings
	WorkNamed  int               `json:"works_named"`
	Thresholds detect.Thresholds `json:"thresholds"`
}

// level is a transmission: amplitude out / in, mean over the classes.
type level struct {
	Transmission float64 `json:"transmission"`
	Error        float64 `json:"standard_error"` // from the scatter between images
	Least        float64 `json:"least_class"`
}

// point is the state after so many samples.
type point struct {
	Samples  int    `json:"samples"`
	Delivery level  `json:"delivery"`
	Concept  level  `json:"concept"`
	Second   *level `json:"second_concept,omitempty"`
	Pilot    level  `json:"pilot"`
	Work     level  `json:"work"`  // the works of the class together
	Other    level  `json:"other"` // the codeword of another concept: what chance gives
}

// singles counts images read alone.
type singles struct {
	Images        int     `json:"images"`
	Top1Catalogue float64 `json:"top1_catalogue"`
	RightOf65536  float64 `json:"right_of_65536"` // the best of all is the right one
	Named         float64 `json:"named"`          // at 1e-6, rightly
	NamedWrong    int     `json:"named_wrong"`
	DeliveryNamed float64 `json:"delivery_named"`
}

// pool is the images of one class folded together, first few, then more.
type pool struct {
	Concept  string   `json:"concept"`
	Number   int      `json:"number"`
	Readings []folded `json:"readings"`
}

type folded struct {
	Images    int     `json:"images"`
	DeliveryT float64 `json:"delivery_t"`
	DeliveryP float64 `json:"delivery_p"`
	ConceptT  float64 `json:"concept_t"` // of the right one, if it is the best
	ConceptP  float64 `json:"concept_p"` // 1 if it is not
	SecondP   float64 `json:"second_p,omitempty"`
	Wrong     int     `json:"wrong"` // concepts named that the class does not have
}

// edited is what is left after an edit of the outputs.
type edited struct {
	Edit          string  `json:"edit"`
	Top1Catalogue float64 `json:"top1_catalogue"` // single images
	DeliveryP     float64 `json:"delivery_p"`     // median over the classes, pooled
	ConceptP      float64 `json:"concept_p"`
	Images        int     `json:"images"` // of a pool
}

// outside is a pool of outputs drawn without a class.
type outside struct {
	Images    int      `json:"images"`
	DeliveryT float64  `json:"delivery_t"`
	DeliveryP float64  `json:"delivery_p"`
	Named     []string `json:"named"`
}

// mixture is a pool of outputs half of one class, half of another.
type mixture struct {
	Concepts [2]string `json:"concepts"`
	Images   int       `json:"images"`
	Named    []string  `json:"named"`
	Shares   []float64 `json:"shares"`
}

// labels are the classes of a run and what they are called in a delivery.
type labels struct {
	names    []string // of the first concept
	numbers  [][]int  // concepts of each class, the first one first
	byNumber map[int]string
}

// reading is one measurement being made.
type reading struct {
	*lab
	run       run
	ship      shipment
	profile   *mark.Profile
	keys      mark.Keys
	books     *mark.Books
	manifest  *delivery.Manifest
	labels    labels
	reader    *detect.Reader // of all lattices
	learned   *detect.Reader // without works
	catalogue *detect.Reader // without works, of the catalogue's concepts only
	out       *measurement
}

// measure reads the outputs of a run with the keys of a delivery and writes what was found.
func (l *lab) measure(r run, key string) error {
	m, err := l.newReading(r, key)
	if err != nil {
		return err
	}
	if err := m.curve(); err != nil {
		return err
	}
	if err := m.final(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(m.out, "", " ")
	if err != nil {
		return err
	}
	name := l.measured(r, key)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644)
}

func (l *lab) newReading(r run, key string) (*reading, error) {
	text, err := os.ReadFile(filepath.Join(l.delivery(key), "manifest.json"))
	if err != nil {
		return nil, err
	}
	man, err := delivery.ParseManifest(text)
	if err != nil {
		return nil, err
	}
	own := masterKey().Delivery(man.Parameters.Path)
	if own.Fingerprint() != man.Parameters.KeyFingerprint {
		return nil, fmt.Errorf("delivery %s was not made with the lab's key", key)
	}
	m := &reading{lab: l, run: r, ship: shipmentByName(key), profile: mark.Profile1(), keys: own.Keys(), manifest: man, out: &measurement{Run: r.Name, Key: key}}
	m.books = mark.NewBooks(m.profile, m.keys)
	if m.labels, err = l.readLabels(r, key); err != nil {
		return nil, err
	}
	var all []int
	for n := range m.labels.byNumber {
		all = append(all, n)
	}
	slices.Sort(all)
	opt := detect.Options{Resolution: man.Parameters.Geometry.Resolution, Scales: []float64{}}
	m.reader = detect.NewReader(m.profile, m.keys, opt)
	opt.WithoutWorks = true
	m.learned = detect.NewReader(m.profile, m.keys, opt)
	opt.Catalogue = all
	m.catalogue = detect.NewReader(m.profile, m.keys, opt)
	m.out.Thresholds = m.reader.Thresholds()
	return m, nil
}

// readLabels finds the concepts that the captions name.
func (l *lab) readLabels(r run, key string) (labels, error) {
	c, err := readClasses(l.outputs(r, r.Steps))
	if err != nil {
		return labels{}, err
	}
	text, err := os.ReadFile(filepath.Join(l.delivery(key), "codebook.json"))
	if err != nil {
		return labels{}, err
	}
	book, err := delivery.ParseCodebook(text)
	if err != nil {
		return labels{}, err
	}
	found := labels{byNumber: map[int]string{}}
	byName := map[string]int{}
	for _, c := range book.Concepts {
		byName[c.Name], found.byNumber[c.Number] = c.Number, c.Name
	}
	for _, caption := range c.Captions {
		_, list, ok := strings.Cut(caption, "Concepts: ")
		if !ok {
			return labels{}, fmt.Errorf("caption %q names no concept", caption)
		}
		var numbers []int
		for name := range strings.SplitSeq(list, ", ") {
			n, ok := byName[name]
			if !ok {
				return labels{}, fmt.Errorf("caption %q: delivery %s has no concept %q", caption, key, name)
			}
			numbers = append(numbers, n)
		}
		found.numbers = append(found.numbers, numbers)
		found.names = append(found.names, list)
	}
	return found, nil
}

// images reads the pictures of one folder of outputs, at most so many, in order.
func images(dir string, most int) ([]image.Image, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.png"))
	if err != nil {
		return nil, err
	}
	if most > 0 && len(files) > most {
		files = files[:most]
	}
	imgs := make([]image.Image, len(files))
	for i, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		pic, err := raster.Decode(data, raster.DefaultLimits())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		imgs[i] = pic.Image
	}
	if len(imgs) == 0 {
		return nil, fmt.Errorf("there are no pictures in %s", dir)
	}
	return imgs, nil
}

// prefixes are the sizes of pools tried, up to n.
func prefixes(n int) []int {
	var ps []int
	for _, k := range []int{1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 200} {
		if k < n {
			ps = append(ps, k)
		}
	}
	return append(ps, n)
}

// final measures the outputs of the finished model.
func (m *reading) final() error {
	const (
		alone    = 32  // images of each class read one by one
		together = 111 // and folded with those of all classes: 999
	)
	dir := m.outputs(m.run, m.run.Steps)
	var all []image.Image
	for c := range m.labels.names {
		imgs, err := images(filepath.Join(dir, classFolder(c)), 0)
		if err != nil {
			return err
		}
		m.out.Images = len(imgs)
		all = append(all, imgs[:min(together, len(imgs))]...)
		if err := m.single(imgs[:min(alone, len(imgs))], c); err != nil {
			return err
		}
		if err := m.pooled(imgs, c); err != nil {
			return err
		}
	}
	s := &m.out.Singles
	for _, share := range []*float64{&s.Top1Catalogue, &s.RightOf65536, &s.Named, &s.DeliveryNamed} {
		*share /= float64(s.Images)
	}
	r, err := m.reader.Read(all...)
	if err != nil {
		return err
	}
	m.work(r)
	m.out.Whole = &folded{Images: len(all), DeliveryT: r.Delivery.T, DeliveryP: r.Delivery.P}
	if err := m.edits(dir); err != nil {
		return err
	}
	if err := m.extras(dir); err != nil {
		return err
	}
	return m.unused(all)
}

// single reads images one by one.
func (m *reading) single(imgs []image.Image, class int) error {
	s := &m.out.Singles
	for _, img := range imgs {
		open, err := m.reader.Read(img)
		if err != nil {
			return err
		}
		closed, err := m.catalogue.Read(img)
		if err != nil {
			return err
		}
		s.Images++
		s.Top1Catalogue += one(slices.Contains(m.labels.numbers[class], strongest(closed).Number))
		s.RightOf65536 += one(slices.Contains(m.labels.numbers[class], strongest(open).Number))
		s.DeliveryNamed += one(open.DeliveryFound())
		right, wrong := m.named(open, class)
		s.Named += one(right > 0)
		s.NamedWrong += wrong
		m.work(open)
	}
	return nil
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// strongest is the best concept of a reading, named or not.
func strongest(r detect.Reading) detect.Finding {
	if len(r.Concepts) > 0 {
		return r.Concepts[0]
	}
	return r.Best
}

// named counts the concepts a reading names.
func (m *reading) named(r detect.Reading, class int) (right, wrong int) {
	for _, f := range r.Concepts {
		if slices.Contains(m.labels.numbers[class], f.Number) {
			right++
		} else {
			wrong++
		}
	}
	return right, wrong
}

// work keeps the strongest work seen: the lattice must stay silent.
func (m *reading) work(r detect.Reading) {
	m.out.WorkMaxT = math.Max(m.out.WorkMaxT, r.Work.T)
	if r.WorkFound() {
		m.out.WorkNamed++
	}
}

// pooled reads more and more images of a class together.
func (m *reading) pooled(imgs []image.Image, class int) error {
	numbers := m.labels.numbers[class]
	p := pool{Concept: m.labels.names[class], Number: numbers[0]}
	for _, n := range prefixes(len(imgs)) {
		r, err := m.reader.Read(imgs[:n]...)
		if err != nil {
			return err
		}
		f := folded{Images: n, DeliveryT: r.Delivery.T, DeliveryP: r.Delivery.P}
		f.ConceptT, f.ConceptP = of(r, numbers[0])
		if len(numbers) > 1 {
			_, f.SecondP = of(r, numbers[1])
		}
		_, f.Wrong = m.named(r, class)
		m.work(r)
		p.Readings = append(p.Readings, f)
	}
	m.out.Pools = append(m.out.Pools, p)
	return nil
}

// of gives T and p of one concept, if it was named or comes next.
func of(r detect.Reading, number int) (t, p float64) {
	for _, f := range append(slices.Clone(r.Concepts), r.Best) {
		if f.Number == number {
			return f.T, f.P
		}
	}
	return 0, 1
}

// edits are what happens to outputs before they are found.
var edits = []struct {
	name string
	do   func(image.Image) (image.Image, error)
}{
	{"as generated", func(img image.Image) (image.Image, error) { return img, nil }},
	{"JPEG q90", func(img image.Image) (image.Image, error) { return throughJPEG(img, 90) }},
	{"JPEG q75", func(img image.Image) (image.Image, error) { return throughJPEG(img, 75) }},
	{"enlarged twice", func(img image.Image) (image.Image, error) {
		return imaging.Resize(img, 2*side, 0, imaging.Lanczos), nil
	}},
	{"reduced to 3/4", func(img image.Image) (image.Image, error) {
		return imaging.Resize(img, 3*side/4, 0, imaging.Lanczos), nil
	}},
	{"reduced to 1/2", func(img image.Image) (image.Image, error) {
		return imaging.Resize(img, side/2, 0, imaging.Lanczos), nil
	}},
}

func throughJPEG(img image.Image, quality int) (image.Image, error) {
	var b bytes.Buffer
	if err := raster.EncodeJPEG(&b, img, quality, "4:2:0"); err != nil {
		return nil, err
	}
	p, err := raster.Decode(b.Bytes(), raster.DefaultLimits())
	if err != nil {
		return nil, err
	}
	return p.Image, nil
}

// edits reads edited outputs: a few alone, and one pool of each class.
func (m *reading) edits(dir string) error {
	const most, alone = 32, 12
	for _, e := range edits {
		row := edited{Edit: e.name}
		var delivery, concept []float64
		right, read := 0.0, 0.0
		for c, numbers := range m.labels.numbers {
			imgs, err := images(filepath.Join(dir, classFolder(c)), most)
			if err != nil {
				return err
			}
			for i := range imgs {
				if imgs[i], err = e.do(imgs[i]); err != nil {
					return err
				}
			}
			for _, img := range imgs[:min(alone, len(imgs))] {
				r, err := m.catalogue.Read(img)
				if err != nil {
					return err
				}
				right += one(slices.Contains(numbers, strongest(r).Number))
				read++
			}
			r, err := m.learned.Read(imgs...)
			if err != nil {
				return err
			}
			_, p := of(r, numbers[0])
			delivery, concept, row.Images = append(delivery, r.Delivery.P), append(concept, p), len(imgs)
		}
		row.Top1Catalogue, row.DeliveryP, row.ConceptP = right/read, median(delivery), median(concept)
		m.out.Edits = append(m.out.Edits, row)
	}
	return nil
}

func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	return s[len(s)/2]
}

// extras reads outputs without a class and of mixed classes, where there are any.
func (m *reading) extras(dir string) error {
	if !exists(filepath.Join(dir, "none")) {
		return nil
	}
	imgs, err := images(filepath.Join(dir, "none"), 0)
	if err != nil {
		return err
	}
	r, err := m.reader.Read(imgs...)
	if err != nil {
		return err
	}
	m.work(r)
	m.out.Without = &outside{Images: len(imgs), DeliveryT: r.Delivery.T, DeliveryP: r.Delivery.P, Named: []string{}}
	for _, f := range r.Concepts {
		m.out.Without.Named = append(m.out.Without.Named, m.labels.byNumber[f.Number])
	}
	for a := 0; a+1 < len(m.labels.names); a += 2 {
		imgs, err := images(filepath.Join(dir, classFolder(a)+"+"+classFolder(a+1)), 0)
		if err != nil {
			return err
		}
		r, err := m.reader.Read(imgs...)
		if err != nil {
			return err
		}
		m.work(r)
		mix := mixture{Concepts: [2]string{m.labels.names[a], m.labels.names[a+1]}, Images: len(imgs), Named: []string{}, Shares: []float64{}}
		for _, f := range r.Concepts {
			name, known := m.labels.byNumber[f.Number]
			if !known {
				name = fmt.Sprintf("number %d, which was never used", f.Number)
			}
			mix.Named, mix.Shares = append(mix.Named, name), append(mix.Shares, f.Share)
		}
		m.out.Mixed = append(m.out.Mixed, mix)
	}
	return nil
}
