#!/usr/bin/env python3
"""Makes vectors.json: checkpoints, cosignatures and proofs written from the specifications alone (RFC 6962, RFC 8785,
c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature), with the class of failure that a verifier must name.
Needs python3-cryptography. Run it anywhere; git must show no difference."""

import base64, hashlib, json, os
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ORIGIN = "bank.example/log"
TIME = 1790000000  # in 2026


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def b64(data):
    return base64.b64encode(data).decode()


class Key:
    def __init__(self, name, kind, seed):
        self.name, self.kind = name, kind
        self.private = Ed25519PrivateKey.from_private_bytes(sha(seed.encode()))
        self.public = bytes([kind]) + self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = sha(name.encode(), b"\n", self.public)[:4]

    def verifier(self):
        return f"{self.name}+{self.id.hex()}+{b64(self.public)}"

    def line(self, text, time=TIME):
        if self.kind == 1:
            sig = self.private.sign(text.encode())
        else:
            sig = time.to_bytes(8, "big") + self.private.sign(f"cosignature/v1\ntime {time}\n{text}".encode())
        return f"— {self.name} {b64(self.id + sig)}\n"


LOG = Key(ORIGIN, 1, "log")
OTHER = Key(ORIGIN, 1, "somebody else")
W = [Key(f"witness{i}.example", 4, f"witness {i}") for i in range(3)]


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def root(entries):
    if not entries:
        return sha()
    if len(entries) == 1:
        return sha(b"\0", entries[0])
    k = split(len(entries))
    return sha(b"\1", root(entries[:k]), root(entries[k:]))


def path(m, entries):  # RFC 6962 2.1.1
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return path(m, entries[:k]) + [root(entries[k:])]
    return path(m - k, entries[k:]) + [root(entries[:k])]


def proof(m, entries):  # RFC 6962 2.1.2
    def sub(m, entries, whole):
        if m == len(entries):
            return [] if whole else [root(entries)]
        k = split(len(entries))
        if m <= k:
            return sub(m, entries[:k], whole) + [root(entries[k:])]
        return sub(m - k, entries[k:], False) + [root(entries[:k])]
    return sub(m, entries, True)


def body(entries, origin=ORIGIN):
    return f"{origin}\n{len(entries)}\n{b64(root(entries))}\n"


def note(text, *keys):
    return text + "\n" + "".join(k.line(text) for k in keys)


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def inclusion(m, entries, *keys):
    return {"checkpoint": note(body(entries), *keys), "hashes": [b64(h) for h in path(m, entries)], "index": m, "size": len(entries)}


def consistency(m, entries, *keys):
    return {"hashes": [b64(h) for h in proof(m, entries)], "new": note(body(entries), *keys), "old": note(body(entries[:m]), LOG)}


A = [f"entry {i}".encode() for i in range(11)]
B = A[:4] + [f"another history {i}".encode() for i in range(4, 11)]
CASES = []


def case(name, kind, text, want, entry=b"", quorum=2):
    CASES.append({"name": name, "kind": kind, "text": text, "want": want, "entry": b64(entry), "quorum": quorum})


good = inclusion(6, A, LOG, W[0], W[2])
case("an inclusion with two of three witnesses", "inclusion", canonical(good), "ok", A[6])
case("the only entry", "inclusion", canonical(inclusion(0, A[:1], LOG)), "ok", A[0], 0)
for n in range(2, 12):
    case(f"the last of {n} entries", "inclusion", canonical(inclusion(n - 1, A[:n], LOG)), "ok", A[n - 1], 0)
case("another entry", "inclusion", canonical(good), "proof", A[7])
case("another index", "inclusion", canonical(good | {"index": 7}), "proof", A[6])
case("two hashes swapped", "inclusion", canonical(good | {"hashes": good["hashes"][1::-1] + good["hashes"][2:]}), "proof", A[6])
case("a hash too few", "inclusion", canonical(good | {"hashes": good["hashes"][:-1]}), "proof", A[6])
case("a size that is not the checkpoint's", "inclusion", canonical(good | {"size": 12}), "form", A[6])
case("keys in another order", "inclusion", json.dumps({k: good[k] for k in reversed(sorted(good))}, separators=(",", ":"), ensure_ascii=False), "form", A[6])
case("spaces", "inclusion", json.dumps(good, sort_keys=True, ensure_ascii=False), "form", A[6])
case("escapes where RFC 8785 has none", "inclusion", json.dumps(good, sort_keys=True, separators=(",", ":")), "form", A[6])
case("one witness of three", "inclusion", canonical(inclusion(6, A, LOG, W[1])), "quorum", A[6])
case("one witness twice", "inclusion", canonical(inclusion(6, A, LOG, W[1], W[1])), "quorum", A[6])
case("a key of the same name", "inclusion", canonical(inclusion(6, A, OTHER, W[0], W[2])), "signature", A[6])
case("a cosignature of another tree", "inclusion", canonical(good | {"checkpoint": note(body(A), LOG, W[0]) + W[2].line(body(A[:10]))}), "signature", A[6])
case("another log's checkpoint", "inclusion", canonical(good | {"checkpoint": note(body(A, "bank.example/other"), LOG, W[0], W[2])}), "origin", A[6])
case("a cosignature with its time changed", "inclusion",
     canonical(good | {"checkpoint": note(body(A), LOG, W[0]) + "— " + W[2].name + " " + b64(W[2].id + (TIME + 1).to_bytes(8, "big") + base64.b64decode(W[2].line(body(A)).split()[2])[12:]) + "\n"}), "signature", A[6])
for m in range(1, 12):
    case(f"from {m} to 11 entries", "consistency", canonical(consistency(m, A, LOG, W[0], W[1])), "ok")
case("two histories", "consistency", canonical(consistency(7, B, LOG, W[0], W[1]) | {"old": note(body(A[:7]), LOG)}), "proof")
case("rolled back", "consistency", canonical({"hashes": [], "new": note(body(A[:5]), LOG, W[0], W[1]), "old": note(body(A), LOG)}), "proof")
for m, n in ((11, 11), (5, 9), (7, 11), (8, 11)):
    case(f"a fork of {m} and {n} entries", "fork",
         canonical({"first": note(body(A[:m]), LOG), "hashes": [b64(h) for h in proof(m, B[:n])], "root": b64(root(B[:m])), "second": note(body(B[:n]), LOG)}), "ok")
case("no fork", "fork", canonical({"first": note(body(A[:7]), LOG), "hashes": [b64(h) for h in proof(7, A)], "root": b64(root(A[:7])), "second": note(body(A), LOG)}), "proof")
case("a fork that somebody else signed", "fork", canonical({"first": note(body(A), LOG), "hashes": [], "root": b64(root(B)), "second": note(body(B), OTHER)}), "signature")
case("a fork before the histories part", "fork", canonical({"first": note(body(A[:3]), LOG), "hashes": [b64(h) for h in proof(3, B)], "root": b64(root(B[:3])), "second": note(body(B), LOG)}), "proof")

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json"), "w") as f:
    json.dump({"origin": ORIGIN, "log_keys": [LOG.verifier()], "witness_keys": [w.verifier() for w in W], "cases": CASES}, f, indent=1, ensure_ascii=False)
    f.write("\n")
