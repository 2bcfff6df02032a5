"""``audit.json``: a summary of the tables of an audit, for each model."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from erasediff_pipeline.audits.models import list_left_out
from erasediff_pipeline.audits.relearning import steps_to_half
from erasediff_pipeline.audits.tables import Models
from erasediff_pipeline.config import AuditSettings
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.evaluation.metrics import round_metrics


def collect_audits(
    request: Request, models: Models, tables: Mapping[str, pd.DataFrame], settings: AuditSettings
) -> dict[str, Any]:
    """Build ``audit.json``.

    Args:
        request: The request.
        models: Models by name; the base model is among them.
        tables: ``relearning``, ``inversion``, ``membership``, ``leakage`` and ``damage``.
        settings: Settings of the audit.

    Returns:
        ``model``, ``forget``, ``samples``, ``not_checked``, and ``models``: for each model its ``sha256`` and
        the summary of each audit.
    """
    relearning = tables["relearning"]
    start = relearning[(relearning["model"] == "base") & (relearning["step"] == 0)]["forget_accuracy"]
    document: dict[str, Any] = {
        "model": settings.model,
        "forget": request.to_json(),
        "samples": settings.samples,
        "not_checked": _list_unchecked(request, settings),
        "models": {},
    }
    for name, model in models.items():
        found = {table: rows[rows["model"] == name] for table, rows in tables.items()}
        membership = found["membership"].set_index("model").loc[name].to_dict()
        summary = {
            "membership": {key: float(value) for key, value in membership.items()},
            "relearning": summarise_relearning(found["relearning"], float(start.mean())),
            "inversion": summarise_inversion(found["inversion"]),
            "leakage": summarise_leakage(found["leakage"]),
            "damage": summarise_damage(found["damage"]),
        }
        document["models"][name] = {"sha256": hash_pipeline(model.pipeline), **round_metrics(summary)}
    return document


def _list_unchecked(request: Request, settings: AuditSettings) -> list[str]:
    """List what this audit does not check, each with the reason."""
    unchecked = [] if settings.retrained else ["retrained: audit.retrained is false"]
    unchecked += [f"{method}: {reason}" for method, reason in list_left_out(settings, request).items()]
    if request.keeps_classes:
        unchecked += [
            f"{audit}: a request by ids keeps its classes" for audit in ("relearning", "inversion", "leakage")
        ]
    return unchecked


def summarise_relearning(curves: pd.DataFrame, whole: float) -> dict[str, Any]:
    """Summarise relearning: the curve of each lesson, and the steps until half of the class is back.

    Args:
        curves: ``taught``, ``step``, ``forget_accuracy``.
        whole: The base model's forget accuracy.
    """
    return {
        str(taught): {
            "steps_to_half": steps_to_half(curve, whole),
            "forget_accuracy": {str(int(k)): float(v) for k, v in curve[["step", "forget_accuracy"]].values},
        }
        for taught, curve in curves.groupby("taught", sort=False)
    }


def summarise_inversion(starts: pd.DataFrame) -> dict[str, Any]:
    """Summarise inversion: the highest forget accuracy of all starts, and of the random ones, by class.

    Args:
        starts: ``label``, ``start``, ``forget_accuracy``.
    """
    return {
        str(label): {
            "best": float(found["forget_accuracy"].max()),
            "best_from_random": float(found["forget_accuracy"][found["start"] != "own"].max()),
            "starts": dict(zip(found["start"], found["forget_accuracy"].astype(float), strict=True)),
        }
        for label, found in starts.groupby("label")
    }


def summarise_leakage(shares: pd.DataFrame) -> dict[str, Any]:
    """Summarise leakage: without a condition, over all retained classes, and under the worst one.

    Args:
        shares: ``asked_for``, ``share``.

    Returns:
        ``unconditional``, ``retained``, ``worst`` (shares), ``worst_class``; empty without retained classes.
    """
    by_name = shares.set_index("asked_for")["share"]
    kept = by_name.drop("unconditional", errors="ignore")
    if kept.empty:
        return {}
    return {
        "unconditional": float(by_name["unconditional"]),
        "retained": float(kept.mean()),
        "worst": float(kept.max()),
        "worst_class": str(kept.idxmax()),
    }


def summarise_damage(classes: pd.DataFrame) -> dict[str, Any]:
    """Summarise damage: the retained class with the worst retain accuracy, and every class.

    Args:
        classes: As ``measure_damage`` returns it.
    """
    worst = classes.iloc[int(classes["retain_accuracy"].argmin())]
    columns = ["retain_accuracy", "fid", "precision", "recall"]
    return {
        "worst": float(worst["retain_accuracy"]),
        "worst_class": str(int(worst["label"])),
        "by_class": {
            str(label): {name: float(row[name]) for name in columns}
            for label, row in classes.set_index("label").iterrows()
        },
    }
