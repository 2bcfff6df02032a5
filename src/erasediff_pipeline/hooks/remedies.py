"""Commands that make a missing input."""

import re

from erasediff_pipeline import paths
from erasediff_pipeline.parameters import Parameters

REMEDIES = {
    "base_model": "train it with `{pretrain}`",
    "audit.erased_model": "run the pipeline that writes it, or name another model in audit.model",
    "audit.model_metrics": "run the pipeline that makes the model",
    "audit.base_samples": "run the pipeline that makes the model: `release` removes them",
    "release.erased_model": "run the pipeline that writes it, or name another model in release.model",
    "signing.model_folder": "run the pipeline that writes it, or name another model in signing.model",
    "signing.evidence_folder": "run `{audit}` first",
    "signing.model_signature": "run `{sign}` first",
    "signing.evidence_signature": "run `{sign}` first",
    "prompts.erased_model": "run the pipeline that writes it, or name another model in prompts.model",
    "classifier": "train it with `{pretrain}`",
    "images": "make it with `{prepare}`",
    "manifest": "make it with `{prepare}`",
}
WITHOUT_TRAINING = {
    "base_model": "get it with `{load}`",
    "classifier": "make it with `{judge}`",
    "images": "draw them with `{generate}`, or read yours with `{prepare}`",
    "manifest": "draw them with `{generate}`, or read yours with `{prepare}`",
}
"""Where ``denoiser.pretrained`` names a base model that exists."""
PULLED = {
    "": "run `dvc pull`, or ",
    "tiny_text_to_image/": "run `make pull-words`, or ",
    "fashion_mnist/": "run `make fashion-mnist`, or ",
}
"""What brings the reference data and models of an environment that has any."""
COMMAND = re.compile(r"{(\w+)}")


def find_remedy(name: str, parameters: Parameters) -> str:
    """What brings a missing input, as commands of this environment."""
    if name == "base_model" and parameters.base != "base":
        return "run the pipeline that writes it, or leave out the parameter base"
    remedies = REMEDIES | (WITHOUT_TRAINING if parameters.denoiser.pretrained else {})
    remedy = COMMAND.sub(
        lambda found: paths.kedro_run(found[1]), remedies.get(name, "run the pipeline that writes it")
    )
    pulled = name in ("base_model", "classifier", "images", "manifest") and not parameters.denoiser.pretrained
    return (PULLED.get(paths.environment, "") if pulled else "") + remedy
