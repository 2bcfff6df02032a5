"""Remedies for missing inputs."""

import shlex

from erasediff_pipeline.parameters import Parameters

REMEDIES = {
    "base_model": "train it with `kedro run --pipeline=pretrain`",
    "audit.erased_model": "run the pipeline that writes it, or name another model in audit.model",
    "audit.model_metrics": "run the pipeline that makes the model",
    "audit.model_run": "run the pipeline that makes the model",
    "audit.base_samples": "run the pipeline that makes the model: `release` removes them",
    "release.erased_model": "run the pipeline that writes it, or name another model in release.model",
    "signing.model_run": "run the pipeline that makes the model, and audit it",
    "signing.model_folder": "run the pipeline that writes it, or name another model in signing.model",
    "signing.evidence_folder": "run `kedro run --pipeline=audit` first",
    "signing.model_signature": "run `kedro run --pipeline=sign` first",
    "signing.evidence_signature": "run `kedro run --pipeline=sign` first",
    "prompts.erased_model": "run the pipeline that writes it, or name another model in prompts.model",
    "classifier": "train it with `kedro run --pipeline=pretrain`",
    "images": "make it with `kedro run --pipeline=prepare`",
    "manifest": "make it with `kedro run --pipeline=prepare`",
}
WITHOUT_TRAINING = {
    "base_model": "get it with `kedro run --pipeline=load`",
    "classifier": "make it with `kedro run --pipeline=judge`",
    **dict.fromkeys(
        ("images", "manifest"),
        "draw them with `kedro run --pipeline=generate`, or read yours with `kedro run --pipeline=prepare`",
    ),
}
"""The same if ``denoiser.pretrained`` names a base model."""
UNKNOWN = "run the pipeline that writes it"
PULLED = {
    "": "run `dvc pull {place}`, or ",  # without the place, it would stop at a result of one's own
    "tiny_text_to_image/": "run `make pull-words`, or ",
    "fashion_mnist/": "run `make fashion-mnist`, or ",
    "icons/": "run `make icons`, or ",
}
"""How to get the reference data and models, by environment."""


def find_remedy(name: str, place: str, parameters: Parameters, environment: str) -> str:
    """Say what to do about a missing input.

    Args:
        name: The dataset.
        place: Its file or folder.
        parameters: All of them.
        environment: Empty, or ``<name>/``.
    """
    if name == "base_model" and parameters.base != "base":
        return "run the pipeline that writes it, or leave out the parameter base"
    if parameters.denoiser.pretrained:
        return (REMEDIES | WITHOUT_TRAINING).get(name, UNKNOWN)
    pull = PULLED.get(environment, "") if name in WITHOUT_TRAINING else ""
    return pull.format(place=shlex.quote(place)) + REMEDIES.get(name, UNKNOWN)
