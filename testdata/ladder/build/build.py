"""Reduces the photographs of list.csv. Called by build.sh.

usage: build.py LIST.CSV FOLDER

list.csv has one row per picture: its name in peers.csv, the Debian package, the file in it, author and
licence. Each whole picture is reduced to a long side of 1024 pixels (Lanczos) and written as JPEG of
quality 95 with full chroma and without metadata.
"""

import csv
import pathlib
import sys

from PIL import Image, ImageOps

LONG_SIDE = 1024


def main(list_file, folder):
    with open(list_file, newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            with Image.open(row["source"]) as source:
                picture = ImageOps.exif_transpose(source).convert("RGB")
            scale = LONG_SIDE / max(picture.size)
            size = tuple(round(side * scale) for side in picture.size)
            picture = picture.resize(size, Image.Resampling.LANCZOS)
            target = pathlib.Path(folder) / f"{row['name']}.jpg"
            picture.save(target, quality=95, subsampling=0, optimize=True)
            print(target.name, *size, target.stat().st_size)


main(*sys.argv[1:])
