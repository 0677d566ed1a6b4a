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
//	JPEG to PNG      eXIf     iTXt, main part  zTXt raw profile      iCCP      pHYs  dropped
//	PNG to JPEG      APP1     APP1             APP13                 APP2      JFIF  dropped
//	any to WebP      EXIF     XMP, main part   dropped               ICCP      -     dropped
//	TIFF to others   dropped  yes              yes                   yes       dropped
//	any to TIFF      nothing: this package writes TIFF pixels only
//
// "As found" is byte for byte and in order, but for one thing: the pixels are upright, so the
// EXIF orientation (tag 0x0112 of IFD0) and tiff:Orientation in XMP are set to 1 on output, in place.
// Embedded EXIF thumbnails stay as they are, also under rotation; so do the EXIF pixel dimensions.
//
// Some blocks describe the old file rather than the picture and are left out. Of a JPEG: APP0 (written
// anew with the density), APP14 Adobe (it would contradict our colour transform), the Multi-Picture
// index, and whatever follows the end of the picture, which that index and some cameras' trailers
// point to. Of a PNG: bKGD, hIST and sBIT where the colour type or depth changes, a second EXIF in a raw
// profile where the picture was turned, and unknown chunks marked unsafe to copy, as the PNG
// specification asks (14.2). An ICC profile whose colour space is not that of the written pixels is
// left out too. A JPEG's APP11 (C2PA manifest) is carried as found; its hard binding will no longer
// match, which is for the delivery layer to judge.
//
// # Refusals
//
// Every error of this package is an [*Error] with a stable [Kind]. Sizes are read from the header
// and checked against [Limits] before a pixel is allocated; for JPEG and PNG a header that claims
// more pixels than its bytes could hold is refused at that point too. No input makes it panic.
//
// # Determinism
//
// The same picture and options give the same bytes on every platform for JPEG and TIFF, and for PNG
// and WebP with the same Go release and module versions. WebP needs the build tag nodynamic for
// that: without it gen2brain/webp loads the machine's own libwebp where it finds one, and makes
// every binary dynamically linked. [WebPEncoder] tells which is in use.
package raster
