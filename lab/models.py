"""The models: small versions of the two families that are trained today."""

import math

import torch
from torch import nn
from torch.nn import functional as F


def build(config, classes):
    """Makes a model of a configuration such as {"kind": "transformer", "width": 128}."""
    config = dict(config)
    kind = {"transformer": PatchTransformer, "unet": UNet}[config.pop("kind")]
    return kind(classes=classes, **config)


class Condition(nn.Module):
    """Time and class as one vector. Class number `classes` means none."""

    def __init__(self, classes, width, start=1.0):
        super().__init__()
        self.classes = nn.Embedding(classes + 1, width)
        nn.init.normal_(self.classes.weight, std=start)
        self.time = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width))
        self.register_buffer("frequencies", torch.exp(-math.log(1000) * torch.arange(32) / 32) * 160, persistent=False)

    def forward(self, time, classes):
        """time: (batch,) in 0..1. classes: (batch,) numbers, or (batch, classes+1) weights of a mixture."""
        waves = time[:, None] * self.frequencies
        named = classes @ self.classes.weight if classes.is_floating_point() else self.classes(classes)
        return F.silu(self.time(torch.cat([waves.cos(), waves.sin()], 1)) + named)


class Block(nn.Module):
    """A transformer block modulated by the condition (adaLN-Zero, Peebles and Xie 2023), with a depthwise convolution
    over neighbouring tokens before the feed-forward part (as in SANA, Xie et al. 2024): with so few samples attention
    alone does not learn what lies beside what."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.beside = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.modulation = zero(nn.Linear(width, 6 * width))

    def forward(self, x, condition):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(condition).unsqueeze(1).chunk(6, -1)
        x = x + gate1 * self.attend(self.norm1(x) * (1 + scale1) + shift1)
        y = self.norm2(x) * (1 + scale2) + shift2
        y = y + self.neighbours(y)
        return x + gate2 * self.down(F.gelu(self.up(y), approximate="tanh"))

    def neighbours(self, x):
        batch, tokens, width = x.shape
        grid = math.isqrt(tokens)
        return self.beside(x.transpose(1, 2).reshape(batch, width, grid, grid)).flatten(2).transpose(1, 2)

    def attend(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))


class PatchTransformer(nn.Module):
    """A plain transformer on patches, in pixels or on latents, that predicts the clean picture (Li and He 2025)."""

    def __init__(self, classes, width=128, depth=4, heads=4, patch=16, side=128, channels=3, bottleneck=64, start=1.0):
        super().__init__()
        self.patch, numbers = patch, channels * patch * patch
        self.condition = Condition(classes, width, start)
        self.enter = nn.Sequential(nn.Linear(numbers, min(bottleneck, numbers)), nn.Linear(min(bottleneck, numbers), width))
        self.position = nn.Parameter(positions(side // patch, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = zero(nn.Linear(width, 2 * width))
        self.leave = zero(nn.Linear(width, numbers))

    def forward(self, x, time, classes):
        condition = self.condition(time, classes)
        tokens = self.enter(to_patches(x, self.patch)) + self.position
        for block in self.blocks:
            tokens = block(tokens, condition)
        shift, scale = self.modulation(condition).unsqueeze(1).chunk(2, -1)
        return from_patches(self.leave(self.norm(tokens) * (1 + scale) + shift), self.patch, x.shape)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, modulated by the condition between them."""

    def __init__(self, before, after, width):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, before), nn.GroupNorm(8, after, affine=False)
        self.conv1, self.conv2 = nn.Conv2d(before, after, 3, padding=1), zero(nn.Conv2d(after, after, 3, padding=1))
        self.modulation = zero(nn.Linear(width, 2 * after))
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x, condition):
        shift, scale = self.modulation(condition)[:, :, None, None].chunk(2, 1)
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y) * (1 + scale) + shift))
        return self.skip(x) + y


class UNet(nn.Module):
    """A convolutional U-Net in pixels: space to depth by `patch`, then two halvings.

    up: how it grows again. "shuffle" is a sub-pixel convolution, which gives each of the four pixels weights of its own;
    "nearest" repeats pixels and convolves, which does not know a pixel from its neighbour.
    """

    def __init__(self, classes, widths=(48, 96, 144), patch=4, channels=3, up="shuffle"):
        super().__init__()
        self.patch, width = patch, 128
        self.condition = Condition(classes, width)
        self.enter = nn.Conv2d(channels * patch * patch, widths[0], 3, padding=1)
        self.down, self.halve, self.grow, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for before, after in zip(widths, widths[1:]):
            self.down.append(ResidualBlock(before, before, width))
            self.halve.append(nn.Conv2d(before, after, 2, stride=2))
        self.middle = nn.ModuleList(ResidualBlock(widths[-1], widths[-1], width) for _ in range(2))
        for after, before in zip(widths[-2::-1], widths[:0:-1]):
            self.grow.append(grow(before, after, up))
            self.up.append(ResidualBlock(2 * after, after, width))
        self.norm, self.modulation = nn.GroupNorm(8, widths[0], affine=False), zero(nn.Linear(width, 2 * widths[0]))
        self.leave = zero(nn.Conv2d(widths[0], channels * patch * patch, 1))

    def forward(self, x, time, classes):
        condition = self.condition(time, classes)
        x, skips = self.enter(F.pixel_unshuffle(x, self.patch)), []
        for block, halve in zip(self.down, self.halve):
            x = block(x, condition)
            skips.append(x)
            x = halve(x)
        for block in self.middle:
            x = block(x, condition)
        for larger, block in zip(self.grow, self.up):
            x = block(torch.cat([larger(x), skips.pop()], 1), condition)
        shift, scale = self.modulation(condition)[:, :, None, None].chunk(2, 1)
        return F.pixel_shuffle(self.leave(self.norm(x) * (1 + scale) + shift), self.patch)


def to_patches(x, patch):
    """(batch, channels, height, width) to (batch, tokens, numbers)."""
    batch, channels, height, width = x.shape
    x = x.view(batch, channels, height // patch, patch, width // patch, patch)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(batch, (height // patch) * (width // patch), channels * patch * patch)


def from_patches(tokens, patch, shape):
    """The inverse of to_patches, to a given shape."""
    batch, channels, height, width = shape
    x = tokens.view(batch, height // patch, width // patch, channels, patch, patch)
    return x.permute(0, 3, 1, 4, 2, 5).reshape(shape)


def positions(tokens, width):
    """Sines and cosines of row and column (Peebles and Xie 2023), to start from: (tokens * tokens, width)."""
    rates = 100 ** (-torch.arange(width // 4) / (width // 4))
    angles = torch.arange(tokens)[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], 1)
    rows, columns = line[:, None].expand(-1, tokens, -1), line[None].expand(tokens, -1, -1)
    return torch.cat([rows, columns], -1).reshape(tokens * tokens, width).clone()


def grow(before, after, how):
    if how == "shuffle":
        return nn.Sequential(nn.Conv2d(before, 4 * after, 1), nn.PixelShuffle(2))
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1))


class Autoencoder(nn.Module):
    """Brings 8 x 8 pixels to one latent of `channels` numbers and back, as the autoencoders of latent models do."""

    def __init__(self, channels=16, widths=(32, 64, 96)):
        super().__init__()
        first, second, third = widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(12, first, 3, padding=1), nn.SiLU(), nn.Conv2d(first, second, 4, 2, 1), nn.SiLU(),
            nn.Conv2d(second, second, 3, padding=1), nn.SiLU(), nn.Conv2d(second, third, 4, 2, 1), nn.SiLU(),
            nn.Conv2d(third, third, 3, padding=1), nn.SiLU(), nn.Conv2d(third, channels, 1))
        self.decoder = nn.Sequential(
            nn.Conv2d(channels, third, 3, padding=1), nn.SiLU(), nn.Conv2d(third, third, 3, padding=1), nn.SiLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(third, second, 3, padding=1), nn.SiLU(), nn.Conv2d(second, second, 3, padding=1), nn.SiLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(second, first, 3, padding=1), nn.SiLU(), nn.Conv2d(first, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x):
        return self.decoder(self.encoder(x))


def zero(layer):
    """Starts a layer at nothing, so that a block starts as the identity."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
