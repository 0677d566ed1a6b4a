"""Reads training data as any customer would: WebDataset shards of pictures and captions. Knows nothing of marks."""

import glob
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy
import torch
from PIL import Image


def read_shards(patterns):
    """Returns {key: (picture, caption)}: uint8 arrays of shape (3, height, width), all of one size."""
    names = sorted(name for pattern in patterns for name in glob.glob(pattern))
    if not names:
        raise SystemExit(f"no shards match {patterns}")
    pictures, captions = {}, {}
    for name in names:
        with tarfile.open(name) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                if extension == "txt":
                    captions[key] = tar.extractfile(member).read().decode().strip()
                elif extension != "json":
                    pictures[key] = tar.extractfile(member).read()
    with ThreadPoolExecutor(2) as pool:
        decoded = dict(zip(pictures, pool.map(_decode, pictures.values())))
    return {key: (decoded[key], captions[key]) for key in sorted(decoded)}


def _decode(file):
    return numpy.asarray(Image.open(io.BytesIO(file)).convert("RGB")).transpose(2, 0, 1).copy()


class Dataset:
    """Pictures with the number of their caption. Captions are what a class-conditional model is conditioned on.

    pictures: (n, 3, height, width) uint8; labels: (n,) index into captions, which are sorted.
    """

    def __init__(self, samples, captions=None):
        self.captions = captions or sorted({caption for _, caption in samples.values()})
        number = {caption: i for i, caption in enumerate(self.captions)}
        self.pictures = torch.from_numpy(numpy.stack([picture for picture, _ in samples.values()]))
        self.labels = torch.tensor([number[caption] for _, caption in samples.values()])

    def __len__(self):
        return len(self.labels)

    def statistics(self):
        """Mean and deviation of the samples' values, one number each for all channels."""
        some = self.pictures[:: max(1, len(self) // 500)].float()
        return some.mean().item(), some.std().item()


def mixed(samples, others, share):
    """The same works, a share of them as in samples, the rest as in others. Which is which depends on the key only,
    so a larger share holds every sample of a smaller one."""
    missing = samples.keys() - others.keys()
    if missing:
        raise SystemExit(f"{len(missing)} works are not among the others, {min(missing)} for one")
    # Keys are hexadecimal digits of a hash: their first eight are as good as a random number. Taken from the end,
    # since the keys are in order of them.
    keep = {key for key in samples if int(key[-8:], 16) < share * 2**32}
    return {key: samples[key] if key in keep else others[key] for key in samples}


class Batches:
    """Batches without end, each epoch in a new order drawn by the generator.

    flip: mirror every other picture. crop: shift by up to so many pixels, mirrored at the border, as random crops do.
    """

    def __init__(self, data, size, generator, flip=False, crop=0):
        self.data, self.size, self.generator, self.flip, self.crop = data, size, generator, flip, crop
        self.order = []

    def __iter__(self):
        return self

    def __next__(self):
        if len(self.order) < self.size:
            self.order = torch.randperm(len(self.data), generator=self.generator).tolist() + self.order
        chosen = torch.tensor(self.order[: self.size])
        self.order = self.order[self.size:]
        pictures = self.data.pictures[chosen].float()
        if self.flip:
            which = torch.rand(self.size, generator=self.generator) < 0.5
            pictures = torch.where(which[:, None, None, None], pictures.flip(-1), pictures)
        if self.crop:
            pictures = self._shifted(pictures)
        return pictures, self.data.labels[chosen]

    def _shifted(self, pictures):
        side = pictures.shape[-1]
        wide = torch.nn.functional.pad(pictures, [self.crop] * 4, mode="reflect")
        corners = torch.randint(2 * self.crop + 1, (len(pictures), 2), generator=self.generator).tolist()
        return torch.stack([p[:, y:y + side, x:x + side] for p, (y, x) in zip(wide, corners)])
