package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/filigrane/filigrane/concepts"
	"github.com/filigrane/filigrane/detect"
	"github.com/filigrane/filigrane/embed"
	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/internal/signal"
	"github.com/filigrane/filigrane/iscc"
	"github.com/filigrane/filigrane/mark"
)

// The closed loop. It starts a little above the preset, so that after everything is rounded a delivery has at
// least the quality asked for. A picture in which the mark could be seen (smooth ones: skies, mist; package embed
// says by how much) is marked more weakly, as far as it stays readable; one that is not readable more strongly, in steps of
// 1 dB (12 % of amplitude), down to the floor.
const (
	startMarginDB = 0.25
	floorMarginDB = 0.05 // the floor is met after rounding too
	stepDB        = 1.0
	gentleStepDB  = 0.5
	// mostGentleDB is how far above the preset the mark may be weakened. A model learns amplitude: more than
	// 4 dB (37 %) below the preset would be another preset.
	mostGentleDB = 4.0
	// relief is the amplitude that the work's mark keeps in a smooth picture. It has room to spare
	// there (T 23, 8 needed) and consists of the long waves that show first.
	relief = 0.7
	// deepRelief is what it keeps where the concept is not read from a JPEG copy though the work is.
	deepRelief = 0.45
	// emphasis is the amplitude that the work's mark is given in a picture so rough (moss, foliage) that its
	// thumbnail does not name it at the preset: there the concept has room to spare.
	emphasis = 1.4
	// A drawing shows grain that a photograph hides, and is read at half the strength: from drawnShare of it without
	// texture on, more is allowed.
	drawnShare        = 0.3
	mostGentleDrawnDB = 8.0
)

// ThumbnailSide is the short side, in pixels, of the weakest copy that must still be readable: the size at which
// pictures are usually passed on as previews.
const ThumbnailSide = 300

// maxNamedAlways is up to how many concepts an image must name all of them by itself. Half of the concept
// lattice's energy is the delivery's codeword's; once that is cancelled the strongest of k equal concepts shows T
// <= sqrt(208/k), 8.3 for three and 7.2 for four, and 7.3 is needed to name one of 65,536. Measured at 42 dB on
// twelve photographs: two of two named on all, three of three on half, four on none, whatever the strength. So
// from three on none has to be named: that the delivery's codeword is found shows that the lattice is readable,
// and the work, which is named, gives its concepts through the codebook.
const maxNamedAlways = 2

// marker marks the images of one delivery. Goroutines may share it.
type marker struct {
	spec    Spec
	profile *mark.Profile
	books   *mark.Books
	readers *readers
}

func newMarker(spec Spec) (*marker, error) {
	p, err := mark.ProfileByID(spec.ProfileID)
	if err != nil {
		return nil, fmt.Errorf("delivery: %w", err)
	}
	return &marker{spec: spec, profile: p, books: mark.NewBooks(p, spec.Keys),
		readers: newReaders(p, spec.Keys, spec.Geometry)}, nil
}

// image does the way of one work, and adds to t what it took. The error is of the batch: the context's. Everything
// else that goes wrong, a panic included, refuses this work only.
func (m *marker) image(ctx context.Context, w concepts.Work, source Source, t *Times) (img *Image, file []byte, ref *refusal, err error) {
	defer func() {
		if r := recover(); r != nil {
			img, file, err = nil, nil, nil
			ref = refuse(Fault, "a fault of this program (%v): report it with the file", r)
			ref.passing = true
		}
	}()
	names, ids, ref := m.names(w.ID)
	if ref != nil {
		return nil, nil, ref, nil
	}
	data, ref := m.read(ctx, w, source, t)
	if err := ctx.Err(); err != nil {
		return nil, nil, nil, err
	}
	if ref != nil {
		return nil, nil, ref, nil
	}
	leave, err := m.spec.Room.decode(ctx, m.weight(data))
	if err != nil {
		return nil, nil, nil, err
	}
	defer leave()
	img, file, ref, err = m.mark(ctx, data, names, t)
	if ref != nil || err != nil {
		return nil, nil, ref, err
	}
	img.Work, img.WorkNumber, img.SourcePath, img.SourceSHA256 = w.ID, names.Work, w.Path, w.SHA256
	img.Concepts = make([]NumberedConcept, len(ids)) // none are none, not unknown
	for i, id := range ids {
		img.Concepts[i] = NumberedConcept{Number: names.Concepts[i], ID: id}
	}
	img.Key, img.WordsSHA256 = sampleKey(w.ID), m.spec.wordsHash(w)
	return img, file, nil, nil
}

// names gives the numbers a work carries. Run has checked that there are numbers.
func (m *marker) names(id concepts.WorkID) (mark.Names, []concepts.ConceptID, *refusal) {
	ids := m.spec.Catalogue.ConceptsOf(id)
	if len(ids) > mark.MaxSuperposed {
		return mark.Names{}, nil, refuse(TooManyConcepts, "%d concepts; one image carries at most %d: group it under fewer", len(ids), mark.MaxSuperposed)
	}
	var n mark.Names
	n.Work, _ = m.spec.Codebook.WorkNumber(id)
	for _, c := range ids {
		number, _ := m.spec.Codebook.ConceptNumber(c)
		n.Concepts = append(n.Concepts, number)
	}
	return n, ids, nil
}

// read gives the master's bytes if they are those of the catalogue.
func (m *marker) read(ctx context.Context, w concepts.Work, source Source, t *Times) ([]byte, *refusal) {
	defer since(&t.Read)()
	passing := func(k Kind, format string, args ...any) *refusal {
		r := refuse(k, format, args...)
		r.passing = true
		return r
	}
	r, err := source(ctx, w)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, passing(Missing, "there is no file %s; put it back, or take the work out of the catalogue", w.Path)
	}
	if err != nil {
		return nil, passing(Kind(raster.KindUnreadable), "the file cannot be opened; check its permissions and the disk")
	}
	defer r.Close()
	limit := m.spec.Limits.MaxBytes
	if limit == 0 {
		limit = raster.DefaultLimits().MaxBytes
	}
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	t.BytesRead += int64(len(data))
	if err != nil {
		return nil, passing(Kind(raster.KindUnreadable), "the file cannot be read to its end; check the disk")
	}
	if int64(len(data)) > limit {
		return nil, refuse(Kind(raster.KindTooLarge), "the file has more than %d bytes; send a smaller file or raise the limit", limit)
	}
	if hashOf(data) != w.SHA256 {
		return nil, passing(MasterChanged, "the file is not the one the catalogue was made of (SHA-256 %s...); restore it or import it as a new work", w.SHA256[:16])
	}
	return data, nil
}

// mark runs the closed loop: mark, encode, re-read, detect, and stronger if that failed. Under ReadablePool it marks
// once: what is detected are pools, at the end.
func (m *marker) mark(ctx context.Context, data []byte, names mark.Names, t *Times) (*Image, []byte, *refusal, error) {
	p, err := m.decode(data, t)
	if err != nil {
		return nil, nil, refusalOf(err), nil
	}
	source := p.Tags().SourceType // of the master, before anything is written into it
	if err := p.Declare(m.spec.Rights.xmp()); err != nil {
		return nil, nil, refusalOf(err), nil
	}
	scaled := since(&t.Geometry)
	host, did, ref := m.spec.Geometry.apply(p.Image, keepsDepth(m.spec.Format.EncodeOptions(p.Format)))
	scaled()
	if ref != nil {
		return nil, nil, ref, nil
	}
	plain := mark.NewCell(m.profile, m.books, names)
	h, ref := m.host(host, t)
	if ref != nil {
		return nil, nil, ref, nil
	}
	if m.spec.Readable == ReadablePool {
		a := new(attempt)
		if a.marked, a.report, ref = h.embed(plain, m.spec.Preset.PSNRDB); ref == nil {
			_, ref = m.write(p, h, a)
		}
		if ref != nil {
			return nil, nil, ref, nil
		}
		a.img.Changes, a.img.SourceType = did, source
		return a.img, a.file, nil, nil
	}
	start, gain := m.gentle(h)
	work := workGain{at: gain}
	var last *attempt
	floor := m.spec.FloorDB + floorMarginDB
	if h.drawn {
		floor = m.spec.Preset.PSNRDB + startMarginDB
	}
	targets := m.targets(start, floor)
	for i := 0; i < len(targets); {
		target := targets[i]
		if err := ctx.Err(); err != nil {
			return nil, nil, nil, err
		}
		if last != nil {
			work.remedy(last.missing, target < m.spec.Preset.PSNRDB)
		}
		a, ref := m.attempt(p, h, work.cell(plain), names, target)
		if ref == nil && m.accepts(a, h, target) {
			ref = m.settle(p, h, names, a)
		}
		if ref != nil {
			return nil, nil, ref, nil
		}
		if m.accepts(a, h, target) {
			a.img.Changes, a.img.SourceType, a.img.StrengthSteps = did, source, m.stronger(target)
			return a.img, a.file, nil, nil
		}
		i += m.steps(targets[i:], a)
		last = a
	}
	why := "the floor"
	if h.drawn {
		why = "the preset, beyond which a mark is seen in a drawing"
	}
	return nil, nil, refuse(MarkUnreadable, "at %.2f dB, %s, %s (T: re-read %v; thumbnail %v); use a stronger preset or leave the work out",
		floor, why, last.missing.what, statistics(&last.views[asWritten], names), statistics(&last.views[asThumbnail], names)), nil
}

// accepts says whether an attempt is good enough. A concept that a JPEG copy does not name by itself is worth the preset's
// strength, not more: the work gives it, and it is smooth pictures that lack it, where more would be seen. In a drawing that is
// not worth even that.
func (m *marker) accepts(a *attempt, h *measured, targetDB float64) bool {
	return a.missing.what == "" || a.missing.onlyCopy && targetDB <= m.spec.Preset.PSNRDB+startMarginDB || a.missing.light && h.drawn
}

// cautious is how much of the strength that seems to be missing is added at once: what an attempt foretells is not exact, and
// a mark stronger than need be is seen sooner.
const cautious = 0.7

// steps says how many strengths to go on after an attempt that was too weak: past those that would be too weak too, and
// never past the preset.
func (m *marker) steps(targets []float64, a *attempt) int {
	preset, n := m.spec.Preset.PSNRDB+startMarginDB, 1
	for n < len(targets)-1 && targets[n] > preset && targets[0]-targets[n] < cautious*a.shortDB {
		n++
	}
	return n
}

// workGain is the share of strength that the work's lattice gets, as the closed loop settles it: what it gives up the concept has.
type workGain struct {
	at      float64
	lacked  float64 // a share at which the work was missing, 0 for none
	tooMuch float64 // a share above that at which only something else was missing, 0 for none
}

// remedy weighs the lattices anew after an attempt that lacked something, before more strength is spent. Between a share that was
// too small and one that was too large it takes the middle.
func (g *workGain) remedy(missing lack, beyondPreset bool) {
	// What an attempt shows is news: an older limit on the wrong side of it was one of less strength.
	if missing.work {
		g.lacked = g.at
		if g.tooMuch <= g.at {
			g.tooMuch = 0
		}
	} else {
		g.tooMuch = g.at
		if g.lacked >= g.at {
			g.lacked = 0
		}
	}
	switch {
	case g.lacked > 0 && g.tooMuch > g.lacked:
		g.at = (g.lacked + g.tooMuch) / 2
	case missing.work && beyondPreset:
		g.at = max(g.at, emphasis)
	case !missing.work:
		g.at = min(g.at, deepRelief)
	}
}

// cell is the plain cell with the work's share.
func (g *workGain) cell(plain *mark.Cell) *mark.Cell {
	if g.at == 1 {
		return plain
	}
	return plain.Scaled(mark.Work, g.at)
}

// stronger counts the steps of 1 dB by which a target is beyond the preset.
func (m *marker) stronger(targetDB float64) int {
	return int(math.Ceil(max(0, m.spec.Preset.PSNRDB+startMarginDB-targetDB) / stepDB))
}

// gentle returns the PSNR at which the closed loop starts, and the work's share: as they are, or for a picture in which the mark could
// be seen as much above the preset as its mask says, up to a limit, with relief.
func (m *marker) gentle(host *measured) (float64, float64) {
	start := m.spec.Preset.PSNRDB + startMarginDB
	most := mostGentleDB
	if host.drawn {
		most = mostGentleDrawnDB
	}
	gentler := min(math.Round(host.host.GentlerDB()/gentleStepDB)*gentleStepDB, most)
	if gentler == 0 {
		return start, 1
	}
	return start + gentler, relief
}

// measured is a host and what embed measured of it, once for all attempts.
type measured struct {
	picture image.Image
	host    *embed.Host
	drawn   bool
	times   *Times // of this work
}

// decode reads a master.
func (m *marker) decode(data []byte, t *Times) (*raster.Picture, error) {
	defer since(&t.Decode)()
	return raster.Decode(data, m.spec.Limits)
}

func (m *marker) host(picture image.Image, t *Times) (*measured, *refusal) {
	defer since(&t.Mark)()
	h, err := embed.NewHost(picture, m.spec.Geometry.ResolutionOf(picture.Bounds().Dx(), picture.Bounds().Dy()))
	if err != nil {
		return nil, refusedBy(err)
	}
	return &measured{picture, h, h.FlatShare() > drawnShare, t}, nil
}

// embed marks the host at a strength.
func (h *measured) embed(cell *mark.Cell, targetDB float64) (image.Image, embed.Report, *refusal) {
	defer since(&h.times.Mark)()
	marked, rep, err := h.host.Mark(cell, targetDB)
	if err != nil {
		return nil, rep, refusedBy(err)
	}
	return marked, rep, nil
}

// refusedBy turns what embed refuses into a refusal.
func refusedBy(err error) *refusal {
	kind := Clips
	if e := (*embed.Error)(nil); errors.As(err, &e) && e.Refusal == embed.TooSmall {
		kind = TooSmall
	}
	return refuse(kind, "%s", strings.TrimPrefix(err.Error(), "embed: "))
}

// targets lists the strengths tried, in dB, weakest mark first, the floor last: small steps down to the preset,
// large ones below it.
func (m *marker) targets(start, floor float64) []float64 {
	preset := m.spec.Preset.PSNRDB + startMarginDB
	var ts []float64
	for t := start; t > floor; {
		ts = append(ts, t)
		if t > preset {
			t = max(t-gentleStepDB, preset)
		} else {
			t -= stepDB
		}
	}
	return append(ts, floor)
}

// keepsDepth says whether the file that will be written can hold 16 bits.
func keepsDepth(opt raster.EncodeOptions) bool {
	return opt.Format == raster.PNG || opt.Format == raster.TIFF
}

// attempt is one turn of the loop.
type attempt struct {
	marked  image.Image
	report  embed.Report
	img     *Image // with its file; nil until it was written
	file    []byte
	views   [views]detect.Reading
	missing lack
	shortDB float64 // about how much more strength the JPEG copy needs to name the concept, 0 if that is not known
}

// lack is what an attempt did not show.
type lack struct {
	what     string // in words, "" for nothing
	work     bool   // the work is among it
	onlyCopy bool   // it is a concept of the JPEG copy, no more
	light    bool   // it is what the work gives: the JPEG copy's concept, or its delivery
}

// attempt marks at one strength and reads the picture as a stranger would read the file: in full, as a JPEG copy, as a
// thumbnail and in a piece. Where the format keeps every pixel the file need not be written for that.
func (m *marker) attempt(p *raster.Picture, host *measured, cell *mark.Cell, names mark.Names, targetDB float64) (*attempt, *refusal) {
	a := new(attempt)
	var ref *refusal
	if a.marked, a.report, ref = host.embed(cell, targetDB); ref != nil {
		return nil, ref
	}
	picture := a.marked
	if !m.spec.Format.EncodeOptions(p.Format).Exact() {
		if picture, ref = m.write(p, host, a); ref != nil {
			return nil, ref
		}
	}
	defer since(&host.times.Verify)()
	return a, m.look(a, picture, names, targetDB > m.spec.Preset.PSNRDB+startMarginDB && !host.drawn)
}

// look reads a picture in every way, and says what is missing. The JPEG copy comes first, since that is where a concept is missing
// soonest; where one lack is enough to know that more strength is needed, nothing else is read then.
func (m *marker) look(a *attempt, picture image.Image, names mark.Names, oneIsEnough bool) *refusal {
	if ref := m.view(a, asCopy, picture); ref != nil {
		return ref
	}
	a.shortDB = shortOf(&a.views[asCopy], names)
	if oneIsEnough && a.shortDB > 0 {
		a.missing = lack{what: "the concept was not named" + asCopy.in(), onlyCopy: true}
		return nil
	}
	for v := range views {
		if v == asCopy {
			continue
		}
		if ref := m.view(a, v, picture); ref != nil {
			return ref
		}
	}
	a.missing = missing(a.views, names)
	return nil
}

// shortOf estimates how many dB of strength a JPEG copy lacks that does not name a lone concept: T grows about as the
// amplitude does. 0 where the concept is named, or where not even the best guess is the concept.
func shortOf(r *detect.Reading, names mark.Names) float64 {
	if len(names.Concepts) != 1 || r.Work.P > copyMargin*r.FWER || r.Work.Number != names.Work {
		return 0
	}
	found := r.Best
	for _, f := range r.Concepts {
		if f.Number == names.Concepts[0] {
			found = f
		}
	}
	if found.Number != names.Concepts[0] || !(found.T > 0) {
		return 0
	}
	needed := math.Sqrt(2 * math.Log(found.M/(conceptMargin*r.FWER)))
	return max(0, 20*math.Log10(needed/found.T))
}

// settle writes the file of an attempt that was accepted, if it is not yet, and reads it again. If it does not hold exactly the pixels
// that were read, it is read in every way.
func (m *marker) settle(p *raster.Picture, host *measured, names mark.Names, a *attempt) *refusal {
	if a.img == nil {
		again, ref := m.write(p, host, a)
		if ref != nil {
			return ref
		}
		defer since(&host.times.Verify)()
		if !raster.SamePixels(a.marked, again) {
			if ref := m.look(a, again, names, false); ref != nil {
				return ref
			}
		}
	}
	a.img.T, a.img.CopyT = statistics(&a.views[asWritten], names), statistics(&a.views[asCopy], names)
	a.img.ThumbnailT, a.img.PieceT = statistics(&a.views[asThumbnail], names), statistics(&a.views[asPiece], names)
	return nil
}

// write writes the file of an attempt and reads it back: it fills in the file and the image with its figures but for the
// statistics, and returns the picture re-read.
func (m *marker) write(p *raster.Picture, host *measured, a *attempt) (image.Image, *refusal) {
	out := *p
	out.Image = a.marked
	var file bytes.Buffer
	encoded := since(&host.times.Encode)
	err := raster.Encode(&file, &out, m.spec.Format.EncodeOptions(p.Format))
	encoded()
	if err != nil {
		return nil, refusalOf(err)
	}
	defer since(&host.times.Verify)()
	again, err := raster.Decode(file.Bytes(), m.spec.Limits)
	if err != nil {
		return nil, refuse(Fault, "the file written cannot be read back (%v): report it with the master", err)
	}
	a.file = file.Bytes()
	a.img = &Image{Width: a.marked.Bounds().Dx(), Height: a.marked.Bounds().Dy(), SHA256: hashOf(file.Bytes()), Bytes: int64(file.Len()),
		ISCCImage: iscc.ImageCode(again.Image, iscc.DefaultBits), ISCCInstance: iscc.InstanceCodeOf(file.Bytes()),
		Extension: strings.TrimPrefix(again.Format.Extension(), "."), PSNRDB: round(signal.PSNR(host.picture, again.Image), 4), SSIM: round(signal.SSIM(host.picture, again.Image), 6),
		MarkPSNRDB: round(a.report.PSNRDB, 4), C2PA: again.HasC2PA()}
	return again.Image, nil
}

// view is one of the ways a delivered file must be readable.
type view int

const (
	asWritten   view = iota // the file itself
	asCopy                  // a JPEG copy of quality CopyQuality with halved chroma, as most programs write
	asThumbnail             // ThumbnailSide pixels
	asPiece                 // the roughest quarter of the picture, cut out
	views
)

// in says where something was missing.
func (v view) in() string {
	return [views]string{"", " in a JPEG copy", " on the thumbnail", " in a quarter of the picture"}[v]
}

// CopyQuality is the JPEG quality at which a copy must still name its concept directly.
const CopyQuality = 90

// view reads a delivered picture in one of the ways it will have to be read.
func (m *marker) view(a *attempt, v view, img image.Image) *refusal {
	picture := img
	switch v {
	case asCopy:
		var ref *refusal
		if picture, ref = m.copied(img); ref != nil {
			return ref
		}
	case asThumbnail:
		picture = thumbnail(img, ThumbnailSide)
	case asPiece:
		picture = m.roughest(img)
	}
	var err error
	if a.views[v], err = m.readers.of(img.Bounds().Dx(), img.Bounds().Dy()).Read(picture); err != nil {
		return refuse(TooSmall, "%s%s", strings.TrimPrefix(err.Error(), "detect: "), v.in())
	}
	return nil
}

// copied makes a JPEG copy as most programs would.
func (m *marker) copied(img image.Image) (image.Image, *refusal) {
	opaque, _ := flatten(img)
	opaque, _ = to8(opaque)
	var jpeg bytes.Buffer
	if err := raster.EncodeJPEG(&jpeg, opaque, CopyQuality, "4:2:0"); err != nil {
		return nil, refusalOf(err)
	}
	compressed, err := raster.Decode(jpeg.Bytes(), m.spec.Limits)
	if err != nil {
		return nil, refuse(Fault, "a JPEG copy cannot be read back (%v): report it with the master", err)
	}
	return compressed.Image, nil
}

// minPieceCells is how many cells a side a quarter must have to be read: with fewer, little of the work's mark is left.
const minPieceCells = 6

// roughest cuts out the quarter of a picture in which luma changes most, where a mark is hardest to read; pictures
// whose quarters are too small to be read are returned whole.
func (m *marker) roughest(img image.Image) image.Image {
	y := signal.Luma(img)
	w, h := y.W/2, y.H/2
	if cells := min(w, h) * m.spec.Geometry.ResolutionOf(y.W, y.H) / min(y.W, y.H); cells < minPieceCells*mark.CellSize {
		return img
	}
	var change [4]float64
	for r := 1; r < y.H; r++ {
		above, row := y.Row(r-1), y.Row(r)
		for x := 1; x < y.W; x++ {
			change[min(r/h, 1)*2+min(x/w, 1)] += math.Abs(float64(row[x]-row[x-1])) + math.Abs(float64(row[x]-above[x]))
		}
	}
	q := slices.Index(change[:], slices.Max(change[:]))
	at := img.Bounds().Min.Add(image.Pt(q%2*w, q/2*h))
	return img.(interface {
		SubImage(image.Rectangle) image.Image
	}).SubImage(image.Rectangle{Min: at, Max: at.Add(image.Pt(w, h))})
}

// By how much the bounds of what is named in copies must stay below the error rate, since other programs write JPEG
// and scale a little differently. The concept's margin is small: each tenth of T it asks for costs smooth
// pictures half a decibel.
const (
	copyMargin    = 0.1
	conceptMargin = 0.5
)

// missing says what the readings of one image lack or name wrongly, "" for nothing, and of what kind it is.
// Every view must name the work. The file must
// name the delivery and the concepts (see maxNamedAlways), its JPEG copy the delivery and a lone concept. The
// thumbnail need not: too few of the concept lattice's waves are left in 300 pixels for a codeword that has half its
// energy to be named in every picture.
func missing(rs [views]detect.Reading, names mark.Names) lack {
	var l lack
	var lacks []string
	light := 0
	need := [views]int{asWritten: maxNamedAlways, asCopy: 1}
	for i := range rs {
		r, in := &rs[i], view(i).in()
		margin := 1.0
		if view(i) != asWritten {
			margin = copyMargin
		}
		switch {
		case r.Work.P > margin*r.FWER:
			lacks, l.work = append(lacks, "the work was not found"+in), true
		case r.Work.Number != names.Work:
			lacks = append(lacks, "another work was named"+in)
		}
		named := 0
		for _, f := range r.Concepts {
			if !slices.Contains(names.Concepts, f.Number) {
				lacks = append(lacks, "a concept was named that is not there"+in)
			} else if view(i) == asWritten || f.P <= conceptMargin*r.FWER {
				named++
			}
		}
		if (view(i) == asWritten || view(i) == asCopy) && !r.DeliveryFound() {
			lacks = append(lacks, "the delivery was not found"+in)
			if view(i) == asCopy {
				light++
			}
		}
		if n := len(names.Concepts); n <= need[i] && named < n {
			l.onlyCopy = view(i) == asCopy && len(lacks) == 0
			if view(i) == asCopy {
				light++
			}
			lacks = append(lacks, fmt.Sprintf("%d of %d concepts were named%s", named, n, in))
		}
	}
	l.what = strings.Join(lacks, ", ")
	l.onlyCopy = l.onlyCopy && len(lacks) == 1
	l.light = light == len(lacks)
	return l
}

// statistics takes the figures of a reading that the manifest keeps.
func statistics(r *detect.Reading, names mark.Names) Statistics {
	s := Statistics{Delivery: round(r.Delivery.T, 3), Concepts: make([]float64, len(names.Concepts)), Pilot: round(r.Pilot, 3)}
	if r.Work.Number == names.Work {
		s.Work = round(r.Work.T, 3)
	}
	for i, n := range names.Concepts {
		for _, f := range r.Concepts {
			if f.Number == n {
				s.Concepts[i] = round(f.T, 3)
			}
		}
	}
	return s
}

// round keeps so many decimals: what is left is the same on every platform but in rare ties, and readable.
func round(x float64, decimals int) float64 {
	f := math.Pow(10, float64(decimals))
	return math.Round(x*f) / f
}
