"""Random labels: the forgotten condition learns to draw what a retained one draws.

    min over θ of L_f(θ) + β·L_r(θ)

L_r is the denoising loss of the retain set. c′ is a retained class, drawn for each forget image at each step;

    aim = prediction:  L_f = E‖ε_θ(x_t, t, c_f) − sg[ε_θ(x_t, t, c′)]‖²    (arXiv 2310.12508, equation 6)
    aim = image:       L_f = E‖ε − ε_θ(x_t, t, c′)‖²,  x_t of a forget image

sg stops the gradient. SalUn is the first form with a mask on the weights; EraseDiff's ``other_class`` is the
same target with a λ of each step.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor

from erasediff_pipeline.config import MethodSettings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import denoising_loss, noise_batch
from erasediff_pipeline.training.gradients import backward
from erasediff_pipeline.training.losses import training_loss
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.labels import draw_other_class, retained_classes


class RandomLabelSettings(MethodSettings):
    """Settings of training the forget images under random retained labels."""

    aim: Literal["prediction", "image"] = "prediction"
    """How the random label c′ is used.

    ``prediction`` pulls ε(x_t, c_f) to ε(x_t, c′), equation 6 of SalUn. ``image`` denoises the forget images
    under c′, as is done for classifiers. It leaves what the forgotten condition draws as it is, and shows the
    forget images under retained conditions.
    """

    retain_weight: float = Field(1.0, ge=0)
    """β in L_f + β·L_r (arXiv 2310.12508, equation 6)."""


class RandomLabel:
    """Forget images under random retained labels; the module's docstring states the objective."""

    name = "random_label"
    settings_class: type[RandomLabelSettings] = RandomLabelSettings

    def __init__(self, settings: RandomLabelSettings):
        self.settings = settings
        self.subset = settings.subset
        self.retained_classes = torch.empty(0, dtype=torch.int64)

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """List the classes to draw from.

        Raises:
            InvalidRequest: The retain set has no other class.
        """
        self.retained_classes = retained_classes(data, self.name)

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        assert forget_batch is not None
        settings = self.settings
        retain_loss = training_loss(model, retain_batch, settings.condition_dropout, generator)
        forget_loss = self.forget_loss(model, forget_batch, generator)
        backward(model, forget_loss + settings.retain_weight * retain_loss)
        return {"retain_loss": retain_loss.item(), "forget_loss": forget_loss.item()}

    def forget_loss(self, model: DiffusionModel, batch: Batch, generator: Generator) -> Tensor:
        """Compute L_f of one batch, a scalar."""
        noised = noise_batch(model, batch.x0, generator)
        others = draw_other_class(batch.labels.cpu(), self.retained_classes, generator)
        if self.settings.aim == "image":
            return denoising_loss(model, noised, model.condition(others))
        with torch.no_grad():
            target = model.denoise(noised.x_t, noised.t, model.condition(others)).float()
        return denoising_loss(model, noised._replace(target=target), model.condition(batch.labels))
