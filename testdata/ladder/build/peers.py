"""Sums up the measurements of other watermarks for the comparison in docs/robustness.md.

usage: peers.py PEERS-MEASURED.CSV > peers.csv

Reads one row per method, payload, photograph and edit; writes one per method and edit for 32-bit
payloads: photographs, how many of them were detected (p below 1e-6 under a fair coin, that is at least 30
of 32 bits right), mean bit accuracy and mean PSNR. An edit that a method refused counts as not detected,
and its accuracy is left out. OpenStego has no payload and no p, and a variant of watermark_zero with other
settings is no default: both are left out.
"""

import csv
import sys

METHODS = {
    "iw-dwtDct": "dwtDct",
    "iw-dwtDctSvd": "dwtDctSvd",
    "blind_watermark": "blind_watermark",
    "go-watermark_zero-default": "watermark_zero",
    "iw-rivaGan": "rivaGan",
}


def mean(values):
    return sum(values) / len(values) if values else float("nan")


def main(measured):
    cells = {}
    with open(measured, newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["method"] in METHODS and row["payload_bits"] == "32":
                cells.setdefault((METHODS[row["method"]], row["attack"]), []).append(row)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow("method payload_bits edit n detected bit_accuracy psnr_db".split())
    for (method, edit), rows in cells.items():
        bits = [float(row["bit_accuracy"]) for row in rows if row["bit_accuracy"]]
        detected = sum(1 for row in rows if row["p_value"] and float(row["p_value"]) < 1e-6)
        psnr = mean([float(row["psnr_db"]) for row in rows if row["psnr_db"]])
        accuracy = f"{mean(bits):.3f}" if bits else ""
        out.writerow([method, 32, edit, len(rows), detected, accuracy, f"{psnr:.2f}"])


main(*sys.argv[1:])
