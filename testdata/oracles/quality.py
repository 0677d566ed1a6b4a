#!/usr/bin/python3
"""Writes quality-perceptual.json: MS-SSIM and PSNR-HVS-M by an implementation of its own.

scikit-image has neither, so both are written here a second time from the papers, in another way than in
internal/signal: the windows of MS-SSIM as one two-dimensional convolution, the waves of PSNR-HVS-M by scipy's
DCT and with its two tables as they are printed, to six decimals. Run

    testdata/oracles/quality.py            (re)writes the file beside it
    testdata/oracles/quality.py --check    writes nothing, fails if it would change

Pictures are those of make.py's kind (numbers drawn from SHA-256), larger. Same Debian packages; answers are
rounded to 9 decimals (MS-SSIM) and 4 (PSNR-HVS-M, whose printed tables carry no more).

    Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment", Asilomar 2003
    Ponomarenko et al., "On between-coefficient contrast masking of DCT basis functions", VPQM 2007
"""

import pathlib
import sys

import numpy as np
from scipy.fft import dctn
from scipy.signal import convolve2d

sys.dont_write_bytecode = True
import make  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent

WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def ms_ssim(x, y):
    """MS-SSIM of two planes with peak 255."""
    d = np.arange(11) - 5
    window = np.exp(-(d[:, None] ** 2 + d[None, :] ** 2) / (2 * 1.5 ** 2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    out = 1.0
    for scale, weight in enumerate(WEIGHTS):
        mean = lambda p: convolve2d(p, window, mode="valid")
        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx ** 2, mean(y * y) - my ** 2, mean(x * y) - mx * my
        structure = (2 * cov + c2) / (vx + vy + c2)
        if scale == len(WEIGHTS) - 1:
            structure = structure * (2 * mx * my + c1) / (mx ** 2 + my ** 2 + c1)
        out *= max(structure.mean(), 0.0) ** weight
        x, y = halve(x), halve(y)
    return out


def halve(p):
    """The mean of 2 x 2 samples; the last row or column of an odd side is taken twice."""
    p = np.pad(p, ((0, p.shape[0] % 2), (0, p.shape[1] % 2)), mode="edge")
    return p.reshape(p.shape[0] // 2, 2, p.shape[1] // 2, 2).mean(axis=(1, 3))


# The tables CSFCof and MaskCof as published.
SENSITIVITY = np.array([
    1.608443, 2.339554, 2.573509, 1.608443, 1.072295, 0.643377, 0.504610, 0.421887,
    2.144591, 2.144591, 1.838221, 1.354478, 0.989811, 0.443708, 0.428918, 0.467911,
    1.838221, 1.979622, 1.608443, 1.072295, 0.643377, 0.451493, 0.372972, 0.459555,
    1.838221, 1.513829, 1.169777, 0.887417, 0.504610, 0.295806, 0.321689, 0.415082,
    1.429727, 1.169777, 0.695543, 0.459555, 0.378457, 0.236102, 0.249855, 0.334222,
    1.072295, 0.735288, 0.467911, 0.402111, 0.317717, 0.247453, 0.227744, 0.279729,
    0.525206, 0.402111, 0.329937, 0.295806, 0.249855, 0.212687, 0.214459, 0.254803,
    0.357432, 0.279729, 0.270896, 0.262603, 0.229778, 0.257351, 0.249855, 0.259950]).reshape(8, 8)
MASKING = np.array([
    0.390625, 0.826446, 1.000000, 0.390625, 0.173611, 0.062500, 0.038447, 0.026874,
    0.694444, 0.694444, 0.510204, 0.277008, 0.147929, 0.029727, 0.027778, 0.033058,
    0.510204, 0.591716, 0.390625, 0.173611, 0.062500, 0.030779, 0.021004, 0.031888,
    0.510204, 0.346021, 0.206612, 0.118906, 0.038447, 0.013212, 0.015625, 0.026015,
    0.308642, 0.206612, 0.073046, 0.031888, 0.021626, 0.008417, 0.009426, 0.016866,
    0.173611, 0.081633, 0.033058, 0.024414, 0.015242, 0.009246, 0.007831, 0.011815,
    0.041649, 0.024414, 0.016437, 0.013212, 0.009426, 0.006830, 0.006944, 0.009803,
    0.019290, 0.011815, 0.011080, 0.010412, 0.007972, 0.010000, 0.009426, 0.010203]).reshape(8, 8)


def masks(block, waves):
    """What a block hides, before the threshold of each wave."""
    energy = (waves ** 2 * MASKING).sum() - waves[0, 0] ** 2 * MASKING[0, 0]
    whole = np.var(block, ddof=1) * block.size
    if whole == 0:
        return 0.0
    quarters = [block[:4, :4], block[:4, 4:], block[4:, :4], block[4:, 4:]]
    return np.sqrt(energy * sum(np.var(q, ddof=1) * q.size for q in quarters) / whole) / 32


def psnr_hvs_m(x, y):
    """PSNR-HVS-M of two planes with peak 255, in dB."""
    total, blocks = 0.0, 0
    for top in range(0, x.shape[0] - 7, 8):
        for left in range(0, x.shape[1] - 7, 8):
            p, q = x[top:top + 8, left:left + 8], y[top:top + 8, left:left + 8]
            f, g = dctn(p, norm="ortho"), dctn(q, norm="ortho")
            hidden = max(masks(p, f), masks(q, g)) / MASKING
            hidden[0, 0] = 0
            seen = np.maximum(np.abs(f - g) - hidden, 0)
            total += ((seen * SENSITIVITY) ** 2).sum()
            blocks += 1
    return 10 * np.log10(255 ** 2 * 64 * blocks / total)


def vector(name, label, width, height, change):
    """A grey scene, a changed copy and the two figures."""
    a = make.scene(label, width, height, 1, 255)
    b = np.clip(change(a), 0, 255)
    x, y = a[..., 0].astype(np.float64), b[..., 0].astype(np.float64)
    pack = lambda p: make.base64.b64encode(p.astype(np.uint8).tobytes()).decode()
    return {"name": name, "width": width, "height": height, "ms_ssim": round(float(ms_ssim(x, y)), 9),
            "psnr_hvs_m_db": round(float(psnr_hvs_m(x, y)), 4), "a": pack(a), "b": pack(b)}


def vectors():
    noise = lambda n: lambda a: a + make.draw(f"perceptual {n}", a.size, -n, n).reshape(a.shape)
    return [
        vector("noise", "perceptual a", 163, 170, noise(9)),
        vector("little noise, odd sides", "perceptual b", 181, 165, noise(2)),
        vector("posterised", "perceptual d", 176, 161, lambda a: a // 24 * 24 + 12),
        vector("inverted", "perceptual e", 161, 161, lambda a: 255 - a),
    ]


def main():
    check = sys.argv[1:] == ["--check"]
    about = ("a and b: base64 of 8-bit grey samples row by row; ms_ssim after Wang et al. 2003, psnr_hvs_m_db after "
             "Ponomarenko et al. 2007")
    file = {"about": about, "made_with": "numpy, scipy.signal.convolve2d, scipy.fft.dctn", "vectors": vectors()}
    text = (make.layout(file) + "\n").encode()
    path = HERE / "quality-perceptual.json"
    stale = not path.exists() or path.read_bytes() != text
    if stale and check:
        sys.exit(f"would change: {path.name}")
    if stale:
        path.write_bytes(text)
    print(f"{path.name}: {len(file['vectors'])} vectors, {len(text)} bytes")


if __name__ == "__main__":
    main()
