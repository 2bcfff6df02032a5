"""All parameters together: the sections of ``config``, and one for each method of the registry."""

from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model, model_validator

from erasediff_pipeline.config.audit import AuditSettings
from erasediff_pipeline.config.base import ModelFolder, Settings
from erasediff_pipeline.config.comparison import CompareSettings
from erasediff_pipeline.config.data import CaptionSettings, ForgetRequest, GenerateSettings, SourceSettings
from erasediff_pipeline.config.evaluation import EvaluationSettings, SamplingSettings
from erasediff_pipeline.config.gates import GateSettings
from erasediff_pipeline.config.machine import MachineSettings
from erasediff_pipeline.config.prompt_list import PromptListSettings
from erasediff_pipeline.config.release import ReleaseSettings, SigningSettings
from erasediff_pipeline.config.reporting import ReportSettings, TrackingSettings
from erasediff_pipeline.config.training import ClassifierSettings, DenoiserSettings, PretrainSettings
from erasediff_pipeline.errors import did_you_mean
from erasediff_pipeline.unlearning.registry import METHODS


class _Sections(Settings):
    """Every section except those of the methods."""

    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of every random draw."""

    base: ModelFolder = "base"
    """The base model, a folder of ``data/06_models``: ``base``, or an erased model for a further request."""

    forget: ForgetRequest = ForgetRequest(classes=[0])
    source: SourceSettings = SourceSettings()
    captions: CaptionSettings = CaptionSettings()
    generate: GenerateSettings = GenerateSettings()
    denoiser: DenoiserSettings = DenoiserSettings()
    pretrain: PretrainSettings = PretrainSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    compare: CompareSettings = CompareSettings()
    sampling: SamplingSettings = SamplingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    audit: AuditSettings = AuditSettings()
    gates: GateSettings = GateSettings()
    machine: MachineSettings = MachineSettings()
    prompts: PromptListSettings = PromptListSettings()
    release: ReleaseSettings = ReleaseSettings()
    signing: SigningSettings = SigningSettings()
    report: ReportSettings = ReportSettings()
    tracking: TrackingSettings = TrackingSettings()

    @model_validator(mode="after")
    def _fit_together(self) -> "_Sections":
        if self.sampling.steps > self.denoiser.timesteps:
            raise ValueError(
                f"sampling.steps {self.sampling.steps}: at most denoiser.timesteps, {self.denoiser.timesteps}"
            )
        if self.evaluation.precision_neighbours >= self.evaluation.retain_samples:
            raise ValueError(
                f"evaluation.precision_neighbours {self.evaluation.precision_neighbours}: use less than "
                f"evaluation.retain_samples, {self.evaluation.retain_samples}"
            )
        if self.forget.prompts is not None and not self.captions.words:
            raise ValueError("forget.prompts needs captions.words, which is empty: use classes or ids_file")
        return self

    @model_validator(mode="after")
    def _known_methods(self) -> "_Sections":
        for section, names in {"audit": self.audit.methods, "compare": self.compare.methods or []}.items():
            for name in names:
                if name not in METHODS:
                    allowed = ", ".join(map(repr, METHODS))
                    near = did_you_mean(name, METHODS)
                    raise ValueError(f"{section}.methods: {name!r} is unknown{near}: choose from {allowed}")
        return self


if TYPE_CHECKING:
    Parameters = _Sections
else:
    Parameters = create_model(
        "Parameters",
        __base__=_Sections,
        __doc__="All of ``conf/<environment>/parameters*.yml``, validated.",
        **{
            entry.parameters: (entry.settings, entry.settings())
            for entry in METHODS.values()
            if entry.parameters not in _Sections.model_fields
        },
    )


def fill_in(parameters: dict[str, Any]) -> dict[str, Any]:
    """Add what files and command line may omit.

    A method without a section gets its defaults, and ``all`` in ``audit.methods`` becomes every method.
    """
    defaults = Parameters().model_dump(mode="json")
    missing = {entry.parameters for entry in METHODS.values()} - set(parameters)
    filled = parameters | {section: defaults[section] for section in sorted(missing)}
    audit = filled.get("audit")
    if isinstance(audit, dict) and audit.get("methods") == "all":
        filled["audit"] = audit | {"methods": list(METHODS)}
    return filled
