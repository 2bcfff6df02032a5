"""Gradients in the range of the precision that they are computed in."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erasediff_pipeline.diffusion.model import Trainable

START, HIGHEST, GROWTH_INTERVAL = 2.0**16, 2.0**24, 2000


class LossScale:
    """S, by which a loss is multiplied and its gradients are divided (arXiv 1710.03740, section 3.2).

    The small gradients inside the model would be 0 in fp16. S halves where they overflow, and that step is
    left out; after ``GROWTH_INTERVAL`` good steps it doubles: the rule of ``torch.amp.GradScaler``, which
    knows optimisers only, while methods combine gradients before there is a step. All S are powers of two:
    nothing is rounded.

    Args:
        active: Whether there is one; else S is 1, for good.
    """

    def __init__(self, active: bool):
        self.active = active
        self.scale = START if active else 1.0
        self.good = 0
        """Steps since S has last changed."""

    @property
    def state(self) -> tuple[float, int]:
        """S and the steps since it has last changed: what a checkpoint keeps."""
        return self.scale, self.good

    def restore(self, scale: float, good: int) -> None:
        """Go on from what a checkpoint has kept."""
        self.scale, self.good = scale, good

    def update(self, finite: bool) -> None:
        """After each step: halve S, or double it in the end."""
        if not self.active:
            return
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.scale /= 2
        elif self.good == GROWTH_INTERVAL:
            self.scale, self.good = min(2 * self.scale, HIGHEST), 0

    @property
    def exhausted(self) -> bool:
        """Whether no S is left that a gradient which is not finite could be blamed on."""
        return self.scale <= 1


def gradients_of(model: Trainable, loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """∂loss/∂inputs, one for each, in the range of the model's precision (``Trainable.loss_scale``)."""
    gradients = list(torch.autograd.grad(loss * model.loss_scale, inputs))
    return gradients if model.loss_scale == 1 else [g.div_(model.loss_scale) for g in gradients]


def backward(model: Trainable, loss: Tensor) -> None:
    """Add the gradients of ``loss`` to ``.grad``, in the range of the model's precision."""
    if model.loss_scale == 1:
        loss.backward()
        return
    moving = [p for p in model.parameters() if p.requires_grad]
    before = [p.grad for p in moving]
    for parameter in moving:
        parameter.grad = None
    (loss * model.loss_scale).backward()
    for parameter, earlier in zip(moving, before, strict=True):
        if parameter.grad is None:
            parameter.grad = earlier
            continue
        parameter.grad.div_(model.loss_scale)
        if earlier is not None:
            parameter.grad.add_(earlier)
