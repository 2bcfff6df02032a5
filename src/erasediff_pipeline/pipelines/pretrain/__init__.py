from erasediff_pipeline.pipelines.pretrain.pipeline import (
    create_judge_pipeline,
    create_loading_pipeline,
    create_pipeline,
)

__all__ = ["create_judge_pipeline", "create_loading_pipeline", "create_pipeline"]
