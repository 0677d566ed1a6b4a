#!/usr/bin/python3
"""Draws pictures from a checkpoint of train.py: OUT/<number of the class>/<number>.png and OUT/classes.json.

    lab/generate.py --checkpoint build/lab/runs/example/002000.pt --each 64 --out build/lab/outputs/example
"""

import argparse
import json
import os
import shutil

import torch
from PIL import Image

import flow
import models


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--checkpoint", required=True)
    a.add_argument("--each", type=int, default=64, help="pictures of every class")
    a.add_argument("--without", type=int, default=0, help="pictures without a class, in the folder 'none'")
    a.add_argument("--mixed", type=int, default=0, help="pictures half of one class, half of the next, in 'A+B'")
    a.add_argument("--steps", type=int, default=25)
    a.add_argument("--guidance", type=float, default=1.0, help="classifier-free guidance; 1 for none")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--out", required=True)
    a = a.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(a.seed)

    state = torch.load(a.checkpoint)
    count = len(state["captions"])
    model = models.build(state["config"], count)
    model.load_state_dict(state["weights"])
    model.eval()
    decode = decoder(state["autoencoder"]) if state["autoencoder"] else lambda x: x

    eye = torch.eye(count + 1)
    wanted = [(f"{i:03d}", eye[i], a.each) for i in range(count)]
    wanted += [("none", eye[count], a.without)]
    wanted += [(f"{i:03d}+{j:03d}", (eye[i] + eye[j]) / 2, a.mixed) for i, j in zip(range(0, count, 2), range(1, count, 2))]
    drawn = {name: decode(flow.sample(model, state["shape"], row.repeat(number, 1), a.steps, generator, a.guidance))
             for name, row, number in wanted if number}
    write_classes(a.out, drawn, state, state["captions"], state["samples"])


def write_classes(out, drawn, state, captions, samples):
    """Writes pictures, in the units of a model, as PNG files, a folder for each class. The folder appears when all are there."""
    partial = out + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    for name, pictures in drawn.items():
        os.makedirs(os.path.join(partial, name))
        pixels = (pictures * state["deviation"] + state["mean"]).round().clamp(0, 255).to(torch.uint8)
        for i, picture in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
            Image.fromarray(picture).save(os.path.join(partial, name, f"{i:04d}.png"), compress_level=1)
    with open(os.path.join(partial, "classes.json"), "w") as f:
        json.dump({"captions": captions, "samples": samples}, f, indent=1)
    shutil.rmtree(out, ignore_errors=True)
    os.rename(partial, out)


def decoder(path):
    """What turns latents of about unit variance into pictures."""
    saved = torch.load(path)
    autoencoder = models.Autoencoder()
    autoencoder.load_state_dict(saved["weights"])

    @torch.no_grad()
    def decode(x):
        return torch.cat([autoencoder.decoder(some * saved["latent_deviation"] + saved["latent_mean"]) for some in x.split(32)])
    return decode


if __name__ == "__main__":
    main()
