#!/usr/bin/python3
"""Trains small networks to take marks out, and tries them on files they have not seen: the attacker's side of docs/threats.md.

    filigrane bench attacks --write-pairs build/remover
    lab/remover.py build/remover
    filigrane bench attacks --only network --removed build/remover

One network is trained on photographs marked with keys of the attacker's own (anybody can), one on photographs marked with
the victims' keys (an insider of the bank can). Each learns to say what the mark added; the bench subtracts that.
"""

import argparse
import glob
import os
import time

import numpy
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

KINDS = ("other", "same")
CROP = 128
# Wider and wider gaps, then narrower: 25 pixels are seen around each, more than a 16-pixel cell of the concept, at the price of 3 x 3.
GAPS = (1, 2, 3, 3, 2, 1)
LEVELS = 2.0  # one unit of what the network says: a standard mark's RMS, in 8-bit levels
CONTRAST = 8.0  # 8-bit levels: what the network takes as 1


class Remover(nn.Module):
    """Residual network in the manner of DnCNN (Zhang et al. 2017): 3 x 3 convolutions, no pooling. Says the mark, in units of LEVELS."""

    def __init__(self, width=32):
        super().__init__()
        sizes = [3] + [width] * (len(GAPS) - 1) + [3]
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=gap, dilation=gap) for a, b, gap in zip(sizes, sizes[1:], GAPS))
        for layer in self.layers[:-1]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, x):
        """x: pictures in 8-bit levels. Slow changes, which hold no mark, are taken off first: without that nothing is learned."""
        x = (x - functional.avg_pool2d(x, 17, 1, 8, count_include_pad=False)) / CONTRAST
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


def read(name):
    """A picture as (3, height, width) bytes."""
    return torch.from_numpy(numpy.array(Image.open(name).convert("RGB"))).permute(2, 0, 1).contiguous()


def batch(hosts, marked, size, turn, generator):
    """Crops of the same places, marked and as they were. turn: lay them eight ways, so that one mark serves as eight."""
    xs, ys = [], []
    for _ in range(size):
        i = torch.randint(len(hosts), (), generator=generator)
        height, width = hosts[i].shape[1:]
        top, left = (torch.randint(side - CROP + 1, (), generator=generator) for side in (height, width))
        pair = torch.stack([p[i][:, top:top + CROP, left:left + CROP] for p in (marked, hosts)])
        if turn:
            pair = torch.rot90(pair, int(torch.randint(4, (), generator=generator)), (2, 3))
            if torch.rand((), generator=generator) < 0.5:
                pair = pair.flip(3)
        xs.append(pair[0])
        ys.append(pair[1])
    x, y = torch.stack(xs), torch.stack(ys)
    return x.float(), (x.float() - y.float()) / LEVELS


def train(hosts, marked, steps, size, turn, seed, told=lambda step, loss: None):
    """Fits a Remover to pairs. told(step, loss) hears how it goes: 1 is what saying nothing costs."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Remover()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(1, steps + 1):
        x, mark = batch(hosts, marked, size, turn, generator)
        loss = (model(x) - mark).square().mean() / mark.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        told(step, float(loss))
    return model


@torch.no_grad()
def said(model, picture):
    """What the network says the mark added to a picture, in 8-bit levels."""
    return LEVELS * model(picture[None].float())[0]


def written(mark):
    """A mark in levels as bytes: eighths of a level around 128, since whole levels would lose the faint parts."""
    return (128 + 8 * mark).round().clamp(0, 255).byte()


def save(model, name):
    numpy.savez(name, **{key: value.numpy() for key, value in model.state_dict().items()})


def load(name):
    model = Remover()
    with numpy.load(name) as weights:
        model.load_state_dict({key: torch.from_numpy(weights[key]) for key in weights.files})
    return model


def pictures(folder, set, kind):
    names = sorted(glob.glob(os.path.join(folder, set, kind, "*.png")))
    if not names:
        raise SystemExit(f"remover: no pictures in {os.path.join(folder, set, kind)}; run 'filigrane bench attacks --write-pairs {folder}' first")
    return names


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("folder", help="what --write-pairs wrote")
    a.add_argument("--kind", choices=KINDS, nargs="+", default=KINDS)
    a.add_argument("--steps", type=int, default=900)
    a.add_argument("--batch", type=int, default=4)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--apply", action="store_true", help="train nothing: take the weights that lie in the folder")
    return a.parse_args()


def main():
    a = arguments()
    torch.set_num_threads(1)
    for kind in a.kind:
        weights = os.path.join(a.folder, f"remover-{kind}.npz")
        if not a.apply:
            began, recent = time.time(), []

            def told(step, loss):
                recent.append(loss)
                if step % 50 == 0:
                    print(f"{kind}: step {step} of {a.steps}, loss {sum(recent[-50:]) / 50:.3f}, {time.time() - began:.0f} s", flush=True)

            hosts, marked = ([read(n) for n in pictures(a.folder, "train", k)] for k in ("host", kind))
            # The insider's marks all lie one way, and that is worth knowing to him: no turning.
            save(train(hosts, marked, a.steps, a.batch, kind == "other", a.seed, told), weights)
        model = load(weights)
        os.makedirs(os.path.join(a.folder, "test", kind), exist_ok=True)
        for name in pictures(a.folder, "test", "marked"):
            out = written(said(model, read(name))).permute(1, 2, 0).numpy()
            Image.fromarray(out).save(os.path.join(a.folder, "test", kind, os.path.basename(name)), compress_level=1)
        print(f"{kind}: what it says is in {os.path.join(a.folder, 'test', kind)}", flush=True)


if __name__ == "__main__":
    main()
