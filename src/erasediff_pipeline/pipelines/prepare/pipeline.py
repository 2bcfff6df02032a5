"""Source → images and manifest."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.pipelines.prepare.nodes import describe_images, read_source


def create_pipeline() -> Pipeline:
    """Source → images and manifest."""
    return pipeline(
        [
            node(read_source, "params:source", ["images", "own_captions"]),
            node(
                describe_images,
                ["images", "own_captions", "params:source", "params:captions", "params:seed"],
                "manifest",
            ),
        ]
    )
