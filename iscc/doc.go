// Package iscc computes the International Standard Content Code of pictures and finds near-duplicates by it.
//
// Two units of ISO 24138:2024 are here. The Image-Code is the same, or nearly, for pictures that look alike: its
// bits say which low frequencies of a 32x32 grey version are above their median. The Instance-Code is the same for
// the same bytes only: a BLAKE3 hash. A unit is written as "ISCC:", then header and bits in base32 (RFC 4648)
// without padding:
//
//	ISCC:EEA4GQZQTY6J5DTH                                            Image-Code of 64 bits
//	ISCC:IAD66JNRTSKU5FLU2L7POWZNQTYKDOYQRGQJLJ24E5DWM7MPWYAPH7Q     Instance-Code of 256 bits
//
// The header is four numbers of 4 bits: main type (2 content, 4 instance), subtype (1 image, 0 none), version (0),
// and length in units of 32 bits, less one.
//
// Where the standard leaves a choice we do as the reference implementation (iscc-core, and iscc-sdk from 0.8.2 on
// for what is done to a picture first), so that codes can be compared with other people's bit by bit. One thing
// remains: two decoders of the same JPEG may differ by a step in some samples, which turns bits that lie at the
// median: 2 of 64 in 4 of 54 photographs, against libjpeg.
//
// The package is pure.
package iscc
