"""Other conditions for the forget images."""

import torch
from torch import Generator, Tensor

from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.method import TrainingData


def draw_other_class(labels: Tensor, retained: Tensor, generator: Generator) -> Tensor:
    """For each label a retained class, drawn uniformly, never the label itself.

    Args:
        labels: The forgotten conditions, ``[N]`` int64.
        retained: The classes to draw from, ``[R]`` int64, ascending.
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
    """For each label the next retained class; the first one follows the last one.

    As in SalUn's released code.

    Args:
        labels: The forgotten conditions, ``[N]`` int64.
        retained: The retained classes, ``[R]`` int64, ascending.

    Returns:
        ``[N]`` int64, never the label itself if another class is retained.
    """
    return retained[torch.searchsorted(retained, labels, right=True) % len(retained)]


def retained_classes(data: TrainingData, name: str, remedy: str = "forget fewer classes") -> Tensor:
    """The classes in the retain set.

    Args:
        data: The retain and the forget set.
        name: The method or setting that needs them, for the message.
        remedy: What to do, for the message.

    Returns:
        ``[R]`` int64, ascending.

    Raises:
        InvalidRequest: For some forget image, the retain set has no class other than its own.
    """
    classes = data.retain.classes
    forgotten = data.forget.classes if data.forget else []
    if any(not set(classes) - {label} for label in forgotten):
        raise InvalidRequest(
            f"{name} needs a retained class other than the forgotten one, but the retain set has {classes}: "
            f"{remedy}"
        )
    return torch.tensor(classes)


def refuse_kept_classes(data: TrainingData, method: str) -> None:
    """Refuse a request by ids, for a method that works on a condition as a whole.

    Args:
        data: The retain and the forget set.
        method: Name of the method, for the message.

    Raises:
        InvalidRequest: A class is in the forget set and in the retain set.
    """
    kept = sorted(set(data.forget.classes if data.forget else []) & set(data.retain.classes))
    if kept:
        raise InvalidRequest(
            f"forget: {method} forgets conditions, not single images, but class {kept[0]} is also retained: "
            "use forget.classes, or a method that forgets images, such as erasediff"
        )
