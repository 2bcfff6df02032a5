"""All parameters together."""

from pydantic import Field, model_validator

from erasediff_pipeline.config.audit import AuditSettings
from erasediff_pipeline.config.base import ModelFolder, Settings
from erasediff_pipeline.config.comparison import CompareSettings
from erasediff_pipeline.config.data import CaptionSettings, ForgetRequest, GenerateSettings, SourceSettings
from erasediff_pipeline.config.evaluation import (
    EvaluationSettings,
    SamplingSettings,
)
from erasediff_pipeline.config.gates import GateSettings
from erasediff_pipeline.config.machine import MachineSettings
from erasediff_pipeline.config.methods import (
    BlindspotSettings,
    EsdSettings,
    FinetuneSettings,
    NegGradSettings,
    RandomLabelSettings,
    RobustSettings,
    SalunSettings,
    SelectiveAmnesiaSettings,
    UceSettings,
    UnlearnSettings,
)
from erasediff_pipeline.config.prompt_list import PromptListSettings
from erasediff_pipeline.config.release import ReleaseSettings, SigningSettings
from erasediff_pipeline.config.reporting import ReportSettings, TrackingSettings
from erasediff_pipeline.config.training import ClassifierSettings, DenoiserSettings, PretrainSettings


class Parameters(Settings):
    """All of ``conf/<environment>/parameters*.yml``."""

    seed: int = Field(0, ge=0)
    """Rules every random draw."""

    base: ModelFolder = "base"
    """Model to start from, a folder below ``data/06_models``: ``base``, or an erased one."""

    forget: ForgetRequest = ForgetRequest(classes=[0])
    source: SourceSettings = SourceSettings()
    captions: CaptionSettings = CaptionSettings()
    generate: GenerateSettings = GenerateSettings()
    denoiser: DenoiserSettings = DenoiserSettings()
    pretrain: PretrainSettings = PretrainSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    unlearn: UnlearnSettings = UnlearnSettings()
    robust: RobustSettings = RobustSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    neggrad: NegGradSettings = NegGradSettings()
    random_label: RandomLabelSettings = RandomLabelSettings()
    salun: SalunSettings = SalunSettings()
    selective_amnesia: SelectiveAmnesiaSettings = SelectiveAmnesiaSettings()
    esd: EsdSettings = EsdSettings()
    blindspot: BlindspotSettings = BlindspotSettings()
    uce: UceSettings = UceSettings()
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
        if self.forget.prompts is not None and not self.captions.words:
            raise ValueError("forget.prompts: there are no captions.words: allowed are classes and ids_file")
        return self
