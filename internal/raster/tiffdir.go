package raster

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// Tags that point to further directories, and the one whose value may count from the start of the file.
const (
	tiffOrientation = 274
	tiffXRes        = 282
	tiffYRes        = 283
	tiffResUnit     = 296
	tiffExif        = 34665
	tiffGPS         = 34853
	exifMakerNote   = 37500
	exifInterop     = 40965
)

// tiffTypes gives name and size in bytes of the value types, by number (TIFF 6.0 and its supplement 1).
var tiffTypes = [...]struct {
	name string
	size int64
}{
	1: {"BYTE", 1}, 2: {"ASCII", 1}, 3: {"SHORT", 2}, 4: {"LONG", 4}, 5: {"RATIONAL", 8}, 6: {"SBYTE", 1}, 7: {"UNDEFINED", 1},
	8: {"SSHORT", 2}, 9: {"SLONG", 4}, 10: {"SRATIONAL", 8}, 11: {"FLOAT", 4}, 12: {"DOUBLE", 8}, 13: {"IFD", 4},
}

// tiffEntry is one entry of a directory with its value in the file's byte order.
type tiffEntry struct {
	tag, typ uint16
	value    []byte // a whole number of items of the type
	at       int64  // where the value stood in the file
	entry    int64  // where the entry stood
	fixed    bool   // value holds the four bytes of the entry as they are; count is then kept
	count    uint32 // only with fixed
}

// tiffEntries reads the directory at ifd. Entries of unknown type, without a value, beyond the file
// or met before are left out; so is what would make the values together longer than the file, which only a
// file made to exhaust memory does.
func tiffEntries(data []byte, ifd int64, order binary.ByteOrder) []tiffEntry {
	if ifd < 8 || ifd+2 > int64(len(data)) {
		return nil
	}
	var out []tiffEntry
	var seen [1 << 16]bool
	var total int64
	for i := range int64(order.Uint16(data[ifd:])) {
		at := ifd + 2 + 12*i
		if at+12 > int64(len(data)) {
			break
		}
		raw := data[at : at+12]
		e := tiffEntry{tag: order.Uint16(raw), typ: order.Uint16(raw[2:]), at: at + 8, entry: at}
		if int(e.typ) >= len(tiffTypes) || tiffTypes[e.typ].size == 0 {
			continue
		}
		n := int64(order.Uint32(raw[4:])) * tiffTypes[e.typ].size
		if n > 4 {
			e.at = int64(order.Uint32(raw[8:]))
		}
		if total += n; n == 0 || e.at+n > int64(len(data)) || seen[e.tag] || total > int64(len(data)) {
			continue
		}
		seen[e.tag] = true
		e.value = data[e.at : e.at+n]
		out = append(out, e)
	}
	return out
}

// appendDirectory appends the values that do not fit their entries, then the directory itself, sorted by tag
// and with no successor. It gives the new file and where the directory begins. base, an even number, is the place of out in the file: every offset counts
// from there.
func appendDirectory(out []byte, base int64, order binary.ByteOrder, entries []tiffEntry) ([]byte, uint32) {
	slices.SortStableFunc(entries, func(a, b tiffEntry) int { return cmp.Compare(a.tag, b.tag) })
	var dir []byte
	number := func(width int, v uint32) {
		dir = append(dir, make([]byte, width)...)
		if at := dir[len(dir)-width:]; width == 2 {
			order.PutUint16(at, uint16(v))
		} else {
			order.PutUint32(at, v)
		}
	}
	number(2, uint32(len(entries)))
	for _, e := range entries {
		number(2, uint32(e.tag))
		number(2, uint32(e.typ))
		count := e.count
		if !e.fixed {
			count = uint32(int64(len(e.value)) / tiffTypes[e.typ].size)
		}
		number(4, count)
		if len(e.value) <= 4 {
			dir = append(append(dir, e.value...), make([]byte, 4-len(e.value))...)
			continue
		}
		out = evened(out)
		number(4, uint32(base+int64(len(out))))
		out = append(out, e.value...)
	}
	number(4, 0)
	out = evened(out)
	return append(out, dir...), uint32(base + int64(len(out)))
}

// evened pads to an even length: directories and values begin on words.
func evened(out []byte) []byte {
	if len(out)%2 == 1 {
		out = append(out, 0)
	}
	return out
}

// tiffNumbers gives an entry of SHORT (typ 3) or LONG (typ 4) values.
func tiffNumbers(order binary.ByteOrder, tag, typ uint16, values ...int) tiffEntry {
	e := tiffEntry{tag: tag, typ: typ}
	for _, v := range values {
		var b [4]byte
		if typ == 3 {
			order.PutUint16(b[:], uint16(v))
			e.value = append(e.value, b[:2]...)
		} else {
			order.PutUint32(b[:], uint32(v))
			e.value = append(e.value, b[:]...)
		}
	}
	return e
}

// tiffStorage reports tags that describe how the old pixels were stored, or hold other pixels: reduced
// copies, pages, Photoshop's layers, a raw converter's settings. They do not survive a change of the pixels.
func tiffStorage(tag uint16) bool {
	switch {
	case tag >= 254 && tag <= 259, tag == 262, tag >= 263 && tag <= 266, tag == 273, tag >= 277 && tag <= 281,
		tag == 284, tag >= 288 && tag <= 293, tag == 301, tag == 317, tag >= 320 && tag <= 328, tag == 330,
		tag == 332, tag == 334, tag >= 336 && tag <= 347, tag >= 512 && tag <= 521, tag >= 529 && tag <= 532:
		return true
	case tag == 37724: // ImageSourceData, Photoshop's layers
		return true
	case tag >= 50706 && tag <= 52600: // DNG
		return true
	}
	return false
}

// exifIFD0 reports the tags that Exif 2.32 (4.6.4) and Windows put beside the Exif directory.
func exifIFD0(tag uint16) bool {
	switch tag {
	case 269, 270, 271, 272, tiffOrientation, tiffXRes, tiffYRes, tiffResUnit, 305, 306, 315, 316, 318, 319, 18246, 18249, 33432,
		40091, 40092, 40093, 40094, 40095:
		return true
	}
	return false
}

// longestEXIFValue bounds what of a TIFF's own tags goes into the EXIF block of another format; some
// instruments keep whole documents in ImageDescription.
const longestEXIFValue = 16 << 10

// splitTIFF gives a TIFF's metadata: an EXIF block of its own with the descriptive tags, Exif, GPS and
// interoperability directories, in the file's byte order, nil if there are none; and every other tag that
// does not describe stored pixels, as blocks named like "33550 DOUBLE".
func splitTIFF(data []byte, ifd int64, order binary.ByteOrder) (exif []byte, others []Block) {
	var ifd0 []tiffEntry
	for _, e := range tiffEntries(data, ifd, order) {
		switch {
		case tiffStorage(e.tag) || e.typ == 13 && e.tag != tiffExif && e.tag != tiffGPS:
		case e.tag == tiffExif || e.tag == tiffGPS || exifIFD0(e.tag) && len(e.value) <= longestEXIFValue:
			ifd0 = append(ifd0, e)
		default:
			others = append(others, Block{Name: blockName(e), Data: e.value})
		}
	}
	if len(ifd0) == 0 {
		return nil, others
	}
	out := tiffHead(order)
	child := func(e tiffEntry, entries []tiffEntry) (tiffEntry, bool) {
		if len(entries) == 0 {
			return tiffEntry{}, false
		}
		var at uint32
		out, at = appendDirectory(out, 0, order, entries)
		return tiffNumbers(order, e.tag, 4, int(at)), true
	}
	var top []tiffEntry
	for _, e := range ifd0 {
		if e.tag == tiffExif {
			var sub []tiffEntry
			out, sub = placedMakerNote(out, order, tiffEntries(data, pointer(e, order), order))
			sub = withChildren(sub, exifInterop, func(i tiffEntry) (tiffEntry, bool) {
				return child(i, tiffEntries(data, pointer(i, order), order))
			})
			if made, ok := child(e, sub); ok {
				top = append(top, made)
			}
		} else if e.tag == tiffGPS {
			if made, ok := child(e, tiffEntries(data, pointer(e, order), order)); ok {
				top = append(top, made)
			}
		} else {
			top = append(top, e)
		}
	}
	if len(top) == 0 {
		return nil, others
	}
	out, at := appendDirectory(out, 0, order, top)
	order.PutUint32(out[4:], at)
	return out, others
}

// withChildren replaces the entry of one tag by what place makes of it, or leaves it out.
func withChildren(entries []tiffEntry, tag uint16, place func(tiffEntry) (tiffEntry, bool)) (out []tiffEntry) {
	for _, e := range entries {
		if e.tag == tag {
			made, ok := place(e)
			if !ok {
				continue
			}
			e = made
		}
		out = append(out, e)
	}
	return out
}

// pointer gives the offset a directory entry points to.
func pointer(e tiffEntry, order binary.ByteOrder) int64 {
	if len(e.value) != 4 {
		return 0
	}
	return int64(order.Uint32(e.value))
}

// placedMakerNote puts a maker note at the offset where it stood, if that is within reach: most makers count
// offsets inside it from the start of the file. Elsewhere it moves with the other values.
func placedMakerNote(out []byte, order binary.ByteOrder, entries []tiffEntry) ([]byte, []tiffEntry) {
	const reach = 32 << 10
	for i, e := range entries {
		if e.tag == exifMakerNote && len(e.value) > 4 && e.at >= int64(len(out)) && e.at <= reach {
			out = append(append(out, make([]byte, e.at-int64(len(out)))...), e.value...)
			entries[i].count = uint32(int64(len(e.value)) / tiffTypes[e.typ].size)
			entries[i].fixed = true
			entries[i].value = tiffNumbers(order, 0, 4, int(e.at)).value
		}
	}
	return out, entries
}

// tiffDensity reads the resolution of IFD0. Whole numbers keep their unit; others become pixels per metre.
func tiffDensity(data []byte, ifd int64, order binary.ByteOrder) Density {
	var axis [2]float64
	unit := PerInch // TIFF 6.0's default
	for _, e := range tiffEntries(data, ifd, order) {
		switch {
		case (e.tag == tiffXRes || e.tag == tiffYRes) && e.typ == 5 && len(e.value) == 8:
			axis[e.tag-tiffXRes] = float64(order.Uint32(e.value)) / float64(order.Uint32(e.value[4:]))
		case e.tag == tiffResUnit && e.typ == 3 && len(e.value) == 2:
			unit = map[uint16]DensityUnit{1: AspectOnly, 2: PerInch, 3: PerCM}[order.Uint16(e.value)]
		}
	}
	fits := func(v float64) bool { return v >= 1 && v <= 1<<24 }
	if unit == "" || !fits(axis[0]) || !fits(axis[1]) {
		return Density{}
	}
	if scale := map[DensityUnit]float64{PerInch: 1 / 0.0254, PerCM: 100}[unit]; scale != 0 &&
		(axis[0] != math.Floor(axis[0]) || axis[1] != math.Floor(axis[1])) {
		axis[0], axis[1], unit = axis[0]*scale, axis[1]*scale, PerMetre
	}
	return Density{X: uint32(math.Round(axis[0])), Y: uint32(math.Round(axis[1])), Unit: unit}
}

// densityEntries gives the three entries of a density, none if it is unknown.
func densityEntries(order binary.ByteOrder, d Density) []tiffEntry {
	unit := map[DensityUnit]int{AspectOnly: 1, PerInch: 2, PerCM: 3, PerMetre: 3}[d.Unit]
	if unit == 0 || d.X == 0 || d.Y == 0 {
		return nil
	}
	over := 1
	if d.Unit == PerMetre {
		over = 100
	}
	ratio := func(tag uint16, v uint32) tiffEntry {
		e := tiffNumbers(order, tag, 4, int(v), over)
		e.typ = 5
		return e
	}
	return []tiffEntry{ratio(tiffXRes, d.X), ratio(tiffYRes, d.Y), tiffNumbers(order, tiffResUnit, 3, unit)}
}
