"""The methods: one line each. The key is the method's name in the catalog and in ``data/``."""

from typing import Any, NamedTuple

from erasediff_pipeline.config import (
    BlindspotSettings,
    EsdSettings,
    FinetuneSettings,
    NegGradSettings,
    PretrainSettings,
    RandomLabelSettings,
    SalunSettings,
    SelectiveAmnesiaSettings,
    TrainingSettings,
    UnlearnSettings,
)
from erasediff_pipeline.unlearning.blindspot import Blindspot
from erasediff_pipeline.unlearning.erasediff import EraseDiff
from erasediff_pipeline.unlearning.esd import Esd
from erasediff_pipeline.unlearning.finetune import Finetune
from erasediff_pipeline.unlearning.neggrad import NegGrad
from erasediff_pipeline.unlearning.random_label import RandomLabel
from erasediff_pipeline.unlearning.retrain import Retrain
from erasediff_pipeline.unlearning.salun import Salun
from erasediff_pipeline.unlearning.selective_amnesia import SelectiveAmnesia


class Entry(NamedTuple):
    """A method, its settings, and where they are."""

    build: type[Any]
    """A ``Method``, made from its settings."""
    settings: type[TrainingSettings]
    pipeline: str
    """Name of the Kedro pipeline."""
    parameters: str
    """Top-level key of the parameters."""


METHODS = {
    "erasediff": Entry(EraseDiff, UnlearnSettings, "unlearn", "unlearn"),
    "finetune": Entry(Finetune, FinetuneSettings, "finetune", "finetune"),
    "neggrad": Entry(NegGrad, NegGradSettings, "neggrad", "neggrad"),
    "random_label": Entry(RandomLabel, RandomLabelSettings, "random_label", "random_label"),
    "salun": Entry(Salun, SalunSettings, "salun", "salun"),
    "selective_amnesia": Entry(
        SelectiveAmnesia, SelectiveAmnesiaSettings, "selective_amnesia", "selective_amnesia"
    ),
    "esd": Entry(Esd, EsdSettings, "esd", "esd"),
    "blindspot": Entry(Blindspot, BlindspotSettings, "blindspot", "blindspot"),
    # As the base model is trained, else it is no gold standard.
    "retrain": Entry(Retrain, PretrainSettings, "retrain", "pretrain"),
}
