#!/usr/bin/env python3
"""Prints the hash of testdata/catalogue_v1.json, from the description in ../doc.go alone.

    python3 catalogue_v1.py > catalogue_v1.sha256
"""
import hashlib, json, os

here = os.path.dirname(os.path.abspath(__file__))
c = json.load(open(os.path.join(here, "catalogue_v1.json"), encoding="utf-8"))


def N(s):
    b = str(s).encode("utf-8")
    return str(len(b)).encode() + b":" + b + b","


def L(items):
    items = list(items)
    return N(len(items)) + b"".join(items)


def raw(*keys):
    return lambda d: tuple(d[k].encode("utf-8") for k in keys)


out = b"filigrane catalogue v1\n" + N(c["Name"]) + N(c["Version"])
out += L(
    b"".join(N(w.get(k, "")) for k in ("ID", "Path", "SHA256", "Width", "Height", "Format", "Title", "Creator"))
    + L(N(k) for k in sorted(w.get("Keywords", []), key=lambda s: s.encode("utf-8")))
    + N(w.get("RightsHolder", ""))
    + L(N(x["Name"]) + N(x["Value"]) for x in sorted(w.get("Columns", []), key=raw("Name")))
    for w in sorted(c["Works"], key=raw("ID")))
out += L(N(x["ID"]) + N(x["Kind"]) + N(x["Name"]) for x in sorted(c["Concepts"], key=raw("ID")))
out += L(N(m["Work"]) + N(m["Concept"]) + N(m["Rule"]) + N(m["Why"])
         for m in sorted(c["Memberships"], key=raw("Work", "Concept")))
print(hashlib.sha256(out).hexdigest())
