"""Cuts, resizes and labels the photographs of list.csv. Called by build.sh.

usage: build.py LIST.CSV TESTDATA_FOLDER

list.csv has one row per picture:
  file      path inside testdata/photos; its folder is the concept
  package   Debian package, source: file in it, crop: x,y,width,height in source pixels
  variant   jpeg, jpeg-progressive, jpeg-444, jpeg-grey, jpeg-rotated (stored turned, EXIF
            Orientation 6), png, png-alpha (soft vignette), png-16 (16 bits, linear-light resize)
  meta      full (EXIF, IPTC, XMP, ICC), iptc (IPTC, XMP), xmp, exif or none
  the rest  what goes into the metadata, metadata.csv and SOURCES.md
"""

import csv
import io
import pathlib
import shutil
import subprocess
import sys

import numpy as np
from PIL import Image, ImageCms, ImageOps

SHORT_SIDE = 1024
SRGB_FILE = "/usr/share/color/icc/sRGB.icc"
SRGB = ImageCms.getOpenProfile(SRGB_FILE)
METADATA_COLUMNS = "file title creator keywords rights_holder licence source".split()


def crop_box(row):
    x, y, width, height = (int(n) for n in row["crop"].split(","))
    return x, y, width, height


def target_size(width, height):
    """The size with a short side of SHORT_SIDE, never larger than the crop."""
    scale = min(1.0, SHORT_SIDE / min(width, height))
    return round(width * scale), round(height * scale)


def in_srgb(picture):
    """The picture in sRGB, converted when its own profile is another one."""
    profile = picture.info.get("icc_profile")
    picture = picture.convert("RGB")
    if profile:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" not in ImageCms.getProfileDescription(own):
            intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
            picture = ImageCms.profileToProfile(picture, own, SRGB, renderingIntent=intent)
    return picture


def cut(row):
    x, y, width, height = crop_box(row)
    with Image.open(row["source"]) as source:
        picture = in_srgb(ImageOps.exif_transpose(source))
    picture = picture.crop((x, y, x + width, y + height))
    size = target_size(width, height)
    return picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS)


def with_vignette(picture):
    """Opaque in the middle, softly transparent towards the edges; no colour where invisible."""
    width, height = picture.size
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    edge = np.clip((np.hypot(x, y) - 0.70) / 0.35, 0, 1)
    alpha = np.round(255 * (0.5 + 0.5 * np.cos(np.pi * edge))).astype(np.uint8)
    colours = np.asarray(picture) * (alpha > 0)[..., None]
    return Image.fromarray(np.dstack([colours.astype(np.uint8), alpha]), "RGBA")


def write_16_bit(row, target):
    """Resizes in linear light with 16 bits a sample, so that the low bytes are real."""
    x, y, width, height = crop_box(row)
    new_width, new_height = target_size(width, height)
    command = ["convert", row["source"], "-crop", f"{width}x{height}+{x}+{y}", "+repage"]
    command += ["-colorspace", "RGB", "-filter", "Lanczos"]
    command += ["-resize", f"{new_width}x{new_height}!", "-colorspace", "sRGB", "-strip"]
    command += ["-define", "png:exclude-chunks=date,time"]
    command += ["-define", "png:compression-level=9", "-define", "png:compression-filter=5"]
    command += ["-depth", "16", f"PNG48:{target}"]
    subprocess.run(command, check=True)


def write(row, target):
    variant = row["variant"]
    if variant == "png-16":
        write_16_bit(row, target)
        return
    picture = cut(row)
    if variant == "png":
        picture.save(target, optimize=True)
    elif variant == "png-alpha":
        with_vignette(picture).save(target, optimize=True)
    else:
        options = {"quality": int(row["quality"]), "optimize": True}
        if variant == "jpeg-progressive":
            options["progressive"] = True
        elif variant == "jpeg-444":
            options["subsampling"] = 0
        elif variant == "jpeg-grey":
            picture = picture.convert("L")
        elif variant == "jpeg-rotated":
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        elif variant != "jpeg":
            sys.exit(f"{row['file']}: unknown variant {variant}")
        picture.save(target, **options)


def label(row, target):
    """Writes the metadata that the row asks for. IPTC holds at most 32 bytes of a name."""
    arguments = []
    keywords = row["keywords"].split(";")
    date = f"{row['year']}:01:01 12:00:00"
    rights = f"(c) {row['year']} {row['rights_holder']}, {row['licence']}"
    if row["licence"] in ("public-domain", "CC0-1.0"):
        rights = f"{row['rights_holder']}, {row['licence']}, no rights reserved"
    if row["meta"] in ("full", "exif"):
        arguments += [f"-EXIF:Artist={row['creator']}", f"-EXIF:Copyright={rights}"]
        arguments += [f"-EXIF:DateTimeOriginal={date}", "-EXIF:ColorSpace#=1"]
        with Image.open(target) as stored:
            width, height = stored.size
        arguments += [f"-EXIF:ExifImageWidth={width}", f"-EXIF:ExifImageHeight={height}"]
    if row["meta"] in ("full", "iptc"):
        arguments += ["-IPTC:CodedCharacterSet=UTF8", f"-IPTC:ObjectName={row['title']}"]
        arguments += [f"-IPTC:By-line={row['creator'][:32]}", f"-IPTC:CopyrightNotice={rights}"]
        arguments += [f"-IPTC:Credit={row['rights_holder'][:32]}"]
        arguments += [f"-IPTC:Keywords={word}" for word in keywords]
    if row["meta"] in ("full", "iptc", "xmp"):
        arguments += [f"-XMP-dc:Title={row['title']}", f"-XMP-dc:Creator={row['creator']}"]
        arguments += [f"-XMP-dc:Rights={rights}"]
        arguments += [f"-XMP-dc:Subject={word}" for word in keywords]
    if row["meta"] == "full":
        arguments += [f"-ICC_Profile<={SRGB_FILE}"]
    if row["variant"] == "jpeg-rotated":
        arguments += ["-EXIF:Orientation#=6"]
    if arguments:
        command = ["exiftool", "-q", "-overwrite_original", "-charset", "iptc=UTF8"]
        subprocess.run([*command, *arguments, str(target)], check=True)


def package_version(package):
    query = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(query, check=True, capture_output=True, text=True).stdout


def write_metadata_csv(rows, path):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, METADATA_COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            origin = f"Debian package {row['package']}: {row['source']}"
            writer.writerow({**row, "source": origin})


def describe_crop(row):
    x, y, width, height = crop_box(row)
    with Image.open(row["source"]) as source:
        whole = source.size == (width, height)
    return "whole" if whole else f"{width}x{height}+{x}+{y}"


def write_sources(rows, folder, path):
    text = (folder / "sources-text.md").read_text(encoding="utf-8")
    versions = {package: package_version(package) for package in {r["package"] for r in rows}}
    lines = ["| file | package (version) | file in package | crop | author | licence |"]
    lines += ["|---|---|---|---|---|---|"]
    for row in rows:
        package = f"{row['package']} ({versions[row['package']]})"
        cells = [row["file"], package, row["source"], describe_crop(row)]
        cells += [row["rights_holder"] if row["creator"] in row["rights_holder"] else row["creator"]]
        lines.append("| " + " | ".join([*cells, row["licence"]]) + " |")
    path.write_text(text.replace("@TABLE@", "\n".join(lines)), encoding="utf-8")


def main():
    recipe, testdata = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    with open(recipe, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    photos = testdata / "photos"
    shutil.rmtree(photos, ignore_errors=True)
    for row in rows:
        target = photos / row["file"]
        target.parent.mkdir(parents=True, exist_ok=True)
        write(row, target)
        label(row, target)
    write_metadata_csv(rows, photos / "metadata.csv")
    write_sources(rows, recipe.parent, testdata / "SOURCES.md")
    total = sum(p.stat().st_size for p in photos.rglob("*") if p.is_file())
    print(f"{len(rows)} photographs, {total / 2**20:.1f} MiB")


main()
