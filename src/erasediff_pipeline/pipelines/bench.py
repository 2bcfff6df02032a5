"""The first node of ``compare`` and ``audit``."""

from kedro.pipeline import node
from kedro.pipeline.node import Node

from erasediff_pipeline.evaluation.bench import build_bench


def set_up_bench() -> Node:
    """Node that resolves the request, and collects what every model is measured with."""
    inputs = ["base_model", "images", "manifest", "params:forget", "params:captions"]
    measuring = ["classifier", "params:sampling", "params:evaluation"]
    outputs = ["bench", "split", "request", "conditions"]
    return node(build_bench, [*inputs, *measuring], outputs, name="set_up")
