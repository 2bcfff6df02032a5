"""Source → images and manifest."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.data.manifest import describe_images
from erasediff_pipeline.data.source_report import report_source
from erasediff_pipeline.pipelines.prepare.nodes import read_source


def create_pipeline() -> Pipeline:
    """Source → images and manifest."""
    return pipeline(
        [
            node(read_source, "params:source", ["images", "found"]),
            node(
                describe_images,
                ["images", "found", "params:source", "params:captions", "params:seed"],
                "manifest",
            ),
            node(report_source, ["images", "manifest", "found", "params:source"], "source_report"),
        ]
    )
