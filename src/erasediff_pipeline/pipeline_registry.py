"""What can be run: ``kedro run --pipeline=<name>``."""

from kedro.pipeline import Pipeline

from erasediff_pipeline.pipelines import (
    audit,
    compare,
    generate,
    prepare,
    pretrain,
    prompts,
    release,
    sign,
    unlearn,
)
from erasediff_pipeline.unlearning.registry import METHODS


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by name; written out, since a sum over ``find_pipelines`` misses some."""
    methods = {entry.pipeline: unlearn.create_pipeline(name) for name, entry in METHODS.items()}
    return {
        "prepare": prepare.create_pipeline(),
        "generate": generate.create_pipeline(),
        "load": pretrain.create_loading_pipeline(),
        "judge": pretrain.create_judge_pipeline(),
        "pretrain": pretrain.create_pipeline(),
        **methods,
        "prompts": prompts.create_pipeline(),
        "audit": audit.create_pipeline(),
        "release": release.create_pipeline(),
        "sign": sign.create_signing_pipeline(),
        "verify": sign.create_verifying_pipeline(),
        "compare": compare.create_pipeline(),
        "__default__": prepare.create_pipeline() + pretrain.create_pipeline() + methods["unlearn"],
    }
