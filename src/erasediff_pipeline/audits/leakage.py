"""Do samples of other conditions show a forgotten class?"""

import torch
from torch import Tensor


def leakage(probabilities: Tensor, labels: Tensor, forgotten: list[int]) -> dict[str, float]:
    """Share of samples under each other condition that show a forgotten class: P(ŷ ∈ F | c) for each c ∉ F.

    ŷ is the class that the classifier assigns to a sample, F the forgotten classes, c the condition.
    Our own measure; forget accuracy (arXiv 2401.05779) is the same for c ∈ F.

    Args:
        probabilities: ``[N, K]`` float of the classifier, each row with sum 1.
        labels: ``[N]`` int64, the class of each condition; −1 is the null condition.
        forgotten: The forgotten classes.

    Returns:
        The share for each label, in [0, 1]; that of the null condition has the key ``unconditional``.
    """
    shows = torch.isin(probabilities.argmax(dim=1), torch.tensor(forgotten)).double()
    return {
        "unconditional" if label < 0 else str(label): float(shows[labels == label].mean())
        for label in sorted(labels.unique().tolist())
    }
