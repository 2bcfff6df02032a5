"""EraseDiff (arXiv 2401.05779): forget by a constrained step, retain by the denoising loss.

    min over θ of L_r(θ)   subject to   L_f(θ) − min_φ L_f(φ) ≤ 0

L_r is the denoising loss on the retain set. L_f is the mean squared distance, on the forget set, between
the prediction under the forgotten condition and a *forget target*. Both gradients make one step,

    d = ∇L_r + λ·∇L_f,    λ = max(0, (a − ⟨∇L_r, ∇L_f⟩) / ‖∇L_f‖²),

so that ⟨∇L_f, d⟩ ≥ a: for a ≥ 0 a small plain gradient step along −d never raises L_f. (Adam rescales
each coordinate; there the statement holds for the direction that it is given.) min_φ L_f(φ) is a constant
and has no gradient: the K inner steps of the paper's algorithm only enter through a, under ``value_gap``.

Not the paper's, and off unless asked for, is ``retain_loss: distillation``. L_r then pulls to what the model
predicted before the first step, see ``method.teach``, and a class or prompt that is aimed at is aimed at as
it was drawn then: where both move, target and prediction run away together.
"""

import copy
import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import mse_loss
from torch.nn.utils import get_total_norm

from erasediff_pipeline.config import UnlearnSettings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import Noised, noise_batch
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.gradients import gradients_of
from erasediff_pipeline.training.method import Batch, TrainingData, training_loss
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.labels import draw_other_class, next_class, retained_classes

EPSILON = 1e-12
"""Keeps λ finite where the forget gradient vanishes."""

Asked = Callable[[DiffusionModel, Noised], Tensor]
"""What a model, be it this one or a copy, predicts under the forgotten condition."""


def find_lambda(
    control: str, inner: float, retain_norm: float, forget_norm: float, a: float, fixed: float
) -> float:
    """λ, the weight of the forget gradient.

    Args:
        control: ``fixed``, ``cosine``, or one of the two that share the formula above.
        inner: ⟨∇L_r, ∇L_f⟩.
        retain_norm: ‖∇L_r‖.
        forget_norm: ‖∇L_f‖.
        a: η‖∇L_f‖² (``grad_norm``), η times the value gap (``value_gap``), or η itself (``cosine``).
        fixed: λ under ``fixed``.

    Returns:
        λ ≥ 0, or NaN where one of these is NaN, so that the loop sees a gradient that is not finite.
    """
    if control == "fixed":
        return fixed
    if control == "cosine":
        return max(a - inner / (retain_norm * forget_norm + EPSILON), 0.0)
    return max((a - inner) / (forget_norm**2 + EPSILON), 0.0)  # in this order NaN stays NaN


def dot(left: list[Tensor], right: list[Tensor]) -> float:
    """Inner product of two lists of tensors, as one long vector each."""
    products = [(x * y).sum() for x, y in zip(left, right, strict=True)]
    return float(torch.stack(products).double().sum())  # once: each reading of a number waits for the GPU


class EraseDiff:
    """One step's gradients; see the module's docstring for the objective."""

    name, parameters = "erasediff", "unlearn"

    def __init__(self, settings: UnlearnSettings):
        self.settings = settings
        self.subset = settings.subset
        self.retained_classes = torch.empty(0, dtype=torch.int64)
        self.anchor = -1
        self.teacher: DiffusionModel | None = None

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Note what may be aimed at, and under ``distillation`` what the retain set is to look like."""
        if self.settings.retain_loss == "distillation":
            self.teacher = copy.deepcopy(model).requires_grad_(False).eval()
        if data.anchor is not None:
            self.anchor = data.anchor
        if self.settings.forget_target == "anchor_prompt" and data.anchor is None:
            raise InvalidRequest(
                f"{self.parameters}.forget_target: 'anchor_prompt' needs a request by forget.prompts: "
                "allowed are 'other_class', 'next_class', 'null', 'uniform_noise'"
            )
        if self.settings.forget_target in ("other_class", "next_class"):
            asker = f"{self.parameters}.forget_target: '{self.settings.forget_target}'"
            remedy = "allowed are 'null', 'uniform_noise'"
            self.retained_classes = retained_classes(data, asker, remedy)

    def gradients(
        self,
        model: DiffusionModel,
        forget_batch: Batch | None,
        retain_batch: Batch,
        generator: Generator,
    ) -> dict[str, float]:
        assert forget_batch is not None
        settings = self.settings
        parameters = list(model.trainable(settings.subset).values())

        retain_loss = training_loss(model, retain_batch, settings.condition_dropout, generator, self.teacher)
        g_retain = gradients_of(model, retain_loss, parameters)

        forget = self.aim(model, forget_batch, generator)
        asked = self.ask(model, forget_batch, generator)
        forget_loss = mse_loss(asked(model, forget).float(), forget.target)
        g_forget = gradients_of(model, forget_loss, parameters)

        inner = dot(g_retain, g_forget)
        retain_norm, forget_norm = float(get_total_norm(g_retain)), float(get_total_norm(g_forget))
        bounds: dict[str, Callable[[], float]] = {
            "grad_norm": lambda: settings.eta * forget_norm**2,
            "value_gap": lambda: settings.eta * self.value_gap(model, forget, asked, forget_loss),
            "cosine": lambda: settings.eta,
            "fixed": lambda: 0.0,
        }
        weight = find_lambda(
            settings.control,
            inner,
            retain_norm,
            forget_norm,
            bounds[settings.control](),
            settings.fixed_lambda,
        )
        for parameter, gr, gf in zip(parameters, g_retain, g_forget, strict=True):
            parameter.grad = gr.add_(gf, alpha=weight)
        return {
            "retain_loss": retain_loss.item(),
            "forget_loss": forget_loss.item(),
            "lambda": weight,
            "gradient_cosine": inner / (retain_norm * forget_norm + EPSILON),
        }

    @torch.no_grad()
    def aim(self, model: DiffusionModel, batch: Batch, generator: Generator) -> Noised:
        """Noise the forget batch, with timesteps of its own, and set the forget target as its target."""
        noised = noise_batch(model, batch.x0, generator)
        if self.settings.forget_target == "uniform_noise":
            noise = torch.rand(batch.x0.shape, generator=generator, device=generator.device)
            return noised._replace(target=noise.to(batch.x0.device))
        if self.settings.forget_target == "null":  # a teacher's null condition still draws what is forgotten
            c = model.null_condition(len(batch.labels))
            return noised._replace(target=model.denoise(noised.x_t, noised.t, c).float())
        if self.settings.forget_target == "anchor_prompt":
            labels = torch.full_like(batch.labels, self.anchor)
        elif self.settings.forget_target == "next_class":
            labels = next_class(batch.labels.cpu(), self.retained_classes)
        else:
            labels = draw_other_class(batch.labels.cpu(), self.retained_classes, generator)
        shown = self.teacher or model
        target = shown.denoise(noised.x_t, noised.t, shown.condition(labels)).float()
        return noised._replace(target=target)

    def ask(self, model: DiffusionModel, batch: Batch, generator: Generator) -> Asked:
        """How L_f asks for what is to be forgotten: under its own condition."""
        c = model.condition(batch.labels)
        return lambda asked, noised: asked.denoise(noised.x_t, noised.t, c)

    def value_gap(self, model: DiffusionModel, forget: Noised, asked: Asked, forget_loss: Tensor) -> float:
        """L_f(θ) − L_f(φ), with φ the weights after K descent steps on the same batch; at least 0.

        NaN where these steps have overflowed: then the loop halves its loss scale, or ends.
        """
        with torch.random.fork_rng(), torch.enable_grad():
            lowest = self.descend(model, forget, asked)
        return max(forget_loss.item() - lowest, 0.0) if math.isfinite(lowest) else math.nan

    def descend(self, model: DiffusionModel, forget: Noised, asked: Asked) -> float:
        """Take the K inner steps on a copy that shares nothing with ``model``; return L_f there."""
        inner = copy.deepcopy(model)
        parameters = list(inner.trainable(self.settings.subset).values())
        for _ in range(self.settings.inner_steps):
            loss = mse_loss(asked(inner, forget).float(), forget.target)
            gradients = gradients_of(inner, loss, parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.sub_(gradient, alpha=self.settings.inner_learning_rate)
            torch.clear_autocast_cache()  # under bf16 it would go on with copies of the old weights
        with torch.no_grad():
            return mse_loss(asked(inner, forget).float(), forget.target).item()
