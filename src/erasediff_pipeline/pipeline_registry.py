"""The pipelines that ``kedro run --pipeline=<name>`` runs."""

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
from erasediff_pipeline.ranks import TRAINING, rank
from erasediff_pipeline.unlearning.registry import METHODS


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by name, reduced to the part that this process runs."""
    return {name: share_among_processes(whole) for name, whole in list_pipelines().items()}


def share_among_processes(whole: Pipeline) -> Pipeline:
    """Return the part of a pipeline that this process runs: the first all of it, others the training only."""
    together = [node.name for node in whole.nodes if TRAINING in node.tags]
    return whole if rank() == 0 or not together else whole.to_nodes(*together)


def list_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by name; listed here, since ``find_pipelines`` misses some."""
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
