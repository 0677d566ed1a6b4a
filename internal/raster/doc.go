// Package raster is the edge where picture files become pixels and pixels become files again. It
// keeps what other decoders lose on the way: bit depth, transparency, the upright reading of the
// EXIF orientation, and every block of metadata that is not about the old pixels.
//
// # Pixels
//
// [Decode] gives one of four image types, always with bounds starting at (0,0) and a stride without
// padding:
//
//	*image.Gray     grey, 8 bits              1 byte a pixel
//	*image.Gray16   grey, 16 bits             2 bytes, big endian
//	*image.NRGBA    colour, 8 bits            4 bytes R G B A, alpha not premultiplied
//	*image.NRGBA64  colour, 16 bits           8 bytes, big endian, alpha not premultiplied
//
// Palettes, grey with alpha and RGB without alpha become NRGBA; an opaque picture has alpha 255
// everywhere. Colour profiles are carried, never applied. A JPEG's YCbCr is read as JFIF says
// (full range, ITU-R BT.601) with chroma replicated, exactly as image/jpeg and image/color do it; a
// lossy WebP's as libwebp does it (studio range BT.601, chroma interpolated).
//
// # What is carried
//
//	                 EXIF     XMP              IPTC (Photoshop)      ICC    density  comments, other
//	JPEG to JPEG     as found as found, all    as found              as found  kept  APPn and COM as found
//	PNG to PNG       as found as found         as found              as found  kept  ancillary chunks as found
//	WebP to WebP     as found as found         (none in WebP)        as found  -     unknown chunks as found
//	TIFF to TIFF     values   as found         as found              as found  kept  private tags as found
//	any to JPEG      APP1     APP1, main part  APP13                 APP2      JFIF  dropped
//	any to PNG       eXIf     iTXt, main part  zTXt raw profile      iCCP      pHYs  dropped
//	any to WebP      EXIF     XMP, main part   dropped               ICCP      -     dropped
//	any to TIFF      as found XMP, main part   33723, 34377          34675     yes   dropped
//
// "As found" is byte for byte and in order, but for one thing: the pixels are upright, so the
// EXIF orientation (tag 0x0112 of IFD0) and tiff:Orientation in XMP are set to 1 on output, in place.
// Embedded EXIF thumbnails stay as they are, also under rotation; so do the EXIF pixel dimensions.
// AVIF, which is read only, gives EXIF, XMP and ICC.
//
// A TIFF has its EXIF in its own directories, which are taken apart and built anew with the same values. A
// maker note among them keeps its place in the file where that is within the first 32 KiB; moved from
// further back it keeps its bytes, but offsets in it that count from the start of the file no longer fit, and
// readers such as exiftool have to guess the shift. An EXIF block written into a TIFF becomes the beginning
// of the file, so there every offset stays true. Tags that describe stored pixels, reduced copies,
// Photoshop's layers and DNG's tags are left out of a TIFF.
//
// Some blocks describe the old file rather than the picture and are left out. Of a JPEG: the
// Multi-Picture index, and whatever follows the end of the picture, which that index and some cameras'
// trailers point to; where the file stored RGB, not YCbCr, its APP14 Adobe, and APP0 is written anew with
// the density. Of a PNG: bKGD, hIST and sBIT where the colour type or depth changes, a second EXIF in a raw
// profile where the picture was turned, and unknown chunks marked unsafe to copy, as the PNG
// specification asks (14.2). An ICC profile whose colour space is not that of the written pixels is
// left out too. A JPEG's APP11 (C2PA manifest) is carried as found; its hard binding will no longer
// match, which is for the delivery layer to judge.
//
// # What may be added
//
// [Picture.Declare] writes what a delivered copy says about its use (PLUS Data Mining, Other Constraints, Web Statement
// of Rights) into the XMP, in the place of the same properties, and changes no other byte of the packet but padding.
//
// # How lossy files are written
//
// A JPEG is written with the quantisation tables and the chroma subsampling of its source (4:1:1 and 4:1:0
// become 4:2:0), as baseline with Huffman tables made for the picture: in size a baseline source comes back as
// it was, a progressive one some hundredths larger. A lossy WebP is written at the quality found in its
// frame header. docs/formats.md has the figures, and a table of what is read, written and refused.
//
// # Refusals
//
// Every error of this package is an [*Error] with a stable [Kind]. Sizes are read from the header
// and checked against [Limits] before a pixel is allocated; for JPEG and PNG a header that claims
// more pixels than its bytes could hold is refused at that point too. No input makes it panic.
//
// # Determinism
//
// The same picture and options give the same bytes on every platform for JPEG, and for PNG, TIFF and WebP with
// the same Go release and module versions. WebP, and the reading of AVIF, need the build tag nodynamic
// for that: without it gen2brain/webp and gen2brain/avif load the machine's own libraries where they find
// them, and make every binary dynamically linked. [WebPEncoder] tells which is in use.
package raster
