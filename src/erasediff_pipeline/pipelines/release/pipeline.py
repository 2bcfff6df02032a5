"""Erased model → leftovers removed or kept, by an explicit list → release.json."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.pipelines.release import nodes


def create_pipeline() -> Pipeline:
    """Its outputs are named ``release.…`` in the catalog."""
    return pipeline(
        [
            node(
                nodes.release_model,
                ["erased_model", "model_run", "params:release", "workspace", "places"],
                "document",
                name="remove",
            )
        ],
        namespace="release",
        inputs={"workspace"},
        parameters={"params:release"},
    )
