"""The methods, a class each."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from erasediff_pipeline.config.base import Settings
from erasediff_pipeline.config.training import TrainingSettings

Control = Literal["grad_norm", "value_gap", "cosine", "fixed"]
ForgetTarget = Annotated[
    Literal["other_class", "next_class", "null", "uniform_noise", "anchor_prompt"],
    BeforeValidator(lambda value: "null" if value is None else value),  # YAML reads null as nothing
]
Subset = Literal[
    "full",
    "selfattn",
    "notime",
    "noselfattn",
    "class_embedding",
    "xattn",
    "noxattn",
    "xlayer",
    "selflayer",
]


class MethodSettings(TrainingSettings):
    """What all methods share: as long, and in the same steps."""

    steps: int = Field(100, ge=1)
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    ema_decay: float = Field(0.9, ge=0, lt=1)
    log_every: int = Field(1, ge=1)

    subset: Subset = "full"
    """Which weights may move, see ``SUBSETS`` of ``diffusion.model`` and of ``diffusion.text_to_image``."""


class UnlearnSettings(MethodSettings):
    """EraseDiff (arXiv 2401.05779)."""

    control: Control = "grad_norm"
    """How λ is found, see ``unlearning.erasediff``: ``grad_norm`` is the paper's."""

    eta: float = Field(1.0, ge=0)
    """η of ``grad_norm``, ``value_gap`` and ``cosine``: how hard the forget loss is pushed down."""

    fixed_lambda: float = Field(0.1, ge=0)
    """λ under ``control: fixed``; 0.1 is the released code's default."""

    forget_target: ForgetTarget = "null"
    """What the model should predict under the forgotten condition, see ``EraseDiff.aim``.

    ``other_class`` averages predictions that pull towards different classes: on the digits the samples
    become blends, and a blend of digits looks like an 8, so an 8 is never forgotten. ``next_class`` is one
    class for each forgotten one, the retained one after it: what is drawn is then that class. ``null`` is
    what is drawn without a condition: something of the other classes, once the retain set has taught it so.
    """

    retain_loss: Literal["denoising", "distillation"] = "denoising"
    """L_r. ``denoising``: the paper's, towards the noise that was added. ``distillation``: towards what the
    model predicted before the first step under the retained condition, also where the condition is dropped.
    Where it is not, there is no gradient until forgetting moves it, so that what is kept does not wander. A
    class or prompt of ``forget_target`` is then aimed at as it was drawn before, too. It is for whole classes
    or words: where single images are to be forgotten, what was predicted under their class has them in it. It
    takes a second copy of the weights, and one more forward pass a step."""

    inner_steps: int = Field(2, ge=1)
    """K, descent steps on the forget loss; they run only under ``control: value_gap``."""

    inner_learning_rate: float = Field(1e-4, gt=0)
    """Step size of the inner steps, plain gradient descent on a copy of the weights."""


class RobustSettings(UnlearnSettings):
    """EraseDiff over embeddings around the forgotten condition's, against inversion."""

    control: Control = "fixed"
    """As above. Under attack the forget loss cannot fall as fast as ``grad_norm`` asks: λ runs away."""

    fixed_lambda: float = Field(3.0, ge=0)
    """λ under ``control: fixed``."""

    radius: float = Field(0.1, gt=0)
    """σ, how far around it is forgotten, in standard deviations of the retained conditions' embeddings."""

    attack_steps: int = Field(2, ge=0)
    """K, steps of the attack in each step of the training; 0 draws embeddings at random only."""


class FinetuneSettings(MethodSettings):
    """Going on with the retain set alone."""


class NegGradSettings(MethodSettings):
    """Ascent on the forget loss."""

    retain_weight: float = Field(0.9, ge=0, lt=1)
    """β in β·L_r − (1 − β)·L_f: 0 is NegGrad, more is NegGrad+ (arXiv 2302.09880, section 4)."""


class RandomLabelSettings(MethodSettings):
    """Retained labels for the forget images."""

    aim: Literal["prediction", "image"] = "prediction"
    """What the random label is for: ``prediction`` pulls ε(x_t, c_f) to ε(x_t, c′), SalUn's equation 6;
    ``image`` denoises the forget images under c′, as classifiers are made to forget. The latter never
    touches what the forgotten condition draws, and shows the forget images under the retained ones."""

    retain_weight: float = Field(1.0, ge=0)
    """β in L_f + β·L_r (arXiv 2310.12508, equation 6)."""


class SalunSettings(RandomLabelSettings):
    """Random labels, for the salient weights only (arXiv 2310.12508)."""

    mask_fraction: float = Field(0.5, gt=0, le=1)
    """Share of the weights that may move, those with the largest |∇L_f|; the paper's threshold is the
    median."""

    mask_batches: int = Field(10, ge=1)
    """Batches of the forget set, each at timesteps of its own, that ∇L_f is averaged over."""

    weight_decay: float = Field(0.0, ge=0, le=0)
    """Only 0: it would move the weights outside the mask."""


class SelectiveAmnesiaSettings(MethodSettings):
    """Continual learning's way to forget (arXiv 2305.10120)."""

    learning_rate: float = Field(5e-5, gt=0)
    """Lower than the others': the uniform noise pulls hard, and a larger step costs samples of the rest."""

    ewc_weight: float = Field(10.0, ge=0)
    """λ of the penalty λ/2·Σ F_i·(θ_i − θ*_i)². F is of a loss that is a mean over pixels, at one timestep an
    image; the released code sums over both, so that its λ = 10 means far more there than it does here."""

    replay_weight: float = Field(1.0, ge=0)
    """γ, the weight of the denoising loss on replayed images."""

    replay_images: int = Field(900, ge=1)
    """Images that the base model draws under the retained conditions, evenly, before the first step: 256 at a
    time, or as many as a part of a batch has where a setting that spares memory is in use."""

    fisher_batches: int = Field(40, ge=1)
    """Batches that the Fisher diagonal is averaged over."""

    fisher_batch_size: int = Field(32, ge=1)
    """Images of such a batch, each at a timestep of its own; memory grows with a part of it, see
    ``accumulation``, times the weights."""


class EsdSettings(MethodSettings):
    """Erased Stable Diffusion's objective, for any condition (arXiv 2303.07345)."""

    negative_guidance: float = Field(1.0, ge=0)
    """η in ε(null) − η·(ε(c_f) − ε(null)), equation 7; the paper's default is 1."""

    retain_weight: float = Field(1.0, ge=0)
    """Weight of the denoising loss on the retain set, which the paper does not have: 0 is its objective."""


class UceSettings(Settings):
    """Unified Concept Editing's closed form, for a text-to-image model (arXiv 2308.14761)."""

    preserve_weight: float = Field(1.0, gt=0)
    """p, the weight of the retained prompts against the forgotten ones, see ``unlearning.uce``."""

    ridge: float = Field(1e-3, gt=0)
    """r, the weight of staying near the base model, relative to the embeddings' mean square."""


class BlindspotSettings(MethodSettings):
    """A proxy that never saw the forget set, distilled into the model (arXiv 2210.08196)."""

    proxy_steps: int = Field(500, ge=1)
    """Steps of the proxy, from random weights on the retain set, else with the defaults of ``pretrain`` and
    this method's batches and settings of memory."""

    proxy_learning_rate: float = Field(2e-3, gt=0)
    """Peak of its one-cycle schedule."""

    retain_weight: float = Field(1.0, ge=0)
    """Weight of the denoising loss on the retain set beside the distillation."""
