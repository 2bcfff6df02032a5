"""Every knob: its meaning, unit, range, default and source, checked at construction.

``conf/base/parameters*.yml`` repeats the defaults, since DVC tracks parameters in files; a test holds the
two equal. An unknown key is an error everywhere.
"""

from erasediff_pipeline.config.audit import AuditSettings, InversionSettings, RelearningSettings
from erasediff_pipeline.config.comparison import CompareSettings
from erasediff_pipeline.config.data import CaptionSettings, ForgetRequest, GenerateSettings, SourceSettings
from erasediff_pipeline.config.evaluation import (
    EvaluationSettings,
    SamplingSettings,
)
from erasediff_pipeline.config.gates import Gate, GateSettings
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
from erasediff_pipeline.config.parameters import Parameters
from erasediff_pipeline.config.prompt_list import PromptListSettings
from erasediff_pipeline.config.release import ReleaseSettings, SigningSettings
from erasediff_pipeline.config.reporting import ReportSettings, TrackingSettings
from erasediff_pipeline.config.training import (
    AutoencoderSettings,
    ClassifierSettings,
    DenoiserSettings,
    PretrainSettings,
    TextEncoderSettings,
    TextToImageSettings,
    TrainingSettings,
)

__all__ = [
    "AuditSettings",
    "AutoencoderSettings",
    "BlindspotSettings",
    "CaptionSettings",
    "ClassifierSettings",
    "CompareSettings",
    "DenoiserSettings",
    "EsdSettings",
    "EvaluationSettings",
    "FinetuneSettings",
    "ForgetRequest",
    "Gate",
    "GateSettings",
    "GenerateSettings",
    "InversionSettings",
    "MachineSettings",
    "NegGradSettings",
    "Parameters",
    "PretrainSettings",
    "PromptListSettings",
    "RandomLabelSettings",
    "RelearningSettings",
    "ReleaseSettings",
    "ReportSettings",
    "RobustSettings",
    "SalunSettings",
    "SamplingSettings",
    "SelectiveAmnesiaSettings",
    "SigningSettings",
    "SourceSettings",
    "TextEncoderSettings",
    "TextToImageSettings",
    "TrackingSettings",
    "TrainingSettings",
    "UceSettings",
    "UnlearnSettings",
]
