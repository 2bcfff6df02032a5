"""Gradients: scaled to the range of fp16, and averaged over the parts of a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from erasediff_pipeline.diffusion.model import Trainable
from erasediff_pipeline.seeding import derive_seed, make_generator
from erasediff_pipeline.training.method import Batch, M, Method, Scalars
from erasediff_pipeline.training.processes import Share

START, HIGHEST, GROWTH_INTERVAL = 2.0**16, 2.0**24, 2000


class LossScale:
    """S: a loss is multiplied by it, and its gradients are divided by it (arXiv 1710.03740, section 3.2).

    In fp16, small gradients inside the model would underflow to 0. S halves when a gradient overflows, and
    that step is skipped; after ``GROWTH_INTERVAL`` good steps it doubles. This is the rule of
    ``torch.amp.GradScaler``, which works on an optimiser only, while methods combine gradients before there
    is a step. Every S is a power of two, so nothing is rounded.

    Args:
        active: Whether to scale; if not, S stays 1.

    Attributes:
        good_steps: Steps since S last changed.
    """

    def __init__(self, active: bool):
        self.active = active
        self.scale = START if active else 1.0
        self.good_steps = 0

    def update(self, finite: bool) -> None:
        """Halve S after a non-finite gradient, otherwise double it after ``GROWTH_INTERVAL`` good steps.

        Args:
            finite: Whether every gradient of the step was finite.
        """
        if not self.active:
            return
        self.good_steps = self.good_steps + 1 if finite else 0
        if not finite:
            self.scale /= 2
        elif self.good_steps == GROWTH_INTERVAL:
            self.scale, self.good_steps = min(2 * self.scale, HIGHEST), 0

    @property
    def exhausted(self) -> bool:
        """Whether S cannot be halved any more: then a gradient that is not finite is a real error."""
        return self.scale <= 1


def gradients_of(model: Trainable, loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """∂loss/∂inputs, computed under ``model.loss_scale``.

    Args:
        model: The model that ``loss`` was computed with.
        loss: A scalar.
        inputs: Tensors that require a gradient.

    Returns:
        One gradient for each input, of its shape, divided by the scale again.
    """
    gradients = list(torch.autograd.grad(loss * model.loss_scale, inputs))
    return gradients if model.loss_scale == 1 else [g.div_(model.loss_scale) for g in gradients]


def backward(model: Trainable, loss: Tensor) -> None:
    """Add the gradients of ``loss`` (a scalar) to ``.grad``, computed under ``model.loss_scale``."""
    if model.loss_scale == 1:
        loss.backward()
        return
    trained = [p for p in model.parameters() if p.requires_grad]
    earlier = [p.grad for p in trained]
    for parameter in trained:
        parameter.grad = None
    (loss * model.loss_scale).backward()
    for parameter, gradient in zip(trained, earlier, strict=True):
        if parameter.grad is None:
            parameter.grad = gradient
            continue
        parameter.grad.div_(model.loss_scale)
        if gradient is not None:
            parameter.grad.add_(gradient)


def accumulate(
    model: M, method: Method[M], forget: Batch | None, retain: Batch, seed: int, step: int, share: Share
) -> Scalars:
    """Leave the mean gradient over this process's parts of a batch in ``.grad``.

    Args:
        model: The model under training.
        method: Computes the gradients of one part.
        forget: This process's share of the forget batch, if there is a forget set.
        retain: This process's share of the retain batch.
        seed: Top-level seed.
        step: Number of the step, from 0.
        share: The parts that this process takes.

    Returns:
        The means over the parts of what the method logs.
    """
    if len(share.mine) == 1:
        return _part_gradients(model, method, forget, retain, seed, step, share.mine.start)
    trained = [p for p in model.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in trained]
    logged: list[Scalars] = []
    for index, number in enumerate(share.mine):
        part = [batch.part(index, len(share.mine)) if batch else None for batch in (forget, retain)]
        assert part[1] is not None  # only the forget set may be absent
        logged.append(_part_gradients(model, method, part[0], part[1], seed, step, number))
        for sum_, parameter in zip(total, trained, strict=True):
            if parameter.grad is not None:
                sum_.add_(parameter.grad, alpha=1 / len(share.mine))
                parameter.grad = None
    for sum_, parameter in zip(total, trained, strict=True):
        parameter.grad = sum_
    return {name: sum(scalars[name] for scalars in logged) / len(logged) for name in logged[0]}


def _part_gradients(
    model: M, method: Method[M], forget: Batch | None, retain: Batch, seed: int, step: int, part: int
) -> Scalars:
    """The gradients of one part; its random draws do not depend on the process that takes it."""
    stream = (step, part) if part else (step,)  # a whole batch draws as the first part does
    # Dropout draws from the global generator: tie it to the step as well.
    torch.manual_seed(derive_seed(seed, method.name, "global", *stream))
    return method.gradients(model, forget, retain, make_generator(seed, method.name, "noise", *stream))


def dot(left: list[Tensor], right: list[Tensor]) -> float:
    """Inner product of two lists of tensors, each taken as one long vector."""
    products = [(x * y).sum() for x, y in zip(left, right, strict=True)]
    return float(torch.stack(products).double().sum())  # read once: each reading waits for the GPU
