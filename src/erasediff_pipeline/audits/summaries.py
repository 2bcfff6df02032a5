"""``audit.json``: a summary of the tables of an audit, for each model."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from erasediff_pipeline.audits.inversion import DOUBLED
from erasediff_pipeline.audits.models import list_left_out
from erasediff_pipeline.audits.readings import list_remarks, list_unanswered, read_relearning
from erasediff_pipeline.audits.relearning import area_under, steps_to_half
from erasediff_pipeline.audits.tables import Models
from erasediff_pipeline.config import AuditSettings
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.diffusion.io import ModelWithHistory
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
        ``model``, ``forget``, ``samples``, ``not_checked``; ``models``: for each model its ``sha256`` and the
        summary of each audit; ``unanswered``, see ``list_unanswered``; and ``remarks``, see ``list_remarks``.
    """
    relearning = tables["relearning"]
    start = relearning[(relearning["model"] == "base") & (relearning["step"] == 0)]["forget_accuracy"]
    document: dict[str, Any] = {
        "model": settings.model,
        "forget": request.to_json(),
        "samples": settings.samples,
        "not_checked": _list_unchecked(request, settings, models["base"]),
        "models": {},
    }
    for name, model in models.items():
        found = {table: rows[rows["model"] == name] for table, rows in tables.items()}
        summary = {
            "membership": summarise_membership(found["membership"].drop(columns="model").iloc[0]),
            "relearning": summarise_relearning(
                found["relearning"], float(start.mean()), len(request.classes), settings
            ),
            "inversion": summarise_inversion(found["inversion"]),
            "leakage": summarise_leakage(found["leakage"]),
            "damage": summarise_damage(found["damage"]),
        }
        document["models"][name] = {"sha256": hash_pipeline(model.pipeline), **round_metrics(summary)}
    read_relearning(document["models"], settings, len(request.classes))
    document["unanswered"] = list_unanswered(document["models"], settings)
    document["remarks"] = list_remarks(document["models"], document["unanswered"], settings)
    return document


def _list_unchecked(request: Request, settings: AuditSettings, base: ModelWithHistory) -> list[str]:
    """List what this audit does not check, each with the reason."""
    unchecked = [] if settings.retrained else ["retrained: audit.retrained is false"]
    left_out = list_left_out(settings, request, base.pipeline)
    unchecked += [f"{method}: {reason}" for method, reason in left_out.items()]
    if request.keeps_classes:
        unchecked += [
            f"{audit}: a request by ids keeps its classes" for audit in ("relearning", "inversion", "leakage")
        ]
    return unchecked


def summarise_membership(row: pd.Series) -> dict[str, Any]:
    """Summarise membership; ``row`` is one model's in the table. Without a retrained model, no difference."""
    found = row.astype(float)
    beyond = found[["beyond_retrained", "beyond_low", "beyond_high"]].set_axis(["value", "low", "high"])
    return {
        **found[["auc", "low", "high", "true_positive_rate"]],
        "beyond_retrained": None if beyond.isna().any() else beyond.to_dict(),
    }


def summarise_relearning(
    curves: pd.DataFrame, whole: float, classes: int, settings: AuditSettings
) -> dict[str, Any]:
    """Summarise relearning, by lesson: the curve, its area, and the steps until half of the class is back.

    Args:
        curves: ``taught``, ``step``, ``forget_accuracy``.
        whole: The base model's forget accuracy.
        classes: Number of forgotten classes.
        settings: Samples of each class at each step, and confidence level.
    """
    samples = settings.relearning.samples * classes
    return {
        str(taught): {
            "area": area_under(curve, whole, samples, settings.confidence),
            "steps_to_half": steps_to_half(curve, whole),
            "forget_accuracy": {str(int(k)): float(v) for k, v in curve[["step", "forget_accuracy"]].values},
        }
        for taught, curve in curves.groupby("taught", sort=False)
    }


def summarise_inversion(starts: pd.DataFrame) -> dict[str, Any]:
    """Summarise inversion by class: the highest forget accuracy of all starts, and of the random ones.

    Args:
        starts: ``label``, ``start``, ``forget_accuracy``.

    Returns:
        By class: ``best`` of everything tried; ``best_from_random``, with the steps as set; ``doubled``, with
        twice as many; and ``starts``, each alone.
    """
    summary = {}
    for label, found in starts.groupby("label"):
        shares = dict(zip(found["start"], found["forget_accuracy"].astype(float), strict=True))
        summary[str(label)] = {
            "best": max(shares.values()),
            "best_from_random": max(v for start, v in shares.items() if start not in ("own", DOUBLED)),
            "doubled": shares[DOUBLED],
            "starts": shares,
        }
    return summary


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
