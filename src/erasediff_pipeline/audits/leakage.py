"""Does the forgotten class show where it was not asked for?"""

import torch
from torch import Tensor


def leakage(probabilities: Tensor, labels: Tensor, forgotten: list[int]) -> dict[str, float]:
    """How often samples under other conditions are given to a forgotten class: P(ŷ ∈ F | c) for each c ∉ F.

    ŷ is what the judge takes a sample for, F the forgotten classes, c the condition that it was drawn under.
    Ours; forget accuracy, as arXiv 2401.05779 measures it, asks the same for c ∈ F.

    Args:
        probabilities: ``[N, K]`` of the judge.
        labels: ``[N]`` int64, the class that each was drawn under; −1 is the null condition.
        forgotten: The forgotten classes.

    Returns:
        The share for each label, ``unconditional`` among them.
    """
    shows = torch.isin(probabilities.argmax(dim=1), torch.tensor(forgotten)).double()
    return {
        "unconditional" if label < 0 else str(label): float(shows[labels == label].mean())
        for label in sorted(labels.unique().tolist())
    }
