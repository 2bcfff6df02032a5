from collections import Counter

import pytest
import torch

from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.unlearning.labels import (
    draw_other_class,
    next_class,
    refuse_kept_classes,
    retained_classes,
)
from tests.helpers.by_hand import generator, images_of


def data_of(retained, forgotten=None):
    return TrainingData(images_of(retained), images_of(forgotten) if forgotten else None)


@pytest.mark.parametrize(
    ("labels", "retained"),
    [*(([n], {*range(10)} - {n}) for n in (0, 4, 9)), (range(5), {*range(5)}), ([0, 2, 5], {2, 5, 7})],
    ids=["class 0", "class 4", "class 9", "ids", "some labels are retained and some are not"],
)
def test_other_class_is_uniform_over_the_retained_ones_but_its_own(labels, retained):
    """A request by ids keeps its classes, so the own class is among the retained ones."""
    own = torch.tensor([label for label in labels for _ in range(500 * len(retained - {label}))])
    for seed in range(20):
        drawn = draw_other_class(own, torch.tensor(sorted(retained)), generator(seed))
        for label in labels:
            counts = Counter(drawn[own == label].tolist())
            assert counts.keys() == retained - {label}
            assert 400 < min(counts.values()) <= max(counts.values()) < 600


def test_same_generator_same_draw():
    labels, retained = torch.zeros(50, dtype=torch.int64), torch.arange(1, 10)
    first, second, other = (draw_other_class(labels, retained, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("retained", "forgotten", "expected"),
    [([7, 2, 5, 2, 7], [0], [2, 5, 7]), ([1, 1], [0], [1]), ([0, 1, 1], [0, 1], [0, 1]), ([1], None, [1])],
    ids=["by classes", "one is enough where it is another", "by ids the own one stays", "nothing forgotten"],
)
def test_retained_classes_are_those_that_the_retain_set_shows(retained, forgotten, expected):
    classes = retained_classes(data_of(retained, forgotten), "asker")
    assert classes.tolist() == expected
    assert classes.dtype == torch.int64


@pytest.mark.parametrize(
    ("labels", "retained", "expected"),
    [
        ([3, 3], [0, 1, 2, 4, 5], [4, 4]),
        ([5, 0], [1, 2, 3, 4], [1, 1]),
        ([6, 7], [0, 5, 8], [8, 8]),
        ([0, 1, 2], [0, 1, 2], [1, 2, 0]),
        ([4], [2], [2]),
    ],
)
def test_next_class_is_the_retained_one_after_it(labels, retained, expected):
    assert next_class(torch.tensor(labels), torch.tensor(retained)).tolist() == expected


@pytest.mark.parametrize(("retained", "forgotten"), [([1, 1], [1]), ([2], [0, 2]), ([], [0])])
def test_no_other_class_is_refused_in_the_name_of_the_asker(retained, forgotten):
    with pytest.raises(InvalidRequest, match=rf"^asker needs .* the retain set has \{sorted(set(retained))}"):
        retained_classes(data_of(retained, forgotten), "asker")


def test_a_condition_that_is_kept_cannot_be_forgotten_and_others_can():
    refuse_kept_classes(data_of([0, 2], [1]), "esd")
    with pytest.raises(InvalidRequest, match=r"esd forgets conditions, .* class 1 is also retained"):
        refuse_kept_classes(data_of([0, 1, 2], [1]), "esd")
