package raster

import (
	"bytes"
	"encoding/binary"
	"math"
	"regexp"
)

// Metadata is what a file holds around its pixels, as found. EXIF, XMP, IPTC and ICC are the
// understood parts, for conversion to another format; Blocks is the file's own sequence, for
// writing the same format again. The orientation is set to 1 on output, not here.
type Metadata struct {
	EXIF        []byte  // TIFF structure, from "II" or "MM"; nil if none
	XMP         []byte  // main packet, UTF-8 XML
	XMPExtended []byte  // JPEG only: the extended packet put together from its segments
	IPTC        []byte  // Photoshop image resources, from "8BIM", with IPTC-IIM inside resource 0x0404
	ICC         []byte  // colour profile
	Density     Density // JFIF or pHYs
	Blocks      []Block // every block that is not pixel data, in order
}

// Block is one piece of a file that is not pixel data: a JPEG marker segment (Name "APP1", "COM"), a
// PNG chunk ("tEXt") or a WebP chunk ("EXIF"). Data is the payload without length, name or CRC.
type Block struct {
	Name        string
	Data        []byte
	AfterPixels bool // PNG: stands after the pixel data
}

// Density is the pixel density: X and Y pixels per Unit. The zero value means unknown.
type Density struct {
	X, Y uint32
	Unit DensityUnit
}

// DensityUnit is the length a Density counts over.
type DensityUnit string

const (
	PerInch    DensityUnit = "inch"
	PerCM      DensityUnit = "cm"
	PerMetre   DensityUnit = "metre"
	AspectOnly DensityUnit = "aspect" // X and Y only give the shape of a pixel
)

// turned exchanges X and Y where the orientation exchanges width and height.
func (d Density) turned(orientation int) Density {
	if orientation >= 5 {
		d.X, d.Y = d.Y, d.X
	}
	return d
}

// perMetre gives the density for PNG's pHYs: whole pixels per metre.
func (d Density) perMetre() Density {
	scale := map[DensityUnit]float64{PerInch: 1 / 0.0254, PerCM: 100}[d.Unit]
	if scale == 0 {
		return d
	}
	return Density{X: uint32(math.Round(float64(d.X) * scale)), Y: uint32(math.Round(float64(d.Y) * scale)), Unit: PerMetre}
}

// jfif gives the density for JPEG's APP0: whole pixels per inch, or per centimetre where that is
// exact and inches are not, within 16 bits.
func (d Density) jfif() Density {
	if d.Unit == PerMetre {
		inch := func(v uint32) float64 { return float64(v) * 0.0254 }
		near := func(v float64) bool { return math.Abs(v-math.Round(v)) < 0.02 }
		if !(near(inch(d.X)) && near(inch(d.Y))) && d.X%100 == 0 && d.Y%100 == 0 {
			d = Density{X: d.X / 100, Y: d.Y / 100, Unit: PerCM}
		} else {
			d = Density{X: uint32(math.Round(inch(d.X))), Y: uint32(math.Round(inch(d.Y))), Unit: PerInch}
		}
	}
	if d.X == 0 || d.Y == 0 || d.X > 65535 || d.Y > 65535 {
		return Density{}
	}
	return d
}

const tagOrientation = 0x0112

// exifByteOrder gives the byte order of a TIFF structure, nil if it is none.
func exifByteOrder(exif []byte) binary.ByteOrder {
	switch {
	case bytes.HasPrefix(exif, []byte("II*\x00")):
		return binary.LittleEndian
	case bytes.HasPrefix(exif, []byte("MM\x00*")):
		return binary.BigEndian
	}
	return nil
}

// findEntry gives the offset of the 12-byte entry of a tag in IFD0, and the byte order; -1 if the
// structure is damaged or has no such tag.
func findEntry(exif []byte, tag uint16) (int, binary.ByteOrder) {
	order := exifByteOrder(exif)
	if order == nil || len(exif) < 8 {
		return -1, nil
	}
	return findEntryIn(exif, int64(order.Uint32(exif[4:])), order, tag), order
}

// findEntryIn gives the offset of the entry of a tag in the directory at ifd, -1 if there is none.
func findEntryIn(exif []byte, ifd int64, order binary.ByteOrder, tag uint16) int {
	if ifd < 8 || ifd+2 > int64(len(exif)) {
		return -1
	}
	n := int64(order.Uint16(exif[ifd:]))
	for i := range n {
		at := ifd + 2 + 12*i
		if at+12 > int64(len(exif)) {
			return -1
		}
		if order.Uint16(exif[at:]) == tag {
			return int(at)
		}
	}
	return -1
}

// exifOrientation reads the orientation of IFD0: 1 to 8, or 1 if absent, damaged or out of range.
func exifOrientation(exif []byte) int {
	at, order := findEntry(exif, tagOrientation)
	if at < 0 {
		return 1
	}
	var v uint32
	switch order.Uint16(exif[at+2:]) {
	case 3: // SHORT, as Exif demands
		v = uint32(order.Uint16(exif[at+8:]))
	case 4: // LONG, met in the wild
		v = order.Uint32(exif[at+8:])
	}
	if v < 1 || v > 8 {
		return 1
	}
	return int(v)
}

// uprightEXIF gives exif with the orientation of IFD0 set to 1: the same slice if it is 1 or absent,
// else a copy that differs in the bytes of that one value.
func uprightEXIF(exif []byte) []byte {
	if exifOrientation(exif) == 1 {
		return exif
	}
	at, order := findEntry(exif, tagOrientation)
	out := bytes.Clone(exif)
	if order.Uint16(out[at+2:]) == 4 {
		order.PutUint32(out[at+8:], 1)
	} else {
		order.PutUint16(out[at+8:], 1)
	}
	return out
}

// xmpOrientation matches tiff:Orientation as attribute or element, up to its one digit.
var xmpOrientation = regexp.MustCompile(`tiff:Orientation(?:\s*=\s*["']|\s*>\s*)[2-8]`)

// uprightXMP gives an XMP packet with tiff:Orientation set to 1, of the same length; the same slice
// if there is nothing to change.
func uprightXMP(xmp []byte) []byte {
	found := xmpOrientation.FindAllIndex(xmp, -1)
	if found == nil {
		return xmp
	}
	out := bytes.Clone(xmp)
	for _, span := range found {
		out[span[1]-1] = '1'
	}
	return out
}

// iccSpace gives the colour space signature of a profile ("RGB ", "GRAY", ...), "" if too short (ICC.1,
// 7.2: bytes 16 to 19).
func iccSpace(icc []byte) string {
	if len(icc) < 128 {
		return ""
	}
	return string(icc[16:20])
}

// iccFits reports whether a profile may stand beside grey or colour pixels. Only a plain
// contradiction says no: a profile this package cannot read is carried as it is.
func iccFits(icc []byte, grey bool) bool {
	switch iccSpace(icc) {
	case "RGB ":
		return !grey
	case "GRAY":
		return grey
	case "CMYK":
		return false
	}
	return true
}

// rawIPTC finds the IPTC-IIM records (resource 0x0404) in Photoshop image resources: each is "8BIM",
// id, Pascal name padded to even, length, data padded to even. nil if there are none.
func rawIPTC(resources []byte) []byte {
	r := resources
	for len(r) >= 12 && string(r[:4]) == "8BIM" {
		id := binary.BigEndian.Uint16(r[4:])
		name := int(r[6]) + 1
		name += name & 1
		if 6+name+4 > len(r) {
			return nil
		}
		size := int64(binary.BigEndian.Uint32(r[6+name:]))
		body := r[6+name+4:]
		if size > int64(len(body)) {
			return nil
		}
		if id == 0x0404 {
			return body[:size]
		}
		r = body[min(size+size&1, int64(len(body))):]
	}
	return nil
}

// wrapIPTC makes Photoshop image resources of bare IPTC-IIM records.
func wrapIPTC(iim []byte) []byte {
	out := append([]byte("8BIM\x04\x04\x00\x00"), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(out[8:], uint32(len(iim)))
	out = append(out, iim...)
	if len(iim)%2 == 1 {
		out = append(out, 0)
	}
	return out
}
