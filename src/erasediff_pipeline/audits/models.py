"""The models that an audit examines."""

import json
import logging
import shlex
from collections.abc import Callable
from typing import Any

from diffusers import DiffusionPipeline
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from erasediff_pipeline.config import AuditSettings
from erasediff_pipeline.data.request import Request
from erasediff_pipeline.diffusion.io import ModelWithHistory
from erasediff_pipeline.diffusion.pipelines import hash_pipeline
from erasediff_pipeline.errors import InvalidRequest
from erasediff_pipeline.evaluation.bench import Bench
from erasediff_pipeline.unlearning.registry import reason_to_leave_out

logger = logging.getLogger(__name__)


def list_models(
    bench: Bench,
    erased: ModelWithHistory,
    method: str,
    settings: AuditSettings,
    train: Callable[[str], ModelWithHistory],
) -> dict[str, ModelWithHistory]:
    """List base, erased and retrained model, and those of other methods, by name.

    Args:
        bench: Base model and task.
        erased: The model under audit.
        method: The method that made it.
        settings: Which other models to audit.
        train: Name of a method → its model, trained on the same task or read.

    Returns:
        ``base``, ``erased``, ``retrained`` (unless ``audit.retrained`` is false), and other methods by name.
    """
    models = {"base": bench.base_model, "erased": erased}
    if settings.retrained:
        models["retrained"] = train("retrain")
    unfit = list_left_out(settings, bench.task.request, bench.base_model.pipeline)
    for other in settings.methods:
        if other in unfit:
            logger.warning("%s is left out: %s", other, unfit[other])
        elif other not in ("retrain", method):  # listed under another name
            models[other] = train(other)
    return models


def check_erased_model(
    bench: Bench,
    erased: ModelWithHistory,
    metrics: dict[str, Any],
    provenance: dict[str, Any],
    settings: AuditSettings,
    base: str,
) -> None:
    """Refuse an erased model that does not belong to this request, base model and run.

    Args:
        bench: Base model and task.
        erased: The model under audit.
        metrics: ``metrics.json`` of the run that made it.
        provenance: Provenance of the same run.
        settings: Name of the model.
        base: Name of the base model.

    Raises:
        InvalidRequest: The weights differ from those that were measured, the base model is another one, or
            the model has answered another request.
    """
    weights, measured = hash_pipeline(erased.pipeline), provenance["erased_model_sha256"]
    if weights != measured:
        raise InvalidRequest(
            f"audit.model: {settings.model!r} has the weights {weights}, but its run.json and metrics.json "
            f"are of {measured}: run its pipeline again"
        )
    start, given = provenance["base_model_sha256"], hash_pipeline(bench.base_model.pipeline)
    if start != given:
        raise InvalidRequest(
            f"base: {base!r} has the weights {given}, but {settings.model!r} was made from {start}: set base "
            f"to the model that it was made from, or, since a run with base={settings.model} overwrites that "
            "model, run its pipeline again from a copy"
        )
    answered = [entry.forget_sha256 for entry in erased.history][-1:]
    asked, measured_request = bench.task.request, Request.model_validate(metrics["forget"])
    known = answered == [asked.forget_sha256] and erased.history[:-1] == asked.earlier
    if asked != measured_request or not known:
        parameters = audit_parameters(settings.model, measured_request)
        command = f": `kedro run --pipeline=audit --params={shlex.quote(parameters)}`"
        raise InvalidRequest(
            f"audit.model: {settings.model!r} has forgotten {measured_request.in_words()}, not "
            f"{asked.in_words()}: run its pipeline for that request, or set forget to the other one"
            f"{command if 'forget.' in parameters else ' in conf/local/parameters.yml'}"
        )


def name_other_settings(of_run: dict[str, Any], asked: dict[str, Any], model: str) -> None:
    """Warn of an audit that draws or measures otherwise than the run whose figures stand beside its own.

    Args:
        of_run: Parameters in the run's provenance.
        asked: Those of the audit, as ``settings_of`` gives them.
        model: ``audit.model``, for the message.
    """
    for section in ("seed", "sampling", "evaluation"):
        before, now = of_run.get(section), json.loads(json.dumps(asked.get(section)))
        if isinstance(now, dict) and isinstance(before, dict):
            names = [key for key in now if now[key] != before.get(key) and key != "batch_size"]
            differ = [(f"{section}.{key}", now[key], before.get(key)) for key in names]
        else:
            differ = [(section, now, before)] if now != before else []
        for key, value, was in differ:
            logger.warning("%s is %s in this audit, and was %s in the run of %s", key, value, was, model)


def list_left_out(settings: AuditSettings, request: Request, pipeline: DiffusionPipeline) -> dict[str, str]:
    """List methods of the audit that do not support this request or model, each with the reason."""
    reasons = {method: reason_to_leave_out(method, request, pipeline) for method in settings.methods}
    return {method: reason for method, reason in reasons.items() if reason}


def audit_parameters(model: str, request: Request) -> str:
    """Write ``--params`` of the command that audits a model.

    A request that the command line cannot express is left out: it stands in a file of ``conf/``.
    """
    classes = " ".join(map(str, request.classes))
    named = {"classes": classes, "prompts": request.prompts[0] if len(request.prompts) == 1 else ""}
    asked = named.get(request.by, "")
    given = {} if model == AuditSettings().model else {"audit.model": model}
    if asked and _survives(asked):
        given[f"forget.{request.by}"] = asked
    return ",".join(f"{key}={value}" for key, value in given.items())


def _survives(value: str) -> bool:
    """Whether the command line hands over a value as it is: Kedro splits at commas, OmegaConf reads YAML."""
    if "," in value or value != value.strip():
        return False
    try:
        return str(OmegaConf.select(OmegaConf.from_dotlist([f"key={value}"]), "key")) == value
    except (OmegaConfBaseException, YAMLError):
        return False
