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

	"github.com/disintegration/imaging"

	"github.com/filigrane/filigrane/delivery"
	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/mark"
)

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
	return writeJSON(l.measured(r, key), m.out)
}

// writeJSON writes a file that is there whole or not at all.
func writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name+".partial", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".partial", name)
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
	m := &reading{lab: l, run: r, ship: shipmentByName(key), profile: mark.Profile1(), keys: own.Keys(), manifest: man, out: &measurement{Version: measurementVersion, Run: r.Name, Key: key}}
	m.books = mark.NewBooks(m.profile, m.keys)
	if m.labels, err = l.readLabels(r, key); err != nil {
		return nil, err
	}
	var all []int
	for n := range m.labels.byNumber {
		all = append(all, n)
	}
	slices.Sort(all)
	opt := detect.Options{Resolution: man.Parameters.Geometry.Resolution, Scales: []float64{}, Watch: all}
	m.reader = detect.NewReader(m.profile, m.keys, opt)
	opt.WithoutWorks = true
	m.learned = detect.NewReader(m.profile, m.keys, opt)
	opt.Catalogue = all
	m.catalogue = detect.NewReader(m.profile, m.keys, opt)
	m.out.Thresholds = m.reader.Thresholds()
	return m, nil
}

// prefixes are the sizes of pools tried, up to n.
func prefixes(n int) []int {
	var ps []int
	for _, k := range []int{1, 2, 4, 8, 16, 32, 64, 128} {
		if k < n {
			ps = append(ps, k)
		}
	}
	return append(ps, n)
}

// final measures the outputs of the finished model.
func (m *reading) final() error {
	const alone = 24 // images of each class read one by one
	together := 24   // and folded with those of all classes
	if m.run.share() < 1 {
		together = 111 // 999 in all
	}
	dir := m.outputs(m.run, m.run.Steps)
	var all []image.Image
	for c := range m.labels.names {
		if err := m.ctx.Err(); err != nil {
			return err
		}
		imgs, err := images(filepath.Join(dir, classFolder(c)), 0)
		if err != nil {
			return err
		}
		others, err := m.others(dir, c, edits[0].do)
		if err != nil {
			return err
		}
		m.out.Images = len(imgs)
		all = append(all, imgs[:min(together, len(imgs))]...)
		if err := m.single(imgs[:min(alone, len(imgs))], c, others); err != nil {
			return err
		}
		if err := m.pooled(imgs, c, others); err != nil {
			return err
		}
	}
	s := &m.out.Singles
	for _, share := range []*float64{&s.Top1Catalogue, &s.RightOf65536, &s.Named, &s.DeliveryNamed, &s.AgainstRight, &s.AgainstNamed} {
		*share /= float64(s.Images)
	}
	r, err := m.reader.Read(all...)
	if err != nil {
		return err
	}
	m.work(r)
	m.out.Whole = folded{Images: len(all), DeliveryT: r.Delivery.T, DeliveryM: r.Delivery.M, DeliveryP: r.Delivery.P}
	if r := m.run; r.Group == "main" && r.Seed == 0 {
		if err := m.edits(dir); err != nil {
			return err
		}
	}
	if err := m.extras(dir); err != nil {
		return err
	}
	return m.readUnused(all)
}

// othersEach is how many outputs of each other class a class is read against.
const othersEach = 12

// others are outputs of the classes that have none of a class's concepts, the first drawn of each, after an edit.
func (m *reading) others(dir string, class int, edit func(image.Image) (image.Image, error)) (*detect.Others, error) {
	var same []int
	for c, numbers := range m.labels.numbers {
		if slices.ContainsFunc(numbers, func(n int) bool { return slices.Contains(m.labels.numbers[class], n) }) {
			same = append(same, c)
		}
	}
	return m.otherThan(dir, same, edit)
}

// otherThan are outputs of all classes but some.
func (m *reading) otherThan(dir string, classes []int, edit func(image.Image) (image.Image, error)) (*detect.Others, error) {
	var all []image.Image
	for c := range m.labels.numbers {
		if slices.Contains(classes, c) {
			continue
		}
		imgs, err := images(filepath.Join(dir, classFolder(c)), othersEach)
		if err != nil {
			return nil, err
		}
		for _, img := range imgs {
			if img, err = edit(img); err != nil {
				return nil, err
			}
			all = append(all, img)
		}
	}
	return detect.NewOthers(all...)
}

// single reads images one by one.
func (m *reading) single(imgs []image.Image, class int, others *detect.Others) error {
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
		against, err := m.learned.ReadAgainst(others, img)
		if err != nil {
			return err
		}
		s.AgainstRight += one(slices.Contains(m.labels.numbers[class], strongest(against).Number))
		right, wrong = m.named(against, class)
		s.AgainstNamed += one(right > 0)
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
		m.out.WorksNamed++
	}
}

// pooled reads more and more images of a class together.
func (m *reading) pooled(imgs []image.Image, class int, others *detect.Others) error {
	p := pool{Concept: m.labels.names[class]}
	for _, n := range prefixes(len(imgs)) {
		alone, err := m.reader.Read(imgs[:n]...)
		if err != nil {
			return err
		}
		against, err := m.learned.ReadAgainst(others, imgs[:n]...)
		if err != nil {
			return err
		}
		p.Readings = append(p.Readings, m.folded(alone, against, class))
		m.work(alone)
	}
	m.out.Pools = append(m.out.Pools, p)
	return nil
}

// folded keeps what two readings of the same images say of their class's concepts.
func (m *reading) folded(alone, against detect.Reading, class int) folded {
	numbers := m.labels.numbers[class]
	f := folded{Images: alone.Images, DeliveryT: alone.Delivery.T, DeliveryM: alone.Delivery.M, DeliveryP: alone.Delivery.P}
	f.ConceptT, f.ConceptP = of(alone, numbers[0])
	f.AgainstT, f.AgainstP = of(against, numbers[0])
	if len(numbers) > 1 {
		_, f.SecondP = of(against, numbers[1])
	}
	f.BestT = max(strongest(alone).T, strongest(against).T)
	for _, r := range []detect.Reading{alone, against} {
		_, wrong := m.named(r, class)
		f.Wrong += wrong
	}
	return f
}

// of gives T of one concept, and its p: 1 unless it was named or comes next.
func of(r detect.Reading, number int) (t, p float64) {
	p = 1
	for _, f := range append(slices.Clone(r.Concepts), r.Best) {
		if f.Number == number {
			t, p = f.T, f.P
		}
	}
	for _, f := range r.Watched {
		if f.Number == number && p == 1 {
			t = f.T
		}
	}
	return t, p
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
		var delivery, concept, against []float64
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
			others, err := m.others(dir, c, e.do)
			if err != nil {
				return err
			}
			if r, err = m.learned.ReadAgainst(others, imgs...); err != nil {
				return err
			}
			_, q := of(r, numbers[0])
			delivery, concept, against, row.Images = append(delivery, r.Delivery.P), append(concept, p), append(against, q), len(imgs)
		}
		row.Top1Catalogue, row.DeliveryP, row.ConceptP, row.AgainstP = right/read, median(delivery), median(concept), median(against)
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
		others, err := m.otherThan(dir, []int{a, a + 1}, edits[0].do)
		if err != nil {
			return err
		}
		r, err := m.catalogue.ReadAgainst(others, imgs...)
		if err != nil {
			return err
		}
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
