"""Load inputs once a run."""

from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import CachedDataset, CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

CHECKED = {"base_model", "classifier", "images", "manifest"}
"""Inputs that ``CheckInputs`` loads."""


class LoadOnce:
    """Keep in memory what the checks load, until the last node has read it: a base model may be gigabytes.

    The nodes share one object, so none of them may change it; unlearning works on ``starting_model``, a copy.
    """

    @hook_impl(tryfirst=True)  # registered after CheckInputs, so called before it
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Put a cache before each of these inputs."""
        self.readers: dict[str, set[str]] = {}
        for name in CHECKED & pipeline.inputs():
            catalog[name] = CachedDataset(catalog[name], copy_mode="assign")
            self.readers[name] = {node.name for node in pipeline.nodes if name in node.inputs}

    @hook_impl
    def after_node_run(self, node: Node, catalog: CatalogProtocol, inputs: dict[str, Any]) -> None:
        """Free an input that no other node reads; Kedro keeps those of a pipeline to its end."""
        for name in self.readers.keys() & set(node.inputs):
            self.readers[name].discard(node.name)
            if not self.readers[name]:
                catalog.release(name)
            elif name == "base_model":  # a node draws on the GPU, where the next one may need the room
                inputs[name].pipeline.to("cpu")
