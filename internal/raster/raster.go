package raster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
)

// Picture is a decoded file: upright pixels plus everything around them that must survive.
//
// A caller that changes the pixels sets Image to a new picture of one of the four types and hands
// the same Picture to [Encode]; the rest is then carried.
type Picture struct {
	Image       image.Image // *image.NRGBA, *image.NRGBA64, *image.Gray or *image.Gray16; see the package comment
	Format      Format      // what the file was
	Orientation int         // EXIF orientation found in the file, 1 to 8; the pixels are already upright
	JPEG        *JPEGInfo   // nil for other formats
	Meta        Metadata    // blocks as found in the file

	ihdr  [2]byte          // PNG source: bit depth and colour type
	quant []*[64]int       // JPEG source: quantisation table of each component, zig-zag order; nil if unusable
	vp8   int              // lossy WebP source: its quality, estimated; else 0
	tags  *Tags            // TIFF source: read while the file was at hand
	order binary.ByteOrder // TIFF source: of its numbers
}

// JPEGInfo says how a JPEG file was made.
type JPEGInfo struct {
	Quality     int    // 1 to 100, IJG scale, nearest to the quantisation tables; see [EstimateQuality]
	Subsampling string // "4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "4:1:0" or "grey"
	Progressive bool
}

// Limits bounds what Decode accepts. A zero field means the default of that field.
type Limits struct {
	MaxBytes  int64 // length of the file
	MaxPixels int64 // width times height
	MaxSide   int   // width and height each
}

// DefaultLimits gives 512 MiB, 250 megapixels and 32768 pixels a side. A progressive JPEG at
// the limit of pixels takes up to 15 bytes a pixel while it is decoded, 3.8 GB; a service sets
// MaxPixels to what its memory allows.
func DefaultLimits() Limits {
	return Limits{MaxBytes: 512 << 20, MaxPixels: 250_000_000, MaxSide: 32768}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	if l.MaxBytes <= 0 {
		l.MaxBytes = d.MaxBytes
	}
	if l.MaxPixels <= 0 {
		l.MaxPixels = d.MaxPixels
	}
	if l.MaxSide <= 0 {
		l.MaxSide = d.MaxSide
	}
	return l
}

// checkBytes refuses a file of n bytes beyond the limit.
func (l Limits) checkBytes(n int64) *Error {
	if n > l.MaxBytes {
		return fail(KindTooLarge, "the file has %d bytes, the limit is %d; send a smaller file or raise the limit", n, l.MaxBytes)
	}
	return nil
}

// checkSize refuses a claimed size of w x h beyond the limits.
func (l Limits) checkSize(w, h int) *Error {
	switch {
	case w <= 0 || h <= 0:
		return fail(KindZeroSize, "the header claims %d x %d pixels; the file holds no picture, export it again", w, h)
	case w > l.MaxSide || h > l.MaxSide:
		return fail(KindTooLarge, "the header claims %d x %d pixels, the limit is %d a side; reduce the picture or raise the limit", w, h, l.MaxSide)
	case int64(w) > l.MaxPixels/int64(h):
		return fail(KindTooLarge, "the header claims %d x %d pixels, the limit is %d pixels; reduce the picture or raise the limit", w, h, l.MaxPixels)
	}
	return nil
}

// Decode reads a whole JPEG, PNG, WebP, TIFF or AVIF file held in data. The Picture's metadata blocks alias
// data; its pixels do not. Every error is an [*Error].
func Decode(data []byte, lim Limits) (*Picture, error) {
	p, e := decode(data, lim.withDefaults())
	if e != nil {
		return nil, e
	}
	return p, nil
}

func decode(data []byte, lim Limits) (*Picture, *Error) {
	if e := lim.checkBytes(int64(len(data))); e != nil {
		return nil, e
	}
	format, e := sniff(data)
	if e != nil {
		return nil, e
	}
	read := map[Format]func([]byte, Limits) (*Picture, error){
		JPEG: decodeJPEG, PNG: decodePNG, WebP: decodeWebP, TIFF: decodeTIFF, AVIF: decodeAVIF,
	}[format]
	var p *Picture
	err := guarded(format, func() (err error) {
		p, err = read(data, lim)
		return err
	})
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			return nil, e
		}
		return nil, failFrom(format, err, false)
	}
	p.Format = format
	p.Image = upright(p.Image, p.Orientation)
	return p, nil
}

// DecodeFile reads the picture file at path. The size of the file is checked before it is read. A
// missing or unreadable file gives kind "unreadable", with the cause for errors.Is.
func DecodeFile(path string, lim Limits) (*Picture, error) {
	lim = lim.withDefaults()
	data, e := readFile(path, lim)
	if e != nil {
		e.Path = path
		return nil, e
	}
	p, e := decode(data, lim)
	if e != nil {
		e.Path = path
		return nil, e
	}
	return p, nil
}

func readFile(path string, lim Limits) ([]byte, *Error) {
	unreadable := func(err error) *Error {
		what := "cannot be read; check its permissions and the disk"
		if errors.Is(err, fs.ErrNotExist) {
			what = "does not exist; check the path"
		}
		return &Error{Kind: KindUnreadable, Detail: "the file " + what, Err: err}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fail(KindUnreadable, "not an ordinary file (%s); name a picture file", info.Mode().Type())
	}
	if e := lim.checkBytes(info.Size()); e != nil {
		return nil, e
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(err)
	}
	defer f.Close()
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, unreadable(fmt.Errorf("read: %w", err))
	}
	return data, nil
}

// EncodeOptions says how to write a picture. The zero value writes the source's format, at the
// source's quality and subsampling, with its metadata.
type EncodeOptions struct {
	Format Format // "" = as the source

	// Quality is 1 to 100. JPEG: 0 means the source's own quantisation tables, or 95 if the source was no
	// JPEG; any other value means the tables of T.81, annex K, scaled to it. WebP: 0 means the estimated quality of a lossy
	// WebP source, and lossless for all others. PNG and TIFF are lossless and ignore it.
	Quality int

	// Lossless makes WebP lossless whatever Quality says. Other formats ignore it.
	Lossless bool

	// Subsampling of JPEG chroma: "4:4:4", "4:2:2", "4:2:0" or "4:4:0". "" means the source's, or
	// 4:4:4 if the source was no JPEG; 4:1:1 and 4:1:0 sources are written as 4:2:0.
	Subsampling string

	// StripMetadata writes pixels only: no EXIF, XMP, IPTC, ICC, comments or density.
	StripMetadata bool

	// Fast trades size for time: PNG by png.BestSpeed, some 20 % larger in 40 % of the time, and lossy
	// WebP. Other outputs ignore it.
	Fast bool
}

// Exact says whether every pixel comes back as it was written: the formats that lose nothing. Those that choose for
// themselves (a zero Format, WebP without Lossless) are not exact.
func (o EncodeOptions) Exact() bool {
	return o.Format == PNG || o.Format == TIFF || o.Format == WebP && o.Lossless
}

// SamePixels says whether two pictures of package raster's types have the same type, size and pixels.
func SamePixels(a, b image.Image) bool {
	if a.Bounds().Size() != b.Bounds().Size() {
		return false
	}
	rows := func(img image.Image) (pix []uint8, stride, row int) {
		w := img.Bounds().Dx()
		switch m := img.(type) {
		case *image.NRGBA:
			return m.Pix, m.Stride, 4 * w
		case *image.NRGBA64:
			return m.Pix, m.Stride, 8 * w
		case *image.Gray:
			return m.Pix, m.Stride, w
		case *image.Gray16:
			return m.Pix, m.Stride, 2 * w
		}
		return nil, 0, 0
	}
	pa, sa, wa := rows(a)
	pb, sb, wb := rows(b)
	if wa == 0 || wa != wb || fmt.Sprintf("%T", a) != fmt.Sprintf("%T", b) {
		return false
	}
	for y := range a.Bounds().Dy() {
		if !bytes.Equal(pa[y*sa:][:wa], pb[y*sb:][:wb]) {
			return false
		}
	}
	return true
}

// Encode writes p to w. The pixels are p.Image, which need not be those that were decoded; any other
// image type than the four is converted first; of those only image.RGBA64 keeps its 16 bits.
//
// Refused with kind "unsupported": transparency into JPEG, which has none; 16 bits into lossless
// WebP, which has 8; a side beyond the format's own limit (65535 for JPEG, 16383 for WebP); an EXIF
// or XMP block of more than 64 KiB into JPEG. 16 bits into JPEG or lossy WebP are rounded to 8.
func Encode(w io.Writer, p *Picture, opt EncodeOptions) error {
	if opt.Format == "" {
		opt.Format = p.Format
	}
	if p.Image == nil || p.Image.Bounds().Empty() {
		return fail(KindZeroSize, "the picture has no pixels to write")
	}
	if opt.Quality < 0 || opt.Quality > 100 {
		return fail(KindUnsupported, "quality %d; choose 1 to 100, or 0 for the default", opt.Quality)
	}
	img := canonical(p.Image)
	var err error
	switch opt.Format {
	case JPEG:
		err = encodeJPEGPicture(w, p, img, opt)
	case PNG:
		err = encodePNG(w, p, img, opt)
	case WebP:
		err = encodeWebP(w, p, img, opt)
	case TIFF:
		err = encodeTIFF(w, p, img, opt)
	case AVIF:
		err = fail(KindUnsupported, "AVIF is read here, not written; choose jpeg, png, webp or tiff")
	default:
		err = fail(KindUnsupported, "cannot write format %q; choose jpeg, png, webp or tiff", opt.Format)
	}
	return asError(err)
}

// asError keeps an *Error and wraps anything else, which can only come from the writer.
func asError(err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: KindUnreadable, Detail: "the picture could not be written; check the disk or the connection", Err: err}
}
