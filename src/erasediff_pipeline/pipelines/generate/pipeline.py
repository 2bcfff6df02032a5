"""Base model and prompts → images and manifest, in place of ``prepare``."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.data.manifest import describe_images
from erasediff_pipeline.data.source_report import report_source
from erasediff_pipeline.pipelines.generate.nodes import draw_images


def create_pipeline() -> Pipeline:
    """Base model and prompts → images and manifest, in place of ``prepare``."""
    return pipeline(
        [
            node(
                draw_images,
                [
                    "base_model",
                    "generate.store",
                    "params:captions",
                    "params:generate",
                    "params:sampling",
                    "params:seed",
                ],
                ["images", "found"],
            ),
            node(
                describe_images,
                ["images", "found", "params:source", "params:captions", "params:seed"],
                "manifest",
            ),
            node(report_source, ["images", "manifest", "found", "params:source"], "source_report"),
        ]
    )
