"""SalUn (arXiv 2310.12508): random labels, but only the weights that matter to the forget set are trained.

    min over Δ of L_f(θ* + m ⊙ Δ) + β·L_r(θ* + m ⊙ Δ),   m = 1(|∇L_f*(θ*)| ≥ γ)

L_f and L_r are those of ``random_label``. L_f* is the denoising loss of the forget set at the base model θ*;
γ is chosen so that a given share of all weights is trained (equations 3, 4 and 6).
"""

import torch
from pydantic import Field
from torch import Generator, Tensor

from erasediff_pipeline.config.training import MEMORY
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import denoising_loss, in_parts, noise_batch
from erasediff_pipeline.hashing import hash_images
from erasediff_pipeline.seeding import derive_seed, make_generator
from erasediff_pipeline.training.method import Batch, TrainingData, autocast
from erasediff_pipeline.training.order import batch_rows
from erasediff_pipeline.training.store import FeatureStore, Tensors
from erasediff_pipeline.unlearning.random_label import RandomLabel, RandomLabelSettings


class SalunSettings(RandomLabelSettings):
    """Settings of random labels for the salient weights only (arXiv 2310.12508)."""

    mask_fraction: float = Field(0.5, gt=0, le=1)
    """Share of the weights that may move: those with the largest |∇L_f|. The paper uses the median, 0.5."""

    mask_batches: int = Field(10, ge=1)
    """Batches of the forget set that ∇L_f is averaged over, each at its own timesteps."""

    weight_decay: float = Field(0.0, ge=0, le=0)
    """Only 0: weight decay would move the weights outside the mask."""


class Salun(RandomLabel):
    """Random labels under a saliency mask; the module's docstring states the objective."""

    name = "salun"
    settings_class = SalunSettings

    def __init__(self, settings: SalunSettings):
        super().__init__(settings)
        self.salun = settings
        self.mask: Tensors = {}

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Compute the mask at the base model's weights, or reuse it."""
        super().prepare(model, data, store, seed)
        assert data.forget is not None
        forget, settings = data.forget, self.salun
        keys = {"subset", "batch_size", "mask_fraction", "mask_batches", *MEMORY}
        inputs = {
            "model": model.fingerprint(),
            "forget": hash_images(forget),
            "seed": seed,
            "settings": settings.model_dump(include=keys),
        }

        def compute() -> Tensors:
            gradient = mean_forget_gradient(model, data, settings, derive_seed(seed, "saliency"))
            return most_salient(gradient, settings.mask_fraction)

        mask = store.once("saliency_mask", model, inputs, compute)
        self.mask = {name: m.to(model.device) for name, m in mask.items()}

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        scalars = super().gradients(model, forget_batch, retain_batch, generator)
        for name, parameter in model.trainable(self.subset).items():
            if parameter.grad is not None:
                parameter.grad.mul_(self.mask[name])
        return scalars


def mean_forget_gradient(
    model: DiffusionModel, data: TrainingData, settings: SalunSettings, seed: int
) -> Tensors:
    """Average ∇L_f*(θ*), the gradient of the forget set's denoising loss (arXiv 2310.12508, equation 3).

    Args:
        model: The model at the base model's weights θ*; its weights do not change.
        data: The forget set is used.
        settings: Number, size and parts of the batches, subset and precision.
        seed: Seed of order, timesteps and noise.

    Returns:
        By the names of ``model.trainable(settings.subset)``, float, shaped like the parameters.
    """
    assert data.forget is not None
    parameters = model.trainable(settings.subset)
    total = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    for step in range(settings.mask_batches):
        rows = batch_rows(len(data.forget), settings.batch_size, step, seed, "forget")
        pixels, labels = data.forget.tensors(rows)
        noised = noise_batch(model, model.encode(pixels), make_generator(seed, "noise", step))
        for part, c in in_parts(noised, model.condition(labels), settings.accumulation):
            with autocast(model, settings):
                loss = denoising_loss(model, part, c)
            gradients = torch.autograd.grad(loss, list(parameters.values()))
            for sum_, gradient in zip(total.values(), gradients, strict=True):
                sum_.add_(gradient, alpha=1 / (settings.mask_batches * settings.accumulation))
            del gradients  # free them before the next ones are computed
    return total


def most_salient(gradient: Tensors, fraction: float) -> Tensors:
    """Masks of the entries with the largest absolute values.

    One threshold holds for all tensors together, as in the released code.

    Args:
        gradient: Tensors by name.
        fraction: Share of all entries to choose, in (0, 1]; at least one entry is chosen.

    Returns:
        Boolean, shaped like ``gradient``.
    """
    sizes = torch.cat([g.abs().flatten() for g in gradient.values()])
    count = max(1, round(fraction * len(sizes)))
    chosen = torch.zeros(len(sizes), dtype=torch.bool, device=sizes.device)
    chosen[sizes.topk(count).indices] = True
    parts: list[Tensor] = list(chosen.split([g.numel() for g in gradient.values()]))
    return {name: part.view(g.shape) for (name, g), part in zip(gradient.items(), parts, strict=True)}
