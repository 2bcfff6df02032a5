"""UCE (arXiv 2308.14761): edit the cross-attention in closed form, without a training step.

For every key and value projection W* of the cross-attention, with c_i the token embeddings of the forgotten
prompts, a_i those of the anchor prompt at the same positions, and c_j those of the retained prompts,

    min over W of  mean_i ‖W c_i − W* a_i‖² + p·mean_j ‖W c_j − W* c_j‖² + r·‖W − W*‖²

    W = W*·(mean_i a_i c_iᵀ + p·mean_j c_j c_jᵀ + r·1)·(mean_i c_i c_iᵀ + p·mean_j c_j c_jᵀ + r·1)⁻¹

(equation 7, with means in place of sums, so that p and r do not depend on the number of prompts). A token
whose embedding also occurs in a retained prompt is left out of the first mean: a causal text encoder gives
the tokens before the word the same embedding, whatever the word. Without an anchor, it is the empty prompt.
"""

import torch
from pydantic import Field
from torch import Tensor

from erasediff_pipeline.config.base import Settings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.method import TrainingData
from erasediff_pipeline.unlearning.labels import refuse_kept_classes


class UceSettings(Settings):
    """Settings of Unified Concept Editing (arXiv 2308.14761)."""

    preserve_weight: float = Field(1.0, gt=0)
    """p, weight of the retained prompts relative to the forgotten ones."""

    ridge: float = Field(1e-3, gt=0)
    """r, weight of staying near the base model, relative to the mean square of the embeddings."""


class Uce:
    """An edit in closed form; the module's docstring states the objective."""

    name = "uce"
    settings_class = UceSettings
    classes_only = True
    prompts_only = True
    closed_form = True

    def __init__(self, settings: UceSettings):
        self.settings = settings

    @torch.no_grad()
    def edit(self, model: DiffusionModel, data: TrainingData) -> dict[str, float]:
        """Replace the weights; return ‖W − W*‖ / ‖W*‖ over all of them together as ``weight_change``.

        Raises:
            InvalidRequest: The model has no cross-attention to a text, a forgotten prompt is also retained,
                or the text encoder cannot tell the forgotten prompts from the retained ones.
        """
        refuse_kept_classes(data, self.name)
        assert data.forget is not None
        attended_tokens = getattr(model, "attended_tokens", None)
        if attended_tokens is None:
            raise InvalidRequest(
                f"{self.name} edits the cross-attention to a text, and this model has none: "
                "use another method"
            )
        forgotten, attended = attended_tokens(model.condition(torch.tensor(data.forget.classes)))
        tokens_kept, kept = attended_tokens(model.condition(torch.tensor(data.retain.classes)))
        anchor = (
            model.null_condition(1) if data.anchor is None else model.condition(torch.tensor([data.anchor]))
        )
        anchors, used = attended_tokens(anchor)
        last = int(used[0].sum()) - 1  # no training attends to the tokens behind it
        rows = torch.arange(used.shape[1]).clamp(max=last)
        anchors = anchors[:, rows.to(anchors.device)].expand_as(forgotten).flatten(0, 1)
        tokens, retained = forgotten.flatten(0, 1), tokens_kept[kept]
        own = attended.flatten() & ~_occurs_in(tokens, retained)
        if not own.any():
            raise InvalidRequest(
                "forget.prompts: the text encoder cannot tell them from retained prompts: use other prompts"
            )
        change = _transfer(
            tokens[own], anchors[own], retained, self.settings.preserve_weight, self.settings.ridge
        )
        moved = size = 0.0
        for name, weight in model.trainable("xattn").items():
            if name.endswith((".to_k.weight", ".to_v.weight")):
                edited = (weight.double() @ change).to(weight.dtype)
                moved += float((edited - weight).square().sum())
                size += float(weight.square().sum())
                weight.copy_(edited)
        return {"weight_change": (moved / size) ** 0.5}


def _occurs_in(tokens: Tensor, others: Tensor) -> Tensor:
    """Which of ``tokens`` ``[N, D]`` are among ``others`` ``[M, D]``, up to rounding: ``[N]`` boolean."""
    distances = torch.cdist(
        tokens.double(), others.double().unique(dim=0), compute_mode="donot_use_mm_for_euclid_dist"
    )
    return distances.amin(dim=1) <= 1e-4 * tokens.norm(dim=1)


def _transfer(tokens: Tensor, anchors: Tensor, retained: Tensor, preserve: float, ridge: float) -> Tensor:
    """The matrix T of W = W*·T.

    Args:
        tokens: c_i, ``[N, D]``.
        anchors: a_i, ``[N, D]``.
        retained: c_j, ``[M, D]``.
        preserve: p.
        ridge: r, in units of the mean square of an embedding's entries.

    Returns:
        ``[D, D]`` float64.
    """
    c, a, kept = tokens.double(), anchors.double(), retained.double()
    scale = ridge * float(kept.square().mean())
    common = preserve * kept.T @ kept / len(kept) + scale * torch.eye(
        c.shape[1], dtype=c.dtype, device=c.device
    )
    # T·right = left, so Tᵀ solves the transposed system; right is symmetric.
    left, right = a.T @ c / len(c) + common, c.T @ c / len(c) + common
    return torch.linalg.solve(right, left.T).T
