"""Load inputs once per run."""

from functools import cache
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

CHECKED = {"base_model", "classifier", "images", "manifest"}
"""Inputs that ``CheckInputs`` loads."""


class LoadOnce:
    """Keep in memory what the checks load, until the last node has read it: a base model may be gigabytes.

    The nodes share one object and must not change it; unlearning works on a copy, ``starting_model``.
    """

    @hook_impl(tryfirst=True)  # registered after CheckInputs, so called before it
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Cache these inputs. Kedro would warn about each ``CachedDataset``, so ``load`` is wrapped."""
        self.inputs: dict[str, Any] = {name: catalog[name] for name in CHECKED & pipeline.inputs()}
        self.readers = {
            name: {node.name for node in pipeline.nodes if name in node.inputs} for name in self.inputs
        }
        for dataset in self.inputs.values():
            dataset.load = cache(dataset.load)

    @hook_impl
    def after_node_run(self, node: Node, inputs: dict[str, Any]) -> None:
        """Free an input that no other node reads."""
        for name in self.inputs.keys() & set(node.inputs):
            self.readers[name].discard(node.name)
            if not self.readers[name]:
                self.inputs[name].load.cache_clear()
            elif name == "base_model":  # free the GPU: the next node may need its memory
                inputs[name].pipeline.to("cpu")
