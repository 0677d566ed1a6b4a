#!/usr/bin/python3
"""Writes iscc.json: what Pillow and scipy make of pictures on the way to an ISCC Image-Code.

Package iscc is tested against it. The steps are those of the reference (iscc-sdk 0.8.2 and later, image_normalize;
iscc-core, soft_hash_image_v0), each done by Pillow; the transform is scipy's, which shares no step with ours.
Run: testdata/oracles/iscc.py, or with --check to fail if the file would change. Needs Debian 12's
python3-pil 9.4.0, python3-numpy 1.24.2, python3-scipy 1.10.1.

iscc-reference.json is not written here: its vectors were published by others (see SOURCES.md).
"""
import base64
import io
import json
import pathlib
import statistics
import sys

import numpy as np
from PIL import Image, ImageChops, ImageOps
from scipy.fft import dctn

HERE = pathlib.Path(__file__).resolve().parent
PHOTOS = HERE.parent / "photos"


def normalise(img):
    """1024 grey values."""
    img = ImageOps.exif_transpose(img)
    if img.mode in ("RGBA", "LA"):
        white = Image.new("RGB", img.size, (255, 255, 255))
        white.paste(img.convert("RGBA"), mask=img.getchannel("A"))
        img = white
    img = img.convert("RGB")
    difference = ImageChops.difference(img, Image.new("RGB", img.size, img.getpixel((0, 0))))
    img = img.crop(ImageChops.add(difference, difference).getbbox())
    return bytes(img.convert("L").resize((32, 32), Image.Resampling.BICUBIC).getdata())


def code(pixels):
    """The Image-Code of 256 bits; "" where a coefficient is so near the median that rounding decides."""
    f = dctn(np.frombuffer(pixels, np.uint8).reshape(32, 32).astype(float), type=2)
    bits = ""
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        square = f[y:y + 8, x:x + 8].ravel().tolist()
        median = statistics.median(square)
        if min(abs(v - median) for v in square) < 1e-6:
            return ""
        bits += "".join("1" if v > median else "0" for v in square)
    raw = bytes([0x21, 0x07]) + int(bits, 2).to_bytes(32, "big")
    return "ISCC:" + base64.b32encode(raw).decode().rstrip("=")


def vector(name, img, photo="", file=b""):
    pixels = normalise(img)
    return {"name": name, "photo": photo, "file": base64.b64encode(file).decode(),
            "pixels": base64.b64encode(pixels).decode(), "code": code(pixels)}


def small(name, img):
    """A picture that is stored with its vector, as PNG."""
    out = io.BytesIO()
    img.save(out, "PNG", optimize=True, icc_profile=None)
    return vector(name, img, file=out.getvalue())


def photo(name, width, height, box=None):
    img = ImageOps.exif_transpose(Image.open(PHOTOS / name)).convert("RGB")
    return img.resize((width, height), Image.Resampling.LANCZOS, box=box)


def with_alpha(img):
    """Transparency that takes every value."""
    w, h = img.size
    y, x = np.mgrid[0:h, 0:w]
    out = img.convert("RGBA")
    out.putalpha(Image.fromarray(((7 * x + 11 * y) % 256).astype(np.uint8), "L"))
    return out


def framed(img, left, top, right, bottom, colour):
    out = Image.new(img.mode, (img.width + left + right, img.height + top + bottom), colour)
    out.paste(img, (left, top))
    return out


def smalls():
    return [
        small("odd sizes, portrait", photo("animals/nuthatch.jpg", 53, 97)),
        small("odd sizes, landscape", photo("forest/autumn-wood.jpg", 109, 71)),
        small("65 pixels square", photo("flowers/marigold.jpg", 65, 65)),
        small("very wide", photo("sky/open-beach.jpg", 211, 33)),
        small("very tall", photo("plants/leaf-veins.jpg", 33, 190)),
        small("as small as the code's", photo("objects/drum.jpg", 32, 32)),
        small("smaller: enlarged", photo("patterns/pebbles.jpg", 19, 13)),
        small("smaller one way", photo("patterns/star-moss.jpg", 20, 90)),
        small("one pixel", photo("water/lake-jetty.jpg", 1, 1)),
        small("two pixels wide", photo("water/lake-jetty.jpg", 2, 40)),
        small("transparent", with_alpha(photo("plants/rain-drops.jpg", 80, 60))),
        small("transparent and grey", with_alpha(photo("objects/bird-lamp.jpg", 60, 80)).convert("LA")),
        small("grey", photo("mountains/rock-cliff.jpg", 90, 72).convert("L")),
        small("white frame", framed(photo("objects/wall-clock.jpg", 80, 70), 9, 4, 3, 6, (255, 255, 255))),
        small("frame on two sides", framed(photo("sky/kite.jpg", 70, 60), 5, 0, 0, 8, (12, 200, 30))),
        small("grey, framed below", framed(photo("forest/spruce-path.jpg", 70, 60).convert("L"), 0, 9, 0, 0, 40)),
        small("nearly a frame", framed(framed(photo("water/foggy-jetty.jpg", 70, 60), 4, 4, 4, 4, (255, 255, 255)), 1, 1, 1, 1, (255, 254, 255))),
        small("frame by transparency", framed(with_alpha(photo("flowers/two-seeds.jpg", 70, 60)), 6, 7, 8, 9, (1, 2, 3, 0))),
        small("one colour", Image.new("RGB", (40, 50), (200, 10, 90))),
    ]


def main():
    names = sorted(str(p.relative_to(PHOTOS)) for p in PHOTOS.glob("*/*") if p.suffix in (".jpg", ".png"))
    vectors = [vector(n, Image.open(PHOTOS / n), photo=n) for n in names] + smalls()
    doc = {
        "about": "pixels: base64 of the 32x32 grey values of a photograph of testdata/photos or of the PNG in file; code: its Image-Code "
                 "of 256 bits, empty where rounding decides a bit",
        "made_with": "Pillow (decoding, conversion, bicubic reduction), scipy.fft.dctn",
        "vectors": vectors,
    }
    text = json.dumps(doc, indent=1) + "\n"
    path = HERE / "iscc.json"
    if "--check" in sys.argv[1:]:
        sys.exit(0 if path.read_text() == text else "iscc.json would change")
    path.write_text(text)


if __name__ == "__main__":
    main()
