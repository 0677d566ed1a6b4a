package main

import (
	"cmp"
	"fmt"
	"image"
	"math"
	"slices"

	"github.com/filigrane/filigrane/internal/raster"
	"github.com/filigrane/filigrane/iscc"
)

// nearDuplicate is a delivered work that a picture looks like. It says that the picture may be a copy of that
// work's file, whatever mark it carries: a mark that names another work was put there.
type nearDuplicate struct {
	Number   int    `json:"number"`
	ID       string `json:"id,omitempty"`
	Path     string `json:"path,omitempty"`
	Distance int    `json:"distance"`            // in bits of 64, between Image-Codes
	Flipped  bool   `json:"flipped,omitempty"`   // the mirrored picture is nearer,
	Turned   int    `json:"turned,omitempty"`    // or the one turned back by so many degrees, counter-clockwise
	SameFile bool   `json:"same_file,omitempty"` // the bytes are those delivered
	Delivery string `json:"dir,omitempty"`       // folder of the delivery
}

// mostNear is how many near-duplicates are told: more are no longer looked at one by one.
const mostNear = 5

// near finds the delivered works that a picture looks like, nearest first, mostNear at most. data is the picture's
// file; nil if there is none. It finds copies that were recompressed, reduced, blurred, mirrored or turned by quarters, but not
// cuttings, and works only whose manifest has codes. See iscc.MaxDistance for how often chance finds one.
func (sc *scope) near(looks []look, data []byte) []nearDuplicate {
	if sc.names.codes == nil {
		return nil
	}
	nearest := map[int]nearDuplicate{}
	for _, l := range looks {
		for _, m := range sc.names.codes.Near(l.code, iscc.MaxDistance) {
			if before, ok := nearest[m.ID]; !ok || m.Distance < before.Distance {
				w := sc.names.work(m.ID)
				nearest[m.ID] = nearDuplicate{Number: m.ID, ID: w.id, Path: w.path, Distance: m.Distance, Flipped: l.flipped, Turned: 90 * l.turns}
			}
		}
	}
	if data != nil {
		instance := iscc.InstanceCodeOf(data)
		for n, d := range nearest { // the same bytes have the same pixels
			d.SameFile = sc.names.work(n).instance == instance
			nearest[n] = d
		}
	}
	found := make([]nearDuplicate, 0, len(nearest))
	for _, d := range nearest {
		found = append(found, d)
	}
	slices.SortFunc(found, func(a, b nearDuplicate) int {
		switch {
		case a.SameFile != b.SameFile && a.SameFile:
			return -1
		case a.SameFile != b.SameFile:
			return 1
		}
		return cmp.Or(cmp.Compare(a.Distance, b.Distance), cmp.Compare(a.Number, b.Number))
	})
	return found[:min(len(found), mostNear)]
}

// distanceTo tells how unlike a picture is to one work as it was delivered, in bits of 64, and whether that is known. Up
// to iscc.MaxDistance they look alike; cuttings and strangers are both around 30.
func (sc *scope) distanceTo(number int, looks []look) (distance int, ok bool) {
	w := sc.names.work(number)
	if w.image.IsZero() {
		return 0, false
	}
	distance = iscc.DefaultBits
	for _, l := range looks {
		distance = min(distance, iscc.Distance(l.code, w.image))
	}
	return distance, true
}

// look is one way to look at a picture.
type look struct {
	code    iscc.Code
	flipped bool
	turns   int // quarters counter-clockwise, after the flip
}

// looksOf gives the codes of a picture and of its mirror image, each in four turns; and all without cutting its even border off, if it has
// one: a mark makes borders uneven, so that the work's was not cut off. The other way round, a copy whose border
// compression made uneven, of a work whose border is even, is not found.
func looksOf(img image.Image) []look {
	var looks []look
	add := func(p iscc.Pixels) {
		for _, flipped := range []bool{false, true} {
			q := p
			if flipped {
				q = p.Mirrored()
			}
			for turns := range 4 {
				looks = append(looks, look{iscc.ImageCodeOf(q, iscc.DefaultBits), flipped, turns})
				q = q.Turned()
			}
		}
	}
	add(iscc.Normalise(img))
	if iscc.Bordered(img) {
		add(iscc.Uncut(img))
	}
	return looks
}

// strangers is the distance, in bits of 64, from which an uncut picture and a work are not one picture: heavy edits stay at 12
// and below, pictures of different sources begin at 16 (docs/measured.md).
const strangers = 16

// look compares a picture with the works as they were delivered: those it looks like, and the one its mark names.
func (d *detector) look(a *detection, img image.Image, data []byte) {
	if !slices.ContainsFunc(d.scopes, func(sc *scope) bool { return sc.names.codes != nil }) {
		return // nothing to compare with
	}
	looks := looksOf(img)
	for _, sc := range d.scopes {
		for _, n := range sc.near(looks, data) {
			n.Delivery = sc.Dir
			a.Near = append(a.Near, n)
		}
	}
	if a.Work == nil || a.Piece != nil || !whole(a.Alignment, a.scope, a.Work.Number, img.Bounds()) {
		return // of a cutting nothing can be said
	}
	if bits, ok := a.scope.distanceTo(a.Work.Number, looks); ok && bits >= strangers {
		a.Contradiction = fmt.Sprintf("the mark names work %s, but the picture does not look like it: %d of 64 bits of their ISCC Image-Codes differ; the mark was copied from that work's file onto another picture, or the picture was changed beyond recognition",
			numbered(a.Work.Number, a.Work.ID), bits)
	}
}

// whole says whether an alignment is that of the file of a work as it was delivered, resized or turned by quarters, not cut. It is
// not known where the manifest does not say how large the file was.
func whole(a *alignment, sc *scope, number int, b image.Rectangle) bool {
	const near = 0.01
	w := sc.names.work(number)
	if a == nil || w.width == 0 || w.height == 0 {
		return false
	}
	width, height := float64(b.Dx()), float64(b.Dy())
	if a.Turns%2 == 1 {
		width, height = height, width
	}
	scale := min(width, height) / float64(sc.resolution(image.Rect(0, 0, int(width), int(height))))
	return math.Abs(width/height/(float64(w.width)/float64(w.height))-1) < near &&
		math.Abs(a.Scale/scale-1) < near && math.Abs(a.Aspect-1) < near && math.Abs(a.Rotation) < 0.5 &&
		math.Abs(a.ShiftX) < 0.05 && math.Abs(a.ShiftY) < 0.05
}

// isccCmd is "filigrane iscc".
type isccCmd struct {
	Files []string `arg:"" name:"file" help:"Pictures, folders or patterns; '-' is standard input."`
	Bits  int      `default:"64" placeholder:"N" help:"Length of the Image-Code: a multiple of 32, 32 to 256. Manifests have 64."`
}

// Help explains the codes.
func (isccCmd) Help() string {
	return `Prints one JSON line per picture with two units of its International Standard Content Code (ISO 24138).

iscc_image is nearly the same for pictures that look alike: up to 6 of 64 bits differ after recompression, scaling or blur, some 30 between strangers and after cutting. iscc_instance is the same for the same bytes only.

Exit code 0: all pictures were read. 2: an input could not be read; the others were.

Example: filigrane iscc suspects/
Example: filigrane iscc --bits 256 picture.jpg`
}

// isccJSON is the answer for one picture.
type isccJSON struct {
	File     string     `json:"file"`
	Error    *errorJSON `json:"error,omitempty"`
	Skipped  *errorJSON `json:"skipped,omitempty"` // found in a folder and no picture
	Width    int        `json:"width,omitempty"`
	Height   int        `json:"height,omitempty"`
	Image    iscc.Code  `json:"iscc_image,omitzero"`
	Instance iscc.Code  `json:"iscc_instance,omitzero"`
}

// Run prints the codes of every input.
func (c *isccCmd) Run(s *session) error {
	if c.Bits < iscc.MinBits || c.Bits > iscc.MaxBits || c.Bits%iscc.MinBits != 0 {
		return badInput("--bits %d: a multiple of %d, %d to %d", c.Bits, iscc.MinBits, iscc.MinBits, iscc.MaxBits)
	}
	all, err := inputs(c.Files)
	if err != nil {
		return err
	}
	failed, read := false, false
	for _, in := range all {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		a := c.one(s, in)
		if a.Error != nil {
			failed = true
			s.note("%s: %s", a.File, a.Error.Detail)
		}
		read = read || !a.Image.IsZero()
		if err := s.emit(a); err != nil {
			return err
		}
	}
	switch {
	case failed:
		return errTold
	case !read:
		return badInput("none of the files is a picture")
	}
	return nil
}

// one computes the codes of one picture.
func (c *isccCmd) one(s *session, in input) isccJSON {
	a := isccJSON{File: in.path}
	data, err := s.read(in)
	var p *raster.Picture
	if err == nil {
		p, err = raster.Decode(data, raster.DefaultLimits())
	}
	switch {
	case err == nil:
		b := p.Image.Bounds()
		a.Width, a.Height = b.Dx(), b.Dy()
		a.Image, a.Instance = iscc.ImageCode(p.Image, c.Bits), iscc.InstanceCodeOf(data)
	case otherFile(in, err):
		a.Skipped = errorOf(err)
	default:
		a.Error = errorOf(err)
	}
	return a
}
