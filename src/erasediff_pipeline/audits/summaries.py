"""What the tables of the audits come to, for one model."""

from typing import Any

import pandas as pd

from erasediff_pipeline.audits.relearning import steps_to_half


def summarise_relearning(curves: pd.DataFrame, whole: float) -> dict[str, Any]:
    """The curve of each lesson, and the steps after which half of the class is back.

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
    """The best of all starts, and of the random ones, for each class (``label``, ``start``, …)."""
    return {
        str(label): {
            "best": float(found["forget_accuracy"].max()),
            "best_from_random": float(found["forget_accuracy"][found["start"] != "own"].max()),
            "starts": dict(zip(found["start"], found["forget_accuracy"].astype(float), strict=True)),
        }
        for label, found in starts.groupby("label")
    }


def summarise_leakage(shares: pd.DataFrame) -> dict[str, Any]:
    """Under the null condition, and under the retained class that shows the forgotten ones most."""
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
    """The worst retained class, by retain accuracy, and every class."""
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
