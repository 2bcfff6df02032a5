"""Every knob: its meaning, unit, range, default and source, checked at construction.

``conf/base/parameters*.yml`` repeats the defaults, since DVC tracks parameters in files; a test holds the
two equal. An unknown key is an error everywhere.
"""

from erasediff_pipeline.config.comparison import CompareSettings
from erasediff_pipeline.config.data import ForgetRequest, SourceSettings
from erasediff_pipeline.config.evaluation import (
    EvaluationSettings,
    ReportSettings,
    SamplingSettings,
    TrackingSettings,
)
from erasediff_pipeline.config.methods import (
    BlindspotSettings,
    EsdSettings,
    FinetuneSettings,
    NegGradSettings,
    RandomLabelSettings,
    SalunSettings,
    SelectiveAmnesiaSettings,
    UnlearnSettings,
)
from erasediff_pipeline.config.parameters import Parameters
from erasediff_pipeline.config.training import (
    ClassifierSettings,
    DenoiserSettings,
    PretrainSettings,
    TrainingSettings,
)

__all__ = [
    "BlindspotSettings",
    "ClassifierSettings",
    "CompareSettings",
    "DenoiserSettings",
    "EsdSettings",
    "EvaluationSettings",
    "FinetuneSettings",
    "ForgetRequest",
    "NegGradSettings",
    "Parameters",
    "PretrainSettings",
    "RandomLabelSettings",
    "ReportSettings",
    "SalunSettings",
    "SamplingSettings",
    "SelectiveAmnesiaSettings",
    "SourceSettings",
    "TrackingSettings",
    "TrainingSettings",
    "UnlearnSettings",
]
