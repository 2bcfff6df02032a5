"""Images → base model and judge."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.pipelines.pretrain.nodes import (
    select_train,
    train_base_model,
    train_judge,
)


def create_pipeline() -> Pipeline:
    """Images → base model and judge."""
    return pipeline(
        [
            node(select_train, ["images", "manifest"], "train_images"),
            node(
                train_judge,
                ["train_images", "images", "manifest", "params:classifier", "params:seed"],
                ["classifier", "classifier_metrics"],
            ),
            node(
                train_base_model,
                ["train_images", "manifest", "params:denoiser", "params:pretrain", "params:seed"],
                "base_model",
            ),
        ]
    )
