"""Nodes of ``audit``: the same questions to the base model, the erased one and the retrained one."""

import hashlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from diffusers import DiffusionPipeline
from matplotlib.figure import Figure

from erasediff_pipeline.audits.damage import measure_damage
from erasediff_pipeline.audits.inversion import invert
from erasediff_pipeline.audits.leakage import leakage
from erasediff_pipeline.audits.relearning import relearn
from erasediff_pipeline.audits.summaries import (
    summarise_damage,
    summarise_inversion,
    summarise_leakage,
    summarise_relearning,
)
from erasediff_pipeline.catalog import TrialStore, history_of
from erasediff_pipeline.catalog.registered_model import Verdict
from erasediff_pipeline.config import AuditSettings, GateSettings, ReportSettings
from erasediff_pipeline.data.conditions import ERASE, FORGET, RETAIN, plan_samples, training_set, unseen_set
from erasediff_pipeline.data.images import LabelledImages
from erasediff_pipeline.data.request import forgotten_classes, select_set
from erasediff_pipeline.diffusion.embedded import null_of
from erasediff_pipeline.diffusion.model import DiffusionModel
from erasediff_pipeline.diffusion.pipelines import hash_pipeline, model_of
from erasediff_pipeline.diffusion.sampling import draw_samples, stream_samples
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.evaluation.classifiers.classifier import class_probabilities
from erasediff_pipeline.evaluation.features import build_extractor
from erasediff_pipeline.evaluation.membership import (
    denoising_losses,
    membership_auc,
    membership_interval,
    true_positive_rate,
)
from erasediff_pipeline.evaluation.metrics import round_metrics
from erasediff_pipeline.evidence.document import collect_evidence
from erasediff_pipeline.evidence.gates import PASSED
from erasediff_pipeline.experiments.code import hash_source
from erasediff_pipeline.experiments.trials import Bench, train_trial
from erasediff_pipeline.paths import checkpoint_path, kedro_run
from erasediff_pipeline.pipelines.compare.nodes import reason_to_leave_out
from erasediff_pipeline.pipelines.unlearn.nodes import (
    MlflowMetrics,
    as_plain,
    draw_samples_of,
    numbers_of,
    settings_of,
)
from erasediff_pipeline.reporting.audit import draw_audit
from erasediff_pipeline.reporting.figures import draw_curves
from erasediff_pipeline.reporting.report import render_report
from erasediff_pipeline.reporting.summary import name_request, names_in
from erasediff_pipeline.seeding import derive_seed
from erasediff_pipeline.tracking.provenance import describe_provenance
from erasediff_pipeline.unlearning.registry import METHODS

logger = logging.getLogger(__name__)


def find_models(
    bench: Bench,
    erased_model: DiffusionPipeline,
    metrics: dict[str, Any],
    run: dict[str, Any],
    settings: AuditSettings,
    parameters: dict[str, Any],
    seed: int,
) -> dict[str, DiffusionPipeline]:
    """The models to put the questions to, by name; those of a comparison are trained where they are not kept.

    Raises:
        InvalidRequest: The last request that the erased model has answered, or that its metrics are of, is
            another than the one in ``forget``; it was made of another model than ``base``; or what is told of
            the model is told of another.
    """
    weights, told = hash_pipeline(erased_model), run["provenance"]["erased_model_sha256"]
    if weights != told:
        raise InvalidRequest(
            f"audit.model: {settings.model!r} has the weights {weights}, and its run.json and metrics are of "
            f"{told}: run its pipeline again"
        )
    made_of, base = run["provenance"]["base_model_sha256"], hash_pipeline(bench.base_model)
    if made_of != base:
        raise InvalidRequest(
            f"base: {parameters['base']!r} has the weights {base}, and {settings.model!r} was made of "
            f"{made_of}: name in base what it was made of, or run its pipeline again"
        )
    answered = [entry["forget_sha256"] for entry in history_of(erased_model)][-1:]
    if bench.request != metrics["forget"] or answered != [bench.request["forget_sha256"]]:
        raise InvalidRequest(
            f"audit.model: {settings.model!r} has not been asked to forget {name_request(bench.request)}, "
            f"but {name_request(metrics['forget'])}: run its pipeline for that request, or name the request, "
            f"as {kedro_run('audit')} --params={as_parameter(metrics['forget'])}"
        )

    def trained(method: str) -> DiffusionPipeline:
        entry = METHODS[method]
        return train_trial(
            bench, method, entry.settings.model_validate(parameters[entry.parameters]), seed
        ).model

    models = {"base": bench.base_model, "erased": erased_model}
    if settings.retrained:
        models["retrained"] = trained("retrain")
    unfit = left_out(settings, bench.request)
    for method in settings.methods:
        if method in unfit:
            logger.warning("%s is left out: %s", method, unfit[method])
        elif method not in ("retrain", metrics["method"]):  # they are there by another name
            models[method] = trained(method)
    return models


def as_parameter(request: dict[str, Any]) -> str:
    """A request as it is typed, or where it is written if it cannot be."""
    key = {"classes": "classes", "prompts": "prompts", "ids": "ids_file"}[request["by"]]
    named = request.get(key, ["…"])
    return f"forget.{key}={named[0]}" if len(named) == 1 else f"forget.{key}=… (several: in a file of conf)"


def left_out(settings: AuditSettings, request: dict[str, Any]) -> dict[str, str]:
    """The methods that are asked for and do not answer a request of this kind, and why."""
    reasons = {method: reason_to_leave_out(method, request["by"]) for method in settings.methods}
    return {method: reason for method, reason in reasons.items() if reason}


def put(question: str) -> Callable:
    """The node that puts one question to every model; what one has answered before is read."""
    ask, columns = QUESTIONS[question]

    def put_to_all(
        bench: Bench,
        store: TrialStore,
        models: dict[str, DiffusionPipeline],
        settings: AuditSettings,
        seed: int,
    ) -> pd.DataFrame:
        """The models' answers, one below the other; none to a request by ids, which keeps its classes."""
        if bench.request["by"] == "ids":
            return pd.DataFrame(columns=["model", *columns])
        methods = {"erased": settings.model, "retrained": "retrain"}
        parts = []
        for name, pipeline in models.items():
            made_from = {
                **bench.made_from(pipeline, seed),
                "question": settings.model_dump(mode="json")[question],
                "samples": settings.samples,
                "code_sha256": hash_source(f"erasediff_pipeline.audits.{question}", *ASKING_CODE, ask),
            }
            answer = store.once(
                bench.place(methods.get(name, name), seed, question),
                made_from,
                partial(ask, bench, name, pipeline, settings, seed),
                save_table,
                load_table,
            )
            parts.append(answer[columns].assign(model=name))
        return pd.concat(parts, ignore_index=True)[["model", *columns]]

    return put_to_all


def relearn_model(
    bench: Bench, name: str, pipeline: DiffusionPipeline, settings: AuditSettings, seed: int
) -> pd.DataFrame:
    """Teach a model again, with forgotten images and, apart from that, with retained ones alone.

    Returns:
        ``taught`` (``forgotten`` or ``retained``), ``step``, ``forget_accuracy``.
    """
    parts = []
    for taught, side in (("forgotten", "forget"), ("retained", "retain")):
        logger.info("relearning: %s, taught with %s images", name, taught)
        curve = relearn(
            seam(bench, pipeline),
            shuffled(set_of(bench, side), seed),
            partial(forget_accuracy, bench, settings, seed),
            settings.relearning,
            derive_seed(seed, "relearning"),
            checkpoint_path("relearning", name, taught),
        )
        parts.append(curve.assign(taught=taught))
    return pd.concat(parts, ignore_index=True)


def invert_model(
    bench: Bench, name: str, pipeline: DiffusionPipeline, settings: AuditSettings, seed: int
) -> pd.DataFrame:
    """Search a model for an embedding that brings each forgotten class back.

    Returns:
        ``label``, ``start``, ``loss``, ``forget_accuracy``.
    """
    parts = []
    retained = torch.tensor(bench.conditions.index[bench.conditions["role"] == RETAIN].to_numpy())
    for label in bench.request["classes"]:
        logger.info("inversion: %s, class %d", name, label)
        of_class = bench.manifest["id"][bench.manifest["label"] == label]
        found = invert(
            seam(bench, pipeline),
            set_of(bench, "forget", of_class),
            retained,
            partial(share_that_shows, bench, label, settings.samples, seed),
            settings.inversion,
            seed,
            checkpoint_path("inversion", name, str(label)),
        )
        parts.append(found.assign(label=label))
    return pd.concat(parts, ignore_index=True)


def tell_members(
    bench: Bench, models: dict[str, DiffusionPipeline], settings: AuditSettings, seed: int
) -> pd.DataFrame:
    """Can the forgotten images be told from unseen ones of their classes by their denoising loss?

    Returns:
        A row a model: ``model``, ``auc``, ``low``, ``high``, ``true_positive_rate`` at 1 % false positives.
    """
    members = set_of(bench, "forget")
    unseen = unseen_set(bench.images, bench.manifest, bench.conditions, bench.request["classes"])
    rows = []
    for name, pipeline in models.items():
        known, new = (
            denoising_losses(seam(bench, pipeline), images, bench.evaluation, derive_seed(seed, "evaluation"))
            for images in (members, unseen)
        )
        low, high = membership_interval(known, new, settings.bootstrap, settings.confidence, seed)
        rows.append((name, membership_auc(known, new), low, high, true_positive_rate(known, new)))
    return pd.DataFrame(rows, columns=["model", "auc", "low", "high", "true_positive_rate"])


def draw_the_rest(
    bench: Bench, models: dict[str, DiffusionPipeline], settings: AuditSettings, seed: int
) -> dict[str, LabelledImages]:
    """What each model draws under every retained condition and, labelled −1, when asked for nothing."""
    conditions = bench.conditions[bench.conditions["role"] == RETAIN]
    evaluation = bench.evaluation.model_copy(update={"retain_samples": settings.samples})
    plan = plan_samples(conditions, evaluation)
    drawn = {}
    for name, pipeline in models.items():
        model = seam(bench, pipeline)
        numbers, noise = torch.tensor(plan["number"].to_numpy()), derive_seed(seed, "audit")
        kept = draw_samples(model, numbers, noise, bench.sampling, f"retained, {name}")
        anything = draw_samples(
            null_of(model), numbers[: settings.samples], noise, bench.sampling, f"null, {name}"
        )
        labels = np.concatenate([plan["label"].to_numpy(), np.full(len(anything), -1)])
        drawn[name] = LabelledImages(np.concatenate([kept, anything]), labels)
    return drawn


def look_for_leaks(bench: Bench, drawn: dict[str, LabelledImages]) -> pd.DataFrame:
    """How often the forgotten classes show under other conditions; ``model``, ``asked_for``, ``share``."""
    rows = []
    for name, samples in drawn.items() if bench.request["by"] != "ids" else ():
        images, labels = samples.tensors()
        shares = leakage(class_probabilities(bench.classifier, images), labels, bench.request["classes"])
        rows += [(name, asked_for, share) for asked_for, share in shares.items()]
    return pd.DataFrame(rows, columns=["model", "asked_for", "share"])


def assess_damage(bench: Bench, drawn: dict[str, LabelledImages]) -> pd.DataFrame:
    """Every retained class of every model; ``model`` and the columns of ``measure_damage``."""
    real = select_set(bench.images, bench.manifest, bench.split, "retain")
    extractor = build_extractor(bench.evaluation.fid_backend, bench.classifier)
    neighbours = bench.evaluation.precision_neighbours
    return pd.concat(
        [
            measure_damage(
                samples.select(samples.labels >= 0), real, bench.classifier, extractor, neighbours
            ).assign(model=name)
            for name, samples in drawn.items()
        ],
        ignore_index=True,
    )


def collect_audits(
    bench: Bench,
    models: dict[str, DiffusionPipeline],
    relearning: pd.DataFrame,
    inversion: pd.DataFrame,
    membership: pd.DataFrame,
    leaks: pd.DataFrame,
    damage: pd.DataFrame,
    settings: AuditSettings,
) -> tuple[dict[str, Any], MlflowMetrics]:
    """``audit.json``: what it comes to for each model; and the erased model's numbers for MLflow."""
    whole = relearning[(relearning["model"] == "base") & (relearning["step"] == 0)]["forget_accuracy"]
    document: dict[str, Any] = {
        "model": settings.model,
        "forget": bench.request,
        "samples": settings.samples,
        "not_checked": [
            *([] if settings.retrained else ["retrained: audit.retrained is false"]),
            *(f"{method}: {reason}" for method, reason in left_out(settings, bench.request).items()),
        ],
        "models": {},
    }
    if bench.request["by"] == "ids":
        document["not_checked"] += [
            f"{audit}: a request by ids keeps its classes" for audit in ("relearning", "inversion", "leakage")
        ]
    for name, pipeline in models.items():
        found = membership.set_index("model").loc[name].to_dict()
        summary = {
            "membership": {key: float(value) for key, value in found.items()},
            "relearning": summarise_relearning(of_model(relearning, name), float(whole.mean())),
            "inversion": summarise_inversion(of_model(inversion, name)),
            "leakage": summarise_leakage(of_model(leaks, name)),
            "damage": summarise_damage(of_model(damage, name)),
        }
        document["models"][name] = {"sha256": hash_pipeline(pipeline), **round_metrics(summary)}
    return document, numbers_of(document["models"]["erased"])


def hold_gates(
    metrics: dict[str, Any],
    run: dict[str, Any],
    document: dict[str, Any],
    gates: GateSettings,
    report: ReportSettings,
    parameters: dict[str, Any],
) -> dict[str, Any]:
    """``evidence.json``: what was measured when the model was made, and what the audits found, held
    against the gates."""
    trained = [method for method in ("retrain", *document["models"]) if method in METHODS]
    asked = settings_of(parameters, *trained)
    asked |= {key: value for key, value in as_plain(parameters).items() if key in ("audit", "gates")}
    return collect_evidence(
        metrics,
        run,
        document,
        gates,
        report.hide_forgotten and bool(forgotten_classes(metrics["forget"])),
        describe_provenance(asked),
    )


def write_report(
    base: LabelledImages,
    erased: LabelledImages,
    curves: pd.DataFrame,
    relearning: pd.DataFrame,
    inversion: pd.DataFrame,
    leaks: pd.DataFrame,
    evidence: dict[str, Any],
    settings: ReportSettings,
    source_report: dict[str, Any],
) -> tuple[Figure, str]:
    """The curves of the audits, and the page of the run that made the model, with them."""
    names = names_in(source_report)
    grid = draw_samples_of(base, erased, forgotten_classes(evidence["request"]), settings, names)
    figure = draw_audit(relearning, inversion, leaks)
    return figure, render_report(evidence, grid, draw_curves(curves), names, figure)


def tell_registry(models: dict[str, DiffusionPipeline], evidence: dict[str, Any], report: str) -> Verdict:
    """What the versions of this model in the registry are to say from now on."""
    run = mlflow.active_run()
    return Verdict(
        hash_pipeline(models["erased"]),
        evidence["verdict"] == PASSED,
        {
            "gates": evidence["verdict"],
            "audit_report_sha256": hashlib.sha256(report.encode()).hexdigest(),
            "audit_run_id": run.info.run_id if run else "none",
        },
    )


def of_model(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of one model."""
    return table[table["model"] == name]


def seam(bench: Bench, pipeline: DiffusionPipeline) -> DiffusionModel:
    """A model of its own for one question: what is asked of it leaves no trace for the next."""
    return model_of(pipeline, list(bench.conditions["prompt"]))


def set_of(bench: Bench, side: str, ids: pd.Series | None = None) -> LabelledImages:
    """One side of the split, under the numbers of its conditions; of these ids alone."""
    split = bench.split if ids is None else bench.split[bench.split["id"].isin(ids)]
    return training_set(bench.images, bench.manifest, split, bench.conditions, side)


def shuffled(images: LabelledImages, seed: int) -> LabelledImages:
    """In an order drawn from the seed: the first few then stand for all."""
    rng = np.random.default_rng(derive_seed(seed, "lesson"))
    return images.select(rng.permutation(len(images)))


def share_that_shows(bench: Bench, label: int, samples: int, seed: int, model: DiffusionModel) -> float:
    """Share of samples, asked for under what the request is judged by, that the judge gives to the class."""
    of_class = bench.conditions[bench.conditions["label"] == label]
    judged = of_class[of_class["role"] == FORGET]
    numbers = (judged if len(judged) else of_class[of_class["role"] == ERASE]).index.to_numpy()
    asked = torch.tensor(np.resize(numbers, samples))
    drawn = torch.cat(list(stream_samples(model, asked, derive_seed(seed, "audit"), bench.sampling)))
    seen = class_probabilities(bench.classifier, drawn).argmax(dim=1)
    return float((seen == label).double().mean())


def forget_accuracy(bench: Bench, settings: AuditSettings, seed: int, model: DiffusionModel) -> float:
    """The mean of ``share_that_shows`` over the forgotten classes."""
    labels = bench.request["classes"]
    return float(np.mean([share_that_shows(bench, label, settings.samples, seed, model) for label in labels]))


def save_table(folder: Path, table: pd.DataFrame) -> None:
    table.to_csv(folder / "table.csv", index=False)


def load_table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "table.csv", float_precision="round_trip")


ASKING_CODE = (
    "erasediff_pipeline.diffusion.pipelines",
    "erasediff_pipeline.diffusion.sampling",
    "erasediff_pipeline.evaluation.classifiers.classifier",
    "erasediff_pipeline.data.conditions",
    seam,
    set_of,
    shuffled,
    share_that_shows,
    forget_accuracy,
)
"""What every question is put with, beside its own module: where that changes, it is put anew."""
QUESTIONS: dict[str, tuple[Callable[..., pd.DataFrame], list[str]]] = {
    "relearning": (relearn_model, ["taught", "step", "forget_accuracy"]),
    "inversion": (invert_model, ["label", "start", "loss", "forget_accuracy"]),
}
"""The dear ones, whose answers are kept: how a model is asked, and the columns of its answer."""
