#!/usr/bin/python3
"""Writes the vectors of this folder: what other people's programs answer where ours must agree.

A round trip of our own code proves that it agrees with itself; these files hold numbers that none of
our code had a part in. Run

    testdata/oracles/make.py            (re)writes the .json files beside it
    testdata/oracles/make.py --check    writes nothing, fails if a file would change

Debian 12 packages and the versions the committed files were made with:

    python3 3.11.2          hashlib, hmac, fractions
    python3-numpy 1.24.2    integer matrix product
    python3-scipy 1.10.1    scipy.fft.fft2, scipy.linalg.hadamard
    python3-skimage 0.19.3  skimage.metrics.peak_signal_noise_ratio, structural_similarity
    python3-pil 9.4.0       cross-check of the colour matrix
    openssl 3.0             openssl enc, openssl kdf

The output is byte-identical from run to run. Inputs are integers drawn from SHA-256 in counter mode
(draw below) and are stored in the files, so that nobody needs this script to read them. Floating-point
answers are rounded well above the noise of another processor or library version: DFT at 6 decimals,
PSNR at 10, SSIM at 12.

Every file is an object {"about": what it holds, "made_with": programs, "vectors": [...]}; the fields of
a vector are described in internal/oracle/vectors.go, which is how Go tests load them.
"""

import base64
import hashlib
import hmac
import json
import pathlib
import subprocess
import sys
from fractions import Fraction

import numpy as np
from PIL import Image
from scipy.fft import fft2
from scipy.linalg import hadamard
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

HERE = pathlib.Path(__file__).resolve().parent


def draw(label, count, low, high):
    """count integers in low..high, drawn from SHA-256(label ":" counter), 4 bytes each."""
    values, counter = [], 0
    while len(values) < count:
        block = hashlib.sha256(f"{label}:{counter}".encode()).digest()
        values += [low + int.from_bytes(block[i:i + 4], "big") % (high - low + 1) for i in range(0, 32, 4)]
        counter += 1
    return np.array(values[:count], dtype=np.int64)


def draw_bytes(label, count):
    return bytes(draw(label, count, 0, 255).tolist())


# ---- transforms


def dft():
    """Two-dimensional DFT, negative exponent, no scaling."""
    vectors = []
    for n, rows in [(64, list(range(64))), (128, [0, 1, 2, 31, 32, 63, 64, 65, 127])]:
        plane = draw(f"dft {n}", n * n, -128, 127).reshape(n, n)
        f = fft2(plane.astype(np.float64))
        half = f[rows, :n // 2 + 1]
        re, im = np.round(half.real, 6) + 0.0, np.round(half.imag, 6) + 0.0  # + 0.0 turns -0 into 0
        vectors.append({"n": n, "input": plane.tolist(), "rows": rows, "re": re.tolist(), "im": im.tolist()})
    return ("F(u,v) = sum over y,x of input[y][x] exp(-2 pi i (u y + v x)/n), unscaled; re and im hold rows u "
            "as listed and columns v = 0..n/2",
            "scipy.fft.fft2", vectors)


def wht():
    """One-dimensional Walsh-Hadamard transform in natural order."""
    vectors = []
    for n in (16, 256, 1024):
        x = draw(f"wht {n}", n, -128, 127)
        vectors.append({"n": n, "input": x.tolist(), "output": (hadamard(n, dtype=np.int64) @ x).tolist()})
    return "output = H input with Sylvester's H in natural order, unscaled", "scipy.linalg.hadamard, numpy", vectors


# ---- pictures


def scene(label, width, height, channels, top):
    """A picture of slopes, two edges, a chequered patch and some grain; integers only."""
    y, x = np.mgrid[0:height, 0:width]
    grain = draw(label, width * height * channels, -6, 6).reshape(height, width, channels)
    planes = []
    for c in range(channels):
        p = 40 + 120 * x // width + 60 * y // height - 25 * c
        p = np.where((x - width // 3) ** 2 + (y - height // 2) ** 2 < (height // 4) ** 2, 210 - 40 * c, p)
        p = np.where((x > 2 * width // 3) & ((x // 3 + y // 2) % 2 == 0), p - 30, p)
        planes.append(p)
    return np.clip((np.stack(planes, -1) + grain) * (top // 255), 0, top)


def luma(p):
    """Integer luma, halves rounded up: what SSIM is computed on."""
    if p.shape[2] == 1:
        return p[..., 0]
    return (299 * p[..., 0] + 587 * p[..., 1] + 114 * p[..., 2] + 500) // 1000


def quality_vector(name, a, b, bits):
    dtype, raw = (np.uint8, ">u1") if bits == 8 else (np.uint16, ">u2")
    height, width, channels = a.shape
    pack = lambda p: base64.b64encode(p.astype(raw).tobytes()).decode()
    psnr = peak_signal_noise_ratio(a.astype(dtype), b.astype(dtype))
    ssim = structural_similarity(luma(a).astype(dtype), luma(b).astype(dtype), win_size=7)
    return {"name": name, "width": width, "height": height, "channels": channels, "bits": bits,
            "psnr_db": round(float(psnr), 10), "ssim": round(float(ssim), 12), "a": pack(a), "b": pack(b)}


def quality():
    """PSNR and SSIM of pairs that differ a little, locally, and altogether."""
    rgb = scene("quality rgb", 96, 80, 3, 255)
    noisy = np.clip(rgb + draw("quality noise", rgb.size, -9, 9).reshape(rgb.shape), 0, 255)
    grey = scene("quality grey", 96, 80, 1, 255)
    blocky = grey // 16 * 16 + 8
    small = scene("quality small", 48, 40, 3, 255)
    deep = scene("quality deep", 48, 40, 3, 65535)
    deep_noisy = np.clip(deep + draw("quality deep noise", deep.size, -900, 900).reshape(deep.shape), 0, 65535)
    deep_grey = scene("quality deep grey", 37, 29, 1, 65535)
    deep_shifted = np.clip(np.roll(deep_grey, 1, axis=1) + 1500, 0, 65535)
    tiny = scene("quality tiny", 7, 7, 1, 255)
    vectors = [
        quality_vector("colour, noise", rgb, noisy, 8),
        quality_vector("colour, inverted", small, 255 - small, 8),
        quality_vector("grey, posterised", grey, blocky, 8),
        quality_vector("grey, one window", tiny, np.clip(tiny + 5, 0, 255), 8),
        quality_vector("colour 16 bit, noise", deep, deep_noisy, 16),
        quality_vector("grey 16 bit, shifted", deep_grey, deep_shifted, 16),
    ]
    return ("a and b: base64 of the samples row by row, interleaved, 16-bit ones big-endian; psnr_db over all "
            "samples; ssim on luma (299 R + 587 G + 114 B + 500) div 1000",
            "skimage.metrics.peak_signal_noise_ratio, structural_similarity(win_size=7)", vectors)


def ycbcr():
    """JFIF (ITU-T T.871) full-range YCbCr, without rounding."""
    kr, kg, kb = Fraction("0.299"), Fraction("0.587"), Fraction("0.114")
    corners = [[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    samples = corners + [[128, 128, 128], [255, 128, 0], [1, 2, 3]]
    samples += draw("ycbcr", 63, 0, 255).reshape(21, 3).tolist()
    vectors = []
    for r, g, b in samples:
        y = kr * r + kg * g + kb * b
        cb, cr = (b - y) / Fraction("1.772"), (r - y) / Fraction("1.402")
        pil = Image.new("RGB", (1, 1), (r, g, b)).convert("YCbCr").getpixel((0, 0))
        for exact, byte in zip((y, cb + 128, cr + 128), pil):
            assert abs(min(max(exact, 0), 255) - byte) <= 1, "Pillow disagrees"
        vectors.append({"rgb": [r, g, b], "ycbcr": [round(float(v), 12) for v in (y, cb, cr)]})
    return ("JFIF full range: Y = 0.299 R + 0.587 G + 0.114 B, Cb = (B - Y)/1.772, Cr = (R - Y)/1.402; Cb and Cr are "
            "centred on 0 (files add 128)",
            "Python fractions; Pillow agrees within its rounding", vectors)


# ---- keys


def hkdf(salt, ikm, info, length):
    """RFC 5869 with HMAC-SHA-256; an absent salt is 32 zero bytes."""
    prk = hmac.digest(salt or bytes(32), ikm, "sha256")
    okm, block, i = b"", b"", 1
    while len(okm) < length:
        block = hmac.digest(prk, block + info + bytes([i]), "sha256")
        okm, i = okm + block, i + 1
    return prk, okm[:length]


def openssl_hkdf(salt, ikm, info, length):
    """The same by OpenSSL, which insists on a salt."""
    out = subprocess.run(
        ["openssl", "kdf", "-keylen", str(length), "-kdfopt", "digest:SHA2-256", "-kdfopt", "hexkey:" + ikm.hex(),
         "-kdfopt", "hexsalt:" + (salt or bytes(32)).hex(), "-kdfopt", "hexinfo:" + info.hex(), "-binary", "HKDF"],
        check=True, capture_output=True)
    return out.stdout


def hkdf_file():
    """Derivations of the RFC's appendix and under labels like ours."""
    span = lambda low, high: bytes(range(low, high + 1))
    rfc = [  # RFC 5869, appendix A: name, salt, input keying material, info, length, output keying material
        ("RFC 5869 A.1", span(0x00, 0x0c), b"\x0b" * 22, span(0xf0, 0xf9), 42,
         "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"),
        ("RFC 5869 A.2", span(0x60, 0xaf), span(0x00, 0x4f), span(0xb0, 0xff), 82,
         "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
         "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"),
        ("RFC 5869 A.3", b"", b"\x0b" * 22, b"", 42,
         "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
    ]
    house = []  # labels as a key tree would use them, with and without salt, and around the block length
    for i, (info, length) in enumerate([
            ("bank", 32), ("catalogue@version", 32), ("licence", 32), ("purpose", 32), ("epoch", 32),
            ("filigrane/v1/mask/book=0", 16), ("filigrane/v1/mask/book=1", 31), ("filigrane/v1/slots", 33),
            ("filigrane/v1/é", 64), ("", 65), ("x" * 200, 255)]):
        salt = b"" if i % 2 else draw_bytes(f"salt {i}", 32)
        ikm = draw_bytes(f"ikm {i}", 32)
        house.append((f"label {info[:40]!r}, {length} bytes", salt, ikm, info.encode(), length, None))
    vectors = []
    for name, salt, ikm, info, length, expected in rfc + house:
        prk, okm = hkdf(salt, ikm, info, length)
        assert expected in (None, okm.hex()), f"{name}: not what the RFC says"
        if info:  # OpenSSL 3.0 wants a non-empty hexinfo
            assert openssl_hkdf(salt, ikm, info, length) == okm, f"{name}: OpenSSL disagrees"
        vectors.append({"name": name, "salt": salt.hex(), "ikm": ikm.hex(), "info": info.hex(), "length": length,
                        "prk": prk.hex(), "okm": okm.hex()})
    return ("HKDF-SHA-256, all fields in hex; an empty salt means none",
            "python hmac; RFC 5869 A.1-A.3; openssl kdf", vectors)


def aes_ctr():
    """Keystreams: AES-256-CTR over zeros."""
    def keystream(key, iv, length):
        return subprocess.run(["openssl", "enc", "-aes-256-ctr", "-K", key.hex(), "-iv", iv.hex()],
                              input=bytes(length), check=True, capture_output=True).stdout
    nist_key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    nist_iv = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    # SP 800-38A F.5.5 gives the first output block of this key and counter.
    assert keystream(nist_key, nist_iv, 16).hex() == "0bdf7df1591716335e9a8b15c860c502", "OpenSSL disagrees with NIST"
    cases = [("NIST SP 800-38A F.5.5", nist_key, nist_iv, 64), ("zero key", bytes(32), bytes(16), 64)]
    cases += [(f"zero IV, {n} bytes", draw_bytes(f"aes {n}", 32), bytes(16), n) for n in (1, 33, 128, 512)]
    vectors = [{"name": name, "key": key.hex(), "iv": iv.hex(), "keystream": keystream(key, iv, n).hex()}
               for name, key, iv, n in cases]
    return ("AES-256-CTR over zero bytes, all fields in hex",
            "openssl enc -aes-256-ctr; NIST SP 800-38A F.5.5", vectors)


def sha256():
    """Digests around the block length."""
    inputs = [b"", b"abc", b"filigrane", "filigrane/v1/é".encode(), draw_bytes("sha", 200)]
    inputs += [b"a" * n for n in (55, 56, 64)]  # around the padding
    vectors = []
    for data in inputs:
        openssl = subprocess.run(["openssl", "dgst", "-sha256", "-binary"], input=data, check=True, capture_output=True)
        assert openssl.stdout == hashlib.sha256(data).digest(), "OpenSSL disagrees"
        vectors.append({"input": data.hex(), "digest": hashlib.sha256(data).hexdigest()})
    return "SHA-256, both fields in hex", "python hashlib; openssl dgst", vectors


# ---- files

FILES = {"dft": dft, "wht": wht, "quality": quality, "ycbcr": ycbcr,
         "hkdf": hkdf_file, "aesctr": aes_ctr, "sha256": sha256}


def layout(value, indent=0):
    """JSON with one field and one row of numbers per line."""
    pad, inner = " " * indent, " " * (indent + 1)
    flat = json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict) and len(flat) > 100:
        lines = [f"{inner}{json.dumps(k)}: {layout(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{pad}}}"
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return "[\n" + ",\n".join(inner + layout(v, indent + 1) for v in value) + f"\n{pad}]"
    return flat


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    stale = []
    for name, build in FILES.items():
        about, made_with, vectors = build()
        text = (layout({"about": about, "made_with": made_with, "vectors": vectors}) + "\n").encode()
        path = HERE / (name + ".json")
        if not path.exists() or path.read_bytes() != text:
            stale.append(path.name)
            if not check:
                path.write_bytes(text)
        print(f"{path.name}: {len(vectors)} vectors, {len(text)} bytes")
    if check and stale:
        sys.exit("would change: " + ", ".join(stale))


if __name__ == "__main__":
    main()
