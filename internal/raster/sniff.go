package raster

import (
	"bytes"
	"encoding/binary"
)

// Format names a picture file format this package reads, and but for AVIF writes.
type Format string

const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
	WebP Format = "webp"
	TIFF Format = "tiff"
	AVIF Format = "avif" // read only
)

// name is the format as people write it.
func (f Format) name() string {
	switch f {
	case JPEG:
		return "JPEG"
	case PNG:
		return "PNG"
	case WebP:
		return "WebP"
	case TIFF:
		return "TIFF"
	case AVIF:
		return "AVIF"
	}
	return string(f)
}

// MediaType gives the IANA media type, "image/jpeg" and so on.
func (f Format) MediaType() string { return "image/" + string(f) }

// Extension gives the usual file name ending with its dot: ".jpg", ".png", ".webp", ".tif".
func (f Format) Extension() string {
	switch f {
	case JPEG:
		return ".jpg"
	case TIFF:
		return ".tif"
	}
	return "." + string(f)
}

// Kept gives the format in which a picture of this one is written where nothing else is asked for: its own, but PNG for what
// is only read.
func (f Format) Kept() Format {
	if f == AVIF {
		return PNG
	}
	return f
}

const pngSignature = "\x89PNG\r\n\x1a\n"

// sniff recognises the format by its first bytes, never by a file name. A format it knows by name
// but does not read comes back as an *Error that says so.
func sniff(data []byte) (Format, *Error) {
	has := func(prefix string) bool { return bytes.HasPrefix(data, []byte(prefix)) }
	switch {
	case len(data) == 0:
		return "", fail(KindEmpty, "the file has no content; upload it again")
	case has("\xff\xd8\xff"):
		return JPEG, nil
	case has(pngSignature):
		return PNG, nil
	case has("RIFF") && len(data) >= 12 && string(data[8:12]) == "WEBP":
		return WebP, nil
	case has("II*\x00"), has("MM\x00*"):
		return TIFF, nil
	case isoFamily(data) == "AVIF":
		return AVIF, nil
	case has("GIF87a"), has("GIF89a"):
		return "", sniffGIF(data)
	}
	if isoFamily(data) == "HEIC" {
		return "", fail(KindUnsupported, "HEIC is not read by Filigrane; export the picture as JPEG, or as AVIF, PNG or TIFF (on an iPhone: Settings, Camera, Formats, Most Compatible)")
	}
	if name := foreignFormat(data); name != "" {
		return "", fail(KindUnsupported, "%s is not read by Filigrane; convert the picture to PNG, TIFF or JPEG first", name)
	}
	return "", fail(KindNotAnImage, "the content is no picture format known here; send JPEG, PNG, WebP, TIFF or AVIF")
}

// foreignFormat names formats that are pictures or documents but are not read here, "" if none.
func foreignFormat(data []byte) string {
	has := func(prefix string) bool { return bytes.HasPrefix(data, []byte(prefix)) }
	switch {
	case has("%PDF-"):
		return "PDF"
	case has("8BPS"):
		return "Photoshop PSD"
	case has("II+\x00"), has("MM\x00+"):
		return "BigTIFF"
	case has("\x00\x00\x00\x0cJXL \r\n\x87\n"), has("\xff\x0a"):
		return "JPEG XL"
	case has("\x00\x00\x00\x0cjP  \r\n\x87\n"), has("\xff\x4f\xff\x51"):
		return "JPEG 2000"
	case has("%!PS"), has("\xc5\xd0\xd3\xc6"):
		return "PostScript"
	case has("BM") && len(data) >= 26 && data[6] == 0 && data[7] == 0 && data[8] == 0 && data[9] == 0:
		return "BMP"
	case isoFamily(data) != "":
		return isoFamily(data)
	}
	head := bytes.TrimPrefix(data[:min(len(data), 1024)], []byte("\xef\xbb\xbf"))
	head = bytes.TrimLeft(head, " \t\r\n")
	if bytes.HasPrefix(head, []byte("<")) && bytes.Contains(head, []byte("<svg")) {
		return "SVG"
	}
	return ""
}

// isoFamily names the ISO base media formats by their brands: the major one, and for the brands AVIF and HEIC have in
// common those it says it is compatible with.
func isoFamily(data []byte) string {
	if len(data) < 16 || string(data[4:8]) != "ftyp" {
		return ""
	}
	major := string(data[8:12])
	switch major {
	case "avif", "avis":
		return "AVIF"
	case "crx ":
		return "Canon CR3 raw"
	case "heic", "heix", "hevc", "hevx", "heim", "heis":
		return "HEIC"
	case "mif1", "msf1", "miaf":
		end := min(int64(binary.BigEndian.Uint32(data)), int64(len(data)))
		for at := int64(16); at+4 <= end; at += 4 {
			if brand := string(data[at : at+4]); brand == "avif" || brand == "avis" {
				return "AVIF"
			}
		}
		return "HEIC"
	}
	return ""
}

// sniffGIF tells an animated GIF from a still one by counting image descriptors, without decoding.
func sniffGIF(data []byte) *Error {
	if gifFrames(data, 2) > 1 {
		return fail(KindAnimated, "the GIF holds several frames; export the frame to be marked as PNG")
	}
	return fail(KindUnsupported, "GIF (256 colours) is not read by Filigrane; convert the picture to PNG first")
}

// gifFrames counts the image descriptors of a GIF up to limit (GIF89a, sections 18 to 26).
func gifFrames(data []byte, limit int) int {
	if len(data) < 13 {
		return 0
	}
	pos := 13
	if data[10]&0x80 != 0 {
		pos += 3 << (data[10]&7 + 1)
	}
	frames := 0
	for pos < len(data) && frames < limit {
		switch data[pos] {
		case 0x21: // extension: label, then sub-blocks
			pos = skipSubBlocks(data, pos+2)
		case 0x2c: // image descriptor, local colour table, code size, sub-blocks
			frames++
			if pos+10 > len(data) {
				return frames
			}
			table := 0
			if data[pos+9]&0x80 != 0 {
				table = 3 << (data[pos+9]&7 + 1)
			}
			pos = skipSubBlocks(data, pos+10+table+1)
		default:
			return frames
		}
	}
	return frames
}

func skipSubBlocks(data []byte, pos int) int {
	for pos < len(data) && data[pos] != 0 {
		pos += int(data[pos]) + 1
	}
	return pos + 1
}
