"""Blindspot unlearning (arXiv 2210.08196): learn from a proxy that never saw the forget set.

    min over θ of E‖ε_θ(x_t, t, c_f) − ε_B(x_t, t, c_f)‖² + β·L_r(θ)

The first term is over the forget set. ε_B is the proxy: trained briefly on the retain set from random
weights, then frozen. L_r is the retain set's denoising loss (equation 3). The paper's term on intermediate
activations is left out, because it depends on the architecture.
"""

import copy

import torch
from pydantic import Field
from torch import Generator

from erasediff_pipeline.config import MethodSettings, PretrainSettings
from erasediff_pipeline.config.training import MEMORY
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import denoising_loss, noise_batch
from erasediff_pipeline.hashing import hash_images
from erasediff_pipeline.ranks import world_size
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.training.gradients import backward
from erasediff_pipeline.training.loop import train
from erasediff_pipeline.training.losses import training_loss
from erasediff_pipeline.training.method import Batch, TrainingData
from erasediff_pipeline.training.store import FeatureStore, Tensors
from erasediff_pipeline.unlearning.retrain import Retrain


class BlindspotSettings(MethodSettings):
    """Settings of blindspot unlearning (arXiv 2210.08196)."""

    proxy_steps: int = Field(500, ge=1)
    """Training steps of the proxy, from random weights, on the retain set. It is trained with the defaults of
    ``pretrain``, and with this method's batch size, optimiser and memory settings."""

    proxy_learning_rate: float = Field(2e-3, gt=0)
    """Peak of the proxy's one-cycle schedule."""

    retain_weight: float = Field(1.0, ge=0)
    """Weight of the denoising loss on the retain set, relative to the distillation loss."""


class Proxy(Retrain):
    """Training of the proxy; its name gives it random streams and a progress bar of its own."""

    name = "blindspot proxy"


class Blindspot:
    """Distillation of a proxy; the module's docstring states the objective."""

    name = "blindspot"
    settings_class = BlindspotSettings

    def __init__(self, settings: BlindspotSettings):
        self.settings = settings
        self.subset = settings.subset

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Train the proxy, or reuse it."""
        settings = PretrainSettings(
            steps=self.settings.proxy_steps,
            learning_rate=self.settings.proxy_learning_rate,
            batch_size=self.settings.batch_size,
            **self.settings.model_dump(include={*MEMORY, "optimiser"}),
        )
        self.proxy = copy.deepcopy(model)
        self.proxy.reinitialise(derive_seed(seed, "blindspot proxy"))
        inputs = {
            "model": self.proxy.fingerprint(),
            "retain": hash_images(data.retain),
            "seed": seed,
            "settings": settings.model_dump(),
            # Several processes train the same proxy as one process does in as many parts.
            "parts": settings.parts_for(world_size(), f"batch_size of {self.name}"),
        }

        def compute() -> Tensors:
            train(
                self.proxy,
                Proxy(settings),
                TrainingData(data.retain),
                settings,
                seed,
                store.checkpoint("blindspot-proxy"),
            )
            return dict(self.proxy.state_dict())

        self.proxy.load_state_dict(store.once("proxy", model, inputs, compute))
        self.proxy.requires_grad_(False).eval()

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
        c_f = model.condition(forget_batch.labels)
        noised = noise_batch(model, forget_batch.x0, generator)
        with torch.no_grad():
            target = self.proxy.denoise(noised.x_t, noised.t, c_f).float()
        forget_loss = denoising_loss(model, noised._replace(target=target), c_f)
        backward(model, forget_loss + settings.retain_weight * retain_loss)
        return {"retain_loss": retain_loss.item(), "forget_loss": forget_loss.item()}
