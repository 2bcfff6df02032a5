"""The table of metrics: one line for each figure that is measured, gated or compared.

A new metric needs a line here and the function that measures it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

Kind = Literal["classes", "ids", "prompts"]
"""What a request names: classes, single training images, or words."""

ALL: tuple[Kind, ...] = ("classes", "ids", "prompts")
WHOLE: tuple[Kind, ...] = ("classes", "prompts")
"""Requests that forget whole classes."""
AREA = "mean over the steps, base = 1"


@dataclass(frozen=True)
class Metric:
    """A figure of one model."""

    name: str
    """Key in ``metrics.json``, in ``gates.limits`` and of ``figures`` in ``evidence.json``."""

    label: str
    """Name in tables and plots."""

    hint: str = ""
    """How to read it: the best value, or the unit."""

    kinds: tuple[Kind, ...] = ALL
    """Kinds of request that have it."""

    samples: str | None = None
    """If it is a share: the key of the number of samples, in the same document."""

    audited: bool = False
    """Whether it comes from ``audit.json``; the others are in ``metrics.json``, measured by every run."""

    part: Literal["unguided", "forgotten"] | None = None
    """The part of ``metrics.json`` that has it, where its key is the name without ``<part>_``: measured on
    samples without guidance, or on those under forgotten conditions. Null: beside the parts."""

    gated: bool = True
    """Whether it may have a gate."""

    compared: bool = False
    """Whether ``compare`` has a column for it."""

    def read(self, metrics: dict[str, Any], end: str = "") -> float | None:
        """Its value in one model's part of ``metrics.json``; None if it was not measured.

        ``end`` may be ``_low`` or ``_high``, of an interval that is kept there.
        """
        if self.part is None:
            return metrics.get(self.name + end)
        return metrics.get(self.part, {}).get(self.name.removeprefix(f"{self.part}_") + end)


_compared = partial(Metric, compared=True)
_audited = partial(Metric, audited=True)
_unguided = partial(Metric, part="unguided", compared=True)
_forgotten = partial(Metric, part="forgotten", kinds=WHOLE)

METRICS = {
    metric.name: metric
    for metric in (
        _compared("forget_accuracy", "forget accuracy", "0 = forgotten", WHOLE, "forget_samples"),
        Metric(
            "forget_accuracy_erased_prompts",
            "forget accuracy, erased prompts",
            "0 = forgotten",
            ("prompts",),
            "erased_prompt_samples",
        ),
        Metric(
            "forget_accuracy_synonyms",
            "forget accuracy, synonyms",
            "0 = forgotten",
            ("prompts",),
            "synonym_samples",
        ),
        _compared("forget_probability", "forget probability", "0 = forgotten", WHOLE),
        _compared("forget_entropy", "forget entropy", "nats", WHOLE, gated=False),
        _forgotten(
            "forgotten_other_class", "forgotten condition: another class", "share", samples="forget_samples"
        ),
        _forgotten("forgotten_none", "forgotten condition: no class", "share", samples="forget_samples"),
        _forgotten("forgotten_fid", "forgotten condition: FID", "to the retained"),
        _forgotten(
            "forgotten_precision",
            "forgotten condition: precision",
            "among the retained",
            samples="forget_samples",
        ),
        _compared("forget_membership_auc", "membership AUC", "0.5 = forgotten", ("ids",)),
        _compared("retain_accuracy", "retain accuracy", "1 = retained", samples="retain_samples"),
        _compared("fid", "FID, retained", "0 is best"),
        _compared("precision", "precision, retained", "1 is best", samples="retain_samples"),
        _compared("recall", "recall, retained", "1 is best", samples="real_images"),
        Metric("kid", "KID, retained", "0 is best"),
        Metric("inception_score", "Inception Score, retained", "higher is better"),
        _unguided(
            "unguided_retain_accuracy",
            "retain accuracy, no guidance",
            "1 = retained",
            samples="retain_samples",
        ),
        _unguided("unguided_fid", "FID, no guidance", "0 is best"),
        _unguided("unguided_precision", "precision, no guidance", "1 is best", samples="retain_samples"),
        _unguided("unguided_recall", "recall, no guidance", "1 is best", samples="real_images"),
        _unguided("unguided_kid", "KID, no guidance", "0 is best"),
        _unguided("unguided_inception_score", "Inception Score, no guidance", "higher is better"),
        _audited("relearning_area_forgotten", "relearning area, forgotten images", AREA, kinds=WHOLE),
        _audited("relearning_area_retained", "relearning area, retained images", AREA, kinds=WHOLE),
        _audited(
            "relearning_steps_forgotten", "relearning steps to half accuracy, forgotten images", kinds=WHOLE
        ),
        _audited(
            "relearning_steps_retained", "relearning steps to half accuracy, retained images", kinds=WHOLE
        ),
        _audited("inversion_accuracy", "inversion accuracy", kinds=WHOLE, samples="samples"),
        _audited(
            "inversion_accuracy_doubled",
            "inversion accuracy, twice the steps",
            kinds=WHOLE,
            samples="samples",
        ),
        _audited(
            "inversion_accuracy_random", "inversion accuracy, random starts", kinds=WHOLE, samples="samples"
        ),
        _audited("membership_auc", "membership AUC"),
        _audited("membership_true_positive_rate", "membership TPR at 1 % FPR"),
        _audited("leakage_unconditional", "leakage, no condition", kinds=WHOLE, samples="samples"),
        _audited("leakage_retained", "leakage, retained classes", kinds=WHOLE),
        _audited("leakage_worst", "leakage, worst retained class", kinds=WHOLE, samples="samples"),
        _audited("damage_worst", "retain accuracy, worst class", samples="samples"),
    )
}
"""By name, in the order of tables and documents."""

PROMPT_METRICS = {
    metric.name: metric
    for metric in (
        Metric("unlearning_accuracy", "unlearning accuracy (UA)", "1 = forgotten"),
        Metric("retain_accuracy", "retain accuracy (IRA)", "1 = retained"),
        Metric("clip_score", "CLIP score", "100 is best"),
        Metric("nsfw_probability", "P(nsfw), mean", "0 is best"),
        Metric("nsfw_images", "images with P(nsfw) ≥ 0.8", "0 is best"),
        Metric("nudenet_exposed", "exposed parts, NudeNet", "0 is best"),
        Metric("fid", "FID", "0 is best"),
        Metric("precision", "precision", "1 is best"),
        Metric("recall", "recall", "1 is best"),
    )
}
"""Those of a list of prompts, whose ``metrics.json`` has keys of its own; they have no gates."""
