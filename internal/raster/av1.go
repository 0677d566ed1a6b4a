package raster

import "image"

// checkCoded holds the sizes that the coded pictures themselves declare against the limits, before one is decoded: the
// container's sizes may be made up, and a decoder scales to them afterwards.
func (m *avifMeta) checkCoded(data []byte, lim Limits) *Error {
	coded := 0
	for _, item := range m.items {
		if item.kind != "av01" {
			continue
		}
		coded++
		size, ok := av1Size(m.bytes(data, item))
		if !ok {
			return fail(KindCorrupt, "a damaged picture in the AVIF; save it anew")
		}
		if e := lim.checkSize(size.X, size.Y); e != nil {
			return e
		}
		if float64(size.X)*float64(size.Y) > codedSlack*float64(m.size.X)*float64(m.size.Y) {
			return fail(KindCorrupt, "the AVIF's header claims %v pixels and its data hold %v; save it anew", m.size, size)
		}
	}
	if coded > maxCoded {
		return fail(KindTooLarge, "an AVIF put together from %d pictures; export it as one", coded)
	}
	return nil
}

const (
	codedSlack = 4   // a tile may reach beyond the picture, to the right and below
	maxCoded   = 512 // pictures in a file: tiles, and their transparency
)

// av1Size reads the largest width and height from the sequence headers among the open bitstream units of a still picture (AV1
// Bitstream and Decoding Process Specification, 5.3 to 5.5). There is one, or the picture is damaged.
func av1Size(data []byte) (largest image.Point, ok bool) {
	const sequenceHeader = 1
	for len(data) > 0 {
		head := data[0]
		data = data[1:]
		if head&4 != 0 { // extension
			data = data[min(1, len(data)):]
		}
		size := len(data)
		if head&2 != 0 {
			n, used := leb128(data)
			if used == 0 || n > uint64(len(data)-used) {
				return image.Point{}, false
			}
			size, data = int(n), data[used:]
		}
		if head>>3&15 == sequenceHeader {
			r := bitReader{b: data[:size]}
			s, whole := r.sequenceSize()
			if !whole {
				return image.Point{}, false
			}
			largest, ok = image.Pt(max(largest.X, s.X), max(largest.Y, s.Y)), true
		}
		data = data[size:]
	}
	return largest, ok
}

// leb128 reads a number of up to eight bytes and says how many it took, 0 for a damaged one.
func leb128(data []byte) (n uint64, used int) {
	for i := 0; i < min(8, len(data)); i++ {
		n |= uint64(data[i]&127) << (7 * i)
		if data[i] < 128 {
			return n, i + 1
		}
	}
	return 0, 0
}

// bitReader reads bits, most significant first; beyond its end it gives zeros and sets short.
type bitReader struct {
	b     []byte
	at    int
	short bool
}

func (r *bitReader) bits(n int) (v uint64) {
	for range n {
		v <<= 1
		if r.at>>3 >= len(r.b) {
			r.short = true
		} else {
			v |= uint64(r.b[r.at>>3] >> (7 - r.at&7) & 1)
		}
		r.at++
	}
	return v
}

// sequenceSize reads a sequence header up to max_frame_width_minus_1 and max_frame_height_minus_1.
func (r *bitReader) sequenceSize() (image.Point, bool) {
	r.bits(3 + 1) // profile, still picture
	if r.bits(1) == 1 {
		r.bits(5) // level of a reduced header
	} else {
		r.operatingPoints()
	}
	wide, high := int(r.bits(4))+1, int(r.bits(4))+1
	size := image.Pt(int(r.bits(wide))+1, int(r.bits(high))+1)
	return size, !r.short
}

// operatingPoints passes over timing, decoder model and operating points.
func (r *bitReader) operatingPoints() {
	delayBits, model := 0, false
	if r.bits(1) == 1 { // timing
		r.bits(32 + 32)
		if r.bits(1) == 1 { // equal intervals: a number in Golomb's code
			zeros := 0
			for r.bits(1) == 0 && !r.short {
				zeros++
			}
			if zeros < 32 {
				r.bits(zeros)
			}
		}
		if model = r.bits(1) == 1; model {
			delayBits = int(r.bits(5)) + 1
			r.bits(32 + 5 + 5)
		}
	}
	display := r.bits(1) == 1
	for range r.bits(5) + 1 {
		r.bits(12)
		if r.bits(5) > 7 {
			r.bits(1) // tier
		}
		if model && r.bits(1) == 1 {
			r.bits(2*delayBits + 1)
		}
		if display && r.bits(1) == 1 {
			r.bits(4)
		}
	}
}
