"""Other labels for the forget images."""

import torch
from torch import Generator, Tensor

from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.method import TrainingData


def draw_other_class(labels: Tensor, retained: Tensor, generator: Generator) -> Tensor:
    """For each label a uniformly drawn retained class, never the label itself.

    Args:
        labels: ``[N]`` int64, the forgotten conditions.
        retained: ``[R]`` int64, ascending, the classes to draw from.
        generator: On the CPU.

    Returns:
        ``[N]`` int64.
    """
    among = (labels[:, None] == retained[None, :]).cpu()
    is_retained = among.any(dim=1)
    own = among.int().argmax(dim=1)
    choices = len(retained) - is_retained.int()
    draw = (torch.rand(len(labels), generator=generator) * choices).long()
    draw = draw + (is_retained & (draw >= own)).long()
    return retained[draw.to(retained.device)]


def next_class(labels: Tensor, retained: Tensor) -> Tensor:
    """For each label the retained class that follows it, after the last one the first.

    As SalUn's released code has it, and of a single class where only one is forgotten.

    Args:
        labels: ``[N]`` int64, the forgotten conditions.
        retained: ``[R]`` int64, ascending.

    Returns:
        ``[N]`` int64, never the label itself where another class is retained.
    """
    return retained[torch.searchsorted(retained, labels, right=True) % len(retained)]


def retained_classes(data: TrainingData, asker: str, remedy: str = "forget fewer classes") -> Tensor:
    """The classes that the retain set shows, ``[R]`` int64, ascending.

    Raises:
        InvalidRequest: A forget image has no class to be drawn other than its own; the message names
            ``asker`` and ``remedy``.
    """
    classes = data.retain.classes
    forgotten = data.forget.classes if data.forget else []
    if any(not set(classes) - {label} for label in forgotten):
        raise InvalidRequest(
            f"{asker} needs a retained class other than the forgotten one, the retain set shows {classes}: "
            f"{remedy}"
        )
    return torch.tensor(classes)


def refuse_kept_classes(data: TrainingData, method: str) -> None:
    """For a method that works on the condition as a whole, and so cannot forget some images of a class.

    Raises:
        InvalidRequest: A class is both in the forget set and in the retain set: a request by ids.
    """
    kept = sorted(set(data.forget.classes if data.forget else []) & set(data.retain.classes))
    if kept:
        raise InvalidRequest(
            f"forget: {method} forgets a condition, not images: class {kept[0]} is to be kept; name "
            "forget.classes, or use a method that forgets images, as erasediff"
        )
