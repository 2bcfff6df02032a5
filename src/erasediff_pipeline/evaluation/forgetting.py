"""Metrics of forgetting, from the classifier's output for samples."""

from typing import Any

import torch
from torch import Tensor


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy of each row, ``[N, K]`` → ``[N]``, in nats."""
    return torch.special.entr(probabilities).sum(dim=1)


def measure_forgetting(probabilities: Tensor, labels: Tensor) -> dict[str, float | dict[str, float]]:
    """Measure how much of the forgotten conditions is left in the samples drawn under them.

    Args:
        probabilities: ``[N, K]`` of the classifier, for samples under forgotten conditions; "none of the
            classes" is one of K, if the classifier can reject.
        labels: ``[N]`` int64, the class of each sample's condition.

    Returns:
        ``forget_accuracy``: share assigned to the condition's class, 0 = forgotten (arXiv 2401.05779);
        ``forget_accuracy_by_class``: the same for each class alone; ``forget_probability``: mean probability
        of that class, in [0, 1]; ``forget_entropy``: mean entropy, in nats, in [0, ln K].
    """
    right = (probabilities.argmax(dim=1) == labels).double()
    return {
        "forget_accuracy": float(right.mean()),
        "forget_accuracy_by_class": {
            str(int(label)): float(right[labels == label].mean()) for label in labels.unique()
        },
        "forget_probability": float(probabilities.gather(1, labels[:, None]).squeeze(1).double().mean()),
        "forget_entropy": float(entropy(probabilities).double().mean()),
    }


def measure_drawn(predicted: Tensor, labels: Tensor, none: int | None) -> dict[str, Any]:
    """Measure what samples under forgotten conditions show if not their class.

    Args:
        predicted: ``[N]`` int64, what the classifier says of each.
        labels: ``[N]`` int64, the class of each sample's condition.
        none: What it says of an image that shows no class; None if it cannot reject.

    Returns:
        ``none``: share that is rejected; ``other_class``: share that is accepted as another class. With
        ``forget_accuracy`` the two add up to 1. ``other_classes``: the share of each class in
        ``other_class``. All are None if the classifier cannot reject: it must then call noise a class.
    """
    if none is None:
        return dict.fromkeys(("none", "other_class", "other_classes"))
    other = predicted[(predicted != labels) & (predicted != none)]
    return {
        "none": float((predicted == none).double().mean()),
        "other_class": len(other) / len(predicted),
        "other_classes": {
            str(int(label)): int((other == label).sum()) / len(predicted) for label in other.unique()
        },
    }
