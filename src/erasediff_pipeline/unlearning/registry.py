"""The methods: one line each. The key is the method's name in the catalog and in ``data/``."""

from typing import Any, NamedTuple

from erasediff_pipeline.config import (
    BlindspotSettings,
    EsdSettings,
    FinetuneSettings,
    NegGradSettings,
    PretrainSettings,
    RandomLabelSettings,
    RobustSettings,
    SalunSettings,
    SelectiveAmnesiaSettings,
    UceSettings,
    UnlearnSettings,
)
from erasediff_pipeline.config.base import Settings
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.unlearning.blindspot import Blindspot
from erasediff_pipeline.unlearning.erasediff import EraseDiff
from erasediff_pipeline.unlearning.erasediff_robust import RobustEraseDiff
from erasediff_pipeline.unlearning.esd import Esd
from erasediff_pipeline.unlearning.finetune import Finetune
from erasediff_pipeline.unlearning.neggrad import NegGrad
from erasediff_pipeline.unlearning.random_label import RandomLabel
from erasediff_pipeline.unlearning.retrain import Retrain
from erasediff_pipeline.unlearning.salun import Salun
from erasediff_pipeline.unlearning.selective_amnesia import SelectiveAmnesia
from erasediff_pipeline.unlearning.uce import Uce


class Entry(NamedTuple):
    """A method, its settings, and where they are."""

    build: type[Any]
    """A ``Method``, made from its settings."""
    settings: type[Settings]
    pipeline: str
    """Name of the Kedro pipeline."""
    version: int = 1
    """Raise it when the results of the method change, see ``fingerprint``."""
    own_parameters: bool = True
    """Whether the settings stand under that name; else they are those of ``pretrain``."""

    @property
    def parameters(self) -> str:
        """Top-level key of the parameters."""
        return self.pipeline if self.own_parameters else "pretrain"


METHODS = {
    "erasediff": Entry(EraseDiff, UnlearnSettings, "unlearn"),
    "erasediff_robust": Entry(RobustEraseDiff, RobustSettings, "robust"),
    "finetune": Entry(Finetune, FinetuneSettings, "finetune"),
    "neggrad": Entry(NegGrad, NegGradSettings, "neggrad"),
    "random_label": Entry(RandomLabel, RandomLabelSettings, "random_label"),
    "salun": Entry(Salun, SalunSettings, "salun"),
    "selective_amnesia": Entry(SelectiveAmnesia, SelectiveAmnesiaSettings, "selective_amnesia"),
    "esd": Entry(Esd, EsdSettings, "esd"),
    "blindspot": Entry(Blindspot, BlindspotSettings, "blindspot"),
    "uce": Entry(Uce, UceSettings, "uce"),
    # As the base model is trained, else it is no gold standard.
    "retrain": Entry(Retrain, PretrainSettings, "retrain", own_parameters=False),
}


def reason_to_leave_out(method: str, request: Request) -> str | None:
    """Why this method does not answer a request of this kind; None where it does."""
    build = METHODS[method].build
    if request.keeps_classes and getattr(build, "classes_only", False):
        return "it forgets classes, not single images"
    if not request.names_words and getattr(build, "prompts_only", False):
        return "it is for text-to-image models"
    return None
