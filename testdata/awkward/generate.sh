#!/bin/sh
# Makes the two awkward files that Go cannot write: print-colour JPEGs, by ImageMagick 6.9.11. The others
# come from: go test ./internal/raster -run TestAwkwardFilesAreCurrent -update
set -eu
cd "$(dirname "$0")"
convert -size 32x32 gradient:red-blue -colorspace CMYK -quality 80 -strip cmyk.jpg
/usr/bin/python3 - <<'PY'
# The same bytes with Adobe's transform flag set to 2: a decoder must read them as YCCK.
d = bytearray(open("cmyk.jpg", "rb").read())
at = d.find(b"Adobe")
assert at > 0, "no APP14"
d[at + 11] = 2
open("ycck.jpg", "wb").write(d)
PY
