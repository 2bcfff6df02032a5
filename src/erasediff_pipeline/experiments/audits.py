"""Results of the expensive audits, stored for each model."""

from functools import partial
from pathlib import Path

import pandas as pd

from erasediff_pipeline.audits.expensive import EXPENSIVE_AUDITS
from erasediff_pipeline.audits.tables import Models
from erasediff_pipeline.config import AuditSettings
from erasediff_pipeline.evaluation.bench import Bench
from erasediff_pipeline.experiments.store import TrialStore
from erasediff_pipeline.experiments.trials import trial_folder
from erasediff_pipeline.workspace import Workspace


def run_audit(
    question: str,
    bench: Bench,
    store: TrialStore,
    models: Models,
    settings: AuditSettings,
    seed: int,
    workspace: Workspace,
) -> pd.DataFrame:
    """Run one audit on every model, or read its result if the store has it.

    Args:
        question: A key of ``EXPENSIVE_AUDITS``.
        bench: Task, classifier, and settings of sampling and evaluation.
        store: Keeps the result of each model.
        models: Models by name.
        settings: Budgets, images per measurement, and name of the erased model.
        seed: Top-level seed.
        workspace: Folder of the checkpoints.

    Returns:
        The results of all models: ``model``, and the columns of the audit; no row for a request by ids, which
        keeps its classes.
    """
    ask, columns = EXPENSIVE_AUDITS[question]
    if bench.task.request.keeps_classes:
        return pd.DataFrame(columns=["model", *columns])
    folders = {"erased": settings.model, "retrained": "retrain"}
    parts = []
    for name, model in models.items():
        made_from = bench.describe_measuring(
            model,
            seed,
            "training",
            question,
            question=settings.model_dump(mode="json")[question],
            samples=settings.samples,
        )
        answer = store.once(
            trial_folder(bench.task.request, folders.get(name, name), seed, question),
            made_from,
            partial(ask, bench, name, model, settings, seed, workspace),
            _save_table,
            _load_table,
        )
        parts.append(answer[columns].assign(model=name))
    return pd.concat(parts, ignore_index=True)[["model", *columns]]


def _save_table(folder: Path, table: pd.DataFrame) -> None:
    table.to_csv(folder / "table.csv", index=False)


def _load_table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "table.csv", float_precision="round_trip")
