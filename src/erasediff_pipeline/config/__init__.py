"""Every setting, with its meaning, unit, range, default and source; validated when it is made.

``conf/base/parameters*.yml`` repeats the defaults, since DVC tracks parameters in files; a test keeps both
equal. An unknown key is an error.
"""

from erasediff_pipeline.config.audit import AuditSettings, InversionSettings, RelearningSettings
from erasediff_pipeline.config.comparison import CompareSettings
from erasediff_pipeline.config.data import CaptionSettings, ForgetRequest, GenerateSettings, SourceSettings
from erasediff_pipeline.config.evaluation import EvaluationSettings, SamplingSettings
from erasediff_pipeline.config.gates import Gate, GateSettings
from erasediff_pipeline.config.machine import MachineSettings
from erasediff_pipeline.config.methods import MethodSettings
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
    "CaptionSettings",
    "ClassifierSettings",
    "CompareSettings",
    "DenoiserSettings",
    "EvaluationSettings",
    "ForgetRequest",
    "Gate",
    "GateSettings",
    "GenerateSettings",
    "InversionSettings",
    "MachineSettings",
    "MethodSettings",
    "PretrainSettings",
    "PromptListSettings",
    "RelearningSettings",
    "ReleaseSettings",
    "ReportSettings",
    "SamplingSettings",
    "SigningSettings",
    "SourceSettings",
    "TextEncoderSettings",
    "TextToImageSettings",
    "TrackingSettings",
    "TrainingSettings",
]
