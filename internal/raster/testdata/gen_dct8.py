#!/usr/bin/env python3
"""Writes dct8.json: 8x8 blocks and their orthonormal DCT-II by scipy, the outside oracle of
TestFdct8AgainstScipy. Run from this folder: python3 gen_dct8.py (scipy 1.10.1 made the committed file)."""
import json

import numpy as np
from scipy.fft import dctn

rng = np.random.default_rng(20260101)
blocks = [
    np.full((8, 8), -128.0),
    np.where(np.indices((8, 8)).sum(0) % 2 == 0, 127.0, -128.0),
    np.add.outer(np.arange(8) * 3.0, np.arange(8) * 20.0) - 90,
]
for at in ((0, 0), (3, 5), (7, 7)):
    b = np.zeros((8, 8))
    b[at] = 100.0
    blocks.append(b)
blocks += [rng.integers(-128, 128, (8, 8)).astype(float) for _ in range(4)]

with open("dct8.json", "w") as f:
    json.dump(
        [{"samples": b.ravel().tolist(),
          "coefficients": [round(float(v), 9) for v in dctn(b, norm="ortho").ravel()]}
         for b in blocks], f, separators=(",", ":"))
    f.write("\n")
