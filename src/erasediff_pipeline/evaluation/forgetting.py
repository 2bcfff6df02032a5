"""Metrics of forgetting, from the classifier's output for samples."""

import torch
from torch import Tensor


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy of each row, ``[N, K]`` → ``[N]``, in nats."""
    return torch.special.entr(probabilities).sum(dim=1)


def measure_forgetting(probabilities: Tensor, labels: Tensor) -> dict[str, float | dict[str, float]]:
    """Measure how much of the forgotten conditions is left in the samples drawn under them.

    Args:
        probabilities: ``[N, K]`` of the classifier, for samples under forgotten conditions.
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
