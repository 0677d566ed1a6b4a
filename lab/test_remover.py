"""python3 -m unittest discover -s lab: what the remover must do whatever it is trained on."""

import os
import subprocess
import sys
import tempfile
import unittest

import numpy
import torch
from PIL import Image

import remover


def pairs(count, side, generator):
    """Smooth pictures, and the same with a chequered pattern of 2 levels on them."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    chequers = 4 * ((rows // 2 + columns // 2) % 2) - 2
    hosts = []
    for _ in range(count):
        slope = torch.rand(3, 2, generator=generator)
        hosts.append((60 + slope[:, 0, None, None] * rows + slope[:, 1, None, None] * columns).round().byte())
    return hosts, [(h.int() + chequers).clamp(0, 255).byte() for h in hosts]


def error(a, b):
    return float((a.float() - b.float()).square().mean())


class Remover(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        self.generator = torch.Generator().manual_seed(0)
        self.crop, remover.CROP = remover.CROP, 32

    def tearDown(self):
        remover.CROP = self.crop

    def test_what_the_pairs_differ_by_is_taken_out(self):
        hosts, marked = pairs(3, 64, self.generator)
        losses = []
        model = remover.train(hosts[:2], marked[:2], 60, 2, True, 0, lambda step, loss: losses.append(loss))
        self.assertGreater(losses[0], 0.99)
        self.assertLess(error(marked[2] - remover.said(model, marked[2]), hosts[2]), 0.5 * error(marked[2], hosts[2]))

    def test_untrained_it_says_nothing(self):
        picture = torch.randint(0, 256, (3, 40, 48), dtype=torch.uint8, generator=self.generator)
        self.assertEqual(remover.said(remover.Remover(), picture).abs().max(), 0)

    def test_marks_are_written_in_eighths_of_a_level(self):
        self.assertEqual(remover.written(torch.tensor([0, 1, -1, 0.125, 99, -99])).tolist(), [128, 136, 120, 129, 255, 0])

    def test_both_of_a_pair_are_turned_alike(self):
        hosts, marked = pairs(2, 48, self.generator)
        for turn in (False, True):
            x, mark = remover.batch(hosts, marked, 8, turn, self.generator)
            self.assertEqual(x.shape, (8, 3, 32, 32))
            self.assertEqual(mark.abs().unique().tolist(), [1])

    def test_weights_come_back(self):
        hosts, marked = pairs(1, 32, self.generator)
        model = remover.train(hosts, marked, 2, 1, False, 0)
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "w.npz")
            remover.save(model, name)
            self.assertLess(os.path.getsize(name), 300_000)
            again = remover.load(name)
        x = torch.randn(1, 3, 20, 20, generator=self.generator)
        self.assertTrue(torch.equal(model(x), again(x)))

    def test_the_program_works_on_the_folder_it_is_given(self):
        with tempfile.TemporaryDirectory() as folder:
            missing = subprocess.run([sys.executable, remover.__file__, folder], capture_output=True, text=True)
            self.assertNotEqual(missing.returncode, 0)
            self.assertIn("--write-pairs", missing.stderr)
            os.makedirs(os.path.join(folder, "test", "marked"))
            picture = numpy.random.default_rng(0).integers(0, 256, (30, 20, 3), numpy.uint8)
            Image.fromarray(picture).save(os.path.join(folder, "test", "marked", "000.png"))
            remover.save(remover.Remover(), os.path.join(folder, "remover-other.npz"))
            subprocess.run([sys.executable, remover.__file__, folder, "--apply", "--kind", "other"], check=True, capture_output=True)
            out = numpy.array(Image.open(os.path.join(folder, "test", "other", "000.png")))
            self.assertEqual((out.shape, out.min(), out.max()), (picture.shape, 128, 128))


if __name__ == "__main__":
    unittest.main()
