"""ESD (arXiv 2303.07345): predict away from the forgotten condition.

    min over θ of E‖ε_θ(x_t, t, c_f) − (ε*(x_t, t, ∅) − η·(ε*(x_t, t, c_f) − ε*(x_t, t, ∅)))‖² + β·L_r(θ)

ε* is the frozen base model, ∅ the null condition; equation 7. The paper has no images and draws x_t from the
model itself; here x_t are noised images of the forget set. The paper has no retain term (β = 0): it protects
the rest by training few weights (``subset``). A request by ids is refused, because the method pushes a
condition away as a whole.
"""

import copy

import torch
from pydantic import Field
from torch import Generator

from erasediff_pipeline.config import MethodSettings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import denoising_loss, noise_batch
from erasediff_pipeline.training.gradients import backward
from erasediff_pipeline.training.losses import training_loss
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.labels import refuse_kept_classes


class EsdSettings(MethodSettings):
    """Settings of ESD (arXiv 2303.07345)."""

    negative_guidance: float = Field(1.0, ge=0)
    """η in ε(null) − η·(ε(c_f) − ε(null)), equation 7; the paper's default is 1."""

    retain_weight: float = Field(1.0, ge=0)
    """Weight of the denoising loss on the retain set. The paper has no such term: 0 is its objective."""


class Esd:
    """Negative guidance as a training target; the module's docstring states the objective."""

    name = "esd"
    settings_class = EsdSettings
    classes_only = True

    def __init__(self, settings: EsdSettings):
        self.settings = settings
        self.subset = settings.subset

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Copy the base model."""
        refuse_kept_classes(data, self.name)
        self.base = copy.deepcopy(model).requires_grad_(False).eval()

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        assert forget_batch is not None
        settings = self.settings
        c_f = model.condition(forget_batch.labels)
        noised = noise_batch(model, forget_batch.x0, generator)
        with torch.no_grad():
            unconditional = self.base.denoise(noised.x_t, noised.t, model.null_condition(len(c_f)))
            conditional = self.base.denoise(noised.x_t, noised.t, c_f)
            target = unconditional - settings.negative_guidance * (conditional - unconditional)
        forget_loss = denoising_loss(model, noised._replace(target=target.float()), c_f)
        backward(model, forget_loss)
        scalars = {"forget_loss": forget_loss.item()}
        if settings.retain_weight:
            retain_loss = training_loss(model, retain_batch, settings.condition_dropout, generator)
            backward(model, settings.retain_weight * retain_loss)
            scalars["retain_loss"] = retain_loss.item()
        return scalars
