#!/usr/bin/python3
"""Trains a small generative model on the shards of a delivery, with the plain loss, and keeps checkpoints.

    lab/train.py --shards 'delivery/*.tar' --model transformer --steps 2000 --out build/lab/runs/example
"""

import argparse
import copy
import json
import os
import time

import torch

import flow
import models
from shards import Batches, Dataset, mixed, read_shards

MODELS = {
    "transformer": {"kind": "transformer"},
    # Class vectors that start at 0.02, as DiT's do, instead of the framework's default of 1: the class is learned later.
    "transformer-dit": {"kind": "transformer", "start": 0.02},
    "unet": {"kind": "unet"},
    "unet-nearest": {"kind": "unet", "up": "nearest"},
    # 8 x 8 pixels to a latent of 16 numbers, 2 x 2 latents to a token: 16 pixels again.
    "latent": {"kind": "transformer", "channels": 16, "patch": 2, "side": 16},
}
EMA = 0.995


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--shards", nargs="+", required=True, help="patterns of WebDataset shards")
    a.add_argument("--others", nargs="+", help="patterns of shards of the same works, for those left out by --share")
    a.add_argument("--share", type=float, default=1.0, help="how many of the works are taken from --shards, 0 to 1")
    a.add_argument("--limit", type=int, default=0, help="train on so many pictures only, spread evenly")
    a.add_argument("--model", choices=MODELS, default="transformer")
    a.add_argument("--autoencoder", help="checkpoint of autoencoder.py, for --model latent")
    a.add_argument("--start", help="checkpoint to go on from: fine-tuning")
    a.add_argument("--steps", type=int, default=2000)
    a.add_argument("--batch", type=int, default=32)
    a.add_argument("--rate", type=float, default=1e-3)
    a.add_argument("--decay", action="store_true", help="bring the learning rate to nothing in the last third")
    a.add_argument("--drop", type=float, default=0.1, help="share of samples trained without their class")
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--flip", action="store_true")
    a.add_argument("--crop", type=int, default=0, help="random crops: shift by up to so many pixels")
    a.add_argument("--keep", type=int, nargs="*", default=[], help="steps at which a checkpoint is kept, besides the last")
    a.add_argument("--out", required=True)
    return a.parse_args()


def main():
    a = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    generator = torch.Generator().manual_seed(a.seed)
    os.makedirs(a.out, exist_ok=True)

    start = torch.load(a.start) if a.start else None
    data = load(a, start)
    model, saved = start_model(a, data, start)
    encode = encoder(a.autoencoder, saved) if a.autoencoder else lambda x: x
    average = copy.deepcopy(model)
    optimiser = torch.optim.AdamW(model.parameters(), a.rate, betas=(0.9, 0.99), weight_decay=0.0)
    began, total = time.time(), 0.0
    with open(os.path.join(a.out, "log.jsonl"), "w") as log:
        for step, (pictures, labels) in enumerate(Batches(data, a.batch, generator, a.flip, a.crop), 1):
            labels = torch.where(torch.rand(a.batch, generator=generator) < a.drop, len(data.captions), labels)
            with torch.no_grad():
                clean = encode((pictures - saved["mean"]) / saved["deviation"])
            loss = flow.loss(model, clean, labels, generator)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimiser.param_groups:
                group["lr"] = a.rate * min(1, step / 100, 3 * (1 - (step - 1) / a.steps) if a.decay else 1)
            optimiser.step()
            follow(average, model, min(EMA, step / (step + 50)))
            total += loss.item()
            if step % 100 == 0 or step == a.steps:
                record = {"step": step, "samples": step * a.batch, "loss": round(total / (step % 100 or 100), 5), "seconds": round(time.time() - began, 1)}
                print(json.dumps(record), file=log, flush=True)
                total = 0.0
            if step == a.steps or step in a.keep:
                saved |= {"weights": average.state_dict(), "samples": step * a.batch, "step": step}
                save(saved, os.path.join(a.out, f"{step:06d}.pt"))
            if step == a.steps:
                return


def save(state, name):
    """Writes a checkpoint that is there whole or not at all."""
    torch.save(state, name + ".partial")
    os.replace(name + ".partial", name)


def load(a, start):
    samples = read_shards(a.shards)
    if a.share < 1:
        samples = mixed(samples, read_shards(a.others), a.share)
    if a.limit:
        keys = list(samples)
        samples = {key: samples[key] for key in keys[:: max(1, len(keys) // a.limit)][: a.limit]}
    return Dataset(samples, start and start["captions"])


def start_model(a, data, start):
    """A new model, or the one to go on from, and what a checkpoint says besides the weights."""
    if start:
        model = models.build(start["config"], len(start["captions"]))
        model.load_state_dict(start["weights"])
        return model, {k: start[k] for k in ("config", "captions", "mean", "deviation", "autoencoder", "shape")}
    mean, deviation = data.statistics()
    config = MODELS[a.model]
    shape = [3, *data.pictures.shape[-2:]] if not a.autoencoder else [config["channels"], config["side"], config["side"]]
    saved = {"config": config, "captions": data.captions, "mean": mean, "deviation": deviation, "autoencoder": a.autoencoder, "shape": shape}
    return models.build(config, len(data.captions)), saved


def encoder(path, saved):
    """What turns pictures into latents of about unit variance."""
    state = torch.load(path)
    autoencoder = models.Autoencoder()
    autoencoder.load_state_dict(state["weights"])
    saved |= {"mean": state["mean"], "deviation": state["deviation"]}
    return lambda x: (autoencoder.encoder(x) - state["latent_mean"]) / state["latent_deviation"]


@torch.no_grad()
def follow(average, model, keep):
    for kept, new in zip(average.parameters(), model.parameters()):
        kept.lerp_(new, 1 - keep)


if __name__ == "__main__":
    main()
