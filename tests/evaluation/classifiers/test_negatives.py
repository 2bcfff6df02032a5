import pytest
import torch

from erasediff_pipeline.evaluation.classifiers.negatives import CONTROLS, KINDS, draw_kind, draw_negatives
from erasediff_pipeline.seeding import make_generator


def drawn(kind, images, labels, seed=0):
    return draw_kind(kind, images, labels, make_generator(seed)).float()


@pytest.mark.parametrize("count", [0, 3, 5, 32])
@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 16, 16)])
def test_every_size_and_number_of_images_has_some_and_the_seed_decides(count, shape):
    images = torch.randint(256, (count, *shape), dtype=torch.uint8, generator=make_generator(1))
    one, two, other = (
        draw_negatives(images, torch.arange(count), make_generator(seed)) for seed in (0, 0, 1)
    )
    assert one.shape[1:] == shape
    assert one.dtype == torch.uint8
    assert count - 1 <= len(one) <= count  # a single image has none to be blended with
    assert torch.equal(one, two)
    assert not count or not torch.equal(one, other)


def test_shuffled_patches_are_those_of_the_image():
    """Each patch of 2×2 has one number."""
    numbers = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    image = numbers.repeat_interleave(2, 2).repeat_interleave(2, 3)
    moved = drawn("shuffled_patches", image, torch.zeros(1))
    corners = moved[..., ::2, ::2]
    assert torch.equal(moved, corners.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.equal(corners.flatten().sort().values, torch.arange(16.0))
    assert not torch.equal(moved, image.float())


def test_blends_and_halves_are_of_two_classes():
    """Class k has the grey 100·k; the second pair is of one class and left out."""
    labels = torch.tensor([0, 1] * 100 + [1])
    images = (100 * labels).to(torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    blends = drawn("blends", images, labels)[:, 0, 0, 0]
    assert len(blends) == 200
    assert ((blends == 100) | ((blends >= 30) & (blends <= 70))).all()
    assert 0.3 < (blends == 100).double().mean() < 0.7
    halves = drawn("halves", images, labels)
    assert torch.equal(halves[..., :4].mean(dim=(1, 2, 3)), 100 - halves[..., 4:].mean(dim=(1, 2, 3)))


@pytest.mark.parametrize(("kind", "low", "high"), [("noise", 70, 77), ("smooth_noise", 60, 120)])
def test_noise_covers_the_range_in_colour_and_in_grey(kind, low, high):
    """A uniform number in 0…255 has the standard deviation 255/√12 = 73.6."""
    noise = drawn(kind, torch.zeros(200, 3, 16, 16), torch.zeros(200))
    assert low < noise.std() < high
    grey = (noise[:, 0] == noise[:, 1]).all(dim=(1, 2))
    assert 0.3 < grey.double().mean() < 0.7


def test_what_is_flat_stays_flat_when_blurred_and_inverting_twice_is_nothing():
    image = torch.full((1, 1, 8, 8), 40)
    assert (drawn("blurred", image, torch.zeros(1)) == 40).all()
    assert torch.equal(drawn("inverted", drawn("inverted", image, None), None), image.float())
    assert not set(KINDS) & set(CONTROLS)
