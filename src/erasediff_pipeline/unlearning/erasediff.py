"""EraseDiff (arXiv 2401.05779): forget by a constrained step, retain by a loss of its own.

    min over θ of L_r(θ)   subject to   L_f(θ) − min_φ L_f(φ) ≤ 0

L_r is the denoising loss on the retain set, or its distillation. L_f is the mean squared distance, on the
forget set, between the prediction under the forgotten condition and a *forget target*. One step combines both
gradients,

    d = ∇L_r + λ·∇L_f,    λ = max(0, (a − ⟨∇L_r, ∇L_f⟩) / ‖∇L_f‖²),

so that ⟨∇L_f, d⟩ ≥ a: for a ≥ 0 a small plain gradient step along −d never raises L_f. (Adam rescales
each coordinate; there this holds for the direction that Adam is given.) min_φ L_f(φ) is a constant without
gradient: the K inner steps of the paper's algorithm matter only for a, under ``value_gap``.

Three defaults are not the paper's: λ is fixed, because every control kept it near 1 (docs/explanation/
erasediff.md); ``retain_loss: distillation`` pulls to the predictions of the base model, see ``losses.teach``;
and ``forget_target`` follows the request. A class or prompt that is a forget target is then predicted by the
base model, too: if both moved, target and prediction would drift away together.
"""

import copy
import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import BeforeValidator, Field
from torch import Generator, Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Adam

from erasediff_pipeline.config import MethodSettings
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.objective import Noised, noise_batch, squared_error
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.training.gradients import dot, gradients_of
from erasediff_pipeline.training.losses import training_loss
from erasediff_pipeline.training.method import Batch, TrainingData, autocast
from erasediff_pipeline.training.store import FeatureStore
from erasediff_pipeline.unlearning.control import EPSILON, ETA, IDLE, Control, find_lambda
from erasediff_pipeline.unlearning.labels import draw_other_class, next_class, retained_classes
from erasediff_pipeline.unlearning.unseen import WEIGHT, as_unseen, draw_times, unseen_factors

Predict = Callable[[DiffusionModel, Noised], Tensor]
"""The model, or a copy of it → its predictions under the forgotten condition."""
ForgetTarget = Annotated[
    Literal["by_request", "next_class", "other_class", "null", "uniform_noise", "anchor_prompt", "unseen"],
    BeforeValidator(lambda value: "null" if value is None else value),  # YAML reads null as None
]


class EraseDiffSettings(MethodSettings):
    """Settings of EraseDiff (arXiv 2401.05779)."""

    learning_rate: float = Field(3e-4, gt=0)
    condition_dropout: float = Field(0.05, ge=0, lt=1)

    control: Control = "fixed"
    """How λ is set, see ``find_lambda``. ``grad_norm`` is the paper's; ``value_gap`` is the other choice of
    the algorithm that it adapts (BOME, arXiv 2209.08709). The released code has ``fixed`` and ``cosine``."""

    eta: float | None = Field(None, ge=0)
    """η of ``grad_norm``, ``value_gap`` and ``cosine``: a larger η pushes the forget loss down harder. None:
    see ``ETA``."""

    fixed_lambda: float = Field(1.0, ge=0)
    """λ under ``control: fixed``; the released code uses 0.1."""

    forget_target: ForgetTarget = "by_request"
    """What the model should predict under the forgotten condition, see ``EraseDiff.noise_with_target``.

    - ``by_request``: ``unseen`` if single images are forgotten, ``anchor_prompt`` if the request names one,
      else ``next_class``.
    - ``null``: the prediction without a condition.
    - ``next_class``: the prediction for one retained class, the one after the forgotten class.
    - ``other_class``: the prediction for a random retained class. The average pulls towards several classes
      at once. On the digits such samples are blends that look like an 8, so an 8 is never forgotten.
    - ``uniform_noise``: the added noise, which is then uniform in [0, 1) instead of Gaussian.
    - ``anchor_prompt``: the prediction for ``forget.anchor_prompt``.
    - ``unseen``: the base model's prediction with its error as large as on images that it has never seen, see
      ``unseen.as_unseen``. For a request by ids only: it leaves the class as it is.

    The released code (github.com/JingWu321/EraseDiff) began with ``uniform_noise`` for its DDPM, and since
    commit c036740 draws one class of 1 to 9 for each batch; for the classes of Stable Diffusion it had
    ``next_class``, and since commit bb14160 an anchor, "a photo of a pokemon".
    """

    retain_loss: Literal["denoising", "distillation"] = "distillation"
    """L_r.

    ``denoising`` is the paper's: the target is the added noise. Under ``distillation`` the target is the base
    model's prediction under the retained condition, even if the condition is dropped. If it is not dropped,
    the gradient is zero until forgetting moves the model, so retained outputs drift less. The base model then
    also predicts the class or prompt of ``forget_target``. For single images, the base model's prediction
    under their class still contains them: only ``unseen`` takes them out. It needs a second copy of the
    weights and one more forward pass per step.
    """

    inner_steps: int = Field(2, ge=1)
    """K, steps of Adam on the forget loss under ``control: value_gap``; unused otherwise."""

    inner_learning_rate: float = Field(1e-4, gt=0)
    """Step size of Adam in these steps; the released code's."""

    def unread(self) -> dict[str, str]:
        return dict.fromkeys(IDLE[self.control], f"control {self.control!r} does not read it")


class EraseDiff:
    """The constrained step; the module's docstring states the objective."""

    name, pipeline, parameters = "erasediff", "unlearn", "unlearn"
    version = 3
    settings_class: type[EraseDiffSettings] = EraseDiffSettings

    def __init__(self, settings: EraseDiffSettings):
        self.settings = settings
        self.subset = settings.subset
        self.among = self.retained_classes = torch.empty(0, dtype=torch.int64)
        self.anchor = -1
        self.teacher: DiffusionModel | None = None
        self.target = settings.forget_target
        self.base: DiffusionModel | None = None
        self.factors = torch.empty(0)

    def prepare(self, model: DiffusionModel, data: TrainingData, store: FeatureStore, seed: int) -> None:
        """Choose the forget target, and prepare it; copy the base model if the settings need it.

        Raises:
            InvalidRequest: The forget target needs an anchor prompt, a retained class or unseen images, and
                there are none.
        """
        if self.target == "by_request":
            self.target = "next_class" if data.anchor is None else "anchor_prompt"
            if data.unseen is not None:
                self.target = "unseen"
        setting = f"{self.parameters}.forget_target: '{self.target}'"
        if self.settings.retain_loss == "distillation":
            self.teacher = copy.deepcopy(model).requires_grad_(False).eval()
        self.among = torch.tensor(data.retain.classes)
        self.anchor = -1 if data.anchor is None else data.anchor
        if self.target == "anchor_prompt" and data.anchor is None:
            raise InvalidRequest(
                f"{setting} needs a request by forget.prompts: "
                "choose one of 'other_class', 'next_class', 'null', 'uniform_noise'"
            )
        if self.target in ("other_class", "next_class"):
            remedy = "choose 'null' or 'uniform_noise'"
            self.retained_classes = retained_classes(data, setting, remedy)
        if self.target == "unseen":
            if data.unseen is None:
                raise InvalidRequest(f"{setting} needs a request by forget.ids_file: choose 'by_request'")
            if not len(data.unseen):
                raise InvalidRequest(
                    f"{setting} needs images of retained classes in the test split, but there are none: "
                    "raise source.test_fraction, or choose 'null' or 'uniform_noise'"
                )
            self.base = self.teacher or copy.deepcopy(model).requires_grad_(False).eval()
            with autocast(model, self.settings):
                arguments = (data.retain, data.unseen, seed, self.settings.part_size)
                self.factors = unseen_factors(self.base, *arguments)

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

        before, dropout = retain_batch.forgotten_before, settings.condition_dropout
        instead = None if before is None else next_class(before.cpu(), self.among)
        retain_loss = training_loss(model, retain_batch, dropout, generator, self.teacher, instead)
        g_retain = gradients_of(model, retain_loss, parameters)

        forget = self.noise_with_target(model, forget_batch, generator)
        predict = self.predictor(model, forget_batch, generator)
        forget_loss = self.forget_loss(model, forget, predict)
        g_forget = gradients_of(model, forget_loss, parameters)

        inner = dot(g_retain, g_forget)
        retain_norm, forget_norm = float(get_total_norm(g_retain)), float(get_total_norm(g_forget))
        eta = ETA[settings.control] if settings.eta is None else settings.eta
        bounds: dict[str, Callable[[], float]] = {  # a; only the one in use is computed
            "grad_norm": lambda: eta * forget_norm**2,
            "value_gap": lambda: eta * self.value_gap(model, forget, predict),
            "cosine": lambda: eta,
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
    def noise_with_target(self, model: DiffusionModel, batch: Batch, generator: Generator) -> Noised:
        """Noise the forget batch at its own timesteps; its target is the forget target."""
        if self.target == "uniform_noise":
            return noise_batch(model, batch.x0, generator, torch.rand)
        if self.base is not None:
            t = draw_times(self.factors, len(batch.labels), model.process.times, generator)
            noised = noise_batch(model, batch.x0, generator, t=t)
            return as_unseen(self.base, noised, batch.labels, self.factors)
        noised = noise_batch(model, batch.x0, generator)
        if self.target == "null":  # not the teacher's: it still draws what is forgotten
            c = model.null_condition(len(batch.labels))
            return noised._replace(target=model.denoise(noised.x_t, noised.t, c).float())
        if self.target == "anchor_prompt":
            labels = torch.full_like(batch.labels, self.anchor)
        elif self.target == "next_class":
            labels = next_class(batch.labels.cpu(), self.retained_classes)
        else:
            labels = draw_other_class(batch.labels.cpu(), self.retained_classes, generator)
        source = self.teacher or model
        target = source.denoise(noised.x_t, noised.t, source.condition(labels)).float()
        return noised._replace(target=target)

    def predictor(self, model: DiffusionModel, batch: Batch, generator: Generator) -> Predict:
        """Return the prediction of L_f for the forget batch: under its own conditions.

        Args:
            model: The model under training.
            batch: The forget batch.
            generator: On the CPU; unused here.
        """
        c = model.condition(batch.labels)
        return lambda model, noised: model.denoise(noised.x_t, noised.t, c)

    def forget_loss(self, model: DiffusionModel, forget: Noised, predict: Predict) -> Tensor:
        """L_f, a scalar: the mean squared distance to the target; for ``unseen``, times its ``WEIGHT``."""
        weight = 1.0 if self.base is None else WEIGHT
        return weight * squared_error(model, predict(model, forget), forget)

    def value_gap(self, model: DiffusionModel, forget: Noised, predict: Predict) -> float:
        """Compute L_f(θ) − min_k L_f(φ_k); φ_0 = θ, and K steps of Adam on a copy of θ lead to φ_K.

        Adam, as in the released code: plain descent at a fixed rate is too short early in the training and
        diverges later, and both make the gap vanish. NaN if a step overflowed: then the loop halves its loss
        scale, or ends.
        """
        inner, losses = copy.deepcopy(model), []
        parameters = list(inner.trainable(self.settings.subset).values())
        adam = Adam(parameters, self.settings.inner_learning_rate)
        with torch.random.fork_rng(), torch.enable_grad():
            for _ in range(self.settings.inner_steps):
                loss = self.forget_loss(inner, forget, predict)
                losses.append(loss.item())
                gradients = gradients_of(inner, loss, parameters)
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                adam.step()
                torch.clear_autocast_cache()  # under bf16 it still holds copies of the old weights
            with torch.no_grad():
                losses.append(self.forget_loss(inner, forget, predict).item())
        return losses[0] - min(losses) if all(map(math.isfinite, losses)) else math.nan
