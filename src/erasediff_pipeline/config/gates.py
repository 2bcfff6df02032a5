"""Gates: what a model must hold to count as erased."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from erasediff_pipeline.config.base import Settings

MEASURED = (
    "forget_accuracy",
    "forget_accuracy_erased_prompts",
    "forget_accuracy_synonyms",
    "forget_probability",
    "forget_membership_auc",
    "retain_accuracy",
    "fid",
    "precision",
    "recall",
)
"""Figures of ``metrics.json``, by its keys."""

AUDITED = (
    "relearning_steps_forgotten",
    "relearning_steps_retained",
    "inversion_accuracy",
    "inversion_accuracy_random",
    "membership_auc",
    "membership_true_positive_rate",
    "leakage_unconditional",
    "leakage_retained",
    "leakage_worst",
    "damage_worst",
)
"""Figures of ``audit.json``: `docs/reference/audits.md` says what each is."""


class Gate(Settings):
    """A limit for one figure, which the pessimistic end of its interval must keep."""

    at_most: float | None = None
    """Highest value allowed; for a figure that should be low."""

    at_least: float | None = None
    """Lowest value allowed; for a figure that should be high."""

    of: Literal["base", "retrained"] | None = None
    """Model that the figure is held against; null holds the figure itself."""

    by: Literal["difference", "distance", "ratio"] = "difference"
    """What is limited where it is held against a model: erased − other, its size, or erased ÷ other."""

    @model_validator(mode="after")
    def _one_limit(self) -> "Gate":
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("allowed is exactly one of at_most and at_least")
        if self.by != "difference" and self.of is None:
            raise ValueError(f"by: {self.by} needs of: base or of: retrained")
        if self.by == "distance" and self.at_most is None:
            raise ValueError("by: distance: allowed is at_most")
        return self


LIMITS: dict[str, Gate | None] = {
    "forget_accuracy": Gate(at_most=0.05),
    "forget_accuracy_erased_prompts": Gate(at_most=0.05),
    "forget_accuracy_synonyms": Gate(at_most=0.10),
    "retain_accuracy": Gate(at_least=-0.02, of="base"),
    "fid": Gate(at_most=1.10, of="base", by="ratio"),
    "relearning_steps_forgotten": Gate(at_least=1.0, of="retrained", by="ratio"),
    "relearning_steps_retained": Gate(at_least=1.0, of="retrained", by="ratio"),
    "inversion_accuracy": Gate(at_most=0.20, of="retrained"),
    "membership_auc": Gate(at_most=0.25, of="retrained", by="distance"),
    "leakage_unconditional": Gate(at_most=0.10),
    "leakage_worst": Gate(at_most=0.10),
    "damage_worst": Gate(at_least=0.85),
}
"""Where nothing else is said; wide enough for the intervals of the default samples, of which a share 0.05
above another is at worst 0.18 above it. Tighter ones ask for more."""


class GateSettings(Settings):
    """What is checked at the end of a run."""

    enforce: bool = True
    """Whether a failed gate ends the run with status 1. If not, it is reported all the same."""

    confidence: float = Field(0.95, gt=0, lt=1)
    """Level of the intervals of shares."""

    limits: dict[str, Gate | None] = Field(default_factory=lambda: dict(LIMITS))
    """A gate for each figure; null takes it away: it is then not checked, and no model is called erased."""

    @field_validator("limits")
    @classmethod
    def _known(cls, value: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(value) - {*MEASURED, *AUDITED})
        if unknown:
            raise ValueError(f"unknown figure {unknown[0]!r}: allowed are {', '.join(MEASURED + AUDITED)}")
        for name, gate in value.items():
            if gate is not None and gate.of == "retrained" and name not in AUDITED:
                raise ValueError(
                    f"{name}: of: retrained: only audits measure that model: allowed are base and null"
                )
        return value
