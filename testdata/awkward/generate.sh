#!/bin/sh
# Makes the two awkward files that Go cannot write: print-colour JPEGs, by Debian's python3-pil. The others
# come from: go test ./internal/raster -run TestAwkwardFilesAreCurrent -update
set -eu
cd "$(dirname "$0")"
/usr/bin/python3 - <<'PY'
from PIL import Image

picture = Image.new("CMYK", (32, 32))
picture.putdata([(8 * x, 255 - 8 * x, 4 * y, 2 * y) for y in range(32) for x in range(32)])
picture.save("cmyk.jpg", quality=80)
# The same bytes with Adobe's transform flag set to 2: a decoder must read them as YCCK.
d = bytearray(open("cmyk.jpg", "rb").read())
at = d.find(b"Adobe")
assert at > 0 and d[at + 11] == 0, "APP14 says something else than plain CMYK"
d[at + 11] = 2
open("ycck.jpg", "wb").write(d)
PY
