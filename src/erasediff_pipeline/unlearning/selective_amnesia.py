"""Selective Amnesia (arXiv 2305.10120): map the forgotten condition to noise, and stay near the base model.

    min over θ of E_{x0 ~ U[−1,1]}‖ε − ε_θ(x_t, t, c_f)‖² + λ/2·Σ_i F_i·(θ_i − θ*_i)² + γ·L_replay(θ)

The first term makes uniform noise the images of the forgotten condition (the surrogate, section 3.2). F is
the Fisher diagonal at the base model θ* (elastic weight consolidation, arXiv 1612.00796), see
``estimate_fisher``, here over the training images; the released code draws images for it. L_replay is the
denoising loss of images that θ* draws under the retained conditions (generative replay). Equation 5; the
denoising loss bounds −log p. A request by ids is refused, because a condition becomes noise as a whole.
"""

import torch
from pydantic import Field
from torch import Generator

from erasediff_pipeline.config import MethodSettings, SamplingSettings
from erasediff_pipeline.config.training import MEMORY
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import denoising_loss, noise_batch
from erasediff_pipeline.diffusion.sampling import stream_samples
from erasediff_pipeline.hashing import hash_images
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.training.gradients import backward
from erasediff_pipeline.training.losses import training_loss
from erasediff_pipeline.training.method import Batch, TrainingData, autocast
from erasediff_pipeline.training.store import FeatureStore, Tensors
from erasediff_pipeline.unlearning.fisher import estimate_fisher
from erasediff_pipeline.unlearning.labels import refuse_kept_classes


class SelectiveAmnesiaSettings(MethodSettings):
    """Settings of Selective Amnesia (arXiv 2305.10120)."""

    learning_rate: float = Field(5e-5, gt=0)
    """Peak step size of Adam. Lower than for the other methods: larger steps towards uniform noise damage the
    retained samples."""

    ewc_weight: float = Field(10.0, ge=0)
    """λ of the penalty λ/2·Σ F_i·(θ_i − θ*_i)²; the released code uses 10 for its DDPM."""

    replay_weight: float = Field(1.0, ge=0)
    """γ, weight of the denoising loss on replayed images."""

    replay_images: int = Field(900, ge=1)
    """Images that the base model draws before the first step, evenly over the retained conditions. They are
    drawn ``replay_sampling.batch_size`` at a time, or at most one part of a batch at a time if a setting that
    saves memory is on."""

    replay_sampling: SamplingSettings = SamplingSettings(guidance_scale=2.0)
    """How they are drawn. These are the method's own: ``sampling`` decides how a model is measured, this what
    it is trained on."""

    fisher_batches: int = Field(40, ge=1)
    """Batches that the Fisher diagonal is averaged over."""

    fisher_batch_size: int = Field(32, ge=1)
    """Images in such a batch, each at its own timestep. Memory grows with one part of it (see
    ``accumulation``) times the number of weights."""


class SelectiveAmnesia:
    """Surrogate, elastic weights and replay; the module's docstring states the objective."""

    name = "selective_amnesia"
    settings_class = SelectiveAmnesiaSettings
    version = 2
    classes_only = True
    components = ("sampling",)  # of the replay

    def __init__(self, settings: SelectiveAmnesiaSettings):
        self.settings = settings
        self.subset = settings.subset

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Estimate the Fisher diagonal and draw the replay images, or reuse both."""
        assert data.forget is not None
        refuse_kept_classes(data, self.name)
        settings = self.settings
        everything = data.retain.join(data.forget)
        origin = {"model": model.fingerprint(), "seed": seed}
        self.fisher = store.once(
            "fisher",
            model,
            {
                **origin,
                "images": hash_images(everything),
                "settings": settings.model_dump(
                    include={"subset", "fisher_batches", "fisher_batch_size", *MEMORY}
                ),
            },
            lambda: self.estimate_fisher(model, everything, derive_seed(seed, "fisher")),
        )
        self.fisher = {name: f.to(model.device) for name, f in self.fisher.items()}
        self.anchor = {name: p.detach().clone() for name, p in model.trainable(settings.subset).items()}
        labels = torch.tensor(data.retain.classes).repeat(
            -(-settings.replay_images // len(data.retain.classes))
        )
        labels = labels[: settings.replay_images]
        sampling = _replay_sampling(settings)
        replay = store.once(
            "replay",
            model,
            {**origin, "labels": labels.tolist(), "sampling": sampling.model_dump()},
            lambda: _draw_replay(model, labels, derive_seed(seed, "replay"), sampling),
        )
        self.replay = LabelledImages(replay["images"].numpy(), replay["labels"].numpy())

    def estimate_fisher(self, model: DiffusionModel, images: LabelledImages, seed: int) -> Tensors:
        """The Fisher diagonal over ``images``, with the memory settings of the method."""
        settings = self.settings
        with autocast(model, settings):
            return estimate_fisher(
                model,
                settings.subset,
                images,
                settings.fisher_batches,
                settings.fisher_batch_size,
                seed,
                settings.accumulation,
                settings.gradient_checkpointing,
            )

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        assert forget_batch is not None
        settings = self.settings
        rows = torch.randint(len(self.replay), (len(retain_batch.labels),), generator=generator)
        pixels, labels = self.replay.tensors(rows.numpy())
        x0, labels = model.encode(pixels), labels.to(model.device)
        replay = Batch(x0, labels, retain_batch.forgotten_before)
        replay_loss = training_loss(model, replay, settings.condition_dropout, generator)

        surrogate = torch.rand(forget_batch.x0.shape, generator=generator) * 2 - 1
        noised = noise_batch(model, surrogate.to(forget_batch.x0.device), generator)
        forget_loss = denoising_loss(model, noised, model.condition(forget_batch.labels))

        moved = [
            (self.fisher[name] * (p - self.anchor[name]).square()).sum()
            for name, p in model.trainable(self.subset).items()
        ]
        penalty = settings.ewc_weight / 2 * torch.stack(moved).sum()
        backward(model, forget_loss + penalty + settings.replay_weight * replay_loss)
        return {
            "forget_loss": forget_loss.item(),
            "retain_loss": replay_loss.item(),
            "ewc_penalty": penalty.item(),
        }


def _replay_sampling(settings: SelectiveAmnesiaSettings) -> SamplingSettings:
    """``replay_sampling``; if memory must be saved, no more images at a time than in training."""
    sampling = settings.replay_sampling
    if not settings.saves_memory:
        return sampling
    return sampling.model_copy(update={"batch_size": min(sampling.batch_size, settings.part_size)})


def _draw_replay(
    model: DiffusionModel, labels: torch.Tensor, seed: int, sampling: SamplingSettings
) -> Tensors:
    """``images``, drawn by the base model, ``[N, C, H, W]`` uint8, and their ``labels`` ``[N]``."""
    images = torch.cat(list(stream_samples(model, labels, seed, sampling)))
    return {"images": images, "labels": labels}
