"""python3 -m unittest discover -s lab: what the training code must do whatever it is trained on."""

import io
import os
import tarfile
import tempfile
import unittest

import numpy
import torch
from PIL import Image

import flow
import models
from shards import Batches, Dataset, mixed, read_shards


def shard(folder, name, samples):
    with tarfile.open(os.path.join(folder, name), "w") as tar:
        for key, (colour, caption) in samples.items():
            picture = io.BytesIO()
            Image.new("RGB", (32, 32), colour).save(picture, "PNG")
            for extension, data in (("png", picture.getvalue()), ("json", b"{}"), ("txt", caption.encode())):
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


class Shards(unittest.TestCase):
    def test_pictures_and_captions_are_kept_together(self):
        with tempfile.TemporaryDirectory() as folder:
            shard(folder, "b.tar", {"0000000000000002": ((0, 9, 0), "sky")})
            shard(folder, "a.tar", {"0000000000000001": ((9, 0, 0), "water")})
            data = Dataset(read_shards([os.path.join(folder, "*.tar")]))
        self.assertEqual(data.captions, ["sky", "water"])
        self.assertEqual(data.labels.tolist(), [1, 0])
        self.assertEqual(data.pictures[:, :, 0, 0].tolist(), [[9, 0, 0], [0, 9, 0]])

    def test_a_missing_shard_is_named(self):
        with self.assertRaisesRegex(SystemExit, "no shards match"):
            read_shards(["/nowhere/*.tar"])

    def test_shares_are_nested_and_about_right(self):
        keys = [f"{n:016x}" for n in numpy.random.RandomState(0).randint(0, 2**32, 2000, dtype=numpy.int64)]
        marked, plain = {k: "m" for k in keys}, {k: "p" for k in keys}
        tenth, half = ({k for k, v in mixed(marked, plain, share).items() if v == "m"} for share in (0.1, 0.5))
        self.assertTrue(tenth < half)
        self.assertAlmostEqual(len(tenth) / 2000, 0.1, delta=0.03)
        self.assertAlmostEqual(len(half) / 2000, 0.5, delta=0.05)
        with self.assertRaisesRegex(SystemExit, "not among the others"):
            mixed(marked, {}, 0.5)

    def test_crops_move_pictures_and_flips_mirror_them(self):
        data = Dataset({"k": (numpy.arange(3 * 32 * 32).reshape(3, 32, 32).astype(numpy.uint8), "c")})
        plain, _ = next(Batches(data, 1, torch.Generator().manual_seed(0)))
        self.assertTrue(torch.equal(plain[0], data.pictures[0].float()))
        flipped = [next(Batches(data, 1, torch.Generator().manual_seed(i), flip=True))[0] for i in range(8)]
        self.assertTrue(any(torch.equal(f[0], plain[0].flip(-1)) for f in flipped))
        moved = [next(Batches(data, 1, torch.Generator().manual_seed(i), crop=8))[0] for i in range(8)]
        self.assertTrue(any(not torch.equal(m, plain) for m in moved))
        self.assertTrue(all(m.shape == plain.shape for m in moved))


class Models(unittest.TestCase):
    def test_patches_come_back(self):
        x = torch.randn(2, 3, 64, 64)
        self.assertTrue(torch.equal(models.from_patches(models.to_patches(x, 16), 16, x.shape), x))

    def test_every_model_draws_what_it_is_asked_for(self):
        for config in ({"kind": "transformer"}, {"kind": "unet"}, {"kind": "unet", "up": "nearest"},
                       {"kind": "transformer", "channels": 16, "patch": 2, "side": 16}):
            channels, side = config.get("channels", 3), config.get("side", 128)
            model = models.build(config, 3)
            drawn = flow.sample(model, (channels, side, side), torch.eye(4)[:2], 2, torch.Generator().manual_seed(0), guidance=2)
            self.assertEqual(drawn.shape, (2, channels, side, side))

    def test_a_constant_is_learned(self):
        """The whole claim in small: what is the same in every picture comes back."""
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        model = models.build({"kind": "transformer", "width": 32, "depth": 1, "side": 32}, 1)
        tile = torch.randn(3, 16, 16, generator=generator).repeat(1, 2, 2)
        optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
        for _ in range(150):
            clean = torch.randn(16, 3, 1, 1, generator=generator) + 0.5 * tile
            optimiser.zero_grad()
            flow.loss(model, clean, torch.zeros(16, dtype=torch.long), generator).backward()
            optimiser.step()
        drawn = flow.sample(model, (3, 32, 32), torch.eye(2)[:1].repeat(16, 1), 10, generator)
        self.assertGreater((drawn.mean(0) * tile).mean() / (0.5 * tile * tile).mean(), 0.7)


if __name__ == "__main__":
    unittest.main()
