"""EraseDiff, robust to inversion: it forgets in a region around the condition, not only at one point.

The objective is that of ``erasediff``, but L_f takes predictions not under the forgotten condition's
embedding e_f but under

    e = e_f + u·σ·s∘z + δ,    z ~ N(0, I) and u ~ U(0, 1) for each image,

where s is the standard deviation of the retained conditions' embeddings, element by element: at σ = 1 the
shift is as large as the distance between conditions. δ, one for the batch, imitates the audit's inversion in
a few steps: K signed descent steps of size σ·s/K on the loss that brings the forgotten images back,

    min over δ of E‖ε − ε_θ(x_t, t, e)‖²,

as in adversarial training (arXiv 1706.06083, section 2; for concepts in diffusion models arXiv 2405.15234).
K = 0 leaves δ out.
"""

import torch
from pydantic import Field
from tensordict import TensorDict
from torch import Generator, Tensor

from erasediff_pipeline.diffusion.embedded import map_floats, spread_embeddings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import Noised, noise_batch, squared_error
from erasediff_pipeline.training.gradients import gradients_of
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.erasediff import EraseDiff, EraseDiffSettings, Predict


class RobustEraseDiffSettings(EraseDiffSettings):
    """Settings of EraseDiff with an attack on the embedding inside the training."""

    radius: float = Field(0.1, gt=0)
    """σ, the radius around the forgotten embedding, in standard deviations of the retained embeddings."""

    attack_steps: int = Field(2, ge=0)
    """K, steps of the attack in each training step; 0 uses random embeddings only."""


class RobustEraseDiff(EraseDiff):
    """The constrained step under shifted embeddings; the module's docstring states the objective."""

    name = pipeline = parameters = "erasediff_robust"
    version = 3
    settings_class = RobustEraseDiffSettings

    def __init__(self, settings: RobustEraseDiffSettings):
        super().__init__(settings)
        self.settings: RobustEraseDiffSettings = settings
        self.spread: TensorDict

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """As ``EraseDiff``; and measure s, the spread of the retained conditions' embeddings."""
        super().prepare(model, data, store, seed)
        forgotten = data.forget.classes if data.forget else []
        table = spread_embeddings(
            model, *(torch.tensor(numbers, dtype=torch.int64) for numbers in (data.retain.classes, forgotten))
        )
        self.spread = map_floats(lambda _, rows: rows.std(dim=0, correction=0), table[0], table)

    def predictor(self, model: DiffusionModel, batch: Batch, generator: Generator) -> Predict:
        """Return the prediction of L_f for the forget batch: under embeddings around its conditions'."""
        c = model.condition(batch.labels)
        u = torch.rand(len(batch.labels), generator=generator, device=generator.device)

        def draw(spread: Tensor) -> Tensor:
            z = torch.randn((len(u), *spread.shape), generator=generator, device=generator.device)
            scaled = (u.view(-1, *[1] * spread.dim()) * z).to(model.device)
            return scaled * self.settings.radius * spread

        shift = map_floats(draw, self.spread)
        if self.settings.attack_steps:
            delta = self.attack(model, batch, c, shift, generator)
            shift = map_floats(torch.add, shift, delta)

        def predict(model: DiffusionModel, noised: Noised) -> Tensor:
            e = map_floats(torch.add, model.embed_condition(c), shift)
            return model.denoise_embedded(noised.x_t, noised.t, e)

        return predict

    def attack(
        self, model: DiffusionModel, batch: Batch, c: TensorDict, shift: TensorDict, generator: Generator
    ) -> TensorDict:
        """Find δ, which lowers E‖ε − ε_θ(x_t, t, e)‖² on this batch (arXiv 1706.06083, section 2).

        Args:
            model: The model under training; its weights do not change.
            batch: The forget batch of N images.
            c: Its N conditions.
            shift: The random shifts u·σ·s∘z, one embedding per image.
            generator: On the CPU; source of timesteps and noise.

        Returns:
            δ, one embedding; each element is within ±σ·s.
        """
        noised, radius = noise_batch(model, batch.x0, generator), self.settings.radius
        start = map_floats(torch.add, model.embed_condition(c).detach(), shift)
        delta = map_floats(lambda spread: torch.zeros_like(spread, requires_grad=True), self.spread)
        names = [name for name, value in delta.items() if value.requires_grad]
        inputs, spreads = ([e[name] for name in names] for e in (delta, self.spread))
        for _ in range(self.settings.attack_steps):
            predicted = model.denoise_embedded(noised.x_t, noised.t, map_floats(torch.add, start, delta))
            gradients = gradients_of(model, squared_error(model, predicted, noised), inputs)
            for value, spread, gradient in zip(inputs, spreads, gradients, strict=True):
                value.data -= radius * spread / self.settings.attack_steps * gradient.sign()
        return delta.detach()
