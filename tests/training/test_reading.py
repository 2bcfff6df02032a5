import numpy as np
import pytest
import torch

from erasediff_pipeline.config import MachineSettings
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.training.order import batch_rows
from erasediff_pipeline.training.processes import Share
from erasediff_pipeline.training.reading import draw_forgotten_before, read_batches
from erasediff_pipeline.unlearning.erasediff import EraseDiffSettings

IMAGES = LabelledImages(np.arange(20, dtype=np.uint8)[:, None, None, None], np.arange(20))
WHOLE = Share(range(1), 1)


def read(steps, share=WHOLE, **machine):
    settings = EraseDiffSettings(batch_size=8)
    batches = read_batches(IMAGES, settings, MachineSettings(**machine), share, steps, 3, "retain")
    return [(images.flatten().tolist(), labels.tolist()) for images, labels in batches]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_the_order_of_the_steps(workers):
    rows = [batch_rows(20, 8, step, 3, "retain").tolist() for step in range(2, 6)]
    assert read(range(2, 6), workers=workers) == [(r, r) for r in rows]


def test_processes_read_what_is_theirs():
    whole = read(range(3))
    shares = [read(range(3), Share(range(first, first + 2), 4)) for first in (0, 2)]
    for (images, labels), *parts in zip(whole, *shares, strict=True):
        assert [image for part in parts for image in part[0]] == images
        assert [label for part in parts for label in part[1]] == labels
        assert [len(part[0]) for part in parts] == [4, 4]


def test_reading_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    read(range(2), workers=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_conditions_forgotten_before_are_drawn_for_the_retained_images():
    drawn = [draw_forgotten_before([3, 5], 400, seed, step=2) for seed in (0, 0, 1)]
    assert set(drawn[0].tolist()) == {3, 5}
    assert 150 < (drawn[0] == 3).sum() < 250
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
