"""Rectified flow with a network that predicts the clean picture (Li and He 2025): the plain loss, and the sampler."""

import torch

EARLIEST = 0.05  # the least of 1 - t that is divided by


def loss(model, clean, classes, generator, centre=-0.8):
    """Mean square error of the velocity. t is logit-normal about sigmoid(centre); at t = 1 the picture is clean.

    clean: (batch, channels, height, width), about unit variance. classes: (batch,).
    """
    time = torch.sigmoid(torch.randn(len(clean), generator=generator) + centre)
    noise = torch.randn(clean.shape, generator=generator)
    t = time[:, None, None, None]
    predicted = model(t * clean + (1 - t) * noise, time, classes)
    return ((predicted - clean) / (1 - t).clamp(min=EARLIEST)).square().mean()


@torch.no_grad()
def sample(model, shape, classes, steps, generator, guidance=1.0, at_once=32):
    """Draws one picture of the shape (channels, height, width) for each row of class weights, by Euler's method.

    guidance: classifier-free guidance (Ho and Salimans 2022); 1 for none. The last class is no class.
    """
    drawn = []
    for some in classes.split(at_once):
        x = torch.randn((len(some), *shape), generator=generator)
        for k in range(steps):
            t = k / steps
            times = torch.full((len(some),), t)
            predicted = model(x, times, some)
            if guidance != 1:
                nothing = torch.zeros_like(some)
                nothing[:, -1] = 1
                plain = model(x, times, nothing)
                predicted = plain + guidance * (predicted - plain)
            x = x + (predicted - x) / max(1 - t, EARLIEST) / steps
        drawn.append(x)
    return torch.cat(drawn)
