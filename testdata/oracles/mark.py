#!/usr/bin/python3
"""A second implementation of the mark's key hierarchy and codewords, in another language.

Writes mark.json, against which package mark is tested. It shares no code with it: HKDF from Python's hmac,
AES-256-CTR from the openssl command. Needs Debian's python3 and openssl. Run: testdata/oracles/mark.py
"""
import hashlib
import hmac
import json
import pathlib
import subprocess

CELL = 64


def hkdf(secret, info, length=32):
    prk = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    out, block, i = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out, i = out + block, i + 1
    return out[:length]


def derive(key, label, value):
    return hkdf(key, b"filigrane/key/v1\0" + label.encode() + b"\0" + value.encode())


def keystream(key, n):
    return subprocess.run(["openssl", "enc", "-aes-256-ctr", "-nosalt", "-K", key.hex(), "-iv", "0" * 32],
                          input=bytes(n), capture_output=True, check=True).stdout


def permutation(key, n):
    words = iter(int.from_bytes(s, "little") for s in zip(*[iter(keystream(key, 16 * n))] * 4))
    p = list(range(n))
    for i in range(n - 1, 0, -1):
        m = i + 1
        while (v := next(words)) >= (1 << 32) - (1 << 32) % m:
            pass
        p[i], p[v % m] = p[v % m], p[i]
    return p


def harmonics(lattice):
    bands = {"concept": [(0, 4, 24), (1, 4, 16), (2, 4, 16)], "pilot": [(0, 3, 16)], "work": [(0, 3, 16)]}[lattice]
    out = []
    for channel, low, high in bands:
        for ky in range(high + 1):
            for kx in range(-high, high + 1):
                if ky == 0 and kx <= 0 or not low * low <= kx * kx + ky * ky <= high * high:
                    continue
                step = 4 if kx % 4 == 0 and ky % 4 == 0 else 2 if kx % 2 == 0 and ky % 2 == 0 else 1
                if {"concept": 4, "pilot": 2, "work": 1}[lattice] == step:
                    out.append((channel, kx, ky))
    return out


def codeword(key, lattice, number):
    n = 1024 if lattice == "work" else 256
    count = 2 * len(harmonics(lattice))
    slots = permutation(derive(key, "slots", ""), n)[:count]
    book, row = divmod(number, n)
    mask = keystream(derive(key, "mask", ""), (book + 1) * n // 8)[book * n // 8:]
    return "".join("-" if (mask[s // 8] >> s % 8 & 1) ^ (bin(row & s).count("1") & 1) else "+" for s in slots)


def main():
    master = bytes(range(32))
    path = {"bank": "Banque d'images", "catalogue": "autumn@3", "licence": "L-2026-17", "purpose": "training", "epoch": 2}
    key = master
    for label in ("bank", "catalogue", "licence", "purpose", "epoch"):
        key = derive(key, label, str(path[label]))
    lattices = {name: derive(key, "lattice", name) for name in ("concept", "pilot", "work")}
    words = [("concept", 0), ("concept", 256), ("concept", 257), ("concept", 65791), ("pilot", 0), ("work", 0), ("work", 1023), ("work", 1024), ("work", 1048575)]
    doc = {
        "about": "mark.py: key hierarchy and codewords; harmonics are counted per lattice",
        "master": master.hex(), "path": path, "delivery_fingerprint": derive(key, "fingerprint", "")[:8].hex(),
        "lattice_keys": {k: v.hex() for k, v in lattices.items()},
        "harmonics": {k: len(harmonics(k)) for k in lattices},
        "codewords": [{"lattice": l, "number": n, "signs": codeword(lattices[l], l, n)} for l, n in words],
    }
    pathlib.Path(__file__).with_name("mark.json").write_text(json.dumps(doc, indent=1) + "\n")


main()
