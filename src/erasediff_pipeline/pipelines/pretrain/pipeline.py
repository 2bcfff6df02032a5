"""Images → base model and classifier."""

from kedro.pipeline import Pipeline, node, pipeline

from erasediff_pipeline.evaluation.classifiers.make import make_classifier
from erasediff_pipeline.pipelines.pretrain.nodes import (
    load_base_model,
    select_train,
    train_base_model,
)
from erasediff_pipeline.ranks import TRAINING


def create_pipeline() -> Pipeline:
    """Images → base model and classifier."""
    base = node(
        train_base_model,
        [
            "train_images",
            "manifest",
            "params:denoiser",
            "params:pretrain",
            "params:seed",
            "params:machine",
            "workspace",
            "on_log",
        ],
        "base_model",
        tags=TRAINING,
    )
    return create_judge_pipeline() + pipeline([base])


def create_judge_pipeline() -> Pipeline:
    """Images → classifier, for a base model that exists."""
    return pipeline(
        [
            node(select_train, ["images", "manifest"], "train_images"),
            node(
                make_classifier,
                [
                    "train_images",
                    "images",
                    "manifest",
                    "params:classifier",
                    "params:captions",
                    "params:seed",
                ],
                ["classifier", "classifier_metrics"],
            ),
        ]
    )


def create_loading_pipeline() -> Pipeline:
    """Load an existing base model; needs no images."""
    return pipeline([node(load_base_model, "params:denoiser", "base_model")])
