#!/usr/bin/python3
"""Trains the autoencoder of the latent model on unmarked pictures, as a public autoencoder would have been, or sends
pictures through it, to see what it leaves of a mark by itself.

    lab/autoencoder.py --shards 'unmarked/*.tar' --steps 1500 --out build/lab/runs/autoencoder.pt
    lab/autoencoder.py --shards 'delivery/*.tar' --through build/lab/runs/autoencoder.pt --out build/lab/outputs/through
"""

import argparse
import json
import os
import time

import torch

import models
from generate import write_classes
from shards import Batches, Dataset, read_shards
from train import save


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--shards", nargs="+", required=True)
    a.add_argument("--through", help="a trained autoencoder: send pictures through it instead of training")
    a.add_argument("--each", type=int, default=64, help="pictures of every class sent through")
    a.add_argument("--steps", type=int, default=1500)
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--rate", type=float, default=2e-3)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--out", required=True)
    a = a.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    data = Dataset(read_shards(a.shards))
    if a.through:
        send_through(a, data)
    else:
        train(a, data)


def train(a, data):
    mean, deviation = data.statistics()
    model = models.Autoencoder()
    optimiser = torch.optim.AdamW(model.parameters(), a.rate, betas=(0.9, 0.99))
    began, total = time.time(), 0.0
    os.makedirs(os.path.dirname(a.out) or ".", exist_ok=True)
    for step, (pictures, _) in enumerate(Batches(data, a.batch, torch.Generator().manual_seed(a.seed)), 1):
        for group in optimiser.param_groups:  # warm up, and in the second half down to nothing
            group["lr"] = a.rate * min(1, step / 100, 2 * (1 - (step - 1) / a.steps))
        pictures = (pictures - mean) / deviation
        loss = (model(pictures) - pictures).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += loss.item()
        if step % 100 == 0:
            with open(a.out + ".log", "a") as log:
                print(json.dumps({"step": step, "loss": round(total / 100, 6), "seconds": round(time.time() - began, 1)}), file=log)
            total = 0.0
        if step == a.steps:
            break
    with torch.no_grad():
        latents = model.encoder((data.pictures[:: max(1, len(data) // 256)].float() - mean) / deviation)
    save({"weights": model.state_dict(), "mean": mean, "deviation": deviation,
          "latent_mean": latents.mean().item(), "latent_deviation": latents.std().item()}, a.out)


@torch.no_grad()
def send_through(a, data):
    state = torch.load(a.through)
    model = models.Autoencoder()
    model.load_state_dict(state["weights"])
    drawn = {}
    for i in range(len(data.captions)):
        pictures = data.pictures[data.labels == i][: a.each].float()
        drawn[f"{i:03d}"] = torch.cat([model((some - state["mean"]) / state["deviation"]) for some in pictures.split(32)])
    write_classes(a.out, drawn, state, data.captions, 0)


if __name__ == "__main__":
    main()
