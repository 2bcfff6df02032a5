import pytest
import torch
from torch.nn.functional import one_hot

from erasediff_pipeline.audits.leakage import leakage


def test_shares_by_what_was_asked_for():
    """By hand: classes 0 and 3 are forgotten; one of three samples of class 1 shows a 3."""
    seen = torch.tensor([1, 3, 1, 2, 0, 2])
    asked = torch.tensor([1, 1, 1, 2, -1, -1])
    shares = leakage(one_hot(seen, 4).double(), asked, [0, 3])
    assert shares == {"unconditional": 0.5, "1": pytest.approx(1 / 3), "2": 0.0}
